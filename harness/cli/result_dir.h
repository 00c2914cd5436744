/*
 * result_dir: where a run leaves its results, and results/latest.
 */
#ifndef HARNESS_CLI_RESULT_DIR_H
#define HARNESS_CLI_RESULT_DIR_H

#include "base/err.h"

#include <stddef.h>

/* A new directory base/WHAT-TIME, numbered when that second has seen one already; base/latest points at it. */
int result_dir_make(const char *base, const char *what, char *ret_dir, size_t dir_bytes, struct err *reterr);

#endif
