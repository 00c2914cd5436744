#include "reference-server/drive/direct.h"

#include "base/log.h"
#include "reference-server/core/address.h"
#include "reference-server/core/trace.h"
#include "reference-server/drive/bounce.h"
#include "reference-server/drive/directory.h"
#include "reference-server/drive/relay.h"
#include "reference-server/store/queue.h"

#include <stdlib.h>

/* RFC 3461 5.2: those who wanted to hear of the delivery do, from the same transaction. */
static void make_dsn(struct direct *d, struct server *server, struct envelope *e, const struct buf *content,
		     bool streamed)
{
	uint8_t *to_report = calloc(e->recipient_count, sizeof(*to_report));
	if (to_report == NULL)
		abort();
	for (uint32_t i = 0; i < e->recipient_count; i++)
		if (e->recipients[i].state == RECIPIENT_DELIVERED)
			to_report[i] = REPORT(DSN_DELIVERED);
	/* Borrows everything, for this call.  Of a body in progress nothing can be returned yet but our own fields. */
	struct message m = { .id = e->id,
			     .envelope = e,
			     .content = streamed ? (struct buf){ 0 } : *content,
			     .in_memory = true,
			     .to_report = to_report };
	d->dsn = bounce_make(server, &m, &d->dsn_content);
	free(to_report);
}

/* 0: for the relay to deal with. */
static uint32_t account_of(const struct server *server, const struct recipient *rcpt)
{
	struct address a;
	uint32_t account = 0;

	if (address_parse_text(span_of(rcpt->address), &a) != ADDRESS_OK ||
	    directory_account(server->directory, a, &account) != 0)
		return 0;
	return account;
}

void direct_submit(struct direct *d, struct server *server, struct envelope *e, const struct buf *content,
		   bool streamed, store_done_fn *done, void *ctx)
{
	struct delivery *copies = calloc(e->recipient_count, sizeof(*copies));
	struct buf prefix = { 0 };
	if (copies == NULL)
		abort();

	trace_add_return_path(&prefix, span_of(e->reverse_path));
	buf_add(&prefix, buf_span(&e->prefix));
	for (uint32_t i = 0; i < e->recipient_count; i++) {
		/* A Return-Path that has to go first is the relay's matter too. */
		bool fit = (e->flags & ENVELOPE_RETURN_PATH) == 0;
		uint32_t account = fit ? account_of(server, &e->recipients[i]) : 0;
		if (account == 0)
			continue;
		copies[d->delivered_count++] = (struct delivery){ .account_id = account,
								  .arrival_wall_ms = e->arrival_wall_ms,
								  .prefix = buf_span(&prefix) };
		e->recipients[i].state = RECIPIENT_DELIVERED;
	}
	make_dsn(d, server, e, content, streamed);
	bool queued = d->delivered_count < e->recipient_count;
	queue_submit(server->store,
		     &(struct queue_change){ .row = queued ? QUEUE_INSERT : QUEUE_PASS,
					     .message = e,
					     .body = buf_span(content),
					     .deliveries = copies,
					     .delivery_count = d->delivered_count,
					     .dsn = d->dsn,
					     .dsn_body = buf_span(&d->dsn_content) },
		     done, ctx);
	free(copies);
	buf_free(&prefix);
}

bool direct_done(struct direct *d, struct server *server, const struct envelope *e)
{
	char id[STORE_ID_TEXT_BYTES];

	for (uint32_t i = 0; i < e->recipient_count; i++)
		if (e->recipients[i].state == RECIPIENT_DELIVERED)
			log_event(LOG_INFO, "delivered", LOG_C("id", store_id_text(e->id, id)),
				  LOG_C("rcpt", e->recipients[i].address), LOG_C("via", "mailbox"));
	server->counters.delivered += d->delivered_count;
	if (d->dsn != NULL) {
		log_event(LOG_INFO, "notified", LOG_C("id", store_id_text(e->id, id)),
			  LOG_C("to", d->dsn->recipients[0].original));
		server->counters.bounced++;
		relay_take(server->relay, d->dsn, &d->dsn_content);
		d->dsn = NULL;
	}
	return d->delivered_count < e->recipient_count;
}

void direct_release(struct direct *d)
{
	envelope_free(d->dsn);
	buf_free(&d->dsn_content);
}
