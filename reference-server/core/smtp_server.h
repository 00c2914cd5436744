/*
 * smtp_server: the receiving side of one SMTP session, without the wire
 * (RFC 5321; submission RFC 6409; SIZE 1870, PIPELINING 2920, 8BITMIME 6152,
 * CHUNKING and BINARYMIME 3030, DSN 3461, ENHANCEDSTATUSCODES 2034 with 3463
 * and 5248, STARTTLS 3207, AUTH 4954, SMTPUTF8 6531, REQUIRETLS 8689, DELIVERBY
 * 2852, FUTURERELEASE 4865, LIMITS 9422), or of one LMTP session (RFC 2033).
 *
 * Bytes go in through smtp_server_feed(); finished reply lines come out
 * through emit.  What needs the outside world comes back as a wish.  There is
 * no socket, clock, file or memory allocation here: a test or a fuzzer plays a
 * whole session from an array.
 *
 *	for (;;) switch (smtp_server_feed(s, unread bytes, &used)) { ... }
 *
 * After every feed the driver drops `used` bytes from its input, whatever the
 * wish is.  The wishes, and what the driver owes for each, are listed with
 * enum smtp_wish below.  The order of emitted replies is the order of the
 * commands; the one reply that is not emitted is the answer to MESSAGE, whose
 * place the driver reserves in its output and fills when the message is
 * durable, while the session goes on with the next pipelined command.
 *
 * A driver may leave a wish unanswered as long as it likes (a lookup, a
 * password helper): it just does not feed.  That is also how it slows a
 * client down.
 *
 * Input bytes are never repaired.  A line holding a bare CR or LF is answered
 * with 500 5.5.2 as soon as it is seen, and everything up to the next CRLF is
 * swallowed: no byte behind a bare LF is ever run as a command, and a client
 * that sends only LF is told at once what is wrong.  A line over the limit of
 * its verb is answered with 500 5.5.2 at its CRLF.  Both count as errors.
 *
 * Split invariance: the same bytes in any split give the same replies, the
 * same wishes in the same order, and the same joined content (one CONTENT
 * wish may become several).
 *
 * Ownership: the caller owns the session storage, the configuration (which
 * must outlive the session) and the input.  What each span borrows from is
 * said where it is declared.
 *
 * Recipients are not kept here, only counted.
 */
#ifndef SERVER_CORE_SMTP_SERVER_H
#define SERVER_CORE_SMTP_SERVER_H

#include "base/buf.h"
#include "base/span.h"
#include "reference-server/core/address.h"
#include "reference-server/core/content.h"
#include "reference-server/core/header.h"
#include "reference-server/core/smtp_answer.h"
#include "reference-server/core/smtp_parameter.h"

enum {
	/* RFC 5321 4.5.3.1.4 and the extensions that lengthen it; all with CRLF. */
	SMTP_COMMAND_BYTES_MAX = 512,
	SMTP_MAIL_COMMAND_BYTES_MAX =
		512 + 26 + 17 + 16 + 500 + 9 + 107 + 10 + 11 + 17 + 34, /* SIZE, BODY, BINARYMIME, AUTH,
									   RET, ENVID, SMTPUTF8,
									   REQUIRETLS, BY, HOLDUNTIL */
	SMTP_RCPT_COMMAND_BYTES_MAX = 512 + 36 + 507,                   /* NOTIFY, ORCPT (RFC 3461 5.1) */
	SMTP_AUTH_LINE_BYTES_MAX = 12288, /* RFC 4954 4; AUTH and its responses */
	/* A feed that answers INPUT leaves fewer bytes than this unused. */
	SMTP_INPUT_BYTES_MAX = SMTP_AUTH_LINE_BYTES_MAX + 1,
	SMTP_IDENTITY_BYTES_MAX = 255,
};

