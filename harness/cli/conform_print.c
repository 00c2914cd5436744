#include "harness/cli/conform_print.h"

#include "base/loop.h"
#include "harness/conform/waivers.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
	SHOW_EVERY_NS = 100 * 1000 * 1000,
	TRANSCRIPT_BYTES_SHOWN = 6000, /* of one case; its file has all of it */
	IRREGULARITIES_MAX = 32,
};

/* ---- on the way ---- */

static void show_line(struct conform_progress *p)
{
	(void)fprintf(stderr, "\r%s  %u/%u  passed %u  failed %u  other %u\033[K", p->target, p->done,
		      p->total, p->by[CONFORM_PASS], p->by[CONFORM_FAIL],
		      p->done - p->by[CONFORM_PASS] - p->by[CONFORM_FAIL]);
	(void)fflush(stderr);
	p->line_open = true;
}

void conform_progress_end(struct conform_progress *p)
{
	if (p->line_open)
		(void)fputs("\r\033[K", stderr);
	p->line_open = false;
	(void)fflush(stderr);
}

void conform_progress_add(struct conform_progress *p, const struct suite_result *r)
{
	bool news = r->verdict != CONFORM_PASS && r->verdict != CONFORM_NOT_TESTED;

	p->done++;
	p->by[r->verdict]++;
	if (p->mode == PROGRESS_NONE)
		return;
	if (news) {
		conform_progress_end(p);
		(void)fprintf(stderr, "%-12s  %s\n", conform_verdict_name(r->verdict), r->file->id);
	}
	int64_t now = clock_mono_ns();
	if (p->mode == PROGRESS_LIVE && (now - p->shown_ns >= SHOW_EVERY_NS || p->done == p->total)) {
		p->shown_ns = now;
		show_line(p);
	}
}

/* ---- at the end ---- */

static const char *colour_of(enum conform_verdict v)
{
	switch (v) {
	case CONFORM_FAIL:
	case CONFORM_ERROR:
	case CONFORM_FLAKY:
		return "\033[31m";
	case CONFORM_WARN:
	case CONFORM_INCONCLUSIVE:
		return "\033[33m";
	case CONFORM_PASS:
		return "\033[32m";
	case CONFORM_NOT_TESTED:
	case CONFORM_WAIVED:
	case CONFORM_VERDICT_COUNT:
		break;
	}
	return "\033[2m";
}

static void add_transcript(const struct suite_result *s, struct buf *out)
{
	struct span rest = buf_span(&s->transcript), line;
	size_t shown = 0;

	while (shown < TRANSCRIPT_BYTES_SHOWN && span_take_until(&rest, '\n', &line)) {
		buf_addf(out, "    %.*s\n", SPAN_FMT(line));
		shown += line.n;
	}
	if (rest.n > 0)
		buf_add_cstr(out, "    … the rest is in its file\n");
}

static void add_case(const struct conform_record *r, uint32_t i, bool colour, struct buf *out)
{
	const struct suite_result *s = &r->results[i];
	enum conform_verdict v = conform_verdict_of(r, i);
	bool judged = v == CONFORM_FAIL || v == CONFORM_WARN || v == CONFORM_WAIVED;

	buf_addf(out, "%s%s%s  %s\n", colour ? colour_of(v) : "", conform_verdict_name(v),
		 colour ? "\033[m" : "", s->file->id);
	buf_addf(out, "  %s\n", s->file->title);
	if (judged)
		buf_addf(out, "  breaks %s (%s)\n", conform_req(s)->id,
			 case_level_name(conform_req(s)->level));
	buf_add_cstr(out, "  ");
	conform_place(s, out);
	buf_addf(out, ": %s\n", s->why);
	if (r->waived != NULL && r->waived[i] != NULL)
		buf_addf(out, "  waived until %s: %s\n", r->waived[i]->until, r->waived[i]->reason);
	if (r->known != NULL && r->known[i])
		buf_add_cstr(out, "  failed in the baseline too\n");
	if (v != CONFORM_NOT_TESTED)
		add_transcript(s, out);
	buf_add_cstr(out, "\n");
}

static bool is_told(enum conform_verdict v)
{
	return v != CONFORM_PASS && v != CONFORM_NOT_TESTED;
}

/* What the strict reading found, each once, with how many cases saw it. */
static void add_irregularities(const struct conform_record *r, struct buf *out)
{
	struct span seen[IRREGULARITIES_MAX];
	uint32_t counts[IRREGULARITIES_MAX] = { 0 }, n = 0;

	for (uint32_t i = 0; i < r->count; i++) {
		struct span rest = buf_span(&r->results[i].irregularities), line;
		while (span_take_until(&rest, '\n', &line)) {
			uint32_t k = 0;
			while (k < n && !span_eq(seen[k], line))
				k++;
			if (k == n && n < IRREGULARITIES_MAX)
				seen[n++] = line;
			if (k < IRREGULARITIES_MAX)
				counts[k]++;
		}
	}
	for (uint32_t k = 0; k < n; k++)
		buf_addf(out, "warning: %.*s, in %u case%s\n", SPAN_FMT(seen[k]), counts[k],
			 counts[k] == 1 ? "" : "s");
}

static void add_unexpected(const struct conform_record *r, struct buf *out)
{
	for (uint32_t i = 0; i < r->count; i++)
		if (conform_passed_unexpectedly(r, i))
			buf_addf(out, "unexpected pass: %s is waived until %s; the waiver can go\n",
				 r->results[i].file->id, r->waived[i]->until);
}

