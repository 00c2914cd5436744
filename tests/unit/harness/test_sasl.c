/*
 * sasl and reach: the RFC's own exchange, servers that are wrong, and which
 * addresses may be contacted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/load/reach.h"
#include "harness/load/sasl.h"
#include "tests/unit/harness/exact.h"

#include <errno.h>

#define NONCE "rOprNGfwEbeRWgbNEkqO"
#define SERVER_FIRST "r=" NONCE "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"

static struct sasl *begin_scram(void)
{
	struct err err;
	struct buf out = { 0 };
	struct sasl *s = sasl_new(ACCESS_BEST, SPAN_LIT("PLAIN SCRAM-SHA-256"), "user", "pencil", &err);
	assert_non_null(s);
	assert_string_equal(sasl_name(s), "SCRAM-SHA-256");
	sasl_set_nonce(s, SPAN_LIT(NONCE));
	assert_true(sasl_initial(s, &out));
	assert_span_text(buf_span(&out), "n,,n=user,r=" NONCE);
	buf_free(&out);
	return s;
}

/* RFC 7677 section 3. */
static void the_rfcs_scram_exchange_comes_out_the_same(void **state)
{
	(void)state;
	struct err err;
	struct buf out = { 0 };
	struct sasl *s = begin_scram();
	assert_int_equal(sasl_step(s, SPAN_LIT(SERVER_FIRST), &out, &err), 0);
	assert_span_text(buf_span(&out), "c=biws,r=" NONCE "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
					 "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
	assert_false(sasl_is_complete(s));
	buf_reset(&out);
	assert_int_equal(sasl_step(s, SPAN_LIT("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="), &out, &err),
			 0);
	assert_int_equal(buf_bytes(&out), 0);
	assert_true(sasl_is_complete(s));
	assert_true(sasl_step(s, SPAN_LIT("more"), &out, &err) < 0);
	sasl_free(s);
	buf_free(&out);
}

static void a_server_that_cannot_be_right_is_refused(void **state)
{
	static const struct {
		const char *name;
		const char *first;
		const char *final; /* NULL: the first is refused already */
	} table[] = {
		{ "empty challenge", "", NULL },
		{ "another nonce", "r=xOprNGfwEbeRWgbNEkqOmore,s=W22Z,i=4096", NULL },
		{ "no nonce of its own", "r=" NONCE ",s=W22Z,i=4096", NULL },
		{ "salt is not base64", "r=" NONCE "x,s=W2*Z,i=4096", NULL },
		{ "empty salt", "r=" NONCE "x,s=,i=4096", NULL },
		{ "no iterations", "r=" NONCE "x,s=W22Z,i=0", NULL },
		{ "too many iterations", "r=" NONCE "x,s=W22Z,i=1000001", NULL },
		{ "mandatory extension", "m=what,r=" NONCE "x,s=W22Z,i=1", NULL },
		{ "wrong signature", SERVER_FIRST, "v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=" },
		{ "short signature", SERVER_FIRST, "v=6rri" },
		{ "error", SERVER_FIRST, "e=invalid-proof" },
		{ "nonsense", SERVER_FIRST, "hello" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct err err = { 0 };
		struct buf out = { 0 };
		struct sasl *s = begin_scram();
		struct exact first = exact_of(span_of(table[i].first));
		int rc = sasl_step(s, exact_span(first), &out, &err);
		if (table[i].final != NULL) {
			assert_int_equal(rc, 0);
			rc = sasl_step(s, span_of(table[i].final), &out, &err);
		}
		if (rc == 0 || sasl_is_complete(s) || err.text[0] == '\0')
			fail_msg("%s was taken", table[i].name);
		exact_free(first);
		sasl_free(s);
		buf_free(&out);
	}
}

static void names_are_escaped_for_scram(void **state)
{
	(void)state;
	struct err err;
	struct buf out = { 0 };
	struct sasl *s = sasl_new(ACCESS_SCRAM_SHA_256, SPAN_LIT("scram-sha-256"), "a=b,c", "x", &err);
	sasl_set_nonce(s, SPAN_LIT("N"));
	assert_true(sasl_initial(s, &out));
	assert_span_text(buf_span(&out), "n,,n=a=3Db=2Cc,r=N");
	sasl_free(s);
	buf_free(&out);
}

static void plain_and_login_say_name_and_password(void **state)
{
	(void)state;
	struct err err;
	struct buf out = { 0 };
	struct sasl *s = sasl_new(ACCESS_BEST, SPAN_LIT("LOGIN PLAIN"), "tim", "tanstaaftanstaaf", &err);
	assert_string_equal(sasl_name(s), "PLAIN");
	assert_true(sasl_initial(s, &out));
	assert_true(span_eq(buf_span(&out), SPAN_LIT("\0tim\0tanstaaftanstaaf")));
	assert_true(sasl_is_complete(s));
	assert_true(sasl_step(s, SPAN_LIT(""), &out, &err) < 0);
	sasl_free(s);
	buf_reset(&out);
	s = sasl_new(ACCESS_AUTH_LOGIN, SPAN_LIT("LOGIN PLAIN"), "tim", "pw", &err);
	assert_false(sasl_initial(s, &out));
	assert_int_equal(sasl_step(s, SPAN_LIT("Username:"), &out, &err), 0);
	assert_false(sasl_is_complete(s));
	assert_int_equal(sasl_step(s, SPAN_LIT("Password:"), &out, &err), 0);
	assert_span_text(buf_span(&out), "timpw");
	assert_true(sasl_is_complete(s));
	assert_true(sasl_step(s, SPAN_LIT("again"), &out, &err) < 0);
	sasl_free(s);
	buf_free(&out);
}

static void only_offered_mechanisms_are_used(void **state)
{
	(void)state;
	struct err err = { 0 };
	assert_null(sasl_new(ACCESS_BEST, SPAN_LIT("GSSAPI SCRAM-SHA-1 PLAINTEXT"), "u", "p", &err));
	assert_non_null(strstr(err.text, "GSSAPI"));
	assert_null(sasl_new(ACCESS_SCRAM_SHA_256, SPAN_LIT("PLAIN"), "u", "p", &err));
	assert_null(sasl_new(ACCESS_BEST, SPAN_LIT(""), "u", "p", &err));
}

static void only_loopback_is_reached_without_permission(void **state)
{
	static const struct {
		const char *ip;
		bool loopback;
	} table[] = { { "127.0.0.1", true },  { "127.255.255.254", true },  { "::1", true },
		      { "128.0.0.1", false }, { "126.255.255.255", false }, { "10.0.0.1", false },
		      { "192.0.2.1", false }, { "0.0.0.0", false },         { "::", false },
		      { "::2", false },       { "fe80::1", false },         { "2001:db8::1", false } };
	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct addr a;
		struct err err = { 0 };
		assert_true(addr_parse(table[i].ip, 25, &a));
		int rc = reach_check(&a, false, &err);
		if ((rc == 0) != table[i].loopback)
			fail_msg("%s", table[i].ip);
		if (rc < 0) {
			assert_int_equal(rc, -EPERM);
			assert_non_null(strstr(err.text, table[i].ip));
			assert_non_null(strstr(err.text, "--allow-remote"));
		}
		assert_int_equal(reach_check(&a, true, &err), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_rfcs_scram_exchange_comes_out_the_same),
		cmocka_unit_test(a_server_that_cannot_be_right_is_refused),
		cmocka_unit_test(names_are_escaped_for_scram),
		cmocka_unit_test(plain_and_login_say_name_and_password),
		cmocka_unit_test(only_offered_mechanisms_are_used),
		cmocka_unit_test(only_loopback_is_reached_without_permission),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
