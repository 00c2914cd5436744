/*
 * derive: the values that `let` makes (docs/case-format.md): repeated, in base64
 * and out of it, MD5 in hexadecimal (APOP, RFC 1939 7), and what SCRAM computes
 * from a password (RFC 5802 3).
 *
 * Operands in, bytes out; nothing is kept.  A value that cannot be made, because
 * a server's part of it is malformed, is no mistake of the case: *reterr says
 * why, for the requirement that is judged.
 */
#ifndef HARNESS_CONFORM_DERIVE_H
#define HARNESS_CONFORM_DERIVE_H

#include "base/buf.h"
#include "base/err.h"
#include "harness/scenario/case.h"

/* Appends the value; not for CASE_LET_BINDING, which a connection knows.  Negative errno. */
int derive(const struct case_step *let, const struct span operands[CASE_OPERANDS_MAX], struct buf *ret_value,
	   struct err *reterr);

#endif
