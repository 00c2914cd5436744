/*
 * smtp_client: every row is a whole connection: what the server says, what
 * the client must have sent, and what became of every recipient.  Each runs
 * in one piece and byte by byte, content included.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "reference-server/core/smtp_client.h"

enum flag {
	TLS_MAY = 1u << 0,
	TLS_REQUIRE = 1u << 1,
	TLS_FAILS = 1u << 2,
	AUTH = 1u << 3,
	AUTH_LONG = 1u << 4,
	AUTH_CLEAR = 1u << 5,
	EIGHTBIT = 1u << 6,
	LOOK_AHEAD = 1u << 7,
	TIMES_OUT = 1u << 8, /* at the end of the script, instead of EOF */
	BARE_LF = 1u << 9,
	NO_CONTENT_END = 1u << 10, /* content lacks its last CRLF */
	CUT_CONTENT = 1u << 11,    /* the server speaks when half the content is out */
	ABORTS = 1u << 12,         /* content cannot be read */
	STAYS = 1u << 13,          /* no QUIT: waits idle */
	BAD_RCPT = 1u << 14,       /* the first recipient cannot be written in a command */
	BAD_SENDER = 1u << 15,
};

struct row {
	const char *name;
	unsigned flags;
	uint32_t message_count;
	uint32_t rcpt_count; /* each */
	const char *server;
	const char *client;
	const char *results; /* "class/stage code status;" per recipient, '|' per message, then the
				connection's */
};

#define EHLO "EHLO me.example\r\n"
#define MAIL "MAIL FROM:<s@x>\r\n"
#define RCPT(x) "RCPT TO:<" x "@y>\r\n"
#define BODY "A: b\r\n\r\n..c\r\n.\r\n"
#define QUIT "QUIT\r\n"
#define GREET "220 hi\r\n"
#define PLAIN GREET "250 hi\r\n"
#define PIPE GREET "250-hi\r\n250 PIPELINING\r\n"
#define GOOD "250 2.0.0 queued\r\n"
#define BYE "221 bye\r\n"
#define CLOSED_OK "closed ok/quit 0 2.0.0"

enum { RCPT_MAX = 5, MESSAGE_MAX = 3 };

/* One run of a row: the driver in small. */
struct play {
	const struct row *row;
	struct smtp_client c;
	struct buf out, results;
	uint32_t started;
	size_t step_bytes;
	bool half_sent;
	struct smtp_result storage[MESSAGE_MAX][RCPT_MAX];
	char password[600];
};

static const struct span rcpts[RCPT_MAX] = {
	{ "a@y", 3 }, { "b@y", 3 }, { "c@y", 3 }, { "d@y", 3 }, { "e@y", 3 }
};
static const struct span bad_rcpts[RCPT_MAX] = {
	{ "a\r\nRSET", 7 }, { "\xc3\xa9@y", 4 }, { "c@y", 3 }, { "d@y", 3 }, { "", 0 }
};

static void add_result(struct buf *out, const struct smtp_result *r)
{
	buf_addf(out, "%s/%s %u ", smtp_class_name(r->class_), smtp_stage_name(r->stage), r->code);
	smtp_status_add(out, r->status);
	if (r->in_doubt)
		buf_add_cstr(out, "?");
}

static void start(struct play *p)
{
	bool bad = p->row->flags & BAD_RCPT;
	struct smtp_client_message m = {
		.tag = &p->storage[p->started],
		.reverse_path = p->row->flags & BAD_SENDER ? SPAN_LIT("s\n") : SPAN_LIT("s@x"),
		.rcpts = bad ? bad_rcpts : rcpts,
		.results = p->storage[p->started],
		.rcpt_count = p->row->rcpt_count,
		.content_bytes = 1000,
		.content_8bit = p->row->flags & EIGHTBIT,
	};
	p->started++;
	smtp_client_start(&p->c, &m);
}

static struct span content_of(const struct row *row)
{
	if (row->flags & BARE_LF)
		return SPAN_LIT("A: b\n\r\n");
	if (row->flags & NO_CONTENT_END)
		return SPAN_LIT("A: b\r\n\r\n.c");
	return SPAN_LIT("A: b\r\n\r\n.c\r\n");
}

static void send_content(struct play *p)
{
	struct span content = content_of(p->row);

	if (p->row->flags & ABORTS) {
		smtp_client_abort_content(&p->c, SPAN_LIT("disk"));
		return;
	}
	for (size_t at = 0; at < content.n; at += p->step_bytes) {
		bool wants = smtp_client_content(&p->c, span_sub(content, at, p->step_bytes), false);
		if (!wants)
			return;
	}
	(void)smtp_client_content(&p->c, (struct span){ NULL, 0 }, true);
	if ((p->row->flags & LOOK_AHEAD) && p->started < p->row->message_count &&
	    smtp_client_can_start(&p->c))
		start(p);
}

static void take_done(struct play *p)
{
	struct smtp_client_message m = smtp_client_take_done(&p->c);

	assert_ptr_equal(m.tag, m.results);
	for (uint32_t i = 0; i < m.rcpt_count; i++) {
		add_result(&p->results, &m.results[i]);
		buf_add_cstr(&p->results, ";");
	}
	buf_add_cstr(&p->results, "|");
}

/* Serves every wish that needs no more input; true: closed. */
static bool serve(struct play *p, enum smtp_client_wish wish)
{
	size_t used;

	for (;;) {
		switch (wish) {
		case SMTP_CLIENT_WANT_INPUT:
			return false;
		case SMTP_CLIENT_START_TLS:
			buf_add_cstr(&p->out, "{tls}");
			smtp_client_tls_done(&p->c, (p->row->flags & TLS_FAILS) == 0, SPAN_LIT("bad\x01"));
			break;
		case SMTP_CLIENT_READY:
			if (p->started < p->row->message_count)
				start(p);
			else if (p->row->flags & STAYS)
				return false;
			else
				smtp_client_quit(&p->c);
			break;
		case SMTP_CLIENT_SEND_CONTENT:
			if (p->row->flags & CUT_CONTENT) {
				if (!p->half_sent)
					(void)smtp_client_content(&p->c, SPAN_LIT("A: b"), false);
				p->half_sent = true;
				return false;
			}
			send_content(p);
			break;
		case SMTP_CLIENT_DONE:
			take_done(p);
			break;
		case SMTP_CLIENT_CLOSED:
			buf_add_cstr(&p->results, "closed ");
			add_result(&p->results, smtp_client_closed(&p->c));
			return true;
		case SMTP_CLIENT_WISH_COUNT:
			fail();
		}
		wish = smtp_client_feed(&p->c, (struct span){ NULL, 0 }, &used);
	}
}

/* Gives n bytes from an exactly sized block; true: closed. */
static bool give(struct play *p, struct span bytes)
{
	char *block = malloc(bytes.n);
	size_t done = 0;
	bool closed = false;

	assert_non_null(block);
	memcpy(block, bytes.p, bytes.n);
	while (done < bytes.n && !closed) {
		size_t used;
		enum smtp_client_wish wish =
			smtp_client_feed(&p->c, (struct span){ block + done, bytes.n - done }, &used);
		done += used;
		closed = serve(p, wish);
	}
	free(block);
	return closed;
}

