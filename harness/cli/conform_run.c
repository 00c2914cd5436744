#include "harness/cli/conform_run.h"

#include "base/file.h"
#include "base/listener.h"
#include "base/loop.h"
#include "base/random.h"
#include "harness/cli/run_end.h"
#include "harness/cli/residue.h"
#include "harness/conform/probe.h"
#include "harness/scenario/flow.h"
#include "harness/scenario/flow_target.h"
#include "harness/scenario/target.h"
#include "harness/world/world.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DEATHS_MAX = 20, SUT = 0 };

/* Who waits for an answer about the queue. */
struct queue_question {
	struct queue_question *next;
	sut_queue_fn *answer;
	void *ctx;
};

struct conform_run {
	struct conform_run_options o;
	struct loop *loop;
	struct flow *flow;
	struct flow_account *accounts;
	char (*names)[16];
	char (*addresses)[48];
	const char **address_list;
	const char **password_list;
	uint32_t account_count;
	struct world *world;
	struct tls_ctx *tls;
	struct sut sut;
	struct probe *probe;
	struct suite *suite;
	struct signal_watch *on_int, *on_term;
	struct task *restart;
	/* One question is out at a time: it answers all that asked before it was begun. */
	struct residue *residue;
	struct queue_question *waiting, *asking;
	struct addr lmtp;
	bool interrupted;
	bool ending;
	uint32_t deaths;
	char problem[700];
};

static void stop(struct conform_run *r);

/* ---- the world ---- */

static bool is_reference(const struct conform_run *r)
{
	return strcmp(r->o.target, "reference") == 0;
}

/* Worlds have no LMTP of their own yet: a free port on an address that nobody else uses. */
static bool choose_lmtp(struct conform_run *r)
{
	uint64_t x = random_u64();
	char text[24];
	struct addr at;
	struct err e;

	(void)snprintf(text, sizeof(text), "127.%u.%u.%u", (unsigned)(16 + x % 200),
		       (unsigned)(1 + (x >> 16) % 250), (unsigned)(1 + (x >> 32) % 250));
	if (!addr_parse(text, 0, &at))
		return false;
	struct listener *l = listener_new(r->loop, &at, NULL, NULL, &e);
	if (l == NULL)
		return false;
	r->lmtp = *listener_addr(l);
	listener_free(l);
	return true;
}

/* Small limits, so that a case reaches them, and no delay that grows from case to case. */
static void add_reference_settings(const struct conform_run *r, struct buf *out)
{
	char text[56];

	buf_addf(out, "    settings:\n"
		      "      auth: { failure_delay: 5ms, iterations: 4096 }\n"
		      "      limits: { message_size: 1MiB, recipients: 100, errors: 20 }\n"
		      "      retry: { first: 200ms, max: 1s, expire: 30s }\n");
	if (r->lmtp.n > 0)
		buf_addf(out, "      listen: { lmtp: \"%s\" }\n", addr_format(&r->lmtp, text));
}

static void make_flow_text(const struct conform_run *r, struct buf *out)
{
	buf_add_cstr(out, "flow: conform\ntitle: the server under test\nhosts:\n"
			  "  sut:\n    domain: sut.example\n    accounts: [u0]\n");
	if (is_reference(r))
		add_reference_settings(r, out);
	buf_add_cstr(out, "  probe: { domain: probe.example, target: none }\n"
			  "  elsewhere: { domain: elsewhere.example, target: none }\n"
			  "traffic:\n  - { name: none, from: u0@sut.example, to: u0@sut.example, rate: 1/s, "
			  "for: 1s }\n");
}

