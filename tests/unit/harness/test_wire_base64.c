/*
 * base64 and quoted-printable: the vectors of RFC 4648 section 10, what SASL
 * must refuse, and what MIME lets pass.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/wire/base64.h"
#include "tests/unit/harness/exact.h"

static void the_rfcs_vectors_encode_and_decode(void **state)
{
	static const struct {
		const char *plain;
		const char *text;
	} table[] = { { "", "" },
		      { "f", "Zg==" },
		      { "fo", "Zm8=" },
		      { "foo", "Zm9v" },
		      { "foob", "Zm9vYg==" },
		      { "fooba", "Zm9vYmE=" },
		      { "foobar", "Zm9vYmFy" },
		      { "\xff\xfe\xfd", "//79" },
		      { "\xfb\xef\xbe", "++++" } };
	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct buf text = { 0 }, plain = { 0 }, mime = { 0 };
		struct exact in = exact_of(span_of(table[i].plain));
		struct exact coded = exact_of(span_of(table[i].text));
		base64_encode(exact_span(in), &text);
		assert_span_text(buf_span(&text), table[i].text);
		assert_true(base64_decode(exact_span(coded), &plain));
		assert_span_text(buf_span(&plain), table[i].plain);
		assert_true(base64_decode_mime(exact_span(coded), &mime));
		assert_span_text(buf_span(&mime), table[i].plain);
		exact_free(in);
		exact_free(coded);
		buf_free(&text);
		buf_free(&plain);
		buf_free(&mime);
	}
}

static void sasl_takes_nothing_else(void **state)
{
	static const char *const table[] = { "Z",    "Zg",   "Zg=",      "Zg===", "====",
					     "Zh==", "Zm9=", "Zm9v\r\n", " Zm9v", "Zm 9",
					     "Z===", "=AAA", "AAA=BBBB", "Zm9*",  "-_-_" };
	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct exact in = exact_of(span_of(table[i]));
		struct buf out = { 0 };
		buf_add_cstr(&out, "kept");
		if (base64_decode(exact_span(in), &out))
			fail_msg("\"%s\" was taken", table[i]);
		assert_span_text(buf_span(&out), "kept");
		buf_free(&out);
		exact_free(in);
	}
}

static void mime_skips_what_is_no_letter_of_it(void **state)
{
	static const struct {
		const char *in;
		const char *out;
		bool good;
	} table[] = { { "Zm9v\r\nYmFy\r\n", "foobar", true },
		      { "Z m\t9v", "foo", true },
		      { "Zg==\r\n", "f", true },
		      { "Zg", "f", false },
		      { "Z", "", false },
		      { "Zg=", "f", false },
		      { "Zm9v====", "foo", false } };
	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct exact in = exact_of(span_of(table[i].in));
		struct buf out = { 0 };
		assert_int_equal(base64_decode_mime(exact_span(in), &out), table[i].good);
		assert_span_text(buf_span(&out), table[i].out);
		buf_free(&out);
		exact_free(in);
	}
}

static void quoted_printable_is_undone(void **state)
{
	static const struct {
		const char *name;
		const char *in;
		const char *out;
		bool good;
	} table[] = {
		{ "plain", "a\r\nb\r\n", "a\r\nb\r\n", true },
		{ "hex", "=3D=c3=A4", "=\xc3\xa4", true },
		{ "soft line end", "a=\r\nb", "ab", true },
		{ "soft line end with blanks", "a= \t\r\nb", "ab", true },
		{ "trailing blanks were added on the way", "a \t\r\nb ", "a\r\nb", true },
		{ "soft end at the end of all", "a=", "a", true },
		{ "bad hex stays", "=4x", "=4x", false },
		{ "cut hex stays", "a=4", "a=4", false },
		{ "LF alone stays what it is", "a\nb=\nc", "a\nbc", true },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct exact in = exact_of(span_of(table[i].in));
		struct buf out = { 0 };
		bool good = quoted_printable_decode(exact_span(in), &out);
		if (good != table[i].good || strcmp(buf_cstr(&out), table[i].out) != 0)
			fail_msg("%s: %d \"%s\"", table[i].name, good, buf_cstr(&out));
		buf_free(&out);
		exact_free(in);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_rfcs_vectors_encode_and_decode),
		cmocka_unit_test(sasl_takes_nothing_else),
		cmocka_unit_test(mime_skips_what_is_no_letter_of_it),
		cmocka_unit_test(quoted_printable_is_undone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
