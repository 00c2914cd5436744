/*
 * received: reads a Received field, one line, unfolded, as RFC 5321 section 4.4
 * has it, and says where it is otherwise.
 *
 * Lenient about what stands in comments: only an address literal is looked for
 * in those behind from.  Without notes, the field is one that a server may add.
 */
#ifndef HARNESS_WIRE_RECEIVED_H
#define HARNESS_WIRE_RECEIVED_H

#include "base/span.h"

enum received_note {
	RECEIVED_NO_FROM = 1u << 0,     /* it does not begin with from and a name */
	RECEIVED_NO_BY = 1u << 1,       /* by and a name do not come next */
	RECEIVED_NO_ADDRESS = 1u << 2,  /* neither the name nor a comment of from has an address literal */
	RECEIVED_ODD_NAME = 1u << 3,    /* what from or by names is neither domain nor address literal */
	RECEIVED_ODD_ORDER = 1u << 4,   /* via, with, id, for: each once, in this order */
	RECEIVED_ODD_VIA = 1u << 5,     /* a link that is not registered */
	RECEIVED_ODD_WITH = 1u << 6,    /* a protocol that is not registered */
	RECEIVED_ODD_CLAUSE = 1u << 7,  /* a clause that is not registered */
	RECEIVED_MANY_FOR = 1u << 8,    /* for with more than one path */
	RECEIVED_NO_DATE = 1u << 9,     /* no ";" and date-time */
	RECEIVED_UNREADABLE = 1u << 10, /* a word without its value */
};

struct received {
	uint32_t notes; /* enum received_note */
	uint32_t date;  /* enum date_note */
};
struct received received_read(struct span value);

/* What can be asked of one: `form`, `date`, …; a name of NULL ends the list. */
struct received_aspect {
	const char *name;
	uint32_t notes, date; /* none of these */
	const char *wanted;   /* in words */
};
extern const struct received_aspect RECEIVED_ASPECTS[];

/* "mx.sut.example", or "[192.0.2.1]": Domain or address-literal of RFC 5321 section 4.1.2. */
bool received_is_domain(struct span name);
bool received_is_literal(struct span name);

#endif
