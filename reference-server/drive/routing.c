#include "reference-server/drive/routing.h"

#include "base/random.h"
#include "reference-server/core/address.h"
#include "reference-server/core/mutant.h"
#include "reference-server/drive/dane.h"
#include "reference-server/drive/resolver.h"
#include "reference-server/policy/route.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES_MAX = 256, WHY_BYTES_MAX = 400 };

/* What was found for one host, kept until all hosts have theirs. */
struct answer {
	struct routing *routing;
	struct lookup *lookup;
	struct route_addr addrs[ROUTE_ADDRS_PER_HOST_MAX];
	struct dane_search *search;
	enum tls_dane dane;
	char dane_name[NAME_BYTES_MAX];
	struct tls_record *records; /* with their data behind them */
	uint32_t record_count;
	bool dane_failed; /* the host must not be used */
};

struct routing {
	struct server *server;
	struct settings *settings; /* a rule's host is of these */
	enum tls_wish wish;
	routing_fn *fn;
	void *ctx;
	char domain[NAME_BYTES_MAX];
	uint16_t port;
	bool lmtp;
	struct task *soon; /* for outcomes that need no lookup */
	struct lookup *mx_lookup;
	bool mx_is_secure;
	char domain_expanded[NAME_BYTES_MAX]; /* behind its CNAMEs; empty: there are none */
	struct route_hosts hosts;
	char names[ROUTE_HOSTS_MAX][NAME_BYTES_MAX];
	struct answer answers[ROUTE_HOSTS_MAX];
	struct route_addresses addresses[ROUTE_HOSTS_MAX];
	uint32_t open_count;
	struct smtp_result failure;
	char why[WHY_BYTES_MAX];         /* a lookup could not be validated; empty: all were */
	struct smtp_result dane_failure; /* of one host, should none be left */
	struct targets *direct;          /* an address that needed no lookup */
};

static void routing_free(struct routing *r)
{
	task_free(r->soon);
	for (uint32_t i = 0; i < ROUTE_HOSTS_MAX; i++)
		free(r->answers[i].records);
	targets_release(r->direct);
	settings_release(r->settings);
	free(r);
}

/* A failed validation has more to say than that the lookup failed. */
static void note_why(struct routing *r, struct span name, const char *why)
{
	if (r->why[0] == '\0')
		(void)snprintf(r->why, sizeof(r->why), "%.*s: %s", (int)name.n, name.p, why);
}

static void set_failure(struct routing *r, enum route_result result, const struct route_error *e)
{
	if (result == ROUTE_TEMPORARY && r->why[0] != '\0') {
		smtp_result_set(&r->failure, SMTP_CLASS_TEMPORARY, SMTP_STAGE_CONNECT, 0,
				(struct smtp_status){ 4, 7, 5 }, span_of(r->why));
		return;
	}
	smtp_result_set(&r->failure, result == ROUTE_PERMANENT ? SMTP_CLASS_PERMANENT : SMTP_CLASS_TEMPORARY,
			SMTP_STAGE_CONNECT, 0, e->status, span_of(e->text));
}

static void tell_failure(struct routing *r)
{
	r->fn(r->ctx, NULL, &r->failure);
	routing_free(r);
}

static void to_addr(const struct route_target *t, struct addr *ret_addr)
{
	char ip[INET6_ADDRSTRLEN];
	(void)inet_ntop(t->addr.is_ipv6 ? AF_INET6 : AF_INET, t->addr.bytes, ip, sizeof(ip));
	(void)addr_parse(ip, t->port, ret_addr);
}

static void describe_host(struct routing *r, uint32_t index, struct target_host *h)
{
	const struct route_host *from = &r->hosts.hosts[index];
	struct answer *a = &r->answers[index];

	(void)span_copy(from->name, h->name, sizeof(h->name));
	h->from_mx = !from->implicit && !from->configured;
	h->dane = a->dane;
	(void)span_copy(span_of(a->dane_name), h->dane_name, sizeof(h->dane_name));
	h->records = a->records;
	h->record_count = a->record_count;
	a->records = NULL;
}

static void tell_targets(struct routing *r, const struct route_targets *found)
{
	struct targets *t = targets_new(r->hosts.count, found->count);

	(void)span_copy(span_of(r->domain), t->domain, sizeof(t->domain));
	(void)span_copy(span_of(r->domain_expanded), t->domain_expanded, sizeof(t->domain_expanded));
	t->lmtp = r->lmtp;
	t->mx_is_secure = r->mx_is_secure;
	for (uint32_t i = 0; i < r->hosts.count; i++)
		describe_host(r, i, &t->hosts[i]);
	for (uint32_t i = 0; i < found->count; i++) {
		to_addr(&found->targets[i], &t->list[i].at);
		t->list[i].host_index = found->targets[i].host_index;
	}
	r->fn(r->ctx, t, NULL);
	routing_free(r);
}

