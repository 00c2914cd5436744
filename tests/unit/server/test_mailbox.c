/* mailbox: exact sizes, reading across the prefix, uids that never come back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "reference-server/store/account.h"
#include "reference-server/store/mailbox.h"
#include "tests/unit/server/store_fixture.h"

static const char prefix_text[] = "Return-Path: <barney@isp2.example>\r\nReceived: from a\r\n";
static const struct span prefix = { prefix_text, sizeof(prefix_text) - 1 };

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

/* Content of the seed, with the prefix before it. */
static void deliver(struct fixture *f, uint32_t account_id, uint64_t seed, size_t body_bytes)
{
	const struct delivery to = { .account_id = account_id,
				     .arrival_wall_ms = 1700000000000 + (int64_t)seed,
				     .prefix = prefix };
	struct envelope *e = make_envelope(f->store, body_bytes);
	struct span body = make_content(seed, body_bytes);
	const struct queue_change c = {
		.row = QUEUE_PASS, .message = e, .body = body, .deliveries = &to, .delivery_count = 1
	};

	assert_int_equal(submit(f, &c), 0);
	envelope_free(e);
	free_content(body);
}

static struct mailbox_list list(struct fixture *f, uint32_t account_id)
{
	struct mailbox_list l;

	assert_int_equal(mailbox_list(f->store, account_id, &l), 0);
	return l;
}

static void delete_uids(struct fixture *f, uint32_t account_id, const uint32_t *uids, uint32_t uid_count)
{
	struct outcome o = { 0 };

	mailbox_delete(f->store, account_id, uids, uid_count, note_outcome, &o);
	store_drain(f->store);
	assert_int_equal(o.count, 1);
	assert_int_equal(o.result, 0);
}

static void sizes_are_prefix_and_body_to_the_octet(void **state)
{
	static const size_t sizes[] = { 0, 1, 4080, 10001 };
	struct fixture *f = *state;
	uint32_t a = add_account(f, "a@fredsco.example");
	uint64_t octets = 0;

	for (size_t i = 0; i < 4; i++)
		deliver(f, a, i, sizes[i]);
	fixture_restart(f);
	struct mailbox_list l = list(f, a);
	assert_int_equal(l.entry_count, 4);
	for (uint32_t i = 0; i < 4; i++) {
		assert_int_equal(l.entries[i].uid, i + 1);
		assert_int_equal(l.entries[i].octets, prefix.n + sizes[i]);
		assert_int_equal(l.entries[i].arrival_wall_ms, 1700000000000 + i);
		octets += l.entries[i].octets;
	}
	assert_int_equal(l.octets, octets);
	assert_int_equal(l.uidnext, 5);
	mailbox_list_free(&l);
	assert_int_equal(mailbox_list(f->store, a + 1, &l), -ENOENT);
}

static void a_message_reads_the_same_from_every_offset(void **state)
{
	static const size_t pieces[] = { 1, 60, 4079, 4080, 4081, 20000 };
	struct fixture *f = *state;
	uint32_t a = add_account(f, "a@fredsco.example");
	struct span body = make_content(9, 9000);
	struct buf whole = { 0 };

	deliver(f, a, 9, 9000);
	buf_add(&whole, prefix);
	buf_add(&whole, body);
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		char *part = malloc(pieces[i]);
		for (uint64_t at = 0; at <= buf_bytes(&whole) + 1; at += at < 100 || at > 9040 ? 1 : 53) {
			struct span want = span_sub(buf_span(&whole), (size_t)at, pieces[i]);
			assert_int_equal(mailbox_read(f->store, a, 1, at, part, pieces[i]), want.n);
			if (want.n > 0)
				assert_memory_equal(part, want.p, want.n);
		}
		free(part);
	}
	char byte;
	assert_int_equal(mailbox_read(f->store, a, 1, UINT64_MAX, &byte, 1), 0);
	assert_int_equal(mailbox_read(f->store, a, 2, 0, &byte, 1), -ENOENT);
	assert_int_equal(mailbox_read(f->store, a + 1, 1, 0, &byte, 1), -ENOENT);
	buf_free(&whole);
	free_content(body);
}

