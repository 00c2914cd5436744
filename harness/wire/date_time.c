#include "harness/wire/date_time.h"

#include "base/buf.h"
#include "harness/wire/message.h"

enum { DAYS = 7, MONTHS = 12 };

struct reading {
	struct span rest;
	uint32_t notes;
	uint32_t weekday; /* from 1, Monday; 0: not said */
	uint32_t day, month, year;
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Blanks between tokens: one, and none where `may_lack`. */
static bool take_blank(struct reading *r, bool may_lack)
{
	size_t n = 0;

	while (n < r->rest.n && (r->rest.p[n] == ' ' || r->rest.p[n] == '\t'))
		n++;
	r->rest = span_sub(r->rest, n, r->rest.n);
	if (n > 1)
		r->notes |= DATE_EXTRA_BLANKS;
	return n > 0 || may_lack;
}

static bool take_char(struct reading *r, char c)
{
	if (r->rest.n == 0 || r->rest.p[0] != c)
		return false;
	r->rest = span_sub(r->rest, 1, r->rest.n);
	return true;
}

/* Returns how many digits; 0 when there are fewer than min. */
static size_t take_digits(struct reading *r, size_t min, size_t max, uint32_t *ret_value)
{
	size_t n = 0;
	uint32_t value = 0;

	while (n < r->rest.n && n < max && is_digit(r->rest.p[n]))
		value = value * 10 + (uint32_t)(r->rest.p[n++] - '0');
	if (n < min)
		return 0;
	r->rest = span_sub(r->rest, n, r->rest.n);
	*ret_value = value;
	return n;
}

/* From 1; 0 when it is none of them. */
static uint32_t take_name(struct reading *r, const char *const names[], uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (span_take_prefix_nocase(&r->rest, span_of(names[i])))
			return i + 1;
	return 0;
}

static bool is_leap(uint32_t year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static uint32_t days_in(uint32_t month, uint32_t year)
{
	static const uint8_t DAYS_OF[MONTHS] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

	return DAYS_OF[month - 1] + (month == 2 && is_leap(year) ? 1u : 0u);
}

/* Monday is 1; Zeller's congruence. */
static uint32_t weekday_of(uint32_t day, uint32_t month, uint32_t year)
{
	uint32_t m = month < 3 ? month + 12 : month, y = month < 3 ? year - 1 : year;

	return (day + 13 * (m + 1) / 5 + y + y / 4 - y / 100 + y / 400 + 5) % 7 + 1;
}

static void judge_day(struct reading *r)
{
	if (r->year < 1900 || r->day < 1 || r->day > days_in(r->month, r->year))
		r->notes |= DATE_IMPOSSIBLE;
	else if (r->weekday > 0 && r->weekday != weekday_of(r->day, r->month, r->year))
		r->notes |= DATE_WRONG_DAY;
}

static bool read_day(struct reading *r)
{
	static const char *const NAMES[DAYS] = { "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun" };
	static const char *const MONTH_NAMES[MONTHS] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
							 "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };

	r->weekday = take_name(r, NAMES, DAYS);
	if (r->weekday > 0 && (!take_char(r, ',') || !take_blank(r, true)))
		return false;
	if (take_digits(r, 1, 2, &r->day) == 0 || !take_blank(r, false))
		return false;
	r->month = take_name(r, MONTH_NAMES, MONTHS);
	if (r->month == 0 || !take_blank(r, false))
		return false;
	size_t digits = take_digits(r, 2, 9, &r->year);
	if (digits == 0 || !take_blank(r, false))
		return false;
	if (digits < 4)
		r->notes |= DATE_SHORT_YEAR;
	else
		judge_day(r);
	return true;
}

static bool read_clock(struct reading *r)
{
	uint32_t hour, minute, second = 0;

	if (take_digits(r, 2, 2, &hour) == 0 || !take_char(r, ':') || take_digits(r, 2, 2, &minute) == 0)
		return false;
	if (take_char(r, ':') && take_digits(r, 2, 2, &second) == 0)
		return false;
	if (hour > 23 || minute > 59 || second > 60)
		r->notes |= DATE_IMPOSSIBLE;
	return take_blank(r, false);
}

static bool read_zone(struct reading *r)
{
	uint32_t offset;
	bool minus = take_char(r, '-');

	if (!minus && !take_char(r, '+')) {
		size_t n = 0;
		while (n < r->rest.n && ((r->rest.p[n] | 32) >= 'a' && (r->rest.p[n] | 32) <= 'z'))
			n++;
		r->notes |= DATE_ZONE_NAME;
		r->rest = span_sub(r->rest, n, r->rest.n);
		return n > 0;
	}
	if (take_digits(r, 4, 4, &offset) == 0)
		return false;
	if (offset % 100 > 59)
		r->notes |= DATE_IMPOSSIBLE;
	if (minus && offset == 0)
		r->notes |= DATE_UNKNOWN_ZONE;
	return true;
}

uint32_t date_notes(struct span value)
{
	struct buf plain = { 0 };
	struct reading r = { 0 };

	field_strip_comments(value, &plain);
	r.rest = span_trim(buf_span(&plain));
	if (!read_day(&r) || !read_clock(&r) || !read_zone(&r) || r.rest.n > 0)
		r.notes |= DATE_UNREADABLE;
	buf_free(&plain);
	return r.notes;
}
