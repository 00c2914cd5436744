/*
 * smtp_server: every row is a whole conversation.  Each is played whole, byte
 * by byte and in odd steps, and must give the same transcript: replies by
 * their codes, wishes by name with the facts the driver would read.
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

static const struct smtp_server_config relay = {
	.host = { "mx.example", 10 },
	.role = SMTP_ROLE_RELAY,
	.size_bytes_max = 1000,
	.rcpt_count_max = 3,
	.received_count_max = 3,
	.error_count_max = 6,
	.offer_starttls = true,
};

static const struct smtp_server_config submission = {
	.host = { "mx.example", 10 },
	.role = SMTP_ROLE_SUBMISSION,
	.rcpt_count_max = 100,
	.received_count_max = 100,
	.offer_starttls = true,
	.mechanisms_clear = { "SCRAM-SHA-256", 13 },
	.mechanisms_tls = { "SCRAM-SHA-256 PLAIN LOGIN", 25 },
};

static const struct smtp_server_config strict_submission = {
	.host = { "mx.example", 10 },
	.role = SMTP_ROLE_SUBMISSION,
	.rcpt_count_max = 100,
	.received_count_max = 100,
	.strict_submission = true,
	.mechanisms_clear = { "SCRAM-SHA-256", 13 },
};

static const struct smtp_server_config tls_only = {
	.host = { "mx.example", 10 },
	.role = SMTP_ROLE_RELAY,
	.rcpt_count_max = 100,
	.received_count_max = 100,
	.offer_starttls = true,
	.require_tls = true,
};

static const struct smtp_server_config lmtp = {
	.host = { "mx.example", 10 },
	.role = SMTP_ROLE_LMTP,
	.size_bytes_max = 1000,
	.rcpt_count_max = 3,
	.received_count_max = 3,
	.offer_starttls = true,
};

static const struct smtp_server_config lax = {
	.host = { "mx.example", 10 },
	.role = SMTP_ROLE_RELAY,
	.header_bytes_max = 20,
	.rcpt_count_max = 100,
	.received_count_max = 100,
	.accept_bare_eol = true,
};

/* ---- the driver in small --------------------------------------------------- */

struct conversation {
	struct smtp_server s;
	struct buf transcript;
	struct buf content;
	size_t step;
	bool closed;
	bool full_replies; /* whole lines instead of codes */
	bool show_groups;  /* SMTP_WISH_SYNC */
};

static void note(struct conversation *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void note(struct conversation *c, const char *fmt, ...)
{
	va_list ap;

	if (buf_bytes(&c->transcript) > 0)
		buf_add_cstr(&c->transcript, c->full_replies ? "\n" : " ");
	va_start(ap, fmt);
	buf_vaddf(&c->transcript, fmt, ap);
	va_end(ap);
}

/* "250-..." is skipped, "250 2.1.0 text" becomes "250/2.1.0". */
static void record_emit(void *ctx, struct span line)
{
	struct conversation *c = ctx;
	struct span text;

	assert_true(line.n >= 6);
	assert_true(span_ends_nocase(line, SPAN_LIT("\r\n")));
	assert_int_equal(span_find(line, '\r'), line.n - 2);
	assert_true(line.p[3] == ' ' || line.p[3] == '-');
	line.n -= 2;
	if (c->full_replies) {
		note(c, "%.*s", SPAN_FMT(line));
		return;
	}
	if (line.p[3] == '-')
		return;
	struct span rest = span_sub(line, 4, line.n);
	if (span_take_until(&rest, ' ', &text) && text.n > 2 && text.p[1] == '.')
		note(c, "%.3s/%.*s", line.p, SPAN_FMT(text));
	else if (line.p[0] == '3' && line.p[1] == '3')
		note(c, "%.*s", SPAN_FMT(line));
	else
		note(c, "%.3s", line.p);
}

static void answer_auth(struct conversation *c)
{
	struct smtp_server *s = &c->s;

	if (!s->auth_response_given)
		smtp_server_auth_challenge(s, (struct span){ NULL, 0 });
	else if (span_eq(s->auth_response, SPAN_LIT("Z29vZA==")))
		smtp_server_auth_succeed(s, SPAN_LIT("fred@mx.example"));
	else if (span_eq(s->auth_response, SPAN_LIT("bW9yZQ==")))
		smtp_server_auth_challenge(s, SPAN_LIT("Y2hhbGxlbmdl"));
	else if (span_eq(s->auth_response, SPAN_LIT("bGF0ZXI=")))
		smtp_server_auth_fail(s, SMTP_AUTH_TEMPORARY);
	else
		smtp_server_auth_fail(s, SMTP_AUTH_BAD_CREDENTIALS);
}

static void serve_mail(struct conversation *c)
{
	static const char *const bodies[] = { "", " 7bit", " 8bit", " binary" };
	struct smtp_server *s = &c->s;
	struct span from = s->reverse_path;

	note(c, "MAIL(%.*s %llu%s)", SPAN_FMT(from), (unsigned long long)s->size_declared_bytes,
	     bodies[s->body]);
	smtp_server_answer_mail(s, span_starts_nocase(from, SPAN_LIT("fast@")) ? SMTP_ANSWER_TOO_FAST
									       : SMTP_ANSWER_ACCEPT);
}

static void serve_rcpt(struct conversation *c)
{
	struct smtp_server *s = &c->s;
	struct span to = s->forward_path;

	note(c, "RCPT(%.*s)", SPAN_FMT(to));
	if (span_starts_nocase(to, SPAN_LIT("nobody@")))
		smtp_server_answer_rcpt(s, SMTP_ANSWER_NO_SUCH_MAILBOX);
	else if (span_starts_nocase(to, SPAN_LIT("later@")))
		smtp_server_answer_rcpt(s, SMTP_ANSWER_LOOKUP_FAILED);
	else
		smtp_server_answer_rcpt(s, SMTP_ANSWER_ACCEPT);
}

static void serve_content(struct conversation *c)
{
	struct smtp_server *s = &c->s;

	assert_true(s->run.n > 0);
	if (span_starts_nocase(s->reverse_path, SPAN_LIT("full@")))
		smtp_server_refuse_content(s, SMTP_ANSWER_STORAGE_FULL);
	else
		buf_add(&c->content, s->run);
}

/* False when the driver has to wait for input, for TLS, or to close. */
static bool serve(struct conversation *c, enum smtp_wish wish)
{
	struct smtp_server *s = &c->s;

	switch (wish) {
	case SMTP_WISH_INPUT:
		return false;
	case SMTP_WISH_MAIL:
		serve_mail(c);
		return true;
	case SMTP_WISH_RCPT:
		serve_rcpt(c);
		return true;
	case SMTP_WISH_VERIFY: /* test_smtp_extensions */
		break;
	case SMTP_WISH_CONTENT:
		serve_content(c);
		return true;
	case SMTP_WISH_MESSAGE:
		assert_int_equal(smtp_server_final_reply_count(s),
				 s->config->role == SMTP_ROLE_LMTP ? s->rcpt_count : 1);
		note(c, "MESSAGE(%.*s to %u: %.*s)", SPAN_FMT(s->reverse_path), s->rcpt_count,
		     SPAN_FMT(buf_span(&c->content)));
		buf_reset(&c->content);
		return true;
	case SMTP_WISH_MESSAGE_REFUSED:
		note(c, "REFUSED(%.*s)", SPAN_FMT(buf_span(&c->content)));
		buf_reset(&c->content);
		return true;
	case SMTP_WISH_RESET:
		note(c, "RESET");
		return true;
	case SMTP_WISH_AUTH:
		note(c, "AUTH(%.*s %s%.*s)", SPAN_FMT(s->auth_mechanism), s->auth_response_given ? "+" : "-",
		     SPAN_FMT(s->auth_response));
		answer_auth(c);
		return true;
	case SMTP_WISH_AUTH_STEP:
		note(c, "STEP(%.*s)", SPAN_FMT(s->auth_response));
		answer_auth(c);
		return true;
	case SMTP_WISH_AUTH_CANCELLED:
		note(c, "CANCELLED");
		return true;
	case SMTP_WISH_SYNC:
		if (c->show_groups)
			note(c, "SYNC");
		return true;
	case SMTP_WISH_STARTTLS:
		note(c, "STARTTLS");
		return false;
	case SMTP_WISH_CLOSE:
		note(c, "CLOSE");
		c->closed = true;
		return false;
	}
	fail_msg("no such wish: %d", (int)wish);
	return false;
}

/* Plays all of input, or up to the STARTTLS or CLOSE that makes the driver stop reading it. */
static void play(struct conversation *c, struct span input)
{
	size_t used = 0;
	size_t have = 0;
	bool waiting = true;
	enum smtp_wish wish = SMTP_WISH_INPUT;

	while (!c->closed && wish != SMTP_WISH_STARTTLS && !(waiting && have == input.n)) {
		if (waiting)
			have = c->step < input.n - have ? have + c->step : input.n;
		size_t n = have - used;
		size_t used_now = SIZE_MAX;
		char *window = malloc(n + (n == 0));
		assert_non_null(window);
		memcpy(window, input.p + used, n);
		wish = smtp_server_feed(&c->s, (struct span){ window, n }, &used_now);
		assert_true(used_now <= n);
		used += used_now;
		waiting = !serve(c, wish);
		assert_true(wish != SMTP_WISH_INPUT || n - used_now < SMTP_INPUT_BYTES_MAX);
		free(window);
	}
}

static void begin(struct conversation *c, const struct smtp_server_config *config, size_t step, bool tls)
{
	*c = (struct conversation){ .step = step };
	smtp_server_init(&c->s, config, (struct smtp_output){ .emit = record_emit, .ctx = c }, tls);
	assert_true(step > 0);
}

static void end(struct conversation *c)
{
	buf_free(&c->transcript);
	buf_free(&c->content);
}

static const size_t steps[] = { SIZE_MAX, 1, 2, 3, 7, 64 };
enum { STEPS = sizeof(steps) / sizeof(steps[0]) };

/* ---- conversations --------------------------------------------------------- */

struct row {
	const char *name;
	const struct smtp_server_config *config;
	struct span client;
	struct span after_tls; /* played once STARTTLS is done */
	const char *transcript;
	enum smtp_state end;
};

static void check_row(const struct row *row, size_t step)
{
	struct conversation c;

	begin(&c, row->config, step, false);
	play(&c, row->client);
	if (row->after_tls.n > 0) {
		assert_int_equal(c.s.state, SMTP_STATE_TLS);
		smtp_server_tls_started(&c.s);
		assert_true(c.s.tls && !c.s.esmtp && !c.s.authenticated);
		assert_int_equal(c.s.helo.n + c.s.identity.n + c.s.reverse_path.n, 0);
		play(&c, row->after_tls);
	}
	if (strcmp(buf_cstr(&c.transcript), row->transcript) != 0 || c.s.state != row->end)
		fail_msg("%s, step %zu, ends %s:\n got '%s'\nwant '%s'", row->name, step,
			 smtp_state_name(c.s.state), buf_cstr(&c.transcript), row->transcript);
	end(&c);
}

static void check_rows(const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++)
		for (size_t k = 0; k < STEPS; k++)
			check_row(&rows[i], steps[k]);
}

#define CHECK_ROWS(rows) check_rows(rows, sizeof(rows) / sizeof((rows)[0]))
#define S(s)                        \
	{                           \
		"" s, sizeof(s) - 1 \
	}
#define NONE            \
	{               \
		NULL, 0 \
	}
#define HELLO "EHLO c.example\r\n"
#define MAIL "MAIL FROM:<a@b>\r\n"
#define RCPT "RCPT TO:<x@y>\r\n"
#define TO_DATA HELLO MAIL RCPT "DATA\r\n"
/* What TO_DATA gives. */
#define AT_DATA "250 MAIL(a@b 0) 250/2.1.0 RCPT(x@y) 250/2.1.5 354"

#define AT_RCPT "250 MAIL(a@b 0) 250/2.1.0 RCPT(x@y) 250/2.1.5"
#define TO_RCPT HELLO MAIL RCPT

