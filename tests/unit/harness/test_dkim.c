/*
 * dkim and dkim_check: canonical forms as RFC 6376 section 3.4 has them, its examples
 * among them, and signatures that hold as long as nothing of what they cover changes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/judge/dkim_check.h"
#include "tests/unit/harness/exact.h"

/* RFC 6376 section 3.4.5 */
#define EXAMPLE_HEADER "A: X\r\nB : Y\t\r\n\tZ  \r\n"
#define EXAMPLE_BODY " C \r\nD \t E\r\n\r\n\r\n"

static const struct form_row {
	const char *header, *relaxed;
} fields[] = {
	{ EXAMPLE_HEADER, "a:X\r\nb:Y Z\r\n" },
	{ "SUBJect: AbC\r\n", "subject:AbC\r\n" },
	{ "A:\r\n", "a:\r\n" },
	{ "A:\r\n b\r\n", "a:b\r\n" },
	{ "A: \t b\t \tc d \r\n", "a:b c d\r\n" },
};

static void fields_have_two_forms(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		struct buf simple = { 0 }, relaxed = { 0 };
		struct exact e = exact_of(span_of(fields[i].header));
		struct span rest = exact_span(e);
		struct field f;
		while (field_next(&rest, &f)) {
			dkim_add_field(&f, DKIM_SIMPLE, &simple);
			dkim_add_field(&f, DKIM_RELAXED, &relaxed);
		}
		assert_string_equal(buf_cstr(&relaxed), fields[i].relaxed);
		assert_memory_equal(buf_cstr(&simple), fields[i].header, buf_bytes(&simple));
		buf_free(&simple);
		buf_free(&relaxed);
		exact_free(e);
	}
}

static const struct body_row {
	const char *body, *simple, *relaxed;
} bodies[] = {
	{ EXAMPLE_BODY, " C \r\nD \t E\r\n", " C\r\nD E\r\n" },
	{ "", "\r\n", "" },
	{ "\r\n\r\n", "\r\n", "" },
	{ "a", "a\r\n", "a\r\n" },
	{ "a\r\n\r\nb\r\n", "a\r\n\r\nb\r\n", "a\r\n\r\nb\r\n" },
	{ " \t\r\n", " \t\r\n", "" },
	{ "a\r\n \r\n\r\n", "a\r\n \r\n", "a\r\n" },
	{ "\r\na \t b\t\r\n", "\r\na \t b\t\r\n", "\r\na b\r\n" },
};

static void bodies_have_two_forms(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		struct buf simple = { 0 }, relaxed = { 0 };
		struct exact e = exact_of(span_of(bodies[i].body));
		dkim_add_body(exact_span(e), DKIM_SIMPLE, &simple);
		dkim_add_body(exact_span(e), DKIM_RELAXED, &relaxed);
		assert_string_equal(buf_cstr(&simple), bodies[i].simple);
		assert_string_equal(buf_cstr(&relaxed), bodies[i].relaxed);
		buf_free(&simple);
		buf_free(&relaxed);
		exact_free(e);
	}
}

static void tags_are_read_with_blanks_around(void **state)
{
	struct span v, list = SPAN_LIT(" v=1; c = relaxed/simple ;\r\n\tb=a\r\n b ; h=From : To");
	enum dkim_form header, body;
	(void)state;

	assert_true(dkim_tag(list, "c", &v) && span_eq(v, SPAN_LIT("relaxed/simple")));
	assert_true(dkim_forms(v, &header, &body) && header == DKIM_RELAXED && body == DKIM_SIMPLE);
	assert_true(dkim_tag(list, "b", &v) && span_eq(v, SPAN_LIT("a\r\n b")));
	assert_true(dkim_tag(list, "h", &v) && span_eq(v, SPAN_LIT("From : To")));
	assert_false(dkim_tag(list, "bh", &v));
	assert_true(dkim_forms(SPAN_LIT("relaxed"), &header, &body) && body == DKIM_SIMPLE);
	assert_true(dkim_forms(SPAN_LIT(""), &header, &body) && header == DKIM_SIMPLE);
	assert_false(dkim_forms(SPAN_LIT("simple/nofws"), &header, &body));
}

static void last_fields_come_first_and_b_is_empty(void **state)
{
	struct span header = SPAN_LIT(
		"Received: a\r\nReceived: b\r\nReceived: c\r\nDKIM-Signature: h=x; b=\r\n y z; t=1\r\n");
	struct buf data = { 0 };
	struct field signature;
	(void)state;

	assert_true(field_find(header, SPAN_LIT("DKIM-Signature"), 0, &signature));
	dkim_add_header_data(header, SPAN_LIT("Received : received:From"), &signature, DKIM_SIMPLE, &data);
	assert_string_equal(buf_cstr(&data), "Received: c\r\nReceived: b\r\nDKIM-Signature: h=x; b=; t=1");
	buf_free(&data);
}

