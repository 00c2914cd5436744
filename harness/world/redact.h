/*
 * redact: takes the passwords of a run out of everything that is kept or
 * shown.
 *
 * Found are a password as it is, between characters that are no letters and
 * digits, and as AUTH sends it: in base64, alone (LOGIN) and with its user
 * (PLAIN, RFC 4616).  Each becomes "[redacted]".  An exchange that keeps the
 * password to itself (SCRAM, CRAM-MD5) needs no help.
 */
#ifndef HARNESS_WORLD_REDACT_H
#define HARNESS_WORLD_REDACT_H

#include "base/buf.h"
#include "base/err.h"

struct redact;

struct redact *redact_new(void);
void redact_free(struct redact *r); /* accepts NULL */
void redact_add(struct redact *r, const char *user, const char *password);

/* Appends text to out without what was added; r NULL: as it is. */
void redact_text(const struct redact *r, struct span text, struct buf *out);
/* In place. */
void redact_buf(const struct redact *r, struct buf *b);
/* Rewrites the file when there is something in it; one that is missing is fine. */
int redact_file(const struct redact *r, const char *path, size_t bytes_max, struct err *reterr);

#endif
