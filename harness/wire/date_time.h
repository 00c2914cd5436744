/*
 * date_time: reads a date-time as messages have it (RFC 5322 section 3.3) and
 * says where it is not what may be generated.
 *
 * The value is one line, unfolded.  Comments may follow the zone.  Notes do not
 * exclude each other; without any the date is one that section 3.3 allows.
 */
#ifndef HARNESS_WIRE_DATE_TIME_H
#define HARNESS_WIRE_DATE_TIME_H

#include "base/span.h"

enum date_note {
	DATE_UNREADABLE = 1u << 0,   /* no date-time, not even an obsolete one */
	DATE_SHORT_YEAR = 1u << 1,   /* two or three digits (section 4.3) */
	DATE_ZONE_NAME = 1u << 2,    /* "GMT", "EST", "Z" (section 4.3) */
	DATE_IMPOSSIBLE = 1u << 3,   /* 30 February, 25 o'clock, an offset of 99 minutes */
	DATE_WRONG_DAY = 1u << 4,    /* the day of the week is another */
	DATE_EXTRA_BLANKS = 1u << 5, /* more than the single blanks of section 3.3 */
	DATE_UNKNOWN_ZONE = 1u << 6, /* "-0000": allowed, and no local time */
};
uint32_t date_notes(struct span value);

#endif
