/* convert: what becomes of each kind of part, and that it decodes to the same bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "reference-server/core/convert.h"

#define T "Content-Type: "
#define E "Content-Transfer-Encoding: "
#define X73 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define MIXED T "multipart/mixed; boundary=\"=_x y\"\r\n"

static const struct {
	const char *name;
	enum convert_result result;
	const char *in, *out; /* out NULL: the same */
} rows[] = {
	{ "ASCII stays", CONVERT_OK, "A: b\r\n" E "8bit\r\n\r\nplain\r\n", NULL },
	{ "no MIME becomes some", CONVERT_OK, "A: b\r\n\r\nh\xf6ren\r\n",
	  "A: b\r\n" E "quoted-printable\r\nMIME-Version: 1.0\r\n" T
	  "text/plain; charset=unknown-8bit\r\n\r\nh=F6ren\r\n" },
	{ "text, its encoding replaced where it stands", CONVERT_OK,
	  "MIME-Version: 1.0\r\n" E "8BIT (c\r\n o)\r\n" T "text/plain\r\n\r\nh\xf6ren\r\nviel\r\n",
	  "MIME-Version: 1.0\r\n" E "quoted-printable\r\n" T "text/plain\r\n\r\nh=F6ren\r\nviel\r\n" },
	{ "text that is mostly 8-bit", CONVERT_OK,
	  "Mime-version: 1.0\r\n" T "Text/plain\r\n\r\n\xd0\x94\xd0\xb0\r\n",
	  "Mime-version: 1.0\r\n" T "Text/plain\r\n" E "base64\r\n\r\n0JTQsA0K\r\n" },
	{ "no text", CONVERT_OK, "MIME-Version: 1.0\r\n" T "image/png\r\n\r\n\x89PNG\n",
	  "MIME-Version: 1.0\r\n" T "image/png\r\n" E "base64\r\n\r\niVBORwo=\r\n" },
	{ "text that does not end with a line", CONVERT_OK,
	  "MIME-Version: 1.0\r\n" T "text/plain\r\n\r\nviele \xf6",
	  "MIME-Version: 1.0\r\n" T "text/plain\r\n" E "quoted-printable\r\n\r\nviele =F6=\r\n" },
	{ "the same with a full last line", CONVERT_OK,
	  "MIME-Version: 1.0\r\n" T "text/plain\r\n\r\n" X73 "\xf6",
	  "MIME-Version: 1.0\r\n" T "text/plain\r\n" E "quoted-printable\r\n\r\n" X73 "=\r\n=F6=\r\n" },
	{ "only the part that needs it", CONVERT_OK,
	  "MIME-Version: 1.0\r\n" E "8bit\r\n" MIXED
	  "\r\nfront\r\n--=_x y\r\n\r\nplain\r\n--=_x y \r\nA: b\r\n" T
	  "text/html\r\n\r\nh\xf6ren\r\n\r\n--=_x y--\r\nback\r\n",
	  "MIME-Version: 1.0\r\n" E "7bit\r\n" MIXED
	  "\r\nfront\r\n--=_x y\r\n\r\nplain\r\n--=_x y \r\nA: b\r\n" T "text/html\r\n" E
	  "quoted-printable\r\n\r\nh=F6ren\r\n\r\n--=_x y--\r\nback\r\n" },
	{ "a multipart without an encoding says 7bit all the same", CONVERT_OK,
	  "MIME-Version: 1.0\r\n" T "multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nviele \xf6\r\n--b--\r\n",
	  "MIME-Version: 1.0\r\n" T "multipart/mixed; boundary=b\r\n" E "7bit\r\n\r\n--b\r\n" E
	  "quoted-printable\r\n\r\nviele =F6\r\n--b--\r\n" },
	{ "a message in a digest", CONVERT_OK,
	  "MIME-Version: 1.0\r\n" T
	  "multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nA: b\r\n\r\nviele \xf6\r\n--b--\r\n",
	  "MIME-Version: 1.0\r\n" T "multipart/digest; boundary=b\r\n" E "7bit\r\n\r\n--b\r\n" E
	  "7bit\r\n\r\nA: b\r\n" E "quoted-printable\r\nMIME-Version: 1.0\r\n" T
	  "text/plain; charset=unknown-8bit\r\n\r\nviele =F6=\r\n\r\n--b--\r\n" },
	{ "a multipart that never ends", CONVERT_OK,
	  "MIME-Version: 1.0\r\n" E "8bit\r\n" T
	  "multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nviele \xf6\r\n",
	  "MIME-Version: 1.0\r\n" E "7bit\r\n" T "multipart/mixed; boundary=b\r\n\r\n--b\r\n" E
	  "quoted-printable\r\n\r\nviele =F6\r\n" },
	{ "signed", CONVERT_SIGNED,
	  "MIME-Version: 1.0\r\n" T "multipart/signed; boundary=b\r\n\r\n--b\r\n\r\nviele \xf6\r\n--b--\r\n",
	  "" },
	{ "signed within", CONVERT_SIGNED,
	  "MIME-Version: 1.0\r\n" MIXED "\r\n--=_x y\r\n" T
	  "multipart/signed; boundary=b\r\n\r\n--b\r\n\r\nviele \xf6\r\n--b--\r\n\r\n--=_x y--\r\n",
	  "" },
	{ "signed, but not what needs it", CONVERT_OK,
	  "MIME-Version: 1.0\r\n" E "7bit\r\n" MIXED "\r\n--=_x y\r\n" T
	  "multipart/signed; boundary=b\r\n\r\n--b\r\n\r\nplain\r\n--b--\r\n\r\n--=_x y\r\n\r\nviele "
	  "\xf6\r\n--=_x y--\r\n",
	  "MIME-Version: 1.0\r\n" E "7bit\r\n" MIXED "\r\n--=_x y\r\n" T
	  "multipart/signed; boundary=b\r\n\r\n--b\r\n\r\nplain\r\n--b--\r\n\r\n--=_x y\r\n" E
	  "quoted-printable\r\n\r\nviele =F6\r\n--=_x y--\r\n" },
	{ "header", CONVERT_HEADER, "Subject: \xc3\xb6\r\n\r\nb\r\n", "" },
	{ "header of a message within", CONVERT_HEADER,
	  "MIME-Version: 1.0\r\n" T "message/rfc822\r\n\r\nSubject: \xc3\xb6\r\n\r\nb\r\n", "" },
	{ "no boundary", CONVERT_MALFORMED, "MIME-Version: 1.0\r\n" T "multipart/mixed\r\n\r\n\xf6\r\n", "" },
	{ "two boundaries", CONVERT_MALFORMED,
	  "MIME-Version: 1.0\r\n" T
	  "multipart/mixed; boundary=a; boundary=b\r\n\r\n--a\r\n\r\n\xf6\r\n--a--\r\n",
	  "" },
	{ "two types", CONVERT_MALFORMED,
	  "MIME-Version: 1.0\r\n" T "text/plain\r\n" T "text/html\r\n\r\n\xf6\r\n", "" },
	{ "encoded, it says", CONVERT_MALFORMED, "MIME-Version: 1.0\r\n" E "base64\r\n\r\n\xf6\r\n", "" },
	{ "an encoding of its own", CONVERT_MALFORMED, "MIME-Version: 1.0\r\n" E "x-uuencode\r\n\r\n\xf6\r\n",
	  "" },
	{ "8 bits between the parts", CONVERT_MALFORMED,
	  "MIME-Version: 1.0\r\n" MIXED "\r\n\xf6\r\n--=_x y\r\n\r\nb\r\n--=_x y--\r\n", "" },
	{ "a delimiter, or not", CONVERT_MALFORMED,
	  "MIME-Version: 1.0\r\n" T "multipart/mixed; boundary=b\r\n\r\n--b\r\r\n\r\n\xf6\r\n--b--\r\n", "" },
	{ "a line that is no field", CONVERT_MALFORMED, "A: b\r\nwhat\r\n\r\n\xf6\r\n", "" },
	{ "a piece of a message", CONVERT_MALFORMED,
	  "MIME-Version: 1.0\r\n" T "message/partial; id=a; number=1\r\n\r\n\xf6\r\n", "" },
};

