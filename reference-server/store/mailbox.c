#include "reference-server/store/mailbox.h"
#include "reference-server/store/body.h"
#include "reference-server/store/row.h"
#include "reference-server/store/txn.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

enum { ROW_VERSION = 1 };

/* ---- rows ---- */

struct message_row {
	uint32_t flags;
	uint64_t body_id;
	uint64_t octets;
	int64_t arrival_wall_ms;
	struct span prefix;
};

static void pack_message(const struct message_row *m, struct buf *row)
{
	buf_add_u8(row, ROW_VERSION);
	buf_add_u32(row, m->flags);
	buf_add_u64(row, m->body_id);
	buf_add_u64(row, m->octets);
	buf_add_u64(row, (uint64_t)m->arrival_wall_ms);
	buf_add(row, m->prefix);
}

static int unpack_message(struct span value, struct message_row *ret_m)
{
	struct row r = row_of(value);
	uint8_t version = row_u8(&r);
	struct message_row m = { .flags = row_u32(&r) };

	m.body_id = row_u64(&r);
	m.octets = row_u64(&r);
	m.arrival_wall_ms = row_i64(&r);
	m.prefix = r.rest;
	if (r.bad || version != ROW_VERSION || m.octets < m.prefix.n)
		return -EBADMSG;
	*ret_m = m;
	return 0;
}

struct uid_row {
	uint32_t uidvalidity;
	uint32_t uidnext;
};

static int put_uids(struct txn *t, uint32_t account_id, struct uid_row uids)
{
	struct key k = key_u32(account_id);
	struct buf row = { 0 };

	buf_add_u8(&row, ROW_VERSION);
	buf_add_u32(&row, uids.uidvalidity);
	buf_add_u32(&row, uids.uidnext);
	int rc = txn_put(t, DB_UIDNEXT, key_span(&k), buf_span(&row));
	buf_free(&row);
	return rc;
}

static int get_uids(struct txn *t, uint32_t account_id, struct uid_row *ret_uids)
{
	struct key k = key_u32(account_id);
	struct span value = { 0 };

	int rc = txn_get(t, DB_UIDNEXT, key_span(&k), &value);
	if (rc != 0)
		return rc;
	struct row r = row_of(value);
	uint8_t version = row_u8(&r);
	struct uid_row uids = { .uidvalidity = row_u32(&r) };
	uids.uidnext = row_u32(&r);
	if (!row_ended(&r) || version != ROW_VERSION || uids.uidvalidity == 0 || uids.uidnext == 0)
		return -EBADMSG;
	*ret_uids = uids;
	return 0;
}

/* ---- inside a transaction ---- */

/* Seconds since 1970, or one more than the last one when the clock went back or stood still. */
static int new_uidvalidity(struct txn *t, uint32_t *ret_uidvalidity)
{
	uint64_t last = 0;
	uint64_t now_s = (uint64_t)time(NULL);

	int rc = txn_number(t, "uidvalidity", 0, &last);
	if (rc != 0)
		return rc;
	uint64_t fresh = last < now_s ? now_s : last + 1;
	if (fresh > UINT32_MAX)
		fresh = last + 1;
	if (fresh > UINT32_MAX)
		return -EOVERFLOW;
	*ret_uidvalidity = (uint32_t)fresh;
	return txn_set_number(t, "uidvalidity", fresh);
}

int mailbox_make(struct txn *t, uint32_t account_id)
{
	struct uid_row uids = { .uidnext = 1 };

	int rc = new_uidvalidity(t, &uids.uidvalidity);
	return rc != 0 ? rc : put_uids(t, account_id, uids);
}

struct drop {
	struct txn *txn;
	uint32_t account_id;
};

