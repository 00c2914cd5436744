#include "reports/report_parts.h"

#include "reports/page.h"
#include "reports/plots.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { SPANS_MAX = 64 };

/* ---- cells ---- */

/* NULL when that metric has no such percentile. */
const json_t *percentile_of(const json_t *result, const char *metric, double percentile)
{
	const json_t *m = json_object_get(json_object_get(result, "metrics"), metric);
	size_t i;
	json_t *p;

	json_array_foreach(json_object_get(m, "percentiles"), i,
			   p) if (fabs(get_number(p, "percentile") - percentile) < 1e-9) return p;
	return NULL;
}

void page_percentile(struct buf *html, const json_t *p)
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
bool has_percentile(json_int_t count, double percentile)
{
	return percentile >= 100 || (double)count * (100 - percentile) >= 99.999;
}

void page_seconds(struct buf *html, const json_t *value)
{
	if (value == NULL || json_is_null(value))
		buf_add_cstr(html, "<td class=\"n\">–</td>");
	else
		buf_addf(html, "<td class=\"n\">%.3f\xc2\xa0s</td>", json_number_value(value));
}

/* ---- latencies ---- */

static const struct metric_words {
	const char *name;
	const char *what;
} metric_words[] = {
	{ "end_to_end", "meant to leave → retrievable" },
	{ "accept", "meant to leave → 250" },
	{ "queue", "250 → the attempt that succeeded begins" },
	{ "transfer", "that attempt → its 250" },
	{ "visibility", "stored → retrievable" },
	{ "send_lag", "meant to leave → taken up by a session" },
};

static const double columns[] = { 50, 90, 99, 99.9, 100 };

/* Is there a metric with values, but too few for one of the columns? */
static bool any_dash(const json_t *result)
{
	for (size_t i = 0; i < sizeof(metric_words) / sizeof(metric_words[0]); i++) {
		const json_t *m = json_object_get(json_object_get(result, "metrics"), metric_words[i].name);
		json_int_t n = get_int(m, "count") + get_int(m, "censored");
		for (size_t k = 0; n > 0 && k < sizeof(columns) / sizeof(columns[0]); k++)
			if (!has_percentile(n, columns[k]))
				return true;
	}
	return false;
}

static void add_metric_row(struct buf *html, const json_t *result, const struct metric_words *w)
{
	const json_t *m = json_object_get(json_object_get(result, "metrics"), w->name);
	json_int_t known = get_int(m, "count");
	json_int_t censored = get_int(m, "censored");

	if (known + censored == 0)
		return;
	buf_addf(html, "<tr%s><th>%s</th>", strcmp(w->name, "end_to_end") == 0 ? " class=\"main\"" : "",
		 w->name);
	for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
		buf_add_cstr(html, "<td class=\"n\">");
		page_percentile(html, has_percentile(known + censored, columns[i])
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
	buf_addf(html, "</td><td class=\"what\">%s</td></tr>\n", w->what);
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

/* "Begun before its 250 was read here, and counted as 0: 533 of queue." */
static void add_below_zero(struct buf *html, const json_t *result)
{
	bool any = false;

	for (size_t i = 0; i < sizeof(metric_words) / sizeof(metric_words[0]); i++) {
		const json_t *m = json_object_get(json_object_get(result, "metrics"), metric_words[i].name);
		if (get_int(m, "below_zero") == 0)
			continue;
		buf_add_cstr(html,
			     any ? ", "
				 : " Begun before the reply ahead of it was read here, and counted as 0: ");
		page_count(html, get_int(m, "below_zero"));
		buf_addf(html, " of %s", metric_words[i].name);
		any = true;
	}
	buf_add_cstr(html, any ? "." : "");
}

/* What the table does not show, in words, where there is any of it. */
static void add_latency_notes(struct buf *html, const json_t *result)
{
	const json_t *ledger = json_object_get(result, "ledger");
	json_int_t refused = get_int(ledger, "rejected");
	json_int_t bounced = get_int(ledger, "bounced");

	buf_add_cstr(html, "<p class=\"lead\">");
	if (any_dash(result))
		buf_add_cstr(html, "A dash: too few messages to have that percentile.");
	if (refused > 0) {
		buf_add_cstr(html, " Not in these figures: ");
		page_count(html, refused);
		buf_add_cstr(html, " refused at submission.");
	}
	if (bounced > 0) {
		buf_add_cstr(html, " Not in end_to_end: ");
		page_count(html, bounced);
		buf_add_cstr(html, " that were bounced, and so never arrived.");
	}
	add_below_zero(html, result);
	buf_add_cstr(html, "</p>\n");
}

void report_latencies(struct buf *html, const json_t *result, const char *dir)
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

void report_over_time(struct buf *html, const json_t *result, const char *dir)
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

void report_faults(struct buf *html, const json_t *result)
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
		page_seconds(html, json_object_get(f, "planned_at_s"));
		page_seconds(html, json_object_get(f, "began_s"));
		page_seconds(html, json_object_get(f, "planned_for_s"));
		page_seconds(html, json_object_get(f, "ended_s"));
		buf_add_cstr(html, "<td class=\"n\">");
		if (json_is_null(json_object_get(f, "strikes")))
			buf_add_cstr(html, "–");
		else
			page_count(html, get_int(f, "strikes"));
		buf_add_cstr(html, "</td></tr>\n");
	}
	buf_add_cstr(html, "</tbody></table></div>\n");
}
