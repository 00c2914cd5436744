/*
 * reply: each row is one reply on the wire, the lenient reading of it and the
 * notes a strict reader makes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/wire/reply.h"
#include "tests/unit/harness/exact.h"

struct row {
	const char *name;
	const char *wire;
	uint16_t code;
	uint32_t lines;
	const char *text;
	uint32_t notes;
	uint16_t status[3];
};

static const struct row rows[] = {
	{ "one line", "250 ok\r\n", 250, 1, "ok", 0, { 0 } },
	{ "empty text", "250 \r\n", 250, 1, "", 0, { 0 } },
	{ "code alone", "250\r\n", 250, 1, "", REPLY_CODE_ALONE, { 0 } },
	{ "several lines", "250-a\r\n250-b\r\n250 c\r\n", 250, 3, "a\nb\nc", 0, { 0 } },
	{ "last line without text", "250-a\r\n250\r\n", 250, 2, "a\n", REPLY_CODE_ALONE, { 0 } },
	{ "text that begins with digits", "250-234 x\r\n250 y\r\n", 250, 2, "234 x\ny", 0, { 0 } },
	{ "status", "550 5.1.1 unknown\r\n", 550, 1, "5.1.1 unknown", 0, { 5, 1, 1 } },
	{ "status of three digits", "451 4.7.500 x\r\n", 451, 1, "4.7.500 x", 0, { 4, 7, 500 } },
	{ "a version is no status", "220 5.1.1.2 ready\r\n", 220, 1, "5.1.1.2 ready", 0, { 0 } },
	{ "a status of class 3 is none", "354 3.1.1 x\r\n", 354, 1, "3.1.1 x", 0, { 0 } },
	{ "LF alone", "250 ok\n", 250, 1, "ok", REPLY_BARE_LF, { 0 } },
	{ "CR inside", "250 a\rb\r\n", 250, 1, "a\rb", REPLY_BARE_CR, { 0 } },
	{ "mixed codes", "250-a\r\n550 b\r\n", 550, 2, "a\nb", REPLY_MIXED_CODES, { 0 } },
	{ "no separator", "250ok\r\n", 250, 1, "ok", REPLY_NO_SEPARATOR, { 0 } },
	{ "four digits", "2500 x\r\n", 250, 1, "0 x", REPLY_NO_SEPARATOR, { 0 } },
	{ "first digit 1", "150 x\r\n", 150, 1, "x", REPLY_ODD_CODE, { 0 } },
	{ "first digit 6", "650 x\r\n", 650, 1, "x", REPLY_ODD_CODE, { 0 } },
	{ "second digit 6", "260 x\r\n", 260, 1, "x", REPLY_ODD_CODE, { 0 } },
	{ "no code", "hello\r\n", 0, 1, "hello", REPLY_NO_CODE, { 0 } },
	{ "empty line", "\r\n", 0, 1, "", REPLY_NO_CODE, { 0 } },
	{ "a line without code among others",
	  "250-a\r\nb\r\n250 c\r\n",
	  250,
	  3,
	  "a\nb\nc",
	  REPLY_NO_CODE,
	  { 0 } },
	{ "bytes above 127", "250 \xc3\xa4\r\n", 250, 1, "\xc3\xa4", REPLY_ODD_TEXT, { 0 } },
	{ "a control", "250 \x01\r\n", 250, 1, "\x01", REPLY_ODD_TEXT, { 0 } },
	{ "a tab", "250 a\tb\r\n", 250, 1, "a\tb", 0, { 0 } },
};

static void expect(const struct row *row, const struct reply *r)
{
	if (r->code != row->code || r->line_count != row->lines || r->notes != row->notes ||
	    !span_eq(buf_span(&r->text), span_of(row->text)) ||
	    memcmp(r->status, row->status, sizeof(r->status)) != 0)
		fail_msg("%s: code %u, %u lines, notes %x, text \"%.*s\", status %u", row->name, r->code,
			 r->line_count, r->notes, SPAN_FMT(buf_span(&r->text)), r->status[0]);
	bool strict = (row->notes & ~(uint32_t)REPLY_CODE_ALONE) == 0;
	assert_int_equal(reply_is_strict(r), strict);
}

static void same_reply_from_every_split(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct exact wire = exact_of(span_of(rows[i].wire));
		for (size_t cut = 0; cut < wire.n; cut++) {
			struct reply_reader r = { 0 };
			bool done;
			assert_int_equal(reply_read(&r, span_sub(exact_span(wire), 0, cut), &done), cut);
			assert_false(done);
			assert_int_equal(reply_read(&r, span_sub(exact_span(wire), cut, wire.n), &done),
					 wire.n - cut);
			assert_true(done);
			expect(&rows[i], &r.reply);
			reply_reader_free(&r);
		}
		exact_free(wire);
	}
}

static void replies_in_a_row_are_read_one_by_one(void **state)
{
	(void)state;
	struct reply_reader r = { 0 };
	struct span in = SPAN_LIT("220 5.9.9 hi\r\n250-a\n250 b\r\n354 go\r\n");
	static const uint16_t codes[] = { 220, 250, 354 };
	for (size_t i = 0; i < 3; i++) {
		bool done;
		in = span_sub(in, reply_read(&r, in, &done), in.n);
		assert_true(done);
		assert_int_equal(r.reply.code, codes[i]);
		assert_int_equal(r.reply.notes, i == 1 ? REPLY_BARE_LF : 0);
		assert_int_equal(r.reply.status[0], i == 0 ? 5 : 0);
	}
	assert_int_equal(in.n, 0);
	reply_reader_free(&r);
}

static void a_line_may_have_512_bytes(void **state)
{
	(void)state;
	for (size_t bytes = 512; bytes <= 513; bytes++) {
		struct buf wire = { 0 };
		struct reply_reader r = { 0 };
		bool done;
		buf_add_cstr(&wire, "250 ");
		while (buf_bytes(&wire) < bytes - 2)
			buf_add_cstr(&wire, "x");
		buf_add_cstr(&wire, "\r\n");
		(void)reply_read(&r, buf_span(&wire), &done);
		assert_true(done);
		assert_int_equal(r.reply.notes, bytes > 512 ? REPLY_LONG_LINE : 0);
		buf_free(&wire);
		reply_reader_free(&r);
	}
}

static void an_endless_reply_is_cut_off(void **state)
{
	(void)state;
	for (int whole = 0; whole <= 1; whole++) {
		struct buf wire = { 0 };
		struct reply_reader r = { 0 };
		bool done = false;
		size_t taken = 0;
		while (buf_bytes(&wire) < 2 * REPLY_BYTES_MAX)
			buf_add_cstr(&wire, "250-more and more\r\n");
		while (!done)
			taken +=
				reply_read(&r, span_sub(buf_span(&wire), taken, whole ? SIZE_MAX : 1), &done);
		assert_int_equal(taken, REPLY_BYTES_MAX);
		assert_int_equal(r.reply.code, 0);
		assert_true(r.reply.notes & REPLY_TOO_BIG);
		buf_free(&wire);
		reply_reader_free(&r);
	}
}

static void extensions_are_found_by_whole_words(void **state)
{
	(void)state;
	struct reply_reader r = { 0 };
	bool done;
	struct span args = { 0 };
	(void)reply_read(
		&r,
		SPAN_LIT("250-SIZE is my name\r\n250-pipelining\r\n250-AUTH PLAIN LOGIN\r\n250-8BITMIMEX\r\n"
			 "250 STARTTLS\r\n"),
		&done);
	assert_true(done);
	assert_true(reply_offers(&r.reply, SPAN_LIT("PIPELINING"), NULL));
	assert_true(reply_offers(&r.reply, SPAN_LIT("AUTH"), &args));
	assert_span_text(args, "PLAIN LOGIN");
	assert_true(reply_offers(&r.reply, SPAN_LIT("STARTTLS"), &args));
	assert_int_equal(args.n, 0);
	assert_false(reply_offers(&r.reply, SPAN_LIT("8BITMIME"), NULL));
	assert_false(reply_offers(&r.reply, SPAN_LIT("SIZE"), NULL)); /* the first line is no keyword */
	assert_span_text(reply_line(&r.reply, 4), "STARTTLS");
	assert_int_equal(reply_line(&r.reply, 5).n, 0);
	reply_reader_free(&r);
}

static void notes_have_names(void **state)
{
	(void)state;
	struct buf text = { 0 };
	reply_notes_text(REPLY_BARE_LF | REPLY_TOO_BIG, &text);
	assert_span_text(buf_span(&text), "bare-lf, too-big");
	buf_reset(&text);
	reply_notes_text(0, &text);
	assert_span_text(buf_span(&text), "none");
	buf_free(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_reply_from_every_split),
		cmocka_unit_test(replies_in_a_row_are_read_one_by_one),
		cmocka_unit_test(a_line_may_have_512_bytes),
		cmocka_unit_test(an_endless_reply_is_cut_off),
		cmocka_unit_test(extensions_are_found_by_whole_words),
		cmocka_unit_test(notes_have_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
