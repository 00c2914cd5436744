#include "harness/judge/verdict.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	NS_PER_MS = 1000000,
	EXIT_INTERRUPTED = 130,
};

/* ---- reasons ---- */

void reasons_add(struct reasons *r, enum reason_weight weight, const char *fmt, ...)
{
	va_list ap;

	if (r->count == r->room) {
		r->room = r->room == 0 ? 8 : r->room * 2;
		r->items = realloc(r->items, r->room * sizeof(*r->items));
		if (r->items == NULL)
			abort();
	}
	struct reason *new = &r->items[r->count++];
	new->weight = weight;
	va_start(ap, fmt);
	(void)vsnprintf(new->text, sizeof(new->text), fmt, ap);
	va_end(ap);
	/* One line each; some quote what a server said. */
	size_t n = strlen(new->text);
	while (n > 0 && (new->text[n - 1] == '\n' || new->text[n - 1] == ' '))
		new->text[--n] = '\0';
	for (char *c = new->text; *c != '\0'; c++)
		if (*c == '\n' || *c == '\r' || *c == '\t')
			*c = ' ';
}

void reasons_free(struct reasons *r)
{
	free(r->items);
	*r = (struct reasons){ 0 };
}

const char *verdict_name(enum verdict v)
{
	static const char *const names[VERDICT_COUNT] = {
		[VERDICT_PASS] = "pass",
		[VERDICT_FAIL] = "fail",
		[VERDICT_INVALID] = "invalid",
		[VERDICT_INTERRUPTED] = "interrupted",
	};
	assert(v < VERDICT_COUNT);
	return names[v];
}

int verdict_exit_code(enum verdict v)
{
	switch (v) {
	case VERDICT_PASS:
		return 0;
	case VERDICT_FAIL:
		return 1;
	case VERDICT_INVALID:
		return 3;
	case VERDICT_INTERRUPTED:
	case VERDICT_COUNT:
		break;
	}
	return EXIT_INTERRUPTED;
}

int exit_code_worse(int a, int b)
{
	static const int order[] = { EXIT_INTERRUPTED, 4, 2, 1, 3, 0 };

	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
		if (a == order[i] || b == order[i])
			return order[i];
	return 4;
}

/* ---- the ledger against the flow ---- */

/* The flow's words, in terms of outcomes: what was recovered has arrived, what is absent was never promised.
 */
static uint32_t count_of(const struct ledger *l, enum flow_ledger what)
{
	switch (what) {
	case FLOW_LEDGER_REJECTED:
		return ledger_outcome_count(l, OUTCOME_REJECTED);
	case FLOW_LEDGER_DELIVERED:
		return ledger_outcome_count(l, OUTCOME_DELIVERED) +
		       ledger_outcome_count(l, OUTCOME_RECOVERED);
	case FLOW_LEDGER_TRANSFORMED:
		return ledger_outcome_count(l, OUTCOME_TRANSFORMED);
	case FLOW_LEDGER_BOUNCED:
		return ledger_outcome_count(l, OUTCOME_BOUNCED);
	case FLOW_LEDGER_QUEUED:
		return ledger_outcome_count(l, OUTCOME_STILL_QUEUED);
	case FLOW_LEDGER_LOST:
		return ledger_outcome_count(l, OUTCOME_LOST);
	case FLOW_LEDGER_DUPLICATED:
		return ledger_outcome_count(l, OUTCOME_DUPLICATED);
	case FLOW_LEDGER_CORRUPTED:
		return ledger_outcome_count(l, OUTCOME_CORRUPTED);
	case FLOW_LEDGER_UNEXPECTED:
		return ledger_outcome_count(l, OUTCOME_UNEXPECTED);
	case FLOW_LEDGER_INDETERMINATE:
		return ledger_outcome_count(l, OUTCOME_INDETERMINATE) +
		       ledger_outcome_count(l, OUTCOME_ABSENT);
	case FLOW_LEDGER_COUNT:
		break;
	}
	assert(false);
	return 0;
}

/* Of a run that was cut short only what must never happen can be judged. */
static bool is_premature(const struct record *r, const struct flow_count *want)
{
	return r->interrupted && want->op != FLOW_COUNT_MAX && !(want->op == FLOW_COUNT_EQ && want->n == 0);
}