enum smtp_role {
	SMTP_ROLE_RELAY,      /* port 25: anyone may bring mail for us */
	SMTP_ROLE_SUBMISSION, /* RFC 6409: MAIL only after AUTH */
	SMTP_ROLE_LMTP,       /* RFC 2033: LHLO, and a reply for each recipient behind the content */
};

/* Owned by the driver, shared by many sessions, constant while they live. */
struct smtp_server_config {
	struct span host; /* our name, in the greeting, EHLO and 221 */
	enum smtp_role role;
	uint64_t size_bytes_max;     /* content; 0: no maximum, EHLO says SIZE 0 */
	uint64_t header_bytes_max;   /* header section; 0: no maximum of its own.  Over it: 552 5.3.4 */
	uint32_t rcpt_count_max;     /* accepted per transaction; at least 100 (RFC 5321 4.5.3.1.8).  Over it:
					452 4.5.3 */
	uint32_t received_count_max; /* RFC 5321 6.3, at least 100; more fields than this: 554 5.4.6 */
	uint32_t error_count_max; /* protocol errors and failed AUTH per session; this many: 421 4.7.0.  0: no
				     maximum */
	uint32_t
		idle_count_max; /* NOOP, RSET, VRFY, EXPN, HELP, EHLO and HELO since the last message; this many: 421
				     4.7.0.  0: no maximum */
	uint32_t
		refused_rcpt_count_max; /* RCPT refused for good since the last message; likewise (RFC 5321 7.8) */
	bool offer_starttls;
	unsigned without;   /* enum smtp_offer bits: extensions that are not offered */
	int64_t by_s_min;   /* DELIVERBY: the least time with mode R; 0: none.  Below it: 555 5.5.4 */
	int64_t hold_s_max; /* FUTURERELEASE, on submission: the longest hold; 0: not offered.  Over it: 501
				     5.5.4 */
	uint32_t mail_count_max; /* MAIL commands per session; 0: no maximum.  Over it: 452 4.5.3 */
	bool refuse_8bit_header; /* without SMTPUTF8: 554 5.6.9 */
	bool vrfy, expn;         /* answered truly to those who have logged in; else 252, or 530 */
	bool strict_submission;  /* RFC 6409 4.2, 5.1, 8: domains of one label, addresses in the header that
				    are none, a From that is missing: 554.  Only on submission */
	bool require_tls;        /* before anything but EHLO, NOOP, STARTTLS, QUIT: 530 5.7.0 (RFC 3207 4) */
	bool accept_bare_eol; /* bare CR and LF in content pass through; false: 550 5.5.2; 554 5.6.0 where submission is strict */
	struct span mechanisms_clear; /* "SCRAM-SHA-256": what AUTH offers without TLS; empty: AUTH is not
					 offered */
	struct span mechanisms_tls;   /* "SCRAM-SHA-256 PLAIN LOGIN": under TLS */
};

enum smtp_state {
	SMTP_STATE_GREETED, /* banner sent or about to be, no EHLO yet */
	SMTP_STATE_READY,   /* EHLO done, no transaction */
	SMTP_STATE_AUTH,    /* inside an AUTH exchange */
	SMTP_STATE_MAIL,    /* reverse-path accepted */
	SMTP_STATE_RCPT,    /* at least one recipient accepted */
	SMTP_STATE_DATA,    /* after 354, before the final dot */
	SMTP_STATE_CHUNK,   /* inside the octets of a BDAT, those to be discarded included */
	SMTP_STATE_BDAT,    /* after a BDAT that was not the last */
	SMTP_STATE_TLS,     /* 220 to STARTTLS emitted, handshake to come */
	SMTP_STATE_CLOSED,
	SMTP_STATE_COUNT,
};

/* What the session wants from its driver. */
enum smtp_wish {
	/* Flush the output, and feed again with more bytes behind the unused ones. */
	SMTP_WISH_INPUT,

	/*
	 * A transaction wants to begin: smtp_server_answer_mail().  Facts in
	 * s->reverse_path, s->size_declared_bytes, s->body.
	 */
	SMTP_WISH_MAIL,

