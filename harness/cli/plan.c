#include "harness/cli/plan.h"

#include "base/random.h"
#include "harness/load/schedule.h"

#include <assert.h>
#include <stdlib.h>

enum {
	NS_PER_MS = 1000000,
};

struct plan_traffic {
	struct buf to; /* for the To field */
	uint32_t id_first;
	uint32_t id_end;
};

struct plan {
	struct plan_options o;
	struct plan_traffic *traffic;
	int64_t last_ns;
};

/* One size for each id, whatever else happens. */
static uint32_t content_bytes_of(const struct plan *p, const struct flow_traffic *t, uint32_t id)
{
	struct rng rng = rng_seed(p->o.seed ^ (UINT64_C(0x5bd1e995) << 32 | id));
	uint64_t range = t->size_bytes_max - t->size_bytes_min + 1;

	return (uint32_t)(t->size_bytes_min + rng_below(&rng, range));
}

static struct content_spec spec_of(const struct plan *p, uint32_t group, uint32_t id, int64_t intended_ns)
{
	return (struct content_spec){
		.seed = p->o.seed,
		.id = id,
		.from = span_of(p->o.flow->traffic[group].from.text),
		.to = buf_span(&p->traffic[group].to),
		.date_wall_ms = p->o.zero_wall_ms + (intended_ns - p->o.zero_ns) / NS_PER_MS,
	};
}

void plan_spec(const struct plan *p, uint32_t id, struct content_spec *ret_spec)
{
	const struct ledger_message *m = ledger_message(p->o.ledger, id);

	*ret_spec = spec_of(p, m->group, id, m->intended_ns);
	ret_spec->body_bytes = m->body_bytes;
}

static void plan_message(struct plan *p, uint32_t group, const struct ledger_recipient *to,
			 int64_t intended_ns)
{
	const struct flow_traffic *t = &p->o.flow->traffic[group];
	uint32_t id = ledger_message_count(p->o.ledger);
	struct content_spec spec = spec_of(p, group, id, intended_ns);
	uint32_t wanted = content_bytes_of(p, t, id);
	uint32_t header = content_header_bytes(&spec);
	uint32_t body = wanted > header + CONTENT_BODY_BYTES_MIN ? wanted - header : CONTENT_BODY_BYTES_MIN;

	(void)ledger_plan(p->o.ledger, &(struct ledger_plan){ .intended_ns = intended_ns,
							      .sender = t->from.text,
							      .recipients = to,
							      .recipient_count = t->to_count,
							      .body_bytes = body,
							      .group = group });
	if (intended_ns > p->last_ns)
		p->last_ns = intended_ns;
}

static int plan_entry(struct plan *p, uint32_t group, struct err *reterr)
{
	const struct flow_traffic *t = &p->o.flow->traffic[group];
	struct plan_traffic *pt = &p->traffic[group];
	struct schedule schedule;
	struct schedule_options so = {
		.kind = t->arrival == FLOW_ARRIVAL_POISSON ? SCHEDULE_POISSON : SCHEDULE_CONSTANT,
		.rate_per_s = t->rate_per_s,
		.count = t->message_count,
		.duration_ns = t->duration_ms * NS_PER_MS,
		.seed = p->o.seed + group,
	};
	int rc = schedule_make(&so, &schedule, reterr);

	if (rc != 0)
		return rc;
	struct ledger_recipient *to = calloc(t->to_count, sizeof(*to));
	if (to == NULL)
		abort();
	for (uint32_t i = 0; i < t->to_count; i++) {
		to[i].address = t->to[i].text;
		buf_addf(&pt->to, "%s%s", i > 0 ? ", " : "", t->to[i].text);
	}
	pt->id_first = ledger_message_count(p->o.ledger);
	for (uint32_t i = 0; i < schedule.count; i++)
		plan_message(p, group, to, p->o.zero_ns + t->start_ms * NS_PER_MS + schedule.at_ns[i]);
	pt->id_end = ledger_message_count(p->o.ledger);
	free(to);
	schedule_free(&schedule);
	return 0;
}

struct plan *plan_new(const struct plan_options *o, struct err *reterr)
{
	struct plan *p = calloc(1, sizeof(*p));

	if (p == NULL)
		abort();
	p->o = *o;
	p->last_ns = o->zero_ns;
	p->traffic = calloc(o->flow->traffic_count + 1, sizeof(*p->traffic));
	if (p->traffic == NULL)
		abort();
	for (uint32_t i = 0; i < o->flow->traffic_count; i++) {
		if (plan_entry(p, i, reterr) != 0) {
			plan_free(p);
			return NULL;
		}
	}
	return p;
}

void plan_free(struct plan *p)
{
	if (p == NULL)
		return;
	for (uint32_t i = 0; i < p->o.flow->traffic_count; i++)
		buf_free(&p->traffic[i].to);
	free(p->traffic);
	free(p);
}

void plan_ids(const struct plan *p, uint32_t traffic, uint32_t *ret_first, uint32_t *ret_end)
{
	assert(traffic < p->o.flow->traffic_count);
	*ret_first = p->traffic[traffic].id_first;
	*ret_end = p->traffic[traffic].id_end;
}

int64_t plan_last_ns(const struct plan *p)
{
	return p->last_ns;
}
