#include "harness/scenario/flow_read.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FAULTS_MAX = 256 };

static const int64_t TIME_MS_MAX = 24LL * 3600 * 1000;

/* ---- faults ---- */

static bool is_host_fault(enum flow_fault_kind k)
{
	return k <= FLOW_HOST_RESTART;
}

static bool is_link_fault(enum flow_fault_kind k)
{
	return k >= FLOW_LINK_REFUSE && k <= FLOW_LINK_DELAY;
}

static bool runs_no_server(const struct flow_reader *r, int32_t host)
{
	return strcmp(r->flow->hosts[host].target, "none") == 0;
}

/* "isp2 -> fredsco" */
static void read_link(struct flow_reader *r, const struct yaml_node *map, struct flow_fault *f)
{
	const struct yaml_node *n = yaml_get(map, "link");
	const char *text;

	if (!yaml_as_str(n, &text))
		return;
	const char *arrow = strstr(text, "->");
	if (arrow == NULL) {
		yaml_error(r->y, n, "expected a link such as \"isp2 -> fredsco\", found \"%s\"", text);
		return;
	}
	int32_t from = flow_host_at(r, n, span_trim((struct span){ text, (size_t)(arrow - text) }));
	int32_t to = flow_host_at(r, n, span_trim(span_of(arrow + 2)));
	if (from == FLOW_NONE || to == FLOW_NONE)
		return;
	if (from == to)
		yaml_error(r->y, n, "a link leads from one host to another");
	if (runs_no_server(r, from) || runs_no_server(r, to))
		yaml_error(r->y, n, "host \"%s\" has target none, so there is no link",
			   r->flow->hosts[runs_no_server(r, from) ? from : to].name);
	f->link_from = (uint32_t)from;
	f->link_to = (uint32_t)to;
}

static void read_host(struct flow_reader *r, const struct yaml_node *map, struct flow_fault *f)
{
	int32_t host = flow_get_host(r, map, "host");

	if (host == FLOW_NONE)
		return;
	f->host = (uint32_t)host;
	if (runs_no_server(r, host))
		yaml_error(r->y, yaml_get(map, "host"),
			   "host \"%s\" has target none: there is nothing to stop",
			   r->flow->hosts[host].name);
}

static void read_domain(struct flow_reader *r, const struct yaml_node *map, struct flow_fault *f)
{
	if (yaml_get_str(map, "dns", &f->domain) && !flow_is_domain(span_of(f->domain)))
		yaml_error(r->y, yaml_get(map, "dns"), "\"%s\" is no domain name", f->domain);
}

/* Where the fault strikes and what it does there; false when that stays unknown. */
static bool read_kind(struct flow_reader *r, const struct yaml_node *map, struct flow_fault *f)
{
	static const char *const HOST_DEEDS[] = { "stop", "kill", "restart", NULL };
	static const char *const LINK_DEEDS[] = { "refuse", "blackhole", "reset", "delay", NULL };
	static const char *const DNS_DEEDS[] = { "servfail", "nxdomain", "timeout", NULL };
	bool host = yaml_get(map, "host") != NULL, link = yaml_get(map, "link") != NULL;
	bool dns = yaml_get(map, "dns") != NULL;
	uint32_t deed;

	if (host + link + dns != 1) {
		yaml_error(r->y, map, "a fault says one of \"host\", \"link\" and \"dns\"");
		return false;
	}
	if (host)
		read_host(r, map, f);
	else if (link)
		read_link(r, map, f);
	else
		read_domain(r, map, f);
	const char *const *deeds = host ? HOST_DEEDS : link ? LINK_DEEDS : DNS_DEEDS;
	if (!yaml_require(map, "do") || !yaml_get_choice(map, "do", deeds, &deed))
		return false;
	f->kind = (enum flow_fault_kind)(deed + (host   ? FLOW_HOST_STOP
						 : link ? FLOW_LINK_REFUSE
							: FLOW_DNS_SERVFAIL));
	return true;
}

/* A key that means something for some kinds only. */
static void only_with(struct flow_reader *r, const struct yaml_node *map, const char *key, bool fits,
		      const char *with)
{
	if (!fits && yaml_get(map, key) != NULL)
		yaml_error_at_key(r->y, yaml_get(map, key), "\"%s\" goes with %s only", key, with);
}

