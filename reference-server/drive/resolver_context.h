/*
 * resolver_context: libunbound's contexts, one after the other.  For
 * resolver.c only.
 *
 * A context remembers trouble longer than a mail queue wants: a SERVFAIL for
 * five seconds, a silent server in its round-trip times, and a lookup that was
 * given up goes on inside and is joined by the next one.  Nothing makes it
 * forget.  So a lookup that comes after such trouble gets a new context, and
 * the old one goes with its last lookup:
 *
 *	failed at once (SERVFAIL, REFUSED)     for a lookup of the same name
 *	no answer in time                      for every lookup: the server was silent
 *
 * At most one new context per RESOLVER_FAILURE_TTL_MS; each costs about a
 * millisecond and forgets good answers too.
 */
#ifndef SERVER_DRIVE_RESOLVER_CONTEXT_H
#define SERVER_DRIVE_RESOLVER_CONTEXT_H

#include "reference-server/drive/resolver.h"

struct ub_ctx; /* libunbound's */

struct contexts;
struct context;

/* forwarder NULL: resolv.conf.  trust_anchor: file; NULL: no validation. */
struct contexts *contexts_new(struct loop *loop, const char *forwarder, const char *trust_anchor,
			      struct err *reterr);
/* No lookup may be under way any more.  Accepts NULL. */
void contexts_free(struct contexts *all);

/* For one lookup of name, to be given back. */
struct context *context_get(struct contexts *all, struct span name);
/* Frees nothing: that must not happen inside a callback of libunbound. */
void context_put(struct context *c);
/* Frees old contexts that nobody uses. */
void contexts_tidy(struct contexts *all);

struct ub_ctx *context_ub(const struct context *c);
/* silent: no answer in time, be it ours or libunbound's. */
void context_note_failure(struct context *c, struct span name, bool silent);

#endif
