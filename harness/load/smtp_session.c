#include "harness/load/smtp_session.h"

#include "base/conn.h"
#include "harness/load/sasl.h"
#include "harness/wire/base64.h"
#include "harness/wire/dots.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum {
	COMMAND_LINE_BYTES_MAX = 512, /* RFC 5321 section 4.5.3.1.4 */
};

struct smtp_session {
	const struct session_options *o;
	struct conn *conn;
	struct reply_reader replies;
	enum session_state state;
	enum sender_stage stage;
	int64_t ready_ns;
	uint32_t transaction_count;
	/* what the server offered at the last EHLO */
	bool esmtp;
	bool helo_tried;
	bool pipelining;
	bool eight_bit;
	bool starttls;
	struct buf mechanisms;
	struct sasl *sasl;
	bool logged_in;
	/* the transaction: commands are numbered, RSET first where one is needed */
	struct transaction *t;
	bool needs_reset;
	uint32_t sent;     /* commands */
	uint32_t answered; /* of these */
	bool mail_ok;
	uint32_t rcpt_ok_count;
	bool decided;    /* t->reply and t->outcome hold */
	bool final_sent; /* the final dot was handed to the connection ... */
	bool drained;    /* ... and by it to the kernel */
	/* why it closed before it was ready */
	struct kept_reply reply;
	char problem[PROBLEM_CHARS_MAX];
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
	kept_reply_reset(&t->reply);
	for (uint32_t i = 0; i < t->recipient_count; i++)
		kept_reply_reset(&t->recipient_replies[i]);
}

/* ---- ending ---- */
static enum sender_outcome outcome_of(unsigned reply_digit)
{
	if (reply_digit == 4)
		return SENDER_DEFERRED;
	return reply_digit == 5 ? SENDER_REFUSED : SENDER_NOT_SENT;
}

static void changed(struct smtp_session *s)
{
	s->o->on_change(s->o->ctx, s);
}

static void close_conn(struct smtp_session *s, bool politely)
{
	struct conn *c = s->conn;
	s->conn = NULL;
	s->state = SESSION_CLOSED;
	if (c == NULL)
		return;
	if (!politely) {
		conn_free(c);
		return;
	}
	conn_write(c, SPAN_LIT("QUIT\r\n"));
	conn_finish(c);
}

/* The transaction's results are in; t is the caller's again. */
static void end_transaction(struct smtp_session *s)
{
	struct transaction *t = s->t;
	s->t = NULL;
	t->stage = s->stage;
	t->done = true;
}

__attribute__((format(printf, 3, 4))) static void fail(struct smtp_session *s, bool politely, const char *fmt,
						       ...)
{
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(s->problem, sizeof(s->problem), fmt, ap);
	va_end(ap);
	close_conn(s, politely);
	if (s->t != NULL) {
		struct transaction *t = s->t;
		if (!s->decided)
			t->outcome = s->final_sent && s->drained ? SENDER_INDETERMINATE : SENDER_NOT_SENT;
		memcpy(t->problem, s->problem, sizeof(t->problem));
		end_transaction(s);
	}
	changed(s);
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
	t->outcome = is_login_stage(s->stage) ? SENDER_NOT_SENT : outcome_of(s->reply.code / 100u);
	t->done = true;
}

/* A reply that ends the session before it was ready. */
static void refuse(struct smtp_session *s, const char *what)
{
	const struct reply *r = &s->replies.reply;
	kept_reply_set(&s->reply, r);
	fail(s, true, "%s: %u %.*s", what, r->code, SPAN_FMT(span_sub(reply_line(r, 0), 0, 200)));
}

/* ---- until it is ready ---- */
static void say_hello(struct smtp_session *s)
{
	struct buf line = { 0 };
	buf_addf(&line, "%s %s\r\n", s->helo_tried ? "HELO" : "EHLO", s->o->ehlo_name);
	s->stage = SENDER_AT_HELLO;
	conn_write(s->conn, buf_span(&line));
	buf_free(&line);
}

static void ready(struct smtp_session *s)
{
	s->state = SESSION_READY;
	s->ready_ns = clock_mono_ns();
	changed(s);
}

static void write_secret(struct smtp_session *s, struct buf *line)
{
	buf_add_cstr(line, "\r\n");
	conn_write(s->conn, buf_span(line));
	memset(line->p, 0, line->room);
	buf_free(line);
}

