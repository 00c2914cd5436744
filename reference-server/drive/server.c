#include "reference-server/drive/server.h"

#include "base/file.h"
#include "base/listener.h"
#include "base/log.h"
#include "base/must.h"
#include "reference-server/drive/auth.h"
#include "reference-server/drive/control.h"
#include "reference-server/drive/directory.h"
#include "reference-server/drive/gate.h"
#include "reference-server/drive/http.h"
#include "reference-server/drive/keeper.h"
#include "reference-server/drive/load.h"
#include "reference-server/drive/metrics.h"
#include "reference-server/drive/pop3_session.h"
#include "reference-server/drive/relay.h"
#include "reference-server/drive/resolver.h"
#include "reference-server/drive/smtp_session.h"
#include "reference-server/drive/supervisor.h"
#include "reference-server/store/account.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	POOL_THREADS = 2,
	DRAIN_CHECK_MS = 20,
	PASSWORD_FILE_BYTES_MAX = 4096,
	LOG_FACILITY = 2, /* RFC 3164 4.1.1: mail */
};

/* What accepts a service's connections. */
struct door {
	struct server *server;
	enum service service;
	struct listener *listener;
	struct door *next;
};

/* What server_run owns beside the struct server. */
struct run {
	struct server server;
	const char *config_path;
	struct door *doors;
	struct keeper *keeper;
	struct signal_watch *signals[3];
	struct timer *drain;
	int64_t drain_until_ms;
	bool drained;                         /* the store, after that */
	struct buf fixed[CONFIG_FIXED_COUNT]; /* what only a restart changes, as of the start */
	char cert_path[512];
	char key_path[512];
};

/* What is derived from one reading of the configuration, and that itself. */
struct settings {
	struct config *config;
	struct directory *directory;
	struct smtp_profile *profiles[SERVICE_COUNT];
	struct route_settings route;
	uint32_t user_count;
	bool replaced; /* goes with its last user */
};

static uint32_t settings_alive;

uint64_t server_next_session(void)
{
	static uint64_t last;
	return ++last;
}

/* ---- settings that are derived from the configuration ---- */

static struct route_endpoint endpoint_of(const struct addr *a)
{
	struct route_endpoint e = { .port = addr_port(a) };
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	if (a->ss.ss_family == AF_INET6) {
		memcpy(&v6, &a->ss, sizeof(v6));
		e.addr.is_ipv6 = true;
		memcpy(e.addr.bytes, &v6.sin6_addr, 16);
	} else {
		memcpy(&v4, &a->ss, sizeof(v4));
		memcpy(e.addr.bytes, &v4.sin_addr, 4);
	}
	return e;
}

static struct route_settings route_settings(const struct config *c, const struct door *doors)
{
	struct route_rule *rules = must(calloc(c->route_count + 1, sizeof(*rules)));
	struct span *names = must(calloc(1, sizeof(*names)));
	uint32_t door_count = 0;

	for (uint32_t i = 0; i < c->route_count; i++)
		rules[i] = (struct route_rule){
			.domain =
				c->routes[i].domain[0] == '\0' ? SPAN_LIT("*") : span_of(c->routes[i].domain),
			.host = span_of(c->routes[i].host),
			.port = c->routes[i].port,
			.lmtp = c->routes[i].lmtp,
		};
	names[0] = span_of(c->hostname);
	for (const struct door *d = doors; d != NULL; d = d->next)
		door_count++;
	struct route_endpoint *endpoints = must(calloc(door_count + 1, sizeof(*endpoints)));
	uint32_t endpoint_count = 0;
	for (const struct door *d = doors; d != NULL; d = d->next)
		if (d->service == SERVICE_SMTP)
			endpoints[endpoint_count++] = endpoint_of(listener_addr(d->listener));
	return (struct route_settings){
		.rules = rules,
		.rule_count = c->route_count,
		.mx_port = c->outbound.port,
		.own_names = names,
		.own_name_count = 1,
		.own_endpoints = endpoints,
		.own_endpoint_count = endpoint_count,
	};
}

static void *unconst(const void *p)
{
	void *q;
	memcpy(&q, &p, sizeof(q));
	return q;
}

static void route_settings_free(struct route_settings *s)
{
	free(unconst(s->rules));
	free(unconst(s->own_names));
	free(unconst(s->own_endpoints));
}

