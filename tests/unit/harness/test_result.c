/*
 * result: the files of a run that never happened, read back by other means:
 * result.json against its schema, percentiles against the histograms, ledger
 * and curves line by line, JUnit as XML that is well-formed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/file.h"
#include "harness/judge/result.h"
#include "tests/unit/harness/fake_run.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#define SCHEMA "reports/result.schema.json"

/* ---- a small reader of the schema: what it uses of JSON Schema, no more ---- */

static const json_t *schema_root;

static bool type_is(const char *type, const json_t *v)
{
	return (strcmp(type, "object") == 0 && json_is_object(v)) ||
	       (strcmp(type, "array") == 0 && json_is_array(v)) ||
	       (strcmp(type, "string") == 0 && json_is_string(v)) ||
	       (strcmp(type, "integer") == 0 && json_is_integer(v)) ||
	       (strcmp(type, "number") == 0 && json_is_number(v)) ||
	       (strcmp(type, "boolean") == 0 && json_is_boolean(v)) ||
	       (strcmp(type, "null") == 0 && json_is_null(v));
}

static bool any_type_is(const json_t *types, const json_t *v)
{
	size_t i;
	json_t *t;

	if (json_is_string(types))
		return type_is(json_string_value(types), v);
	json_array_foreach(types, i, t) if (type_is(json_string_value(t), v)) return true;
	return types == NULL;
}

static bool is_one_of(const json_t *list, const json_t *v)
{
	size_t i;
	json_t *one;

	json_array_foreach(list, i, one) if (json_equal(one, v)) return true;
	return list == NULL;
}

static bool fits(const json_t *schema, const json_t *v);

static bool object_fits(const json_t *schema, const json_t *v)
{
	const json_t *properties = json_object_get(schema, "properties");
	size_t i;
	json_t *name;
	const char *key;
	json_t *value;

	json_array_foreach(json_object_get(schema, "required"), i,
			   name) if (json_object_get(v, json_string_value(name)) == NULL) return false;
	json_object_foreach((json_t *)(uintptr_t)v, key, value)
	{
		const json_t *p = json_object_get(properties, key);
		if (p == NULL || !fits(p, value))
			return false;
	}
	return true;
}

static uint32_t count_fitting(const json_t *schemas, const json_t *v)
{
	uint32_t count = 0;
	size_t i;
	json_t *s;

	json_array_foreach(schemas, i, s) count += fits(s, v) ? 1 : 0;
	return count;
}

static bool fits(const json_t *schema, const json_t *v)
{
	const json_t *ref = json_object_get(schema, "$ref");
	const json_t *constant = json_object_get(schema, "const");
	const json_t *minimum = json_object_get(schema, "minimum");
	const json_t *one_of = json_object_get(schema, "oneOf");
	size_t i;
	json_t *item;

	if (ref != NULL) {
		const char *name = strrchr(json_string_value(ref), '/') + 1;
		return fits(json_object_get(json_object_get(schema_root, "$defs"), name), v);
	}
	if (one_of != NULL && count_fitting(one_of, v) != 1)
		return false;
	if (!any_type_is(json_object_get(schema, "type"), v) ||
	    !is_one_of(json_object_get(schema, "enum"), v))
		return false;
	if ((constant != NULL && !json_equal(constant, v)) ||
	    (minimum != NULL && json_number_value(v) < json_number_value(minimum)))
		return false;
	if (json_is_object(v) && one_of == NULL && !object_fits(schema, v))
		return false;
	json_array_foreach(v, i, item) if (!fits(json_object_get(schema, "items"), item)) return false;
	return true;
}

/* ---- runs ---- */

static void good(struct fake_run *f)
{
	fake_begin(f);
	fake_outage(f, 1500);
	fake_finish(f, true);
}