/*
 * Those with a failed search count as unreachable (RFC 7672 2.1.2).  Only now:
 * for the question whether we are such a host ourselves their addresses counted.
 */
static void drop_unproven(struct routing *r, struct route_targets *t)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < t->count; i++)
		if (!r->answers[t->targets[i].host_index].dane_failed)
			t->targets[kept++] = t->targets[i];
	t->count = kept;
}

static void have_all(struct routing *r)
{
	struct route_targets targets;
	struct route_error error;
	enum route_result result =
		route_to_targets(&r->server->route, &r->hosts, r->addresses, r->port, &targets, &error);

	if (result != ROUTE_OK) {
		set_failure(r, result, &error);
		tell_failure(r);
		return;
	}
	drop_unproven(r, &targets);
	if (targets.count > 0) {
		tell_targets(r, &targets);
	} else {
		smtp_result_copy(&r->failure, &r->dane_failure);
		tell_failure(r);
	}
}

static void host_done(struct routing *r)
{
	if (--r->open_count == 0)
		have_all(r);
}

/* ---- DANE ---- */

static void keep_records(struct answer *a, const struct dane_found *found)
{
	size_t bytes = 0, at = 0, table_bytes = found->record_count * sizeof(*a->records);

	for (uint32_t i = 0; i < found->record_count; i++)
		bytes += found->records[i].data.n;
	a->records = malloc(table_bytes + bytes + 1);
	if (a->records == NULL)
		abort();
	char *data = (char *)a->records + table_bytes;
	for (uint32_t i = 0; i < found->record_count; i++) {
		const struct tls_record *from = &found->records[i];
		a->records[i] = *from;
		a->records[i].data.p = data + at;
		memcpy(data + at, from->data.p, from->data.n);
		at += from->data.n;
	}
	a->record_count = found->record_count;
}

static void note_dane_failure(struct routing *r, const struct dane_found *found)
{
	struct buf text = { 0 };
	bool bogus = found->why != NULL;

	buf_addf(&text, "%s: ", found->asked);
	buf_add_cstr(&text, bogus ? found->why : "the lookup for TLSA records failed");
	smtp_result_set(&r->dane_failure,
			MUTANT(RELAY_SERVFAIL_RETURNS) ? SMTP_CLASS_PERMANENT : SMTP_CLASS_TEMPORARY,
			SMTP_STAGE_CONNECT, 0,
			bogus ? (struct smtp_status){ 4, 7, 5 } : (struct smtp_status){ 4, 4, 3 },
			buf_span(&text));
	buf_free(&text);
}

static void on_dane(void *ctx, const struct dane_found *found)
{
	struct answer *a = ctx;
	struct routing *r = a->routing;

	a->search = NULL;
	a->dane = found->state;
	if (found->failed) {
		a->dane_failed = true;
		note_dane_failure(r, found);
	} else if (found->state != TLS_DANE_NONE) {
		(void)span_copy(span_of(found->base_domain), a->dane_name, sizeof(a->dane_name));
		keep_records(a, found);
	}
	host_done(r);
}

/* RFC 7672 2.2.1: through an MX record only when that is secure. */
static bool wants_dane(const struct routing *r, const struct route_host *h)
{
	return r->server->config->outbound.dane && !r->lmtp && r->wish != TLS_WISH_OPTIONAL &&
	       (h->implicit || h->configured || r->mx_is_secure);
}

static void on_addresses(void *ctx, const struct route_addresses *found, const struct resolver_proof *proof)
{
	struct answer *a = ctx;
	struct routing *r = a->routing;
	uint32_t index = (uint32_t)(a - r->answers);
	struct route_addresses *kept = &r->addresses[index];

	a->lookup = NULL;
	*kept = *found;
	kept->count = found->count < ROUTE_ADDRS_PER_HOST_MAX ? found->count : ROUTE_ADDRS_PER_HOST_MAX;
	if (kept->count > 0)
		memcpy(a->addrs, found->addrs, kept->count * sizeof(a->addrs[0]));
	kept->addrs = a->addrs;
	if (found->result == ROUTE_DNS_FAILED && proof->why != NULL)
		note_why(r, r->hosts.hosts[index].name, proof->why);
	if (found->result == ROUTE_DNS_FOUND && wants_dane(r, &r->hosts.hosts[index]))
		a->search = dane_start(r->server->resolver, r->hosts.hosts[index].name, r->port, proof,
				       on_dane, a);
	if (a->search == NULL)
		host_done(r);
}

