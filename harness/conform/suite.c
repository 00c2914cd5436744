#include "harness/conform/suite.h"

#include "base/conn.h"
#include "base/random.h"
#include "harness/conform/play.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	ACCOUNTS_OF_ONE = 2,
	DEATH_MS = 5000, /* from a lost connection to the news that the server has ended */
	/* Pairs of mailboxes, and domains, for cases that are played again after a death. */
	SECOND_TRIES = 16,
};

/* One playing of one case. */
struct playing {
	uint32_t index; /* of the result */
	bool alone;
	bool again; /* after a death: nobody else is there, so that it is clear who did it */
};

struct running {
	struct suite *suite;
	struct playing what;
	struct play *play;
	/* It is over, but perhaps because the server is: a new connection tells, or the server's end does. */
	struct conn *alive;
	struct timer *limbo;
	bool over;
};

struct suite {
	struct suite_options o;
	struct suite_result *results;
	struct playing *waiting; /* the next is the last */
	uint32_t waiting_count, waiting_room;
	struct running *running;
	uint32_t running_count;
	uint32_t done_count;
	uint32_t next_account, next_known;
	uint64_t token;
	bool server_is_gone;
	bool stopped;
	bool told;
	struct task *task;
	struct timer *pace; /* set: the next case may not begin yet */
};

uint32_t suite_account_count(const struct case_file *const *cases, uint32_t case_count, uint32_t repeat)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < case_count; i++)
		n += sut_accounts_of(cases[i]) * repeat;
	return n > 0 ? n + ACCOUNTS_OF_ONE * SECOND_TRIES : 0;
}

uint32_t suite_known_count(const struct case_file *const *cases, uint32_t case_count, uint32_t repeat)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < case_count; i++)
		n += sut_knows_zone_of(cases[i]) ? repeat : 0;
	return n > 0 ? n + SECOND_TRIES : 0;
}

/* ---- what waits ---- */

static void add_waiting(struct suite *s, struct playing w)
{
	if (s->waiting_count == s->waiting_room) {
		s->waiting_room = s->waiting_room == 0 ? 64 : s->waiting_room * 2;
		s->waiting = realloc(s->waiting, s->waiting_room * sizeof(*s->waiting));
		if (s->waiting == NULL)
			abort();
	}
	s->waiting[s->waiting_count++] = w;
}

static void shuffle(struct suite *s)
{
	struct rng r = rng_seed(s->o.seed);

	for (uint32_t i = s->waiting_count; i > 1; i--) {
		uint32_t k = (uint32_t)rng_below(&r, i);
		struct playing w = s->waiting[i - 1];
		s->waiting[i - 1] = s->waiting[k];
		s->waiting[k] = w;
	}
}

/* Those that are played alone go to the front, which comes last. */
static void put_alone_last(struct suite *s)
{
	struct playing *sorted = calloc(s->waiting_count + 1, sizeof(*sorted));
	uint32_t n = 0;

	if (sorted == NULL)
		abort();
	for (int pass = 0; pass < 2; pass++)
		for (uint32_t i = 0; i < s->waiting_count; i++)
			if (s->waiting[i].alone == (pass == 0))
				sorted[n++] = s->waiting[i];
	free(s->waiting);
	s->waiting = sorted;
	s->waiting_room = s->waiting_count + 1;
}

static uint32_t take_accounts(struct suite *s, const struct case_file *c)
{
	uint32_t first = s->next_account;

	if (s->next_account + sut_accounts_of(c) > s->o.sut->account_count)
		return s->o.sut->account_count; /* none left: the case says what it lacks */
	s->next_account += sut_accounts_of(c);
	return first;
}

/* Which domain that the server was told of; known_count when none is left. */
static uint32_t take_known(struct suite *s, const struct case_file *c)
{
	bool takes = sut_knows_zone_of(c) && s->next_known < s->o.sut->known_count;

	return takes ? s->next_known++ : s->next_known;
}

static void line_up(struct suite *s)
{
	for (uint32_t n = 0; n < s->o.repeat; n++)
		for (uint32_t i = s->o.case_count; i > 0; i--) /* the last is played first */
			add_waiting(s, (struct playing){ .index = i - 1,
							 .alone = case_has_tag(s->o.cases[i - 1], "alone") });
	if (s->o.shuffle)
		shuffle(s);
	put_alone_last(s);
}

/* ---- what it came to ---- */

/* The worst of all playings is shown; when they differ, the case is flaky. */
static bool is_worse(enum conform_verdict a, enum conform_verdict b)
{
	static const int RANK[CONFORM_VERDICT_COUNT] = {
		[CONFORM_PASS] = 0, [CONFORM_WAIVED] = 0,       [CONFORM_NOT_TESTED] = 1,
		[CONFORM_WARN] = 2, [CONFORM_INCONCLUSIVE] = 3, [CONFORM_FLAKY] = 4,
		[CONFORM_FAIL] = 5, [CONFORM_ERROR] = 6
	};
	return RANK[a] > RANK[b];
}

