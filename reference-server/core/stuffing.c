#include "reference-server/core/stuffing.h"

#include <string.h>

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

void stuffing_add(struct stuffing *s, struct buf *out, struct span bytes)
{
	size_t run = 0, at = 0;

	while (at < bytes.n) {
		if (s->at_line_start && bytes.p[at] == '.') {
			buf_add(out, span_sub(bytes, run, at - run));
			buf_add(out, SPAN_LIT("."));
			run = at;
		}
		at += scan_line(s, span_sub(bytes, at, bytes.n));
	}
	buf_add(out, span_sub(bytes, run, bytes.n));
}

void stuffing_pass(struct stuffing *s, struct buf *out, struct span bytes)
{
	for (size_t at = 0; at < bytes.n;)
		at += scan_line(s, span_sub(bytes, at, bytes.n));
	buf_add(out, bytes);
}

void stuffing_end(struct stuffing *s, struct buf *out)
{
	s->bare_eol |= s->after_cr;
	buf_add(out, s->at_line_start ? SPAN_LIT(".\r\n") : SPAN_LIT("\r\n.\r\n"));
}