static void play(struct play *p)
{
	const struct row *row = p->row;
	struct span server = span_of(row->server);
	struct smtp_client_options options = {
		.out = &p->out,
		.local_name = SPAN_LIT("me.example"),
		.tls = row->flags & TLS_REQUIRE ? SMTP_CLIENT_TLS_REQUIRE
		       : row->flags & TLS_MAY   ? SMTP_CLIENT_TLS_MAY
						: SMTP_CLIENT_TLS_NONE,
		.auth_user = row->flags & AUTH ? SPAN_LIT("u") : (struct span){ NULL, 0 },
		.auth_password = SPAN_LIT("p"),
		.auth_without_tls = row->flags & AUTH_CLEAR,
	};
	bool closed = false;

	memset(p->password, 'x', sizeof(p->password));
	if (row->flags & AUTH_LONG)
		options.auth_password = (struct span){ p->password, sizeof(p->password) };
	memset(p->storage, 0xA5, sizeof(p->storage));
	smtp_client_init(&p->c, &options);
	for (size_t at = 0; at < server.n && !closed; at += p->step_bytes)
		closed = give(p, span_sub(server, at, p->step_bytes));
	if (closed)
		return;
	smtp_client_lost(&p->c, row->flags & TIMES_OUT ? SMTP_CLIENT_LOST_TIMEOUT : SMTP_CLIENT_LOST_EOF,
			 (struct span){ NULL, 0 });
	size_t used;
	assert_true(serve(p, smtp_client_feed(&p->c, (struct span){ NULL, 0 }, &used)));
}

static void check(const struct row *row, size_t step_bytes)
{
	struct play *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	p->row = row;
	p->step_bytes = step_bytes;
	play(p);
	if (strcmp(buf_cstr(&p->out), row->client) != 0)
		fail_msg("%s (step %zu): sent\n%s\nwanted\n%s", row->name, step_bytes, buf_cstr(&p->out),
			 row->client);
	if (strcmp(buf_cstr(&p->results), row->results) != 0)
		fail_msg("%s (step %zu): got\n%s\nwanted\n%s", row->name, step_bytes, buf_cstr(&p->results),
			 row->results);
	buf_free(&p->out);
	buf_free(&p->results);
	free(p);
}

static void check_all(const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		check(&rows[i], 100000);
		check(&rows[i], 1);
		check(&rows[i], 7);
	}
}
#define CHECK_ALL(rows) check_all(rows, sizeof(rows) / sizeof((rows)[0]))

