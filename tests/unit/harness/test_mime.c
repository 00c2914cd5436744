/*
 * message and mime: headers, fields, parts, parameters and delivery-status
 * groups, on messages as they should be and as they come.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/wire/message.h"
#include "harness/wire/mime.h"
#include "tests/unit/harness/exact.h"

/* ---- message ---- */
static void header_and_body_part_at_the_first_empty_line(void **state)
{
	static const struct {
		const char *message;
		const char *header;
		const char *body;
		bool found;
	} table[] = {
		{ "A: b\r\n\r\nbody\r\n", "A: b\r\n", "body\r\n", true },
		{ "\r\nbody", "", "body", true },
		{ "A: b\r\n\r\n", "A: b\r\n", "", true },
		{ "A: b\r\n", "A: b\r\n", "", false },
		{ "A: b\n\nbody", "A: b\n", "body", true },
		{ "A: b\r\n \r\n\r\nx", "A: b\r\n \r\n", "x", true },
		{ "", "", "", false },
		{ "\r", "\r", "", false },
		{ "A: b\r\n\rx\r\n\r\ny", "A: b\r\n\rx\r\n", "y", true },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct exact m = exact_of(span_of(table[i].message));
		struct span header, body;
		assert_int_equal(message_split(exact_span(m), &header, &body), table[i].found);
		assert_span_text(header, table[i].header);
		assert_span_text(body, table[i].body);
		exact_free(m);
	}
}

static void fields_are_found_folded_and_repeated(void **state)
{
	(void)state;
	struct exact h =
		exact_of(SPAN_LIT("From me at noon\r\n stray\r\nReceived: one\r\nSubject: a\r\n\tb\r\n  c\r\n"
				  "junk\r\nRECEIVED : two\r\nEmpty:\r\nMessage-ID:\r\n <x@y> (why)\r\n"));
	struct span header = exact_span(h);
	struct buf value = { 0 };
	struct field f;
	assert_int_equal(field_count(header, SPAN_LIT("received")), 2);
	assert_true(field_find(header, SPAN_LIT("Received"), 1, &f));
	assert_span_text(f.raw, " two");
	assert_span_text(f.whole, "RECEIVED : two\r\n");
	assert_false(field_find(header, SPAN_LIT("Received"), 2, &f));
	assert_true(field_value(header, SPAN_LIT("Subject"), &value));
	assert_span_text(buf_span(&value), "a\tb  c");
	buf_reset(&value);
	assert_true(field_value(header, SPAN_LIT("Empty"), &value));
	assert_int_equal(buf_bytes(&value), 0);
	assert_false(field_value(header, SPAN_LIT("Absent"), &value));
	assert_span_text(field_message_id(header), "x@y");
	buf_free(&value);
	exact_free(h);
}

static void comments_go_and_quoted_strings_stay(void **state)
{
	static const struct {
		const char *in;
		const char *out;
	} table[] = { { "5.1.1 (bad (very) mailbox)", "5.1.1 " },
		      { "\"a (b)\" c", "\"a (b)\" c" },
		      { "a (\\) b) c", "a  c" },
		      { "a \\( b", "a \\( b" },
		      { "a (open", "a " },
		      { "a ) b", "a ) b" } };
	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct buf out = { 0 };
		struct exact in = exact_of(span_of(table[i].in));
		field_strip_comments(exact_span(in), &out);
		assert_span_text(buf_span(&out), table[i].out);
		buf_free(&out);
		exact_free(in);
	}
}

