/*
 * hop_login: each row is what a client says in one exchange, and what it comes to; a SCRAM client that is right gets in,
 * and one that looks finds out where the next hop departs from what is right.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/conform/hop_login.h"
#include "harness/load/sasl.h"

#include <stdio.h>
#include <string.h>

static const struct hop_login_options WHO = { .name = "relay", .password = "p\xc3\xb6" };

struct row {
	const char *mechanism;
	struct span said[3]; /* p == NULL: no more; the first may be "", for no response yet */
	bool waits;          /* there is no initial response */
	const char *wanted;  /* every answer: ">challenge|", "good", or why not */
};

#define S(text)                        \
	{                              \
		text, sizeof(text) - 1 \
	}

static const struct row ROWS[] = {
	{ "PLAIN", { S("\0relay\0p\xc3\xb6") }, false, "good" },
	{ "PLAIN", { S("relay\0relay\0p\xc3\xb6") }, false, "good" },
	{ "plain", { S("\0relay\0p\xc3\xb6") }, true, ">|good" },
	{ "PLAIN", { S("ann\0relay\0p\xc3\xb6") }, false, "the authorization identity is another one" },
	{ "PLAIN", { S("\0relay\0p\xf6") }, false, "the password is wrong" }, /* ISO 8859-1 */
	{ "PLAIN", { S("\0relay\0") }, false, "the password is wrong" },
	{ "PLAIN", { S("\0relays\0p\xc3\xb6") }, false, "nobody has this name" },
	{ "PLAIN", { S("relay p\xc3\xb6") }, false, "a PLAIN message without NUL" },
	{ "PLAIN", { S("") }, false, "a PLAIN message without NUL" },
	{ "PLAIN", { S("relay\0p\xc3\xb6") }, false, "a PLAIN message with one NUL only" },
	{ "PLAIN", { S("\0relay\0p\xc3\xb6\0") }, false, "a PLAIN message with more than two NULs" },
	{ "LOGIN", { S("relay"), S("p\xc3\xb6") }, true, ">Username:|>Password:|good" },
	{ "LOGIN", { S("relay"), S("p") }, true, ">Username:|>Password:|the password is wrong" },
	{ "LOGIN", { S("ann") }, true, ">Username:|nobody has this name" },
	{ "LOGIN", { S("relay") }, false, "with LOGIN the server begins" },
	{ "SCRAM-SHA-256",
	  { S("p=tls-unique,,n=relay,r=abc") },
	  false,
	  "the GS2 header begins with neither n nor y, and channel binding is not offered" },
	{ "SCRAM-SHA-256",
	  { S("") },
	  false,
	  "the GS2 header begins with neither n nor y, and channel binding is not offered" },
	{ "SCRAM-SHA-256", { S("n,") }, false, "the GS2 header does not end" },
	{ "SCRAM-SHA-256", { S("n,,r=abc,n=relay") }, false, "n= does not come first" },
	{ "SCRAM-SHA-256", { S("n,,n=ann,r=abc") }, false, "nobody has this name" },
	{ "SCRAM-SHA-256", { S("n,,n=relay,r=") }, false, "r= does not come second" },
	{ "SCRAM-SHA-256", { S("n,,n=relay") }, false, "r= does not come second" },
	{ "SCRAM-SHA-256",
	  { S("n,a=ann,n=relay,r=abc") },
	  false,
	  "the authorization identity is another one" },
	{ "SCRAM-SHA-256",
	  { S("n,relay,n=relay,r=abc") },
	  false,
	  "the authorization identity is another one" },
	{ "SCRAM-SHA-256", { S("n,,n=relay,r=a\0c") }, false, "r= is not of printable characters" },
	{ "SCRAM-SHA-256", { S("n,,n=relay,r=a c") }, false, "r= is not of printable characters" },
	{ "SCRAM-SHA-256", { S("n,,n=relay,r=a\xc3\xb6") }, false, "r= is not of printable characters" },
	{ "SCRAM-SHA-256",
	  { S("n,,n=relay,r=abc,") },
	  false,
	  "behind the nonce stands something else than extensions" },
	{ "SCRAM-SHA-256",
	  { S("n,,n=relay,r=abc,x=1,junk") },
	  false,
	  "behind the nonce stands something else than extensions" },
	{ "SCRAM-SHA-256",
	  { S("n,,n=relay,r=abc,x=1\0") },
	  false,
	  "behind the nonce stands something else than extensions" },
};

static void each_exchange_comes_to_what_it_must(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		const struct row *r = &ROWS[i];
		struct hop_login *l = hop_login_new(&WHO, span_of(r->mechanism));
		struct buf all = { 0 };
		assert_non_null(l);
		enum sink_login_step step = SINK_LOGIN_MORE;
		for (size_t k = r->waits ? 0 : 1; step == SINK_LOGIN_MORE && k <= 3; k++) {
			struct buf text = { 0 };
			if (k > 0 && r->said[k - 1].p == NULL)
				break;
			step = hop_login_step(l, k > 0 ? &r->said[k - 1] : NULL, &text);
			if (step == SINK_LOGIN_MORE)
				buf_addf(&all, ">%.*s|", SPAN_FMT(buf_span(&text)));
			else
				buf_add_cstr(&all, step == SINK_LOGIN_GOOD ? "good" : buf_cstr(&text));
			buf_free(&text);
		}
		if (strcmp(buf_cstr(&all), r->wanted) != 0)
			fail_msg("row %zu: wanted\n%s\ngot\n%s", i, r->wanted, buf_cstr(&all));
		buf_free(&all);
		hop_login_free(l);
	}
	assert_null(hop_login_new(&WHO, SPAN_LIT("SCRAM-SHA-256-PLUS")));
}

