/*
 * dkim_check: signs a message and verifies what came of it (RFC 6376), with
 * rsa-sha256 and a key of this process that nobody else knows.
 *
 * No DNS: signer and verifier are the same harness, and only whether the message
 * is still the one that was signed is asked.
 */
#ifndef HARNESS_JUDGE_DKIM_CHECK_H
#define HARNESS_JUDGE_DKIM_CHECK_H

#include "harness/wire/dkim.h"

/*
 * Appends a DKIM-Signature field, folded, for the message in front of which it
 * will stand: it signs every field, and names From once more, so that none may be added.
 */
void dkim_sign(struct span message, struct span domain, enum dkim_form header, enum dkim_form body,
	       struct buf *out);

/* Whether the first signature by this key holds, whoever else has signed too; else *why says what does not. */
bool dkim_holds(struct span message, struct buf *why);

#endif
