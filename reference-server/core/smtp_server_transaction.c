#include "reference-server/core/smtp_server_parts.h"

#include "reference-server/core/mutant.h"
#include "reference-server/core/utf8.h"

#include <assert.h>
#include <string.h>

/* RFC 6531 3.5, RFC 5248: 550 for the reverse-path, 553 for a forward-path. */
static void refuse_8bit(struct smtp_server *s, bool of_mail)
{
	smtps_error(s,
		    MUTANT(UTF8_ODD_CODES) ? SPAN_LIT("501 5.1.7 no\r\n")
		    : of_mail
			    ? SPAN_LIT("550 5.6.7 an address that is not ASCII goes with SMTPUTF8 only\r\n")
			    : SPAN_LIT("553 5.6.7 an address that is not ASCII goes with SMTPUTF8 only\r\n"));
}

/* X.1.7 speaks of the sender's address, X.1.3 of the recipient's (RFC 3463 3.2).  utf8: 8-bit bytes are no fault. */
static void path_error(struct smtp_server *s, enum address_result result, bool of_mail, bool utf8)
{
	switch (result) {
	case ADDRESS_SYNTAX_8BIT:
		if (!utf8) {
			refuse_8bit(s, of_mail);
			break;
		}
		__attribute__((fallthrough));
	case ADDRESS_SYNTAX:
		smtps_error(s, MUTANT(SMTP_MALFORMED_251) ? SPAN_LIT("251 2.1.0 odd\r\n")
			       : of_mail                  ? SPAN_LIT("501 5.1.7 malformed reverse-path\r\n")
							  : SPAN_LIT("501 5.1.3 malformed forward-path\r\n"));
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
		if (MUTANT(SMTP_ANY_PARAMETER))
			return true;
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
	s->utf8 = s->requires_tls = s->by_trace = false;
	s->by = SMTP_BY_NONE;
	s->deliver_by_wall_ms = s->release_wall_ms = 0;
	s->hold = (struct span){ s->hold_text, 0 };
	s->mail_refused = true; /* until it is accepted */
}

static struct span copy_text(char *to, struct span text)
{
	if (text.n > 0)
		memcpy(to, text.p, text.n);
	return (struct span){ to, text.n };
}

/* RFC 2852 4, RFC 4865 4.2 and 5.2.2.  Empty when they can be met. */
static struct span judge_times(const struct smtp_server *s, const struct smtp_mail_parameters *p)
{
	int64_t hold_max_wall_ms = s->now_wall_ms + s->config->hold_s_max * 1000;

	if (p->by == SMTP_BY_RETURN && p->by_s < s->config->by_s_min)
		return SPAN_LIT("555 5.5.4 BY is below the minimum that DELIVERBY announces\r\n");
	if (p->hold == SMTP_HOLD_NONE || MUTANT(HOLD_ANY_TIME))
		return (struct span){ NULL, 0 };
	if (s->release_wall_ms <= s->now_wall_ms)
		return SPAN_LIT("501 5.5.4 HOLDUNTIL is not in the future\r\n");
	if (s->release_wall_ms > hold_max_wall_ms)
		return SPAN_LIT("501 5.5.4 longer than FUTURERELEASE allows\r\n");
	if (p->by != SMTP_BY_NONE && s->release_wall_ms > s->deliver_by_wall_ms)
		return SPAN_LIT("501 5.5.4 to be held until after its BY time\r\n");
	return (struct span){ NULL, 0 };
}

static void take_times(struct smtp_server *s, const struct smtp_mail_parameters *p)
{
	struct span kind = p->hold == SMTP_HOLD_FOR ? SPAN_LIT("for;") : SPAN_LIT("until;");

	s->by = p->by;
	s->by_trace = p->by_trace;
	if (p->by != SMTP_BY_NONE)
		s->deliver_by_wall_ms = s->now_wall_ms + p->by_s * 1000;
	if (p->hold == SMTP_HOLD_NONE)
		return;
	assert(p->hold_text.n <= SMTP_HOLD_BYTES_MAX);
	s->release_wall_ms = p->hold == SMTP_HOLD_FOR ? s->now_wall_ms + p->hold_s * 1000 : p->hold_wall_ms;
	memcpy(s->hold_text, kind.p, kind.n);
	memcpy(s->hold_text + kind.n, p->hold_text.p, p->hold_text.n);
	s->hold.n = kind.n + p->hold_text.n;
}

/*
 * RFC 6409 4.2.  Not of a literal, of postmaster alone, of the null path, and of names in UTF-8, which have more
 * kinds of dots.  When true the reply is given.
 */
static bool lacks_full_domain(struct smtp_server *s, struct address path, bool of_mail)
{
	struct span domain = path.domain;

	if (!s->config->strict_submission || domain.n == 0 || domain.p[0] == '[' ||
	    span_find(domain, '.') < domain.n || !utf8_is_ascii(domain) || MUTANT(SUBMIT_PARTIAL_DOMAIN) ||
	    MUTANT(SMTP_COMPLETES_NAMES))
		return false;
	smtps_error(s, MUTANT(SUBMIT_ODD_CODES) ? SPAN_LIT("501 5.1.8 no\r\n")
		       : of_mail ? SPAN_LIT("554 5.1.8 the sender's domain is not fully qualified\r\n")
				 : SPAN_LIT("554 5.1.2 the recipient's domain is not fully qualified\r\n"));
	return true;
}

/* Its parameters cannot be parsed where the path is malformed; whether this one is there is seen all the same. */
static bool names_smtputf8(const struct smtp_server *s, struct span arg)
{
	while (arg.n > 0 && (smtps_offers(s) & SMTP_OFFER_SMTPUTF8) != 0) {
		arg = span_sub(arg, span_find(arg, ' ') + 1, arg.n);
		if (span_eq_nocase(span_sub(arg, 0, span_find(arg, ' ')), SPAN_LIT("SMTPUTF8")))
			return true;
	}
	return false;
}

static bool take_mail_parameters(struct smtp_server *s, struct span arg, struct address path)
{
	struct smtp_mail_parameters p;

	if (!accept_parameters(s, smtp_parameter_parse_mail(arg, smtps_offers(s), &p)))
		return false;
	if ((!p.utf8 || MUTANT(UTF8_REFUSED)) && !address_is_ascii(path)) {
		refuse_8bit(s, true);
		return false;
	}
	take_times(s, &p);
	struct span refusal = judge_times(s, &p);
	if (refusal.n > 0) {
		smtps_error(s, refusal);
		return false;
	}
	s->size_declared_bytes = p.size_bytes;
	s->body = p.body;
	s->ret = p.ret;
	s->envid = copy_text(s->envid_text, p.envid);
	s->utf8 = p.utf8;
	s->requires_tls = p.require_tls;
	return true;
}

static bool is_refused_literal(struct address path)
{
	return MUTANT(SMTP_NO_LITERALS) && path.domain.n > 0 && path.domain.p[0] == '[';
}

void smtps_on_mail(struct smtp_server *s, struct span arg)
{
	struct address path;

	smtps_begin_transaction(s);
	s->mail_count++;
	if (s->config->mail_count_max > 0 && s->mail_count > s->config->mail_count_max) {
		smtps_reply(s, SPAN_LIT("452 4.5.3 too many transactions in one session, connect again\r\n"));
		return;
	}
	if (!span_take_prefix_nocase(&arg, SPAN_LIT("FROM:"))) {
		smtps_error(s, SPAN_LIT("501 5.5.4 FROM:<address> must follow\r\n"));
		return;
	}
	enum address_result result = address_take_reverse_path(&arg, &path);
	if (result == ADDRESS_OK && is_refused_literal(path))
		result = ADDRESS_SYNTAX;
	if (result != ADDRESS_OK) {
		path_error(s, result, true, names_smtputf8(s, arg));
		return;
	}
	if (lacks_full_domain(s, path, true) || !take_mail_parameters(s, arg, path))
		return;
	if (s->config->size_bytes_max > 0 && s->size_declared_bytes > s->config->size_bytes_max &&
	    !MUTANT(SMTP_SIZE_IGNORED)) {
		smtps_reply(s, smtp_answer_line(SMTP_ANSWER_TOO_BIG));
		return;
	}
	s->reverse_path = address_text(path, s->reverse_text);
	if (MUTANT(SMTP_NO_NULL_PATH) && s->reverse_path.n == 0) {
		smtps_error(s, SPAN_LIT("550 5.1.7 somebody must have sent it\r\n"));
		return;
	}
	for (size_t i = 0; i < s->reverse_path.n && MUTANT(SMTP_FOLDS_SENDER); i++)
		if (s->reverse_text[i] >= 'A' && s->reverse_text[i] <= 'Z')
			s->reverse_text[i] |= 32;
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
	smtps_reply(s, MUTANT(SMTP_NO_STATUS) ? SPAN_LIT("250 sender ok\r\n")
					      : SPAN_LIT("250 2.1.0 sender ok\r\n"));
}

void smtps_on_rcpt(struct smtp_server *s, struct span arg)
{
	struct smtp_rcpt_parameters parameters;
	struct address path;

	if (!span_take_prefix_nocase(&arg, SPAN_LIT("TO:"))) {
		smtps_error(s, SPAN_LIT("501 5.5.4 TO:<address> must follow\r\n"));
		return;
	}
	bool routed = arg.n > 1 && arg.p[1] == '@';
	enum address_result result = address_take_forward_path(&arg, &path);
	if (MUTANT(SMTP_NO_ROUTES) && routed)
		result = ADDRESS_SYNTAX;
	if (result == ADDRESS_OK && is_refused_literal(path))
		result = ADDRESS_SYNTAX;
	if (result != ADDRESS_OK) {
		path_error(s, result, false, s->utf8);
		return;
	}
	if (!accept_parameters(s, smtp_parameter_parse_rcpt(arg, smtps_offers(s), &parameters)))
		return;
	if (!s->utf8 && !address_is_ascii(path)) {
		refuse_8bit(s, false);
		return;
	}
	if (lacks_full_domain(s, path, false))
		return;
	if (s->rcpt_count >= (MUTANT(SMTP_FEW_RECIPIENTS) ? 50 : s->config->rcpt_count_max)) {
		smtps_reply(s, smtp_answer_line(SMTP_ANSWER_TOO_MANY_RCPT));
		return;
	}
	s->notify = parameters.notify;
	s->orcpt = copy_text(s->orcpt_text, parameters.orcpt);
	s->forward_path = address_text(path, s->forward_text);
	s->wish = SMTP_WISH_RCPT;
}

/* Who learns that addresses do not exist, one after the other, is guessing (RFC 5321 7.8). */
static void refuse_rcpt(struct smtp_server *s, struct span line)
{
	smtps_reply(s, line);
	if (line.p[0] == '5')
		smtps_count(s, &s->refused_rcpt_count, s->config->refused_rcpt_count_max,
			    SPAN_LIT("421 4.7.0 too many refused recipients, closing\r\n"));
}

void smtp_server_answer_rcpt(struct smtp_server *s, enum smtp_answer answer)
{
	assert(s->wish == SMTP_WISH_RCPT);
	assert(answer < SMTP_ANSWER_COUNT);
	s->wish = SMTP_WISH_INPUT;
	if (answer == SMTP_ANSWER_NO_SUCH_MAILBOX && MUTANT(SMTP_UNKNOWN_250)) {
		smtps_reply(s, SPAN_LIT("250 2.1.5 recipient ok\r\n"));
		return;
	}
	if (answer != SMTP_ANSWER_ACCEPT) {
		refuse_rcpt(s, smtp_answer_line(answer));
		return;
	}
	s->rcpt_count++;
	smtps_enter(s, SMTP_STATE_RCPT);
	smtps_reply(s, SPAN_LIT("250 2.1.5 recipient ok\r\n"));
}
