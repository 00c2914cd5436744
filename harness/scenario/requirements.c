#include "harness/scenario/requirement.h"

#include <errno.h>
#include <fts.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	FILES_MAX = 256,
	HEADER_LINE_BYTES_MAX = 4096,
};

static void *must_have(void *p)
{
	if (p == NULL)
		abort();
	return p;
}

/* ---- where ---- */

static bool is_dir(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool requirements_dir(const char *name, char ret_path[static PATH_MAX])
{
	static const char *const ABOVE[] = { "../share/postrider", "../../.." /* build/MODE/bin */ };
	char program[PATH_MAX];
	struct buf path = { 0 };
	bool found;

	buf_addf(&path, "scenarios/%s", name);
	found = is_dir(buf_cstr(&path)) && span_copy(buf_span(&path), ret_path, PATH_MAX);
	ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 1);
	program[n > 0 ? n : 0] = '\0';
	char *slash = strrchr(program, '/');
	for (size_t i = 0; i < sizeof(ABOVE) / sizeof(ABOVE[0]) && !found && slash != NULL; i++) {
		buf_reset(&path);
		buf_addf(&path, "%.*s/%s/scenarios/%s", (int)(slash - program), program, ABOVE[i], name);
		found = realpath(buf_cstr(&path), ret_path) != NULL && is_dir(ret_path);
	}
	buf_free(&path);
	return found;
}

/* ---- all files ---- */

static int by_rfc(const void *a, const void *b)
{
	const struct requirement_file *const *x = a, *const *y = b;

	return ((*x)->rfc > (*y)->rfc) - ((*x)->rfc < (*y)->rfc);
}

static int by_id(const void *a, const void *b)
{
	const struct requirement *const *x = a, *const *y = b;

	return strcmp((*x)->id, (*y)->id);
}

static void index_all(struct requirements *rs)
{
	for (uint32_t i = 0; i < rs->file_count; i++)
		rs->count += rs->files[i]->count;
	rs->by_id = must_have(calloc((size_t)rs->count + 1, sizeof(struct requirement *)));
	uint32_t k = 0;
	for (uint32_t i = 0; i < rs->file_count; i++)
		for (uint32_t j = 0; j < rs->files[i]->count; j++)
			rs->by_id[k++] = &rs->files[i]->items[j];
	qsort(rs->by_id, rs->count, sizeof(struct requirement *), by_id);
}

/* What only the folder as a whole shows. */
static void check_all(const struct requirements *rs, struct buf *messages)
{
	for (uint32_t i = 0; i < rs->count; i++) {
		const struct requirement *r = rs->by_id[i];
		if (i > 0 && strcmp(r->id, rs->by_id[i - 1]->id) == 0)
			buf_addf(messages, "error: %s is in the catalogue twice\n", r->id);
		const struct requirement *same =
			r->same_as != NULL ? requirements_find(rs, r->same_as) : NULL;
		if (r->same_as != NULL && (same == NULL || same == r))
			buf_addf(messages, "error: %s: same-as names no other requirement: \"%s\"\n", r->id,
				 r->same_as);
		else if (same != NULL && same->same_as != NULL)
			buf_addf(messages, "error: %s: %s is itself the same as another\n", r->id, same->id);
	}
}

struct requirements *requirements_read(const char *dir, struct buf *messages)
{
	struct requirements *rs = must_have(calloc(1, sizeof(*rs)));
	struct buf pattern = { 0 };
	glob_t found = { 0 };

	rs->files = must_have(calloc(FILES_MAX, sizeof(struct requirement_file *)));
	buf_addf(&pattern, "%s/rfc*.yaml", dir);
	if (glob(buf_cstr(&pattern), 0, NULL, &found) == 0) {
		for (size_t i = 0; i < found.gl_pathc && rs->file_count < FILES_MAX; i++) {
			struct requirement_file *f =
				requirement_file_read(found.gl_pathv[i], (struct span){ 0 }, messages);
			if (f != NULL)
				rs->files[rs->file_count++] = f;
		}
		if (found.gl_pathc > FILES_MAX)
			buf_addf(messages, "%s: error: more than %d files\n", dir, FILES_MAX);
	}
	globfree(&found);
	buf_free(&pattern);
	qsort(rs->files, rs->file_count, sizeof(struct requirement_file *), by_rfc);
	index_all(rs);
	check_all(rs, messages);
	return rs;
}

void requirements_free(struct requirements *rs)
{
	if (rs == NULL)
		return;
	for (uint32_t i = 0; i < rs->count; i++)
		free(rs->by_id[i]->cases);
	for (uint32_t i = 0; i < rs->case_name_count; i++)
		free(rs->case_names[i]);
	for (uint32_t i = 0; i < rs->file_count; i++)
		requirement_file_free(rs->files[i]);
	free(rs->case_names);
	free(rs->by_id);
	free(rs->files);
	free(rs);
}

