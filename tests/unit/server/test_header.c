/* header: what is counted and where the section ends, whole and byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "reference-server/core/header.h"

static const struct row {
	const char *name;
	const char *header; /* the header section, empty line included */
	const char *rest;
	enum header_end end;
	const char *fields; /* one letter for each field in order of its enum value, see letters[] */
} rows[] = {
	{ "nothing", "", "", HEADER_OPEN, "" },
	{ "regular", "From: a@b\r\nTo: c\r\n\r\n", "body: x\r\n", HEADER_EMPTY_LINE, "ft" },
	{ "names without case", "dAtE: x\r\nMESSAGE-ID: <y>\r\n\r\n", "", HEADER_EMPTY_LINE, "dm" },
	{ "each known field",
	  "Received: x\r\nReturn-Path: <>\r\nDate: x\r\nFrom: x\r\nSender: x\r\nReply-To: x\r\nTo: x\r\nCc: "
	  "x\r\nBcc: x\r\nMessage-ID: x\r\nSubject: x\r\nMIME-Version: 1.0\r\nContent-Type: "
	  "x\r\nContent-Transfer-Encoding: x\r\nAuto-Submitted: no\r\nTLS-Required: x\r\nResent-From: "
	  "x\r\nResent-Sender: x\r\nResent-To: x\r\nResent-Cc: x\r\nResent-Bcc: x\r\nX-Other: y\r\n\r\n",
	  "", HEADER_EMPTY_LINE, "rRdfsptcbmSvTeaq12345o" },
	{ "counted, not only seen", "Received: a\r\nReceived: b\r\nReceived: c\r\n\r\n", "",
	  HEADER_EMPTY_LINE, "rrr" },
	{ "folded field", "Received: a\r\n\tDate: no\r\n From: no\r\nDate: x\r\n\r\n", "", HEADER_EMPTY_LINE,
	  "rd" },
	{ "no empty line", "Date: x\r\n", "", HEADER_OPEN, "d" },
	{ "unfinished name", "Date: x\r\nFro", "", HEADER_OPEN, "d" },
	{ "blank before the colon", "Date : x\r\nFrom\t: y\r\n\r\n", "", HEADER_EMPTY_LINE, "df" },
	{ "empty field", "Date:\r\n\r\n", "", HEADER_EMPTY_LINE, "d" },
	{ "body at once", "\r\n", "Date: x\r\n", HEADER_EMPTY_LINE, "" },
	{ "no header section", "", "hello world\r\nDate: x\r\n", HEADER_NOT_A_FIELD, "" },
	{ "body without an empty line", "Date: x\r\n", "hello\r\n", HEADER_NOT_A_FIELD, "d" },
	{ "line without a name", "Date: x\r\n", ": y\r\n", HEADER_NOT_A_FIELD, "d" },
	{ "8-bit in a name", "Date: x\r\n", "Fr\xc3\xb6m: y\r\n", HEADER_NOT_A_FIELD, "d" },
	{ "continuation of nothing", "", " x\r\nDate: x\r\n", HEADER_NOT_A_FIELD, "" },
	{ "mbox line", "", "From a@b Mon Jan 1\r\nDate: x\r\n", HEADER_NOT_A_FIELD, "" },
	{ "bare CR at line start", "Date: x\r\n", "\rFrom: y\r\n", HEADER_NOT_A_FIELD, "d" },
	{ "LF lines", "Date: x\nFrom: y\n\n", "To: z\n", HEADER_EMPTY_LINE, "df" },
	{ "prefix of a known name", "Dat: x\r\nDates: y\r\n\r\n", "", HEADER_EMPTY_LINE, "oo" },
	{ "name of 32 bytes", "X2345678901234567890123456789012: y\r\n\r\n", "", HEADER_EMPTY_LINE, "o" },
	{ "name of 33 bytes", "X23456789012345678901234567890123: y\r\n\r\n", "", HEADER_EMPTY_LINE, "o" },
	{ "name of 70 bytes",
	  "X234567890123456789012345678901234567890123456789012345678901234567890: y\r\nDate: z\r\n\r\n", "",
	  HEADER_EMPTY_LINE, "do" },
};

