/*
 * resolver: asks a scripted name server on the same loop; what it answers, and
 * how often it is asked, decides.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ldns/ldns.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/conn.h"
#include "base/listener.h"
#include "reference-server/drive/resolver.h"

/* ---- the name server ---- */

enum say { SAY_RECORDS, SAY_SERVFAIL, SAY_REFUSED, SAY_NOTHING, SAY_GARBAGE, SAY_TRUNCATED };

/* Names without a line here do not exist.  The first line for name and type counts; its records follow it. */
static const struct scripted {
	const char *name;  /* "" continues the line above */
	ldns_rr_type type; /* 0: any */
	enum say say;
	const char *record;
} script[] = {
	{ "mx.example.", LDNS_RR_TYPE_MX, SAY_RECORDS, "mx.example. 300 IN MX 20 b.example." },
	{ "", 0, SAY_RECORDS, "mx.example. 300 IN MX 10 A.example." },
	{ "zero.example.", LDNS_RR_TYPE_MX, SAY_RECORDS, "zero.example. 0 IN MX 10 A.example." },
	{ "null.example.", LDNS_RR_TYPE_MX, SAY_RECORDS, "null.example. 300 IN MX 0 ." },
	{ "nodata.example.", 0, SAY_RECORDS, NULL },
	{ "servfail.example.", 0, SAY_SERVFAIL, NULL },
	{ "refused.example.", 0, SAY_REFUSED, NULL },
	{ "silent.example.", 0, SAY_NOTHING, NULL },
	{ "garbage.example.", 0, SAY_GARBAGE, NULL },
	{ "big.example.", LDNS_RR_TYPE_MX, SAY_TRUNCATED, "big.example. 300 IN MX 1 c.example." },
	{ "alias.example.", 0, SAY_RECORDS, "alias.example. 300 IN CNAME mx.example." },
	{ "nowhere.example.", 0, SAY_RECORDS, "nowhere.example. 300 IN CNAME none.example." },
	{ "both.example.", LDNS_RR_TYPE_AAAA, SAY_RECORDS, "both.example. 300 IN AAAA ::1" },
	{ "both.example.", LDNS_RR_TYPE_A, SAY_RECORDS, "both.example. 300 IN A 127.0.0.2" },
	{ "", 0, SAY_RECORDS, "both.example. 300 IN A 127.0.0.1" },
	{ "v6.example.", LDNS_RR_TYPE_AAAA, SAY_RECORDS, "v6.example. 300 IN AAAA ::1" },
	{ "v6.example.", LDNS_RR_TYPE_A, SAY_RECORDS, NULL },
	{ "half.example.", LDNS_RR_TYPE_A, SAY_RECORDS, "half.example. 300 IN A 127.0.0.1" },
	{ "half.example.", LDNS_RR_TYPE_AAAA, SAY_SERVFAIL, NULL },
	{ "poor.example.", LDNS_RR_TYPE_A, SAY_SERVFAIL, NULL },
	{ "poor.example.", LDNS_RR_TYPE_AAAA, SAY_RECORDS, NULL },
	{ "host.test.", LDNS_RR_TYPE_A, SAY_RECORDS, "host.test. 300 IN A 127.0.0.3" },
	{ "host.invalid.", LDNS_RR_TYPE_A, SAY_RECORDS, "host.invalid. 300 IN A 127.0.0.4" },
};
enum { SCRIPT_LINES = sizeof(script) / sizeof(script[0]) };

struct world {
	struct loop *loop;
	struct listener *tcp;
	struct watch *watch;
	struct timer *patience;
	int udp;
	char forwarder[64];
	uint32_t asked; /* queries seen */
	uint32_t asked_by_tcp;
	bool well; /* servfail.example has recovered */
	struct tcp_client *clients;
	struct resolver *resolver;
	struct buf answer; /* as text */
	uint32_t answers;
	uint32_t wanted;
};

static const struct scripted *find_line(const char *name, ldns_rr_type type)
{
	for (size_t i = 0; i < SCRIPT_LINES; i++)
		if (strcasecmp(script[i].name, name) == 0 && (script[i].type == 0 || script[i].type == type))
			return &script[i];
	return NULL;
}

