#include "harness/scenario/case.h"

#include <errno.h>
#include <fts.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char SUFFIX[] = ".case";

static bool is_dir(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* up: what leads from the program's directory to the cases. */
static bool beside_program(const char *up, char ret_path[static PATH_MAX])
{
	char program[PATH_MAX];
	char path[PATH_MAX + 64];
	ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 1);

	if (n <= 0)
		return false;
	program[n] = '\0';
	char *slash = strrchr(program, '/');
	if (slash == NULL)
		return false;
	*slash = '\0';
	(void)snprintf(path, sizeof(path), "%s/%s", program, up);
	return realpath(path, ret_path) != NULL && is_dir(ret_path);
}

static bool find_dir(char ret_path[static PATH_MAX])
{
	if (is_dir("scenarios/cases"))
		return span_copy(SPAN_LIT("scenarios/cases"), ret_path, PATH_MAX);
	return beside_program("../share/postrider/scenarios/cases", ret_path) ||
	       beside_program("../../../scenarios/cases", ret_path); /* build/MODE/bin */
}

/* ---- the list ---- */

struct found {
	char *id;
	char *path;
};

static int by_id(const void *va, const void *vb)
{
	const struct found *a = va, *b = vb;

	return strcmp(a->id, b->id);
}

static char *copy(struct span s)
{
	char *p = strndup(s.n > 0 ? s.p : "", s.n);

	if (p == NULL)
		abort();
	return p;
}

static struct found *walk(const char *dir, uint32_t *ret_count)
{
	union { /* fts does not write to the names; its type is older than const */
		const char *in[2];
		char *out[2];
	} roots = { .in = { dir, NULL } };
	FTS *fts = fts_open(roots.out, FTS_LOGICAL | FTS_NOCHDIR, NULL);
	struct found *all = NULL;
	uint32_t count = 0, room = 0;

	for (FTSENT *e = fts != NULL ? fts_read(fts) : NULL; e != NULL; e = fts_read(fts)) {
		struct span path = span_of(e->fts_path);
		if (e->fts_info != FTS_F || !span_ends_nocase(path, span_of(SUFFIX)))
			continue;
		if (count == room) {
			room = room == 0 ? 64 : room * 2;
			all = realloc(all, room * sizeof(*all));
			if (all == NULL)
				abort();
		}
		struct span below = span_sub(path, strlen(dir) + 1, path.n);
		below.n -= sizeof(SUFFIX) - 1;
		all[count++] = (struct found){ copy(below), copy(path) };
	}
	if (fts != NULL)
		(void)fts_close(fts);
	if (count > 0)
		qsort(all, count, sizeof(*all), by_id);
	*ret_count = count;
	return all;
}

int case_find_all(struct case_list *ret_list, struct err *reterr)
{
	char dir[PATH_MAX];
	uint32_t count;

	if (!find_dir(dir))
		return err_set(reterr, -ENOENT,
			       "no cases in ./scenarios/cases nor where the program was installed");
	struct found *all = walk(dir, &count);
	struct case_list l = { .count = count };
	l.ids = calloc(count + 1, sizeof(*l.ids));
	l.paths = calloc(count + 1, sizeof(*l.paths));
	if (l.ids == NULL || l.paths == NULL)
		abort();
	for (uint32_t i = 0; i < count; i++) {
		l.ids[i] = all[i].id;
		l.paths[i] = all[i].path;
	}
	free(all);
	*ret_list = l;
	return 0;
}

static void free_all(const char **strings, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		free((void *)(uintptr_t)strings[i]);
	free(strings);
}

void case_list_free(struct case_list *l)
{
	free_all(l->ids, l->count);
	free_all(l->paths, l->count);
	*l = (struct case_list){ 0 };
}
