/*
 * writer: the thread that turns waiting operations into transactions.  For
 * this folder only; store.h says what is promised to everybody else.
 *
 *   writer_add ──> waiting ──> batch ──> one transaction ──> finished ──> writer_take
 *                                │ fails: halved until the culprit stands alone
 *                                └─> retrying (kept operations in storage trouble)
 *
 * Halving keeps the order of operations and costs about 2 log2(n) transactions
 * for one bad operation among n.  While anything is in retrying, every kept
 * operation that comes goes behind it, so kept operations never overtake each
 * other.
 */
#ifndef STORE_WRITER_H
#define STORE_WRITER_H

#include "reference-server/store/ballast.h"
#include "reference-server/store/env.h"

#include <stdatomic.h>

/* Ids are made durable this many at a time. */
#define WRITER_ID_BLOCK (UINT64_C(1) << 30)

struct writer {
	struct env *env;
	struct ballast *ballast;
	uint64_t soft_bytes;
	void (*notify)(void *ctx); /* on the writer's thread: something is finished */
	void *notify_ctx;

	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t more;   /* waiting or stop changed */
	pthread_cond_t rested; /* a batch is through */
	/* Under lock. */
	struct store_ops waiting;
	struct store_ops finished;
	bool busy;
	bool stop;

	/* The writer thread's own. */
	struct store_ops done; /* of this batch */
	struct store_ops retrying;
	int64_t retry_at_ms;
	int64_t retry_delay_ms;
	int64_t ballast_at_ms;
	int64_t reopen_at_ms; /* read when the environment is closed */
	int64_t readers_at_ms;
	bool last_try; /* stopping: what fails now is reported */

	/* Written by the writer, read by anybody; next_id the other way round. */
	atomic_uint_fast64_t next_id;
	atomic_uint_fast64_t id_limit; /* durable: ids below it will not come back */
	atomic_uint_fast64_t used_bytes;
	atomic_uint_fast64_t commit_count;
	atomic_uint_fast64_t commit_ns;
	atomic_uint_fast64_t op_count;
	atomic_uint_fast64_t failed_count;
	atomic_uint_fast64_t reopen_count;
	atomic_uint_fast32_t retrying_count;
	atomic_bool full;
	atomic_bool ballast_held;
};

/* The first five fields are set.  Reserves ids, then starts the thread. */
int writer_start(struct writer *w, struct err *reterr);
/* Ends the thread after one last try of everything; the finished are still to be taken. */
void writer_stop(struct writer *w);

/* Takes all of ops, which is empty afterwards. */
void writer_add(struct writer *w, struct store_ops *ops);
/* Moves what is finished to the end of ops, in the order of finishing. */
void writer_take(struct writer *w, struct store_ops *ops);
/* As writer_take; when there is nothing, waits until there is.  False when nothing is on its way but retries.
 */
bool writer_wait(struct writer *w, struct store_ops *ops);

#endif
