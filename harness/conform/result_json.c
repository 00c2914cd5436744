/* result.json: written, and read again. */
#include "harness/conform/result_files.h"

#include "base/file.h"
#include "harness/conform/waivers.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EARLIER_BYTES_MAX = 256 * 1024 * 1024 };

static const char FORMAT[] = "postrider-conform-2";

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
	if (s->duplicates > 0)
		(void)json_object_set_new(j, "duplicates", json_integer(s->duplicates));
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
	(void)json_object_set_new(map, "duplicates", json_integer(t.duplicates));
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

static json_t *target_json(const struct conform_record *r)
{
	json_t *cases = json_array();
	int code = conform_exit_code(r);

	for (uint32_t i = 0; i < r->count; i++)
		(void)json_array_append_new(cases, case_json(r, i));
	json_t *j = json_pack("{s:s, s:o, s:o, s:s, s:i, s:I, s:I, s:o, s:o}", "target", r->target, "title",
			      text_json(span_of(r->title)), "versions", lines_json(span_of(r->versions)),
			      "verdict", word_for(code), "exit_code", code, "elapsed_ms",
			      (json_int_t)r->elapsed_ms, "server_deaths", (json_int_t)r->deaths, "totals",
			      totals_json(r), "cases", cases);
	if (r->problem[0] != '\0')
		(void)json_object_set_new(j, "problem", text_json(span_of(r->problem)));
	return j;
}

static json_t *disputed_json(const struct conform_records *all)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < all->items[0].count; i++)
		if (conform_is_disputed(all, i))
			(void)json_array_append_new(list, json_string(all->items[0].results[i].file->id));
	return list;
}

/* ---- what was judged, in our own words ---- */

static void add_requirement(json_t *map, const struct requirements *catalogue, const struct case_req *req)
{
	const struct requirement *r = catalogue != NULL ? requirements_find(catalogue, req->id) : NULL;

	if (r == NULL || json_object_get(map, r->id) != NULL)
		return;
	(void)json_object_set_new(map, r->id,
				  json_pack("{s:i, s:s%, s:s, s:o}", "rfc", (int)r->rfc, "section",
					    r->section.p, r->section.n, "level", REQUIREMENT_LEVELS[r->level],
					    "says", text_json(span_of(r->says))));
}

static json_t *requirements_json(const struct conform_records *all)
{
	const struct conform_record *r = &all->items[0];
	json_t *map = json_object();

	for (uint32_t i = 0; i < r->count; i++)
		for (uint32_t k = 0; k < r->results[i].file->req_count; k++)
			add_requirement(map, all->catalogue, &r->results[i].file->reqs[k]);
	return map;
}

static json_t *rfcs_json(const struct conform_records *all)
{
	json_t *map = json_object();
	char number[16];

	for (uint32_t i = 0; all->catalogue != NULL && i < all->catalogue->file_count; i++) {
		const struct requirement_file *f = all->catalogue->files[i];
		(void)snprintf(number, sizeof(number), "%u", f->rfc);
		(void)json_object_set_new(map, number, text_json(span_of(f->title)));
	}
	return map;
}

void conform_json(const struct conform_records *all, struct buf *out)
{
	json_t *targets = json_array();
	int code = conform_exit_code_of_all(all);

	for (uint32_t i = 0; i < all->count; i++)
		(void)json_array_append_new(targets, target_json(&all->items[i]));
	json_t *j = json_pack("{s:s, s:s, s:s, s:i, s:b, s:I, s:I, s:I, s:o, s:o, s:o, s:o}", "format",
			      FORMAT, "version", POSTRIDER_VERSION, "verdict", word_for(code), "exit_code",
			      code, "strict", (int)all->items[0].strict, "seed", (json_int_t)all->seed,
			      "started_ms", (json_int_t)all->started_wall_ms, "elapsed_ms",
			      (json_int_t)all->elapsed_ms, "targets", targets, "disputed", disputed_json(all),
			      "requirements", requirements_json(all), "rfcs", rfcs_json(all));
	char *text = json_dumps(j, JSON_INDENT(1));
	if (text == NULL)
		abort();
	buf_addf(out, "%s\n", text);
	free(text);
	json_decref(j);
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

static const char *text_in(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text != NULL ? text : "";
}

bool conform_earlier_verdict(const struct conform_earlier *e, const char *target, const char *case_id,
			     enum conform_verdict *ret_verdict)
{
	size_t i, k;
	json_t *t, *c;

	json_array_foreach(json_object_get(e->root, "targets"), i, t)
	{
		if (strcmp(text_in(t, "target"), target) != 0)
			continue;
		json_array_foreach(json_object_get(t, "cases"), k, c)
		{
			if (strcmp(text_in(c, "case"), case_id) == 0)
				return conform_verdict_parse(span_of(text_in(c, "verdict")), ret_verdict);
		}
	}
	return false;
}

bool conform_earlier_is_open(const struct conform_earlier *e, const char *case_id)
{
	size_t i, k;
	json_t *t, *c;

	json_array_foreach(json_object_get(e->root, "targets"), i, t)
	{
		json_array_foreach(json_object_get(t, "cases"), k, c)
		{
			/* One that was not played has a word here that is no verdict. */
			enum conform_verdict v;
			if (strcmp(text_in(c, "case"), case_id) == 0 &&
			    !(conform_verdict_parse(span_of(text_in(c, "verdict")), &v) &&
			      (v == CONFORM_PASS || v == CONFORM_NOT_TESTED)))
				return true;
		}
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
