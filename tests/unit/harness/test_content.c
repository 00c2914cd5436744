/*
 * content: what is made is awkward but legal, always the same, and every
 * change of it is seen and described.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/random.h"
#include "harness/judge/content.h"
#include "harness/wire/base64.h"

#include <stdlib.h>
#include <string.h>

static const struct content_spec spec = {
	.seed = 7,
	.id = 42,
	.from = { "barney@isp2.example", 19 },
	.to = { "sales@fredsco.example, info@fredsco.example", 43 },
	.body_bytes = 4096,
	.date_wall_ms = 773673707000,
};

static struct span body_of(struct span message)
{
	const char *at = memmem(message.p, message.n, "\r\n\r\n", 4);
	assert_non_null(at);
	return span_sub(message, (size_t)(at - message.p) + 4, message.n);
}

/* Every line ends in CRLF, none is longer than 998, no CR or LF stands alone. */
static void assert_legal_lines(struct span s)
{
	size_t line = 0;

	assert_true(s.n >= 2 && s.p[s.n - 2] == '\r' && s.p[s.n - 1] == '\n');
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\r') {
			assert_true(i + 1 < s.n && s.p[i + 1] == '\n');
			assert_in_range(line, 0, CONTENT_LINE_CHARS_MAX);
			line = 0;
			i++;
			continue;
		}
		assert_true(s.p[i] != '\n' && s.p[i] != '\0');
		line++;
	}
}

static void bodies_have_exactly_the_wanted_size_and_legal_lines(void **state)
{
	(void)state;
	struct buf m = { 0 };

	for (uint32_t n = 0; n < 3000; n++) {
		struct content_spec s = spec;
		s.body_bytes = n;
		s.id = n;
		s.eight_bit = n % 2 == 0;
		buf_reset(&m);
		content_make(&s, &m);
		assert_int_equal(body_of(buf_span(&m)).n,
				 n < CONTENT_BODY_BYTES_MIN ? CONTENT_BODY_BYTES_MIN : n);
		assert_legal_lines(buf_span(&m));
	}
	buf_free(&m);
}

static bool has(struct span s, const char *what)
{
	return memmem(s.p, s.n, what, strlen(what)) != NULL;
}

static bool has_8bit(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] >= 0x80)
			return true;
	return false;
}

static void bodies_are_awkward(void **state)
{
	(void)state;
	struct content_spec s = spec;
	struct buf m = { 0 };
	char longest[CONTENT_LINE_CHARS_MAX + 1];

	content_make(&s, &m);
	struct span body = body_of(buf_span(&m));
	assert_true(has(body, "\r\n.\r\n"));
	assert_true(has(body, "\r\n..\r\n"));
	assert_true(has(body, "\r\n.leading"));
	assert_true(has(body, "\r\n\r\n"));
	assert_true(has(body, "\r\nFrom "));
	assert_false(has_8bit(body));
	/* One line of exactly 998: find it by counting. */
	size_t line = 0;
	size_t max = 0;
	for (size_t i = 0; i < body.n; i++) {
		line = body.p[i] == '\n' ? 0 : line + 1;
		max = line > max ? line : max;
	}
	assert_int_equal(max, sizeof(longest)); /* with its CR */
	buf_reset(&m);
	s.eight_bit = true;
	content_make(&s, &m);
	assert_true(has_8bit(buf_span(&m)));
	assert_true(has(buf_span(&m), "8bit"));
	buf_free(&m);
}

static void the_same_spec_makes_the_same_bytes_and_another_does_not(void **state)
{
	(void)state;
	struct buf a = { 0 };
	struct buf b = { 0 };
	struct content_spec s = spec;

	content_make(&s, &a);
	content_make(&s, &b);
	assert_true(span_eq(buf_span(&a), buf_span(&b)));
	s.seed++;
	buf_reset(&b);
	content_make(&s, &b);
	assert_false(span_eq(buf_span(&a), buf_span(&b)));
	s = spec;
	s.id++;
	buf_reset(&b);
	content_make(&s, &b);
	assert_false(span_eq(body_of(buf_span(&a)), body_of(buf_span(&b))));
	buf_free(&a);
	buf_free(&b);
}

