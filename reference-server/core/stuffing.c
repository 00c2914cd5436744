#include "reference-server/core/stuffing.h"

#include "reference-server/core/mutant.h"

#include <string.h>

enum { BLOCK_BYTES = 256 }; /* a constant, so that the loop over one is vectorised */

void stuffing_init(struct stuffing *s)
{
	*s = (struct stuffing){ .at_line_start = true };
}

/* Looks at one line, or the rest of the bytes when no LF follows; says where it ends. */
static size_t scan_line(struct stuffing *s, struct span bytes)
{
	size_t lf = span_find(bytes, '\n');
	size_t cr = span_find(span_sub(bytes, 0, lf), '\r');
	bool has_lf = lf < bytes.n;

	if (s->after_cr && lf > 0)
		s->bare_eol = true; /* the CR ending the bytes before */
	if (cr + 1 < lf)
		s->bare_eol = true;
	s->after_cr = lf > 0 ? bytes.p[lf - 1] == '\r' : s->after_cr;
	if (!has_lf) {
		s->at_line_start = false;
		return bytes.n;
	}
	s->bare_eol |= !s->after_cr;
	s->at_line_start = s->after_cr;
	s->after_cr = false;
	return lf + 1;
}

/*
 * Whether nothing in the block, with the byte behind it, needs a look of its
 * own: CR and LF come in pairs, and no line begins with a dot, where those
 * matter.  A LF as its first byte is the caller's.
 */
static bool block_is_plain(const char *p, bool dots_matter)
{
	unsigned char odd = 0, matter = dots_matter;

	for (unsigned i = 0; i < BLOCK_BYTES; i++) {
		unsigned char cr = p[i] == '\r', lf = p[i] == '\n';
		unsigned char next_lf = p[i + 1] == '\n', next_dot = p[i + 1] == '.';
		odd |= (unsigned char)((cr ^ next_lf) | (lf & next_dot & matter));
	}
	return odd == 0;
}

/* Passes over blocks in which there is nothing to find; most content is nothing else. */
static size_t skip_plain(struct stuffing *s, struct span bytes, bool dots_matter)
{
	size_t n = 0;

	if (bytes.n <= BLOCK_BYTES || s->after_cr || bytes.p[0] == '\n')
		return 0;
	while (bytes.n - n > BLOCK_BYTES && block_is_plain(bytes.p + n, dots_matter))
		n += BLOCK_BYTES;
	if (n > 0) {
		s->after_cr = bytes.p[n - 1] == '\r';
		s->at_line_start = bytes.p[n - 1] == '\n';
	}
	return n;
}

void stuffing_add(struct stuffing *s, struct buf *out, struct span bytes)
{
	size_t run = 0, at = 0;

	while (at < bytes.n) {
		if (s->at_line_start && bytes.p[at] == '.' && !MUTANT(RELAY_NO_STUFFING)) {
			buf_add(out, span_sub(bytes, run, at - run));
			buf_add(out, SPAN_LIT("."));
			run = at;
		}
		size_t plain = skip_plain(s, span_sub(bytes, at, bytes.n), true);
		at += plain > 0 ? plain : scan_line(s, span_sub(bytes, at, bytes.n));
	}
	buf_add(out, span_sub(bytes, run, bytes.n));
}

void stuffing_pass(struct stuffing *s, struct buf *out, struct span bytes)
{
	for (size_t at = 0; at < bytes.n;) {
		size_t plain = skip_plain(s, span_sub(bytes, at, bytes.n), false);
		at += plain > 0 ? plain : scan_line(s, span_sub(bytes, at, bytes.n));
	}
	buf_add(out, bytes);
}

void stuffing_end(struct stuffing *s, struct buf *out)
{
	s->bare_eol |= s->after_cr;
	buf_add(out,
		s->at_line_start && !MUTANT(RELAY_EXTRA_CRLF) ? SPAN_LIT(".\r\n") : SPAN_LIT("\r\n.\r\n"));
}
