#include "harness/world/world.h"

#include "base/file.h"
#include "base/random.h"
#include "harness/world/ca.h"
#include "harness/world/network.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	RANGE_TRIES = 50,
	/* Last bytes of addresses in the run's range. */
	FIRST_HOST = 1,
	FIRST_DNS = 17,
	FIRST_LINK = 33, /* + from * FLOW_HOSTS_MAX + to: up to 176 */
	FIRST_SPARE = 200,
	SPARES_MAX = 32,
	/* Offsets from the run's first port; services come first. */
	DNS_PORT_OFFSET = FLOW_SERVICE_COUNT,
	PORTS_PER_RUN = FLOW_SERVICE_COUNT + 1,
	FIRST_PORT = 10000, /* below what the kernel hands out by itself */
	LAST_PORT = 32000,
	PASSWORD_CHARS = 20,
	PASSWORD_FILE_BYTES_MAX = 65536,
	/* Of a private network, where ports are those of life. */
	FIRST_LINK_SOURCE = 256 + 1,
	FIRST_PLAYED = 1024,
	SMTP_PORT = 25,
	DNS_PORT = 53,
};
static const uint16_t LIFE_PORTS[FLOW_SERVICE_COUNT] = {
	[FLOW_SMTP] = SMTP_PORT, [FLOW_SUBMISSION] = 587, [FLOW_SUBMISSIONS] = 465,
	[FLOW_POP3] = 110,       [FLOW_POP3S] = 995,      [FLOW_LMTP] = 24,
};

struct place {
	struct world *world;
	uint32_t index;
	struct host *host; /* NULL: target none */
	struct target *target;
	struct addr remote; /* of a target that is a server elsewhere; port 0 */
	char dir[PATH_MAX];
	char cert_path[PATH_MAX];
	char key_path[PATH_MAX];
	char **passwords;
	world_host_fn *fn; /* waits for the outcome of world_host_start, stop or kill */
	void *ctx;
};

struct world {
	struct loop *loop;
	const struct flow *flow;
	world_fn *on_event;
	void *ctx;
	char dir[PATH_MAX - 256];
	struct ca *ca;
	struct dns *dns;
	FILE *dns_log;
	uint32_t lookups[FLOW_HOSTS_MAX][FLOW_HOSTS_MAX]; /* by who asks and for whom */
	struct network *network;                          /* NULL: on loopback */
	uint8_t a, b;                                     /* 127.a.b.x */
	uint16_t first_port;                              /* SMTP everywhere */
	struct place places[FLOW_HOSTS_MAX];
	bool starting;
	bool stopping;
	bool broken; /* told once */
	bool broken_while_stopping;
	struct task *stopped; /* tells that nothing ran when world_stop was called */
	struct err error;
};

/* ---- addresses ---- */

static bool is_remote(const struct place *p)
{
	return p->target != NULL && p->target->remote.is;
}

static struct addr addr_in(const struct world *w, unsigned last_byte, uint16_t port)
{
	char text[24];
	struct addr at;

	if (w->network != NULL)
		return network_own_addr(last_byte, port);
	(void)snprintf(text, sizeof(text), "127.%u.%u.%u", w->a, w->b, last_byte);
	if (!addr_parse(text, port, &at))
		abort();
	return at;
}

uint16_t world_smtp_port(const struct world *w)
{
	return w->first_port;
}

uint16_t world_lmtp_port(const struct world *w)
{
	return w->network != NULL ? LIFE_PORTS[FLOW_LMTP] : (uint16_t)(w->first_port + FLOW_LMTP);
}

static struct addr own_service_addr(const struct world *w, uint32_t host, enum flow_service s)
{
	if (w->network != NULL)
		return network_host_addr(host, LIFE_PORTS[s]);
	return addr_in(w, FIRST_HOST + host, (uint16_t)(w->first_port + s));
}

struct addr world_service_addr(const struct world *w, uint32_t host, enum flow_service s)
{
	const struct place *p = &w->places[host];

