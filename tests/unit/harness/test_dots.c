/*
 * dots: every row of the table is a stream, what a strict reader takes for its
 * content, where it ends and what is noted.  Each is read whole, byte by byte
 * and split at every place, with the same result.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/wire/dots.h"
#include "tests/unit/harness/exact.h"

struct row {
	const char *name;
	const char *stream;
	const char *content;
	const char *after; /* NULL: no end was seen */
	uint32_t notes;
};

static const struct row rows[] = {
	{ "empty content", ".\r\nNOOP\r\n", "", "NOOP\r\n", 0 },
	{ "one line", "a\r\n.\r\n", "a\r\n", "", 0 },
	{ "stuffed dot", "..a\r\n.\r\n", ".a\r\n", "", 0 },
	{ "line of one dot", "..\r\n.\r\n", ".\r\n", "", 0 },
	{ "line of two dots", "...\r\n.\r\n", "..\r\n", "", 0 },
	{ "dot inside a line", "a.b\r\n.\r\nx", "a.b\r\n", "x", 0 },
	{ "an unstuffed dot is deleted and noted", ".a\r\n.\r\n", "a\r\n", "", DOTS_UNSTUFFED_DOT },
	{ "LF . LF is content", "a\n.\nb\r\n.\r\n", "a\n.\nb\r\n", "", DOTS_BARE_LF | DOTS_FALSE_END },
	{ "LF . CRLF is content", "a\n.\r\nb\r\n.\r\n", "a\n.\r\nb\r\n", "", DOTS_BARE_LF | DOTS_FALSE_END },
	{ "CRLF . LF is content", "a\r\n.\nb\r\n.\r\n", "a\r\n\nb\r\n", "",
	  DOTS_BARE_LF | DOTS_FALSE_END | DOTS_UNSTUFFED_DOT },
	{ "CR . CR is content", "a\r.\rb\r\n.\r\n", "a\r.\rb\r\n", "", DOTS_BARE_CR | DOTS_FALSE_END },
	{ "CRLF . CR is content", "a\r\n.\rb\r\n.\r\n", "a\r\n\rb\r\n", "",
	  DOTS_BARE_CR | DOTS_FALSE_END | DOTS_UNSTUFFED_DOT },
	{ "CR . CRLF is content", "a\r.\r\nb\r\n.\r\n", "a\r.\r\nb\r\n", "", DOTS_BARE_CR | DOTS_FALSE_END },
	{ "a bare LF before other text is no false end", "a\nb\r\n.\r\n", "a\nb\r\n", "", DOTS_BARE_LF },
	{ "dots behind a bare LF are no false end", "a\n..\nb\r\n.\r\n", "a\n..\nb\r\n", "", DOTS_BARE_LF },
	{ "CR CRLF", "a\r\r\n.\r\n", "a\r\r\n", "", DOTS_BARE_CR },
	{ "dot CR CR LF", ".\r\r\n.\r\n", "\r\r\n", "", DOTS_BARE_CR | DOTS_FALSE_END | DOTS_UNSTUFFED_DOT },
	{ "no end yet", "a\r\n", "a\r\n", NULL, 0 },
	{ "end held back", "a\r\n.\r", "a\r\n", NULL, 0 },
	{ "empty lines", "\r\n\r\n.\r\n", "\r\n\r\n", "", 0 },
};

struct result {
	struct buf content;
	size_t taken;
	bool end;
	uint32_t notes;
};

static void feed(struct dots_reader *r, struct span in, struct result *ret)
{
	while (in.n > 0 && !ret->end) {
		struct exact copy = exact_of(in);
		struct span data;
		size_t n = dots_read(r, exact_span(copy), &data, &ret->end);
		assert_true(n <= in.n);
		buf_add(&ret->content, data);
		exact_free(copy);
		ret->taken += n;
		in = span_sub(in, n, in.n);
	}
	ret->notes = r->notes;
}

static void expect(const struct row *row, const struct result *got)
{
	if (!span_eq(buf_span(&got->content), span_of(row->content)) || got->end != (row->after != NULL) ||
	    got->notes != row->notes)
		fail_msg("%s: \"%.*s\", end %d, notes %x", row->name, SPAN_FMT(buf_span(&got->content)),
			 got->end, got->notes);
	if (row->after != NULL)
		assert_string_equal(row->stream + got->taken, row->after);
}

static void same_result_from_every_split(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct span stream = span_of(rows[i].stream);
		for (size_t cut = 0; cut <= stream.n; cut++) {
			struct dots_reader r = { 0 };
			struct result got = { 0 };
			feed(&r, span_sub(stream, 0, cut), &got);
			feed(&r, span_sub(stream, got.taken, stream.n), &got);
			expect(&rows[i], &got);
			buf_free(&got.content);
		}
	}
}

static void same_result_byte_by_byte(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct dots_reader r = { 0 };
		struct result got = { 0 };
		struct span stream = span_of(rows[i].stream);
		for (size_t at = 0; at < stream.n && !got.end; at++)
			feed(&r, span_sub(stream, at, 1), &got);
		expect(&rows[i], &got);
		buf_free(&got.content);
	}
}

