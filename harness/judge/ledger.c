#include "harness/judge/ledger.h"

#include "harness/judge/ledger_impl.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

enum {
	ROOM_MIN = 64,
	TEXT_CHARS_MAX = 300,
};

struct interned {
	UT_hash_handle hh;
	char text[];
};

/* Makes room for one more element; running out of memory ends the process. */
static void *grow(void *array, uint32_t count, uint32_t *room, size_t element_bytes)
{
	if (count < *room)
		return array;
	*room = *room == 0 ? ROOM_MIN : *room * 2;
	void *bigger = realloc(array, *room * element_bytes);
	if (bigger == NULL)
		abort();
	return bigger;
}

const char *ledger_intern(struct ledger *l, struct span text)
{
	struct interned *found = NULL;

	text = span_sub(text, 0, TEXT_CHARS_MAX);
	if (text.n == 0)
		text.p = "";
	HASH_FIND(hh, l->texts, text.p, text.n, found);
	if (found == NULL) {
		found = calloc(1, sizeof(*found) + text.n + 1);
		if (found == NULL)
			abort();
		memcpy(found->text, text.p, text.n);
		HASH_ADD(hh, l->texts, text[0], (unsigned)text.n, found);
	}
	return found->text;
}

struct ledger *ledger_new(void)
{
	struct ledger *l = calloc(1, sizeof(*l));

	if (l == NULL)
		abort();
	return l;
}

void ledger_free(struct ledger *l)
{
	struct interned *t;
	struct interned *next;

	if (l == NULL)
		return;
	HASH_ITER(hh, l->texts, t, next)
	{
		HASH_DEL(l->texts, t);
		free(t);
	}
	free(l->messages);
	free(l->rows);
	free(l->strays);
	free(l);
}

/* ---- progress ---- */

enum ledger_submission ledger_row_submission(const struct ledger_message *m, const struct ledger_row *r)
{
	return r->rcpt_code >= 400 ? LEDGER_REFUSED : m->submission;
}

/* Adds what this row counts for, or takes it away: every change is bracketed by the two. */
static void count_row(struct ledger *l, const struct ledger_row *r, bool add)
{
	struct ledger_progress *p = &l->progress;
	enum ledger_submission s = ledger_row_submission(&l->messages[r->id], r);
	uint32_t one = add ? 1 : UINT32_MAX; /* unsigned wrap-around is subtraction */
	bool delivered = r->copies > 0;
	bool told = !delivered && r->dsns_failed > 0;

	p->planned += one;
	p->sent += s != LEDGER_PLANNED ? one : 0;
	p->accepted += s == LEDGER_ACCEPTED ? one : 0;
	p->rejected += s == LEDGER_REFUSED ? one : 0;
	p->delivered += delivered ? one : 0;
	p->told += told ? one : 0;
	p->backlog += s == LEDGER_ACCEPTED && !delivered && !told ? one : 0;
	p->indeterminate += s == LEDGER_NO_REPLY && !delivered && !told ? one : 0;
}

static void count_message(struct ledger *l, uint32_t id, bool add)
{
	const struct ledger_message *m = &l->messages[id];

	for (uint32_t i = 0; i < m->row_count; i++)
		count_row(l, &l->rows[m->row_first + i], add);
}

/* ---- facts about the submission ---- */

static void plan_row(struct ledger *l, uint32_t id, const struct ledger_recipient *to)
{
	l->rows = grow(l->rows, l->row_count, &l->row_room, sizeof(*l->rows));
	l->rows[l->row_count++] = (struct ledger_row){
		.id = id,
		.recipient = ledger_intern(l, span_of(to->address)),
		.mailbox = ledger_intern(l, span_of(to->mailbox != NULL ? to->mailbox : to->address)),
		.outcome = OUTCOME_INDETERMINATE,
		.attempt_started_ns = LEDGER_NEVER,
		.attempt_replied_ns = LEDGER_NEVER,
		.stored_ns = LEDGER_NEVER,
		.seen_ns = LEDGER_NEVER,
		.not_before_ns = LEDGER_NEVER,
		.told_ns = LEDGER_NEVER,
	};
}

