/*
 * inbox and link_watch: from bytes to facts.  Messages as a mailbox returns
 * them, and dialogues as a link sees them, come to the right row of the ledger.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "harness/judge/inbox.h"
#include "harness/judge/link_watch.h"
#include "harness/wire/dots.h"

#include <string.h>

#define SENDER "barney@isp2.example"
#define RCPT "sales@fredsco.example"
#define OTHER "info@fredsco.example"

enum { SEED = 11, MESSAGES = 3 };

struct world {
	struct ledger *ledger;
	struct inbox inbox;
};

static void original(void *ctx, uint32_t id, struct content_spec *ret_spec)
{
	(void)ctx;
	*ret_spec = (struct content_spec){ .seed = SEED,
					   .id = id,
					   .from = span_of(SENDER),
					   .to = span_of(RCPT ", " OTHER),
					   .body_bytes = 500,
					   .date_wall_ms = 773673707000 };
}

static void make(uint32_t id, struct buf *ret_message)
{
	struct content_spec spec;

	original(NULL, id, &spec);
	content_make(&spec, ret_message);
}

/* Three accepted messages to two recipients. */
static void set_up(struct world *w)
{
	const struct ledger_recipient to[] = { { .address = RCPT }, { .address = OTHER } };

	w->ledger = ledger_new();
	w->inbox = (struct inbox){ .ledger = w->ledger, .seed = SEED, .original = original };
	for (uint32_t i = 0; i < MESSAGES; i++) {
		struct buf m = { 0 };
		struct content_digest digest;
		uint32_t id = ledger_plan(
			w->ledger,
			&(struct ledger_plan){ .sender = SENDER, .recipients = to, .recipient_count = 2 });
		make(id, &m);
		content_digest(buf_span(&m), &digest);
		ledger_content(w->ledger, id, &digest);
		ledger_final_dot(w->ledger, id, 100);
		ledger_final_reply(w->ledger, id, 200, 250, SPAN_LIT("ok"));
		buf_free(&m);
	}
}

static void settle(struct world *w)
{
	ledger_settle(w->ledger, &(struct ledger_end){ .complete = true, .residue_known = true });
}

static void take_in(struct world *w, const char *mailbox, struct span message)
{
	inbox_take_in(&w->inbox,
		      &(struct inbox_message){
			      .message = message, .mailbox = mailbox, .seen_ns = 900, .not_before_ns = 800 });
}

static enum outcome outcome_of(struct world *w, uint32_t id, uint32_t recipient)
{
	return ledger_row(w->ledger, ledger_message(w->ledger, id)->row_first + recipient)->outcome;
}

static void copies_come_to_their_rows(void **state)
{
	(void)state;
	struct world w;
	struct buf m = { 0 };

	set_up(&w);
	make(1, &m);
	take_in(&w, RCPT, buf_span(&m));
	m.p[m.begin + buf_bytes(&m) - 3] ^= 1; /* one bit of the last line */
	take_in(&w, OTHER, buf_span(&m));
	settle(&w);
	assert_int_equal(outcome_of(&w, 1, 0), OUTCOME_DELIVERED);
	assert_int_equal(outcome_of(&w, 1, 1), OUTCOME_CORRUPTED);
	assert_non_null(strstr(ledger_row(w.ledger, 3)->reason, "first difference at byte 49"));
	assert_int_equal(outcome_of(&w, 0, 0), OUTCOME_LOST);
	ledger_free(w.ledger);
	buf_free(&m);
}

static void add_notification(struct buf *b, const char *groups, uint32_t id)
{
	buf_add_cstr(b, "Return-Path: <>\r\nFrom: postmaster@isp2.example\r\nTo: " SENDER "\r\n"
			"Date: Fri, 8 Jul 1994 09:21:47 -0400\r\nMessage-ID: <b@isp2.example>\r\n"
			"MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status; "
			"boundary=x\r\n"
			"\r\n--x\r\n\r\nSorry.\r\n--x\r\nContent-Type: message/delivery-status\r\n\r\n"
			"Reporting-MTA: dns; isp2.example\r\n");
	buf_add_cstr(b, groups);
	buf_add_cstr(b, "\r\n--x\r\nContent-Type: message/rfc822\r\n\r\n");
	make(id, b);
	buf_add_cstr(b, "\r\n--x--\r\n");
}

#define GROUP(rcpt, action, status) \
	"\r\nFinal-Recipient: rfc822; " rcpt "\r\nAction: " action "\r\nStatus: " status "\r\n"

