/* store: group commit, honest results, full disks, restarts, one process at a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "base/loop.h"
#include "reference-server/store/body.h"
#include "tests/unit/server/store_fixture.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#elif defined(__has_feature)
#define SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#else
#define SANITIZED false
#endif

/* ---- an operation that does what a test wants ---- */

struct probe {
	struct store_op op;
	const char *key; /* written to DB_META; value is the order of applying within the test */
	int fail_with;   /* this, the first fail_count times */
	uint32_t fail_count;
	bool fatal;
	size_t value_bytes;
	uint32_t applied_count;
	uint32_t done_count;
	int result;
	uint32_t done_order;
	uint32_t *order;
};

static int apply_probe(struct txn *t, struct store_op *op)
{
	struct probe *p = (struct probe *)op;

	p->applied_count++;
	if (p->applied_count <= p->fail_count) {
		t->fatal = p->fatal;
		return p->fail_with;
	}
	if (p->key == NULL)
		return 0;
	char *room;
	int rc = txn_insert_room(t, DB_META, span_of(p->key), p->value_bytes, &room);
	if (rc == 0)
		memset(room, 'x', p->value_bytes);
	return rc;
}

static void keep_probe(struct store_op *op)
{
	(void)op; /* the test's */
}

static void note_probe(void *ctx, int result)
{
	struct probe *p = ctx;

	p->done_count++;
	p->result = result;
	if (p->order != NULL)
		p->done_order = ++*p->order;
}

static void submit_probe(struct store *s, struct probe *p)
{
	p->op.apply = apply_probe;
	p->op.free = keep_probe;
	p->op.done = note_probe;
	p->op.ctx = p;
	p->op.weight_bytes = p->value_bytes;
	store_submit(s, &p->op);
}

static bool is_there(struct fixture *f, const char *key)
{
	struct span value;
	struct txn t;

	assert_int_equal(store_read_begin(f->store, &t), 0);
	int rc = txn_get(&t, DB_META, span_of(key), &value);
	store_read_end(f->store, &t);
	assert_true(rc == 0 || rc == -ENOENT);
	return rc == 0;
}

static bool wait_for_retries(struct fixture *f)
{
	for (int i = 0; i < 2000 && store_pending_count(f->store) > 0; i++) {
		(void)poll(NULL, 0, 5); /* The store's own retry delay runs. */
		store_drain(f->store);
	}
	return store_pending_count(f->store) == 0;
}

/* ---- group commit ---- */

static void operations_submitted_together_commit_together(void **state)
{
	struct fixture *f = *state;
	struct probe p[100] = { 0 };
	uint32_t order = 0;

	uint64_t commits = store_stats(f->store).commit_count;
	for (int i = 0; i < 100; i++) {
		p[i].order = &order;
		submit_probe(f->store, &p[i]);
	}
	assert_int_equal(store_pending_count(f->store), 100);
	store_drain(f->store);
	assert_int_equal(store_pending_count(f->store), 0);
	assert_int_equal(store_stats(f->store).commit_count - commits, 1);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(p[i].done_count, 1);
		assert_int_equal(p[i].done_order, i + 1);
	}
}

static void a_batch_is_bounded_in_operations_and_bytes(void **state)
{
	struct fixture *f = *state;
	struct probe *p = calloc(STORE_BATCH_OPS_MAX + 1, sizeof(*p));
	struct probe big[4] = { { .key = "a", .value_bytes = STORE_BATCH_BYTES_MAX / 2 },
				{ .key = "b", .value_bytes = STORE_BATCH_BYTES_MAX / 2 },
				{ .key = "c", .value_bytes = STORE_BATCH_BYTES_MAX / 2 },
				{ .key = "d", .value_bytes = STORE_BATCH_BYTES_MAX / 2 } };

	uint64_t commits = store_stats(f->store).commit_count;
	for (int i = 0; i <= STORE_BATCH_OPS_MAX; i++)
		submit_probe(f->store, &p[i]);
	store_drain(f->store);
	assert_int_equal(store_stats(f->store).commit_count - commits, 2);
	for (int i = 0; i < 4; i++)
		submit_probe(f->store, &big[i]);
	store_drain(f->store);
	assert_int_equal(store_stats(f->store).commit_count - commits, 4);
	free(p);
}

