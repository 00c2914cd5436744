#include "reports/report.h"

#include "base/file.h"
#include "reports/assets.h"
#include "reports/page.h"
#include "reports/plots.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
	RESULT_BYTES_MAX = 64 * 1024 * 1024,
	ASSET_BYTES_MAX = 1024 * 1024,
	LEDGER_BYTES_MAX = 1024 * 1024 * 1024,
	EVIDENCE_MAX = 25,
	SPANS_MAX = 64,
	FILE_MODE = 0644,
};

/* ---- top: the verdict ---- */

static const char *verdict_word(const char *verdict)
{
	static const struct {
		const char *name;
		const char *word;
	} words[] = {
		{ "pass", "Promise kept" },
		{ "fail", "Promise broken" },
		{ "invalid", "Not a valid run" },
		{ "interrupted", "Interrupted" },
	};
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(verdict, words[i].name) == 0)
			return words[i].word;
	return verdict;
}

static void add_reasons(struct buf *html, const json_t *reasons)
{
	size_t i;
	json_t *reason;

	if (json_array_size(reasons) == 0)
		return;
	buf_add_cstr(html, "<ul class=\"reasons\">\n");
	json_array_foreach(reasons, i, reason)
	{
		buf_add_cstr(html, "<li class=\"");
		page_text(html, get_text(reason, "weight"));
		buf_add_cstr(html, "\">");
		page_text(html, get_text(reason, "text"));
		buf_add_cstr(html, "</li>\n");
	}
	buf_add_cstr(html, "</ul>\n");
}

static void add_verdict(struct buf *html, const json_t *result)
{
	const char *verdict = get_text(result, "verdict");
	const json_t *flow = json_object_get(result, "flow");

	buf_add_cstr(html, "<section class=\"verdict ");
	page_text(html, verdict);
	buf_add_cstr(html, "\">\n<h1>");
	page_text(html, get_text(flow, "name"));
	if (*get_text(flow, "title") != '\0') {
		buf_add_cstr(html, " · ");
		page_text(html, get_text(flow, "title"));
	}
	buf_add_cstr(html, "</h1>\n<p class=\"word\">");
	page_text(html, verdict_word(verdict));
	buf_add_cstr(html, "</p>\n<p class=\"words\">");
	page_text(html, get_text(result, "summary"));
	buf_add_cstr(html, "</p>\n");
	add_reasons(html, json_object_get(result, "reasons"));
	buf_add_cstr(html, "</section>\n");
}

/* ---- key figures ---- */

/* NULL when that metric has no such percentile. */
static const json_t *percentile_of(const json_t *result, const char *metric, double percentile)
{
	const json_t *m = json_object_get(json_object_get(result, "metrics"), metric);
	size_t i;
	json_t *p;

	json_array_foreach(json_object_get(m, "percentiles"), i,
			   p) if (fabs(get_number(p, "percentile") - percentile) < 1e-9) return p;
	return NULL;
}

static void add_percentile(struct buf *html, const json_t *p)
{
	if (p == NULL) {
		buf_add_cstr(html, "–");
		return;
	}
	if (get_bool(p, "at_least"))
		buf_add_cstr(html, "≥\xc2\xa0");
	page_duration(html, get_number(p, "ms"));
}

/* So few values have no such percentile: it would only be their maximum again. */
static bool has_percentile(json_int_t count, double percentile)
{
	return percentile >= 100 || (double)count * (100 - percentile) >= 99.999;
}

static void add_figure_count(struct buf *html, const char *name, json_int_t n, bool bad, const char *note)
{
	buf_addf(html, "<div><dt>%s</dt><dd%s>", name, bad ? " class=\"bad\"" : "");
	page_count(html, n);
	buf_addf(html, "<small>%s</small></dd></div>\n", note);
}

