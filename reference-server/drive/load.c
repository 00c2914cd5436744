#include "reference-server/drive/load.h"

#include "base/log.h"
#include "reference-server/drive/server.h"

#include <assert.h>
#include <stdlib.h>

struct load {
	struct server *server;
	uint64_t held_bytes; /* of all, as noted */
	struct task *relief;
	TAILQ_HEAD(, load_member) members;
};

static void account(struct load *l, struct load_member *m)
{
	size_t bytes = m->held(m->ctx);

	l->held_bytes += bytes;
	l->held_bytes -= m->noted_bytes;
	m->noted_bytes = bytes;
}

/* Ends those that hold more than `bytes` as long as there is more than wanted.  Returns the most of one that is left. */
static size_t end_above(struct load *l, size_t bytes, uint64_t wanted_bytes)
{
	struct load_member *m, *next;
	size_t most_bytes = 0;

	for (m = TAILQ_FIRST(&l->members); m != NULL; m = next) {
		next = TAILQ_NEXT(m, next);
		if (m->noted_bytes > bytes && l->held_bytes > wanted_bytes) {
			l->server->counters.sessions_ended_for_memory++;
			m->end(m->ctx);
		} else if (m->noted_bytes > most_bytes) {
			most_bytes = m->noted_bytes;
		}
	}
	return most_bytes;
}

static void on_relief(void *ctx)
{
	struct load *l = ctx;
	uint64_t limit_bytes = l->server->config->limits.buffer_bytes_max,
		 before = l->server->counters.sessions_ended_for_memory;
	struct load_member *m;
	size_t most_bytes;

	TAILQ_FOREACH (m, &l->members, next)
		account(l, m); /* output shrinks without a note */
	if (l->held_bytes <= limit_bytes)
		return;
	uint64_t were_bytes = l->held_bytes;
	most_bytes = end_above(l, SIZE_MAX, 0);
	while (l->held_bytes > limit_bytes / 4 * 3 && most_bytes > 0)
		most_bytes = end_above(l, most_bytes / 2, limit_bytes / 4 * 3);
	log_event(LOG_WARN, "out-of-buffers", LOG_I("held", were_bytes), LOG_I("limit", limit_bytes),
		  LOG_I("ended", l->server->counters.sessions_ended_for_memory - before));
}

void load_note(struct load *l, struct load_member *m)
{
	account(l, m);
	if (l->held_bytes > l->server->config->limits.buffer_bytes_max)
		task_schedule(l->relief);
}

void load_join(struct load *l, struct load_member *m)
{
	assert(m->noted_bytes == 0);
	TAILQ_INSERT_TAIL(&l->members, m, next);
}

void load_leave(struct load *l, struct load_member *m)
{
	TAILQ_REMOVE(&l->members, m, next);
	l->held_bytes -= m->noted_bytes;
	m->noted_bytes = 0;
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
	TAILQ_INIT(&l->members);
	return l;
}

void load_free(struct load *l)
{
	if (l == NULL)
		return;
	assert(TAILQ_EMPTY(&l->members));
	task_free(l->relief);
	free(l);
}
