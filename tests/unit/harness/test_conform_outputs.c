#include "harness/conform/result_files.h"
#include "harness/conform/sarif.h"
#include "harness/conform/summary.h"
#include "harness/conform/waivers.h"
#include "reports/report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

enum { CASES = 3 };

static const char TEXT[] = "case: %s\ntitle: a | title <of> it\nreq: RFC5321-4.5.%d-x %s\nrole: server\n"
			   "needs: smtp\n== verdict\nS: 220 ...\n";

/* Two targets and three cases. */
struct fixture {
	struct case_file *files[CASES];
	struct suite_result results[2][CASES];
	struct conform_record items[2];
	struct conform_records all;
};

static struct case_file *make_case(const char *id, int section, const char *level)
{
	struct buf text = { 0 }, messages = { 0 };

	buf_addf(&text, TEXT, id, section, level);
	struct case_file *c = case_read(&(struct case_options){
		.path = "a b%.case", .text = buf_span(&text), .ret_messages = &messages });
	assert_string_equal(buf_cstr(&messages), "");
	buf_free(&text);
	buf_free(&messages);
	return c;
}

static void set(struct fixture *f, int target, int index, enum conform_verdict v, const char *why)
{
	struct suite_result *s = &f->results[target][index];

	s->verdict = v;
	s->line = 7;
	s->done = true;
	(void)snprintf(s->why, sizeof(s->why), "%s", why);
	buf_reset(&s->transcript);
	buf_add_cstr(&s->transcript, "C1 -> <b>|\n");
}

static struct fixture *make(void)
{
	static const char *const LEVELS[CASES] = { "MUST", "SHOULD", "MUST" };
	static const char *const IDS[CASES] = { "a", "b", "c" };
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	for (int i = 0; i < CASES; i++)
		f->files[i] = make_case(IDS[i], i + 1, LEVELS[i]);
	for (int t = 0; t < 2; t++) {
		for (int i = 0; i < CASES; i++) {
			f->results[t][i].file = f->files[i];
			set(f, t, i, CONFORM_PASS, "");
		}
		f->items[t] = (struct conform_record){ .target = t == 0 ? "one" : "two",
						       .title = "x",
						       .versions = "",
						       .problem = "",
						       .results = f->results[t],
						       .count = CASES };
	}
	f->all = (struct conform_records){ .dir = "/nonexistent", .items = f->items, .count = 2 };
	return f;
}

static void drop(struct fixture *f)
{
	for (int t = 0; t < 2; t++)
		for (int i = 0; i < CASES; i++)
			buf_free(&f->results[t][i].transcript);
	for (int i = 0; i < CASES; i++)
		case_free(f->files[i]);
	free(f);
}

static void the_worst_target_counts(void **state)
{
	(void)state;
	static const struct {
		enum conform_verdict first, second;
		const char *problem;
		int code;
	} ROWS[] = {
		{ CONFORM_PASS, CONFORM_PASS, "", 0 },
		{ CONFORM_PASS, CONFORM_FAIL, "", 1 },
		{ CONFORM_FAIL, CONFORM_INCONCLUSIVE, "", 1 },
		{ CONFORM_PASS, CONFORM_INCONCLUSIVE, "", 3 },
		{ CONFORM_PASS, CONFORM_PASS, "it did not start", 3 },
		{ CONFORM_ERROR, CONFORM_FAIL, "", 4 },
		{ CONFORM_WARN, CONFORM_PASS, "", 0 },
	};

	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		struct fixture *f = make();
		set(f, 0, 0, ROWS[i].first, "x");
		set(f, 1, 0, ROWS[i].second, "x");
		f->items[1].problem = ROWS[i].problem;
		if (conform_exit_code_of_all(&f->all) != ROWS[i].code)
			fail_msg("row %zu: %d", i, conform_exit_code_of_all(&f->all));
		drop(f);
	}
	struct fixture *f = make();
	f->items[0].interrupted = true;
	set(f, 1, 0, CONFORM_ERROR, "x");
	assert_int_equal(conform_exit_code_of_all(&f->all), 130);
	drop(f);
}

