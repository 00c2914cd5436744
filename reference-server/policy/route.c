#include "reference-server/policy/route.h"

#include "reference-server/core/mutant.h"

#include <assert.h>
#include <string.h>

enum {
	TARGETS_DEFAULT = 10,
	TARGETS_LEAST = 2, /* RFC 5321 5.1 */
};

bool route_addr_eq(const struct route_addr *a, const struct route_addr *b)
{
	return a->is_ipv6 == b->is_ipv6 && memcmp(a->bytes, b->bytes, a->is_ipv6 ? 16 : 4) == 0;
}

/* ---- names ---- */

static struct span without_final_dot(struct span name)
{
	if (name.n > 0 && name.p[name.n - 1] == '.')
		name.n--;
	return name;
}

static bool same_name(struct span a, struct span b)
{
	return span_eq_nocase(without_final_dot(a), without_final_dot(b));
}

static bool is_own_name(const struct route_settings *s, struct span name)
{
	for (uint32_t i = 0; i < s->own_name_count; i++)
		if (same_name(s->own_names[i], name))
			return true;
	return false;
}

/* How well the rule fits: 0 not at all, more is better. */
static size_t rule_fit(const struct route_rule *rule, struct span domain)
{
	struct span pattern = without_final_dot(rule->domain);

	if (span_eq(pattern, SPAN_LIT("*")))
		return 1;
	if (pattern.n > 0 && pattern.p[0] == '.')
		return domain.n > pattern.n && span_ends_nocase(domain, pattern) ? 1 + pattern.n : 0;
	return span_eq_nocase(pattern, domain) ? SIZE_MAX : 0;
}

const struct route_rule *route_find_rule(const struct route_settings *s, struct span domain)
{
	const struct route_rule *best = NULL;
	size_t best_fit = 0;

	domain = without_final_dot(domain);
	for (uint32_t i = 0; i < s->rule_count; i++) {
		size_t fit = rule_fit(&s->rules[i], domain);
		if (fit > best_fit) {
			best = &s->rules[i];
			best_fit = fit;
		}
	}
	return best;
}

/* ---- MX ---- */

static enum route_result fail(struct route_error *reterr, uint8_t class_digit, uint16_t subject,
			      uint16_t detail, const char *text)
{
	reterr->status = (struct smtp_status){ class_digit, subject, detail };
	reterr->text = text;
	return class_digit == 5 ? ROUTE_PERMANENT : ROUTE_TEMPORARY;
}

static bool is_null_mx(const struct route_mx *mx)
{
	return without_final_dot(mx->host).n == 0;
}

/* The best preference at which we are named ourselves; above 65535 when nowhere. */
static uint32_t own_preference(const struct route_settings *s, const struct route_mx *mx, uint32_t mx_count)
{
	uint32_t best = UINT32_MAX;

	for (uint32_t i = 0; i < mx_count; i++)
		if (mx[i].preference < best && is_own_name(s, mx[i].host))
			best = mx[i].preference;
	return best;
}

/* Hosts in order of preference, random among equals, the best ROUTE_HOSTS_MAX of them. */
struct ranking {
	struct route_hosts *hosts;
	uint64_t lots[ROUTE_HOSTS_MAX];
};

static bool comes_before(uint32_t a, uint32_t b)
{
	while (MUTANT(RELAY_MX_BY_TEXT) && a >= 10)
		a /= 10;
	while (MUTANT(RELAY_MX_BY_TEXT) && b >= 10)
		b /= 10;
	return a < b;
}

static void rank(struct ranking *r, const struct route_mx *mx, uint64_t lot)
{
	struct route_hosts *h = r->hosts;
	uint32_t at = 0;

	if (MUTANT(RELAY_ANY_MX_FIRST))
		at = h->count;
	while (at < h->count && (comes_before(h->hosts[at].preference, mx->preference) ||
				 (h->hosts[at].preference == mx->preference && r->lots[at] <= lot)))
		at++;
	if (at == ROUTE_HOSTS_MAX)
		return;
	if (h->count < ROUTE_HOSTS_MAX)
		h->count++;
	for (uint32_t i = h->count - 1; i > at; i--) {
		h->hosts[i] = h->hosts[i - 1];
		r->lots[i] = r->lots[i - 1];
	}
	h->hosts[at] = (struct route_host){ .name = mx->host, .preference = mx->preference };
	r->lots[at] = lot;
}

