#include "harness/judge/metrics.h"

#include <assert.h>
#include <stdlib.h>

static int64_t between(int64_t from_ns, int64_t to_ns)
{
	return to_ns > from_ns ? to_ns - from_ns : 0;
}

static void note(struct metrics *m, enum flow_metric metric, int64_t from_ns, int64_t to_ns)
{
	m->below_zero[metric] += to_ns < from_ns ? 1 : 0;
	hist_record(m->of[metric], between(from_ns, to_ns));
}

static void measure_message(struct metrics *m, const struct ledger_message *msg, int64_t ended_ns)
{
	if (msg->started_ns != LEDGER_NEVER)
		note(m, FLOW_METRIC_SEND_LAG, msg->intended_ns, msg->started_ns);
	else
		hist_record_censored(m->of[FLOW_METRIC_SEND_LAG], between(msg->intended_ns, ended_ns));

	if (msg->submission == LEDGER_ACCEPTED)
		note(m, FLOW_METRIC_ACCEPT, msg->intended_ns, msg->final_reply_ns);
	else if (msg->submission == LEDGER_NO_REPLY || msg->submission == LEDGER_UNSENT)
		hist_record_censored(m->of[FLOW_METRIC_ACCEPT], between(msg->intended_ns, ended_ns));
}

/* Promised, and neither delivered nor given back: how long it takes is only known to be longer. */
static bool is_open(const struct ledger_row *r)
{
	return r->copies == 0 && r->dsns_failed == 0 &&
	       (r->outcome == OUTCOME_STILL_QUEUED || r->outcome == OUTCOME_LOST ||
		r->outcome == OUTCOME_INDETERMINATE);
}

static void measure_hops(struct metrics *m, const struct ledger_message *msg, const struct ledger_row *r,
			 int64_t ended_ns, bool links_seen)
{
	bool hop_done = r->attempt_replied_ns != LEDGER_NEVER;

	if (hop_done && msg->submission == LEDGER_ACCEPTED)
		note(m, FLOW_METRIC_QUEUE, msg->final_reply_ns, r->attempt_started_ns);
	else if (links_seen && is_open(r) && msg->submission == LEDGER_ACCEPTED)
		hist_record_censored(m->of[FLOW_METRIC_QUEUE], between(msg->final_reply_ns, ended_ns));
	if (hop_done)
		note(m, FLOW_METRIC_TRANSFER, r->attempt_started_ns, r->attempt_replied_ns);
}

static void measure_arrival(struct metrics *m, const struct ledger_message *msg, const struct ledger_row *r,
			    int64_t ended_ns)
{
	bool hop_done = r->stored_ns != LEDGER_NEVER;
	int64_t stored_ns = hop_done ? r->stored_ns : msg->final_reply_ns;

	if (r->copies > 0) {
		if (stored_ns != LEDGER_NEVER)
			note(m, FLOW_METRIC_VISIBILITY, stored_ns, r->seen_ns);
		note(m, FLOW_METRIC_END_TO_END, msg->intended_ns, r->seen_ns);
	} else if (is_open(r) && msg->submission != LEDGER_PLANNED) { /* what was never sent is not late */
		if (hop_done)
			hist_record_censored(m->of[FLOW_METRIC_VISIBILITY], between(stored_ns, ended_ns));
		hist_record_censored(m->of[FLOW_METRIC_END_TO_END], between(msg->intended_ns, ended_ns));
	}
}

static bool any_attempt(const struct ledger *l)
{
	for (uint32_t i = 0; i < ledger_row_count(l); i++)
		if (ledger_row(l, i)->attempts > 0)
			return true;
	return false;
}

