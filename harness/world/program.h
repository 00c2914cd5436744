/*
 * program: where a server's program is.
 */
#ifndef HARNESS_WORLD_PROGRAM_H
#define HARNESS_WORLD_PROGRAM_H

#include "base/err.h"

#include <stddef.h>

/*
 * given, or, when that is NULL, the usual one: beside this program, for what
 * was built together lies together, or else on PATH.  -ENOENT and a text that
 * says what to do when there is nothing that could be executed.
 */
int program_find(const char *usual, const char *given, char *ret_path, size_t path_bytes, struct err *reterr);

#endif
