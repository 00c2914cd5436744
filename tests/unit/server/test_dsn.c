/* dsn: one whole mail to the byte, then what no input may break. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "reference-server/core/dsn.h"

#define AT INT64_C(1057056757000) /* Tue, 1 Jul 2003 10:52:37 +0000 */

static const struct dsn_rcpt two[] = {
	{ .action = DSN_FAILED,
	  .final_rcpt = { "a@y.example", 11 },
	  .status = { 5, 1, 1 },
	  .smtp_code = 550,
	  .text = { "5.1.1 who \\xE9?", 15 },
	  .remote_mta = { "mx.y.example [192.0.2.1]", 24 },
	  .last_attempt_ms = AT },
	{ .action = DSN_FAILED,
	  .final_rcpt = { "b@z.example", 11 },
	  .orcpt = { "rfc822;a+2Bb@x.example", 22 },
	  .status = { 4, 4, 7 },
	  .text = { "connection refused", 18 },
	  .expired = true },
};

static struct dsn plain_dsn(void)
{
	return (struct dsn){
		.host = SPAN_LIT("relay.example"),
		.to = SPAN_LIT("s@x.example"),
		.message_id = SPAN_LIT("<id@relay.example>"),
		.boundary = SPAN_LIT("=_b1"),
		.queue_id = SPAN_LIT("Q17"),
		.now_ms = AT + 1000,
		.arrival_ms = AT - 1000,
		.rcpts = two,
		.rcpt_count = 2,
		.header = SPAN_LIT("Subject: hi\r\nTo: a\r\n"),
	};
}

static void the_whole_mail_is_as_the_rfcs_have_it(void **state)
{
	struct dsn d = plain_dsn();
	struct buf out = { 0 };
	(void)state;

	dsn_add(&out, &d);
	assert_string_equal(buf_cstr(&out),
			    "From: Mail Delivery System <MAILER-DAEMON@relay.example>\r\n"
			    "To: <s@x.example>\r\n"
			    "Subject: Undelivered mail\r\n"
			    "Date: Tue, 1 Jul 2003 10:52:38 +0000\r\n"
			    "Message-ID: <id@relay.example>\r\n"
			    "Auto-Submitted: auto-replied\r\n"
			    "MIME-Version: 1.0\r\n"
			    "Content-Type: multipart/report; report-type=delivery-status;\r\n"
			    "\tboundary=\"=_b1\"\r\n"
			    "\r\n"
			    "--=_b1\r\n"
			    "Content-Type: text/plain; charset=us-ascii\r\n"
			    "\r\n"
			    "This is the mail system at relay.example.\r\n"
			    "\r\n"
			    "Your message could not be delivered to the recipients below.  It will\r\n"
			    "not be tried again.\r\n"
			    "\r\n"
			    "<a@y.example>: could not be delivered.\r\n"
			    "    Host: mx.y.example [192.0.2.1]\r\n"
			    "    Reason: 550 5.1.1 who \\xE9?\r\n"
			    "\r\n"
			    "<b@z.example>: gave up after trying for too long.\r\n"
			    "    Reason: connection refused\r\n"
			    "\r\n"
			    "The message was known here as Q17.\r\n"
			    "\r\n"
			    "--=_b1\r\n"
			    "Content-Type: message/delivery-status\r\n"
			    "\r\n"
			    "Reporting-MTA: dns; relay.example\r\n"
			    "X-Postrider-Queue-ID: Q17\r\n"
			    "Arrival-Date: Tue, 1 Jul 2003 10:52:36 +0000\r\n"
			    "\r\n"
			    "Final-Recipient: rfc822; a@y.example\r\n"
			    "Action: failed\r\n"
			    "Status: 5.1.1\r\n"
			    "Remote-MTA: dns; mx.y.example\r\n"
			    "Diagnostic-Code: smtp; 550 5.1.1 who \\xE9?\r\n"
			    "Last-Attempt-Date: Tue, 1 Jul 2003 10:52:37 +0000\r\n"
			    "\r\n"
			    "Original-Recipient: rfc822;a+b@x.example\r\n"
			    "Final-Recipient: rfc822; b@z.example\r\n"
			    "Action: failed\r\n"
			    "Status: 4.4.7\r\n"
			    "\r\n"
			    "--=_b1\r\n"
			    "Content-Type: text/rfc822-headers\r\n"
			    "\r\n"
			    "Subject: hi\r\n"
			    "To: a\r\n"
			    "\r\n"
			    "--=_b1--\r\n");
	buf_free(&out);
}

