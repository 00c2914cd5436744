/* idna: a name as people write it becomes what the DNS knows, or nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/idna.h"

static void names_become_a_labels(void **state)
{
	(void)state;
	static const struct {
		const char *name, *ascii; /* NULL: refused */
	} rows[] = {
		{ "fredsco.example", "fredsco.example" },
		{ "FredsCo.EXAMPLE", "fredsco.example" },
		{ "b\xc3\xbc"
		  "cher.example",
		  "xn--bcher-kva.example" },
		{ "B\xc3\x9c"
		  "cher.Example",
		  "xn--bcher-kva.example" },
		{ "bu\xcc\x88"
		  "cher.example",
		  "xn--bcher-kva.example" }, /* decomposed */
		{ "stra\xc3\x9f"
		  "e.example",
		  "xn--strae-oqa.example" }, /* not transitional */
		{ "\xe4\xbe\x8b\xe3\x81\x88.\xe3\x83\x86\xe3\x82\xb9\xe3\x83\x88", "xn--r8jz45g.xn--zckzah" },
		{ "xn--bcher-kva.example", "xn--bcher-kva.example" },
		{ "\xe4.example", NULL },         /* Latin-1 */
		{ "\xe2\x80\x8b.example", NULL }, /* nothing but a zero width space */
		{ "-\xc3\xa4.example", NULL },
		{ "\xf0\x9f\x93\xac\xc2\xa0.example", NULL }, /* a blank inside */
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[IDNA_NAME_BYTES_MAX + 1];
		struct span got = { NULL, 0 };
		bool ok = idna_to_ascii(span_of(rows[i].name), text, &got);
		if (ok != (rows[i].ascii != NULL) || (ok && !span_eq(got, span_of(rows[i].ascii))))
			fail_msg("%s: %.*s", rows[i].name, SPAN_FMT(got));
	}
}

static void a_name_has_a_limit(void **state)
{
	(void)state;
	char name[300], text[IDNA_NAME_BYTES_MAX + 1];
	struct span got;

	memset(name, 'a', sizeof(name));
	assert_true(idna_to_ascii((struct span){ name, IDNA_NAME_BYTES_MAX }, text, &got));
	assert_int_equal(got.n, IDNA_NAME_BYTES_MAX);
	assert_false(idna_to_ascii((struct span){ name, IDNA_NAME_BYTES_MAX + 1 }, text, &got));
	assert_false(idna_to_ascii((struct span){ "a\0b", 3 }, text, &got));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_become_a_labels),
		cmocka_unit_test(a_name_has_a_limit),
	};
	return cmocka_run_group_tests_name("idna", tests, NULL, NULL);
}
