/*
 * pop3_session_parts: what the files of one POP3 session share; for nobody
 * else.
 *
 *	pop3_session.c    the conversation: its wishes, its timeouts, its end, removal
 *	pop3_login.c      who it is, and opening the mailbox
 *	pop3_retrieval.c  RETR and TOP: content out of the store, as fast as it is read
 */
#ifndef SERVER_DRIVE_POP3_SESSION_PARTS_H
#define SERVER_DRIVE_POP3_SESSION_PARTS_H

#include "base/buf.h"
#include "base/conn.h"
#include "reference-server/core/pop3_server.h"
#include "reference-server/drive/auth.h"
#include "reference-server/drive/load.h"
#include "reference-server/drive/pop3_lock.h"
#include "reference-server/drive/pop3_session.h"
#include "reference-server/policy/pace.h"
#include "reference-server/store/account.h"
#include "reference-server/store/mailbox.h"

#include <sys/queue.h>

enum {
	POP3_PIECE_BYTES = 64 * 1024, /* read from the store at once */
	POP3_OUTPUT_BYTES_MAX = 256 * 1024,
	POP3_UIDL_BYTES = 17,       /* "%08x-%08x" */
	POP3_RUN_MESSAGES_MAX = 64, /* read ahead at once */
};

struct pop3_job;

/*
 * Whole messages of the mailbox, read at once: one that is asked for and, when
 * the client takes them in order, those behind it.  At most POP3_PIECE_BYTES.
 */
struct pop3_run {
	uint32_t first_index;
	uint32_t count;
	struct mailbox_read reads[POP3_RUN_MESSAGES_MAX];
	char bytes[];
};

/* Of messages that went out and were not logged yet; uids rise. */
struct pop3_sent {
	bool top;
	uint32_t count;
	uint32_t first_uid, last_uid;
	uint64_t octets;
};

struct pop3_session {
	struct server *server;
	struct conn *conn;
	uint64_t id;
	char peer_ip[56];
	struct pop3_server core;
	struct pop3_server_config config;
	struct settings *settings; /* config borrows from these */
	struct buf out;            /* the core's; empty between two steps */
	struct auth_exchange *auth;
	struct pop3_job *job;       /* on the helper pool, for this session */
	struct pop3_update *update; /* with the store */

	/* After the login. */
	char identity[ACCOUNT_ADDRESS_BYTES_MAX + 1];
	uint32_t account_id;
	struct pop3_lock *lock;
	struct mailbox_list list;
	struct pop3_message *messages;
	char *uidls;
	uint64_t offset;     /* in the message that is being retrieved */
	bool looking;        /* does its header need a client that said UTF8? */
	uint32_t next_index; /* behind the last one retrieved */
	struct pop3_run *run;
	struct pop3_sent sent;
	struct pace pace;
	struct timer *pause; /* while paced; NULL before the first */
	bool trusted;        /* by its address: one of relay_from */
	struct load_member load;
	uint64_t written_before; /* bytes, when the running time-out began */

	bool paced;         /* it was too fast */
	bool answer_due;    /* a wish is out; do not feed */
	bool handshake_due; /* nothing may be said before TLS */
	bool piece_due;     /* the next piece of content waits for room in the output */
	bool ended;         /* the client says nothing more */
	bool close_wanted;  /* shutting down: at the next command */
	bool pumping;
	bool dead; /* ended inside pump */
	TAILQ_ENTRY(pop3_session) next;
};

/* A read of the store on the helper pool. */
struct pop3_job {
	struct pop3_session *session; /* NULL once it has ended */
	struct store *store;
	void (*done)(struct pop3_job *j); /* only while there is a session */
	char identity[ACCOUNT_ADDRESS_BYTES_MAX + 1];
	uint32_t account_id;
	struct mailbox_list list;
	struct pop3_run *run;
	uint32_t uid;
	uint64_t offset;
	size_t wanted_bytes;
	char *bytes;
	ssize_t result;
};

/* ---- pop3_session.c ---- */

void pop3_session_pump(struct pop3_session *s);
/* Hands what the core said to the connection. */
void pop3_session_flush(struct pop3_session *s);
/* One at a time. */
struct pop3_job *pop3_job_new(struct pop3_session *s, void (*done)(struct pop3_job *j));
void pop3_job_submit(struct pop3_job *j, void (*work)(void *job));

/* ---- pop3_login.c: the wishes of the same names ---- */

void pop3_login_begin(struct pop3_session *s);
void pop3_login_auth(struct pop3_session *s);
void pop3_login_auth_step(struct pop3_session *s);
void pop3_login_drop(struct pop3_session *s); /* the exchange */
void pop3_login_open(struct pop3_session *s);

/* ---- pop3_retrieval.c ---- */

void pop3_retrieval_begin(struct pop3_session *s);
/* The client has read what there was: the next piece. */
void pop3_retrieval_go_on(struct pop3_session *s);
/* One line for all that went out since the last one: a line each would cost as much as a small message. */
void pop3_retrieval_log(struct pop3_session *s);

#endif
