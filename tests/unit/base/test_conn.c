/*
 * conn: two ends on one loop talk over loopback, plain and with TLS.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <event2/event.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/conn.h"
#include "base/file.h"
#include "base/listener.h"

struct end {
	struct loop *loop;
	struct conn *conn;
	struct buf got;
	size_t want_bytes;
	struct span send_on_secured;
	bool connected, secured, ended, failed, timed_out;
	struct tls_ctx *tls;
	bool tls_at_once;
	bool echo;
	bool hold;      /* look, do not consume */
	bool scribbles; /* uses the loop's scratch before it looks */
};

static void on_event(void *ctx, enum conn_event event)
{
	struct end *e = ctx;

	switch (event) {
	case CONN_CONNECTED:
		e->connected = true;
		break;
	case CONN_SECURED:
		e->secured = true;
		conn_write(e->conn, e->send_on_secured);
		break;
	case CONN_INPUT: {
		struct span in = conn_input(e->conn);
		if (e->scribbles)
			memset(loop_scratch(e->loop), 'x', LOOP_SCRATCH_BYTES);
		if (e->echo)
			conn_write(e->conn, in);
		buf_add(&e->got, in);
		if (!e->hold)
			conn_consume(e->conn, in.n);
		if (e->want_bytes > 0 && buf_bytes(&e->got) >= e->want_bytes)
			loop_stop(e->loop);
		break;
	}
	case CONN_DRAINED:
		break;
	case CONN_EOF:
		e->ended = true;
		if (e->echo) {
			conn_finish(e->conn);
			e->conn = NULL;
		} else {
			loop_stop(e->loop);
		}
		break;
	case CONN_TIMEOUT:
		e->timed_out = true;
		loop_stop(e->loop);
		break;
	case CONN_FAILED:
		e->failed = true;
		loop_stop(e->loop);
		break;
	}
}

static void on_accept(void *ctx, int fd, const struct addr *peer)
{
	struct end *e = ctx;
	(void)peer;
	e->conn = conn_take(&(struct conn_options){ .loop = e->loop, .on_event = on_event, .ctx = e }, fd);
	if (e->tls_at_once)
		(void)conn_start_tls(e->conn, e->tls, CONN_TLS_SERVER, NULL);
}

struct pair {
	struct loop *loop;
	struct listener *listener;
	struct end client, server;
};

static void pair_open(struct pair *p)
{
	struct addr any;
	struct err e;

	p->loop = loop_new();
	p->client.loop = p->server.loop = p->loop;
	assert_true(addr_parse("127.0.0.1", 0, &any));
	p->listener = listener_new(p->loop, &any, on_accept, &p->server, &e);
	assert_non_null(p->listener);
	p->client.conn = conn_connect(
		&(struct conn_options){ .loop = p->loop, .on_event = on_event, .ctx = &p->client },
		listener_addr(p->listener), NULL);
}

static void pair_close(struct pair *p)
{
	conn_free(p->client.conn);
	conn_free(p->server.conn);
	listener_free(p->listener);
	loop_free(p->loop);
	buf_free(&p->client.got);
	buf_free(&p->server.got);
}

static void bytes_come_back_unchanged(void **state)
{
	(void)state;
	struct pair p = { .server.echo = true };
	struct buf big = { 0 };

	for (unsigned i = 0; i < 300000; i++)
		buf_add_u32(&big, i * 2654435761u);
	pair_open(&p);
	p.client.want_bytes = buf_bytes(&big);
	conn_write(p.client.conn, buf_span(&big));
	loop_run(p.loop);
	assert_true(p.client.connected);
	assert_true(span_eq(buf_span(&p.client.got), buf_span(&big)));
	pair_close(&p);
	buf_free(&big);
}

static void a_callback_may_use_the_scratch_while_it_has_input(void **state)
{
	(void)state;
	struct pair p = { .server.scribbles = true };
	pair_open(&p);
	p.server.want_bytes = 5;
	conn_write(p.client.conn, SPAN_LIT("hello"));
	loop_run(p.loop);
	assert_true(span_eq(buf_span(&p.server.got), SPAN_LIT("hello")));
	pair_close(&p);
}

static void refused_connection_fails_with_the_address_in_the_text(void **state)
{
	(void)state;
	struct pair p = { 0 };
	pair_open(&p);
	struct addr closed = *listener_addr(p.listener);
	listener_free(p.listener);
	p.listener = NULL;
	conn_free(p.client.conn);
	p.client.conn =
		conn_connect(&(struct conn_options){ .loop = p.loop, .on_event = on_event, .ctx = &p.client },
			     &closed, NULL);
	loop_run(p.loop);
	assert_true(p.client.failed);
	assert_int_equal(conn_error(p.client.conn)->code, -ECONNREFUSED);
	assert_non_null(strstr(conn_error(p.client.conn)->text, "127.0.0.1:"));
	pair_close(&p);
}

