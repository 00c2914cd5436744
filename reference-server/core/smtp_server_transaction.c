#include "reference-server/core/smtp_server_parts.h"

#include <assert.h>
#include <string.h>

/* X.1.7 speaks of the sender's address, X.1.3 of the recipient's (RFC 3463 3.2). */
static void path_error(struct smtp_server *s, enum address_result result, bool of_mail)
{
	switch (result) {
	case ADDRESS_SYNTAX:
		smtps_error(s, of_mail ? SPAN_LIT("501 5.1.7 malformed reverse-path\r\n")
				       : SPAN_LIT("501 5.1.3 malformed forward-path\r\n"));
		break;
	case ADDRESS_NOT_ASCII:
		smtps_error(s, SPAN_LIT("553 5.6.7 addresses must be ASCII\r\n"));
		break;
	case ADDRESS_LOCAL_TOO_LONG:
	case ADDRESS_DOMAIN_TOO_LONG:
	case ADDRESS_PATH_TOO_LONG:
		smtps_error(s, of_mail ? SPAN_LIT("501 5.1.7 reverse-path is too long\r\n")
				       : SPAN_LIT("501 5.1.3 forward-path is too long\r\n"));
		break;
	case ADDRESS_OK:
		assert(false);
		break;
	}
}

/* True when all is well; otherwise the reply is given. */
static bool accept_parameters(struct smtp_server *s, enum smtp_parameter_result result)
{
	switch (result) {
	case SMTP_PARAMETER_OK:
		return true;
	case SMTP_PARAMETER_BAD:
		smtps_error(s, SPAN_LIT("501 5.5.4 malformed parameter\r\n"));
		return false;
	case SMTP_PARAMETER_UNKNOWN:
		smtps_error(s, SPAN_LIT("555 5.5.4 parameter not supported\r\n"));
		return false;
	}
	assert(false);
	return false;
}

void smtps_begin_transaction(struct smtp_server *s)
{
	s->reverse_path = (struct span){ s->reverse_text, 0 };
	s->size_declared_bytes = 0;
	s->body = SMTP_BODY_UNDECLARED;
	s->ret = SMTP_RET_UNSAID;
	s->envid = (struct span){ s->envid_text, 0 };
	s->rcpt_count = 0;
	s->mail_refused = true; /* until it is accepted */
}

static struct span copy_text(char *to, struct span text)
{
	if (text.n > 0)
		memcpy(to, text.p, text.n);
	return (struct span){ to, text.n };
}

void smtps_on_mail(struct smtp_server *s, struct span arg)
{
	struct smtp_mail_parameters parameters;
	struct address path;

	smtps_begin_transaction(s);
	if (!span_take_prefix_nocase(&arg, SPAN_LIT("FROM:"))) {
		smtps_error(s, SPAN_LIT("501 5.5.4 FROM:<address> must follow\r\n"));
		return;
	}
	enum address_result result = address_take_reverse_path(&arg, &path);
	if (result != ADDRESS_OK) {
		path_error(s, result, true);
		return;
	}
	if (!accept_parameters(s, smtp_parameter_parse_mail(arg, smtps_can_auth(s), &parameters)))
		return;
	if (smtps_is_lmtp(s) && parameters.body == SMTP_BODY_BINARYMIME) {
		(void)accept_parameters(s, SMTP_PARAMETER_UNKNOWN);
		return;
	}
	s->size_declared_bytes = parameters.size_bytes;
	s->body = parameters.body;
	s->ret = parameters.ret;
	s->envid = copy_text(s->envid_text, parameters.envid);
	if (s->config->size_bytes_max > 0 && s->size_declared_bytes > s->config->size_bytes_max) {
		smtps_reply(s, smtp_answer_line(SMTP_ANSWER_TOO_BIG));
		return;
	}
	s->reverse_path = address_text(path, s->reverse_text);
	s->wish = SMTP_WISH_MAIL;
}

void smtp_server_answer_mail(struct smtp_server *s, enum smtp_answer answer)
{
	assert(s->wish == SMTP_WISH_MAIL);
	assert(answer < SMTP_ANSWER_COUNT);
	s->wish = SMTP_WISH_INPUT;
	if (answer != SMTP_ANSWER_ACCEPT) {
		smtps_reply(s, smtp_answer_line(answer));
		return;
	}
	s->mail_refused = false;
	smtps_enter(s, SMTP_STATE_MAIL);
	smtps_reply(s, SPAN_LIT("250 2.1.0 sender ok\r\n"));
}

void smtps_on_rcpt(struct smtp_server *s, struct span arg)
{
	struct smtp_rcpt_parameters parameters;
	struct address path;

	if (!span_take_prefix_nocase(&arg, SPAN_LIT("TO:"))) {
		smtps_error(s, SPAN_LIT("501 5.5.4 TO:<address> must follow\r\n"));
		return;
	}
	enum address_result result = address_take_forward_path(&arg, &path);
	if (result != ADDRESS_OK) {
		path_error(s, result, false);
		return;
	}
	if (!accept_parameters(s, smtp_parameter_parse_rcpt(arg, &parameters)))
		return;
	if (s->rcpt_count >= s->config->rcpt_count_max) {
		smtps_reply(s, smtp_answer_line(SMTP_ANSWER_TOO_MANY_RCPT));
		return;
	}
	s->notify = parameters.notify;
	s->orcpt = copy_text(s->orcpt_text, parameters.orcpt);
	s->forward_path = address_text(path, s->forward_text);
	s->wish = SMTP_WISH_RCPT;
}

void smtp_server_answer_rcpt(struct smtp_server *s, enum smtp_answer answer)
{
	assert(s->wish == SMTP_WISH_RCPT);
	assert(answer < SMTP_ANSWER_COUNT);
	s->wish = SMTP_WISH_INPUT;
	if (answer != SMTP_ANSWER_ACCEPT) {
		smtps_reply(s, smtp_answer_line(answer));
		return;
	}
	s->rcpt_count++;
	smtps_enter(s, SMTP_STATE_RCPT);
	smtps_reply(s, SPAN_LIT("250 2.1.5 recipient ok\r\n"));
}