static void breaches_of_the_format_are_noted(void **state)
{
	static const struct {
		const char *name;
		struct span message;
		uint32_t notes;
	} table[] = {
		{ "clean", { "A: b\r\n c\r\n\r\nx\r\n", 15 }, 0 },
		{ "bare LF", { "A: b\r\n\r\nx\n", 10 }, MESSAGE_BARE_LF },
		{ "bare CR", { "A: b\r\n\r\nx\ry\r\n", 13 }, MESSAGE_BARE_CR },
		{ "odd field", { "A b\r\n\r\n", 7 }, MESSAGE_ODD_FIELD },
		{ "continuation of nothing", { " b\r\n\r\n", 6 }, MESSAGE_ODD_FIELD },
		{ "no body", { "A: b\r\n", 6 }, MESSAGE_NO_BODY },
		{ "8-bit header", { "A: \xe4\r\n\r\n", 8 }, MESSAGE_8BIT_HEADER },
		{ "8-bit body is another matter", { "A: b\r\n\r\n\xe4\r\n", 11 }, 0 },
		{ "NUL", { "A: b\r\n\r\n\0\r\n", 11 }, MESSAGE_NUL },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct exact m = exact_of(table[i].message);
		uint32_t notes = message_notes(exact_span(m));
		if (notes != table[i].notes)
			fail_msg("%s: %x", table[i].name, notes);
		exact_free(m);
	}
}

/* ---- mime ---- */
static void parameters_are_read(void **state)
{
	static const struct {
		const char *value;
		const char *name;
		const char *expected; /* NULL: absent */
	} table[] = {
		{ " multipart/report; report-type=delivery-status; boundary=\"a b\"", "boundary", "a b" },
		{ " multipart/report; report-type=delivery-status; boundary=\"a b\"", "Report-Type",
		  "delivery-status" },
		{ "text/plain;\r\n\tcharset=utf-8 (comment)", "charset", "utf-8" },
		{ "text/plain (c) ; (d) charset (e) = (f) \"u\\\"x\"", "charset", "u\"x" },
		{ "text/plain; xboundary=1", "boundary", NULL },
		{ "text/plain; boundary=\"open", "boundary", NULL },
		{ "text/plain; boundary=", "boundary", NULL },
		{ "text/plain; boundary", "boundary", NULL },
		{ "text/plain; a=b;", "c", NULL },
		{ "text; a=b", "a", NULL },
		{ "text/plain (open; a=b", "a", NULL },
		{ "", "a", NULL },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct exact in = exact_of(span_of(table[i].value));
		struct buf out = { 0 };
		bool found = mime_param(exact_span(in), span_of(table[i].name), &out);
		if (found != (table[i].expected != NULL) ||
		    strcmp(buf_cstr(&out), found ? table[i].expected : "") != 0)
			fail_msg("%s: %d \"%s\"", table[i].value, found, buf_cstr(&out));
		buf_free(&out);
		exact_free(in);
	}
}

static bool list_part(void *ctx, const struct mime_part *p)
{
	struct buf *out = ctx;
	buf_addf(out, "%u.%u<%u %.*s/%.*s %.*s [%.*s]\n", p->depth, p->index, p->parent, SPAN_FMT(p->type),
		 SPAN_FMT(p->subtype), SPAN_FMT(p->encoding),
		 SPAN_FMT(p->depth == 0 ? (struct span){ 0 } : p->body));
	return true;
}

struct walk_row {
	const char *name;
	const char *message;
	const char *parts;
	uint32_t notes;
};

#define MULTI(boundary) "Content-Type: multipart/mixed; boundary=" boundary "\r\n\r\n"

