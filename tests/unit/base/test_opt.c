#include "base/opt.h"

#include "base/suggest.h"
#include "base/unit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char *const MODES[] = { "fast", "slow", NULL };

struct values {
	bool flag;
	const char *text;
	struct opt_list sets;
	uint32_t n;
	int64_t wait_ms;
	uint64_t size_bytes;
	uint32_t mode;
	const char *first;
	struct opt_list rest;
};

static int parse(struct values *v, FILE *help, int argc, const char *const *words)
{
	const struct opt options[] = {
		{ "flag", OPT_FLAG, &v->flag, .help = "a switch" },
		{ "text", OPT_STR, &v->text, .value = "TEXT", .help = "a text" },
		{ "set", OPT_LIST, &v->sets, .value = "NAME=VALUE", .help = "may come again" },
		{ "count", OPT_U32, &v->n, .value = "N", .help = "a number", .min = 1, .max = 9 },
		{ "wait", OPT_DURATION_MS, &v->wait_ms, .value = "TIME", .help = "a time", .max = 60000 },
		{ "size", OPT_SIZE_BYTES, &v->size_bytes, .value = "SIZE", .help = "a size" },
		{ "mode", OPT_CHOICE, &v->mode, .value = "MODE", .help = "fast or slow", .choices = MODES },
		{ 0 },
	};
	const struct opt_arg args[] = {
		{ "FIRST", .ret_one = &v->first, .help = "the first" },
		{ "REST", .ret_many = &v->rest, .optional = true, .help = "all others" },
		{ 0 },
	};
	const struct opt_command c = {
		.name = "prog do",
		.purpose = "Does something that takes more than eighty columns of text to say, "
			   "so that it is wrapped.",
		.options = options,
		.args = args,
		.example = "prog do --flag x"
	};
	char *argv[32];

	if (help != NULL) {
		opt_help(&c, help);
		return 0;
	}
	for (int i = 0; i < argc; i++)
		argv[i] = strdup(words[i]);
	int rc = opt_parse(&c, argc, argv);
	if (v->first != NULL)
		v->first = strcmp(v->first, "x") == 0 ? "x" : "other";
	if (v->text != NULL)
		v->text = strcmp(v->text, "a=b") == 0 ? "a=b" : "other";
	for (int i = 0; i < argc; i++)
		free(argv[i]);
	return rc;
}

#define PARSE(v, ...)                                                                                \
	parse((v), NULL, (int)(sizeof((const char *const[]){ "do", __VA_ARGS__ }) / sizeof(char *)), \
	      (const char *const[]){ "do", __VA_ARGS__ })

static void options_and_arguments_may_mix(void **state)
{
	(void)state;
	struct values v = { 0 };

	assert_int_equal(PARSE(&v, "--flag", "x", "--text=a=b", "--set", "p=1", "y", "--set=q=2", "--count",
			       "9", "--wait", "1.5s", "--size", "2KiB", "--mode", "slow", "--"),
			 OPT_GO);
	assert_true(v.flag);
	assert_string_equal(v.text, "a=b");
	assert_int_equal(v.sets.count, 2);
	assert_null(v.sets.items[2]);
	assert_int_equal(v.n, 9);
	assert_int_equal(v.wait_ms, 1500);
	assert_int_equal(v.size_bytes, 2048);
	assert_int_equal(v.mode, 1);
	assert_string_equal(v.first, "x");
	assert_int_equal(v.rest.count, 1);
	opt_list_free(&v.sets);
	opt_list_free(&v.rest);
}

static void after_two_dashes_everything_is_an_argument(void **state)
{
	(void)state;
	struct values v = { 0 };

	assert_int_equal(PARSE(&v, "--", "x", "--flag"), OPT_GO);
	assert_false(v.flag);
	assert_int_equal(v.rest.count, 1);
	opt_list_free(&v.rest);
}

static void what_is_absent_is_left_alone(void **state)
{
	(void)state;
	struct values v = { .n = 5, .wait_ms = 7 };

	assert_int_equal(PARSE(&v, "x"), OPT_GO);
	assert_int_equal(v.n, 5);
	assert_int_equal(v.wait_ms, 7);
	assert_null(v.text);
}

