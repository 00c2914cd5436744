#include "harness/conform/play_parts.h"

#include <stdlib.h>

/* Mail is given up after a time, whether the server is there or not: then it is no wonder that it is returned. */
static bool was_long_away(const struct play *p)
{
	int64_t expire_ms = p->o.sut->relay.expire_ms;

	return p->file->role == CASE_ROLE_CLIENT && expire_ms > 0 &&
	       play_now() - p->down_ns > expire_ms * 1000000 / 2;
}

static void on_started(void *ctx, bool done, const char *why_not)
{
	struct play_start *s = ctx;
	struct play *p = s->play;

	free(s);
	if (p == NULL)
		return;
	p->start = NULL;
	p->server_down = false;
	if (p->wait == PLAY_WAITS_SERVER) {
		transcript_note(&p->outcome.transcript, play_now(), 0, "server: %s",
				done ? "ready" : why_not);
		if (done && was_long_away(p))
			play_finish(p, CONFORM_INCONCLUSIVE, play_step(p)->line,
				    "the server was away for %.1f s, more than half of the time until it "
				    "gives mail up",
				    (double)(play_now() - p->down_ns) / 1e9);
		else if (done)
			play_next(p);
		else
			play_finish(p, CONFORM_INCONCLUSIVE, play_step(p)->line,
				    "the server did not come back: %s", why_not);
		return;
	}
	task_schedule(p->task);
}

static void start(struct play *p)
{
	if (p->start != NULL)
		return;
	p->start = calloc(1, sizeof(*p->start));
	if (p->start == NULL)
		abort();
	p->start->play = p;
	p->o.sut->control(p->o.sut->control_ctx, SUT_START, on_started, p->start);
}

void play_server_kill(struct play *p)
{
	if (p->server_down || p->o.sut->control == NULL)
		return;
	p->world.killed_ns = p->down_ns = play_now();
	transcript_note(&p->outcome.transcript, p->world.killed_ns, 0, "server: killed");
	p->server_down = true;
	p->o.sut->control(p->o.sut->control_ctx, SUT_KILL, NULL, NULL);
	if (p->wait == PLAY_WAITS_KILL)
		play_next(p);
}

void play_server(struct play *p)
{
	const struct case_step *s = play_step(p);

	if (p->o.sut->control == NULL) {
		play_finish(p, CONFORM_NOT_TESTED, s->line, "the server cannot be stopped and started here");
	} else if (s->server == CASE_SERVER_KILLED) {
		if (p->world.killed_ns != 0)
			play_next(p);
		else
			play_await(p, PLAY_WAITS_KILL, play_limit_ms(p));
	} else if (s->server == CASE_SERVER_START) {
		if (!p->server_down) {
			play_next(p);
			return;
		}
		play_await(p, PLAY_WAITS_SERVER, play_limit_ms(p));
		start(p);
	} else if (!p->server_down && s->server == CASE_SERVER_KILL) {
		play_server_kill(p);
		play_next(p);
	} else if (!p->server_down) {
		transcript_note(&p->outcome.transcript, play_now(), 0, "server: told to stop");
		p->server_down = true;
		p->down_ns = play_now();
		p->o.sut->control(p->o.sut->control_ctx, SUT_STOP, NULL, NULL);
		play_next(p);
	} else {
		play_next(p);
	}
}

bool play_server_is_back(struct play *p)
{
	if (p->server_down)
		start(p);
	return !p->server_down;
}

void play_server_forget(struct play *p)
{
	if (p->start != NULL)
		p->start->play = NULL;
	p->start = NULL;
}
