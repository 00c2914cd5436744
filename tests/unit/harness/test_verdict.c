/*
 * verdict: a run in which everything went well passes; then the same run with
 * one thing deliberately broken, which must turn it red, and must say why.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/harness/fake_run.h"

static uint32_t one_more(struct fake_run *f)
{
	struct rng rng = rng_seed(99);

	return fake_accept(f, 1900, &rng);
}

static void copy(struct fake_run *f, uint32_t id, enum content_state state)
{
	ledger_copy(f->ledger, id,
		    &(struct ledger_copy){ .mailbox = FAKE_RCPT,
					   .state = state,
					   .difference = SPAN_LIT("body: first difference at byte 7"),
					   .seen_ns = FAKE_ZERO + 1990 * FAKE_MS,
					   .not_before_ns = FAKE_ZERO + 1980 * FAKE_MS });
}

static void told(struct fake_run *f, uint32_t id, struct span malformed)
{
	ledger_dsn(f->ledger, id,
		   &(struct ledger_dsn){ .mailbox = FAKE_SENDER,
					 .recipient = SPAN_LIT(FAKE_RCPT),
					 .action = LEDGER_ACTION_FAILED,
					 .status = SPAN_LIT("5.1.1"),
					 .malformed = malformed,
					 .seen_ns = FAKE_ZERO + 1990 * FAKE_MS });
}

static void expect(struct fake_run *f, enum flow_ledger what, enum flow_count_op op, uint64_t n)
{
	f->flow.expect.ledger[what] = (struct flow_count){ .op = op, .n = n };
}

/* ---- what is done to the run before it is judged ---- */

static void spoil_nothing(struct fake_run *f)
{
	expect(f, FLOW_LEDGER_DELIVERED, FLOW_COUNT_ALL, 0);
	f->latencies[0] =
		(struct flow_latency){ .metric = FLOW_METRIC_ACCEPT, .percentile = 99, .max_ms = 1000 };
	f->flow.expect.latencies = f->latencies;
	f->flow.expect.latency_count = 1;
}

static void spoil_lose(struct fake_run *f)
{
	(void)one_more(f);
}

static void spoil_double(struct fake_run *f)
{
	copy(f, 0, CONTENT_INTACT);
}

static void spoil_corrupt(struct fake_run *f)
{
	copy(f, one_more(f), CONTENT_CORRUPTED);
}

static void spoil_transform(struct fake_run *f)
{
	copy(f, one_more(f), CONTENT_TRANSFORMED);
}

static void spoil_transform_allowed(struct fake_run *f)
{
	expect(f, FLOW_LEDGER_TRANSFORMED, FLOW_COUNT_MAX, 1);
	spoil_transform(f);
}

static void spoil_stray(struct fake_run *f)
{
	ledger_stray(f->ledger, FAKE_RCPT, SPAN_LIT("a message that is not of this run"), FAKE_ZERO);
}

static void spoil_tell_twice(struct fake_run *f)
{
	f->traffic[0].outcome = FLOW_BOUNCED;
	uint32_t id = one_more(f);
	told(f, id, SPAN_LIT(""));
	told(f, id, SPAN_LIT(""));
}

static void spoil_tell_badly(struct fake_run *f)
{
	told(f, one_more(f), SPAN_LIT("RFC 3464 2.3.4: Status is missing"));
}

static void spoil_bounce(struct fake_run *f)
{
	told(f, one_more(f), SPAN_LIT(""));
}

static void spoil_deliver_what_should_bounce(struct fake_run *f)
{
	f->traffic[0].outcome = FLOW_BOUNCED;
}

static void spoil_reject(struct fake_run *f)
{
	const struct ledger_recipient to = { .address = FAKE_RCPT };
	uint32_t id = ledger_plan(
		f->ledger,
		&(struct ledger_plan){ .sender = FAKE_SENDER, .recipients = &to, .recipient_count = 1 });

	ledger_started(f->ledger, id, FAKE_ZERO);
	ledger_final_reply(f->ledger, id, FAKE_ZERO, 451, SPAN_LIT("4.3.0 later"));
}

static void spoil_expect_more(struct fake_run *f)
{
	expect(f, FLOW_LEDGER_DELIVERED, FLOW_COUNT_MIN, 1000);
}

static void spoil_expect_fewer(struct fake_run *f)
{
	expect(f, FLOW_LEDGER_DELIVERED, FLOW_COUNT_MAX, 10);
}

static void spoil_expect_bounces(struct fake_run *f)
{
	expect(f, FLOW_LEDGER_BOUNCED, FLOW_COUNT_EQ, 3);
}