static void one_that_fails_does_not_spoil_its_neighbours(void **state)
{
	static const struct {
		const char *name;
		int at;
	} table[] = { { "first", 0 }, { "middle", 37 }, { "last", 63 } };
	struct fixture *f = *state;

	for (size_t row = 0; row < sizeof(table) / sizeof(table[0]); row++) {
		struct probe p[64] = { 0 };
		char keys[64][16];
		uint32_t order = 0;
		for (int i = 0; i < 64; i++) {
			(void)snprintf(keys[i], sizeof(keys[i]), "k%zu-%d", row, i);
			p[i] = (struct probe){ .key = keys[i], .value_bytes = 8, .order = &order };
		}
		p[table[row].at].fail_with = -EINVAL;
		p[table[row].at].fail_count = UINT32_MAX;
		uint64_t commits = store_stats(f->store).commit_count;
		for (int i = 0; i < 64; i++)
			submit_probe(f->store, &p[i]);
		store_drain(f->store);
		for (int i = 0; i < 64; i++) {
			bool bad = i == table[row].at;
			assert_int_equal(p[i].result, bad ? -EINVAL : 0);
			assert_int_equal(is_there(f, keys[i]), !bad);
			assert_int_equal(p[i].done_order, i + 1);
		}
		/* Halved, not one by one. */
		assert_in_range(store_stats(f->store).commit_count - commits, 2, 12);
	}
}

struct again {
	struct fixture *f;
	struct probe second;
};

static void submit_second(void *ctx, int result)
{
	struct again *a = ctx;

	assert_int_equal(result, 0);
	submit_probe(a->f->store, &a->second);
}

static void done_functions_may_submit_again(void **state)
{
	struct again a = { .f = *state };
	struct probe first = { 0 };

	first.op = (struct store_op){
		.apply = apply_probe, .free = keep_probe, .done = submit_second, .ctx = &a
	};
	store_submit(a.f->store, &first.op);
	store_drain(a.f->store);
	assert_int_equal(a.second.done_count, 1);
}

/* ---- storage trouble ---- */

static void kept_operations_are_retried_until_they_are_stored(void **state)
{
	struct fixture *f = *state;
	struct probe kept = { .key = "kept", .fail_with = -EIO, .fail_count = 4 };
	struct probe fresh = { .key = "fresh", .fail_with = -EIO, .fail_count = 4 };

	kept.op.kept = true;
	submit_probe(f->store, &kept);
	submit_probe(f->store, &fresh);
	store_drain(f->store);
	assert_int_equal(fresh.done_count, 1);
	assert_int_equal(fresh.result, -EIO);
	assert_int_equal(kept.done_count, 0);
	assert_int_equal(store_stats(f->store).retrying_count, 1);
	assert_true(wait_for_retries(f));
	assert_int_equal(kept.done_count, 1);
	assert_int_equal(kept.result, 0);
	assert_int_equal(kept.applied_count, 5);
	assert_true(is_there(f, "kept"));
	assert_false(is_there(f, "fresh"));
}

static void kept_operations_never_overtake_each_other(void **state)
{
	struct fixture *f = *state;
	uint32_t order = 0;
	struct probe p[3] = { { .fail_with = -ENOSPC, .fail_count = 4, .order = &order },
			      { .order = &order },
			      { .order = &order } };

	for (int i = 0; i < 3; i++) {
		p[i].op.kept = true;
		submit_probe(f->store, &p[i]);
		if (i == 1)
			store_drain(f->store); /* The third comes when the others already wait. */
	}
	assert_true(wait_for_retries(f));
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(p[i].done_order, i + 1);
}

