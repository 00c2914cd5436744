/*
 * route: to which hosts a domain's mail goes, in which order (RFC 5321 5.1;
 * null MX RFC 7505; MX targets RFC 2181 10.3).
 *
 * Pure: DNS answers, own names and addresses, and random numbers are
 * arguments.  In steps, because addresses are looked up only for the hosts
 * that remain:
 *
 *	route_find_rule()   does a setting decide?  Then its host, no MX
 *	route_from_mx()     MX answer -> ordered hosts, self and worse dropped
 *	route_from_host()   one given host (rule, smart host) as such a list
 *	route_to_targets()  hosts + address answers -> ordered addresses, capped
 *
 * A rule's host that is an address, and address literals, need no lookup: the
 * driver makes the one target itself.
 *
 * Names are compared without case and without a trailing dot.  Own addresses count with their
 * port (two servers may share a machine): a target is ourselves when both are equal.
 */
#ifndef SERVER_POLICY_ROUTE_H
#define SERVER_POLICY_ROUTE_H

#include "base/span.h"
#include "reference-server/core/smtp_reply.h"

enum {
	ROUTE_HOSTS_MAX = 32,          /* MX hosts considered, best preference first */
	ROUTE_TARGETS_MAX = 64,        /* addresses kept */
	ROUTE_ADDRS_PER_HOST_MAX = 16, /* considered of one host's answer */
};

/* An address for comparison and connecting; v4 in the first 4 bytes. */
struct route_addr {
	bool is_ipv6;
	uint8_t bytes[16];
};
bool route_addr_eq(const struct route_addr *a, const struct route_addr *b);

/* ---- settings ---- */

/* Mail for `domain` goes to host (name or address) and port, without MX. */
struct route_rule {
	struct span domain; /* "example.com"; ".example.com" for everything below; "*" for all (smart host) */
	struct span host;
	uint16_t port;
	bool lmtp; /* it speaks LMTP (RFC 2033), not SMTP */
};

struct route_endpoint {
	struct route_addr addr;
	uint16_t port;
};

struct route_settings {
	const struct route_rule *rules; /* the most specific one wins: exact, longest suffix, "*" */
	uint32_t rule_count;
	uint16_t mx_port;          /* 25 in life */
	uint32_t target_count_max; /* 0: 10; at least 2 (RFC 5321 5.1) */
	const struct span *own_names;
	uint32_t own_name_count;
	const struct route_endpoint *own_endpoints;
	uint32_t own_endpoint_count;
};

/* The rule for domain, or NULL.  Borrows from the settings. */
const struct route_rule *route_find_rule(const struct route_settings *s, struct span domain);

/* ---- DNS facts ---- */

enum route_dns {
	ROUTE_DNS_FOUND,
	ROUTE_DNS_NODATA, /* the name exists, but no such record */
	ROUTE_DNS_NXDOMAIN,
	ROUTE_DNS_FAILED, /* SERVFAIL, time-out, bogus: try later */
};

struct route_mx {
	uint16_t preference;
	struct span host; /* "" or "." is the null MX */
};

struct route_addresses {
	enum route_dns result;
	const struct route_addr *addrs;
	uint32_t count; /* > 0 when FOUND; in the resolver's order, which is kept */
};

/* ---- decisions ---- */

enum route_result {
	ROUTE_OK,
	ROUTE_TEMPORARY,
	ROUTE_PERMANENT,
};

/* Why not; status and text are for DSN and log. */
struct route_error {
	struct smtp_status status;
	const char *text; /* static */
};

struct route_host {
	struct span name; /* borrows from the answer or the domain */
	uint16_t preference;
	bool implicit;   /* the domain itself, there being no MX */
	bool configured; /* the host of a rule */
};

struct route_hosts {
	struct route_host hosts[ROUTE_HOSTS_MAX];
	uint32_t count;
};

/* Gives the next random number, uniform over all 64 bits. */
typedef uint64_t route_random_fn(void *ctx);

/*
 * PERMANENT: 5.1.2 NXDOMAIN, 5.1.10 null MX, 5.4.6 we are the best MX ourselves.
 * TEMPORARY: 4.4.3.  Null MX beside others is ignored (RFC 7505 3).
 */
enum route_result route_from_mx(const struct route_settings *s, struct span domain, enum route_dns mx_result,
				const struct route_mx *mx, uint32_t mx_count, route_random_fn *random,
				void *random_ctx, struct route_hosts *ret_hosts, struct route_error *reterr);

/* A list of one: the host of a rule. */
void route_from_host(struct span host, struct route_hosts *ret_hosts);

struct route_target {
	struct route_addr addr;
	uint16_t port;
	uint32_t host_index; /* in the hosts given */
};

struct route_targets {
	struct route_target targets[ROUTE_TARGETS_MAX];
	uint32_t count;
};

/*
 * addresses[i] belongs to hosts->hosts[i].  A host whose address and port are
 * ours drops itself and all of equal or worse preference (RFC 5321 5.1).
 * Hosts without addresses are passed over, duplicate addresses kept once, and
 * while another host follows, one host gets at most half of the places.
 *
 * Nothing left: PERMANENT 5.4.6 when we are the best host ourselves;
 * TEMPORARY 4.4.3 when any lookup failed; else PERMANENT, 5.1.2 for the
 * implicit MX, 5.4.4 for MX hosts.  For a rule's host TEMPORARY 4.3.5 instead
 * of any PERMANENT: a wrong setting must not return mail.
 */
enum route_result route_to_targets(const struct route_settings *s, const struct route_hosts *hosts,
				   const struct route_addresses *addresses, uint16_t port,
				   struct route_targets *ret_targets, struct route_error *reterr);

#endif
