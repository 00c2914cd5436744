/*
 * sender and sink, talking to each other over loopback: what becomes of each
 * message under every answer a server can give, and what the sender says of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/file.h"
#include "harness/load/sender.h"
#include "harness/peer/sink.h"
#include "tests/unit/harness/exact.h"
#include "tests/unit/harness/line_peer.h"

#include <errno.h>
#include <stdio.h>
#include <event2/event.h>

/* ---- a sender, a sink, what they said ---- */
struct world {
	struct loop *loop;
	struct timer *deadline;
	struct sink *sink;
	struct sender *sender;
	struct buf log;      /* one line per report */
	struct buf received; /* one line per message at the sink */
	struct buf content;  /* of the last one */
	struct buf commands;
	struct sender_report last;
	uint32_t reports;
};

static void too_late(void *ctx)
{
	(void)ctx;
	fail_msg("the test hangs");
}

static void on_report(void *ctx, const struct sender_report *r)
{
	struct world *w = ctx;
	w->last = *r;
	w->reports++;
	buf_addf(&w->log, "%llu %s at %s %u", (unsigned long long)r->id, sender_outcome_name(r->outcome),
		 sender_stage_name(r->stage), r->reply.code);
	for (uint32_t i = 0; i < r->recipient_count; i++)
		buf_addf(&w->log, " %u", r->recipients[i].code);
	buf_addf(&w->log, "%s\n", r->problem[0] != '\0' ? " problem" : "");
}

static void on_idle(void *ctx)
{
	struct world *w = ctx;
	loop_stop(w->loop);
}

static void on_message(void *ctx, const struct sink_message *m)
{
	struct world *w = ctx;
	buf_addf(&w->received, "%.*s>", SPAN_FMT(m->reverse_path));
	for (uint32_t i = 0; i < m->recipient_count; i++)
		buf_addf(&w->received, " %.*s", SPAN_FMT(m->recipients[i]));
	buf_addf(&w->received, " c%llu%s\n", (unsigned long long)m->connection, m->over_tls ? " tls" : "");
	buf_reset(&w->content);
	buf_add(&w->content, m->content);
}

static void on_command(void *ctx, uint64_t connection, struct span line)
{
	struct world *w = ctx;
	(void)connection;
	buf_addf(&w->commands, "%.*s\n", SPAN_FMT(line));
}

static void world_open(struct world *w, struct sink_options sink)
{
	struct err err;
	*w = (struct world){ .loop = loop_new() };
	w->deadline = timer_new(w->loop, too_late, NULL);
	timer_set_ms(w->deadline, 20000);
	sink.loop = w->loop;
	assert_true(addr_parse("127.0.0.1", 0, &sink.at));
	sink.keep_content = true;
	sink.on_message = on_message;
	sink.on_command = on_command;
	sink.ctx = w;
	w->sink = sink_new(&sink, &err);
	assert_non_null(w->sink);
}

static void world_send(struct world *w, struct sender_options o)
{
	struct err err;
	o.loop = w->loop;
	if (o.access.server.n == 0)
		o.access.server = *sink_addr(w->sink);
	o.on_report = on_report;
	o.on_idle = on_idle;
	o.ctx = w;
	w->sender = sender_new(&o, &err);
	if (w->sender == NULL)
		fail_msg("%s", err.text);
}

static void submit(struct world *w, uint64_t id, int64_t intended_ns, const char *content)
{
	const struct span to[] = { SPAN_LIT("one@x"), SPAN_LIT("two@x") };
	sender_submit(w->sender, &(struct outgoing){ .id = id,
						     .intended_ns = intended_ns,
						     .reverse_path = SPAN_LIT("me@here"),
						     .recipients = to,
						     .recipient_count = 2,
						     .content = span_of(content) });
}

static void world_close(struct world *w)
{
	sender_free(w->sender);
	sink_free(w->sink);
	timer_free(w->deadline);
	loop_free(w->loop);
	buf_free(&w->log);
	buf_free(&w->received);
	buf_free(&w->content);
	buf_free(&w->commands);
}

/* ---- the good case ---- */
static void a_message_arrives_as_it_was_sent(void **state)
{
	static const char *const contents[] = { "A: b\r\n\r\n.\r\n..\r\n.x\r\nend\r\n", "A: b\r\n\r\n", "" };
	(void)state;
	for (int pipelining = 0; pipelining <= 1; pipelining++) {
		for (size_t i = 0; i < sizeof(contents) / sizeof(contents[0]); i++) {
			struct world w;
			world_open(&w, (struct sink_options){ 0 });
			world_send(&w, (struct sender_options){ .no_pipelining = !pipelining });
			int64_t now = clock_mono_ns();
			submit(&w, 7, now, contents[i]);
			loop_run(w.loop);
			assert_span_text(buf_span(&w.log), "7 accepted at final-reply 250 250 250\n");
			assert_span_text(buf_span(&w.received), "me@here> one@x two@x c1\n");
			assert_span_text(buf_span(&w.content), contents[i]);
			assert_true(now <= w.last.started_ns && w.last.started_ns <= w.last.connected_ns);
			assert_true(w.last.connected_ns <= w.last.final_dot_ns);
			assert_true(w.last.final_dot_ns <= w.last.final_reply_ns);
			assert_int_equal(w.last.attempts, 1);
			assert_int_equal(w.last.content_bytes, strlen(contents[i]));
			world_close(&w);
		}
	}
}

