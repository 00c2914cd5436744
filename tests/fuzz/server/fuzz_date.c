/*
 * Any bytes as a date-time, and any time as text.  Checked: what is read is
 * written again as it was, but for fractions; the calendar's pieces are in their ranges and
 * name the same time.
 */
#include "reference-server/core/date.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static void check_round_trip(int64_t wall_ms)
{
	char text[DATE_TEXT_BYTES];
	int64_t again = -1;
	struct date d = date_of(wall_ms);

	must(d.month >= 1 && d.month <= 12 && d.day >= 1 && d.day <= 31 && d.weekday >= 0 && d.weekday <= 6);
	must(d.hour >= 0 && d.hour <= 23 && d.minute >= 0 && d.minute <= 59 && d.second >= 0 &&
	     d.second <= 59);
	must(date_parse(date_format(wall_ms, text), &again));
	must(again == wall_ms / 1000 * 1000);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int64_t LAST_MS = 253402300799999; /* of the year 9999 */
	struct span in = { (const char *)data, size };
	char again[DATE_TEXT_BYTES];
	int64_t wall_ms = -1;
	uint64_t any = 0;

	if (date_parse(in, &wall_ms)) {
		must(wall_ms >= 0);
		bool plain = in.n == DATE_TEXT_BYTES && memcmp(in.p + 17, "60", 2) != 0;
		if (plain && wall_ms <= LAST_MS)
			must(span_eq_nocase(date_format(wall_ms, again), in));
	}
	if (size >= sizeof(any)) {
		memcpy(&any, data, sizeof(any));
		check_round_trip((int64_t)(any % (uint64_t)(LAST_MS + 1)));
	}
	return 0;
}