static void notifications_come_to_the_recipients_they_name(void **state)
{
	(void)state;
	struct world w;
	struct buf b = { 0 };

	set_up(&w);
	add_notification(&b, GROUP(RCPT, "failed", "5.1.1") GROUP(OTHER, "delayed", "4.4.1"), 0);
	take_in(&w, SENDER, buf_span(&b));
	buf_reset(&b);
	/* An alias was expanded: the address the sender used is told apart. */
	add_notification(
		&b, "\r\nOriginal-Recipient: rfc822; " RCPT GROUP("boss@fredsco.example", "failed", "5.2.2"),
		1);
	take_in(&w, SENDER, buf_span(&b));
	buf_reset(&b);
	add_notification(&b, GROUP("nobody@fredsco.example", "failed", "5.1.1"), 2);
	take_in(&w, SENDER, buf_span(&b));
	settle(&w);

	assert_int_equal(outcome_of(&w, 0, 0), OUTCOME_BOUNCED);
	assert_int_equal(outcome_of(&w, 0, 1), OUTCOME_LOST); /* delayed is not told */
	assert_int_equal(ledger_row(w.ledger, 1)->dsns_delayed, 1);
	assert_int_equal(outcome_of(&w, 1, 0), OUTCOME_BOUNCED);
	assert_string_equal(ledger_row(w.ledger, 2)->dsn_status, "5.2.2");
	assert_int_equal(outcome_of(&w, 2, 0), OUTCOME_LOST);
	assert_int_equal(ledger_stray_count(w.ledger), 1);
	struct ledger_told told = ledger_told(w.ledger);
	assert_int_equal(told.once, 2);
	assert_int_equal(told.malformed, 0);
	ledger_free(w.ledger);
	buf_free(&b);
}

static void a_broken_notification_is_counted_and_named(void **state)
{
	(void)state;
	struct world w;
	struct buf b = { 0 };

	set_up(&w);
	add_notification(&b, GROUP(RCPT, "failed", "550"), 0);
	take_in(&w, SENDER, buf_span(&b));
	settle(&w);
	assert_int_equal(outcome_of(&w, 0, 0), OUTCOME_BOUNCED);
	assert_int_equal(ledger_told(w.ledger).malformed, 1);
	assert_non_null(strstr(ledger_row(w.ledger, 0)->reason, "RFC 3464 2.3.4"));
	ledger_free(w.ledger);
	buf_free(&b);
}

static void what_does_not_belong_is_a_stray(void **state)
{
	(void)state;
	struct world w;
	struct buf b = { 0 };

	set_up(&w);
	take_in(&w, RCPT, SPAN_LIT("Message-ID: <x@y>\r\nSubject: spam\r\n\r\nhello\r\n"));
	take_in(&w, RCPT, SPAN_LIT(""));
	make(MESSAGES + 7, &b); /* of this seed, but never sent */
	take_in(&w, RCPT, buf_span(&b));
	buf_reset(&b);
	make(0, &b);
	take_in(&w, "third@fredsco.example", buf_span(&b));
	settle(&w);
	assert_int_equal(ledger_stray_count(w.ledger), 4);
	assert_non_null(strstr(ledger_stray_at(w.ledger, 0)->reason, "<x@y>"));
	assert_non_null(strstr(ledger_stray_at(w.ledger, 3)->reason, "a copy of message 0"));
	ledger_free(w.ledger);
	buf_free(&b);
}

/* ---- links ---- */

struct side {
	char who; /* 'c' client, 's' server, 'm' the client sends message 0, 'x' closed */
	const char *bytes;
};

/* Plays a dialogue; with split, byte by byte.  A millisecond passes with each line. */
static struct ledger_row play(const struct side *sides, bool split, struct link_watch_counts *ret_counts)
{
	struct world w;

	set_up(&w);
	struct link_watch *watch = link_watch_new(w.ledger, SEED);
	struct link_observer o = link_watch_observer(watch);
	struct buf plain = { 0 };
	struct buf content = { 0 };
	struct dots_writer dots = { 0 };
	int64_t now_ns = 1000000;

