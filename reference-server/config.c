#include "reference-server/config.h"

#include "base/idna.h"
#include "base/must.h"
#include "base/span.h"
#include "reference-server/config_parts.h"
#include "reference-server/config_tls.h"
#include "reference-server/core/address.h"
#include "reference-server/store/account.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum {
	MIB = 1024 * 1024,
	DEFAULT_PORT_SMTP = 40025, /* unprivileged look-alikes of 25, 587, 465, 110, 995 */
	DEFAULT_PORT_SUBMISSION = 40587,
	DEFAULT_PORT_SUBMISSIONS = 40465,
	DEFAULT_PORT_POP3 = 40110,
	DEFAULT_PORT_POP3S = 40995,
};

/* Of package dns-root-data. */
#define DEFAULT_TRUST_ANCHOR "/usr/share/dns/root.key"

static const char *const service_names[] = {
	[SERVICE_SMTP] = "smtp",
	[SERVICE_SUBMISSION] = "submission",
	[SERVICE_SUBMISSIONS] = "submissions",
	[SERVICE_LMTP] = "lmtp",
	[SERVICE_POP3] = "pop3",
	[SERVICE_POP3S] = "pop3s",
	[SERVICE_COUNT] = NULL,
};

const char *service_name(enum service s)
{
	return service_names[s];
}

static char *copy(const char *s)
{
	return must(strdup(s));
}

/* Room for one more zeroed element at the end of an array; the count is raised. */
static void *push(void *array_pointer, uint32_t *count, size_t element_bytes)
{
	void **array = array_pointer;
	*array = must(realloc(*array, (*count + 1) * element_bytes));
	char *at = (char *)*array + *count * element_bytes;
	memset(at, 0, element_bytes);
	(*count)++;
	return at;
}

static char *lower_copy(struct span s)
{
	char *p = must(malloc(s.n + 1));
	for (size_t i = 0; i < s.n; i++)
		p[i] = s.p[i] >= 'A' && s.p[i] <= 'Z' ? (char)(s.p[i] - 'A' + 'a') : s.p[i];
	p[s.n] = '\0';
	return p;
}

struct config *config_new(void)
{
	struct config *c = must(calloc(1, sizeof(*c)));

	c->log_level = LOG_INFO;
	c->auth_iterations = 16384;
	c->auth_failure_delay_ms = 1000;
	c->submission_strict = true;
	c->auth_failure_count_max = 5;
	c->limits = (struct config_limits){
		.message_bytes_max = 50 * MIB,
		.header_bytes_max = MIB,
		.recipient_count_max = 1000,
		.received_count_max = 100,
		.error_count_max = 20,
		.connection_count_max = 10000,
		.connections_per_address_max = 1000,
		.data_bytes_per_s_min = 100,
		.idle_count_max = 100,
		.refused_rcpt_count_max = 100,
		.commands_per_s_max = 2000,
		.buffer_bytes_max = 256 * MIB,
		.unacknowledged_count_max = 10000,
		.unacknowledged_bytes_max = 128 * MIB,
	};
	c->timeouts = (struct config_timeouts){
		.command_ms = 5 * MINUTE_MS,
		.data_ms = 10 * MINUTE_MS,
		.pop3_ms = 10 * MINUTE_MS,
		.handshake_ms = MINUTE_MS,
		.drain_ms = 5000,
	};
	c->dns_timeout_ms = 10000;
	c->subaddress_separator = '+';
	c->smtp = (struct config_smtp){ .hold_ms_max = 30 * DAY_MS };
	c->outbound = (struct config_outbound){
		.port = 25,
		.tls = TLS_POLICY_MAY,
		.connection_count_max = 500,
		.destination_connection_count_max = 20,
		.idle_ms = 5000,
		.messages_per_connection_max = 1000,
		.connect_timeout_ms = 30000,
	};
	c->retry = (struct config_retry){
		.first_ms = 30 * MINUTE_MS,
		.factor = 2,
		.max_ms = 4 * HOUR_MS,
		.jitter = 0.1,
		.expire_ms = 5 * DAY_MS,
	};
	c->notifications = (struct config_notifications){ .delay_ms = 4 * HOUR_MS, .full_bytes_max = MIB };
	return c;
}

