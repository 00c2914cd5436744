/*
 * residue: how many messages a server's queue holds, asked of the server.
 *
 * The reference server is asked by its own program: `PROGRAM status --config
 * FILE` prints a line "queue: COUNT".  The loop goes on meanwhile.  Only what
 * answers completely and well within 2 s is believed; anything else is "not
 * known", never a number.
 */
#ifndef HARNESS_CLI_RESIDUE_H
#define HARNESS_CLI_RESIDUE_H

#include "base/loop.h"

struct residue;

/* Called once, from the loop; r is freed afterwards. */
typedef void residue_fn(void *ctx, struct residue *r, bool known, uint32_t count);

/* NULL: the program could not be started, and nothing is called. */
struct residue *residue_ask(struct loop *l, const char *program, const char *config, residue_fn *fn,
			    void *ctx);
void residue_free(struct residue *r); /* accepts NULL; ends the question, nothing is called any more */

#endif
