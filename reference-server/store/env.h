/*
 * env: the LMDB environment itself: opening, reopening after a fatal error,
 * write and read transactions, how full it is.  For this folder only.
 *
 * One thread writes; any thread reads.  Reopening waits for running read
 * transactions; between a failed reopening and the next try everything fails
 * with -EIO.
 */
#ifndef STORE_ENV_H
#define STORE_ENV_H

#include "reference-server/store/txn.h"

#include <pthread.h>

enum { ENV_READERS_KEPT = 32 };

struct env {
	char dir[4096];
	uint64_t map_bytes_max; /* wanted */
	MDB_env *mdb;           /* NULL after a reopening that failed */
	MDB_dbi dbis[DB_COUNT];
	uint64_t map_bytes; /* what the address space allowed */
	uint32_t page_bytes;
	pthread_rwlock_t open_lock; /* held shared by readers, exclusively while reopening */
	pthread_mutex_t readers_lock;
	MDB_txn *readers[ENV_READERS_KEPT]; /* reset, to be renewed */
	uint32_t reader_count;
};

/* dir exists.  After an error nothing is left open. */
int env_open(struct env *e, const char *dir, uint64_t map_bytes_max, struct err *reterr);
void env_close(struct env *e);
int env_reopen(struct env *e, struct err *reterr);

/* For the thread that writes. */
static inline bool env_is_open(const struct env *e)
{
	return e->mdb != NULL;
}

int env_begin(struct env *e, struct txn *ret_txn);
int env_commit(struct txn *t);
void env_abort(struct txn *t);

/* Pages that hold something now, as seen by the transaction. */
uint64_t env_used_bytes(const struct env *e, const struct txn *t);

int env_read_begin(struct env *e, struct txn *ret_txn);
void env_read_end(struct env *e, struct txn *t);

/* Frees the slots of readers whose process died: each one holds back pages from being used again. */
void env_check_readers(struct env *e);

#endif
