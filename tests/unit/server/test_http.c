/* http: what is read as a request, and what it is refused with. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "reference-server/drive/http.h"

/* The input in a block of exactly its size. */
static unsigned parse(struct span in, char path[64], bool *ret_head)
{
	char *copy = malloc(in.n + 1);
	struct span p = { NULL, 0 };

	assert_non_null(copy);
	memcpy(copy, in.p, in.n);
	unsigned status = http_parse((struct span){ copy, in.n }, &p, ret_head);
	path[0] = '\0';
	if (status == 200)
		assert_true(span_copy(p, path, 64));
	free(copy);
	return status;
}

static void requests_are_read_whole_or_byte_by_byte(void **state)
{
	static const struct row {
		const char *in;
		unsigned status;
		const char *path;
		bool head;
	} rows[] = {
		{ "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", 200, "/metrics", false },
		{ "GET /metrics HTTP/1.0\r\n\r\n", 200, "/metrics", false },
		{ "GET /metrics HTTP/1.1\n\n", 200, "/metrics", false },
		{ "HEAD /healthz?verbose=1 HTTP/1.1\r\n\r\n", 200, "/healthz", true },
		{ "POST /metrics HTTP/1.1\r\n\r\n", 405, "", false },
		{ "get /metrics HTTP/1.1\r\n\r\n", 405, "", false },
		{ "GET /metrics HTTP/2.0\r\n\r\n", 505, "", false },
		{ "GET /metrics\r\n\r\n", 400, "", false },
		{ "GET metrics HTTP/1.1\r\n\r\n", 400, "", false },
		{ "GET /a b HTTP/1.1\r\n\r\n", 400, "", false },
		{ "GET /metrics HTTP/1.1 \r\n\r\n", 400, "", false },
		{ "GET  HTTP/1.1\r\n\r\n", 400, "", false },
		{ " / HTTP/1.1\r\n\r\n", 400, "", false },
		{ "\r\n\r\n", 400, "", false },
		{ "GET /metrics HTTP/1.1\r\nHost: a\r\n", 0, "", false },
		{ "", 0, "", false },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct span in = span_of(rows[i].in);
		char path[64];
		bool head = false;
		for (size_t n = 0; n < in.n; n++)
			if (parse(span_sub(in, 0, n), path, &head) != 0)
				fail_msg("%s: answered after %zu bytes", rows[i].in, n);
		unsigned status = parse(in, path, &head);
		if (status != rows[i].status || strcmp(path, rows[i].path) != 0 || head != rows[i].head)
			fail_msg("%s: got %u %s", rows[i].in, status, path);
	}
}

static void a_head_without_end_is_refused(void **state)
{
	char *in = malloc(HTTP_HEAD_BYTES_MAX + 1);
	char path[64];
	bool head;
	(void)state;

	assert_non_null(in);
	memset(in, 'x', HTTP_HEAD_BYTES_MAX + 1);
	assert_int_equal(parse((struct span){ in, HTTP_HEAD_BYTES_MAX }, path, &head), 0);
	assert_int_equal(parse((struct span){ in, HTTP_HEAD_BYTES_MAX + 1 }, path, &head), 431);
	memcpy(in + HTTP_HEAD_BYTES_MAX - 1, "\n\n", 2);
	assert_int_equal(parse((struct span){ in, HTTP_HEAD_BYTES_MAX + 1 }, path, &head), 431);
	free(in);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_are_read_whole_or_byte_by_byte),
		cmocka_unit_test(a_head_without_end_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