static void transactions_give_their_replies_and_wishes(void **state)
{
	(void)state;
	static const struct row rows[] = {
		{ "one message", &relay, S(TO_DATA "Subject: hi\r\n\r\n..dot\r\n.\r\nQUIT\r\n"), NONE,
		  AT_DATA " MESSAGE(a@b to 1: Subject: hi\r\n\r\n.dot\r\n) 221/2.0.0 CLOSE",
		  SMTP_STATE_CLOSED },
		{ "HELO will do", &relay, S("HELO c.example\r\n" MAIL RCPT "DATA\r\nx\r\n.\r\n"), NONE,
		  AT_DATA " MESSAGE(a@b to 1: x\r\n)", SMTP_STATE_READY },
		{ "two messages in one pipeline", &relay,
		  S(TO_DATA "one\r\n.\r\n" MAIL RCPT "RCPT TO:<z@y>\r\nDATA\r\ntwo\r\n.\r\nQUIT\r\n"), NONE,
		  AT_DATA
		  " MESSAGE(a@b to 1: one\r\n) MAIL(a@b 0) 250/2.1.0 RCPT(x@y) 250/2.1.5 RCPT(z@y) 250/2.1.5 "
		  "354 MESSAGE(a@b to 2: two\r\n) 221/2.0.0 CLOSE",
		  SMTP_STATE_CLOSED },
		{ "empty message", &relay, S(TO_DATA ".\r\n"), NONE, AT_DATA " MESSAGE(a@b to 1: )",
		  SMTP_STATE_READY },
		{ "null reverse-path", &relay, S(HELLO "MAIL FROM:<>\r\n"), NONE, "250 MAIL( 0) 250/2.1.0",
		  SMTP_STATE_MAIL },
		{ "postmaster without domain", &relay, S(HELLO MAIL "RCPT TO:<Postmaster>\r\n"), NONE,
		  "250 MAIL(a@b 0) 250/2.1.0 RCPT(Postmaster) 250/2.1.5", SMTP_STATE_RCPT },
		{ "source route and quotes are reduced", &relay,
		  S(HELLO "MAIL FROM:<@r:\"a\"@b>\r\nRCPT TO:<@r,@s:x@y>\r\n"), NONE,
		  "250 MAIL(a@b 0) 250/2.1.0 RCPT(x@y) 250/2.1.5", SMTP_STATE_RCPT },
		{ "verbs and keywords in any case", &relay,
		  S("ehlo c.example\r\nmail from:<a@b> size=5 body=7bit\r\nRcPt "
		    "To:<x@y>\r\ndata\r\n.\r\nquit\r\n"),
		  NONE,
		  "250 MAIL(a@b 5 7bit) 250/2.1.0 RCPT(x@y) 250/2.1.5 354 MESSAGE(a@b to 1: ) 221/2.0.0 "
		  "CLOSE",
		  SMTP_STATE_CLOSED },
		{ "blanks before CRLF", &relay,
		  S("EHLO c.example \r\nNOOP \t \r\nRSET  \r\nMAIL FROM:<a@b> \r\n"), NONE,
		  "250 250/2.0.0 250/2.0.0 MAIL(a@b 0) 250/2.1.0", SMTP_STATE_MAIL },
		{ "refused recipients", &relay,
		  S(HELLO MAIL "RCPT TO:<nobody@y>\r\nRCPT TO:<later@y>\r\n" RCPT "DATA\r\n.\r\n"), NONE,
		  "250 MAIL(a@b 0) 250/2.1.0 RCPT(nobody@y) 550/5.1.1 RCPT(later@y) 451/4.4.3 RCPT(x@y) "
		  "250/2.1.5 "
		  "354 MESSAGE(a@b to 1: )",
		  SMTP_STATE_READY },
		{ "refused sender, pipelined", &relay,
		  S(HELLO "MAIL FROM:<fast@b>\r\n" RCPT RCPT RCPT RCPT RCPT RCPT RCPT
			  "DATA\r\nRSET\r\n" MAIL),
		  NONE,
		  "250 MAIL(fast@b 0) 450/4.7.1 503/5.5.1 503/5.5.1 503/5.5.1 503/5.5.1 503/5.5.1 503/5.5.1 "
		  "503/5.5.1 "
		  "503/5.5.1 250/2.0.0 MAIL(a@b 0) 250/2.1.0",
		  SMTP_STATE_MAIL },
		{ "all recipients refused, then DATA", &relay,
		  S(HELLO MAIL "RCPT TO:<nobody@y>\r\nDATA\r\nQUIT\r\n"), NONE,
		  "250 MAIL(a@b 0) 250/2.1.0 RCPT(nobody@y) 550/5.1.1 554/5.5.1 221/2.0.0 CLOSE",
		  SMTP_STATE_CLOSED },
		{ "one more recipient than the maximum", &relay,
		  S(HELLO MAIL RCPT RCPT RCPT RCPT "DATA\r\n.\r\n"), NONE,
		  "250 MAIL(a@b 0) 250/2.1.0 RCPT(x@y) 250/2.1.5 RCPT(x@y) 250/2.1.5 RCPT(x@y) 250/2.1.5 "
		  "452/4.5.3 "
		  "354 MESSAGE(a@b to 3: )",
		  SMTP_STATE_READY },
		{ "facts of one transaction end with it", &relay,
		  S(HELLO "MAIL FROM:<a@b> SIZE=7 BODY=8BITMIME\r\nRSET\r\n" MAIL), NONE,
		  "250 MAIL(a@b 7 8bit) 250/2.1.0 250/2.0.0 RESET MAIL(a@b 0) 250/2.1.0", SMTP_STATE_MAIL },
		{ "QUIT inside a transaction", &relay, S(HELLO MAIL "QUIT\r\nNOOP\r\n"), NONE,
		  "250 MAIL(a@b 0) 250/2.1.0 221/2.0.0 CLOSE", SMTP_STATE_CLOSED },
		{ "no input", &relay, S(""), NONE, "", SMTP_STATE_GREETED },
	};
	CHECK_ROWS(rows);
}

static void commands_out_of_order_get_503_and_change_nothing(void **state)
{
	(void)state;
	static const struct row rows[] = {
		{ "MAIL before EHLO", &relay, S(MAIL), NONE, "503/5.5.1", SMTP_STATE_GREETED },
		{ "RCPT before EHLO", &relay, S(RCPT), NONE, "503/5.5.1", SMTP_STATE_GREETED },
		{ "DATA before EHLO", &relay, S("DATA\r\n"), NONE, "503/5.5.1", SMTP_STATE_GREETED },
		{ "RCPT before MAIL", &relay, S(HELLO RCPT), NONE, "250 503/5.5.1", SMTP_STATE_READY },
		{ "DATA before MAIL", &relay, S(HELLO "DATA\r\n"), NONE, "250 503/5.5.1", SMTP_STATE_READY },
		{ "DATA before RCPT", &relay, S(HELLO MAIL "DATA\r\n"), NONE,
		  "250 MAIL(a@b 0) 250/2.1.0 554/5.5.1", SMTP_STATE_MAIL },
		{ "nested MAIL", &relay, S(HELLO MAIL MAIL RCPT), NONE,
		  "250 MAIL(a@b 0) 250/2.1.0 503/5.5.1 RCPT(x@y) 250/2.1.5", SMTP_STATE_RCPT },
		{ "MAIL behind RCPT", &relay, S(HELLO MAIL RCPT MAIL), NONE,
		  "250 MAIL(a@b 0) 250/2.1.0 RCPT(x@y) 250/2.1.5 503/5.5.1", SMTP_STATE_RCPT },
		{ "any time before EHLO", &relay, S("NOOP\r\nRSET\r\nHELP\r\nVRFY x\r\nEXPN x\r\n"), NONE,
		  "250/2.0.0 250/2.0.0 214/2.0.0 252/2.5.0 252/2.5.0", SMTP_STATE_GREETED },
		{ "any time inside a transaction", &relay,
		  S(HELLO MAIL RCPT "NOOP x y\r\nHELP MAIL\r\nVRFY x\r\n"), NONE,
		  "250 MAIL(a@b 0) 250/2.1.0 RCPT(x@y) 250/2.1.5 250/2.0.0 214/2.0.0 252/2.5.0",
		  SMTP_STATE_RCPT },
		{ "RSET resets", &relay, S(HELLO MAIL RCPT "RSET\r\nDATA\r\n" MAIL), NONE,
		  "250 MAIL(a@b 0) 250/2.1.0 RCPT(x@y) 250/2.1.5 250/2.0.0 RESET 503/5.5.1 MAIL(a@b 0) "
		  "250/2.1.0",
		  SMTP_STATE_MAIL },
		{ "EHLO resets", &relay, S(HELLO MAIL RCPT HELLO RCPT), NONE,
		  "250 MAIL(a@b 0) 250/2.1.0 RCPT(x@y) 250/2.1.5 250 RESET 503/5.5.1", SMTP_STATE_READY },
		{ "HELO resets", &relay, S(HELLO MAIL "HELO c.example\r\n"), NONE,
		  "250 MAIL(a@b 0) 250/2.1.0 250 RESET", SMTP_STATE_READY },
		{ "a refused EHLO does not reset", &relay, S(HELLO MAIL "EHLO\r\n" RCPT), NONE,
		  "250 MAIL(a@b 0) 250/2.1.0 501/5.5.4 RCPT(x@y) 250/2.1.5", SMTP_STATE_RCPT },
		{ "STARTTLS inside a transaction", &relay, S(HELLO MAIL "STARTTLS\r\n"), NONE,
		  "250 MAIL(a@b 0) 250/2.1.0 503/5.5.1", SMTP_STATE_MAIL },
		{ "AUTH before EHLO", &submission, S("AUTH SCRAM-SHA-256\r\n"), NONE, "503/5.5.1",
		  SMTP_STATE_GREETED },
	};
	CHECK_ROWS(rows);
}

