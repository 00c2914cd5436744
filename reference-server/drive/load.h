/*
 * load: the memory that clients make us hold: input that is not consumed yet,
 * replies and content that they have not read, messages that are not yet with
 * the store.  All of it together is bounded by limits.buffers.
 *
 * Every session is a member and notes what it holds.  When the sum passes the
 * limit, sessions are ended, those that hold most first, until three quarters
 * of it are left.  So hostile clients end each other, and one that sends an
 * ordinary message hardly notices.
 *
 * What a connection costs when it holds nothing (about 4 KiB, and 18 KiB with
 * TLS) is bounded by limits.connections instead; a handshake that goes on is
 * counted as LOAD_HANDSHAKE_BYTES, for OpenSSL says no more about it.
 *
 * Memory that was freed goes back to the system when there was much of it:
 * the allocator keeps it otherwise, in pieces between what is still in use.
 */
#ifndef SERVER_DRIVE_LOAD_H
#define SERVER_DRIVE_LOAD_H

#include "base/loop.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

enum { LOAD_HANDSHAKE_BYTES = 48 * 1024 };

struct server;

struct load;
struct load *load_new(struct server *server);
void load_free(struct load *l); /* when all have left.  Accepts NULL */

/* Embedded in a session. */
struct load_member {
	size_t (*held)(void *ctx); /* bytes, now */
	void (*end)(void *ctx);    /* leaves.  Called by the load_note of another member, never by its own */
	void *ctx;
	size_t noted_bytes;
	TAILQ_ENTRY(load_member) next;
};

void load_join(struct load *l, struct load_member *m);
void load_leave(struct load *l, struct load_member *m);
/* Whenever it may have changed. */
void load_note(struct load *l, struct load_member *m);

uint64_t load_held_bytes(const struct load *l);

#endif
