#include "reference-server/drive/relay.h"

#include "base/idna.h"
#include "base/log.h"
#include "base/random.h"
#include "reference-server/core/address.h"
#include "reference-server/core/trace.h"
#include "reference-server/drive/bounce.h"
#include "reference-server/drive/content_job.h"
#include "reference-server/drive/destination.h"
#include "reference-server/drive/directory.h"
#include "reference-server/drive/message.h"
#include "reference-server/policy/retry.h"
#include "reference-server/store/queue.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	ACTIVE_MAX = 5000,
	CONTENT_BYTES_MAX = 64 * 1024 * 1024, /* kept in memory; more is read from the store again */
	UNREADABLE_DELAY_MS = 10000,
	TRY_AGAIN_MAX = 100, /* deliveries one message may be split into since its activation */
};

/*
 * An entry of the heap.  It counts only while the message's row still says that
 * time: after an order by hand (release, requeue) or an attempt there is a new
 * entry, and the old one is dropped when it comes up.  Marks in id:
 */
#define DUE_REGARDLESS (UINT64_C(1) << 63) /* counts, whatever the row says */
#define DUE_EXTRA (UINT64_C(1) << 62)      /* beside the right one: counts unless an attempt came before it */
#define DUE_ID (~(DUE_REGARDLESS | DUE_EXTRA))
struct due {
	int64_t wall_ms;
	uint64_t id;
};

/* A message that an order by hand is being stored for.  It must not become active meanwhile. */
struct ordered {
	uint64_t id;
	struct relay *relay;
	enum queue_order order;
	bool was_held;
	struct envelope *envelope; /* as it will be */
	store_done_fn *done;
	void *ctx;
	UT_hash_handle hh;
};

struct wanted {
	struct destination *destination;
	TAILQ_ENTRY(wanted) next;
};

struct relay {
	struct server *server;
	struct destinations *destinations;
	struct message *active; /* by id */
	uint32_t active_count;
	struct ordered *ordered; /* by id */
	uint32_t held_count;
	uint64_t content_bytes;
	struct due *heap; /* the deferred, soonest first */
	uint32_t heap_count, heap_room;
	struct timer *timer;
	struct task *pull;
	TAILQ_HEAD(, wanted) wanted;
	uint32_t storing_count;
	bool stopping;
};

static void activate(struct relay *r, struct message *m);
static void settle(struct relay *r, struct message *m);

/* ---- the heap of the deferred ---- */

static bool sooner(struct due a, struct due b)
{
	return a.wall_ms != b.wall_ms ? a.wall_ms < b.wall_ms : a.id < b.id;
}

static void heap_add(struct relay *r, struct due d)
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

static struct due heap_pop(struct relay *r)
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

static void set_timer(struct relay *r)
{
	if (r->stopping || r->heap_count == 0 || r->active_count >= ACTIVE_MAX)
		timer_clear(r->timer);
	else
		timer_set_ms(r->timer, r->heap[0].wall_ms - clock_wall_ms());
}

static void defer(struct relay *r, uint64_t id, int64_t due_wall_ms)
{
	heap_add(r, (struct due){ .wall_ms = due_wall_ms, .id = id });
	set_timer(r);
}

/* ---- active messages ---- */

static void forget(struct relay *r, struct message *m)
{
	HASH_DEL(r->active, m);
	r->active_count--;
	if (m->in_memory)
		r->content_bytes -= buf_bytes(&m->content);
	message_free(m);
	task_schedule(r->pull);
}

static void add_active(struct relay *r, struct message *m)
{
	HASH_ADD(hh, r->active, id, sizeof(m->id), m);
	r->active_count++;
	if (m->in_memory)
		r->content_bytes += buf_bytes(&m->content);
}

static struct message *find_active(struct relay *r, uint64_t id)
{
	struct message *m;
	HASH_FIND(hh, r->active, &id, sizeof(id), m);
	return m;
}

static bool is_ordered(struct relay *r, uint64_t id)
{
	struct ordered *o;
	HASH_FIND(hh, r->ordered, &id, sizeof(id), o);
	return o != NULL;
}

