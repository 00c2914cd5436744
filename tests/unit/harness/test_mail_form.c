/*
 * mail_form, mail_address, date_time, received: what may be generated, in rows;
 * each row of notes is a mistake that a conformance case must see.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/wire/date_time.h"
#include "harness/wire/mail_address.h"
#include "harness/wire/mail_form.h"
#include "harness/wire/received.h"
#include "tests/unit/harness/exact.h"

static uint32_t exactly(uint32_t (*read)(struct span), const char *text)
{
	struct exact copy = exact_of(span_of(text));
	uint32_t notes = read(exact_span(copy));

	exact_free(copy);
	return notes;
}

static void check(const char *text, uint32_t got, uint32_t want)
{
	if (got != want)
		print_error("%s: %#x instead of %#x\n", text, (unsigned)got, (unsigned)want);
	assert_int_equal(got, want);
}

struct row {
	const char *text;
	uint32_t notes;
};

static void dates_are_those_of_section_3_3(void **state)
{
	static const struct row rows[] = {
		{ "Fri, 21 Nov 1997 09:55:06 -0600", 0 },
		{ "21 Nov 1997 09:55 -0600", 0 },
		{ "Sun, 1 Mar 2026 12:00:00 +0000 (UTC)", 0 },
		{ "Thu, 29 Feb 2024 23:59:60 +0100", 0 },
		{ "Sat, 01 Jan 2000 00:00:00 +0000", 0 },
		{ "Fri, 21 Nov 97 09:55:06 -0600", DATE_SHORT_YEAR },
		{ "Fri, 21 Nov 1997 09:55:06 GMT", DATE_ZONE_NAME },
		{ "Fri, 21 Nov 1997 09:55:06 -0000", DATE_UNKNOWN_ZONE },
		{ "Thu, 21 Nov 1997 09:55:06 -0600", DATE_WRONG_DAY },
		{ "Thu, 29 Feb 2026 12:00:00 +0000", DATE_IMPOSSIBLE },
		{ "Fri, 21 Nov 1997 24:00:00 +0000", DATE_IMPOSSIBLE },
		{ "Fri, 21 Nov 1997 09:55:06 +0099", DATE_IMPOSSIBLE },
		{ "Fri, 21 Nov 1899 09:55:06 +0000", DATE_IMPOSSIBLE },
		{ "Fri,  21 Nov 1997 09:55:06 -0600", DATE_EXTRA_BLANKS },
		{ "", DATE_UNREADABLE },
		{ "yesterday", DATE_UNREADABLE },
		{ "Fri 21 Nov 1997 09:55:06 -0600", DATE_UNREADABLE },
		{ "Fri, 21 Nov 1997 9:55:06 -0600", DATE_UNREADABLE },
		{ "Fri, 21 Nov 1997 09:55:06", DATE_UNREADABLE },
		{ "Fri, 21 Nov 1997 09:55:06 -0600 later", DATE_UNREADABLE },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check(rows[i].text, exactly(date_notes, rows[i].text), rows[i].notes);
}

#define DATE "; Sun, 1 Mar 2026 12:00:00 +0000"

static void received_fields_are_those_of_section_4_4(void **state)
{
	static const struct row rows[] = {
		{ "from a.example (b.example [192.0.2.1]) by mx.c.example with ESMTP id 7 for <d@e>" DATE,
		  0 },
		{ "from a.example ([192.0.2.1]) by [192.0.2.2] via TCP with SMTP" DATE, 0 },
		{ "from [192.0.2.1] (helo=a.example) by mx.c.example (Server 1) with esmtp id 7 for d@e" DATE,
		  0 },
		{ "FROM a.example ([IPv6:2001:db8::1]) BY mx.c.example ID <7@c> FOR <\"d, e\"@f>" DATE, 0 },
		{ "from a.example ([192.0.2.1]) by c.example with ESMTPS id 7 for <d@e> tls AES" DATE, 0 },
		{ "by mx.c.example with SMTP" DATE, RECEIVED_NO_FROM | RECEIVED_NO_ADDRESS },
		{ "from a.example ([192.0.2.1]) with SMTP" DATE, RECEIVED_NO_BY },
		{ "from a.example by mx.c.example" DATE, RECEIVED_NO_ADDRESS },
		{ "from a.example (unknown) by mx.c.example" DATE, RECEIVED_NO_ADDRESS },
		{ "from a_b.example ([192.0.2.1]) by mx.c.example" DATE, RECEIVED_ODD_NAME },
		{ "from a.example ([192.0.2.1]) by mx..example" DATE, RECEIVED_ODD_NAME },
		{ "from a.example ([192.0.2.1]) by c.example id 7 with SMTP" DATE, RECEIVED_ODD_ORDER },
		{ "from a.example ([192.0.2.1]) by c.example id 7 id 8" DATE, RECEIVED_ODD_ORDER },
		{ "from a.example ([192.0.2.1]) by c.example via pigeon" DATE, RECEIVED_ODD_VIA },
		{ "from a.example ([192.0.2.1]) by c.example with HTTP" DATE, RECEIVED_ODD_WITH },
		{ "from a.example ([192.0.2.1]) by c.example luck good" DATE, RECEIVED_ODD_CLAUSE },
		{ "from a.example ([192.0.2.1]) by c.example for <d@e>,<f@g>" DATE, RECEIVED_MANY_FOR },
		{ "from a.example ([192.0.2.1]) by c.example for <d@e> <f@g>" DATE, RECEIVED_MANY_FOR },
		{ "from a.example ([192.0.2.1]) by c.example with" DATE, RECEIVED_UNREADABLE },
		{ "from a.example ([192.0.2.1]) by c.example", RECEIVED_NO_DATE },
		{ "", RECEIVED_NO_FROM | RECEIVED_NO_ADDRESS | RECEIVED_NO_BY | RECEIVED_NO_DATE },
		{ "from (a.example [192.0.2.1",
		  RECEIVED_NO_FROM | RECEIVED_NO_BY | RECEIVED_NO_ADDRESS | RECEIVED_NO_DATE },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct exact copy = exact_of(span_of(rows[i].text));
		struct received got = received_read(exact_span(copy));
		check(rows[i].text, got.notes, rows[i].notes);
		assert_int_equal(got.date, 0);
		exact_free(copy);
	}
	struct received named =
		received_read(SPAN_LIT("from a ([192.0.2.1]) by b; Sun, 1 Mar 26 12:00:00 GMT"));
	assert_int_equal(named.date, DATE_SHORT_YEAR | DATE_ZONE_NAME);
}

static void address_lists_are_those_of_section_3_4(void **state)
{
	static const struct row rows[] = {
		{ "a@b.example", 0 },
		{ "Mail Delivery System <MAILER-DAEMON@mx.b.example>", 0 },
		{ "\"Joe Q. Public\" <john.q.public@example.com>", 0 },
		{ "<a@[192.0.2.1]>", 0 },
		{ "\"a b\"@c", 0 },
		{ "\"a..b\"@c", 0 },
		{ "a@b, c <d@e>", MAIL_ADDRESS_MANY },
		{ "A Group:a@b, <c@d>;", MAIL_ADDRESS_GROUP | MAIL_ADDRESS_MANY },
		{ "Undisclosed recipients:;", MAIL_ADDRESS_GROUP },
		{ "a@b (Joe)", MAIL_ADDRESS_COMMENT },
		{ "a @b", MAIL_ADDRESS_SPACED },
		{ "a@ b", MAIL_ADDRESS_SPACED },
		{ "x < a@b >", MAIL_ADDRESS_SPACED },
		{ "\"a.b\"@c", MAIL_ADDRESS_QUOTED },
		{ "", MAIL_ADDRESS_BAD },
		{ "a@b,", MAIL_ADDRESS_BAD | MAIL_ADDRESS_MANY },
		{ "Joe Q. Public <a@b>", MAIL_ADDRESS_BAD | MAIL_ADDRESS_SPACED },
		{ "<@a,@b:c@d>", MAIL_ADDRESS_BAD },
		{ "a b@c", MAIL_ADDRESS_BAD | MAIL_ADDRESS_SPACED },
		{ "a..b@c", MAIL_ADDRESS_BAD },
		{ "a@b.", MAIL_ADDRESS_BAD },
		{ "a@b (", MAIL_ADDRESS_BAD | MAIL_ADDRESS_COMMENT },
		{ "g:a@b", MAIL_ADDRESS_BAD | MAIL_ADDRESS_GROUP },
		{ "g:h:a@b;;", MAIL_ADDRESS_BAD | MAIL_ADDRESS_GROUP },
		{ "\"a", MAIL_ADDRESS_BAD },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check(rows[i].text, exactly(mail_address_notes, rows[i].text), rows[i].notes);
	assert_true(mail_address_is_message_id(SPAN_LIT("<1.2@b.example>")));
	assert_true(mail_address_is_message_id(SPAN_LIT(" <1@[x]> ")));
	assert_false(mail_address_is_message_id(SPAN_LIT("<1>")));
	assert_false(mail_address_is_message_id(SPAN_LIT("1@b")));
	assert_false(mail_address_is_message_id(SPAN_LIT("<1@b> x")));
}

#define FINE "From: <a@b>\r\nDate: Sun, 1 Mar 2026 12:00:00 +0000\r\nMessage-ID: <1@b>\r\n"
#define LINE_70 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

static uint32_t form_notes(struct span message)
{
	return mail_form_read(message).notes;
}

static void messages_are_those_of_section_2_and_3(void **state)
{
	static const struct row rows[] = {
		{ FINE "\r\nbody\r\n", 0 },
		{ FINE "To: a@b,\r\n c@d\r\n\r\n", 0 },
		{ FINE "\r\n" LINE_70 "12345678\r\n", 0 },
		{ FINE "\r\n" LINE_70 "123456789\r\n", MAIL_FORM_LINE_78 },
		{ FINE "\r\nbo\ndy\r\n", MAIL_FORM_BARE_EOL },
		{ FINE "\r\nbo\rdy\r\n", MAIL_FORM_BARE_EOL },
		{ FINE "\r\nbody", MAIL_FORM_BARE_EOL },
		{ FINE, MAIL_FORM_NO_BODY },
		{ FINE "Subject : x\r\n\r\n", MAIL_FORM_ODD_FIELD },
		{ FINE "no field\r\n\r\n", MAIL_FORM_ODD_FIELD },
		{ " x\r\n" FINE "\r\n", MAIL_FORM_ODD_FIELD },
		{ FINE "To: a@b,\r\n \r\n c@d\r\n\r\n", MAIL_FORM_BLANK_FOLD },
		{ FINE "Subject: \xc3\xa4\r\n\r\n", MAIL_FORM_ODD_CHARACTER },
		{ FINE "\r\n\xc3\xa4\r\n", 0 },
		{ FINE "Subject: a\r\nsubject: b\r\n\r\n", MAIL_FORM_REPEATED },
		{ "From: a@b\r\nMessage-ID: <1@b>\r\n\r\n", MAIL_FORM_MISSING },
		{ "From: a@b\r\nDate: x\r\n\r\n", MAIL_FORM_NO_ID },
		{ "From: a@b\r\nDate: x\r\nMessage-ID: 1\r\n\r\n", MAIL_FORM_ODD_ID },
		{ "From: a@b, c@d\r\nDate: x\r\nMessage-ID: <1@b>\r\n\r\n", MAIL_FORM_NO_SENDER },
		{ "From: a@b, c@d\r\nSender: a@b\r\nDate: x\r\nMessage-ID: <1@b>\r\n\r\n", 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check(rows[i].text, exactly(form_notes, rows[i].text), rows[i].notes);
	struct buf longest = { 0 };
	buf_add_cstr(&longest, FINE "\r\n");
	for (int i = 0; i < 998; i++)
		buf_add_u8(&longest, 'x');
	assert_int_equal(exactly(form_notes, buf_cstr(&longest)), MAIL_FORM_LINE_78 | MAIL_FORM_BARE_EOL);
	buf_add_u8(&longest, 'x');
	assert_int_equal(exactly(form_notes, buf_cstr(&longest)),
			 MAIL_FORM_LINE_78 | MAIL_FORM_LINE_998 | MAIL_FORM_BARE_EOL);
	buf_free(&longest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dates_are_those_of_section_3_3),
		cmocka_unit_test(received_fields_are_those_of_section_4_4),
		cmocka_unit_test(address_lists_are_those_of_section_3_4),
		cmocka_unit_test(messages_are_those_of_section_2_and_3),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