static void add_records(ldns_pkt *reply, const struct scripted *line)
{
	static const char soa_text[] = "example. 300 IN SOA ns.example. root.example. 1 60 60 60 300";
	ldns_rr *rr = NULL;

	for (const struct scripted *s = line; line != NULL && s < script + SCRIPT_LINES; s++) {
		if (s != line && s->name[0] != '\0')
			break;
		if (s->record == NULL)
			continue;
		assert_int_equal(ldns_rr_new_frm_str(&rr, s->record, 0, NULL, NULL), LDNS_STATUS_OK);
		assert_true(ldns_pkt_push_rr(reply, LDNS_SECTION_ANSWER, rr));
	}
	if (ldns_pkt_ancount(reply) > 0)
		return;
	assert_int_equal(ldns_rr_new_frm_str(&rr, soa_text, 0, NULL, NULL), LDNS_STATUS_OK);
	assert_true(ldns_pkt_push_rr(reply, LDNS_SECTION_AUTHORITY, rr));
}

/* Appends the reply's bytes; nothing for silence. */
static void make_reply(struct world *w, struct span query_bytes, bool by_tcp, struct buf *out)
{
	ldns_pkt *query = NULL;
	assert_int_equal(ldns_wire2pkt(&query, (const uint8_t *)query_bytes.p, query_bytes.n),
			 LDNS_STATUS_OK);
	ldns_rr *question = ldns_rr_list_rr(ldns_pkt_question(query), 0);
	char *name = ldns_rdf2str(ldns_rr_owner(question));
	const struct scripted *line = find_line(name, ldns_rr_get_type(question));
	enum say say = line != NULL ? line->say : SAY_RECORDS;
	bool exists = false;

	w->asked++;
	w->asked_by_tcp += by_tcp ? 1 : 0;
	for (size_t i = 0; i < SCRIPT_LINES; i++)
		exists = exists || strcasecmp(script[i].name, name) == 0;
	if (say == SAY_SERVFAIL && w->well)
		say = SAY_RECORDS;
	ldns_pkt *reply = ldns_pkt_new();
	ldns_pkt_set_id(reply, ldns_pkt_id(query));
	ldns_pkt_set_qr(reply, true);
	ldns_pkt_set_rd(reply, true);
	ldns_pkt_set_ra(reply, true);
	assert_true(ldns_pkt_push_rr(reply, LDNS_SECTION_QUESTION, ldns_rr_clone(question)));
	if (say == SAY_SERVFAIL)
		ldns_pkt_set_rcode(reply, LDNS_RCODE_SERVFAIL);
	else if (say == SAY_REFUSED)
		ldns_pkt_set_rcode(reply, LDNS_RCODE_REFUSED);
	else if (!exists)
		ldns_pkt_set_rcode(reply, LDNS_RCODE_NXDOMAIN);
	if (say == SAY_TRUNCATED && !by_tcp)
		ldns_pkt_set_tc(reply, true);
	else if (say == SAY_RECORDS || say == SAY_TRUNCATED)
		add_records(reply, line);
	uint8_t *bytes = NULL;
	size_t n = 0;
	assert_int_equal(ldns_pkt2wire(&bytes, reply, &n), LDNS_STATUS_OK);
	if (say == SAY_GARBAGE)
		n = 13;
	if (say != SAY_NOTHING)
		buf_add(out, (struct span){ (const char *)bytes, n });
	free(bytes);
	free(name);
	ldns_pkt_free(reply);
	ldns_pkt_free(query);
}

static void on_udp(void *ctx, bool readable, bool writable)
{
	struct world *w = ctx;
	char query[2048];
	struct addr from = { .n = sizeof(from.ss) };
	struct buf reply = { 0 };
	(void)readable;
	(void)writable;

	ssize_t n =
		recvfrom(w->udp, query, sizeof(query), MSG_DONTWAIT, (struct sockaddr *)&from.ss, &from.n);
	if (n <= 0)
		return;
	make_reply(w, (struct span){ query, (size_t)n }, false, &reply);
	if (buf_bytes(&reply) > 0)
		assert_int_equal(sendto(w->udp, buf_span(&reply).p, buf_bytes(&reply), 0,
					(const struct sockaddr *)&from.ss, from.n),
				 buf_bytes(&reply));
	buf_free(&reply);
}

/* One query on a TCP connection, blocking: the asker is on this loop too and has sent it already. */
struct tcp_client {
	struct world *world;
	struct conn *conn;
	struct tcp_client *next; /* freed with the world */
};

