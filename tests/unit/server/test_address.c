/* address: RFC 5321 4.1.2 and 4.1.3, with every limit of 4.5.3.1 at its border. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "reference-server/core/address.h"

#define A60 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define LABEL63 A60 "aaa"

static const struct row {
	const char *name;
	const char *path;
	enum address_result reverse;
	enum address_result forward;
	const char *text; /* when taken */
	const char *rest;
} rows[] = {
	{ "plain", "<a@b.example>", ADDRESS_OK, ADDRESS_OK, "a@b.example", "" },
	{ "parameters stay", "<a@b> SIZE=1", ADDRESS_OK, ADDRESS_OK, "a@b", " SIZE=1" },
	{ "null path", "<>", ADDRESS_OK, ADDRESS_SYNTAX, "", "" },
	{ "bare postmaster", "<postmaster>", ADDRESS_SYNTAX, ADDRESS_OK, "postmaster", "" },
	{ "bare Postmaster", "<PostMaster>", ADDRESS_SYNTAX, ADDRESS_OK, "PostMaster", "" },
	{ "another bare name", "<root>", ADDRESS_SYNTAX, ADDRESS_SYNTAX, NULL, NULL },
	{ "all of atext", "<a!#$%&'*+-/=?^_`{|}~9.z@b>", ADDRESS_OK, ADDRESS_OK, "a!#$%&'*+-/=?^_`{|}~9.z@b",
	  "" },
	{ "leading dot", "<.a@b>", ADDRESS_SYNTAX, ADDRESS_SYNTAX, NULL, NULL },
	{ "trailing dot", "<a.@b>", ADDRESS_SYNTAX, ADDRESS_SYNTAX, NULL, NULL },
	{ "two dots", "<a..b@c>", ADDRESS_SYNTAX, ADDRESS_SYNTAX, NULL, NULL },
	{ "no local-part", "<@b>", ADDRESS_SYNTAX, ADDRESS_SYNTAX, NULL, NULL },
	{ "no domain", "<a@>", ADDRESS_SYNTAX, ADDRESS_SYNTAX, NULL, NULL },
	{ "no at", "<a>", ADDRESS_SYNTAX, ADDRESS_SYNTAX, NULL, NULL },
	{ "two at", "<a@b@c>", ADDRESS_SYNTAX, ADDRESS_SYNTAX, NULL, NULL },
	{ "no brackets", "a@b", ADDRESS_SYNTAX, ADDRESS_SYNTAX, NULL, NULL },
	{ "blank before", " <a@b>", ADDRESS_SYNTAX, ADDRESS_SYNTAX, NULL, NULL },
	{ "blank inside", "<a b@c>", ADDRESS_SYNTAX, ADDRESS_SYNTAX, NULL, NULL },
	{ "not closed", "<a@b", ADDRESS_SYNTAX, ADDRESS_SYNTAX, NULL, NULL },
	{ "nothing", "", ADDRESS_SYNTAX, ADDRESS_SYNTAX, NULL, NULL },
	{ "only an opening", "<", ADDRESS_SYNTAX, ADDRESS_SYNTAX, NULL, NULL },
	{ "needless quotes fall", "<\"a.b\"@c>", ADDRESS_OK, ADDRESS_OK, "a.b@c", "" },
	{ "needless backslash falls", "<\"a\\ \\b\"@c>", ADDRESS_OK, ADDRESS_OK, "\"a b\"@c", "" },
	{ "needed backslashes stay", "<\"a\\\"\\\\\"@c>", ADDRESS_OK, ADDRESS_OK, "\"a\\\"\\\\\"@c", "" },
	{ "bracket in quotes", "<\"a>b\"@c> X", ADDRESS_OK, ADDRESS_OK, "\"a>b\"@c", " X" },
	{ "at in quotes", "<\"a@b\"@c>", ADDRESS_OK, ADDRESS_OK, "\"a@b\"@c", "" },
	{ "quoted dots", "<\"a..b\"@c>", ADDRESS_OK, ADDRESS_OK, "\"a..b\"@c", "" },
	{ "empty quotes", "<\"\"@c>", ADDRESS_OK, ADDRESS_OK, "\"\"@c", "" },
	{ "open quotes", "<\"a@c>", ADDRESS_SYNTAX, ADDRESS_SYNTAX, NULL, NULL },
	{ "backslash ends it", "<\"a\\", ADDRESS_SYNTAX, ADDRESS_SYNTAX, NULL, NULL },
	{ "control in quotes", "<\"a\tb\"@c>", ADDRESS_SYNTAX, ADDRESS_SYNTAX, NULL, NULL },
	{ "DEL behind a backslash", "<\"a\\\x7f\"@c>", ADDRESS_SYNTAX, ADDRESS_SYNTAX, NULL, NULL },
	{ "quotes within an atom", "<a\"b\"@c>", ADDRESS_SYNTAX, ADDRESS_SYNTAX, NULL, NULL },
	{ "source route", "<@x.example,@y:a@b>", ADDRESS_OK, ADDRESS_OK, "a@b", "" },
	{ "source route of one", "<@x:a@b>", ADDRESS_OK, ADDRESS_OK, "a@b", "" },
	{ "source route to nobody", "<@x:>", ADDRESS_SYNTAX, ADDRESS_SYNTAX, NULL, NULL },
	{ "source route without colon", "<@x,a@b>", ADDRESS_SYNTAX, ADDRESS_SYNTAX, NULL, NULL },
	{ "source route with blank", "<@x, @y:a@b>", ADDRESS_SYNTAX, ADDRESS_SYNTAX, NULL, NULL },
	{ "source route by literal", "<@[1.2.3.4]:a@b>", ADDRESS_SYNTAX, ADDRESS_SYNTAX, NULL, NULL },
	{ "case is kept", "<Fred@ISP.Example>", ADDRESS_OK, ADDRESS_OK, "Fred@ISP.Example", "" },
	{ "IPv4 literal", "<a@[123.255.37.2]>", ADDRESS_OK, ADDRESS_OK, "a@[123.255.37.2]", "" },
	{ "IPv6 literal", "<a@[IPv6:::1]>", ADDRESS_OK, ADDRESS_OK, "a@[IPv6:::1]", "" },
	{ "literal not closed", "<a@[1.2.3.4>", ADDRESS_SYNTAX, ADDRESS_SYNTAX, NULL, NULL },
	{ "underscore in a domain", "<a@b_c.example>", ADDRESS_SYNTAX, ADDRESS_SYNTAX, NULL, NULL },
	{ "dot behind the domain", "<a@b.>", ADDRESS_SYNTAX, ADDRESS_SYNTAX, NULL, NULL },
	{ "hyphen leads a label", "<a@-b>", ADDRESS_SYNTAX, ADDRESS_SYNTAX, NULL, NULL },
	{ "hyphen ends a label", "<a@b-.c>", ADDRESS_SYNTAX, ADDRESS_SYNTAX, NULL, NULL },
	{ "shell characters are atext", "<a|b`c;@d>", ADDRESS_SYNTAX, ADDRESS_SYNTAX, NULL, NULL },
	{ "UTF-8 local-part", "<\xc3\xa4.z\xe2\x82\xac\xf0\x9f\x93\xac@b>", ADDRESS_OK, ADDRESS_OK,
	  "\xc3\xa4.z\xe2\x82\xac\xf0\x9f\x93\xac@b", "" },
	{ "UTF-8 quoted", "<\"\xc3\xa4 b\"@b>", ADDRESS_OK, ADDRESS_OK, "\"\xc3\xa4 b\"@b", "" },
	{ "UTF-8 needlessly quoted", "<\"\xc3\xa4\"@b>", ADDRESS_OK, ADDRESS_OK, "\xc3\xa4@b", "" },
	{ "UTF-8 domain", "<a@\xc3\xa4.b\xc3\xa4> X", ADDRESS_OK, ADDRESS_OK, "a@\xc3\xa4.b\xc3\xa4", " X" },
	{ "UTF-8 source route", "<@\xc3\xa4:a@b>", ADDRESS_OK, ADDRESS_OK, "a@b", "" },
	{ "Latin-1 local-part", "<\xe4@b>", ADDRESS_SYNTAX_8BIT, ADDRESS_SYNTAX_8BIT, NULL, NULL },
	{ "Latin-1 quoted", "<\"\xe4\"@b>", ADDRESS_SYNTAX_8BIT, ADDRESS_SYNTAX_8BIT, NULL, NULL },
	{ "Latin-1 domain", "<a@\xe4>", ADDRESS_SYNTAX_8BIT, ADDRESS_SYNTAX_8BIT, NULL, NULL },
	{ "UTF-8 behind a backslash", "<\"\\\xc3\xa4\"@b>", ADDRESS_SYNTAX_8BIT, ADDRESS_SYNTAX_8BIT, NULL,
	  NULL },
	{ "UTF-8 and a leading dot", "<.\xc3\xa4@b>", ADDRESS_SYNTAX_8BIT, ADDRESS_SYNTAX_8BIT, NULL, NULL },
	{ "UTF-8 domain with a last hyphen", "<a@\xc3\xa4->", ADDRESS_SYNTAX_8BIT, ADDRESS_SYNTAX_8BIT, NULL,
	  NULL },
	{ "overlong", "<\xc1\xa1@b>", ADDRESS_SYNTAX_8BIT, ADDRESS_SYNTAX_8BIT, NULL, NULL },
	{ "surrogate", "<\xed\xa0\x80@b>", ADDRESS_SYNTAX_8BIT, ADDRESS_SYNTAX_8BIT, NULL, NULL },
	{ "cut character", "<\xe2\x82@b>", ADDRESS_SYNTAX_8BIT, ADDRESS_SYNTAX_8BIT, NULL, NULL },
	{ "label of 63", "<a@" LABEL63 ">", ADDRESS_OK, ADDRESS_OK, "a@" LABEL63, "" },
	{ "label of 64", "<a@" LABEL63 "a>", ADDRESS_SYNTAX, ADDRESS_SYNTAX, NULL, NULL },
	{ "local-part of 64", "<" A60 "abcd@b>", ADDRESS_OK, ADDRESS_OK, A60 "abcd@b", "" },
	{ "local-part of 65", "<" A60 "abcde@b>", ADDRESS_LOCAL_TOO_LONG, ADDRESS_LOCAL_TOO_LONG, NULL,
	  NULL },
	{ "quoted local-part of 64", "<\"" A60 "  \"@b>", ADDRESS_OK, ADDRESS_OK, "\"" A60 "  \"@b", "" },
	{ "quoted local-part of 65", "<\"" A60 "   \"@b>", ADDRESS_LOCAL_TOO_LONG, ADDRESS_LOCAL_TOO_LONG,
	  NULL, NULL },
	{ "path of 256", "<" A60 "@" LABEL63 "." LABEL63 "." LABEL63 ".b>", ADDRESS_OK, ADDRESS_OK,
	  A60 "@" LABEL63 "." LABEL63 "." LABEL63 ".b", "" },
	{ "path of 257", "<" A60 "a@" LABEL63 "." LABEL63 "." LABEL63 ".b>", ADDRESS_PATH_TOO_LONG,
	  ADDRESS_PATH_TOO_LONG, NULL, NULL },
	{ "a route counts in the path", "<@" LABEL63 "." LABEL63 "." LABEL63 ":" A60 "aa@b>",
	  ADDRESS_PATH_TOO_LONG, ADDRESS_PATH_TOO_LONG, NULL, NULL },
};

