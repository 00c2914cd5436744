/*
 * smtp_session_impl: what smtp_session.c (opening, securing, logging in,
 * events) and smtp_transaction.c (MAIL to the final reply) share.  Nobody else
 * includes it.
 */
#ifndef HARNESS_LOAD_SMTP_SESSION_IMPL_H
#define HARNESS_LOAD_SMTP_SESSION_IMPL_H

#include "base/conn.h"
#include "harness/load/sasl.h"
#include "harness/load/smtp_session.h"

struct smtp_session {
	const struct session_options *o;
	struct conn *conn;
	struct reply_reader replies;
	enum session_state state;
	enum sender_stage stage;
	int64_t ready_ns;
	uint32_t transaction_count;
	/* what the server offered at the last EHLO */
	bool esmtp;
	bool helo_tried;
	bool pipelining;
	bool eight_bit;
	bool starttls;
	struct buf mechanisms;
	struct sasl *sasl;
	bool logged_in;
	/* the transaction: commands are numbered, RSET first where one is needed */
	struct transaction *t;
	bool needs_reset;
	uint32_t sent;     /* commands */
	uint32_t answered; /* of these */
	bool mail_ok;
	uint32_t rcpt_ok_count;
	bool decided;    /* t->reply and t->outcome hold */
	bool final_sent; /* the final dot was handed to the connection ... */
	bool drained;    /* ... and by it to the kernel */
	/* why it closed before it was ready */
	struct kept_reply reply;
	char problem[PROBLEM_CHARS_MAX];
};

/* What a negative reply of that class makes of a message. */
enum sender_outcome session_outcome_of(unsigned reply_digit);

void session_changed_state(struct smtp_session *s);
void session_close(struct smtp_session *s, bool politely);

/* Closes; a transaction under way ends as not sent, indeterminate, or as decided. */
__attribute__((format(printf, 3, 4))) void session_fail(struct smtp_session *s, bool politely,
							const char *fmt, ...);

/* The transaction's results are in; it is the caller's again. */
void session_end_transaction(struct smtp_session *s);

/* One reply while BUSY. */
void session_transaction_reply(struct smtp_session *s);

#endif