/* More mailboxes than a flow may name: each case has its own. */
static void make_accounts(struct conform_run *r)
{
	uint32_t n = suite_account_count(r->o.cases, r->o.case_count, r->o.repeat);

	r->account_count = n;
	r->accounts = calloc(n + 1, sizeof(*r->accounts));
	r->names = calloc(n + 1, sizeof(*r->names));
	r->addresses = calloc(n + 1, sizeof(*r->addresses));
	r->address_list = calloc(n + 1, sizeof(*r->address_list));
	r->password_list = calloc(n + 1, sizeof(*r->password_list));
	if (r->accounts == NULL || r->names == NULL || r->addresses == NULL || r->address_list == NULL ||
	    r->password_list == NULL)
		abort();
	for (uint32_t i = 0; i < n; i++) {
		(void)snprintf(r->names[i], sizeof(r->names[i]), "u%u", i);
		(void)snprintf(r->addresses[i], sizeof(r->addresses[i]), "u%u@sut.example", i);
		r->accounts[i] = (struct flow_account){ .local_part = r->names[i] };
		r->address_list[i] = r->addresses[i];
	}
	if (n > 0) {
		r->flow->hosts[SUT].accounts = r->accounts;
		r->flow->hosts[SUT].account_count = n;
	}
}

static void on_world(void *ctx, enum world_event event);

static int make_flow(struct conform_run *r, struct err *reterr)
{
	struct buf text = { 0 }, messages = { 0 };
	const char *const targets[] = { r->o.target, NULL };
	int rc = 0;

	make_flow_text(r, &text);
	r->flow = flow_read(&(struct flow_options){
		.path = "conform", .text = buf_span(&text), .ret_messages = &messages });
	if (r->flow == NULL || !flow_set_targets(r->flow, targets, &messages))
		rc = err_set(reterr, -EINVAL, "%s", buf_cstr(&messages));
	buf_free(&text);
	buf_free(&messages);
	return rc;
}

static int make_world(struct conform_run *r, struct err *reterr)
{
	char dir[PATH_MAX];

	if (is_reference(r))
		(void)choose_lmtp(r);
	int rc = make_flow(r, reterr);
	if (rc != 0)
		return rc;
	make_accounts(r);
	(void)snprintf(dir, sizeof(dir), "%s/world", r->o.dir);
	r->world = world_new(&(struct world_options){ .loop = r->loop,
						      .flow = r->flow,
						      .dir = dir,
						      .program = r->o.program,
						      .network = WORLD_NETWORK_LOOPBACK,
						      .on_event = on_world,
						      .ctx = r },
			     reterr);
	if (r->world == NULL)
		return reterr->code;
	r->tls = tls_client_new(world_ca_path(r->world), reterr);
	return r->tls != NULL ? 0 : reterr->code;
}

/* ---- its queue ---- */

static void begin_question(struct conform_run *r);

static void answer_all(struct queue_question *q, bool known, uint32_t count)
{
	while (q != NULL) {
		struct queue_question *next = q->next;
		q->answer(q->ctx, known, count);
		free(q);
		q = next;
	}
}

static void on_residue(void *ctx, struct residue *residue, bool known, uint32_t count)
{
	struct conform_run *r = ctx;
	struct queue_question *answered = r->asking;

	(void)residue;
	r->residue = NULL;
	r->asking = NULL;
	answer_all(answered, known, count);
	if (r->waiting != NULL && r->residue == NULL)
		begin_question(r);
}

static void begin_question(struct conform_run *r)
{
	r->asking = r->waiting;
	r->waiting = NULL;
	r->residue = residue_ask_host(r->loop, world_host(r->world, SUT), on_residue, r);
	if (r->residue != NULL)
		return;
	struct queue_question *unanswered = r->asking;
	r->asking = NULL;
	answer_all(unanswered, false, 0);
}

static void ask_queue(void *queue_ctx, sut_queue_fn *answer, void *ctx)
{
	struct conform_run *r = queue_ctx;
	struct queue_question *q = calloc(1, sizeof(*q));

	if (q == NULL)
		abort();
	*q = (struct queue_question){ r->waiting, answer, ctx };
	r->waiting = q;
	if (r->residue == NULL)
		begin_question(r);
}

