#include "reference-server/drive/load.h"

#include "base/log.h"
#include "reference-server/drive/server.h"

#include <assert.h>
#include <malloc.h>
#include <stdlib.h>

enum {
	MEMBER_BYTES = 16 * 1024,         /* what one may cost beside what it holds; for when to trim */
	TRIM_BYTES_MIN = 4 * 1024 * 1024, /* less than this is not worth the walk through the heap */
	TRIM_AFTER_MS = 1000,
};

struct load {
	struct server *server;
	uint64_t held_bytes; /* of all, as noted */
	uint32_t member_count;
	uint64_t peak_bytes; /* with MEMBER_BYTES for each, since the last trim */
	struct task *relief; /* for the one that a load_note must not end: its own */
	struct timer *trim;
	TAILQ_HEAD(, load_member) members;
};

/* ---- giving back what was freed ---- */

static uint64_t all_bytes(const struct load *l)
{
	return l->held_bytes + (uint64_t)l->member_count * MEMBER_BYTES;
}

static void on_trim(void *ctx)
{
	struct load *l = ctx;

	(void)malloc_trim(0);
	l->peak_bytes = all_bytes(l);
}

static void watch_peak(struct load *l)
{
	uint64_t bytes = all_bytes(l);

	if (bytes > l->peak_bytes)
		l->peak_bytes = bytes;
	if (l->peak_bytes > TRIM_BYTES_MIN && bytes < l->peak_bytes / 2 && !timer_is_set(l->trim))
		timer_set_ms(l->trim, TRIM_AFTER_MS);
}

/* ---- when it is too much ---- */

static void account(struct load *l, struct load_member *m)
{
	size_t bytes = m->held(m->ctx);

	l->held_bytes += bytes;
	l->held_bytes -= m->noted_bytes;
	m->noted_bytes = bytes;
}

static size_t most_held(const struct load *l, const struct load_member *but)
{
	const struct load_member *m;
	size_t most_bytes = 0;

	TAILQ_FOREACH (m, &l->members, next)
		if (m != but && m->noted_bytes > most_bytes)
			most_bytes = m->noted_bytes;
	return most_bytes;
}

/* Those that hold more than `bytes`, as long as there is more than wanted. */
static uint32_t end_above(struct load *l, size_t bytes, uint64_t wanted_bytes, const struct load_member *but)
{
	struct load_member *m, *next;
	uint32_t count = 0;

	for (m = TAILQ_FIRST(&l->members); m != NULL && l->held_bytes > wanted_bytes; m = next) {
		next = TAILQ_NEXT(m, next);
		if (m == but || m->noted_bytes <= bytes)
			continue;
		m->end(m->ctx);
		count++;
	}
	return count;
}

static void relieve(struct load *l, const struct load_member *but)
{
	uint64_t limit_bytes = l->server->config->limits.buffer_bytes_max, wanted_bytes = limit_bytes / 4 * 3;
	struct load_member *m;
	uint32_t count = 0;
	size_t most_bytes;

	TAILQ_FOREACH (m, &l->members, next)
		account(l, m); /* output shrinks without a note */
	if (l->held_bytes <= limit_bytes)
		return;
	uint64_t were_bytes = l->held_bytes;
	while (l->held_bytes > wanted_bytes && (most_bytes = most_held(l, but)) > 0)
		count += end_above(l, most_bytes / 2, wanted_bytes, but);
	l->server->counters.sessions_ended_for_memory += count;
	log_event(LOG_WARN, "out-of-buffers", LOG_I("held", were_bytes), LOG_I("limit", limit_bytes),
		  LOG_I("ended", count));
	if (!timer_is_set(l->trim))
		timer_set_ms(l->trim, TRIM_AFTER_MS / 10);
}

static void on_relief(void *ctx)
{
	relieve(ctx, NULL);
}

void load_note(struct load *l, struct load_member *m)
{
	uint64_t limit_bytes = l->server->config->limits.buffer_bytes_max;

	account(l, m);
	if (l->held_bytes > limit_bytes && !l->server->stopping && m->noted_bytes <= most_held(l, m))
		relieve(l, m); /* now, for a thousand more may be noted before a task runs */
	if (l->held_bytes > limit_bytes)
		task_schedule(l->relief);
	watch_peak(l);
}

/* ---- members ---- */

void load_join(struct load *l, struct load_member *m)
{
	assert(m->noted_bytes == 0);
	TAILQ_INSERT_TAIL(&l->members, m, next);
	l->member_count++;
}

void load_leave(struct load *l, struct load_member *m)
{
	TAILQ_REMOVE(&l->members, m, next);
	l->member_count--;
	l->held_bytes -= m->noted_bytes;
	m->noted_bytes = 0;
	watch_peak(l);
}

uint64_t load_held_bytes(const struct load *l)
{
	return l->held_bytes;
}

struct load *load_new(struct server *server)
{
	struct load *l = calloc(1, sizeof(*l));
	if (l == NULL)
		abort();
	l->server = server;
	l->relief = task_new(server->loop, on_relief, l);
	l->trim = timer_new(server->loop, on_trim, l);
	TAILQ_INIT(&l->members);
	return l;
}

void load_free(struct load *l)
{
	if (l == NULL)
		return;
	assert(TAILQ_EMPTY(&l->members));
	task_free(l->relief);
	timer_free(l->trim);
	free(l);
}
