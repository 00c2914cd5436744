/*
 * link: a scripted client and a scripted server with the proxy between them,
 * all on one loop.
 */
#include "harness/fault/link.h"

#include "base/buf.h"
#include "base/listener.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct stage {
	struct loop *loop;
	struct listener *listener;
	struct link *link;
	struct conn *client;
	struct conn *server;
	struct buf client_got;
	struct buf server_got;
	bool client_connected, client_failed, client_ended;
	bool server_failed, server_ended;
	int client_error;
	uint32_t opened, closed, resets;
	uint64_t seen_bytes[2];
	size_t want_client_bytes, want_server_bytes; /* stop when that much came */
	struct timer *patience;
	bool gave_up;
};

static void look(struct stage *s)
{
	bool client_done = s->client_failed || s->client_ended ||
			   (s->want_client_bytes > 0 && buf_bytes(&s->client_got) >= s->want_client_bytes);
	bool server_done = s->want_server_bytes > 0 && buf_bytes(&s->server_got) >= s->want_server_bytes;

	if (client_done || server_done)
		loop_stop(s->loop);
}

static void on_client(void *ctx, enum conn_event event)
{
	struct stage *s = ctx;

	if (event == CONN_CONNECTED)
		s->client_connected = true;
	if (event == CONN_INPUT) {
		buf_add(&s->client_got, conn_input(s->client));
		conn_consume(s->client, conn_input(s->client).n);
	}
	if (event == CONN_FAILED) {
		s->client_failed = true;
		s->client_error = conn_error(s->client)->code;
	}
	if (event == CONN_EOF)
		s->client_ended = true;
	look(s);
}

static void on_server(void *ctx, enum conn_event event)
{
	struct stage *s = ctx;

	if (event == CONN_INPUT) {
		buf_add(&s->server_got, conn_input(s->server));
		conn_consume(s->server, conn_input(s->server).n);
	}
	if (event == CONN_FAILED)
		s->server_failed = true;
	if (event == CONN_EOF)
		s->server_ended = true;
	look(s);
}

static void on_accept(void *ctx, int fd, const struct addr *peer)
{
	struct stage *s = ctx;
	(void)peer;

	conn_free(s->server);
	s->server = conn_take(&(struct conn_options){ .loop = s->loop, .on_event = on_server, .ctx = s }, fd);
	conn_write(s->server, SPAN_LIT("220 hello\r\n"));
}

static void on_opened(void *ctx, struct link *l, uint64_t connection, int64_t at_ns)
{
	struct stage *s = ctx;
	(void)l;

	assert_true(connection > 0 && at_ns > 0);
	s->opened++;
}

static void on_bytes(void *ctx, struct link *l, uint64_t connection, enum link_side from, struct span bytes,
		     int64_t at_ns)
{
	struct stage *s = ctx;
	(void)l;
	(void)connection;
	(void)at_ns;
	s->seen_bytes[from] += bytes.n;
}

static void on_closed(void *ctx, struct link *l, uint64_t connection, bool reset, int64_t at_ns)
{
	struct stage *s = ctx;
	(void)l;
	(void)connection;
	(void)at_ns;
	s->closed++;
	s->resets += reset;
}

static void on_patience(void *ctx)
{
	struct stage *s = ctx;

	s->gave_up = true;
	loop_stop(s->loop);
}

static struct stage *begin(void)
{
	struct stage *s = calloc(1, sizeof(*s));
	struct addr any;
	struct err err;

	assert_non_null(s);
	s->loop = loop_new();
	s->patience = timer_new(s->loop, on_patience, s);
	assert_true(addr_parse("127.0.0.1", 0, &any));
	s->listener = listener_new(s->loop, &any, on_accept, s, &err);
	/* The link's own port: one that was free a moment ago. */
	struct listener *probe = listener_new(s->loop, &any, on_accept, s, &err);
	struct addr at = *listener_addr(probe);
	listener_free(probe);
	const struct link_observer observer = { on_opened, on_bytes, on_closed, s };
	s->link = link_new(&(struct link_options){ .loop = s->loop,
						   .listen_at = at,
						   .connect_to = *listener_addr(s->listener),
						   .observer = &observer,
						   .from = 3,
						   .to = 5 },
			   &err);
	if (s->link == NULL)
		fail_msg("%s", err.text);
	s->client = conn_connect(&(struct conn_options){ .loop = s->loop, .on_event = on_client, .ctx = s },
				 &at, NULL);
	return s;
}

