#include "reference-server/store/queue.h"
#include "reference-server/store/body.h"
#include "reference-server/store/mailbox.h"
#include "reference-server/store/row.h"
#include "reference-server/store/txn.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* A message as it will be stored; the row is packed when the change is submitted. */
struct queued {
	uint64_t id;
	uint64_t body_id;
	uint64_t body_bytes;
	struct span body; /* the caller's */
	struct buf row;
	bool too_big;
};

struct copy {
	uint32_t account_id;
	int64_t arrival_wall_ms;
	size_t prefix_at; /* in prefixes */
	size_t prefix_bytes;
};

struct queue_op {
	struct store_op op;
	enum queue_row row;
	struct queued message;
	bool has_dsn;
	struct queued dsn;
	struct buf prefixes;
	uint32_t copy_count;
	struct copy copies[];
};

/* ---- submitting ---- */

static bool too_big(const struct envelope *e)
{
	bool big = e->recipient_count > ENVELOPE_RECIPIENTS_MAX ||
		   buf_bytes(&e->prefix) > ENVELOPE_PREFIX_BYTES_MAX ||
		   strlen(e->reverse_path) > ENVELOPE_PATH_BYTES_MAX;

	for (uint32_t i = 0; i < e->recipient_count && !big; i++) {
		const struct recipient *r = &e->recipients[i];
		big = strlen(r->address) > ENVELOPE_PATH_BYTES_MAX ||
		      strlen(r->original) > ENVELOPE_PATH_BYTES_MAX ||
		      strlen(r->reply_text) > ENVELOPE_TEXT_BYTES_MAX ||
		      strlen(r->remote_mta) > ENVELOPE_TEXT_BYTES_MAX;
	}
	return big;
}

static void note_message(struct queued *q, struct envelope *e, struct span body, bool with_row)
{
	if (e->body_id == 0)
		e->body_id = e->id;
	*q = (struct queued){ .id = e->id, .body_id = e->body_id, .body_bytes = e->body_bytes, .body = body };
	q->too_big = with_row && too_big(e);
	if (with_row && !q->too_big)
		envelope_pack(e, &q->row);
}

static void note_copies(struct queue_op *q, const struct queue_change *c)
{
	q->copy_count = c->delivery_count;
	for (uint32_t i = 0; i < c->delivery_count; i++) {
		const struct delivery *d = &c->deliveries[i];
		q->copies[i] = (struct copy){ .account_id = d->account_id,
					      .arrival_wall_ms = d->arrival_wall_ms,
					      .prefix_at = buf_bytes(&q->prefixes),
					      .prefix_bytes = d->prefix.n };
		buf_add(&q->prefixes, d->prefix);
	}
}

static void free_queue_op(struct store_op *op)
{
	struct queue_op *q = (struct queue_op *)op;

	buf_free(&q->message.row);
	buf_free(&q->dsn.row);
	buf_free(&q->prefixes);
	free(q);
}

static int apply_change(struct txn *t, struct store_op *op);

void queue_submit(struct store *s, const struct queue_change *c, store_done_fn *done, void *ctx)
{
	assert(c->delivery_count <= QUEUE_DELIVERIES_MAX);
	assert(c->row != QUEUE_PASS || c->delivery_count > 0);
	assert((c->row == QUEUE_INSERT || c->row == QUEUE_PASS) || c->body.n == 0);
	struct queue_op *q = store_alloc(sizeof(*q) + c->delivery_count * sizeof(q->copies[0]));

	q->op.apply = apply_change;
	q->op.free = free_queue_op;
	q->op.done = done;
	q->op.ctx = ctx;
	q->op.kept = c->row == QUEUE_UPDATE || c->row == QUEUE_REMOVE;
	q->row = c->row;
	if (c->row == QUEUE_REMOVE)
		q->message.id = c->message->id;
	else
		note_message(&q->message, c->message, c->body, c->row != QUEUE_PASS);
	if (c->dsn != NULL) {
		q->has_dsn = true;
		note_message(&q->dsn, c->dsn, c->dsn_body, true);
	}
	note_copies(q, c);
	q->op.weight_bytes = buf_bytes(&q->message.row) + q->message.body.n + buf_bytes(&q->dsn.row) +
			     q->dsn.body.n + buf_bytes(&q->prefixes);
	store_submit(s, &q->op);
}

/* ---- on the writer's thread ---- */

static int copy_to_mailboxes(struct txn *t, const struct queue_op *q, uint64_t body_id, uint64_t body_bytes)
{
	int rc = 0;

	for (uint32_t i = 0; i < q->copy_count && rc == 0; i++) {
		const struct copy *c = &q->copies[i];
		struct span prefix = span_sub(buf_span(&q->prefixes), c->prefix_at, c->prefix_bytes);
		rc = mailbox_insert(t, c->account_id, body_id, body_bytes, c->arrival_wall_ms, prefix);
	}
	return rc;
}

/*
 * *ret_stored: the very same row is there already.  When writing the last page
 * of a commit fails, the transaction may be stored although it failed; once the
 * environment is open again it is seen and durable, and this is the second try.
 */
static int insert_row(struct txn *t, const struct queued *m, bool *ret_stored)
{
	struct key k = key_u64(m->id);
	struct span there = { 0 };

	int rc = txn_get(t, DB_QUEUE, key_span(&k), &there);
	if (rc == 0) {
		*ret_stored = span_eq(there, buf_span(&m->row));
		return *ret_stored ? 0 : -EEXIST;
	}
	return rc == -ENOENT ? txn_insert(t, DB_QUEUE, key_span(&k), buf_span(&m->row)) : rc;
}

