/*
 * dns: asked over UDP and TCP on one loop.
 */
#include "harness/world/dns.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <ldns/ldns.h>

struct asker {
	struct loop *loop;
	struct dns *dns;
	struct timer *patience;
	ldns_pkt *got;
	int fd;
	struct conn *conn;
	bool gave_up;
};

static void on_patience(void *ctx)
{
	struct asker *a = ctx;

	a->gave_up = true;
	loop_stop(a->loop);
}

static struct asker begin(void)
{
	struct asker a = { .loop = loop_new() };
	struct addr at;
	struct err err;

	a.dns = dns_new(a.loop);
	assert_true(addr_parse("127.0.0.1", 0, &at));
	assert_int_equal(dns_listen(a.dns, &at, &err), 0);
	return a;
}

static void finish(struct asker *a)
{
	ldns_pkt_free(a->got);
	timer_free(a->patience);
	dns_free(a->dns);
	loop_free(a->loop);
}

static void add(struct asker *a, int view, const char *line)
{
	struct err err;

	if (dns_add(a->dns, view, line, &err) != 0)
		fail_msg("%s", err.text);
}

static uint8_t *query_wire(const char *name, ldns_rr_type type, uint16_t edns_bytes, size_t *ret_n)
{
	ldns_rdf *owner = ldns_dname_new_frm_str(name);
	ldns_pkt *q = ldns_pkt_query_new(owner, type, LDNS_RR_CLASS_IN, LDNS_RD);
	uint8_t *wire = NULL;

	ldns_pkt_set_id(q, 4711);
	if (edns_bytes > 0)
		ldns_pkt_set_edns_udp_size(q, edns_bytes);
	assert_int_equal(ldns_pkt2wire(&wire, q, ret_n), LDNS_STATUS_OK);
	ldns_pkt_free(q);
	return wire;
}

static void on_udp(void *ctx, bool readable, bool writable)
{
	struct asker *a = ctx;
	uint8_t bytes[8192];
	(void)readable;
	(void)writable;

	ssize_t n = recv(a->fd, bytes, sizeof(bytes), 0);
	assert_true(n > 0);
	assert_int_equal(ldns_wire2pkt(&a->got, bytes, (size_t)n), LDNS_STATUS_OK);
	loop_stop(a->loop);
}

/* The answer, or NULL when none came in time; owned by the asker. */
static const ldns_pkt *ask(struct asker *a, int view, const char *name, ldns_rr_type type,
			   uint16_t edns_bytes)
{
	const struct addr *to = dns_addr(a->dns, view);
	size_t n = 0;
	uint8_t *wire = query_wire(name, type, edns_bytes, &n);

	ldns_pkt_free(a->got);
	a->got = NULL;
	a->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	assert_int_equal(connect(a->fd, (const struct sockaddr *)&to->ss, to->n), 0);
	assert_int_equal(send(a->fd, wire, n, 0), (ssize_t)n);
	struct watch *w = watch_new(a->loop, a->fd, on_udp, a);
	watch_set(w, true, false);
	if (a->patience == NULL)
		a->patience = timer_new(a->loop, on_patience, a);
	timer_set_ms(a->patience, 300);
	loop_run(a->loop);
	timer_clear(a->patience);
	watch_free(w);
	(void)close(a->fd);
	free(wire);
	if (a->got != NULL)
		assert_int_equal(ldns_pkt_id(a->got), 4711);
	return a->got;
}

static size_t answer_count(const ldns_pkt *p)
{
	assert_non_null(p);
	return ldns_rr_list_rr_count(ldns_pkt_answer(p));
}

