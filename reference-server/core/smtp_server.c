#include "reference-server/core/smtp_server.h"

#include "reference-server/core/line.h"
#include "reference-server/core/mutant.h"
#include "reference-server/core/smtp_server_parts.h"

#include <assert.h>
#include <string.h>

enum {
	MECHANISMS_BYTES_MAX = 400, /* what fits on one EHLO line with room to spare */
};

_Static_assert(SMTP_STATE_COUNT <= 32, "states must fit the IN() bit set");

enum trait {
	NO_ARGUMENT = 1u << 0,
	WITHOUT_TLS = 1u << 1,    /* allowed even when TLS is required (RFC 3207 4) */
	COUNTED_OCTETS = 1u << 3, /* follow the line, whatever the answer is */
	NEEDS_AUTH = 1u << 2,     /* on submission (RFC 4954 6, RFC 6409 4.3) */
	NOT_LMTP = 1u << 4,       /* unknown there (RFC 2033 4.1) */
	ONLY_LMTP = 1u << 5,
	ENDS_GROUP = 1u << 6, /* RFC 2920 3.1; RFC 4954 4, RFC 3207 4 */
	IDLE = 1u << 7,       /* brings no mail any nearer */
};

static command_fn on_rset, on_noop, on_quit, on_help, on_starttls, on_unsupported;

/*
 * The session in one screen: which verb may come in which state, how long its
 * line may be, and who answers it.  The order of commands (RFC 5321 4.1.4) is
 * checked with this table and nowhere else.
 */
static const struct command {
	struct span verb;
	unsigned allowed_in; /* IN() bits */
	unsigned traits;
	size_t line_bytes_max; /* with CRLF */
	command_fn *run;
} commands[] = {
	{ { "EHLO", 4 },
	  ANYTIME,
	  WITHOUT_TLS | NOT_LMTP | ENDS_GROUP | IDLE,
	  SMTP_COMMAND_BYTES_MAX,
	  smtps_on_ehlo },
	{ { "LHLO", 4 },
	  ANYTIME,
	  WITHOUT_TLS | ONLY_LMTP | ENDS_GROUP | IDLE,
	  SMTP_COMMAND_BYTES_MAX,
	  smtps_on_ehlo },
	{ { "HELO", 4 }, ANYTIME, NOT_LMTP | ENDS_GROUP | IDLE, SMTP_COMMAND_BYTES_MAX, smtps_on_helo },
	{ { "MAIL", 4 }, IN(SMTP_STATE_READY), NEEDS_AUTH, SMTP_MAIL_COMMAND_BYTES_MAX, smtps_on_mail },
	{ { "RCPT", 4 }, IN_TRANSACTION, NEEDS_AUTH, SMTP_RCPT_COMMAND_BYTES_MAX, smtps_on_rcpt },
	{ { "DATA", 4 },
	  IN_TRANSACTION,
	  NEEDS_AUTH | NO_ARGUMENT | ENDS_GROUP,
	  SMTP_COMMAND_BYTES_MAX,
	  smtps_on_data },
	{ { "BDAT", 4 },
	  IN_TRANSACTION | IN(SMTP_STATE_BDAT),
	  NEEDS_AUTH | COUNTED_OCTETS,
	  SMTP_COMMAND_BYTES_MAX,
	  smtps_on_bdat },
	{ { "RSET", 4 }, ANYTIME, NO_ARGUMENT | IDLE, SMTP_COMMAND_BYTES_MAX, on_rset },
	{ { "NOOP", 4 }, ANYTIME, WITHOUT_TLS | ENDS_GROUP | IDLE, SMTP_COMMAND_BYTES_MAX, on_noop },
	{ { "QUIT", 4 }, ANYTIME, WITHOUT_TLS | NO_ARGUMENT, SMTP_COMMAND_BYTES_MAX, on_quit },
	{ { "VRFY", 4 }, ANYTIME, NEEDS_AUTH | ENDS_GROUP | IDLE, SMTP_COMMAND_BYTES_MAX, smtps_on_vrfy },
	{ { "EXPN", 4 }, ANYTIME, NEEDS_AUTH | ENDS_GROUP | IDLE, SMTP_COMMAND_BYTES_MAX, smtps_on_expn },
	{ { "HELP", 4 }, ANYTIME, ENDS_GROUP | IDLE, SMTP_COMMAND_BYTES_MAX, on_help },
	{ { "STARTTLS", 8 },
	  IN(SMTP_STATE_GREETED) | IN(SMTP_STATE_READY),
	  WITHOUT_TLS | NO_ARGUMENT | ENDS_GROUP,
	  SMTP_COMMAND_BYTES_MAX,
	  on_starttls },
	{ { "AUTH", 4 }, IN(SMTP_STATE_READY), ENDS_GROUP, SMTP_AUTH_LINE_BYTES_MAX, smtps_on_auth },
	{ { "TURN", 4 }, ANYTIME, ENDS_GROUP, SMTP_COMMAND_BYTES_MAX, on_unsupported },
	{ { "SEND", 4 }, ANYTIME, 0, SMTP_COMMAND_BYTES_MAX, on_unsupported },
	{ { "SOML", 4 }, ANYTIME, 0, SMTP_COMMAND_BYTES_MAX, on_unsupported },
	{ { "SAML", 4 }, ANYTIME, 0, SMTP_COMMAND_BYTES_MAX, on_unsupported },
};