static void finish(struct stage *s)
{
	conn_free(s->client);
	conn_free(s->server);
	link_free(s->link);
	assert_int_equal(s->opened, s->closed);
	listener_free(s->listener);
	timer_free(s->patience);
	buf_free(&s->client_got);
	buf_free(&s->server_got);
	loop_free(s->loop);
	free(s);
}

/* False when nothing of what was wanted came within the time. */
static bool run(struct stage *s, int64_t ms)
{
	s->gave_up = false;
	timer_set_ms(s->patience, ms);
	loop_run(s->loop);
	timer_clear(s->patience);
	return !s->gave_up;
}

static void greet(struct stage *s)
{
	s->want_client_bytes = 11;
	assert_true(run(s, 2000));
	assert_true(span_eq(buf_span(&s->client_got), SPAN_LIT("220 hello\r\n")));
	buf_reset(&s->client_got);
	s->want_client_bytes = 0;
}

static void bytes_pass_both_ways_and_so_does_the_end(void **state)
{
	(void)state;
	struct stage *s = begin();

	greet(s);
	conn_write(s->client, SPAN_LIT("EHLO x\r\n"));
	s->want_server_bytes = 8;
	assert_true(run(s, 2000));
	assert_true(span_eq(buf_span(&s->server_got), SPAN_LIT("EHLO x\r\n")));
	assert_int_equal(s->seen_bytes[LINK_CLIENT], 8);
	assert_int_equal(s->seen_bytes[LINK_SERVER], 11);
	s->want_server_bytes = 0;
	conn_finish(s->server);
	s->server = NULL;
	assert_true(run(s, 2000));
	assert_true(s->client_ended);
	assert_false(s->client_failed);
	conn_free(s->client);
	s->client = NULL;
	while (link_connection_count(s->link) > 0 && run(s, 20))
		;
	assert_int_equal(link_from(s->link), 3);
	assert_int_equal(link_to(s->link), 5);
	finish(s);
}

static void a_megabyte_arrives_whole(void **state)
{
	(void)state;
	struct stage *s = begin();
	struct buf big = { 0 };

	greet(s);
	for (int i = 0; i < 400000; i++)
		buf_addf(&big, "%d,", i);
	conn_write(s->client, buf_span(&big));
	s->want_server_bytes = buf_bytes(&big);
	assert_true(run(s, 10000));
	assert_true(span_eq(buf_span(&s->server_got), buf_span(&big)));
	buf_free(&big);
	finish(s);
}

static void refuse_resets_what_is_up_and_refuses_callers(void **state)
{
	(void)state;
	struct stage *s = begin();
	struct err err;

	greet(s);
	assert_int_equal(link_set_mode(s->link, LINK_REFUSE, 0, &err), 0);
	assert_true(run(s, 2000));
	assert_true(s->client_failed);
	assert_int_equal(s->client_error, -ECONNRESET);
	assert_int_equal(s->resets, 1);
	struct addr at = *conn_peer(s->client);
	conn_free(s->client);
	s->client_failed = s->client_connected = false;
	s->client = conn_connect(&(struct conn_options){ .loop = s->loop, .on_event = on_client, .ctx = s },
				 &at, NULL);
	assert_true(run(s, 2000));
	assert_false(s->client_connected);
	assert_int_equal(s->client_error, -ECONNREFUSED);
	assert_int_equal(link_set_mode(s->link, LINK_PASS, 0, &err), 0);
	conn_free(s->client);
	s->client_failed = false;
	s->client = conn_connect(&(struct conn_options){ .loop = s->loop, .on_event = on_client, .ctx = s },
				 &at, NULL);
	greet(s);
	finish(s);
}

static void a_link_whose_server_is_down_refuses_callers_but_keeps_connections(void **state)
{
	(void)state;
	struct stage *s = begin();
	struct err err;

	greet(s);
	assert_int_equal(link_set_down(s->link, true, &err), 0);
	struct conn *first = s->client;
	struct addr at = *conn_peer(first);
	s->client = conn_connect(&(struct conn_options){ .loop = s->loop, .on_event = on_client, .ctx = s },
				 &at, NULL);
	assert_true(run(s, 2000));
	assert_int_equal(s->client_error, -ECONNREFUSED);
	conn_free(s->client);
	s->client = first;
	s->client_failed = false;
	conn_write(s->client, SPAN_LIT("NOOP\r\n"));
	s->want_server_bytes = 6;
	assert_true(run(s, 2000));
	assert_int_equal(link_set_down(s->link, false, &err), 0);
	finish(s);
}

