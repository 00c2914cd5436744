/*
 * smtp_server: what extensions of MAIL and RCPT are taken for, and VRFY and EXPN.
 * Every row is a conversation after EHLO, played at several splits; its transcript
 * is the first line of each reply, and the facts of each wish.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "reference-server/core/smtp_server.h"

#define NOW_MS INT64_C(1800000000000) /* 2027-01-15T08:00:00Z */
#define AE "\xc3\xa4"

static const struct smtp_server_config submission = {
	.host = { "mx.example", 10 },
	.role = SMTP_ROLE_SUBMISSION,
	.rcpt_count_max = 100,
	.received_count_max = 100,
	.by_s_min = 60,
	.hold_s_max = 1000,
	.mechanisms_tls = { "PLAIN", 5 },
	.vrfy = true,
	.expn = true,
};
static const struct smtp_server_config relay = {
	.host = { "mx.example", 10 },
	.role = SMTP_ROLE_RELAY,
	.rcpt_count_max = 2000000,
	.received_count_max = 100,
	.hold_s_max = 1000,
	.mail_count_max = 3,
	.refuse_8bit_header = true,
	.expn = true,
};
static const struct smtp_server_config plain = {
	.host = { "mx.example", 10 },
	.role = SMTP_ROLE_RELAY,
	.rcpt_count_max = 100,
	.received_count_max = 100,
	.without = SMTP_OFFER_ALL,
};

/* ---- the driver in small ---- */

struct conversation {
	struct smtp_server s;
	struct buf transcript;
};