static void settings_free(struct settings *st)
{
	directory_free(st->directory);
	for (unsigned i = 0; i < SERVICE_COUNT; i++)
		smtp_profile_free(st->profiles[i]);
	route_settings_free(&st->route);
	config_free(st->config);
	free(st);
	settings_alive--;
}

struct settings *settings_use(struct server *server)
{
	if (server->settings != NULL)
		server->settings->user_count++;
	return server->settings;
}

void settings_release(struct settings *s)
{
	if (s != NULL && --s->user_count == 0 && s->replaced)
		settings_free(s);
}

uint32_t settings_count(void)
{
	return settings_alive;
}

/* They go with their last user, or now.  Accepts NULL. */
static void settings_drop(struct settings *s)
{
	if (s == NULL)
		return;
	s->replaced = true;
	s->user_count++;
	settings_release(s);
}

/* From server->config, which they own from now on; those before go with their last user. */
static void derive_settings(struct run *r)
{
	struct server *s = &r->server;
	static const enum service smtp_services[] = { SERVICE_SMTP, SERVICE_SUBMISSION, SERVICE_SUBMISSIONS,
						      SERVICE_LMTP };
	struct settings *st = must(calloc(1, sizeof(*st))), *old = s->settings;

	settings_alive++;
	st->config = s->config;
	st->directory = directory_new(s->config, s->store);
	for (size_t i = 0; i < sizeof(smtp_services) / sizeof(smtp_services[0]); i++)
		st->profiles[smtp_services[i]] = smtp_profile_new(s->config, smtp_services[i]);
	st->route = route_settings(s->config, r->doors);
	s->settings = st;
	s->directory = st->directory;
	memcpy(s->profiles, st->profiles, sizeof(s->profiles));
	s->route = st->route;
	log_set_level(s->config->log_level);
	settings_drop(old);
}

static void note_fixed(struct run *r)
{
	for (unsigned i = 0; i < CONFIG_FIXED_COUNT; i++)
		config_add_fixed(r->server.config, i, &r->fixed[i]);
}

/* Names what the file says differently from the start, and what nothing was done about. */
static void warn_fixed(struct run *r, const struct config *fresh)
{
	struct buf value = { 0 };

	for (unsigned i = 0; i < CONFIG_FIXED_COUNT; i++) {
		buf_reset(&value);
		config_add_fixed(fresh, i, &value);
		if (!span_eq(buf_span(&value), buf_span(&r->fixed[i])))
			log_event(LOG_WARN, "reload-ignored", LOG_C("key", config_fixed_name(i)),
				  LOG_C("why", config_fixed_way(i)));
	}
	buf_free(&value);
}

/* ---- certificates ---- */

/* The configured files, or a self-signed pair in the data directory, made once. */
static int find_certificate(struct run *r, struct err *reterr)
{
	const struct config *c = r->server.config;
	const char *names[] = { c->hostname, "localhost", "127.0.0.1", NULL };

	if (c->tls_certificate != NULL) {
		(void)snprintf(r->cert_path, sizeof(r->cert_path), "%s", c->tls_certificate);
		(void)snprintf(r->key_path, sizeof(r->key_path), "%s", c->tls_key);
		return 0;
	}
	(void)snprintf(r->cert_path, sizeof(r->cert_path), "%s/certificate.pem", c->data_dir);
	(void)snprintf(r->key_path, sizeof(r->key_path), "%s/key.pem", c->data_dir);
	if (access(r->cert_path, R_OK) == 0 && access(r->key_path, R_OK) == 0)
		return 0;
	int rc = dir_make(c->data_dir, 0700, reterr);
	if (rc == 0)
		rc = cert_make(&(struct cert_options){ .common_name = c->hostname,
						       .names = names,
						       .ret_cert_path = r->cert_path,
						       .ret_key_path = r->key_path },
			       reterr);
	return rc;
}

static struct tls_ctx *load_pair(struct run *r, const char *cert_path, const char *key_path,
				 struct err *reterr)
{
	struct buf chain = { 0 }, key = { 0 };
	struct tls_ctx *t = NULL;

