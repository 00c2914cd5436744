/*
 * routing: finds the addresses that mail for a domain goes to: settings and
 * DNS lookups put together by policy/route (RFC 5321 5.1).
 */
#ifndef SERVER_DRIVE_ROUTING_H
#define SERVER_DRIVE_ROUTING_H

#include "reference-server/core/smtp_client.h"
#include "reference-server/drive/server.h"
#include "reference-server/drive/targets.h"

struct routing;

/*
 * targets: the callback's, with one use; or NULL and failure, with class
 * TEMPORARY or PERMANENT and stage CONNECT, which dies when the callback returns.
 */
typedef void routing_fn(void *ctx, struct targets *targets, const struct smtp_result *failure);

/* One callback follows, never from inside.  domain may be an address literal. */
struct routing *routing_start(struct server *server, struct span domain, enum tls_wish wish, routing_fn *fn,
			      void *ctx);
/* The callback never comes.  Accepts NULL; not after the callback. */
void routing_cancel(struct routing *r);

#endif
