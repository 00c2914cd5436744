/*
 * hop: what is kept of a relay that does not stop is bounded, and then nobody listens any more.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/conn.h"
#include "harness/conform/hop.h"

#include <stdlib.h>

enum { PATIENCE_MS = 20000 };

struct stage {
	struct loop *loop;
	struct hop *hop;
	struct conn *conn;
	struct timer *end;
	uint32_t dialled;
	bool talks; /* one connection, and commands without end */
	bool refused;
};

static void dial(struct stage *s);

static void on_event(void *ctx, enum conn_event event)
{
	struct stage *s = ctx;

	switch (event) {
	case CONN_INPUT:
		conn_consume(s->conn, conn_input(s->conn).n);
		if (s->talks)
			conn_write(s->conn, SPAN_LIT("NOOP\r\n"));
		else
			conn_write(s->conn, SPAN_LIT("QUIT\r\n"));
		break;
	case CONN_EOF:
	case CONN_FAILED:
		conn_free(s->conn);
		s->conn = NULL;
		s->refused = event == CONN_FAILED && s->hop->flooded;
		if (s->refused)
			loop_stop(s->loop);
		else
			dial(s);
		break;
	case CONN_CONNECTED:
	case CONN_SECURED:
	case CONN_DRAINED:
	case CONN_TIMEOUT:
		break;
	}
}

static void dial(struct stage *s)
{
	s->dialled++;
	s->conn = conn_connect(&(struct conn_options){ .loop = s->loop, .on_event = on_event, .ctx = s },
			       &s->hop->at, NULL);
}

static void no_news(void *ctx)
{
	(void)ctx;
}

static void too_late(void *ctx)
{
	loop_stop(ctx);
}

static void flood(struct stage *s)
{
	struct case_hop what = { .name = "mx" };
	struct addr place;
	struct err e;

	s->loop = loop_new();
	assert_true(addr_parse("127.0.0.1", 0, &place));
	s->hop = hop_new(&(struct hop_options){ .loop = s->loop,
						.what = &what,
						.host_name = "mx.example",
						.places = &place,
						.place_count = 1,
						.on_news = no_news },
			 &e);
	assert_non_null(s->hop);
	s->end = timer_new(s->loop, too_late, s->loop);
	timer_set_ms(s->end, PATIENCE_MS);
	dial(s);
	loop_run(s->loop);
	assert_true(s->hop->flooded);
	assert_true(s->refused);
	conn_free(s->conn);
	timer_free(s->end);
}

static void leave(struct stage *s)
{
	hop_free(s->hop);
	loop_free(s->loop);
}

static void a_relay_that_connects_without_end_meets_nobody(void **state)
{
	(void)state;
	struct stage s = { 0 };

	flood(&s);
	assert_int_equal(s.hop->connection_count, HOP_CONNECTIONS_MAX);
	assert_in_range(s.dialled, HOP_CONNECTIONS_MAX + 1, HOP_CONNECTIONS_MAX + 3);
	leave(&s);
}

static void a_relay_that_talks_without_end_is_left(void **state)
{
	(void)state;
	struct stage s = { .talks = true };

	flood(&s);
	assert_int_equal(s.hop->line_count, HOP_LINES_MAX);
	assert_in_range(s.dialled, 1, 2);
	leave(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_relay_that_connects_without_end_meets_nobody),
		cmocka_unit_test(a_relay_that_talks_without_end_is_left),
	};
	return cmocka_run_group_tests_name("hop", tests, NULL, NULL);
}
