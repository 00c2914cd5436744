#include "harness/cli/conform.h"

#include "base/file.h"
#include "base/loop.h"
#include "base/opt.h"
#include "base/random.h"
#include "harness/cli/case_choice.h"
#include "harness/cli/conform_print.h"
#include "harness/cli/conform_targets.h"
#include "harness/cli/result_dir.h"
#include "harness/conform/result_files.h"
#include "harness/conform/sarif.h"
#include "harness/conform/summary.h"
#include "harness/conform/waivers.h"
#include "reports/report.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_HARNESS = 4, FILE_MODE = 0644 };

enum colour_choice { COLOUR_AUTO, COLOUR_ALWAYS, COLOUR_NEVER };
static const char *const COLOURS[] = { "auto", "always", "never", NULL };
static const char *const NETWORKS[] = { "auto", "loopback", "private", NULL }; /* enum world_network */
static const char *const LEVELS[] = { "MUST", "MUST NOT", "SHOULD", "SHOULD NOT", "MAY", "IMPLIED", NULL };
static const char *const TAGS[] = { "slow", "intrusive", "alone", NULL };
static const char *const ANNOTATIONS[] = { "auto", "github", "none", NULL };
enum annotations { ANNOTATIONS_AUTO, ANNOTATIONS_GITHUB, ANNOTATIONS_NONE };
enum { ANY = 99 };

struct conform_command {
	struct opt_list names, targets;
	const char *program, *results;
	const char *junit, *tap, *sarif, *markdown, *waivers_path, *baseline_path, *rerun_path, *shard;
	uint32_t level, tag, repeat, jobs, colour, network, annotations;
	uint64_t seed;
	bool slow, strict, json, quiet, keep_world, patient, in_order, differential, allow_remote;
	struct conform_targets *judged;
	struct waivers *waivers;
	struct conform_earlier *baseline, *rerun;
	struct case_set cases;
};

static int parse(struct conform_command *c, int argc, char **argv)
{
	const struct opt options[] = {
		{ "target", OPT_LIST, &c->targets, .value = "NAME",
		  .help = "the server to judge: one of 'postrider targets', or a path; repeatable, for one "
			  "matrix "
			  "of all; 'reference' when absent" },
		{ "differential", OPT_FLAG, &c->differential,
		  .help = "prints only where targets disagree: what one keeps and another breaks" },
		{ "network", OPT_CHOICE, &c->network, .value = "KIND", .choices = NETWORKS,
		  .help = "loopback, private (namespaces, port 25), or auto: private when a target needs "
			  "it" },
		{ "allow-remote", OPT_FLAG, &c->allow_remote,
		  .help = "a server elsewhere may be judged, within the limits of its target file" },
		{ "level", OPT_CHOICE, &c->level, .value = "LEVEL",
		  .help = "only cases that judge such a requirement: MUST, SHOULD, …", .choices = LEVELS },
		{ "tag", OPT_CHOICE, &c->tag, .value = "TAG",
		  .help = "only cases with this tag: slow, intrusive or alone", .choices = TAGS },
		{ "slow", OPT_FLAG, &c->slow, .help = "cases that wait for time-outs, too" },
		{ "strict", OPT_FLAG, &c->strict, .help = "a broken SHOULD fails" },
		{ "waivers", OPT_STR, &c->waivers_path, .value = "FILE",
		  .help = "what is known to fail, why, and until when" },
		{ "baseline", OPT_STR, &c->baseline_path, .value = "FILE",
		  .help = "an earlier result.json; only what fails newly counts" },
		{ "rerun-failed", OPT_STR, &c->rerun_path, .value = "FILE",
		  .help = "only what did not pass in this result.json" },
		{ "repeat", OPT_U32, &c->repeat, .value = "N",
		  .help = "plays each case N times; different verdicts make it flaky", .min = 1,
		  .max = 1000 },
		{ "shard", OPT_STR, &c->shard, .value = "I/N", .help = "only the Ith of N parts" },
		{ "jobs", OPT_U32, &c->jobs, .value = "N",
		  .help = "how many cases at a time; 32 when absent, or what the target bears", .min = 1,
		  .max = 1000 },
		{ "seed", OPT_U64, &c->seed, .value = "N",
		  .help = "draws the order of the cases from N; random when absent", .max = UINT32_MAX },
		{ "patient", OPT_FLAG, &c->patient,
		  .help = "relays wait for replies as long as they do when nobody tells them" },
		{ "in-order", OPT_FLAG, &c->in_order, .help = "plays them by name" },
		{ "results", OPT_STR, &c->results, .value = "DIR",
		  .help = "where result directories go; 'results' when absent" },
		{ "json", OPT_FLAG, &c->json,
		  .help = "prints result.json on standard output instead of words" },
		{ "junit", OPT_STR, &c->junit, .value = "FILE", .help = "writes JUnit XML there, too" },
		{ "tap", OPT_STR, &c->tap, .value = "FILE", .help = "writes TAP there, too" },
		{ "sarif", OPT_STR, &c->sarif, .value = "FILE",
		  .help = "writes what was broken as SARIF 2.1.0, for code scanning" },
		{ "markdown", OPT_STR, &c->markdown, .value = "FILE",
		  .help = "writes a summary, such as into \"$GITHUB_STEP_SUMMARY\"" },
		{ "annotations", OPT_CHOICE, &c->annotations, .value = "KIND", .choices = ANNOTATIONS,
		  .help = "github prints workflow commands for what was broken; auto does under GitHub "
			  "Actions; "
			  "or none" },
		{ "quiet", OPT_FLAG, &c->quiet, .help = "prints only the line with the verdict" },
		{ "color", OPT_CHOICE, &c->colour, .value = "WHEN", .help = "auto, always or never",
		  .choices = COLOURS },
		{ "program", OPT_STR, &c->program, .value = "PATH",
		  .help = "the reference server to run; postriderd beside this program when absent" },
		{ "keep-world", OPT_FLAG, &c->keep_world,
		  .help = "leaves the server's data, keys and passwords in the result directory" },
		{ 0 },
	};
	const struct opt_arg args[] = {
		{ "SUITE", .ret_many = &c->names, .optional = true,
		  .help = "smtp, smtp/rfc5321/4.5.2, RFC5321-4.5.2, a whole name, or a .case file; all when "
			  "absent" },
		{ 0 },
	};
	return opt_parse(
		&(struct opt_command){
			.name = "postrider conform",
			.purpose = "Judges a server by the dialogues of the RFCs: starts it, plays cases "
				   "against it, each with mailboxes of its own, and says which requirement "
				   "it breaks, with the transcript that proves it.  Results go to "
				   "results/conform-TARGET-TIME/, or conform-TIME/ for several targets.",
			.options = options,
			.args = args,
			.example = "postrider conform\npostrider conform smtp --strict\n"
				   "postrider conform --target postfix --target exim --differential\n"
				   "postrider conform RFC1939 --repeat 5 --junit results/pop3.xml",
			.exit_codes =
				"0    every case that was judged passed\n1    a requirement was broken\n"
				"2    usage error, or a mistake in a case\n"
				"3    nothing was judged, or something could not be\n"
				"4    the harness failed\n130  interrupted" },
		argc, argv);
}

