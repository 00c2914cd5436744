/*
 * sink: an SMTP or LMTP server that takes everything and keeps nothing, unless its
 * rules say otherwise.  A next hop for tests, a null sink for calibration.
 *
 * Offers PIPELINING, 8BITMIME, SIZE, ENHANCEDSTATUSCODES, CHUNKING and, with a
 * TLS context, STARTTLS; each can be left out.  Rules change what it answers,
 * the first that fits wins.  It listens on loopback only, or in a private
 * network (world/network.h).
 */
#ifndef HARNESS_PEER_SINK_H
#define HARNESS_PEER_SINK_H

#include "base/addr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/span.h"
#include "base/tls.h"

enum sink_stage {
	SINK_GREETING,
	SINK_HELLO,
	SINK_STARTTLS,
	SINK_HANDSHAKE, /* in its place, once the client has begun it; no reply, but raw bytes, after which nothing
			   is said or heard any more */
	SINK_MAIL,
	SINK_RCPT,
	SINK_DATA,
	SINK_CHUNK, /* after a BDAT that is not the last */
	SINK_FINAL, /* after the final dot or BDAT LAST */
	SINK_RSET,
	SINK_QUIT,
	SINK_CHALLENGE, /* of AUTH, each */
	SINK_AUTH,      /* the reply that ends it */
	SINK_STAGE_COUNT,
};

enum sink_action {
	SINK_REPLY,
	SINK_CLOSE,  /* FIN; with a reply text, after it */
	SINK_RESET,  /* RST */
	SINK_SILENT, /* never answers this one, nor anything behind it */
	/* The one piece without end, with its pause between, until the client goes; RST at last (SINK_FLOOD_…). */
	SINK_FLOOD,
};

enum { SINK_FLOOD_BYTES_MAX = 32 * 1024 * 1024, SINK_FLOOD_MS_MAX = 60000 };

/* One write, after a pause. */
struct sink_piece {
	int64_t pause_ms;
	struct span bytes;
};

/* Strings are borrowed and outlive the sink. */
struct sink_rule {
	enum sink_stage stage;
	const char *path; /* MAIL, RCPT, and with LMTP FINAL: only when the path contains this; HELLO: EHLO or
			      HELO; NULL: any */
	uint32_t from_nth; /* applies from the nth time the stage and path fit, from 1; 0: from the first */
	uint32_t count;    /* that many times; 0: for ever */
	enum sink_action action;
	const char *reply; /* "450 4.2.1 busy", lines joined by \r\n, without the last CRLF; NULL: the usual
			      one */
	int64_t delay_ms;  /* before it acts */
	/* In place of reply: exactly these bytes, one after the other.  The first decides whether it is a good reply. */
	const struct sink_piece *pieces;
	uint32_t piece_count;
};

/* Spans die when the callback returns. */
struct sink_message {
	uint64_t connection; /* from 1 */
	uint32_t nth;        /* accepted messages of the sink, from 1 */
	int64_t final_dot_ns;
	struct span reverse_path;
	const struct span *recipients; /* accepted ones */
	uint32_t recipient_count;
	struct span content; /* unstuffed; empty unless keep_content */
	struct span
		wire; /* as it was said behind DATA, its end included; empty unless keep_content, and with BDAT */
	uint64_t content_bytes;
	uint32_t dots_notes; /* enum dots_note */
	bool over_tls;
};
/* Called when the final reply is about to be given and is a 2xx. */
typedef void sink_message_fn(void *ctx, const struct sink_message *m);
/* Called for every command line, before it is answered; without logins AUTH arguments are left out. */
typedef void sink_command_fn(void *ctx, uint64_t connection, struct span line);

/* What happens on a connection, for a record of it. */
enum sink_event_kind {
	SINK_OPENED,
	SINK_HEARD,   /* bytes, as they were read */
	SINK_SAID,    /* bytes, as they were written */
	SINK_SECURED, /* a TLS handshake is over; text: version and cipher; server_name */
	SINK_LEFT,    /* the client ended the connection, or it was lost; text says how */
	SINK_ENDED,   /* we did */
};
struct sink_event {
	enum sink_event_kind kind;
	uint64_t connection;
	struct span bytes;
	const char *text;        /* NULL: nothing to say */
	const char *server_name; /* that the client asked for; NULL: none */
};
typedef void sink_event_fn(void *ctx, const struct sink_event *e);

/* Called when a rule is about to be followed, before anything is said. */
typedef void sink_rule_fn(void *ctx, uint64_t connection, const struct sink_rule *r);
/* Called when the last open connection has ended; its last reply may not have been written yet. */
typedef void sink_quiet_fn(void *ctx);

/*
 * AUTH (RFC 4954), without which MAIL is refused: mechanisms are the caller's; messages are bytes, base64 is undone.
 * What clients say is in the record.
 */
enum sink_login_step { SINK_LOGIN_MORE, SINK_LOGIN_GOOD, SINK_LOGIN_BAD };
/* Response: NULL when there is none yet.  Text: the challenge, or why it is refused. */
typedef enum sink_login_step sink_login_step_fn(void *exchange, const struct span *response,
						struct buf *ret_text);
struct sink_login {
	const char *mechanisms;                           /* "PLAIN LOGIN" */
	void *(*begin)(void *ctx, struct span mechanism); /* an exchange; NULL: no such mechanism */
	sink_login_step_fn *step;
	void (*end)(void *exchange);
	void *ctx;
};

struct sink_options {
	struct loop *loop;
	struct addr at; /* port 0: any free one */
	bool in_private_network;
	const char *name; /* greeting and EHLO; NULL: "sink.example" */
	struct tls_ctx *tls_ctx;
	bool implicit_tls;
	bool no_pipelining;
	bool no_8bitmime;
	bool no_chunking;
	bool no_starttls;
	bool lmtp;    /* RFC 2033: LHLO, and a final reply for each recipient */
	bool no_ehlo; /* EHLO draws 500 */
	const char *
		keywords; /* what EHLO offers but for STARTTLS, each with a LF behind it; NULL: the usual, by the
				 flags above */
	const struct sink_login *login; /* NULL: none is offered */
	bool keep_content;
	uint64_t content_bytes_max; /* 0: 256 MiB; larger is answered 552 */
	const struct sink_rule *rules;
	uint32_t rule_count;
	sink_message_fn *on_message; /* may be NULL */
	sink_command_fn *on_command; /* may be NULL */
	sink_message_fn *on_content; /* every content that ended, whatever is answered; may be NULL */
	sink_event_fn *on_event;     /* may be NULL */
	sink_rule_fn *on_rule;       /* may be NULL */
	sink_quiet_fn *on_quiet;     /* may be NULL */
	void *ctx;
};

struct sink *sink_new(const struct sink_options *o, struct err *reterr);
const struct addr *sink_addr(const struct sink *s);
/* In on_command: whether the client had said more by then, before this command was answered. */
bool sink_heard_more(const struct sink *s);
/* In on_command: whether the line ended in CRLF; LF alone is heard as an end, too. */
bool sink_heard_crlf(const struct sink *s);
uint32_t sink_message_count(const struct sink *s);
uint64_t sink_content_bytes(const struct sink *s);
uint32_t sink_connection_count(const struct sink *s); /* open now */
uint64_t sink_connections_total(const struct sink *s);
void sink_free(struct sink *s); /* closes all; accepts NULL */

#endif