static void add_irregularities(struct suite_result *r, struct span lines)
{
	struct span line;

	while (span_take_until(&lines, '\n', &line)) {
		struct span kept = buf_span(&r->irregularities);
		if (kept.n < line.n || memmem(kept.p, kept.n, line.p, line.n) == NULL)
			buf_addf(&r->irregularities, "%.*s\n", SPAN_FMT(line));
	}
}

static void count_playing(struct suite *s, struct suite_result *r)
{
	uint32_t kinds = 0;

	for (int i = 0; i < CONFORM_VERDICT_COUNT; i++)
		kinds += r->seen[i] > 0;
	if (++r->played < s->o.repeat)
		return;
	if (kinds > 1) {
		char worst[600];
		(void)snprintf(worst, sizeof(worst), "%.599s", r->why);
		(void)snprintf(r->why, sizeof(r->why), "%u of %u times %s: %s", r->seen[r->verdict],
			       r->played, conform_verdict_name(r->verdict), worst);
		r->verdict = CONFORM_FLAKY;
	}
	r->done = true;
	s->done_count++;
	if (s->o.on_result != NULL)
		s->o.on_result(s->o.ctx, r);
}

static void settle(struct suite *s, uint32_t index, enum conform_verdict v, uint32_t line, uint32_t req,
		   const char *why)
{
	struct suite_result *r = &s->results[index];

	r->seen[v]++;
	if (r->played == 0 || is_worse(v, r->verdict)) {
		r->verdict = v;
		r->line = line;
		r->req = req;
		(void)snprintf(r->why, sizeof(r->why), "%s", why);
	}
}

static void take_outcome(struct suite *s, const struct playing *w, struct play *play)
{
	struct suite_result *r = &s->results[w->index];
	const struct play_outcome *o = play_outcome(play);
	bool shown = r->played == 0 || is_worse(o->verdict, r->verdict);

	settle(s, w->index, o->verdict, o->line, o->req, o->why);
	if (shown) {
		buf_reset(&r->transcript);
		transcript_print(&o->transcript, "", &r->transcript);
	}
	add_irregularities(r, buf_span(&o->irregularities));
	r->elapsed_ms += o->elapsed_ms;
	r->duplicates += o->duplicates;
	count_playing(s, r);
}

/* ---- playing ---- */

static void settle_playing(struct running *r)
{
	take_outcome(r->suite, &r->what, r->play);
	r->over = true;
	task_schedule(r->suite->task);
}

static void on_limbo(void *ctx)
{
	struct running *r = ctx;

	if (!r->over)
		settle_playing(r);
}

static void on_alive(void *ctx, enum conn_event event)
{
	struct running *r = ctx;

	/* It speaks, so it is there and meant to close; the kernel may still connect for a server that is dying. */
	if ((event == CONN_INPUT || event == CONN_SECURED) && !r->over)
		settle_playing(r);
}

static void on_play(void *ctx, struct play *play)
{
	struct running *r = ctx;
	const struct suite *s = r->suite;
	const struct case_file *c = s->o.cases[r->what.index];

	if (!play_outcome(play)->lost) {
		settle_playing(r);
		return;
	}
	r->limbo = timer_new(s->o.loop, on_limbo, r);
	timer_set_ms(r->limbo, DEATH_MS);
	const enum case_service service = sut_service_of(s->o.sut, c);
	r->alive = conn_connect(&(struct conn_options){ .loop = s->o.loop, .on_event = on_alive, .ctx = r },
				&s->o.sut->services[service].at, NULL);
	if (case_service_has_tls(service))
		(void)conn_start_tls(r->alive, s->o.sut->tls, CONN_TLS_CLIENT, s->o.sut->host);
}

static void sweep(struct suite *s)
{
	for (uint32_t i = 0; i < s->o.at_once; i++) {
		struct running *r = &s->running[i];
		if (r->play == NULL || !r->over)
			continue;
		timer_free(r->limbo);
		conn_free(r->alive);
		play_free(r->play);
		*r = (struct running){ .suite = s };
		s->running_count--;
	}
}

static struct running *free_place(struct suite *s)
{
	for (uint32_t i = 0; i < s->o.at_once; i++)
		if (s->running[i].play == NULL)
			return &s->running[i];
	return NULL;
}

/* False when what is next has to wait for those that are being played, or for its time. */
static bool may_start(const struct suite *s)
{
	const struct playing *next = &s->waiting[s->waiting_count - 1];

	if (timer_is_set(s->pace))
		return false;

	if (next->alone || next->again)
		return s->running_count == 0;
	for (uint32_t i = 0; i < s->o.at_once; i++)
		if (s->running[i].play != NULL && (s->running[i].what.alone || s->running[i].what.again))
			return false;
	return true;
}

