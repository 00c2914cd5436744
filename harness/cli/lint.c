#include "harness/cli/lint.h"

#include "base/buf.h"
#include "base/opt.h"
#include "harness/scenario/flow.h"

#include <limits.h>

/* How many mistakes the file has. */
static uint32_t lint_file(const char *name, const char *const *sets)
{
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
		  .help = "a flow file, or the name of a flow from 'postrider list'" },
		{ 0 },
	};
	int rc = opt_parse(
		&(struct opt_command){ .name = "postrider lint",
				       .purpose = "Reads flow files and prints every mistake in them, with "
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