static void a_blackhole_is_silent_until_it_ends(void **state)
{
	(void)state;
	struct stage *s = begin();
	struct err err;

	assert_int_equal(link_set_mode(s->link, LINK_BLACKHOLE, 0, &err), 0);
	s->want_client_bytes = 11;
	assert_false(run(s, 100));
	assert_true(s->client_connected);
	assert_int_equal(buf_bytes(&s->client_got), 0);
	assert_null(s->server); /* not even connected on */
	assert_int_equal(link_touch_count(s->link), 1);
	assert_int_equal(link_set_mode(s->link, LINK_PASS, 0, &err), 0);
	greet(s);
	/* And one that is up falls silent, and loses nothing. */
	assert_int_equal(link_touch_count(s->link), 0);
	assert_int_equal(link_set_mode(s->link, LINK_BLACKHOLE, 0, &err), 0);
	assert_int_equal(link_touch_count(s->link), 1);
	conn_write(s->client, SPAN_LIT("NOOP\r\n"));
	s->want_server_bytes = 6;
	assert_false(run(s, 100));
	assert_int_equal(buf_bytes(&s->server_got), 0);
	assert_int_equal(link_set_mode(s->link, LINK_PASS, 0, &err), 0);
	assert_true(run(s, 2000));
	finish(s);
}

static void delay_holds_bytes_back_in_order(void **state)
{
	(void)state;
	struct stage *s = begin();
	struct err err;

	greet(s);
	assert_int_equal(link_set_mode(s->link, LINK_DELAY, 500, &err), 0);
	assert_int_equal(link_touch_count(s->link), 0); /* up, and silent */
	int64_t before_ms = clock_mono_ms();
	conn_write(s->client, SPAN_LIT("one "));
	s->want_server_bytes = 8;
	(void)run(s, 20);
	conn_write(s->client, SPAN_LIT("two "));
	(void)run(s, 20);
	assert_int_equal(buf_bytes(&s->server_got), 0);
	assert_int_equal(link_touch_count(s->link), 1); /* once, however much it says */
	assert_int_equal(link_caller_count(s->link), 1);
	assert_int_equal(link_set_mode(s->link, LINK_PASS, 0, &err), 0);
	assert_true(run(s, 2000));
	assert_true(clock_mono_ms() - before_ms >= 500);
	assert_true(span_eq(buf_span(&s->server_got), SPAN_LIT("one two ")));
	finish(s);
}

static void reset_strikes_every_caller_until_it_ends(void **state)
{
	(void)state;
	struct stage *s = begin();
	struct err err;

	assert_int_equal(link_set_mode(s->link, LINK_RESET, 0, &err), 0);
	assert_true(run(s, 2000));
	assert_true(s->client_failed);
	assert_int_equal(buf_bytes(&s->client_got), 0);
	assert_int_equal(link_reset_count(s->link), 1);
	finish(s);
}

static const char DIALOGUE[] = "EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n";
static const char REPLIES[] = "250 hi\r\n250 ok\r\n250 ok\r\n354 go\r\n";
static const char CONTENT[] = "Message-ID: <1@x>\r\n\r\n0123456789\r\n.\r\n";

/* Up to where content may come, through the link. */
static void open_content(struct stage *s)
{
	greet(s);
	conn_write(s->client, span_of(DIALOGUE));
	s->want_server_bytes = sizeof(DIALOGUE) - 1;
	assert_true(run(s, 2000));
	s->want_server_bytes = 0;
	conn_write(s->server, span_of(REPLIES));
	s->want_client_bytes = sizeof(REPLIES) - 1;
	assert_true(run(s, 2000));
	s->want_client_bytes = 0;
	buf_reset(&s->server_got);
	buf_reset(&s->client_got);
}

static void after_the_final_dot_the_receiver_has_all_and_the_sender_learns_nothing(void **state)
{
	(void)state;
	struct stage *s = begin();

	link_set_moment(s->link, FLOW_MOMENT_AFTER_FINAL_DOT_BEFORE_250, 0, 1);
	open_content(s);
	conn_write(s->client, span_of(CONTENT));
	s->want_server_bytes = sizeof(CONTENT) - 1;
	assert_true(run(s, 2000));
	assert_false(s->client_failed);
	assert_int_equal(link_moment_count(s->link), 0);
	conn_write(s->server, SPAN_LIT("250 queued\r\n"));
	s->want_server_bytes = 0;
	assert_true(run(s, 2000));
	assert_true(s->client_failed);
	assert_int_equal(s->client_error, -ECONNRESET);
	assert_int_equal(buf_bytes(&s->client_got), 0);
	assert_int_equal(link_moment_count(s->link), 1);
	finish(s);
}

