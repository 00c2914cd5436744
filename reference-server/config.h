/*
 * config: everything about a postriderd that can be set, from a YAML file
 * (postriderd.conf(5)) or from `serve`'s options, with the defaults.
 *
 * Times are milliseconds; RFC 5321 4.5.3.2 and 4.5.4.1 give the defaults.
 * A struct config owns its strings; it is constant once read.  A reload reads
 * a new one.
 */
#ifndef SERVER_CONFIG_H
#define SERVER_CONFIG_H

#include "base/addr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "reference-server/policy/retry.h"
#include "reference-server/policy/tls_policy.h"

#include <stdbool.h>
#include <stdint.h>

enum service {
	SERVICE_SMTP,        /* relay: port 25's role */
	SERVICE_SUBMISSION,  /* RFC 6409, STARTTLS */
	SERVICE_SUBMISSIONS, /* RFC 8314, TLS from the first byte */
	SERVICE_LMTP,        /* RFC 2033; only where the configuration says so */
	SERVICE_POP3,
	SERVICE_POP3S,
	SERVICE_COUNT,
};

/* What happens to a client that breaks a rule without breaking anything. */
enum breach {
	BREACH_LOG,
	BREACH_REFUSE,
};

struct config_listen {
	enum service service;
	struct addr at;
	bool any_port_if_taken; /* serve without a file: a busy default port is no error */
};

/* address as given, key in lower case. */
struct config_alias {
	char *from; /* account_key form */
	char **to;  /* address texts */
	uint32_t to_count;
};

struct config_account {
	char *address;
	char *password_file; /* read once at start; only keys derived from it are kept */
	char *password;      /* from --user */
};

enum { CONFIG_CERTIFICATES_MAX = 64 };

/* For clients that ask for a name of it (SNI). */
struct config_certificate {
	char *certificate;
	char *key;
};

/* Where mail goes when the DNS is not asked. */
struct config_route {
	char *domain; /* lower case; "" is the smart host: everything without a route of its own */
	char *host;   /* name or address; its A and AAAA are looked up, not its MX */
	uint16_t port;
	bool lmtp; /* RFC 2033 */
};

struct config {
	char *data_dir;
	char *hostname;
	char *user;     /* to become after binding; NULL: stay */
	char **domains; /* as A-labels, lower case */
	uint32_t domain_count;
	struct config_alias *aliases;
	uint32_t alias_count;
	struct config_account *accounts;
	uint32_t account_count;
	struct addr_block *relay_from; /* whose mail for anywhere is taken without a login */
	uint32_t relay_from_count;
	struct config_listen *listens;
	uint32_t listen_count;
	enum log_level log_level;
	char *log_socket; /* of the syslog daemon; NULL: stderr */

	struct addr metrics; /* n == 0: none */

	char *tls_certificate; /* NULL: self-signed in the data directory */
	char *tls_key;
	struct config_certificate *certificates; /* besides that one */
	uint32_t certificate_count;

	char subaddress_separator; /* '\0': none */

	/* What is offered by SMTP and LMTP. */
	struct config_smtp {
		unsigned without;        /* enum smtp_offer bits */
		bool vrfy, expn;         /* on submission, to those who have logged in */
		bool refuse_8bit_header; /* without SMTPUTF8 */
		int64_t by_ms_min;       /* DELIVERBY */
		int64_t hold_ms_max;     /* FUTURERELEASE; 0: not offered */
	} smtp;

	bool submission_strict; /* RFC 6409 4.2, 5.1, 8: refuses partial domains, bad headers */
	bool submission_own_sender; /* RFC 6409 6.1: MAIL FROM only what leads to who logged in; false: anything */

	bool auth_plain_without_tls;
	uint32_t auth_iterations;
	int64_t auth_failure_delay_ms;   /* of the first refusal; doubles with each from the same address */
	uint32_t auth_failure_count_max; /* then the connection ends */

	int64_t pop3_login_delay_ms; /* RFC 2449 6.5; 0: none */
	uint32_t pop3_expire_days;   /* RFC 2449 6.7; 0: never */

