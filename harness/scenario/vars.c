#include "harness/scenario/vars.h"

#include <assert.h>
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
	"port.lmtp",
	"dns.ip",
	"dns.port",
	"dns.anchor",
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
	"retry.count",
	"delay.s",
	"reply-timeout.s",
	"relay-from",
	"hardened",
	"mta-sts",
	"login.name",
	"login.password",
	"login.long-password",
	"account.address",
	"account.local",
	"account.password",
	"domain.name",
	"list.address",
	"list.members",
	"lmtp.domain",
	NULL,
};
static const char *const LISTS[] = { "account", "domain", "list", "lmtp", NULL };

struct var {
	uint32_t item;
	char *name;
	char *value;
};

/* In order of items, so that those of one are found by halving: a host may have thousands of accounts. */
struct table {
	struct var *all;
	uint32_t count;
	uint32_t room;
};

struct vars {
	struct table plain;
	struct table lists[sizeof(LISTS) / sizeof(LISTS[0]) - 1];
};

struct vars *vars_new(void)
{
	struct vars *v = calloc(1, sizeof(*v));

	if (v == NULL)
		abort();
	return v;
}

static void forget(struct table *t)
{
	for (uint32_t i = 0; i < t->count; i++) {
		free(t->all[i].name);
		free(t->all[i].value);
	}
	free(t->all);
}

void vars_free(struct vars *v)
{
	if (v == NULL)
		return;
	forget(&v->plain);
	for (size_t i = 0; LISTS[i] != NULL; i++)
		forget(&v->lists[i]);
	free(v);
}

static char *copy_of(const char *s)
{
	char *copy = strdup(s);

	if (copy == NULL)
		abort();
	return copy;
}

/* Index of the first value of the item, or of a later one. */
static uint32_t first_of(const struct table *t, uint32_t item)
{
	uint32_t low = 0, high = t->count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (t->all[middle].item < item)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct var *find(const struct table *t, uint32_t item, struct span name)
{
	for (uint32_t i = first_of(t, item); i < t->count && t->all[i].item == item; i++)
		if (span_eq(name, span_of(t->all[i].name)))
			return &t->all[i];
	return NULL;
}

static void set(struct table *t, uint32_t item, const char *name, const char *value)
{
	struct var *x = find(t, item, span_of(name));

	if (x != NULL) {
		free(x->value);
		x->value = copy_of(value);
		return;
	}
	assert(t->count == 0 || t->all[t->count - 1].item <= item);
	if (t->count == t->room) {
		t->room = t->room > 0 ? t->room * 2 : 64;
		t->all = realloc(t->all, t->room * sizeof(*t->all));
		if (t->all == NULL)
			abort();
	}
	t->all[t->count++] = (struct var){ item, copy_of(name), copy_of(value) };
}

/* NULL: there is no such list. */
static const struct table *table_of(const struct vars *v, struct span list)
{
	for (size_t i = 0; LISTS[i] != NULL; i++)
		if (span_eq(list, span_of(LISTS[i])))
			return &v->lists[i];
	return NULL;
}

void vars_set(struct vars *v, const char *name, const char *value)
{
	set(&v->plain, 0, name, value);
}

void vars_set_item(struct vars *v, const char *list, uint32_t item, const char *name, const char *value)
{
	for (size_t i = 0; LISTS[i] != NULL; i++)
		if (strcmp(LISTS[i], list) == 0)
			set(&v->lists[i], item, name, value);
}

const char *vars_get(const struct vars *v, struct span name)
{
	const struct var *x = find(&v->plain, 0, name);

	return x != NULL ? x->value : NULL;
}

const char *vars_get_item(const struct vars *v, struct span list, uint32_t item, struct span name)
{
	const struct table *t = table_of(v, list);
	const struct var *x = t != NULL ? find(t, item, name) : NULL;

	return x != NULL ? x->value : NULL;
}

uint32_t vars_count(const struct vars *v, struct span list)
{
	const struct table *t = table_of(v, list);

	return t != NULL && t->count > 0 ? t->all[t->count - 1].item + 1 : 0;
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
