#include "harness/cli/run_flow.h"

#include "base/loop.h"
#include "harness/cli/plan.h"
#include "harness/cli/run_end.h"
#include "harness/fault/links.h"
#include "harness/fault/timeline.h"
#include "harness/judge/inbox.h"
#include "harness/judge/link_watch.h"
#include "harness/judge/result.h"
#include "harness/load/retriever.h"
#include "harness/load/sender.h"
#include "harness/world/world.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum {
	NS_PER_MS = 1000000,
	LEAD_MS = 100,       /* from ready servers to the first intended time */
	PLANNING_NS = 10000, /* for each message: ledger and sender are filled before the first is due */
	LAG_PERIOD_MS = 10,  /* how often the loop's punctuality is measured */
	SWEEP_MAX_MS = 10000,
};

enum phase { PHASE_STARTING, PHASE_TRAFFIC, PHASE_DRAIN, PHASE_SWEEP, PHASE_STOPPING, PHASE_STOPPED };

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
	char problem[160];
};

/* CPU time survives a process only here. */
struct run_host {
	pid_t pid;
	int64_t cpu_before_ms; /* of processes that have ended */
	int64_t cpu_ms;        /* of this one */
	uint32_t starts;
};

struct run {
	const struct run_options *o;
	const struct flow *flow;
	struct loop *loop;
	enum phase phase;
	struct ledger *ledger;
	struct link_watch *watch;
	struct world *world;
	struct links *links;
	struct timeline *timeline;
	struct plan *plan;
	struct inbox inbox;
	struct tls_ctx *tls;
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

/* ---- progress ---- */

static struct progress_state state_of(const struct run *r)
{
	static const char *const names[] = { "starting",  "traffic",  "draining",
					     "last look", "stopping", "stopped" };
	int64_t from_ns = r->zero_ns != 0 ? r->zero_ns : r->began_ns;

