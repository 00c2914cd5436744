/*
 * store: a process is killed at random moments; what it acknowledged is there.
 *
 * A child keeps 32 messages of random sizes on their way, adding, updating,
 * delivering and removing, and tells through a pipe what became durable.  It
 * is killed with SIGKILL, the store is opened again, and
 *   - every message whose entering was told and whose leaving was not even begun is there, intact;
 *   - every message whose leaving was told is gone, and in its mailbox exactly once if it was to go there;
 *   - whatever else is there is whole;
 *   - no chunk belongs to nobody.
 * POSTRIDER_CRASH_ROUNDS sets the number of rounds, 20 by default.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/loop.h"
#include "base/random.h"
#include "reference-server/store/account.h"
#include "reference-server/store/body.h"
#include "reference-server/store/mailbox.h"
#include "tests/unit/server/store_fixture.h"

enum {
	IN_FLIGHT = 32,
	BODY_BYTES_LIMIT = 60000,
	FATES_MAX = 1 << 18,
	PREFIX_BYTES = 4 + 16 + 2,
};

/* What the child says; smaller than PIPE_BUF, so never torn. */
enum saying { ENTERED, LEAVING, LEFT, DELIVERING, DELIVERED };
struct told {
	uint64_t id;
	uint32_t body_bytes;
	uint32_t saying;
};

/* ---- the child ---- */

struct actor {
	struct fixture *f;
	struct rng *rng;
	int pipe_fd;
	uint32_t account_id;
	struct envelope *e;
	struct span body;
	uint32_t streamed; /* appended so far */
	enum queue_row row;
	bool delivers;
};

static void tell(struct actor *a, enum saying what)
{
	struct told t = { .id = a->e->id, .body_bytes = (uint32_t)a->e->body_bytes, .saying = what };

	if (write(a->pipe_fd, &t, sizeof(t)) != (ssize_t)sizeof(t))
		_exit(3);
}

static void step(struct actor *a);
static void arrive(struct actor *a);

static void stepped(void *ctx, int result)
{
	struct actor *a = ctx;

	if (result != 0)
		_exit(4);
	if (a->row == QUEUE_INSERT)
		tell(a, ENTERED);
	if (a->row == QUEUE_REMOVE || a->row == QUEUE_PASS)
		tell(a, a->delivers ? DELIVERED : LEFT);
	if (a->row == QUEUE_REMOVE || a->row == QUEUE_PASS) {
		envelope_free(a->e);
		free_content(a->body);
		arrive(a);
	} else {
		step(a);
	}
}

static void change(struct actor *a, enum queue_row row, bool delivers)
{
	char prefix[PREFIX_BYTES + 1];
	(void)snprintf(prefix, sizeof(prefix), "Id: %016" PRIx64 "\r\n", a->e->id);
	const struct delivery to = { .account_id = a->account_id, .prefix = { prefix, PREFIX_BYTES } };
	struct queue_change c = { .row = row, .message = a->e };

	a->row = row;
	a->delivers = delivers;
	if (row == QUEUE_INSERT || row == QUEUE_PASS)
		c.body = span_sub(a->body, a->streamed, SIZE_MAX);
	if (delivers) {
		c.deliveries = &to;
		c.delivery_count = 1;
	}
	if (row == QUEUE_REMOVE || row == QUEUE_PASS)
		tell(a, delivers ? DELIVERING : LEAVING);
	queue_submit(a->f->store, &c, stepped, a);
}

static void step(struct actor *a)
{
	uint64_t die = rng_below(a->rng, 10);

	if (die < 4) {
		a->e->attempt_count++;
		change(a, QUEUE_UPDATE, false);
	} else {
		change(a, QUEUE_REMOVE, die < 7);
	}
}

static void appended(void *ctx, int result)
{
	struct actor *a = ctx;

	if (result != 0)
		_exit(5);
	a->streamed += BODY_CHUNK_BYTES;
	if (a->streamed + BODY_CHUNK_BYTES <= a->body.n && rng_below(a->rng, 3) > 0)
		body_append(a->f->store, a->e->body_id, a->streamed,
			    span_sub(a->body, a->streamed, BODY_CHUNK_BYTES), appended, a);
	else
		change(a, QUEUE_INSERT, false);
}

