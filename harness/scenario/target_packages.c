/* Which of a target's packages are there, of those that were put aside for it and of the system's. */
#include "harness/scenario/target.h"

#include "base/file.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	VERSIONS_BYTES_MAX = 256 * 1024,
	STATUS_BYTES_MAX = 64 * 1024 * 1024,
};

static bool is_dir(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Beside the program that was built (build/MODE/bin) or installed. */
bool target_tree(const char *name, char ret_dir[static PATH_MAX])
{
	static const char *const UP[] = { "../../targets", "../share/postrider/trees" };
	char program[PATH_MAX], path[2 * PATH_MAX];
	const char *given = getenv("POSTRIDER_TARGETS");
	ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 1);

	if (given != NULL) {
		(void)snprintf(path, sizeof(path), "%s/%s", given, name);
		return is_dir(path) && realpath(path, ret_dir) != NULL;
	}
	program[n > 0 ? n : 0] = '\0';
	char *slash = strrchr(program, '/');
	if (slash == NULL)
		return false;
	*slash = '\0';
	for (size_t i = 0; i < sizeof(UP) / sizeof(UP[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s/%s", program, UP[i], name);
		if (is_dir(path) && realpath(path, ret_dir) != NULL)
			return true;
	}
	return false;
}

static bool is_executable_in(const char *prefix, const char *program)
{
	static const char *const DIRS[] = { "/usr/local/sbin", "/usr/local/bin", "/usr/sbin",
					    "/usr/bin",        "/sbin",          "/bin" };
	char path[2 * PATH_MAX];

	if (program[0] == '/') {
		(void)snprintf(path, sizeof(path), "%s%s", prefix, program);
		return access(path, X_OK) == 0;
	}
	for (size_t i = 0; i < sizeof(DIRS) / sizeof(DIRS[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s%s/%s", prefix, DIRS[i], program);
		if (access(path, X_OK) == 0)
			return true;
	}
	return false;
}

static void note(struct buf *missing, const char *kind, const char *name)
{
	buf_addf(missing, "%s%s %s", buf_bytes(missing) > 0 ? ", " : "missing ", kind, name);
}

bool target_is_installed(const struct target *t, struct buf *ret_missing)
{
	char tree[PATH_MAX] = "";
	char path[2 * PATH_MAX];
	bool have_tree = target_tree(t->tree, tree);
	bool complete = true;

	for (uint32_t i = 0; i < t->npm.count; i++) {
		(void)snprintf(path, sizeof(path), "%s/node_modules/%s", tree, t->npm.items[i]);
		if (have_tree && is_dir(path))
			continue;
		note(ret_missing, "npm package", t->npm.items[i]);
		complete = false;
	}
	for (uint32_t i = 0; i < t->programs.count; i++) {
		const char *program = t->programs.items[i];
		if ((have_tree && is_executable_in(tree, program)) || is_executable_in("", program))
			continue;
		/* Programs and packages stand in the same order. */
		if (i < t->packages.count)
			note(ret_missing, "package", t->packages.items[i]);
		else
			note(ret_missing, "program", program);
		complete = false;
	}
	return complete;
}

/* ---- versions ---- */

static void add_own_version(const struct target *t, struct span name, struct span version,
			    struct buf *versions)
{
	for (uint32_t i = t->borrowed_package_count; i < t->packages.count; i++)
		if (span_eq(name, span_of(t->packages.items[i])))
			buf_addf(versions, "%.*s %.*s\n", SPAN_FMT(name), SPAN_FMT(version));
}

/* The file that setup-targets leaves has lines "Package: postfix Version: 3.7.11-0+deb12u1". */
static void add_deb_versions(const struct target *t, const char *tree, struct buf *versions)
{
	char path[2 * PATH_MAX];
	struct buf text = { 0 };
	struct span rest, line, name;
	struct err e;

	(void)snprintf(path, sizeof(path), "%s/versions", tree);
	if (file_read(path, VERSIONS_BYTES_MAX, &text, &e) != 0)
		buf_reset(&text);
	rest = buf_span(&text);
	while (span_take_until(&rest, '\n', &line))
		if (span_take_prefix_nocase(&line, SPAN_LIT("Package: ")) &&
		    span_take_until(&line, ' ', &name) &&
		    span_take_prefix_nocase(&line, SPAN_LIT("Version: ")))
			add_own_version(t, name, line, versions);
	buf_free(&text);
}

/* What the system has, as dpkg keeps it: paragraphs with lines "Package: postfix" and, below, "Version: ...". */
static void add_system_versions(const struct target *t, struct buf *versions)
{
	struct buf text = { 0 };
	struct span rest, line, name = { NULL, 0 };
	struct err e;

	if (file_read("/var/lib/dpkg/status", STATUS_BYTES_MAX, &text, &e) != 0)
		buf_reset(&text);
	rest = buf_span(&text);
	while (span_take_until(&rest, '\n', &line)) {
		if (span_take_prefix_nocase(&line, SPAN_LIT("Package: ")))
			name = line;
		else if (span_take_prefix_nocase(&line, SPAN_LIT("Version: ")))
			add_own_version(t, name, line, versions);
	}
	buf_free(&text);
}

static void add_npm_version(const char *tree, const char *name, struct buf *versions)
{
	char path[2 * PATH_MAX];
	struct buf text = { 0 };
	struct err e;

	(void)snprintf(path, sizeof(path), "%s/node_modules/%s/package.json", tree, name);
	if (file_read(path, VERSIONS_BYTES_MAX, &text, &e) == 0) {
		json_t *j = json_loadb(buf_cstr(&text), buf_bytes(&text), 0, NULL);
		const char *version = json_string_value(json_object_get(j, "version"));
		if (version != NULL)
			buf_addf(versions, "%s %s\n", name, version);
		json_decref(j);
	}
	buf_free(&text);
}

void target_versions(const struct target *t, struct buf *ret_versions)
{
	char tree[PATH_MAX];

	if (!target_tree(t->tree, tree)) {
		add_system_versions(t, ret_versions);
		return;
	}
	add_deb_versions(t, tree, ret_versions);
	for (uint32_t i = 0; i < t->npm.count; i++)
		add_npm_version(tree, t->npm.items[i], ret_versions);
}

/* ---- whether it can be started ---- */

bool target_can_start(const struct target *t, struct buf *ret_why_not)
{
	if (!target_is_installed(t, ret_why_not)) {
		buf_add_cstr(ret_why_not, "; 'make setup-targets' in the source tree fetches it");
		return false;
	}
	if (t->needs_root && geteuid() != 0) {
		buf_add_cstr(ret_why_not, "its programs change users, so it must be started by root");
		return false;
	}
	return true;
}
