/*
 * idna: internationalised domain names in the form that the DNS knows
 * (IDNA2008, RFC 5890 to 5893, by libidn2, with the mapping of UTS 46: a name
 * as people write it, in any case and normal form).
 *
 * Any thread.
 */
#ifndef BASE_IDNA_H
#define BASE_IDNA_H

#include "base/span.h"

enum { IDNA_NAME_BYTES_MAX = 255 };

/*
 * name in lower case, labels that are not ASCII as A-labels ("xn--…").  A name
 * that is all ASCII is only put into lower case: whatever it says is what is
 * looked up.  False, and *ret untouched, when it is no name that IDNA allows, is not
 * well-formed UTF-8, or too long.  *ret borrows from dst.
 */
bool idna_to_ascii(struct span name, char dst[IDNA_NAME_BYTES_MAX + 1], struct span *ret);

#endif
