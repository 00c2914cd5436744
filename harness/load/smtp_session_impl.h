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
	enum sender_stage stage; /* until it is ready */
	int64_t ready_ns;
	uint32_t transaction_count;
	void *ctx;
	/* what the server offered at the last EHLO */
	bool esmtp;
	bool helo_tried;
	bool pipelining;
	bool eight_bit;
	bool starttls;
	struct buf mechanisms;
	struct sasl *sasl;
	bool logged_in;
	bool chunking;
	bool closing; /* the server said 421: nothing more is begun */
	struct transaction_list in_flight;
	uint32_t in_flight_count;
	struct transaction *writing; /* the first in flight that was not written in full */
	struct buf out;              /* gathers one group */
	uint64_t written_bytes;
	bool needs_reset; /* the next transaction does */
	bool quit_sent;
	bool quit_answered;
	/* why it closed before it was ready */
	struct kept_reply reply;
	char problem[PROBLEM_CHARS_MAX];
};

/* What a negative reply of that class makes of a message. */
enum sender_outcome session_outcome_of(unsigned reply_digit);

void session_changed_state(struct smtp_session *s);
void session_write(struct smtp_session *s, struct span bytes);
void session_close(struct smtp_session *s, bool politely);

/* Closes; each transaction under way ends as not sent, indeterminate, or as decided. */
__attribute__((format(printf, 3, 4))) void session_fail(struct smtp_session *s, bool politely,
							const char *fmt, ...);

/* The first in flight has its results; it is the caller's again. */
void session_end_transaction(struct smtp_session *s);

/* One reply while BUSY. */
void session_transaction_reply(struct smtp_session *s);

#endif
