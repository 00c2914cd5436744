/* queue and body: what is stored, what comes back, what is left behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "reference-server/store/account.h"
#include "reference-server/store/body.h"
#include "reference-server/store/mailbox.h"
#include "tests/unit/server/store_fixture.h"

static void assert_body(struct fixture *f, uint64_t body_id, struct span want)
{
	char *got = malloc(want.n + 1);

	assert_int_equal(body_read(f->store, body_id, 0, got, want.n + 1), want.n);
	assert_memory_equal(got, want.p, want.n);
	free(got);
}

static void assert_nothing_left(struct fixture *f)
{
	assert_int_equal(rows(f, DB_QUEUE), 0);
	assert_int_equal(rows(f, DB_BODY), 0);
	assert_int_equal(rows(f, DB_CHUNK), 0);
	assert_int_equal(rows(f, DB_RECEIVING), 0);
	assert_int_equal(rows(f, DB_MAILBOX), 0);
}

static uint32_t add_account(struct fixture *f, const char *address)
{
	struct account_keys keys;
	struct account a;
	struct outcome o = { 0 };

	account_derive_salted(SPAN_LIT("secret"), 1, SPAN_LIT("salt"), &keys);
	account_add(f->store, span_of(address), &keys, note_outcome, &o);
	store_drain(f->store);
	assert_int_equal(o.result, 0);
	assert_int_equal(account_find(f->store, span_of(address), &a), 0);
	return a.id;
}

/* ---- envelopes ---- */

static struct envelope *rich_envelope(void)
{
	struct envelope *e = envelope_new();

	e->id = 77;
	e->body_id = UINT64_MAX;
	e->body_bytes = 123456789;
	e->arrival_wall_ms = 1700000000123;
	e->due_wall_ms = 1700000900456;
	e->expires_wall_ms = -1;
	e->attempt_count = 7;
	e->flags = ENVELOPE_8BITMIME | ENVELOPE_DELAY_NOTIFIED;
	envelope_set_reverse_path(e, SPAN_LIT("b\0b@isp2.example"));
	envelope_set_envid(e, SPAN_LIT("QQ+2B314159"));
	e->deliver_by_wall_ms = 1700000123789;
	buf_add(&e->prefix, SPAN_LIT("Received: from x\r\n\tby y\r\n"));
	for (int i = 0; i < 5; i++) {
		struct recipient *r = envelope_add_recipient(
			e, SPAN_LIT("sales@fredsco.example"),
			i % 2 == 0 ? (struct span){ 0 } : SPAN_LIT("Verkauf@fredsco.example"));
		recipient_set_result(r, (enum recipient_state)(i % 3), (uint16_t)(400 + i), SPAN_LIT("4.2.1"),
				     SPAN_LIT("mailbox busy"), SPAN_LIT("mx.fredsco.example"));
		recipient_set_dsn(r, (uint8_t)(i * 3 + 2), SPAN_LIT("rfc822;Verkauf@fredsco.example"));
		r->attempt_count = (uint32_t)i;
		r->last_attempt_wall_ms = 1700000000000 + i;
	}
	return e;
}

