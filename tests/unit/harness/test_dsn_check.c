/*
 * dsn_check: one good notification, and for every check the same with one
 * thing broken by a replacement.  The row names the section that must be cited.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "harness/judge/dsn_check.h"

#include <stdlib.h>
#include <string.h>

static const char good[] = "Return-Path: <>\r\n"
			   "Received: from localhost by isp2.example; Fri, 8 Jul 1994 09:21:47 -0400\r\n"
			   "Date: Fri, 8 Jul 1994 09:21:47 -0400\r\n"
			   "From: Mail Delivery System <postmaster@isp2.example>\r\n"
			   "Message-ID: <bounce1@isp2.example>\r\n"
			   "Subject: Undelivered mail\r\n"
			   "To: <barney@isp2.example>\r\n"
			   "MIME-Version: 1.0 (made by hand)\r\n"
			   "Content-Type: multipart/report; report-type=\"delivery-status\";\r\n"
			   " boundary=\"=_cut\"\r\n"
			   "\r\n"
			   "--=_cut\r\n"
			   "Content-Type: text/plain; charset=us-ascii\r\n"
			   "\r\n"
			   "It did not work.\r\n"
			   "\r\n"
			   "--=_cut\r\n"
			   "Content-Type: message/delivery-status\r\n"
			   "\r\n"
			   "Reporting-MTA: dns; mx.isp2.example\r\n"
			   "Received-From-MTA: dns; [127.0.0.1]\r\n"
			   "Arrival-Date: Fri, 8 Jul 1994 08:00:00 -0400\r\n"
			   "\r\n"
			   "Original-Recipient: rfc822;Nobody@fredsco.example\r\n"
			   "Final-Recipient: RFC822; nobody@fredsco.example (was\r\n"
			   " forwarded)\r\n"
			   "Action: Failed\r\n"
			   "Status: 5.1.1 (no such user)\r\n"
			   "Remote-MTA: dns; mx.fredsco.example\r\n"
			   "Diagnostic-Code: smtp; 550 5.1.1 unknown user\r\n"
			   "Last-Attempt-Date: Fri, 8 Jul 1994 09:21:40 -0400\r\n"
			   "\r\n"
			   "--=_cut\r\n"
			   "Content-Type: text/rfc822-headers\r\n"
			   "\r\n"
			   "Message-ID: <original@isp2.example>\r\n"
			   "\r\n"
			   "--=_cut--\r\n";

#define GROUP2                                                                                      \
	"\r\nFinal-Recipient: rfc822; late@fredsco.example\r\nAction: delayed\r\nStatus: 4.4.1\r\n" \
	"Will-Retry-Until: Sat, 9 Jul 1994 09:21:40 +0000\r\n\r\n--=_cut\r\nContent-Type: "         \
	"text/rfc822-headers"

static const struct row {
	const char *name;
	const char *cut; /* first occurrence, replaced */
	const char *put;
	const char *section; /* cited by a finding of that level; NULL: nothing may be found */
	enum dsn_level level;
} rows[] = {
	{ "as it should be", "Subject", "Subject", NULL, DSN_BREACH },
	{ "envelope id", "Reporting-MTA", "Original-Envelope-Id: X+2B\r\nReporting-MTA", NULL, DSN_BREACH },
	{ "extension field", "Arrival-Date", "X-Queue-Id: 17\r\nArrival-Date", NULL, DSN_BREACH },
	{ "whole message returned", "text/rfc822-headers", "message/rfc822", NULL, DSN_BREACH },
	{ "status class 4 for a failure", "5.1.1 (", "4.4.7 (", NULL, DSN_BREACH },
	{ "second recipient, delayed", "\r\n--=_cut\r\nContent-Type: text/rfc822-headers", GROUP2, NULL,
	  DSN_BREACH },

	{ "no report at all", "multipart/report", "multipart/mixed", "RFC 3464 2", DSN_BREACH },
	{ "plain text", "multipart/report; report-type=\"delivery-status\";", "text/plain;", "RFC 3464 2",
	  DSN_BREACH },
	{ "report-type absent", " report-type=\"delivery-status\";", "", "RFC 6522 3", DSN_BREACH },
	{ "report-type of another kind", "\"delivery-status\"", "disposition-notification", "RFC 3464 2",
	  DSN_BREACH },
	{ "boundary absent", "\r\n boundary=\"=_cut\"", "", "RFC 2046 5.1.1", DSN_BREACH },
	{ "boundary never used", "boundary=\"=_cut\"", "boundary=\"other\"", "RFC 2046 5.1.1", DSN_BREACH },
	{ "never closed", "--=_cut--", "", "RFC 2046 5.1.1", DSN_BREACH },
	{ "multipart in base64", "MIME-Version", "Content-Transfer-Encoding: base64\r\nMIME-Version",
	  "RFC 2045 6.4", DSN_BREACH },
	{ "MIME-Version absent", "MIME-Version: 1.0 (made by hand)\r\n", "", "RFC 2045 4", DSN_BREACH },
	{ "MIME-Version of the future", "MIME-Version: 1.0", "MIME-Version: 2.0", "RFC 2045 4", DSN_BREACH },
	{ "four parts", "--=_cut--", "--=_cut\r\n\r\nmore\r\n--=_cut--", "RFC 6522 3", DSN_BREACH },
	{ "five parts", "--=_cut--", "--=_cut\r\n\r\nmore\r\n--=_cut\r\n\r\nmore\r\n--=_cut--", "RFC 6522 3",
	  DSN_BREACH },
	{ "one part", "--=_cut\r\nContent-Type: message", "--=_cut--\r\nContent-Type: message", "RFC 6522 3",
	  DSN_BREACH },
	{ "first part for machines", "text/plain", "message/delivery-status", "RFC 3464 2", DSN_BREACH },
	{ "second part of another type", "Content-Type: message/delivery-status",
	  "Content-Type: application/octet-stream", "RFC 3464 2", DSN_BREACH },
	{ "third part of another type", "text/rfc822-headers", "text/html", "RFC 3464 2", DSN_BREACH },
	{ "nothing returned",
	  "--=_cut\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: <original@isp2.example>\r\n\r\n",
	  "", "RFC 6522 3", DSN_REMARK },
	{ "status part encoded", "Content-Type: message/delivery-status",
	  "Content-Type: message/delivery-status\r\nContent-Transfer-Encoding: 8bit", "RFC 3464 2.1",
	  DSN_BREACH },
	{ "status part with eight bits", "550 5.1.1 unknown", "550 5.1.1 unbekannt f\xc3\xbcr uns",
	  "RFC 3464 2.1", DSN_BREACH },
	{ "no recipient group", "-0400\r\n\r\nOriginal-Recipient", "-0400\r\nOriginal-Recipient",
	  "RFC 3464 2.1", DSN_BREACH },
	{ "line that is no field", "Action", "what is this\r\nAction", "RFC 3464 2.1.1", DSN_BREACH },
	{ "line that is no field above", "Arrival-Date", "what is this\r\nArrival-Date", "RFC 3464 2.1.1",
	  DSN_BREACH },

	{ "Reporting-MTA absent", "Reporting-MTA", "X-Reporting-MTA", "RFC 3464 2.2.2", DSN_BREACH },
	{ "Reporting-MTA without type", "dns; mx.isp2.example", "mx.isp2.example", "RFC 3464 2.2.2",
	  DSN_BREACH },
	{ "Reporting-MTA without name", "dns; mx.isp2.example", "dns;", "RFC 3464 2.2.2", DSN_BREACH },
	{ "Reporting-MTA twice", "Received-From-MTA: dns; [127.0.0.1]", "Reporting-MTA: dns; b.example",
	  "RFC 3464 2.2.2", DSN_BREACH },
	{ "type that is no atom", "dns; mx.isp2.example", "d@ns; mx.isp2.example", "RFC 3464 2.2.2",
	  DSN_BREACH },
	{ "DSN-Gateway without type", "Arrival-Date", "DSN-Gateway: gw\r\nArrival-Date", "RFC 3464 2.2.3",
	  DSN_BREACH },
	{ "Received-From-MTA without type", "dns; [127.0.0.1]", "[127.0.0.1]", "RFC 3464 2.2.4", DSN_BREACH },
	{ "Arrival-Date with a named zone", "08:00:00 -0400", "08:00:00 EDT", "RFC 3464 2.2.5", DSN_BREACH },
	{ "Arrival-Date empty", "Arrival-Date: Fri, 8 Jul 1994 08:00:00 -0400",
	  "Arrival-Date:", "RFC 3464 2.2.5", DSN_BREACH },

	{ "Original-Recipient without type", "rfc822;Nobody", "Nobody", "RFC 3464 2.3.1", DSN_BREACH },
	{ "Final-Recipient absent", "Final-Recipient", "X-Final", "RFC 3464 2.3.2", DSN_BREACH },
	{ "Final-Recipient without type", "RFC822; nobody", "nobody", "RFC 3464 2.3.2", DSN_BREACH },
	{ "Action absent", "Action: Failed\r\n", "", "RFC 3464 2.3.3", DSN_BREACH },
	{ "Action unknown", "Action: Failed", "Action: failure", "RFC 3464 2.3.3", DSN_BREACH },
	{ "Action twice", "Action: Failed", "Action: Failed\r\nAction: delayed", "RFC 3464 2.3.3",
	  DSN_BREACH },
	{ "Status absent", "Status: 5.1.1 (no such user)\r\n", "", "RFC 3464 2.3.4", DSN_BREACH },
	{ "Status with two numbers", "5.1.1 (", "5.1 (", "RFC 3464 2.3.4", DSN_BREACH },
	{ "Status with a leading zero", "5.1.1 (", "5.01.1 (", "RFC 3464 2.3.4", DSN_BREACH },
	{ "Status with four digits", "5.1.1 (", "5.1.1000 (", "RFC 3464 2.3.4", DSN_BREACH },
	{ "Status of no class", "5.1.1 (", "3.1.1 (", "RFC 3464 2.3.4", DSN_BREACH },
	{ "Status with blanks inside", "5.1.1 (", "5. 1.1 (", "RFC 3464 2.3.4", DSN_BREACH },
	{ "Status with a reply code", "5.1.1 (", "550 5.1.1 (", "RFC 3464 2.3.4", DSN_BREACH },
	{ "failed with a status of success", "5.1.1 (", "2.0.0 (", "RFC 3464 2.3.4", DSN_BREACH },
	{ "delayed with a permanent status", "Failed", "delayed", "RFC 3464 2.3.4", DSN_BREACH },
	{ "delivered with a status of failure", "Failed", "delivered", "RFC 3464 2.3.4", DSN_BREACH },
	{ "Remote-MTA without type", "dns; mx.fredsco.example", "mx.fredsco.example", "RFC 3464 2.3.5",
	  DSN_BREACH },
	{ "Diagnostic-Code without type", "smtp; 550", "550", "RFC 3464 2.3.6", DSN_BREACH },
	{ "Last-Attempt-Date as ISO 8601", "Fri, 8 Jul 1994 09:21:40 -0400", "1994-07-08T09:21:40Z",
	  "RFC 3464 2.3.7", DSN_BREACH },
	{ "Will-Retry-Until on a failure", "Last-Attempt-Date", "Will-Retry-Until", "RFC 3464 2.3.9",
	  DSN_BREACH },

	{ "return path not null", "Return-Path: <>", "Return-Path: <postmaster@isp2.example>", "RFC 3464 2",
	  DSN_BREACH },
	{ "return path not to be seen", "Return-Path: <>\r\n", "", "RFC 5321 4.4", DSN_REMARK },
	{ "addressed to somebody else", "To: <barney@", "To: <fred@", "RFC 3464 2", DSN_BREACH },
	{ "From absent", "From: Mail", "X-From: Mail", "RFC 5322 3.6", DSN_BREACH },
	{ "Date twice", "Subject", "Date: Fri, 8 Jul 1994 09:21:47 -0400\r\nSubject", "RFC 5322 3.6",
	  DSN_BREACH },
	{ "Message-ID absent", "Message-ID: <bounce1@isp2.example>\r\n", "", "RFC 5322 3.6.4", DSN_REMARK },
};

