#include "harness/conform/answer.h"

#include "harness/conform/derive.h"
#include "harness/conform/doubles.h"
#include "harness/conform/leave.h"
#include "harness/conform/mailing.h"
#include "harness/conform/message_check.h"
#include "harness/conform/shown.h"
#include "harness/conform/suite.h"
#include "harness/conform/sut.h"
#include "harness/conform/transcript.h"
#include "harness/conform/values.h"
#include "harness/judge/xml.h"
#include "tests/unit/harness/exact.h"
#include "tests/unit/harness/line_peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HEAD(needs) \
	"case: a/b\ntitle: t\nreq: RFC5321-4.5.2-x MUST\nrole: server\nneeds: " needs "\n== verdict\n"

/* The first step of a case made of these lines. */
static struct case_file *steps(const char *needs_and_lines)
{
	struct buf messages = { 0 };
	struct case_file *c = case_read(&(struct case_options){
		.path = "t", .text = span_of(needs_and_lines), .ret_messages = &messages });

	if (c == NULL)
		fail_msg("%s", buf_cstr(&messages));
	buf_free(&messages);
	return c;
}

/* ---- replies ---- */

static const struct row {
	const char *name, *lines, *wire;
	bool fits;
} REPLIES[] = {
	{ "code", "S: 250 ...\n", "250 ok\r\n", true },
	{ "other code", "S: 250 ...\n", "251 ok\r\n", false },
	{ "class", "S: 25x ...\n", "251 ok\r\n", true },
	{ "other class", "S: 4xx ...\n", "550 no\r\n", false },
	{ "one of several", "S: 500|501 ...\n", "501 no\r\n", true },
	{ "several lines", "S: 250 ...\n", "250-a\r\n250 b\r\n", true },
	{ "single wanted", "S: 250 single ...\n", "250-a\r\n250 b\r\n", false },
	{ "text", "S: 250 2.1.0 ...\n", "250 2.1.0 fine\r\n", true },
	{ "other text", "S: 250 2.1.0 ...\n", "250 2.1.5 fine\r\n", false },
	{ "gap in the middle", "S: 250 a ... c\n", "250 a b c\r\n", true },
	{ "gap at the front", "S: 250 ... c\n", "250 a b d\r\n", false },
	{ "has", "S: 250 ...\n   has SIZE\n", "250-h\r\n250-SIZE 10\r\n250 HELP\r\n", true },
	{ "has with a parameter", "S: 250 ...\n   has SIZE ${n}\n", "250-h\r\n250 SIZE 10\r\n", true },
	{ "has with another", "S: 250 ...\n   has SIZE 11\n", "250-h\r\n250 SIZE 10\r\n", false },
	{ "first line is no keyword", "S: 250 ...\n   has SIZE\n", "250-SIZE\r\n250 HELP\r\n", false },
	{ "has a longer word", "S: 250 ...\n   has SIZE\n", "250-h\r\n250 SIZES\r\n", false },
	{ "lacks", "S: 250 ...\n   lacks SIZE\n", "250-h\r\n250 HELP\r\n", true },
	{ "lacks what is there", "S: 250 ...\n   lacks help\n", "250-h\r\n250 HELP\r\n", false },
	{ "bare", "S: 250 ...\n   bare DSN\n", "250-h\r\n250 DSN\r\n", true },
	{ "bare with a parameter", "S: 250 ...\n   bare DSN\n", "250-h\r\n250 DSN x\r\n", false },
	{ "bare, not there", "S: 250 ...\n   bare DSN\n", "250-h\r\n250 HELP\r\n", false },
	{ "parameters", "S: 250 ...\n   parameters AUTH >= 2\n", "250-h\r\n250 AUTH A B\r\n", true },
	{ "too many", "S: 250 ...\n   parameters SIZE <= 1\n", "250-h\r\n250 SIZE 1 2\r\n", false },
	{ "too few", "S: 250 ...\n   parameters AUTH >= 1\n", "250-h\r\n250 AUTH\r\n", false },
	{ "empty", "S: 334 ...\n   empty\n", "334 \r\n", true },
	{ "empty without blank", "S: 334 ...\n   empty\n", "334\r\n", false },
	{ "empty with more", "S: 334 ...\n   empty\n", "334 =\r\n", false },
	{ "only", "S: 250 ...\n   only HELP SIZE\n", "250-h\r\n250-SIZE 1\r\n250-XFOO\r\n250 help\r\n",
	  true },
	{ "only, and another", "S: 250 ...\n   only HELP SIZE\n", "250-h\r\n250-SIZ\r\n250 HELP\r\n", false },
	{ "domain", "S: 220 ...\n   domain\n", "220 mx.a.example hello\r\n", true },
	{ "domain alone", "S: 220 ...\n   domain\n", "220-mx.a.example\r\n220 hello\r\n", true },
	{ "literal", "S: 220 ...\n   domain\n", "220 [192.0.2.1] hello\r\n", true },
	{ "no domain", "S: 220 ...\n   domain\n", "220 a_b.example hello\r\n", false },
	{ "no word", "S: 220 ...\n   domain\n", "220 \r\n", false },
	{ "spaced", "S: 250 ...\n   spaced\n", "250 \r\n", true },
	{ "not spaced", "S: 250 ...\n   spaced\n", "250\r\n", false },
	{ "status", "S: 550 ...\n   status 5.1.1\n", "550 5.1.1 no\r\n", true },
	{ "any status", "S: 550 ...\n   status 5.x.x\n", "550-5.1.10 no\r\n550 5.7.1 no\r\n", true },
	{ "registered", "S: 550 ...\n   status registered\n", "550-5.7.30 no\r\n550 5.1.10 no\r\n", true },
	{ "no such detail", "S: 550 ...\n   status registered\n", "550 5.1.11 no\r\n", false },
	{ "no such subject", "S: 550 ...\n   status registered\n", "550 5.8.0 no\r\n", false },
	{ "no code to register", "S: 550 ...\n   status registered\n", "550 no\r\n", false },
	{ "none", "S: 354 ...\n   status none\n", "354 3.5 kg may come\r\n", true },
	{ "none in no text", "S: 354 ...\n   status none\n", "354\r\n", true },
	{ "none, and one", "S: 354 ...\n   status none\n", "354 2.0.0 go on\r\n", false },
	{ "a leading zero", "S: 550 ...\n   status 5.x.x\n", "550 5.01.1 no\r\n", false },
	{ "no status", "S: 550 ...\n   status 5.x.x\n", "550 no\r\n", false },
	{ "status in one line only", "S: 550 ...\n   status 5.x.x\n", "550-5.1.1 no\r\n550 never\r\n",
	  false },
	{ "longer status", "S: 550 ...\n   status 5.1.1\n", "550 5.1.10 no\r\n", false },
	{ "strict", "S: 250 ...\n   strict\n", "250 ok\r\n", true },
	{ "bare LF", "S: 250 ...\n   strict\n", "250 ok\n", false },
	{ "mixed codes", "S: 250 ...\n   strict\n", "251-a\r\n250 ok\r\n", false },
	{ "lines", "S: 250 ...\n   lines == 2\n", "250-a\r\n250 b\r\n", true },
	{ "fewer lines", "S: 250 ...\n   lines >= 3\n", "250-a\r\n250 b\r\n", false },
	{ "second line", "S: 250 ...\n   line 2 b ${x}\n", "250-a\r\n250 b 7\r\n", true },
	{ "no second line", "S: 250 ...\n   line 2 ...\n", "250 b 7\r\n", false },
};

