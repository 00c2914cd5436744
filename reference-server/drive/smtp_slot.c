#include "reference-server/drive/smtp_session_parts.h"

#include <stdlib.h>

void smtp_slot_emit(void *ctx, struct span line)
{
	struct smtp_session *s = ctx;
	struct smtp_slot *last = TAILQ_LAST(&s->slots, smtp_slots);

	if (last != NULL) {
		buf_add(&last->after, line);
		s->owed_bytes += line.n;
	} else {
		conn_write(s->conn, line);
	}
}

struct smtp_slot *smtp_slot_reserve(struct smtp_session *s, struct smtp_incoming *m)
{
	struct smtp_slot *slot = calloc(1, sizeof(*slot));
	if (slot == NULL)
		abort();
	slot->message = m;
	TAILQ_INSERT_TAIL(&s->slots, slot, next);
	s->slot_count++;
	return slot;
}

static void free_slot(struct smtp_slot *slot)
{
	buf_free(&slot->reply);
	buf_free(&slot->after);
	free(slot);
}

static void write_filled_slots(struct smtp_session *s)
{
	struct smtp_slot *slot;

	while ((slot = TAILQ_FIRST(&s->slots)) != NULL && slot->message == NULL) {
		conn_write(s->conn, buf_span(&slot->reply));
		conn_write(s->conn, buf_span(&slot->after));
		TAILQ_REMOVE(&s->slots, slot, next);
		s->slot_count--;
		s->owed_bytes -= buf_bytes(&slot->after);
		free_slot(slot);
	}
}

void smtp_slot_fill(struct smtp_session *s, struct smtp_slot *slot, uint32_t reply_count,
		    enum smtp_answer answer, struct span queue_id)
{
	for (uint32_t i = 0; i < reply_count; i++)
		smtp_server_add_final_reply(&slot->reply, answer, queue_id);
	slot->message = NULL;
	if (s->slot_count == 1)
		smtp_session_progress(s);
	write_filled_slots(s);
	if (s->closing || s->tls_due)
		smtp_session_after_slots(s);
	else
		smtp_session_unstall(s);
}

void smtp_slot_free_all(struct smtp_session *s)
{
	struct smtp_slot *slot;

	while ((slot = TAILQ_FIRST(&s->slots)) != NULL) {
		TAILQ_REMOVE(&s->slots, slot, next);
		if (slot->message != NULL) {
			slot->message->slot = NULL;
			slot->message->session = NULL;
		}
		free_slot(slot);
	}
}
