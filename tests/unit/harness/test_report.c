/*
 * report: the page of a run that never happened.  It loads nothing, escapes
 * what came from outside, says the verdict first, and is whole without gnuplot.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/file.h"
#include "harness/judge/result.h"
#include "reports/page.h"
#include "reports/report.h"
#include "tests/unit/harness/fake_run.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { PAGE_BYTES_MAX = 16 * 1024 * 1024 };

static char dir[] = "/tmp/postrider-test-XXXXXX";
static bool has_gnuplot;
static char *path_before;

static int make_dir(void **state)
{
	(void)state;
	/* The renderer's files lie in the tree from which tests are run. */
	(void)setenv("POSTRIDER_SHARE", ".", 0);
	has_gnuplot = access("/usr/bin/gnuplot", X_OK) == 0;
	path_before = strdup(getenv("PATH"));
	return mkdtemp(dir) != NULL && path_before != NULL ? 0 : -1;
}

static int remove_dir(void **state)
{
	struct err e;

	(void)state;
	free(path_before);
	return dir_remove(dir, &e);
}

static void write_run(bool spoilt)
{
	struct fake_run f;
	struct rng rng = rng_seed(2);
	struct err e;

	fake_begin(&f);
	fake_outage(&f, 1200);
	if (spoilt) {
		f.flow.title = "<script>alert(1)</script>";
		(void)fake_accept(&f, 100, &rng);
		fake_arrive(&f, 7, FAKE_ZERO + 9500 * FAKE_MS, &rng);
		ledger_stray(f.ledger, "<img src=x>@x", SPAN_LIT("<b>"), FAKE_ZERO);
	}
	fake_finish(&f, true);
	assert_int_equal(result_write(&f.record, dir, &e), 0);
	fake_end(&f);
}

static void read_page(struct buf *ret_page)
{
	char path[128];
	struct err e;

	(void)snprintf(path, sizeof(path), "%s/report.html", dir);
	assert_int_equal(file_read(path, PAGE_BYTES_MAX, ret_page, &e), 0);
}

static void must_have(struct buf *page, const char *part)
{
	if (strstr(buf_cstr(page), part) == NULL)
		fail_msg("the page has no \"%s\"", part);
}

static void must_not_have(struct buf *page, const char *part)
{
	const char *at = strstr(buf_cstr(page), part);

	if (at != NULL)
		fail_msg("the page has \"%.80s\"", at);
}

static uint32_t count(struct buf *page, const char *part)
{
	uint32_t n = 0;

	for (const char *at = buf_cstr(page); (at = strstr(at, part)) != NULL; at++)
		n++;
	return n;
}

static void a_good_run_reads_well(void **state)
{
	(void)state;
	struct buf page = { 0 };
	struct err e;

	write_run(false);
	assert_int_equal(report_render(dir, &e), 0);
	read_page(&page);
	must_have(&page, "Promise kept");
	must_have(&page, "1200 of 1200 accepted messages arrived exactly once, intact.");
	must_have(&page, "fredsco stopped");
	must_have(&page, "prefers-color-scheme: dark");
	must_not_have(&page, "What went wrong");
	if (has_gnuplot) {
		assert_int_equal(count(&page, "<svg"), 4);
		must_have(&page, "drained after");
		must_have(&page, "var(--outage)");
		must_have(&page, "var(--line-a)");
		must_not_have(&page, "rgb(");
		must_not_have(&page, "class=\"missing\"");
	}
	buf_free(&page);
}

static void nothing_is_loaded_from_anywhere(void **state)
{
	(void)state;
	static const char *const loads[] = { " src=", "href=\"http", "url(",   "@import",
					     "<link", "<script",     "<iframe" };
	struct buf page = { 0 };

	read_page(&page);
	for (size_t i = 0; i < sizeof(loads) / sizeof(loads[0]); i++)
		must_not_have(&page, loads[i]);
	buf_free(&page);
}

static void a_bad_run_shows_what_went_wrong_and_escapes_it(void **state)
{
	(void)state;
	struct buf page = { 0 };
	struct err e;

	write_run(true);
	assert_int_equal(report_render(dir, &e), 0);
	read_page(&page);
	must_have(&page, "Promise broken");
	must_have(&page, "What went wrong");
	must_have(&page, "1 lost, expected 0");
	must_have(&page, "more than one copy arrived");
	must_have(&page, "&lt;script&gt;");
	must_have(&page, "&lt;img src=x&gt;@x");
	must_not_have(&page, "<script");
	must_not_have(&page, "<img");
	buf_free(&page);
}

static void without_gnuplot_the_page_says_so_and_has_all_the_numbers(void **state)
{
	(void)state;
	struct buf page = { 0 };
	struct err e;

	write_run(false);
	assert_int_equal(setenv("PATH", "/nonexistent", 1), 0);
	int rc = report_render(dir, &e);
	assert_int_equal(setenv("PATH", path_before, 1), 0);
	assert_int_equal(rc, 0);
	read_page(&page);
	assert_int_equal(count(&page, "<svg"), 0);
	assert_int_equal(count(&page, "needs gnuplot, which is not installed"), 4);
	must_have(&page, "Promise kept");
	/* The names of result.json and latency.hlog, so that one finds there what one reads here. */
	must_have(&page, "<th>end_to_end</th>");
	must_have(&page, "Conditions");
	buf_free(&page);
}

