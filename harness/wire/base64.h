/*
 * base64: RFC 4648 section 4, and the two MIME transfer encodings of RFC 2045.
 */
#ifndef HARNESS_WIRE_BASE64_H
#define HARNESS_WIRE_BASE64_H

#include "base/buf.h"
#include "base/span.h"

/* Appends one line without line ends. */
void base64_encode(struct span in, struct buf *ret_text);

/* As SASL has it: whole quads, right padding, zero pad bits, nothing else.  On false nothing was appended. */
bool base64_decode(struct span in, struct buf *ret_bytes);

/* As MIME has it (RFC 2045 section 6.8): ignores other characters, stops at padding.  False: not whole quads.
 */
bool base64_decode_mime(struct span in, struct buf *ret_bytes);

/* RFC 2045 section 6.7.  Leaves a malformed "=" as it is and returns false then. */
bool quoted_printable_decode(struct span in, struct buf *ret_bytes);

#endif