/* ---- replies --------------------------------------------------------------- */

void smtps_text_add(struct smtps_text *t, struct span part)
{
	assert(part.n <= sizeof(t->p) - t->n);
	if (part.n > 0)
		memcpy(t->p + t->n, part.p, part.n);
	t->n += part.n;
}

void smtps_text_add_u64(struct smtps_text *t, uint64_t value)
{
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value > 0);
	smtps_text_add(t, (struct span){ digits + at, sizeof(digits) - at });
}

void smtps_reply(struct smtp_server *s, struct span line)
{
	assert(line.n >= SPAN_LIT("250 \r\n").n);
	s->output.emit(s->output.ctx, line);
}

/* before + middle + after, as one line. */
void smtps_reply3(struct smtp_server *s, struct span before, struct span middle, struct span after)
{
	struct smtps_text t = { .n = 0 };

	smtps_text_add(&t, before);
	smtps_text_add(&t, middle);
	smtps_text_add(&t, after);
	smtps_reply(s, (struct span){ t.p, t.n });
}

/* ---- state ----------------------------------------------------------------- */

/* The only place where the state changes. */
void smtps_enter(struct smtp_server *s, enum smtp_state next)
{
	assert(s->state != SMTP_STATE_CLOSED);
	assert(next < SMTP_STATE_COUNT);
	s->state = next;
	if (next == SMTP_STATE_MAIL)
		assert(s->rcpt_count == 0);
	if (next == SMTP_STATE_RCPT || next == SMTP_STATE_DATA || next == SMTP_STATE_BDAT)
		assert(s->rcpt_count > 0);
	if (next == SMTP_STATE_TLS)
		assert(!s->tls);
}

bool smtps_is_lmtp(const struct smtp_server *s)
{
	return s->config->role == SMTP_ROLE_LMTP;
}

bool smtps_in_transaction(const struct smtp_server *s)
{
	return (IN(s->state) & (IN_TRANSACTION | IN(SMTP_STATE_BDAT))) != 0;
}

static bool is_unanswered(enum smtp_wish wish)
{
	switch (wish) {
	case SMTP_WISH_MAIL:
	case SMTP_WISH_RCPT:
	case SMTP_WISH_VERIFY:
	case SMTP_WISH_AUTH:
	case SMTP_WISH_AUTH_STEP:
	case SMTP_WISH_STARTTLS:
		return true;
	case SMTP_WISH_INPUT:
	case SMTP_WISH_CONTENT:
	case SMTP_WISH_MESSAGE:
	case SMTP_WISH_MESSAGE_REFUSED:
	case SMTP_WISH_RESET:
	case SMTP_WISH_AUTH_CANCELLED:
	case SMTP_WISH_SYNC:
	case SMTP_WISH_CLOSE:
		return false;
	}
	assert(false);
	return false;
}

