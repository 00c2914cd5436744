/*
 * conform_targets: the servers that a conformance run judges, one after the
 * other, and what all of them came to.
 */
#ifndef HARNESS_CLI_CONFORM_TARGETS_H
#define HARNESS_CLI_CONFORM_TARGETS_H

#include "base/opt.h"
#include "harness/cli/case_choice.h"
#include "harness/cli/progress.h"
#include "harness/conform/record.h"
#include "harness/conform/waivers.h"
#include "harness/world/world.h"

enum { CONFORM_TARGETS_MAX = 32 };

struct conform_targets;

/*
 * names: as the command line has them; none: the reference.  NULL after a
 * mistake, with messages appended.  Nothing is started.
 */
struct conform_targets *conform_targets_read(const struct opt_list *names, bool allow_remote,
					     struct buf *messages);

struct conform_targets_options {
	const struct case_set *cases;
	const char *dir;     /* the result directory; exists */
	const char *program; /* postriderd; NULL: the target's default */
	enum world_network network;
	bool keep_world;
	bool patient;     /* as in conform_world.h */
	uint32_t at_once; /* 0: as many as is usual */
	uint32_t repeat;
	uint64_t seed;
	bool shuffle;
	bool strict;
	const struct waivers *waivers;          /* NULL: none */
	const struct conform_earlier *baseline; /* NULL: none */
	enum progress_mode progress;
};

/*
 * Plays the cases against each.  A target that cannot be started on this
 * machine comes out with a problem and nothing played.  False when the harness
 * failed, which was told on standard error.
 */
bool conform_targets_judge(struct conform_targets *t, const struct conform_targets_options *o);

/* One for each target, in the order of the names; owned by t. */
const struct conform_record *conform_targets_records(const struct conform_targets *t);
uint32_t conform_targets_count(const struct conform_targets *t);
const char *conform_targets_name(const struct conform_targets *t, uint32_t index); /* "postfix" */
void conform_targets_free(struct conform_targets *t);                              /* accepts NULL */

#endif
