/*
 * pop3_reply: reads what a POP3 server sends (RFC 1939 section 3), from any
 * split of the stream, without keeping multi-line data.
 *
 * Whether a reply has more than one line depends on the command alone, so the
 * caller says so before it reads one.  Status lines are read leniently and
 * noted (LF alone, "+ok", over-long); multi-line data is read strictly by
 * dots.h and handed on as it comes.
 */
#ifndef HARNESS_WIRE_POP3_REPLY_H
#define HARNESS_WIRE_POP3_REPLY_H

#include "base/buf.h"
#include "base/span.h"
#include "harness/wire/dots.h"

enum {
	POP3_LINE_BYTES_MAX = 512,   /* with CRLF; longer is noted */
	POP3_LINE_BYTES_KEPT = 8192, /* the rest of a longer status line is dropped */
};

enum pop3_note {
	POP3_BARE_LF = 1u << 0,
	POP3_LONG_LINE = 1u << 1,
	POP3_ODD_CASE = 1u << 2,      /* "+ok"; must be upper case */
	POP3_NO_STATUS = 1u << 3,     /* begins with neither +OK, -ERR nor "+ " */
	POP3_ODD_TEXT = 1u << 4,      /* status line with other bytes than printable ASCII and HT */
	POP3_ODD_CHALLENGE = 1u << 5, /* not "+", one space and base64 (RFC 5034 section 4) */
};

enum pop3_event {
	POP3_MORE,     /* all bytes were taken; nothing to say yet */
	POP3_OK,       /* +OK; text follows it.  With a multi-line reply, data comes next */
	POP3_ERR,      /* -ERR or POP3_NO_STATUS; the reply is over */
	POP3_CONTINUE, /* "+ ": a SASL challenge (RFC 5034); text is base64; the reply is over */
	POP3_DATA,     /* a piece of multi-line data, unstuffed, line ends included */
	POP3_END,      /* the end line of a multi-line reply */
};

/* Zeroed is ready for a one-line reply such as the greeting. */
struct pop3_reader {
	bool multi_line;
	bool in_data;
	uint32_t line_bytes;
	uint32_t notes; /* enum pop3_note, of the status line */
	struct buf line;
	struct dots_reader dots; /* dots.notes for the data */
};

/* The next reply belongs to such a command.  Not while a reply is being read. */
void pop3_expect(struct pop3_reader *r, bool multi_line);

/*
 * Reads from the front of `in` to the next event and returns how many bytes
 * that were.  *ret_text is borrowed from the reader or from `in` and dies at
 * the next call.
 */
size_t pop3_read(struct pop3_reader *r, struct span in, enum pop3_event *ret_event, struct span *ret_text);
void pop3_reader_free(struct pop3_reader *r);

#endif
