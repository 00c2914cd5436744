#include "harness/cli/run_flow.h"

#include "harness/cli/run_end.h"
#include "harness/cli/run_impl.h"
#include "harness/judge/result.h"

#include <signal.h>
#include <stdlib.h>

enum {
	LEAD_MS = 100,       /* from ready servers to the first intended time */
	PLANNING_NS = 10000, /* for each message: ledger and sender are filled before the first is due */
	SWEEP_MAX_MS = 10000,
	QUEUE_PERIOD_MS = 1000,
	QUEUE_PERIOD_SETTLED_MS = 200,
};

/* ---- ends of a run ---- */

/* The harness cannot go on; whatever runs is ended by the clean-up. */
static void fail(struct run *r)
{
	r->failed = true;
	loop_stop(r->loop);
}

static void stop_servers(struct run *r)
{
	r->phase = PHASE_STOPPING;
	if (r->timeline != NULL)
		timeline_finish(r->timeline);
	world_stop(r->world);
}

static void on_names(struct run *r, bool known, uint32_t rows)
{
	(void)rows;
	r->end.names_known = known;
	r->end.waiting = r->queues.names.items;
	r->end.waiting_count = r->queues.names.count;
	stop_servers(r);
}

static void on_last_count(struct run *r, bool known, uint32_t rows)
{
	run_note_residue(r, known, rows);
	if (known && rows > 0)
		run_ask_queues_for_names(r, on_names);
	else
		stop_servers(r);
}

static void begin_stopping(struct run *r)
{
	if (r->phase >= PHASE_ASKING)
		return;
	r->ended_ns = clock_mono_ns();
	run_sample_hosts(r);
	run_note_mailboxes(r);
	r->phase = PHASE_ASKING;
	timer_clear(r->deadline);
	timer_clear(r->queue_timer);
	timer_clear(r->lag_timer);
	run_end_traffic(r);
	run_ask_queues(r, on_last_count);
}

static void on_signal(void *ctx, int signo)
{
	struct run *r = ctx;

	(void)signo;
	if (r->interrupted) { /* again: no more patience */
		loop_stop(r->loop);
		return;
	}
	r->interrupted = true;
	run_say(r, "interrupted; stopping the servers (once more to kill them)");
	task_schedule(r->step);
}

/* ---- phases ---- */

static int64_t nearest_wall_ms(int64_t zero_ns)
{
	return clock_wall_ms() + (zero_ns - clock_mono_ns()) / NS_PER_MS;
}

static int64_t message_count_about(const struct flow *f)
{
	double count = 0;

	for (uint32_t i = 0; i < f->traffic_count; i++) {
		const struct flow_traffic *t = &f->traffic[i];
		double by_time = t->rate_per_s * (double)t->duration_ms / 1000;
		count += t->message_count > 0 ? t->message_count : by_time;
	}
	return (int64_t)count;
}

static int begin_traffic(struct run *r, struct err *reterr)
{
	r->zero_ns = clock_mono_ns() + LEAD_MS * NS_PER_MS + message_count_about(r->flow) * PLANNING_NS;
	struct plan_options po = {
		.flow = r->flow, .seed = r->o->seed, .ledger = r->ledger, .zero_ns = r->zero_ns
	};
	po.zero_wall_ms = nearest_wall_ms(r->zero_ns);
	r->plan = plan_new(&po, reterr);
	if (r->plan == NULL)
		return reterr->code;
	int rc = run_start_traffic(r, reterr);
	if (rc != 0)
		return rc;
	timeline_start(r->timeline, r->zero_ns);
	r->phase = PHASE_TRAFFIC;
	run_start_lag(r);
	task_schedule(r->step);
	return 0;
}

static bool traffic_is_over(const struct run *r)
{
	for (uint32_t i = 0; i < r->flow->traffic_count; i++)
		if (!r->senders[i].idle)
			return false;
	return timeline_is_done(r->timeline);
}

static bool is_settled(const struct run *r)
{
	struct ledger_progress p = ledger_progress(r->ledger);

	return p.backlog == 0 && p.indeterminate == 0;
}

