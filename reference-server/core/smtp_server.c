#include "reference-server/core/smtp_server.h"

#include "reference-server/core/base64.h"
#include "reference-server/core/line.h"

#include <assert.h>
#include <string.h>

enum {
	CRLF_BYTES = 2,
	MECHANISMS_BYTES_MAX = 400, /* what fits on one EHLO line with room to spare */
};

#define IN(state) (1u << (state))
#define IN_TRANSACTION (IN(SMTP_STATE_MAIL) | IN(SMTP_STATE_RCPT))
#define ANYTIME (IN(SMTP_STATE_GREETED) | IN(SMTP_STATE_READY) | IN_TRANSACTION | IN(SMTP_STATE_BDAT))

_Static_assert(SMTP_STATE_COUNT <= 32, "states must fit the IN() bit set");

enum trait {
	NO_ARGUMENT = 1u << 0,
	WITHOUT_TLS = 1u << 1,    /* allowed even when TLS is required (RFC 3207 4) */
	COUNTED_OCTETS = 1u << 3, /* follow the line, whatever the answer is */
	NEEDS_AUTH = 1u << 2,     /* on submission (RFC 4954 6, RFC 6409 4.3) */
	NOT_LMTP = 1u << 4,       /* unknown there (RFC 2033 4.1) */
	ONLY_LMTP = 1u << 5,
};

typedef void command_fn(struct smtp_server *s, struct span arg);

static command_fn on_ehlo, on_helo, on_mail, on_rcpt, on_data, on_bdat, on_rset, on_noop, on_quit, on_vrfy,
	on_help, on_starttls, on_auth, on_unsupported;

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
	{ { "EHLO", 4 }, ANYTIME, WITHOUT_TLS | NOT_LMTP, SMTP_COMMAND_BYTES_MAX, on_ehlo },
	{ { "LHLO", 4 }, ANYTIME, WITHOUT_TLS | ONLY_LMTP, SMTP_COMMAND_BYTES_MAX, on_ehlo },
	{ { "HELO", 4 }, ANYTIME, NOT_LMTP, SMTP_COMMAND_BYTES_MAX, on_helo },
	{ { "MAIL", 4 }, IN(SMTP_STATE_READY), NEEDS_AUTH, SMTP_MAIL_COMMAND_BYTES_MAX, on_mail },
	{ { "RCPT", 4 }, IN_TRANSACTION, NEEDS_AUTH, SMTP_RCPT_COMMAND_BYTES_MAX, on_rcpt },
	{ { "DATA", 4 }, IN_TRANSACTION, NEEDS_AUTH | NO_ARGUMENT, SMTP_COMMAND_BYTES_MAX, on_data },
	{ { "BDAT", 4 },
	  IN_TRANSACTION | IN(SMTP_STATE_BDAT),
	  NEEDS_AUTH | COUNTED_OCTETS,
	  SMTP_COMMAND_BYTES_MAX,
	  on_bdat },
	{ { "RSET", 4 }, ANYTIME, NO_ARGUMENT, SMTP_COMMAND_BYTES_MAX, on_rset },
	{ { "NOOP", 4 }, ANYTIME, WITHOUT_TLS, SMTP_COMMAND_BYTES_MAX, on_noop },
	{ { "QUIT", 4 }, ANYTIME, WITHOUT_TLS | NO_ARGUMENT, SMTP_COMMAND_BYTES_MAX, on_quit },
	{ { "VRFY", 4 }, ANYTIME, NEEDS_AUTH, SMTP_COMMAND_BYTES_MAX, on_vrfy },
	{ { "HELP", 4 }, ANYTIME, 0, SMTP_COMMAND_BYTES_MAX, on_help },
	{ { "STARTTLS", 8 },
	  IN(SMTP_STATE_GREETED) | IN(SMTP_STATE_READY),
	  WITHOUT_TLS | NO_ARGUMENT,
	  SMTP_COMMAND_BYTES_MAX,
	  on_starttls },
	{ { "AUTH", 4 }, IN(SMTP_STATE_READY), 0, SMTP_AUTH_LINE_BYTES_MAX, on_auth },
	{ { "EXPN", 4 }, ANYTIME, 0, SMTP_COMMAND_BYTES_MAX, on_unsupported },
	{ { "TURN", 4 }, ANYTIME, 0, SMTP_COMMAND_BYTES_MAX, on_unsupported },
	{ { "SEND", 4 }, ANYTIME, 0, SMTP_COMMAND_BYTES_MAX, on_unsupported },
	{ { "SOML", 4 }, ANYTIME, 0, SMTP_COMMAND_BYTES_MAX, on_unsupported },
	{ { "SAML", 4 }, ANYTIME, 0, SMTP_COMMAND_BYTES_MAX, on_unsupported },
};

