/*
 * accept: may this recipient come in (RFC 5321 3.6, 4.5.1; RFC 6409)?
 *
 * A pure function of facts that the driver looked up.  Nothing relays for strangers; postmaster is always
 * accepted.
 */
#ifndef SERVER_POLICY_ACCEPT_H
#define SERVER_POLICY_ACCEPT_H

#include <stdbool.h>

enum accept_mailbox {
	ACCEPT_MAILBOX_KNOWN, /* account or alias */
	ACCEPT_MAILBOX_UNKNOWN,
	ACCEPT_MAILBOX_DISABLED,
	ACCEPT_MAILBOX_FULL,
	ACCEPT_MAILBOX_LOOKUP_FAILED, /* store trouble */
};

struct accept_facts {
	bool postmaster;             /* <postmaster>, or postmaster at one of our domains */
	bool domain_local;           /* true for <postmaster> without a domain */
	enum accept_mailbox mailbox; /* read only when domain_local */
	bool authenticated;
	bool relay_allowed; /* by client network */
	bool submission;    /* listener role: relays for the authenticated only */
};

enum accept_decision {
	ACCEPT_LOCAL,
	ACCEPT_RELAY,
	ACCEPT_NO_SUCH_MAILBOX,      /* 550 5.1.1 */
	ACCEPT_MAILBOX_DISABLED_NOW, /* 550 5.2.1 */
	ACCEPT_OVER_QUOTA,           /* 452 4.2.2 */
	ACCEPT_RELAY_DENIED,         /* 550 5.7.1 */
	ACCEPT_TRY_LATER,            /* 451 4.3.0 */
	ACCEPT_DECISION_COUNT,
};

enum accept_decision accept_rcpt(const struct accept_facts *f);

const char *accept_decision_name(enum accept_decision d);

#endif
