/*
 * case: one .case file, read and checked: a conversation with a server that
 * judges requirements (docs/case-format.md is the reference).
 *
 * Bytes in, a struct case or messages out: no file but the one that is named,
 * no network, no clock.  A struct case is plain data that the case owns; a
 * case with mistakes is not returned.  Every mistake is one message with file,
 * line, column, the line itself and a caret.
 *
 * A case is header lines, then steps in sections.  Only steps of a section
 * `== verdict` can come to CASE_FAIL or CASE_WARN.  What the conversation does
 * with the steps is harness/conform/play.h.
 *
 * Limits: a file of 256 KiB, 1000 steps, 8 connections, 8 next hops, 4 policy
 * hosts, 16 requirements, 64 checks, alternatives or departures of one step, 100
 * recipients of a submission, 100 messages kept.
 */
#ifndef HARNESS_SCENARIO_CASE_H
#define HARNESS_SCENARIO_CASE_H

#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"

enum {
	CASE_BYTES_MAX = 256 * 1024,
	CASE_STEPS_MAX = 1000,
	CASE_CONNECTIONS_MAX = 8,
	CASE_REQS_MAX = 16,
	CASE_DETAILS_MAX = 64,
	CASE_TEXT_BYTES_MAX = 1024 * 1024, /* of a text once `let … repeat` has made it long */
};

enum case_service {
	CASE_SMTP,
	CASE_SUBMISSION,
	CASE_SUBMISSIONS, /* TLS from the first byte, as is POP3S */
	CASE_LMTP,
	CASE_POP3,
	CASE_POP3S,
	CASE_SERVICE_COUNT,
};
const char *case_service_name(enum case_service s); /* "smtp" */
bool case_service_is_pop3(enum case_service s);
bool case_service_has_tls(enum case_service s); /* from the first byte */

enum case_level {
	CASE_MUST,
	CASE_MUST_NOT,
	CASE_SHOULD,
	CASE_SHOULD_NOT,
	CASE_MAY,
	CASE_IMPLIED, /* the text states it as a fact */
	CASE_LEVEL_COUNT,
};
const char *case_level_name(enum case_level l); /* "MUST NOT" */

struct case_req {
	const char *id; /* "RFC5321-4.5.2-leading-dot-deleted" */
	enum case_level level;
};

enum case_role {
	CASE_ROLE_SERVER, /* the server under test is spoken to */
	CASE_ROLE_CLIENT, /* what it says to its next hops is judged */
};

/* ---- texts ---- */
enum case_part_kind {
	CASE_PART_LITERAL,
	CASE_PART_VARIABLE, /* text: its name */
	CASE_PART_ANY,      /* "...", in patterns only */
};
struct case_part {
	enum case_part_kind kind;
	struct span text;
};
struct case_text {
	struct case_part *parts;
	uint32_t count;
};

/* One write of the client: the pause comes first. */
struct case_segment {
	int64_t pause_ms;
	struct case_text text;
};

/* ---- replies ---- */
struct case_code {
	char text[5]; /* "250" "25x" "4xx" "+OK" "-ERR" "+" */
};
struct case_pattern {
	struct case_code *codes; /* any of them */
	uint32_t code_count;
	bool single; /* exactly one line */
	bool multi;  /* POP3: lines follow, to a lone dot */
	struct case_text text;
};

enum case_outcome {
	CASE_PASS,
	CASE_FAIL,
	CASE_WARN,
	CASE_NOT_TESTED,
	CASE_INCONCLUSIVE,
	CASE_CONTINUE, /* of an alternative: as good as what was expected */
};

enum case_event {
	CASE_ON_REPLY,   /* a reply that pattern matches */
	CASE_ON_TIMEOUT, /* nothing in time */
	CASE_ON_CLOSE,   /* the server ended the connection, or never took it */
	CASE_ON_OTHER,   /* anything */
};
/* "else 4xx => inconclusive "temporary refusal"": the first that fits decides. */
struct case_alternative {
	uint32_t line;
	enum case_event event;
	struct case_pattern pattern;
	enum case_outcome outcome;
	const char *text; /* why, for a person */
};

