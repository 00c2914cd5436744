#include "harness/load/smtp_session.h"

#include "harness/load/smtp_session_impl.h"
#include "harness/wire/base64.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum {
	COMMAND_LINE_BYTES_MAX = 512, /* RFC 5321 section 4.5.3.1.4 */
};

static void on_event(void *ctx, enum conn_event event);

void kept_reply_set(struct kept_reply *k, const struct reply *r)
{
	buf_reset(&k->text);
	buf_add(&k->text, span_sub(buf_span(&r->text), 0, KEPT_REPLY_BYTES_MAX));
	k->code = r->code;
	k->notes = r->notes;
}

static void kept_reply_reset(struct kept_reply *k)
{
	buf_free(&k->text);
	*k = (struct kept_reply){ 0 };
}

void transaction_restart(struct transaction *t)
{
	t->done = false;
	t->answered = false;
	t->outcome = SENDER_NOT_SENT;
	t->stage = SENDER_AT_START;
	t->final_dot_ns = 0;
	t->final_reply_ns = 0;
	t->problem[0] = '\0';
	t->p = (struct progress){ 0 };
	kept_reply_reset(&t->reply);
	for (uint32_t i = 0; i < t->recipient_count; i++)
		kept_reply_reset(&t->recipient_replies[i]);
}

/* ---- ending ---- */
enum sender_outcome session_outcome_of(unsigned reply_digit)
{
	if (reply_digit == 4)
		return SENDER_DEFERRED;
	return reply_digit == 5 ? SENDER_REFUSED : SENDER_NOT_SENT;
}

void session_changed_state(struct smtp_session *s)
{
	s->o->on_change(s->ctx);
}

void session_write(struct smtp_session *s, struct span bytes)
{
	s->written_bytes += bytes.n;
	conn_write(s->conn, bytes);
}

void session_close(struct smtp_session *s, bool politely)
{
	struct conn *c = s->conn;
	s->conn = NULL;
	s->state = SESSION_CLOSED;
	if (c == NULL)
		return;
	if (!politely || s->quit_answered) {
		conn_free(c);
		return;
	}
	if (!s->quit_sent)
		conn_write(c, SPAN_LIT("QUIT\r\n"));
	conn_finish(c);
}

void session_end_transaction(struct smtp_session *s)
{
	struct transaction *t = TAILQ_FIRST(&s->in_flight);
	TAILQ_REMOVE(&s->in_flight, t, link);
	s->in_flight_count--;
	if (s->writing == t)
		s->writing = TAILQ_FIRST(&s->in_flight);
	t->done = true;
}

/* The connection is gone, with so many bytes written in all. */
static void end_unfinished(struct smtp_session *s, uint64_t written_bytes)
{
	struct transaction *t;
	while ((t = TAILQ_FIRST(&s->in_flight)) != NULL) {
		bool left = t->p.final_sent && (t->p.drained || t->p.end_at_bytes <= written_bytes);
		if (!t->p.decided) {
			t->outcome = left ? SENDER_INDETERMINATE : SENDER_NOT_SENT;
			t->stage = left ? SENDER_AT_CONTENT : t->stage;
		}
		memcpy(t->problem, s->problem, sizeof(t->problem));
		session_end_transaction(s);
	}
}

void session_fail(struct smtp_session *s, bool politely, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(s->problem, sizeof(s->problem), fmt, ap);
	va_end(ap);
	uint64_t written_bytes = s->conn != NULL ? conn_written_bytes(s->conn) : 0;
	session_close(s, politely);
	end_unfinished(s, written_bytes);
	session_changed_state(s);
}

static bool is_login_stage(enum sender_stage stage)
{
	return stage == SENDER_AT_STARTTLS || stage == SENDER_AT_AUTH;
}

void session_explain(const struct smtp_session *s, struct transaction *t)
{
	assert(s->state == SESSION_CLOSED);
	t->stage = s->stage;
	memcpy(t->problem, s->problem, sizeof(t->problem));
	t->reply.code = s->reply.code;
	t->reply.notes = s->reply.notes;
	buf_reset(&t->reply.text);
	buf_add(&t->reply.text, buf_span(&s->reply.text));
	t->outcome = is_login_stage(s->stage) ? SENDER_NOT_SENT : session_outcome_of(s->reply.code / 100u);
	t->done = true;
}

/* A reply that ends the session before it was ready. */
static void refuse(struct smtp_session *s, const char *what)
{
	const struct reply *r = &s->replies.reply;
	kept_reply_set(&s->reply, r);
	session_fail(s, true, "%s: %u %.*s", what, r->code, SPAN_FMT(span_sub(reply_line(r, 0), 0, 200)));
}

/* ---- until it is ready ---- */
static const char *hello_verb(const struct smtp_session *s)
{
	if (s->o->lmtp)
		return "LHLO";
	return s->helo_tried ? "HELO" : "EHLO";
}

