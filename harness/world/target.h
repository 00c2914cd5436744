/*
 * target: what differs between kinds of servers: how to configure one, which
 * program and arguments to run, how it says that it is ready.
 *
 * One row of functions for each kind; "reference" is postriderd.
 */
#ifndef HARNESS_WORLD_TARGET_H
#define HARNESS_WORLD_TARGET_H

#include "harness/world/host.h"

enum { TARGET_ARGS_MAX = 16 };

struct target {
	const char *name;
	/* Writes configuration into setup->dir; called before every start, must give the same each time. */
	int (*configure)(const struct host_setup *setup, struct err *reterr);
	/* Fills args, NULL-terminated; strings live in the setup or in scratch. */
	void (*args)(const struct host_setup *setup, const char *program, const char *args[TARGET_ARGS_MAX],
		     struct buf *scratch);
	/* A line of stdout, without its end. */
	bool (*line_says_ready)(struct span line);
	/* Program to run when nobody says: looked for beside the harness, then on PATH. */
	const char *default_program;
	int stop_signal;
};

/* NULL when there is none of that name; "none" has no row, for no server runs there.  Flows may name exactly
 * these. */
const struct target *target_find(const char *name);

#endif