static bool read_whole(struct answer_reader *r, struct span in, bool multi)
{
	bool done = false;
	size_t n = answer_read(r, in, multi, &done);

	return done && n == in.n;
}

/* One byte at a time gives the same as all at once. */
static bool read_bytes(struct answer_reader *r, struct span in, bool multi)
{
	bool done = false;

	for (size_t i = 0; i < in.n; i++) {
		assert_false(done);
		struct exact e = exact_of(span_sub(in, i, 1));
		assert_int_equal(answer_read(r, exact_span(e), multi, &done), 1);
		exact_free(e);
	}
	return done;
}

static void check_row(const char *head, const struct row *row, bool pop3, bool multi)
{
	for (int split = 0; split < 2; split++) {
		struct buf text = { 0 }, why = { 0 };
		struct values v = { 0 };
		struct answer_reader r = { .pop3 = pop3 };
		buf_addf(&text, "%s%s", head, row->lines);
		struct case_file *c = steps(buf_cstr(&text));
		const struct case_step *s = &c->steps[0];
		assert_true((split ? read_bytes : read_whole)(&r, span_of(row->wire), multi));
		bool fits = answer_matches(&r.answer, &s->pattern, &v, &why) &&
			    answer_passes(&r.answer, s->checks, s->check_count, &v, &why);
		if (fits != row->fits || fits != (buf_bytes(&why) == 0))
			fail_msg("%s: %s", row->name, buf_cstr(&why));
		case_free(c);
		values_free(&v);
		answer_reader_free(&r);
		buf_free(&text);
		buf_free(&why);
	}
}

static void replies_are_held_against_patterns(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(REPLIES) / sizeof(REPLIES[0]); i++)
		check_row(HEAD("smtp"), &REPLIES[i], false, false);
}

static const struct row RESPONSES[] = {
	{ "ok", "S: +OK ...\n", "+OK\r\n", true },
	{ "err", "S: +OK ...\n", "-ERR no\r\n", false },
	{ "err wanted", "S: -ERR ...\n", "-ERR no\r\n", true },
	{ "neither", "S: -ERR ...\n", "what?\r\n", false },
	{ "challenge", "S: + ...\n", "+ abc=\r\n", true },
	{ "lower case", "S: +OK ...\n   strict\n", "+ok\r\n", false },
	{ "well-formed challenge", "S: + ...\n   strict\n", "+ abc=\r\n", true },
	{ "challenge without its blank", "S: + ...\n   strict\n", "+\r\n", false },
	{ "empty text", "S: + ...\n   text == \"\"\n", "+ \r\n", true },
	{ "text that is not empty", "S: + ...\n   text == \"\"\n", "+ abc=\r\n", false },
	{ "text has", "S: -ERR ...\n   text has \"[AUTH]\"\n", "-ERR [AUTH] no\r\n", true },
	{ "text lacks", "S: -ERR ...\n   text lacks \"[AUTH]\"\n", "-ERR no\r\n", true },
	{ "text lacks what is there", "S: -ERR ...\n   text lacks \"[AUTH]\"\n", "-ERR [AUTH] no\r\n",
	  false },
	{ "longest line", "S: -ERR ...\n   longest <= 4\n", "-ERR no\r\n", true },
	{ "a longer line", "S: -ERR ...\n   longest <= 3\n", "-ERR no\r\n", false },
};
static const struct row LISTS[] = {
	{ "data", "S: +OK multi ...\n   data == \".x\\r\\ny\\r\\n\"\n", "+OK\r\n..x\r\ny\r\n.\r\n", true },
	{ "other data", "S: +OK multi ...\n   data == \"x\\r\\n\"\n", "+OK\r\ny\r\n.\r\n", false },
	{ "no data", "S: +OK multi ...\n   lines == 0\n", "+OK\r\n.\r\n", true },
	{ "keyword", "S: +OK multi ...\n   has UIDL\n", "+OK\r\nTOP\r\nUIDL\r\n.\r\n", true },
	{ "line", "S: +OK multi ...\n   line 1 1 ${octets}\n", "+OK\r\n1 120\r\n.\r\n", true },
	{ "longest of the data", "S: +OK multi ...\n   longest == 6\n",
	  "+OK yes yes\r\n1\r\n1234\r\n12\r\n.\r\n", true },
	{ "another longest", "S: +OK multi ...\n   longest <= 5\n", "+OK\r\n1234\r\n12\r\n.\r\n", false },
	{ "err is one line", "S: -ERR multi ...\n", "-ERR no\r\n", true },
};

static void pop3_responses_are_held_against_patterns(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(RESPONSES) / sizeof(RESPONSES[0]); i++)
		check_row(HEAD("pop3"), &RESPONSES[i], true, false);
	for (size_t i = 0; i < sizeof(LISTS) / sizeof(LISTS[0]); i++)
		check_row(HEAD("pop3"), &LISTS[i], true, true);
}

