/*
 * route: DNS facts in, ordered hosts and addresses out, shown as one line of
 * text.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/buf.h"
#include "reference-server/policy/route.h"

static const struct span own_names[] = { { "relay.example", 13 } };
static const struct route_endpoint own_endpoints[] = { { { false, { 10, 0, 0, 1 } }, 25 } };
static const struct route_rule rules[] = {
	{ { "*", 1 }, { "smart.example", 13 }, 587, false },
	{ { ".b.example", 10 }, { "below", 5 }, 25, false },
	{ { ".a.b.example", 12 }, { "deeper", 6 }, 25, false },
	{ { "b.example", 9 }, { "exact", 5 }, 26, false },
};
static const struct route_settings settings = {
	.mx_port = 25,
	.own_names = own_names,
	.own_name_count = 1,
	.own_endpoints = own_endpoints,
	.own_endpoint_count = 1,
};

/* 5, 4, 3 ... : later ones draw the lower lot. */
static uint64_t falling(void *ctx)
{
	uint64_t *next = ctx;
	return (*next)--;
}

static uint64_t rising(void *ctx)
{
	uint64_t *next = ctx;
	return (*next)++;
}

#define MX(pref, name)                         \
	{                                      \
		pref,                          \
		{                              \
			name, sizeof(name) - 1 \
		}                              \
	}

static const struct mx_row {
	const char *name;
	enum route_dns result;
	uint32_t count;
	struct route_mx mx[4];
	const char *want; /* "host host", or "T 4.4.3", "P 5.1.2" */
} mx_rows[] = {
	{ "sorted by preference", ROUTE_DNS_FOUND, 3, { MX(20, "b"), MX(5, "a"), MX(300, "c") }, "a b c" },
	{ "equals by lot",
	  ROUTE_DNS_FOUND,
	  4,
	  { MX(10, "a"), MX(10, "b"), MX(5, "c"), MX(10, "d") },
	  "c d b a" },
	{ "no MX is the domain itself", ROUTE_DNS_NODATA, 0, { { 0 } }, "x.example" },
	{ "no such domain", ROUTE_DNS_NXDOMAIN, 0, { { 0 } }, "P 5.1.2" },
	{ "lookup failed", ROUTE_DNS_FAILED, 0, { { 0 } }, "T 4.4.3" },
	{ "null MX", ROUTE_DNS_FOUND, 1, { MX(0, "") }, "P 5.1.10" },
	{ "null MX as a dot", ROUTE_DNS_FOUND, 1, { MX(0, ".") }, "P 5.1.10" },
	{ "null MX beside others is ignored", ROUTE_DNS_FOUND, 2, { MX(0, "."), MX(7, "a") }, "a" },
	{ "backup drops itself, equals and worse",
	  ROUTE_DNS_FOUND,
	  4,
	  { MX(20, "b"), MX(20, "Relay.Example."), MX(10, "a"), MX(30, "c") },
	  "a" },
	{ "we are the best ourselves",
	  ROUTE_DNS_FOUND,
	  2,
	  { MX(10, "relay.example"), MX(10, "a") },
	  "P 5.4.6" },
	{ "a longer name is not ours", ROUTE_DNS_FOUND, 1, { MX(10, "xrelay.example") }, "xrelay.example" },
};

static void show_hosts(struct buf *out, enum route_result result, const struct route_hosts *hosts,
		       const struct route_error *e)
{
	if (result != ROUTE_OK) {
		buf_add_cstr(out, result == ROUTE_TEMPORARY ? "T " : "P ");
		smtp_status_add(out, e->status);
		assert_true(strlen(e->text) > 0);
		return;
	}
	for (uint32_t i = 0; i < hosts->count; i++) {
		buf_add_cstr(out, i > 0 ? " " : "");
		buf_add(out, hosts->hosts[i].name);
	}
}

static void mx_answers_become_ordered_hosts(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(mx_rows) / sizeof(mx_rows[0]); i++) {
		const struct mx_row *row = &mx_rows[i];
		struct route_hosts hosts;
		struct route_error e;
		struct buf out = { 0 };
		uint64_t lot = 100;
		enum route_result result = route_from_mx(&settings, SPAN_LIT("x.example"), row->result,
							 row->mx, row->count, falling, &lot, &hosts, &e);

		show_hosts(&out, result, &hosts, &e);
		if (strcmp(buf_cstr(&out), row->want) != 0)
			fail_msg("%s: %s", row->name, buf_cstr(&out));
		buf_free(&out);
	}
}