static void arrive(struct actor *a)
{
	uint64_t n = rng_below(a->rng, 2) > 0 ? rng_below(a->rng, 9000) : rng_below(a->rng, BODY_BYTES_LIMIT);

	a->e = make_envelope(a->f->store, n);
	a->body = make_content(a->e->id, n);
	a->streamed = 0;
	if (n >= BODY_CHUNK_BYTES && rng_below(a->rng, 3) == 0) {
		a->e->body_id = store_new_id(a->f->store);
		body_append(a->f->store, a->e->body_id, 0, span_sub(a->body, 0, BODY_CHUNK_BYTES), appended,
			    a);
	} else if (rng_below(a->rng, 8) == 0) {
		a->e->body_id = a->e->id;
		change(a, QUEUE_PASS, true);
	} else {
		change(a, QUEUE_INSERT, false);
	}
}

static void child_main(struct fixture *f, uint32_t account_id, int pipe_fd, uint64_t seed)
{
	struct rng rng = rng_seed(seed);
	static struct actor actors[IN_FLIGHT];
	struct err err;

	if (store_open(&f->options, &f->store, &err) != 0)
		_exit(2);
	for (int i = 0; i < IN_FLIGHT; i++) {
		actors[i] =
			(struct actor){ .f = f, .rng = &rng, .pipe_fd = pipe_fd, .account_id = account_id };
		arrive(&actors[i]);
	}
	store_drain(f->store); /* Never ends: every done submits the next. */
	_exit(6);
}

/* ---- the judge ---- */

struct fate {
	uint64_t id;
	uint32_t body_bytes;
	uint32_t said; /* bits: 1 << enum saying */
	uint32_t in_queue;
	uint32_t in_mailbox;
};

struct fates {
	struct fate *list;
	size_t count;
};

static struct fate *fate_of(struct fates *all, uint64_t id)
{
	for (size_t i = all->count; i > 0; i--)
		if (all->list[i - 1].id == id)
			return &all->list[i - 1];
	assert_true(all->count < FATES_MAX);
	all->list[all->count] = (struct fate){ .id = id };
	return &all->list[all->count++];
}

static void hear(struct fates *all, const struct told *t)
{
	struct fate *fate = fate_of(all, t->id);

	fate->body_bytes = t->body_bytes;
	fate->said |= 1u << t->saying;
}

/* Listens until the child has lived that long after its first word, then kills it. */
static void listen_and_kill(struct fates *all, pid_t child, int fd, int64_t life_ms)
{
	struct pollfd readable = { .fd = fd, .events = POLLIN };
	int64_t end_ms = INT64_MAX;
	struct told t;
	int status;

	for (;;) {
		int64_t left_ms = end_ms == INT64_MAX ? 60000 : end_ms - clock_mono_ms();
		if (left_ms <= 0 || poll(&readable, 1, (int)left_ms) != 1)
			break;
		if (read(fd, &t, sizeof(t)) != (ssize_t)sizeof(t))
			break;
		hear(all, &t);
		if (end_ms == INT64_MAX)
			end_ms = clock_mono_ms() + life_ms;
	}
	(void)kill(child, SIGKILL);
	while (read(fd, &t, sizeof(t)) == (ssize_t)sizeof(t))
		hear(all, &t);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status)); /* Not by itself, with an error of its own. */
	assert_true(all->count > 0);
}

/* ---- what is stored ---- */

static bool note_queued(void *ctx, uint64_t id, const struct envelope_glance *g)
{
	assert_int_equal(g->arrival_wall_ms, 1700000000000);
	fate_of(ctx, id)->in_queue++;
	return true;
}

static void check_queued(struct fixture *f, uint64_t id)
{
	struct envelope *e;

	assert_int_equal(queue_load(f->store, id, &e), 0);
	struct span want = make_content(id, e->body_bytes);
	char *got = malloc(want.n + 1);
	assert_int_equal(body_read(f->store, e->body_id, 0, got, want.n + 1), want.n);
	assert_memory_equal(got, want.p, want.n);
	free(got);
	free_content(want);
	envelope_free(e);
	assert_int_equal(dequeue(f, id), 0);
}

static void check_delivered(struct fixture *f, uint32_t account_id, struct fates *all, struct mailbox_entry m)
{
	char *got = malloc(m.octets + 1);
	char hex[17] = { 0 };

	assert_true(m.octets >= PREFIX_BYTES);
	assert_int_equal(mailbox_read(f->store, account_id, m.uid, 0, got, m.octets + 1), m.octets);
	memcpy(hex, got + 4, 16);
	uint64_t id = strtoull(hex, NULL, 16);
	struct span want = make_content(id, m.octets - PREFIX_BYTES);
	assert_memory_equal(got + PREFIX_BYTES, want.p, want.n);
	fate_of(all, id)->in_mailbox++;
	free_content(want);
	free(got);
}

