/*
 * find: where the data that comes with postrider lies: flows, targets.
 *
 * In the order of search: ./scenarios/KIND, then what was installed with the
 * program, then the source tree it was built in.
 */
#ifndef HARNESS_SCENARIO_FIND_H
#define HARNESS_SCENARIO_FIND_H

#include "base/span.h"

#include <limits.h>

enum { SCENARIO_DIRS_MAX = 3 };

/* kind: "flows".  Only directories that exist, each once; returns how many. */
uint32_t scenario_dirs(const char *kind, char ret_dirs[static SCENARIO_DIRS_MAX][PATH_MAX]);

/*
 * "three-steps" is looked for in scenario_dirs(kind) with the suffix; what
 * holds a '/' or ends in .yaml is a path.  False when there is none.
 */
bool scenario_find(const char *kind, const char *suffix, const char *name, char *ret_path, size_t path_bytes);

#endif