static void add_figures(struct buf *html, const json_t *result)
{
	const json_t *ledger = json_object_get(result, "ledger");
	const json_t *totals = json_object_get(result, "totals");
	const json_t *drain = json_object_get(result, "drain");
	json_int_t lost = get_int(ledger, "lost");
	json_int_t wrong =
		get_int(ledger, "duplicated") + get_int(ledger, "corrupted") + get_int(ledger, "unexpected");

	buf_add_cstr(html, "<dl class=\"figures\">\n");
	add_figure_count(html, "Accepted", get_int(totals, "accepted"), false, "answered with 250");
	add_figure_count(html, "Arrived intact", get_int(ledger, "delivered") + get_int(ledger, "recovered"),
			 false, "exactly one copy");
	add_figure_count(html, "Lost", lost, lost > 0, "neither delivered nor told");
	add_figure_count(html, "Doubled or damaged", wrong, wrong > 0, "or unexpected");
	if (percentile_of(result, "end_to_end", 50) != NULL) {
		buf_add_cstr(html, "<div><dt>End to end, half within</dt><dd>");
		add_percentile(html, percentile_of(result, "end_to_end", 50));
		const json_t *m = json_object_get(json_object_get(result, "metrics"), "end_to_end");
		bool many = has_percentile(get_int(m, "count") + get_int(m, "censored"), 99);
		buf_add_cstr(html, many ? "<small>99 % within " : "<small>all within ");
		add_percentile(html, percentile_of(result, "end_to_end", many ? 99 : 100));
		buf_add_cstr(html, "</small></dd></div>\n");
	}
	if (get_int(drain, "waiting") > 0 && json_array_size(json_object_get(result, "faults")) > 0) {
		buf_addf(html, "<div><dt>Backlog drained</dt><dd%s>",
			 get_bool(drain, "complete") ? "" : " class=\"bad\"");
		if (get_bool(drain, "complete"))
			page_duration(html, get_number(drain, "drain_ms"));
		else
			buf_add_cstr(html, "never");
		buf_add_cstr(html, "<small>");
		page_count(html, get_int(drain, "waiting"));
		buf_add_cstr(html, " waited at the outage’s end</small></dd></div>\n");
	}
	buf_add_cstr(html, "</dl>\n");
}

/* ---- ledger ---- */

static const struct ledger_words {
	const char *name;
	const char *title;
	const char *what;
	const char *tone; /* when there are any */
} ledger_words[] = {
	{ "delivered", "delivered", "one copy, every byte as sent", "good" },
	{ "recovered", "recovered", "no reply to the final dot, but it arrived once, intact", "good" },
	{ "transformed", "transformed", "one copy, encoded differently, same content", "odd" },
	{ "bounced", "bounced", "not delivered, and the sender was told", "odd" },
	{ "rejected", "rejected", "refused at submission: nothing was promised", "odd" },
	{ "absent", "absent", "no reply that decides, and it never arrived: nothing was promised", "odd" },
	{ "still_queued", "still queued", "a queue still holds it", "odd" },
	{ "indeterminate", "indeterminate", "never sent, or the run was cut short", "odd" },
	{ "lost", "lost", "accepted, then neither delivered nor told", "bad" },
	{ "duplicated", "duplicated", "more than one copy arrived", "bad" },
	{ "corrupted", "corrupted", "a copy that is not what was sent", "bad" },
	{ "unexpected", "unexpected", "arrived where nothing should have", "bad" },
};

/* A bounce is what a passing run expected of it. */
static const char *tone_of(const json_t *result, const struct ledger_words *w)
{
	bool passed = strcmp(get_text(result, "verdict"), "pass") == 0;

	return passed && strcmp(w->name, "bounced") == 0 ? "good" : w->tone;
}

static void add_ledger_row(struct buf *html, const struct ledger_words *w, const char *tone, json_int_t n,
			   json_int_t most)
{
	double share = most > 0 ? 100.0 * (double)n / (double)most : 0;

	buf_addf(html, "<tr class=\"%s\"><th>%s</th><td class=\"n\">", n > 0 ? tone : "zero", w->title);
	page_count(html, n);
	buf_addf(html, "</td><td class=\"bar\">");
	if (n > 0)
		buf_addf(html, "<i style=\"width:%.1f%%\"></i>", share);
	buf_addf(html, "</td><td class=\"what\">%s</td></tr>\n", w->what);
}

