#include "harness/conform/result_files.h"

#include "base/file.h"
#include "harness/conform/waivers.h"
#include "harness/judge/xml.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DIR_MODE = 0755, EARLIER_BYTES_MAX = 256 * 1024 * 1024 };

static const char FORMAT[] = "postrider-conform-1";

/* ---- result.json ---- */

static json_t *text_json(struct span s)
{
	json_t *j = json_stringn(s.n > 0 ? s.p : "", s.n);

	return j != NULL ? j : json_string("(not UTF-8)");
}

static json_t *lines_json(struct span s)
{
	json_t *list = json_array();
	struct span line;

	while (span_take_until(&s, '\n', &line))
		(void)json_array_append_new(list, text_json(line));
	return list;
}

static json_t *reqs_json(const struct case_file *c)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < c->req_count; i++)
		(void)json_array_append_new(list, json_pack("{s:s, s:s}", "id", c->reqs[i].id, "level",
							    case_level_name(c->reqs[i].level)));
	return list;
}

static json_t *seen_json(const struct suite_result *s)
{
	json_t *map = json_object();

	for (int v = 0; v < CONFORM_VERDICT_COUNT; v++)
		if (s->seen[v] > 0)
			(void)json_object_set_new(map, conform_verdict_name((enum conform_verdict)v),
						  json_integer(s->seen[v]));
	return map;
}

static json_t *case_json(const struct conform_record *r, uint32_t i)
{
	const struct suite_result *s = &r->results[i];
	json_t *j =
		json_pack("{s:s, s:s, s:s, s:o, s:I}", "case", s->file->id, "title", s->file->title,
			  "verdict", s->done ? conform_verdict_name(conform_verdict_of(r, i)) : "not-played",
			  "requirements", reqs_json(s->file), "ms", (json_int_t)s->elapsed_ms);
	bool judged = s->done && (s->verdict == CONFORM_FAIL || s->verdict == CONFORM_WARN);

	if (s->done && s->why[0] != '\0')
		(void)json_object_set_new(j, "why", text_json(span_of(s->why)));
	if (judged)
		(void)json_object_set_new(j, "breaks", json_string(conform_req(s)->id));
	if (s->line > 0)
		(void)json_object_set_new(j, "line", json_integer(s->line));
	(void)json_object_set_new(j, "file", json_string(s->file->path));
	if (buf_bytes(&s->irregularities) > 0)
		(void)json_object_set_new(j, "irregular", lines_json(buf_span(&s->irregularities)));
	if (s->played > 1)
		(void)json_object_set_new(j, "seen", seen_json(s));
	if (r->waived != NULL && r->waived[i] != NULL)
		(void)json_object_set_new(j, "waiver",
					  json_pack("{s:s, s:s}", "reason", r->waived[i]->reason, "until",
						    r->waived[i]->until));
	if (conform_passed_unexpectedly(r, i))
		(void)json_object_set_new(j, "unexpected_pass", json_true());
	if (r->known != NULL && r->known[i])
		(void)json_object_set_new(j, "in_baseline", json_true());
	if (s->done && s->verdict != CONFORM_PASS && buf_bytes(&s->transcript) > 0)
		(void)json_object_set_new(j, "transcript", text_json(buf_span(&s->transcript)));
	return j;
}

static json_t *totals_json(const struct conform_record *r)
{
	struct conform_totals t = conform_totals(r);
	json_t *map = json_object();

	for (int v = 0; v < CONFORM_VERDICT_COUNT; v++)
		(void)json_object_set_new(map, conform_verdict_name((enum conform_verdict)v),
					  json_integer(t.by[v]));
	(void)json_object_set_new(map, "not-played", json_integer(t.not_played));
	(void)json_object_set_new(map, "unexpected-pass", json_integer(t.unexpected_passes));
	(void)json_object_set_new(map, "new-fail", json_integer(t.new_failures));
	return map;
}

static const char *word_for(int exit_code)
{
	return exit_code == 0     ? "pass"
	       : exit_code == 1   ? "fail"
	       : exit_code == 3   ? "inconclusive"
	       : exit_code == 130 ? "interrupted"
				  : "error";
}