/* One of everything that can go wrong, and text that has to be escaped. */
static void ugly(struct fake_run *f)
{
	struct rng rng = rng_seed(2);

	fake_begin(f);
	f->flow.name = "a<b> & \"c\"";
	fake_outage(f, 1200);
	(void)fake_accept(f, 100, &rng);
	fake_arrive(f, 7, FAKE_ZERO + 9500 * FAKE_MS, &rng);
	ledger_stray(f->ledger, "m<&>@x", SPAN_LIT("bad \xff bytes\x01 and \"quotes\""), FAKE_ZERO + FAKE_MS);
	reasons_add(&f->record.reasons, REASON_FAIL, "a server said <\x02&>\xff");
	fake_finish(f, true);
}

static json_t *result_of(const struct fake_run *f)
{
	struct buf text = { 0 };
	json_error_t e;

	result_json(&f->record, &text);
	json_t *j = json_loads(buf_cstr(&text), 0, &e);
	if (j == NULL)
		fail_msg("result.json:%d: %s", e.line, e.text);
	buf_free(&text);
	return j;
}

static json_t *load_schema(void)
{
	json_error_t e;
	json_t *schema = json_load_file(SCHEMA, 0, &e);

	if (schema == NULL)
		fail_msg("%s:%d: %s", SCHEMA, e.line, e.text);
	schema_root = schema;
	return schema;
}

static void result_json_fits_its_schema(void **state)
{
	(void)state;
	void (*const runs[])(struct fake_run *) = { good, ugly };
	json_t *schema = load_schema();

	for (size_t i = 0; i < 2; i++) {
		struct fake_run f;
		runs[i](&f);
		json_t *result = result_of(&f);
		assert_true(fits(schema, result));
		json_decref(result);
		fake_end(&f);
	}
	json_decref(schema);
}

/* The reader above must be able to say no. */
static void a_result_with_anything_missing_or_added_does_not_fit(void **state)
{
	(void)state;
	struct fake_run f;
	json_t *schema = load_schema();
	const char *key;
	json_t *value;

	good(&f);
	json_t *result = result_of(&f);
	json_object_foreach(result, key, value)
	{
		json_t *less = json_deep_copy(result);
		assert_int_equal(json_object_del(less, key), 0);
		if (fits(schema, less))
			fail_msg("fits without %s", key);
		json_decref(less);
	}
	json_t *more = json_deep_copy(result);
	(void)json_object_set_new(more, "surplus", json_null());
	assert_false(fits(schema, more));
	json_decref(more);
	more = json_deep_copy(result);
	(void)json_object_set_new(json_object_get(more, "ledger"), "lost", json_string("none"));
	assert_false(fits(schema, more));
	json_decref(more);
	more = json_deep_copy(result);
	(void)json_object_set_new(more, "verdict", json_string("splendid"));
	assert_false(fits(schema, more));
	json_decref(more);
	json_decref(result);
	fake_end(&f);
	json_decref(schema);
}

static void counts_and_percentiles_are_those_of_the_run(void **state)
{
	(void)state;
	struct fake_run f;

	ugly(&f);
	json_t *result = result_of(&f);
	const json_t *ledger = json_object_get(result, "ledger");
	for (unsigned o = 0; o < OUTCOME_COUNT; o++)
		assert_int_equal(json_integer_value(json_object_get(ledger, outcome_name((enum outcome)o))),
				 ledger_outcome_count(f.ledger, (enum outcome)o));
	assert_int_equal(ledger_outcome_count(f.ledger, OUTCOME_LOST), 1);
	assert_int_equal(ledger_outcome_count(f.ledger, OUTCOME_DUPLICATED), 1);
	assert_int_equal(ledger_outcome_count(f.ledger, OUTCOME_UNEXPECTED), 1);
	assert_string_equal(json_string_value(json_object_get(result, "verdict")), "fail");
	assert_string_equal(json_string_value(json_object_get(json_object_get(result, "conditions"), "seed")),
			    "18446744073709551615");
	double load = json_real_value(json_object_get(json_object_get(result, "conditions"), "load_average"));
	assert_int_equal((int)(load * 100 + 0.5), 126);

	for (unsigned m = 0; m < FLOW_METRIC_COUNT; m++) {
		const struct hist *h = f.metrics.of[m];
		const json_t *j = json_object_get(json_object_get(result, "metrics"),
						  flow_metric_name((enum flow_metric)m));
		size_t i;
		json_t *p;
		assert_int_equal(json_integer_value(json_object_get(j, "count")), hist_count(h));
		assert_int_equal(json_integer_value(json_object_get(j, "censored")), hist_censored_count(h));
		json_array_foreach(json_object_get(j, "percentiles"), i, p)
		{
			struct hist_value v =
				hist_percentile(h, json_number_value(json_object_get(p, "percentile")));
			double ms = json_number_value(json_object_get(p, "ms"));
			assert_true(fabs(ms - (double)v.ns / 1e6) < 1e-6);
			assert_int_equal(json_is_true(json_object_get(p, "at_least")), v.at_least);
		}
	}
	json_decref(result);
	fake_end(&f);
}

