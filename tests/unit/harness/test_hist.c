/*
 * hist and schedule: precision, percentiles with and without censored values,
 * the encoded form taken apart again, and schedules that repeat.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/random.h"
#include "harness/load/hist.h"
#include "harness/load/schedule.h"
#include "tests/unit/harness/exact.h"

#include <errno.h>
#include <math.h>
#include <zlib.h>

static int64_t p_ns(const struct hist *h, double percentile)
{
	struct hist_value v = hist_percentile(h, percentile);
	assert_false(v.at_least);
	return v.ns;
}

static void an_empty_histogram_says_nothing(void **state)
{
	(void)state;
	struct hist *h = hist_new();
	uint32_t pos = 0;
	int64_t value;
	uint64_t count;
	assert_int_equal(hist_count(h), 0);
	assert_int_equal(p_ns(h, 50), 0);
	assert_int_equal(hist_min_ns(h), 0);
	assert_true(hist_mean_ns(h) == 0);
	assert_false(hist_next(h, &pos, &value, &count));
	hist_free(h);
	hist_free(NULL);
}

static void every_value_is_kept_to_three_digits(void **state)
{
	(void)state;
	struct rng r = rng_seed(7);
	for (int i = 0; i < 20000; i++) {
		struct hist *h = hist_new();
		int64_t value = (int64_t)rng_below(&r, UINT64_C(1) << (i % 48 + 1));
		hist_record(h, value);
		int64_t got = p_ns(h, 100);
		int64_t slack = value / 1000 > 512 ? value / 1000 : 512;
		if (got < value || got - value > slack)
			fail_msg("%lld became %lld", (long long)value, (long long)got);
		assert_true(hist_max_ns(h) == value && hist_min_ns(h) == value);
		hist_free(h);
	}
}

static void percentiles_are_nearest_ranks(void **state)
{
	static const struct {
		double percentile;
		int64_t ms;
	} table[] = { { 0.1, 1 },    { 50, 500 },     { 90, 900 },   { 99, 990 },
		      { 99.9, 999 }, { 99.91, 1000 }, { 100, 1000 }, { 25.05, 251 } };
	(void)state;
	struct hist *h = hist_new();
	for (int64_t i = 1; i <= 1000; i++)
		hist_record(h, i * 1000000);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		int64_t got = p_ns(h, table[i].percentile), ns = table[i].ms * 1000000;
		if (got < ns || got > ns + ns / 1000)
			fail_msg("p%g is %lld", table[i].percentile, (long long)got);
	}
	assert_true(p_ns(h, 0) <= 1000000);
	assert_true(hist_mean_ns(h) == 500500000);
	assert_true(hist_stddev_ns(h) > 288e6 && hist_stddev_ns(h) < 289e6);
	hist_free(h);
}

static void what_is_out_of_range_is_counted_not_clamped(void **state)
{
	(void)state;
	struct hist *h = hist_new();
	hist_record(h, -1);
	hist_record(h, HIST_NS_MAX + 1);
	hist_record_censored(h, -5);
	hist_record(h, HIST_NS_MAX);
	hist_record(h, 0);
	assert_int_equal(hist_out_of_range_count(h), 3);
	assert_int_equal(hist_count(h), 2);
	assert_int_equal(hist_censored_count(h), 0);
	assert_int_equal(hist_max_ns(h), HIST_NS_MAX);
	hist_free(h);
}

static void censored_values_can_only_raise_percentiles(void **state)
{
	(void)state;
	struct hist *h = hist_new();
	for (int i = 0; i < 8; i++)
		hist_record(h, 1000000);
	hist_record_censored(h, 30000000);
	hist_record_censored(h, 500);
	assert_true(p_ns(h, 80) < 1002000);
	struct hist_value p90 = hist_percentile(h, 90), p100 = hist_percentile(h, 100);
	assert_true(p90.at_least);
	assert_true(p90.ns >= 1000000);
	assert_true(p100.at_least);
	assert_true(p100.ns > 29900000 && p100.ns <= 30000000); /* no more than is known */
	assert_int_equal(hist_count(h), 8);
	assert_int_equal(hist_censored_count(h), 2);
	hist_free(h);
}