static void read_moment(struct flow_reader *r, const struct yaml_node *map, struct flow_fault *f)
{
	static const char *const MOMENTS[] = { "any-time", "after-connect", "in-content",
					       "after-final-dot-before-250", NULL };
	uint32_t moment = FLOW_MOMENT_NONE;

	(void)yaml_get_choice(map, "when", MOMENTS, &moment);
	f->moment = (enum flow_moment)moment;
	only_with(r, map, "when", f->kind == FLOW_LINK_RESET, "\"do: reset\"");
	only_with(r, map, "after-bytes", f->moment == FLOW_MOMENT_IN_CONTENT, "\"when: in-content\"");
	only_with(r, map, "count", f->moment != FLOW_MOMENT_NONE || f->kind >= FLOW_DNS_SERVFAIL,
		  "\"when\" and with dns faults");
	(void)yaml_get_size_bytes(map, "after-bytes", 0, 64 << 20, &f->at_byte);
	(void)yaml_get_u32(map, "count", 1, UINT32_MAX, &f->count);
	bool reads_content =
		f->moment == FLOW_MOMENT_IN_CONTENT || f->moment == FLOW_MOMENT_AFTER_FINAL_DOT_BEFORE_250;
	if (reads_content && f->link_from < r->flow->host_count && r->flow->hosts[f->link_from].tls_out)
		yaml_error(r->y, yaml_get(map, "when"),
			   "host \"%s\" has \"tls-out: yes\", so nobody on the link can see this moment",
			   r->flow->hosts[f->link_from].name);
}

static void read_times(struct flow_reader *r, const struct yaml_node *map, struct flow_fault *f)
{
	(void)yaml_get_duration_ms(map, "at", 0, TIME_MS_MAX, &f->at_ms);
	f->for_ms = f->kind == FLOW_HOST_RESTART ? 0 : FLOW_FOREVER;
	(void)yaml_get_duration_ms(map, "for", is_host_fault(f->kind) ? 0 : 1, TIME_MS_MAX, &f->for_ms);
	only_with(r, map, "for", f->kind != FLOW_HOST_RESTART, "faults that last, which a restart does not,");
	only_with(r, map, "by", f->kind == FLOW_LINK_DELAY, "\"do: delay\"");
	if (f->kind == FLOW_LINK_DELAY && yaml_require(map, "by"))
		(void)yaml_get_duration_ms(map, "by", 1, 600 * 1000, &f->delay_ms);
}

/* Two faults that use the same switch: the end of one would end the other. */
static bool same_switch(const struct flow_fault *a, const struct flow_fault *b)
{
	if (is_host_fault(a->kind) && is_host_fault(b->kind))
		return a->host == b->host;
	if (is_link_fault(a->kind) && is_link_fault(b->kind))
		return a->link_from == b->link_from && a->link_to == b->link_to &&
		       (a->moment == FLOW_MOMENT_NONE) == (b->moment == FLOW_MOMENT_NONE);
	return false;
}

static bool ends_before(const struct flow_fault *a, const struct flow_fault *b)
{
	return a->for_ms != FLOW_FOREVER && a->at_ms + a->for_ms <= b->at_ms && a->at_ms < b->at_ms;
}

static void check_overlap(struct flow_reader *r, const struct yaml_node *map, const struct flow_fault *f)
{
	for (const struct flow_fault *other = r->flow->faults; other < f; other++)
		if (same_switch(other, f) && !ends_before(other, f) && !ends_before(f, other)) {
			yaml_error(r->y, map, "this fault and an earlier one overlap on the same %s",
				   is_host_fault(f->kind) ? "host" : "link");
			return;
		}
}

void flow_read_faults(struct flow_reader *r)
{
	const struct yaml_node *list = yaml_get_list(r->root, "faults");
	struct flow *flow = r->flow;

	if (yaml_child_count(list) > FAULTS_MAX) {
		yaml_error_at_key(r->y, list, "more than %d faults", FAULTS_MAX);
		return;
	}
	flow->faults = flow_array(r, yaml_child_count(list), sizeof(*flow->faults));
	for (const struct yaml_node *n = yaml_first(list); n != NULL; n = yaml_next(n)) {
		struct flow_fault *f = &flow->faults[flow->fault_count];
		if (yaml_kind(n) != YAML_MAP) {
			yaml_error(r->y, n, "expected \"key: value\" lines such as \"host: fredsco\"");
			continue;
		}
		*f = (struct flow_fault){ 0 };
		bool known = read_kind(r, n, f);
		read_times(r, n, f);
		read_moment(r, n, f);
		if (known) {
			check_overlap(r, n, f);
			flow->fault_count++;
		}
	}
}

/* ---- expectations ---- */

