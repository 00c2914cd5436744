#include "harness/cli/conform.h"

#include "base/file.h"
#include "base/loop.h"
#include "base/opt.h"
#include "base/random.h"
#include "harness/cli/case_choice.h"
#include "harness/cli/conform_print.h"
#include "harness/cli/conform_run.h"
#include "harness/cli/result_dir.h"
#include "harness/conform/record.h"
#include "harness/conform/result_files.h"
#include "harness/conform/waivers.h"
#include "harness/scenario/target.h"
#include "reports/report.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_HARNESS = 4, FILE_MODE = 0644 };

enum colour_choice { COLOUR_AUTO, COLOUR_ALWAYS, COLOUR_NEVER };
static const char *const COLOURS[] = { "auto", "always", "never", NULL };
static const char *const LEVELS[] = { "MUST", "MUST NOT", "SHOULD", "SHOULD NOT", "MAY", "IMPLIED", NULL };
static const char *const TAGS[] = { "slow", "intrusive", "alone", NULL };
enum { ANY = 99 };

struct conform_command {
	struct opt_list names;
	const char *target, *program, *results;
	const char *junit, *tap, *waivers_path, *baseline_path, *rerun_path, *shard;
	uint32_t level, tag, repeat, jobs, colour;
	uint64_t seed;
	bool slow, strict, json, quiet, keep_world, in_order;
	struct target *read;
	struct waivers *waivers;
	struct conform_earlier *baseline, *rerun;
	struct case_set cases;
};