static const struct misuse {
	const char *name;
	const char *words[3];
	int count;
} MISUSES[] = {
	{ "unknown option", { "x", "--flga" }, 2 },
	{ "unknown short option", { "x", "-v" }, 2 },
	{ "flag with a value", { "x", "--flag=1" }, 2 },
	{ "value missing", { "x", "--text" }, 2 },
	{ "number too small", { "x", "--count", "0" }, 3 },
	{ "number too large", { "x", "--count", "10" }, 3 },
	{ "no number", { "x", "--count", "1x" }, 3 },
	{ "time without unit", { "x", "--wait", "10" }, 3 },
	{ "time too long", { "x", "--wait", "2m" }, 3 },
	{ "unknown size", { "x", "--size", "10MB" }, 3 },
	{ "unknown choice", { "x", "--mode", "medium" }, 3 },
	{ "argument missing", { "--flag" }, 1 },
};

/* Runs with stderr in a file, returns its text. */
static char *said_on_stderr(const struct misuse *m, int *ret_rc)
{
	static char text[1024];
	FILE *file = tmpfile();
	int saved = dup(2);
	const char *words[4] = { "do" };
	struct values v = { 0 };

	assert_non_null(file);
	for (int i = 0; i < m->count; i++)
		words[i + 1] = m->words[i];
	assert_int_equal(dup2(fileno(file), 2), 2);
	*ret_rc = parse(&v, NULL, m->count + 1, words);
	assert_int_equal(dup2(saved, 2), 2);
	(void)close(saved);
	rewind(file);
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	(void)fclose(file);
	opt_list_free(&v.rest);
	return text;
}

static void misuse_exits_with_2_and_says_what_was_expected(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(MISUSES) / sizeof(MISUSES[0]); i++) {
		int rc = 0;
		const char *text = said_on_stderr(&MISUSES[i], &rc);
		if (rc != 2 || strncmp(text, "prog do: ", 9) != 0 ||
		    strstr(text, "Try 'prog do --help'") == NULL)
			fail_msg("%s: %d %s", MISUSES[i].name, rc, text);
	}
	int rc;
	assert_non_null(strstr(said_on_stderr(&MISUSES[0], &rc), "did you mean --flag?"));
	assert_non_null(strstr(said_on_stderr(&MISUSES[5], &rc), "from 1 to 9"));
	assert_non_null(strstr(said_on_stderr(&MISUSES[10], &rc), "one of fast, slow"));
}

static void help_shows_usage_purpose_options_example_and_exit_codes(void **state)
{
	(void)state;
	char text[4096];
	FILE *file = tmpfile();
	struct values v = { 0 };

	assert_non_null(file);
	(void)parse(&v, file, 0, NULL);
	rewind(file);
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	(void)fclose(file);
	static const char *const PARTS[] = { "usage: prog do [OPTION…] FIRST [REST…]\n",
					     "Does something",
					     "  --set NAME=VALUE        may come again\n",
					     "-h, --help",
					     "example:\n  prog do --flag x\n",
					     "exit codes:\n  0  done\n" };
	for (size_t i = 0; i < sizeof(PARTS) / sizeof(PARTS[0]); i++)
		if (strstr(text, PARTS[i]) == NULL)
			fail_msg("no \"%s\" in:\n%s", PARTS[i], text);
	for (const char *line = text; *line != '\0';) {
		size_t n = strcspn(line, "\n");
		assert_true(n <= 84); /* bytes; the ellipsis has three */
		line += n + (line[n] == '\n');
	}
}

static int answer_7(int argc, char **argv)
{
	(void)argv;
	return argc == 1 ? 7 : 8;
}

static void a_verb_is_found_and_a_misspelt_one_exits_with_2(void **state)
{
	(void)state;
	const struct opt_verb verbs[] = { { "go", answer_7, "goes" }, { 0 } };
	char program[] = "prog", go[] = "go", og[] = "og";
	char *good[] = { program, go, NULL };
	char *bad[] = { program, og, NULL };

	assert_int_equal(opt_dispatch("prog", "Goes.", verbs, 2, good), 7);
	assert_int_equal(opt_dispatch("prog", "Goes.", verbs, 2, bad), 2);
	assert_int_equal(opt_dispatch("prog", "Goes.", verbs, 1, bad), 2);
}

