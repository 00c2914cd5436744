#include "reference-server/drive/resolver.h"

#include "base/buf.h"
#include "base/must.h"
#include "reference-server/core/mutant.h"
#include "reference-server/drive/resolver_context.h"

#include <assert.h>
#include <errno.h>
#include <ldns/ldns.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unbound-event.h>
#include <unbound.h>

enum {
	DEFAULT_TIMEOUT_MS = 10000,
	DEFAULT_IN_FLIGHT_MAX = 1000,
	NAME_BYTES_MAX = 255,
	WHY_BYTES_MAX = 200,
	CNAMES_MAX = 20,
	SLOW_MS = 3000, /* a failure that took so long was silence: libunbound gave up */
};

struct query {
	struct lookup *lookup;
	ldns_rr_type type;
	int async_id;
	bool out; /* libunbound has it */
	enum route_dns result;
	bool secure;
	char expanded[NAME_BYTES_MAX + 1]; /* behind its CNAMEs; empty: there are none */
};

struct lookup {
	struct resolver *resolver;
	struct context *context; /* while it is under way */
	enum { LOOKUP_WAITING, LOOKUP_SENT, LOOKUP_READY } state;
	TAILQ_ENTRY(lookup) next; /* in the list of its state */
	struct timer *deadline;
	int64_t sent_ms;
	bool late; /* the deadline has come */
	char name[NAME_BYTES_MAX + 1];
	struct query queries[2];
	uint32_t query_count;

	resolver_mx_fn *mx_fn;
	resolver_addresses_fn *addresses_fn;
	resolver_records_fn *records_fn;
	void *ctx;
	char why[WHY_BYTES_MAX];
	struct route_mx *mx; /* their hosts are offsets into names until the answer is given */
	uint32_t mx_count;
	struct buf names;     /* or the bytes of records */
	struct span *records; /* offsets likewise */
	uint32_t record_count;
	struct route_addr *addrs; /* A from the front; AAAA too, moved behind them at the end */
	uint32_t addr_count;
	uint32_t a_count;
};
TAILQ_HEAD(lookup_list, lookup);

struct resolver {
	struct loop *loop;
	int64_t timeout_ms;
	uint32_t in_flight_max;
	uint32_t in_flight;
	uint32_t lookup_count;
	struct contexts *contexts;
	struct lookup_list waiting;
	struct lookup_list sent;
	struct lookup_list ready;
	struct task *work;
};

/* ---- answers ---- */

static void add_mx(struct lookup *l, const ldns_rr *rr)
{
	if (l->mx_count == RESOLVER_MX_MAX || ldns_rr_rd_count(rr) != 2)
		return;
	ldns_dname2canonical(ldns_rr_rdf(rr, 1)); /* in lower case: one host, one name */
	char *text = ldns_rdf2str(ldns_rr_rdf(rr, 1));
	if (text == NULL)
		return;
	struct span host = span_of(text);
	if (host.n > 0 && host.p[host.n - 1] == '.')
		host.n--;
	if (l->mx == NULL)
		l->mx = must(calloc(RESOLVER_MX_MAX, sizeof(*l->mx)));
	l->mx[l->mx_count++] = (struct route_mx){ .preference = ldns_rdf2native_int16(ldns_rr_rdf(rr, 0)),
						  .host = { .n = host.n } };
	buf_add(&l->names, host);
	free(text);
}

static void add_address(struct lookup *l, const ldns_rr *rr)
{
	bool is_ipv6 = ldns_rr_get_type(rr) == LDNS_RR_TYPE_AAAA;
	size_t bytes = is_ipv6 ? 16 : 4;

	if (l->addr_count == RESOLVER_ADDRESSES_MAX || ldns_rr_rd_count(rr) != 1 ||
	    ldns_rdf_size(ldns_rr_rdf(rr, 0)) != bytes)
		return;
	if (l->addrs == NULL)
		l->addrs = must(calloc(RESOLVER_ADDRESSES_MAX, sizeof(*l->addrs)));
	struct route_addr *at = &l->addrs[l->addr_count];
	if (!is_ipv6) {
		/* IPv4 goes first, whichever answer came first. */
		at = &l->addrs[l->a_count];
		memmove(at + 1, at, (l->addr_count - l->a_count) * sizeof(*at));
		l->a_count++;
	}
	*at = (struct route_addr){ .is_ipv6 = is_ipv6 };
	memcpy(at->bytes, ldns_rdf_data(ldns_rr_rdf(rr, 0)), bytes);
	l->addr_count++;
}

