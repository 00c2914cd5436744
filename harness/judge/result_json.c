#include "harness/judge/result.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

enum {
	DIGITS = 15, /* of a number in JSON */
};

static const double percentiles[] = { 50, 75, 90, 95, 99, 99.9, 99.99, 100 };

/* jansson takes over the value; names are literals.  Out of memory ends the process, as everywhere. */
static void put(json_t *object, const char *name, json_t *value)
{
	if (json_object_set_new(object, name, value) != 0)
		abort();
}

static void append(json_t *array, json_t *value)
{
	if (json_array_append_new(array, value) != 0)
		abort();
}

/* Text that may have come from a server: bytes that are no UTF-8 become '?'. */
static json_t *text_of(const char *text)
{
	if (text == NULL)
		return json_null();
	json_t *value = json_string(text);
	if (value != NULL)
		return value;
	struct buf clean = { 0 };
	for (const char *c = text; *c != '\0'; c++)
		buf_add(&clean, *c >= 0x20 && *c < 0x7f ? (struct span){ c, 1 } : SPAN_LIT("?"));
	value = json_string(buf_cstr(&clean));
	buf_free(&clean);
	return value;
}

/* Rounded to whole nanoseconds, so that no noise digits are printed. */
static json_t *ms_of(int64_t ns)
{
	return json_real(round((double)ns) / 1e6);
}

/* Microseconds are enough for moments. */
static json_t *moment_of(const struct record *r, int64_t at_ns)
{
	if (at_ns == LEDGER_NEVER)
		return json_null();
	return json_real(round((double)(at_ns - r->zero_ns) / 1e3) / 1e6 + 0.0); /* no -0.0 */
}

static json_t *wall_of(int64_t wall_ms)
{
	time_t t = (time_t)(wall_ms / 1000);
	struct tm tm;
	char text[40];

	(void)gmtime_r(&t, &tm);
	(void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	return json_string(text);
}

/* ---- parts of result.json ---- */

static json_t *hist_json(const struct hist *h)
{
	json_t *o = json_object();
	json_t *list = json_array();

	put(o, "count", json_integer((json_int_t)hist_count(h)));
	put(o, "censored", json_integer((json_int_t)hist_censored_count(h)));
	put(o, "out_of_range", json_integer((json_int_t)hist_out_of_range_count(h)));
	if (hist_count(h) > 0) {
		put(o, "min_ms", ms_of(hist_min_ns(h)));
		put(o, "mean_ms", ms_of((int64_t)hist_mean_ns(h)));
		put(o, "max_ms", ms_of(hist_max_ns(h)));
	}
	bool any = hist_count(h) + hist_censored_count(h) > 0;
	for (size_t i = 0; any && i < sizeof(percentiles) / sizeof(percentiles[0]); i++) {
		struct hist_value v = hist_percentile(h, percentiles[i]);
		json_t *one = json_object();
		put(one, "percentile", json_real(percentiles[i]));
		put(one, "ms", ms_of(v.ns));
		put(one, "at_least", json_boolean(v.at_least));
		append(list, one);
	}
	put(o, "percentiles", list);
	return o;
}

static const char *weight_name(enum reason_weight w)
{
	switch (w) {
	case REASON_NOTE:
		return "note";
	case REASON_FAIL:
		return "fail";
	case REASON_INVALID:
		return "invalid";
	}
	return "?";
}

static json_t *reasons_json(const struct reasons *r)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < r->count; i++) {
		json_t *o = json_object();
		put(o, "weight", json_string(weight_name(r->items[i].weight)));
		put(o, "text", text_of(r->items[i].text));
		append(list, o);
	}
	return list;
}

static json_t *ledger_json(const struct ledger *l)
{
	json_t *o = json_object();

	for (unsigned i = 0; i < OUTCOME_COUNT; i++)
		put(o, outcome_name((enum outcome)i), json_integer(ledger_outcome_count(l, (enum outcome)i)));
	return o;
}

