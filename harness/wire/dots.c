#include "harness/wire/dots.h"

#include <assert.h>
#include <string.h>

/* Zero must be the beginning of a line. */
enum {
	AT_LINE = 0,
	AFTER_DOT,    /* a line's first dot was read and is held */
	AFTER_DOT_CR, /* dot and CR are held */
	IN_TEXT,
	ENDED,
};

/*
 * dots_reader.lone follows the ends a lenient reader would see inside what is
 * content for a strict one: 1 after a lone CR or LF, 2 after a dot behind it.
 */
enum { LONE_NONE = 0, LONE_EOL, LONE_DOT };

enum {
	LINE_BYTES_MAX = 1000,
	SKIP_BYTES_MAX = 4096, /* keeps the search for line ends linear, whatever the content */
	BLOCK_BYTES = 256,     /* two of them are shorter than LINE_BYTES_MAX; a constant, to be vectorised */
};

static void count_line(struct dots_reader *r, size_t n)
{
	if (n > LINE_BYTES_MAX || r->line_bytes + n > LINE_BYTES_MAX) {
		r->notes |= DOTS_LONG_LINE;
		r->line_bytes = LINE_BYTES_MAX + 1;
	} else {
		r->line_bytes += (uint32_t)n;
	}
}

static void lone_line_end(struct dots_reader *r, uint32_t note)
{
	r->notes |= note;
	if (r->lone == LONE_DOT)
		r->notes |= DOTS_FALSE_END;
	r->lone = LONE_EOL;
}

/* One byte of text; r->prev is the one before. */
static void text_byte(struct dots_reader *r, char c)
{
	count_line(r, 1);
	if (r->prev == '\r' && c != '\n')
		lone_line_end(r, DOTS_BARE_CR);
	if (c == '\n' && r->prev == '\r') {
		if (r->lone == LONE_DOT)
			r->notes |= DOTS_FALSE_END;
		r->lone = LONE_NONE;
		r->state = AT_LINE;
		r->line_bytes = 0;
	} else if (c == '\n') {
		lone_line_end(r, DOTS_BARE_LF);
	} else if (c != '\r') {
		r->lone = r->lone == LONE_EOL && c == '.' ? LONE_DOT : LONE_NONE;
	}
	r->prev = (unsigned char)c;
}

/* Bytes from the front that are neither CR nor LF, when nothing is pending. */
static size_t boring_bytes(const struct dots_reader *r, struct span in)
{
	if (r->prev == '\r' || r->lone != LONE_NONE)
		return 0;
	size_t n = span_find(span_sub(in, 0, SKIP_BYTES_MAX), '\n');
	return span_find((struct span){ in.p, n }, '\r');
}

/* Bytes of a whole line, or rest of one, that ends in CRLF and holds no other CR, when nothing is pending. */
static size_t plain_line_bytes(const struct dots_reader *r, struct span in)
{
	if (r->prev == '\r' || r->lone != LONE_NONE)
		return 0;
	size_t max = in.n < SKIP_BYTES_MAX ? in.n : SKIP_BYTES_MAX;
	const char *lf = memchr(in.p, '\n', max);
	if (lf == NULL || lf == in.p || lf[-1] != '\r')
		return 0;
	size_t n = (size_t)(lf - in.p);
	return memchr(in.p, '\r', n - 1) == NULL ? n + 1 : 0;
}

/*
 * Whether the block, and the byte behind it, hold what needs no look at each
 * line: CR and LF in pairs only, no line that begins with a dot.  A pair may
 * reach over the end.
 */
static bool block_is_plain(const char *p, bool *ret_has_end)
{
	unsigned char odd = 0, ends = 0;
	for (unsigned i = 0; i < BLOCK_BYTES; i++) {
		unsigned char cr = p[i] == '\r', lf = p[i] == '\n';
		unsigned char next_lf = p[i + 1] == '\n', next_dot = p[i + 1] == '.';
		odd |= (unsigned char)((cr ^ next_lf) | (lf & next_dot));
		ends |= lf;
	}
	*ret_has_end = ends != 0;
	return odd == 0;
}

/*
 * Bytes of whole lines from the start of a line on that are plain by blocks, and
 * not long because at most one block has no line end.  *ret_looked_at: so many
 * were seen, and what they hold beyond the returned is for another look.
 */
static size_t plain_lines_bytes(struct span in, size_t *ret_looked_at)
{
	size_t n = 0;
	bool has_end = true, before = true;
	*ret_looked_at = BLOCK_BYTES;
	if (in.n <= BLOCK_BYTES || in.p[0] == '\n')
		return 0;
	while (in.n - n > BLOCK_BYTES && block_is_plain(in.p + n, &has_end) && (has_end || before)) {
		n += BLOCK_BYTES;
		before = has_end;
	}
	*ret_looked_at = n + BLOCK_BYTES;
	const char *last = memrchr(in.p, '\n', n);
	return last != NULL ? (size_t)(last - in.p) + 1 : 0;
}

