/*
 * pop3_session: real sessions on socket pairs, with a store, a helper pool and
 * keys of their own; the client is on the same loop.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <gsasl.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>

#include <fnmatch.h>
#include <malloc.h>
#include <signal.h>
#include <sys/socket.h>

#include "base/conn.h"
#include "base/log.h"
#include "reference-server/drive/auth.h"
#include "reference-server/drive/gate.h"
#include "reference-server/drive/load.h"
#include "reference-server/drive/pop3_session.h"
#include "reference-server/store/account.h"
#include "reference-server/store/mailbox.h"
#include "tests/unit/server/store_fixture.h"

static const char user[] = "sales@fredsco.example";

struct client {
	struct world *world;
	struct conn *conn;
	struct buf got;
	bool ended, failed, secured;
};

struct world {
	struct fixture store;
	struct server server;
	struct timer *patience;
	struct tls_ctx *tls;
	uint32_t account_id;
};

static void on_impatient(void *ctx)
{
	(void)ctx;
	fail_msg("nothing happens any more");
}

static void build(struct world *w)
{
	struct err e;
	char cert[128], key[128];
	const char *names[] = { "mx.fredsco.example", NULL };
	struct server *s = &w->server;

	log_set_level(LOG_ERROR);
	(void)signal(SIGPIPE, SIG_IGN); /* as the server does: TLS may say its last to nobody */
	*w = (struct world){ 0 };
	(void)snprintf(w->store.dir, sizeof(w->store.dir), "/tmp/postrider-pop3-XXXXXX");
	assert_non_null(mkdtemp(w->store.dir));
	s->loop = loop_new();
	s->gate = gate_new();
	s->load = load_new(s);
	w->store.options.loop = s->loop;
	fixture_open(&w->store);
	s->store = w->store.store;
	s->config = config_new();
	assert_int_equal(config_set_domain(s->config, "fredsco.example", &e), 0);
	config_complete(s->config);
	s->config->auth_plain_without_tls = true;
	s->pool = pool_new(s->loop, 2);
	s->auth = auth_new(s);
	(void)snprintf(cert, sizeof(cert), "%s/cert", w->store.dir);
	(void)snprintf(key, sizeof(key), "%s/key", w->store.dir);
	assert_int_equal(cert_make(&(struct cert_options){ .common_name = "mx.fredsco.example",
							   .names = names,
							   .ret_cert_path = cert,
							   .ret_key_path = key },
				   &e),
			 0);
	s->tls_in = tls_server_new(cert, key, &e);
	w->tls = tls_client_new(NULL, &e);
	w->patience = timer_new(s->loop, on_impatient, w);
	timer_set_ms(w->patience, 60000);

	struct account_keys keys;
	struct outcome o = { 0 };
	struct account account;
	account_derive(SPAN_LIT("secret"), ACCOUNT_ITERATIONS_MIN, &keys);
	account_add(s->store, span_of(user), &keys, note_outcome, &o);
	store_drain(s->store);
	assert_int_equal(account_find(s->store, span_of(user), &account), 0);
	w->account_id = account.id;
}

static void tear_down(struct world *w)
{
	struct err e;
	struct server *s = &w->server;

	pop3_session_abort_all();
	assert_int_equal(pop3_session_count(), 0);
	pool_free(s->pool);
	store_close(s->store);
	auth_free(s->auth);
	config_free(s->config);
	tls_free(s->tls_in);
	tls_free(w->tls);
	timer_free(w->patience);
	assert_int_equal(load_held_bytes(s->load), 0);
	load_free(s->load);
	loop_free(s->loop);
	assert_int_equal(gate_count(s->gate), 0);
	gate_free(s->gate);
	assert_int_equal(dir_remove(w->store.dir, &e), 0);
}

static void deliver(struct world *w, struct span body)
{
	const struct delivery to = { .account_id = w->account_id,
				     .arrival_wall_ms = 1700000000000,
				     .prefix = SPAN_LIT("X: y\r\n") };
	struct envelope *e = make_envelope(w->server.store, body.n);
	const struct queue_change c = {
		.row = QUEUE_PASS, .message = e, .body = body, .deliveries = &to, .delivery_count = 1
	};
	assert_int_equal(submit(&w->store, &c), 0);
	envelope_free(e);
}

static uint32_t mailbox_count(struct world *w)
{
	struct mailbox_list list;
	assert_int_equal(mailbox_list(w->server.store, w->account_id, &list), 0);
	uint32_t count = list.entry_count;
	mailbox_list_free(&list);
	return count;
}

