/*
 * smtp_result: what became of one recipient, or of one connection, on the
 * sending side.
 *
 * A plain value that owns its text, so that it outlives the conversation: it
 * goes into retry decisions, logs and DSNs.  Stages double as the names of
 * the time-outs of RFC 5321 4.5.3.2.
 */
#ifndef SERVER_CORE_SMTP_RESULT_H
#define SERVER_CORE_SMTP_RESULT_H

#include "reference-server/core/smtp_reply.h"

/* Where a conversation is, where it failed, and which time-out counts. */
enum smtp_stage {
	SMTP_STAGE_CONNECT, /* before smtp_client_init: for drivers' own results */
	SMTP_STAGE_GREETING,
	SMTP_STAGE_EHLO, /* and HELO */
	SMTP_STAGE_STARTTLS,
	SMTP_STAGE_TLS, /* handshake */
	SMTP_STAGE_AUTH,
	SMTP_STAGE_IDLE, /* READY */
	SMTP_STAGE_MAIL,
	SMTP_STAGE_RCPT,
	SMTP_STAGE_DATA,
	SMTP_STAGE_CONTENT,
	SMTP_STAGE_FINAL_DOT,
	SMTP_STAGE_RSET,
	SMTP_STAGE_QUIT,
	SMTP_STAGE_COUNT,
};

enum smtp_class {
	SMTP_CLASS_OK,
	SMTP_CLASS_TEMPORARY,
	SMTP_CLASS_PERMANENT,
	SMTP_CLASS_TOO_MANY,  /* recipients only: again at once, another transaction */
	SMTP_CLASS_NOT_TRIED, /* recipients only: again at once, another connection */
	SMTP_CLASS_COUNT,
};

struct smtp_result {
	enum smtp_class class_;
	enum smtp_stage stage;
	uint16_t code;             /* 0: not from the server */
	struct smtp_status status; /* always there; x.0.0 when the server gave none */
	bool in_doubt;             /* TEMPORARY, but the server may have taken the message */
	uint16_t text_bytes;
	char text[SMTP_REPLY_TEXT_BYTES_MAX]; /* printable ASCII, not terminated: smtp_result_text() */
};

static inline struct span smtp_result_text(const struct smtp_result *r)
{
	return (struct span){ r->text, r->text_bytes };
}

/*
 * Fills *r; text is escaped and cut.  A status of class 0 becomes x.0.0.  For
 * drivers' own results too (connect, DNS).
 */
void smtp_result_set(struct smtp_result *r, enum smtp_class class_, enum smtp_stage stage, uint16_t code,
		     struct smtp_status status, struct span text);

/* Our own verdict: no code, 4.subject.detail or (PERMANENT) 5.subject.detail, a few words. */
void smtp_result_set_own(struct smtp_result *r, enum smtp_class class_, enum smtp_stage stage,
			 uint16_t subject, uint16_t detail, const char *text);

/* Copies no more text than there is. */
void smtp_result_copy(struct smtp_result *to, const struct smtp_result *from);

/* RFC 5321 4.5.3.2; where it names none, what is reasonable. */
int64_t smtp_stage_timeout_ms(enum smtp_stage stage);

const char *smtp_stage_name(enum smtp_stage stage); /* "final-dot" */
const char *smtp_class_name(enum smtp_class class_);

#endif