static bool is_stale(const struct due *d, const struct envelope *e)
{
	if (d == NULL || d->wall_ms == e->due_wall_ms || (d->id & DUE_REGARDLESS) != 0)
		return false;
	for (uint32_t i = 0; i < e->recipient_count; i++)
		if (e->recipients[i].last_attempt_wall_ms > d->wall_ms)
			return true;
	return (d->id & DUE_EXTRA) == 0;
}

/*
 * From the store.  Nothing when it has left meanwhile, is active or held, or
 * when the entry that brought it here is stale; NULL: a destination has it.
 */
static void load_and_activate(struct relay *r, uint64_t id, const struct due *entry)
{
	struct envelope *e = NULL;
	struct buf none = { 0 };

	if (find_active(r, id) != NULL || is_ordered(r, id))
		return;
	int rc = queue_load(r->server->store, id, &e);
	if (rc != 0) {
		char text[STORE_ID_TEXT_BYTES];
		if (rc != -ENOENT)
			log_event(LOG_ERROR, "message-unreadable", LOG_C("id", store_id_text(id, text)),
				  LOG_C("error", strerror(-rc)));
		if (rc != -ENOENT && rc != -EBADMSG) /* not the message's fault: the store's */
			defer(r, id | DUE_REGARDLESS, clock_wall_ms() + UNREADABLE_DELAY_MS);
		return;
	}
	if ((e->flags & ENVELOPE_HELD) != 0 || is_stale(entry, e)) {
		envelope_free(e);
		return;
	}
	if (e->release_wall_ms > clock_wall_ms()) { /* whoever was in a hurry (RFC 4865 4.2 (5), (6)) */
		defer(r, id | DUE_REGARDLESS, e->release_wall_ms);
		envelope_free(e);
		return;
	}
	struct message *m = message_new(e, &none);
	add_active(r, m);
	activate(r, m);
}

/* Fills the active set: what destinations ask for, then what is due. */
static void pull(void *ctx)
{
	struct relay *r = ctx;
	struct wanted *w;

	while (!r->stopping && r->active_count < ACTIVE_MAX && (w = TAILQ_FIRST(&r->wanted)) != NULL) {
		TAILQ_REMOVE(&r->wanted, w, next);
		uint64_t id = destination_take_waiting(w->destination);
		if (id == 0) {
			free(w);
			continue;
		}
		TAILQ_INSERT_TAIL(&r->wanted, w, next); /* one each in turn */
		load_and_activate(r, id, NULL);
	}
	int64_t now_ms = clock_wall_ms();
	while (!r->stopping && r->active_count < ACTIVE_MAX && r->heap_count > 0 &&
	       r->heap[0].wall_ms <= now_ms) {
		struct due entry = heap_pop(r);
		load_and_activate(r, entry.id & DUE_ID, &entry);
	}
	set_timer(r);
}

static void on_wanted(void *ctx, struct destination *d)
{
	struct relay *r = ctx;
	struct wanted *w = calloc(1, sizeof(*w));
	if (w == NULL)
		abort();
	w->destination = d;
	TAILQ_INSERT_TAIL(&r->wanted, w, next);
	task_schedule(r->pull);
}

/* ---- results ---- */

static void log_result(const struct message *m, const struct recipient *rcpt, const char *event,
		       const struct smtp_result *result, const char *where)
{
	char id[STORE_ID_TEXT_BYTES];
	log_event(LOG_INFO, event, LOG_C("id", store_id_text(m->id, id)), LOG_C("rcpt", rcpt->address),
		  LOG_C("via", where), LOG_C("stage", smtp_stage_name(result->stage)),
		  LOG_I("code", result->code), LOG_S("text", smtp_result_text(result)));
}

static void report(struct message *m, const struct recipient *rcpt, uint8_t bits)
{
	m->to_report[rcpt - m->envelope->recipients] |= bits;
}

static void record(struct message *m, struct recipient *rcpt, const struct smtp_result *result,
		   enum recipient_state state, const char *where)
{
	if (state == RECIPIENT_FAILED)
		report(m, rcpt, REPORT(DSN_FAILED));
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
	return !d->peer_notifies && (rcpt->notify & NOTIFY_SUCCESS) != 0;
}

