/*
 * dns_sign: a signed zone of the scripted name server: one key, a signature for
 * each answer when it is given, and proofs of what is not there (RFC 4034, 4035).
 *
 * One P-256 key signs all (RFC 6605).  What is not there is denied by one NSEC
 * record that says which other types the name has (RFC 9824, compact denial), so
 * a name that does not exist looks like one without records.
 *
 * Names may begin zones below it that are not signed (RFC 4035 5.2).  Who
 * cannot validate is told so by the AD bit (RFC 6840 5.8), or by SERVFAIL where
 * the signatures are to be wrong or a name on the way fails (an alias's target,
 * the proof that a zone has no signatures), as a validating resolver would.
 *
 * harness/world/dns.c is its only user.
 */
#ifndef HARNESS_WORLD_DNS_SIGN_H
#define HARNESS_WORLD_DNS_SIGN_H

#include "base/buf.h"
#include "base/err.h"
#include "harness/world/dns_zone.h"

#include <ldns/ldns.h>

struct dns_sign;

/* NULL with the reason: the origin is no name, or there is no key to be had. */
struct dns_sign *dns_sign_new(const char *origin, struct err *reterr);
void dns_sign_free(struct dns_sign *s); /* accepts NULL */

/* The DNSKEY record, as a file of trust anchors has it, with its end of line. */
void dns_sign_anchor(const struct dns_sign *s, struct buf *out);

/* Whether a zone without signatures begins at that name. */
typedef bool dns_sign_cut_fn(void *ctx, const ldns_rdf *name);
/* Whether lookups of that name and type fail, or what they find is bogus. */
typedef bool dns_sign_failing_fn(void *ctx, const ldns_rdf *name, ldns_rr_type type);

struct dns_sign_options {
	const ldns_pkt *query;
	const struct dns_zone *zone; /* where the answer is from ... */
	int view;
	bool bogus; /* its signatures are to be wrong */
	dns_sign_cut_fn *is_cut;
	dns_sign_failing_fn *is_failing;
	void *ctx;
};
/* Completes an answer that is ready but for that; nothing changes when the zone has no part in it. */
void dns_sign_answer(const struct dns_sign *s, const struct dns_sign_options *o, ldns_pkt *response);

#endif
