#include "harness/cli/run_end.h"

#include "base/file.h"
#include "harness/judge/result.h"
#include "harness/judge/verdict.h"
#include "harness/scenario/target.h"
#include "reports/report.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
	NS_PER_MS = 1000000,
	LOG_BYTES_MAX = 256 * 1024 * 1024,
	RESULT_BYTES_MAX = 2000 * 1024 * 1024,
	LOG_MODE = 0644,
	DIR_MODE = 0755,
};

/* ---- logs ---- */

/* A log that is missing or empty is no error: not every server writes each. */
static void keep_log(const char *from, const char *to, const struct redact *redact)
{
	struct buf content = { 0 };
	struct err e;
	int rc = file_read(from, LOG_BYTES_MAX, &content, &e);

	redact_buf(redact, &content);
	if (rc == 0 && buf_bytes(&content) > 0)
		(void)file_write(to, buf_span(&content), LOG_MODE, &e);
	buf_free(&content);
}

/* "log/mail.log" of host isp2 becomes logs/isp2.mail.log. */
static void keep_target_logs(const char *dir, const struct flow_host *h, const struct redact *redact)
{
	struct buf messages = { 0 };
	struct target *t = strcmp(h->target, "none") != 0 ? target_load(h->target, &messages) : NULL;
	char from[PATH_MAX];
	char to[PATH_MAX];

	for (uint32_t i = 0; t != NULL && i < t->logs.count; i++) {
		const char *slash = strrchr(t->logs.items[i], '/');
		(void)snprintf(from, sizeof(from), "%s/world/hosts/%s/%s", dir, h->name, t->logs.items[i]);
		(void)snprintf(to, sizeof(to), "%s/logs/%s.%s", dir, h->name,
			       slash != NULL ? slash + 1 : t->logs.items[i]);
		keep_log(from, to, redact);
	}
	target_free(t);
	buf_free(&messages);
}

void run_end_keep_logs(const char *dir, const struct flow *flow, const struct redact *redact, bool keep_world)
{
	static const char *const streams[] = { "stdout", "stderr" };
	char from[PATH_MAX];
	char to[PATH_MAX];
	struct err e;

	(void)snprintf(to, sizeof(to), "%s/logs", dir);
	(void)dir_make(to, DIR_MODE, &e);
	for (uint32_t i = 0; i < flow->host_count; i++) {
		for (size_t s = 0; s < 2; s++) {
			(void)snprintf(from, sizeof(from), "%s/world/hosts/%s/%s.log", dir,
				       flow->hosts[i].name, streams[s]);
			(void)snprintf(to, sizeof(to), "%s/logs/%s.%s.log", dir, flow->hosts[i].name,
				       streams[s]);
			keep_log(from, to, redact);
		}
		keep_target_logs(dir, &flow->hosts[i], redact);
	}
	(void)snprintf(from, sizeof(from), "%s/world/dns.log", dir);
	(void)snprintf(to, sizeof(to), "%s/logs/dns.log", dir);
	keep_log(from, to, redact);
	(void)snprintf(from, sizeof(from), "%s/world", dir);
	if (!keep_world)
		(void)dir_remove(from, &e);
}

int run_end_redact(const char *dir, const struct redact *redact, bool show, struct run_outcome *outcome,
		   struct err *reterr)
{
	static const char *const FILES[] = { "result.json", "ledger", "report.html", "junit.xml" };
	struct buf *const bufs[] = { &outcome->text, &outcome->line, &outcome->json, &outcome->junit };
	char path[PATH_MAX];
	int rc = 0;

	for (size_t i = 0; i < sizeof(FILES) / sizeof(FILES[0]) && rc == 0; i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, FILES[i]);
		rc = redact_file(redact, path, RESULT_BYTES_MAX, reterr);
	}
	for (size_t i = 0; i < sizeof(bufs) / sizeof(bufs[0]); i++)
		if (!show || i >= 2) /* JSON and JUnit go to files and programs */
			redact_buf(redact, bufs[i]);
	return rc;
}

/* ---- judging ---- */

static int64_t last_accepted_ns(const struct ledger *l)
{
	int64_t last_ns = LEDGER_NEVER;

	for (uint32_t id = 0; id < ledger_message_count(l); id++) {
		const struct ledger_message *m = ledger_message(l, id);
		if (m->submission == LEDGER_ACCEPTED && m->final_reply_ns > last_ns)
			last_ns = m->final_reply_ns;
	}
	return last_ns;
}