void config_free(struct config *c)
{
	if (c == NULL)
		return;
	for (uint32_t i = 0; i < c->domain_count; i++)
		free(c->domains[i]);
	for (uint32_t i = 0; i < c->alias_count; i++) {
		for (uint32_t k = 0; k < c->aliases[i].to_count; k++)
			free(c->aliases[i].to[k]);
		free(c->aliases[i].to);
		free(c->aliases[i].from);
	}
	for (uint32_t i = 0; i < c->account_count; i++) {
		free(c->accounts[i].address);
		free(c->accounts[i].password_file);
		free(c->accounts[i].password);
	}
	for (uint32_t i = 0; i < c->route_count; i++) {
		free(c->routes[i].domain);
		free(c->routes[i].host);
	}
	for (uint32_t i = 0; i < c->certificate_count; i++) {
		free(c->certificates[i].certificate);
		free(c->certificates[i].key);
	}
	config_free_tls(&c->outbound);
	free(c->certificates);
	free(c->domains);
	free(c->aliases);
	free(c->accounts);
	free(c->relay_from);
	free(c->listens);
	free(c->routes);
	free(c->data_dir);
	free(c->hostname);
	free(c->user);
	free(c->tls_certificate);
	free(c->tls_key);
	free(c->dns_forwarder);
	free(c->dns_trust_anchor);
	free(c->log_socket);
	free(c->notifications.postmaster);
	free(c);
}

/* ---- from options ---- */

int config_set_domain(struct config *c, const char *domain, struct err *reterr)
{
	char text[IDNA_NAME_BYTES_MAX + 1];
	struct span name;

	if (!idna_to_ascii(span_of(domain), text, &name) || !address_is_domain(name))
		return err_set(reterr, -EINVAL, "\"%s\" is not a domain name", domain);
	*(char **)push(&c->domains, &c->domain_count, sizeof(char *)) = copy(text);
	return 0;
}

int config_set_user(struct config *c, const char *name_and_password, struct err *reterr)
{
	const char *colon = strchr(name_and_password, ':');
	char name[ADDRESS_TEXT_BYTES_MAX + 1];
	struct address unused;

	if (colon == NULL || colon[1] == '\0')
		return err_set(reterr, -EINVAL, "--user wants NAME:PASSWORD");
	struct span s = { name_and_password, (size_t)(colon - name_and_password) };
	if (!span_copy(s, name, sizeof(name)))
		return err_set(reterr, -EINVAL, "--user: name is too long");
	char *address = NULL;
	bool has_domain = span_find(s, '@') < s.n;
	if (!has_domain && c->domain_count == 0)
		return err_set(reterr, -EINVAL, "--user %s: a name without @domain needs a --domain", name);
	if (asprintf(&address, "%s%s%s", name, has_domain ? "" : "@", has_domain ? "" : c->domains[0]) < 0)
		abort();
	if (address_parse_mailbox(span_of(address), &unused) != ADDRESS_OK) {
		int rc = err_set(reterr, -EINVAL, "--user: \"%s\" is not an address", address);
		free(address);
		return rc;
	}
	*(struct config_account *)push(&c->accounts, &c->account_count, sizeof(struct config_account)) =
		(struct config_account){ .address = address, .password = copy(colon + 1) };
	return 0;
}

int config_set_listen(struct config *c, const char *service_equals_address, struct err *reterr)
{
	const char *equals = strchr(service_equals_address, '=');
	struct addr at;

	if (equals != NULL && addr_parse_port(equals + 1, &at)) {
		struct span name = { service_equals_address, (size_t)(equals - service_equals_address) };
		for (unsigned i = 0; i < SERVICE_COUNT; i++) {
			if (!span_eq(name, span_of(service_names[i])))
				continue;
			*(struct config_listen *)push(&c->listens, &c->listen_count,
						      sizeof(struct config_listen)) =
				(struct config_listen){ .service = (enum service)i, .at = at };
			return 0;
		}
	}
	return err_set(reterr, -EINVAL,
		       "--listen %s: wants SERVICE=ADDRESS:PORT, SERVICE one of smtp submission submissions "
		       "lmtp pop3 pop3s",
		       service_equals_address);
}

