/*
 * dsn: writes the mail that tells a sender of failed delivery (RFC 3464,
 * multipart/report RFC 6522, Auto-Submitted RFC 3834).
 *
 * Three parts: words for a person, message/delivery-status for programs, and the header
 * of the original (text/rfc822-headers).  One mail covers all recipients that
 * failed together.  The result is message content with CRLF line ends, ready
 * for the queue, with the null reverse-path (RFC 5321 6.1); the caller must never
 * ask for one about a message whose reverse-path is null.
 *
 * Pure: time, identifiers and boundary are arguments.  All output is 7-bit and
 * no line exceeds 998 bytes.  Text from other hosts comes as smtp_reply.h left
 * it, printable; whatever is not shows as '?', and each piece is cut at
 * DSN_TEXT_BYTES_MAX.  Of the original header whole lines are taken, up to the
 * first empty one and at most header_bytes_max: line ends become CRLF, bytes
 * that are not printable ASCII or a tab become '?', and lines that are too
 * long are folded wherever that is.  A last line without an end is left out,
 * for it may have been cut.
 */
#ifndef SERVER_CORE_DSN_H
#define SERVER_CORE_DSN_H

#include "base/buf.h"
#include "base/span.h"
#include "reference-server/core/smtp_reply.h"

enum {
	DSN_HEADER_BYTES_MAX = 16384, /* of the original, by default */
	DSN_TEXT_BYTES_MAX = 512,     /* of one address, name or server text */
};

/* One failed recipient. */
struct dsn_rcpt {
	struct span final_rcpt;    /* address_text() form */
	struct span original_rcpt; /* empty, or what the sender wrote, when it differs (an alias) */
	struct smtp_status status; /* 5.1.1; class 4 when time ran out */
	uint16_t smtp_code;        /* 0: no server said so, then no Diagnostic-Code: smtp */
	struct span text;          /* the server's words, or ours; may be empty */
	struct span
		remote_mta; /* name of the host that said it, a blank and its address may follow; or empty */
	int64_t last_attempt_ms; /* since 1970; 0: never attempted */
	bool expired;            /* gave up after temporary failures: said in words */
};

struct dsn {
	struct span host;       /* Reporting-MTA, and MAILER-DAEMON@host */
	struct span to;         /* the original's reverse-path, address_text() form */
	struct span message_id; /* with <> */
	struct span boundary;   /* 1 to 70 letters, digits, '-', '_', '.', '=': must not occur in the parts;
				   random */
	struct span queue_id;   /* of the original */
	int64_t now_ms;
	int64_t arrival_ms; /* of the original; 0: not known */
	const struct dsn_rcpt *rcpts;
	uint32_t rcpt_count;     /* > 0 */
	struct span header;      /* the original's header section; may be cut, may hold anything */
	size_t header_bytes_max; /* 0: DSN_HEADER_BYTES_MAX */
};

void dsn_add(struct buf *out, const struct dsn *d);

#endif