/* The fixture with one replacement, in a heap block of exactly its size. */
static struct span broken(const struct row *row)
{
	const char *at = strstr(good, row->cut);
	assert_non_null(at);
	struct buf b = { 0 };

	buf_add(&b, (struct span){ good, (size_t)(at - good) });
	buf_add_cstr(&b, row->put);
	buf_add_cstr(&b, at + strlen(row->cut));
	size_t n = buf_bytes(&b);
	char *exact = malloc(n);
	assert_non_null(exact);
	memcpy(exact, buf_span(&b).p, n);
	buf_free(&b);
	return (struct span){ exact, n };
}

static bool cites(const struct dsn_report *r, const struct row *row)
{
	for (uint32_t i = 0; i < r->finding_count; i++)
		if (strcmp(r->findings[i].section, row->section) == 0 && r->findings[i].level == row->level)
			return true;
	return false;
}

static void every_fault_is_found_with_its_section(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct span message = broken(&rows[i]);
		struct dsn_report *r = dsn_check(message, SPAN_LIT("barney@isp2.example"));

		if (rows[i].section == NULL && r->finding_count > 0)
			fail_msg("%s: found %s: %s", rows[i].name, r->findings[0].section,
				 r->findings[0].text);
		if (rows[i].section != NULL && !cites(r, &rows[i]))
			fail_msg("%s: %s is not cited; first: %s", rows[i].name, rows[i].section,
				 r->finding_count > 0 ? r->findings[0].text : "nothing found");
		if (rows[i].section != NULL && rows[i].level == DSN_REMARK)
			assert_null(dsn_first_breach(r));
		dsn_report_free(r);
		free((void *)(uintptr_t)message.p);
	}
}

