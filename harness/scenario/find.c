#include "harness/scenario/find.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_known(char dirs[static SCENARIO_DIRS_MAX][PATH_MAX], uint32_t count, const char *path)
{
	for (uint32_t i = 0; i < count; i++) {
		struct stat a, b;
		if (stat(dirs[i], &a) == 0 && stat(path, &b) == 0 && a.st_dev == b.st_dev &&
		    a.st_ino == b.st_ino)
			return true;
	}
	return false;
}

static void add_dir(char dirs[static SCENARIO_DIRS_MAX][PATH_MAX], uint32_t *count, const char *path)
{
	struct stat st;

	if (*count < SCENARIO_DIRS_MAX && stat(path, &st) == 0 && S_ISDIR(st.st_mode) &&
	    !is_known(dirs, *count, path) && span_copy(span_of(path), dirs[*count], PATH_MAX))
		(*count)++;
}

/* up: what leads there from the program's directory. */
static void add_beside_program(char dirs[static SCENARIO_DIRS_MAX][PATH_MAX], uint32_t *count, const char *up)
{
	char program[PATH_MAX], path[2 * PATH_MAX], resolved[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 1);

	if (n <= 0)
		return;
	program[n] = '\0';
	char *slash = strrchr(program, '/');
	if (slash == NULL)
		return;
	*slash = '\0';
	(void)snprintf(path, sizeof(path), "%s/%s", program, up);
	if (realpath(path, resolved) != NULL)
		add_dir(dirs, count, resolved);
}

uint32_t scenario_dirs(const char *kind, char ret_dirs[static SCENARIO_DIRS_MAX][PATH_MAX])
{
	static const char *const ROOTS[] = { "../share/postrider/scenarios",
					     "../../../scenarios" /* build/MODE/bin */ };
	char path[PATH_MAX];
	uint32_t count = 0;

	(void)snprintf(path, sizeof(path), "scenarios/%s", kind);
	add_dir(ret_dirs, &count, path);
	for (size_t i = 0; i < sizeof(ROOTS) / sizeof(ROOTS[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", ROOTS[i], kind);
		add_beside_program(ret_dirs, &count, path);
	}
	return count;
}

bool scenario_find(const char *kind, const char *suffix, const char *name, char *ret_path, size_t path_bytes)
{
	char dirs[SCENARIO_DIRS_MAX][PATH_MAX];

	if (strchr(name, '/') != NULL || span_ends_nocase(span_of(name), SPAN_LIT(".yaml")))
		return span_copy(span_of(name), ret_path, path_bytes) && access(name, F_OK) == 0;
	uint32_t count = scenario_dirs(kind, dirs);
	for (uint32_t i = 0; i < count; i++) {
		int n = snprintf(ret_path, path_bytes, "%s/%s%s", dirs[i], name, suffix);
		if (n > 0 && (size_t)n < path_bytes && access(ret_path, F_OK) == 0)
			return true;
	}
	return false;
}
