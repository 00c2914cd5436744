/*
 * schedule: when each message of an open-loop load is meant to leave, computed
 * before the run, so that a slow server cannot slow its own test down.
 *
 * Offsets are nanoseconds from the start of the load, ascending.  Same options,
 * same schedule, on every machine.
 */
#ifndef HARNESS_LOAD_SCHEDULE_H
#define HARNESS_LOAD_SCHEDULE_H

#include "base/err.h"

#include <stdint.h>

enum {
	SCHEDULE_COUNT_MAX = 100 * 1000 * 1000,
};

enum schedule_kind {
	SCHEDULE_CONSTANT, /* evenly spaced, the first at 0 */
	SCHEDULE_POISSON,  /* exponential gaps from the seed */
	SCHEDULE_AT_ONCE,  /* all at 0 */
};

/* At least one of count and duration_ns is given; the first to be reached ends the schedule. */
struct schedule_options {
	enum schedule_kind kind;
	double rate_per_s;   /* > 0, unless SCHEDULE_AT_ONCE */
	uint32_t count;      /* 0: no limit */
	int64_t duration_ns; /* 0: no limit */
	uint64_t seed;
};

struct schedule {
	int64_t *at_ns;
	uint32_t count;
};

int schedule_make(const struct schedule_options *o, struct schedule *ret_schedule, struct err *reterr);
void schedule_free(struct schedule *s);

#endif
