#include "reference-server/store/account.h"

#include "base/idna.h"
#include "reference-server/core/utf8.h"
#include "reference-server/store/mailbox.h"
#include "reference-server/store/row.h"
#include "reference-server/store/txn.h"

#include <assert.h>
#include <errno.h>
#include <openssl/crypto.h>

enum { ROW_VERSION = 1 };

/* ---- addresses ---- */

struct address {
	char text[ACCOUNT_ADDRESS_BYTES_MAX + 1];
	size_t n;
};

static struct span address_span(const struct address *a)
{
	return (struct span){ a->text, a->n };
}

/* Something on both sides of the last @, nothing unprintable; who may be called what is others' business. */
bool account_address_ok(struct span address)
{
	size_t at = 0;

	if (address.n == 0 || address.n > ACCOUNT_ADDRESS_BYTES_MAX)
		return false;
	for (size_t i = 0; i < address.n; i++) {
		uint8_t c = (uint8_t)address.p[i];
		if (c < ' ' || c == 0x7f)
			return false;
		if (c == '@')
			at = i;
	}
	return at > 0 && at + 1 < address.n;
}

/* The local-part of a mailbox in its one form; what SASLprep does not allow stays as it is. */
static bool add_local(struct buf *key, struct span local)
{
	struct buf prepared = { 0 };
	bool ok = !utf8_is_ascii(local) && account_prepare_query(local, &prepared) == 0 &&
		  buf_bytes(&prepared) > 0;

	buf_add(key, ok ? buf_span(&prepared) : local);
	buf_free(&prepared);
	return buf_bytes(key) <= ACCOUNT_ADDRESS_BYTES_MAX;
}

static bool add_international(struct buf *key, struct span address)
{
	char name[IDNA_NAME_BYTES_MAX + 1];
	struct span domain = address;
	size_t at = address.n;

	while (address.p[at - 1] != '@') /* there is one */
		at--;
	if (!idna_to_ascii(span_sub(address, at, address.n), name, &domain) ||
	    !add_local(key, span_sub(address, 0, at - 1)))
		return false;
	buf_add(key, SPAN_LIT("@"));
	buf_add(key, domain);
	return true;
}

bool account_key(struct span address, char dst[ACCOUNT_ADDRESS_BYTES_MAX + 1], struct span *ret)
{
	struct buf international = { 0 };
	struct span key = address;

	if (!account_address_ok(address))
		return false;
	bool ok = utf8_is_ascii(address) || add_international(&international, address);
	if (buf_bytes(&international) > 0)
		key = buf_span(&international);
	ok = ok && span_copy(key, dst, ACCOUNT_ADDRESS_BYTES_MAX + 1);
	for (size_t i = 0; ok && i < key.n; i++)
		if (dst[i] >= 'A' && dst[i] <= 'Z')
			dst[i] = (char)(dst[i] - 'A' + 'a');
	if (ok)
		*ret = (struct span){ dst, key.n };
	buf_free(&international);
	return ok;
}

static bool fold(struct span given, struct address *ret_a)
{
	struct span key;

	if (!account_key(given, ret_a->text, &key))
		return false;
	ret_a->n = key.n;
	return true;
}

/* ---- rows ---- */

static void pack(const struct account *a, struct buf *row)
{
	buf_add_u8(row, ROW_VERSION);
	buf_add_u32(row, a->id);
	buf_add_u32(row, a->keys.iterations);
	buf_add(row, (struct span){ (const char *)a->keys.stored_key, ACCOUNT_KEY_BYTES });
	buf_add(row, (struct span){ (const char *)a->keys.server_key, ACCOUNT_KEY_BYTES });
	buf_add(row, (struct span){ (const char *)a->keys.salt, a->keys.salt_bytes });
}

static int unpack(struct span key, struct span value, struct account *ret_a)
{
	struct row r = row_of(value);
	uint8_t version = row_u8(&r);
	struct account a = { .id = row_u32(&r) };

	a.keys.iterations = row_u32(&r);
	struct span stored_key = row_bytes(&r, ACCOUNT_KEY_BYTES);
	struct span server_key = row_bytes(&r, ACCOUNT_KEY_BYTES);
	struct span salt = r.rest;
	if (r.bad || version != ROW_VERSION || a.id == 0 || a.keys.iterations == 0 || salt.n == 0 ||
	    salt.n > sizeof(a.keys.salt) || !span_copy(key, a.address, sizeof(a.address)))
		return -EBADMSG;
	memcpy(a.keys.stored_key, stored_key.p, ACCOUNT_KEY_BYTES);
	memcpy(a.keys.server_key, server_key.p, ACCOUNT_KEY_BYTES);
	memcpy(a.keys.salt, salt.p, salt.n);
	a.keys.salt_bytes = (uint32_t)salt.n;
	*ret_a = a;
	return 0;
}

static int get(struct txn *t, struct span address, struct account *ret_a)
{
	struct span value = { 0 };

	int rc = txn_get(t, DB_ACCOUNT, address, &value);
	return rc != 0 ? rc : unpack(address, value, ret_a);
}