	assert(host < w->flow->host_count && s < FLOW_SERVICE_COUNT);
	if (p->target != NULL && p->target->remote.is) {
		struct addr at = p->remote;
		addr_set_port(&at, p->target->remote.ports[s]);
		return at;
	}
	return own_service_addr(w, host, s);
}

struct addr world_host_addr(const struct world *w, uint32_t host)
{
	assert(host < w->flow->host_count);
	return w->network != NULL ? network_host_addr(host, 0) : addr_in(w, FIRST_HOST + host, 0);
}

struct addr world_link_source_addr(const struct world *w, uint32_t from)
{
	return w->network != NULL ? network_own_addr(FIRST_LINK_SOURCE + from, 0) : world_host_addr(w, from);
}

const char *world_tls_name(const struct world *w, uint32_t host)
{
	const struct place *p = &w->places[host];

	return is_remote(p) ? p->target->remote.host : w->flow->hosts[host].mx_name;
}

const struct target *world_target(const struct world *w, uint32_t host)
{
	assert(host < w->flow->host_count);
	return w->places[host].target;
}

bool world_is_remote(const struct world *w, uint32_t host)
{
	return is_remote(&w->places[host]);
}

bool world_is_private(const struct world *w)
{
	return w->network != NULL;
}

struct addr world_link_addr(const struct world *w, uint32_t from, uint32_t to)
{
	assert(from != to && from < w->flow->host_count && to < w->flow->host_count);
	return addr_in(w, FIRST_LINK + from * FLOW_HOSTS_MAX + to, w->first_port);
}

struct addr world_spare_addr(const struct world *w, uint32_t n)
{
	assert(n < SPARES_MAX);
	return addr_in(w, FIRST_SPARE + n, w->first_port);
}

/* On loopback, the rest of the run's 127.a.0.0/16: another run that has the same has other ports. */
static struct addr far_addr(const struct world *w, uint32_t n)
{
	char text[24];
	struct addr at;

	if (w->network != NULL)
		return network_own_addr(FIRST_PLAYED + n, w->first_port);
	(void)snprintf(text, sizeof(text), "127.%u.%u.%u", w->a, (w->b + 1u + n / 250) % 256, 1 + n % 250);
	if (!addr_parse(text, w->first_port, &at))
		abort();
	return at;
}

struct addr world_played_addr(const struct world *w, uint32_t n)
{
	assert(n < WORLD_PLAYED_MAX);
	return far_addr(w, n);
}

struct addr world_nobody_addr(const struct world *w, uint32_t n)
{
	assert(n < WORLD_NOBODIES_MAX);
	return far_addr(w, WORLD_PLAYED_MAX + n);
}

bool world_played_addr_ipv6(const struct world *w, uint32_t n, struct addr *ret_addr)
{
	assert(n < WORLD_PLAYED_MAX);
	if (w->network != NULL)
		return network_own_addr_ipv6(w->network, FIRST_PLAYED + n, w->first_port, ret_addr);
	return addr_parse("::1", w->first_port, ret_addr);
}

static struct addr dns_addr_of(const struct world *w, uint32_t host)
{
	uint16_t port = w->network != NULL ? DNS_PORT : (uint16_t)(w->first_port + DNS_PORT_OFFSET);

	return addr_in(w, FIRST_DNS + host, port);
}

static bool is_free(struct addr at, int type)
{
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
	bool bound = fd >= 0 && bind(fd, (const struct sockaddr *)&at.ss, at.n) == 0;

	if (fd >= 0)
		(void)close(fd);
	return bound;
}