void smtps_count(struct smtp_server *s, uint32_t *counter, uint32_t max, struct span last_line)
{
	++*counter;
	if (max == 0 || *counter < max || s->state == SMTP_STATE_CLOSED)
		return;
	smtps_reply(s, last_line);
	smtps_enter(s, SMTP_STATE_CLOSED);
}

void smtps_count_idle(struct smtp_server *s)
{
	smtps_count(s, &s->idle_count, s->config->idle_count_max,
		    SPAN_LIT("421 4.7.0 too many commands without a message, closing\r\n"));
}

void smtps_error(struct smtp_server *s, struct span line)
{
	smtps_reply(s, line);
	smtps_count(s, &s->error_count, s->config->error_count_max,
		    SPAN_LIT("421 4.7.0 too many errors, closing\r\n"));
}

/* RCPT and DATA that were pipelined behind a refused MAIL are not the client's mistake. */
static void sequence_error(struct smtp_server *s, struct span line)
{
	if (MUTANT(SMTP_ORDER_554))
		line = SPAN_LIT("554 5.5.1 no\r\n");
	if (s->mail_refused)
		smtps_reply(s, line);
	else
		smtps_error(s, line);
}

/* ---- small commands -------------------------------------------------------- */

static void on_rset(struct smtp_server *s, struct span arg)
{
	(void)arg;
	s->mail_refused = false;
	s->authenticated = s->authenticated && !MUTANT(AUTH_LOST_BY_RSET);
	if (smtps_in_transaction(s) && !MUTANT(SMTP_RSET_KEEPS)) {
		smtps_enter(s, SMTP_STATE_READY);
		s->wish = SMTP_WISH_RESET;
	}
	smtps_reply(s, SPAN_LIT("250 2.0.0 ok\r\n"));
}

static void on_noop(struct smtp_server *s, struct span arg)
{
	if (MUTANT(SMTP_NOOP_ALONE) && arg.n > 0) {
		smtps_error(s, SPAN_LIT("501 5.5.4 no argument is allowed\r\n"));
		return;
	}
	if (MUTANT(SMTP_NOOP_RESETS))
		smtps_enter(s, SMTP_STATE_READY);
	if (MUTANT(SMTP_NOOP_TWICE))
		smtps_reply(s, SPAN_LIT("250 2.0.0 ok\r\n"));
	smtps_reply(s, SPAN_LIT("250 2.0.0 ok\r\n"));
}

static void on_quit(struct smtp_server *s, struct span arg)
{
	(void)arg;
	smtps_reply3(s, SPAN_LIT("221 2.0.0 "), s->config->host, SPAN_LIT(" closing\r\n"));
	if (!MUTANT(SMTP_QUIT_STAYS))
		smtps_enter(s, SMTP_STATE_CLOSED);
}

static void on_help(struct smtp_server *s, struct span arg)
{
	(void)arg;
	if (MUTANT(SMTP_HELP_RESETS))
		smtps_enter(s, SMTP_STATE_READY);
	smtps_reply(
		s,
		SPAN_LIT("214-2.0.0 commands: EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT\r\n"));
	smtps_reply(s, MUTANT(SMTP_HELP_TWO_CODES)
			       ? SPAN_LIT("214 2.1.0 more\r\n")
			       : SPAN_LIT("214 2.0.0 and, when EHLO lists them: STARTTLS AUTH\r\n"));
}

static void on_unsupported(struct smtp_server *s, struct span arg)
{
	(void)arg;
	smtps_error(s, SPAN_LIT("502 5.5.1 command not implemented\r\n"));
}

/* ---- STARTTLS -------------------------------------------------------------- */

static void on_starttls(struct smtp_server *s, struct span arg)
{
	(void)arg;
	if (s->tls) {
		smtps_error(s, SPAN_LIT("503 5.5.1 TLS is active already\r\n"));
		return;
	}
	if (!s->config->offer_starttls) {
		smtps_error(s, SPAN_LIT("502 5.5.1 STARTTLS is not offered\r\n"));
		return;
	}
	if (MUTANT(TLS_IN_VAIN)) {
		smtps_reply(s, SPAN_LIT("454 4.7.0 no\r\n"));
		return;
	}
	smtps_enter(s, SMTP_STATE_TLS);
	smtps_reply(s, SPAN_LIT("220 2.0.0 begin TLS\r\n"));
	s->wish = SMTP_WISH_STARTTLS;
}

