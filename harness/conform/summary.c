#include "harness/conform/summary.h"

#include "harness/judge/xml.h"

#include <stdlib.h>
#include <string.h>

enum { TRANSCRIPT_BYTES_MAX = 4000 };

static const char *word_for(int exit_code)
{
	return exit_code == 0     ? "PASS"
	       : exit_code == 1   ? "FAIL"
	       : exit_code == 3   ? "INCONCLUSIVE"
	       : exit_code == 130 ? "INTERRUPTED"
				  : "ERROR";
}

static bool is_broken(const struct conform_record *r, uint32_t i)
{
	enum conform_verdict v = conform_verdict_of(r, i);

	return r->results[i].done && (v == CONFORM_FAIL || v == CONFORM_WARN || v == CONFORM_FLAKY);
}

/* ---- Markdown ---- */

/* For a cell of a table: no tags, no bars, one line. */
static void add_md(struct buf *out, const char *s)
{
	struct buf clean = { 0 };

	xml_add(&clean, span_of(s));
	for (const char *c = buf_cstr(&clean); *c != '\0'; c++)
		buf_add_cstr(out, *c == '|' ? "&#124;" : (char[]){ *c, '\0' });
	buf_free(&clean);
}

static void add_targets(const struct conform_records *all, struct buf *out)
{
	buf_add_cstr(out, "| target | verdict | passed | failed | warnings | inconclusive | not tested |\n"
			  "|---|---|--:|--:|--:|--:|--:|\n");
	for (uint32_t i = 0; i < all->count; i++) {
		const struct conform_record *r = &all->items[i];
		struct conform_totals t = conform_totals(r);
		buf_addf(out, "| **%s**", r->target);
		if (r->versions[0] != '\0') {
			buf_add_cstr(out, "<br>");
			add_md(out, r->versions);
		}
		if (r->problem[0] != '\0') {
			buf_add_cstr(out, "<br>");
			add_md(out, r->problem);
		}
		buf_addf(out, " | %s | %u | %u | %u | %u | %u |\n", word_for(conform_exit_code(r)),
			 t.by[CONFORM_PASS], t.by[CONFORM_FAIL], t.by[CONFORM_WARN],
			 t.by[CONFORM_INCONCLUSIVE], t.by[CONFORM_NOT_TESTED]);
	}
}

/* What the target made of a requirement: "✗" when a case broke it, "✓" when one that judges it passed. */
static const char *sign_for(const struct conform_record *r, const char *id)
{
	bool passed = false;

	for (uint32_t i = 0; i < r->count; i++) {
		const struct suite_result *s = &r->results[i];
		if (is_broken(r, i) && strcmp(conform_req(s)->id, id) == 0)
			return conform_verdict_of(r, i) == CONFORM_WARN ? "!" : "✗";
		for (uint32_t k = 0; k < s->file->req_count; k++)
			passed = passed || (s->done && s->verdict == CONFORM_PASS &&
					    strcmp(s->file->reqs[k].id, id) == 0);
	}
	return passed ? "✓" : "–";
}

static int compare_ids(const void *a, const void *b)
{
	const struct case_req *const *x = a, *const *y = b;

	return strcmp((*x)->id, (*y)->id);
}

/* Every requirement that some target broke, each once; the caller frees the array. */
static const struct case_req **broken_reqs(const struct conform_records *all, uint32_t *ret_count)
{
	uint32_t n = 0, kept = 0;
	const struct case_req **list = calloc((size_t)all->count * all->items[0].count + 1, sizeof(*list));

	if (list == NULL)
		abort();
	for (uint32_t k = 0; k < all->count; k++)
		for (uint32_t i = 0; i < all->items[k].count; i++)
			if (is_broken(&all->items[k], i))
				list[n++] = conform_req(&all->items[k].results[i]);
	qsort(list, n, sizeof(*list), compare_ids);
	for (uint32_t i = 0; i < n; i++)
		if (kept == 0 || strcmp(list[kept - 1]->id, list[i]->id) != 0)
			list[kept++] = list[i];
	*ret_count = kept;
	return list;
}

static void add_requirement(const struct conform_records *all, const struct case_req *req, struct buf *out)
{
	const struct requirement *known =
		all->catalogue != NULL ? requirements_find(all->catalogue, req->id) : NULL;

	buf_addf(out, "| `%s`", req->id);
	if (known != NULL) {
		buf_add_cstr(out, "<br>");
		add_md(out, known->says);
	}
	buf_addf(out, " | %s", case_level_name(req->level));
	for (uint32_t k = 0; k < all->count; k++)
		buf_addf(out, " | %s", sign_for(&all->items[k], req->id));
	buf_add_cstr(out, " |\n");
}