static void an_envelope_reads_back_as_it_was_written(void **state)
{
	struct envelope *e = rich_envelope();
	struct buf row = { 0 };
	struct buf again = { 0 };
	struct envelope_glance glance;
	(void)state;

	envelope_pack(e, &row);
	struct envelope *back = envelope_unpack(77, buf_span(&row));
	assert_non_null(back);
	envelope_pack(back, &again);
	assert_int_equal(buf_bytes(&row), buf_bytes(&again));
	assert_memory_equal(buf_span(&row).p, buf_span(&again).p, buf_bytes(&row));
	assert_int_equal(back->id, 77);
	assert_true(back->body_id == UINT64_MAX);
	assert_int_equal(back->due_wall_ms, 1700000900456);
	assert_int_equal(back->expires_wall_ms, -1);
	assert_string_equal(back->reverse_path, "b?b@isp2.example");
	assert_string_equal(back->envid, "QQ+2B314159");
	assert_int_equal(back->deliver_by_wall_ms, 1700000123789);
	assert_int_equal(back->recipients[4].notify, NOTIFY_SUCCESS | NOTIFY_FAILURE | NOTIFY_DELAY);
	assert_string_equal(back->recipients[1].orcpt, "rfc822;Verkauf@fredsco.example");
	assert_int_equal(back->recipient_count, 5);
	assert_string_equal(back->recipients[3].original, "Verkauf@fredsco.example");
	assert_string_equal(back->recipients[2].original, "sales@fredsco.example");
	assert_string_equal(back->recipients[4].reply_text, "mailbox busy");
	assert_string_equal(back->recipients[4].remote_mta, "mx.fredsco.example");
	assert_string_equal(back->recipients[4].enhanced, "4.2.1");
	assert_int_equal(back->recipients[2].state, RECIPIENT_FAILED);
	assert_true(envelope_peek(buf_span(&row), &glance));
	assert_int_equal(glance.due_wall_ms, e->due_wall_ms);
	assert_int_equal(glance.arrival_wall_ms, e->arrival_wall_ms);
	assert_int_equal(glance.flags, e->flags);
	envelope_free(back);
	envelope_free(e);
	buf_free(&row);
	buf_free(&again);
}

static void a_row_that_is_cut_or_lengthened_is_refused(void **state)
{
	struct envelope *e = rich_envelope();
	struct buf row = { 0 };
	(void)state;

	envelope_pack(e, &row);
	for (size_t n = 0; n < buf_bytes(&row); n++) {
		char *cut = malloc(n + (n == 0)); /* exactly as long, so that a byte too far is seen */
		memcpy(cut, buf_span(&row).p, n);
		assert_null(envelope_unpack(1, (struct span){ cut, n }));
		free(cut);
	}
	buf_add_u8(&row, 0);
	assert_null(envelope_unpack(1, buf_span(&row)));
	buf_truncate(&row, buf_bytes(&row) - 1);
	row.p[row.begin] = 1; /* the version before */
	assert_null(envelope_unpack(1, buf_span(&row)));
	envelope_free(e);
	buf_free(&row);
}

/* RFC 4865: what only few messages have makes a row of its own version. */
static void a_time_of_release_comes_back(void **state)
{
	struct envelope *e = rich_envelope();
	struct buf row = { 0 }, again = { 0 };
	struct envelope_glance glance;
	(void)state;

	assert_int_equal(envelope_ready_wall_ms(e), e->arrival_wall_ms);
	envelope_set_hold(e, e->arrival_wall_ms + 5000, SPAN_LIT("for;5"));
	envelope_pack(e, &row);
	assert_int_equal(row.p[row.begin], 3);
	for (size_t n = 0; n < buf_bytes(&row); n++) {
		char *cut = malloc(n + (n == 0));
		memcpy(cut, buf_span(&row).p, n);
		assert_null(envelope_unpack(1, (struct span){ cut, n }));
		free(cut);
	}
	struct envelope *back = envelope_unpack(1, buf_span(&row));
	assert_non_null(back);
	envelope_pack(back, &again);
	assert_true(span_eq(buf_span(&row), buf_span(&again)));
	assert_int_equal(back->release_wall_ms, e->arrival_wall_ms + 5000);
	assert_int_equal(envelope_ready_wall_ms(back), e->arrival_wall_ms + 5000);
	assert_string_equal(back->hold, "for;5");
	assert_true(envelope_peek(buf_span(&row), &glance));
	assert_int_equal(glance.due_wall_ms, e->due_wall_ms);
	memset(row.p + row.begin + 64, 0, 8);
	assert_null(envelope_unpack(1, buf_span(&row)));
	envelope_free(back);
	envelope_free(e);
	buf_free(&row);
	buf_free(&again);
}

static void mail_is_overdue_only_when_its_sender_wants_it_back(void **state)
{
	struct envelope *e = envelope_new();
	(void)state;

	assert_false(envelope_is_overdue(e, 1000));
	e->deliver_by_wall_ms = 1000;
	assert_false(envelope_is_overdue(e, 1000));
	e->flags |= ENVELOPE_BY_RETURN;
	assert_true(envelope_is_overdue(e, 1000));
	assert_false(envelope_is_overdue(e, 999));
	envelope_free(e);
}