/* ---- what a reply or a message must be like ---- */
enum case_check_kind {
	CASE_CHECK_HAS,        /* reply: a line with keyword `name`, its rest as `text` */
	CASE_CHECK_LACKS,      /* reply: none */
	CASE_CHECK_BARE,       /* reply: a line with keyword `name`, and nothing behind it */
	CASE_CHECK_STATUS,     /* reply: enhanced status as `name`, "5.1.1" or "5.x.x", in every line */
	CASE_CHECK_PARAMETERS, /* reply: how many parameters the line with keyword `name` has */
	CASE_CHECK_EMPTY,      /* reply: a blank behind its code, and no more */
	CASE_CHECK_STRICT,     /* reply: nothing irregular in it */
	CASE_CHECK_ONLY,       /* reply: no keyword but those in `name`, and X… */
	CASE_CHECK_DOMAIN,     /* reply: its first word is a domain or an address literal */
	CASE_CHECK_SPACED,     /* reply: a blank follows the code, text or none */
	CASE_CHECK_LINE,       /* reply: line n as `text` */
	CASE_CHECK_LINES,      /* reply: how many lines; POP3: of the data */
	CASE_CHECK_DATA,       /* POP3: all of the data, unstuffed */
	CASE_CHECK_OCTETS,     /* POP3: how many octets the data has, unstuffed, as `text` */
	CASE_CHECK_TEXT,       /* reply: its text, without the code */
	CASE_CHECK_LONGEST,    /* reply: octets of its longest line with CRLF; POP3: of the data */
	CASE_CHECK_COUNT,      /* messages: how many */
	CASE_CHECK_BODY,
	CASE_CHECK_RAW,          /* the whole message */
	CASE_CHECK_PART,         /* its nth part (harness/wire/mime.h) with its transfer encoding undone */
	CASE_CHECK_HEADER,       /* a field `name` as `text`, unfolded; asked: of each request */
	CASE_CHECK_HEADER_COUNT, /* how many fields `name` */
	CASE_CHECK_RECEIVED,     /* the oldest Received field, as RECEIVED_ASPECTS[n] has it */
	CASE_CHECK_FORM,         /* the message, as MAIL_FORM_ASPECTS[n] has it */
	CASE_CHECK_UNCHANGED,    /* what was submitted is all there, behind trace fields */
	CASE_CHECK_READ_AS,      /* a next hop could read it as enum case_reading n */
	CASE_CHECK_SIGNED,       /* the signature of the submission holds */
	CASE_CHECK_DSN,     /* a field `name` of a notification as `text`; of the recipient `of`, if said */
	CASE_CHECK_VALID,   /* the notification is as RFC 3464 has it */
	CASE_CHECK_THEN,    /* heard: later on the same connection a line as `text` */
	CASE_CHECK_NEXT,    /* heard: the next line on the same connection is as `text` */
	CASE_CHECK_AWAITED, /* heard: the relay was still there when such a line was answered */
	CASE_CHECK_ASCII,   /* heard: all such lines are printable US-ASCII */
	CASE_CHECK_CRLF,    /* heard: all such lines end in CRLF */
	CASE_CHECK_GREETED, /* connected: nothing was said on any connection before the greeting */
	CASE_CHECK_ALONE,   /* heard: nothing was said behind such a line before it was answered */
	CASE_CHECK_APART,   /* heard, connected: n ms at least between each and the next */
	CASE_CHECK_TLS,     /* received: under TLS, or (n == 0) in the clear */
	CASE_CHECK_SERVER_NAME, /* secured, asked: each handshake asked for the name `text` */
	CASE_CHECK_REQUEST,     /* asked: the method and path of each request as `text` */
};
enum case_op { CASE_EQ, CASE_HAS, CASE_LACKS, CASE_AT_LEAST, CASE_AT_MOST };
/* What a next hop that reads line ends in another way could make of a message. */
enum case_reading { CASE_READ_IRREGULAR, CASE_READ_CUT_SHORT, CASE_READ_TWO_MESSAGES };
struct case_check {
	enum case_check_kind kind;
	uint32_t line;
	enum case_op op;
	const char *name;
	uint64_t n;
	bool has_text;
	struct case_text text;
	struct case_text of;
};

/* ---- next hops: role client ---- */
enum { CASE_HOPS_MAX = 8 };

enum case_stage {
	CASE_AT_GREETING,
	CASE_AT_EHLO,
	CASE_AT_HELO,
	CASE_AT_STARTTLS,
	CASE_AT_HANDSHAKE, /* of TLS, once the client has begun it */
	CASE_AT_MAIL,
	CASE_AT_RCPT,
	CASE_AT_DATA,
	CASE_AT_BDAT,      /* a chunk that is not the last */
	CASE_AT_FINAL_DOT, /* or the last chunk */
	CASE_AT_RSET,
	CASE_AT_QUIT,
	CASE_AT_CHALLENGE, /* of a login, each */
	CASE_AT_AUTH,      /* the reply that ends it */
	CASE_STAGE_COUNT,
};
enum case_act {
	CASE_ACT_REPLY,
	CASE_ACT_CLOSE,
	CASE_ACT_RESET,
	CASE_ACT_SILENCE,
	CASE_ACT_FLOOD, /* the one segment again and again, with its pause between */
};

