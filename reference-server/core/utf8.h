/*
 * utf8: well-formed UTF-8 (RFC 3629 4) told from other bytes.
 *
 * Pure and without state.  Overlong forms, surrogates and what lies beyond
 * U+10FFFF are not well-formed.
 */
#ifndef SERVER_CORE_UTF8_H
#define SERVER_CORE_UTF8_H

#include "base/span.h"

/* How many bytes the character beyond ASCII that begins at index i has, 2 to 4; 0 when none does. */
size_t utf8_char_bytes(struct span s, size_t i);

/* ASCII counts as UTF-8. */
bool utf8_is_valid(struct span s);
bool utf8_is_ascii(struct span s);

/* The code point of the character that begins at s.p[0], whose length utf8_char_bytes() gave. */
uint32_t utf8_code_point(struct span s, size_t bytes);

#endif
