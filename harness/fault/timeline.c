#include "harness/fault/timeline.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* One fault under way. */
struct strike {
	struct timeline *timeline;
	struct timeline_fault record;
	struct timer *begin_timer;
	struct timer *end_timer;
	bool ended;
	bool waits; /* host faults: for an earlier one on the same host to be over */
	struct dns_fault *dns;
	uint32_t resets_before; /* of the link, when a reset mode began */
	uint32_t lookups_before;
};

struct timeline {
	struct timeline_options o;
	const struct flow *flow;
	struct strike *strikes;
	int64_t zero_ns;
	struct task *done; /* tells DONE from the loop, never inside a call */
	bool failed;
	bool told_done;
	bool started;
	struct err error;
};

static void begin(void *ctx);
static void end(void *ctx);
static void tell_done(void *ctx);
static void begin_waiting(struct timeline *t, uint32_t host);

struct timeline *timeline_new(const struct timeline_options *o)
{
	struct timeline *t = calloc(1, sizeof(*t));

	if (t == NULL)
		abort();
	t->o = *o;
	t->flow = world_flow(o->world);
	t->strikes = calloc(t->flow->fault_count + 1, sizeof(*t->strikes));
	if (t->strikes == NULL)
		abort();
	t->done = task_new(o->loop, tell_done, t);
	for (uint32_t i = 0; i < t->flow->fault_count; i++) {
		t->strikes[i].timeline = t;
		t->strikes[i].record.flow = &t->flow->faults[i];
		t->strikes[i].begin_timer = timer_new(o->loop, begin, &t->strikes[i]);
		t->strikes[i].end_timer = timer_new(o->loop, end, &t->strikes[i]);
	}
	return t;
}

void timeline_free(struct timeline *t)
{
	if (t == NULL)
		return;
	for (uint32_t i = 0; i < t->flow->fault_count; i++) {
		timer_free(t->strikes[i].begin_timer);
		timer_free(t->strikes[i].end_timer);
	}
	task_free(t->done);
	free(t->strikes);
	free(t);
}

static bool is_host_fault(const struct strike *s)
{
	return s->record.flow->kind <= FLOW_HOST_RESTART;
}

static bool is_link_fault(const struct strike *s)
{
	return s->record.flow->kind >= FLOW_LINK_REFUSE && s->record.flow->kind <= FLOW_LINK_DELAY;
}

/* ---- telling ---- */

static void tell(struct timeline *t, enum timeline_event event, const struct timeline_fault *f)
{
	if (t->o.on_event != NULL)
		t->o.on_event(t->o.ctx, event, f);
}

bool timeline_is_done(const struct timeline *t)
{
	for (uint32_t i = 0; i < t->flow->fault_count; i++) {
		const struct strike *s = &t->strikes[i];
		bool lasts = s->record.begin_ns != 0 && s->record.flow->for_ms == FLOW_FOREVER;
		if (!s->ended && !lasts)
			return false;
	}
	return t->started;
}

static void tell_done(void *ctx)
{
	struct timeline *t = ctx;

	if (t->told_done || t->failed || !timeline_is_done(t))
		return;
	t->told_done = true;
	tell(t, TIMELINE_DONE, NULL);
}

static void fail(struct timeline *t, const struct err *why)
{
	if (t->failed)
		return;
	t->failed = true;
	t->error = *why;
	tell(t, TIMELINE_FAILED, NULL);
}

static void mark_begun(struct strike *s)
{
	s->record.begin_ns = clock_mono_ns();
	tell(s->timeline, TIMELINE_BEGAN, &s->record);
	task_schedule(s->timeline->done);
}

/* ---- links and names: their faults begin and end at once ---- */

static uint32_t lookups_of(const struct strike *s)
{
	return world_lookup_count(s->timeline->o.world, s->record.flow->link_from, s->record.flow->link_to);
}

/* Whether strikes_so_far would know of everybody. */
static bool is_counted(const struct strike *s)
{
	const struct flow_fault *f = s->record.flow;

	return f->kind != FLOW_LINK_REFUSE || s->record.strike_count > 0 || lookups_of(s) > 0 ||
	       link_caller_count(links_get(s->timeline->o.links, f->link_from, f->link_to)) == 0;
}

