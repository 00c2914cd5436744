/*
 * retriever: polls one POP3 account and hands over each new message once.
 *
 * A poll is a session: connect, log in, UIDL, RETR what is new (DELE when
 * asked), QUIT.  Messages that were not deleted are remembered for the life
 * of the retriever, also over restarts of the server, by UID and by place among
 * equal UIDs (mailbox.h); a UID that returns with other content is the
 * judge's business.  A server that is down, refuses or breaks off is noted in
 * on_poll and tried again at the next interval.  Polls never overlap.
 *
 * Polling sees a message late; what is known is an interval: it was not there
 * at absent_ns and was there at listed_ns.
 *
 * The retriever may be freed from a drain's done, not from the other callbacks.
 */
#ifndef HARNESS_LOAD_RETRIEVER_H
#define HARNESS_LOAD_RETRIEVER_H

#include "base/err.h"
#include "base/loop.h"
#include "base/span.h"
#include "harness/load/access.h"

enum {
	RETRIEVER_MESSAGE_BYTES_MAX = 256 * 1024 * 1024, /* a larger one breaks the poll off */
	RETRIEVER_MESSAGES_MAX = 10 * 1000 * 1000,
};

/* Spans die when the callback returns. */
struct retrieved {
	struct span message; /* as stored: unstuffed, line ends as they came */
	struct span uid;
	uint32_t nth;          /* how many this retriever has handed over, from 1 */
	int64_t absent_ns;     /* the last listing without it: its login was sent; 0: there was none before */
	int64_t poll_start_ns; /* the poll that retrieved it began to connect */
	int64_t listed_ns;     /* the first listing with it was complete */
	int64_t retrieved_ns;  /* its last byte was here */
	int64_t listed_octets; /* by LIST; -1: the server did not say */
	uint32_t dots_notes;   /* enum dots_note */
};
typedef void retriever_message_fn(void *ctx, const struct retrieved *m);

enum retriever_outcome {
	RETRIEVER_OK,
	RETRIEVER_DOWN,   /* no connection, or it broke before a login was answered */
	RETRIEVER_LOCKED, /* another session has the mailbox: [IN-USE] of RFC 2449, or a text that says so */
	RETRIEVER_DENIED, /* login refused otherwise */
	RETRIEVER_BROKEN, /* broken off, silent or unintelligible later; what was handed over counts */
};
const char *retriever_outcome_name(enum retriever_outcome o);

struct retriever_poll {
	enum retriever_outcome outcome;
	int64_t start_ns;
	int64_t end_ns;
	uint32_t listed_count;
	uint32_t new_count;
	uint32_t
		doubtful_count; /* in all polls: taken for old after an unanswered QUIT, perhaps second copies */
	const char *problem;    /* for a person; "" when OK */
};
typedef void retriever_poll_fn(void *ctx, const struct retriever_poll *p);
typedef void retriever_done_fn(void *ctx);

struct retriever_options {
	struct loop *loop;
	struct access access;
	int64_t interval_ms; /* from the end of a poll to the next; 0: 1000 */
	int64_t timeout_ms;  /* of silence; 0: 30000 */
	bool delete_after;
	bool utf8; /* says UTF8 (RFC 6856) before it logs in, and does not mind when that is refused */
	retriever_message_fn *on_message;
	retriever_poll_fn *on_poll; /* may be NULL */
	void *ctx;
};

struct retriever *retriever_new(const struct retriever_options *o, struct err *reterr);

/* Polls now and then at every interval, until retriever_pause. */
void retriever_start(struct retriever *r);
/* A running poll goes on to its end. */
void retriever_pause(struct retriever *r);
/* Polls now; when a poll is running, again right after it. */
void retriever_poll_now(struct retriever *r);

/*
 * Polls, with the interval between, until it has handed over `total` messages
 * in its life or the deadline has passed; then calls done once, from the loop,
 * and pauses.  A poll that runs at the deadline is let finish.
 */
void retriever_drain(struct retriever *r, uint32_t total, int64_t deadline_ns, retriever_done_fn *done,
		     void *ctx);

uint32_t retriever_message_count(const struct retriever *r);
bool retriever_is_polling(const struct retriever *r);
void retriever_free(struct retriever *r); /* accepts NULL; nothing is called any more */

#endif