static void begin_sweep(struct run *r)
{
	r->phase = PHASE_SWEEP;
	r->sweep_ns = clock_mono_ns();
	r->sweep_new = 0;
	for (uint32_t i = 0; i < r->flow->retrieve_count; i++) {
		r->retrievers[i].swept = false;
		retriever_poll_now(r->retrievers[i].retriever);
	}
}

static bool is_swept(const struct run *r)
{
	for (uint32_t i = 0; i < r->flow->retrieve_count; i++)
		if (!r->retrievers[i].swept && run_host_is_up(r, r->retrievers[i].flow->host))
			return false;
	return true;
}

/* The time to settle is over: one more look, bounded, and that is it. */
static void on_deadline(void *ctx)
{
	struct run *r = ctx;

	if (r->deadline_passed) {
		begin_stopping(r);
		return;
	}
	r->deadline_passed = true;
	timer_set_ms(r->deadline, SWEEP_MAX_MS);
	if (r->phase == PHASE_DRAIN)
		begin_sweep(r);
	task_schedule(r->step);
}

/*
 * A last look is worth it when no more can come: the queues are empty.  That
 * saves the rest of the time when some is missing, and when all is there it
 * waits for what a queue may still hold: a second copy, a late notification.
 * Queues that cannot be asked are taken for empty once all is there.
 */
static void on_queues(struct run *r, bool known, uint32_t rows)
{
	if (r->phase == PHASE_DRAIN && (known ? rows == 0 : is_settled(r)))
		begin_sweep(r);
}

static void on_queue_timer(void *ctx)
{
	struct run *r = ctx;
	struct ledger_progress p = ledger_progress(r->ledger);
	uint32_t settled = p.delivered + p.told;
	bool complete = is_settled(r);

	timer_set_ms(r->queue_timer, complete ? QUEUE_PERIOD_SETTLED_MS : QUEUE_PERIOD_MS);
	if (r->phase != PHASE_DRAIN)
		return;
	if ((complete || settled == r->settled_before) && r->queues.fn == NULL)
		run_ask_queues(r, on_queues);
	r->settled_before = settled;
}

static void begin_drain(struct run *r)
{
	r->phase = PHASE_DRAIN;
	timer_set_ms(r->queue_timer, QUEUE_PERIOD_MS);
	run_say(r, "all sent; waiting for the rest to arrive");
	timer_set_ms(r->deadline, r->flow->drain_ms);
}

static void on_step(void *ctx)
{
	struct run *r = ctx;

	if (r->interrupted)
		begin_stopping(r);
	if (r->phase == PHASE_TRAFFIC && traffic_is_over(r))
		begin_drain(r);
	if (r->phase == PHASE_DRAIN && is_settled(r) && !r->settled_seen) {
		r->settled_seen = true;
		on_queue_timer(r);
	}
	if (r->phase == PHASE_SWEEP && is_swept(r)) {
		/* What a sweep brings may be the first of several. */
		if (r->sweep_new > 0 && !r->deadline_passed)
			begin_sweep(r);
		else
			begin_stopping(r);
	}
}

/* ---- world and faults ---- */

static void on_world(void *ctx, enum world_event event)
{
	struct run *r = ctx;

	switch (event) {
	case WORLD_READY:
		run_say(r, "servers are ready");
		if (!r->interrupted && begin_traffic(r, &r->err) != 0)
			fail(r);
		break;
	case WORLD_BROKEN:
		if (r->phase == PHASE_STOPPING) {
			/* A server that cannot end well does not keep what it promised; impatience excuses it. */
			reasons_add(&r->reasons,
				    r->interrupted || r->zero_ns == 0 ? REASON_NOTE : REASON_FAIL,
				    "at the end of the run: %s", world_error(r->world)->text);
			r->phase = PHASE_STOPPED;
			loop_stop(r->loop);
			break;
		}
		/* Before anything was sent it is a set-up that does not work; later it is a server that died. */
		reasons_add(&r->reasons, r->phase == PHASE_STARTING ? REASON_INVALID : REASON_FAIL, "%s",
			    world_error(r->world)->text);
		begin_stopping(r);
		break;
	case WORLD_STOPPED:
		r->phase = PHASE_STOPPED;
		loop_stop(r->loop);
		break;
	}
}

