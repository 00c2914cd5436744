/*
 * pop3_server: one POP3 session, without the wire (RFC 1939; CAPA, RESP-CODES,
 * PIPELINING, EXPIRE, LOGIN-DELAY RFC 2449; AUTH-RESP-CODE RFC 3206; STLS RFC
 * 2595; AUTH RFC 5034; UTF8, LANG RFC 6856).
 *
 * Command bytes go in through pop3_server_feed(), responses are appended to
 * the driver's output buf, and what needs the outside world comes back as a
 * wish.  No socket, clock or mailbox is touched here.
 *
 * A wish stays until it is answered with the function named beside it; until
 * then feed uses nothing and says the wish again.  After the answer the driver
 * feeds the bytes it still has.  Pipelined commands just wait in the driver's
 * input; no reply is held back.
 *
 * Input bytes are never repaired.  A line with a bare CR or LF, or longer than
 * 255 bytes with CRLF (RFC 2449 4), is answered -ERR as soon as that is seen,
 * and swallowed up to its CRLF.  Responses to AUTH challenges may have
 * POP3_AUTH_LINE_BYTES_MAX.  Empty and nonsensical lines are errors like any
 * other.  The error_count_max'th error is answered and ends the session.
 *
 * Split invariance: the same bytes in any split give the same output and the
 * same wishes.
 *
 * The mailbox.  The driver opens and locks it, and hands over a table that
 * does not change until the session ends; message numbers are table index +
 * 1.  Only `deleted` is written here.  Messages go for good in UPDATE only,
 * which is entered by QUIT in TRANSACTION and nothing else (RFC 1939 6).
 *
 * octets must be exact: what RETR sends, every line end counted as two,
 * stuffing dots and the final "." CRLF not counted (RFC 1939 11).  Content has
 * CRLF line ends; a missing last CRLF is added when it is sent, and the driver
 * counts it in octets.
 *
 * UTF-8 mode (RFC 6856 2.1).  A client that has not said UTF8 does not get a
 * message whose header holds UTF-8: RETR and TOP are answered -ERR [UTF8], and
 * may be said again in a session that begins with UTF8.  For that the driver
 * shows the header with pop3_server_look() before it streams.  Header bytes
 * that are neither ASCII nor UTF-8 were never right in any mode, so they stop
 * nothing.  Bodies have their charset named by MIME and are 8 bit for all.
 *
 * The only language is English (LANG, RFC 6856 3).
 */
#ifndef SERVER_CORE_POP3_SERVER_H
#define SERVER_CORE_POP3_SERVER_H

#include "reference-server/core/stuffing.h"

enum {
	POP3_COMMAND_BYTES_MAX = 255, /* with CRLF */
	POP3_AUTH_LINE_BYTES_MAX = 12288,
	POP3_UIDL_BYTES_MAX = 70, /* RFC 1939 7 */
};

/* Owned by the driver, shared by many sessions, constant while they live. */
struct pop3_server_config {
	struct span host;         /* in the greeting */
	uint32_t error_count_max; /* bad commands and failed logins; this many: close.  0: no maximum
				   */
	bool offer_stls;
	bool login_without_tls;          /* USER/PASS in clear (RFC 2595 2.3); default no */
	struct span mechanisms_clear;    /* SASL mechanisms offered without TLS; empty: none */
	struct span mechanisms_tls;      /* "SCRAM-SHA-256 PLAIN": under TLS */
	uint32_t auth_failure_count_max; /* so many failed logins end the session; 0: no maximum */
	uint32_t login_delay_s;          /* announced, when there is one; the driver enforces it */
	uint32_t expire_days;            /* announced; the driver does it.  0: never */
};

enum pop3_state {
	POP3_STATE_AUTHORIZATION,
	POP3_STATE_AUTH, /* inside an AUTH exchange */
	POP3_STATE_TLS,  /* +OK to STLS is out, handshake to come */
	POP3_STATE_TRANSACTION,
	POP3_STATE_UPDATE,
	POP3_STATE_CLOSED,
	POP3_STATE_COUNT,
};