static void add_record(struct lookup *l, const ldns_rr *rr)
{
	if (l->record_count == RESOLVER_RECORDS_MAX)
		return;
	if (l->records == NULL)
		l->records = must(calloc(RESOLVER_RECORDS_MAX, sizeof(*l->records)));
	size_t before = buf_bytes(&l->names);
	for (size_t i = 0; i < ldns_rr_rd_count(rr); i++) {
		const ldns_rdf *rdf = ldns_rr_rdf(rr, i);
		buf_add(&l->names, (struct span){ (const char *)ldns_rdf_data(rdf), ldns_rdf_size(rdf) });
	}
	l->records[l->record_count++].n = buf_bytes(&l->names) - before;
}

/* Follows the CNAMEs of an answer from the name asked for, to wherever they lead. */
static void note_expanded(struct query *q, const ldns_rr_list *answer)
{
	ldns_rdf *at = ldns_dname_new_frm_str(q->lookup->name);
	uint32_t steps = 0;
	bool moved = at != NULL;

	while (moved && steps < CNAMES_MAX) {
		moved = false;
		for (size_t i = 0; i < ldns_rr_list_rr_count(answer) && !moved; i++) {
			const ldns_rr *rr = ldns_rr_list_rr(answer, i);
			if (ldns_rr_get_type(rr) != LDNS_RR_TYPE_CNAME || ldns_rr_rd_count(rr) != 1 ||
			    ldns_dname_compare(ldns_rr_owner(rr), at) != 0)
				continue;
			ldns_rdf_deep_free(at);
			at = ldns_rdf_clone(ldns_rr_rdf(rr, 0));
			steps++;
			moved = at != NULL;
		}
	}
	char *text = NULL;
	if (steps > 0 && at != NULL) {
		ldns_dname2canonical(at);
		text = ldns_rdf2str(at);
	}
	struct span name = text != NULL ? span_of(text) : (struct span){ NULL, 0 };
	if (name.n > 0 && name.p[name.n - 1] == '.')
		name.n--;
	if (name.n > 0)
		(void)span_copy(name, q->expanded, sizeof(q->expanded));
	free(text);
	ldns_rdf_deep_free(at);
}

static enum route_dns read_records(struct query *q, const ldns_pkt *packet)
{
	const ldns_rr_list *answer = ldns_pkt_answer(packet);
	uint32_t count = 0;

	if (q->type != LDNS_RR_TYPE_CNAME)
		note_expanded(q, answer);
	for (size_t i = 0; i < ldns_rr_list_rr_count(answer); i++) {
		const ldns_rr *rr = ldns_rr_list_rr(answer, i);
		if (ldns_rr_get_type(rr) != q->type)
			continue; /* the CNAMEs on the way */
		count++;
		if (q->lookup->records_fn != NULL)
			add_record(q->lookup, rr);
		else if (q->type == LDNS_RR_TYPE_MX)
			add_mx(q->lookup, rr);
		else
			add_address(q->lookup, rr);
	}
	return count > 0 ? ROUTE_DNS_FOUND : ROUTE_DNS_NODATA;
}

/* libunbound's own rcode is 0 for a failure from its cache and for names it denies itself: the packet's
 * counts. */
static enum route_dns read_packet(struct query *q, int rcode, const void *packet, int packet_bytes)
{
	ldns_pkt *p = NULL;
	enum route_dns result = ROUTE_DNS_FAILED;