static enum route_result implicit_mx(const struct route_settings *s, struct span domain,
				     struct route_hosts *ret_hosts, struct route_error *reterr)
{
	if (is_own_name(s, domain) || MUTANT(RELAY_NO_IMPLICIT_MX))
		return fail(reterr, 5, 4, 6, "mail for this domain loops back to this host");
	ret_hosts->count = 1;
	ret_hosts->hosts[0] = (struct route_host){ .name = domain, .implicit = true };
	return ROUTE_OK;
}

enum route_result route_from_mx(const struct route_settings *s, struct span domain, enum route_dns mx_result,
				const struct route_mx *mx, uint32_t mx_count, route_random_fn *random,
				void *random_ctx, struct route_hosts *ret_hosts, struct route_error *reterr)
{
	struct ranking ranking = { .hosts = ret_hosts };
	uint32_t named_count = 0;
	uint32_t own;

	switch (mx_result) {
	case ROUTE_DNS_NXDOMAIN:
		return fail(reterr, MUTANT(RELAY_NXDOMAIN_WAITS) ? 4 : 5, 1, 2, "domain does not exist");
	case ROUTE_DNS_FAILED:
		return fail(reterr, MUTANT(RELAY_SERVFAIL_RETURNS) ? 5 : 4, 4, 3,
			    "looking up the domain's mail exchangers failed");
	case ROUTE_DNS_NODATA:
		return implicit_mx(s, domain, ret_hosts, reterr);
	case ROUTE_DNS_FOUND:
		break;
	}
	assert(mx_count > 0);
	own = own_preference(s, mx, mx_count);
	if (MUTANT(RELAY_SELF_DROPS_ALL) && own != UINT32_MAX)
		own = 0;
	ret_hosts->count = 0;
	for (uint32_t i = 0; i < mx_count; i++) {
		if (is_null_mx(&mx[i]))
			continue;
		named_count++;
		if (mx[i].preference < own || MUTANT(RELAY_SELF_IGNORED) ||
		    (MUTANT(RELAY_SELF_KEEPS_EQUALS) && mx[i].preference == own &&
		     !is_own_name(s, mx[i].host)))
			rank(&ranking, &mx[i], MUTANT(RELAY_MX_NOT_DRAWN) ? 0 : random(random_ctx));
	}
	if (named_count == 0 && MUTANT(RELAY_NULL_MX_TRIED))
		return implicit_mx(s, domain, ret_hosts, reterr);
	if (named_count == 0)
		return fail(reterr, 5, 1, 10, "domain does not accept mail (null MX)");
	if (ret_hosts->count == 0)
		return fail(reterr, 5, 4, 6, "mail for this domain loops back to this host");
	return ROUTE_OK;
}

void route_from_host(struct span host, struct route_hosts *ret_hosts)
{
	ret_hosts->count = 1;
	ret_hosts->hosts[0] = (struct route_host){ .name = host, .configured = true };
}

/* ---- addresses ---- */

static bool is_own_endpoint(const struct route_settings *s, const struct route_addr *addr, uint16_t port)
{
	for (uint32_t i = 0; i < s->own_endpoint_count; i++)
		if (s->own_endpoints[i].port == port && route_addr_eq(&s->own_endpoints[i].addr, addr) &&
		    !MUTANT(RELAY_SELF_BY_NAME))
			return true;
	return false;
}

static bool has_own_endpoint(const struct route_settings *s, const struct route_addresses *a, uint16_t port)
{
	for (uint32_t i = 0; a->result == ROUTE_DNS_FOUND && i < a->count; i++)
		if (is_own_endpoint(s, &a->addrs[i], port))
			return true;
	return false;
}