void smtp_server_tls_started(struct smtp_server *s)
{
	assert(s->state == SMTP_STATE_TLS);
	assert(s->wish == SMTP_WISH_STARTTLS);
	smtps_enter(s, MUTANT(SMTP_TLS_KEEPS_EHLO) ? SMTP_STATE_READY : SMTP_STATE_GREETED);
	smtps_begin_transaction(s);
	s->wish = SMTP_WISH_INPUT;
	s->tls = true;
	s->helo = (struct span){ s->helo_text, MUTANT(TLS_KEEPS_NAME) ? s->helo.n : 0 };
	s->esmtp = false;
	if (MUTANT(SMTP_TLS_INJECTED) && s->mail_refused)
		smtps_reply(s, SPAN_LIT("500 5.5.1 command unrecognized\r\n"));
	s->mail_refused = false;
	s->authenticated = false;
	s->identity = (struct span){ s->identity_text, 0 };
}

/* ---- command lines --------------------------------------------------------- */

static const struct command *find_command(const struct smtp_server *s, struct span verb)
{
	unsigned unknown_traits = MUTANT(LMTP_TAKES_EHLO) ? 0 : smtps_is_lmtp(s) ? NOT_LMTP : ONLY_LMTP;

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if ((MUTANT(SMTP_VERBS_IN_CAPITALS) ? span_eq : span_eq_nocase)(commands[i].verb, verb) &&
		    (commands[i].traits & unknown_traits) == 0)
			return &commands[i];
	return NULL;
}

/* 8-bit bytes are left to the arguments, which have replies of their own for them. */
static bool has_controls(struct span line)
{
	for (size_t i = 0; i < line.n; i++)
		if ((unsigned char)line.p[i] < ' ' || line.p[i] == 127)
			return true;
	return false;
}

static bool lacks_auth(const struct smtp_server *s, const struct command *command)
{
	bool idle = command->run == on_noop || command->run == on_rset;

	if (((command->traits & NEEDS_AUTH) == 0 && !(MUTANT(AUTH_BEFORE_NOOP) && idle)) ||
	    s->config->role != SMTP_ROLE_SUBMISSION || MUTANT(SMTP_NO_AUTH_NEEDED))
		return false;
	/* Before EHLO the order of commands is what is wrong. */
	return !s->authenticated &&
	       (s->state != SMTP_STATE_GREETED || (command->allowed_in & IN(s->state)) != 0);
}

/* run_command() for BDAT: what follows the line is discarded before anything is said about it. */
static void run_counted(struct smtp_server *s, const struct command *command, struct span arg)
{
	if (s->config->require_tls && !s->tls)
		smtps_take_chunk(s, arg, SPAN_LIT("530 5.7.0 STARTTLS comes first\r\n"), true);
	else if (lacks_auth(s, command))
		smtps_take_chunk(s, arg, SPAN_LIT("530 5.7.0 authentication required\r\n"), true);
	else if ((command->allowed_in & IN(s->state)) == 0)
		smtps_take_chunk(s, arg, SPAN_LIT("503 5.5.1 not at this point\r\n"), !s->mail_refused);
	else
		command->run(s, arg);
}

