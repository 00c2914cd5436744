#include "base/tls_check.h"

#include "base/addr.h"
#include "base/buf.h"

#include <assert.h>
#include <openssl/err.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

/* ---- what is wrong, in words ---- */

enum { NAMES_SHOWN_MAX = 4 };

static void add_entry(struct buf *out, X509_NAME *name)
{
	char text[128] = "";

	if (X509_NAME_get_text_by_NID(name, NID_commonName, text, sizeof(text)) <= 0)
		(void)X509_NAME_oneline(name, text, sizeof(text));
	buf_add_cstr(out, text[0] != '\0' ? text : "nobody");
}

static void add_alternative_names(struct buf *out, X509 *cert)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	int count = sk_GENERAL_NAME_num(names), shown = 0;

	for (int i = 0; i < count; i++) {
		int type;
		const ASN1_STRING *s = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, i), &type);
		if (type != GEN_DNS)
			continue;
		if (shown++ == NAMES_SHOWN_MAX) {
			buf_add_cstr(out, ", ...");
			break;
		}
		buf_add_cstr(out, shown == 1 ? "" : ", ");
		buf_add(out, (struct span){ (const char *)ASN1_STRING_get0_data(s),
					    (size_t)ASN1_STRING_length(s) });
	}
	if (shown == 0)
		buf_add_cstr(out, "no host name");
	GENERAL_NAMES_free(names);
}

/* "certificate of CN, for names, issued by CN, valid until date" */
static void add_certificate(struct buf *out, X509 *cert)
{
	struct tm end;

	buf_add_cstr(out, "certificate \"");
	add_entry(out, X509_get_subject_name(cert));
	buf_add_cstr(out, "\" for ");
	add_alternative_names(out, cert);
	buf_add_cstr(out, ", issued by \"");
	add_entry(out, X509_get_issuer_name(cert));
	buf_add_cstr(out, "\"");
	if (ASN1_TIME_to_tm(X509_get0_notAfter(cert), &end) == 1)
		buf_addf(out, ", valid until %04d-%02d-%02d", end.tm_year + 1900, end.tm_mon + 1,
			 end.tm_mday);
}

/* The first fault is the one that counts. */
static void note_fault(struct tls_proof *p, const char *what, X509 *cert)
{
	struct buf text = { 0 };

	if (p->fault[0] != '\0')
		return;
	buf_addf(&text, "%s: the server of %s showed ", what, p->check->name != NULL ? p->check->name : "?");
	if (cert != NULL)
		add_certificate(&text, cert);
	else
		buf_add_cstr(&text, "no certificate");
	struct span s = span_sub(buf_span(&text), 0, sizeof(p->fault) - 1);
	(void)span_copy(s, p->fault, sizeof(p->fault));
	buf_free(&text);
}

/* ---- the check ---- */

static int proof_slot(void)
{
	static int slot = -1;

	if (slot < 0)
		slot = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	return slot;
}

static int on_verify(int ok, X509_STORE_CTX *store)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls_proof *p = SSL_get_ex_data(ssl, proof_slot());

	if (ok)
		return 1;
	note_fault(p, X509_verify_cert_error_string(X509_STORE_CTX_get_error(store)),
		   X509_STORE_CTX_get0_cert(store));
	return p->check->only_told;
}

/* False when none can be used: then any certificate will do (RFC 7672 2.2). */
static bool use_records(SSL *ssl, const struct tls_check *check)
{
	bool any = false;

	if (SSL_dane_enable(ssl, check->name) != 1)
		abort();
	for (uint32_t i = 0; i < check->record_count; i++) {
		const struct tls_record *r = &check->records[i];
		any |= r->usage >= 2 && SSL_dane_tlsa_add(ssl, r->usage, r->selector, r->matching,
							  (const unsigned char *)r->data.p, r->data.n) == 1;
	}
	ERR_clear_error();
	for (int i = 0; i < TLS_CHECK_OTHER_NAMES_MAX; i++) /* now: enabling forgot all but the first */
		if (check->other_names[i] != NULL)
			(void)SSL_add1_host(ssl, check->other_names[i]);
	(void)SSL_dane_set_flags(ssl, DANE_FLAG_NO_DANE_EE_NAMECHECKS); /* RFC 7672 3.2.1 */
	return any;
}

static void want_names(SSL *ssl, const struct tls_check *check)
{
	struct addr unused;
	unsigned flags = X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS;

	if (check->name == NULL)
		return;
	if (addr_parse(check->name, 0, &unused)) {
		(void)X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), check->name);
		return;
	}
	char sni[256]; /* OpenSSL's macro wants it writable */
	if (span_copy(span_of(check->name), sni, sizeof(sni)))
		(void)SSL_set_tlsext_host_name(ssl, sni);
	(void)SSL_set1_host(ssl, check->name);
	if (check->kind == TLS_CHECK_CHAIN)
		flags |= X509_CHECK_FLAG_NEVER_CHECK_SUBJECT;
	SSL_set_hostflags(ssl, flags);
}

void tls_proof_begin(struct tls_proof *p, SSL *ssl, const struct tls_check *check)
{
	*p = (struct tls_proof){ .check = check };
	want_names(ssl, check);
	if (check->kind == TLS_CHECK_NOTHING || (check->kind == TLS_CHECK_DANE && !use_records(ssl, check))) {
		SSL_set_verify(ssl, SSL_VERIFY_NONE, NULL);
		return;
	}
	if (SSL_set_ex_data(ssl, proof_slot(), p) != 1)
		abort();
	SSL_set_verify(ssl, SSL_VERIFY_PEER, on_verify);
}

/* ---- pins ---- */

static bool is_pinned(const struct tls_check *check, X509 *cert)
{
	unsigned char *der = NULL;
	int der_bytes = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
	unsigned char digest[SHA256_DIGEST_LENGTH];
	bool found = false;

	static_assert(sizeof(digest) == TLS_PIN_BYTES, "one kind of pin");
	if (der_bytes <= 0)
		return false;
	(void)SHA256(der, (size_t)der_bytes, digest);
	OPENSSL_free(der);
	for (uint32_t i = 0; i < check->pin_count && !found; i++)
		found = memcmp(digest, check->pins + (size_t)i * TLS_PIN_BYTES, sizeof(digest)) == 0;
	return found;
}

bool tls_proof_end(struct tls_proof *p, SSL *ssl)
{
	const struct tls_check *check = p->check;

	if (check->pin_count > 0) {
		STACK_OF(X509) *chain = SSL_get0_verified_chain(ssl);
		bool found = false;
		for (int i = 0; i < sk_X509_num(chain) && !found; i++)
			found = is_pinned(check, sk_X509_value(chain, i));
		if (!found)
			note_fault(p, "no public key of the chain is among the pinned ones",
				   SSL_get0_peer_certificate(ssl));
	}
	return check->only_told || p->fault[0] == '\0';
}

bool tls_record_is_usable(const struct tls_record *r)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *ssl = NULL;
	bool usable = ctx != NULL && SSL_CTX_dane_enable(ctx) == 1 && (ssl = SSL_new(ctx)) != NULL &&
		      use_records(ssl, &(struct tls_check){ .kind = TLS_CHECK_DANE,
							    .name = "localhost",
							    .records = r,
							    .record_count = 1 });

	SSL_free(ssl);
	SSL_CTX_free(ctx);
	return usable;
}