/* ---- before ---- */

static bool read_earlier(const char *path, struct conform_earlier **ret_earlier)
{
	struct err e;

	if (path == NULL)
		return true;
	*ret_earlier = conform_earlier_read(path, &e);
	if (*ret_earlier == NULL)
		(void)fprintf(stderr, "postrider conform: %s\n", e.text);
	return *ret_earlier != NULL;
}

static bool read_waivers(struct conform_command *c)
{
	struct buf messages = { 0 };

	if (c->waivers_path == NULL)
		return true;
	c->waivers = waivers_read(c->waivers_path, &messages);
	(void)fputs(buf_cstr(&messages), stderr);
	buf_free(&messages);
	return c->waivers != NULL;
}

static bool read_targets(struct conform_command *c)
{
	struct buf messages = { 0 };

	c->judged = conform_targets_read(&c->targets, c->allow_remote, &messages);
	if (c->differential && c->targets.count < 2)
		buf_add_cstr(&messages,
			     "postrider conform: --differential compares targets; name two or more\n");
	bool fine = buf_bytes(&messages) == 0;
	(void)fputs(buf_cstr(&messages), stderr);
	buf_free(&messages);
	return fine;
}

/* 0 to go on. */
static int prepare(struct conform_command *c)
{
	if (!read_targets(c) || !read_earlier(c->baseline_path, &c->baseline) ||
	    !read_earlier(c->rerun_path, &c->rerun) || !read_waivers(c))
		return OPT_EXIT_USAGE;
	return case_choose("postrider conform",
			   &(struct case_choice){ .names = &c->names,
						  .level = c->level == ANY ? NULL : LEVELS[c->level],
						  .tag = c->tag == ANY ? NULL : TAGS[c->tag],
						  .slow = c->slow,
						  .shard = c->shard,
						  .failed_in = c->rerun },
			   &c->cases);
}

/* ---- after ---- */

static bool want_colour(const struct conform_command *c, int fd)
{
	const char *no = getenv("NO_COLOR");

	if (c->colour != COLOUR_AUTO)
		return c->colour == COLOUR_ALWAYS;
	return isatty(fd) && (no == NULL || *no == '\0');
}

static bool write_one(const char *path, const struct conform_records *all, conform_output *make)
{
	struct buf text = { 0 };
	struct err e;

	if (path == NULL)
		return true;
	make(all, &text);
	int rc = file_write(path, buf_span(&text), FILE_MODE, &e);
	if (rc != 0)
		(void)fprintf(stderr, "postrider conform: %s\n", e.text);
	buf_free(&text);
	return rc == 0;
}

