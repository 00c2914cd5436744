#include "reference-server/store/env.h"

#include <assert.h>
#include <errno.h>

enum {
	READERS_MAX = 256,
	FORMAT_VERSION = 1,
};

static const uint64_t MAP_BYTES_DEFAULT = UINT64_C(64) << 30;
static const uint64_t MAP_BYTES_LEAST = UINT64_C(16) << 20; /* below this no fallback is tried */

static const char *const db_names[DB_COUNT] = {
	[DB_META] = "meta",       [DB_QUEUE] = "queue",         [DB_CHUNK] = "chunk",
	[DB_BODY] = "body",       [DB_RECEIVING] = "receiving", [DB_MAILBOX] = "mailbox",
	[DB_UIDNEXT] = "uidnext", [DB_ACCOUNT] = "account",
};

static int mdb_err(struct err *reterr, int rc, const char *dir, const char *what)
{
	return err_set(reterr, rc > 0 ? -rc : -EIO, "store: %s %s: %s", what, dir, mdb_strerror(rc));
}

/* One try with one map size. */
static int open_mdb(struct env *e, uint64_t map_bytes)
{
	int rc = mdb_env_create(&e->mdb);
	if (rc != 0) {
		e->mdb = NULL;
		return rc;
	}
	rc = mdb_env_set_mapsize(e->mdb, (size_t)map_bytes);
	if (rc == 0)
		rc = mdb_env_set_maxdbs(e->mdb, DB_COUNT);
	if (rc == 0)
		rc = mdb_env_set_maxreaders(e->mdb, READERS_MAX);
	if (rc == 0)
		rc = mdb_env_open(e->mdb, e->dir, MDB_NOTLS, 0600);
	if (rc != 0) {
		mdb_env_close(e->mdb);
		e->mdb = NULL;
	}
	return rc;
}

/* Where address space is limited the map is made smaller rather than not at all. */
static int open_largest(struct env *e)
{
	uint64_t map_bytes = e->map_bytes_max != 0 ? e->map_bytes_max : MAP_BYTES_DEFAULT;

	for (;;) {
		int rc = open_mdb(e, map_bytes);
		if (rc != ENOMEM || map_bytes / 2 < MAP_BYTES_LEAST)
			return rc;
		map_bytes /= 2;
	}
}

static int check_format(struct txn *t)
{
	uint64_t format;

	int rc = txn_number(t, "format", FORMAT_VERSION, &format);
	if (rc != 0)
		return rc;
	return format == FORMAT_VERSION ? txn_set_number(t, "format", format) : -EPROTO;
}

static int open_dbs(struct env *e)
{
	struct txn t = { .dbis = e->dbis };

	int rc = mdb_txn_begin(e->mdb, NULL, 0, &t.mdb);
	if (rc != 0)
		return txn_errno(&t, rc);
	for (int d = 0; d < DB_COUNT && rc == 0; d++)
		rc = mdb_dbi_open(t.mdb, db_names[d], MDB_CREATE, &e->dbis[d]);
	rc = rc != 0 ? txn_errno(&t, rc) : check_format(&t);
	if (rc != 0) {
		env_abort(&t);
		return rc;
	}
	return env_commit(&t);
}

/*
 * What is seen is made to be what is on disk, before any page is used again.
 * When the sync of a meta page fails, LMDB puts the old one back in memory only,
 * and the disk may have the new one: its pages would be overwritten by the next
 * transaction, and a power cut then would leave a root without its tree.
 */
static int settle(struct env *e)
{
	struct txn t = { .dbis = e->dbis };

	return txn_errno(&t, mdb_env_sync(e->mdb, 1));
}

/* Fills the environment, or leaves e->mdb NULL. */
static int open_all(struct env *e, struct err *reterr)
{
	MDB_envinfo info;
	MDB_stat stat;

	int rc = open_largest(e);
	if (rc != 0)
		return mdb_err(reterr, rc, e->dir, "open");
	(void)mdb_env_info(e->mdb, &info);
	(void)mdb_env_stat(e->mdb, &stat);
	e->map_bytes = info.me_mapsize;
	e->page_bytes = stat.ms_psize;
	int dead;
	(void)mdb_reader_check(e->mdb, &dead);
	rc = settle(e);
	if (rc == 0)
		rc = open_dbs(e);
	if (rc == 0)
		return 0;
	mdb_env_close(e->mdb);
	e->mdb = NULL;
	if (rc == -EPROTO)
		return err_set(reterr, rc, "store: %s was written by another version of this program",
			       e->dir);
	return err_errno(reterr, -rc, "store: prepare %s", e->dir);
}

