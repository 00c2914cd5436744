/*
 * sink: each row is what a client sends at once after the greeting, and the
 * replies it must get.  (What a well-behaved client sees is in test_sender.c.)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

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

/* ---- rules, and the record ---- */

static void on_record(void *ctx, const struct sink_event *e)
{
	static const char *const NAMES[] = { "opened", "<", ">", "secured", "left", "ended" };
	struct client *c = ctx;

	buf_addf(&c->content, "%s%.*s|", NAMES[e->kind], SPAN_FMT(e->bytes));
}

static void on_content(void *ctx, const struct sink_message *m)
{
	struct client *c = ctx;
	buf_addf(&c->content, "content %.*s|", SPAN_FMT(m->content));
}

/* What is recorded when a client says all this after the greeting. */
static void record_tls(const struct sink_rule *rules, uint32_t rule_count, const char *keywords,
		       struct tls_ctx *tls, const char *sent, const char *wanted)
{
	struct err err;
	struct addr at;
	struct client c = { .loop = loop_new(), .sent = sent, .piece = SIZE_MAX };
	struct timer *deadline = timer_new(c.loop, too_late, NULL);

	timer_set_ms(deadline, 20000);
	assert_true(addr_parse("127.0.0.1", 0, &at));
	struct sink *s = sink_new(&(struct sink_options){ .loop = c.loop,
							  .at = at,
							  .name = "x",
							  .keywords = keywords,
							  .tls_ctx = tls,
							  .keep_content = true,
							  .rules = rules,
							  .rule_count = rule_count,
							  .on_content = on_content,
							  .on_event = on_record,
							  .ctx = &c },
				  &err);
	assert_non_null(s);
	c.conn = conn_connect(&(struct conn_options){ .loop = c.loop, .on_event = on_event, .ctx = &c },
			      sink_addr(s), NULL);
	loop_run(c.loop);
	if (strcmp(buf_cstr(&c.content), wanted) != 0)
		fail_msg("wanted\n%s\ngot\n%s", wanted, buf_cstr(&c.content));
	conn_free(c.conn);
	sink_free(s);
	timer_free(deadline);
	loop_free(c.loop);
	buf_free(&c.codes);
	buf_free(&c.content);
}

static void record(const struct sink_rule *rules, uint32_t rule_count, const char *keywords, const char *sent,
		   const char *wanted)
{
	record_tls(rules, rule_count, keywords, NULL, sent, wanted);
}

#define ENVELOPE "MAIL FROM:<x@y>\r\nRCPT TO:<a@b>\r\n"
#define TAKEN ">250 2.1.0 ok\r\n|>250 2.1.5 ok\r\n|"

static void everything_is_recorded(void **state)
{
	(void)state;
	static const struct sink_piece PIECES[] = { { 0, { "25", 2 } }, { 5, { "0 x\r\n", 5 } } };
	const struct sink_rule in_pieces = {
		.stage = SINK_HELLO, .path = "EHLO", .pieces = PIECES, .piece_count = 2
	};
	const struct sink_rule no_chunk = { .stage = SINK_CHUNK, .reply = "451 4.3.0 no", .count = 1 };
	static const struct sink_piece EMPTY_LINE = { 0, { "\r\n354 go\r\n", 10 } };
	const struct sink_rule behind_nothing = { .stage = SINK_DATA,
						  .pieces = &EMPTY_LINE,
						  .piece_count = 1 };
	const struct sink_rule closes = { .stage = SINK_FINAL, .action = SINK_CLOSE };

	record(NULL, 0, "A\nSIZE 9\n", "EHLO me\r\nQUIT\r\n",
	       "opened|>220 x ESMTP\r\n|<EHLO me\r\nQUIT\r\n|>250-x\r\n250-A\r\n250 SIZE 9\r\n|>221 2.0.0 "
	       "bye\r\n|ended|");
	record(NULL, 0, "", "EHLO me\r\nQUIT\r\n",
	       "opened|>220 x ESMTP\r\n|<EHLO me\r\nQUIT\r\n|>250 x\r\n|>221 2.0.0 bye\r\n|ended|");
	record(&in_pieces, 1, NULL, "EHLO me\r\nHELO me\r\nQUIT\r\n",
	       "opened|>220 x ESMTP\r\n|<EHLO me\r\nHELO me\r\nQUIT\r\n|>25|>0 x\r\n|>250 sink\r\n|>221 "
	       "2.0.0 bye\r\n|ended|");
	/* RFC 3030 2: behind a refused chunk the transaction is over, until RSET. */
	record(&no_chunk, 1, NULL,
	       ENVELOPE "BDAT 1\r\naBDAT 1 LAST\r\nbRSET\r\n" ENVELOPE "BDAT 1\r\ncBDAT 1 LAST\r\ndQUIT\r\n",
	       "opened|>220 x ESMTP\r\n|<" ENVELOPE "BDAT 1\r\naBDAT 1 LAST\r\nbRSET\r\n" ENVELOPE
	       "BDAT 1\r\ncBDAT 1 LAST\r\ndQUIT\r\n|" TAKEN
	       ">451 4.3.0 no\r\n|>503 5.5.1 no transaction to add this to\r\n|>250 2.0.0 ok\r\n|" TAKEN
	       ">250 2.0.0 1 octets so far\r\n|content cd|>250 2.0.0 ok, taken as 1-1\r\n|>221 2.0.0 "
	       "bye\r\n|ended|");
	/* Behind an empty line the reply is what it is. */
	record(&behind_nothing, 1, NULL, ENVELOPE "DATA\r\nx\r\n.\r\nQUIT\r\n",
	       "opened|>220 x ESMTP\r\n|<" ENVELOPE "DATA\r\nx\r\n.\r\nQUIT\r\n|" TAKEN
	       ">\r\n354 go\r\n|content x\r\n|>250 2.0.0 ok, taken as 1-1\r\n|>221 2.0.0 bye\r\n|ended|");
	/* Content that was taken and not answered is told, too. */
	record(&closes, 1, NULL, ENVELOPE "DATA\r\nx\r\n.\r\n",
	       "opened|>220 x ESMTP\r\n|<" ENVELOPE "DATA\r\nx\r\n.\r\n|" TAKEN
	       ">354 go ahead\r\n|content x\r\n|ended|");
}

