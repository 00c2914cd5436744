/*
 * message: header and body of a message, and the fields of a header (RFC 5322
 * section 2.2).  Reads whole messages in memory; copies nothing unless asked.
 *
 * A line ends in CRLF.  LF alone is taken as a line end too, for what a mailbox
 * server returns may be broken in just that way and must still be described;
 * message_notes says so.  The header ends at the first empty line.
 */
#ifndef HARNESS_WIRE_MESSAGE_H
#define HARNESS_WIRE_MESSAGE_H

#include "base/buf.h"
#include "base/span.h"

enum message_note {
	MESSAGE_BARE_LF = 1u << 0,
	MESSAGE_BARE_CR = 1u << 1,
	MESSAGE_ODD_FIELD = 1u << 2, /* a header line that is neither field nor continuation */
	MESSAGE_NO_BODY = 1u << 3,   /* no empty line: all header */
	MESSAGE_8BIT_HEADER = 1u << 4,
	MESSAGE_LONG_LINE = 1u << 5, /* more than 998 characters */
	MESSAGE_NUL = 1u << 6,
};

/* The header includes its last line's end; the empty line belongs to neither.  False when there is no empty
 * line. */
bool message_split(struct span message, struct span *ret_header, struct span *ret_body);
uint32_t message_notes(struct span message);

/* One field; all spans are parts of the header. */
struct field {
	struct span name;  /* without colon and blanks before it */
	struct span raw;   /* the value as it stands, folded, without the last line end */
	struct span whole; /* name, colon, value and line end */
};

/*
 * Cuts the next field from the front of *header; lines that are no field are
 * skipped.  False at the end.
 */
bool field_next(struct span *header, struct field *ret_field);

/* The nth field of that name, from 0, ignoring case. */
bool field_find(struct span header, struct span name, uint32_t nth, struct field *ret_field);
uint32_t field_count(struct span header, struct span name);

/* Appends the value unfolded (line ends removed, RFC 5322 section 2.2.3) and trimmed. */
void field_unfold(struct span raw, struct buf *ret_value);

/* field_find and field_unfold in one.  False and nothing appended when it is absent. */
bool field_value(struct span header, struct span name, struct buf *ret_value);

/* The Message-ID without <>: a part of the header; empty when there is none. */
struct span field_message_id(struct span header);

/* Appends value without (comments), for RFC 3464 and RFC 2045 values.  Quoted strings are left alone. */
void field_strip_comments(struct span value, struct buf *ret_value);

#endif
