/* line: cut, wait, or report; whole and byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "reference-server/core/line.h"

enum { LIMIT = 4 };

static const struct row {
	const char *name;
	const char *input;
	size_t input_bytes;
	enum line_result result;
	const char *line; /* of LINE_OK */
	size_t used_bytes;
} rows[] = {
#define IN(s) s, sizeof(s) - 1
	{ "nothing", IN(""), LINE_MORE, NULL, 0 },
	{ "no line end yet", IN("ab"), LINE_MORE, NULL, 0 },
	{ "empty line", IN("\r\n"), LINE_OK, "", 2 },
	{ "one line", IN("ab\r\n"), LINE_OK, "ab", 4 },
	{ "the first of two", IN("ab\r\ncd\r\n"), LINE_OK, "ab", 4 },
	{ "exactly the limit", IN("abcd\r\n"), LINE_OK, "abcd", 6 },
	{ "the limit, CR seen", IN("abcd\r"), LINE_MORE, NULL, 0 },
	{ "the limit, nothing behind", IN("abcd"), LINE_MORE, NULL, 0 },
	{ "one more than the limit", IN("abcde\r\n"), LINE_TOO_LONG, NULL, 0 },
	{ "one more, no end yet", IN("abcde"), LINE_TOO_LONG, NULL, 0 },
	{ "much more", IN("abcdefghijkl"), LINE_TOO_LONG, NULL, 0 },
	{ "bare LF", IN("ab\ncd\r\n"), LINE_BARE, NULL, 0 },
	{ "LF first", IN("\n"), LINE_BARE, NULL, 0 },
	{ "bare LF at the limit", IN("abcd\n"), LINE_BARE, NULL, 0 },
	{ "bare LF behind the limit", IN("abcde\n"), LINE_TOO_LONG, NULL, 0 },
	{ "bare CR", IN("a\rb\r\n"), LINE_BARE, NULL, 0 },
	{ "two CR", IN("ab\r\r\n"), LINE_BARE, NULL, 0 },
	{ "CR at the end waits", IN("ab\r"), LINE_MORE, NULL, 0 },
	{ "bare CR at the limit", IN("abcd\rx"), LINE_BARE, NULL, 0 },
	{ "bare CR, then a good line", IN("a\rb\r\nc"), LINE_BARE, NULL, 0 },
	{ "NUL is a byte like others", IN("a\0b\r\n"), LINE_OK, NULL, 5 },
};

static char *exact_copy(const char *bytes, size_t n)
{
	char *copy = malloc(n + (n == 0));
	assert_non_null(copy);
	memcpy(copy, bytes, n);
	return copy;
}

static void check(const struct row *row, size_t step)
{
	struct span line = { NULL, 0 };
	enum line_result result = LINE_MORE;
	size_t used = 0;

	for (size_t have = 0; result == LINE_MORE;
	     have = have + step < row->input_bytes ? have + step : row->input_bytes) {
		char *copy = exact_copy(row->input, have);
		result = line_next((struct span){ copy, have }, LIMIT, &line, &used);
		if (result == LINE_OK && row->line != NULL)
			assert_true(span_eq(line, span_of(row->line)));
		free(copy);
		if (have == row->input_bytes)
			break;
	}
	if (result != row->result || used != row->used_bytes)
		fail_msg("%s, step %zu: result %d, used %zu", row->name, step, (int)result, used);
}

static void line_is_cut_or_reported_at_every_split(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		check(&rows[i], 1);
		check(&rows[i], rows[i].input_bytes > 0 ? rows[i].input_bytes : 1);
	}
}

static const struct skip_row {
	const char *name;
	const char *input;
	bool found;
	size_t used_bytes;
} skip_rows[] = {
	{ "nothing", "", false, 0 },
	{ "all of it", "abc", false, 3 },
	{ "a final CR waits", "abc\r", false, 3 },
	{ "only a CR waits", "\r", false, 0 },
	{ "CRLF ends it", "abc\r\ndef", true, 5 },
	{ "bare LF does not", "abc\ndef", false, 7 },
	{ "LF, then CRLF", "a\nb\r\nc", true, 5 },
	{ "LF first", "\nb\r\nc", true, 4 },
	{ "bare CR does not", "a\rb\r\nc", true, 5 },
};

static void skipping_ends_at_crlf_only(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(skip_rows) / sizeof(skip_rows[0]); i++) {
		const struct skip_row *row = &skip_rows[i];
		size_t n = strlen(row->input);
		size_t used = 99;
		char *copy = exact_copy(row->input, n);
		bool found = line_skip((struct span){ copy, n }, &used);

		free(copy);
		if (found != row->found || used != row->used_bytes)
			fail_msg("%s: found %d, used %zu", row->name, (int)found, used);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(line_is_cut_or_reported_at_every_split),
		cmocka_unit_test(skipping_ends_at_crlf_only),
	};
	return cmocka_run_group_tests_name("line", tests, NULL, NULL);
}
