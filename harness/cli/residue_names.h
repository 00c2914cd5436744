/*
 * residue_names: whose messages a queue holds, read from a listing: an object
 * with "sender" ("" for a notification) and "recipients" for each message, one
 * a line, as `postriderd queue list --json` prints.
 */
#ifndef HARNESS_CLI_RESIDUE_NAMES_H
#define HARNESS_CLI_RESIDUE_NAMES_H

#include "base/span.h"
#include "harness/judge/ledger.h"

/* Zeroed is empty; owns the strings. */
struct residue_names {
	struct ledger_waiting *items;
	uint32_t count;
	uint32_t room;
};

void residue_names_free(struct residue_names *n);
/* Adds what a listing says.  False, and some may have been added, when a line is not what it should be. */
bool residue_read_names(struct span listing, struct residue_names *n);

#endif