static void run_command(struct smtp_server *s, const struct command *command, struct span arg)
{
	if (s->refused && (MUTANT(SMTP_REFUSES_AND_CLOSES) || MUTANT(SMTP_REFUSES_WITH_521))) {
		smtps_enter(s, SMTP_STATE_CLOSED);
		return;
	}
	if (s->refused && command->run != on_quit) {
		smtps_error(s, SPAN_LIT("503 5.5.1 bad sequence of commands, this session was refused\r\n"));
		return;
	}
	if ((command->traits & COUNTED_OCTETS) != 0) {
		run_counted(s, command, arg);
		return;
	}
	if ((s->config->require_tls || MUTANT(TLS_FOR_ALL)) && !s->tls &&
	    (command->traits & WITHOUT_TLS) == 0)
		smtps_error(s, SPAN_LIT("530 5.7.0 STARTTLS comes first\r\n"));
	else if (lacks_auth(s, command))
		smtps_error(s, MUTANT(SUBMIT_521) ? SPAN_LIT("521 5.7.0 no\r\n")
						  : SPAN_LIT("530 5.7.0 authentication required\r\n"));
	else if ((command->allowed_in & IN(s->state)) == 0)
		sequence_error(s, SPAN_LIT("503 5.5.1 not at this point\r\n"));
	else if ((command->traits & NO_ARGUMENT) != 0 && arg.n > 0 && !MUTANT(SMTP_ANY_ARGUMENT))
		smtps_error(s, MUTANT(SUBMIT_ODD_CODES) ? SPAN_LIT("503 5.5.1 no\r\n")
							: SPAN_LIT("501 5.5.4 no argument is allowed\r\n"));
	else
		command->run(s, arg);
}

static void run_and_count(struct smtp_server *s, const struct command *command, struct span arg)
{
	run_command(s, command, arg);
	if ((command->traits & IDLE) != 0 && s->wish != SMTP_WISH_VERIFY)
		smtps_count_idle(s);
}

/* command: NULL when it is none. */
static void note_group(struct smtp_server *s, const struct command *command)
{
	bool ends = command != NULL && (command->traits & ENDS_GROUP) != 0;

	if ((ends || !s->esmtp) && s->wish == SMTP_WISH_INPUT && s->state != SMTP_STATE_CLOSED &&
	    s->state != SMTP_STATE_CHUNK)
		s->wish = SMTP_WISH_SYNC;
}

static void on_command_line(struct smtp_server *s, struct span line)
{
	struct span text = line;

	s->command_count++;
	/* RFC 5321 4.1.1: blanks before the CRLF are tolerated. */
	while (!MUTANT(SMTP_NO_TRAILING_BLANKS) && text.n > 0 &&
	       (text.p[text.n - 1] == ' ' || text.p[text.n - 1] == '\t'))
		text.n--;
	size_t verb_bytes = span_find(text, ' ');
	const struct command *command = find_command(s, span_sub(text, 0, verb_bytes));
	size_t line_bytes_max = command != NULL ? command->line_bytes_max : SMTP_COMMAND_BYTES_MAX;

	if (smtps_mutant_answers(s, text))
		return;
	if (MUTANT(SMTP_LONG_LINE_TWICE) && line.n + CRLF_BYTES > line_bytes_max)
		smtps_reply(s, SPAN_LIT("500 5.5.2 line is too long\r\n"));
	if (line.n + CRLF_BYTES > (MUTANT(SMTP_SHORT_LINES) ? line_bytes_max / 2 : line_bytes_max))
		smtps_error(s, SPAN_LIT("500 5.5.2 line is too long\r\n"));
	else if (command == NULL && MUTANT(SMTP_CLOSES_ON_ERROR))
		on_quit(s, text);
	else if (command == NULL)
		smtps_error(s, MUTANT(UTF8_IN_REPLIES) ? SPAN_LIT("500 5.5.2 na\xc3\xafve\r\n")
						       : SPAN_LIT("500 5.5.2 command not recognized\r\n"));
	else if (has_controls(text)) /* 501: RFC 5321 4.1.2 */
		smtps_error(s, SPAN_LIT("501 5.5.2 control characters in a command\r\n"));
	else
		run_and_count(s, command, span_sub(text, verb_bytes + 1, text.n));
	note_group(s, command);
}

static void reply_malformed(struct smtp_server *s, struct span command_line, struct span auth_line)
{
	s->command_count++;
	if (s->state == SMTP_STATE_AUTH)
		smtps_cancel_auth(s, auth_line);
	else
		smtps_error(s, command_line);
}

static void on_auth_line(struct smtp_server *s, struct span line)
{
	s->command_count++;
	smtps_on_auth_response(s, line);
}

