/*
 * fake_run: a run that never happened, as facts: a constant load, a next hop
 * that is down for a while, everything delivered after it.  Tests spoil it
 * through the ledger before fake_finish.
 */
#ifndef TESTS_UNIT_HARNESS_FAKE_RUN_H
#define TESTS_UNIT_HARNESS_FAKE_RUN_H

#include "base/random.h"
#include "harness/judge/record.h"
#include "harness/judge/verdict.h"

#include <stdio.h>
#include <string.h>

#define FAKE_MS INT64_C(1000000)
#define FAKE_ZERO (INT64_C(5000000) * FAKE_MS)
#define FAKE_SENDER "barney@isp2.example"
#define FAKE_RCPT "sales@fredsco.example"

struct fake_run {
	struct flow_account accounts[1];
	const char *domains[2];
	struct flow_host hosts[2];
	struct flow_address to;
	struct flow_traffic traffic[1];
	struct flow_fault flow_faults[1];
	struct flow_latency latencies[1];
	struct flow flow;
	struct record_fault faults[1];
	struct record_host record_hosts[2];
	struct ledger *ledger;
	struct metrics metrics;
	struct series series;
	struct hist *loop_lag;
	struct record record;
};

static inline void fake_flow(struct fake_run *f)
{
	f->domains[0] = "isp2.example";
	f->domains[1] = "fredsco.example";
	f->hosts[0] = (struct flow_host){
		.name = "isp2", .domains = &f->domains[0], .domain_count = 1, .target = "reference"
	};
	f->hosts[1] = (struct flow_host){
		.name = "fredsco", .domains = &f->domains[1], .domain_count = 1, .target = "reference"
	};
	f->to = (struct flow_address){ .text = FAKE_RCPT };
	f->traffic[0] = (struct flow_traffic){
		.name = "orders", .to = &f->to, .to_count = 1, .outcome = FLOW_DELIVERED
	};
	f->flow_faults[0] =
		(struct flow_fault){ .kind = FLOW_HOST_STOP, .at_ms = 4000, .for_ms = 5000, .host = 1 };
	f->flow = (struct flow){
		.path = "scenarios/flows/next-hop-down.flow.yaml",
		.name = "next-hop-down",
		.title = "The next hop is down for a while",
		.hosts = f->hosts,
		.host_count = 2,
		.traffic = f->traffic,
		.traffic_count = 1,
		.faults = f->flow_faults,
		.fault_count = 1,
		.limits = { .send_lag_p99_ms = 50, .loop_lag_p99_ms = 50 },
	};
	enum flow_ledger zero[] = { FLOW_LEDGER_LOST, FLOW_LEDGER_DUPLICATED, FLOW_LEDGER_CORRUPTED,
				    FLOW_LEDGER_UNEXPECTED };
	for (size_t i = 0; i < sizeof(zero) / sizeof(zero[0]); i++)
		f->flow.expect.ledger[zero[i]] = (struct flow_count){ .op = FLOW_COUNT_EQ };
}

/* An accepted message at that moment of the run; not delivered yet. */
static inline uint32_t fake_accept(struct fake_run *f, int64_t at_ms, struct rng *rng)
{
	const struct ledger_recipient to = { .address = FAKE_RCPT };
	int64_t intended_ns = FAKE_ZERO + at_ms * FAKE_MS;
	int64_t lag_ns = (int64_t)rng_below(rng, 300000);
	int64_t accept_ns =
		1200000 + (int64_t)rng_below(rng, 900000) + (rng_below(rng, 50) == 0 ? 6000000 : 0);
	uint32_t id = ledger_plan(f->ledger, &(struct ledger_plan){ .intended_ns = intended_ns,
								    .sender = FAKE_SENDER,
								    .recipients = &to,
								    .recipient_count = 1,
								    .body_bytes = 4096 });

	ledger_started(f->ledger, id, intended_ns + lag_ns);
	ledger_connected(f->ledger, id, intended_ns - 100);
	ledger_final_dot(f->ledger, id, intended_ns + lag_ns + 500000);
	ledger_final_reply(f->ledger, id, intended_ns + lag_ns + accept_ns, 250,
			   SPAN_LIT("2.0.0 queued as 5XK2"));
	return id;
}

