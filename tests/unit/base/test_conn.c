/*
 * conn: two ends on one loop talk over loopback, plain and with TLS.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/err.h>

#include <cmocka.h>

#include <errno.h>
#include <event2/event.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
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
		ERR_raise(ERR_LIB_EVP, ERR_R_INTERNAL_ERROR); /* somebody else's, no failure of ours */
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
	conn_free(e->conn); /* of a client that has gone */
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

/* Whoever sends a byte now and then keeps an idle time-out from running out, and not a deadline. */
static void a_deadline_comes_whatever_moves(void **state)
{
	(void)state;
	for (int with_deadline = 0; with_deadline < 2; with_deadline++) {
		struct pair p = { .server.echo = true };
		int64_t began_ms = clock_mono_ms();

		pair_open(&p);
		if (with_deadline)
			conn_set_deadline_ms(p.client.conn, 100);
		else
			conn_set_timeout_ms(p.client.conn, 100);
		while (!p.client.timed_out && clock_mono_ms() - began_ms < 400) {
			conn_write(p.client.conn, SPAN_LIT("x"));
			event_base_loop(loop_event_base(p.loop), EVLOOP_NONBLOCK);
		}
		assert_int_equal(p.client.timed_out, with_deadline);
		pair_close(&p);
	}
}

static void count_closed(void *ctx)
{
	++*(int *)ctx;
}