static void a_set_is_deleted_in_one_transaction(void **state)
{
	static const uint32_t uids[] = { 4, 1, 99, 4 }; /* one unknown, one twice */
	struct fixture *f = *state;
	uint32_t a = add_account(f, "a@fredsco.example");
	uint32_t b = add_account(f, "b@fredsco.example");

	for (uint64_t i = 0; i < 5; i++)
		deliver(f, a, i, 5000);
	deliver(f, b, 5, 5000);
	uint64_t commits = store_stats(f->store).commit_count;
	delete_uids(f, a, uids, 4);
	delete_uids(f, a, NULL, 0);
	assert_int_equal(store_stats(f->store).commit_count - commits, 2);
	struct mailbox_list l = list(f, a);
	assert_int_equal(l.entry_count, 3);
	assert_int_equal(l.entries[0].uid, 2);
	assert_int_equal(l.entries[1].uid, 3);
	assert_int_equal(l.entries[2].uid, 5);
	mailbox_list_free(&l);
	l = list(f, b);
	assert_int_equal(l.entry_count, 1);
	mailbox_list_free(&l);
	assert_int_equal(rows(f, DB_BODY), 4);
	assert_int_equal(rows(f, DB_CHUNK), 8);
}

static void a_uid_never_comes_back(void **state)
{
	struct fixture *f = *state;
	uint32_t a = add_account(f, "a@fredsco.example");
	uint32_t uidvalidity = 0;

	for (uint32_t i = 1; i <= 4; i++) {
		deliver(f, a, i, 10);
		struct mailbox_list l = list(f, a);
		assert_int_equal(l.entry_count, 1);
		assert_int_equal(l.entries[0].uid, i);
		assert_true(uidvalidity == 0 || l.uidvalidity == uidvalidity);
		uidvalidity = l.uidvalidity;
		delete_uids(f, a, &l.entries[0].uid, 1); /* the highest one, each time */
		mailbox_list_free(&l);
		fixture_restart(f);
	}
}

static void an_account_made_again_has_another_uidvalidity(void **state)
{
	struct fixture *f = *state;
	uint32_t last_id = 0;
	uint32_t last_uidvalidity = 0;

	for (int i = 0; i < 3; i++) { /* within one second */
		uint32_t id = add_account(f, "a@fredsco.example");
		struct mailbox_list l = list(f, id);
		assert_true(id > last_id);
		assert_true(l.uidvalidity > last_uidvalidity);
		assert_int_equal(l.entry_count, 0);
		last_id = id;
		last_uidvalidity = l.uidvalidity;
		mailbox_list_free(&l);
		deliver(f, id, 1, 5000);
		struct outcome o = { 0 };
		account_remove(f->store, SPAN_LIT("a@fredsco.example"), note_outcome, &o);
		store_drain(f->store);
		assert_int_equal(o.result, 0);
		assert_int_equal(mailbox_list(f->store, id, &l), -ENOENT);
		assert_int_equal(rows(f, DB_MAILBOX), 0);
		assert_int_equal(rows(f, DB_BODY), 0);
		assert_int_equal(rows(f, DB_CHUNK), 0);
	}
}

static void removing_an_account_leaves_its_neighbours_alone(void **state)
{
	struct fixture *f = *state;
	uint32_t ids[3];

	ids[0] = add_account(f, "a@fredsco.example");
	ids[1] = add_account(f, "b@fredsco.example");
	ids[2] = add_account(f, "c@fredsco.example");
	for (uint64_t i = 0; i < 30; i++)
		deliver(f, ids[i % 3], i, 100);
	struct outcome o = { 0 };
	account_remove(f->store, SPAN_LIT("b@fredsco.example"), note_outcome, &o);
	store_drain(f->store);
	assert_int_equal(o.result, 0);
	for (int i = 0; i < 3; i += 2) {
		struct mailbox_list l = list(f, ids[i]);
		assert_int_equal(l.entry_count, 10);
		mailbox_list_free(&l);
	}
	assert_int_equal(rows(f, DB_MAILBOX), 20);
	assert_int_equal(rows(f, DB_BODY), 20);
}

#define OPEN(t) cmocka_unit_test_setup_teardown(t, fixture_make_open, fixture_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		OPEN(sizes_are_prefix_and_body_to_the_octet),
		OPEN(a_message_reads_the_same_from_every_offset),
		OPEN(a_set_is_deleted_in_one_transaction),
		OPEN(a_uid_never_comes_back),
		OPEN(an_account_made_again_has_another_uidvalidity),
		OPEN(removing_an_account_leaves_its_neighbours_alone),
	};
	return cmocka_run_group_tests_name("mailbox", tests, NULL, NULL);
}
