#include "base/tls.h"

#include "base/addr.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/random.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

struct tls_ctx {
	SSL_CTX *ssl_ctx;
};

static int tls_err(struct err *reterr, const char *what, const char *object)
{
	unsigned long code = ERR_get_error();
	const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;

	ERR_clear_error();
	if (reason == NULL)
		reason = "unknown TLS library error";
	return err_set(reterr, -EPROTO, "%s: %s: %s", object, what, reason);
}

static struct tls_ctx *new_ctx(const SSL_METHOD *method)
{
	struct tls_ctx *t = calloc(1, sizeof(*t));
	SSL_CTX *c = SSL_CTX_new(method);

	if (t == NULL || c == NULL)
		abort();
	t->ssl_ctx = c;
	(void)SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION);
	(void)SSL_CTX_set_mode(c, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
					  SSL_MODE_RELEASE_BUFFERS);
	(void)SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
					     SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_read_ahead(c, 1);
	return t;
}

/* The first certificate is the server's own, the others its chain. */
static bool use_chain(SSL_CTX *c, struct span pem)
{
	BIO *in = BIO_new_mem_buf(pem.p, (int)pem.n);
	X509 *own = PEM_read_bio_X509_AUX(in, NULL, NULL, NULL);
	bool ok = own != NULL && SSL_CTX_use_certificate(c, own) == 1;
	X509 *next;

	X509_free(own);
	while (ok && (next = PEM_read_bio_X509(in, NULL, NULL, NULL)) != NULL) {
		ok = SSL_CTX_add0_chain_cert(c, next) == 1;
		if (!ok)
			X509_free(next);
	}
	if (ok)
		ERR_clear_error(); /* the end of the text is no error */
	BIO_free(in);
	return ok;
}

static bool use_key(SSL_CTX *c, struct span pem)
{
	BIO *in = BIO_new_mem_buf(pem.p, (int)pem.n);
	EVP_PKEY *key = PEM_read_bio_PrivateKey(in, NULL, NULL, NULL);
	bool ok = key != NULL && SSL_CTX_use_PrivateKey(c, key) == 1;

	EVP_PKEY_free(key);
	BIO_free(in);
	return ok;
}

struct tls_ctx *tls_server_new_pem(struct span chain, struct span key, struct err *reterr)
{
	static const unsigned char session_context[] = "postrider";
	struct tls_ctx *t = new_ctx(TLS_server_method());
	int rc = 0;

	if (chain.n == 0 || !use_chain(t->ssl_ctx, chain))
		rc = tls_err(reterr, "not usable", "TLS certificate");
	else if (key.n == 0 || !use_key(t->ssl_ctx, key))
		rc = tls_err(reterr, "not usable, or not the certificate's", "TLS private key");
	if (rc != 0) {
		tls_free(t);
		return NULL;
	}
	(void)SSL_CTX_set_session_id_context(t->ssl_ctx, session_context, sizeof(session_context) - 1);
	/* TLS 1.2 with forward secrecy and authenticated encryption only (RFC 9325 4.2). */
	if (SSL_CTX_set_cipher_list(t->ssl_ctx, "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM") != 1)
		abort();
	return t;
}

struct tls_ctx *tls_server_new(const char *chain_path, const char *key_path, struct err *reterr)
{
	enum { PEM_BYTES_MAX = 1024 * 1024 };
	struct buf chain = { 0 }, key = { 0 };
	struct tls_ctx *t = NULL;

	if (file_read(chain_path, PEM_BYTES_MAX, &chain, reterr) == 0 &&
	    file_read(key_path, PEM_BYTES_MAX, &key, reterr) == 0) {
		t = tls_server_new_pem(buf_span(&chain), buf_span(&key), reterr);
		if (t == NULL)
			(void)err_wrap(reterr, chain_path);
	}
	if (key.p != NULL)
		explicit_bzero(key.p, key.room);
	buf_free(&chain);
	buf_free(&key);
	return t;
}

/* ---- certificates by name: hung on the SSL_CTX, because connections keep that ---- */

struct others {
	SSL_CTX **list;
	size_t count;
};

static void free_others(void *parent, void *p, CRYPTO_EX_DATA *data, int index, long argl, void *argp)
{
	struct others *o = p;
	(void)parent, (void)data, (void)index, (void)argl, (void)argp;

	if (o == NULL)
		return;
	for (size_t i = 0; i < o->count; i++)
		SSL_CTX_free(o->list[i]);
	free(o->list);
	free(o);
}

static bool is_for(SSL_CTX *c, const char *name)
{
	X509 *own = SSL_CTX_get0_certificate(c);
	return own != NULL && X509_check_host(own, name, 0, 0, NULL) == 1;
}