/* ---- the client ---- */

static void on_event(void *ctx, enum conn_event event)
{
	struct client *c = ctx;

	switch (event) {
	case CONN_INPUT:
		buf_add(&c->got, conn_input(c->conn));
		conn_consume(c->conn, conn_input(c->conn).n);
		break;
	case CONN_EOF:
		c->ended = true;
		break;
	case CONN_FAILED:
		c->failed = true;
		break;
	case CONN_SECURED:
		c->secured = true;
		break;
	case CONN_CONNECTED:
	case CONN_DRAINED:
	case CONN_TIMEOUT:
		return;
	}
	loop_stop(c->world->server.loop);
}

static void dial(struct world *w, struct client *c, enum service service)
{
	int pair[2];
	struct addr peer;

	*c = (struct client){ .world = w };
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	assert_true(addr_parse("127.0.0.1", 1, &peer));
	pop3_session_start(&w->server, service, pair[0], &peer);
	c->conn = conn_take(&(struct conn_options){ .loop = w->server.loop, .on_event = on_event, .ctx = c },
			    pair[1]);
}

static void hang_up(struct client *c)
{
	conn_free(c->conn);
	c->conn = NULL;
	buf_free(&c->got);
}

static void say(struct client *c, const char *text)
{
	conn_write(c->conn, span_of(text));
}

static bool take_line(struct client *c, char *line, size_t line_bytes)
{
	struct span all = buf_span(&c->got);
	size_t lf = span_find(all, '\n');

	if (lf == all.n)
		return false;
	assert_true(lf > 0 && all.p[lf - 1] == '\r');
	if (!span_copy(span_sub(all, 0, lf - 1), line, line_bytes))
		fail_msg("a line of %zu bytes", lf);
	buf_consume(&c->got, lf + 1);
	return true;
}

/* Patterns, one a line; each is matched with the next line that comes. */
static void expect(struct client *c, const char *patterns)
{
	struct span rest = span_of(patterns), one;
	char line[2048], pattern[256];

	while (rest.n > 0) {
		assert_true(span_take_until(&rest, '\n', &one));
		assert_true(span_copy(one, pattern, sizeof(pattern)));
		while (!take_line(c, line, sizeof(line))) {
			if (c->ended || c->failed)
				fail_msg("the end came instead of \"%s\": %s", pattern,
					 c->failed ? conn_error(c->conn)->text : "closed");
			loop_run(c->world->server.loop);
		}
		if (fnmatch(pattern, line, 0) != 0)
			fail_msg("wanted \"%s\", got \"%s\"", pattern, line);
	}
}

static void expect_end(struct client *c)
{
	while (!c->ended && !c->failed)
		loop_run(c->world->server.loop);
	if (buf_bytes(&c->got) > 0)
		fail_msg("left over: \"%.*s\"", SPAN_FMT(buf_span(&c->got)));
	hang_up(c);
}

static void on_stop(void *ctx)
{
	loop_stop(ctx);
}

static void wait_ms(struct world *w, int64_t ms)
{
	struct timer *t = timer_new(w->server.loop, on_stop, w->server.loop);
	int64_t until_ms = clock_mono_ms() + ms;

	for (timer_set_ms(t, ms); clock_mono_ms() < until_ms;)
		loop_run(w->server.loop);
	timer_free(t);
}

static void wait_for_no_session(struct world *w)
{
	while (pop3_session_count() > 0)
		wait_ms(w, 1);
}

static void log_in(struct client *c)
{
	say(c, "USER sales\r\nPASS secret\r\n");
	expect(c, "+OK*ready\n+OK*\n+OK*\n");
}

/* ---- tests ---- */

static void pipelined_commands_are_not_disturbed_by_content(void **state)
{
	struct world w;
	struct client c;
	(void)state;

	build(&w);
	/* If content could get into what is still to be read, these would be commands. */
	struct buf body = { 0 };
	for (int i = 0; i < 1000; i++)
		buf_add(&body, SPAN_LIT("DELE 1\r\n"));
	deliver(&w, buf_span(&body));
	dial(&w, &c, SERVICE_POP3);
	log_in(&c);
	say(&c, "RETR 1\r\nSTAT\r\nLIST 1\r\nNOOP\r\nUIDL 1\r\nTOP 1 0\r\nQUIT\r\n");
	expect(&c, "+OK 8006 octets\nX: y\n");
	for (int i = 0; i < 1000; i++)
		expect(&c, "DELE 1\n");
	expect(&c, ".\n+OK 1 8006\n+OK 1 8006\n+OK\n+OK 1 *-*\n+OK*\n");
	expect(&c, "X: y\n");
	for (int i = 0; i < 1000; i++)
		expect(&c, "DELE 1\n"); /* no blank line: all of it is header */
	expect(&c, ".\n+OK*\n");
	expect_end(&c);
	assert_int_equal(mailbox_count(&w), 1);
	buf_free(&body);
	tear_down(&w);
}

