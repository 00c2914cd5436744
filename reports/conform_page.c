#include "reports/conform_page.h"

#include "reports/conform_matrix.h"
#include "reports/page.h"

#include <string.h>

/* "" for what is no text. */
static const char *text_of(const json_t *value)
{
	return json_is_string(value) ? json_string_value(value) : "";
}

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

static const json_t *targets_of(const json_t *result)
{
	return json_object_get(result, "targets");
}

static bool is_single(const json_t *result)
{
	return json_array_size(targets_of(result)) == 1;
}

/* "postfix, exim" */
static void name_targets(struct buf *out, const json_t *result)
{
	size_t i;
	json_t *t;

	json_array_foreach(targets_of(result), i, t)
		buf_addf(out, "%s%s", i > 0 ? ", " : "", get_text(t, "target"));
}

/* ---- top ---- */

static void add_figure(struct buf *html, const json_t *totals, const char *name, const char *title, bool bad,
		       const char *note)
{
	json_int_t n = get_int(totals, name);

	page_figure(html, title, n, bad && n > 0, note);
}

static void add_figures(struct buf *html, const json_t *target)
{
	const json_t *totals = json_object_get(target, "totals");

	buf_add_cstr(html, "<dl class=\"figures\">\n");
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

static void add_words(struct buf *html, const json_t *result)
{
	const json_t *first = json_array_get(targets_of(result), 0);
	int cases = (int)json_array_size(json_object_get(first, "cases"));

	if (is_single(result)) {
		buf_addf(html, "%d of %d cases passed.",
			 (int)get_int(json_object_get(first, "totals"), "pass"), cases);
		if (*get_text(first, "problem") != '\0') {
			buf_add_cstr(html, " ");
			page_text(html, get_text(first, "problem"));
		}
		return;
	}
	buf_addf(html, "%d cases for each of %d targets, which disagree in %d.", cases,
		 (int)json_array_size(targets_of(result)),
		 (int)json_array_size(json_object_get(result, "disputed")));
}

static void add_top(struct buf *html, const json_t *result)
{
	const char *verdict = get_text(result, "verdict");
	struct buf names = { 0 };

	name_targets(&names, result);
	buf_addf(html, "<section class=\"verdict %s\">\n<h1>postrider conform · ", verdict_class(verdict));
	page_text(html, buf_cstr(&names));
	buf_addf(html, "</h1>\n<p class=\"word\">%s</p>\n<p class=\"words\">", headline(verdict));
	add_words(html, result);
	buf_add_cstr(html, "</p>\n</section>\n");
	buf_free(&names);
	if (is_single(result))
		add_figures(html, json_array_get(targets_of(result), 0));
}

/* ---- several targets ---- */

static void add_count(struct buf *html, const json_t *totals, const char *name, const char *tone)
{
	json_int_t n = get_int(totals, name);

	buf_addf(html, "<td class=\"n%s%s\">%d</td>", n > 0 ? " " : "", n > 0 ? tone : "", (int)n);
}

static void add_target(struct buf *html, const json_t *t)
{
	const json_t *totals = json_object_get(t, "totals");
	size_t i;
	json_t *version;

	buf_add_cstr(html, "<tr><th>");
	page_text(html, get_text(t, "target"));
	buf_add_cstr(html, "</th><td>");
	page_text(html, get_text(t, "title"));
	json_array_foreach(json_object_get(t, "versions"), i, version)
	{
		buf_add_cstr(html, i > 0 ? ", " : "<br><small>");
		page_text(html, text_of(version));
	}
	buf_add_cstr(html, i > 0 ? "</small>" : "");
	if (*get_text(t, "problem") != '\0') {
		buf_add_cstr(html, "<br><b class=\"odd\">");
		page_text(html, get_text(t, "problem"));
		buf_add_cstr(html, "</b>");
	}
	buf_add_cstr(html, "</td>");
	add_count(html, totals, "pass", "good");
	add_count(html, totals, "fail", "bad");
	add_count(html, totals, "warn", "odd");
	add_count(html, totals, "inconclusive", "odd");
	add_count(html, totals, "not-tested", "none");
	buf_add_cstr(html, "</tr>\n");
}

static void add_targets(struct buf *html, const json_t *result)
{
	size_t i;
	json_t *t;

	buf_add_cstr(
		html,
		"<div class=\"scroll\"><table class=\"targets\"><thead><tr><th>target</th><th></th>"
		"<th class=\"n\">passed</th><th class=\"n\">failed</th><th class=\"n\">warnings</th>"
		"<th class=\"n\">inconclusive</th><th class=\"n\">not tested</th></tr></thead><tbody>\n");
	json_array_foreach(targets_of(result), i, t) add_target(html, t);
	buf_add_cstr(html, "</tbody></table></div>\n");
}

/* ---- one target: what did not pass ---- */

static void add_requirements(struct buf *html, const json_t *result, const json_t *c)
{
	size_t i;
	json_t *req;

	json_array_foreach(json_object_get(c, "requirements"), i, req)
	{
		buf_add_cstr(html, i > 0 ? "<br>" : "");
		conform_clause(html, result, req);
	}
}

static void add_told(struct buf *html, const json_t *result, const json_t *c)
{
	const json_t *waiver = json_object_get(c, "waiver");

	buf_addf(html, "<details%s><summary><b class=\"%s\">%s</b> ",
		 strcmp(get_text(c, "verdict"), "fail") == 0 ? " open" : "",
		 conform_tone(get_text(c, "verdict")), get_text(c, "verdict"));
	page_text(html, get_text(c, "title"));
	buf_add_cstr(html, "</summary>\n<p>");
	page_text(html, get_text(c, "why"));
	buf_add_cstr(html, "</p>\n<p class=\"lead\">");
	add_requirements(html, result, c);
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

static void add_all_told(struct buf *html, const json_t *result, const char *verdict, const char *title)
{
	const json_t *cases = json_object_get(json_array_get(targets_of(result), 0), "cases");
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
		add_told(html, result, c);
	}
}

static void add_single(struct buf *html, const json_t *result)
{
	add_all_told(html, result, "fail", "What fails");
	add_all_told(html, result, "flaky", "What differs between repeats");
	add_all_told(html, result, "error", "Where the harness failed");
	add_all_told(html, result, "warn", "Warnings");
	add_all_told(html, result, "waived", "Waived");
	add_all_told(html, result, "inconclusive", "What could not be judged");
}

/* ---- several: where they disagree ---- */

static const json_t *case_of(const json_t *target, const char *id)
{
	size_t i;
	json_t *c;

	json_array_foreach(json_object_get(target, "cases"), i, c)
	{
		if (strcmp(get_text(c, "case"), id) == 0)
			return c;
	}
	return NULL;
}

static void add_dispute(struct buf *html, const json_t *result, const char *id)
{
	size_t i;
	json_t *t;

	buf_add_cstr(html, "<tr><td>");
	page_text(html, get_text(case_of(json_array_get(targets_of(result), 0), id), "title"));
	buf_add_cstr(html, "<br><small>");
	page_text(html, id);
	buf_add_cstr(html, "</small></td>");
	json_array_foreach(targets_of(result), i, t)
	{
		const char *verdict = get_text(case_of(t, id), "verdict");
		buf_addf(html, "<td class=\"%s\">%s</td>", conform_tone(verdict), verdict);
	}
	buf_add_cstr(html, "</tr>\n");
}

static void add_disputes(struct buf *html, const json_t *result)
{
	const json_t *disputed = json_object_get(result, "disputed");
	size_t i;
	json_t *x;

	if (json_array_size(disputed) == 0)
		return;
	buf_add_cstr(html,
		     "<h2>Where targets disagree</h2>\n<p class=\"lead\">What one keeps and another "
		     "breaks.</p>\n<div class=\"scroll\"><table class=\"disputes\"><thead><tr><th>case</th>");
	json_array_foreach(targets_of(result), i, x)
	{
		buf_add_cstr(html, "<th>");
		page_text(html, get_text(x, "target"));
		buf_add_cstr(html, "</th>");
	}
	buf_add_cstr(html, "</tr></thead><tbody>\n");
	json_array_foreach(disputed, i, x) add_dispute(html, result, text_of(x));
	buf_add_cstr(html, "</tbody></table></div>\n");
}

void conform_page(struct buf *html, const json_t *result)
{
	struct buf names = { 0 };

	name_targets(&names, result);
	page_begin(html, headline(get_text(result, "verdict")), buf_cstr(&names));
	buf_free(&names);
	add_top(html, result);
	if (is_single(result))
		add_single(html, result);
	else
		add_targets(html, result);
	conform_matrix(html, result);
	if (!is_single(result))
		add_disputes(html, result);
	buf_add_cstr(html, "<footer>Made by postrider ");
	page_text(html, get_text(result, "version"));
	buf_add_cstr(
		html,
		" from <code>result.json</code>; <code>TARGET/transcripts/</code> has what went over the "
		"wire in every case.</footer>\n</main>\n</body>\n</html>\n");
}