static void malformed_commands_get_their_5yz(void **state)
{
	(void)state;
	static const struct row rows[] = {
		{ "empty line", &relay, S("\r\n"), NONE, "500/5.5.2", SMTP_STATE_GREETED },
		{ "unknown verb", &relay, S("XYZZY a\r\n"), NONE, "500/5.5.2", SMTP_STATE_GREETED },
		{ "verb and more", &relay, S("NOOPX\r\n"), NONE, "500/5.5.2", SMTP_STATE_GREETED },
		{ "blank first", &relay, S(" NOOP\r\n"), NONE, "500/5.5.2", SMTP_STATE_GREETED },
		{ "tab as separator", &relay, S("NOOP\tx\r\n"), NONE, "500/5.5.2", SMTP_STATE_GREETED },
		{ "obsolete verbs", &relay, S("TURN\r\nSEND FROM:<a@b>\r\nSOML\r\nSAML\r\n"), NONE,
		  "502/5.5.1 502/5.5.1 502/5.5.1 502/5.5.1", SMTP_STATE_GREETED },
		{ "EHLO without a name", &relay, S("EHLO\r\n"), NONE, "501/5.5.4", SMTP_STATE_GREETED },
		{ "EHLO with an underscore", &relay, S("EHLO a_b\r\n"), NONE, "501/5.5.4",
		  SMTP_STATE_GREETED },
		{ "EHLO with two names", &relay, S("EHLO a b\r\n"), NONE, "501/5.5.4", SMTP_STATE_GREETED },
		{ "EHLO with 8-bit", &relay, S("EHLO \xc3\xa4\r\n"), NONE, "501/5.5.4", SMTP_STATE_GREETED },
		{ "EHLO with a literal", &relay, S("EHLO [192.0.2.1]\r\nEHLO [IPv6:::1]\r\n"), NONE,
		  "250 250", SMTP_STATE_READY },
		{ "arguments where none may be", &relay, S(HELLO MAIL RCPT "DATA x\r\nRSET x\r\nQUIT x\r\n"),
		  NONE, "250 MAIL(a@b 0) 250/2.1.0 RCPT(x@y) 250/2.1.5 501/5.5.4 501/5.5.4 501/5.5.4",
		  SMTP_STATE_RCPT },
		{ "VRFY of nothing", &relay, S("VRFY\r\n"), NONE, "501/5.5.4", SMTP_STATE_GREETED },
		{ "MAIL without FROM", &relay, S(HELLO "MAIL\r\nMAIL <a@b>\r\nMAIL TO:<a@b>\r\n"), NONE,
		  "250 501/5.5.4 501/5.5.4 501/5.5.4", SMTP_STATE_READY },
		{ "blanks around the colon", &relay, S(HELLO "MAIL FROM: <a@b>\r\nMAIL FROM :<a@b>\r\n"),
		  NONE, "250 501/5.1.7 501/5.5.4", SMTP_STATE_READY },
		{ "no brackets", &relay, S(HELLO "MAIL FROM:a@b\r\n"), NONE, "250 501/5.1.7",
		  SMTP_STATE_READY },
		{ "text glued to the path", &relay, S(HELLO "MAIL FROM:<a@b>x\r\n"), NONE, "250 501/5.5.4",
		  SMTP_STATE_READY },
		{ "8-bit addresses", &relay,
		  S(HELLO "MAIL FROM:<\xc3\xa4@b>\r\n" MAIL "RCPT TO:<\xc3\xa4@b>\r\n"), NONE,
		  "250 550/5.6.7 MAIL(a@b 0) 250/2.1.0 553/5.6.7", SMTP_STATE_MAIL },
		{ "bad recipient syntax", &relay, S(HELLO MAIL "RCPT TO:<>\r\nRCPT TO:<x>\r\nRCPT <x@y>\r\n"),
		  NONE, "250 MAIL(a@b 0) 250/2.1.0 501/5.1.3 501/5.1.3 501/5.5.4", SMTP_STATE_MAIL },
		{ "NUL in a command", &relay, S(HELLO "NO\0OP\r\nNOOP \0\r\nMAIL FROM:<a\0@b>\r\n"), NONE,
		  "250 500/5.5.2 501/5.5.2 501/5.5.2", SMTP_STATE_READY },
		{ "controls in a command", &relay, S(HELLO "NOOP \x1b[2J\r\nHELP \x7f\r\n"), NONE,
		  "250 501/5.5.2 501/5.5.2", SMTP_STATE_READY },
		{ "8-bit verb", &relay, S("\xff\xfe\r\nNOOP\r\n"), NONE, "500/5.5.2 250/2.0.0",
		  SMTP_STATE_GREETED },
	};
	CHECK_ROWS(rows);
}

static void parameters_are_taken_or_refused(void **state)
{
	(void)state;
	static const struct row rows[] = {
		{ "SIZE at the maximum", &relay, S(HELLO "MAIL FROM:<a@b> SIZE=1000\r\n"), NONE,
		  "250 MAIL(a@b 1000) 250/2.1.0", SMTP_STATE_MAIL },
		{ "SIZE over the maximum", &relay, S(HELLO "MAIL FROM:<a@b> SIZE=1001\r\n"), NONE,
		  "250 552/5.3.4", SMTP_STATE_READY },
		{ "SIZE over 64 bits", &relay, S(HELLO "MAIL FROM:<a@b> SIZE=99999999999999999999\r\n"), NONE,
		  "250 552/5.3.4", SMTP_STATE_READY },
		{ "SIZE with no maximum", &lax, S(HELLO "MAIL FROM:<a@b> SIZE=99999999999999999999\r\n"),
		  NONE, "250 MAIL(a@b 18446744073709551615) 250/2.1.0", SMTP_STATE_MAIL },
		{ "SIZE of 21 digits", &relay, S(HELLO "MAIL FROM:<a@b> SIZE=000000000000000000001\r\n"),
		  NONE, "250 501/5.5.4", SMTP_STATE_READY },
		{ "SIZE of 20 digits", &relay, S(HELLO "MAIL FROM:<a@b> SIZE=00000000000000000001\r\n"), NONE,
		  "250 MAIL(a@b 1) 250/2.1.0", SMTP_STATE_MAIL },
		{ "SIZE without a number", &relay,
		  S(HELLO "MAIL FROM:<a@b> SIZE\r\nMAIL FROM:<a@b> SIZE=\r\n"
			  "MAIL FROM:<a@b> SIZE=1k\r\n"),
		  NONE, "250 501/5.5.4 501/5.5.4 501/5.5.4", SMTP_STATE_READY },
		{ "SIZE twice", &relay, S(HELLO "MAIL FROM:<a@b> SIZE=1 SIZE=1\r\n"), NONE, "250 501/5.5.4",
		  SMTP_STATE_READY },
		{ "BODY", &relay, S(HELLO "MAIL FROM:<a@b> BODY=8bitMIME SIZE=3\r\n"), NONE,
		  "250 MAIL(a@b 3 8bit) 250/2.1.0", SMTP_STATE_MAIL },
		{ "BODY not offered", &relay, S(HELLO "MAIL FROM:<a@b> BODY=16BIT\r\n"), NONE,
		  "250 555/5.5.4", SMTP_STATE_READY },
		{ "BODY without value", &relay, S(HELLO "MAIL FROM:<a@b> BODY\r\n"), NONE, "250 501/5.5.4",
		  SMTP_STATE_READY },
		{ "unknown parameter", &relay,
		  S(HELLO "MAIL FROM:<a@b> FOO=1\r\nMAIL FROM:<a@b> MT-PRIORITY=3\r\n"), NONE,
		  "250 555/5.5.4 555/5.5.4", SMTP_STATE_READY },
		{ "malformed parameter", &relay,
		  S(HELLO "MAIL FROM:<a@b> =1\r\nMAIL FROM:<a@b> -A=1\r\n"
			  "MAIL FROM:<a@b> SIZE=1=1\r\n"),
		  NONE, "250 501/5.5.4 501/5.5.4 501/5.5.4", SMTP_STATE_READY },
		{ "RCPT knows no other", &relay,
		  S(HELLO MAIL "RCPT TO:<x@y> FOO=NEVER\r\nRCPT TO:<x@y> =\r\n"), NONE,
		  "250 MAIL(a@b 0) 250/2.1.0 555/5.5.4 501/5.5.4", SMTP_STATE_MAIL },
		{ "AUTH= where AUTH is not offered", &relay, S(HELLO "MAIL FROM:<a@b> AUTH=<>\r\n"), NONE,
		  "250 555/5.5.4", SMTP_STATE_READY },
		{ "AUTH= is checked and ignored", &submission,
		  S(HELLO
		    "AUTH SCRAM-SHA-256 Z29vZA==\r\nMAIL FROM:<a@b> AUTH=<>\r\nRSET\r\n"
		    "MAIL FROM:<a@b> AUTH=e+3Dmc2@example.com\r\nRSET\r\n"
		    "MAIL FROM:<a@b> AUTH=+3C+3E\r\nRSET\r\n"
		    "MAIL FROM:<a@b> AUTH=a\r\nMAIL FROM:<a@b> AUTH=a+3@b\r\nMAIL FROM:<a@b> AUTH=a@b+\r\n"
		    "MAIL FROM:<a@b> AUTH=a+3d@b\r\nMAIL FROM:<a@b> AUTH\r\n"),
		  NONE,
		  "250 AUTH(SCRAM-SHA-256 +Z29vZA==) 235/2.7.0 MAIL(a@b 0) 250/2.1.0 250/2.0.0 RESET "
		  "MAIL(a@b 0) 250/2.1.0 250/2.0.0 RESET MAIL(a@b 0) 250/2.1.0 250/2.0.0 RESET "
		  "501/5.5.4 501/5.5.4 501/5.5.4 501/5.5.4 501/5.5.4",
		  SMTP_STATE_READY },
	};
	CHECK_ROWS(rows);
}

static void content_with_faults_is_refused_after_its_real_end(void **state)
{
	(void)state;
	static const struct row rows[] = {
		{ "bare LF", &relay, S(TO_DATA "a\nb\r\n.\r\nNOOP\r\n"), NONE,
		  AT_DATA " 550/5.5.2 REFUSED(a\nb\r\n) 250/2.0.0", SMTP_STATE_READY },
		{ "bare CR", &relay, S(TO_DATA "a\rb\r\n.\r\nNOOP\r\n"), NONE,
		  AT_DATA " 550/5.5.2 REFUSED(a\rb\r\n) 250/2.0.0", SMTP_STATE_READY },
		{ "bare ends, allowed", &lax, S(TO_DATA "a\n.\nb\r\n.\r\n"), NONE,
		  AT_DATA " MESSAGE(a@b to 1: a\n.\nb\r\n)", SMTP_STATE_READY },
		{ "smuggled LF . LF", &relay, S(TO_DATA "a\n.\n" MAIL RCPT "DATA\r\nevil\r\n.\r\n"), NONE,
		  AT_DATA " 550/5.5.2 REFUSED(a\n.\n" MAIL RCPT "DATA\r\nevil\r\n)", SMTP_STATE_READY },
		{ "smuggled LF . CRLF", &relay, S(TO_DATA "a\n.\r\n" MAIL "x\r\n.\r\n"), NONE,
		  AT_DATA " 550/5.5.2 REFUSED(a\n.\r\n" MAIL "x\r\n)", SMTP_STATE_READY },
		{ "smuggled CRLF . LF", &relay, S(TO_DATA "a\r\n.\n" MAIL "x\r\n.\r\n"), NONE,
		  AT_DATA " 550/5.5.2 REFUSED(a\r\n\n" MAIL "x\r\n)", SMTP_STATE_READY },
		{ "smuggled CR . CR", &relay, S(TO_DATA "a\r.\r" MAIL "x\r\n.\r\n"), NONE,
		  AT_DATA " 550/5.5.2 REFUSED(a\r.\r" MAIL "x\r\n)", SMTP_STATE_READY },
		{ "smuggled CR . CRLF", &relay, S(TO_DATA "a\r.\r\n" MAIL "x\r\n.\r\n"), NONE,
		  AT_DATA " 550/5.5.2 REFUSED(a\r.\r\n" MAIL "x\r\n)", SMTP_STATE_READY },
		{ "smuggled CRLF . CR", &relay, S(TO_DATA "a\r\n.\r" MAIL "x\r\n.\r\n"), NONE,
		  AT_DATA " 550/5.5.2 REFUSED(a\r\n\r" MAIL "x\r\n)", SMTP_STATE_READY },
		{ "smuggled CR . LF", &relay, S(TO_DATA "a\r.\n" MAIL "x\r\n.\r\n"), NONE,
		  AT_DATA " 550/5.5.2 REFUSED(a\r.\n" MAIL "x\r\n)", SMTP_STATE_READY },
		{ "smuggled LF . CR", &relay, S(TO_DATA "a\n.\r" MAIL "x\r\n.\r\n"), NONE,
		  AT_DATA " 550/5.5.2 REFUSED(a\n.\r" MAIL "x\r\n)", SMTP_STATE_READY },
		{ "smuggled CRLF . CR CRLF", &relay, S(TO_DATA "a\r\n.\r\r\n" MAIL "x\r\n.\r\n"), NONE,
		  AT_DATA " 550/5.5.2 REFUSED(a\r\n\r\r\n" MAIL "x\r\n)", SMTP_STATE_READY },
		{ "smuggled CRLF . NUL CRLF", &relay, S(TO_DATA "a\r\n.\0\r\n" MAIL "\r\n.\r\n"), NONE,
		  /* The NUL is content; it ends this C string. */
		  AT_DATA " MESSAGE(a@b to 1: a\r\n)", SMTP_STATE_READY },
		{ "unfinished content", &relay, S(TO_DATA "a\r\n.\r"), NONE, AT_DATA, SMTP_STATE_DATA },
		{ "driver refuses", &relay,
		  S(HELLO "MAIL FROM:<full@b>\r\n" RCPT "DATA\r\nabc\r\n.def\r\n.\r\n" MAIL), NONE,
		  "250 MAIL(full@b 0) 250/2.1.0 RCPT(x@y) 250/2.1.5 354 452/4.3.1 REFUSED() MAIL(a@b 0) "
		  "250/2.1.0",
		  SMTP_STATE_MAIL },
		{ "hops at the maximum", &relay,
		  S(TO_DATA "Received: 1\r\nReceived: 2\r\nReceived: 3\r\n\r\n.\r\n"), NONE,
		  AT_DATA " MESSAGE(a@b to 1: Received: 1\r\nReceived: 2\r\nReceived: 3\r\n\r\n)",
		  SMTP_STATE_READY },
		{ "one hop too many", &relay,
		  S(TO_DATA "Received: 1\r\nReceived: 2\r\nreceived: 3\r\nReceived: 4\r\n\r\n.\r\n"), NONE,
		  AT_DATA
		  " 554/5.4.6 REFUSED(Received: 1\r\nReceived: 2\r\nreceived: 3\r\nReceived: 4\r\n\r\n)",
		  SMTP_STATE_READY },
		{ "header section over the maximum", &lax, S(TO_DATA "Subject: 90123456\r\n\r\n.\r\n"), NONE,
		  AT_DATA " 552/5.3.4 REFUSED(Subject: 90123456\r\n\r\n)", SMTP_STATE_READY },
		{ "header section at the maximum", &lax,
		  S(TO_DATA "Subject: 9012345\r\n\r\nlong enough\r\n.\r\n"), NONE,
		  AT_DATA " MESSAGE(a@b to 1: Subject: 9012345\r\n\r\nlong enough\r\n)", SMTP_STATE_READY },
	};
	CHECK_ROWS(rows);
}