static void variables_are_bound_once_and_then_compared(void **state)
{
	(void)state;
	struct values v = { 0 };
	struct case_file *c = steps(HEAD("smtp") "S: 250 ${a} and ${b} ...\nS: 250 ${b}-${a}\n");
	const struct case_text *first = &c->steps[0].pattern.text, *second = &c->steps[1].pattern.text;

	assert_false(values_match(&v, first, SPAN_LIT("x or y")));
	assert_null(values_get(&v, SPAN_LIT("a"))); /* what did not match binds nothing */
	assert_true(values_match(&v, first, SPAN_LIT("x and y z")));
	assert_true(span_eq(buf_span(&values_get(&v, SPAN_LIT("b"))->value), SPAN_LIT("y")));
	assert_true(values_match(&v, second, SPAN_LIT("y-x")));
	assert_false(values_match(&v, second, SPAN_LIT("y-y")));
	case_free(c);
	c = steps(HEAD("smtp") "S: 250 ${n}... r=${r},s=${s}...\n");
	assert_true(values_match(&v, &c->steps[0].pattern.text, SPAN_LIT("120 r=ab,s=cd,e=f g")));
	assert_true(span_eq(buf_span(&values_get(&v, SPAN_LIT("n"))->value), SPAN_LIT("120")));
	assert_true(span_eq(buf_span(&values_get(&v, SPAN_LIT("r"))->value), SPAN_LIT("ab")));
	assert_true(span_eq(buf_span(&values_get(&v, SPAN_LIT("s"))->value), SPAN_LIT("cd,e=f")));
	case_free(c);
	values_free(&v);
}

static void a_pattern_that_costs_too_much_does_not_match(void **state)
{
	(void)state;
	struct values v = { 0 };
	struct buf hostile = { 0 };
	struct case_file *c = steps(HEAD("smtp") "S: 250 ...a...a...a...a...a...b\n");

	for (int i = 0; i < 60000; i++)
		buf_add_cstr(&hostile, "a");
	assert_false(values_match(&v, &c->steps[0].pattern.text, buf_span(&hostile)));
	case_free(c);
	buf_free(&hostile);
}

/* ---- values that are made ---- */

/* Operands in their order; the AuthMessages are those of RFC 5802 section 5 and RFC 7677 section 3. */
#define SHA1_NONCE "fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j"
#define SHA256_NONCE "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define SHA1_MESSAGE \
	"n=user,r=fyko+d2lbbFgONRv9qkxdawL,r=" SHA1_NONCE ",s=QSXCR+Q6sek8bf92,i=4096,c=biws,r=" SHA1_NONCE
#define SHA256_MESSAGE                                  \
	"n=user,r=rOprNGfwEbeRWgbNEkqO,r=" SHA256_NONCE \
	",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=" SHA256_NONCE

static const struct made {
	const char *name, *let, *operands[CASE_OPERANDS_MAX], *value; /* NULL: none can be made */
} MADE[] = {
	{ "text", "\"x\"", { "x" }, "x" },
	{ "repeated", "repeat 3 \"x\"", { "ab" }, "ababab" },
	{ "base64", "base64 \"x\"", { "test" }, "dGVzdA==" },
	{ "out of base64", "unbase64 \"x\"", { "dGVzdA==" }, "test" },
	{ "out of what is not base64", "unbase64 \"x\"", { "dGVzdA=" }, NULL },
	{ "the digest of RFC 1939 7",
	  "md5 \"x\"",
	  { "<1896.697170952@dbc.mtview.ca.us>tanstaaf" },
	  "c4c9334bac560ecc979e58001b3e22fb" },
	{ "the proof of RFC 5802 5",
	  "scram-proof SHA-1 \"x\" \"x\" \"x\" \"x\"",
	  { "pencil", "QSXCR+Q6sek8bf92", "4096", SHA1_MESSAGE },
	  "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=" },
	{ "the signature of RFC 5802 5",
	  "scram-signature SHA-1 \"x\" \"x\" \"x\" \"x\"",
	  { "pencil", "QSXCR+Q6sek8bf92", "4096", SHA1_MESSAGE },
	  "rmF9pqV8S7suAoZWja4dJRkFsKQ=" },
	{ "the proof of RFC 7677 3",
	  "scram-proof SHA-256 \"x\" \"x\" \"x\" \"x\"",
	  { "pencil", "W22ZaJ0SNY7soEsUEjb6gQ==", "4096", SHA256_MESSAGE },
	  "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=" },
	{ "the signature of RFC 7677 3",
	  "scram-signature SHA-256 \"x\" \"x\" \"x\" \"x\"",
	  { "pencil", "W22ZaJ0SNY7soEsUEjb6gQ==", "4096", SHA256_MESSAGE },
	  "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=" },
	{ "a salt that is not base64",
	  "scram-proof SHA-1 \"x\" \"x\" \"x\" \"x\"",
	  { "pencil", "Q*", "4096", "" },
	  NULL },
	{ "no salt", "scram-proof SHA-1 \"x\" \"x\" \"x\" \"x\"", { "pencil", "", "4096", "" }, NULL },
	{ "no iterations", "scram-proof SHA-1 \"x\" \"x\" \"x\" \"x\"", { "pencil", "QQ==", "0", "" }, NULL },
	{ "too many iterations",
	  "scram-proof SHA-1 \"x\" \"x\" \"x\" \"x\"",
	  { "pencil", "QQ==", "1000001", "" },
	  NULL },
};

static void values_are_made_as_the_rfcs_make_them(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(MADE) / sizeof(MADE[0]); i++) {
		const struct made *m = &MADE[i];
		struct buf text = { 0 }, value = { 0 };
		struct err e = { 0 };
		buf_addf(&text, "%slet a = %s\nS: 250 ...\n", HEAD("smtp"), m->let);
		struct case_file *c = steps(buf_cstr(&text));
		struct span operands[CASE_OPERANDS_MAX] = { 0 };
		for (size_t k = 0; k < CASE_OPERANDS_MAX && m->operands[k] != NULL; k++)
			operands[k] = span_of(m->operands[k]);
		int rc = derive(&c->steps[0], operands, &value, &e);
		if ((rc == 0) != (m->value != NULL) || (rc != 0 && e.text[0] == '\0') ||
		    (rc == 0 && strcmp(buf_cstr(&value), m->value) != 0))
			fail_msg("%s: %d, \"%s\"", m->name, rc, buf_cstr(&value));
		case_free(c);
		buf_free(&text);
		buf_free(&value);
	}
}

