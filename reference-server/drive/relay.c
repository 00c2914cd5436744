#include "reference-server/drive/relay.h"

#include "base/log.h"
#include "reference-server/core/mutant.h"
#include "reference-server/drive/relay_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	CONTENT_BYTES_MAX = 64 * 1024 * 1024, /* kept in memory; more is read from the store again */
	UNREADABLE_DELAY_MS = 10000,
};

void relay_forget(struct relay *r, struct message *m)
{
	HASH_DEL(r->active, m);
	r->active_count--;
	if (m->in_memory)
		r->content_bytes -= buf_bytes(&m->content);
	message_free(m);
	task_schedule(r->pull);
}

static void add_active(struct relay *r, struct message *m)
{
	HASH_ADD(hh, r->active, id, sizeof(m->id), m);
	r->active_count++;
	if (m->in_memory)
		r->content_bytes += buf_bytes(&m->content);
}

struct message *relay_find_active(struct relay *r, uint64_t id)
{
	struct message *m;
	HASH_FIND(hh, r->active, &id, sizeof(id), m);
	return m;
}

static bool is_stale(const struct due *d, const struct envelope *e)
{
	if (d == NULL || d->wall_ms == e->due_wall_ms || (d->id & DUE_REGARDLESS) != 0)
		return false;
	for (uint32_t i = 0; i < e->recipient_count; i++)
		if (e->recipients[i].last_attempt_wall_ms > d->wall_ms)
			return true;
	return (d->id & DUE_EXTRA) == 0;
}

/*
 * From the store.  Nothing when it has left meanwhile, is active or held, or
 * when the entry that brought it here is stale; NULL: a destination has it.
 */
static void load_and_activate(struct relay *r, uint64_t id, const struct due *entry)
{
	struct envelope *e = NULL;
	struct buf none = { 0 };

	if (relay_find_active(r, id) != NULL || relay_is_ordered(r, id))
		return;
	int rc = queue_load(r->server->store, id, &e);
	if (rc != 0) {
		char text[STORE_ID_TEXT_BYTES];
		if (rc != -ENOENT)
			log_event(LOG_ERROR, "message-unreadable", LOG_C("id", store_id_text(id, text)),
				  LOG_C("error", strerror(-rc)));
		if (rc != -ENOENT && rc != -EBADMSG) /* not the message's fault: the store's */
			relay_defer(r, id | DUE_REGARDLESS, clock_wall_ms() + UNREADABLE_DELAY_MS);
		return;
	}
	if ((e->flags & ENVELOPE_HELD) != 0 || is_stale(entry, e)) {
		envelope_free(e);
		return;
	}
	if (e->release_wall_ms > clock_wall_ms()) { /* whoever was in a hurry (RFC 4865 4.2 (5), (6)) */
		relay_defer(r, id | DUE_REGARDLESS, e->release_wall_ms);
		envelope_free(e);
		return;
	}
	struct message *m = message_new(e, &none);
	add_active(r, m);
	relay_activate(r, m);
}

/* Fills the active set: what destinations ask for, then what is due. */
static void pull(void *ctx)
{
	struct relay *r = ctx;
	struct wanted *w;

	while (!r->stopping && r->active_count < ACTIVE_MAX && (w = TAILQ_FIRST(&r->wanted)) != NULL) {
		TAILQ_REMOVE(&r->wanted, w, next);
		uint64_t id = destination_take_waiting(w->destination);
		if (id == 0) {
			free(w);
			continue;
		}
		TAILQ_INSERT_TAIL(&r->wanted, w, next); /* one each in turn */
		load_and_activate(r, id, NULL);
	}
	int64_t now_ms = clock_wall_ms();
	while (!r->stopping && r->active_count < ACTIVE_MAX && r->heap_count > 0 &&
	       r->heap[0].wall_ms <= now_ms) {
		struct due entry = relay_due_pop(r);
		load_and_activate(r, entry.id & DUE_ID, &entry);
	}
	relay_set_timer(r);
}

static void on_wanted(void *ctx, struct destination *d)
{
	struct relay *r = ctx;
	struct wanted *w = calloc(1, sizeof(*w));
	if (w == NULL)
		abort();
	w->destination = d;
	TAILQ_INSERT_TAIL(&r->wanted, w, next);
	task_schedule(r->pull);
}

void relay_take(struct relay *r, struct envelope *envelope, struct buf *content)
{
	bool by_hand = relay_is_ordered(r, envelope->id); /* somebody saw it in the store and was quicker */
	bool early = envelope->release_wall_ms > clock_wall_ms();
	if (r->stopping || by_hand || early || r->active_count >= ACTIVE_MAX) {
		if (!by_hand)
			relay_defer(r, envelope->id, envelope->due_wall_ms);
		envelope_free(envelope);
		buf_free(content);
		return;
	}
	if (r->content_bytes + buf_bytes(content) > CONTENT_BYTES_MAX)
		buf_free(content);
	struct message *m = message_new(envelope, content);
	add_active(r, m);
	relay_activate(r, m);
}

