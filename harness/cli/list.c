#include "harness/cli/list.h"

#include "base/buf.h"
#include "base/opt.h"
#include "base/suggest.h"
#include "harness/cli/list_requirements.h"
#include "harness/scenario/find.h"
#include "harness/scenario/flow.h"
#include "harness/scenario/requirement.h"

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
static bool is_hidden(char dirs[static SCENARIO_DIRS_MAX][PATH_MAX], uint32_t before, const char *path)
{
	struct buf other = { 0 };
	bool hidden = false;

	for (uint32_t i = 0; i < before && !hidden; i++) {
		buf_reset(&other);
		buf_addf(&other, "%s%s", dirs[i], strrchr(path, '/'));
		hidden = access(buf_cstr(&other), F_OK) == 0;
	}
	buf_free(&other);
	return hidden;
}

/* Adds to *flow_count; false when a flow has mistakes. */
static bool list_dir(char dirs[static SCENARIO_DIRS_MAX][PATH_MAX], uint32_t index, uint32_t *flow_count)
{
	glob_t found = { 0 };
	struct buf pattern = { 0 };
	bool good = true;

	buf_addf(&pattern, "%s/*.flow.yaml", dirs[index]);
	if (glob(buf_cstr(&pattern), 0, NULL, &found) == 0) {
		for (size_t i = 0; i < found.gl_pathc; i++) {
			if (is_hidden(dirs, index, found.gl_pathv[i]))
				continue;
			(*flow_count)++;
			good = list_file(found.gl_pathv[i]) && good;
		}
	}
	globfree(&found);
	buf_free(&pattern);
	return good;
}

static const char SUFFIX[] = ".flow.yaml";

/* "…/three-steps.flow.yaml" becomes "three-steps", in place. */
static const char *name_in(char *path)
{
	size_t n = strlen(path);

	path[n - (sizeof(SUFFIX) - 1)] = '\0';
	return strrchr(path, '/') + 1;
}

bool list_nearest(const char *given, char *ret_name, size_t name_bytes)
{
	char dirs[SCENARIO_DIRS_MAX][PATH_MAX];
	uint32_t dir_count = scenario_dirs("flows", dirs);
	bool any = false;

	for (uint32_t d = 0; d < dir_count && !any; d++) {
		glob_t found = { 0 };
		struct buf pattern = { 0 };
		buf_addf(&pattern, "%s/*%s", dirs[d], SUFFIX);
		size_t count = glob(buf_cstr(&pattern), 0, NULL, &found) == 0 ? found.gl_pathc : 0;
		const char **names = calloc(count + 1, sizeof(*names));
		if (names == NULL)
			abort();
		for (size_t i = 0; i < count; i++)
			names[i] = name_in(found.gl_pathv[i]);
		const char *near = suggest_name(given, names, count);
		any = near != NULL && span_copy(span_of(near), ret_name, name_bytes);
		free(names);
		globfree(&found);
		buf_free(&pattern);
	}
	return any;
}

static int list_all(void)
{
	char dirs[SCENARIO_DIRS_MAX][PATH_MAX];
	uint32_t dir_count = scenario_dirs("flows", dirs), flow_count = 0;
	bool good = true;

	for (uint32_t i = 0; i < dir_count; i++)
		good = list_dir(dirs, i, &flow_count) && good;
	if (flow_count > 0)
		return good ? 0 : 2;
	(void)fprintf(stderr,
		      "postrider list: no flows in ./scenarios/flows nor where the program was installed\n");
	return 2;
}

int cli_list(int argc, char **argv)
{
	bool requirements = false;
	struct list_filter f = { .level = LIST_ANY, .bound = LIST_ANY };
	const struct opt options[] = {
		{ "requirements", OPT_FLAG, &requirements,
		  .help = "what RFCs demand instead, and the cases that judge it" },
		{ "rfc", OPT_U32, &f.rfc, .value = "N", .help = "only those of RFC N", .min = 1,
		  .max = UINT16_MAX },
		{ "section", OPT_STR, &f.section, .value = "S",
		  .help = "only those of section S and below it" },
		{ "level", OPT_CHOICE, &f.level, .value = "LEVEL", .help = "only those of this level",
		  .choices = REQUIREMENT_LEVELS },
		{ "binds", OPT_CHOICE, &f.bound, .value = "WHO",
		  .help = "only those that bind server, client, …", .choices = REQUIREMENT_BOUND },
		{ "gaps", OPT_FLAG, &f.gaps, .help = "only what could be tested and no case judges" },
		{ 0 },
	};
	int rc = opt_parse(
		&(struct opt_command){ .name = "postrider list",
				       .purpose = "Names the flows that 'postrider run NAME' finds, "
						  "with their titles; or the requirements that "
						  "cases judge.",
				       .options = options,
				       .example = "postrider list\n"
						  "postrider list --requirements --rfc 5321 "
						  "--section 4.5.2",
				       .exit_codes = "0  done\n2  nothing found, or something with "
						     "mistakes" },
		argc, argv);

	if (rc != OPT_GO)
		return rc;
	if (requirements)
		return list_requirements(&f);
	if (f.rfc != 0 || f.section != NULL || f.level != LIST_ANY || f.bound != LIST_ANY || f.gaps) {
		(void)fprintf(stderr,
			      "postrider list: --rfc, --section, --level, --binds and --gaps choose among "
			      "--requirements\n");
		return OPT_EXIT_USAGE;
	}
	return list_all();
}