static void note(struct conversation *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void note(struct conversation *c, const char *fmt, ...)
{
	va_list ap;

	if (buf_bytes(&c->transcript) > 0)
		buf_add_cstr(&c->transcript, "\n");
	va_start(ap, fmt);
	buf_vaddf(&c->transcript, fmt, ap);
	va_end(ap);
}

/* Codes of the last line, whole lines of VRFY and EXPN. */
static void record_emit(void *ctx, struct span line)
{
	struct conversation *c = ctx;
	struct span rest = span_sub(line, 4, line.n - 6);

	if (span_find(rest, '@') < rest.n)
		note(c, "%.*s", SPAN_FMT(span_sub(line, 0, line.n - 2)));
	else if (line.p[3] == ' ')
		note(c, "%.3s %.*s", line.p, (int)span_find(rest, ' '), rest.p);
}

static void serve_mail(struct conversation *c)
{
	struct smtp_server *s = &c->s;
	static const char *const modes[] = { "", "N", "R" };

	note(c, "MAIL %.*s%s%s", SPAN_FMT(s->reverse_path), s->utf8 ? " utf8" : "",
	     s->requires_tls ? " tls" : "");
	if (s->by != SMTP_BY_NONE)
		note(c, "BY %+lld%s%s", (long long)(s->deliver_by_wall_ms - NOW_MS) / 1000, modes[s->by],
		     s->by_trace ? "T" : "");
	if (s->hold.n > 0)
		note(c, "HOLD %+lld %.*s", (long long)(s->release_wall_ms - NOW_MS) / 1000,
		     SPAN_FMT(s->hold));
	smtp_server_answer_mail(s, SMTP_ANSWER_ACCEPT);
}

static void serve_verify(struct conversation *c)
{
	static const struct span list[] = { { "a@mx.example", 12 }, { AE "@mx.example", 13 } };
	struct smtp_server *s = &c->s;
	struct span name = s->forward_path;

	note(c, "%s %.*s%s", s->verify_expands ? "EXPN" : "VRFY", SPAN_FMT(name),
	     s->verify_bare ? " bare" : "");
	if (span_starts_nocase(name, SPAN_LIT("nobody")))
		smtp_server_answer_verify(s, SMTP_VERIFY_NONE, NULL, 0);
	else if (span_starts_nocase(name, SPAN_LIT("far")))
		smtp_server_answer_verify(s, SMTP_VERIFY_ELSEWHERE, NULL, 0);
	else if (span_starts_nocase(name, SPAN_LIT("single")) && s->verify_expands)
		smtp_server_answer_verify(s, SMTP_VERIFY_NOT_A_LIST, NULL, 0);
	else if (span_starts_nocase(name, SPAN_LIT("later")))
		smtp_server_answer_verify(s, SMTP_VERIFY_TRY_LATER, NULL, 0);
	else if (s->verify_expands)
		smtp_server_answer_verify(s, SMTP_VERIFY_FOUND, list, 2);
	else
		smtp_server_answer_verify(s, SMTP_VERIFY_FOUND, &list[span_find(name, '\xc3') < name.n], 1);
}

static bool serve(struct conversation *c, enum smtp_wish wish)
{
	struct smtp_server *s = &c->s;

	switch (wish) {
	case SMTP_WISH_INPUT:
	case SMTP_WISH_STARTTLS:
		return false;
	case SMTP_WISH_MAIL:
		serve_mail(c);
		return true;
	case SMTP_WISH_RCPT:
		note(c, "RCPT %.*s%s%.*s", SPAN_FMT(s->forward_path), s->orcpt.n > 0 ? " " : "",
		     SPAN_FMT(s->orcpt));
		smtp_server_answer_rcpt(s, SMTP_ANSWER_ACCEPT);
		return true;
	case SMTP_WISH_VERIFY:
		serve_verify(c);
		return true;
	case SMTP_WISH_AUTH:
	case SMTP_WISH_AUTH_STEP:
		smtp_server_auth_succeed(s, SPAN_LIT("fred@mx.example"));
		return true;
	case SMTP_WISH_MESSAGE:
		note(c, "MESSAGE %.*s", SPAN_FMT(smtp_server_protocol(s)));
		return true;
	case SMTP_WISH_MESSAGE_REFUSED:
		note(c, "REFUSED");
		return true;
	case SMTP_WISH_CONTENT:
	case SMTP_WISH_RESET:
	case SMTP_WISH_AUTH_CANCELLED:
	case SMTP_WISH_SYNC:
		return true;
	case SMTP_WISH_CLOSE:
		break;
	}
	return false;
}

static void play(struct conversation *c, struct span client, size_t step)
{
	size_t used = 0, have = 0;

	for (;;) {
		size_t used_now;
		/* A copy of exactly its size, so that an overread is seen. */
		char *exact = malloc(have - used + 1);
		assert_non_null(exact);
		memcpy(exact, client.p + used, have - used);
		enum smtp_wish wish = smtp_server_feed(&c->s, (struct span){ exact, have - used }, &used_now);
		used += used_now;
		bool more = serve(c, wish);
		free(exact);
		if (more)
			continue;
		if (have == client.n)
			return;
		have = step < client.n - have ? have + step : client.n;
	}
}

struct row {
	const char *name;
	const struct smtp_server_config *config;
	bool tls;
	const char *client;
	const char *transcript;
};

static void check_row(const struct row *row, size_t step)
{
	static struct conversation c;
	static const char hello[] = "EHLO c.example\r\n", login[] = "AUTH PLAIN eHg=\r\n";
	struct buf client = { 0 };

	c = (struct conversation){ .transcript = { 0 } };
	smtp_server_init(&c.s, row->config, (struct smtp_output){ .emit = record_emit, .ctx = &c }, row->tls);
	smtp_server_set_time(&c.s, NOW_MS);
	buf_add_cstr(&client, hello);
	if (row->config == &submission && row->tls)
		buf_add_cstr(&client, login);
	play(&c, buf_span(&client), SIZE_MAX);
	buf_reset(&c.transcript);
	buf_reset(&client);
	buf_add_cstr(&client, row->client);
	play(&c, buf_span(&client), step);
	if (strcmp(buf_cstr(&c.transcript), row->transcript) != 0)
		fail_msg("%s, step %zu:\n%s", row->name, step, buf_cstr(&c.transcript));
	buf_free(&client);
	buf_free(&c.transcript);
}

#define CHECK(rows)                                                            \
	for (size_t row_ = 0; row_ < sizeof(rows) / sizeof((rows)[0]); row_++) \
		for (size_t step_ = 1; step_ < 40; step_ += 6)                 \
	check_row(&(rows)[row_], step_ < 37 ? step_ : SIZE_MAX)

/* ---- RFC 6531, RFC 6533 ---- */

static void utf8_goes_with_smtputf8_only(void **state)
{
	(void)state;
	static const struct row rows[] = {
		{ "an address in UTF-8", &relay, false,
		  "MAIL FROM:<" AE "@" AE ".example> SMTPUTF8\r\nRCPT TO:<" AE "@b>\r\nDATA\r\n.\r\n",
		  "MAIL " AE "@" AE ".example utf8\n250 2.1.0\nRCPT " AE
		  "@b\n250 2.1.5\n354 send\nMESSAGE UTF8SMTP" },
		{ "under TLS and logged in", &submission, true,
		  "MAIL FROM:<a@b> smtputf8\r\nRCPT TO:<a@b>\r\nDATA\r\n.\r\n",
		  "MAIL a@b utf8\n250 2.1.0\nRCPT a@b\n250 2.1.5\n354 send\nMESSAGE UTF8SMTPSA" },
		{ "without it, RFC 6531 3.5", &relay, false,
		  "MAIL FROM:<" AE "@b>\r\nMAIL FROM:<a@b>\r\nRCPT TO:<a@" AE ">\r\nRCPT TO:<\"" AE
		  "\"@b>\r\n",
		  "550 5.6.7\nMAIL a@b\n250 2.1.0\n553 5.6.7\n553 5.6.7" },
		{ "not well-formed", &relay, false,
		  "MAIL FROM:<\xe4@b> SMTPUTF8\r\nMAIL FROM:<\xe4@b>\r\nMAIL FROM:<a@b> SMTPUTF8\r\nRCPT "
		  "TO:<\xe4@b>\r\n",
		  "501 5.1.7\n550 5.6.7\nMAIL a@b utf8\n250 2.1.0\n501 5.1.3" },
		{ "it takes no value, and stands once", &relay, false,
		  "MAIL FROM:<a@b> SMTPUTF8=1\r\nMAIL FROM:<a@b> SMTPUTF8 SMTPUTF8\r\n",
		  "501 5.5.4\n501 5.5.4" },
		{ "ends with its transaction", &relay, false,
		  "MAIL FROM:<a@b> SMTPUTF8\r\nRSET\r\nMAIL FROM:<a@b>\r\nRCPT TO:<" AE "@b>\r\n",
		  "MAIL a@b utf8\n250 2.1.0\n250 2.0.0\nMAIL a@b\n250 2.1.0\n553 5.6.7" },
		{ "where it is not offered", &plain, false,
		  "MAIL FROM:<a@b> SMTPUTF8\r\nMAIL FROM:<" AE "@b>\r\nMAIL FROM:<\xe4@b> SMTPUTF8\r\n",
		  "555 5.5.4\n550 5.6.7\n550 5.6.7" },
		{ "ORCPT in its three forms", &relay, false,
		  "MAIL FROM:<a@b>\r\nRCPT TO:<a@b> ORCPT=utf-8;" AE "@b\r\nRCPT TO:<a@b> "
		  "ORCPT=UTF-8;\\x{E4}+@b\r\nRCPT TO:<a@b> ORCPT=rfc822;" AE "@b\r\nRCPT TO:<a@b> "
		  "ORCPT=utf-8;\xe4@b\r\n",
		  "MAIL a@b\n250 2.1.0\nRCPT a@b utf-8;" AE
		  "@b\n250 2.1.5\nRCPT a@b UTF-8;\\x{E4}+@b\n250 2.1.5\n"
		  "501 5.5.4\n501 5.5.4" },
		{ "ORCPT without SMTPUTF8 is ASCII", &plain, false,
		  "MAIL FROM:<a@b>\r\nRCPT TO:<a@b> ORCPT=utf-8;" AE
		  "@b\r\nRCPT TO:<a@b> ORCPT=utf-8;\\x{E4}@b\r\n",
		  "MAIL a@b\n250 2.1.0\n501 5.5.4\nRCPT a@b utf-8;\\x{E4}@b\n250 2.1.5" },
		{ "a header that is not ASCII, where that is refused", &relay, false,
		  "MAIL FROM:<a@b>\r\nRCPT TO:<a@b>\r\nDATA\r\nSubject: " AE "\r\n\r\n" AE "\r\n.\r\n"
		  "MAIL FROM:<a@b>\r\nRCPT TO:<a@b>\r\nDATA\r\nSubject: x\r\n\r\n" AE "\r\n.\r\n"
		  "MAIL FROM:<a@b> SMTPUTF8\r\nRCPT TO:<a@b>\r\nDATA\r\nSubject: " AE "\r\n\r\n.\r\n",
		  "MAIL a@b\n250 2.1.0\nRCPT a@b\n250 2.1.5\n354 send\n554 5.6.9\nREFUSED\n"
		  "MAIL a@b\n250 2.1.0\nRCPT a@b\n250 2.1.5\n354 send\nMESSAGE ESMTP\n"
		  "MAIL a@b utf8\n250 2.1.0\nRCPT a@b\n250 2.1.5\n354 send\nMESSAGE UTF8SMTP" },
		{ "a header that is not ASCII, where that is taken", &plain, false,
		  "MAIL FROM:<a@b>\r\nRCPT TO:<a@b>\r\nDATA\r\nSubject: " AE "\r\n\r\n.\r\n",
		  "MAIL a@b\n250 2.1.0\nRCPT a@b\n250 2.1.5\n354 send\nMESSAGE ESMTP" },
	};
	CHECK(rows);
}

/* ---- RFC 8689, RFC 2852, RFC 4865, RFC 9422 ---- */

static void wishes_for_the_way_are_taken_or_refused(void **state)
{
	(void)state;
	static const struct row rows[] = {
		{ "REQUIRETLS", &relay, true, "MAIL FROM:<a@b> REQUIRETLS\r\n", "MAIL a@b tls\n250 2.1.0" },
		{ "REQUIRETLS without TLS", &relay, false, "MAIL FROM:<a@b> REQUIRETLS\r\n", "555 5.5.4" },
		{ "REQUIRETLS takes no value", &relay, true, "MAIL FROM:<a@b> REQUIRETLS=x\r\n",
		  "501 5.5.4" },
		{ "BY", &relay, false, "MAIL FROM:<a@b> BY=120;R\r\n", "MAIL a@b\nBY +120R\n250 2.1.0" },
		{ "BY in small letters, with a trace", &relay, false, "MAIL FROM:<a@b> by=+5;nt\r\n",
		  "MAIL a@b\nBY +5NT\n250 2.1.0" },
		{ "BY in the past", &relay, false, "MAIL FROM:<a@b> BY=-999999999;N\r\n",
		  "MAIL a@b\nBY -999999999N\n250 2.1.0" },
		{ "no time with R", &relay, false, "MAIL FROM:<a@b> BY=0;R\r\nMAIL FROM:<a@b> BY=-1;R\r\n",
		  "501 5.5.4\n501 5.5.4" },
		{ "malformed BY", &relay, false,
		  "MAIL FROM:<a@b> BY=1\r\nMAIL FROM:<a@b> BY=1;X\r\nMAIL FROM:<a@b> BY=1;NX\r\n",
		  "501 5.5.4\n501 5.5.4\n501 5.5.4" },
		{ "more malformed BY", &relay, false,
		  "MAIL FROM:<a@b> BY\r\nMAIL FROM:<a@b> BY=;N\r\nMAIL FROM:<a@b> BY=1234567890;N\r\n",
		  "501 5.5.4\n501 5.5.4\n501 5.5.4" },
		{ "R below the minimum", &submission, true,
		  "MAIL FROM:<a@b> BY=59;R\r\nMAIL FROM:<a@b> BY=59;N\r\nRSET\r\nMAIL FROM:<a@b> BY=60;R\r\n",
		  "555 5.5.4\nMAIL a@b\nBY +59N\n250 2.1.0\n250 2.0.0\nMAIL a@b\nBY +60R\n250 2.1.0" },
		{ "HOLDFOR", &submission, true, "MAIL FROM:<a@b> HOLDFOR=1000\r\n",
		  "MAIL a@b\nHOLD +1000 for;1000\n250 2.1.0" },
		{ "HOLDFOR at its borders", &submission, true,
		  "MAIL FROM:<a@b> HOLDFOR=0\r\nMAIL FROM:<a@b> HOLDFOR=1001\r\nMAIL FROM:<a@b> "
		  "HOLDFOR=01\r\n",
		  "501 5.5.4\n501 5.5.4\n501 5.5.4" },
		{ "HOLDUNTIL", &submission, true, "MAIL FROM:<a@b> HOLDUNTIL=2027-01-15T08:16:40Z\r\n",
		  "MAIL a@b\nHOLD +1000 until;2027-01-15T08:16:40Z\n250 2.1.0" },
		{ "HOLDUNTIL at its borders", &submission, true,
		  "MAIL FROM:<a@b> HOLDUNTIL=2027-01-15T08:16:41Z\r\nMAIL FROM:<a@b> "
		  "HOLDUNTIL=2027-01-15T08:00:00Z\r\nMAIL FROM:<a@b> HOLDUNTIL=tomorrow\r\n",
		  "501 5.5.4\n501 5.5.4\n501 5.5.4" },
		{ "one hold only", &submission, true,
		  "MAIL FROM:<a@b> HOLDFOR=1 HOLDUNTIL=2027-01-15T08:00:01Z\r\nMAIL FROM:<a@b> HOLDFOR=1 "
		  "HOLDFOR=1\r\n",
		  "501 5.5.4\n501 5.5.4" },
		{ "held beyond BY", &submission, true,
		  "MAIL FROM:<a@b> HOLDFOR=101 BY=100;N\r\nMAIL FROM:<a@b> BY=100;R HOLDFOR=100\r\n",
		  "501 5.5.4\nMAIL a@b\nBY +100R\nHOLD +100 for;100\n250 2.1.0" },
		{ "no hold but on submission", &relay, true, "MAIL FROM:<a@b> HOLDFOR=1\r\n", "555 5.5.4" },
		{ "what is not offered is not known", &plain, true,
		  "MAIL FROM:<a@b> BY=1;N\r\nMAIL FROM:<a@b> REQUIRETLS\r\nMAIL FROM:<a@b> "
		  "BODY=BINARYMIME\r\n",
		  "555 5.5.4\n555 5.5.4\n555 5.5.4" },
		{ "as many transactions as announced, refused ones included", &relay, false,
		  "MAIL FROM:<a@b>\r\nRSET\r\nMAIL\r\nMAIL FROM:<a@b>\r\nRSET\r\nMAIL FROM:<a@b>\r\n",
		  "MAIL a@b\n250 2.1.0\n250 2.0.0\n501 5.5.4\nMAIL a@b\n250 2.1.0\n250 2.0.0\n452 4.5.3" },
	};
	CHECK(rows);
}

/* ---- VRFY, EXPN ---- */

static void who_is_there_is_told_to_those_who_may_know(void **state)
{
	(void)state;
	static const struct row rows[] = {
		{ "a mailbox", &submission, true, "VRFY a@mx.example\r\nVRFY <a@mx.example>\r\nVRFY a\r\n",
		  "VRFY a@mx.example\n250 2.1.5 <a@mx.example>\nVRFY a@mx.example\n250 2.1.5 <a@mx.example>\n"
		  "VRFY a bare\n250 2.1.5 <a@mx.example>" },
		{ "nobody, far, later", &submission, true, "VRFY nobody\r\nVRFY far@b\r\nVRFY later\r\n",
		  "VRFY nobody bare\n550 5.1.1\nVRFY far@b\n252 2.5.0\nVRFY later bare\n451 4.3.0" },
		{ "UTF-8 is shown to who asks for it", &submission, true,
		  "VRFY " AE "\r\nVRFY " AE " SMTPUTF8\r\nEXPN list\r\nEXPN list SMTPUTF8\r\n",
		  "VRFY " AE " bare\n252 2.6.8\nVRFY " AE " bare\n250 2.1.5 <" AE "@mx.example>\n"
		  "EXPN list bare\n550 5.6.8\nEXPN list bare\n250-2.1.5 <a@mx.example>\n250 2.1.5 <" AE
		  "@mx.example>" },
		{ "no list", &submission, true, "EXPN single\r\nEXPN nobody\r\n",
		  "EXPN single bare\n550 5.2.4\nEXPN nobody bare\n550 5.1.1" },
		{ "malformed", &submission, true, "VRFY\r\nEXPN\r\nVRFY a b\r\nEXPN \xe4\r\nVRFY <>\r\n",
		  "501 5.5.4\n501 5.5.4\n501 5.1.3\n501 5.1.3\n501 5.1.3" },
		{ "in the middle of a transaction", &submission, true,
		  "MAIL FROM:<b@c>\r\nVRFY a\r\nRCPT TO:<a@b>\r\n",
		  "MAIL b@c\n250 2.1.0\nVRFY a bare\n250 2.1.5 <a@mx.example>\nRCPT a@b\n250 2.1.5" },
		{ "not logged in", &submission, false, "VRFY a\r\nEXPN list\r\n", "530 5.7.0\n530 5.7.0" },
		{ "where nobody logs in", &relay, false, "VRFY a\r\nEXPN list\r\n", "252 2.5.0\n530 5.7.0" },
		{ "where it is off", &plain, false, "VRFY a\r\nEXPN list\r\n", "252 2.5.0\n252 2.5.0" },
	};
	CHECK(rows);
}

/* ---- EHLO ---- */

static void record_lines(void *ctx, struct span line)
{
	buf_add((struct buf *)ctx, line);
}

static void the_announcement_says_our_limits(void **state)
{
	(void)state;
	static const struct {
		const struct smtp_server_config *config;
		bool tls;
		const char *there, *absent;
	} rows[] = {
		{ &relay, false, "LIMITS RCPTMAX=999999 MAILMAX=3\r\n", "REQUIRETLS" },
		{ &relay, true, "REQUIRETLS\r\n", "FUTURERELEASE" },
		{ &submission, true, "DELIVERBY 60\r\n", "MAILMAX" },
		{ &submission, true, "FUTURERELEASE 1000 2027-01-15T08:16:40Z\r\n", "STARTTLS" },
		{ &plain, true, "LIMITS RCPTMAX=100\r\n", "SMTPUTF8" },
		{ &submission, true, "250-EXPN\r\n", "VRFY" },
		{ &plain, true, "8BITMIME\r\n", "EXPN" },
		{ &plain, true, "8BITMIME\r\n", "DELIVERBY" },
		{ &plain, true, "8BITMIME\r\n", "REQUIRETLS" },
		{ &plain, true, "8BITMIME\r\n", "BINARYMIME" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		static struct smtp_server s;
		struct buf text = { 0 };
		size_t used;
		smtp_server_init(&s, rows[i].config,
				 (struct smtp_output){ .emit = record_lines, .ctx = &text }, rows[i].tls);
		smtp_server_set_time(&s, NOW_MS);
		(void)smtp_server_feed(&s, SPAN_LIT("EHLO c.example\r\n"), &used);
		if (strstr(buf_cstr(&text), rows[i].there) == NULL)
			fail_msg("%s is missing in\n%s", rows[i].there, buf_cstr(&text));
		if (strstr(buf_cstr(&text), rows[i].absent) != NULL)
			fail_msg("%s is in\n%s", rows[i].absent, buf_cstr(&text));
		buf_free(&text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(utf8_goes_with_smtputf8_only),
		cmocka_unit_test(wishes_for_the_way_are_taken_or_refused),
		cmocka_unit_test(who_is_there_is_told_to_those_who_may_know),
		cmocka_unit_test(the_announcement_says_our_limits),
	};
	return cmocka_run_group_tests_name("smtp_extensions", tests, NULL, NULL);
}