static void mail_says_what_its_content_needs(void **state)
{
	static const struct {
		const char *content, *offered, *parameters, *lacks;
	} ROWS[] = {
		{ "Subject: x\r\n\r\ny\r\n", "", ">\n", NULL },
		{ "Subject: x\r\n\r\n\xc3\xa4\r\n", "8BITMIME\n", "> BODY=8BITMIME\n", NULL },
		{ "Subject: \xc3\xa4\r\n\r\ny\r\n", "8BITMIME\nSMTPUTF8\n", "> BODY=8BITMIME SMTPUTF8\n",
		  NULL },
		{ "Subject: x\r\n\r\n\xc3\xa4\r\n", "", "> BODY=8BITMIME\n", "8BITMIME" },
		{ "Subject: \xc3\xa4\r\n\r\ny\r\n", "8BITMIME\n", "> BODY=8BITMIME SMTPUTF8\n", "SMTPUTF8" },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		struct sut s = { 0 };
		struct buf text = { 0 };
		struct mailing m = { .service = CASE_SMTP,
				     .sender = "a@b.example",
				     .recipient = "c@d.example",
				     .content = span_of(ROWS[i].content) };
		buf_add_cstr(&s.services[CASE_SMTP].keywords, ROWS[i].offered);
		s.services[CASE_SMTP].there = true;
		const char *lacks = mailing_lacks(&s, &m);
		assert_string_equal(lacks != NULL ? lacks : "", ROWS[i].lacks != NULL ? ROWS[i].lacks : "");
		mailing_text(&m, &text);
		const char *mail = strstr(buf_cstr(&text), "MAIL FROM:<a@b.example");
		assert_non_null(mail);
		assert_memory_equal(mail + strlen("MAIL FROM:<a@b.example"), ROWS[i].parameters,
				    strlen(ROWS[i].parameters));
		sut_free(&s);
		buf_free(&text);
	}
}

static void parameters_need_the_extension_that_has_them(void **state)
{
	static const struct {
		const char *mail, *rcpt, *offered, *lacks;
	} ROWS[] = {
		{ "RET=HDRS ENVID=x", "", "", "DSN" },
		{ "", "ORCPT=rfc822;a@b", "SIZE\n", "DSN" },
		{ "RET=HDRS", "NOTIFY=NEVER", "DSN\n", "" },
		{ "BODY=8BITMIME BY=3;R", "", "DSN\n", "DELIVERBY" },
		{ "", "", "", "" },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		struct sut s = { 0 };
		struct mailing m = { .service = CASE_SMTP,
				     .mail_parameters = ROWS[i].mail,
				     .rcpt_parameters = ROWS[i].rcpt };
		buf_add_cstr(&s.services[CASE_SMTP].keywords, ROWS[i].offered);
		const char *lacks = mailing_lacks(&s, &m);
		assert_string_equal(lacks != NULL ? lacks : "", ROWS[i].lacks);
		sut_free(&s);
	}
}

/* ---- transcripts ---- */

static void lines_that_repeat_are_shown_once(void **state)
{
	struct transcript t = { 0 };
	struct buf out = { 0 };

	(void)state;
	transcript_add(&t, 1000, TRANSCRIPT_CLIENT, 0,
		       SPAN_LIT("a\r\nb\r\nb\r\nb\r\nb\r\nc\r\nd\r\nd\r\nd\r\ne"));
	transcript_print(&t, "", &out);
	assert_string_equal(buf_cstr(&out), "    0.000 C1 -> a\\r\\n\n"
					    "           | -> b\\r\\n\n"
					    "           | -> … the same, 3 times more\n"
					    "           | -> c\\r\\n\n"
					    "           | -> d\\r\\n\n"
					    "           | -> d\\r\\n\n"
					    "           | -> d\\r\\n\n"
					    "           | -> e\n");
	buf_free(&out);
	transcript_free(&t);
}

static void secrets_never_enter_a_transcript(void **state)
{
	(void)state;
	struct transcript t = { 0 };
	struct buf out = { 0 };

	transcript_add_secret(&t, SPAN_LIT("hunter22"));
	transcript_add_secret(&t, SPAN_LIT("hunter22hunter22"));
	transcript_add_secret(&t, SPAN_LIT("abc")); /* too short to be one */
	transcript_add(&t, 1000, TRANSCRIPT_CLIENT, 0, SPAN_LIT("PASS hunter22\r\nabc hunter22hunter22\r\n"));
	transcript_add(&t, 2000, TRANSCRIPT_SERVER, 1, SPAN_LIT("-ERR hunter22?\n"));
	transcript_print(&t, "", &out);
	assert_null(strstr(buf_cstr(&out), "hunter"));
	assert_non_null(strstr(buf_cstr(&out), "C1 -> PASS [secret]\\r\\n\n"));
	assert_non_null(strstr(buf_cstr(&out), "| -> abc [secret]\\r\\n\n"));
	assert_non_null(strstr(buf_cstr(&out), "S2 <- -ERR [secret]?\\n\n"));
	transcript_free(&t);
	buf_free(&out);
}

static void a_transcript_is_bounded(void **state)
{
	(void)state;
	struct transcript t = { 0 };
	struct buf big = { 0 }, out = { 0 };

	for (int i = 0; i < 100000; i++)
		buf_add_cstr(&big, "x");
	for (int i = 0; i < 200; i++)
		transcript_add(&t, i + 1, TRANSCRIPT_SERVER, 0, buf_span(&big));
	assert_true(buf_bytes(&t.bytes) <= TRANSCRIPT_BYTES_MAX + TRANSCRIPT_EVENT_BYTES_MAX);
	transcript_print(&t, "", &out);
	assert_non_null(strstr(buf_cstr(&out), "100000 bytes in all"));
	assert_non_null(strstr(buf_cstr(&out), "pieces more, not kept"));
	transcript_free(&t);
	buf_free(&big);
	buf_free(&out);
}

/* ---- messages ---- */

static const char MESSAGE[] = "Received: a\r\nReceived: b\r\nSubject: one\r\n two\r\n\r\n.x\r\nbody\r\n";