/* One recipient.  True when it has to go into another transaction. */
static bool take_result(struct counters *count, struct message *m, struct recipient *rcpt,
			const struct smtp_result *result, const char *where, const struct handover *d)
{
	switch (result->class_) {
	case SMTP_CLASS_OK:
		count->delivered++;
		log_result(m, rcpt, "delivered", result, where);
		if (is_relaying_reported(m->envelope, rcpt, d))
			report(m, rcpt, REPORT(DSN_RELAYED));
		record(m, rcpt, result, RECIPIENT_DELIVERED, where);
		return false;
	case SMTP_CLASS_PERMANENT:
		count->failed++;
		log_result(m, rcpt, "failed", result, where);
		record(m, rcpt, result, RECIPIENT_FAILED, where);
		return false;
	case SMTP_CLASS_TEMPORARY:
		count->deferred++;
		log_result(m, rcpt, result->in_doubt ? "deferred-in-doubt" : "deferred", result, where);
		record(m, rcpt, result, RECIPIENT_PENDING, where);
		return false;
	case SMTP_CLASS_TOO_MANY:
	case SMTP_CLASS_NOT_TRIED:
		return true;
	case SMTP_CLASS_COUNT:
		break;
	}
	abort();
}

static void on_ended(void *ctx, struct handover *d, bool held)
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
		settle(r, m);
}

/* ---- storing what became of it ---- */

/* One operation on the store about an active message, and what follows it. */
struct storing {
	struct relay *relay;
	struct message *message;
	struct envelope *dsn;
	struct buf dsn_content;
	const char *event; /* what the dsn says, for the log */
	bool converts;     /* what is stored along is no DSN, but the message itself for mailboxes */
	uint32_t *local;   /* recipients delivered here by this operation */
	uint32_t local_count;
	bool removes;
	bool goes_on; /* afterwards, to remote recipients */
};

static void submit_remote(struct relay *r, struct message *m);
static struct destination *destination_of(struct relay *r, const struct envelope *e,
					  const struct recipient *rcpt);

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
	activate(s->relay, s->message);
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
		    destination_of(r, m->envelope, &m->envelope->recipients[i]) != m->held_for)
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
		submit_remote(r, m);
		return;
	}
	if (s->removes)
		log_event(LOG_INFO, "removed", LOG_C("id", store_id_text(m->id, id)));
	else if (waits_for_one(r, m))
		destination_hold(m->held_for, m->id, wake_wall_ms(r, m->envelope));
	else
		defer(r, m->id, m->envelope->due_wall_ms);
	forget(r, m);
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
		forget(s->relay, m);
	}
	envelope_free(s->dsn);
	buf_free(&s->dsn_content);
	free(s->local);
	free(s);
}

static struct storing *storing_new(struct relay *r, struct message *m)
{
	struct storing *s = calloc(1, sizeof(*s));
	if (s == NULL)
		abort();
	*s = (struct storing){ .relay = r, .message = m, .removes = pending_count(m) == 0 };
	return s;
}

/* Recipient states, a notification about those that failed, and copies for mailboxes: one transaction. */
static void store_step(struct storing *s, const struct delivery *copies)
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
	const struct destination *to = destination_of(r, m->envelope, rcpt);
	const struct smtp_result *why = destination_trouble(to);

	if (rcpt->attempt_count == 0 && why != NULL)
		record(m, rcpt, why, state, destination_name(to));
}

static void expire(struct relay *r, struct message *m, struct recipient *rcpt)
{
	char id[STORE_ID_TEXT_BYTES];

	borrow_reason(r, m, rcpt, RECIPIENT_FAILED);
	rcpt->state = RECIPIENT_FAILED;
	report(m, rcpt, REPORT(DSN_FAILED) | REPORT_EXPIRED);
	r->server->counters.expired++;
	log_event(LOG_INFO, "expired", LOG_C("id", store_id_text(m->id, id)), LOG_C("rcpt", rcpt->address));
}

/* Once, when it is time, and not later than that: it may bring an attempt forward. */
static void warn_of_delay(struct relay *r, struct message *m)
{
	struct envelope *e = m->envelope;
	int64_t warns_wall_ms = warning_wall_ms(r, e);

	if (warns_wall_ms == 0)
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
		report(m, rcpt, REPORT(DSN_DELAYED) | (is_late ? REPORT_EXPIRED : 0));
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
			expire(r, m, &e->recipients[i]);
}