static int parse(struct conform_command *c, int argc, char **argv)
{
	const struct opt options[] = {
		{ "target", OPT_STR, &c->target, .value = "NAME",
		  .help = "the server to judge: one of 'postrider targets' that runs on loopback, or a path; "
			  "'reference' when absent" },
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
		{ "jobs", OPT_U32, &c->jobs, .value = "N", .help = "how many cases at a time; 32 when absent",
		  .min = 1, .max = 1000 },
		{ "seed", OPT_U64, &c->seed, .value = "N",
		  .help = "draws the order of the cases from N; random when absent", .max = UINT32_MAX },
		{ "in-order", OPT_FLAG, &c->in_order, .help = "plays them by name" },
		{ "results", OPT_STR, &c->results, .value = "DIR",
		  .help = "where result directories go; 'results' when absent" },
		{ "json", OPT_FLAG, &c->json,
		  .help = "prints result.json on standard output instead of words" },
		{ "junit", OPT_STR, &c->junit, .value = "FILE", .help = "writes JUnit XML there, too" },
		{ "tap", OPT_STR, &c->tap, .value = "FILE", .help = "writes TAP there, too" },
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
				   "results/conform-TARGET-TIME/.",
			.options = options,
			.args = args,
			.example = "postrider conform\npostrider conform smtp --strict\n"
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

static bool read_target(struct conform_command *c)
{
	struct buf messages = { 0 };

	if (target_exists(c->target)) {
		c->read = target_load(c->target, &messages);
	} else {
		buf_addf(&messages,
			 "postrider conform: --target %s: there is no such target; "
			 "'postrider targets' names them\n",
			 c->target);
	}
	bool fine = buf_bytes(&messages) == 0;
	(void)fputs(buf_cstr(&messages), stderr);
	buf_free(&messages);
	return fine;
}

/* 0 to go on. */
static int prepare(struct conform_command *c)
{
	if (!read_target(c) || !read_earlier(c->baseline_path, &c->baseline) ||
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

static bool write_one(const char *path, const struct conform_record *r,
		      void (*make)(const struct conform_record *, struct buf *))
{
	struct buf text = { 0 };
	struct err e;

	if (path == NULL)
		return true;
	make(r, &text);
	int rc = file_write(path, buf_span(&text), FILE_MODE, &e);
	if (rc != 0)
		(void)fprintf(stderr, "postrider conform: %s\n", e.text);
	buf_free(&text);
	return rc == 0;
}

static bool write_all(const struct conform_command *c, const struct conform_record *r)
{
	struct err e;

	if (conform_write_files(r, &e) != 0 || report_render(r->dir, &e) != 0) {
		(void)fprintf(stderr, "postrider conform: %s\n", e.text);
		return false;
	}
	return write_one(c->junit, r, conform_junit) && write_one(c->tap, r, conform_tap);
}

static void say(const struct conform_command *c, const struct conform_record *r)
{
	struct buf text = { 0 };

	if (c->json)
		conform_json(r, &text);
	else if (c->quiet)
		conform_print_line(r, &text);
	else
		conform_print(r, want_colour(c, STDOUT_FILENO), &text);
	struct span s = buf_span(&text);
	if (s.n > 0)
		(void)fwrite(s.p, 1, s.n, stdout);
	(void)fflush(stdout);
	buf_free(&text);
}

static void mark(const struct conform_command *c, const struct waiver **waived, bool *known)
{
	for (uint32_t i = 0; i < c->cases.count; i++) {
		const char *id = c->cases.items[i]->id;
		enum conform_verdict v;
		waived[i] = waivers_find(c->waivers, id, clock_wall_ms());
		known[i] = c->baseline != NULL && conform_earlier_verdict(c->baseline, id, &v) &&
			   v == CONFORM_FAIL;
	}
}

static void on_result(void *ctx, const struct suite_result *r)
{
	conform_progress_add(ctx, r);
}

static int judge(const struct conform_command *c, struct conform_record *r)
{
	struct conform_progress progress = { .mode = progress_mode_for(c->quiet),
					     .target = r->target,
					     .total = c->cases.count };
	const struct waiver **waived = calloc(c->cases.count + 1, sizeof(struct waiver *));
	bool *known = calloc(c->cases.count + 1, sizeof(*known));
	int64_t begin_ns = clock_mono_ns();
	struct err e;
	int code = EXIT_HARNESS;

	if (waived == NULL || known == NULL)
		abort();
	mark(c, waived, known);
	struct conform_run *run = conform_run(
		&(struct conform_run_options){ .name = c->target,
					       .target = c->read,
					       .program = c->program,
					       .dir = r->dir,
					       .keep_world = c->keep_world,
					       .cases = (const struct case_file *const *)c->cases.items,
					       .case_count = c->cases.count,
					       .at_once = c->jobs,
					       .repeat = c->repeat,
					       .seed = r->seed,
					       .shuffle = !c->in_order,
					       .on_result = on_result,
					       .ctx = &progress },
		&e);
	conform_progress_end(&progress);
	if (run == NULL) {
		(void)fprintf(stderr, "postrider conform: %s\n", e.text);
		goto out;
	}
	r->results = conform_run_results(run);
	r->count = c->cases.count;
	r->interrupted = conform_run_was_interrupted(run);
	r->problem = conform_run_problem(run);
	r->deaths = conform_run_deaths(run);
	r->waived = waived;
	r->known = c->baseline != NULL ? known : NULL;
	r->elapsed_ms = (clock_mono_ns() - begin_ns) / 1000000;
	r->ended_wall_ms = clock_wall_ms();
	if (write_all(c, r)) {
		say(c, r);
		code = conform_exit_code(r);
	}
out:
	conform_run_free(run);
	free(waived);
	free(known);
	return code;
}

static int run(const struct conform_command *c)
{
	char dir[PATH_MAX], what[64];
	struct conform_record r = { .target = c->read->name,
				    .dir = dir,
				    .seed = c->seed,
				    .strict = c->strict,
				    .problem = "",
				    .started_wall_ms = clock_wall_ms() };
	struct err e;

	(void)snprintf(what, sizeof(what), "conform-%.40s", r.target);
	if (result_dir_make(c->results, what, dir, sizeof(dir), &e) != 0) {
		(void)fprintf(stderr, "postrider conform: %s\n", e.text);
		return EXIT_HARNESS;
	}
	int code = judge(c, &r);
	/* A case that cannot be read was not judged, whatever the others came to. */
	return c->cases.broken > 0 && (code == 0 || code == 3) ? OPT_EXIT_USAGE : code;
}

int cli_conform(int argc, char **argv)
{
	struct conform_command c = { .target = "reference",
				     .results = "results",
				     .level = ANY,
				     .tag = ANY,
				     .repeat = 1,
				     .seed = random_u64() % 1000000 };
	int rc = parse(&c, argc, argv);

	if (rc == OPT_GO) {
		rc = prepare(&c);
		if (rc == 0 && !result_dir_check("postrider conform", c.results, NULL))
			rc = OPT_EXIT_USAGE;
		if (rc == 0)
			rc = run(&c);
	}
	case_set_free(&c.cases);
	target_free(c.read);
	waivers_free(c.waivers);
	conform_earlier_free(c.baseline);
	conform_earlier_free(c.rerun);
	opt_list_free(&c.names);
	return rc;
}
