#include "harness/scenario/template.h"

#include "base/suggest.h"

#include <string.h>

enum { ERRORS_MAX = 20 };

struct place {
	struct span list; /* n == 0: a condition */
	uint32_t item;
};

struct expansion {
	const struct template_options *o;
	struct span rest; /* what comes after the line at hand */
	struct span line; /* without its end */
	uint32_t line_number;
	struct place places[TEMPLATE_LEVELS_MAX + 1];
	uint32_t level;
	bool silent; /* in what is left out: mistakes are found, nothing is written */
	uint32_t error_count;
	bool too_long; /* said once */
};

__attribute__((format(printf, 3, 4))) static void complain(struct expansion *x, size_t at, const char *fmt,
							   ...)
{
	struct buf *b = x->o->ret_messages;
	va_list ap;

	if (++x->error_count > ERRORS_MAX)
		return;
	va_start(ap, fmt);
	buf_addf(b, "%s:%u:%zu: error: ", x->o->path, x->line_number, at + 1);
	buf_vaddf(b, fmt, ap);
	va_end(ap);
	buf_addf(b, "\n%5u | %.*s\n      | ", x->line_number, SPAN_FMT(x->line));
	for (size_t i = 0; i < at && i < x->line.n; i++)
		buf_add_cstr(b, x->line.p[i] == '\t' ? "\t" : " ");
	buf_add_cstr(b, "^\n");
}

static void write_out(struct expansion *x, struct span s)
{
	if (x->silent || x->o->vars == NULL || x->too_long)
		return;
	if (buf_bytes(x->o->ret_text) + s.n > TEMPLATE_OUTPUT_BYTES_MAX) {
		x->too_long = true;
		complain(x, 0, "more than %d bytes come out", TEMPLATE_OUTPUT_BYTES_MAX);
		return;
	}
	buf_add(x->o->ret_text, s);
}

/* ---- variables ---- */

/* The loop whose item the name belongs to: a level, or -1 when it is of no list, or -2 outside of its loop. */
static int loop_of(const struct expansion *x, struct span name)
{
	static const char *const LISTS[] = { "account", "domain", "list", "lmtp" };

	for (uint32_t i = x->level + 1; i-- > 0;)
		if (x->places[i].list.n > 0 && vars_is_item_name(x->places[i].list, name))
			return (int)i;
	for (size_t i = 0; i < sizeof(LISTS) / sizeof(LISTS[0]); i++)
		if (vars_is_item_name(span_of(LISTS[i]), name))
			return -2;
	return -1;
}

/* NULL after a mistake; "" without a value. */
static const char *value_of(struct expansion *x, struct span name, size_t at)
{
	char given[64];
	const char *const *names = vars_names();
	size_t count = 0;

	if (!vars_is_name(name)) {
		while (names[count] != NULL)
			count++;
		const char *near =
			span_copy(name, given, sizeof(given)) ? suggest_name(given, names, count) : NULL;
		if (near != NULL)
			complain(x, at, "there is no variable \"%.*s\"; did you mean \"%s\"?", SPAN_FMT(name),
				 near);
		else
			complain(x, at, "there is no variable \"%.*s\"; write $${ for a plain ${",
				 SPAN_FMT(name));
		return NULL;
	}
	int loop = loop_of(x, name);
	if (loop == -2) {
		complain(x, at, "\"%.*s\" has a value inside its %%for only", SPAN_FMT(name));
		return NULL;
	}
	const char *value = NULL;
	if (x->o->vars != NULL)
		value = loop >= 0
				? vars_get_item(x->o->vars, x->places[loop].list, x->places[loop].item, name)
				: vars_get(x->o->vars, name);
	return value != NULL ? value : "";
}

/* From at on, where "${" stands; returns how far the line is read. */
static size_t expand_variable(struct expansion *x, size_t at)
{
	struct span after = span_sub(x->line, at + 2, x->line.n);
	size_t n = span_find(after, '}');

	if (n == after.n) {
		complain(x, at, "\"${\" without \"}\"; write $${ for a plain ${");
		return x->line.n;
	}
	const char *value = value_of(x, span_sub(after, 0, n), at);
	if (value != NULL)
		write_out(x, span_of(value));
	return at + 2 + n + 1;
}

static void expand_text(struct expansion *x, size_t from)
{
	size_t i = from;

	while (i < x->line.n) {
		struct span left = span_sub(x->line, i, x->line.n);
		size_t n = span_find(left, '$');
		write_out(x, span_sub(left, 0, n));
		i += n;
		left = span_sub(x->line, i, x->line.n);
		if (span_take_prefix_nocase(&left, SPAN_LIT("$${"))) {
			write_out(x, SPAN_LIT("${"));
			i += 3;
		} else if (span_take_prefix_nocase(&left, SPAN_LIT("${"))) {
			i = expand_variable(x, i);
		} else if (i < x->line.n) {
			write_out(x, SPAN_LIT("$"));
			i++;
		}
	}
}

