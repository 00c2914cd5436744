/*
 * mailbox: messages delivered to the accounts of this server.
 *
 *   database   key                              value
 *   mailbox    account_id u32, uid u32          version u8, flags u32, body_id u64, octets u64,
 *                                               arrival_wall_ms i64, prefix (rest)
 *   uidnext    account_id u32                   version u8, uidvalidity u32, uidnext u32
 *
 * A message is prefix (the header fields written at final delivery, RFC 5321
 * §4.4) followed by its body; octets is the exact sum, which is what POP3's
 * STAT, LIST and RETR count (RFC 1939 §11), byte-stuffing not included.
 *
 * (uidvalidity, uid) names one message for ever: uids rise by delivery and are
 * never given out twice, whatever is deleted and however often the server is
 * restarted; an account that is removed and made again gets another
 * uidvalidity.  Suits UIDL (RFC 1939 §7) and UIDVALIDITY (RFC 9051 §2.3.1.1).
 *
 * Messages come in through queue_submit's deliveries.  Nothing here locks a
 * mailbox for a session: that lives in the driver.
 */
#ifndef STORE_MAILBOX_H
#define STORE_MAILBOX_H

#include "reference-server/store/store.h"

#include <sys/types.h>

struct mailbox_entry {
	uint32_t uid;
	uint32_t flags; /* none defined yet */
	uint64_t octets;
	int64_t arrival_wall_ms;
};

struct mailbox_list {
	uint32_t uidvalidity;
	uint32_t uidnext;
	uint64_t octets;               /* of all entries */
	struct mailbox_entry *entries; /* by uid, rising */
	uint32_t entry_count;
};

/* A snapshot; give it back with mailbox_list_free.  -ENOENT: no such account.  -EBADMSG: damaged rows. */
int mailbox_list(struct store *s, uint32_t account_id, struct mailbox_list *ret_list);
void mailbox_list_free(struct mailbox_list *list); /* accepts NULL and a zeroed one */

/*
 * Copies at most n bytes of the message from offset on; returns how many, 0
 * at its end; less than n only at the end.  -ENOENT, -EBADMSG.
 */
ssize_t mailbox_read(struct store *s, uint32_t account_id, uint32_t uid, uint64_t offset, void *ret_bytes,
		     size_t n);

/* One whole message of mailbox_read_each: where it goes, and how many bytes came of it or a negative errno. */
struct mailbox_read {
	uint32_t uid;
	uint64_t octets;
	size_t at; /* in ret_bytes */
	ssize_t result;
};

/* mailbox_read from the start, for many messages in one look at the store. */
void mailbox_read_each(struct store *s, uint32_t account_id, struct mailbox_read *reads, uint32_t count,
		       char *ret_bytes);

/*
 * Removes the set in one transaction; uids that do not exist are passed over.
 * The array is copied.  Kept.  done may be NULL.
 */
void mailbox_delete(struct store *s, uint32_t account_id, const uint32_t *uids, uint32_t uid_count,
		    store_done_fn *done, void *ctx);

/* ---- for this folder: inside a transaction ---- */

struct txn;

/* An empty mailbox for a new account. */
int mailbox_make(struct txn *t, uint32_t account_id);
/* With all its messages. */
int mailbox_drop(struct txn *t, uint32_t account_id);
/* Adds a message; the caller accounts for the reference to the body.  -ESRCH: no such account. */
int mailbox_insert(struct txn *t, uint32_t account_id, uint64_t body_id, uint64_t body_bytes,
		   int64_t arrival_wall_ms, struct span prefix);

#endif