static void add_ledger(struct buf *html, const json_t *result)
{
	const json_t *ledger = json_object_get(result, "ledger");
	const json_t *told = json_object_get(result, "sender_told");
	size_t count = sizeof(ledger_words) / sizeof(ledger_words[0]);
	json_int_t most = 0;

	for (size_t i = 0; i < count; i++) {
		json_int_t n = get_int(ledger, ledger_words[i].name);
		most = n > most ? n : most;
	}
	buf_add_cstr(html, "<h2>What became of every message</h2>\n<p class=\"lead\">One entry for each "
			   "message and recipient; "
			   "<code>ledger</code> beside this page has them all, with their times.</p>\n"
			   "<div class=\"scroll\"><table><tbody>\n");
	for (size_t i = 0; i < count; i++)
		add_ledger_row(html, &ledger_words[i], tone_of(result, &ledger_words[i]),
			       get_int(ledger, ledger_words[i].name), most);
	buf_add_cstr(html, "</tbody></table></div>\n");
	if (get_int(told, "failed") == 0)
		return;
	buf_add_cstr(html, "<p>Failed recipients: ");
	page_count(html, get_int(told, "failed"));
	buf_add_cstr(html, ". Their senders were told exactly once: ");
	page_count(html, get_int(told, "once"));
	buf_add_cstr(html, "; not at all: ");
	page_count(html, get_int(told, "missing"));
	buf_add_cstr(html, "; more than once: ");
	page_count(html, get_int(told, "repeated"));
	buf_add_cstr(html, "; by a malformed notification: ");
	page_count(html, get_int(told, "malformed"));
	buf_add_cstr(html, ".</p>\n");
}

static void add_seconds(struct buf *html, const json_t *value)
{
	if (value == NULL || json_is_null(value))
		buf_add_cstr(html, "<td class=\"n\">–</td>");
	else
		buf_addf(html, "<td class=\"n\">%.3f\xc2\xa0s</td>", json_number_value(value));
}

/* ---- evidence: the rows that went wrong ---- */

static bool is_bad_row(const json_t *row)
{
	static const char *const bad[] = { "lost", "duplicated", "corrupted", "unexpected", "still_queued" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (strcmp(get_text(row, "outcome"), bad[i]) == 0)
			return true;
	/* Told, but not as it should be. */
	return get_int(row, "notifications") > 0 && get_text(row, "reason")[0] != '\0';
}

static void add_evidence_row(struct buf *html, const json_t *row)
{
	const char *whose = get_text(row, "to")[0] != '\0' ? get_text(row, "to") : get_text(row, "mailbox");

	buf_add_cstr(html, "<tr><th>");
	page_text(html, get_text(row, "outcome"));
	buf_add_cstr(html, "</th><td class=\"n\">");
	if (json_is_integer(json_object_get(row, "message")))
		page_count(html, get_int(row, "message"));
	buf_add_cstr(html, "</td><td>");
	page_text(html, whose);
	buf_add_cstr(html, "</td>");
	add_seconds(html, json_object_get(row, "intended_s"));
	add_seconds(html, json_object_get(row, "final_reply_s"));
	add_seconds(html, json_object_get(row, "seen_s"));
	buf_add_cstr(html, "<td>");
	page_text(html, get_text(row, "reason"));
	if (get_text(row, "reply")[0] != '\0') {
		buf_add_cstr(html, " <span class=\"lead\">Reply: ");
		page_text(html, get_text(row, "reply"));
		buf_add_cstr(html, "</span>");
	}
	buf_add_cstr(html, "</td></tr>\n");
}

/* Appends the first rows that went wrong; returns how many there were. */
static uint32_t gather_evidence(struct span ledger, struct buf *rows)
{
	uint32_t count = 0;
	struct span line;

	while (span_take_until(&ledger, '\n', &line)) {
		json_t *row = json_loadb(line.p, line.n, 0, NULL);
		if (row != NULL && is_bad_row(row) && count++ < EVIDENCE_MAX)
			add_evidence_row(rows, row);
		json_decref(row);
	}
	return count;
}

static void add_evidence(struct buf *html, const char *dir)
{
	char path[PATH_MAX];
	struct buf ledger = { 0 };
	struct buf rows = { 0 };
	struct err e;

	int n = snprintf(path, sizeof(path), "%s/ledger", dir);
	/* A ledger too large to look through is named in the text above. */
	if (n > 0 && (size_t)n < sizeof(path) && file_read(path, LEDGER_BYTES_MAX, &ledger, &e) == 0) {
		uint32_t count = gather_evidence(buf_span(&ledger), &rows);
		if (count > 0) {
			buf_add_cstr(html, "<h2>What went wrong</h2>\n");
			if (count > EVIDENCE_MAX)
				buf_addf(html, "<p class=\"lead\">The first %d of %u.</p>\n",
					 (int)EVIDENCE_MAX, count);
			buf_add_cstr(
				html,
				"<div class=\"scroll\"><table class=\"times evidence\"><thead><tr><th></th>"
				"<th class=\"n\">message</th><th>for</th><th class=\"n\">meant to leave</th>"
				"<th class=\"n\">answered</th><th "
				"class=\"n\">seen</th><th></th></tr></thead><tbody>\n");
			buf_add(html, buf_span(&rows));
			buf_add_cstr(html, "</tbody></table></div>\n");
		}
	}
	buf_free(&ledger);
	buf_free(&rows);
}

/* ---- latencies ---- */

static const struct metric_words {
	const char *name;
	const char *title;
	const char *what;
} metric_words[] = {
	{ "end_to_end", "end to end", "meant to leave → retrievable" },
	{ "accept", "accept", "meant to leave → 250" },
	{ "queue", "queue", "250 → the attempt that succeeded begins" },
	{ "transfer", "transfer", "that attempt → its 250" },
	{ "visibility", "visibility", "stored → retrievable" },
	{ "send_lag", "send lag", "meant to leave → taken up by a session" },
};

static void add_metric_row(struct buf *html, const json_t *result, const struct metric_words *w)
{
	static const double columns[] = { 50, 90, 99, 99.9, 100 };
	const json_t *m = json_object_get(json_object_get(result, "metrics"), w->name);
	json_int_t known = get_int(m, "count");
	json_int_t censored = get_int(m, "censored");

	if (known + censored == 0)
		return;
	buf_addf(html, "<tr%s><th>%s</th>", strcmp(w->name, "end_to_end") == 0 ? " class=\"main\"" : "",
		 w->title);
	for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
		buf_add_cstr(html, "<td class=\"n\">");
		add_percentile(html, has_percentile(known + censored, columns[i])
					     ? percentile_of(result, w->name, columns[i])
					     : NULL);
		buf_add_cstr(html, "</td>");
	}
	buf_add_cstr(html, "<td class=\"n\">");
	page_count(html, known);
	if (censored > 0) {
		buf_add_cstr(html, " + ");
		page_count(html, censored);
		buf_add_cstr(html, " open");
	}
	if (get_int(m, "below_zero") > 0) {
		buf_add_cstr(html, ", ");
		page_count(html, get_int(m, "below_zero"));
		buf_add_cstr(html, " below 0");
	}
	buf_addf(html, "</td><td class=\"what\" style=\"padding-left:1.2rem;width:auto\">%s</td></tr>\n",
		 w->what);
}

