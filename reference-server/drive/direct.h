/*
 * direct: puts a message into mailboxes as it is taken, without the queue: for
 * LMTP, whose client keeps the queue (RFC 2033 1).
 *
 * One transaction stores the body once and a copy for each account.  Recipients
 * of the envelope that have no account, because an alias sends them elsewhere,
 * make a queued message of it, in the same transaction.
 */
#ifndef SERVER_DRIVE_DIRECT_H
#define SERVER_DRIVE_DIRECT_H

#include "base/buf.h"
#include "reference-server/drive/server.h"
#include "reference-server/store/envelope.h"
#include "reference-server/store/store.h"

/* A value; all zeros in the beginning.  Of no interest to others but for delivered_count. */
struct direct {
	uint32_t delivered_count; /* recipients of the envelope that got a copy */
	struct envelope *dsn;     /* for a sender who wants to know of the delivery; NULL: none */
	struct buf dsn_content;
};

/*
 * As queue_submit() of an INSERT: content is the body, or with `streamed` the
 * end of one that was appended before, and must stay until done, as the
 * envelope must.  Marks recipients as delivered.
 */
void direct_submit(struct direct *d, struct server *server, struct envelope *e, const struct buf *content,
		   bool streamed, store_done_fn *done, void *ctx);

/* After done(0): logs, counts, and hands the notification on.  True when the relay has to have the message too. */
bool direct_done(struct direct *d, struct server *server, const struct envelope *e);

void direct_release(struct direct *d);

#endif