static bool step_line(struct smtp_server *s, struct span in, size_t *ret_used_bytes)
{
	struct span line;

	switch (line_next(in, SMTP_AUTH_LINE_BYTES_MAX - CRLF_BYTES, &line, ret_used_bytes)) {
	case LINE_OK:
		if (s->state == SMTP_STATE_AUTH)
			on_auth_line(s, line);
		else
			on_command_line(s, line);
		return true;
	case LINE_MORE:
		return false;
	case LINE_BARE:
		s->swallowing = true;
		s->swallowed_replied = true;
		reply_malformed(s, SPAN_LIT("500 5.5.2 bare CR or LF, lines end with CRLF\r\n"),
				SPAN_LIT("500 5.5.2 bare CR or LF, lines end with CRLF\r\n"));
		return true;
	case LINE_TOO_LONG:
		s->swallowing = true;
		s->swallowed_replied = false;
		return true;
	}
	assert(false);
	return false;
}

static bool step_swallow(struct smtp_server *s, struct span in, size_t *ret_used_bytes)
{
	if (!line_skip(in, ret_used_bytes))
		return false;
	s->swallowing = false;
	if (!s->swallowed_replied)
		reply_malformed(s, SPAN_LIT("500 5.5.2 line is too long\r\n"),
				MUTANT(AUTH_OLD_CODES)
					? SPAN_LIT("500 5.7.0 no\r\n")
					: SPAN_LIT("500 5.5.6 authentication line is too long\r\n"));
	return true;
}

/* ---- the session ----------------------------------------------------------- */

void smtp_server_init(struct smtp_server *s, const struct smtp_server_config *config,
		      struct smtp_output output, bool tls)
{
	assert(config != NULL);
	assert(output.emit != NULL);
	assert(config->host.n > 0 && config->host.n <= ADDRESS_DOMAIN_BYTES_MAX);
	assert(config->rcpt_count_max > 0);
	assert(config->received_count_max > 0);
	assert(config->by_s_min >= 0 && config->by_s_min <= SMTP_BY_S_MAX);
	assert(config->hold_s_max >= 0 && config->hold_s_max <= SMTP_HOLD_S_MAX);
	assert(config->mechanisms_clear.n <= MECHANISMS_BYTES_MAX);
	assert(config->mechanisms_tls.n <= MECHANISMS_BYTES_MAX);
	*s = (struct smtp_server){
		.config = config,
		.output = output,
		.state = SMTP_STATE_GREETED,
		.tls = tls,
		.wish = SMTP_WISH_INPUT,
	};
}

void smtp_server_greet(struct smtp_server *s)
{
	assert(s->state == SMTP_STATE_GREETED);
	if (smtps_mutant_greets(s))
		return;
	smtps_reply3(s, SPAN_LIT("220 "), s->config->host,
		     smtps_is_lmtp(s) ? SPAN_LIT(" LMTP postriderd\r\n") : SPAN_LIT(" ESMTP postriderd\r\n"));
}

void smtp_server_set_time(struct smtp_server *s, int64_t wall_ms)
{
	s->now_wall_ms = wall_ms;
}

void smtp_server_greet_refused(struct smtp_server *s, struct span why)
{
	assert(s->state == SMTP_STATE_GREETED);
	struct smtps_text t = { .n = 0 };

	smtps_text_add(&t, SPAN_LIT("554 "));
	smtps_text_add(&t, s->config->host);
	smtps_text_add(&t, SPAN_LIT(" "));
	smtps_text_add(&t, why);
	smtps_text_add(&t, SPAN_LIT("\r\n"));
	s->refused = true;
	smtps_reply(s, (struct span){ t.p, t.n });
}

enum smtp_wish smtp_server_feed(struct smtp_server *s, struct span in, size_t *ret_used_bytes)
{
	assert(ret_used_bytes != NULL);
	assert(!is_unanswered(s->wish));
	bool more = true;
	size_t used_bytes = 0;

