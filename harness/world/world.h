/*
 * world: the private internet of one run: addresses, names, certificates,
 * passwords and servers.
 *
 * On loopback, each run takes a free range 127.A.B.0/24 of its own; each host
 * has one address in it; all hosts use one common set of ports, because MX has
 * no port.  In a private network (network.h) ports are those of life, 25 and
 * 53 among them, and hosts are foreign to each other.  Between each ordered pair of hosts there is one link address: what
 * host A finds in its DNS for host B's name is the link A→B, and a link proxy
 * (harness/fault/link.h) listens there.  Only hosts on a link's near side see
 * it; the harness itself connects to hosts directly.
 *
 *     isp2 127.A.B.1 --MX fredsco.example?--> dns view 127.A.B.17
 *          \--> link 127.A.B.33+… --> fredsco 127.A.B.2
 *
 * Neither world nor hosts may be freed inside one of their callbacks.
 *
 * Order of calls: world_new (addresses, DNS, CA; nothing runs), links_new
 * (fault/links.h), world_start, … traffic …, world_stop, links_free, world_free.
 */
#ifndef HARNESS_WORLD_WORLD_H
#define HARNESS_WORLD_WORLD_H

#include "base/err.h"
#include "base/loop.h"
#include "harness/scenario/flow.h"
#include "harness/world/ca.h"
#include "harness/world/dns.h"
#include "harness/world/host.h"
#include "harness/world/redact.h"

struct world;

enum world_event {
	WORLD_READY,   /* every host is ready */
	WORLD_STOPPED, /* after world_stop: no process is left */
	WORLD_BROKEN,  /* a host failed; see world_error.  Other hosts may still run: call world_stop or
			  world_free */
};
typedef void world_fn(void *ctx, enum world_event event);

/* Auto: on loopback, unless a host's target can only run in a private network. */
enum world_network { WORLD_NETWORK_AUTO, WORLD_NETWORK_LOOPBACK, WORLD_NETWORK_PRIVATE };

struct world_options {
	struct loop *loop;
	const struct flow *flow; /* outlives the world */
	const char *dir;         /* made when missing; ca/, HOST/ and dns.log go below it */
	const char *program;     /* path of postriderd, or NULL: the target's default */
	enum world_network network;
	world_fn *on_event;
	void *ctx;
};

struct world *world_new(const struct world_options *o, struct err *reterr);
void world_free(struct world *w); /* accepts NULL; kills and reaps what still runs */

/* WORLD_READY or WORLD_BROKEN follows. */
int world_start(struct world *w, struct err *reterr);
/* SIGTERM to every running host; WORLD_STOPPED follows, or WORLD_BROKEN when one had to be killed. */
void world_stop(struct world *w);
const struct err *world_error(const struct world *w);

const struct flow *world_flow(const struct world *w);
/* NULL for a host where we start no server. */
struct host *world_host(const struct world *w, uint32_t index);
struct dns *world_dns(const struct world *w);
struct ca *world_ca(const struct world *w);
/* How often the host `from` has asked for the IPv4 address of the host `to`, that is, of the link between them. */
uint32_t world_lookup_count(const struct world *w, uint32_t from, uint32_t to);
const char *world_ca_path(const struct world *w);
/*
 * By which a relay logs in at next hops that the harness plays, where its target file has it do so.  No secret: nothing
 * else knows them.  With the long password AUTH PLAIN would exceed a command line (RFC 5321 section 4.5.3.1.4).
 */
#define WORLD_LOGIN_NAME "relay"
#define WORLD_LOGIN_PASSWORD "Kennwort-\xc3\xb6-1"
#define WORLD_X_20 "xxxxxxxxxxxxxxxxxxxx"
#define WORLD_X_100 WORLD_X_20 WORLD_X_20 WORLD_X_20 WORLD_X_20 WORLD_X_20
#define WORLD_LOGIN_LONG_PASSWORD WORLD_X_100 WORLD_X_100 WORLD_X_100 WORLD_X_100

uint16_t world_smtp_port(const struct world *w);
uint16_t world_lmtp_port(const struct world *w); /* of next hops, as the hosts' own */

/* Where the harness connects. */
struct addr world_service_addr(const struct world *w, uint32_t host, enum flow_service s);
struct addr world_host_addr(const struct world *w, uint32_t host); /* port 0 */
/* Where the proxy of A→B listens. */
struct addr world_link_addr(const struct world *w, uint32_t from, uint32_t to);
/* Where the proxy of links from A connects from: A's own address where that can be. */
struct addr world_link_source_addr(const struct world *w, uint32_t from);
bool world_is_private(const struct world *w);
/* A server elsewhere: reached by what its target file says, and nothing is known of its insides. */
bool world_is_remote(const struct world *w, uint32_t host);
/* NULL for target none. */
const struct target *world_target(const struct world *w, uint32_t host);
/* What the host's certificate must be good for. */
const char *world_tls_name(const struct world *w, uint32_t host);
/* A free address of this run for whatever else listens (port: world_smtp_port); 0 ≤ n < 32. */
struct addr world_spare_addr(const struct world *w, uint32_t n);
/* Addresses for hosts that the harness plays by itself (port: world_smtp_port); 0 ≤ n < WORLD_PLAYED_MAX.  On
 * loopback somebody else may have one. */
enum { WORLD_PLAYED_MAX = 60000 };
struct addr world_played_addr(const struct world *w, uint32_t n);
/* The same of IPv6; on loopback it is ::1 for every n.  False: there is none here. */
bool world_played_addr_ipv6(const struct world *w, uint32_t n, struct addr *ret_addr);
/* Where nobody listens; 0 ≤ n < WORLD_NOBODIES_MAX. */
enum { WORLD_NOBODIES_MAX = 500 };
struct addr world_nobody_addr(const struct world *w, uint32_t n);

/* The account's password in this run.  Secret: never to be printed. */
const char *world_password(const struct world *w, uint32_t host, uint32_t account);
/* What takes all of them out of logs and results; the caller frees it. */
struct redact *world_redact_new(const struct world *w);

/*
 * Start and stop of a single host while the world runs, for faults; the outcome comes to fn once.
 * A host that ends without having been asked to still breaks the world; that is told once until a host is
 * started again.
 */
typedef void world_host_fn(void *ctx, struct host *h, enum host_event event);
int world_host_start(struct world *w, uint32_t host, world_host_fn *fn, void *ctx, struct err *reterr);
void world_host_stop(struct world *w, uint32_t host, world_host_fn *fn, void *ctx);
void world_host_kill(struct world *w, uint32_t host, world_host_fn *fn, void *ctx);

#endif
