/*
 * smtp_out: one connection to a next hop: drives core/smtp_client on a conn.
 *
 * It is given the addresses of a destination in order and uses the first that
 * speaks SMTP with it.  Then it pulls deliveries, one after another, until
 * there are none, waits idle for more (smtp_out_poke), and leaves with QUIT.
 * policy/tls_policy says for each host how it must be protected, from the
 * settings at the time of connecting.  Where TLS is opportunistic, a failed
 * handshake is followed by one more connection to the same address without.
 */
#ifndef SERVER_DRIVE_SMTP_OUT_H
#define SERVER_DRIVE_SMTP_OUT_H

#include "reference-server/drive/message.h"
#include "reference-server/drive/server.h"
#include "reference-server/drive/targets.h"

struct smtp_out;

struct smtp_out_owner {
	void *ctx;
	/* The server answered EHLO; deliveries are about to be pulled. */
	void (*on_ready)(void *ctx, struct smtp_out *o);
	/* The next delivery, or NULL when there is none now.  Lent until on_result. */
	struct handover *(*next)(void *ctx, struct smtp_out *o);
	/* d->results and d->remote_mta are filled; d is the owner's again. */
	void (*on_result)(void *ctx, struct smtp_out *o, struct handover *d);
	/*
	 * It is gone, and every delivery was handed back.  failure: NULL when it
	 * had been ready, else why no address could be used.
	 */
	void (*on_end)(void *ctx, struct smtp_out *o, const struct smtp_result *failure);
};

/*
 * Uses targets.  wish: of all the messages; with REQUIRED, hosts that cannot keep
 * it are passed over (RFC 8689 4.2.1).  Callbacks never come from inside this call.
 */
struct smtp_out *smtp_out_new(struct server *server, const struct smtp_out_owner *owner,
			      struct targets *targets, enum tls_wish wish);

/* There may be something to pull. */
void smtp_out_poke(struct smtp_out *o);
bool smtp_out_is_ready(const struct smtp_out *o);
bool smtp_out_is_idle(const struct smtp_out *o);

/* An idle one says QUIT now, others when they are done.  on_end follows. */
void smtp_out_finish(struct smtp_out *o);

/* Cuts the connection, calls nobody, frees what was lent to it.  For shutting down. */
void smtp_out_abort(struct smtp_out *o);

#endif