/* Text up to the next line that begins with a dot. */
static size_t read_text(struct dots_reader *r, struct span in)
{
	size_t i = 0, look_at = 0;
	while (i < in.n) {
		if (r->state == AT_LINE) {
			if (in.p[i] == '.')
				break;
			size_t looked_at = 0, lines = 0;
			if (i >= look_at && r->lone == LONE_NONE) {
				lines = plain_lines_bytes(span_sub(in, i, in.n), &looked_at);
				look_at = i + looked_at;
			}
			if (lines > 0) {
				r->prev = '\n';
				i += lines;
				continue;
			}
			r->state = IN_TEXT;
		}
		/* Nearly every line is one of these: the general way costs twice as much. */
		size_t line = plain_line_bytes(r, (struct span){ in.p + i, in.n - i });
		if (line > 0) {
			count_line(r, line);
			r->state = AT_LINE;
			r->line_bytes = 0;
			r->prev = '\n';
			i += line;
			continue;
		}
		size_t skip = boring_bytes(r, (struct span){ in.p + i, in.n - i });
		if (skip > 0) {
			count_line(r, skip);
			r->prev = (unsigned char)in.p[i + skip - 1];
			i += skip;
		} else {
			text_byte(r, in.p[i]);
			i++;
		}
	}
	return i;
}

/* The held dot was no end; it goes, as the first of a stuffed line does. */
static void delete_dot(struct dots_reader *r, char next)
{
	if (next != '.')
		r->notes |= DOTS_UNSTUFFED_DOT;
	r->state = IN_TEXT;
	r->prev = '.';
}

size_t dots_read(struct dots_reader *r, struct span in, struct span *ret_data, bool *ret_end)
{
	assert(r->state != ENDED);
	*ret_data = (struct span){ 0 };
	*ret_end = false;
	if (in.n == 0)
		return 0;
	char c = in.p[0];
	if (r->state == AT_LINE && c == '.') {
		r->state = AFTER_DOT;
		return 1;
	}
	if (r->state == AFTER_DOT && c == '\r') {
		r->state = AFTER_DOT_CR;
		return 1;
	}
	if (r->state == AFTER_DOT) {
		if (c == '\n')
			r->notes |= DOTS_FALSE_END;
		delete_dot(r, c);
	} else if (r->state == AFTER_DOT_CR && c == '\n') {
		r->state = ENDED;
		*ret_end = true;
		return 1;
	} else if (r->state == AFTER_DOT_CR) {
		r->notes |= DOTS_FALSE_END;
		delete_dot(r, '\r');
		text_byte(r, '\r');
		*ret_data = SPAN_LIT("\r");
		return 0;
	}
	size_t n = read_text(r, in);
	*ret_data = (struct span){ in.p, n };
	return n;
}

/* ---- writing ---- */
enum { WRITE_AT_LINE = 0, WRITE_IN_LINE, WRITE_AFTER_CR };

/* Up to and with the next line end that a dot follows; all when there is none. */
static size_t to_dot_bytes(struct span in)
{
	size_t n = 0;
	while (in.n - n > BLOCK_BYTES) {
		unsigned char found = 0;
		for (unsigned i = 0; i < BLOCK_BYTES; i++)
			found |= (unsigned char)((in.p[n + i] == '\n') & (in.p[n + i + 1] == '.'));
		if (found != 0)
			break;
		n += BLOCK_BYTES;
	}
	for (; n + 1 < in.n; n++)
		if (in.p[n] == '\n' && in.p[n + 1] == '.')
			return n + 1;
	return in.n;
}

void dots_write(struct dots_writer *w, struct span in, struct buf *ret_wire)
{
	(void)buf_reserve(ret_wire, in.n + in.n / BLOCK_BYTES + 8);
	while (in.n > 0) {
		if (w->state == WRITE_AT_LINE && in.p[0] == '.')
			buf_add(ret_wire, SPAN_LIT("."));
		size_t n = to_dot_bytes(in);
		bool after_cr = n > 1 ? in.p[n - 2] == '\r' : w->state == WRITE_AFTER_CR;
		char last = in.p[n - 1];
		if (last == '\n' && after_cr)
			w->state = WRITE_AT_LINE;
		else
			w->state = last == '\r' ? WRITE_AFTER_CR : WRITE_IN_LINE;
		buf_add(ret_wire, (struct span){ in.p, n });
		in = span_sub(in, n, in.n);
	}
}

void dots_write_end(struct dots_writer *w, struct buf *ret_wire)
{
	if (w->state != WRITE_AT_LINE)
		buf_add(ret_wire, SPAN_LIT("\r\n"));
	buf_add(ret_wire, SPAN_LIT(".\r\n"));
	*w = (struct dots_writer){ 0 };
}