/* Nobody else listens there, neither on an address of the range nor on all addresses. */
static bool range_is_free(const struct world *w)
{
	for (uint32_t i = 0; i < w->flow->host_count; i++) {
		for (uint32_t s = 0; s < FLOW_SERVICE_COUNT; s++)
			if (!is_free(own_service_addr(w, i, (enum flow_service)s), SOCK_STREAM))
				return false;
		if (!is_free(dns_addr_of(w, i), SOCK_STREAM) || !is_free(dns_addr_of(w, i), SOCK_DGRAM))
			return false;
		for (uint32_t k = 0; k < w->flow->host_count; k++)
			if (i != k && !is_free(world_link_addr(w, i, k), SOCK_STREAM))
				return false;
	}
	return true;
}

static int choose_range(struct world *w, struct err *reterr)
{
	for (int i = 0; i < RANGE_TRIES; i++) {
		uint64_t r = random_u64();
		w->a = (uint8_t)(16 + r % 239);
		w->b = (uint8_t)(1 + (r >> 16) % 254);
		w->first_port = (uint16_t)(FIRST_PORT + (r >> 32) % (LAST_PORT - PORTS_PER_RUN - FIRST_PORT));
		if (range_is_free(w))
			return 0;
	}
	return err_set(reterr, -EADDRINUSE, "world: no free addresses and ports on 127.0.0.0/8");
}

static int read_targets(struct world *w, struct err *reterr)
{
	for (uint32_t i = 0; i < w->flow->host_count; i++) {
		const char *name = w->flow->hosts[i].target;
		struct buf messages = { 0 };
		if (strcmp(name, "none") == 0)
			continue;
		w->places[i].target = target_load(name, &messages);
		if (w->places[i].target == NULL)
			(void)err_set(reterr, -EINVAL, "target %s: %s", name, buf_cstr(&messages));
		buf_free(&messages);
		if (w->places[i].target == NULL)
			return -EINVAL;
	}
	return 0;
}

/* What the target file names is the only thing ever resolved by the system's resolver. */
static int find_remote(struct place *p, struct err *reterr)
{
	const char *name = p->target->remote.host;
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *found = NULL;

	int rc = getaddrinfo(name, NULL, &hints, &found);
	if (rc != 0)
		return err_set(reterr, -EHOSTUNREACH, "target %s: %s: %s", p->target->name, name,
			       gai_strerror(rc));
	memcpy(&p->remote.ss, found->ai_addr, found->ai_addrlen);
	p->remote.n = found->ai_addrlen;
	freeaddrinfo(found);
	return 0;
}

static int find_remotes(struct world *w, enum world_network network, struct err *reterr)
{
	int rc = 0;

	for (uint32_t i = 0; i < w->flow->host_count && rc == 0; i++) {
		if (!is_remote(&w->places[i]))
			continue;
		if (network == WORLD_NETWORK_PRIVATE)
			return err_set(
				reterr, -EINVAL,
				"target %s is a server elsewhere, which a private network cannot reach",
				w->places[i].target->name);
		rc = find_remote(&w->places[i], reterr);
	}
	return rc;
}

static int choose_network(struct world *w, enum world_network wanted, struct err *reterr)
{
	const char *needed_by = NULL;

	for (uint32_t i = 0; i < w->flow->host_count; i++)
		if (w->places[i].target != NULL && !w->places[i].target->on_loopback &&
		    !is_remote(&w->places[i]))
			needed_by = w->flow->hosts[i].target;
	if (wanted == WORLD_NETWORK_LOOPBACK && needed_by != NULL)
		return err_set(
			reterr, -EINVAL,
			"target %s cannot be told its ports and name server, so it needs a private network",
			needed_by);
	if (wanted == WORLD_NETWORK_LOOPBACK || (wanted == WORLD_NETWORK_AUTO && needed_by == NULL))
		return choose_range(w, reterr);
	w->network = network_new(w->flow->host_count, reterr);
	w->first_port = SMTP_PORT;
	return w->network != NULL ? 0 : err_wrap(reterr, "no private network can be made here");
}

/* ---- names ---- */