/* ---- replies --------------------------------------------------------------- */

struct reply_text {
	char p[SMTP_COMMAND_BYTES_MAX]; /* RFC 5321 4.5.3.1.5 */
	size_t n;
};

static void text_add(struct reply_text *t, struct span part)
{
	assert(part.n <= sizeof(t->p) - t->n);
	if (part.n > 0)
		memcpy(t->p + t->n, part.p, part.n);
	t->n += part.n;
}

static void text_add_u64(struct reply_text *t, uint64_t value)
{
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value > 0);
	text_add(t, (struct span){ digits + at, sizeof(digits) - at });
}

static void reply(struct smtp_server *s, struct span line)
{
	assert(line.n >= SPAN_LIT("250 \r\n").n);
	s->output.emit(s->output.ctx, line);
}

/* before + middle + after, as one line. */
static void reply3(struct smtp_server *s, struct span before, struct span middle, struct span after)
{
	struct reply_text t = { .n = 0 };

	text_add(&t, before);
	text_add(&t, middle);
	text_add(&t, after);
	reply(s, (struct span){ t.p, t.n });
}

/* ---- state ----------------------------------------------------------------- */

/* The only place where the state changes. */
static void enter(struct smtp_server *s, enum smtp_state next)
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

static bool is_lmtp(const struct smtp_server *s)
{
	return s->config->role == SMTP_ROLE_LMTP;
}

static bool in_transaction(const struct smtp_server *s)
{
	return (IN(s->state) & (IN_TRANSACTION | IN(SMTP_STATE_BDAT))) != 0;
}

static bool is_unanswered(enum smtp_wish wish)
{
	switch (wish) {
	case SMTP_WISH_MAIL:
	case SMTP_WISH_RCPT:
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
	case SMTP_WISH_CLOSE:
		return false;
	}
	assert(false);
	return false;
}

/* A mistake of the client: answered, counted, and in the end too many. */
static void error(struct smtp_server *s, struct span line)
{
	reply(s, line);
	s->error_count++;
	if (s->config->error_count_max == 0 || s->error_count < s->config->error_count_max)
		return;
	reply(s, SPAN_LIT("421 4.7.0 too many errors, closing\r\n"));
	enter(s, SMTP_STATE_CLOSED);
}

/* RCPT and DATA that were pipelined behind a refused MAIL are not the client's mistake. */
static void sequence_error(struct smtp_server *s, struct span line)
{
	if (s->mail_refused)
		reply(s, line);
	else
		error(s, line);
}

/* ---- EHLO, HELO ------------------------------------------------------------ */

/* Both begin anew, as RSET does (RFC 5321 4.1.4). */
static bool take_helo(struct smtp_server *s, struct span arg, bool esmtp)
{
	if (!address_is_domain(arg) && !address_is_literal(arg)) {
		error(s, SPAN_LIT("501 5.5.4 a host name or address literal must follow\r\n"));
		return false;
	}
	memcpy(s->helo_text, arg.p, arg.n);
	s->helo = (struct span){ s->helo_text, arg.n };
	s->esmtp = esmtp;
	s->mail_refused = false;
	if (in_transaction(s))
		s->wish = SMTP_WISH_RESET;
	enter(s, SMTP_STATE_READY);
	return true;
}

static struct span offered_mechanisms(const struct smtp_server *s)
{
	return s->tls ? s->config->mechanisms_tls : s->config->mechanisms_clear;
}

static bool can_auth(const struct smtp_server *s)
{
	return s->config->mechanisms_clear.n > 0 || s->config->mechanisms_tls.n > 0;
}

