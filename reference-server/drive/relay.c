#include "reference-server/drive/relay.h"

#include "base/log.h"
#include "base/random.h"
#include "reference-server/core/address.h"
#include "reference-server/core/trace.h"
#include "reference-server/drive/bounce.h"
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

struct due {
	int64_t wall_ms;
	uint64_t id;
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

/* From the store.  Nothing when it has left meanwhile, or is active. */
static void load_and_activate(struct relay *r, uint64_t id)
{
	struct envelope *e = NULL;
	struct buf none = { 0 };

	if (find_active(r, id) != NULL)
		return;
	int rc = queue_load(r->server->store, id, &e);
	if (rc != 0) {
		char text[STORE_ID_TEXT_BYTES];
		if (rc != -ENOENT)
			log_event(LOG_ERROR, "message-unreadable", LOG_C("id", store_id_text(id, text)),
				  LOG_C("error", strerror(-rc)));
		if (rc != -ENOENT && rc != -EBADMSG) /* not the message's fault: the store's */
			defer(r, id, clock_wall_ms() + UNREADABLE_DELAY_MS);
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
		load_and_activate(r, id);
	}
	int64_t now_ms = clock_wall_ms();
	while (!r->stopping && r->active_count < ACTIVE_MAX && r->heap_count > 0 &&
	       r->heap[0].wall_ms <= now_ms)
		load_and_activate(r, heap_pop(r).id);
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

static void record(struct message *m, struct recipient *rcpt, const struct smtp_result *result,
		   enum recipient_state state, const char *where)
{
	if (state == RECIPIENT_FAILED)
		m->to_report[rcpt - m->envelope->recipients] = true;
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

/* One recipient.  True when it has to go into another transaction. */
static bool take_result(struct message *m, struct recipient *rcpt, const struct smtp_result *result,
			const char *where)
{
	switch (result->class_) {
	case SMTP_CLASS_OK:
		log_result(m, rcpt, "delivered", result, where);
		record(m, rcpt, result, RECIPIENT_DELIVERED, where);
		return false;
	case SMTP_CLASS_PERMANENT:
		log_result(m, rcpt, "failed", result, where);
		record(m, rcpt, result, RECIPIENT_FAILED, where);
		return false;
	case SMTP_CLASS_TEMPORARY:
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

	if (held) {
		m->held_for = d->destination;
	} else {
		assert(d->results != NULL);
		for (uint32_t i = 0; i < d->rcpt_count; i++) {
			struct recipient *rcpt = &m->envelope->recipients[d->indexes[i]];
			const char *where =
				d->remote_mta[0] != '\0' ? d->remote_mta : destination_name(d->destination);
			if (!take_result(m, rcpt, &d->results[i], where) || m->again_count >= TRY_AGAIN_MAX)
				continue;
			if (again == NULL)
				again = handover_new(m, d->destination, d->rcpt_count);
			handover_add(again, d->indexes[i]);
		}
	}
	struct destination *to = d->destination;
	handover_free(d);
	if (again != NULL) {
		m->again_count++;
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
	uint32_t *local; /* recipients delivered here by this operation */
	uint32_t local_count;
	bool removes;
	bool goes_on; /* afterwards, to remote recipients */
};

static void submit_remote(struct relay *r, struct message *m);
static struct destination *destination_of(struct relay *r, const struct recipient *rcpt);

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
	for (uint32_t i = 0; i < s->local_count; i++)
		s->message->envelope->recipients[s->local[i]].state = RECIPIENT_PENDING;
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

/* Everything that is pending waits for the one destination that is down. */
static bool waits_for_one(struct relay *r, const struct message *m)
{
	for (uint32_t i = 0; i < m->envelope->recipient_count; i++)
		if (m->envelope->recipients[i].state == RECIPIENT_PENDING &&
		    destination_of(r, &m->envelope->recipients[i]) != m->held_for)
			return false;
	return m->held_for != NULL;
}

static void after_stored(struct storing *s)
{
	struct relay *r = s->relay;
	struct message *m = s->message;
	char id[STORE_ID_TEXT_BYTES];

	memset(m->to_report, 0, m->envelope->recipient_count * sizeof(*m->to_report));
	log_local(s);
	if (s->dsn != NULL) {
		log_event(LOG_INFO, "bounced", LOG_C("id", store_id_text(m->id, id)),
			  LOG_C("to", m->envelope->reverse_path));
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
		destination_hold(m->held_for, m->id, m->envelope->arrival_wall_ms);
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

	s->dsn = bounce_make(r->server, m, m->to_report, m->expired, &s->dsn_content);
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

static void expire(struct relay *r, struct message *m, struct recipient *rcpt)
{
	/* Found anew: while the message's other deliveries took their time, held_for may have been forgotten. */
	const struct destination *to = destination_of(r, rcpt);
	const struct smtp_result *why = destination_trouble(to);
	char id[STORE_ID_TEXT_BYTES];

	if (rcpt->attempt_count == 0 && why != NULL)
		record(m, rcpt, why, RECIPIENT_FAILED, destination_name(to));
	rcpt->state = RECIPIENT_FAILED;
	m->to_report[rcpt - m->envelope->recipients] = true;
	m->expired = true;
	log_event(LOG_INFO, "expired", LOG_C("id", store_id_text(m->id, id)), LOG_C("rcpt", rcpt->address));
}

/* Puts off, or gives up on, the recipients that are pending. */
static void decide_retry(struct relay *r, struct message *m)
{
	struct retry_settings settings = config_retry_settings(r->server->config);
	struct envelope *e = m->envelope;

	if (m->attempted)
		e->attempt_count++;
	uint32_t failed_count = e->attempt_count > 0 ? e->attempt_count : 1;
	if (retry_decide(&settings, e->arrival_wall_ms, clock_wall_ms(), failed_count, (uint32_t)random_u64(),
			 &e->due_wall_ms) == RETRY_LATER)
		return;
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

static struct destination *destination_of(struct relay *r, const struct recipient *rcpt)
{
	const char *at = strrchr(rcpt->address, '@');
	return destinations_find(r->destinations, at != NULL ? span_of(at + 1) : SPAN_LIT("localhost"));
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
		struct destination *to = destination_of(r, &e->recipients[i]);
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

static void activate(struct relay *r, struct message *m)
{
	m->held_for = NULL;
	m->attempted = false;
	if (!deliver_local(r, m))
		submit_remote(r, m);
}

void relay_take(struct relay *r, struct envelope *envelope, struct buf *content)
{
	if (r->stopping || r->active_count >= ACTIVE_MAX) {
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

static bool goes_to(const struct envelope *e, struct span domain)
{
	for (uint32_t i = 0; i < e->recipient_count; i++) {
		const char *at = strrchr(e->recipients[i].address, '@');
		if (e->recipients[i].state == RECIPIENT_PENDING && at != NULL &&
		    span_eq_nocase(span_of(at + 1), domain))
			return true;
	}
	return false;
}

void relay_flush(struct relay *r, struct span domain_or_empty)
{
	struct due *old = r->heap;
	uint32_t count = r->heap_count;
	int64_t now_ms = clock_wall_ms();

	r->heap = NULL;
	r->heap_count = r->heap_room = 0;
	for (uint32_t i = 0; i < count; i++) {
		struct envelope *e = NULL;
		bool wanted = domain_or_empty.n == 0;
		if (!wanted && queue_load(r->server->store, old[i].id, &e) == 0)
			wanted = goes_to(e, domain_or_empty);
		envelope_free(e);
		heap_add(r, (struct due){ .wall_ms = wanted ? now_ms : old[i].wall_ms, .id = old[i].id });
	}
	free(old);
	if (domain_or_empty.n > 0)
		destination_retry_now(destinations_find(r->destinations, domain_or_empty));
	else
		destinations_retry_all(r->destinations);
	task_schedule(r->pull);
}

int relay_remove(struct relay *r, uint64_t id, store_done_fn *done, void *ctx)
{
	struct envelope *e = NULL;

	if (find_active(r, id) != NULL)
		return -EBUSY;
	int rc = queue_load(r->server->store, id, &e);
	if (rc != 0)
		return rc;
	/* Its entry in the heap, or with a destination, finds nothing when its time comes. */
	queue_submit(r->server->store, &(struct queue_change){ .row = QUEUE_REMOVE, .message = e }, done,
		     ctx);
	envelope_free(e);
	return 0;
}

/* ---- beginning and end ---- */

static bool note_queued(void *ctx, uint64_t id, int64_t due_wall_ms, int64_t arrival_wall_ms)
{
	(void)arrival_wall_ms;
	heap_add(ctx, (struct due){ .wall_ms = due_wall_ms, .id = id });
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
	if (r->heap_count > 0)
		log_event(LOG_INFO, "queue-found", LOG_I("messages", r->heap_count));
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
	timer_free(r->timer);
	task_free(r->pull);
	free(r->heap);
	free(r);
}