static void recipients_are_read_as_they_stand(void **state)
{
	(void)state;
	const struct row two = { .cut = "\r\n--=_cut\r\nContent-Type: text/rfc822-headers", .put = GROUP2 };
	struct span message = broken(&two);
	struct dsn_report *r = dsn_check(message, SPAN_LIT(""));

	assert_int_equal(r->recipient_count, 2);
	assert_int_equal(r->recipients[0].action, DSN_ACTION_FAILED);
	assert_string_equal(r->recipients[0].original, "Nobody@fredsco.example");
	assert_string_equal(r->recipients[0].final, "nobody@fredsco.example");
	assert_string_equal(r->recipients[0].status, "5.1.1");
	assert_int_equal(r->recipients[1].action, DSN_ACTION_DELAYED);
	assert_null(r->recipients[1].original);
	assert_string_equal(r->recipients[1].final, "late@fredsco.example");
	dsn_report_free(r);
	free((void *)(uintptr_t)message.p);
}

static void a_broken_report_still_says_whom_it_means(void **state)
{
	(void)state;
	const struct row no_status = { .cut = "Status: 5.1.1 (no such user)\r\n", .put = "" };
	struct span message = broken(&no_status);
	struct dsn_report *r = dsn_check(message, SPAN_LIT(""));

	assert_int_equal(r->breaches, 1);
	assert_string_equal(dsn_first_breach(r)->section, "RFC 3464 2.3.4");
	assert_int_equal(r->recipient_count, 1);
	assert_string_equal(r->recipients[0].final, "nobody@fredsco.example");
	assert_null(r->recipients[0].status);
	dsn_report_free(r);
	free((void *)(uintptr_t)message.p);
}