static void make(void *ctx, uint64_t id, struct buf *ret_message)
{
	uint32_t *calls = ctx;
	(*calls)++;
	buf_addf(ret_message, "N: %llu\r\n\r\n", (unsigned long long)id);
}

static void content_is_made_once_for_each_message(void **state)
{
	(void)state;
	struct world w;
	uint32_t calls = 0;
	const struct span to = SPAN_LIT("one@x");
	world_open(&w, (struct sink_options){ 0 });
	world_send(&w, (struct sender_options){ .connections_max = 2 });
	for (uint64_t i = 0; i < 20; i++)
		sender_submit(w.sender, &(struct outgoing){ .id = i,
							    .intended_ns = 1,
							    .recipients = &to,
							    .recipient_count = 1,
							    .mail_args = SPAN_LIT("BODY=8BITMIME"),
							    .make_content = make,
							    .make_content_ctx = &calls });
	assert_int_equal(sender_pending_count(w.sender), 20);
	loop_run(w.loop);
	assert_int_equal(calls, 20);
	assert_int_equal(w.reports, 20);
	assert_int_equal(sink_message_count(w.sink), 20);
	assert_int_equal(sink_connections_total(w.sink), 2);
	assert_int_equal(sender_pending_count(w.sender), 0);
	assert_int_equal(sender_active_count(w.sender), 0);
	assert_non_null(strstr(buf_cstr(&w.commands), "MAIL FROM:<> BODY=8BITMIME\n"));
	world_close(&w);
}

static void a_connection_per_message_when_asked(void **state)
{
	(void)state;
	struct world w;
	world_open(&w, (struct sink_options){ 0 });
	world_send(&w, (struct sender_options){ .connection_per_message = true, .connections_max = 3 });
	for (uint64_t i = 0; i < 10; i++)
		submit(&w, i, 1, "x\r\n");
	loop_run(w.loop);
	assert_int_equal(w.reports, 10);
	assert_int_equal(sink_connections_total(w.sink), 10);
	world_close(&w);
}

static void body_is_left_out_where_it_is_not_offered(void **state)
{
	(void)state;
	struct world w;
	const struct span to = SPAN_LIT("one@x");
	world_open(&w, (struct sink_options){ .no_8bitmime = true });
	world_send(&w, (struct sender_options){ 0 });
	sender_submit(w.sender, &(struct outgoing){ .recipients = &to,
						    .recipient_count = 1,
						    .mail_args = SPAN_LIT("BODY=8BITMIME") });
	loop_run(w.loop);
	assert_non_null(strstr(buf_cstr(&w.commands), "MAIL FROM:<>\n"));
	world_close(&w);
}

/* ---- answers ---- */
struct answer_row {
	const char *name;
	struct sink_options sink;
	struct sink_rule rule;
	const char *log;
	const char *grouped_log; /* NULL: the same */
};

static const struct answer_row answers[] = {
	{ "greeting 554",
	  { 0 },
	  { SINK_GREETING, .reply = "554 no" },
	  "1 refused at greeting 554 0 0 problem\n",
	  NULL },
	{ "greeting 421",
	  { 0 },
	  { SINK_GREETING, .reply = "421 no" },
	  "1 deferred at greeting 421 0 0 problem\n",
	  NULL },
	{ "greeting closed",
	  { 0 },
	  { SINK_GREETING, .action = SINK_CLOSE },
	  "1 not-sent at greeting 0 0 0 problem\n",
	  NULL },
	{ "greeting nonsense",
	  { 0 },
	  { SINK_GREETING, .reply = "hello there" },
	  "1 not-sent at greeting 0 0 0 problem\n",
	  NULL },
	{ "EHLO unknown, HELO taken",
	  { .no_ehlo = true },
	  { 0 },
	  "1 accepted at final-reply 250 250 250\n",
	  NULL },
	{ "EHLO 421",
	  { 0 },
	  { SINK_HELLO, .reply = "421 busy" },
	  "1 deferred at hello 421 0 0 problem\n",
	  NULL },
	{ "EHLO and HELO 550",
	  { 0 },
	  { SINK_HELLO, .reply = "550 you" },
	  "1 refused at hello 550 0 0 problem\n",
	  NULL },
	{ "MAIL 550",
	  { 0 },
	  { SINK_MAIL, .reply = "550 5.7.1 no" },
	  "1 refused at mail 550 0 0\n",
	  "1 refused at mail 550 503 503\n" },
	{ "MAIL 451",
	  { 0 },
	  { SINK_MAIL, .reply = "451 4.3.0 no" },
	  "1 deferred at mail 451 0 0\n",
	  "1 deferred at mail 451 503 503\n" },
	{ "MAIL 421",
	  { 0 },
	  { SINK_MAIL, .action = SINK_CLOSE, .reply = "421 bye" },
	  "1 deferred at mail 421 0 0 problem\n",
	  NULL },
	{ "one RCPT refused",
	  { 0 },
	  { SINK_RCPT, .path = "one", .reply = "550 who" },
	  "1 accepted at final-reply 250 550 250\n",
	  NULL },
	{ "both RCPT refused",
	  { 0 },
	  { SINK_RCPT, .reply = "550 who" },
	  "1 refused at rcpt 550 550 550\n",
	  NULL },
	{ "RCPT 550 and 450",
	  { 0 },
	  { SINK_RCPT, .path = "two", .reply = "450 later" },
	  "1 accepted at final-reply 250 250 450\n",
	  NULL },
	{ "DATA 452", { 0 }, { SINK_DATA, .reply = "452 full" }, "1 deferred at data 452 250 250\n", NULL },
	{ "DATA 250 is no 354",
	  { 0 },
	  { SINK_DATA, .reply = "250 what" },
	  "1 not-sent at data 250 250 250\n",
	  NULL },
	{ "final 554",
	  { 0 },
	  { SINK_FINAL, .reply = "554 spam" },
	  "1 refused at final-reply 554 250 250\n",
	  NULL },
	{ "final 452",
	  { 0 },
	  { SINK_FINAL, .reply = "452 full" },
	  "1 deferred at final-reply 452 250 250\n",
	  NULL },
	{ "final closed",
	  { 0 },
	  { SINK_FINAL, .action = SINK_CLOSE },
	  "1 indeterminate at content 0 250 250 problem\n",
	  NULL },
	{ "final reset",
	  { 0 },
	  { SINK_FINAL, .action = SINK_RESET },
	  "1 indeterminate at content 0 250 250 problem\n",
	  NULL },
	{ "final silent",
	  { 0 },
	  { SINK_FINAL, .action = SINK_SILENT },
	  "1 indeterminate at content 0 250 250 problem\n",
	  NULL },
	{ "RCPT silent",
	  { 0 },
	  { SINK_RCPT, .action = SINK_SILENT },
	  "1 not-sent at rcpt 0 0 0 problem\n",
	  NULL },
	{ "RCPT reset",
	  { 0 },
	  { SINK_RCPT, .action = SINK_RESET },
	  "1 not-sent at rcpt 0 0 0 problem\n",
	  "1 not-sent at mail 0 0 0 problem\n" },
};

