/* address_list: what is a list of addresses, whole and in pieces of every size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "reference-server/core/address_list.h"

#define OK ADDRESS_LIST_OK
#define PARTIAL ADDRESS_LIST_PARTIAL
#define MALFORMED ADDRESS_LIST_MALFORMED

static const struct row {
	const char *name;
	const char *value;
	enum address_list_result result;
} rows[] = {
	{ "one", " a@b.example\r\n", OK },
	{ "in brackets", " <a@b.example>\r\n", OK },
	{ "name of atoms", " Ann Other <a@b.example>\r\n", OK },
	{ "name with a period", " J. R. Random <a@b.example>\r\n", OK },
	{ "quoted name", " \"Other, \\\"Ann\\\" <x>\" <a@b.example>\r\n", OK },
	{ "encoded word", " =?utf-8?q?Andr=C3=A9?= <a@b.example>\r\n", OK },
	{ "name beyond ASCII", " Andr\xc3\xa9 <a@b.example>\r\n", OK },
	{ "address beyond ASCII", " andr\xc3\xa9@b\xc3\xbc.example\r\n", OK },
	{ "several", " a@b.example, <c@d.example>,e@f.example\r\n", OK },
	{ "folded", " a@b.example,\r\n\t<c@d.example>\r\n", OK },
	{ "empty elements", " ,a@b.example, ,c@d.example,\r\n", OK },
	{ "quoted local-part", " \"a b@c\"@d.example\r\n", OK },
	{ "local-part of parts", " a.\"b c\".d@e.example\r\n", OK },
	{ "blanks around dots and at", " a . b @ c . example\r\n", OK },
	{ "comments anywhere", " (x) a (y) @ (z (in) \\) z) b.example (end)\r\n", OK },
	{ "literal", " a@[192.0.2.1]\r\n", OK },
	{ "literal of IPv6", " <a@[IPv6:2001:db8::1]>\r\n", OK },
	{ "group of nobody", " undisclosed recipients: ;\r\n", OK },
	{ "group", " A Group:a@b.example, <c@d.example>; , e@f.example\r\n", OK },
	{ "odd atoms", " !#$%&'*+-/=?^_`{|}~@b.example\r\n", OK },
	{ "one label", " a@b\r\n", PARTIAL },
	{ "one label in brackets", " x <a@b>\r\n", PARTIAL },
	{ "one label in a group", " g: a@b;\r\n", PARTIAL },
	{ "one label of two", " a@b.example, c@d\r\n", PARTIAL },
	{ "nothing", " \r\n", MALFORMED },
	{ "comment only", " (nobody)\r\n", MALFORMED },
	{ "commas only", " , ,\r\n", MALFORMED },
	{ "no domain", " sales\r\n", MALFORMED },
	{ "no domain in brackets", " Sales <sales>\r\n", MALFORMED },
	{ "null path", " <>\r\n", MALFORMED },
	{ "name and null path", " nobody in particular <>\r\n", MALFORMED },
	{ "two at", " a@@b.example\r\n", MALFORMED },
	{ "at twice", " a@b.example@c.example\r\n", MALFORMED },
	{ "no local-part", " @b.example\r\n", MALFORMED },
	{ "no local-part in brackets", " <@b.example>\r\n", MALFORMED },
	{ "route", " <@a.example:b@c.example>\r\n", MALFORMED },
	{ "empty domain", " a@\r\n", MALFORMED },
	{ "empty domain in brackets", " <a@>\r\n", MALFORMED },
	{ "domain ends in a dot", " a@b.example.\r\n", MALFORMED },
	{ "domain begins with a dot", " a@.b.example\r\n", MALFORMED },
	{ "two dots in a domain", " a@b..example\r\n", MALFORMED },
	{ "two dots in a local-part", " a..b@c.example\r\n", MALFORMED },
	{ "local-part ends in a dot", " a.@b.example\r\n", MALFORMED },
	{ "local-part begins with a dot", " <.a@b.example>\r\n", MALFORMED },
	{ "blank in a local-part", " a b@c.example\r\n", MALFORMED },
	{ "blank in a domain", " a@b.example c\r\n", MALFORMED },
	{ "quoted domain", " a@\"b.example\"\r\n", MALFORMED },
	{ "literal and more", " a@[192.0.2.1].example\r\n", MALFORMED },
	{ "bracket in a literal", " a@[[192.0.2.1]\r\n", MALFORMED },
	{ "name with an at", " a@b.example <a@b.example>\r\n", MALFORMED },
	{ "open bracket", " <a@b.example\r\n", MALFORMED },
	{ "closing bracket only", " a@b.example>\r\n", MALFORMED },
	{ "two in brackets", " <a@b.example> <c@d.example>\r\n", MALFORMED },
	{ "text behind", " <a@b.example> Ann\r\n", MALFORMED },
	{ "open quotes", " \"a <a@b.example>\r\n", MALFORMED },
	{ "open comment", " a@b.example (x\r\n", MALFORMED },
	{ "open literal", " a@[192.0.2.1\r\n", MALFORMED },
	{ "end of no comment", " a@b.example )\r\n", MALFORMED },
	{ "backslash", " a\\b@c.example\r\n", MALFORMED },
	{ "group without end", " g: a@b.example\r\n", MALFORMED },
	{ "group without name", " : a@b.example;\r\n", MALFORMED },
	{ "group in a group", " g: h: a@b.example;;\r\n", MALFORMED },
	{ "text behind a group", " g: ; a@b.example\r\n", MALFORMED },
	{ "semicolon between", " a@b.example; c@d.example\r\n", MALFORMED },
	{ "control character", " a\x01@b.example\r\n", MALFORMED },
	{ "partial and malformed", " a@b, c\r\n", MALFORMED },
};

static enum address_list_result judge(struct span value, size_t step, bool may_be_empty)
{
	struct address_list a;

	address_list_init(&a);
	for (size_t at = 0; at < value.n; at += step) {
		size_t n = step < value.n - at ? step : value.n - at;
		char *piece = malloc(n);
		assert_non_null(piece);
		memcpy(piece, value.p + at, n);
		address_list_feed(&a, (struct span){ piece, n });
		free(piece);
	}
	return address_list_end(&a, may_be_empty);
}

static void lists_are_judged_at_every_split(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (size_t step = 1; step < 80; step++) {
			enum address_list_result got = judge(span_of(rows[i].value), step, false);
			if (got != rows[i].result)
				fail_msg("%s, step %zu: %d", rows[i].name, step, (int)got);
		}
}

static void only_where_it_may_be_empty_is_an_empty_list_one(void **state)
{
	(void)state;
	assert_int_equal(judge(SPAN_LIT(" \r\n"), 1, true), OK);
	assert_int_equal(judge(SPAN_LIT(" (nobody)\r\n"), 2, true), OK);
	assert_int_equal(judge(SPAN_LIT(" sales\r\n"), 2, true), MALFORMED);
	assert_int_equal(judge(SPAN_LIT("a@b.example\0"), 100, false), MALFORMED);
}

static void comments_have_a_greatest_depth(void **state)
{
	(void)state;
	for (unsigned depth = 255; depth <= 256; depth++) {
		char value[600];
		memset(value, '(', depth);
		memset(value + depth, ')', depth);
		memcpy(value + 2 * (size_t)depth, "a@b.example", 11);
		struct span s = { value, 2 * (size_t)depth + 11 };
		assert_int_equal(judge(s, 7, false), depth == 255 ? OK : MALFORMED);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists_are_judged_at_every_split),
		cmocka_unit_test(only_where_it_may_be_empty_is_an_empty_list_one),
		cmocka_unit_test(comments_have_a_greatest_depth),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