static json_t *totals_json(const struct ledger *l)
{
	struct ledger_progress p = ledger_progress(l);
	json_t *o = json_object();

	put(o, "messages", json_integer(ledger_message_count(l)));
	put(o, "recipients", json_integer(p.planned));
	put(o, "sent", json_integer(p.sent));
	put(o, "accepted", json_integer(p.accepted));
	put(o, "strays", json_integer(ledger_stray_count(l)));
	return o;
}

static json_t *told_json(const struct ledger *l)
{
	struct ledger_told t = ledger_told(l);
	json_t *o = json_object();

	put(o, "failed", json_integer(t.failed));
	put(o, "once", json_integer(t.once));
	put(o, "missing", json_integer(t.missing));
	put(o, "repeated", json_integer(t.repeated));
	put(o, "malformed", json_integer(t.malformed));
	return o;
}

static json_t *metrics_json(const struct metrics *m)
{
	json_t *o = json_object();

	for (unsigned i = 0; i < FLOW_METRIC_COUNT; i++) {
		json_t *metric = hist_json(m->of[i]);
		put(metric, "below_zero", json_integer(m->below_zero[i]));
		put(o, flow_metric_name((enum flow_metric)i), metric);
	}
	return o;
}

static json_t *retrieval_json(const struct record *r)
{
	json_t *o = json_object();

	put(o, "censoring", json_string("interval"));
	put(o, "poll_interval_ms", json_integer(r->poll_interval_ms));
	put(o, "uncertainty_mean_ms", ms_of(r->metrics->seen_interval_mean_ns));
	put(o, "uncertainty_max_ms", ms_of(r->metrics->seen_interval_max_ns));
	return o;
}

static json_t *drain_json(const struct record *r)
{
	json_t *o = json_object();

	if (!r->drain.known) {
		json_decref(o);
		return json_null();
	}
	put(o, "complete", json_boolean(r->drain.complete));
	put(o, "since_s", moment_of(r, r->drain.since_ns));
	put(o, "waiting", json_integer(r->drain.rows));
	put(o, "drain_ms", r->drain.complete ? ms_of(r->drain.drain_ns) : json_null());
	return o;
}

static json_t *faults_json(const struct record *r)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < r->fault_count; i++) {
		const struct record_fault *f = &r->faults[i];
		struct buf what = { 0 };
		json_t *o = json_object();
		result_fault_text(r->flow, f->flow, &what);
		put(o, "kind", json_string(flow_fault_name(f->flow->kind)));
		put(o, "what", text_of(buf_cstr(&what)));
		put(o, "planned_at_s", json_real((double)f->flow->at_ms / 1000));
		put(o, "planned_for_s",
		    f->flow->for_ms == FLOW_FOREVER ? json_null()
						    : json_real((double)f->flow->for_ms / 1000));
		put(o, "began_s", moment_of(r, f->begin_ns));
		put(o, "ended_s", moment_of(r, f->end_ns));
		put(o, "strikes", f->strikes_counted ? json_integer(f->strike_count) : json_null());
		append(list, o);
		buf_free(&what);
	}
	return list;
}

static json_t *hosts_json(const struct record *r)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < r->host_count; i++) {
		json_t *o = json_object();
		put(o, "name", text_of(r->hosts[i].name));
		put(o, "target", text_of(r->hosts[i].target));
		put(o, "starts", json_integer(r->hosts[i].starts));
		put(o, "cpu_ms", json_integer(r->hosts[i].cpu_ms));
		append(list, o);
	}
	return list;
}

static json_t *harness_json(const struct record *r)
{
	json_t *o = json_object();

	put(o, "loop_lag", hist_json(r->loop_lag));
	put(o, "own_send_lag", hist_json(r->metrics->own_lag));
	put(o, "cpu_ms", json_integer(r->own_cpu_ms));
	put(o, "send_lag_p99_limit_ms", json_integer(r->flow->limits.send_lag_p99_ms));
	put(o, "loop_lag_p99_limit_ms", json_integer(r->flow->limits.loop_lag_p99_ms));
	return o;
}