static void markers_are_found_only_with_their_seed(void **state)
{
	(void)state;
	char marker[CONTENT_MARKER_CHARS + 1];
	uint32_t id = 0;
	struct buf text = { 0 };

	content_marker(7, 42, marker);
	assert_int_equal(strlen(marker), CONTENT_MARKER_CHARS);
	buf_addf(&text, "pr- pr-0000002a-0 - <<barney+%s@isp2.example>", marker);
	assert_true(content_find_marker(buf_span(&text), 7, &id));
	assert_int_equal(id, 42);
	assert_false(content_find_marker(buf_span(&text), 8, &id));
	for (size_t cut = 0; cut < CONTENT_MARKER_CHARS; cut++)
		assert_false(content_find_marker((struct span){ marker, cut }, 7, &id));
	marker[10] = marker[10] == '0' ? '1' : '0'; /* another id, same check */
	assert_false(content_find_marker((struct span){ marker, CONTENT_MARKER_CHARS }, 7, &id));
	buf_free(&text);
}

/* ---- comparing ---- */

static void add_trace(struct span m, struct buf *out)
{
	buf_add_cstr(out, "Return-Path: <barney@isp2.example>\r\nReceived: from a by b; today\r\n");
	buf_add(out, m);
}

/* Replaces the first cut. */
static void replace(struct span m, const char *cut, const char *put, struct buf *out)
{
	const char *at = memmem(m.p, m.n, cut, strlen(cut));
	assert_non_null(at);
	buf_add(out, (struct span){ m.p, (size_t)(at - m.p) });
	buf_add_cstr(out, put);
	buf_add(out, span_sub(m, (size_t)(at - m.p) + strlen(cut), m.n));
}

static void to_base64(struct span m, struct buf *out)
{
	struct buf text = { 0 };
	struct span body = body_of(m);

	buf_add(&text, (struct span){ m.p, m.n - body.n });
	base64_encode(body, &text);
	buf_add_cstr(&text, "\r\n");
	replace(buf_span(&text), "Content-Transfer-Encoding: 7bit", "Content-Transfer-Encoding: base64", out);
	buf_free(&text);
}

static const struct compare_row {
	const char *name;
	const char *cut;
	const char *put; /* NULL: see the name */
	enum content_state state;
	const char *text; /* part of the description */
} compare_rows[] = {
	{ "untouched", "Subject", "Subject", CONTENT_INTACT, "" },
	{ "field added in front", "From: ", "X-Spam: no\r\nFrom: ", CONTENT_INTACT, "" },
	{ "header folded anew", "Subject: postrider", "Subject:\r\n\tpostrider", CONTENT_TRANSFORMED,
	  "folded" },
	{ "sent as base64", "base64", NULL, CONTENT_TRANSFORMED, "encoded anew" },
	{ "subject changed", "Subject: postrider", "Subject: *SPAM* postrider", CONTENT_CORRUPTED,
	  "Subject: " },
	{ "subject removed", "Subject: postrider message 42\r\n", "", CONTENT_CORRUPTED,
	  "Subject is missing" },
	{ "second subject", "Subject: ", "Subject: x\r\nSubject: ", CONTENT_CORRUPTED, "2 times" },
	{ "date rewritten", "1994", "1995", CONTENT_CORRUPTED, "Date: " },
	{ "dot not doubled", "\r\n..\r\n", "\r\n.\r\n", CONTENT_CORRUPTED, "first difference at byte" },
	{ "dot doubled twice", "\r\n.leading", "\r\n..leading", CONTENT_CORRUPTED, "got \".leading" },
	{ "From quoted", "\r\nFrom the", "\r\n>From the", CONTENT_CORRUPTED, "expected \"From the" },
	{ "CRLF became LF", "\r\n.leading", "\n.leading", CONTENT_CORRUPTED, "expected \"\\r\\n.leading" },
	{ "one bit", "leading dot", "leading dnt", CONTENT_CORRUPTED, "expected \"ot" },
	{ "encoding label alone", "Encoding: 7bit", "Encoding: base64", CONTENT_CORRUPTED, "body" },
};

