/*
 * content: where it ends, what is handed out, what is noted.  Every row is
 * fed whole, byte by byte, and cut in two at every place.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "reference-server/core/content.h"

static const struct row {
	const char *name;
	struct span input;
	bool ended;
	struct span content; /* up to the end, or all that can be told so far */
	size_t left_bytes;   /* of the input, behind the final dot or still waiting */
	uint32_t facts;
	uint64_t longest;
} rows[] = {
#define S(s)                        \
	{                           \
		"" s, sizeof(s) - 1 \
	}
	{ "empty message", S(".\r\n"), true, S(""), 0, 0, 0 },
	{ "one line", S("abc\r\n.\r\n"), true, S("abc\r\n"), 0, 0, 3 },
	{ "a command follows", S("abc\r\n.\r\nQUIT\r\n"), true, S("abc\r\n"), 6, 0, 3 },
	{ "empty lines", S("\r\n\r\n.\r\n"), true, S("\r\n\r\n"), 0, 0, 0 },
	{ "stuffed dot", S("..a\r\n.\r\n"), true, S(".a\r\n"), 0, 0, 2 },
	{ "stuffed single dot", S("..\r\n.\r\n"), true, S(".\r\n"), 0, 0, 1 },
	{ "dots elsewhere stay", S("a.b\r\n. .\r\n.\r\n"), true, S("a.b\r\n .\r\n"), 0, 0, 3 },
	{ "unstuffed dot falls", S(".a\r\n.\r\n"), true, S("a\r\n"), 0, 0, 1 },
	{ "many stuffed lines", S("..\r\n..\r\n...\r\n.\r\n"), true, S(".\r\n.\r\n..\r\n"), 0, 0, 2 },
	{ "not ended", S("abc\r\n"), false, S("abc\r\n"), 0, 0, 3 },
	{ "dot waits", S("abc\r\n."), false, S("abc\r\n"), 1, 0, 3 },
	{ "dot CR waits", S("abc\r\n.\r"), false, S("abc\r\n"), 2, 0, 3 },
	{ "CR waits", S("abc\r"), false, S("abc"), 1, 0, 3 },
	{ "the longest of three", S("a\r\nabcd\r\nab\r\n.\r\n"), true, S("a\r\nabcd\r\nab\r\n"), 0, 0, 4 },
	{ "8-bit", S("\xc3\xa4\r\n.\r\n"), true, S("\xc3\xa4\r\n"), 0, CONTENT_8BIT, 2 },
	{ "NUL", S("a\0b\r\n.\r\n"), true, S("a\0b\r\n"), 0, CONTENT_NUL, 3 },
	{ "bare LF", S("a\nb\r\n.\r\n"), true, S("a\nb\r\n"), 0, CONTENT_BARE_LF, 3 },
	{ "bare CR", S("a\rb\r\n.\r\n"), true, S("a\rb\r\n"), 0, CONTENT_BARE_CR, 3 },
	{ "CR CR LF", S("a\r\r\n.\r\n"), true, S("a\r\r\n"), 0, CONTENT_BARE_CR, 2 },
	{ "LF CR", S("a\n\rb\r\n.\r\n"), true, S("a\n\rb\r\n"), 0, CONTENT_BARE_CR | CONTENT_BARE_LF, 4 },
	/* The ten forms that must not end content, each followed by the real end. */
	{ "bad end LF . LF", S("a\n.\nx\r\n.\r\n"), true, S("a\n.\nx\r\n"), 0, CONTENT_BARE_LF, 5 },
	{ "bad end LF . CRLF", S("a\n.\r\nx\r\n.\r\n"), true, S("a\n.\r\nx\r\n"), 0, CONTENT_BARE_LF, 3 },
	{ "bad end CRLF . LF", S("a\r\n.\nx\r\n.\r\n"), true, S("a\r\n\nx\r\n"), 0, CONTENT_BARE_LF, 2 },
	{ "bad end CR . CR", S("a\r.\rx\r\n.\r\n"), true, S("a\r.\rx\r\n"), 0, CONTENT_BARE_CR, 5 },
	{ "bad end CR . CRLF", S("a\r.\r\nx\r\n.\r\n"), true, S("a\r.\r\nx\r\n"), 0, CONTENT_BARE_CR, 3 },
	{ "bad end CRLF . CR", S("a\r\n.\rx\r\n.\r\n"), true, S("a\r\n\rx\r\n"), 0, CONTENT_BARE_CR, 2 },
	{ "bad end CR . LF", S("a\r.\nx\r\n.\r\n"), true, S("a\r.\nx\r\n"), 0,
	  CONTENT_BARE_CR | CONTENT_BARE_LF, 5 },
	{ "bad end LF . CR", S("a\n.\rx\r\n.\r\n"), true, S("a\n.\rx\r\n"), 0,
	  CONTENT_BARE_CR | CONTENT_BARE_LF, 5 },
	{ "bad end CRLF . NUL CRLF", S("a\r\n.\0\r\nx\r\n.\r\n"), true, S("a\r\n\0\r\nx\r\n"), 0, CONTENT_NUL,
	  1 },
	{ "bad end CRLF . CR CRLF", S("a\r\n.\r\r\nx\r\n.\r\n"), true, S("a\r\n\r\r\nx\r\n"), 0,
	  CONTENT_BARE_CR, 1 },
	{ "bad end CRLF . blank CRLF", S("a\r\n. \r\nx\r\n.\r\n"), true, S("a\r\n \r\nx\r\n"), 0, 0, 1 },
	{ "bad end . LF first", S(".\nx\r\n.\r\n"), true, S("\nx\r\n"), 0, CONTENT_BARE_LF, 2 },
	{ "bad end . CR first", S(".\rx\r\n.\r\n"), true, S("\rx\r\n"), 0, CONTENT_BARE_CR, 2 },
	{ "bad end LF CR . CRLF", S("a\n\r.\r\nx\r\n.\r\n"), true, S("a\n\r.\r\nx\r\n"), 0,
	  CONTENT_BARE_CR | CONTENT_BARE_LF, 4 },
	{ "longer than one block",
	  S("0123456789012345678901234567890123456789012345678901234567890123456789\r\n\xff\r\n.\r\n"), true,
	  S("0123456789012345678901234567890123456789012345678901234567890123456789\r\n\xff\r\n"), 0,
	  CONTENT_8BIT, 70 },
	{ "a bare CR and a NUL in a whole block",
	  S("012345678901234567890123456789\r0123456789012345678901234567890\0 123456789\r\n.\r\n"), true,
	  S("012345678901234567890123456789\r0123456789012345678901234567890\0 123456789\r\n"), 0,
	  CONTENT_BARE_CR | CONTENT_NUL, 73 },
};

