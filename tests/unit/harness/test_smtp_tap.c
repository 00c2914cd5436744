/*
 * smtp_tap: each row is a dialogue, lines of the client ("C:") and of the
 * server ("S:") in the order a proxy sees them, and the facts it must yield,
 * told in one line each.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/wire/smtp_tap.h"
#include "tests/unit/harness/exact.h"

struct step {
	char who; /* 'C' or 'S'; 0 ends the dialogue */
	const char *bytes;
};

struct row {
	const char *name;
	struct step steps[24];
	const char *facts;
};

#define HELLO                                          \
	{ 'S', "220 mx\r\n" }, { 'C', "EHLO me\r\n" }, \
	{                                              \
		'S', "250-mx\r\n250 PIPELINING\r\n"    \
	}
#define HELLO_FACTS "greeting 220\nhello-reply 250\n"

static const struct row rows[] = {
	{ "one message, command by command",
	  { HELLO,
	    { 'C', "MAIL FROM:<a@b> SIZE=1\r\n" },
	    { 'S', "250 ok\r\n" },
	    { 'C', "RCPT TO:<c@d>\r\n" },
	    { 'S', "250 ok\r\n" },
	    { 'C', "DATA\r\n" },
	    { 'S', "354 go\r\n" },
	    { 'C', "Message-ID: <1@x>\r\n\r\nhi\r\n..dot\r\n.\r\n" },
	    { 'S', "250 queued\r\n" },
	    { 'C', "QUIT\r\n" },
	    { 'S', "221 bye\r\n" } },
	  HELLO_FACTS
	  "mail t1 <a@b> args=SIZE=1\nmail-reply t1 <a@b> 250\nrcpt t1 <c@d>\nrcpt-reply t1 <c@d> 250\n"
	  "data t1\ndata-reply t1 354\ncontent-begin t1\nheader t1 id=1@x\n"
	  "content-end t1 id=1@x 31 bytes\nfinal-reply t1 250 id=1@x 31 bytes\nquit t1\n"
	  "other-reply t1 221\n" },
	{ "grouped commands, mixed replies",
	  { HELLO,
	    { 'C', "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nRCPT TO:<e@f>\r\nDATA\r\n" },
	    { 'S', "250 ok\r\n250 ok\r\n550 no\r\n354 go\r\n" },
	    { 'C', "\r\nbody\r\n.\r\n" },
	    { 'S', "451 later\r\n" } },
	  HELLO_FACTS
	  "mail t1 <a@b>\nrcpt t1 <c@d>\nrcpt t1 r1 <e@f>\ndata t1\nmail-reply t1 <a@b> 250\n"
	  "rcpt-reply t1 <c@d> 250\nrcpt-reply t1 r1 <e@f> 550\ndata-reply t1 354\ncontent-begin t1\n"
	  "header t1\ncontent-end t1 8 bytes\nfinal-reply t1 451 8 bytes\n" },
	{ "the next envelope travels with the content",
	  { HELLO,
	    { 'C', "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n" },
	    { 'S', "250 ok\r\n250 ok\r\n354 go\r\n" },
	    { 'C', "X: y\r\n\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<g@h>\r\nDATA\r\n" },
	    { 'S', "250 one\r\n250 ok\r\n250 ok\r\n354 go\r\n" },
	    { 'C', "X: z\r\n.\r\n" },
	    { 'S', "250 two\r\n" } },
	  HELLO_FACTS
	  "mail t1 <a@b>\nrcpt t1 <c@d>\ndata t1\nmail-reply t1 <a@b> 250\nrcpt-reply t1 <c@d> 250\n"
	  "data-reply t1 354\ncontent-begin t1\nheader t1\ncontent-end t1 8 bytes\nmail t2 <>\n"
	  "rcpt t2 <g@h>\ndata t2\nfinal-reply t1 250 8 bytes\nmail-reply t2 <> 250\n"
	  "rcpt-reply t2 <g@h> 250\ndata-reply t2 354\ncontent-begin t2\nheader t2\n"
	  "content-end t2 6 bytes\nfinal-reply t2 250 6 bytes\n" },
	{ "DATA refused: what follows are commands",
	  { HELLO,
	    { 'C', "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nRSET\r\n" },
	    { 'S', "250 ok\r\n550 no\r\n503 no\r\n250 ok\r\n" } },
	  HELLO_FACTS
	  "mail t1 <a@b>\nrcpt t1 <c@d>\ndata t1\nmail-reply t1 <a@b> 250\nrcpt-reply t1 <c@d> 550\n"
	  "data-reply t1 503\nrset t1\nother-reply t1 250\n" },
	{ "content that says QUIT is content",
	  { HELLO,
	    { 'C', "DATA\r\n" },
	    { 'S', "354 go\r\n" },
	    { 'C', "\r\nQUIT\r\nRSET\r\n.\r\n" },
	    { 'S', "250 ok\r\n" } },
	  HELLO_FACTS "data t0\ndata-reply t0 354\ncontent-begin t0\nheader t0\ncontent-end t0 14 bytes\n"
		      "final-reply t0 250 14 bytes\n" },
	{ "LF . LF does not end content",
	  { HELLO,
	    { 'C', "DATA\r\n" },
	    { 'S', "354 go\r\n" },
	    { 'C', "\r\na\n.\nMAIL FROM:<x@y>\r\n.\r\n" },
	    { 'S', "250 ok\r\n" } },
	  HELLO_FACTS "data t0\ndata-reply t0 354\ncontent-begin t0\nheader t0\n"
		      "content-end t0 23 bytes notes=5\nfinal-reply t0 250 23 bytes\n" },
	{ "BDAT in two chunks",
	  { HELLO,
	    { 'C',
	      "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 9\r\nMessage-IBDAT 9 LAST\r\nD: <7>\r\n\nRSET\r\n" },
	    { 'S', "250 ok\r\n250 ok\r\n250 9\r\n250 all\r\n250 ok\r\n" } },
	  HELLO_FACTS
	  "mail t1 <a@b>\nrcpt t1 <c@d>\ncontent-begin t1\nheader t1 id=7\ncontent-end t1 id=7 18 bytes\n"
	  "rset t1\nmail-reply t1 <a@b> 250\nrcpt-reply t1 <c@d> 250\nchunk-reply t1 250\n"
	  "final-reply t1 250 id=7 18 bytes\nother-reply t1 250\n" },
	{ "BDAT refused before its chunk was sent",
	  { HELLO,
	    { 'C', "BDAT 5 LAST\r\nab" },
	    { 'S', "503 no\r\n" },
	    { 'C', "cdeNOOP\r\n" },
	    { 'S', "250 ok\r\n" } },
	  HELLO_FACTS
	  "content-begin t0\nfinal-reply t0 503\nheader t0\ncontent-end t0 5 bytes\nother-reply t0 250\n" },
	{ "an empty last chunk",
	  { HELLO, { 'C', "BDAT 0 LAST\r\n" }, { 'S', "250 ok\r\n" } },
	  HELLO_FACTS "content-begin t0\nheader t0\ncontent-end t0 0 bytes\nfinal-reply t0 250 0 bytes\n" },
	{ "STARTTLS makes blind",
	  { HELLO,
	    { 'C', "STARTTLS\r\n" },
	    { 'S', "220 go\r\n" },
	    { 'C', "\x16\x03\x01 MAIL" },
	    { 'S', "junk\r\n" } },
	  HELLO_FACTS "other-reply t0 220\nencrypted\n" },
	{ "STARTTLS refused goes on in the clear",
	  { HELLO, { 'C', "STARTTLS\r\nNOOP\r\n" }, { 'S', "454 no\r\n250 ok\r\n" } },
	  HELLO_FACTS "other-reply t0 454\nother-reply t0 250\n" },
	{ "TLS from the first byte", { { 'C', "\x16\x03\x01\x02" }, { 'S', "\x16" } }, "encrypted\n" },
	{ "AUTH is followed and never told",
	  { HELLO,
	    { 'C', "AUTH LOGIN\r\n" },
	    { 'S', "334 VXNlcm5hbWU6\r\n" },
	    { 'C', "c2VjcmV0\r\n" },
	    { 'S', "334 UGFzc3dvcmQ6\r\n" },
	    { 'C', "QUIT\r\n" },
	    { 'S', "235 in\r\n" },
	    { 'C', "NOOP\r\n" },
	    { 'S', "250 ok\r\n" } },
	  HELLO_FACTS "auth-reply t0 235\nother-reply t0 250\n" },
	{ "a server that gives up in mid content",
	  { HELLO,
	    { 'C', "DATA\r\n" },
	    { 'S', "354 go\r\n" },
	    { 'C', "Message-ID: <3@z>\r\n\r\nab" },
	    { 'S', "421 shutting down\r\n" },
	    { 'C', "\r\n.\r\nNOOP\r\n" },
	    { 'S', "250 ok\r\n" } },
	  HELLO_FACTS
	  "data t0\ndata-reply t0 354\ncontent-begin t0\nheader t0 id=3@z\n"
	  "final-reply t0 421 id=3@z 23 bytes\ncontent-end t0 id=3@z 25 bytes\nother-reply t0 250\n" },
	{ "421 out of the blue",
	  { HELLO, { 'S', "421 too slow\r\n" } },
	  HELLO_FACTS "unasked-reply t0 421\n" },
	{ "a quoted local-part with >",
	  { HELLO, { 'C', "MAIL FROM:<\"a>b\"@c> X=1\r\n" } },
	  HELLO_FACTS "mail t1 <\"a>b\"@c> args=X=1\n" },
	{ "content sent ahead of the 354 waits for it",
	  { HELLO, { 'C', "DATA\r\n\r\nx\r\n.\r\n" }, { 'S', "354 go\r\n250 ok\r\n" } },
	  HELLO_FACTS "data t0\ndata-reply t0 354\ncontent-begin t0\nheader t0\ncontent-end t0 5 bytes\n"
		      "final-reply t0 250 5 bytes\n" },
	{ "blanks between FROM: and the path",
	  { HELLO, { 'C', "mail from: <a@b>\n" }, { 'S', "250 ok\n" } },
	  HELLO_FACTS "mail t1 <a@b>\nmail-reply t1 <a@b> 250 notes=1\n" },
};

