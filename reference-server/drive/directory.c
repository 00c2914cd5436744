#include "reference-server/drive/directory.h"

#include "reference-server/store/account.h"

#include <assert.h>
#include <stdlib.h>

enum { EXPANSION_MAX = 1000 }; /* final addresses behind one alias */

struct directory {
	const struct config *config;
	struct store *store;
};

struct directory *directory_new(const struct config *config, struct store *store)
{
	struct directory *d = calloc(1, sizeof(*d));
	if (d == NULL)
		abort();
	*d = (struct directory){ .config = config, .store = store };
	return d;
}

void directory_free(struct directory *d)
{
	free(d);
}

bool directory_is_local_domain(const struct directory *d, struct span domain)
{
	for (uint32_t i = 0; i < d->config->domain_count; i++)
		if (span_eq_nocase(domain, span_of(d->config->domains[i])))
			return true;
	return false;
}

static uint32_t find_account(const struct directory *d, struct span key)
{
	struct account account;
	return account_address_ok(key) && account_find(d->store, key, &account) == 0 ? account.id : 0;
}

static const struct config_alias *find_alias(const struct directory *d, struct span key)
{
	for (uint32_t i = 0; i < d->config->alias_count; i++)
		if (span_eq(key, span_of(d->config->aliases[i].from)))
			return &d->config->aliases[i];
	return NULL;
}

/* <postmaster> without a domain is postmaster of our first domain. */
static struct address with_domain(const struct directory *d, struct address a)
{
	if (a.domain.n == 0 && d->config->domain_count > 0)
		a.domain = span_of(d->config->domains[0]);
	return a;
}

static bool stop_at_first(void *ctx, const struct account *a)
{
	*(struct account *)ctx = *a;
	return false;
}

/* Who reads postmaster's mail where nobody was named. */
static bool first_account(const struct directory *d, struct account *ret_account)
{
	if (d->config->account_count > 0) {
		struct span first = span_of(d->config->accounts[0].address);
		if (account_address_ok(first) && account_find(d->store, first, ret_account) == 0)
			return true;
	}
	ret_account->id = 0;
	(void)account_scan(d->store, stop_at_first, ret_account);
	return ret_account->id != 0;
}

static bool is_unclaimed_postmaster(const struct directory *d, struct address a, struct span key)
{
	return address_is_postmaster(a) && directory_is_local_domain(d, a.domain) &&
	       find_alias(d, key) == NULL;
}

uint32_t directory_account(const struct directory *d, struct address a)
{
	char text[ADDRESS_TEXT_BYTES_MAX];
	struct account first;

	a = with_domain(d, a);
	struct span key = address_key(a, text);
	uint32_t id = find_account(d, key);
	if (id == 0 && is_unclaimed_postmaster(d, a, key) && first_account(d, &first))
		id = first.id;
	return id;
}

struct expansion {
	const struct directory *d;
	directory_fn *fn;
	void *ctx;
	const struct config_alias
		*path[DIRECTORY_ALIAS_DEPTH_MAX]; /* aliases being expanded, outermost first */
	uint32_t depth;
	uint32_t found_count;
};

static void expand(struct expansion *x, struct address a)
{
	char key_text[ADDRESS_TEXT_BYTES_MAX], text[ADDRESS_TEXT_BYTES_MAX];
	struct span key = address_key(a, key_text);
	const struct config_alias *alias =
		directory_is_local_domain(x->d, a.domain) ? find_alias(x->d, key) : NULL;

	if (x->found_count >= EXPANSION_MAX)
		return;
	if (alias == NULL) {
		if (directory_is_local_domain(x->d, a.domain) && directory_account(x->d, a) == 0)
			return;
		x->found_count++;
		if (x->fn != NULL)
			x->fn(x->ctx, address_text(a, text));
		return;
	}
	for (uint32_t i = 0; i < x->depth; i++)
		if (x->path[i] == alias)
			return; /* an alias inside itself adds nobody */
	if (x->depth == DIRECTORY_ALIAS_DEPTH_MAX)
		return;
	x->path[x->depth++] = alias;
	for (uint32_t i = 0; i < alias->to_count; i++) {
		struct address next;
		if (address_parse_mailbox(span_of(alias->to[i]), &next) == ADDRESS_OK)
			expand(x, next);
	}
	x->depth--;
}

bool directory_expand(const struct directory *d, struct address a, directory_fn *fn, void *ctx)
{
	struct expansion x = { .d = d, .fn = fn, .ctx = ctx };
	expand(&x, with_domain(d, a));
	return x.found_count > 0;
}