static void add_figure(struct buf *html, const struct plot *p, const char *title, const char *what)
{
	struct err e;
	struct buf svg = { 0 };

	buf_addf(html, "<figure>\n<figcaption><b>%s</b> <span>%s</span></figcaption>\n", title, what);
	if (plot_svg(p, &svg, &e) == 0) {
		buf_add(html, buf_span(&svg));
	} else {
		buf_add_cstr(html, "<p class=\"missing\">");
		page_text(html,
			  e.code == -ENOPKG
				  ? "This figure needs gnuplot, which is not installed here; the numbers "
				    "are in the .csv files beside this page."
				  : e.text);
		buf_add_cstr(html, "</p>");
	}
	buf_add_cstr(html, "\n</figure>\n");
	buf_free(&svg);
}

/* How far the percentile axis has to go: a decade beyond what the count can show means nothing. */
static double inverse_max(const json_t *result)
{
	const json_t *m = json_object_get(json_object_get(result, "metrics"), "accept");
	double count = (double)(get_int(m, "count") + get_int(m, "censored"));

	return count < 10 ? 10 : count > 1e6 ? 1e6 : count;
}

static bool any_below_zero(const json_t *result)
{
	for (size_t i = 0; i < sizeof(metric_words) / sizeof(metric_words[0]); i++) {
		const json_t *m = json_object_get(json_object_get(result, "metrics"), metric_words[i].name);
		if (get_int(m, "below_zero") > 0)
			return true;
	}
	return false;
}

