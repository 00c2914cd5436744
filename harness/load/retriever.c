#include "harness/load/retriever.h"

#include "base/buf.h"
#include "base/conn.h"
#include "harness/load/mailbox.h"
#include "harness/load/reach.h"
#include "harness/load/sasl.h"
#include "harness/wire/base64.h"
#include "harness/wire/pop3_reply.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	INTERVAL_MS = 1000,
	TIMEOUT_MS = 30000,
	LISTING_BYTES_MAX = 64 * 1024 * 1024,
	PROBLEM_CHARS_MAX = 300,
};

/* What is being awaited. */
enum step {
	STEP_GREETING,
	STEP_STLS,
	STEP_UTF8,
	STEP_CAPA,
	STEP_USER,
	STEP_PASS,
	STEP_AUTH,
	STEP_UIDL,
	STEP_LIST,
	STEP_RETR,
	STEP_DELE,
	STEP_QUIT,
};

struct retriever {
	struct retriever_options o;
	struct timer *timer; /* the next poll */
	struct timer *deadline;
	struct task *after; /* tells of a poll's end */
	struct mailbox mailbox;
	uint32_t message_count;
	bool running;
	bool again; /* poll_now during a poll */
	/* drain */
	retriever_done_fn *done;
	void *done_ctx;
	uint32_t drain_total;
	bool deadline_passed;
	/* the poll */
	struct conn *conn;
	struct pop3_reader reader;
	enum step step;
	struct sasl *sasl;
	struct buf text; /* of the status line */
	struct buf data; /* of a multi-line reply */
	int64_t login_sent_ns;
	uint32_t at; /* in the listing */
	struct retriever_poll poll;
	char problem[PROBLEM_CHARS_MAX];
	bool poll_ended;
};

const char *retriever_outcome_name(enum retriever_outcome o)
{
	static const char *const names[] = { "ok", "down", "locked", "denied", "broken" };
	assert((size_t)o < sizeof(names) / sizeof(names[0]));
	return names[o];
}

/* ---- the end of a poll ---- */
__attribute__((format(printf, 3, 4))) static void end_poll(struct retriever *r,
							   enum retriever_outcome outcome, const char *fmt,
							   ...)
{
	struct conn *c = r->conn;
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(r->problem, sizeof(r->problem), fmt, ap);
	va_end(ap);
	r->conn = NULL;
	mailbox_end_session(&r->mailbox, r->step != STEP_QUIT      ? MAILBOX_BROKE_OFF
					 : outcome == RETRIEVER_OK ? MAILBOX_QUIT_DONE
								   : MAILBOX_QUIT_UNANSWERED);
	r->poll.doubtful_count = r->mailbox.doubtful_count;
	r->poll.outcome = outcome;
	r->poll.end_ns = clock_mono_ns();
	r->poll.problem = r->problem;
	r->poll_ended = true;
	pop3_reader_free(&r->reader);
	sasl_free(r->sasl);
	r->sasl = NULL;
	buf_free(&r->data);
	if (outcome == RETRIEVER_OK) {
		conn_finish(c);
	} else if (outcome == RETRIEVER_LOCKED || outcome == RETRIEVER_DENIED) {
		conn_write(c, SPAN_LIT("QUIT\r\n"));
		conn_finish(c);
	} else {
		conn_free(c);
	}
	task_schedule(r->after);
}

static bool drain_is_over(const struct retriever *r)
{
	return r->done != NULL && (r->deadline_passed || r->message_count >= r->drain_total);
}

static void end_drain(struct retriever *r)
{
	retriever_done_fn *done = r->done;
	r->done = NULL;
	timer_clear(r->deadline);
	retriever_pause(r);
	done(r->done_ctx);
}

static void begin_poll(struct retriever *r);

static void after_poll(void *ctx)
{
	struct retriever *r = ctx;
	if (r->poll_ended) {
		r->poll_ended = false;
		if (r->o.on_poll != NULL)
			r->o.on_poll(r->o.ctx, &r->poll);
	}
	if (retriever_is_polling(r))
		return;
	if (drain_is_over(r)) {
		end_drain(r);
		return;
	}
	if (r->again)
		begin_poll(r);
	else if (r->running && !timer_is_set(r->timer))
		timer_set_ms(r->timer, r->o.interval_ms);
}

