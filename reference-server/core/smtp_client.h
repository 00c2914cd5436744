/*
 * smtp_client: the sending side of one SMTP connection, without the wire
 * (RFC 5321; SIZE 1870, PIPELINING 2920, 8BITMIME 6152, ENHANCEDSTATUSCODES
 * 2034, STARTTLS 3207, AUTH PLAIN 4954 and 4616, DSN 3461, CHUNKING and
 * BINARYMIME 3030, SMTPUTF8 6531, REQUIRETLS 8689, DELIVERBY 2852, LIMITS
 * 9422), or of one LMTP connection (RFC 2033).
 *
 * Reply bytes go in through smtp_client_feed(); commands and content are
 * appended to the driver's output buf.  What needs the driver comes back as a
 * wish.  No socket, clock or random number: a whole session runs from arrays.
 *
 *	smtp_client_init(c, &options);          after the connection is up
 *	for (;;) switch (smtp_client_feed(c, unread bytes, &used)) {
 *	case WANT_INPUT:   flush output, wait for bytes or a loss
 *	case START_TLS:    flush, drop unread input, handshake, smtp_client_tls_done()
 *	case READY:        smtp_client_start() or smtp_client_quit()
 *	case SEND_CONTENT: smtp_client_content() ... until last
 *	case DONE:         read results, smtp_client_take_done()
 *	case CLOSED:       flush, close; smtp_client_closed()
 *	}
 *
 * feed uses bytes until a wish needs an answer; with an empty span it just
 * says the present wish.  Unused bytes stay with the driver, who shows them
 * again in front of what arrives later.
 *
 * Results.  Every recipient of a started message has exactly one result when
 * DONE names that message, whatever the server says or does not say.  A
 * message is started once and comes back once.  The results array is the
 * driver's and may be read from DONE on.
 *
 * How replies are judged, beyond the first digit (RFC 5321 4.2.1, 4.3.2):
 * - 421 anywhere ends the connection; what is undecided is TEMPORARY (3.8).
 * - A greeting of 5yz says how this host feels now, before it heard of any message: 554 (3.1)
 *   is what overloaded, misconfigured and suspicious hosts say too, so it is TEMPORARY, like any refusal
 *   of the connection.  Only 521, which says that there is never mail here (RFC 7504 3), is
 *   PERMANENT, and the driver bounces only if every candidate said so.
 * - EHLO refused with 5yz (not 554): HELO.  After HELO nothing is offered.
 * - RCPT 452, or 552 (4.5.3.1.10), with status x.5.3 or without any status, after at least one
 *   recipient was accepted: TOO_MANY, to be sent at once in another
 *   transaction.  With x.5.3 but none accepted: TEMPORARY, so that the driver never loops.
 * - All recipients refused: no content is sent.  With PIPELINING and DATA
 *   answered 354 all the same, a lone final dot (RFC 2920 3.1).
 * - Transaction given up after MAIL was accepted, or refused for lack of room (RFC 1870 6.2): RSET.
 *   RSET refused: the connection is not used any more.
 * - No 8BITMIME and content_8bit, or no BINARYMIME and content_binary: PERMANENT 5.6.3, nothing
 *   sent (RFC 6152 3, RFC 3030 3): drivers convert before.  Over the announced SIZE: PERMANENT 5.3.4,
 *   nothing sent (RFC 1870 6.1).  Without SMTPUTF8 (RFC 6531 3.5), an 8-bit address: PERMANENT 5.6.7;
 *   utf8: 5.6.9.  A control byte in an address: 5.1.3 or 5.1.7.
 * - require_tls, and no TLS with a verified name: TEMPORARY 4.7.10; verified, but no REQUIRETLS:
 *   PERMANENT 5.7.30; nothing sent (RFC 8689 4.2.1).
 * - only_require_tls, and the host cannot keep it: PERMANENT 5.7.10, or 5.7.30, for the host, so that the
 *   driver tries the next one and bounces when there is none.
 * - BY with mode R, and no DELIVERBY, or a minimum above what is left: PERMANENT 5.4.7, nothing sent (RFC
 *   2852 4.1.4.1).
 * - Recipients beyond LIMITS RCPTMAX: TOO_MANY, and not sent.  smtp_client_is_spent() says when MAILMAX is
 *   reached.
 * - CHUNKING: one BDAT LAST once the envelope was answered; nothing is stuffed.  After it failed, RSET (RFC
 *   3030 2); a look-ahead message begins with RSET, because how it ended is not known yet.
 * - LMTP: each accepted recipient has a reply of its own to the final dot (RFC 2033 4.2).
 * - Content with a bare CR or LF is never sent on (RFC 5321 2.3.8): met in
 *   mid content, the connection is given up before the final dot, PERMANENT 5.6.0.
 * - Connection lost: TEMPORARY 4.4.2; after the final dot was handed out also in_doubt, because
 *   the server may have taken the message (RFC 5321 4.5.3.2.6).
 * - Lost, or 421, before any reply to the message's MAIL on a connection that
 *   has served before: NOT_TRIED.  The message is as good as untouched; give it another
 *   (fresh) connection at once.
 * - Anything that is no SMTP, and replies that nothing asked for: TEMPORARY
 *   4.5.0, closed.
 *
 * Look-ahead.  With PIPELINING a second message may be started as soon as the
 * last content byte of the first was handed over, so that content, final dot and the next
 * envelope leave in one write (RFC 2920 3.1): smtp_client_can_start() says
 * when.  At most two messages are in flight; DONE comes in start order.
 *
 * Ownership: the caller owns struct smtp_client, the output buf and all that options
 * and messages point at; the former until after CLOSED, the latter until
 * smtp_client_take_done() returned the message.  There is nothing to free.
 */
