#include "reference-server/store/body.h"
#include "reference-server/store/env.h"
#include "reference-server/store/row.h"

#include <assert.h>
#include <errno.h>

enum { ROW_VERSION = 1 };

/* ---- chunks ---- */

static uint32_t chunk_number(uint64_t offset)
{
	return (uint32_t)(offset / BODY_CHUNK_BYTES);
}

static int put_chunks(struct txn *t, uint64_t body_id, uint64_t offset, struct span bytes)
{
	assert(bytes.n == 0 || offset % BODY_CHUNK_BYTES == 0);

	for (size_t done = 0; done < bytes.n; done += BODY_CHUNK_BYTES) {
		struct key k = key_u64_u32(body_id, chunk_number(offset + done));
		int rc = txn_insert(t, DB_CHUNK, key_span(&k), span_sub(bytes, done, BODY_CHUNK_BYTES));
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int delete_if_of_body(void *ctx, struct span key, struct span value)
{
	const uint64_t *body_id = ctx;
	struct row r = row_of(key);

	(void)value;
	return row_u64(&r) == *body_id ? TXN_DELETE : TXN_STOP;
}

/* Those that are there, whatever a row says of the body's size: it may be damaged. */
static int delete_chunks(struct txn *t, uint64_t body_id)
{
	struct key first = key_u64_u32(body_id, 0);

	return txn_each(t, DB_CHUNK, key_span(&first), delete_if_of_body, &body_id);
}

/* ---- rows ---- */

static int put_body_row(struct txn *t, uint64_t body_id, uint32_t refs, uint64_t bytes)
{
	struct key k = key_u64(body_id);
	struct buf row = { 0 };

	buf_add_u8(&row, ROW_VERSION);
	buf_add_u32(&row, refs);
	buf_add_u64(&row, bytes);
	int rc = txn_put(t, DB_BODY, key_span(&k), buf_span(&row));
	buf_free(&row);
	return rc;
}

static int get_body_row(struct txn *t, uint64_t body_id, uint32_t *ret_refs, uint64_t *ret_bytes)
{
	struct key k = key_u64(body_id);
	struct span value = { 0 };

	int rc = txn_get(t, DB_BODY, key_span(&k), &value);
	if (rc != 0)
		return rc;
	struct row r = row_of(value);
	uint8_t version = row_u8(&r);
	uint32_t refs = row_u32(&r);
	uint64_t bytes = row_u64(&r);
	if (!row_ended(&r) || version != ROW_VERSION || refs == 0 || bytes > BODY_BYTES_MAX)
		return -EBADMSG;
	*ret_refs = refs;
	*ret_bytes = bytes;
	return 0;
}

static int get_receiving(struct txn *t, uint64_t body_id, uint64_t *ret_bytes)
{
	struct key k = key_u64(body_id);
	struct span value = { 0 };

	int rc = txn_get(t, DB_RECEIVING, key_span(&k), &value);
	if (rc != 0)
		return rc;
	struct row r = row_of(value);
	uint8_t version = row_u8(&r);
	uint64_t bytes = row_u64(&r);
	if (!row_ended(&r) || version != ROW_VERSION || bytes > BODY_BYTES_MAX)
		return -EBADMSG;
	*ret_bytes = bytes;
	return 0;
}

static int put_receiving(struct txn *t, uint64_t body_id, uint64_t bytes)
{
	struct key k = key_u64(body_id);
	struct buf row = { 0 };

	buf_add_u8(&row, ROW_VERSION);
	buf_add_u64(&row, bytes);
	int rc = txn_put(t, DB_RECEIVING, key_span(&k), buf_span(&row));
	buf_free(&row);
	return rc;
}

/* ---- inside a transaction ---- */

int body_settle(struct txn *t, uint64_t body_id, uint64_t body_bytes, struct span tail, uint32_t refs)
{
	struct key k = key_u64(body_id);
	struct span value = { 0 };
	uint64_t received_bytes = 0;

	assert(refs > 0);
	if (tail.n > body_bytes || body_bytes > BODY_BYTES_MAX)
		return -EINVAL;
	int rc = txn_get(t, DB_BODY, key_span(&k), &value);
	if (rc != -ENOENT)
		return rc == 0 ? -EEXIST : rc;
	if (tail.n < body_bytes) {
		rc = get_receiving(t, body_id, &received_bytes);
		if (rc == -ENOENT || (rc == 0 && received_bytes != body_bytes - tail.n))
			return -ESTALE;
		if (rc == 0 && tail.n > 0 && received_bytes % BODY_CHUNK_BYTES != 0)
			return -EINVAL;
		if (rc == 0)
			rc = txn_delete(t, DB_RECEIVING, key_span(&k));
		if (rc != 0)
			return rc;
	}
	rc = put_chunks(t, body_id, received_bytes, tail);
	return rc != 0 ? rc : put_body_row(t, body_id, refs, body_bytes);
}

static int drop(struct txn *t, uint64_t body_id)
{
	struct key k = key_u64(body_id);

	int rc = txn_delete(t, DB_BODY, key_span(&k));
	return rc != 0 && rc != -ENOENT ? rc : delete_chunks(t, body_id);
}

int body_add_refs(struct txn *t, uint64_t body_id, int64_t refs)
{
	uint32_t refs_now;
	uint64_t bytes;

	if (refs == 0)
		return 0;
	int rc = get_body_row(t, body_id, &refs_now, &bytes);
	if (refs < 0 && (rc == -ENOENT || rc == -EBADMSG))
		return drop(t, body_id); /* what is damaged can still be let go of */
	if (rc != 0)
		return rc == -ENOENT ? -EBADMSG : rc;
	int64_t refs_then = (int64_t)refs_now + refs;
	if (refs_then > UINT32_MAX)
		return -EOVERFLOW;
	if (refs_then > 0)
		return put_body_row(t, body_id, (uint32_t)refs_then, bytes);
	return drop(t, body_id);
}

int body_size(struct txn *t, uint64_t body_id, uint64_t *ret_bytes)
{
	uint32_t refs;

	return get_body_row(t, body_id, &refs, ret_bytes);
}

ssize_t body_copy(struct txn *t, uint64_t body_id, uint64_t offset, char *ret_bytes, size_t n)
{
	uint64_t body_bytes;
	size_t done = 0;

	int rc = body_size(t, body_id, &body_bytes);
	if (rc != 0)
		return rc;
	if (offset >= body_bytes)
		return 0;
	if (n > body_bytes - offset)
		n = (size_t)(body_bytes - offset);
	while (done < n) {
		struct key k = key_u64_u32(body_id, chunk_number(offset + done));
		struct span chunk;
		rc = txn_get(t, DB_CHUNK, key_span(&k), &chunk);
		if (rc != 0)
			return rc == -ENOENT ? -EBADMSG : rc;
		struct span part = span_sub(chunk, (size_t)((offset + done) % BODY_CHUNK_BYTES), n - done);
		if (part.n == 0)
			return -EBADMSG;
		memcpy(ret_bytes + done, part.p, part.n);
		done += part.n;
	}
	return (ssize_t)n;
}

/* ---- operations ---- */

struct body_op {
	struct store_op op;
	uint64_t body_id;
	uint64_t offset;
	struct span bytes;
};

static void free_body_op(struct store_op *op)
{
	free(op);
}

static int apply_append(struct txn *t, struct store_op *op)
{
	const struct body_op *a = (const struct body_op *)op;
	struct key k = key_u64(a->body_id);
	uint64_t received_bytes = 0;
	struct span value = { 0 };

	if (a->body_id == 0)
		return -ENOSPC;
	if (a->bytes.n > BODY_BYTES_MAX - a->offset)
		return -E2BIG;
	int rc = get_receiving(t, a->body_id, &received_bytes);
	if (rc != 0 && rc != -ENOENT)
		return rc;
	if (rc == -ENOENT && txn_get(t, DB_BODY, key_span(&k), &value) == 0)
		return -EEXIST;
	if (a->offset != received_bytes || (rc == 0) != (a->offset > 0))
		return -ESTALE;
	rc = put_chunks(t, a->body_id, a->offset, a->bytes);
	return rc != 0 ? rc : put_receiving(t, a->body_id, a->offset + a->bytes.n);
}

void body_append(struct store *s, uint64_t body_id, uint64_t offset, struct span bytes, store_done_fn *done,
		 void *ctx)
{
	assert(offset % BODY_CHUNK_BYTES == 0 && offset <= BODY_BYTES_MAX);
	assert(bytes.n > 0);
	struct body_op *a = store_alloc(sizeof(*a));

	*a = (struct body_op){ .op = { .apply = apply_append,
				       .free = free_body_op,
				       .done = done,
				       .ctx = ctx,
				       .weight_bytes = bytes.n },
			       .body_id = body_id,
			       .offset = offset,
			       .bytes = bytes };
	store_submit(s, &a->op);
}

static int discard(struct txn *t, uint64_t body_id)
{
	struct key k = key_u64(body_id);

	int rc = txn_delete(t, DB_RECEIVING, key_span(&k));
	return rc != 0 ? rc : delete_chunks(t, body_id);
}

static int apply_discard(struct txn *t, struct store_op *op)
{
	const struct body_op *d = (const struct body_op *)op;

	int rc = discard(t, d->body_id);
	return rc == -ENOENT ? 0 : rc;
}

void body_discard(struct store *s, uint64_t body_id, store_done_fn *done, void *ctx)
{
	struct body_op *d = store_alloc(sizeof(*d));

	*d = (struct body_op){ .op = { .apply = apply_discard,
				       .free = free_body_op,
				       .done = done,
				       .ctx = ctx,
				       .kept = true },
			       .body_id = body_id };
	store_submit(s, &d->op);
}

ssize_t body_read(struct store *s, uint64_t body_id, uint64_t offset, void *ret_bytes, size_t n)
{
	struct txn t;

	int rc = store_read_begin(s, &t);
	if (rc != 0)
		return rc;
	ssize_t got = body_copy(&t, body_id, offset, ret_bytes, n);
	store_read_end(s, &t);
	return got;
}

/* ---- start-up ---- */

struct unfinished {
	uint64_t body_id;
	bool found;
};

static int note_first(void *ctx, struct span key, struct span value)
{
	struct unfinished *u = ctx;
	struct row r = row_of(key);

	(void)value;
	u->body_id = row_u64(&r);
	u->found = true;
	return row_ended(&r) ? TXN_STOP : -EBADMSG;
}

/* One body in one transaction, so that a start-up on a nearly full disk gets on step by step. */
static int sweep_one(struct env *e, bool *ret_found)
{
	struct unfinished u = { 0 };
	struct txn t;

	int rc = env_begin(e, &t);
	if (rc != 0)
		return rc;
	rc = txn_each(&t, DB_RECEIVING, (struct span){ 0 }, note_first, &u);
	if (rc == 0 && u.found)
		rc = discard(&t, u.body_id);
	*ret_found = u.found;
	if (rc == 0 && u.found)
		return env_commit(&t);
	env_abort(&t);
	return rc;
}

int body_sweep(struct env *e)
{
	bool found = true;
	int rc = 0;

	while (rc == 0 && found)
		rc = sweep_one(e, &found);
	return rc;
}
