#include "harness/load/sender.h"

#include "base/must.h"
#include "harness/load/reach.h"
#include "harness/load/smtp_session.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

enum {
	REPLY_TIMEOUT_MS = 300 * 1000, /* RFC 5321 section 4.5.3.2, its shortest for a command */
	RETRY_INTERVAL_MS = 100,
};

/* A submitted message; addresses and, without a callback, content lie in `text`. */
struct message {
	TAILQ_ENTRY(message) link;
	struct transaction transaction;
	struct sender_report report;
	int64_t due_ns; /* intended, or when to try again */
	int64_t give_up_ns;
	sender_content_fn *make_content;
	void *make_content_ctx;
	struct buf text;
	struct buf content;
	struct span *recipients;
};
TAILQ_HEAD(message_list, message);

/* A connection and the messages it carries, or the one for which it was opened. */
struct slot {
	TAILQ_ENTRY(slot) link;
	struct sender *sender;
	struct smtp_session *session;
	struct message_list messages; /* in the order in which they end */
	bool begun;                   /* the messages are with the session */
	TAILQ_ENTRY(slot) changed_link;
	bool changed;
	TAILQ_ENTRY(slot) free_link; /* among the idle or the roomy */
	struct slot_list *free_list;
};
TAILQ_HEAD(slot_list, slot);

/*
 * All decisions fall in pump, which runs from the loop: sessions only leave
 * their results and schedule it, so nothing is freed under its own feet.
 */
struct sender {
	struct sender_options o;
	struct session_options session;
	struct task *pump;
	struct timer *due;
	struct message_list waiting; /* in order of intended time */
	struct message_list stale;   /* due again at once, in their order */
	struct message_list again;   /* in order of due_ns, for all wait equally long */
	struct slot_list slots;
	struct slot_list changed;     /* to be looked at */
	struct slot_list idle;        /* carry nothing */
	struct slot_list roomy;       /* carry some and may carry more */
	struct message_list finished; /* to be reported */
	uint32_t pending_count;
	uint32_t active_count;
	uint32_t slot_count;
	int64_t last_intended_ns;
	bool told_idle;
	bool stopped;
};

const char *sender_outcome_name(enum sender_outcome o)
{
	static const char *const names[] = {
		[SENDER_ACCEPTED] = "accepted",           [SENDER_REFUSED] = "refused",
		[SENDER_DEFERRED] = "deferred",           [SENDER_NOT_SENT] = "not-sent",
		[SENDER_INDETERMINATE] = "indeterminate",
	};
	assert((size_t)o < sizeof(names) / sizeof(names[0]));
	return names[o];
}

const char *sender_stage_name(enum sender_stage s)
{
	static const char *const names[] = { "start", "connect", "greeting", "hello",   "starttls",   "auth",
					     "mail",  "rcpt",    "data",     "content", "final-reply" };
	assert((size_t)s < sizeof(names) / sizeof(names[0]));
	return names[s];
}

/* ---- messages ---- */
static void message_free(struct message *m)
{
	transaction_restart(&m->transaction);
	free(m->transaction.recipient_replies);
	free(m->recipients);
	buf_free(&m->text);
	buf_free(&m->content);
	free(m);
}

/* All strings in one block; the spans are cut from it once it no longer moves. */
static struct message *message_new(const struct outgoing *o)
{
	struct message *m = must(calloc(1, sizeof(*m)));
	struct transaction *t = &m->transaction;
	buf_add(&m->text, o->reverse_path);
	buf_add(&m->text, o->mail_args);
	for (uint32_t i = 0; i < o->recipient_count; i++)
		buf_add(&m->text, o->recipients[i]);
	if (o->make_content == NULL)
		buf_add(&m->content, o->content);
	struct span all = buf_span(&m->text);
	t->reverse_path = span_sub(all, 0, o->reverse_path.n);
	t->mail_args = span_sub(all, o->reverse_path.n, o->mail_args.n);
	size_t at = o->reverse_path.n + o->mail_args.n;
	m->recipients = must(calloc(o->recipient_count, sizeof(m->recipients[0])));
	for (uint32_t i = 0; i < o->recipient_count; i++) {
		m->recipients[i] = span_sub(all, at, o->recipients[i].n);
		at += o->recipients[i].n;
	}
	t->recipients = m->recipients;
	t->recipient_count = o->recipient_count;
	t->recipient_replies = must(calloc(o->recipient_count, sizeof(t->recipient_replies[0])));
	t->outcome = SENDER_NOT_SENT;
	m->make_content = o->make_content;
	m->make_content_ctx = o->make_content_ctx;
	m->due_ns = o->intended_ns;
	m->report = (struct sender_report){ .id = o->id, .intended_ns = o->intended_ns };
	return m;
}

