/*
 * mime: the parts of a message (RFC 2045, 2046), as far as judging needs it:
 * nesting, media types, parameters, transfer encodings, and the groups of
 * fields inside message/delivery-status (RFC 3464 section 2.1).
 *
 * Works on a whole message in memory; parts are spans of it.  Depth and number
 * of parts are limited; reaching a limit is noted and ends the walk.
 */
#ifndef HARNESS_WIRE_MIME_H
#define HARNESS_WIRE_MIME_H

#include "base/buf.h"
#include "base/span.h"

enum {
	MIME_DEPTH_MAX = 16,
	MIME_PARTS_MAX = 1000,
	MIME_BOUNDARY_CHARS_MAX = 70, /* RFC 2046 section 5.1.1 */
};

enum mime_note {
	MIME_NO_BOUNDARY = 1u << 0, /* multipart without a usable boundary parameter */
	MIME_NO_OPENING = 1u << 1,  /* the boundary never occurs */
	MIME_UNCLOSED = 1u << 2,    /* the closing delimiter is missing */
	MIME_TOO_DEEP = 1u << 3,
	MIME_TOO_MANY = 1u << 4,
	MIME_ENCODED_MULTIPART = 1u << 5, /* RFC 2045 section 6.4: only 7bit, 8bit, binary */
};

struct mime_part {
	uint32_t depth;  /* 0: the message itself */
	uint32_t index;  /* in order of their beginnings, from 0 */
	uint32_t parent; /* index of the enclosing part; 0 for the message itself */
	struct span header;
	struct span body;         /* without the line end before the next delimiter */
	struct span type;         /* "multipart"; defaults of RFC 2045 section 5.2 filled in */
	struct span subtype;      /* "report" */
	struct span content_type; /* the raw value, for mime_param; may be empty */
	struct span encoding;     /* "base64"; "7bit" when absent */
};

/* Return false to stop the walk. */
typedef bool mime_fn(void *ctx, const struct mime_part *part);

/* Calls fn for the message and every part, outer before inner.  Goes into multipart/ and message/rfc822.
 * Returns notes. */
uint32_t mime_walk(struct span message, mime_fn *fn, void *ctx);

/* The first part of that type below the message, in walk order. */
bool mime_find(struct span message, struct span type, struct span subtype, struct mime_part *ret_part);

/* Appends a parameter's value, quotes and comments removed: report-type, boundary.  False when absent or
 * malformed. */
bool mime_param(struct span content_type, struct span name, struct buf *ret_value);

/* Appends the body with its transfer encoding undone; line ends stay.  False when malformed or unknown (then
 * raw). */
bool mime_decode(const struct mime_part *part, struct buf *ret_bytes);

/*
 * Cuts the next group of fields from the front of a message/delivery-status
 * body: first the per-message fields, then one group per recipient.  Use
 * field_value on a group.  False at the end.
 */
bool status_group_next(struct span *body, struct span *ret_group);

/* "rfc822; a@b" -> type "rfc822", value "a@b", both trimmed.  False without ";". */
bool status_typed_value(struct span value, struct span *ret_type, struct span *ret_value);

#endif
