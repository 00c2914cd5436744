/*
 * sasl: the client's side of PLAIN (RFC 4616), LOGIN (an old draft that is
 * everywhere) and SCRAM-SHA-256 (RFC 5802, RFC 7677), without channel binding.
 *
 * One struct is one exchange.  Messages are raw bytes; base64 and the framing
 * of the protocol are the caller's.  Memory that held secrets is wiped.
 */
#ifndef HARNESS_LOAD_SASL_H
#define HARNESS_LOAD_SASL_H

#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"
#include "harness/load/access.h"

enum {
	SASL_ITERATIONS_MAX = 1000000, /* a server that asks for more is refused */
	SASL_HASH_BYTES_MAX = 32,
};

struct sasl;

/* Picks the mechanism; offered: names separated by blanks.  NULL and *reterr when none fits. */
struct sasl *sasl_new(enum access_mechanism mechanism, struct span offered, const char *user,
		      const char *password, struct err *reterr);
void sasl_free(struct sasl *s); /* accepts NULL */

/* Fixes SCRAM's nonce, which is random otherwise, before the first step: for the RFC's own example. */
void sasl_set_nonce(struct sasl *s, struct span nonce);

const char *sasl_name(const struct sasl *s); /* "SCRAM-SHA-256" */

/* Appends what goes with the AUTH command.  False: nothing does (LOGIN); wait for a challenge. */
bool sasl_initial(struct sasl *s, struct buf *ret_response);
/* Appends the answer to a challenge, perhaps empty.  Negative errno when the server is wrong or proves false.
 */
int sasl_step(struct sasl *s, struct span challenge, struct buf *ret_response, struct err *reterr);
/* Whether success may be believed: SCRAM wants the server's signature to have been seen. */
bool sasl_is_complete(const struct sasl *s);

/* What SCRAM computes (RFC 5802 section 3), for whoever leads the exchange himself. */
struct sasl_scram {
	const char *hash; /* "SHA-1" or "SHA-256" */
	struct span password;
	struct span salt;
	uint32_t iterations;
	struct span auth_message;
};
/* Returns how many bytes both have. */
size_t sasl_scram_prove(const struct sasl_scram *o, unsigned char ret_proof[SASL_HASH_BYTES_MAX],
			unsigned char ret_server_signature[SASL_HASH_BYTES_MAX]);

#endif