/* How many hosts come before the first one, in order of preference, that is or equals ourselves. */
static uint32_t usable_hosts(const struct route_settings *s, const struct route_hosts *hosts,
			     const struct route_addresses *addresses, uint16_t port)
{
	for (uint32_t i = 0; i < hosts->count; i++) {
		if (!has_own_endpoint(s, &addresses[i], port) || MUTANT(RELAY_SELF_IGNORED))
			continue;
		while (i > 0 && hosts->hosts[i - 1].preference == hosts->hosts[i].preference)
			i--;
		return i;
	}
	return hosts->count;
}

static bool has_target(const struct route_targets *t, const struct route_addr *addr)
{
	for (uint32_t i = 0; i < t->count; i++)
		if (route_addr_eq(&t->targets[i].addr, addr))
			return true;
	return false;
}

static enum route_result no_target(const struct route_hosts *hosts, uint32_t usable_count, bool any_failed,
				   struct route_error *reterr)
{
	bool configured = hosts->count > 0 && hosts->hosts[0].configured;

	/* A mistake in our own settings is no reason to return anyone's mail. */
	if (configured && usable_count == 0)
		return fail(reterr, 4, 3, 5, "the configured next hop is this host itself");
	if (usable_count == 0)
		return fail(reterr, 5, 4, 6, "mail for this domain loops back to this host");
	if (any_failed)
		return fail(reterr, MUTANT(RELAY_HOST_SERVFAIL_RETURNS) ? 5 : 4, 4, 3,
			    "looking up the mail exchanger's address failed");
	if (configured)
		return fail(reterr, 4, 3, 5, "the configured next hop has no address");
	if (hosts->hosts[0].implicit)
		return fail(reterr, 5, 1, 2, "domain has neither mail exchanger nor address");
	return fail(reterr, 5, 4, 4, "no mail exchanger of the domain has an address");
}

enum route_result route_to_targets(const struct route_settings *s, const struct route_hosts *hosts,
				   const struct route_addresses *addresses, uint16_t port,
				   struct route_targets *ret_targets, struct route_error *reterr)
{
	uint32_t usable_count = usable_hosts(s, hosts, addresses, port);
	uint32_t count_max = s->target_count_max == 0 ? TARGETS_DEFAULT : s->target_count_max;
	bool any_failed = false;

	if (count_max < TARGETS_LEAST)
		count_max = TARGETS_LEAST;
	if (count_max > ROUTE_TARGETS_MAX)
		count_max = ROUTE_TARGETS_MAX;
	if (MUTANT(RELAY_ONE_ADDRESS))
		count_max = 1;
	ret_targets->count = 0;
	for (uint32_t i = 0; i < usable_count; i++) {
		/* One host's many addresses must not crowd out the next host (RFC 5321 5.1). */
		uint32_t host_max =
			i + 1 < usable_count ? ret_targets->count + (count_max + 1) / 2 : count_max;

		any_failed |= addresses[i].result == ROUTE_DNS_FAILED;
		if (addresses[i].result != ROUTE_DNS_FOUND && MUTANT(RELAY_NO_ADDRESS_ENDS))
			break;
		if (addresses[i].result != ROUTE_DNS_FOUND)
			continue;
		for (uint32_t k = 0; k < addresses[i].count && k < ROUTE_ADDRS_PER_HOST_MAX; k++) {
			if (ret_targets->count == count_max || ret_targets->count == host_max)
				break;
			if (has_target(ret_targets, &addresses[i].addrs[k]))
				continue;
			ret_targets->targets[ret_targets->count++] = (struct route_target){
				.addr = addresses[i].addrs[k], .port = port, .host_index = i
			};
		}
	}
	if (ret_targets->count > 0)
		return ROUTE_OK;
	return no_target(hosts, usable_count, any_failed, reterr);
}
