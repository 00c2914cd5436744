#include "harness/scenario/flow.h"

#include "base/buf.h"
#include "harness/scenario/target.h"
#include "tests/unit/harness/exact.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A whole good flow, in pieces that a test can replace. */
static const char HEAD[] = "flow: f\ntitle: t\n";
static const char HOSTS[] = "hosts:\n"
			    "  a: { domain: a.example, accounts: [ann] }\n"
			    "  b: { domain: b.example, accounts: [bob] }\n"
			    "  gone: { domain: gone.example, target: none }\n";
static const char TRAFFIC[] =
	"traffic:\n"
	"  - { name: t, from: ann@a.example, to: bob@b.example, rate: 10/s, for: 1s }\n";

static struct flow *read_text(const char *text, struct buf *messages)
{
	struct exact e = exact_of(span_of(text));
	struct flow *f = flow_read(
		&(struct flow_options){ .path = "t.yaml", .text = exact_span(e), .ret_messages = messages });
	exact_free(e);
	return f;
}

static struct flow *read_parts(const char *a, const char *b, const char *c, const char *d,
			       struct buf *messages)
{
	struct buf text = { 0 };

	buf_addf(&text, "%s%s%s%s", a, b, c, d);
	struct flow *f = read_text(buf_cstr(&text), messages);
	buf_free(&text);
	return f;
}

static void the_smallest_flow_has_the_documented_defaults(void **state)
{
	(void)state;
	struct buf messages = { 0 };
	struct flow *f = read_parts(HEAD, HOSTS, TRAFFIC, "", &messages);

	assert_string_equal(buf_cstr(&messages), "");
	assert_non_null(f);
	assert_int_equal(f->seed, 1);
	assert_int_equal(f->drain_ms, 60000);
	assert_int_equal(f->host_count, 3);
	assert_string_equal(f->hosts[1].mx_name, "mx.b.example");
	assert_string_equal(f->hosts[0].target, "reference");
	assert_null(f->hosts[0].accounts[0].password);
	assert_int_equal(f->hosts[0].smart_host, FLOW_NONE);
	const struct flow_traffic *t = &f->traffic[0];
	assert_int_equal(t->via, 0);
	assert_int_equal(t->service, FLOW_SUBMISSION);
	assert_int_equal(t->tls, FLOW_TLS_STARTTLS);
	assert_true(t->auth);
	assert_int_equal(t->arrival, FLOW_ARRIVAL_POISSON);
	assert_int_equal(t->outcome, FLOW_DELIVERED);
	assert_int_equal(t->duration_ms, 1000);
	assert_int_equal(t->message_count, 0);
	assert_int_equal(t->size_bytes_min, 4096);
	assert_int_equal(t->session_count, 4);
	assert_int_equal(t->to_count, 1);
	assert_int_equal(t->to[0].host, 1);
	assert_int_equal(t->to[0].account, 0);
	assert_string_equal(t->to[0].local_part, "bob");
	assert_int_equal(f->retrieve_count, 2); /* both accounts, though the file names none */
	assert_int_equal(f->retrieves[0].service, FLOW_POP3S);
	assert_int_equal(f->expect.ledger[FLOW_LEDGER_LOST].op, FLOW_COUNT_EQ);
	assert_int_equal(f->expect.ledger[FLOW_LEDGER_DELIVERED].op, FLOW_COUNT_ANY);
	flow_free(f);
	buf_free(&messages);
}