int config_set_metrics(struct config *c, const char *address, struct err *reterr)
{
	uint64_t port;

	if (span_to_u64(span_of(address), &port) && port <= UINT16_MAX)
		return addr_parse("127.0.0.1", (uint16_t)port, &c->metrics) ? 0 : -EINVAL;
	if (addr_parse_port(address, &c->metrics))
		return 0;
	return err_set(reterr, -EINVAL, "metrics: \"%s\" is not ADDRESS:PORT, or a port", address);
}

void config_complete(struct config *c)
{
	static const uint16_t ports[SERVICE_COUNT] = {
		[SERVICE_SMTP] = DEFAULT_PORT_SMTP,
		[SERVICE_SUBMISSION] = DEFAULT_PORT_SUBMISSION,
		[SERVICE_SUBMISSIONS] = DEFAULT_PORT_SUBMISSIONS,
		[SERVICE_POP3] = DEFAULT_PORT_POP3,
		[SERVICE_POP3S] = DEFAULT_PORT_POP3S,
	};
	if (c->hostname == NULL) {
		char name[256] = "localhost";
		if (c->domain_count > 0) {
			if (asprintf(&c->hostname, "mx.%s", c->domains[0]) < 0)
				abort();
		} else {
			(void)gethostname(name, sizeof(name) - 1);
			c->hostname = copy(name);
		}
	}
	if (c->outbound.dane && c->dns_trust_anchor == NULL)
		c->dns_trust_anchor = copy(DEFAULT_TRUST_ANCHOR);
	if (c->listen_count > 0)
		return;
	for (unsigned i = 0; i < SERVICE_COUNT; i++) {
		if (ports[i] == 0)
			continue; /* by name only */
		struct config_listen *l = push(&c->listens, &c->listen_count, sizeof(*l));
		l->service = (enum service)i;
		l->any_port_if_taken = true;
		(void)addr_parse("127.0.0.1", ports[i], &l->at);
	}
}

struct retry_settings config_retry_settings(const struct config *c)
{
	return (struct retry_settings){
		.first_ms = c->retry.first_ms,
		.factor_percent = (uint32_t)(c->retry.factor * 100),
		.max_ms = c->retry.max_ms,
		.jitter_percent = (uint32_t)(c->retry.jitter * 100),
		.expiry_ms = c->retry.expire_ms,
	};
}

/* ---- what a reload leaves alone ---- */

enum fixed {
	FIXED_DATA,
	FIXED_USER,
	FIXED_LISTEN,
	FIXED_METRICS,
	FIXED_ACCOUNTS,
	FIXED_DNS,
	FIXED_STORE,
	FIXED_CERTIFICATE,
	FIXED_LOG,
};
_Static_assert(FIXED_LOG + 1 == CONFIG_FIXED_COUNT, "a name for each");

const char *config_fixed_name(unsigned i)
{
	static const char *const names[CONFIG_FIXED_COUNT] = {
		[FIXED_DATA] = "data",         [FIXED_USER] = "user",
		[FIXED_LISTEN] = "listen",     [FIXED_METRICS] = "metrics",
		[FIXED_ACCOUNTS] = "accounts", [FIXED_DNS] = "dns",
		[FIXED_STORE] = "store",       [FIXED_CERTIFICATE] = "tls.certificate",
		[FIXED_LOG] = "log.to",
	};
	return names[i];
}

const char *config_fixed_way(unsigned i)
{
	return i == FIXED_ACCOUNTS ? "needs a restart, or postriderd account add and remove"
				   : "needs a restart";
}

static void add_word(struct buf *text, const char *s)
{
	buf_add_cstr(text, s != NULL ? s : "");
	buf_add_cstr(text, "\n");
}

