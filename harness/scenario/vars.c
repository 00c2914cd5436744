#include "harness/scenario/vars.h"

#include <stdlib.h>
#include <string.h>

static const char *const NAMES[] = {
	"dir",
	"tree",
	"program",
	"hostname",
	"domain",
	"network",
	"ip",
	"port.smtp",
	"port.submission",
	"port.submissions",
	"port.pop3",
	"port.pop3s",
	"dns.ip",
	"dns.port",
	"outbound.port",
	"smart-host.ip",
	"smart-host.port",
	"tls.cert",
	"tls.key",
	"tls.ca",
	"tls.out",
	"retry.first.s",
	"retry.max.s",
	"retry.expire.s",
	"account.address",
	"account.local",
	"account.password",
	"domain.name",
	NULL,
};
static const char *const LISTS[] = { "account", "domain", NULL };

struct var {
	char *list; /* NULL: of no list */
	uint32_t item;
	char *name;
	char *value;
};

struct vars {
	struct var *all;
	uint32_t count;
	uint32_t room;
};

struct vars *vars_new(void)
{
	struct vars *v = calloc(1, sizeof(*v));

	if (v == NULL)
		abort();
	return v;
}

static void forget(struct var *x)
{
	free(x->list);
	free(x->name);
	free(x->value);
}

void vars_free(struct vars *v)
{
	if (v == NULL)
		return;
	for (uint32_t i = 0; i < v->count; i++)
		forget(&v->all[i]);
	free(v->all);
	free(v);
}

static char *copy_of(const char *s)
{
	char *copy = s != NULL ? strdup(s) : NULL;

	if (s != NULL && copy == NULL)
		abort();
	return copy;
}

static struct var *find(const struct vars *v, struct span list, uint32_t item, struct span name)
{
	for (uint32_t i = 0; i < v->count; i++) {
		struct var *x = &v->all[i];
		bool same_list =
			x->list == NULL ? list.p == NULL : list.p != NULL && span_eq(list, span_of(x->list));
		if (same_list && x->item == item && span_eq(name, span_of(x->name)))
			return x;
	}
	return NULL;
}

static void set(struct vars *v, const char *list, uint32_t item, const char *name, const char *value)
{
	struct var *x = find(v, list != NULL ? span_of(list) : (struct span){ 0 }, item, span_of(name));
	struct var made = {
		.list = copy_of(list), .item = item, .name = copy_of(name), .value = copy_of(value)
	};

	if (x != NULL) {
		forget(x);
		*x = made;
		return;
	}
	if (v->count == v->room) {
		v->room = v->room > 0 ? v->room * 2 : 64;
		v->all = realloc(v->all, v->room * sizeof(*v->all));
		if (v->all == NULL)
			abort();
	}
	v->all[v->count++] = made;
}

void vars_set(struct vars *v, const char *name, const char *value)
{
	set(v, NULL, 0, name, value);
}

void vars_set_item(struct vars *v, const char *list, uint32_t item, const char *name, const char *value)
{
	set(v, list, item, name, value);
}

const char *vars_get(const struct vars *v, struct span name)
{
	const struct var *x = find(v, (struct span){ 0 }, 0, name);

	return x != NULL ? x->value : NULL;
}

const char *vars_get_item(const struct vars *v, struct span list, uint32_t item, struct span name)
{
	const struct var *x = find(v, list, item, name);

	return x != NULL ? x->value : NULL;
}

uint32_t vars_count(const struct vars *v, struct span list)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < v->count; i++)
		if (v->all[i].list != NULL && span_eq(list, span_of(v->all[i].list)) &&
		    v->all[i].item >= count)
			count = v->all[i].item + 1;
	return count;
}

static bool is_in(const char *const *names, struct span name)
{
	for (; *names != NULL; names++)
		if (span_eq(name, span_of(*names)))
			return true;
	return false;
}

bool vars_is_name(struct span name)
{
	return is_in(NAMES, name);
}

bool vars_is_list(struct span list)
{
	return is_in(LISTS, list);
}

bool vars_is_item_name(struct span list, struct span name)
{
	return vars_is_name(name) && name.n > list.n + 1 && name.p[list.n] == '.' &&
	       span_eq(span_sub(name, 0, list.n), list);
}

const char *const *vars_names(void)
{
	return NAMES;
}
