/*
 * admin: what the commands about queue and accounts do, and the text they
 * answer, with a running server around it or on a store alone.
 *
 *   status                        one line "key: value" each
 *   queue list [--json]           in order of arrival: a table, or an object a line
 *   queue show ID [--json]        everything about one message but its content
 *   queue flush [DOMAIN]          try again now; needs a running server
 *   queue ORDER WHICH             ORDER: hold, release, requeue, remove (queue.h);
 *                                 WHICH: ID ..., --all, --domain D, --sender A
 *   queue destinations [--json]   where the queue goes to, by age, and what is wrong there
 *   mailbox list                  how many messages and octets, by account
 *   mailbox export ADDRESS        all messages as mboxrd, with LF
 *   account add ADDRESS           a second line holds the password; an account
 *                                 that exists gets the new password
 *   account list
 *   account remove ADDRESS        with its whole mailbox
 *
 * A job is stepped: each step adds some text and never blocks for long, so
 * that a queue of a million messages does not stop the server, and no step's
 * text is longer than a few messages, whatever the length of the queue.  A job
 * sees the queue as it is step by step: messages may come and go meanwhile.
 */
#ifndef SERVER_DRIVE_ADMIN_H
#define SERVER_DRIVE_ADMIN_H

#include "base/buf.h"
#include "base/err.h"
#include "reference-server/drive/server.h"

struct admin_job;

enum admin_step {
	ADMIN_MORE, /* step again, once the text could be sent */
	ADMIN_WAIT, /* wake will be called */
	ADMIN_DONE,
	ADMIN_FAILED, /* admin_error says why; text may tell what was done before */
};

struct admin_options {
	struct store *store;
	uint32_t iterations;   /* for new passwords */
	struct server *server; /* NULL: none is running; passwords are then worked out on the spot */
	void (*wake)(void *ctx);
	void *ctx;
};

/* Copies the request: its lines, LF optional at the very end. */
struct admin_job *admin_start(const struct admin_options *o, struct span request);
enum admin_step admin_step(struct admin_job *j, struct buf *text);
const struct err *admin_error(const struct admin_job *j);
/* Any time; what was handed to the store goes on without it.  Accepts NULL. */
void admin_free(struct admin_job *j);

#endif