static void check_counts(struct record *r)
{
	uint32_t rows = ledger_row_count(r->ledger);

	for (unsigned i = 0; i < FLOW_LEDGER_COUNT; i++) {
		const struct flow_count *want = &r->flow->expect.ledger[i];
		const char *name = flow_ledger_name((enum flow_ledger)i);
		uint64_t got = count_of(r->ledger, (enum flow_ledger)i);
		if (is_premature(r, want))
			continue;
		switch (want->op) {
		case FLOW_COUNT_ANY:
			break;
		case FLOW_COUNT_EQ:
			if (got != want->n)
				reasons_add(&r->reasons, REASON_FAIL, "%" PRIu64 " %s, expected %" PRIu64,
					    got, name, want->n);
			break;
		case FLOW_COUNT_MIN:
			if (got < want->n)
				reasons_add(&r->reasons, REASON_FAIL,
					    "%" PRIu64 " %s, expected at least %" PRIu64, got, name, want->n);
			break;
		case FLOW_COUNT_MAX:
			if (got > want->n)
				reasons_add(&r->reasons, REASON_FAIL,
					    "%" PRIu64 " %s, expected at most %" PRIu64, got, name, want->n);
			break;
		case FLOW_COUNT_ALL:
			if (got != rows)
				reasons_add(&r->reasons, REASON_FAIL, "%" PRIu64 " %s, expected all %" PRIu32,
					    got, name, rows);
			break;
		}
	}
}

static bool is_allowed(const struct flow *f, enum flow_ledger what)
{
	const struct flow_count *c = &f->expect.ledger[what];

	return (c->op == FLOW_COUNT_EQ || c->op == FLOW_COUNT_MAX || c->op == FLOW_COUNT_MIN)
		       ? c->n > 0
		       : c->op == FLOW_COUNT_ALL;
}

/*
 * Did this row end as its traffic said?  What the table of counts speaks of
 * (lost, duplicated, …) is reported there and not a second time here.
 */
static bool ended_as_planned(const struct flow *f, enum flow_outcome want, enum outcome got)
{
	switch (got) {
	case OUTCOME_DELIVERED:
	case OUTCOME_RECOVERED:
		return want == FLOW_DELIVERED;
	case OUTCOME_BOUNCED:
		return want == FLOW_BOUNCED;
	case OUTCOME_REJECTED:
		return want == FLOW_REJECTED || is_allowed(f, FLOW_LEDGER_REJECTED);
	case OUTCOME_TRANSFORMED:
		return want == FLOW_DELIVERED && is_allowed(f, FLOW_LEDGER_TRANSFORMED);
	case OUTCOME_STILL_QUEUED:
		return is_allowed(f, FLOW_LEDGER_QUEUED);
	case OUTCOME_ABSENT:
		return is_allowed(f, FLOW_LEDGER_INDETERMINATE);
	case OUTCOME_INDETERMINATE: /* never sent, or cut short: the validity checks speak of it */
	case OUTCOME_LOST:
	case OUTCOME_DUPLICATED:
	case OUTCOME_CORRUPTED:
	case OUTCOME_UNEXPECTED:
		return true;
	case OUTCOME_COUNT:
		break;
	}
	assert(false);
	return false;
}

static const char *planned_name(enum flow_outcome o)
{
	switch (o) {
	case FLOW_DELIVERED:
		return "delivered";
	case FLOW_BOUNCED:
		return "bounced";
	case FLOW_REJECTED:
		return "rejected";
	}
	return "?";
}

static void check_traffic(struct record *r, uint32_t group)
{
	const struct flow_traffic *t = &r->flow->traffic[group];
	uint32_t other[OUTCOME_COUNT] = { 0 };

	for (uint32_t i = 0; i < ledger_row_count(r->ledger); i++) {
		const struct ledger_row *row = ledger_row(r->ledger, i);
		if (ledger_message(r->ledger, row->id)->group == group &&
		    !ended_as_planned(r->flow, t->outcome, row->outcome))
			other[row->outcome]++;
	}
	for (unsigned o = 0; o < OUTCOME_COUNT; o++)
		if (other[o] > 0)
			reasons_add(&r->reasons, REASON_FAIL,
				    "traffic \"%s\": %" PRIu32 " %s that should have been %s", t->name,
				    other[o], outcome_name((enum outcome)o), planned_name(t->outcome));
}

