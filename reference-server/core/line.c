#include "reference-server/core/line.h"

#include <assert.h>
#include <string.h>

enum line_result line_next(struct span in, size_t line_bytes_max, struct span *ret_line,
			   size_t *ret_used_bytes)
{
	assert(line_bytes_max > 0);
	assert(ret_line != NULL);
	assert(ret_used_bytes != NULL);

	/* Nothing behind the longest line and its CRLF can change the verdict. */
	struct span window = span_sub(in, 0, line_bytes_max + 2);
	size_t lf = span_find(window, '\n');
	size_t cr = span_find(span_sub(window, 0, lf), '\r');

	/* cr is now the first byte that may not stand inside a line. */
	if (cr > line_bytes_max)
		return LINE_TOO_LONG;
	if (cr == window.n)
		return LINE_MORE;
	if (cr == lf)
		return LINE_BARE;
	if (cr + 1 == window.n)
		return LINE_MORE; /* the LF may be in flight */
	if (cr + 1 != lf)
		return LINE_BARE;
	*ret_line = (struct span){ in.p, cr };
	*ret_used_bytes = lf + 1;
	return LINE_OK;
}

bool line_skip(struct span in, size_t *ret_used_bytes)
{
	assert(ret_used_bytes != NULL);
	size_t from = 0;

	for (;;) {
		size_t lf = from + span_find(span_sub(in, from, in.n), '\n');
		if (lf == in.n)
			break;
		from = lf + 1;
		if (lf > 0 && in.p[lf - 1] == '\r') {
			*ret_used_bytes = from;
			return true;
		}
	}
	*ret_used_bytes = in.n > 0 && in.p[in.n - 1] == '\r' ? in.n - 1 : in.n;
	return false;
}