static void messages_of_every_size_come_out_exactly(void **state)
{
	static const size_t line_counts[] = { 0, 1, 100, 8191, 8192, 8193, 40000 };
	enum { COUNT = sizeof(line_counts) / sizeof(line_counts[0]) };
	struct world w;
	struct client c;
	char text[64];
	(void)state;

	build(&w);
	for (size_t i = 0; i < COUNT; i++) {
		struct buf body = { 0 };
		for (size_t k = 0; k < line_counts[i]; k++)
			buf_addf(&body, ".%05zu\r\n", k);
		deliver(&w, buf_span(&body));
		buf_free(&body);
	}
	dial(&w, &c, SERVICE_POP3);
	log_in(&c);
	for (size_t i = 0; i < COUNT; i++) {
		(void)snprintf(text, sizeof(text), "RETR %zu\r\n", i + 1);
		say(&c, text);
		(void)snprintf(text, sizeof(text), "+OK %zu octets\nX: y\n", 6 + 8 * line_counts[i]);
		expect(&c, text);
		for (size_t k = 0; k < line_counts[i]; k++) {
			(void)snprintf(text, sizeof(text), "..%05zu\n", k);
			expect(&c, text);
		}
		expect(&c, ".\n");
	}
	say(&c, "QUIT\r\n");
	expect(&c, "+OK*\n");
	expect_end(&c);
	tear_down(&w);
}

/* Enough small messages that they are read ahead in several runs, and large ones among them. */
static void many_messages_in_order_and_not_in_order_are_the_right_ones(void **state)
{
	enum { COUNT = 150 };
	struct world w;
	struct client c;
	char text[64];
	(void)state;

	build(&w);
	for (unsigned i = 1; i <= COUNT; i++) {
		struct buf body = { 0 };
		buf_addf(&body, "N: %u\r\n\r\n", i);
		for (unsigned k = 0; k < (i % 40 == 0 ? 20000u : i % 7 * 100); k++)
			buf_add(&body, SPAN_LIT(".text\r\n"));
		deliver(&w, buf_span(&body));
		buf_free(&body);
	}
	dial(&w, &c, SERVICE_POP3);
	log_in(&c);
	for (unsigned turn = 0; turn < 3; turn++)
		for (unsigned k = 1; k <= COUNT; k++) {
			unsigned i = turn == 0 ? k : turn == 1 ? COUNT + 1 - k : 1 + k * 37 % COUNT;
			(void)snprintf(text, sizeof(text),
				       k % 2 != 0 ? "TOP %u 0\r\nNOOP\r\n" : "TOP %u 1\r\n", i);
			say(&c, text);
			if (k % 2 == 0)
				say(&c, "NOOP\r\n");
			(void)snprintf(text, sizeof(text), "+OK\nX: y\nN: %u\n\n", i);
			expect(&c, text);
			if (k % 2 == 0 && i % 40 != 0 && i % 7 == 0)
				expect(&c, ".\n+OK\n");
			else
				expect(&c, k % 2 == 0 ? "..text\n.\n+OK\n" : ".\n+OK\n");
		}
	say(&c, "QUIT\r\n");
	expect(&c, "+OK*\n");
	expect_end(&c);
	tear_down(&w);
}

