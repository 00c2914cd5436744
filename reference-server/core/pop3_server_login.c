#include "reference-server/core/pop3_server_parts.h"

#include "reference-server/core/base64.h"
#include "reference-server/core/mutant.h"

#include <assert.h>
#include <string.h>

/* ---- AUTHORIZATION ---- */

static bool may_log_in(const struct pop3_server *s)
{
	return s->tls || s->config->login_without_tls;
}

static struct span mechanisms(const struct pop3_server *s)
{
	return s->tls ? s->config->mechanisms_tls : s->config->mechanisms_clear;
}

void pop3_on_user(struct pop3_server *s, struct span argument)
{
	if (!may_log_in(s) || MUTANT(POP3_USER_REFUSED)) {
		pop3_reply_error(s, MUTANT(POP3_USER_REFUSED) ? "-ERR [AUTH] no"
							      : "-ERR plaintext logins need TLS");
		return;
	}
	assert(argument.n <= sizeof(s->user_text));
	memcpy(s->user_text, argument.p, argument.n);
	s->user = (struct span){ s->user_text, argument.n };
	pop3_reply(s, "+OK"); /* the same for names that do not exist */
}

void pop3_on_pass(struct pop3_server *s, struct span argument)
{
	if (s->user.n == 0) {
		pop3_reply_error(s, MUTANT(POP3_PASS_ALONE) ? "+OK" : "-ERR USER comes first");
		return;
	}
	s->password = argument;
	s->wish = POP3_WISH_LOGIN;
}

static bool is_offered(struct span offered, struct span mechanism)
{
	struct span word;

	if (mechanism.n == 0)
		return false;
	while (span_take_until(&offered, ' ', &word))
		if (span_eq_nocase(word, mechanism))
			return !MUTANT(POP3_MECHANISM_IN_CAPITALS) || span_eq(word, mechanism);
	return span_eq_nocase(offered, mechanism);
}

void pop3_on_auth(struct pop3_server *s, struct span argument)
{
	struct span mechanism = argument, response = { NULL, 0 };

	s->auth_response_given = span_take_until(&argument, ' ', &mechanism);
	if (s->auth_response_given)
		response = argument;
	if (!is_offered(mechanisms(s), mechanism) ||
	    (MUTANT(POP3_NO_INITIAL_RESPONSE) && s->auth_response_given)) {
		pop3_reply_error(s, MUTANT(POP3_ANY_MECHANISM) ? "+ " : "-ERR no such mechanism here");
		return;
	}
	if (span_eq(response, SPAN_LIT("="))) /* RFC 5034 4: present, but empty */
		response.n = 0;
	else if (s->auth_response_given && (response.n == 0 || !base64_is_valid(response))) {
		pop3_reply_error(s, "-ERR the initial response is not base64");
		return;
	}
	if (MUTANT(POP3_NO_EMPTY_CHALLENGE) && !s->auth_response_given) {
		pop3_reply_error(s, "-ERR say it all at once");
		return;
	}
	s->auth_mechanism = mechanism;
	s->auth_response = response;
	pop3_enter(s, POP3_STATE_AUTH);
	s->wish = POP3_WISH_AUTH;
}

void pop3_cancel_auth(struct pop3_server *s, const char *line)
{
	pop3_enter(s, POP3_STATE_AUTHORIZATION);
	s->wish = POP3_WISH_AUTH_CANCELLED;
	pop3_reply_error(s, line);
}

void pop3_on_auth_line(struct pop3_server *s, struct span line)
{
	if (span_eq(line, SPAN_LIT("*"))) {
		pop3_cancel_auth(s, MUTANT(POP3_CANCEL_OK) ? "+OK" : "-ERR cancelled");
	} else if (!base64_is_valid(line)) {
		pop3_cancel_auth(s, MUTANT(POP3_ANY_BASE64) ? "+ " : "-ERR the response is not base64");
	} else {
		s->auth_mechanism = (struct span){ NULL, 0 }; /* its line is gone */
		s->auth_response = line;
		s->auth_response_given = true;
		s->wish = POP3_WISH_AUTH_STEP;
	}
}

void pop3_on_stls(struct pop3_server *s, struct span argument)
{
	(void)argument;
	if (s->tls) {
		pop3_reply_error(s, MUTANT(POP3_STLS_AGAIN) ? "+OK" : "-ERR TLS is active already");
	} else if (s->utf8) {
		pop3_reply_error(s, "-ERR STLS comes before UTF8"); /* RFC 6856 2.1 */
	} else if (!s->config->offer_stls) {
		pop3_reply_error(s, "-ERR no TLS here");
	} else {
		pop3_reply(s, "+OK begin TLS");
		pop3_enter(s, POP3_STATE_TLS);
		s->wish = POP3_WISH_STLS;
	}
}

void pop3_on_utf8(struct pop3_server *s, struct span argument)
{
	(void)argument;
	s->utf8 = true;
	pop3_reply(s, "+OK UTF-8 it is");
}

/* Does the basic language range match the tag (RFC 4647 3.3.1)? */
static bool range_matches(struct span range, struct span tag)
{
	return (span_eq(range, SPAN_LIT("*")) && !MUTANT(POP3_LANG_NO_STAR)) || span_eq_nocase(range, tag);
}