#ifndef SERVER_CORE_SMTP_CLIENT_H
#define SERVER_CORE_SMTP_CLIENT_H

#include "reference-server/core/smtp_reply.h"
#include "reference-server/core/smtp_result.h"
#include "reference-server/core/stuffing.h"

enum smtp_client_tls {
	SMTP_CLIENT_TLS_NONE,    /* never ask for it */
	SMTP_CLIENT_TLS_MAY,     /* when offered; refused: go on without */
	SMTP_CLIENT_TLS_REQUIRE, /* or close, TEMPORARY 4.7.10 */
};

enum smtp_client_wish {
	SMTP_CLIENT_WANT_INPUT,
	SMTP_CLIENT_START_TLS,
	SMTP_CLIENT_READY,
	SMTP_CLIENT_SEND_CONTENT,
	SMTP_CLIENT_DONE,
	SMTP_CLIENT_CLOSED,
	SMTP_CLIENT_WISH_COUNT,
};

struct smtp_client_options {
	struct buf *out;        /* commands and content are appended; the driver consumes */
	struct span local_name; /* EHLO argument: a domain, or an address literal */
	enum smtp_client_tls tls;
	bool tls_active;       /* the connection began with TLS */
	bool tls_verified;     /* TLS, once on, proves the host's name by a policy: for REQUIRETLS */
	bool only_require_tls; /* every message will have require_tls */
	bool lmtp;             /* LHLO, and one reply for each recipient */
	bool auth_without_tls; /* RFC 4954 4 forbids it, unless configured */
	struct span auth_user; /* empty: no AUTH.  With one, no mail goes without it */
	struct span auth_password;
};

/* RFC 3461 4.1: when to tell the sender; 0: not said. */
enum smtp_notify {
	SMTP_NOTIFY_NEVER = 1u << 0,
	SMTP_NOTIFY_SUCCESS = 1u << 1,
	SMTP_NOTIFY_FAILURE = 1u << 2,
	SMTP_NOTIFY_DELAY = 1u << 3,
};

/* What DSN says of one recipient.  Sent only to a host that announces DSN. */
struct smtp_client_dsn {
	uint8_t notify;
	struct span orcpt; /* type ";" xtext; or empty */
};

enum smtp_ret { SMTP_RET_UNSAID, SMTP_RET_FULL, SMTP_RET_HDRS };

struct smtp_client_message {
	void *tag;                   /* the driver's, untouched */
	struct span reverse_path;    /* without <>; empty is the null path */
	const struct span *rcpts;    /* without <> */
	struct smtp_result *results; /* rcpt_count of them, need no initialisation */
	uint32_t rcpt_count;         /* > 0 */
	uint64_t content_bytes;      /* for SIZE: before dot-stuffing, without the final dot */
	bool content_8bit;
	bool content_binary; /* anything, lines of any length: BINARYMIME */
	bool utf8;           /* header or addresses need SMTPUTF8 */
	bool require_tls;    /* REQUIRETLS, or not at all */
	bool prefer_tls;     /* REQUIRETLS where it can be kept: notifications (RFC 8689 5) */
	struct span envid;   /* xtext; or empty */
	enum smtp_ret ret;
	const struct smtp_client_dsn *wishes; /* rcpt_count of them, or NULL */
	bool has_by;                          /* DELIVERBY: */
	bool by_return, by_trace;
	int64_t by_s; /* left now; 0 or less only without by_return */
};

/* EHLO keywords in force. */
enum smtp_client_extension {
	SMTP_EXT_PIPELINING = 1u << 0,
	SMTP_EXT_SIZE = 1u << 1,
	SMTP_EXT_8BITMIME = 1u << 2,
	SMTP_EXT_STARTTLS = 1u << 3,
	SMTP_EXT_ENHANCED_STATUS = 1u << 4,
	SMTP_EXT_AUTH_PLAIN = 1u << 5,
	SMTP_EXT_DSN = 1u << 6,
	SMTP_EXT_CHUNKING = 1u << 7,
	SMTP_EXT_BINARYMIME = 1u << 8,
	SMTP_EXT_SMTPUTF8 = 1u << 9,
	SMTP_EXT_REQUIRETLS = 1u << 10,
	SMTP_EXT_DELIVERBY = 1u << 11,
};

