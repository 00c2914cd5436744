#include "harness/conform/play_parts.h"

#include "harness/conform/doubles.h"
#include "harness/conform/hop_tls.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The world of a case with role client: its names, its next hops. */

enum {
	/* Of each playing: three for each next hop, in case that somebody else has one, and one for each policy host. */
	ADDRESSES = 32,
	PLACES = 3,
	FENCE_INDEX = CASE_HOPS_MAX,
	POLICY_HOSTS_FROM = (CASE_HOPS_MAX + 1) * PLACES,
	CASE_NAME_BYTES = 300,
};

static struct world *world(const struct play *p)
{
	return p->o.sut->world;
}

static void on_news(void *ctx)
{
	play_poke(ctx);
}

static void on_kill(void *ctx)
{
	play_server_kill(ctx);
}

/* ---- names ---- */

static void on_query(void *ctx, const struct dns_query *q)
{
	struct play *p = ctx;
	char text[400];

	(void)snprintf(text, sizeof(text), "%s %s (%s): %s", q->name, q->type, q->tcp ? "tcp" : "udp",
		       q->result);
	transcript_add_hop(&p->outcome.transcript, q->at_ns, TRANSCRIPT_NOTE, "dns", 0, span_of(text));
	play_poke(p);
}

static bool add_record(struct play *p, const char *origin, const char *line)
{
	struct err e;

	if (dns_add_below(world_dns(world(p)), origin, line, &e) == 0)
		return true;
	play_finish(p, CONFORM_ERROR, play_step(p)->line, "%s", e.text);
	return false;
}

static bool add_mx(struct play *p, uint32_t index, const char *name)
{
	char line[80];

	(void)snprintf(line, sizeof(line), "@ 0 IN MX %u %s", 10 * (index + 1), name);
	return add_record(p, p->world.zone, line);
}

static bool add_address(struct play *p, const char *origin, const char *name, const struct addr *at)
{
	char line[160], ip[56];

	(void)addr_format_ip(at, ip);
	(void)snprintf(line, sizeof(line), "%s 0 IN %s %s", name, strchr(ip, ':') != NULL ? "AAAA" : "A", ip);
	return add_record(p, origin, line);
}

static void on_fault_over(void *ctx)
{
	struct play_fault *f = ctx;

	dns_fault_remove(f->dns, f->fault);
	f->fault = NULL;
}

/* "@" and "mx", in the zone of the case. */
static void whole_name(const struct play *p, const char *name, char ret_name[CASE_NAME_BYTES])
{
	if (strcmp(name, "@") == 0)
		(void)snprintf(ret_name, CASE_NAME_BYTES, "%s", p->world.zone);
	else
		(void)snprintf(ret_name, CASE_NAME_BYTES, "%.200s.%s", name, p->world.zone);
}

/* Addresses at which nobody listens. */
static void add_nobodies(struct play *p, const struct case_step *s, const char *owner)
{
	for (uint32_t i = 0; i < s->zone_count; i++) {
		struct addr at = world_nobody_addr(world(p), i);
		if (!add_address(p, p->world.zone, owner, &at))
			return;
	}
	play_next(p);
}

static void add_fault(struct play *p, const struct case_step *s, const char *owner)
{
	static const enum dns_fault_kind KIND[] = {
		[CASE_ZONE_SERVFAIL] = DNS_SERVFAIL, [CASE_ZONE_NXDOMAIN] = DNS_NXDOMAIN,
		[CASE_ZONE_TIMEOUT] = DNS_TIMEOUT,   [CASE_ZONE_TRUNCATED] = DNS_TRUNCATED,
		[CASE_ZONE_BOGUS] = DNS_BOGUS,       [CASE_ZONE_UNSIGNED] = DNS_UNSIGNED
	};
	struct play_world *w = &p->world;
	char name[CASE_NAME_BYTES];

	if (w->fault_count == CASE_DETAILS_MAX) {
		play_finish(p, CONFORM_ERROR, s->line, "more than %d faults of names", CASE_DETAILS_MAX);
		return;
	}
	whole_name(p, owner, name);
	struct play_fault *f = &w->faults[w->fault_count];
	f->dns = world_dns(world(p));
	f->fault = dns_fault_add(f->dns, name, KIND[s->zone], s->zone_count);
	if (f->fault == NULL) {
		play_finish(p, CONFORM_ERROR, s->line, "\"%s\" is no name", name);
		return;
	}
	w->fault_count++;
	if (s->zone_type != NULL && !dns_fault_limit(f->fault, s->zone_type)) {
		play_finish(p, CONFORM_ERROR, s->line, "%s is no type of DNS records", s->zone_type);
		return;
	}
	if (s->zone_ms > 0) {
		f->end = timer_new(p->o.loop, on_fault_over, f);
		timer_set_ms(f->end, s->zone_ms);
	}
	play_next(p);
}

