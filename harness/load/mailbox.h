/*
 * mailbox: what a retriever knows of one POP3 mailbox: every UID it ever saw
 * (RFC 1939 section 7), and the listing of the session under way.
 */
#ifndef HARNESS_LOAD_MAILBOX_H
#define HARNESS_LOAD_MAILBOX_H

#include "base/span.h"

#include <uthash.h>

/* A message, for as long as the mailbox is watched. */
struct known {
	UT_hash_handle hh;
	bool retrieved;
	int64_t absent_ns; /* the last listing without it: its login was sent; 0: there was none */
	int64_t listed_ns; /* the first listing with it was read */
	size_t uid_bytes;
	char uid[];
};

/* One line of the listing. */
struct listed {
	uint64_t number;
	int64_t octets; /* -1: not said */
	struct known *known;
};

/* Zeroed is ready. */
struct mailbox {
	struct known *all;
	int64_t absent_ns; /* for what the next listing shows first */
	struct listed *listing;
	uint32_t listed_count;
	uint32_t listing_room;
};

/*
 * Takes the lines of a UIDL reply as the listing.  False when a line has
 * another form than "number uid", or there are more than messages_max.
 */
bool mailbox_read_uids(struct mailbox *m, struct span lines, uint32_t messages_max, int64_t login_sent_ns,
		       int64_t now_ns);
/* Adds the octets from the lines of a LIST reply; lines that fit nothing are skipped. */
void mailbox_read_sizes(struct mailbox *m, struct span lines);
bool mailbox_has_new(const struct mailbox *m);
void mailbox_forget_listing(struct mailbox *m);
void mailbox_free(struct mailbox *m);

#endif