static void a_refusal_after_the_final_dot_is_not_that_moment(void **state)
{
	(void)state;
	struct stage *s = begin();

	link_set_moment(s->link, FLOW_MOMENT_AFTER_FINAL_DOT_BEFORE_250, 0, 1);
	open_content(s);
	conn_write(s->client, span_of(CONTENT));
	s->want_server_bytes = sizeof(CONTENT) - 1;
	assert_true(run(s, 2000));
	s->want_server_bytes = 0;
	conn_write(s->server, SPAN_LIT("452 full\r\n"));
	s->want_client_bytes = 10;
	assert_true(run(s, 2000));
	assert_false(s->client_failed);
	assert_int_equal(link_moment_count(s->link), 0);
	finish(s);
}

static void in_content_the_receiver_gets_exactly_so_many_bytes(void **state)
{
	(void)state;
	struct stage *s = begin();

	link_set_moment(s->link, FLOW_MOMENT_IN_CONTENT, 25, 1);
	open_content(s);
	conn_write(s->client, span_of(CONTENT));
	while (!s->client_failed || !s->server_failed)
		if (!run(s, 2000))
			fail_msg("no reset: client %d server %d", s->client_failed, s->server_failed);
	assert_true(buf_bytes(&s->server_got) <= 25);
	assert_int_equal(link_moment_count(s->link), 1);
	finish(s);
}

static void content_shorter_than_the_cut_passes(void **state)
{
	(void)state;
	struct stage *s = begin();

	link_set_moment(s->link, FLOW_MOMENT_IN_CONTENT, 5000, 1);
	open_content(s);
	conn_write(s->client, span_of(CONTENT));
	s->want_server_bytes = sizeof(CONTENT) - 1;
	assert_true(run(s, 2000));
	conn_write(s->server, SPAN_LIT("250 queued\r\n"));
	s->want_server_bytes = 0;
	s->want_client_bytes = 12;
	assert_true(run(s, 2000));
	assert_false(s->client_failed);
	finish(s);
}

static void after_connect_only_so_many_callers_are_reset(void **state)
{
	(void)state;
	struct stage *s = begin();

	link_set_moment(s->link, FLOW_MOMENT_AFTER_CONNECT, 0, 1);
	assert_true(run(s, 2000));
	assert_true(s->client_failed);
	assert_int_equal(link_moment_count(s->link), 1);
	struct addr at = *conn_peer(s->client);
	conn_free(s->client);
	s->client_failed = false;
	s->client = conn_connect(&(struct conn_options){ .loop = s->loop, .on_event = on_client, .ctx = s },
				 &at, NULL);
	greet(s);
	finish(s);
}

static void a_server_that_is_not_there_looks_like_a_reset(void **state)
{
	(void)state;
	struct stage *s = begin();

	listener_free(s->listener);
	s->listener = NULL;
	assert_true(run(s, 2000));
	assert_true(s->client_failed);
	finish(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_pass_both_ways_and_so_does_the_end),
		cmocka_unit_test(a_megabyte_arrives_whole),
		cmocka_unit_test(refuse_resets_what_is_up_and_refuses_callers),
		cmocka_unit_test(a_link_whose_server_is_down_refuses_callers_but_keeps_connections),
		cmocka_unit_test(a_blackhole_is_silent_until_it_ends),
		cmocka_unit_test(delay_holds_bytes_back_in_order),
		cmocka_unit_test(reset_strikes_every_caller_until_it_ends),
		cmocka_unit_test(after_the_final_dot_the_receiver_has_all_and_the_sender_learns_nothing),
		cmocka_unit_test(a_refusal_after_the_final_dot_is_not_that_moment),
		cmocka_unit_test(in_content_the_receiver_gets_exactly_so_many_bytes),
		cmocka_unit_test(content_shorter_than_the_cut_passes),
		cmocka_unit_test(after_connect_only_so_many_callers_are_reset),
		cmocka_unit_test(a_server_that_is_not_there_looks_like_a_reset),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
