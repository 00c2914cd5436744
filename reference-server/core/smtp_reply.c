#include "reference-server/core/smtp_reply.h"

#include "reference-server/core/mutant.h"

#include <assert.h>
#include <string.h>

/* Where in a line the next byte belongs. */
enum where {
	AT_CODE_1,
	AT_CODE_2,
	AT_CODE_3,
	AT_SEPARATOR,
	IN_TEXT,
	AT_LF, /* behind a CR */
	AT_FAILED,
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* ---- enhanced status codes ---- */

/* 1*3DIGIT without leading zeros (RFC 2034 4, RFC 3463 2). */
static bool take_number(struct span *s, uint16_t *ret_value)
{
	uint16_t value = 0;
	size_t n = 0;

	while (n < s->n && n < 3 && is_digit(s->p[n]))
		value = (uint16_t)(value * 10 + (s->p[n++] - '0'));
	if (n == 0 || (n > 1 && s->p[0] == '0'))
		return false;
	*s = span_sub(*s, n, s->n);
	*ret_value = value;
	return true;
}

/* Cuts "<number>" and the byte behind it, which must be `end`; at the end of the text, '\0' stands for it. */
static bool take_part(struct span *s, char end, uint16_t *ret_value)
{
	if (!take_number(s, ret_value))
		return false;
	if (s->n == 0 || s->p[0] == ' ')
		return end == '\0';
	bool right = s->p[0] == end;
	*s = span_sub(*s, 1, s->n);
	return right;
}

bool smtp_status_parse(struct span text, uint8_t class_digit, struct smtp_status *ret_status)
{
	struct smtp_status found = { .class_digit = class_digit };
	uint16_t given_class;

	if (!take_part(&text, '.', &given_class) || given_class != class_digit)
		return false;
	if (!take_part(&text, '.', &found.subject) || !take_part(&text, '\0', &found.detail))
		return false;
	*ret_status = found;
	return true;
}

void smtp_status_add(struct buf *out, struct smtp_status status)
{
	assert(status.class_digit > 0);
	buf_addf(out, "%u.%u.%u", (unsigned)status.class_digit, (unsigned)status.subject,
		 (unsigned)status.detail);
}

/* ---- text ---- */

size_t smtp_text_escape(struct span text, char *dst, size_t dst_bytes)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t n = 0;

	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];
		char piece[4];
		size_t piece_bytes = 1;

		if (c == '\t') {
			piece[0] = ' ';
		} else if (c == '\\') {
			piece[0] = piece[1] = '\\';
			piece_bytes = 2;
		} else if (c >= ' ' && c < 0x7F) {
			piece[0] = (char)c;
		} else {
			memcpy(piece, (char[4]){ '\\', 'x', hex[c >> 4], hex[c & 15] }, 4);
			piece_bytes = 4;
		}
		if (piece_bytes > dst_bytes - n)
			break;
		memcpy(dst + n, piece, piece_bytes);
		n += piece_bytes;
	}
	return n;
}

/* Adds the finished line to the text of the reply. */
static void keep_text(struct smtp_reply *r)
{
	struct span line = smtp_reply_line(r);
	uint8_t class_digit = (uint8_t)(r->code / 100);
	struct smtp_status status;

	if (smtp_status_parse(line, class_digit, &status)) {
		if (r->line_count == 1)
			r->status = status;
		else if (r->status.subject == status.subject && r->status.detail == status.detail)
			line = span_sub(line, span_find(line, ' '), line.n);
	}
	line = span_trim(line);
	if (line.n == 0)
		return;
	if (r->text_bytes > 0 && r->text_bytes < sizeof(r->text))
		r->text[r->text_bytes++] = ' ';
	r->text_bytes +=
		(uint32_t)smtp_text_escape(line, r->text + r->text_bytes, sizeof(r->text) - r->text_bytes);
}

/* ---- the machine ---- */

static void begin_reply(struct smtp_reply *r)
{
	r->code = 0;
	r->status = (struct smtp_status){ 0 };
	r->where = AT_CODE_1;
	r->complete = false;
	r->line_count = 0;
	r->line_bytes = 0;
	r->reply_bytes = 0;
	r->kept_bytes = 0;
	r->text_bytes = 0;
}

void smtp_reply_init(struct smtp_reply *r)
{
	r->error = NULL;
	r->line_code = 0;
	r->is_last_line = false;
	begin_reply(r);
}