static void spoil_all_of_more(struct fake_run *f)
{
	expect(f, FLOW_LEDGER_DELIVERED, FLOW_COUNT_ALL, 0);
	spoil_bounce(f);
}

static void spoil_latency(struct fake_run *f)
{
	f->latencies[0] =
		(struct flow_latency){ .metric = FLOW_METRIC_END_TO_END, .percentile = 50, .max_ms = 1 };
	f->flow.expect.latencies = f->latencies;
	f->flow.expect.latency_count = 1;
}

/* Undelivered mail must not make the rest look fast: the highest percentile is open. */
static void spoil_latency_by_loss(struct fake_run *f)
{
	spoil_latency(f);
	f->latencies[0].percentile = 100;
	f->latencies[0].max_ms = 1000000;
	expect(f, FLOW_LEDGER_LOST, FLOW_COUNT_MAX, 1);
	(void)one_more(f);
}

static void spoil_metric_not_there(struct fake_run *f)
{
	spoil_latency(f);
	f->latencies[0].metric = FLOW_METRIC_QUEUE;
	/* Only local deliveries: no link was watched. */
	ledger_free(f->ledger);
	f->ledger = ledger_new();
	copy(f, one_more(f), CONTENT_INTACT);
}

static void spoil_loop_lag(struct fake_run *f)
{
	for (int i = 0; i < 100; i++)
		hist_record(f->loop_lag, 80 * FAKE_MS);
}

static void spoil_send_lag(struct fake_run *f)
{
	f->flow.limits.send_lag_p99_ms = 1;
	for (uint32_t id = 0; id < 5; id++)
		ledger_started(f->ledger, id, ledger_message(f->ledger, id)->intended_ns + 20 * FAKE_MS);
}

/* One session, held by the server for long: whoever waits for it does not wait for the harness. */
static void spoil_slow_server(struct fake_run *f)
{
	f->flow.limits.send_lag_p99_ms = 1;
	f->traffic[0].session_count = 1;
	for (uint32_t k = 0; k < 10; k++) {
		const struct ledger_recipient to = { .address = FAKE_RCPT };
		int64_t intended_ns = FAKE_ZERO + (1200 + k) * FAKE_MS;
		uint32_t id = ledger_plan(f->ledger, &(struct ledger_plan){ .intended_ns = intended_ns,
									    .sender = FAKE_SENDER,
									    .recipients = &to,
									    .recipient_count = 1 });
		ledger_started(f->ledger, id, FAKE_ZERO + (1200 + 50 * k) * FAKE_MS);
		ledger_final_dot(f->ledger, id, FAKE_ZERO + (1201 + 50 * k) * FAKE_MS);
		ledger_final_reply(f->ledger, id, FAKE_ZERO + (1250 + 50 * k) * FAKE_MS, 250, SPAN_LIT("ok"));
		copy(f, id, CONTENT_INTACT);
	}
}

static void spoil_never_sent(struct fake_run *f)
{
	const struct ledger_recipient to = { .address = FAKE_RCPT };

	(void)ledger_plan(
		f->ledger,
		&(struct ledger_plan){ .sender = FAKE_SENDER, .recipients = &to, .recipient_count = 1 });
}

static void spoil_nothing_sent(struct fake_run *f)
{
	ledger_free(f->ledger);
	f->ledger = ledger_new();
	spoil_never_sent(f);
}

static void spoil_no_messages(struct fake_run *f)
{
	ledger_free(f->ledger);
	f->ledger = ledger_new();
}

static void spoil_fault_never_began(struct fake_run *f)
{
	f->faults[0] = (struct record_fault){ .flow = &f->flow_faults[0],
					      .begin_ns = LEDGER_NEVER,
					      .end_ns = LEDGER_NEVER };
	f->record.fault_count = 1;
}

static void spoil_fault_struck_nothing(struct fake_run *f)
{
	f->faults[0] = (struct record_fault){ .flow = &f->flow_faults[0],
					      .begin_ns = FAKE_ZERO,
					      .end_ns = FAKE_ZERO + FAKE_MS,
					      .strikes_counted = true };
	f->record.fault_count = 1;
}

/* A fault that cannot be counted, and one that struck. */
static void spoil_fault_struck(struct fake_run *f)
{
	spoil_fault_struck_nothing(f);
	f->faults[0].strike_count = 1;
}

static void spoil_fault_uncounted(struct fake_run *f)
{
	spoil_fault_struck_nothing(f);
	f->faults[0].strikes_counted = false;
}