struct outcome {
	struct content c;
	struct buf content;
	size_t used_bytes;
};

/* Feeds what is not used yet plus new bytes up to `have`; each window is an exact copy. */
static void feed(struct outcome *o, struct span input, size_t have)
{
	size_t n = have - o->used_bytes;
	char *window = malloc(n + (n == 0));
	size_t at = 0;
	enum content_result result;

	assert_non_null(window);
	memcpy(window, input.p + o->used_bytes, n);
	do {
		struct span run;
		size_t used;
		result = content_next(&o->c, (struct span){ window + at, n - at }, &run, &used);
		assert_true(used <= n - at);
		assert_int_equal(run.n > 0, result == CONTENT_RUN);
		buf_add(&o->content, run);
		at += used;
	} while (result == CONTENT_RUN);
	o->used_bytes += at;
	free(window);
}

static void check(const struct row *row, const struct outcome *o, const char *how, size_t where)
{
	struct span got = { o->content.p != NULL ? o->content.p + o->content.begin : NULL,
			    buf_bytes(&o->content) };

	if (o->c.ended != row->ended || !span_eq(got, row->content) ||
	    o->used_bytes + row->left_bytes != row->input.n || o->c.facts != row->facts ||
	    o->c.line_bytes_longest != row->longest || o->c.content_bytes != row->content.n)
		fail_msg("%s, %s %zu: ended %d, '%.*s', used %zu, facts %x, longest %d", row->name, how,
			 where, (int)o->c.ended, SPAN_FMT(got), o->used_bytes, o->c.facts,
			 (int)o->c.line_bytes_longest);
}

static void content_ends_and_is_unstuffed_at_every_split(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (size_t cut = 0; cut <= rows[i].input.n; cut++) {
			struct outcome o = { .used_bytes = 0 };
			content_init(&o.c);
			feed(&o, rows[i].input, cut);
			if (!o.c.ended)
				feed(&o, rows[i].input, rows[i].input.n);
			check(&rows[i], &o, "cut at", cut);
			buf_free(&o.content);
		}
	}
}

static void content_is_the_same_byte_by_byte(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct outcome o = { .used_bytes = 0 };
		content_init(&o.c);
		for (size_t have = 0; have <= rows[i].input.n && !o.c.ended; have++)
			feed(&o, rows[i].input, have);
		check(&rows[i], &o, "step", 1);
		buf_free(&o.content);
	}
}