	if (keeper_read(r->keeper, cert_path, &chain, reterr) == 0 &&
	    keeper_read(r->keeper, key_path, &key, reterr) == 0) {
		t = tls_server_new_pem(buf_span(&chain), buf_span(&key), reterr);
		if (t == NULL)
			(void)err_wrap(reterr, cert_path);
	}
	if (key.p != NULL)
		explicit_bzero(key.p, key.room);
	buf_free(&chain);
	buf_free(&key);
	return t;
}

/* All of them, or none: a reload goes on with the old ones. */
static struct tls_ctx *load_certificates(struct run *r, struct err *reterr)
{
	const struct config *c = r->server.config;
	struct tls_ctx *all = load_pair(r, r->cert_path, r->key_path, reterr);

	for (uint32_t i = 0; all != NULL && i < c->certificate_count; i++) {
		struct tls_ctx *one =
			load_pair(r, c->certificates[i].certificate, c->certificates[i].key, reterr);
		if (one != NULL) {
			tls_server_add(all, one);
		} else {
			tls_free(all);
			all = NULL;
		}
	}
	return all;
}

static void list_certificate_files(const struct run *r,
				   const char *paths[2 * (CONFIG_CERTIFICATES_MAX + 1) + 1])
{
	const struct config *c = r->server.config;
	uint32_t n = 0;

	paths[n++] = r->cert_path;
	paths[n++] = r->key_path;
	for (uint32_t i = 0; i < c->certificate_count; i++) {
		paths[n++] = c->certificates[i].certificate;
		paths[n++] = c->certificates[i].key;
	}
	paths[n] = NULL;
}

static void reload(struct server *server)
{
	struct run *r = (struct run *)server; /* its first member */
	struct err e;

	if (r->config_path != NULL) {
		struct config *fresh = config_load(r->config_path);
		if (fresh == NULL) {
			log_event(LOG_ERROR, "reload-failed", LOG_C("file", r->config_path));
			return;
		}
		warn_fixed(r, fresh);
		server->config = fresh;
		derive_settings(r);
	}
	struct tls_ctx *t = load_certificates(r, &e);
	if (t == NULL) {
		log_event(LOG_ERROR, "reload-failed", LOG_C("error", e.text));
		return;
	}
	struct tls_ctx *out = tls_client_new_trusting(server->config->outbound.tls_ca, &e);
	if (out == NULL) {
		log_event(LOG_ERROR, "reload-failed", LOG_C("error", e.text));
		tls_free(t);
		return;
	}
	tls_free(server->tls_in); /* connections keep what they need of it */
	tls_free(server->tls_out);
	server->tls_in = t;
	server->tls_out = out;
	log_event(LOG_INFO, "reloaded", LOG_C("certificate", r->cert_path),
		  LOG_I("settings", settings_alive));
}

void server_reload(struct server *server)
{
	char text[64];

	(void)snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%lld",
		       (long long)(clock_mono_ns() / 1000));
	supervisor_tell(text);
	reload(server);
	supervisor_tell("READY=1");
}

/* ---- accounts that the configuration names ---- */