/* clang-format off */
static const struct row plain_rows[] = {
	{ "one message step by step", 0, 1, 1,
	  PLAIN "250 ok\r\n250 ok\r\n354 go\r\n" GOOD BYE,
	  EHLO MAIL RCPT("a") "DATA\r\n" BODY QUIT,
	  "ok/final-dot 250 2.0.0;|" CLOSED_OK },
	{ "HELO when EHLO is refused", 0, 1, 1,
	  GREET "500 what?\r\n250 hi\r\n250 ok\r\n250 ok\r\n354 go\r\n" GOOD BYE,
	  EHLO "HELO me.example\r\n" MAIL RCPT("a") "DATA\r\n" BODY QUIT,
	  "ok/final-dot 250 2.0.0;|" CLOSED_OK },
	{ "HELO refused too", 0, 1, 1, GREET "502 no\r\n550 5.7.1 no\r\n" BYE,
	  EHLO "HELO me.example\r\n" QUIT, "closed permanent/ehlo 550 5.7.1" },
	{ "EHLO 554 means the host", 0, 1, 1, GREET "554 go away\r\n" BYE, EHLO QUIT, "closed permanent/ehlo 554 5.0.0" },
	{ "EHLO 450", 0, 1, 1, GREET "450 later\r\n" BYE, EHLO QUIT, "closed temporary/ehlo 450 4.0.0" },
	{ "EHLO 421", 0, 1, 1, GREET "421 later\r\n", EHLO, "closed temporary/ehlo 421 4.0.0" },
	{ "greeting 554, QUIT waits for its reply", 0, 1, 1, "554 no service\r\n" BYE, QUIT, "closed temporary/greeting 554 5.0.0" },
	{ "greeting 554 and EOF", 0, 1, 1, "554 no service\r\n", QUIT, "closed temporary/greeting 554 5.0.0" },
	{ "greeting 521, never any mail", 0, 1, 1, "521 no mail here\r\n" BYE, QUIT, "closed permanent/greeting 521 5.0.0" },
	{ "greeting 450", 0, 1, 1, "450 busy\r\n" BYE, QUIT, "closed temporary/greeting 450 4.0.0" },
	{ "greeting 421", 0, 1, 1, "421 busy\r\n", "", "closed temporary/greeting 421 4.0.0" },
	{ "greeting 421 behind 220-", 0, 1, 1, "220-hi\r\n421 busy\r\n", QUIT, "closed temporary/greeting 0 4.5.0" },
	{ "no greeting", 0, 1, 1, "", "", "closed temporary/greeting 0 4.4.2" },
	{ "greeting is another protocol", 0, 1, 1, "+OK pop3\r\n", QUIT, "closed temporary/greeting 0 4.5.0" },
	{ "greeting 354", 0, 1, 1, "354 hi\r\n", QUIT, "closed temporary/greeting 0 4.5.0" },
	{ "recipients apart", 0, 1, 4,
	  PLAIN "250 ok\r\n250 ok\r\n450 4.2.1 later\r\n550 5.1.1 no\r\n251 fwd\r\n354 go\r\n" GOOD BYE,
	  EHLO MAIL RCPT("a") RCPT("b") RCPT("c") RCPT("d") "DATA\r\n" BODY QUIT,
	  "ok/final-dot 250 2.0.0;temporary/rcpt 450 4.2.1;permanent/rcpt 550 5.1.1;ok/final-dot 250 2.0.0;|" CLOSED_OK },
	{ "nobody accepted: RSET, no DATA, and the next message", 0, 2, 1,
	  PLAIN "250 ok\r\n550 no\r\n250 reset\r\n250 ok\r\n250 ok\r\n354 go\r\n" GOOD BYE,
	  EHLO MAIL RCPT("a") "RSET\r\n" MAIL RCPT("a") "DATA\r\n" BODY QUIT,
	  "permanent/rcpt 550 5.0.0;|ok/final-dot 250 2.0.0;|" CLOSED_OK },
	{ "RSET refused: not used any more", 0, 2, 1,
	  PLAIN "250 ok\r\n550 no\r\n503 no\r\n" BYE,
	  EHLO MAIL RCPT("a") "RSET\r\n" QUIT,
	  "permanent/rcpt 550 5.0.0;|closed temporary/rset 503 5.0.0" },
	{ "RSET 421", 0, 2, 1, PLAIN "250 ok\r\n550 no\r\n421 4.3.2 no\r\n",
	  EHLO MAIL RCPT("a") "RSET\r\n", "permanent/rcpt 550 5.0.0;|closed temporary/rset 421 4.3.2" },
	{ "MAIL refused needs no RSET", 0, 2, 2,
	  PLAIN "451 4.3.0 no\r\n550 5.7.1 no\r\n" BYE,
	  EHLO MAIL MAIL QUIT,
	  "temporary/mail 451 4.3.0;temporary/mail 451 4.3.0;|permanent/mail 550 5.7.1;permanent/mail 550 5.7.1;|" CLOSED_OK },
	{ "DATA refused", 0, 1, 2,
	  PLAIN "250 ok\r\n250 ok\r\n550 5.1.1 no\r\n451 4.3.0 full\r\n250 reset\r\n" BYE,
	  EHLO MAIL RCPT("a") RCPT("b") "DATA\r\nRSET\r\n" QUIT,
	  "temporary/data 451 4.3.0;permanent/rcpt 550 5.1.1;|" CLOSED_OK },
	{ "DATA answered 250", 0, 1, 1,
	  PLAIN "250 ok\r\n250 ok\r\n250 ok\r\n", EHLO MAIL RCPT("a") "DATA\r\n" QUIT,
	  "temporary/data 0 4.5.0;|closed temporary/data 0 4.5.0" },
	{ "final dot deferred", 0, 1, 1,
	  PLAIN "250 ok\r\n250 ok\r\n354 go\r\n452 4.3.1 full\r\n" BYE, EHLO MAIL RCPT("a") "DATA\r\n" BODY QUIT,
	  "temporary/final-dot 452 4.3.1;|" CLOSED_OK },
	{ "final dot failed", 0, 1, 2,
	  PLAIN "250 ok\r\n250 ok\r\n450 no\r\n354 go\r\n554 spam\r\n" BYE,
	  EHLO MAIL RCPT("a") RCPT("b") "DATA\r\n" BODY QUIT,
	  "permanent/final-dot 554 5.0.0;temporary/rcpt 450 4.0.0;|" CLOSED_OK },
	{ "final dot 354 again", 0, 1, 1,
	  PLAIN "250 ok\r\n250 ok\r\n354 go\r\n354 go\r\n", EHLO MAIL RCPT("a") "DATA\r\n" BODY QUIT,
	  "temporary/final-dot 0 4.5.0?;|closed temporary/final-dot 0 4.5.0" },
	{ "final dot 421 is no doubt", 0, 1, 1,
	  PLAIN "250 ok\r\n250 ok\r\n354 go\r\n421 4.3.2 no\r\n", EHLO MAIL RCPT("a") "DATA\r\n" BODY,
	  "temporary/final-dot 421 4.3.2;|closed temporary/final-dot 421 4.3.2" },
	{ "lost behind the final dot: in doubt", 0, 1, 2,
	  PLAIN "250 ok\r\n250 ok\r\n550 no\r\n354 go\r\n", EHLO MAIL RCPT("a") RCPT("b") "DATA\r\n" BODY,
	  "temporary/final-dot 0 4.4.2?;permanent/rcpt 550 5.0.0;|closed temporary/final-dot 0 4.4.2" },
	{ "lost within the reply to the final dot: in doubt", 0, 1, 1,
	  PLAIN "250 ok\r\n250 ok\r\n354 go\r\n250 o", EHLO MAIL RCPT("a") "DATA\r\n" BODY,
	  "temporary/final-dot 0 4.4.2?;|closed temporary/final-dot 0 4.4.2" },
	{ "lost in the envelope", 0, 1, 2, PLAIN "250 ok\r\n250 ok\r\n", EHLO MAIL RCPT("a") RCPT("b"),
	  "temporary/rcpt 0 4.4.2;temporary/rcpt 0 4.4.2;|closed temporary/rcpt 0 4.4.2" },
	{ "421 to RCPT ends it for the undecided", 0, 1, 3,
	  PLAIN "250 ok\r\n250 ok\r\n550 5.1.1 no\r\n421 4.7.0 enough\r\n", EHLO MAIL RCPT("a") RCPT("b") RCPT("c"),
	  "temporary/rcpt 421 4.7.0;permanent/rcpt 550 5.1.1;temporary/rcpt 421 4.7.0;|closed temporary/rcpt 421 4.7.0" },
	{ "421 in mid content", CUT_CONTENT, 1, 1,
	  PLAIN "250 ok\r\n250 ok\r\n354 go\r\n421 4.3.2 no\r\n", EHLO MAIL RCPT("a") "DATA\r\nA: b",
	  "temporary/content 421 4.3.2;|closed temporary/content 421 4.3.2" },
	{ "552 in mid content", CUT_CONTENT, 1, 1,
	  PLAIN "250 ok\r\n250 ok\r\n354 go\r\n552 5.3.4 big\r\n", EHLO MAIL RCPT("a") "DATA\r\nA: b",
	  "permanent/content 552 5.3.4;|closed permanent/content 552 5.3.4" },
	{ "250 in mid content is nothing delivered", CUT_CONTENT, 1, 1,
	  PLAIN "250 ok\r\n250 ok\r\n354 go\r\n250 thanks\r\n", EHLO MAIL RCPT("a") "DATA\r\nA: b",
	  "temporary/content 0 4.5.0;|closed temporary/content 0 4.5.0" },
	{ "lost in mid content: no doubt", CUT_CONTENT, 1, 1,
	  PLAIN "250 ok\r\n250 ok\r\n354 go\r\n", EHLO MAIL RCPT("a") "DATA\r\nA: b",
	  "temporary/content 0 4.4.2;|closed temporary/content 0 4.4.2" },
	{ "content cannot be read", ABORTS, 1, 1,
	  PLAIN "250 ok\r\n250 ok\r\n354 go\r\n", EHLO MAIL RCPT("a") "DATA\r\n",
	  "temporary/content 0 4.3.0;|closed temporary/content 0 4.3.0" },
	{ "too many recipients: the rest is not even tried", 0, 1, 4,
	  PLAIN "250 ok\r\n250 ok\r\n452 4.5.3 too many\r\n354 go\r\n" GOOD BYE,
	  EHLO MAIL RCPT("a") RCPT("b") "DATA\r\n" BODY QUIT,
	  "ok/final-dot 250 2.0.0;too-many/rcpt 452 4.5.3;too-many/rcpt 452 4.5.3;too-many/rcpt 452 4.5.3;|" CLOSED_OK },
	{ "too many for the first recipient is temporary", 0, 1, 1,
	  PLAIN "250 ok\r\n452 4.5.3 too many\r\n250 reset\r\n" BYE, EHLO MAIL RCPT("a") "RSET\r\n" QUIT,
	  "temporary/rcpt 452 4.5.3;|" CLOSED_OK },
	{ "552 without status behind an accepted one is too many", 0, 1, 2,
	  PLAIN "250 ok\r\n250 ok\r\n552 too many\r\n354 go\r\n" GOOD BYE, EHLO MAIL RCPT("a") RCPT("b") "DATA\r\n" BODY QUIT,
	  "ok/final-dot 250 2.0.0;too-many/rcpt 552 5.0.0;|" CLOSED_OK },
	{ "552 5.2.2 is that mailbox", 0, 1, 2,
	  PLAIN "250 ok\r\n250 ok\r\n552 5.2.2 full\r\n354 go\r\n" GOOD BYE, EHLO MAIL RCPT("a") RCPT("b") "DATA\r\n" BODY QUIT,
	  "ok/final-dot 250 2.0.0;permanent/rcpt 552 5.2.2;|" CLOSED_OK },
	{ "552 for the first recipient is permanent", 0, 1, 1,
	  PLAIN "250 ok\r\n552 no\r\n250 reset\r\n" BYE, EHLO MAIL RCPT("a") "RSET\r\n" QUIT,
	  "permanent/rcpt 552 5.0.0;|" CLOSED_OK },
	{ "552 5.5.3 for the first recipient is temporary", 0, 1, 1,
	  PLAIN "250 ok\r\n552 5.5.3 no\r\n250 reset\r\n" BYE, EHLO MAIL RCPT("a") "RSET\r\n" QUIT,
	  "temporary/rcpt 552 5.5.3;|" CLOSED_OK },
	{ "354 to RCPT", 0, 1, 1, PLAIN "250 ok\r\n354 go\r\n", EHLO MAIL RCPT("a") QUIT,
	  "temporary/rcpt 0 4.5.0;|closed temporary/rcpt 0 4.5.0" },
	{ "354 to MAIL", 0, 1, 1, PLAIN "354 go\r\n", EHLO MAIL QUIT,
	  "temporary/mail 0 4.5.0;|closed temporary/mail 0 4.5.0" },
	{ "8-bit content and no 8BITMIME: nothing sent", EIGHTBIT, 1, 2, PLAIN BYE, EHLO QUIT,
	  "permanent/mail 0 5.6.3;permanent/mail 0 5.6.3;|" CLOSED_OK },
	{ "8-bit content and 8BITMIME", EIGHTBIT, 1, 1, GREET "250-hi\r\n250 8bitmime\r\n550 no\r\n" BYE,
	  EHLO "MAIL FROM:<s@x> BODY=8BITMIME\r\n" QUIT, "permanent/mail 550 5.0.0;|" CLOSED_OK },
	{ "over SIZE: nothing sent", 0, 1, 1, GREET "250-hi\r\n250 SIZE 999\r\n" BYE, EHLO QUIT,
	  "permanent/mail 0 5.3.4;|" CLOSED_OK },
	{ "within SIZE", 0, 1, 1, GREET "250-hi\r\n250 SIZE 1000\r\n550 no\r\n" BYE,
	  EHLO "MAIL FROM:<s@x> SIZE=1000\r\n" QUIT, "permanent/mail 550 5.0.0;|" CLOSED_OK },
	{ "SIZE 0 and SIZE alone and SIZE nonsense are no limit", 0, 1, 1,
	  GREET "250-hi\r\n250-SIZE 0\r\n250-SIZE\r\n250 SIZE -1\r\n550 no\r\n" BYE,
	  EHLO "MAIL FROM:<s@x> SIZE=1000\r\n" QUIT, "permanent/mail 550 5.0.0;|" CLOSED_OK },
	{ "keywords in the greeting line and after HELO count for nothing", EIGHTBIT, 1, 1,
	  GREET "250 8BITMIME\r\n" BYE, EHLO QUIT, "permanent/mail 0 5.6.3;|" CLOSED_OK },
	{ "final CRLF is added", NO_CONTENT_END, 1, 1,
	  PLAIN "250 ok\r\n250 ok\r\n354 go\r\n" GOOD BYE, EHLO MAIL RCPT("a") "DATA\r\n" BODY QUIT,
	  "ok/final-dot 250 2.0.0;|" CLOSED_OK },
	{ "recipients that no command can carry", BAD_RCPT, 1, 5,
	  PLAIN "250 ok\r\n250 ok\r\n550 no\r\n354 go\r\n" GOOD BYE, EHLO MAIL RCPT("c") RCPT("d") "DATA\r\n" BODY QUIT,
	  "permanent/rcpt 0 5.1.3;permanent/rcpt 0 5.6.7;ok/final-dot 250 2.0.0;permanent/rcpt 550 5.0.0;permanent/rcpt 0 5.1.3;|" CLOSED_OK },
	{ "only such recipients", BAD_RCPT, 1, 2, PLAIN BYE, EHLO QUIT,
	  "permanent/rcpt 0 5.1.3;permanent/rcpt 0 5.6.7;|" CLOSED_OK },
	{ "reverse-path with a line end", BAD_SENDER, 1, 1, PLAIN BYE, EHLO QUIT, "permanent/mail 0 5.1.7;|" CLOSED_OK },
	{ "idle 421", STAYS, 0, 1, PLAIN "421 4.4.2 idle\r\n", EHLO, "closed ok/idle 421 4.4.2" },
	{ "idle EOF", STAYS, 0, 1, PLAIN, EHLO, "closed ok/idle 0 4.4.2" },
	{ "reply to nothing", STAYS, 0, 1, PLAIN "250 what\r\n", EHLO QUIT, "closed temporary/idle 0 4.5.0" },
	{ "nonsense in place of 221", 0, 0, 1, PLAIN "bye!\r\n", EHLO QUIT, CLOSED_OK },
};

