/*
 * dkim: canonical forms and tags of any bytes.  Checked: a form made of itself
 * stays as it is and grows by no more than a line end, relaxed is the same of
 * simple and has single blanks, a tag is a part of its list, what is hashed of a
 * header ends for any list of names, and a signature holds or there is a reason.
 */
#include "harness/judge/dkim_check.h"
#include "tests/fuzz/fuzz.h"

/* No two blanks in a row, and none at the end of a line (RFC 6376 sections 3.4.2 and 3.4.4). */
static bool is_relaxed(struct span s)
{
	for (size_t i = 0; i + 1 < s.n; i++)
		if ((s.p[i] == ' ' &&
		     (s.p[i + 1] == ' ' || span_starts_nocase(span_sub(s, i + 1, 2), SPAN_LIT("\r\n")))) ||
		    s.p[i] == '\t')
			return false;
	return true;
}

static void check_body(struct span body)
{
	struct buf once[2] = { 0 };

	for (int f = DKIM_SIMPLE; f <= DKIM_RELAXED; f++) {
		struct buf twice = { 0 };
		dkim_add_body(body, (enum dkim_form)f, &once[f]);
		must(buf_bytes(&once[f]) <= body.n + 2);
		dkim_add_body(buf_span(&once[f]), (enum dkim_form)f, &twice);
		must(span_eq(buf_span(&once[f]), buf_span(&twice)));
		buf_free(&twice);
	}
	struct buf relaxed = { 0 };
	dkim_add_body(buf_span(&once[DKIM_SIMPLE]), DKIM_RELAXED, &relaxed);
	must(span_eq(buf_span(&once[DKIM_RELAXED]), buf_span(&relaxed)) && is_relaxed(buf_span(&relaxed)));
	buf_free(&relaxed);
	buf_free(&once[DKIM_SIMPLE]);
	buf_free(&once[DKIM_RELAXED]);
}

static void check_field(const struct field *f)
{
	struct buf simple = { 0 }, once = { 0 }, twice = { 0 };
	struct field again;

	dkim_add_field(f, DKIM_SIMPLE, &simple);
	must(span_eq(buf_span(&simple), f->whole));
	dkim_add_field(f, DKIM_RELAXED, &once);
	must(buf_bytes(&once) <= f->whole.n + 2);
	struct span rest = buf_span(&once);
	must(is_relaxed(rest) && field_next(&rest, &again) && rest.n == 0);
	dkim_add_field(&again, DKIM_RELAXED, &twice);
	must(span_eq(buf_span(&once), buf_span(&twice)));
	buf_free(&simple);
	buf_free(&once);
	buf_free(&twice);
}

static void check_tags(struct span list)
{
	static const char *const NAMES[] = { "b", "bh", "c", "h" };
	struct span value;
	enum dkim_form header, body;

	for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
		if (!dkim_tag(list, NAMES[i], &value))
			continue;
		must(value.n == 0 || (value.p >= list.p && value.p + value.n <= list.p + list.n));
		(void)dkim_forms(value, &header, &body);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span all = { (const char *)data, size }, header = all, body = { 0 }, names;
	struct buf why = { 0 };
	struct field f;

	must(dkim_holds(all, &why) == (buf_bytes(&why) == 0));
	buf_free(&why);
	(void)message_split(all, &header, &body);
	check_body(body);
	for (struct span rest = header; field_next(&rest, &f);) {
		struct buf hashed = { 0 };
		check_field(&f);
		check_tags(f.raw);
		if (dkim_tag(f.raw, "h", &names))
			dkim_add_header_data(header, names, &f, DKIM_RELAXED, &hashed);
		buf_free(&hashed);
	}
	return 0;
}
