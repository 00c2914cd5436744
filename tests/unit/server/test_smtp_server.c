/*
 * smtp_server: conversations, a row each, and what they come to.
 */
#include "tests/unit/server/smtp_conversation.h"

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
	};
	return cmocka_run_group_tests_name("smtp_server", tests, NULL, NULL);
}
