/*
 * lock: one process per data directory.  For this folder only.
 *
 * flock on DATA/lock, so that it ends with the process however that ends.
 */
#ifndef STORE_LOCK_H
#define STORE_LOCK_H

#include "base/err.h"

/* *ret_fd holds the lock until it is closed.  -EBUSY: the text names the process that has it. */
int lock_take(int dir_fd, const char *dir, int *ret_fd, struct err *reterr);

#endif