static const struct walk_row walk_rows[] = {
	{ "no MIME", "A: b\r\n\r\nhi\r\n", "0.0<0 text/plain 7bit []\n", 0 },
	{ "bad type is text/plain", "Content-Type: nonsense\r\n\r\nhi", "0.0<0 text/plain 7bit []\n", 0 },
	{ "two parts, preamble and epilogue",
	  MULTI("x") "pre\r\n--x\r\n\r\none\r\n--x\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: "
		     "base64\r\n\r\ntwo\r\n\r\n--x--\r\nepi\r\n--x\r\n",
	  "0.0<0 multipart/mixed 7bit []\n1.1<0 text/plain 7bit [one]\n1.2<0 image/png base64 [two\r\n]\n",
	  0 },
	{ "nested",
	  MULTI("x") "--x\r\nContent-Type: multipart/alternative; "
		     "boundary=xx\r\n\r\n--xx\r\n\r\na\r\n--xx--\r\n\r\n--x "
		     "\t\r\n\r\nb\r\n--x--\r\n",
	  "0.0<0 multipart/mixed 7bit []\n1.1<0 multipart/alternative 7bit [--xx\r\n\r\na\r\n--xx--\r\n]\n"
	  "2.2<1 text/plain 7bit [a]\n1.3<0 text/plain 7bit [b]\n",
	  0 },
	{ "attached message", MULTI("x") "--x\r\nContent-Type: message/rfc822\r\n\r\nA: b\r\n\r\nin\r\n--x--",
	  "0.0<0 multipart/mixed 7bit []\n1.1<0 message/rfc822 7bit [A: b\r\n\r\nin]\n2.2<1 text/plain 7bit "
	  "[in]\n",
	  0 },
	{ "digest",
	  "Content-Type: multipart/digest; boundary=x\r\n\r\n--x\r\n\r\nA: b\r\n\r\nin\r\n--x--\r\n",
	  "0.0<0 multipart/digest 7bit []\n1.1<0 message/rfc822 7bit [A: b\r\n\r\nin]\n2.2<1 text/plain 7bit "
	  "[in]\n",
	  0 },
	{ "unclosed", MULTI("x") "--x\r\n\r\none\r\n",
	  "0.0<0 multipart/mixed 7bit []\n1.1<0 text/plain 7bit [one\r\n]\n", MIME_UNCLOSED },
	{ "never opened", MULTI("x") "text\r\n--y\r\n--xy\r\n", "0.0<0 multipart/mixed 7bit []\n",
	  MIME_NO_OPENING },
	{ "no boundary", "Content-Type: multipart/mixed\r\n\r\n--x\r\n", "0.0<0 multipart/mixed 7bit []\n",
	  MIME_NO_BOUNDARY },
	{ "encoded multipart", "Content-Transfer-Encoding: base64\r\n" MULTI("x") "--x\r\n\r\na\r\n--x--",
	  "0.0<0 multipart/mixed base64 []\n1.1<0 text/plain 7bit [a]\n", MIME_ENCODED_MULTIPART },
};

static void parts_come_in_order_with_their_bodies(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(walk_rows) / sizeof(walk_rows[0]); i++) {
		struct exact m = exact_of(span_of(walk_rows[i].message));
		struct buf parts = { 0 };
		uint32_t notes = mime_walk(exact_span(m), list_part, &parts);
		if (notes != walk_rows[i].notes || strcmp(buf_cstr(&parts), walk_rows[i].parts) != 0)
			fail_msg("%s: notes %x\n%s", walk_rows[i].name, notes, buf_cstr(&parts));
		buf_free(&parts);
		exact_free(m);
	}
}

static void depth_and_number_are_limited(void **state)
{
	(void)state;
	struct buf deep = { 0 }, wide = { 0 }, parts = { 0 };
	for (int i = 0; i < MIME_DEPTH_MAX + 2; i++)
		buf_add_cstr(&deep, "Content-Type: message/rfc822\r\n\r\n");
	assert_int_equal(mime_walk(buf_span(&deep), list_part, &parts), MIME_TOO_DEEP);
	buf_add_cstr(&wide, MULTI("x"));
	for (int i = 0; i < MIME_PARTS_MAX + 2; i++)
		buf_add_cstr(&wide, "--x\r\n\r\na\r\n");
	assert_int_equal(mime_walk(buf_span(&wide), list_part, &parts) & MIME_TOO_MANY, MIME_TOO_MANY);
	buf_free(&deep);
	buf_free(&wide);
	buf_free(&parts);
}

