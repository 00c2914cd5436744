/*
 * smtp_conversation: whole conversations with smtp_server, for tests.  Each is played
 * whole, byte by byte and in odd steps, and must give the same transcript: replies by
 * their codes, wishes by name with the facts the driver would read.
 */
#ifndef SMTP_CONVERSATION_H
#define SMTP_CONVERSATION_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "reference-server/core/smtp_server.h"

static const struct smtp_server_config relay = {
	.host = { "mx.example", 10 },
	.role = SMTP_ROLE_RELAY,
	.size_bytes_max = 1000,
	.rcpt_count_max = 3,
	.received_count_max = 3,
	.error_count_max = 6,
	.offer_starttls = true,
};

static const struct smtp_server_config submission = {
	.host = { "mx.example", 10 },
	.role = SMTP_ROLE_SUBMISSION,
	.rcpt_count_max = 100,
	.received_count_max = 100,
	.offer_starttls = true,
	.mechanisms_clear = { "SCRAM-SHA-256", 13 },
	.mechanisms_tls = { "SCRAM-SHA-256 PLAIN LOGIN", 25 },
};

static const struct smtp_server_config strict_submission = {
	.host = { "mx.example", 10 },
	.role = SMTP_ROLE_SUBMISSION,
	.rcpt_count_max = 100,
	.received_count_max = 100,
	.strict_submission = true,
	.mechanisms_clear = { "SCRAM-SHA-256", 13 },
};

static const struct smtp_server_config tls_only = {
	.host = { "mx.example", 10 },
	.role = SMTP_ROLE_RELAY,
	.rcpt_count_max = 100,
	.received_count_max = 100,
	.offer_starttls = true,
	.require_tls = true,
};

static const struct smtp_server_config lmtp = {
	.host = { "mx.example", 10 },
	.role = SMTP_ROLE_LMTP,
	.size_bytes_max = 1000,
	.rcpt_count_max = 3,
	.received_count_max = 3,
	.offer_starttls = true,
};

static const struct smtp_server_config lax = {
	.host = { "mx.example", 10 },
	.role = SMTP_ROLE_RELAY,
	.header_bytes_max = 20,
	.rcpt_count_max = 100,
	.received_count_max = 100,
	.accept_bare_eol = true,
};

/* ---- the driver in small --------------------------------------------------- */

struct conversation {
	struct smtp_server s;
	struct buf transcript;
	struct buf content;
	size_t step;
	bool closed;
	bool full_replies; /* whole lines instead of codes */
	bool show_groups;  /* SMTP_WISH_SYNC */
};