static void on_tcp(void *ctx, enum conn_event event)
{
	struct tcp_client *c = ctx;
	struct buf reply = { 0 }, framed = { 0 };

	if (event == CONN_EOF || event == CONN_FAILED) {
		conn_free(c->conn);
		c->conn = NULL;
		return;
	}
	struct span in = event == CONN_INPUT ? conn_input(c->conn) : (struct span){ NULL, 0 };
	if (in.n < 2 || in.n - 2 < (size_t)((uint8_t)in.p[0] << 8 | (uint8_t)in.p[1]))
		return;
	make_reply(c->world, span_sub(in, 2, in.n), true, &reply);
	conn_consume(c->conn, in.n);
	buf_add_u16(&framed, (uint16_t)buf_bytes(&reply));
	buf_add(&framed, buf_span(&reply));
	conn_write(c->conn, buf_span(&framed));
	buf_free(&reply);
	buf_free(&framed);
}

static void on_tcp_accept(void *ctx, int fd, const struct addr *peer)
{
	struct world *w = ctx;
	struct tcp_client *c = calloc(1, sizeof(*c));
	(void)peer;

	assert_non_null(c);
	c->world = w;
	c->next = w->clients;
	w->clients = c;
	c->conn = conn_take(&(struct conn_options){ .loop = w->loop, .on_event = on_tcp, .ctx = c }, fd);
}

static void on_impatient(void *ctx)
{
	(void)ctx;
	fail_msg("no answer in time");
}

static void build(struct world *w, int64_t timeout_ms, uint32_t in_flight_max)
{
	struct addr at;
	struct err e;

	*w = (struct world){ .loop = loop_new() };
	assert_true(addr_parse("127.0.0.1", 0, &at));
	w->tcp = listener_new(w->loop, &at, on_tcp_accept, w, &e);
	assert_non_null(w->tcp);
	at = *listener_addr(w->tcp);
	w->udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(w->udp, (const struct sockaddr *)&at.ss, at.n), 0);
	w->watch = watch_new(w->loop, w->udp, on_udp, w);
	watch_set(w->watch, true, false);
	w->patience = timer_new(w->loop, on_impatient, w);
	timer_set_ms(w->patience, 30000);
	(void)snprintf(w->forwarder, sizeof(w->forwarder), "127.0.0.1@%u", addr_port(&at));
	w->resolver = resolver_new(&(struct resolver_options){ .loop = w->loop,
							       .forwarder = w->forwarder,
							       .timeout_ms = timeout_ms,
							       .in_flight_max = in_flight_max },
				   &e);
	assert_non_null(w->resolver);
}

static void tear_down(struct world *w)
{
	resolver_free(w->resolver);
	watch_free(w->watch);
	timer_free(w->patience);
	(void)close(w->udp);
	listener_free(w->tcp);
	while (w->clients != NULL) {
		struct tcp_client *c = w->clients;
		w->clients = c->next;
		conn_free(c->conn);
		free(c);
	}
	loop_free(w->loop);
	buf_free(&w->answer);
}

/* ---- asking ---- */

static const char *const results[] = { "FOUND", "NODATA", "NXDOMAIN", "FAILED" };

static void answered(struct world *w)
{
	if (++w->answers >= w->wanted)
		loop_stop(w->loop);
}

static void on_mx(void *ctx, enum route_dns result, const struct route_mx *mx, uint32_t count,
		  const struct resolver_proof *proof)
{
	assert_false(proof->secure); /* nothing is validated here */
	struct world *w = ctx;

	buf_add_cstr(&w->answer, results[result]);
	for (uint32_t i = 0; i < count; i++)
		buf_addf(&w->answer, " %u '%.*s'", mx[i].preference, SPAN_FMT(mx[i].host));
	answered(w);
}

static void on_addresses(void *ctx, const struct route_addresses *a, const struct resolver_proof *proof)
{
	assert_false(proof->secure);
	struct world *w = ctx;

	buf_add_cstr(&w->answer, results[a->result]);
	for (uint32_t i = 0; i < a->count; i++) {
		if (a->addrs[i].is_ipv6)
			buf_addf(&w->answer, " v6-%u", a->addrs[i].bytes[15]);
		else
			buf_addf(&w->answer, " %u.%u", a->addrs[i].bytes[0], a->addrs[i].bytes[3]);
	}
	answered(w);
}

