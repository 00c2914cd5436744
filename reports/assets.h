/*
 * assets: where the renderer's own files are: style sheet and plot scripts.
 *
 * $POSTRIDER_SHARE/reports, or reports/ in a directory above the program (a
 * source tree), or ../share/postrider/reports beside it (installed).
 */
#ifndef REPORTS_ASSETS_H
#define REPORTS_ASSETS_H

#include "base/err.h"

#include <stddef.h>

/* path_bytes: PATH_MAX is enough.  -ENOENT when it is nowhere. */
int assets_find(const char *name, char *ret_path, size_t path_bytes, struct err *reterr);

#endif