static uint32_t strikes_so_far(const struct strike *s)
{
	const struct flow_fault *f = s->record.flow;
	const struct links *ls = s->timeline->o.links;

	switch (f->kind) {
	case FLOW_LINK_RESET:
		if (f->moment != FLOW_MOMENT_NONE)
			return link_moment_count(links_get(ls, f->link_from, f->link_to));
		return link_reset_count(links_get(ls, f->link_from, f->link_to)) - s->resets_before;
	case FLOW_LINK_REFUSE:
		return link_reset_count(links_get(ls, f->link_from, f->link_to)) - s->resets_before +
		       lookups_of(s) - s->lookups_before;
	case FLOW_LINK_BLACKHOLE:
	case FLOW_LINK_DELAY:
		return link_touch_count(links_get(ls, f->link_from, f->link_to));
	case FLOW_DNS_SERVFAIL:
	case FLOW_DNS_NXDOMAIN:
	case FLOW_DNS_TIMEOUT:
		return s->dns != NULL ? dns_fault_lookup_count(s->dns) : 0;
	case FLOW_HOST_STOP:
	case FLOW_HOST_KILL:
	case FLOW_HOST_RESTART:
		return s->record.begin_ns != 0 ? 1 : 0;
	}
	return 0;
}

static void begin_link(struct strike *s)
{
	static const enum link_mode MODES[] = { LINK_REFUSE, LINK_BLACKHOLE, LINK_RESET, LINK_DELAY };
	const struct flow_fault *f = s->record.flow;
	struct link *l = links_get(s->timeline->o.links, f->link_from, f->link_to);
	struct err err;

	s->resets_before = link_reset_count(l);
	s->lookups_before = lookups_of(s);
	if (f->moment != FLOW_MOMENT_NONE) {
		link_set_moment(l, f->moment, f->at_byte, f->count);
	} else if (link_set_mode(l, MODES[f->kind - FLOW_LINK_REFUSE], f->delay_ms, &err) != 0) {
		fail(s->timeline, &err);
		return;
	}
	mark_begun(s);
}

static void end_link(struct strike *s)
{
	const struct flow_fault *f = s->record.flow;
	struct link *l = links_get(s->timeline->o.links, f->link_from, f->link_to);
	struct err err;

	if (f->moment != FLOW_MOMENT_NONE)
		link_clear_moment(l);
	else if (link_set_mode(l, LINK_PASS, 0, &err) != 0)
		fail(s->timeline, &err);
}

static void begin_dns(struct strike *s)
{
	static const enum dns_fault_kind KINDS[] = { DNS_SERVFAIL, DNS_NXDOMAIN, DNS_TIMEOUT };
	const struct flow_fault *f = s->record.flow;

	s->dns = dns_fault_add(world_dns(s->timeline->o.world), f->domain, KINDS[f->kind - FLOW_DNS_SERVFAIL],
			       f->count);
	mark_begun(s);
}

/* ---- hosts ---- */

static void mark_ended(struct strike *s)
{
	if (is_host_fault(s))
		s->record.strike_count = strikes_so_far(s);
	s->ended = true;
	s->record.end_ns = clock_mono_ns();
	tell(s->timeline, TIMELINE_ENDED, &s->record);
	task_schedule(s->timeline->done);
}

static void on_back(void *ctx, struct host *h, enum host_event event)
{
	struct strike *s = ctx;
	struct err err;

	if (event != HOST_IS_READY) {
		fail(s->timeline, host_error(h));
		return;
	}
	if (links_set_down(s->timeline->o.links, s->record.flow->host, false, &err) != 0) {
		fail(s->timeline, &err);
		return;
	}
	mark_ended(s);
	begin_waiting(s->timeline, s->record.flow->host);
}

static void start_again(struct strike *s)
{
	struct err err;

	if (world_host_start(s->timeline->o.world, s->record.flow->host, on_back, s, &err) != 0)
		fail(s->timeline, &err);
}

static void on_gone(void *ctx, struct host *h, enum host_event event)
{
	struct strike *s = ctx;
	const struct flow_fault *f = s->record.flow;

	if (event == HOST_HAS_FAILED) {
		fail(s->timeline, host_error(h));
		return;
	}
	if (f->for_ms == FLOW_FOREVER || s->ended)
		return;
	int64_t left_ns = s->record.begin_ns + f->for_ms * 1000000 - clock_mono_ns();
	timer_set_ns(s->end_timer, left_ns);
}

/* A fault on this host has begun, and its server is not back yet. */
static bool host_fault_is_open(const struct timeline *t, uint32_t host)
{
	for (uint32_t i = 0; i < t->flow->fault_count; i++) {
		const struct strike *s = &t->strikes[i];
		if (is_host_fault(s) && s->record.flow->host == host && s->record.begin_ns != 0 && !s->ended)
			return true;
	}
	return false;
}

static void begin_waiting(struct timeline *t, uint32_t host)
{
	for (uint32_t i = 0; i < t->flow->fault_count; i++) {
		struct strike *s = &t->strikes[i];
		if (s->waits && s->record.flow->host == host) {
			s->waits = false;
			begin(s);
			return;
		}
	}
}