/*
 * The drain counts from the end of the last fault, or from the last 250 when
 * there was no fault.  While one is still on, nothing drains yet; faults that
 * last to the end of the run are ended by it.
 */
static struct record_drain measure_drain(const struct record *r)
{
	struct record_drain d = { .since_ns = LEDGER_NEVER };

	for (uint32_t i = 0; i < r->fault_count; i++) {
		const struct record_fault *f = &r->faults[i];
		if (f->begin_ns != LEDGER_NEVER && (f->end_ns == LEDGER_NEVER || f->end_ns >= r->ended_ns))
			return d;
		if (f->end_ns > d.since_ns)
			d.since_ns = f->end_ns;
	}
	if (d.since_ns == LEDGER_NEVER)
		d.since_ns = last_accepted_ns(r->ledger);
	d.known = d.since_ns != LEDGER_NEVER;
	if (d.known)
		d.complete = metrics_drain(r->ledger, d.since_ns, &d.drain_ns, &d.rows);
	return d;
}

static int64_t own_cpu_ms(void)
{
	struct rusage u;

	if (getrusage(RUSAGE_SELF, &u) != 0)
		return 0;
	return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000 +
	       (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1000;
}

static double load_average(void)
{
	double load;

	return getloadavg(&load, 1) == 1 ? load : -1;
}

/* ---- words ---- */

static void add_ms(struct buf *text, struct hist_value v)
{
	double ms = (double)v.ns / NS_PER_MS;

	buf_add_cstr(text, v.at_least ? ">=" : "");
	if (ms < 10)
		buf_addf(text, "%.2f ms", ms);
	else if (ms < 1000)
		buf_addf(text, "%.0f ms", ms);
	else
		buf_addf(text, "%.2f s", ms / 1000);
}

static void add_metric(const struct record *r, enum flow_metric m, struct buf *text)
{
	const struct hist *h = r->metrics->of[m];

	if (hist_count(h) + hist_censored_count(h) == 0)
		return;
	buf_addf(text, "  %-11s p50 ", flow_metric_name(m));
	add_ms(text, hist_percentile(h, 50));
	buf_add_cstr(text, "   p99 ");
	add_ms(text, hist_percentile(h, 99));
	buf_add_cstr(text, "   max ");
	add_ms(text, hist_percentile(h, 100));
	buf_add_cstr(text, "\n");
}

static void add_ledger(const struct ledger *l, struct buf *text)
{
	bool any = false;

	buf_add_cstr(text, "  ledger      ");
	for (unsigned o = 0; o < OUTCOME_COUNT; o++) {
		uint32_t n = ledger_outcome_count(l, (enum outcome)o);
		if (n > 0)
			buf_addf(text, "%s%" PRIu32 " %s", any ? ", " : "", n, outcome_name((enum outcome)o));
		any = any || n > 0;
	}
	buf_add_cstr(text, any ? "\n" : "empty\n");
}

static void add_drain(const struct record *r, struct buf *text)
{
	if (r->fault_count == 0 || !r->drain.known || r->drain.rows == 0 || r->interrupted)
		return;
	if (r->drain.complete)
		buf_addf(text,
			 "  drain       %" PRIu32 " waited when the last fault ended; gone %.2f s later\n",
			 r->drain.rows, (double)r->drain.drain_ns / 1e9);
	else
		buf_addf(text,
			 "  drain       %" PRIu32 " waited when the last fault ended; some never arrived\n",
			 r->drain.rows);
}

/* The one thing somebody would want to do now. */
static void add_next(const struct record *r, const char *dir, struct buf *text)
{
	static const enum outcome bad[] = { OUTCOME_LOST, OUTCOME_CORRUPTED, OUTCOME_DUPLICATED,
					    OUTCOME_UNEXPECTED, OUTCOME_STILL_QUEUED };

	buf_add_cstr(text, "  next        ");
	for (size_t i = 0; r->verdict == VERDICT_FAIL && i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (ledger_outcome_count(r->ledger, bad[i]) > 0) {
			buf_addf(text, "grep '\"%s\"' %s/ledger\n", outcome_name(bad[i]), dir);
			return;
		}
	}
	if (r->verdict == VERDICT_PASS || r->verdict == VERDICT_INTERRUPTED)
		buf_addf(text, "xdg-open %s/report.html\n", dir);
	else
		buf_addf(text, "less %s/logs/*\n", dir);
}

static const char *verdict_label(enum verdict v)
{
	switch (v) {
	case VERDICT_PASS:
		return "PASS";
	case VERDICT_FAIL:
		return "FAIL";
	case VERDICT_INVALID:
		return "INVALID";
	case VERDICT_INTERRUPTED:
	case VERDICT_COUNT:
		break;
	}
	return "INTERRUPTED";
}

/* Why an invalid run is one says more than its numbers. */
static const char *first_reason(const struct record *r, enum reason_weight weight)
{
	for (uint32_t i = 0; i < r->reasons.count; i++)
		if (r->reasons.items[i].weight == weight)
			return r->reasons.items[i].text;
	return NULL;
}

static void add_verdict(const struct record *r, bool colour, struct buf *text)
{
	static const char *const tones[] = { [VERDICT_PASS] = "\033[1;32m",
					     [VERDICT_FAIL] = "\033[1;31m",
					     [VERDICT_INVALID] = "\033[1;33m",
					     [VERDICT_INTERRUPTED] = "\033[1;33m" };
	const char *invalid = first_reason(r, REASON_INVALID);

	buf_addf(text, "%s%s%s  %s: ", colour ? tones[r->verdict] : "", verdict_label(r->verdict),
		 colour ? "\033[m" : "", r->flow->name);
	if (r->verdict == VERDICT_INVALID && invalid != NULL)
		buf_add_cstr(text, invalid);
	else
		result_summary(r, text);
	buf_add_cstr(text, "\n");
}

static void compose(const struct record *r, const struct run_options *o, struct run_outcome *out)
{
	static const char *const marks[] = {
		[REASON_NOTE] = "note", [REASON_FAIL] = "fail", [REASON_INVALID] = "invalid"
	};

	add_verdict(r, o->colour, &out->line);
	buf_add(&out->text, buf_span(&out->line));
	for (uint32_t i = 0; i < r->reasons.count; i++)
		buf_addf(&out->text, "  %-11s %s\n", marks[r->reasons.items[i].weight],
			 r->reasons.items[i].text);
	add_ledger(r->ledger, &out->text);
	add_metric(r, FLOW_METRIC_END_TO_END, &out->text);
	add_metric(r, FLOW_METRIC_ACCEPT, &out->text);
	add_metric(r, FLOW_METRIC_QUEUE, &out->text);
	add_drain(r, &out->text);
	buf_addf(&out->text, "  report      %s/report.html\n", o->dir);
	add_next(r, o->dir, &out->text);
}

void run_outcome_free(struct run_outcome *o)
{
	buf_free(&o->text);
	buf_free(&o->line);
	buf_free(&o->json);
	buf_free(&o->junit);
}

int run_end_judge(struct run_end *e, const struct run_options *o, struct run_outcome *ret_outcome,
		  struct err *reterr)
{
	struct record *r = &e->record;
	struct metrics metrics;
	struct series series;

	e->ledger_end.ended_ns = r->ended_ns;
	e->ledger_end.complete = !r->interrupted;
	ledger_settle(e->ledger, &e->ledger_end);
	metrics = metrics_measure(e->ledger, r->flow, r->ended_ns);
	series = series_make(e->ledger, r->zero_ns, r->ended_ns);
	r->ledger = e->ledger;
	r->metrics = &metrics;
	r->series = &series;
	r->faults = e->faults;
	r->hosts = e->hosts;
	r->drain = measure_drain(r);
	r->queues_asked = e->ledger_end.residue_known;
	r->own_cpu_ms = own_cpu_ms();
	r->load_average = load_average();
	verdict_reach(r);
	int rc = result_write(r, o->dir, reterr);
	if (rc == 0)
		rc = report_render(o->dir, reterr);
	if (rc == 0) {
		*ret_outcome = (struct run_outcome){ .verdict = r->verdict };
		compose(r, o, ret_outcome);
		result_json(r, &ret_outcome->json);
		result_junit_suite(r, &ret_outcome->junit);
	}
	metrics_free(&metrics);
	series_free(&series);
	r->metrics = NULL;
	r->series = NULL;
	return rc;
}