/* Sent, as far as it went; then the connection ended. */
static void break_off(struct fake_run *f, bool after_final_dot)
{
	const struct ledger_recipient to = { .address = FAKE_RCPT };
	uint32_t id = ledger_plan(
		f->ledger,
		&(struct ledger_plan){ .sender = FAKE_SENDER, .recipients = &to, .recipient_count = 1 });

	if (after_final_dot)
		ledger_final_dot(f->ledger, id, FAKE_ZERO);
	ledger_broken(f->ledger, id, FAKE_ZERO, SPAN_LIT("connection reset"));
}

static void spoil_absent(struct fake_run *f)
{
	break_off(f, true);
}

static void spoil_absent_allowed(struct fake_run *f)
{
	expect(f, FLOW_LEDGER_INDETERMINATE, FLOW_COUNT_MAX, 1);
	break_off(f, true);
}

/* Everything allowed, and nothing known. */
static void spoil_all_absent_allowed(struct fake_run *f)
{
	ledger_free(f->ledger);
	f->ledger = ledger_new();
	expect(f, FLOW_LEDGER_INDETERMINATE, FLOW_COUNT_ALL, 0);
	break_off(f, true);
}

static void spoil_no_connection(struct fake_run *f)
{
	break_off(f, false);
}

/* Refusal is an answer: no connection is none. */
static void spoil_no_connection_is_no_refusal(struct fake_run *f)
{
	f->traffic[0].outcome = FLOW_REJECTED;
	ledger_free(f->ledger);
	f->ledger = ledger_new();
	break_off(f, true);
}

static void spoil_all_unsent(struct fake_run *f)
{
	ledger_free(f->ledger);
	f->ledger = ledger_new();
	break_off(f, false);
}

static void spoil_tell_of_delay_badly(struct fake_run *f)
{
	ledger_dsn(f->ledger, 3,
		   &(struct ledger_dsn){ .mailbox = FAKE_SENDER,
					 .recipient = SPAN_LIT(FAKE_RCPT),
					 .action = LEDGER_ACTION_DELAYED,
					 .status = SPAN_LIT("4.4.1"),
					 .malformed = SPAN_LIT("RFC 3464 2.3.4: Status is missing"),
					 .seen_ns = FAKE_ZERO + 1990 * FAKE_MS });
}

static void spoil_harness_said_so(struct fake_run *f)
{
	reasons_add(&f->record.reasons, REASON_INVALID, "the mailbox of %s could not be read", FAKE_RCPT);
}

static void spoil_server_died(struct fake_run *f)
{
	reasons_add(&f->record.reasons, REASON_FAIL, "host fredsco ended by itself\n");
}

/* Invalid beats fail: the numbers prove nothing, whatever they say. */
static void spoil_both(struct fake_run *f)
{
	spoil_latency(f);
	spoil_loop_lag(f);
}

/* But a broken promise stays one, however slow the harness was. */
static void spoil_lose_slowly(struct fake_run *f)
{
	f->record.queues_asked = true;
	spoil_lose(f);
	spoil_loop_lag(f);
}

static void spoil_lose_slowly_unasked(struct fake_run *f)
{
	spoil_lose(f);
	spoil_loop_lag(f);
}

/* Unless it was not looked for everywhere. */
static void spoil_lose_blindly(struct fake_run *f)
{
	f->record.queues_asked = true;
	spoil_lose(f);
	spoil_harness_said_so(f);
}

static void spoil_double_blindly(struct fake_run *f)
{
	spoil_double(f);
	spoil_harness_said_so(f);
}