static void add_listens(const struct config *c, struct buf *text)
{
	char at[56];

	for (uint32_t i = 0; i < c->listen_count; i++) {
		add_word(text, service_names[c->listens[i].service]);
		add_word(text, addr_format(&c->listens[i].at, at));
	}
}

void config_add_fixed(const struct config *c, unsigned i, struct buf *text)
{
	char at[56];

	switch ((enum fixed)i) {
	case FIXED_DATA:
		add_word(text, c->data_dir);
		break;
	case FIXED_USER:
		add_word(text, c->user);
		break;
	case FIXED_LISTEN:
		add_listens(c, text);
		break;
	case FIXED_METRICS:
		add_word(text, c->metrics.n > 0 ? addr_format(&c->metrics, at) : NULL);
		break;
	case FIXED_ACCOUNTS:
		for (uint32_t k = 0; k < c->account_count; k++) {
			add_word(text, c->accounts[k].address);
			add_word(text, c->accounts[k].password_file);
		}
		break;
	case FIXED_DNS:
		add_word(text, c->dns_forwarder);
		add_word(text, c->dns_trust_anchor);
		buf_addf(text, "%lld\n", (long long)c->dns_timeout_ms);
		break;
	case FIXED_STORE:
		buf_addf(text, "%llu\n", (unsigned long long)c->store_map_bytes);
		break;
	case FIXED_CERTIFICATE:
		add_word(text, c->tls_certificate);
		add_word(text, c->tls_key);
		break;
	case FIXED_LOG:
		add_word(text, c->log_socket);
		break;
	}
}

/* ---- from a file ---- */

static void read_str(const struct yaml_node *map, const char *key, char **ret)
{
	const char *s = NULL;
	if (yaml_get_str(map, key, &s)) {
		free(*ret);
		*ret = copy(s);
	}
}

static void read_addr(struct yaml *y, const struct yaml_node *n, struct addr *ret)
{
	const char *s = NULL;
	if (yaml_as_str(n, &s) && !addr_parse_port(s, ret))
		yaml_error(y, n, "\"%s\" is not ADDRESS:PORT, as in 127.0.0.1:25 or [::1]:25", s);
}

static bool is_mailbox(const char *s)
{
	char text[IDNA_NAME_BYTES_MAX + 1];
	struct span name;
	struct address a;

	return address_parse_mailbox(span_of(s), &a) == ADDRESS_OK &&
	       (address_is_ascii(a) || idna_to_ascii(a.domain, text, &name));
}

static bool read_address(struct yaml *y, const struct yaml_node *n, const char *s)
{
	if (is_mailbox(s))
		return true;
	yaml_error(y, n, "\"%s\" is not an address (local-part@domain)", s);
	return false;
}

static void read_domains(struct config *c, struct yaml *y, const struct yaml_node *root)
{
	const struct yaml_node *list = yaml_get_list(root, "domains");
	for (const struct yaml_node *n = yaml_first(list); n != NULL; n = yaml_next(n)) {
		const char *s = NULL;
		struct err e;
		if (yaml_as_str(n, &s) && config_set_domain(c, s, &e) != 0)
			yaml_error(y, n, "%s", e.text);
	}
}

static void read_relay_from(struct config *c, struct yaml *y, const struct yaml_node *root)
{
	const struct yaml_node *list = yaml_get_list(root, "relay_from");
	for (const struct yaml_node *n = yaml_first(list); n != NULL; n = yaml_next(n)) {
		const char *s = NULL;
		struct addr_block *b = push(&c->relay_from, &c->relay_from_count, sizeof(*b));
		if (yaml_as_str(n, &s) && !addr_block_parse(s, b))
			yaml_error(y, n, "\"%s\" is no block of addresses, as 10.0.0.0/8 or fd00::/8", s);
	}
}