typedef enum address_result take_fn(struct span *text, struct address *ret_address);

static void check(const struct row *row, take_fn *take, enum address_result want)
{
	char text[ADDRESS_TEXT_BYTES_MAX];
	size_t n = strlen(row->path);
	struct address a = { .local = { "untouched", 9 } };
	char *copy = malloc(n + (n == 0));

	assert_non_null(copy);
	memcpy(copy, row->path, n);
	struct span rest = { copy, n };
	enum address_result got = take(&rest, &a);
	if (got != want)
		fail_msg("%s: result %d, not %d", row->name, (int)got, (int)want);
	if (want != ADDRESS_OK) {
		assert_ptr_equal(rest.p, copy);
		assert_int_equal(rest.n, n);
		assert_string_equal(a.local.p, "untouched");
	} else if (!span_eq(address_text(a, text), span_of(row->text)) ||
		   !span_eq(rest, span_of(row->rest))) {
		fail_msg("%s: text '%.*s', rest '%.*s'", row->name, SPAN_FMT(address_text(a, text)),
			 SPAN_FMT(rest));
	}
	free(copy);
}

static void paths_are_read_by_the_grammar(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		check(&rows[i], address_take_reverse_path, rows[i].reverse);
		check(&rows[i], address_take_forward_path, rows[i].forward);
	}
}

