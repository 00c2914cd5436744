#include "reports/conform_matrix.h"

#include "reports/page.h"

#include <stdlib.h>
#include <string.h>

/* ---- groups ---- */

struct place {
	uint32_t rfc;
	char section[24];
};

/* "RFC5321-4.5.2-leading-dot-deleted"; what has another shape is in no section. */
static struct place place_of(const char *id)
{
	struct place p = { 0 };

	if (strncmp(id, "RFC", 3) == 0)
		p.rfc = (uint32_t)strtoul(id + 3, NULL, 10);
	const char *section = strchr(id, '-');
	size_t n = section != NULL ? strcspn(section + 1, "-") : 0;
	if (n > 0 && n < sizeof(p.section))
		memcpy(p.section, section + 1, n);
	return p;
}

/* "4.10" comes behind "4.9". */
static int compare_sections(const char *a, const char *b)
{
	while (*a != '\0' && *b != '\0') {
		char *a_end, *b_end;
		unsigned long x = strtoul(a, &a_end, 10), y = strtoul(b, &b_end, 10);
		if (a_end == a || b_end == b)
			return strcmp(a, b);
		if (x != y)
			return x < y ? -1 : 1;
		a = *a_end == '.' ? a_end + 1 : a_end;
		b = *b_end == '.' ? b_end + 1 : b_end;
	}
	return (*a != '\0') - (*b != '\0');
}

static int compare_places(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	if (x->rfc != y->rfc)
		return x->rfc < y->rfc ? -1 : 1;
	return compare_sections(x->section, y->section);
}

static bool is_same(const struct place *a, const struct place *b)
{
	return a->rfc == b->rfc && strcmp(a->section, b->section) == 0;
}

struct groups {
	struct place *items; /* sorted, each once */
	size_t count;
};

static const json_t *cases_of(const json_t *result, size_t target)
{
	return json_object_get(json_array_get(json_object_get(result, "targets"), target), "cases");
}

static struct groups find_groups(const json_t *result)
{
	struct groups g = { 0 };
	size_t i, k, room = 0, kept = 0;
	json_t *c, *req;

	json_array_foreach(cases_of(result, 0), i, c) room +=
		json_array_size(json_object_get(c, "requirements"));
	g.items = calloc(room + 1, sizeof(*g.items));
	if (g.items == NULL)
		abort();
	json_array_foreach(cases_of(result, 0), i, c)
	{
		json_array_foreach(json_object_get(c, "requirements"), k, req) g.items[g.count++] =
			place_of(get_text(req, "id"));
	}
	qsort(g.items, g.count, sizeof(*g.items), compare_places);
	for (i = 0; i < g.count; i++)
		if (kept == 0 || !is_same(&g.items[kept - 1], &g.items[i]))
			g.items[kept++] = g.items[i];
	g.count = kept;
	return g;
}

/* Whether the case judges something there: all of an RFC where the section is "". */
static bool is_in(const json_t *c, const struct place *p)
{
	size_t i;
	json_t *req;

	json_array_foreach(json_object_get(c, "requirements"), i, req)
	{
		struct place at = place_of(get_text(req, "id"));
		if (at.rfc == p->rfc && (p->section[0] == '\0' || strcmp(at.section, p->section) == 0))
			return true;
	}
	return false;
}

/* What the case says about that place. */
static const char *verdict_at(const json_t *c, const struct place *p)
{
	const char *breaks = get_text(c, "breaks");
	struct place at = place_of(breaks);

	if (*breaks != '\0' && (at.rfc != p->rfc || (p->section[0] != '\0' && !is_same(&at, p))))
		return "not-judged";
	return get_text(c, "verdict");
}

/* ---- cells ---- */

/* From the worst. */
static const char *const KINDS[] = { "fail",   "error",      "flaky", "warn",       "inconclusive",
				     "waived", "not-played", "pass",  "not-judged", "not-tested" };
enum { KIND_COUNT = sizeof(KINDS) / sizeof(KINDS[0]) };

struct tally {
	uint32_t by[KIND_COUNT];
	uint32_t total;
};

static struct tally tally_of(const json_t *cases, const struct place *p)
{
	struct tally t = { 0 };
	size_t i;
	json_t *c;

	json_array_foreach(cases, i, c)
	{
		if (!is_in(c, p))
			continue;
		t.total++;
		const char *verdict = verdict_at(c, p);
		for (size_t k = 0; k < KIND_COUNT; k++)
			t.by[k] += strcmp(verdict, KINDS[k]) == 0;
	}
	return t;
}

static const char *worst_of(const struct tally *t)
{
	for (size_t k = 0; k < KIND_COUNT; k++)
		if (t->by[k] > 0)
			return KINDS[k];
	return "not-tested";
}

