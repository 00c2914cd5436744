/*
 * resolver: MX and address lookups on the loop, by libunbound.
 *
 * Asks the forwarder of the options, or the servers of resolv.conf.  CNAMEs
 * are followed, truncated answers asked for again over TCP, answers kept for
 * their TTL; TTL 0 is not kept.  Names are looked up as they are: no search
 * list, no hosts file, trailing dot optional.
 *
 * What a lookup found comes as policy/route says it (RFC 5321 5.1):
 *
 *   FOUND     there are records of that type
 *   NODATA    the name exists, such records do not
 *   NXDOMAIN  the name does not exist
 *   FAILED    SERVFAIL, REFUSED, no answer within timeout_ms, an answer that
 *             cannot be read: ask again later
 *
 * Caching of trouble: the queue's own retry times decide when to try again, so
 * what went wrong once must not go on for long here.  A failure is not reused
 * beyond RESOLVER_FAILURE_TTL_MS, a negative answer not beyond
 * RESOLVER_NEGATIVE_TTL_S or the zone's own time, and a server that was silent
 * is asked again by the next lookup (see resolver_context.h).
 *
 * With a trust anchor, answers are validated (RFC 4035 5): what is bogus counts
 * as FAILED, and a proof says whether an answer, or that there is none, is
 * secure in the sense of RFC 7672 2.1.1.
 *
 * The callback runs once for each lookup, never from inside the call that
 * started it, and not after lookup_cancel.  What it gets dies when it returns.
 * A lookup is gone with its callback: do not cancel it then, or from inside.
 * At most in_flight_max lookups are under way, the others wait in order; their
 * time runs from when they are sent.
 */
#ifndef SERVER_DRIVE_RESOLVER_H
#define SERVER_DRIVE_RESOLVER_H

#include "base/err.h"
#include "base/loop.h"
#include "base/span.h"
#include "reference-server/policy/route.h"

enum {
	RESOLVER_NEGATIVE_TTL_S = 5,
	RESOLVER_FAILURE_TTL_MS = 200,
	RESOLVER_MX_MAX = 256,        /* records of one answer that are looked at */
	RESOLVER_ADDRESSES_MAX = 256, /* A and AAAA together */
	RESOLVER_RECORDS_MAX = 64,
};

struct resolver_options {
	struct loop *loop;
	const char *forwarder;    /* "127.0.0.1@5353"; NULL: resolv.conf */
	const char *trust_anchor; /* file with DS or DNSKEY records; NULL: nothing is validated */
	int64_t timeout_ms;       /* 0: 10 s */
	uint32_t in_flight_max;   /* 0: 1000 */
};

struct resolver;
struct lookup;

/* What is known of an answer. */
struct resolver_proof {
	bool secure;      /* validated, each CNAME on the way too */
	struct span name; /* behind the CNAMEs, in lower case; as asked for when there are none */
	const char *why;  /* of FAILED: "bogus: ..." when validation failed; NULL: no more is known */
};

/* NULL and *reterr when the forwarder is no address, resolv.conf cannot be read or the trust anchor is none. */
struct resolver *resolver_new(const struct resolver_options *o, struct err *reterr);
/* Cancels what is under way.  Accepts NULL. */
void resolver_free(struct resolver *r);

/* host is in lower case without trailing dot; "" is the null MX (RFC 7505).  In the order of the answer: not
 * sorted. */
typedef void resolver_mx_fn(void *ctx, enum route_dns result, const struct route_mx *mx, uint32_t count,
			    const struct resolver_proof *proof);
struct lookup *resolver_mx(struct resolver *r, struct span domain, resolver_mx_fn *fn, void *ctx);

/*
 * A and AAAA at once; IPv4 first.  FOUND when there is any, whatever became of the other; FAILED when one
 * failed and the other gave none.  The proof is of those found.
 */
typedef void resolver_addresses_fn(void *ctx, const struct route_addresses *addresses,
				   const struct resolver_proof *proof);
struct lookup *resolver_addresses(struct resolver *r, struct span host, resolver_addresses_fn *fn, void *ctx);

/* Records as they are on the wire.  RESOLVER_CNAME: the alias itself, without what is behind it. */
enum resolver_type { RESOLVER_TLSA, RESOLVER_CNAME };
typedef void resolver_records_fn(void *ctx, enum route_dns result, const struct span *records, uint32_t count,
				 const struct resolver_proof *proof);
struct lookup *resolver_records(struct resolver *r, struct span name, enum resolver_type type,
				resolver_records_fn *fn, void *ctx);

/* Accepts NULL. */
void lookup_cancel(struct lookup *l);

/* Under way and waiting. */
uint32_t resolver_lookup_count(const struct resolver *r);

#endif
