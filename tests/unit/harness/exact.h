/*
 * exact: test input in heap blocks of exactly its size, so that the address
 * sanitizer sees a read one byte too far.
 */
#ifndef TESTS_UNIT_HARNESS_EXACT_H
#define TESTS_UNIT_HARNESS_EXACT_H

#include "base/buf.h"
#include "base/span.h"

#include <stdlib.h>
#include <string.h>

struct exact {
	char *p;
	size_t n;
};

static inline struct exact exact_of(struct span s)
{
	struct exact e = { malloc(s.n > 0 ? s.n : 1), s.n };
	if (e.p == NULL)
		abort();
	if (s.n > 0)
		memcpy(e.p, s.p, s.n);
	return e;
}

static inline struct span exact_span(struct exact e)
{
	return (struct span){ e.p, e.n };
}

static inline void exact_free(struct exact e)
{
	free(e.p);
}

/* Fails the test with both texts when they differ. */
#define assert_span_text(span_expr, cstr)                         \
	do {                                                      \
		struct buf text_got = { 0 };                      \
		buf_add(&text_got, (span_expr));                  \
		assert_string_equal(buf_cstr(&text_got), (cstr)); \
		buf_free(&text_got);                              \
	} while (0)

#endif
