#include "harness/world/redact.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct row {
	const char *name;
	const char *text;
	const char *out;
} rows[] = {
	{ "nothing", "no secret here", "no secret here" },
	{ "as it is", "password=tiger!", "password=[redacted]!" },
	{ "at both ends", "tiger tiger", "[redacted] [redacted]" },
	{ "part of a word", "tigers and paper-tiger1", "tigers and paper-tiger1" },
	{ "for LOGIN", "334 dGlnZXI=\r\n", "334 dGlnZXI=\r\n" }, /* 7 characters of base64 say too little */
	{ "a long one for LOGIN", "Y29ycmVjdC1ob3JzZQ==", "[redacted]==" },
	{ "for PLAIN", "AUTH PLAIN AGFubkBhLmV4YW1wbGUAdGlnZXI=", "AUTH PLAIN [redacted]=" },
	{ "for PLAIN with authzid", "YW5uQGEuZXhhbXBsZQBhbm5AYS5leGFtcGxlAHRpZ2Vy", "[redacted]" },
	{ "in JSON", "{\"p\":\"tiger\"}", "{\"p\":\"[redacted]\"}" },
	{ "one in the other", "correct-horse-2", "[redacted]-2" },
};

static void passwords_are_taken_out_as_they_are_and_as_auth_sends_them(void **state)
{
	(void)state;
	struct redact *r = redact_new();

	redact_add(r, "ann@a.example", "tiger");
	redact_add(r, "bob@a.example", "correct-horse");
	redact_add(r, "nobody@a.example", "");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf out = { 0 };
		redact_text(r, span_of(rows[i].text), &out);
		if (strcmp(buf_cstr(&out), rows[i].out) != 0)
			fail_msg("%s: %s", rows[i].name, buf_cstr(&out));
		buf_free(&out);
	}
	redact_free(r);
}

static void without_anything_to_redact_text_stays(void **state)
{
	(void)state;
	struct buf out = { 0 };

	redact_text(NULL, SPAN_LIT("tiger"), &out);
	assert_string_equal(buf_cstr(&out), "tiger");
	buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(passwords_are_taken_out_as_they_are_and_as_auth_sends_them),
		cmocka_unit_test(without_anything_to_redact_text_stays),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