	struct config_limits {
		uint64_t message_bytes_max;
		uint64_t header_bytes_max;
		uint32_t recipient_count_max; /* RFC 5321 4.5.3.1.8: at least 100 */
		uint32_t received_count_max;  /* RFC 5321 6.3: at least 100 */
		uint32_t error_count_max;
		uint32_t transaction_count_max; /* MAIL commands in a session; 0: no maximum */
		uint32_t connection_count_max;
		uint32_t connections_per_address_max; /* an IPv6 /64 is one; not for relay_from */
		uint32_t idle_count_max;              /* commands without a message; see smtp_server.h */
		uint32_t refused_rcpt_count_max;      /* likewise */
		uint32_t commands_per_s_max;   /* in a session; 0: as fast as it can.  Not for relay_from */
		int64_t greeting_delay_ms;     /* on smtp; not for relay_from */
		enum breach early_talkers;     /* on smtp: they spoke before the greeting; not relay_from */
		enum breach pipelining;        /* RFC 2920 3.1 */
		uint64_t buffer_bytes_max;     /* that all connections together hold in memory */
		uint32_t data_bytes_per_s_min; /* over a whole time-out; 0: none */
		uint32_t unacknowledged_count_max; /* messages taken and not yet durable, all sessions */
		uint64_t unacknowledged_bytes_max;
	} limits;

	struct config_timeouts {
		int64_t command_ms;   /* for one whole command; RFC 5321 4.5.3.2.7 */
		int64_t data_ms;      /* what the least rate of content is judged over */
		int64_t pop3_ms;      /* for one whole command; RFC 1939 3: at least 10 minutes */
		int64_t handshake_ms; /* for all of a TLS handshake */
		int64_t drain_ms;     /* at SIGTERM */
	} timeouts;

	char *dns_forwarder;    /* "127.0.0.1@5353"; NULL: resolv.conf */
	char *dns_trust_anchor; /* file; NULL: nothing is validated */
	int64_t dns_timeout_ms;

	struct config_outbound {
		uint16_t port;
		struct addr bind; /* n == 0: any */
		enum tls_policy tls;
		bool dane;    /* RFC 7672 */
		char *tls_ca; /* PEM file: who is trusted; NULL: the system's */
		struct tls_rule *tls_rules;
		uint32_t tls_rule_count;
		uint32_t connection_count_max; /* all destinations */
		uint32_t destination_connection_count_max;
		int64_t idle_ms; /* a connection without work is kept so long */
		uint32_t messages_per_connection_max;
		int64_t connect_timeout_ms;
		int64_t reply_timeout_ms; /* 0: RFC 5321 4.5.3.2, each phase its own; else for all */
	} outbound;
	struct config_route *routes;
	uint32_t route_count;

	struct config_retry {
		int64_t first_ms;
		double factor;
		int64_t max_ms;
		double jitter; /* 0.1: up to 10 % later, never earlier */
		int64_t expire_ms;
	} retry;

	struct config_notifications {
		int64_t delay_ms; /* a sender is told once that mail waits so long; 0: never */
		uint64_t
			full_bytes_max; /* a message up to so long comes back whole, where RET=FULL wishes it */
		char *postmaster;       /* gets notifications that cannot be delivered; NULL: nobody */
	} notifications;

	uint64_t store_map_bytes; /* 0: the store's default */
};

struct config *config_new(void); /* the defaults */
void config_free(struct config *c);

/*
 * Reads the file into a config with defaults filled in.  NULL when it has
 * mistakes; all of them were then printed to stderr as file:line:col.
 */
struct config *config_load(const char *path);

/* For serve without a file.  -EINVAL and a text when the value is no good. */
int config_set_domain(struct config *c, const char *domain, struct err *reterr);
int config_set_user(struct config *c, const char *name_and_password, struct err *reterr);
int config_set_listen(struct config *c, const char *service_equals_address, struct err *reterr);
/* ADDRESS:PORT, or PORT on 127.0.0.1. */
int config_set_metrics(struct config *c, const char *address, struct err *reterr);
/* Fills in what the options left open (host name, default listeners); after the last set. */
void config_complete(struct config *c);

/* c->retry in the form that policy/retry takes. */
struct retry_settings config_retry_settings(const struct config *c);

/*
 * What a running server cannot change: its name, and a text that differs when
 * the setting does.
 */
enum { CONFIG_FIXED_COUNT = 9 };
const char *config_fixed_name(unsigned i);
const char *config_fixed_way(unsigned i); /* what has to be done instead */
void config_add_fixed(const struct config *c, unsigned i, struct buf *text);

const char *service_name(enum service s);

#endif