/* Every delivery has ended. */
static void settle(struct relay *r, struct message *m)
{
	if (pending_count(m) > 0)
		decide_retry(r, m);
	store_step(storing_new(r, m), NULL);
}

/* ---- activation: who is local, where do the others go ---- */

static void fail_local(struct message *m, struct recipient *rcpt)
{
	struct smtp_result result;
	smtp_result_set(&result, SMTP_CLASS_PERMANENT, SMTP_STAGE_RCPT, 0,
			(struct smtp_status){ .class_digit = 5, .subject = 1, .detail = 1 },
			SPAN_LIT("no such mailbox here"));
	log_result(m, rcpt, "failed", &result, "mailbox");
	record(m, rcpt, &result, RECIPIENT_FAILED, "");
}

/* The account for a pending recipient of ours; 0 when it is not ours, or has just failed. */
static uint32_t local_account(struct relay *r, struct message *m, struct recipient *rcpt)
{
	const struct directory *d = r->server->directory;
	struct address a;

	if (address_parse_text(span_of(rcpt->address), &a) != ADDRESS_OK) {
		fail_local(m, rcpt);
		return 0;
	}
	if (a.domain.n > 0 && !directory_is_local_domain(d, a.domain))
		return 0;
	uint32_t account = directory_account(d, a);
	if (account == 0)
		fail_local(m, rcpt);
	return account;
}

/* False when nobody is local. */
static bool deliver_local(struct relay *r, struct message *m)
{
	struct envelope *e = m->envelope;
	struct delivery *copies = calloc(e->recipient_count + 1, sizeof(*copies));
	uint32_t *local = calloc(e->recipient_count + 1, sizeof(*local));
	struct buf prefix = { 0 };
	uint32_t count = 0;
	if (copies == NULL || local == NULL)
		abort();

	trace_add_return_path(&prefix, span_of(e->reverse_path));
	buf_add(&prefix, buf_span(&e->prefix));
	for (uint32_t i = 0; i < e->recipient_count; i++) {
		struct recipient *rcpt = &e->recipients[i];
		uint32_t account = rcpt->state == RECIPIENT_PENDING ? local_account(r, m, rcpt) : 0;
		if (account == 0)
			continue;
		copies[count] = (struct delivery){ .account_id = account,
						   .arrival_wall_ms = clock_wall_ms(),
						   .prefix = buf_span(&prefix) };
		local[count++] = i;
		report(m, rcpt, REPORT(DSN_DELIVERED));
		rcpt->state = RECIPIENT_DELIVERED;
		rcpt->attempt_count++;
		rcpt->last_attempt_wall_ms = clock_wall_ms();
	}
	if (count > 0) {
		struct storing *s = storing_new(r, m);
		s->local = local;
		s->local_count = count;
		s->goes_on = !s->removes;
		store_step(s, copies);
	} else {
		free(local);
	}
	free(copies);
	buf_free(&prefix);
	return count > 0;
}

/* By the name that the DNS knows it by, so that a name has one line however it is written. */
static struct span destination_key(struct span domain, char text[IDNA_NAME_BYTES_MAX + 1])
{
	struct span name = domain;

	return idna_to_ascii(domain, text, &name) ? name : domain;
}

static struct destination *destination_of(struct relay *r, const struct envelope *e,
					  const struct recipient *rcpt)
{
	const char *at = strrchr(rcpt->address, '@');
	char text[IDNA_NAME_BYTES_MAX + 1];

	return destinations_find(r->destinations,
				 at != NULL ? destination_key(span_of(at + 1), text) : SPAN_LIT("localhost"),
				 envelope_tls_wish(e));
}

