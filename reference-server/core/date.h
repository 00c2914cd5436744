/*
 * date: the calendar, both ways (proleptic Gregorian, UTC), and the date-time
 * of RFC 3339 5.6 with the offset Z.
 *
 * Pure.  Times are milliseconds since 1970-01-01T00:00:00Z.
 */
#ifndef SERVER_CORE_DATE_H
#define SERVER_CORE_DATE_H

#include "base/span.h"

enum { DATE_TEXT_BYTES = 20 }; /* "2027-03-05T12:00:00Z" */

struct date {
	int64_t year;
	int month;   /* 1 to 12 */
	int day;     /* 1 to 31 */
	int weekday; /* 0: Sunday */
	int hour, minute, second;
};

struct date date_of(int64_t wall_ms);

/* Years 0 to 9999.  Without a NUL; returns what was written. */
struct span date_format(int64_t wall_ms, char dst[DATE_TEXT_BYTES]);

/*
 * What date_format() writes, with or without a fraction of a second, which counts as the next whole one, and
 * the leap second.  False for anything else, years before 1970 included.
 */
bool date_parse(struct span text, int64_t *ret_wall_ms);

#endif
