/*
 * mail_form: whether a message is one that RFC 5322 lets a program generate, as
 * a mail server does when it writes a notification.
 *
 * Reads a whole message in memory and repairs nothing.  What obsolete syntax a
 * reader must understand (section 4) is noted too: it must not be generated.
 */
#ifndef HARNESS_WIRE_MAIL_FORM_H
#define HARNESS_WIRE_MAIL_FORM_H

#include "base/span.h"

enum mail_form_note {
	MAIL_FORM_BARE_EOL = 1u << 0,  /* CR or LF other than as CRLF (2.2, 2.3) */
	MAIL_FORM_LINE_998 = 1u << 1,  /* more than 998 characters (2.1.1) */
	MAIL_FORM_LINE_78 = 1u << 2,   /* more than 78 (2.1.1) */
	MAIL_FORM_ODD_FIELD = 1u << 3, /* a line of the header that is neither field nor continuation (2.2) */
	MAIL_FORM_BLANK_FOLD = 1u << 4,    /* a continuation of blanks only (3.2.2) */
	MAIL_FORM_ODD_CHARACTER = 1u << 5, /* NUL, or in the header something that is not ASCII (2.2, 4.1) */
	MAIL_FORM_MISSING = 1u << 6,       /* no Date or no From (3.6) */
	MAIL_FORM_REPEATED = 1u << 7,      /* a field more often than the table of 3.6 allows */
	MAIL_FORM_NO_ID = 1u << 8,         /* no Message-ID (3.6.4) */
	MAIL_FORM_ODD_ID = 1u << 9,        /* a Message-ID that is not <left@right> (3.6.4) */
	MAIL_FORM_NO_SENDER = 1u << 10,    /* From has several mailboxes and there is no Sender (3.6.2) */
	MAIL_FORM_NO_BODY = 1u << 11,      /* no empty line behind the header (3.5) */
};

struct mail_form {
	uint32_t notes;      /* enum mail_form_note */
	uint32_t date;       /* enum date_note, of Date */
	uint32_t originator; /* enum mail_address_note, of From, Sender and Reply-To */
	uint32_t recipient;  /* of To and Cc */
};
struct mail_form mail_form_read(struct span message);

/* What can be asked of one: `lines`, `dates`, …; a name of NULL ends the list. */
struct mail_form_aspect {
	const char *name;
	struct mail_form without; /* none of these */
	const char *wanted;       /* in words */
};
extern const struct mail_form_aspect MAIL_FORM_ASPECTS[];

#endif
