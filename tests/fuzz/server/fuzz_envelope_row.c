/*
 * Envelope rows: whatever bytes are read, a row that is accepted is exactly the
 * row its envelope is written as, keeps every limit, and tells the same times
 * and body when only peeked at.
 */
#include <assert.h>
#include <string.h>

#include "reference-server/store/envelope.h"
#include "tests/fuzz/fuzz.h"

static void check_limits(const struct envelope *e)
{
	assert(strlen(e->reverse_path) <= ENVELOPE_PATH_BYTES_MAX);
	assert(buf_bytes(&e->prefix) <= ENVELOPE_PREFIX_BYTES_MAX);
	assert(e->recipient_count <= ENVELOPE_RECIPIENTS_MAX);
	for (uint32_t i = 0; i < e->recipient_count; i++) {
		const struct recipient *r = &e->recipients[i];
		assert(strlen(r->address) <= ENVELOPE_PATH_BYTES_MAX);
		assert(strlen(r->original) <= ENVELOPE_PATH_BYTES_MAX);
		assert(strlen(r->reply_text) <= ENVELOPE_TEXT_BYTES_MAX);
		assert(strlen(r->remote_mta) <= ENVELOPE_TEXT_BYTES_MAX);
		assert(strlen(r->orcpt) <= ENVELOPE_ORCPT_BYTES_MAX);
		assert(r->state <= RECIPIENT_FAILED);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span row = { (const char *)data, size };
	struct buf again = { 0 };
	struct envelope_glance glance;
	uint64_t body_id;
	uint64_t body_bytes;

	struct envelope *e = envelope_unpack(7, row);
	bool times = envelope_peek(row, &glance);
	bool body = envelope_peek_body(row, &body_id, &body_bytes);
	if (e == NULL)
		return 0;
	check_limits(e);
	assert(e->id == 7);
	assert(times && glance.due_wall_ms == e->due_wall_ms &&
	       glance.arrival_wall_ms == e->arrival_wall_ms && glance.flags == e->flags);
	assert(body && body_id == e->body_id && body_bytes == e->body_bytes);
	envelope_pack(e, &again);
	assert(span_eq(buf_span(&again), row));
	buf_free(&again);
	envelope_free(e);
	return 0;
}
