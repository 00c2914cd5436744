#include "reference-server/drive/directory.h"

#include "base/addr.h"
#include "base/idna.h"
#include "reference-server/core/mutant.h"
#include "reference-server/store/account.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

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

/* "[127.0.0.1]" for an address we listen at. */
static bool is_own_literal(const struct directory *d, struct span literal)
{
	struct span ip;
	bool is_ipv6;
	char text[64];
	struct addr at;

	if (!address_literal_ip(literal, &ip, &is_ipv6) || !span_copy(ip, text, sizeof(text)) ||
	    !addr_parse(text, 0, &at))
		return false;
	for (uint32_t i = 0; i < d->config->listen_count; i++) {
		const struct addr *own = &d->config->listens[i].at;
		addr_set_port(&at, addr_port(own)); /* it has none to differ in */
		if (addr_eq(own, &at))
			return true;
	}
	return false;
}

bool directory_is_local_domain(const struct directory *d, struct span domain)
{
	char text[IDNA_NAME_BYTES_MAX + 1];
	struct span name;

	if (domain.n > 0 && domain.p[0] == '[')
		return is_own_literal(d, domain) && !MUTANT(SMTP_NO_OWN_LITERAL);
	if (!idna_to_ascii(domain, text, &name))
		return false;
	for (uint32_t i = 0; i < d->config->domain_count; i++)
		if (span_eq(name, span_of(d->config->domains[i])))
			return true;
	return false;
}

static int find_account(const struct directory *d, struct span key, uint32_t *ret_account)
{
	struct account account;

	int rc = key.n > 0 ? account_find(d->store, key, &account) : -ENOENT;
	if (rc == 0)
		*ret_account = account.id;
	return rc;
}

static const struct config_alias *find_alias(const struct directory *d, struct span key)
{
	for (uint32_t i = 0; i < d->config->alias_count; i++)
		if (span_eq(key, span_of(d->config->aliases[i].from)))
			return &d->config->aliases[i];
	return NULL;
}

struct address directory_full(const struct directory *d, struct address a)
{
	bool first = a.domain.n == 0 || is_own_literal(d, a.domain);

	if (first && d->config->domain_count > 0)
		a.domain = span_of(d->config->domains[0]);
	return a;
}

/* What an address is looked up by; empty when nobody can have it. */
struct key {
	char text[ACCOUNT_ADDRESS_BYTES_MAX + 1];
	struct span span;
};

static void make_key(struct address a, struct key *k)
{
	char text[ADDRESS_TEXT_BYTES_MAX];

	if (!account_key(address_key(a, text), k->text, &k->span))
		k->span = (struct span){ NULL, 0 };
}

/* The key without its detail; empty when it has none. */
static void strip_detail(const struct directory *d, const struct key *k, struct key *ret_base)
{
	size_t at = k->span.n;
	char separator = d->config->subaddress_separator;

	ret_base->span = (struct span){ NULL, 0 };
	if (separator == '\0' || at == 0)
		return;
	while (k->span.p[at - 1] != '@')
		at--;
	struct span local = span_sub(k->span, 0, at - 1);
	size_t n = span_find(local, separator);
	if (n == 0 || n == local.n)
		return;
	memcpy(ret_base->text, local.p, n);
	memcpy(ret_base->text + n, k->span.p + at - 1, k->span.n - at + 1);
	ret_base->span = (struct span){ ret_base->text, n + k->span.n - at + 1 };
}

/* Of the address itself, or of what it is a subaddress of: 0, -ENOENT, or what the store says. */
static int alias_of(const struct directory *d, const struct key *k, const struct config_alias **ret_alias)
{
	const struct config_alias *alias = find_alias(d, k->span);
	struct key base;
	uint32_t account;

	if (alias == NULL) {
		strip_detail(d, k, &base);
		alias = base.span.n > 0 ? find_alias(d, base.span) : NULL;
		int rc = alias != NULL ? find_account(d, k->span, &account) : 0;
		if (alias == NULL || rc == 0) /* somebody has the address itself */
			return -ENOENT;
		if (rc != -ENOENT)
			return rc;
	}
	*ret_alias = alias;
	return 0;
}

bool directory_is_alias(const struct directory *d, struct address a)
{
	const struct config_alias *alias = NULL;
	struct key k;

	a = directory_full(d, a);
	make_key(a, &k);
	return directory_is_local_domain(d, a.domain) && alias_of(d, &k, &alias) == 0;
}

static bool stop_at_first(void *ctx, const struct account *a)
{
	*(struct account *)ctx = *a;
	return false;
}

