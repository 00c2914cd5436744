/*
 * dsn_check: is this message a delivery status notification as RFC 3464 and
 * RFC 6522 have it, and whom does it speak of?
 *
 * Reads a message as it was retrieved, through harness/wire, and repairs
 * nothing: a finding names the section it offends.  A breach is a MUST of the
 * text or of its grammar; a remark is anything weaker.  What could still be
 * read is reported beside the findings, so that a broken notification can be
 * held against the message it means.
 *
 * Sections: RFC 3464 section 2 and all below it, RFC 6522 section 3, RFC 2045
 * sections 4 and 6.4, RFC 2046 section 5.1.1, RFC 5322 section 3.6, RFC 5321
 * section 4.4 (Return-Path).
 *
 * Limits: DSN_RECIPIENTS_MAX groups and DSN_FINDINGS_MAX findings are kept.
 */
#ifndef HARNESS_JUDGE_DSN_CHECK_H
#define HARNESS_JUDGE_DSN_CHECK_H

#include "base/span.h"

#include <stdbool.h>
#include <stdint.h>

enum {
	DSN_RECIPIENTS_MAX = 1000,
	DSN_FINDINGS_MAX = 32,
};

enum dsn_level { DSN_BREACH, DSN_REMARK };

struct dsn_finding {
	enum dsn_level level;
	const char *section; /* "RFC 3464 2.3.4" */
	uint32_t line;       /* of the message, from 1: the field, group, part or header that is meant */
	char text[200];      /* printable ASCII */
};

enum dsn_action {
	DSN_ACTION_UNREADABLE,
	DSN_ACTION_FAILED,
	DSN_ACTION_DELAYED,
	DSN_ACTION_DELIVERED,
	DSN_ACTION_RELAYED,
	DSN_ACTION_EXPANDED,
};
const char *dsn_check_action_name(enum dsn_action action); /* "failed", "unreadable" */

struct dsn_recipient {
	enum dsn_action action;
	char *original; /* address without its type, or NULL */
	char *final;    /* the same */
	char *status;   /* as it stands, without comment, or NULL */
};

struct dsn_report {
	struct span message, at; /* borrowed, for the lines; of no use afterwards */
	bool is_report;          /* multipart/report: what follows was looked at */
	uint32_t breaches;
	uint32_t finding_count;
	struct dsn_finding findings[DSN_FINDINGS_MAX];
	uint32_t recipient_count;
	struct dsn_recipient *recipients;
};

/* sender: the address it must be addressed to; empty: not checked.  Free with dsn_report_free. */
struct dsn_report *dsn_check(struct span message, struct span sender);
void dsn_report_free(struct dsn_report *r); /* accepts NULL */

/* The first breach, or NULL. */
const struct dsn_finding *dsn_first_breach(const struct dsn_report *r);

/* "Thu, 7 Jul 1994 17:16:05 -0400": RFC 822's date-time as RFC 1123 changed it, numeric zone only. */
bool dsn_date_is_valid(struct span value);
/* "5.1.1" */
bool dsn_status_is_valid(struct span value);

#endif
