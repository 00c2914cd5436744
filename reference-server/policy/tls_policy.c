#include "reference-server/policy/tls_policy.h"

#include "reference-server/core/address.h"
#include "reference-server/core/mutant.h"

#include <string.h>

static bool covers(const struct tls_rule *rule, struct span domain)
{
	struct span name = span_of(rule->domain);

	if (name.n == 0 || name.p[0] != '.')
		return span_eq_nocase(name, domain);
	return domain.n > name.n && span_eq_nocase(span_sub(domain, domain.n - name.n, name.n), name);
}

const struct tls_rule *tls_rule_find(const struct tls_rule *rules, uint32_t rule_count, struct span domain)
{
	const struct tls_rule *best = NULL;

	for (uint32_t i = 0; i < rule_count; i++) {
		const struct tls_rule *r = &rules[i];
		if (!covers(r, domain))
			continue;
		if (r->domain[0] != '.')
			return r;
		if (best == NULL || strlen(r->domain) > strlen(best->domain))
			best = r;
	}
	return best;
}

bool tls_mx_pattern_is_valid(struct span pattern)
{
	(void)span_take_prefix_nocase(&pattern, SPAN_LIT("*."));
	return address_is_domain(pattern);
}

bool tls_mx_matches(struct span pattern, struct span host)
{
	if (!span_take_prefix_nocase(&pattern, SPAN_LIT("*")))
		return span_eq_nocase(pattern, host);
	size_t label_bytes = span_find(host, '.');
	return label_bytes > 0 && span_eq_nocase(span_sub(host, label_bytes, host.n), pattern);
}

static bool is_acceptable(const struct tls_rule *rule, struct span host)
{
	for (uint32_t i = 0; i < rule->mx_count; i++)
		if (tls_mx_matches(span_of(rule->mx[i]), host))
			return true;
	return false;
}

/* RFC 8689 4.2.1 step 2: by DNSSEC, by a policy, or it was not learnt from an MX record at all. */
static bool is_host_known(const struct tls_rule *rule, const struct tls_facts *f)
{
	return !f->from_mx || f->mx_is_secure || MUTANT(RELAY_REQUIRETLS_ANY_MX) ||
	       (rule != NULL && rule->mx_count > 0 && is_acceptable(rule, f->host));
}

struct tls_plan tls_plan_make(const struct tls_rule *rule, enum tls_policy usual, const struct tls_facts *f)
{
	if (f->wish == TLS_WISH_OPTIONAL) {
		bool of_domain = rule != NULL && rule->mx_count > 0;
		enum tls_policy policy = rule != NULL && !of_domain ? rule->policy : usual;
		bool verify = policy == TLS_POLICY_VERIFY;
		if (MUTANT(RELAY_TLS_OPTIONAL_IS_NONE))
			policy = TLS_POLICY_NONE;
		return (struct tls_plan){ .policy = verify ? TLS_POLICY_REQUIRE : policy,
					  .proof = verify ? TLS_PROOF_CHAIN : TLS_PROOF_NONE };
	}
	static const char *const not_listed = "the host is not among those of the domain's TLS policy";
	struct tls_plan p = { .policy = rule != NULL ? rule->policy : usual };
	bool testing = p.testing = rule != NULL && rule->testing;
	bool required = f->wish == TLS_WISH_REQUIRED && !MUTANT(RELAY_REQUIRETLS_IGNORED);
	bool never = p.policy == TLS_POLICY_NONE && !required;

	if (rule != NULL && rule->mx_count > 0 && !is_acceptable(rule, f->host)) {
		p.refused = testing ? NULL : not_listed;
		p.told = testing ? not_listed : NULL;
	}
	if (required && !is_host_known(rule, f))
		p.refused = "the message requires TLS, and nothing proves that this is a host of the domain";
	if (never)
		return p;
	if (f->dane == TLS_DANE_USABLE)
		p.proof = TLS_PROOF_DANE;
	else if (p.policy == TLS_POLICY_VERIFY || required || testing ||
		 (f->dane == TLS_DANE_UNUSABLE && MUTANT(RELAY_DANE_UNUSABLE_WANTS_CHAIN)))
		p.proof = TLS_PROOF_CHAIN;
	p.proof_is_only_told =
		testing && p.proof == TLS_PROOF_CHAIN && p.policy != TLS_POLICY_VERIFY && !required;
	bool dane = f->dane != TLS_DANE_NONE && !MUTANT(RELAY_DANE_CLEAR_WILL_DO) &&
		    !(f->dane == TLS_DANE_UNUSABLE && MUTANT(RELAY_DANE_UNUSABLE_IS_NONE));
	dane |= f->mx_is_secure && MUTANT(RELAY_DANE_NONE_WANTS_TLS);
	if (p.policy == TLS_POLICY_VERIFY || dane || required)
		p.policy = TLS_POLICY_REQUIRE;
	p.uses_pins = rule != NULL && rule->pin_count > 0 && (!testing || p.proof_is_only_told);
	p.proves_host = p.proof != TLS_PROOF_NONE && !p.proof_is_only_told && is_host_known(rule, f);
	return p;
}
