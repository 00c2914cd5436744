/*
 * txn: one LMDB transaction and the operations that run in it.  For this
 * folder only; everybody else uses queue.h, body.h, mailbox.h, account.h.
 *
 * Errors are 0 or negative errno values; LMDB's own codes never leave this
 * module:
 *   -ENOENT  no such row               -EEXIST  txn_insert found one
 *   -ENOSPC  map or disk is full       -E2BIG   too much for one transaction
 *   -EIO     anything that says the environment is damaged; sets `fatal`
 *   -EBADMSG (of the modules above) a row that does not read as it was written
 *
 * A span that txn_get or a cursor returns points into the map: valid until the
 * next change in the same transaction, or its end.
 */
#ifndef STORE_TXN_H
#define STORE_TXN_H

#include "reference-server/store/store.h"

#include <lmdb.h>
#include <string.h>
#include <sys/queue.h>

enum db {
	DB_META, /* name → value: format u32, next_id u64, account_id u32, uidvalidity u32 */
	DB_QUEUE,
	DB_CHUNK,
	DB_BODY,
	DB_RECEIVING,
	DB_MAILBOX,
	DB_UIDNEXT,
	DB_ACCOUNT,
	DB_COUNT
};

struct txn {
	MDB_txn *mdb;
	const MDB_dbi *dbis; /* DB_COUNT of them */
	bool fatal;          /* the environment must be reopened */
};

/* Big-endian, so that the order of keys is the order of numbers. */
struct key {
	char bytes[12];
	size_t n;
};
struct key key_u32(uint32_t a);
struct key key_u64(uint64_t a);
struct key key_u32_u32(uint32_t a, uint32_t b);
struct key key_u64_u32(uint64_t a, uint32_t b);
static inline struct span key_span(const struct key *k)
{
	return (struct span){ k->bytes, k->n };
}

int txn_errno(struct txn *t, int mdb_rc);
int txn_get(struct txn *t, enum db d, struct span key, struct span *ret_value);
int txn_put(struct txn *t, enum db d, struct span key, struct span value);
int txn_insert(struct txn *t, enum db d, struct span key, struct span value);
/* Room for a value to be written in place before the next change; *ret_at takes value_bytes. */
int txn_insert_room(struct txn *t, enum db d, struct span key, size_t value_bytes, char **ret_at);
int txn_delete(struct txn *t, enum db d, struct span key);

/*
 * Calls fn for the rows from key `from` on, in order, as long as it returns 1;
 * 0 ends well, a negative errno ends so.  fn must not change the database,
 * unless by returning TXN_DELETE, which removes this row and goes on.
 */
enum { TXN_STOP = 0, TXN_NEXT = 1, TXN_DELETE = 2 };
typedef int txn_each_fn(void *ctx, struct span key, struct span value);
int txn_each(struct txn *t, enum db d, struct span from, txn_each_fn *fn, void *ctx);

/* A number kept in DB_META; first_value before it is first set. */
int txn_number(struct txn *t, const char *name, uint64_t first_value, uint64_t *ret_value);
int txn_set_number(struct txn *t, const char *name, uint64_t value);

/* ---- operations ---- */
struct store_op {
	/*
	 * On the writer's thread.  May run several times, each time in a fresh
	 * transaction: changes nothing but the transaction.
	 */
	int (*apply)(struct txn *t, struct store_op *op);
	void (*free)(struct store_op *op); /* on the loop's thread, after done */
	store_done_fn *done;               /* may be NULL */
	void *ctx;
	uint64_t weight_bytes; /* about how much it adds */
	bool kept;             /* storage trouble is retried, see store.h */

	/* The store's own. */
	STAILQ_ENTRY(store_op) link;
	int result;
};
STAILQ_HEAD(store_ops, store_op);

/* Hands an operation over; it belongs to the store until its free. */
void store_submit(struct store *s, struct store_op *op);

/* Whether an error is storage trouble, which may pass, or an answer. */
bool store_is_trouble(int result);

/* ---- short read transactions, any thread ---- */
int store_read_begin(struct store *s, struct txn *ret_txn);
void store_read_end(struct store *s, struct txn *t);

/* malloc and calloc that end the process instead of returning NULL, as struct buf does. */
void *store_alloc(size_t bytes);

#endif
