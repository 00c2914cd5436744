/*
 * queue: messages this server has answered for and not yet passed on.
 *
 * It stores decisions, it makes none: when to try again, when to give up and
 * what a DSN says are others' business.
 *
 *   database   key              value
 *   queue      message id u64   envelope row (envelope.h)
 *
 * States of a message, which rows exist in each, and what moving on guarantees
 * (RFC 5321 §4.2.5, §6.1: the answer to the final dot is a promise):
 *
 *   state      receiving body queue mailbox   left by
 *   receiving      x      -     -     -       queue_submit(INSERT or PASS), body_discard, a restart.
 *                                             Nothing is promised; a restart forgets it.
 *   queued         -      x     x     -       done(0) of INSERT: only now may 250 be sent.  Survives
 *                                             crash and power cut; a restart finds it with queue_scan.
 *   deferred       -      x     x     -       the same with a later due time: UPDATE after an attempt.
 *                                             A crash before its done may repeat the attempt, never lose it.
 *   held           -      x     x     -       UPDATE with ENVELOPE_HELD: an order by hand.  It is not
 *                                             tried and does not expire, over any restart, until an
 *                                             order makes it queued or deferred again, or drops it.
 *   done           -      -     -     -       REMOVE.  The row, and with the last reference the body, go
 *                                             in one transaction.  A crash before it, after the next hop's
 *                                             250, sends the message twice: RFC 5321 §6.1 allows no better.
 *   bounced        -      -     -     -       REMOVE with dsn: the notification's rows appear and the
 *                                             original's vanish in one transaction: never neither, never
 * both. delivered      -      x     -     x       REMOVE, UPDATE, INSERT or PASS with deliveries: mailbox
 * rows appear and the queue row goes (or notes the recipients as delivered) in one transaction: exactly once,
 * whatever crashes.
 *
 * A message that is queued or deferred for some recipients may already be
 * delivered to others; recipient states in the envelope say which.
 *
 * At most one operation per message should be in flight; if there are several
 * they apply in the order of submission.
 */
#ifndef STORE_QUEUE_H
#define STORE_QUEUE_H

#include "reference-server/store/envelope.h"
#include "reference-server/store/store.h"

enum { QUEUE_DELIVERIES_MAX = ENVELOPE_RECIPIENTS_MAX };

enum queue_row {
	QUEUE_INSERT, /* a new message enters the queue */
	QUEUE_UPDATE, /* its envelope is replaced; the body stays */
	QUEUE_REMOVE, /* it leaves; drops its reference to the body */
	QUEUE_PASS,   /* a new message goes straight to its deliveries, without a queue row */
};

/* One copy into one mailbox. */
struct delivery {
	uint32_t account_id;
	int64_t arrival_wall_ms;
	struct span
		prefix; /* header fields before the body: Return-Path, Received, ...; read during the call */
};

/* One change, made in one transaction, wholly or not at all. */
struct queue_change {
	enum queue_row row;

	/*
	 * The message; read during the call only.  For INSERT and PASS, id is
	 * from store_new_id; body_id is 0, or names a body given to
	 * body_append, which now becomes live; 0 is set to id by the call.
	 * REMOVE looks at id only.
	 */
	struct envelope *message;

	/*
	 * INSERT and PASS: the content, or the part of it that was not given to
	 * body_append: it ends at message->body_bytes.  Not copied: it must
	 * stay unchanged until done.
	 */
	struct span body;

	/* Mailboxes that get a copy. */
	const struct delivery *deliveries;
	uint32_t delivery_count;

	/* NULL, or a notification that enters the queue along with this; as an INSERT with its own body. */
	struct envelope *dsn;
	struct span dsn_body; /* unchanged until done */
};

/*
 * INSERT and PASS are new operations: besides storage errors, -EEXIST for an
 * id that is in use (unless by the very same envelope: then it is stored),
 * -ESTALE when the body in progress is not as long as claimed, -E2BIG when a
 * limit of envelope.h is exceeded.  UPDATE and REMOVE are kept: they are done
 * when they are durable, or -ENOENT when the message is not in the queue (any
 * more): then nothing was delivered or bounced either.  -ESRCH when an account
 * of a delivery does not exist: nothing was changed.  done may be NULL.
 */
void queue_submit(struct store *s, const struct queue_change *c, store_done_fn *done, void *ctx);

/* The envelope, owned by the caller (envelope_free).  -ENOENT; -EBADMSG when its row is damaged. */
int queue_load(struct store *s, uint64_t id, struct envelope **ret_envelope);

/*
 * Calls fn for each message from id first_id on, in order of id and so of
 * arrival, inside one read transaction: fn takes notes and calls nothing of the
 * store.  False from fn ends the scan.  A row too damaged to be looked at comes
 * with zeros.
 */
typedef bool queue_scan_fn(void *ctx, uint64_t id, const struct envelope_glance *g);
int queue_scan(struct store *s, uint64_t first_id, queue_scan_fn *fn, void *ctx);

uint64_t queue_count(struct store *s);

/* Orders by hand. */
enum queue_order {
	QUEUE_HOLD,    /* not to be tried until released */
	QUEUE_RELEASE, /* held no more; due as it was before */
	QUEUE_REQUEUE, /* held no more, due now, and the waits between attempts begin anew */
	QUEUE_DROP,    /* leaves the queue, and nobody is told */
};
/*
 * What an order does to an envelope: the caller then submits an UPDATE, or a
 * REMOVE for QUEUE_DROP.  -EALREADY: it is so already, nothing was changed.
 */
int queue_apply_order(struct envelope *e, enum queue_order order, int64_t now_wall_ms);
/*
 * As queue_load, for an order.  A row that is damaged can still be dropped:
 * the envelope is then empty but for the id.
 */
int queue_load_for_order(struct store *s, uint64_t id, enum queue_order order,
			 struct envelope **ret_envelope);

#endif
