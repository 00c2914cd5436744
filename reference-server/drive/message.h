/*
 * message: a queued message while it is being worked on, and the part of it
 * that goes to one destination.
 */
#ifndef SERVER_DRIVE_MESSAGE_H
#define SERVER_DRIVE_MESSAGE_H

#include "base/buf.h"
#include "reference-server/core/smtp_client.h"
#include "reference-server/store/envelope.h"
#include "reference-server/store/store.h"

#include <sys/queue.h>
#include <sys/types.h>
#include <uthash.h>

struct content_job;
struct destination;
struct relay;

/* Owned by the relay. */
struct message {
	uint64_t id;
	struct envelope *envelope;
	struct buf content;             /* whole body, or empty: read from the store */
	bool in_memory;                 /* content holds the body */
	uint8_t *to_report;             /* by recipient: what its sender does not know yet, REPORT() bits */
	uint32_t again_count;           /* deliveries split off, or begun anew, since activation */
	bool storing;                   /* an operation is under way */
	struct content_job *conversion; /* for mailboxes; NULL: none */
	struct relay *relay;            /* that waits for it */
	uint32_t open_count;            /* deliveries that have not ended */
	bool attempted;                 /* some recipient was really tried since activation */
	struct destination *held_for;   /* not tried, because this one is down */
	UT_hash_handle hh;
};

/* Recipients of one message for one destination.  Owned by the relay; lent to a connection while it is sent.
 */
struct handover {
	struct message *message;
	struct destination *destination;
	uint32_t rcpt_count;
	uint32_t *indexes;    /* in message->envelope->recipients */
	struct span *rcpts;   /* their addresses; borrow from the envelope */
	struct buf converted; /* what goes out instead of the message's content, if it is not empty */
	struct smtp_client_dsn *wishes; /* NULL: nothing was said for any of them */
	struct buf aliased;             /* their ORCPT, where an alias was in between */
	struct buf ascii;               /* addresses that rcpts borrows instead; and the reverse-path */
	struct smtp_result *results;    /* filled when it has been sent or given up */
	char remote_mta[ENVELOPE_TEXT_BYTES_MAX]; /* who answered, or "" */
	bool peer_keeps_time;                     /* it takes DELIVERBY along (RFC 2852) */
	bool peer_notifies;                       /* it takes the wishes for DSNs along (RFC 3461) */
	TAILQ_ENTRY(handover) next;
};
TAILQ_HEAD(handover_list, handover);

/* Takes envelope, and the content unless it is empty. */
struct message *message_new(struct envelope *envelope, struct buf *content);
void message_free(struct message *m);

/* Header prefix and body together: what goes over the wire before stuffing. */
uint64_t message_bytes(const struct message *m);

/*
 * Some bytes of the message from offset on, at least one before its end;
 * empty at the end.  Borrows from the message or from `scratch`, which has
 * room for scratch_bytes.  0, or a negative errno of the store.
 */
int message_peek(const struct message *m, struct store *store, uint64_t offset, char *scratch,
		 size_t scratch_bytes, struct span *ret_bytes);

/*
 * The path with its domain as A-labels, which needs no SMTPUTF8 (RFC 6531 3.2); as it is, when it is ASCII, or
 * its local-part is not.  May borrow from text, which has room for ADDRESS_TEXT_BYTES_MAX.
 */
struct span message_ascii_path(struct span path, char *text);

struct handover *handover_new(struct message *m, struct destination *to, uint32_t rcpt_count_max);
void handover_add(struct handover *d, uint32_t recipient_index);
/*
 * Once all are added: fills wishes, when there are any.  late_unsaid: the time that the message is to be delivered by
 * does not go along, so its next hosts are to tell of delays (RFC 2852 4.1.4.2).
 */
void handover_wish(struct handover *d, bool late_unsaid);
/*
 * For a host without SMTPUTF8: domains become A-labels where the local-part is ASCII, which makes them fit (RFC
 * 6531 3.2).  Returns the reverse-path in that form.
 */
struct span handover_use_ascii(struct handover *d);
void handover_free(struct handover *d);

/* The same result for every recipient. */
void handover_set_all(struct handover *d, const struct smtp_result *result);

#endif