static const struct row {
	const char *name;
	void (*spoil)(struct fake_run *f);
	enum verdict verdict;
	const char *reason; /* part of one; NULL: there must be none of weight */
} rows[] = {
	{ "all is well", spoil_nothing, VERDICT_PASS, NULL },
	{ "one lost", spoil_lose, VERDICT_FAIL, "1 lost, expected 0" },
	{ "one doubled", spoil_double, VERDICT_FAIL, "1 duplicated, expected 0" },
	{ "one corrupted by a byte", spoil_corrupt, VERDICT_FAIL, "1 corrupted, expected 0" },
	{ "one corrupted: the example says where", spoil_corrupt, VERDICT_FAIL,
	  "first difference at byte 7" },
	{ "one transformed", spoil_transform, VERDICT_FAIL, "1 transformed that should have been delivered" },
	{ "one transformed, allowed", spoil_transform_allowed, VERDICT_PASS, NULL },
	{ "one stray", spoil_stray, VERDICT_FAIL, "1 unexpected, expected 0" },
	{ "told twice", spoil_tell_twice, VERDICT_FAIL, "senders told more than once of one failure: 1" },
	{ "told by a malformed notification", spoil_tell_badly, VERDICT_FAIL, "malformed notifications: 1" },
	{ "malformed: the example names the section", spoil_tell_badly, VERDICT_FAIL, "RFC 3464 2.3.4" },
	{ "bounced instead of delivered", spoil_bounce, VERDICT_FAIL,
	  "1 bounced that should have been delivered" },
	{ "delivered instead of bounced", spoil_deliver_what_should_bounce, VERDICT_FAIL,
	  "100 delivered that should have been bounced" },
	{ "rejected instead of delivered", spoil_reject, VERDICT_FAIL,
	  "1 rejected that should have been delivered" },
	{ "fewer than the least", spoil_expect_more, VERDICT_FAIL, "100 delivered, expected at least 1000" },
	{ "more than the most", spoil_expect_fewer, VERDICT_FAIL, "100 delivered, expected at most 10" },
	{ "another number", spoil_expect_bounces, VERDICT_FAIL, "0 bounced, expected 3" },
	{ "not all", spoil_all_of_more, VERDICT_FAIL, "100 delivered, expected all 101" },
	{ "too slow", spoil_latency, VERDICT_FAIL, "end_to_end p50 is" },
	{ "too slow because lost", spoil_latency_by_loss, VERDICT_FAIL, "end_to_end p100 is at least" },
	{ "a metric that was not measured", spoil_metric_not_there, VERDICT_INVALID,
	  "queue could not be measured" },
	{ "loop lag", spoil_loop_lag, VERDICT_INVALID, "loop lag p99" },
	{ "send lag", spoil_send_lag, VERDICT_INVALID, "own send lag p99" },
	{ "the server holds its sessions", spoil_slow_server, VERDICT_PASS, NULL },
	{ "some never sent", spoil_never_sent, VERDICT_INVALID, "1 messages were never sent" },
	{ "nothing sent", spoil_nothing_sent, VERDICT_INVALID, "nothing was judged" },
	{ "no messages at all", spoil_no_messages, VERDICT_INVALID, "nothing was judged" },
	{ "a fault that never began", spoil_fault_never_began, VERDICT_INVALID, "host stop\" never began" },
	{ "the run had a reason of its own", spoil_harness_said_so, VERDICT_INVALID, "could not be read" },
	{ "a server died", spoil_server_died, VERDICT_FAIL, "host fredsco ended by itself" },
	{ "invalid and failed", spoil_both, VERDICT_INVALID, "end_to_end p50 is" },
	{ "lost, and the harness was slow", spoil_lose_slowly, VERDICT_FAIL, "1 lost, expected 0" },
	{ "lost, slow, and the queues were not asked", spoil_lose_slowly_unasked, VERDICT_INVALID,
	  "1 lost, expected 0" },
	{ "lost, and a mailbox was not read", spoil_lose_blindly, VERDICT_INVALID, "1 lost, expected 0" },
	{ "doubled, and a mailbox was not read", spoil_double_blindly, VERDICT_FAIL,
	  "1 duplicated, expected 0" },
	{ "a fault that struck nothing", spoil_fault_struck_nothing, VERDICT_INVALID,
	  "host stop\" struck nothing" },
	{ "a fault that struck", spoil_fault_struck, VERDICT_PASS, NULL },
	{ "a fault whose strikes are not counted", spoil_fault_uncounted, VERDICT_PASS, NULL },
	{ "no reply to the final dot", spoil_absent, VERDICT_FAIL,
	  "1 absent that should have been delivered" },
	{ "no reply to the final dot, allowed", spoil_absent_allowed, VERDICT_PASS, NULL },
	{ "no reply to any final dot, allowed", spoil_all_absent_allowed, VERDICT_INVALID,
	  "no message was accepted or refused" },
	{ "no connection", spoil_no_connection, VERDICT_FAIL, "1 absent that should have been delivered" },
	{ "no reply is no refusal", spoil_no_connection_is_no_refusal, VERDICT_FAIL,
	  "1 absent that should have been rejected" },
	{ "no connection for any", spoil_all_unsent, VERDICT_INVALID, "nothing was judged" },
	{ "told badly of a delay", spoil_tell_of_delay_badly, VERDICT_FAIL, "malformed notifications: 1" },
};

