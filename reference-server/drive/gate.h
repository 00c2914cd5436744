/*
 * gate: who may come in.  Counts connections while they last, to the closing
 * of the descriptor: all of them against limits.connections, and those of each
 * client (an IPv4 address, or the /64 of an IPv6 one) against
 * limits.connections_per_address.
 *
 * Clients that relay_from names are not held to the second: they are our own.
 *
 * Who is one too many is told, counted and closed here: 421 4.3.2 for all of
 * us, 421 4.7.0 for the client's own; -ERR [SYS/TEMP] in POP3 (RFC 3206 4);
 * nothing where TLS would have to come first.
 */
#ifndef SERVER_DRIVE_GATE_H
#define SERVER_DRIVE_GATE_H

#include "base/addr.h"
#include "base/conn.h"
#include "reference-server/config.h"

struct server;

struct gate;
struct gate *gate_new(void);
void gate_free(struct gate *g); /* when all passes are back.  Accepts NULL */

/* One connection's. */
struct gate_pass;

/* NULL: it may not, and fd has been closed. */
struct gate_pass *gate_enter(struct server *server, enum service service, int fd, const struct addr *peer);
/* The connection of one that may: its pass goes back when the descriptor has been closed. */
struct conn *gate_conn(struct gate_pass *pass, struct loop *loop, int fd, conn_fn *on_event, void *ctx);
/* For a pass without connection. */
void gate_leave(void *pass);

uint32_t gate_count(const struct gate *g);
/* Clients that have a connection. */
uint32_t gate_client_count(const struct gate *g);

/* Is peer one of relay_from? */
bool gate_trusts(const struct config *c, const struct addr *peer);

#endif
