#include "base/opt.h"

#include "base/span.h"
#include "base/suggest.h"
#include "base/unit.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
	NAMES_MAX = 64,
	HELP_COLUMN = 26,
	LINE_COLUMNS = 80,
};

static const char USUAL_EXIT_CODES[] = "0  done\n2  usage error";

static int complain(const struct opt_command *c)
{
	(void)fprintf(stderr, "Try '%s --help'.\n", c->name);
	return OPT_EXIT_USAGE;
}

/* ---- lists ---- */

static void list_add(struct opt_list *l, const char *item)
{
	const char **more = realloc(l->items, (l->count + 2) * sizeof(*more));

	if (more == NULL)
		abort();
	l->items = more;
	l->items[l->count++] = item;
	l->items[l->count] = NULL;
}

void opt_list_free(struct opt_list *l)
{
	free(l->items);
	*l = (struct opt_list){ 0 };
}

/* ---- one option ---- */

static const struct opt *find_option(const struct opt *options, struct span name)
{
	for (; options != NULL && options->name != NULL; options++)
		if (span_eq(name, span_of(options->name)))
			return options;
	return NULL;
}

static int unknown_option(const struct opt_command *c, struct span name)
{
	const char *names[NAMES_MAX];
	char given[64];
	size_t count = 0;

	for (const struct opt *o = c->options; o != NULL && o->name != NULL && count < NAMES_MAX - 1; o++)
		names[count++] = o->name;
	names[count++] = "help";
	const char *near = span_copy(name, given, sizeof(given)) ? suggest_name(given, names, count) : NULL;
	(void)fprintf(stderr, "%s: unknown option --%.*s", c->name, SPAN_FMT(name));
	if (near != NULL)
		(void)fprintf(stderr, "; did you mean --%s?", near);
	(void)fprintf(stderr, "\n");
	return complain(c);
}

static uint64_t max_of(const struct opt *o, uint64_t kind_max)
{
	return o->max != 0 ? o->max : kind_max;
}

/* "a whole number from 1 to 10", for usage errors. */
static void print_wanted(const struct opt *o)
{
	char low[24], high[24];

	switch (o->kind) {
	case OPT_U32:
	case OPT_U64:
		(void)fprintf(stderr, "a whole number from %" PRIu64 " to %" PRIu64, o->min,
			      max_of(o, o->kind == OPT_U32 ? UINT32_MAX : UINT64_MAX));
		break;
	case OPT_DURATION_MS:
		(void)fprintf(stderr, "a duration such as 500ms, 30s or 5d, at least %s",
			      unit_format_duration_ms((int64_t)o->min, low));
		if (o->max != 0)
			(void)fprintf(stderr, " and at most %s",
				      unit_format_duration_ms((int64_t)o->max, high));
		break;
	case OPT_SIZE_BYTES:
		(void)fprintf(stderr, "a size such as 64KiB or 10MiB, at least %s",
			      unit_format_size_bytes(o->min, low));
		if (o->max != 0)
			(void)fprintf(stderr, " and at most %s", unit_format_size_bytes(o->max, high));
		break;
	case OPT_CHOICE:
		(void)fprintf(stderr, "one of");
		for (const char *const *name = o->choices; *name != NULL; name++)
			(void)fprintf(stderr, "%s %s", name == o->choices ? "" : ",", *name);
		break;
	case OPT_FLAG:
	case OPT_STR:
	case OPT_LIST:
		break;
	}
}

static bool take_choice(const struct opt *o, const char *value)
{
	for (uint32_t i = 0; o->choices[i] != NULL; i++)
		if (strcmp(o->choices[i], value) == 0) {
			*(uint32_t *)o->ret = i;
			return true;
		}
	return false;
}