/* One language under its two names; i-default is what RFC 2277 4.5 calls the texts of who was not asked. */
void pop3_on_lang(struct pop3_server *s, struct span argument)
{
	if (argument.n == 0)
		pop3_reply(s, MUTANT(POP3_LANG_NO_LIST)
				      ? "+OK\r\n."
				      : "+OK languages\r\nen English\r\ni-default English\r\n.");
	else if (MUTANT(POP3_LANG_NO_TAG))
		pop3_reply(s, "+OK English it is");
	else if (range_matches(argument, SPAN_LIT("en")))
		pop3_reply(s, "+OK en English it is");
	else if (range_matches(argument, SPAN_LIT("i-default")))
		pop3_reply(s, "+OK i-default English it is");
	else
		pop3_reply_error(s, "-ERR that language is not spoken here");
}

/* RFC 2449 5: what AUTHORIZATION offers is announced in TRANSACTION too, but for STLS (RFC 2595 4). */
void pop3_on_capa(struct pop3_server *s, struct span argument)
{
	(void)argument;
	bool forgets = MUTANT(POP3_CAPA_FORGETS) && s->state == POP3_STATE_TRANSACTION;
	pop3_reply(s, forgets ? "+OK\r\nRESP-CODES" : "+OK\r\nTOP\r\nUIDL\r\nRESP-CODES");
	if (!MUTANT(POP3_AUTH_CODE_UNLISTED))
		pop3_reply(s, "AUTH-RESP-CODE");
	pop3_reply(s, "PIPELINING\r\nUTF8 USER\r\nLANG");
	if (MUTANT(POP3_CAPA_SAYS_APOP))
		pop3_reply(s, "APOP");
	if (MUTANT(POP3_CAPA_LONG_LINE))
		buf_addf(s->out, "X-%600s\r\n", "LONG");
	if (MUTANT(POP3_EXPIRE_SHRINKS) && s->state == POP3_STATE_TRANSACTION)
		pop3_reply(s, "EXPIRE 1 USER");
	else if (s->config->expire_days > 0)
		buf_addf(s->out, "EXPIRE %u\r\n", s->config->expire_days);
	else
		pop3_reply(s, "EXPIRE NEVER");
	if (s->config->login_delay_s > 0)
		buf_addf(s->out, "LOGIN-DELAY %u\r\n",
			 s->config->login_delay_s +
				 (MUTANT(POP3_DELAY_GROWS) && s->state == POP3_STATE_TRANSACTION));
	if (may_log_in(s) && !forgets)
		pop3_reply(s, "USER");
	if (mechanisms(s).n > 0 && !forgets) {
		buf_add_cstr(s->out, "SASL ");
		buf_add(s->out, mechanisms(s));
		buf_add_cstr(s->out, "\r\n");
	}
	if (!s->tls && s->config->offer_stls && s->state == POP3_STATE_AUTHORIZATION)
		pop3_reply(s, "STLS");
	pop3_reply(s,
		   MUTANT(POP3_CAPA_NO_DOT) ? "IMPLEMENTATION postriderd" : "IMPLEMENTATION postriderd\r\n.");
}

void pop3_server_auth_challenge(struct pop3_server *s, struct span challenge)
{
	assert(s->wish == POP3_WISH_AUTH || s->wish == POP3_WISH_AUTH_STEP);
	buf_add_cstr(s->out, MUTANT(POP3_BARE_PLUS) && challenge.n == 0 ? "+" : "+ ");
	buf_add(s->out, challenge);
	buf_add_cstr(s->out, MUTANT(POP3_CHALLENGE_SAYS_MORE) ? " go ahead\r\n" : "\r\n");
	s->wish = POP3_WISH_INPUT;
}

static bool is_about_login(enum pop3_wish wish)
{
	return wish == POP3_WISH_LOGIN || wish == POP3_WISH_AUTH || wish == POP3_WISH_AUTH_STEP;
}

void pop3_server_auth_succeed(struct pop3_server *s)
{
	assert(is_about_login(s->wish));
	s->wish = POP3_WISH_OPEN;
}

void pop3_server_auth_fail(struct pop3_server *s, enum pop3_auth_failure why)
{
	static const char *const lines[POP3_AUTH_FAILURE_COUNT] = {
		[POP3_AUTH_BAD_CREDENTIALS] = "-ERR [AUTH] wrong name or password",
		[POP3_AUTH_TEMPORARY] = "-ERR [SYS/TEMP] cannot check that now",
		[POP3_AUTH_SERVER_FIRST] = "-ERR this mechanism has no initial response",
		[POP3_AUTH_MALFORMED] = "-ERR not a message of this mechanism",
	};
	assert(is_about_login(s->wish));
	assert(why < POP3_AUTH_FAILURE_COUNT);
	s->wish = POP3_WISH_INPUT;
	if (MUTANT(POP3_ANYBODY) && why == POP3_AUTH_BAD_CREDENTIALS) {
		pop3_reply(s, "+OK");
		pop3_enter(s, POP3_STATE_TRANSACTION);
		return;
	}
	pop3_enter(s, POP3_STATE_AUTHORIZATION);
	pop3_reply_error(s, MUTANT(POP3_NO_AUTH_CODE)     ? "-ERR no"
			    : MUTANT(POP3_BROKEN_BRACKET) ? "-ERR [wrong name or password"
							  : lines[why]);
	s->auth_failure_count += why == POP3_AUTH_BAD_CREDENTIALS;
	if (s->state != POP3_STATE_CLOSED && s->config->auth_failure_count_max > 0 &&
	    s->auth_failure_count >= s->config->auth_failure_count_max)
		pop3_enter(s, POP3_STATE_CLOSED);
}