uint32_t ledger_plan(struct ledger *l, const struct ledger_plan *p)
{
	assert(p->recipient_count > 0);
	assert(!l->settled);
	uint32_t id = l->message_count;

	l->messages = grow(l->messages, l->message_count, &l->message_room, sizeof(*l->messages));
	l->messages[l->message_count++] = (struct ledger_message){
		.submission = LEDGER_PLANNED,
		.row_first = l->row_count,
		.row_count = p->recipient_count,
		.body_bytes = p->body_bytes,
		.group = p->group,
		.sender = ledger_intern(l, span_of(p->sender)),
		.intended_ns = p->intended_ns,
		.connected_ns = LEDGER_NEVER,
		.started_ns = LEDGER_NEVER,
		.final_dot_ns = LEDGER_NEVER,
		.final_reply_ns = LEDGER_NEVER,
		.ended_ns = LEDGER_NEVER,
	};
	for (uint32_t i = 0; i < p->recipient_count; i++)
		plan_row(l, id, &p->recipients[i]);
	count_message(l, id, true);
	return id;
}

static struct ledger_message *message_of(struct ledger *l, uint32_t id)
{
	assert(id < l->message_count);
	assert(!l->settled);
	return &l->messages[id];
}

void ledger_content(struct ledger *l, uint32_t id, const struct content_digest *digest)
{
	message_of(l, id)->digest = *digest;
}

void ledger_connected(struct ledger *l, uint32_t id, int64_t at_ns)
{
	message_of(l, id)->connected_ns = at_ns;
}

void ledger_started(struct ledger *l, uint32_t id, int64_t at_ns)
{
	message_of(l, id)->started_ns = at_ns;
}

void ledger_rcpt_reply(struct ledger *l, uint32_t id, uint32_t recipient, uint32_t code, struct span text)
{
	struct ledger_message *m = message_of(l, id);
	assert(recipient < m->row_count);
	struct ledger_row *r = &l->rows[m->row_first + recipient];

	count_row(l, r, false);
	r->rcpt_code = code;
	if (code >= 400)
		r->reason = ledger_intern(l, text);
	count_row(l, r, true);
}

void ledger_final_dot(struct ledger *l, uint32_t id, int64_t at_ns)
{
	message_of(l, id)->final_dot_ns = at_ns;
}

static void submission_ends(struct ledger *l, uint32_t id, enum ledger_submission how)
{
	count_message(l, id, false);
	l->messages[id].submission = how;
	count_message(l, id, true);
}

void ledger_final_reply(struct ledger *l, uint32_t id, int64_t at_ns, uint32_t code, struct span text)
{
	struct ledger_message *m = message_of(l, id);
	bool accepted = m->final_dot_ns != LEDGER_NEVER && code >= 200 && code < 300;

	if (m->submission != LEDGER_PLANNED)
		return; /* decided before; what follows is about the connection */
	m->final_reply_ns = at_ns;
	m->ended_ns = at_ns;
	m->reply_code = code;
	m->reply_text = ledger_intern(l, text);
	/* A success that nothing asked for decides nothing. */
	enum ledger_submission otherwise = code >= 400 ? LEDGER_REFUSED : LEDGER_UNSENT;
	submission_ends(l, id, accepted ? LEDGER_ACCEPTED : otherwise);
}

void ledger_broken(struct ledger *l, uint32_t id, int64_t at_ns, struct span text)
{
	struct ledger_message *m = message_of(l, id);

	if (m->submission != LEDGER_PLANNED)
		return;
	m->ended_ns = at_ns;
	m->reply_text = ledger_intern(l, text);
	submission_ends(l, id, m->final_dot_ns != LEDGER_NEVER ? LEDGER_NO_REPLY : LEDGER_UNSENT);
}

/* ---- facts from beyond ---- */

static void attempt_row(struct ledger_row *r, const struct ledger_attempt *a)
{
	r->attempts++;
	if (a->code < 200 || a->code >= 300)
		return;
	if (r->stored_ns < a->replied_ns)
		r->stored_ns = a->replied_ns;
	if (r->attempt_replied_ns != LEDGER_NEVER)
		return;
	r->attempt_started_ns = a->started_ns;
	r->attempt_replied_ns = a->replied_ns;
}

void ledger_attempt(struct ledger *l, uint32_t id, const struct ledger_attempt *a)
{
	const struct ledger_message *m = message_of(l, id);

	for (uint32_t i = 0; i < m->row_count; i++) {
		struct ledger_row *r = &l->rows[m->row_first + i];
		if (a->recipient == NULL || span_eq_nocase(span_of(a->recipient), span_of(r->recipient)))
			attempt_row(r, a);
	}
}