	if (rcode != 0 || packet == NULL || packet_bytes <= 0 ||
	    ldns_wire2pkt(&p, packet, (size_t)packet_bytes) != LDNS_STATUS_OK)
		return ROUTE_DNS_FAILED;
	ldns_pkt_rcode said = ldns_pkt_get_rcode(p);
	if (said == LDNS_RCODE_NXDOMAIN)
		result = ROUTE_DNS_NXDOMAIN;
	else if (said == LDNS_RCODE_NOERROR)
		result = read_records(q, p);
	ldns_pkt_free(p);
	return result;
}

static void be_ready(struct lookup *l)
{
	struct resolver *r = l->resolver;

	assert(l->state == LOOKUP_SENT);
	timer_clear(l->deadline);
	TAILQ_REMOVE(&r->sent, l, next);
	TAILQ_INSERT_TAIL(&r->ready, l, next);
	l->state = LOOKUP_READY;
	task_schedule(r->work);
}

static void note_result(struct query *q, enum route_dns result)
{
	struct lookup *l = q->lookup;

	q->out = false;
	q->result = result;
	if (result == ROUTE_DNS_FAILED)
		context_note_failure(l->context, span_of(l->name),
				     l->late || clock_mono_ms() - l->sent_ms >= SLOW_MS);
	for (uint32_t i = 0; i < l->query_count; i++)
		if (l->queries[i].out)
			return;
	if (l->state == LOOKUP_SENT)
		be_ready(l);
}

/* May come from inside ub_resolve_event. */
static void on_answer(void *ctx, int rcode, void *packet, int packet_bytes, int security, char *why_bogus,
		      int was_ratelimited)
{
	enum { BOGUS = 1, SECURE = 2 };
	struct query *q = ctx;
	(void)was_ratelimited;

	q->secure = security == SECURE || MUTANT(RELAY_ALL_IS_SECURE);
	if ((security == BOGUS || why_bogus != NULL) && !MUTANT(RELAY_BOGUS_IS_INSECURE)) {
		(void)snprintf(q->lookup->why, sizeof(q->lookup->why), "bogus: %s",
			       why_bogus != NULL ? why_bogus : "validation failed");
		note_result(q, ROUTE_DNS_FAILED);
		return;
	}
	note_result(q, read_packet(q, rcode, packet, packet_bytes));
}

/* ---- lookups ---- */

static void on_deadline(void *ctx)
{
	struct lookup *l = ctx;

	l->late = true;
	for (uint32_t i = 0; i < l->query_count && l->state == LOOKUP_SENT; i++) {
		struct query *q = &l->queries[i];
		if (!q->out)
			continue;
		(void)ub_cancel(context_ub(l->context), q->async_id);
		note_result(q, ROUTE_DNS_FAILED);
	}
}

static void leave_list(struct lookup *l)
{
	struct resolver *r = l->resolver;

	switch (l->state) {
	case LOOKUP_WAITING:
		TAILQ_REMOVE(&r->waiting, l, next);
		return;
	case LOOKUP_SENT:
		TAILQ_REMOVE(&r->sent, l, next);
		break;
	case LOOKUP_READY:
		TAILQ_REMOVE(&r->ready, l, next);
		break;
	}
	context_put(l->context);
	l->context = NULL;
	r->in_flight--;
}

static void destroy(struct lookup *l)
{
	timer_free(l->deadline);
	buf_free(&l->names);
	free(l->records);
	free(l->mx);
	free(l->addrs);
	free(l);
}

void lookup_cancel(struct lookup *l)
{
	if (l == NULL)
		return;
	struct resolver *r = l->resolver;
	for (uint32_t i = 0; i < l->query_count; i++)
		if (l->queries[i].out)
			(void)ub_cancel(context_ub(l->context), l->queries[i].async_id);
	leave_list(l);
	destroy(l);
	r->lookup_count--;
	task_schedule(r->work); /* the next one may go */
}

