/*
 * smtp_reply: reads the replies of an SMTP server (RFC 5321 4.2; enhanced
 * status codes RFC 2034 and 3463).
 *
 * Incremental: every byte given is used at once and nothing has to be kept by
 * the caller, so any split gives the same replies.  It knows no commands; who
 * asked what is the business of smtp_client.
 *
 * Line ends: only CRLF (RFC 5321 2.3.8 forbids to recognise anything else).
 * A bare LF makes the reply bad instead of being waited past; a bare CR is
 * text, and is escaped like other control bytes.
 *
 * Codes: three digits of which the first is 2 to 5.  Others of that form than
 * RFC 5321 lists are passed on, to be judged by their first digit (4.3.2).
 * All lines of a reply must carry the same code (4.2.1): a reply of mixed
 * codes is bad.  A code with nothing behind it is fine (4.2).
 *
 * Text is kept for logs and DSNs: printable ASCII only, other bytes as \xHH
 * and a backslash as \\, lines joined by one blank, cut at
 * SMTP_REPLY_TEXT_BYTES_MAX.  An enhanced status code that later lines repeat
 * is kept once.
 *
 * Limits: RFC 5321 4.5.3.1.5 gives 512 bytes for a line; more is taken, since
 * some servers send more.  Reaching any of the three maxima makes the reply bad.
 */
#ifndef SERVER_CORE_SMTP_REPLY_H
#define SERVER_CORE_SMTP_REPLY_H

#include "base/buf.h"
#include "base/span.h"

enum {
	SMTP_REPLY_LINE_BYTES_MAX = 4096, /* with CRLF */
	SMTP_REPLY_LINES_MAX = 512,
	SMTP_REPLY_BYTES_MAX = 65536, /* one reply, all lines */
	SMTP_REPLY_TEXT_BYTES_MAX = 480,
	SMTP_REPLY_LINE_KEPT_BYTES_MAX = 512, /* of each line's text; the rest is checked and dropped */
};

/* RFC 3463: class.subject.detail; class 0 means there is none. */
struct smtp_status {
	uint8_t class_digit;
	uint16_t subject;
	uint16_t detail;
};

enum smtp_reply_result {
	SMTP_REPLY_MORE, /* all bytes used, the reply goes on */
	SMTP_REPLY_LINE, /* a line that is not the last one: smtp_reply_line() */
	SMTP_REPLY_DONE, /* the last line; the whole reply can be read */
	SMTP_REPLY_BAD,  /* not SMTP; smtp_reply_error() says why.  Final. */
};

/* Read through the functions below; caller's storage, a value. */
struct smtp_reply {
	uint16_t code;
	struct smtp_status status;
	const char *error;
	uint8_t where;
	bool complete;
	bool is_last_line;
	uint16_t line_code;
	uint32_t line_count;
	uint32_t line_bytes;
	uint32_t reply_bytes;
	uint32_t kept_bytes;
	uint32_t text_bytes;
	char kept[SMTP_REPLY_LINE_KEPT_BYTES_MAX];
	char text[SMTP_REPLY_TEXT_BYTES_MAX];
};

void smtp_reply_init(struct smtp_reply *r);

/*
 * Uses bytes up to the end of a line, or all.  After DONE the next call begins
 * the next reply.
 */
enum smtp_reply_result smtp_reply_feed(struct smtp_reply *r, struct span in, size_t *ret_used_bytes);

/* A reply has begun and is not complete. */
bool smtp_reply_is_partial(const struct smtp_reply *r);

/* After LINE and DONE: this line's text as it came, without code, separator and CRLF.  Borrows from *r. */
struct span smtp_reply_line(const struct smtp_reply *r);

/* After DONE; borrows from *r until the next feed.  Includes the enhanced status code. */
struct span smtp_reply_text(const struct smtp_reply *r);

/* After BAD: a few words, static. */
const char *smtp_reply_error(const struct smtp_reply *r);

/*
 * Reads "class.subject.detail" at the front of text, followed by a blank or
 * the end.  False unless it is well formed and its class is class_digit.
 */
bool smtp_status_parse(struct span text, uint8_t class_digit, struct smtp_status *ret_status);

/* "5.1.1"; "0.0.0" never occurs: class 0 is an error of the caller. */
void smtp_status_add(struct buf *out, struct smtp_status status);

/*
 * Writes text into dst as printable ASCII by the rule above, a blank for each
 * tab, and returns how many bytes; cut, never in the middle of an escape.
 */
size_t smtp_text_escape(struct span text, char *dst, size_t dst_bytes);

#endif