static json_t *links_json(const struct link_watch_counts *c)
{
	json_t *o = json_object();

	put(o, "connections", json_integer((json_int_t)c->connections));
	put(o, "resets", json_integer((json_int_t)c->resets));
	put(o, "transactions", json_integer((json_int_t)c->transactions));
	put(o, "refused_early", json_integer((json_int_t)c->refused_early));
	put(o, "blind_connections", json_integer((json_int_t)c->blind_connections));
	return o;
}

/* ---- conditions ---- */

static json_t *cpu_model(void)
{
	FILE *f = fopen("/proc/cpuinfo", "re");
	char line[256];
	json_t *model = NULL;

	if (f == NULL)
		return json_null();
	while (model == NULL && fgets(line, sizeof(line), f) != NULL) {
		struct span s = span_of(line);
		if (!span_take_prefix_nocase(&s, SPAN_LIT("model name")))
			continue;
		size_t colon = span_find(s, ':');
		s = span_trim(span_sub(s, colon + 1, s.n));
		s = span_sub(s, 0, span_find(s, '\n'));
		model = json_stringn(s.p, s.n);
	}
	(void)fclose(f);
	return model != NULL ? model : json_null();
}

static json_t *system_text(void)
{
	struct utsname u;
	char text[sizeof(u.sysname) + sizeof(u.release) + sizeof(u.machine) + 4];

	if (uname(&u) != 0)
		return json_null();
	(void)snprintf(text, sizeof(text), "%s %s %s", u.sysname, u.release, u.machine);
	return json_string(text);
}

static json_t *conditions_json(const struct record *r)
{
	json_t *o = json_object();
	json_t *sets = json_array();
	char seed[24];

	put(o, "version", json_string(POSTRIDER_VERSION));
	put(o, "started", wall_of(r->started_wall_ms));
	put(o, "ended", wall_of(r->ended_wall_ms));
	put(o, "traffic_to_end_s", moment_of(r, r->ended_ns));
	put(o, "system", system_text());
	put(o, "cpu", cpu_model());
	put(o, "cores", json_integer(sysconf(_SC_NPROCESSORS_ONLN)));
	put(o, "load_average",
	    r->load_average >= 0 ? json_real(round(r->load_average * 100) / 100) : json_null());
	/* As text: a 64-bit number does not survive every JSON reader. */
	(void)snprintf(seed, sizeof(seed), "%llu", (unsigned long long)r->seed);
	put(o, "seed", json_string(seed));
	for (const char *const *s = r->sets; s != NULL && *s != NULL; s++)
		append(sets, text_of(*s));
	put(o, "sets", sets);
	return o;
}

static json_t *flow_json(const struct flow *f)
{
	json_t *o = json_object();

	put(o, "name", text_of(f->name));
	put(o, "title", text_of(f->title));
	put(o, "path", text_of(f->path));
	return o;
}

static void dump(json_t *root, size_t flags, struct buf *ret_text)
{
	char *text = json_dumps(root, flags | JSON_REAL_PRECISION(DIGITS));

	if (text == NULL)
		abort();
	buf_add_cstr(ret_text, text);
	buf_add_cstr(ret_text, "\n");
	free(text);
	json_decref(root);
}

void result_json(const struct record *r, struct buf *ret_text)
{
	struct buf summary = { 0 };
	json_t *root = json_object();

	result_summary(r, &summary);
	put(root, "format", json_string("postrider-result-1"));
	put(root, "verdict", json_string(verdict_name(r->verdict)));
	put(root, "summary", text_of(buf_cstr(&summary)));
	put(root, "reasons", reasons_json(&r->reasons));
	put(root, "flow", flow_json(r->flow));
	put(root, "totals", totals_json(r->ledger));
	put(root, "ledger", ledger_json(r->ledger));
	put(root, "sender_told", told_json(r->ledger));
	put(root, "metrics", metrics_json(r->metrics));
	put(root, "retrieval", retrieval_json(r));
	put(root, "drain", drain_json(r));
	put(root, "faults", faults_json(r));
	put(root, "links", links_json(&r->links));
	put(root, "hosts", hosts_json(r));
	put(root, "harness", harness_json(r));
	put(root, "conditions", conditions_json(r));
	dump(root, JSON_INDENT(2), ret_text);
	buf_free(&summary);
}