static void read_alias(struct config *c, struct yaml *y, const struct yaml_node *n)
{
	struct config_alias *a = push(&c->aliases, &c->alias_count, sizeof(*a));

	char text[ADDRESS_TEXT_BYTES_MAX], key_text[ACCOUNT_ADDRESS_BYTES_MAX + 1];
	struct address from;
	struct span key;

	if (address_parse_mailbox(span_of(yaml_key(n)), &from) == ADDRESS_OK &&
	    account_key(address_key(from, text), key_text, &key))
		a->from = copy(key_text);
	else
		yaml_error_at_key(y, n, "\"%s\" is not an address (local-part@domain)", yaml_key(n));
	bool is_list = yaml_kind(n) == YAML_LIST;
	for (const struct yaml_node *t = is_list ? yaml_first(n) : n; t != NULL;
	     t = is_list ? yaml_next(t) : NULL) {
		const char *s = NULL;
		if (yaml_as_str(t, &s) && read_address(y, t, s))
			*(char **)push(&a->to, &a->to_count, sizeof(char *)) = copy(s);
	}
}

static void read_accounts(struct config *c, struct yaml *y, const struct yaml_node *root)
{
	const struct yaml_node *list = yaml_get_list(root, "accounts");
	for (const struct yaml_node *n = yaml_first(list); n != NULL; n = yaml_next(n)) {
		struct config_account *a = push(&c->accounts, &c->account_count, sizeof(*a));
		if (yaml_kind(n) != YAML_MAP) {
			yaml_error(y, n, "an account is a mapping with address and password_file");
			continue;
		}
		if (!yaml_require(n, "address") || !yaml_require(n, "password_file"))
			continue;
		read_str(n, "address", &a->address);
		read_str(n, "password_file", &a->password_file);
		if (a->address != NULL)
			(void)read_address(y, yaml_get(n, "address"), a->address);
	}
}

static void read_listens(struct config *c, struct yaml *y, const struct yaml_node *root)
{
	const struct yaml_node *map = yaml_get_map(root, "listen");
	for (unsigned i = 0; i < SERVICE_COUNT; i++) {
		const struct yaml_node *n = yaml_get(map, service_names[i]);
		bool is_list = yaml_kind(n) == YAML_LIST;
		for (const struct yaml_node *a = is_list ? yaml_first(n) : n; a != NULL;
		     a = is_list ? yaml_next(a) : NULL) {
			struct config_listen *l = push(&c->listens, &c->listen_count, sizeof(*l));
			l->service = (enum service)i;
			read_addr(y, a, &l->at);
		}
	}
}

