/*
 * bounce: makes the message that tells a sender what became of a message
 * (a DSN, RFC 3464), ready for the queue, and knows who wants to be told
 * what (RFC 3461 5.2).
 *
 * Nobody is told about a message with a null reverse-path (RFC 5321 4.5.5).
 * When it fails, the postmaster named in the configuration gets it, once, with
 * what became of it: a lost notification is the sign of a wrong setting
 * somewhere.  Without a postmaster the log says it.
 */
#ifndef SERVER_DRIVE_BOUNCE_H
#define SERVER_DRIVE_BOUNCE_H

#include "reference-server/core/dsn.h"
#include "reference-server/drive/message.h"
#include "reference-server/drive/server.h"

/* What there is to report of a recipient, in message.to_report: a set of these bits. */
#define REPORT(action) ((uint8_t)(1u << (action)))
enum {
	REPORT_EXPIRED = 1 << 7
}; /* beside REPORT(DSN_FAILED): because time ran out; DSN_DELAYED: of BY (RFC 2852) */

/* Whether the sender asked for it, or did not forbid it.  RELAYED, EXPANDED: whoever reports that has asked already. */
bool bounce_is_wanted(const struct recipient *r, enum dsn_action action);

/*
 * From m->to_report.  NULL when there is nobody to tell, or nothing they want to know.  The caller owns the
 * envelope and *ret_content, its body.
 */
struct envelope *bounce_make(struct server *server, const struct message *m, struct buf *ret_content);

#endif