/* Bodies are in other databases, so dropping references does not disturb the cursor on this one. */
static int drop_one(void *ctx, struct span key, struct span value)
{
	struct drop *d = ctx;
	struct row k = row_of(key);
	struct message_row m;

	if (row_u32(&k) != d->account_id)
		return TXN_STOP;
	/* A damaged row goes too. */
	int rc = unpack_message(value, &m) == 0 ? body_add_refs(d->txn, m.body_id, -1) : 0;
	return rc == 0 ? TXN_DELETE : rc;
}

int mailbox_drop(struct txn *t, uint32_t account_id)
{
	struct drop d = { .txn = t, .account_id = account_id };
	struct key from = key_u32_u32(account_id, 0);
	struct key k = key_u32(account_id);

	int rc = txn_each(t, DB_MAILBOX, key_span(&from), drop_one, &d);
	return rc != 0 ? rc : txn_delete(t, DB_UIDNEXT, key_span(&k));
}

int mailbox_insert(struct txn *t, uint32_t account_id, uint64_t body_id, uint64_t body_bytes,
		   int64_t arrival_wall_ms, struct span prefix)
{
	const struct message_row m = { .body_id = body_id,
				       .octets = prefix.n + body_bytes,
				       .arrival_wall_ms = arrival_wall_ms,
				       .prefix = prefix };
	struct uid_row uids;

	int rc = get_uids(t, account_id, &uids);
	if (rc != 0)
		return rc == -ENOENT ? -ESRCH : rc;
	if (uids.uidnext == UINT32_MAX)
		return -EOVERFLOW;
	struct key k = key_u32_u32(account_id, uids.uidnext++);
	struct buf row = { 0 };
	pack_message(&m, &row);
	rc = txn_insert(t, DB_MAILBOX, key_span(&k), buf_span(&row));
	buf_free(&row);
	return rc != 0 ? rc : put_uids(t, account_id, uids);
}

/* ---- reading ---- */

struct listing {
	uint32_t account_id;
	struct mailbox_list *list;
	uint32_t room;
};

static void add_entry(struct listing *l, struct mailbox_entry entry)
{
	struct mailbox_list *list = l->list;

	if (list->entry_count == l->room) {
		l->room = l->room > 0 ? 2 * l->room : 16;
		struct mailbox_entry *more = store_alloc(l->room * sizeof(*more));
		if (list->entry_count > 0)
			memcpy(more, list->entries, list->entry_count * sizeof(*more));
		free(list->entries);
		list->entries = more;
	}
	list->entries[list->entry_count++] = entry;
	list->octets += entry.octets;
}

static int list_one(void *ctx, struct span key, struct span value)
{
	struct listing *l = ctx;
	struct row k = row_of(key);
	struct message_row m;

	if (row_u32(&k) != l->account_id)
		return TXN_STOP;
	uint32_t uid = row_u32(&k);
	int rc = row_ended(&k) ? unpack_message(value, &m) : -EBADMSG;
	if (rc != 0)
		return rc;
	add_entry(l, (struct mailbox_entry){ .uid = uid,
					     .flags = m.flags,
					     .octets = m.octets,
					     .arrival_wall_ms = m.arrival_wall_ms });
	return TXN_NEXT;
}

int mailbox_list(struct store *s, uint32_t account_id, struct mailbox_list *ret_list)
{
	struct mailbox_list list = { 0 };
	struct listing l = { .account_id = account_id, .list = &list };
	struct key from = key_u32_u32(account_id, 0);
	struct uid_row uids;
	struct txn t;

	int rc = store_read_begin(s, &t);
	if (rc != 0)
		return rc;
	rc = get_uids(&t, account_id, &uids);
	if (rc == 0)
		rc = txn_each(&t, DB_MAILBOX, key_span(&from), list_one, &l);
	store_read_end(s, &t);
	if (rc != 0) {
		mailbox_list_free(&list);
		return rc;
	}
	list.uidvalidity = uids.uidvalidity;
	list.uidnext = uids.uidnext;
	*ret_list = list;
	return 0;
}

