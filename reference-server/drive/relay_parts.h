/*
 * relay_parts: what the files of relay share.  For them only.
 *
 *	relay.c          which messages are active; taking, flushing, beginning and end
 *	relay_due.c      the heap of the deferred
 *	relay_deliver.c  an active message: who is local, where do the others go
 *	relay_result.c   what became of a delivery, recipient by recipient
 *	relay_settle.c   every delivery has ended: what is stored, who is told, when again
 *	relay_order.c    orders by hand
 */
#ifndef SERVER_DRIVE_RELAY_PARTS_H
#define SERVER_DRIVE_RELAY_PARTS_H

#include "base/idna.h"
#include "reference-server/drive/bounce.h"
#include "reference-server/drive/destination.h"
#include "reference-server/drive/message.h"
#include "reference-server/drive/relay.h"

enum {
	ACTIVE_MAX = 5000,
	TRY_AGAIN_MAX = 100, /* deliveries one message may be split into since its activation */
};

/*
 * An entry of the heap.  It counts only while the message's row still says that
 * time: after an order by hand (release, requeue) or an attempt there is a new
 * entry, and the old one is dropped when it comes up.  Marks in id:
 */
#define DUE_REGARDLESS (UINT64_C(1) << 63) /* counts, whatever the row says */
#define DUE_EXTRA (UINT64_C(1) << 62)      /* beside the right one: counts unless an attempt came before it */
#define DUE_ID (~(DUE_REGARDLESS | DUE_EXTRA))
struct due {
	int64_t wall_ms;
	uint64_t id;
};

/* A message that an order by hand is being stored for.  It must not become active meanwhile. */
struct ordered {
	uint64_t id;
	struct relay *relay;
	enum queue_order order;
	bool was_held;
	struct envelope *envelope; /* as it will be */
	store_done_fn *done;
	void *ctx;
	UT_hash_handle hh;
};

struct wanted {
	struct destination *destination;
	TAILQ_ENTRY(wanted) next;
};

struct relay {
	struct server *server;
	struct destinations *destinations;
	struct message *active; /* by id */
	uint32_t active_count;
	struct ordered *ordered; /* by id */
	uint32_t held_count;
	uint64_t content_bytes;
	struct due *heap; /* the deferred, soonest first */
	uint32_t heap_count, heap_room;
	struct timer *timer;
	struct task *pull;
	TAILQ_HEAD(, wanted) wanted;
	uint32_t storing_count;
	bool stopping;
};

/* One operation on the store about an active message, and what follows it. */
struct storing {
	struct relay *relay;
	struct message *message;
	struct envelope *dsn;
	struct buf dsn_content;
	const char *event; /* what the dsn says, for the log */
	bool converts;     /* what is stored along is no DSN, but the message itself for mailboxes */
	uint32_t *local;   /* recipients delivered here by this operation */
	uint32_t local_count;
	bool removes;
	bool goes_on; /* afterwards, to remote recipients */
};

/* ---- relay_due.c ---- */

void relay_due_add(struct relay *r, struct due d);
struct due relay_due_pop(struct relay *r);
void relay_set_timer(struct relay *r);
void relay_defer(struct relay *r, uint64_t id, int64_t due_wall_ms);

/* ---- relay.c ---- */

struct message *relay_find_active(struct relay *r, uint64_t id);
/* It leaves memory; its row says what goes on. */
void relay_forget(struct relay *r, struct message *m);

/* ---- relay_deliver.c ---- */

void relay_activate(struct relay *r, struct message *m);
/* One delivery for each destination; without any, it settles. */
void relay_submit_remote(struct relay *r, struct message *m);
struct destination *relay_destination_of(struct relay *r, const struct envelope *e,
					 const struct recipient *rcpt);
/* By the name that the DNS knows it by, so that a name has one line however it is written. */
struct span relay_destination_key(struct span domain, char text[IDNA_NAME_BYTES_MAX + 1]);

/* ---- relay_result.c ---- */

void relay_log_result(const struct message *m, const struct recipient *rcpt, const char *event,
		      const struct smtp_result *result, const char *where);
/* To be said in the next notification: REPORT bits. */
void relay_report(struct message *m, const struct recipient *rcpt, uint8_t bits);
void relay_record(struct message *m, struct recipient *rcpt, const struct smtp_result *result,
		  enum recipient_state state, const char *where);
/* For the destinations. */
void relay_on_ended(void *ctx, struct handover *d, bool held);

/* ---- relay_settle.c ---- */

void relay_settle(struct relay *r, struct message *m);
/* Its time is over: it fails for the reason it last had. */
void relay_expire(struct relay *r, struct message *m, struct recipient *rcpt);
struct storing *relay_storing_new(struct relay *r, struct message *m);
/* Recipient states, a notification about those that failed, and copies for mailboxes: one transaction. */
void relay_store_step(struct storing *s, const struct delivery *copies);

/* ---- relay_order.c ---- */

bool relay_is_ordered(struct relay *r, uint64_t id);

#endif
