#include "reference-server/core/pop3_server.h"

#include "reference-server/core/line.h"
#include "reference-server/core/mutant.h"
#include "reference-server/core/pop3_server_parts.h"

#include <assert.h>
#include <string.h>

#define IN(state) (1u << (state))
#define ANYTIME (IN(POP3_STATE_AUTHORIZATION) | IN(POP3_STATE_TRANSACTION))

enum argument {
	ARGUMENT_NONE,
	ARGUMENT_OPTIONAL,
	ARGUMENT_REQUIRED,
};

/* The session in one screen: which verb may come in which state (RFC 1939 4 to 7). */
static const struct command {
	struct span verb;
	unsigned allowed_in; /* IN() bits */
	enum argument argument;
	command_fn *run;
} commands[] = {
	{ { "USER", 4 }, IN(POP3_STATE_AUTHORIZATION), ARGUMENT_REQUIRED, pop3_on_user },
	{ { "PASS", 4 }, IN(POP3_STATE_AUTHORIZATION), ARGUMENT_REQUIRED, pop3_on_pass },
	{ { "AUTH", 4 }, IN(POP3_STATE_AUTHORIZATION), ARGUMENT_REQUIRED, pop3_on_auth },
	{ { "STLS", 4 }, IN(POP3_STATE_AUTHORIZATION), ARGUMENT_NONE, pop3_on_stls },
	{ { "UTF8", 4 }, IN(POP3_STATE_AUTHORIZATION), ARGUMENT_NONE, pop3_on_utf8 },
	{ { "CAPA", 4 }, ANYTIME, ARGUMENT_NONE, pop3_on_capa },
	{ { "LANG", 4 }, ANYTIME, ARGUMENT_OPTIONAL, pop3_on_lang },
	{ { "QUIT", 4 }, ANYTIME, ARGUMENT_NONE, pop3_on_quit },
	{ { "STAT", 4 }, IN(POP3_STATE_TRANSACTION), ARGUMENT_NONE, pop3_on_stat },
	{ { "LIST", 4 }, IN(POP3_STATE_TRANSACTION), ARGUMENT_OPTIONAL, pop3_on_list },
	{ { "UIDL", 4 }, IN(POP3_STATE_TRANSACTION), ARGUMENT_OPTIONAL, pop3_on_uidl },
	{ { "RETR", 4 }, IN(POP3_STATE_TRANSACTION), ARGUMENT_REQUIRED, pop3_on_retr },
	{ { "TOP", 3 }, IN(POP3_STATE_TRANSACTION), ARGUMENT_REQUIRED, pop3_on_top },
	{ { "DELE", 4 }, IN(POP3_STATE_TRANSACTION), ARGUMENT_REQUIRED, pop3_on_dele },
	{ { "NOOP", 4 }, IN(POP3_STATE_TRANSACTION), ARGUMENT_NONE, pop3_on_noop },
	{ { "RSET", 4 }, IN(POP3_STATE_TRANSACTION), ARGUMENT_NONE, pop3_on_rset },
};

_Static_assert(POP3_STATE_COUNT <= 32, "states must fit the IN() bit set");

/* ---- replies and state ---- */

void pop3_reply(struct pop3_server *s, const char *line)
{
	buf_add_cstr(s->out, line);
	buf_add_cstr(s->out, MUTANT(POP3_LF_ALONE) ? "\n" : "\r\n");
}

void pop3_enter(struct pop3_server *s, enum pop3_state next)
{
	assert(s->state != POP3_STATE_CLOSED);
	assert(next != POP3_STATE_UPDATE || s->state == POP3_STATE_TRANSACTION);
	s->state = next;
	if (next == POP3_STATE_CLOSED)
		s->wish = POP3_WISH_CLOSE;
}

