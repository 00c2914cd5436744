#include "harness/world/dns.h"

#include "base/listener.h"
#include "harness/world/dns_sign.h"
#include "harness/world/dns_zone.h"

#include <assert.h>
#include <errno.h>
#include <ldns/ldns.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

enum {
	VIEWS_MAX = 32,
	UDP_BYTES_MAX = 4096,
	UDP_BYTES_PLAIN = 512, /* RFC 1035 4.2.1, without EDNS */
	EDNS_BYTES = 1232,     /* what we say we take */
	TCP_IDLE_MS = 10000,
	TCP_CONNS_MAX = 256,
	LOOKUPS_REMEMBERED = 64,
	PORT_TRIES = 50,
};

static const int64_t SAME_LOOKUP_NS = 100 * 1000000LL;
static const int64_t SAME_TIMED_LOOKUP_NS = 3000 * 1000000LL;

/* ---- faults ---- */

struct lookup {
	uint64_t key;
	int64_t last_ns;
	bool hit;
};

struct dns_fault {
	LIST_ENTRY(dns_fault) entry;
	ldns_rdf *domain;
	enum dns_fault_kind kind;
	ldns_rr_type type; /* 0: all */
	uint32_t count_max;
	uint32_t count;
	struct lookup lookups[LOOKUPS_REMEMBERED]; /* the oldest is forgotten first */
};

/* ---- watches ---- */

struct dns_watch {
	LIST_ENTRY(dns_watch) entry;
	ldns_rdf *domain;
	dns_query_fn *fn;
	void *ctx;
};

/* ---- the server ---- */

struct view {
	struct dns *dns;
	int number;
	struct addr addr;
	int fd;
	struct watch *watch;
	struct listener *listener;
};

struct tcp {
	LIST_ENTRY(tcp) entry;
	struct view *view;
	struct conn *conn;
};

struct dns {
	struct loop *loop;
	struct dns_zone *zone;
	struct dns_sign *sign; /* NULL: nothing is signed */
	struct buf anchor;
	struct view views[VIEWS_MAX];
	int view_count;
	LIST_HEAD(, tcp) tcps;
	uint32_t tcp_count;
	LIST_HEAD(, dns_fault) faults;
	LIST_HEAD(, dns_watch) watches;
	dns_query_fn *on_query;
	void *ctx;
};

struct dns *dns_new(struct loop *l)
{
	struct dns *d = calloc(1, sizeof(*d));

	if (d == NULL)
		abort();
	d->loop = l;
	d->zone = dns_zone_new();
	LIST_INIT(&d->tcps);
	LIST_INIT(&d->faults);
	LIST_INIT(&d->watches);
	return d;
}

static void tcp_close(struct tcp *t)
{
	LIST_REMOVE(t, entry);
	t->view->dns->tcp_count--;
	conn_free(t->conn);
	free(t);
}

void dns_free(struct dns *d)
{
	if (d == NULL)
		return;
	while (!LIST_EMPTY(&d->tcps))
		tcp_close(LIST_FIRST(&d->tcps));
	while (!LIST_EMPTY(&d->faults))
		dns_fault_remove(d, LIST_FIRST(&d->faults));
	for (int i = 0; i < d->view_count; i++) {
		watch_free(d->views[i].watch);
		listener_free(d->views[i].listener);
		(void)close(d->views[i].fd);
	}
	dns_zone_free(d->zone);
	dns_sign_free(d->sign);
	buf_free(&d->anchor);
	free(d);
}

int dns_add(struct dns *d, int view, const char *line, struct err *reterr)
{
	return dns_zone_add(d->zone, view, NULL, line, reterr);
}

int dns_add_below(struct dns *d, const char *origin, const char *line, struct err *reterr)
{
	return dns_zone_add(d->zone, DNS_VIEW_ALL, origin, line, reterr);
}

void dns_remove_below(struct dns *d, const char *domain)
{
	dns_zone_remove_below(d->zone, domain);
}

void dns_remove_at(struct dns *d, const char *name)
{
	dns_zone_remove_at(d->zone, name);
}

int dns_add_file(struct dns *d, const char *path, struct err *reterr)
{
	return dns_zone_add_file(d->zone, path, reterr);
}

int dns_sign(struct dns *d, const char *domain, struct err *reterr)
{
	struct dns_sign *made = dns_sign_new(domain, reterr);

	if (made == NULL)
		return reterr->code;
	dns_sign_free(d->sign);
	d->sign = made;
	buf_reset(&d->anchor);
	dns_sign_anchor(made, &d->anchor);
	return 0;
}