/* ---- commands ---- */

void relay_flush(struct relay *r)
{
	struct due *old = r->heap;
	uint32_t count = r->heap_count;
	int64_t now_ms = clock_wall_ms();

	r->heap = NULL;
	r->heap_count = r->heap_room = 0;
	for (uint32_t i = 0; i < count; i++)
		relay_due_add(r, (struct due){ .wall_ms = now_ms, .id = old[i].id | DUE_REGARDLESS });
	free(old);
	destinations_retry_all(r->destinations);
	task_schedule(r->pull);
}

void relay_flush_domain(struct relay *r, struct span domain)
{
	static const enum tls_wish wishes[] = { TLS_WISH_NONE, TLS_WISH_REQUIRED, TLS_WISH_OPTIONAL };
	char text[IDNA_NAME_BYTES_MAX + 1];
	struct span key = relay_destination_key(domain, text);

	for (size_t i = 0; i < sizeof(wishes) / sizeof(wishes[0]); i++)
		destination_retry_now(destinations_find(r->destinations, key, wishes[i]));
}

void relay_hasten(struct relay *r, uint64_t id)
{
	if (relay_find_active(r, id) == NULL && !relay_is_ordered(r, id))
		relay_defer(r, id | DUE_EXTRA, clock_wall_ms());
}

bool relay_is_active(struct relay *r, uint64_t id)
{
	return relay_find_active(r, id) != NULL;
}

bool relay_look(const struct relay *r, struct span domain, enum tls_wish wish,
		struct destination_view *ret_view)
{
	char text[IDNA_NAME_BYTES_MAX + 1];

	return destinations_look(r->destinations, relay_destination_key(domain, text), wish, ret_view);
}

struct relay_counts relay_counts(const struct relay *r)
{
	return (struct relay_counts){ .active = r->active_count,
				      .waiting = destinations_waiting_count(r->destinations),
				      .held = r->held_count,
				      .connections = destinations_connection_count(r->destinations) };
}

/* ---- beginning and end ---- */

static bool note_queued(void *ctx, uint64_t id, const struct envelope_glance *g)
{
	struct relay *r = ctx;

	if ((g->flags & ENVELOPE_HELD) != 0)
		r->held_count++;
	else
		relay_due_add(r, (struct due){ .wall_ms = g->due_wall_ms, .id = id });
	return true;
}

struct relay *relay_new(struct server *server)
{
	struct relay *r = calloc(1, sizeof(*r));
	if (r == NULL)
		abort();
	r->server = server;
	TAILQ_INIT(&r->wanted);
	r->timer = timer_new(server->loop, pull, r);
	r->pull = task_new(server->loop, pull, r);
	r->destinations = destinations_new(
		server,
		&(struct destinations_owner){ .ctx = r, .on_ended = relay_on_ended, .on_wanted = on_wanted });
	int rc = MUTANT(RELAY_QUEUE_FORGOTTEN) ? 0 : queue_scan(server->store, 0, note_queued, r);
	if (rc != 0)
		log_event(LOG_ERROR, "queue-unreadable", LOG_C("error", strerror(-rc)));
	if (r->heap_count + r->held_count > 0)
		log_event(LOG_INFO, "queue-found", LOG_I("messages", r->heap_count + r->held_count),
			  LOG_I("held", r->held_count));
	relay_set_timer(r);
	return r;
}

void relay_stop(struct relay *r)
{
	r->stopping = true;
	relay_set_timer(r);
	destinations_stop(r->destinations);
}

bool relay_is_idle(const struct relay *r)
{
	return r->storing_count == 0 && destinations_connection_count(r->destinations) == 0;
}

void relay_free(struct relay *r)
{
	if (r == NULL)
		return;
	struct message *m, *next;
	struct wanted *w;

	destinations_free(r->destinations);
	HASH_ITER(hh, r->active, m, next)
	{
		HASH_DEL(r->active, m);
		message_free(m);
	}
	while ((w = TAILQ_FIRST(&r->wanted)) != NULL) {
		TAILQ_REMOVE(&r->wanted, w, next);
		free(w);
	}
	struct ordered *o, *next_ordered;
	HASH_ITER(hh, r->ordered, o, next_ordered)
	{
		HASH_DEL(r->ordered, o);
		o->relay = NULL; /* the store still has the order, and ends it when it closes */
	}
	timer_free(r->timer);
	task_free(r->pull);
	free(r->heap);
	free(r);
}