static const char *ask(struct world *w, bool mx, const char *name)
{
	/* In a block of its own, which is gone before the answer comes. */
	size_t n = strlen(name);
	char *copy = malloc(n + 1);

	assert_non_null(copy);
	memcpy(copy, name, n);
	buf_reset(&w->answer);
	w->answers = 0;
	w->wanted = 1;
	struct span s = { copy, n };
	assert_non_null(mx ? resolver_mx(w->resolver, s, on_mx, w)
			   : resolver_addresses(w->resolver, s, on_addresses, w));
	assert_int_equal(w->answers, 0);
	free(copy);
	loop_run(w->loop);
	assert_int_equal(resolver_lookup_count(w->resolver), 0);
	return buf_cstr(&w->answer);
}

static void what_the_name_server_says_arrives(void **state)
{
	static const struct row {
		bool mx;
		const char *name;
		const char *answer;
	} rows[] = {
		{ true, "mx.example", "FOUND 20 'b.example' 10 'a.example'" },
		{ true, "ALIAS.Example.", "FOUND 20 'b.example' 10 'a.example'" },
		{ true, "null.example", "FOUND 0 ''" },
		{ true, "nodata.example", "NODATA" },
		{ true, "none.example", "NXDOMAIN" },
		{ true, "servfail.example", "FAILED" },
		{ true, "refused.example", "FAILED" },
		{ true, "big.example", "FOUND 1 'c.example'" },
		{ true, "alias.example", "FOUND 20 'b.example' 10 'a.example'" },
		{ true, "nowhere.example", "NXDOMAIN" },
		{ true, "a..b", "NXDOMAIN" },
		{ true, "", "NXDOMAIN" },
		{ false, "both.example", "FOUND 127.2 127.1 v6-1" },
		{ false, "v6.example", "FOUND v6-1" },
		{ false, "half.example", "FOUND 127.1" },
		{ false, "poor.example", "FAILED" },
		{ false, "nodata.example", "NODATA" },
		{ false, "none.example", "NXDOMAIN" },
		{ false, "host.test", "FOUND 127.3" },
		{ false, "host.invalid", "FOUND 127.4" },
	};
	struct world w;
	(void)state;

	build(&w, 0, 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *got = ask(&w, rows[i].mx, rows[i].name);
		if (strcmp(got, rows[i].answer) != 0)
			fail_msg("%s: wanted \"%s\", got \"%s\"", rows[i].name, rows[i].answer, got);
	}
	assert_true(w.asked_by_tcp > 0);
	tear_down(&w);
}

static void impossible_names_do_not_exist(void **state)
{
	char label[70], name[300];
	struct world w;
	(void)state;

	build(&w, 0, 0);
	memset(label, 'x', 64);
	(void)snprintf(label + 64, sizeof(label) - 64, ".org");
	assert_string_equal(ask(&w, true, label), "NXDOMAIN");
	memset(name, 0, sizeof(name));
	while (strlen(name) < 280)
		(void)snprintf(name + strlen(name), sizeof(name) - strlen(name), "abcdefghi.");
	assert_string_equal(ask(&w, true, name), "NXDOMAIN");
	assert_int_equal(w.asked, 0);
	tear_down(&w);
}

static void answers_are_kept_for_their_ttl_and_ttl_0_is_not_kept(void **state)
{
	struct world w;
	(void)state;

	build(&w, 0, 0);
	(void)ask(&w, true, "mx.example");
	uint32_t before = w.asked;
	assert_string_equal(ask(&w, true, "mx.example"), "FOUND 20 'b.example' 10 'a.example'");
	assert_int_equal(w.asked, before);
	(void)ask(&w, true, "zero.example");
	before = w.asked;
	assert_string_equal(ask(&w, true, "zero.example"), "FOUND 10 'a.example'");
	assert_int_equal(w.asked, before + 1);
	tear_down(&w);
}

static void pause_for(struct world *w, int64_t ms);
static void on_paused(void *ctx)
{
	loop_stop(ctx);
}
static void pause_for(struct world *w, int64_t ms)
{
	struct timer *t = timer_new(w->loop, on_paused, w->loop);
	timer_set_ms(t, ms);
	loop_run(w->loop);
	timer_free(t);
}