/* Of no interest to drivers: one message in flight. */
struct smtp_client_slot {
	struct smtp_client_message message;
	uint8_t where;
	bool reused;         /* the connection had served before */
	bool mail_replied;   /* something was heard about it */
	bool mail_ok;        /* so the server has a transaction open */
	bool mail_full;      /* MAIL was refused for lack of room: RSET is due all the same (RFC 1870 6.2) */
	bool data_sent;      /* its reply is outstanding */
	bool chunked;        /* its content goes by BDAT */
	bool reset_open;     /* the reply to the RSET in front of it is outstanding */
	bool final_failed;   /* a reply to its end was no success */
	uint32_t rcpt_end;   /* index behind the last recipient of this transaction: RCPTMAX */
	uint32_t final_next; /* LMTP: index behind the last recipient with a final reply */
	uint32_t rcpt_next;  /* index behind the last recipient replied to (or sent, one by one) */
	uint32_t rcpt_open;  /* RCPT replies outstanding */
	uint32_t rcpt_ok;    /* accepted */
};

/* Read through the functions below. */
struct smtp_client {
	struct smtp_client_options options;
	uint8_t session;
	bool tls_on;
	bool starttls_refused;
	bool auth_done;
	bool auth_response_sent;
	bool served; /* at least one MAIL was sent */
	uint32_t extensions;
	uint64_t size_bytes_max;                 /* 0: none announced */
	uint32_t rcpt_count_max, mail_count_max; /* LIMITS; 0: none announced */
	uint64_t by_s_min;                       /* of DELIVERBY; 0: none announced */
	uint32_t mail_count;                     /* sent since EHLO */
	struct smtp_reply reply;
	uint32_t reply_count; /* whole ones */
	struct smtp_result closed;
	struct smtp_client_slot slots[2]; /* [0] is the older */
	uint32_t slot_count;
	struct stuffing stuffing;
	uint64_t chunk_bytes; /* of the BDAT under way, handed out */
};

void smtp_client_init(struct smtp_client *c, const struct smtp_client_options *options);

enum smtp_client_wish smtp_client_feed(struct smtp_client *c, struct span in, size_t *ret_used_bytes);

/*
 * After START_TLS.  ok: everything learnt is forgotten and EHLO is sent again
 * (RFC 3207 4.2).  Not ok: CLOSED, TEMPORARY 4.7.5; a driver whose policy is MAY
 * can connect again with NONE.  error_text may be empty.
 */
void smtp_client_tls_done(struct smtp_client *c, bool ok, struct span error_text);

/* True at READY, and when a look-ahead message may be started. */
bool smtp_client_can_start(const struct smtp_client *c);

/* MAILMAX is reached (RFC 9422 4.1): nothing more can be started, at READY say QUIT. */
bool smtp_client_is_spent(const struct smtp_client *c);

/* Only when smtp_client_can_start().  Copies *m, borrows what it points at. */
void smtp_client_start(struct smtp_client *c, const struct smtp_client_message *m);

/*
 * During SEND_CONTENT: the next bytes of the oldest message's content, any
 * cut; dots are stuffed here, a missing final CRLF and the final dot are added
 * after last.  At other times (the server has ended it meanwhile) nothing is sent.
 * Returns true while more content is wanted.
 */
bool smtp_client_content(struct smtp_client *c, struct span bytes, bool last);

/* The content cannot be read any more: ends the connection without the final dot; TEMPORARY 4.3.0. */
void smtp_client_abort_content(struct smtp_client *c, struct span error_text);

/* At DONE: hands back the message whose results are complete, in start order. */
struct smtp_client_message smtp_client_take_done(struct smtp_client *c);

/* At READY: sends QUIT; CLOSED follows after its reply, or a loss. */
void smtp_client_quit(struct smtp_client *c);

enum smtp_client_loss {
	SMTP_CLIENT_LOST_EOF,
	SMTP_CLIENT_LOST_ERROR,   /* reset, TLS failure */
	SMTP_CLIENT_LOST_TIMEOUT, /* the driver's timer for the present stage */
};

/*
 * The connection is gone, or given up by the driver; any time but after CLOSED.  Bytes
 * that came before must have been fed.  Open messages come as DONE, then CLOSED.
 */
void smtp_client_lost(struct smtp_client *c, enum smtp_client_loss loss, struct span error_text);

/*
 * After CLOSED: what happened to the connection.  OK: ended by QUIT, or idle and closed by the peer.
 * With a stage before IDLE the host could not be used at all: TEMPORARY or
 * PERMANENT is what it means for whatever was to be sent there.
 */
const struct smtp_result *smtp_client_closed(const struct smtp_client *c);

/* Which reply (or content, or idleness) is being waited for; smtp_stage_timeout_ms() says how long. */
enum smtp_stage smtp_client_stage(const struct smtp_client *c);

/*
 * How many replies have been read, and whether a part of the next one has: a
 * reply must be whole within the time of its stage (RFC 5321 4.5.3.2), however
 * often something more of it comes.
 */
uint32_t smtp_client_reply_count(const struct smtp_client *c);
bool smtp_client_is_in_reply(const struct smtp_client *c);

bool smtp_client_is_tls(const struct smtp_client *c);
uint32_t smtp_client_extensions(const struct smtp_client *c); /* enum smtp_client_extension bits */

const char *smtp_client_wish_name(enum smtp_client_wish wish);

#endif