	make(0, &plain);
	dots_write(&dots, buf_span(&plain), &content);
	o.opened(o.ctx, NULL, 1, now_ns);
	for (; sides->who != '\0'; sides++, now_ns += 1000000) {
		struct span bytes = sides->bytes == NULL ? buf_span(&content) : span_of(sides->bytes);
		size_t step = split ? 1 : bytes.n;
		enum link_side from = sides->who == 's' ? LINK_SERVER : LINK_CLIENT;
		if (sides->who == 'x') {
			o.closed(o.ctx, NULL, 1, true, now_ns);
			break;
		}
		for (size_t at = 0; at < bytes.n; at += step)
			o.bytes(o.ctx, NULL, 1, from, span_sub(bytes, at, step), now_ns);
	}
	struct ledger_row row = *ledger_row(w.ledger, 0);
	*ret_counts = link_watch_counts(watch);
	link_watch_free(watch);
	ledger_free(w.ledger);
	buf_free(&plain);
	buf_free(&content);
	return row;
}

#define TO_DATA                                                                               \
	{ 's', "220 hi\r\n" }, { 'c', "EHLO a\r\n" }, { 's', "250-b\r\n250 PIPELINING\r\n" }, \
		{ 'c', "MAIL FROM:<" SENDER ">\r\nRCPT TO:<" RCPT ">\r\nDATA\r\n" },          \
	{                                                                                     \
		's', "250 ok\r\n250 ok\r\n354 go\r\n"                                         \
	}

static const struct link_row {
	const char *name;
	struct side sides[12];
	uint32_t attempts;
	int64_t started_ms; /* of the good one; 0: none was */
	int64_t replied_ms;
	uint64_t refused_early;
	uint64_t blind;
} link_rows[] = {
	{ "taken", { TO_DATA, { 'm', NULL }, { 'c', ".\r\n" }, { 's', "250 ok\r\n" } }, 1, 4, 8, 0, 0 },
	{ "refused after the final dot",
	  { TO_DATA, { 'm', NULL }, { 'c', ".\r\n" }, { 's', "451 no\r\n" } },
	  1,
	  0,
	  0,
	  0,
	  0 },
	{ "broken before the reply",
	  { TO_DATA, { 'm', NULL }, { 'c', ".\r\n" }, { 'x', NULL } },
	  1,
	  0,
	  0,
	  0,
	  0 },
	{ "broken in the content", { TO_DATA, { 'm', NULL }, { 'x', NULL } }, 0, 0, 0, 1, 0 },
	{ "recipient refused, then reset",
	  { { 's', "220 hi\r\n" },
	    { 'c', "EHLO a\r\n" },
	    { 's', "250 b\r\n" },
	    { 'c', "MAIL FROM:<a@b>\r\n" },
	    { 's', "250 ok\r\n" },
	    { 'c', "RCPT TO:<" RCPT ">\r\n" },
	    { 's', "550 no\r\n" },
	    { 'c', "RSET\r\n" },
	    { 's', "250 ok\r\n" } },
	  0,
	  0,
	  0,
	  1,
	  0 },
	{ "gone to TLS",
	  { { 's', "220 hi\r\n" },
	    { 'c', "EHLO a\r\n" },
	    { 's', "250-b\r\n250 STARTTLS\r\n" },
	    { 'c', "STARTTLS\r\n" },
	    { 's', "220 go\r\n" },
	    { 'c', "\x16\x03\x01 and so on" } },
	  0,
	  0,
	  0,
	  0,
	  1 },
};

static void attempts_on_a_link_are_seen_from_every_split(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(link_rows) / sizeof(link_rows[0]); i++) {
		const struct link_row *want = &link_rows[i];
		for (int split = 0; split < 2; split++) {
			struct link_watch_counts counts;
			struct ledger_row got = play(want->sides, split == 1, &counts);
			int64_t started_ns =
				want->started_ms != 0 ? want->started_ms * 1000000 : LEDGER_NEVER;
			int64_t replied_ns =
				want->replied_ms != 0 ? want->replied_ms * 1000000 : LEDGER_NEVER;
			if (got.attempts != want->attempts || got.attempt_started_ns != started_ns ||
			    got.attempt_replied_ns != replied_ns ||
			    counts.refused_early != want->refused_early ||
			    counts.blind_connections != want->blind)
				fail_msg("%s%s: %u attempts, %lld to %lld, %llu refused early, %llu blind",
					 want->name, split ? ", byte by byte" : "", got.attempts,
					 (long long)got.attempt_started_ns, (long long)got.attempt_replied_ns,
					 (unsigned long long)counts.refused_early,
					 (unsigned long long)counts.blind_connections);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(copies_come_to_their_rows),
		cmocka_unit_test(notifications_come_to_the_recipients_they_name),
		cmocka_unit_test(a_broken_notification_is_counted_and_named),
		cmocka_unit_test(what_does_not_belong_is_a_stray),
		cmocka_unit_test(attempts_on_a_link_are_seen_from_every_split),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