static void a_text_reads_back_as_the_same_address(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[ADDRESS_TEXT_BYTES_MAX];
		struct address a;

		if (rows[i].text == NULL)
			continue;
		assert_int_equal(address_parse_text(span_of(rows[i].text), &a), ADDRESS_OK);
		assert_true(span_eq(address_text(a, text), span_of(rows[i].text)));
	}
}

static void a_mailbox_is_the_whole_span(void **state)
{
	(void)state;
	struct address a;

	assert_int_equal(address_parse_mailbox(span_of("a@b"), &a), ADDRESS_OK);
	assert_int_equal(address_parse_mailbox(span_of("a@b "), &a), ADDRESS_SYNTAX);
	assert_int_equal(address_parse_mailbox(span_of("postmaster"), &a), ADDRESS_SYNTAX);
	assert_int_equal(address_parse_mailbox(span_of(""), &a), ADDRESS_SYNTAX);
	assert_int_equal(address_parse_text(span_of("root"), &a), ADDRESS_SYNTAX);
	assert_int_equal(address_parse_text((struct span){ NULL, 0 }, &a), ADDRESS_OK);
	assert_int_equal(a.local.n, 0);
}

static void a_domain_of_255_passes_and_256_does_not(void **state)
{
	(void)state;
	struct address a;
	const char *name255 = LABEL63 "." LABEL63 "." LABEL63 "." LABEL63;
	const char *mailbox256 = "a@" LABEL63 "." LABEL63 "." LABEL63 "." A60 "a.b";
	assert_int_equal(strlen(name255), 255);
	assert_int_equal(strlen(mailbox256), 2 + 255);

	assert_true(address_is_domain(span_of(name255)));
	assert_false(address_is_domain(span_of(LABEL63 "." LABEL63 "." LABEL63 "." A60 "a.bc")));
	assert_int_equal(address_parse_mailbox(span_of(mailbox256), &a), ADDRESS_OK);
	assert_int_equal(
		address_parse_mailbox(span_of("a@" LABEL63 "." LABEL63 "." LABEL63 "." A60 "a.bc"), &a),
		ADDRESS_DOMAIN_TOO_LONG);
}

