/*
 * conform_run: plays cases against one target: makes its world, asks what the
 * server offers, plays, starts the server again when it dies, and ends
 * everything.  Blocks until that is done; nothing runs afterwards.
 */
#ifndef HARNESS_CLI_CONFORM_RUN_H
#define HARNESS_CLI_CONFORM_RUN_H

#include "base/err.h"
#include "harness/conform/suite.h"
#include "harness/scenario/target.h"
#include "harness/world/world.h"

struct conform_run;

struct conform_run_options {
	const char *name; /* of a target, "reference", or the path of a target file */
	const struct target *target;
	const char *program; /* postriderd; NULL: the target's default */
	const char *dir;     /* where logs/ goes, and world/; exists */
	enum world_network network;
	bool keep_world;
	bool patient; /* as in conform_world.h */
	const struct case_file *const *cases;
	uint32_t case_count;
	uint32_t at_once; /* 0: as many as are usual, or as the target says */
	uint32_t repeat;
	uint64_t seed;
	bool shuffle;
	suite_result_fn *on_result;
	void *ctx;
};

/* NULL and *reterr when the harness itself failed.  What came of it is asked below. */
struct conform_run *conform_run(const struct conform_run_options *o, struct err *reterr);
const struct suite_result *conform_run_results(const struct conform_run *r);
bool conform_run_was_interrupted(const struct conform_run *r);
/* What kept the whole run from judging, such as a server that did not start; "". */
const char *conform_run_problem(const struct conform_run *r);
uint32_t conform_run_deaths(const struct conform_run *r);
void conform_run_free(struct conform_run *r); /* accepts NULL */

#endif