/* ---- lines ---- */

static bool next_line(struct expansion *x, bool *ret_ended)
{
	if (x->rest.n == 0)
		return false;
	size_t n = span_find(x->rest, '\n');
	x->line = span_sub(x->rest, 0, n);
	*ret_ended = n < x->rest.n;
	x->rest = span_sub(x->rest, n + 1, x->rest.n);
	x->line_number++;
	return true;
}

static void expand_block(struct expansion *x, bool whole);

/* The block that follows, with one more place on the stack. */
static void enter(struct expansion *x, struct place p, bool silent)
{
	bool before = x->silent;

	x->level++;
	x->places[x->level] = p;
	x->silent = before || silent;
	expand_block(x, false);
	x->silent = before;
	x->level--;
}

static void expand_for(struct expansion *x, struct span list)
{
	struct span body = x->rest;
	uint32_t number = x->line_number, errors = x->error_count;
	uint32_t count = x->o->vars != NULL ? vars_count(x->o->vars, list) : 0;

	if (!vars_is_list(list)) {
		complain(x, 5, "there is no list \"%.*s\"; there are account, domain and list",
			 SPAN_FMT(list));
		count = 0;
		list = SPAN_LIT("account");
	}
	if (count == 0 || x->silent) {
		enter(x, (struct place){ .list = list }, true);
		return;
	}
	/* Once a mistake was found, it would be found again for every item. */
	for (uint32_t i = 0; i < count && x->error_count == errors; i++) {
		x->rest = body;
		x->line_number = number;
		enter(x, (struct place){ .list = list, .item = i }, false);
	}
}

static void expand_if(struct expansion *x, struct span name)
{
	size_t at = 4;
	bool wanted = true;

	if (span_take_prefix_nocase(&name, SPAN_LIT("not "))) {
		wanted = false;
		at += 4;
	}
	const char *value = value_of(x, name, at);
	enter(x, (struct place){ 0 }, value == NULL || (value[0] != '\0') != wanted);
}

/* True when the line was one of ours; *ret_end when it was %end. */
static bool take_directive(struct expansion *x, bool *ret_end)
{
	struct span rest = x->line;

	if (!span_take_prefix_nocase(&rest, SPAN_LIT("%")) || (rest.n > 0 && rest.p[0] == '%'))
		return false;
	bool nested = span_take_prefix_nocase(&rest, SPAN_LIT("for "));
	bool conditional = !nested && span_take_prefix_nocase(&rest, SPAN_LIT("if "));
	if ((nested || conditional) && x->level >= TEMPLATE_LEVELS_MAX) {
		complain(x, 0, "more than %d of %%for and %%if in each other", TEMPLATE_LEVELS_MAX);
		x->rest = (struct span){ 0 };
	} else if (nested) {
		expand_for(x, span_trim(rest));
	} else if (conditional) {
		expand_if(x, span_trim(rest));
	} else if (span_eq(span_trim(rest), SPAN_LIT("end"))) {
		*ret_end = true;
	} else {
		complain(x, 0, "a line with %% is %%for LIST, %%if NAME or %%end; write %%%% for a plain %%");
	}
	return true;
}

static void expand_block(struct expansion *x, bool whole)
{
	struct span opened = x->line;
	uint32_t opened_at = x->line_number;
	bool end = false, ended = false;

	while (next_line(x, &ended)) {
		if (take_directive(x, &end)) {
			if (end && whole)
				complain(x, 0, "%%end without %%for or %%if");
			else if (end)
				return;
			end = false;
			continue;
		}
		expand_text(x, x->line.n > 1 && x->line.p[0] == '%' ? 1 : 0);
		if (ended)
			write_out(x, SPAN_LIT("\n"));
	}
	if (!whole && x->error_count == 0) {
		x->line = opened;
		x->line_number = opened_at;
		complain(x, 0, "this has no %%end");
	}
}

uint32_t template_expand(const struct template_options *o)
{
	struct expansion x = { .o = o, .rest = o->text };

	if (o->text.n > TEMPLATE_BYTES_MAX) {
		buf_addf(o->ret_messages, "%s: error: more than %d bytes\n", o->path, TEMPLATE_BYTES_MAX);
		return 1;
	}
	if (o->list != NULL)
		x.places[0] = (struct place){ .list = span_of(o->list), .item = o->item };
	expand_block(&x, true);
	return x.error_count;
}
