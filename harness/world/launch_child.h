/*
 * launch_child: what a launch's process does after the fork.  No other file
 * than launch.c includes it; nothing here returns.
 */
#ifndef HARNESS_WORLD_LAUNCH_CHILD_H
#define HARNESS_WORLD_LAUNCH_CHILD_H

#include "harness/world/launch.h"

/* Says what failed, with errno, on the standard error; status 126. */
_Noreturn void launch_child_fail(const char *what);
_Noreturn void launch_child_exec(char *const *args);
/* Mounts, prepares, starts, waits, ends: see launch.h. */
_Noreturn void launch_child_supervise(const struct launch *l);

#endif
