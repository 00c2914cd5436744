/*
 * hist: latencies in a high-dynamic-range histogram, three significant digits.
 *
 * Values are nanoseconds; resolution is 512 ns up to 1 ms and better than
 * 0.1 % above; the range reaches to HIST_NS_MAX, memory grows with the largest
 * value.  What lies outside is counted in hist_out_of_range_count, never
 * clamped.  Single-threaded; threads keep their own and merge.
 *
 * A value that is only known to be larger than something (a message that had
 * not arrived when the run ended) is recorded as right-censored.  Censored
 * values rank above all known ones; a percentile that falls among them is "at
 * least" the value of its rank with each censored value taken as its bound, and
 * not below the largest known one.  So no undelivered message can make a run
 * look faster.
 */
#ifndef HARNESS_LOAD_HIST_H
#define HARNESS_LOAD_HIST_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define HIST_NS_MAX INT64_C(360000000000000) /* 100 h */

struct hist;

struct hist *hist_new(void);
void hist_free(struct hist *h); /* accepts NULL */

void hist_record(struct hist *h, int64_t value_ns);
void hist_record_censored(struct hist *h, int64_t at_least_ns);
void hist_merge(struct hist *into, const struct hist *from);

uint64_t hist_count(const struct hist *h); /* without censored ones */
uint64_t hist_censored_count(const struct hist *h);
uint64_t hist_out_of_range_count(const struct hist *h);

/* Of the known values; 0 when there are none.  Exact for min and max. */
int64_t hist_min_ns(const struct hist *h);
int64_t hist_max_ns(const struct hist *h);
double hist_mean_ns(const struct hist *h);
double hist_stddev_ns(const struct hist *h);

struct hist_value {
	int64_t ns;
	bool at_least; /* the rank falls among censored values */
};
/* 0 .. 100, by nearest rank; highest equivalent value, as HdrHistogram has it.  { 0 } when empty. */
struct hist_value hist_percentile(const struct hist *h, double percentile);

/* Walks the non-empty buckets upwards; start with *pos = 0.  The value is the highest the bucket stands for.
 */
bool hist_next(const struct hist *h, uint32_t *pos, int64_t *ret_value_ns, uint64_t *ret_count);

/* Appends HdrHistogram's V2 compressed form (known values only), before base64. */
int hist_encode(const struct hist *h, struct buf *ret_bytes, struct err *reterr);

/* ---- the HdrHistogram log format, version 1.3 ---- */
/* Appends the lines in front of the intervals.  comment: one line, or NULL. */
void hlog_begin(struct buf *log, int64_t start_wall_ms, const char *comment);
/* Appends one interval.  tag: no comma, blank or line end; the unit column is in milliseconds. */
int hlog_add(struct buf *log, const struct hist *h, const char *tag, int64_t from_start_ms, int64_t length_ms,
	     struct err *reterr);

#endif
