/*
 * dsn: writes the mail that tells a sender what became of a message: it
 * failed, is delayed, was delivered, relayed or expanded (RFC 3464 and 3461 6;
 * multipart/report RFC 6522, Auto-Submitted RFC 3834, UTF-8 RFC 6533).
 *
 * Three parts: words for a person, message/delivery-status for programs, and the
 * original: its header (text/rfc822-headers) or all of it (message/rfc822).
 * One mail covers all recipients there is something to say about.  The result
 * is message content with CRLF line ends, ready for the queue, with the null
 * reverse-path (RFC 5321 6.1); the caller must never ask for one about a message
 * whose reverse-path is null.
 *
 * Pure: time, identifiers and boundary are arguments.  No line of ours exceeds
 * 998 bytes.  All output is 7-bit, but for an original with 8-bit bytes that
 * comes back whole, and a reverse-path in UTF-8, which stands in To.  Text from
 * other hosts comes as smtp_reply.h left it, printable; whatever is not shows as
 * '?', and each piece is cut at DSN_TEXT_BYTES_MAX.  Of the original header
 * whole lines are taken, up to the first empty one and at most
 * header_bytes_max: line ends become CRLF, bytes that are not printable ASCII or a
 * tab become '?', and lines that are too long are folded wherever that is.  A
 * last line without an end is left out, for it may have been cut.
 *
 * About an SMTPUTF8 message, valid UTF-8 is left as it is, and a part that
 * holds some is of the type RFC 6533 gives it, quoted-printable: that can be
 * read everywhere, and passes everywhere (4.5).
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

/* RFC 3464 2.3.3 */
enum dsn_action {
	DSN_NONE, /* nothing to say; not for struct dsn_rcpt */
	DSN_FAILED,
	DSN_DELAYED,
	DSN_DELIVERED,
	DSN_RELAYED, /* to where no DSN comes from */
	DSN_EXPANDED,
	DSN_ACTION_COUNT,
};

/* One recipient. */
struct dsn_rcpt {
	enum dsn_action action;
	struct span final_rcpt;    /* address_text() form */
	struct span orcpt;         /* as RCPT gave it: type ";" xtext; or empty */
	struct smtp_status status; /* 5.1.1; class 4 when delayed, or when time ran out; class 2 */
	uint16_t smtp_code;        /* 0: no server said so, then no Diagnostic-Code: smtp */
	struct span text;          /* the server's words, or ours; may be empty */
	struct span
		remote_mta; /* name of the host that said it, a blank and its address may follow; or empty */
	int64_t last_attempt_ms;     /* since 1970; 0: never attempted */
	int64_t will_retry_until_ms; /* DELAYED; 0: not said */
	bool expired;                /* because time ran out: said in words */
};

struct dsn {
	struct span host;       /* Reporting-MTA, and MAILER-DAEMON@host */
	struct span to;         /* the original's reverse-path, address_text() form */
	struct span message_id; /* with <> */
	struct span boundary;   /* 1 to 70 letters, digits, '-', '_', '.', '=': must not occur in the parts;
				   random */
	struct span queue_id;   /* of the original */
	struct span envid;      /* of the original: xtext; or empty */
	int64_t now_ms;
	int64_t arrival_ms;    /* of the original; 0: not known */
	int64_t deliver_by_ms; /* RFC 2852 5; 0: no such wish */
	struct span hold;      /* RFC 4865 5.1.2: "for;" or "until;" and a value; or empty */
	bool utf8;             /* the original is an SMTPUTF8 message */
	const struct dsn_rcpt *rcpts;
	uint32_t rcpt_count;     /* > 0 */
	struct span header;      /* the original's header section; may be cut, may hold anything */
	size_t header_bytes_max; /* 0: DSN_HEADER_BYTES_MAX */
	struct span whole;       /* the original, header and body, to be returned; empty: the header is */
};

void dsn_add(struct buf *out, const struct dsn *d);

/* xtext decoded (RFC 3461 4), a "+" that begins no hexchar as it is.  For others who read ENVID and ORCPT. */
void dsn_decode_xtext(struct buf *out, struct span xtext);

const char *dsn_action_name(enum dsn_action action); /* "failed" */

#endif