static void faults_and_expectations_are_read(void **state)
{
	(void)state;
	struct buf messages = { 0 };
	struct flow *f =
		read_parts(HEAD, HOSTS, TRAFFIC,
			   "faults:\n"
			   "  - { at: 5s, for: 10s, host: b, do: stop }\n"
			   "  - { at: 20s, host: b, do: restart }\n"
			   "  - { link: a -> b, do: delay, by: 50ms, for: 2s }\n"
			   "  - { link: a->b, do: reset, when: after-final-dot-before-250, count: 3 }\n"
			   "  - { dns: b.example, do: servfail, count: 2, at: 1s }\n"
			   "drain: 30s\n"
			   "expect:\n"
			   "  delivered: all\n"
			   "  bounced: <= 3\n"
			   "  queued: '>= 1'\n"
			   "  lost: 2\n"
			   "  drain: 10s\n"
			   "  latency: { end_to_end: { p99.9: 2s, max: 5s }, queue: { p50: 1s } }\n"
			   "limits: { send_lag: { p99: 20ms } }\n",
			   &messages);

	assert_string_equal(buf_cstr(&messages), "");
	assert_int_equal(f->fault_count, 5);
	assert_int_equal(f->faults[0].kind, FLOW_HOST_STOP);
	assert_int_equal(f->faults[0].at_ms, 5000);
	assert_int_equal(f->faults[0].for_ms, 10000);
	assert_int_equal(f->faults[0].host, 1);
	assert_int_equal(f->faults[1].kind, FLOW_HOST_RESTART);
	assert_int_equal(f->faults[1].for_ms, 0);
	assert_int_equal(f->faults[2].kind, FLOW_LINK_DELAY);
	assert_int_equal(f->faults[2].delay_ms, 50);
	assert_int_equal(f->faults[3].moment, FLOW_MOMENT_AFTER_FINAL_DOT_BEFORE_250);
	assert_int_equal(f->faults[3].count, 3);
	assert_int_equal(f->faults[3].for_ms, FLOW_FOREVER);
	assert_int_equal(f->faults[3].link_to, 1);
	assert_int_equal(f->faults[4].kind, FLOW_DNS_SERVFAIL);
	assert_string_equal(f->faults[4].domain, "b.example");
	assert_int_equal(f->expect.ledger[FLOW_LEDGER_DELIVERED].op, FLOW_COUNT_ALL);
	assert_int_equal(f->expect.ledger[FLOW_LEDGER_BOUNCED].op, FLOW_COUNT_MAX);
	assert_int_equal(f->expect.ledger[FLOW_LEDGER_BOUNCED].n, 3);
	assert_int_equal(f->expect.ledger[FLOW_LEDGER_QUEUED].op, FLOW_COUNT_MIN);
	assert_int_equal(f->expect.ledger[FLOW_LEDGER_LOST].n, 2);
	assert_int_equal(f->expect.drain_max_ms, 10000);
	assert_int_equal(f->expect.latency_count, 3);
	assert_int_equal(f->expect.latencies[0].metric, FLOW_METRIC_QUEUE);
	assert_int_equal(f->expect.latencies[2].max_ms, 5000);
	assert_int_equal(f->limits.send_lag_p99_ms, 20);
	assert_int_equal(f->limits.loop_lag_p99_ms, 100);
	flow_free(f);
	buf_free(&messages);
}

