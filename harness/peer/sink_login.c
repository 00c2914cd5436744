#include "harness/peer/sink_parts.h"
#include "harness/wire/base64.h"
#include "harness/wire/command.h"

/* AUTH (RFC 4954): what mechanisms say is somebody else's, in o.login. */

void sink_login_end(struct sink_client *c)
{
	if (c->exchange != NULL)
		c->sink->o.login->end(c->exchange);
	c->exchange = NULL;
}

/* With a response, or (NULL) without one yet. */
static bool go_on(struct sink_client *c, const struct span *response)
{
	struct buf said = { 0 };
	enum sink_login_step step = c->sink->o.login->step(c->exchange, response, &said);

	buf_reset(&c->text);
	switch (step) {
	case SINK_LOGIN_MORE:
		buf_add_cstr(&c->text, "334 ");
		base64_encode(buf_span(&said), &c->text);
		break;
	case SINK_LOGIN_GOOD:
		buf_add_cstr(&c->text, "235 2.7.0 welcome");
		break;
	case SINK_LOGIN_BAD:
		buf_addf(&c->text, "535 5.7.8 %.*s", SPAN_FMT(buf_span(&said)));
		break;
	}
	buf_free(&said);
	if (step != SINK_LOGIN_MORE)
		sink_login_end(c);
	return sink_answer(c, step == SINK_LOGIN_MORE ? SINK_CHALLENGE : SINK_AUTH, buf_cstr(&c->text));
}

static bool give_up(struct sink_client *c, const char *reply)
{
	sink_login_end(c);
	sink_reply(c, reply);
	return true;
}

/* A response of the client, in base64; "" is an empty one. */
static bool take_response(struct sink_client *c, struct span text)
{
	struct buf bytes = { 0 };

	if (!base64_decode(text, &bytes)) {
		buf_free(&bytes);
		return give_up(c, "501 5.5.2 that is not base64");
	}
	struct span response = buf_span(&bytes);
	bool there = go_on(c, &response);
	buf_free(&bytes);
	return there;
}

bool sink_login_response(struct sink_client *c, struct span line)
{
	c->mode = MODE_COMMAND; /* until a challenge has been said */
	if (span_eq(line, SPAN_LIT("*")))
		return give_up(c, "501 5.7.0 cancelled");
	return take_response(c, line);
}

/* RFC 4954 section 4: others are answered 504, also those that are known. */
static bool is_offered(const struct sink_login *login, struct span mechanism)
{
	struct span rest = span_of(login->mechanisms);

	while (rest.n > 0)
		if (span_eq_nocase(command_word(&rest), mechanism))
			return true;
	return false;
}

bool sink_login(struct sink_client *c, struct span args)
{
	const struct sink_login *login = c->sink->o.login;
	struct span mechanism = command_word(&args);

	sink_login_end(c);
	if (login == NULL)
		return give_up(c, "502 5.5.1 not implemented");
	if (c->has_mail || c->logged_in)
		return give_up(c,
			       c->logged_in ? "503 5.5.1 once is enough" : "503 5.5.1 not in a transaction");
	if (is_offered(login, mechanism))
		c->exchange = login->begin(login->ctx, mechanism);
	if (c->exchange == NULL)
		return give_up(c, "504 5.5.4 no such mechanism");
	if (args.n == 0)
		return go_on(c, NULL);
	return take_response(c, span_eq(args, SPAN_LIT("=")) ? (struct span){ 0 } : args);
}
