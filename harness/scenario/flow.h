/*
 * flow: one .flow.yaml file, read and checked: who is in the world, what mail
 * goes where and when, what breaks, what must come out.
 *
 * docs/flow-format.md is the reference of every key.  A struct flow is plain
 * data, all of it owned by the flow; references between its parts are indices
 * into its own arrays and were checked, so users need not check again.
 * Reading starts nothing and touches no network.  Every mistake is one
 * message with its place (base/yaml.h); a flow with mistakes is not returned.
 *
 * Times in ms count from the start of traffic unless they say otherwise.
 * Limits: 12 hosts, 64 accounts a host, 64 traffic entries, 256 faults,
 * 10 million messages.
 */
#ifndef HARNESS_SCENARIO_FLOW_H
#define HARNESS_SCENARIO_FLOW_H

#include "base/span.h"
#include "base/yaml.h"

#include <limits.h>

enum {
	FLOW_HOSTS_MAX = 12,
	FLOW_NONE = -1,    /* index of nothing */
	FLOW_FOREVER = -1, /* a duration: to the end of the run */
};

/* What a host listens for; every host has the same ports, on its own address. */
enum flow_service {
	FLOW_SMTP,
	FLOW_SUBMISSION,
	FLOW_SUBMISSIONS, /* implicit TLS */
	FLOW_POP3,
	FLOW_POP3S, /* implicit TLS */
	FLOW_LMTP,  /* not for traffic: conformance cases speak it */
	FLOW_SERVICE_COUNT,
};
/* "smtp" "submission" "submissions" "pop3" "pop3s" "lmtp" */
const char *flow_service_name(enum flow_service s);

struct flow_account {
	const char *local_part; /* "sales"; the address is local_part@host.domains[0] */
	const char *password;   /* NULL: the world makes one for the run */
};

/* An address that stands for several accounts: RFC 5321 3.9.1. */
struct flow_list {
	const char *local_part;
	const char *members; /* "u0@sut.example, u1@sut.example" */
};

struct flow_host {
	const char *name;      /* "fredsco" */
	const char **domains;  /* local domains; [0] is the main one */
	uint32_t domain_count; /* ≥ 1 */
	const char *mx_name;   /* "mx.fredsco.example" */
	const char *target;    /* "reference"; "none": in the DNS, but no server listens */
	struct flow_account *accounts;
	uint32_t account_count;
	struct flow_list *lists; /* no flow has any yet: those of conform_world */
	uint32_t list_count;
	const char *const *lmtp_domains; /* whose mail goes by LMTP; likewise */
	uint32_t lmtp_domain_count;
	int32_t smart_host; /* host index, or FLOW_NONE */
	bool tls_out;       /* outbound STARTTLS wanted; false by default so that links can read along */
	const struct yaml_node *settings; /* extra configuration for the target; may be NULL */
};

/* How senders protect a connection. */
enum flow_tls { FLOW_TLS_NONE, FLOW_TLS_STARTTLS, FLOW_TLS_IMPLICIT };
enum flow_arrival { FLOW_ARRIVAL_CONSTANT, FLOW_ARRIVAL_POISSON };
enum flow_outcome { FLOW_DELIVERED, FLOW_BOUNCED, FLOW_REJECTED };

struct flow_address {
	const char *text;       /* "sales@fredsco.example" */
	const char *local_part; /* "sales" */
	const char *domain;     /* "fredsco.example" */
	int32_t host;           /* whose domain it is, or FLOW_NONE */
	int32_t account;        /* in that host's accounts, or FLOW_NONE */
};

struct flow_traffic {
	const char *name;
	struct flow_address from;
	struct flow_address *to; /* every message goes to all of them */
	uint32_t to_count;
	uint32_t via; /* host index that gets the mail from us */
	enum flow_service service;
	enum flow_tls tls;
	bool auth; /* log in as from; then from.account is not FLOW_NONE */
	enum flow_arrival arrival;
	double rate_per_s;
	int64_t start_ms;
	uint32_t message_count;  /* 0: as many as fit in duration_ms */
	int64_t duration_ms;     /* 0: until message_count */
	uint64_t size_bytes_min; /* content, uniform between the two */
	uint64_t size_bytes_max;
	uint32_t session_count;    /* connections at a time */
	enum flow_outcome outcome; /* what must become of every message */
};

/* One for every account of every host that runs a server, said in the file or not. */
struct flow_retrieve {
	struct flow_address account;
	uint32_t host;
	enum flow_service service; /* FLOW_POP3 or FLOW_POP3S */
	enum flow_tls tls;         /* on FLOW_POP3: STARTTLS (STLS) or none */
	int64_t every_ms;
};

enum flow_fault_kind {
	FLOW_HOST_STOP,    /* SIGTERM, started again after for_ms */
	FLOW_HOST_KILL,    /* SIGKILL, started again after for_ms */
	FLOW_HOST_RESTART, /* SIGTERM, started again as soon as it has ended */
	FLOW_LINK_REFUSE,
	FLOW_LINK_BLACKHOLE,
	FLOW_LINK_RESET,
	FLOW_LINK_DELAY,
	FLOW_DNS_SERVFAIL,
	FLOW_DNS_NXDOMAIN,
	FLOW_DNS_TIMEOUT,
};
const char *flow_fault_name(enum flow_fault_kind k); /* "host stop", "link reset", … */