void conform_json(const struct conform_record *r, struct buf *out)
{
	json_t *cases = json_array();
	int code = conform_exit_code(r);

	for (uint32_t i = 0; i < r->count; i++)
		(void)json_array_append_new(cases, case_json(r, i));
	json_t *j = json_pack("{s:s, s:s, s:s, s:i, s:b, s:s, s:I, s:I, s:I, s:I, s:o, s:o}", "format",
			      FORMAT, "target", r->target, "verdict", word_for(code), "exit_code", code,
			      "strict", (int)r->strict, "version", POSTRIDER_VERSION, "seed",
			      (json_int_t)r->seed, "started_ms", (json_int_t)r->started_wall_ms, "elapsed_ms",
			      (json_int_t)r->elapsed_ms, "server_deaths", (json_int_t)r->deaths, "totals",
			      totals_json(r), "cases", cases);
	if (r->problem[0] != '\0')
		(void)json_object_set_new(j, "problem", text_json(span_of(r->problem)));
	char *text = json_dumps(j, JSON_INDENT(1));
	if (text == NULL)
		abort();
	buf_addf(out, "%s\n", text);
	free(text);
	json_decref(j);
}

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

void conform_junit(const struct conform_record *r, struct buf *out)
{
	struct conform_totals t = conform_totals(r);

	buf_addf(out,
		 "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n"
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
	buf_add_cstr(out, "</testsuite>\n</testsuites>\n");
}

/* ---- TAP ---- */

static void add_tap_text(struct buf *out, const char *s)
{
	for (; *s != '\0'; s++)
		buf_add_cstr(out, *s == '#' ? "\\#" : *s == '\n' ? " " : (char[]){ *s, '\0' });
}

void conform_tap(const struct conform_record *r, struct buf *out)
{
	buf_addf(out, "TAP version 13\n1..%u\n", r->count);
	for (uint32_t i = 0; i < r->count; i++) {
		const struct suite_result *s = &r->results[i];
		enum conform_verdict v = conform_verdict_of(r, i);
		bool skip = !s->done || v == CONFORM_NOT_TESTED;
		bool good = skip || v == CONFORM_PASS || v == CONFORM_WARN;
		buf_addf(out, "%s %u - %s", good ? "ok" : "not ok", i + 1, s->file->id);
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
}

/* ---- files ---- */

/* A directory for it, and the case's id as its name. */
static int write_transcript(const struct conform_record *r, const struct suite_result *s, struct err *reterr)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof(path), "%s/transcripts/%s.txt", r->dir, s->file->id);

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

static int write_file(const struct conform_record *r, const char *name,
		      void (*make)(const struct conform_record *, struct buf *), struct err *reterr)
{
	char path[PATH_MAX];
	struct buf text = { 0 };

	(void)snprintf(path, sizeof(path), "%s/%s", r->dir, name);
	make(r, &text);
	int rc = file_write(path, buf_span(&text), 0644, reterr);
	buf_free(&text);
	return rc;
}

int conform_write_files(const struct conform_record *r, struct err *reterr)
{
	int rc = write_file(r, "result.json", conform_json, reterr);

	if (rc == 0)
		rc = write_file(r, "junit.xml", conform_junit, reterr);
	if (rc == 0)
		rc = write_file(r, "results.tap", conform_tap, reterr);
	for (uint32_t i = 0; i < r->count && rc == 0; i++)
		if (r->results[i].done)
			rc = write_transcript(r, &r->results[i], reterr);
	return rc;
}

/* ---- earlier results ---- */

struct conform_earlier {
	json_t *root;
};

struct conform_earlier *conform_earlier_read(const char *path, struct err *reterr)
{
	struct buf text = { 0 };
	json_error_t je;
	struct conform_earlier *e = NULL;

	if (file_read(path, EARLIER_BYTES_MAX, &text, reterr) != 0)
		return NULL;
	json_t *root = json_loadb(buf_cstr(&text), buf_bytes(&text), 0, &je);
	const char *format = json_string_value(json_object_get(root, "format"));
	buf_free(&text);
	if (root == NULL) {
		(void)err_set(reterr, -EINVAL, "%s:%d:%d: %s", path, je.line, je.column, je.text);
	} else if (format == NULL || strcmp(format, FORMAT) != 0) {
		(void)err_set(reterr, -EINVAL, "%s: this is no result of postrider conform", path);
		json_decref(root);
	} else {
		e = calloc(1, sizeof(*e));
		if (e == NULL)
			abort();
		e->root = root;
	}
	return e;
}

bool conform_earlier_verdict(const struct conform_earlier *e, const char *case_id,
			     enum conform_verdict *ret_verdict)
{
	size_t i;
	json_t *c;

	json_array_foreach(json_object_get(e->root, "cases"), i, c)
	{
		const char *id = json_string_value(json_object_get(c, "case"));
		const char *verdict = json_string_value(json_object_get(c, "verdict"));
		if (id != NULL && verdict != NULL && strcmp(id, case_id) == 0)
			return conform_verdict_parse(span_of(verdict), ret_verdict);
	}
	return false;
}

void conform_earlier_free(struct conform_earlier *e)
{
	if (e == NULL)
		return;
	json_decref(e->root);
	free(e);
}