/* "mx.fredsco.example." is asked for; mx_name has no dot at its end. */
static bool is_name_of(const char *asked, const char *mx_name)
{
	size_t n = strlen(mx_name);

	return strncasecmp(asked, mx_name, n) == 0 && (asked[n] == '\0' || strcmp(asked + n, ".") == 0);
}

static void on_query(void *ctx, const struct dns_query *q)
{
	struct world *w = ctx;

	for (uint32_t to = 0; strcmp(q->type, "A") == 0 && to < w->flow->host_count; to++)
		w->lookups[q->view][to] += is_name_of(q->name, w->flow->hosts[to].mx_name) ? 1 : 0;
	(void)fprintf(w->dns_log, "%lld.%06lld %s %s %s %s %s\n", (long long)(q->at_ns / 1000000000),
		      (long long)(q->at_ns / 1000 % 1000000), w->flow->hosts[q->view].name,
		      q->tcp ? "tcp" : "udp", q->name, q->type, q->result);
}

/* What host `view` finds for host `to`'s name. */
static int add_address(struct world *w, int view, uint32_t to, struct err *reterr)
{
	struct buf line = { 0 };
	char ip[56];
	struct addr at = view == (int)to ? world_host_addr(w, to) : world_link_addr(w, (uint32_t)view, to);

	buf_addf(&line, "%s. 0 IN A %s", w->flow->hosts[to].mx_name, addr_format_ip(&at, ip));
	int rc = dns_add(w->dns, view, buf_cstr(&line), reterr);
	buf_free(&line);
	return rc;
}

static int add_host_names(struct world *w, uint32_t index, struct err *reterr)
{
	const struct flow_host *h = &w->flow->hosts[index];
	struct buf line = { 0 };
	int rc = 0;

	for (uint32_t i = 0; i < h->domain_count && rc == 0; i++) {
		buf_reset(&line);
		buf_addf(&line, "%s. 0 IN MX 10 %s.", h->domains[i], h->mx_name);
		rc = dns_add(w->dns, DNS_VIEW_ALL, buf_cstr(&line), reterr);
	}
	for (uint32_t view = 0; view < w->flow->host_count && rc == 0; view++)
		rc = add_address(w, (int)view, index, reterr);
	buf_free(&line);
	return rc;
}

static int make_dns(struct world *w, struct err *reterr)
{
	const struct flow_dns *d = &w->flow->dns;
	char path[PATH_MAX];
	int rc = 0;

	(void)snprintf(path, sizeof(path), "%s/dns.log", w->dir);
	w->dns_log = fopen(path, "we");
	if (w->dns_log == NULL)
		return err_errno(reterr, errno, "%s", path);
	w->dns = dns_new(w->loop);
	dns_on_query(w->dns, on_query, w);
	for (uint32_t i = 0; i < w->flow->host_count && rc == 0; i++) {
		struct addr at = dns_addr_of(w, i);
		int view = dns_listen(w->dns, &at, reterr);
		assert(view < 0 || view == (int)i); /* a host's index is its view */
		rc = view < 0 ? view : 0;
	}
	for (uint32_t i = 0; i < w->flow->host_count && rc == 0; i++)
		rc = add_host_names(w, i, reterr);
	for (uint32_t i = 0; i < d->record_count && rc == 0; i++)
		rc = dns_add(w->dns, DNS_VIEW_ALL, d->records[i], reterr);
	for (uint32_t i = 0; i < d->servfail_domain_count; i++)
		(void)dns_fault_add(w->dns, d->servfail_domains[i], DNS_SERVFAIL, 0);
	for (uint32_t i = 0; i < d->absent_domain_count; i++)
		(void)dns_fault_add(w->dns, d->absent_domains[i], DNS_NXDOMAIN, 0);
	if (rc == 0 && d->signed_domain != NULL)
		rc = dns_sign(w->dns, d->signed_domain, reterr);
	return rc;
}

/* ---- hosts ---- */

static void on_host(void *ctx, struct host *h, enum host_event event);

