#include "harness/judge/link_watch.h"

#include "harness/wire/smtp_tap.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <uthash.h>

enum {
	PATH_CHARS_MAX = 320,
};

/* One RCPT of a transaction. */
struct watched_rcpt {
	STAILQ_ENTRY(watched_rcpt) entry;
	uint32_t code;
	char address[PATH_CHARS_MAX];
};

/* From MAIL to the reply that ends it; with PIPELINING the next begins before. */
struct transaction {
	STAILQ_ENTRY(transaction) entry;
	STAILQ_HEAD(, watched_rcpt) rcpts;
	uint32_t number;
	int64_t started_ns;
	bool content_sent;
	bool known; /* id is one of ours */
	uint32_t id;
};

struct watched_connection {
	UT_hash_handle hh;
	uint64_t number;
	struct link_watch *watch;
	struct smtp_tap tap;
	STAILQ_HEAD(, transaction) open;
};

struct link_watch {
	struct ledger *ledger;
	uint64_t seed;
	struct watched_connection *connections;
	struct link_watch_counts counts;
};

static void *new_zeroed(size_t bytes)
{
	void *p = calloc(1, bytes);

	if (p == NULL)
		abort();
	return p;
}

static struct transaction *find_transaction(struct watched_connection *c, uint32_t number)
{
	struct transaction *t;

	STAILQ_FOREACH (t, &c->open, entry)
		if (t->number == number)
			return t;
	return NULL;
}

static void free_transaction(struct transaction *t)
{
	struct watched_rcpt *r;

	while ((r = STAILQ_FIRST(&t->rcpts)) != NULL) {
		STAILQ_REMOVE_HEAD(&t->rcpts, entry);
		free(r);
	}
	free(t);
}

/* code 0: the connection ended before a reply. */
static void transaction_ends(struct watched_connection *c, struct transaction *t, uint32_t code,
			     int64_t at_ns)
{
	struct watched_rcpt *r;

	if (!t->content_sent)
		c->watch->counts.refused_early++;
	if (t->content_sent && t->known) {
		STAILQ_FOREACH (r, &t->rcpts, entry) {
			bool taken = r->code >= 200 && r->code < 300;
			ledger_attempt(c->watch->ledger, t->id,
				       &(struct ledger_attempt){ .recipient = r->address,
								 .code = taken ? code : r->code,
								 .started_ns = t->started_ns,
								 .replied_ns = at_ns });
		}
	}
	STAILQ_REMOVE(&c->open, t, transaction, entry);
	free_transaction(t);
}

static void begin_transaction(struct watched_connection *c, const struct tap_fact *f)
{
	struct transaction *t = new_zeroed(sizeof(*t));

	STAILQ_INIT(&t->rcpts);
	t->number = f->transaction;
	t->started_ns = f->at_ns;
	STAILQ_INSERT_TAIL(&c->open, t, entry);
	c->watch->counts.transactions++;
}

static void note_recipient(struct transaction *t, const struct tap_fact *f)
{
	struct watched_rcpt *r = new_zeroed(sizeof(*r));

	(void)span_copy(f->path, r->address, sizeof(r->address)); /* one too long to be ours stays empty */
	r->code = f->code;
	STAILQ_INSERT_TAIL(&t->rcpts, r, entry);
}

static void note_content(struct link_watch *w, struct transaction *t, const struct tap_fact *f)
{
	t->content_sent = true;
	t->known = content_find_marker(f->message_id, w->seed, &t->id) &&
		   t->id < ledger_message_count(w->ledger);
}

