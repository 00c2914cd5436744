#include "harness/load/smtp_session_impl.h"

#include "harness/wire/dots.h"

#include <assert.h>

/* Commands are numbered in the order they are sent. */
enum command { COMMAND_RSET, COMMAND_MAIL, COMMAND_RCPT, COMMAND_DATA };

static uint32_t command_count(const struct transaction *t)
{
	return (t->p.needs_reset ? 1u : 0u) + 1 + t->recipient_count + (t->p.chunk ? 0u : 1u);
}

static enum command command_at(const struct transaction *t, uint32_t n, uint32_t *ret_recipient)
{
	if (t->p.needs_reset && n == 0)
		return COMMAND_RSET;
	n -= t->p.needs_reset ? 1 : 0;
	if (n == 0)
		return COMMAND_MAIL;
	*ret_recipient = n - 1;
	return n <= t->recipient_count ? COMMAND_RCPT : COMMAND_DATA;
}

/* ---- writing ---- */
static void add_path(struct buf *b, struct span verb, struct span path)
{
	buf_add(b, verb);
	buf_add(b, path);
	buf_add(b, SPAN_LIT(">"));
}

static void add_mail(const struct smtp_session *s, const struct transaction *t, struct buf *b)
{
	struct span args = t->mail_args;
	bool body = span_starts_nocase(args, SPAN_LIT("BODY="));
	add_path(b, SPAN_LIT("MAIL FROM:<"), t->reverse_path);
	if (args.n > 0 && s->esmtp && (!body || s->eight_bit)) {
		buf_add(b, SPAN_LIT(" "));
		buf_add(b, args);
	}
	buf_add(b, SPAN_LIT("\r\n"));
}

static void add_command(struct smtp_session *s, struct transaction *t)
{
	uint32_t recipient = 0;
	switch (command_at(t, t->p.sent++, &recipient)) {
	case COMMAND_RSET:
		buf_add(&s->out, SPAN_LIT("RSET\r\n"));
		break;
	case COMMAND_MAIL:
		add_mail(s, t, &s->out);
		break;
	case COMMAND_RCPT:
		add_path(&s->out, SPAN_LIT("RCPT TO:<"), t->recipients[recipient]);
		buf_add(&s->out, SPAN_LIT("\r\n"));
		break;
	case COMMAND_DATA:
		buf_add(&s->out, SPAN_LIT("DATA\r\n"));
		break;
	}
}

static void flush(struct smtp_session *s)
{
	s->written_bytes += buf_bytes(&s->out);
	conn_write_buf(s->conn, &s->out);
}

/* All of it is written, as far as it goes to the server: the next may begin. */
static void written(struct smtp_session *s, struct transaction *t, bool final)
{
	t->p.content_sent = true;
	t->p.final_sent = final;
	t->p.end_at_bytes = s->written_bytes + buf_bytes(&s->out);
	t->final_dot_ns = final ? clock_mono_ns() : 0;
	s->writing = TAILQ_NEXT(t, link);
	/* RFC 2920 section 3.1: content may begin a group, and QUIT may end one. */
	if (s->o->one_only && s->pipelining && final) {
		buf_add(&s->out, SPAN_LIT("QUIT\r\n"));
		s->quit_sent = true;
	}
}

static void add_chunk(struct smtp_session *s, struct transaction *t)
{
	buf_addf(&s->out, "BDAT %zu LAST\r\n", t->content.n);
	flush(s);
	session_write(s, t->content);
	if (t->p.answered == t->p.sent)
		t->stage = SENDER_AT_CONTENT;
	written(s, t, true);
}

static void add_content(struct smtp_session *s, struct transaction *t)
{
	struct dots_writer w = { 0 };
	/* Nobody may be left that takes it: RFC 2920 section 3.1 wants a lone dot all the same. */
	if (!t->p.decided) {
		dots_write(&w, t->content, &s->out);
		t->stage = SENDER_AT_CONTENT;
	}
	dots_write_end(&w, &s->out);
	written(s, t, !t->p.decided);
}

