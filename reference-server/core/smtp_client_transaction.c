#include "reference-server/core/smtp_client_parts.h"

#include <assert.h>

/* ---- what can be sent at all ---- */

enum path_fault { PATH_FINE, PATH_CONTROL, PATH_8BIT };

/* The last guard against command injection, and RFC 6531's 5.6.7. */
static enum path_fault path_fault(struct span path)
{
	enum path_fault fault = PATH_FINE;

	for (size_t i = 0; i < path.n; i++) {
		unsigned char b = (unsigned char)path.p[i];
		if (b < 0x20 || b == 0x7F)
			return PATH_CONTROL;
		if (b >= 0x80)
			fault = PATH_8BIT;
	}
	return fault;
}

static bool is_sendable(struct span rcpt)
{
	return rcpt.n > 0 && path_fault(rcpt) == PATH_FINE;
}

/* Index of the first recipient from `from` on that RCPT can carry. */
static uint32_t next_sendable(const struct smtp_client_message *m, uint32_t from)
{
	while (from < m->rcpt_count && !is_sendable(m->rcpts[from]))
		from++;
	return from;
}

/* ---- commands and their replies ---- */

static void send_mail(struct smtp_client *c, const struct smtp_client_message *m)
{
	smtpc_send(c, "MAIL FROM:<");
	buf_add(c->options.out, m->reverse_path);
	smtpc_send(c, ">");
	if (c->extensions & SMTP_EXT_SIZE)
		buf_addf(c->options.out, " SIZE=%llu", (unsigned long long)m->content_bytes);
	if (m->content_8bit)
		smtpc_send(c, " BODY=8BITMIME");
	smtpc_send(c, "\r\n");
	c->served = true;
}

static void send_rcpt(struct smtp_client *c, struct smtp_client_slot *s, uint32_t index)
{
	smtpc_send(c, "RCPT TO:<");
	buf_add(c->options.out, s->message.rcpts[index]);
	smtpc_send(c, ">\r\n");
	s->rcpt_open++;
}

static void send_data(struct smtp_client *c, struct smtp_client_slot *s)
{
	smtpc_send(c, "DATA\r\n");
	s->data_sent = true;
}

/* Gives the message up between MAIL and the content; every recipient has, or gets, its verdict. */
static void give_up(struct smtp_client *c, struct smtp_client_slot *s, const struct smtp_result *r)
{
	bool reset = s->mail_ok;

	smtpc_finish(s, r);
	if (reset) {
		smtpc_send(c, "RSET\r\n");
		c->session = S_RSET;
	}
}

/* One by one: what comes behind the reply just had. */
static void next_command(struct smtp_client *c, struct smtp_client_slot *s)
{
	uint32_t index = next_sendable(&s->message, s->rcpt_next);

	if (index < s->message.rcpt_count)
		send_rcpt(c, s, index);
	else if (s->rcpt_ok > 0)
		send_data(c, s);
	else
		give_up(c, s, &s->message.results[0]);
}

static void on_mail(struct smtp_client *c, struct smtp_client_slot *s)
{
	struct smtp_result r;

	if (smtpc_first_digit(c) == 3) {
		smtpc_end_nonsense(c, "intermediate reply to MAIL");
		return;
	}
	s->mail_replied = true;
	s->mail_ok = smtpc_first_digit(c) == 2;
	if (!s->mail_ok) {
		smtpc_reply_result(&r, c, smtpc_reply_class(c), SMTP_STAGE_MAIL);
		smtpc_decide(s, &r);
		if (!s->data_sent)
			give_up(c, s, &r);
	} else if (!s->data_sent) {
		next_command(c, s);
	}
}

/* RFC 5321 4.5.3.1.10: this transaction is full, not this mailbox. */
static bool says_too_many(const struct smtp_client *c)
{
	const struct smtp_reply *r = &c->reply;

	if (r->code != 452 && r->code != 552)
		return false;
	return r->status.class_digit == 0 || (r->status.subject == 5 && r->status.detail == 3);
}