/* A new message, with or without a row of its own, and its copies. */
static int enter(struct txn *t, const struct queued *m, bool with_row, const struct queue_op *copies)
{
	uint32_t copy_count = copies != NULL ? copies->copy_count : 0;
	bool stored = false;

	if (m->id == 0 || m->body_id == 0)
		return -ENOSPC; /* store_new_id had none left */
	int rc = with_row ? insert_row(t, m, &stored) : 0;
	if (rc != 0 || stored)
		return rc;
	rc = body_settle(t, m->body_id, m->body_bytes, m->body, copy_count + with_row);
	if (rc == 0 && copies != NULL)
		rc = copy_to_mailboxes(t, copies, m->body_id, m->body_bytes);
	return rc;
}

/* Update and removal look at what is stored, not at what the caller believes. */
static int change_row(struct txn *t, const struct queue_op *q)
{
	struct key k = key_u64(q->message.id);
	struct span value = { 0 };
	uint64_t body_id;
	uint64_t body_bytes;

	int rc = txn_get(t, DB_QUEUE, key_span(&k), &value);
	if (rc != 0)
		return rc;
	if (!envelope_peek_body(value, &body_id, &body_bytes)) /* It can only be thrown away. */
		return q->row == QUEUE_REMOVE && q->copy_count == 0 ? txn_delete(t, DB_QUEUE, key_span(&k))
								    : -EBADMSG;
	if (q->row == QUEUE_UPDATE) {
		if (q->message.body_id != body_id || q->message.body_bytes != body_bytes)
			return -EINVAL;
		rc = txn_put(t, DB_QUEUE, key_span(&k), buf_span(&q->message.row));
	} else {
		rc = txn_delete(t, DB_QUEUE, key_span(&k));
	}
	/* Copies first: the body must not vanish between the queue's reference and theirs. */
	if (rc == 0)
		rc = copy_to_mailboxes(t, q, body_id, body_bytes);
	int64_t refs = (int64_t)q->copy_count - (q->row == QUEUE_REMOVE);
	return rc != 0 ? rc : body_add_refs(t, body_id, refs);
}

static int apply_change(struct txn *t, struct store_op *op)
{
	const struct queue_op *q = (const struct queue_op *)op;
	bool fresh = q->row == QUEUE_INSERT || q->row == QUEUE_PASS;

	if (q->message.too_big || q->dsn.too_big)
		return -E2BIG;
	int rc = fresh ? enter(t, &q->message, q->row == QUEUE_INSERT, q) : change_row(t, q);
	return rc == 0 && q->has_dsn ? enter(t, &q->dsn, true, NULL) : rc;
}

/* ---- reading ---- */

int queue_load(struct store *s, uint64_t id, struct envelope **ret_envelope)
{
	struct key k = key_u64(id);
	struct envelope *e = NULL;
	struct span value = { 0 };
	struct txn t;

	int rc = store_read_begin(s, &t);
	if (rc != 0)
		return rc;
	rc = txn_get(&t, DB_QUEUE, key_span(&k), &value);
	if (rc == 0) {
		e = envelope_unpack(id, value);
		rc = e != NULL ? 0 : -EBADMSG;
	}
	store_read_end(s, &t);
	if (rc == 0)
		*ret_envelope = e;
	return rc;
}

struct scan {
	queue_scan_fn *fn;
	void *ctx;
};

static int scan_one(void *ctx, struct span key, struct span value)
{
	const struct scan *scan = ctx;
	struct row k = row_of(key);
	uint64_t id = row_u64(&k);
	struct envelope_glance glance = { 0 };

	if (!row_ended(&k))
		return -EBADMSG;
	(void)envelope_peek(value, &glance);
	return scan->fn(scan->ctx, id, &glance) ? TXN_NEXT : TXN_STOP;
}

int queue_scan(struct store *s, uint64_t first_id, queue_scan_fn *fn, void *ctx)
{
	struct scan scan = { .fn = fn, .ctx = ctx };
	struct key from = key_u64(first_id);
	struct txn t;

	int rc = store_read_begin(s, &t);
	if (rc != 0)
		return rc;
	rc = txn_each(&t, DB_QUEUE, key_span(&from), scan_one, &scan);
	store_read_end(s, &t);
	return rc;
}

uint64_t queue_count(struct store *s)
{
	return store_stats(s).queue_count;
}

/* ---- orders by hand ---- */

int queue_apply_order(struct envelope *e, enum queue_order order, int64_t now_wall_ms)
{
	bool held = (e->flags & ENVELOPE_HELD) != 0;

	switch (order) {
	case QUEUE_HOLD:
		e->flags |= ENVELOPE_HELD;
		return held ? -EALREADY : 0;
	case QUEUE_RELEASE:
		e->flags &= ~(uint32_t)ENVELOPE_HELD;
		return held ? 0 : -EALREADY;
	case QUEUE_REQUEUE:
		e->flags &= ~(uint32_t)ENVELOPE_HELD;
		e->due_wall_ms = now_wall_ms;
		e->attempt_count = 0;
		return 0;
	case QUEUE_DROP:
		return 0;
	}
	return -EINVAL;
}

int queue_load_for_order(struct store *s, uint64_t id, enum queue_order order, struct envelope **ret_envelope)
{
	int rc = queue_load(s, id, ret_envelope);

	if (rc != -EBADMSG || order != QUEUE_DROP)
		return rc;
	*ret_envelope = envelope_new();
	(*ret_envelope)->id = id;
	return 0;
}
