/*
 * smtp_server_parts: what the parts of the SMTP server share, and nobody else
 * needs.
 *
 *	smtp_server.c              the table of commands, states, lines, small commands
 *	smtp_server_ehlo.c         EHLO, HELO: who is there, what is offered
 *	smtp_server_auth.c         AUTH
 *	smtp_server_transaction.c  MAIL and RCPT
 *	smtp_server_content.c      DATA, and what is said about any content
 *	smtp_server_chunk.c        BDAT
 *	smtp_server_verify.c       VRFY and EXPN
 */
#ifndef SERVER_CORE_SMTP_SERVER_PARTS_H
#define SERVER_CORE_SMTP_SERVER_PARTS_H

#include "reference-server/core/smtp_server.h"

enum { CRLF_BYTES = 2 };

#define IN(state) (1u << (state))
#define IN_TRANSACTION (IN(SMTP_STATE_MAIL) | IN(SMTP_STATE_RCPT))
#define ANYTIME (IN(SMTP_STATE_GREETED) | IN(SMTP_STATE_READY) | IN_TRANSACTION | IN(SMTP_STATE_BDAT))

/* ---- commands: arg is what follows the verb and a blank ---- */

typedef void command_fn(struct smtp_server *s, struct span arg);

command_fn smtps_on_ehlo, smtps_on_helo, smtps_on_mail, smtps_on_rcpt, smtps_on_data, smtps_on_bdat,
	smtps_on_auth, smtps_on_vrfy, smtps_on_expn;

/* ---- replies ---- */

struct smtps_text {
	char p[SMTP_COMMAND_BYTES_MAX]; /* RFC 5321 4.5.3.1.5 */
	size_t n;
};

void smtps_text_add(struct smtps_text *t, struct span part);
void smtps_text_add_u64(struct smtps_text *t, uint64_t value);

void smtps_reply(struct smtp_server *s, struct span line);
/* before + middle + after, as one line. */
void smtps_reply3(struct smtp_server *s, struct span before, struct span middle, struct span after);
/* One more of what is answered, but not for ever: at max, unless that is 0, this line follows and the session ends. */
void smtps_count(struct smtp_server *s, uint32_t *counter, uint32_t max, struct span last_line);
/* Behind the reply to a command that brings no mail. */
void smtps_count_idle(struct smtp_server *s);
/* A mistake of the client: answered, counted, and in the end too many. */
void smtps_error(struct smtp_server *s, struct span line);

/* ---- the session ---- */

/* The only place where the state changes. */
void smtps_enter(struct smtp_server *s, enum smtp_state next);
bool smtps_is_lmtp(const struct smtp_server *s);
bool smtps_in_transaction(const struct smtp_server *s);
void smtps_begin_transaction(struct smtp_server *s);
/* enum smtp_offer bits: what is offered now, in this session and role. */
unsigned smtps_offers(const struct smtp_server *s);

/* ---- AUTH ---- */

struct span smtps_offered_mechanisms(const struct smtp_server *s);
bool smtps_can_auth(const struct smtp_server *s);
void smtps_on_auth_response(struct smtp_server *s, struct span line);
/* The exchange ends with this reply. */
void smtps_cancel_auth(struct smtp_server *s, struct span line);

/* ---- content ---- */

void smtps_begin_content(struct smtp_server *s);
/* What speaks against it, as a reply line; empty when nothing does. */
struct span smtps_judge_content(const struct smtp_server *s);
void smtps_take_run(struct smtp_server *s, struct span run);
void smtps_finish_content(struct smtp_server *s);
/* A step uses bytes of `in`; false when it needs more. */
bool smtps_step_content(struct smtp_server *s, struct span in, size_t *ret_used_bytes);

/* Begins a chunk.  With a refusal its octets are discarded before that is said. */
void smtps_take_chunk(struct smtp_server *s, struct span arg, struct span refusal, bool counts);
bool smtps_step_chunk(struct smtp_server *s, struct span in, size_t *ret_used_bytes);

/* ---- smtp_server_mutant.c, where there are mutants: true when it answered, or greeted ---- */
#ifdef MUTANTS
bool smtps_mutant_answers(struct smtp_server *s, struct span command_line);
bool smtps_mutant_greets(struct smtp_server *s);
#else
#define smtps_mutant_answers(s, line) false
#define smtps_mutant_greets(s) false
#endif

#endif
