#include "reference-server/store/store.h"
#include "reference-server/store/body.h"
#include "reference-server/store/lock.h"
#include "reference-server/store/writer.h"

#include "base/file.h"
#include "base/loop.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const uint64_t SOFT_RESERVE_BYTES_MAX = UINT64_C(1) << 30;
static const uint64_t BALLAST_BYTES_DEFAULT = UINT64_C(4) << 20;

struct store {
	int dir_fd;
	int lock_fd;
	struct env env;
	struct ballast ballast;
	struct writer writer;
	struct task *flush_task;        /* NULL without a loop */
	struct wakeup *finished_wakeup; /* NULL without a loop */
	struct store_ops submitted;     /* not yet handed to the writer */
	uint32_t pending_count;
	bool closed; /* the writer is gone */
};

/* ---- opening ---- */

static int sync_dir(int fd, const char *dir, struct err *reterr)
{
	return fsync(fd) == 0 ? 0 : err_errno(reterr, errno, "store: sync %s", dir);
}

/* LMDB syncs its files but never the directory that names them. */
static int open_env(struct store *s, const struct store_options *o, struct err *reterr)
{
	char dir[4096];

	int n = snprintf(dir, sizeof(dir), "%s/store", o->data_dir);
	if (n < 0 || (size_t)n >= sizeof(dir))
		return err_set(reterr, -ENAMETOOLONG, "store: %s: path is too long", o->data_dir);
	int rc = dir_make(dir, 0700, reterr);
	if (rc == 0)
		rc = env_open(&s->env, dir, o->map_bytes_max, reterr);
	if (rc != 0)
		return rc;
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	rc = fd < 0 ? err_errno(reterr, errno, "store: open %s", dir) : sync_dir(fd, dir, reterr);
	if (rc == 0)
		rc = sync_dir(s->dir_fd, o->data_dir, reterr);
	if (fd >= 0)
		(void)close(fd);
	if (rc != 0)
		env_close(&s->env);
	return rc;
}

static void hand_over(void *ctx)
{
	struct store *s = ctx;

	writer_add(&s->writer, &s->submitted);
}

static void run_done(struct store *s, struct store_ops *ops)
{
	struct store_op *op;

	while ((op = STAILQ_FIRST(ops)) != NULL) {
		STAILQ_REMOVE_HEAD(ops, link);
		assert(s->pending_count > 0);
		s->pending_count--;
		if (op->done != NULL)
			op->done(op->ctx, op->result);
		op->free(op);
	}
}

static void take_finished(void *ctx)
{
	struct store *s = ctx;
	struct store_ops ops = STAILQ_HEAD_INITIALIZER(ops);

	writer_take(&s->writer, &ops);
	run_done(s, &ops);
}

static void notify(void *ctx)
{
	struct store *s = ctx;

	if (s->finished_wakeup != NULL)
		wakeup_post(s->finished_wakeup);
}

static uint64_t soft_bytes(const struct store_options *o, uint64_t map_bytes)
{
	uint64_t reserve_bytes = map_bytes / 8;

	if (o->soft_bytes != 0)
		return o->soft_bytes;
	if (reserve_bytes > SOFT_RESERVE_BYTES_MAX)
		reserve_bytes = SOFT_RESERVE_BYTES_MAX;
	return map_bytes - reserve_bytes;
}

static int start_writer(struct store *s, const struct store_options *o, struct err *reterr)
{
	uint64_t ballast_bytes = o->ballast_bytes != 0 ? o->ballast_bytes : BALLAST_BYTES_DEFAULT;

	if (ballast_bytes > s->env.map_bytes / 8)
		ballast_bytes = s->env.map_bytes / 8;
	s->ballast = (struct ballast){ .dir_fd = s->dir_fd, .bytes = ballast_bytes };
	(void)ballast_make(&s->ballast); /* Without it new mail is refused, and it is tried again. */
	s->writer.env = &s->env;
	s->writer.ballast = &s->ballast;
	s->writer.soft_bytes = soft_bytes(o, s->env.map_bytes);
	s->writer.notify = notify;
	s->writer.notify_ctx = s;
	if (o->loop != NULL) {
		s->flush_task = task_new(o->loop, hand_over, s);
		s->finished_wakeup = wakeup_new(o->loop, take_finished, s);
	}
	return writer_start(&s->writer, reterr);
}