static uint32_t count_of(const struct tally *t, const char *kind)
{
	for (size_t k = 0; k < KIND_COUNT; k++)
		if (strcmp(KINDS[k], kind) == 0)
			return t->by[k];
	return 0;
}

const char *conform_tone(const char *verdict)
{
	if (strcmp(verdict, "pass") == 0)
		return "good";
	if (strcmp(verdict, "fail") == 0 || strcmp(verdict, "error") == 0 || strcmp(verdict, "flaky") == 0)
		return "bad";
	if (strcmp(verdict, "not-tested") == 0 || strcmp(verdict, "not-judged") == 0 ||
	    strcmp(verdict, "not-played") == 0)
		return "none";
	return "odd";
}

/* A sign beside the colour, for those who see none. */
static const char *sign_of(const char *verdict)
{
	static const struct {
		const char *verdict, *sign;
	} SIGNS[] = { { "pass", "✓" }, { "fail", "✗" },   { "error", "✗" },       { "flaky", "≈" },
		      { "warn", "!" }, { "waived", "~" }, { "inconclusive", "?" } };

	for (size_t i = 0; i < sizeof(SIGNS) / sizeof(SIGNS[0]); i++)
		if (strcmp(SIGNS[i].verdict, verdict) == 0)
			return SIGNS[i].sign;
	return "–";
}

/* What was judged well or badly, of what could be: "✗ 3 of 12"; where nothing could be, "–". */
static void add_cell_text(struct buf *html, const struct tally *t)
{
	const char *worst = worst_of(t);
	uint32_t judged = t->total - count_of(t, "not-tested") - count_of(t, "not-judged");

	if (judged == 0) {
		buf_add_cstr(html, "–");
		return;
	}
	buf_addf(html, "%s %u", sign_of(worst), count_of(t, worst));
	if (count_of(t, worst) < judged)
		buf_addf(html, " <small>of %u</small>", judged);
}

static void add_cell_title(struct buf *html, const struct tally *t)
{
	const char *comma = "";

	buf_add_cstr(html, " title=\"");
	for (size_t k = 0; k < KIND_COUNT; k++) {
		if (t->by[k] == 0)
			continue;
		buf_addf(html, "%s%u %s", comma, t->by[k], KINDS[k]);
		comma = ", ";
	}
	buf_add_cstr(html, "\"");
}

static void add_cells(struct buf *html, const json_t *result, const struct place *p)
{
	size_t n = json_array_size(json_object_get(result, "targets"));

	for (size_t i = 0; i < n; i++) {
		struct tally t = tally_of(cases_of(result, i), p);
		const char *tone = conform_tone(worst_of(&t));
		if (p->section[0] != '\0')
			buf_addf(html, "<a href=\"#s%u-%s\" class=\"cell %s\"", p->rfc, p->section, tone);
		else
			buf_addf(html, "<span class=\"cell %s\"", tone);
		add_cell_title(html, &t);
		buf_add_cstr(html, ">");
		add_cell_text(html, &t);
		buf_add_cstr(html, p->section[0] != '\0' ? "</a>" : "</span>");
	}
}

/* ---- the table ---- */

static void add_heads(struct buf *html, const json_t *result)
{
	size_t i;
	json_t *t;

	buf_add_cstr(html, "<div class=\"row heads\"><span></span>");
	json_array_foreach(json_object_get(result, "targets"), i, t)
	{
		buf_add_cstr(html, "<b>");
		page_text(html, get_text(t, "target"));
		buf_add_cstr(html, "</b>");
	}
	buf_add_cstr(html, "</div>\n");
}

static void add_rfc(struct buf *html, const json_t *result, const struct place *p, size_t count)
{
	struct place whole = { .rfc = p[0].rfc };
	char number[16];

	(void)snprintf(number, sizeof(number), "%u", whole.rfc);
	buf_addf(html, "<details class=\"rfc\"><summary class=\"row\"><span><b>RFC %s</b> ", number);
	page_text(html, get_text(json_object_get(result, "rfcs"), number));
	buf_add_cstr(html, "</span>");
	add_cells(html, result, &whole);
	buf_add_cstr(html, "</summary>\n");
	for (size_t i = 0; i < count; i++) {
		buf_addf(html, "<div class=\"row\"><a href=\"#s%u-%s\">section %s</a>", p[i].rfc,
			 p[i].section, p[i].section);
		add_cells(html, result, &p[i]);
		buf_add_cstr(html, "</div>\n");
	}
	buf_add_cstr(html, "</details>\n");
}