static void take_copy(struct content *c, struct span run)
{
	char *copy = malloc(run.n + (run.n == 0));

	assert_non_null(copy);
	if (run.n > 0)
		memcpy(copy, run.p, run.n);
	content_take(c, (struct span){ copy, run.n });
	free(copy);
}

/* The content of every row above, with its dots as they are, and some that only chunks can carry. */
static void chunks_give_the_same_facts_however_they_are_cut(void **state)
{
	(void)state;
	static const struct row more[] = {
		{ .content = S("a"), .longest = 1 },
		{ .content = S("a\r"), .facts = CONTENT_BARE_CR, .longest = 2 },
		{ .content = S("\n"), .facts = CONTENT_BARE_LF, .longest = 1 },
		{ .content = S("\r\r\n\n\r"), .facts = CONTENT_BARE_CR | CONTENT_BARE_LF, .longest = 2 },
		{ .content = S(".\r\n\0\xff\n\r\n"),
		  .facts = CONTENT_BARE_LF | CONTENT_NUL | CONTENT_8BIT,
		  .longest = 3 },
	};
	const size_t count = sizeof(rows) / sizeof(rows[0]);
	const size_t more_count = sizeof(more) / sizeof(more[0]);

	for (size_t i = 0; i < count + more_count; i++) {
		const struct row *row = i < count ? &rows[i] : &more[i - count];
		if (i < count && !row->ended)
			continue;
		for (size_t a = 0; a <= row->content.n; a++) {
			for (size_t b = a; b <= row->content.n; b++) {
				struct content c;
				content_init(&c);
				take_copy(&c, span_sub(row->content, 0, a));
				take_copy(&c, span_sub(row->content, a, b - a));
				take_copy(&c, span_sub(row->content, b, row->content.n));
				content_finish(&c);
				if (c.facts != row->facts || c.line_bytes_longest != row->longest ||
				    c.content_bytes != row->content.n)
					fail_msg("row %zu cut at %zu and %zu: facts %x, longest %d", i, a, b,
						 c.facts, (int)c.line_bytes_longest);
			}
		}
	}
}

static void at_most_two_bytes_wait(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (size_t cut = 0; cut <= rows[i].input.n; cut++) {
			struct outcome o = { .used_bytes = 0 };
			content_init(&o.c);
			feed(&o, rows[i].input, cut);
			if (!o.c.ended)
				assert_true(cut - o.used_bytes <= 2);
			buf_free(&o.content);
		}
	}
}

static void a_message_without_dots_is_one_run(void **state)
{
	(void)state;
	static const char text[] = "a\r\nbc\r\n\r\nd.e\r\n.\r\n";
	struct content c;
	struct span run;
	size_t used;

	content_init(&c);
	assert_int_equal(content_next(&c, span_of(text), &run, &used), CONTENT_RUN);
	assert_int_equal(run.n, sizeof(text) - 1 - 3);
	assert_ptr_equal(run.p, text);
	assert_int_equal(content_next(&c, span_of(text + used), &run, &used), CONTENT_END);
}

static void a_long_line_passes_and_is_measured(void **state)
{
	(void)state;
	enum { LINE_BYTES = 100000 };
	struct outcome o = { .used_bytes = 0 };
	struct buf text = { 0 };

	memset(buf_reserve(&text, LINE_BYTES), 'x', LINE_BYTES);
	buf_grow(&text, LINE_BYTES);
	buf_add_cstr(&text, "\r\n.\r\n");
	content_init(&o.c);
	for (size_t have = 0; !o.c.ended;
	     have = have + 999 < buf_bytes(&text) ? have + 999 : buf_bytes(&text))
		feed(&o, buf_span(&text), have);
	assert_int_equal(o.c.line_bytes_longest, LINE_BYTES);
	assert_int_equal(o.c.content_bytes, LINE_BYTES + 2);
	assert_int_equal(o.c.facts, 0);
	buf_free(&text);
	buf_free(&o.content);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(content_ends_and_is_unstuffed_at_every_split),
		cmocka_unit_test(content_is_the_same_byte_by_byte),
		cmocka_unit_test(chunks_give_the_same_facts_however_they_are_cut),
		cmocka_unit_test(at_most_two_bytes_wait),
		cmocka_unit_test(a_message_without_dots_is_one_run),
		cmocka_unit_test(a_long_line_passes_and_is_measured),
	};
	return cmocka_run_group_tests_name("content", tests, NULL, NULL);
}
