/*
 * sink: each row is what a client sends at once after the greeting, and the
 * replies it must get.  (What a well-behaved client sees is in test_sender.c.)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/conn.h"
#include "harness/peer/sink.h"
#include "tests/unit/harness/exact.h"

struct row {
	const char *name;
	const char *sent;
	const char *codes; /* of every reply line, the greeting's first */
	uint32_t messages;
	const char *content; /* of the last message */
};

static const struct row rows[] = {
	{ "order is kept", "RCPT TO:<a@b>\r\nDATA\r\nMAIL FROM:<x@y>\r\nMAIL FROM:<x@y>\r\nDATA\r\nQUIT\r\n",
	  "220 503 503 250 503 554 221 ", 0, "" },
	{ "unknown commands", "FOO\r\nNOOP\r\nEXPN x\r\n\r\nQUIT\r\n", "220 500 250 502 500 221 ", 0, "" },
	{ "a group with content behind",
	  "MAIL FROM:<x@y>\r\nRCPT TO:<a@b>\r\nDATA\r\nhi\r\n..\r\n.\r\nQUIT\r\n", "220 250 250 354 250 221 ",
	  1, "hi\r\n.\r\n" },
	{ "BDAT",
	  "MAIL FROM:<x@y>\r\nRCPT TO:<a@b>\r\nBDAT 3\r\nhi\rBDAT 0\r\nBDAT 4 LAST\r\n\n.\r\nQUIT\r\n",
	  "220 250 250 250 250 250 221 ", 1, "hi\r\n.\r\n" },
	{ "empty BDAT LAST", "MAIL FROM:<x@y>\r\nRCPT TO:<a@b>\r\nBDAT 0 LAST\r\nQUIT\r\n",
	  "220 250 250 250 221 ", 1, "" },
	{ "BDAT for nobody is read and refused", "MAIL FROM:<x@y>\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\nQUIT\r\n",
	  "220 250 503 250 221 ", 0, "" },
	{ "BDAT without a size", "BDAT x LAST\r\nQUIT\r\n", "220 501 221 ", 0, "" },
	{ "RSET forgets", "MAIL FROM:<x@y>\r\nRCPT TO:<a@b>\r\nRSET\r\nDATA\r\nQUIT\r\n",
	  "220 250 250 250 503 221 ", 0, "" },
	{ "too big", "MAIL FROM:<x@y>\r\nRCPT TO:<a@b>\r\nDATA\r\n0123456789\r\n0123456789\r\n.\r\nQUIT\r\n",
	  "220 250 250 354 552 221 ", 0, "" },
	{ "STARTTLS without a certificate", "STARTTLS\r\nQUIT\r\n", "220 502 221 ", 0, "" },
};

struct client {
	struct loop *loop;
	struct conn *conn;
	const char *sent;
	size_t piece;
	struct buf codes;
	struct buf content;
	bool greeted;
};

static void on_message(void *ctx, const struct sink_message *m)
{
	struct client *c = ctx;
	buf_reset(&c->content);
	buf_add(&c->content, m->content);
}

static void too_late(void *ctx)
{
	(void)ctx;
	fail_msg("the test hangs");
}

static void say(struct client *c)
{
	size_t n = strlen(c->sent);
	n = n < c->piece ? n : c->piece;
	conn_write(c->conn, (struct span){ c->sent, n });
	c->sent += n;
}

static void on_event(void *ctx, enum conn_event event)
{
	struct client *c = ctx;
	if (event == CONN_EOF || event == CONN_FAILED) {
		loop_stop(c->loop);
		return;
	}
	struct span in = conn_input(c->conn), line;
	while (event == CONN_INPUT && span_take_until(&in, '\n', &line)) {
		buf_addf(&c->codes, "%.*s ", SPAN_FMT(span_sub(line, 0, 3)));
		conn_consume(c->conn, line.n + 1);
		in = conn_input(c->conn);
		c->greeted = true;
	}
	if (c->greeted && *c->sent != '\0')
		say(c);
}

static void converse(const struct row *row, size_t piece)
{
	struct err err;
	struct addr at;
	struct client c = { .loop = loop_new(), .sent = row->sent, .piece = piece };
	struct timer *deadline = timer_new(c.loop, too_late, NULL);
	timer_set_ms(deadline, 20000);
	assert_true(addr_parse("127.0.0.1", 0, &at));
	struct sink *s = sink_new(&(struct sink_options){ .loop = c.loop,
							  .at = at,
							  .keep_content = true,
							  .content_bytes_max = 20,
							  .on_message = on_message,
							  .ctx = &c },
				  &err);
	assert_non_null(s);
	c.conn = conn_connect(&(struct conn_options){ .loop = c.loop, .on_event = on_event, .ctx = &c },
			      sink_addr(s), NULL);
	loop_run(c.loop);
	if (strcmp(buf_cstr(&c.codes), row->codes) != 0 || sink_message_count(s) != row->messages ||
	    strcmp(buf_cstr(&c.content), row->content) != 0)
		fail_msg("%s, pieces of %zu: %s, %u messages, \"%s\"", row->name, piece, buf_cstr(&c.codes),
			 sink_message_count(s), buf_cstr(&c.content));
	conn_free(c.conn);
	sink_free(s);
	timer_free(deadline);
	loop_free(c.loop);
	buf_free(&c.codes);
	buf_free(&c.content);
}

static void replies_are_as_they_must_be(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		converse(&rows[i], SIZE_MAX);
}

/* Events between pieces: DRAINED calls for the next one, so each is a write of its own. */
static void pieces_change_nothing(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		converse(&rows[i], 1);
}

static void an_endless_command_line_ends_the_connection(void **state)
{
	(void)state;
	struct buf line = { 0 };
	for (int i = 0; i < 40000; i++)
		buf_add_cstr(&line, "x");
	const struct row row = { "endless", buf_cstr(&line), "220 500 ", 0, "" };
	converse(&row, SIZE_MAX);
	buf_free(&line);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(replies_are_as_they_must_be),
		cmocka_unit_test(pieces_change_nothing),
		cmocka_unit_test(an_endless_command_line_ends_the_connection),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
