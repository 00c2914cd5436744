/*
 * conform_print: what `postrider conform` says: how it is going, on standard
 * error; what it came to, on standard output.
 */
#ifndef HARNESS_CLI_CONFORM_PRINT_H
#define HARNESS_CLI_CONFORM_PRINT_H

#include "harness/cli/progress.h"
#include "harness/conform/record.h"

struct conform_progress {
	enum progress_mode mode;
	bool colour;
	bool line_open;
	const char *target;
	uint32_t total, done;
	uint32_t by[CONFORM_VERDICT_COUNT];
	int64_t shown_ns;
};

void conform_progress_add(struct conform_progress *p, const struct suite_result *r);
void conform_progress_end(struct conform_progress *p);

/* Each case that did not pass with its transcript, then counts, and the one next command. */
void conform_print(const struct conform_records *all, bool colour, struct buf *out);
/* Each case that one target passes and another does not, with what every target did; then counts. */
void conform_print_disputes(const struct conform_records *all, bool colour, struct buf *out);
/* Counts and verdict, one line a target. */
void conform_print_lines(const struct conform_records *all, struct buf *out);

#endif