static void bad_line_ends_in_commands_run_nothing(void **state)
{
	(void)state;
	static const struct row rows[] = {
		{ "bare LF", &relay, S("NOOP\nNOOP\r\nNOOP\r\n"), NONE, "500/5.5.2 250/2.0.0",
		  SMTP_STATE_GREETED },
		{ "bare LF is answered at once", &relay, S("NOOP\n"), NONE, "500/5.5.2", SMTP_STATE_GREETED },
		{ "only LF", &relay, S("EHLO a\nMAIL FROM:<a@b>\nQUIT\n"), NONE, "500/5.5.2",
		  SMTP_STATE_GREETED },
		{ "bare CR", &relay, S("NOOP\rQUIT\r\nNOOP\r\n"), NONE, "500/5.5.2 250/2.0.0",
		  SMTP_STATE_GREETED },
		{ "CR CR LF", &relay, S("NOOP\r\r\nNOOP\r\n"), NONE, "500/5.5.2 250/2.0.0",
		  SMTP_STATE_GREETED },
		{ "bare LF in an AUTH exchange", &submission,
		  S(HELLO "AUTH SCRAM-SHA-256\r\nZ29v\nZA==\r\nNOOP\r\n"), NONE,
		  "250 AUTH(SCRAM-SHA-256 -) 334  500/5.5.2 CANCELLED 250/2.0.0", SMTP_STATE_READY },
		{ "pipelined garbage ends it", &relay, S("a\r\nb\r\nc\r\nd\r\ne\r\nf\r\nQUIT\r\n"), NONE,
		  "500/5.5.2 500/5.5.2 500/5.5.2 500/5.5.2 500/5.5.2 500/5.5.2 421/4.7.0 CLOSE",
		  SMTP_STATE_CLOSED },
		{ "one error below the maximum", &relay, S("a\r\nb\r\nc\r\nd\r\ne\r\nQUIT\r\n"), NONE,
		  "500/5.5.2 500/5.5.2 500/5.5.2 500/5.5.2 500/5.5.2 221/2.0.0 CLOSE", SMTP_STATE_CLOSED },
	};
	CHECK_ROWS(rows);
}

static void starttls_forgets_all_that_came_before(void **state)
{
	(void)state;
	static const struct row rows[] = {
		{ "plain", &relay, S(HELLO "STARTTLS\r\n"), S(HELLO MAIL),
		  "250 220/2.0.0 STARTTLS 250 MAIL(a@b 0) 250/2.1.0", SMTP_STATE_MAIL },
		{ "injection", &relay, S(HELLO "STARTTLS\r\n" MAIL RCPT "QUIT\r\n"), S("NOOP\r\n"),
		  "250 220/2.0.0 STARTTLS 250/2.0.0", SMTP_STATE_GREETED },
		{ "EHLO again is needed", &relay, S(HELLO "STARTTLS\r\n"), S(MAIL),
		  "250 220/2.0.0 STARTTLS 503/5.5.1", SMTP_STATE_GREETED },
		{ "twice", &relay, S(HELLO "STARTTLS\r\n"), S(HELLO "STARTTLS\r\n"),
		  "250 220/2.0.0 STARTTLS 250 503/5.5.1", SMTP_STATE_READY },
		{ "with an argument", &relay, S(HELLO "STARTTLS now\r\n"), NONE, "250 501/5.5.4",
		  SMTP_STATE_READY },
		{ "not offered", &lax, S(HELLO "STARTTLS\r\n"), NONE, "250 502/5.5.1", SMTP_STATE_READY },
		{ "AUTH is forgotten", &submission, S(HELLO "AUTH SCRAM-SHA-256 Z29vZA==\r\nSTARTTLS\r\n"),
		  S(HELLO MAIL),
		  "250 AUTH(SCRAM-SHA-256 +Z29vZA==) 235/2.7.0 220/2.0.0 STARTTLS 250 530/5.7.0",
		  SMTP_STATE_READY },
		{ "required", &tls_only, S(HELLO MAIL "NOOP\r\nRSET\r\nHELO a\r\nVRFY a\r\nSTARTTLS\r\n"),
		  S(HELLO MAIL),
		  "250 530/5.7.0 250/2.0.0 530/5.7.0 530/5.7.0 530/5.7.0 220/2.0.0 STARTTLS 250 MAIL(a@b 0) "
		  "250/2.1.0",
		  SMTP_STATE_MAIL },
		{ "required, and QUIT", &tls_only, S("QUIT\r\n"), NONE, "221/2.0.0 CLOSE",
		  SMTP_STATE_CLOSED },
	};
	CHECK_ROWS(rows);
}

#define SUBMIT HELLO "AUTH SCRAM-SHA-256 Z29vZA==\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<x@y.example>\r\n"
#define AT_SUBMIT                                                                                      \
	"250 AUTH(SCRAM-SHA-256 +Z29vZA==) 235/2.7.0 MAIL(a@b.example 0) 250/2.1.0 RCPT(x@y.example) " \
	"250/2.1.5"
#define OF_HEADER(name, header, transcript)                                                   \
	{                                                                                     \
		name, &strict_submission, S(SUBMIT "DATA\r\n" header "\r\nx\r\n.\r\n"), NONE, \
			AT_SUBMIT " 354 " transcript "\r\nx\r\n)", SMTP_STATE_READY           \
	}
#define TAKEN(name, header) OF_HEADER(name, header, "MESSAGE(a@b.example to 1: " header)
#define REFUSED(name, header) OF_HEADER(name, header, "554/5.6.0 REFUSED(" header)

static void a_strict_submission_server_lets_out_what_is_a_message(void **state)
{
	(void)state;
	static const struct row rows[] = {
		{ "domains of one label", &strict_submission,
		  S(HELLO "AUTH SCRAM-SHA-256 Z29vZA==\r\nMAIL FROM:<a@sales>\r\nMAIL FROM:<a@b.example>\r\n"
			  "RCPT TO:<x@sales>\r\n"),
		  NONE,
		  "250 AUTH(SCRAM-SHA-256 +Z29vZA==) 235/2.7.0 554/5.1.8 MAIL(a@b.example 0) 250/2.1.0 "
		  "554/5.1.2",
		  SMTP_STATE_MAIL },
		{ "no domain, and a literal", &strict_submission,
		  S(HELLO "AUTH SCRAM-SHA-256 Z29vZA==\r\nMAIL FROM:<>\r\nRCPT TO:<postmaster>\r\n"
			  "RCPT TO:<a@[192.0.2.1]>\r\n"),
		  NONE,
		  "250 AUTH(SCRAM-SHA-256 +Z29vZA==) 235/2.7.0 MAIL( 0) 250/2.1.0 RCPT(postmaster) 250/2.1.5 "
		  "RCPT(a@[192.0.2.1]) 250/2.1.5",
		  SMTP_STATE_RCPT },
		TAKEN("a message", "From: a@b.example\r\nTo: c@d.example\r\n"),
		REFUSED("no From", "To: c@d.example\r\n"),
		REFUSED("two From", "From: a@b.example\r\nFrom: c@d.example\r\n"),
		REFUSED("two subjects", "From: a@b.example\r\nSubject: y\r\nSubject: z\r\n"),
		REFUSED("no address", "From: a@b.example\r\nTo: nobody\r\n"),
		REFUSED("one label", "From: a@b.example\r\nCc: x,\r\n y@sales\r\n"),
		REFUSED("in the last field", "From: a@b.example\r\nTo: y@sales\r\n"),
		REFUSED("resent", "From: a@b.example\r\nResent-To: <>\r\n"),
		REFUSED("bare LF", "From: a@b.example\r\nX: y\nz\r\n"),
		{ "in chunks", &strict_submission,
		  S(SUBMIT "BDAT 19\r\nFrom: a@b.example\r\nBDAT 5 LAST\r\n\r\nx\r\n"), NONE,
		  AT_SUBMIT " 250/2.0.0 MESSAGE(a@b.example to 1: From: a@b.example\r\n\r\nx\r\n)",
		  SMTP_STATE_READY },
		{ "cut off in the header", &strict_submission,
		  S(SUBMIT "DATA\r\nFrom: a@b.example\r\nTo: x\r\n.\r\n"), NONE,
		  AT_SUBMIT " 354 554/5.6.0 REFUSED(From: a@b.example\r\nTo: x\r\n)", SMTP_STATE_READY },
	};
	CHECK_ROWS(rows);
}