/* While we are still root: the files may be for root only. */
static int read_password(struct config_account *a, struct err *reterr)
{
	struct buf b = { 0 };

	if (a->password != NULL)
		return 0;
	int rc = file_read(a->password_file, PASSWORD_FILE_BYTES_MAX, &b, reterr);
	if (rc == 0) {
		struct span line = span_sub(buf_span(&b), 0, span_find(buf_span(&b), '\n'));
		while (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		if (line.n > 0 && span_find(line, '\0') == line.n)
			a->password = must(strndup(line.p, line.n));
		else
			rc = err_set(reterr, -EINVAL, "%s: no password in it", a->password_file);
	}
	if (b.p != NULL)
		explicit_bzero(b.p, b.room);
	buf_free(&b);
	return rc;
}

static int read_passwords(struct config *c, struct err *reterr)
{
	int rc = 0;
	for (uint32_t i = 0; rc == 0 && i < c->account_count; i++) {
		rc = read_password(&c->accounts[i], reterr);
		if (rc != 0)
			rc = err_wrap(reterr, c->accounts[i].address);
	}
	return rc;
}

static void note_result(void *ctx, int result)
{
	*(int *)ctx = result;
}

static int ensure_account(struct server *s, const struct config_account *a, struct err *reterr)
{
	struct buf prepared = { 0 };
	struct account existing;
	struct account_keys keys;
	int result = 0;

	if (account_prepare_password(span_of(a->password), &prepared) != 0)
		return err_set(reterr, -EINVAL, "account %s: its password has a character that none may have",
			       a->address);
	int found = account_find(s->store, span_of(a->address), &existing);
	bool known = found == 0;
	if (found != 0 && found != -ENOENT) {
		explicit_bzero(prepared.p, prepared.room);
		buf_free(&prepared);
		return err_errno(reterr, -found, "account %s: read", a->address);
	}
	bool same = known && account_verify(&existing.keys, buf_span(&prepared));
	if (!same)
		account_derive(buf_span(&prepared), s->config->auth_iterations, &keys);
	explicit_bzero(prepared.p, prepared.room);
	buf_free(&prepared);
	if (same)
		return 0;
	if (known)
		account_set_keys(s->store, span_of(a->address), &keys, note_result, &result);
	else
		account_add(s->store, span_of(a->address), &keys, note_result, &result);
	store_drain(s->store);
	return result == 0 ? 0 : err_errno(reterr, -result, "account %s: store", a->address);
}

/* Afterwards only keys are left of the passwords. */
static int ensure_accounts(struct server *s, struct err *reterr)
{
	int rc = 0;
	for (uint32_t i = 0; rc == 0 && i < s->config->account_count; i++)
		rc = ensure_account(s, &s->config->accounts[i], reterr);
	for (uint32_t i = 0; i < s->config->account_count; i++) {
		char *password = s->config->accounts[i].password;
		if (password != NULL)
			explicit_bzero(password, strlen(password));
	}
	return rc;
}

/* ---- listening ---- */

static void on_accept(void *ctx, int fd, const struct addr *peer)
{
	struct door *d = ctx;

	d->server->counters.connections[d->service]++;
	switch (d->service) {
	case SERVICE_SMTP:
	case SERVICE_SUBMISSION:
	case SERVICE_SUBMISSIONS:
	case SERVICE_LMTP:
		smtp_session_start(d->server, d->service, fd, peer);
		break;
	case SERVICE_POP3:
	case SERVICE_POP3S:
		pop3_session_start(d->server, d->service, fd, peer);
		break;
	case SERVICE_COUNT:
		abort();
	}
}

static void add_door(struct run *r, struct door *d)
{
	struct door **last = &r->doors;

	listener_pause(d->listener); /* until everything behind it is ready */
	while (*last != NULL)
		last = &(*last)->next;
	*last = d;
}

static int open_door(struct run *r, const struct config_listen *l, struct err *reterr)
{
	struct door *d = must(calloc(1, sizeof(*d)));
	struct addr at = l->at;

	d->server = &r->server;
	d->service = l->service;
	d->listener = listener_new(r->server.loop, &at, on_accept, d, reterr);
	if (d->listener == NULL && reterr->code == -EADDRINUSE && l->any_port_if_taken) {
		addr_set_port(&at, 0);
		d->listener = listener_new(r->server.loop, &at, on_accept, d, reterr);
	}
	if (d->listener == NULL) {
		free(d);
		return err_wrap(reterr, service_name(l->service));
	}
	add_door(r, d);
	return 0;
}

/* *ret_services: which were handed over, a bit each. */
static int take_doors(struct run *r, unsigned *ret_services, struct err *reterr)
{
	struct inherited in;
	int rc = supervisor_sockets(&in, reterr);

	*ret_services = 0;
	for (uint32_t i = 0; rc == 0 && i < in.count; i++) {
		struct door *d = must(calloc(1, sizeof(*d)));
		d->server = &r->server;
		d->service = in.sockets[i].service;
		d->listener = listener_take(r->server.loop, in.sockets[i].fd, on_accept, d);
		add_door(r, d);
		*ret_services |= 1U << d->service;
	}
	return rc;
}

/* What was handed over goes before what the configuration says of that service, or leaves to the default. */
static int open_doors(struct run *r, struct err *reterr)
{
	const struct config *c = r->server.config;
	unsigned taken;
	int rc = take_doors(r, &taken, reterr);
	for (uint32_t i = 0; rc == 0 && i < c->listen_count; i++) {
		const struct config_listen *l = &c->listens[i];
		if ((taken & 1U << l->service) == 0 && (taken == 0 || !l->any_port_if_taken))
			rc = open_door(r, l, reterr);
	}
	if (rc == 0 && c->metrics.n > 0) {
		r->server.metrics = http_new(r->server.loop, &c->metrics, metrics_answer, &r->server, reterr);
		rc = r->server.metrics != NULL ? 0 : err_wrap(reterr, "metrics");
	}
	return rc;
}

static void close_doors(struct run *r)
{
	while (r->doors != NULL) {
		struct door *d = r->doors;
		r->doors = d->next;
		listener_free(d->listener);
		free(d);
	}
}

static void announce(struct run *r)
{
	char text[56];
	for (struct door *d = r->doors; d != NULL; d = d->next) {
		(void)printf("%s %s\n", service_name(d->service),
			     addr_format(listener_addr(d->listener), text));
		listener_resume(d->listener);
	}
	if (r->server.metrics != NULL)
		(void)printf("metrics %s\n", addr_format(http_addr(r->server.metrics), text));
	(void)printf("ready\n");
	(void)fflush(stdout);
	supervisor_tell("READY=1");
}

/* ---- privileges ---- */

static int give_up_root(const struct config *c, struct err *reterr)
{
	if (c->user == NULL)
		return 0;
	const struct passwd *pw = getpwnam(c->user);
	if (pw == NULL)
		return err_set(reterr, -ENOENT, "user \"%s\" does not exist", c->user);
	if (geteuid() == pw->pw_uid)
		return 0;
	if (setgroups(0, NULL) != 0 || setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) != 0 ||
	    setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) != 0)
		return err_errno(reterr, errno, "become user \"%s\"", c->user);
	if (setuid(0) == 0)
		return err_set(reterr, -EPERM, "become user \"%s\": root could be had back", c->user);
	return 0;
}