	/* One recipient: smtp_server_answer_rcpt().  s->forward_path. */
	SMTP_WISH_RCPT,

	/*
	 * VRFY or, with s->verify_expands, EXPN of s->forward_path, which is only a
	 * local-part when s->verify_bare: smtp_server_answer_verify().
	 */
	SMTP_WISH_VERIFY,

	/*
	 * s->run is the next run of content; the driver appends it to the
	 * message and feeds on, or calls smtp_server_refuse_content() first.
	 * Borrowed from the input: gone when the driver drops those bytes.
	 * A message may have no CONTENT at all.
	 */
	SMTP_WISH_CONTENT,

	/*
	 * The final dot, and nothing speaks against the content.  The driver
	 * takes the message, reserves a place in its output for the replies,
	 * smtp_server_final_reply_count() of them (smtp_server_add_final_reply()
	 * writes one) and feeds on.  Facts in
	 * s->content and s->header; they, the reverse-path and the other
	 * transaction facts stay readable until that next feed.
	 */
	SMTP_WISH_MESSAGE,

	/*
	 * The final dot of a message that was refused: the reply is already
	 * emitted.  The driver drops what it stored and feeds on.
	 */
	SMTP_WISH_MESSAGE_REFUSED,

	/*
	 * The transaction ended before its final dot (RSET, EHLO, HELO).  The
	 * driver drops its recipients and feeds on.  CLOSE, a lost connection
	 * and smtp_server_close() mean the same without saying it again.
	 */
	SMTP_WISH_RESET,

	/*
	 * AUTH: s->auth_mechanism (as the client wrote it, but one of those
	 * offered) and, when s->auth_response_given, s->auth_response, valid
	 * base64 or empty, not decoded.  Answer with smtp_server_auth_challenge(),
	 * _auth_succeed() or _auth_fail().  Both spans borrow from the input.
	 */
	SMTP_WISH_AUTH,
	/* The client's response to a challenge, s->auth_response; answered like AUTH. */
	SMTP_WISH_AUTH_STEP,
	/* The exchange ended without the driver ("*", not base64, too long); replied.  Drop its state, feed
	   on. */
	SMTP_WISH_AUTH_CANCELLED,

	/*
	 * A command was answered that has to be the last of its group (RFC
	 * 2920 3.1), or any by a client that did not say EHLO and so cannot know
	 * of groups.  What the client has already sent behind it came too
	 * early: smtp_server_refuse_group(), or just feed on.  The same holds,
	 * without this wish, at VERIFY, AUTH, AUTH_STEP and STARTTLS, and at MAIL, RCPT
	 * and RESET when s->esmtp is false.
	 */
	SMTP_WISH_SYNC,

	/*
	 * 220 is emitted.  The driver throws away every byte it has received
	 * behind `used` (they came unprotected: RFC 3207 6, CVE-2011-0411),
	 * flushes its output, final replies still owed included, does the
	 * handshake and calls smtp_server_tls_started().  A failed handshake
	 * ends the connection.
	 */
	SMTP_WISH_STARTTLS,

	/* Send what was emitted and what is owed, then close.  Nothing more may be fed. */
	SMTP_WISH_CLOSE,
};

struct smtp_output {
	/* Appends one finished reply line, CRLF included.  The span dies when emit returns. */
	void (*emit)(void *ctx, struct span line);
	void *ctx;
};

/* Read by the driver, written here only. */
struct smtp_server {
	const struct smtp_server_config *config;
	struct smtp_output output;
	enum smtp_state state;

	/* The session.  Spans borrow from this struct. */
	struct span helo; /* empty before EHLO and HELO */
	bool esmtp;       /* it was EHLO */
	bool tls;
	bool authenticated;
	struct span identity; /* as given to smtp_server_auth_succeed() */
	uint32_t error_count;
	uint32_t idle_count; /* since the last message, as is the next */
	uint32_t refused_rcpt_count;
	uint64_t command_count; /* lines that were taken as one, malformed ones included */

