/*
 * smtp_session: one client's connection to the smtp, submission or
 * submissions service: drives core/smtp_server on a conn.
 *
 * Replies to final dots wait in slots until the store has made the message
 * durable; what is emitted behind a slot waits with it, while the session goes
 * on reading.  Content beyond SMALL_BYTES_MAX streams into the store while it
 * arrives, so one message never holds more memory than that.
 *
 * Sessions own themselves: they end with their connection, or at
 * smtp_session_close_all.
 */
#ifndef SERVER_DRIVE_SMTP_SESSION_H
#define SERVER_DRIVE_SMTP_SESSION_H

#include "base/addr.h"
#include "reference-server/drive/server.h"

/* Takes fd. */
void smtp_session_start(struct server *server, enum service service, int fd, const struct addr *peer);

/* 421 to all that wait for a command; those in mid message get it afterwards.  For shutting down. */
void smtp_session_close_all(struct server *server);
uint32_t smtp_session_count(void);
/* Cuts what is left. */
void smtp_session_abort_all(void);

/* Core settings of a service, made from the configuration; borrowed by sessions, so made anew, never changed.
 */
struct smtp_profile;
struct smtp_profile *smtp_profile_new(const struct config *config, enum service service);
void smtp_profile_free(struct smtp_profile *p);

#endif
