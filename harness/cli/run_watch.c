#include "harness/cli/run_impl.h"

#include <string.h>
#include <unistd.h>

enum {
	LAG_PERIOD_MS = 10, /* how often the loop's punctuality is measured */
	TICK_MAX_MS = 1000,
};

/* ---- progress ---- */

static struct progress_state state_of(const struct run *r)
{
	static const char *const names[] = { "starting", "traffic",  "draining", "last look",
					     "asking",   "stopping", "stopped" };
	int64_t from_ns = r->zero_ns != 0 ? r->zero_ns : r->began_ns;
	int64_t elapsed_ms = (clock_mono_ns() - from_ns) / NS_PER_MS;

	return (struct progress_state){
		.flow = r->flow->name,
		.phase = names[r->phase],
		.fault = r->faults_on > 0 ? r->fault_text : NULL,
		.elapsed_ms = elapsed_ms > 0
				      ? elapsed_ms
				      : 0, /* the schedule begins a moment after the servers are ready */
		.counts = ledger_progress(r->ledger),
	};
}

void run_say(struct run *r, const char *text)
{
	struct progress_state s = state_of(r);

	progress_event(&r->progress, &s, text);
}

void run_sample_hosts(struct run *r)
{
	for (uint32_t i = 0; i < r->flow->host_count; i++) {
		const struct host *h = world_host(r->world, i);
		struct run_host *rh = &r->hosts[i];
		pid_t pid = h != NULL ? host_pid(h) : 0;
		if (pid == 0)
			continue;
		if (pid != rh->pid) {
			rh->cpu_before_ms += rh->cpu_ms;
			rh->pid = pid;
			rh->starts++;
		}
		rh->cpu_ms = host_cpu_ms(h);
	}
}

void run_on_tick(void *ctx)
{
	struct run *r = ctx;
	struct progress_state s = state_of(r);

	run_sample_hosts(r);
	progress_show(&r->progress, &s);
	timer_set_ms(r->tick_timer, progress_interval_ms(&r->progress) < TICK_MAX_MS
					    ? progress_interval_ms(&r->progress)
					    : TICK_MAX_MS);
}

/* How late does the loop come to what was due?  Everything that is measured is late by as much. */
void run_on_lag(void *ctx)
{
	struct run *r = ctx;
	int64_t late_ns = clock_mono_ns() - r->lag_due_ns;

	/* A stall also delays the measurements that would have fallen due in it: each counts as late as it is. */
	do {
		hist_record(r->loop_lag, late_ns > 0 ? late_ns : 0);
		late_ns -= LAG_PERIOD_MS * NS_PER_MS;
	} while (late_ns > 0);
	r->lag_due_ns = clock_mono_ns() + LAG_PERIOD_MS * NS_PER_MS;
	timer_set_ns(r->lag_timer, LAG_PERIOD_MS * NS_PER_MS);
}

/* ---- queues ---- */

/* Told from a task, so that nobody is called before he has returned from asking. */
static void tell_queues(void *ctx)
{
	struct run *r = ctx;
	struct run_queues *q = &r->queues;
	run_queues_fn *fn = q->fn;

	if (q->left > 0 || fn == NULL)
		return;
	q->fn = NULL;
	fn(r, q->known, q->rows);
}

static void on_residue(void *ctx, struct residue *residue, bool known, uint32_t count)
{
	struct run *r = ctx;
	struct run_queues *q = &r->queues;

	for (uint32_t i = 0; i < r->flow->host_count; i++)
		if (q->asked[i] == residue)
			q->asked[i] = NULL;
	q->left--;
	q->known = q->known && known;
	q->rows += count;
	task_schedule(q->tell);
}

static void ask_host(struct run *r, uint32_t i)
{
	struct host *h = world_host(r->world, i);
	struct run_queues *q = &r->queues;

	/* One that a fault keeps down cannot be asked, and what it holds goes nowhere. */
	if (h == NULL ? !world_is_remote(r->world, i) : !run_host_is_up(r, i))
		return;
	if (h != NULL)
		q->asked[i] = q->want_names ? residue_ask_host_names(r->loop, h, &q->names, on_residue, r)
					    : residue_ask_host(r->loop, h, on_residue, r);
	q->known = q->known && q->asked[i] != NULL;
	q->left += q->asked[i] != NULL ? 1 : 0;
}

static void ask_all(struct run *r, run_queues_fn *fn)
{
	struct run_queues *q = &r->queues;

	run_forget_queues(r);
	if (q->tell == NULL)
		q->tell = task_new(r->loop, tell_queues, r);
	q->fn = fn;
	q->known = true;
	q->rows = 0;
	for (uint32_t i = 0; i < r->flow->host_count && q->known; i++)
		ask_host(r, i);
	task_schedule(q->tell);
}

void run_ask_queues(struct run *r, run_queues_fn *fn)
{
	r->queues.want_names = false;
	ask_all(r, fn);
}

void run_ask_queues_for_names(struct run *r, run_queues_fn *fn)
{
	r->queues.want_names = true;
	residue_names_free(&r->queues.names);
	ask_all(r, fn);
}

void run_forget_queues(struct run *r)
{
	struct run_queues *q = &r->queues;

	for (uint32_t i = 0; i < FLOW_HOSTS_MAX; i++) {
		residue_free(q->asked[i]);
		q->asked[i] = NULL;
	}
	q->left = 0;
	q->fn = NULL;
}

/* What do the queues hold at the end: what is missing, or more than there should be? */
void run_note_residue(struct run *r, bool known, uint32_t rows)
{
	struct ledger_progress p = ledger_progress(r->ledger);

	r->end.residue_known = known;
	r->end.residue_rows = known ? rows : 0;
	if (!r->interrupted && known && rows > 0 && p.backlog + p.indeterminate == 0)
		reasons_add(&r->reasons, REASON_INVALID,
			    "%u more in the queues although everything had arrived or was given back: a "
			    "second copy may "
			    "yet come; give it a longer drain",
			    rows);
}

bool run_host_is_up(const struct run *r, uint32_t host)
{
	const struct host *h = world_host(r->world, host);

	/* One elsewhere is taken for up: nothing is known of it but what it answers. */
	return world_is_remote(r->world, host) || (h != NULL && host_state(h) == HOST_READY);
}

/* Without a last look into a mailbox nothing can be said of what was sent there. */
void run_note_mailboxes(struct run *r)
{
	for (uint32_t i = 0; i < r->flow->retrieve_count; i++) {
		const struct run_retriever *rr = &r->retrievers[i];
		bool looked = rr->ok && (r->phase != PHASE_SWEEP || rr->swept);
		if (rr->run == NULL || looked || r->interrupted || !run_host_is_up(r, rr->flow->host))
			continue;
		reasons_add(&r->reasons, REASON_INVALID, "the mailbox of %s could not be read at the end: %s",
			    rr->flow->account.text, rr->ok ? "no answer in time" : rr->problem);
	}
}

void run_start_lag(struct run *r)
{
	r->lag_due_ns = clock_mono_ns() + LAG_PERIOD_MS * NS_PER_MS;
	timer_set_ms(r->lag_timer, LAG_PERIOD_MS);
}