static void kept_operations_report_an_answer_at_once(void **state)
{
	struct fixture *f = *state;
	struct probe p = { .fail_with = -ENOENT, .fail_count = UINT32_MAX };

	p.op.kept = true;
	submit_probe(f->store, &p);
	store_drain(f->store);
	assert_int_equal(p.done_count, 1);
	assert_int_equal(p.result, -ENOENT);
}

static void closing_gives_kept_operations_a_last_try(void **state)
{
	struct fixture *f = *state;
	struct probe never = { .fail_with = -EIO, .fail_count = UINT32_MAX };
	struct probe last = { .key = "last" }; /* waits behind it */

	never.op.kept = last.op.kept = true;
	submit_probe(f->store, &never);
	store_drain(f->store);
	submit_probe(f->store, &last);
	store_drain(f->store);
	assert_int_equal(last.done_count, 0);
	fixture_restart(f);
	assert_int_equal(never.result, -EIO);
	assert_int_equal(never.done_count, 1);
	assert_int_equal(last.result, 0);
	assert_true(is_there(f, "last"));
}

static void a_fatal_error_reopens_the_environment(void **state)
{
	struct fixture *f = *state;
	struct probe fatal = { .fail_with = -EIO, .fail_count = 1, .fatal = true };
	struct probe after = { .key = "after", .value_bytes = 1 };

	uint64_t id = enqueue(f, 5000);
	submit_probe(f->store, &fatal);
	store_drain(f->store);
	assert_int_equal(fatal.result, -EIO);
	assert_int_equal(store_stats(f->store).reopen_count, 1);
	submit_probe(f->store, &after);
	store_drain(f->store);
	assert_int_equal(after.result, 0);
	assert_true(is_there(f, "after"));
	assert_int_equal(dequeue(f, id), 0);
}

struct reading {
	struct fixture *f;
	uint64_t id;
	atomic_bool stop;
	uint32_t good_count;
	uint32_t bad_count;
};

static void *read_on(void *ctx)
{
	struct reading *r = ctx;
	char byte;

	while (!atomic_load(&r->stop))
		if (body_read(r->f->store, r->id, 4999, &byte, 1) == 1)
			r->good_count++;
		else
			r->bad_count++;
	return NULL;
}

static void readers_on_other_threads_outlive_a_reopening(void **state)
{
	struct fixture *f = *state;
	struct reading r[3] = { 0 };
	pthread_t threads[3];
	uint64_t id = enqueue(f, 5000);

	for (int i = 0; i < 3; i++) {
		r[i].f = f;
		r[i].id = id;
		assert_int_equal(pthread_create(&threads[i], NULL, read_on, &r[i]), 0);
	}
	for (int i = 0; i < 20; i++) {
		struct probe fatal = { .fail_with = -EIO, .fail_count = 1, .fatal = true };
		submit_probe(f->store, &fatal);
		store_drain(f->store);
		(void)enqueue(f, 5000);
	}
	for (int i = 0; i < 3; i++) {
		atomic_store(&r[i].stop, true);
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_int_equal(r[i].bad_count, 0);
		assert_true(r[i].good_count > 0);
	}
	assert_int_equal(store_stats(f->store).reopen_count, 20);
}

/* ---- full ---- */

