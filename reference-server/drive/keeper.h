/*
 * keeper: a small process that stays root to read certificate files again
 * after the server has become another user.
 *
 * It reads only the paths it was started with, answers only its parent, and
 * ends with it.  Without a keeper (NULL: the server never was root) files are
 * read directly.
 */
#ifndef SERVER_DRIVE_KEEPER_H
#define SERVER_DRIVE_KEEPER_H

#include "base/buf.h"
#include "base/err.h"

enum { KEEPER_FILE_BYTES_MAX = 1024 * 1024 };

struct keeper;

/* Forks: before any thread is started.  paths: NULL-terminated, copied. */
struct keeper *keeper_start(const char *const *paths, struct err *reterr);

/* Appends the content of path.  k may be NULL. */
int keeper_read(struct keeper *k, const char *path, struct buf *b, struct err *reterr);

/* Accepts NULL. */
void keeper_stop(struct keeper *k);

#endif
