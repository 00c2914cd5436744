/*
 * convert: makes mail with 8-bit or binary content fit for a next hop that
 * takes neither (RFC 6152 3, RFC 3030 3), as RFC 2045 and 2046 allow it.
 *
 * Parts that hold what 7-bit transport does not carry become quoted-printable
 * or base64, and say so; multiparts and message/rfc822 around them say 7bit.
 * Everything else stays as it is, byte for byte: what decodes to some bytes
 * before decodes to the same bytes after.  A message that is no MIME becomes
 * one, of charset unknown-8bit (RFC 1428), for that is all that is known.
 *
 * What would have to be guessed or broken is not converted: see the results.
 * Pure: the whole message in one span, the result in one buf.
 */
#ifndef SERVER_CORE_CONVERT_H
#define SERVER_CORE_CONVERT_H

#include "base/buf.h"
#include "base/span.h"

enum { CONVERT_DEPTH_MAX = 32 }; /* of parts within parts */

enum convert_result {
	CONVERT_OK,
	CONVERT_HEADER,    /* 8-bit bytes in a header: nothing encodes those but SMTPUTF8 (RFC 6532) */
	CONVERT_SIGNED,    /* a part that is signed as it is (RFC 1847 2.1) */
	CONVERT_MALFORMED, /* no structure that could be kept, or nested too deep */
};

/* Appends the converted message; what was appended means nothing unless OK. */
enum convert_result convert_to_7bit(struct buf *out, struct span message);

/* ASCII, no NUL, CR and LF only together, lines of at most 998 bytes. */
bool convert_is_7bit(struct span s);

#endif
