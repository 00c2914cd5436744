/* account: addresses, keys that prove a password, and nothing that tells it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#include "reference-server/store/account.h"
#include "tests/unit/server/store_fixture.h"

static int add(struct fixture *f, struct span address, const struct account_keys *keys)
{
	struct outcome o = { 0 };

	account_add(f->store, address, keys, note_outcome, &o);
	store_drain(f->store);
	assert_int_equal(o.count, 1);
	return o.result;
}

static struct account_keys quick_keys(const char *password)
{
	struct account_keys keys;

	account_derive_salted(span_of(password), 2, SPAN_LIT("salt"), &keys);
	return keys;
}

/* ---- keys ---- */

static size_t decode64(const char *text, uint8_t *ret, size_t room)
{
	uint8_t out[128];
	size_t n = strlen(text);

	assert_true(n / 4 * 3 <= sizeof(out));
	int got = EVP_DecodeBlock(out, (const unsigned char *)text, (int)n);
	assert_true(got > 0);
	size_t bytes = (size_t)got - (text[n - 1] == '=') - (text[n - 2] == '=');
	assert_true(bytes <= room);
	memcpy(ret, out, bytes);
	return bytes;
}

/* The exchange printed in RFC 7677 §3. */
static void keys_agree_with_the_example_of_the_rfc(void **state)
{
	static const char auth_message[] =
		"n=user,r=rOprNGfwEbeRWgbNEkqO,"
		"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
		"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
	const unsigned char *message = (const unsigned char *)auth_message;
	uint8_t salt[16], proof[32], signature[32], mac[32], hash[32];
	struct account_keys keys;
	(void)state;

	assert_int_equal(decode64("W22ZaJ0SNY7soEsUEjb6gQ==", salt, sizeof(salt)), 16);
	assert_int_equal(decode64("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", proof, sizeof(proof)), 32);
	assert_int_equal(decode64("6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", signature, 32), 32);
	account_derive_salted(SPAN_LIT("pencil"), 4096, (struct span){ (const char *)salt, 16 }, &keys);

	assert_non_null(HMAC(EVP_sha256(), keys.server_key, 32, message, strlen(auth_message), mac, NULL));
	assert_memory_equal(mac, signature, 32);
	/* ClientKey := ClientProof XOR ClientSignature; its hash is StoredKey. */
	assert_non_null(HMAC(EVP_sha256(), keys.stored_key, 32, message, strlen(auth_message), mac, NULL));
	for (int i = 0; i < 32; i++)
		mac[i] ^= proof[i];
	(void)SHA256(mac, 32, hash);
	assert_memory_equal(hash, keys.stored_key, 32);
}

static void only_the_password_itself_verifies(void **state)
{
	static const char *const wrong[] = { "", "secre", "secret ", "Secret", "secret\n" };
	struct account_keys keys;
	(void)state;

	account_derive(SPAN_LIT("secret"), ACCOUNT_ITERATIONS_MIN, &keys);
	assert_true(account_verify(&keys, SPAN_LIT("secret")));
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_false(account_verify(&keys, span_of(wrong[i])));
	assert_false(account_verify(&keys, SPAN_LIT("secret\0")));
}

static void salts_are_fresh(void **state)
{
	struct account_keys a, b;
	(void)state;

	account_derive(SPAN_LIT("secret"), ACCOUNT_ITERATIONS_MIN, &a);
	account_derive(SPAN_LIT("secret"), ACCOUNT_ITERATIONS_MIN, &b);
	assert_int_equal(a.salt_bytes, ACCOUNT_SALT_BYTES);
	assert_memory_not_equal(a.salt, b.salt, ACCOUNT_SALT_BYTES);
	assert_memory_not_equal(a.stored_key, b.stored_key, ACCOUNT_KEY_BYTES);
}

/* ---- accounts ---- */

static void an_address_is_found_in_any_case_after_a_restart(void **state)
{
	struct fixture *f = *state;
	struct account_keys keys = quick_keys("secret");
	struct account a;

	assert_int_equal(add(f, SPAN_LIT("Sales@FredsCo.example"), &keys), 0);
	fixture_restart(f);
	assert_int_equal(account_find(f->store, SPAN_LIT("sALES@fredsco.EXAMPLE"), &a), 0);
	assert_string_equal(a.address, "sales@fredsco.example");
	assert_int_equal(a.keys.iterations, 2);
	assert_int_equal(a.keys.salt_bytes, 4);
	assert_memory_equal(a.keys.stored_key, keys.stored_key, ACCOUNT_KEY_BYTES);
	assert_memory_equal(a.keys.server_key, keys.server_key, ACCOUNT_KEY_BYTES);
	assert_true(account_verify(&a.keys, SPAN_LIT("secret")));
	assert_int_equal(account_find(f->store, SPAN_LIT("sale@fredsco.example"), &a), -ENOENT);
	assert_int_equal(add(f, SPAN_LIT("sales@fredsco.example"), &keys), -EEXIST);
}

