/*
 * smtp_client_parts: what the two halves of the SMTP client share, and nobody
 * else needs: smtp_client.c has the session (greeting to QUIT, endings),
 * smtp_client_transaction.c the messages (MAIL to final dot).
 */
#ifndef SERVER_CORE_SMTP_CLIENT_PARTS_H
#define SERVER_CORE_SMTP_CLIENT_PARTS_H

#include "reference-server/core/smtp_client.h"

/* What the session is doing. */
enum client_session {
	S_GREETING,
	S_EHLO,
	S_HELO,
	S_STARTTLS,
	S_TLS,
	S_AUTH,
	S_RUN, /* idle, or messages in slots */
	S_RSET,
	S_QUIT,
	S_CLOSED,
};

/* What a message is doing. */
enum client_where {
	W_ENVELOPE, /* MAIL, RCPT and DATA */
	W_CONTENT,
	W_FINAL_DOT,
	W_LONE_DOT, /* ends a DATA that nobody is to get (RFC 2920 3.1) */
	W_DONE,
};

void smtpc_send(struct smtp_client *c, const char *line);
void smtpc_end(struct smtp_client *c, const struct smtp_result *r, bool untried, bool doubt);
void smtpc_end_nonsense(struct smtp_client *c, const char *text);
void smtpc_end_by_reply(struct smtp_client *c);
struct smtp_client_slot *smtpc_current(struct smtp_client *c);
void smtpc_reply_result(struct smtp_result *r, const struct smtp_client *c, enum smtp_class class_,
			enum smtp_stage stage);
unsigned smtpc_first_digit(const struct smtp_client *c);
enum smtp_class smtpc_reply_class(const struct smtp_client *c);
enum smtp_client_wish smtpc_wish(const struct smtp_client *c);
enum smtp_stage smtpc_slot_stage(const struct smtp_client_slot *s);
void smtpc_finish(struct smtp_client_slot *s, const struct smtp_result *r);
void smtpc_decide(struct smtp_client_slot *s, const struct smtp_result *r);

/* What was said, from there on, as a mutant says it; a reply, as it hears it: smtp_client_mutant.c. */
#ifdef MUTANTS
void smtpc_mutant_says(struct buf *out, size_t from);
void smtpc_mutant_hears(struct smtp_client *c);                        /* a whole reply */
void smtpc_mutant_carries(struct buf *out, size_t from, bool chunked); /* content */
#else
#define smtpc_mutant_hears(c) ((void)(c))
#define smtpc_mutant_says(out, from) ((void)(from))
#define smtpc_mutant_carries(out, from, chunked) ((void)(from))
#endif

/* A reply while the session runs: smtp_client_transaction.c. */
void smtpc_on_message_reply(struct smtp_client *c);

#endif