	return (struct progress_state){
		.flow = r->flow->name,
		.phase = names[r->phase],
		.fault = r->faults_on > 0 ? r->fault_text : NULL,
		.elapsed_ms = (clock_mono_ns() - from_ns) / NS_PER_MS,
		.counts = ledger_progress(r->ledger),
	};
}

static void say(struct run *r, const char *text)
{
	struct progress_state s = state_of(r);

	progress_event(&r->progress, &s, text);
}

static void sample_hosts(struct run *r)
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

static void on_tick(void *ctx)
{
	struct run *r = ctx;
	struct progress_state s = state_of(r);

	sample_hosts(r);
	progress_show(&r->progress, &s);
	timer_set_ms(r->tick_timer,
		     progress_interval_ms(&r->progress) < 1000 ? progress_interval_ms(&r->progress) : 1000);
}

/* How late does the loop come to what was due?  Everything that is measured is late by as much. */
static void on_lag(void *ctx)
{
	struct run *r = ctx;
	int64_t late_ns = clock_mono_ns() - r->lag_due_ns;

	hist_record(r->loop_lag, late_ns > 0 ? late_ns : 0);
	r->lag_due_ns = clock_mono_ns() + LAG_PERIOD_MS * NS_PER_MS;
	timer_set_ns(r->lag_timer, LAG_PERIOD_MS * NS_PER_MS);
}

/* ---- ends of a run ---- */

/* The harness cannot go on; whatever runs is ended by the clean-up. */
static void fail(struct run *r)
{
	r->failed = true;
	loop_stop(r->loop);
}

static bool host_is_up(const struct run *r, uint32_t host)
{
	const struct host *h = world_host(r->world, host);

	return h != NULL && host_state(h) == HOST_READY;
}

/* Without a look into a mailbox nothing can be said of what was sent there. */
static void note_mailboxes(struct run *r)
{
	for (uint32_t i = 0; i < r->flow->retrieve_count; i++) {
		const struct run_retriever *rr = &r->retrievers[i];
		if (rr->run == NULL || rr->ok || r->interrupted || !host_is_up(r, rr->flow->host))
			continue;
		reasons_add(&r->reasons, REASON_INVALID, "the mailbox of %s could not be read at the end: %s",
			    rr->flow->account.text, rr->problem);
	}
}

static void begin_stopping(struct run *r)
{
	if (r->phase >= PHASE_STOPPING)
		return;
	r->ended_ns = clock_mono_ns();
	sample_hosts(r);
	note_mailboxes(r);
	r->phase = PHASE_STOPPING;
	timer_clear(r->deadline);
	timer_clear(r->lag_timer);
	for (uint32_t i = 0; r->senders != NULL && i < r->flow->traffic_count; i++) {
		sender_free(r->senders[i].sender);
		r->senders[i].sender = NULL;
	}
	for (uint32_t i = 0; r->retrievers != NULL && i < r->flow->retrieve_count; i++) {
		retriever_free(r->retrievers[i].retriever);
		r->retrievers[i].retriever = NULL;
	}
	if (r->timeline != NULL)
		timeline_finish(r->timeline);
	world_stop(r->world);
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
	say(r, "interrupted; stopping the servers (once more to kill them)");
	task_schedule(r->step);
}

/* ---- senders ---- */

static void make_content(void *ctx, uint64_t id, struct buf *ret_message)
{
	struct run *r = ctx;
	struct content_spec spec;
	struct content_digest digest;
	size_t before = buf_bytes(ret_message);

	plan_spec(r->plan, (uint32_t)id, &spec);
	content_make(&spec, ret_message);
	content_digest(span_sub(buf_span(ret_message), before, SIZE_MAX), &digest);
	ledger_content(r->ledger, (uint32_t)id, &digest);
}

static void report_end(struct run *r, uint32_t id, const struct sender_report *rep)
{
	int64_t now_ns = clock_mono_ns();

	switch (rep->outcome) {
	case SENDER_ACCEPTED:
	case SENDER_REFUSED:
	case SENDER_DEFERRED:
		ledger_final_reply(r->ledger, id, rep->final_reply_ns != 0 ? rep->final_reply_ns : now_ns,
				   rep->reply.code, rep->reply.text);
		break;
	case SENDER_NOT_SENT:
	case SENDER_INDETERMINATE:
		ledger_broken(r->ledger, id, now_ns, span_of(rep->problem));
		break;
	}
}

static void on_report(void *ctx, const struct sender_report *rep)
{
	struct run_sender *s = ctx;
	struct run *r = s->run;
	uint32_t id = (uint32_t)rep->id;

	if (rep->started_ns != 0)
		ledger_started(r->ledger, id, rep->started_ns);
	if (rep->connected_ns != 0)
		ledger_connected(r->ledger, id, rep->connected_ns);
	for (uint32_t i = 0; i < rep->recipient_count; i++)
		if (rep->recipients[i].code != 0)
			ledger_rcpt_reply(r->ledger, id, i, rep->recipients[i].code, rep->recipients[i].text);
	if (rep->final_dot_ns != 0)
		ledger_final_dot(r->ledger, id, rep->final_dot_ns);
	report_end(r, id, rep);
}

static void on_idle(void *ctx)
{
	struct run_sender *s = ctx;

	s->idle = true;
	task_schedule(s->run->step);
}

static struct access access_to(struct run *r, uint32_t host, enum flow_service service, enum flow_tls tls)
{
	static const enum access_tls kinds[] = { [FLOW_TLS_NONE] = ACCESS_PLAIN,
						 [FLOW_TLS_STARTTLS] = ACCESS_STARTTLS,
						 [FLOW_TLS_IMPLICIT] = ACCESS_TLS };
	return (struct access){
		.server = world_service_addr(r->world, host, service),
		.tls = kinds[tls],
		.tls_ctx = tls != FLOW_TLS_NONE ? r->tls : NULL,
		.server_name = r->flow->hosts[host].mx_name,
	};
}

static void submit(struct run *r, uint32_t traffic)
{
	const struct flow_traffic *t = &r->flow->traffic[traffic];
	struct span *to = calloc(t->to_count, sizeof(*to));
	uint32_t id;
	uint32_t end;

	if (to == NULL)
		abort();
	for (uint32_t i = 0; i < t->to_count; i++)
		to[i] = span_of(t->to[i].text);
	for (plan_ids(r->plan, traffic, &id, &end); id < end; id++)
		sender_submit(r->senders[traffic].sender,
			      &(struct outgoing){ .id = id,
						  .intended_ns = ledger_message(r->ledger, id)->intended_ns,
						  .reverse_path = span_of(t->from.text),
						  .recipients = to,
						  .recipient_count = t->to_count,
						  .make_content = make_content,
						  .make_content_ctx = r });
	free(to);
}

static int start_sender(struct run *r, uint32_t i, struct err *reterr)
{
	const struct flow_traffic *t = &r->flow->traffic[i];
	struct run_sender *s = &r->senders[i];
	struct sender_options so = {
		.loop = r->loop,
		.access = access_to(r, t->via, t->service, t->tls),
		.connections_max = t->session_count,
		.on_report = on_report,
		.on_idle = on_idle,
		.ctx = s,
	};

	if (t->auth) {
		so.access.user = t->from.text;
		so.access.password =
			world_password(r->world, (uint32_t)t->from.host, (uint32_t)t->from.account);
	}
	s->run = r;
	s->traffic = i;
	s->sender = sender_new(&so, reterr);
	if (s->sender == NULL)
		return reterr->code;
	submit(r, i);
	s->idle = sender_pending_count(s->sender) == 0;
	return 0;
}

/* ---- retrievers ---- */

static void original(void *ctx, uint32_t id, struct content_spec *ret_spec)
{
	const struct run *r = ctx;

	plan_spec(r->plan, id, ret_spec);
}

static void on_message(void *ctx, const struct retrieved *m)
{
	struct run_retriever *rr = ctx;
	struct run *r = rr->run;

	r->sweep_new++;
	inbox_take_in(&r->inbox, &(struct inbox_message){ .message = m->message,
							  .mailbox = rr->flow->account.text,
							  .seen_ns = m->listed_ns,
							  .not_before_ns = m->absent_ns != 0 ? m->absent_ns
											     : r->began_ns });
}

static void on_poll(void *ctx, const struct retriever_poll *p)
{
	struct run_retriever *rr = ctx;

	rr->ok = p->outcome == RETRIEVER_OK;
	if (rr->ok && rr->run->phase == PHASE_SWEEP && p->start_ns >= rr->run->sweep_ns)
		rr->swept = true;
	if (!rr->ok)
		(void)snprintf(rr->problem, sizeof(rr->problem), "%s: %s", retriever_outcome_name(p->outcome),
			       p->problem);
	task_schedule(rr->run->step);
}

static int start_retriever(struct run *r, uint32_t i, struct err *reterr)
{
	const struct flow_retrieve *f = &r->flow->retrieves[i];
	struct run_retriever *rr = &r->retrievers[i];
	struct retriever_options ro = {
		.loop = r->loop,
		.access = access_to(r, f->host, f->service, f->tls),
		.interval_ms = f->every_ms,
		.delete_after = true, /* or every poll lists all that ever came */
		.on_message = on_message,
		.on_poll = on_poll,
		.ctx = rr,
	};

	ro.access.user = f->account.text;
	ro.access.password = world_password(r->world, f->host, (uint32_t)f->account.account);
	rr->run = r;
	rr->flow = f;
	rr->retriever = retriever_new(&ro, reterr);
	if (rr->retriever == NULL)
		return reterr->code;
	retriever_start(rr->retriever);
	return 0;
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
	int rc = 0;

	r->zero_ns = clock_mono_ns() + LEAD_MS * NS_PER_MS + message_count_about(r->flow) * PLANNING_NS;
	struct plan_options po = {
		.flow = r->flow, .seed = r->o->seed, .ledger = r->ledger, .zero_ns = r->zero_ns
	};
	po.zero_wall_ms = nearest_wall_ms(r->zero_ns);
	r->plan = plan_new(&po, reterr);
	if (r->plan == NULL)
		return reterr->code;
	r->tls = tls_client_new(world_ca_path(r->world), reterr);
	if (r->tls == NULL)
		return reterr->code;
	for (uint32_t i = 0; i < r->flow->retrieve_count && rc == 0; i++)
		rc = start_retriever(r, i, reterr);
	for (uint32_t i = 0; i < r->flow->traffic_count && rc == 0; i++)
		rc = start_sender(r, i, reterr);
	if (rc != 0)
		return rc;
	timeline_start(r->timeline, r->zero_ns);
	r->phase = PHASE_TRAFFIC;
	r->lag_due_ns = clock_mono_ns() + LAG_PERIOD_MS * NS_PER_MS;
	timer_set_ms(r->lag_timer, LAG_PERIOD_MS);
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
		if (!r->retrievers[i].swept && host_is_up(r, r->retrievers[i].flow->host))
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

static void begin_drain(struct run *r)
{
	r->phase = PHASE_DRAIN;
	say(r, "all sent; waiting for the rest to arrive");
	timer_set_ms(r->deadline, r->flow->drain_ms);
}

static void on_step(void *ctx)
{
	struct run *r = ctx;

	if (r->interrupted)
		begin_stopping(r);
	if (r->phase == PHASE_TRAFFIC && traffic_is_over(r))
		begin_drain(r);
	if (r->phase == PHASE_DRAIN && is_settled(r))
		begin_sweep(r);
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
		say(r, "servers are ready");
		if (!r->interrupted && begin_traffic(r, &r->err) != 0)
			fail(r);
		break;
	case WORLD_BROKEN:
		if (r->phase == PHASE_STOPPING) {
			reasons_add(&r->reasons, REASON_NOTE, "%s", world_error(r->world)->text);
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
		say(r, r->fault_text);
		break;
	case TIMELINE_ENDED:
		r->faults_on--;
		buf_addf(&text, ": over");
		say(r, buf_cstr(&text));
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
				    .on_event = on_world,
				    .ctx = r };
	r->world = world_new(&wo, reterr);
	if (r->world == NULL)
		return reterr->code;
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
	r->inbox = (struct inbox){ .ledger = r->ledger, .seed = o->seed, .original = original, .ctx = r };
	r->loop_lag = hist_new();
	r->senders = calloc(o->flow->traffic_count + 1, sizeof(*r->senders));
	r->retrievers = calloc(o->flow->retrieve_count + 1, sizeof(*r->retrievers));
	if (r->senders == NULL || r->retrievers == NULL)
		abort();
	r->lag_timer = timer_new(r->loop, on_lag, r);
	r->tick_timer = timer_new(r->loop, on_tick, r);
	r->deadline = timer_new(r->loop, on_deadline, r);
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
	for (uint32_t i = 0; i < r->flow->traffic_count; i++)
		sender_free(r->senders[i].sender);
	for (uint32_t i = 0; i < r->flow->retrieve_count; i++)
		retriever_free(r->retrievers[i].retriever);
	timeline_free(r->timeline);
	r->timeline = NULL;
	links_free(r->links);
	world_free(r->world);
	tls_free(r->tls);
	timer_free(r->lag_timer);
	timer_free(r->tick_timer);
	timer_free(r->deadline);
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
		};
		/* A server is stopped once; links and names count. */
		if (f->flow->kind <= FLOW_HOST_RESTART)
			e->faults[i].strike_count = f->begin_ns != 0 ? 1 : 0;
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

int run_flow(const struct run_options *o, struct run_outcome *ret_outcome, struct err *reterr)
{
	struct run r = { 0 };
	struct run_end e = { 0 };
	int rc;

	set_up(&r, o);
	rc = build(&r, reterr);
	if (rc == 0) {
		on_tick(&r);
		loop_run(r.loop);
		if (r.failed) {
			*reterr = r.err;
			rc = r.err.code;
		}
	}
	progress_clear(&r.progress);
	if (rc == 0)
		fill_end(&r, &e);
	tear_down(&r);
	run_end_keep_logs(o->dir, o->flow, o->keep_world);
	if (rc == 0)
		rc = run_end_judge(&e, o, ret_outcome, reterr);
	reasons_free(&e.record.reasons);
	plan_free(r.plan);
	link_watch_free(r.watch);
	ledger_free(r.ledger);
	hist_free(r.loop_lag);
	reasons_free(&r.reasons);
	free(r.senders);
	free(r.retrievers);
	return rc;
}