static void texts_have_limits(void **state)
{
	struct envelope *e = envelope_new();
	struct span longest = make_content(1, 70000);
	(void)state;

	memset((char *)(uintptr_t)longest.p, 'x', longest.n);
	envelope_set_reverse_path(e, longest);
	assert_int_equal(strlen(e->reverse_path), ENVELOPE_PATH_BYTES_MAX);
	struct recipient *r = envelope_add_recipient(e, longest, longest);
	recipient_set_result(r, RECIPIENT_FAILED, 550, longest, longest, longest);
	assert_int_equal(strlen(r->address), ENVELOPE_PATH_BYTES_MAX);
	assert_int_equal(strlen(r->reply_text), ENVELOPE_TEXT_BYTES_MAX);
	assert_int_equal(strlen(r->remote_mta), ENVELOPE_TEXT_BYTES_MAX);
	assert_string_equal(r->enhanced, "");
	for (uint32_t i = 1; i < ENVELOPE_RECIPIENTS_MAX; i++)
		assert_non_null(envelope_add_recipient(e, SPAN_LIT("a@b"), (struct span){ 0 }));
	assert_null(envelope_add_recipient(e, SPAN_LIT("a@b"), (struct span){ 0 }));
	free_content(longest);
	envelope_free(e);
}

/* ---- the queue ---- */

static void a_restart_finds_every_message_intact(void **state)
{
	static const size_t sizes[] = { 0, 1, 4079, 4080, 4081, 8160, 8161, 100000, 1 << 20 };
	const size_t count = sizeof(sizes) / sizeof(sizes[0]);
	struct fixture *f = *state;
	uint64_t ids[16];

	for (size_t i = 0; i < count; i++)
		ids[i] = enqueue(f, sizes[i]);
	fixture_restart(f);
	assert_int_equal(queue_count(f->store), count);
	for (size_t i = 0; i < count; i++) {
		struct envelope *e;
		assert_int_equal(queue_load(f->store, ids[i], &e), 0);
		assert_int_equal(e->body_bytes, sizes[i]);
		assert_string_equal(e->reverse_path, "barney@isp2.example");
		assert_string_equal(e->recipients[0].address, "sales@fredsco.example");
		struct span body = make_content(ids[i], sizes[i]);
		assert_body(f, e->body_id, body);
		free_content(body);
		envelope_free(e);
		assert_int_equal(dequeue(f, ids[i]), 0);
	}
	assert_nothing_left(f);
	struct envelope *gone;
	assert_int_equal(queue_load(f->store, ids[0], &gone), -ENOENT);
	assert_int_equal(dequeue(f, ids[0]), -ENOENT);
}

static void a_body_reads_the_same_from_every_offset(void **state)
{
	static const size_t sizes[] = { 1, 7, 4079, 4080, 4081, 9000 };
	struct fixture *f = *state;
	uint64_t id = enqueue(f, 9000);
	struct span body = make_content(id, 9000);

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		char *part = malloc(sizes[i]);
		for (uint64_t at = 0; at <= 9001; at += at < 8200 && at > 4100 ? 97 : 1) {
			struct span want = span_sub(body, (size_t)at, sizes[i]);
			assert_int_equal(body_read(f->store, id, at, part, sizes[i]), want.n);
			if (want.n > 0)
				assert_memory_equal(part, want.p, want.n);
		}
		free(part);
	}
	char byte;
	assert_int_equal(body_read(f->store, id, UINT64_MAX, &byte, 1), 0);
	assert_int_equal(body_read(f->store, id + 1, 0, &byte, 1), -ENOENT);
	free_content(body);
}

struct seen {
	uint64_t ids[10];
	int64_t dues[10];
	uint32_t count;
	uint32_t stop_at;
};