static void records_are_answered_with_authority(void **state)
{
	(void)state;
	struct asker a = begin();
	add(&a, DNS_VIEW_ALL, "fredsco.example. 0 IN MX 10 mx.fredsco.example.");
	add(&a, DNS_VIEW_ALL, "FREDSCO.example. 0 IN MX 20 mx2.fredsco.example.");

	const ldns_pkt *p = ask(&a, 0, "Fredsco.Example.", LDNS_RR_TYPE_MX, 0);
	assert_int_equal(answer_count(p), 2);
	assert_int_equal(ldns_pkt_get_rcode(p), LDNS_RCODE_NOERROR);
	assert_true(ldns_pkt_aa(p));
	assert_true(ldns_pkt_qr(p));
	assert_false(ldns_pkt_tc(p));
	assert_int_equal(ldns_rr_ttl(ldns_rr_list_rr(ldns_pkt_answer(p), 0)), 0);
	finish(&a);
}

static void what_is_not_there_is_denied_with_soa(void **state)
{
	(void)state;
	struct asker a = begin();
	add(&a, DNS_VIEW_ALL, "mx.fredsco.example. 0 IN A 127.0.0.9");

	const ldns_pkt *p = ask(&a, 0, "other.example.", LDNS_RR_TYPE_MX, 0);
	assert_int_equal(ldns_pkt_get_rcode(p), LDNS_RCODE_NXDOMAIN);
	assert_int_equal(ldns_rr_get_type(ldns_rr_list_rr(ldns_pkt_authority(p), 0)), LDNS_RR_TYPE_SOA);
	p = ask(&a, 0, "mx.fredsco.example.", LDNS_RR_TYPE_AAAA, 0);
	assert_int_equal(ldns_pkt_get_rcode(p), LDNS_RCODE_NOERROR);
	assert_int_equal(answer_count(p), 0);
	assert_int_equal(ldns_rr_list_rr_count(ldns_pkt_authority(p)), 1);
	/* A name with nothing but names below it exists. */
	p = ask(&a, 0, "fredsco.example.", LDNS_RR_TYPE_MX, 0);
	assert_int_equal(ldns_pkt_get_rcode(p), LDNS_RCODE_NOERROR);
	finish(&a);
}

static void cnames_are_followed_and_loops_end(void **state)
{
	(void)state;
	struct asker a = begin();
	add(&a, DNS_VIEW_ALL, "a.example. 0 IN CNAME b.example.");
	add(&a, DNS_VIEW_ALL, "b.example. 0 IN A 127.0.0.9");
	add(&a, DNS_VIEW_ALL, "c.example. 0 IN CNAME c.example.");

	assert_int_equal(answer_count(ask(&a, 0, "a.example.", LDNS_RR_TYPE_A, 0)), 2);
	assert_int_equal(answer_count(ask(&a, 0, "a.example.", LDNS_RR_TYPE_CNAME, 0)), 1);
	assert_non_null(ask(&a, 0, "c.example.", LDNS_RR_TYPE_A, 0));
	finish(&a);
}

static void each_view_sees_its_own_address(void **state)
{
	(void)state;
	struct asker a = begin();
	struct addr at;
	struct err err;
	assert_true(addr_parse("127.0.0.1", 0, &at));
	assert_int_equal(dns_listen(a.dns, &at, &err), 1);
	add(&a, 0, "mx.example. 0 IN A 127.0.0.10");
	add(&a, 1, "mx.example. 0 IN A 127.0.0.11");

	for (int view = 0; view < 2; view++) {
		const ldns_pkt *p = ask(&a, view, "mx.example.", LDNS_RR_TYPE_A, 0);
		assert_int_equal(answer_count(p), 1);
		const ldns_rdf *ip = ldns_rr_rdf(ldns_rr_list_rr(ldns_pkt_answer(p), 0), 0);
		assert_int_equal(ldns_rdf_data(ip)[3], 10 + view);
	}
	finish(&a);
}

static void add_many(struct asker *a, int count)
{
	char line[80];

	for (int i = 0; i < count; i++) {
		(void)snprintf(line, sizeof(line), "many.example. 0 IN MX 10 exchanger-number-%d.example.",
			       i);
		add(a, DNS_VIEW_ALL, line);
	}
}

