#include "reference-server/drive/relay_parts.h"

#include <stdlib.h>

static bool sooner(struct due a, struct due b)
{
	return a.wall_ms != b.wall_ms ? a.wall_ms < b.wall_ms : a.id < b.id;
}

void relay_due_add(struct relay *r, struct due d)
{
	if (r->heap_count == r->heap_room) {
		r->heap_room = r->heap_room > 0 ? r->heap_room * 2 : 1024;
		r->heap = realloc(r->heap, r->heap_room * sizeof(*r->heap));
		if (r->heap == NULL)
			abort();
	}
	uint32_t at = r->heap_count++;
	while (at > 0 && sooner(d, r->heap[(at - 1) / 2])) {
		r->heap[at] = r->heap[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	r->heap[at] = d;
}

struct due relay_due_pop(struct relay *r)
{
	struct due first = r->heap[0];
	struct due last = r->heap[--r->heap_count];
	uint32_t at = 0;

	for (;;) {
		uint32_t child = at * 2 + 1;
		if (child >= r->heap_count)
			break;
		if (child + 1 < r->heap_count && sooner(r->heap[child + 1], r->heap[child]))
			child++;
		if (!sooner(r->heap[child], last))
			break;
		r->heap[at] = r->heap[child];
		at = child;
	}
	r->heap[at] = last;
	return first;
}

void relay_set_timer(struct relay *r)
{
	if (r->stopping || r->heap_count == 0 || r->active_count >= ACTIVE_MAX)
		timer_clear(r->timer);
	else
		timer_set_ms(r->timer, r->heap[0].wall_ms - clock_wall_ms());
}

void relay_defer(struct relay *r, uint64_t id, int64_t due_wall_ms)
{
	relay_due_add(r, (struct due){ .wall_ms = due_wall_ms, .id = id });
	relay_set_timer(r);
}
