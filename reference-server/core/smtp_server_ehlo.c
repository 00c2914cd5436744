#include "reference-server/core/smtp_server_parts.h"

#include "reference-server/core/mutant.h"

#include "reference-server/core/date.h"

#include <string.h>

static bool is_name(struct span arg)
{
	if (MUTANT(SMTP_ANY_NAME))
		return arg.n < 100;
	if (MUTANT(SMTP_SHORT_NAMES) && arg.n > 100)
		return false;
	return address_is_domain(arg) || address_is_literal(arg);
}

/* Both begin anew, as RSET does (RFC 5321 4.1.4). */
static bool take_helo(struct smtp_server *s, struct span arg, bool esmtp)
{
	if (MUTANT(SMTP_NAME_VERIFIED) && !span_eq_nocase(arg, SPAN_LIT("probe.example"))) {
		smtps_error(s, SPAN_LIT("550 5.7.1 that is not you\r\n"));
		return false;
	}
	if (!is_name(arg) && MUTANT(SMTP_BAD_EHLO_RESETS))
		smtps_enter(s, SMTP_STATE_READY);
	if (!is_name(arg) && MUTANT(SMTP_EHLO_504)) {
		smtps_error(s, SPAN_LIT("504 5.5.4 no\r\n"));
		return false;
	}
	if (!is_name(arg)) {
		smtps_error(s, SPAN_LIT("501 5.5.4 a host name or address literal must follow\r\n"));
		return false;
	}
	if (MUTANT(TLS_KEEPS_NAME) && s->tls && s->helo.n > 0)
		arg = s->helo;
	memmove(s->helo_text, arg.p, arg.n);
	s->helo = (struct span){ s->helo_text, arg.n };
	s->esmtp = esmtp;
	s->mail_refused = false;
	if (smtps_in_transaction(s) && (MUTANT(SMTP_EHLO_KEEPS) || MUTANT(LMTP_LHLO_KEEPS)))
		return true;
	if (smtps_in_transaction(s))
		s->wish = SMTP_WISH_RESET;
	smtps_enter(s, SMTP_STATE_READY);
	return true;
}

unsigned smtps_offers(const struct smtp_server *s)
{
	unsigned offers = SMTP_OFFER_SMTPUTF8 | SMTP_OFFER_DELIVERBY;

	if (smtps_can_auth(s))
		offers |= SMTP_OFFER_AUTH;
	if (!smtps_is_lmtp(s)) /* what is binary is encoded on its way out of the queue, and there is none */
		offers |= SMTP_OFFER_BINARYMIME;
	if (s->tls)
		offers |= SMTP_OFFER_REQUIRETLS; /* RFC 8689 2: in a session that employs TLS */
	if ((s->config->role == SMTP_ROLE_SUBMISSION || MUTANT(HOLD_EVERYWHERE)) && s->config->hold_s_max > 0)
		offers |= SMTP_OFFER_FUTURERELEASE; /* nowhere else (RFC 4865 4.2 (2)) */
	return offers & ~s->config->without;
}

static void end_line(struct smtp_server *s, struct smtps_text *t)
{
	smtps_text_add(t, SPAN_LIT("\r\n"));
	smtps_reply(s, (struct span){ t->p, t->n });
}

/* RFC 2852 2 */
static void offer_deliver_by(struct smtp_server *s)
{
	struct smtps_text t = { .n = 0 };

	smtps_text_add(&t, MUTANT(KEYWORD_TWO_NUMBERS) ? SPAN_LIT("250-DELIVERBY 1 2")
						       : SPAN_LIT("250-DELIVERBY"));
	if (s->config->by_s_min > 0) {
		smtps_text_add(&t, SPAN_LIT(" "));
		smtps_text_add_u64(&t, (uint64_t)s->config->by_s_min);
	}
	end_line(s, &t);
}

/* RFC 4865 3 (3) */
static void offer_future_release(struct smtp_server *s)
{
	struct smtps_text t = { .n = 0 };
	char until[DATE_TEXT_BYTES];

	smtps_text_add(&t, SPAN_LIT("250-FUTURERELEASE "));
	smtps_text_add_u64(&t, (uint64_t)s->config->hold_s_max);
	smtps_text_add(&t, SPAN_LIT(" "));
	if (!MUTANT(HOLD_UNTOLD))
		smtps_text_add(&t, date_format(s->now_wall_ms + s->config->hold_s_max * 1000, until));
	end_line(s, &t);
}

/* RFC 9422 4: no value has more than six digits. */
static void offer_limit(struct smtps_text *t, struct span name, uint32_t value)
{
	enum { LIMIT_MAX = 999999 };

	smtps_text_add(t, name);
	if (MUTANT(LIMITS_SEVEN_DIGITS))
		smtps_text_add(t, SPAN_LIT("0000"));
	smtps_text_add_u64(t, value < LIMIT_MAX ? value : LIMIT_MAX);
}

static void offer_limits(struct smtp_server *s)
{
	struct smtps_text t = { .n = 0 };

	offer_limit(&t, SPAN_LIT("250-LIMITS RCPTMAX="), s->config->rcpt_count_max);
	if (s->config->mail_count_max > 0)
		offer_limit(&t, SPAN_LIT(" MAILMAX="), s->config->mail_count_max);
	end_line(s, &t);
}

static void offer_size(struct smtp_server *s)
{
	struct smtps_text t = { .n = 0 };

	smtps_text_add(&t, SPAN_LIT("250-SIZE "));
	smtps_text_add_u64(&t, s->config->size_bytes_max);
	if (MUTANT(KEYWORD_TWO_NUMBERS))
		smtps_text_add(&t, SPAN_LIT(" 1"));
	end_line(s, &t);
}