static void the_ledger_has_one_line_for_each_row_and_stray(void **state)
{
	(void)state;
	struct fake_run f;
	struct buf text = { 0 };
	struct span line;
	uint32_t lines = 0;
	uint32_t outcomes[OUTCOME_COUNT] = { 0 };

	ugly(&f);
	result_ledger_lines(&f.record, &text);
	struct span rest = buf_span(&text);
	while (span_take_until(&rest, '\n', &line)) {
		json_t *row = json_loadb(line.p, line.n, 0, NULL);
		enum outcome o;
		assert_non_null(row);
		assert_true(outcome_parse(span_of(json_string_value(json_object_get(row, "outcome"))), &o));
		outcomes[o]++;
		lines++;
		json_decref(row);
	}
	assert_int_equal(rest.n, 0);
	assert_int_equal(lines, ledger_row_count(f.ledger) + ledger_stray_count(f.ledger));
	for (unsigned o = 0; o < OUTCOME_COUNT; o++)
		assert_int_equal(outcomes[o], ledger_outcome_count(f.ledger, (enum outcome)o));
	buf_free(&text);
	fake_end(&f);
}

static void percentile_curves_rise_and_end_at_what_arrived(void **state)
{
	(void)state;
	struct fake_run f;
	struct buf text = { 0 };
	struct span line;
	char before[32] = "";
	double share_before = 0;
	double ms_before = 0;
	double last_end_to_end = 0;

	ugly(&f);
	result_percentiles_csv(&f.record, &text);
	struct span rest = buf_span(&text);
	assert_true(span_take_until(&rest, '\n', &line));
	assert_true(span_eq(line, SPAN_LIT("metric,percentile,inverse,ms")));
	while (span_take_until(&rest, '\n', &line)) {
		char metric[32];
		double share;
		double inverse;
		double ms;
		char copy[200];
		assert_true(span_copy(line, copy, sizeof(copy)));
		assert_int_equal(sscanf(copy, "%31[^,],%lf,%lf,%lf", metric, &share, &inverse, &ms), 4);
		if (strcmp(metric, before) != 0)
			share_before = ms_before = 0;
		assert_true(share > share_before && share <= 100 && inverse >= 1 && ms >= ms_before);
		share_before = share;
		ms_before = ms;
		(void)snprintf(before, sizeof(before), "%s", metric);
		if (strcmp(metric, "end_to_end") == 0)
			last_end_to_end = share;
	}
	/* One of 1201 never arrived: the curve does not reach 100. */
	assert_true(last_end_to_end < 100 && last_end_to_end > 99.9);
	buf_free(&text);
	fake_end(&f);
}