static void check(const char *name, struct span in, enum convert_result result, struct span want)
{
	char *block = malloc(in.n);
	struct buf out = { 0 }, again = { 0 };

	assert_non_null(block);
	memcpy(block, in.p, in.n);
	enum convert_result got = convert_to_7bit(&out, (struct span){ block, in.n });
	if (got != result)
		fail_msg("%s: result %d, wanted %d", name, (int)got, (int)result);
	if (got == CONVERT_OK && !span_eq(buf_span(&out), want))
		fail_msg("%s: got\n%s\nwanted\n%.*s", name, buf_cstr(&out), SPAN_FMT(want));
	if (got == CONVERT_OK) {
		assert_true(convert_is_7bit(buf_span(&out)));
		assert_int_equal(convert_to_7bit(&again, buf_span(&out)), CONVERT_OK);
		assert_true(span_eq(buf_span(&again), buf_span(&out)));
	}
	buf_free(&out);
	buf_free(&again);
	free(block);
}

static void each_kind_of_part_becomes_what_it_must(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check(rows[i].name, span_of(rows[i].in), rows[i].result,
		      span_of(rows[i].out != NULL ? rows[i].out : rows[i].in));
}

static void parts_within_parts_have_an_end(void **state)
{
	struct buf in = { 0 };
	(void)state;

	for (int i = 0; i < 40; i++)
		buf_addf(&in, "MIME-Version: 1.0\r\nContent-Type: message/rfc822\r\n\r\n");
	buf_add_cstr(&in, "A: b\r\n\r\n\xf6\r\n");
	check("too deep", buf_span(&in), CONVERT_MALFORMED, SPAN_LIT(""));
	buf_free(&in);
}

static void what_passes_is_told_from_what_does_not(void **state)
{
	static const struct {
		struct span s;
		bool passes;
	} facts[] = {
		{ { "", 0 }, true },        { { "a\r\n", 3 }, true }, { { "a\n", 2 }, false },
		{ { "a\r", 2 }, false },    { { "a\0", 2 }, false },  { { "\x80", 1 }, false },
		{ { "\r\r\n", 3 }, false }, { { "\x7f", 1 }, true },
	};
	char line[1001];
	(void)state;

	for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++)
		assert_true(convert_is_7bit(facts[i].s) == facts[i].passes);
	memset(line, 'x', sizeof(line));
	assert_true(convert_is_7bit((struct span){ line, 998 }));
	assert_false(convert_is_7bit((struct span){ line, 999 }));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_kind_of_part_becomes_what_it_must),
		cmocka_unit_test(parts_within_parts_have_an_end),
		cmocka_unit_test(what_passes_is_told_from_what_does_not),
	};
	return cmocka_run_group_tests_name("convert", tests, NULL, NULL);
}