static void begin_writing(struct smtp_session *s, struct transaction *t)
{
	/* A BDAT that is not answered yet may fail and leave its transaction open. */
	t->p.needs_reset = s->needs_reset || (s->chunking && t != TAILQ_FIRST(&s->in_flight));
	t->p.chunk = s->chunking;
	t->stage = SENDER_AT_MAIL;
	s->needs_reset = false;
}

/* Writes what may be written now: one group, or one command where groups are not allowed. */
static void advance(struct smtp_session *s)
{
	struct transaction *t;
	while ((t = s->writing) != NULL) {
		if (t->p.sent == 0)
			begin_writing(s, t);
		bool waits = !s->pipelining && t->p.answered < t->p.sent;
		if (!waits && t->p.sent < command_count(t))
			add_command(s, t);
		else if (!waits && t->p.chunk)
			add_chunk(s, t);
		else
			break;
	}
	if (buf_bytes(&s->out) > 0)
		flush(s);
}

void session_begin(struct smtp_session *s, struct transaction *t)
{
	assert(session_room(s) > 0);
	assert(t->recipient_count > 0);
	s->state = SESSION_BUSY;
	s->transaction_count++;
	s->in_flight_count++;
	t->p = (struct progress){ .nth = s->transaction_count };
	TAILQ_INSERT_TAIL(&s->in_flight, t, link);
	if (s->writing != NULL)
		return;
	s->writing = t;
	advance(s);
}

/* ---- outcomes ---- */
static void decide(struct transaction *t, const struct kept_reply *k, enum sender_outcome outcome)
{
	t->outcome = outcome;
	if (k != &t->reply) {
		buf_reset(&t->reply.text);
		buf_add(&t->reply.text, buf_span(&k->text));
		t->reply.code = k->code;
		t->reply.notes = k->notes;
	}
	t->p.decided = true;
}

static void decide_by_reply(struct smtp_session *s, struct transaction *t)
{
	kept_reply_set(&t->reply, &s->replies.reply);
	decide(t, &t->reply, session_outcome_of(reply_class(&s->replies.reply)));
}

/* All recipients were refused: one that may be tried again decides, for then the message may be. */
static void decide_by_recipients(struct transaction *t)
{
	const struct kept_reply *k = NULL;
	for (uint32_t i = 0; i < t->recipient_count; i++) {
		const struct kept_reply *r = &t->recipient_replies[i];
		if (k == NULL || (r->code / 100 == 4 && k->code / 100 != 4))
			k = r;
	}
	decide(t, k, session_outcome_of(k->code / 100u));
}

/* Its last reply was read; the first in flight. */
static void finish_transaction(struct smtp_session *s, bool needs_reset)
{
	session_end_transaction(s);
	if (s->in_flight_count == 0)
		s->state = SESSION_READY;
	/* What is on its way already took care of itself. */
	struct transaction *next = s->writing;
	if (next != NULL && next == TAILQ_FIRST(&s->in_flight) && next->p.sent == 0)
		s->needs_reset = needs_reset;
	else if (s->in_flight_count == 0)
		s->needs_reset = needs_reset;
	session_changed_state(s);
	advance(s);
}

/* ---- replies ---- */
static void mail_reply(struct smtp_session *s, struct transaction *t)
{
	t->answered = true;
	t->p.mail_ok = reply_class(&s->replies.reply) == 2;
	if (t->p.mail_ok)
		t->stage = SENDER_AT_RCPT;
	else
		decide_by_reply(s, t);
}

static void rcpt_reply(struct smtp_session *s, struct transaction *t, uint32_t recipient)
{
	kept_reply_set(&t->recipient_replies[recipient], &s->replies.reply);
	t->p.rcpt_ok_count += reply_class(&s->replies.reply) == 2 ? 1 : 0;
	if (t->p.decided || recipient + 1 < t->recipient_count)
		return;
	if (t->p.rcpt_ok_count == 0)
		decide_by_recipients(t);
	else
		t->stage = t->p.chunk ? SENDER_AT_CONTENT : SENDER_AT_DATA;
}

