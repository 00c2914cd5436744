/*
 * unit: durations and sizes as people write them.
 *
 *   500us 20ms 30s 30m 4h 5d     whole numbers with a unit; "0" needs none
 *   0.5s 1.5m                    decimals where the result is whole in the finest unit
 *   64KiB 10MiB 2GiB 100B 4096   sizes in bytes; powers of 1024 only, so that
 *                                nobody has to ask which kilo is meant
 *
 * Whole span, no blanks inside, no sign.
 */
#ifndef BASE_UNIT_H
#define BASE_UNIT_H

#include "base/span.h"

/* False on anything else, also on overflow and on durations that are no whole number of milliseconds. */
bool unit_parse_duration_ms(struct span s, int64_t *ret_ms);
bool unit_parse_size_bytes(struct span s, uint64_t *ret_bytes);

/* The shortest exact form: "90s", "1500ms", "10MiB"; out needs 24 bytes.  Returns out. */
const char *unit_format_duration_ms(int64_t ms, char out[static 24]);
const char *unit_format_size_bytes(uint64_t bytes, char out[static 24]);

#endif
