/*
 * policy_host: what it answers over HTTPS, what it keeps of what it was asked, and where that ends.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/conn.h"
#include "harness/conform/policy_host.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATIENCE_MS = 20000, QUIET_MS = 200 };

#define GET "GET /.well-known/mta-sts.txt HTTP/1.1\r\nHost: mta-sts.a.example\r\nUser-Agent: x\r\n\r\n"

struct stage {
	struct loop *loop;
	struct policy_host *host;
	struct tls_ctx *client_tls;
	struct transcript transcript;
	struct conn *conn;
	struct timer *end;
	const char *says;   /* once the handshake is over */
	const char *awaits; /* in what comes; NULL: the end of the connection, or ... */
	uint32_t wants;     /* ... so many requests of the host */
	bool dials;         /* without end, and never says anything */
	bool again;         /* says it again for each answer, until the host has had enough */
	struct buf came;
	bool zeros; /* then says zeros without end */
	size_t said_bytes;
	bool trusts_another;
	uint32_t secured, dialled;
	bool failed, late;
	char dir[64];
};

static void on_news(void *ctx)
{
	struct stage *s = ctx;

	if (s->wants > 0 && s->host->request_count >= s->wants)
		loop_stop(s->loop);
}

static void on_late(void *ctx)
{
	struct stage *s = ctx;

	s->late = true;
	loop_stop(s->loop);
}

static void on_input(struct stage *s)
{
	buf_add(&s->came, conn_input(s->conn));
	conn_consume(s->conn, conn_input(s->conn).n);
	if (s->awaits == NULL || strstr(buf_cstr(&s->came), s->awaits) == NULL)
		return;
	if (s->again && !s->host->flooded) {
		buf_reset(&s->came);
		conn_write(s->conn, span_of(s->says));
	} else {
		loop_stop(s->loop);
	}
}

static void dial(struct stage *s);

static void say_zeros(struct stage *s)
{
	struct buf block = { 0 };

	for (int i = 0; i < 1024; i++)
		buf_add_cstr(&block, "0000000000000000");
	s->said_bytes += buf_bytes(&block);
	conn_write(s->conn, buf_span(&block));
	buf_free(&block);
}

static void on_event(void *ctx, enum conn_event event)
{
	struct stage *s = ctx;

	switch (event) {
	case CONN_CONNECTED:
		if (s->dials) {
			dial(s);
			break;
		}
		(void)conn_start_tls(s->conn, s->client_tls, CONN_TLS_CLIENT, "mta-sts.a.example");
		break;
	case CONN_SECURED:
		s->secured++;
		conn_write(s->conn, span_of(s->says));
		break;
	case CONN_INPUT:
		on_input(s);
		break;
	case CONN_EOF:
	case CONN_FAILED:
		s->failed = event == CONN_FAILED;
		loop_stop(s->loop);
		break;
	case CONN_DRAINED:
		if (s->zeros)
			say_zeros(s);
		break;
	case CONN_TIMEOUT:
		break;
	}
}

static void dial(struct stage *s)
{
	conn_free(s->conn);
	s->dialled++;
	s->conn = conn_connect(&(struct conn_options){ .loop = s->loop, .on_event = on_event, .ctx = s },
			       &s->host->at, NULL);
}

static void make_cert(const struct stage *s, const char *name, char ret_cert[80], char ret_key[80])
{
	static const char *const names[] = { "mta-sts.a.example", NULL };
	struct err e;

	(void)snprintf(ret_cert, 80, "%s/%s.pem", s->dir, name);
	(void)snprintf(ret_key, 80, "%s/%s.key", s->dir, name);
	assert_int_equal(cert_make(&(struct cert_options){ .common_name = names[0],
							   .names = names,
							   .ret_cert_path = ret_cert,
							   .ret_key_path = ret_key },
				   &e),
			 0);
}