/* What the table does not show, in words, where there is any of it. */
static void add_latency_notes(struct buf *html, const json_t *result)
{
	const json_t *ledger = json_object_get(result, "ledger");
	json_int_t refused = get_int(ledger, "rejected");
	json_int_t bounced = get_int(ledger, "bounced");

	buf_add_cstr(html, "<p class=\"lead\">A dash: too few messages to have that percentile.");
	if (refused > 0) {
		buf_add_cstr(html, " Not in these figures: ");
		page_count(html, refused);
		buf_add_cstr(html, " refused at submission.");
	}
	if (bounced > 0) {
		buf_add_cstr(html, " Not in end to end: ");
		page_count(html, bounced);
		buf_add_cstr(html, " that were bounced, and so never arrived.");
	}
	if (any_below_zero(result))
		buf_add_cstr(html, " Below 0: the relay had begun the next hop before its 250 was read "
				   "here; counted as 0.");
	buf_add_cstr(html, "</p>\n");
}

static void add_latencies(struct buf *html, const json_t *result, const char *dir)
{
	const json_t *retrieval = json_object_get(result, "retrieval");

	buf_add_cstr(html, "<h2>How long it took</h2>\n<p class=\"lead\">Counted from the moment each "
			   "message was meant to "
			   "leave, so a slow server cannot hide behind a slow sender. A column reads: so "
			   "many of the messages "
			   "were at least as fast.");
	if (get_number(retrieval, "uncertainty_mean_ms") > 0) {
		buf_add_cstr(html, " Mailboxes are polled, so arrival is known to within ");
		page_duration(html, get_number(retrieval, "uncertainty_mean_ms"));
		buf_add_cstr(html, " on average; the later end is counted.");
	}
	buf_add_cstr(html, "</p>\n<div class=\"scroll\"><table class=\"times\"><thead><tr><th></th><th "
			   "class=\"n\">50 %</th>"
			   "<th class=\"n\">90 %</th><th class=\"n\">99 %</th><th class=\"n\">99.9 %</th><th "
			   "class=\"n\">all</th>"
			   "<th class=\"n\">count</th><th></th></tr></thead><tbody>\n");
	for (size_t i = 0; i < sizeof(metric_words) / sizeof(metric_words[0]); i++)
		add_metric_row(html, result, &metric_words[i]);
	buf_add_cstr(html, "</tbody></table></div>\n");
	add_latency_notes(html, result);
	add_figure(html,
		   &(struct plot){ .script = "plot-percentiles.gnuplot",
				   .dir = dir,
				   .x_max = inverse_max(result),
				   .mark_s = -1 },
		   "Latency by percentile.", "Flat is good; where a curve climbs, the slow few begin.");
}

/* ---- over time ---- */

static uint32_t gather_spans(const json_t *result, struct plot_span spans[SPANS_MAX])
{
	uint32_t count = 0;
	size_t i;
	json_t *fault;

	json_array_foreach(json_object_get(result, "faults"), i, fault)
	{
		const json_t *strikes = json_object_get(fault, "strikes");
		bool struck = json_is_null(strikes) || json_integer_value(strikes) > 0;
		if (count == SPANS_MAX || json_is_null(json_object_get(fault, "began_s")) || !struck)
			continue; /* what disturbed nobody is not shown as a disturbance */
		spans[count++] = (struct plot_span){
			.begin_s = get_number(fault, "began_s"),
			.end_s = json_is_null(json_object_get(fault, "ended_s"))
					 ? -1
					 : get_number(fault, "ended_s"),
			.label = get_text(fault, "what"),
		};
	}
	return count;
}

static void add_over_time(struct buf *html, const json_t *result, const char *dir)
{
	struct plot_span spans[SPANS_MAX];
	const json_t *drain = json_object_get(result, "drain");
	char mark[80];
	struct plot p = { .dir = dir, .spans = spans, .mark_s = -1, .mark_label = mark };

	p.span_count = gather_spans(result, spans);
	p.x_max = get_number(json_object_get(result, "conditions"), "traffic_to_end_s");
	if (p.x_max < 0.1)
		p.x_max = 0.1;
	buf_add_cstr(html, "<h2>Over time</h2>\n");
	if (p.span_count > 0)
		buf_add_cstr(html, "<p class=\"lead\">Shaded: while a fault lasted.</p>\n");
	p.script = "plot-goodput.gnuplot";
	add_figure(html, &p, "Goodput.", "What the first server accepted, and what arrived in mailboxes.");
	p.script = "plot-latency.gnuplot";
	add_figure(html, &p, "End-to-end latency",
		   "of the messages that were meant to leave at each moment.");
	if (get_int(drain, "waiting") > 0 && get_bool(drain, "complete") && p.span_count > 0) {
		p.mark_s = get_number(drain, "since_s") + get_number(drain, "drain_ms") / 1000;
		(void)snprintf(mark, sizeof(mark), "drained after %.1f s",
			       get_number(drain, "drain_ms") / 1000);
	}
	p.script = "plot-backlog.gnuplot";
	add_figure(html, &p, "Backlog:", "accepted, and not yet retrieved or bounced.");
}