/* Once the client has begun it, not before. */
static void a_handshake_is_spoilt_as_a_rule_says(void **state)
{
	(void)state;
	static const struct sink_piece GARBAGE = { 0, { "garbage", 7 } };
	const struct sink_rule says = {
		.stage = SINK_HANDSHAKE, .pieces = &GARBAGE, .piece_count = 1, .action = SINK_CLOSE
	};
	const struct sink_rule later = { .stage = SINK_HANDSHAKE, .delay_ms = 5, .action = SINK_CLOSE };
	const struct sink_rule resets = { .stage = SINK_HANDSHAKE, .action = SINK_RESET };
	char dir[] = "/tmp/test_sink.XXXXXX", cert[64], key[64];
	const char *names[] = { "x", NULL };
	struct err err;

	assert_non_null(mkdtemp(dir));
	(void)snprintf(cert, sizeof(cert), "%s/cert", dir);
	(void)snprintf(key, sizeof(key), "%s/key", dir);
	assert_int_equal(cert_make(&(struct cert_options){ .common_name = "x",
							   .names = names,
							   .ret_cert_path = cert,
							   .ret_key_path = key },
				   &err),
			 0);
	struct tls_ctx *tls = tls_server_new(cert, key, &err);
	assert_non_null(tls);
	record_tls(&says, 1, NULL, tls, "STARTTLS\r\nhello",
		   "opened|>220 x ESMTP\r\n|<STARTTLS\r\nhello|>220 2.0.0 go ahead\r\n|>garbage|ended|");
	record_tls(&later, 1, NULL, tls, "STARTTLS\r\nhello",
		   "opened|>220 x ESMTP\r\n|<STARTTLS\r\nhello|>220 2.0.0 go ahead\r\n|ended|");
	record_tls(&resets, 1, NULL, tls, "STARTTLS\r\nhello",
		   "opened|>220 x ESMTP\r\n|<STARTTLS\r\nhello|>220 2.0.0 go ahead\r\n|ended|");
	tls_free(tls);
	(void)unlink(cert);
	(void)unlink(key);
	(void)rmdir(dir);
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

/* ---- LMTP, and clients that have said all ---- */

static void on_taken(void *ctx, const struct sink_message *m)
{
	struct client *c = ctx;

	buf_add_cstr(&c->content, "taken for");
	for (uint32_t i = 0; i < m->recipient_count; i++)
		buf_addf(&c->content, " %.*s", SPAN_FMT(m->recipients[i]));
	buf_add_cstr(&c->content, "|");
}

static void on_end(void *ctx, const struct sink_event *e)
{
	struct client *c = ctx;

	if (e->kind == SINK_SAID)
		buf_addf(&c->content, ">%.*s|", SPAN_FMT(span_sub(e->bytes, 0, 9)));
	if (e->kind == SINK_LEFT || e->kind == SINK_ENDED)
		loop_stop(c->loop);
}

static const char LMTP_ALL[] =
	"LHLO me\r\nMAIL FROM:<x@y>\r\nRCPT TO:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n";

/* All is said at once, and then the client ends its side: only sent, so that its socket needs no loop. */
static void say_all(const struct sink_rule *rule, const char *wanted)
{
	struct client c = { .loop = loop_new() };
	struct timer *deadline = timer_new(c.loop, too_late, NULL);
	struct addr at;
	struct err err;

	timer_set_ms(deadline, 20000);
	assert_true(addr_parse("127.0.0.1", 0, &at));
	struct sink *s = sink_new(&(struct sink_options){ .loop = c.loop,
							  .at = at,
							  .name = "x",
							  .lmtp = true,
							  .keywords = "",
							  .rules = rule,
							  .rule_count = 1,
							  .on_message = on_taken,
							  .on_event = on_end,
							  .ctx = &c },
				  &err);
	assert_non_null(s);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)&sink_addr(s)->ss, sink_addr(s)->n), 0);
	assert_int_equal(send(fd, LMTP_ALL, sizeof(LMTP_ALL) - 1, 0), sizeof(LMTP_ALL) - 1);
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	loop_run(c.loop);
	if (strcmp(buf_cstr(&c.content), wanted) != 0)
		fail_msg("wanted\n%s\ngot\n%s", wanted, buf_cstr(&c.content));
	(void)close(fd);
	sink_free(s);
	timer_free(deadline);
	loop_free(c.loop);
	buf_free(&c.content);
}