struct span dns_anchor(const struct dns *d)
{
	return buf_span(&d->anchor);
}

void dns_on_query(struct dns *d, dns_query_fn *fn, void *ctx)
{
	d->on_query = fn;
	d->ctx = ctx;
}

struct dns_watch *dns_watch_new(struct dns *d, const char *domain, dns_query_fn *fn, void *ctx)
{
	struct dns_watch *w = calloc(1, sizeof(*w));

	if (w == NULL)
		abort();
	*w = (struct dns_watch){ .domain = ldns_dname_new_frm_str(domain), .fn = fn, .ctx = ctx };
	assert(w->domain != NULL);
	ldns_dname2canonical(w->domain);
	LIST_INSERT_HEAD(&d->watches, w, entry);
	return w;
}

void dns_watch_free(struct dns_watch *w)
{
	if (w == NULL)
		return;
	LIST_REMOVE(w, entry);
	ldns_rdf_deep_free(w->domain);
	free(w);
}

struct dns_fault *dns_fault_add(struct dns *d, const char *domain, enum dns_fault_kind kind,
				uint32_t lookup_count_max)
{
	struct dns_fault *f = calloc(1, sizeof(*f));

	if (f == NULL)
		abort();
	f->domain = ldns_dname_new_frm_str(domain);
	if (f->domain == NULL) {
		free(f);
		return NULL;
	}
	ldns_dname2canonical(f->domain);
	f->kind = kind;
	f->count_max = lookup_count_max;
	LIST_INSERT_HEAD(&d->faults, f, entry);
	return f;
}

bool dns_fault_limit(struct dns_fault *f, const char *type)
{
	f->type = ldns_get_rr_type_by_name(type);
	return f->type != 0;
}

void dns_fault_remove(struct dns *d, struct dns_fault *f)
{
	if (f == NULL)
		return;
	(void)d;
	LIST_REMOVE(f, entry);
	ldns_rdf_deep_free(f->domain);
	free(f);
}

uint32_t dns_fault_lookup_count(const struct dns_fault *f)
{
	return f->count;
}

/* FNV-1a over view, type and name: two lookups that collide count as one, in a test server that is fine. */
static uint64_t lookup_key(int view, const ldns_rdf *name, ldns_rr_type type)
{
	uint64_t h = 14695981039346656037ULL ^ (uint64_t)(uint32_t)view ^ ((uint64_t)type << 32);
	const uint8_t *p = ldns_rdf_data(name);

	for (size_t i = 0; i < ldns_rdf_size(name); i++)
		h = (h ^ p[i]) * 1099511628211ULL;
	return h;
}

/* Whether the fault hits this query: all queries of one lookup fare alike. */
static bool fault_hits(struct dns_fault *f, uint64_t key, int64_t now_ns)
{
	int64_t same_ns = f->kind == DNS_TIMEOUT ? SAME_TIMED_LOOKUP_NS : SAME_LOOKUP_NS;
	struct lookup *oldest = &f->lookups[0];

	for (int i = 0; i < LOOKUPS_REMEMBERED; i++) {
		struct lookup *l = &f->lookups[i];
		if (l->key == key && l->last_ns != 0 && now_ns - l->last_ns <= same_ns) {
			l->last_ns = now_ns;
			return l->hit;
		}
		if (l->last_ns < oldest->last_ns)
			oldest = l;
	}
	*oldest = (struct lookup){ key, now_ns, f->count_max == 0 || f->count < f->count_max };
	f->count += oldest->hit;
	return oldest->hit;
}

static const struct dns_fault *find_fault(struct dns *d, int view, const ldns_rr *question, int64_t now_ns)
{
	ldns_rdf *name = ldns_rdf_clone(ldns_rr_owner(question));
	const struct dns_fault *found = NULL;
	struct dns_fault *f;

	ldns_dname2canonical(name);
	uint64_t key = lookup_key(view, name, ldns_rr_get_type(question));
	LIST_FOREACH (f, &d->faults, entry) {
		if (f->kind != DNS_UNSIGNED && (f->type == 0 || f->type == ldns_rr_get_type(question)) &&
		    (ldns_dname_compare(name, f->domain) == 0 || ldns_dname_is_subdomain(name, f->domain)) &&
		    fault_hits(f, key, now_ns)) {
			found = f;
			break;
		}
	}
	ldns_rdf_deep_free(name);
	return found;
}

/* ---- one question ---- */

