#include "reports/report.h"

#include "base/file.h"
#include "reports/conform_page.h"
#include "reports/page.h"
#include "reports/report_parts.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

enum {
	RESULT_BYTES_MAX = 256 * 1024 * 1024,
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

static void add_figures(struct buf *html, const json_t *result)
{
	const json_t *ledger = json_object_get(result, "ledger");
	const json_t *totals = json_object_get(result, "totals");
	const json_t *drain = json_object_get(result, "drain");
	json_int_t lost = get_int(ledger, "lost");
	json_int_t wrong =
		get_int(ledger, "duplicated") + get_int(ledger, "corrupted") + get_int(ledger, "unexpected");

	buf_add_cstr(html, "<dl class=\"figures\">\n");
	page_figure(html, "Accepted", get_int(totals, "accepted"), false, "answered with 250");
	page_figure(html, "Arrived intact", get_int(ledger, "delivered") + get_int(ledger, "recovered"),
		    false, "exactly one copy");
	page_figure(html, "Lost", lost, lost > 0, "neither delivered nor told");
	page_figure(html, "Wrong copies", wrong, wrong > 0, "doubled, damaged or unexpected");
	if (percentile_of(result, "end_to_end", 50) != NULL) {
		buf_add_cstr(html, "<div><dt>End to end</dt><dd>");
		page_percentile(html, percentile_of(result, "end_to_end", 50));
		const json_t *m = json_object_get(json_object_get(result, "metrics"), "end_to_end");
		bool many = has_percentile(get_int(m, "count") + get_int(m, "censored"), 99);
		buf_add_cstr(html,
			     many ? "<small>half of them; 99 % within " : "<small>half of them; all within ");
		page_percentile(html, percentile_of(result, "end_to_end", many ? 99 : 100));
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

/* ---- the page ---- */

static void run_page(struct buf *html, const json_t *result, const char *dir)
{
	page_begin(html, verdict_word(get_text(result, "verdict")),
		   get_text(json_object_get(result, "flow"), "name"));
	add_verdict(html, result);
	add_figures(html, result);
	report_ledger(html, result);
	report_evidence(html, dir);
	report_latencies(html, result, dir);
	report_over_time(html, result, dir);
	report_faults(html, result);
	report_conditions(html, result);
	buf_add_cstr(html,
		     "<footer>Made by postrider from <code>result.json</code>, <code>series.csv</code> and "
		     "<code>percentiles.csv</code>.</footer>\n</main>\n</body>\n</html>\n");
}

int report_html(const char *dir, struct span text, struct buf *ret_html, struct err *reterr)
{
	json_error_t je;
	json_t *result = json_loadb(text.n > 0 ? text.p : "", text.n, 0, &je);
	const char *format = get_text(result, "format");
	int rc = 0;

	if (result == NULL)
		return err_set(reterr, -EINVAL, "%s/result.json:%d:%d: %s", dir, je.line, je.column, je.text);
	if (strcmp(format, "postrider-result-1") == 0)
		run_page(ret_html, result, dir);
	else if (strcmp(format, "postrider-conform-2") == 0)
		conform_page(ret_html, result);
	else
		rc = err_set(reterr, -EINVAL, "%s/result.json: not a result of this version", dir);
	json_decref(result);
	return rc;
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
