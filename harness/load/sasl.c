#include "harness/load/sasl.h"

#include "base/random.h"
#include "harness/wire/base64.h"

#include <assert.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

enum {
	NONCE_BYTES = 18,
	SALT_BYTES_MAX = 1024,
};

struct sasl {
	enum access_mechanism mechanism;
	char *user;
	char *password;
	uint32_t step;
	bool complete;
	/* SCRAM */
	struct buf nonce;      /* ours, printable */
	struct buf first_bare; /* client-first-message-bare */
	unsigned char server_signature[SASL_HASH_BYTES_MAX];
	size_t hash_bytes; /* of it */
};

static char *must_dup(const char *s)
{
	char *copy = strdup(s);
	if (copy == NULL)
		abort();
	return copy;
}

/* ---- which one ---- */
static bool offers(struct span offered, const char *name)
{
	while (offered.n > 0) {
		size_t n = span_find(offered, ' ');
		if (span_eq_nocase((struct span){ offered.p, n }, span_of(name)))
			return true;
		offered = span_sub(offered, n + 1, offered.n);
	}
	return false;
}

static const char *name_of(enum access_mechanism m)
{
	switch (m) {
	case ACCESS_SCRAM_SHA_256:
		return "SCRAM-SHA-256";
	case ACCESS_AUTH_PLAIN:
		return "PLAIN";
	case ACCESS_AUTH_LOGIN:
		return "LOGIN";
	case ACCESS_BEST:
	case ACCESS_USER_PASS:
		break;
	}
	return "";
}

struct sasl *sasl_new(enum access_mechanism mechanism, struct span offered, const char *user,
		      const char *password, struct err *reterr)
{
	static const enum access_mechanism order[] = { ACCESS_SCRAM_SHA_256, ACCESS_AUTH_PLAIN,
						       ACCESS_AUTH_LOGIN };
	for (unsigned i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		if (mechanism != ACCESS_BEST && mechanism != order[i])
			continue;
		if (!offers(offered, name_of(order[i])))
			continue;
		struct sasl *s = calloc(1, sizeof(*s));
		if (s == NULL)
			abort();
		s->mechanism = order[i];
		s->user = must_dup(user);
		s->password = must_dup(password);
		return s;
	}
	(void)err_set(reterr, -EPROTONOSUPPORT, "the server offers no usable login%s%s: \"%.*s\"",
		      mechanism == ACCESS_BEST ? "" : ", wanted ", name_of(mechanism), SPAN_FMT(offered));
	return NULL;
}

static void wipe_buf(struct buf *b)
{
	if (b->p != NULL)
		OPENSSL_cleanse(b->p, b->room);
	buf_free(b);
}

void sasl_free(struct sasl *s)
{
	if (s == NULL)
		return;
	OPENSSL_cleanse(s->password, strlen(s->password));
	free(s->user);
	free(s->password);
	wipe_buf(&s->nonce);
	wipe_buf(&s->first_bare);
	OPENSSL_cleanse(s, sizeof(*s));
	free(s);
}

void sasl_set_nonce(struct sasl *s, struct span nonce)
{
	assert(s->step == 0);
	buf_reset(&s->nonce);
	buf_add(&s->nonce, nonce);
}

const char *sasl_name(const struct sasl *s)
{
	return name_of(s->mechanism);
}

bool sasl_is_complete(const struct sasl *s)
{
	return s->complete;
}

/* ---- SCRAM (RFC 5802 section 3, hash of RFC 7677) ---- */
/* RFC 5802 section 5.1: "," and "=" of a name are written =2C and =3D. */
static void add_name(struct buf *b, const char *name)
{
	for (; *name != '\0'; name++) {
		if (*name == ',')
			buf_add_cstr(b, "=2C");
		else if (*name == '=')
			buf_add_cstr(b, "=3D");
		else
			buf_add_u8(b, (uint8_t)*name);
	}
}

static void scram_first(struct sasl *s, struct buf *ret_response)
{
	unsigned char nonce[NONCE_BYTES];
	random_bytes(nonce, sizeof(nonce));
	if (buf_bytes(&s->nonce) == 0)
		base64_encode((struct span){ (const char *)nonce, sizeof(nonce) }, &s->nonce);
	buf_add_cstr(&s->first_bare, "n=");
	add_name(&s->first_bare, s->user);
	buf_add_cstr(&s->first_bare, ",r=");
	buf_add(&s->first_bare, buf_span(&s->nonce));
	buf_add_cstr(ret_response, "n,,");
	buf_add(ret_response, buf_span(&s->first_bare));
}

