/*
 * admin: what the commands about queue and accounts do, and the text they
 * answer, with a running server around it or on a store alone.
 *
 *   status                        one line "key: value" each
 *   queue list                    a table, in order of arrival
 *   queue show ID                 everything about one message but its content
 *   queue flush [DOMAIN]          try again now; needs a running server
 *   queue remove ID               drops it without telling the sender
 *   account add ADDRESS           a second line holds the password; an account
 *                                 that exists gets the new password
 *   account list
 *   account remove ADDRESS        with its whole mailbox
 *
 * A job is stepped: each step adds some text and never blocks for long, so
 * that a queue of a million messages does not stop the server.
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
	ADMIN_FAILED, /* admin_error says why; no text was given */
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
