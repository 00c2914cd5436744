/*
 * relay: moves queued messages on: to mailboxes here, to next hops, back to
 * their senders as a DSN, or to a later time.
 *
 * A message that became durable is given to relay_take, with its content
 * when that is still in memory, and is the relay's from then on.  At start
 * the relay finds the others in the store.  In memory a message is
 *
 *	deferred   an entry (due time, id) in a heap; nothing else
 *	held       a number in a count; an order by hand put it there, and only
 *		   another one takes it out
 *	active     its envelope, and a delivery for each destination it has
 *		   pending recipients for; at most ACTIVE_MAX at a time
 *
 * Each destination (a domain, or a route's host and port) has a line of
 * deliveries, a bounded number of connections, and a state: while it cannot
 * be reached at all, its deliveries are put off without a connection each
 * (RFC 5321 4.5.4.1), and when it answers again they go at once.
 */
#ifndef SERVER_DRIVE_RELAY_H
#define SERVER_DRIVE_RELAY_H

#include "base/buf.h"
#include "reference-server/drive/server.h"
#include "reference-server/store/envelope.h"
#include "reference-server/store/queue.h"

struct relay;

/* Reads the queue of the store; the loop must run for anything to happen. */
struct relay *relay_new(struct server *server);
/* Messages in flight stay queued and are tried again by the next process. */
void relay_free(struct relay *r);

/* Takes both.  content: the whole body, or empty when it is only in the store. */
void relay_take(struct relay *r, struct envelope *message, struct buf *content);

/* Everything deferred becomes due now. */
void relay_flush(struct relay *r);
/* A domain counts as reachable again; relay_hasten makes one message due, for this once. */
void relay_flush_domain(struct relay *r, struct span domain);
void relay_hasten(struct relay *r, uint64_t id);

/*
 * An order by hand.  -ENOENT when the message is not in the queue, -EBUSY while
 * it is being delivered or another order about it is under way, -EALREADY when
 * it is so already; else done follows.  From the call on, the message is not
 * tried before the order is stored.
 */
int relay_order(struct relay *r, uint64_t id, enum queue_order order, store_done_fn *done, void *ctx);
bool relay_is_active(struct relay *r, uint64_t id);

struct relay_counts {
	uint32_t active;
	uint32_t waiting; /* for a destination that is down */
	uint32_t held;
	uint32_t connections; /* to next hops */
};
struct relay_counts relay_counts(const struct relay *r);

/* As destinations_look. */
struct destination_view;
bool relay_look(const struct relay *r, struct span domain, enum tls_wish wish,
		struct destination_view *ret_view);

/* Begins no delivery any more; relay_is_idle once those under way have ended. */
void relay_stop(struct relay *r);
bool relay_is_idle(const struct relay *r);

#endif
