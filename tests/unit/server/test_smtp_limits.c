/*
 * smtp_server: its limits, at their borders.
 */
#include "tests/unit/server/smtp_conversation.h"

static void add_fill(struct buf *b, char c, size_t n)
{
	memset(buf_reserve(b, n), c, n);
	buf_grow(b, n);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(command_lines_have_the_length_of_their_verb),
		cmocka_unit_test(auth_lines_have_a_length_of_their_own),
		cmocka_unit_test(content_of_the_maximum_passes_and_one_more_does_not),
		cmocka_unit_test(chunks_of_the_maximum_pass_and_one_more_does_not),
		cmocka_unit_test(dsn_parameters_have_their_lengths),
		cmocka_unit_test(paths_over_their_limits_are_refused),
	};
	return cmocka_run_group_tests_name("smtp_limits", tests, NULL, NULL);
}
