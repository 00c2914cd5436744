/*
 * tls_policy: rules and facts in, a plan out, shown as one line of text.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/buf.h"
#include "reference-server/policy/tls_policy.h"

static void the_most_specific_rule_counts(void **state)
{
	(void)state;
	char below[] = ".b.example", deeper[] = ".a.b.example", exact[] = "b.example",
	     other[] = "x.a.b.example";
	const struct tls_rule rules[] = {
		{ .domain = below }, { .domain = deeper }, { .domain = exact }, { .domain = other }
	};
	static const struct {
		const char *domain;
		const char *want;
	} rows[] = {
		{ "b.example", "b.example" },
		{ "B.Example", "b.example" },
		{ "c.b.example", ".b.example" },
		{ "c.a.b.example", ".a.b.example" },
		{ "x.a.b.example", "x.a.b.example" },
		{ "ab.example", "" },
		{ "example", "" },
		{ "", "" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct tls_rule *r = tls_rule_find(rules, 4, span_of(rows[i].domain));
		if (strcmp(r != NULL ? r->domain : "", rows[i].want) != 0)
			fail_msg("%s: got %s, wanted %s", rows[i].domain, r != NULL ? r->domain : "none",
				 rows[i].want);
	}
	assert_null(tls_rule_find(NULL, 0, SPAN_LIT("b.example")));
}

/* RFC 8461 4.1. */
static void a_star_stands_for_one_label(void **state)
{
	(void)state;
	static const struct {
		const char *pattern, *host;
		bool matches;
	} rows[] = {
		{ "mail.example.com", "mail.example.com", true },
		{ "mail.example.com", "MAIL.Example.COM", true },
		{ "mail.example.com", "mail.example.com.evil.example", false },
		{ "*.example.com", "mail.example.com", true },
		{ "*.example.com", "example.com", false },
		{ "*.example.com", "foo.bar.example.com", false },
		{ "*.example.com", ".example.com", false },
		{ "*.example.com", "mailexample.com", false },
		{ "*.example.com", "mail.example.net", false },
	};
	static const struct {
		const char *pattern;
		bool valid;
	} valid[] = {
		{ "mx.example", true },  { "*.example.com", true }, { "*", false },           { "*.", false },
		{ "m*.example", false }, { "a.*.example", false },  { "*.*.example", false }, { "", false },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (tls_mx_matches(span_of(rows[i].pattern), span_of(rows[i].host)) != rows[i].matches)
			fail_msg("%s and %s", rows[i].pattern, rows[i].host);
	for (size_t i = 0; i < sizeof(valid) / sizeof(valid[0]); i++)
		if (tls_mx_pattern_is_valid(span_of(valid[i].pattern)) != valid[i].valid)
			fail_msg("validity of \"%s\"", valid[i].pattern);
}

enum rule_kind { NO_RULE, PLAIN, LISTED, PINNED };

static const struct plan_row {
	const char *name;
	enum rule_kind rule;
	enum tls_policy policy;
	bool testing, other_host, mx, secure;
	enum tls_dane dane;
	enum tls_wish wish;
	const char *want;
} plan_rows[] = {
	{ "no rule: as usual", NO_RULE, TLS_POLICY_MAY, .mx = true, .want = "may" },
	{ "none", PLAIN, TLS_POLICY_NONE, .mx = true, .want = "none" },
	{ "none, and TLSA records", PLAIN, TLS_POLICY_NONE, .mx = true, .secure = true,
	  .dane = TLS_DANE_USABLE, .want = "none" },
	{ "require", PLAIN, TLS_POLICY_REQUIRE, .mx = true, .want = "require" },
	{ "verify, by MX that nothing proves", PLAIN, TLS_POLICY_VERIFY, .mx = true,
	  .want = "require chain" },
	{ "verify, by MX that DNSSEC proves", PLAIN, TLS_POLICY_VERIFY, .mx = true, .secure = true,
	  .want = "require chain proven" },
	{ "verify, a host of the configuration", PLAIN, TLS_POLICY_VERIFY, .want = "require chain proven" },
	{ "listed host", LISTED, TLS_POLICY_VERIFY, .mx = true, .want = "require chain proven" },
	{ "other host", LISTED, TLS_POLICY_VERIFY, .mx = true, .other_host = true,
	  .want = "refused require chain" },
	{ "pins", PINNED, TLS_POLICY_VERIFY, .mx = true, .want = "require chain pins proven" },
	{ "testing", PINNED, TLS_POLICY_MAY, .testing = true, .mx = true,
	  .want = "may chain only-told pins" },
	{ "testing, other host", LISTED, TLS_POLICY_MAY, .testing = true, .other_host = true, .mx = true,
	  .want = "told may chain only-told" },
	{ "testing does not soften what is required anyway", LISTED, TLS_POLICY_VERIFY, .testing = true,
	  .mx = true, .want = "require chain proven" },
	{ "TLSA records", NO_RULE, TLS_POLICY_MAY, .mx = true, .secure = true, .dane = TLS_DANE_USABLE,
	  .want = "require dane proven" },
	{ "TLSA records of an unknown kind", NO_RULE, TLS_POLICY_MAY, .mx = true, .secure = true,
	  .dane = TLS_DANE_UNUSABLE, .want = "require" },
	{ "such, and verify", PLAIN, TLS_POLICY_VERIFY, .mx = true, .secure = true, .dane = TLS_DANE_UNUSABLE,
	  .want = "require chain proven" },
	{ "TLSA records and a list", PINNED, TLS_POLICY_VERIFY, .mx = true, .secure = true,
	  .dane = TLS_DANE_USABLE, .want = "require dane pins proven" },
	{ "TLSA records and another host", LISTED, TLS_POLICY_VERIFY, .mx = true, .secure = true,
	  .other_host = true, .dane = TLS_DANE_USABLE, .want = "refused require dane proven" },
	{ "TLSA records and testing", PINNED, TLS_POLICY_MAY, .testing = true, .mx = true, .secure = true,
	  .dane = TLS_DANE_USABLE, .want = "require dane proven" },
	{ "REQUIRETLS, MX not proven", NO_RULE, TLS_POLICY_MAY, .mx = true, .wish = TLS_WISH_REQUIRED,
	  .want = "refused require chain" },
	{ "REQUIRETLS, MX secure", NO_RULE, TLS_POLICY_MAY, .mx = true, .secure = true,
	  .wish = TLS_WISH_REQUIRED, .want = "require chain proven" },
	{ "REQUIRETLS, no MX", NO_RULE, TLS_POLICY_MAY, .wish = TLS_WISH_REQUIRED,
	  .want = "require chain proven" },
	{ "REQUIRETLS, listed", LISTED, TLS_POLICY_VERIFY, .mx = true, .wish = TLS_WISH_REQUIRED,
	  .want = "require chain proven" },
	{ "REQUIRETLS, listed for testing", LISTED, TLS_POLICY_MAY, .testing = true, .mx = true,
	  .wish = TLS_WISH_REQUIRED, .want = "require chain proven" },
	{ "REQUIRETLS, not listed, for testing", LISTED, TLS_POLICY_MAY, .testing = true, .mx = true,
	  .other_host = true, .wish = TLS_WISH_REQUIRED, .want = "refused told require chain" },
	{ "REQUIRETLS against none", PLAIN, TLS_POLICY_NONE, .wish = TLS_WISH_REQUIRED,
	  .want = "require chain proven" },
	{ "TLS-Required: No", NO_RULE, TLS_POLICY_MAY, .mx = true, .wish = TLS_WISH_OPTIONAL, .want = "may" },
	{ "TLS-Required: No, and TLSA records", NO_RULE, TLS_POLICY_MAY, .mx = true, .secure = true,
	  .dane = TLS_DANE_USABLE, .wish = TLS_WISH_OPTIONAL, .want = "may" },
	{ "TLS-Required: No, and a list of the domain's", PINNED, TLS_POLICY_MAY, .mx = true,
	  .other_host = true, .testing = true, .wish = TLS_WISH_OPTIONAL, .want = "may" },
	{ "TLS-Required: No, and a level of ours", PLAIN, TLS_POLICY_VERIFY, .mx = true,
	  .wish = TLS_WISH_OPTIONAL, .want = "require chain" },
	{ "TLS-Required: No, and none", PLAIN, TLS_POLICY_NONE, .mx = true, .wish = TLS_WISH_OPTIONAL,
	  .want = "none" },
	{ "REQUIRETLS, TLSA records", NO_RULE, TLS_POLICY_MAY, .mx = true, .secure = true,
	  .dane = TLS_DANE_USABLE, .wish = TLS_WISH_REQUIRED, .want = "require dane proven" },
};

static void add(struct buf *b, bool said, const char *word)
{
	if (said)
		buf_addf(b, "%s%s", buf_bytes(b) > 0 ? " " : "", word);
}

static void a_plan_follows_from_rule_and_facts(void **state)
{
	(void)state;
	static const char *const policies[] = { "none", "may", "require", "verify" };
	char domain[] = "b.example", mx0[] = "mx.other.example", mx1[] = "*.b.example",
	     *mx[] = { mx0, mx1, NULL };
	uint8_t pins[TLS_POLICY_PIN_BYTES] = { 0 };

	for (size_t i = 0; i < sizeof(plan_rows) / sizeof(plan_rows[0]); i++) {
		const struct plan_row *r = &plan_rows[i];
		struct tls_rule rule = { .domain = domain,
					 .policy = r->policy,
					 .testing = r->testing,
					 .mx = mx,
					 .mx_count = r->rule >= LISTED ? 2 : 0,
					 .pins = pins,
					 .pin_count = r->rule == PINNED };
		struct tls_facts f = {
			.host = r->other_host ? SPAN_LIT("mx.evil.example") : SPAN_LIT("MX.b.example"),
			.from_mx = r->mx,
			.mx_is_secure = r->secure,
			.dane = r->dane,
			.wish = r->wish,
		};
		struct tls_plan p = tls_plan_make(r->rule != NO_RULE ? &rule : NULL, r->policy, &f);
		struct buf got = { 0 };
		add(&got, p.refused != NULL, "refused");
		add(&got, p.told != NULL, "told");
		add(&got, true, policies[p.policy]);
		add(&got, p.proof == TLS_PROOF_CHAIN, "chain");
		add(&got, p.proof == TLS_PROOF_DANE, "dane");
		add(&got, p.proof_is_only_told, "only-told");
		add(&got, p.uses_pins, "pins");
		add(&got, p.proves_host, "proven");
		if (strcmp(buf_cstr(&got), r->want) != 0)
			fail_msg("%s: got %s, wanted %s", r->name, buf_cstr(&got), r->want);
		assert_int_equal(p.testing, r->testing && r->wish != TLS_WISH_OPTIONAL);
		buf_free(&got);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_most_specific_rule_counts),
		cmocka_unit_test(a_star_stands_for_one_label),
		cmocka_unit_test(a_plan_follows_from_rule_and_facts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