enum pop3_wish {
	/* Flush the output; feed again with more bytes behind the unused ones. */
	POP3_WISH_INPUT,

	/* USER and PASS are complete: s->user, s->password (borrows from the input).
	   pop3_server_auth_succeed() / _fail(). */
	POP3_WISH_LOGIN,

	/*
	 * AUTH: s->auth_mechanism (as written, but one of those offered) and,
	 * when s->auth_response_given, s->auth_response: valid base64 or empty, not
	 * decoded.  pop3_server_auth_challenge(), _succeed() or _fail().
	 * All borrow from the input, used bytes included: valid until the driver drops them.
	 */
	POP3_WISH_AUTH,
	/* The response to a challenge, in s->auth_response; answered like AUTH. */
	POP3_WISH_AUTH_STEP,
	/* The exchange ended without the driver ("*", not base64, too long); replied.  Drop its state, feed
	   on. */
	POP3_WISH_AUTH_CANCELLED,

	/*
	 * Authenticated; lock and open the mailbox of s->user (or of the SASL identity the driver knows):
	 * pop3_server_opened() or pop3_server_open_failed().
	 */
	POP3_WISH_OPEN,

	/* +OK is out: flush, drop every byte received behind `used` (RFC 2595 4), handshake,
	   pop3_server_tls_started(). */
	POP3_WISH_STLS,

	/*
	 * RETR or TOP: message s->wanted_index of the table.  Unless s->utf8, show
	 * its header with pop3_server_look().  Stream with pop3_server_content(), or
	 * say pop3_server_content_failed().
	 */
	POP3_WISH_RETRIEVE,

	/*
	 * QUIT: remove every message marked deleted, then
	 * pop3_server_updated().  Only when something is marked.
	 */
	POP3_WISH_UPDATE,

	/* Send what is there, close, unlock.  Nothing may be fed any more. */
	POP3_WISH_CLOSE,
	POP3_WISH_COUNT,
};

struct pop3_message {
	uint64_t octets;
	struct span uidl; /* 1 to 70 bytes of 0x21 to 0x7E */
	bool deleted;     /* written by the session */
};

/* Read by the driver, written here only. */
struct pop3_server {
	const struct pop3_server_config *config;
	struct buf *out;
	enum pop3_state state;
	enum pop3_wish wish; /* unanswered, or INPUT */
	bool tls;
	bool utf8; /* the client has said UTF8 */

	struct span user; /* of USER, in LOGIN and after it; empty after AUTH.  Borrows from this struct */
	struct span password;       /* during LOGIN; borrows from the input */
	struct span auth_mechanism; /* during AUTH only; empty in AUTH_STEP */
	struct span auth_response;
	bool auth_response_given;

	struct pop3_message *messages;
	uint32_t message_count;
	uint32_t deleted_count;
	uint64_t deleted_octets;
	uint64_t total_octets;

	uint32_t wanted_index;
	bool wanted_top; /* only header and top_lines of the body; the rest need not be given */
	uint64_t top_lines;

	uint64_t command_count; /* lines that were taken as one, malformed ones included */

	/* Of no interest to drivers. */
	uint32_t error_count;
	uint32_t auth_failure_count;
	uint32_t utf8_point;     /* of the character that look is in */
	uint32_t utf8_left;      /* its bytes to come */
	uint32_t utf8_point_min; /* less would be an overlong form */
	bool swallowing;
	bool content_begun;
	bool top_in_body;
	bool top_line_empty; /* nothing but a CR so far */
	struct stuffing stuffing;
	char user_text[POP3_COMMAND_BYTES_MAX];
};

/* tls: implicit TLS, the connection is protected already. */
void pop3_server_init(struct pop3_server *s, const struct pop3_server_config *config, struct buf *out,
		      bool tls);

