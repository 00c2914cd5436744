/*
 * smtp_tap: watches one SMTP connection from the side and says what happened.
 *
 * The owner (a link proxy, a sender, a sink) feeds what each side sent, in the
 * order in which it saw it: a reply before whatever the client sends because
 * of it.  Facts come out through one callback, during the feed that completed
 * them.  A fact carries the stream offset just behind its last byte in its
 * direction, so that a proxy can forward up to exactly there and then break
 * the link: TAP_CONTENT_END is "after the final dot, before the 250".
 *
 * The tap matches pipelined replies to commands by order (RFC 2920), follows
 * DATA, BDAT (RFC 3030), AUTH and STARTTLS, and looks into content only as far
 * as the header goes.  AUTH exchanges are never repeated in a fact.  After
 * STARTTLS or a TLS hello it is blind (TAP_ENCRYPTED), and when the dialogue
 * exceeds what it can follow it says so once (TAP_LOST) and is blind too.
 *
 * Commands end in LF with or without CR; content ends only in CRLF . CRLF.
 * Bytes that a client sends ahead of a reply it should have waited for (DATA,
 * STARTTLS, AUTH) are kept, up to TAP_HELD_BYTES_MAX, until that reply decides
 * what they are; their facts then bear the reply's time.
 */
#ifndef HARNESS_WIRE_SMTP_TAP_H
#define HARNESS_WIRE_SMTP_TAP_H

#include "base/buf.h"
#include "base/span.h"
#include "harness/wire/dots.h"
#include "harness/wire/reply.h"

enum {
	TAP_LINE_BYTES_MAX = 4096,        /* of a command line; more is not looked at */
	TAP_HEADER_BYTES_MAX = 65536,     /* of a content header; more is not looked at */
	TAP_HELD_BYTES_MAX = 1024 * 1024, /* then TAP_LOST */
	TAP_PENDING_MAX = 1024,           /* commands without reply; then TAP_LOST */
};

enum tap_fact_kind {
	TAP_GREETING,    /* the first reply of the server: code, text */
	TAP_HELLO_REPLY, /* to EHLO or HELO: code, text */
	TAP_MAIL,        /* command: path (without <>), args ("SIZE=1 BODY=8BITMIME"); a transaction begins */
	TAP_MAIL_REPLY,  /* path, code, text */
	TAP_RCPT,        /* command: path, args, recipient */
	TAP_RCPT_REPLY,  /* path, recipient, code, text */
	TAP_DATA,        /* command */
	TAP_DATA_REPLY,  /* code, text; 354 or a refusal */
	TAP_CONTENT_BEGIN, /* content is coming; the offset is just before its first byte */
	TAP_HEADER,        /* the content's header is over: text is the header, message_id its Message-ID */
	TAP_CONTENT_END,   /* final dot, or the last byte of BDAT LAST: message_id, content_bytes */
	TAP_CHUNK_REPLY,   /* to a BDAT that is not the last: code, text */
	TAP_FINAL_REPLY,   /* to the whole content: message_id, content_bytes, code, text.  May come
			      before TAP_CONTENT_END when the server does not hear it out */
	TAP_RSET,          /* command; the transaction is over */
	TAP_QUIT,          /* command */
	TAP_AUTH_REPLY,    /* final one: code, text */
	TAP_OTHER_REPLY,   /* to any other command: code, text */
	TAP_UNASKED_REPLY, /* nothing was waiting for it: code, text (421 at a time-out or shutdown) */
	TAP_ENCRYPTED,     /* blind from here */
	TAP_LOST,          /* blind from here; text says why */
};
const char *tap_fact_name(enum tap_fact_kind kind);

/* Spans are borrowed and die when the callback returns. */
struct tap_fact {
	enum tap_fact_kind kind;
	int64_t at_ns;        /* as given to the feed */
	bool from_client;     /* which stream the offset counts */
	uint64_t offset;      /* just behind the fact's last byte */
	uint32_t transaction; /* counts MAIL commands of the connection from 1; 0 before the first */
	uint32_t recipient;   /* counts RCPT commands of the transaction from 0 */
	uint16_t code;
	struct span text;
	struct span path;
	struct span args;
	struct span message_id; /* without <>; empty when the header had none */
	uint64_t content_bytes; /* without stuffed dots and end line */
	uint32_t notes;         /* replies: enum reply_note; content: enum dots_note */
};
typedef void tap_fn(void *ctx, const struct tap_fact *fact);

/* Set fn and ctx, zero the rest. */
struct smtp_tap {
	tap_fn *fn;
	void *ctx;
	/* the rest is the tap's own */
	uint64_t client_bytes;
	uint64_t server_bytes;
	int64_t now_ns;
	bool started;
	bool blind;
	unsigned char mode; /* how the client's next byte is read; see smtp_tap.c */
	uint32_t transaction;
	uint32_t recipient_count;
	struct buf line;
	struct buf held;
	struct reply_reader reply;
	struct buf pending; /* commands without reply, in order; see smtp_tap.c */
	struct buf labels;  /* their paths and Message-IDs, in the same order */
	/* content */
	struct dots_reader dots;
	struct buf header;
	struct buf message_id;
	uint64_t content_bytes;
	uint64_t chunk_bytes_left;
	bool header_done;
	bool content_begun;
	bool chunk_last;
	bool answered_early;
};

void tap_client_sent(struct smtp_tap *t, struct span bytes, int64_t now_ns);
void tap_server_sent(struct smtp_tap *t, struct span bytes, int64_t now_ns);
bool tap_is_blind(const struct smtp_tap *t);

/* Messages whose end was sent and whose reply has not come: the indeterminate ones if the link breaks now. */
uint32_t tap_unanswered_count(const struct smtp_tap *t);

/* Keeps fn and ctx; ready for another connection. */
void tap_reset(struct smtp_tap *t);
void tap_free(struct smtp_tap *t);

#endif