/* At most, and one for a case that sends none: its connection is a burden too. */
static uint32_t mails_of(const struct case_file *c)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < c->step_count; i++) {
		const struct case_step *step = &c->steps[i];
		for (uint32_t k = 0; k < step->pattern.code_count; k++)
			n += strcmp(step->pattern.codes[k].text, "354") == 0;
		for (uint32_t k = 0; k < step->segment_count; k++)
			n += step->segments[k].text.count > 0 &&
			     span_starts_nocase(step->segments[k].text.parts[0].text, SPAN_LIT("BDAT"));
		n += step->kind == CASE_MAIL || step->kind == CASE_STORED || step->kind == CASE_NOT_STORED ||
		     step->kind == CASE_BOUNCED; /* a fence, perhaps */
	}
	return n > 0 ? n : 1;
}

static void start_next(struct suite *s)
{
	struct playing w = s->waiting[--s->waiting_count];
	const struct case_file *c = s->o.cases[w.index];
	char lacks[160];

	if (sut_lacks(s->o.sut, c, lacks, sizeof(lacks)) != NULL) {
		settle(s, w.index, CONFORM_NOT_TESTED, 0, 0, lacks);
		count_playing(s, &s->results[w.index]);
		return;
	}
	uint32_t first_account = take_accounts(s, c), known = take_known(s, c);
	if (first_account + sut_accounts_of(c) > s->o.sut->account_count) {
		(void)snprintf(lacks, sizeof(lacks), "no mailbox is left: the target has %u",
			       s->o.sut->account_count);
		settle(s, w.index, CONFORM_NOT_TESTED, 0, 0, lacks);
		count_playing(s, &s->results[w.index]);
		return;
	}
	if (sut_knows_zone_of(c) && known == s->o.sut->known_count) {
		settle(s, w.index, CONFORM_NOT_TESTED, 0, 0, "the target was told of no more domains");
		count_playing(s, &s->results[w.index]);
		return;
	}
	struct running *r = free_place(s);
	*r = (struct running){ .suite = s, .what = w };
	r->play = play_new(&(struct play_options){ .loop = s->o.loop,
						   .file = c,
						   .sut = s->o.sut,
						   .first_account = first_account,
						   .known = known,
						   .token = s->o.seed * 1000003 + ++s->token,
						   .done = on_play,
						   .ctx = r });
	s->running_count++;
	if (s->o.mails_per_s_max > 0)
		timer_set_ms(s->pace, (int64_t)(mails_of(c) * 1000.0 / s->o.mails_per_s_max));
	play_start(r->play);
}

static void go_on(void *ctx)
{
	struct suite *s = ctx;

	sweep(s);
	while (!s->server_is_gone && !s->stopped && s->waiting_count > 0 && s->running_count < s->o.at_once &&
	       may_start(s))
		start_next(s);
	if (s->running_count == 0 && s->waiting_count == 0 && !s->told && !s->stopped && !s->server_is_gone) {
		s->told = true;
		s->o.on_done(s->o.ctx, s);
	}
}

/* ---- deaths ---- */

void suite_server_died(struct suite *s, const char *why)
{
	char text[700];

	s->server_is_gone = true;
	bool sure = s->running_count == 1;
	(void)snprintf(text, sizeof(text), "the server died: %.600s", why);
	for (uint32_t i = 0; i < s->o.at_once; i++) {
		struct running *r = &s->running[i];
		if (r->play == NULL || r->over)
			continue;
		struct playing w = r->what;
		s->results[w.index].deaths++;
		if (sure) {
			settle(s, w.index, CONFORM_FAIL, 0, 0, text);
			count_playing(s, &s->results[w.index]);
		} else {
			w.again = true;
			add_waiting(s, w);
		}
		r->over = true;
	}
	sweep(s);
}

void suite_server_back(struct suite *s)
{
	s->server_is_gone = false;
	task_schedule(s->task);
}

/* ---- life ---- */

struct suite *suite_new(const struct suite_options *o)
{
	struct suite *s = calloc(1, sizeof(*s));

	assert(o->at_once > 0 && o->repeat > 0);
	if (s == NULL)
		abort();
	s->o = *o;
	s->results = calloc(o->case_count + 1, sizeof(*s->results));
	s->running = calloc(o->at_once, sizeof(*s->running));
	if (s->results == NULL || s->running == NULL)
		abort();
	for (uint32_t i = 0; i < o->case_count; i++)
		s->results[i].file = o->cases[i];
	s->task = task_new(o->loop, go_on, s);
	s->pace = timer_new(o->loop, go_on, s);
	return s;
}

void suite_start(struct suite *s)
{
	line_up(s);
	task_schedule(s->task);
}

void suite_stop(struct suite *s)
{
	s->stopped = true;
	for (uint32_t i = 0; i < s->o.at_once; i++)
		s->running[i].over = true;
	sweep(s);
}

const struct suite_result *suite_results(const struct suite *s)
{
	return s->results;
}

uint32_t suite_done_count(const struct suite *s)
{
	return s->done_count;
}

void suite_free(struct suite *s)
{
	if (s == NULL)
		return;
	suite_stop(s);
	for (uint32_t i = 0; i < s->o.case_count; i++) {
		buf_free(&s->results[i].irregularities);
		buf_free(&s->results[i].transcript);
	}
	task_free(s->task);
	timer_free(s->pace);
	free(s->results);
	free(s->running);
	free(s->waiting);
	free(s);
}