static void send_lookup(struct lookup *l)
{
	struct resolver *r = l->resolver;

	TAILQ_REMOVE(&r->waiting, l, next);
	TAILQ_INSERT_TAIL(&r->sent, l, next);
	r->in_flight++;
	l->context = context_get(r->contexts, span_of(l->name));
	l->sent_ms = clock_mono_ms();
	timer_set_ms(l->deadline, r->timeout_ms);
	/* All count as out before the first is sent: an answer from the cache comes at once. */
	for (uint32_t i = 0; i < l->query_count; i++)
		l->queries[i].out = true;
	l->state = LOOKUP_SENT;
	for (uint32_t i = 0; i < l->query_count; i++) {
		struct query *q = &l->queries[i];
		int rc = ub_resolve_event(context_ub(l->context), l->name, (int)q->type, LDNS_RR_CLASS_IN, q,
					  on_answer, &q->async_id);
		if (rc == UB_SYNTAX)
			note_result(q, ROUTE_DNS_NXDOMAIN); /* no name can look like that */
		else if (rc != 0)
			note_result(q, ROUTE_DNS_FAILED);
	}
}

static enum route_dns addresses_result(const struct lookup *l)
{
	enum route_dns a = l->queries[0].result, aaaa = l->queries[1].result;

	if (l->addr_count > 0 && !MUTANT(RELAY_HALF_A_LOOKUP_WAITS))
		return ROUTE_DNS_FOUND;
	if (a == ROUTE_DNS_FAILED || aaaa == ROUTE_DNS_FAILED)
		return ROUTE_DNS_FAILED;
	if (l->addr_count > 0)
		return ROUTE_DNS_FOUND;
	/* Both say the same about the name, unless the zone has just changed. */
	return a == ROUTE_DNS_NXDOMAIN && aaaa == ROUTE_DNS_NXDOMAIN ? ROUTE_DNS_NXDOMAIN : ROUTE_DNS_NODATA;
}

/* Of all that was found; when nothing was, of that. */
static struct resolver_proof proof_of(const struct lookup *l)
{
	struct resolver_proof p = { .secure = true, .why = l->why[0] != '\0' ? l->why : NULL };
	bool any = false;

	for (uint32_t i = 0; i < l->query_count; i++)
		any |= l->queries[i].result == ROUTE_DNS_FOUND;
	for (uint32_t i = 0; i < l->query_count; i++) {
		const struct query *q = &l->queries[i];
		if (any && q->result != ROUTE_DNS_FOUND)
			continue;
		struct span name = span_of(q->expanded[0] != '\0' ? q->expanded : l->name);
		p.secure &= q->secure && (p.name.n == 0 || span_eq_nocase(name, p.name));
		if (p.name.n == 0)
			p.name = name;
	}
	return p;
}

static void give_records(struct lookup *l, const struct resolver_proof *proof)
{
	size_t at = 0;

	for (uint32_t i = 0; i < l->record_count; i++) {
		l->records[i] = span_sub(buf_span(&l->names), at, l->records[i].n);
		at += l->records[i].n;
	}
	l->records_fn(l->ctx, l->queries[0].result, l->records, l->record_count, proof);
}

static void give_mx(struct lookup *l, const struct resolver_proof *proof)
{
	size_t at = 0;

	for (uint32_t i = 0; i < l->mx_count; i++) {
		l->mx[i].host = span_sub(buf_span(&l->names), at, l->mx[i].host.n);
		at += l->mx[i].host.n;
	}
	enum route_dns result = l->queries[0].result;
	if (result == ROUTE_DNS_FOUND && l->mx_count == 0)
		result = ROUTE_DNS_FAILED;
	l->mx_fn(l->ctx, result, l->mx, l->mx_count, proof);
}

static void give_answer(struct lookup *l)
{
	struct resolver_proof proof = proof_of(l);

	if (l->addresses_fn != NULL) {
		struct route_addresses found = { .result = addresses_result(l),
						 .addrs = l->addrs,
						 .count = l->addr_count };
		l->addresses_fn(l->ctx, &found, &proof);
	} else if (l->records_fn != NULL) {
		give_records(l, &proof);
	} else {
		give_mx(l, &proof);
	}
}