void play_hops_zone(struct play *p)
{
	const struct case_step *s = play_step(p);
	struct buf owner = { 0 };

	if (!play_expand(p, &s->content, &owner)) {
		buf_free(&owner);
		return;
	}
	if (s->zone == CASE_ZONE_FORGET) {
		char name[CASE_NAME_BYTES];
		whole_name(p, buf_cstr(&owner), name);
		dns_remove_at(world_dns(world(p)), name);
		play_next(p);
	} else if (s->zone == CASE_ZONE_NOBODY) {
		add_nobodies(p, s, buf_cstr(&owner));
	} else if (s->zone != CASE_ZONE_RECORD) {
		add_fault(p, s, buf_cstr(&owner));
	} else {
		buf_add_cstr(&owner, " 0 IN ");
		if (play_expand(p, &s->text, &owner) && add_record(p, p->world.zone, buf_cstr(&owner)))
			play_next(p);
	}
	buf_free(&owner);
}

/* ---- next hops ---- */

/* Where the next hop may listen; false: the play is over. */
static bool find_places(struct play *p, const struct case_hop *what, uint32_t first,
			struct addr places[PLACES])
{
	struct addr v6;
	int fd;

	for (uint32_t i = 0; i < PLACES; i++) {
		places[i] = world_played_addr(world(p), first + i);
		if (what->lmtp) /* not where SMTP is (RFC 2033 5) */
			addr_set_port(&places[i], world_lmtp_port(world(p)));
	}
	if (!what->ipv6)
		return true;
	for (uint32_t i = 0; i < CASE_HOPS_MAX && !world_is_private(world(p)); i++)
		if (p->world.hops[i] != NULL && p->world.hops[i]->at.ss.ss_family == AF_INET6) {
			play_finish(p, CONFORM_NOT_TESTED, what->line,
				    "loopback has one IPv6 address only; a private network has more");
			return false;
		}
	for (uint32_t i = 0; i < PLACES; i++) {
		if (!world_played_addr_ipv6(world(p), first + i, &v6)) {
			play_finish(p, CONFORM_NOT_TESTED, what->line, "there is no IPv6 in this network");
			return false;
		}
		places[i] = v6;
	}
	addr_set_port(&v6, 0);
	fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool there = fd >= 0 && bind(fd, (const struct sockaddr *)&v6.ss, v6.n) == 0;
	if (fd >= 0)
		(void)close(fd);
	if (!there)
		play_finish(p, CONFORM_NOT_TESTED, what->line, "this machine has no IPv6: %s",
			    strerror(errno));
	return there;
}

static uint32_t first_address(const struct play *p)
{
	return (uint32_t)(p->o.token % (WORLD_PLAYED_MAX / ADDRESSES)) * ADDRESSES;
}

struct addr play_hops_addr(const struct play *p, uint32_t policy_host)
{
	static_assert(POLICY_HOSTS_FROM + CASE_POLICY_HOSTS_MAX <= ADDRESSES, "addresses of each playing");
	return world_played_addr(world(p), first_address(p) + POLICY_HOSTS_FROM + policy_host);
}

bool play_hops_add_address(struct play *p, const char *name, const struct addr *at)
{
	return add_address(p, p->world.zone, name, at);
}

static struct hop *open_hop(struct play *p, const struct case_hop *what, const char *host_name,
			    uint32_t index)
{
	uint32_t first = first_address(p) + index * PLACES;
	struct addr places[PLACES];
	struct hop_options o = { .loop = p->o.loop,
				 .what = what,
				 .values = &p->values,
				 .host_name = host_name,
				 .login_name = WORLD_LOGIN_NAME,
				 .login_password =
					 p->file->policy != NULL && strcmp(p->file->policy, "login-long") == 0
						 ? WORLD_LOGIN_LONG_PASSWORD
						 : WORLD_LOGIN_PASSWORD,
				 .private_network = world_is_private(world(p)),
				 .places = places,
				 .place_count = PLACES,
				 .transcript = index == FENCE_INDEX ? NULL : &p->outcome.transcript,
				 .on_news = on_news,
				 .on_kill = on_kill,
				 .ctx = p };
	struct err e;

	if (!find_places(p, what, first, places))
		return NULL;
	if (what->tls.kind != CASE_TLS_NONE) {
		o.tls = hop_tls_new(&(struct hop_tls_options){ .what = &what->tls,
							       .name = what->name,
							       .ca = world_ca(world(p)),
							       .host_name = host_name,
							       .token = p->o.token,
							       .values = &p->values },
				    &e);
		if (o.tls == NULL) {
			play_finish(p, CONFORM_ERROR, what->line, "certificate of %s: %s", what->name,
				    e.text);
			return NULL;
		}
	}
	struct hop *h = hop_new(&o, &e);
	if (h == NULL)
		play_finish(p, CONFORM_ERROR, what->line, "next hop %s: %s", what->name, e.text);
	return h;
}

