#include "harness/cli/lint.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/opt.h"
#include "harness/scenario/case.h"
#include "harness/scenario/flow.h"
#include "harness/scenario/flow_target.h"
#include "harness/scenario/target.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

enum { LINT_BYTES_MAX = 1024 * 1024 };

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

static uint32_t lint_flow(const char *path, const char *const *sets, struct buf *messages)
{
	uint32_t count = 0;
	struct flow *f = flow_read(&(struct flow_options){
		.path = path, .sets = sets, .ret_messages = messages, .ret_error_count = &count });

	if (f != NULL && !flow_set_targets(f, NULL, messages))
		count++;
	flow_free(f);
	return count;
}

/* Its first key says what a file is. */
static bool is_target(const char *path)
{
	struct buf text = { 0 };
	struct err err;
	bool is = false;

	if (file_read(path, LINT_BYTES_MAX, &text, &err) == 0) {
		struct span rest = buf_span(&text), line;
		while (!is && span_take_until(&rest, '\n', &line) &&
		       (span_trim(line).n == 0 || line.p[0] == '#' ||
			span_starts_nocase(line, SPAN_LIT("target:"))))
			is = span_starts_nocase(line, SPAN_LIT("target:"));
	}
	buf_free(&text);
	return is;
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
	if (is_target(path))
		target_free(target_read(&(struct target_options){
			.path = path, .ret_messages = &messages, .ret_error_count = &count }));
	else
		count = lint_flow(path, sets, &messages);
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
		  .help = "a flow, .case or target file, or the name of a flow from 'postrider list'" },
		{ 0 },
	};
	int rc = opt_parse(
		&(struct opt_command){
			.name = "postrider lint",
			.purpose = "Reads flows, cases and targets and prints every mistake in them, with "
				   "line, column and a caret.  Starts nothing.",
			.options = options,
			.args = args,
			.example = "postrider lint scenarios/flows/*.flow.yaml scenarios/targets/*.yaml",
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