static void every_answer_has_its_outcome(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2 * sizeof(answers) / sizeof(answers[0]); i++) {
		const struct answer_row *row = &answers[i / 2];
		struct world w;
		struct sink_options sink = row->sink;
		sink.rules = &row->rule;
		sink.rule_count = row->rule.reply != NULL || row->rule.action != SINK_REPLY ? 1 : 0;
		world_open(&w, sink);
		world_send(&w,
			   (struct sender_options){ .no_pipelining = i % 2 == 0, .reply_timeout_ms = 200 });
		submit(&w, 1, 1, "x\r\n");
		loop_run(w.loop);
		bool grouped = i % 2 == 1 && row->grouped_log != NULL;
		if (strcmp(buf_cstr(&w.log), grouped ? row->grouped_log : row->log) != 0)
			fail_msg("%s (%s): %s", row->name, i % 2 == 0 ? "one by one" : "grouped",
				 buf_cstr(&w.log));
		assert_int_equal(w.last.attempts, 1);
		world_close(&w);
	}
}

/* RFC 2920 section 3.1: DATA that draws a 354 although nobody is left must be answered with a lone dot. */
static void a_354_for_nobody_gets_an_empty_content(void **state)
{
	(void)state;
	const struct sink_rule rules[] = { { SINK_RCPT, .reply = "550 who" },
					   { SINK_DATA, .reply = "354 ok" } };
	struct world w;
	world_open(&w, (struct sink_options){ .rules = rules, .rule_count = 2 });
	world_send(&w, (struct sender_options){ 0 });
	submit(&w, 1, 1, "secret\r\n");
	loop_run(w.loop);
	assert_span_text(buf_span(&w.log), "1 refused at rcpt 550 550 550\n");
	assert_int_equal(sink_content_bytes(w.sink), 0);
	assert_int_equal(w.last.final_dot_ns, 0);
	world_close(&w);
}

static void a_refused_message_does_not_spoil_the_next(void **state)
{
	(void)state;
	const struct sink_rule rules[] = { { SINK_RCPT, .count = 2, .reply = "550 who" },
					   { SINK_DATA, .from_nth = 2, .count = 1, .reply = "451 no" } };
	for (int pipelining = 0; pipelining <= 1; pipelining++) {
		struct world w;
		world_open(&w, (struct sink_options){ .rules = rules, .rule_count = 2 });
		world_send(&w, (struct sender_options){ .no_pipelining = !pipelining });
		for (uint64_t id = 1; id <= 4; id++)
			submit(&w, id, 1, "x\r\n");
		loop_run(w.loop);
		/* Grouped, the first DATA was the refused message's own. */
		const char *expected =
			pipelining ? "1 refused at rcpt 550 550 550\n2 deferred at data 451 250 250\n"
				     "3 accepted at final-reply 250 250 250\n"
				     "4 accepted at final-reply 250 250 250\n"
				   : "1 refused at rcpt 550 550 550\n"
				     "2 accepted at final-reply 250 250 250\n"
				     "3 deferred at data 451 250 250\n"
				     "4 accepted at final-reply 250 250 250\n";
		assert_span_text(buf_span(&w.log), expected);
		assert_int_equal(sink_connections_total(w.sink), 1);
		assert_non_null(strstr(buf_cstr(&w.commands), "RSET\n"));
		world_close(&w);
	}
}