static const char letters[HEADER_FIELD_COUNT + 2] = "rRdfsptcbmSvTeaq12345o";

static void check(const struct row *row, size_t step)
{
	size_t header_bytes = strlen(row->header);
	struct buf content = { 0 };
	struct header_scan h;
	size_t fields = 0;

	buf_add_cstr(&content, row->header);
	buf_add_cstr(&content, row->rest);
	size_t n = buf_bytes(&content);
	header_scan_init(&h);
	for (size_t at = 0; at < n; at += step) {
		size_t run_bytes = step < n - at ? step : n - at;
		char *run = malloc(run_bytes);
		assert_non_null(run);
		memcpy(run, buf_cstr(&content) + at, run_bytes);
		header_scan_feed(&h, (struct span){ run, run_bytes });
		free(run);
	}
	for (size_t f = 0; f <= HEADER_FIELD_COUNT; f++) {
		uint32_t want = 0;
		for (const char *p = row->fields; *p != '\0'; p++)
			want += *p == letters[f];
		if (h.count[f] != want)
			fail_msg("%s, step %zu: field %zu counted %u", row->name, step, f, h.count[f]);
		fields += want;
	}
	assert_int_equal(fields, strlen(row->fields));
	if (h.end != row->end || h.header_bytes != header_bytes)
		fail_msg("%s, step %zu: end %d, %d bytes", row->name, step, (int)h.end, (int)h.header_bytes);
	buf_free(&content);
}

static void fields_are_counted_at_every_split(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (size_t step = 1; step <= 100; step++)
			check(&rows[i], step);
}

static void a_present_field_is_found(void **state)
{
	(void)state;
	struct header_scan h;

	header_scan_init(&h);
	header_scan_feed(&h, SPAN_LIT("Date: x\r\n\r\n"));
	assert_true(header_has(&h, HEADER_DATE));
	assert_false(header_has(&h, HEADER_FROM));
}

static void what_is_not_ascii_and_what_waives_tls_is_seen(void **state)
{
	(void)state;
	static const struct {
		const char *content;
		bool has_8bit;
		bool waives;
	} cases[] = {
		{ "Subject: x\r\n\r\n\xc3\xa4", false, false },
		{ "Subject: \xc3\xa4\r\n\r\n", true, false },
		{ "Subject: x\r\n \xc3\xa4\r\n\r\n", true, false },
		{ "TLS-Required: No\r\n\r\n", false, true },
		{ "tls-required:\r\n\t nO \r\nX: y\r\n\r\n", false, true },
		{ "TLS-Required: Now\r\n\r\n", false, false },
		{ "TLS-Required: N o p\r\n\r\n", false, false },
		{ "TLS-Required: yes\r\n no\r\n\r\n", false, false },
		{ "TLS-Required: no, no\r\n\r\n", false, false },
		{ "TLS-Required:\r\n\r\n", false, false },
		{ "TLS-Required: No\r\nTLS-Required: No\r\n\r\n", false, false },
		{ "Subject: TLS-Required: No\r\n\r\nTLS-Required: No\r\n", false, false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (size_t step = 1; step < 20; step++) {
			struct span all = span_of(cases[i].content);
			struct header_scan h;
			header_scan_init(&h);
			for (size_t at = 0; at < all.n; at += step)
				header_scan_feed(&h, span_sub(all, at, step));
			if (h.has_8bit != cases[i].has_8bit || header_waives_tls(&h) != cases[i].waives)
				fail_msg("%s, step %zu: %d %d", cases[i].content, step, h.has_8bit,
					 header_waives_tls(&h));
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_are_counted_at_every_split),
		cmocka_unit_test(a_present_field_is_found),
		cmocka_unit_test(what_is_not_ascii_and_what_waives_tls_is_seen),
	};
	return cmocka_run_group_tests_name("header", tests, NULL, NULL);
}