/* Judges what is there, then takes it away, so that what is left belongs to nobody. */
static void look(struct fixture *f, uint32_t account_id, struct fates *all)
{
	struct mailbox_list list;

	assert_int_equal(queue_scan(f->store, 0, note_queued, all), 0);
	assert_int_equal(mailbox_list(f->store, account_id, &list), 0);
	uint32_t *uids = malloc((list.entry_count + 1) * sizeof(*uids));
	for (uint32_t i = 0; i < list.entry_count; i++) {
		check_delivered(f, account_id, all, list.entries[i]);
		uids[i] = list.entries[i].uid;
	}
	struct outcome o = { 0 };
	mailbox_delete(f->store, account_id, uids, list.entry_count, note_outcome, &o);
	store_drain(f->store);
	assert_int_equal(o.result, 0);
	free(uids);
	mailbox_list_free(&list);
	for (size_t i = 0; i < all->count; i++)
		if (all->list[i].in_queue == 1)
			check_queued(f, all->list[i].id);
	assert_int_equal(rows(f, DB_QUEUE), 0);
	assert_int_equal(rows(f, DB_MAILBOX), 0);
	assert_int_equal(rows(f, DB_BODY), 0);
	assert_int_equal(rows(f, DB_CHUNK), 0);
	assert_int_equal(rows(f, DB_RECEIVING), 0);
}

static const char *broken_promise(const struct fate *m)
{
	bool entered = (m->said & 1u << ENTERED) != 0;
	bool leaving = (m->said & 1u << LEAVING) != 0;
	bool delivering = (m->said & 1u << DELIVERING) != 0;

	if (m->in_queue > 1 || m->in_mailbox > 1)
		return "duplicated";
	if (m->in_queue == 1 && m->in_mailbox == 1)
		return "both in the queue and delivered";
	if (entered && !leaving && !delivering && m->in_queue == 0)
		return "acknowledged and lost";
	if (entered && delivering && m->in_queue + m->in_mailbox == 0)
		return "lost between queue and mailbox";
	if ((m->said & 1u << LEFT) != 0 && m->in_queue + m->in_mailbox != 0)
		return "removed and still there";
	if ((m->said & 1u << DELIVERED) != 0 && m->in_mailbox != 1)
		return "delivered and not in the mailbox";
	if (!delivering && m->in_mailbox != 0)
		return "in a mailbox it was not for";
	return NULL;
}

static void one_round(struct fixture *f, uint32_t account_id, struct rng *rng)
{
	struct fates all = { .list = calloc(FATES_MAX, sizeof(struct fate)) };
	uint64_t seed = rng_u64(rng);
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		(void)close(ends[0]);
		child_main(f, account_id, ends[1], seed);
	}
	(void)close(ends[1]);
	listen_and_kill(&all, child, ends[0], (int64_t)rng_below(rng, 60));
	(void)close(ends[0]);
	fixture_open(f);
	look(f, account_id, &all);
	for (size_t i = 0; i < all.count; i++) {
		const char *broken = broken_promise(&all.list[i]);
		if (broken != NULL)
			fail_msg("message %" PRIx64 " %s (said %x)", all.list[i].id, broken,
				 all.list[i].said);
	}
	store_close(f->store);
	f->store = NULL;
	free(all.list);
}

static void nothing_acknowledged_is_lost_doubled_or_torn_by_sigkill(void **state)
{
	struct fixture *f = *state;
	struct account_keys keys;
	struct account account;
	struct outcome o = { 0 };
	uint64_t round_count = 20;
	const char *wanted = getenv("POSTRIDER_CRASH_ROUNDS");
	/* Moments of death differ from run to run anyway; what the child does is told by the seed. */
	struct rng rng = rng_seed(random_u64());

	if (wanted != NULL)
		assert_true(span_to_u64(span_of(wanted), &round_count));
	account_derive_salted(SPAN_LIT("secret"), 1, SPAN_LIT("salt"), &keys);
	account_add(f->store, SPAN_LIT("sales@fredsco.example"), &keys, note_outcome, &o);
	store_drain(f->store);
	assert_int_equal(o.result, 0);
	assert_int_equal(account_find(f->store, SPAN_LIT("sales@fredsco.example"), &account), 0);
	store_close(f->store);
	f->store = NULL;
	for (uint64_t i = 0; i < round_count; i++)
		one_round(f, account.id, &rng);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nothing_acknowledged_is_lost_doubled_or_torn_by_sigkill,
						fixture_make_open, fixture_remove),
	};
	return cmocka_run_group_tests_name("store_crash", tests, NULL, NULL);
}
