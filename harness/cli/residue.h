/*
 * residue: asks a reference server how many messages its queue holds, with
 * the server's own command, so that "still queued" and "lost" can be told
 * apart.
 */
#ifndef HARNESS_CLI_RESIDUE_H
#define HARNESS_CLI_RESIDUE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Runs "program status --config config" and waits for its end, two seconds at
 * most.  False when it gave no number.
 */
bool residue_ask(const char *program, const char *config, uint32_t *ret_count);

#endif