static void auth_follows_rfc_4954(void **state)
{
	(void)state;
	static const struct row rows[] = {
		{ "submission without AUTH", &submission,
		  S(HELLO MAIL RCPT "DATA\r\nVRFY a\r\nNOOP\r\nRSET\r\n"), NONE,
		  "250 530/5.7.0 530/5.7.0 530/5.7.0 530/5.7.0 250/2.0.0 250/2.0.0", SMTP_STATE_READY },
		{ "submission, MAIL first of all", &submission, S(MAIL), NONE, "503/5.5.1",
		  SMTP_STATE_GREETED },
		{ "initial response", &submission, S(HELLO "AUTH scram-sha-256 Z29vZA==\r\n" MAIL), NONE,
		  "250 AUTH(scram-sha-256 +Z29vZA==) 235/2.7.0 MAIL(a@b 0) 250/2.1.0", SMTP_STATE_MAIL },
		{ "challenges", &submission, S(HELLO "AUTH SCRAM-SHA-256\r\nbW9yZQ==\r\nZ29vZA==\r\n"), NONE,
		  "250 AUTH(SCRAM-SHA-256 -) 334  STEP(bW9yZQ==) 334 Y2hhbGxlbmdl STEP(Z29vZA==) 235/2.7.0",
		  SMTP_STATE_READY },
		{ "empty initial response", &submission, S(HELLO "AUTH SCRAM-SHA-256 =\r\n"), NONE,
		  "250 AUTH(SCRAM-SHA-256 +) 535/5.7.8", SMTP_STATE_READY },
		{ "empty response", &submission, S(HELLO "AUTH SCRAM-SHA-256\r\n\r\n"), NONE,
		  "250 AUTH(SCRAM-SHA-256 -) 334  STEP() 535/5.7.8", SMTP_STATE_READY },
		{ "wrong, then right", &submission,
		  S(HELLO "AUTH SCRAM-SHA-256 YmFk\r\nAUTH SCRAM-SHA-256 Z29vZA==\r\n"), NONE,
		  "250 AUTH(SCRAM-SHA-256 +YmFk) 535/5.7.8 AUTH(SCRAM-SHA-256 +Z29vZA==) 235/2.7.0",
		  SMTP_STATE_READY },
		{ "temporary failure", &submission, S(HELLO "AUTH SCRAM-SHA-256 bGF0ZXI=\r\n"), NONE,
		  "250 AUTH(SCRAM-SHA-256 +bGF0ZXI=) 454/4.7.0", SMTP_STATE_READY },
		{ "cancelled", &submission, S(HELLO "AUTH SCRAM-SHA-256\r\n*\r\nNOOP\r\n"), NONE,
		  "250 AUTH(SCRAM-SHA-256 -) 334  501/5.7.0 CANCELLED 250/2.0.0", SMTP_STATE_READY },
		{ "not base64", &submission, S(HELLO "AUTH SCRAM-SHA-256\r\nNOOP \r\nNOOP\r\n"), NONE,
		  "250 AUTH(SCRAM-SHA-256 -) 334  501/5.5.2 CANCELLED 250/2.0.0", SMTP_STATE_READY },
		{ "'=' is no response", &submission, S(HELLO "AUTH SCRAM-SHA-256\r\n=\r\n"), NONE,
		  "250 AUTH(SCRAM-SHA-256 -) 334  501/5.5.2 CANCELLED", SMTP_STATE_READY },
		{ "initial response not base64", &submission,
		  S(HELLO "AUTH SCRAM-SHA-256 =AAA\r\nAUTH SCRAM-SHA-256 *\r\n"), NONE,
		  "250 501/5.5.2 501/5.5.2", SMTP_STATE_READY },
		{ "second AUTH", &submission,
		  S(HELLO "AUTH SCRAM-SHA-256 Z29vZA==\r\nAUTH SCRAM-SHA-256\r\n"), NONE,
		  "250 AUTH(SCRAM-SHA-256 +Z29vZA==) 235/2.7.0 503/5.5.1", SMTP_STATE_READY },
		{ "AUTH inside a transaction", &submission,
		  S(HELLO "AUTH SCRAM-SHA-256 Z29vZA==\r\n" MAIL "AUTH SCRAM-SHA-256\r\n"), NONE,
		  "250 AUTH(SCRAM-SHA-256 +Z29vZA==) 235/2.7.0 MAIL(a@b 0) 250/2.1.0 503/5.5.1",
		  SMTP_STATE_MAIL },
		{ "EHLO keeps the authentication", &submission,
		  S(HELLO "AUTH SCRAM-SHA-256 Z29vZA==\r\n" HELLO MAIL), NONE,
		  "250 AUTH(SCRAM-SHA-256 +Z29vZA==) 235/2.7.0 250 MAIL(a@b 0) 250/2.1.0", SMTP_STATE_MAIL },
		{ "PLAIN without TLS", &submission, S(HELLO "AUTH PLAIN Z29vZA==\r\n"), NONE, "250 504/5.5.4",
		  SMTP_STATE_READY },
		{ "PLAIN under TLS", &submission, S(HELLO "STARTTLS\r\n"), S(HELLO "AUTH PLAIN Z29vZA==\r\n"),
		  "250 220/2.0.0 STARTTLS 250 AUTH(PLAIN +Z29vZA==) 235/2.7.0", SMTP_STATE_READY },
		{ "part of a mechanism's name", &submission,
		  S(HELLO "AUTH SCRAM-SHA\r\nAUTH SCRAM-SHA-256-PLUS\r\n"), NONE, "250 504/5.5.4 504/5.5.4",
		  SMTP_STATE_READY },
		{ "no mechanism, or too much", &submission, S(HELLO "AUTH\r\nAUTH SCRAM-SHA-256 Zg== x\r\n"),
		  NONE, "250 501/5.5.4 501/5.5.4", SMTP_STATE_READY },
		{ "not offered", &relay, S(HELLO "AUTH PLAIN Z29vZA==\r\n"), NONE, "250 502/5.5.1",
		  SMTP_STATE_READY },
	};
	CHECK_ROWS(rows);
}

/* ---- limits, at their borders ---------------------------------------------- */

static void add_fill(struct buf *b, char c, size_t n)
{
	memset(buf_reserve(b, n), c, n);
	buf_grow(b, n);
}

static void expect(const char *name, const struct smtp_server_config *config, struct buf *client,
		   const char *transcript)
{
	for (size_t k = 0; k < STEPS; k++) {
		struct conversation c;
		begin(&c, config, steps[k], false);
		play(&c, buf_span(client));
		if (strcmp(buf_cstr(&c.transcript), transcript) != 0)
			fail_msg("%s, step %zu: '%.300s', not '%.300s'", name, steps[k],
				 buf_cstr(&c.transcript), transcript);
		end(&c);
	}
	buf_reset(client);
}

/* head, fill, CRLF: line_bytes in all; then NOOP, to see that the session is in step. */
static void add_line(struct buf *b, const char *head, char fill, size_t line_bytes)
{
	buf_add_cstr(b, head);
	add_fill(b, fill, line_bytes - strlen(head) - 2);
	buf_add_cstr(b, "\r\nNOOP\r\n");
}

static void command_lines_have_the_length_of_their_verb(void **state)
{
	(void)state;
	struct buf client = { 0 };

	add_line(&client, "NOOP ", 'x', 512);
	expect("NOOP of 512", &relay, &client, "250/2.0.0 250/2.0.0");
	add_line(&client, "NOOP ", 'x', 513);
	expect("NOOP of 513", &relay, &client, "500/5.5.2 250/2.0.0");
	add_line(&client, "XXXX ", 'x', 513);
	expect("unknown verb of 513", &relay, &client, "500/5.5.2 250/2.0.0");
	add_line(&client, HELLO "MAIL FROM:<a@b> SIZE=1", ' ', strlen(HELLO) + SMTP_MAIL_COMMAND_BYTES_MAX);
	expect("longest MAIL", &relay, &client, "250 MAIL(a@b 1) 250/2.1.0 250/2.0.0");
	add_line(&client, HELLO "MAIL FROM:<a@b> SIZE=1", ' ',
		 strlen(HELLO) + SMTP_MAIL_COMMAND_BYTES_MAX + 1);
	expect("MAIL one longer", &relay, &client, "250 500/5.5.2 250/2.0.0");
	add_line(&client, "NOOP ", 'x', SMTP_AUTH_LINE_BYTES_MAX);
	expect("NOOP as long as AUTH may be", &relay, &client, "500/5.5.2 250/2.0.0");
	add_line(&client, "NOOP ", 'x', SMTP_AUTH_LINE_BYTES_MAX + 1);
	expect("NOOP longer than any line", &relay, &client, "500/5.5.2 250/2.0.0");
	add_line(&client, "NOOP ", 'x', 100000);
	expect("NOOP of 100000", &relay, &client, "500/5.5.2 250/2.0.0");
	buf_free(&client);
}

static void auth_lines_have_a_length_of_their_own(void **state)
{
	(void)state;
	enum { LONGEST = SMTP_AUTH_LINE_BYTES_MAX - 2 };
	_Static_assert(LONGEST % 4 == 2, "base64 lines come in fours");
	struct buf client = { 0 };
	struct buf want = { 0 };

	buf_add_cstr(&client, HELLO "AUTH SCRAM-SHA-256\r\n");
	add_fill(&client, 'A', LONGEST - 2);
	buf_add_cstr(&client, "\r\nNOOP\r\n");
	buf_add_cstr(&want, "250 AUTH(SCRAM-SHA-256 -) 334  STEP(");
	add_fill(&want, 'A', LONGEST - 2);
	buf_add_cstr(&want, ") 535/5.7.8 250/2.0.0");
	expect("longest response", &submission, &client, buf_cstr(&want));

	add_line(&client, HELLO "AUTH SCRAM-SHA-256\r\n", 'A',
		 strlen(HELLO "AUTH SCRAM-SHA-256\r\n") + SMTP_AUTH_LINE_BYTES_MAX + 1);
	expect("response one longer", &submission, &client,
	       "250 AUTH(SCRAM-SHA-256 -) 334  500/5.5.6 CANCELLED 250/2.0.0");
	add_line(&client, HELLO "AUTH SCRAM-SHA-256 ", 'A', strlen(HELLO) + SMTP_AUTH_LINE_BYTES_MAX + 1);
	expect("AUTH one longer", &submission, &client, "250 500/5.5.2 250/2.0.0");
	buf_free(&client);
	buf_free(&want);
}

static void content_of_the_maximum_passes_and_one_more_does_not(void **state)
{
	(void)state;
	struct buf client = { 0 };
	struct buf want = { 0 };

	/* A stuffing dot is not part of the size (RFC 1870 3). */
	buf_add_cstr(&client, TO_DATA "..");
	add_fill(&client, 'x', 997);
	buf_add_cstr(&client, "\r\n.\r\nNOOP\r\n");
	buf_add_cstr(&want, AT_DATA " MESSAGE(a@b to 1: .");
	add_fill(&want, 'x', 997);
	buf_add_cstr(&want, "\r\n) 250/2.0.0");
	expect("1000 bytes", &relay, &client, buf_cstr(&want));

	buf_add_cstr(&client, TO_DATA);
	add_fill(&client, 'x', 999);
	buf_add_cstr(&client, "\r\n.\r\nNOOP\r\n");
	buf_reset(&want);
	buf_add_cstr(&want, AT_DATA " 552/5.3.4 REFUSED(");
	add_fill(&want, 'x', 999);
	buf_add_cstr(&want, "\r) 250/2.0.0");
	expect("1001 bytes", &relay, &client, buf_cstr(&want));

	buf_add_cstr(&client, HELLO "MAIL FROM:<full@b>\r\n" RCPT "DATA\r\n");
	add_fill(&client, 'x', 5000);
	buf_add_cstr(&client, "\r\n.\r\n");
	expect("refused by the driver and too big", &relay, &client,
	       "250 MAIL(full@b 0) 250/2.1.0 RCPT(x@y) 250/2.1.5 354 452/4.3.1 REFUSED()");

	/* Bytes over the maximum are swallowed, not handed out. */
	buf_add_cstr(&client, TO_DATA);
	add_fill(&client, 'x', 5000);
	buf_add_cstr(&client, "\n\r\n.\r\nNOOP\r\n");
	buf_reset(&want);
	buf_add_cstr(&want, AT_DATA " 552/5.3.4 REFUSED(");
	add_fill(&want, 'x', 1000);
	buf_add_cstr(&want, ") 250/2.0.0");
	expect("5000 bytes", &relay, &client, buf_cstr(&want));
	buf_free(&client);
	buf_free(&want);
}

static void chunks_of_the_maximum_pass_and_one_more_does_not(void **state)
{
	(void)state;
	struct buf client = { 0 };
	struct buf want = { 0 };

	for (size_t over = 0; over <= 1; over++) {
		buf_add_cstr(&client, TO_RCPT "BDAT 600\r\n");
		add_fill(&client, '.', 600);
		buf_addf(&client, "BDAT %zu LAST\r\n", 400 + over);
		add_fill(&client, '.', 400 + over);
		buf_add_cstr(&client, "NOOP\r\n");
		buf_reset(&want);
		buf_add_cstr(&want, over == 0 ? AT_RCPT " 250/2.0.0 MESSAGE(a@b to 1: "
					      : AT_RCPT " 250/2.0.0 552/5.3.4 REFUSED(");
		add_fill(&want, '.', 1000);
		buf_add_cstr(&want, ") 250/2.0.0");
		expect(over == 0 ? "1000 bytes" : "1001 bytes", &relay, &client, buf_cstr(&want));
	}
	/* Over the maximum before the last: told at once, and what is on its way is discarded. */
	buf_add_cstr(&client, TO_RCPT "BDAT 1001\r\n");
	add_fill(&client, '.', 1001);
	buf_add_cstr(&client, "BDAT 5 LAST\r\nQUIT\nNOOP\r\n");
	buf_reset(&want);
	buf_add_cstr(&want, AT_RCPT " 552/5.3.4 REFUSED(");
	add_fill(&want, '.', 1000);
	buf_add_cstr(&want, ") 503/5.5.1 250/2.0.0");
	expect("first chunk of 1001", &relay, &client, buf_cstr(&want));
	buf_free(&client);
	buf_free(&want);
}