static const struct literal_row {
	const char *text;
	const char *ip; /* NULL: no address inside */
	bool valid;
} literals[] = {
	{ "[1.2.3.4]", "1.2.3.4", true },
	{ "[255.255.255.255]", "255.255.255.255", true },
	{ "[001.2.3.4]", "001.2.3.4", true },
	{ "[256.2.3.4]", NULL, false },
	{ "[1.2.3]", NULL, false },
	{ "[1.2.3.4.5]", NULL, false },
	{ "[1.2.3.]", NULL, false },
	{ "[1.2.3.0004]", NULL, false },
	{ "[]", NULL, false },
	{ "[IPv6:1:2:3:4:5:6:7:8]", "1:2:3:4:5:6:7:8", true },
	{ "[ipv6:2001:db8::1]", "2001:db8::1", true },
	{ "[IPv6:::]", "::", true },
	{ "[IPv6:::1]", "::1", true },
	{ "[IPv6:1::]", "1::", true },
	{ "[IPv6:1:2:3:4:5:6::]", "1:2:3:4:5:6::", true },
	{ "[IPv6:1:2:3:4:5:6::8]", NULL, false },
	{ "[IPv6:1:2:3::5:6:7]", "1:2:3::5:6:7", true },
	{ "[IPv6:1:2:3:4:5:6:7]", NULL, false },
	{ "[IPv6:1:2:3:4:5:6:7:8:9]", NULL, false },
	{ "[IPv6:1::2::3]", NULL, false },
	{ "[IPv6::1]", NULL, false },
	{ "[IPv6:1:]", NULL, false },
	{ "[IPv6:12345::]", NULL, false },
	{ "[IPv6:g::]", NULL, false },
	{ "[IPv6::::]", NULL, false },
	{ "[IPv6:1:2:3:4:5:6:1.2.3.4]", "1:2:3:4:5:6:1.2.3.4", true },
	{ "[IPv6:::ffff:1.2.3.4]", "::ffff:1.2.3.4", true },
	{ "[IPv6:::1.2.3.4]", "::1.2.3.4", true },
	{ "[IPv6:1:2:3:4::1.2.3.4]", "1:2:3:4::1.2.3.4", true },
	{ "[IPv6:1:2:3:4:5::1.2.3.4]", NULL, false },
	{ "[IPv6:1.2.3.4::]", NULL, false },
	{ "[IPv6:1.2.3.4]", NULL, false },
	{ "[IPv6:]", NULL, false },
	{ "[x-400:anything]", NULL, true },
	{ "[x-:a]", NULL, false },
	{ "[x:]", NULL, false },
	{ "[x:a b]", NULL, false },
	{ "[x:a\\b]", NULL, false },
	{ "1.2.3.4", NULL, false },
};