/* The oldest is the last. */
static const char TRACED[] = "Received: b\r\n"
			     "Received: from a by b with ESMTP;\r\n\tSun, 1 Mar 2026 12:00:00 +0000\r\n\r\n";

static const char PARTS[] = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
			    "Content-Transfer-Encoding: base64\r\n\r\nQUI=\r\n--b\r\n"
			    "Content-Transfer-Encoding: odd\r\n\r\nx\r\n--b--\r\n";

static const char REPORT[] = "MIME-Version: 1.0\r\nContent-Type: multipart/report; boundary=b\r\n\r\n--b\r\n"
			     "Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns;a\r\n\r\n"
			     "Final-Recipient: rfc822;joe@a.example\r\n\r\n"
			     "Final-Recipient: rfc822;ann@a.example\r\n\r\n--b--\r\n";

static const struct row MESSAGES[] = {
	{ "part", "stored ${rcpt}:\n   part 1 == \"AB\"\n", PARTS, true },
	{ "part is other", "stored ${rcpt}:\n   part 1 == \"QUI=\"\n", PARTS, false },
	{ "no such part", "stored ${rcpt}:\n   part 3 lacks \"x\"\n", PARTS, false },
	{ "part of an odd encoding", "stored ${rcpt}:\n   part 2 has \"x\"\n", PARTS, false },
	{ "body", "stored ${rcpt}:\n   body == \".x\\r\\nbody\\r\\n\"\n", MESSAGE, true },
	{ "other body", "stored ${rcpt}:\n   body == \".x\\r\\n\"\n", MESSAGE, false },
	{ "body has", "stored ${rcpt}:\n   body has \"bod\"\n", MESSAGE, true },
	{ "body lacks", "stored ${rcpt}:\n   body lacks \"bod\"\n", MESSAGE, false },
	{ "field", "stored ${rcpt}:\n   header subject == \"one two\"\n", MESSAGE, true },
	{ "any field of the name", "stored ${rcpt}:\n   header received == \"b\"\n", MESSAGE, true },
	{ "all lack it", "stored ${rcpt}:\n   header received lacks \"b\"\n", MESSAGE, false },
	{ "no field", "stored ${rcpt}:\n   header to has \"b\"\n", MESSAGE, false },
	{ "received", "stored ${rcpt}:\n   received zone\n", TRACED, true },
	{ "not received so", "stored ${rcpt}:\n   received from\n", TRACED, false },
	{ "not received", "stored ${rcpt}:\n   received zone\n", "A: b\r\n\r\n", false },
	{ "form", "stored ${rcpt}:\n   form lines-78\n", MESSAGE, true },
	{ "not of that form", "stored ${rcpt}:\n   form counts\n", MESSAGE, false },
	{ "field count", "stored ${rcpt}:\n   header received count == 2\n", MESSAGE, true },
	{ "other field count", "stored ${rcpt}:\n   header to count >= 1\n", MESSAGE, false },
	{ "raw", "stored ${rcpt}:\n   raw has \"two\\r\\n\\r\\n.x\"\n", MESSAGE, true },
	{ "all lack it but one", "bounced ${rcpt}:\n   dsn Final-Recipient lacks \"joe\"\n", REPORT, false },
	{ "all lack it in a report", "bounced ${rcpt}:\n   dsn Final-Recipient lacks \"eve\"\n", REPORT,
	  true },
	{ "one in a report", "bounced ${rcpt}:\n   dsn Final-Recipient has \"ann\"\n", REPORT, true },
};

static void messages_are_held_against_checks(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(MESSAGES) / sizeof(MESSAGES[0]); i++) {
		struct buf text = { 0 }, why = { 0 };
		struct values v = { 0 };
		buf_addf(&text, "%s%s", HEAD("smtp mailbox"), MESSAGES[i].lines);
		struct case_file *c = steps(buf_cstr(&text));
		bool passes = message_passes(span_of(MESSAGES[i].wire), &c->steps[0], &v, &why);
		if (passes != MESSAGES[i].fits)
			fail_msg("%s: %s", MESSAGES[i].name, buf_cstr(&why));
		if (!passes && buf_bytes(&why) == 0)
			fail_msg("%s: nothing is said of what is wrong", MESSAGES[i].name);
		case_free(c);
		buf_free(&text);
		buf_free(&why);
	}
}

/* ---- what is offered ---- */

static void keywords_are_found_with_their_parameters(void **state)
{
	(void)state;
	struct sut s = { 0 };

	buf_add_cstr(&s.services[CASE_SMTP].keywords,
		     "SIZE 100\nAUTH PLAIN LOGIN\nAUTH=CRAM-MD5\nPIPELININGX\n");
	assert_true(sut_offers(&s, CASE_SMTP, "SIZE"));
	assert_true(sut_offers(&s, CASE_SMTP, "AUTH=LOGIN"));
	assert_true(sut_offers(&s, CASE_SMTP, "AUTH=CRAM-MD5"));
	assert_false(sut_offers(&s, CASE_SMTP, "AUTH=SCRAM"));
	assert_false(sut_offers(&s, CASE_SMTP, "PIPELINING"));
	assert_false(sut_offers(&s, CASE_POP3, "SIZE"));
	sut_free(&s);
}

/* NULL: nothing is lacking. */
static void check_lacks(const struct sut *s, const char *lines, const char *wanted)
{
	struct case_file *c = steps(lines);
	char text[160];
	const char *got = sut_lacks(s, c, text, sizeof(text));

	if ((got == NULL) != (wanted == NULL) || (got != NULL && strstr(got, wanted) == NULL))
		fail_msg("%s: %s", lines, got != NULL ? got : "nothing is lacking");
	case_free(c);
}