/* ---- ledger lines ---- */

static json_t *hex_of(const unsigned char *bytes, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	struct buf text = { 0 };

	for (size_t i = 0; i < n; i++)
		buf_add(&text,
			(struct span){ (const char[]){ digits[bytes[i] >> 4], digits[bytes[i] & 15] }, 2 });
	json_t *value = json_string(buf_cstr(&text));
	buf_free(&text);
	return value;
}

static json_t *reply_of(const struct ledger_message *m)
{
	char text[400];

	if (m->reply_code == 0)
		return text_of(m->reply_text);
	(void)snprintf(text, sizeof(text), "%u %s", m->reply_code,
		       m->reply_text != NULL ? m->reply_text : "");
	return text_of(text);
}

static json_t *row_json(const struct record *r, const struct ledger_row *row)
{
	const struct ledger_message *m = ledger_message(r->ledger, row->id);
	char marker[CONTENT_MARKER_CHARS + 1];
	json_t *o = json_object();

	content_marker(r->seed, row->id, marker);
	put(o, "message", json_integer(row->id));
	put(o, "marker", json_string(marker));
	put(o, "traffic",
	    m->group < r->flow->traffic_count ? text_of(r->flow->traffic[m->group].name) : json_null());
	put(o, "from", text_of(m->sender));
	put(o, "to", text_of(row->recipient));
	put(o, "body_bytes", json_integer(m->body_bytes));
	put(o, "body_sha256", hex_of(m->digest.body, sizeof(m->digest.body)));
	put(o, "outcome", json_string(outcome_name(row->outcome)));
	put(o, "reason", text_of(row->reason));
	put(o, "intended_s", moment_of(r, m->intended_ns));
	put(o, "started_s", moment_of(r, m->started_ns));
	put(o, "connected_s", moment_of(r, m->connected_ns));
	put(o, "final_dot_s", moment_of(r, m->final_dot_ns));
	put(o, "final_reply_s", moment_of(r, m->final_reply_ns));
	put(o, "rcpt_code", row->rcpt_code != 0 ? json_integer(row->rcpt_code) : json_null());
	put(o, "reply", reply_of(m));
	put(o, "attempts", json_integer(row->attempts));
	put(o, "attempt_started_s", moment_of(r, row->attempt_started_ns));
	put(o, "attempt_replied_s", moment_of(r, row->attempt_replied_ns));
	put(o, "copies", json_integer(row->copies));
	put(o, "not_before_s", moment_of(r, row->not_before_ns));
	put(o, "seen_s", moment_of(r, row->seen_ns));
	put(o, "notifications", json_integer(row->dsns_failed));
	put(o, "told_s", moment_of(r, row->told_ns));
	put(o, "status", text_of(row->dsn_status));
	return o;
}

void result_ledger_lines(const struct record *r, struct buf *ret_text)
{
	for (uint32_t i = 0; i < ledger_row_count(r->ledger); i++)
		dump(row_json(r, ledger_row(r->ledger, i)), JSON_COMPACT, ret_text);
	for (uint32_t i = 0; i < ledger_stray_count(r->ledger); i++) {
		const struct ledger_stray *s = ledger_stray_at(r->ledger, i);
		json_t *o = json_object();
		put(o, "message", json_null());
		put(o, "outcome", json_string(outcome_name(OUTCOME_UNEXPECTED)));
		put(o, "mailbox", text_of(s->mailbox));
		put(o, "reason", text_of(s->reason));
		put(o, "seen_s", moment_of(r, s->seen_ns));
		dump(o, JSON_COMPACT, ret_text);
	}
}