static void offer_bare(struct smtp_server *s, struct span keyword)
{
	smtps_reply3(s, keyword, MUTANT(KEYWORD_WITH_VALUE) ? SPAN_LIT(" yes") : (struct span){ NULL, 0 },
		     SPAN_LIT("\r\n"));
}

void smtps_on_ehlo(struct smtp_server *s, struct span arg)
{
	if (!take_helo(s, arg, true))
		return;
	unsigned offers = smtps_offers(s);
	bool less = MUTANT(SUBMIT_OFFERS_LESS) || MUTANT(LMTP_OFFERS_LESS);
	smtps_reply3(s, SPAN_LIT("250-"), s->config->host, SPAN_LIT("\r\n"));
	if (!less)
		smtps_reply(s, MUTANT(SMTP_KEYWORD_PARAMETERS) ? SPAN_LIT("250-PIPELINING yes\r\n")
							       : SPAN_LIT("250-PIPELINING\r\n"));
	if (!MUTANT(SMTP_NO_SIZE))
		offer_size(s);
	if (MUTANT(SUBMIT_OFFERS_ETRN))
		smtps_reply(s, SPAN_LIT("250-ETRN\r\n250-ATRN\r\n"));
	if (MUTANT(SMTP_ODD_KEYWORD))
		smtps_reply(s, SPAN_LIT("250-FROBNICATE\r\n"));
	if (!MUTANT(SMTP_NO_8BITMIME) && !less)
		offer_bare(s, MUTANT(SMTP_HELP_LINE_MIXED) ? SPAN_LIT("251-8BITMIME")
							   : SPAN_LIT("250-8BITMIME"));
	if ((offers & SMTP_OFFER_SMTPUTF8) != 0)
		offer_bare(s, SPAN_LIT("250-SMTPUTF8"));
	if (!MUTANT(BINARY_WITHOUT_CHUNKING))
		smtps_reply(s, SPAN_LIT("250-CHUNKING\r\n"));
	if ((offers & SMTP_OFFER_BINARYMIME) != 0)
		offer_bare(s, SPAN_LIT("250-BINARYMIME"));
	if (!less)
		offer_bare(s, SPAN_LIT("250-DSN"));
	if (!less)
		smtps_reply(s, MUTANT(SMTP_KEYWORD_PARAMETERS) ? SPAN_LIT("250-ENHANCEDSTATUSCODES 1\r\n")
							       : SPAN_LIT("250-ENHANCEDSTATUSCODES\r\n"));
	offer_limits(s);
	if ((offers & SMTP_OFFER_DELIVERBY) != 0)
		offer_deliver_by(s);
	if ((offers & SMTP_OFFER_FUTURERELEASE) != 0)
		offer_future_release(s);
	if ((offers & SMTP_OFFER_REQUIRETLS) != 0)
		smtps_reply(s, SPAN_LIT("250-REQUIRETLS\r\n"));
	if (s->config->offer_starttls && (!s->tls || MUTANT(SMTP_TLS_TWICE)))
		offer_bare(s, SPAN_LIT("250-STARTTLS"));
	if (s->config->expn && !MUTANT(SMTP_EXPN_UNLISTED)) /* RFC 5321 3.5.2 */
		smtps_reply(s, SPAN_LIT("250-EXPN\r\n"));
	if (smtps_offered_mechanisms(s).n > 0)
		smtps_reply3(s, MUTANT(AUTH_NO_LIST) ? SPAN_LIT("250-AUTH=") : SPAN_LIT("250-AUTH "),
			     smtps_offered_mechanisms(s), SPAN_LIT("\r\n"));
	smtps_reply(s, MUTANT(SMTP_HELP_UNLISTED) ? SPAN_LIT("250 XNOTHING\r\n") : SPAN_LIT("250 HELP\r\n"));
}

void smtps_on_helo(struct smtp_server *s, struct span arg)
{
	if (MUTANT(SMTP_HELO_LISTS))
		smtps_on_ehlo(s, arg);
	else if (take_helo(s, arg, false))
		smtps_reply3(s, SPAN_LIT("250 "), s->config->host, SPAN_LIT("\r\n"));
}

struct span smtp_server_protocol(const struct smtp_server *s)
{
	static const struct span names[4][4] = {
		{ { "ESMTP", 5 }, { "ESMTPA", 6 }, { "ESMTPS", 6 }, { "ESMTPSA", 7 } },
		{ { "LMTP", 4 }, { "LMTPA", 5 }, { "LMTPS", 5 }, { "LMTPSA", 6 } },
		{ { "UTF8SMTP", 8 }, { "UTF8SMTPA", 9 }, { "UTF8SMTPS", 9 }, { "UTF8SMTPSA", 10 } },
		{ { "UTF8LMTP", 8 }, { "UTF8LMTPA", 9 }, { "UTF8LMTPS", 9 }, { "UTF8LMTPSA", 10 } },
	};
	size_t what = (s->utf8 ? 2u : 0u) + (smtps_is_lmtp(s) ? 1u : 0u);
	size_t how = (s->tls ? 2u : 0u) + (s->authenticated ? 1u : 0u);

	return s->esmtp && !MUTANT(SMTP_WITH_SMTP) && !MUTANT(LMTP_WITH_SMTP) ? names[what][how]
									      : SPAN_LIT("SMTP");
}