static void long_lines_are_noted_beyond_1000_bytes(void **state)
{
	(void)state;
	for (size_t chars = 997; chars <= 1000; chars++) {
		struct buf stream = { 0 };
		buf_add_cstr(&stream, ".."); /* the stuffed dot does not count, the other does */
		for (size_t i = 1; i < chars; i++)
			buf_add_cstr(&stream, "x");
		buf_add_cstr(&stream, "\r\n.\r\n");
		struct dots_reader r = { 0 };
		struct result got = { 0 };
		feed(&r, buf_span(&stream), &got);
		assert_true(got.end);
		assert_int_equal(got.notes, chars > 998 ? DOTS_LONG_LINE : 0);
		buf_free(&stream);
		buf_free(&got.content);
	}
}

/* Long content is read by blocks, byte by byte it is not: what is odd must be found wherever it stands. */
static void long_content_is_the_same_byte_by_byte_and_is_read_back(void **state)
{
	static const char *const odd[] = { "",       "\n",        "\r",      "\r\n", ".",
					   "\r\n.",  "\r\n.\r\n", "\n.\r\n", ".\n",  "\r\r\n",
					   "\r\n\n", "\r\n..x",   "\r\n.\n", "\n\n" };
	(void)state;
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		for (size_t at = 200; at < 1100; at += at < 250 || (at > 500 && at < 530) ? 1 : 37) {
			size_t chars = 1 + (at * 7 + i) % (at % 5 == 0 ? 998 : 90);
			struct buf content = { 0 }, wire = { 0 };
			bool placed = false;
			while (buf_bytes(&content) < 3000) {
				for (size_t k = 0; k < chars && (placed || buf_bytes(&content) != at); k++)
					buf_add_cstr(&content, "x");
				bool here = !placed && buf_bytes(&content) >= at;
				buf_add_cstr(&content, here ? odd[i] : "\r\n");
				placed |= here;
			}
			struct dots_writer w = { 0 };
			dots_write(&w, buf_span(&content), &wire);
			bool whole = span_sub(buf_span(&content), buf_bytes(&content) - 2, 2).p[0] == '\r';
			dots_write_end(&w, &wire);
			struct dots_reader once = { 0 }, slow = { 0 };
			struct result a = { 0 }, b = { 0 };
			feed(&once, buf_span(&wire), &a);
			for (size_t k = 0; k < buf_bytes(&wire) && !b.end; k++)
				feed(&slow, span_sub(buf_span(&wire), k, 1), &b);
			assert_true(a.end && b.end);
			assert_int_equal(a.taken, buf_bytes(&wire));
			assert_int_equal(b.taken, buf_bytes(&wire));
			assert_int_equal(a.notes, b.notes);
			assert_true(span_eq(buf_span(&a.content), buf_span(&b.content)));
			if (whole)
				assert_true(span_eq(buf_span(&a.content), buf_span(&content)));
			buf_free(&a.content);
			buf_free(&b.content);
			buf_free(&content);
			buf_free(&wire);
		}
	}
}

static void what_is_written_is_read_back(void **state)
{
	static const char *const contents[] = {
		"",         "a\r\n",     ".\r\n",           "..\r\n.a\r\n", "a\n.\nb\r\n",
		"a\r.\r\n", "\r\n.\r\n", ".a\r\n\r\n..\r\n"
	};
	(void)state;
	for (size_t i = 0; i < sizeof(contents) / sizeof(contents[0]); i++) {
		struct span content = span_of(contents[i]);
		for (size_t cut = 0; cut <= content.n; cut++) {
			struct dots_writer w = { 0 };
			struct dots_reader r = { 0 };
			struct buf wire = { 0 };
			struct result got = { 0 };
			dots_write(&w, span_sub(content, 0, cut), &wire);
			dots_write(&w, span_sub(content, cut, content.n), &wire);
			dots_write_end(&w, &wire);
			feed(&r, buf_span(&wire), &got);
			assert_true(got.end);
			assert_int_equal(got.taken, buf_bytes(&wire));
			assert_true(span_eq(buf_span(&got.content), content));
			assert_int_equal(got.notes & DOTS_UNSTUFFED_DOT, 0);
			buf_free(&wire);
			buf_free(&got.content);
		}
	}
}

static void content_without_last_line_end_gets_one(void **state)
{
	static const struct {
		const char *content;
		const char *wire;
	} table[] = { { "a", "a\r\n.\r\n" },
		      { "a\r", "a\r\r\n.\r\n" },
		      { "a\n", "a\n\r\n.\r\n" },
		      { ".", "..\r\n.\r\n" } };
	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct dots_writer w = { 0 };
		struct buf wire = { 0 };
		dots_write(&w, span_of(table[i].content), &wire);
		dots_write_end(&w, &wire);
		assert_span_text(buf_span(&wire), table[i].wire);
		buf_free(&wire);
	}
}

static void bare_line_ends_cost_no_quadratic_time(void **state)
{
	(void)state;
	size_t n = 8 * 1024 * 1024;
	char *p = malloc(n);
	assert_non_null(p);
	for (size_t i = 0; i < n; i++)
		p[i] = i % 2 == 0 ? '\r' : 'x';
	struct dots_reader r = { 0 };
	struct span data;
	bool end;
	assert_int_equal(dots_read(&r, (struct span){ p, n }, &data, &end), n);
	assert_false(end);
	free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_result_from_every_split),
		cmocka_unit_test(same_result_byte_by_byte),
		cmocka_unit_test(long_lines_are_noted_beyond_1000_bytes),
		cmocka_unit_test(long_content_is_the_same_byte_by_byte_and_is_read_back),
		cmocka_unit_test(what_is_written_is_read_back),
		cmocka_unit_test(content_without_last_line_end_gets_one),
		cmocka_unit_test(bare_line_ends_cost_no_quadratic_time),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