static const struct mistake {
	const char *name;
	const char *hosts;   /* NULL: HOSTS */
	const char *traffic; /* NULL: TRAFFIC */
	const char *rest;
	const char *message; /* must be among the messages */
} MISTAKES[] = {
	{ "unknown key", NULL, NULL, "fualts: []\n",
	  "t.yaml:9:1: error: unknown key \"fualts\"; did you mean \"faults\"?" },
	{ "no host", "hosts: {}\n", NULL, "", "t.yaml:3:1: error: a flow needs at least one host" },
	{ "host without domain",
	  "hosts:\n  a: { accounts: [ann] }\n  b: { domain: b.example, accounts: [bob] }\n", NULL, "",
	  "t.yaml:4:3: error: key \"domain\" is missing here" },
	{ "domain twice",
	  "hosts:\n  a: { domain: a.example, accounts: [ann] }\n  b: { domain: A.example, accounts: [bob] "
	  "}\n",
	  NULL, "", "t.yaml:5:16: error: domain \"A.example\" is already at home on host \"a\"" },
	{ "bad target", "hosts:\n  a: { domain: a.example, accounts: [ann], target: referense }\n", NULL, "",
	  "did you mean \"reference\"?" },
	{ "account twice", "hosts:\n  a: { domain: a.example, accounts: [ann, ann] }\n", NULL, "",
	  "error: account \"ann\" is here a second time" },
	{ "bad account", "hosts:\n  a: { domain: a.example, accounts: [\"a b\"] }\n", NULL, "",
	  "is no account name" },
	{ "smart host unknown", "hosts:\n  a: { domain: a.example, accounts: [ann], smart-host: hub }\n",
	  NULL, "", "there is no host \"hub\"" },
	{ "accounts where no server runs",
	  "hosts:\n  a: { domain: a.example, accounts: [ann], target: none }\n", NULL, "",
	  "no server runs on a host with target none" },
	{ "recipient without host", NULL,
	  "traffic:\n  - { name: t, from: ann@a.example, to: x@c.example, rate: 1/s, for: 1s }\n", "",
	  "t.yaml:8:41: error: no host has the domain \"c.example\"" },
	{ "recipient without account", NULL,
	  "traffic:\n  - { name: t, from: ann@a.example, to: x@b.example, rate: 1/s, for: 1s }\n", "",
	  "host \"b\" has no account \"x\"; say \"outcome: bounced\"" },
	{ "recipient where no server runs", NULL,
	  "traffic:\n  - { name: t, from: ann@a.example, to: x@gone.example, rate: 1/s, for: 1s }\n", "",
	  "host \"gone\" has target none; say \"outcome: bounced\"" },
	{ "recipient twice", NULL,
	  "traffic:\n  - { name: t, from: ann@a.example, to: [bob@b.example, bob@b.example], rate: 1/s, for: "
	  "1s }\n",
	  "", "recipient bob@b.example is here a second time" },
	{ "sender without account", NULL,
	  "traffic:\n  - { name: t, from: eve@a.example, to: bob@b.example, rate: 1/s, for: 1s }\n", "",
	  "eve@a.example has no account on host \"a\" to log in with" },
	{ "relaying for strangers", NULL,
	  "traffic:\n  - { name: t, from: ann@a.example, to: bob@b.example, service: smtp, rate: 1/s, for: "
	  "1s }\n",
	  "", "host \"a\" relays to bob@b.example only after a login" },
	{ "login without TLS", NULL,
	  "traffic:\n  - { name: t, from: ann@a.example, to: bob@b.example, tls: none, rate: 1/s, for: 1s "
	  "}\n",
	  "", "no server takes a password without TLS" },
	{ "no address", NULL, "traffic:\n  - { name: t, from: ann, to: bob@b.example, rate: 1/s, for: 1s }\n",
	  "", "\"ann\" is no address" },
	{ "count and for", NULL,
	  "traffic:\n  - { name: t, from: ann@a.example, to: bob@b.example, rate: 1/s, for: 1s, count: 3 }\n",
	  "", "say \"for\" or \"count\", not both" },
	{ "neither count nor for", NULL,
	  "traffic:\n  - { name: t, from: ann@a.example, to: bob@b.example, rate: 1/s }\n", "",
	  "key \"for\" or \"count\" is missing here" },
	{ "bad rate", NULL,
	  "traffic:\n  - { name: t, from: ann@a.example, to: bob@b.example, rate: 1/m, for: 1s }\n", "",
	  "expected a rate such as 80/s" },
	{ "too many messages", NULL,
	  "traffic:\n  - { name: t, from: ann@a.example, to: bob@b.example, rate: 100000/s, for: 1h }\n", "",
	  "more than 10000000 messages" },
	{ "size turned round", NULL,
	  "traffic:\n  - { name: t, from: ann@a.example, to: bob@b.example, rate: 1/s, for: 1s, size: "
	  "8KiB..2KiB }\n",
	  "", "the first size is larger than the second" },
	{ "size too small", NULL,
	  "traffic:\n  - { name: t, from: ann@a.example, to: bob@b.example, rate: 1/s, for: 1s, size: 10 }\n",
	  "", "10 is outside 512B to 64MiB" },
	{ "traffic name twice", NULL,
	  "traffic:\n  - { name: t, from: ann@a.example, to: bob@b.example, rate: 1/s, for: 1s }\n"
	  "  - { name: t, from: ann@a.example, to: bob@b.example, rate: 1/s, for: 1s }\n",
	  "", "t.yaml:9:13: error: traffic \"t\" is here a second time" },
	{ "retrieve of nobody", NULL, NULL, "retrieve:\n  - account: eve@b.example\n",
	  "there is no account eve@b.example" },
	{ "retrieve twice", NULL, NULL, "retrieve:\n  - account: bob@b.example\n  - account: bob@b.example\n",
	  "account bob@b.example is here a second time" },
	{ "fault at unknown host", NULL, NULL, "faults:\n  - { at: 1s, host: bb, do: stop }\n",
	  "t.yaml:10:21: error: there is no host \"bb\"" },
	{ "fault at nothing", NULL, NULL, "faults:\n  - { at: 1s, do: stop }\n",
	  "a fault says one of \"host\", \"link\" and \"dns\"" },
	{ "wrong deed", NULL, NULL, "faults:\n  - { host: b, do: refuse }\n",
	  "\"refuse\" is not one of stop, kill, restart" },
	{ "no arrow", NULL, NULL, "faults:\n  - { link: a b, do: refuse }\n", "expected a link such as" },
	{ "link to itself", NULL, NULL, "faults:\n  - { link: a -> a, do: refuse }\n",
	  "from one host to another" },
	{ "link to nowhere", NULL, NULL, "faults:\n  - { link: a -> gone, do: refuse }\n",
	  "so there is no link" },
	{ "delay without how long", NULL, NULL, "faults:\n  - { link: a -> b, do: delay }\n",
	  "key \"by\" is missing here" },
	{ "when with refuse", NULL, NULL, "faults:\n  - { link: a -> b, do: refuse, when: in-content }\n",
	  "\"when\" goes with \"do: reset\" only" },
	{ "overlap on a host", NULL, NULL,
	  "faults:\n  - { at: 1s, for: 5s, host: b, do: stop }\n  - { at: 3s, for: 1s, host: b, do: kill }\n",
	  "t.yaml:11:5: error: this fault and an earlier one overlap on the same host" },
	{ "moment on a blind link",
	  "hosts:\n  a: { domain: a.example, accounts: [ann], tls-out: yes }\n"
	  "  b: { domain: b.example, accounts: [bob] }\n",
	  NULL, "faults:\n  - { link: a -> b, do: reset, when: in-content }\n",
	  "nobody on the link can see this moment" },
	{ "bad count", NULL, NULL, "expect: { lost: none }\n", "expected \"all\", a number" },
	{ "bad percentile", NULL, NULL, "expect: { latency: { queue: { 99: 1s } } }\n",
	  "expected a percentile such as p99" },
	{ "unknown outcome", NULL, NULL, "expect: { lots: 0 }\n", "did you mean \"lost\"?" },
	{ "unknown metric", NULL, NULL, "expect: { latency: { quue: { p9: 1s } } }\n",
	  "did you mean \"queue\"?" },
	{ "drain longer than the wait", NULL, NULL, "drain: 5s\nexpect: { drain: 10s }\n",
	  "longer than the flow waits" },
	{ "bad record", NULL, NULL, "dns: { records: [\"x.example. MX\"] }\n", "no zone file line" },
	{ "absent domain that is there", NULL, NULL, "dns: { nxdomain: [b.example] }\n",
	  "is a domain of host \"b\"" },
	{ "bad fault domain", NULL, NULL, "faults:\n  - { dns: \"b..example\", do: servfail }\n",
	  "is no domain name" },
	{ "traffic that is no mapping", NULL, "traffic: [x]\n", "", "expected \"key: value\" lines" },
	{ "hosts that are no mapping", "hosts: [a]\n", NULL, "", "\"hosts\" wants \"key: value\" lines" },
	{ "unknown substitution", NULL, NULL, "seed: ${n}\n", "${n} has no value" },
};