/* The data directory belongs to the user we are going to be. */
static int prepare_data_dir(const struct config *c, struct err *reterr)
{
	int rc = dir_make(c->data_dir, 0700, reterr);
	const struct passwd *pw = c->user != NULL ? getpwnam(c->user) : NULL;
	if (rc == 0 && pw != NULL && geteuid() == 0 && chown(c->data_dir, pw->pw_uid, pw->pw_gid) != 0)
		rc = err_errno(reterr, errno, "%s: change owner", c->data_dir);
	return rc;
}

/* ---- stopping ---- */

/* Nothing is under way: also no last reply, to a client that reads slowly, of a session that has ended. */
static bool is_idle(const struct server *s)
{
	return smtp_session_count() == 0 && pop3_session_count() == 0 && relay_is_idle(s->relay) &&
	       store_pending_count(s->store) == 0 && loop_is_settled(s->loop);
}

/*
 * When the time is over the disk may still be at work for messages whose end has
 * come.  They are going to be stored, so their clients are told before the end:
 * who hears nothing sends again, and there are two (RFC 5321 4.2.5).
 */
static void on_drain(void *ctx)
{
	struct run *r = ctx;
	struct server *s = &r->server;
	bool over = clock_mono_ms() >= r->drain_until_ms;

	if (is_idle(s) || (over && r->drained)) {
		loop_stop(s->loop);
		return;
	}
	if (over) {
		store_drain(s->store);
		r->drained = true;
	}
	timer_set_ms(r->drain, DRAIN_CHECK_MS);
}

static void begin_stop(struct run *r)
{
	struct server *s = &r->server;

	if (s->stopping)
		return;
	s->stopping = true;
	supervisor_tell("STOPPING=1");
	log_event(LOG_INFO, "stopping", LOG_I("sessions", smtp_session_count() + pop3_session_count()));
	close_doors(r);
	r->drain_until_ms = clock_mono_ms() + s->config->timeouts.drain_ms;
	smtp_session_close_all(s);
	pop3_session_close_all(s);
	relay_stop(s->relay);
	timer_set_ms(r->drain, DRAIN_CHECK_MS); /* not now: what was just said is not yet on its way */
}

static void on_signal(void *ctx, int signo)
{
	struct run *r = ctx;
	if (signo == SIGHUP)
		server_reload(&r->server);
	else
		begin_stop(r);
}

/* ---- all of it ---- */

