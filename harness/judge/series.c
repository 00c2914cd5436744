#include "harness/judge/series.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

enum {
	STEPS_MAX = 1200,
	NS_PER_MS = 1000000,
};

/* Latencies of all steps, gathered, then sorted. */
struct step_latencies {
	uint32_t step;
	int64_t ns; /* INT64_MAX: never arrived */
};

static int64_t pick_step_ms(int64_t length_ms)
{
	static const int64_t steps_ms[] = { 100, 200, 500, 1000, 2000, 5000, 10000, 30000, 60000 };
	size_t count = sizeof(steps_ms) / sizeof(steps_ms[0]);

	for (size_t i = 0; i < count; i++)
		if (length_ms / steps_ms[i] < STEPS_MAX)
			return steps_ms[i];
	return length_ms / STEPS_MAX + 1;
}

/* NULL when the moment lies outside. */
static struct series_point *point_at(const struct series *s, int64_t zero_ns, int64_t at_ns)
{
	if (at_ns == LEDGER_NEVER || at_ns < zero_ns)
		return NULL;
	int64_t i = (at_ns - zero_ns) / NS_PER_MS / s->step_ms;
	return i < s->count ? &s->points[i] : NULL;
}

static void count_row(const struct series *s, const struct ledger_message *m, const struct ledger_row *r,
		      int64_t zero_ns)
{
	bool accepted = m->submission == LEDGER_ACCEPTED && r->rcpt_code < 400;
	int64_t settled_ns = r->copies > 0 ? r->seen_ns : r->told_ns;
	struct series_point *p;

	if ((p = point_at(s, zero_ns, m->final_dot_ns)) != NULL)
		p->sent++;
	if (accepted && (p = point_at(s, zero_ns, m->final_reply_ns)) != NULL)
		p->accepted++;
	if (r->copies > 0 && (p = point_at(s, zero_ns, r->seen_ns)) != NULL)
		p->delivered++;
	if (r->copies == 0 && (p = point_at(s, zero_ns, r->told_ns)) != NULL)
		p->told++;
	/* Arrivals and departures now, running sums later; unsigned wrap-around is subtraction. */
	if (!accepted || (p = point_at(s, zero_ns, m->final_reply_ns)) == NULL)
		return;
	p->backlog++;
	/* A copy may be seen a moment before its 250: it leaves no earlier than it came. */
	if (settled_ns != LEDGER_NEVER && settled_ns < m->final_reply_ns)
		settled_ns = m->final_reply_ns;
	if ((p = point_at(s, zero_ns, settled_ns)) != NULL)
		p->backlog--;
}

static int by_step_and_latency(const void *a, const void *b)
{
	const struct step_latencies *x = a;
	const struct step_latencies *y = b;

	if (x->step != y->step)
		return x->step < y->step ? -1 : 1;
	return (x->ns > y->ns) - (x->ns < y->ns);
}

/* By nearest rank. */
static int64_t rank(const struct step_latencies *sorted, size_t n, double percentile)
{
	size_t nth = (size_t)ceil((double)n * percentile / 100);
	int64_t ns = sorted[nth > 0 ? nth - 1 : 0].ns;

	return ns == INT64_MAX ? LEDGER_NEVER : ns;
}

static void fill_latencies(struct series *s, const struct ledger *l, int64_t zero_ns)
{
	uint32_t rows = ledger_row_count(l);
	struct step_latencies *all = calloc(rows + 1, sizeof(*all));
	size_t n = 0;

	if (all == NULL)
		abort();
	for (uint32_t i = 0; i < rows; i++) {
		const struct ledger_row *r = ledger_row(l, i);
		const struct ledger_message *m = ledger_message(l, r->id);
		const struct series_point *p = point_at(s, zero_ns, m->intended_ns);
		if (p == NULL || m->submission != LEDGER_ACCEPTED || r->rcpt_code >= 400 ||
		    (r->copies == 0 && r->dsns_failed > 0))
			continue;
		all[n++] = (struct step_latencies){ .step = (uint32_t)(p - s->points),
						    .ns = r->copies > 0 ? r->seen_ns - m->intended_ns
									: INT64_MAX };
	}
	qsort(all, n, sizeof(*all), by_step_and_latency);
	for (size_t from = 0; from < n;) {
		size_t to = from;
		while (to < n && all[to].step == all[from].step)
			to++;
		s->points[all[from].step].end_to_end_p50_ns = rank(all + from, to - from, 50);
		s->points[all[from].step].end_to_end_p99_ns = rank(all + from, to - from, 99);
		from = to;
	}
	free(all);
}

struct series series_make(const struct ledger *l, int64_t zero_ns, int64_t ended_ns)
{
	assert(ended_ns >= zero_ns);
	int64_t length_ms = (ended_ns - zero_ns) / NS_PER_MS;
	struct series s = { .step_ms = pick_step_ms(length_ms) };

	s.count = (uint32_t)(length_ms / s.step_ms) + 1;
	s.points = calloc(s.count, sizeof(*s.points));
	if (s.points == NULL)
		abort();
	for (uint32_t i = 0; i < s.count; i++)
		s.points[i] = (struct series_point){ .at_ms = i * s.step_ms,
						     .end_to_end_p50_ns = LEDGER_NEVER,
						     .end_to_end_p99_ns = LEDGER_NEVER };
	for (uint32_t i = 0; i < ledger_row_count(l); i++) {
		const struct ledger_row *r = ledger_row(l, i);
		count_row(&s, ledger_message(l, r->id), r, zero_ns);
	}
	for (uint32_t i = 1; i < s.count; i++)
		s.points[i].backlog += s.points[i - 1].backlog;
	fill_latencies(&s, l, zero_ns);
	return s;
}

void series_free(struct series *s)
{
	free(s->points);
	*s = (struct series){ 0 };
}

static void csv_latency(struct buf *text, int64_t ns)
{
	if (ns == LEDGER_NEVER)
		buf_add_cstr(text, ",");
	else
		buf_addf(text, ",%.3f", (double)ns / NS_PER_MS);
}

void series_csv(const struct series *s, struct buf *ret_text)
{
	double per_s = 1000.0 / (double)s->step_ms;

	buf_add_cstr(ret_text, "time_s,sent_per_s,accepted_per_s,delivered_per_s,told_per_s,backlog,"
			       "end_to_end_p50_ms,end_to_end_p99_ms\n");
	for (uint32_t i = 0; i < s->count; i++) {
		const struct series_point *p = &s->points[i];
		buf_addf(ret_text, "%.3f,%.1f,%.1f,%.1f,%.1f,%" PRIu32, (double)p->at_ms / 1000,
			 p->sent * per_s, p->accepted * per_s, p->delivered * per_s, p->told * per_s,
			 p->backlog);
		csv_latency(ret_text, p->end_to_end_p50_ns);
		csv_latency(ret_text, p->end_to_end_p99_ns);
		buf_add_cstr(ret_text, "\n");
	}
}
