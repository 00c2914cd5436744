/*
 * span: a borrowed, read-only run of bytes.
 *
 * A span never owns memory and is never assumed to be NUL-terminated.  It is
 * valid only as long as the buffer it was cut from; every function that
 * returns one says which buffer that is.  An empty span has n == 0 and its p
 * may be NULL.  Comparisons that ignore case do so for ASCII only and never
 * look at the locale.
 */
#ifndef BASE_SPAN_H
#define BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct span {
	const char *p;
	size_t n;
};

/* For string literals only: the size comes from the array type. */
#define SPAN_LIT(s) ((struct span){ "" s, sizeof(s) - 1 })

/* For printf("%.*s", SPAN_FMT(s)). */
#define SPAN_FMT(s) (int)(s).n, (s).n > 0 ? (s).p : ""

struct span span_of(const char *cstr);
bool span_eq(struct span a, struct span b);
bool span_eq_nocase(struct span a, struct span b);
bool span_starts_nocase(struct span s, struct span prefix);
bool span_ends_nocase(struct span s, struct span suffix);

/* Index of the first c, or s.n when there is none. */
size_t span_find(struct span s, char c);
/* Whether part stands anywhere in it; an empty one does. */
bool span_contains(struct span s, struct span part);

/* The part from byte `from` on, at most `n` bytes; clipped to what is there. */
struct span span_sub(struct span s, size_t from, size_t n);

/* Without blanks and tabs at either end. */
struct span span_trim(struct span s);

/* Cut helpers consume from the front of *s.  On false, *s is untouched. */
bool span_take_prefix_nocase(struct span *s, struct span prefix);
bool span_take_until(struct span *s, char stop, struct span *ret_head);

/* Decimal digits only, no sign, no blanks, whole span.  False on overflow or anything else. */
bool span_to_u64(struct span s, uint64_t *ret_value);

/* Copies into a fixed array and NUL-terminates.  False, and dst empty, when it does not fit or holds NUL. */
bool span_copy(struct span s, char *dst, size_t dst_bytes);

#endif