static void our_own_domain_without_mx_is_a_loop(void **state)
{
	struct route_hosts hosts;
	struct route_error e;
	(void)state;

	assert_int_equal(route_from_mx(&settings, SPAN_LIT("relay.example"), ROUTE_DNS_NODATA, NULL, 0,
				       rising, &(uint64_t){ 0 }, &hosts, &e),
			 ROUTE_PERMANENT);
	assert_int_equal(e.status.detail, 6);
}

static void of_hundreds_the_best_are_kept(void **state)
{
	static char names[300][2];
	struct route_mx mx[300];
	struct route_hosts hosts;
	struct route_error e;
	uint64_t lot = 0;
	(void)state;

	for (uint16_t i = 0; i < 300; i++)
		mx[i] = (struct route_mx){ (uint16_t)(1000 - i), { names[i], 2 } };
	assert_int_equal(
		route_from_mx(&settings, SPAN_LIT("x"), ROUTE_DNS_FOUND, mx, 300, rising, &lot, &hosts, &e),
		ROUTE_OK);
	assert_int_equal(hosts.count, ROUTE_HOSTS_MAX);
	for (uint32_t i = 0; i < hosts.count; i++)
		assert_int_equal(hosts.hosts[i].preference, 701 + i);
}

static void equal_preferences_share_the_first_place(void **state)
{
	static const struct route_mx mx[] = { MX(10, "a"), MX(10, "b"), MX(10, "c") };
	uint32_t first[3] = { 0 };
	(void)state;

	/* Lots that rise, and wrap to 0 at the first, second or third host. */
	for (uint64_t i = 0; i < 3; i++) {
		struct route_hosts hosts;
		struct route_error e;
		uint64_t lot = (uint64_t)0 - i;

		route_from_mx(&settings, SPAN_LIT("x"), ROUTE_DNS_FOUND, mx, 3, rising, &lot, &hosts, &e);
		first[hosts.hosts[0].name.p[0] - 'a']++;
	}
	for (int i = 0; i < 3; i++)
		assert_int_equal(first[i], 1);
}

/* ---- addresses ---- */

#define V4(d)                       \
	{                           \
		false,              \
		{                   \
			10, 0, 0, d \
		}                   \
	}
static const struct route_addr one[] = { V4(2) };
static const struct route_addr two[] = { V4(3), V4(4) };
static const struct route_addr again[] = { V4(3), V4(5) };
static const struct route_addr self[] = { V4(9), V4(1) };
static const struct route_addr many[] = { V4(10), V4(11), V4(12), V4(13), V4(14), V4(15),
					  V4(16), V4(17), V4(18), V4(19), V4(20), V4(21) };
static const struct route_addr v6[] = { { true, { 10, 0, 0, 1 } } };

#define FOUND(a)                                             \
	{                                                    \
		ROUTE_DNS_FOUND, a, sizeof(a) / sizeof(a[0]) \
	}
#define NONE                              \
	{                                 \
		ROUTE_DNS_NODATA, NULL, 0 \
	}
#define NX                                  \
	{                                   \
		ROUTE_DNS_NXDOMAIN, NULL, 0 \
	}
#define FAILED                            \
	{                                 \
		ROUTE_DNS_FAILED, NULL, 0 \
	}

static const struct target_row {
	const char *name;
	uint32_t count;
	uint16_t preference[3];
	struct route_addresses addresses[3];
	uint16_t port;
	bool implicit, configured;
	const char *want; /* last bytes of the addresses */
} target_rows[] = {
	{ "in order, the resolver's order kept",
	  2,
	  { 1, 2 },
	  { FOUND(two), FOUND(one) },
	  25,
	  false,
	  false,
	  "3 4 2 " },
	{ "doubles once", 2, { 1, 2 }, { FOUND(two), FOUND(again) }, 25, false, false, "3 4 5 " },
	{ "host without address is passed over",
	  3,
	  { 1, 2, 3 },
	  { NONE, NX, FOUND(one) },
	  25,
	  false,
	  false,
	  "2 " },
	{ "failed lookup beside a good one", 2, { 1, 2 }, { FAILED, FOUND(one) }, 25, false, false, "2 " },
	{ "all failed", 2, { 1, 2 }, { FAILED, FAILED }, 25, false, false, "T 4.4.3" },
	{ "one failed, the other has none", 2, { 1, 2 }, { NX, FAILED }, 25, false, false, "T 4.4.3" },
	{ "MX hosts without addresses", 2, { 1, 2 }, { NX, NONE }, 25, false, false, "P 5.4.4" },
	{ "implicit MX without address", 1, { 0 }, { NONE }, 25, true, false, "P 5.1.2" },
	{ "own address ends the list",
	  3,
	  { 1, 2, 3 },
	  { FOUND(one), FOUND(self), FOUND(two) },
	  25,
	  false,
	  false,
	  "2 " },
	{ "own address drops its equals too",
	  3,
	  { 1, 2, 2 },
	  { FOUND(one), FOUND(two), FOUND(self) },
	  25,
	  false,
	  false,
	  "2 " },
	{ "own address first", 2, { 1, 2 }, { FOUND(self), FOUND(two) }, 25, false, false, "P 5.4.6" },
	{ "own address, another port", 1, { 1 }, { FOUND(self) }, 26, false, false, "9 1 " },
	{ "same bytes in IPv6 are another address", 1, { 1 }, { FOUND(v6) }, 25, false, false, "1 " },
	{ "one host's many do not crowd out the next",
	  2,
	  { 1, 2 },
	  { FOUND(many), FOUND(one) },
	  25,
	  false,
	  false,
	  "10 11 12 13 14 2 " },
	{ "a single host may have all places",
	  1,
	  { 1 },
	  { FOUND(many) },
	  25,
	  false,
	  false,
	  "10 11 12 13 14 15 16 17 18 19 " },
	{ "smart host without address waits", 1, { 0 }, { NX }, 25, false, true, "T 4.3.5" },
	{ "smart host that is ourselves waits", 1, { 0 }, { FOUND(self) }, 25, false, true, "T 4.3.5" },
};

