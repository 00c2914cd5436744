#include "harness/conform/sarif.h"

#include "harness/conform/waivers.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static json_t *text_of(const char *s)
{
	json_t *j = json_string(s);

	return j != NULL ? j : json_string("(not UTF-8)");
}

/* { "text": … } */
static json_t *message(const char *s)
{
	return json_pack("{s:o}", "text", text_of(s));
}

/* ---- places ---- */

/* RFC 3986: what is unreserved, and "/", stays. */
static void add_uri(struct buf *out, const char *path)
{
	if (path[0] == '/')
		buf_add_cstr(out, "file://");
	for (; *path != '\0'; path++) {
		char c = *path;
		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			     strchr("-._~/", c) != NULL;
		if (plain)
			buf_add_u8(out, (uint8_t)c);
		else
			buf_addf(out, "%%%02X", (unsigned)(unsigned char)c);
	}
}

static json_t *location(const struct conform_record *r, const struct suite_result *s)
{
	struct buf uri = { 0 }, full = { 0 };

	add_uri(&uri, s->file->path);
	buf_addf(&full, "%s/%s", r->target, s->file->id);
	json_t *physical = json_pack("{s:{s:s}}", "artifactLocation", "uri", buf_cstr(&uri));
	if (s->line > 0)
		(void)json_object_set_new(physical, "region", json_pack("{s:i}", "startLine", (int)s->line));
	json_t *j = json_pack("{s:o, s:[{s:s, s:s}]}", "physicalLocation", physical, "logicalLocations",
			      "name", s->file->id, "fullyQualifiedName", buf_cstr(&full));
	buf_free(&uri);
	buf_free(&full);
	return j;
}

/* ---- rules: the requirements that were broken ---- */

static const char *level_of(enum conform_verdict v, enum case_level level)
{
	return v == CONFORM_FAIL ? "error" : level == CASE_MAY ? "note" : "warning";
}

static json_t *rule(const struct case_req *req, const struct requirements *catalogue)
{
	const struct requirement *known = catalogue != NULL ? requirements_find(catalogue, req->id) : NULL;
	struct buf help = { 0 };
	const char *level = level_of(conform_failure(req->level), req->level);

	if (known != NULL)
		buf_addf(&help, "RFC %u, section %.*s (%s): %s", known->rfc, SPAN_FMT(known->section),
			 case_level_name(req->level), known->says);
	else
		buf_addf(&help, "%s (%s)", req->id, case_level_name(req->level));
	json_t *j =
		json_pack("{s:s, s:o, s:o, s:o, s:{s:s}, s:{s:[s, s]}}", "id", req->id, "shortDescription",
			  message(known != NULL ? known->says : req->id), "fullDescription",
			  message(buf_cstr(&help)), "help", message(buf_cstr(&help)), "defaultConfiguration",
			  "level", level, "properties", "tags", "conformance", case_level_name(req->level));
	buf_free(&help);
	return j;
}

/* Its index among the rules, where it is put when it is not there. */
static int rule_index(json_t *rules, const struct case_req *req, const struct requirements *catalogue)
{
	size_t i;
	json_t *known;

	json_array_foreach(rules, i, known)
	{
		if (strcmp(json_string_value(json_object_get(known, "id")), req->id) == 0)
			return (int)i;
	}
	(void)json_array_append_new(rules, rule(req, catalogue));
	return (int)json_array_size(rules) - 1;
}

/* ---- results ---- */

static bool is_result(const struct conform_record *r, uint32_t i)
{
	enum conform_verdict v = r->results[i].verdict;

	return r->results[i].done && (v == CONFORM_FAIL || v == CONFORM_WARN || v == CONFORM_FLAKY);
}