/* RFC 6856 2.1: the header may be longer than what is read at once. */
static void a_header_with_utf8_needs_a_session_with_utf8(void **state)
{
	static const unsigned lines[] = { 1, 20000 };
	struct world w;
	struct client c;
	char pattern[64];
	(void)state;

	build(&w);
	for (size_t i = 0; i < 4; i++) {
		struct buf body = { 0 };
		for (unsigned k = 0; k < lines[i / 2]; k++)
			buf_add(&body, SPAN_LIT("H: eader\r\n"));
		buf_addf(&body, "S: %s\r\n\r\n\xc3\xa9\r\n", i % 2 == 0 ? "\xc3\xa9" : "e");
		deliver(&w, buf_span(&body));
		buf_free(&body);
	}
	dial(&w, &c, SERVICE_POP3);
	log_in(&c);
	say(&c, "RETR 1\r\nTOP 1 0\r\nRETR 3\r\nRETR 2\r\nRETR 4\r\nQUIT\r\n");
	expect(&c, "-ERR ?UTF8] *\n-ERR ?UTF8] *\n-ERR ?UTF8] *\n");
	for (size_t i = 0; i < 2; i++) {
		expect(&c, "+OK*\nX: y\n");
		for (unsigned k = 0; k < lines[i]; k++)
			expect(&c, "H: eader\n");
		expect(&c, "S: e\n\n\xc3\xa9\n.\n");
	}
	expect(&c, "+OK*\n");
	expect_end(&c);

	wait_for_no_session(&w);
	dial(&w, &c, SERVICE_POP3);
	say(&c, "UTF8\r\nUSER sales\r\nPASS secret\r\nRETR 3\r\n");
	(void)snprintf(pattern, sizeof(pattern), "+OK %u octets\nX: y\n", 6 + 10 * lines[1] + 7 + 2 + 4);
	expect(&c, "+OK*\n+OK*\n+OK*\n+OK*\n");
	expect(&c, pattern);
	for (unsigned k = 0; k < lines[1]; k++)
		expect(&c, "H: eader\n");
	expect(&c, "S: \xc3\xa9\n\n\xc3\xa9\n.\n");
	hang_up(&c);
	tear_down(&w);
}

static void a_login_too_soon_after_the_last_is_refused(void **state)
{
	struct world w;
	struct client c;
	(void)state;

	build(&w);
	w.server.config->pop3_login_delay_ms = 1000;
	dial(&w, &c, SERVICE_POP3);
	log_in(&c);
	say(&c, "QUIT\r\n");
	expect(&c, "+OK*\n");
	expect_end(&c);
	wait_for_no_session(&w);
	dial(&w, &c, SERVICE_POP3);
	say(&c, "CAPA\r\n");
	expect(&c, "+OK*ready\n+OK\nTOP\nUIDL\n*\n*\n*\n*\n*\nEXPIRE NEVER\nLOGIN-DELAY 1\n*\n*\n*\n*\n.\n");
	say(&c, "USER sales\r\nPASS secret\r\n");
	expect(&c, "+OK*\n-ERR ?LOGIN-DELAY] *\n");
	wait_ms(&w, 1000);
	say(&c, "USER sales\r\nPASS secret\r\n");
	expect(&c, "+OK*\n+OK 0 messages*\n");
	hang_up(&c);
	wait_for_no_session(&w);
	tear_down(&w);
}

static void messages_past_their_days_are_gone_when_the_mailbox_is_opened(void **state)
{
	struct world w;
	struct client c;
	int64_t age_days = (clock_wall_ms() - 1700000000000) / (24 * 3600 * 1000);
	(void)state;

	build(&w);
	deliver(&w, SPAN_LIT("\r\nold\r\n"));
	deliver(&w, SPAN_LIT("\r\nold\r\n"));
	w.server.config->pop3_expire_days = (uint32_t)age_days + 1;
	dial(&w, &c, SERVICE_POP3);
	say(&c, "USER sales\r\nPASS secret\r\nQUIT\r\n");
	expect(&c, "+OK*\n+OK*\n+OK 2 messages (26 octets)\n+OK*\n");
	expect_end(&c);
	wait_for_no_session(&w);
	w.server.config->pop3_expire_days = (uint32_t)age_days - 1;
	dial(&w, &c, SERVICE_POP3);
	say(&c, "USER sales\r\nPASS secret\r\nSTAT\r\nLIST\r\nQUIT\r\n");
	expect(&c, "+OK*\n+OK*\n+OK 0 messages (0 octets)\n+OK 0 0\n+OK*\n.\n+OK*\n");
	expect_end(&c);
	store_drain(w.server.store);
	assert_int_equal(mailbox_count(&w), 0);
	tear_down(&w);
}

/* ---- SCRAM inside TLS, with GNU SASL as the client ---- */

struct scram_case {
	const char *name;
	const char *mechanism;
	enum conn_binding kind;
	bool has_binding, spoil; /* what the client knows of the connection */
	const char *answer;      /* to its proof */
};