static void a_failure_is_not_kept(void **state)
{
	struct world w;
	(void)state;

	build(&w, 0, 0);
	(void)ask(&w, true, "mx.example");
	assert_string_equal(ask(&w, true, "servfail.example"), "FAILED");
	uint32_t before = w.asked;
	assert_string_equal(ask(&w, true, "servfail.example"), "FAILED"); /* at once: from the cache */
	assert_int_equal(w.asked, before);
	w.well = true;
	pause_for(&w, RESOLVER_FAILURE_TTL_MS + 50);
	assert_string_equal(ask(&w, true, "mx.example"), "FOUND 20 'b.example' 10 'a.example'");
	assert_int_equal(w.asked, before); /* good answers are still there */
	assert_string_equal(ask(&w, true, "servfail.example"), "NODATA");
	assert_true(w.asked > before);
	tear_down(&w);
}

static void a_silent_server_fails_the_lookup_at_its_deadline(void **state)
{
	struct world w;
	(void)state;

	build(&w, 300, 0);
	int64_t begin_ms = clock_mono_ms();
	assert_string_equal(ask(&w, true, "silent.example"), "FAILED");
	int64_t took_ms = clock_mono_ms() - begin_ms;
	assert_true(took_ms >= 300 && took_ms < 3000);
	assert_string_equal(ask(&w, false, "silent.example"), "FAILED");
	assert_string_equal(ask(&w, true, "garbage.example"), "FAILED");
	uint32_t before = w.asked;
	assert_string_equal(ask(&w, true, "mx.example"), "FOUND 20 'b.example' 10 'a.example'");
	assert_true(w.asked > before);
	tear_down(&w);
}

static void the_callback_never_comes_after_a_cancel(void **state)
{
	struct world w;
	(void)state;

	build(&w, 0, 2);
	w.wanted = UINT32_MAX;
	struct lookup *waiting = resolver_mx(w.resolver, SPAN_LIT("mx.example"), on_mx, &w);
	lookup_cancel(waiting); /* before it was sent */
	struct lookup *sent = resolver_addresses(w.resolver, SPAN_LIT("silent.example"), on_addresses, &w);
	struct lookup *kept = resolver_mx(w.resolver, SPAN_LIT("silent.example"), on_mx, &w);
	assert_non_null(kept);
	pause_for(&w, 50);
	lookup_cancel(sent);
	lookup_cancel(NULL);
	pause_for(&w, 1500); /* until libunbound has tried again */
	assert_int_equal(w.answers, 0);
	assert_int_equal(resolver_lookup_count(w.resolver), 1);
	tear_down(&w); /* with one under way */
}

static void lookups_beyond_the_limit_wait_their_turn(void **state)
{
	enum { MANY = 500 };
	char name[64];
	struct world w;
	(void)state;

	build(&w, 0, 3);
	w.wanted = MANY;
	for (uint32_t i = 0; i < MANY; i++) {
		(void)snprintf(name, sizeof(name), "none-%u.example", i);
		assert_non_null(resolver_mx(w.resolver, span_of(name), on_mx, &w));
	}
	assert_int_equal(resolver_lookup_count(w.resolver), MANY);
	loop_run(w.loop);
	assert_int_equal(w.answers, MANY);
	assert_true(w.asked >= MANY);
	tear_down(&w);
}

static void a_bad_forwarder_is_an_error(void **state)
{
	struct loop *l = loop_new();
	struct err e;
	(void)state;

	assert_null(resolver_new(&(struct resolver_options){ .loop = l, .forwarder = "not an address" }, &e));
	assert_non_null(strstr(e.text, "not an address"));
	loop_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_the_name_server_says_arrives),
		cmocka_unit_test(impossible_names_do_not_exist),
		cmocka_unit_test(answers_are_kept_for_their_ttl_and_ttl_0_is_not_kept),
		cmocka_unit_test(a_failure_is_not_kept),
		cmocka_unit_test(a_silent_server_fails_the_lookup_at_its_deadline),
		cmocka_unit_test(the_callback_never_comes_after_a_cancel),
		cmocka_unit_test(lookups_beyond_the_limit_wait_their_turn),
		cmocka_unit_test(a_bad_forwarder_is_an_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