static json_t *result(const struct conform_record *r, uint32_t i, json_t *rules,
		      const struct requirements *catalogue)
{
	const struct suite_result *s = &r->results[i];
	enum conform_verdict v = conform_verdict_of(r, i);
	const struct case_req *req = conform_req(s);
	struct buf text = { 0 }, mark = { 0 };
	struct span transcript = buf_span(&s->transcript);

	buf_addf(&text, "%s: %s: %s", r->target, s->file->title, s->why);
	buf_addf(&mark, "%s/%s", r->target, s->file->id);
	json_t *shown = json_stringn(transcript.n > 0 ? transcript.p : "", transcript.n);
	json_t *j = json_pack("{s:s, s:i, s:s, s:o, s:[o], s:{s:s}, s:{s:s, s:s, s:s, s:o}}", "ruleId",
			      req->id, "ruleIndex", rule_index(rules, req, catalogue), "level",
			      level_of(v == CONFORM_WAIVED ? s->verdict : v, req->level), "message",
			      message(buf_cstr(&text)), "locations", location(r, s), "partialFingerprints",
			      "targetAndCase/v1", buf_cstr(&mark), "properties", "target", r->target, "case",
			      s->file->id, "verdict", conform_verdict_name(v), "transcript",
			      shown != NULL ? shown : json_string("(not UTF-8)"));
	if (r->waived != NULL && r->waived[i] != NULL)
		(void)json_object_set_new(j, "suppressions",
					  json_pack("[{s:s, s:o}]", "kind", "external", "justification",
						    text_of(r->waived[i]->reason)));
	buf_free(&text);
	buf_free(&mark);
	return j;
}

/* ---- what was not judged ---- */

static void add_notification(json_t *list, const char *level, const char *text)
{
	(void)json_array_append_new(list, json_pack("{s:s, s:o}", "level", level, "message", message(text)));
}

static json_t *notifications(const struct conform_record *r)
{
	json_t *list = json_array();
	struct buf text = { 0 };

	if (r->problem[0] != '\0')
		add_notification(list, "error", r->problem);
	for (uint32_t i = 0; i < r->count; i++) {
		const struct suite_result *s = &r->results[i];
		bool odd = s->verdict == CONFORM_INCONCLUSIVE || s->verdict == CONFORM_ERROR;
		if (!s->done || !odd)
			continue;
		buf_reset(&text);
		buf_addf(&text, "%s: %s: %s", s->file->id, conform_verdict_name(s->verdict), s->why);
		add_notification(list, s->verdict == CONFORM_ERROR ? "error" : "warning", buf_cstr(&text));
	}
	buf_free(&text);
	return list;
}

/* ---- the whole ---- */

static json_t *run(const struct conform_records *all, const struct conform_record *r)
{
	json_t *rules = json_array(), *results = json_array();
	struct buf id = { 0 };
	int code = conform_exit_code(r);
	char start[32];
	time_t at = (time_t)(all->started_wall_ms / 1000);
	struct tm tm;

	(void)gmtime_r(&at, &tm);
	(void)strftime(start, sizeof(start), "%Y-%m-%dT%H:%M:%SZ", &tm);
	for (uint32_t i = 0; i < r->count; i++)
		if (is_result(r, i))
			(void)json_array_append_new(results, result(r, i, rules, all->catalogue));
	buf_addf(&id, "postrider-conform/%s/", r->target);
	json_t *j = json_pack("{s:{s:{s:s, s:s, s:o}}, s:{s:s}, s:[{s:b, s:i, s:s, s:o}], s:o, s:s}", "tool",
			      "driver", "name", "postrider", "semanticVersion", POSTRIDER_VERSION, "rules",
			      rules, "automationDetails", "id", buf_cstr(&id), "invocations",
			      "executionSuccessful", code == 0 || code == 1, "exitCode", code, "startTimeUtc",
			      start, "toolExecutionNotifications", notifications(r), "results", results,
			      "columnKind", "utf16CodeUnits");
	buf_free(&id);
	return j;
}

void conform_sarif(const struct conform_records *all, struct buf *out)
{
	json_t *runs = json_array();

	for (uint32_t i = 0; i < all->count; i++)
		(void)json_array_append_new(runs, run(all, &all->items[i]));
	json_t *j = json_pack("{s:s, s:s, s:o}", "$schema", "https://json.schemastore.org/sarif-2.1.0.json",
			      "version", "2.1.0", "runs", runs);
	char *text = json_dumps(j, JSON_INDENT(1));
	if (text == NULL)
		abort();
	buf_addf(out, "%s\n", text);
	free(text);
	json_decref(j);
}
