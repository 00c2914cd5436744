/* The keys of SCRAM-SHA-256 (RFC 5802 §3, RFC 7677 §3). */
#include "reference-server/store/account.h"

#include "base/random.h"

#include <assert.h>
#include <errno.h>
#include <gsasl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

static void hmac(const uint8_t key[ACCOUNT_KEY_BYTES], const char *text, uint8_t ret_mac[ACCOUNT_KEY_BYTES])
{
	if (HMAC(EVP_sha256(), key, ACCOUNT_KEY_BYTES, (const unsigned char *)text, strlen(text), ret_mac,
		 NULL) == NULL)
		abort(); /* Fixed sizes and a built-in digest: only out of memory. */
}

/* Into fresh memory of GNU SASL; NULL when the text cannot be prepared so. */
static char *saslprep(const char *text, Gsasl_saslprep_flags flags)
{
	char *prepared = NULL;
	return gsasl_saslprep(text, flags, &prepared, NULL) == GSASL_OK ? prepared : NULL;
}

static void wipe(char *text)
{
	if (text != NULL)
		OPENSSL_cleanse(text, strlen(text));
	gsasl_free(text);
}

/*
 * Releases of GNU SASL are not of one mind whether its flag allows unassigned
 * characters or forbids them.  Both ways are tried: one of the two suffices for
 * a query, a stored string must pass both.
 */
static int prepare(struct span text, bool unassigned_allowed, struct buf *ret_prepared)
{
	if (span_find(text, '\0') < text.n)
		return -EINVAL;
	char *copy = strndup(text.n > 0 ? text.p : "", text.n);
	if (copy == NULL)
		abort();
	char *one = saslprep(copy, GSASL_ALLOW_UNASSIGNED);
	char *other = saslprep(copy, (Gsasl_saslprep_flags)0);
	const char *prepared = one != NULL ? one : other;
	bool ok = unassigned_allowed ? prepared != NULL : one != NULL && other != NULL;

	if (ok) {
		buf_reset(ret_prepared);
		buf_add_cstr(ret_prepared, prepared);
	}
	wipe(one);
	wipe(other);
	OPENSSL_cleanse(copy, text.n);
	free(copy);
	return ok ? 0 : -EINVAL;
}

int account_prepare_password(struct span password, struct buf *ret_prepared)
{
	return prepare(password, false, ret_prepared);
}

int account_prepare_query(struct span text, struct buf *ret_prepared)
{
	return prepare(text, true, ret_prepared);
}

void account_derive_salted(struct span password, uint32_t iterations, struct span salt,
			   struct account_keys *ret_keys)
{
	assert(salt.n > 0 && salt.n <= ACCOUNT_SALT_BYTES_MAX);
	assert(iterations > 0 && iterations <= ACCOUNT_ITERATIONS_MAX && password.n <= INT32_MAX);
	struct account_keys keys = { .salt_bytes = (uint32_t)salt.n, .iterations = iterations };
	uint8_t salted_password[ACCOUNT_KEY_BYTES];
	uint8_t client_key[ACCOUNT_KEY_BYTES];

	memcpy(keys.salt, salt.p, salt.n);
	if (PKCS5_PBKDF2_HMAC(password.n > 0 ? password.p : "", (int)password.n, keys.salt, (int)salt.n,
			      (int)iterations, EVP_sha256(), sizeof(salted_password), salted_password) != 1)
		abort();
	hmac(salted_password, "Client Key", client_key);
	(void)SHA256(client_key, sizeof(client_key), keys.stored_key);
	hmac(salted_password, "Server Key", keys.server_key);
	OPENSSL_cleanse(salted_password, sizeof(salted_password));
	OPENSSL_cleanse(client_key, sizeof(client_key));
	*ret_keys = keys;
}

void account_derive(struct span password, uint32_t iterations, struct account_keys *ret_keys)
{
	assert(iterations >= ACCOUNT_ITERATIONS_MIN);
	char salt[ACCOUNT_SALT_BYTES];

	random_bytes(salt, sizeof(salt));
	account_derive_salted(password, iterations, (struct span){ salt, sizeof(salt) }, ret_keys);
}

bool account_verify(const struct account_keys *keys, struct span password)
{
	struct account_keys given;

	if (span_find(password, '\0') < password.n)
		return false; /* HMAC pads keys with NULs: "secret" and "secret\0" would be the same. */
	account_derive_salted(password, keys->iterations,
			      (struct span){ (const char *)keys->salt, keys->salt_bytes }, &given);
	bool same = CRYPTO_memcmp(given.stored_key, keys->stored_key, ACCOUNT_KEY_BYTES) == 0;
	OPENSSL_cleanse(&given, sizeof(given));
	return same;
}