#define UNTIL_FINAL ">220 x LMT|>250 x\r\n|>250 2.1.0|>250 2.1.5|>250 2.1.5|>354 go ah|"

static void who_was_told_so_has_the_message_of_lmtp(void **state)
{
	(void)state;
	const struct sink_rule late = {
		.stage = SINK_FINAL, .path = "c@d", .delay_ms = 20, .reply = "250 2.0.0 late"
	};
	const struct sink_rule refuses = { .stage = SINK_FINAL, .path = "a@b", .reply = "550 5.2.1 no" };
	const struct sink_rule closes = { .stage = SINK_FINAL, .path = "c@d", .action = SINK_CLOSE };
	const struct sink_rule silent = {
		.stage = SINK_FINAL, .path = "c@d", .delay_ms = 20, .action = SINK_SILENT
	};
	const struct sink_rule at_once = { .stage = SINK_FINAL, .path = "a@b", .action = SINK_RESET };

	/* QUIT came with the end of all that is said, and is answered in its turn. */
	say_all(&late, UNTIL_FINAL ">250 2.0.0|>250 2.0.0|taken for a@b c@d|>221 2.0.0|");
	say_all(&refuses, UNTIL_FINAL ">550 5.2.1|>250 2.0.0|taken for c@d|>221 2.0.0|");
	say_all(&closes, UNTIL_FINAL ">250 2.0.0|taken for a@b|");
	say_all(&silent, UNTIL_FINAL ">250 2.0.0|taken for a@b|");
	say_all(&at_once, UNTIL_FINAL);
}

/* ---- a reply without end ---- */

struct flooded {
	struct loop *loop;
	struct conn *conn;
	struct sink *sink;
	size_t read, enough;
	const char *end;
};

static void on_flood_event(void *ctx, const struct sink_event *e)
{
	struct flooded *f = ctx;

	if (e->kind == SINK_LEFT || e->kind == SINK_ENDED) {
		f->end = e->kind == SINK_LEFT ? "left" : "ended";
		loop_stop(f->loop);
	}
}

static void on_flooded(void *ctx, enum conn_event event)
{
	struct flooded *f = ctx;
	size_t n = event == CONN_INPUT ? conn_input(f->conn).n : 0;

	f->read += n;
	conn_consume(f->conn, n);
	if (f->enough > 0 && f->read >= f->enough && f->conn != NULL) {
		conn_free(f->conn);
		f->conn = NULL;
	}
}

static void flood_until(size_t enough, size_t least, const char *end)
{
	static const struct sink_piece PIECE = { 0, { "220-more and more of it\r\n", 25 } };
	const struct sink_rule rule = {
		.stage = SINK_GREETING, .action = SINK_FLOOD, .pieces = &PIECE, .piece_count = 1
	};
	struct flooded f = { .loop = loop_new(), .enough = enough };
	struct timer *deadline = timer_new(f.loop, too_late, NULL);
	struct addr at;
	struct err err;

	timer_set_ms(deadline, 60000);
	assert_true(addr_parse("127.0.0.1", 0, &at));
	f.sink = sink_new(&(struct sink_options){ .loop = f.loop,
						  .at = at,
						  .rules = &rule,
						  .rule_count = 1,
						  .on_event = on_flood_event,
						  .ctx = &f },
			  &err);
	f.conn = conn_connect(&(struct conn_options){ .loop = f.loop, .on_event = on_flooded, .ctx = &f },
			      sink_addr(f.sink), NULL);
	loop_run(f.loop);
	assert_string_equal(f.end, end);
	assert_true(f.read >= least && f.read <= SINK_FLOOD_BYTES_MAX + 65536);
	conn_free(f.conn);
	sink_free(f.sink);
	timer_free(deadline);
	loop_free(f.loop);
}

static void a_flood_ends_with_its_reader_or_at_its_limit(void **state)
{
	(void)state;
	flood_until(100000, 100000, "left");
	flood_until(0, SINK_FLOOD_BYTES_MAX / 2, "ended");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_was_told_so_has_the_message_of_lmtp),
		cmocka_unit_test(everything_is_recorded),
		cmocka_unit_test(a_handshake_is_spoilt_as_a_rule_says),
		cmocka_unit_test(replies_are_as_they_must_be),
		cmocka_unit_test(pieces_change_nothing),
		cmocka_unit_test(a_flood_ends_with_its_reader_or_at_its_limit),
		cmocka_unit_test(an_endless_command_line_ends_the_connection),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