	/* The transaction.  Spans borrow from this struct. */
	struct span reverse_path;     /* address_text() form; empty for <> */
	struct span forward_path;     /* address_text() form; during SMTP_WISH_RCPT and _VERIFY */
	uint64_t size_declared_bytes; /* 0 when not declared */
	enum smtp_body body;
	uint32_t rcpt_count; /* accepted */
	enum smtp_ret ret;
	struct span envid; /* xtext; empty when not given */
	unsigned notify;   /* enum smtp_notify bits; as is orcpt, during SMTP_WISH_RCPT */
	struct span orcpt; /* addr-type ";" xtext, or "utf-8;" and UTF-8; empty when not given */
	bool utf8;         /* SMTPUTF8 */
	bool requires_tls; /* REQUIRETLS */
	enum smtp_by by;
	bool by_trace;
	int64_t deliver_by_wall_ms; /* with by; may have passed */
	struct span hold;        /* "for;" seconds or "until;" time, as RFC 4865 5.1.2 has it; empty when not
				       given */
	int64_t release_wall_ms; /* with hold: not to be sent on before */

	/* During SMTP_WISH_VERIFY. */
	bool verify_expands;
	bool verify_bare;

	/* The content, complete at SMTP_WISH_MESSAGE. */
	struct span run; /* during SMTP_WISH_CONTENT; borrows from the input */
	struct content content;
	struct header_scan header;

	/* During SMTP_WISH_AUTH and _AUTH_STEP; borrow from the input. */
	struct span auth_mechanism;
	struct span auth_response;
	bool auth_response_given;

	/* Of no interest to drivers. */
	int64_t now_wall_ms;
	uint32_t mail_count;
	bool verify_utf8;         /* the client takes UTF-8 in the reply */
	bool refused;             /* the greeting was 554 */
	bool mail_refused;        /* so that pipelined RCPT and DATA are no errors of the client */
	enum smtp_wish wish;      /* the last one returned, INPUT once it is answered */
	enum smtp_answer refusal; /* of this content by the driver, or ACCEPT */
	uint64_t chunk_bytes_left;
	bool chunk_last;
	struct span chunk_refusal; /* said after the octets, which are discarded; empty: they are content */
	bool chunk_refusal_counts; /* as an error of the client */
	enum smtp_state chunk_came_from; /* where a refused chunk goes back to */
	bool swallowing;                 /* up to the next CRLF */
	bool swallowed_replied;
	char envid_text[SMTP_ENVID_BYTES_MAX];
	char orcpt_text[SMTP_ORCPT_BYTES_MAX];
	char hold_text[SMTP_HOLD_BYTES_MAX + 6];
	char helo_text[ADDRESS_DOMAIN_BYTES_MAX];
	char identity_text[SMTP_IDENTITY_BYTES_MAX];
	char reverse_text[ADDRESS_TEXT_BYTES_MAX];
	char forward_text[ADDRESS_TEXT_BYTES_MAX];
};

/* tls: the connection is already protected (implicit TLS, RFC 8314). */
void smtp_server_init(struct smtp_server *s, const struct smtp_server_config *config,
		      struct smtp_output output, bool tls);

/* Emits the 220 greeting; once, before the first feed. */
void smtp_server_greet(struct smtp_server *s);
/*
 * The greeting is 554 and `why`: nothing but QUIT is done any more, everything
 * else is answered with 503 (RFC 5321 3.1).
 */
void smtp_server_greet_refused(struct smtp_server *s, struct span why);

/*
 * Uses bytes from `in` until a wish needs the driver, and says in
 * *ret_used_bytes how many.  Not while a wish that asks for an answer is
 * unanswered, nor after CLOSE.  `in` may be empty: after an answer the driver
 * feeds on with whatever is left.
 */
enum smtp_wish smtp_server_feed(struct smtp_server *s, struct span in, size_t *ret_used_bytes);