static char *make_password(const char *given)
{
	static const char CHARS[] = "abcdefghijkmnpqrstuvwxyz23456789"; /* 32: no character is likelier */
	unsigned char r[PASSWORD_CHARS];
	char *p = given != NULL ? strdup(given) : calloc(1, PASSWORD_CHARS + 1);

	if (p == NULL)
		abort();
	if (given != NULL)
		return p;
	random_bytes(r, sizeof(r));
	for (size_t i = 0; i < PASSWORD_CHARS; i++)
		p[i] = CHARS[r[i] % 32];
	return p;
}

/* "name: password" lines in a file that nobody else may read; *ret_password stays when it has no such name. */
static int find_password(const struct target *t, const char *name, char **ret_password, struct err *reterr)
{
	const char *path = t->remote.password_file;
	struct buf text = { 0 };
	struct stat st;
	struct span rest, line, head;

	if (path == NULL)
		return 0;
	if (stat(path, &st) != 0)
		return err_errno(reterr, errno, "target %s: %s", t->name, path);
	if ((st.st_mode & 077) != 0)
		return err_set(reterr, -EPERM, "target %s: %s can be read by others; chmod 600 it", t->name,
			       path);
	int rc = file_read(path, PASSWORD_FILE_BYTES_MAX, &text, reterr);
	rest = buf_span(&text);
	while (rc == 0 && *ret_password == NULL && span_take_until(&rest, '\n', &line))
		if (span_take_until(&line, ':', &head) && span_eq(span_trim(head), span_of(name)))
			*ret_password = strndup(span_trim(line).p, span_trim(line).n);
	buf_free(&text);
	return rc;
}

static int make_certificate(struct world *w, struct place *p, const struct flow_host *h, struct err *reterr)
{
	struct addr at = world_host_addr(w, p->index);
	char ip[56];
	const char *names[FLOW_HOSTS_MAX + 32] = { h->mx_name };
	size_t count = 1;

	for (uint32_t i = 0; i < h->domain_count && count + 2 < sizeof(names) / sizeof(names[0]); i++)
		names[count++] = h->domains[i];
	names[count++] = addr_format_ip(&at, ip);
	return ca_issue(w->ca, h->name, names, p->target->rsa_key, p->cert_path, p->key_path, reterr);
}

static int make_host(struct world *w, struct place *p, const char *program, struct err *reterr)
{
	const struct flow_host *h = &w->flow->hosts[p->index];
	struct host_options o = { .loop = w->loop, .program = program, .on_event = on_host, .ctx = p };
	struct host_setup *s = &o.setup;

	(void)snprintf(p->dir, sizeof(p->dir), "%s/hosts/%s", w->dir, h->name);
	int rc = make_certificate(w, p, h, reterr);
	if (rc != 0)
		return rc;
	*s = (struct host_setup){ .flow = h,
				  .target = p->target,
				  .dir = p->dir,
				  .address = world_host_addr(w, p->index),
				  .dns = *dns_addr(w->dns, (int)p->index),
				  .outbound_port = w->first_port,
				  .anchor = dns_anchor(w->dns),
				  .cert_path = p->cert_path,
				  .key_path = p->key_path,
				  .ca_path = ca_cert_path(w->ca),
				  .passwords = (const char *const *)p->passwords,
				  .network_fd =
					  w->network != NULL ? network_host_fd(w->network, p->index) : -1 };
	for (uint32_t i = 0; i < FLOW_SERVICE_COUNT; i++)
		s->services[i] = world_service_addr(w, p->index, (enum flow_service)i);
	if (h->smart_host != FLOW_NONE)
		s->smart_host = world_link_addr(w, p->index, (uint32_t)h->smart_host);
	p->host = host_new(&o, reterr);
	return p->host != NULL ? 0 : reterr->code;
}

