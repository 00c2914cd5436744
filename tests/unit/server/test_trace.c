/* trace: the fields as text, their folding, dates, and names that try to inject. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <time.h>

#include "reference-server/core/trace.h"

#define TIME_MS 1057056757999 /* Tue, 1 Jul 2003 10:52:37.999 UTC */
#define A60 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct row {
	const char *name;
	const char *helo, *client_name, *client_ip, *by_host, *protocol, *id, *rcpt;
	const char *text;
} rows[] = {
	{ "everything", "client.example", "name.example", "192.0.2.1", "isp2.example", "ESMTPSA", "3f2a",
	  "sales@fredsco.example",
	  "Received: from client.example (name.example [192.0.2.1])\r\n"
	  "\tby isp2.example with ESMTPSA id 3f2a for <sales@fredsco.example>;\r\n"
	  "\tTue, 1 Jul 2003 10:52:37 +0000\r\n" },
	{ "no name, IPv6, many recipients", "[IPv6:2001:db8::1]", "", "2001:db8::1", "b", "SMTP", "x", "",
	  "Received: from [IPv6:2001:db8::1] ([IPv6:2001:db8::1])\r\n"
	  "\tby b with SMTP id x;\r\n"
	  "\tTue, 1 Jul 2003 10:52:37 +0000\r\n" },
	{ "no connection facts", "h", "", "", "b", "", "", "",
	  "Received: from h\r\n\tby b;\r\n\tTue, 1 Jul 2003 10:52:37 +0000\r\n" },
	{ "long names fold", A60 ".example", A60 ".example", "192.0.2.1", A60 ".b", "ESMTP",
	  "0123456789abcdef", "s@" A60 ".c", NULL },
	{ "injection by HELO", "a\r\nX-Evil: 1", "b)\r\n(c", "1\n2", "h", "ESMTP", "i d", "a@b>;\r\n x",
	  "Received: from a??X-Evil:?1 (b????c [1?2])\r\n"
	  "\tby h with ESMTP id i?d for <a@b>;?? x>;\r\n"
	  "\tTue, 1 Jul 2003 10:52:37 +0000\r\n" },
	{ "comments and 8-bit", "a(b)\\c\xff", "", "::1", "h", "ESMTP", "1", "",
	  "Received: from a?b??c? ([IPv6:::1])\r\n"
	  "\tby h with ESMTP id 1;\r\n"
	  "\tTue, 1 Jul 2003 10:52:37 +0000\r\n" },
};

static struct trace_received facts_of(const struct row *row)
{
	return (struct trace_received){
		.helo = span_of(row->helo),
		.client_name = span_of(row->client_name),
		.client_ip = span_of(row->client_ip),
		.by_host = span_of(row->by_host),
		.protocol = span_of(row->protocol),
		.id = span_of(row->id),
		.rcpt = span_of(row->rcpt),
		.time_ms = TIME_MS,
	};
}

/* Lines end in CRLF only, continuation lines begin with a tab, nothing is 8-bit; gives the longest. */
static size_t check_field_form(struct span field)
{
	size_t longest = 0;
	struct span line;

	assert_true(span_ends_nocase(field, SPAN_LIT("\r\n")));
	for (size_t count = 0; span_take_until(&field, '\n', &line); count++) {
		assert_true(line.n > 1 && line.p[line.n - 1] == '\r');
		line.n--;
		assert_true(count == 0 || line.p[0] == '\t');
		for (size_t i = count > 0; i < line.n; i++)
			assert_true(line.p[i] >= ' ' && line.p[i] <= '~');
		longest = line.n > longest ? line.n : longest;
	}
	assert_int_equal(field.n, 0);
	return longest;
}

static void received_has_the_clauses_of_its_facts(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct trace_received facts = facts_of(&rows[i]);
		struct buf out = { 0 };

		trace_add_received(&out, &facts);
		size_t longest = check_field_form(buf_span(&out));
		if (strcmp(rows[i].name, "long names fold") == 0)
			assert_true(longest <= 78);
		else if (strcmp(buf_cstr(&out), rows[i].text) != 0)
			fail_msg("%s: '%s'", rows[i].name, buf_cstr(&out));
		buf_free(&out);
	}
}