static int on_server_name(SSL *ssl, int *alert, void *arg)
{
	const struct others *o = arg;
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	(void)alert;

	if (name == NULL || is_for(SSL_get_SSL_CTX(ssl), name))
		return SSL_TLSEXT_ERR_OK;
	for (size_t i = 0; i < o->count; i++)
		if (is_for(o->list[i], name)) {
			(void)SSL_set_SSL_CTX(ssl, o->list[i]);
			break;
		}
	return SSL_TLSEXT_ERR_OK; /* an unknown name is no reason to serve nobody (RFC 6066 3) */
}

void tls_server_add(struct tls_ctx *t, struct tls_ctx *other)
{
	static int slot = -1;

	if (slot < 0)
		slot = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_others);
	struct others *o = SSL_CTX_get_ex_data(t->ssl_ctx, slot);
	if (o == NULL) {
		o = calloc(1, sizeof(*o));
		if (o == NULL || SSL_CTX_set_ex_data(t->ssl_ctx, slot, o) != 1)
			abort();
		(void)SSL_CTX_set_tlsext_servername_callback(t->ssl_ctx, on_server_name);
		(void)SSL_CTX_set_tlsext_servername_arg(t->ssl_ctx, o);
	}
	o->list = realloc(o->list, (o->count + 1) * sizeof(SSL_CTX *));
	if (o->list == NULL)
		abort();
	o->list[o->count++] = other->ssl_ctx;
	free(other);
}

struct tls_ctx *tls_client_new(const char *ca_path, struct err *reterr)
{
	struct tls_ctx *t = new_ctx(TLS_client_method());

	if (ca_path != NULL) {
		if (SSL_CTX_load_verify_file(t->ssl_ctx, ca_path) != 1) {
			(void)tls_err(reterr, "load CA certificates", ca_path);
			tls_free(t);
			return NULL;
		}
		SSL_CTX_set_verify(t->ssl_ctx, SSL_VERIFY_PEER, NULL);
	}
	return t;
}

struct tls_ctx *tls_client_new_trusting(const char *ca_path, struct err *reterr)
{
	struct tls_ctx *t = new_ctx(TLS_client_method());
	SSL_CTX *c = t->ssl_ctx;
	bool loaded = ca_path != NULL ? SSL_CTX_load_verify_file(c, ca_path) == 1
				      : SSL_CTX_set_default_verify_paths(c) == 1;

	if (!loaded || SSL_CTX_dane_enable(c) != 1) {
		(void)tls_err(reterr, "load CA certificates",
			      ca_path != NULL ? ca_path : "the system's certificate store");
		tls_free(t);
		return NULL;
	}
	return t;
}

bool tls_only(struct tls_ctx *t, const char *version)
{
	static const char *const NAMES[] = { "1.1", "1.2", "1.3" };
	static const int NUMBERS[] = { TLS1_1_VERSION, TLS1_2_VERSION, TLS1_3_VERSION };

	for (size_t i = 0; i < sizeof(NUMBERS) / sizeof(NUMBERS[0]); i++) {
		if (strcmp(version, NAMES[i]) != 0)
			continue;
		if (NUMBERS[i] == TLS1_1_VERSION &&
		    SSL_CTX_set_cipher_list(t->ssl_ctx, "DEFAULT@SECLEVEL=0") != 1)
			abort();
		return SSL_CTX_set_min_proto_version(t->ssl_ctx, NUMBERS[i]) == 1 &&
		       SSL_CTX_set_max_proto_version(t->ssl_ctx, NUMBERS[i]) == 1;
	}
	return false;
}

void tls_free(struct tls_ctx *t)
{
	if (t == NULL)
		return;
	SSL_CTX_free(t->ssl_ctx);
	free(t);
}

struct ssl_ctx_st *tls_ssl_ctx(const struct tls_ctx *t)
{
	return t->ssl_ctx;
}

/* ---- certificates ---- */

static bool add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;

	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	bool ok = ext != NULL && X509_add_ext(cert, ext, -1) == 1;
	X509_EXTENSION_free(ext);
	return ok;
}

static bool add_names(X509 *cert, X509 *issuer, const char *const *names)
{
	struct buf value = { 0 };
	struct addr unused;

	if (names[0] == NULL)
		return true;
	for (size_t i = 0; names[i] != NULL; i++)
		buf_addf(&value, "%s%s:%s", i > 0 ? "," : "", addr_parse(names[i], 0, &unused) ? "IP" : "DNS",
			 names[i]);
	bool ok = add_extension(cert, issuer, NID_subject_alt_name, buf_cstr(&value));
	buf_free(&value);
	return ok;
}

static bool add_constraint(X509 *cert, X509 *issuer, const char *domain)
{
	struct buf value = { 0 };

	buf_addf(&value, "critical,permitted;DNS:%s", domain);
	bool ok = add_extension(cert, issuer, NID_name_constraints, buf_cstr(&value));
	buf_free(&value);
	return ok;
}

