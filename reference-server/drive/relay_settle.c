#include "reference-server/drive/relay_parts.h"
#include "reference-server/core/mutant.h"

#include "base/log.h"
#include "base/random.h"
#include "reference-server/policy/retry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint32_t pending_count(const struct message *m)
{
	uint32_t count = 0;
	for (uint32_t i = 0; i < m->envelope->recipient_count; i++)
		count += m->envelope->recipients[i].state == RECIPIENT_PENDING;
	return count;
}

/* Nothing of the operation was stored, because an account went meanwhile: look again who is there. */
static void undo_local(struct storing *s)
{
	for (uint32_t i = 0; i < s->local_count; i++) {
		s->message->envelope->recipients[s->local[i]].state = RECIPIENT_PENDING;
		s->message->to_report[s->local[i]] &= (uint8_t)~REPORT(DSN_DELIVERED);
	}
	s->message->again_count++;
	relay_activate(s->relay, s->message);
}

static void log_local(const struct storing *s)
{
	char id[STORE_ID_TEXT_BYTES];
	for (uint32_t i = 0; i < s->local_count; i++)
		log_event(LOG_INFO, "delivered", LOG_C("id", store_id_text(s->message->id, id)),
			  LOG_C("rcpt", s->message->envelope->recipients[s->local[i]].address),
			  LOG_C("via", "mailbox"));
}

/* From when it could be sent: as set, or to the time that the sender wants it back at (RFC 2852 4.1.2). */
static int64_t time_to_live_ms(const struct relay *r, const struct envelope *e)
{
	int64_t expire_ms = r->server->config->retry.expire_ms;
	int64_t by_ms = e->deliver_by_wall_ms - envelope_ready_wall_ms(e);

	if ((e->flags & ENVELOPE_BY_RETURN) == 0 || e->deliver_by_wall_ms == 0 || by_ms > expire_ms)
		return expire_ms;
	return by_ms > 0 ? by_ms : 1;
}

/*
 * The time of mode N (RFC 2852 4.1.3), of which the sender hears once; 0: none, or told.  One that had passed
 * before the message came is a matter of hosts before us.
 */
static int64_t late_wall_ms(const struct envelope *e)
{
	bool told = (e->flags & (ENVELOPE_BY_RETURN | ENVELOPE_BY_NOTIFIED)) != 0;

	return told || e->deliver_by_wall_ms <= e->arrival_wall_ms ? 0 : e->deliver_by_wall_ms;
}

/* When a sender hears that mail waits (RFC 3461 5.2.5), or that it is late; 0: never, or it has happened. */
static int64_t warning_wall_ms(const struct relay *r, const struct envelope *e)
{
	int64_t delay_ms = r->server->config->notifications.delay_ms;
	int64_t late = late_wall_ms(e);
	int64_t warns = delay_ms == 0 || (e->flags & ENVELOPE_DELAY_NOTIFIED) != 0
				? 0
				: envelope_ready_wall_ms(e) + delay_ms;

	if (warns == 0 || (late != 0 && late < warns))
		warns = late;
	if (e->reverse_path[0] == '\0')
		return 0;
	for (uint32_t i = 0; i < e->recipient_count; i++)
		if (e->recipients[i].state == RECIPIENT_PENDING &&
		    bounce_is_wanted(&e->recipients[i], DSN_DELAYED))
			return warns;
	return 0;
}

/* Everything that is pending waits for the one destination that is down. */
static bool waits_for_one(struct relay *r, const struct message *m)
{
	for (uint32_t i = 0; i < m->envelope->recipient_count; i++)
		if (m->envelope->recipients[i].state == RECIPIENT_PENDING &&
		    relay_destination_of(r, m->envelope, &m->envelope->recipients[i]) != m->held_for)
			return false;
	return m->held_for != NULL;
}

/* When a message that waits for its destination has something to say to its sender whatever happens. */
static int64_t wake_wall_ms(const struct relay *r, const struct envelope *e)
{
	int64_t expires_wall_ms = envelope_ready_wall_ms(e) + time_to_live_ms(r, e);
	int64_t warns_wall_ms = warning_wall_ms(r, e);

	return warns_wall_ms > 0 && warns_wall_ms < expires_wall_ms ? warns_wall_ms : expires_wall_ms;
}

static void after_stored(struct storing *s)
{
	struct relay *r = s->relay;
	struct message *m = s->message;
	char id[STORE_ID_TEXT_BYTES];

	memset(m->to_report, 0, m->envelope->recipient_count * sizeof(*m->to_report));
	log_local(s);
	r->server->counters.delivered += s->local_count;
	r->server->counters.bounced += s->dsn != NULL && !s->converts;
	if (s->dsn != NULL) {
		log_event(LOG_INFO, s->event, LOG_C("id", store_id_text(m->id, id)),
			  LOG_C("to", s->dsn->recipients[0].original));
		relay_take(r, s->dsn, &s->dsn_content);
		s->dsn = NULL;
	}
	if (s->goes_on) {
		relay_submit_remote(r, m);
		return;
	}
	if (s->removes)
		log_event(LOG_INFO, "removed", LOG_C("id", store_id_text(m->id, id)));
	else if (waits_for_one(r, m))
		destination_hold(m->held_for, m->id, wake_wall_ms(r, m->envelope));
	else
		relay_defer(r, m->id, m->envelope->due_wall_ms);
	relay_forget(r, m);
}

