#include "reference-server/store/writer.h"

#include "base/loop.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <time.h>

enum {
	RETRY_DELAY_MS_MIN = 20,
	RETRY_DELAY_MS_MAX = 5000,
	BALLAST_EVERY_MS = 250,
	REOPEN_EVERY_MS = 250,
	READERS_EVERY_MS = 60000,
};

static int64_t now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void finish(struct writer *w, struct store_op *op, int result)
{
	op->result = result;
	atomic_fetch_add(result == 0 ? &w->op_count : &w->failed_count, 1);
	STAILQ_INSERT_TAIL(&w->done, op, link);
}

static void keep(struct writer *w, struct store_op *op)
{
	STAILQ_INSERT_TAIL(&w->retrying, op, link);
	atomic_fetch_add(&w->retrying_count, 1);
}

/* ---- one transaction ---- */

static void reopen(struct writer *w)
{
	struct err err;

	atomic_fetch_add(&w->reopen_count, 1);
	(void)env_reopen(w->env, &err); /* When it fails the next transaction says so. */
	w->reopen_at_ms = now_ms() + REOPEN_EVERY_MS;
}

/* A full disk shows as ENOSPC, or as a short write, which LMDB calls EIO. */
static int note_full_disk(struct writer *w, int rc, bool from_disk)
{
	if ((rc != -EIO && rc != -ENOSPC) || !w->ballast->held)
		return rc;
	bool disk_full = ballast_disk_full(w->ballast);
	if (disk_full)
		rc = -ENOSPC;
	if (disk_full || (rc == -ENOSPC && from_disk)) {
		ballast_release(w->ballast);
		atomic_store(&w->ballast_held, false);
		atomic_store(&w->full, true);
		w->ballast_at_ms = now_ms() + BALLAST_EVERY_MS;
	}
	return rc;
}

/* Goes along with whatever is committed next. */
static int reserve_ids(struct writer *w, struct txn *t, uint64_t *ret_limit)
{
	uint64_t limit = atomic_load(&w->id_limit);

	*ret_limit = limit;
	if (limit - atomic_load(&w->next_id) > WRITER_ID_BLOCK / 2)
		return 0;
	*ret_limit = limit + WRITER_ID_BLOCK;
	return txn_set_number(t, "next_id", *ret_limit);
}

