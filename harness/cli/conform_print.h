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
void conform_print(const struct conform_record *r, bool colour, struct buf *out);
/* Counts and verdict in one line. */
void conform_print_line(const struct conform_record *r, struct buf *out);

#endif