/* ---- commands ---- */
__attribute__((format(printf, 4, 5))) static void command(struct retriever *r, enum step step,
							  bool multi_line, const char *fmt, ...)
{
	struct buf line = { 0 };
	va_list ap;
	va_start(ap, fmt);
	buf_vaddf(&line, fmt, ap);
	va_end(ap);
	buf_add_cstr(&line, "\r\n");
	r->step = step;
	buf_reset(&r->data);
	pop3_expect(&r->reader, multi_line);
	conn_write(r->conn, buf_span(&line));
	explicit_bzero(line.p, line.room); /* may hold a password */
	buf_free(&line);
}

static void respond(struct retriever *r, const char *before, struct span response, bool even_empty)
{
	struct buf text = { 0 };
	base64_encode(response, &text);
	if (response.n == 0 && even_empty)
		buf_add_cstr(&text, "=");
	command(r, STEP_AUTH, false, "%s%.*s", before, SPAN_FMT(buf_span(&text)));
	if (text.p != NULL)
		explicit_bzero(text.p, text.room);
	buf_free(&text);
}

/* ---- login ---- */
static void begin_user(struct retriever *r)
{
	r->login_sent_ns = clock_mono_ns();
	command(r, STEP_USER, false, "USER %s", r->o.access.user);
}

static void begin_auth(struct retriever *r, struct span mechanisms)
{
	const struct access *a = &r->o.access;
	struct err err;
	struct buf response = { 0 };
	char verb[64];
	r->sasl = sasl_new(a->mechanism, mechanisms, a->user, a->password, &err);
	if (r->sasl == NULL && a->mechanism == ACCESS_BEST) {
		begin_user(r);
		return;
	}
	if (r->sasl == NULL) {
		end_poll(r, RETRIEVER_DENIED, "login: %s", err.text);
		return;
	}
	r->login_sent_ns = clock_mono_ns();
	bool initial = sasl_initial(r->sasl, &response);
	(void)snprintf(verb, sizeof(verb), "AUTH %s%s", sasl_name(r->sasl), initial ? " " : "");
	respond(r, verb, buf_span(&response), initial);
	buf_free(&response);
}

static void begin_login(struct retriever *r)
{
	if (r->o.utf8 && r->step != STEP_UTF8) {
		command(r, STEP_UTF8, false, "UTF8");
		return;
	}
	if (r->o.access.mechanism == ACCESS_USER_PASS)
		begin_user(r);
	else
		command(r, STEP_CAPA, true, "CAPA");
}