/* ---- several in flight, BDAT, LMTP ---- */
struct flight_row {
	const char *name;
	struct sender_options sender;
	struct sink_options sink;
	struct sink_rule rules[2];
	const char *log;      /* of messages 1 to 4 */
	const char *received; /* on which connections; NULL: all on the first */
};

static const struct flight_row flights[] = {
	{ "DATA",
	  { .in_flight_max = 4 },
	  { 0 },
	  { { 0 } },
	  "1 accepted at final-reply 250 250 250\n2 accepted at final-reply 250 250 250\n"
	  "3 accepted at final-reply 250 250 250\n4 accepted at final-reply 250 250 250\n",
	  NULL },
	{ "BDAT",
	  { .in_flight_max = 4, .chunking = true },
	  { 0 },
	  { { 0 } },
	  "1 accepted at final-reply 250 250 250\n2 accepted at final-reply 250 250 250\n"
	  "3 accepted at final-reply 250 250 250\n4 accepted at final-reply 250 250 250\n",
	  NULL },
	{ "BDAT, one by one",
	  { .chunking = true, .no_pipelining = true },
	  { 0 },
	  { { 0 } },
	  "1 accepted at final-reply 250 250 250\n2 accepted at final-reply 250 250 250\n"
	  "3 accepted at final-reply 250 250 250\n4 accepted at final-reply 250 250 250\n",
	  NULL },
	{ "neither is offered",
	  { .in_flight_max = 4, .chunking = true },
	  { .no_pipelining = true, .no_chunking = true },
	  { { 0 } },
	  "1 accepted at final-reply 250 250 250\n2 accepted at final-reply 250 250 250\n"
	  "3 accepted at final-reply 250 250 250\n4 accepted at final-reply 250 250 250\n",
	  NULL },
	{ "DATA, the second's recipients are refused",
	  { .in_flight_max = 4 },
	  { 0 },
	  { { SINK_RCPT, .from_nth = 3, .count = 2, .reply = "550 who" } },
	  "1 accepted at final-reply 250 250 250\n2 refused at rcpt 550 550 550\n"
	  "3 accepted at final-reply 250 250 250\n4 accepted at final-reply 250 250 250\n",
	  NULL },
	{ "BDAT, the second's recipients are refused",
	  { .in_flight_max = 4, .chunking = true },
	  { 0 },
	  { { SINK_RCPT, .from_nth = 3, .count = 2, .reply = "450 who" } },
	  "1 accepted at final-reply 250 250 250\n2 deferred at rcpt 450 450 450\n"
	  "3 accepted at final-reply 250 250 250\n4 accepted at final-reply 250 250 250\n",
	  NULL },
	{ "BDAT, the second is refused",
	  { .in_flight_max = 4, .chunking = true },
	  { 0 },
	  { { SINK_FINAL, .from_nth = 2, .count = 1, .reply = "452 full" } },
	  "1 accepted at final-reply 250 250 250\n2 deferred at final-reply 452 250 250\n"
	  "3 accepted at final-reply 250 250 250\n4 accepted at final-reply 250 250 250\n",
	  NULL },
	{ "DATA, closed instead of the second's final reply: the third had not left",
	  { .in_flight_max = 4 },
	  { 0 },
	  { { SINK_FINAL, .from_nth = 2, .count = 1, .action = SINK_CLOSE } },
	  "1 accepted at final-reply 250 250 250\n2 indeterminate at content 0 250 250 problem\n"
	  "3 accepted at final-reply 250 250 250\n4 accepted at final-reply 250 250 250\n",
	  "c1\nc2\nc2\n" },
	{ "BDAT, closed instead of the second's final reply: all had left",
	  { .in_flight_max = 4, .chunking = true },
	  { 0 },
	  { { SINK_FINAL, .from_nth = 2, .count = 1, .action = SINK_CLOSE } },
	  "1 accepted at final-reply 250 250 250\n2 indeterminate at content 0 250 250 problem\n"
	  "3 indeterminate at content 0 0 0 problem\n4 indeterminate at content 0 0 0 problem\n",
	  "c1\n" },
	{ "DATA, 421 for the first's final reply: the others go over another connection",
	  { .in_flight_max = 4 },
	  { 0 },
	  { { SINK_FINAL, .count = 1, .action = SINK_CLOSE, .reply = "421 bye" } },
	  "1 deferred at final-reply 421 250 250\n2 accepted at final-reply 250 250 250\n"
	  "3 accepted at final-reply 250 250 250\n4 accepted at final-reply 250 250 250\n",
	  "c2\nc2\nc2\n" },
	{ "LMTP",
	  { .lmtp = true, .in_flight_max = 3 },
	  { .lmtp = true },
	  { { 0 } },
	  "1 accepted at final-reply 250 250 250\n2 accepted at final-reply 250 250 250\n"
	  "3 accepted at final-reply 250 250 250\n4 accepted at final-reply 250 250 250\n",
	  NULL },
	{ "LMTP, BDAT, the first recipient's final reply is another",
	  { .lmtp = true, .chunking = true, .in_flight_max = 4 },
	  { .lmtp = true },
	  { { SINK_FINAL, .path = "one", .reply = "452 full" } },
	  "1 accepted at final-reply 250 452 250\n2 accepted at final-reply 250 452 250\n"
	  "3 accepted at final-reply 250 452 250\n4 accepted at final-reply 250 452 250\n",
	  NULL },
	{ "LMTP, the first recipient is refused, the second later",
	  { .lmtp = true },
	  { .lmtp = true },
	  { { SINK_RCPT, .path = "one", .count = 1, .reply = "550 who" },
	    { SINK_FINAL, .path = "two", .count = 1, .reply = "552 full" } },
	  "1 refused at final-reply 550 550 552\n2 accepted at final-reply 250 250 250\n"
	  "3 accepted at final-reply 250 250 250\n4 accepted at final-reply 250 250 250\n",
	  NULL },
	{ "LMTP, silent after the first recipient's final reply",
	  { .lmtp = true, .reply_timeout_ms = 200 },
	  { .lmtp = true },
	  { { SINK_FINAL, .path = "two", .count = 1, .action = SINK_SILENT } },
	  "1 indeterminate at content 0 250 250 problem\n2 accepted at final-reply 250 250 250\n"
	  "3 accepted at final-reply 250 250 250\n4 accepted at final-reply 250 250 250\n",
	  "c1\nc2\nc2\nc2\n" },
	{ "LMTP spoken to an SMTP server",
	  { .lmtp = true },
	  { 0 },
	  { { 0 } },
	  "1 refused at hello 500 0 0 problem\n2 refused at hello 500 0 0 problem\n"
	  "3 refused at hello 500 0 0 problem\n4 refused at hello 500 0 0 problem\n",
	  "" },
};

