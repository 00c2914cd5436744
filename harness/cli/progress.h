/*
 * progress: says on stderr how a run is going: one line that changes, on a
 * terminal; a new line for each event and every few seconds, elsewhere.
 */
#ifndef HARNESS_CLI_PROGRESS_H
#define HARNESS_CLI_PROGRESS_H

#include "harness/judge/ledger.h"

#include <stdbool.h>

enum progress_mode { PROGRESS_NONE, PROGRESS_LINES, PROGRESS_LIVE };

struct progress {
	enum progress_mode mode;
	bool colour;
	bool line_open; /* a live line stands on the terminal */
	int64_t last_ms;
};

struct progress_state {
	const char *flow;
	const char *phase; /* "traffic" */
	const char *fault; /* what is broken now, or NULL */
	int64_t elapsed_ms;
	struct ledger_progress counts;
};

/* LIVE when stderr is a terminal and nobody asked for quiet. */
enum progress_mode progress_mode_for(bool quiet);

/* How often progress_show is wanted. */
int64_t progress_interval_ms(const struct progress *p);
/* Draws the live line anew, or prints one if it is time. */
void progress_show(struct progress *p, const struct progress_state *s);
/* Something happened: a line of its own, in either mode. */
void progress_event(struct progress *p, const struct progress_state *s, const char *text);
/* Removes the live line, so that other output can follow. */
void progress_clear(struct progress *p);

#endif