static void a_dispute_is_between_targets_that_judged(void **state)
{
	(void)state;
	static const struct {
		enum conform_verdict first, second;
		bool disputed;
	} ROWS[] = {
		{ CONFORM_PASS, CONFORM_PASS, false },         { CONFORM_PASS, CONFORM_FAIL, true },
		{ CONFORM_WARN, CONFORM_PASS, true },          { CONFORM_FAIL, CONFORM_WARN, false },
		{ CONFORM_PASS, CONFORM_NOT_TESTED, false },   { CONFORM_FAIL, CONFORM_NOT_TESTED, false },
		{ CONFORM_PASS, CONFORM_INCONCLUSIVE, false },
	};
	struct fixture *f = make();

	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		set(f, 0, 0, ROWS[i].first, "x");
		set(f, 1, 0, ROWS[i].second, "x");
		if (conform_is_disputed(&f->all, 0) != ROWS[i].disputed)
			fail_msg("row %zu", i);
	}
	f->results[1][0].done = false;
	set(f, 0, 0, CONFORM_FAIL, "x");
	assert_false(conform_is_disputed(&f->all, 0));
	drop(f);
}

/* ---- outputs ---- */

static void check_has(const char *text, const char *piece)
{
	if (strstr(text, piece) == NULL)
		fail_msg("\"%s\" is not in %s", piece, text);
}

static void annotations_are_escaped_and_errors_come_first(void **state)
{
	(void)state;
	struct fixture *f = make();
	struct buf out = { 0 };

	set(f, 0, 1, CONFORM_WARN, "w");
	set(f, 1, 2, CONFORM_FAIL, "50%\nnext: a,b\r");
	f->items[0].problem = "no: such\nthing";
	conform_github(&f->all, &out);
	assert_string_equal(buf_cstr(&out),
			    "::error title=one could not be judged::no: such%0Athing\n"
			    "::error file=a b%25.case,line=7,title=two breaks RFC5321-4.5.3-x "
			    "(MUST)::a | title <of> it%0A50%25%0Anext: a,b%0D\n"
			    "::warning file=a b%25.case,line=7,title=one breaks RFC5321-4.5.2-x "
			    "(SHOULD)::a | title <of> it%0Aw\n");
	buf_free(&out);
	drop(f);
}

static void markdown_shows_each_requirement_for_each_target(void **state)
{
	(void)state;
	struct fixture *f = make();
	struct buf out = { 0 };

	set(f, 0, 0, CONFORM_FAIL, "one | two");
	set(f, 1, 0, CONFORM_NOT_TESTED, "x");
	set(f, 1, 1, CONFORM_WARN, "w");
	conform_markdown(&f->all, &out);
	check_has(buf_cstr(&out), "# postrider conform: FAIL\n");
	check_has(buf_cstr(&out), "| **one** | FAIL | 2 | 1 | 0 | 0 | 0 |\n");
	check_has(buf_cstr(&out), "| `RFC5321-4.5.1-x` | MUST | ✗ | – |\n");
	check_has(buf_cstr(&out), "| `RFC5321-4.5.2-x` | SHOULD | ✓ | ! |\n");
	check_has(buf_cstr(&out), "<details><summary>one: fail: a &#124; title &lt;of&gt; it</summary>");
	check_has(buf_cstr(&out), "one &#124; two");
	check_has(buf_cstr(&out), "<pre>C1 -&gt; &lt;b&gt;|&#10;</pre>");
	assert_null(strstr(buf_cstr(&out), "4.5.3"));
	buf_free(&out);
	drop(f);
}

static void a_summary_has_an_end(void **state)
{
	(void)state;
	struct fixture *f = make();
	struct buf out = { 0 };
	enum { MANY = 2000 };
	struct suite_result *many = calloc(MANY, sizeof(*many));

	assert_non_null(many);
	for (int i = 0; i < MANY; i++) {
		many[i].file = f->files[0];
		many[i].done = true;
		many[i].verdict = CONFORM_FAIL;
		memset(many[i].why, 'x', 700);
	}
	f->items[0].results = many;
	f->items[0].count = MANY;
	f->all.count = 1;
	conform_markdown(&f->all, &out);
	assert_true(buf_bytes(&out) < 1024 * 1024);
	check_has(buf_cstr(&out), "more are in result.json");
	buf_free(&out);
	free(many);
	drop(f);
}

static json_t *parsed(const struct conform_records *all, conform_output *make_output)
{
	struct buf out = { 0 };
	json_error_t e;

	make_output(all, &out);
	json_t *j = json_loads(buf_cstr(&out), 0, &e);
	if (j == NULL)
		fail_msg("%s: %s", e.text, buf_cstr(&out));
	buf_free(&out);
	return j;
}