static void on_fact(void *ctx, const struct tap_fact *f)
{
	struct watched_connection *c = ctx;
	struct transaction *t = find_transaction(c, f->transaction);

	switch (f->kind) {
	case TAP_MAIL:
		begin_transaction(c, f);
		break;
	case TAP_RCPT_REPLY:
		if (t != NULL)
			note_recipient(t, f);
		break;
	case TAP_CONTENT_END:
		if (t != NULL)
			note_content(c->watch, t, f);
		break;
	case TAP_FINAL_REPLY:
		if (t != NULL)
			transaction_ends(c, t, f->code, f->at_ns);
		break;
	case TAP_MAIL_REPLY:
	case TAP_DATA_REPLY:
		if (t != NULL && f->code >= 400)
			transaction_ends(c, t, f->code, f->at_ns);
		break;
	case TAP_RSET:
		if (t != NULL && !t->content_sent)
			transaction_ends(c, t, 0, f->at_ns);
		break;
	case TAP_ENCRYPTED:
	case TAP_LOST:
		c->watch->counts.blind_connections++;
		break;
	case TAP_GREETING:
	case TAP_HELLO_REPLY:
	case TAP_RCPT:
	case TAP_DATA:
	case TAP_CONTENT_BEGIN:
	case TAP_HEADER:
	case TAP_CHUNK_REPLY:
	case TAP_QUIT:
	case TAP_AUTH_REPLY:
	case TAP_OTHER_REPLY:
	case TAP_UNASKED_REPLY:
		break;
	}
}

/* ---- connections ---- */

static struct watched_connection *find_connection(struct link_watch *w, uint64_t number)
{
	struct watched_connection *c = NULL;

	HASH_FIND(hh, w->connections, &number, sizeof(number), c);
	return c;
}

static void on_opened(void *ctx, struct link *l, uint64_t connection, int64_t at_ns)
{
	struct link_watch *w = ctx;
	struct watched_connection *c = new_zeroed(sizeof(*c));

	(void)l;
	(void)at_ns;
	c->number = connection;
	c->watch = w;
	c->tap.fn = on_fact;
	c->tap.ctx = c;
	STAILQ_INIT(&c->open);
	HASH_ADD(hh, w->connections, number, sizeof(c->number), c);
	w->counts.connections++;
}

static void on_bytes(void *ctx, struct link *l, uint64_t connection, enum link_side from, struct span bytes,
		     int64_t at_ns)
{
	struct watched_connection *c = find_connection(ctx, connection);

	(void)l;
	if (c == NULL)
		return;
	if (from == LINK_CLIENT)
		tap_client_sent(&c->tap, bytes, at_ns);
	else
		tap_server_sent(&c->tap, bytes, at_ns);
}

static void close_connection(struct watched_connection *c, int64_t at_ns)
{
	struct transaction *t;

	while ((t = STAILQ_FIRST(&c->open)) != NULL)
		transaction_ends(c, t, 0, at_ns);
	HASH_DEL(c->watch->connections, c);
	tap_free(&c->tap);
	free(c);
}

static void on_closed(void *ctx, struct link *l, uint64_t connection, bool reset, int64_t at_ns)
{
	struct link_watch *w = ctx;
	struct watched_connection *c = find_connection(w, connection);

	(void)l;
	w->counts.resets += reset ? 1 : 0;
	if (c != NULL)
		close_connection(c, at_ns);
}

struct link_watch *link_watch_new(struct ledger *l, uint64_t seed)
{
	struct link_watch *w = new_zeroed(sizeof(*w));

	w->ledger = l;
	w->seed = seed;
	return w;
}

/* Frees what is still open without telling the ledger: it may be settled by now. */
void link_watch_free(struct link_watch *w)
{
	struct watched_connection *c;
	struct watched_connection *next;
	struct transaction *t;

	if (w == NULL)
		return;
	HASH_ITER(hh, w->connections, c, next)
	{
		while ((t = STAILQ_FIRST(&c->open)) != NULL) {
			STAILQ_REMOVE_HEAD(&c->open, entry);
			free_transaction(t);
		}
		HASH_DEL(w->connections, c);
		tap_free(&c->tap);
		free(c);
	}
	free(w);
}

struct link_observer link_watch_observer(struct link_watch *w)
{
	return (struct link_observer){
		.opened = on_opened, .bytes = on_bytes, .closed = on_closed, .ctx = w
	};
}

struct link_watch_counts link_watch_counts(const struct link_watch *w)
{
	return w->counts;
}
