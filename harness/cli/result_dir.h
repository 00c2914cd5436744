/*
 * result_dir: where a run leaves its results, and results/latest.
 */
#ifndef HARNESS_CLI_RESULT_DIR_H
#define HARNESS_CLI_RESULT_DIR_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

/* A new directory base/WHAT-TIME, numbered when that second has seen one already; base/latest points at it. */
int result_dir_make(const char *base, const char *what, char *ret_dir, size_t dir_bytes, struct err *reterr);

/*
 * Whether results can go there, and JUnit (NULL: none) into its file; asked
 * before anything starts.  If not, it was printed, with the option that helps.
 */
bool result_dir_check(const char *command, const char *results, const char *junit);

#endif