/* ---- running ---- */
static void note(void *ctx, const struct tap_fact *f)
{
	struct buf *out = ctx;
	buf_add_cstr(out, tap_fact_name(f->kind));
	if (f->kind != TAP_GREETING && f->kind != TAP_HELLO_REPLY && f->kind != TAP_ENCRYPTED)
		buf_addf(out, " t%u", f->transaction);
	if (f->recipient > 0)
		buf_addf(out, " r%u", f->recipient);
	if (f->kind == TAP_MAIL || f->kind == TAP_MAIL_REPLY || f->kind == TAP_RCPT ||
	    f->kind == TAP_RCPT_REPLY)
		buf_addf(out, " <%.*s>", SPAN_FMT(f->path));
	if (f->args.n > 0)
		buf_addf(out, " args=%.*s", SPAN_FMT(f->args));
	if (f->code > 0)
		buf_addf(out, " %u", f->code);
	if (f->message_id.n > 0)
		buf_addf(out, " id=%.*s", SPAN_FMT(f->message_id));
	if (f->kind == TAP_CONTENT_END ||
	    (f->kind == TAP_FINAL_REPLY && (f->content_bytes > 0 || f->code == 250)))
		buf_addf(out, " %llu bytes", (unsigned long long)f->content_bytes);
	if (f->notes > 0)
		buf_addf(out, " notes=%u", f->notes);
	buf_add_cstr(out, "\n");
}

