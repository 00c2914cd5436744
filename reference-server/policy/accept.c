#include "reference-server/policy/accept.h"

#include "reference-server/core/mutant.h"

#include <assert.h>
#include <stddef.h>

enum accept_decision accept_rcpt(const struct accept_facts *f)
{
	if (f->postmaster)
		return MUTANT(SMTP_NO_POSTMASTER) ? ACCEPT_NO_SUCH_MAILBOX : ACCEPT_LOCAL;
	if (!f->domain_local) {
		bool relay =
			MUTANT(SMTP_OPEN_RELAY) || f->authenticated || (f->relay_allowed && !f->submission);
		return relay ? ACCEPT_RELAY : ACCEPT_RELAY_DENIED;
	}
	switch (f->mailbox) {
	case ACCEPT_MAILBOX_KNOWN:
		return ACCEPT_LOCAL;
	case ACCEPT_MAILBOX_UNKNOWN:
		return ACCEPT_NO_SUCH_MAILBOX;
	case ACCEPT_MAILBOX_DISABLED:
		return ACCEPT_MAILBOX_DISABLED_NOW;
	case ACCEPT_MAILBOX_FULL:
		return ACCEPT_OVER_QUOTA;
	case ACCEPT_MAILBOX_LOOKUP_FAILED:
		break;
	}
	return ACCEPT_TRY_LATER;
}

const char *accept_decision_name(enum accept_decision d)
{
	static const char *const names[ACCEPT_DECISION_COUNT] = {
		[ACCEPT_LOCAL] = "local",
		[ACCEPT_RELAY] = "relay",
		[ACCEPT_NO_SUCH_MAILBOX] = "no-such-mailbox",
		[ACCEPT_MAILBOX_DISABLED_NOW] = "mailbox-disabled",
		[ACCEPT_OVER_QUOTA] = "over-quota",
		[ACCEPT_RELAY_DENIED] = "relay-denied",
		[ACCEPT_TRY_LATER] = "try-later",
	};
	assert(d < ACCEPT_DECISION_COUNT);
	assert(names[d] != NULL);
	return names[d];
}
