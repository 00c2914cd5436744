#include "harness/wire/reply.h"

#include <assert.h>
#include <string.h>

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* A number of one to three digits at the front of *s. */
static bool take_number(struct span *s, uint16_t *ret_value)
{
	size_t n = 0;
	uint16_t value = 0;
	while (n < s->n && n < 3 && is_digit(s->p[n]))
		value = (uint16_t)(value * 10 + (s->p[n++] - '0'));
	if (n == 0)
		return false;
	*s = span_sub(*s, n, s->n);
	*ret_value = value;
	return true;
}

static bool take_dot(struct span *s)
{
	return span_take_prefix_nocase(s, SPAN_LIT("."));
}

/* RFC 2034 section 4: class "." subject "." detail, then a blank or nothing. */
static void read_status(struct reply *r, struct span text)
{
	uint16_t a, b, c;
	if (!take_number(&text, &a) || !take_dot(&text) || !take_number(&text, &b) || !take_dot(&text) ||
	    !take_number(&text, &c))
		return;
	if ((a != 2 && a != 4 && a != 5) || (text.n > 0 && text.p[0] != ' '))
		return;
	r->status[0] = a;
	r->status[1] = b;
	r->status[2] = c;
}

static uint32_t text_notes(struct span text)
{
	uint32_t notes = 0;
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] == '\r')
			notes |= REPLY_BARE_CR;
		else if (text.p[i] != '\t' && (text.p[i] < 32 || text.p[i] > 126))
			notes |= REPLY_ODD_TEXT;
	}
	return notes;
}

static void add_text(struct reply *r, struct span text)
{
	if (r->line_count > 0)
		buf_add(&r->text, SPAN_LIT("\n"));
	buf_add(&r->text, text);
	if (r->status[0] == 0)
		read_status(r, text);
	r->line_count++;
}

/* A line with a code.  Returns whether it is the reply's last. */
static bool coded_line(struct reply *r, struct span line)
{
	uint16_t code = (uint16_t)((line.p[0] - '0') * 100 + (line.p[1] - '0') * 10 + (line.p[2] - '0'));
	if (line.p[0] < '2' || line.p[0] > '5' || line.p[1] > '5')
		r->notes |= REPLY_ODD_CODE;
	if (r->line_count > 0 && r->code != code)
		r->notes |= REPLY_MIXED_CODES;
	r->code = code;
	if (line.n == 3) {
		r->notes |= REPLY_CODE_ALONE;
		add_text(r, (struct span){ 0 });
		return true;
	}
	char separator = line.p[3];
	if (separator != ' ' && separator != '-') {
		r->notes |= REPLY_NO_SEPARATOR;
		add_text(r, span_sub(line, 3, line.n));
		return true;
	}
	add_text(r, span_sub(line, 4, line.n));
	return separator == ' ';
}

/* line includes its LF. */
static bool end_line(struct reply *r, struct span line)
{
	if (line.n > REPLY_LINE_BYTES_MAX)
		r->notes |= REPLY_LONG_LINE;
	line.n--;
	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	else
		r->notes |= REPLY_BARE_LF;
	r->notes |= text_notes(line);
	if (line.n >= 3 && is_digit(line.p[0]) && is_digit(line.p[1]) && is_digit(line.p[2]))
		return coded_line(r, line);
	r->notes |= REPLY_NO_CODE;
	bool alone = r->line_count == 0;
	add_text(r, line);
	return alone;
}

static void begin(struct reply_reader *r)
{
	struct buf text = r->reply.text;
	buf_reset(&text);
	r->reply = (struct reply){ .text = text };
	buf_reset(&r->line);
	r->bytes = 0;
	r->done = false;
}

size_t reply_read(struct reply_reader *r, struct span in, bool *ret_done)
{
	*ret_done = false;
	if (r->done && in.n > 0)
		begin(r);
	size_t taken = 0;
	while (taken < in.n && !r->done) {
		struct span rest = span_sub(in, taken, REPLY_BYTES_MAX - r->bytes);
		size_t n = span_find(rest, '\n');
		bool whole = n < rest.n;
		n += whole ? 1 : 0;
		buf_add(&r->line, (struct span){ rest.p, n });
		r->bytes += (uint32_t)n;
		taken += n;
		if (whole) {
			r->done = end_line(&r->reply, buf_span(&r->line));
			buf_reset(&r->line);
		}
		if (!r->done && r->bytes == REPLY_BYTES_MAX) {
			r->reply.notes |= REPLY_TOO_BIG;
			r->reply.code = 0;
			r->done = true;
		}
	}
	*ret_done = taken > 0 && r->done;
	return taken;
}

void reply_reader_free(struct reply_reader *r)
{
	buf_free(&r->reply.text);
	buf_free(&r->line);
	*r = (struct reply_reader){ 0 };
}

bool reply_is_strict(const struct reply *r)
{
	return (r->notes & ~(uint32_t)REPLY_CODE_ALONE) == 0;
}

unsigned reply_class(const struct reply *r)
{
	unsigned digit = r->code / 100u;
	return digit >= 2 && digit <= 5 ? digit : 0;
}

struct span reply_line(const struct reply *r, uint32_t i)
{
	if (i >= r->line_count)
		return (struct span){ 0 };
	struct span rest = buf_span(&r->text);
	struct span line = { 0 };
	for (uint32_t at = 0; at <= i; at++) {
		size_t n = span_find(rest, '\n');
		line = (struct span){ rest.p, n };
		rest = span_sub(rest, n + 1, rest.n);
	}
	return line;
}

bool reply_offers(const struct reply *r, struct span keyword, struct span *ret_args)
{
	struct span rest = buf_span(&r->text);
	for (uint32_t at = 0; at < r->line_count; at++) {
		size_t n = span_find(rest, '\n');
		struct span line = { rest.p, n };
		rest = span_sub(rest, n + 1, rest.n);
		if (at == 0 || !span_take_prefix_nocase(&line, keyword))
			continue;
		if (line.n > 0 && line.p[0] != ' ')
			continue;
		if (ret_args != NULL)
			*ret_args = span_trim(line);
		return true;
	}
	return false;
}

void reply_notes_text(uint32_t notes, struct buf *ret_text)
{
	static const char *const names[] = { "bare-lf",  "bare-cr",      "long-line",  "odd-code",
					     "no-code",  "no-separator", "code-alone", "mixed-codes",
					     "odd-text", "too-big" };
	bool any = false;
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if ((notes & (1u << i)) == 0)
			continue;
		if (any)
			buf_add_cstr(ret_text, ", ");
		buf_add_cstr(ret_text, names[i]);
		any = true;
	}
	if (!any)
		buf_add_cstr(ret_text, "none");
}
