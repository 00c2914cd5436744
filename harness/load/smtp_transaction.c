#include "harness/load/smtp_session_impl.h"

#include "harness/wire/dots.h"

#include <assert.h>

/* Commands are numbered in the order they are sent. */
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
	decide(s, &s->t->reply, session_outcome_of(reply_class(&s->replies.reply)));
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
	decide(s, k, session_outcome_of(k->code / 100u));
}

static void finish_transaction(struct smtp_session *s)
{
	session_end_transaction(s);
	s->state = SESSION_READY;
	session_changed_state(s);
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
			session_fail(s, true, "RSET refused: %u", s->replies.reply.code);
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

void session_transaction_reply(struct smtp_session *s)
{
	const struct reply *r = &s->replies.reply;
	if (reply_class(r) == 0) {
		session_fail(s, false, "unintelligible reply: %.*s",
			     SPAN_FMT(span_sub(reply_line(r, 0), 0, 200)));
		return;
	}
	bool content = s->stage == SENDER_AT_CONTENT || (s->answered == s->sent && s->decided);
	if (r->code == 421 && !content && !s->decided) {
		/* The server closes: nothing that was sent behind it will be answered. */
		uint32_t recipient = 0;
		s->t->answered = command_at(s, s->answered, &recipient) >= COMMAND_RCPT;
		decide_by_reply(s);
		session_fail(s, false, "the server is closing");
		return;
	}
	if (content)
		final_reply(s);
	else
		command_reply(s);
	if (r->code == 421 && s->state == SESSION_READY)
		session_close(s, false);
}