static void send(struct smtp_tap *t, char who, struct span bytes)
{
	struct exact e = exact_of(bytes);
	if (who == 'C')
		tap_client_sent(t, exact_span(e), 1);
	else
		tap_server_sent(t, exact_span(e), 1);
	exact_free(e);
}

static void play(const struct row *row, size_t piece, struct buf *ret_facts)
{
	struct smtp_tap t = { .fn = note, .ctx = ret_facts };
	for (const struct step *s = row->steps; s->who != 0; s++) {
		struct span rest = span_of(s->bytes);
		for (; rest.n > 0; rest = span_sub(rest, piece, rest.n))
			send(&t, s->who, span_sub(rest, 0, piece));
	}
	tap_free(&t);
}

static void facts_are_the_same_from_every_split(void **state)
{
	static const size_t pieces[] = { SIZE_MAX, 1, 2, 3, 7 };
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (size_t k = 0; k < sizeof(pieces) / sizeof(pieces[0]); k++) {
			struct buf facts = { 0 };
			play(&rows[i], pieces[k], &facts);
			if (strcmp(buf_cstr(&facts), rows[i].facts) != 0)
				fail_msg("%s, pieces of %zu:\n%s-- expected:\n%s", rows[i].name, pieces[k],
					 buf_cstr(&facts), rows[i].facts);
			buf_free(&facts);
		}
	}
}

/* ---- offsets: where a proxy has to cut ---- */
struct offsets {
	uint64_t begin;
	uint64_t header;
	uint64_t end;
	uint64_t final;
	int64_t final_ns;
	struct smtp_tap *tap;
	uint32_t unanswered;
};

static void note_offsets(void *ctx, const struct tap_fact *f)
{
	struct offsets *o = ctx;
	if (f->kind == TAP_CONTENT_BEGIN)
		o->begin = f->offset;
	else if (f->kind == TAP_HEADER)
		o->header = f->offset;
	else if (f->kind == TAP_CONTENT_END)
		o->end = f->offset;
	else if (f->kind == TAP_FINAL_REPLY) {
		o->final = f->offset;
		o->final_ns = f->at_ns;
	}
}