static bool note_seen(void *ctx, uint64_t id, const struct envelope_glance *g)
{
	struct seen *s = ctx;

	assert_int_equal(g->arrival_wall_ms, 1700000000000);
	s->ids[s->count] = id;
	s->dues[s->count++] = g->due_wall_ms;
	return s->count != s->stop_at;
}

static void a_scan_tells_ids_and_due_times_in_order(void **state)
{
	struct fixture *f = *state;
	uint64_t ids[5];
	struct envelope *e;

	for (int i = 0; i < 5; i++)
		ids[i] = enqueue(f, 100);
	assert_int_equal(queue_load(f->store, ids[2], &e), 0);
	e->due_wall_ms = 1800000000000;
	e->attempt_count = 1;
	e->recipients[0].attempt_count = 1;
	recipient_set_result(&e->recipients[0], RECIPIENT_PENDING, 451, SPAN_LIT("4.3.0"), SPAN_LIT("later"),
			     SPAN_LIT("mx"));
	const struct queue_change c = { .row = QUEUE_UPDATE, .message = e };
	assert_int_equal(submit(f, &c), 0);
	envelope_free(e);
	fixture_restart(f);

	struct seen all = { 0 };
	assert_int_equal(queue_scan(f->store, 0, note_seen, &all), 0);
	assert_int_equal(all.count, 5);
	for (int i = 0; i < 5; i++) {
		assert_true(all.ids[i] == ids[i]);
		assert_int_equal(all.dues[i], i == 2 ? 1800000000000 : 1700000000000);
	}
	struct seen some = { .stop_at = 2 };
	assert_int_equal(queue_scan(f->store, ids[1], note_seen, &some), 0);
	assert_int_equal(some.count, 2);
	assert_true(some.ids[0] == ids[1]);
	assert_int_equal(queue_load(f->store, ids[2], &e), 0);
	assert_string_equal(e->recipients[0].reply_text, "later");
	envelope_free(e);
}

static void wrong_changes_are_refused_and_change_nothing(void **state)
{
	struct fixture *f = *state;
	uint64_t id = enqueue(f, 5000);
	struct span body = make_content(1, 5000);
	struct envelope *e;

	assert_int_equal(queue_load(f->store, id, &e), 0);
	struct queue_change c = { .row = QUEUE_INSERT, .message = e, .body = body };
	assert_int_equal(submit(f, &c), 0); /* the very same: stored already */
	e->due_wall_ms++;
	assert_int_equal(submit(f, &c), -EEXIST);
	c = (struct queue_change){ .row = QUEUE_UPDATE, .message = e };
	e->body_id++;
	assert_int_equal(submit(f, &c), -EINVAL);
	e->id = e->body_id = store_new_id(f->store);
	assert_int_equal(submit(f, &c), -ENOENT);
	c = (struct queue_change){ .row = QUEUE_INSERT, .message = e, .body = span_sub(body, 0, 100) };
	assert_int_equal(submit(f, &c), -ESTALE);
	e->id = e->body_id = 0;
	c.body = body;
	assert_int_equal(submit(f, &c), -ENOSPC);
	e->id = store_new_id(f->store);
	e->body_id = 0;
	(void)memset(buf_reserve(&e->prefix, ENVELOPE_PREFIX_BYTES_MAX), 'x', ENVELOPE_PREFIX_BYTES_MAX);
	buf_grow(&e->prefix, ENVELOPE_PREFIX_BYTES_MAX);
	assert_int_equal(submit(f, &c), -E2BIG);
	envelope_free(e);
	assert_int_equal(rows(f, DB_QUEUE), 1);
	assert_int_equal(rows(f, DB_BODY), 1);
	assert_int_equal(rows(f, DB_CHUNK), 2);
	assert_int_equal(dequeue(f, id), 0);
	assert_nothing_left(f);
	free_content(body);
}