static void what_is_not_known_is_left_out(void **state)
{
	const struct dsn_rcpt r = { .action = DSN_FAILED,
				    .final_rcpt = SPAN_LIT("a@y.example"),
				    .status = { 5, 0, 0 } };
	struct dsn d = plain_dsn();
	struct buf out = { 0 };
	(void)state;

	d.rcpts = &r;
	d.rcpt_count = 1;
	d.queue_id = (struct span){ NULL, 0 };
	d.arrival_ms = 0;
	dsn_add(&out, &d);
	assert_non_null(strstr(buf_cstr(&out), "    Reason: none was given\r\n"));
	assert_non_null(strstr(buf_cstr(&out),
			       "Reporting-MTA: dns; relay.example\r\n\r\nFinal-Recipient: rfc822; "
			       "a@y.example\r\nAction: failed\r\nStatus: 5.0.0\r\n\r\n--"));
	buf_free(&out);
}

/* 7-bit, CRLF only, lines of at most 998 bytes. */
static void check_wire(struct span s)
{
	size_t line_bytes = 0;

	assert_true(s.n >= 2 && memcmp(s.p + s.n - 2, "\r\n", 2) == 0);
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c == '\r' && i + 1 < s.n && s.p[i + 1] == '\n') {
			i++;
			line_bytes = 0;
			continue;
		}
		if (c != '\t' && (c < ' ' || c >= 0x7F))
			fail_msg("byte 0x%02x at %zu", c, i);
		if (++line_bytes > 998)
			fail_msg("line too long at %zu", i);
	}
}

static void hostile_text_cannot_break_out(void **state)
{
	char *big = malloc(5000);
	struct dsn_rcpt r = two[0];
	struct dsn d = plain_dsn();
	struct buf out = { 0 };
	(void)state;

	assert_non_null(big);
	for (size_t i = 0; i < 5000; i++)
		big[i] = (char)i;
	r.final_rcpt = r.orcpt = r.text = r.remote_mta = (struct span){ big, 5000 };
	d.host = d.to = d.message_id = d.queue_id = (struct span){ big, 5000 };
	d.header = (struct span){ big, 5000 };
	d.rcpts = &r;
	d.rcpt_count = 1;
	dsn_add(&out, &d);
	check_wire(buf_span(&out));
	buf_free(&out);

	d = plain_dsn();
	r = two[0];
	r.text = SPAN_LIT("x\r\nAction: delivered\r\n\r\n--=_b1--");
	d.rcpts = &r;
	d.rcpt_count = 1;
	dsn_add(&out, &d);
	check_wire(buf_span(&out));
	assert_null(strstr(buf_cstr(&out), "\r\nAction: delivered"));
	buf_free(&out);
	free(big);
}

/* What is between the header of the third part and the closing boundary. */
static void check_original(struct span header, size_t bytes_max, const char *want)
{
	struct dsn d = plain_dsn();
	struct buf out = { 0 };
	static const char front[] = "Content-Type: text/rfc822-headers\r\n\r\n";
	const char *at;

	d.header = header;
	d.header_bytes_max = bytes_max;
	dsn_add(&out, &d);
	check_wire(buf_span(&out));
	at = strstr(buf_cstr(&out), front);
	assert_non_null(at);
	at += sizeof(front) - 1;
	if (strncmp(at, want, strlen(want)) != 0 || strcmp(at + strlen(want), "\r\n--=_b1--\r\n") != 0)
		fail_msg("wanted '%s', got '%s'", want, at);
	buf_free(&out);
}