/* False when the value is not what the option wants. */
static bool take_value(const struct opt *o, const char *value)
{
	uint64_t n = 0;
	int64_t ms = 0;

	switch (o->kind) {
	case OPT_FLAG:
		*(bool *)o->ret = true;
		return true;
	case OPT_STR:
		*(const char **)o->ret = value;
		return true;
	case OPT_LIST:
		list_add(o->ret, value);
		return true;
	case OPT_U32:
		if (!span_to_u64(span_of(value), &n) || n < o->min || n > max_of(o, UINT32_MAX))
			return false;
		*(uint32_t *)o->ret = (uint32_t)n;
		return true;
	case OPT_U64:
		if (!span_to_u64(span_of(value), &n) || n < o->min || n > max_of(o, UINT64_MAX))
			return false;
		*(uint64_t *)o->ret = n;
		return true;
	case OPT_DURATION_MS:
		if (!unit_parse_duration_ms(span_of(value), &ms) || (uint64_t)ms < o->min ||
		    (uint64_t)ms > max_of(o, INT64_MAX))
			return false;
		*(int64_t *)o->ret = ms;
		return true;
	case OPT_SIZE_BYTES:
		if (!unit_parse_size_bytes(span_of(value), &n) || n < o->min || n > max_of(o, UINT64_MAX))
			return false;
		*(uint64_t *)o->ret = n;
		return true;
	case OPT_CHOICE:
		return take_choice(o, value);
	}
	return false;
}

/* argv[*at] begins with "--"; moves *at when the value is the next word. */
static int take_option(const struct opt_command *c, int argc, char **argv, int *at)
{
	struct span rest = span_of(argv[*at] + 2), name = rest;
	bool inlined = span_take_until(&rest, '=', &name);
	const struct opt *o = find_option(c->options, name);
	const char *value = NULL;

	if (o == NULL)
		return unknown_option(c, name);
	if (o->kind == OPT_FLAG) {
		if (inlined) {
			(void)fprintf(stderr, "%s: --%s takes no value\n", c->name, o->name);
			return complain(c);
		}
	} else if (inlined) {
		value = argv[*at] + 2 + name.n + 1;
	} else if (*at + 1 < argc) {
		value = argv[++*at];
	} else {
		(void)fprintf(stderr, "%s: --%s needs a value (%s)\n", c->name, o->name, o->value);
		return complain(c);
	}
	if (take_value(o, value))
		return OPT_GO;
	(void)fprintf(stderr, "%s: --%s %s: expected ", c->name, o->name, value);
	print_wanted(o);
	(void)fprintf(stderr, "\n");
	return complain(c);
}

/* ---- positional arguments ---- */

static int take_args(const struct opt_command *c, const struct opt_list *given)
{
	const struct opt_arg *a = c->args;
	uint32_t at = 0;

	for (; a != NULL && a->name != NULL; a++) {
		assert((a->ret_one != NULL) != (a->ret_many != NULL));
		if (at == given->count && !a->optional) {
			(void)fprintf(stderr, "%s: %s is missing\n", c->name, a->name);
			return complain(c);
		}
		if (a->ret_many != NULL) {
			assert((a + 1)->name == NULL);
			while (at < given->count)
				list_add(a->ret_many, given->items[at++]);
		} else if (at < given->count) {
			*a->ret_one = given->items[at++];
		}
	}
	if (at < given->count) {
		(void)fprintf(stderr, "%s: unexpected argument \"%s\"\n", c->name, given->items[at]);
		return complain(c);
	}
	return OPT_GO;
}

int opt_parse(const struct opt_command *c, int argc, char **argv)
{
	struct opt_list given = { 0 };
	bool options_ended = false;
	int rc = OPT_GO;

	for (int i = 1; i < argc && rc == OPT_GO; i++) {
		const char *word = argv[i];
		if (options_ended || word[0] != '-' || word[1] == '\0') {
			list_add(&given, word);
		} else if (strcmp(word, "--") == 0) {
			options_ended = true;
		} else if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
			opt_help(c, stdout);
			rc = 0;
		} else if (word[1] != '-') {
			(void)fprintf(stderr, "%s: unknown option %s\n", c->name, word);
			rc = complain(c);
		} else {
			rc = take_option(c, argc, argv, &i);
		}
	}
	if (rc == OPT_GO)
		rc = take_args(c, &given);
	opt_list_free(&given);
	return rc;
}

/* ---- help ---- */

/* Prints text in lines of at most LINE_COLUMNS; later lines start at indent; the cursor stands at column. */
static void print_wrapped(FILE *out, const char *text, int indent, int column)
{
	while (*text != '\0') {
		size_t word = strcspn(text, " \n");
		if (column > indent && column + 1 + (int)word > LINE_COLUMNS) {
			(void)fprintf(out, "\n%*s", indent, "");
			column = indent;
		} else if (column > indent) {
			(void)fputc(' ', out);
			column++;
		}
		(void)fprintf(out, "%.*s", (int)word, text);
		column += (int)word;
		text += word;
		while (*text == ' ' || *text == '\n')
			text++;
	}
	(void)fputc('\n', out);
}

