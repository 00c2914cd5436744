#include "reference-server/drive/relay_parts.h"

#include "base/log.h"

#include <errno.h>
#include <stdlib.h>

bool relay_is_ordered(struct relay *r, uint64_t id)
{
	struct ordered *o;
	HASH_FIND(hh, r->ordered, &id, sizeof(id), o);
	return o != NULL;
}

static void after_order(struct relay *r, const struct ordered *o)
{
	bool held = o->order == QUEUE_HOLD;

	r->held_count += held;
	r->held_count -= o->was_held && r->held_count > 0;
	if (o->order == QUEUE_RELEASE || o->order == QUEUE_REQUEUE)
		relay_defer(r, o->id, o->envelope->due_wall_ms);
	for (uint32_t i = 0; o->order == QUEUE_REQUEUE && i < o->envelope->recipient_count; i++)
		if (o->envelope->recipients[i].state == RECIPIENT_PENDING)
			destination_retry_now(
				relay_destination_of(r, o->envelope, &o->envelope->recipients[i]));
}

static void on_ordered(void *ctx, int result)
{
	static const char *const events[] = { [QUEUE_HOLD] = "held",
					      [QUEUE_RELEASE] = "released",
					      [QUEUE_REQUEUE] = "requeued",
					      [QUEUE_DROP] = "dropped" };
	struct ordered *o = ctx;
	char id[STORE_ID_TEXT_BYTES];

	if (o->relay != NULL)
		HASH_DEL(o->relay->ordered, o);
	if (result == 0 && o->relay != NULL) {
		log_event(LOG_INFO, events[o->order], LOG_C("id", store_id_text(o->id, id)));
		after_order(o->relay, o);
	}
	if (o->done != NULL)
		o->done(o->ctx, result);
	envelope_free(o->envelope);
	free(o);
}

int relay_order(struct relay *r, uint64_t id, enum queue_order order, store_done_fn *done, void *ctx)
{
	struct envelope *e = NULL;

	if (relay_find_active(r, id) != NULL || relay_is_ordered(r, id))
		return -EBUSY;
	int rc = queue_load_for_order(r->server->store, id, order, &e);
	if (rc != 0)
		return rc;
	bool was_held = (e->flags & ENVELOPE_HELD) != 0;
	rc = queue_apply_order(e, order, clock_wall_ms());
	if (rc != 0) {
		envelope_free(e);
		return rc;
	}
	struct ordered *o = calloc(1, sizeof(*o));
	if (o == NULL)
		abort();
	*o = (struct ordered){ .id = id,
			       .relay = r,
			       .order = order,
			       .was_held = was_held,
			       .envelope = e,
			       .done = done,
			       .ctx = ctx };
	HASH_ADD(hh, r->ordered, id, sizeof(o->id), o);
	/* Entries in the heap, or with a destination, find nothing to do when their time comes. */
	queue_submit(r->server->store,
		     &(struct queue_change){ .row = order == QUEUE_DROP ? QUEUE_REMOVE : QUEUE_UPDATE,
					     .message = e },
		     on_ordered, o);
	return 0;
}