static void what_a_target_cannot_show_is_not_tested(void **state)
{
	(void)state;
	struct sut s = { .services = { [CASE_SMTP] = { .there = true },
				       [CASE_POP3] = { .there = true, .borrowed_from = "dovecot" } } };

	check_lacks(&s, HEAD("smtp") "S: 220 ...\n", NULL);
	check_lacks(&s, HEAD("smtp pop3") "S: 220 ...\n", NULL);
	check_lacks(&s, HEAD("pop3") "S: +OK ...\n", "pop3 is served by dovecot");
	check_lacks(&s, HEAD("lmtp") "S: 220 ...\n", "no lmtp service");
	check_lacks(&s, HEAD("smtp DSN") "S: 220 ...\n", "does not offer DSN");
	check_lacks(&s, HEAD("smtp mailbox") "S: 220 ...\n", "no mailbox");
	check_lacks(&s, HEAD("smtp lists") "S: 220 ...\n", "lists");
	static const char INTRUSIVE[] = "case: a/b\ntitle: t\nreq: RFC5321-4.5.2-x MUST\nrole: server\n"
					"needs: smtp\ntags: intrusive\n== verdict\nS: 220 ...\n";
	check_lacks(&s, INTRUSIVE, NULL);
	s.is_elsewhere = true;
	check_lacks(&s, INTRUSIVE, "somebody else's");
	check_lacks(&s, HEAD("smtp") "S: 220 ...\n", NULL);
}

#define RELAY(more, steps)                                                                     \
	"case: a/b\ntitle: t\nreq: RFC5321-4.5.2-x MUST\nrole: client\nneeds: submission" more \
	"\n== verdict\n" steps

static void what_a_relay_cannot_do_is_not_tested(void **state)
{
	(void)state;
	struct world *there = (struct world *)&there; /* is not looked into */
	struct sut s = {
		.services = { [CASE_SUBMISSION] = { .there = true }, [CASE_SMTP] = { .there = true } },
		.account_count = 2,
		.relay = { .is = true, .settle_ms = 1 }
	};

	check_lacks(&s, RELAY("", "queued\n"), "\"next-hops\" can be played");
	s.world = there;
	check_lacks(&s, RELAY("", "queued\n"), NULL);
	check_lacks(&s, RELAY(" short-retry", "queued\n"), "try again soon");
	check_lacks(&s, RELAY(" short-delay", "queued\n"), "tell soon of a delay");
	check_lacks(&s, RELAY(" short-timeout", "queued\n"), "for a short time only");
	check_lacks(&s, RELAY(" own-timeouts", "queued\n"), NULL);
	check_lacks(&s, RELAY(" tls-verify", "queued\n"), "no such policy");
	check_lacks(&s, RELAY(" ipv6", "queued\n"), "no AAAA records");
	check_lacks(&s, RELAY(" lmtp-next-hop", "queued\n"), "to speak LMTP");
	check_lacks(&s, RELAY(" login", "queued\n"), "no name and password");
	check_lacks(&s, RELAY(" login-verify", "queued\n"), "no name and password");
	check_lacks(&s, RELAY(" address-literals", "queued\n"), "to address literals");
	check_lacks(&s, RELAY(" mta-sts", "queued\n"), "fetches no policies");
	check_lacks(&s, RELAY(" smart-host", "queued\n"), "no smart host");
	check_lacks(&s, RELAY(" utf8-mailbox", "queued\n"), "no mail with SMTPUTF8");
	check_lacks(&s, RELAY("\nspeaks: CHUNKING LIMITS", "queued\n"), "does not use CHUNKING");
	s.relay = (struct target_relay){ .is = true,
					 .max_ms = 1,
					 .delay_ms = 1,
					 .reply_timeout_ms = 1,
					 .speaks = { .items = { "CHUNKING" }, .count = 1 } };
	static const char *const abilities[] = { "ipv6", "address-literals", "mta-sts", "smart-host" };
	s.abilities = abilities;
	s.ability_count = 4;
	check_lacks(&s, RELAY(" short-retry short-delay short-timeout", "queued\n"), NULL);
	check_lacks(&s, RELAY(" ipv6 address-literals mta-sts smart-host", "queued\n"), NULL);
	check_lacks(&s, RELAY(" own-timeouts", "queued\n"), "for a short time only, without --patient");
	check_lacks(&s, RELAY(" ipv6 address-literals", "queued\n"), NULL);
	check_lacks(&s, RELAY("\nspeaks: CHUNKING LIMITS", "queued\n"), "does not use LIMITS");
}

static void an_alias_leads_into_the_domain_of_its_case(void **state)
{
	(void)state;
	struct case_file *c = steps(RELAY(" lists", "submit ${alias} ${alias2}\nqueued\n")),
			 *unknown = steps(RELAY("", "queued\n")),
			 *server = steps(HEAD("smtp lists") "S: 220 ...\n");
	char zone[SUT_ZONE_BYTES], address[SUT_ALIAS_BYTES];

	assert_true(sut_knows_zone_of(c));
	assert_false(sut_knows_zone_of(unknown));
	assert_false(sut_knows_zone_of(server));
	sut_known_zone(7, NULL, zone);
	assert_string_equal(zone, "k7.next.example");
	sut_alias(zone, false, "sut.example", address);
	assert_string_equal(address, "alias.k7@sut.example");
	sut_known_zone(7, "dane", zone);
	assert_string_equal(zone, "k7.dane.next.example");
	sut_alias(zone, true, "sut.example", address);
	assert_string_equal(address, "alias2.k7.dane@sut.example");
	const struct case_file *const all[] = { c, unknown, c, server };
	assert_int_equal(suite_known_count(all, 2, 3), 3 + 16);
	assert_int_equal(suite_known_count(all, 4, 3), 6 + 16);
	assert_int_equal(suite_known_count(&all[1], 1, 3), 0);
	case_free(c);
	case_free(unknown);
	case_free(server);
}

static enum peer_act greet(void *ctx, uint32_t *state, struct span line, struct buf *ret_answer)
{
	(void)ctx;
	(void)state;
	buf_add_cstr(ret_answer, line.p == NULL ? "220 mx.example\r\n" : "221 bye\r\n");
	return PEER_GO;
}

static void on_all_played(void *ctx, struct suite *s)
{
	(void)s;
	loop_stop(ctx);
}