static const struct row reuse_rows[] = {
	{ "reused connection answers MAIL with 421: not tried", 0, 2, 2,
	  PLAIN "250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n" GOOD "421 4.4.2 idle\r\n",
	  EHLO MAIL RCPT("a") RCPT("b") "DATA\r\n" BODY MAIL,
	  "ok/final-dot 250 2.0.0;ok/final-dot 250 2.0.0;|not-tried/mail 421 4.4.2;not-tried/mail 421 4.4.2;|closed temporary/mail 421 4.4.2" },
	{ "reused connection is gone: not tried", 0, 2, 1,
	  PLAIN "250 ok\r\n250 ok\r\n354 go\r\n" GOOD, EHLO MAIL RCPT("a") "DATA\r\n" BODY MAIL,
	  "ok/final-dot 250 2.0.0;|not-tried/mail 0 4.4.2;|closed temporary/mail 0 4.4.2" },
	{ "reused connection is silent: tried", TIMES_OUT, 2, 1,
	  PLAIN "250 ok\r\n250 ok\r\n354 go\r\n" GOOD, EHLO MAIL RCPT("a") "DATA\r\n" BODY MAIL,
	  "ok/final-dot 250 2.0.0;|temporary/mail 0 4.4.2;|closed temporary/mail 0 4.4.2" },
	{ "reused connection lost behind MAIL's reply: tried", 0, 2, 1,
	  PLAIN "250 ok\r\n250 ok\r\n354 go\r\n" GOOD "250 ok\r\n", EHLO MAIL RCPT("a") "DATA\r\n" BODY MAIL RCPT("a"),
	  "ok/final-dot 250 2.0.0;|temporary/rcpt 0 4.4.2;|closed temporary/rcpt 0 4.4.2" },
	{ "reused connection answers nonsense: tried", 0, 2, 1,
	  PLAIN "250 ok\r\n250 ok\r\n354 go\r\n" GOOD "?\r\n", EHLO MAIL RCPT("a") "DATA\r\n" BODY MAIL QUIT,
	  "ok/final-dot 250 2.0.0;|temporary/mail 0 4.5.0;|closed temporary/mail 0 4.5.0" },
	{ "fresh connection lost before MAIL's reply: tried", 0, 1, 1, PLAIN, EHLO MAIL,
	  "temporary/mail 0 4.4.2;|closed temporary/mail 0 4.4.2" },
	{ "fresh connection answers MAIL with 421: tried", 0, 1, 1, PLAIN "421 no\r\n", EHLO MAIL,
	  "temporary/mail 421 4.0.0;|closed temporary/mail 421 4.0.0" },
};