static int make_hosts(struct world *w, const char *program, struct err *reterr)
{
	int rc = 0;

	for (uint32_t i = 0; i < w->flow->host_count && rc == 0; i++) {
		const struct flow_host *h = &w->flow->hosts[i];
		struct place *p = &w->places[i];
		p->world = w;
		p->index = i;
		p->passwords = calloc(h->account_count + 1, sizeof(*p->passwords));
		if (p->passwords == NULL)
			abort();
		for (uint32_t k = 0; k < h->account_count && rc == 0; k++) {
			char *given = NULL;
			if (is_remote(p))
				rc = find_password(p->target, h->accounts[k].local_part, &given, reterr);
			p->passwords[k] = make_password(given != NULL ? given : h->accounts[k].password);
			free(given);
		}
		if (p->target != NULL && !is_remote(p))
			rc = make_host(w, p, program, reterr);
	}
	return rc;
}

/* ---- the whole ---- */

static void tell_stopped(void *ctx);

/* Servers change their directory and get their paths from us, so that all are absolute. */
static int make_dir(struct world *w, const char *dir, struct err *reterr)
{
	char resolved[PATH_MAX];
	int rc = dir_make(dir, 0700, reterr);

	if (rc != 0)
		return rc;
	if (realpath(dir, resolved) == NULL)
		return err_errno(reterr, errno, "%s", dir);
	if (!span_copy(span_of(resolved), w->dir, sizeof(w->dir)))
		return err_set(reterr, -ENAMETOOLONG, "%s", dir);
	return 0;
}

struct world *world_new(const struct world_options *o, struct err *reterr)
{
	struct world *w = calloc(1, sizeof(*w));
	char path[PATH_MAX];

	if (w == NULL)
		abort();
	w->loop = o->loop;
	w->flow = o->flow;
	w->on_event = o->on_event;
	w->ctx = o->ctx;
	w->stopped = task_new(w->loop, tell_stopped, w);
	int rc = make_dir(w, o->dir, reterr);
	(void)snprintf(path, sizeof(path), "%s/ca", w->dir);
	if (rc == 0)
		w->ca = ca_new(path, reterr);
	if (rc != 0 || w->ca == NULL || read_targets(w, reterr) != 0 ||
	    find_remotes(w, o->network, reterr) != 0 || choose_network(w, o->network, reterr) != 0 ||
	    make_dns(w, reterr) != 0 || make_hosts(w, o->program, reterr) != 0) {
		world_free(w);
		return NULL;
	}
	return w;
}

void world_free(struct world *w)
{
	if (w == NULL)
		return;
	for (uint32_t i = 0; i < w->flow->host_count; i++) {
		struct place *p = &w->places[i];
		host_free(p->host);
		target_free(p->target);
		for (uint32_t k = 0; p->passwords != NULL && p->passwords[k] != NULL; k++)
			free(p->passwords[k]);
		free(p->passwords);
	}
	task_free(w->stopped);
	dns_free(w->dns);
	if (w->dns_log != NULL)
		(void)fclose(w->dns_log);
	ca_free(w->ca);
	network_free(w->network);
	free(w);
}

static void break_world(struct world *w, const struct err *why)
{
	if (w->broken)
		return;
	w->broken = true;
	w->error = *why;
	w->starting = false;
	w->on_event(w->ctx, WORLD_BROKEN);
}

static bool all_in(const struct world *w, enum host_state state)
{
	for (uint32_t i = 0; i < w->flow->host_count; i++)
		if (w->places[i].host != NULL && host_state(w->places[i].host) != state)
			return false;
	return true;
}

static void tell_stopped(void *ctx)
{
	struct world *w = ctx;

	if (!w->stopping || !all_in(w, HOST_IDLE))
		return;
	w->stopping = false;
	w->on_event(w->ctx, w->broken_while_stopping ? WORLD_BROKEN : WORLD_STOPPED);
}

