/*
 * tls: OpenSSL contexts and certificates.
 *
 * A struct tls_ctx is one side's settings, shared by many connections and
 * counted: connections made from it keep it alive, so a reload makes a new one
 * and frees the old at once.  Certificates are P-256, made here for a run or a
 * data directory; PEM files in and out.
 */
#ifndef BASE_TLS_H
#define BASE_TLS_H

#include "base/err.h"
#include "base/span.h"

#include <stdbool.h>
#include <stdint.h>

struct ssl_ctx_st; /* OpenSSL's SSL_CTX */

struct tls_ctx;

/* Server side.  Certificate chain and key from PEM files.  NULL and *reterr on failure. */
struct tls_ctx *tls_server_new(const char *chain_path, const char *key_path, struct err *reterr);

/* The same from PEM text in memory. */
struct tls_ctx *tls_server_new_pem(struct span chain, struct span key, struct err *reterr);

/*
 * Another certificate for the same listeners: connections whose client asks for
 * a name that is in it (SNI, RFC 6066 3) get it instead of t's own, which wins
 * where both have the name, and which everybody else gets.  Earlier ones win
 * over later ones.  Takes other.  Before the first connection.
 */
void tls_server_add(struct tls_ctx *t, struct tls_ctx *other);

/*
 * Client side.  ca_path: PEM bundle that a peer's chain must lead to and whose
 * name must match; NULL: accept any certificate (opportunistic TLS).
 */
struct tls_ctx *tls_client_new(const char *ca_path, struct err *reterr);

/*
 * Client side, for conn_start_tls_checked: each connection says what it wants
 * proven.  ca_path: the CAs that are trusted; NULL: the system's.
 */
struct tls_ctx *tls_client_new_trusting(const char *ca_path, struct err *reterr);

/* Before the first connection: speaks this version and no other: "1.1", "1.2" or "1.3"; false: there is none such.
 * What is too weak by OpenSSL's measure is allowed for 1.1, which would not work otherwise. */
bool tls_only(struct tls_ctx *t, const char *version);

void tls_free(struct tls_ctx *t);

/* Borrowed; for base/conn. */
struct ssl_ctx_st *tls_ssl_ctx(const struct tls_ctx *t);

/*
 * Makes a certificate, P-256 unless RSA is asked for, for the given names (DNS names or IP addresses,
 * NULL-terminated list), valid from a year back to five years on unless times are given, and writes
 * chain and key (mode 0600).  With issuer paths NULL it is self-signed; with
 * names NULL it is a CA; an empty list leaves the common name alone.  Returns 0 or negative errno.
 */
struct cert_options {
	const char *common_name;
	const char *const *names;
	bool rsa;                 /* 2048 bits, for servers that cannot use P-256 */
	int64_t begins_s, ends_s; /* from now; both 0: as above */
	const char *only_below;   /* a CA's: names it may vouch for (RFC 5280 4.2.1.10); NULL: any */
	const char *issuer_cert_path;
	const char *issuer_key_path;
	const char *ret_cert_path; /* where to write */
	const char *ret_key_path;
};
int cert_make(const struct cert_options *o, struct err *reterr);

#endif