static void a_bounce_replaces_its_message_in_one_transaction(void **state)
{
	struct fixture *f = *state;
	uint64_t id = enqueue(f, 5000);
	struct envelope *original = envelope_new();
	struct envelope *dsn = make_envelope(f->store, 300);
	struct span dsn_body = make_content(dsn->id, 300);
	struct queue_change c = {
		.row = QUEUE_REMOVE, .message = original, .dsn = dsn, .dsn_body = dsn_body
	};

	original->id = id + 1000; /* is not there: then there is no notification either */
	assert_int_equal(submit(f, &c), -ENOENT);
	assert_int_equal(rows(f, DB_QUEUE), 1);
	original->id = id;
	uint64_t commits = store_stats(f->store).commit_count;
	assert_int_equal(submit(f, &c), 0);
	assert_int_equal(store_stats(f->store).commit_count - commits, 1);
	assert_int_equal(rows(f, DB_QUEUE), 1);
	assert_body(f, dsn->body_id, dsn_body);
	assert_int_equal(dequeue(f, dsn->id), 0);
	assert_nothing_left(f);
	free_content(dsn_body);
	envelope_free(original);
	envelope_free(dsn);
}

/* ---- local delivery ---- */

static uint32_t message_count(struct fixture *f, uint32_t account_id)
{
	struct mailbox_list list;

	assert_int_equal(mailbox_list(f->store, account_id, &list), 0);
	uint32_t count = list.entry_count;
	mailbox_list_free(&list);
	return count;
}

static void drop_all(struct fixture *f, uint32_t account_id)
{
	struct mailbox_list list;
	struct outcome o = { 0 };

	assert_int_equal(mailbox_list(f->store, account_id, &list), 0);
	for (uint32_t i = 0; i < list.entry_count; i++)
		mailbox_delete(f->store, account_id, &list.entries[i].uid, 1, note_outcome, &o);
	store_drain(f->store);
	assert_int_equal(o.result, 0);
	mailbox_list_free(&list);
}

static void deliveries_move_with_the_queue_row_and_share_one_body(void **state)
{
	static const struct {
		const char *name;
		enum queue_row row;
		bool fresh;
		uint32_t queue_rows;
	} table[] = {
		{ "removed with its deliveries", QUEUE_REMOVE, false, 0 },
		{ "updated with its deliveries", QUEUE_UPDATE, false, 1 },
		{ "queued and delivered", QUEUE_INSERT, true, 1 },
		{ "delivered at once", QUEUE_PASS, true, 0 },
	};
	struct fixture *f = *state;
	uint32_t a = add_account(f, "a@fredsco.example");
	uint32_t b = add_account(f, "b@fredsco.example");

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const struct delivery to[] = {
			{ .account_id = a, .arrival_wall_ms = 1, .prefix = SPAN_LIT("Return-Path: <>\r\n") },
			{ .account_id = b, .arrival_wall_ms = 2, .prefix = SPAN_LIT("") },
		};
		struct envelope *e = NULL;
		struct span body = make_content(i, 5000);
		if (table[i].fresh)
			e = make_envelope(f->store, 5000);
		else
			assert_int_equal(queue_load(f->store, enqueue(f, 5000), &e), 0);
		struct queue_change c = {
			.row = table[i].row, .message = e, .deliveries = to, .delivery_count = 2
		};
		if (table[i].fresh)
			c.body = body;
		assert_int_equal(submit(f, &c), 0);
		assert_int_equal(rows(f, DB_QUEUE), table[i].queue_rows);
		assert_int_equal(rows(f, DB_BODY), 1);
		assert_int_equal(rows(f, DB_CHUNK), 2);
		assert_int_equal(message_count(f, a), 1);
		assert_int_equal(message_count(f, b), 1);
		if (table[i].row == QUEUE_REMOVE) { /* again: it is gone, so nothing is delivered twice */
			assert_int_equal(submit(f, &c), -ENOENT);
			assert_int_equal(message_count(f, a), 1);
		}
		if (table[i].queue_rows > 0)
			assert_int_equal(dequeue(f, e->id), 0);
		drop_all(f, a);
		assert_int_equal(rows(f, DB_BODY), 1);
		drop_all(f, b);
		assert_nothing_left(f);
		free_content(body);
		envelope_free(e);
	}
}