/* RFC 5034 section 6: a capability "SASL mechanism mechanism". */
static void read_capabilities(struct retriever *r)
{
	struct span rest = buf_span(&r->data);
	struct span line, mechanisms = { 0 };
	while (span_take_until(&rest, '\n', &line)) {
		if (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		if (span_take_prefix_nocase(&line, SPAN_LIT("SASL ")))
			mechanisms = line;
	}
	struct buf kept = { 0 };
	buf_add(&kept, mechanisms);
	begin_auth(r, buf_span(&kept));
	buf_free(&kept);
}

static void answer_challenge(struct retriever *r)
{
	struct buf challenge = { 0 }, response = { 0 };
	struct err err;
	int rc = -EPROTO;
	/* LOGIN's challenges are prompts for people; some servers do not encode them properly. */
	bool prompt = strcmp(sasl_name(r->sasl), "LOGIN") == 0;
	if (!base64_decode(buf_span(&r->text), &challenge) && !prompt)
		(void)err_set(&err, rc, "the challenge is not base64");
	else
		rc = sasl_step(r->sasl, buf_span(&challenge), &response, &err);
	if (rc == 0)
		respond(r, "", buf_span(&response), false);
	else
		end_poll(r, RETRIEVER_DENIED, "login: %s", err.text);
	buf_free(&challenge);
	buf_free(&response);
}

static bool contains_nocase(struct span text, const char *word)
{
	struct span w = span_of(word);
	for (size_t i = 0; i + w.n <= text.n; i++)
		if (span_eq_nocase(span_sub(text, i, w.n), w))
			return true;
	return false;
}

static void login_refused(struct retriever *r)
{
	struct span text = buf_span(&r->text);
	bool locked = contains_nocase(text, "[IN-USE]") || contains_nocase(text, "locked") ||
		      contains_nocase(text, "in use");
	end_poll(r, locked ? RETRIEVER_LOCKED : RETRIEVER_DENIED, "login: %.*s",
		 SPAN_FMT(span_sub(text, 0, 200)));
}

static void logged_in(struct retriever *r)
{
	if (r->sasl != NULL && !sasl_is_complete(r->sasl)) {
		end_poll(r, RETRIEVER_DENIED, "login: the server did not prove that it knows the password");
		return;
	}
	command(r, STEP_UIDL, true, "UIDL");
}

/* ---- the listing ---- */
static void next_message(struct retriever *r);

static void read_uids(struct retriever *r)
{
	bool good = mailbox_read_uids(&r->mailbox, buf_span(&r->data), RETRIEVER_MESSAGES_MAX,
				      r->login_sent_ns, clock_mono_ns());
	r->poll.listed_count = r->mailbox.listed_count;
	if (!good)
		end_poll(r, RETRIEVER_BROKEN, "UIDL: a line that cannot be used");
	else if (mailbox_has_new(&r->mailbox))
		command(r, STEP_LIST, true, "LIST");
	else
		next_message(r);
}

/* ---- messages ---- */
static void next_message(struct retriever *r)
{
	while (r->at < r->mailbox.listed_count) {
		struct listed *l = &r->mailbox.listing[r->at];
		if (!l->known->retrieved) {
			command(r, STEP_RETR, true, "RETR %llu", (unsigned long long)l->number);
			return;
		}
		if (r->o.delete_after) {
			command(r, STEP_DELE, false, "DELE %llu", (unsigned long long)l->number);
			return;
		}
		r->at++;
	}
	command(r, STEP_QUIT, false, "QUIT");
}

static void hand_over(struct retriever *r)
{
	struct listed *l = &r->mailbox.listing[r->at];
	l->known->retrieved = true;
	r->message_count++;
	r->poll.new_count++;
	struct retrieved m = {
		.message = buf_span(&r->data),
		.uid = known_uid(l->known),
		.nth = r->message_count,
		.absent_ns = l->known->absent_ns,
		.poll_start_ns = r->poll.start_ns,
		.listed_ns = l->known->listed_ns,
		.retrieved_ns = clock_mono_ns(),
		.listed_octets = l->octets,
		.dots_notes = r->reader.dots.notes,
	};
	r->o.on_message(r->o.ctx, &m);
	if (!r->o.delete_after)
		r->at++;
	next_message(r);
}

/* ---- replies ---- */
static void refused(struct retriever *r, const char *what)
{
	end_poll(r, RETRIEVER_BROKEN, "%s refused: %.*s", what,
		 SPAN_FMT(span_sub(buf_span(&r->text), 0, 200)));
}

static void one_line_ok(struct retriever *r)
{
	const struct access *a = &r->o.access;
	switch (r->step) {
	case STEP_GREETING:
		if (a->tls == ACCESS_STARTTLS)
			command(r, STEP_STLS, false, "STLS");
		else
			begin_login(r);
		break;
	case STEP_UTF8:
		begin_login(r);
		break;
	case STEP_STLS:
		(void)conn_start_tls(r->conn, a->tls_ctx, CONN_TLS_CLIENT, a->server_name);
		break;
	case STEP_USER:
		r->login_sent_ns = clock_mono_ns();
		command(r, STEP_PASS, false, "PASS %s", a->password);
		break;
	case STEP_PASS:
	case STEP_AUTH:
		logged_in(r);
		break;
	case STEP_DELE:
		r->mailbox.listing[r->at].known->deleted = true;
		r->at++;
		next_message(r);
		break;
	case STEP_QUIT:
		end_poll(r, RETRIEVER_OK, "%s", "");
		break;
	case STEP_CAPA:
	case STEP_UIDL:
	case STEP_LIST:
	case STEP_RETR:
		break; /* data follows */
	}
}

static void multi_line_end(struct retriever *r)
{
	if (r->step == STEP_CAPA)
		read_capabilities(r);
	else if (r->step == STEP_UIDL)
		read_uids(r);
	else if (r->step == STEP_LIST) {
		mailbox_read_sizes(&r->mailbox, buf_span(&r->data));
		next_message(r);
	} else
		hand_over(r);
}

static void error_reply(struct retriever *r)
{
	switch (r->step) {
	case STEP_GREETING:
		refused(r, "connection");
		r->poll.outcome = RETRIEVER_DOWN;
		break;
	case STEP_STLS:
		end_poll(r, RETRIEVER_DENIED, "STLS refused: %.*s",
			 SPAN_FMT(span_sub(buf_span(&r->text), 0, 200)));
		break;
	case STEP_UTF8:
		begin_login(r);
		break;
	case STEP_CAPA:
		begin_auth(r, (struct span){ 0 });
		break;
	case STEP_USER:
	case STEP_PASS:
	case STEP_AUTH:
		login_refused(r);
		break;
	case STEP_UIDL:
		refused(r, "UIDL");
		break;
	case STEP_LIST:
		next_message(r);
		break;
	case STEP_RETR:
		refused(r, "RETR");
		break;
	case STEP_DELE:
		refused(r, "DELE");
		break;
	case STEP_QUIT:
		refused(r, "QUIT");
		break;
	}
}

static void continue_reply(struct retriever *r)
{
	if (r->step == STEP_AUTH)
		answer_challenge(r);
	else
		end_poll(r, RETRIEVER_BROKEN, "a challenge that nobody asked for");
}

static void more_data(struct retriever *r, struct span piece)
{
	size_t max = r->step == STEP_RETR ? RETRIEVER_MESSAGE_BYTES_MAX : LISTING_BYTES_MAX;
	if (buf_bytes(&r->data) + piece.n > max)
		end_poll(r, RETRIEVER_BROKEN, "more than %zu bytes", max);
	else
		buf_add(&r->data, piece);
}

static void read_input(struct retriever *r)
{
	while (r->conn != NULL) {
		struct conn *c = r->conn;
		struct span in = conn_input(c);
		if (in.n == 0)
			return;
		enum pop3_event event;
		struct span text;
		size_t n = pop3_read(&r->reader, in, &event, &text);
		if (event == POP3_DATA) {
			more_data(r, text);
			if (r->conn != NULL)
				conn_consume(c, n);
			continue;
		}
		buf_reset(&r->text);
		buf_add(&r->text, text);
		/* Before it is acted upon: STLS drops what is left. */
		conn_consume(c, n);
		if (event == POP3_OK)
			one_line_ok(r);
		else if (event == POP3_ERR)
			error_reply(r);
		else if (event == POP3_CONTINUE)
			continue_reply(r);
		else if (event == POP3_END)
			multi_line_end(r);
	}
}

/* ---- events ---- */
static void broken(struct retriever *r, const char *why)
{
	bool quitting = r->step == STEP_QUIT;
	if (quitting) /* what was asked for was done; deletions may or may not have been */
		end_poll(r, RETRIEVER_BROKEN, "QUIT: %s", why);
	else
		end_poll(r, r->step < STEP_UIDL ? RETRIEVER_DOWN : RETRIEVER_BROKEN, "%s", why);
}

static void on_event(void *ctx, enum conn_event event)
{
	struct retriever *r = ctx;
	switch (event) {
	case CONN_CONNECTED:
	case CONN_DRAINED:
		break;
	case CONN_SECURED:
		if (r->step == STEP_STLS)
			begin_login(r);
		break;
	case CONN_INPUT:
		read_input(r);
		break;
	case CONN_EOF:
		broken(r, "the server closed the connection");
		break;
	case CONN_TIMEOUT:
		broken(r, "no answer in time");
		break;
	case CONN_FAILED:
		broken(r, conn_error(r->conn)->text);
		break;
	}
}

static void begin_poll(struct retriever *r)
{
	const struct access *a = &r->o.access;
	assert(r->conn == NULL);
	r->again = false;
	timer_clear(r->timer);
	r->poll = (struct retriever_poll){ .start_ns = clock_mono_ns() };
	r->step = STEP_GREETING;
	r->at = 0;
	mailbox_forget_listing(&r->mailbox);
	r->conn = conn_connect(&(struct conn_options){ .loop = r->o.loop, .on_event = on_event, .ctx = r },
			       &a->server, a->bind_to);
	if (a->tls == ACCESS_TLS)
		(void)conn_start_tls(r->conn, a->tls_ctx, CONN_TLS_CLIENT, a->server_name);
	conn_set_timeout_ms(r->conn, r->o.timeout_ms);
}

/* ---- public ---- */
static void on_timer(void *ctx)
{
	retriever_poll_now(ctx);
}

static void on_deadline(void *ctx)
{
	struct retriever *r = ctx;
	r->deadline_passed = true;
	task_schedule(r->after);
}

struct retriever *retriever_new(const struct retriever_options *o, struct err *reterr)
{
	assert(o->loop != NULL && o->on_message != NULL);
	if (o->access.user == NULL || o->access.password == NULL) {
		(void)err_set(reterr, -EINVAL, "retriever: no user or no password");
		return NULL;
	}
	if (o->access.tls != ACCESS_PLAIN && o->access.tls_ctx == NULL) {
		(void)err_set(reterr, -EINVAL, "retriever: TLS without certificates to trust");
		return NULL;
	}
	if (reach_check(&o->access.server, o->access.allow_remote, reterr) < 0)
		return NULL;
	struct retriever *r = calloc(1, sizeof(*r));
	if (r == NULL)
		abort();
	r->o = *o;
	if (r->o.interval_ms == 0)
		r->o.interval_ms = INTERVAL_MS;
	if (r->o.timeout_ms == 0)
		r->o.timeout_ms = TIMEOUT_MS;
	r->timer = timer_new(o->loop, on_timer, r);
	r->deadline = timer_new(o->loop, on_deadline, r);
	r->after = task_new(o->loop, after_poll, r);
	return r;
}

void retriever_start(struct retriever *r)
{
	r->running = true;
	if (!retriever_is_polling(r))
		begin_poll(r);
}

void retriever_pause(struct retriever *r)
{
	r->running = false;
	r->again = false;
	timer_clear(r->timer);
}

void retriever_poll_now(struct retriever *r)
{
	if (retriever_is_polling(r))
		r->again = true;
	else
		begin_poll(r);
}

void retriever_drain(struct retriever *r, uint32_t total, int64_t deadline_ns, retriever_done_fn *done,
		     void *ctx)
{
	assert(r->done == NULL && done != NULL);
	r->done = done;
	r->done_ctx = ctx;
	r->drain_total = total;
	r->deadline_passed = false;
	timer_set_ns(r->deadline, deadline_ns - clock_mono_ns());
	if (drain_is_over(r))
		task_schedule(r->after);
	else
		retriever_start(r);
}

uint32_t retriever_message_count(const struct retriever *r)
{
	return r->message_count;
}

bool retriever_is_polling(const struct retriever *r)
{
	return r->conn != NULL || r->poll_ended;
}

void retriever_free(struct retriever *r)
{
	if (r == NULL)
		return;
	conn_free(r->conn);
	timer_free(r->timer);
	timer_free(r->deadline);
	task_free(r->after);
	pop3_reader_free(&r->reader);
	sasl_free(r->sasl);
	buf_free(&r->text);
	buf_free(&r->data);
	mailbox_free(&r->mailbox);
	free(r);
}
