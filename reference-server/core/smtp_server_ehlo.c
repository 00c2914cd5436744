#include "reference-server/core/smtp_server_parts.h"

#include <assert.h>
#include <string.h>

/* Both begin anew, as RSET does (RFC 5321 4.1.4). */
static bool take_helo(struct smtp_server *s, struct span arg, bool esmtp)
{
	if (!address_is_domain(arg) && !address_is_literal(arg)) {
		smtps_error(s, SPAN_LIT("501 5.5.4 a host name or address literal must follow\r\n"));
		return false;
	}
	memcpy(s->helo_text, arg.p, arg.n);
	s->helo = (struct span){ s->helo_text, arg.n };
	s->esmtp = esmtp;
	s->mail_refused = false;
	if (smtps_in_transaction(s))
		s->wish = SMTP_WISH_RESET;
	smtps_enter(s, SMTP_STATE_READY);
	return true;
}

void smtps_on_ehlo(struct smtp_server *s, struct span arg)
{
	struct smtps_text size = { .n = 0 };

	if (!take_helo(s, arg, true))
		return;
	smtps_reply3(s, SPAN_LIT("250-"), s->config->host, SPAN_LIT("\r\n"));
	smtps_reply(s, SPAN_LIT("250-PIPELINING\r\n"));
	smtps_text_add(&size, SPAN_LIT("250-SIZE "));
	smtps_text_add_u64(&size, s->config->size_bytes_max);
	smtps_text_add(&size, SPAN_LIT("\r\n"));
	smtps_reply(s, (struct span){ size.p, size.n });
	smtps_reply(s, SPAN_LIT("250-8BITMIME\r\n"));
	smtps_reply(s, SPAN_LIT("250-CHUNKING\r\n"));
	if (!smtps_is_lmtp(s)) /* what is binary is encoded on its way out of the queue, and there is none */
		smtps_reply(s, SPAN_LIT("250-BINARYMIME\r\n"));
	smtps_reply(s, SPAN_LIT("250-DSN\r\n"));
	smtps_reply(s, SPAN_LIT("250-ENHANCEDSTATUSCODES\r\n"));
	if (s->config->offer_starttls && !s->tls)
		smtps_reply(s, SPAN_LIT("250-STARTTLS\r\n"));
	if (smtps_offered_mechanisms(s).n > 0)
		smtps_reply3(s, SPAN_LIT("250-AUTH "), smtps_offered_mechanisms(s), SPAN_LIT("\r\n"));
	smtps_reply(s, SPAN_LIT("250 HELP\r\n"));
}

void smtps_on_helo(struct smtp_server *s, struct span arg)
{
	if (take_helo(s, arg, false))
		smtps_reply3(s, SPAN_LIT("250 "), s->config->host, SPAN_LIT("\r\n"));
}

struct span smtp_server_protocol(const struct smtp_server *s)
{
	if (!s->esmtp)
		return SPAN_LIT("SMTP");
	if (smtps_is_lmtp(s) && s->tls)
		return s->authenticated ? SPAN_LIT("LMTPSA") : SPAN_LIT("LMTPS");
	if (smtps_is_lmtp(s))
		return s->authenticated ? SPAN_LIT("LMTPA") : SPAN_LIT("LMTP");
	if (s->tls)
		return s->authenticated ? SPAN_LIT("ESMTPSA") : SPAN_LIT("ESMTPS");
	return s->authenticated ? SPAN_LIT("ESMTPA") : SPAN_LIT("ESMTP");
}
