/*
 * hop: what is kept of a relay that does not stop is bounded, and then nobody listens any more; and which
 * command came before its time.
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
	size_t written_bytes;
	bool talks;  /* one connection, and commands without end */
	bool writes; /* a message without end */
	bool refused;
};

static void dial(struct stage *s);

static void write_on(struct stage *s)
{
	static char block[256 * 1024];

	if (s->written_bytes == 0)
		conn_write(s->conn, SPAN_LIT("MAIL FROM:<>\r\nRCPT TO:<a@b>\r\nDATA\r\n"));
	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = i % 64 == 63 ? '\n' : 'x';
	s->written_bytes += sizeof(block);
	conn_write(s->conn, (struct span){ block, sizeof(block) });
}

static void on_event(void *ctx, enum conn_event event)
{
	struct stage *s = ctx;

	switch (event) {
	case CONN_INPUT:
		conn_consume(s->conn, conn_input(s->conn).n);
		if (s->talks)
			conn_write(s->conn, SPAN_LIT("NOOP\r\n"));
		else if (s->writes)
			write_on(s);
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
	case CONN_DRAINED:
		if (s->written_bytes > 0)
			write_on(s);
		break;
	case CONN_CONNECTED:
	case CONN_SECURED:
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

static void a_message_without_end_is_not_kept(void **state)
{
	(void)state;
	struct stage s = { .writes = true };

	flood(&s);
	assert_int_equal(s.hop->content_count, 0);
	assert_in_range(s.hop->heard_bytes, HOP_HEARD_BYTES_MAX, HOP_HEARD_BYTES_MAX + 1024 * 1024);
	leave(&s);
}

/* ---- who does not await a reply ---- */

struct talk {
	struct loop *loop;
	struct hop *hop;
	struct conn *conn;
	bool hasty; /* RCPT comes while MAIL waits for its reply */
	bool said_rcpt;
	uint32_t inputs;
	struct buf answers;
};

static void say_rcpt(struct talk *t)
{
	if (!t->said_rcpt)
		conn_write(t->conn, SPAN_LIT("RCPT TO:<c@d>\r\n"));
	t->said_rcpt = true;
}

static void on_talk(void *ctx, enum conn_event event)
{
	struct talk *t = ctx;

	assert_int_not_equal(event, CONN_FAILED);
	if (event != CONN_INPUT)
		return;
	conn_consume(t->conn, conn_input(t->conn).n);
	t->inputs++;
	if (t->inputs == 1)
		conn_write(t->conn, SPAN_LIT("HELO x\r\n"));
	else if (t->inputs == 2)
		conn_write(t->conn, SPAN_LIT("MAIL FROM:<a@b>\r\n"));
	else if (t->inputs == 3)
		say_rcpt(t);
}

static void on_talk_news(void *ctx)
{
	struct talk *t = ctx;

	if (t->hasty && t->hop != NULL && t->hop->line_count == 2)
		say_rcpt(t);
	if (t->hop != NULL && t->hop->line_count == 3 && t->hop->lines[2].answered)
		loop_stop(t->loop);
}

static void check_talk(bool hasty)
{
	struct case_departure slow = { .stage = CASE_AT_MAIL, .pause_ms = 200 };
	struct case_hop what = { .name = "mx", .departures = &slow, .departure_count = 1 };
	struct talk t = { .loop = loop_new(), .hasty = hasty };
	struct values values = { 0 };
	struct addr place;
	struct err e;

	assert_true(addr_parse("127.0.0.1", 0, &place));
	t.hop = hop_new(&(struct hop_options){ .loop = t.loop,
					       .what = &what,
					       .values = &values,
					       .host_name = "mx.example",
					       .places = &place,
					       .place_count = 1,
					       .on_news = on_talk_news,
					       .ctx = &t },
			&e);
	assert_non_null(t.hop);
	struct timer *end = timer_new(t.loop, too_late, t.loop);
	timer_set_ms(end, PATIENCE_MS);
	t.conn = conn_connect(&(struct conn_options){ .loop = t.loop, .on_event = on_talk, .ctx = &t },
			      &t.hop->at, NULL);
	loop_run(t.loop);
	assert_int_equal(t.hop->line_count, 3);
	assert_true(t.hop->lines[0].alone);
	assert_int_equal(t.hop->lines[1].alone, !hasty);
	assert_true(t.hop->lines[2].alone);
	conn_free(t.conn);
	timer_free(end);
	hop_free(t.hop);
	loop_free(t.loop);
}

static void a_command_that_does_not_await_a_reply_is_told_by_its_time(void **state)
{
	(void)state;
	check_talk(false);
	check_talk(true);
}

/* ---- replies that a relay may not have understood ---- */

static void on_told(void *ctx, enum conn_event event)
{
	struct talk *t = ctx;

	if (event == CONN_INPUT)
		conn_consume(t->conn, conn_input(t->conn).n);
}

static void on_taken(void *ctx)
{
	struct talk *t = ctx;

	if (t->hop != NULL && hop_taken_count(t->hop) == 1)
		loop_stop(t->loop);
}

/* RFC 5321 4.5.3.1.5: 512 octets, of which two end the line. */
static void check_doubt(size_t reply_bytes, bool in_doubt)
{
	char reply[600];
	struct case_part part = { .kind = CASE_PART_LITERAL };
	struct case_segment segment = { .text = { &part, 1 } };
	struct case_departure says = { .stage = CASE_AT_MAIL, .segments = &segment, .segment_count = 1 };
	struct case_hop what = { .name = "mx", .departures = &says, .departure_count = 1 };
	struct talk t = { .loop = loop_new() };
	struct values values = { 0 };
	struct addr place;
	struct err e;

	(void)snprintf(reply, sizeof(reply), "250 %0*d", (int)reply_bytes - 4, 0);
	part.text = span_of(reply);
	assert_true(addr_parse("127.0.0.1", 0, &place));
	t.hop = hop_new(&(struct hop_options){ .loop = t.loop,
					       .what = &what,
					       .values = &values,
					       .host_name = "mx.example",
					       .places = &place,
					       .place_count = 1,
					       .on_news = on_taken,
					       .ctx = &t },
			&e);
	assert_non_null(t.hop);
	struct timer *end = timer_new(t.loop, too_late, t.loop);
	timer_set_ms(end, PATIENCE_MS);
	t.conn = conn_connect(&(struct conn_options){ .loop = t.loop, .on_event = on_told, .ctx = &t },
			      &t.hop->at, NULL);
	conn_write(t.conn, SPAN_LIT("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nx\r\n.\r\n"));
	loop_run(t.loop);
	assert_int_equal(t.hop->content_count, 1);
	assert_true(t.hop->contents[0].in_doubt == in_doubt);
	conn_free(t.conn);
	timer_free(end);
	hop_free(t.hop);
	loop_free(t.loop);
}

static void behind_an_odd_reply_a_double_is_excused(void **state)
{
	(void)state;
	check_doubt(510, false);
	check_doubt(511, true);
}

/* ---- logins ---- */
#define BYE "221 2.0.0 bye\r\n"

static void on_nothing(void *ctx)
{
	(void)ctx;
}

static void on_answer(void *ctx, enum conn_event event)
{
	struct talk *t = ctx;

	if (event != CONN_INPUT)
		return;
	struct span in = conn_input(t->conn);
	buf_add(&t->answers, in);
	conn_consume(t->conn, in.n);
	if (span_ends_nocase(buf_span(&t->answers), SPAN_LIT(BYE)))
		loop_stop(t->loop);
}

/* RFC 4954: what a next hop with these mechanisms says, EHLO's and the last reply left out. */
static void check_login(const char *mechanisms, const char *says, const char *wanted)
{
	struct case_hop what = { .name = "mx", .login = mechanisms, .says_offers = true };
	struct talk t = { .loop = loop_new() };
	struct values values = { 0 };
	struct buf all = { 0 };
	struct addr place;
	struct err e;

	assert_true(addr_parse("127.0.0.1", 0, &place));
	t.hop = hop_new(&(struct hop_options){ .loop = t.loop,
					       .what = &what,
					       .values = &values,
					       .host_name = "mx.example",
					       .login_name = "ann",
					       .login_password = "secret",
					       .places = &place,
					       .place_count = 1,
					       .on_news = on_nothing,
					       .ctx = &t },
			&e);
	assert_non_null(t.hop);
	struct timer *end = timer_new(t.loop, too_late, t.loop);
	timer_set_ms(end, PATIENCE_MS);
	t.conn = conn_connect(&(struct conn_options){ .loop = t.loop, .on_event = on_answer, .ctx = &t },
			      &t.hop->at, NULL);
	buf_addf(&all, "%sQUIT\r\n", says);
	conn_write(t.conn, buf_span(&all));
	loop_run(t.loop);
	assert_string_equal(buf_cstr(&t.answers), wanted);
	conn_free(t.conn);
	timer_free(end);
	hop_free(t.hop);
	loop_free(t.loop);
	buf_free(&all);
	buf_free(&t.answers);
}
#define GREETING "220 mx.example ESMTP\r\n"
#define GOOD "AGFubgBzZWNyZXQ=" /* NUL ann NUL secret */

static void who_has_logged_in_may_send_and_nobody_else(void **state)
{
	(void)state;
	check_login("PLAIN", "EHLO x\r\n", GREETING "250-mx.example\r\n250 AUTH PLAIN\r\n" BYE);
	check_login("PLAIN", "AUTH PLAIN " GOOD "\r\nMAIL FROM:<a@b>\r\n",
		    GREETING "235 2.7.0 welcome\r\n250 2.1.0 ok\r\n" BYE);
	check_login("PLAIN", "AUTH PLAIN\r\n" GOOD "\r\nAUTH PLAIN\r\n",
		    GREETING "334 \r\n235 2.7.0 welcome\r\n503 5.5.1 once is enough\r\n" BYE);
	check_login("PLAIN", "AUTH PLAIN =\r\nMAIL FROM:<a@b>\r\n",
		    GREETING "535 5.7.8 a PLAIN message without NUL\r\n530 5.7.0 log in first\r\n" BYE);
	check_login("LOGIN", "AUTH LOGIN\r\n*\r\nAUTH LOGIN\r\n!\r\n",
		    GREETING "334 VXNlcm5hbWU6\r\n501 5.7.0 cancelled\r\n334 VXNlcm5hbWU6\r\n"
			     "501 5.5.2 that is not base64\r\n" BYE);
	/* What it does not offer it does not take either. */
	check_login("LOGIN SCRAM-SHA-256", "AUTH PLAIN " GOOD "\r\nAUTH\r\nMAIL FROM:<a@b>\r\n",
		    GREETING "504 5.5.4 no such mechanism\r\n504 5.5.4 no such mechanism\r\n"
			     "530 5.7.0 log in first\r\n" BYE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_relay_that_connects_without_end_meets_nobody),
		cmocka_unit_test(a_relay_that_talks_without_end_is_left),
		cmocka_unit_test(a_message_without_end_is_not_kept),
		cmocka_unit_test(a_command_that_does_not_await_a_reply_is_told_by_its_time),
		cmocka_unit_test(behind_an_odd_reply_a_double_is_excused),
		cmocka_unit_test(who_has_logged_in_may_send_and_nobody_else),
	};
	return cmocka_run_group_tests_name("hop", tests, NULL, NULL);
}