static const char *rcode_name(ldns_pkt_rcode rcode)
{
	switch ((int)rcode) {
	case LDNS_RCODE_NOERROR:
		return "NOERROR";
	case LDNS_RCODE_NXDOMAIN:
		return "NXDOMAIN";
	case LDNS_RCODE_SERVFAIL:
		return "SERVFAIL";
	case LDNS_RCODE_FORMERR:
		return "FORMERR";
	default:
		return "NOTIMPL";
	}
}

static void tell(struct view *v, const ldns_rr *question, bool tcp, const char *result, int64_t now_ns)
{
	struct dns *d = v->dns;
	struct dns_watch *w;

	if (d->on_query == NULL && LIST_EMPTY(&d->watches))
		return;
	char *name = ldns_rdf2str(ldns_rr_owner(question));
	char *type = ldns_rr_type2str(ldns_rr_get_type(question));
	const struct dns_query q = { v->number, name, type, tcp, result, now_ns };
	if (d->on_query != NULL)
		d->on_query(d->ctx, &q);
	ldns_rdf *owner = ldns_rdf_clone(ldns_rr_owner(question));
	ldns_dname2canonical(owner);
	LIST_FOREACH (w, &d->watches, entry)
		if (ldns_dname_compare(owner, w->domain) == 0 || ldns_dname_is_subdomain(owner, w->domain))
			w->fn(w->ctx, &q);
	ldns_rdf_deep_free(owner);
	free(name);
	free(type);
}

static bool is_cut(void *ctx, const ldns_rdf *name)
{
	const struct dns *d = ctx;
	const struct dns_fault *f;

	LIST_FOREACH (f, &d->faults, entry)
		if (f->kind == DNS_UNSIGNED && ldns_dname_compare(name, f->domain) == 0)
			return true;
	return false;
}

/* Of faults that last: others would be counted here as well as where they hit. */
static bool is_failing(void *ctx, const ldns_rdf *name, ldns_rr_type type)
{
	const struct dns *d = ctx;
	const struct dns_fault *f;

	LIST_FOREACH (f, &d->faults, entry)
		if ((f->kind == DNS_SERVFAIL || f->kind == DNS_TIMEOUT || f->kind == DNS_BOGUS) &&
		    f->count_max == 0 && (f->type == 0 || f->type == type) &&
		    (ldns_dname_compare(name, f->domain) == 0 || ldns_dname_is_subdomain(name, f->domain)))
			return true;
	return false;
}

static void negative(ldns_pkt *response)
{
	ldns_pkt_set_rcode(response, LDNS_RCODE_NXDOMAIN);
	(void)ldns_pkt_push_rr(response, LDNS_SECTION_AUTHORITY, dns_zone_soa());
}

/* What is there, signed where it is to be. */
static void give_records(struct view *v, const ldns_pkt *query, const struct dns_fault *fault,
			 ldns_pkt *response)
{
	struct dns *d = v->dns;

	if (fault != NULL && fault->kind == DNS_NXDOMAIN)
		negative(response);
	else
		dns_zone_answer(d->zone, v->number, ldns_rr_list_rr(ldns_pkt_question(query), 0), response);
	if (d->sign != NULL)
		dns_sign_answer(
			d->sign,
			&(struct dns_sign_options){ .query = query,
						    .zone = d->zone,
						    .view = v->number,
						    .bogus = fault != NULL && fault->kind == DNS_BOGUS,
						    .is_cut = is_cut,
						    .is_failing = is_failing,
						    .ctx = d },
			response);
}

/* Fills response; false: the query gets no answer at all.  *ret_cut: by UDP it is to be truncated. */
static bool answer(struct view *v, const ldns_pkt *query, bool tcp, ldns_pkt *response, bool *ret_cut)
{
	const ldns_rr_list *questions = ldns_pkt_question(query);
	int64_t now_ns = clock_mono_ns();

	ldns_pkt_set_id(response, ldns_pkt_id(query));
	ldns_pkt_set_qr(response, true);
	ldns_pkt_set_aa(response, true);
	ldns_pkt_set_ra(response, true);
	ldns_pkt_set_rd(response, ldns_pkt_rd(query));
	ldns_pkt_set_opcode(response, ldns_pkt_get_opcode(query));
	if (ldns_pkt_edns(query))
		ldns_pkt_set_edns_udp_size(response, EDNS_BYTES);
	if (ldns_pkt_get_opcode(query) != LDNS_PACKET_QUERY) {
		ldns_pkt_set_rcode(response, LDNS_RCODE_NOTIMPL);
		return true;
	}
	if (ldns_rr_list_rr_count(questions) != 1) {
		ldns_pkt_set_rcode(response, LDNS_RCODE_FORMERR);
		return true;
	}
	const ldns_rr *question = ldns_rr_list_rr(questions, 0);
	(void)ldns_pkt_push_rr(response, LDNS_SECTION_QUESTION, ldns_rr_clone(question));
	const struct dns_fault *fault = find_fault(v->dns, v->number, question, now_ns);
	if (fault != NULL && fault->kind == DNS_TIMEOUT) {
		tell(v, question, tcp, "timeout", now_ns);
		return false;
	}
	*ret_cut = fault != NULL && fault->kind == DNS_TRUNCATED;
	if (fault != NULL && fault->kind == DNS_SERVFAIL)
		ldns_pkt_set_rcode(response, LDNS_RCODE_SERVFAIL);
	else
		give_records(v, query, fault, response);
	tell(v, question, tcp, *ret_cut && !tcp ? "truncated" : rcode_name(ldns_pkt_get_rcode(response)),
	     now_ns);
	return true;
}