static void findings_have_a_maximum_and_every_breach_counts(void **state)
{
	(void)state;
	struct buf b = { 0 };
	const char *cut = strstr(good, "Original-Recipient");
	const char *end = strstr(good, "--=_cut\r\nContent-Type: text/rfc822-headers");

	buf_add(&b, (struct span){ good, (size_t)(cut - good) });
	for (int i = 0; i < 100; i++)
		buf_add_cstr(&b, "Final-Recipient: rfc822; a@b\r\nStatus: x\r\n\r\n");
	buf_add_cstr(&b, end);
	struct dsn_report *r = dsn_check(buf_span(&b), SPAN_LIT(""));
	assert_int_equal(r->finding_count, DSN_FINDINGS_MAX);
	assert_int_equal(r->breaches, 200);
	assert_int_equal(r->recipient_count, 100);
	dsn_report_free(r);
	buf_free(&b);
}

static void dates_are_those_of_rfc_1123(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool valid;
	} dates[] = {
		{ "Thu, 7 Jul 1994 17:16:05 -0400", true },
		{ "7 Jul 1994 17:16 +0000", true },
		{ "07 jul 94 17:16:60 +0530", true },
		{ "Thu, 7 Jul 1994 17:16:05 GMT", false },
		{ "Thu 7 Jul 1994 17:16:05 -0400", false },
		{ "Thu, 32 Jul 1994 17:16:05 -0400", false },
		{ "Thu, 0 Jul 1994 17:16:05 -0400", false },
		{ "Thu, 7 Juli 1994 17:16:05 -0400", false },
		{ "Thu, 7 Jul 1994 24:16:05 -0400", false },
		{ "Thu, 7 Jul 1994 17:60:05 -0400", false },
		{ "Thu, 7 Jul 1994 17:16:05 -040", false },
		{ "Thu, 7 Jul 1994 17:16:05 -04000", false },
		{ "Thu, 7 Jul 1994 17:16:05-0400", false },
		{ "1994-07-07T17:16:05Z", false },
		{ "", false },
	};
	for (size_t i = 0; i < sizeof(dates) / sizeof(dates[0]); i++)
		if (dsn_date_is_valid(span_of(dates[i].text)) != dates[i].valid)
			fail_msg("%s", dates[i].text);
}

