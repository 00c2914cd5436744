#include "harness/cli/result_dir.h"

#include "base/file.h"
#include "base/loop.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { NAME_TRIES = 100, DIR_MODE = 0755 };

/* results/latest: replaced in one step, so that it never points nowhere. */
static void point_latest(const char *base, const char *name)
{
	char link[PATH_MAX];
	char temporary[PATH_MAX];

	(void)snprintf(link, sizeof(link), "%s/latest", base);
	(void)snprintf(temporary, sizeof(temporary), "%s/.latest.%ld", base, (long)getpid());
	if (symlink(name, temporary) != 0)
		return;
	if (rename(temporary, link) != 0)
		(void)unlink(temporary);
}

int result_dir_make(const char *base, const char *what, char *ret_dir, size_t dir_bytes, struct err *reterr)
{
	time_t now = (time_t)(clock_wall_ms() / 1000);
	struct tm tm;
	char stamp[32];
	char name[256];
	int rc = dir_make(base, DIR_MODE, reterr);

	if (rc != 0)
		return rc;
	(void)localtime_r(&now, &tm);
	(void)strftime(stamp, sizeof(stamp), "%Y%m%d-%H%M%S", &tm);
	for (int i = 1; i <= NAME_TRIES; i++) {
		if (i == 1)
			(void)snprintf(name, sizeof(name), "%.180s-%s", what, stamp);
		else
			(void)snprintf(name, sizeof(name), "%.180s-%s-%d", what, stamp, i);
		int n = snprintf(ret_dir, dir_bytes, "%s/%s", base, name);
		if (n < 0 || (size_t)n >= dir_bytes)
			return err_set(reterr, -ENAMETOOLONG, "%s: path too long", base);
		if (mkdir(ret_dir, DIR_MODE) == 0) {
			point_latest(base, name);
			return 0;
		}
		if (errno != EEXIST)
			return err_errno(reterr, errno, "%s", ret_dir);
	}
	return err_set(reterr, -EEXIST, "%s: too many results in one second", ret_dir);
}

/* ---- before anything starts ---- */

static bool is_writable(const char *command, const char *dir, const char *option)
{
	if (access(dir, W_OK | X_OK) == 0)
		return true;
	(void)fprintf(stderr, "%s: %s: %s; choose another place with %s\n", command, dir, strerror(errno),
		      option);
	return false;
}

bool result_dir_check(const char *command, const char *results, const char *junit)
{
	char dir[PATH_MAX];
	struct err e;
	const char *slash = junit != NULL ? strrchr(junit, '/') : NULL;
	struct span parent = { junit, slash != NULL ? (size_t)(slash - junit) : 0 };

	if (dir_make(results, DIR_MODE, &e) != 0) {
		(void)fprintf(stderr, "%s: %s; choose another place with --results DIR\n", command, e.text);
		return false;
	}
	if (!is_writable(command, results, "--results DIR"))
		return false;
	if (junit == NULL || slash == junit)
		return true;
	if (slash == NULL)
		return is_writable(command, ".", "--junit FILE");
	return span_copy(parent, dir, sizeof(dir)) && is_writable(command, dir, "--junit FILE");
}
