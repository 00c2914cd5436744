/*
 * mailing: the text of a case that puts one message on its way, as a client
 * without fault does it.  The engine plays it for `mail` and for fences.
 * What the content needs of MAIL's parameters stands there: SMTPUTF8 (RFC 6531)
 * for a header outside ASCII, BODY=8BITMIME (RFC 6152) for any octet outside it.
 */
#ifndef HARNESS_CONFORM_MAILING_H
#define HARNESS_CONFORM_MAILING_H

#include "base/buf.h"
#include "base/span.h"
#include "harness/conform/sut.h"

struct mailing {
	enum case_service service;
	const char *sender;          /* without <>; NULL: whom the service makes likely */
	const char *recipient;       /* or several, each with a LF behind it */
	const char *mail_parameters; /* of MAIL; NULL: none */
	const char *rcpt_parameters; /* of each RCPT */
	struct span content;         /* not stuffed; ends in CRLF, or gets one */
};

/* The service by which mail for a case's mailboxes goes: its own, or the first that takes mail. */
bool mailing_service(const struct sut *s, const struct case_file *c, enum case_service *ret_service);

/* NULL when the service offers what such content needs; else what it lacks. */
const char *mailing_lacks(const struct sut *s, const struct mailing *m);

/* Appends a case file. */
void mailing_text(const struct mailing *m, struct buf *out);

#endif
