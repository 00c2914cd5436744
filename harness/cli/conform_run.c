#include "harness/cli/conform_run.h"

#include "base/loop.h"
#include "harness/cli/conform_world.h"
#include "harness/conform/probe.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

enum { DEATHS_MAX = 20, AT_ONCE = 32 };

struct conform_run {
	struct conform_run_options o;
	struct loop *loop;
	struct conform_world *world;
	struct probe *probe;
	struct suite *suite;
	struct signal_watch *on_int, *on_term;
	struct task *restart;
	bool interrupted;
	bool ending;
	uint32_t deaths;
	char problem[700];
};

static void stop(struct conform_run *r);

/* ---- the course of things ---- */

static void on_result(void *ctx, const struct suite_result *result)
{
	const struct conform_run *r = ctx;

	if (r->o.on_result != NULL)
		r->o.on_result(r->o.ctx, result);
}

static void on_suite(void *ctx, struct suite *s)
{
	(void)s;
	stop(ctx);
}

/* What the user says may be less than the target bears, not more. */
static uint32_t at_once(const struct conform_run *r)
{
	uint32_t most = r->o.target->cases_at_once > 0 ? r->o.target->cases_at_once : AT_ONCE;

	if (r->o.target->remote.is)
		return 1;
	if (r->o.at_once == 0)
		return most;
	return r->o.target->cases_at_once > 0 && r->o.at_once > most ? most : r->o.at_once;
}

static void start_suite(struct conform_run *r)
{
	r->suite = suite_new(&(struct suite_options){ .loop = r->loop,
						      .sut = conform_world_sut(r->world),
						      .cases = r->o.cases,
						      .case_count = r->o.case_count,
						      .at_once = at_once(r),
						      .repeat = r->o.repeat,
						      .mails_per_s_max = r->o.target->remote.rate_per_s_max,
						      .seed = r->o.seed,
						      .shuffle = r->o.shuffle,
						      .on_result = on_result,
						      .on_done = on_suite,
						      .ctx = r });
	suite_start(r->suite);
}

static void on_probe(void *ctx, struct probe *p)
{
	struct conform_run *r = ctx;

	if (probe_answered_count(p) == 0)
		(void)snprintf(r->problem, sizeof(r->problem),
			       "the server could not be asked what it offers: %s", probe_problem(p));
	if (r->problem[0] != '\0')
		stop(r);
	else
		start_suite(r);
}

static void server_died(struct conform_run *r)
{
	const char *why = world_error(conform_world_inside(r->world))->text;

	r->deaths++;
	if (r->suite == NULL || r->deaths > DEATHS_MAX) {
		(void)snprintf(r->problem, sizeof(r->problem), "%s", why);
		stop(r);
		return;
	}
	suite_server_died(r->suite, why);
	task_schedule(r->restart);
}

static void on_world(void *ctx, enum world_event event)
{
	struct conform_run *r = ctx;

	switch (event) {
	case WORLD_READY:
		r->probe = probe_new(r->loop, conform_world_sut(r->world), on_probe, r);
		return;
	case WORLD_STOPPED:
		loop_stop(r->loop);
		return;
	case WORLD_BROKEN:
		if (r->ending) {
			if (r->problem[0] == '\0')
				(void)snprintf(r->problem, sizeof(r->problem), "%s",
					       world_error(conform_world_inside(r->world))->text);
			loop_stop(r->loop);
		} else {
			server_died(r);
		}
		return;
	}
}

static void on_restarted(void *ctx, struct host *h, enum host_event event)
{
	struct conform_run *r = ctx;

	if (event == HOST_IS_READY) {
		suite_server_back(r->suite);
		return;
	}
	(void)snprintf(r->problem, sizeof(r->problem), "the server did not come back: %s",
		       host_error(h)->text);
	stop(r);
}

static void restart(void *ctx)
{
	struct conform_run *r = ctx;
	struct err e;

	if (r->ending)
		return;
	if (world_host_start(conform_world_inside(r->world), CONFORM_SUT, on_restarted, r, &e) != 0) {
		(void)snprintf(r->problem, sizeof(r->problem), "%s", e.text);
		stop(r);
	}
}

static void stop(struct conform_run *r)
{
	if (r->ending)
		return;
	r->ending = true;
	if (r->suite != NULL)
		suite_stop(r->suite);
	world_stop(conform_world_inside(r->world));
}

static void on_signal(void *ctx, int signo)
{
	struct conform_run *r = ctx;

	(void)signo;
	if (r->interrupted)
		loop_stop(r->loop); /* the second: the servers are killed */
	r->interrupted = true;
	stop(r);
}

/* ---- life ---- */

static int make_world(struct conform_run *r, struct err *reterr)
{
	r->world = conform_world_new(
		&(struct conform_world_options){
			.loop = r->loop,
			.target = r->o.name,
			.program = r->o.program,
			.dir = r->o.dir,
			.network = r->o.network,
			.patient = r->o.patient,
			.account_count = suite_account_count(r->o.cases, r->o.case_count, r->o.repeat),
			.known_count = suite_known_count(r->o.cases, r->o.case_count, r->o.repeat),
			.on_event = on_world,
			.ctx = r },
		reterr);
	if (r->world == NULL)
		return reterr->code;
	r->restart = task_new(r->loop, restart, r);
	r->on_int = signal_watch_new(r->loop, SIGINT, on_signal, r);
	r->on_term = signal_watch_new(r->loop, SIGTERM, on_signal, r);
	return conform_world_start(r->world, reterr);
}

static void end_world(struct conform_run *r)
{
	suite_stop(r->suite);
	probe_free(r->probe);
	r->probe = NULL;
	conform_world_end(r->world, r->o.keep_world);
}

struct conform_run *conform_run(const struct conform_run_options *o, struct err *reterr)
{
	struct conform_run *r = calloc(1, sizeof(*r));

	if (r == NULL)
		abort();
	r->o = *o;
	r->loop = loop_new();
	if (make_world(r, reterr) != 0) {
		conform_run_free(r);
		return NULL;
	}
	loop_run(r->loop);
	if (r->suite == NULL) /* nothing was played; the results say so */
		r->suite = suite_new(&(struct suite_options){ .loop = r->loop,
							      .sut = conform_world_sut(r->world),
							      .cases = o->cases,
							      .case_count = o->case_count,
							      .at_once = 1,
							      .repeat = 1 });
	end_world(r);
	/* The next target's loop wants them. */
	signal_watch_free(r->on_int);
	signal_watch_free(r->on_term);
	r->on_int = r->on_term = NULL;
	return r;
}

const struct suite_result *conform_run_results(const struct conform_run *r)
{
	return suite_results(r->suite);
}

bool conform_run_was_interrupted(const struct conform_run *r)
{
	return r->interrupted;
}

const char *conform_run_problem(const struct conform_run *r)
{
	return r->problem;
}

uint32_t conform_run_deaths(const struct conform_run *r)
{
	return r->deaths;
}

void conform_run_free(struct conform_run *r)
{
	if (r == NULL)
		return;
	suite_free(r->suite);
	probe_free(r->probe);
	conform_world_free(r->world);
	signal_watch_free(r->on_int);
	signal_watch_free(r->on_term);
	task_free(r->restart);
	loop_free(r->loop);
	free(r);
}