/* However it comes about, and not before: the count of connections hangs on it. */
static void closing_is_told_once_and_when_it_happens(void **state)
{
	(void)state;
	enum how { FREED, RESET, FINISHED, FINISHED_WITH_THE_LOOP, HOWS };

	for (int how = 0; how < HOWS; how++) {
		struct pair p = { 0 };
		int closed = 0;

		pair_open(&p);
		conn_free(p.client.conn);
		p.client.conn = conn_connect(&(struct conn_options){ .loop = p.loop,
								     .on_event = on_event,
								     .ctx = &p.client,
								     .on_closed = count_closed,
								     .closed_ctx = &closed },
					     listener_addr(p.listener), NULL);
		while (!p.client.connected || p.server.conn == NULL)
			event_base_loop(loop_event_base(p.loop), EVLOOP_ONCE);
		assert_int_equal(closed, 0);
		if (how == FREED)
			conn_free(p.client.conn);
		else if (how == RESET)
			conn_reset(p.client.conn);
		else
			conn_finish(p.client.conn);
		p.client.conn = NULL;
		assert_int_equal(closed, how == FREED || how == RESET);
		if (how == FINISHED) {
			loop_run(p.loop); /* until the server sees the end */
			conn_free(p.server.conn);
			p.server.conn = NULL;
			while (closed == 0)
				event_base_loop(loop_event_base(p.loop), EVLOOP_ONCE);
		}
		pair_close(&p);
		assert_int_equal(closed, 1);
	}
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

static void make_certs(struct certs *c, const char *ca_name, const char *only_below)
{
	static const char *const names[] = { "host.example", "127.0.0.1", NULL };
	static const char *const files[] = { "ca.pem", "ca.key", "host.pem", "host.key", "none" };
	struct err e;

	assert_true(span_copy(SPAN_LIT("/tmp/postrider-test-XXXXXX"), c->dir, sizeof(c->dir)));
	assert_non_null(mkdtemp(c->dir));
	for (int i = 0; i < 5; i++)
		assert_true(snprintf(c->path[i], sizeof(c->path[i]), "%s/%s", c->dir, files[i]) > 0);
	assert_int_equal(cert_make(&(struct cert_options){ .common_name = ca_name,
							   .only_below = only_below,
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
	make_certs(&c, "test CA", NULL);

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
	make_certs(&c, "test CA", NULL);
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

static X509 *read_cert(const char *path)
{
	BIO *in = BIO_new_file(path, "r");
	X509 *cert = PEM_read_bio_X509(in, NULL, NULL, NULL);

	BIO_free(in);
	assert_non_null(cert);
	return cert;
}

/* SHA-256 of a certificate's public key, or of the whole of it (RFC 6698 2.1.2). */
static void digest_of(const char *path, bool key, uint8_t ret_digest[TLS_PIN_BYTES])
{
	X509 *cert = read_cert(path);
	unsigned char *der = NULL;
	int n = key ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der) : i2d_X509(cert, &der);

	assert_true(n > 0);
	(void)SHA256(der, (size_t)n, ret_digest);
	OPENSSL_free(der);
	X509_free(cert);
}

enum record { NO_RECORD, EE_KEY, EE_CERT, TA_CERT, EE_WRONG, TA_WRONG, UNKNOWN_KIND };

static const struct check_row {
	const char *name;
	bool foreign; /* another CA has made the server's certificate */
	enum tls_check_kind kind;
	bool only_told;
	const char *host, *other;
	enum record record[2];
	int pins;          /* 1: the server's, 2: the CA's, 3: somebody's */
	const char *fault; /* must be in the text; NULL: none */
	bool constrained;  /* and may not vouch for the host's name */
} check_rows[] = {
	{ "nothing", true, TLS_CHECK_NOTHING, .host = "host.example" },
	{ "chain", false, TLS_CHECK_CHAIN, .host = "host.example" },
	{ "chain, an address", false, TLS_CHECK_CHAIN, .host = "127.0.0.1" },
	{ "foreign chain", true, TLS_CHECK_CHAIN, .host = "host.example",
	  .fault = "certificate \"host.example\" for host.example, issued by \"other CA\", valid until 20" },
	{ "wrong name", false, TLS_CHECK_CHAIN, .host = "other.example",
	  .fault = "hostname mismatch: the server of other.example showed certificate \"host.example\"" },
	{ "wrong address", false, TLS_CHECK_CHAIN, .host = "127.0.0.2", .fault = "IP address mismatch" },
	{ "a second name counts for DANE only", false, TLS_CHECK_CHAIN, .host = "other.example",
	  .other = "host.example", .fault = "hostname mismatch" },
	{ "foreign chain, only told", true, TLS_CHECK_CHAIN, true, .host = "host.example",
	  .fault = "issued by \"other CA\"" },
	{ "only told, and nothing to tell", false, TLS_CHECK_CHAIN, true, .host = "host.example" },
	{ "pin of the server", false, TLS_CHECK_CHAIN, .host = "host.example", .pins = 1 },
	{ "pin of the CA", false, TLS_CHECK_CHAIN, .host = "host.example", .pins = 2 },
	{ "pin of another", false, TLS_CHECK_CHAIN, .host = "host.example", .pins = 3, .fault = "pinned" },
	{ "pin of another, only told", false, TLS_CHECK_CHAIN, true, .host = "host.example", .pins = 3,
	  .fault = "pinned" },
	{ "key of the server, whatever its name and CA", true, TLS_CHECK_DANE, .host = "other.example",
	  .record = { EE_KEY } },
	{ "certificate of the server", true, TLS_CHECK_DANE, .host = "other.example", .record = { EE_CERT } },
	{ "trusted CA, but another key in the record", false, TLS_CHECK_DANE, .host = "host.example",
	  .record = { EE_WRONG }, .fault = "no matching DANE TLSA records" },
	{ "one of two records", false, TLS_CHECK_DANE, .host = "host.example",
	  .record = { EE_WRONG, EE_KEY } },
	{ "issuer", true, TLS_CHECK_DANE, .host = "host.example", .record = { TA_CERT } },
	{ "issuer, wrong name", true, TLS_CHECK_DANE, .host = "other.example", .record = { TA_CERT },
	  .fault = "hostname mismatch" },
	{ "issuer, name by the domain", true, TLS_CHECK_DANE, .host = "other.example",
	  .other = "host.example", .record = { TA_CERT } },
	{ "issuer that may not", true, TLS_CHECK_DANE, .host = "host.example", .record = { TA_CERT },
	  .constrained = true, .fault = "permitted subtree violation" },
	{ "issuer that may not, and the key itself", true, TLS_CHECK_DANE, .host = "host.example",
	  .record = { EE_KEY }, .constrained = true },
	{ "another issuer", false, TLS_CHECK_DANE, .host = "host.example", .record = { TA_WRONG },
	  .fault = "certificate" },
	{ "records of no known kind ask for nothing", true, TLS_CHECK_DANE, .host = "other.example",
	  .record = { UNKNOWN_KIND } },
	{ "DANE and a pin", false, TLS_CHECK_DANE, .host = "host.example", .record = { EE_KEY }, .pins = 1 },
	{ "DANE and another's pin", false, TLS_CHECK_DANE, .host = "host.example", .record = { EE_KEY },
	  .pins = 3, .fault = "pinned" },
};

static void set_record(struct tls_record *r, enum record kind, const struct certs *c,
		       uint8_t digest[TLS_PIN_BYTES])
{
	*r = (struct tls_record){ .usage = kind == TA_CERT || kind == TA_WRONG ? 2 : 3,
				  .selector = kind == EE_KEY || kind == EE_WRONG,
				  .matching = kind == UNKNOWN_KIND ? 250 : 1,
				  .data = { (const char *)digest, TLS_PIN_BYTES } };
	digest_of(kind == TA_CERT ? c->path[0] : c->path[2], r->selector == 1, digest);
	if (kind == EE_WRONG || kind == TA_WRONG)
		digest[0] ^= 1;
	assert_int_equal(tls_record_is_usable(r), kind != UNKNOWN_KIND);
}

static void try_check(const struct check_row *row, const struct certs *ours, const struct certs *of_server)
{
	struct err e;
	struct tls_record records[2];
	uint8_t digests[2][TLS_PIN_BYTES], pin[TLS_PIN_BYTES];
	struct tls_check check = { .kind = row->kind,
				   .only_told = row->only_told,
				   .name = row->host,
				   .other_names = { NULL, row->other },
				   .records = records,
				   .pins = pin,
				   .pin_count = row->pins != 0 };

	for (; check.record_count < 2 && row->record[check.record_count] != NO_RECORD; check.record_count++)
		set_record(&records[check.record_count], row->record[check.record_count], of_server,
			   digests[check.record_count]);
	digest_of(of_server->path[row->pins == 2 ? 0 : 2], true, pin);
	pin[0] ^= row->pins == 3;
	struct pair p = { .server.echo = true, .server.tls_at_once = true };
	p.server.tls = tls_server_new(of_server->path[2], of_server->path[3], &e);
	p.client.tls = tls_client_new_trusting(ours->path[0], &e);
	p.client.send_on_secured = SPAN_LIT("x");
	p.client.want_bytes = 1;
	pair_open(&p);
	(void)conn_start_tls_checked(p.client.conn, p.client.tls, &check);
	loop_run(p.loop);
	bool passes = row->fault == NULL || row->only_told;
	/* In TLS 1.3 the server is done before the client has judged. */
	if (p.client.secured != passes)
		fail_msg("%s: %s", row->name, passes ? conn_error(p.client.conn)->text : "it passed");
	const char *fault = passes ? conn_tls_fault(p.client.conn) : conn_error(p.client.conn)->text;
	if ((fault == NULL) != (row->fault == NULL) || (fault != NULL && strstr(fault, row->fault) == NULL))
		fail_msg("%s: %s", row->name, fault != NULL ? fault : "no fault");
	pair_close(&p);
	tls_free(p.server.tls);
	tls_free(p.client.tls);
}

static void a_check_says_which_certificate_and_what_is_wrong_with_it(void **state)
{
	(void)state;
	struct certs ours, foreign, constrained;
	struct err e;

	make_certs(&ours, "test CA", NULL);
	make_certs(&foreign, "other CA", NULL);
	make_certs(&constrained, "other CA", "wrong.example");
	for (size_t i = 0; i < sizeof(check_rows) / sizeof(check_rows[0]); i++) {
		const struct check_row *r = &check_rows[i];
		const struct certs *of_server = r->foreign ? &foreign : &ours;
		try_check(r, &ours, r->constrained ? &constrained : of_server);
	}
	(void)dir_remove(ours.dir, &e);
	(void)dir_remove(foreign.dir, &e);
	(void)dir_remove(constrained.dir, &e);
}

/* RFC 6698 4.1, RFC 7672 3.1.3. */
static void a_record_is_usable_when_everything_in_it_is_known(void **state)
{
	(void)state;
	static const struct {
		uint8_t usage, selector, matching;
		size_t bytes;
		bool usable;
	} rows[] = {
		{ 3, 1, 1, 32, true },  { 2, 0, 2, 64, true },  { 0, 0, 1, 32, false },
		{ 1, 1, 1, 32, false }, { 4, 1, 1, 32, false }, { 3, 2, 1, 32, false },
		{ 3, 1, 3, 32, false }, { 3, 1, 1, 31, false }, { 3, 1, 1, 64, false },
		{ 3, 1, 1, 0, false },  { 3, 0, 0, 32, false },
	};
	static const char data[64] = "x";
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct tls_record r = {
			rows[i].usage, rows[i].selector, rows[i].matching, { data, rows[i].bytes }
		};
		if (tls_record_is_usable(&r) != rows[i].usable)
			fail_msg("%u %u %u, %zu bytes", r.usage, r.selector, r.matching, r.data.n);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_come_back_unchanged),
		cmocka_unit_test(a_callback_may_use_the_scratch_while_it_has_input),
		cmocka_unit_test(refused_connection_fails_with_the_address_in_the_text),
		cmocka_unit_test(idle_connection_times_out),
		cmocka_unit_test(a_deadline_comes_whatever_moves),
		cmocka_unit_test(closing_is_told_once_and_when_it_happens),
		cmocka_unit_test(finish_sends_everything_first),
		cmocka_unit_test(tls_carries_bytes_and_checks_names),
		cmocka_unit_test(starttls_drops_what_came_before_the_handshake),
		cmocka_unit_test(a_check_says_which_certificate_and_what_is_wrong_with_it),
		cmocka_unit_test(a_record_is_usable_when_everything_in_it_is_known),
	};
	return cmocka_run_group_tests_name("conn", tests, NULL, NULL);
}