static void set_binding(Gsasl_session *g, const struct client *c, const struct scram_case *row)
{
	uint8_t bytes[CONN_BINDING_BYTES_MAX];
	char text[4 * CONN_BINDING_BYTES_MAX];
	size_t n = conn_tls_binding(c->conn, row->kind, bytes);

	assert_true(n >= 12); /* RFC 5929 and RFC 9266 */
	bytes[0] ^= row->spoil;
	(void)EVP_EncodeBlock((unsigned char *)text, bytes, (int)n);
	assert_int_equal(gsasl_property_set(g,
					    row->kind == CONN_BINDING_UNIQUE ? GSASL_CB_TLS_UNIQUE
									     : GSASL_CB_TLS_EXPORTER,
					    text),
			 GSASL_OK);
}

static void scram(struct client *c, Gsasl *context, const struct scram_case *row)
{
	Gsasl_session *g;
	struct buf line = { 0 };
	char got[1024], *out = NULL;

	assert_int_equal(gsasl_client_start(context, row->mechanism, &g), GSASL_OK);
	assert_int_equal(gsasl_property_set(g, GSASL_AUTHID, user), GSASL_OK);
	assert_int_equal(gsasl_property_set(g, GSASL_PASSWORD, "secret"), GSASL_OK);
	if (row->has_binding)
		set_binding(g, c, row);
	assert_int_equal(gsasl_step64(g, "", &out), GSASL_NEEDS_MORE);
	buf_addf(&line, "AUTH %s %s\r\n", row->mechanism, out);
	for (unsigned step = 0; step < 2; step++) {
		say(c, buf_cstr(&line));
		while (!take_line(c, got, sizeof(got)))
			loop_run(c->world->server.loop);
		if (strncmp(got, "+ ", 2) != 0)
			break;
		gsasl_free(out);
		out = NULL;
		int rc = gsasl_step64(g, got + 2, &out);
		assert_true(rc == GSASL_OK || rc == GSASL_NEEDS_MORE); /* the server has proved itself */
		buf_reset(&line);
		buf_addf(&line, "%s\r\n", out);
	}
	if (strncmp(got, "+ ", 2) == 0) {
		say(c, "\r\n");
		expect(c, "+OK*\n");
		(void)snprintf(got, sizeof(got), "+OK");
	}
	if (fnmatch(row->answer, got, 0) != 0)
		fail_msg("%s: wanted \"%s\", got \"%s\"", row->name, row->answer, got);
	gsasl_free(out);
	gsasl_finish(g);
	buf_free(&line);
}

static void scram_is_bound_to_its_own_connection(void **state)
{
	static const struct scram_case rows[] = {
		{ "bound", "SCRAM-SHA-256-PLUS", CONN_BINDING_EXPORTER, true, false, "+OK" },
		{ "to another one", "SCRAM-SHA-256-PLUS", CONN_BINDING_EXPORTER, true, true, "-ERR ?AUTH]*" },
		{ "a client that cannot", "SCRAM-SHA-256", CONN_BINDING_EXPORTER, false, false, "+OK" },
		{ "in TLS 1.2", "SCRAM-SHA-256-PLUS", CONN_BINDING_UNIQUE, true, false, "+OK" },
		{ "to another one in TLS 1.2", "SCRAM-SHA-256-PLUS", CONN_BINDING_UNIQUE, true, true,
		  "-ERR ?AUTH]*" },
	};
	struct world w;
	Gsasl *context;
	(void)state;

	build(&w);
	w.server.config->auth_failure_delay_ms = 0;
	assert_int_equal(gsasl_init(&context), GSASL_OK);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct client c;
		int version = rows[i].kind == CONN_BINDING_UNIQUE ? TLS1_2_VERSION : TLS1_3_VERSION;
		assert_int_equal(SSL_CTX_set_max_proto_version(tls_ssl_ctx(w.tls), version), 1);
		dial(&w, &c, SERVICE_POP3S);
		(void)conn_start_tls(c.conn, w.tls, CONN_TLS_CLIENT, NULL);
		expect(&c, "+OK*\n");
		scram(&c, context, &rows[i]);
		hang_up(&c);
		wait_for_no_session(&w);
	}
	gsasl_done(context);
	tear_down(&w);
}

