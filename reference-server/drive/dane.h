/*
 * dane: looks for the TLSA records of one SMTP host, once its addresses are
 * known (RFC 7672 2.2.2, 2.2.3; RFC 6698 3).
 *
 *	addresses secure        asks for the name behind the CNAMEs, then for the host's own
 *	insecure, by CNAME      when the alias itself is secure: for the host's own name
 *	insecure otherwise      nothing: such zones may mishandle the question
 *
 * The first name with secure records is the TLSA base domain.  Names between
 * the two are never asked for.
 */
#ifndef SERVER_DRIVE_DANE_H
#define SERVER_DRIVE_DANE_H

#include "base/tls_check.h"
#include "reference-server/drive/resolver.h"
#include "reference-server/policy/tls_policy.h"

struct dane_found {
	bool failed;       /* a lookup did: the host counts as unreachable (RFC 7672 2.1.2) */
	const char *why;   /* then; NULL: no more is known */
	const char *asked; /* then: the name, as "_25._tcp.mx.example" */
	enum tls_dane state;
	const char *base_domain;          /* where there are records */
	const struct tls_record *records; /* the usable ones */
	uint32_t record_count;
};

struct dane_search;
typedef void dane_fn(void *ctx, const struct dane_found *found);

/*
 * NULL when there is nothing to look for, and the host is as any other.  Else
 * one callback follows, never from inside; what it gets dies with it.
 */
struct dane_search *dane_start(struct resolver *r, struct span host, uint16_t port,
			       const struct resolver_proof *of_addresses, dane_fn *fn, void *ctx);
/* Accepts NULL; not after the callback. */
void dane_cancel(struct dane_search *s);

#endif