static void say_hello(struct smtp_session *s)
{
	struct buf line = { 0 };
	buf_addf(&line, "%s %s\r\n", hello_verb(s), s->o->ehlo_name);
	s->stage = SENDER_AT_HELLO;
	session_write(s, buf_span(&line));
	buf_free(&line);
}

static void ready(struct smtp_session *s)
{
	s->state = SESSION_READY;
	s->ready_ns = clock_mono_ns();
	session_changed_state(s);
}

static void write_secret(struct smtp_session *s, struct buf *line)
{
	buf_add_cstr(line, "\r\n");
	session_write(s, buf_span(line));
	explicit_bzero(line->p, line->room);
	buf_free(line);
}

static void begin_login(struct smtp_session *s)
{
	const struct access *a = &s->o->access;
	struct err err;
	s->stage = SENDER_AT_AUTH;
	s->sasl = sasl_new(a->mechanism, buf_span(&s->mechanisms), a->user, a->password, &err);
	if (s->sasl == NULL) {
		session_fail(s, true, "login: %s", err.text);
		return;
	}
	struct buf line = { 0 }, response = { 0 };
	buf_addf(&line, "AUTH %s", sasl_name(s->sasl));
	/* An initial response that makes the line too long must not be used (RFC 4954 section 4). */
	size_t room = (COMMAND_LINE_BYTES_MAX - 3 - buf_bytes(&line)) / 4 * 3;
	bool fits = strlen(a->user) * 3 + strlen(a->password) + 64 < room;
	if (fits && sasl_initial(s->sasl, &response)) {
		buf_add_cstr(&line, " ");
		if (buf_bytes(&response) == 0)
			buf_add_cstr(&line, "=");
		base64_encode(buf_span(&response), &line);
	}
	buf_free(&response);
	write_secret(s, &line);
}

static void answer_challenge(struct smtp_session *s)
{
	struct buf challenge = { 0 }, response = { 0 }, line = { 0 };
	struct err err;
	bool readable = base64_decode(span_trim(reply_line(&s->replies.reply, 0)), &challenge);
	/* LOGIN's challenges are prompts for people; some servers do not encode them properly. */
	bool prompt = strcmp(sasl_name(s->sasl), "LOGIN") == 0;
	int rc = -1;
	if (!readable && !prompt)
		(void)err_set(&err, rc, "the challenge is not base64");
	else
		rc = sasl_step(s->sasl, buf_span(&challenge), &response, &err);
	if (rc == 0)
		base64_encode(buf_span(&response), &line);
	buf_free(&challenge);
	buf_free(&response);
	if (rc == 0) {
		write_secret(s, &line);
		return;
	}
	buf_free(&line);
	session_fail(s, false, "login: %s", err.text);
}

static void login_reply(struct smtp_session *s)
{
	unsigned digit = reply_class(&s->replies.reply);
	if (digit == 3) {
		answer_challenge(s);
	} else if (digit != 2) {
		refuse(s, "login refused");
	} else if (!sasl_is_complete(s->sasl)) {
		session_fail(s, true, "login: the server did not prove that it knows the password");
	} else {
		s->logged_in = true;
		ready(s);
	}
}

static void read_offers(struct smtp_session *s)
{
	const struct reply *r = &s->replies.reply;
	struct span mechanisms = { 0 };
	s->esmtp = !s->helo_tried;
	s->pipelining = s->esmtp && !s->o->no_pipelining && reply_offers(r, SPAN_LIT("PIPELINING"), NULL);
	s->chunking = s->esmtp && s->o->chunking && reply_offers(r, SPAN_LIT("CHUNKING"), NULL);
	s->eight_bit = s->esmtp && reply_offers(r, SPAN_LIT("8BITMIME"), NULL);
	s->starttls = s->esmtp && reply_offers(r, SPAN_LIT("STARTTLS"), NULL);
	buf_reset(&s->mechanisms);
	if (s->esmtp && reply_offers(r, SPAN_LIT("AUTH"), &mechanisms))
		buf_add(&s->mechanisms, mechanisms);
}

static void hello_reply(struct smtp_session *s)
{
	const struct access *a = &s->o->access;
	unsigned digit = reply_class(&s->replies.reply);
	if (digit == 5 && !s->helo_tried && !s->o->lmtp && a->tls != ACCESS_STARTTLS && a->user == NULL) {
		s->helo_tried = true;
		say_hello(s);
		return;
	}
	if (digit != 2) {
		refuse(s, s->o->lmtp ? "LHLO refused" : "EHLO refused");
		return;
	}
	read_offers(s);
	if (a->tls == ACCESS_STARTTLS && !conn_is_tls(s->conn)) {
		s->stage = SENDER_AT_STARTTLS;
		if (s->starttls)
			session_write(s, SPAN_LIT("STARTTLS\r\n"));
		else
			session_fail(s, true, "STARTTLS is not offered");
	} else if (a->user != NULL && !s->logged_in) {
		begin_login(s);
	} else {
		ready(s);
	}
}