/* One delivery for each destination. */
static void submit_remote(struct relay *r, struct message *m)
{
	struct envelope *e = m->envelope;
	struct handover_list list = TAILQ_HEAD_INITIALIZER(list);
	struct handover *d;

	for (uint32_t i = 0; i < e->recipient_count; i++) {
		if (e->recipients[i].state != RECIPIENT_PENDING)
			continue;
		struct destination *to = destination_of(r, e, &e->recipients[i]);
		TAILQ_FOREACH (d, &list, next)
			if (d->destination == to)
				break;
		if (d == NULL) {
			d = handover_new(m, to, e->recipient_count);
			TAILQ_INSERT_TAIL(&list, d, next);
			m->open_count++;
		}
		handover_add(d, i);
	}
	if (m->open_count == 0) {
		settle(r, m);
		return;
	}
	/* The last of these calls may settle, and so free, the message. */
	while ((d = TAILQ_FIRST(&list)) != NULL) {
		TAILQ_REMOVE(&list, d, next);
		destination_submit(d->destination, d);
	}
}

/*
 * An alias that stands for several: its sender hears that it was expanded, once, and
 * of no success behind it (RFC 3461 5.2.7.3 (c)).
 */
static void report_expansions(struct message *m)
{
	struct envelope *e = m->envelope;

	for (uint32_t i = 0; i < e->recipient_count; i++) {
		struct recipient *first = &e->recipients[i];
		uint32_t others = 0;
		if ((first->notify & NOTIFY_SUCCESS) == 0 || strcmp(first->address, first->original) == 0)
			continue;
		for (uint32_t k = i + 1; k < e->recipient_count; k++) {
			struct recipient *other = &e->recipients[k];
			if (strcmp(other->original, first->original) != 0)
				continue;
			others++;
			other->notify &= (uint8_t)~NOTIFY_SUCCESS;
			if (other->notify == 0)
				other->notify = NOTIFY_NEVER;
		}
		if (others == 0)
			continue;
		first->notify &= (uint8_t)~NOTIFY_SUCCESS;
		if (first->notify == 0)
			first->notify = NOTIFY_NEVER;
		report(m, first, REPORT(DSN_EXPANDED));
	}
}

/*
 * Binary content (RFC 3030 3) and mailboxes: POP3 hands out lines (RFC 1939 3), and a bare LF, a NUL or a line
 * without an end would not come out as they went in.  So the recipients here get a message of their own, with the
 * content encoded.  It enters the queue in the transaction that notes these recipients as done with.
 */
static bool is_for_mailbox(struct relay *r, const struct recipient *rcpt)
{
	struct address a;

	return rcpt->state == RECIPIENT_PENDING &&
	       address_parse_text(span_of(rcpt->address), &a) == ADDRESS_OK &&
	       directory_account(r->server->directory, a) != 0;
}

static struct envelope *split_for_mailboxes(struct relay *r, struct message *m, uint64_t body_bytes)
{
	struct envelope *from = m->envelope;
	struct envelope *e = envelope_new();

	e->id = store_new_id(r->server->store);
	e->body_bytes = body_bytes;
	e->arrival_wall_ms = from->arrival_wall_ms;
	e->due_wall_ms = clock_wall_ms();
	e->expires_wall_ms = from->expires_wall_ms;
	e->deliver_by_wall_ms = from->deliver_by_wall_ms;
	e->flags = from->flags & ~(uint32_t)(ENVELOPE_BINARYMIME | ENVELOPE_8BITMIME | ENVELOPE_CONTENT_8BIT);
	envelope_set_reverse_path(e, span_of(from->reverse_path));
	envelope_set_envid(e, span_of(from->envid));
	envelope_set_hold(e, from->release_wall_ms, span_of(from->hold));
	for (uint32_t i = 0; i < from->recipient_count; i++) {
		struct recipient *rcpt = &from->recipients[i];
		if (!is_for_mailbox(r, rcpt))
			continue;
		struct recipient *copy =
			envelope_add_recipient(e, span_of(rcpt->address), span_of(rcpt->original));
		assert(copy != NULL);
		recipient_set_dsn(copy, rcpt->notify, span_of(rcpt->orcpt));
		rcpt->state = RECIPIENT_DELIVERED; /* as far as this message goes */
	}
	return e;
}

static void fail_mailboxes(struct relay *r, struct message *m)
{
	struct smtp_result result;

	smtp_result_set_own(
		&result, SMTP_CLASS_PERMANENT, SMTP_STAGE_CONTENT, 6, 3,
		"binary content without a MIME structure in which it could be encoded for a mailbox");
	for (uint32_t i = 0; i < m->envelope->recipient_count; i++) {
		struct recipient *rcpt = &m->envelope->recipients[i];
		if (!is_for_mailbox(r, rcpt))
			continue;
		r->server->counters.failed++;
		log_result(m, rcpt, "failed", &result, "mailbox");
		record(m, rcpt, &result, RECIPIENT_FAILED, "");
	}
}