static bool has_reason(const struct record *r, const char *part)
{
	for (uint32_t i = 0; i < r->reasons.count; i++)
		if (strstr(r->reasons.items[i].text, part) != NULL)
			return true;
	return false;
}

/* 100 messages over a second, all delivered. */
static void good_run(struct fake_run *f)
{
	struct rng rng = rng_seed(5);

	fake_begin(f);
	for (uint32_t i = 0; i < 100; i++) {
		uint32_t id = fake_accept(f, i * 10, &rng);
		fake_arrive(f, id, ledger_message(f->ledger, id)->final_reply_ns + 2 * FAKE_MS, &rng);
	}
}

static void everything_broken_turns_the_verdict(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct fake_run f;

		good_run(&f);
		rows[i].spoil(&f);
		fake_finish(&f, true);
		if (f.record.verdict != rows[i].verdict)
			fail_msg("%s: %s", rows[i].name, verdict_name(f.record.verdict));
		if (rows[i].reason == NULL && f.record.reasons.count > 0)
			fail_msg("%s: %s", rows[i].name, f.record.reasons.items[0].text);
		if (rows[i].reason != NULL && !has_reason(&f.record, rows[i].reason))
			fail_msg("%s: no reason says \"%s\"; first: %s", rows[i].name, rows[i].reason,
				 f.record.reasons.count > 0 ? f.record.reasons.items[0].text : "none");
		for (uint32_t k = 0; k < f.record.reasons.count; k++)
			assert_null(strchr(f.record.reasons.items[k].text, '\n'));
		fake_end(&f);
	}
}

static void the_drain_has_its_limit(void **state)
{
	(void)state;
	static const struct {
		int64_t max_ms;
		bool lose;
		enum verdict verdict;
	} drains[] = {
		{ 30000, false, VERDICT_PASS },
		{ 0, false, VERDICT_PASS },
		{ 200, false, VERDICT_FAIL },
		{ 30000, true, VERDICT_FAIL },
	};
	for (size_t i = 0; i < sizeof(drains) / sizeof(drains[0]); i++) {
		struct fake_run f;
		struct rng rng = rng_seed(1);

		fake_begin(&f);
		f.flow.expect.drain_max_ms = drains[i].max_ms;
		expect(&f, FLOW_LEDGER_LOST, FLOW_COUNT_ANY, 0);
		fake_outage(&f, 1500);
		if (drains[i].lose)
			(void)fake_accept(&f, 5000, &rng);
		fake_finish(&f, true);
		assert_int_equal(f.record.verdict, drains[i].verdict);
		assert_int_equal(f.record.drain.complete, !drains[i].lose);
		assert_in_range(f.record.drain.rows, 500, 520);
		assert_in_range(f.record.drain.drain_ns, 1000 * FAKE_MS, 1300 * FAKE_MS);
		fake_end(&f);
	}
}

static void an_interrupted_run_says_so_and_blames_nobody_for_the_rest(void **state)
{
	(void)state;
	struct fake_run f;

	good_run(&f);
	expect(&f, FLOW_LEDGER_DELIVERED, FLOW_COUNT_ALL, 0);
	spoil_lose(&f);
	spoil_never_sent(&f);
	fake_finish(&f, false);
	assert_int_equal(f.record.verdict, VERDICT_INTERRUPTED);
	assert_int_equal(f.record.reasons.count, 0);
	assert_int_equal(ledger_outcome_count(f.ledger, OUTCOME_LOST), 0);
	assert_int_equal(ledger_outcome_count(f.ledger, OUTCOME_INDETERMINATE), 2);
	fake_end(&f);
}

static void exit_codes_have_their_order(void **state)
{
	(void)state;
	assert_int_equal(verdict_exit_code(VERDICT_PASS), 0);
	assert_int_equal(verdict_exit_code(VERDICT_FAIL), 1);
	assert_int_equal(verdict_exit_code(VERDICT_INVALID), 3);
	assert_int_equal(verdict_exit_code(VERDICT_INTERRUPTED), 130);
	static const int order[] = { 0, 3, 1, 4, 130 }; /* each outweighs those before */
	for (size_t i = 0; i < 5; i++) {
		for (size_t k = 0; k <= i; k++) {
			assert_int_equal(exit_code_worse(order[i], order[k]), order[i]);
			assert_int_equal(exit_code_worse(order[k], order[i]), order[i]);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_broken_turns_the_verdict),
		cmocka_unit_test(the_drain_has_its_limit),
		cmocka_unit_test(an_interrupted_run_says_so_and_blames_nobody_for_the_rest),
		cmocka_unit_test(exit_codes_have_their_order),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
