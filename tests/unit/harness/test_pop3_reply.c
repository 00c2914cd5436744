/*
 * pop3_reply: each row is what a server sends, which replies are multi-line,
 * and the events told in words.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/wire/pop3_reply.h"
#include "tests/unit/harness/exact.h"

struct row {
	const char *name;
	const char *wire;
	const char *multi; /* one letter per reply: 'm' multi-line, '-' one line */
	const char *events;
	uint32_t notes; /* of the last status line */
};

static const struct row rows[] = {
	{ "greeting", "+OK POP3 ready <1@x>\r\n", "-", "ok(POP3 ready <1@x>)", 0 },
	{ "status alone", "+OK\r\n", "-", "ok()", 0 },
	{ "refusal of a multi-line command", "-ERR no such message\r\n+OK\r\n", "m-",
	  "err(no such message)ok()", 0 },
	{ "data", "+OK 2\r\na\r\nb\r\n.\r\n+OK bye\r\n", "m-", "ok(2)[a\r\nb\r\n]end ok(bye)", 0 },
	{ "no data", "+OK\r\n.\r\n", "m", "ok()[]end ", 0 },
	{ "stuffed", "+OK\r\n..\r\n..a\r\n.\r\n", "m", "ok()[.\r\n.a\r\n]end ", 0 },
	{ "LF . LF is data", "+OK\r\na\n.\nb\r\n.\r\n", "m", "ok()[a\n.\nb\r\n]end ", 0 },
	{ "challenge", "+ dGVzdA==\r\n", "-", "continue(dGVzdA==)", 0 },
	{ "empty challenge", "+ \r\n", "-", "continue()", 0 },
	{ "bare plus", "+\r\n", "-", "continue()", POP3_ODD_CHALLENGE },
	{ "two blanks before a challenge", "+  dGVzdA==\r\n", "-", "continue(dGVzdA==)", POP3_ODD_CHALLENGE },
	{ "a challenge in words", "+ go ahead\r\n", "-", "continue(go ahead)", POP3_ODD_CHALLENGE },
	{ "a blank behind a challenge", "+ dGVzdA== \r\n", "-", "continue(dGVzdA==)", POP3_ODD_CHALLENGE },
	{ "a pad within", "+ dG=zdA==\r\n", "-", "continue(dG=zdA==)", POP3_ODD_CHALLENGE },
	{ "three of four", "+ dGV\r\n", "-", "continue(dGV)", POP3_ODD_CHALLENGE },
	{ "lower case", "+ok hi\r\n", "-", "ok(hi)", POP3_ODD_CASE },
	{ "LF alone", "-ERR no\n", "-", "err(no)", POP3_BARE_LF },
	{ "no status", "hello\r\n", "-", "err(hello)", POP3_NO_STATUS },
	{ "a longer word is no status", "+OKAY\r\n", "-", "err(+OKAY)", POP3_NO_STATUS },
	{ "empty line", "\r\n", "-", "err()", POP3_NO_STATUS },
	{ "odd bytes", "+OK \xff\r\n", "-", "ok(\xff)", POP3_ODD_TEXT },
};

static void tell(struct buf *out, enum pop3_event event, struct span text, bool *in_data)
{
	static const char *const words[] = { "", "ok", "err", "continue" };
	if (event == POP3_DATA || event == POP3_END) {
		if (!*in_data)
			buf_add_cstr(out, "[");
		*in_data = event == POP3_DATA;
		buf_add(out, text);
		if (event == POP3_END)
			buf_add_cstr(out, "]end ");
	} else if (event != POP3_MORE) {
		buf_addf(out, "%s(%.*s)", words[event], SPAN_FMT(text));
	}
}

static void play(const struct row *row, size_t piece)
{
	struct pop3_reader r = { 0 };
	struct buf out = { 0 };
	const char *multi = row->multi;
	bool in_data = false;
	pop3_expect(&r, *multi == 'm');
	for (struct span rest = span_of(row->wire); rest.n > 0;) {
		struct exact e = exact_of(span_sub(rest, 0, piece));
		enum pop3_event event;
		struct span text;
		size_t n = pop3_read(&r, exact_span(e), &event, &text);
		tell(&out, event, text, &in_data);
		bool over = event == POP3_ERR || event == POP3_CONTINUE || event == POP3_END ||
			    (event == POP3_OK && *multi == '-');
		if (over && multi[1] != '\0')
			pop3_expect(&r, *++multi == 'm');
		rest = span_sub(rest, n, rest.n);
		exact_free(e);
	}
	if (strcmp(buf_cstr(&out), row->events) != 0 || r.notes != row->notes)
		fail_msg("%s, pieces of %zu: %s, notes %x", row->name, piece, buf_cstr(&out), r.notes);
	buf_free(&out);
	pop3_reader_free(&r);
}

static void events_are_the_same_from_every_split(void **state)
{
	static const size_t pieces[] = { SIZE_MAX, 1, 2, 3, 5 };
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (size_t k = 0; k < sizeof(pieces) / sizeof(pieces[0]); k++)
			play(&rows[i], pieces[k]);
}

static void an_over_long_status_line_is_noted_and_cut(void **state)
{
	(void)state;
	for (size_t bytes = 512; bytes < 100000; bytes = bytes == 512 ? 513 : bytes * 10) {
		struct pop3_reader r = { 0 };
		struct buf wire = { 0 };
		enum pop3_event event;
		struct span text;
		buf_add_cstr(&wire, "+OK ");
		while (buf_bytes(&wire) < bytes - 2)
			buf_add_cstr(&wire, "x");
		buf_add_cstr(&wire, "\r\n");
		assert_int_equal(pop3_read(&r, buf_span(&wire), &event, &text), bytes);
		assert_int_equal(event, POP3_OK);
		assert_true(text.n <= POP3_LINE_BYTES_KEPT);
		assert_int_equal(r.notes, bytes > 512 ? POP3_LONG_LINE : 0);
		buf_free(&wire);
		pop3_reader_free(&r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(events_are_the_same_from_every_split),
		cmocka_unit_test(an_over_long_status_line_is_noted_and_cut),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
