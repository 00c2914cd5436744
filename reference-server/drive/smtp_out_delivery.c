#include "reference-server/drive/smtp_out_parts.h"

#include "reference-server/core/mutant.h"
#include "reference-server/drive/content_job.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	OUTPUT_BYTES_MAX = 256 * 1024, /* of content waiting for the kernel */
	PIECE_BYTES = 64 * 1024,       /* given to the client at a time */
	READ_BYTES = 256 * 1024,       /* of a body, from the store */
};

static void on_read(void *ctx, struct content_job *j);
static void on_converted(void *ctx, struct content_job *j);

static_assert(SMTP_NOTIFY_NEVER == (int)NOTIFY_NEVER && SMTP_NOTIFY_SUCCESS == (int)NOTIFY_SUCCESS &&
		      SMTP_NOTIFY_FAILURE == (int)NOTIFY_FAILURE && SMTP_NOTIFY_DELAY == (int)NOTIFY_DELAY,
	      "the queue and the protocol say it alike");

static enum smtp_ret wanted_return(const struct envelope *e)
{
	if (e->flags & ENVELOPE_RET_FULL)
		return SMTP_RET_FULL;
	return e->flags & ENVELOPE_RET_HDRS ? SMTP_RET_HDRS : SMTP_RET_UNSAID;
}

/* It goes on now, or comes back with a verdict. */
static void start(struct smtp_out *o, struct handover *d)
{
	const struct envelope *e = d->message->envelope;
	bool converted = buf_bytes(&d->converted) > 0;
	uint32_t flags = converted ? 0 : e->flags;
	uint32_t has = smtp_client_extensions(&o->client);
	bool utf8 = (e->flags & ENVELOPE_SMTPUTF8) != 0 && (has & SMTP_EXT_SMTPUTF8) != 0;
	int64_t by_ms = e->deliver_by_wall_ms -
			(MUTANT(RELAY_BY_STANDS_STILL) ? e->arrival_wall_ms : clock_wall_ms());
	struct span reverse_path = span_of(e->reverse_path);

	if (d->results == NULL)
		d->results = calloc(d->rcpt_count, sizeof(*d->results));
	if (d->results == NULL)
		abort();
	o->in_flight[o->in_flight[0] == NULL ? 0 : 1] = d;
	o->message_count++;
	o->idle = false;
	handover_wish(d, e->deliver_by_wall_ms != 0 && by_ms > 0 && (has & SMTP_EXT_DELIVERBY) == 0 &&
				 !MUTANT(RELAY_BY_ADDS_NO_DELAY));
	if ((e->flags & ENVELOPE_SMTPUTF8) != 0 && !utf8 && !MUTANT(RELAY_U_LABELS_ANYWAY))
		reverse_path = handover_use_ascii(d);
	smtp_client_start(
		&o->client,
		&(struct smtp_client_message){
			.tag = d,
			.reverse_path = reverse_path,
			.rcpts = d->rcpts,
			.results = d->results,
			.rcpt_count = d->rcpt_count,
			.content_bytes = converted ? buf_bytes(&d->converted) : message_bytes(d->message),
			.content_8bit = (flags & ENVELOPE_CONTENT_8BIT) != 0,
			.content_binary = (flags & ENVELOPE_BINARYMIME) != 0,
			.utf8 = utf8,
			.envid = span_of(e->envid),
			.ret = wanted_return(e),
			.wishes = d->wishes,
			/* A notification is rather sent in clear text than lost (RFC 8689 5). */
			.require_tls = envelope_requires_tls(e),
			.prefer_tls = (e->flags & ENVELOPE_REQUIRETLS) != 0,
			.has_by = e->deliver_by_wall_ms != 0,
			.by_return = (e->flags & ENVELOPE_BY_RETURN) != 0,
			.by_trace = (e->flags & ENVELOPE_BY_TRACE) != 0,
			.by_s = by_ms / 1000,
		});
}

