#include "reference-server/core/smtp_client_parts.h"

#include "reference-server/core/mutant.h"

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

static bool is_sendable(const struct smtp_client *c, struct span rcpt)
{
	enum path_fault fault = path_fault(rcpt);
	return rcpt.n > 0 &&
	       (fault == PATH_FINE || (fault == PATH_8BIT && (c->extensions & SMTP_EXT_SMTPUTF8) != 0));
}

/* Index of the first recipient from `from` on that RCPT can carry. */
static uint32_t next_sendable(const struct smtp_client *c, const struct smtp_client_slot *s, uint32_t from)
{
	while (from < s->rcpt_end && !is_sendable(c, s->message.rcpts[from]))
		from++;
	return from;
}

/* ---- commands and their replies ---- */

/* Something that may stand behind a "=" without becoming more than that. */
static bool is_value(struct span s)
{
	return s.n > 0 && path_fault(s) != PATH_CONTROL && span_find(s, ' ') == s.n;
}

static void send_by(struct smtp_client *c, const struct smtp_client_message *m)
{
	buf_addf(c->options.out, " BY=%lld;%c%s", (long long)m->by_s, m->by_return ? 'R' : 'N',
		 m->by_trace ? "T" : "");
}

static void send_mail_wishes(struct smtp_client *c, const struct smtp_client_message *m)
{
	if ((c->extensions & SMTP_EXT_DSN) != 0 || MUTANT(RELAY_DSN_UNASKED)) {
		if (m->ret != SMTP_RET_UNSAID && !MUTANT(RELAY_NO_RET))
			smtpc_send(c, m->ret == SMTP_RET_FULL ? " RET=FULL" : " RET=HDRS");
		if (is_value(m->envid) && !MUTANT(RELAY_NO_ENVID)) {
			smtpc_send(c, " ENVID=");
			buf_add(c->options.out, m->envid);
			if (MUTANT(RELAY_XTEXT_IN_LOWER_CASE))
				mutant_small_letters(c->options.out, buf_bytes(c->options.out) - m->envid.n);
		}
	}
	if (m->has_by && (c->extensions & SMTP_EXT_DELIVERBY))
		send_by(c, m);
	bool kept = c->tls_on && c->options.tls_verified && (c->extensions & SMTP_EXT_REQUIRETLS) != 0;
	if (kept && (m->require_tls || m->prefer_tls) && !MUTANT(RELAY_REQUIRETLS_LOST))
		smtpc_send(c, " REQUIRETLS");
	if (c->extensions & SMTP_EXT_SMTPUTF8 &&
	    (m->utf8 || path_fault(m->reverse_path) == PATH_8BIT || MUTANT(RELAY_SMTPUTF8_ALWAYS)))
		smtpc_send(c, " SMTPUTF8");
}

static void send_mail(struct smtp_client *c, const struct smtp_client_message *m)
{
	smtpc_send(c, "MAIL FROM:<");
	buf_add(c->options.out, m->reverse_path);
	smtpc_send(c, ">");
	if ((c->extensions & SMTP_EXT_SIZE) != 0 || MUTANT(RELAY_SIZE_UNASKED))
		buf_addf(c->options.out, " SIZE=%llu",
			 (unsigned long long)m->content_bytes * (MUTANT(RELAY_SIZE_TOO_LARGE) ? 2 : 1) /
				 (MUTANT(RELAY_SIZE_TOO_SMALL) ? 2 : 1));
	if (m->content_binary && !MUTANT(RELAY_BINARY_UNSAID))
		smtpc_send(c, " BODY=BINARYMIME");
	else if (m->content_8bit && !MUTANT(RELAY_8BIT_UNSAID))
		smtpc_send(c, " BODY=8BITMIME");
	send_mail_wishes(c, m);
	smtpc_send(c, "\r\n");
	c->served = true;
	c->mail_count++;
}

/* UTF-8 for hosts without SMTPUTF8: "\\x{E9}" (RFC 6533 3).  Bytes that are no UTF-8 have no such form: '?'. */
static void send_orcpt(struct smtp_client *c, struct span s)
{
	for (size_t i = 0; i < s.n;) {
		unsigned char first = (unsigned char)s.p[i];
		size_t n = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : first >= 0xC0 ? 2 : 1;
		uint32_t code = first & (0xFFu >> (n + 1));
		bool whole = n > 1 && s.n - i >= n;

		for (size_t k = 1; whole && k < n; k++) {
			whole = ((unsigned char)s.p[i + k] & 0xC0) == 0x80;
			code = code << 6 | ((unsigned char)s.p[i + k] & 0x3Fu);
		}
		if (whole)
			buf_addf(c->options.out, "\\x{%X}", (unsigned)code);
		else
			buf_add(c->options.out, first >= 0x80 ? SPAN_LIT("?") : span_sub(s, i, 1));
		i += whole ? n : 1;
	}
}