static const struct broken_row {
	const char *name;
	const char *text;
	const char *message;
} broken_rows[] = {
	{ "empty", "", "result.json:1" },
	{ "cut off", "{\"format\": \"postrider-res", "result.json:1" },
	{ "another format", "{\"format\": \"postrider-result-9\"}", "not a result of this version" },
	{ "no object", "[1, 2]", "not a result of this version" },
};

static void what_is_no_result_is_refused(void **state)
{
	(void)state;
	struct buf html = { 0 };
	struct err e;

	for (size_t i = 0; i < sizeof(broken_rows) / sizeof(broken_rows[0]); i++) {
		int rc = report_html(dir, span_of(broken_rows[i].text), &html, &e);
		if (rc != -EINVAL || strstr(e.text, broken_rows[i].message) == NULL)
			fail_msg("%s: %d %s", broken_rows[i].name, rc, e.text);
	}
	buf_free(&html);
	assert_int_equal(report_render("/nonexistent", &e), -ENOENT);
}

/* Whatever the fields of a right format hold, or lack, the page is drawn. */
static void a_result_with_nothing_in_it_is_drawn_all_the_same(void **state)
{
	(void)state;
	struct buf html = { 0 };
	struct err e;

	assert_int_equal(report_html(dir, SPAN_LIT("{\"format\": \"postrider-result-1\"}"), &html, &e), 0);
	static const char *const CONFORM[] = {
		"{\"format\": \"postrider-conform-2\"}",
		"{\"format\": \"postrider-conform-2\", \"targets\": [1, {}]}",
		"{\"format\": \"postrider-conform-2\", \"targets\": [{\"cases\": [3, {}, {\"requirements\": "
		"[2, {}, "
		"{\"id\": \"RFC\"}, {\"id\": \"RFC1-\"}, {\"id\": \"x\"}]}]}, {}], \"disputed\": [1, \"x\"]}",
	};
	for (size_t i = 0; i < sizeof(CONFORM) / sizeof(CONFORM[0]); i++)
		assert_int_equal(report_html(dir, span_of(CONFORM[i]), &html, &e), 0);
	assert_int_equal(
		report_html(
			dir,
			SPAN_LIT("{\"format\": \"postrider-result-1\", \"metrics\": 3, \"faults\": [1, {}], "
				 "\"reasons\": \"x\", \"ledger\": []}"),
			&html, &e),
		0);
	buf_free(&html);
}

static void a_conformance_run_has_its_failures_first(void **state)
{
	(void)state;
	struct buf html = { 0 };
	struct err e;
	static const char RESULT[] =
		"{\"format\": \"postrider-conform-2\", \"verdict\": \"fail\", \"targets\": [{\"target\": "
		"\"a<b\","
		" \"totals\": {\"pass\": 1, \"fail\": 1}, \"cases\": ["
		"{\"case\": \"good\", \"title\": \"it is good\", \"verdict\": \"pass\", \"requirements\": "
		"[{\"id\": "
		"\"RFC1939-7-x\"}]},"
		"{\"case\": \"bad\", \"title\": \"it is bad\", \"verdict\": \"fail\", \"why\": \"251 & no "
		"250\","
		" \"transcript\": \"C1 -> NOOP\"}]}]}";

	assert_int_equal(report_html(dir, span_of(RESULT), &html, &e), 0);
	must_have(&html, "<title>Breaks requirements: a&lt;b</title>");
	must_have(&html, "1 of 2 cases passed.");
	must_have(&html, "<dt>Failed</dt><dd class=\"bad\">1");
	must_have(&html, "C1 -&gt; NOOP");
	const char *told = strstr(buf_cstr(&html), "251 &amp; no 250"),
		   *all = strstr(buf_cstr(&html), "it is good");
	assert_true(told != NULL && all != NULL && told < all);
	buf_free(&html);
}

static void durations_have_three_digits_and_a_unit(void **state)
{
	(void)state;
	static const struct {
		double ms;
		const char *text;
	} durations[] = {
		{ 0, "0 µs" },         { 0.000511, "&lt; 1 µs" }, { 0.0421, "42.1 µs" },
		{ 0.9999, "1.00 ms" }, { 1.234, "1.23 ms" },      { 12.34, "12.3 ms" },
		{ 99.96, "100 ms" },   { 999.6, "1.00 s" },       { 12340, "12.3 s" },
		{ 119949, "120 s" },   { 125000, "2 min 5 s" },
	};
	for (size_t i = 0; i < sizeof(durations) / sizeof(durations[0]); i++) {
		struct buf b = { 0 };
		struct buf plain = { 0 };
		page_duration(&b, durations[i].ms);
		for (const char *c = buf_cstr(&b); *c != '\0'; c++) { /* no-break spaces */
			if (strncmp(c, "\xc2\xa0", 2) == 0) {
				buf_add_cstr(&plain, " ");
				c++;
			} else {
				buf_add(&plain, (struct span){ c, 1 });
			}
		}
		assert_string_equal(buf_cstr(&plain), durations[i].text);
		buf_free(&b);
		buf_free(&plain);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_run_reads_well),
		cmocka_unit_test(nothing_is_loaded_from_anywhere),
		cmocka_unit_test(a_bad_run_shows_what_went_wrong_and_escapes_it),
		cmocka_unit_test(without_gnuplot_the_page_says_so_and_has_all_the_numbers),
		cmocka_unit_test(what_is_no_result_is_refused),
		cmocka_unit_test(a_result_with_nothing_in_it_is_drawn_all_the_same),
		cmocka_unit_test(a_conformance_run_has_its_failures_first),
		cmocka_unit_test(durations_have_three_digits_and_a_unit),
	};
	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
