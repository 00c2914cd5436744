/*
 * smtp_reply: every row is what a server sent, and what is made of it, in one
 * piece and byte by byte.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "reference-server/core/smtp_reply.h"

/* "code status text|" for each reply, "!error" at the end when it went bad, "..." when one is unfinished. */
static void read_all(struct span in, size_t step_bytes, struct buf *out)
{
	struct smtp_reply r;
	size_t given = 0;

	smtp_reply_init(&r);
	while (given < in.n) {
		size_t n = in.n - given < step_bytes ? in.n - given : step_bytes;
		char *block = malloc(n);
		size_t done = 0;

		assert_non_null(block);
		memcpy(block, in.p + given, n);
		given += n;
		while (done < n) {
			size_t used;
			enum smtp_reply_result result =
				smtp_reply_feed(&r, (struct span){ block + done, n - done }, &used);
			done += used;
			if (result == SMTP_REPLY_BAD) {
				buf_addf(out, "!%s", smtp_reply_error(&r));
				free(block);
				return;
			}
			if (result == SMTP_REPLY_DONE) {
				buf_addf(out, "%u ", r.code);
				if (r.status.class_digit > 0) {
					smtp_status_add(out, r.status);
					buf_add_cstr(out, " ");
				}
				buf_add(out, smtp_reply_text(&r));
				buf_add_cstr(out, "|");
			}
		}
		free(block);
	}
	if (smtp_reply_is_partial(&r))
		buf_add_cstr(out, "...");
}

static const struct row {
	const char *name;
	const char *in;
	const char *out;
} rows[] = {
	{ "one line", "250 ok\r\n", "250 ok|" },
	{ "code alone", "250\r\n", "250 |" },
	{ "code and blank", "250 \r\n", "250 |" },
	{ "three lines, text joined", "250-a\r\n250-b\r\n250 c\r\n", "250 a b c|" },
	{ "code-only last line", "250-a\r\n250\r\n", "250 a|" },
	{ "two replies", "250 a\r\n550 b\r\n", "250 a|550 b|" },
	{ "unfinished", "250 a\r\n25", "250 a|..." },
	{ "enhanced status", "550 5.1.1 who?\r\n", "550 5.1.1 5.1.1 who?|" },
	{ "enhanced status repeated is kept once", "550-5.7.1 no\r\n550 5.7.1 way\r\n",
	  "550 5.7.1 5.7.1 no way|" },
	{ "enhanced status alone", "550-5.7.1\r\n550 5.7.1\r\n", "550 5.7.1 5.7.1|" },
	{ "enhanced status of another class is text", "550 2.1.0 odd\r\n", "550 2.1.0 odd|" },
	{ "enhanced status with leading zero is text", "550 5.01.0 odd\r\n", "550 5.01.0 odd|" },
	{ "enhanced status of four digits is text", "550 5.1.1000 odd\r\n", "550 5.1.1000 odd|" },
	{ "an address is no status", "450 4.2.2.2 odd\r\n", "450 4.2.2.2 odd|" },
	{ "unlisted code", "599 x\r\n", "599 x|" },
	{ "mixed codes", "250-a\r\n550 b\r\n", "!lines of one reply carry different codes" },
	{ "421 behind a 220 continuation", "220-a\r\n421 b\r\n",
	  "!lines of one reply carry different codes" },
	{ "1yz", "150 x\r\n", "!not an SMTP reply" },
	{ "6yz", "650 x\r\n", "!not an SMTP reply" },
	{ "letters", "HTTP/1.1 200\r\n", "!not an SMTP reply" },
	{ "two digits", "25 x\r\n", "!not an SMTP reply" },
	{ "four digits", "2500 x\r\n", "!not an SMTP reply" },
	{ "tab behind the code", "250\tx\r\n", "!not an SMTP reply" },
	{ "empty line", "\r\n", "!not an SMTP reply" },
	{ "bare LF", "250 x\n250 y\r\n", "!bare LF in a reply" },
	{ "bare LF behind the code", "250\n", "!not an SMTP reply" },
	{ "bare CR is text", "250 a\rb\r\n", "250 a\\x0Db|" },
	{ "two CR", "250 a\r\r\n", "250 a\\x0D|" },
	{ "control, 8-bit and backslash are escaped", "250 a\x01\x1b[0m\xc3\xa9\\\r\n",
	  "250 a\\x01\\x1B[0m\\xC3\\xA9\\\\|" },
	{ "tab becomes a blank", "250 a\tb\r\n", "250 a b|" },
	{ "nothing", "", "" },
};