/* RFC 3461 4.1 and 4.2 */
static void send_wish(struct smtp_client *c, const struct smtp_client_dsn *w)
{
	static const struct {
		uint8_t bit;
		const char *word;
	} words[] = { { SMTP_NOTIFY_SUCCESS, "SUCCESS" },
		      { SMTP_NOTIFY_FAILURE, "FAILURE" },
		      { SMTP_NOTIFY_DELAY, "DELAY" } };
	const char *between = " NOTIFY=";

	if (MUTANT(RELAY_NO_NOTIFY))
		return;
	if (w->notify & SMTP_NOTIFY_NEVER)
		smtpc_send(c, " NOTIFY=NEVER");
	for (size_t i = 0; i < 3 && (w->notify & SMTP_NOTIFY_NEVER) == 0; i++) {
		if ((w->notify & words[i].bit) == 0)
			continue;
		smtpc_send(c, between);
		smtpc_send(c, words[i].word);
		between = ",";
	}
	if (!is_value(w->orcpt) || MUTANT(RELAY_NO_ORCPT))
		return;
	smtpc_send(c, " ORCPT=");
	if ((c->extensions & SMTP_EXT_SMTPUTF8) != 0 || MUTANT(RELAY_ORCPT_NATIVE))
		buf_add(c->options.out, w->orcpt);
	else
		send_orcpt(c, w->orcpt);
}

static void send_rcpt(struct smtp_client *c, struct smtp_client_slot *s, uint32_t index)
{
	struct span path = s->message.rcpts[index];

	smtpc_send(c, "RCPT TO:<");
	buf_add(c->options.out, path);
	if (MUTANT(RELAY_LOWER_CASE))
		mutant_small_letters(c->options.out, buf_bytes(c->options.out) - path.n);
	smtpc_send(c, ">");
	if (s->message.wishes != NULL && (c->extensions & SMTP_EXT_DSN))
		send_wish(c, &s->message.wishes[index]);
	smtpc_send(c, "\r\n");
	s->rcpt_open++;
}

static const char LINE_MORE[] = "-- scanned\r\n"; /* for a mutant */

static void send_data(struct smtp_client *c, struct smtp_client_slot *s)
{
	if (s->chunked) { /* RFC 3030 2: no reply in between */
		buf_addf(c->options.out, "BDAT %llu LAST\r\n",
			 (unsigned long long)s->message.content_bytes +
				 (MUTANT(RELAY_BDAT_EXTRA_CRLF) ? 2 : 0) +
				 (MUTANT(RELAY_ADDS_A_LINE) ? sizeof(LINE_MORE) - 1 : 0));
		c->chunk_bytes = 0;
		s->where = W_CONTENT;
		stuffing_init(&c->stuffing);
		return;
	}
	smtpc_send(c, "DATA\r\n");
	s->data_sent = true;
}

/* Gives the message up between MAIL and the content; every recipient has, or gets, its verdict. */
static void give_up(struct smtp_client *c, struct smtp_client_slot *s, const struct smtp_result *r)
{
	bool reset = s->mail_ok || s->mail_full;

	smtpc_finish(s, r);
	if (reset && !MUTANT(RELAY_NO_RSET)) {
		smtpc_send(c, "RSET\r\n");
		c->session = S_RSET;
	}
}

/* One by one: what comes behind the reply just had. */
static void next_command(struct smtp_client *c, struct smtp_client_slot *s)
{
	uint32_t index = next_sendable(c, s, s->rcpt_next);

	if (s->rcpt_open > 0)
		return; /* they went out together */
	if (index < s->rcpt_end)
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
	s->mail_full = (c->reply.code == 452 || c->reply.code == 552) && !MUTANT(RELAY_NO_RSET_WHEN_FULL);
	if (!s->mail_ok) {
		smtpc_reply_result(&r, c, smtpc_reply_class(c), SMTP_STAGE_MAIL);
		smtpc_decide(s, &r);
		if (!s->data_sent && s->rcpt_open == 0)
			give_up(c, s, &r);
	} else if (!s->data_sent) {
		next_command(c, s);
	}
}