static void add_faults(struct buf *html, const json_t *result)
{
	const json_t *faults = json_object_get(result, "faults");
	size_t i;
	json_t *f;

	if (json_array_size(faults) == 0)
		return;
	buf_add_cstr(
		html,
		"<h2>Faults</h2>\n<div class=\"scroll\"><table class=\"times\"><thead><tr><th></th>"
		"<th class=\"n\">planned at</th><th class=\"n\">began</th><th class=\"n\">planned for</th>"
		"<th class=\"n\">ended</th><th class=\"n\">struck</th></tr></thead><tbody>\n");
	json_array_foreach(faults, i, f)
	{
		buf_add_cstr(html, "<tr><th>");
		page_text(html, get_text(f, "what"));
		buf_add_cstr(html, "</th>");
		add_seconds(html, json_object_get(f, "planned_at_s"));
		add_seconds(html, json_object_get(f, "began_s"));
		add_seconds(html, json_object_get(f, "planned_for_s"));
		add_seconds(html, json_object_get(f, "ended_s"));
		buf_add_cstr(html, "<td class=\"n\">");
		if (json_is_null(json_object_get(f, "strikes")))
			buf_add_cstr(html, "–");
		else
			page_count(html, get_int(f, "strikes"));
		buf_add_cstr(html, "</td></tr>\n");
	}
	buf_add_cstr(html, "</tbody></table></div>\n");
}

/* ---- conditions ---- */

static void add_condition(struct buf *html, const char *name, const char *text)
{
	if (*text == '\0')
		return;
	buf_addf(html, "<tr><th>%s</th><td>", name);
	page_text(html, text);
	buf_add_cstr(html, "</td></tr>\n");
}

static void add_hosts_condition(struct buf *html, const json_t *result)
{
	size_t i;
	json_t *h;

	buf_add_cstr(html, "<tr><th>servers</th><td>");
	json_array_foreach(json_object_get(result, "hosts"), i, h)
	{
		buf_add_cstr(html, i > 0 ? "; " : "");
		page_text(html, get_text(h, "name"));
		buf_add_cstr(html, ": ");
		page_text(html, get_text(h, "target"));
		if (get_int(h, "cpu_ms") > 0) {
			buf_add_cstr(html, ", ");
			page_duration(html, (double)get_int(h, "cpu_ms"));
			buf_add_cstr(html, " of CPU");
		}
		if (get_int(h, "starts") > 1)
			buf_addf(html, ", started %d times", (int)get_int(h, "starts"));
	}
	buf_add_cstr(html, "</td></tr>\n");
}

/* "loop lag 99 % within 4.0 ms (limit 100 ms)" */
static void add_lag(struct buf *html, const char *what, const json_t *lag, double limit_ms)
{
	size_t i;
	json_t *p;

	buf_addf(html, "%s 99 %% within ", what);
	json_array_foreach(json_object_get(lag, "percentiles"), i,
			   p) if (fabs(get_number(p, "percentile") - 99) < 1e-9) add_percentile(html, p);
	buf_add_cstr(html, " (limit ");
	page_duration(html, limit_ms);
	buf_add_cstr(html, "); ");
}

static void add_harness_condition(struct buf *html, const json_t *result)
{
	const json_t *h = json_object_get(result, "harness");

	buf_add_cstr(html, "<tr><th>harness</th><td>");
	add_lag(html, "own send lag", json_object_get(h, "own_send_lag"),
		get_number(h, "send_lag_p99_limit_ms"));
	add_lag(html, "loop lag", json_object_get(h, "loop_lag"), get_number(h, "loop_lag_p99_limit_ms"));
	page_duration(html, (double)get_int(h, "cpu_ms"));
	buf_add_cstr(html, " of CPU</td></tr>\n");
}