static void a_case_for_which_no_domain_is_left_is_the_only_one_that_is_not_played(void **state)
{
	(void)state;
	struct case_file *aliases = steps(RELAY(" lists", "submit ${alias}\nqueued\n")),
			 *server = steps(HEAD("smtp") "S: 220 ...\n");
	const struct case_file *const cases[] = { aliases, server };
	static const char *const abilities[] = { "lists" }, *const mailboxes[] = { "a@mx.example",
										   "b@mx.example" };
	struct line_peer peer = { .loop = loop_new(), .fn = greet };
	struct world *there = (struct world *)&peer; /* is not looked into */
	struct sut s = {
		.services = { [CASE_SUBMISSION] = { .there = true }, [CASE_SMTP] = { .there = true } },
		.host = "mx.example",
		.domain = "mx.example",
		.addresses = mailboxes,
		.passwords = mailboxes,
		.lists = mailboxes,
		.account_count = 2,
		.relay = { .is = true, .settle_ms = 1 },
		.world = there,
		.abilities = abilities,
		.ability_count = 1
	};

	peer_open(&peer);
	s.services[CASE_SMTP].at = *listener_addr(peer.listener);
	struct suite *suite = suite_new(&(struct suite_options){ .loop = peer.loop,
								 .sut = &s,
								 .cases = cases,
								 .case_count = 2,
								 .at_once = 1,
								 .repeat = 1,
								 .on_done = on_all_played,
								 .ctx = peer.loop });
	suite_start(suite);
	loop_run(peer.loop);
	const struct suite_result *r = suite_results(suite);
	assert_int_equal(r[0].verdict, CONFORM_NOT_TESTED);
	assert_string_equal(r[0].why, "the target was told of no more domains");
	assert_string_equal(r[1].why, "");
	assert_int_equal(r[1].verdict, CONFORM_PASS);
	suite_free(suite);
	peer_close(&peer);
	loop_free(peer.loop);
	case_free(aliases);
	case_free(server);
}

static void a_relay_with_borrowed_submission_gets_mail_from_the_trusted_address(void **state)
{
	(void)state;
	struct world *there = (struct world *)&there; /* not looked into */
	struct sut s = { .services = { [CASE_SUBMISSION] = { .there = true, .borrowed_from = "dovecot" },
				       [CASE_SMTP] = { .there = true } },
			 .account_count = 2,
			 .world = there,
			 .relay = { .is = true, .settle_ms = 1 } };
	enum case_service got;
	struct case_file *c = steps(RELAY("", "queued\n")),
			 *of_server = steps(HEAD("submission") "S: 220 ...\n");

	check_lacks(&s, RELAY("", "queued\n"), "submission is served by dovecot");
	s.trusted.n = 1;
	check_lacks(&s, RELAY("", "queued\n"), NULL);
	check_lacks(&s, RELAY(" DSN", "queued\n"), "does not offer DSN on smtp");
	check_lacks(&s, HEAD("submission") "S: 220 ...\n", "submission is served by dovecot");
	assert_true(mailing_service(&s, c, &got));
	assert_int_equal(got, CASE_SMTP);
	assert_true(mailing_service(&s, of_server, &got));
	assert_int_equal(got, CASE_SUBMISSION);
	s.services[CASE_SUBMISSION].borrowed_from = NULL;
	assert_true(mailing_service(&s, c, &got));
	assert_int_equal(got, CASE_SUBMISSION);
	case_free(c);
	case_free(of_server);
}

static void a_step_of_a_relay_has_the_time_of_its_schedule(void **state)
{
	(void)state;
	const struct sut s = { .relay = { .is = true,
					  .max_ms = 2000,
					  .expire_ms = 12000,
					  .delay_ms = 3000,
					  .reply_timeout_ms = 5000,
					  .settle_ms = 10000 } };
	static const struct {
		const char *lines;
		int64_t ms;
	} ROWS[] = {
		{ RELAY("", "queued\n"), 10000 },
		{ RELAY("", "queued within 7s\n"), 7000 },
		{ RELAY("\ntimeout: 8s", "queued\n"), 8000 },
		{ RELAY(" short-retry", "queued\n"), 18000 },
		{ RELAY(" short-retry short-timeout", "queued\n"), 33000 },
		{ RELAY("", "queued within expire\n"), 24000 },
		{ RELAY("", "queued within delay\n"), 15000 },
		{ HEAD("smtp") "S: 220 ...\n", 10000 },
	};

	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		struct case_file *c = steps(ROWS[i].lines);
		int64_t ms = sut_limit_ms(&s, c, &c->steps[0]);
		if (ms != ROWS[i].ms)
			fail_msg("%s: %d ms", ROWS[i].lines, (int)ms);
		case_free(c);
	}
}

static void mail_stays_in_the_domains_that_are_listed(void **state)
{
	(void)state;
	static const char *const DOMAINS[] = { "a.example", "b.example" };
	static const struct {
		const char *lines, *path; /* NULL: allowed */
	} ROWS[] = {
		{ "RCPT TO:<x@a.example>\r\n", NULL },
		{ "MAIL FROM:<x@c.example>\r\nrcpt to:<x@B.Example> NOTIFY=NEVER\r\n", NULL },
		{ "RCPT TO:<Postmaster>\r\n", NULL },
		{ "NOOP\r\nRCPT TO:<x@c.example>\r\n", "x@c.example" },
		{ "RCPT TO:<x@a.example>\r\nRCPT TO:<x@a.example.c.example>\r\n", "x@a.example.c.example" },
		{ "RCPT TO: x@c.example\r\n", "x@c.example" },
		{ "RCPT TO:<@c.example:x@a.example>\r\n", "@c.example:x@a.example" },
		{ "RCPT TO:<x%c.example@a.example>\r\n", "x%c.example@a.example" },
		{ "RCPT TO:<c.example!x@a.example>\r\n", "c.example!x@a.example" },
		{ "RCPT TO:<x@c.example", "x@c.example" },
		{ "xRCPT TO:<x@c.example>\n", "x@c.example" },
		{ "RCP", NULL },
	};

	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		struct exact e = exact_of(span_of(ROWS[i].lines));
		struct span path = { 0 };
		bool allowed = leave_allows(exact_span(e), DOMAINS, 2, &path);
		if (allowed != (ROWS[i].path == NULL) || (!allowed && !span_eq(path, span_of(ROWS[i].path))))
			fail_msg("%s: %s %.*s", ROWS[i].lines, allowed ? "allowed" : "not", SPAN_FMT(path));
		exact_free(e);
	}
}