static void on_stored(void *ctx, int result)
{
	struct storing *s = ctx;
	struct message *m = s->message;
	char id[STORE_ID_TEXT_BYTES];

	s->relay->storing_count--;
	m->storing = false;
	if (result == 0) {
		after_stored(s);
	} else if (result == -ESRCH && s->local_count > 0 && m->again_count < TRY_AGAIN_MAX) {
		undo_local(s);
	} else {
		/* -ENOENT: it left the queue by other hands.  Anything else: the store is closing. */
		log_event(LOG_WARN, "not-stored", LOG_C("id", store_id_text(m->id, id)),
			  LOG_C("error", strerror(-result)));
		relay_forget(s->relay, m);
	}
	envelope_free(s->dsn);
	buf_free(&s->dsn_content);
	free(s->local);
	free(s);
}

struct storing *relay_storing_new(struct relay *r, struct message *m)
{
	struct storing *s = calloc(1, sizeof(*s));
	if (s == NULL)
		abort();
	*s = (struct storing){ .relay = r, .message = m, .removes = pending_count(m) == 0 };
	return s;
}

/* Recipient states, a notification about those that failed, and copies for mailboxes: one transaction. */
void relay_store_step(struct storing *s, const struct delivery *copies)
{
	struct relay *r = s->relay;
	struct message *m = s->message;

	s->event = "notified";
	for (uint32_t i = 0; i < m->envelope->recipient_count; i++)
		if ((m->to_report[i] & REPORT(DSN_FAILED)) != 0)
			s->event = "bounced";
	if (s->converts)
		s->event = "converted";
	else
		s->dsn = bounce_make(r->server, m, &s->dsn_content);
	m->storing = true;
	r->storing_count++;
	queue_submit(r->server->store,
		     &(struct queue_change){ .row = s->removes ? QUEUE_REMOVE : QUEUE_UPDATE,
					     .message = m->envelope,
					     .deliveries = copies,
					     .delivery_count = s->local_count,
					     .dsn = s->dsn,
					     .dsn_body = buf_span(&s->dsn_content) },
		     on_stored, s);
}

/* One that was never tried, because its destination is down, fails for the destination's reason. */
static void borrow_reason(struct relay *r, struct message *m, struct recipient *rcpt,
			  enum recipient_state state)
{
	/* Found anew: while the message's other deliveries took their time, held_for may have been forgotten. */
	const struct destination *to = relay_destination_of(r, m->envelope, rcpt);
	const struct smtp_result *why = destination_trouble(to);

	if (rcpt->attempt_count == 0 && why != NULL)
		relay_record(m, rcpt, why, state, why->code != 0 ? destination_name(to) : "");
}

void relay_expire(struct relay *r, struct message *m, struct recipient *rcpt)
{
	char id[STORE_ID_TEXT_BYTES];

	borrow_reason(r, m, rcpt, RECIPIENT_FAILED);
	rcpt->state = RECIPIENT_FAILED;
	relay_report(m, rcpt, REPORT(DSN_FAILED) | REPORT_EXPIRED);
	r->server->counters.expired++;
	log_event(LOG_INFO, "expired", LOG_C("id", store_id_text(m->id, id)), LOG_C("rcpt", rcpt->address));
}

/* Once, when it is time, and not later than that: it may bring an attempt forward. */
static void warn_of_delay(struct relay *r, struct message *m)
{
	struct envelope *e = m->envelope;
	int64_t warns_wall_ms = warning_wall_ms(r, e);

	if (warns_wall_ms == 0 || MUTANT(RELAY_NO_DELAY_DSN))
		return;
	if (clock_wall_ms() < warns_wall_ms) {
		if (e->due_wall_ms > warns_wall_ms)
			e->due_wall_ms = warns_wall_ms;
		return;
	}
	int64_t late = late_wall_ms(e);
	bool is_late = late != 0 && late <= clock_wall_ms();
	e->flags |= ENVELOPE_DELAY_NOTIFIED | (is_late ? ENVELOPE_BY_NOTIFIED : 0u);
	for (uint32_t i = 0; i < e->recipient_count; i++) {
		struct recipient *rcpt = &e->recipients[i];
		if (rcpt->state != RECIPIENT_PENDING || !bounce_is_wanted(rcpt, DSN_DELAYED))
			continue;
		borrow_reason(r, m, rcpt, RECIPIENT_PENDING);
		relay_report(m, rcpt, REPORT(DSN_DELAYED) | (is_late ? REPORT_EXPIRED : 0));
	}
}

/* Puts off, or gives up on, the recipients that are pending. */
static void decide_retry(struct relay *r, struct message *m)
{
	struct retry_settings settings = config_retry_settings(r->server->config);
	struct envelope *e = m->envelope;

	settings.expiry_ms = time_to_live_ms(r, e);

	if (m->attempted)
		e->attempt_count++;
	uint32_t failed_count = e->attempt_count > 0 ? e->attempt_count : 1;
	if (retry_decide(&settings, envelope_ready_wall_ms(e), clock_wall_ms(), failed_count,
			 (uint32_t)random_u64(), &e->due_wall_ms) == RETRY_LATER) {
		warn_of_delay(r, m);
		return;
	}
	for (uint32_t i = 0; i < e->recipient_count; i++)
		if (e->recipients[i].state == RECIPIENT_PENDING)
			relay_expire(r, m, &e->recipients[i]);
}

/* Every delivery has ended. */
void relay_settle(struct relay *r, struct message *m)
{
	if (pending_count(m) > 0)
		decide_retry(r, m);
	relay_store_step(relay_storing_new(r, m), NULL);
}
