/*
 * quoted_printable: the encoding of RFC 2045 6.7, for bytes that have to pass
 * where only lines of ASCII do.
 *
 * Encoding is exact: decoding gives the same bytes back, whatever they are.
 * As text, CRLF is a line end and stays one; as binary, every CR and LF is
 * written as "=0D" and "=0A".  A CR or LF that stands alone is encoded either
 * way.  Lines are at most 76 characters long.  Blanks before a line end are
 * encoded (rule 3), and so is a dot at the beginning of a line, and the
 * beginning of "From ", which some hosts alter.
 */
#ifndef SERVER_CORE_QUOTED_PRINTABLE_H
#define SERVER_CORE_QUOTED_PRINTABLE_H

#include "base/buf.h"
#include "base/span.h"

/* bytes are the whole text.  Adds no line end behind it. */
void quoted_printable_encode(struct buf *out, struct span bytes, bool binary);

/* Strict: false, and out untouched, for what an encoder must not write.  Soft line breaks vanish. */
bool quoted_printable_decode(struct buf *out, struct span text);

#endif