#define GROUP MAIL RCPT("a") RCPT("b") "DATA\r\n"
static const struct row pipelining_rows[] = {
	{ "a group", 0, 1, 2, PIPE "250 ok\r\n250 ok\r\n550 no\r\n354 go\r\n" GOOD BYE, EHLO GROUP BODY QUIT,
	  "ok/final-dot 250 2.0.0;permanent/rcpt 550 5.0.0;|" CLOSED_OK },
	{ "all refused and DATA refused: RSET", 0, 1, 2,
	  PIPE "250 ok\r\n450 no\r\n550 no\r\n554 no valid recipients\r\n250 reset\r\n" BYE, EHLO GROUP "RSET\r\n" QUIT,
	  "temporary/rcpt 450 4.0.0;permanent/rcpt 550 5.0.0;|" CLOSED_OK },
	{ "all refused yet DATA says 354: lone dot, its 250 delivers nothing", 0, 2, 2,
	  PIPE "250 ok\r\n450 no\r\n550 no\r\n354 go\r\n250 queued\r\n550 no\r\n503 no\r\n503 no\r\n503 no\r\n" BYE,
	  EHLO GROUP ".\r\n" GROUP QUIT,
	  "temporary/rcpt 450 4.0.0;permanent/rcpt 550 5.0.0;|permanent/mail 550 5.0.0;permanent/mail 550 5.0.0;|" CLOSED_OK },
	{ "MAIL refused yet DATA says 354: lone dot", 0, 1, 2,
	  PIPE "451 no\r\n250 ok\r\n250 ok\r\n354 go\r\n554 no\r\n" BYE, EHLO GROUP ".\r\n" QUIT,
	  "temporary/mail 451 4.0.0;temporary/mail 451 4.0.0;|" CLOSED_OK },
	{ "lost at the lone dot", 0, 1, 2, PIPE "250 ok\r\n450 no\r\n550 no\r\n354 go\r\n", EHLO GROUP ".\r\n",
	  "temporary/rcpt 450 4.0.0;permanent/rcpt 550 5.0.0;|closed temporary/final-dot 0 4.4.2" },
	{ "DATA refused for the accepted", 0, 1, 2,
	  PIPE "250 ok\r\n250 ok\r\n550 no\r\n451 4.3.0 no\r\n250 reset\r\n" BYE, EHLO GROUP "RSET\r\n" QUIT,
	  "temporary/data 451 4.3.0;permanent/rcpt 550 5.0.0;|" CLOSED_OK },
	{ "421 to the first RCPT", 0, 1, 2, PIPE "250 ok\r\n421 4.3.2 bye\r\n", EHLO GROUP,
	  "temporary/rcpt 421 4.3.2;temporary/rcpt 421 4.3.2;|closed temporary/rcpt 421 4.3.2" },
	{ "too many", 0, 1, 3, PIPE "250 ok\r\n250 ok\r\n452 4.5.3 no\r\n452 4.5.3 no\r\n354 go\r\n" GOOD BYE,
	  EHLO MAIL RCPT("a") RCPT("b") RCPT("c") "DATA\r\n" BODY QUIT,
	  "ok/final-dot 250 2.0.0;too-many/rcpt 452 4.5.3;too-many/rcpt 452 4.5.3;|" CLOSED_OK },
	{ "recipients that no command can carry do not shift replies", BAD_RCPT, 1, 4,
	  PIPE "250 ok\r\n450 no\r\n250 ok\r\n354 go\r\n" GOOD BYE,
	  EHLO MAIL RCPT("c") RCPT("d") "DATA\r\n" BODY QUIT,
	  "permanent/rcpt 0 5.1.3;permanent/rcpt 0 5.6.7;temporary/rcpt 450 4.0.0;ok/final-dot 250 2.0.0;|" CLOSED_OK },
	{ "look-ahead: next envelope behind the final dot", LOOK_AHEAD, 3, 2,
	  PIPE "250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n" GOOD
	  "250 ok\r\n550 no\r\n250 ok\r\n354 go\r\n" "554 no\r\n"
	  "250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n" GOOD BYE,
	  EHLO GROUP BODY GROUP BODY GROUP BODY QUIT,
	  "ok/final-dot 250 2.0.0;ok/final-dot 250 2.0.0;|permanent/rcpt 550 5.0.0;permanent/final-dot 554 5.0.0;|"
	  "ok/final-dot 250 2.0.0;ok/final-dot 250 2.0.0;|" CLOSED_OK },
	{ "look-ahead: lost with both in flight", LOOK_AHEAD, 2, 2,
	  PIPE "250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n", EHLO GROUP BODY GROUP,
	  "temporary/final-dot 0 4.4.2?;temporary/final-dot 0 4.4.2?;|not-tried/mail 0 4.4.2;not-tried/mail 0 4.4.2;|"
	  "closed temporary/final-dot 0 4.4.2" },
	{ "look-ahead: 421 to the final dot", LOOK_AHEAD, 2, 2,
	  PIPE "250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n421 4.3.2 no\r\n", EHLO GROUP BODY GROUP,
	  "temporary/final-dot 421 4.3.2;temporary/final-dot 421 4.3.2;|not-tried/mail 421 4.3.2;not-tried/mail 421 4.3.2;|"
	  "closed temporary/final-dot 421 4.3.2" },
	{ "look-ahead: nonsense to the final dot", LOOK_AHEAD, 2, 2,
	  PIPE "250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n!\r\n", EHLO GROUP BODY GROUP QUIT,
	  "temporary/final-dot 0 4.5.0?;temporary/final-dot 0 4.5.0?;|not-tried/mail 0 4.5.0;not-tried/mail 0 4.5.0;|"
	  "closed temporary/final-dot 0 4.5.0" },
	{ "look-ahead does nothing without PIPELINING", LOOK_AHEAD, 2, 1,
	  PLAIN "250 ok\r\n250 ok\r\n354 go\r\n" GOOD "550 no\r\n" BYE, EHLO MAIL RCPT("a") "DATA\r\n" BODY MAIL QUIT,
	  "ok/final-dot 250 2.0.0;|permanent/mail 550 5.0.0;|" CLOSED_OK },
};

#define TLS_OFFER GREET "250-hi\r\n250-PIPELINING\r\n250 STARTTLS\r\n"
static const struct row tls_rows[] = {
	{ "STARTTLS, everything learnt before is forgotten", TLS_MAY, 1, 1,
	  TLS_OFFER "220 go\r\n250 hi\r\n550 no\r\n" BYE, EHLO "STARTTLS\r\n{tls}" EHLO MAIL QUIT,
	  "permanent/mail 550 5.0.0;|" CLOSED_OK },
	{ "STARTTLS once only", TLS_REQUIRE, 0, 1, TLS_OFFER "220 go\r\n250-hi\r\n250 STARTTLS\r\n" BYE,
	  EHLO "STARTTLS\r\n{tls}" EHLO QUIT, CLOSED_OK },
	{ "not wanted", 0, 0, 1, TLS_OFFER BYE, EHLO QUIT, CLOSED_OK },
	{ "not offered, may", TLS_MAY, 0, 1, PLAIN BYE, EHLO QUIT, CLOSED_OK },
	{ "not offered, required", TLS_REQUIRE, 1, 1, PLAIN BYE, EHLO QUIT, "closed temporary/starttls 0 4.7.10" },
	{ "not offered for lack of EHLO, required", TLS_REQUIRE, 1, 1, GREET "500 no\r\n250 hi\r\n" BYE,
	  EHLO "HELO me.example\r\n" QUIT, "closed temporary/starttls 0 4.7.10" },
	{ "refused, may: goes on", TLS_MAY, 1, 1, TLS_OFFER "454 4.7.0 no\r\n550 no\r\n503 no\r\n503 no\r\n" BYE,
	  EHLO "STARTTLS\r\n" MAIL RCPT("a") "DATA\r\n" QUIT, "permanent/mail 550 5.0.0;|" CLOSED_OK },
	{ "refused, required", TLS_REQUIRE, 1, 1, TLS_OFFER "454 4.7.0 no\r\n" BYE, EHLO "STARTTLS\r\n" QUIT,
	  "closed temporary/starttls 454 4.7.0" },
	{ "refused for good, required, is temporary still", TLS_REQUIRE, 1, 1, TLS_OFFER "501 no\r\n" BYE,
	  EHLO "STARTTLS\r\n" QUIT, "closed temporary/starttls 501 5.0.0" },
	{ "handshake fails", TLS_MAY | TLS_FAILS, 1, 1, TLS_OFFER "220 go\r\n", EHLO "STARTTLS\r\n{tls}",
	  "closed temporary/tls 0 4.7.5" },
	{ "second EHLO draws 503: HELO", TLS_MAY, 0, 1, TLS_OFFER "220 go\r\n503 again?\r\n250 hi\r\n" BYE,
	  EHLO "STARTTLS\r\n{tls}" EHLO "HELO me.example\r\n" QUIT, CLOSED_OK },
};

#define AUTH_OFFER GREET "250-hi\r\n250 AUTH LOGIN PLAIN\r\n"
static const struct row auth_rows[] = {
	{ "AUTH PLAIN", AUTH | AUTH_CLEAR, 0, 1, AUTH_OFFER "235 ok\r\n" BYE, EHLO "AUTH PLAIN AHUAcA==\r\n" QUIT, CLOSED_OK },
	{ "not in clear", AUTH, 1, 1, AUTH_OFFER BYE, EHLO QUIT, "closed temporary/auth 0 4.7.0" },
	{ "behind TLS", AUTH | TLS_MAY, 0, 1, TLS_OFFER "220 go\r\n250-hi\r\n250 AUTH PLAIN\r\n235 ok\r\n" BYE,
	  EHLO "STARTTLS\r\n{tls}" EHLO "AUTH PLAIN AHUAcA==\r\n" QUIT, CLOSED_OK },
	{ "not offered", AUTH | AUTH_CLEAR, 1, 1, GREET "250-hi\r\n250 AUTH LOGIN PLAINER\r\n" BYE, EHLO QUIT,
	  "closed temporary/auth 0 4.7.0" },
	{ "refused: the mail waits", AUTH | AUTH_CLEAR, 1, 1, AUTH_OFFER "535 5.7.8 no\r\n" BYE,
	  EHLO "AUTH PLAIN AHUAcA==\r\n" QUIT, "closed temporary/auth 535 5.7.8" },
	{ "challenge behind the response", AUTH | AUTH_CLEAR, 1, 1, AUTH_OFFER "334 \r\n",
	  EHLO "AUTH PLAIN AHUAcA==\r\n" QUIT, "closed temporary/auth 0 4.5.0" },
	{ "421", AUTH | AUTH_CLEAR, 1, 1, AUTH_OFFER "421 no\r\n", EHLO "AUTH PLAIN AHUAcA==\r\n",
	  "closed temporary/auth 421 4.0.0" },
};
/* clang-format on */