/* Takes mail until it is refused, checks what a full store promises, makes room, takes mail again. */
static void fill_and_empty(struct fixture *f, uint32_t least_count)
{
	uint64_t ids[1000];
	uint32_t count = 0;
	int result = 0;

	while (result == 0 && count < 1000) {
		struct envelope *e = make_envelope(f->store, 10000);
		struct span body = make_content(e->id, 10000);
		const struct queue_change c = { .row = QUEUE_INSERT, .message = e, .body = body };
		result = submit(f, &c);
		if (result == 0)
			ids[count++] = e->id;
		envelope_free(e);
		free_content(body);
	}
	assert_int_equal(result, -ENOSPC);
	assert_in_range(count, least_count, 999);
	assert_true(store_stats(f->store).full);
	assert_int_equal(rows(f, DB_QUEUE), count);
	for (uint32_t i = 0; i < count; i++) {
		struct envelope *e = envelope_new();
		const struct queue_change c = { .row = QUEUE_REMOVE, .message = e };
		e->id = ids[i];
		struct outcome o = { 0 };
		queue_submit(f->store, &c, note_outcome, &o);
		store_drain(f->store);
		if (o.count == 0)
			assert_true(wait_for_retries(f));
		assert_int_equal(o.count, 1);
		assert_int_equal(o.result, 0);
		envelope_free(e);
	}
	assert_int_equal(rows(f, DB_QUEUE), 0);
	assert_int_equal(rows(f, DB_CHUNK), 0);
	for (int i = 0; i < 2000 && store_stats(f->store).ballast_released; i++)
		(void)poll(NULL, 0, 5);
	assert_false(store_stats(f->store).ballast_released);
	(void)enqueue(f, 10000);
	assert_false(store_stats(f->store).full);
}

static void above_the_soft_limit_mail_is_refused_and_removals_go_on(void **state)
{
	struct fixture *f = *state;

	f->options.map_bytes_max = 4 << 20;
	fixture_open(f);
	fill_and_empty(f, 50);
	struct store_stats stats = store_stats(f->store);
	assert_in_range(stats.used_bytes, 1, stats.soft_bytes);
}

static void a_full_map_is_reported_for_each_message_on_its_own(void **state)
{
	struct fixture *f = *state;
	struct probe p[8] = { 0 };
	char keys[8][16];

	f->options.map_bytes_max = 2 << 20;
	f->options.soft_bytes = UINT64_MAX / 2;
	fixture_open(f);
	for (int i = 0; i < 8; i++) {
		(void)snprintf(keys[i], sizeof(keys[i]), "k%d", i);
		p[i] = (struct probe){ .key = keys[i], .value_bytes = i == 3 ? 8 << 20 : 1000 };
		submit_probe(f->store, &p[i]);
	}
	store_drain(f->store);
	for (int i = 0; i < 8; i++)
		assert_int_equal(p[i].result, i == 3 ? -ENOSPC : 0);
}

static void set_file_limit(rlim_t bytes)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void lift_file_limit(void)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	set_file_limit(limit.rlim_max);
}

/* A file that may not grow fails as a full disk does: at commit, with a short write. */
static void a_commit_that_fails_is_never_acknowledged(void **state)
{
	struct fixture *f = *state;
	uint32_t count = 0;
	int result = 0;

	(void)signal(SIGXFSZ, SIG_IGN);
	fixture_open(f);
	set_file_limit(1 << 20);
	while (result == 0 && count < 1000) {
		struct envelope *e = make_envelope(f->store, 10000);
		struct span body = make_content(e->id, 10000);
		const struct queue_change c = { .row = QUEUE_INSERT, .message = e, .body = body };
		result = submit(f, &c);
		count += result == 0;
		envelope_free(e);
		free_content(body);
	}
	lift_file_limit();
	assert_true(result == -EIO || result == -ENOSPC);
	assert_in_range(count, 10, 999);
	assert_int_equal(rows(f, DB_QUEUE), count);
	fixture_restart(f);
	assert_int_equal(rows(f, DB_QUEUE), count);
	(void)enqueue(f, 10000);
}

/* A small disk of its own, in a mount namespace of its own, where that is permitted. */
static void a_full_disk_refuses_mail_and_lets_removals_through(void **state)
{
	struct fixture *f = *state;

	if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
	    mount("tmpfs", f->dir, "tmpfs", 0, "size=4m") != 0) {
		print_message("mounting a small disk needs root\n");
		skip();
	}
	f->options.ballast_bytes = 256 << 10;
	fixture_open(f);
	fill_and_empty(f, 50);
	store_close(f->store);
	f->store = NULL;
	assert_int_equal(umount(f->dir), 0);
}

