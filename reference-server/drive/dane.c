#include "reference-server/drive/dane.h"

#include "reference-server/core/mutant.h"

#include <stdio.h>
#include <stdlib.h>

enum { NAME_BYTES_MAX = 256, CANDIDATES_MAX = 2, PREFIX_BYTES_MAX = 16 };

struct dane_search {
	struct resolver *resolver;
	struct lookup *lookup;
	dane_fn *fn;
	void *ctx;
	uint16_t port;
	char candidates[CANDIDATES_MAX][NAME_BYTES_MAX];
	uint32_t candidate_count;
	uint32_t next; /* of them */
	char asked[PREFIX_BYTES_MAX + NAME_BYTES_MAX];
};

static void tell(struct dane_search *s, const struct dane_found *found)
{
	s->fn(s->ctx, found);
	free(s);
}

static void tell_failure(struct dane_search *s, const struct resolver_proof *proof)
{
	tell(s, &(struct dane_found){ .failed = true, .why = proof->why, .asked = s->asked });
}

/* RFC 6698 2.1: three numbers and the data. */
static bool parse(struct span rdata, struct tls_record *ret)
{
	if (rdata.n < 3 || (rdata.p[2] == 2 && MUTANT(RELAY_DANE_NO_SHA512)))
		return false;
	*ret = (struct tls_record){ .usage = (uint8_t)rdata.p[0],
				    .selector = (uint8_t)(rdata.p[1] ^ MUTANT(RELAY_DANE_SELECTORS_SWAPPED)),
				    .matching = (uint8_t)rdata.p[2],
				    .data = span_sub(rdata, 3, rdata.n) };
	return true;
}

static void tell_records(struct dane_search *s, const struct span *rdata, uint32_t count)
{
	struct tls_record usable[RESOLVER_RECORDS_MAX];
	uint32_t usable_count = 0;

	if (MUTANT(RELAY_DANE_FIRST_RECORD))
		count = 1;
	for (uint32_t i = 0; i < count; i++)
		if (parse(rdata[i], &usable[usable_count]) && tls_record_is_usable(&usable[usable_count]))
			usable_count++;
	tell(s, &(struct dane_found){ .state = usable_count > 0 ? TLS_DANE_USABLE : TLS_DANE_UNUSABLE,
				      .base_domain = s->candidates[s->next - 1],
				      .records = usable,
				      .record_count = usable_count });
}

static void ask_next(struct dane_search *s);

static void on_tlsa(void *ctx, enum route_dns result, const struct span *records, uint32_t count,
		    const struct resolver_proof *proof)
{
	struct dane_search *s = ctx;

	s->lookup = NULL;
	if (result == ROUTE_DNS_FAILED && !MUTANT(RELAY_DANE_FAILURE_IS_NONE))
		tell_failure(s, proof);
	else if (MUTANT(RELAY_DANE_NO_CNAME) && !span_eq_nocase(proof->name, span_of(s->asked)))
		ask_next(s);
	else if (result == ROUTE_DNS_FOUND && (proof->secure || MUTANT(RELAY_DANE_UNSIGNED_COUNTS)))
		tell_records(s, records, count);
	else
		ask_next(s);
}

static void ask_next(struct dane_search *s)
{
	if (s->next == s->candidate_count) {
		tell(s, &(struct dane_found){ .state = TLS_DANE_NONE });
		return;
	}
	(void)snprintf(s->asked, sizeof(s->asked), "_%u._tcp.%s", MUTANT(RELAY_DANE_PORT_24) ? 24U : s->port,
		       s->candidates[s->next++]);
	s->lookup = resolver_records(s->resolver, span_of(s->asked), RESOLVER_TLSA, on_tlsa, s);
}

static void on_alias(void *ctx, enum route_dns result, const struct span *records, uint32_t count,
		     const struct resolver_proof *proof)
{
	struct dane_search *s = ctx;
	(void)records;
	(void)count;

	s->lookup = NULL;
	if (result == ROUTE_DNS_FAILED)
		tell_failure(s, proof);
	else if (result == ROUTE_DNS_FOUND && proof->secure)
		ask_next(s);
	else
		tell(s, &(struct dane_found){ .state = TLS_DANE_NONE });
}

static void add_candidate(struct dane_search *s, struct span name)
{
	if (span_copy(name, s->candidates[s->candidate_count], NAME_BYTES_MAX))
		s->candidate_count++;
}

struct dane_search *dane_start(struct resolver *r, struct span host, uint16_t port,
			       const struct resolver_proof *of_addresses, dane_fn *fn, void *ctx)
{
	bool is_alias = !span_eq_nocase(host, of_addresses->name);

	if (!of_addresses->secure && !is_alias && !MUTANT(RELAY_DANE_ASKS_ANYWHERE))
		return NULL;
	struct dane_search *s = calloc(1, sizeof(*s));
	if (s == NULL)
		abort();
	*s = (struct dane_search){ .resolver = r, .port = port, .fn = fn, .ctx = ctx };
	if (of_addresses->secure && is_alias && !MUTANT(RELAY_DANE_UNEXPANDED_ONLY))
		add_candidate(s, of_addresses->name);
	if (!is_alias || !of_addresses->secure || !MUTANT(RELAY_DANE_EXPANDED_ONLY))
		add_candidate(s, host);
	if (of_addresses->secure || MUTANT(RELAY_DANE_ASKS_ANYWHERE)) {
		ask_next(s);
	} else {
		(void)span_copy(host, s->asked, sizeof(s->asked));
		s->lookup = resolver_records(r, host, RESOLVER_CNAME, on_alias, s);
	}
	return s;
}

void dane_cancel(struct dane_search *s)
{
	if (s == NULL)
		return;
	lookup_cancel(s->lookup);
	free(s);
}