static void idle_connection_times_out(void **state)
{
	(void)state;
	struct pair p = { 0 };
	pair_open(&p);
	conn_set_timeout_ms(p.client.conn, 20);
	loop_run(p.loop);
	assert_true(p.client.timed_out);
	pair_close(&p);
}

static void finish_sends_everything_first(void **state)
{
	(void)state;
	struct pair p = { 0 };
	struct buf big = { 0 };

	memset(buf_reserve(&big, 3000000), 'x', 3000000);
	buf_grow(&big, 3000000);
	pair_open(&p);
	conn_write(p.client.conn, buf_span(&big));
	p.server.want_bytes = buf_bytes(&big);
	while (!p.client.connected)
		event_base_loop(loop_event_base(p.loop), EVLOOP_ONCE);
	conn_finish(p.client.conn);
	p.client.conn = NULL;
	loop_run(p.loop);
	assert_true(span_eq(buf_span(&p.server.got), buf_span(&big)));
	pair_close(&p);
	buf_free(&big);
}

struct certs {
	char dir[32];
	char path[5][64];
};

static void make_certs(struct certs *c)
{
	static const char *const names[] = { "host.example", "127.0.0.1", NULL };
	static const char *const files[] = { "ca.pem", "ca.key", "host.pem", "host.key", "none" };
	struct err e;

	assert_true(span_copy(SPAN_LIT("/tmp/postrider-test-XXXXXX"), c->dir, sizeof(c->dir)));
	assert_non_null(mkdtemp(c->dir));
	for (int i = 0; i < 5; i++)
		assert_true(snprintf(c->path[i], sizeof(c->path[i]), "%s/%s", c->dir, files[i]) > 0);
	assert_int_equal(cert_make(&(struct cert_options){ .common_name = "test CA",
							   .ret_cert_path = c->path[0],
							   .ret_key_path = c->path[1] },
				   &e),
			 0);
	assert_int_equal(cert_make(&(struct cert_options){ .common_name = "host.example",
							   .names = names,
							   .issuer_cert_path = c->path[0],
							   .issuer_key_path = c->path[1],
							   .ret_cert_path = c->path[2],
							   .ret_key_path = c->path[3] },
				   &e),
			 0);
}

static void tls_carries_bytes_and_checks_names(void **state)
{
	(void)state;
	struct certs c;
	struct err e;
	make_certs(&c);

	for (int wrong_name = 0; wrong_name < 2; wrong_name++) {
		struct pair p = { .server.echo = true, .server.tls_at_once = true };
		p.server.tls = tls_server_new(c.path[2], c.path[3], &e);
		p.client.tls = tls_client_new(c.path[0], &e);
		assert_non_null(p.server.tls);
		assert_non_null(p.client.tls);
		struct buf big = { 0 };
		memset(buf_reserve(&big, 1000000), 'y', 1000000);
		buf_grow(&big, 1000000);
		p.client.send_on_secured = buf_span(&big);
		p.client.want_bytes = 1000000;
		pair_open(&p);
		(void)conn_start_tls(p.client.conn, p.client.tls, CONN_TLS_CLIENT,
				     wrong_name ? "other.example" : "host.example");
		loop_run(p.loop);
		if (wrong_name) {
			assert_true(p.client.failed || p.server.failed);
			assert_false(p.client.secured);
		} else {
			assert_true(p.client.secured);
			assert_true(conn_is_tls(p.client.conn));
			assert_string_equal(conn_tls_version(p.client.conn), "TLSv1.3");
			assert_true(span_eq(buf_span(&p.client.got), buf_span(&big)));
		}
		pair_close(&p);
		tls_free(p.server.tls);
		tls_free(p.client.tls);
		buf_free(&big);
	}
	(void)dir_remove(c.dir, &e);
}

static void starttls_drops_what_came_before_the_handshake(void **state)
{
	(void)state;
	struct certs c;
	struct err e;
	make_certs(&c);
	struct pair p = { .server.hold = true, .server.want_bytes = 4 };
	p.server.tls = tls_server_new(c.path[2], c.path[3], &e);
	pair_open(&p);
	conn_write(p.client.conn, SPAN_LIT("RSET"));
	loop_run(p.loop);
	assert_int_equal(buf_bytes(&p.server.got), 4);
	assert_int_equal(conn_start_tls(p.server.conn, p.server.tls, CONN_TLS_SERVER, NULL), 4);
	assert_int_equal(conn_input(p.server.conn).n, 0);
	assert_false(conn_is_tls(p.server.conn));
	pair_close(&p);
	tls_free(p.server.tls);
	(void)dir_remove(c.dir, &e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_come_back_unchanged),
		cmocka_unit_test(a_callback_may_use_the_scratch_while_it_has_input),
		cmocka_unit_test(refused_connection_fails_with_the_address_in_the_text),
		cmocka_unit_test(idle_connection_times_out),
		cmocka_unit_test(finish_sends_everything_first),
		cmocka_unit_test(tls_carries_bytes_and_checks_names),
		cmocka_unit_test(starttls_drops_what_came_before_the_handshake),
	};
	return cmocka_run_group_tests_name("conn", tests, NULL, NULL);
}
