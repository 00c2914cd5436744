#include "reference-server/core/smtp_server_parts.h"

#include "reference-server/core/mutant.h"
#include "reference-server/core/utf8.h"

#include <assert.h>
#include <string.h>

/* " SMTPUTF8" behind the string (RFC 6531 3.7.4.2). */
static bool take_utf8_wish(const struct smtp_server *s, struct span *arg)
{
	static const struct span wish = { " SMTPUTF8", 9 };

	if ((smtps_offers(s) & SMTP_OFFER_SMTPUTF8) == 0 || !span_ends_nocase(*arg, wish))
		return false;
	arg->n -= wish.n;
	*arg = span_trim(*arg);
	return true;
}

/* "sales", "sales@fredsco.example" or the latter in brackets; a user's full name is nobody's address here. */
static bool take_name(struct smtp_server *s, struct span arg)
{
	if (MUTANT(SMTP_VRFY_FULL_ONLY) && span_find(arg, '@') == arg.n)
		return false;
	char mailbox[ADDRESS_LOCAL_BYTES_MAX + 2];
	struct address a;

	if (arg.n > 2 && arg.p[0] == '<' && arg.p[arg.n - 1] == '>')
		arg = span_sub(arg, 1, arg.n - 2);
	s->verify_bare = false;
	if (address_parse_mailbox(arg, &a) != ADDRESS_OK) {
		if (arg.n == 0 || arg.n > ADDRESS_LOCAL_BYTES_MAX)
			return false;
		memcpy(mailbox, arg.p, arg.n);
		memcpy(mailbox + arg.n, "@x", 2);
		if (address_parse_mailbox((struct span){ mailbox, arg.n + 2 }, &a) != ADDRESS_OK)
			return false;
		a.domain.n = 0;
		s->verify_bare = true;
	}
	s->forward_path = address_text(a, s->forward_text);
	return true;
}

static void wish_verify(struct smtp_server *s, struct span arg, bool expands)
{
	s->verify_utf8 = take_utf8_wish(s, &arg);
	s->verify_expands = expands;
	if (take_name(s, arg))
		s->wish = SMTP_WISH_VERIFY;
	else
		smtps_error(s, SPAN_LIT("501 5.1.3 neither a mailbox nor a local-part\r\n"));
}

/* Says nothing about who exists, unless it may (RFC 5321 3.5.3, 7.3). */
void smtps_on_vrfy(struct smtp_server *s, struct span arg)
{
	if (MUTANT(SMTP_VRFY_RESETS))
		smtps_enter(s, SMTP_STATE_READY);
	if (arg.n == 0)
		smtps_error(s, SPAN_LIT("501 5.5.4 a mailbox must follow\r\n"));
	else if (MUTANT(SMTP_VRFY_252_ONCE) && s->idle_count > 1)
		smtps_reply(s, SPAN_LIT("554 5.7.0 enough\r\n"));
	else if (MUTANT(SMTP_VRFY_LIES))
		smtps_reply(s, SPAN_LIT("250 2.5.0 <somebody@here.example>\r\n"));
	else if (!s->config->vrfy || !s->authenticated)
		smtps_reply(s, SPAN_LIT("252 2.5.0 not verified, but RCPT will say\r\n"));
	else
		wish_verify(s, arg, false);
}

void smtps_on_expn(struct smtp_server *s, struct span arg)
{
	if (MUTANT(SMTP_VRFY_RESETS))
		smtps_enter(s, SMTP_STATE_READY);
	if (!s->config->expn) /* switched off, which nothing may look like an answer of (RFC 5321 7.3) */
		smtps_reply(s, SPAN_LIT("252 2.5.0 not expanded, but RCPT will say\r\n"));
	else if (!s->authenticated)
		smtps_error(s, SPAN_LIT("530 5.7.0 authentication required\r\n"));
	else if (arg.n == 0)
		smtps_error(s, SPAN_LIT("501 5.5.4 a mailbox must follow\r\n"));
	else
		wish_verify(s, arg, true);
}

static void show(struct smtp_server *s, const struct span *addresses, uint32_t count)
{
	for (uint32_t i = 0; i < count && !s->verify_utf8; i++) {
		if (utf8_is_ascii(addresses[i]))
			continue;
		smtps_reply(
			s,
			s->verify_expands
				? SPAN_LIT("550 5.6.8 a member's name needs SMTPUTF8 in this command\r\n")
				: SPAN_LIT(
					  "252 2.6.8 the mailbox's name needs SMTPUTF8 in this command\r\n"));
		return;
	}
	if (MUTANT(EXPN_FIRST_ONLY))
		count = 1;
	if (MUTANT(EXPN_TALKS) && s->verify_expands)
		smtps_reply(s, SPAN_LIT("250-2.1.5 they are\r\n"));
	for (uint32_t i = 0; i < count; i++)
		smtps_reply3(s, i + 1 < count ? SPAN_LIT("250-2.1.5 <") : SPAN_LIT("250 2.1.5 <"),
			     addresses[i], SPAN_LIT(">\r\n"));
}

void smtp_server_answer_verify(struct smtp_server *s, enum smtp_verify found, const struct span *addresses,
			       uint32_t count)
{
	assert(s->wish == SMTP_WISH_VERIFY);
	s->wish = SMTP_WISH_INPUT;
	switch (found) {
	case SMTP_VERIFY_FOUND:
		assert(count > 0 && (s->verify_expands || count == 1));
		show(s, addresses, count);
		break;
	case SMTP_VERIFY_ELSEWHERE:
		smtps_reply(s, SPAN_LIT("252 2.5.0 not a mailbox here, but mail for it is taken\r\n"));
		break;
	case SMTP_VERIFY_NONE:
		smtps_reply(s, smtp_answer_line(SMTP_ANSWER_NO_SUCH_MAILBOX));
		break;
	case SMTP_VERIFY_NOT_A_LIST:
		smtps_reply(s, SPAN_LIT("550 5.2.4 that is a mailbox, not a list\r\n"));
		break;
	case SMTP_VERIFY_TRY_LATER:
		smtps_reply(s, smtp_answer_line(SMTP_ANSWER_TRY_LATER));
		break;
	}
	smtps_count_idle(s);
}
