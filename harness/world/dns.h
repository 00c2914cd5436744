/*
 * dns: a scripted authoritative name server over UDP and TCP.
 *
 * It is authoritative for the root, so every question has an answer: records
 * that were added, an empty answer with SOA (name exists, type does not), or
 * NXDOMAIN with SOA.  EDNS sizes are honoured and larger UDP answers are
 * truncated.  CNAMEs are followed inside the data.  No recursion (the RA bit
 * is set all the same, because resolvers that forward here want it), no AXFR.
 *
 * One domain may be signed with all that is below it (dns_sign.h), and is where
 * the chain of trust begins.
 *
 * Views: each listening address is one view, and a record belongs to one view
 * or to all.  So the sending host can be given another address for a name
 * than everybody else sees.
 *
 * Faults hit names at or below a domain and count lookups, not queries: the
 * queries of a resolver that tries again at once are one lookup.  Queries for
 * the same name and type belong together when no more than 100 ms lie between
 * them, or 3 s under a time-out fault, where resolvers wait before they try
 * again.
 *
 * RFC 1035, 2308 §2 (negative answers), 4035 §3.1 (signed zones), 6891 (EDNS).
 */
#ifndef HARNESS_WORLD_DNS_H
#define HARNESS_WORLD_DNS_H

#include "base/conn.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/span.h"

struct dns;

enum { DNS_VIEW_ALL = -1 };

struct dns *dns_new(struct loop *l);
void dns_free(struct dns *d); /* accepts NULL */

/* Listens on UDP and TCP; port 0 picks one free on both.  Returns the view's number (0, 1, …) or negative
 * errno. */
int dns_listen(struct dns *d, const struct addr *at, struct err *reterr);
const struct addr *dns_addr(const struct dns *d, int view);

/* One zone file line, "mx.fredsco.example. 0 IN A 127.1.2.3"; without a TTL it is 0; relative names are below
 * the root. */
int dns_add(struct dns *d, int view, const char *line, struct err *reterr);
/* The same below a domain: names without a dot at the end, and "@", are relative to it. */
int dns_add_below(struct dns *d, const char *origin, const char *line, struct err *reterr);
/* Forgets all records at and below a domain. */
void dns_remove_below(struct dns *d, const char *domain);
/* Those of the name itself. */
void dns_remove_at(struct dns *d, const char *name);
/* A whole zone file with $ORIGIN and the like, into all views; the error names line and reason. */
int dns_add_file(struct dns *d, const char *path, struct err *reterr);

/* From now on this domain is signed. */
int dns_sign(struct dns *d, const char *domain, struct err *reterr);
/* Its trust anchor, a line of a zone file; empty when no domain is signed. */
struct span dns_anchor(const struct dns *d);

/* ---- faults ---- */
enum dns_fault_kind {
	DNS_SERVFAIL,
	DNS_NXDOMAIN,
	DNS_TIMEOUT,
	DNS_TRUNCATED, /* by UDP there is the last record alone, and TC; by TCP all of them */
	DNS_BOGUS,     /* in a signed domain: signatures are wrong */
	DNS_UNSIGNED,  /* in a signed domain: here begins a zone that is not; no fault, and counts nothing */
};
struct dns_fault;
/* lookup_count_max 0: until removed.  NULL: the domain is no name. */
struct dns_fault *dns_fault_add(struct dns *d, const char *domain, enum dns_fault_kind kind,
				uint32_t lookup_count_max);
/* Questions for this type alone, "AAAA"; false: there is no such type. */
bool dns_fault_limit(struct dns_fault *f, const char *type);
void dns_fault_remove(struct dns *d, struct dns_fault *f);  /* accepts NULL */
uint32_t dns_fault_lookup_count(const struct dns_fault *f); /* lookups it has hit */

/* Every query, for the log; may be NULL. */
struct dns_query {
	int view;
	const char *name; /* "fredsco.example." */
	const char *type; /* "MX" */
	bool tcp;
	const char *result; /* "NOERROR" "NXDOMAIN" "SERVFAIL" "timeout" "truncated" */
	int64_t at_ns;
};
typedef void dns_query_fn(void *ctx, const struct dns_query *q);
void dns_on_query(struct dns *d, dns_query_fn *fn, void *ctx);
/* Queries for names at and below a domain, besides. */
struct dns_watch;
struct dns_watch *dns_watch_new(struct dns *d, const char *domain, dns_query_fn *fn, void *ctx);
void dns_watch_free(struct dns_watch *w); /* accepts NULL; before the dns is freed, and not in its callback */

/*
 * Without the wire: what is answered to a query, from the records that all
 * views have.  Malloc'ed, the caller's; NULL: nothing.
 */
uint8_t *dns_respond(struct dns *d, struct span query, bool tcp, size_t *ret_bytes);

#endif