static inline void fake_arrive(struct fake_run *f, uint32_t id, int64_t at_ns, struct rng *rng)
{
	int64_t transfer_ns = 1500000 + (int64_t)rng_below(rng, 800000);
	int64_t stored_ns = at_ns + transfer_ns;
	int64_t poll_ns = 100 * FAKE_MS;
	int64_t seen_ns = (stored_ns / poll_ns + 1) * poll_ns + 3 * FAKE_MS;

	ledger_attempt(
		f->ledger, id,
		&(struct ledger_attempt){
			.recipient = FAKE_RCPT, .code = 250, .started_ns = at_ns, .replied_ns = stored_ns });
	ledger_copy(f->ledger, id,
		    &(struct ledger_copy){ .mailbox = FAKE_RCPT,
					   .state = CONTENT_INTACT,
					   .seen_ns = seen_ns,
					   .not_before_ns = seen_ns - poll_ns });
}

static inline void fake_begin(struct fake_run *f)
{
	memset(f, 0, sizeof(*f));
	fake_flow(f);
	f->ledger = ledger_new();
	f->loop_lag = hist_new();
	for (int i = 0; i < 1000; i++)
		hist_record(f->loop_lag, 20000 + i * 300);
	f->record.ended_ns = FAKE_ZERO + 2000 * FAKE_MS;
}

/* count messages at 10 a tenth of a second; from 4 s to 9 s the next hop is down. */
static inline void fake_outage(struct fake_run *f, uint32_t count)
{
	struct rng rng = rng_seed(1);
	int64_t up_ns = FAKE_ZERO + 9100 * FAKE_MS;
	uint32_t waiting = 0;

	for (uint32_t i = 0; i < count; i++) {
		int64_t at_ms = (int64_t)i * 10;
		uint32_t id = fake_accept(f, at_ms, &rng);
		int64_t go_ns = FAKE_ZERO + at_ms * FAKE_MS + 3 * FAKE_MS + (int64_t)rng_below(&rng, 400000);
		if (at_ms >= 4000 && at_ms < 9100)
			go_ns = up_ns + waiting++ * 2 * FAKE_MS;
		fake_arrive(f, id, go_ns, &rng);
	}
	f->faults[0] = (struct record_fault){ .flow = &f->flow_faults[0],
					      .begin_ns = FAKE_ZERO + 4003 * FAKE_MS,
					      .end_ns = FAKE_ZERO + 9041 * FAKE_MS,
					      .strike_count = 1 };
	f->record.fault_count = 1;
	f->record.ended_ns = FAKE_ZERO + ((int64_t)count * 10 + 1500) * FAKE_MS;
}

/* Settles, measures and reaches the verdict. */
static inline void fake_finish(struct fake_run *f, bool complete)
{
	int64_t ended_ns = f->record.ended_ns;

	ledger_settle(f->ledger, &(struct ledger_end){
					 .ended_ns = ended_ns, .complete = complete, .residue_known = true });
	f->metrics = metrics_measure(f->ledger, &f->flow, ended_ns);
	f->series = series_make(f->ledger, FAKE_ZERO, ended_ns);
	f->record_hosts[0] =
		(struct record_host){ .name = "isp2", .target = "reference", .cpu_ms = 412, .starts = 1 };
	f->record_hosts[1] =
		(struct record_host){ .name = "fredsco", .target = "reference", .cpu_ms = 380, .starts = 2 };
	f->record.flow = &f->flow;
	f->record.seed = UINT64_C(18446744073709551615);
	f->record.ledger = f->ledger;
	f->record.metrics = &f->metrics;
	f->record.series = &f->series;
	f->record.loop_lag = f->loop_lag;
	f->record.interrupted = !complete;
	f->record.started_wall_ms = INT64_C(1773673707000);
	f->record.ended_wall_ms = INT64_C(1773673727000);
	f->record.zero_ns = FAKE_ZERO;
	f->record.faults = f->faults;
	f->record.hosts = f->record_hosts;
	f->record.host_count = 2;
	f->record.poll_interval_ms = 100;
	f->record.own_cpu_ms = 900;
	f->record.load_average = 1.256;
	if (f->record.fault_count > 0) {
		f->record.drain.known = true;
		f->record.drain.since_ns = f->faults[0].end_ns;
		f->record.drain.complete = metrics_drain(f->ledger, f->faults[0].end_ns,
							 &f->record.drain.drain_ns, &f->record.drain.rows);
	}
	verdict_reach(&f->record);
}

static inline void fake_end(struct fake_run *f)
{
	metrics_free(&f->metrics);
	series_free(&f->series);
	hist_free(f->loop_lag);
	ledger_free(f->ledger);
	reasons_free(&f->record.reasons);
}

#endif