static void print_line(const struct conform_record *r, struct buf *out)
{
	struct conform_totals t = conform_totals(r);
	int code = conform_exit_code(r);

	buf_addf(out, "%s  %s: %u passed",
		 code == 0     ? "PASS"
		 : code == 1   ? "FAIL"
		 : code == 3   ? "INCONCLUSIVE"
		 : code == 130 ? "INTERRUPTED"
			       : "ERROR",
		 r->target, t.by[CONFORM_PASS]);
	for (int v = CONFORM_PASS + 1; v < CONFORM_VERDICT_COUNT; v++)
		if (t.by[v] > 0)
			buf_addf(out, ", %u %s", t.by[v], conform_verdict_name((enum conform_verdict)v));
	if (t.not_played > 0)
		buf_addf(out, ", %u not played", t.not_played);
	if (t.by[CONFORM_FAIL] > 0 && r->known != NULL)
		buf_addf(out, " (%u new)", t.new_failures);
	if (t.duplicates > 0)
		buf_addf(out, ", %u duplicate%s that could not be avoided", t.duplicates,
			 t.duplicates == 1 ? "" : "s");
	buf_addf(out, ", in %.1f s\n", (double)r->elapsed_ms / 1000);
}

void conform_print_lines(const struct conform_records *all, struct buf *out)
{
	for (uint32_t i = 0; i < all->count; i++)
		print_line(&all->items[i], out);
}

/* Of the first target that has one. */
static const struct suite_result *first_failure(const struct conform_records *all)
{
	for (uint32_t k = 0; k < all->count; k++) {
		const struct conform_record *r = &all->items[k];
		for (uint32_t i = 0; i < r->count; i++)
			if (r->results[i].done && conform_verdict_of(r, i) == CONFORM_FAIL)
				return &r->results[i];
	}
	return NULL;
}

static void add_next(const struct conform_records *all, struct buf *out)
{
	const struct suite_result *failure = first_failure(all);

	if (failure != NULL && all->count == 1) {
		buf_addf(out, "next: postrider explain %s\n", conform_req(failure)->id);
		return;
	}
	for (uint32_t k = 0; k < all->count && failure == NULL; k++) {
		const struct conform_record *r = &all->items[k];
		if (r->problem[0] != '\0') {
			buf_addf(out, "next: less %s/%s/logs/sut.stderr.log\n", all->dir, r->target);
			return;
		}
		struct conform_totals t = conform_totals(r);
		if (all->count == 1 && t.by[CONFORM_PASS] + t.by[CONFORM_NOT_TESTED] < r->count) {
			buf_addf(out, "next: postrider conform --target %s --rerun-failed %s/result.json\n",
				 r->target, all->dir);
			return;
		}
	}
	buf_addf(out, "next: xdg-open %s/report.html\n", all->dir);
}

static void add_target(const struct conform_record *r, bool named, bool colour, struct buf *out)
{
	if (named)
		buf_addf(out, "== %s: %s\n\n", r->target, r->title);
	for (uint32_t i = 0; i < r->count; i++)
		if (r->results[i].done && is_told(conform_verdict_of(r, i)))
			add_case(r, i, colour, out);
	add_irregularities(r, out);
	add_unexpected(r, out);
	if (r->problem[0] != '\0')
		buf_addf(out, "problem: %s\n", r->problem);
	if (r->deaths > 0)
		buf_addf(out, "the server died %u time%s and was started again\n", r->deaths,
			 r->deaths == 1 ? "" : "s");
	if (named)
		buf_add_cstr(out, "\n");
}

void conform_print(const struct conform_records *all, bool colour, struct buf *out)
{
	for (uint32_t i = 0; i < all->count; i++)
		add_target(&all->items[i], all->count > 1, colour, out);
	conform_print_lines(all, out);
	buf_addf(out, "results: %s\n", all->dir);
	add_next(all, out);
}

/* ---- where targets disagree ---- */

static void add_dispute(const struct conform_records *all, uint32_t index, bool colour, struct buf *out)
{
	const struct case_file *c = all->items[0].results[index].file;

	buf_addf(out, "%s\n  %s\n", c->id, c->title);
	for (uint32_t k = 0; k < all->count; k++) {
		const struct conform_record *r = &all->items[k];
		const struct suite_result *s = &r->results[index];
		enum conform_verdict v = conform_verdict_of(r, index);
		buf_addf(out, "  %-12s %s%s%s", r->target, colour && s->done ? colour_of(v) : "",
			 s->done ? conform_verdict_name(v) : "not played", colour && s->done ? "\033[m" : "");
		if (s->done && is_told(v))
			buf_addf(out, "  breaks %s: %s", conform_req(s)->id, s->why);
		else if (s->done && s->why[0] != '\0')
			buf_addf(out, "  %s", s->why);
		buf_add_cstr(out, "\n");
	}
	buf_add_cstr(out, "\n");
}

void conform_print_disputes(const struct conform_records *all, bool colour, struct buf *out)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < all->items[0].count; i++) {
		if (!conform_is_disputed(all, i))
			continue;
		n++;
		add_dispute(all, i, colour, out);
	}
	buf_addf(out, "the targets disagree in %u of %u cases\n", n, all->items[0].count);
	conform_print_lines(all, out);
	buf_addf(out, "results: %s\nnext: xdg-open %s/report.html\n", all->dir, all->dir);
}