static void starttls_reply(struct smtp_session *s)
{
	if (reply_class(&s->replies.reply) != 2) {
		refuse(s, "STARTTLS refused");
		return;
	}
	const struct access *a = &s->o->access;
	(void)conn_start_tls(s->conn, a->tls_ctx, CONN_TLS_CLIENT, a->server_name);
}

static void greeting_reply(struct smtp_session *s)
{
	if (reply_class(&s->replies.reply) == 2)
		say_hello(s);
	else
		refuse(s, "greeting");
}

/* ---- events ---- */
static void drained(struct smtp_session *s)
{
	struct transaction *t;
	TAILQ_FOREACH (t, &s->in_flight, link) {
		if (!t->p.content_sent)
			return;
		if (!t->p.final_sent || t->p.drained)
			continue;
		t->p.drained = true;
		t->final_dot_ns = clock_mono_ns();
	}
}

static void one_reply(struct smtp_session *s)
{
	switch (s->state) {
	case SESSION_READY:
		s->quit_answered = s->quit_sent;
		/* Otherwise unasked, 421 most likely; whatever it is, order is lost. */
		session_close(s, false);
		session_changed_state(s);
		return;
	case SESSION_BUSY:
		session_transaction_reply(s);
		return;
	case SESSION_CLOSED:
		return;
	case SESSION_OPENING:
		break;
	}
	if (s->stage == SENDER_AT_GREETING)
		greeting_reply(s);
	else if (s->stage == SENDER_AT_HELLO)
		hello_reply(s);
	else if (s->stage == SENDER_AT_STARTTLS)
		starttls_reply(s);
	else if (s->stage == SENDER_AT_AUTH)
		login_reply(s);
	else
		session_fail(s, false, "the server spoke before its turn");
}

static void read_replies(struct smtp_session *s)
{
	while (s->conn != NULL) {
		struct span in = conn_input(s->conn);
		if (in.n == 0)
			return;
		bool done;
		/* Consumed first, for an answer may start TLS, which drops what is left. */
		size_t n = reply_read(&s->replies, in, &done);
		conn_consume(s->conn, n);
		if (done)
			one_reply(s);
	}
}

static void secured(struct smtp_session *s)
{
	if (s->o->access.tls == ACCESS_STARTTLS)
		say_hello(s);
	else
		s->stage = SENDER_AT_GREETING;
}

static void on_event(void *ctx, enum conn_event event)
{
	struct smtp_session *s = ctx;
	switch (event) {
	case CONN_CONNECTED:
		s->stage = SENDER_AT_GREETING;
		break;
	case CONN_SECURED:
		secured(s);
		break;
	case CONN_INPUT:
		read_replies(s);
		break;
	case CONN_DRAINED:
		drained(s);
		break;
	case CONN_EOF:
		session_fail(s, false, "the server closed the connection");
		break;
	case CONN_TIMEOUT:
		if (s->state != SESSION_READY)
			session_fail(s, false, "no answer within %lld ms", (long long)s->o->reply_timeout_ms);
		break;
	case CONN_FAILED:
		session_fail(s, false, "%s", conn_error(s->conn)->text);
		break;
	}
}

struct smtp_session *session_open(const struct session_options *o, void *ctx)
{
	struct smtp_session *s = calloc(1, sizeof(*s));
	if (s == NULL)
		abort();
	s->o = o;
	s->ctx = ctx;
	TAILQ_INIT(&s->in_flight);
	s->stage = SENDER_AT_CONNECT;
	s->conn = conn_connect(&(struct conn_options){ .loop = o->loop, .on_event = on_event, .ctx = s },
			       &o->access.server, o->access.bind_to);
	if (o->access.tls == ACCESS_TLS)
		(void)conn_start_tls(s->conn, o->access.tls_ctx, CONN_TLS_CLIENT, o->access.server_name);
	conn_set_timeout_ms(s->conn, o->reply_timeout_ms);
	return s;
}

enum session_state session_state(const struct smtp_session *s)
{
	return s->state;
}

int64_t session_ready_ns(const struct smtp_session *s)
{
	return s->ready_ns;
}

uint32_t session_room(const struct smtp_session *s)
{
	if ((s->state != SESSION_READY && s->state != SESSION_BUSY) || s->closing)
		return 0;
	uint32_t max = s->pipelining ? s->o->in_flight_max : 1;
	if (s->o->one_only && s->transaction_count > 0)
		return 0;
	return s->in_flight_count < max ? max - s->in_flight_count : 0;
}

void session_free(struct smtp_session *s)
{
	if (s == NULL)
		return;
	session_close(s, s->state == SESSION_READY);
	reply_reader_free(&s->replies);
	buf_free(&s->out);
	buf_free(&s->mechanisms);
	buf_free(&s->reply.text);
	sasl_free(s->sasl);
	free(s);
}