/*
 * The time, since 1970: before the first feed, and again whenever it has changed
 * by what matters to DELIVERBY and FUTURERELEASE.
 */
void smtp_server_set_time(struct smtp_server *s, int64_t wall_ms);

/* Answers to the wishes of the same name; each emits the reply. */
void smtp_server_answer_mail(struct smtp_server *s, enum smtp_answer answer);
void smtp_server_answer_rcpt(struct smtp_server *s, enum smtp_answer answer);

/*
 * What VRFY and EXPN found (RFC 5321 3.5).  addresses, in address_text() form: of FOUND, one for VRFY and at
 * least one for EXPN.  UTF-8 among them is shown only to a client that asked for it (RFC 6531 3.7.4.2).
 */
enum smtp_verify {
	SMTP_VERIFY_FOUND,      /* 250 */
	SMTP_VERIFY_ELSEWHERE,  /* 252: not ours to know, but mail for it is taken */
	SMTP_VERIFY_NONE,       /* 550 5.1.1 */
	SMTP_VERIFY_NOT_A_LIST, /* EXPN: 550 5.2.4 */
	SMTP_VERIFY_TRY_LATER,  /* 451 4.3.0 */
};
void smtp_server_answer_verify(struct smtp_server *s, enum smtp_verify found, const struct span *addresses,
			       uint32_t count);

/* challenge is base64 (RFC 4954 4), at most SMTP_AUTH_LINE_BYTES_MAX - 6 bytes; empty is a bare "334 ". */
void smtp_server_auth_challenge(struct smtp_server *s, struct span challenge);
/* identity is copied; at most SMTP_IDENTITY_BYTES_MAX bytes. */
void smtp_server_auth_succeed(struct smtp_server *s, struct span identity);
void smtp_server_auth_fail(struct smtp_server *s, enum smtp_auth_failure why);

/*
 * In state DATA or CHUNK, between feeds or at SMTP_WISH_CONTENT: swallow the rest of
 * this message and give this answer (not ACCEPT) after its final dot.  The
 * first refusal counts, and before what the session itself finds wrong.  There are no more CONTENT wishes for it.
 */
void smtp_server_refuse_content(struct smtp_server *s, enum smtp_answer answer);

/* After the handshake that SMTP_WISH_STARTTLS asked for: all that the client said is forgotten (RFC
 * 3207 4.2). */
void smtp_server_tls_started(struct smtp_server *s);

/*
 * The server's own wish to end the session, at any time, an unanswered wish
 * included: emits the reply and enters CLOSED.  The driver sends what was
 * emitted and what is owed, then closes.
 */
void smtp_server_close(struct smtp_server *s, enum smtp_close why);

/*
 * Ends the session because commands came behind one that has to be the last of
 * its group: 503 5.5.0 for the first of these, 421 4.7.0 for the rest, and
 * CLOSED.  At SYNC, and where that says it holds too; an AUTH is given up.
 */
void smtp_server_refuse_group(struct smtp_server *s);

/*
 * The reply that goes where SMTP_WISH_MESSAGE reserved a place.  queue_id is
 * named in the text of ACCEPT and ignored otherwise.
 */
void smtp_server_add_final_reply(struct buf *out, enum smtp_answer answer, struct span queue_id);

/* At MESSAGE: 1, or in LMTP one for each recipient in the order of RCPT (RFC 2033 4.2). */
uint32_t smtp_server_final_reply_count(const struct smtp_server *s);

/*
 * "SMTP", "ESMTP", "ESMTPS", "ESMTPA" or "ESMTPSA", or these with LMTP (RFC 3848), or with SMTPUTF8 (RFC 6531
 * 4.3), for trace.h.  Static storage.  At MESSAGE.
 */
struct span smtp_server_protocol(const struct smtp_server *s);

const char *smtp_state_name(enum smtp_state state);
const char *smtp_wish_name(enum smtp_wish wish);

#endif
