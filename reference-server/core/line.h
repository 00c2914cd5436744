/*
 * line: cut the next CRLF-terminated command line off a run of received bytes.
 *
 * Pure: no state is kept between calls.  The caller owns the buffer, appends
 * to it, calls again, and drops the first `used` bytes when told to.
 *
 * A bare CR or bare LF inside a line is reported, never repaired: treating it
 * as a line end is what makes message smuggling between two relays possible
 * (RFC 5321 2.3.8).  What comes first in byte order decides: a bare CR or LF
 * within line_bytes_max is LINE_BARE, a byte too many is LINE_TOO_LONG.  After
 * either of them the caller swallows the rest with line_skip().
 */
#ifndef SERVER_CORE_LINE_H
#define SERVER_CORE_LINE_H

#include "base/span.h"

enum line_result {
	LINE_OK,
	LINE_MORE,     /* no verdict yet: append bytes and call again */
	LINE_TOO_LONG, /* no line end within line_bytes_max */
	LINE_BARE,     /* CR without LF, or LF without CR */
};

/*
 * line_bytes_max does not count the CRLF.  *ret_line borrows from `in` and
 * excludes the CRLF; *ret_used_bytes includes it.  Both are written only on
 * LINE_OK.
 */
enum line_result line_next(struct span in, size_t line_bytes_max, struct span *ret_line,
			   size_t *ret_used_bytes);

/*
 * Swallows up to and including the next CRLF.  True when that was found;
 * false when all of `in` belongs to the line, except a final CR, which is not
 * used because its LF may be in flight.
 */
bool line_skip(struct span in, size_t *ret_used_bytes);

#endif