static void on_fault(void *ctx, enum timeline_event event, const struct timeline_fault *fault)
{
	struct run *r = ctx;
	struct buf text = { 0 };

	if (fault != NULL)
		result_fault_text(r->flow, fault->flow, &text);
	switch (event) {
	case TIMELINE_BEGAN:
		r->faults_on++;
		(void)snprintf(r->fault_text, sizeof(r->fault_text), "%s", buf_cstr(&text));
		run_say(r, r->fault_text);
		break;
	case TIMELINE_ENDED:
		r->faults_on--;
		buf_addf(&text, ": over");
		run_say(r, buf_cstr(&text));
		break;
	case TIMELINE_DONE:
		task_schedule(r->step);
		break;
	case TIMELINE_FAILED:
		reasons_add(&r->reasons, REASON_INVALID, "a fault could not be carried out: %s",
			    timeline_error(r->timeline)->text);
		begin_stopping(r);
		break;
	}
	buf_free(&text);
}

static int build(struct run *r, struct err *reterr)
{
	char dir[PATH_MAX];

	(void)snprintf(dir, sizeof(dir), "%s/world", r->o->dir);
	struct world_options wo = { .loop = r->loop,
				    .flow = r->flow,
				    .dir = dir,
				    .program = r->o->program,
				    .network = r->o->network,
				    .on_event = on_world,
				    .ctx = r };
	r->world = world_new(&wo, reterr);
	if (r->world == NULL)
		return reterr->code;
	r->redact = world_redact_new(r->world);
	struct link_observer observer = link_watch_observer(r->watch);
	r->links = links_new(r->loop, r->world, &observer, reterr);
	if (r->links == NULL)
		return reterr->code;
	r->timeline = timeline_new(&(struct timeline_options){
		.loop = r->loop, .world = r->world, .links = r->links, .on_event = on_fault, .ctx = r });
	return world_start(r->world, reterr);
}

static void set_up(struct run *r, const struct run_options *o)
{
	r->o = o;
	r->flow = o->flow;
	r->loop = loop_new();
	r->ledger = ledger_new();
	r->watch = link_watch_new(r->ledger, o->seed);
	r->inbox = (struct inbox){ .ledger = r->ledger, .seed = o->seed, .original = run_original, .ctx = r };
	r->loop_lag = hist_new();
	r->senders = calloc(o->flow->traffic_count + 1, sizeof(*r->senders));
	r->retrievers = calloc(o->flow->retrieve_count + 1, sizeof(*r->retrievers));
	if (r->senders == NULL || r->retrievers == NULL)
		abort();
	r->lag_timer = timer_new(r->loop, run_on_lag, r);
	r->tick_timer = timer_new(r->loop, run_on_tick, r);
	r->deadline = timer_new(r->loop, on_deadline, r);
	r->queue_timer = timer_new(r->loop, on_queue_timer, r);
	r->step = task_new(r->loop, on_step, r);
	r->signals[0] = signal_watch_new(r->loop, SIGINT, on_signal, r);
	r->signals[1] = signal_watch_new(r->loop, SIGTERM, on_signal, r);
	r->progress = (struct progress){ .mode = o->progress, .colour = o->colour };
	r->began_ns = clock_mono_ns();
	r->began_wall_ms = clock_wall_ms();
}

/* After this no process of the run is left and no callback comes any more. */
static void tear_down(struct run *r)
{
	run_end_traffic(r);
	timeline_free(r->timeline);
	r->timeline = NULL;
	run_forget_queues(r);
	task_free(r->queues.tell);
	links_free(r->links);
	world_free(r->world);
	tls_free(r->tls);
	for (uint32_t i = 0; i < FLOW_HOSTS_MAX; i++)
		tls_free(r->tls_there[i]);
	timer_free(r->lag_timer);
	timer_free(r->tick_timer);
	timer_free(r->deadline);
	timer_free(r->queue_timer);
	task_free(r->step);
	signal_watch_free(r->signals[0]);
	signal_watch_free(r->signals[1]);
	loop_free(r->loop);
}

