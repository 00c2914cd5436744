/*
 * smtp_session_parts: what the files of one SMTP session share; for nobody
 * else.
 *
 *	smtp_session.c    the conversation: its wishes, its timeouts, its end
 *	smtp_incoming.c   the message: content into the store, until it is durable
 *	smtp_envelope.c   who it is from and for: MAIL and RCPT
 *	smtp_slot.c       replies in their order, owed ones included
 *	smtp_verify.c     who is there: VRFY and EXPN
 */
#ifndef SERVER_DRIVE_SMTP_SESSION_PARTS_H
#define SERVER_DRIVE_SMTP_SESSION_PARTS_H

#include "base/buf.h"
#include "base/conn.h"
#include "reference-server/core/address.h"
#include "reference-server/core/smtp_server.h"
#include "reference-server/drive/auth.h"
#include "reference-server/drive/direct.h"
#include "reference-server/drive/load.h"
#include "reference-server/drive/smtp_session.h"
#include "reference-server/policy/pace.h"
#include "reference-server/store/body.h"
#include "reference-server/store/envelope.h"

#include <sys/queue.h>

enum {
	SMTP_PIECE_BYTES = 64 * BODY_CHUNK_BYTES, /* what one append gives to the store; also the most a small
						     message has */
	SMTP_PIECES_IN_FLIGHT_MAX = 3,
	SMTP_COMMANDS_BYTES = 2048, /* of commands are looked at in one go, between looks at what they cost */
	SMTP_SLOTS_MAX = 64,        /* final replies owed to one client */
	SMTP_OUTPUT_BYTES_MAX = 256 * 1024,
};

struct smtp_profile {
	struct smtp_server_config core;
	bool implicit_tls;
};

/* A reply that is owed: the one to a final dot, and what was emitted behind it. */
struct smtp_slot {
	struct smtp_incoming *message; /* until it is filled */
	struct buf reply;
	struct buf after;
	TAILQ_ENTRY(smtp_slot) next;
};

struct smtp_session {
	struct server *server;
	const struct smtp_profile *profile;
	struct settings *settings; /* profile is of these */
	struct conn *conn;
	uint64_t id;
	char peer_ip[56];
	bool trusted; /* by its address: one of relay_from */
	struct smtp_server core;
	TAILQ_HEAD(smtp_slots, smtp_slot) slots;
	uint32_t slot_count;
	size_t owed_bytes;             /* of replies that wait in slots */
	struct smtp_incoming *message; /* the transaction in progress */
	struct auth_exchange *auth;
	uint32_t auth_failure_count;
	uint64_t moved_before; /* bytes, when the running time-out began */
	struct pace pace;
	struct timer *pause; /* greeting_due or paced; NULL before the first */
	struct load_member load;
	bool greeting_due;    /* nothing is read as a command before it */
	bool early;           /* it spoke before that */
	bool paced;           /* it was too fast */
	bool pipelined_early; /* it has been logged */
	bool answer_due;      /* an exchange or another wish is out; do not feed */
	bool stalled;         /* reading is paused until something has been written or stored */
	bool tls_due;         /* the handshake follows the last owed reply */
	bool closing;         /* the end follows the last owed reply */
	bool close_wanted;    /* shutting down: at the next command */
	bool pumping;
	bool dead;         /* ended inside pump */
	bool awaits_store; /* in the line of smtp_incoming.c */
	TAILQ_ENTRY(smtp_session) next_waiting;
	TAILQ_ENTRY(smtp_session) next;
};

/* A message between MAIL and durability.  Counted: by its session or the store, and by each piece in flight.
 */
struct smtp_incoming {
	struct server *server;
	struct smtp_session *session; /* NULL once it has ended */
	struct smtp_slot
		*slot; /* where the answer goes; NULL before the final dot and after the session's end */
	struct envelope *envelope;
	struct buf content; /* what has not been given to body_append */
	uint64_t streamed_bytes;
	uint64_t counted_bytes; /* in server->unacknowledged_bytes, without the pieces */
	size_t recipient_bytes; /* memory, about */
	uint32_t pieces_in_flight;
	uint32_t refs;
	int error; /* of a piece */
	uint32_t reply_count;
	struct direct direct; /* LMTP */
};

/* ---- smtp_session.c ---- */

/*
 * The client has done what it had to do in time, or we were the slow ones: its
 * time begins anew.  It has one time-out for each command, from the last one's
 * end to its own, whatever trickles in meanwhile.  In content, and while it
 * reads replies, it has to keep up limits.data_rate over each time-out.
 */
void smtp_session_progress(struct smtp_session *s);
/* Reads on, if it had to wait. */
void smtp_session_unstall(struct smtp_session *s);
/* The last owed reply is out: what waited for it happens now. */
void smtp_session_after_slots(struct smtp_session *s);

/* ---- smtp_slot.c ---- */

/* The core's output: behind the last slot, if there is one. */
void smtp_slot_emit(void *ctx, struct span line);
struct smtp_slot *smtp_slot_reserve(struct smtp_session *s, struct smtp_incoming *m);
void smtp_slot_fill(struct smtp_session *s, struct smtp_slot *slot, uint32_t reply_count,
		    enum smtp_answer answer, struct span queue_id);
/* Messages that are still with the store lose their session. */
void smtp_slot_free_all(struct smtp_session *s);

/* ---- smtp_incoming.c ---- */

struct smtp_incoming *smtp_incoming_new(struct smtp_session *s);
/* Ends a transaction that brought no message.  Accepts NULL. */
void smtp_incoming_drop(struct smtp_incoming *m);
/* Whether content has to wait for the store; then smtp_session_unstall comes. */
bool smtp_incoming_must_wait(struct smtp_session *s);
/* The session ends: it waits for nothing any more. */
void smtp_incoming_forget(struct smtp_session *s);
/* SMTP_WISH_CONTENT and SMTP_WISH_MESSAGE. */
void smtp_incoming_content(struct smtp_session *s);
void smtp_incoming_message(struct smtp_session *s);

/* ---- smtp_envelope.c: SMTP_WISH_MAIL and SMTP_WISH_RCPT ---- */

void smtp_envelope_mail(struct smtp_session *s);
void smtp_envelope_rcpt(struct smtp_session *s);

/* ---- smtp_verify.c: SMTP_WISH_VERIFY ---- */

void smtp_verify(struct smtp_session *s);

#endif