static void each_mistake_is_found_at_its_place(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(MISTAKES) / sizeof(MISTAKES[0]); i++) {
		const struct mistake *m = &MISTAKES[i];
		struct buf messages = { 0 };
		struct flow *f = read_parts(HEAD, m->hosts != NULL ? m->hosts : HOSTS,
					    m->traffic != NULL ? m->traffic : TRAFFIC, m->rest, &messages);
		if (f != NULL || strstr(buf_cstr(&messages), m->message) == NULL)
			fail_msg("%s: no \"%s\" in:\n%s", m->name, m->message, buf_cstr(&messages));
		buf_free(&messages);
	}
}

static void many_mistakes_are_reported_together(void **state)
{
	(void)state;
	struct buf messages = { 0 };
	struct flow *f = read_parts(
		"flow: Bad Name\n", HOSTS,
		"traffic:\n  - { name: t, from: ann@a.example, to: x@c.example, rate: fast, for: 1s }\n",
		"faults:\n  - { host: c, do: stop }\n", &messages);

	assert_null(f);
	assert_non_null(strstr(buf_cstr(&messages), "is no flow name"));
	assert_non_null(strstr(buf_cstr(&messages), "key \"title\" is missing"));
	assert_non_null(strstr(buf_cstr(&messages), "no host has the domain"));
	assert_non_null(strstr(buf_cstr(&messages), "expected a rate"));
	assert_non_null(strstr(buf_cstr(&messages), "there is no host \"c\""));
	buf_free(&messages);
}

