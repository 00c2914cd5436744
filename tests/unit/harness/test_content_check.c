/* content_check: what a next hop took against what was submitted, and against readers of other kinds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/conform/content_check.h"

#include "harness/judge/dkim_check.h"

#include <string.h>

#define EVIL "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nx\r\n.\r\n"

static const struct row {
	const char *name;
	struct case_check check;
	const char *content, *wire, *submitted;
	bool wanted;
	const char *why; /* is in it */
} rows[] = {
	{ "unchanged",
	  { .kind = CASE_CHECK_UNCHANGED },
	  "Received: x\r\nA: b\r\n",
	  "",
	  "A: b\r\n",
	  true,
	  "" },
	{ "changed", { .kind = CASE_CHECK_UNCHANGED }, "A: b \r\n", "", "A: b\r\n", false, "byte for byte" },
	{ "more in front",
	  { .kind = CASE_CHECK_UNCHANGED },
	  "C: d\r\nA: b\r\n",
	  "",
	  "A: b\r\n",
	  false,
	  "something else" },
	{ "nothing in front", { .kind = CASE_CHECK_UNCHANGED }, "A: b\r\n", "", "A: b\r\n", true, "" },
	{ "more than one in front",
	  { .kind = CASE_CHECK_UNCHANGED },
	  "Authentication-Results: x; none\r\nReceived: x\r\n y\r\nReturn-Path: <>\r\nX-Seen: y\r\nA: b\r\n",
	  "",
	  "A: b\r\n",
	  true,
	  "" },
	{ "a field behind its own Received",
	  { .kind = CASE_CHECK_UNCHANGED },
	  "Received: x\r\nsubject: spam\r\nA: b\r\n",
	  "",
	  "A: b\r\n",
	  false,
	  "a field \"subject\"" },
	{ "one of a body behind its own Received",
	  { .kind = CASE_CHECK_UNCHANGED },
	  "Received: x\r\nContent-Type: text/html\r\nA: b\r\n",
	  "",
	  "A: b\r\n",
	  false,
	  "\"Content-Type\"" },
	{ "an empty line in front",
	  { .kind = CASE_CHECK_UNCHANGED },
	  "Received: x\r\n\r\nA: b\r\n",
	  "",
	  "A: b\r\n",
	  false,
	  "else than fields" },
	{ "a line that is no field in front",
	  { .kind = CASE_CHECK_UNCHANGED },
	  "Received: x\r\nspam\r\nA: b\r\n",
	  "",
	  "A: b\r\n",
	  false,
	  "else than fields" },
	{ "joined to a field in front",
	  { .kind = CASE_CHECK_UNCHANGED },
	  "Received: xA: b\r\n",
	  "",
	  "A: b\r\n",
	  false,
	  "else than fields" },
	{ "regular",
	  { .kind = CASE_CHECK_READ_AS, .n = CASE_READ_IRREGULAR },
	  "x\r\n",
	  "x\r\n.\r\n",
	  "",
	  false,
	  "together everywhere" },
	{ "irregular", { .kind = CASE_CHECK_READ_AS, .n = CASE_READ_IRREGULAR }, "x\n", "", "", true, "" },
	{ "two",
	  { .kind = CASE_CHECK_READ_AS, .n = CASE_READ_TWO_MESSAGES },
	  "",
	  "x\n.\n" EVIL,
	  "",
	  true,
	  "takes LF" },
	{ "one",
	  { .kind = CASE_CHECK_READ_AS, .n = CASE_READ_TWO_MESSAGES },
	  "",
	  "x\r\n..\r\ny\r\n.\r\n",
	  "",
	  false,
	  "as two messages" },
	{ "not cut",
	  { .kind = CASE_CHECK_READ_AS, .n = CASE_READ_CUT_SHORT },
	  "",
	  "x\n.\n" EVIL,
	  "",
	  false,
	  "cut short" },
	{ "cut",
	  { .kind = CASE_CHECK_READ_AS, .n = CASE_READ_CUT_SHORT },
	  "",
	  "x\r.\ry\r\n.\r\n",
	  "",
	  true,
	  "takes CR" },
	{ "chunks",
	  { .kind = CASE_CHECK_READ_AS, .n = CASE_READ_TWO_MESSAGES },
	  "x\n.\n" EVIL,
	  "",
	  "",
	  false,
	  "as two messages" },
	{ "clear as it should", { .kind = CASE_CHECK_TLS, .n = 0 }, "", "", "", true, "" },
	{ "clear", { .kind = CASE_CHECK_TLS, .n = 1 }, "", "", "", false, "in the clear" },
	{ "unsigned", { .kind = CASE_CHECK_SIGNED }, "A: b\r\n", "", "", false, "no DKIM-Signature" },
};

static bool check(const struct row *r, struct buf *why)
{
	struct hop_content c = { 0 };
	struct case_check one = r->check;
	struct case_step s = { .checks = &one, .check_count = 1 };

	buf_add_cstr(&c.content, r->content);
	buf_add_cstr(&c.wire, r->wire);
	bool fine = content_check(&c, &s, span_of(r->submitted), why);
	buf_free(&c.content);
	buf_free(&c.wire);
	return fine;
}

static void each_check_can_hold_and_not(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf why = { 0 };
		if (check(&rows[i], &why) != rows[i].wanted || strstr(buf_cstr(&why), rows[i].why) == NULL)
			fail_msg("%s: %s", rows[i].name, buf_cstr(&why));
		buf_free(&why);
	}
}

static void a_signature_holds_behind_a_new_trace_field(void **state)
{
	struct buf message = { 0 }, why = { 0 };
	(void)state;

	buf_add_cstr(&message, "Received: x\r\n");
	dkim_sign(SPAN_LIT("From: a@b\r\n\r\nx\r\n"), SPAN_LIT("a.example"), DKIM_SIMPLE, DKIM_SIMPLE,
		  &message);
	buf_add_cstr(&message, "From: a@b\r\n\r\nx\r\n");
	struct row r = { .check = { .kind = CASE_CHECK_SIGNED },
			 .content = buf_cstr(&message),
			 .wire = "",
			 .submitted = "" };
	assert_true(check(&r, &why));
	buf_free(&message);
	buf_free(&why);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_check_can_hold_and_not),
		cmocka_unit_test(a_signature_holds_behind_a_new_trace_field),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