/* "mx.example:2525", "[::1]:25", "relay.example"; without a port it is usual_port, if that is not 0. */
static bool split_host_port(const char *s, uint16_t usual_port, char **ret_host, uint16_t *ret_port)
{
	const char *colon = strrchr(s, ':');
	uint64_t port = usual_port;
	struct span host = span_of(s);

	if (colon != NULL && strchr(s, ']') != s + strlen(s) - 1) {
		host.n = (size_t)(colon - s);
		if (!span_to_u64(span_of(colon + 1), &port) || port == 0 || port > UINT16_MAX)
			return false;
	}
	if (host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
		host = span_sub(host, 1, host.n - 2);
	char text[256];
	struct addr unused;
	if (port == 0)
		return false; /* LMTP has no port of its own, and not 25 (RFC 2033 5) */
	if (!span_copy(host, text, sizeof(text)) ||
	    (!address_is_domain(host) && !addr_parse(text, 0, &unused)))
		return false;
	*ret_host = copy(text);
	*ret_port = (uint16_t)port;
	return true;
}

char *config_domain_key(const char *domain)
{
	char text[IDNA_NAME_BYTES_MAX + 2] = ".";
	struct span name;
	bool below = domain[0] == '.';

	return idna_to_ascii(span_of(domain + below), text + 1, &name) ? copy(text + !below)
								       : lower_copy(span_of(domain));
}

static void read_route(struct config *c, struct yaml *y, const char *domain, const struct yaml_node *n)
{
	const char *s = NULL;
	if (n == NULL || !yaml_as_str(n, &s))
		return;
	struct config_route *r = push(&c->routes, &c->route_count, sizeof(*r));
	struct span rest = span_of(s);
	r->domain = config_domain_key(domain);
	r->lmtp = span_take_prefix_nocase(&rest, SPAN_LIT("lmtp:"));
	if (!split_host_port(rest.p, r->lmtp ? 0 : 25, &r->host, &r->port))
		yaml_error(y, n, "\"%s\" is not HOST:PORT%s", s, r->lmtp ? " behind lmtp:" : "");
}

static void read_notifications(struct config *c, struct yaml *y, const struct yaml_node *root)
{
	const struct yaml_node *m = yaml_get_map(root, "notifications");

	(void)yaml_get_duration_ms(m, "delay", 0, 365 * DAY_MS, &c->notifications.delay_ms);
	(void)yaml_get_size_bytes(m, "full_size", 0, UINT64_C(1) << 30, &c->notifications.full_bytes_max);
	read_str(m, "postmaster", &c->notifications.postmaster);
	if (c->notifications.postmaster != NULL)
		(void)read_address(y, yaml_get(m, "postmaster"), c->notifications.postmaster);
}

static void read_outbound(struct config *c, struct yaml *y, const struct yaml_node *root)
{
	const struct yaml_node *m = yaml_get_map(root, "outbound");
	struct config_outbound *o = &c->outbound;
	uint32_t port = o->port;

	if (yaml_get_u32(m, "port", 1, UINT16_MAX, &port))
		o->port = (uint16_t)port;
	const char *bind = NULL;
	if (yaml_get_str(m, "bind", &bind) && !addr_parse(bind, 0, &o->bind))
		yaml_error(y, yaml_get(m, "bind"), "\"%s\" is not an IP address", bind);
	config_read_tls(o, y, m);
	(void)yaml_get_u32(m, "connections", 1, 100000, &o->connection_count_max);
	(void)yaml_get_u32(m, "connections_per_destination", 1, 10000, &o->destination_connection_count_max);
	(void)yaml_get_u32(m, "messages_per_connection", 1, 1000000, &o->messages_per_connection_max);
	(void)yaml_get_duration_ms(m, "idle", 0, HOUR_MS, &o->idle_ms);
	(void)yaml_get_duration_ms(m, "connect_timeout", 10, HOUR_MS, &o->connect_timeout_ms);
	(void)yaml_get_duration_ms(m, "reply_timeout", 0, HOUR_MS, &o->reply_timeout_ms);
	read_route(c, y, "", yaml_get(m, "smart_host"));
	const struct yaml_node *routes = yaml_get_map(m, "routes");
	for (const struct yaml_node *n = yaml_first(routes); n != NULL; n = yaml_next(n))
		read_route(c, y, yaml_key(n), n);
}

static void read_breach(const struct yaml_node *map, const char *key, enum breach *ret)
{
	static const char *const names[] = { "log", "refuse", NULL };
	uint32_t choice = *ret;

	if (yaml_get_choice(map, key, names, &choice))
		*ret = (enum breach)choice;
}

static void read_numbers(struct config *c, struct yaml *y, const struct yaml_node *root)
{
	const struct yaml_node *m = yaml_get_map(root, "limits");
	(void)yaml_get_size_bytes(m, "message_size", 64 * 1024, UINT64_C(1) << 40,
				  &c->limits.message_bytes_max);
	(void)yaml_get_size_bytes(m, "header_size", 4096, UINT64_C(1) << 30, &c->limits.header_bytes_max);
	(void)yaml_get_u32(m, "recipients", 100, 10000, &c->limits.recipient_count_max);
	(void)yaml_get_u32(m, "hops", 100, 10000, &c->limits.received_count_max);
	(void)yaml_get_u32(m, "errors", 1, 1000000, &c->limits.error_count_max);
	(void)yaml_get_u32(m, "transactions", 0, 999999, &c->limits.transaction_count_max);
	(void)yaml_get_u32(m, "connections", 1, 1000000, &c->limits.connection_count_max);
	(void)yaml_get_u32(m, "connections_per_address", 1, 1000000, &c->limits.connections_per_address_max);
	(void)yaml_get_u32(m, "idle_commands", 1, 1000000, &c->limits.idle_count_max);
	(void)yaml_get_u32(m, "refused_recipients", 1, 1000000, &c->limits.refused_rcpt_count_max);
	(void)yaml_get_u32(m, "commands_per_second", 0, 1000000, &c->limits.commands_per_s_max);
	(void)yaml_get_duration_ms(m, "greeting_delay", 0, MINUTE_MS, &c->limits.greeting_delay_ms);
	read_breach(m, "early_talkers", &c->limits.early_talkers);
	read_breach(m, "pipelining", &c->limits.pipelining);
	(void)yaml_get_size_bytes(m, "buffers", 4 * MIB, UINT64_C(1) << 40, &c->limits.buffer_bytes_max);
	(void)yaml_get_u32(m, "data_rate", 0, MIB, &c->limits.data_bytes_per_s_min);
	(void)yaml_get_u32(m, "unacknowledged", 1, 1000000, &c->limits.unacknowledged_count_max);
	(void)yaml_get_size_bytes(m, "unacknowledged_size", MIB, UINT64_C(1) << 40,
				  &c->limits.unacknowledged_bytes_max);
	m = yaml_get_map(root, "timeouts");
	(void)yaml_get_duration_ms(m, "command", 10, DAY_MS, &c->timeouts.command_ms);
	(void)yaml_get_duration_ms(m, "data", 10, DAY_MS, &c->timeouts.data_ms);
	(void)yaml_get_duration_ms(m, "pop3", 10, DAY_MS, &c->timeouts.pop3_ms);
	(void)yaml_get_duration_ms(m, "handshake", 10, DAY_MS, &c->timeouts.handshake_ms);
	(void)yaml_get_duration_ms(m, "drain", 0, HOUR_MS, &c->timeouts.drain_ms);
	m = yaml_get_map(root, "retry");
	(void)yaml_get_duration_ms(m, "first", 1, YEAR_MS, &c->retry.first_ms);
	(void)yaml_get_number(m, "factor", 1, 100, &c->retry.factor);
	(void)yaml_get_duration_ms(m, "max", 1, YEAR_MS, &c->retry.max_ms);
	(void)yaml_get_number(m, "jitter", 0, 1, &c->retry.jitter);
	(void)yaml_get_duration_ms(m, "expire", 1, YEAR_MS, &c->retry.expire_ms);
	struct retry_settings retry = config_retry_settings(c);
	const char *mistake = retry_settings_error(&retry);
	if (mistake != NULL)
		yaml_error(y, m, "%s", mistake);
	m = yaml_get_map(root, "store");
	(void)yaml_get_size_bytes(m, "map_size", MIB, UINT64_C(1) << 46, &c->store_map_bytes);
}

static void read_metrics(struct config *c, struct yaml *y, const struct yaml_node *root)
{
	const char *s = NULL;
	struct err e;

	if (yaml_get_str(root, "metrics", &s) && config_set_metrics(c, s, &e) != 0)
		yaml_error(y, yaml_get(root, "metrics"), "%s", e.text);
}

static void read_certificates(struct config *c, struct yaml *y, const struct yaml_node *tls)
{
	const struct yaml_node *list = yaml_get_list(tls, "certificates");
	for (const struct yaml_node *n = yaml_first(list); n != NULL; n = yaml_next(n)) {
		struct config_certificate *one = push(&c->certificates, &c->certificate_count, sizeof(*one));
		if (yaml_kind(n) != YAML_MAP) {
			yaml_error(y, n, "one of certificates is a mapping with certificate and key");
			continue;
		}
		if (!yaml_require(n, "certificate") || !yaml_require(n, "key"))
			continue;
		read_str(n, "certificate", &one->certificate);
		read_str(n, "key", &one->key);
	}
	if (c->certificate_count > CONFIG_CERTIFICATES_MAX)
		yaml_error(y, list, "at most %d certificates", CONFIG_CERTIFICATES_MAX);
}

static void read_services(struct config *c, struct yaml *y, const struct yaml_node *root)
{
	static const char *const levels[] = { "debug", "info", "warn", "error", NULL };
	static const char *const places[] = { "stderr", "syslog", NULL };
	static const char *const senders[] = { "any", "own", NULL };
	uint32_t level = c->log_level, place = 0, sender = 0;

	const struct yaml_node *m = yaml_get_map(root, "tls");
	read_str(m, "certificate", &c->tls_certificate);
	read_str(m, "key", &c->tls_key);
	if ((c->tls_certificate == NULL) != (c->tls_key == NULL))
		yaml_error(y, m, "certificate and key go together");
	read_certificates(c, y, m);
	m = yaml_get_map(root, "submission");
	if (yaml_get_choice(m, "sender", senders, &sender))
		c->submission_own_sender = sender == 1;
	(void)yaml_get_bool(m, "strict", &c->submission_strict);
	m = yaml_get_map(root, "auth");
	(void)yaml_get_bool(m, "plain_without_tls", &c->auth_plain_without_tls);
	(void)yaml_get_u32(m, "iterations", 4096, 10000000, &c->auth_iterations);
	(void)yaml_get_duration_ms(m, "failure_delay", 0, MINUTE_MS, &c->auth_failure_delay_ms);
	(void)yaml_get_u32(m, "failures", 1, 1000, &c->auth_failure_count_max);
	m = yaml_get_map(root, "pop3");
	(void)yaml_get_duration_ms(m, "login_delay", 0, DAY_MS, &c->pop3_login_delay_ms);
	(void)yaml_get_u32(m, "expire_days", 0, 100000, &c->pop3_expire_days);
	m = yaml_get_map(root, "dns");
	read_str(m, "forwarder", &c->dns_forwarder);
	read_str(m, "trust_anchor", &c->dns_trust_anchor);
	(void)yaml_get_duration_ms(m, "timeout", 10, HOUR_MS, &c->dns_timeout_ms);
	m = yaml_get_map(root, "log");
	if (yaml_get_choice(m, "level", levels, &level))
		c->log_level = (enum log_level)level;
	if (yaml_get_choice(m, "to", places, &place) && place == 1)
		c->log_socket = copy("/dev/log");
	if (yaml_get(m, "socket") != NULL && place != 1)
		yaml_error(y, yaml_get(m, "socket"), "socket goes with to: syslog");
	read_str(m, "socket", &c->log_socket);
	read_metrics(c, y, root);
}

/* RFC 6531 3.7.1: in greetings, as A-labels. */
static bool make_ascii(char **name)
{
	char text[IDNA_NAME_BYTES_MAX + 1];
	struct span ascii;

	if (!idna_to_ascii(span_of(*name), text, &ascii) || !address_is_domain(ascii))
		return false;
	if (strcasecmp(*name, text) != 0) {
		free(*name);
		*name = copy(text);
	}
	return true;
}

struct config *config_load(const char *path)
{
	struct yaml *y = yaml_load(&(struct yaml_options){ .path = path });
	const struct yaml_node *root = yaml_root(y);
	struct config *c = config_new();

	if (root != NULL) {
		(void)yaml_require(root, "data");
		(void)yaml_require(root, "domains");
	}
	read_str(root, "data", &c->data_dir);
	read_str(root, "hostname", &c->hostname);
	if (c->hostname != NULL && !make_ascii(&c->hostname))
		yaml_error(y, yaml_get(root, "hostname"), "\"%s\" is not a domain name", c->hostname);
	read_str(root, "user", &c->user);
	read_domains(c, y, root);
	const struct yaml_node *aliases = yaml_get_map(root, "aliases");
	for (const struct yaml_node *n = yaml_first(aliases); n != NULL; n = yaml_next(n))
		read_alias(c, y, n);
	read_relay_from(c, y, root);
	read_accounts(c, y, root);
	read_listens(c, y, root);
	config_read_smtp(c, y, root);
	read_outbound(c, y, root);
	read_notifications(c, y, root);
	read_numbers(c, y, root);
	read_services(c, y, root);
	yaml_finish(y);
	if (yaml_error_count(y) > 0) {
		(void)fputs(yaml_messages(y), stderr);
		config_free(c);
		c = NULL;
	} else {
		config_complete(c);
	}
	yaml_free(y);
	return c;
}
