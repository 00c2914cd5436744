#include "harness/cli/list.h"

#include "base/buf.h"
#include "base/opt.h"
#include "harness/scenario/flow.h"

#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Prints one flow; false when the file has mistakes. */
static bool list_file(const char *path)
{
	struct buf messages = { 0 };
	struct flow *f = flow_read(&(struct flow_options){ .path = path, .ret_messages = &messages });

	if (f != NULL)
		(void)printf("%-20s  %s\n", f->name, f->title);
	else
		(void)fprintf(stderr, "%s has mistakes; 'postrider lint %s' shows them\n", path, path);
	flow_free(f);
	buf_free(&messages);
	return f != NULL;
}

/* Only what flow_find would find under that name: an earlier directory hides a later one. */
static bool is_hidden(char dirs[static FLOW_DIRS_MAX][PATH_MAX], uint32_t before, const char *path)
{
	const char *file = strrchr(path, '/');

	for (uint32_t i = 0; i < before; i++) {
		char path_before[PATH_MAX + NAME_MAX];
		(void)snprintf(path_before, sizeof(path_before), "%s%s", dirs[i], file);
		if (access(path_before, F_OK) == 0)
			return true;
	}
	return false;
}

static int list_all(void)
{
	char dirs[FLOW_DIRS_MAX][PATH_MAX];
	uint32_t dir_count = flow_dirs(dirs), flow_count = 0;
	int rc = 0;

	for (uint32_t i = 0; i < dir_count; i++) {
		glob_t found = { 0 };
		char pattern[PATH_MAX + 16];
		(void)snprintf(pattern, sizeof(pattern), "%s/*.flow.yaml", dirs[i]);
		if (glob(pattern, 0, NULL, &found) == 0)
			for (size_t k = 0; k < found.gl_pathc; k++) {
				if (is_hidden(dirs, i, found.gl_pathv[k]))
					continue;
				flow_count++;
				if (!list_file(found.gl_pathv[k]))
					rc = 2;
			}
		globfree(&found);
	}
	if (flow_count > 0)
		return rc;
	(void)fprintf(stderr,
		      "postrider list: no flows in ./scenarios/flows nor where the program was installed\n");
	return 2;
}

int cli_list(int argc, char **argv)
{
	int rc = opt_parse(
		&(struct opt_command){ .name = "postrider list",
				       .purpose = "Names the flows that 'postrider run NAME' finds, with "
						  "their titles.",
				       .example = "postrider list",
				       .exit_codes = "0  done\n2  no flows, or one with mistakes" },
		argc, argv);

	return rc == OPT_GO ? list_all() : rc;
}