/* Answers what is ready, then sends what waits.  Outside every callback of libunbound. */
static void on_work(void *ctx)
{
	struct resolver *r = ctx;
	struct lookup *l;

	while ((l = TAILQ_FIRST(&r->ready)) != NULL) {
		leave_list(l);
		r->lookup_count--;
		give_answer(l);
		destroy(l);
	}
	while (r->in_flight < r->in_flight_max && (l = TAILQ_FIRST(&r->waiting)) != NULL)
		send_lookup(l);
	contexts_tidy(r->contexts);
}

static struct lookup *lookup_new(struct resolver *r, struct span name, void *ctx)
{
	struct lookup *l = must(calloc(1, sizeof(*l)));

	l->resolver = r;
	l->ctx = ctx;
	/* What does not fit is no name; libunbound says so of an impossible one. */
	if (!span_copy(name, l->name, sizeof(l->name)) || name.n == 0)
		(void)span_copy(SPAN_LIT(".."), l->name, sizeof(l->name));
	l->deadline = timer_new(r->loop, on_deadline, l);
	l->state = LOOKUP_WAITING;
	TAILQ_INSERT_TAIL(&r->waiting, l, next);
	r->lookup_count++;
	task_schedule(r->work);
	return l;
}

struct lookup *resolver_mx(struct resolver *r, struct span domain, resolver_mx_fn *fn, void *ctx)
{
	struct lookup *l = lookup_new(r, domain, ctx);

	l->mx_fn = fn;
	l->queries[0] = (struct query){ .lookup = l, .type = LDNS_RR_TYPE_MX };
	l->query_count = 1;
	return l;
}

struct lookup *resolver_addresses(struct resolver *r, struct span host, resolver_addresses_fn *fn, void *ctx)
{
	struct lookup *l = lookup_new(r, host, ctx);

	l->addresses_fn = fn;
	l->queries[0] = (struct query){ .lookup = l, .type = LDNS_RR_TYPE_A };
	l->queries[1] = (struct query){ .lookup = l, .type = LDNS_RR_TYPE_AAAA };
	l->query_count = MUTANT(RELAY_NO_IPV6) ? 1 : 2;
	return l;
}

struct lookup *resolver_records(struct resolver *r, struct span name, enum resolver_type type,
				resolver_records_fn *fn, void *ctx)
{
	static const ldns_rr_type types[] = {
		[RESOLVER_TLSA] = LDNS_RR_TYPE_TLSA, [RESOLVER_CNAME] = LDNS_RR_TYPE_CNAME
	};
	struct lookup *l = lookup_new(r, name, ctx);

	l->records_fn = fn;
	l->queries[0] = (struct query){ .lookup = l, .type = types[type] };
	l->query_count = 1;
	return l;
}

uint32_t resolver_lookup_count(const struct resolver *r)
{
	return r->lookup_count;
}

/* ---- beginning and end ---- */

struct resolver *resolver_new(const struct resolver_options *o, struct err *reterr)
{
	struct contexts *contexts = contexts_new(o->loop, o->forwarder, o->trust_anchor, reterr);
	if (contexts == NULL)
		return NULL;
	struct resolver *r = must(calloc(1, sizeof(*r)));
	*r = (struct resolver){
		.loop = o->loop,
		.timeout_ms = o->timeout_ms > 0 ? o->timeout_ms : DEFAULT_TIMEOUT_MS,
		.in_flight_max = o->in_flight_max > 0 ? o->in_flight_max : DEFAULT_IN_FLIGHT_MAX,
		.contexts = contexts,
	};
	TAILQ_INIT(&r->waiting);
	TAILQ_INIT(&r->sent);
	TAILQ_INIT(&r->ready);
	r->work = task_new(r->loop, on_work, r);
	return r;
}

static void cancel_all(struct lookup_list *list)
{
	while (!TAILQ_EMPTY(list))
		lookup_cancel(TAILQ_FIRST(list));
}

void resolver_free(struct resolver *r)
{
	if (r == NULL)
		return;
	cancel_all(&r->waiting);
	cancel_all(&r->sent);
	cancel_all(&r->ready);
	contexts_free(r->contexts);
	task_free(r->work);
	free(r);
}