void mailbox_list_free(struct mailbox_list *list)
{
	if (list == NULL)
		return;
	free(list->entries);
	*list = (struct mailbox_list){ 0 };
}

static int get_message(struct txn *t, uint32_t account_id, uint32_t uid, struct message_row *ret_m)
{
	struct key k = key_u32_u32(account_id, uid);
	struct span value = { 0 };

	int rc = txn_get(t, DB_MAILBOX, key_span(&k), &value);
	return rc != 0 ? rc : unpack_message(value, ret_m);
}

static ssize_t copy_message(struct txn *t, uint32_t account_id, uint32_t uid, uint64_t offset, char *to,
			    size_t n)
{
	struct message_row m;
	size_t done = 0;

	int rc = get_message(t, account_id, uid, &m);
	if (rc != 0)
		return rc;
	if (offset < m.prefix.n) {
		struct span part = span_sub(m.prefix, (size_t)offset, n);
		memcpy(to, part.p, part.n);
		done = part.n;
	}
	if (done == n)
		return (ssize_t)n;
	ssize_t got = body_copy(t, m.body_id, offset + done - m.prefix.n, to + done, n - done);
	if (got < 0)
		return got == -ENOENT ? -EBADMSG : got;
	return (ssize_t)done + got;
}

ssize_t mailbox_read(struct store *s, uint32_t account_id, uint32_t uid, uint64_t offset, void *ret_bytes,
		     size_t n)
{
	struct txn t;

	int rc = store_read_begin(s, &t);
	if (rc != 0)
		return rc;
	ssize_t got = copy_message(&t, account_id, uid, offset, ret_bytes, n);
	store_read_end(s, &t);
	return got;
}

void mailbox_read_each(struct store *s, uint32_t account_id, struct mailbox_read *reads, uint32_t count,
		       char *ret_bytes)
{
	struct txn t;

	int rc = store_read_begin(s, &t);
	for (uint32_t i = 0; i < count; i++)
		reads[i].result = rc != 0 ? rc
					  : copy_message(&t, account_id, reads[i].uid, 0,
							 ret_bytes + reads[i].at, (size_t)reads[i].octets);
	if (rc == 0)
		store_read_end(s, &t);
}

/* ---- deleting ---- */

struct delete_op {
	struct store_op op;
	uint32_t account_id;
	uint32_t uid_count;
	uint32_t uids[];
};

static int delete_message(struct txn *t, uint32_t account_id, uint32_t uid)
{
	struct key k = key_u32_u32(account_id, uid);
	struct message_row m;

	int rc = get_message(t, account_id, uid, &m);
	if (rc == -ENOENT)
		return 0;
	if (rc == 0)
		rc = body_add_refs(t, m.body_id, -1);
	else if (rc == -EBADMSG)
		rc = 0; /* A damaged row goes too. */
	return rc != 0 ? rc : txn_delete(t, DB_MAILBOX, key_span(&k));
}

static int apply_delete(struct txn *t, struct store_op *op)
{
	const struct delete_op *d = (const struct delete_op *)op;
	int rc = 0;

	for (uint32_t i = 0; i < d->uid_count && rc == 0; i++)
		rc = delete_message(t, d->account_id, d->uids[i]);
	return rc;
}

static void free_delete(struct store_op *op)
{
	free(op);
}

void mailbox_delete(struct store *s, uint32_t account_id, const uint32_t *uids, uint32_t uid_count,
		    store_done_fn *done, void *ctx)
{
	struct delete_op *d = store_alloc(sizeof(*d) + uid_count * sizeof(uids[0]));

	d->op = (struct store_op){
		.apply = apply_delete, .free = free_delete, .done = done, .ctx = ctx, .kept = true
	};
	d->account_id = account_id;
	d->uid_count = uid_count;
	if (uid_count > 0)
		memcpy(d->uids, uids, uid_count * sizeof(uids[0]));
	store_submit(s, &d->op);
}
