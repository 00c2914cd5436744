/* base64: the RFC 4648 section 10 vectors, and what RFC 4954 4 wants refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "reference-server/core/base64.h"

static const struct pair {
	const char *plain;
	const char *text;
} pairs[] = {
	{ "", "" },
	{ "f", "Zg==" },
	{ "fo", "Zm8=" },
	{ "foo", "Zm9v" },
	{ "foob", "Zm9vYg==" },
	{ "fooba", "Zm9vYmE=" },
	{ "foobar", "Zm9vYmFy" },
	{ "\xff\xfe\xfd\xfb\xef\xbe", "//79+"
				      "+++" },
};

static void known_pairs_encode_and_decode(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		struct buf encoded = { 0 };
		struct buf decoded = { 0 };

		base64_encode(&encoded, span_of(pairs[i].plain));
		assert_string_equal(buf_cstr(&encoded), pairs[i].text);
		assert_true(base64_decode(&decoded, span_of(pairs[i].text)));
		assert_true(span_eq(buf_span(&decoded), span_of(pairs[i].plain)));
		buf_free(&encoded);
		buf_free(&decoded);
	}
}

static void every_byte_value_comes_back(void **state)
{
	(void)state;
	char bytes[256];
	struct buf encoded = { 0 };
	struct buf decoded = { 0 };

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)i;
	for (size_t n = 250; n <= sizeof(bytes); n++) {
		buf_reset(&encoded);
		buf_reset(&decoded);
		base64_encode(&encoded, (struct span){ bytes, n });
		assert_true(base64_decode(&decoded, buf_span(&encoded)));
		assert_true(span_eq(buf_span(&decoded), (struct span){ bytes, n }));
	}
	buf_free(&encoded);
	buf_free(&decoded);
}

static const struct span malformed[] = {
	{ "Z", 1 },
	{ "Zg", 2 },
	{ "Zg=", 3 },
	{ "=", 1 },
	{ "====", 4 },
	{ "=AAA", 4 },
	{ "AAA=BBB=", 8 },
	{ "Zg==Zg==", 8 },
	{ "Zm9v\n", 5 },
	{ "Zm 9", 4 },
	{ "Zm9-", 4 },
	{ "Zm9_", 4 },
	{ "Zh==", 4 },
	{ "Zm9=", 4 },
	{ "Z===", 4 },
	{ "Zm\0v", 4 },
	{ "Zm9v=", 5 },
	{ "*", 1 },
	{ "\xc3\xa4"
	  "AA",
	  4 },
};

static void malformed_text_is_refused_and_output_untouched(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++) {
		struct buf out = { 0 };

		buf_add_cstr(&out, "x");
		if (base64_is_valid(malformed[i]) || base64_decode(&out, malformed[i]))
			fail_msg("taken: %.*s", SPAN_FMT(malformed[i]));
		assert_string_equal(buf_cstr(&out), "x");
		buf_free(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_pairs_encode_and_decode),
		cmocka_unit_test(every_byte_value_comes_back),
		cmocka_unit_test(malformed_text_is_refused_and_output_untouched),
	};
	return cmocka_run_group_tests_name("base64", tests, NULL, NULL);
}