static void replies_lead_to_the_right_commands_and_results(void **state)
{
	(void)state;
	CHECK_ALL(plain_rows);
}

static void a_reused_connection_that_dies_costs_no_attempt(void **state)
{
	(void)state;
	CHECK_ALL(reuse_rows);
}

static void pipelined_replies_find_their_commands(void **state)
{
	(void)state;
	CHECK_ALL(pipelining_rows);
}

static void tls_follows_the_policy(void **state)
{
	(void)state;
	CHECK_ALL(tls_rows);
}

static void auth_comes_before_mail_or_there_is_no_mail(void **state)
{
	(void)state;
	CHECK_ALL(auth_rows);
}

static struct play *play_row(const struct row *row)
{
	struct play *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	p->row = row;
	p->step_bytes = 3;
	play(p);
	return p;
}

static void play_free(struct play *p)
{
	buf_free(&p->out);
	buf_free(&p->results);
	free(p);
}

static void a_long_response_waits_for_the_challenge(void **state)
{
	static const struct row row = { "",  AUTH | AUTH_CLEAR | AUTH_LONG,       0,
					1,   AUTH_OFFER "334 \r\n235 ok\r\n" BYE, NULL,
					NULL };
	struct play *p = play_row(&row);
	(void)state;

	assert_non_null(strstr(buf_cstr(&p->out), "\r\nAUTH PLAIN\r\nAHUAeHh4"));
	assert_string_equal(buf_cstr(&p->results), CLOSED_OK);
	play_free(p);
}

static void a_bare_lf_never_leaves_and_the_content_never_ends(void **state)
{
	static const struct row row = { "",   BARE_LF, 1, 1, PLAIN "250 ok\r\n250 ok\r\n354 go\r\n250 ok\r\n",
					NULL, NULL };
	struct play *p = play_row(&row);
	(void)state;

	assert_null(strstr(buf_cstr(&p->out), "\r\n.\r\n"));
	assert_null(strstr(buf_cstr(&p->out), QUIT));
	assert_string_equal(buf_cstr(&p->results),
			    "permanent/content 0 5.6.0;|closed permanent/content 0 5.6.0");
	play_free(p);
}

static void failure_texts_are_printable_and_kept_per_recipient(void **state)
{
	static const struct row row = {
		"", 0, 1, 2, PLAIN "250 ok\r\n550 5.1.1 no\xe9\r\n450 later\r\n250 reset\r\n" BYE, NULL, NULL
	};
	struct play *p = play_row(&row);
	(void)state;

	assert_true(span_eq(smtp_result_text(&p->storage[0][0]), SPAN_LIT("5.1.1 no\\xE9")));
	assert_true(span_eq(smtp_result_text(&p->storage[0][1]), SPAN_LIT("later")));
	play_free(p);
}

static void timeouts_are_those_of_the_rfc(void **state)
{
	(void)state;
	assert_int_equal(smtp_stage_timeout_ms(SMTP_STAGE_GREETING), 300000);
	assert_int_equal(smtp_stage_timeout_ms(SMTP_STAGE_MAIL), 300000);
	assert_int_equal(smtp_stage_timeout_ms(SMTP_STAGE_RCPT), 300000);
	assert_int_equal(smtp_stage_timeout_ms(SMTP_STAGE_DATA), 120000);
	assert_int_equal(smtp_stage_timeout_ms(SMTP_STAGE_CONTENT), 180000);
	assert_int_equal(smtp_stage_timeout_ms(SMTP_STAGE_FINAL_DOT), 600000);
	for (int i = 0; i < SMTP_STAGE_COUNT; i++)
		assert_true(smtp_stage_timeout_ms((enum smtp_stage)i) > 0);
}

static void stage_names_what_is_waited_for(void **state)
{
	struct buf out = { 0 };
	struct smtp_client_options options = { .out = &out, .local_name = SPAN_LIT("me") };
	struct smtp_result results[2];
	struct smtp_client_message m = { .rcpts = rcpts, .results = results, .rcpt_count = 2 };
	struct smtp_client c;
	size_t used;
	(void)state;

	smtp_client_init(&c, &options);
	assert_int_equal(smtp_client_stage(&c), SMTP_STAGE_GREETING);
	assert_false(smtp_client_is_in_reply(&c));
	smtp_client_feed(&c, SPAN_LIT("220-hi\r\n2"), &used);
	assert_true(smtp_client_is_in_reply(&c));
	assert_int_equal(smtp_client_reply_count(&c), 0);
	smtp_client_feed(&c, SPAN_LIT("20 hi\r\n"), &used);
	assert_false(smtp_client_is_in_reply(&c));
	assert_int_equal(smtp_client_reply_count(&c), 1);
	assert_int_equal(smtp_client_stage(&c), SMTP_STAGE_EHLO);
	smtp_client_feed(&c, SPAN_LIT("250-hi\r\n250 PIPELINING\r\n"), &used);
	assert_int_equal(smtp_client_stage(&c), SMTP_STAGE_IDLE);
	assert_true(smtp_client_extensions(&c) == SMTP_EXT_PIPELINING);
	smtp_client_start(&c, &m);
	assert_int_equal(smtp_client_stage(&c), SMTP_STAGE_MAIL);
	smtp_client_feed(&c, SPAN_LIT("250 ok\r\n"), &used);
	assert_int_equal(smtp_client_stage(&c), SMTP_STAGE_RCPT);
	smtp_client_feed(&c, SPAN_LIT("250 ok\r\n250 ok\r\n"), &used);
	assert_int_equal(smtp_client_stage(&c), SMTP_STAGE_DATA);
	assert_int_equal(smtp_client_feed(&c, SPAN_LIT("354 ok\r\n"), &used), SMTP_CLIENT_SEND_CONTENT);
	assert_int_equal(smtp_client_stage(&c), SMTP_STAGE_CONTENT);
	assert_false(smtp_client_content(&c, SPAN_LIT("x"), true));
	assert_int_equal(smtp_client_stage(&c), SMTP_STAGE_FINAL_DOT);
	assert_true(smtp_client_can_start(&c));
	buf_free(&out);
}