static void add_conditions(struct buf *html, const json_t *result)
{
	const json_t *c = json_object_get(result, "conditions");
	char text[200];
	size_t i;
	json_t *set;
	struct buf sets = { 0 };

	buf_add_cstr(html,
		     "<h2>Conditions</h2>\n<div class=\"scroll\"><table class=\"conditions\"><tbody>\n");
	add_condition(html, "flow", get_text(json_object_get(result, "flow"), "path"));
	json_array_foreach(json_object_get(c, "sets"), i, set)
		buf_addf(&sets, "%s%s", i > 0 ? ", " : "", json_string_value(set));
	add_condition(html, "settings", buf_cstr(&sets));
	buf_free(&sets);
	add_condition(html, "seed", get_text(c, "seed"));
	(void)snprintf(text, sizeof(text), "%s to %s", get_text(c, "started"), get_text(c, "ended"));
	add_condition(html, "time", text);
	add_condition(html, "system", get_text(c, "system"));
	(void)snprintf(text, sizeof(text), "%d × %s, load average %.2f at the end", (int)get_int(c, "cores"),
		       get_text(c, "cpu"), get_number(c, "load_average"));
	add_condition(html, "processor", text);
	add_hosts_condition(html, result);
	add_harness_condition(html, result);
	add_condition(html, "postrider", get_text(c, "version"));
	buf_add_cstr(html, "</tbody></table></div>\n");
}

/* ---- the page ---- */

static void add_style(struct buf *html)
{
	char path[PATH_MAX];
	struct err e;

	/* Without its style the page still reads from top to bottom. */
	buf_add_cstr(html, "<style>\n");
	if (assets_find("report.css", path, sizeof(path), &e) == 0)
		(void)file_read(path, ASSET_BYTES_MAX, html, &e);
	buf_add_cstr(html, "</style>\n");
}

int report_html(const char *dir, struct span text, struct buf *ret_html, struct err *reterr)
{
	json_error_t je;
	json_t *result = json_loadb(text.n > 0 ? text.p : "", text.n, 0, &je);

	if (result == NULL)
		return err_set(reterr, -EINVAL, "%s/result.json:%d:%d: %s", dir, je.line, je.column, je.text);
	if (strcmp(get_text(result, "format"), "postrider-result-1") != 0) {
		json_decref(result);
		return err_set(reterr, -EINVAL, "%s/result.json: not a result of this version", dir);
	}
	buf_add_cstr(ret_html,
		     "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
		     "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>");
	page_text(ret_html, verdict_word(get_text(result, "verdict")));
	buf_add_cstr(ret_html, ": ");
	page_text(ret_html, get_text(json_object_get(result, "flow"), "name"));
	buf_add_cstr(ret_html, "</title>\n");
	add_style(ret_html);
	buf_add_cstr(ret_html, "</head>\n<body>\n<main>\n");
	add_verdict(ret_html, result);
	add_figures(ret_html, result);
	add_ledger(ret_html, result);
	add_evidence(ret_html, dir);
	add_latencies(ret_html, result, dir);
	add_over_time(ret_html, result, dir);
	add_faults(ret_html, result);
	add_conditions(ret_html, result);
	buf_add_cstr(ret_html,
		     "<footer>Made by postrider from <code>result.json</code>, <code>series.csv</code> and "
		     "<code>percentiles.csv</code>.</footer>\n</main>\n</body>\n</html>\n");
	json_decref(result);
	return 0;
}

int report_render(const char *dir, struct err *reterr)
{
	char path[PATH_MAX];
	struct buf text = { 0 };
	struct buf html = { 0 };

	int n = snprintf(path, sizeof(path), "%s/result.json", dir);
	if (n < 0 || (size_t)n >= sizeof(path))
		return err_set(reterr, -ENAMETOOLONG, "%s: path too long", dir);
	int rc = file_read(path, RESULT_BYTES_MAX, &text, reterr);
	if (rc == 0)
		rc = report_html(dir, buf_span(&text), &html, reterr);
	if (rc == 0) {
		(void)snprintf(path, sizeof(path), "%s/report.html", dir);
		rc = file_write(path, buf_span(&html), FILE_MODE, reterr);
	}
	buf_free(&text);
	buf_free(&html);
	return rc;
}