static void refusals_come_later_each_time(void **state)
{
	static const int64_t at_least_ms[] = { 100, 200, 400 };
	struct world w;
	struct client c, other;
	(void)state;

	build(&w);
	w.server.config->auth_failure_delay_ms = 100;
	w.server.config->auth_failure_count_max = 2;
	dial(&w, &c, SERVICE_POP3);
	expect(&c, "+OK*ready\n");
	for (size_t i = 0; i < 3; i++) {
		int64_t began_ms = clock_mono_ms();
		if (i == 2) { /* the address has a memory; the connection has come to its end */
			expect_end(&c);
			dial(&w, &c, SERVICE_POP3);
			expect(&c, "+OK*ready\n");
		}
		say(&c, "USER sales\r\nPASS wrong\r\n");
		expect(&c, "+OK*\n");
		/* Meanwhile others are served. */
		dial(&w, &other, SERVICE_POP3);
		log_in(&other);
		hang_up(&other);
		expect(&c, "-ERR ?AUTH]*\n");
		assert_true(clock_mono_ms() - began_ms >= at_least_ms[i]);
	}
	say(&c, "USER sales\r\nPASS wrong\r\n");
	expect(&c, "+OK*\n");
	hang_up(&c); /* with a refusal under way */
	wait_for_no_session(&w);
	tear_down(&w);
}

static size_t memory_bytes(void)
{
	struct mallinfo2 m = mallinfo2();
	return m.uordblks + m.hblkhd;
}

static void a_client_that_does_not_read_holds_little_memory(void **state)
{
	enum { LINES = 1000000 };
	struct world w;
	struct client c;
	(void)state;

	build(&w);
	struct buf body = { 0 };
	for (size_t k = 0; k < LINES; k++)
		buf_add(&body, SPAN_LIT("0123456789\r\n"));
	deliver(&w, buf_span(&body));
	buf_free(&body);
	dial(&w, &c, SERVICE_POP3);
	log_in(&c);
	say(&c, "RETR 1\r\nRETR 1\r\nQUIT\r\n");
	conn_pause(c.conn);
	size_t before_bytes = memory_bytes();
	wait_ms(&w, 200);
	assert_in_range(memory_bytes(), 0, before_bytes + 2000000); /* of 12 MB */
	conn_resume(c.conn);
	for (int twice = 0; twice < 2; twice++) {
		expect(&c, "+OK 12000006 octets\nX: y\n");
		char line[64];
		for (size_t k = 0; k < LINES; k++) {
			while (!take_line(&c, line, sizeof(line)))
				loop_run(w.server.loop);
			assert_string_equal(line, "0123456789");
		}
		expect(&c, ".\n");
	}
	expect(&c, "+OK*\n");
	expect_end(&c);
	tear_down(&w);
}

static void a_mailbox_is_open_once_and_free_again_afterwards(void **state)
{
	struct world w;
	struct client first, second;
	(void)state;

	build(&w);
	deliver(&w, SPAN_LIT("\r\nhello\r\n"));
	dial(&w, &first, SERVICE_POP3);
	log_in(&first);
	dial(&w, &second, SERVICE_POP3);
	say(&second, "USER sales\r\nPASS secret\r\n");
	expect(&second, "+OK*\n+OK*\n-ERR ?IN-USE?*\n");
	say(&first, "QUIT\r\n");
	expect(&first, "+OK*\n");
	expect_end(&first);
	say(&second, "USER sales\r\nPASS secret\r\nSTAT\r\n");
	expect(&second, "+OK*\n+OK*\n+OK 1 15\n");
	hang_up(&second); /* a lost connection frees it too */
	wait_for_no_session(&w);
	dial(&w, &first, SERVICE_POP3);
	log_in(&first);
	hang_up(&first);
	tear_down(&w);
}

static void only_quit_removes_and_its_reply_means_that_it_is_done(void **state)
{
	struct world w;
	struct client c;
	(void)state;

	build(&w);
	for (int i = 0; i < 4; i++)
		deliver(&w, SPAN_LIT("\r\nhello\r\n"));
	dial(&w, &c, SERVICE_POP3);
	log_in(&c);
	say(&c, "DELE 1\r\nDELE 3\r\n");
	expect(&c, "+OK*\n+OK*\n");
	hang_up(&c);
	wait_for_no_session(&w);
	assert_int_equal(mailbox_count(&w), 4);
	dial(&w, &c, SERVICE_POP3);
	log_in(&c);
	say(&c, "DELE 1\r\nDELE 3\r\nQUIT\r\n");
	expect(&c, "+OK*\n+OK*\n+OK*\n");
	assert_int_equal(mailbox_count(&w), 2);
	expect_end(&c);
	tear_down(&w);
}

