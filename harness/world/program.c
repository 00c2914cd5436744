#include "harness/world/program.h"

#include "base/span.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_program(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/* "DIR/NAME", when a program is there. */
static bool find_in(struct span dir, const char *name, char *ret_path, size_t path_bytes)
{
	int n = snprintf(ret_path, path_bytes, "%.*s/%s", SPAN_FMT(dir), name);

	return n > 0 && (size_t)n < path_bytes && is_program(ret_path);
}

/* What was built together lies together. */
static bool find_beside(const char *name, char *ret_path, size_t path_bytes)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self));

	if (n <= 0 || (size_t)n == sizeof(self))
		return false;
	while (n > 0 && self[n - 1] != '/')
		n--;
	return n > 0 && find_in((struct span){ self, (size_t)n - 1 }, name, ret_path, path_bytes);
}

static bool find_on_path(const char *name, char *ret_path, size_t path_bytes)
{
	const char *list = getenv("PATH");
	struct span rest = span_of(list != NULL ? list : "/usr/local/bin:/usr/bin:/bin"), dir;
	bool more = true;

	while (more && rest.n > 0) {
		more = span_take_until(&rest, ':', &dir);
		if (!more)
			dir = rest;
		if (find_in(dir.n > 0 ? dir : SPAN_LIT("."), name, ret_path, path_bytes))
			return true;
	}
	return false;
}

int program_find(const char *usual, const char *given, char *ret_path, size_t path_bytes, struct err *reterr)
{
	const char *name = given != NULL ? given : usual;

	if (strchr(name, '/') != NULL) {
		if (is_program(name) && span_copy(span_of(name), ret_path, path_bytes))
			return 0;
		return err_set(reterr, -ENOENT, "%s: %s", name,
			       access(name, F_OK) == 0 ? "is no program" : "no such program");
	}
	if ((given == NULL && find_beside(name, ret_path, path_bytes)) ||
	    find_on_path(name, ret_path, path_bytes))
		return 0;
	return err_set(reterr, -ENOENT, "%s: no such program %son PATH; build it, or say --program PATH",
		       name, given == NULL ? "beside this one or " : "");
}