/* "x=value" at the front of *s, up to the next comma or the end. */
static bool take_attribute(struct span *s, char name, struct span *ret_value)
{
	if (s->n < 2 || s->p[0] != name || s->p[1] != '=')
		return false;
	size_t n = span_find(*s, ',');
	*ret_value = span_sub(*s, 2, n - 2);
	*s = span_sub(*s, n + 1, s->n);
	return true;
}

static void hmac(const EVP_MD *hash, const unsigned char *key, struct span text, unsigned char *ret_mac)
{
	unsigned n = 0;
	if (HMAC(hash, key, EVP_MD_get_size(hash), (const unsigned char *)text.p, text.n, ret_mac, &n) ==
	    NULL)
		abort();
}

size_t sasl_scram_prove(const struct sasl_scram *o, unsigned char ret_proof[SASL_HASH_BYTES_MAX],
			unsigned char ret_server_signature[SASL_HASH_BYTES_MAX])
{
	const EVP_MD *hash = strcmp(o->hash, "SHA-1") == 0 ? EVP_sha1() : EVP_sha256();
	size_t bytes = (size_t)EVP_MD_get_size(hash);
	unsigned char salted[SASL_HASH_BYTES_MAX], client_key[SASL_HASH_BYTES_MAX];
	unsigned char stored[SASL_HASH_BYTES_MAX], server_key[SASL_HASH_BYTES_MAX];
	unsigned char signature[SASL_HASH_BYTES_MAX];
	unsigned n = 0;
	assert(bytes <= SASL_HASH_BYTES_MAX);
	if (PKCS5_PBKDF2_HMAC(o->password.p, (int)o->password.n, (const unsigned char *)o->salt.p,
			      (int)o->salt.n, (int)o->iterations, hash, (int)bytes, salted) != 1)
		abort();
	hmac(hash, salted, SPAN_LIT("Client Key"), client_key);
	hmac(hash, salted, SPAN_LIT("Server Key"), server_key);
	if (EVP_Digest(client_key, bytes, stored, &n, hash, NULL) != 1)
		abort();
	hmac(hash, stored, o->auth_message, signature);
	hmac(hash, server_key, o->auth_message, ret_server_signature);
	for (size_t i = 0; i < bytes; i++)
		ret_proof[i] = client_key[i] ^ signature[i];
	OPENSSL_cleanse(salted, sizeof(salted));
	OPENSSL_cleanse(client_key, sizeof(client_key));
	OPENSSL_cleanse(server_key, sizeof(server_key));
	return bytes;
}

struct scram_challenge {
	struct span nonce;
	uint32_t iterations;
};

static int read_challenge(const struct sasl *s, struct span challenge, struct scram_challenge *ret,
			  struct buf *salt, struct err *reterr)
{
	struct span own = buf_span(&s->nonce);
	struct span salt_text, count_text;
	uint64_t iterations;
	if (!take_attribute(&challenge, 'r', &ret->nonce) || !take_attribute(&challenge, 's', &salt_text) ||
	    !take_attribute(&challenge, 'i', &count_text) || !span_to_u64(count_text, &iterations) ||
	    !base64_decode(salt_text, salt) || buf_bytes(salt) == 0 || buf_bytes(salt) > SALT_BYTES_MAX)
		return err_set(reterr, -EPROTO, "SCRAM: malformed challenge");
	if (ret->nonce.n <= own.n || memcmp(ret->nonce.p, own.p, own.n) != 0)
		return err_set(reterr, -EPROTO, "SCRAM: the server's nonce does not begin with ours");
	if (iterations == 0 || iterations > SASL_ITERATIONS_MAX)
		return err_set(reterr, -EPROTO, "SCRAM: iteration count out of bounds");
	ret->iterations = (uint32_t)iterations;
	return 0;
}