static void a_delivery_to_nobody_changes_nothing(void **state)
{
	struct fixture *f = *state;
	uint32_t a = add_account(f, "a@fredsco.example");
	const struct delivery to[] = { { .account_id = a }, { .account_id = a + 1 } };
	uint64_t id = enqueue(f, 5000);
	struct envelope *e;

	assert_int_equal(queue_load(f->store, id, &e), 0);
	const struct queue_change c = {
		.row = QUEUE_REMOVE, .message = e, .deliveries = to, .delivery_count = 2
	};
	assert_int_equal(submit(f, &c), -ESRCH);
	assert_int_equal(rows(f, DB_QUEUE), 1);
	assert_int_equal(message_count(f, a), 0);
	assert_int_equal(dequeue(f, id), 0);
	assert_nothing_left(f);
	envelope_free(e);
}

/* ---- bodies that stream in ---- */

static void a_body_that_streamed_in_becomes_live_with_its_envelope(void **state)
{
	static const struct {
		const char *name;
		size_t bytes;
		size_t piece_bytes;
		size_t tail_bytes; /* given with the envelope */
	} table[] = {
		{ "one piece", 4000, 8160, 0 },
		{ "chunk by chunk", 40800, 4080, 0 },
		{ "a short end", 40801, 4080, 0 },
		{ "an end with the envelope", 100000, 8160, 100000 - 8160 * 11 },
		{ "large pieces", 3000000, 63 * 4080, 0 },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct envelope *e = make_envelope(f->store, table[i].bytes);
		struct span body = make_content(i, table[i].bytes);
		struct outcome o = { 0 };
		size_t streamed = table[i].bytes - table[i].tail_bytes;
		char byte;
		e->body_id = store_new_id(f->store);
		for (size_t at = 0; at < streamed; at += table[i].piece_bytes) {
			size_t n =
				streamed - at < table[i].piece_bytes ? streamed - at : table[i].piece_bytes;
			body_append(f->store, e->body_id, at, span_sub(body, at, n), note_outcome, &o);
		}
		store_drain(f->store);
		assert_int_equal(o.result, 0);
		assert_int_equal(rows(f, DB_RECEIVING), 1);
		assert_int_equal(body_read(f->store, e->body_id, 0, &byte, 1), -ENOENT);
		const struct queue_change c = { .row = QUEUE_INSERT,
						.message = e,
						.body = span_sub(body, streamed, SIZE_MAX) };
		assert_int_equal(submit(f, &c), 0);
		assert_int_equal(rows(f, DB_RECEIVING), 0);
		fixture_restart(f);
		assert_body(f, e->body_id, body);
		assert_int_equal(dequeue(f, e->id), 0);
		assert_nothing_left(f);
		free_content(body);
		envelope_free(e);
	}
}

static void a_gap_in_a_body_is_refused(void **state)
{
	struct fixture *f = *state;
	struct span bytes = make_content(1, 8160);
	uint64_t id = store_new_id(f->store);
	struct outcome o[5] = { 0 };

	body_append(f->store, id, 4080, bytes, note_outcome, &o[0]);
	body_append(f->store, id, 0, bytes, note_outcome, &o[1]);
	body_append(f->store, id, 0, bytes, note_outcome, &o[2]);
	body_append(f->store, id, 12240, bytes, note_outcome, &o[3]);
	body_append(f->store, id, 8160, bytes, note_outcome, &o[4]);
	store_drain(f->store);
	assert_int_equal(o[0].result, -ESTALE);
	assert_int_equal(o[1].result, 0);
	assert_int_equal(o[2].result, -ESTALE);
	assert_int_equal(o[3].result, -ESTALE);
	assert_int_equal(o[4].result, 0);
	struct outcome discarded = { 0 };
	body_discard(f->store, id, note_outcome, &discarded);
	body_discard(f->store, id, note_outcome, &discarded);
	store_drain(f->store);
	assert_int_equal(discarded.count, 2);
	assert_int_equal(discarded.result, 0);
	assert_nothing_left(f);
	free_content(bytes);
}