void pop3_reply_error(struct pop3_server *s, const char *line)
{
	if (MUTANT(POP3_LONG_RESPONSE))
		buf_addf(s->out, "%-600s", line);
	pop3_reply(s, MUTANT(POP3_LONG_RESPONSE) ? "" : line);
	if (s->state != POP3_STATE_TRANSACTION)
		s->user.n = 0;
	s->error_count++;
	if (s->config->error_count_max > 0 && s->error_count >= s->config->error_count_max)
		pop3_enter(s, POP3_STATE_CLOSED);
}

void pop3_server_tls_started(struct pop3_server *s)
{
	assert(s->wish == POP3_WISH_STLS);
	s->tls = true;
	if (MUTANT(POP3_TLS_INJECTED) && s->utf8)
		pop3_reply(s, "-ERR unknown command");
	s->utf8 = false;
	s->user.n = 0;
	s->wish = POP3_WISH_INPUT;
	pop3_enter(s, MUTANT(POP3_TLS_LOGS_IN) ? POP3_STATE_TRANSACTION : POP3_STATE_AUTHORIZATION);
}

void pop3_server_close(struct pop3_server *s, enum pop3_close why)
{
	static const char *const lines[POP3_CLOSE_COUNT] = {
		[POP3_CLOSE_SHUTDOWN] = "-ERR [SYS/TEMP] shutting down",
		[POP3_CLOSE_TIMEOUT] = NULL,
		[POP3_CLOSE_TROUBLE] = "-ERR [SYS/TEMP] internal trouble",
	};
	bool in_content = s->wish == POP3_WISH_RETRIEVE && s->content_begun;

	assert(why < POP3_CLOSE_COUNT);
	if (s->state == POP3_STATE_CLOSED)
		return;
	if (lines[why] != NULL && !in_content && s->state != POP3_STATE_TLS)
		pop3_reply(s, lines[why]);
	pop3_enter(s, POP3_STATE_CLOSED);
}

/* ---- input ---- */

static void run(struct pop3_server *s, const struct command *command, struct span argument)
{
	if (s->state == POP3_STATE_AUTHORIZATION && command->run != pop3_on_pass)
		s->user.n = 0;
	if ((command->allowed_in & IN(s->state)) == 0 && !MUTANT(POP3_ANY_STATE) &&
	    !(MUTANT(POP3_STLS_AGAIN) && command->run == pop3_on_stls))
		pop3_reply_error(s, MUTANT(POP3_AUTH_TWICE) && command->run == pop3_on_auth
					    ? "+OK"
					    : "-ERR not in this state");
	else if (command->argument == ARGUMENT_NONE && argument.n > 0 &&
		 !(MUTANT(POP3_UTF8_PARAMETER) && command->run == pop3_on_utf8))
		pop3_reply_error(s, "-ERR this command has no argument");
	else if (command->argument == ARGUMENT_REQUIRED && argument.n == 0 && !MUTANT(POP3_NO_ARGUMENT))
		pop3_reply_error(s, "-ERR this command needs an argument");
	else
		command->run(s, argument);
}

static void on_command_line(struct pop3_server *s, struct span line)
{
	struct span verb = span_sub(line, 0, span_find(line, ' '));
	struct span argument = span_sub(line, verb.n + 1, line.n);

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (!(MUTANT(POP3_VERBS_IN_CAPITALS) ? span_eq : span_eq_nocase)(commands[i].verb, verb))
			continue;
		if (MUTANT(POP3_NO_TOP) && commands[i].run == pop3_on_top)
			break;
		if (MUTANT(POP3_NO_RSET) &&
		    (commands[i].run == pop3_on_rset || commands[i].run == pop3_on_noop))
			break;
		/* Blanks are part of a password, and of nothing else. */
		run(s, &commands[i], commands[i].run == pop3_on_pass ? argument : span_trim(argument));
		return;
	}
	pop3_reply_error(s, MUTANT(POP3_UNKNOWN_OK)           ? "+OK"
			    : MUTANT(POP3_AUTH_CODE_ANYWHERE) ? "-ERR [AUTH] unknown command"
							      : "-ERR unknown command");
}

