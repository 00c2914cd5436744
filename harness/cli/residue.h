/*
 * residue: how many messages a server's queue holds, asked of the server.
 *
 * A command of its target is run beside it; the target says how the number is
 * found in what it prints.  The loop goes on meanwhile.  Only what answers
 * completely and well within 2 s is believed; anything else is "not known",
 * never a number.
 */
#ifndef HARNESS_CLI_RESIDUE_H
#define HARNESS_CLI_RESIDUE_H

#include "base/loop.h"
#include "harness/cli/residue_names.h"
#include "harness/scenario/target.h"
#include "harness/world/host.h"

#include <sys/types.h>

struct residue;

/* Called once, from the loop; r is freed afterwards. */
typedef void residue_fn(void *ctx, struct residue *r, bool known, uint32_t count);

struct residue_question {
	/* Starts the command, at the head of a process group, with out as its standard output; < 0: it cannot. */
	pid_t (*start)(void *ctx, int out);
	void *ctx;
	const struct target_queue *how; /* outlives the question */
	struct residue_names *names;    /* not NULL: the answer is a listing, which is added here */
};

/* NULL: the command could not be started, and nothing is called. */
struct residue *residue_ask(struct loop *l, const struct residue_question *q, residue_fn *fn, void *ctx);
/* The queue of a host that runs, as its target says; NULL too when the target does not. */
struct residue *residue_ask_host(struct loop *l, struct host *h, residue_fn *fn, void *ctx);
/* The same for whose messages they are. */
struct residue *residue_ask_host_names(struct loop *l, struct host *h, struct residue_names *names,
				       residue_fn *fn, void *ctx);
void residue_free(struct residue *r); /* accepts NULL; ends the question, nothing is called any more */

/* What an answer says, for how; false: nothing. */
bool residue_count(const struct target_queue *how, struct span answer, uint32_t *ret_count);

#endif
