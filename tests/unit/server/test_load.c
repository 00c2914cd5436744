/*
 * load: members that hold what a test says they hold.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <event2/event.h>

#include "base/log.h"
#include "reference-server/drive/load.h"
#include "reference-server/drive/server.h"

enum { MEMBERS = 8 };

struct client {
	struct load *load;
	struct load_member member;
	size_t bytes;
	bool ended;
};

struct world {
	struct server server;
	struct client clients[MEMBERS];
};

static size_t held(void *ctx)
{
	return ((const struct client *)ctx)->bytes;
}

static void end(void *ctx)
{
	struct client *c = ctx;
	assert_false(c->ended);
	c->ended = true;
	load_leave(c->load, &c->member);
}

static void build(struct world *w, uint64_t buffer_bytes_max)
{
	log_set_level(LOG_ERROR);
	*w = (struct world){ 0 };
	w->server.loop = loop_new();
	w->server.config = config_new();
	w->server.config->limits.buffer_bytes_max = buffer_bytes_max;
	w->server.load = load_new(&w->server);
	for (int i = 0; i < MEMBERS; i++) {
		struct client *c = &w->clients[i];
		c->load = w->server.load;
		c->member = (struct load_member){ .held = held, .end = end, .ctx = c };
		load_join(c->load, &c->member);
	}
}

static void tear_down(struct world *w)
{
	for (int i = 0; i < MEMBERS; i++)
		if (!w->clients[i].ended)
			load_leave(w->server.load, &w->clients[i].member);
	assert_int_equal(load_held_bytes(w->server.load), 0);
	load_free(w->server.load);
	loop_free(w->server.loop);
	config_free(w->server.config);
}

static void hold(struct world *w, int i, size_t bytes)
{
	w->clients[i].bytes = bytes;
	load_note(w->server.load, &w->clients[i].member);
}

static void expect_ended(const struct world *w, const char *which)
{
	char got[MEMBERS + 1] = { 0 };
	for (int i = 0; i < MEMBERS; i++)
		got[i] = w->clients[i].ended ? 'x' : '.';
	assert_string_equal(got, which);
}

static void at_the_limit_nobody_is_ended_and_beyond_it_the_heaviest(void **state)
{
	struct world w;
	(void)state;

	build(&w, 1000);
	for (int i = 0; i < 6; i++)
		hold(&w, i, 100);
	hold(&w, 6, 400);
	assert_int_equal(load_held_bytes(w.server.load), 1000);
	expect_ended(&w, "........");
	hold(&w, 7, 1);
	expect_ended(&w, "......x."); /* its 400 were enough to come to three quarters */
	assert_int_equal(w.server.counters.sessions_ended_for_memory, 1);
	tear_down(&w);
}

static void as_many_are_ended_as_it_takes(void **state)
{
	struct world w;
	(void)state;

	build(&w, 1000);
	for (int i = 0; i < 7; i++)
		hold(&w, i, 140);
	hold(&w, 7, 21);
	expect_ended(&w, "xx......"); /* 1001 - 280 <= 750 */
	tear_down(&w);
}

/* Its own note is no place to end a session, which is in the midst of something. */
static void the_one_that_notes_is_ended_from_the_loop_only(void **state)
{
	struct world w;
	(void)state;

	build(&w, 1000);
	hold(&w, 0, 300);
	hold(&w, 1, 900);
	expect_ended(&w, "........");
	(void)event_base_loop(loop_event_base(w.server.loop), EVLOOP_NONBLOCK);
	expect_ended(&w, ".x......");
	tear_down(&w);
}

static void what_went_without_a_note_saves_everybody(void **state)
{
	struct world w;
	(void)state;

	build(&w, 1000);
	hold(&w, 0, 900);
	w.clients[0].bytes = 100; /* its client has read */
	hold(&w, 1, 200);
	expect_ended(&w, "........");
	assert_int_equal(load_held_bytes(w.server.load), 300);
	tear_down(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(at_the_limit_nobody_is_ended_and_beyond_it_the_heaviest),
		cmocka_unit_test(as_many_are_ended_as_it_takes),
		cmocka_unit_test(the_one_that_notes_is_ended_from_the_loop_only),
		cmocka_unit_test(what_went_without_a_note_saves_everybody),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