static void what_is_in_flight_ends_as_it_must(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(flights) / sizeof(flights[0]); i++) {
		const struct flight_row *row = &flights[i];
		struct world w;
		struct sink_options sink = row->sink;
		sink.rules = row->rules;
		for (unsigned k = 0; k < 2; k++)
			if (row->rules[k].reply != NULL || row->rules[k].action != SINK_REPLY)
				sink.rule_count++;
		world_open(&w, sink);
		world_send(&w, row->sender);
		for (uint64_t id = 1; id <= 4; id++)
			submit(&w, id, 1, ".\r\nx\r\n");
		loop_run(w.loop);
		if (strcmp(buf_cstr(&w.log), row->log) != 0)
			fail_msg("%s: %s", row->name, buf_cstr(&w.log));
		struct span rest = buf_span(&w.received), line,
			    want = span_of(row->received != NULL ? row->received : ""), mark = SPAN_LIT("c1");
		while (span_take_until(&rest, '\n', &line)) {
			bool more = row->received == NULL || span_take_until(&want, '\n', &mark);
			size_t at = span_find(line, 'c');
			if (!more || !span_eq(span_sub(line, at, line.n), mark))
				fail_msg("%s: received %s", row->name, buf_cstr(&w.received));
		}
		if (buf_bytes(&w.content) > 0)
			assert_span_text(buf_span(&w.content), ".\r\nx\r\n");
		world_close(&w);
	}
}

/* Answers the content only once it has seen the commands of the next message. */
static enum peer_act answer_late(void *ctx, uint32_t *state, struct span line, struct buf *ret_answer)
{
	uint32_t *contents = ctx;
	bool in_content = *state % 2 == 1;
	if (line.p == NULL) {
		buf_add_cstr(ret_answer, "220 x\r\n");
	} else if (in_content && span_eq(line, SPAN_LIT("."))) {
		(*state)++;
		(*contents)++;
		if (*contents == 3)
			buf_add_cstr(ret_answer, "250 final\r\n");
	} else if (in_content) {
		return PEER_GO;
	} else if (span_starts_nocase(line, SPAN_LIT("EHLO"))) {
		buf_add_cstr(ret_answer, "250-x\r\n250 PIPELINING\r\n");
	} else if (span_starts_nocase(line, SPAN_LIT("DATA"))) {
		buf_addf(ret_answer, "%s250 a\r\n250 b\r\n250 c\r\n354 go\r\n",
			 *contents > 0 ? "250 final\r\n" : "");
		(*state)++;
	}
	return PEER_GO;
}

static void the_next_commands_go_with_the_content(void **state)
{
	(void)state;
	for (uint32_t in_flight = 1; in_flight <= 3; in_flight++) {
		struct world w;
		uint32_t contents = 0;
		world_open(&w, (struct sink_options){ 0 });
		struct line_peer peer = { .loop = w.loop, .fn = answer_late, .ctx = &contents };
		peer_open(&peer);
		world_send(&w, (struct sender_options){ .access = { .server = *listener_addr(peer.listener) },
							.in_flight_max = in_flight,
							.reply_timeout_ms = 300 });
		for (uint64_t id = 1; id <= 3; id++)
			submit(&w, id, 1, "x\r\n");
		loop_run(w.loop);
		/* Control: one at a time, the peer waits for the commands and the sender for the reply. */
		if (in_flight == 1)
			assert_non_null(strstr(buf_cstr(&w.log), "1 indeterminate at content"));
		else
			assert_span_text(buf_span(&w.log), "1 accepted at final-reply 250 250 250\n"
							   "2 accepted at final-reply 250 250 250\n"
							   "3 accepted at final-reply 250 250 250\n");
		peer_close(&peer);
		world_close(&w);
	}
}

