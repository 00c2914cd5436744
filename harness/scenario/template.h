/*
 * template: text with ${variables}, and with lines that repeat or leave out
 * what follows:
 *
 *     %for account           once for each account; likewise "%for domain" and "%for list"
 *     %if smart-host.ip      when it has a value; "%if not smart-host.ip"
 *     %end                   of the last %for or %if
 *     %%                     at the start of a line: one plain %
 *     $${                    a plain ${
 *
 * Such a line leaves nothing behind itself.  Names are those of vars.h; any other
 * is a mistake, and so is account.… outside of its loop.
 *
 * Limits: 1 MiB of text, 4 MiB of output, 3 loops or conditions in each other.
 */
#ifndef HARNESS_SCENARIO_TEMPLATE_H
#define HARNESS_SCENARIO_TEMPLATE_H

#include "base/buf.h"
#include "harness/scenario/vars.h"

enum {
	TEMPLATE_BYTES_MAX = 1024 * 1024,
	TEMPLATE_OUTPUT_BYTES_MAX = 4 * 1024 * 1024,
	TEMPLATE_LEVELS_MAX = 3,
};

struct template_options {
	const char *path; /* named in messages */
	struct span text;
	const struct vars *vars; /* NULL: only looks for mistakes */
	const char *list;        /* inside an item of this list from the start; may be NULL */
	uint32_t item;
	struct buf *ret_text;     /* appended; may be NULL without vars */
	struct buf *ret_messages; /* "path:line:column: error: …" with the line and a caret, appended */
};

/* How many mistakes. */
uint32_t template_expand(const struct template_options *o);

#endif