static int apply_all(struct txn *t, const struct store_ops *ops)
{
	struct store_op *op;

	STAILQ_FOREACH (op, ops, link) {
		int rc = op->apply(t, op);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int commit_ops(struct writer *w, const struct store_ops *ops)
{
	struct txn t;
	uint64_t id_limit = 0;
	uint64_t used_bytes = 0;
	bool from_disk = false;

	int rc = env_begin(w->env, &t);
	if (rc == 0)
		rc = reserve_ids(w, &t, &id_limit);
	if (rc == 0)
		rc = apply_all(&t, ops);
	if (rc == 0) {
		used_bytes = env_used_bytes(w->env, &t);
		int64_t begin_ns = clock_mono_ns();
		rc = env_commit(&t);
		atomic_fetch_add(&w->commit_ns, (uint64_t)(clock_mono_ns() - begin_ns));
		from_disk = rc != 0;
	}
	if (rc == 0) {
		atomic_store(&w->used_bytes, used_bytes);
		atomic_store(&w->id_limit, id_limit);
		atomic_fetch_add(&w->commit_count, 1);
		return 0;
	}
	env_abort(&t);
	if (t.fatal)
		reopen(w);
	return note_full_disk(w, rc, from_disk);
}

/* ---- batches ---- */

static void finish_all(struct writer *w, struct store_ops *ops)
{
	struct store_op *op;

	while ((op = STAILQ_FIRST(ops)) != NULL) {
		STAILQ_REMOVE_HEAD(ops, link);
		finish(w, op, 0);
	}
}

/* Pages that an operation may need beyond its bytes: rows, tree pages above them. */
static uint64_t estimate_bytes(const struct store_op *op)
{
	return op->weight_bytes + op->weight_bytes / 16 + 2048;
}

/* Kept operations may not overtake the ones that wait; new ones are refused while full. */
static uint32_t sort_out(struct writer *w, struct store_ops *ops)
{
	struct store_ops fit = STAILQ_HEAD_INITIALIZER(fit);
	struct store_op *op;
	uint64_t used_bytes = atomic_load(&w->used_bytes);
	uint32_t op_count = 0;
	bool refused = false;
	bool accepted = false;

	while ((op = STAILQ_FIRST(ops)) != NULL) {
		STAILQ_REMOVE_HEAD(ops, link);
		if (op->kept && !STAILQ_EMPTY(&w->retrying)) {
			keep(w, op);
			continue;
		}
		if (!op->kept && (!w->ballast->held || used_bytes + estimate_bytes(op) > w->soft_bytes)) {
			refused = true;
			finish(w, op, -ENOSPC);
			continue;
		}
		accepted = accepted || !op->kept;
		used_bytes += estimate_bytes(op);
		STAILQ_INSERT_TAIL(&fit, op, link);
		op_count++;
	}
	STAILQ_CONCAT(ops, &fit);
	if (refused || accepted)
		atomic_store(&w->full, refused);
	return op_count;
}

static void run_one(struct writer *w, struct store_op *op, int rc)
{
	if (op->kept && store_is_trouble(rc) && !w->last_try) {
		if (STAILQ_EMPTY(&w->retrying)) {
			w->retry_delay_ms = RETRY_DELAY_MS_MIN;
			w->retry_at_ms = now_ms() + w->retry_delay_ms;
		}
		keep(w, op);
	} else {
		finish(w, op, rc);
	}
}

/* One transaction; when it fails, each half for itself.  Empties ops. */
static void run(struct writer *w, struct store_ops *ops)
{
	struct store_ops first = STAILQ_HEAD_INITIALIZER(first);

	uint32_t op_count = sort_out(w, ops);
	if (op_count == 0)
		return;
	int rc = commit_ops(w, ops);
	if (rc == 0) {
		finish_all(w, ops);
		return;
	}
	for (uint32_t i = 0; i < (op_count + 1) / 2; i++) {
		struct store_op *op = STAILQ_FIRST(ops);
		STAILQ_REMOVE_HEAD(ops, link);
		STAILQ_INSERT_TAIL(&first, op, link);
	}
	if (op_count == 1) {
		run_one(w, STAILQ_FIRST(&first), rc);
		return;
	}
	run(w, &first);
	run(w, ops);
}

/* In order, one by one, up to the first that is still in trouble. */
static void retry(struct writer *w)
{
	struct store_op *op;

	while ((op = STAILQ_FIRST(&w->retrying)) != NULL) {
		struct store_ops one = STAILQ_HEAD_INITIALIZER(one);
		STAILQ_REMOVE_HEAD(&w->retrying, link);
		STAILQ_INSERT_TAIL(&one, op, link);
		int rc = commit_ops(w, &one);
		if (store_is_trouble(rc) && !w->last_try) {
			STAILQ_INSERT_HEAD(&w->retrying, op, link);
			w->retry_delay_ms *= 2;
			if (w->retry_delay_ms > RETRY_DELAY_MS_MAX)
				w->retry_delay_ms = RETRY_DELAY_MS_MAX;
			w->retry_at_ms = now_ms() + w->retry_delay_ms;
			return;
		}
		atomic_fetch_sub(&w->retrying_count, 1);
		finish(w, op, rc);
	}
}

/* ---- the thread ---- */

static int64_t wake_at_ms(const struct writer *w)
{
	int64_t at_ms = w->readers_at_ms;

	if (!STAILQ_EMPTY(&w->retrying) && w->retry_at_ms < at_ms)
		at_ms = w->retry_at_ms;
	if (!w->ballast->held && w->ballast_at_ms < at_ms)
		at_ms = w->ballast_at_ms;
	if (!env_is_open(w->env) && w->reopen_at_ms < at_ms)
		at_ms = w->reopen_at_ms;
	return at_ms;
}

static void housekeeping(struct writer *w)
{
	int64_t now = now_ms();

	if (!w->ballast->held && now >= w->ballast_at_ms) {
		w->ballast_at_ms = now + BALLAST_EVERY_MS;
		if (ballast_make(w->ballast))
			atomic_store(&w->full, false);
		atomic_store(&w->ballast_held, w->ballast->held);
	}
	/* While it is closed nothing can be read either, and who asks first may never come to write. */
	if (!env_is_open(w->env) && now >= w->reopen_at_ms)
		reopen(w);
	if (!STAILQ_EMPTY(&w->retrying) && now >= w->retry_at_ms)
		retry(w);
	if (now >= w->readers_at_ms) {
		w->readers_at_ms = now + READERS_EVERY_MS;
		env_check_readers(w->env);
	}
}

/* Called with the lock held. */
static void wait_for_work(struct writer *w)
{
	int64_t at_ms = wake_at_ms(w);
	const struct timespec at = { .tv_sec = at_ms / 1000, .tv_nsec = (at_ms % 1000) * 1000000 };

	while (STAILQ_EMPTY(&w->waiting) && !w->stop)
		if (pthread_cond_timedwait(&w->more, &w->lock, &at) == ETIMEDOUT)
			return;
}

static void take_batch(struct writer *w, struct store_ops *batch)
{
	struct store_op *op;
	uint32_t op_count = 0;
	uint64_t bytes = 0;

	while ((op = STAILQ_FIRST(&w->waiting)) != NULL && op_count < STORE_BATCH_OPS_MAX &&
	       bytes < STORE_BATCH_BYTES_MAX) {
		STAILQ_REMOVE_HEAD(&w->waiting, link);
		STAILQ_INSERT_TAIL(batch, op, link);
		bytes += op->weight_bytes;
		op_count++;
	}
}

static void *writer_main(void *ctx)
{
	struct writer *w = ctx;
	bool stop = false;

	while (!stop) {
		struct store_ops batch = STAILQ_HEAD_INITIALIZER(batch);
		pthread_mutex_lock(&w->lock);
		wait_for_work(w);
		take_batch(w, &batch);
		stop = w->stop && STAILQ_EMPTY(&batch);
		w->busy = true;
		pthread_mutex_unlock(&w->lock);

		w->last_try = stop;
		if (stop)
			w->retry_at_ms = 0;
		housekeeping(w);
		run(w, &batch);

		pthread_mutex_lock(&w->lock);
		w->busy = false;
		bool news = !STAILQ_EMPTY(&w->done);
		STAILQ_CONCAT(&w->finished, &w->done);
		pthread_cond_signal(&w->rested);
		pthread_mutex_unlock(&w->lock);
		if (news)
			w->notify(w->notify_ctx);
	}
	return NULL;
}

/* Once, before the thread: ids of this process begin where those of the last can never have come. */
static int first_ids(struct writer *w)
{
	struct txn t;
	uint64_t first_id = 0;

	int rc = env_begin(w->env, &t);
	if (rc != 0)
		return rc;
	rc = txn_number(&t, "next_id", WRITER_ID_BLOCK, &first_id);
	if (rc == 0)
		rc = txn_set_number(&t, "next_id", first_id + WRITER_ID_BLOCK);
	if (rc != 0) {
		env_abort(&t);
		return rc;
	}
	atomic_store(&w->used_bytes, env_used_bytes(w->env, &t));
	rc = env_commit(&t);
	if (rc != 0)
		return rc;
	atomic_store(&w->next_id, first_id);
	atomic_store(&w->id_limit, first_id + WRITER_ID_BLOCK);
	return 0;
}

int writer_start(struct writer *w, struct err *reterr)
{
	pthread_condattr_t monotonic;
	sigset_t all;
	sigset_t before;

	int rc = first_ids(w);
	if (rc != 0)
		return err_errno(reterr, -rc, "store: first write to %s", w->env->dir);
	STAILQ_INIT(&w->waiting);
	STAILQ_INIT(&w->finished);
	STAILQ_INIT(&w->done);
	STAILQ_INIT(&w->retrying);
	w->readers_at_ms = now_ms() + READERS_EVERY_MS;
	atomic_store(&w->ballast_held, w->ballast->held);
	atomic_store(&w->full, !w->ballast->held);
	pthread_mutex_init(&w->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&w->more, &monotonic);
	pthread_cond_init(&w->rested, NULL);
	pthread_condattr_destroy(&monotonic);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before); /* Signals are the loop's business. */
	rc = pthread_create(&w->thread, NULL, writer_main, w);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rc == 0 ? 0 : err_errno(reterr, rc, "store: start the writer thread");
}

void writer_stop(struct writer *w)
{
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_cond_signal(&w->more);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	assert(STAILQ_EMPTY(&w->waiting) && STAILQ_EMPTY(&w->retrying));
	pthread_cond_destroy(&w->more);
	pthread_cond_destroy(&w->rested);
}

void writer_add(struct writer *w, struct store_ops *ops)
{
	if (STAILQ_EMPTY(ops))
		return;
	pthread_mutex_lock(&w->lock);
	STAILQ_CONCAT(&w->waiting, ops);
	pthread_cond_signal(&w->more);
	pthread_mutex_unlock(&w->lock);
}

void writer_take(struct writer *w, struct store_ops *ops)
{
	pthread_mutex_lock(&w->lock);
	STAILQ_CONCAT(ops, &w->finished);
	pthread_mutex_unlock(&w->lock);
}

bool writer_wait(struct writer *w, struct store_ops *ops)
{
	pthread_mutex_lock(&w->lock);
	while (STAILQ_EMPTY(&w->finished) && (w->busy || !STAILQ_EMPTY(&w->waiting)))
		pthread_cond_wait(&w->rested, &w->lock);
	bool news = !STAILQ_EMPTY(&w->finished);
	STAILQ_CONCAT(ops, &w->finished);
	pthread_mutex_unlock(&w->lock);
	return news;
}
