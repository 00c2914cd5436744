/*
 * auth: proves who a client is: SASL exchanges by GNU SASL (PLAIN, LOGIN,
 * SCRAM-SHA-256, and SCRAM-SHA-256-PLUS bound to the TLS connection: RFC 5802,
 * 5929, 9266) and POP3's USER/PASS, against the stored keys of accounts.
 *
 * Every step runs on the helper pool, because checking a password costs
 * milliseconds, and answers on the loop.  A bounded cache remembers which
 * passwords were found right, as an HMAC under a key of this process that
 * covers the account's stored key, so a changed account never matches.
 *
 * Names are full addresses; one without a domain belongs to the first local
 * domain.  Unknown names cost as much as known ones, and SCRAM answers them
 * with a salt of their own that stays the same, so that names cannot be
 * guessed from either.
 *
 * Names and passwords are prepared (SASLprep, RFC 4013); what cannot be is
 * refused like a wrong one.
 *
 * A client that could have bound itself to the connection and says that the
 * server does not offer it was lied to by somebody between (RFC 5802 6):
 * refused.
 *
 * A refusal is answered late: after auth.failure_delay, doubled by each earlier
 * one from the same address (the same /64 for IPv6), up to
 * AUTH_DELAY_MS_MAX; the address is forgotten after AUTH_FORGET_MS without one.
 * Only that answer waits, nothing else does.
 */
#ifndef SERVER_DRIVE_AUTH_H
#define SERVER_DRIVE_AUTH_H

#include "base/conn.h"
#include "base/span.h"
#include "reference-server/drive/server.h"

enum {
	AUTH_DELAY_MS_MAX = 30 * 1000,
	AUTH_FORGET_MS = 15 * 60 * 1000,
	AUTH_ADDRESSES_MAX = 65536, /* whose refusals are counted */
};

struct auth;
struct auth *auth_new(struct server *server);
void auth_free(struct auth *a);

enum auth_result {
	AUTH_CHALLENGE, /* text: base64 to send; then auth_step with the answer */
	AUTH_OK,        /* text: the account's address */
	AUTH_BAD,       /* wrong name or password */
	AUTH_MALFORMED, /* not what the mechanism says */
	AUTH_TROUBLE,   /* our own */
};

/* text dies when the callback returns. */
typedef void auth_fn(void *ctx, enum auth_result result, struct span text);

struct auth_exchange;

/* Whether the mechanism begins with a question of the server, so that no response goes with AUTH (RFC 5034 4). */
bool auth_server_begins(struct span mechanism);

/*
 * NULL: no such mechanism, or it cannot be bound to this connection.  conn is
 * the client's, for its address and its TLS; used in this call only.
 */
struct auth_exchange *auth_start(struct auth *a, const struct conn *conn, struct span mechanism, auth_fn *fn,
				 void *ctx);

/*
 * One message of the client, base64; given: false when its command came without
 * one, which is not the same as an empty one.  The callback follows, never from
 * inside.  After anything but CHALLENGE the exchange is over, and
 * still to be freed.
 */
void auth_step(struct auth_exchange *x, struct span response_base64, bool given);

/* A name and password in the clear; one callback follows. */
struct auth_exchange *auth_password(struct auth *a, const struct conn *conn, struct span name,
				    struct span password, auth_fn *fn, void *ctx);

/* Also while a step runs: its callback then never comes.  Accepts NULL. */
void auth_exchange_free(struct auth_exchange *x);

#endif
