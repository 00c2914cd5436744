/*
 * base64: RFC 4648 section 4, as strict as RFC 4954 4 asks for: no character
 * outside the alphabet, no blanks, padding at the end only and never missing,
 * and no stray bits under the padding (RFC 4648 3.5).  The empty text is
 * valid and decodes to nothing.
 */
#ifndef SERVER_CORE_BASE64_H
#define SERVER_CORE_BASE64_H

#include "base/buf.h"
#include "base/span.h"

bool base64_is_valid(struct span text);

/* Appends the decoded bytes.  False, and out untouched, when text is not valid. */
bool base64_decode(struct buf *out, struct span text);

/* Appends the encoded text, on one line. */
void base64_encode(struct buf *out, struct span bytes);

#endif
