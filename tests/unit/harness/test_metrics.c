/*
 * metrics: which two moments each figure lies between, along a chain of hops.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/harness/fake_run.h"

/* Accepted at 10 ms; sent on at `sent_on_ms`, 5 ms long; if there is a hub, on from there at 200 ms; seen at 300 ms. */
static struct metrics measure(int64_t sent_on_ms, bool hub)
{
	const struct ledger_recipient to = { .address = FAKE_RCPT };
	struct flow flow = { .traffic_count = 0 };
	struct ledger *l = ledger_new();
	uint32_t id = ledger_plan(l, &(struct ledger_plan){ .intended_ns = 0,
							    .sender = FAKE_SENDER,
							    .recipients = &to,
							    .recipient_count = 1 });

	ledger_started(l, id, 1 * FAKE_MS);
	ledger_final_dot(l, id, 5 * FAKE_MS);
	ledger_final_reply(l, id, 10 * FAKE_MS, 250, SPAN_LIT("ok"));
	ledger_attempt(l, id,
		       &(struct ledger_attempt){ .code = 250,
						 .started_ns = sent_on_ms * FAKE_MS,
						 .replied_ns = (sent_on_ms + 5) * FAKE_MS });
	if (hub)
		ledger_attempt(l, id,
			       &(struct ledger_attempt){ .code = 250,
							 .started_ns = 200 * FAKE_MS,
							 .replied_ns = 210 * FAKE_MS });
	ledger_copy(l, id,
		    &(struct ledger_copy){ .mailbox = FAKE_RCPT,
					   .state = CONTENT_INTACT,
					   .seen_ns = 300 * FAKE_MS,
					   .not_before_ns = 290 * FAKE_MS });
	ledger_settle(l, &(struct ledger_end){ .ended_ns = 400 * FAKE_MS, .complete = true });
	struct metrics m = metrics_measure(l, &flow, 400 * FAKE_MS);
	ledger_free(l);
	return m;
}

static int64_t max_ms(const struct metrics *m, enum flow_metric metric)
{
	assert_int_equal(hist_count(m->of[metric]), 1);
	return (hist_percentile(m->of[metric], 100).ns + FAKE_MS / 2) / FAKE_MS;
}

static void each_metric_lies_between_its_two_moments(void **state)
{
	(void)state;
	struct metrics m = measure(50, false);

	assert_int_equal(max_ms(&m, FLOW_METRIC_SEND_LAG), 1);
	assert_int_equal(max_ms(&m, FLOW_METRIC_ACCEPT), 10);
	assert_int_equal(max_ms(&m, FLOW_METRIC_QUEUE), 40);
	assert_int_equal(max_ms(&m, FLOW_METRIC_TRANSFER), 5);
	assert_int_equal(max_ms(&m, FLOW_METRIC_VISIBILITY), 245);
	assert_int_equal(max_ms(&m, FLOW_METRIC_END_TO_END), 300);
	for (unsigned i = 0; i < FLOW_METRIC_COUNT; i++)
		assert_int_equal(m.below_zero[i], 0);
	metrics_free(&m);
}

static void visibility_begins_at_the_last_hop(void **state)
{
	(void)state;
	struct metrics m = measure(50, true);

	assert_int_equal(max_ms(&m, FLOW_METRIC_QUEUE), 40);
	assert_int_equal(max_ms(&m, FLOW_METRIC_VISIBILITY), 90);
	metrics_free(&m);
}

/* The relay was faster than its 250: the wait is 0, and it is said that this was so. */
static void a_time_below_zero_is_counted(void **state)
{
	(void)state;
	struct metrics m = measure(8, false);

	assert_int_equal(max_ms(&m, FLOW_METRIC_QUEUE), 0);
	assert_int_equal(m.below_zero[FLOW_METRIC_QUEUE], 1);
	assert_int_equal(m.below_zero[FLOW_METRIC_TRANSFER], 0);
	metrics_free(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_metric_lies_between_its_two_moments),
		cmocka_unit_test(visibility_begins_at_the_last_hop),
		cmocka_unit_test(a_time_below_zero_is_counted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
