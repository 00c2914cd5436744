#include "reference-server/store/txn.h"
#include "reference-server/store/row.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static void put_big_endian(char *at, uint64_t value, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		at[i] = (char)(value >> (8 * (bytes - 1 - i)));
}

struct key key_u32(uint32_t a)
{
	struct key k = { .n = 4 };

	put_big_endian(k.bytes, a, 4);
	return k;
}

struct key key_u64(uint64_t a)
{
	struct key k = { .n = 8 };

	put_big_endian(k.bytes, a, 8);
	return k;
}

struct key key_u32_u32(uint32_t a, uint32_t b)
{
	return key_u64((uint64_t)a << 32 | b);
}

struct key key_u64_u32(uint64_t a, uint32_t b)
{
	struct key k = { .n = 12 };

	put_big_endian(k.bytes, a, 8);
	put_big_endian(k.bytes + 8, b, 4);
	return k;
}

int txn_errno(struct txn *t, int mdb_rc)
{
	if (mdb_rc > 0) /* A system error, from reading, writing or syncing. */
		return mdb_rc == EDQUOT || mdb_rc == EFBIG ? -ENOSPC : -mdb_rc;
	switch (mdb_rc) {
	case MDB_SUCCESS:
		return 0;
	case MDB_NOTFOUND:
		return -ENOENT;
	case MDB_KEYEXIST:
		return -EEXIST;
	case MDB_MAP_FULL:
		return -ENOSPC;
	case MDB_TXN_FULL:
		return -E2BIG;
	case MDB_READERS_FULL:
		return -EAGAIN;
	default:
		/* Corruption, panic, or a code that says this file and this library disagree. */
		t->fatal = true;
		return -EIO;
	}
}

static MDB_val val_of(struct span s)
{
	/* LMDB's values are not const, but it writes to none that it is given. */
	return (MDB_val){ .mv_size = s.n, .mv_data = (void *)(uintptr_t)s.p };
}

static struct span span_of_val(const MDB_val *v)
{
	return (struct span){ v->mv_data, v->mv_size };
}

int txn_get(struct txn *t, enum db d, struct span key, struct span *ret_value)
{
	MDB_val k = val_of(key);
	MDB_val v;

	int rc = mdb_get(t->mdb, t->dbis[d], &k, &v);
	if (rc != 0)
		return txn_errno(t, rc);
	*ret_value = span_of_val(&v);
	return 0;
}

static int put(struct txn *t, enum db d, struct span key, struct span value, unsigned flags)
{
	MDB_val k = val_of(key);
	MDB_val v = val_of(value);

	return txn_errno(t, mdb_put(t->mdb, t->dbis[d], &k, &v, flags));
}

int txn_put(struct txn *t, enum db d, struct span key, struct span value)
{
	return put(t, d, key, value, 0);
}

int txn_insert(struct txn *t, enum db d, struct span key, struct span value)
{
	return put(t, d, key, value, MDB_NOOVERWRITE);
}

int txn_insert_room(struct txn *t, enum db d, struct span key, size_t value_bytes, char **ret_at)
{
	MDB_val k = val_of(key);
	MDB_val v = { .mv_size = value_bytes };

	int rc = mdb_put(t->mdb, t->dbis[d], &k, &v, MDB_NOOVERWRITE | MDB_RESERVE);
	if (rc != 0)
		return txn_errno(t, rc);
	*ret_at = v.mv_data;
	return 0;
}

int txn_delete(struct txn *t, enum db d, struct span key)
{
	MDB_val k = val_of(key);

	return txn_errno(t, mdb_del(t->mdb, t->dbis[d], &k, NULL));
}

int txn_each(struct txn *t, enum db d, struct span from, txn_each_fn *fn, void *ctx)
{
	MDB_cursor *c = NULL;
	MDB_val k = val_of(from);
	MDB_val v;

	int rc = mdb_cursor_open(t->mdb, t->dbis[d], &c);
	if (rc != 0)
		return txn_errno(t, rc);
	int verdict = TXN_NEXT;
	rc = mdb_cursor_get(c, &k, &v, from.n > 0 ? MDB_SET_RANGE : MDB_FIRST);
	while (rc == 0) {
		verdict = fn(ctx, span_of_val(&k), span_of_val(&v));
		if (verdict == TXN_DELETE) {
			/* The cursor then stands on the next row, which MDB_NEXT does not skip. */
			rc = mdb_cursor_del(c, 0);
			verdict = TXN_NEXT;
		}
		if (rc != 0 || verdict != TXN_NEXT)
			break;
		rc = mdb_cursor_get(c, &k, &v, MDB_NEXT);
	}
	mdb_cursor_close(c);
	if (verdict < 0)
		return verdict;
	return rc == MDB_NOTFOUND ? 0 : txn_errno(t, rc);
}

int txn_number(struct txn *t, const char *name, uint64_t first_value, uint64_t *ret_value)
{
	struct span v = { 0 };

	int rc = txn_get(t, DB_META, span_of(name), &v);
	if (rc == -ENOENT) {
		*ret_value = first_value;
		return 0;
	}
	if (rc != 0)
		return rc;
	struct row r = row_of(v);
	uint64_t value = row_u64(&r);
	if (!row_ended(&r))
		return -EBADMSG;
	*ret_value = value;
	return 0;
}

int txn_set_number(struct txn *t, const char *name, uint64_t value)
{
	struct key v = key_u64(value);

	return txn_put(t, DB_META, span_of(name), key_span(&v));
}

bool store_is_trouble(int result)
{
	return result == -ENOSPC || result == -EIO || result == -ENOMEM || result == -EAGAIN ||
	       result == -EROFS || result == -EACCES || result == -ENODEV || result == -ENXIO ||
	       result == -EINTR;
}

void *store_alloc(size_t bytes)
{
	void *p = calloc(1, bytes);

	if (p == NULL) {
		(void)fprintf(stderr, "out of memory: %zu bytes for the store\n", bytes);
		abort();
	}
	return p;
}