static void add_requirements(const struct conform_records *all, struct buf *out)
{
	uint32_t count;
	const struct case_req **list = broken_reqs(all, &count);

	if (count > 0) {
		buf_add_cstr(out, "\n## Broken requirements\n\n| requirement | level |");
		for (uint32_t k = 0; k < all->count; k++)
			buf_addf(out, " %s |", all->items[k].target);
		buf_add_cstr(out, "\n|---|---|");
		for (uint32_t k = 0; k < all->count; k++)
			buf_add_cstr(out, ":-:|");
		buf_add_cstr(out, "\n");
	}
	for (uint32_t i = 0; i < count && buf_bytes(out) < SUMMARY_BYTES_MAX; i++)
		add_requirement(all, list[i], out);
	free(list);
}

static void add_case(const struct conform_record *r, uint32_t i, struct buf *out)
{
	const struct suite_result *s = &r->results[i];
	struct span transcript = buf_span(&s->transcript);
	struct buf place = { 0 };

	buf_addf(out, "\n<details><summary>%s: %s: ", r->target,
		 conform_verdict_name(conform_verdict_of(r, i)));
	add_md(out, s->file->title);
	buf_addf(out, "</summary>\n\nbreaks `%s`, says ", conform_req(s)->id);
	conform_place(s, &place);
	buf_addf(out, "`%s`: ", buf_cstr(&place));
	add_md(out, s->why);
	buf_add_cstr(out, "\n\n<pre>");
	xml_add(out, span_sub(transcript, 0, TRANSCRIPT_BYTES_MAX));
	buf_addf(out, "%s</pre>\n</details>\n", transcript.n > TRANSCRIPT_BYTES_MAX ? "…" : "");
	buf_free(&place);
}

static void add_cases(const struct conform_records *all, struct buf *out)
{
	uint32_t left_out = 0;

	for (uint32_t k = 0; k < all->count; k++) {
		const struct conform_record *r = &all->items[k];
		for (uint32_t i = 0; i < r->count; i++) {
			if (!is_broken(r, i))
				continue;
			if (buf_bytes(out) < SUMMARY_BYTES_MAX)
				add_case(r, i, out);
			else
				left_out++;
		}
	}
	if (left_out > 0)
		buf_addf(out, "\n%u more are in result.json and report.html.\n", left_out);
}

void conform_markdown(const struct conform_records *all, struct buf *out)
{
	buf_addf(out, "# postrider conform: %s\n\n", word_for(conform_exit_code_of_all(all)));
	add_targets(all, out);
	add_requirements(all, out);
	add_cases(all, out);
}

/* ---- GitHub ---- */

/* As the runner undoes it: percent signs and line ends; in a property also what separates properties. */
static void add_github(struct buf *out, const char *s, bool property)
{
	for (; *s != '\0'; s++) {
		if (*s == '%' || *s == '\r' || *s == '\n' || (property && (*s == ':' || *s == ',')))
			buf_addf(out, "%%%02X", (unsigned)(unsigned char)*s);
		else
			buf_add_u8(out, (uint8_t)*s);
	}
}

static void add_annotation(const struct conform_record *r, uint32_t i, const char *kind, struct buf *out)
{
	const struct suite_result *s = &r->results[i];
	struct buf title = { 0 };

	buf_addf(out, "::%s file=", kind);
	add_github(out, s->file->path, true);
	if (s->line > 0)
		buf_addf(out, ",line=%u", s->line);
	buf_addf(&title, "%s breaks %s (%s)", r->target, conform_req(s)->id,
		 case_level_name(conform_req(s)->level));
	buf_add_cstr(out, ",title=");
	add_github(out, buf_cstr(&title), true);
	buf_add_cstr(out, "::");
	add_github(out, s->file->title, false);
	buf_add_cstr(out, "%0A");
	add_github(out, s->why, false);
	buf_add_cstr(out, "\n");
	buf_free(&title);
}

static void add_problems(const struct conform_records *all, struct buf *out)
{
	for (uint32_t k = 0; k < all->count; k++) {
		const struct conform_record *r = &all->items[k];
		if (r->problem[0] == '\0')
			continue;
		buf_addf(out, "::error title=%s could not be judged::", r->target);
		add_github(out, r->problem, false);
		buf_add_cstr(out, "\n");
	}
}

void conform_github(const struct conform_records *all, struct buf *out)
{
	add_problems(all, out);
	for (int pass = 0; pass < 2; pass++) {
		for (uint32_t k = 0; k < all->count; k++) {
			const struct conform_record *r = &all->items[k];
			for (uint32_t i = 0; i < r->count; i++) {
				bool is_error = conform_verdict_of(r, i) == CONFORM_FAIL;
				if (is_broken(r, i) && is_error == (pass == 0))
					add_annotation(r, i, is_error ? "error" : "warning", out);
			}
		}
	}
}