static void large_answers_are_truncated_to_what_the_asker_takes(void **state)
{
	(void)state;
	struct asker a = begin();
	add_many(&a, 30);

	const ldns_pkt *p = ask(&a, 0, "many.example.", LDNS_RR_TYPE_MX, 0);
	assert_true(ldns_pkt_tc(p));
	assert_int_equal(answer_count(p), 0);
	assert_false(ldns_pkt_edns(p));
	p = ask(&a, 0, "many.example.", LDNS_RR_TYPE_MX, 4096);
	assert_false(ldns_pkt_tc(p));
	assert_true(ldns_pkt_edns(p));
	assert_int_equal(answer_count(p), 30);
	finish(&a);
}

static void on_tcp(void *ctx, enum conn_event event)
{
	struct asker *a = ctx;

	assert_true(event != CONN_FAILED && event != CONN_EOF);
	struct span in = conn_input(a->conn);
	if (event != CONN_INPUT || in.n < 2)
		return;
	size_t n = (size_t)((unsigned char)in.p[0] << 8 | (unsigned char)in.p[1]);
	if (in.n < n + 2)
		return;
	ldns_pkt_free(a->got);
	a->got = NULL;
	assert_int_equal(ldns_wire2pkt(&a->got, (const uint8_t *)in.p + 2, n), LDNS_STATUS_OK);
	conn_consume(a->conn, n + 2);
	loop_stop(a->loop);
}

static void tcp_gives_the_whole_answer_to_several_questions(void **state)
{
	(void)state;
	struct asker a = begin();
	add_many(&a, 200);
	size_t n = 0;
	uint8_t *wire = query_wire("many.example.", LDNS_RR_TYPE_MX, 0, &n);
	char length[2] = { (char)(n >> 8), (char)n };

	a.conn = conn_connect(&(struct conn_options){ .loop = a.loop, .on_event = on_tcp, .ctx = &a },
			      dns_addr(a.dns, 0), NULL);
	for (int i = 0; i < 3; i++) {
		conn_write(a.conn, (struct span){ length, 2 });
		conn_write(a.conn, (struct span){ (const char *)wire, n });
		loop_run(a.loop);
		assert_int_equal(answer_count(a.got), 200);
	}
	conn_free(a.conn);
	free(wire);
	finish(&a);
}

static void faults_count_lookups_and_end(void **state)
{
	(void)state;
	struct asker a = begin();
	add(&a, DNS_VIEW_ALL, "mx.b.example. 0 IN A 127.0.0.9");
	struct dns_fault *f = dns_fault_add(a.dns, "b.example", DNS_SERVFAIL, 2);

	/* A resolver that asks again at once still makes one lookup; another type makes another. */
	for (int i = 0; i < 3; i++)
		assert_int_equal(ldns_pkt_get_rcode(ask(&a, 0, "mx.b.example.", LDNS_RR_TYPE_A, 0)),
				 LDNS_RCODE_SERVFAIL);
	assert_int_equal(dns_fault_lookup_count(f), 1);
	assert_int_equal(ldns_pkt_get_rcode(ask(&a, 0, "mx.b.example.", LDNS_RR_TYPE_AAAA, 0)),
			 LDNS_RCODE_SERVFAIL);
	assert_int_equal(dns_fault_lookup_count(f), 2);
	assert_int_equal(ldns_pkt_get_rcode(ask(&a, 0, "mx.b.example.", LDNS_RR_TYPE_MX, 0)),
			 LDNS_RCODE_NOERROR);
	/* The first lookup still fares as it did. */
	assert_int_equal(ldns_pkt_get_rcode(ask(&a, 0, "mx.b.example.", LDNS_RR_TYPE_A, 0)),
			 LDNS_RCODE_SERVFAIL);
	assert_int_equal(ldns_pkt_get_rcode(ask(&a, 0, "c.example.", LDNS_RR_TYPE_A, 0)),
			 LDNS_RCODE_NXDOMAIN);
	dns_fault_remove(a.dns, f);
	assert_int_equal(ldns_pkt_get_rcode(ask(&a, 0, "mx.b.example.", LDNS_RR_TYPE_A, 0)),
			 LDNS_RCODE_NOERROR);

	f = dns_fault_add(a.dns, "mx.b.example", DNS_NXDOMAIN, 0);
	assert_int_equal(ldns_pkt_get_rcode(ask(&a, 0, "mx.b.example.", LDNS_RR_TYPE_A, 0)),
			 LDNS_RCODE_NXDOMAIN);
	dns_fault_remove(a.dns, f);
	f = dns_fault_add(a.dns, "b.example", DNS_TIMEOUT, 0);
	assert_null(ask(&a, 0, "mx.b.example.", LDNS_RR_TYPE_A, 0));
	assert_true(a.gave_up);
	finish(&a); /* frees the fault that is still there */
}