static void literals_are_read_by_the_grammar(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(literals) / sizeof(literals[0]); i++) {
		const struct literal_row *row = &literals[i];
		struct span text = span_of(row->text);
		struct span ip = { NULL, 0 };
		bool v6 = false;
		bool has_ip = address_literal_ip(text, &ip, &v6);

		if (address_is_literal(text) != row->valid || has_ip != (row->ip != NULL))
			fail_msg("%s", row->text);
		if (has_ip) {
			assert_true(span_eq(ip, span_of(row->ip)));
			assert_int_equal(v6, strchr(row->ip, ':') != NULL);
		}
	}
}

static const struct eq_row {
	const char *a;
	const char *b;
	bool eq;
	bool eq_nocase;
	const char *key; /* of a */
} equals[] = {
	{ "fred@x", "fred@X", true, true, "fred@x" },
	{ "Fred@x", "fred@x", false, true, "fred@x" },
	{ "\"fred\"@x", "fred@x", true, true, "fred@x" },
	{ "\"f\\red\"@x", "fred@x", true, true, "fred@x" },
	{ "\"F R\"@x", "\"f r\"@x", false, true, "f r@x" },
	{ "a@x", "a@y", false, false, "a@x" },
	{ "a@x", "b@x", false, false, "a@x" },
	{ "\"a@b\"@X", "a@b", false, false, "a@b@x" },
	{ "postmaster", "Postmaster", false, true, "postmaster" },
	{ "", "", true, true, "" },
	{ "", "\"\"@x", false, false, "" },
	{ "a@[IPv6:::A]", "a@[ipv6:::a]", true, true, "a@[ipv6:::a]" },
};

static void quoted_forms_are_equivalent(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(equals) / sizeof(equals[0]); i++) {
		char key[ADDRESS_TEXT_BYTES_MAX];
		struct address a;
		struct address b;

		assert_int_equal(address_parse_text(span_of(equals[i].a), &a), ADDRESS_OK);
		assert_int_equal(address_parse_text(span_of(equals[i].b), &b), ADDRESS_OK);
		if (address_eq(a, b) != equals[i].eq || address_eq_nocase(a, b) != equals[i].eq_nocase)
			fail_msg("%s and %s", equals[i].a, equals[i].b);
		if (!span_eq(address_key(a, key), span_of(equals[i].key)))
			fail_msg("key of %s", equals[i].a);
	}
}

static void the_postmaster_is_known_in_every_form(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool yes;
	} names[] = { { "postmaster", true },     { "POSTMASTER@x", true },  { "\"post\\master\"@x", true },
		      { "postmaster1@x", false }, { "x@postmaster", false }, { "", false } };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct address a;
		assert_int_equal(address_parse_text(span_of(names[i].text), &a), ADDRESS_OK);
		assert_int_equal(address_is_postmaster(a), names[i].yes);
	}
}

static void both_forms_append_to_a_buf(void **state)
{
	(void)state;
	struct buf out = { 0 };
	struct address a;

	assert_int_equal(address_parse_text(span_of("\"A\"@B"), &a), ADDRESS_OK);
	address_add_text(&out, a);
	buf_add_cstr(&out, " ");
	address_add_key(&out, a);
	assert_string_equal(buf_cstr(&out), "A@B a@b");
	buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths_are_read_by_the_grammar),
		cmocka_unit_test(a_text_reads_back_as_the_same_address),
		cmocka_unit_test(a_mailbox_is_the_whole_span),
		cmocka_unit_test(a_domain_of_255_passes_and_256_does_not),
		cmocka_unit_test(literals_are_read_by_the_grammar),
		cmocka_unit_test(quoted_forms_are_equivalent),
		cmocka_unit_test(the_postmaster_is_known_in_every_form),
		cmocka_unit_test(both_forms_append_to_a_buf),
	};
	return cmocka_run_group_tests_name("address", tests, NULL, NULL);
}