static void print_row(FILE *out, const char *left, const char *help)
{
	int column = fprintf(out, "  %s", left);

	if (column >= HELP_COLUMN) {
		(void)fputc('\n', out);
		column = 0;
	}
	(void)fprintf(out, "%*s", HELP_COLUMN - column, "");
	print_wrapped(out, help != NULL ? help : "", HELP_COLUMN, HELP_COLUMN);
}

static void print_indented(FILE *out, const char *lines)
{
	while (*lines != '\0') {
		size_t n = strcspn(lines, "\n");
		(void)fprintf(out, "  %.*s\n", (int)n, lines);
		lines += n + (lines[n] == '\n');
	}
}

static void print_usage(const struct opt_command *c, FILE *out)
{
	(void)fprintf(out, "usage: %s%s", c->name, c->options != NULL ? " [OPTION…]" : "");
	for (const struct opt_arg *a = c->args; a != NULL && a->name != NULL; a++)
		(void)fprintf(out, " %s%s%s%s", a->optional ? "[" : "", a->name,
			      a->ret_many != NULL ? "…" : "", a->optional ? "]" : "");
	(void)fprintf(out, "\n");
}

static void print_options(const struct opt_command *c, FILE *out)
{
	char left[64];

	(void)fprintf(out, "\noptions:\n");
	for (const struct opt *o = c->options; o != NULL && o->name != NULL; o++) {
		assert(o->kind == OPT_FLAG || o->value != NULL);
		(void)snprintf(left, sizeof(left), "--%s%s%s", o->name, o->kind == OPT_FLAG ? "" : " ",
			       o->kind == OPT_FLAG ? "" : o->value);
		print_row(out, left, o->help);
	}
	print_row(out, "-h, --help", "show this and exit");
}

void opt_help(const struct opt_command *c, FILE *out)
{
	print_usage(c, out);
	(void)fputc('\n', out);
	print_wrapped(out, c->purpose, 0, 0);
	if (c->args != NULL && c->args[0].name != NULL) {
		(void)fprintf(out, "\narguments:\n");
		for (const struct opt_arg *a = c->args; a->name != NULL; a++)
			print_row(out, a->name, a->help);
	}
	print_options(c, out);
	if (c->example != NULL) {
		(void)fprintf(out, "\nexample:\n");
		print_indented(out, c->example);
	}
	(void)fprintf(out, "\nexit codes:\n");
	print_indented(out, c->exit_codes != NULL ? c->exit_codes : USUAL_EXIT_CODES);
}

/* ---- verbs ---- */

static void print_verbs(const char *program, const char *purpose, const struct opt_verb *verbs, FILE *out)
{
	(void)fprintf(out, "usage: %s COMMAND [OPTION…] [ARGUMENT…]\n\n", program);
	print_wrapped(out, purpose, 0, 0);
	(void)fprintf(out, "\ncommands:\n");
	for (const struct opt_verb *v = verbs; v->name != NULL; v++)
		print_row(out, v->name, v->help);
	(void)fprintf(out, "\n'%s COMMAND --help' explains one command; '%s --version' names the version.\n",
		      program, program);
}

int opt_dispatch(const char *program, const char *purpose, const struct opt_verb *verbs, int argc,
		 char **argv)
{
	const char *names[NAMES_MAX];
	size_t count = 0;

	if (argc < 2) {
		print_verbs(program, purpose, verbs, stderr);
		return OPT_EXIT_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
		print_verbs(program, purpose, verbs, stdout);
		return 0;
	}
	if (strcmp(argv[1], "--version") == 0) {
		(void)printf("%s %s\n", program, POSTRIDER_VERSION);
		return 0;
	}
	for (const struct opt_verb *v = verbs; v->name != NULL; v++) {
		if (strcmp(v->name, argv[1]) == 0)
			return v->run(argc - 1, argv + 1);
		if (count < NAMES_MAX)
			names[count++] = v->name;
	}
	const char *near = suggest_name(argv[1], names, count);
	(void)fprintf(stderr, "%s: unknown command \"%s\"", program, argv[1]);
	if (near != NULL)
		(void)fprintf(stderr, "; did you mean \"%s\"?", near);
	(void)fprintf(stderr, "\nTry '%s --help'.\n", program);
	return OPT_EXIT_USAGE;
}