/* ---- time ---- */
static void messages_leave_at_their_time_and_a_slow_server_moves_nothing(void **state)
{
	(void)state;
	const struct sink_rule slow = { SINK_FINAL, .delay_ms = 40, .count = 1 };
	struct world w;
	world_open(&w, (struct sink_options){ .rules = &slow, .rule_count = 1 });
	world_send(&w, (struct sender_options){ .connections_max = 1 });
	int64_t start = clock_mono_ns() + 5000000;
	submit(&w, 0, start, "x\r\n");
	submit(&w, 1, start + 10000000, "x\r\n");
	submit(&w, 2, start + 80000000, "x\r\n");
	int64_t lag_ns[3];
	for (uint32_t i = 0; i < 3; i++) {
		while (w.reports == i) /* on_report cannot stop the loop, so step by the timer's grain */
			assert_int_equal(event_base_loop(loop_event_base(w.loop), 1), 0);
		assert_int_equal(w.last.id, i);
		lag_ns[i] = w.last.started_ns - w.last.intended_ns;
	}
	assert_true(lag_ns[0] >= 0 && lag_ns[0] < 200000000);
	assert_true(lag_ns[1] >= 29000000); /* waited for the connection; intended stays */
	assert_int_equal(w.last.intended_ns, start + 80000000);
	assert_true(lag_ns[2] >= 0 && lag_ns[2] < 200000000);
	world_close(&w);
}

static void a_server_that_comes_up_late_is_tried_again(void **state)
{
	(void)state;
	struct world w;
	struct err err;
	world_open(&w, (struct sink_options){ 0 });
	struct addr at = *sink_addr(w.sink);
	sink_free(w.sink);
	w.sink = NULL;
	world_send(&w, (struct sender_options){
			       .access.server = at, .retry_for_ms = 10000, .retry_interval_ms = 20 });
	submit(&w, 1, 1, "x\r\n");
	for (int i = 0; i < 6; i++)
		assert_int_equal(event_base_loop(loop_event_base(w.loop), 1), 0);
	assert_int_equal(w.reports, 0);
	w.sink = sink_new(&(struct sink_options){ .loop = w.loop, .at = at }, &err);
	assert_non_null(w.sink);
	loop_run(w.loop);
	assert_span_text(buf_span(&w.log), "1 accepted at final-reply 250 250 250\n");
	assert_true(w.last.attempts > 1);
	world_close(&w);
}

static void retries_end(void **state)
{
	(void)state;
	const struct sink_rule rule = { SINK_MAIL, .reply = "450 later" };
	struct world w;
	world_open(&w, (struct sink_options){ .rules = &rule, .rule_count = 1 });
	world_send(&w, (struct sender_options){ .retry_for_ms = 60, .retry_interval_ms = 10 });
	submit(&w, 1, 1, "x\r\n");
	loop_run(w.loop);
	assert_span_text(buf_span(&w.log), "1 deferred at mail 450 503 503\n");
	assert_in_range(w.last.attempts, 2, 8);
	world_close(&w);
}

static void nobody_listening_is_not_sent(void **state)
{
	(void)state;
	struct world w;
	world_open(&w, (struct sink_options){ 0 });
	struct addr at = *sink_addr(w.sink);
	sink_free(w.sink);
	w.sink = NULL;
	world_send(&w, (struct sender_options){ .access.server = at });
	submit(&w, 1, 1, "x\r\n");
	submit(&w, 2, 1, "x\r\n");
	loop_run(w.loop);
	assert_span_text(buf_span(&w.log),
			 "1 not-sent at connect 0 0 0 problem\n2 not-sent at connect 0 0 0 problem\n");
	world_close(&w);
}

/* The server closes idle connections; the next message must not pay for it. */
static void a_kept_connection_that_died_costs_no_attempt(void **state)
{
	(void)state;
	const struct sink_rule rule = { SINK_MAIL, .from_nth = 2, .count = 1, .action = SINK_RESET };
	struct world w;
	world_open(&w, (struct sink_options){ .rules = &rule, .rule_count = 1 });
	world_send(&w, (struct sender_options){ 0 });
	submit(&w, 1, 1, "x\r\n");
	submit(&w, 2, 1, "x\r\n");
	loop_run(w.loop);
	assert_span_text(buf_span(&w.log),
			 "1 accepted at final-reply 250 250 250\n2 accepted at final-reply 250 250 250\n");
	assert_int_equal(w.last.attempts, 1);
	assert_int_equal(sink_connections_total(w.sink), 2);
	world_close(&w);
}

static void stopping_reports_what_was_never_started(void **state)
{
	(void)state;
	struct world w;
	world_open(&w, (struct sink_options){ 0 });
	world_send(&w, (struct sender_options){ 0 });
	submit(&w, 1, clock_mono_ns() + INT64_C(3600000000000), "x\r\n");
	sender_stop(w.sender);
	assert_span_text(buf_span(&w.log), "1 not-sent at start 0 0 0 problem\n");
	submit(&w, 2, clock_mono_ns() + INT64_C(7200000000000), "x\r\n");
	loop_run(w.loop);
	assert_int_equal(w.reports, 2);
	assert_int_equal(sink_connections_total(w.sink), 0);
	world_close(&w);
}

/* ---- TLS ---- */
struct certs {
	char dir[64];
	char ca[80], ca_key[80], other[80], other_key[80], cert[80], key[80];
};