#define MESSAGE "From: a@b\r\nSubject:  x\r\n\ty\r\nSubject: again\r\n\r\nline  one \r\n.\r\n\r\n"

static const struct change_row {
	const char *name, *from, *to;
	bool simple, relaxed; /* whether the signature still holds */
} changes[] = {
	{ "nothing", "", "", true, true },
	{ "in front", "DKIM-Signature", "Received: x\r\nDKIM-Signature", true, true },
	{ "somebody else's in front", "DKIM-Signature", "DKIM-Signature: s=x; b=y\r\nDKIM-Signature", true,
	  true },
	{ "blanks of a field", "Subject:  x", "Subject: x", false, true },
	{ "folding", "x\r\n\ty", "x y", false, true },
	{ "case of a name", "Subject:  x", "SUBJECT:  x", false, true },
	{ "a value", "x\r\n\ty", "x\r\n\tz", false, false },
	{ "order of a name", "Subject:  x\r\n\ty\r\nSubject: again", "Subject: again\r\nSubject:  x\r\n\ty",
	  false, false },
	{ "one more From", "From: a@b", "From: a@b\r\nFrom: c@d", false, false },
	{ "another field", "From: a@b", "From: a@b\r\nCc: c@d", true, true },
	{ "blanks in the body", "line  one \r\n", "line one\r\n", false, true },
	{ "the body", "line", "lime", false, false },
	{ "empty lines at the end", ".\r\n\r\n", ".\r\n", true, true },
	{ "a dot", "\r\n.\r\n", "\r\n..\r\n", false, false },
	{ "a line more", ".\r\n\r\n", ".\r\n\r\nx\r\n", false, false },
};

/* From the first place on. */
static void replace(struct span s, const char *from, const char *to, struct buf *out)
{
	size_t n = strlen(from);
	const char *at = n > 0 ? memmem(s.p, s.n, from, n) : s.p;

	assert_non_null(at);
	buf_add(out, span_sub(s, 0, (size_t)(at - s.p)));
	buf_add_cstr(out, to);
	buf_add(out, span_sub(s, (size_t)(at - s.p) + n, s.n));
}

static void signatures_hold_until_something_changes(void **state)
{
	(void)state;
	for (int relaxed = 0; relaxed < 2; relaxed++) {
		struct buf message = { 0 };
		enum dkim_form form = relaxed ? DKIM_RELAXED : DKIM_SIMPLE;
		dkim_sign(SPAN_LIT(MESSAGE), SPAN_LIT("a.example"), form, form, &message);
		buf_add_cstr(&message, MESSAGE);
		for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
			struct buf changed = { 0 }, why = { 0 };
			replace(buf_span(&message), changes[i].from, changes[i].to, &changed);
			bool wanted = relaxed ? changes[i].relaxed : changes[i].simple;
			if (dkim_holds(buf_span(&changed), &why) != wanted)
				fail_msg("%s, %s: %s", changes[i].name, dkim_form_name(form), buf_cstr(&why));
			if (!wanted)
				assert_true(buf_bytes(&why) > 0);
			buf_free(&changed);
			buf_free(&why);
		}
		buf_free(&message);
	}
}

/* RFC 6376 section 3.4.3, of the empty body in its simple form */
#define EMPTY_HASH "frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY="

static void what_is_no_signature_does_not_hold(void **state)
{
	static const char *const messages[] = {
		"",
		"From: a@b\r\n\r\nx\r\n",
		"DKIM-Signature: v=1; s=case\r\n\r\n",
		"DKIM-Signature: s=case; c=odd; h=a; bh=b; b=c\r\n\r\n",
		"DKIM-Signature: s=case; h=From; bh=" EMPTY_HASH "; b=!\r\n\r\n",
	};
	(void)state;

	for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
		struct buf why = { 0 };
		assert_false(dkim_holds(span_of(messages[i]), &why));
		if (i == 4)
			assert_non_null(strstr(buf_cstr(&why), "the header"));
		buf_free(&why);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_have_two_forms),
		cmocka_unit_test(bodies_have_two_forms),
		cmocka_unit_test(tags_are_read_with_blanks_around),
		cmocka_unit_test(last_fields_come_first_and_b_is_empty),
		cmocka_unit_test(signatures_hold_until_something_changes),
		cmocka_unit_test(what_is_no_signature_does_not_hold),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