/* Its content does not pass as it is (RFC 6152 3, RFC 3030 3, RFC 6531 3.6). */
static bool needs_conversion(const struct smtp_out *o, const struct envelope *e)
{
	uint32_t has = smtp_client_extensions(&o->client);
	uint32_t binary = SMTP_EXT_CHUNKING | SMTP_EXT_BINARYMIME;

	if ((e->flags & ENVELOPE_BINARYMIME) != 0 && (has & binary) != binary)
		return !MUTANT(RELAY_BINARY_UNASKED);
	if ((e->flags & ENVELOPE_CONTENT_8BIT) == 0 || MUTANT(RELAY_8BIT_UNASKED))
		return false;
	return (has & SMTP_EXT_8BITMIME) == 0 ||
	       ((e->flags & ENVELOPE_SMTPUTF8) != 0 && (has & SMTP_EXT_SMTPUTF8) == 0);
}

bool smtp_out_is_done(const struct smtp_out *o)
{
	return o->finishing || o->message_count >= o->config->outbound.messages_per_connection_max ||
	       smtp_client_is_spent(&o->client) || o->config != o->server->config;
}

bool smtp_out_start_next(struct smtp_out *o)
{
	if (o->conversion != NULL)
		return false;
	if (o->preparing != NULL) {
		struct handover *prepared = o->preparing;
		o->preparing = NULL;
		start(o, prepared);
		return true;
	}
	if (smtp_out_is_done(o))
		return false;
	struct handover *d = o->owner.next(o->owner.ctx, o);
	if (d == NULL)
		return false;
	if (needs_conversion(o, d->message->envelope) && buf_bytes(&d->converted) == 0) {
		o->preparing = d;
		o->conversion = content_job_convert(o->server, d->message, on_converted, o);
		return false;
	}
	start(o, d);
	return true;
}

static void stop_reading(struct smtp_out *o);

void smtp_out_on_done(struct smtp_out *o)
{
	struct smtp_client_message m = smtp_client_take_done(&o->client);
	struct handover *d = m.tag;

	assert(o->in_flight[0] == d);
	o->in_flight[0] = o->in_flight[1];
	o->in_flight[1] = NULL;
	if (o->sending == d)
		o->sending = NULL;
	if (o->read_for == d)
		stop_reading(o);
	char at[56];
	(void)snprintf(d->remote_mta, sizeof(d->remote_mta), "%s [%s]", smtp_out_host(o)->name,
		       addr_format_ip(&smtp_out_target(o)->at, at));
	d->peer_keeps_time = (smtp_client_extensions(&o->client) & SMTP_EXT_DELIVERBY) != 0;
	d->peer_notifies = (smtp_client_extensions(&o->client) & SMTP_EXT_DSN) != 0;
	o->owner.on_result(o->owner.ctx, o, d);
}

static void on_read(void *ctx, struct content_job *j)
{
	struct smtp_out *o = ctx;

	assert(o->reading == j);
	o->read_done = true;
	o->content_blocked = false;
	smtp_out_pump(o);
}

static void stop_reading(struct smtp_out *o)
{
	content_job_free(o->reading);
	o->reading = NULL;
	o->read_for = NULL;
}

enum content { CONTENT_HERE, CONTENT_LATER, CONTENT_LOST };

/* Body bytes from the store, read by a helper. */
static enum content read_body(struct smtp_out *o, struct handover *d, uint64_t offset, struct span *ret_bytes,
			      int *ret_rc)
{
	struct content_job *j = o->reading;

	if (j != NULL && o->read_for == d && !o->read_done)
		return CONTENT_LATER;
	if (j != NULL && o->read_for == d && j->rc != 0) {
		*ret_rc = j->rc;
		stop_reading(o);
		return CONTENT_LOST;
	}
	if (j != NULL && o->read_for == d && offset >= j->offset &&
	    offset - j->offset < buf_bytes(&j->bytes)) {
		*ret_bytes =
			span_sub(buf_span(&j->bytes), (size_t)(offset - j->offset), buf_bytes(&j->bytes));
		return CONTENT_HERE;
	}
	stop_reading(o);
	o->read_for = d;
	o->read_done = false;
	o->reading = content_job_read(o->server, d->message, offset, READ_BYTES, on_read, o);
	return CONTENT_LATER;
}

static enum content peek_content(struct smtp_out *o, struct handover *d, uint64_t offset,
				 struct span *ret_bytes, int *ret_rc)
{
	const struct message *m = d->message;
	uint64_t prefix_bytes = buf_bytes(&m->envelope->prefix);