/* Who reads postmaster's mail where nobody was named. */
static int first_account(const struct directory *d, uint32_t *ret_account)
{
	struct account first = { 0 };
	int rc = -ENOENT;

	if (d->config->account_count > 0)
		rc = find_account(d, span_of(d->config->accounts[0].address), ret_account);
	if (rc != -ENOENT)
		return rc;
	rc = account_scan(d->store, stop_at_first, &first);
	if (first.id != 0)
		*ret_account = first.id;
	return rc == 0 && first.id == 0 ? -ENOENT : rc;
}

static bool is_unclaimed_postmaster(const struct directory *d, struct address a, struct span key)
{
	return address_is_postmaster(a) && directory_is_local_domain(d, a.domain) &&
	       find_alias(d, key) == NULL;
}

int directory_account(const struct directory *d, struct address a, uint32_t *ret_account)
{
	struct key k, base;

	a = directory_full(d, a);
	make_key(a, &k);
	int rc = find_account(d, k.span, ret_account);
	if (rc == -ENOENT && directory_is_local_domain(d, a.domain)) {
		strip_detail(d, &k, &base);
		rc = find_account(d, base.span, ret_account);
	}
	return rc == -ENOENT && is_unclaimed_postmaster(d, a, k.span) ? first_account(d, ret_account) : rc;
}

struct expansion {
	const struct directory *d;
	const struct config_alias
		*path[DIRECTORY_ALIAS_DEPTH_MAX]; /* aliases being expanded, outermost first */
	uint32_t depth;
	uint32_t member_count;
	struct buf members; /* a line each: they are told when all of them are known */
	bool leads_somewhere;
	bool too_large;
	int trouble; /* the store's, or 0 */
};

static void add_member(struct expansion *x, struct address a)
{
	char text[ADDRESS_TEXT_BYTES_MAX];

	if (x->member_count == DIRECTORY_MEMBERS_MAX) {
		x->too_large = true;
		return;
	}
	buf_add(&x->members, address_text(a, text));
	buf_add(&x->members, SPAN_LIT("\n")); /* which no address has */
	x->member_count++;
}

static void expand(struct expansion *x, struct address a)
{
	struct key k;
	make_key(a, &k);
	const struct config_alias *alias = NULL;
	bool local = directory_is_local_domain(x->d, a.domain);
	int rc = local ? alias_of(x->d, &k, &alias) : -ENOENT;

	if (rc != 0) {
		uint32_t account = 0;
		if (!local)
			rc = 0;
		else if (rc == -ENOENT)
			rc = directory_account(x->d, a, &account);
		if (rc != 0 && rc != -ENOENT) {
			x->trouble = rc;
			return;
		}
		x->leads_somewhere |= rc == 0;
		add_member(x, a);
		return;
	}
	for (uint32_t i = 0; i < x->depth; i++)
		if (x->path[i] == alias)
			return; /* an alias inside itself adds nobody */
	if (x->depth == DIRECTORY_ALIAS_DEPTH_MAX) {
		x->too_large = true;
		return;
	}
	x->path[x->depth++] = alias;
	for (uint32_t i = 0; i < alias->to_count && !x->too_large; i++) {
		struct address next;
		if (address_parse_mailbox(span_of(alias->to[i]), &next) == ADDRESS_OK)
			expand(x, directory_full(x->d, next));
	}
	x->depth--;
}

static void tell_members(const struct expansion *x, directory_fn *fn, void *ctx)
{
	struct span rest = buf_span(&x->members), member;

	while (span_take_until(&rest, '\n', &member))
		fn(ctx, member);
}

int directory_expand(const struct directory *d, struct address a, directory_fn *fn, void *ctx)
{
	struct expansion x = { .d = d };

	expand(&x, directory_full(d, a));
	int rc = x.trouble != 0 ? x.trouble : x.too_large ? -E2BIG : x.leads_somewhere ? 0 : -ENOENT;
	if (rc == 0 && fn != NULL)
		tell_members(&x, fn, ctx);
	buf_free(&x.members);
	return rc;
}

struct search {
	const struct directory *d;
	uint32_t account;
	bool found;
	int trouble; /* the store's, or 0 */
};

static void compare(void *ctx, struct span address_text)
{
	struct search *s = ctx;
	struct address a;
	uint32_t account;

	if (s->found || address_parse_mailbox(address_text, &a) != ADDRESS_OK)
		return;
	int rc = directory_account(s->d, a, &account);
	s->found = rc == 0 && account == s->account;
	if (rc != 0 && rc != -ENOENT)
		s->trouble = rc;
}

int directory_leads_to(const struct directory *d, struct address a, uint32_t account)
{
	struct search s = { .d = d, .account = account };
	int rc = directory_expand(d, a, compare, &s);

	if (rc != 0 || s.found)
		return rc;
	return s.trouble != 0 ? s.trouble : -ENOENT;
}
