/* date: the calendar both ways, and RFC 3339 5.6. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "reference-server/core/date.h"

static void days_are_those_of_the_calendar(void **state)
{
	(void)state;
	struct date d = date_of(-1);
	assert_int_equal(d.year, 1969);
	assert_int_equal(d.month, 12);
	assert_int_equal(d.day, 31);
	assert_int_equal(d.weekday, 3);
	assert_int_equal(d.hour * 3600 + d.minute * 60 + d.second, 86399);
	d = date_of(INT64_C(951782400000)); /* 2000-02-29 */
	assert_int_equal(d.year, 2000);
	assert_int_equal(d.month, 2);
	assert_int_equal(d.day, 29);
	assert_int_equal(d.weekday, 2);
}

static void what_is_written_reads_back(void **state)
{
	(void)state;
	char text[DATE_TEXT_BYTES];

	assert_memory_equal(date_format(INT64_C(1172923200000), text).p, "2007-03-03T12:00:00Z",
			    DATE_TEXT_BYTES);
	for (int64_t day = 0; day < 365 * 500; day++) {
		int64_t ms = (day * 86400 + day % 86400) * 1000, read = -1;
		assert_true(date_parse(date_format(ms, text), &read));
		assert_int_equal(read, ms);
	}
}

static void other_forms_are_refused(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int64_t wall_ms; /* -1: refused */
	} rows[] = {
		{ "2027-03-05T12:00:00Z", INT64_C(1804248000000) },
		{ "2027-03-05t12:00:00z", INT64_C(1804248000000) },
		{ "2027-03-05T12:00:00.000Z", INT64_C(1804248000000) },
		{ "2027-03-05T12:00:00.001Z", INT64_C(1804248001000) },
		{ "2028-02-29T00:00:00Z", INT64_C(1835395200000) },
		{ "2016-12-31T23:59:60Z", INT64_C(1483228800000) },
		{ "2027-02-29T00:00:00Z", -1 },
		{ "2100-02-29T00:00:00Z", -1 },
		{ "2027-00-05T12:00:00Z", -1 },
		{ "2027-13-05T12:00:00Z", -1 },
		{ "2027-04-31T12:00:00Z", -1 },
		{ "2027-03-00T12:00:00Z", -1 },
		{ "2027-03-05T24:00:00Z", -1 },
		{ "2027-03-05T12:60:00Z", -1 },
		{ "2027-03-05T12:00:61Z", -1 },
		{ "1969-12-31T23:59:59Z", -1 },
		{ "2027-03-05T12:00:00.Z", -1 },
		{ "2027-03-05T12:00:00+00:00", -1 },
		{ "2027-03-05T12:00:00", -1 },
		{ "2027-03-05 12:00:00Z", -1 },
		{ "2027-3-5T12:00:00Z", -1 },
		{ "2027-03-05T12:00:00Zx", -1 },
		{ "", -1 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct span text = { rows[i].text, strlen(rows[i].text) };
		int64_t wall_ms = -1;
		if (date_parse(text, &wall_ms) != (rows[i].wall_ms >= 0) || wall_ms != rows[i].wall_ms)
			fail_msg("%s: %lld", rows[i].text, (long long)wall_ms);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(days_are_those_of_the_calendar),
		cmocka_unit_test(what_is_written_reads_back),
		cmocka_unit_test(other_forms_are_refused),
	};
	return cmocka_run_group_tests_name("date", tests, NULL, NULL);
}