static void data_reply(struct smtp_session *s, struct transaction *t)
{
	if (reply_class(&s->replies.reply) == 3) {
		add_content(s, t);
		/* RFC 2033 section 4.2: as many replies as there were recipients, and that is none. */
		if (s->o->lmtp && t->p.rcpt_ok_count == 0)
			finish_transaction(s, false);
		else
			advance(s);
		return;
	}
	if (!t->p.decided)
		decide_by_reply(s, t);
	finish_transaction(s, t->p.mail_ok);
}

/* One of the commands was answered. */
static void command_reply(struct smtp_session *s, struct transaction *t)
{
	uint32_t recipient = 0;
	enum command command = command_at(t, t->p.answered++, &recipient);
	switch (command) {
	case COMMAND_RSET:
		if (reply_class(&s->replies.reply) != 2) {
			session_fail(s, true, "RSET refused: %u", s->replies.reply.code);
			return;
		}
		break;
	case COMMAND_MAIL:
		mail_reply(s, t);
		break;
	case COMMAND_RCPT:
		rcpt_reply(s, t, recipient);
		break;
	case COMMAND_DATA:
		data_reply(s, t);
		return;
	}
	if (t->p.answered < t->p.sent || t->p.content_sent)
		return;
	if (t->p.decided && !s->pipelining)
		finish_transaction(s, t->p.mail_ok);
	else
		advance(s);
}

/* RFC 2033 section 4.2: the replies come in the order of the recipients that were accepted. */
static struct kept_reply *next_final(struct transaction *t)
{
	for (uint32_t i = 0, left = t->p.rcpt_ok_count - t->p.finals; i < t->recipient_count; i++) {
		uint32_t at = t->recipient_count - 1 - i;
		if (t->recipient_replies[at].code / 100 == 2 && --left == 0)
			return &t->recipient_replies[at];
	}
	assert(false);
	return NULL;
}

static void decide_by_finals(struct transaction *t)
{
	for (uint32_t i = 0; i < t->recipient_count; i++) {
		if (t->recipient_replies[i].code / 100 == 2) {
			decide(t, &t->recipient_replies[i], SENDER_ACCEPTED);
			return;
		}
	}
	decide_by_recipients(t);
}

static void recipient_final(struct smtp_session *s, struct transaction *t)
{
	kept_reply_set(next_final(t), &s->replies.reply);
	t->p.finals++;
	if (t->p.finals < t->p.rcpt_ok_count)
		return;
	decide_by_finals(t);
	finish_transaction(s, t->p.chunk && t->outcome != SENDER_ACCEPTED);
}

static void final_reply(struct smtp_session *s, struct transaction *t)
{
	bool good = reply_class(&s->replies.reply) == 2;
	if (t->p.decided) { /* the lone dot's, or that of a chunk that nobody took */
		finish_transaction(s, t->p.chunk && !good);
		return;
	}
	t->stage = SENDER_AT_FINAL_REPLY;
	t->final_reply_ns = clock_mono_ns();
	if (s->o->lmtp) {
		recipient_final(s, t);
		return;
	}
	decide_by_reply(s, t);
	if (good)
		t->outcome = SENDER_ACCEPTED;
	finish_transaction(s, t->p.chunk && !good);
}

void session_transaction_reply(struct smtp_session *s)
{
	const struct reply *r = &s->replies.reply;
	struct transaction *t = TAILQ_FIRST(&s->in_flight);
	if (reply_class(r) == 0) {
		session_fail(s, false, "unintelligible reply: %.*s",
			     SPAN_FMT(span_sub(reply_line(r, 0), 0, 200)));
		return;
	}
	bool content = t->p.content_sent && t->p.answered == t->p.sent;
	if (r->code == 421 && !content && !t->p.decided) {
		/* The server closes: nothing that was sent behind it will be answered. */
		uint32_t recipient = 0;
		t->answered = command_at(t, t->p.answered, &recipient) >= COMMAND_RCPT;
		decide_by_reply(s, t);
		session_fail(s, false, "the server is closing");
		return;
	}
	s->closing = s->closing || r->code == 421;
	if (content)
		final_reply(s, t);
	else
		command_reply(s, t);
	if (s->closing && s->state == SESSION_READY)
		session_close(s, false);
	else if (s->closing && s->state == SESSION_BUSY && content)
		session_fail(s, false, "the server is closing");
}