static void make_certs(struct certs *c)
{
	static const char *const names[] = { "mx.example", "127.0.0.1", NULL };
	struct err err;
	(void)snprintf(c->dir, sizeof(c->dir), "/tmp/test_sender.XXXXXX");
	assert_non_null(mkdtemp(c->dir));
	(void)snprintf(c->ca, sizeof(c->ca), "%s/ca", c->dir);
	(void)snprintf(c->ca_key, sizeof(c->ca_key), "%s/ca.key", c->dir);
	(void)snprintf(c->other, sizeof(c->other), "%s/other", c->dir);
	(void)snprintf(c->other_key, sizeof(c->other_key), "%s/other.key", c->dir);
	(void)snprintf(c->cert, sizeof(c->cert), "%s/cert", c->dir);
	(void)snprintf(c->key, sizeof(c->key), "%s/key", c->dir);
	assert_int_equal(cert_make(&(struct cert_options){ .common_name = "CA",
							   .ret_cert_path = c->ca,
							   .ret_key_path = c->ca_key },
				   &err),
			 0);
	assert_int_equal(cert_make(&(struct cert_options){ .common_name = "other CA",
							   .ret_cert_path = c->other,
							   .ret_key_path = c->other_key },
				   &err),
			 0);
	assert_int_equal(cert_make(&(struct cert_options){ .common_name = "mx.example",
							   .names = names,
							   .issuer_cert_path = c->ca,
							   .issuer_key_path = c->ca_key,
							   .ret_cert_path = c->cert,
							   .ret_key_path = c->key },
				   &err),
			 0);
}

static void tls_is_used_as_asked_and_checked(void **state)
{
	(void)state;
	struct certs c;
	struct err err;
	make_certs(&c);
	const struct {
		const char *name;
		enum access_tls tls;
		const char *ca;
		const char *server_name;
		bool offered;
		const char *log;
	} table[] = {
		{ "STARTTLS", ACCESS_STARTTLS, c.ca, "mx.example", true,
		  "1 accepted at final-reply 250 250 250\n" },
		{ "TLS", ACCESS_TLS, c.ca, "mx.example", true, "1 accepted at final-reply 250 250 250\n" },
		{ "by address", ACCESS_TLS, c.ca, "127.0.0.1", true,
		  "1 accepted at final-reply 250 250 250\n" },
		{ "any certificate", ACCESS_TLS, NULL, NULL, true,
		  "1 accepted at final-reply 250 250 250\n" },
		{ "another CA", ACCESS_STARTTLS, c.other, "mx.example", true,
		  "1 not-sent at starttls 0 0 0 problem\n" },
		{ "another name", ACCESS_STARTTLS, c.ca, "my.example", true,
		  "1 not-sent at starttls 0 0 0 problem\n" },
		{ "not offered", ACCESS_STARTTLS, c.ca, "mx.example", false,
		  "1 not-sent at starttls 0 0 0 problem\n" },
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct world w;
		struct tls_ctx *server = tls_server_new(c.cert, c.key, &err);
		struct tls_ctx *client = tls_client_new(table[i].ca, &err);
		assert_true(server != NULL && client != NULL);
		world_open(&w, (struct sink_options){ .tls_ctx = server,
						      .implicit_tls = table[i].tls == ACCESS_TLS,
						      .no_starttls = !table[i].offered });
		world_send(&w, (struct sender_options){ .access = { .tls = table[i].tls,
								    .tls_ctx = client,
								    .server_name = table[i].server_name } });
		submit(&w, 1, 1, "x\r\n");
		loop_run(w.loop);
		if (strcmp(buf_cstr(&w.log), table[i].log) != 0)
			fail_msg("%s: %s%s", table[i].name, buf_cstr(&w.log), w.last.problem);
		if (buf_bytes(&w.received) > 0)
			assert_span_text(buf_span(&w.received), "me@here> one@x two@x c1 tls\n");
		world_close(&w);
		tls_free(server);
		tls_free(client);
	}
	assert_int_equal(dir_remove(c.dir, &err), 0);
}

/* ---- login ---- */
struct login_row {
	const char *name;
	const char *offer;
	enum access_mechanism mechanism;
	const char *script; /* what the client must say and what it gets: "line|answer|line|answer" */
	enum sender_stage stage;
};

static const struct login_row logins[] = {
	{ "PLAIN", "PLAIN", ACCESS_BEST, "AUTH PLAIN AG1lAHB3|235 in|MAIL FROM:<me@here>|550 enough",
	  SENDER_AT_MAIL },
	{ "LOGIN", "LOGIN", ACCESS_BEST,
	  "AUTH LOGIN|334 VXNlcm5hbWU6|bWU=|334 UGFzc3dvcmQ6|cHc=|235 in|"
	  "MAIL FROM:<me@here>|550 enough",
	  SENDER_AT_MAIL },
	{ "refused", "PLAIN", ACCESS_BEST, "AUTH PLAIN AG1lAHB3|535 5.7.8 no|QUIT|221 bye", SENDER_AT_AUTH },
	{ "later", "PLAIN", ACCESS_BEST, "AUTH PLAIN AG1lAHB3|454 4.7.0 no|QUIT|221 bye", SENDER_AT_AUTH },
	{ "not offered", "PLAIN", ACCESS_SCRAM_SHA_256, "QUIT|221 bye", SENDER_AT_AUTH },
	{ "one challenge too many", "PLAIN", ACCESS_BEST, "AUTH PLAIN AG1lAHB3|334 |", SENDER_AT_AUTH },
	{ "SCRAM without proof", "SCRAM-SHA-256 PLAIN", ACCESS_BEST,
	  "AUTH SCRAM-SHA-256 *|235 trust me|QUIT|221 bye", SENDER_AT_AUTH },
	{ "bad base64", "SCRAM-SHA-256", ACCESS_BEST, "AUTH SCRAM-SHA-256 *|334 !!!|", SENDER_AT_AUTH },
};