static inline void note(struct conversation *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static inline void note(struct conversation *c, const char *fmt, ...)
{
	va_list ap;

	if (buf_bytes(&c->transcript) > 0)
		buf_add_cstr(&c->transcript, c->full_replies ? "\n" : " ");
	va_start(ap, fmt);
	buf_vaddf(&c->transcript, fmt, ap);
	va_end(ap);
}

/* "250-..." is skipped, "250 2.1.0 text" becomes "250/2.1.0". */
static inline void record_emit(void *ctx, struct span line)
{
	struct conversation *c = ctx;
	struct span text;

	assert_true(line.n >= 6);
	assert_true(span_ends_nocase(line, SPAN_LIT("\r\n")));
	assert_int_equal(span_find(line, '\r'), line.n - 2);
	assert_true(line.p[3] == ' ' || line.p[3] == '-');
	line.n -= 2;
	if (c->full_replies) {
		note(c, "%.*s", SPAN_FMT(line));
		return;
	}
	if (line.p[3] == '-')
		return;
	struct span rest = span_sub(line, 4, line.n);
	if (span_take_until(&rest, ' ', &text) && text.n > 2 && text.p[1] == '.')
		note(c, "%.3s/%.*s", line.p, SPAN_FMT(text));
	else if (line.p[0] == '3' && line.p[1] == '3')
		note(c, "%.*s", SPAN_FMT(line));
	else
		note(c, "%.3s", line.p);
}

static inline void answer_auth(struct conversation *c)
{
	struct smtp_server *s = &c->s;

	if (!s->auth_response_given)
		smtp_server_auth_challenge(s, (struct span){ NULL, 0 });
	else if (span_eq(s->auth_response, SPAN_LIT("Z29vZA==")))
		smtp_server_auth_succeed(s, SPAN_LIT("fred@mx.example"));
	else if (span_eq(s->auth_response, SPAN_LIT("bW9yZQ==")))
		smtp_server_auth_challenge(s, SPAN_LIT("Y2hhbGxlbmdl"));
	else if (span_eq(s->auth_response, SPAN_LIT("bGF0ZXI=")))
		smtp_server_auth_fail(s, SMTP_AUTH_TEMPORARY);
	else
		smtp_server_auth_fail(s, SMTP_AUTH_BAD_CREDENTIALS);
}

static inline void serve_mail(struct conversation *c)
{
	static const char *const bodies[] = { "", " 7bit", " 8bit", " binary" };
	struct smtp_server *s = &c->s;
	struct span from = s->reverse_path;

	note(c, "MAIL(%.*s %llu%s)", SPAN_FMT(from), (unsigned long long)s->size_declared_bytes,
	     bodies[s->body]);
	smtp_server_answer_mail(s, span_starts_nocase(from, SPAN_LIT("fast@")) ? SMTP_ANSWER_TOO_FAST
									       : SMTP_ANSWER_ACCEPT);
}

static inline void serve_rcpt(struct conversation *c)
{
	struct smtp_server *s = &c->s;
	struct span to = s->forward_path;

	note(c, "RCPT(%.*s)", SPAN_FMT(to));
	if (span_starts_nocase(to, SPAN_LIT("nobody@")))
		smtp_server_answer_rcpt(s, SMTP_ANSWER_NO_SUCH_MAILBOX);
	else if (span_starts_nocase(to, SPAN_LIT("later@")))
		smtp_server_answer_rcpt(s, SMTP_ANSWER_LOOKUP_FAILED);
	else
		smtp_server_answer_rcpt(s, SMTP_ANSWER_ACCEPT);
}

static inline void serve_content(struct conversation *c)
{
	struct smtp_server *s = &c->s;

	assert_true(s->run.n > 0);
	if (span_starts_nocase(s->reverse_path, SPAN_LIT("full@")))
		smtp_server_refuse_content(s, SMTP_ANSWER_STORAGE_FULL);
	else
		buf_add(&c->content, s->run);
}

/* False when the driver has to wait for input, for TLS, or to close. */
static inline bool serve(struct conversation *c, enum smtp_wish wish)
{
	struct smtp_server *s = &c->s;

	switch (wish) {
	case SMTP_WISH_INPUT:
		return false;
	case SMTP_WISH_MAIL:
		serve_mail(c);
		return true;
	case SMTP_WISH_RCPT:
		serve_rcpt(c);
		return true;
	case SMTP_WISH_VERIFY: /* test_smtp_extensions */
		break;
	case SMTP_WISH_CONTENT:
		serve_content(c);
		return true;
	case SMTP_WISH_MESSAGE:
		assert_int_equal(smtp_server_final_reply_count(s),
				 s->config->role == SMTP_ROLE_LMTP ? s->rcpt_count : 1);
		note(c, "MESSAGE(%.*s to %u: %.*s)", SPAN_FMT(s->reverse_path), s->rcpt_count,
		     SPAN_FMT(buf_span(&c->content)));
		buf_reset(&c->content);
		return true;
	case SMTP_WISH_MESSAGE_REFUSED:
		note(c, "REFUSED(%.*s)", SPAN_FMT(buf_span(&c->content)));
		buf_reset(&c->content);
		return true;
	case SMTP_WISH_RESET:
		note(c, "RESET");
		return true;
	case SMTP_WISH_AUTH:
		note(c, "AUTH(%.*s %s%.*s)", SPAN_FMT(s->auth_mechanism), s->auth_response_given ? "+" : "-",
		     SPAN_FMT(s->auth_response));
		answer_auth(c);
		return true;
	case SMTP_WISH_AUTH_STEP:
		note(c, "STEP(%.*s)", SPAN_FMT(s->auth_response));
		answer_auth(c);
		return true;
	case SMTP_WISH_AUTH_CANCELLED:
		note(c, "CANCELLED");
		return true;
	case SMTP_WISH_SYNC:
		if (c->show_groups)
			note(c, "SYNC");
		return true;
	case SMTP_WISH_STARTTLS:
		note(c, "STARTTLS");
		return false;
	case SMTP_WISH_CLOSE:
		note(c, "CLOSE");
		c->closed = true;
		return false;
	}
	fail_msg("no such wish: %d", (int)wish);
	return false;
}

/* Plays all of input, or up to the STARTTLS or CLOSE that makes the driver stop reading it. */
static inline void play(struct conversation *c, struct span input)
{
	size_t used = 0;
	size_t have = 0;
	bool waiting = true;
	enum smtp_wish wish = SMTP_WISH_INPUT;

	while (!c->closed && wish != SMTP_WISH_STARTTLS && !(waiting && have == input.n)) {
		if (waiting)
			have = c->step < input.n - have ? have + c->step : input.n;
		size_t n = have - used;
		size_t used_now = SIZE_MAX;
		char *window = malloc(n + (n == 0));
		assert_non_null(window);
		memcpy(window, input.p + used, n);
		wish = smtp_server_feed(&c->s, (struct span){ window, n }, &used_now);
		assert_true(used_now <= n);
		used += used_now;
		waiting = !serve(c, wish);
		assert_true(wish != SMTP_WISH_INPUT || n - used_now < SMTP_INPUT_BYTES_MAX);
		free(window);
	}
}

static inline void begin(struct conversation *c, const struct smtp_server_config *config, size_t step,
			 bool tls)
{
	*c = (struct conversation){ .step = step };
	smtp_server_init(&c->s, config, (struct smtp_output){ .emit = record_emit, .ctx = c }, tls);
	assert_true(step > 0);
}

static inline void end(struct conversation *c)
{
	buf_free(&c->transcript);
	buf_free(&c->content);
}

static const size_t steps[] = { SIZE_MAX, 1, 2, 3, 7, 64 };
enum { STEPS = sizeof(steps) / sizeof(steps[0]) };

/* What client says brings this about, at every split. */
static inline void expect(const char *name, const struct smtp_server_config *config, struct buf *client,
			  const char *transcript)
{
	for (size_t k = 0; k < STEPS; k++) {
		struct conversation c;
		begin(&c, config, steps[k], false);
		play(&c, buf_span(client));
		if (strcmp(buf_cstr(&c.transcript), transcript) != 0)
			fail_msg("%s, step %zu: '%.300s', not '%.300s'", name, steps[k],
				 buf_cstr(&c.transcript), transcript);
		end(&c);
	}
	buf_reset(client);
}

/* ---- conversations --------------------------------------------------------- */

struct row {
	const char *name;
	const struct smtp_server_config *config;
	struct span client;
	struct span after_tls; /* played once STARTTLS is done */
	const char *transcript;
	enum smtp_state end;
};

static inline void check_row(const struct row *row, size_t step)
{
	struct conversation c;

	begin(&c, row->config, step, false);
	play(&c, row->client);
	if (row->after_tls.n > 0) {
		assert_int_equal(c.s.state, SMTP_STATE_TLS);
		smtp_server_tls_started(&c.s);
		assert_true(c.s.tls && !c.s.esmtp && !c.s.authenticated);
		assert_int_equal(c.s.helo.n + c.s.identity.n + c.s.reverse_path.n, 0);
		play(&c, row->after_tls);
	}
	if (strcmp(buf_cstr(&c.transcript), row->transcript) != 0 || c.s.state != row->end)
		fail_msg("%s, step %zu, ends %s:\n got '%s'\nwant '%s'", row->name, step,
			 smtp_state_name(c.s.state), buf_cstr(&c.transcript), row->transcript);
	end(&c);
}

static inline void check_rows(const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++)
		for (size_t k = 0; k < STEPS; k++)
			check_row(&rows[i], steps[k]);
}

#define CHECK_ROWS(rows) check_rows(rows, sizeof(rows) / sizeof((rows)[0]))
#define S(s)                        \
	{                           \
		"" s, sizeof(s) - 1 \
	}
#define NONE            \
	{               \
		NULL, 0 \
	}
#define HELLO "EHLO c.example\r\n"
#define MAIL "MAIL FROM:<a@b>\r\n"
#define RCPT "RCPT TO:<x@y>\r\n"
#define TO_DATA HELLO MAIL RCPT "DATA\r\n"
/* What TO_DATA gives. */
#define AT_DATA "250 MAIL(a@b 0) 250/2.1.0 RCPT(x@y) 250/2.1.5 354"

#define AT_RCPT "250 MAIL(a@b 0) 250/2.1.0 RCPT(x@y) 250/2.1.5"
#define TO_RCPT HELLO MAIL RCPT

#endif
