#include "harness/scenario/template.h"

#include "tests/unit/harness/exact.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct vars *two_accounts(void)
{
	struct vars *v = vars_new();

	vars_set(v, "hostname", "mx.a.example");
	vars_set(v, "smart-host.ip", "");
	vars_set(v, "tls.out", "yes");
	vars_set_item(v, "account", 0, "account.local", "ann");
	vars_set_item(v, "account", 1, "account.local", "bob");
	vars_set_item(v, "domain", 0, "domain.name", "a.example");
	vars_set_item(v, "list", 0, "list.members", "ann, bob");
	vars_set_item(v, "lmtp", 0, "lmtp.domain", "l.example");
	return v;
}

static const struct row {
	const char *name;
	const char *text;
	const char *out; /* NULL: a mistake */
	const char *message;
} rows[] = {
	{ "no variable", "a\nb", "a\nb", "" },
	{ "a variable", "h=${hostname};", "h=mx.a.example;", "" },
	{ "one without a value", "[${domain}]", "[]", "" },
	{ "a plain dollar", "$x $${hostname} $", "$x ${hostname} $", "" },
	{ "an unknown name", "a\n  ${hostnam}", NULL,
	  "t:2:3: error: there is no variable \"hostnam\"; did you mean \"hostname\"?\n    2 |   "
	  "${hostnam}\n      |   ^\n" },
	{ "no end of a name", "${hostname", NULL, "without \"}\"" },
	{ "a loop", "<\n%for account\n${account.local}\n%end\n>\n", "<\nann\nbob\n>\n", "" },
	{ "a loop over nothing", "%for domain\n%for account\n${account.local}${domain.name}\n%end\n%end\n",
	  "anna.example\nboba.example\n", "" },
	{ "a loop over domains by LMTP", "%for lmtp\n${lmtp.domain}: lmtp\n%end\n", "l.example: lmtp\n", "" },
	{ "a loop over lists", "%for list\n[${list.members}]\n%end\n", "[ann, bob]\n", "" },
	{ "an item outside", "${account.local}", NULL, "inside its %for only" },
	{ "an unknown list", "%for host\n%end\n", NULL, "t:1:6: error: there is no list" },
	{ "a condition that holds", "%if tls.out\nx\n%end\n", "x\n", "" },
	{ "one that does not", "%if smart-host.ip\nx\n%end\n", "", "" },
	{ "the reverse", "%if not smart-host.ip\nx\n%end\n", "x\n", "" },
	{ "a condition on nothing", "%if tls.ou\n%end\n", NULL, "t:1:5: error: there is no variable" },
	{ "mistakes in what is left out", "%if smart-host.ip\n${x}\n%end\n", NULL, "t:2:1: error" },
	{ "no end", "%if tls.out\nx\n", NULL, "t:1:1: error: this has no %end" },
	{ "too many ends", "%end\n", NULL, "%end without" },
	{ "another line with %", "%fro account\n", NULL, "is %for LIST" },
	{ "a plain %", "%%for\n", "%for\n", "" },
	{ "too deep", "%if tls.out\n%if tls.out\n%if tls.out\n%if tls.out\n%end\n", NULL, "more than 3" },
	{ "one message for all items", "%for account\n${x}\n%end\n", NULL, "t:2:1: error" },
};

static void a_template_gives_its_text_or_says_where_it_is_wrong(void **state)
{
	(void)state;
	struct vars *v = two_accounts();

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf out = { 0 }, messages = { 0 }, checked = { 0 };
		struct exact copy = exact_of(span_of(rows[i].text));
		struct span text = exact_span(copy);
		uint32_t count = template_expand(&(struct template_options){
			.path = "t", .text = text, .vars = v, .ret_text = &out, .ret_messages = &messages });
		uint32_t found = template_expand(
			&(struct template_options){ .path = "t", .text = text, .ret_messages = &checked });
		/* Looking for mistakes finds those that expanding finds. */
		assert_int_equal(count, found);
		assert_string_equal(buf_cstr(&messages), buf_cstr(&checked));
		if ((count == 0) != (rows[i].out != NULL) ||
		    (count == 0 && strcmp(buf_cstr(&out), rows[i].out) != 0) ||
		    strstr(buf_cstr(&messages), rows[i].message) == NULL)
			fail_msg("%s: %u %s %s", rows[i].name, count, buf_cstr(&out), buf_cstr(&messages));
		exact_free(copy);
		buf_free(&out);
		buf_free(&messages);
		buf_free(&checked);
	}
	vars_free(v);
}

static void more_output_than_there_may_be_is_a_mistake(void **state)
{
	(void)state;
	struct vars *v = vars_new();
	struct buf text = { 0 }, out = { 0 }, messages = { 0 };

	for (uint32_t i = 0; i < 64; i++)
		vars_set_item(v, "account", i, "account.local", "x");
	buf_add_cstr(&text, "%for account\n%for account\n%for account\n");
	for (int i = 0; i < 10; i++)
		buf_add_cstr(&text, "0123456789");
	buf_add_cstr(&text, "\n%end\n%end\n%end\n");
	uint32_t count = template_expand(&(struct template_options){ .path = "t",
								     .text = buf_span(&text),
								     .vars = v,
								     .ret_text = &out,
								     .ret_messages = &messages });
	assert_int_equal(count, 1);
	assert_true(buf_bytes(&out) <= TEMPLATE_OUTPUT_BYTES_MAX);
	assert_non_null(strstr(buf_cstr(&messages), "bytes come out"));
	buf_free(&text);
	buf_free(&out);
	buf_free(&messages);
	vars_free(v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_template_gives_its_text_or_says_where_it_is_wrong),
		cmocka_unit_test(more_output_than_there_may_be_is_a_mistake),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
