#include "reports/assets.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool try_path(const char *base, const char *middle, const char *name, char *ret_path,
		     size_t path_bytes)
{
	int n = snprintf(ret_path, path_bytes, "%s/%s/%s", base, middle, name);

	return n > 0 && (size_t)n < path_bytes && access(ret_path, R_OK) == 0;
}

int assets_find(const char *name, char *ret_path, size_t path_bytes, struct err *reterr)
{
	const char *share = getenv("POSTRIDER_SHARE");
	char dir[PATH_MAX];

	if (share != NULL && try_path(share, "reports", name, ret_path, path_bytes))
		return 0;
	ssize_t n = readlink("/proc/self/exe", dir, sizeof(dir) - 1);
	dir[n > 0 ? n : 0] = '\0';
	for (char *slash = strrchr(dir, '/'); slash != NULL && slash != dir; slash = strrchr(dir, '/')) {
		*slash = '\0';
		if (try_path(dir, "reports", name, ret_path, path_bytes) ||
		    try_path(dir, "share/postrider/reports", name, ret_path, path_bytes))
			return 0;
	}
	return err_set(reterr, -ENOENT, "reports/%s: not found near the program; set POSTRIDER_SHARE", name);
}