static void every_change_is_judged_and_described(void **state)
{
	(void)state;
	struct buf m = { 0 };
	struct content_digest digest;

	content_make(&spec, &m);
	content_digest(buf_span(&m), &digest);
	for (size_t i = 0; i < sizeof(compare_rows) / sizeof(compare_rows[0]); i++) {
		const struct compare_row *row = &compare_rows[i];
		struct buf changed = { 0 };
		struct buf got = { 0 };
		struct content_verdict v;

		if (row->put != NULL)
			replace(buf_span(&m), row->cut, row->put, &changed);
		else
			to_base64(buf_span(&m), &changed);
		add_trace(buf_span(&changed), &got);
		content_compare(&spec, &digest, buf_span(&got), &v);
		if (v.state != row->state || strstr(v.text, row->text) == NULL)
			fail_msg("%s: state %u, \"%s\"", row->name, (unsigned)v.state, v.text);
		buf_free(&changed);
		buf_free(&got);
	}
	buf_free(&m);
}

/* The whole body is protected, not only what the table names. */
static void any_changed_byte_of_the_body_is_corruption(void **state)
{
	(void)state;
	struct content_spec s = spec;
	struct buf m = { 0 };
	struct content_digest digest;
	struct content_verdict v;

	s.body_bytes = 400;
	content_make(&s, &m);
	content_digest(buf_span(&m), &digest);
	size_t header = buf_bytes(&m) - 400;
	for (size_t i = header; i < buf_bytes(&m); i++) {
		char *byte = m.p + m.begin + i;
		*byte ^= 1;
		content_compare(&s, &digest, buf_span(&m), &v);
		assert_int_equal(v.state, CONTENT_CORRUPTED);
		assert_int_not_equal(strlen(v.text), 0);
		*byte ^= 1;
	}
	for (size_t n = header; n < buf_bytes(&m); n++) {
		content_compare(&s, &digest, span_sub(buf_span(&m), 0, n), &v);
		assert_int_equal(v.state, CONTENT_CORRUPTED);
	}
	buf_free(&m);
}

static void copies_bounces_and_strangers_are_told_apart(void **state)
{
	(void)state;
	struct buf m = { 0 };
	struct buf t = { 0 };
	uint32_t id = 0;

	content_make(&spec, &m);
	assert_int_equal(content_recognise(buf_span(&m), 7, &id), CONTENT_COPY);
	assert_int_equal(id, 42);
	assert_int_equal(content_recognise(buf_span(&m), 8, &id), CONTENT_FOREIGN);

	/* Without its Message-ID, and then without its token, it is still known. */
	id = 0;
	replace(buf_span(&m), "Message-ID: <pr-", "Message-ID: <xx-", &t);
	assert_int_equal(content_recognise(buf_span(&t), 7, &id), CONTENT_COPY);
	struct buf u = { 0 };
	replace(buf_span(&t), "Token: pr-", "Token: xx-", &u);
	id = 0;
	assert_int_equal(content_recognise(buf_span(&u), 7, &id), CONTENT_COPY);
	assert_int_equal(id, 42);

	buf_reset(&t);
	buf_add_cstr(&t, "From: postmaster@isp2.example\r\nSubject: failed\r\n\r\nYour message:\r\n\r\n");
	buf_add(&t, buf_span(&m));
	id = 0;
	assert_int_equal(content_recognise(buf_span(&t), 7, &id), CONTENT_ABOUT);
	assert_int_equal(id, 42);
	buf_free(&m);
	buf_free(&t);
	buf_free(&u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bodies_have_exactly_the_wanted_size_and_legal_lines),
		cmocka_unit_test(bodies_are_awkward),
		cmocka_unit_test(the_same_spec_makes_the_same_bytes_and_another_does_not),
		cmocka_unit_test(markers_are_found_only_with_their_seed),
		cmocka_unit_test(every_change_is_judged_and_described),
		cmocka_unit_test(any_changed_byte_of_the_body_is_corruption),
		cmocka_unit_test(copies_bounces_and_strangers_are_told_apart),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
