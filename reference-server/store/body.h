/*
 * body: message content, stored once, shared by the queue and any number of
 * mailboxes.
 *
 * Content is kept in chunks of BODY_CHUNK_BYTES, every one but the last full:
 * a chunk fills exactly one page of the database, so churn never has to look
 * for a run of free pages, and an offset finds its chunk by division.
 *
 *   database   key                              value
 *   chunk      body_id u64, number u32          bytes
 *   body       body_id u64                      version u8, refs u32, bytes u64
 *   receiving  body_id u64                      version u8, bytes u64
 *
 * A body has a row in `receiving` while it streams in, or a row in `body` once
 * a queue or mailbox row refers to it, never both.  What is still in
 * `receiving` when the store is opened is removed.  The last reference that
 * goes takes row and chunks along in the same transaction.
 *
 * Small content needs nothing of this: hand it whole to queue_submit.
 */
#ifndef STORE_BODY_H
#define STORE_BODY_H

#include "reference-server/store/store.h"

#include <sys/types.h>

enum { BODY_CHUNK_BYTES = 4080 };

/* 2^31 chunks are never reached: about 8 TiB. */
#define BODY_BYTES_MAX (UINT64_C(0x7fffffff) * BODY_CHUNK_BYTES)

/*
 * Adds content to a body in progress; body_id is from store_new_id, and the
 * append at offset 0 begins it.  offset is a multiple of BODY_CHUNK_BYTES and
 * equals what was appended before; so every piece but the last is a multiple
 * too (63 or so chunks a piece is a good size).  Several may be in flight;
 * after one failed, those behind it fail with -ESTALE, and the body can only
 * be discarded.  The bytes stay the caller's and must not change before done.
 * A new operation.
 */
void body_append(struct store *s, uint64_t body_id, uint64_t offset, struct span bytes, store_done_fn *done,
		 void *ctx);

/* Drops a body in progress; one that was never begun is fine.  Kept. */
void body_discard(struct store *s, uint64_t body_id, store_done_fn *done, void *ctx);

/*
 * Copies at most n bytes from offset on; returns how many, 0 at or past the
 * end, -ENOENT for no such body, -EBADMSG when rows are damaged.  Fills n unless
 * the body ends.  Bodies in progress cannot be read.
 */
ssize_t body_read(struct store *s, uint64_t body_id, uint64_t offset, void *ret_bytes, size_t n);

/* ---- for this folder: inside a transaction ---- */

struct env;
struct txn;

/*
 * Makes a body of body_bytes live with this many references (> 0).  tail is
 * its end; what comes before was appended and is in `receiving`.  -ESTALE when
 * it is not, -EEXIST when the body is live already.
 */
int body_settle(struct txn *t, uint64_t body_id, uint64_t body_bytes, struct span tail, uint32_t refs);

/* Adds or drops references; with the last one the body goes.  -EBADMSG when there is none to add to. */
int body_add_refs(struct txn *t, uint64_t body_id, int64_t refs);

/* *ret_bytes of a live body.  -ENOENT. */
int body_size(struct txn *t, uint64_t body_id, uint64_t *ret_bytes);

/* As body_read. */
ssize_t body_copy(struct txn *t, uint64_t body_id, uint64_t offset, char *ret_bytes, size_t n);

/* Removes every body in progress; before the writer runs. */
int body_sweep(struct env *e);

#endif
