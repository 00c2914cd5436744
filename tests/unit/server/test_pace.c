/*
 * pace: a bucket of tokens over a clock of our own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "reference-server/policy/pace.h"

#define S_US INT64_C(1000000)

static void a_second_s_worth_is_free_and_the_rest_waits(void **state)
{
	struct pace p = { 0 };
	(void)state;

	assert_int_equal(pace_take(&p, 100, 100, 5 * S_US), 0);
	assert_int_equal(pace_take(&p, 100, 1, 5 * S_US), 10);
	assert_int_equal(pace_take(&p, 100, 99, 5 * S_US), 1000);
}

static void waiting_pays_and_more_is_not_saved_up(void **state)
{
	struct pace p = { 0 };
	(void)state;

	assert_int_equal(pace_take(&p, 100, 150, 0), 500);
	assert_int_equal(pace_take(&p, 100, 0, S_US / 2), 0);
	assert_int_equal(pace_take(&p, 100, 1, S_US / 2), 10);
	/* After an hour there is one second's worth in hand, no more. */
	assert_int_equal(pace_take(&p, 100, 100, 3600 * S_US), 0);
	assert_int_equal(pace_take(&p, 100, 100, 3600 * S_US), 1000);
}

static void whoever_waits_as_told_gets_the_rate(void **state)
{
	enum { RATE = 7, SECONDS = 100 };
	struct pace p = { 0 };
	int64_t now_us = 0;
	uint32_t taken = 0;
	(void)state;

	while (now_us < SECONDS * S_US) {
		now_us += 1000 * pace_take(&p, RATE, 1, now_us);
		taken++;
	}
	assert_in_range(taken, RATE * SECONDS, RATE * (SECONDS + 1) + 1);
}

static void no_rate_is_no_limit(void **state)
{
	struct pace p = { 0 };
	(void)state;

	for (int i = 0; i < 100; i++)
		assert_int_equal(pace_take(&p, 0, 1000000, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_second_s_worth_is_free_and_the_rest_waits),
		cmocka_unit_test(waiting_pays_and_more_is_not_saved_up),
		cmocka_unit_test(whoever_waits_as_told_gets_the_rate),
		cmocka_unit_test(no_rate_is_no_limit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
