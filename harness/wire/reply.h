/*
 * reply: reads SMTP replies (RFC 5321 section 4.2), from any split of the
 * stream.
 *
 * One reading, two judgements.  The reading is lenient: LF alone ends a line,
 * a code may stand alone, anything may follow it.  The notes say where a
 * strict reader would have refused; reply_is_strict sums them up.  So a client
 * can go on and the judge can still object.
 *
 * A line that does not begin with three digits is, outside a multi-line reply,
 * a reply of its own with code 0; inside one it is text.  A reply that grows
 * beyond REPLY_BYTES_MAX ends there with code 0 and REPLY_TOO_BIG.
 */
#ifndef HARNESS_WIRE_REPLY_H
#define HARNESS_WIRE_REPLY_H

#include "base/buf.h"
#include "base/span.h"

enum {
	REPLY_LINE_BYTES_MAX = 512, /* RFC 5321 section 4.5.3.1.5, with CRLF; longer is noted, not refused */
	REPLY_BYTES_MAX = 65536,    /* all lines together, ours */
};

enum reply_note {
	REPLY_BARE_LF = 1u << 0,      /* a line ended in LF without CR */
	REPLY_BARE_CR = 1u << 1,      /* a CR inside a line */
	REPLY_LONG_LINE = 1u << 2,    /* more than REPLY_LINE_BYTES_MAX */
	REPLY_ODD_CODE = 1u << 3,     /* three digits, but not 2-5, 0-5, 0-9 */
	REPLY_NO_CODE = 1u << 4,      /* a line without three digits in front */
	REPLY_NO_SEPARATOR = 1u << 5, /* the code is followed by neither SP, "-" nor the line end */
	REPLY_CODE_ALONE = 1u << 6,   /* no text and no SP: discouraged, legal */
	REPLY_MIXED_CODES = 1u << 7,  /* the lines of one reply differ in code */
	REPLY_ODD_TEXT = 1u << 8,     /* bytes outside HT and printable ASCII */
	REPLY_TOO_BIG = 1u << 9,
};

struct reply {
	uint16_t code;      /* of the last line; 0: none */
	uint16_t status[3]; /* RFC 2034: 5, 1, 1 in "550 5.1.1 ..."; status[0] is 0 when there is none */
	uint32_t notes;     /* enum reply_note */
	uint32_t line_count;
	struct buf text; /* what follows code and separator, one line each, joined by LF */
};

/* Zeroed is ready.  The reply inside is whole after *ret_done and stays until the next reply_read. */
struct reply_reader {
	struct reply reply;
	struct buf line;
	uint32_t bytes;
	bool done;
};

/* Reads from the front of `in`, at most to the end of one reply; returns how many bytes that were. */
size_t reply_read(struct reply_reader *r, struct span in, bool *ret_done);
void reply_reader_free(struct reply_reader *r);

/* True when a strict reader finds nothing wrong.  REPLY_CODE_ALONE is no breach. */
bool reply_is_strict(const struct reply *r);

/* First digit: 2 to 5, or 0 when there is none or it is another. */
unsigned reply_class(const struct reply *r);

/* The i-th line's text, from 0; empty when there are fewer.  Borrowed from the reply. */
struct span reply_line(const struct reply *r, uint32_t i);

/* Whether any line but the first is keyword, alone or followed by SP (EHLO); *ret_args, if wanted, is the
 * rest. */
bool reply_offers(const struct reply *r, struct span keyword, struct span *ret_args);

/* "bare-lf, long-line", for transcripts and findings; "none". */
void reply_notes_text(uint32_t notes, struct buf *ret_text);

#endif