static void check_told(struct record *r)
{
	struct ledger_told t = ledger_told(r->ledger);

	if (t.repeated > 0)
		reasons_add(&r->reasons, REASON_FAIL, "senders told more than once of one failure: %" PRIu32,
			    t.repeated);
	if (t.malformed > 0)
		reasons_add(&r->reasons, REASON_FAIL, "malformed notifications: %" PRIu32, t.malformed);
}

/* The first row that went wrong, so that the reason names something to look at. */
static void show_example(struct record *r)
{
	for (uint32_t i = 0; i < ledger_row_count(r->ledger); i++) {
		const struct ledger_row *row = ledger_row(r->ledger, i);
		bool bad = row->outcome == OUTCOME_LOST || row->outcome == OUTCOME_DUPLICATED ||
			   row->outcome == OUTCOME_CORRUPTED || row->outcome == OUTCOME_UNEXPECTED ||
			   (row->outcome == OUTCOME_BOUNCED && row->dsns_malformed > 0);
		if (bad) {
			reasons_add(&r->reasons, REASON_NOTE, "for example message %" PRIu32 " to %s, %s: %s",
				    row->id, row->recipient, outcome_name(row->outcome),
				    row->reason != NULL ? row->reason : "no more is known");
			return;
		}
	}
	if (ledger_stray_count(r->ledger) > 0)
		reasons_add(&r->reasons, REASON_NOTE, "for example, in the mailbox of %s: %s",
			    ledger_stray_at(r->ledger, 0)->mailbox, ledger_stray_at(r->ledger, 0)->reason);
}

/* ---- times ---- */

static void check_latencies(struct record *r)
{
	for (uint32_t i = 0; i < r->flow->expect.latency_count; i++) {
		const struct flow_latency *want = &r->flow->expect.latencies[i];
		const struct hist *h = r->metrics->of[want->metric];
		struct hist_value got = hist_percentile(h, want->percentile);
		const char *name = flow_metric_name(want->metric);

		if (hist_count(h) + hist_censored_count(h) == 0)
			reasons_add(&r->reasons, REASON_INVALID, "%s could not be measured", name);
		else if (got.at_least || got.ns > want->max_ms * NS_PER_MS)
			reasons_add(&r->reasons, REASON_FAIL,
				    "%s p%g is %s%.1f ms, expected at most %" PRId64 " ms", name,
				    want->percentile, got.at_least ? "at least " : "",
				    (double)got.ns / NS_PER_MS, want->max_ms);
	}
}

static void check_drain(struct record *r)
{
	int64_t max_ms = r->flow->expect.drain_max_ms;

	if (max_ms == 0 || !r->drain.known || r->interrupted)
		return;
	if (!r->drain.complete)
		reasons_add(&r->reasons, REASON_FAIL, "the backlog never drained");
	else if (r->drain.drain_ns > max_ms * NS_PER_MS)
		reasons_add(&r->reasons, REASON_FAIL,
			    "the backlog took %.1f s to drain, expected at most %.1f s",
			    (double)r->drain.drain_ns / 1e9, (double)max_ms / 1000);
}

/* ---- could the harness judge at all? ---- */

static void check_lag(struct record *r, const char *what, const struct hist *h, int64_t max_ms)
{
	struct hist_value p99 = hist_percentile(h, 99);

	if (max_ms > 0 && p99.ns > max_ms * NS_PER_MS)
		reasons_add(&r->reasons, REASON_INVALID,
			    "%s p99 is %.1f ms, above the limit of %" PRId64 " ms: it was too slow to judge",
			    what, (double)p99.ns / NS_PER_MS, max_ms);
}

/* What was not really disturbed proves nothing about disturbances. */
static void check_faults(struct record *r)
{
	for (uint32_t i = 0; i < r->fault_count && !r->interrupted; i++) {
		const struct record_fault *f = &r->faults[i];
		if (f->begin_ns == LEDGER_NEVER)
			reasons_add(&r->reasons, REASON_INVALID, "the fault \"%s\" never began",
				    flow_fault_name(f->flow->kind));
		else if (f->strikes_counted && f->strike_count == 0)
			reasons_add(&r->reasons, REASON_INVALID,
				    "the fault \"%s\" struck nothing: nobody came its way while it lasted",
				    flow_fault_name(f->flow->kind));
	}
}

