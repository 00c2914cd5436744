/*
 * tls_policy: how a next hop must be protected, and what has to be proven of it
 * (STARTTLS RFC 3207, MTA-STS RFC 8461 4 and 5, DANE RFC 7672 2.2, REQUIRETLS
 * RFC 8689 4.2.1).
 *
 * Pure: settings and facts in, a plan out.  Policies come from the
 * configuration; nothing is fetched.
 *
 *	none     never TLS
 *	may      when offered; a handshake that fails is followed by clear text
 *	require  or not at all; any certificate
 *	verify   or not at all; a trusted chain with the host's name in it
 *
 * A rule may be narrower than verify: hosts of the MX records that are
 * acceptable (RFC 8461 4.1) and public keys, in mode enforce, or in mode testing
 * where a violation is only written down (RFC 8461 5).
 *
 * What a sender wants goes before: REQUIRETLS over each rule; TLS-Required: No over
 * lists, pins and TLSA records, which are the domain's, but not over a level, which
 * is ours (RFC 8689 4.2.2).
 *
 * TLSA records that can be used win over the level, except over none: the name
 * is then proven by them instead of by a CA.  Acceptable hosts and keys are asked
 * for all the same (RFC 8461 2: neither weakens the other).
 */
#ifndef SERVER_POLICY_TLS_POLICY_H
#define SERVER_POLICY_TLS_POLICY_H

#include "base/span.h"

#include <stdbool.h>
#include <stdint.h>

enum tls_policy {
	TLS_POLICY_NONE,
	TLS_POLICY_MAY,
	TLS_POLICY_REQUIRE,
	TLS_POLICY_VERIFY,
};

enum { TLS_POLICY_PIN_BYTES = 32 }; /* SHA-256 of a SubjectPublicKeyInfo */

struct tls_rule {
	char *domain; /* lower case: "example.com"; ".example.com" for everything below it */
	enum tls_policy policy;
	bool testing; /* policy is what counts; what follows is only looked at */
	char **mx;    /* "mx.example.com", "*.example.com"; none: any host */
	uint32_t mx_count;
	uint8_t *pins; /* one behind the other */
	uint32_t pin_count;
};

/* The most specific one: exact, then the longest suffix.  NULL when there is none. */
const struct tls_rule *tls_rule_find(const struct tls_rule *rules, uint32_t rule_count, struct span domain);

/* "*." and a name stand for one label and the name (RFC 8461 4.1). */
bool tls_mx_pattern_is_valid(struct span pattern);
bool tls_mx_matches(struct span pattern, struct span host);

enum tls_dane {
	TLS_DANE_NONE,     /* not looked for, not there, or not secure */
	TLS_DANE_UNUSABLE, /* secure, and none of a kind that we know */
	TLS_DANE_USABLE,
};

/* What the sender of a message wants (RFC 8689 2, 3). */
enum tls_wish {
	TLS_WISH_NONE,
	TLS_WISH_REQUIRED, /* REQUIRETLS: a host that is known, proven, and keeps it; or not at all */
	TLS_WISH_OPTIONAL, /* TLS-Required: No: what the domain demands does not count */
};

struct tls_facts {
	struct span host;
	bool from_mx;      /* the name is of an MX record; else the configuration's, or the domain's own */
	bool mx_is_secure; /* that record was validated by DNSSEC */
	enum tls_dane dane;
	enum tls_wish wish;
};

enum tls_proof_wanted { TLS_PROOF_NONE, TLS_PROOF_CHAIN, TLS_PROOF_DANE };

struct tls_plan {
	const char *refused;    /* the host must not be used: why; NULL: go on */
	const char *told;       /* in mode testing: why enforce would have refused it; or NULL */
	enum tls_policy policy; /* NONE, MAY or REQUIRE */
	enum tls_proof_wanted proof;
	bool testing;            /* violations are written down, and that is all */
	bool proof_is_only_told; /* so */
	bool uses_pins;
	bool proves_host; /* once up, the connection is as REQUIRETLS wants it */
};

/* rule may be NULL: `usual` is the policy where no rule is. */
struct tls_plan tls_plan_make(const struct tls_rule *rule, enum tls_policy usual, const struct tls_facts *f);

#endif