struct script {
	const struct login_row *row;
	const char *rest;
	bool broken;
};

static enum peer_act play_script(void *ctx, uint32_t *connection_state, struct span line,
				 struct buf *ret_answer)
{
	struct script *s = ctx;
	(void)connection_state;
	if (line.p == NULL) {
		buf_add_cstr(ret_answer, "220 x\r\n");
		return PEER_GO;
	}
	if (span_starts_nocase(line, SPAN_LIT("EHLO"))) {
		buf_addf(ret_answer, "250-x\r\n250 AUTH %s\r\n", s->row->offer);
		return PEER_GO;
	}
	struct span rest = span_of(s->rest), want, answer;
	if (!span_take_until(&rest, '|', &want)) {
		s->broken = s->broken || span_starts_nocase(line, SPAN_LIT("QUIT")) == false;
		return PEER_CLOSE;
	}
	if (want.n > 0 && want.p[want.n - 1] == '*')
		s->broken = s->broken || !span_starts_nocase(line, span_sub(want, 0, want.n - 1));
	else
		s->broken = s->broken || !span_eq(line, want);
	if (!span_take_until(&rest, '|', &answer)) {
		answer = rest;
		rest = (struct span){ 0 };
	}
	s->rest = rest.n > 0 ? rest.p : "";
	buf_addf(ret_answer, "%.*s\r\n", SPAN_FMT(answer));
	return PEER_GO;
}

static void logins_say_what_they_must_and_believe_nothing(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(logins) / sizeof(logins[0]); i++) {
		struct script script = { .row = &logins[i], .rest = logins[i].script };
		struct world w;
		world_open(&w, (struct sink_options){ 0 });
		struct line_peer peer = { .loop = w.loop, .fn = play_script, .ctx = &script };
		peer_open(&peer);
		world_send(&w, (struct sender_options){ .access = { .server = *listener_addr(peer.listener),
								    .mechanism = logins[i].mechanism,
								    .user = "me",
								    .password = "pw" } });
		submit(&w, 1, 1, "x\r\n");
		loop_run(w.loop);
		if (script.broken || w.last.stage != logins[i].stage || w.last.outcome == SENDER_ACCEPTED)
			fail_msg("%s: %s%s", logins[i].name, buf_cstr(&w.log),
				 script.broken ? "wrong line" : "");
		if (logins[i].stage == SENDER_AT_AUTH)
			assert_int_equal(w.last.outcome, SENDER_NOT_SENT);
		peer_close(&peer);
		world_close(&w);
	}
}

static void odd_options_are_refused(void **state)
{
	(void)state;
	struct loop *l = loop_new();
	struct addr here = { 0 }, away = { 0 };
	assert_true(addr_parse("127.0.0.1", 25, &here));
	assert_true(addr_parse("192.0.2.1", 25, &away));
	const struct sender_options table[] = {
		{ .access = { .server = away } },
		{ .access = { .server = here, .tls = ACCESS_TLS } },
		{ .access = { .server = here, .user = "me" } },
		{ .access = { .server = here, .mechanism = ACCESS_USER_PASS } },
		{ .access = { .server = here }, .connections_max = SENDER_CONNECTIONS_MAX + 1 },
		{ .access = { .server = here }, .in_flight_max = SENDER_IN_FLIGHT_MAX + 1 },
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct err err = { 0 };
		struct sender_options o = table[i];
		o.loop = l;
		o.on_report = on_report;
		assert_null(sender_new(&o, &err));
		assert_true(err.text[0] != '\0');
	}
	struct err err = { 0 };
	assert_null(sink_new(&(struct sink_options){ .loop = l, .at = away }, &err));
	assert_int_equal(err.code, -EPERM);
	loop_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_arrives_as_it_was_sent),
		cmocka_unit_test(content_is_made_once_for_each_message),
		cmocka_unit_test(a_connection_per_message_when_asked),
		cmocka_unit_test(body_is_left_out_where_it_is_not_offered),
		cmocka_unit_test(every_answer_has_its_outcome),
		cmocka_unit_test(a_354_for_nobody_gets_an_empty_content),
		cmocka_unit_test(a_refused_message_does_not_spoil_the_next),
		cmocka_unit_test(what_is_in_flight_ends_as_it_must),
		cmocka_unit_test(the_next_commands_go_with_the_content),
		cmocka_unit_test(messages_leave_at_their_time_and_a_slow_server_moves_nothing),
		cmocka_unit_test(a_server_that_comes_up_late_is_tried_again),
		cmocka_unit_test(retries_end),
		cmocka_unit_test(nobody_listening_is_not_sent),
		cmocka_unit_test(a_kept_connection_that_died_costs_no_attempt),
		cmocka_unit_test(stopping_reports_what_was_never_started),
		cmocka_unit_test(tls_is_used_as_asked_and_checked),
		cmocka_unit_test(logins_say_what_they_must_and_believe_nothing),
		cmocka_unit_test(odd_options_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