static void every_cut_of_a_good_flow_is_read_without_harm(void **state)
{
	(void)state;
	struct buf whole = { 0 };

	buf_addf(&whole, "%s%s%sfaults:\n  - { link: a -> b, do: reset, when: in-content, count: 3 }\n", HEAD,
		 HOSTS, TRAFFIC);
	for (size_t n = 1; n < buf_bytes(&whole); n++) {
		struct buf messages = { 0 };
		char *cut = malloc(n);
		assert_non_null(cut);
		memcpy(cut, buf_span(&whole).p, n);
		struct flow *f = flow_read(&(struct flow_options){
			.path = "t.yaml", .text = { cut, n }, .ret_messages = &messages });
		assert_true((f == NULL) == (buf_bytes(&messages) > 0));
		flow_free(f);
		free(cut);
		buf_free(&messages);
	}
	buf_free(&whole);
}

static void set_values_replace_what_the_file_leaves_open(void **state)
{
	(void)state;
	static const char TEXT[] =
		"flow: f\ntitle: t\nhosts: { a: { domain: a.example, accounts: [ann, bob] } }\n"
		"traffic: [{ name: t, from: ann@a.example, to: bob@a.example, rate: \"${rate:-5/s}\", for: "
		"1s }]\n";
	const char *const sets[] = { "rate=70.5/s", NULL };
	struct buf messages = { 0 };
	struct flow *f = flow_read(&(struct flow_options){
		.path = "t.yaml", .text = span_of(TEXT), .sets = sets, .ret_messages = &messages });

	assert_string_equal(buf_cstr(&messages), "");
	assert_true(f->traffic[0].rate_per_s > 70.4 && f->traffic[0].rate_per_s < 70.6);
	flow_free(f);
	buf_free(&messages);
}

static void every_target_that_a_flow_may_name_can_be_started(void **state)
{
	(void)state;
	assert_true(target_exists("reference"));
	assert_false(target_exists("none"));
	assert_false(target_exists("no-such-server"));
}

static void the_shipped_flows_have_no_mistakes(void **state)
{
	(void)state;
	static const char *const NAMES[] = { "three-steps", "next-hop-down", "enterprise-local",
					     "sender-told" };

	for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
		char path[PATH_MAX];
		struct buf messages = { 0 };
		assert_true(flow_find(NAMES[i], path, sizeof(path)));
		struct flow *f = flow_read(&(struct flow_options){ .path = path, .ret_messages = &messages });
		if (f == NULL)
			fail_msg("%s", buf_cstr(&messages));
		else
			assert_string_equal(f->name, NAMES[i]);
		flow_free(f);
		buf_free(&messages);
	}
	char path[PATH_MAX];
	assert_false(flow_find("no-such-flow", path, sizeof(path)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_smallest_flow_has_the_documented_defaults),
		cmocka_unit_test(faults_and_expectations_are_read),
		cmocka_unit_test(each_mistake_is_found_at_its_place),
		cmocka_unit_test(many_mistakes_are_reported_together),
		cmocka_unit_test(every_cut_of_a_good_flow_is_read_without_harm),
		cmocka_unit_test(set_values_replace_what_the_file_leaves_open),
		cmocka_unit_test(every_target_that_a_flow_may_name_can_be_started),
		cmocka_unit_test(the_shipped_flows_have_no_mistakes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