static void truncation_leaves_the_last_record_as_a_trap(void **state)
{
	(void)state;
	struct asker a = begin();
	add(&a, DNS_VIEW_ALL, "b.example. 0 IN MX 10 one.example.");
	add(&a, DNS_VIEW_ALL, "b.example. 0 IN MX 20 two.example.");
	struct dns_fault *f = dns_fault_add(a.dns, "b.example", DNS_TRUNCATED, 0);
	size_t n = 0;
	uint8_t *wire = query_wire("b.example.", LDNS_RR_TYPE_MX, 0, &n);

	const ldns_pkt *p = ask(&a, 0, "b.example.", LDNS_RR_TYPE_MX, 4096);
	assert_true(ldns_pkt_tc(p));
	assert_int_equal(answer_count(p), 1);
	assert_int_equal(ldns_rdf2native_int16(ldns_rr_rdf(ldns_rr_list_rr(ldns_pkt_answer(p), 0), 0)), 20);
	size_t whole_bytes = 0;
	uint8_t *whole = dns_respond(a.dns, (struct span){ (const char *)wire, n }, true, &whole_bytes);
	ldns_pkt *by_tcp = NULL;
	assert_int_equal(ldns_wire2pkt(&by_tcp, whole, whole_bytes), LDNS_STATUS_OK);
	assert_false(ldns_pkt_tc(by_tcp));
	assert_int_equal(answer_count(by_tcp), 2);
	dns_fault_remove(a.dns, f);
	assert_false(ldns_pkt_tc(ask(&a, 0, "b.example.", LDNS_RR_TYPE_MX, 0)));
	ldns_pkt_free(by_tcp);
	free(whole);
	free(wire);
	finish(&a);
}

static void a_fault_can_be_of_one_type_and_records_of_one_name_can_go(void **state)
{
	(void)state;
	struct asker a = begin();
	add(&a, DNS_VIEW_ALL, "b.example. 0 IN A 127.0.0.9");
	add(&a, DNS_VIEW_ALL, "c.b.example. 0 IN A 127.0.0.9");
	struct dns_fault *f = dns_fault_add(a.dns, "b.example", DNS_SERVFAIL, 0);

	assert_false(dns_fault_limit(f, "NONSENSE"));
	assert_true(dns_fault_limit(f, "AAAA"));
	assert_int_equal(answer_count(ask(&a, 0, "b.example.", LDNS_RR_TYPE_A, 0)), 1);
	assert_int_equal(ldns_pkt_get_rcode(ask(&a, 0, "b.example.", LDNS_RR_TYPE_AAAA, 0)),
			 LDNS_RCODE_SERVFAIL);
	dns_remove_at(a.dns, "B.example");
	assert_int_equal(answer_count(ask(&a, 0, "b.example.", LDNS_RR_TYPE_A, 0)), 0);
	assert_int_equal(answer_count(ask(&a, 0, "c.b.example.", LDNS_RR_TYPE_A, 0)), 1);
	finish(&a);
}

/* ---- signed zones ---- */

enum { WITH_DO = 1, WITH_CD = 2, WITH_AD = 4 };

