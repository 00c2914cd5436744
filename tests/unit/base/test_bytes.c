/*
 * span, buf, err, random: the plain values everything else is made of.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "base/addr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/random.h"

static void spans_compare_without_case_only_for_ascii(void **state)
{
	(void)state;
	assert_true(span_eq_nocase(SPAN_LIT("Example.COM"), SPAN_LIT("eXAMPLE.com")));
	assert_false(span_eq_nocase(SPAN_LIT("\xc4"), SPAN_LIT("\xe4")));
	assert_false(span_eq(SPAN_LIT("a"), SPAN_LIT("A")));
	assert_true(span_eq((struct span){ NULL, 0 }, SPAN_LIT("")));
	assert_true(span_ends_nocase(SPAN_LIT("mx.EXAMPLE"), SPAN_LIT(".example")));
	assert_false(span_ends_nocase(SPAN_LIT("x"), SPAN_LIT("xx")));
}

static void cutting_leaves_the_span_alone_on_failure(void **state)
{
	(void)state;
	struct span s = SPAN_LIT("MAIL FROM:<>");
	struct span head = SPAN_LIT("untouched");

	assert_false(span_take_until(&s, '@', &head));
	assert_true(span_eq(head, SPAN_LIT("untouched")));
	assert_true(span_take_until(&s, ' ', &head));
	assert_true(span_eq(head, SPAN_LIT("MAIL")));
	assert_false(span_take_prefix_nocase(&s, SPAN_LIT("to:")));
	assert_true(span_take_prefix_nocase(&s, SPAN_LIT("from:")));
	assert_true(span_eq(s, SPAN_LIT("<>")));
}

static void numbers_are_digits_and_nothing_else(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool ok;
		uint64_t value;
	} rows[] = {
		{ "0", true, 0 },
		{ "18446744073709551615", true, UINT64_MAX },
		{ "18446744073709551616", false, 0 },
		{ "", false, 0 },
		{ "-1", false, 0 },
		{ "+1", false, 0 },
		{ " 1", false, 0 },
		{ "1x", false, 0 },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t value = 77;
		if (span_to_u64(span_of(rows[i].text), &value) != rows[i].ok)
			fail_msg("%s", rows[i].text);
		assert_int_equal(value, rows[i].ok ? rows[i].value : 77);
	}
}

static void copy_refuses_what_does_not_fit_or_holds_nul(void **state)
{
	(void)state;
	char dst[4] = "xyz";
	assert_true(span_copy(SPAN_LIT("abc"), dst, sizeof(dst)));
	assert_string_equal(dst, "abc");
	assert_false(span_copy(SPAN_LIT("abcd"), dst, sizeof(dst)));
	assert_string_equal(dst, "");
	assert_false(span_copy(SPAN_LIT("a\0b"), dst, sizeof(dst)));
}

static void buffers_keep_their_bytes_while_growing_and_shrinking(void **state)
{
	(void)state;
	struct buf b = { 0 };
	uint32_t next_in = 0, next_out = 0;
	struct rng r = rng_seed(1);

	for (int round = 0; round < 2000; round++) {
		for (uint64_t n = rng_below(&r, 200); n > 0; n--)
			buf_add_u32(&b, next_in++);
		for (uint64_t n = rng_below(&r, 200); n > 0 && buf_bytes(&b) >= 4; n--) {
			const unsigned char *p = (const unsigned char *)buf_span(&b).p;
			uint32_t got =
				(uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
			assert_int_equal(got, next_out++);
			buf_consume(&b, 4);
		}
	}
	assert_true(next_out > 100000);
	buf_truncate(&b, 0);
	buf_addf(&b, "%s-%d", "x", 7);
	assert_string_equal(buf_cstr(&b), "x-7");
	assert_int_equal(buf_bytes(&b), 3);
	buf_free(&b);
	assert_int_equal(buf_bytes(&b), 0);
}

static void errors_name_the_layers_and_never_lose_the_cause(void **state)
{
	(void)state;
	struct err e;
	char prefix[600];

	assert_int_equal(err_errno(&e, ENOSPC, "commit %d", 7), -ENOSPC);
	assert_int_equal(err_wrap(&e, "queue"), -ENOSPC);
	assert_string_equal(e.text, "queue: commit 7: No space left on device");
	memset(prefix, 'p', sizeof(prefix) - 1);
	prefix[sizeof(prefix) - 1] = '\0';
	(void)err_wrap(&e, prefix);
	assert_string_equal(e.text, "queue: commit 7: No space left on device");
}

static void seeded_numbers_repeat_and_stay_in_bounds(void **state)
{
	(void)state;
	struct rng a = rng_seed(42), b = rng_seed(42), c = rng_seed(43);
	uint32_t hits[10] = { 0 };
	bool differs = false;

	for (int i = 0; i < 10000; i++) {
		uint64_t x = rng_u64(&a);
		assert_int_equal(x, rng_u64(&b));
		differs = differs || x != rng_u64(&c);
		hits[rng_below(&a, 10)]++;
		(void)rng_below(&b, 10);
		double u = rng_unit(&a);
		assert_true(u >= 0 && u < 1);
		(void)rng_unit(&b);
	}
	assert_true(differs);
	for (int i = 0; i < 10; i++)
		assert_in_range(hits[i], 800, 1200);
	assert_int_not_equal(random_u64(), random_u64());
}

static void a_block_holds_the_addresses_of_its_prefix(void **state)
{
	(void)state;
	static const struct {
		const char *block, *ip;
		bool ok, has;
	} rows[] = {
		{ "10.0.0.0/8", "10.255.1.2", true, true },
		{ "10.0.0.0/8", "11.0.0.0", true, false },
		{ "127.0.0.1", "127.0.0.1", true, true },
		{ "127.0.0.1", "127.0.0.2", true, false },
		{ "0.0.0.0/0", "203.0.113.9", true, true },
		{ "0.0.0.0/0", "::1", true, false },
		{ "127.0.0.0/9", "127.127.255.255", true, true },
		{ "127.0.0.0/9", "127.128.0.0", true, false },
		{ "127.0.0.0/8", "::ffff:127.3.4.5", true, true },
		{ "fd00::/8", "fdff::1", true, true },
		{ "fd00::/8", "fe00::1", true, false },
		{ "::1", "::1", true, true },
		{ "10.0.0.1/8", NULL, false, false },
		{ "10.0.0.0/33", NULL, false, false },
		{ "10.0.0.0/", NULL, false, false },
		{ "10.0.0/8", NULL, false, false },
		{ "fd00::/129", NULL, false, false },
		{ "", NULL, false, false },
		{ "localhost", NULL, false, false },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct addr_block b;
		struct addr a;
		print_message("%s has %s\n", rows[i].block, rows[i].ip != NULL ? rows[i].ip : "nothing");
		assert_int_equal(addr_block_parse(rows[i].block, &b), rows[i].ok);
		if (!rows[i].ok)
			continue;
		assert_true(addr_parse(rows[i].ip, 25, &a));
		assert_int_equal(addr_block_has(&b, &a), rows[i].has);
	}
}

static void a_part_stands_anywhere_in_a_span(void **state)
{
	struct span s = SPAN_LIT("mail\0box");

	(void)state;
	assert_true(span_contains(s, SPAN_LIT("mail")) && span_contains(s, SPAN_LIT("box")));
	assert_true(span_contains(s, SPAN_LIT("l\0b")) && span_contains(s, s));
	assert_true(span_contains(s, (struct span){ 0 }) &&
		    span_contains((struct span){ 0 }, (struct span){ 0 }));
	assert_false(span_contains(s, SPAN_LIT("boxes")) || span_contains(s, SPAN_LIT("Mail")));
	assert_false(span_contains((struct span){ 0 }, SPAN_LIT("m")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_part_stands_anywhere_in_a_span),
		cmocka_unit_test(a_block_holds_the_addresses_of_its_prefix),
		cmocka_unit_test(spans_compare_without_case_only_for_ascii),
		cmocka_unit_test(cutting_leaves_the_span_alone_on_failure),
		cmocka_unit_test(numbers_are_digits_and_nothing_else),
		cmocka_unit_test(copy_refuses_what_does_not_fit_or_holds_nul),
		cmocka_unit_test(buffers_keep_their_bytes_while_growing_and_shrinking),
		cmocka_unit_test(errors_name_the_layers_and_never_lose_the_cause),
		cmocka_unit_test(seeded_numbers_repeat_and_stay_in_bounds),
	};
	return cmocka_run_group_tests_name("bytes", tests, NULL, NULL);
}
