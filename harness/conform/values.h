/*
 * values: the variables of one case while it is played.
 *
 * Values are bytes, owned here.  A secret one must never be shown; a text made
 * from a secret is one itself.
 */
#ifndef HARNESS_CONFORM_VALUES_H
#define HARNESS_CONFORM_VALUES_H

#include "base/buf.h"
#include "base/span.h"
#include "harness/scenario/case.h"

enum { VALUES_MAX = 256 };

struct value {
	char name[41];
	bool secret;
	struct buf value;
};

/* Zeroed is ready. */
struct values {
	struct value items[VALUES_MAX];
	uint32_t count;
};

/* Sets or replaces.  The name fits: the case was checked. */
void values_set(struct values *v, struct span name, struct span value, bool secret);
/* NULL when it has no value. */
const struct value *values_get(const struct values *v, struct span name);
void values_free(struct values *v);

/*
 * Appends the text with its variables replaced.  False, and *ret_missing names
 * the variable, when one has no value: a branch of the case left it out.
 * *ret_secret becomes true when a secret is in it; may be NULL.
 */
bool values_expand(const struct values *v, const struct case_text *t, struct buf *out, bool *ret_secret,
		   struct span *ret_missing);

/*
 * Whether the whole text is as the pattern says.  Variables without a value
 * take one or more bytes that are no blanks; they have their values afterwards
 * when it matched, and not when it did not.
 */
bool values_match(struct values *v, const struct case_text *pattern, struct span text);

#endif
