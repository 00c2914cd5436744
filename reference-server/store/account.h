/*
 * account: who has a mailbox here, and the keys that prove it.
 *
 *   database   key                       value
 *   account    address, lower case       version u8, account_id u32, iterations u32,
 *                                        StoredKey 32, ServerKey 32, salt (rest)
 *
 * Passwords are never stored: only what SCRAM-SHA-256 needs (RFC 5802 §3,
 * RFC 7677), from which a password can be checked but not read.
 *
 *   SaltedPassword  := PBKDF2-HMAC-SHA-256(password, salt, iterations)
 *   StoredKey       := SHA-256(HMAC(SaltedPassword, "Client Key"))
 *   ServerKey       := HMAC(SaltedPassword, "Server Key")
 *
 * Passwords are taken as bytes: prepare them (SASLprep, RFC 4013) before.  None
 * that holds a NUL ever verifies.
 * Addresses are local-part@domain, and looked up by account_key(): ASCII letters
 * in lower case, in the local-part too (RFC 5321 §2.4 leaves that to the receiving
 * host), a local-part with other characters as SASLprep makes it, so that every way to
 * write them is the same account, and a domain with such as A-labels (RFC 5890).
 * account_ids are never reused.
 */
#ifndef STORE_ACCOUNT_H
#define STORE_ACCOUNT_H

#include "base/buf.h"
#include "reference-server/store/store.h"

enum {
	ACCOUNT_ADDRESS_BYTES_MAX = 320, /* RFC 5321 §4.5.3.1: 64 + 1 + 255 */
	ACCOUNT_SALT_BYTES = 16,
	ACCOUNT_SALT_BYTES_MAX = 64,
	ACCOUNT_KEY_BYTES = 32,
	/* RFC 7677 §4 asks for at least 4096, and for as many as the machine bears: this many cost about 5
	   ms. */
	ACCOUNT_ITERATIONS_MIN = 4096,
	ACCOUNT_ITERATIONS_DEFAULT = 16384,
	ACCOUNT_ITERATIONS_MAX = 10000000,
};

struct account_keys {
	uint8_t salt[ACCOUNT_SALT_BYTES_MAX];
	uint32_t salt_bytes;
	uint32_t iterations;
	uint8_t stored_key[ACCOUNT_KEY_BYTES];
	uint8_t server_key[ACCOUNT_KEY_BYTES];
};

struct account {
	uint32_t id; /* never 0 */
	char address[ACCOUNT_ADDRESS_BYTES_MAX + 1];
	struct account_keys keys;
};

/*
 * SASLprep (RFC 4013) of a password that is to be stored.  -EINVAL when it
 * holds what no password may: not UTF-8, a NUL, a control or an unassigned
 * character.  account_prepare_query is for one that was typed in, and for
 * names: unassigned characters pass (RFC 3454 7).
 */
int account_prepare_password(struct span password, struct buf *ret_prepared);
int account_prepare_query(struct span text, struct buf *ret_prepared);

/*
 * Makes keys with a fresh random salt; account_derive_salted with the given
 * one (at most ACCOUNT_SALT_BYTES_MAX).  Takes milliseconds: any thread, best
 * one of the helper pool.  iterations is at least ACCOUNT_ITERATIONS_MIN.
 */
void account_derive(struct span password, uint32_t iterations, struct account_keys *ret_keys);
void account_derive_salted(struct span password, uint32_t iterations, struct span salt,
			   struct account_keys *ret_keys);

/* Whether the password belongs to the keys.  As slow as deriving; compares in constant time.  Any thread. */
bool account_verify(const struct account_keys *keys, struct span password);

/* The form that all are looked up by; *ret borrows from dst.  False for what nobody can have. */
bool account_key(struct span address, char dst[ACCOUNT_ADDRESS_BYTES_MAX + 1], struct span *ret);

/* True for something like local-part@domain within the limit: the form every function here takes. */
bool account_address_ok(struct span address);

/* -ENOENT: no such account. */
int account_find(struct store *s, struct span address, struct account *ret_account);

/* All accounts by address, inside one read transaction: fn calls nothing of the store.  False from it ends the scan. */
typedef bool account_scan_fn(void *ctx, const struct account *a);
int account_scan(struct store *s, account_scan_fn *fn, void *ctx);

/* New operation: -EEXIST, -EINVAL for an address that is none.  Address and keys are copied.  done may be
 * NULL. */
void account_add(struct store *s, struct span address, const struct account_keys *keys, store_done_fn *done,
		 void *ctx);
/* Changes the keys, keeps the mailbox.  New operation (it may fail): -ENOENT. */
void account_set_keys(struct store *s, struct span address, const struct account_keys *keys,
		      store_done_fn *done, void *ctx);
/* With its whole mailbox, in one transaction.  Kept: -ENOENT. */
void account_remove(struct store *s, struct span address, store_done_fn *done, void *ctx);

#endif
