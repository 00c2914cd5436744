/*
 * hop_login: the server's side of a login at a next hop: PLAIN (RFC 4616), LOGIN
 * (an old draft that is everywhere) and SCRAM-SHA-256 (RFC 5802, RFC 7677),
 * without channel binding.
 *
 * Strict: a message that is not as its RFC has it is refused, with the reason in
 * the reply.  Name and password are the same in every run (world/world.h) and no
 * secret, so transcripts show them.  One struct is one exchange; messages are raw
 * bytes, and base64 and SMTP are the sink's.
 */
#ifndef HARNESS_CONFORM_HOP_LOGIN_H
#define HARNESS_CONFORM_HOP_LOGIN_H

#include "harness/peer/sink.h"
#include "harness/scenario/case.h"

struct hop_login;

struct hop_login_options {
	const char *name;
	const char *password;
	enum case_scram scram; /* where SCRAM departs from what is right */
};

/* NULL: a mechanism that is not known here. */
struct hop_login *hop_login_new(const struct hop_login_options *o, struct span mechanism);
/* As sink_login_step_fn. */
enum sink_login_step hop_login_step(struct hop_login *l, const struct span *response, struct buf *ret_text);
void hop_login_free(struct hop_login *l); /* accepts NULL */

#endif
