#include "harness/conform/result_files.h"

#include "base/file.h"
#include "harness/conform/waivers.h"
#include "harness/judge/xml.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DIR_MODE = 0755 };

/* ---- JUnit ---- */

static void junit_outcome(const struct conform_record *r, uint32_t i, struct buf *out)
{
	const struct suite_result *s = &r->results[i];
	enum conform_verdict v = conform_verdict_of(r, i);
	const char *element = v == CONFORM_FAIL || v == CONFORM_FLAKY           ? "failure"
			      : v == CONFORM_ERROR || v == CONFORM_INCONCLUSIVE ? "error"
			      : v == CONFORM_NOT_TESTED || v == CONFORM_WAIVED  ? "skipped"
										: NULL;

	if (!s->done)
		element = "skipped";
	if (element == NULL)
		return;
	buf_addf(out, "<%s message=\"", element);
	xml_add(out, span_of(s->done ? s->why : "not played"));
	buf_add_cstr(out, "\"");
	if (element[0] == 's') {
		buf_add_cstr(out, "/>");
		return;
	}
	buf_addf(out, " type=\"%s\">", conform_verdict_name(v));
	if (v == CONFORM_FAIL) {
		buf_addf(out, "%s (%s)&#10;", conform_req(s)->id, case_level_name(conform_req(s)->level));
	}
	struct buf place = { 0 };
	conform_place(s, &place);
	xml_add(out, buf_span(&place));
	buf_free(&place);
	buf_add_cstr(out, "&#10;");
	xml_add(out, buf_span(&s->transcript));
	buf_addf(out, "</%s>", element);
}

static void junit_suite(const struct conform_record *r, struct buf *out)
{
	struct conform_totals t = conform_totals(r);

	buf_addf(out,
		 "<testsuite name=\"conform %s\" tests=\"%u\" failures=\"%u\" errors=\"%u\" skipped=\"%u\" "
		 "time=\"%.3f\">\n",
		 r->target, r->count, t.by[CONFORM_FAIL] + t.by[CONFORM_FLAKY],
		 t.by[CONFORM_ERROR] + t.by[CONFORM_INCONCLUSIVE],
		 t.by[CONFORM_NOT_TESTED] + t.by[CONFORM_WAIVED] + t.not_played,
		 (double)r->elapsed_ms / 1000);
	for (uint32_t i = 0; i < r->count; i++) {
		const struct suite_result *s = &r->results[i];
		buf_addf(out, "<testcase classname=\"%s\" name=\"", r->target);
		xml_add(out, span_of(s->file->id));
		buf_addf(out, "\" time=\"%.3f\">", (double)s->elapsed_ms / 1000);
		junit_outcome(r, i, out);
		buf_add_cstr(out, "</testcase>\n");
	}
	buf_add_cstr(out, "</testsuite>\n");
}

void conform_junit(const struct conform_records *all, struct buf *out)
{
	buf_add_cstr(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
	for (uint32_t i = 0; i < all->count; i++)
		junit_suite(&all->items[i], out);
	buf_add_cstr(out, "</testsuites>\n");
}

/* ---- TAP ---- */

static void add_tap_text(struct buf *out, const char *s)
{
	for (; *s != '\0'; s++)
		buf_add_cstr(out, *s == '#' ? "\\#" : *s == '\n' ? " " : (char[]){ *s, '\0' });
}

static void tap_line(const struct conform_record *r, uint32_t i, uint32_t number, bool named, struct buf *out)
{
	const struct suite_result *s = &r->results[i];
	enum conform_verdict v = conform_verdict_of(r, i);
	bool skip = !s->done || v == CONFORM_NOT_TESTED;
	bool good = skip || v == CONFORM_PASS || v == CONFORM_WARN;

	buf_addf(out, "%s %u - %s%s%s", good ? "ok" : "not ok", number, named ? r->target : "",
		 named ? ": " : "", s->file->id);
	if (skip || v == CONFORM_WAIVED) {
		buf_add_cstr(out, skip ? " # SKIP "
				       : " # TO"
					 "DO waived: ");
		add_tap_text(out, !s->done              ? "not played"
				  : v == CONFORM_WAIVED ? r->waived[i]->reason
							: s->why);
	}
	buf_add_cstr(out, "\n");
	if (!good || v == CONFORM_WARN)
		buf_addf(out, "# %s: %s\n", conform_verdict_name(v), s->why);
}

void conform_tap(const struct conform_records *all, struct buf *out)
{
	uint32_t number = 0;

	buf_addf(out, "TAP version 13\n1..%u\n", all->count * all->items[0].count);
	for (uint32_t k = 0; k < all->count; k++)
		for (uint32_t i = 0; i < all->items[k].count; i++)
			tap_line(&all->items[k], i, ++number, all->count > 1, out);
}

/* ---- files ---- */

/* A directory for it, and the case's id as its name. */
static int write_transcript(const char *dir, const struct conform_record *r, const struct suite_result *s,
			    struct err *reterr)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof(path), "%s/%s/transcripts/%s.txt", dir, r->target, s->file->id);

	if (n < 0 || (size_t)n >= sizeof(path))
		return err_set(reterr, -ENAMETOOLONG, "%s", s->file->id);
	char *slash = strrchr(path, '/');
	*slash = '\0';
	int rc = dir_make(path, DIR_MODE, reterr);
	*slash = '/';
	if (rc != 0)
		return rc;
	FILE *f = fopen(path, "we");
	if (f == NULL)
		return err_errno(reterr, errno, "%s", path);
	struct span text = buf_span(&s->transcript);
	(void)fprintf(f, "%s: %s%s%s\n\n", s->file->id, conform_verdict_name(s->verdict),
		      s->why[0] != '\0' ? ": " : "", s->why);
	if (text.n > 0)
		(void)fwrite(text.p, 1, text.n, f);
	return fclose(f) == 0 ? 0 : err_errno(reterr, errno, "%s", path);
}

static int write_file(const struct conform_records *all, const char *name, conform_output *make,
		      struct err *reterr)
{
	char path[PATH_MAX];
	struct buf text = { 0 };

	(void)snprintf(path, sizeof(path), "%s/%s", all->dir, name);
	make(all, &text);
	int rc = file_write(path, buf_span(&text), 0644, reterr);
	buf_free(&text);
	return rc;
}

int conform_write_files(const struct conform_records *all, struct err *reterr)
{
	int rc = write_file(all, "result.json", conform_json, reterr);

	if (rc == 0)
		rc = write_file(all, "junit.xml", conform_junit, reterr);
	if (rc == 0)
		rc = write_file(all, "results.tap", conform_tap, reterr);
	for (uint32_t k = 0; k < all->count; k++) {
		const struct conform_record *r = &all->items[k];
		for (uint32_t i = 0; i < r->count && rc == 0; i++)
			if (r->results[i].done)
				rc = write_transcript(all->dir, r, &r->results[i], reterr);
	}
	return rc;
}
