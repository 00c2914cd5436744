/*
 * content_check: what can be asked of a message that a next hop took beyond what the
 * message itself says: whether it is the one that was submitted, whether the
 * signature of that one holds, and how next hops of other kinds would have
 * read the bytes by which it came.
 *
 * What a message says is message_check.h's.
 */
#ifndef HARNESS_CONFORM_CONTENT_CHECK_H
#define HARNESS_CONFORM_CONTENT_CHECK_H

#include "harness/conform/hop.h"

/* Whether all checks of that kind below the step hold; else *why says what does not. */
bool content_check(const struct hop_content *c, const struct case_step *s, struct span submitted,
		   struct buf *why);

#endif
