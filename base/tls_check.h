/*
 * tls_check: what a client wants proven of the server, for one connection.
 *
 *	NOTHING  any certificate will do
 *	CHAIN    the chain leads to a CA that the tls_ctx trusts, is valid now, and
 *		 the certificate has the name (RFC 9525 6.3: alternative names
 *		 only, * for one whole label)
 *	DANE     the chain matches one of the association records (RFC 6698,
 *		 7671): with usage 3 the certificate itself, whatever its names and
 *		 dates; with usage 2 an issuer of it, and one of the names
 *
 * Beside CHAIN or DANE, pins: the public key of one certificate of the proven
 * chain must be among them.
 *
 * A proof that fails ends the handshake, and conn_error says which certificate
 * was seen and what is wrong with it; with only_told it goes on, and
 * conn_tls_fault says so afterwards.
 *
 * What a check points at is borrowed until the handshake is over, or the conn freed.
 */
#ifndef BASE_TLS_CHECK_H
#define BASE_TLS_CHECK_H

#include "base/span.h"

#include <stdbool.h>
#include <stdint.h>

struct ssl_st; /* OpenSSL's SSL */

enum {
	TLS_PIN_BYTES = 32, /* SHA-256 of a SubjectPublicKeyInfo */
	TLS_CHECK_OTHER_NAMES_MAX = 2,
	TLS_FAULT_BYTES_MAX = 400,
};

enum tls_check_kind { TLS_CHECK_NOTHING, TLS_CHECK_CHAIN, TLS_CHECK_DANE };

/* RFC 6698 2.1. */
struct tls_record {
	uint8_t usage, selector, matching;
	struct span data;
};

struct tls_check {
	enum tls_check_kind kind;
	bool only_told;
	const char *name;                                   /* or an IP address; for SNI too; NULL: none */
	const char *other_names[TLS_CHECK_OTHER_NAMES_MAX]; /* DANE: as good as name; NULL: none */
	const struct tls_record *records;
	uint32_t record_count;
	const uint8_t *pins; /* one behind the other */
	uint32_t pin_count;
};

/*
 * Whether OpenSSL can use it (RFC 6698 4.1): a usage that needs no other trust
 * (2, 3; RFC 7672 3.1.3), selector, matching type and length known.
 */
bool tls_record_is_usable(const struct tls_record *r);

/* ---- for conn ---- */

/* What was found, kept while the handshake goes on. */
struct tls_proof {
	const struct tls_check *check;
	char fault[TLS_FAULT_BYTES_MAX]; /* empty: none */
};

/* Before the handshake.  The proof stays where it is until ssl is gone. */
void tls_proof_begin(struct tls_proof *p, struct ssl_st *ssl, const struct tls_check *check);
/* After it, for what the library does not check itself.  False when the connection must not be used. */
bool tls_proof_end(struct tls_proof *p, struct ssl_st *ssl);

#endif