/* "all", "12", "<= 3", ">= 100" */
static void read_count(struct flow_reader *r, const struct yaml_node *map, const char *key,
		       struct flow_count *ret)
{
	const struct yaml_node *n = yaml_get(map, key);
	const char *text;
	struct flow_count c = { .op = FLOW_COUNT_EQ };

	if (!yaml_as_str(n, &text))
		return;
	struct span s = span_of(text);
	if (span_eq(s, SPAN_LIT("all"))) {
		*ret = (struct flow_count){ .op = FLOW_COUNT_ALL };
		return;
	}
	if (span_take_prefix_nocase(&s, SPAN_LIT("<=")))
		c.op = FLOW_COUNT_MAX;
	else if (span_take_prefix_nocase(&s, SPAN_LIT(">=")))
		c.op = FLOW_COUNT_MIN;
	if (span_to_u64(span_trim(s), &c.n))
		*ret = c;
	else
		yaml_error(r->y, n, "expected \"all\", a number, \"<= 3\" or \">= 3\", found \"%s\"", text);
}

/* "p99", "p99.9", "max" */
static bool parse_percentile(const char *text, double *ret_percentile)
{
	char *end;

	if (strcmp(text, "max") == 0) {
		*ret_percentile = 100;
		return true;
	}
	if (text[0] != 'p' || text[1] == '\0' || strspn(text + 1, "0123456789.") != strlen(text + 1))
		return false;
	*ret_percentile = strtod(text + 1, &end);
	return *end == '\0' && *ret_percentile > 0 && *ret_percentile <= 100;
}

static void read_latencies(struct flow_reader *r, const struct yaml_node *expect)
{
	const struct yaml_node *latency = yaml_get_map(expect, "latency");
	struct flow_expect *e = &r->flow->expect;
	uint32_t room = 0;

	for (uint32_t m = 0; m < FLOW_METRIC_COUNT; m++)
		room += yaml_child_count(yaml_get(latency, flow_metric_name((enum flow_metric)m)));
	e->latencies = flow_array(r, room, sizeof(*e->latencies));
	for (uint32_t m = 0; m < FLOW_METRIC_COUNT; m++) {
		const struct yaml_node *list = yaml_get_map(latency, flow_metric_name((enum flow_metric)m));
		for (const struct yaml_node *n = yaml_first(list); n != NULL; n = yaml_next(n)) {
			struct flow_latency *l = &e->latencies[e->latency_count];
			if (!parse_percentile(yaml_key(n), &l->percentile))
				yaml_error_at_key(
					r->y, n,
					"expected a percentile such as p99, p99.9 or max, found \"%s\"",
					yaml_key(n));
			else if (yaml_as_duration_ms(n, 0, TIME_MS_MAX, &l->max_ms)) {
				l->metric = (enum flow_metric)m;
				e->latency_count++;
			}
		}
	}
}

void flow_read_expect(struct flow_reader *r)
{
	static const enum flow_ledger NEVER[] = { FLOW_LEDGER_LOST, FLOW_LEDGER_DUPLICATED,
						  FLOW_LEDGER_CORRUPTED, FLOW_LEDGER_UNEXPECTED };
	const struct yaml_node *expect = yaml_get_map(r->root, "expect");
	struct flow_expect *e = &r->flow->expect;

	for (size_t i = 0; i < sizeof(NEVER) / sizeof(NEVER[0]); i++)
		e->ledger[NEVER[i]].op = FLOW_COUNT_EQ;
	for (uint32_t i = 0; i < FLOW_LEDGER_COUNT; i++)
		read_count(r, expect, flow_ledger_name((enum flow_ledger)i), &e->ledger[i]);
	(void)yaml_get_duration_ms(expect, "drain", 1, TIME_MS_MAX, &e->drain_max_ms);
	if (e->drain_max_ms > r->flow->drain_ms)
		yaml_error(r->y, yaml_get(expect, "drain"),
			   "longer than the flow waits; raise \"drain\" at the top");
	read_latencies(r, expect);
}

void flow_read_limits(struct flow_reader *r)
{
	const struct yaml_node *limits = yaml_get_map(r->root, "limits");
	struct flow_limits *l = &r->flow->limits;

	*l = (struct flow_limits){ .send_lag_p99_ms = 100, .loop_lag_p99_ms = 100 };
	(void)yaml_get_duration_ms(yaml_get_map(limits, "send_lag"), "p99", 1, TIME_MS_MAX,
				   &l->send_lag_p99_ms);
	(void)yaml_get_duration_ms(yaml_get_map(limits, "loop_lag"), "p99", 1, TIME_MS_MAX,
				   &l->loop_lag_p99_ms);
}