static void begin_login(struct smtp_session *s)
{
	const struct access *a = &s->o->access;
	struct err err;
	s->stage = SENDER_AT_AUTH;
	s->sasl = sasl_new(a->mechanism, buf_span(&s->mechanisms), a->user, a->password, &err);
	if (s->sasl == NULL) {
		fail(s, true, "login: %s", err.text);
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
	fail(s, false, "login: %s", err.text);
}

static void login_reply(struct smtp_session *s)
{
	unsigned digit = reply_class(&s->replies.reply);
	if (digit == 3) {
		answer_challenge(s);
	} else if (digit != 2) {
		refuse(s, "login refused");
	} else if (!sasl_is_complete(s->sasl)) {
		fail(s, true, "login: the server did not prove that it knows the password");
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
	if (digit == 5 && !s->helo_tried && a->tls != ACCESS_STARTTLS && a->user == NULL) {
		s->helo_tried = true;
		say_hello(s);
		return;
	}
	if (digit != 2) {
		refuse(s, "EHLO refused");
		return;
	}
	read_offers(s);
	if (a->tls == ACCESS_STARTTLS && !conn_is_tls(s->conn)) {
		s->stage = SENDER_AT_STARTTLS;
		if (s->starttls)
			conn_write(s->conn, SPAN_LIT("STARTTLS\r\n"));
		else
			fail(s, true, "STARTTLS is not offered");
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

/* ---- a transaction ---- */
enum command { COMMAND_RSET, COMMAND_MAIL, COMMAND_RCPT, COMMAND_DATA };

static enum command command_at(const struct smtp_session *s, uint32_t n, uint32_t *ret_recipient)
{
	if (s->needs_reset && n == 0)
		return COMMAND_RSET;
	n -= s->needs_reset ? 1 : 0;
	if (n == 0)
		return COMMAND_MAIL;
	*ret_recipient = n - 1;
	return n <= s->t->recipient_count ? COMMAND_RCPT : COMMAND_DATA;
}

static void add_mail(const struct smtp_session *s, struct buf *b)
{
	struct span args = s->t->mail_args;
	bool body = span_starts_nocase(args, SPAN_LIT("BODY="));
	buf_addf(b, "MAIL FROM:<%.*s>", SPAN_FMT(s->t->reverse_path));
	if (args.n > 0 && s->esmtp && (!body || s->eight_bit))
		buf_addf(b, " %.*s", SPAN_FMT(args));
	buf_add_cstr(b, "\r\n");
}

/* Adds the next command; returns false when that was DATA. */
static bool add_command(struct smtp_session *s, struct buf *b)
{
	uint32_t recipient = 0;
	switch (command_at(s, s->sent++, &recipient)) {
	case COMMAND_RSET:
		buf_add_cstr(b, "RSET\r\n");
		return true;
	case COMMAND_MAIL:
		add_mail(s, b);
		return true;
	case COMMAND_RCPT:
		buf_addf(b, "RCPT TO:<%.*s>\r\n", SPAN_FMT(s->t->recipients[recipient]));
		return true;
	case COMMAND_DATA:
		buf_add_cstr(b, "DATA\r\n");
		return false;
	}
	return false;
}

static void send_commands(struct smtp_session *s)
{
	struct buf b = { 0 };
	while (add_command(s, &b) && s->pipelining)
		;
	conn_write(s->conn, buf_span(&b));
	buf_free(&b);
}

void session_begin(struct smtp_session *s, struct transaction *t)
{
	assert(s->state == SESSION_READY);
	assert(t->recipient_count > 0);
	s->state = SESSION_BUSY;
	s->stage = SENDER_AT_MAIL;
	s->transaction_count++;
	s->t = t;
	s->sent = 0;
	s->answered = 0;
	s->mail_ok = false;
	s->rcpt_ok_count = 0;
	s->decided = false;
	s->final_sent = false;
	s->drained = false;
	send_commands(s);
}

static void decide(struct smtp_session *s, const struct kept_reply *k, enum sender_outcome outcome)
{
	struct transaction *t = s->t;
	t->outcome = outcome;
	if (k != &t->reply) {
		buf_reset(&t->reply.text);
		buf_add(&t->reply.text, buf_span(&k->text));
		t->reply.code = k->code;
		t->reply.notes = k->notes;
	}
	s->decided = true;
}

static void decide_by_reply(struct smtp_session *s)
{
	kept_reply_set(&s->t->reply, &s->replies.reply);
	decide(s, &s->t->reply, outcome_of(reply_class(&s->replies.reply)));
}

/* All recipients were refused: one that may be tried again decides, for then the message may be. */
static void decide_by_recipients(struct smtp_session *s)
{
	const struct kept_reply *k = NULL;
	for (uint32_t i = 0; i < s->t->recipient_count; i++) {
		const struct kept_reply *r = &s->t->recipient_replies[i];
		if (k == NULL || (r->code / 100 == 4 && k->code / 100 != 4))
			k = r;
	}
	decide(s, k, outcome_of(k->code / 100u));
}

static void finish_transaction(struct smtp_session *s)
{
	end_transaction(s);
	s->state = SESSION_READY;
	changed(s);
}

static void send_content(struct smtp_session *s)
{
	struct dots_writer w = { 0 };
	struct buf wire = { 0 };
	bool empty = s->decided; /* nobody takes it: RFC 2920 section 3.1 wants a lone dot all the same */
	if (!empty)
		dots_write(&w, s->t->content, &wire);
	dots_write_end(&w, &wire);
	if (!empty)
		s->stage = SENDER_AT_CONTENT;
	s->final_sent = !empty;
	s->t->final_dot_ns = empty ? 0 : clock_mono_ns();
	conn_write(s->conn, buf_span(&wire));
	buf_free(&wire);
}

static void mail_reply(struct smtp_session *s)
{
	s->t->answered = true;
	s->mail_ok = reply_class(&s->replies.reply) == 2;
	if (s->mail_ok)
		s->stage = SENDER_AT_RCPT;
	else
		decide_by_reply(s);
}

static void rcpt_reply(struct smtp_session *s, uint32_t recipient)
{
	kept_reply_set(&s->t->recipient_replies[recipient], &s->replies.reply);
	s->rcpt_ok_count += reply_class(&s->replies.reply) == 2 ? 1 : 0;
	if (s->decided || recipient + 1 < s->t->recipient_count)
		return;
	if (s->rcpt_ok_count == 0)
		decide_by_recipients(s);
	else
		s->stage = SENDER_AT_DATA;
}

static void data_reply(struct smtp_session *s)
{
	if (reply_class(&s->replies.reply) == 3) {
		send_content(s);
		return;
	}
	if (!s->decided)
		decide_by_reply(s);
	s->needs_reset = s->mail_ok;
	finish_transaction(s);
}

static void final_reply(struct smtp_session *s)
{
	struct transaction *t = s->t;
	s->needs_reset = false;
	if (!s->final_sent) { /* the lone dot's */
		finish_transaction(s);
		return;
	}
	s->stage = SENDER_AT_FINAL_REPLY;
	t->final_reply_ns = clock_mono_ns();
	decide_by_reply(s);
	if (reply_class(&s->replies.reply) == 2)
		t->outcome = SENDER_ACCEPTED;
	finish_transaction(s);
}

/* One of the commands up to DATA was answered. */
static void command_reply(struct smtp_session *s)
{
	uint32_t recipient = 0;
	enum command command = command_at(s, s->answered++, &recipient);
	unsigned digit = reply_class(&s->replies.reply);
	switch (command) {
	case COMMAND_RSET:
		if (digit != 2) {
			fail(s, true, "RSET refused: %u", s->replies.reply.code);
			return;
		}
		break;
	case COMMAND_MAIL:
		mail_reply(s);
		break;
	case COMMAND_RCPT:
		rcpt_reply(s, recipient);
		break;
	case COMMAND_DATA:
		data_reply(s);
		return;
	}
	if (s->answered < s->sent)
		return;
	if (s->decided) {
		s->needs_reset = s->mail_ok;
		finish_transaction(s);
	} else {
		send_commands(s);
	}
}

static void transaction_reply(struct smtp_session *s)
{
	const struct reply *r = &s->replies.reply;
	if (reply_class(r) == 0) {
		fail(s, false, "unintelligible reply: %.*s", SPAN_FMT(span_sub(reply_line(r, 0), 0, 200)));
		return;
	}
	bool content = s->stage == SENDER_AT_CONTENT || (s->answered == s->sent && s->decided);
	if (r->code == 421 && !content && !s->decided) {
		/* The server closes: nothing that was sent behind it will be answered. */
		uint32_t recipient = 0;
		s->t->answered = command_at(s, s->answered, &recipient) >= COMMAND_RCPT;
		decide_by_reply(s);
		fail(s, false, "the server is closing");
		return;
	}
	if (content)
		final_reply(s);
	else
		command_reply(s);
	if (r->code == 421 && s->state == SESSION_READY)
		close_conn(s, false);
}

/* ---- events ---- */
static void one_reply(struct smtp_session *s)
{
	switch (s->state) {
	case SESSION_READY:
		/* Unasked, 421 most likely; whatever it is, order is lost. */
		close_conn(s, false);
		changed(s);
		return;
	case SESSION_BUSY:
		transaction_reply(s);
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
		fail(s, false, "the server spoke before its turn");
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
		if (s->final_sent && !s->drained) {
			s->drained = true;
			if (s->t != NULL)
				s->t->final_dot_ns = clock_mono_ns();
		}
		break;
	case CONN_EOF:
		fail(s, false, "the server closed the connection");
		break;
	case CONN_TIMEOUT:
		if (s->state != SESSION_READY)
			fail(s, false, "no answer within %lld ms", (long long)s->o->reply_timeout_ms);
		break;
	case CONN_FAILED:
		fail(s, false, "%s", conn_error(s->conn)->text);
		break;
	}
}

struct smtp_session *session_open(const struct session_options *o)
{
	struct smtp_session *s = calloc(1, sizeof(*s));
	if (s == NULL)
		abort();
	s->o = o;
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

uint32_t session_transaction_count(const struct smtp_session *s)
{
	return s->transaction_count;
}

void session_free(struct smtp_session *s)
{
	if (s == NULL)
		return;
	close_conn(s, s->state == SESSION_READY);
	reply_reader_free(&s->replies);
	buf_free(&s->mechanisms);
	buf_free(&s->reply.text);
	sasl_free(s->sasl);
	free(s);
}