static void describe_sut(struct conform_run *r)
{
	static const enum flow_service FLOW[CASE_SERVICE_COUNT] = {
		[CASE_SMTP] = FLOW_SMTP,
		[CASE_SUBMISSION] = FLOW_SUBMISSION,
		[CASE_SUBMISSIONS] = FLOW_SUBMISSIONS,
		[CASE_POP3] = FLOW_POP3,
		[CASE_POP3S] = FLOW_POP3S,
	};

	for (int i = 0; i < CASE_SERVICE_COUNT; i++) {
		struct sut_service *s = &r->sut.services[i];
		s->there = i == CASE_LMTP ? r->lmtp.n > 0 : world_target(r->world, SUT)->services[FLOW[i]];
		s->at = i == CASE_LMTP ? r->lmtp : world_service_addr(r->world, SUT, FLOW[i]);
	}
	for (uint32_t i = 0; i < r->account_count; i++)
		r->password_list[i] = world_password(r->world, SUT, i);
	r->sut.host = r->flow->hosts[SUT].mx_name;
	r->sut.domain = r->flow->hosts[SUT].domains[0];
	r->sut.tls = r->tls;
	r->sut.addresses = r->address_list;
	r->sut.passwords = r->password_list;
	r->sut.account_count = r->account_count;
	r->sut.ask_queue = ask_queue;
	r->sut.queue_ctx = r;
}

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

static void start_suite(struct conform_run *r)
{
	r->suite = suite_new(&(struct suite_options){ .loop = r->loop,
						      .sut = &r->sut,
						      .cases = r->o.cases,
						      .case_count = r->o.case_count,
						      .at_once = r->o.at_once,
						      .repeat = r->o.repeat,
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
	const char *why = world_error(r->world)->text;

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
		r->probe = probe_new(r->loop, &r->sut, on_probe, r);
		return;
	case WORLD_STOPPED:
		loop_stop(r->loop);
		return;
	case WORLD_BROKEN:
		if (r->ending) {
			if (r->problem[0] == '\0')
				(void)snprintf(r->problem, sizeof(r->problem), "%s",
					       world_error(r->world)->text);
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
	if (world_host_start(r->world, SUT, on_restarted, r, &e) != 0) {
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
	world_stop(r->world);
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

static void end_world(struct conform_run *r)
{
	struct redact *redact = r->world != NULL ? world_redact_new(r->world) : NULL;

	suite_stop(r->suite);
	residue_free(r->residue);
	r->residue = NULL;
	answer_all(r->asking, false, 0);
	answer_all(r->waiting, false, 0);
	r->asking = r->waiting = NULL;
	probe_free(r->probe);
	r->probe = NULL;
	world_free(r->world);
	r->world = NULL;
	tls_free(r->tls);
	r->tls = NULL;
	run_end_keep_logs(r->o.dir, r->flow, redact, r->o.keep_world);
	redact_free(redact);
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
	describe_sut(r);
	r->restart = task_new(r->loop, restart, r);
	r->on_int = signal_watch_new(r->loop, SIGINT, on_signal, r);
	r->on_term = signal_watch_new(r->loop, SIGTERM, on_signal, r);
	int rc = world_start(r->world, reterr);
	if (rc != 0) {
		conform_run_free(r);
		return NULL;
	}
	loop_run(r->loop);
	if (r->suite == NULL) /* nothing was played; the results say so */
		r->suite = suite_new(&(struct suite_options){ .loop = r->loop,
							      .sut = &r->sut,
							      .cases = o->cases,
							      .case_count = o->case_count,
							      .at_once = 1,
							      .repeat = 1 });
	end_world(r);
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
	world_free(r->world);
	tls_free(r->tls);
	sut_free(&r->sut);
	signal_watch_free(r->on_int);
	signal_watch_free(r->on_term);
	task_free(r->restart);
	loop_free(r->loop);
	flow_free(r->flow);
	free(r->accounts);
	free(r->names);
	free(r->addresses);
	free(r->address_list);
	free(r->password_list);
	free(r);
}
