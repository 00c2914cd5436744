#include "harness/judge/ledger.h"

#include "harness/judge/ledger_impl.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

static const char *const outcome_names[OUTCOME_COUNT] = {
	[OUTCOME_REJECTED] = "rejected",         [OUTCOME_DELIVERED] = "delivered",
	[OUTCOME_TRANSFORMED] = "transformed",   [OUTCOME_BOUNCED] = "bounced",
	[OUTCOME_STILL_QUEUED] = "still_queued", [OUTCOME_LOST] = "lost",
	[OUTCOME_DUPLICATED] = "duplicated",     [OUTCOME_CORRUPTED] = "corrupted",
	[OUTCOME_UNEXPECTED] = "unexpected",     [OUTCOME_INDETERMINATE] = "indeterminate",
	[OUTCOME_RECOVERED] = "recovered",       [OUTCOME_ABSENT] = "absent",
};

const char *outcome_name(enum outcome o)
{
	assert(o < OUTCOME_COUNT);
	return outcome_names[o];
}

bool outcome_parse(struct span name, enum outcome *ret_outcome)
{
	for (unsigned o = 0; o < OUTCOME_COUNT; o++) {
		if (span_eq(name, span_of(outcome_names[o]))) {
			*ret_outcome = (enum outcome)o;
			return true;
		}
	}
	return false;
}

struct judgement {
	enum outcome outcome;
	const char *reason; /* NULL: keep what the facts left */
};

/* Exactly one copy, and its content is acceptable. */
static struct judgement judge_one_copy(enum ledger_submission s, const struct ledger_row *r)
{
	enum outcome fine = r->copies_transformed > 0 ? OUTCOME_TRANSFORMED : OUTCOME_DELIVERED;

	if (r->dsns_failed > 0)
		return (struct judgement){ OUTCOME_UNEXPECTED,
					   "delivered, and yet its sender was told that it failed" };
	switch (s) {
	case LEDGER_PLANNED:
	case LEDGER_UNSENT:
		return (struct judgement){ OUTCOME_UNEXPECTED, "delivered, though it was never sent whole" };
	case LEDGER_REFUSED:
		return (struct judgement){ OUTCOME_UNEXPECTED,
					   "delivered, though it was refused at submission" };
	case LEDGER_ACCEPTED:
		return (struct judgement){ fine, NULL };
	case LEDGER_NO_REPLY:
		return (struct judgement){ fine == OUTCOME_DELIVERED ? OUTCOME_RECOVERED : fine, NULL };
	}
	assert(false);
	return (struct judgement){ OUTCOME_INDETERMINATE, NULL };
}

/* The sender was told of failure, and no copy arrived. */
static struct judgement judge_told(enum ledger_submission s, const struct ledger_row *r)
{
	if (s == LEDGER_PLANNED || s == LEDGER_UNSENT)
		return (struct judgement){ OUTCOME_UNEXPECTED,
					   "never sent whole, and yet a notification came" };
	if (s == LEDGER_REFUSED)
		return (struct judgement){ OUTCOME_UNEXPECTED,
					   "refused at submission, and a notification came as well" };
	if (r->dsns_failed > 1)
		return (struct judgement){ OUTCOME_BOUNCED, "its sender was told more than once" };
	return (struct judgement){ OUTCOME_BOUNCED, NULL };
}

/* Neither a copy nor a notification. */
static struct judgement judge_silence(enum ledger_submission s, const struct ledger_end *end, bool waits)
{
	if (s == LEDGER_REFUSED)
		return (struct judgement){ OUTCOME_REJECTED, NULL };
	if (s == LEDGER_PLANNED)
		return (struct judgement){ OUTCOME_INDETERMINATE, "never sent" };
	if (!end->complete)
		return (struct judgement){ OUTCOME_INDETERMINATE,
					   "the run was cut short before this was settled" };
	if (s == LEDGER_UNSENT)
		return (struct judgement){ OUTCOME_ABSENT,
					   "not sent: there was no connection, or it broke off" };
	if (waits)
		return (struct judgement){ OUTCOME_STILL_QUEUED, NULL };
	if (s == LEDGER_NO_REPLY)
		return (struct judgement){ OUTCOME_ABSENT, NULL };
	return (struct judgement){
		OUTCOME_LOST,
		end->residue_known
			? "accepted; not delivered, sender not told, and no queue holds it"
			: "accepted; not delivered and sender not told in time (queues were not asked)"
	};
}

static struct judgement judge_row(enum ledger_submission s, const struct ledger_row *r,
				  const struct ledger_end *end, bool waits)
{
	if (r->copies_corrupted > 0)
		return (struct judgement){ OUTCOME_CORRUPTED, NULL };
	if (r->copies > 1)
		return (struct judgement){ OUTCOME_DUPLICATED, "more than one copy arrived" };
	if (r->copies == 1)
		return judge_one_copy(s, r);
	if (r->dsns_failed > 0)
		return judge_told(s, r);
	return judge_silence(s, end, waits);
}