static void addresses_become_ordered_targets(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(target_rows) / sizeof(target_rows[0]); i++) {
		const struct target_row *row = &target_rows[i];
		struct route_hosts hosts = { .count = row->count };
		struct route_targets targets;
		struct route_error e;
		struct buf out = { 0 };

		for (uint32_t k = 0; k < row->count; k++)
			hosts.hosts[k] = (struct route_host){ .preference = row->preference[k],
							      .implicit = row->implicit,
							      .configured = row->configured };
		enum route_result result =
			route_to_targets(&settings, &hosts, row->addresses, row->port, &targets, &e);
		if (result != ROUTE_OK)
			show_hosts(&out, result, NULL, &e);
		else
			for (uint32_t k = 0; k < targets.count; k++) {
				const struct route_target *t = &targets.targets[k];
				buf_addf(&out, "%u ", t->addr.bytes[3]);
				assert_int_equal(t->port, row->port);
				assert_true(t->host_index < row->count);
			}
		if (strcmp(buf_cstr(&out), row->want) != 0)
			fail_msg("%s: %s", row->name, buf_cstr(&out));
		buf_free(&out);
	}
}

static void target_maximum_is_kept_and_at_least_two(void **state)
{
	struct route_addresses addresses = FOUND(many);
	struct route_settings s = settings;
	struct route_hosts hosts;
	struct route_targets targets;
	struct route_error e;
	(void)state;

	route_from_host(SPAN_LIT("h"), &hosts);
	s.target_count_max = 1;
	assert_int_equal(route_to_targets(&s, &hosts, &addresses, 25, &targets, &e), ROUTE_OK);
	assert_int_equal(targets.count, 2);
	s.target_count_max = UINT32_MAX;
	assert_int_equal(route_to_targets(&s, &hosts, &addresses, 25, &targets, &e), ROUTE_OK);
	assert_int_equal(targets.count, 12);
}

static void the_most_specific_rule_wins(void **state)
{
	static const struct {
		const char *domain, *host;
	} want[] = {
		{ "b.example", "exact" },          { "B.Example.", "exact" },
		{ "x.b.example", "below" },        { "x.a.b.example", "deeper" },
		{ "xb.example", "smart.example" }, { "other", "smart.example" },
		{ ".b.example", "smart.example" },
	};
	struct route_settings s = { .rules = rules, .rule_count = 4 };
	(void)state;

	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		const struct route_rule *rule = route_find_rule(&s, span_of(want[i].domain));
		assert_non_null(rule);
		if (!span_eq(rule->host, span_of(want[i].host)))
			fail_msg("%s: %.*s", want[i].domain, SPAN_FMT(rule->host));
	}
	s.rules = rules + 1;
	s.rule_count = 3;
	assert_null(route_find_rule(&s, SPAN_LIT("other")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mx_answers_become_ordered_hosts),
		cmocka_unit_test(our_own_domain_without_mx_is_a_loop),
		cmocka_unit_test(of_hundreds_the_best_are_kept),
		cmocka_unit_test(equal_preferences_share_the_first_place),
		cmocka_unit_test(addresses_become_ordered_targets),
		cmocka_unit_test(target_maximum_is_kept_and_at_least_two),
		cmocka_unit_test(the_most_specific_rule_wins),
	};
	return cmocka_run_group_tests_name("route", tests, NULL, NULL);
}
