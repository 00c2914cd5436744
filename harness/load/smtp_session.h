/*
 * smtp_session: one client connection to an SMTP server: opens it, secures it,
 * logs in, then carries one transaction after the other (RFC 5321, 2920, 3207,
 * 4954).  For sender.c, which owns sessions and decides who gets which.
 *
 * Whenever the state or a transaction's `done` changed, on_change is called;
 * the owner must not free the session inside it, but may look.  A CLOSED
 * session holds no descriptor any more and is only good for session_free.
 */
#ifndef HARNESS_LOAD_SMTP_SESSION_H
#define HARNESS_LOAD_SMTP_SESSION_H

#include "base/buf.h"
#include "base/loop.h"
#include "harness/load/access.h"
#include "harness/load/sender.h"
#include "harness/wire/reply.h"

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
};
/* Forgets the results of an earlier attempt. */
void transaction_restart(struct transaction *t);

enum session_state {
	SESSION_OPENING,
	SESSION_READY,
	SESSION_BUSY,
	SESSION_CLOSED,
};

struct smtp_session;
typedef void session_fn(void *ctx, struct smtp_session *s);

struct session_options {
	struct loop *loop;
	struct access access;
	const char *ehlo_name;
	bool no_pipelining;
	int64_t reply_timeout_ms;
	session_fn *on_change;
	void *ctx;
};

/* The options are borrowed and outlive the session. */
struct smtp_session *session_open(const struct session_options *o);
enum session_state session_state(const struct smtp_session *s);
int64_t session_ready_ns(const struct smtp_session *s); /* 0 when it never was */
/* Transactions that were begun on it. */
uint32_t session_transaction_count(const struct smtp_session *s);

/* READY becomes BUSY, then READY or CLOSED with t->done. */
void session_begin(struct smtp_session *s, struct transaction *t);

/* Passes the reason why a session never became ready on to the message that waited for it. */
void session_explain(const struct smtp_session *s, struct transaction *t);

/* Ends it: with QUIT when READY, at once otherwise; a transaction is abandoned without a word. Accepts NULL.
 */
void session_free(struct smtp_session *s);

#endif
