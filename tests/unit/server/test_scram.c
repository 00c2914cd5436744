/*
 * scram: first messages whose names are escaped as RFC 5802 5.1 says, and others.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "reference-server/core/scram.h"

#include <stdlib.h>
#include <string.h>

static void a_name_has_escapes_of_two_kinds_only(void **state)
{
	static const struct {
		const char *message;
		bool fine;
	} rows[] = {
		{ "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL", true },
		{ "n,,n=a=2Cb=3D,r=x", true },
		{ "n,a=b=3Dc,n=user,r=x", true },
		{ "p=tls-exporter,,n=user,r=a=b", true }, /* neither a flag nor a nonce is a name */
		{ "n,,n=a=41b,r=x", false },
		{ "n,,n=user=,r=x", false },
		{ "n,,n==user,r=x", false },
		{ "n,,n=a=2,r=x", false },
		{ "n,,n=a=2c,r=x", false },
		{ "n,a=b=c,n=user,r=x", false },
		{ "n,,m=x,n=a=,r=x", false },
		{ "", true },
		{ "n,,", true },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t n = strlen(rows[i].message);
		char *exact = malloc(n > 0 ? n : 1);
		assert_non_null(exact);
		memcpy(exact, rows[i].message, n);
		if (scram_names_are_escaped((struct span){ exact, n }) != rows[i].fine)
			fail_msg("%s", rows[i].message);
		free(exact);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_has_escapes_of_two_kinds_only),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
