/*
 * run_flow: carries out one flow: builds its world, starts the servers, sends,
 * breaks what is to be broken, retrieves until every message is settled or the
 * time for that is over, stops the servers, judges, and writes the result
 * directory.
 *
 *     STARTING → TRAFFIC → DRAIN → SWEEP → STOPPING → judged
 *
 * SWEEP: everything is settled; each mailbox is read once more, so that a
 * second copy of anything has had its chance to be seen.  SIGINT and SIGTERM
 * go to STOPPING from anywhere, and the result is marked; a second signal
 * kills the servers at once.  When run_flow returns, nothing runs.
 */
#ifndef HARNESS_CLI_RUN_FLOW_H
#define HARNESS_CLI_RUN_FLOW_H

#include "base/buf.h"
#include "base/err.h"
#include "harness/cli/progress.h"
#include "harness/judge/record.h"
#include "harness/scenario/flow.h"
#include "harness/world/world.h"

#include <limits.h>

struct run_options {
	const struct flow *flow;
	uint64_t seed;
	const char *const *sets; /* as given, for the record; may be NULL */
	const char *dir;         /* the result directory; exists */
	const char *program;     /* postriderd; NULL: the target's default */
	enum world_network network;
	bool show_secrets; /* on the terminal; never in files */
	bool keep_world;   /* leave the servers' data, keys and passwords in dir/world */
	enum progress_mode progress;
	bool colour;
};

/* What is left to say and to hand on after a run. */
struct run_outcome {
	enum verdict verdict;
	struct buf text;  /* for a person, several lines */
	struct buf line;  /* the verdict in one line */
	struct buf json;  /* result.json */
	struct buf junit; /* one test suite */
};
void run_outcome_free(struct run_outcome *o);

/* Negative errno when the harness itself failed; then there is no outcome. */
int run_flow(const struct run_options *o, struct run_outcome *ret_outcome, struct err *reterr);

#endif
