#include "harness/cli/run.h"

#include "base/file.h"
#include "base/loop.h"
#include "base/opt.h"
#include "base/yaml.h"
#include "harness/cli/list.h"
#include "harness/cli/result_dir.h"
#include "harness/cli/run_flow.h"
#include "harness/judge/result.h"
#include "harness/judge/verdict.h"
#include "harness/scenario/flow_target.h"
#include "harness/world/program.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	EXIT_NOTHING_JUDGED = 3,
	EXIT_HARNESS = 4,
	EXIT_INTERRUPTED = 130,
	FILE_MODE = 0644,
};

enum colour_choice { COLOUR_AUTO, COLOUR_ALWAYS, COLOUR_NEVER };

struct run_command {
	struct opt_list names;
	struct opt_list sets;
	struct opt_list targets;
	uint32_t network;
	uint64_t seed;
	const char *results;
	const char *program;
	const char *junit;
	bool keep_world;
	bool allow_remote;
	bool show_secrets;
	bool quiet;
	bool json;
	uint32_t colour;
	struct flow **flows;
};

/* ---- reading ---- */

static int parse(struct run_command *c, int argc, char **argv)
{
	static const char *const colours[] = { "auto", "always", "never", NULL };
	static const char *const networks[] = { "auto", "loopback", "private",
						NULL }; /* enum world_network */
	const struct opt options[] = {
		{ "set", OPT_LIST, &c->sets, .value = "NAME=VALUE",
		  .help = "replaces ${NAME} in the flow; repeatable" },
		{ "seed", OPT_U64, &c->seed, .value = "N",
		  .help = "makes content and schedule from N instead of the flow's seed" },
		{ "target", OPT_LIST, &c->targets, .value = "[HOST=]NAME",
		  .help = "the kind of server to run on a host, or on all; repeatable; see 'postrider "
			  "targets'" },
		{ "network", OPT_CHOICE, &c->network, .value = "KIND", .choices = networks,
		  .help = "loopback, private (namespaces, port 25), or auto: private when a target needs "
			  "it" },
		{ "results", OPT_STR, &c->results, .value = "DIR",
		  .help = "where result directories go; 'results' when absent" },
		{ "junit", OPT_STR, &c->junit, .value = "FILE",
		  .help = "writes JUnit XML, one suite a flow" },
		{ "json", OPT_FLAG, &c->json,
		  .help = "prints result.json on standard output instead of words" },
		{ "quiet", OPT_FLAG, &c->quiet, .help = "prints only the line with the verdict" },
		{ "color", OPT_CHOICE, &c->colour, .value = "WHEN", .help = "auto, always or never",
		  .choices = colours },
		{ "program", OPT_STR, &c->program, .value = "PATH",
		  .help = "the reference server to run; postriderd beside this program when absent" },
		{ "allow-remote", OPT_FLAG, &c->allow_remote,
		  .help = "lets mail go to servers elsewhere, as far as their target file says" },
		{ "show-secrets", OPT_FLAG, &c->show_secrets,
		  .help = "does not take passwords out of what the terminal shows; files never have them" },
		{ "keep-world", OPT_FLAG, &c->keep_world,
		  .help = "leaves the servers' data, keys and passwords in the result directory" },
		{ 0 },
	};
	const struct opt_arg args[] = {
		{ "FLOW", .ret_many = &c->names, .help = "a flow file, or a name from 'postrider list'" },
		{ 0 },
	};
	return opt_parse(
		&(struct opt_command){
			.name = "postrider run",
			.purpose = "Builds the world of each flow on 127.0.0.0/8 or in a private network, "
				   "starts "
				   "its servers, sends its traffic, "
				   "breaks what the flow says, retrieves the mail, and judges from the "
				   "ledger of every "
				   "message whether the promise was kept.  Results go to results/FLOW-TIME/, "
				   "and "
				   "results/latest points at the last.",
			.options = options,
			.args = args,
			.example = "postrider run three-steps\npostrider run next-hop-down --set rate=200/s "
				   "--seed 7",
			.exit_codes =
				"0    every promise was kept\n1    a promise or an expectation was broken\n"
				"2    usage error, a mistake in a flow, no program to run or no place for "
				"results: nothing was started\n"
				"3    a run was not valid, or judged nothing\n4    the harness failed\n"
				"130  interrupted; the report is marked" },
		argc, argv);
}