static void measure_uncertainty(struct metrics *m, const struct ledger *l)
{
	uint32_t count = 0;
	double sum_ns = 0;

	for (uint32_t i = 0; i < ledger_row_count(l); i++) {
		const struct ledger_row *r = ledger_row(l, i);
		if (r->copies == 0)
			continue;
		/* No poll before this one: it cannot have been there before it was sent. */
		int64_t intended_ns = ledger_message(l, r->id)->intended_ns;
		int64_t from_ns = r->not_before_ns > intended_ns ? r->not_before_ns : intended_ns;
		int64_t width_ns = between(from_ns, r->seen_ns);
		count++;
		sum_ns += (double)width_ns;
		if (width_ns > m->seen_interval_max_ns)
			m->seen_interval_max_ns = width_ns;
	}
	if (count > 0)
		m->seen_interval_mean_ns = (int64_t)(sum_ns / count);
}

/* The time at which the first of several busy sessions becomes free, replaced by that of its next message. */
static int64_t *soonest(int64_t *free_ns, uint32_t count)
{
	int64_t *best = free_ns;

	for (uint32_t i = 1; i < count; i++)
		if (free_ns[i] < *best)
			best = &free_ns[i];
	return best;
}

/* Messages of one traffic entry lie in order of their intended times, and are taken up in that order. */
static void measure_own_lag(struct metrics *m, const struct ledger *l, uint32_t group, uint32_t session_count)
{
	uint32_t sessions = session_count > 0 ? session_count : 1;
	int64_t *free_ns = calloc(sessions, sizeof(*free_ns));

	if (free_ns == NULL)
		abort();
	for (uint32_t id = 0; id < ledger_message_count(l); id++) {
		const struct ledger_message *msg = ledger_message(l, id);
		if (msg->group != group || msg->started_ns == LEDGER_NEVER)
			continue;
		int64_t *session = soonest(free_ns, sessions);
		int64_t ready_ns = *session > msg->intended_ns ? *session : msg->intended_ns;
		hist_record(m->own_lag, between(ready_ns, msg->started_ns));
		*session = msg->ended_ns != LEDGER_NEVER ? msg->ended_ns : INT64_MAX;
	}
	free(free_ns);
}

struct metrics metrics_measure(const struct ledger *l, const struct flow *f, int64_t ended_ns)
{
	struct metrics m = { .own_lag = hist_new() };
	bool links_seen = any_attempt(l);

	for (unsigned i = 0; i < FLOW_METRIC_COUNT; i++)
		m.of[i] = hist_new();
	for (uint32_t id = 0; id < ledger_message_count(l); id++)
		measure_message(&m, ledger_message(l, id), ended_ns);
	for (uint32_t i = 0; i < ledger_row_count(l); i++) {
		const struct ledger_row *r = ledger_row(l, i);
		const struct ledger_message *msg = ledger_message(l, r->id);
		measure_hops(&m, msg, r, ended_ns, links_seen);
		measure_arrival(&m, msg, r, ended_ns);
	}
	for (uint32_t g = 0; g < f->traffic_count; g++)
		measure_own_lag(&m, l, g, f->traffic[g].session_count);
	measure_uncertainty(&m, l);
	return m;
}

void metrics_free(struct metrics *m)
{
	for (unsigned i = 0; i < FLOW_METRIC_COUNT; i++)
		hist_free(m->of[i]);
	hist_free(m->own_lag);
	*m = (struct metrics){ 0 };
}

bool metrics_drain(const struct ledger *l, int64_t since_ns, int64_t *ret_drain_ns, uint32_t *ret_rows)
{
	int64_t last_ns = since_ns;
	uint32_t waiting = 0;
	bool drained = true;

	for (uint32_t i = 0; i < ledger_row_count(l); i++) {
		const struct ledger_row *r = ledger_row(l, i);
		const struct ledger_message *msg = ledger_message(l, r->id);
		int64_t settled_ns = r->copies > 0 ? r->seen_ns : r->told_ns;
		if (msg->submission != LEDGER_ACCEPTED || r->rcpt_code >= 400 ||
		    msg->final_reply_ns > since_ns)
			continue;
		if (settled_ns == LEDGER_NEVER) {
			drained = false;
			waiting++;
		} else if (settled_ns > since_ns) {
			waiting++;
			last_ns = settled_ns > last_ns ? settled_ns : last_ns;
		}
	}
	*ret_drain_ns = last_ns - since_ns;
	*ret_rows = waiting;
	return drained;
}
