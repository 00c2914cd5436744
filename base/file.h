/*
 * file: whole files and directories, with errors that name the path.
 */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include "base/buf.h"
#include "base/err.h"

#include <sys/types.h>

/* Appends the content; -EFBIG when it has more than bytes_max. */
int file_read(const char *path, size_t bytes_max, struct buf *b, struct err *reterr);
/* Writes a temporary file beside it, syncs, renames over it, syncs the directory. */
int file_write(const char *path, struct span content, mode_t mode, struct err *reterr);
/* mkdir -p; an existing directory is fine. What it makes it syncs, in the directory above. */
int dir_make(const char *path, mode_t mode, struct err *reterr);
/* rm -r, does not follow links; a missing path is fine. */
int dir_remove(const char *path, struct err *reterr);

#endif