/* True when one of the options was given; the parser leaves an absent one alone, also when 0 would be a seed. */
static bool was_given(int argc, char **argv, const char *name)
{
	size_t n = strlen(name);

	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (strncmp(argv[i], name, n) == 0 && (argv[i][n] == '\0' || argv[i][n] == '='))
			return true;
	return false;
}

static void print_unknown(const char *name)
{
	char near[PATH_MAX];

	(void)fprintf(stderr, "postrider run: %s: no such flow", name);
	if (list_nearest(name, near, sizeof(near)))
		(void)fprintf(stderr, "; did you mean \"%s\"?\n", near);
	else
		(void)fputs("; 'postrider list' names them\n", stderr);
}

/* A --set that none of the flows asks for is a slip of the pen, and the run would not be what was wanted. */
static bool sets_are_used(const struct run_command *c)
{
	bool fine = true;

	for (uint32_t i = 0; i < c->sets.count; i++) {
		char name[256];
		struct span set = span_of(c->sets.items[i]);
		bool used = !span_copy(span_sub(set, 0, span_find(set, '=')), name, sizeof(name));
		for (uint32_t k = 0; k < c->names.count; k++)
			used = used || yaml_uses(c->flows[k]->yaml, name);
		if (!used)
			(void)fprintf(stderr, "postrider run: --set %s: no flow here has ${%s}\n",
				      c->sets.items[i], name);
		fine = fine && used;
	}
	return fine;
}

static bool may_go_there(const struct run_command *c)
{
	struct buf messages = { 0 };
	bool fine = true;

	for (uint32_t i = 0; i < c->names.count; i++)
		fine = flow_check_remote(c->flows[i], c->allow_remote, &messages) && fine;
	if (c->show_secrets && isatty(STDOUT_FILENO) == 0) {
		buf_add_cstr(
			&messages,
			"postrider run: --show-secrets is for a terminal, and the output goes elsewhere\n");
		fine = false;
	}
	(void)fputs(buf_cstr(&messages), stderr);
	buf_free(&messages);
	return fine;
}

/* What stands on a command line is seen by every user of the machine. */
static bool sets_have_no_password(const struct run_command *c)
{
	bool fine = true;

	for (uint32_t i = 0; i < c->sets.count; i++) {
		struct span value = span_of(c->sets.items[i]), name;
		(void)span_take_until(&value, '=', &name);
		for (uint32_t k = 0; k < c->names.count && fine; k++)
			fine = value.n == 0 || !flow_has_password(c->flows[k], value);
		if (!fine)
			(void)fprintf(stderr,
				      "postrider run: --set %.*s: a password on the command line can be seen "
				      "by every "
				      "user; write it into the flow\n",
				      SPAN_FMT(name));
	}
	return fine;
}

/* Every flow, and every mistake in them, before anything starts. */
static bool read_flows(struct run_command *c)
{
	struct buf messages = { 0 };
	uint32_t mistakes = 0;
	bool fine = true;

	c->flows = calloc(c->names.count + 1, sizeof(struct flow *));
	if (c->flows == NULL)
		abort();
	for (uint32_t i = 0; i < c->names.count; i++) {
		char path[PATH_MAX];
		if (!flow_find(c->names.items[i], path, sizeof(path))) {
			print_unknown(c->names.items[i]);
			fine = false;
			continue;
		}
		c->flows[i] = flow_read(&(struct flow_options){ .path = path,
								.sets = c->sets.items,
								.ret_messages = &messages,
								.ret_error_count = &mistakes });
		if (c->flows[i] != NULL)
			fine = flow_set_targets(c->flows[i], c->targets.items, &messages) && fine;
		fine = fine && c->flows[i] != NULL;
	}
	(void)fputs(buf_cstr(&messages), stderr);
	buf_free(&messages);
	return fine && sets_are_used(c) && sets_have_no_password(c) && may_go_there(c);
}

/* A machine that lacks a server proves nothing about it. */
static bool can_start(const struct run_command *c)
{
	struct buf messages = { 0 };
	bool fine = true;

	for (uint32_t i = 0; i < c->names.count; i++)
		fine = flow_can_start(c->flows[i], &messages) && fine;
	(void)fputs(buf_cstr(&messages), stderr);
	buf_free(&messages);
	return fine;
}

/* ---- what would stop a run, found before it begins ---- */