/* ---- what the end makes of it ---- */

static void copy_faults(struct run *r, struct run_end *e)
{
	for (uint32_t i = 0; i < r->flow->fault_count; i++) {
		const struct timeline_fault *f = timeline_fault(r->timeline, i);
		e->faults[i] = (struct record_fault){
			.flow = f->flow,
			.begin_ns = f->begin_ns != 0 ? f->begin_ns : LEDGER_NEVER,
			.end_ns = f->end_ns != 0 ? f->end_ns : LEDGER_NEVER,
			.strike_count = f->strike_count,
			.strikes_counted = f->strikes_counted,
		};
	}
}

static void copy_hosts(struct run *r, struct run_end *e)
{
	for (uint32_t i = 0; i < r->flow->host_count; i++)
		e->hosts[i] = (struct record_host){
			.name = r->flow->hosts[i].name,
			.target = r->flow->hosts[i].target,
			.cpu_ms = r->hosts[i].cpu_before_ms + r->hosts[i].cpu_ms,
			.starts = r->hosts[i].starts,
		};
}

static int64_t longest_poll_ms(const struct flow *f)
{
	int64_t longest_ms = 0;

	for (uint32_t i = 0; i < f->retrieve_count; i++)
		longest_ms = f->retrieves[i].every_ms > longest_ms ? f->retrieves[i].every_ms : longest_ms;
	return longest_ms;
}

static void fill_end(struct run *r, struct run_end *e)
{
	bool began = r->zero_ns != 0;

	copy_faults(r, e);
	copy_hosts(r, e);
	e->ledger = r->ledger;
	e->ledger_end = r->end;
	e->record = (struct record){
		.flow = r->flow,
		.seed = r->o->seed,
		.sets = r->o->sets,
		.loop_lag = r->loop_lag,
		.links = link_watch_counts(r->watch),
		.interrupted = r->interrupted,
		.started_wall_ms = r->began_wall_ms,
		.ended_wall_ms = clock_wall_ms(),
		.zero_ns = began ? r->zero_ns : r->began_ns,
		.ended_ns = r->ended_ns != 0 ? r->ended_ns : clock_mono_ns(),
		.fault_count = began ? r->flow->fault_count : 0,
		.host_count = r->flow->host_count,
		.poll_interval_ms = longest_poll_ms(r->flow),
		.reasons = r->reasons,
	};
	r->reasons = (struct reasons){ 0 };
	/* Stopped before the schedule's start. */
	if (e->record.ended_ns < e->record.zero_ns)
		e->record.ended_ns = e->record.zero_ns;
}

/* The loop runs here, and only here. */
static int carry_out(struct run *r, struct err *reterr)
{
	int rc = build(r, reterr);

	if (rc != 0)
		return rc;
	run_on_tick(r);
	loop_run(r->loop);
	if (!r->failed)
		return 0;
	*reterr = r->err;
	return r->err.code;
}

static void free_run(struct run *r)
{
	plan_free(r->plan);
	link_watch_free(r->watch);
	ledger_free(r->ledger);
	hist_free(r->loop_lag);
	reasons_free(&r->reasons);
	residue_names_free(&r->queues.names);
	redact_free(r->redact);
	free(r->senders);
	free(r->retrievers);
	free(r);
}

int run_flow(const struct run_options *o, struct run_outcome *ret_outcome, struct err *reterr)
{
	struct run *r = calloc(1, sizeof(*r));
	struct run_end *e = calloc(1, sizeof(*e));

	if (r == NULL || e == NULL)
		abort();
	set_up(r, o);
	int rc = carry_out(r, reterr);
	progress_clear(&r->progress);
	if (rc == 0)
		fill_end(r, e);
	tear_down(r);
	run_end_keep_logs(o->dir, o->flow, r->redact, o->keep_world);
	if (rc == 0)
		rc = run_end_judge(e, o, ret_outcome, reterr);
	if (rc == 0)
		rc = run_end_redact(o->dir, r->redact, o->show_secrets, ret_outcome, reterr);
	reasons_free(&e->record.reasons);
	free_run(r);
	free(e);
	return rc;
}