static void on_ehlo(struct smtp_server *s, struct span arg)
{
	struct reply_text size = { .n = 0 };

	if (!take_helo(s, arg, true))
		return;
	reply3(s, SPAN_LIT("250-"), s->config->host, SPAN_LIT("\r\n"));
	reply(s, SPAN_LIT("250-PIPELINING\r\n"));
	text_add(&size, SPAN_LIT("250-SIZE "));
	text_add_u64(&size, s->config->size_bytes_max);
	text_add(&size, SPAN_LIT("\r\n"));
	reply(s, (struct span){ size.p, size.n });
	reply(s, SPAN_LIT("250-8BITMIME\r\n"));
	reply(s, SPAN_LIT("250-CHUNKING\r\n"));
	if (!is_lmtp(s)) /* what is binary is encoded on its way out of the queue, and there is none */
		reply(s, SPAN_LIT("250-BINARYMIME\r\n"));
	reply(s, SPAN_LIT("250-DSN\r\n"));
	reply(s, SPAN_LIT("250-ENHANCEDSTATUSCODES\r\n"));
	if (s->config->offer_starttls && !s->tls)
		reply(s, SPAN_LIT("250-STARTTLS\r\n"));
	if (offered_mechanisms(s).n > 0)
		reply3(s, SPAN_LIT("250-AUTH "), offered_mechanisms(s), SPAN_LIT("\r\n"));
	reply(s, SPAN_LIT("250 HELP\r\n"));
}

static void on_helo(struct smtp_server *s, struct span arg)
{
	if (take_helo(s, arg, false))
		reply3(s, SPAN_LIT("250 "), s->config->host, SPAN_LIT("\r\n"));
}

/* ---- the transaction ------------------------------------------------------- */