/* ---- opening ---- */

static void a_second_server_is_refused_by_name(void **state)
{
	struct fixture *f = *state;
	struct store *second;
	char pid[32];
	struct err err;

	assert_int_equal(store_open(&f->options, &second, &err), -EBUSY);
	(void)snprintf(pid, sizeof(pid), "process %ld", (long)getpid());
	assert_non_null(strstr(err.text, pid));
	assert_non_null(strstr(err.text, f->dir));
	store_close(f->store);
	f->store = NULL;
	assert_int_equal(store_open(&f->options, &second, &err), 0);
	f->store = second;
}

static void a_data_directory_of_another_version_is_refused(void **state)
{
	struct fixture *f = *state;
	struct err err;
	struct txn t;
	MDB_env *env;

	store_close(f->store);
	f->store = NULL;
	/* Only the environment's own meta database is touched. */
	char dir[128];
	(void)snprintf(dir, sizeof(dir), "%s/store", f->dir);
	assert_int_equal(mdb_env_create(&env), 0);
	assert_int_equal(mdb_env_set_maxdbs(env, 8), 0);
	assert_int_equal(mdb_env_open(env, dir, 0, 0600), 0);
	MDB_dbi dbis[DB_COUNT] = { 0 };
	t = (struct txn){ .dbis = dbis };
	assert_int_equal(mdb_txn_begin(env, NULL, 0, &t.mdb), 0);
	assert_int_equal(mdb_dbi_open(t.mdb, "meta", 0, &dbis[DB_META]), 0);
	assert_int_equal(txn_set_number(&t, "format", 2), 0);
	assert_int_equal(mdb_txn_commit(t.mdb), 0);
	mdb_env_close(env);
	assert_int_equal(store_open(&f->options, &f->store, &err), -EPROTO);
	assert_non_null(strstr(err.text, "another version"));
}

static void a_damaged_file_is_an_error_not_a_crash(void **state)
{
	struct fixture *f = *state;
	char path[128];
	struct err err;

	store_close(f->store);
	f->store = NULL;
	(void)snprintf(path, sizeof(path), "%s/store/data.mdb", f->dir);
	char zeros[8192] = { 0 };
	assert_int_equal(file_write(path, (struct span){ zeros, sizeof(zeros) }, 0600, &err), 0);
	assert_true(store_open(&f->options, &f->store, &err) < 0);
	assert_non_null(strstr(err.text, f->dir));
}

static void where_address_space_is_short_the_map_is_smaller(void **state)
{
	struct fixture *f = *state;
	if (SANITIZED) {
		print_message("sanitizers need the address space themselves\n");
		skip();
	}
	struct rlimit before;
	assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
	struct rlimit tight = before;
	tight.rlim_cur = UINT64_C(4) << 30;
	assert_int_equal(setrlimit(RLIMIT_AS, &tight), 0);
	f->options.map_bytes_max = UINT64_C(64) << 30;
	fixture_open(f);
	assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
	assert_in_range(store_stats(f->store).map_bytes, 16 << 20, UINT64_C(4) << 30);
	(void)enqueue(f, 5000);
}

/* ---- ids ---- */

static void ids_never_repeat_over_restarts(void **state)
{
	struct fixture *f = *state;
	uint64_t last = 0;

	for (int run = 0; run < 5; run++) {
		for (int i = 0; i < 10; i++) {
			uint64_t id = store_new_id(f->store);
			assert_true(id > last);
			last = id;
		}
		fixture_restart(f); /* Nothing was stored under them, and still they do not come back. */
	}
}