static void dsn_parameters_have_their_lengths(void **state)
{
	(void)state;
	struct buf client = { 0 };

	for (size_t over = 0; over <= 1; over++) {
		buf_add_cstr(&client, HELLO "MAIL FROM:<a@b> ENVID=");
		add_fill(&client, 'e', SMTP_ENVID_BYTES_MAX + over);
		buf_add_cstr(&client, "\r\n");
		expect("ENVID", &relay, &client, over == 0 ? "250 MAIL(a@b 0) 250/2.1.0" : "250 501/5.5.4");
		buf_add_cstr(&client, HELLO MAIL "RCPT TO:<x@y> ORCPT=rfc822;");
		add_fill(&client, 'o', SMTP_ORCPT_BYTES_MAX - strlen("rfc822;") + over);
		buf_add_cstr(&client, "\r\n");
		expect("ORCPT", &relay, &client, over == 0 ? AT_RCPT : "250 MAIL(a@b 0) 250/2.1.0 501/5.5.4");
		add_line(&client, HELLO MAIL "RCPT TO:<x@y>", ' ',
			 strlen(HELLO MAIL) + SMTP_RCPT_COMMAND_BYTES_MAX + over);
		expect("RCPT line", &relay, &client,
		       over == 0 ? AT_RCPT " 250/2.0.0" : "250 MAIL(a@b 0) 250/2.1.0 500/5.5.2 250/2.0.0");
		/* The octets behind a line that is too long were never announced: they run as commands. */
		add_line(&client, TO_RCPT "BDAT 0", ' ', strlen(TO_RCPT) + SMTP_COMMAND_BYTES_MAX + over);
		expect("BDAT line", &relay, &client,
		       over == 0 ? AT_RCPT " 250/2.0.0 250/2.0.0" : AT_RCPT " 500/5.5.2 250/2.0.0");
	}
	buf_free(&client);
}

static void paths_over_their_limits_are_refused(void **state)
{
	(void)state;
	struct buf client = { 0 };

	for (size_t over = 0; over <= 1; over++) {
		buf_add_cstr(&client, HELLO "MAIL FROM:<");
		add_fill(&client, 'l', ADDRESS_LOCAL_BYTES_MAX + over);
		buf_add_cstr(&client, "@b>\r\nRSET\r\n");
		if (over == 0)
			expect("local-part of 64", &relay, &client,
			       "250 MAIL(llllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllll@b "
			       "0) "
			       "250/2.1.0 250/2.0.0 RESET");
		else
			expect("local-part of 65", &relay, &client, "250 501/5.1.7 250/2.0.0");
	}
	buf_add_cstr(&client, HELLO MAIL "RCPT TO:<");
	add_fill(&client, 'l', ADDRESS_LOCAL_BYTES_MAX + 1);
	buf_add_cstr(&client, "@b>\r\n");
	expect("recipient of 65", &relay, &client, "250 MAIL(a@b 0) 250/2.1.0 501/5.1.3");
	buf_free(&client);
}

/* ---- what a client sees in full -------------------------------------------- */

static void check_full(const struct smtp_server_config *config, bool tls, const char *client,
		       const char *replies)
{
	struct conversation c;

	begin(&c, config, SIZE_MAX, tls);
	c.full_replies = true;
	smtp_server_greet(&c.s);
	play(&c, span_of(client));
	assert_string_equal(buf_cstr(&c.transcript), replies);
	end(&c);
}

static void ehlo_lists_what_is_offered_now(void **state)
{
	(void)state;
	check_full(&relay, false, HELLO,
		   "220 mx.example ESMTP postriderd\n250-mx.example\n250-PIPELINING\n250-SIZE "
		   "1000\n250-8BITMIME\n250-SMTPUTF8\n250-CHUNKING\n250-BINARYMIME\n250-DSN\n"
		   "250-ENHANCEDSTATUSCODES\n250-LIMITS RCPTMAX=3\n250-DELIVERBY\n250-STARTTLS\n250 HELP");
	check_full(&relay, true, HELLO,
		   "220 mx.example ESMTP postriderd\n250-mx.example\n250-PIPELINING\n250-SIZE "
		   "1000\n250-8BITMIME\n250-SMTPUTF8\n250-CHUNKING\n250-BINARYMIME\n250-DSN\n"
		   "250-ENHANCEDSTATUSCODES\n250-LIMITS RCPTMAX=3\n250-DELIVERBY\n250-REQUIRETLS\n250 HELP");
	check_full(&submission, false, HELLO,
		   "220 mx.example ESMTP postriderd\n250-mx.example\n250-PIPELINING\n250-SIZE "
		   "0\n250-8BITMIME\n250-SMTPUTF8\n250-CHUNKING\n250-BINARYMIME\n250-DSN\n"
		   "250-ENHANCEDSTATUSCODES\n250-LIMITS RCPTMAX=100\n250-DELIVERBY\n250-STARTTLS\n250-AUTH "
		   "SCRAM-SHA-256\n250 HELP");
	check_full(&submission, true, HELLO,
		   "220 mx.example ESMTP postriderd\n250-mx.example\n250-PIPELINING\n250-SIZE "
		   "0\n250-8BITMIME\n250-SMTPUTF8\n250-CHUNKING\n250-BINARYMIME\n250-DSN\n"
		   "250-ENHANCEDSTATUSCODES\n250-LIMITS RCPTMAX=100\n250-DELIVERBY\n250-REQUIRETLS\n250-AUTH "
		   "SCRAM-SHA-256 PLAIN LOGIN\n250 HELP");
	check_full(&relay, false, "HELO a\r\nQUIT\r\n",
		   "220 mx.example ESMTP postriderd\n250 mx.example\n221 2.0.0 mx.example closing\nCLOSE");
}

static void chunks_are_content_or_discarded(void **state)
{
	(void)state;
	static const struct row rows[] = {
		{ "two chunks, dots untouched", &relay,
		  S(TO_RCPT "BDAT 6\r\n..a\r\n.BDAT 2 LAST\r\n\r\nQUIT\r\n"), NONE,
		  AT_RCPT " 250/2.0.0 MESSAGE(a@b to 1: ..a\r\n.\r\n) 221/2.0.0 CLOSE", SMTP_STATE_CLOSED },
		{ "BDAT 0 LAST, CRLF cut in two", &relay,
		  S(TO_RCPT "BDAT 2\r\na\rBDAT 1\r\n\nBDAT 0 LAST\r\n"), NONE,
		  AT_RCPT " 250/2.0.0 250/2.0.0 MESSAGE(a@b to 1: a\r\n)", SMTP_STATE_READY },
		{ "DATA, MAIL and RCPT behind BDAT", &relay, S(TO_RCPT "BDAT 0\r\nDATA\r\n" MAIL RCPT), NONE,
		  AT_RCPT " 250/2.0.0 503/5.5.1 503/5.5.1 503/5.5.1", SMTP_STATE_BDAT },
		{ "RSET between chunks", &relay, S(TO_RCPT "BDAT 1\r\naRSET\r\n"), NONE,
		  AT_RCPT " 250/2.0.0 250/2.0.0 RESET", SMTP_STATE_READY },
		{ "without RCPT the octets are discarded", &relay,
		  S(HELLO MAIL "BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n"), NONE,
		  "250 MAIL(a@b 0) 250/2.1.0 554/5.5.1 250/2.0.0", SMTP_STATE_MAIL },
		{ "before MAIL", &relay, S(HELLO "BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n"), NONE,
		  "250 503/5.5.1 250/2.0.0", SMTP_STATE_READY },
		{ "without AUTH", &submission, S(HELLO "BDAT 6\r\nQUIT\r\nNOOP\r\n"), NONE,
		  "250 530/5.7.0 250/2.0.0", SMTP_STATE_READY },
		{ "bare LF", &relay, S(TO_RCPT "BDAT 2\r\na\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n"), NONE,
		  AT_RCPT " 550/5.5.2 REFUSED(a\n) 503/5.5.1 250/2.0.0", SMTP_STATE_READY },
		{ "CR at the end", &relay, S(TO_RCPT "BDAT 2 LAST\r\na\r"), NONE,
		  AT_RCPT " 550/5.5.2 REFUSED(a\r)", SMTP_STATE_READY },
		{ "BINARYMIME may hold bare LF, and not go with DATA", &relay,
		  S(HELLO "MAIL FROM:<a@b> BODY=BINARYMIME\r\n" RCPT "DATA\r\nBDAT 3 LAST\r\na\nb"), NONE,
		  "250 MAIL(a@b 0 binary) 250/2.1.0 RCPT(x@y) 250/2.1.5 503/5.5.1 MESSAGE(a@b to 1: a\nb)",
		  SMTP_STATE_READY },
		{ "header section over the maximum, told at the end of its chunk", &lax,
		  S(TO_RCPT "BDAT 12\r\nSubject: 901BDAT 10\r\n23456\r\n\r\nxBDAT 1 LAST\r\nxNOOP\r\n"), NONE,
		  AT_RCPT " 250/2.0.0 552/5.3.4 REFUSED(Subject: 90123456\r\n\r\nx) 503/5.5.1 250/2.0.0",
		  SMTP_STATE_READY },
		{ "header section at the maximum", &lax,
		  S(TO_RCPT "BDAT 12\r\nSubject: 901BDAT 9 LAST\r\n2345\r\n\r\nx"), NONE,
		  AT_RCPT " 250/2.0.0 MESSAGE(a@b to 1: Subject: 9012345\r\n\r\nx)", SMTP_STATE_READY },
		{ "one hop too many, over two chunks", &relay,
		  S(TO_RCPT
		    "BDAT 17\r\nReceived:\r\nReceivBDAT 29 LAST\r\ned:\r\nreceived:\r\nReceived:\r\n\r\n"),
		  NONE,
		  AT_RCPT
		  " 250/2.0.0 554/5.4.6 REFUSED(Received:\r\nReceived:\r\nreceived:\r\nReceived:\r\n\r\n)",
		  SMTP_STATE_READY },
		{ "driver refuses inside a chunk", &relay,
		  S(HELLO "MAIL FROM:<full@b>\r\n" RCPT "BDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\n" MAIL),
		  NONE,
		  "250 MAIL(full@b 0) 250/2.1.0 RCPT(x@y) 250/2.1.5 452/4.3.1 REFUSED() 503/5.5.1 MAIL(a@b "
		  "0) "
		  "250/2.1.0",
		  SMTP_STATE_MAIL },
		{ "driver refuses inside the last chunk", &relay,
		  S(HELLO "MAIL FROM:<full@b>\r\n" RCPT "BDAT 6 LAST\r\nQUIT\r\n" MAIL), NONE,
		  "250 MAIL(full@b 0) 250/2.1.0 RCPT(x@y) 250/2.1.5 452/4.3.1 REFUSED() MAIL(a@b 0) "
		  "250/2.1.0",
		  SMTP_STATE_MAIL },
		{ "EHLO between chunks", &relay, S(TO_RCPT "BDAT 1\r\na" HELLO "BDAT 1 LAST\r\nb" MAIL), NONE,
		  AT_RCPT " 250/2.0.0 250 RESET 503/5.5.1 MAIL(a@b 0) 250/2.1.0", SMTP_STATE_MAIL },
		{ "NOOP and VRFY between chunks change nothing", &relay,
		  S(TO_RCPT "BDAT 1\r\naNOOP\r\nVRFY x\r\nBDAT 1 LAST\r\nb"), NONE,
		  AT_RCPT " 250/2.0.0 250/2.0.0 252/2.5.0 MESSAGE(a@b to 1: ab)", SMTP_STATE_READY },
		{ "QUIT between chunks", &relay, S(TO_RCPT "BDAT 1\r\naQUIT\r\nBDAT 1 LAST\r\nb"), NONE,
		  AT_RCPT " 250/2.0.0 221/2.0.0 CLOSE", SMTP_STATE_CLOSED },
		{ "STARTTLS between chunks", &relay, S(TO_RCPT "BDAT 1\r\naSTARTTLS\r\n"), NONE,
		  AT_RCPT " 250/2.0.0 503/5.5.1", SMTP_STATE_BDAT },
		{ "a size nobody can count ends the session", &relay, S(TO_RCPT "BDAT x LAST\r\nNOOP\r\n"),
		  NONE, AT_RCPT " 501/5.5.4 421/4.7.0 CLOSE", SMTP_STATE_CLOSED },
		{ "DSN parameters", &relay,
		  S(HELLO "MAIL FROM:<a@b> RET=hdrs ENVID=a+2B\r\n"
			  "RCPT TO:<x@y> NOTIFY=SUCCESS,delay ORCPT=rfc822;x+2By@z\r\n"),
		  NONE, AT_RCPT, SMTP_STATE_RCPT },
		{ "bad DSN parameters of RCPT", &relay,
		  S(HELLO MAIL "RCPT TO:<x@y> NOTIFY=NEVER,DELAY\r\nRCPT TO:<x@y> NOTIFY=DELAY,\r\n"
			       "RCPT TO:<x@y> ORCPT=rfc822;a+2b\r\nRCPT TO:<x@y> ORCPT=a@b\r\n"
			       "RCPT TO:<x@y> NOTIFY=DELAY NOTIFY=DELAY\r\n"),
		  NONE, "250 MAIL(a@b 0) 250/2.1.0 501/5.5.4 501/5.5.4 501/5.5.4 501/5.5.4 501/5.5.4",
		  SMTP_STATE_MAIL },
		{ "bad DSN parameters of MAIL", &relay,
		  S(HELLO "MAIL FROM:<a@b> RET=ALL\r\nMAIL FROM:<a@b> ENVID=a+\r\nMAIL FROM:<a@b> RET=FULL "
			  "RET=FULL\r\n"),
		  NONE, "250 501/5.5.4 501/5.5.4 501/5.5.4", SMTP_STATE_READY },
	};
	CHECK_ROWS(rows);
}