/* RFC 5321 4.5.3.1.10: this transaction is full, not this mailbox. */
static bool says_too_many(const struct smtp_client *c)
{
	const struct smtp_reply *r = &c->reply;

	if (MUTANT(RELAY_TOO_MANY_RETURNS))
		return false;
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
	uint32_t index = next_sendable(c, s, s->rcpt_next);
	struct smtp_result *result = &s->message.results[index];
	enum smtp_class class_ = class_of_rcpt(c, s);

	assert(index < s->rcpt_end && s->rcpt_open > 0);
	if (smtpc_first_digit(c) == 3) {
		smtpc_end_nonsense(c, "intermediate reply to RCPT");
		return;
	}
	s->rcpt_next = index + 1;
	s->rcpt_open--;
	if (s->mail_ok && class_ == SMTP_CLASS_PERMANENT && MUTANT(RELAY_ONE_FAILS_ALL))
		smtpc_reply_result(&s->message.results[0], c, class_, SMTP_STAGE_RCPT);
	if (s->mail_ok && class_ == SMTP_CLASS_OK)
		s->rcpt_ok++;
	else if (s->mail_ok)
		smtpc_reply_result(result, c, class_, SMTP_STAGE_RCPT);
	if (s->data_sent)
		return;
	if (class_ == SMTP_CLASS_TOO_MANY && s->rcpt_open == 0) { /* the rest would hear the same */
		for (uint32_t i = s->rcpt_next; i < s->rcpt_end; i++)
			if (is_sendable(c, s->message.rcpts[i]))
				smtp_result_copy(&s->message.results[i], result);
		s->rcpt_next = s->rcpt_end;
	}
	next_command(c, s);
}