static struct requirement *find(const struct requirements *rs, const char *id)
{
	struct requirement key = { .id = id };
	const struct requirement *p = &key;
	struct requirement **found = bsearch(&p, rs->by_id, rs->count, sizeof(struct requirement *), by_id);

	return found != NULL ? *found : NULL;
}

const struct requirement *requirements_find(const struct requirements *rs, const char *id)
{
	return find(rs, id);
}

/* ---- which cases judge what ---- */

static void add_case(struct requirement *r, const char *name)
{
	for (uint32_t i = 0; i < r->case_count; i++)
		if (r->cases[i] == name)
			return;
	r->cases = must_have(reallocarray(r->cases, (size_t)r->case_count + 1, sizeof(char *)));
	r->cases[r->case_count++] = name;
}

static struct span first_word(struct span *s)
{
	struct span word;

	*s = span_trim(*s);
	if (!span_take_until(s, ' ', &word)) {
		word = *s;
		s->n = 0;
	}
	*s = span_trim(*s);
	return word;
}

/* "ID LEVEL", a comment may follow; adds the case to the requirement. */
static void read_req(struct requirements *rs, struct span line, const char *path, uint32_t line_number,
		     const char *name, struct buf *messages)
{
	char id[HEADER_LINE_BYTES_MAX];
	struct span rest = span_sub(line, 0, span_find(line, '#'));
	struct span word = first_word(&rest);

	(void)span_copy(word, id, sizeof(id));
	struct requirement *r = find(rs, id);
	if (r == NULL) {
		buf_addf(messages, "%s:%u: error: no requirement is called \"%.*s\"\n", path, line_number,
			 SPAN_FMT(word));
		return;
	}
	if (rest.n > 0 && !span_eq(rest, span_of(REQUIREMENT_LEVELS[r->level])))
		buf_addf(messages, "%s:%u: error: %s is %s, not \"%.*s\"\n", path, line_number, r->id,
			 REQUIREMENT_LEVELS[r->level], SPAN_FMT(rest));
	add_case(r, name);
}

/* Reads a case's header, which ends where the first "==" opens a section. */
static void read_case(struct requirements *rs, const char *path, const char *name, struct buf *messages)
{
	char bytes[HEADER_LINE_BYTES_MAX];
	FILE *in = fopen(path, "re");

	if (in == NULL) {
		buf_addf(messages, "%s: error: %s\n", path, strerror(errno));
		return;
	}
	for (uint32_t n = 1; fgets(bytes, sizeof(bytes), in) != NULL && strncmp(bytes, "==", 2) != 0; n++) {
		struct span line = { bytes, strcspn(bytes, "\r\n") };
		if (span_take_prefix_nocase(&line, SPAN_LIT("req:")))
			read_req(rs, line, path, n, name, messages);
	}
	(void)fclose(in);
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
	return strcmp((*a)->fts_name, (*b)->fts_name);
}

static const char *keep_name(struct requirements *rs, struct span name)
{
	char *kept = must_have(strndup(name.p, name.n));

	rs->case_names =
		must_have(reallocarray(rs->case_names, (size_t)rs->case_name_count + 1, sizeof(char *)));
	rs->case_names[rs->case_name_count++] = kept;
	return kept;
}

void requirements_find_cases(struct requirements *rs, const char *dir, struct buf *messages)
{
	char *root = must_have(strdup(dir));
	char *const roots[] = { root, NULL };
	FTS *tree = is_dir(dir) ? fts_open(roots, FTS_LOGICAL | FTS_NOCHDIR, by_name) : NULL;
	FTSENT *e;

	while (tree != NULL && (e = fts_read(tree)) != NULL) {
		struct span path = span_of(e->fts_path);
		if (e->fts_info != FTS_F || !span_ends_nocase(path, SPAN_LIT(".case")))
			continue;
		size_t from = strlen(dir) + 1;
		read_case(rs, e->fts_path,
			  keep_name(rs, span_sub(path, from, path.n - from - strlen(".case"))), messages);
	}
	if (tree != NULL)
		(void)fts_close(tree);
	free(root);
	for (uint32_t i = 0; i < rs->count; i++) {
		const struct requirement *same =
			rs->by_id[i]->same_as != NULL ? find(rs, rs->by_id[i]->same_as) : NULL;
		for (uint32_t k = 0; same != NULL && same != rs->by_id[i] && k < same->case_count; k++)
			add_case(rs->by_id[i], same->cases[k]);
	}
}