static enum smtp_class class_of_rcpt(const struct smtp_client *c, const struct smtp_client_slot *s)
{
	if (!says_too_many(c))
		return smtpc_reply_class(c);
	if (s->rcpt_ok > 0)
		return SMTP_CLASS_TOO_MANY;
	return c->reply.status.class_digit != 0 ? SMTP_CLASS_TEMPORARY : smtpc_reply_class(c);
}

static void on_rcpt(struct smtp_client *c, struct smtp_client_slot *s)
{
	uint32_t index = next_sendable(&s->message, s->rcpt_next);
	struct smtp_result *result = &s->message.results[index];
	enum smtp_class class_ = class_of_rcpt(c, s);

	assert(index < s->message.rcpt_count && s->rcpt_open > 0);
	if (smtpc_first_digit(c) == 3) {
		smtpc_end_nonsense(c, "intermediate reply to RCPT");
		return;
	}
	s->rcpt_next = index + 1;
	s->rcpt_open--;
	if (s->mail_ok && class_ == SMTP_CLASS_OK)
		s->rcpt_ok++;
	else if (s->mail_ok)
		smtpc_reply_result(result, c, class_, SMTP_STAGE_RCPT);
	if (s->data_sent)
		return;
	if (class_ == SMTP_CLASS_TOO_MANY) { /* the rest would hear the same */
		for (uint32_t i = s->rcpt_next; i < s->message.rcpt_count; i++)
			if (is_sendable(s->message.rcpts[i]))
				smtp_result_copy(&s->message.results[i], result);
		s->rcpt_next = s->message.rcpt_count;
	}
	next_command(c, s);
}

static void on_data(struct smtp_client *c, struct smtp_client_slot *s)
{
	struct smtp_result r;

	s->data_sent = false;
	if (smtpc_first_digit(c) == 2) {
		smtpc_end_nonsense(c, "DATA was answered like a finished command");
	} else if (smtpc_first_digit(c) != 3) {
		smtpc_reply_result(&r, c, smtpc_reply_class(c), SMTP_STAGE_DATA);
		give_up(c, s, &r);
	} else if (s->rcpt_ok > 0) {
		s->where = W_CONTENT;
		stuffing_init(&c->stuffing);
	} else {
		s->where = W_LONE_DOT;
		smtpc_send(c, ".\r\n");
	}
}

static void on_content(struct smtp_client *c)
{
	if (smtpc_first_digit(c) == 2 || smtpc_first_digit(c) == 3)
		smtpc_end_nonsense(c, "reply in mid content");
	else
		smtpc_end_by_reply(c);
}

static void on_final_dot(struct smtp_client *c, struct smtp_client_slot *s)
{
	struct smtp_result r;

	if (smtpc_first_digit(c) == 3) {
		smtpc_end_nonsense(c, "intermediate reply to the final dot");
		return;
	}
	smtpc_reply_result(&r, c, smtpc_reply_class(c), SMTP_STAGE_FINAL_DOT);
	smtpc_finish(s, &r);
}

void smtpc_on_message_reply(struct smtp_client *c)
{
	struct smtp_client_slot *s = smtpc_current(c);

	if (s == NULL) {
		smtpc_end_nonsense(c, "reply to nothing");
		return;
	}
	switch ((enum client_where)s->where) {
	case W_ENVELOPE:
		if (!s->mail_replied)
			on_mail(c, s);
		else if (s->rcpt_open > 0)
			on_rcpt(c, s);
		else
			on_data(c, s);
		break;
	case W_CONTENT:
		on_content(c);
		break;
	case W_FINAL_DOT:
		on_final_dot(c, s);
		break;
	case W_LONE_DOT:
		smtpc_finish(s, &s->message.results[0]);
		break;
	case W_DONE: /* is not current */
		break;
	}
}

/* ---- beginning, and content ---- */

bool smtp_client_can_start(const struct smtp_client *c)
{
	if (c->session != S_RUN)
		return false;
	return c->slot_count == 0 || (c->slot_count == 1 && c->slots[0].where == W_FINAL_DOT &&
				      (c->extensions & SMTP_EXT_PIPELINING) != 0);
}