static void what_is_no_address_is_no_account(void **state)
{
	struct fixture *f = *state;
	struct account_keys keys = quick_keys("secret");
	struct account a;
	char long_text[ACCOUNT_ADDRESS_BYTES_MAX + 2];
	const struct {
		const char *name;
		struct span address;
	} table[] = {
		{ "empty", SPAN_LIT("") },
		{ "no domain", SPAN_LIT("sales") },
		{ "empty domain", SPAN_LIT("sales@") },
		{ "empty local part", SPAN_LIT("@fredsco.example") },
		{ "NUL", SPAN_LIT("a\0b@c") },
		{ "line end", SPAN_LIT("a@b\r\n") },
		{ "DEL", SPAN_LIT("a\x7f@b") },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		assert_int_equal(add(f, table[i].address, &keys), -EINVAL);
		assert_int_equal(account_find(f->store, table[i].address, &a), -ENOENT);
	}
	memset(long_text, 'a', sizeof(long_text));
	long_text[1] = '@';
	assert_int_equal(add(f, (struct span){ long_text, ACCOUNT_ADDRESS_BYTES_MAX + 1 }, &keys), -EINVAL);
	assert_int_equal(add(f, (struct span){ long_text, ACCOUNT_ADDRESS_BYTES_MAX }, &keys), 0);
	assert_int_equal(account_find(f->store, (struct span){ long_text, ACCOUNT_ADDRESS_BYTES_MAX }, &a),
			 0);
}

static void keys_can_be_changed_and_the_mailbox_stays(void **state)
{
	struct fixture *f = *state;
	struct account_keys keys = quick_keys("secret");
	struct account_keys other = quick_keys("other");
	struct account before, after;
	struct outcome o = { 0 };

	assert_int_equal(add(f, SPAN_LIT("a@b"), &keys), 0);
	assert_int_equal(account_find(f->store, SPAN_LIT("a@b"), &before), 0);
	account_set_keys(f->store, SPAN_LIT("A@B"), &other, note_outcome, &o);
	store_drain(f->store);
	assert_int_equal(o.result, 0);
	assert_int_equal(account_find(f->store, SPAN_LIT("a@b"), &after), 0);
	assert_int_equal(after.id, before.id);
	assert_true(account_verify(&after.keys, SPAN_LIT("other")));
	assert_false(account_verify(&after.keys, SPAN_LIT("secret")));
	account_set_keys(f->store, SPAN_LIT("b@b"), &other, note_outcome, &o);
	store_drain(f->store);
	assert_int_equal(o.result, -ENOENT);
	account_remove(f->store, SPAN_LIT("b@b"), note_outcome, &o);
	store_drain(f->store);
	assert_int_equal(o.result, -ENOENT);
	assert_int_equal(o.count, 3);
}

struct names {
	char text[256];
	uint32_t count;
	uint32_t stop_at;
};

static bool note_name(void *ctx, const struct account *a)
{
	struct names *n = ctx;
	size_t used = strlen(n->text);

	(void)snprintf(n->text + used, sizeof(n->text) - used, "%s ", a->address);
	return ++n->count != n->stop_at;
}

static void a_scan_lists_accounts_by_address(void **state)
{
	struct fixture *f = *state;
	struct account_keys keys = quick_keys("secret");
	struct names all = { 0 };
	struct names some = { .stop_at = 2 };

	assert_int_equal(add(f, SPAN_LIT("c@x"), &keys), 0);
	assert_int_equal(add(f, SPAN_LIT("a@x"), &keys), 0);
	assert_int_equal(add(f, SPAN_LIT("b@x"), &keys), 0);
	assert_int_equal(account_scan(f->store, note_name, &all), 0);
	assert_string_equal(all.text, "a@x b@x c@x ");
	assert_int_equal(account_scan(f->store, note_name, &some), 0);
	assert_string_equal(some.text, "a@x b@x ");
}