static int put(struct txn *t, struct span address, const struct account *a)
{
	struct buf row = { 0 };

	pack(a, &row);
	int rc = txn_put(t, DB_ACCOUNT, address, buf_span(&row));
	buf_free(&row);
	return rc;
}

/* ---- reading ---- */

int account_find(struct store *s, struct span address, struct account *ret_account)
{
	struct address a;
	struct txn t;

	if (!fold(address, &a))
		return -ENOENT;
	int rc = store_read_begin(s, &t);
	if (rc != 0)
		return rc;
	rc = get(&t, address_span(&a), ret_account);
	store_read_end(s, &t);
	return rc;
}

struct scan {
	account_scan_fn *fn;
	void *ctx;
};

static int scan_one(void *ctx, struct span key, struct span value)
{
	const struct scan *scan = ctx;
	struct account a;

	int rc = unpack(key, value, &a);
	if (rc != 0)
		return rc;
	return scan->fn(scan->ctx, &a) ? TXN_NEXT : TXN_STOP;
}

int account_scan(struct store *s, account_scan_fn *fn, void *ctx)
{
	struct scan scan = { .fn = fn, .ctx = ctx };
	struct txn t;

	int rc = store_read_begin(s, &t);
	if (rc != 0)
		return rc;
	rc = txn_each(&t, DB_ACCOUNT, (struct span){ 0 }, scan_one, &scan);
	store_read_end(s, &t);
	return rc;
}

/* ---- operations ---- */

struct account_op {
	struct store_op op;
	struct address address; /* n 0: was none */
	struct account account; /* keys only */
};

static void free_account_op(struct store_op *op)
{
	OPENSSL_cleanse(op, sizeof(struct account_op));
	free(op);
}

/* account_ids are never reused: mailbox keys of a removed account must stay strange to a new one. */
static int new_account_id(struct txn *t, uint32_t *ret_id)
{
	uint64_t last = 0;

	int rc = txn_number(t, "account_id", 0, &last);
	if (rc != 0)
		return rc;
	if (last >= UINT32_MAX)
		return -EOVERFLOW;
	*ret_id = (uint32_t)last + 1;
	return txn_set_number(t, "account_id", last + 1);
}

static int apply_add(struct txn *t, struct store_op *op)
{
	const struct account_op *a = (const struct account_op *)op;
	struct account account = a->account;
	struct account there;

	if (a->address.n == 0)
		return -EINVAL;
	int rc = get(t, address_span(&a->address), &there);
	if (rc != -ENOENT)
		return rc == 0 ? -EEXIST : rc;
	rc = new_account_id(t, &account.id);
	if (rc == 0)
		rc = mailbox_make(t, account.id);
	return rc != 0 ? rc : put(t, address_span(&a->address), &account);
}

static int apply_set_keys(struct txn *t, struct store_op *op)
{
	const struct account_op *a = (const struct account_op *)op;
	struct account account;

	if (a->address.n == 0)
		return -ENOENT;
	int rc = get(t, address_span(&a->address), &account);
	if (rc != 0)
		return rc;
	account.keys = a->account.keys;
	return put(t, address_span(&a->address), &account);
}

static int apply_remove(struct txn *t, struct store_op *op)
{
	const struct account_op *a = (const struct account_op *)op;
	struct account account;

	if (a->address.n == 0)
		return -ENOENT;
	int rc = get(t, address_span(&a->address), &account);
	if (rc == 0)
		rc = mailbox_drop(t, account.id);
	return rc != 0 ? rc : txn_delete(t, DB_ACCOUNT, address_span(&a->address));
}

static struct account_op *op_new(int (*apply)(struct txn *, struct store_op *), struct span address,
				 store_done_fn *done, void *ctx)
{
	struct account_op *a = store_alloc(sizeof(*a));

	a->op = (struct store_op){
		.apply = apply, .free = free_account_op, .done = done, .ctx = ctx, .weight_bytes = sizeof(*a)
	};
	if (!fold(address, &a->address))
		a->address.n = 0;
	return a;
}

void account_add(struct store *s, struct span address, const struct account_keys *keys, store_done_fn *done,
		 void *ctx)
{
	assert(keys->salt_bytes > 0 && keys->salt_bytes <= ACCOUNT_SALT_BYTES_MAX);
	struct account_op *a = op_new(apply_add, address, done, ctx);

	a->account.keys = *keys;
	store_submit(s, &a->op);
}

void account_set_keys(struct store *s, struct span address, const struct account_keys *keys,
		      store_done_fn *done, void *ctx)
{
	assert(keys->salt_bytes > 0 && keys->salt_bytes <= ACCOUNT_SALT_BYTES_MAX);
	struct account_op *a = op_new(apply_set_keys, address, done, ctx);

	a->account.keys = *keys;
	store_submit(s, &a->op);
}

void account_remove(struct store *s, struct span address, store_done_fn *done, void *ctx)
{
	struct account_op *a = op_new(apply_remove, address, done, ctx);

	a->op.kept = true;
	a->op.weight_bytes = 0;
	store_submit(s, &a->op);
}
