/*
 * series: a run cut into equal steps of time, for plots.
 *
 * Counts are of recipients (rows).  A latency percentile of a step is over the
 * messages that were meant to leave in it; what never arrived counts as
 * largest, so a step may have none (LEDGER_NEVER).
 */
#ifndef HARNESS_JUDGE_SERIES_H
#define HARNESS_JUDGE_SERIES_H

#include "base/buf.h"
#include "harness/judge/ledger.h"

struct series_point {
	int64_t at_ms; /* begin of the step, from the start of traffic */
	uint32_t sent; /* final dots in this step */
	uint32_t accepted;
	uint32_t delivered; /* first copies */
	uint32_t told;
	uint32_t backlog; /* accepted, and neither delivered nor told, at the end of the step */
	int64_t end_to_end_p50_ns;
	int64_t end_to_end_p99_ns;
};

struct series {
	int64_t step_ms;
	uint32_t count;
	struct series_point *points;
};

/* 100 ms steps, longer ones when there would be more than 1200. */
struct series series_make(const struct ledger *l, int64_t zero_ns, int64_t ended_ns);
void series_free(struct series *s);

/* series.csv: a header line, then a line for each step; what there is not is empty. */
void series_csv(const struct series *s, struct buf *ret_text);

#endif
