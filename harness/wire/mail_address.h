/*
 * mail_address: reads the address lists of a message's header (RFC 5322 section
 * 3.4), strictly, and says where they are not what may or should be generated.
 *
 * The value is one line, unfolded.
 */
#ifndef HARNESS_WIRE_MAIL_ADDRESS_H
#define HARNESS_WIRE_MAIL_ADDRESS_H

#include "base/span.h"

enum mail_address_note {
	MAIL_ADDRESS_BAD = 1u << 0,     /* no address list, or an obsolete one (section 4.4) */
	MAIL_ADDRESS_COMMENT = 1u << 1, /* a comment in it (section 3.4) */
	MAIL_ADDRESS_SPACED = 1u << 2,  /* blanks or comments at "@" or in the address (section 3.4.1) */
	MAIL_ADDRESS_QUOTED = 1u << 3,  /* a local-part in quotes that needs none (section 3.4.1) */
	MAIL_ADDRESS_GROUP = 1u << 4,   /* group syntax */
	MAIL_ADDRESS_MANY = 1u << 5,    /* more than one mailbox, those of groups counted */
};
uint32_t mail_address_notes(struct span value);

/* "<left@right>" (section 3.6.4). */
bool mail_address_is_message_id(struct span value);

#endif