static void deliver(struct relay *r, struct message *m)
{
	report_expansions(m);
	if (!deliver_local(r, m))
		submit_remote(r, m);
}

static void on_converted(void *ctx, struct content_job *j)
{
	struct message *m = ctx;
	struct relay *r = m->relay;

	m->conversion = NULL;
	if (j->rc != 0) {
		log_event(LOG_ERROR, "content-unreadable", LOG_I("id", m->id),
			  LOG_C("error", strerror(-j->rc)));
		settle(r, m);
	} else if (j->converted != CONVERT_OK) {
		fail_mailboxes(r, m);
		deliver(r, m);
	} else {
		struct envelope *e = split_for_mailboxes(r, m, buf_bytes(&j->bytes));
		if (e->recipient_count == 0) { /* the accounts have gone meanwhile */
			envelope_free(e);
			deliver(r, m);
		} else {
			struct storing *s = storing_new(r, m);
			s->converts = true;
			s->dsn = e;
			s->dsn_content = j->bytes;
			j->bytes = (struct buf){ 0 };
			s->goes_on = !s->removes;
			store_step(s, NULL);
		}
	}
	content_job_free(j);
}

static bool convert_for_mailboxes(struct relay *r, struct message *m)
{
	bool wanted = false;

	for (uint32_t i = 0; i < m->envelope->recipient_count && !wanted; i++)
		wanted = is_for_mailbox(r, &m->envelope->recipients[i]);
	if (!wanted)
		return false;
	m->relay = r;
	m->conversion = content_job_convert(r->server, m, on_converted, m);
	return true;
}

/* RFC 2852 4.1.3: no more attempts. */
static void return_late(struct relay *r, struct message *m)
{
	for (uint32_t i = 0; i < m->envelope->recipient_count; i++)
		if (m->envelope->recipients[i].state == RECIPIENT_PENDING)
			expire(r, m, &m->envelope->recipients[i]);
	store_step(storing_new(r, m), NULL);
}

static void activate(struct relay *r, struct message *m)
{
	m->held_for = NULL;
	m->attempted = false;
	if (envelope_is_overdue(m->envelope, clock_wall_ms())) {
		return_late(r, m);
		return;
	}
	if ((m->envelope->flags & ENVELOPE_BINARYMIME) == 0 || !convert_for_mailboxes(r, m))
		deliver(r, m);
}

void relay_take(struct relay *r, struct envelope *envelope, struct buf *content)
{
	bool by_hand = is_ordered(r, envelope->id); /* somebody saw it in the store and was quicker */
	bool early = envelope->release_wall_ms > clock_wall_ms();
	if (r->stopping || by_hand || early || r->active_count >= ACTIVE_MAX) {
		if (!by_hand)
			defer(r, envelope->id, envelope->due_wall_ms);
		envelope_free(envelope);
		buf_free(content);
		return;
	}
	if (r->content_bytes + buf_bytes(content) > CONTENT_BYTES_MAX)
		buf_free(content);
	struct message *m = message_new(envelope, content);
	add_active(r, m);
	activate(r, m);
}

/* ---- commands ---- */

void relay_flush(struct relay *r)
{
	struct due *old = r->heap;
	uint32_t count = r->heap_count;
	int64_t now_ms = clock_wall_ms();

	r->heap = NULL;
	r->heap_count = r->heap_room = 0;
	for (uint32_t i = 0; i < count; i++)
		heap_add(r, (struct due){ .wall_ms = now_ms, .id = old[i].id | DUE_REGARDLESS });
	free(old);
	destinations_retry_all(r->destinations);
	task_schedule(r->pull);
}

void relay_flush_domain(struct relay *r, struct span domain)
{
	static const enum tls_wish wishes[] = { TLS_WISH_NONE, TLS_WISH_REQUIRED, TLS_WISH_OPTIONAL };
	char text[IDNA_NAME_BYTES_MAX + 1];
	struct span key = destination_key(domain, text);

	for (size_t i = 0; i < sizeof(wishes) / sizeof(wishes[0]); i++)
		destination_retry_now(destinations_find(r->destinations, key, wishes[i]));
}