static void merging_is_recording_all(void **state)
{
	(void)state;
	struct rng r = rng_seed(3);
	struct hist *all = hist_new(), *a = hist_new(), *b = hist_new();
	for (int i = 0; i < 5000; i++) {
		int64_t value = (int64_t)rng_below(&r, 5000000000);
		hist_record(all, value);
		hist_record(i % 3 == 0 ? a : b, value);
		if (i % 100 == 0) {
			hist_record_censored(all, value);
			hist_record_censored(b, value);
		}
	}
	hist_record(a, -1);
	hist_record(all, -1);
	hist_merge(a, b);
	for (double p = 0; p <= 100; p += 0.5) {
		struct hist_value x = hist_percentile(all, p), y = hist_percentile(a, p);
		assert_true(x.ns == y.ns && x.at_least == y.at_least);
	}
	assert_true(hist_min_ns(a) == hist_min_ns(all) && hist_max_ns(a) == hist_max_ns(all));
	assert_true(hist_count(a) == hist_count(all) && hist_out_of_range_count(a) == 1);
	hist_free(all);
	hist_free(a);
	hist_free(b);
}

/* ---- the encoded form, read by its public description ---- */
static uint64_t big_endian(struct span s, size_t at, size_t n)
{
	uint64_t v = 0;
	assert_true(at + n <= s.n);
	for (size_t i = 0; i < n; i++)
		v = v << 8 | (unsigned char)s.p[at + i];
	return v;
}

static int64_t take_zigzag(struct span *s)
{
	uint64_t bits = 0;
	for (unsigned shift = 0;; shift += 7) {
		assert_true(s->n > 0 && shift < 63);
		unsigned char c = (unsigned char)s->p[0];
		*s = span_sub(*s, 1, s->n);
		bits |= (uint64_t)(c & 0x7f) << shift;
		if (c < 0x80)
			break;
	}
	return (int64_t)(bits >> 1) ^ -(int64_t)(bits & 1);
}

/* Value of a step, from the geometry in the header. */
static int64_t highest_value(uint64_t index, unsigned unit_magnitude)
{
	uint64_t step = index, bucket = 0;
	if (index >= 2048) {
		bucket = index / 1024 - 1;
		step = index % 1024 + 1024;
	}
	return (int64_t)((step + 1) << (bucket + unit_magnitude)) - 1;
}

static void the_encoded_form_holds_the_same_counts(void **state)
{
	(void)state;
	struct hist *h = hist_new();
	struct rng r = rng_seed(11);
	struct buf coded = { 0 };
	struct err err;
	for (int i = 0; i < 3000; i++)
		hist_record(h, (int64_t)rng_below(&r, UINT64_C(1) << (10 + i % 36)));
	for (int i = 0; i < 300; i++)
		hist_record(h, 77777); /* a count of two bytes */
	assert_int_equal(hist_encode(h, &coded, &err), 0);
	struct span s = buf_span(&coded);
	assert_int_equal(big_endian(s, 0, 4), 0x1c849314);
	assert_int_equal(big_endian(s, 4, 4), s.n - 8);
	static unsigned char plain[1 << 20];
	uLongf plain_bytes = sizeof(plain);
	assert_int_equal(uncompress(plain, &plain_bytes, (const Bytef *)s.p + 8, s.n - 8), Z_OK);
	struct span p = { (const char *)plain, plain_bytes };
	assert_int_equal(big_endian(p, 0, 4), 0x1c849313);
	assert_int_equal(big_endian(p, 4, 4), p.n - 40);
	assert_int_equal(big_endian(p, 8, 4), 0);
	assert_int_equal(big_endian(p, 12, 4), 3);
	assert_int_equal(big_endian(p, 16, 8), 512);
	assert_int_equal(big_endian(p, 24, 8), HIST_NS_MAX);
	assert_true(big_endian(p, 32, 8) == UINT64_C(0x3ff0000000000000));
	struct span counts = span_sub(p, 40, p.n);
	uint64_t index = 0;
	uint32_t pos = 0;
	while (counts.n > 0) {
		int64_t n = take_zigzag(&counts);
		int64_t value;
		uint64_t count;
		assert_true(n != -1); /* a lone empty step is 0 */
		if (n <= 0) {
			index += n == 0 ? 1 : (uint64_t)-n;
			continue;
		}
		assert_true(hist_next(h, &pos, &value, &count));
		assert_int_equal(count, n);
		assert_int_equal(value, highest_value(index, 9));
		index++;
	}
	int64_t value;
	uint64_t count;
	assert_false(hist_next(h, &pos, &value, &count));
	buf_free(&coded);
	hist_free(h);
}

