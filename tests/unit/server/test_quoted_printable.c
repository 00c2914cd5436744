/* quoted_printable: what the RFC wants, and that nothing is ever changed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "reference-server/core/quoted_printable.h"

static const struct {
	const char *name, *plain, *text, *binary;
} rows[] = {
	{ "nothing", "", "", "" },
	{ "words", "one two\r\n", "one two\r\n", "one two=0D=0A" },
	{ "blank at a line's end", "a \r\nb\t", "a=20\r\nb=09", "a =0D=0Ab=09" },
	{ "equals sign", "a=b", "a=3Db", "a=3Db" },
	{ "8 bits", "\xe9", "=E9", "=E9" },
	{ "bare ends of line", "a\nb\rc\r\r\n", "a=0Ab=0Dc=0D\r\n", "a=0Ab=0Dc=0D=0D=0A" },
	{ "what hosts alter", ".\r\nFrom x", "=2E\r\n=46rom x", "=2E=0D=0AFrom x" },
};

static void each_kind_of_byte_is_encoded_as_the_rfc_has_it(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf out = { 0 };
		quoted_printable_encode(&out, span_of(rows[i].plain), false);
		if (strcmp(buf_cstr(&out), rows[i].text) != 0)
			fail_msg("%s: '%s'", rows[i].name, buf_cstr(&out));
		buf_reset(&out);
		quoted_printable_encode(&out, span_of(rows[i].plain), true);
		if (strcmp(buf_cstr(&out), rows[i].binary) != 0)
			fail_msg("%s, binary: '%s'", rows[i].name, buf_cstr(&out));
		buf_free(&out);
	}
}

/* Bytes that are hard on an encoder, in exactly sized memory. */
static char *random_bytes(unsigned seed, size_t n)
{
	static const char hard[] = "\r\n =.\tF\xe9"
				   "a\0";
	char *p = malloc(n > 0 ? n : 1);

	assert_non_null(p);
	for (size_t i = 0; i < n; i++) {
		seed = seed * 1103515245u + 12345u;
		p[i] = hard[(seed >> 16) % (sizeof(hard) - 1)];
	}
	return p;
}

static void decoding_gives_the_same_bytes_back_and_lines_are_short(void **state)
{
	(void)state;
	for (unsigned seed = 0; seed < 4000; seed++) {
		size_t n = seed % 400;
		char *p = random_bytes(seed, n);
		struct buf text = { 0 }, back = { 0 };
		size_t line_bytes = 0;
		bool binary = seed % 2 == 1;
		quoted_printable_encode(&text, (struct span){ p, n }, binary);
		for (size_t i = 0; i < buf_bytes(&text); i++) {
			line_bytes = buf_span(&text).p[i] == '\n' ? 0 : line_bytes + 1;
			assert_true(line_bytes <= 77); /* 76 and the CR */
		}
		assert_true(quoted_printable_decode(&back, buf_span(&text)));
		assert_true(span_eq(buf_span(&back), (struct span){ p, n }));
		buf_free(&text);
		buf_free(&back);
		free(p);
	}
}

static void what_no_encoder_writes_is_not_decoded(void **state)
{
	static const char *const bad[] = { "=", "=4", "=4g", "=e9", "a\nb", "a\rb", "\xe9", "=\n" };
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct buf out = { 0 };
		if (quoted_printable_decode(&out, span_of(bad[i])) || buf_bytes(&out) > 0)
			fail_msg("'%s' was decoded", bad[i]);
		buf_free(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_kind_of_byte_is_encoded_as_the_rfc_has_it),
		cmocka_unit_test(decoding_gives_the_same_bytes_back_and_lines_are_short),
		cmocka_unit_test(what_no_encoder_writes_is_not_decoded),
	};
	return cmocka_run_group_tests_name("quoted_printable", tests, NULL, NULL);
}