static void a_client_that_goes_during_quit_has_quit(void **state)
{
	struct world w;
	struct client c;
	(void)state;

	build(&w);
	deliver(&w, SPAN_LIT("\r\nhello\r\n"));
	dial(&w, &c, SERVICE_POP3);
	log_in(&c);
	say(&c, "DELE 1\r\nQUIT\r\n");
	expect(&c, "+OK*\n");
	hang_up(&c); /* the removal may be under way, or done */
	wait_for_no_session(&w);
	store_drain(w.server.store);
	assert_int_equal(mailbox_count(&w), 0);
	dial(&w, &c, SERVICE_POP3); /* and the lock went with it */
	log_in(&c);
	hang_up(&c);
	tear_down(&w);
}

static void everything_at_once_and_a_closed_sending_side_is_still_answered(void **state)
{
	struct world w;
	struct client c;
	int pair[2];
	struct addr peer;
	(void)state;

	build(&w);
	deliver(&w, SPAN_LIT("\r\nhello\r\n"));
	c = (struct client){ .world = &w };
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	assert_true(addr_parse("127.0.0.1", 1, &peer));
	static const char all[] = "USER sales\r\nPASS secret\r\nRETR 1\r\nDELE 1\r\n";
	assert_int_equal(write(pair[1], all, sizeof(all) - 1), sizeof(all) - 1);
	assert_int_equal(shutdown(pair[1], SHUT_WR), 0);
	pop3_session_start(&w.server, SERVICE_POP3, pair[0], &peer);
	c.conn = conn_take(&(struct conn_options){ .loop = w.server.loop, .on_event = on_event, .ctx = &c },
			   pair[1]);
	expect(&c, "+OK*\n+OK*\n+OK*\n+OK 15 octets\nX: y\n\nhello\n.\n+OK*\n");
	expect_end(&c);
	wait_for_no_session(&w);
	assert_int_equal(mailbox_count(&w), 1); /* without QUIT */
	tear_down(&w);
}

static void passwords_go_over_tls_only(void **state)
{
	struct world w;
	struct client c;
	(void)state;

	build(&w);
	w.server.config->auth_plain_without_tls = false;
	dial(&w, &c, SERVICE_POP3);
	say(&c, "USER sales\r\nPASS secret\r\nAUTH PLAIN AHNhbGVzAHNlY3JldA==\r\nSTLS\r\nCAPA\r\n");
	expect(&c, "+OK*\n-ERR*\n-ERR*\n-ERR*\n+OK*\n");
	assert_int_equal(buf_bytes(&c.got), 0);
	(void)conn_start_tls(c.conn, w.tls, CONN_TLS_CLIENT, NULL);
	while (!c.secured)
		loop_run(w.server.loop);
	say(&c, "AUTH PLAIN AHNhbGVzAHNlY3JldA==\r\nSTAT\r\nQUIT\r\n"); /* CAPA is forgotten */
	expect(&c, "+OK*\n+OK 0 0\n+OK*\n");
	expect_end(&c);

	dial(&w, &c, SERVICE_POP3S);
	(void)conn_start_tls(c.conn, w.tls, CONN_TLS_CLIENT, NULL);
	say(&c, ""); /* nothing before the handshake */
	while (!c.secured)
		loop_run(w.server.loop);
	say(&c, "AUTH PLAIN\r\nAHNhbGVzAHdyb25n\r\nAUTH PLAIN\r\nAHNhbGVzAHNlY3JldA==\r\nQUIT\r\n");
	expect(&c, "+OK*ready\n+ \n-ERR ?AUTH?*\n+ \n+OK*\n+OK*\n");
	expect_end(&c);
	tear_down(&w);
}

static void login_begins_with_the_servers_question(void **state)
{
	struct world w;
	struct client c;
	(void)state;

	build(&w);
	dial(&w, &c, SERVICE_POP3);
	say(&c, "AUTH LOGIN c2FsZXM=\r\nAUTH LOGIN =\r\nSTAT\r\nAUTH "
		"LOGIN\r\nc2FsZXM=\r\nc2VjcmV0\r\nSTAT\r\nQUIT\r\n");
	expect(&c, "+OK*\n-ERR this mechanism has no initial response\n-ERR this mechanism has no initial "
		   "response\n"
		   "-ERR*state\n+ *\n+ *\n+OK*\n+OK 0 0\n+OK*\n");
	expect_end(&c);
	tear_down(&w);
}

static void silence_ends_a_session(void **state)
{
	struct world w;
	struct client c;
	(void)state;

	build(&w);
	w.server.config->timeouts.pop3_ms = 100;
	dial(&w, &c, SERVICE_POP3);
	expect(&c, "+OK*\n");
	int64_t begin_ms = clock_mono_ms();
	expect_end(&c);
	assert_true(clock_mono_ms() - begin_ms >= 50);
	tear_down(&w);
}

