/*
 * record: everything one run has learnt, in one place, for verdict and result
 * files.  Plain data; the run owns what the pointers lead to.
 */
#ifndef HARNESS_JUDGE_RECORD_H
#define HARNESS_JUDGE_RECORD_H

#include "harness/judge/ledger.h"
#include "harness/judge/link_watch.h"
#include "harness/judge/metrics.h"
#include "harness/judge/series.h"
#include "harness/scenario/flow.h"

/* One fault as it really was; LEDGER_NEVER: did not happen. */
struct record_fault {
	const struct flow_fault *flow;
	int64_t begin_ns;
	int64_t end_ns;
	uint32_t strike_count; /* what it met, see harness/fault/timeline.h */
	bool strikes_counted;  /* false: nobody knows */
};

/* How the backlog went away after the last fault, or, without faults, after the last message was accepted. */
struct record_drain {
	bool known; /* there was something to drain */
	bool complete;
	int64_t since_ns;
	int64_t drain_ns;
	uint32_t rows; /* waiting at since_ns */
};

struct record_host {
	const char *name;
	const char *target;
	int64_t cpu_ms; /* user and system, all its processes */
	uint32_t starts;
};

enum reason_weight {
	REASON_NOTE,    /* worth reading, changes nothing */
	REASON_FAIL,    /* the servers broke a promise or an expectation */
	REASON_INVALID, /* the harness was not able to judge */
};
struct reason {
	enum reason_weight weight;
	char text[240];
};
struct reasons {
	struct reason *items;
	uint32_t count;
	uint32_t room;
};
void reasons_add(struct reasons *r, enum reason_weight weight, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void reasons_free(struct reasons *r);

enum verdict { VERDICT_PASS, VERDICT_FAIL, VERDICT_INVALID, VERDICT_INTERRUPTED, VERDICT_COUNT };
const char *verdict_name(enum verdict v); /* "pass" */

struct record {
	const struct flow *flow;
	uint64_t seed;
	const char *const *sets; /* "name=value", NULL-terminated; may be NULL */
	const struct ledger *ledger;
	const struct metrics *metrics;
	const struct series *series;
	const struct hist *loop_lag;
	struct link_watch_counts links;
	bool interrupted;
	int64_t started_wall_ms;
	int64_t ended_wall_ms;
	int64_t zero_ns; /* the schedule's start */
	int64_t ended_ns;
	const struct record_fault *faults;
	uint32_t fault_count;
	struct record_drain drain;
	bool queues_asked; /* all of them, at the end: what they hold is known */
	const struct record_host *hosts;
	uint32_t host_count;
	int64_t poll_interval_ms; /* longest of the flow's; 0: nothing was retrieved */
	int64_t own_cpu_ms;       /* the harness itself */
	double load_average;      /* of a minute, at the end; below 0: unknown */
	struct reasons reasons;   /* what the run noted, then what the verdict found */
	enum verdict verdict;
};

#endif
