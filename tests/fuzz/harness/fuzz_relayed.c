/*
 * What a relay made of a message: any bytes.  Checked: where CR and LF stand together and no NUL is,
 * readers of every kind see the same end; canonical forms (RFC 6376 section 3.4) of canonical forms are
 * the same, and relaxed ones do not grow but by a line end; a verdict on a signature has its reason.
 */
#include "harness/judge/dkim_check.h"
#include "harness/wire/end_reader.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static void check_ends(struct span s)
{
	bool plain = !end_is_irregular(s) && (s.n == 0 || memchr(s.p, '\0', s.n) == NULL);
	enum end_reading strict = end_read(&END_READERS[0], s);

	for (const struct end_reader *r = END_READERS; r->name != NULL; r++) {
		enum end_reading got = end_read(r, s);
		must(!plain || got == strict);
	}
}

static void check_body(struct span s, enum dkim_form form)
{
	struct buf once = { 0 }, twice = { 0 };

	dkim_add_body(s, form, &once);
	must(buf_bytes(&once) <= s.n + 2);
	dkim_add_body(buf_span(&once), form, &twice);
	must(span_eq(buf_span(&once), buf_span(&twice)));
	buf_free(&once);
	buf_free(&twice);
}

static void check_fields(struct span header)
{
	struct field f, again;

	while (field_next(&header, &f)) {
		struct buf once = { 0 }, twice = { 0 };
		dkim_add_field(&f, DKIM_RELAXED, &once);
		must(buf_bytes(&once) <= f.whole.n + 2);
		struct span rest = buf_span(&once);
		if (field_next(&rest, &again)) {
			dkim_add_field(&again, DKIM_RELAXED, &twice);
			must(span_eq(buf_span(&once), buf_span(&twice)));
		}
		buf_free(&once);
		buf_free(&twice);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct span s = { (const char *)data, n };
	struct buf why = { 0 };

	check_ends(s);
	check_body(s, DKIM_SIMPLE);
	check_body(s, DKIM_RELAXED);
	check_fields(s);
	must(dkim_holds(s, &why) == (buf_bytes(&why) == 0));
	buf_free(&why);
	return 0;
}