static void ids_have_a_text_that_reads_back(void **state)
{
	static const struct {
		uint64_t id;
		const char *text;
	} table[] = {
		{ 0, "0" },
		{ 1, "1" },
		{ 31, "Z" },
		{ 32, "10" },
		{ 1 << 30, "1000000" },
		{ 1234567890123, "13XRZP16B" },
		{ UINT64_MAX, "FZZZZZZZZZZZZ" },
	};
	char text[STORE_ID_TEXT_BYTES];
	uint64_t id;
	(void)state;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		assert_string_equal(store_id_text(table[i].id, text), table[i].text);
		assert_true(store_id_parse(span_of(text), &id));
		assert_true(id == table[i].id);
	}
	assert_true(store_id_parse(SPAN_LIT("1ooLi"), &id));
	uint64_t same;
	assert_true(store_id_parse(SPAN_LIT("10011"), &same));
	assert_true(id == same);
	static const char *const bad[] = { "",    "U", "1-2", " 1", "1 ", "G0000000000000", "ZZZZZZZZZZZZZ",
					   "\xc3" };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(store_id_parse(span_of(bad[i]), &id));
}

/* ---- on a loop ---- */

struct looped {
	struct fixture *f;
	struct loop *loop;
	struct probe p[10];
	pthread_t thread;
	uint32_t done_count;
};

static void note_looped(void *ctx, int result)
{
	struct looped *l = ctx;

	assert_int_equal(result, 0);
	assert_true(pthread_equal(l->thread, pthread_self()));
	if (++l->done_count == 10)
		loop_stop(l->loop);
}

static void submit_from_loop(void *ctx)
{
	struct looped *l = ctx;

	for (int i = 0; i < 10; i++) {
		l->p[i].op = (struct store_op){
			.apply = apply_probe, .free = keep_probe, .done = note_looped, .ctx = l
		};
		store_submit(l->f->store, &l->p[i].op);
	}
	assert_int_equal(l->done_count, 0);
}

static void one_loop_round_is_one_commit_and_done_runs_on_the_loop(void **state)
{
	struct fixture *f = *state;
	struct looped l = { .f = f, .loop = loop_new(), .thread = pthread_self() };

	f->options.loop = l.loop;
	fixture_open(f);
	uint64_t commits = store_stats(f->store).commit_count;
	struct timer *start = timer_new(l.loop, submit_from_loop, &l);
	timer_set_ms(start, 0);
	loop_run(l.loop);
	assert_int_equal(l.done_count, 10);
	assert_int_equal(store_stats(f->store).commit_count - commits, 1);
	timer_free(start);
	store_close(f->store);
	f->store = NULL;
	loop_free(l.loop);
}

#define OPEN(t) cmocka_unit_test_setup_teardown(t, fixture_make_open, fixture_remove)
#define SHUT(t) cmocka_unit_test_setup_teardown(t, fixture_make, fixture_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		OPEN(operations_submitted_together_commit_together),
		OPEN(a_batch_is_bounded_in_operations_and_bytes),
		OPEN(one_that_fails_does_not_spoil_its_neighbours),
		OPEN(done_functions_may_submit_again),
		OPEN(kept_operations_are_retried_until_they_are_stored),
		OPEN(kept_operations_never_overtake_each_other),
		OPEN(kept_operations_report_an_answer_at_once),
		OPEN(closing_gives_kept_operations_a_last_try),
		OPEN(a_fatal_error_reopens_the_environment),
		OPEN(readers_on_other_threads_outlive_a_reopening),
		SHUT(above_the_soft_limit_mail_is_refused_and_removals_go_on),
		SHUT(a_full_map_is_reported_for_each_message_on_its_own),
		SHUT(a_commit_that_fails_is_never_acknowledged),
		SHUT(a_full_disk_refuses_mail_and_lets_removals_through),
		OPEN(a_second_server_is_refused_by_name),
		OPEN(a_data_directory_of_another_version_is_refused),
		OPEN(a_damaged_file_is_an_error_not_a_crash),
		SHUT(where_address_space_is_short_the_map_is_smaller),
		OPEN(ids_never_repeat_over_restarts),
		OPEN(ids_have_a_text_that_reads_back),
		SHUT(one_loop_round_is_one_commit_and_done_runs_on_the_loop),
	};
	return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