static void on_host(void *ctx, struct host *h, enum host_event event)
{
	struct place *p = ctx;
	struct world *w = p->world;
	world_host_fn *fn = p->fn;

	if (fn != NULL) {
		p->fn = NULL;
		fn(p->ctx, h, event);
	}
	if (w->stopping) {
		if (event == HOST_HAS_FAILED && !w->broken_while_stopping) {
			w->broken_while_stopping = true;
			w->error = *host_error(h);
		}
		if (event == HOST_IS_READY) /* its start was under way when the world was told to stop */
			host_stop(h);
		task_schedule(w->stopped);
	} else if (fn != NULL) {
		return; /* whoever asked decides */
	} else if (event == HOST_IS_READY) {
		if (w->starting && all_in(w, HOST_READY)) {
			w->starting = false;
			w->on_event(w->ctx, WORLD_READY);
		}
	} else if (event == HOST_HAS_FAILED) {
		break_world(w, host_error(h));
	}
}

int world_start(struct world *w, struct err *reterr)
{
	w->starting = true;
	for (uint32_t i = 0; i < w->flow->host_count; i++) {
		int rc = w->places[i].host != NULL ? host_start(w->places[i].host, reterr) : 0;
		if (rc != 0)
			return err_wrap(reterr, w->flow->hosts[i].name);
	}
	return 0;
}

void world_stop(struct world *w)
{
	w->starting = false;
	w->stopping = true;
	for (uint32_t i = 0; i < w->flow->host_count; i++) {
		struct host *h = w->places[i].host;
		if (h != NULL && (host_state(h) == HOST_STARTING || host_state(h) == HOST_READY))
			host_stop(h);
	}
	task_schedule(w->stopped);
}

const struct err *world_error(const struct world *w)
{
	return &w->error;
}

const struct flow *world_flow(const struct world *w)
{
	return w->flow;
}

struct host *world_host(const struct world *w, uint32_t index)
{
	assert(index < w->flow->host_count);
	return w->places[index].host;
}

struct dns *world_dns(const struct world *w)
{
	return w->dns;
}

uint32_t world_lookup_count(const struct world *w, uint32_t from, uint32_t to)
{
	return w->lookups[from][to];
}

struct ca *world_ca(const struct world *w)
{
	return w->ca;
}

const char *world_ca_path(const struct world *w)
{
	return ca_cert_path(w->ca);
}

const char *world_password(const struct world *w, uint32_t host, uint32_t account)
{
	assert(host < w->flow->host_count && account < w->flow->hosts[host].account_count);
	return w->places[host].passwords[account];
}

struct redact *world_redact_new(const struct world *w)
{
	struct redact *r = redact_new();
	struct buf user = { 0 };

	for (uint32_t i = 0; i < w->flow->host_count; i++) {
		const struct flow_host *h = &w->flow->hosts[i];
		for (uint32_t k = 0; k < h->account_count; k++) {
			buf_reset(&user);
			buf_addf(&user, "%s@%s", h->accounts[k].local_part, h->domains[0]);
			redact_add(r, buf_cstr(&user), w->places[i].passwords[k]);
		}
	}
	buf_free(&user);
	return r;
}

/* ---- single hosts ---- */

static struct place *await(struct world *w, uint32_t host, world_host_fn *fn, void *ctx)
{
	struct place *p = &w->places[host];

	assert(host < w->flow->host_count && p->host != NULL && p->fn == NULL);
	p->fn = fn;
	p->ctx = ctx;
	return p;
}

int world_host_start(struct world *w, uint32_t host, world_host_fn *fn, void *ctx, struct err *reterr)
{
	struct place *p = await(w, host, fn, ctx);
	int rc = host_start(p->host, reterr);

	if (rc != 0)
		p->fn = NULL;
	else
		w->broken = false; /* the next end that nobody asked for is told again */
	return rc;
}

void world_host_stop(struct world *w, uint32_t host, world_host_fn *fn, void *ctx)
{
	host_stop(await(w, host, fn, ctx)->host);
}

void world_host_kill(struct world *w, uint32_t host, world_host_fn *fn, void *ctx)
{
	host_kill(await(w, host, fn, ctx)->host);
}