static const char report[] =
	"Content-Type: multipart/report; report-type=delivery-status;\r\n boundary=\"b-1\"\r\n\r\n"
	"--b-1\r\n\r\nSorry.\r\n\r\n"
	"--b-1\r\nContent-Type: message/delivery-status\r\n\r\n"
	"Reporting-MTA: dns; isp2.example\r\n\r\n"
	"Final-Recipient: rfc822;sales@fredsco.example\r\nAction: failed\r\nStatus: 5.1.1\r\n"
	"Diagnostic-Code: smtp; 550\r\n 5.1.1 unknown\r\n\r\n\r\n"
	"Final-Recipient: RFC822 ; x@y\r\nAction: delayed\r\n\r\n"
	"--b-1\r\nContent-Type: message/rfc822\r\n\r\nMessage-ID: <1@x>\r\n\r\nhi\r\n"
	"--b-1--\r\n";

static void a_delivery_report_is_taken_apart(void **state)
{
	(void)state;
	struct exact m = exact_of(span_of(report));
	struct mime_part part;
	struct buf value = { 0 };
	struct span group, type, text;
	assert_true(mime_find(exact_span(m), SPAN_LIT("message"), SPAN_LIT("delivery-status"), &part));
	struct span body = part.body;
	assert_true(status_group_next(&body, &group));
	assert_true(field_value(group, SPAN_LIT("reporting-mta"), &value));
	assert_true(status_typed_value(buf_span(&value), &type, &text));
	assert_span_text(type, "dns");
	assert_span_text(text, "isp2.example");
	assert_true(status_group_next(&body, &group));
	buf_reset(&value);
	assert_true(field_value(group, SPAN_LIT("Diagnostic-Code"), &value));
	assert_span_text(buf_span(&value), "smtp; 550 5.1.1 unknown");
	assert_true(status_group_next(&body, &group));
	buf_reset(&value);
	assert_true(field_value(group, SPAN_LIT("Final-Recipient"), &value));
	assert_true(status_typed_value(buf_span(&value), &type, &text));
	assert_span_text(type, "RFC822");
	assert_span_text(text, "x@y");
	assert_false(status_group_next(&body, &group));
	assert_false(status_typed_value(SPAN_LIT("no semicolon"), &type, &text));
	assert_true(mime_find(exact_span(m), SPAN_LIT("message"), SPAN_LIT("rfc822"), &part));
	assert_int_equal(part.index, 3);
	assert_false(mime_find(exact_span(m), SPAN_LIT("image"), SPAN_LIT("png"), &part));
	buf_free(&value);
	exact_free(m);
}

static void bodies_are_decoded_by_their_encoding(void **state)
{
	static const struct {
		const char *encoding;
		const char *body;
		const char *out;
		bool good;
	} table[] = { { "base64", "Zm9v\r\n", "foo", true },
		      { "Quoted-Printable", "=41=\r\n", "A", true },
		      { "8bit", "\xe4", "\xe4", true },
		      { "x-rot13", "nop", "nop", false } };
	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct mime_part p = { .body = span_of(table[i].body),
				       .encoding = span_of(table[i].encoding) };
		struct buf out = { 0 };
		assert_int_equal(mime_decode(&p, &out), table[i].good);
		assert_span_text(buf_span(&out), table[i].out);
		buf_free(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(header_and_body_part_at_the_first_empty_line),
		cmocka_unit_test(fields_are_found_folded_and_repeated),
		cmocka_unit_test(comments_go_and_quoted_strings_stay),
		cmocka_unit_test(breaches_of_the_format_are_noted),
		cmocka_unit_test(parameters_are_read),
		cmocka_unit_test(parts_come_in_order_with_their_bodies),
		cmocka_unit_test(depth_and_number_are_limited),
		cmocka_unit_test(a_delivery_report_is_taken_apart),
		cmocka_unit_test(bodies_are_decoded_by_their_encoding),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
