/*
 * run_impl: what the parts of run_flow share: run_flow.c (the course of a
 * run), run_traffic.c (who sends and who retrieves), run_watch.c (what is
 * looked at meanwhile).  Nobody else includes it.
 */
#ifndef HARNESS_CLI_RUN_IMPL_H
#define HARNESS_CLI_RUN_IMPL_H

#include "base/loop.h"
#include "harness/cli/plan.h"
#include "harness/cli/residue.h"
#include "harness/cli/run_flow.h"
#include "harness/fault/links.h"
#include "harness/fault/timeline.h"
#include "harness/judge/inbox.h"
#include "harness/judge/link_watch.h"
#include "harness/load/retriever.h"
#include "harness/load/sender.h"
#include "harness/world/world.h"

#include <sys/types.h>

enum {
	NS_PER_MS = 1000000,
};

enum phase {
	PHASE_STARTING,
	PHASE_TRAFFIC,
	PHASE_DRAIN,
	PHASE_SWEEP,
	PHASE_ASKING,
	PHASE_STOPPING,
	PHASE_STOPPED
};

struct run;

struct run_sender {
	struct run *run;
	uint32_t traffic;
	struct sender *sender;
	bool idle;
};

struct run_retriever {
	struct run *run;
	const struct flow_retrieve *flow;
	struct retriever *retriever;
	bool swept; /* a poll that began after the sweep did has ended well */
	bool ok;    /* the last poll was */
	bool doubt_told;
	char problem[160];
};

/* CPU time survives a process only here. */
struct run_host {
	pid_t pid;
	int64_t cpu_before_ms; /* of processes that have ended */
	int64_t cpu_ms;        /* of this one */
	uint32_t starts;
};

/* rows: what all queues hold; not known when one does not tell, for not every target can be asked. */
typedef void run_queues_fn(struct run *r, bool known, uint32_t rows);

/* One question to all queues at a time. */
struct run_queues {
	run_queues_fn *fn; /* NULL: none is under way */
	struct residue *asked[FLOW_HOSTS_MAX];
	uint32_t left;
	bool known;
	uint32_t rows;
	bool want_names;
	struct residue_names names;
	struct task *tell;
};

struct run {
	const struct run_options *o;
	const struct flow *flow;
	struct loop *loop;
	enum phase phase;
	struct ledger *ledger;
	struct link_watch *watch;
	struct world *world;
	struct redact *redact; /* its passwords, which outlive it here */
	struct links *links;
	struct timeline *timeline;
	struct plan *plan;
	struct inbox inbox;
	struct tls_ctx *tls;                       /* trusts the run's authority */
	struct tls_ctx *tls_there[FLOW_HOSTS_MAX]; /* for servers elsewhere; NULL for the others */
	struct run_sender *senders;
	struct run_retriever *retrievers;
	struct run_host hosts[FLOW_HOSTS_MAX];
	struct hist *loop_lag;
	struct timer *lag_timer;
	struct timer *tick_timer;
	struct timer *deadline;
	struct task *step; /* looks whether the phase is over, outside of everybody's callbacks */
	struct signal_watch *signals[2];
	struct progress progress;
	struct ledger_end end;   /* what the queues said */
	uint32_t settled_before; /* rows, when the queues were last thought of */
	bool settled_seen;       /* all was there once; what the queues still hold is waited for */
	struct timer *queue_timer;
	struct run_queues queues;
	struct reasons reasons;
	uint32_t faults_on;
	char fault_text[200];
	int64_t began_ns;
	int64_t began_wall_ms;
	int64_t zero_ns; /* 0: traffic has not begun */
	int64_t ended_ns;
	int64_t lag_due_ns;
	int64_t sweep_ns;
	uint32_t sweep_new; /* messages handed over since the sweep began */
	bool deadline_passed;
	bool interrupted;
	bool failed; /* err says why: the harness, not the servers */
	struct err err;
};

/* ---- run_traffic.c ---- */
/* All of them; the flow's times count from r->zero_ns. */
int run_start_traffic(struct run *r, struct err *reterr);
void run_end_traffic(struct run *r);
/* The spec of an original, for the inbox. */
void run_original(void *ctx, uint32_t id, struct content_spec *ret_spec);

/* ---- run_watch.c ---- */
/* An event, in words, on the way. */
void run_say(struct run *r, const char *text);
/* Shows progress, samples the servers' CPU time, and again. */
void run_on_tick(void *ctx);
void run_on_lag(void *ctx);
void run_start_lag(struct run *r);
void run_sample_hosts(struct run *r);
bool run_host_is_up(const struct run *r, uint32_t host);
/* Adds up what all queues hold, and tells it from the loop; a question that is under way is forgotten. */
void run_ask_queues(struct run *r, run_queues_fn *fn);
/* The same, and whose they are, in r->queues.names. */
void run_ask_queues_for_names(struct run *r, run_queues_fn *fn);
void run_forget_queues(struct run *r);
/* At the end, while the servers run: what cannot be seen, and what the queues have. */
void run_note_mailboxes(struct run *r);
void run_note_residue(struct run *r, bool known, uint32_t rows);

#endif
