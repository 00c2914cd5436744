/*
 * dots: the line format that SMTP content and POP3 multi-line replies share:
 * lines end in CRLF, a line of one dot ends the whole, and any other line that
 * begins with a dot carries one dot too many (RFC 5321 section 4.5.2, RFC 1939
 * section 3).
 *
 * The reader is strict: only CRLF ends a line, so LF . LF and its like are
 * content.  It repairs nothing; what a lenient reader would take for an end is
 * counted in its notes.  Neither side keeps bytes of its own: both work from
 * any split of the stream with the same result.
 */
#ifndef HARNESS_WIRE_DOTS_H
#define HARNESS_WIRE_DOTS_H

#include "base/buf.h"
#include "base/span.h"

/* ---- reading ---- */
enum dots_note {
	DOTS_BARE_LF = 1u << 0,       /* a LF without CR before it */
	DOTS_BARE_CR = 1u << 1,       /* a CR without LF after it */
	DOTS_FALSE_END = 1u << 2,     /* a lone dot between line ends of which one is no CRLF */
	DOTS_LONG_LINE = 1u << 3,     /* more than 1000 bytes with CRLF, the stuffed dot not counted */
	DOTS_UNSTUFFED_DOT = 1u << 4, /* a line ". x": its dot was deleted, the sender forgot to double it */
};

/* Zeroed is ready: the first byte begins a line. */
struct dots_reader {
	unsigned char state;
	unsigned char prev; /* the stream's last byte; 0 at the start */
	unsigned char lone; /* how much of a lenient end was seen; see dots.c */
	uint32_t line_bytes;
	uint32_t notes; /* enum dots_note */
};

/*
 * Reads from the front of `in` and returns how many bytes that were.
 * *ret_data is content with the stuffed dot deleted: a part of `in`, or of a
 * constant; it may be empty.  *ret_end becomes true at the end line, whose
 * bytes were consumed; what follows belongs to nobody here.  Call again while
 * bytes are left and the end was not seen.
 */
size_t dots_read(struct dots_reader *r, struct span in, struct span *ret_data, bool *ret_end);

/* ---- writing ---- */
/* Zeroed is ready. */
struct dots_writer {
	unsigned char state;
};

/* Appends `in` with dots doubled at the start of lines.  Adds and changes nothing else. */
void dots_write(struct dots_writer *w, struct span in, struct buf *ret_wire);

/* Appends the end line, before it a CRLF when the content did not end in one.  Zeroes *w. */
void dots_write_end(struct dots_writer *w, struct buf *ret_wire);

#endif