static ldns_pkt *ask_signed(struct dns *d, const char *name, ldns_rr_type type, int flags)
{
	ldns_pkt *q = ldns_pkt_query_new(ldns_dname_new_frm_str(name), type, LDNS_RR_CLASS_IN, LDNS_RD), *got;
	uint8_t *wire = NULL, *answer;
	size_t n = 0, answer_bytes = 0;

	ldns_pkt_set_edns_udp_size(q, 4096);
	ldns_pkt_set_edns_do(q, (flags & WITH_DO) != 0);
	ldns_pkt_set_cd(q, (flags & WITH_CD) != 0);
	ldns_pkt_set_ad(q, (flags & WITH_AD) != 0);
	assert_int_equal(ldns_pkt2wire(&wire, q, &n), LDNS_STATUS_OK);
	answer = dns_respond(d, (struct span){ (const char *)wire, n }, true, &answer_bytes);
	assert_non_null(answer);
	assert_int_equal(ldns_wire2pkt(&got, answer, answer_bytes), LDNS_STATUS_OK);
	free(answer);
	free(wire);
	ldns_pkt_free(q);
	return got;
}

/* Whether all of that type in the section is proven by the key. */
static bool is_proven(const ldns_pkt *p, ldns_rr_type type, ldns_pkt_section section, ldns_rr *key)
{
	ldns_rr_list *set = ldns_pkt_rr_list_by_type(p, type, section);
	ldns_rr_list *all = ldns_pkt_rr_list_by_type(p, LDNS_RR_TYPE_RRSIG, section);
	bool fine = false;

	assert_non_null(set);
	for (size_t i = 0; all != NULL && i < ldns_rr_list_rr_count(all); i++) {
		ldns_rr *sig = ldns_rr_list_rr(all, i);
		if (ldns_rdf2rr_type(ldns_rr_rrsig_typecovered(sig)) == type)
			fine = ldns_verify_rrsig(set, sig, key) == LDNS_STATUS_OK;
	}
	ldns_rr_list_deep_free(set);
	ldns_rr_list_deep_free(all);
	return fine;
}

static bool nsec_has(const ldns_pkt *p, ldns_rr_type type)
{
	ldns_rr_list *nsec = ldns_pkt_rr_list_by_type(p, LDNS_RR_TYPE_NSEC, LDNS_SECTION_AUTHORITY);

	assert_non_null(nsec);
	assert_int_equal(ldns_rr_list_rr_count(nsec), 1);
	bool has = ldns_nsec_bitmap_covers_type(ldns_nsec_get_bitmap(ldns_rr_list_rr(nsec, 0)), type);
	ldns_rr_list_deep_free(nsec);
	return has;
}