/* The thread that reopens must come in among readers that never pause. */
static void make_locks(struct env *e)
{
	pthread_rwlockattr_t attr;

	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&e->open_lock, &attr);
	pthread_rwlockattr_destroy(&attr);
	pthread_mutex_init(&e->readers_lock, NULL);
}

int env_open(struct env *e, const char *dir, uint64_t map_bytes_max, struct err *reterr)
{
	*e = (struct env){ .map_bytes_max = map_bytes_max };
	if (!span_copy(span_of(dir), e->dir, sizeof(e->dir)))
		return err_set(reterr, -ENAMETOOLONG, "store: %s: path is too long", dir);
	int rc = open_all(e, reterr);
	if (rc != 0)
		return rc;
	make_locks(e);
	return 0;
}

static void close_mdb(struct env *e)
{
	for (uint32_t i = 0; i < e->reader_count; i++)
		mdb_txn_abort(e->readers[i]);
	e->reader_count = 0;
	if (e->mdb != NULL)
		mdb_env_close(e->mdb);
	e->mdb = NULL;
}

void env_close(struct env *e)
{
	close_mdb(e);
	pthread_rwlock_destroy(&e->open_lock);
	pthread_mutex_destroy(&e->readers_lock);
}

int env_reopen(struct env *e, struct err *reterr)
{
	pthread_rwlock_wrlock(&e->open_lock);
	close_mdb(e);
	int rc = open_all(e, reterr);
	pthread_rwlock_unlock(&e->open_lock);
	return rc;
}

int env_begin(struct env *e, struct txn *ret_txn)
{
	*ret_txn = (struct txn){ .dbis = e->dbis };
	if (e->mdb == NULL) {
		ret_txn->fatal = true;
		return -EIO;
	}
	return txn_errno(ret_txn, mdb_txn_begin(e->mdb, NULL, 0, &ret_txn->mdb));
}

int env_commit(struct txn *t)
{
	int rc = txn_errno(t, mdb_txn_commit(t->mdb));
	t->mdb = NULL;
	return rc;
}

void env_abort(struct txn *t)
{
	if (t->mdb != NULL)
		mdb_txn_abort(t->mdb);
	t->mdb = NULL;
}

uint64_t env_used_bytes(const struct env *e, const struct txn *t)
{
	const MDB_dbi free_list = 0;
	const MDB_dbi names = 1;
	uint64_t pages = 2; /* the two meta pages */

	for (int d = -2; d < DB_COUNT; d++) {
		MDB_stat st;
		MDB_dbi dbi = d == -2 ? free_list : d == -1 ? names : t->dbis[d];
		if (mdb_stat(t->mdb, dbi, &st) == 0)
			pages += st.ms_branch_pages + st.ms_leaf_pages + st.ms_overflow_pages;
	}
	return pages * e->page_bytes;
}

static MDB_txn *pop_reader(struct env *e)
{
	pthread_mutex_lock(&e->readers_lock);
	MDB_txn *r = e->reader_count > 0 ? e->readers[--e->reader_count] : NULL;
	pthread_mutex_unlock(&e->readers_lock);
	return r;
}

int env_read_begin(struct env *e, struct txn *ret_txn)
{
	*ret_txn = (struct txn){ .dbis = e->dbis };
	pthread_rwlock_rdlock(&e->open_lock);
	if (e->mdb == NULL) {
		pthread_rwlock_unlock(&e->open_lock);
		return -EIO;
	}
	MDB_txn *reader = pop_reader(e);
	int rc = reader != NULL ? mdb_txn_renew(reader) : mdb_txn_begin(e->mdb, NULL, MDB_RDONLY, &reader);
	if (rc == 0) {
		ret_txn->mdb = reader;
		return 0;
	}
	if (reader != NULL)
		mdb_txn_abort(reader);
	pthread_rwlock_unlock(&e->open_lock);
	return txn_errno(ret_txn, rc);
}

void env_read_end(struct env *e, struct txn *t)
{
	MDB_txn *reader = t->mdb;

	assert(reader != NULL);
	t->mdb = NULL;
	mdb_txn_reset(reader);
	pthread_mutex_lock(&e->readers_lock);
	if (e->reader_count < ENV_READERS_KEPT) {
		e->readers[e->reader_count++] = reader;
		reader = NULL;
	}
	pthread_mutex_unlock(&e->readers_lock);
	if (reader != NULL)
		mdb_txn_abort(reader);
	pthread_rwlock_unlock(&e->open_lock);
}

void env_check_readers(struct env *e)
{
	int dead;

	if (e->mdb != NULL)
		(void)mdb_reader_check(e->mdb, &dead);
}
