/*
 * request_check: what of a request passes, and what does not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/conform/request_check.h"

#include <string.h>

#define HEAD                                                                                      \
	"case: a/b\ntitle: t\nreq: RFC8461-3.2-x MUST\nrole: client\nneeds: submission mta-sts\n" \
	"== verdict\npolicy-host mta-sts\nasked mta-sts:\n   "

static const struct row {
	const char *check;
	const char *why; /* NULL: it passes */
} ROWS[] = {
	{ "request == \"GET /x\"", NULL },
	{ "request == \"HEAD /x\"", "the request is \"GET /x\"" },
	{ "request == \"GET /x?\"", "the request is \"GET /x\"" },
	{ "request has \"/x\"", NULL },
	{ "request has \"/y\"", "the request is \"GET /x\"" },
	{ "request lacks \"?\"", NULL },
	{ "request lacks \"GET\"", "the request is \"GET /x\"" },
	{ "server-name == \"a.${zone}\"", NULL },
	{ "server-name == \"${zone}\"", "the name asked for is \"a.b.example\"" },
	{ "header host == \"a.${zone}\"", NULL },
	{ "header Host == \"a\"", "Host is \"a.b.example\"" },
	{ "header Host has \"b.ex\"", NULL },
	{ "header Host has \"B.\"", "Host is \"a.b.example\"" },
	{ "header Host lacks \"c\"", NULL },
	{ "header Host lacks \"\"", "Host is \"a.b.example\"" },
	{ "header ETag lacks \"\"", NULL },
	{ "header ETag == \"\"", "there is no ETag" },
	{ "header ETag has \"\"", "there is no ETag" },
	{ "header Empty == \"\"", NULL },
	{ "header Empty lacks \"\"", "Empty is \"\"" },
	{ "header Twice == \"a\"", "Twice is \"b\"" },
	{ "header Twice == \"b\"", "Twice is \"a\"" },
	{ "header Twice lacks \"b\"", "Twice is \"b\"" },
	{ "header Twice lacks \"c\"", NULL },
	{ "count == 7", NULL }, /* of another place */
};

/* Of a handshake that asked for no name. */
static const struct row UNNAMED = { "server-name == \"a.${zone}\"", "no name was asked for" };

static void hold(const struct policy_request *q, const struct row *r, const struct values *v)
{
	struct buf text = { 0 }, messages = { 0 }, why = { 0 };

	buf_addf(&text, "%s%s\n", HEAD, r->check);
	struct case_file *c = case_read(&(struct case_options){
		.path = "t.case", .text = buf_span(&text), .ret_messages = &messages });
	assert_string_equal(buf_cstr(&messages), "");
	bool passes = request_passes(q, &c->steps[1], v, &why);
	if (passes != (r->why == NULL) || strcmp(buf_cstr(&why), r->why != NULL ? r->why : "") != 0)
		fail_msg("%s: %s", r->check, buf_cstr(&why));
	case_free(c);
	buf_free(&text);
	buf_free(&messages);
	buf_free(&why);
}

static void requests_are_held_against_checks(void **state)
{
	(void)state;
	struct policy_request q = { .connection = 1 };
	struct values v = { 0 };

	buf_add_cstr(&q.line, "GET /x");
	buf_add_cstr(&q.fields, "Host: a.b.example\nEmpty: \nTwice: a\nTwice: b\n");
	values_set(&v, SPAN_LIT("zone"), SPAN_LIT("b.example"), false);
	hold(&q, &UNNAMED, &v);
	buf_add_cstr(&q.server_name, "a.b.example");
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++)
		hold(&q, &ROWS[i], &v);
	values_free(&v);
	buf_free(&q.line);
	buf_free(&q.fields);
	buf_free(&q.server_name);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_are_held_against_checks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