static void received_tells_the_cipher_suite_behind_all_else(void **state)
{
	(void)state;
	struct trace_received facts = facts_of(&rows[0]);
	struct buf out = { 0 };

	facts.tls_suite = SPAN_LIT("TLS_AES_256_GCM_SHA384");
	trace_add_received(&out, &facts);
	assert_true(check_field_form(buf_span(&out)) <= 78);
	assert_string_equal(buf_cstr(&out),
			    "Received: from client.example (name.example [192.0.2.1])\r\n"
			    "\tby isp2.example with ESMTPSA id 3f2a for <sales@fredsco.example>\r\n"
			    "\ttls TLS_AES_256_GCM_SHA384;\r\n"
			    "\tTue, 1 Jul 2003 10:52:37 +0000\r\n");
	buf_free(&out);
}

static void received_keeps_its_words_in_order_when_folded(void **state)
{
	(void)state;
	for (size_t helo_bytes = 1; helo_bytes < 250; helo_bytes++) {
		char helo[250];
		struct buf out = { 0 };
		struct trace_received facts = facts_of(&rows[0]);

		memset(helo, 'h', sizeof(helo));
		facts.helo = (struct span){ helo, helo_bytes };
		facts.rcpt = (struct span){ helo, helo_bytes };
		trace_add_received(&out, &facts);
		size_t longest = check_field_form(buf_span(&out));
		if (helo_bytes <= 70)
			assert_true(longest <= 78);
		assert_true(longest <= 998);
		const char *from = strstr(buf_cstr(&out), "from");
		const char *by = strstr(from, "\tby isp2.example with ESMTPSA id 3f2a");
		assert_non_null(by);
		assert_non_null(strstr(by, "for"));
		buf_free(&out);
	}
}

static void return_path_has_brackets(void **state)
{
	(void)state;
	struct buf out = { 0 };

	trace_add_return_path(&out, (struct span){ NULL, 0 });
	assert_string_equal(buf_cstr(&out), "Return-Path: <>\r\n");
	buf_reset(&out);
	trace_add_return_path(&out, span_of("\"a b\"@c"));
	assert_string_equal(buf_cstr(&out), "Return-Path: <\"a b\"@c>\r\n");
	buf_reset(&out);
	trace_add_return_path(&out, span_of("a@b\r\nX: y"));
	assert_string_equal(buf_cstr(&out), "Return-Path: <a@b??X: y>\r\n");
	buf_reset(&out);
	trace_add_return_path(&out, span_of(A60 "@" A60));
	assert_string_equal(buf_cstr(&out), "Return-Path:\r\n\t<" A60 "@" A60 ">\r\n");
	buf_free(&out);
}

static void other_return_paths_are_left_out(void **state)
{
	static const struct {
		const char *message, *wanted;
	} messages[] = {
		{ "", "" },
		{ "A: b\r\n\r\nx\r\n", "A: b\r\n\r\nx\r\n" },
		{ "Return-Path: <a@b>\r\nA: b\r\n\r\nx\r\n", "A: b\r\n\r\nx\r\n" },
		{ "A: b\r\nRETURN-path:\r\n <a@b>\r\n\t(c)\r\nC: d\r\n e\r\nReturn-Path:\r\n\r\nx",
		  "A: b\r\nC: d\r\n e\r\n\r\nx" },
		{ "Return-Path: <a@b>", "" },
		{ "Return-Path-X: <a@b>\r\n", "Return-Path-X: <a@b>\r\n" },
		/* Blanks before the colon. */
		{ "A : b\r\nReturn-Path\t : <a@b>\r\n c\r\nD: e\r\n\r\nx", "A : b\r\nD: e\r\n\r\nx" },
		{ "Return-Path", "Return-Path" },
		{ "Return Path: <a@b>\r\nReturn-Path: <a@b>\r\n",
		  "Return Path: <a@b>\r\nReturn-Path: <a@b>\r\n" },
		{ " A: b\r\nReturn-Path: <a@b>\r\n", " A: b\r\nReturn-Path: <a@b>\r\n" },
		/* A body. */
		{ "A: b\r\n\r\nReturn-Path: <a@b>\r\n", "A: b\r\n\r\nReturn-Path: <a@b>\r\n" },
		{ "no field\r\nReturn-Path: <a@b>\r\n", "no field\r\nReturn-Path: <a@b>\r\n" },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
		struct buf out = { 0 };
		trace_add_without_return_path(&out, span_of(messages[i].message));
		assert_string_equal(buf_cstr(&out), messages[i].wanted);
		buf_free(&out);
	}
}

