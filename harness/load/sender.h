/*
 * sender: sends messages to one SMTP or LMTP server at intended times, over a pool of
 * connections, and reports for each what became of it.
 *
 * Messages are submitted ahead, in order of intended time; each is started when
 * that time has come, a connection is free and those before it have been
 * started.  When all connections are busy messages wait; the schedule is never
 * moved, so started_ns - intended_ns is the send lag.  Content is made only when
 * a transaction starts.
 *
 * A connection carries one message after the other; with in_flight_max it takes
 * up the next ones before the replies to the first came, as far as the server
 * offers PIPELINING (smtp_session.h says how).  An idle connection comes first,
 * then a new one, then one that has room.
 *
 * Every message gets exactly one report, from the loop, never inside a call of
 * these functions except sender_stop.  All times are CLOCK_MONOTONIC.
 */
#ifndef HARNESS_LOAD_SENDER_H
#define HARNESS_LOAD_SENDER_H

#include "base/buf.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/span.h"
#include "harness/load/access.h"

enum {
	SENDER_CONNECTIONS_MAX = 4096,
	SENDER_RECIPIENTS_MAX = 1000,
	SENDER_IN_FLIGHT_MAX = 1000,
};

enum sender_outcome {
	SENDER_ACCEPTED, /* 2xx to the content; by LMTP, for one recipient at least.  Refused recipients, if any, have their own codes */
	SENDER_REFUSED,  /* 5xx: by the greeting, to MAIL, every RCPT, DATA or the content */
	SENDER_DEFERRED, /* 4xx at one of these; not tried again unless retry_for_ms */
	SENDER_NOT_SENT, /* the final dot was never sent: no connection, a broken one, no TLS, no login */
	SENDER_INDETERMINATE, /* final dot sent, no reply came: it may arrive */
};
const char *sender_outcome_name(enum sender_outcome o); /* "accepted" */

/* What the last attempt was at: the reply that decided, or that it awaited when it broke. */
enum sender_stage {
	SENDER_AT_START, /* never tried */
	SENDER_AT_CONNECT,
	SENDER_AT_GREETING,
	SENDER_AT_HELLO,
	SENDER_AT_STARTTLS,
	SENDER_AT_AUTH,
	SENDER_AT_MAIL,
	SENDER_AT_RCPT,
	SENDER_AT_DATA,
	SENDER_AT_CONTENT, /* final dot handed over, no reply */
	SENDER_AT_FINAL_REPLY,
};
const char *sender_stage_name(enum sender_stage s); /* "rcpt" */

struct sender_reply {
	uint16_t code;    /* 0: none came */
	uint32_t notes;   /* enum reply_note */
	struct span text; /* lines joined by LF, at most 1000 bytes */
};

/* Spans are borrowed and die when the callback returns.  A time that was not reached is 0. */
struct sender_report {
	uint64_t id;
	enum sender_outcome outcome;
	enum sender_stage stage;
	uint32_t attempts; /* connections tried for it */
	int64_t intended_ns;
	int64_t started_ns;   /* first taken up */
	int64_t connected_ns; /* the last attempt's connection was ready for MAIL; earlier than started when
				 kept */
	int64_t final_dot_ns; /* handed to the connection */
	int64_t final_reply_ns;
	uint64_t content_bytes;
	struct sender_reply reply;             /* the one that decided */
	const struct sender_reply *recipients; /* in the order of submission */
	uint32_t recipient_count;
	const char *problem; /* for a person: "connect: Connection refused"; "" when replies say all */
};
typedef void sender_report_fn(void *ctx, const struct sender_report *report);
typedef void sender_idle_fn(void *ctx);

/* Appends the message: header and body, CRLF lines, not dot-stuffed. */
typedef void sender_content_fn(void *ctx, uint64_t id, struct buf *ret_message);

struct outgoing {
	uint64_t id; /* the caller's; unique among those not yet reported */
	int64_t intended_ns;
	struct span reverse_path; /* without <>; may be empty */
	const struct span *recipients;
	uint32_t recipient_count;
	struct span mail_args;           /* "BODY=8BITMIME", appended to MAIL; may be empty */
	sender_content_fn *make_content; /* or NULL, then content */
	void *make_content_ctx;
	struct span content;
};

struct sender_options {
	struct loop *loop;
	struct access access;
	const char *ehlo_name;    /* NULL: "[127.0.0.1]" */
	uint32_t connections_max; /* 0: 1 */
	bool no_pipelining;       /* even where it is offered */
	bool chunking;            /* BDAT instead of DATA where it is offered (RFC 3030) */
	bool lmtp;                /* RFC 2033: LHLO, and a reply to the content for each recipient */
	bool connection_per_message;
	uint32_t in_flight_max;   /* messages of one connection under way; 0: 1 */
	int64_t reply_timeout_ms; /* silence while something is awaited; 0: 300000 */
	int64_t retry_for_ms; /* not sent or 4xx: try again until that long after the first start; 0: never */
	int64_t retry_interval_ms; /* 0: 100 */
	sender_report_fn *on_report;
	sender_idle_fn *on_idle; /* every submitted message has been reported; may be NULL */
	void *ctx;
};

/* NULL and *reterr when the options do not fit or the address may not be reached. */
struct sender *sender_new(const struct sender_options *o, struct err *reterr);

/* Copies everything but content callbacks' contexts.  Intended times may not go back. */
void sender_submit(struct sender *s, const struct outgoing *m);

/* Submitted and not yet reported; of these, started. */
uint32_t sender_pending_count(const struct sender *s);
uint32_t sender_active_count(const struct sender *s);
uint32_t sender_connection_count(const struct sender *s);

/* Starts nothing more; what was not started is reported as SENDER_NOT_SENT at once, the rest goes on. */
void sender_stop(struct sender *s);
/* Closes all connections, with QUIT where idle; no report follows.  Accepts NULL. */
void sender_free(struct sender *s);

#endif
