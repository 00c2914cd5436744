#include "reference-server/core/date.h"

#include <assert.h>

enum { DAYS_TO_1970 = 719468, DAYS_PER_400_YEARS = 146097, SECONDS_PER_DAY = 86400 };

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

/* In years that begin in March, so that the leap day is the last of its year and 400 years are one period. */
struct date date_of(int64_t wall_ms)
{
	int64_t time_s = floor_div(wall_ms, 1000);
	int64_t day_since_1970 = floor_div(time_s, SECONDS_PER_DAY);
	int second = (int)(time_s - day_since_1970 * SECONDS_PER_DAY);
	int64_t days = day_since_1970 + DAYS_TO_1970;
	int64_t period = floor_div(days, DAYS_PER_400_YEARS);
	int64_t day_of_period = days - period * DAYS_PER_400_YEARS;
	int64_t year = (day_of_period - day_of_period / 1460 + day_of_period / 36524 -
			day_of_period / (DAYS_PER_400_YEARS - 1)) /
		       365;
	int64_t day_of_year = day_of_period - (365 * year + year / 4 - year / 100);
	int64_t march_month = (5 * day_of_year + 2) / 153;
	int64_t month = march_month < 10 ? march_month + 3 : march_month - 9;

	return (struct date){
		.year = year + period * 400 + (month <= 2),
		.month = (int)month,
		.day = (int)(day_of_year - (153 * march_month + 2) / 5 + 1),
		.weekday = (int)(day_since_1970 + 4 - floor_div(day_since_1970 + 4, 7) * 7),
		.hour = second / 3600,
		.minute = second / 60 % 60,
		.second = second % 60,
	};
}

static int64_t days_since_1970(int64_t year, int64_t month, int64_t day)
{
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t march_month = month <= 2 ? month + 9 : month - 3;

	return y * 365 + y / 4 - y / 100 + y / 400 + (153 * march_month + 2) / 5 + day - 1 - DAYS_TO_1970;
}

/* ---- RFC 3339 ---- */

static char *put_digits(char *to, int count, int64_t value)
{
	for (int i = count; i-- > 0; value /= 10)
		to[i] = (char)('0' + value % 10);
	return to + count;
}

struct span date_format(int64_t wall_ms, char dst[DATE_TEXT_BYTES])
{
	struct date d = date_of(wall_ms);
	char *p = dst;

	assert(d.year >= 0 && d.year <= 9999);
	p = put_digits(p, 4, d.year);
	*p++ = '-';
	p = put_digits(p, 2, d.month);
	*p++ = '-';
	p = put_digits(p, 2, d.day);
	*p++ = 'T';
	p = put_digits(p, 2, d.hour);
	*p++ = ':';
	p = put_digits(p, 2, d.minute);
	*p++ = ':';
	p = put_digits(p, 2, d.second);
	*p++ = 'Z';
	assert(p == dst + DATE_TEXT_BYTES);
	return (struct span){ dst, DATE_TEXT_BYTES };
}

static bool take_digits(struct span *s, size_t count, int64_t *ret_value)
{
	int64_t value = 0;

	if (s->n < count)
		return false;
	for (size_t i = 0; i < count; i++) {
		if (s->p[i] < '0' || s->p[i] > '9')
			return false;
		value = value * 10 + (s->p[i] - '0');
	}
	*s = span_sub(*s, count, s->n);
	*ret_value = value;
	return true;
}

static int64_t days_of_month(int64_t year, int64_t month)
{
	static const uint8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return month == 2 && leap ? 29 : days[month - 1];
}

/* "." and digits, where there is one. */
static bool take_fraction(struct span *s, bool *ret_any)
{
	int64_t digit;

	*ret_any = false;
	if (!span_take_prefix_nocase(s, SPAN_LIT(".")))
		return true;
	if (!take_digits(s, 1, &digit))
		return false;
	do
		*ret_any |= digit != 0;
	while (take_digits(s, 1, &digit));
	return true;
}

static bool take(struct span *s, size_t digits, int64_t *ret_value, struct span stop)
{
	return take_digits(s, digits, ret_value) && span_take_prefix_nocase(s, stop);
}

bool date_parse(struct span text, int64_t *ret_wall_ms)
{
	assert(ret_wall_ms != NULL);
	int64_t year, month, day, hour, minute, second;
	bool fraction;

	if (!take(&text, 4, &year, SPAN_LIT("-")) || !take(&text, 2, &month, SPAN_LIT("-")) ||
	    !take(&text, 2, &day, SPAN_LIT("T")) || !take(&text, 2, &hour, SPAN_LIT(":")) ||
	    !take(&text, 2, &minute, SPAN_LIT(":")) || !take_digits(&text, 2, &second) ||
	    !take_fraction(&text, &fraction) || !span_eq_nocase(text, SPAN_LIT("Z")))
		return false;
	if (year < 1970 || month < 1 || month > 12 || day < 1 || day > days_of_month(year, month) ||
	    hour > 23 || minute > 59 || second > 60)
		return false;
	int64_t time_s = ((days_since_1970(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
	*ret_wall_ms = (time_s + (fraction ? 1 : 0)) * 1000;
	return true;
}
