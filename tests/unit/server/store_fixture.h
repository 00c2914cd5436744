/*
 * store_fixture: a store in a directory of its own, for tests.  Without a
 * loop: done functions run inside store_drain.
 */
#ifndef STORE_FIXTURE_H
#define STORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "reference-server/store/queue.h"
#include "reference-server/store/txn.h"

struct fixture {
	char dir[64];
	struct store_options options;
	struct store *store;
};

/* What a done function saw. */
struct outcome {
	uint32_t count;
	int result;
};

__attribute__((unused)) static void note_outcome(void *ctx, int result)
{
	struct outcome *o = ctx;

	o->count++;
	o->result = result;
}

__attribute__((unused)) static void fixture_open(struct fixture *f)
{
	struct err err;

	f->options.data_dir = f->dir;
	if (f->options.map_bytes_max == 0)
		f->options.map_bytes_max = 256 << 20;
	if (f->options.ballast_bytes == 0)
		f->options.ballast_bytes = 64 << 10;
	if (store_open(&f->options, &f->store, &err) != 0)
		fail_msg("%s", err.text);
}

__attribute__((unused)) static void fixture_restart(struct fixture *f)
{
	store_close(f->store);
	fixture_open(f);
}

__attribute__((unused)) static int fixture_make(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/postrider-store-XXXXXX");
	if (mkdtemp(f->dir) == NULL)
		return -1;
	*state = f;
	return 0;
}

__attribute__((unused)) static int fixture_make_open(void **state)
{
	if (fixture_make(state) != 0)
		return -1;
	fixture_open(*state);
	return 0;
}

__attribute__((unused)) static int fixture_remove(void **state)
{
	struct fixture *f = *state;
	struct err err;

	store_close(f->store);
	int rc = dir_remove(f->dir, &err);
	free(f);
	return rc;
}

/* Rows in one database. */
__attribute__((unused)) static uint64_t rows(struct fixture *f, enum db d)
{
	struct txn t;
	MDB_stat st;

	assert_int_equal(store_read_begin(f->store, &t), 0);
	assert_int_equal(mdb_stat(t.mdb, t.dbis[d], &st), 0);
	store_read_end(f->store, &t);
	return st.ms_entries;
}

/* Bytes that tell where in which message they stood. */
__attribute__((unused)) static struct span make_content(uint64_t seed, size_t n)
{
	char *p = malloc(n + 1);

	for (size_t i = 0; i < n; i++)
		p[i] = (char)((seed * 2654435761u + i * 40503u + (i >> 8)) >> 3);
	return (struct span){ p, n };
}

__attribute__((unused)) static void free_content(struct span s)
{
	free((char *)(uintptr_t)s.p);
}

__attribute__((unused)) static struct envelope *make_envelope(struct store *s, uint64_t body_bytes)
{
	struct envelope *e = envelope_new();

	e->id = store_new_id(s);
	e->body_bytes = body_bytes;
	e->arrival_wall_ms = 1700000000000;
	e->due_wall_ms = 1700000000000;
	envelope_set_reverse_path(e, SPAN_LIT("barney@isp2.example"));
	(void)envelope_add_recipient(e, SPAN_LIT("sales@fredsco.example"), (struct span){ 0 });
	buf_add(&e->prefix, SPAN_LIT("Received: from a by b\r\n"));
	return e;
}

__attribute__((unused)) static int submit(struct fixture *f, const struct queue_change *c)
{
	struct outcome o = { 0 };

	queue_submit(f->store, c, note_outcome, &o);
	store_drain(f->store);
	assert_int_equal(o.count, 1);
	return o.result;
}

/* A message in the queue; returns its id. */
__attribute__((unused)) static uint64_t enqueue(struct fixture *f, size_t body_bytes)
{
	struct envelope *e = make_envelope(f->store, body_bytes);
	struct span body = make_content(e->id, body_bytes);
	const struct queue_change c = { .row = QUEUE_INSERT, .message = e, .body = body };
	uint64_t id = e->id;

	assert_int_equal(submit(f, &c), 0);
	envelope_free(e);
	free_content(body);
	return id;
}

/* So many of them, of one byte each, in a few commits. */
__attribute__((unused)) static void enqueue_many(struct fixture *f, size_t count)
{
	struct envelope **list = calloc(count, sizeof(struct envelope *));
	struct outcome o = { 0 };

	assert_non_null(list);
	for (size_t i = 0; i < count; i++) {
		list[i] = make_envelope(f->store, 1);
		const struct queue_change c = { .row = QUEUE_INSERT,
						.message = list[i],
						.body = SPAN_LIT("x") };
		queue_submit(f->store, &c, note_outcome, &o);
	}
	store_drain(f->store);
	assert_int_equal(o.count, count);
	assert_int_equal(o.result, 0);
	for (size_t i = 0; i < count; i++)
		envelope_free(list[i]);
	free(list);
}

__attribute__((unused)) static int dequeue(struct fixture *f, uint64_t id)
{
	struct envelope *e = envelope_new();
	const struct queue_change c = { .row = QUEUE_REMOVE, .message = e };

	e->id = id;
	int result = submit(f, &c);
	envelope_free(e);
	return result;
}

#endif