static void set_up(struct stage *s)
{
	char cert[80], key[80], other_cert[80], other_key[80];
	struct addr at;
	struct err e;

	(void)snprintf(s->dir, sizeof(s->dir), "/tmp/test_policy_host.XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	make_cert(s, "own", cert, key);
	make_cert(s, "other", other_cert, other_key);
	s->loop = loop_new();
	assert_true(addr_parse("127.0.0.1", 0, &at));
	s->host = policy_host_new(&(struct policy_options){ .loop = s->loop,
							    .name = "mta-sts",
							    .tls = tls_server_new(cert, key, &e),
							    .at = at,
							    .transcript = &s->transcript,
							    .on_news = on_news,
							    .ctx = s },
				  &e);
	assert_non_null(s->host);
	s->client_tls = tls_client_new(s->trusts_another ? other_cert : NULL, &e);
	assert_non_null(s->client_tls);
	s->end = timer_new(s->loop, on_late, s);
	timer_set_ms(s->end, PATIENCE_MS);
	(void)unlink(cert);
	(void)unlink(key);
	(void)unlink(other_cert);
	(void)unlink(other_key);
	(void)rmdir(s->dir);
}

static void run(struct stage *s)
{
	dial(s);
	loop_run(s->loop);
}

static void tear_down(struct stage *s)
{
	conn_free(s->conn);
	policy_host_free(s->host);
	tls_free(s->client_tls);
	timer_free(s->end);
	loop_free(s->loop);
	transcript_free(&s->transcript);
	buf_free(&s->came);
}

static bool was_noted(struct stage *s, const char *text)
{
	struct buf all = { 0 };

	transcript_print(&s->transcript, "", &all);
	bool fine = strstr(buf_cstr(&all), text) != NULL;
	buf_free(&all);
	return fine;
}

static void a_policy_is_served_and_the_request_kept(void **state)
{
	(void)state;
	struct stage s = { .says = GET, .awaits = "max_age: 9\r\n" };

	set_up(&s);
	policy_host_says(s.host, &(struct policy_answer){
					 .status = 200,
					 .fields = SPAN_LIT("Content-Type: text/plain\nETag: \"x\"\n"),
					 .body = SPAN_LIT("version: STSv1\r\nmax_age: 9\r\n") });
	run(&s);
	assert_false(s.late);
	assert_non_null(strstr(buf_cstr(&s.came), "HTTP/1.1 200 OK\r\n"));
	assert_non_null(strstr(buf_cstr(&s.came), "Content-Type: text/plain\r\n"));
	assert_non_null(strstr(buf_cstr(&s.came), "ETag: \"x\"\r\n"));
	assert_non_null(strstr(buf_cstr(&s.came), "\r\n\r\nversion: STSv1\r\n"));
	assert_int_equal(s.host->request_count, 1);
	struct policy_request *q = &s.host->requests[0];
	assert_string_equal(buf_cstr(&q->line), "GET /.well-known/mta-sts.txt");
	assert_string_equal(buf_cstr(&q->server_name), "mta-sts.a.example");
	assert_int_equal(q->connection, 1);
	assert_true(span_eq(policy_request_field(q, SPAN_LIT("host"), 0), SPAN_LIT("mta-sts.a.example")));
	assert_null(policy_request_field(q, SPAN_LIT("Cookie"), 0).p);
	assert_true(was_noted(&s, "mta-sts.1 <- GET /.well-known/mta-sts.txt HTTP/1.1"));
	assert_true(was_noted(&s, "mta-sts.1 -> HTTP/1.1 200"));
	assert_true(was_noted(&s, "TLS: TLSv1.3, for mta-sts.a.example"));
	tear_down(&s);
}

static const struct status_row {
	const char *name;
	int status;
	const char *fields, *says, *awaits, *line;
} STATUS[] = {
	{ "not found", 404, "Content-Type: text/html\n", GET, "HTTP/1.1 404 ",
	  "GET /.well-known/mta-sts.txt" },
	{ "redirect", 302, "Location: https://b.example/x\n", GET, "Location: https://b.example/x\r\n",
	  "GET /.well-known/mta-sts.txt" },
	{ "a method that nobody knows", 200, "", "BREW /x HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 200 ",
	  "? /x" },
	{ "another path and method", 200, "", "HEAD /x HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 200 ",
	  "HEAD /x" },
};

static void it_answers_as_it_is_told(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(STATUS) / sizeof(STATUS[0]); i++) {
		const struct status_row *r = &STATUS[i];
		struct stage s = { .says = r->says, .awaits = r->awaits };
		set_up(&s);
		policy_host_says(
			s.host, &(struct policy_answer){ .status = r->status, .fields = span_of(r->fields) });
		run(&s);
		if (s.late || s.host->request_count != 1 ||
		    strcmp(buf_cstr(&s.host->requests[0].line), r->line) != 0)
			fail_msg("%s: %s", r->name, buf_cstr(&s.came));
		tear_down(&s);
	}
}

