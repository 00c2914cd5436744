/*
 * mailbox: what a retriever knows of one POP3 mailbox: every message that it
 * saw and did not delete, and the listing of the session under way.
 *
 * RFC 1939 section 7 allows a UID that is a hash of the message, so two equal
 * messages may have the same one.  A message is therefore known by its UID and
 * by how many of that UID come before it in the listing; and what was deleted
 * is forgotten once QUIT was answered, or its twin would pass for it.
 */
#ifndef HARNESS_LOAD_MAILBOX_H
#define HARNESS_LOAD_MAILBOX_H

#include "base/span.h"

#include <uthash.h>

/* A message, for as long as the mailbox is watched. */
struct known {
	UT_hash_handle hh;
	bool retrieved;
	bool deleted;        /* marked in this session, or in one whose end is open */
	int64_t absent_ns;   /* the last listing without it: its login was sent; 0: there was none */
	int64_t listed_ns;   /* the first listing with it was read */
	uint64_t listing;    /* the last one that had it */
	uint32_t same_count; /* the first of its UID: how many that listing has shown so far */
	size_t uid_bytes;
	size_t key_bytes;
	char key[]; /* "nth uid" */
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
	uint64_t listing_nth;
	bool uids_repeat;        /* a listing had the same one twice */
	bool end_is_open;        /* a QUIT that deletes was sent and not answered */
	uint32_t doubtful_count; /* seen again after that, and perhaps second copies that nobody looked at */
};

/* How a session ended that had a listing. */
enum mailbox_end {
	MAILBOX_BROKE_OFF, /* before QUIT: nothing was deleted (RFC 1939 section 6) */
	MAILBOX_QUIT_DONE,
	MAILBOX_QUIT_UNANSWERED,
};

/*
 * Takes the lines of a UIDL reply as the listing.  False when a line has
 * another form than "number uid", or there are more than messages_max.
 */
bool mailbox_read_uids(struct mailbox *m, struct span lines, uint32_t messages_max, int64_t login_sent_ns,
		       int64_t now_ns);
/* Adds the octets from the lines of a LIST reply; lines that fit nothing are skipped. */
void mailbox_read_sizes(struct mailbox *m, struct span lines);
void mailbox_end_session(struct mailbox *m, enum mailbox_end end);
struct span known_uid(const struct known *k); /* lives as long as k */
bool mailbox_has_new(const struct mailbox *m);
void mailbox_forget_listing(struct mailbox *m);
void mailbox_free(struct mailbox *m);

#endif