	if (buf_bytes(&d->converted) > 0) {
		*ret_bytes = span_sub(buf_span(&d->converted), (size_t)offset, buf_bytes(&d->converted));
		return CONTENT_HERE;
	}
	if (offset >= prefix_bytes && !m->in_memory && offset < message_bytes(m))
		return read_body(o, d, offset - prefix_bytes, ret_bytes, ret_rc);
	*ret_rc = message_peek(m, o->server->store, offset, NULL, 0, ret_bytes);
	return *ret_rc == 0 ? CONTENT_HERE : CONTENT_LOST;
}

/* Gives content until the output is full or there is no more. */
void smtp_out_send_content(struct smtp_out *o)
{
	struct handover *d = o->in_flight[0];

	assert(d != NULL);
	if (o->sending != d) {
		o->sending = d;
		o->sent_bytes = 0;
	}
	uint64_t total_bytes =
		buf_bytes(&d->converted) > 0 ? buf_bytes(&d->converted) : message_bytes(d->message);
	for (;;) {
		struct span bytes = { NULL, 0 };
		int rc = 0;
		if (buf_bytes(&o->out) + conn_output_bytes(o->conn) > OUTPUT_BYTES_MAX) {
			o->content_blocked = true;
			return;
		}
		switch (peek_content(o, d, o->sent_bytes, &bytes, &rc)) {
		case CONTENT_HERE:
			break;
		case CONTENT_LATER:
			o->content_blocked = true;
			return;
		case CONTENT_LOST:
			smtp_client_abort_content(&o->client, span_of(strerror(-rc)));
			return;
		}
		bytes = span_sub(bytes, 0, PIECE_BYTES);
		o->sent_bytes += bytes.n;
		if (!smtp_client_content(&o->client, bytes, o->sent_bytes == total_bytes))
			return;
	}
}

/* ---- content that does not pass as it is ---- */

/* Why content cannot be made fit for this next hop.  Another may take it as it is, but nobody waits for that. */
static void refuse_prepared(struct smtp_out *o, const struct content_job *j)
{
	static const struct {
		uint16_t detail;
		const char *text;
	} reasons[] = {
		[CONVERT_HEADER] = { 9, "the header is not ASCII, and the next hop does not offer SMTPUTF8" },
		[CONVERT_SIGNED] = { 3,
				     "a signed part has 8-bit bytes, and the next hop does not take them" },
		[CONVERT_MALFORMED] = { 3, "content has bytes that the next hop does not take, and no MIME "
					   "structure "
					   "that they could be encoded in" },
	};
	struct handover *d = o->preparing;
	struct smtp_result r;

	if (j->rc != 0)
		smtp_result_set(&r, SMTP_CLASS_TEMPORARY, SMTP_STAGE_CONTENT, 0,
				(struct smtp_status){ 4, 3, 0 }, span_of(strerror(-j->rc)));
	else
		smtp_result_set_own(&r, SMTP_CLASS_PERMANENT, SMTP_STAGE_MAIL, 6,
				    reasons[j->converted].detail, reasons[j->converted].text);
	o->preparing = NULL;
	handover_set_all(d, &r);
	o->owner.on_result(o->owner.ctx, o, d);
}

static void on_converted(void *ctx, struct content_job *j)
{
	struct smtp_out *o = ctx;
	struct handover *d = o->preparing;

	assert(o->conversion == j && d != NULL);
	o->conversion = NULL;
	if (j->rc != 0 || j->converted != CONVERT_OK) {
		refuse_prepared(o, j);
	} else {
		d->converted = j->bytes;
		j->bytes = (struct buf){ 0 };
	}
	content_job_free(j);
	smtp_out_pump(o);
}

/* Never started: as good as untouched. */
void smtp_out_hand_back_prepared(struct smtp_out *o)
{
	struct handover *d = o->preparing;
	struct smtp_result r;

	if (d == NULL)
		return;
	o->preparing = NULL;
	smtp_result_set_own(&r, SMTP_CLASS_NOT_TRIED, SMTP_STAGE_MAIL, 4, 2,
			    "the connection was lost before the message's turn");
	handover_set_all(d, &r);
	o->owner.on_result(o->owner.ctx, o, d);
}