void ledger_stray(struct ledger *l, const char *mailbox, struct span reason, int64_t seen_ns)
{
	assert(!l->settled);
	l->strays = grow(l->strays, l->stray_count, &l->stray_room, sizeof(*l->strays));
	l->strays[l->stray_count++] = (struct ledger_stray){
		.mailbox = ledger_intern(l, span_of(mailbox)),
		.reason = ledger_intern(l, reason),
		.seen_ns = seen_ns,
	};
}

static void stray_about(struct ledger *l, uint32_t id, const char *mailbox, const char *what, int64_t seen_ns)
{
	char text[TEXT_CHARS_MAX];

	(void)snprintf(text, sizeof(text), "%s message %u, which went from %s to %s%s", what, id,
		       l->messages[id].sender, l->rows[l->messages[id].row_first].recipient,
		       l->messages[id].row_count > 1 ? " and others" : "");
	ledger_stray(l, mailbox, span_of(text), seen_ns);
}

static struct ledger_row *find_row(struct ledger *l, uint32_t id, struct span address, bool by_mailbox)
{
	const struct ledger_message *m = &l->messages[id];

	for (uint32_t i = 0; i < m->row_count; i++) {
		struct ledger_row *r = &l->rows[m->row_first + i];
		if (span_eq_nocase(span_of(by_mailbox ? r->mailbox : r->recipient), address))
			return r;
	}
	return NULL;
}

void ledger_copy(struct ledger *l, uint32_t id, const struct ledger_copy *c)
{
	assert(c->not_before_ns <= c->seen_ns);
	(void)message_of(l, id);
	struct ledger_row *r = find_row(l, id, span_of(c->mailbox), true);

	if (r == NULL) {
		stray_about(l, id, c->mailbox, "a copy of", c->seen_ns);
		return;
	}
	count_row(l, r, false);
	r->copies++;
	r->copies_transformed += c->state == CONTENT_TRANSFORMED ? 1 : 0;
	r->copies_corrupted += c->state == CONTENT_CORRUPTED ? 1 : 0;
	if (c->state != CONTENT_INTACT)
		r->reason = ledger_intern(l, c->difference);
	if (r->seen_ns == LEDGER_NEVER) {
		r->seen_ns = c->seen_ns;
		r->not_before_ns = c->not_before_ns;
	}
	count_row(l, r, true);
}

static void dsn_row(struct ledger *l, struct ledger_row *r, const struct ledger_dsn *d)
{
	count_row(l, r, false);
	if (d->action == LEDGER_ACTION_DELAYED)
		r->dsns_delayed++;
	if (d->action == LEDGER_ACTION_FAILED) {
		r->dsns_failed++;
		if (r->told_ns == LEDGER_NEVER) {
			r->told_ns = d->seen_ns;
			r->dsn_status = ledger_intern(l, d->status);
		}
	}
	if (d->malformed.n > 0) {
		r->dsns_malformed++;
		r->reason = ledger_intern(l, d->malformed);
	}
	count_row(l, r, true);
}

void ledger_dsn(struct ledger *l, uint32_t id, const struct ledger_dsn *d)
{
	const struct ledger_message *m = message_of(l, id);
	struct ledger_row *r = find_row(l, id, d->recipient, false);

	if (!span_eq_nocase(span_of(d->mailbox), span_of(m->sender))) {
		stray_about(l, id, d->mailbox, "a notification about", d->seen_ns);
		return;
	}
	/* Too broken to say whom it means: with one recipient there is no doubt. */
	if (r == NULL && d->malformed.n > 0 && m->row_count == 1)
		r = &l->rows[m->row_first];
	if (r == NULL)
		stray_about(l, id, d->mailbox, "a notification for somebody else about", d->seen_ns);
	else
		dsn_row(l, r, d);
}

/* ---- reading ---- */

struct ledger_progress ledger_progress(const struct ledger *l)
{
	return l->progress;
}

uint32_t ledger_message_count(const struct ledger *l)
{
	return l->message_count;
}

const struct ledger_message *ledger_message(const struct ledger *l, uint32_t id)
{
	assert(id < l->message_count);
	return &l->messages[id];
}

uint32_t ledger_row_count(const struct ledger *l)
{
	return l->row_count;
}

const struct ledger_row *ledger_row(const struct ledger *l, uint32_t i)
{
	assert(i < l->row_count);
	return &l->rows[i];
}

uint32_t ledger_stray_count(const struct ledger *l)
{
	return l->stray_count;
}

const struct ledger_stray *ledger_stray_at(const struct ledger *l, uint32_t i)
{
	assert(i < l->stray_count);
	return &l->strays[i];
}