static void begin_host(struct strike *s)
{
	const struct flow_fault *f = s->record.flow;
	struct world *w = s->timeline->o.world;
	struct err err;

	if (host_fault_is_open(s->timeline, f->host)) {
		s->waits = true;
		return;
	}
	if (host_state(world_host(w, f->host)) != HOST_READY) {
		(void)err_set(&err, -ESRCH, "host %s was not running when a fault should end it",
			      s->timeline->flow->hosts[f->host].name);
		fail(s->timeline, &err);
		return;
	}
	/* As on a real network, nobody answers for a server that is down. */
	(void)links_set_down(s->timeline->o.links, f->host, true, &err);
	if (f->kind == FLOW_HOST_KILL)
		world_host_kill(w, f->host, on_gone, s);
	else
		world_host_stop(w, f->host, on_gone, s);
	mark_begun(s);
}

/* ---- the course of one fault ---- */

static int64_t planned_begin_ns(const struct strike *s)
{
	return s->timeline->zero_ns + s->record.flow->at_ms * 1000000;
}

/* Timers may be early by what the loop's last round took; a fault must not be. */
static bool is_early(struct timer *t, int64_t due_ns)
{
	int64_t left_ns = due_ns - clock_mono_ns();

	if (left_ns > 0)
		timer_set_ns(t, left_ns);
	return left_ns > 0;
}

static void end_now(struct strike *s)
{
	timer_clear(s->end_timer);
	s->record.strike_count = strikes_so_far(s);
	if (is_link_fault(s)) {
		end_link(s);
	} else {
		dns_fault_remove(world_dns(s->timeline->o.world), s->dns);
		s->dns = NULL;
	}
	mark_ended(s);
}

static void end(void *ctx)
{
	struct strike *s = ctx;

	if (s->timeline->failed || s->ended ||
	    is_early(s->end_timer, s->record.begin_ns + s->record.flow->for_ms * 1000000))
		return;
	if (is_host_fault(s))
		start_again(s);
	else
		end_now(s);
}

/* What ends when this one begins must end first: both may use the same link. */
static void end_due(struct timeline *t, const struct strike *next)
{
	for (uint32_t i = 0; i < t->flow->fault_count; i++) {
		struct strike *s = &t->strikes[i];
		bool due = s->record.flow->for_ms != FLOW_FOREVER &&
			   s->record.flow->at_ms + s->record.flow->for_ms <= next->record.flow->at_ms;
		if (s != next && !is_host_fault(s) && s->record.begin_ns != 0 && !s->ended && due)
			end_now(s);
	}
}

static void begin(void *ctx)
{
	struct strike *s = ctx;

	if (s->timeline->failed || is_early(s->begin_timer, planned_begin_ns(s)))
		return;
	if (is_host_fault(s)) {
		begin_host(s);
		return;
	}
	end_due(s->timeline, s);
	if (s->record.flow->for_ms != FLOW_FOREVER)
		timer_set_ms(s->end_timer, s->record.flow->for_ms);
	if (is_link_fault(s))
		begin_link(s);
	else
		begin_dns(s);
}

void timeline_start(struct timeline *t, int64_t zero_ns)
{
	int64_t now_ns = clock_mono_ns();

	assert(!t->started);
	t->started = true;
	t->zero_ns = zero_ns;
	for (uint32_t i = 0; i < t->flow->fault_count; i++)
		timer_set_ns(t->strikes[i].begin_timer,
			     zero_ns + t->flow->faults[i].at_ms * 1000000 - now_ns);
	task_schedule(t->done);
}

void timeline_finish(struct timeline *t)
{
	for (uint32_t i = 0; i < t->flow->fault_count; i++) {
		struct strike *s = &t->strikes[i];
		timer_clear(s->begin_timer);
		timer_clear(s->end_timer);
		if (s->record.begin_ns == 0 || s->ended)
			continue;
		if (is_host_fault(s))
			mark_ended(s);
		else
			end_now(s);
	}
}

uint32_t timeline_fault_count(const struct timeline *t)
{
	return t->flow->fault_count;
}

const struct timeline_fault *timeline_fault(const struct timeline *t, uint32_t index)
{
	struct strike *s = &t->strikes[index];

	assert(index < t->flow->fault_count);
	if (s->record.begin_ns != 0 && !s->ended)
		s->record.strike_count = strikes_so_far(s);
	s->record.strikes_counted = is_counted(s);
	return &s->record;
}

const struct err *timeline_error(const struct timeline *t)
{
	return &t->error;
}