static void add_table(struct buf *html, const json_t *result, const struct groups *g)
{
	size_t targets = json_array_size(json_object_get(result, "targets"));

	buf_addf(html,
		 "<h2 id=\"matrix\">Requirements by RFC and section</h2>\n<p class=\"lead\">Open a line to "
		 "see "
		 "its sections, and a cell to see its cases: ✓ kept, ✗ broken, ! a SHOULD or MAY broken, ? "
		 "not to "
		 "be judged, – not offered or not tested.</p>\n"
		 "<div class=\"scroll spread\" style=\"--targets:%zu\"><div class=\"matrix\">\n",
		 targets);
	add_heads(html, result);
	for (size_t i = 0, n; i < g->count; i += n) {
		for (n = 1; i + n < g->count && g->items[i + n].rfc == g->items[i].rfc;)
			n++;
		add_rfc(html, result, &g->items[i], n);
	}
	buf_add_cstr(html, "</div></div>\n");
}

/* ---- behind a cell ---- */

void conform_clause(struct buf *html, const json_t *result, const json_t *requirement)
{
	const char *id = get_text(requirement, "id");
	const json_t *known = json_object_get(json_object_get(result, "requirements"), id);
	struct place p = place_of(id);

	if (known == NULL) {
		buf_add_cstr(html, "<code>");
		page_text(html, id);
		buf_addf(html, "</code> %s", get_text(requirement, "level"));
		return;
	}
	buf_addf(html, "<span class=\"clause\" title=\"");
	page_text(html, id);
	buf_addf(html, "\"><b>RFC %u §%s</b> <small>%s</small> ", p.rfc, p.section,
		 get_text(requirement, "level"));
	page_text(html, get_text(known, "says"));
	buf_add_cstr(html, "</span>");
}

static void add_clauses(struct buf *html, const json_t *result, const json_t *c)
{
	size_t i;
	json_t *req;

	json_array_foreach(json_object_get(c, "requirements"), i, req)
	{
		buf_add_cstr(html, i > 0 ? "<br>" : "");
		conform_clause(html, result, req);
	}
}

static void add_outcome(struct buf *html, const json_t *target, const json_t *c, const struct place *p)
{
	const char *verdict = verdict_at(c, p);
	const char *transcript = get_text(c, "transcript");
	/* Of what was not tested the reason is enough here, and transcripts of it would be half the page. */
	bool long_form = *transcript != '\0' && strcmp(verdict, "not-judged") != 0 &&
			 strcmp(verdict, "not-tested") != 0;

	buf_addf(html, long_form ? "<details class=\"outcome\"><summary>" : "<div class=\"outcome\">");
	buf_addf(html, "<b class=\"cell %s\">%s</b> <b>", conform_tone(verdict), sign_of(verdict));
	page_text(html, get_text(target, "target"));
	buf_addf(html, "</b> %s", verdict);
	if (strcmp(verdict, "not-judged") == 0) {
		buf_add_cstr(html, ": it had ended at ");
		page_text(html, get_text(c, "breaks"));
	} else if (*get_text(c, "why") != '\0') {
		buf_add_cstr(html, ": ");
		page_text(html, get_text(c, "why"));
	}
	if (!long_form) {
		buf_add_cstr(html, "</div>\n");
		return;
	}
	buf_add_cstr(html, "</summary><pre>");
	page_text(html, transcript);
	buf_add_cstr(html, "</pre></details>\n");
}

static void add_case(struct buf *html, const json_t *result, size_t index, const struct place *p)
{
	const json_t *first = json_array_get(cases_of(result, 0), index);
	size_t i;
	json_t *t;

	buf_add_cstr(html, "<article><h4>");
	page_text(html, get_text(first, "title"));
	buf_add_cstr(html, "</h4>\n<p class=\"lead\">");
	add_clauses(html, result, first);
	buf_add_cstr(html, "<br><code>");
	page_text(html, get_text(first, "case"));
	buf_add_cstr(html, "</code></p>\n");
	json_array_foreach(json_object_get(result, "targets"), i, t)
		add_outcome(html, t, json_array_get(json_object_get(t, "cases"), index), p);
	buf_add_cstr(html, "</article>\n");
}

static void add_panel(struct buf *html, const json_t *result, const struct place *p)
{
	size_t i;
	json_t *c;

	buf_addf(html,
		 "<section class=\"panel\" id=\"s%u-%s\"><a class=\"close\" href=\"#matrix\">close</a>"
		 "<h3>RFC %u, section %s</h3>\n",
		 p->rfc, p->section, p->rfc, p->section);
	json_array_foreach(cases_of(result, 0), i, c)
	{
		if (is_in(c, p))
			add_case(html, result, i, p);
	}
	buf_add_cstr(html, "</section>\n");
}

void conform_matrix(struct buf *html, const json_t *result)
{
	struct groups g = find_groups(result);

	add_table(html, result, &g);
	for (size_t i = 0; i < g.count; i++)
		add_panel(html, result, &g.items[i]);
	free(g.items);
}