static void replies_are_read_as_expected(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (size_t step = 1; step <= 64; step += 21) {
			struct buf out = { 0 };
			read_all(span_of(rows[i].in), step, &out);
			if (strcmp(buf_cstr(&out), rows[i].out) != 0)
				fail_msg("%s (step %zu): got '%s'", rows[i].name, step, buf_cstr(&out));
			buf_free(&out);
		}
}

static void add_repeated(struct buf *b, const char *piece, size_t count)
{
	for (size_t i = 0; i < count; i++)
		buf_add_cstr(b, piece);
}

static void check_limit(struct buf *in, const char *expected)
{
	struct buf out = { 0 };

	read_all(buf_span(in), 1000, &out);
	if (strstr(buf_cstr(&out), expected) == NULL)
		fail_msg("wanted '%s', got '%s'", expected, buf_cstr(&out));
	buf_free(&out);
	buf_reset(in);
}

static void limits_are_where_the_header_says(void **state)
{
	struct buf in = { 0 };
	(void)state;

	add_repeated(&in, "2", 1);
	buf_add_cstr(&in, "50 ");
	add_repeated(&in, "x", SMTP_REPLY_LINE_BYTES_MAX - 6);
	buf_add_cstr(&in, "\r\n");
	check_limit(&in, "250 xxx");

	buf_add_cstr(&in, "250 ");
	add_repeated(&in, "x", SMTP_REPLY_LINE_BYTES_MAX - 5);
	buf_add_cstr(&in, "\r\n");
	check_limit(&in, "!reply line is too long");

	add_repeated(&in, "250-\r\n", SMTP_REPLY_LINES_MAX - 1);
	buf_add_cstr(&in, "250 end\r\n");
	check_limit(&in, "250 end|");

	add_repeated(&in, "250-\r\n", SMTP_REPLY_LINES_MAX);
	buf_add_cstr(&in, "250 end\r\n");
	check_limit(&in, "!reply has too many lines");

	for (int i = 0; i < 20; i++) {
		buf_add_cstr(&in, "250-");
		add_repeated(&in, "x", 4000);
		buf_add_cstr(&in, "\r\n");
	}
	check_limit(&in, "!reply is too long");
	buf_free(&in);
}

static void kept_text_is_cut_between_escapes(void **state)
{
	struct buf in = { 0 };
	struct smtp_reply r;
	size_t used;
	(void)state;

	buf_add_cstr(&in, "250 ab");
	add_repeated(&in, "\xff", 200);
	buf_add_cstr(&in, "\r\n");
	smtp_reply_init(&r);
	assert_int_equal(smtp_reply_feed(&r, buf_span(&in), &used), SMTP_REPLY_DONE);
	assert_int_equal(smtp_reply_text(&r).n, 2 + 119 * 4);
	assert_memory_equal(smtp_reply_text(&r).p + 2 + 118 * 4, "\\xFF", 4);
	buf_free(&in);
}

static void a_bad_reply_stays_bad(void **state)
{
	struct smtp_reply r;
	size_t used;
	(void)state;

	smtp_reply_init(&r);
	assert_int_equal(smtp_reply_feed(&r, SPAN_LIT("oops"), &used), SMTP_REPLY_BAD);
	assert_int_equal(smtp_reply_feed(&r, SPAN_LIT("250 ok\r\n"), &used), SMTP_REPLY_BAD);
	assert_int_equal(used, 0);
}

static void lines_are_shown_as_they_came(void **state)
{
	struct smtp_reply r;
	size_t used;
	(void)state;

	smtp_reply_init(&r);
	assert_int_equal(smtp_reply_feed(&r, SPAN_LIT("250-SIZE \x01 1\r\n250 x\r\n"), &used),
			 SMTP_REPLY_LINE);
	assert_true(span_eq(smtp_reply_line(&r), SPAN_LIT("SIZE \x01 1")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(replies_are_read_as_expected),
		cmocka_unit_test(limits_are_where_the_header_says),
		cmocka_unit_test(kept_text_is_cut_between_escapes),
		cmocka_unit_test(a_bad_reply_stays_bad),
		cmocka_unit_test(lines_are_shown_as_they_came),
	};
	return cmocka_run_group_tests_name("smtp_reply", tests, NULL, NULL);
}