void relay_hasten(struct relay *r, uint64_t id)
{
	if (find_active(r, id) == NULL && !is_ordered(r, id))
		defer(r, id | DUE_EXTRA, clock_wall_ms());
}

bool relay_is_active(struct relay *r, uint64_t id)
{
	return find_active(r, id) != NULL;
}

bool relay_look(const struct relay *r, struct span domain, enum tls_wish wish,
		struct destination_view *ret_view)
{
	char text[IDNA_NAME_BYTES_MAX + 1];

	return destinations_look(r->destinations, destination_key(domain, text), wish, ret_view);
}

struct relay_counts relay_counts(const struct relay *r)
{
	return (struct relay_counts){ .active = r->active_count,
				      .waiting = destinations_waiting_count(r->destinations),
				      .held = r->held_count,
				      .connections = destinations_connection_count(r->destinations) };
}

static void after_order(struct relay *r, const struct ordered *o)
{
	bool held = o->order == QUEUE_HOLD;

	r->held_count += held;
	r->held_count -= o->was_held && r->held_count > 0;
	if (o->order == QUEUE_RELEASE || o->order == QUEUE_REQUEUE)
		defer(r, o->id, o->envelope->due_wall_ms);
	for (uint32_t i = 0; o->order == QUEUE_REQUEUE && i < o->envelope->recipient_count; i++)
		if (o->envelope->recipients[i].state == RECIPIENT_PENDING)
			destination_retry_now(destination_of(r, o->envelope, &o->envelope->recipients[i]));
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

	if (find_active(r, id) != NULL || is_ordered(r, id))
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

/* ---- beginning and end ---- */

static bool note_queued(void *ctx, uint64_t id, const struct envelope_glance *g)
{
	struct relay *r = ctx;

	if ((g->flags & ENVELOPE_HELD) != 0)
		r->held_count++;
	else
		heap_add(r, (struct due){ .wall_ms = g->due_wall_ms, .id = id });
	return true;
}

struct relay *relay_new(struct server *server)
{
	struct relay *r = calloc(1, sizeof(*r));
	if (r == NULL)
		abort();
	r->server = server;
	TAILQ_INIT(&r->wanted);
	r->timer = timer_new(server->loop, pull, r);
	r->pull = task_new(server->loop, pull, r);
	r->destinations = destinations_new(
		server,
		&(struct destinations_owner){ .ctx = r, .on_ended = on_ended, .on_wanted = on_wanted });
	int rc = queue_scan(server->store, 0, note_queued, r);
	if (rc != 0)
		log_event(LOG_ERROR, "queue-unreadable", LOG_C("error", strerror(-rc)));
	if (r->heap_count + r->held_count > 0)
		log_event(LOG_INFO, "queue-found", LOG_I("messages", r->heap_count + r->held_count),
			  LOG_I("held", r->held_count));
	set_timer(r);
	return r;
}

void relay_stop(struct relay *r)
{
	r->stopping = true;
	set_timer(r);
	destinations_stop(r->destinations);
}

bool relay_is_idle(const struct relay *r)
{
	return r->storing_count == 0 && destinations_connection_count(r->destinations) == 0;
}

void relay_free(struct relay *r)
{
	if (r == NULL)
		return;
	struct message *m, *next;
	struct wanted *w;

	destinations_free(r->destinations);
	HASH_ITER(hh, r->active, m, next)
	{
		HASH_DEL(r->active, m);
		message_free(m);
	}
	while ((w = TAILQ_FIRST(&r->wanted)) != NULL) {
		TAILQ_REMOVE(&r->wanted, w, next);
		free(w);
	}
	struct ordered *o, *next_ordered;
	HASH_ITER(hh, r->ordered, o, next_ordered)
	{
		HASH_DEL(r->ordered, o);
		o->relay = NULL; /* the store still has the order, and ends it when it closes */
	}
	timer_free(r->timer);
	task_free(r->pull);
	free(r->heap);
	free(r);
}