static void the_series_adds_up(void **state)
{
	(void)state;
	struct fake_run f;
	uint32_t sent = 0;
	uint32_t accepted = 0;
	uint32_t delivered = 0;
	uint32_t backlog_max = 0;

	good(&f);
	for (uint32_t i = 0; i < f.series.count; i++) {
		const struct series_point *p = &f.series.points[i];
		sent += p->sent;
		accepted += p->accepted;
		delivered += p->delivered;
		backlog_max = p->backlog > backlog_max ? p->backlog : backlog_max;
		assert_true(p->backlog <= 1500);
		assert_int_equal(p->backlog, accepted - delivered);
	}
	assert_int_equal(sent, 1500);
	assert_int_equal(accepted, 1500);
	assert_int_equal(delivered, 1500);
	assert_int_equal(f.series.points[f.series.count - 1].backlog, 0);
	assert_in_range(backlog_max, 500, 530); /* 5.1 s at 100/s, and a poll's worth */
	/* During the outage messages wait for its end, so latency falls from its beginning on. */
	assert_in_range(f.series.points[45].end_to_end_p50_ns, 4000 * FAKE_MS, 5500 * FAKE_MS);
	assert_in_range(f.series.points[10].end_to_end_p50_ns, 1, 200 * FAKE_MS);
	fake_end(&f);
}

/* Tags nest, attributes are quoted, no forbidden byte: enough of XML to be read. */
static void assert_well_formed(struct span xml)
{
	uint32_t depth = 0;
	bool in_tag = false;
	bool in_quotes = false;

	for (size_t i = 0; i < xml.n; i++) {
		char c = xml.p[i];
		assert_true(((unsigned char)c >= 0x20 && (unsigned char)c < 0x7f) || c == '\n' || c == '\t');
		if (in_tag && c == '"')
			in_quotes = !in_quotes;
		else if (in_quotes || (!in_tag && c != '<'))
			assert_true(c != '<' && (in_quotes || c != '>'));
		else if (c == '<') {
			assert_false(in_tag);
			in_tag = true;
			if (xml.p[i + 1] == '/')
				depth -= 2; /* this closes one, and its '>' will add one */
		} else if (c == '>') {
			in_tag = false;
			if (xml.p[i - 1] != '/' && xml.p[i - 1] != '?')
				depth++;
		}
	}
	assert_int_equal(depth, 0);
}

static void junit_is_well_formed_and_says_what_happened(void **state)
{
	(void)state;
	static const struct {
		void (*make)(struct fake_run *);
		const char *part;
	} runs[] = { { good, "failures=\"0\" errors=\"0\"" },
		     { ugly, "failures=\"1\" errors=\"0\"" },
		     { ugly, "name=\"a&lt;b&gt; &amp; &quot;c&quot;\"" },
		     { ugly, "<failure message=\"a server said &lt;?&amp;&gt;" } };

	for (size_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++) {
		struct fake_run f;
		struct buf xml = { 0 };
		runs[i].make(&f);
		result_junit_begin(&xml);
		result_junit_suite(&f.record, &xml);
		result_junit_suite(&f.record, &xml);
		result_junit_end(&xml);
		assert_well_formed(buf_span(&xml));
		if (strstr(buf_cstr(&xml), runs[i].part) == NULL)
			fail_msg("%s is not in %s", runs[i].part, buf_cstr(&xml));
		buf_free(&xml);
		fake_end(&f);
	}
}

static void all_files_are_written_and_a_missing_directory_is_an_error(void **state)
{
	(void)state;
	static const char *const names[] = { "result.json", "ledger",    "percentiles.csv",
					     "series.csv",  "junit.xml", "latency.hlog" };
	char dir[] = "/tmp/postrider-test-XXXXXX";
	char path[128];
	struct fake_run f;
	struct err e;

	good(&f);
	assert_non_null(mkdtemp(dir));
	assert_int_equal(result_write(&f.record, dir, &e), 0);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		assert_int_equal(access(path, R_OK), 0);
	}
	assert_int_equal(dir_remove(dir, &e), 0);
	assert_int_not_equal(result_write(&f.record, dir, &e), 0);
	assert_non_null(strstr(e.text, dir));
	fake_end(&f);
}