static const struct duration_row {
	const char *text;
	bool good;
	int64_t ms;
	const char *back;
} DURATIONS[] = {
	{ "0", true, 0, "0s" },          { "500ms", true, 500, "500ms" },
	{ "2000us", true, 2, "2ms" },    { "1.5s", true, 1500, "1500ms" },
	{ "30m", true, 1800000, "30m" }, { "90m", true, 5400000, "90m" },
	{ "5d", true, 432000000, "5d" }, { "0.25ms", false, 0, NULL },
	{ "1.s", false, 0, NULL },       { ".5s", false, 0, NULL },
	{ "1.5.5s", false, 0, NULL },    { "10", false, 0, NULL },
	{ "", false, 0, NULL },          { "s", false, 0, NULL },
	{ "-1s", false, 0, NULL },       { "1 s", false, 0, NULL },
	{ "1S", false, 0, NULL },        { "999999999999999999d", false, 0, NULL },
};

static void durations_are_exact_or_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(DURATIONS) / sizeof(DURATIONS[0]); i++) {
		const struct duration_row *r = &DURATIONS[i];
		int64_t ms = -1;
		char back[24];
		bool good = unit_parse_duration_ms(span_of(r->text), &ms);
		if (good != r->good || ms != (r->good ? r->ms : -1))
			fail_msg("\"%s\": %d %lld", r->text, good, (long long)ms);
		if (good)
			assert_string_equal(unit_format_duration_ms(ms, back), r->back);
	}
}

static const struct size_row {
	const char *text;
	bool good;
	uint64_t bytes;
	const char *back;
} SIZES[] = {
	{ "0", true, 0, "0B" },
	{ "4096", true, 4096, "4KiB" },
	{ "10MiB", true, 10485760, "10MiB" },
	{ "100B", true, 100, "100B" },
	{ "1000B", true, 1000, "1000B" },
	{ "10MB", false, 0, NULL },
	{ "10kib", false, 0, NULL },
	{ "1.5KiB", false, 0, NULL },
	{ "99999999TiB", false, 0, NULL },
	{ "18446744073709551616", false, 0, NULL },
};

static void sizes_are_exact_or_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(SIZES) / sizeof(SIZES[0]); i++) {
		const struct size_row *r = &SIZES[i];
		uint64_t bytes = 77;
		char back[24];
		bool good = unit_parse_size_bytes(span_of(r->text), &bytes);
		if (good != r->good || bytes != (r->good ? r->bytes : 77))
			fail_msg("\"%s\": %d", r->text, good);
		if (good)
			assert_string_equal(unit_format_size_bytes(bytes, back), r->back);
	}
}

static void suggestions_are_near_or_none(void **state)
{
	(void)state;
	static const char *const NAMES[] = { "retry", "retrieve", "hosts", "traffic" };

	assert_string_equal(suggest_name("retyr", NAMES, 4), "retry");
	assert_string_equal(suggest_name("host", NAMES, 4), "hosts");
	assert_string_equal(suggest_name("trafic", NAMES, 4), "traffic");
	assert_null(suggest_name("zebra", NAMES, 4));
	assert_null(suggest_name("", NAMES, 4));
	assert_null(suggest_name("x", NAMES, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_and_arguments_may_mix),
		cmocka_unit_test(after_two_dashes_everything_is_an_argument),
		cmocka_unit_test(what_is_absent_is_left_alone),
		cmocka_unit_test(misuse_exits_with_2_and_says_what_was_expected),
		cmocka_unit_test(help_shows_usage_purpose_options_example_and_exit_codes),
		cmocka_unit_test(a_verb_is_found_and_a_misspelt_one_exits_with_2),
		cmocka_unit_test(durations_are_exact_or_refused),
		cmocka_unit_test(sizes_are_exact_or_refused),
		cmocka_unit_test(suggestions_are_near_or_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
