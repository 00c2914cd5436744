/*
 * pop3_session: one client's connection to the pop3 or pop3s service: drives
 * core/pop3_server on a conn (RFC 1939, RFC 2595, RFC 5034, RFC 8314).
 *
 * A mailbox belongs to one session at a time (RFC 1939 4); it is locked here,
 * in this process, because only one process has the store.  The session sees
 * the messages that were there when it began.  Content is read from the store
 * in pieces, and only as fast as the client takes it, so a session never holds
 * a large message in memory.  QUIT is answered when the removal is durable.
 *
 * Plaintext logins are taken under TLS only, unless auth_plain_without_tls.
 * A session that is silent for timeouts.pop3_ms ends without removing anything
 * (RFC 1939 3).
 *
 * Sessions own themselves: they end with their connection, or as asked below.
 */
#ifndef SERVER_DRIVE_POP3_SESSION_H
#define SERVER_DRIVE_POP3_SESSION_H

#include "base/addr.h"
#include "reference-server/drive/server.h"

/* Takes fd. */
void pop3_session_start(struct server *server, enum service service, int fd, const struct addr *peer);

/*
 * -ERR [SYS/TEMP] and close for those that wait for a command; those in mid
 * message or removing get it afterwards.  For shutting down.
 */
void pop3_session_close_all(struct server *server);
uint32_t pop3_session_count(void);
/* Cuts what is left. */
void pop3_session_abort_all(void);

#endif
