#include "harness/cli/case_choice.h"

#include "base/suggest.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_file(const char *name)
{
	return span_ends_nocase(span_of(name), SPAN_LIT(".case"));
}

static bool is_below(const char *id, const char *name)
{
	size_t n = strlen(name);

	while (n > 0 && name[n - 1] == '/')
		n--;
	return strncmp(id, name, n) == 0 && (id[n] == '\0' || id[n] == '/');
}

/* "RFC5321", "RFC5321-4.5.2", or a whole requirement. */
static bool judges(const struct case_file *c, const char *name)
{
	size_t n = strlen(name);

	for (uint32_t i = 0; i < c->req_count; i++) {
		const char *id = c->reqs[i].id;
		if (strncmp(id, name, n) == 0 && (id[n] == '\0' || id[n] == '-' || id[n] == '.'))
			return true;
	}
	return false;
}

static bool is_named(const struct case_file *c, const struct opt_list *names, bool *used)
{
	bool any = names->count == 0;

	for (uint32_t i = 0; i < names->count; i++) {
		const char *name = names->items[i];
		if (is_file(name) ||
		    !(is_below(c->id, name) || (strncmp(name, "RFC", 3) == 0 && judges(c, name))))
			continue;
		used[i] = any = true;
	}
	return any;
}

static bool has_level(const struct case_file *c, const char *level)
{
	for (uint32_t i = 0; i < c->req_count; i++)
		if (strcmp(case_level_name(c->reqs[i].level), level) == 0)
			return true;
	return false;
}

static bool is_chosen(const struct case_file *c, const struct case_choice *o)
{
	return (o->level == NULL || has_level(c, o->level)) && (o->tag == NULL || case_has_tag(c, o->tag)) &&
	       (o->slow || o->failed_in != NULL || (o->tag != NULL && strcmp(o->tag, "slow") == 0) ||
		!case_has_tag(c, "slow")) &&
	       (o->failed_in == NULL || conform_earlier_is_open(o->failed_in, c->id));
}

/* ---- reading ---- */

static struct case_file *read_one(const char *path, const char *id, struct case_set *set)
{
	struct buf messages = { 0 };
	struct case_file *c =
		case_read(&(struct case_options){ .path = path, .id = id, .ret_messages = &messages });

	(void)fputs(buf_cstr(&messages), stderr);
	buf_free(&messages);
	set->broken += c == NULL;
	return c;
}

static void add(struct case_set *set, struct case_file *c)
{
	set->items = realloc(set->items, (set->count + 1) * sizeof(*set->items));
	if (set->items == NULL)
		abort();
	set->items[set->count++] = c;
}

static void read_listed(const struct case_list *list, const struct case_choice *o, bool *used,
			struct case_set *set)
{
	for (uint32_t i = 0; i < list->count; i++) {
		struct case_file *c = read_one(list->paths[i], list->ids[i], set);
		if (c != NULL && is_named(c, o->names, used) && is_chosen(c, o))
			add(set, c);
		else
			case_free(c);
	}
}

static void read_files(const struct case_choice *o, bool *used, struct case_set *set)
{
	for (uint32_t i = 0; i < o->names->count; i++) {
		if (!is_file(o->names->items[i]))
			continue;
		used[i] = true;
		struct case_file *c = read_one(o->names->items[i], NULL, set);
		if (c != NULL)
			add(set, c);
	}
}

/* ---- the part of one machine ---- */

static bool parse_shard(const char *text, uint64_t *ret_index, uint64_t *ret_of)
{
	struct span s = span_of(text), head;

	return span_take_until(&s, '/', &head) && span_to_u64(head, ret_index) && span_to_u64(s, ret_of) &&
	       *ret_index >= 1 && *ret_index <= *ret_of && *ret_of <= 10000;
}

static void keep_shard(struct case_set *set, uint64_t index, uint64_t of)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < set->count; i++) {
		if (i % of == index - 1)
			set->items[kept++] = set->items[i];
		else
			case_free(set->items[i]);
	}
	set->count = kept;
}

/* ---- all of it ---- */

static bool names_are_used(const char *command, const struct case_list *list, const struct opt_list *names,
			   const bool *used)
{
	bool fine = true;

	for (uint32_t i = 0; i < names->count; i++) {
		if (used[i])
			continue;
		const char *near = suggest_name(names->items[i], list->ids, list->count);
		if (near != NULL && strcmp(near, names->items[i]) == 0)
			continue; /* its file has mistakes, which were told */
		(void)fprintf(stderr, "%s: %s: no case has this name or judges this requirement", command,
			      names->items[i]);
		(void)fprintf(stderr,
			      near != NULL ? "; did you mean \"%s\"?\n"
					   : "; 'postrider list --requirements' names them\n",
			      near);
		fine = false;
	}
	return fine;
}

int case_choose(const char *command, const struct case_choice *o, struct case_set *ret_set)
{
	struct case_set set = { 0 };
	struct case_list list = { 0 };
	uint64_t index = 1, of = 1;
	struct err e;
	bool only_files = o->names->count > 0;

	for (uint32_t i = 0; i < o->names->count; i++)
		only_files = only_files && is_file(o->names->items[i]);
	if (o->shard != NULL && !parse_shard(o->shard, &index, &of)) {
		(void)fprintf(stderr, "%s: --shard %s: it goes 2/5, the second of five\n", command, o->shard);
		return OPT_EXIT_USAGE;
	}
	if (!only_files && case_find_all(&list, &e) != 0) {
		(void)fprintf(stderr, "%s: %s\n", command, e.text);
		return OPT_EXIT_USAGE;
	}
	bool *used = calloc(o->names->count + 1, sizeof(*used));
	if (used == NULL)
		abort();
	read_listed(&list, o, used, &set);
	read_files(o, used, &set);
	/* A name whose cases are all left out by level or tag is no mistake, nor is one with a broken file. */
	bool fine = names_are_used(command, &list, o->names, used);
	keep_shard(&set, index, of);
	free(used);
	case_list_free(&list);
	*ret_set = set;
	return fine ? 0 : OPT_EXIT_USAGE;
}

void case_set_free(struct case_set *s)
{
	for (uint32_t i = 0; i < s->count; i++)
		case_free(s->items[i]);
	free(s->items);
	*s = (struct case_set){ 0 };
}