static const struct date_row {
	int64_t time_ms;
	const char *text;
} dates[] = {
	{ 0, "Thu, 1 Jan 1970 00:00:00 +0000" },
	{ 999, "Thu, 1 Jan 1970 00:00:00 +0000" },
	{ -1, "Wed, 31 Dec 1969 23:59:59 +0000" },
	{ TIME_MS, "Tue, 1 Jul 2003 10:52:37 +0000" },
	{ 951782400000, "Tue, 29 Feb 2000 00:00:00 +0000" },
	{ 1709251199000, "Thu, 29 Feb 2024 23:59:59 +0000" },
	{ 4107542400000, "Mon, 1 Mar 2100 00:00:00 +0000" },
	{ -2208988800000, "Mon, 1 Jan 1900 00:00:00 +0000" },
	{ 253402300799999, "Fri, 31 Dec 9999 23:59:59 +0000" },
};

static void dates_are_those_of_the_calendar(void **state)
{
	(void)state;
	struct buf out = { 0 };

	for (size_t i = 0; i < sizeof(dates) / sizeof(dates[0]); i++) {
		buf_reset(&out);
		trace_add_date_time(&out, dates[i].time_ms);
		assert_string_equal(buf_cstr(&out), dates[i].text);
	}
	buf_reset(&out);
	trace_add_date(&out, 0);
	assert_string_equal(buf_cstr(&out), "Date: Thu, 1 Jan 1970 00:00:00 +0000\r\n");
	buf_free(&out);
}

static void every_day_of_400_years_agrees_with_gmtime(void **state)
{
	(void)state;
	struct buf out = { 0 };

	for (int64_t day = -10000; day < 140000; day++) {
		char want[64];
		struct tm tm;
		time_t at = (time_t)(day * 86400 + (day + 10000) % 86400);

		assert_non_null(gmtime_r(&at, &tm));
		/* %e pads with a blank, which RFC 5322 allows and we do not use. */
		assert_true(strftime(want, sizeof(want),
				     tm.tm_mday < 10 ? "%a,%e %b %Y %T +0000" : "%a, %e %b %Y %T +0000",
				     &tm) > 0);
		buf_reset(&out);
		trace_add_date_time(&out, (int64_t)at * 1000);
		assert_string_equal(buf_cstr(&out), want);
	}
	buf_free(&out);
}

static void message_ids_are_made_of_time_and_bytes(void **state)
{
	(void)state;
	struct buf out = { 0 };

	trace_add_new_message_id(&out, 0x18f, (struct span){ "\x00\x7f\xff\x10", 4 },
				 span_of("isp2.example"));
	assert_string_equal(buf_cstr(&out), "<18f.007fff10@isp2.example>");
	struct buf field = { 0 };
	trace_add_message_id(&field, buf_span(&out));
	assert_string_equal(buf_cstr(&field), "Message-ID: <18f.007fff10@isp2.example>\r\n");
	buf_reset(&field);
	trace_add_message_id(&field, span_of("<" A60 A60 ">"));
	assert_string_equal(buf_cstr(&field), "Message-ID:\r\n\t<" A60 A60 ">\r\n");
	buf_free(&out);
	buf_free(&field);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(received_has_the_clauses_of_its_facts),
		cmocka_unit_test(received_tells_the_cipher_suite_behind_all_else),
		cmocka_unit_test(received_keeps_its_words_in_order_when_folded),
		cmocka_unit_test(return_path_has_brackets),
		cmocka_unit_test(other_return_paths_are_left_out),
		cmocka_unit_test(dates_are_those_of_the_calendar),
		cmocka_unit_test(every_day_of_400_years_agrees_with_gmtime),
		cmocka_unit_test(message_ids_are_made_of_time_and_bytes),
	};
	return cmocka_run_group_tests_name("trace", tests, NULL, NULL);
}
