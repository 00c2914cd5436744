#include "harness/scenario/flow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_known(char dirs[static FLOW_DIRS_MAX][PATH_MAX], uint32_t count, const char *path)
{
	for (uint32_t i = 0; i < count; i++) {
		struct stat a, b;
		if (stat(dirs[i], &a) == 0 && stat(path, &b) == 0 && a.st_dev == b.st_dev &&
		    a.st_ino == b.st_ino)
			return true;
	}
	return false;
}

static void add_dir(char dirs[static FLOW_DIRS_MAX][PATH_MAX], uint32_t *count, const char *path)
{
	struct stat st;

	if (*count < FLOW_DIRS_MAX && stat(path, &st) == 0 && S_ISDIR(st.st_mode) &&
	    !is_known(dirs, *count, path) && span_copy(span_of(path), dirs[*count], PATH_MAX))
		(*count)++;
}

/* up: what leads from the program's directory to the flows. */
static void add_beside_program(char dirs[static FLOW_DIRS_MAX][PATH_MAX], uint32_t *count, const char *up)
{
	char program[PATH_MAX], path[PATH_MAX + 64], resolved[PATH_MAX];
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

uint32_t flow_dirs(char ret_dirs[static FLOW_DIRS_MAX][PATH_MAX])
{
	uint32_t count = 0;

	add_dir(ret_dirs, &count, "scenarios/flows");
	add_beside_program(ret_dirs, &count, "../share/postrider/scenarios/flows");
	add_beside_program(ret_dirs, &count, "../../../scenarios/flows"); /* build/MODE/bin */
	return count;
}

bool flow_find(const char *name, char *ret_path, size_t path_bytes)
{
	char dirs[FLOW_DIRS_MAX][PATH_MAX];

	if (strchr(name, '/') != NULL || span_ends_nocase(span_of(name), SPAN_LIT(".yaml")))
		return span_copy(span_of(name), ret_path, path_bytes) && access(name, F_OK) == 0;
	uint32_t count = flow_dirs(dirs);
	for (uint32_t i = 0; i < count; i++) {
		int n = snprintf(ret_path, path_bytes, "%s/%s.flow.yaml", dirs[i], name);
		if (n > 0 && (size_t)n < path_bytes && access(ret_path, F_OK) == 0)
			return true;
	}
	return false;
}