static void a_signed_zone_proves_what_is_there_and_what_is_not(void **state)
{
	(void)state;
	struct asker a = begin();
	struct err err;
	ldns_rr *key = NULL;
	const ldns_pkt_section ANSWER = LDNS_SECTION_ANSWER, AUTHORITY = LDNS_SECTION_AUTHORITY;

	assert_int_equal(dns_anchor(a.dns).n, 0);
	assert_int_equal(dns_sign(a.dns, "s.example", &err), 0);
	char *anchor = strndup(dns_anchor(a.dns).p, dns_anchor(a.dns).n);
	assert_int_equal(ldns_rr_new_frm_str(&key, anchor, 0, NULL, NULL), LDNS_STATUS_OK);
	add(&a, DNS_VIEW_ALL, "mx.s.example. 0 IN A 192.0.2.1");
	add(&a, DNS_VIEW_ALL, "mx.s.example. 0 IN A 192.0.2.2");
	add(&a, DNS_VIEW_ALL, "alias.s.example. 0 IN CNAME elsewhere.example.");
	add(&a, DNS_VIEW_ALL, "elsewhere.example. 0 IN A 192.0.2.3");
	add(&a, DNS_VIEW_ALL, "www.open.s.example. 0 IN A 192.0.2.4");
	assert_non_null(dns_fault_add(a.dns, "open.s.example", DNS_UNSIGNED, 0));

	ldns_pkt *p = ask_signed(a.dns, "s.example", LDNS_RR_TYPE_DNSKEY, WITH_DO);
	assert_true(is_proven(p, LDNS_RR_TYPE_DNSKEY, ANSWER, key));
	ldns_pkt_free(p);
	p = ask_signed(a.dns, "MX.s.example", LDNS_RR_TYPE_A, WITH_DO);
	assert_true(is_proven(p, LDNS_RR_TYPE_A, ANSWER, key));
	assert_true(ldns_pkt_ad(p));
	ldns_pkt_free(p);
	p = ask_signed(a.dns, "mx.s.example", LDNS_RR_TYPE_A, WITH_AD);
	assert_true(ldns_pkt_ad(p));
	assert_int_equal(ldns_pkt_ancount(p), 2); /* no signatures for who does not ask */
	ldns_pkt_free(p);
	p = ask_signed(a.dns, "mx.s.example", LDNS_RR_TYPE_TLSA, WITH_DO);
	assert_true(is_proven(p, LDNS_RR_TYPE_NSEC, AUTHORITY, key));
	assert_true(is_proven(p, LDNS_RR_TYPE_SOA, AUTHORITY, key));
	assert_true(nsec_has(p, LDNS_RR_TYPE_A));
	assert_false(nsec_has(p, LDNS_RR_TYPE_TLSA));
	ldns_pkt_free(p);
	p = ask_signed(a.dns, "gone.s.example", LDNS_RR_TYPE_A, WITH_DO);
	assert_true(is_proven(p, LDNS_RR_TYPE_NSEC, AUTHORITY, key));
	assert_false(nsec_has(p, LDNS_RR_TYPE_A));
	ldns_pkt_free(p);
	p = ask_signed(a.dns, "alias.s.example", LDNS_RR_TYPE_A, WITH_DO);
	assert_true(is_proven(p, LDNS_RR_TYPE_CNAME, ANSWER, key));
	assert_false(is_proven(p, LDNS_RR_TYPE_A, ANSWER, key));
	assert_false(ldns_pkt_ad(p));
	ldns_pkt_free(p);
	p = ask_signed(a.dns, "open.s.example", LDNS_RR_TYPE_DS, WITH_DO);
	assert_true(is_proven(p, LDNS_RR_TYPE_NSEC, AUTHORITY, key));
	assert_true(nsec_has(p, LDNS_RR_TYPE_NS));
	assert_false(nsec_has(p, LDNS_RR_TYPE_DS));
	ldns_pkt_free(p);
	p = ask_signed(a.dns, "www.open.s.example", LDNS_RR_TYPE_A, WITH_DO);
	assert_int_equal(ldns_pkt_ancount(p), 1);
	assert_false(ldns_pkt_ad(p));
	ldns_pkt_free(p);

	/* Whoever validates by himself sees what is wrong; others are told that it is. */
	struct dns_fault *bogus = dns_fault_add(a.dns, "mx.s.example", DNS_BOGUS, 0);
	p = ask_signed(a.dns, "mx.s.example", LDNS_RR_TYPE_A, WITH_DO | WITH_CD);
	assert_false(is_proven(p, LDNS_RR_TYPE_A, ANSWER, key));
	ldns_pkt_free(p);
	p = ask_signed(a.dns, "mx.s.example", LDNS_RR_TYPE_A, WITH_DO);
	assert_int_equal(ldns_pkt_get_rcode(p), LDNS_RCODE_SERVFAIL);
	assert_int_equal(ldns_pkt_ancount(p), 0);
	ldns_pkt_free(p);
	dns_fault_remove(a.dns, bogus);
	p = ask_signed(a.dns, "mx.s.example", LDNS_RR_TYPE_A, WITH_DO | WITH_CD);
	assert_true(is_proven(p, LDNS_RR_TYPE_A, ANSWER, key));
	ldns_pkt_free(p);
	/* So it is with what is behind an alias, and with the proof that a zone has no signatures. */
	add(&a, DNS_VIEW_ALL, "to.s.example. 0 IN CNAME mx.s.example.");
	bogus = dns_fault_add(a.dns, "mx.s.example", DNS_BOGUS, 0);
	p = ask_signed(a.dns, "to.s.example", LDNS_RR_TYPE_A, WITH_AD);
	assert_int_equal(ldns_pkt_get_rcode(p), LDNS_RCODE_SERVFAIL);
	ldns_pkt_free(p);
	p = ask_signed(a.dns, "to.s.example", LDNS_RR_TYPE_CNAME, WITH_AD);
	assert_true(ldns_pkt_ad(p));
	ldns_pkt_free(p);
	dns_fault_remove(a.dns, bogus);
	struct dns_fault *no_ds = dns_fault_add(a.dns, "open.s.example", DNS_SERVFAIL, 0);
	assert_true(dns_fault_limit(no_ds, "DS"));
	p = ask_signed(a.dns, "www.open.s.example", LDNS_RR_TYPE_A, WITH_AD);
	assert_int_equal(ldns_pkt_get_rcode(p), LDNS_RCODE_SERVFAIL);
	ldns_pkt_free(p);
	p = ask_signed(a.dns, "www.open.s.example", LDNS_RR_TYPE_A, WITH_DO | WITH_CD);
	assert_int_equal(ldns_pkt_ancount(p), 1);
	ldns_pkt_free(p);
	dns_fault_remove(a.dns, no_ds);
	assert_int_equal(dns_sign(a.dns, "not..a.name", &err), -EINVAL);
	ldns_rr_free(key);
	free(anchor);
	finish(&a);
}