/* ---- what the queues hold ---- */

/* Neither copy nor notification, and not for want of sending: a queue may have it. */
static bool may_wait(const struct ledger *l, const struct ledger_row *r)
{
	enum ledger_submission s = ledger_row_submission(&l->messages[r->id], r);

	return (s == LEDGER_ACCEPTED || s == LEDGER_NO_REPLY) && r->copies == 0 && r->copies_corrupted == 0 &&
	       r->dsns_failed == 0;
}

/* From the surest to the vaguest. */
enum kinship {
	KIN_SELF,         /* same sender and recipient */
	KIN_NOTIFICATION, /* to its sender */
	KIN_SENDER,       /* same sender, and a recipient nobody wrote to: an alias may have led there */
	KIN_COUNT,
};

static bool is_kin(enum kinship k, const struct ledger_waiting *w, const char *sender, const char *recipient)
{
	switch (k) {
	case KIN_SELF:
		return strcasecmp(w->sender, sender) == 0 && strcasecmp(w->recipient, recipient) == 0;
	case KIN_NOTIFICATION:
		return w->sender[0] == '\0' && strcasecmp(w->recipient, sender) == 0;
	case KIN_SENDER:
		return strcasecmp(w->sender, sender) == 0;
	case KIN_COUNT:
		break;
	}
	return false;
}

static bool is_known(const struct ledger *l, const struct ledger_waiting *w)
{
	for (uint32_t i = 0; i < l->row_count; i++)
		if (is_kin(KIN_SELF, w, l->messages[l->rows[i].id].sender, l->rows[i].recipient))
			return true;
	return false;
}

/* Gives each entry of the queues to one row at most, the latest first, and marks it. */
static void excuse_by_name(const struct ledger *l, const struct ledger_end *end, bool *excused)
{
	bool *used = calloc(end->waiting_count + 1, sizeof(*used));

	if (used == NULL)
		abort();
	for (unsigned k = 0; k < KIN_COUNT; k++) {
		for (uint32_t w = 0; k == KIN_SENDER && w < end->waiting_count; w++)
			used[w] = used[w] || is_known(l, &end->waiting[w]);
		for (uint32_t i = l->row_count; i-- > 0;) {
			const struct ledger_row *r = &l->rows[i];
			const char *sender = l->messages[r->id].sender;
			for (uint32_t w = 0; !excused[i] && may_wait(l, r) && w < end->waiting_count; w++) {
				if (!used[w] &&
				    is_kin((enum kinship)k, &end->waiting[w], sender, r->recipient))
					used[w] = excused[i] = true;
			}
		}
	}
	free(used);
}

/*
 * Without names only their number is known.  What came last has had the least
 * time, so it is given the benefit first; a queue that holds something else
 * then excuses a row that is lost.
 */
static void excuse_by_number(const struct ledger *l, const struct ledger_end *end, bool *excused)
{
	uint32_t left = end->residue_known ? end->residue_rows : 0;

	for (uint32_t i = l->row_count; left > 0 && i-- > 0;) {
		excused[i] = may_wait(l, &l->rows[i]);
		left -= excused[i] ? 1 : 0;
	}
}

void ledger_settle(struct ledger *l, const struct ledger_end *end)
{
	assert(!l->settled);
	bool *excused = calloc(l->row_count + 1, sizeof(*excused));

	if (excused == NULL)
		abort();
	if (end->names_known)
		excuse_by_name(l, end, excused);
	else
		excuse_by_number(l, end, excused);
	for (uint32_t i = 0; i < l->row_count; i++) {
		struct ledger_row *r = &l->rows[i];
		struct judgement j =
			judge_row(ledger_row_submission(&l->messages[r->id], r), r, end, excused[i]);
		r->outcome = j.outcome;
		if (j.reason != NULL)
			r->reason = j.reason;
	}
	free(excused);
	l->settled = true;
}

uint32_t ledger_outcome_count(const struct ledger *l, enum outcome o)
{
	assert(l->settled);
	uint32_t count = o == OUTCOME_UNEXPECTED ? l->stray_count : 0;

	for (uint32_t i = 0; i < l->row_count; i++)
		count += l->rows[i].outcome == o ? 1 : 0;
	return count;
}

struct ledger_told ledger_told(const struct ledger *l)
{
	assert(l->settled);
	struct ledger_told t = { 0 };

	for (uint32_t i = 0; i < l->row_count; i++) {
		const struct ledger_row *r = &l->rows[i];
		if (r->outcome != OUTCOME_BOUNCED && r->outcome != OUTCOME_LOST) {
			t.malformed += r->dsns_failed == 0 && r->dsns_malformed > 0 ? 1 : 0;
			continue;
		}
		t.failed++;
		if (r->dsns_failed == 0)
			t.missing++;
		else if (r->dsns_failed > 1)
			t.repeated++;
		else if (r->dsns_malformed > 0)
			t.malformed++;
		else
			t.once++;
	}
	return t;
}