/* Only the reference server is a program that --program can name. */
static bool needs_program(const struct flow *f)
{
	for (uint32_t i = 0; i < f->host_count; i++)
		if (strcmp(f->hosts[i].target, "reference") == 0)
			return true;
	return false;
}

static bool programs_are_there(const struct run_command *c)
{
	char path[PATH_MAX];
	struct err e;

	for (uint32_t i = 0; i < c->names.count; i++) {
		if (needs_program(c->flows[i]) &&
		    program_find("postriderd", c->program, path, sizeof(path), &e) != 0) {
			(void)fprintf(stderr, "postrider run: %s\n", e.text);
			return false;
		}
	}
	return true;
}

/* ---- running ---- */

static bool want_colour(const struct run_command *c, int fd)
{
	const char *no = getenv("NO_COLOR");

	if (c->colour != COLOUR_AUTO)
		return c->colour == COLOUR_ALWAYS;
	return isatty(fd) && (no == NULL || *no == '\0');
}

static void print_outcome(const struct run_command *c, struct run_outcome *o)
{
	if (c->json)
		(void)fputs(buf_cstr(&o->json), stdout);
	else if (c->quiet)
		(void)fputs(buf_cstr(&o->line), stdout);
	else
		(void)fputs(buf_cstr(&o->text), stdout);
	(void)fflush(stdout);
}

static int run_one(const struct run_command *c, const struct flow *f, bool seed_given, struct buf *junit)
{
	char dir[PATH_MAX];
	struct run_outcome outcome = { 0 };
	struct err e;
	struct run_options o = {
		.flow = f,
		.seed = seed_given ? c->seed : f->seed,
		.sets = c->sets.items,
		.dir = dir,
		.program = c->program,
		.network = (enum world_network)c->network,
		.show_secrets = c->show_secrets,
		.keep_world = c->keep_world,
		.progress = progress_mode_for(c->quiet),
		.colour = want_colour(c, STDOUT_FILENO) && !c->json,
	};

	int rc = result_dir_make(c->results, f->name, dir, sizeof(dir), &e);
	if (rc == 0)
		rc = run_flow(&o, &outcome, &e);
	if (rc != 0) {
		(void)fprintf(stderr, "postrider run: %s: %s\n", f->name, e.text);
		return EXIT_HARNESS;
	}
	print_outcome(c, &outcome);
	buf_add(junit, buf_span(&outcome.junit));
	int code = verdict_exit_code(outcome.verdict);
	run_outcome_free(&outcome);
	return code;
}

static int write_junit(const char *path, struct span suites)
{
	struct buf xml = { 0 };
	struct err e;

	result_junit_begin(&xml);
	buf_add(&xml, suites);
	result_junit_end(&xml);
	int rc = file_write(path, buf_span(&xml), FILE_MODE, &e);
	buf_free(&xml);
	if (rc == 0)
		return 0;
	(void)fprintf(stderr, "postrider run: %s\n", e.text);
	return EXIT_HARNESS;
}

static int run_all(const struct run_command *c, bool seed_given)
{
	struct buf junit = { 0 };
	int code = 0;

	for (uint32_t i = 0; i < c->names.count && code != EXIT_INTERRUPTED; i++)
		code = exit_code_worse(code, run_one(c, c->flows[i], seed_given, &junit));
	if (c->junit != NULL)
		code = exit_code_worse(code, write_junit(c->junit, buf_span(&junit)));
	buf_free(&junit);
	return code;
}

int cli_run(int argc, char **argv)
{
	struct run_command c = { .results = "results" };
	int rc = parse(&c, argc, argv);

	if (rc == OPT_GO && !(read_flows(&c) && programs_are_there(&c)))
		rc = OPT_EXIT_USAGE;
	if (rc == OPT_GO && !can_start(&c))
		rc = EXIT_NOTHING_JUDGED;
	if (rc == OPT_GO && !result_dir_check("postrider run", c.results, c.junit))
		rc = OPT_EXIT_USAGE;
	if (rc == OPT_GO)
		rc = run_all(&c, was_given(argc, argv, "--seed"));
	for (uint32_t i = 0; c.flows != NULL && i < c.names.count; i++)
		flow_free(c.flows[i]);
	free(c.flows);
	opt_list_free(&c.names);
	opt_list_free(&c.sets);
	opt_list_free(&c.targets);
	return rc;
}