static const struct summary_row {
	const char *name;
	const char *facts; /* one letter a message: d delivered, l lost, 2 twice, b bounced, r recovered */
	const char *words;
} summary_rows[] = {
	{ "all well", "ddd", "3 of 3 accepted messages arrived exactly once, intact." },
	{ "lost", "dll", "1 of 3 accepted messages arrived exactly once, intact; 2 were lost." },
	{ "one lost", "ddl", "2 of 3 accepted messages arrived exactly once, intact; 1 was lost." },
	{ "doubled", "d2",
	  "1 of 2 accepted messages arrived exactly once, intact; 1 arrived more than once." },
	{ "all bounced", "bb",
	  "2 of 2 accepted messages could not be delivered, and each sender was told exactly once." },
	{ "some bounced", "ddb",
	  "2 of 3 accepted messages arrived exactly once, intact; 1 could not be delivered, "
	  "and each sender was told exactly once." },
	{ "recovered", "dr",
	  "1 of 1 accepted messages arrived exactly once, intact; 1 drew no reply but arrived intact." },
	{ "nothing", "", "Nothing was sent, so nothing was judged." },
};

static void tell(struct fake_run *f, char fact, struct rng *rng)
{
	if (fact == 'r') {
		const struct ledger_recipient to = { .address = FAKE_RCPT };
		uint32_t id = ledger_plan(f->ledger, &(struct ledger_plan){ .intended_ns = FAKE_ZERO,
									    .sender = FAKE_SENDER,
									    .recipients = &to,
									    .recipient_count = 1 });
		ledger_final_dot(f->ledger, id, FAKE_ZERO);
		ledger_broken(f->ledger, id, FAKE_ZERO, SPAN_LIT("reset"));
		fake_arrive(f, id, FAKE_ZERO, rng);
		return;
	}
	uint32_t id = fake_accept(f, 10, rng);
	if (fact == 'd' || fact == '2')
		fake_arrive(f, id, FAKE_ZERO + 20 * FAKE_MS, rng);
	if (fact == '2')
		fake_arrive(f, id, FAKE_ZERO + 40 * FAKE_MS, rng);
	if (fact == 'b')
		ledger_dsn(f->ledger, id,
			   &(struct ledger_dsn){ .mailbox = FAKE_SENDER,
						 .recipient = SPAN_LIT(FAKE_RCPT),
						 .action = LEDGER_ACTION_FAILED,
						 .seen_ns = FAKE_ZERO + 50 * FAKE_MS });
}

static void the_summary_says_it_in_plain_words(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(summary_rows) / sizeof(summary_rows[0]); i++) {
		struct fake_run f;
		struct rng rng = rng_seed(1);
		struct buf text = { 0 };

		fake_begin(&f);
		for (const char *c = summary_rows[i].facts; *c != '\0'; c++)
			tell(&f, *c, &rng);
		fake_finish(&f, true);
		result_summary(&f.record, &text);
		if (strcmp(buf_cstr(&text), summary_rows[i].words) != 0)
			fail_msg("%s: \"%s\"", summary_rows[i].name, buf_cstr(&text));
		buf_free(&text);
		fake_end(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(result_json_fits_its_schema),
		cmocka_unit_test(a_result_with_anything_missing_or_added_does_not_fit),
		cmocka_unit_test(counts_and_percentiles_are_those_of_the_run),
		cmocka_unit_test(the_ledger_has_one_line_for_each_row_and_stray),
		cmocka_unit_test(percentile_curves_rise_and_end_at_what_arrived),
		cmocka_unit_test(the_series_adds_up),
		cmocka_unit_test(junit_is_well_formed_and_says_what_happened),
		cmocka_unit_test(all_files_are_written_and_a_missing_directory_is_an_error),
		cmocka_unit_test(the_summary_says_it_in_plain_words),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