/* What can be said without asking the server.  True: the message as a whole cannot go. */
static bool refuse_message(const struct smtp_client *c, const struct smtp_client_message *m,
			   struct smtp_result *ret_result)
{
	enum path_fault fault = path_fault(m->reverse_path);
	const char *text;
	uint16_t subject = 6, detail = 3;

	if (fault == PATH_CONTROL) {
		subject = 1;
		detail = 7;
		text = "reverse-path holds a control character";
	} else if (fault == PATH_8BIT) {
		detail = 7;
		text = "reverse-path is not ASCII, and the next hop does not offer SMTPUTF8";
	} else if (m->content_8bit && (c->extensions & SMTP_EXT_8BITMIME) == 0) {
		text = "content has 8-bit bytes, and the next hop does not offer 8BITMIME";
	} else if (c->size_bytes_max > 0 && m->content_bytes > c->size_bytes_max) {
		subject = 3;
		detail = 4;
		text = "message is larger than the next hop accepts";
	} else {
		return false;
	}
	smtp_result_set_own(ret_result, SMTP_CLASS_PERMANENT, SMTP_STAGE_MAIL, subject, detail, text);
	return true;
}

static void refuse_rcpt(struct smtp_result *r, struct span rcpt)
{
	if (path_fault(rcpt) == PATH_8BIT)
		smtp_result_set_own(r, SMTP_CLASS_PERMANENT, SMTP_STAGE_RCPT, 6, 7,
				    "address is not ASCII, and the next hop does not offer SMTPUTF8");
	else
		smtp_result_set_own(r, SMTP_CLASS_PERMANENT, SMTP_STAGE_RCPT, 1, 3,
				    "address is empty or holds a control character");
}

void smtp_client_start(struct smtp_client *c, const struct smtp_client_message *m)
{
	struct smtp_client_slot *s = &c->slots[c->slot_count];
	uint32_t sendable_count = 0;
	struct smtp_result r;

	assert(smtp_client_can_start(c));
	assert(m->rcpt_count > 0);
	*s = (struct smtp_client_slot){ .message = *m, .where = W_ENVELOPE, .reused = c->served };
	c->slot_count++;
	for (uint32_t i = 0; i < m->rcpt_count; i++) {
		m->results[i].class_ = SMTP_CLASS_OK; /* no verdict yet */
		if (is_sendable(m->rcpts[i]))
			sendable_count++;
		else
			refuse_rcpt(&m->results[i], m->rcpts[i]);
	}
	if (sendable_count == 0) {
		s->where = W_DONE;
		return;
	}
	if (refuse_message(c, m, &r)) {
		smtpc_finish(s, &r);
		return;
	}
	send_mail(c, m);
	if ((c->extensions & SMTP_EXT_PIPELINING) == 0)
		return;
	for (uint32_t i = next_sendable(m, 0); i < m->rcpt_count; i = next_sendable(m, i + 1))
		send_rcpt(c, s, i);
	send_data(c, s);
}

bool smtp_client_content(struct smtp_client *c, struct span bytes, bool last)
{
	struct smtp_result r;

	if (smtpc_wish(c) != SMTP_CLIENT_SEND_CONTENT)
		return false;
	stuffing_add(&c->stuffing, c->options.out, bytes);
	if (c->stuffing.bare_eol || (last && c->stuffing.after_cr)) {
		smtp_result_set_own(&r, SMTP_CLASS_PERMANENT, SMTP_STAGE_CONTENT, 6, 0,
				    "content has a bare CR or LF, which SMTP cannot carry");
		smtpc_end(c, &r, false, false);
		return false;
	}
	if (!last)
		return true;
	stuffing_end(&c->stuffing, c->options.out);
	c->slots[0].where = W_FINAL_DOT;
	return false;
}

void smtp_client_abort_content(struct smtp_client *c, struct span error_text)
{
	struct smtp_result r;

	if (smtpc_wish(c) != SMTP_CLIENT_SEND_CONTENT)
		return;
	smtp_result_set(&r, SMTP_CLASS_TEMPORARY, SMTP_STAGE_CONTENT, 0, (struct smtp_status){ 4, 3, 0 },
			error_text);
	smtpc_end(c, &r, false, false);
}
