/* utf8: RFC 3629 4 at its borders. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "reference-server/core/utf8.h"

static const struct row {
	const char *name;
	const char *text;
	size_t bytes; /* of the character in front */
	uint32_t code_point;
} rows[] = {
	{ "the first of two bytes", "\xc2\x80", 2, 0x80 },
	{ "the last of two bytes", "\xdf\xbf", 2, 0x7FF },
	{ "the first of three bytes", "\xe0\xa0\x80", 3, 0x800 },
	{ "the last before the surrogates", "\xed\x9f\xbf", 3, 0xD7FF },
	{ "the first behind the surrogates", "\xee\x80\x80", 3, 0xE000 },
	{ "the first of four bytes", "\xf0\x90\x80\x80", 4, 0x10000 },
	{ "the last of all", "\xf4\x8f\xbf\xbf", 4, 0x10FFFF },
	{ "only the first is looked at", "\xc3\xa4\xff", 2, 0xE4 },
	{ "ASCII", "a", 0, 0 },
	{ "a continuation", "\x80", 0, 0 },
	{ "overlong of two", "\xc1\xbf", 0, 0 },
	{ "overlong of three", "\xe0\x9f\xbf", 0, 0 },
	{ "overlong of four", "\xf0\x8f\xbf\xbf", 0, 0 },
	{ "a surrogate", "\xed\xa0\x80", 0, 0 },
	{ "beyond the last", "\xf4\x90\x80\x80", 0, 0 },
	{ "a byte that never is", "\xf5\x80\x80\x80", 0, 0 },
	{ "cut after one of two", "\xc3", 0, 0 },
	{ "cut after three of four", "\xf0\x90\x80", 0, 0 },
	{ "ended by ASCII", "\xe2\x82z", 0, 0 },
};

static void characters_are_told_from_other_bytes(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t n = strlen(rows[i].text);
		char *exact = malloc(n);
		assert_non_null(exact);
		memcpy(exact, rows[i].text, n);
		struct span s = { exact, n };

		if (utf8_char_bytes(s, 0) != rows[i].bytes)
			fail_msg("%s: got %zu", rows[i].name, utf8_char_bytes(s, 0));
		if (rows[i].bytes > 0)
			assert_int_equal(utf8_code_point(s, rows[i].bytes), rows[i].code_point);
		free(exact);
	}
}

static void whole_texts_are_judged(void **state)
{
	(void)state;
	assert_true(utf8_is_valid(SPAN_LIT("")));
	assert_true(utf8_is_valid(SPAN_LIT("a\xc3\xa4z\xe2\x82\xac")));
	assert_false(utf8_is_valid(SPAN_LIT("a\xc3\xa4z\xe4")));
	assert_false(utf8_is_valid(SPAN_LIT("a\xc3\xa4z\xe2\x82")));
	assert_true(utf8_is_ascii(SPAN_LIT("az\x7f")));
	assert_false(utf8_is_ascii(SPAN_LIT("az\x80")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(characters_are_told_from_other_bytes),
		cmocka_unit_test(whole_texts_are_judged),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