static void free_store(struct store *s)
{
	task_free(s->flush_task);
	wakeup_free(s->finished_wakeup);
	if (s->lock_fd >= 0)
		(void)close(s->lock_fd);
	if (s->dir_fd >= 0)
		(void)close(s->dir_fd);
	free(s);
}

int store_open(const struct store_options *o, struct store **ret_store, struct err *reterr)
{
	assert(o->data_dir != NULL);
	struct store *s = store_alloc(sizeof(*s));

	s->lock_fd = s->dir_fd = -1;
	STAILQ_INIT(&s->submitted);
	int rc = dir_make(o->data_dir, 0700, reterr);
	if (rc != 0)
		goto out;
	s->dir_fd = open(o->data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->dir_fd < 0) {
		rc = err_errno(reterr, errno, "store: open %s", o->data_dir);
		goto out;
	}
	rc = lock_take(s->dir_fd, o->data_dir, &s->lock_fd, reterr);
	if (rc == 0)
		rc = open_env(s, o, reterr);
	if (rc != 0)
		goto out;
	rc = body_sweep(&s->env);
	if (rc != 0)
		(void)err_errno(reterr, -rc, "store: remove unfinished messages in %s", o->data_dir);
	else
		rc = start_writer(s, o, reterr);
	if (rc != 0)
		env_close(&s->env);
out:
	if (rc != 0) {
		free_store(s);
		return rc;
	}
	*ret_store = s;
	return 0;
}

/* ---- submitting and finishing ---- */

void store_submit(struct store *s, struct store_op *op)
{
	assert(op->apply != NULL && op->free != NULL);
	s->pending_count++;
	STAILQ_INSERT_TAIL(&s->submitted, op, link);
	if (s->flush_task != NULL)
		task_schedule(s->flush_task);
}

void store_drain(struct store *s)
{
	struct store_ops ops = STAILQ_HEAD_INITIALIZER(ops);

	do {
		run_done(s, &ops);
		hand_over(s);
	} while (writer_wait(&s->writer, &ops));
}

/* What done functions submit after the writer has gone. */
static void refuse_submitted(struct store *s)
{
	struct store_op *op;

	while ((op = STAILQ_FIRST(&s->submitted)) != NULL) {
		struct store_ops one = STAILQ_HEAD_INITIALIZER(one);
		STAILQ_REMOVE_HEAD(&s->submitted, link);
		op->result = -ESHUTDOWN;
		STAILQ_INSERT_TAIL(&one, op, link);
		run_done(s, &one);
	}
}

void store_close(struct store *s)
{
	if (s == NULL)
		return;
	store_drain(s);
	writer_stop(&s->writer);
	take_finished(s);
	refuse_submitted(s);
	assert(s->pending_count == 0);
	pthread_mutex_destroy(&s->writer.lock);
	env_close(&s->env);
	free_store(s);
}

uint32_t store_pending_count(const struct store *s)
{
	return s->pending_count;
}

/* ---- small things ---- */

int store_read_begin(struct store *s, struct txn *ret_txn)
{
	return env_read_begin(&s->env, ret_txn);
}

void store_read_end(struct store *s, struct txn *t)
{
	env_read_end(&s->env, t);
}

uint64_t store_new_id(struct store *s)
{
	uint64_t id = atomic_load(&s->writer.next_id);

	if (id >= atomic_load(&s->writer.id_limit))
		return 0;
	atomic_store(&s->writer.next_id, id + 1);
	return id;
}

struct store_stats store_stats(struct store *s)
{
	struct writer *w = &s->writer;
	struct store_stats stats = {
		.used_bytes = atomic_load(&w->used_bytes),
		.map_bytes = s->env.map_bytes,
		.soft_bytes = w->soft_bytes,
		.commit_count = atomic_load(&w->commit_count),
		.commit_ns = atomic_load(&w->commit_ns),
		.op_count = atomic_load(&w->op_count),
		.failed_count = atomic_load(&w->failed_count),
		.reopen_count = atomic_load(&w->reopen_count),
		.retrying_count = (uint32_t)atomic_load(&w->retrying_count),
		.full = atomic_load(&w->full),
		.ballast_released = !atomic_load(&w->ballast_held),
	};
	struct txn t;
	MDB_stat st;

	if (store_read_begin(s, &t) == 0) {
		if (mdb_stat(t.mdb, t.dbis[DB_QUEUE], &st) == 0)
			stats.queue_count = st.ms_entries;
		store_read_end(s, &t);
	}
	return stats;
}