static void finish_message(struct sender *s, struct message *m)
{
	TAILQ_INSERT_TAIL(&s->finished, m, link);
}

/* Made late and thrown away early, so that only messages under way hold content. */
static void make_content(struct message *m)
{
	if (m->make_content != NULL && buf_bytes(&m->content) == 0)
		m->make_content(m->make_content_ctx, m->report.id, &m->content);
	m->transaction.content = buf_span(&m->content);
	m->report.content_bytes = buf_bytes(&m->content);
}

static void tell_message(struct sender *s, struct message *m)
{
	struct transaction *t = &m->transaction;
	struct sender_report *r = &m->report;
	struct sender_reply *recipients = must(calloc(t->recipient_count, sizeof(recipients[0])));
	for (uint32_t i = 0; i < t->recipient_count; i++) {
		const struct kept_reply *k = &t->recipient_replies[i];
		recipients[i] = (struct sender_reply){ k->code, k->notes, buf_span(&k->text) };
	}
	r->outcome = t->outcome;
	r->stage = t->stage;
	r->final_dot_ns = t->final_dot_ns;
	r->final_reply_ns = t->final_reply_ns;
	r->reply = (struct sender_reply){ t->reply.code, t->reply.notes, buf_span(&t->reply.text) };
	r->recipients = recipients;
	r->recipient_count = t->recipient_count;
	r->problem = t->problem;
	s->o.on_report(s->o.ctx, r);
	free(recipients);
}

/* Reports may submit more, which only lengthens the list. */
static void tell_finished(struct sender *s)
{
	struct message *m;
	while ((m = TAILQ_FIRST(&s->finished)) != NULL) {
		TAILQ_REMOVE(&s->finished, m, link);
		s->pending_count--;
		tell_message(s, m);
		message_free(m);
	}
}

/* ---- slots ---- */
static void slot_changed(void *ctx)
{
	struct slot *slot = ctx;
	if (!slot->changed)
		TAILQ_INSERT_TAIL(&slot->sender->changed, slot, changed_link);
	slot->changed = true;
	task_schedule(slot->sender->pump);
}

/* Whoever became free first is used first. */
static void file_slot(struct slot *slot)
{
	struct slot_list *list = NULL;
	if (session_state(slot->session) == SESSION_READY && TAILQ_EMPTY(&slot->messages))
		list = &slot->sender->idle;
	else if (slot->begun && session_room(slot->session) > 0)
		list = &slot->sender->roomy;
	if (list == slot->free_list)
		return;
	if (slot->free_list != NULL)
		TAILQ_REMOVE(slot->free_list, slot, free_link);
	if (list != NULL)
		TAILQ_INSERT_TAIL(list, slot, free_link);
	slot->free_list = list;
}

static void slot_free(struct sender *s, struct slot *slot)
{
	assert(TAILQ_EMPTY(&slot->messages));
	TAILQ_REMOVE(&s->slots, slot, link);
	if (slot->changed)
		TAILQ_REMOVE(&s->changed, slot, changed_link);
	if (slot->free_list != NULL)
		TAILQ_REMOVE(slot->free_list, slot, free_link);
	s->slot_count--;
	session_free(slot->session);
	free(slot);
}

static struct slot *slot_open(struct sender *s)
{
	struct slot *slot = must(calloc(1, sizeof(*slot)));
	TAILQ_INIT(&slot->messages);
	slot->sender = s;
	slot->session = session_open(&s->session, slot);
	TAILQ_INSERT_TAIL(&s->slots, slot, link);
	s->slot_count++;
	return slot;
}

/* NULL when all are busy and no more may be opened. */
static struct slot *pick_slot(struct sender *s)
{
	bool may_open = s->slot_count < s->o.connections_max;
	if (!s->o.connection_per_message && !TAILQ_EMPTY(&s->idle))
		return TAILQ_FIRST(&s->idle);
	if (may_open)
		return slot_open(s);
	return s->o.connection_per_message ? NULL : TAILQ_FIRST(&s->roomy);
}

static void begin_message(struct slot *slot, struct message *m)
{
	transaction_restart(&m->transaction);
	m->report.connected_ns = session_ready_ns(slot->session);
	slot->begun = true;
	session_begin(slot->session, &m->transaction);
}