static int scram_final(struct sasl *s, struct span challenge, struct buf *ret_response, struct err *reterr)
{
	struct buf salt = { 0 }, final = { 0 }, auth_message = { 0 };
	struct scram_challenge c;
	unsigned char proof[SASL_HASH_BYTES_MAX];
	int rc = read_challenge(s, challenge, &c, &salt, reterr);
	if (rc == 0) {
		buf_add_cstr(&final, "c=biws,r="); /* biws: "n,,", no channel binding */
		buf_add(&final, c.nonce);
		buf_addf(&auth_message, "%.*s,%.*s,%.*s", SPAN_FMT(buf_span(&s->first_bare)),
			 SPAN_FMT(challenge), SPAN_FMT(buf_span(&final)));
		s->hash_bytes =
			sasl_scram_prove(&(struct sasl_scram){ .hash = "SHA-256",
							       .password = span_of(s->password),
							       .salt = buf_span(&salt),
							       .iterations = c.iterations,
							       .auth_message = buf_span(&auth_message) },
					 proof, s->server_signature);
		buf_add(ret_response, buf_span(&final));
		buf_add_cstr(ret_response, ",p=");
		base64_encode((struct span){ (const char *)proof, s->hash_bytes }, ret_response);
	}
	wipe_buf(&salt);
	wipe_buf(&final);
	wipe_buf(&auth_message);
	return rc;
}

static int scram_verify(struct sasl *s, struct span challenge, struct err *reterr)
{
	struct span value;
	if (take_attribute(&challenge, 'e', &value))
		return err_set(reterr, -EACCES, "SCRAM: the server says %.*s", SPAN_FMT(value));
	if (!take_attribute(&challenge, 'v', &value))
		return err_set(reterr, -EPROTO, "SCRAM: malformed last message");
	struct buf signature = { 0 };
	bool same = base64_decode(value, &signature) && buf_bytes(&signature) == s->hash_bytes &&
		    CRYPTO_memcmp(buf_span(&signature).p, s->server_signature, s->hash_bytes) == 0;
	buf_free(&signature);
	if (!same)
		return err_set(reterr, -EPROTO, "SCRAM: the server does not know the password either");
	s->complete = true;
	return 0;
}

static int scram_step(struct sasl *s, struct span challenge, struct buf *ret_response, struct err *reterr)
{
	switch (s->step++) {
	case 0: /* the initial response could not go with the command */
		scram_first(s, ret_response);
		return 0;
	case 1:
		return scram_final(s, challenge, ret_response, reterr);
	case 2:
		return scram_verify(s, challenge, reterr);
	default:
		return err_set(reterr, -EPROTO, "SCRAM: one challenge too many");
	}
}

/* ---- PLAIN and LOGIN ---- */
static int plain_step(struct sasl *s, struct buf *ret_response, struct err *reterr)
{
	if (s->step++ > 0)
		return err_set(reterr, -EPROTO, "PLAIN: one challenge too many");
	buf_add_u8(ret_response, 0);
	buf_add_cstr(ret_response, s->user);
	buf_add_u8(ret_response, 0);
	buf_add_cstr(ret_response, s->password);
	s->complete = true;
	return 0;
}

static int login_step(struct sasl *s, struct buf *ret_response, struct err *reterr)
{
	if (s->step > 1)
		return err_set(reterr, -EPROTO, "LOGIN: one challenge too many");
	buf_add_cstr(ret_response, s->step == 0 ? s->user : s->password);
	s->complete = s->step++ == 1;
	return 0;
}

bool sasl_initial(struct sasl *s, struct buf *ret_response)
{
	assert(s->step == 0);
	if (s->mechanism == ACCESS_AUTH_LOGIN)
		return false;
	struct err unused;
	int rc = sasl_step(s, (struct span){ 0 }, ret_response, &unused);
	assert(rc == 0);
	return rc == 0;
}

int sasl_step(struct sasl *s, struct span challenge, struct buf *ret_response, struct err *reterr)
{
	switch (s->mechanism) {
	case ACCESS_SCRAM_SHA_256:
		return scram_step(s, challenge, ret_response, reterr);
	case ACCESS_AUTH_PLAIN:
		return plain_step(s, ret_response, reterr);
	case ACCESS_AUTH_LOGIN:
		return login_step(s, ret_response, reterr);
	case ACCESS_BEST:
	case ACCESS_USER_PASS:
		break;
	}
	return err_set(reterr, -EINVAL, "no mechanism was picked");
}