static void the_password_is_nowhere_in_the_data_directory(void **state)
{
	struct fixture *f = *state;
	static const char password[] = "correct horse battery staple";
	struct account_keys keys = quick_keys(password);
	char path[128];
	struct buf content = { 0 };
	struct err err;

	assert_int_equal(add(f, SPAN_LIT("sales@fredsco.example"), &keys), 0);
	store_close(f->store);
	f->store = NULL;
	(void)snprintf(path, sizeof(path), "%s/store/data.mdb", f->dir);
	assert_int_equal(file_read(path, 64 << 20, &content, &err), 0);
	assert_null(memmem(buf_span(&content).p, buf_bytes(&content), password, strlen(password)));
	assert_non_null(memmem(buf_span(&content).p, buf_bytes(&content), "sales@fredsco.example", 21));
	buf_free(&content);
}

#define OPEN(t) cmocka_unit_test_setup_teardown(t, fixture_make_open, fixture_remove)

/* RFC 4013 3, and what must be refused (RFC 6856 2.2). */
static void passwords_are_prepared_or_refused(void **state)
{
	static const struct {
		const char *given, *prepared; /* NULL: refused */
	} rows[] = {
		{ "secret", "secret" },   { "I\xc2\xadX", "IX" }, /* a soft hyphen is nothing */
		{ "\xc2\xaa", "a" },                              /* the form that all others have */
		{ "\xe2\x85\xa8", "IX" }, { "a\xc2\xa0z", "a z" },
		{ "\x07", NULL },         /* a control character */
		{ "\xd8\xa7\x31", NULL }, /* both directions */
		{ "caf\xe9", NULL },      /* not UTF-8 */
		{ "\xc0\xaf", NULL },     { "\xed\xa0\x80", NULL },
	};
	struct buf prepared = { 0 };
	(void)state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (int query = 0; query < 2; query++) {
			struct span given = span_of(rows[i].given);
			int rc = query != 0 ? account_prepare_query(given, &prepared)
					    : account_prepare_password(given, &prepared);
			assert_int_equal(rc, rows[i].prepared != NULL ? 0 : -EINVAL);
			if (rc == 0)
				assert_string_equal(buf_cstr(&prepared), rows[i].prepared);
		}
	assert_int_equal(account_prepare_password(SPAN_LIT("a\0b"), &prepared), -EINVAL);
	/* U+0221 had no meaning in Unicode 3.2: nothing that is stored may have it (RFC 3454 7). */
	assert_int_equal(account_prepare_password(SPAN_LIT("\xc8\xa1"), &prepared), -EINVAL);
	assert_int_equal(account_prepare_query(SPAN_LIT("\xc8\xa1"), &prepared), 0);
	buf_free(&prepared);
}

static void one_address_has_one_key(void **state)
{
	(void)state;
	static const struct {
		const char *address, *key; /* NULL: none */
	} rows[] = {
		{ "Sales@Fredsco.Example", "sales@fredsco.example" },
		{ "a@b@fredsco.example", "a@b@fredsco.example" },
		{ "j\xc3\xb6rg@B\xc3\x9c"
		  "cher.example",
		  "j\xc3\xb6rg@xn--bcher-kva.example" },
		{ "jo\xcc\x88rg@bu\xcc\x88"
		  "cher.example",
		  "j\xc3\xb6rg@xn--bcher-kva.example" }, /* decomposed */
		{ "J\xc3\xb6rg@xn--BCHER-kva.example", "j\xc3\xb6rg@xn--bcher-kva.example" },
		{ "a@\xe2\x80\x8b.example", NULL }, /* no letter at all */
		{ "a@\xc3.example", NULL },
		{ "a", NULL },
		{ "a@", NULL },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[ACCOUNT_ADDRESS_BYTES_MAX + 1];
		struct span key = { NULL, 0 };
		bool ok = account_key(span_of(rows[i].address), text, &key);
		if (ok != (rows[i].key != NULL) || (ok && !span_eq(key, span_of(rows[i].key))))
			fail_msg("%s: %.*s", rows[i].address, SPAN_FMT(key));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_address_has_one_key),
		cmocka_unit_test(passwords_are_prepared_or_refused),
		cmocka_unit_test(keys_agree_with_the_example_of_the_rfc),
		cmocka_unit_test(only_the_password_itself_verifies),
		cmocka_unit_test(salts_are_fresh),
		OPEN(an_address_is_found_in_any_case_after_a_restart),
		OPEN(what_is_no_address_is_no_account),
		OPEN(keys_can_be_changed_and_the_mailbox_stays),
		OPEN(a_scan_lists_accounts_by_address),
		OPEN(the_password_is_nowhere_in_the_data_directory),
	};
	return cmocka_run_group_tests_name("account", tests, NULL, NULL);
}