static enum smtp_reply_result fail(struct smtp_reply *r, const char *why)
{
	r->where = AT_FAILED;
	r->error = why;
	return SMTP_REPLY_BAD;
}

static enum smtp_reply_result end_line(struct smtp_reply *r)
{
	if (r->line_count == 0)
		r->code = r->line_code;
	else if (r->code != r->line_code)
		return fail(r, "lines of one reply carry different codes");
	if (++r->line_count > SMTP_REPLY_LINES_MAX && !MUTANT(RELAY_FLOOD_TRUSTED))
		return fail(r, "reply has too many lines");
	keep_text(r);
	r->is_last_line |= MUTANT(RELAY_FIRST_LINE_ENDS) && r->code < 300;
	r->is_last_line |= MUTANT(RELAY_FLOOD_TRUSTED) && r->line_count > SMTP_REPLY_LINES_MAX;
	r->where = AT_CODE_1;
	r->line_bytes = 0;
	r->complete = r->is_last_line;
	return r->complete ? SMTP_REPLY_DONE : SMTP_REPLY_LINE;
}

/* One byte of the code, or of what stands behind it.  False: not a reply. */
static bool step_front(struct smtp_reply *r, char c)
{
	switch ((enum where)r->where) {
	case AT_CODE_1:
		r->line_code = 0;
		r->is_last_line = true;
		r->kept_bytes = 0;
		if (c < '2' || c > '5')
			return false;
		break;
	case AT_CODE_2:
	case AT_CODE_3:
		if (!is_digit(c))
			return false;
		break;
	case AT_SEPARATOR:
		r->is_last_line = c != '-';
		r->where = c == '\r' ? AT_LF : IN_TEXT;
		return c == ' ' || c == '-' || c == '\r';
	case IN_TEXT:
	case AT_LF:
	case AT_FAILED:
		return false; /* step() keeps these to itself */
	}
	r->line_code = (uint16_t)(r->line_code * 10 + (c - '0'));
	r->where++;
	return true;
}

static void keep_byte(struct smtp_reply *r, char c)
{
	if (r->kept_bytes < sizeof(r->kept))
		r->kept[r->kept_bytes++] = c;
}

static enum smtp_reply_result step(struct smtp_reply *r, char c)
{
	if (++r->line_bytes > SMTP_REPLY_LINE_BYTES_MAX)
		return fail(r, "reply line is too long");
	if (++r->reply_bytes > SMTP_REPLY_BYTES_MAX)
		return fail(r, "reply is too long");
	if (r->where < IN_TEXT)
		return step_front(r, c) ? SMTP_REPLY_MORE : fail(r, "not an SMTP reply");
	if (r->where == AT_LF) {
		if (c == '\n')
			return end_line(r);
		if (MUTANT(RELAY_NONSENSE_IS_SENT))
			return fail(r, "bare CR in a reply");
		keep_byte(r, '\r');
		r->where = IN_TEXT;
	}
	if (c == '\n')
		return fail(r, "bare LF in a reply");
	if (c == '\0' && MUTANT(RELAY_NONSENSE_IS_SENT))
		return fail(r, "NUL in a reply");
	if (c == '\r')
		r->where = AT_LF;
	else
		keep_byte(r, c);
	return SMTP_REPLY_MORE;
}

enum smtp_reply_result smtp_reply_feed(struct smtp_reply *r, struct span in, size_t *ret_used_bytes)
{
	enum smtp_reply_result result = r->where == AT_FAILED ? SMTP_REPLY_BAD : SMTP_REPLY_MORE;
	size_t used = 0;

	if (r->complete && in.n > 0)
		begin_reply(r);
	while (result == SMTP_REPLY_MORE && used < in.n)
		result = step(r, in.p[used++]);
	*ret_used_bytes = used;
	return result;
}

bool smtp_reply_is_partial(const struct smtp_reply *r)
{
	return !r->complete && r->reply_bytes > 0;
}

struct span smtp_reply_line(const struct smtp_reply *r)
{
	return (struct span){ r->kept, r->kept_bytes };
}

struct span smtp_reply_text(const struct smtp_reply *r)
{
	return (struct span){ r->text, r->text_bytes };
}

const char *smtp_reply_error(const struct smtp_reply *r)
{
	assert(r->error != NULL);
	return r->error;
}
