#include "reports/conform_page.h"

#include "reports/page.h"

#include <string.h>

/* ---- words ---- */

static const char *headline(const char *verdict)
{
	static const struct {
		const char *name, *word;
	} WORDS[] = {
		{ "pass", "Conforms, as far as it was judged" },
		{ "fail", "Breaks requirements" },
		{ "inconclusive", "Could not be judged" },
		{ "interrupted", "Interrupted" },
		{ "error", "The harness failed" },
	};
	for (size_t i = 0; i < sizeof(WORDS) / sizeof(WORDS[0]); i++)
		if (strcmp(verdict, WORDS[i].name) == 0)
			return WORDS[i].word;
	return verdict;
}

/* The classes of report.css. */
static const char *verdict_class(const char *verdict)
{
	if (strcmp(verdict, "pass") == 0 || strcmp(verdict, "fail") == 0 ||
	    strcmp(verdict, "interrupted") == 0)
		return verdict;
	return "invalid";
}

static const char *tone_of(const char *verdict)
{
	if (strcmp(verdict, "pass") == 0)
		return "good";
	if (strcmp(verdict, "fail") == 0 || strcmp(verdict, "error") == 0 || strcmp(verdict, "flaky") == 0)
		return "bad";
	return "odd";
}

/* ---- top ---- */

static void add_figure(struct buf *html, const json_t *totals, const char *name, const char *title, bool bad,
		       const char *note)
{
	json_int_t n = get_int(totals, name);

	page_figure(html, title, n, bad && n > 0, note);
}

static void add_top(struct buf *html, const json_t *result)
{
	const char *verdict = get_text(result, "verdict");
	const json_t *totals = json_object_get(result, "totals");

	buf_addf(html, "<section class=\"verdict %s\">\n<h1>postrider conform · ", verdict_class(verdict));
	page_text(html, get_text(result, "target"));
	buf_addf(html, "</h1>\n<p class=\"word\">%s</p>\n<p class=\"words\">%d of %d cases passed.",
		 headline(verdict), (int)get_int(totals, "pass"),
		 (int)json_array_size(json_object_get(result, "cases")));
	if (*get_text(result, "problem") != '\0') {
		buf_add_cstr(html, " ");
		page_text(html, get_text(result, "problem"));
	}
	buf_add_cstr(html, "</p>\n</section>\n<dl class=\"figures\">\n");
	add_figure(html, totals, "pass", "Passed", false, "every expectation held");
	add_figure(html, totals, "fail", "Failed", true, "a requirement is broken");
	add_figure(html, totals, "warn", "Warnings", false, "a SHOULD or MAY is broken");
	add_figure(html, totals, "inconclusive", "Inconclusive", false, "could not be judged");
	add_figure(html, totals, "not-tested", "Not tested", false, "not offered by the server");
	if (get_int(totals, "waived") > 0)
		add_figure(html, totals, "waived", "Waived", false, "known, with a reason");
	if (get_int(totals, "flaky") + get_int(totals, "error") > 0)
		add_figure(html, totals, "flaky", "Flaky", true, "differs between repeats");
	buf_add_cstr(html, "</dl>\n");
}

/* ---- cases ---- */

static void add_requirements(struct buf *html, const json_t *c)
{
	size_t i;
	json_t *req;

	json_array_foreach(json_object_get(c, "requirements"), i, req)
	{
		buf_add_cstr(html, i > 0 ? "<br><code>" : "<code>");
		page_text(html, get_text(req, "id"));
		buf_addf(html, "</code> %s", get_text(req, "level"));
	}
}

static void add_told(struct buf *html, const json_t *c)
{
	const json_t *waiver = json_object_get(c, "waiver");

	buf_addf(html, "<details%s><summary><b class=\"%s\">%s</b> ",
		 strcmp(get_text(c, "verdict"), "fail") == 0 ? " open" : "", tone_of(get_text(c, "verdict")),
		 get_text(c, "verdict"));
	page_text(html, get_text(c, "title"));
	buf_add_cstr(html, "</summary>\n<p>");
	page_text(html, get_text(c, "why"));
	buf_add_cstr(html, "</p>\n<p class=\"lead\">");
	add_requirements(html, c);
	buf_add_cstr(html, "<br>");
	page_text(html, get_text(c, "file"));
	if (get_int(c, "line") > 0)
		buf_addf(html, ":%d", (int)get_int(c, "line"));
	buf_add_cstr(html, "</p>\n");
	if (waiver != NULL) {
		buf_add_cstr(html, "<p>Waived until ");
		page_text(html, get_text(waiver, "until"));
		buf_add_cstr(html, ": ");
		page_text(html, get_text(waiver, "reason"));
		buf_add_cstr(html, "</p>\n");
	}
	if (*get_text(c, "transcript") != '\0') {
		buf_add_cstr(html, "<div class=\"scroll\"><pre>");
		page_text(html, get_text(c, "transcript"));
		buf_add_cstr(html, "</pre></div>\n");
	}
	buf_add_cstr(html, "</details>\n");
}

static void add_all_told(struct buf *html, const json_t *cases, const char *verdict, const char *title)
{
	size_t i;
	json_t *c;
	bool any = false;

	json_array_foreach(cases, i, c)
	{
		if (strcmp(get_text(c, "verdict"), verdict) != 0)
			continue;
		if (!any)
			buf_addf(html, "<h2>%s</h2>\n", title);
		any = true;
		add_told(html, c);
	}
}

static void add_table(struct buf *html, const json_t *cases)
{
	size_t i;
	json_t *c;

	buf_add_cstr(
		html,
		"<h2>All cases</h2>\n<div class=\"scroll\"><table><thead><tr><th>case</th><th>verdict</th>"
		"<th>judges</th></tr></thead><tbody>\n");
	json_array_foreach(cases, i, c)
	{
		buf_add_cstr(html, "<tr><td>");
		page_text(html, get_text(c, "title"));
		buf_add_cstr(html, "<br><small>");
		page_text(html, get_text(c, "case"));
		buf_addf(html, "</small></td><td class=\"%s\">%s</td><td><small>",
			 tone_of(get_text(c, "verdict")), get_text(c, "verdict"));
		add_requirements(html, c);
		buf_add_cstr(html, "</small></td></tr>\n");
	}
	buf_add_cstr(html, "</tbody></table></div>\n");
}

void conform_page(struct buf *html, const json_t *result)
{
	const json_t *cases = json_object_get(result, "cases");

	page_begin(html, headline(get_text(result, "verdict")), get_text(result, "target"));
	add_top(html, result);
	add_all_told(html, cases, "fail", "What fails");
	add_all_told(html, cases, "flaky", "What differs between repeats");
	add_all_told(html, cases, "error", "Where the harness failed");
	add_all_told(html, cases, "warn", "Warnings");
	add_all_told(html, cases, "waived", "Waived");
	add_all_told(html, cases, "inconclusive", "What could not be judged");
	add_all_told(html, cases, "not-tested", "What was not tested");
	add_table(html, cases);
	buf_add_cstr(html, "<footer>Made by postrider ");
	page_text(html, get_text(result, "version"));
	buf_add_cstr(html,
		     " from <code>result.json</code>; <code>transcripts/</code> has what went over the wire "
		     "in every case.</footer>\n</main>\n</body>\n</html>\n");
}