/* As root, if we are root: ports, the keeper of files only root may read, then never root again. */
static int start_privileged(struct run *r, struct err *reterr)
{
	struct server *s = &r->server;

	int rc = prepare_data_dir(s->config, reterr);
	if (rc == 0)
		rc = find_certificate(r, reterr);
	if (rc == 0)
		rc = read_passwords(s->config, reterr);
	if (rc == 0) {
		const char *paths[2 * (CONFIG_CERTIFICATES_MAX + 1) + 1];
		list_certificate_files(r, paths);
		r->keeper = s->config->user != NULL && geteuid() == 0 ? keeper_start(paths, reterr) : NULL;
		if (s->config->user != NULL && geteuid() == 0 && r->keeper == NULL)
			return reterr->code;
		rc = open_doors(r, reterr);
	}
	return rc == 0 ? give_up_root(s->config, reterr) : rc;
}

static int start(struct run *r, struct err *reterr)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP };
	struct server *s = &r->server;

	(void)signal(SIGPIPE, SIG_IGN);
	s->loop = loop_new();
	s->gate = gate_new();
	s->load = load_new(s);
	int rc = start_privileged(r, reterr);
	if (rc != 0)
		return rc;
	s->tls_in = load_certificates(r, reterr);
	s->tls_out = s->tls_in != NULL ? tls_client_new_trusting(s->config->outbound.tls_ca, reterr) : NULL;
	if (s->tls_out == NULL)
		return reterr->code;
	rc = store_open(&(struct store_options){ .data_dir = s->config->data_dir,
						 .map_bytes_max = s->config->store_map_bytes,
						 .loop = s->loop },
			&s->store, reterr);
	if (rc == 0)
		rc = ensure_accounts(s, reterr);
	if (rc != 0)
		return rc;
	s->pool = pool_new(s->loop, POOL_THREADS);
	s->auth = auth_new(s);
	s->resolver = resolver_new(&(struct resolver_options){ .loop = s->loop,
							       .forwarder = s->config->dns_forwarder,
							       .trust_anchor = s->config->dns_trust_anchor,
							       .timeout_ms = s->config->dns_timeout_ms },
				   reterr);
	if (s->resolver == NULL)
		return reterr->code;
	derive_settings(r);
	s->relay = relay_new(s);
	s->control = control_new(s, reterr);
	if (s->control == NULL)
		return reterr->code;
	r->drain = timer_new(s->loop, on_drain, r);
	for (size_t i = 0; i < 3; i++)
		r->signals[i] = signal_watch_new(s->loop, signals[i], on_signal, r);
	return 0;
}

static void finish(struct run *r)
{
	struct server *s = &r->server;

	close_doors(r);
	http_free(s->metrics);
	control_free(s->control);
	if (s->relay != NULL) {
		smtp_session_abort_all();
		pop3_session_abort_all();
	}
	if (s->store != NULL)
		store_drain(
			s->store); /* what was acknowledged is on its way to the relay, which is still there */
	relay_free(s->relay);
	resolver_free(s->resolver);
	pool_free(s->pool);
	store_close(s->store);
	auth_free(s->auth);
	if (s->settings == NULL)
		config_free(s->config);
	settings_drop(s->settings); /* connections that end with the loop may use them until then */
	for (unsigned i = 0; i < CONFIG_FIXED_COUNT; i++)
		buf_free(&r->fixed[i]);
	timer_free(r->drain);
	for (size_t i = 0; i < 3; i++)
		signal_watch_free(r->signals[i]);
	keeper_stop(r->keeper);
	tls_free(s->tls_in);
	tls_free(s->tls_out);
	load_free(s->load);
	loop_free(s->loop);
	gate_free(s->gate); /* connections that were being finished ended with the loop */
}

int server_run(struct config *config, const char *config_path)
{
	struct run *r = must(calloc(1, sizeof(*r)));
	struct err e;
	int exit_code = 0;

	r->server.config = config;
	r->config_path = config_path;
	note_fixed(r);
	log_set_level(config->log_level);
	if (config->log_socket != NULL) /* for good: a reload does not change it */
		log_set_syslog(must(strdup(config->log_socket)), "postriderd", LOG_FACILITY);
	if (start(r, &e) == 0) {
		announce(r);
		log_event(LOG_INFO, "started", LOG_C("hostname", config->hostname),
			  LOG_C("data", config->data_dir));
		loop_run(r->server.loop);
		log_write(LOG_INFO, "stopped", NULL, 0);
	} else {
		(void)fprintf(stderr, "postriderd: %s\n", e.text);
		exit_code = 1;
	}
	finish(r);
	free(r);
	return exit_code;
}
