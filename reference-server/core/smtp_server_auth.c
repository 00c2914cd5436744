#include "reference-server/core/smtp_server_parts.h"

#include "reference-server/core/base64.h"
#include "reference-server/core/mutant.h"

#include <assert.h>
#include <string.h>

struct span smtps_offered_mechanisms(const struct smtp_server *s)
{
	return s->tls || MUTANT(SMTP_PLAIN_IN_CLEAR) ? s->config->mechanisms_tls
						     : s->config->mechanisms_clear;
}

bool smtps_can_auth(const struct smtp_server *s)
{
	return s->config->mechanisms_clear.n > 0 || s->config->mechanisms_tls.n > 0;
}

static bool is_offered(const struct smtp_server *s, struct span mechanism)
{
	struct span rest = smtps_offered_mechanisms(s);

	while (rest.n > 0) {
		size_t n = span_find(rest, ' ');
		if (n > 0 &&
		    (MUTANT(AUTH_IN_CAPITALS) ? span_eq : span_eq_nocase)(span_sub(rest, 0, n), mechanism))
			return true;
		rest = span_sub(rest, n + 1, rest.n);
	}
	return false;
}

/* The initial response; "=" is one that is there and empty (RFC 4954 4). */
static bool take_initial_response(struct smtp_server *s, struct span text)
{
	s->auth_response_given = text.n > 0;
	s->auth_response = span_eq(text, SPAN_LIT("=")) ? span_sub(text, 1, 0) : text;
	return base64_is_valid(s->auth_response);
}

void smtps_on_auth(struct smtp_server *s, struct span arg)
{
	struct span initial = { NULL, 0 };

	if (!smtps_can_auth(s)) {
		smtps_error(s, SPAN_LIT("502 5.5.1 AUTH is not offered\r\n"));
		return;
	}
	if (s->authenticated && !MUTANT(SMTP_AUTH_TWICE)) {
		smtps_error(s, SPAN_LIT("503 5.5.1 authenticated already\r\n"));
		return;
	}
	size_t n = span_find(arg, ' ');
	s->auth_mechanism = span_sub(arg, 0, n);
	initial = span_sub(arg, n + 1, arg.n);
	if (arg.n == 0 || span_find(initial, ' ') < initial.n) {
		smtps_error(s, SPAN_LIT("501 5.5.4 AUTH mechanism [initial-response]\r\n"));
		return;
	}
	if (!is_offered(s, s->auth_mechanism)) {
		smtps_error(s, MUTANT(AUTH_OLD_CODES)  ? SPAN_LIT("504 5.7.0 no\r\n")
			       : MUTANT(SMTP_AUTH_501) ? SPAN_LIT("501 5.5.4 mechanism not offered\r\n")
						       : SPAN_LIT("504 5.5.4 mechanism not offered\r\n"));
		return;
	}
	if (!take_initial_response(s, initial)) {
		smtps_error(s, MUTANT(AUTH_ANY_BASE64) ? SPAN_LIT("334 \r\n")
						       : SPAN_LIT("501 5.5.2 not base64\r\n"));
		return;
	}
	smtps_enter(s, SMTP_STATE_AUTH);
	s->wish = SMTP_WISH_AUTH;
}

void smtps_cancel_auth(struct smtp_server *s, struct span line)
{
	assert(s->state == SMTP_STATE_AUTH);
	smtps_enter(s, SMTP_STATE_READY);
	s->wish = SMTP_WISH_AUTH_CANCELLED;
	smtps_error(s, line);
}

void smtps_on_auth_response(struct smtp_server *s, struct span line)
{
	if (span_eq(line, SPAN_LIT("*"))) {
		smtps_cancel_auth(s, MUTANT(SMTP_AUTH_UNCANCELLED)
					     ? SPAN_LIT("250 2.0.0 as you like\r\n")
					     : SPAN_LIT("501 5.7.0 authentication cancelled\r\n"));
		return;
	}
	if (!base64_is_valid(line)) {
		smtps_cancel_auth(s, MUTANT(AUTH_ANY_BASE64) ? SPAN_LIT("334 \r\n")
							     : SPAN_LIT("501 5.5.2 not base64\r\n"));
		return;
	}
	s->auth_response = line;
	s->auth_response_given = true;
	s->wish = SMTP_WISH_AUTH_STEP;
}

static void assert_auth_wish(const struct smtp_server *s)
{
	assert(s->state == SMTP_STATE_AUTH);
	assert(s->wish == SMTP_WISH_AUTH || s->wish == SMTP_WISH_AUTH_STEP);
}

void smtp_server_auth_challenge(struct smtp_server *s, struct span challenge)
{
	static const struct span code = { "334 ", 4 };
	char line[SMTP_AUTH_LINE_BYTES_MAX];

	assert_auth_wish(s);
	assert(challenge.n <= sizeof(line) - code.n - CRLF_BYTES);
	memcpy(line, code.p, code.n);
	if (challenge.n > 0)
		memcpy(line + code.n, challenge.p, challenge.n);
	memcpy(line + code.n + challenge.n, "\r\n", CRLF_BYTES);
	s->wish = SMTP_WISH_INPUT;
	if (MUTANT(AUTH_NO_BLANK) && challenge.n == 0)
		smtps_reply(s, SPAN_LIT("334\r\n"));
	else if (MUTANT(AUTH_TALKS))
		smtps_reply3(s, SPAN_LIT("334 go on: "), challenge, SPAN_LIT("\r\n"));
	else
		smtps_reply(s, (struct span){ line, code.n + challenge.n + CRLF_BYTES });
}

void smtp_server_auth_succeed(struct smtp_server *s, struct span identity)
{
	assert_auth_wish(s);
	assert(identity.n <= sizeof(s->identity_text));
	if (identity.n > 0)
		memcpy(s->identity_text, identity.p, identity.n);
	s->identity = (struct span){ s->identity_text, identity.n };
	s->authenticated = true;
	s->mail_refused = false;
	s->wish = SMTP_WISH_INPUT;
	smtps_enter(s, SMTP_STATE_READY);
	smtps_reply(s, SPAN_LIT("235 2.7.0 authenticated\r\n"));
}

void smtp_server_auth_fail(struct smtp_server *s, enum smtp_auth_failure why)
{
	assert_auth_wish(s);
	if (MUTANT(SMTP_AUTH_ANYBODY)) {
		smtp_server_auth_succeed(s, SPAN_LIT("anybody"));
		return;
	}
	s->wish = SMTP_WISH_INPUT;
	smtps_enter(s, SMTP_STATE_READY);
	smtps_error(s, MUTANT(AUTH_OLD_CODES) && why == SMTP_AUTH_BAD_CREDENTIALS
			       ? SPAN_LIT("535 5.7.0 no\r\n")
			       : smtp_auth_failure_line(why));
}
