#include "base/random.h"
#include "reference-server/core/stuffing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

/* RFC 5321 4.5.2 and 2.3.8 a byte at a time, as plainly as it can be said. */
static bool stuff_slowly(struct span in, bool stuff, struct buf *out)
{
	bool bare = false, line_start = true;

	for (size_t i = 0; i < in.n; i++) {
		bool after_cr = i > 0 && in.p[i - 1] == '\r';
		if (stuff && line_start && in.p[i] == '.')
			buf_add(out, SPAN_LIT("."));
		buf_add(out, span_sub(in, i, 1));
		line_start = in.p[i] == '\n' && after_cr;
		bare |= (in.p[i] == '\n') != after_cr;
	}
	return bare || (in.n > 0 && in.p[in.n - 1] == '\r');
}

/* In pieces of so many bytes, each in a heap block of its size. */
static bool stuff_in_pieces(struct span in, size_t piece, bool stuff, struct buf *out)
{
	struct stuffing s;
	struct buf end = { 0 };

	stuffing_init(&s);
	for (size_t at = 0; at < in.n; at += piece) {
		struct span part = span_sub(in, at, piece);
		char *copy = malloc(part.n);
		assert_non_null(copy);
		memcpy(copy, part.p, part.n);
		if (stuff)
			stuffing_add(&s, out, (struct span){ copy, part.n });
		else
			stuffing_pass(&s, out, (struct span){ copy, part.n });
		free(copy);
	}
	bool at_line_start = in.n == 0 || (in.n > 1 && memcmp(in.p + in.n - 2, "\r\n", 2) == 0);
	stuffing_end(&s, &end);
	assert_string_equal(buf_cstr(&end), at_line_start ? ".\r\n" : "\r\n.\r\n");
	buf_free(&end);
	return s.bare_eol;
}

static void check(struct span content)
{
	static const size_t pieces[] = { 1, 2, 3, 7, 255, 256, 257, 300, 513, 100000 };

	for (unsigned stuff = 0; stuff < 2; stuff++) {
		struct buf slow = { 0 };
		bool bare = stuff_slowly(content, stuff, &slow);
		for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
			struct buf fast = { 0 };
			assert_int_equal(stuff_in_pieces(content, pieces[i], stuff, &fast), bare);
			assert_true(span_eq(buf_span(&fast), buf_span(&slow)));
			buf_free(&fast);
		}
		buf_free(&slow);
	}
}

static void short_content_is_stuffed(void **state)
{
	static const char *const contents[] = {
		"",    ".",   "..",      "\r\n", ".\r\n", "\r\n.",       "a\r\n.b\r\n",
		"\n.", "\r.", "\r\r\n.", "\r",   "a\rb",  "\n\r\n.\r\n",
	};
	(void)state;
	for (size_t i = 0; i < sizeof(contents) / sizeof(contents[0]); i++)
		check(span_of(contents[i]));
}

/* Long content is passed over by blocks: what is odd must be found wherever it stands. */
static void odd_places_are_found_in_long_content(void **state)
{
	static const char *const odd[] = { "\n",  "\r", "\r\n.",  "\r\n..", "\n.",
					   "\r.", ".",  "\r\r\n", "\r\n\n", "\n\r\n." };
	(void)state;
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		for (size_t at = 240; at < 530; at += at < 250 || (at > 500 && at < 520) ? 1 : 17) {
			struct buf content = { 0 };
			for (size_t n = 0; n < 1200; n++)
				buf_add(&content, n == at        ? span_of(odd[i])
						  : n % 79 == 78 ? SPAN_LIT("\r\n")
								 : SPAN_LIT("x"));
			check(buf_span(&content));
			buf_free(&content);
		}
	}
}

static void random_content_is_stuffed(void **state)
{
	static const char *const words[] = {
		"x", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "\r\n", "\r\n", "\r\n.", ".", "\r", "\n"
	};
	struct rng r = rng_seed(1);
	(void)state;
	for (unsigned round = 0; round < 300; round++) {
		struct buf content = { 0 };
		/* Most of it has nothing bare. */
		unsigned words_used = round % 3 == 0 ? 8 : 6;
		while (buf_bytes(&content) < 1000)
			buf_add_cstr(&content, words[rng_u64(&r) % words_used]);
		check(buf_span(&content));
		buf_free(&content);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(short_content_is_stuffed),
		cmocka_unit_test(odd_places_are_found_in_long_content),
		cmocka_unit_test(random_content_is_stuffed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