static uint32_t submission_count(const struct ledger *l, enum ledger_submission s)
{
	uint32_t count = 0;

	for (uint32_t id = 0; id < ledger_message_count(l); id++)
		count += ledger_message(l, id)->submission == s ? 1 : 0;
	return count;
}

static void check_validity(struct record *r)
{
	uint32_t never_sent = submission_count(r->ledger, LEDGER_PLANNED);
	uint32_t unsent = submission_count(r->ledger, LEDGER_UNSENT);

	if (never_sent + unsent == ledger_message_count(r->ledger))
		reasons_add(&r->reasons, REASON_INVALID, "nothing was sent, so nothing was judged");
	else if (never_sent > 0 && !r->interrupted)
		reasons_add(&r->reasons, REASON_INVALID, "%" PRIu32 " messages were never sent", never_sent);
	check_lag(r, "the harness's own send lag", r->metrics->own_lag, r->flow->limits.send_lag_p99_ms);
	check_lag(r, "loop lag", r->loop_lag, r->flow->limits.loop_lag_p99_ms);
	for (unsigned i = 0; i < FLOW_METRIC_COUNT; i++)
		if (hist_out_of_range_count(r->metrics->of[i]) > 0)
			reasons_add(&r->reasons, REASON_INVALID,
				    "%s has values outside the histogram's range",
				    flow_metric_name((enum flow_metric)i));
	check_faults(r);
}

/*
 * What broke a promise for everybody to see, however slow the harness was: a
 * copy too many, or not what was sent.  That a message is missing is proven
 * only when everything it could be in was really looked at, which is what the
 * reasons found before the verdict (`blind`) are about.
 */
static bool is_proven(const struct record *r, bool blind)
{
	static const enum flow_ledger facts[] = { FLOW_LEDGER_DUPLICATED, FLOW_LEDGER_CORRUPTED,
						  FLOW_LEDGER_UNEXPECTED, FLOW_LEDGER_LOST };

	for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++) {
		const struct flow_count *want = &r->flow->expect.ledger[facts[i]];
		bool most = want->op == FLOW_COUNT_EQ || want->op == FLOW_COUNT_MAX;
		if (facts[i] == FLOW_LEDGER_LOST && (blind || !r->queues_asked))
			continue;
		if (most && count_of(r->ledger, facts[i]) > want->n)
			return true;
	}
	return false;
}

static bool has_weight(const struct reasons *r, enum reason_weight w)
{
	for (uint32_t i = 0; i < r->count; i++)
		if (r->items[i].weight == w)
			return true;
	return false;
}

static bool any_decided(const struct ledger *l)
{
	for (uint32_t i = 0; i < ledger_row_count(l); i++) {
		enum outcome o = ledger_row(l, i)->outcome;
		if (o != OUTCOME_ABSENT && o != OUTCOME_INDETERMINATE)
			return true;
	}
	return false;
}

void verdict_reach(struct record *r)
{
	bool blind = has_weight(&r->reasons, REASON_INVALID);

	check_validity(r);
	check_counts(r);
	for (uint32_t g = 0; g < r->flow->traffic_count; g++)
		check_traffic(r, g);
	check_told(r);
	check_latencies(r);
	check_drain(r);
	show_example(r);
	bool sent = submission_count(r->ledger, LEDGER_PLANNED) + submission_count(r->ledger, LEDGER_UNSENT) <
		    ledger_message_count(r->ledger);
	if (sent && !has_weight(&r->reasons, REASON_FAIL) && !any_decided(r->ledger))
		reasons_add(&r->reasons, REASON_INVALID,
			    "no message was accepted or refused by a reply, so nothing was judged");
	if (r->interrupted)
		r->verdict = VERDICT_INTERRUPTED;
	else if (has_weight(&r->reasons, REASON_INVALID) && !is_proven(r, blind))
		r->verdict = VERDICT_INVALID;
	else if (has_weight(&r->reasons, REASON_FAIL))
		r->verdict = VERDICT_FAIL;
	else
		r->verdict = VERDICT_PASS;
}
