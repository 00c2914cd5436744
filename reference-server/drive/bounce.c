#include "reference-server/drive/bounce.h"

#include "base/random.h"
#include "reference-server/core/dsn.h"
#include "reference-server/core/trace.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct smtp_status status_of(const struct recipient *r, bool expired)
{
	struct smtp_status status;
	struct span text = span_of(r->enhanced);
	uint8_t class_digit = text.n > 0 && text.p[0] == '4' ? 4 : 5;

	if (smtp_status_parse(text, class_digit, &status))
		return status;
	if (expired) /* RFC 3463 3.5: delivery time expired */
		return (struct smtp_status){ .class_digit = 4, .subject = 4, .detail = 7 };
	return (struct smtp_status){ .class_digit = 5 };
}

/* As much of the message as the header of a notification may want. */
static void read_header(struct server *server, const struct message *m, struct buf *b)
{
	char scratch[4096];

	while (buf_bytes(b) < DSN_HEADER_BYTES_MAX) {
		struct span more;
		if (message_peek(m, server->store, buf_bytes(b), scratch, sizeof(scratch), &more) != 0 ||
		    more.n == 0)
			break;
		buf_add(b, span_sub(more, 0, DSN_HEADER_BYTES_MAX));
	}
	struct span all = buf_span(b);
	const char *end = all.n > 0 ? memmem(all.p, all.n, "\r\n\r\n", 4) : NULL;
	if (end != NULL)
		buf_truncate(b, (size_t)(end - all.p) + 2);
}

static void fill_recipients(const struct message *m, const bool *failed, bool expired, struct dsn_rcpt *rcpts)
{
	for (uint32_t i = 0; i < m->envelope->recipient_count; i++) {
		const struct recipient *r = &m->envelope->recipients[i];
		if (!failed[i])
			continue;
		*rcpts++ = (struct dsn_rcpt){
			/* As it was when we took the message (RFC 3464 2.3.2): an alias keeps what is behind it. */
			.final_rcpt = span_of(r->original),
			.status = status_of(r, expired),
			.smtp_code = r->reply_code,
			.text = span_of(r->reply_text),
			.remote_mta = span_of(r->remote_mta),
			.last_attempt_ms = r->last_attempt_wall_ms,
			.expired = expired,
		};
	}
}

struct envelope *bounce_make(struct server *server, const struct message *m, const bool *failed, bool expired,
			     struct buf *ret_content)
{
	const struct envelope *original = m->envelope;
	uint32_t count = 0;

	for (uint32_t i = 0; i < original->recipient_count; i++)
		count += failed[i];
	if (original->reverse_path[0] == '\0' || count == 0)
		return NULL;

	struct dsn_rcpt *rcpts = calloc(count, sizeof(*rcpts));
	struct buf header = { 0 }, message_id = { 0 };
	char queue_id[STORE_ID_TEXT_BYTES], boundary[48];
	uint64_t unique[2] = { random_u64(), random_u64() };
	int64_t now_ms = clock_wall_ms();
	if (rcpts == NULL)
		abort();
	fill_recipients(m, failed, expired, rcpts);
	read_header(server, m, &header);
	struct span host = span_of(server->config->hostname);
	trace_add_new_message_id(&message_id, now_ms, (struct span){ (const char *)unique, sizeof(unique) },
				 host);
	(void)snprintf(boundary, sizeof(boundary), "=_%016" PRIx64 "%016" PRIx64, unique[1], unique[0]);
	dsn_add(ret_content, &(struct dsn){
				     .host = host,
				     .to = span_of(original->reverse_path),
				     .message_id = buf_span(&message_id),
				     .boundary = span_of(boundary),
				     .queue_id = span_of(store_id_text(original->id, queue_id)),
				     .now_ms = now_ms,
				     .arrival_ms = original->arrival_wall_ms,
				     .rcpts = rcpts,
				     .rcpt_count = count,
				     .header = buf_span(&header),
			     });
	free(rcpts);
	buf_free(&header);
	buf_free(&message_id);

	struct envelope *e = envelope_new();
	e->id = store_new_id(server->store);
	e->arrival_wall_ms = e->due_wall_ms = now_ms;
	e->flags = ENVELOPE_NOTIFICATION;
	e->body_bytes = buf_bytes(ret_content);
	(void)envelope_add_recipient(e, span_of(original->reverse_path), (struct span){ NULL, 0 });
	return e;
}