static void a_log_has_comments_legend_and_tagged_intervals(void **state)
{
	(void)state;
	struct hist *h = hist_new();
	struct buf log = { 0 };
	struct err err;
	hist_record(h, 2500000);
	hlog_begin(&log, 1700000000123, "made by a test");
	assert_int_equal(hlog_add(&log, h, "accept", 500, 1000, &err), 0);
	const char *expected = "#made by a test\n"
			       "#[Histogram log format version 1.3]\n"
			       "#[StartTime: 1700000000.123 (seconds since epoch)]\n"
			       "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\","
			       "\"Interval_Compressed_Histogram\"\n"
			       "Tag=accept,0.500,1.000,2.500,HISTFAAAA";
	assert_memory_equal(buf_cstr(&log), expected, strlen(expected));
	assert_int_equal(buf_cstr(&log)[buf_bytes(&log) - 1], '\n');
	buf_free(&log);
	hist_free(h);
}

/* ---- schedule ---- */
static void a_constant_schedule_is_evenly_spaced(void **state)
{
	(void)state;
	struct schedule s;
	struct err err;
	struct schedule_options o = { .kind = SCHEDULE_CONSTANT, .rate_per_s = 4, .duration_ns = 1000000000 };
	assert_int_equal(schedule_make(&o, &s, &err), 0);
	assert_int_equal(s.count, 4);
	for (uint32_t i = 0; i < s.count; i++)
		assert_int_equal(s.at_ns[i], i * INT64_C(250000000));
	schedule_free(&s);
	o.count = 3;
	assert_int_equal(schedule_make(&o, &s, &err), 0);
	assert_int_equal(s.count, 3);
	schedule_free(&s);
}

static void a_poisson_schedule_has_its_rate_and_repeats(void **state)
{
	(void)state;
	struct schedule a, b, c;
	struct err err;
	struct schedule_options o = {
		.kind = SCHEDULE_POISSON, .rate_per_s = 1000, .duration_ns = INT64_C(100000000000), .seed = 5
	};
	assert_int_equal(schedule_make(&o, &a, &err), 0);
	assert_int_equal(schedule_make(&o, &b, &err), 0);
	o.seed = 6;
	assert_int_equal(schedule_make(&o, &c, &err), 0);
	assert_in_range(a.count, 99000, 101000); /* three standard deviations */
	assert_int_equal(a.count, b.count);
	assert_memory_equal(a.at_ns, b.at_ns, a.count * sizeof(a.at_ns[0]));
	assert_true(a.at_ns[0] != c.at_ns[0]);
	uint32_t beyond_mean = 0;
	struct rng r = rng_seed(5);
	assert_true(fabs((double)a.at_ns[0] + log(1 - rng_unit(&r)) * 1e6) < 1);
	for (uint32_t i = 1; i < a.count; i++) {
		double gap_ns = -log(1 - rng_unit(&r)) * 1e6;
		assert_true(fabs((double)(a.at_ns[i] - a.at_ns[i - 1]) - gap_ns) < 2);
		assert_true(a.at_ns[i] >= a.at_ns[i - 1]);
		beyond_mean += a.at_ns[i] - a.at_ns[i - 1] > 1000000 ? 1 : 0;
	}
	/* e^-1 of exponential gaps are longer than their mean. */
	assert_in_range(beyond_mean, a.count * 0.36, a.count * 0.376);
	assert_int_equal(a.at_ns[0], 340255); /* the same on every machine */
	schedule_free(&a);
	schedule_free(&b);
	schedule_free(&c);
}

static void a_schedule_without_end_is_refused(void **state)
{
	(void)state;
	static const struct schedule_options table[] = {
		{ .kind = SCHEDULE_CONSTANT, .rate_per_s = 1 },
		{ .kind = SCHEDULE_CONSTANT, .rate_per_s = 0, .count = 1 },
		{ .kind = SCHEDULE_POISSON, .rate_per_s = -1, .count = 1 },
		{ .kind = SCHEDULE_AT_ONCE, .duration_ns = 5 },
		{ .kind = SCHEDULE_CONSTANT, .rate_per_s = 1e-12, .count = 5 },
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct schedule s;
		struct err err = { 0 };
		assert_true(schedule_make(&table[i], &s, &err) < 0);
		assert_true(err.text[0] != '\0');
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_histogram_says_nothing),
		cmocka_unit_test(every_value_is_kept_to_three_digits),
		cmocka_unit_test(percentiles_are_nearest_ranks),
		cmocka_unit_test(what_is_out_of_range_is_counted_not_clamped),
		cmocka_unit_test(censored_values_can_only_raise_percentiles),
		cmocka_unit_test(merging_is_recording_all),
		cmocka_unit_test(the_encoded_form_holds_the_same_counts),
		cmocka_unit_test(a_log_has_comments_legend_and_tagged_intervals),
		cmocka_unit_test(a_constant_schedule_is_evenly_spaced),
		cmocka_unit_test(a_poisson_schedule_has_its_rate_and_repeats),
		cmocka_unit_test(a_schedule_without_end_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
