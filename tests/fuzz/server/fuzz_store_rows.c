/*
 * Damaged rows: any bytes as one row of each kind, put into a store behind the
 * back of those who read it.  Checked: reading is an answer or an error, and
 * what is damaged can be let go of.
 */
#include "base/file.h"
#include "reference-server/store/account.h"
#include "reference-server/store/body.h"
#include "reference-server/store/mailbox.h"
#include "reference-server/store/queue.h"
#include "reference-server/store/txn.h"
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum { ACCOUNT = 1, UID = 1, BODY = 1, DBS = 6, READ_BYTES = 256 };

int LLVMFuzzerInitialize(int *argc, char ***argv);
static struct store *store;
/* Memory where there is some: each input commits. */
static char dir[] = "/dev/shm/postrider-fuzz-XXXXXX";
static const char address[] = "a@b.example";

struct write {
	struct store_op op;
	struct span in;
	bool forget;
};

static struct span piece(struct span *in)
{
	size_t n = in->n > 0 ? (unsigned char)in->p[0] : 0;
	struct span s = span_sub(*in, 1, n);

	*in = span_sub(*in, 1 + n, in->n);
	return s;
}

static int apply(struct txn *t, struct store_op *op)
{
	const struct write *w = (const struct write *)op;
	struct span in = w->in;
	const struct {
		enum db db;
		struct key key;
	} rows[DBS] = { { DB_QUEUE, key_u64(1) },
			{ DB_CHUNK, key_u64_u32(BODY, 0) },
			{ DB_BODY, key_u64(BODY) },
			{ DB_MAILBOX, key_u32_u32(ACCOUNT, UID) },
			{ DB_UIDNEXT, key_u32(ACCOUNT) } };

	for (int i = 0; i < DBS; i++) {
		struct span key = i < DBS - 1 ? key_span(&rows[i].key) : span_of(address);
		enum db db = i < DBS - 1 ? rows[i].db : DB_ACCOUNT;
		struct span value = piece(&in);
		int rc = value.n > 0 && !w->forget ? txn_put(t, db, key, value) : txn_delete(t, db, key);
		if (rc != 0 && rc != -ENOENT)
			return rc;
	}
	return 0;
}

static void no_free(struct store_op *op)
{
	(void)op;
}

static void note(void *ctx, int result)
{
	*(int *)ctx = result;
}

static void put(struct span in, bool forget)
{
	int result = 1;
	struct write w = { .op = { .apply = apply, .free = no_free, .done = note, .ctx = &result },
			   .in = in,
			   .forget = forget };

	store_submit(store, &w.op);
	store_drain(store);
	assert(result == 0);
}

static void clean_up(void)
{
	struct err err;

	store_close(store);
	(void)dir_remove(dir, &err);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct store_options o = { .data_dir = dir, .map_bytes_max = 64 << 20 };
	struct err err;

	(void)argc;
	(void)argv;
	if (mkdtemp(dir) == NULL || store_open(&o, &store, &err) != 0)
		abort();
	(void)atexit(clean_up);
	return 0;
}

static bool next_account(void *ctx, const struct account *a)
{
	assert(a->keys.salt_bytes <= ACCOUNT_SALT_BYTES_MAX);
	(*(int *)ctx)++;
	return true;
}

static bool next_message(void *ctx, uint64_t id, const struct envelope_glance *glance)
{
	(void)glance;
	(*(int *)ctx)++;
	return id == 1;
}

static void read_all(void)
{
	struct mailbox_list list = { 0 };
	struct envelope *e = NULL;
	struct account a;
	char bytes[READ_BYTES];
	int count = 0;

	(void)account_find(store, span_of(address), &a);
	(void)account_scan(store, next_account, &count);
	(void)queue_scan(store, 0, next_message, &count);
	if (queue_load(store, 1, &e) == 0)
		envelope_free(e);
	if (mailbox_list(store, ACCOUNT, &list) == 0)
		mailbox_list_free(&list);
	ssize_t n = mailbox_read(store, ACCOUNT, UID, 0, bytes, sizeof(bytes));
	assert(n <= (ssize_t)sizeof(bytes));
	n = body_read(store, BODY, 0, bytes, sizeof(bytes));
	assert(n <= (ssize_t)sizeof(bytes));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = { (const char *)data, size };
	struct envelope gone = { .id = 1 };
	int result = 1;

	put(in, false);
	read_all();
	queue_submit(store, &(struct queue_change){ .row = QUEUE_REMOVE, .message = &gone }, note, &result);
	account_remove(store, span_of(address), NULL, NULL);
	store_drain(store);
	assert(result == 0 || result == -ENOENT || result == -EBADMSG);
	put((struct span){ NULL, 0 }, true);
	return 0;
}