static void of_the_original_header_whole_lines_are_taken(void **state)
{
	(void)state;
	check_original((struct span){ NULL, 0 }, 0, "");
	check_original(SPAN_LIT("A: b\r\nC: d\r\n"), 0, "A: b\r\nC: d\r\n");
	check_original(SPAN_LIT("A: b\nC: d\n"), 0, "A: b\r\nC: d\r\n");
	check_original(SPAN_LIT("A: b\r\nC: cut"), 0, "A: b\r\n");
	check_original(SPAN_LIT("A: b\r\nC: d\r\n"), 11, "A: b\r\n");
	check_original(SPAN_LIT("A: b\r\nC: d\r\n"), 5, "");
	check_original(SPAN_LIT("A: b\r\n\r\nsecret body\r\n"), 0, "A: b\r\n");
	check_original(SPAN_LIT("A: \xc3\xa9\x01\tx\r\n"), 0, "A: ???\tx\r\n");
	check_original(SPAN_LIT("A: b\rc\r\n"), 0, "A: b?c\r\n");
}

static void long_original_lines_are_folded(void **state)
{
	char line[2002];
	struct buf want = { 0 };
	(void)state;

	memset(line, 'x', sizeof(line));
	memcpy(line + 2000, "\r\n", 2);
	buf_add(&want, (struct span){ line, 998 });
	buf_add_cstr(&want, "\r\n ");
	buf_add(&want, (struct span){ line, 997 });
	buf_add_cstr(&want, "\r\n xxxxx\r\n");
	check_original((struct span){ line, sizeof(line) }, 0, buf_cstr(&want));
	buf_reset(&want);
	buf_add(&want, (struct span){ line, 998 });
	buf_add_cstr(&want, "\r\n");
	memcpy(line + 998, "\r\n", 2);
	check_original((struct span){ line, 1000 }, 0, buf_cstr(&want));
	buf_free(&want);
}

static struct dsn dsn_about(const struct dsn_rcpt *r)
{
	struct dsn d = plain_dsn();

	d.rcpts = r;
	d.rcpt_count = 1;
	return d;
}

static void each_action_has_its_words_and_its_subject(void **state)
{
	static const struct {
		enum dsn_action action;
		const char *subject, *field, *words;
	} rows[] = {
		{ DSN_FAILED, "Subject: Undelivered mail\r\n", "Action: failed\r\n",
		  "could not be delivered." },
		{ DSN_DELAYED, "Subject: Delayed mail\r\n", "Action: delayed\r\n", "need not send it again" },
		{ DSN_DELIVERED, "Subject: Mail delivery report\r\n", "Action: delivered\r\n",
		  "was delivered." },
		{ DSN_RELAYED, "Subject: Mail delivery report\r\n", "Action: relayed\r\n",
		  "does not report" },
		{ DSN_EXPANDED, "Subject: Mail delivery report\r\n", "Action: expanded\r\n", "stands for" },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct dsn_rcpt r = { .action = rows[i].action,
				      .status = { 2, 0, 0 },
				      .final_rcpt = SPAN_LIT("a@y.example") };
		struct dsn d = dsn_about(&r);
		struct buf out = { 0 };
		dsn_add(&out, &d);
		check_wire(buf_span(&out));
		if (strstr(buf_cstr(&out), rows[i].subject) == NULL ||
		    strstr(buf_cstr(&out), rows[i].field) == NULL ||
		    strstr(buf_cstr(&out), rows[i].words) == NULL)
			fail_msg("%s: %s", dsn_action_name(rows[i].action), buf_cstr(&out));
		buf_free(&out);
	}
}

static void a_delay_says_until_when_it_is_tried(void **state)
{
	struct dsn_rcpt r = { .action = DSN_DELAYED,
			      .status = { 4, 0, 0 },
			      .final_rcpt = SPAN_LIT("a@y.example"),
			      .will_retry_until_ms = AT };
	struct dsn d = dsn_about(&r);
	struct buf out = { 0 };
	(void)state;

	dsn_add(&out, &d);
	assert_non_null(strstr(buf_cstr(&out), "\r\nWill-Retry-Until: Tue, 1 Jul 2003 10:52:37 +0000\r\n"));
	buf_free(&out);
}