static void garbage_gets_no_answer_and_does_no_harm(void **state)
{
	(void)state;
	struct asker a = begin();
	add(&a, DNS_VIEW_ALL, "x.example. 0 IN A 127.0.0.9");
	const struct addr *to = dns_addr(a.dns, 0);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	static const char GARBAGE[] = "\x12\x34\x01\x00\x00\x05\x00\x00\x00\x00\x00\x00\xc0\x0c\xc0\x0c";

	for (size_t n = 0; n < sizeof(GARBAGE); n++)
		(void)sendto(fd, GARBAGE, n, 0, (const struct sockaddr *)&to->ss, to->n);
	(void)close(fd);
	assert_int_equal(answer_count(ask(&a, 0, "x.example.", LDNS_RR_TYPE_A, 0)), 1);
	finish(&a);
}

static void a_bad_record_is_refused_with_a_reason(void **state)
{
	(void)state;
	struct asker a = begin();
	struct err err = { 0 };

	assert_true(dns_add(a.dns, DNS_VIEW_ALL, "x.example. 0 IN A not-an-address", &err) < 0);
	assert_non_null(strstr(err.text, "x.example. 0 IN A not-an-address"));
	assert_true(dns_add_file(a.dns, "/nonexistent.zone", &err) < 0);
	finish(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_are_answered_with_authority),
		cmocka_unit_test(what_is_not_there_is_denied_with_soa),
		cmocka_unit_test(cnames_are_followed_and_loops_end),
		cmocka_unit_test(each_view_sees_its_own_address),
		cmocka_unit_test(large_answers_are_truncated_to_what_the_asker_takes),
		cmocka_unit_test(tcp_gives_the_whole_answer_to_several_questions),
		cmocka_unit_test(faults_count_lookups_and_end),
		cmocka_unit_test(truncation_leaves_the_last_record_as_a_trap),
		cmocka_unit_test(a_fault_can_be_of_one_type_and_records_of_one_name_can_go),
		cmocka_unit_test(a_signed_zone_proves_what_is_there_and_what_is_not),
		cmocka_unit_test(garbage_gets_no_answer_and_does_no_harm),
		cmocka_unit_test(a_bad_record_is_refused_with_a_reason),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