/* The attempt is over.  A kept connection that had died unnoticed is no attempt. */
static void attempt_ended(struct sender *s, struct slot *slot, struct message *m)
{
	struct transaction *t = &m->transaction;
	int64_t now = clock_mono_ns();
	bool stale = t->p.nth > 1 && !t->answered && (t->outcome == SENDER_NOT_SENT || t->reply.code == 421);
	bool may_retry = !s->stopped && (t->outcome == SENDER_NOT_SENT || t->outcome == SENDER_DEFERRED) &&
			 now < m->give_up_ns;
	TAILQ_REMOVE(&slot->messages, m, link);
	t->done = false;
	s->active_count--;
	if (stale && !s->stopped) {
		m->due_ns = now;
		m->report.attempts--;
		TAILQ_INSERT_TAIL(&s->stale, m, link);
	} else if (may_retry) {
		m->due_ns = now + s->o.retry_interval_ms * 1000000;
		TAILQ_INSERT_TAIL(&s->again, m, link);
	} else {
		finish_message(s, m);
	}
	if (m->make_content != NULL)
		buf_free(&m->content);
}

/* Takes in what happened on one connection. */
static void look_at(struct sender *s, struct slot *slot)
{
	enum session_state state = session_state(slot->session);
	bool any_ended = false;
	struct message *m = TAILQ_FIRST(&slot->messages);
	if (m != NULL && state == SESSION_CLOSED && !slot->begun) {
		transaction_restart(&m->transaction);
		session_explain(slot->session, &m->transaction);
	} else if (m != NULL && state == SESSION_READY && !slot->begun) {
		begin_message(slot, m);
	}
	while ((m = TAILQ_FIRST(&slot->messages)) != NULL && m->transaction.done) {
		attempt_ended(s, slot, m);
		any_ended = true;
	}
	if (state == SESSION_CLOSED || (any_ended && s->o.connection_per_message))
		slot_free(s, slot);
	else
		file_slot(slot);
}

static void look_at_changed(struct sender *s)
{
	struct slot *slot;
	while ((slot = TAILQ_FIRST(&s->changed)) != NULL) {
		TAILQ_REMOVE(&s->changed, slot, changed_link);
		slot->changed = false;
		look_at(s, slot);
	}
}

/* ---- starting messages ---- */
static struct message_list *next_list(struct sender *s)
{
	struct message *w = TAILQ_FIRST(&s->waiting), *a = TAILQ_FIRST(&s->again);
	if (!TAILQ_EMPTY(&s->stale))
		return &s->stale;
	if (w == NULL && a == NULL)
		return NULL;
	if (w == NULL || (a != NULL && a->due_ns <= w->due_ns))
		return &s->again;
	return &s->waiting;
}

static void start_message(struct sender *s, struct message *m, struct slot *slot, int64_t now)
{
	if (m->report.started_ns == 0) {
		m->report.started_ns = now;
		m->give_up_ns = s->o.retry_for_ms > 0 ? now + s->o.retry_for_ms * 1000000 : 0;
	}
	m->report.attempts++;
	m->transaction.done = false;
	s->active_count++;
	TAILQ_INSERT_TAIL(&slot->messages, m, link);
	make_content(m);
	if (session_room(slot->session) > 0)
		begin_message(slot, m);
	file_slot(slot);
}

/* Starts what is due as far as connections go, and sets the timer for what is not. */
static void start_due(struct sender *s)
{
	struct message_list *list;
	while ((list = next_list(s)) != NULL) {
		struct message *m = TAILQ_FIRST(list);
		int64_t now = clock_mono_ns();
		if (m->due_ns > now) {
			timer_set_ns(s->due, m->due_ns - now);
			return;
		}
		struct slot *slot = pick_slot(s);
		if (slot == NULL)
			return;
		TAILQ_REMOVE(list, m, link);
		start_message(s, m, slot, now);
	}
	timer_clear(s->due);
}

static void pump(void *ctx)
{
	struct sender *s = ctx;
	look_at_changed(s);
	start_due(s);
	tell_finished(s);
	if (s->pending_count > 0 || s->told_idle)
		return;
	s->told_idle = true;
	if (s->o.on_idle != NULL)
		s->o.on_idle(s->o.ctx);
}

static void on_due(void *ctx)
{
	pump(ctx);
}

/* ---- public ---- */
static int check_options(const struct sender_options *o, struct err *reterr)
{
	const struct access *a = &o->access;
	assert(o->loop != NULL && o->on_report != NULL);
	if (o->connections_max > SENDER_CONNECTIONS_MAX)
		return err_set(reterr, -EINVAL, "sender: more than %d connections", SENDER_CONNECTIONS_MAX);
	if (o->in_flight_max > SENDER_IN_FLIGHT_MAX)
		return err_set(reterr, -EINVAL, "sender: more than %d messages in flight",
			       SENDER_IN_FLIGHT_MAX);
	if (a->tls != ACCESS_PLAIN && a->tls_ctx == NULL)
		return err_set(reterr, -EINVAL, "sender: TLS without certificates to trust");
	if (a->user != NULL && a->password == NULL)
		return err_set(reterr, -EINVAL, "sender: a user without a password");
	if (a->mechanism == ACCESS_USER_PASS)
		return err_set(reterr, -EINVAL, "sender: SMTP has no USER and PASS");
	return reach_check(&a->server, a->allow_remote, reterr);
}