/* With TC: ask again over TCP.  Of the records there is none, or the last one, as a trap (RFC 2181 9). */
static ldns_pkt *truncated(const ldns_pkt *full, bool with_last)
{
	ldns_pkt *p = ldns_pkt_new();

	assert(p != NULL);
	ldns_pkt_set_id(p, ldns_pkt_id(full));
	ldns_pkt_set_flags(p, LDNS_QR | LDNS_AA | LDNS_RA | LDNS_TC);
	ldns_pkt_set_rd(p, ldns_pkt_rd(full));
	ldns_pkt_set_rcode(p, (uint8_t)ldns_pkt_get_rcode(full));
	if (ldns_pkt_edns(full))
		ldns_pkt_set_edns_udp_size(p, EDNS_BYTES);
	for (size_t i = 0; i < ldns_rr_list_rr_count(ldns_pkt_question(full)); i++)
		(void)ldns_pkt_push_rr(p, LDNS_SECTION_QUESTION,
				       ldns_rr_clone(ldns_rr_list_rr(ldns_pkt_question(full), i)));
	size_t answers = ldns_rr_list_rr_count(ldns_pkt_answer(full));
	if (with_last && answers > 0)
		(void)ldns_pkt_push_rr(p, LDNS_SECTION_ANSWER,
				       ldns_rr_clone(ldns_rr_list_rr(ldns_pkt_answer(full), answers - 1)));
	return p;
}

static uint8_t *respond(struct view *v, const uint8_t *bytes, size_t n, bool tcp, size_t *ret_n)
{
	ldns_pkt *query = NULL, *response;
	uint8_t *wire = NULL;
	bool cut = false;

	if (ldns_wire2pkt(&query, bytes, n) != LDNS_STATUS_OK)
		return NULL;
	if (ldns_pkt_qr(query)) { /* Answering answers could go on for ever. */
		ldns_pkt_free(query);
		return NULL;
	}
	response = ldns_pkt_new();
	assert(response != NULL);
	if (answer(v, query, tcp, response, &cut) &&
	    ldns_pkt2wire(&wire, response, ret_n) == LDNS_STATUS_OK && !tcp) {
		size_t limit = ldns_pkt_edns(query) ? ldns_pkt_edns_udp_size(query) : UDP_BYTES_PLAIN;
		limit = limit < UDP_BYTES_PLAIN ? UDP_BYTES_PLAIN
			: limit > UDP_BYTES_MAX ? UDP_BYTES_MAX
						: limit;
		if (cut || *ret_n > limit) {
			ldns_pkt *shorter = truncated(response, cut);
			free(wire);
			wire = NULL;
			if (ldns_pkt2wire(&wire, shorter, ret_n) != LDNS_STATUS_OK)
				wire = NULL;
			ldns_pkt_free(shorter);
		}
	}
	ldns_pkt_free(response);
	ldns_pkt_free(query);
	return wire;
}

uint8_t *dns_respond(struct dns *d, struct span query, bool tcp, size_t *ret_bytes)
{
	struct view all = { .dns = d, .number = DNS_VIEW_ALL };

	return respond(&all, (const uint8_t *)query.p, query.n, tcp, ret_bytes);
}

/* ---- transports ---- */

