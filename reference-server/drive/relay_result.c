#include "reference-server/drive/relay_parts.h"
#include "reference-server/core/mutant.h"

#include "base/log.h"

#include <assert.h>
#include <stdlib.h>

void relay_log_result(const struct message *m, const struct recipient *rcpt, const char *event,
		      const struct smtp_result *result, const char *where)
{
	char id[STORE_ID_TEXT_BYTES];
	log_event(LOG_INFO, event, LOG_C("id", store_id_text(m->id, id)), LOG_C("rcpt", rcpt->address),
		  LOG_C("via", where), LOG_C("stage", smtp_stage_name(result->stage)),
		  LOG_I("code", result->code), LOG_S("text", smtp_result_text(result)));
}

void relay_report(struct message *m, const struct recipient *rcpt, uint8_t bits)
{
	m->to_report[rcpt - m->envelope->recipients] |= bits;
}

void relay_record(struct message *m, struct recipient *rcpt, const struct smtp_result *result,
		  enum recipient_state state, const char *where)
{
	if (state == RECIPIENT_FAILED)
		relay_report(m, rcpt, REPORT(DSN_FAILED));
	struct buf status = { 0 };

	if (result->status.class_digit != 0)
		smtp_status_add(&status, result->status);
	recipient_set_result(rcpt, state, result->code, buf_span(&status), smtp_result_text(result),
			     span_of(where));
	buf_free(&status);
	rcpt->attempt_count++;
	rcpt->last_attempt_wall_ms = clock_wall_ms();
	m->attempted = true;
}

/*
 * RFC 3461 5.2.2 (b): asked for, and there is nobody further on who would tell.  RFC 2852 4.1.4: asked to be
 * told of each relaying, or the time does not travel on.
 */
static bool is_relaying_reported(const struct envelope *e, const struct recipient *rcpt,
				 const struct handover *d)
{
	if ((rcpt->notify & NOTIFY_NEVER) != 0)
		return false;
	if (e->deliver_by_wall_ms != 0 && ((e->flags & ENVELOPE_BY_TRACE) != 0 ||
					   (!d->peer_keeps_time && clock_wall_ms() < e->deliver_by_wall_ms)))
		return true;
	return !d->peer_notifies && (rcpt->notify & NOTIFY_SUCCESS) != 0 && !MUTANT(RELAY_NO_RELAYED_DSN);
}

/*
 * One recipient.  Who answered is kept, not where it was to go: where nobody was reached a notification names no
 * remote MTA (RFC 3464 2.3.5).  True when it has to go into another transaction. */
static bool take_result(struct counters *count, struct message *m, struct recipient *rcpt,
			const struct smtp_result *result, const char *where, const struct handover *d)
{
	switch (result->class_) {
	case SMTP_CLASS_OK:
		count->delivered++;
		relay_log_result(m, rcpt, "delivered", result, where);
		if (is_relaying_reported(m->envelope, rcpt, d))
			relay_report(m, rcpt, REPORT(DSN_RELAYED));
		relay_record(m, rcpt, result,
			     MUTANT(RELAY_SENDS_TWICE) ? RECIPIENT_PENDING : RECIPIENT_DELIVERED, where);
		return false;
	case SMTP_CLASS_PERMANENT:
		count->failed++;
		relay_log_result(m, rcpt, "failed", result, where);
		relay_record(m, rcpt, result, RECIPIENT_FAILED, d->remote_mta);
		return false;
	case SMTP_CLASS_TEMPORARY:
		count->deferred++;
		relay_log_result(m, rcpt, result->in_doubt ? "deferred-in-doubt" : "deferred", result, where);
		relay_record(m, rcpt, result, RECIPIENT_PENDING, d->remote_mta);
		return false;
	case SMTP_CLASS_TOO_MANY:
	case SMTP_CLASS_NOT_TRIED:
		return true;
	case SMTP_CLASS_COUNT:
		break;
	}
	abort();
}

void relay_on_ended(void *ctx, struct handover *d, bool held)
{
	struct relay *r = ctx;
	struct message *m = d->message;
	struct handover *again = NULL;
	bool progressed = false;

	if (held) {
		m->held_for = d->destination;
	} else {
		assert(d->results != NULL);
		for (uint32_t i = 0; i < d->rcpt_count; i++) {
			struct recipient *rcpt = &m->envelope->recipients[d->indexes[i]];
			progressed |= d->results[i].class_ == SMTP_CLASS_OK;
			const char *where =
				d->remote_mta[0] != '\0' ? d->remote_mta : destination_name(d->destination);
			if (!take_result(&r->server->counters, m, rcpt, &d->results[i], where, d) ||
			    m->again_count >= TRY_AGAIN_MAX)
				continue;
			if (again == NULL)
				again = handover_new(m, d->destination, d->rcpt_count);
			handover_add(again, d->indexes[i]);
		}
	}
	struct destination *to = d->destination;
	handover_free(d);
	if (again != NULL) {
		m->again_count += !progressed; /* what moves on ends by itself */
		destination_submit(to, again);
		return;
	}
	assert(m->open_count > 0);
	if (--m->open_count == 0)
		relay_settle(r, m);
}
