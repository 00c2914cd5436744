/* Targets by name. */
#include "harness/scenario/target.h"

#include "base/suggest.h"
#include "harness/scenario/find.h"

#include <glob.h>
#include <stdlib.h>
#include <string.h>

static const char SUFFIX[] = ".yaml";

bool target_find(const char *name, char *ret_path, size_t path_bytes)
{
	return scenario_find("targets", SUFFIX, name, ret_path, path_bytes);
}

bool target_exists(const char *name)
{
	char path[PATH_MAX];

	return target_find(name, path, sizeof(path));
}

static int compare(const void *a, const void *b)
{
	const char *const *x = a;
	const char *const *y = b;

	return strcmp(*x, *y);
}

static char **add_dir(char **names, size_t *count, const char *dir)
{
	struct buf pattern = { 0 };
	glob_t found = { 0 };

	buf_addf(&pattern, "%s/*%s", dir, SUFFIX);
	if (glob(buf_cstr(&pattern), 0, NULL, &found) == 0) {
		names = realloc(names, (*count + found.gl_pathc + 1) * sizeof(*names));
		if (names == NULL)
			abort();
		for (size_t i = 0; i < found.gl_pathc; i++) {
			const char *file = strrchr(found.gl_pathv[i], '/') + 1;
			char *name = strndup(file, strlen(file) - strlen(SUFFIX));
			if (name == NULL)
				abort();
			names[(*count)++] = name;
		}
	}
	globfree(&found);
	buf_free(&pattern);
	return names;
}

char **target_all(void)
{
	char dirs[SCENARIO_DIRS_MAX][PATH_MAX];
	uint32_t dir_count = scenario_dirs("targets", dirs);
	char **names = calloc(1, sizeof(*names));
	size_t count = 0, kept = 0;

	for (uint32_t i = 0; i < dir_count; i++)
		names = add_dir(names, &count, dirs[i]);
	if (names == NULL)
		abort();
	qsort(names, count, sizeof(*names), compare);
	for (size_t i = 0; i < count; i++) {
		if (kept > 0 && strcmp(names[kept - 1], names[i]) == 0)
			free(names[i]);
		else
			names[kept++] = names[i];
	}
	names[kept] = NULL;
	return names;
}

void target_all_free(char **names)
{
	for (char **n = names; n != NULL && *n != NULL; n++)
		free(*n);
	free(names);
}

bool target_nearest(const char *given, char *ret_name, size_t name_bytes)
{
	char **names = target_all();
	size_t count = 0;

	while (names[count] != NULL)
		count++;
	const char **list = calloc(count + 1, sizeof(*list));
	if (list == NULL)
		abort();
	for (size_t i = 0; i < count; i++)
		list[i] = names[i];
	const char *near = suggest_name(given, list, count);
	bool any = near != NULL && span_copy(span_of(near), ret_name, name_bytes);
	free(list);
	target_all_free(names);
	return any;
}