/* Where in a conversation a link fault strikes. */
enum flow_moment {
	FLOW_MOMENT_NONE,                       /* at its time, whatever is going on */
	FLOW_MOMENT_AFTER_CONNECT,              /* before the greeting reaches the client */
	FLOW_MOMENT_IN_CONTENT,                 /* after at_byte bytes of the content */
	FLOW_MOMENT_AFTER_FINAL_DOT_BEFORE_250, /* the receiver has all, the sender never learns */
};

struct flow_fault {
	enum flow_fault_kind kind;
	int64_t at_ms;
	int64_t for_ms;     /* FLOW_FOREVER; 0 for HOST_*: started again at once */
	uint32_t host;      /* FLOW_HOST_* */
	uint32_t link_from; /* FLOW_LINK_* */
	uint32_t link_to;
	const char *domain;      /* FLOW_DNS_*: this name and all below it */
	int64_t delay_ms;        /* FLOW_LINK_DELAY, each way */
	enum flow_moment moment; /* FLOW_LINK_RESET */
	uint32_t count;          /* how many times; 0: always while it lasts.  DNS: lookups */
	uint64_t at_byte;
};

/* "delivered: all", "lost: 0", "duplicated: <= 3" */
enum flow_count_op { FLOW_COUNT_ANY, FLOW_COUNT_EQ, FLOW_COUNT_MIN, FLOW_COUNT_MAX, FLOW_COUNT_ALL };
struct flow_count {
	enum flow_count_op op; /* FLOW_COUNT_ANY: nothing said */
	uint64_t n;
};

/* Ledger outcomes, in the order of DESIGN §7. */
enum flow_ledger {
	FLOW_LEDGER_REJECTED,
	FLOW_LEDGER_DELIVERED,
	FLOW_LEDGER_TRANSFORMED,
	FLOW_LEDGER_BOUNCED,
	FLOW_LEDGER_QUEUED,
	FLOW_LEDGER_LOST,
	FLOW_LEDGER_DUPLICATED,
	FLOW_LEDGER_CORRUPTED,
	FLOW_LEDGER_UNEXPECTED,
	FLOW_LEDGER_INDETERMINATE,
	FLOW_LEDGER_COUNT,
};
const char *flow_ledger_name(enum flow_ledger l); /* "rejected" … */

enum flow_metric {
	FLOW_METRIC_SEND_LAG,
	FLOW_METRIC_ACCEPT,
	FLOW_METRIC_QUEUE,
	FLOW_METRIC_TRANSFER,
	FLOW_METRIC_VISIBILITY,
	FLOW_METRIC_END_TO_END,
	FLOW_METRIC_COUNT,
};
const char *flow_metric_name(enum flow_metric m); /* "send_lag" … */

/* "end_to_end: { p99: 2s }" */
struct flow_latency {
	enum flow_metric metric;
	double percentile; /* 99.9 */
	int64_t max_ms;
};

struct flow_expect {
	struct flow_count
		ledger[FLOW_LEDGER_COUNT]; /* lost, duplicated, corrupted, unexpected: EQ 0 unless said */
	int64_t drain_max_ms; /* backlog gone so long after the last fault or message; 0: nothing said */
	struct flow_latency *latencies;
	uint32_t latency_count;
};

/* Breaking one makes the run INVALID: the harness was too slow to judge. */
struct flow_limits {
	int64_t send_lag_p99_ms;
	int64_t loop_lag_p99_ms;
};

struct flow_dns {
	const char **records; /* zone file lines, origin is the root */
	uint32_t record_count;
	const char **absent_domains; /* recipients there are meant not to exist: NXDOMAIN */
	uint32_t absent_domain_count;
	const char **servfail_domains; /* SERVFAIL for the whole run */
	uint32_t servfail_domain_count;
	const char *signed_domain; /* with all that is below it; NULL: none */
};

struct flow {
	const char *path;
	const char *name;
	const char *title;
	uint64_t seed;
	struct flow_host *hosts;
	uint32_t host_count;
	struct flow_dns dns;
	struct flow_traffic *traffic;
	uint32_t traffic_count;
	struct flow_retrieve *retrieves;
	uint32_t retrieve_count;
	struct flow_fault *faults;
	uint32_t fault_count;
	struct flow_expect expect;
	int64_t drain_ms; /* wait at most so long after the last message for the end of all mail */
	struct flow_limits limits;
	struct yaml *yaml; /* owns every string */
};

struct flow_options {
	const char *path;          /* named in messages; read unless text is given */
	struct span text;          /* p != NULL: the content */
	const char *const *sets;   /* "name=value", NULL-terminated; may be NULL */
	struct buf *ret_messages;  /* what is wrong, one message per mistake, is appended here */
	uint32_t *ret_error_count; /* may be NULL */
};
/* NULL after mistakes. */
struct flow *flow_read(const struct flow_options *o);
void flow_free(struct flow *f); /* accepts NULL */

/* Host index whose local domain this is, or FLOW_NONE; ASCII case ignored. */
int32_t flow_host_by_domain(const struct flow *f, struct span domain);
int32_t flow_host_by_name(const struct flow *f, struct span name);

/* Finds a flow by name or path, see find.h.  False when there is none. */
bool flow_find(const char *name, char *ret_path, size_t path_bytes);

#endif