static void look_up_hosts(struct routing *r)
{
	r->open_count = r->hosts.count;
	for (uint32_t i = 0; i < r->hosts.count; i++) {
		/* The names borrow from an answer that is about to go. */
		(void)span_copy(r->hosts.hosts[i].name, r->names[i], sizeof(r->names[i]));
		r->hosts.hosts[i].name = span_of(r->names[i]);
		r->answers[i].routing = r;
		r->answers[i].lookup = resolver_addresses(r->server->resolver, r->hosts.hosts[i].name,
							  on_addresses, &r->answers[i]);
	}
}

static uint64_t next_random(void *ctx)
{
	(void)ctx;
	return random_u64();
}

static void on_mx(void *ctx, enum route_dns found, const struct route_mx *mx, uint32_t count,
		  const struct resolver_proof *proof)
{
	struct routing *r = ctx;
	struct route_error error;

	r->mx_lookup = NULL;
	r->mx_is_secure = found == ROUTE_DNS_FOUND && proof->secure;
	if (!span_eq_nocase(proof->name, span_of(r->domain)))
		(void)span_copy(proof->name, r->domain_expanded, sizeof(r->domain_expanded));
	if (found == ROUTE_DNS_FAILED && proof->why != NULL)
		note_why(r, span_of(r->domain), proof->why);
	if (MUTANT(RELAY_NO_ALIASES) && r->domain_expanded[0] != '\0')
		found = ROUTE_DNS_NXDOMAIN;
	enum route_result result = route_from_mx(&r->server->route, span_of(r->domain), found, mx, count,
						 next_random, NULL, &r->hosts, &error);
	if (result == ROUTE_OK) {
		look_up_hosts(r);
	} else {
		set_failure(r, result, &error);
		tell_failure(r);
	}
}

static void on_soon(void *ctx)
{
	struct routing *r = ctx;

	if (r->direct != NULL) {
		struct targets *direct = r->direct;
		r->direct = NULL;
		r->fn(r->ctx, direct, NULL);
		routing_free(r);
	} else {
		tell_failure(r);
	}
}

/* host is an address: no lookup. */
static bool try_direct(struct routing *r, struct span host, uint16_t port)
{
	struct span ip;
	struct addr at;
	char text[NAME_BYTES_MAX];
	bool is_ipv6;

	if (!address_literal_ip(host, &ip, &is_ipv6) || MUTANT(RELAY_LITERALS_RETURNED))
		ip = host;
	if (!span_copy(ip, text, sizeof(text)) || !addr_parse(text, port, &at))
		return false;
	r->direct = targets_new(1, 1);
	(void)span_copy(span_of(r->domain), r->direct->domain, sizeof(r->direct->domain));
	(void)span_copy(ip, r->direct->hosts[0].name, sizeof(r->direct->hosts[0].name));
	r->direct->list[0].at = at;
	r->direct->lmtp = r->lmtp;
	task_schedule(r->soon);
	return true;
}

struct routing *routing_start(struct server *server, struct span domain, enum tls_wish wish, routing_fn *fn,
			      void *ctx)
{
	struct routing *r = calloc(1, sizeof(*r));
	if (r == NULL)
		abort();
	*r = (struct routing){
		.server = server, .wish = wish, .fn = fn, .ctx = ctx, .port = server->route.mx_port
	};
	r->soon = task_new(server->loop, on_soon, r);
	r->settings = settings_use(server);
	(void)span_copy(span_sub(domain, 0, NAME_BYTES_MAX - 1), r->domain, sizeof(r->domain));

	const struct route_rule *rule = route_find_rule(&server->route, domain);
	struct span host = rule != NULL ? rule->host : domain;
	if (rule != NULL) {
		r->port = rule->port;
		r->lmtp = rule->lmtp;
	}
	if (try_direct(r, host, r->port))
		return r;
	if (rule != NULL) {
		route_from_host(rule->host, &r->hosts);
		look_up_hosts(r);
	} else if (address_is_literal(domain)) {
		set_failure(
			r, ROUTE_PERMANENT,
			&(struct route_error){ .status = { 5, 1, 2 },
					       .text = "address literal of a kind that cannot be reached" });
		task_schedule(r->soon);
	} else {
		r->mx_lookup = resolver_mx(server->resolver, span_of(r->domain), on_mx, r);
	}
	return r;
}

void routing_cancel(struct routing *r)
{
	if (r == NULL)
		return;
	lookup_cancel(r->mx_lookup);
	for (uint32_t i = 0; i < ROUTE_HOSTS_MAX; i++) {
		lookup_cancel(r->answers[i].lookup);
		dane_cancel(r->answers[i].search);
	}
	routing_free(r);
}
