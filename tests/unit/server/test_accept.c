/* accept: who may send mail to whom through us. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "reference-server/policy/accept.h"

#define KNOWN ACCEPT_MAILBOX_KNOWN
#define UNKNOWN ACCEPT_MAILBOX_UNKNOWN

/* clang-format off */
static const struct row {
	const char *name;
	struct accept_facts facts; /* postmaster, domain local, mailbox, authenticated, relay allowed, submission */
	enum accept_decision want;
} rows[] = {
	{ "our mailbox",                    { false, true, KNOWN, false, false, false }, ACCEPT_LOCAL },
	{ "our domain, nobody there",       { false, true, UNKNOWN, false, false, false }, ACCEPT_NO_SUCH_MAILBOX },
	{ "nobody there, even for ours",    { false, true, UNKNOWN, true, true, true }, ACCEPT_NO_SUCH_MAILBOX },
	{ "disabled",                       { false, true, ACCEPT_MAILBOX_DISABLED, false, false, false }, ACCEPT_MAILBOX_DISABLED_NOW },
	{ "full",                           { false, true, ACCEPT_MAILBOX_FULL, false, false, false }, ACCEPT_OVER_QUOTA },
	{ "store trouble",                  { false, true, ACCEPT_MAILBOX_LOOKUP_FAILED, false, false, false }, ACCEPT_TRY_LATER },
	{ "stranger to stranger",           { false, false, KNOWN, false, false, false }, ACCEPT_RELAY_DENIED },
	{ "stranger, submission",           { false, false, KNOWN, false, false, true }, ACCEPT_RELAY_DENIED },
	{ "authenticated to elsewhere",     { false, false, UNKNOWN, true, false, false }, ACCEPT_RELAY },
	{ "authenticated, submission",      { false, false, UNKNOWN, true, false, true }, ACCEPT_RELAY },
	{ "trusted network to elsewhere",   { false, false, UNKNOWN, false, true, false }, ACCEPT_RELAY },
	{ "trusted network, submission",    { false, false, UNKNOWN, false, true, true }, ACCEPT_RELAY_DENIED },
	{ "postmaster without an account",  { true, true, UNKNOWN, false, false, false }, ACCEPT_LOCAL },
	{ "postmaster with a full mailbox", { true, true, ACCEPT_MAILBOX_FULL, false, false, false }, ACCEPT_LOCAL },
};
/* clang-format on */

static void facts_lead_to_the_decision(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		enum accept_decision got = accept_rcpt(&rows[i].facts);
		if (got != rows[i].want)
			fail_msg("%s: %s", rows[i].name, accept_decision_name(got));
	}
}

static void decisions_have_names_of_their_own(void **state)
{
	(void)state;
	for (int i = 1; i < ACCEPT_DECISION_COUNT; i++)
		assert_string_not_equal(accept_decision_name((enum accept_decision)i),
					accept_decision_name((enum accept_decision)(i - 1)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(facts_lead_to_the_decision),
		cmocka_unit_test(decisions_have_names_of_their_own),
	};
	return cmocka_run_group_tests_name("accept", tests, NULL, NULL);
}