static void an_envelope_id_is_decoded(void **state)
{
	struct dsn d = plain_dsn();
	struct buf out = { 0 };
	(void)state;

	d.envid = SPAN_LIT("QQ+3D314+2b+");
	dsn_add(&out, &d);
	assert_non_null(strstr(buf_cstr(&out), "\r\nOriginal-Envelope-Id: QQ=314+2b+\r\nReporting-MTA"));
	buf_free(&out);
}

static void a_whole_original_comes_back_byte_for_byte(void **state)
{
	static const char eightbit[] = "A: b\r\n\r\nb\xf6"
				       "dy\r\n";
	static const char *const wholes[] = { "A: b\r\n\r\nbody\r\n", eightbit, "no header" };
	(void)state;

	for (size_t i = 0; i < 3; i++) {
		struct dsn d = plain_dsn();
		struct buf out = { 0 }, want = { 0 };
		bool is_8bit = i == 1;
		d.whole = span_of(wholes[i]);
		dsn_add(&out, &d);
		buf_addf(&want, "Content-Type: message/rfc822\r\n%s\r\n%s\r\n--=_b1--\r\n",
			 is_8bit ? "Content-Transfer-Encoding: 8bit\r\n" : "", wholes[i]);
		assert_non_null(strstr(buf_cstr(&out), buf_cstr(&want)));
		/* A composite says 8bit when something in it is (RFC 2045 6.4). */
		assert_true(is_8bit ==
			    (strstr(buf_cstr(&out), "boundary=\"=_b1\"\r\nContent-Transfer-Encoding: "
						    "8bit\r\n\r\n") != NULL));
		buf_free(&out);
		buf_free(&want);
	}
}

static void mail_in_utf8_is_reported_in_utf8_and_still_passes_everywhere(void **state)
{
	struct dsn_rcpt r = two[0];
	struct dsn d = dsn_about(&r);
	struct buf out = { 0 };
	(void)state;

	d.utf8 = true;
	r.final_rcpt = SPAN_LIT("j\xc3\xb6rg@y.example");
	r.orcpt = SPAN_LIT("utf-8;j\\x{F6}rg@y.example");
	d.header = SPAN_LIT("Subject: \xc3\xa9\xff\r\n");
	dsn_add(&out, &d);
	check_wire(buf_span(&out));
	assert_non_null(strstr(buf_cstr(&out), "Content-Type: message/global-delivery-status\r\n"
					       "Content-Transfer-Encoding: quoted-printable\r\n\r\n"));
	assert_non_null(strstr(buf_cstr(&out), "\r\nOriginal-Recipient: utf-8;j=C3=B6rg@y.example\r\n"
					       "Final-Recipient: utf-8; j=C3=B6rg@y.example\r\n"));
	assert_non_null(strstr(buf_cstr(&out), "Content-Type: message/global-headers\r\n"));
	assert_non_null(strstr(buf_cstr(&out), "\r\nSubject: =C3=A9?\r\n"));
	buf_free(&out);

	/* The same of a message that is not SMTPUTF8: nothing but ASCII. */
	d.utf8 = false;
	dsn_add(&out, &d);
	check_wire(buf_span(&out));
	assert_null(strstr(buf_cstr(&out), "global"));
	buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_whole_mail_is_as_the_rfcs_have_it),
		cmocka_unit_test(what_is_not_known_is_left_out),
		cmocka_unit_test(hostile_text_cannot_break_out),
		cmocka_unit_test(of_the_original_header_whole_lines_are_taken),
		cmocka_unit_test(long_original_lines_are_folded),
		cmocka_unit_test(each_action_has_its_words_and_its_subject),
		cmocka_unit_test(a_delay_says_until_when_it_is_tried),
		cmocka_unit_test(an_envelope_id_is_decoded),
		cmocka_unit_test(a_whole_original_comes_back_byte_for_byte),
		cmocka_unit_test(mail_in_utf8_is_reported_in_utf8_and_still_passes_everywhere),
	};
	return cmocka_run_group_tests_name("dsn", tests, NULL, NULL);
}