static bool fill_certificate(X509 *cert, EVP_PKEY *key, const struct cert_options *o, X509 *issuer)
{
	enum { YEAR_S = 365 * 24 * 3600 };
	const unsigned char *cn = (const unsigned char *)o->common_name;
	uint64_t serial = random_u64() >> 1;
	bool timed = o->begins_s != 0 || o->ends_s != 0;
	X509_NAME *subject = X509_get_subject_name(cert);
	X509 *signer = issuer != NULL ? issuer : cert;

	bool ok = X509_set_version(cert, X509_VERSION_3) == 1 &&
		  ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), serial) == 1 &&
		  X509_gmtime_adj(X509_getm_notBefore(cert), timed ? (long)o->begins_s : -(long)YEAR_S) !=
			  NULL &&
		  X509_gmtime_adj(X509_getm_notAfter(cert), timed ? (long)o->ends_s : 5L * YEAR_S) != NULL &&
		  X509_set_pubkey(cert, key) == 1 &&
		  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, cn, -1, -1, 0) == 1 &&
		  X509_set_issuer_name(cert, X509_get_subject_name(signer)) == 1 &&
		  add_extension(cert, signer, NID_subject_key_identifier, "hash");
	if (ok && o->only_below != NULL)
		ok = add_constraint(cert, signer, o->only_below);
	if (o->names == NULL)
		return ok && add_extension(cert, signer, NID_basic_constraints, "critical,CA:TRUE") &&
		       add_extension(cert, signer, NID_key_usage, "critical,keyCertSign,cRLSign");
	return ok && add_extension(cert, signer, NID_basic_constraints, "critical,CA:FALSE") &&
	       add_extension(cert, signer, NID_key_usage, "critical,digitalSignature") &&
	       add_extension(cert, signer, NID_ext_key_usage, "serverAuth,clientAuth") &&
	       add_names(cert, signer, o->names);
}

static int write_bio(BIO *bio, const char *path, struct err *reterr)
{
	char *p = NULL;
	long n = BIO_get_mem_data(bio, &p);
	return file_write(path, (struct span){ p, (size_t)n }, 0600, reterr);
}

static int read_issuer(const struct cert_options *o, X509 **ret_cert, EVP_PKEY **ret_key, struct err *reterr)
{
	BIO *in = BIO_new_file(o->issuer_cert_path, "r");
	*ret_cert = in != NULL ? PEM_read_bio_X509(in, NULL, NULL, NULL) : NULL;
	BIO_free(in);
	in = BIO_new_file(o->issuer_key_path, "r");
	*ret_key = in != NULL ? PEM_read_bio_PrivateKey(in, NULL, NULL, NULL) : NULL;
	BIO_free(in);
	if (*ret_cert == NULL || *ret_key == NULL)
		return tls_err(reterr, "read issuer", o->issuer_cert_path);
	return 0;
}

int cert_make(const struct cert_options *o, struct err *reterr)
{
	EVP_PKEY *key = o->rsa ? EVP_RSA_gen(2048U) : EVP_EC_gen("P-256");
	EVP_PKEY *issuer_key = NULL;
	X509 *cert = X509_new();
	X509 *issuer = NULL;
	BIO *cert_pem = BIO_new(BIO_s_mem());
	BIO *key_pem = BIO_new(BIO_s_mem());
	int rc = 0;

	if (key == NULL || cert == NULL || cert_pem == NULL || key_pem == NULL) {
		rc = tls_err(reterr, "make key", o->ret_cert_path);
		goto out;
	}
	if (o->issuer_cert_path != NULL)
		rc = read_issuer(o, &issuer, &issuer_key, reterr);
	if (rc != 0)
		goto out;
	if (!fill_certificate(cert, key, o, issuer) ||
	    X509_sign(cert, issuer_key != NULL ? issuer_key : key, EVP_sha256()) == 0 ||
	    PEM_write_bio_X509(cert_pem, cert) != 1 ||
	    (issuer != NULL && PEM_write_bio_X509(cert_pem, issuer) != 1) ||
	    PEM_write_bio_PrivateKey(key_pem, key, NULL, NULL, 0, NULL, NULL) != 1) {
		rc = tls_err(reterr, "make certificate", o->ret_cert_path);
		goto out;
	}
	rc = write_bio(key_pem, o->ret_key_path, reterr);
	if (rc == 0)
		rc = write_bio(cert_pem, o->ret_cert_path, reterr);
out:
	BIO_free(key_pem);
	BIO_free(cert_pem);
	X509_free(issuer);
	X509_free(cert);
	EVP_PKEY_free(issuer_key);
	EVP_PKEY_free(key);
	return rc;
}