static void a_restart_sweeps_what_was_never_finished(void **state)
{
	struct fixture *f = *state;
	struct span bytes = make_content(1, 8160);
	uint64_t kept = enqueue(f, 5000);

	for (int i = 0; i < 3; i++) {
		struct outcome o = { 0 };
		body_append(f->store, store_new_id(f->store), 0, bytes, note_outcome, &o);
		store_drain(f->store);
		assert_int_equal(o.result, 0);
	}
	assert_int_equal(rows(f, DB_CHUNK), 2 + 6);
	fixture_restart(f);
	assert_int_equal(rows(f, DB_RECEIVING), 0);
	assert_int_equal(rows(f, DB_CHUNK), 2);
	assert_int_equal(dequeue(f, kept), 0);
	assert_nothing_left(f);
	free_content(bytes);
}

/* ---- damage ---- */

struct damage {
	struct store_op op;
	enum db db;
	struct key key;
	struct span value; /* empty: the row goes */
};

static int apply_damage(struct txn *t, struct store_op *op)
{
	const struct damage *d = (const struct damage *)op;

	return d->value.n > 0 ? txn_put(t, d->db, key_span(&d->key), d->value)
			      : txn_delete(t, d->db, key_span(&d->key));
}

static void keep_damage(struct store_op *op)
{
	(void)op;
}

static void damage_row(struct fixture *f, enum db db, struct key key, struct span value)
{
	struct outcome o = { 0 };
	struct damage d = {
		.op = { .apply = apply_damage, .free = keep_damage, .done = note_outcome, .ctx = &o },
		.db = db,
		.key = key,
		.value = value,
	};

	store_submit(f->store, &d.op);
	store_drain(f->store);
	assert_int_equal(o.result, 0);
}

static void damaged_rows_are_reported_and_can_be_removed(void **state)
{
	struct fixture *f = *state;
	uint64_t a = enqueue(f, 9000);
	uint64_t b = enqueue(f, 9000);
	uint64_t c = enqueue(f, 9000);
	struct envelope *e;
	char buf[9000];

	damage_row(f, DB_QUEUE, key_u64(a), SPAN_LIT("nonsense"));
	damage_row(f, DB_BODY, key_u64(b), SPAN_LIT("\1\0"));
	damage_row(f, DB_CHUNK, key_u64_u32(c, 1), (struct span){ 0 });
	assert_int_equal(queue_load(f->store, a, &e), -EBADMSG);
	assert_int_equal(body_read(f->store, b, 0, buf, sizeof(buf)), -EBADMSG);
	assert_int_equal(body_read(f->store, c, 0, buf, sizeof(buf)), -EBADMSG);
	assert_int_equal(body_read(f->store, c, 0, buf, 4080), 4080);
	assert_int_equal(dequeue(f, a), 0);
	assert_int_equal(dequeue(f, b), 0);
	assert_int_equal(dequeue(f, c), 0);
	assert_int_equal(rows(f, DB_QUEUE), 0);
}

#define OPEN(t) cmocka_unit_test_setup_teardown(t, fixture_make_open, fixture_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_envelope_reads_back_as_it_was_written),
		cmocka_unit_test(a_row_that_is_cut_or_lengthened_is_refused),
		cmocka_unit_test(a_time_of_release_comes_back),
		cmocka_unit_test(mail_is_overdue_only_when_its_sender_wants_it_back),
		cmocka_unit_test(texts_have_limits),
		OPEN(a_restart_finds_every_message_intact),
		OPEN(a_body_reads_the_same_from_every_offset),
		OPEN(a_scan_tells_ids_and_due_times_in_order),
		OPEN(wrong_changes_are_refused_and_change_nothing),
		OPEN(a_bounce_replaces_its_message_in_one_transaction),
		OPEN(deliveries_move_with_the_queue_row_and_share_one_body),
		OPEN(a_delivery_to_nobody_changes_nothing),
		OPEN(a_body_that_streamed_in_becomes_live_with_its_envelope),
		OPEN(a_gap_in_a_body_is_refused),
		OPEN(a_restart_sweeps_what_was_never_finished),
		OPEN(damaged_rows_are_reported_and_can_be_removed),
	};
	return cmocka_run_group_tests_name("queue", tests, NULL, NULL);
}