static void silence_is_kept(void **state)
{
	(void)state;
	struct stage s = { .says = GET, .wants = 1 };

	set_up(&s);
	policy_host_says(s.host, &(struct policy_answer){ .silence = true, .status = 200 });
	run(&s);
	assert_false(s.late);
	assert_int_equal(s.host->request_count, 1);
	s.wants = 0;
	timer_set_ms(s.end, QUIET_MS); /* bounds what would come */
	loop_run(s.loop);
	assert_int_equal(buf_bytes(&s.came), 0);
	tear_down(&s);
}

static void a_client_that_refuses_the_certificate_is_noted(void **state)
{
	(void)state;
	struct stage s = { .says = GET, .trusts_another = true };

	set_up(&s);
	policy_host_says(s.host, &(struct policy_answer){ .status = 200 });
	run(&s);
	assert_true(s.failed);
	/* What the client said last may still be on its way. */
	for (int i = 0; i < 20 && !was_noted(&s, "alert of the client"); i++) {
		timer_set_ms(s.end, QUIET_MS / 10);
		loop_run(s.loop);
	}
	assert_true(was_noted(&s, "alert of the client: "));
	assert_int_equal(s.host->request_count, 0);
	tear_down(&s);
}

static void who_asks_without_end_meets_nobody(void **state)
{
	(void)state;
	struct stage s = { .says = GET, .awaits = "\r\n\r\n", .again = true };

	set_up(&s);
	policy_host_says(s.host, &(struct policy_answer){ .status = 200 });
	run(&s);
	assert_false(s.late);
	assert_true(s.host->flooded);
	assert_int_equal(s.host->request_count, POLICY_REQUESTS_MAX);
	run(&s);
	assert_true(s.failed);
	assert_int_equal(s.secured, 1);
	tear_down(&s);
}

static void who_connects_without_end_meets_nobody(void **state)
{
	(void)state;
	struct stage s = { .dials = true };

	set_up(&s);
	run(&s);
	assert_false(s.late);
	assert_true(s.host->flooded);
	assert_true(s.failed);
	/* The last ones may have been in the queue of the listener. */
	assert_in_range(s.dialled, POLICY_CONNECTIONS_MAX + 1, POLICY_CONNECTIONS_MAX + 300);
	tear_down(&s);
}

/* A line with the size of a chunk that never ends: no more is read than the limit, and what the kernel holds. */
static void what_never_ends_is_not_read_on(void **state)
{
	(void)state;
	struct stage s = { .says = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
			   .zeros = true };

	set_up(&s);
	timer_set_ms(s.end, 5 * QUIET_MS);
	run(&s);
	assert_true(s.late);
	assert_false(s.failed);
	assert_in_range(s.said_bytes, POLICY_INPUT_BYTES_MAX, 16 * 1024 * 1024);
	tear_down(&s);
}

static void a_place_that_is_taken_is_an_error(void **state)
{
	(void)state;
	struct stage s = { 0 };
	struct err e = { 0 };

	set_up(&s);
	assert_null(policy_host_new(&(struct policy_options){ .loop = s.loop,
							      .tls = tls_client_new(NULL, &e),
							      .at = s.host->at,
							      .on_news = on_news,
							      .ctx = &s },
				    &e));
	assert_non_null(strstr(e.text, "listen at 127.0.0.1"));
	tear_down(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_policy_is_served_and_the_request_kept),
		cmocka_unit_test(it_answers_as_it_is_told),
		cmocka_unit_test(silence_is_kept),
		cmocka_unit_test(a_client_that_refuses_the_certificate_is_noted),
		cmocka_unit_test(who_asks_without_end_meets_nobody),
		cmocka_unit_test(who_connects_without_end_meets_nobody),
		cmocka_unit_test(what_never_ends_is_not_read_on),
		cmocka_unit_test(a_place_that_is_taken_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
