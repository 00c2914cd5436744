/* retry: when again, and when no more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "reference-server/policy/retry.h"

static const int64_t MINUTE = 60000;

static void delays_double_up_to_the_maximum(void **state)
{
	static const int64_t minutes[] = { 30, 60, 120, 240, 480, 480, 480 };
	struct retry_settings s = retry_defaults();
	(void)state;

	for (uint32_t i = 0; i < 7; i++)
		assert_int_equal(retry_delay_ms(&s, i + 1, 0), minutes[i] * MINUTE);
	assert_int_equal(retry_delay_ms(&s, UINT32_MAX, 0), 480 * MINUTE);
}

static void jitter_only_lengthens_and_is_bounded(void **state)
{
	struct retry_settings s = retry_defaults();
	(void)state;

	assert_int_equal(retry_delay_ms(&s, 1, UINT32_MAX), 36 * MINUTE);
	int64_t half = retry_delay_ms(&s, 1, UINT32_MAX / 2);
	assert_true(half > 32 * MINUTE && half < 34 * MINUTE);
}

static void tiny_delays_still_grow(void **state)
{
	struct retry_settings s = { .first_ms = 1, .factor_percent = 150, .max_ms = 4, .expiry_ms = 100 };
	static const int64_t want[] = { 1, 2, 3, 4, 4 };
	(void)state;

	for (uint32_t i = 0; i < 5; i++)
		assert_int_equal(retry_delay_ms(&s, i + 1, 0), want[i]);
}

static void a_factor_of_one_keeps_the_delay(void **state)
{
	struct retry_settings s = { .first_ms = 7, .factor_percent = 100, .max_ms = 1000, .expiry_ms = 100 };
	(void)state;

	assert_int_equal(retry_delay_ms(&s, UINT32_MAX, 0), 7);
}

static void the_largest_settings_do_not_overflow(void **state)
{
	int64_t top = INT64_C(1) << 40;
	struct retry_settings s = { top - 1, 10000, top, 100, top };
	int64_t due;
	(void)state;

	assert_null(retry_settings_error(&s));
	assert_true(retry_delay_ms(&s, UINT32_MAX, UINT32_MAX) <= 2 * top);
	assert_int_equal(retry_decide(&s, 0, 5, 9, 1, &due), RETRY_LATER);
	assert_int_equal(due, top);
}

static void the_last_attempt_is_at_the_expiry(void **state)
{
	struct retry_settings s = { 100, 200, 1000, 0, 250 };
	int64_t due = -1;
	(void)state;

	assert_int_equal(retry_decide(&s, 1000, 1010, 1, 0, &due), RETRY_LATER);
	assert_int_equal(due, 1110);
	assert_int_equal(retry_decide(&s, 1000, 1110, 2, 0, &due), RETRY_LATER);
	assert_int_equal(due, 1250);
	due = -1;
	assert_int_equal(retry_decide(&s, 1000, 1250, 3, 0, &due), RETRY_EXPIRED);
	assert_int_equal(due, -1);
}

static void defaults_satisfy_the_rfc(void **state)
{
	struct retry_settings s = retry_defaults();
	(void)state;

	assert_null(retry_settings_error(&s));
	assert_true(s.first_ms >= 30 * MINUTE);
	assert_true(s.expiry_ms >= 4 * 24 * 60 * MINUTE);
}

static void senseless_settings_are_named(void **state)
{
	static const struct retry_settings bad[] = {
		{ 0, 200, 10, 0, 10 },         { 10, 99, 10, 0, 10 },    { 10, 200, 9, 0, 10 },
		{ 10, 200, 10, 101, 10 },      { 10, 200, 10, 0, 0 },    { 10, 200, INT64_MAX, 0, 1 },
		{ 10, 200, 10, 0, INT64_MAX }, { 10, 10001, 10, 0, 10 },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_non_null(retry_settings_error(&bad[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(delays_double_up_to_the_maximum),
		cmocka_unit_test(jitter_only_lengthens_and_is_bounded),
		cmocka_unit_test(tiny_delays_still_grow),
		cmocka_unit_test(a_factor_of_one_keeps_the_delay),
		cmocka_unit_test(the_largest_settings_do_not_overflow),
		cmocka_unit_test(the_last_attempt_is_at_the_expiry),
		cmocka_unit_test(defaults_satisfy_the_rfc),
		cmocka_unit_test(senseless_settings_are_named),
	};
	return cmocka_run_group_tests_name("retry", tests, NULL, NULL);
}
