/*
 * smtp_server: what a client sees in full, what the driver is told, and how a session ends.
 */
#include "tests/unit/server/smtp_conversation.h"

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
		cmocka_unit_test(dsn_facts_are_there_at_their_wishes),
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
	return cmocka_run_group_tests_name("smtp_session", tests, NULL, NULL);
}
