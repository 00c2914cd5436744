/*
 * header: watches the header section of a message go by (RFC 5322 2.2, 3.6).
 *
 * Fed with the runs that content.h cuts, it keeps no line and no text, only
 * counts: how often each field it knows occurred, how many bytes the header
 * section has, whether all of them are ASCII, and how it ended.  The values it
 * reads are that of TLS-Required and, when asked to, those of address fields
 * (RFC 5322 3.6.2, 3.6.3, 3.6.6).  It judges nothing: loop detection (RFC 5321
 * 6.3), supplying Date and Message-ID on submission (RFC 6409 8) and size
 * limits are decisions of its callers.
 *
 * The header section ends at the first empty line, or before the first line
 * that is neither a field (a name of printable ASCII without ':', then ':')
 * nor a continuation of one.  An empty content, or one whose first line is no
 * field, has no header section.  A line ends at LF; the CR before it is not
 * asked for, because content.h already reports bare ones.
 */
#ifndef SERVER_CORE_HEADER_H
#define SERVER_CORE_HEADER_H

#include "base/span.h"
#include "reference-server/core/address_list.h"

enum header_field {
	HEADER_RECEIVED,
	HEADER_RETURN_PATH,
	HEADER_DATE,
	HEADER_FROM,
	HEADER_SENDER,
	HEADER_REPLY_TO,
	HEADER_TO,
	HEADER_CC,
	HEADER_BCC,
	HEADER_MESSAGE_ID,
	HEADER_SUBJECT,
	HEADER_MIME_VERSION,
	HEADER_CONTENT_TYPE,
	HEADER_CONTENT_TRANSFER_ENCODING,
	HEADER_AUTO_SUBMITTED,
	HEADER_TLS_REQUIRED, /* RFC 8689 3 */
	HEADER_RESENT_FROM,
	HEADER_RESENT_SENDER,
	HEADER_RESENT_TO,
	HEADER_RESENT_CC,
	HEADER_RESENT_BCC,
	HEADER_FIELD_COUNT, /* also: any other field */
};

enum header_end {
	HEADER_OPEN,        /* still inside, or the content ended inside */
	HEADER_EMPTY_LINE,  /* the regular end; header_bytes includes the empty line */
	HEADER_NOT_A_FIELD, /* body began without an empty line; header_bytes stops before that line */
};

enum {
	/* Longer names are other fields; RFC 5322 2.1.1 would allow 998. */
	HEADER_NAME_BYTES_MAX = 32,
};

/* A value.  Read by the caller, written here only. */
struct header_scan {
	enum header_end end;
	uint64_t header_bytes;                  /* final once end is not HEADER_OPEN */
	uint32_t count[HEADER_FIELD_COUNT + 1]; /* saturating; the last one counts all other fields */
	bool has_8bit;                          /* some byte of it is above 127 */
	bool tls_required_no;                   /* the value of the last TLS-Required is "No" (RFC 8689 3) */

	/* Set by the caller behind init: whether values of address fields are read. */
	bool reads_addresses;

	/* The line in progress; of no interest to callers. */
	uint8_t where;
	uint64_t line_start; /* header_bytes at its first byte */
	uint32_t name_bytes;
	bool in_tls_required;
	bool in_addresses;
	bool may_be_empty; /* the address field that is read */
	struct address_list addresses;
	enum address_list_result addresses_worst; /* of the fields that have ended */
	uint8_t value_bytes;              /* of its value, blanks left out; no more than one too many */
	char name[HEADER_NAME_BYTES_MAX]; /* lower case */
};

void header_scan_init(struct header_scan *h);

/* The next run of content.  Costs nothing once the header section has ended. */
void header_scan_feed(struct header_scan *h, struct span run);

/* RFC 8689 3: there is one, and it says No. */
static inline bool header_waives_tls(const struct header_scan *h)
{
	return h->count[HEADER_TLS_REQUIRED] == 1 && h->tls_required_no;
}

/* The worst that an address field is; also of one that the content's end cut off. */
enum address_list_result header_addresses(const struct header_scan *h);

static inline bool header_has(const struct header_scan *h, enum header_field field)
{
	return h->count[field] > 0;
}

#endif