void play_hops_open(struct play *p)
{
	uint32_t index = play_step(p)->hop;
	const struct case_hop *what = p->file->hops[index];
	struct play_world *w = &p->world;
	char host_name[128], variable[40], ip[56];

	(void)snprintf(host_name, sizeof(host_name), "%s.%s", what->name, w->zone);
	w->hops[index] = open_hop(p, what, host_name, index);
	if (w->hops[index] == NULL)
		return;
	(void)snprintf(variable, sizeof(variable), "%s.ip", what->name);
	values_set(&p->values, span_of(variable), span_of(addr_format_ip(&w->hops[index]->at, ip)), false);
	if (what->has_address && !add_address(p, w->zone, what->name, &w->hops[index]->at))
		return;
	if (!p->file->says_mx && !add_mx(p, index, what->name))
		return;
	play_next(p);
}

bool play_hops_fence(struct play *p)
{
	static const struct case_hop FENCE = { .name = "fence" };
	struct play_world *w = &p->world;
	char host_name[128];

	if (w->fence_hop != NULL)
		return true;
	(void)snprintf(host_name, sizeof(host_name), "mx.%s", w->fence);
	w->fence_hop = open_hop(p, &FENCE, host_name, FENCE_INDEX);
	return w->fence_hop != NULL && add_record(p, w->fence, "@ 0 IN MX 10 mx") &&
	       add_address(p, w->fence, "mx", &w->fence_hop->at);
}

bool play_hops_are_flooded(const struct play *p)
{
	for (uint32_t i = 0; i < p->file->hop_count; i++)
		if (p->world.hops[i] != NULL && p->world.hops[i]->flooded)
			return true;
	for (uint32_t i = 0; i < p->file->policy_host_count; i++)
		if (p->world.policy_hosts[i] != NULL && p->world.policy_hosts[i]->flooded)
			return true;
	return p->world.fence_hop != NULL && p->world.fence_hop->flooded;
}

/* ---- what was taken twice ---- */

bool play_hops_doubles(struct play *p)
{
	struct play_world *w = &p->world;
	struct span rest, who = { 0 };

	if (w->same_twice)
		return true;
	struct doubles d = doubles_of(w->hops, CASE_HOPS_MAX, w->killed_ns);
	p->outcome.duplicates = d.allowed;
	if (d.hop == NULL)
		return true;
	rest = buf_span(&d.again->recipients);
	(void)span_take_until(&rest, '\n', &who);
	const struct case_step *s = play_step(p);
	p->outcome.req = p->file->sections[s->section].req;
	play_finish(p, CONFORM_FAIL, s->line,
		    "%s was given a message for <%.*s> that had been taken with 250 %.3g s before: RFC 5321 "
		    "6.1 and RFC "
		    "1047 excuse no duplicate here",
		    d.hop->name, SPAN_FMT(span_sub(who, 0, 100)),
		    (double)(d.again->at_ns - d.first->at_ns) / 1e9);
	return false;
}

/* ---- life ---- */

/* Of the server, that lead into the domain of the case. */
static void set_aliases(struct play *p)
{
	char address[SUT_ALIAS_BYTES];

	sut_alias(p->world.zone, false, p->o.sut->domain, address);
	values_set(&p->values, SPAN_LIT("alias"), span_of(address), false);
	sut_alias(p->world.zone, true, p->o.sut->domain, address);
	values_set(&p->values, SPAN_LIT("alias2"), span_of(address), false);
}

void play_world_begin(struct play *p)
{
	struct play_world *w = &p->world;
	const char *policy = p->file->policy;
	char port[8];

	if (p->file->role != CASE_ROLE_CLIENT)
		return;
	if (sut_knows_zone_of(p->file))
		sut_known_zone(p->o.known, policy, w->zone);
	else
		(void)snprintf(w->zone, sizeof(w->zone), "c%" PRIx64 "%s%s." SUT_NEXT_DOMAIN, p->o.token,
			       policy != NULL ? "." : "", policy != NULL ? policy : "");
	(void)snprintf(w->fence, sizeof(w->fence), "c%" PRIx64 "." SUT_FENCE_DOMAIN, p->o.token);
	values_set(&p->values, SPAN_LIT("zone"), span_of(w->zone), false);
	if (sut_knows_zone_of(p->file))
		set_aliases(p);
	(void)snprintf(port, sizeof(port), "%u", world_smtp_port(world(p)));
	values_set(&p->values, SPAN_LIT("port"), span_of(port), false);
	w->watch = dns_watch_new(world_dns(world(p)), w->zone, on_query, p);
}

void play_world_end(struct play *p)
{
	struct play_world *w = &p->world;

	if (w->watch == NULL)
		return;
	struct dns *dns = world_dns(world(p));
	for (uint32_t i = 0; i < CASE_HOPS_MAX; i++)
		hop_free(w->hops[i]);
	hop_free(w->fence_hop);
	for (uint32_t i = 0; i < CASE_POLICY_HOSTS_MAX; i++)
		policy_host_free(w->policy_hosts[i]);
	for (uint32_t i = 0; i < w->fault_count; i++) {
		dns_fault_remove(dns, w->faults[i].fault);
		timer_free(w->faults[i].end);
	}
	dns_remove_below(dns, w->zone);
	dns_remove_below(dns, w->fence);
	dns_watch_free(w->watch);
	timer_free(w->impatience);
	buf_free(&w->content);
	*w = (struct play_world){ 0 };
}