#define LHELLO "LHLO c.example\r\n"
#define LMTP_RCPT LHELLO MAIL RCPT "RCPT TO:<nobody@y>\r\n" RCPT
#define AT_LMTP_RCPT \
	"250 MAIL(a@b 0) 250/2.1.0 RCPT(x@y) 250/2.1.5 RCPT(nobody@y) 550/5.1.1 RCPT(x@y) 250/2.1.5"

static void lmtp_answers_for_each_recipient(void **state)
{
	(void)state;
	static const struct row rows[] = {
		{ "EHLO and HELO are unknown", &lmtp, S("EHLO a\r\nHELO a\r\n" MAIL), NONE,
		  "500/5.5.2 500/5.5.2 503/5.5.1", SMTP_STATE_GREETED },
		{ "LHLO is unknown in SMTP", &relay, S(LHELLO), NONE, "500/5.5.2", SMTP_STATE_GREETED },
		{ "a message", &lmtp, S(LMTP_RCPT "DATA\r\nx\r\n.\r\nQUIT\r\n"), NONE,
		  AT_LMTP_RCPT " 354 MESSAGE(a@b to 2: x\r\n) 221/2.0.0 CLOSE", SMTP_STATE_CLOSED },
		{ "a refused message", &lmtp, S(LMTP_RCPT "DATA\r\na\nb\r\n.\r\nNOOP\r\n"), NONE,
		  AT_LMTP_RCPT " 354 550/5.5.2 550/5.5.2 REFUSED(a\nb\r\n) 250/2.0.0", SMTP_STATE_READY },
		{ "DATA without recipients", &lmtp, S(LHELLO MAIL "RCPT TO:<nobody@y>\r\nDATA\r\n"), NONE,
		  "250 MAIL(a@b 0) 250/2.1.0 RCPT(nobody@y) 550/5.1.1 503/5.5.1", SMTP_STATE_MAIL },
		{ "chunks", &lmtp, S(LMTP_RCPT "BDAT 1\r\naBDAT 1 LAST\r\nbNOOP\r\n"), NONE,
		  AT_LMTP_RCPT " 250/2.0.0 MESSAGE(a@b to 2: ab) 250/2.0.0", SMTP_STATE_READY },
		{ "a refused last chunk", &lmtp, S(LMTP_RCPT "BDAT 1\r\naBDAT 1 LAST\r\n\nNOOP\r\n"), NONE,
		  AT_LMTP_RCPT " 250/2.0.0 550/5.5.2 550/5.5.2 REFUSED(a\n) 250/2.0.0", SMTP_STATE_READY },
		{ "a refused chunk, and the last behind it", &lmtp,
		  S(LMTP_RCPT "BDAT 1\r\n\nBDAT 1\r\nxBDAT 1 LAST\r\nxRSET\r\nBDAT 1 LAST\r\nxNOOP\r\n"),
		  NONE,
		  AT_LMTP_RCPT " 550/5.5.2 REFUSED(\n) 503/5.5.1 503/5.5.1 503/5.5.1 250/2.0.0 250/2.0.0",
		  SMTP_STATE_READY },
		{ "BDAT LAST without recipients has no reply", &lmtp,
		  S(LHELLO MAIL "BDAT 1\r\nxBDAT 1 LAST\r\nxNOOP\r\n"), NONE,
		  "250 MAIL(a@b 0) 250/2.1.0 554/5.5.1 250/2.0.0", SMTP_STATE_MAIL },
		{ "no binary content", &lmtp, S(LHELLO "MAIL FROM:<a@b> BODY=BINARYMIME\r\n"), NONE,
		  "250 555/5.5.4", SMTP_STATE_READY },
	};
	CHECK_ROWS(rows);
	check_full(&lmtp, false, LHELLO,
		   "220 mx.example LMTP postriderd\n250-mx.example\n250-PIPELINING\n250-SIZE "
		   "1000\n250-8BITMIME\n250-SMTPUTF8\n250-CHUNKING\n250-DSN\n"
		   "250-ENHANCEDSTATUSCODES\n250-LIMITS RCPTMAX=3\n250-DELIVERBY\n250-STARTTLS\n250 HELP");
}

static void the_protocol_name_follows_rfc_3848(void **state)
{
	(void)state;
	static const struct {
		bool tls;
		const char *client;
		const char *name;
	} names[] = {
		{ false, "HELO a\r\n", "SMTP" },
		{ true, "HELO a\r\n", "SMTP" },
		{ false, "EHLO a\r\n", "ESMTP" },
		{ true, "EHLO a\r\n", "ESMTPS" },
		{ false, "EHLO a\r\nAUTH SCRAM-SHA-256 Z29vZA==\r\n", "ESMTPA" },
		{ true, "EHLO a\r\nAUTH PLAIN Z29vZA==\r\n", "ESMTPSA" },
	};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct conversation c;
		begin(&c, &submission, SIZE_MAX, names[i].tls);
		play(&c, span_of(names[i].client));
		assert_true(span_eq(smtp_server_protocol(&c.s), span_of(names[i].name)));
		end(&c);
	}
}

static void session_facts_are_there_at_message(void **state)
{
	(void)state;
	struct conversation c;
	size_t used;

	begin(&c, &submission, 5, true);
	play(&c,
	     SPAN_LIT(HELLO "AUTH PLAIN Z29vZA==\r\nMAIL FROM:<a@b> SIZE=9 BODY=8BITMIME\r\n" RCPT "DATA\r\n"
			    "Date: x\r\n\r\n\xff\r\n"));
	assert_int_equal(smtp_server_feed(&c.s, SPAN_LIT(".\r\n"), &used), SMTP_WISH_MESSAGE);
	assert_true(span_eq(c.s.helo, SPAN_LIT("c.example")));
	assert_true(c.s.esmtp && c.s.tls && c.s.authenticated);
	assert_true(span_eq(c.s.identity, SPAN_LIT("fred@mx.example")));
	assert_true(span_eq(c.s.reverse_path, SPAN_LIT("a@b")));
	assert_int_equal(c.s.size_declared_bytes, 9);
	assert_int_equal(c.s.body, SMTP_BODY_8BITMIME);
	assert_int_equal(c.s.rcpt_count, 1);
	assert_int_equal(c.s.content.content_bytes, 14);
	assert_int_equal(c.s.content.facts, CONTENT_8BIT);
	assert_int_equal(c.s.header.header_bytes, 11);
	assert_true(header_has(&c.s.header, HEADER_DATE));
	assert_false(header_has(&c.s.header, HEADER_MESSAGE_ID));
	end(&c);
}

/* The wish that comes next, everything before it used up. */
static enum smtp_wish feed_once(struct conversation *c, struct span *in)
{
	size_t used;
	enum smtp_wish wish = smtp_server_feed(&c->s, *in, &used);

	*in = span_sub(*in, used, in->n);
	return wish == SMTP_WISH_SYNC ? feed_once(c, in) : wish;
}

static void dsn_facts_are_there_at_their_wishes(void **state)
{
	(void)state;
	struct span in = SPAN_LIT(HELLO "MAIL FROM:<a@b> RET=HDRS ENVID=a+2B\r\n"
					"RCPT TO:<x@y> ORCPT=utf-8;x+2By NOTIFY=success,Delay\r\n"
					"RCPT TO:<z@y> NOTIFY=NEVER\r\nRCPT TO:<z@y>\r\nRSET\r\n" MAIL);
	struct conversation c;

	begin(&c, &relay, SIZE_MAX, false);
	assert_int_equal(feed_once(&c, &in), SMTP_WISH_MAIL);
	assert_int_equal(c.s.ret, SMTP_RET_HDRS);
	assert_true(span_eq(c.s.envid, SPAN_LIT("a+2B")));
	smtp_server_answer_mail(&c.s, SMTP_ANSWER_ACCEPT);
	assert_int_equal(feed_once(&c, &in), SMTP_WISH_RCPT);
	assert_int_equal(c.s.notify, SMTP_NOTIFY_SUCCESS | SMTP_NOTIFY_DELAY);
	assert_true(span_eq(c.s.orcpt, SPAN_LIT("utf-8;x+2By")));
	smtp_server_answer_rcpt(&c.s, SMTP_ANSWER_ACCEPT);
	assert_int_equal(feed_once(&c, &in), SMTP_WISH_RCPT);
	assert_int_equal(c.s.notify, SMTP_NOTIFY_NEVER);
	assert_int_equal(c.s.orcpt.n, 0);
	smtp_server_answer_rcpt(&c.s, SMTP_ANSWER_ACCEPT);
	assert_int_equal(feed_once(&c, &in), SMTP_WISH_RCPT);
	assert_int_equal(c.s.notify, 0);
	smtp_server_answer_rcpt(&c.s, SMTP_ANSWER_ACCEPT);
	assert_int_equal(feed_once(&c, &in), SMTP_WISH_RESET);
	assert_int_equal(feed_once(&c, &in), SMTP_WISH_MAIL);
	assert_int_equal(c.s.ret, SMTP_RET_UNSAID);
	assert_int_equal(c.s.envid.n, 0);
	end(&c);
}

static void the_server_can_end_a_session_at_any_time(void **state)
{
	(void)state;
	static const char *const points[] = { "",
					      HELLO,
					      HELLO MAIL,
					      HELLO MAIL RCPT,
					      TO_DATA "abc",
					      "NOOP x",
					      TO_RCPT "BDAT 5\r\nab",
					      TO_RCPT "BDAT 2\r\nab" };
	static const char *const replies[SMTP_CLOSE_COUNT] = { "421/4.3.2", "421/4.4.2", "421/4.3.2",
							       "421/4.3.2", "421/4.3.0", "421/4.7.1" };

	for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
		for (int why = 0; why < SMTP_CLOSE_COUNT; why++) {
			struct conversation c;
			size_t used;

			begin(&c, &relay, SIZE_MAX, false);
			play(&c, span_of(points[i]));
			buf_reset(&c.transcript);
			smtp_server_close(&c.s, (enum smtp_close)why);
			smtp_server_close(&c.s, SMTP_CLOSE_TROUBLE); /* says nothing more */
			assert_string_equal(buf_cstr(&c.transcript), replies[why]);
			assert_int_equal(smtp_server_feed(&c.s, SPAN_LIT("QUIT\r\n"), &used),
					 SMTP_WISH_CLOSE);
			assert_int_equal(used, 0);
			end(&c);
		}
	}
}

