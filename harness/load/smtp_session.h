/*
 * smtp_session: one client connection to an SMTP or LMTP server: opens it,
 * secures it, logs in, then carries one transaction after the other (RFC 5321,
 * 2033, 2920, 3030, 3207, 4954).  For sender.c, which owns sessions and decides
 * who gets which.
 *
 * With in_flight_max above 1, and where the server offers PIPELINING, several
 * transactions are under way: the end of one content and the commands of the
 * next are one write, as RFC 2920 section 3.1 allows; DATA ends such a group, so
 * that no more than one content awaits its reply.  BDAT does not end one: with
 * CHUNKING whole messages follow each other.  Because a failed BDAT leaves a
 * state that only RSET clears (RFC 3030 section 2), RSET goes between them.
 *
 * Whenever the state or a transaction's `done` changed, on_change is called;
 * the owner must not free the session inside it, but may look.  A CLOSED
 * session holds no descriptor any more and is only good for session_free.
 * Transactions end in the order in which they began.
 */
#ifndef HARNESS_LOAD_SMTP_SESSION_H
#define HARNESS_LOAD_SMTP_SESSION_H

#include "base/buf.h"
#include "base/loop.h"
#include "harness/load/access.h"
#include "harness/load/sender.h"
#include "harness/wire/reply.h"

#include <sys/queue.h>

enum {
	KEPT_REPLY_BYTES_MAX = 1000,
	PROBLEM_CHARS_MAX = 300,
};

struct kept_reply {
	uint16_t code;
	uint32_t notes;
	struct buf text;
};
void kept_reply_set(struct kept_reply *k, const struct reply *r);

/* How far a transaction has come; the session's own. */
struct progress {
	uint32_t nth;     /* on its session, from 1 */
	bool needs_reset; /* RSET goes before MAIL */
	bool chunk;       /* BDAT LAST instead of DATA */
	uint32_t sent;    /* commands; numbered in their order, RSET first where one is needed */
	uint32_t answered;
	bool mail_ok;
	uint32_t rcpt_ok_count;
	bool decided;          /* reply and outcome hold */
	bool content_sent;     /* the end of the content, or a lone dot, was handed to the connection ... */
	bool final_sent;       /* ... and it was no lone dot ... */
	bool drained;          /* ... and it is with the kernel */
	uint64_t end_at_bytes; /* where it ends in what was written */
	uint32_t finals;       /* replies to the content that came */
};

/* One message on its way through one session.  The caller sets the first block and keeps it alive until done.
 */
struct transaction {
	struct span reverse_path;
	struct span mail_args;
	const struct span *recipients;
	uint32_t recipient_count;
	struct span content;

	bool done;
	bool answered; /* a reply to MAIL or later came */
	enum sender_outcome outcome;
	enum sender_stage stage;
	int64_t final_dot_ns;
	int64_t final_reply_ns;
	struct kept_reply reply;
	struct kept_reply *recipient_replies; /* recipient_count of them, the caller's */
	char problem[PROBLEM_CHARS_MAX];

	TAILQ_ENTRY(transaction) link;
	struct progress p;
};
TAILQ_HEAD(transaction_list, transaction);
/* Forgets the results of an earlier attempt. */
void transaction_restart(struct transaction *t);

enum session_state {
	SESSION_OPENING,
	SESSION_READY, /* nothing is under way */
	SESSION_BUSY,
	SESSION_CLOSED,
};

struct smtp_session;
typedef void session_fn(void *ctx);

struct session_options {
	struct loop *loop;
	struct access access;
	const char *ehlo_name;
	bool no_pipelining;
	bool chunking; /* where it is offered */
	bool lmtp;
	uint32_t in_flight_max;
	bool one_only; /* ends after one transaction: QUIT goes with the content where that is allowed */
	int64_t reply_timeout_ms;
	session_fn *on_change;
};

/* The options are borrowed and outlive the session; ctx goes to on_change. */
struct smtp_session *session_open(const struct session_options *o, void *ctx);
enum session_state session_state(const struct smtp_session *s);
int64_t session_ready_ns(const struct smtp_session *s); /* 0 when it never was */
/* How many transactions may be begun now. */
uint32_t session_room(const struct smtp_session *s);

/* Needs room.  READY becomes BUSY, then READY or CLOSED with t->done. */
void session_begin(struct smtp_session *s, struct transaction *t);

/* Passes the reason why a session never became ready on to the message that waited for it. */
void session_explain(const struct smtp_session *s, struct transaction *t);

/* Ends it: with QUIT when READY, at once otherwise; transactions are abandoned without a word. Accepts NULL.
 */
void session_free(struct smtp_session *s);

#endif
