/*
 * timeline: carries out the faults of a flow at their times and writes down
 * when each really began and ended.
 *
 * A fault that cannot be carried out (a host that does not come back) ends
 * the timeline with TIMELINE_FAILED; the run is then no judgement of the
 * server's queue but of that failure.
 */
#ifndef HARNESS_FAULT_TIMELINE_H
#define HARNESS_FAULT_TIMELINE_H

#include "base/err.h"
#include "base/loop.h"
#include "harness/fault/links.h"
#include "harness/scenario/flow.h"
#include "harness/world/world.h"

struct timeline;

enum timeline_event {
	TIMELINE_BEGAN,  /* fault's effect has begun */
	TIMELINE_ENDED,  /* its effect is over: server ready again, link passes */
	TIMELINE_DONE,   /* no fault is left to begin or end; fault is NULL */
	TIMELINE_FAILED, /* see timeline_error */
};
/* What happened to one fault; times are CLOCK_MONOTONIC, 0: not yet. */
struct timeline_fault {
	const struct flow_fault *flow;
	int64_t begin_ns;
	int64_t end_ns;
	/*
	 * What it met: a server stopped, lookups failed, connections reset, held
	 * or delayed.  A refused caller cannot be seen; the lookups of the link's
	 * address stand for him.
	 */
	uint32_t strike_count;
	bool strikes_counted; /* false: callers came without lookups, so nobody knows */
};
typedef void timeline_fn(void *ctx, enum timeline_event event, const struct timeline_fault *fault);

struct timeline_options {
	struct loop *loop;
	struct world *world;
	struct links *links;
	timeline_fn *on_event; /* may be NULL */
	void *ctx;
};

struct timeline *timeline_new(const struct timeline_options *o);
/* zero_ns is the moment from which the flow's times count; TIMELINE_DONE follows also when there are no
 * faults. */
void timeline_start(struct timeline *t, int64_t zero_ns);
/* Ends what is open (faults without an end: links pass, names resolve, stopped hosts are NOT started) and
 * closes its record. */
void timeline_finish(struct timeline *t);
void timeline_free(struct timeline *t); /* accepts NULL */

bool timeline_is_done(const struct timeline *t);
uint32_t timeline_fault_count(const struct timeline *t);
const struct timeline_fault *timeline_fault(const struct timeline *t,
					    uint32_t index); /* with strike_count up to date */
const struct err *timeline_error(const struct timeline *t);

#endif