/* Replaces the one character at the first place where `what` stands in the text. */
static void spoil(struct buf *text, const char *what)
{
	struct span s = buf_span(text);
	char *at = memmem(s.p, s.n, what, strlen(what));

	assert_non_null(at);
	at[strlen(what)] = at[strlen(what)] == 'A' ? 'B' : 'A';
}

/* A client that does all as RFC 5802 has it, but for what is spoilt in its final message; "" is all right. */
static void scram(enum case_scram departs, const char *password, const char *spoilt, const char *wanted)
{
	struct hop_login_options o = WHO;
	struct buf said = { 0 }, heard = { 0 }, result = { 0 };
	struct err err = { 0 };

	o.scram = departs;
	struct hop_login *l = hop_login_new(&o, SPAN_LIT("SCRAM-SHA-256"));
	struct sasl *client =
		sasl_new(ACCESS_SCRAM_SHA_256, SPAN_LIT("SCRAM-SHA-256"), "relay", password, &err);
	assert_non_null(client);
	enum sink_login_step step = SINK_LOGIN_MORE;
	int rc = sasl_initial(client, &said) ? 0 : -1;
	for (int round = 0; rc == 0 && step == SINK_LOGIN_MORE && round < 4; round++) {
		if (round == 1 && spoilt[0] != '\0')
			spoil(&said, spoilt);
		struct span response = buf_span(&said);
		buf_reset(&heard);
		step = hop_login_step(l, &response, &heard);
		buf_reset(&said);
		if (step == SINK_LOGIN_MORE)
			rc = sasl_step(client, buf_span(&heard), &said, &err);
	}
	if (rc != 0)
		buf_add_cstr(&result, "the client stops");
	else if (step == SINK_LOGIN_BAD)
		buf_add(&result, buf_span(&heard));
	else
		buf_add_cstr(&result, step == SINK_LOGIN_GOOD && sasl_is_complete(client) ? "good" : "open");
	if (strcmp(buf_cstr(&result), wanted) != 0)
		fail_msg("wanted %s, got %s (%s)", wanted, buf_cstr(&result), err.text);
	sasl_free(client);
	hop_login_free(l);
	buf_free(&said);
	buf_free(&heard);
	buf_free(&result);
}

/* Of a client that is right up to there (RFC 5802 section 7). */
static void nothing_comes_behind_the_proof(void **state)
{
	static const char *const BEHIND[] = { ",", ",x=1", ",p=AAAA" };
	(void)state;

	for (size_t i = 0; i < sizeof(BEHIND) / sizeof(BEHIND[0]); i++) {
		struct hop_login *l = hop_login_new(&WHO, SPAN_LIT("SCRAM-SHA-256"));
		struct buf said = { 0 }, heard = { 0 }, again = { 0 };
		struct err err = { 0 };
		struct sasl *client = sasl_new(ACCESS_SCRAM_SHA_256, SPAN_LIT("SCRAM-SHA-256"), "relay",
					       WHO.password, &err);
		assert_true(sasl_initial(client, &said));
		struct span response = buf_span(&said);
		assert_int_equal(hop_login_step(l, &response, &heard), SINK_LOGIN_MORE);
		assert_int_equal(sasl_step(client, buf_span(&heard), &again, &err), 0);
		buf_add_cstr(&again, BEHIND[i]);
		response = buf_span(&again);
		buf_reset(&heard);
		assert_int_equal(hop_login_step(l, &response, &heard), SINK_LOGIN_BAD);
		assert_string_equal(buf_cstr(&heard), "something stands behind the proof");
		sasl_free(client);
		hop_login_free(l);
		buf_free(&said);
		buf_free(&heard);
		buf_free(&again);
	}
}

static void scram_is_proven_on_both_sides(void **state)
{
	(void)state;
	scram(CASE_SCRAM_RIGHT, WHO.password, "", "good");
	scram(CASE_SCRAM_RIGHT, "another", "", "the proof is wrong");
	scram(CASE_SCRAM_RIGHT, WHO.password, "c=", "c= is not the GS2 header in base64, and nothing more");
	scram(CASE_SCRAM_RIGHT, WHO.password, "r=", "r= is not the nonce of the server's first message");
	scram(CASE_SCRAM_RIGHT, WHO.password, ",p", "there is no proof, or it is not base64");
	scram(CASE_SCRAM_RIGHT, WHO.password, ",p=", "the proof is wrong");
	scram(CASE_SCRAM_WRONG_SIGNATURE, WHO.password, "", "the client stops");
	scram(CASE_SCRAM_FOREIGN_NONCE, WHO.password, "", "the client stops");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_exchange_comes_to_what_it_must),
		cmocka_unit_test(scram_is_proven_on_both_sides),
		cmocka_unit_test(nothing_comes_behind_the_proof),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
