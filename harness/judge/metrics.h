/*
 * metrics: the latencies of a run, from the ledger's time stamps.
 *
 *   send_lag     intended → first taken up by the sender        per message
 *   accept       intended → 2yz to the final dot                per message
 *   queue        2yz → start of the attempt that succeeded      per recipient, watched links only
 *   transfer     start of that attempt → its reply              the same
 *   visibility   that reply (no link: the 2yz) → retrievable    per recipient
 *   end_to_end   intended → retrievable                         per recipient
 *
 * The intended time of the schedule is the base, so a server that slows its
 * own senders down cannot look faster.  What had not happened when the run
 * ended is right-censored: known to be at least so long, ranked above all
 * known values.  Retrieval polls, so visible means: seen by a poll; the true
 * moment lies within the interval before it (interval-censored), and the end
 * of that interval is what is recorded.
 *
 * A message that finds all sessions of its traffic busy waits for the server,
 * and that is send_lag as well; the rest of send_lag is the harness's own
 * slowness, and only that can make a run invalid.
 */
#ifndef HARNESS_JUDGE_METRICS_H
#define HARNESS_JUDGE_METRICS_H

#include "harness/judge/ledger.h"
#include "harness/load/hist.h"
#include "harness/scenario/flow.h"

struct metrics {
	struct hist *of[FLOW_METRIC_COUNT];
	/*
	 * Times that came out below zero and are recorded as 0: a relay passes a
	 * message on while its 250 is still on its way to the sender, so the next
	 * attempt may be seen to begin first.
	 */
	uint32_t below_zero[FLOW_METRIC_COUNT];
	struct hist *own_lag;          /* intended, or a session free if that was later → taken up */
	int64_t seen_interval_mean_ns; /* how uncertain visibility and end_to_end are; 0 when nothing was seen
					*/
	int64_t seen_interval_max_ns;
};

/* The ledger is settled; groups of its messages are the traffic entries of the flow.  Free with metrics_free. */
struct metrics metrics_measure(const struct ledger *l, const struct flow *f, int64_t ended_ns);
void metrics_free(struct metrics *m);

/*
 * Drain: how long after since_ns it took until every row accepted before
 * since_ns had been delivered or bounced.  False when some never were.
 * *ret_rows: how many were waiting at since_ns.
 */
bool metrics_drain(const struct ledger *l, int64_t since_ns, int64_t *ret_drain_ns, uint32_t *ret_rows);

#endif