static void sarif_has_one_run_a_target(void **state)
{
	(void)state;
	struct fixture *f = make();
	const struct waiver waiver = { .case_id = "c", .reason = "known", .until = "2999-01-01" };
	const struct waiver *const waived[CASES] = { NULL, NULL, &waiver };
	const char *uri, *level, *kind, *text;

	set(f, 0, 0, CONFORM_INCONCLUSIVE, "not now");
	set(f, 1, 0, CONFORM_FAIL, "x");
	set(f, 1, 2, CONFORM_FAIL, "y");
	f->items[1].waived = waived;
	json_t *j = parsed(&f->all, conform_sarif);
	assert_int_equal(json_array_size(json_object_get(j, "runs")), 2);
	assert_int_equal(json_unpack(j, "{s:[{s:[], s:[{s:[{s:{s:s}}]}]}]}", "runs", "results", "invocations",
				     "toolExecutionNotifications", "message", "text", &text),
			 0);
	assert_string_equal(text, "a: inconclusive: not now");
	json_t *results = json_object_get(json_array_get(json_object_get(j, "runs"), 1), "results");
	assert_int_equal(json_array_size(results), 2);
	assert_int_equal(json_unpack(json_array_get(results, 0), "{s:s, s:[{s:{s:{s:s}}}]}", "level", &level,
				     "locations", "physicalLocation", "artifactLocation", "uri", &uri),
			 0);
	assert_string_equal(level, "error");
	assert_string_equal(uri, "a%20b%25.case");
	assert_int_equal(
		json_unpack(json_array_get(results, 1), "{s:[{s:s}]}", "suppressions", "kind", &kind), 0);
	assert_string_equal(kind, "external");
	json_decref(j);
	drop(f);
}

static void tap_and_junit_tell_targets_apart(void **state)
{
	(void)state;
	struct fixture *f = make();
	struct buf out = { 0 };

	set(f, 1, 0, CONFORM_FAIL, "x");
	conform_tap(&f->all, &out);
	check_has(buf_cstr(&out), "1..6\nok 1 - one: a\n");
	check_has(buf_cstr(&out), "not ok 4 - two: a\n# fail: x\n");
	buf_reset(&out);
	conform_junit(&f->all, &out);
	check_has(buf_cstr(&out), "<testsuite name=\"conform one\" tests=\"3\" failures=\"0\"");
	check_has(buf_cstr(&out), "<testsuite name=\"conform two\" tests=\"3\" failures=\"1\"");
	f->all.count = 1;
	buf_reset(&out);
	conform_tap(&f->all, &out);
	check_has(buf_cstr(&out), "1..3\nok 1 - a\n");
	buf_free(&out);
	drop(f);
}

/* ---- the page ---- */

static void the_page_has_a_cell_for_each_section_and_target(void **state)
{
	(void)state;
	struct fixture *f = make();
	struct buf result = { 0 }, html = { 0 };
	struct err e;

	set(f, 0, 0, CONFORM_FAIL, "<wrong>");
	set(f, 1, 1, CONFORM_WARN, "w");
	set(f, 1, 2, CONFORM_NOT_TESTED, "not offered");
	conform_json(&f->all, &result);
	assert_int_equal(report_html("/nonexistent", buf_span(&result), &html, &e), 0);
	const char *page = buf_cstr(&html);
	check_has(page, "<a href=\"#s5321-4.5.1\" class=\"cell bad\" title=\"1 fail\">✗ 1</a>"
			"<a href=\"#s5321-4.5.1\" class=\"cell good\" title=\"1 pass\">✓ 1</a>");
	check_has(page, "<a href=\"#s5321-4.5.2\" class=\"cell odd\" title=\"1 warn\">! 1</a>");
	check_has(page, "<a href=\"#s5321-4.5.3\" class=\"cell none\" title=\"1 not-tested\">–</a>");
	check_has(page, "<span class=\"cell bad\" title=\"1 fail, 2 pass\">✗ 1 <small>of 3</small></span>");
	check_has(page, "<section class=\"panel\" id=\"s5321-4.5.3\">");
	check_has(page, "&lt;wrong&gt;");
	check_has(page, "Where targets disagree");
	assert_null(strstr(page, "<wrong>"));
	buf_free(&result);
	buf_free(&html);
	drop(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_worst_target_counts),
		cmocka_unit_test(a_dispute_is_between_targets_that_judged),
		cmocka_unit_test(annotations_are_escaped_and_errors_come_first),
		cmocka_unit_test(markdown_shows_each_requirement_for_each_target),
		cmocka_unit_test(a_summary_has_an_end),
		cmocka_unit_test(sarif_has_one_run_a_target),
		cmocka_unit_test(tap_and_junit_tell_targets_apart),
		cmocka_unit_test(the_page_has_a_cell_for_each_section_and_target),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