struct sender *sender_new(const struct sender_options *o, struct err *reterr)
{
	if (check_options(o, reterr) < 0)
		return NULL;
	struct sender *s = must(calloc(1, sizeof(*s)));
	s->o = *o;
	if (s->o.connections_max == 0)
		s->o.connections_max = 1;
	if (s->o.reply_timeout_ms == 0)
		s->o.reply_timeout_ms = REPLY_TIMEOUT_MS;
	if (s->o.retry_interval_ms == 0)
		s->o.retry_interval_ms = RETRY_INTERVAL_MS;
	s->session = (struct session_options){
		.loop = o->loop,
		.access = o->access,
		.ehlo_name = o->ehlo_name != NULL ? o->ehlo_name : "[127.0.0.1]",
		.no_pipelining = o->no_pipelining,
		.reply_timeout_ms = s->o.reply_timeout_ms,
		.chunking = o->chunking,
		.lmtp = o->lmtp,
		.in_flight_max = o->in_flight_max == 0 ? 1 : o->in_flight_max,
		.one_only = o->connection_per_message,
		.on_change = slot_changed,
	};
	s->pump = task_new(o->loop, pump, s);
	s->due = timer_new(o->loop, on_due, s);
	s->last_intended_ns = INT64_MIN;
	s->told_idle = true;
	TAILQ_INIT(&s->waiting);
	TAILQ_INIT(&s->stale);
	TAILQ_INIT(&s->again);
	TAILQ_INIT(&s->slots);
	TAILQ_INIT(&s->changed);
	TAILQ_INIT(&s->idle);
	TAILQ_INIT(&s->roomy);
	TAILQ_INIT(&s->finished);
	return s;
}

void sender_submit(struct sender *s, const struct outgoing *m)
{
	assert(m->intended_ns >= s->last_intended_ns);
	assert(m->recipient_count > 0 && m->recipient_count <= SENDER_RECIPIENTS_MAX);
	struct message *message = message_new(m);
	s->last_intended_ns = m->intended_ns;
	s->pending_count++;
	s->told_idle = false;
	if (s->stopped) {
		(void)snprintf(message->transaction.problem, sizeof(message->transaction.problem), "stopped");
		finish_message(s, message);
		task_schedule(s->pump);
		return;
	}
	bool first = TAILQ_EMPTY(&s->waiting);
	TAILQ_INSERT_TAIL(&s->waiting, message, link);
	if (first)
		task_schedule(s->pump);
}

uint32_t sender_pending_count(const struct sender *s)
{
	return s->pending_count;
}

uint32_t sender_active_count(const struct sender *s)
{
	return s->active_count;
}

uint32_t sender_connection_count(const struct sender *s)
{
	return s->slot_count;
}

static void finish_all(struct sender *s, struct message_list *list)
{
	struct message *m;
	while ((m = TAILQ_FIRST(list)) != NULL) {
		TAILQ_REMOVE(list, m, link);
		if (m->report.started_ns == 0)
			(void)snprintf(m->transaction.problem, sizeof(m->transaction.problem),
				       "stopped before it was started");
		finish_message(s, m);
	}
}

void sender_stop(struct sender *s)
{
	s->stopped = true;
	finish_all(s, &s->waiting);
	finish_all(s, &s->stale);
	finish_all(s, &s->again);
	tell_finished(s);
	task_schedule(s->pump); /* for on_idle */
}

static void free_all(struct message_list *list)
{
	struct message *m;
	while ((m = TAILQ_FIRST(list)) != NULL) {
		TAILQ_REMOVE(list, m, link);
		message_free(m);
	}
}

void sender_free(struct sender *s)
{
	if (s == NULL)
		return;
	struct slot *slot;
	while ((slot = TAILQ_FIRST(&s->slots)) != NULL) {
		struct message_list abandoned = TAILQ_HEAD_INITIALIZER(abandoned);
		TAILQ_CONCAT(&abandoned, &slot->messages, link);
		slot_free(s, slot);
		free_all(&abandoned);
	}
	free_all(&s->waiting);
	free_all(&s->stale);
	free_all(&s->again);
	free_all(&s->finished);
	task_free(s->pump);
	timer_free(s->due);
	free(s);
}