static void bytes_are_shown_as_a_case_writes_them(void **state)
{
	(void)state;
	struct buf out = { 0 };

	shown_add(&out, (struct span){ "a\r\n\t\\\0\x7f\xe9\"$", 10 }, "");
	assert_string_equal(buf_cstr(&out), "a\\r\\n\\t\\\\\\x00\\x7f\\xe9\"$");
	buf_reset(&out);
	shown_add(&out, SPAN_LIT("\"${a}"), "\"$");
	assert_string_equal(buf_cstr(&out), "\\x22\\x24{a}");
	buf_free(&out);
}

/* A reason that was cut in the middle of a character would make the whole JUnit file unreadable. */
static void xml_takes_every_text(void **state)
{
	(void)state;
	static const struct {
		const char *text, *xml;
	} ROWS[] = {
		{ "a < b & \"c\" > d", "a &lt; b &amp; &quot;c&quot; &gt; d" },
		{ "x\ny\tz\x01\x7f", "x&#10;y\tz??" },
		{ "\xe2\x80\xa6", "\xe2\x80\xa6" },
		{ "\xe2\x80", "??" },
		{ "", "" },
	};

	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		struct buf out = { 0 };
		xml_add(&out, span_of(ROWS[i].text));
		assert_string_equal(buf_cstr(&out), ROWS[i].xml);
		buf_free(&out);
	}
}

/* ---- what next hops took twice ---- */

#define TAKEN_AT(ms, who, id, doubt)                                                                       \
	{                                                                                                  \
		.connection = 1, .at_ns = (ms)*INT64_C(1000000), .taken = true, .in_doubt = (doubt),       \
		.recipients = text_buf(who "\n"), .content = text_buf("Message-ID: <" id ">\r\n\r\nx\r\n") \
	}

static struct buf text_buf(const char *text)
{
	struct buf b = { 0 };

	buf_add_cstr(&b, text);
	return b;
}

static void check_doubles(const char *name, struct hop_content a, struct hop_content b, int64_t killed_ms,
			  uint32_t allowed, bool avoidable)
{
	struct hop_content contents[] = { a, b };
	struct hop one = { .name = "one", .contents = &contents[0], .content_count = 1 };
	struct hop two = { .name = "two", .contents = &contents[1], .content_count = 1 };
	struct hop *hops[] = { &one, NULL, &two };
	struct doubles d = doubles_of(hops, 3, killed_ms * 1000000);

	if (d.allowed != allowed || (d.hop != NULL) != avoidable)
		fail_msg("%s: %u allowed, %s", name, d.allowed,
			 d.hop != NULL ? d.hop->name : "none avoidable");
	if (avoidable)
		assert_true(d.hop->contents == d.again && d.first != d.again);
	for (int i = 0; i < 2; i++) {
		buf_free(&contents[i].recipients);
		buf_free(&contents[i].content);
	}
}

static void only_a_double_that_could_be_avoided_is_a_fault(void **state)
{
	(void)state;
	check_doubles("the same", (struct hop_content)TAKEN_AT(1, "a@b", "m", false),
		      (struct hop_content)TAKEN_AT(9, "A@b", "m", false), 0, 0, true);
	check_doubles("in the other order", (struct hop_content)TAKEN_AT(9, "a@b", "m", false),
		      (struct hop_content)TAKEN_AT(1, "a@b", "m", false), 0, 0, true);
	check_doubles("somebody else", (struct hop_content)TAKEN_AT(1, "a@b", "m", false),
		      (struct hop_content)TAKEN_AT(9, "c@b", "m", false), 0, 0, false);
	check_doubles("another message", (struct hop_content)TAKEN_AT(1, "a@b", "m", false),
		      (struct hop_content)TAKEN_AT(9, "a@b", "n", false), 0, 0, false);
	check_doubles("the reply was lost", (struct hop_content)TAKEN_AT(1, "a@b", "m", true),
		      (struct hop_content)TAKEN_AT(9, "a@b", "m", false), 0, 1, false);
	check_doubles("the second reply was lost", (struct hop_content)TAKEN_AT(1, "a@b", "m", false),
		      (struct hop_content)TAKEN_AT(9, "a@b", "m", true), 0, 0, true);
	check_doubles("killed at once", (struct hop_content)TAKEN_AT(1, "a@b", "m", false),
		      (struct hop_content)TAKEN_AT(9, "a@b", "m", false), 5, 1, false);
	check_doubles("killed later", (struct hop_content)TAKEN_AT(1, "a@b", "m", false),
		      (struct hop_content)TAKEN_AT(3000, "a@b", "m", false), 2000, 0, true);
	check_doubles("killed before", (struct hop_content)TAKEN_AT(10, "a@b", "m", false),
		      (struct hop_content)TAKEN_AT(30, "a@b", "m", false), 5, 0, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(replies_are_held_against_patterns),
		cmocka_unit_test(pop3_responses_are_held_against_patterns),
		cmocka_unit_test(variables_are_bound_once_and_then_compared),
		cmocka_unit_test(a_pattern_that_costs_too_much_does_not_match),
		cmocka_unit_test(values_are_made_as_the_rfcs_make_them),
		cmocka_unit_test(mail_says_what_its_content_needs),
		cmocka_unit_test(parameters_need_the_extension_that_has_them),
		cmocka_unit_test(lines_that_repeat_are_shown_once),
		cmocka_unit_test(secrets_never_enter_a_transcript),
		cmocka_unit_test(a_transcript_is_bounded),
		cmocka_unit_test(messages_are_held_against_checks),
		cmocka_unit_test(keywords_are_found_with_their_parameters),
		cmocka_unit_test(what_a_target_cannot_show_is_not_tested),
		cmocka_unit_test(what_a_relay_cannot_do_is_not_tested),
		cmocka_unit_test(an_alias_leads_into_the_domain_of_its_case),
		cmocka_unit_test(a_case_for_which_no_domain_is_left_is_the_only_one_that_is_not_played),
		cmocka_unit_test(a_relay_with_borrowed_submission_gets_mail_from_the_trusted_address),
		cmocka_unit_test(a_step_of_a_relay_has_the_time_of_its_schedule),
		cmocka_unit_test(mail_stays_in_the_domains_that_are_listed),
		cmocka_unit_test(bytes_are_shown_as_a_case_writes_them),
		cmocka_unit_test(only_a_double_that_could_be_avoided_is_a_fault),
		cmocka_unit_test(xml_takes_every_text),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