/* Where a next hop departs from what is usual.  The first that fits decides. */
struct case_departure {
	uint32_t line;
	enum case_stage stage;
	struct case_text path; /* MAIL, RCPT, end of LMTP: only paths that have this in them; no parts: any */
	uint32_t from_nth;     /* the nth time and later ... */
	uint32_t count;        /* ... so many times; 0: always */
	enum case_act act;
	int64_t pause_ms; /* before it */
	bool kills;       /* the relay, before anything is said */
	/* The reply: one line without its end, or raw segments; none with an act that says nothing. */
	struct case_segment *segments;
	uint32_t segment_count;
	bool raw;
};

enum case_tls {
	CASE_TLS_NONE,
	CASE_TLS_GOOD,
	CASE_TLS_WRONG_NAME,
	CASE_TLS_SELF_SIGNED,
	CASE_TLS_EXPIRED,
	CASE_TLS_NOT_YET_VALID,
	CASE_TLS_UNKNOWN_CA,
	CASE_TLS_COMMON_NAME_ONLY,
	CASE_TLS_CONSTRAINED_CA,
};
enum { CASE_TLS_NAMES_MAX = 8 };

/* What a host that we play shows and speaks. */
struct case_certificate {
	enum case_tls kind;
	struct case_text *names; /* in place of the host's own; no parts behind the last */
	uint32_t name_count;
	const char *version; /* "1.2", and no other; NULL: any */
};

/* Where a next hop departs from SCRAM (RFC 5802). */
enum case_scram {
	CASE_SCRAM_RIGHT,
	CASE_SCRAM_WRONG_SIGNATURE, /* in its final message */
	CASE_SCRAM_FOREIGN_NONCE,   /* in its first message: one that does not begin with the client's */
};

struct case_hop {
	const char *name;
	uint32_t line;
	bool absent;
	bool ipv6;                   /* that and nothing else is its address */
	struct case_certificate tls; /* of a kind CASE_TLS_NONE: no STARTTLS */
	bool lmtp;                   /* it speaks LMTP, not SMTP */
	const char *login;           /* mechanisms, "PLAIN LOGIN"; NULL: nobody can log in */
	enum case_scram scram;
	bool says_offers;
	const char **offers; /* "SIZE 1000" */
	uint32_t offer_count;
	struct case_departure *departures;
	uint32_t departure_count;
	bool has_address; /* gets an address record: no zone line says another thing of its name */
};

/* ---- policy hosts: role client, RFC 8461 ---- */
enum { CASE_POLICY_HOSTS_MAX = 4, CASE_POLICY_FIELDS_MAX = 8 };

struct case_policy_host {
	const char *name;
	uint32_t line;
	bool absent;                 /* nobody listens at its address */
	struct case_certificate tls; /* never of the kind CASE_TLS_NONE */
	bool has_address;            /* as a next hop's */
};

/* What it says to every request, from this step on. */
struct case_policy_answer {
	bool silence; /* nothing, ever */
	uint32_t status;
	const char *media_type; /* "text/plain" */
	struct case_text body;
	struct {
		const char *name;
		struct case_text value;
	} fields[CASE_POLICY_FIELDS_MAX]; /* besides Content-Type */
	uint32_t field_count;
};

struct case_submission {
	struct case_text *recipients;
	uint32_t recipient_count;
	bool has_from;
	struct case_text from; /* without <> */
	struct case_text mail; /* parameters */
	struct case_text rcpt;
	bool has_content;
	struct case_text content;
	bool is_signed; /* by DKIM, over the content; each form relaxed or simple */
	bool relaxed_header, relaxed_body;
};

enum case_zone_kind {
	CASE_ZONE_RECORD,
	CASE_ZONE_SERVFAIL,
	CASE_ZONE_NXDOMAIN,
	CASE_ZONE_TIMEOUT,
	CASE_ZONE_TRUNCATED,
	CASE_ZONE_FORGET,   /* the records of the name */
	CASE_ZONE_NOBODY,   /* so many addresses at which nobody listens */
	CASE_ZONE_BOGUS,    /* where zones are signed: its signatures are wrong ... */
	CASE_ZONE_UNSIGNED, /* ... or a zone begins here that has none */
};
enum { CASE_NOBODIES_MAX = 500 };