static bool write_all(const struct conform_command *c, const struct conform_records *all)
{
	struct err e;

	if (conform_write_files(all, &e) != 0 || report_render(all->dir, &e) != 0) {
		(void)fprintf(stderr, "postrider conform: %s\n", e.text);
		return false;
	}
	return write_one(c->junit, all, conform_junit) && write_one(c->tap, all, conform_tap) &&
	       write_one(c->sarif, all, conform_sarif) && write_one(c->markdown, all, conform_markdown);
}

static void say(const struct conform_command *c, const struct conform_records *all)
{
	struct buf text = { 0 };

	if (c->json)
		conform_json(all, &text);
	else if (c->quiet)
		conform_print_lines(all, &text);
	else if (c->differential)
		conform_print_disputes(all, want_colour(c, STDOUT_FILENO), &text);
	else
		conform_print(all, want_colour(c, STDOUT_FILENO), &text);
	struct span s = buf_span(&text);
	if (s.n > 0)
		(void)fwrite(s.p, 1, s.n, stdout);
	(void)fflush(stdout);
	buf_free(&text);
}

/* Not among JSON: the runner reads both outputs. */
static void annotate(const struct conform_command *c, const struct conform_records *all)
{
	const char *actions = getenv("GITHUB_ACTIONS");
	bool there = actions != NULL && strcmp(actions, "true") == 0;
	struct buf text = { 0 };

	if (c->annotations == ANNOTATIONS_NONE || (c->annotations == ANNOTATIONS_AUTO && !there))
		return;
	conform_github(all, &text);
	(void)fputs(buf_cstr(&text), c->json ? stderr : stdout);
	(void)fflush(stdout);
	buf_free(&text);
}

/* What requirements demand, for whoever reads the results; without the catalogue they stand by their ids. */
static struct requirements *read_catalogue(void)
{
	char dir[PATH_MAX];
	struct buf messages = { 0 };
	struct requirements *rs =
		requirements_dir("requirements", dir) ? requirements_read(dir, &messages) : NULL;

	(void)fputs(buf_cstr(&messages), stderr);
	buf_free(&messages);
	return rs;
}

static int judge(const struct conform_command *c, const char *dir)
{
	int64_t begin_ns = clock_mono_ns();
	struct conform_records all = { .dir = dir, .seed = c->seed, .started_wall_ms = clock_wall_ms() };
	int code = EXIT_HARNESS;

	if (!conform_targets_judge(
		    c->judged, &(struct conform_targets_options){ .cases = &c->cases,
								  .dir = dir,
								  .program = c->program,
								  .network = (enum world_network)c->network,
								  .keep_world = c->keep_world,
								  .patient = c->patient,
								  .at_once = c->jobs,
								  .repeat = c->repeat,
								  .seed = c->seed,
								  .shuffle = !c->in_order,
								  .strict = c->strict,
								  .waivers = c->waivers,
								  .baseline = c->baseline,
								  .progress = progress_mode_for(c->quiet) }))
		return EXIT_HARNESS;
	struct requirements *catalogue = read_catalogue();
	all.catalogue = catalogue;
	all.items = conform_targets_records(c->judged);
	all.count = conform_targets_count(c->judged);
	all.elapsed_ms = (clock_mono_ns() - begin_ns) / 1000000;
	if (write_all(c, &all)) {
		say(c, &all);
		annotate(c, &all);
		code = conform_exit_code_of_all(&all);
	}
	requirements_free(catalogue);
	return code;
}

static int run(const struct conform_command *c)
{
	char dir[PATH_MAX], what[64] = "conform";
	struct err e;

	if (conform_targets_count(c->judged) == 1)
		(void)snprintf(what, sizeof(what), "conform-%.40s", conform_targets_name(c->judged, 0));
	if (result_dir_make(c->results, what, dir, sizeof(dir), &e) != 0) {
		(void)fprintf(stderr, "postrider conform: %s\n", e.text);
		return EXIT_HARNESS;
	}
	int code = judge(c, dir);
	/* A case that cannot be read was not judged, whatever the others came to. */
	return c->cases.broken > 0 && (code == 0 || code == 3) ? OPT_EXIT_USAGE : code;
}

int cli_conform(int argc, char **argv)
{
	struct conform_command c = {
		.results = "results", .level = ANY, .tag = ANY, .repeat = 1, .seed = random_u64() % 1000000
	};
	int rc = parse(&c, argc, argv);

	if (rc == OPT_GO) {
		rc = prepare(&c);
		if (rc == 0 && !result_dir_check("postrider conform", c.results, NULL))
			rc = OPT_EXIT_USAGE;
		if (rc == 0)
			rc = run(&c);
	}
	case_set_free(&c.cases);
	conform_targets_free(c.judged);
	waivers_free(c.waivers);
	conform_earlier_free(c.baseline);
	conform_earlier_free(c.rerun);
	opt_list_free(&c.names);
	opt_list_free(&c.targets);
	return rc;
}
