/*
 * hop_tls: the certificate that a host of a case shows, and what the case may
 * know of it: its digests, and those of its issuer, for TLSA records
 * (RFC 6698 2.1).
 */
#ifndef HARNESS_CONFORM_HOP_TLS_H
#define HARNESS_CONFORM_HOP_TLS_H

#include "base/err.h"
#include "base/tls.h"
#include "harness/conform/values.h"
#include "harness/scenario/case.h"
#include "harness/world/ca.h"

struct hop_tls_options {
	const struct case_certificate *what; /* not CASE_TLS_NONE */
	const char *name;                    /* of the host, in the case: variables begin with it */
	struct ca *ca;                       /* of the run */
	const char *host_name;               /* the certificate's, unless the case says another */
	uint64_t token;                      /* of this playing: files are named by it */
	struct values *values;               /* names are made of them; the variables are set */
};
/* NULL with the reason. */
struct tls_ctx *hop_tls_new(const struct hop_tls_options *o, struct err *reterr);

#endif