static void offsets_point_just_behind_the_fact(void **state)
{
	(void)state;
	for (size_t piece = 1; piece < 100; piece += 98) {
		struct offsets o = { 0 };
		struct smtp_tap t = { .fn = note_offsets, .ctx = &o };
		struct span client = SPAN_LIT("DATA\r\nA: b\r\n\r\n..x\r\n.\r\nQUIT\r\n");
		struct span server = SPAN_LIT("220 x\r\n354 go\r\n250 ok\r\n221 bye\r\n");
		tap_client_sent(&t, span_sub(client, 0, 6), 10);
		tap_server_sent(&t, span_sub(server, 0, 15), 20);
		for (struct span rest = span_sub(client, 6, client.n); rest.n > 0;
		     rest = span_sub(rest, piece, rest.n))
			tap_client_sent(&t, span_sub(rest, 0, piece), 30);
		assert_int_equal(tap_unanswered_count(&t), 1);
		tap_server_sent(&t, span_sub(server, 15, server.n), 40);
		assert_int_equal(tap_unanswered_count(&t), 0);
		assert_int_equal(o.begin, 6);
		assert_int_equal(o.header, 14);
		assert_int_equal(o.end, 22);
		assert_int_equal(o.final, 23);
		assert_int_equal(o.final_ns, 40);
		tap_free(&t);
	}
}

/* ---- limits ---- */
struct last {
	enum tap_fact_kind kind;
	size_t text_bytes;
	uint64_t path_bytes;
};

static void note_last(void *ctx, const struct tap_fact *f)
{
	struct last *l = ctx;
	l->kind = f->kind;
	l->text_bytes = f->text.n;
	l->path_bytes = f->path.n;
}

static void too_many_pending_commands_are_lost_and_said_so(void **state)
{
	(void)state;
	struct last last = { 0 };
	struct smtp_tap t = { .fn = note_last, .ctx = &last };
	for (uint32_t i = 0; i < TAP_PENDING_MAX - 1; i++)
		tap_client_sent(&t, SPAN_LIT("RSET\r\n"), 1);
	assert_false(tap_is_blind(&t));
	tap_client_sent(&t, SPAN_LIT("NOOP\r\n"), 1);
	assert_int_equal(last.kind, TAP_LOST);
	assert_true(last.text_bytes > 0);
	assert_true(tap_is_blind(&t));
	tap_reset(&t);
	tap_server_sent(&t, SPAN_LIT("220 hi\r\n"), 1);
	assert_int_equal(last.kind, TAP_GREETING);
	tap_free(&t);
}

static void too_much_held_input_is_lost_and_said_so(void **state)
{
	(void)state;
	struct last last = { 0 };
	struct smtp_tap t = { .fn = note_last, .ctx = &last };
	char *block = calloc(1, 65536);
	assert_non_null(block);
	tap_client_sent(&t, SPAN_LIT("DATA\r\n"), 1);
	for (size_t bytes = 0; bytes < TAP_HELD_BYTES_MAX; bytes += 65536)
		tap_client_sent(&t, (struct span){ block, 65536 }, 1);
	assert_int_equal(last.kind, TAP_DATA);
	tap_client_sent(&t, (struct span){ block, 1 }, 1);
	assert_int_equal(last.kind, TAP_LOST);
	free(block);
	tap_free(&t);
}

static void a_long_command_line_is_cut_not_kept(void **state)
{
	(void)state;
	struct last last = { 0 };
	struct smtp_tap t = { .fn = note_last, .ctx = &last };
	tap_client_sent(&t, SPAN_LIT("MAIL FROM:<"), 1);
	for (int i = 0; i < 100000; i++)
		tap_client_sent(&t, SPAN_LIT("x"), 1);
	tap_client_sent(&t, SPAN_LIT(">\r\n"), 1);
	assert_int_equal(last.kind, TAP_MAIL);
	assert_true(last.path_bytes < TAP_LINE_BYTES_MAX);
	tap_free(&t);
}

static void a_long_header_is_told_as_far_as_it_was_kept(void **state)
{
	(void)state;
	struct last last = { 0 };
	struct smtp_tap t = { .fn = note_last, .ctx = &last };
	tap_client_sent(&t, SPAN_LIT("DATA\r\n"), 1);
	tap_server_sent(&t, SPAN_LIT("220 x\r\n354 go\r\n"), 1);
	while (last.kind != TAP_HEADER)
		tap_client_sent(&t, SPAN_LIT("X-Long: 0123456789012345678901234567890123456789\r\n"), 1);
	assert_int_equal(last.text_bytes, TAP_HEADER_BYTES_MAX);
	tap_client_sent(&t, SPAN_LIT("\r\n.\r\n"), 1);
	assert_int_equal(last.kind, TAP_CONTENT_END);
	tap_free(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(facts_are_the_same_from_every_split),
		cmocka_unit_test(offsets_point_just_behind_the_fact),
		cmocka_unit_test(too_many_pending_commands_are_lost_and_said_so),
		cmocka_unit_test(too_much_held_input_is_lost_and_said_so),
		cmocka_unit_test(a_long_command_line_is_cut_not_kept),
		cmocka_unit_test(a_long_header_is_told_as_far_as_it_was_kept),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