static void shutting_down_ends_idle_sessions_with_a_reason(void **state)
{
	struct world w;
	struct client idle, shaking, logged_in;
	(void)state;

	build(&w);
	deliver(&w, SPAN_LIT("\r\nhello\r\n"));
	dial(&w, &idle, SERVICE_POP3);
	expect(&idle, "+OK*\n");
	dial(&w, &shaking, SERVICE_POP3S);
	dial(&w, &logged_in, SERVICE_POP3);
	log_in(&logged_in);
	say(&logged_in, "DELE 1\r\n");
	expect(&logged_in, "+OK*\n");
	pop3_session_close_all(&w.server);
	expect(&idle, "-ERR ?SYS/TEMP?*\n");
	expect_end(&idle);
	expect(&logged_in, "-ERR ?SYS/TEMP?*\n");
	expect_end(&logged_in);
	expect_end(&shaking); /* no byte in clear */
	assert_int_equal(pop3_session_count(), 0);
	assert_int_equal(mailbox_count(&w), 1);
	tear_down(&w);
}

static void too_many_connections_are_turned_away(void **state)
{
	struct world w;
	struct client first, second;
	(void)state;

	build(&w);
	w.server.config->limits.connection_count_max = 1;
	dial(&w, &first, SERVICE_POP3);
	expect(&first, "+OK*\n");
	dial(&w, &second, SERVICE_POP3);
	expect(&second, "-ERR ?SYS/TEMP?*\n");
	expect_end(&second);
	hang_up(&first);
	tear_down(&w);
}

static void an_end_at_any_moment_leaves_nothing_behind(void **state)
{
	static const char *const before[] = {
		"",
		"USER sales\r\nPASS secret\r\n",
		"USER sales\r\nPASS secret\r\nRETR 1\r\n",
		"USER sales\r\nPASS secret\r\nDELE 1\r\nQUIT\r\n",
		"AUTH PLAIN\r\n",
		"AUTH SCRAM-SHA-256 biwsbj1zYWxlcyxyPXg=\r\n",
	};
	struct world w;
	struct client c;
	(void)state;

	build(&w);
	for (size_t i = 0; i < sizeof(before) / sizeof(before[0]); i++) {
		for (int64_t ms = 0; ms < 12; ms++) {
			struct buf body = { 0 };
			while (buf_bytes(&body) < 1000000)
				buf_add(&body, SPAN_LIT("0123456789\r\n"));
			deliver(&w, buf_span(&body));
			buf_free(&body);
			dial(&w, &c, SERVICE_POP3);
			say(&c, before[i]);
			wait_ms(&w, ms);
			if (ms % 2 == 0)
				pop3_session_abort_all();
			hang_up(&c);
			wait_for_no_session(&w);
		}
	}
	store_drain(w.server.store);
	wait_ms(&w, 50);
	dial(&w, &c, SERVICE_POP3);
	log_in(&c);
	hang_up(&c);
	tear_down(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pipelined_commands_are_not_disturbed_by_content),
		cmocka_unit_test(many_messages_in_order_and_not_in_order_are_the_right_ones),
		cmocka_unit_test(a_header_with_utf8_needs_a_session_with_utf8),
		cmocka_unit_test(a_login_too_soon_after_the_last_is_refused),
		cmocka_unit_test(messages_past_their_days_are_gone_when_the_mailbox_is_opened),
		cmocka_unit_test(scram_is_bound_to_its_own_connection),
		cmocka_unit_test(refusals_come_later_each_time),
		cmocka_unit_test(messages_of_every_size_come_out_exactly),
		cmocka_unit_test(a_client_that_does_not_read_holds_little_memory),
		cmocka_unit_test(a_mailbox_is_open_once_and_free_again_afterwards),
		cmocka_unit_test(only_quit_removes_and_its_reply_means_that_it_is_done),
		cmocka_unit_test(a_client_that_goes_during_quit_has_quit),
		cmocka_unit_test(everything_at_once_and_a_closed_sending_side_is_still_answered),
		cmocka_unit_test(passwords_go_over_tls_only),
		cmocka_unit_test(login_begins_with_the_servers_question),
		cmocka_unit_test(silence_ends_a_session),
		cmocka_unit_test(shutting_down_ends_idle_sessions_with_a_reason),
		cmocka_unit_test(too_many_connections_are_turned_away),
		cmocka_unit_test(an_end_at_any_moment_leaves_nothing_behind),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
