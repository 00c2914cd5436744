#include "reference-server/drive/message.h"

#include "reference-server/store/body.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

static void *must(void *p)
{
	if (p == NULL)
		abort();
	return p;
}

struct message *message_new(struct envelope *envelope, struct buf *content)
{
	struct message *m = must(calloc(1, sizeof(*m)));

	m->id = envelope->id;
	m->envelope = envelope;
	m->to_report = must(calloc(envelope->recipient_count + 1, sizeof(*m->to_report)));
	if (buf_bytes(content) > 0) {
		assert(buf_bytes(content) == envelope->body_bytes);
		m->content = *content;
		m->in_memory = true;
		*content = (struct buf){ 0 };
	}
	return m;
}

void message_free(struct message *m)
{
	if (m == NULL)
		return;
	envelope_free(m->envelope);
	buf_free(&m->content);
	free(m->to_report);
	free(m);
}

uint64_t message_bytes(const struct message *m)
{
	return buf_bytes(&m->envelope->prefix) + m->envelope->body_bytes;
}

int message_peek(const struct message *m, struct store *store, uint64_t offset, char *scratch,
		 size_t scratch_bytes, struct span *ret_bytes)
{
	struct span prefix = buf_span(&m->envelope->prefix);

	*ret_bytes = (struct span){ NULL, 0 };
	if (offset < prefix.n) {
		*ret_bytes = span_sub(prefix, (size_t)offset, prefix.n);
		return 0;
	}
	offset -= prefix.n;
	if (offset >= m->envelope->body_bytes)
		return 0;
	if (m->in_memory) {
		struct span body = buf_span(&m->content);
		*ret_bytes = span_sub(body, (size_t)offset, body.n);
		return 0;
	}
	ssize_t n = body_read(store, m->envelope->body_id, offset, scratch, scratch_bytes);
	if (n < 0)
		return (int)n;
	if (n == 0)
		return -EIO; /* shorter than its envelope says */
	*ret_bytes = (struct span){ scratch, (size_t)n };
	return 0;
}

struct handover *handover_new(struct message *m, struct destination *to, uint32_t rcpt_count_max)
{
	struct handover *d = must(calloc(1, sizeof(*d)));

	d->message = m;
	d->destination = to;
	d->indexes = must(calloc(rcpt_count_max, sizeof(*d->indexes)));
	d->rcpts = must(calloc(rcpt_count_max, sizeof(*d->rcpts)));
	return d;
}

void handover_add(struct handover *d, uint32_t recipient_index)
{
	d->indexes[d->rcpt_count] = recipient_index;
	d->rcpts[d->rcpt_count] = span_of(d->message->envelope->recipients[recipient_index].address);
	d->rcpt_count++;
}

void handover_free(struct handover *d)
{
	if (d == NULL)
		return;
	free(d->indexes);
	free(d->rcpts);
	free(d->results);
	free(d);
}

void handover_set_all(struct handover *d, const struct smtp_result *result)
{
	if (d->results == NULL)
		d->results = must(calloc(d->rcpt_count, sizeof(*d->results)));
	for (uint32_t i = 0; i < d->rcpt_count; i++)
		d->results[i] = *result;
}