/* ---- steps ---- */
enum case_step_kind {
	CASE_CONNECT,
	CASE_SEND,
	CASE_EXPECT,
	CASE_STARTTLS, /* the handshake, after the server agreed */
	CASE_CLOSE,    /* by us: FIN */
	CASE_RESET,    /* by us: RST */
	CASE_CLOSED,   /* by the server */
	CASE_LET,
	CASE_DIFFER,     /* `text` is not `content` */
	CASE_MATCH,      /* `text` is as the pattern, which binds its variables */
	CASE_NUMBER,     /* `text` and `content` are numbers, and compare so */
	CASE_LENGTH,     /* the same of how many octets `text` has */
	CASE_MAIL,       /* puts a message into a mailbox, by a conversation of its own */
	CASE_STORED,     /* a message is in the mailbox */
	CASE_NOT_STORED, /* none is, when all that could come has come */
	CASE_BOUNCED,    /* a failure notification is in the mailbox */
	CASE_NOTIFIED,   /* any notification is */
	CASE_NOT_BOUNCED,
	CASE_NOT_NOTIFIED,
	CASE_SERVER, /* the server is stopped, killed or started, as `server` says */
	/* role client */
	CASE_NEXT_HOP,
	CASE_ZONE,
	CASE_SUBMIT,
	CASE_RECEIVED, /* by `hop` */
	CASE_NOT_RECEIVED,
	CASE_HEARD, /* a line as `text` */
	CASE_NOT_HEARD,
	CASE_CONNECTED, /* to `hop`, before `other_hop` if said */
	CASE_NOT_CONNECTED,
	CASE_SECURED, /* a TLS handshake with `hop` came to its end */
	CASE_POLICY_HOST,
	CASE_ASKED, /* `policy_host`, for whatever it was */
	CASE_NOT_ASKED,
	CASE_QUEUED,
	CASE_NOT_QUEUED,
	CASE_STEP_KIND_COUNT,
};
const char *case_step_name(enum case_step_kind k); /* as the file has it */

enum case_server {
	CASE_SERVER_STOP,
	CASE_SERVER_KILL,
	CASE_SERVER_START,
	CASE_SERVER_KILLED, /* waits until a next hop has done it */
};

enum case_let {
	CASE_LET_TEXT,
	CASE_LET_REPEAT,
	CASE_LET_BASE64,
	CASE_LET_UNBASE64,
	CASE_LET_MD5,         /* in lower-case hexadecimal */
	CASE_LET_SCRAM_PROOF, /* RFC 5802 3, in base64; `which` hash; password, salt, count, AuthMessage */
	CASE_LET_SCRAM_SIGNATURE, /* the server's */
	CASE_LET_BINDING,         /* RFC 5056: what TLS of the connection gives of the kind `which` */
};
enum { CASE_OPERANDS_MAX = 4 };

/* How long a step may take. */
enum case_limit {
	CASE_LIMIT_SAID,
	/* Role client, and nothing was said: what the relay's schedule gives (harness/conform/sut.h). */
	CASE_LIMIT_USUAL,
	CASE_LIMIT_EXPIRE, /* until mail is given up */
	CASE_LIMIT_DELAY,  /* until its sender is told of a delay */
};

struct case_step {
	enum case_step_kind kind;
	uint32_t line;
	uint32_t connection;       /* from 0 */
	enum case_service service; /* CASE_CONNECT */
	bool tls_1_2;              /* CASE_CONNECT: nothing newer, now or by starttls */
	struct case_segment *segments;
	uint32_t segment_count;
	bool segmented;              /* CASE_SEND: each segment is a write of its own */
	struct case_pattern pattern; /* CASE_EXPECT */
	enum case_limit limit;
	int64_t within_ms; /* CASE_LIMIT_SAID */
	enum case_let let; /* CASE_LET: name, operands, and repeat how often */
	const char *name;
	uint32_t times;
	const char *which; /* "SHA-256", "tls-exporter" */
	struct case_text operands[CASE_OPERANDS_MAX];
	uint32_t operand_count;
	enum case_server server;
	enum case_op op;          /* CASE_NUMBER, CASE_LENGTH */
	struct case_text text;    /* compared; the address of CASE_MAIL and the mailbox steps */
	struct case_text content; /* of CASE_MAIL; what is compared with */
	uint32_t hop;             /* index */
	bool has_other_hop;
	uint32_t other_hop;
	enum case_zone_kind
		zone;        /* CASE_ZONE: owner in `content` (as written in `name`), record in `text` ... */
	uint32_t zone_count; /* ... or how many lookups fail; 0: all ... */
	int64_t zone_ms;     /* ... for so long; 0: always ... */
	const char *zone_type;                    /* ... when this type is asked for; NULL: any */
	const struct case_submission *submission; /* CASE_SUBMIT */
	uint32_t policy_host;                     /* index */
	const struct case_policy_answer *answer;  /* CASE_POLICY_HOST */
	struct case_check *checks;
	uint32_t check_count;
	struct case_alternative *alternatives;
	uint32_t alternative_count;
	uint32_t section;
};