/* Appends the greeting; once, before the first feed. */
void pop3_server_greet(struct pop3_server *s);

enum pop3_wish pop3_server_feed(struct pop3_server *s, struct span in, size_t *ret_used_bytes);

/* challenge is base64, or empty. */
void pop3_server_auth_challenge(struct pop3_server *s, struct span challenge);
/* No reply yet: the next wish is OPEN, whose answer is the reply. */
void pop3_server_auth_succeed(struct pop3_server *s);

enum pop3_auth_failure {
	POP3_AUTH_BAD_CREDENTIALS, /* -ERR [AUTH] */
	POP3_AUTH_TEMPORARY,       /* -ERR [SYS/TEMP] */
	POP3_AUTH_SERVER_FIRST,    /* initial response where the server speaks first (RFC 5034 4) */
	POP3_AUTH_MALFORMED,
	POP3_AUTH_FAILURE_COUNT,
};
void pop3_server_auth_fail(struct pop3_server *s, enum pop3_auth_failure why);

/* messages: the driver's, count entries, deleted all false; until CLOSE. */
void pop3_server_opened(struct pop3_server *s, struct pop3_message *messages, uint32_t count);

enum pop3_open_failure {
	POP3_OPEN_IN_USE,    /* -ERR [IN-USE] (RFC 2449 8.1.2) */
	POP3_OPEN_TOO_SOON,  /* -ERR [LOGIN-DELAY] (RFC 2449 8.1.1) */
	POP3_OPEN_TEMPORARY, /* -ERR [SYS/TEMP] */
	POP3_OPEN_PERMANENT, /* -ERR [SYS/PERM] */
	POP3_OPEN_FAILURE_COUNT,
};
void pop3_server_open_failed(struct pop3_server *s, enum pop3_open_failure why);

enum pop3_look {
	POP3_LOOK_MORE,
	POP3_LOOK_CLEAR,   /* may be sent: begin with pop3_server_content() at the start */
	POP3_LOOK_REFUSED, /* answered -ERR [UTF8]; the wish is done */
	POP3_LOOK_COUNT,
};

/* During RETRIEVE, before any content: the message from its start, any cut, until it says other than MORE. */
enum pop3_look pop3_server_look(struct pop3_server *s, struct span bytes, bool last);

/*
 * During RETRIEVE: the next bytes of the message, any cut; last ends it.
 * +OK goes out with the first call, dots are stuffed, CRLF "." CRLF ends it.
 * Returns true while more is wanted: a TOP that has its lines needs no more,
 * is complete then, and must be given nothing more.
 */
bool pop3_server_content(struct pop3_server *s, struct span bytes, bool last);

/*
 * The message cannot be read.  Before any content: -ERR [SYS/TEMP], the session goes on.
 * After: CLOSE, because a response cut short must not look complete.
 */
void pop3_server_content_failed(struct pop3_server *s);

/* False: -ERR some deleted messages not removed.  Then CLOSE. */
void pop3_server_updated(struct pop3_server *s, bool all_removed);

/* After the handshake that STLS asked for; everything the client said is forgotten. */
void pop3_server_tls_started(struct pop3_server *s);

enum pop3_close {
	POP3_CLOSE_SHUTDOWN, /* -ERR [SYS/TEMP] */
	POP3_CLOSE_TIMEOUT,  /* silently, as RFC 1939 3 asks */
	POP3_CLOSE_TROUBLE,  /* -ERR [SYS/TEMP] */
	POP3_CLOSE_COUNT,
};

/* The server's own wish to end the session, at any time; deletes nothing.  In mid content nothing is said. */
void pop3_server_close(struct pop3_server *s, enum pop3_close why);

const char *pop3_state_name(enum pop3_state state);
const char *pop3_wish_name(enum pop3_wish wish);

#endif
