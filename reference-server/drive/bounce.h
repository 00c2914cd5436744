/*
 * bounce: makes the message that tells a sender which recipients failed
 * (RFC 3464), ready for the queue.
 */
#ifndef SERVER_DRIVE_BOUNCE_H
#define SERVER_DRIVE_BOUNCE_H

#include "reference-server/drive/message.h"
#include "reference-server/drive/server.h"

/*
 * Covers the recipients for which failed[i] is set.  NULL when nobody may be
 * told: the reverse-path is null (RFC 5321 4.5.5).  The caller owns the
 * envelope and *ret_content, its body.
 */
struct envelope *bounce_make(struct server *server, const struct message *m, const bool *failed, bool expired,
			     struct buf *ret_content);

#endif