/* X.1.7 speaks of the sender's address, X.1.3 of the recipient's (RFC 3463 3.2). */
static void path_error(struct smtp_server *s, enum address_result result, bool of_mail)
{
	switch (result) {
	case ADDRESS_SYNTAX:
		error(s, of_mail ? SPAN_LIT("501 5.1.7 malformed reverse-path\r\n")
				 : SPAN_LIT("501 5.1.3 malformed forward-path\r\n"));
		break;
	case ADDRESS_NOT_ASCII:
		error(s, SPAN_LIT("553 5.6.7 addresses must be ASCII\r\n"));
		break;
	case ADDRESS_LOCAL_TOO_LONG:
	case ADDRESS_DOMAIN_TOO_LONG:
	case ADDRESS_PATH_TOO_LONG:
		error(s, of_mail ? SPAN_LIT("501 5.1.7 reverse-path is too long\r\n")
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
		error(s, SPAN_LIT("501 5.5.4 malformed parameter\r\n"));
		return false;
	case SMTP_PARAMETER_UNKNOWN:
		error(s, SPAN_LIT("555 5.5.4 parameter not supported\r\n"));
		return false;
	}
	assert(false);
	return false;
}

static void begin_transaction(struct smtp_server *s)
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

static void on_mail(struct smtp_server *s, struct span arg)
{
	struct smtp_mail_parameters parameters;
	struct address path;

	begin_transaction(s);
	if (!span_take_prefix_nocase(&arg, SPAN_LIT("FROM:"))) {
		error(s, SPAN_LIT("501 5.5.4 FROM:<address> must follow\r\n"));
		return;
	}
	enum address_result result = address_take_reverse_path(&arg, &path);
	if (result != ADDRESS_OK) {
		path_error(s, result, true);
		return;
	}
	if (!accept_parameters(s, smtp_parameter_parse_mail(arg, can_auth(s), &parameters)))
		return;
	if (is_lmtp(s) && parameters.body == SMTP_BODY_BINARYMIME) {
		(void)accept_parameters(s, SMTP_PARAMETER_UNKNOWN);
		return;
	}
	s->size_declared_bytes = parameters.size_bytes;
	s->body = parameters.body;
	s->ret = parameters.ret;
	s->envid = copy_text(s->envid_text, parameters.envid);
	if (s->config->size_bytes_max > 0 && s->size_declared_bytes > s->config->size_bytes_max) {
		reply(s, smtp_answer_line(SMTP_ANSWER_TOO_BIG));
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
		reply(s, smtp_answer_line(answer));
		return;
	}
	s->mail_refused = false;
	enter(s, SMTP_STATE_MAIL);
	reply(s, SPAN_LIT("250 2.1.0 sender ok\r\n"));
}

static void on_rcpt(struct smtp_server *s, struct span arg)
{
	struct smtp_rcpt_parameters parameters;
	struct address path;

	if (!span_take_prefix_nocase(&arg, SPAN_LIT("TO:"))) {
		error(s, SPAN_LIT("501 5.5.4 TO:<address> must follow\r\n"));
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
		reply(s, smtp_answer_line(SMTP_ANSWER_TOO_MANY_RCPT));
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
		reply(s, smtp_answer_line(answer));
		return;
	}
	s->rcpt_count++;
	enter(s, SMTP_STATE_RCPT);
	reply(s, SPAN_LIT("250 2.1.5 recipient ok\r\n"));
}

static void begin_content(struct smtp_server *s)
{
	content_init(&s->content);
	header_scan_init(&s->header);
	s->refusal = SMTP_ANSWER_ACCEPT;
}

static void on_data(struct smtp_server *s, struct span arg)
{
	(void)arg;
	if (s->body == SMTP_BODY_BINARYMIME) {
		error(s, SPAN_LIT("503 5.5.1 BINARYMIME goes with BDAT only\r\n"));
		return;
	}
	if (s->rcpt_count == 0 && is_lmtp(s)) {
		reply(s, SPAN_LIT("503 5.5.1 no valid recipients\r\n")); /* RFC 2033 4.2 */
		return;
	}
	if (s->rcpt_count == 0) {
		/* Every RCPT refused, or none given (RFC 5321 3.3, RFC 2920 3.1). */
		reply(s, SPAN_LIT("554 5.5.1 no valid recipients\r\n"));
		return;
	}
	begin_content(s);
	enter(s, SMTP_STATE_DATA);
	reply(s, SPAN_LIT("354 send the message, end with a line of one dot\r\n"));
}

void smtp_server_refuse_content(struct smtp_server *s, enum smtp_answer answer)
{
	assert(s->state == SMTP_STATE_DATA || s->state == SMTP_STATE_CHUNK);
	assert(answer != SMTP_ANSWER_ACCEPT && answer < SMTP_ANSWER_COUNT);
	if (s->refusal == SMTP_ANSWER_ACCEPT)
		s->refusal = answer;
}

static bool is_too_big(const struct smtp_server *s)
{
	return s->config->size_bytes_max > 0 && s->content.content_bytes > s->config->size_bytes_max;
}

/* What speaks against the whole content; empty when nothing does. */
static struct span judge_content(const struct smtp_server *s)
{
	const struct smtp_server_config *config = s->config;

	if (s->refusal != SMTP_ANSWER_ACCEPT)
		return smtp_answer_line(s->refusal);
	if (is_too_big(s))
		return smtp_answer_line(SMTP_ANSWER_TOO_BIG);
	if (!config->accept_bare_eol && s->body != SMTP_BODY_BINARYMIME &&
	    (s->content.facts & (CONTENT_BARE_CR | CONTENT_BARE_LF)) != 0)
		return SPAN_LIT("550 5.5.2 bare CR or LF in the message, lines end with CRLF\r\n");
	if (config->header_bytes_max > 0 && s->header.header_bytes > config->header_bytes_max)
		return SPAN_LIT("552 5.3.4 header section is too big\r\n");
	if (s->header.count[HEADER_RECEIVED] > config->received_count_max)
		return smtp_answer_line(SMTP_ANSWER_TOO_MANY_HOPS);
	return (struct span){ NULL, 0 };
}

static void finish_content(struct smtp_server *s)
{
	struct span refusal = judge_content(s);

	enter(s, SMTP_STATE_READY);
	s->wish = SMTP_WISH_MESSAGE;
	if (refusal.n > 0) {
		for (uint32_t i = 0; i < smtp_server_final_reply_count(s); i++)
			reply(s, refusal);
		s->wish = SMTP_WISH_MESSAGE_REFUSED;
	}
}

/* What is over the size limit is not handed out: the driver gets the same bytes whatever the split is. */
static void take_run(struct smtp_server *s, struct span run)
{
	uint64_t size_bytes_max = s->config->size_bytes_max;
	uint64_t before_bytes = s->content.content_bytes - run.n;

	header_scan_feed(&s->header, run);
	if (s->refusal != SMTP_ANSWER_ACCEPT)
		return;
	if (is_too_big(s))
		run = span_sub(run, 0,
			       before_bytes < size_bytes_max ? (size_t)(size_bytes_max - before_bytes) : 0);
	if (run.n == 0)
		return;
	s->run = run;
	s->wish = SMTP_WISH_CONTENT;
}

/* False when more input is needed.  So are the other steps. */
static bool step_content(struct smtp_server *s, struct span in, size_t *ret_used_bytes)
{
	struct span run;

	switch (content_next(&s->content, in, &run, ret_used_bytes)) {
	case CONTENT_RUN:
		take_run(s, run);
		return true;
	case CONTENT_END:
		finish_content(s);
		return true;
	case CONTENT_MORE:
		return false;
	}
	assert(false);
	return false;
}

/* ---- BDAT (RFC 3030) ------------------------------------------------------- */

/* "size" or "size LAST". */
static bool parse_chunk(struct span arg, uint64_t *ret_bytes, bool *ret_last)
{
	size_t n = span_find(arg, ' ');
	struct span size = span_sub(arg, 0, n);

	for (size_t i = 0; i < size.n; i++)
		if (size.p[i] < '0' || size.p[i] > '9')
			return false;
	*ret_last = n < arg.n;
	return span_to_u64(size, ret_bytes) &&
	       (!*ret_last || span_eq_nocase(span_sub(arg, n + 1, arg.n), SPAN_LIT("LAST")));
}

/* Begins a chunk.  With a refusal its octets are discarded before that is said. */
static void take_chunk(struct smtp_server *s, struct span arg, struct span refusal, bool counts)
{
	if (!parse_chunk(arg, &s->chunk_bytes_left, &s->chunk_last)) {
		/* Nobody knows how many octets follow, and none may run as a command. */
		reply(s, SPAN_LIT("501 5.5.4 BDAT size [LAST]\r\n"));
		reply(s, SPAN_LIT("421 4.7.0 cannot tell content from commands, closing\r\n"));
		enter(s, SMTP_STATE_CLOSED);
		return;
	}
	s->chunk_refusal = refusal;
	s->chunk_refusal_counts = counts;
	s->chunk_came_from = s->state;
	enter(s, SMTP_STATE_CHUNK);
}

static void on_bdat(struct smtp_server *s, struct span arg)
{
	if (s->rcpt_count == 0) {
		take_chunk(s, arg, SPAN_LIT("554 5.5.1 no valid recipients\r\n"), false);
		return;
	}
	if (s->state != SMTP_STATE_BDAT)
		begin_content(s);
	take_chunk(s, arg, (struct span){ NULL, 0 }, false);
}

static void end_refused_chunk(struct smtp_server *s)
{
	enter(s, s->chunk_came_from);
	if (is_lmtp(s) && s->chunk_last) {
		/* As many replies as the transaction had recipients, of which a chunk before may have been refused. */
		for (uint32_t i = 0; i < s->rcpt_count && s->mail_refused; i++)
			reply(s, s->chunk_refusal);
		return;
	}
	if (s->chunk_refusal_counts)
		error(s, s->chunk_refusal);
	else
		reply(s, s->chunk_refusal);
}

static void end_chunk(struct smtp_server *s)
{
	if (s->chunk_refusal.n > 0) {
		end_refused_chunk(s);
		return;
	}
	if (s->chunk_last) {
		content_finish(&s->content);
		finish_content(s);
		return;
	}
	struct span refusal = judge_content(s);
	if (refusal.n > 0) {
		/* Chunks that are on their way already are discarded, and are no mistake. */
		enter(s, SMTP_STATE_READY);
		s->mail_refused = true;
		s->wish = SMTP_WISH_MESSAGE_REFUSED;
		reply(s, refusal);
		return;
	}
	enter(s, SMTP_STATE_BDAT);
	reply(s, SPAN_LIT("250 2.0.0 chunk received\r\n"));
}

static bool step_chunk(struct smtp_server *s, struct span in, size_t *ret_used_bytes)
{
	size_t n = in.n < s->chunk_bytes_left ? in.n : (size_t)s->chunk_bytes_left;

	*ret_used_bytes = n;
	if (s->chunk_bytes_left == 0) {
		end_chunk(s);
		return true;
	}
	if (n == 0)
		return false;
	s->chunk_bytes_left -= n;
	if (s->chunk_refusal.n == 0) {
		content_take(&s->content, span_sub(in, 0, n));
		take_run(s, span_sub(in, 0, n));
	}
	return true;
}

/* ---- small commands -------------------------------------------------------- */

static void on_rset(struct smtp_server *s, struct span arg)
{
	(void)arg;
	s->mail_refused = false;
	if (in_transaction(s)) {
		enter(s, SMTP_STATE_READY);
		s->wish = SMTP_WISH_RESET;
	}
	reply(s, SPAN_LIT("250 2.0.0 ok\r\n"));
}

static void on_noop(struct smtp_server *s, struct span arg)
{
	(void)arg;
	reply(s, SPAN_LIT("250 2.0.0 ok\r\n"));
}

static void on_quit(struct smtp_server *s, struct span arg)
{
	(void)arg;
	reply3(s, SPAN_LIT("221 2.0.0 "), s->config->host, SPAN_LIT(" closing\r\n"));
	enter(s, SMTP_STATE_CLOSED);
}

/* Says nothing about who exists (RFC 5321 3.5.3, 7.3). */
static void on_vrfy(struct smtp_server *s, struct span arg)
{
	if (arg.n == 0)
		error(s, SPAN_LIT("501 5.5.4 a mailbox must follow\r\n"));
	else
		reply(s, SPAN_LIT("252 2.5.0 not verified, but RCPT will say\r\n"));
}

static void on_help(struct smtp_server *s, struct span arg)
{
	(void)arg;
	reply(s, SPAN_LIT("214-2.0.0 commands: EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT\r\n"));
	reply(s, SPAN_LIT("214 2.0.0 and, when EHLO lists them: STARTTLS AUTH\r\n"));
}

static void on_unsupported(struct smtp_server *s, struct span arg)
{
	(void)arg;
	error(s, SPAN_LIT("502 5.5.1 command not implemented\r\n"));
}

/* ---- STARTTLS -------------------------------------------------------------- */

static void on_starttls(struct smtp_server *s, struct span arg)
{
	(void)arg;
	if (s->tls) {
		error(s, SPAN_LIT("503 5.5.1 TLS is active already\r\n"));
		return;
	}
	if (!s->config->offer_starttls) {
		error(s, SPAN_LIT("502 5.5.1 STARTTLS is not offered\r\n"));
		return;
	}
	enter(s, SMTP_STATE_TLS);
	reply(s, SPAN_LIT("220 2.0.0 begin TLS\r\n"));
	s->wish = SMTP_WISH_STARTTLS;
}

void smtp_server_tls_started(struct smtp_server *s)
{
	assert(s->state == SMTP_STATE_TLS);
	assert(s->wish == SMTP_WISH_STARTTLS);
	enter(s, SMTP_STATE_GREETED);
	begin_transaction(s);
	s->wish = SMTP_WISH_INPUT;
	s->tls = true;
	s->helo = (struct span){ s->helo_text, 0 };
	s->esmtp = false;
	s->mail_refused = false;
	s->authenticated = false;
	s->identity = (struct span){ s->identity_text, 0 };
}

/* ---- AUTH (RFC 4954) ------------------------------------------------------- */

static bool is_offered(const struct smtp_server *s, struct span mechanism)
{
	struct span rest = offered_mechanisms(s);

	while (rest.n > 0) {
		size_t n = span_find(rest, ' ');
		if (n > 0 && span_eq_nocase(span_sub(rest, 0, n), mechanism))
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

static void on_auth(struct smtp_server *s, struct span arg)
{
	struct span initial = { NULL, 0 };

	if (!can_auth(s)) {
		error(s, SPAN_LIT("502 5.5.1 AUTH is not offered\r\n"));
		return;
	}
	if (s->authenticated) {
		error(s, SPAN_LIT("503 5.5.1 authenticated already\r\n"));
		return;
	}
	size_t n = span_find(arg, ' ');
	s->auth_mechanism = span_sub(arg, 0, n);
	initial = span_sub(arg, n + 1, arg.n);
	if (arg.n == 0 || span_find(initial, ' ') < initial.n) {
		error(s, SPAN_LIT("501 5.5.4 AUTH mechanism [initial-response]\r\n"));
		return;
	}
	if (!is_offered(s, s->auth_mechanism)) {
		error(s, SPAN_LIT("504 5.5.4 mechanism not offered\r\n"));
		return;
	}
	if (!take_initial_response(s, initial)) {
		error(s, SPAN_LIT("501 5.5.2 not base64\r\n"));
		return;
	}
	enter(s, SMTP_STATE_AUTH);
	s->wish = SMTP_WISH_AUTH;
}

static void cancel_auth(struct smtp_server *s, struct span line)
{
	assert(s->state == SMTP_STATE_AUTH);
	enter(s, SMTP_STATE_READY);
	s->wish = SMTP_WISH_AUTH_CANCELLED;
	error(s, line);
}

static void on_auth_response(struct smtp_server *s, struct span line)
{
	if (span_eq(line, SPAN_LIT("*"))) {
		cancel_auth(s, SPAN_LIT("501 5.7.0 authentication cancelled\r\n"));
		return;
	}
	if (!base64_is_valid(line)) {
		cancel_auth(s, SPAN_LIT("501 5.5.2 not base64\r\n"));
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
	reply(s, (struct span){ line, code.n + challenge.n + CRLF_BYTES });
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
	enter(s, SMTP_STATE_READY);
	reply(s, SPAN_LIT("235 2.7.0 authenticated\r\n"));
}

void smtp_server_auth_fail(struct smtp_server *s, enum smtp_auth_failure why)
{
	assert_auth_wish(s);
	s->wish = SMTP_WISH_INPUT;
	enter(s, SMTP_STATE_READY);
	error(s, smtp_auth_failure_line(why));
}

/* ---- command lines --------------------------------------------------------- */

static const struct command *find_command(const struct smtp_server *s, struct span verb)
{
	unsigned unknown_traits = is_lmtp(s) ? NOT_LMTP : ONLY_LMTP;

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (span_eq_nocase(commands[i].verb, verb) && (commands[i].traits & unknown_traits) == 0)
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
	if ((command->traits & NEEDS_AUTH) == 0 || s->config->role != SMTP_ROLE_SUBMISSION)
		return false;
	/* Before EHLO the order of commands is what is wrong. */
	return !s->authenticated &&
	       (s->state != SMTP_STATE_GREETED || (command->allowed_in & IN(s->state)) != 0);
}

/* run_command() for BDAT: what follows the line is discarded before anything is said about it. */
static void run_counted(struct smtp_server *s, const struct command *command, struct span arg)
{
	if (s->config->require_tls && !s->tls)
		take_chunk(s, arg, SPAN_LIT("530 5.7.0 STARTTLS comes first\r\n"), true);
	else if (lacks_auth(s, command))
		take_chunk(s, arg, SPAN_LIT("530 5.7.0 authentication required\r\n"), true);
	else if ((command->allowed_in & IN(s->state)) == 0)
		take_chunk(s, arg, SPAN_LIT("503 5.5.1 not at this point\r\n"), !s->mail_refused);
	else
		command->run(s, arg);
}

static void run_command(struct smtp_server *s, const struct command *command, struct span arg)
{
	if ((command->traits & COUNTED_OCTETS) != 0) {
		run_counted(s, command, arg);
		return;
	}
	if (s->config->require_tls && !s->tls && (command->traits & WITHOUT_TLS) == 0)
		error(s, SPAN_LIT("530 5.7.0 STARTTLS comes first\r\n"));
	else if (lacks_auth(s, command))
		error(s, SPAN_LIT("530 5.7.0 authentication required\r\n"));
	else if ((command->allowed_in & IN(s->state)) == 0)
		sequence_error(s, SPAN_LIT("503 5.5.1 not at this point\r\n"));
	else if ((command->traits & NO_ARGUMENT) != 0 && arg.n > 0)
		error(s, SPAN_LIT("501 5.5.4 no argument is allowed\r\n"));
	else
		command->run(s, arg);
}

static void on_command_line(struct smtp_server *s, struct span line)
{
	struct span text = line;

	/* RFC 5321 4.1.1: blanks before the CRLF are tolerated. */
	while (text.n > 0 && (text.p[text.n - 1] == ' ' || text.p[text.n - 1] == '\t'))
		text.n--;
	size_t verb_bytes = span_find(text, ' ');
	const struct command *command = find_command(s, span_sub(text, 0, verb_bytes));
	size_t line_bytes_max = command != NULL ? command->line_bytes_max : SMTP_COMMAND_BYTES_MAX;

	if (line.n + CRLF_BYTES > line_bytes_max)
		error(s, SPAN_LIT("500 5.5.2 line is too long\r\n"));
	else if (has_controls(text))
		error(s, SPAN_LIT("500 5.5.2 control characters in a command\r\n"));
	else if (command == NULL)
		error(s, SPAN_LIT("500 5.5.2 command not recognized\r\n"));
	else
		run_command(s, command, span_sub(text, verb_bytes + 1, text.n));
}

static void reply_malformed(struct smtp_server *s, struct span command_line, struct span auth_line)
{
	if (s->state == SMTP_STATE_AUTH)
		cancel_auth(s, auth_line);
	else
		error(s, command_line);
}

static bool step_line(struct smtp_server *s, struct span in, size_t *ret_used_bytes)
{
	struct span line;

	switch (line_next(in, SMTP_AUTH_LINE_BYTES_MAX - CRLF_BYTES, &line, ret_used_bytes)) {
	case LINE_OK:
		if (s->state == SMTP_STATE_AUTH)
			on_auth_response(s, line);
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
				SPAN_LIT("500 5.5.6 authentication line is too long\r\n"));
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
	reply3(s, SPAN_LIT("220 "), s->config->host,
	       is_lmtp(s) ? SPAN_LIT(" LMTP postriderd\r\n") : SPAN_LIT(" ESMTP postriderd\r\n"));
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
			more = step_content(s, rest, &step_bytes);
		else if (s->state == SMTP_STATE_CHUNK)
			more = step_chunk(s, rest, &step_bytes);
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
	reply(s, smtp_close_line(why));
	enter(s, SMTP_STATE_CLOSED);
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
	return is_lmtp(s) ? s->rcpt_count : 1;
}

struct span smtp_server_protocol(const struct smtp_server *s)
{
	if (!s->esmtp)
		return SPAN_LIT("SMTP");
	if (is_lmtp(s) && s->tls)
		return s->authenticated ? SPAN_LIT("LMTPSA") : SPAN_LIT("LMTPS");
	if (is_lmtp(s))
		return s->authenticated ? SPAN_LIT("LMTPA") : SPAN_LIT("LMTP");
	if (s->tls)
		return s->authenticated ? SPAN_LIT("ESMTPSA") : SPAN_LIT("ESMTPS");
	return s->authenticated ? SPAN_LIT("ESMTPA") : SPAN_LIT("ESMTP");
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
		[SMTP_WISH_INPUT] = "input",         [SMTP_WISH_MAIL] = "mail",
		[SMTP_WISH_RCPT] = "rcpt",           [SMTP_WISH_CONTENT] = "content",
		[SMTP_WISH_MESSAGE] = "message",     [SMTP_WISH_MESSAGE_REFUSED] = "message-refused",
		[SMTP_WISH_RESET] = "reset",         [SMTP_WISH_AUTH] = "auth",
		[SMTP_WISH_AUTH_STEP] = "auth-step", [SMTP_WISH_AUTH_CANCELLED] = "auth-cancelled",
		[SMTP_WISH_STARTTLS] = "starttls",   [SMTP_WISH_CLOSE] = "close",
	};
	assert((size_t)wish < sizeof(names) / sizeof(names[0]));
	return names[wish];
}