static void on_udp(void *ctx, bool readable, bool writable)
{
	struct view *v = ctx;
	uint8_t bytes[UDP_BYTES_MAX];
	struct sockaddr_storage peer;
	(void)readable;
	(void)writable;

	for (;;) {
		socklen_t peer_bytes = sizeof(peer);
		ssize_t n = recvfrom(v->fd, bytes, sizeof(bytes), 0, (struct sockaddr *)&peer, &peer_bytes);
		if (n < 0)
			return; /* nothing more; errors of single datagrams do not matter here */
		size_t wire_bytes = 0;
		uint8_t *wire = respond(v, bytes, (size_t)n, false, &wire_bytes);
		if (wire != NULL)
			(void)sendto(v->fd, wire, wire_bytes, 0, (struct sockaddr *)&peer, peer_bytes);
		free(wire);
	}
}

static void tcp_read(struct tcp *t)
{
	for (;;) {
		struct span in = conn_input(t->conn);
		if (in.n < 2)
			return;
		size_t n = (size_t)((unsigned char)in.p[0] << 8 | (unsigned char)in.p[1]);
		if (in.n < 2 + n)
			return;
		size_t wire_bytes = 0;
		uint8_t *wire = respond(t->view, (const uint8_t *)in.p + 2, n, true, &wire_bytes);
		if (wire != NULL && wire_bytes <= UINT16_MAX) {
			char length[2] = { (char)(wire_bytes >> 8), (char)wire_bytes };
			conn_write(t->conn, (struct span){ length, 2 });
			conn_write(t->conn, (struct span){ (const char *)wire, wire_bytes });
		}
		free(wire);
		conn_consume(t->conn, 2 + n);
	}
}

static void on_tcp(void *ctx, enum conn_event event)
{
	struct tcp *t = ctx;

	switch (event) {
	case CONN_INPUT:
		tcp_read(t);
		break;
	case CONN_EOF:
		if (conn_output_bytes(t->conn) == 0)
			tcp_close(t);
		break;
	case CONN_TIMEOUT:
	case CONN_FAILED:
		tcp_close(t);
		break;
	case CONN_CONNECTED:
	case CONN_SECURED:
	case CONN_DRAINED:
		break;
	}
}

static void on_accept(void *ctx, int fd, const struct addr *peer)
{
	struct view *v = ctx;
	struct tcp *t;
	(void)peer;

	if (v->dns->tcp_count == TCP_CONNS_MAX) {
		(void)close(fd);
		return;
	}
	t = calloc(1, sizeof(*t));
	if (t == NULL)
		abort();
	t->view = v;
	LIST_INSERT_HEAD(&v->dns->tcps, t, entry);
	v->dns->tcp_count++;
	t->conn = conn_take(&(struct conn_options){ .loop = v->dns->loop,
						    .on_event = on_tcp,
						    .ctx = t,
						    .input_bytes_max = UINT16_MAX + 2 },
			    fd);
	conn_set_timeout_ms(t->conn, TCP_IDLE_MS);
}

static int udp_open(const struct addr *at, struct err *reterr)
{
	char text[56];
	int fd = socket(at->ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return err_errno(reterr, errno, "DNS socket");
	if (bind(fd, (const struct sockaddr *)&at->ss, at->n) != 0) {
		int rc = err_errno(reterr, errno, "DNS on %s/udp", addr_format(at, text));
		(void)close(fd);
		return rc;
	}
	return fd;
}

/* Both transports on one port; which one, the listener decides when at has none. */
static int listen_both(struct view *v, const struct addr *at, struct err *reterr)
{
	v->listener = listener_new(v->dns->loop, at, on_accept, v, reterr);
	if (v->listener == NULL)
		return reterr->code;
	v->addr = *listener_addr(v->listener);
	v->fd = udp_open(&v->addr, reterr);
	if (v->fd >= 0)
		return 0;
	listener_free(v->listener);
	v->listener = NULL;
	return v->fd;
}

int dns_listen(struct dns *d, const struct addr *at, struct err *reterr)
{
	struct view *v = &d->views[d->view_count];
	int tries = addr_port(at) == 0 ? PORT_TRIES : 1;
	int rc = -EADDRINUSE;

	if (d->view_count == VIEWS_MAX)
		return err_set(reterr, -ENOSPC, "more than %d DNS addresses", VIEWS_MAX);
	*v = (struct view){ .dns = d, .number = d->view_count };
	while (tries-- > 0 && rc == -EADDRINUSE)
		rc = listen_both(v, at, reterr);
	if (rc != 0)
		return rc;
	v->watch = watch_new(d->loop, v->fd, on_udp, v);
	watch_set(v->watch, true, false);
	d->view_count++;
	return v->number;
}

const struct addr *dns_addr(const struct dns *d, int view)
{
	assert(view >= 0 && view < d->view_count);
	return &d->views[view].addr;
}