static void on_bad_line(struct pop3_server *s, const char *line)
{
	s->command_count++;
	s->swallowing = true;
	if (s->state == POP3_STATE_AUTH)
		pop3_cancel_auth(s, line);
	else
		pop3_reply_error(s, line);
}

/* One line, or one piece of a swallowed one.  False: more bytes are needed. */
static bool take_line(struct pop3_server *s, struct span in, size_t *ret_used_bytes)
{
	size_t bytes_max = (MUTANT(POP3_SHORT_COMMANDS) ? 40 : POP3_COMMAND_BYTES_MAX) - 2;
	struct span line;

	if (s->state == POP3_STATE_AUTH && !MUTANT(POP3_SHORT_RESPONSES))
		bytes_max = POP3_AUTH_LINE_BYTES_MAX - 2;
	if (s->swallowing) {
		s->swallowing = !line_skip(in, ret_used_bytes);
		return !s->swallowing;
	}
	switch (line_next(in, bytes_max, &line, ret_used_bytes)) {
	case LINE_OK:
		s->command_count++;
		if (s->state == POP3_STATE_AUTH)
			pop3_on_auth_line(s, line);
		else
			on_command_line(s, line);
		return true;
	case LINE_MORE:
		break;
	case LINE_TOO_LONG:
		on_bad_line(s, "-ERR line is too long");
		return true;
	case LINE_BARE:
		on_bad_line(s, "-ERR lines end with CRLF");
		return true;
	}
	return false;
}

enum pop3_wish pop3_server_feed(struct pop3_server *s, struct span in, size_t *ret_used_bytes)
{
	size_t used = 0;
	bool goes_on = true;

	if (s->wish == POP3_WISH_AUTH_CANCELLED) /* said once */
		s->wish = POP3_WISH_INPUT;
	while (goes_on && s->wish == POP3_WISH_INPUT && used < in.n) {
		size_t used_now = 0;
		goes_on = take_line(s, span_sub(in, used, in.n), &used_now);
		used += used_now;
	}
	assert(used <= in.n);
	*ret_used_bytes = used;
	return s->wish;
}

void pop3_server_init(struct pop3_server *s, const struct pop3_server_config *config, struct buf *out,
		      bool tls)
{
	assert(config != NULL && out != NULL);
	*s = (struct pop3_server){
		.config = config,
		.out = out,
		.state = POP3_STATE_AUTHORIZATION,
		.wish = POP3_WISH_INPUT,
		.tls = tls,
	};
}

void pop3_server_greet(struct pop3_server *s)
{
	buf_add_cstr(s->out, "+OK ");
	buf_add(s->out, s->config->host);
	pop3_reply(s, " POP3 ready");
}

const char *pop3_state_name(enum pop3_state state)
{
	static const char *const names[POP3_STATE_COUNT] = {
		[POP3_STATE_AUTHORIZATION] = "authorization",
		[POP3_STATE_AUTH] = "auth",
		[POP3_STATE_TLS] = "tls",
		[POP3_STATE_TRANSACTION] = "transaction",
		[POP3_STATE_UPDATE] = "update",
		[POP3_STATE_CLOSED] = "closed",
	};
	assert(state < POP3_STATE_COUNT);
	return names[state];
}

const char *pop3_wish_name(enum pop3_wish wish)
{
	static const char *const names[POP3_WISH_COUNT] = {
		[POP3_WISH_INPUT] = "input",
		[POP3_WISH_LOGIN] = "login",
		[POP3_WISH_AUTH] = "auth",
		[POP3_WISH_AUTH_STEP] = "auth-step",
		[POP3_WISH_AUTH_CANCELLED] = "auth-cancelled",
		[POP3_WISH_OPEN] = "open",
		[POP3_WISH_STLS] = "stls",
		[POP3_WISH_RETRIEVE] = "retrieve",
		[POP3_WISH_UPDATE] = "update",
		[POP3_WISH_CLOSE] = "close",
	};
	assert(wish < POP3_WISH_COUNT);
	return names[wish];
}