/* The line of the n-th finding when `cut` is replaced. */
static uint32_t line_of_finding(const char *cut, const char *put)
{
	const char *at = strstr(good, cut);
	struct buf message = { 0 };

	assert_non_null(at);
	buf_add(&message, (struct span){ good, (size_t)(at - good) });
	buf_add_cstr(&message, put);
	buf_add_cstr(&message, at + strlen(cut));
	struct dsn_report *r = dsn_check(buf_span(&message), (struct span){ 0 });
	const struct dsn_finding *f = dsn_first_breach(r);
	assert_non_null(f);
	uint32_t line = f->line;
	dsn_report_free(r);
	buf_free(&message);
	return line;
}

static void findings_name_the_line(void **state)
{
	(void)state;
	assert_int_equal(line_of_finding("<>", "<a@b>"), 1);
	assert_int_equal(line_of_finding("multipart/report", "multipart/mixed"), 9);
	assert_int_equal(line_of_finding("dns; mx.isp2.example", "mx.isp2.example"), 20);
	assert_int_equal(line_of_finding("Action: Failed", "Action: Lost"), 27);
	assert_int_equal(line_of_finding("5.1.1 (", "2.1.1 ("), 28);
	assert_int_equal(line_of_finding("Action: Failed\r\n", ""), 24); /* missing: the group's beginning */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(findings_name_the_line),
		cmocka_unit_test(every_fault_is_found_with_its_section),
		cmocka_unit_test(recipients_are_read_as_they_stand),
		cmocka_unit_test(a_broken_report_still_says_whom_it_means),
		cmocka_unit_test(findings_have_a_maximum_and_every_breach_counts),
		cmocka_unit_test(dates_are_those_of_rfc_1123),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