	s->wish = SMTP_WISH_INPUT;
	while (more && s->wish == SMTP_WISH_INPUT && s->state != SMTP_STATE_CLOSED) {
		struct span rest = span_sub(in, used_bytes, in.n);
		size_t step_bytes = 0;

		if (s->state == SMTP_STATE_DATA)
			more = smtps_step_content(s, rest, &step_bytes);
		else if (s->state == SMTP_STATE_CHUNK)
			more = smtps_step_chunk(s, rest, &step_bytes);
		else if (s->swallowing)
			more = step_swallow(s, rest, &step_bytes);
		else
			more = step_line(s, rest, &step_bytes);
		assert(step_bytes <= rest.n);
		used_bytes += step_bytes;
	}
	if (s->state == SMTP_STATE_CLOSED && s->wish == SMTP_WISH_INPUT)
		s->wish = SMTP_WISH_CLOSE;
	*ret_used_bytes = used_bytes;
	return s->wish;
}

void smtp_server_close(struct smtp_server *s, enum smtp_close why)
{
	if (s->state == SMTP_STATE_CLOSED)
		return;
	if (!MUTANT(SMTP_STOPS_SILENTLY) || why != SMTP_CLOSE_SHUTDOWN)
		smtps_reply(s, smtp_close_line(why));
	smtps_enter(s, SMTP_STATE_CLOSED);
	s->wish = SMTP_WISH_INPUT;
}

void smtp_server_refuse_group(struct smtp_server *s)
{
	if (s->state == SMTP_STATE_CLOSED)
		return;
	smtps_reply(s, SPAN_LIT("503 5.5.0 commands came before their time (RFC 2920 3.1)\r\n"));
	smtps_reply(s, SPAN_LIT("421 4.7.0 pipelining out of order, closing\r\n"));
	smtps_enter(s, SMTP_STATE_CLOSED);
	s->wish = SMTP_WISH_INPUT;
}

void smtp_server_add_final_reply(struct buf *out, enum smtp_answer answer, struct span queue_id)
{
	assert(out != NULL);
	assert(answer < SMTP_ANSWER_COUNT);
	if (answer != SMTP_ANSWER_ACCEPT) {
		buf_add(out, smtp_answer_line(answer));
		return;
	}
	buf_add(out, SPAN_LIT("250 2.0.0 queued as "));
	buf_add(out, queue_id);
	buf_add(out, SPAN_LIT("\r\n"));
}

uint32_t smtp_server_final_reply_count(const struct smtp_server *s)
{
	assert(s->rcpt_count > 0);
	return smtps_is_lmtp(s) && !MUTANT(LMTP_ONE_REPLY) ? s->rcpt_count : 1;
}

const char *smtp_state_name(enum smtp_state state)
{
	static const char *const names[SMTP_STATE_COUNT] = {
		[SMTP_STATE_GREETED] = "greeted", [SMTP_STATE_READY] = "ready", [SMTP_STATE_AUTH] = "auth",
		[SMTP_STATE_MAIL] = "mail",       [SMTP_STATE_RCPT] = "rcpt",   [SMTP_STATE_DATA] = "data",
		[SMTP_STATE_CHUNK] = "chunk",     [SMTP_STATE_BDAT] = "bdat",   [SMTP_STATE_TLS] = "tls",
		[SMTP_STATE_CLOSED] = "closed",
	};
	assert(state < SMTP_STATE_COUNT);
	assert(names[state] != NULL);
	return names[state];
}

const char *smtp_wish_name(enum smtp_wish wish)
{
	static const char *const names[] = {
		[SMTP_WISH_INPUT] = "input",
		[SMTP_WISH_MAIL] = "mail",
		[SMTP_WISH_RCPT] = "rcpt",
		[SMTP_WISH_VERIFY] = "verify",
		[SMTP_WISH_CONTENT] = "content",
		[SMTP_WISH_MESSAGE] = "message",
		[SMTP_WISH_MESSAGE_REFUSED] = "message-refused",
		[SMTP_WISH_RESET] = "reset",
		[SMTP_WISH_AUTH] = "auth",
		[SMTP_WISH_AUTH_STEP] = "auth-step",
		[SMTP_WISH_AUTH_CANCELLED] = "auth-cancelled",
		[SMTP_WISH_SYNC] = "sync",
		[SMTP_WISH_STARTTLS] = "starttls",
		[SMTP_WISH_CLOSE] = "close",
	};
	assert((size_t)wish < sizeof(names) / sizeof(names[0]));
	return names[wish];
}