static void closing_takes_back_an_unanswered_wish(void **state)
{
	(void)state;
	struct conversation c;
	size_t used;

	begin(&c, &relay, SIZE_MAX, false);
	play(&c, SPAN_LIT(HELLO));
	assert_int_equal(smtp_server_feed(&c.s, SPAN_LIT(MAIL), &used), SMTP_WISH_MAIL);
	smtp_server_close(&c.s, SMTP_CLOSE_SHUTDOWN);
	assert_int_equal(smtp_server_feed(&c.s, SPAN_LIT(""), &used), SMTP_WISH_CLOSE);
	end(&c);
}

static void failed_authentications_count_as_errors(void **state)
{
	(void)state;
	struct smtp_server_config strict = submission;
	struct buf client = { 0 };

	strict.error_count_max = 2;
	buf_add_cstr(&client, HELLO "AUTH SCRAM-SHA-256 YmFk\r\nAUTH SCRAM-SHA-256 YmFk\r\nNOOP\r\n");
	expect("two failures", &strict, &client,
	       "250 AUTH(SCRAM-SHA-256 +YmFk) 535/5.7.8 AUTH(SCRAM-SHA-256 +YmFk) 535/5.7.8 421/4.7.0 CLOSE");
	buf_add_cstr(&client, HELLO "AUTH SCRAM-SHA-256\r\n*\r\nAUTH SCRAM-SHA-256\r\n*\r\nNOOP\r\n");
	expect("two cancellations", &strict, &client,
	       "250 AUTH(SCRAM-SHA-256 -) 334  501/5.7.0 CANCELLED AUTH(SCRAM-SHA-256 -) 334  501/5.7.0 "
	       "421/4.7.0 "
	       "CANCELLED CLOSE");
	buf_free(&client);
}

/* ---- limits and groups ---- */

static void commands_that_bring_no_mail_come_to_an_end(void **state)
{
	static const struct smtp_server_config limited = {
		.host = { "mx.example", 10 },
		.rcpt_count_max = 100,
		.received_count_max = 100,
		.error_count_max = 100,
		.idle_count_max = 4,
		.refused_rcpt_count_max = 2,
	};
	(void)state;
	static const struct row rows[] = {
		{ "NOOP", &limited, S(HELLO "NOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\n"), NONE,
		  "250 250/2.0.0 250/2.0.0 250/2.0.0 421/4.7.0 CLOSE", SMTP_STATE_CLOSED },
		{ "all kinds", &limited, S(HELLO "RSET\r\nVRFY fred\r\nHELP\r\nQUIT\r\n"), NONE,
		  "250 250/2.0.0 252/2.5.0 214/2.0.0 421/4.7.0 CLOSE", SMTP_STATE_CLOSED },
		{ "one fewer", &limited, S(HELLO "RSET\r\nVRFY fred\r\nQUIT\r\n"), NONE,
		  "250 250/2.0.0 252/2.5.0 221/2.0.0 CLOSE", SMTP_STATE_CLOSED },
		{ "transactions given up", &limited, S(HELLO MAIL "RSET\r\n" MAIL "RSET\r\n" MAIL "RSET\r\n"),
		  NONE,
		  "250 MAIL(a@b 0) 250/2.1.0 250/2.0.0 RESET MAIL(a@b 0) 250/2.1.0 250/2.0.0 RESET MAIL(a@b "
		  "0) "
		  "250/2.1.0 250/2.0.0 421/4.7.0 RESET CLOSE",
		  SMTP_STATE_CLOSED },
		{ "a message begins a new count", &limited,
		  S(HELLO "NOOP\r\nNOOP\r\n" MAIL RCPT "DATA\r\n.\r\nNOOP\r\nNOOP\r\nNOOP\r\nQUIT\r\n"), NONE,
		  "250 250/2.0.0 250/2.0.0 MAIL(a@b 0) 250/2.1.0 RCPT(x@y) 250/2.1.5 354 MESSAGE(a@b to 1: ) "
		  "250/2.0.0 250/2.0.0 250/2.0.0 221/2.0.0 CLOSE",
		  SMTP_STATE_CLOSED },
		{ "recipients refused for good", &limited,
		  S(HELLO MAIL "RCPT TO:<nobody@y>\r\n" RCPT "RCPT TO:<nobody@y>\r\n" RCPT), NONE,
		  "250 MAIL(a@b 0) 250/2.1.0 RCPT(nobody@y) 550/5.1.1 RCPT(x@y) 250/2.1.5 RCPT(nobody@y) "
		  "550/5.1.1 "
		  "421/4.7.0 CLOSE",
		  SMTP_STATE_CLOSED },
		{ "recipients refused for now", &limited,
		  S(HELLO MAIL "RCPT TO:<later@y>\r\nRCPT TO:<later@y>\r\nRCPT TO:<later@y>\r\n" RCPT), NONE,
		  "250 MAIL(a@b 0) 250/2.1.0 RCPT(later@y) 451/4.4.3 RCPT(later@y) 451/4.4.3 RCPT(later@y) "
		  "451/4.4.3 RCPT(x@y) 250/2.1.5",
		  SMTP_STATE_RCPT },
	};
	CHECK_ROWS(rows);
}

static void groups_end_where_rfc_2920_says(void **state)
{
	static const struct {
		const char *client, *transcript;
	} rows[] = {
		{ HELLO, "250 SYNC" },
		{ HELLO "NOOP\r\n", "250 SYNC 250/2.0.0 SYNC" },
		{ HELLO "VRFY fred\r\n", "250 SYNC 252/2.5.0 SYNC" },
		{ HELLO "HELP\r\n", "250 SYNC 214/2.0.0 SYNC" },
		{ HELLO "EXPN list\r\n", "250 SYNC 252/2.5.0 SYNC" },
		{ HELLO "NOOP\r\n", "250 SYNC 250/2.0.0 SYNC" },
		{ HELLO "RSET\r\n", "250 SYNC 250/2.0.0" },
		{ HELLO "NONSENSE\r\n", "250 SYNC 500/5.5.2" },
		{ TO_RCPT, "250 SYNC MAIL(a@b 0) 250/2.1.0 RCPT(x@y) 250/2.1.5" },
		{ TO_DATA, "250 SYNC MAIL(a@b 0) 250/2.1.0 RCPT(x@y) 250/2.1.5 354 SYNC" },
		{ TO_RCPT "BDAT 1 LAST\r\nx",
		  "250 SYNC MAIL(a@b 0) 250/2.1.0 RCPT(x@y) 250/2.1.5 MESSAGE(a@b to 1: x)" },
		/* Who did not say EHLO has not seen PIPELINING. */
		{ "NOOP\r\n", "250/2.0.0 SYNC" },
		{ "MAIL FROM:<a@b>\r\n", "503/5.5.1 SYNC" },
		{ "HELO c.example\r\nRSET\r\nNONSENSE\r\n", "250 SYNC 250/2.0.0 SYNC 500/5.5.2 SYNC" },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (size_t k = 0; k < STEPS; k++) {
			struct conversation c;
			begin(&c, &relay, steps[k], false);
			c.show_groups = true;
			play(&c, span_of(rows[i].client));
			assert_string_equal(buf_cstr(&c.transcript), rows[i].transcript);
			end(&c);
		}
	}
}

static void a_group_that_goes_on_can_be_refused(void **state)
{
	static const char *const points[] = { "", HELLO, TO_RCPT, TO_DATA };
	(void)state;

	for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
		struct conversation c;
		size_t used;

		begin(&c, &relay, SIZE_MAX, false);
		play(&c, span_of(points[i]));
		buf_reset(&c.transcript);
		smtp_server_refuse_group(&c.s);
		smtp_server_refuse_group(&c.s); /* says nothing more */
		assert_string_equal(buf_cstr(&c.transcript), "503/5.5.0 421/4.7.0");
		assert_int_equal(smtp_server_feed(&c.s, SPAN_LIT("QUIT\r\n"), &used), SMTP_WISH_CLOSE);
		assert_int_equal(used, 0);
		end(&c);
	}
}

static void a_refused_session_takes_nothing_but_quit(void **state)
{
	(void)state;
	struct conversation c;

	begin(&c, &relay, SIZE_MAX, false);
	c.full_replies = true;
	smtp_server_greet_refused(&c.s, SPAN_LIT("why"));
	assert_string_equal(buf_cstr(&c.transcript), "554 mx.example why");
	c.full_replies = false;
	buf_reset(&c.transcript);
	play(&c, SPAN_LIT(HELLO "NOOP\r\nMAIL FROM:<a@b>\r\nSTARTTLS\r\nBDAT 5\r\nQUIT\r\n"));
	assert_string_equal(buf_cstr(&c.transcript),
			    "503/5.5.1 503/5.5.1 503/5.5.1 503/5.5.1 503/5.5.1 221/2.0.0 CLOSE");
	end(&c);
}

static void the_final_reply_names_the_queue_id(void **state)
{
	(void)state;
	struct buf out = { 0 };

	smtp_server_add_final_reply(&out, SMTP_ANSWER_ACCEPT, SPAN_LIT("3f2a"));
	assert_string_equal(buf_cstr(&out), "250 2.0.0 queued as 3f2a\r\n");
	for (int answer = SMTP_ANSWER_ACCEPT + 1; answer < SMTP_ANSWER_COUNT; answer++) {
		buf_reset(&out);
		smtp_server_add_final_reply(&out, (enum smtp_answer)answer, SPAN_LIT("3f2a"));
		struct span line = buf_span(&out);
		/* "452 4.3.1 text": the class of both codes is the same (RFC 2034 4). */
		assert_true(line.n > 12 && line.n <= 512);
		assert_true(line.p[0] == '4' || line.p[0] == '5');
		assert_int_equal(line.p[0], line.p[4]);
		assert_int_equal(span_find(line, '\r'), line.n - 2);
	}
	buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(transactions_give_their_replies_and_wishes),
		cmocka_unit_test(commands_out_of_order_get_503_and_change_nothing),
		cmocka_unit_test(malformed_commands_get_their_5yz),
		cmocka_unit_test(parameters_are_taken_or_refused),
		cmocka_unit_test(content_with_faults_is_refused_after_its_real_end),
		cmocka_unit_test(bad_line_ends_in_commands_run_nothing),
		cmocka_unit_test(starttls_forgets_all_that_came_before),
		cmocka_unit_test(a_strict_submission_server_lets_out_what_is_a_message),
		cmocka_unit_test(auth_follows_rfc_4954),
		cmocka_unit_test(command_lines_have_the_length_of_their_verb),
		cmocka_unit_test(auth_lines_have_a_length_of_their_own),
		cmocka_unit_test(content_of_the_maximum_passes_and_one_more_does_not),
		cmocka_unit_test(chunks_of_the_maximum_pass_and_one_more_does_not),
		cmocka_unit_test(dsn_parameters_have_their_lengths),
		cmocka_unit_test(dsn_facts_are_there_at_their_wishes),
		cmocka_unit_test(paths_over_their_limits_are_refused),
		cmocka_unit_test(ehlo_lists_what_is_offered_now),
		cmocka_unit_test(chunks_are_content_or_discarded),
		cmocka_unit_test(lmtp_answers_for_each_recipient),
		cmocka_unit_test(the_protocol_name_follows_rfc_3848),
		cmocka_unit_test(session_facts_are_there_at_message),
		cmocka_unit_test(the_server_can_end_a_session_at_any_time),
		cmocka_unit_test(closing_takes_back_an_unanswered_wish),
		cmocka_unit_test(failed_authentications_count_as_errors),
		cmocka_unit_test(commands_that_bring_no_mail_come_to_an_end),
		cmocka_unit_test(groups_end_where_rfc_2920_says),
		cmocka_unit_test(a_group_that_goes_on_can_be_refused),
		cmocka_unit_test(a_refused_session_takes_nothing_but_quit),
		cmocka_unit_test(the_final_reply_names_the_queue_id),
	};
	return cmocka_run_group_tests_name("smtp_server", tests, NULL, NULL);
}
