/*
 * pop3_server_parts: what the parts of the POP3 server share, and nobody else
 * needs.
 *
 *	pop3_server.c          the table of commands, states, lines
 *	pop3_server_login.c    AUTHORIZATION, and what works in both states: CAPA, LANG
 *	pop3_server_mailbox.c  TRANSACTION and QUIT: marks and listings
 *	pop3_server_content.c  what RETR and TOP send
 */
#ifndef SERVER_CORE_POP3_SERVER_PARTS_H
#define SERVER_CORE_POP3_SERVER_PARTS_H

#include "reference-server/core/pop3_server.h"

typedef void command_fn(struct pop3_server *s, struct span argument);

command_fn pop3_on_user, pop3_on_pass, pop3_on_auth, pop3_on_stls, pop3_on_utf8, pop3_on_capa, pop3_on_lang,
	pop3_on_quit, pop3_on_stat, pop3_on_list, pop3_on_uidl, pop3_on_retr, pop3_on_top, pop3_on_dele,
	pop3_on_noop, pop3_on_rset;

/* ---- pop3_server.c ---- */

void pop3_reply(struct pop3_server *s, const char *line);
/* A protocol error or a failed login.  Nothing may stand between USER and PASS (RFC 1939 7), not even that. */
void pop3_reply_error(struct pop3_server *s, const char *line);
/* The only place where the state changes. */
void pop3_enter(struct pop3_server *s, enum pop3_state next);

/* ---- pop3_server_login.c ---- */

/* A line inside an AUTH exchange. */
void pop3_on_auth_line(struct pop3_server *s, struct span line);
/* The exchange is over, and the driver is to know. */
void pop3_cancel_auth(struct pop3_server *s, const char *line);

/* ---- pop3_server_mailbox.c ---- */

/* As deleted. */
void pop3_mark(struct pop3_server *s, struct pop3_message *m);

#endif