struct case_section {
	const char *name;
	bool judges;  /* "verdict" */
	uint32_t req; /* index: whom a failure here breaks */
};

struct case_file {
	const char *path;
	const char *id; /* "smtp/rfc5321/4.5.2/receiver-removes-leading-dot" */
	const char *title;
	enum case_role role;
	struct case_req *reqs; /* at least one */
	uint32_t req_count;
	enum case_service service; /* the first service of needs */
	bool services[CASE_SERVICE_COUNT];
	bool needs_mailbox;
	const char **keywords; /* EHLO or CAPA must offer them: "PIPELINING", "AUTH=PLAIN" */
	uint32_t keyword_count;
	const char **abilities; /* what the target must be able to do: "short-retry" */
	uint32_t ability_count;
	/* What the target does about this case's domain: "require", "lmtp", as POLICIES in case.c has it; NULL: its
	 * usual. */
	const char *policy;
	const char **speaks; /* role client: extensions that the relay must use towards next hops */
	uint32_t speaks_count;
	struct case_hop *hops[CASE_HOPS_MAX];
	uint32_t hop_count;
	struct case_policy_host *policy_hosts[CASE_POLICY_HOSTS_MAX];
	uint32_t policy_host_count;
	bool says_mx;      /* a zone line speaks of the domain itself, so hops are no MX by themselves */
	const char **tags; /* "slow" "intrusive" "alone" */
	uint32_t tag_count;
	int64_t timeout_ms; /* of a step with CASE_LIMIT_SAID that says none itself */
	bool says_timeout;
	struct case_section *sections;
	uint32_t section_count;
	struct case_step *steps;
	uint32_t step_count;
	struct case_memory *memory; /* owns everything above */
};

struct case_options {
	const char *path;          /* named in messages; read unless text is given */
	struct span text;          /* p != NULL: the content */
	const char *id;            /* what `case:` must say; NULL: anything */
	struct buf *ret_messages;  /* what is wrong is appended here */
	uint32_t *ret_error_count; /* may be NULL */
};
/* NULL after mistakes. */
struct case_file *case_read(const struct case_options *o);
void case_free(struct case_file *c); /* accepts NULL */

bool case_has_tag(const struct case_file *c, const char *tag);
/* Of the abilities that "needs:" names. */
bool case_needs(const struct case_file *c, const char *ability);
enum { CASE_ALIAS_POLICIES = 4 };
/* Policies (struct case_file) of domains that aliases lead to; one is NULL. */
const char *case_alias_policy(uint32_t i);
/* Whether a is as the comparison with b wants it: ==, >= or <=. */
bool case_compare(uint64_t a, enum case_op op, uint64_t b);
/*
 * ${mx.cert}: the certificate of next hop mx in hexadecimal (DER); key: its SubjectPublicKeyInfo; ca and ca-key: the
 * same of its issuer; .sha256 and .sha512: their digests.  i < CASE_CERT_VARIABLES; three of each in this order.
 */
enum { CASE_CERT_VARIABLES = 12 };
const char *case_cert_variable(uint32_t i);
/* Whether the step looks into a mailbox. */
bool case_step_is_mailbox(enum case_step_kind k);

/* ---- where cases are ---- */
struct case_list {
	const char **ids;   /* sorted */
	const char **paths; /* one for each id */
	uint32_t count;
};
/*
 * All cases below ./scenarios/cases, or else what was installed with the
 * program, or the source tree it was built in.  Negative errno when there is
 * no such folder.
 */
int case_find_all(struct case_list *ret_list, struct err *reterr);
void case_list_free(struct case_list *l);

#endif