static void on_data(struct smtp_client *c, struct smtp_client_slot *s)
{
	struct smtp_result r;

	if (MUTANT(RELAY_DATA_REPEATED) && smtpc_first_digit(c) == 4) {
		smtpc_send(c, "DATA\r\n");
		return;
	}
	s->data_sent = false;
	if (smtpc_first_digit(c) == 2) {
		smtpc_end_nonsense(c, "DATA was answered like a finished command");
	} else if (smtpc_first_digit(c) != 3 && !MUTANT(RELAY_CONTENT_ANYWAY)) {
		smtpc_reply_result(&r, c, smtpc_reply_class(c), SMTP_STAGE_DATA);
		give_up(c, s, &r);
	} else if (s->rcpt_ok > 0) {
		s->where = W_CONTENT;
		c->chunk_bytes = 0;
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

/* LMTP (RFC 2033 4.2): r is for the next recipient that was accepted.  The last one ends the message. */
static bool is_last_final_reply(const struct smtp_client *c, struct smtp_client_slot *s,
				const struct smtp_result *r)
{
	struct smtp_result *results = s->message.results;
	uint32_t i = next_sendable(c, s, s->final_next);

	while (i < s->rcpt_end && results[i].class_ != SMTP_CLASS_OK)
		i = next_sendable(c, s, i + 1);
	assert(i < s->rcpt_end);
	smtp_result_copy(&results[i], r);
	s->final_next = i + 1;
	return --s->rcpt_ok == 0;
}

static void on_final_dot(struct smtp_client *c, struct smtp_client_slot *s)
{
	struct smtp_result r;

	if (smtpc_first_digit(c) == 3) {
		smtpc_end_nonsense(c, "intermediate reply to the final dot");
		return;
	}
	smtpc_reply_result(&r, c, smtpc_reply_class(c), SMTP_STAGE_FINAL_DOT);
	s->final_failed |= r.class_ != SMTP_CLASS_OK;
	if (c->options.lmtp && !is_last_final_reply(c, s, &r))
		return;
	smtpc_finish(s, &r);
	if (s->chunked && s->final_failed && smtpc_current(c) == NULL && !MUTANT(RELAY_NO_RSET)) {
		smtpc_send(c, "RSET\r\n");
		c->session = S_RSET;
	}
}

/* The RSET in front of a look-ahead message. */
static void on_early_reset(struct smtp_client *c, struct smtp_client_slot *s)
{
	struct smtp_result r;

	s->reset_open = false;
	if (smtpc_first_digit(c) == 2)
		return;
	smtpc_reply_result(&r, c, SMTP_CLASS_TEMPORARY, SMTP_STAGE_RSET);
	smtpc_end(c, &r, true, false);
}

void smtpc_on_message_reply(struct smtp_client *c)
{
	struct smtp_client_slot *s = smtpc_current(c);

	if (s == NULL) {
		smtpc_end_nonsense(c, "reply to nothing");
		return;
	}
	if (s->reset_open) {
		on_early_reset(c, s);
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

bool smtp_client_is_spent(const struct smtp_client *c)
{
	return c->mail_count_max > 0 && c->mail_count >= c->mail_count_max && !MUTANT(RELAY_MAILMAX_IGNORED);
}

bool smtp_client_can_start(const struct smtp_client *c)
{
	if (c->session != S_RUN || smtp_client_is_spent(c))
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
	bool utf8 = (c->extensions & SMTP_EXT_SMTPUTF8) != 0;
	uint32_t binary = SMTP_EXT_BINARYMIME | SMTP_EXT_CHUNKING;
	enum smtp_class class_ = SMTP_CLASS_PERMANENT;

	if (fault == PATH_CONTROL) {
		subject = 1;
		detail = 7;
		text = "reverse-path holds a control character";
	} else if (fault == PATH_8BIT && !utf8) {
		detail = 7;
		text = "reverse-path is not ASCII, and the next hop does not offer SMTPUTF8";
	} else if (m->utf8 && !utf8) {
		detail = 9;
		text = "the message needs SMTPUTF8, and the next hop does not offer it";
	} else if (m->content_binary && (c->extensions & binary) != binary && !MUTANT(RELAY_BINARY_UNASKED)) {
		text = "content is binary, and the next hop does not offer BINARYMIME";
	} else if (m->content_8bit && !m->content_binary && (c->extensions & SMTP_EXT_8BITMIME) == 0 &&
		   !MUTANT(RELAY_8BIT_UNASKED)) {
		text = "content has 8-bit bytes, and the next hop does not offer 8BITMIME";
	} else if (c->size_bytes_max > 0 && m->content_bytes > c->size_bytes_max) {
		subject = 3;
		detail = 4;
		text = "message is larger than the next hop accepts";
	} else if (m->require_tls && !MUTANT(RELAY_REQUIRETLS_IGNORED) &&
		   !(c->tls_on && c->options.tls_verified)) {
		class_ = SMTP_CLASS_TEMPORARY; /* another host of the destination may do better */
		subject = 7;
		detail = 10;
		text = "the message requires TLS with a host whose name is verified";
	} else if (m->require_tls && !MUTANT(RELAY_REQUIRETLS_IGNORED) &&
		   (c->extensions & SMTP_EXT_REQUIRETLS) == 0) {
		subject = 7;
		detail = 30;
		text = "the message requires TLS all the way, and the next hop does not offer REQUIRETLS";
	} else if (m->has_by && m->by_return &&
		   (m->by_s <= 0 || (c->extensions & SMTP_EXT_DELIVERBY) == 0 ||
		    (c->by_s_min > 0 && m->by_s < (int64_t)c->by_s_min && !MUTANT(RELAY_BY_LEAST_IGNORED)))) {
		subject = 4;
		detail = 7;
		text = "the next hop does not promise delivery by the time asked for";
	} else {
		return false;
	}
	smtp_result_set_own(ret_result, class_, SMTP_STAGE_MAIL, subject, detail, text);
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

/* So the length that BDAT tells would be another. */
static bool adds_in_front(void)
{
	return MUTANT(RELAY_TELLS_RECIPIENTS) || MUTANT(RELAY_ADDS_RETURN_PATH) ||
	       MUTANT(RELAY_RECEIVED_TWICE);
}

void smtp_client_start(struct smtp_client *c, const struct smtp_client_message *m)
{
	struct smtp_client_slot *s = &c->slots[c->slot_count];
	uint32_t sendable_count = 0, last_sendable = 0;
	size_t said = buf_bytes(c->options.out);
	struct smtp_result r;

	assert(smtp_client_can_start(c));
	assert(m->rcpt_count > 0);
	*s = (struct smtp_client_slot){ .message = *m,
					.where = W_ENVELOPE,
					.reused = c->served,
					.rcpt_end = m->rcpt_count,
					.chunked = ((c->extensions & SMTP_EXT_CHUNKING) != 0 ||
						    MUTANT(RELAY_BDAT_UNASKED)) &&
						   !adds_in_front() };
	c->slot_count++;
	for (uint32_t i = 0; i < m->rcpt_count; i++) {
		m->results[i].class_ = SMTP_CLASS_OK; /* no verdict yet */
		if (!is_sendable(c, m->rcpts[i]))
			refuse_rcpt(&m->results[i], m->rcpts[i]);
		else if (c->rcpt_count_max > 0 && sendable_count == c->rcpt_count_max &&
			 !MUTANT(RELAY_RCPTMAX_IGNORED))
			smtp_result_set_own(&m->results[i], SMTP_CLASS_TOO_MANY, SMTP_STAGE_RCPT, 5, 3,
					    "more recipients than the next hop takes at a time");
		else {
			sendable_count++;
			last_sendable = i;
		}
	}
	if (c->rcpt_count_max > 0 && sendable_count > 0)
		s->rcpt_end = last_sendable + 1;
	if (sendable_count == 0) {
		s->where = W_DONE;
		return;
	}
	if (refuse_message(c, m, &r)) {
		smtpc_finish(s, &r);
		return;
	}
	if (c->slot_count == 2 && c->slots[0].chunked) {
		smtpc_send(c, "RSET\r\n");
		s->reset_open = true;
	}
	send_mail(c, m);
	if ((c->extensions & SMTP_EXT_PIPELINING) != 0 || MUTANT(RELAY_PIPELINES_UNASKED)) {
		for (uint32_t i = next_sendable(c, s, 0); i < s->rcpt_end; i = next_sendable(c, s, i + 1))
			send_rcpt(c, s, i);
		if (!s->chunked)
			send_data(c, s);
	}
	smtpc_mutant_says(c->options.out, said);
}

/* For mutants: what stands in front of the content then. */
static void add_in_front(struct smtp_client *c, const struct smtp_client_message *m)
{
	if (MUTANT(RELAY_TELLS_RECIPIENTS))
		for (uint32_t i = 0; i < m->rcpt_count; i++)
			buf_addf(c->options.out, "X-Envelope-To: <%.*s>\r\n", SPAN_FMT(m->rcpts[i]));
	if (MUTANT(RELAY_ADDS_RETURN_PATH))
		buf_addf(c->options.out, "Return-Path: <%.*s>\r\n", SPAN_FMT(m->reverse_path));
	if (MUTANT(RELAY_RECEIVED_TWICE))
		smtpc_send(c, "Received: by mx.sut.example; Sun, 01 Mar 2026 12:00:00 +0000\r\n");
}

bool smtp_client_content(struct smtp_client *c, struct span bytes, bool last)
{
	struct smtp_result r;

	if (smtpc_wish(c) != SMTP_CLIENT_SEND_CONTENT)
		return false;
	const struct smtp_client_slot *s = &c->slots[0];
	if (c->chunk_bytes == 0)
		add_in_front(c, &s->message);
	size_t before = buf_bytes(c->options.out);
	if (s->chunked && s->message.content_binary)
		buf_add(c->options.out, bytes);
	else if (s->chunked && !MUTANT(RELAY_BDAT_STUFFED))
		stuffing_pass(&c->stuffing, c->options.out, bytes);
	else
		stuffing_add(&c->stuffing, c->options.out, bytes);
	c->chunk_bytes += bytes.n;
	smtpc_mutant_carries(c->options.out, before, s->chunked);
	if ((c->stuffing.bare_eol || (last && c->stuffing.after_cr)) && !MUTANT(RELAY_BARE_LINE_ENDS) &&
	    !MUTANT(RELAY_MENDS_LINE_ENDS_LATE) && !MUTANT(RELAY_BINARY_UNASKED)) {
		smtp_result_set_own(&r, SMTP_CLASS_PERMANENT, SMTP_STAGE_CONTENT, 6, 0,
				    "content has a bare CR or LF, which SMTP cannot carry");
		smtpc_end(c, &r, false, false);
		return false;
	}
	if (!last)
		return true;
	if (s->chunked && MUTANT(RELAY_BDAT_EXTRA_CRLF))
		smtpc_send(c, "\r\n");
	if (MUTANT(RELAY_ADDS_A_LINE))
		smtpc_send(c, LINE_MORE);
	if (!s->chunked)
		stuffing_end(&c->stuffing, c->options.out);
	assert(!s->chunked || c->chunk_bytes == s->message.content_bytes);
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
