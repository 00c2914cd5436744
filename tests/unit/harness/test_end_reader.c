/* end_reader: who would see an end, and a second message behind it, in what was sent by DATA. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/wire/end_reader.h"
#include "tests/unit/harness/exact.h"

#define EVIL "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nx\r\n.\r\n"

static const struct row {
	const char *name;
	const char *wire;
	size_t bytes;
	/* By the places in END_READERS, '1' one message, 'c' cut short, '2' two. */
	const char *wanted;
	bool irregular;
} rows[] = {
#define ROW(name, wire, wanted, irregular)                      \
	{                                                       \
		name, wire, sizeof(wire) - 1, wanted, irregular \
	}
	ROW("plain", "A: b\r\n\r\nx\r\n.\r\n", "11111111", false),
	ROW("empty", ".\r\n", "11111111", false),
	ROW("stuffed", "x\r\n..\r\nMAIL FROM:<a@b>\r\n.\r\n", "11111111", false),
	ROW("unended", "x\r\n", "11111111", false),
	ROW("LF.LF", "x\n.\n" EVIL, "12121212", true),
	ROW("LF.CRLF", "x\n.\r\n" EVIL, "12121212", true),
	ROW("CRLF.LF", "x\r\n.\n" EVIL, "12121212", true),
	ROW("CR.CR", "x\r.\r" EVIL, "11221111", true),
	ROW("CRLF.CR", "x\r\n.\r" EVIL, "11221111", true),
	ROW("CR.CRLF", "x\r.\r\n" EVIL, "11221111", true),
	ROW("CR.LF", "x\r.\n" EVIL, "11121111", true),
	ROW("LF.CR", "x\n.\r" EVIL, "11121111", true),
	ROW("CRLF.CRCRLF", "x\r\n.\r\r\n" EVIL, "11221122", true),
	ROW("many CR in a row", "x\r\n.\r\r\r\r\r\r\r\r\r\r\r\r\r\r\r\r\r\r\r\r\n" EVIL, "11221111", true),
	ROW("CRLF NUL . CRLF", "x\r\n\0.\r\n" EVIL, "11112211", false),
	ROW("CRLF . NUL CRLF", "x\r\n.\0\r\n" EVIL, "11112211", false),
	ROW("CR NUL LF", "x\r\0\n.\r\0\n" EVIL, "11122211", true),
	ROW("no commands behind it", "x\n.\nmore text\r\n.\r\n", "1c1c1c1c", true),
	ROW("commands in another order", "x\n.\nDATA\r\nRCPT TO:<a@b>\r\n.\r\n", "1c1c1c1c", true),
	ROW("no DATA", "x\n.\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\n.\r\n", "1c1c1c1c", true),
	ROW("BDAT, any case", "x\n.\nmail from:<>\nrcpt to:<a@b>\nbdat 3 last\nabc\r\n.\r\n", "12121212",
	    true),
	ROW("real end at once", "x\r\n.\r\n" EVIL, "22222222", false),
};

static void each_reader_sees_its_own_ends(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct exact e = exact_of((struct span){ rows[i].wire, rows[i].bytes });
		char got[16] = "";
		for (size_t k = 0; END_READERS[k].name != NULL; k++)
			got[k] = "1c2"[end_read(&END_READERS[k], exact_span(e))];
		if (strcmp(got, rows[i].wanted) != 0)
			fail_msg("%s: %s instead of %s", rows[i].name, got, rows[i].wanted);
		if (end_is_irregular(exact_span(e)) != rows[i].irregular)
			fail_msg("%s: irregular or not", rows[i].name);
		exact_free(e);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(each_reader_sees_its_own_ends) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