static void dots_are_stuffed_at_any_cut(void **state)
{
	static const struct {
		const char *in, *out;
		bool bare;
	} rows[] = {
		{ "", ".\r\n", false },
		{ ".", "..\r\n.\r\n", false },
		{ ".\r\n", "..\r\n.\r\n", false },
		{ "a\r\n.\r\n.\r\n", "a\r\n..\r\n..\r\n.\r\n", false },
		{ "a.\r\n.b\r\n\r\n", "a.\r\n..b\r\n\r\n.\r\n", false },
		{ "..\r\n", "...\r\n.\r\n", false },
		{ "a\n.\r\n", "a\n.\r\n.\r\n", true },
		{ "a\r.\r\n", "a\r.\r\n.\r\n", true },
		{ "a\r\r\n.", "a\r\r\n..\r\n.\r\n", true },
		{ "a\r", "a\r\r\n.\r\n", true },
		{ "\n", "\n\r\n.\r\n", true },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (size_t step = 1; step < 4; step++) {
			struct span in = span_of(rows[i].in);
			struct stuffing s;
			struct buf out = { 0 };

			stuffing_init(&s);
			for (size_t at = 0; at < in.n; at += step)
				stuffing_add(&s, &out, span_sub(in, at, step));
			stuffing_end(&s, &out);
			assert_string_equal(buf_cstr(&out), rows[i].out);
			assert_int_equal(s.bare_eol, rows[i].bare);
			buf_free(&out);
		}
}

/* ---- extensions: one dialogue each, replies given whole ---- */

struct dialogue {
	const char *name;
	bool lmtp;
	const char *extensions; /* lines of the answer to EHLO, each beginning with "250-" */
	struct smtp_client_message message;
	const char *replies; /* behind EHLO's */
	const char *sent;    /* behind EHLO */
	const char *results;
};

static const struct smtp_client_dsn wishes[2] = {
	{ .notify = SMTP_NOTIFY_SUCCESS | SMTP_NOTIFY_DELAY, .orcpt = { "utf-8;\xc3\xb6@y", 10 } },
	{ .notify = SMTP_NOTIFY_NEVER, .orcpt = { "rfc822;b\r\n@y", 12 } },
};
#define DSN_WISHES .envid = { "E+2B1", 5 }, .ret = SMTP_RET_FULL, .wishes = wishes
#define RA_RB "RCPT TO:<a@y>\r\nRCPT TO:<b@y>\r\n"

static const struct dialogue dialogues[] = {
	{ "DSN wishes go where they are taken",
	  false,
	  "250-DSN\r\n250-PIPELINING\r\n",
	  { DSN_WISHES },
	  "250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n" GOOD BYE,
	  "MAIL FROM:<s@x> RET=FULL ENVID=E+2B1\r\nRCPT TO:<a@y> NOTIFY=SUCCESS,DELAY "
	  "ORCPT=utf-8;\\x{F6}@y\r\n"
	  "RCPT TO:<b@y> NOTIFY=NEVER\r\nDATA\r\n" BODY QUIT,
	  "ok/final-dot 250 2.0.0;ok/final-dot 250 2.0.0;" },
	{ "and nowhere else",
	  false,
	  "250-PIPELINING\r\n",
	  { DSN_WISHES },
	  "250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n" GOOD BYE,
	  MAIL RA_RB "DATA\r\n" BODY QUIT,
	  "ok/final-dot 250 2.0.0;ok/final-dot 250 2.0.0;" },
	{ "a chunk",
	  false,
	  "250-CHUNKING\r\n250-PIPELINING\r\n",
	  { 0 },
	  "250 ok\r\n250 ok\r\n550 5.1.1 no\r\n" GOOD BYE,
	  MAIL RA_RB "BDAT 12 LAST\r\nA: b\r\n\r\n.c\r\n" QUIT,
	  "ok/final-dot 250 2.0.0;permanent/rcpt 550 5.1.1;" },
	{ "a chunk, one by one",
	  false,
	  "250-CHUNKING\r\n",
	  { 0 },
	  "250 ok\r\n250 ok\r\n250 ok\r\n" GOOD BYE,
	  MAIL RA_RB "BDAT 12 LAST\r\nA: b\r\n\r\n.c\r\n" QUIT,
	  "ok/final-dot 250 2.0.0;ok/final-dot 250 2.0.0;" },
	{ "a chunk that fails is followed by RSET",
	  false,
	  "250-CHUNKING\r\n250-PIPELINING\r\n",
	  { 0 },
	  "250 ok\r\n250 ok\r\n250 ok\r\n452 4.3.1 full\r\n250 ok\r\n" BYE,
	  MAIL RA_RB "BDAT 12 LAST\r\nA: b\r\n\r\n.c\r\nRSET\r\n" QUIT,
	  "temporary/final-dot 452 4.3.1;temporary/final-dot 452 4.3.1;" },
	{ "nobody accepted: no chunk",
	  false,
	  "250-CHUNKING\r\n250-PIPELINING\r\n",
	  { 0 },
	  "250 ok\r\n550 no\r\n550 no\r\n250 ok\r\n" BYE,
	  MAIL RA_RB "RSET\r\n" QUIT,
	  "permanent/rcpt 550 5.0.0;permanent/rcpt 550 5.0.0;" },
	{ "binary needs both",
	  false,
	  "250-CHUNKING\r\n",
	  { .content_binary = true },
	  BYE,
	  QUIT,
	  "permanent/mail 0 5.6.3;permanent/mail 0 5.6.3;" },
	{ "UTF-8 needs SMTPUTF8",
	  false,
	  "",
	  { .utf8 = true },
	  BYE,
	  QUIT,
	  "permanent/mail 0 5.6.9;permanent/mail 0 5.6.9;" },
	{ "REQUIRETLS without TLS",
	  false,
	  "250-REQUIRETLS\r\n",
	  { .require_tls = true },
	  BYE,
	  QUIT,
	  "temporary/mail 0 4.7.10;temporary/mail 0 4.7.10;" },
	{ "a notification goes without REQUIRETLS rather than not at all",
	  false,
	  "250-REQUIRETLS\r\n250-PIPELINING\r\n",
	  { .prefer_tls = true },
	  "250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n" GOOD BYE,
	  MAIL RA_RB "DATA\r\n" BODY QUIT,
	  "ok/final-dot 250 2.0.0;ok/final-dot 250 2.0.0;" },
	{ "BY goes along",
	  false,
	  "250-DELIVERBY 60\r\n250-PIPELINING\r\n",
	  { .has_by = true, .by_return = true, .by_trace = true, .by_s = 60 },
	  "250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n" GOOD BYE,
	  "MAIL FROM:<s@x> BY=60;RT\r\n" RA_RB "DATA\r\n" BODY QUIT,
	  "ok/final-dot 250 2.0.0;ok/final-dot 250 2.0.0;" },
	{ "BY with less than the host's minimum",
	  false,
	  "250-DELIVERBY 60\r\n",
	  { .has_by = true, .by_return = true, .by_s = 59 },
	  BYE,
	  QUIT,
	  "permanent/mail 0 5.4.7;permanent/mail 0 5.4.7;" },
	{ "RCPTMAX",
	  false,
	  "250-LIMITS MAILMAX=0 RCPTMAX=1\r\n250-PIPELINING\r\n",
	  { 0 },
	  "250 ok\r\n250 ok\r\n354 go\r\n" GOOD BYE,
	  MAIL "RCPT TO:<a@y>\r\nDATA\r\n" BODY QUIT,
	  "ok/final-dot 250 2.0.0;too-many/rcpt 0 4.5.3;" },
	{ "a parameter of LIMITS that is malformed",
	  false,
	  "250-LIMITS RCPTMAX=1 =5\r\n250-PIPELINING\r\n",
	  { 0 },
	  "250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n" GOOD BYE,
	  MAIL RA_RB "DATA\r\n" BODY QUIT,
	  "ok/final-dot 250 2.0.0;ok/final-dot 250 2.0.0;" },
	{ "LIMITS with a semicolon in it",
	  false,
	  "250-LIMITS RCPTMAX=1;MAILMAX=1\r\n250-LIMITS X_1-a\r\n250-PIPELINING\r\n",
	  { 0 },
	  "250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n" GOOD BYE,
	  MAIL RA_RB "DATA\r\n" BODY QUIT,
	  "ok/final-dot 250 2.0.0;ok/final-dot 250 2.0.0;" },
	{ "no room when MAIL is heard, one by one",
	  false,
	  "250-SIZE 1000\r\n",
	  { 0 },
	  "452 4.3.1 full\r\n250 ok\r\n" BYE,
	  "MAIL FROM:<s@x> SIZE=12\r\nRSET\r\n" QUIT,
	  "temporary/mail 452 4.3.1;temporary/mail 452 4.3.1;" },
	{ "no room when MAIL is heard, in a group",
	  false,
	  "250-PIPELINING\r\n",
	  { 0 },
	  "552 5.3.4 too big\r\n503 no\r\n503 no\r\n503 no\r\n250 ok\r\n" BYE,
	  MAIL RA_RB "DATA\r\nRSET\r\n" QUIT,
	  "permanent/mail 552 5.3.4;permanent/mail 552 5.3.4;" },
	{ "LMTP has a reply for each",
	  true,
	  "250-PIPELINING\r\n",
	  { 0 },
	  "250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n452 4.2.2 full\r\n" GOOD BYE,
	  MAIL RA_RB "DATA\r\n" BODY QUIT,
	  "temporary/final-dot 452 4.2.2;ok/final-dot 250 2.0.0;" },
	{ "LMTP lost between the two",
	  true,
	  "250-PIPELINING\r\n",
	  { 0 },
	  "250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n" GOOD,
	  MAIL RA_RB "DATA\r\n" BODY,
	  "ok/final-dot 250 2.0.0;temporary/final-dot 0 4.4.2?;" },
};

static void hold_dialogue(const struct dialogue *d)
{
	struct smtp_client c;
	struct buf out = { 0 }, in = { 0 }, want = { 0 }, got = { 0 };
	struct smtp_result results[2];
	bool started = false, closed = false, lost = false;

	buf_addf(&in, "220 hi\r\n250-hi\r\n%s250 HELP\r\n%s", d->extensions, d->replies);
	buf_addf(&want, "%s me.example\r\n%s", d->lmtp ? "LHLO" : "EHLO", d->sent);
	smtp_client_init(&c, &(struct smtp_client_options){
				     .out = &out, .local_name = SPAN_LIT("me.example"), .lmtp = d->lmtp });
	while (!closed) {
		size_t used;
		enum smtp_client_wish wish = smtp_client_feed(&c, buf_span(&in), &used);
		buf_consume(&in, used);
		if (wish == SMTP_CLIENT_READY && !started) {
			struct smtp_client_message m = d->message;
			m.reverse_path = SPAN_LIT("s@x");
			m.rcpts = rcpts;
			m.rcpt_count = 2;
			m.results = results;
			m.content_bytes = 12;
			smtp_client_start(&c, &m);
			started = true;
		} else if (wish == SMTP_CLIENT_READY) {
			smtp_client_quit(&c);
		} else if (wish == SMTP_CLIENT_SEND_CONTENT) {
			(void)smtp_client_content(&c, SPAN_LIT("A: b\r\n\r\n.c\r\n"), true);
		} else if (wish == SMTP_CLIENT_DONE) {
			(void)smtp_client_take_done(&c);
			for (int i = 0; i < 2; i++) {
				add_result(&got, &results[i]);
				buf_add_cstr(&got, ";");
			}
		} else if (wish == SMTP_CLIENT_WANT_INPUT) {
			if (lost)
				fail_msg("%s: waits for ever", d->name);
			lost = true;
			smtp_client_lost(&c, SMTP_CLIENT_LOST_EOF, (struct span){ NULL, 0 });
		}
		closed = wish == SMTP_CLIENT_CLOSED;
	}
	if (strcmp(buf_cstr(&out), buf_cstr(&want)) != 0)
		fail_msg("%s: sent\n%s\nwanted\n%s", d->name, buf_cstr(&out), buf_cstr(&want));
	if (strcmp(buf_cstr(&got), d->results) != 0)
		fail_msg("%s: got\n%s\nwanted\n%s", d->name, buf_cstr(&got), d->results);
	buf_free(&out);
	buf_free(&in);
	buf_free(&want);
	buf_free(&got);
}

/* What a connection for messages with REQUIRETLS says of a host (RFC 8689 4.2.1). */
static void a_host_that_cannot_keep_requiretls_is_refused_for_good(void **state)
{
	(void)state;
	static const struct {
		const char *name, *extensions;
		bool verified, handshake, prefer;
		const char *want;
	} rows[] = {
		{ "no STARTTLS", "250-REQUIRETLS\r\n", true, true, false, "permanent/starttls 0 5.7.10" },
		{ "handshake fails", "250-STARTTLS\r\n", true, false, false, "permanent/tls 0 5.7.10" },
		{ "name not verified", "250-STARTTLS\r\n250-REQUIRETLS\r\n", false, true, false,
		  "permanent/ehlo 0 5.7.10" },
		{ "not offered inside", "250-STARTTLS\r\n", true, true, false, "permanent/ehlo 0 5.7.30" },
		{ "kept", "250-STARTTLS\r\n250-REQUIRETLS\r\n", true, true, false,
		  "MAIL FROM:<s@x> REQUIRETLS\r\n" },
		{ "kept for a notification", "250-STARTTLS\r\n250-REQUIRETLS\r\n", true, true, true,
		  "MAIL FROM:<s@x> REQUIRETLS\r\n" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct smtp_client c;
		struct buf out = { 0 }, in = { 0 }, got = { 0 };
		struct smtp_result results[2];
		bool done = false;
		buf_addf(&in, "220 hi\r\n250-hi\r\n%s250 HELP\r\n220 go\r\n", rows[i].extensions);
		smtp_client_init(&c, &(struct smtp_client_options){ .out = &out,
								    .local_name = SPAN_LIT("me.example"),
								    .tls = SMTP_CLIENT_TLS_REQUIRE,
								    .tls_verified = rows[i].verified,
								    .only_require_tls = !rows[i].prefer });
		while (!done) {
			size_t used;
			enum smtp_client_wish wish = smtp_client_feed(&c, buf_span(&in), &used);
			buf_consume(&in, used);
			if (wish == SMTP_CLIENT_START_TLS) {
				smtp_client_tls_done(&c, rows[i].handshake, (struct span){ NULL, 0 });
				buf_addf(&in, "250-hi\r\n%s250 HELP\r\n", rows[i].extensions);
			} else if (wish == SMTP_CLIENT_READY) {
				buf_reset(&out);
				smtp_client_start(
					&c, &(struct smtp_client_message){ .reverse_path = SPAN_LIT("s@x"),
									   .rcpts = rcpts,
									   .rcpt_count = 2,
									   .results = results,
									   .require_tls = !rows[i].prefer,
									   .prefer_tls = rows[i].prefer });
				buf_add(&got, buf_span(&out));
				done = true;
			} else if (wish == SMTP_CLIENT_WANT_INPUT) {
				smtp_client_lost(&c, SMTP_CLIENT_LOST_EOF, (struct span){ NULL, 0 });
			} else if (wish == SMTP_CLIENT_CLOSED) {
				add_result(&got, smtp_client_closed(&c));
				done = true;
			}
		}
		if (strcmp(buf_cstr(&got), rows[i].want) != 0)
			fail_msg("%s: got %s, wanted %s", rows[i].name, buf_cstr(&got), rows[i].want);
		buf_free(&out);
		buf_free(&in);
		buf_free(&got);
	}
}

static void each_extension_is_used_as_its_rfc_has_it(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(dialogues) / sizeof(dialogues[0]); i++)
		hold_dialogue(&dialogues[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(replies_lead_to_the_right_commands_and_results),
		cmocka_unit_test(a_reused_connection_that_dies_costs_no_attempt),
		cmocka_unit_test(pipelined_replies_find_their_commands),
		cmocka_unit_test(tls_follows_the_policy),
		cmocka_unit_test(auth_comes_before_mail_or_there_is_no_mail),
		cmocka_unit_test(a_long_response_waits_for_the_challenge),
		cmocka_unit_test(a_bare_lf_never_leaves_and_the_content_never_ends),
		cmocka_unit_test(failure_texts_are_printable_and_kept_per_recipient),
		cmocka_unit_test(timeouts_are_those_of_the_rfc),
		cmocka_unit_test(stage_names_what_is_waited_for),
		cmocka_unit_test(dots_are_stuffed_at_any_cut),
		cmocka_unit_test(each_extension_is_used_as_its_rfc_has_it),
		cmocka_unit_test(a_host_that_cannot_keep_requiretls_is_refused_for_good),
	};
	return cmocka_run_group_tests_name("smtp_client", tests, NULL, NULL);
}
