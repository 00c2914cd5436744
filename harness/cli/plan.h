/*
 * plan: every message of a flow, put into the ledger before the run: when it
 * is meant to leave, from whom, to whom, how large; and its content again
 * whenever somebody asks.  Ids are the ledger's, in order of traffic entry and
 * then of time.
 */
#ifndef HARNESS_CLI_PLAN_H
#define HARNESS_CLI_PLAN_H

#include "base/err.h"
#include "harness/judge/content.h"
#include "harness/judge/ledger.h"
#include "harness/scenario/flow.h"

struct plan;

struct plan_options {
	const struct flow *flow; /* outlives the plan, as does the ledger */
	uint64_t seed;
	struct ledger *ledger;
	int64_t zero_ns;      /* times of the flow count from here */
	int64_t zero_wall_ms; /* the same moment, for Date fields */
};

/* NULL and *reterr when a schedule cannot be made. */
struct plan *plan_new(const struct plan_options *o, struct err *reterr);
void plan_free(struct plan *p); /* accepts NULL */

/* Spans of the spec live as long as the plan. */
void plan_spec(const struct plan *p, uint32_t id, struct content_spec *ret_spec);

/* The ids of one traffic entry: first and one past the last. */
void plan_ids(const struct plan *p, uint32_t traffic, uint32_t *ret_first, uint32_t *ret_end);

/* When the last message is meant to leave. */
int64_t plan_last_ns(const struct plan *p);

#endif
