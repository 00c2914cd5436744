#include "harness/conform/hop_tls.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

enum { DAY_S = 24 * 3600 };

struct paths {
	char cert[PATH_MAX], key[PATH_MAX];
};

/* ---- what a case may know ---- */

static void add_hex(struct buf *out, const unsigned char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf_addf(out, "%02x", p[i]);
}

static void set_one(const struct hop_tls_options *o, uint32_t index, const EVP_MD *md, struct span der)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned digest_bytes = 0;
	struct buf hex = { 0 };
	char name[64];

	if (md == NULL)
		add_hex(&hex, (const unsigned char *)der.p, der.n);
	else if (EVP_Digest(der.p, der.n, digest, &digest_bytes, md, NULL) == 1)
		add_hex(&hex, digest, digest_bytes);
	(void)snprintf(name, sizeof(name), "%s.%s", o->name, case_cert_variable(index));
	values_set(o->values, span_of(name), buf_span(&hex), false);
	buf_free(&hex);
}

/* The three forms of what TLSA records can be about (RFC 6698 2.1.3). */
static void set_forms(const struct hop_tls_options *o, uint32_t first, unsigned char *der, int der_bytes)
{
	const EVP_MD *forms[] = { NULL, EVP_sha256(), EVP_sha512() };

	for (uint32_t i = 0; i < 3 && der_bytes > 0; i++)
		set_one(o, first + i, forms[i], (struct span){ (const char *)der, (size_t)der_bytes });
	OPENSSL_free(der);
}

/* From the file with the certificate and, when somebody else has signed it, its issuer's. */
static int set_values(const struct hop_tls_options *o, const char *path, struct err *reterr)
{
	BIO *in = BIO_new_file(path, "r");
	X509 *own = in != NULL ? PEM_read_bio_X509(in, NULL, NULL, NULL) : NULL;
	X509 *issuer = own != NULL ? PEM_read_bio_X509(in, NULL, NULL, NULL) : NULL;
	const X509 *both[] = { own, issuer != NULL ? issuer : own };
	int rc = own != NULL ? 0 : err_set(reterr, -EPROTO, "%s cannot be read", path);

	for (uint32_t i = 0; i < 2 && rc == 0; i++) {
		unsigned char *der = NULL;
		set_forms(o, 6 * i, der, i2d_X509(both[i], &der));
		der = NULL;
		set_forms(o, 6 * i + 3, der, i2d_X509_PUBKEY(X509_get_X509_PUBKEY(both[i]), &der));
	}
	X509_free(own);
	X509_free(issuer);
	BIO_free(in);
	return rc;
}

/* ---- the certificate ---- */

/* NULL behind the last; the texts are the caller's. */
static int make_names(const struct hop_tls_options *o, struct buf *texts, const char **ret_names,
		      struct err *reterr)
{
	const struct case_certificate *what = o->what;
	uint32_t n = 0;

	for (; n < what->name_count; n++) {
		struct span missing;
		if (!values_expand(o->values, &what->names[n], &texts[n], NULL, &missing))
			return err_set(reterr, -EINVAL, "${%.*s} has no value", SPAN_FMT(missing));
		ret_names[n] = buf_cstr(&texts[n]);
	}
	if (n == 0 && what->kind != CASE_TLS_COMMON_NAME_ONLY)
		ret_names[n++] = what->kind == CASE_TLS_WRONG_NAME ? "wrong.example" : o->host_name;
	ret_names[n] = NULL;
	return 0;
}

static void set_paths(const struct hop_tls_options *o, const char *more, struct paths *ret_paths)
{
	const char *ca = ca_cert_path(o->ca);
	int dir_bytes = (int)(strrchr(ca, '/') - ca);

	(void)snprintf(ret_paths->cert, PATH_MAX, "%.*s/c%" PRIx64 "-%s%s.pem", dir_bytes, ca, o->token,
		       o->name, more);
	(void)snprintf(ret_paths->key, PATH_MAX, "%.*s/c%" PRIx64 "-%s%s.key", dir_bytes, ca, o->token,
		       o->name, more);
}

/* An authority that nobody knows, and that may vouch for other names than the host's perhaps. */
static int make_other_ca(const struct hop_tls_options *o, struct paths *ret_ca, struct err *reterr)
{
	set_paths(o, "-ca", ret_ca);
	return cert_make(&(struct cert_options){ .common_name = "an unknown CA",
						 .only_below = o->what->kind == CASE_TLS_CONSTRAINED_CA
								       ? "wrong.example"
								       : NULL,
						 .ret_cert_path = ret_ca->cert,
						 .ret_key_path = ret_ca->key },
			 reterr);
}

static int make_certificate(const struct hop_tls_options *o, const char *const *names,
			    const struct paths *paths, struct err *reterr)
{
	struct cert_options c = { .common_name =
					  o->what->kind == CASE_TLS_WRONG_NAME ? names[0] : o->host_name,
				  .names = names,
				  .issuer_cert_path = ca_cert_path(o->ca),
				  .issuer_key_path = ca_key_path(o->ca),
				  .ret_cert_path = paths->cert,
				  .ret_key_path = paths->key };
	struct paths other;
	int rc = 0;

	switch (o->what->kind) {
	case CASE_TLS_NONE:
	case CASE_TLS_GOOD:
	case CASE_TLS_WRONG_NAME:
	case CASE_TLS_COMMON_NAME_ONLY:
		break;
	case CASE_TLS_SELF_SIGNED:
		c.issuer_cert_path = c.issuer_key_path = NULL;
		break;
	case CASE_TLS_EXPIRED:
		c.begins_s = -30 * DAY_S;
		c.ends_s = -DAY_S;
		break;
	case CASE_TLS_NOT_YET_VALID:
		c.begins_s = DAY_S;
		c.ends_s = 30 * DAY_S;
		break;
	case CASE_TLS_UNKNOWN_CA:
	case CASE_TLS_CONSTRAINED_CA:
		rc = make_other_ca(o, &other, reterr);
		c.issuer_cert_path = other.cert;
		c.issuer_key_path = other.key;
		break;
	}
	return rc == 0 ? cert_make(&c, reterr) : rc;
}

struct tls_ctx *hop_tls_new(const struct hop_tls_options *o, struct err *reterr)
{
	struct buf texts[CASE_TLS_NAMES_MAX] = { 0 };
	const char *names[CASE_TLS_NAMES_MAX + 1];
	struct paths paths;
	struct tls_ctx *t = NULL;

	set_paths(o, "", &paths);
	if (make_names(o, texts, names, reterr) == 0 && make_certificate(o, names, &paths, reterr) == 0 &&
	    set_values(o, paths.cert, reterr) == 0)
		t = tls_server_new(paths.cert, paths.key, reterr);
	if (t != NULL && o->what->version != NULL && !tls_only(t, o->what->version)) {
		(void)err_set(reterr, -EPROTO, "TLS %s cannot be had here", o->what->version);
		tls_free(t);
		t = NULL;
	}
	for (uint32_t i = 0; i < CASE_TLS_NAMES_MAX; i++)
		buf_free(&texts[i]);
	return t;
}
