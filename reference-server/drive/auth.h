/*
 * auth: proves who a client is: SASL exchanges by GNU SASL (PLAIN, LOGIN,
 * SCRAM-SHA-256) and POP3's USER/PASS, against the stored keys of accounts.
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
 */
#ifndef SERVER_DRIVE_AUTH_H
#define SERVER_DRIVE_AUTH_H

#include "base/span.h"
#include "reference-server/drive/server.h"

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

/* NULL: no such mechanism. */
struct auth_exchange *auth_start(struct auth *a, struct span mechanism, auth_fn *fn, void *ctx);

/*
 * One message of the client, base64, empty for none; the callback follows,
 * never from inside.  After anything but CHALLENGE the exchange is over, and
 * still to be freed.
 */
void auth_step(struct auth_exchange *x, struct span response_base64);

/* A name and password in the clear; one callback follows. */
struct auth_exchange *auth_password(struct auth *a, struct span name, struct span password, auth_fn *fn,
				    void *ctx);

/* Also while a step runs: its callback then never comes.  Accepts NULL. */
void auth_exchange_free(struct auth_exchange *x);

#endif
