/*
 * store: the durable half of the server: one LMDB environment and one writer
 * thread in front of it.
 *
 *   DATA/lock          flock'd by the one process that may use DATA; holds its pid
 *   DATA/store/        LMDB's data.mdb and lock.mdb
 *   DATA/ballast       a few preallocated MiB, given up when the disk is full
 *
 * Changes go through queue.h, body.h, mailbox.h and account.h: each call there
 * submits one operation.  Operations submitted in one loop round reach the
 * writer under one lock; the writer takes everything that waits (at most
 * STORE_BATCH_OPS_MAX operations or about STORE_BATCH_BYTES_MAX bytes) into
 * one transaction, commits, which syncs, and hands the list back; then each
 * operation's done(ctx, result) runs on the loop's thread.  Nothing is delayed
 * to make batches larger.
 *
 * result is 0 (durable: it survives a crash and a power cut from now on) or a
 * negative errno value (nothing of it is stored).  When a batch fails, each of
 * its operations is tried again in a transaction of its own, so one that
 * cannot be stored never spoils its neighbours.  Two kinds of operation:
 *   new    adds mail; fails at once (-ENOSPC, -EIO, ...): answer 452 4.3.1
 *   kept   removals, status updates, deliveries: storage trouble (-ENOSPC,
 *          -EIO, -ENOMEM) is retried with a growing delay until it succeeds;
 *          done comes only then.  Kept operations apply in the order they
 *          were submitted.  Other errors (-ENOENT, ...) are reported at once.
 *
 * Full: a full disk, a full map, or more than soft_bytes in use.  New
 * operations get -ENOSPC while kept ones go on; the ballast is released at the
 * first full disk so that kept ones can commit, and mail is taken again once
 * the ballast could be made again.
 *
 * Threads: submitting functions and everything here belong to the loop's
 * thread.  Reading functions (body_read, queue_load, queue_scan, mailbox_list,
 * mailbox_read, account_find, account_scan) may be called from any thread;
 * each uses a short read transaction of its own and never holds one across
 * a call.  They see everything whose done has run.
 *
 * Requires a local file system (LMDB locks and maps its file).
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/err.h"
#include "base/span.h"

#include <stdbool.h>
#include <stdint.h>

enum {
	STORE_BATCH_OPS_MAX = 512,
	STORE_BATCH_BYTES_MAX = 2 * 1024 * 1024,
};

struct loop;
struct store;

/* Runs on the loop's thread, never from inside the submitting call.  May submit again. */
typedef void store_done_fn(void *ctx, int result);

struct store_options {
	const char *data_dir;   /* made if missing, mode 0700 */
	uint64_t map_bytes_max; /* 0: 64 GiB, or less where address space is short; sparse */
	uint64_t soft_bytes;    /* 0: 7/8 of the map, at most 1 GiB below it */
	uint64_t ballast_bytes; /* 0: 4 MiB; capped at 1/8 of the map */
	/*
	 * NULL: no loop; done functions run inside store_drain only.  For
	 * commands that open the store themselves while no server runs.
	 */
	struct loop *loop;
};

/*
 * Locks the directory, opens or makes the environment, drops bodies that were
 * still being received when the last process ended.  -EBUSY when another
 * process has the directory: the text names its pid.
 */
int store_open(const struct store_options *o, struct store **ret_store, struct err *reterr);

/*
 * As store_drain, then closes everything.  Kept operations that still fail get
 * one last try, then done(-errno).  Accepts NULL.
 */
void store_close(struct store *s);

/*
 * Hands over everything submitted, waits until nothing is in flight, running
 * done functions (and what they submit) on the way.  Operations that wait for
 * a retry do not hold it up.  Blocks: for shutting down, commands and tests.
 */
void store_drain(struct store *s);

/* Operations submitted whose done has not run yet, those waiting for a retry included. */
uint32_t store_pending_count(const struct store *s);

/*
 * A number that was never returned before, in this process or an earlier one
 * on this directory, whatever the clock does.  For messages and bodies.  Taken
 * from a block whose end was made durable before its first use: ids rise, and
 * a restart skips to the next block.  0, which every operation refuses with
 * -ENOSPC, after 2^29 ids without one commit that worked.
 */
uint64_t store_new_id(struct store *s);

/*
 * Short text for logs and replies: base 32 in Crockford's alphabet (no I, L,
 * O, U), no leading zeros, upper case.  Parsing takes lower case too, and O
 * for 0, I and L for 1.
 */
enum { STORE_ID_TEXT_BYTES = 14 }; /* NUL included */
const char *store_id_text(uint64_t id, char ret_text[STORE_ID_TEXT_BYTES]);
bool store_id_parse(struct span text, uint64_t *ret_id);

struct store_stats {
	uint64_t used_bytes; /* live pages; freed ones do not count */
	uint64_t map_bytes;
	uint64_t soft_bytes;
	uint64_t queue_count;
	uint64_t commit_count;   /* since the store was opened */
	uint64_t commit_ns;      /* spent in commits, syncs included */
	uint64_t op_count;       /* that succeeded */
	uint64_t failed_count;   /* reported with an error */
	uint64_t reopen_count;   /* after fatal errors */
	uint32_t retrying_count; /* kept operations waiting for their next try */
	bool full;               /* new mail is refused now */
	bool ballast_released;
};
struct store_stats store_stats(struct store *s);

#endif
