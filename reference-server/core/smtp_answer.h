/*
 * smtp_answer: what a driver can say no with, and the reply lines that say it
 * (RFC 5321 4.2; enhanced codes RFC 3463, 5248, 4954 6, 7505 4).
 *
 * One row for each reason.  The texts name no address and nothing else that
 * the client sent.
 */
#ifndef SERVER_CORE_SMTP_ANSWER_H
#define SERVER_CORE_SMTP_ANSWER_H

#include "base/span.h"

/* What a driver may answer; each has one reply line. */
enum smtp_answer {
	SMTP_ANSWER_ACCEPT,           /* 250, with the text of its command */
	SMTP_ANSWER_NO_SUCH_MAILBOX,  /* 550 5.1.1 */
	SMTP_ANSWER_NO_SUCH_DOMAIN,   /* 550 5.1.2 */
	SMTP_ANSWER_BAD_SENDER,       /* 553 5.1.8 */
	SMTP_ANSWER_NULL_MX,          /* 556 5.1.10 */
	SMTP_ANSWER_MAILBOX_DISABLED, /* 550 5.2.1 */
	SMTP_ANSWER_MAILBOX_FULL,     /* 452 4.2.2 */
	SMTP_ANSWER_RELAY_DENIED,     /* 550 5.7.1 */
	SMTP_ANSWER_NOT_PERMITTED, /* 550 5.7.1: a sender address that is not the user's own (RFC 6409 6.1) */
	SMTP_ANSWER_STORAGE_FULL,  /* 452 4.3.1 */
	SMTP_ANSWER_TRY_LATER,     /* 451 4.3.0 */
	SMTP_ANSWER_ALIAS_TOO_LARGE, /* 451 4.3.5, for whoever runs this server to mend */
	SMTP_ANSWER_LOOKUP_FAILED,   /* 451 4.4.3 */
	SMTP_ANSWER_TOO_FAST,        /* 450 4.7.1 */
	SMTP_ANSWER_TOO_MANY_RCPT,   /* 452 4.5.3 */
	SMTP_ANSWER_TOO_BIG,         /* 552 5.3.4 */
	SMTP_ANSWER_TOO_MANY_HOPS,   /* 554 5.4.6 */
	SMTP_ANSWER_BAD_CONTENT,     /* 554 5.6.0 */
	SMTP_ANSWER_COUNT,
};

enum smtp_auth_failure {
	SMTP_AUTH_BAD_CREDENTIALS, /* 535 5.7.8 */
	SMTP_AUTH_TEMPORARY,       /* 454 4.7.0 */
	SMTP_AUTH_TOO_WEAK,        /* 534 5.7.9 */
	SMTP_AUTH_SERVER_FIRST,    /* 501 5.7.0: initial response where the server speaks first */
	SMTP_AUTH_MALFORMED,       /* 501 5.5.2: decoded, but not a message of that mechanism */
	SMTP_AUTH_FAILURE_COUNT,
};

/* Why the server ends the session; each is a 421 (a 554 greeting would oblige us to wait for QUIT, RFC
 * 5321 3.1). */
enum smtp_close {
	SMTP_CLOSE_SHUTDOWN, /* 421 4.3.2 */
	SMTP_CLOSE_TIMEOUT,  /* 421 4.4.2 */
	SMTP_CLOSE_TOO_MANY, /* 421 4.3.2 too many connections */
	SMTP_CLOSE_BUSY,     /* 421 4.3.2: no memory for this one */
	SMTP_CLOSE_TROUBLE,  /* 421 4.3.0 */
	SMTP_CLOSE_REFUSED,  /* 421 4.7.1 this client is not served */
	SMTP_CLOSE_COUNT,
};

/* Whole reply lines with CRLF, in static storage.  ACCEPT has none: its text depends on the command. */
struct span smtp_answer_line(enum smtp_answer answer);
struct span smtp_auth_failure_line(enum smtp_auth_failure why);
struct span smtp_close_line(enum smtp_close why);

#endif
