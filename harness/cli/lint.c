#include "harness/cli/lint.h"

#include "base/buf.h"
#include "base/opt.h"
#include "harness/scenario/case.h"
#include "harness/scenario/flow.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

/* Below a folder "cases", its place is its name. */
static const char *case_id(const char *path, char id[static PATH_MAX])
{
	const char *at = strstr(path, "scenarios/cases/");
	struct span below = span_of(at != NULL ? at + strlen("scenarios/cases/") : "");

	if (at == NULL)
		return NULL;
	below.n -= strlen(".case");
	return span_copy(below, id, PATH_MAX) ? id : NULL;
}

static uint32_t lint_case(const char *path)
{
	char id[PATH_MAX];
	struct buf messages = { 0 };
	uint32_t count = 0;

	case_free(case_read(&(struct case_options){ .path = path,
						    .id = case_id(path, id),
						    .ret_messages = &messages,
						    .ret_error_count = &count }));
	(void)fputs(buf_cstr(&messages), stderr);
	buf_free(&messages);
	return count;
}

/* How many mistakes the file has. */
static uint32_t lint_file(const char *name, const char *const *sets)
{
	if (span_ends_nocase(span_of(name), SPAN_LIT(".case")))
		return lint_case(name);
	char path[PATH_MAX];
	struct buf messages = { 0 };
	uint32_t count = 0;

	if (!flow_find(name, path, sizeof(path)))
		(void)snprintf(path, sizeof(path), "%s", name); /* The reader says why it cannot be read. */
	flow_free(flow_read(&(struct flow_options){
		.path = path, .sets = sets, .ret_messages = &messages, .ret_error_count = &count }));
	(void)fputs(buf_cstr(&messages), stderr);
	buf_free(&messages);
	return count;
}

int cli_lint(int argc, char **argv)
{
	struct opt_list files = { 0 }, sets = { 0 };
	const struct opt options[] = {
		{ "set", OPT_LIST, &sets, .value = "NAME=VALUE",
		  .help = "replaces ${NAME} in the files; repeatable" },
		{ 0 },
	};
	const struct opt_arg args[] = {
		{ "FILE", .ret_many = &files,
		  .help = "a .case file, a flow file, or the name of a flow from 'postrider list'" },
		{ 0 },
	};
	int rc = opt_parse(
		&(struct opt_command){ .name = "postrider lint",
				       .purpose =
					       "Reads flows and cases and prints every mistake in them, with "
					       "line, column and a caret.  Starts nothing.",
				       .options = options,
				       .args = args,
				       .example = "postrider lint scenarios/flows/*.flow.yaml",
				       .exit_codes = "0  no mistakes\n2  mistakes, or usage error" },
		argc, argv);
	uint64_t mistakes = 0;

	if (rc == OPT_GO) {
		for (uint32_t i = 0; i < files.count; i++)
			mistakes += lint_file(files.items[i], sets.items);
		if (mistakes > 0)
			(void)fprintf(stderr, "%llu mistake%s\n", (unsigned long long)mistakes,
				      mistakes == 1 ? "" : "s");
		rc = mistakes > 0 ? 2 : 0;
	}
	opt_list_free(&files);
	opt_list_free(&sets);
	return rc;
}
