#include "reference-server/core/smtp_client.h"

#include "reference-server/core/base64.h"
#include "reference-server/core/mutant.h"
#include "reference-server/core/smtp_client_parts.h"

#include <assert.h>
#include <string.h>

enum { COMMAND_BYTES_MAX = 512 }; /* RFC 5321 4.5.3.1.4 */

/* The server's verdict; its text is escaped already. */
void smtpc_reply_result(struct smtp_result *r, const struct smtp_client *c, enum smtp_class class_,
			enum smtp_stage stage)
{
	struct span text = smtp_reply_text(&c->reply);

	smtp_result_set(r, class_, stage, c->reply.code, c->reply.status, (struct span){ NULL, 0 });
	if (c->reply.status.class_digit == 0)
		r->status.class_digit = (uint8_t)(c->reply.code / 100 == 3 ? 4 : c->reply.code / 100);
	memcpy(r->text, text.p, text.n);
	r->text_bytes = (uint16_t)text.n;
}

unsigned smtpc_first_digit(const struct smtp_client *c)
{
	return c->reply.code / 100u;
}

enum smtp_class smtpc_reply_class(const struct smtp_client *c)
{
	switch (smtpc_first_digit(c)) {
	case 2:
		return SMTP_CLASS_OK;
	case 5:
		return MUTANT(RELAY_5YZ_REPEATED) ? SMTP_CLASS_TEMPORARY : SMTP_CLASS_PERMANENT;
	default:
		return MUTANT(RELAY_4YZ_RETURNS) ? SMTP_CLASS_PERMANENT : SMTP_CLASS_TEMPORARY;
	}
}

/* ---- the state, seen from outside ---- */

/* The message the next reply is about, or NULL. */
struct smtp_client_slot *smtpc_current(struct smtp_client *c)
{
	for (uint32_t i = 0; i < c->slot_count; i++)
		if (c->slots[i].where != W_DONE)
			return &c->slots[i];
	return NULL;
}

enum smtp_client_wish smtpc_wish(const struct smtp_client *c)
{
	if (c->slot_count > 0 && c->slots[0].where == W_DONE)
		return SMTP_CLIENT_DONE;
	if (c->session == S_CLOSED)
		return SMTP_CLIENT_CLOSED;
	if (c->session == S_TLS)
		return SMTP_CLIENT_START_TLS;
	if (c->session == S_RUN && c->slot_count == 0)
		return SMTP_CLIENT_READY;
	if (c->session == S_RUN && c->slots[0].where == W_CONTENT)
		return SMTP_CLIENT_SEND_CONTENT;
	return SMTP_CLIENT_WANT_INPUT;
}

enum smtp_stage smtpc_slot_stage(const struct smtp_client_slot *s)
{
	switch ((enum client_where)s->where) {
	case W_ENVELOPE:
		if (!s->mail_replied)
			return SMTP_STAGE_MAIL;
		return s->rcpt_open > 0 ? SMTP_STAGE_RCPT : SMTP_STAGE_DATA;
	case W_CONTENT:
		return SMTP_STAGE_CONTENT;
	case W_FINAL_DOT:
	case W_LONE_DOT:
		return SMTP_STAGE_FINAL_DOT;
	case W_DONE:
		break;
	}
	return SMTP_STAGE_IDLE;
}

enum smtp_stage smtp_client_stage(const struct smtp_client *c)
{
	switch ((enum client_session)c->session) {
	case S_GREETING:
		return SMTP_STAGE_GREETING;
	case S_EHLO:
	case S_HELO:
		return SMTP_STAGE_EHLO;
	case S_STARTTLS:
		return SMTP_STAGE_STARTTLS;
	case S_TLS:
		return SMTP_STAGE_TLS;
	case S_AUTH:
		return SMTP_STAGE_AUTH;
	case S_RSET:
		return SMTP_STAGE_RSET;
	case S_QUIT:
		return SMTP_STAGE_QUIT;
	case S_CLOSED:
		return c->closed.stage;
	case S_RUN:
		break;
	}
	for (uint32_t i = 0; i < c->slot_count; i++)
		if (c->slots[i].where != W_DONE)
			return smtpc_slot_stage(&c->slots[i]);
	return SMTP_STAGE_IDLE;
}

/* ---- commands ---- */

void smtpc_send(struct smtp_client *c, const char *line)
{
	buf_add_cstr(c->options.out, line);
}

static void smtpc_send_with(struct smtp_client *c, const char *verb, struct span argument)
{
	smtpc_send(c, verb);
	buf_add(c->options.out, argument);
	smtpc_send(c, "\r\n");
}

/* RFC 3207 4.2, RFC 9422 3.6: what an earlier EHLO said is void. */
static void forget_extensions(struct smtp_client *c)
{
	if (MUTANT(RELAY_KEEPS_EHLO) && c->tls_on)
		return;
	c->extensions = 0;
	c->size_bytes_max = 0;
	c->by_s_min = 0;
	c->rcpt_count_max = c->mail_count_max = 0;
	if (MUTANT(RELAY_ONE_RECIPIENT_EACH))
		c->rcpt_count_max = 1;
}

static void send_ehlo(struct smtp_client *c)
{
	forget_extensions(c);
	c->mail_count = 0;
	c->session = S_EHLO;
	smtpc_send_with(c, c->options.lmtp && !MUTANT(RELAY_LMTP_EHLO) ? "LHLO " : "EHLO ",
			c->options.local_name);
}

static void send_helo(struct smtp_client *c)
{
	forget_extensions(c);
	c->session = S_HELO;
	smtpc_send_with(c, "HELO ", c->options.local_name);
}

/* ---- endings ---- */

/* Gives r to every recipient that has no verdict of its own yet. */
void smtpc_decide(struct smtp_client_slot *s, const struct smtp_result *r)
{
	if (s->final_next > 0 && MUTANT(RELAY_LMTP_LOSS_IS_SENT))
		return;
	for (uint32_t i = MUTANT(RELAY_LMTP_LOSS_FORGETS) ? 0 : s->final_next; i < s->message.rcpt_count; i++)
		if (s->message.results[i].class_ == SMTP_CLASS_OK)
			smtp_result_copy(&s->message.results[i], r);
}

void smtpc_finish(struct smtp_client_slot *s, const struct smtp_result *r)
{
	assert(s->where != W_DONE);
	smtpc_decide(s, r);
	s->where = W_DONE;
}

/* The connection says goodbye: QUIT, then CLOSED whatever is answered (RFC 5321 4.1.1.10). */
static void part(struct smtp_client *c)
{
	assert(c->slot_count == 0 || smtpc_current(c) == NULL);
	smtpc_send(c, MUTANT(RELAY_NO_QUIT) ? "RSET\r\n" : "QUIT\r\n");
	c->session = MUTANT(RELAY_QUIT_UNAWAITED) ? S_CLOSED : S_QUIT;
}

/*
 * The connection cannot go on, and r says why.  The message in turn gets that
 * verdict, with its own stage.  One of which nothing was heard is NOT_TRIED
 * when the connection had served before, because then the trouble is likely
 * to be the connection's age; the message in turn only when `untried` allows
 * it.  `doubt`: a final dot that is out was not answered.
 */
void smtpc_end(struct smtp_client *c, const struct smtp_result *r, bool untried, bool doubt)
{
	const struct smtp_client_slot *in_turn = smtpc_current(c);
	struct smtp_result own;

	smtp_result_copy(&c->closed, r);
	c->closed.stage = smtp_client_stage(c);
	for (uint32_t i = 0; i < c->slot_count; i++) {
		struct smtp_client_slot *s = &c->slots[i];

		if (s->where == W_DONE)
			continue;
		smtp_result_copy(&own, r);
		own.stage = smtpc_slot_stage(s);
		own.in_doubt = doubt && s->where == W_FINAL_DOT;
		if (s->reused && !s->mail_replied && (s != in_turn || untried))
			own.class_ = SMTP_CLASS_NOT_TRIED;
		smtpc_finish(s, &own);
	}
	c->session = S_CLOSED;
}

static enum smtp_class nonsense_class(void)
{
	if (MUTANT(RELAY_NONSENSE_IS_SENT))
		return SMTP_CLASS_OK;
	return MUTANT(RELAY_PIECES_REFUSE) ? SMTP_CLASS_PERMANENT : SMTP_CLASS_TEMPORARY;
}

/* Not SMTP, or not an answer to anything that was asked. */
void smtpc_end_nonsense(struct smtp_client *c, const char *text)
{
	bool in_content = smtp_client_stage(c) == SMTP_STAGE_CONTENT;
	struct smtp_result r;

	smtp_result_set_own(&r, nonsense_class(), SMTP_STAGE_IDLE, 5, 0, text);
	smtpc_end(c, &r, false, true);
	if (!in_content) /* where it would be content */
		smtpc_send(c, "QUIT\r\n");
}

/* 421, or any refusal in mid content: the server gives the connection up. */
void smtpc_end_by_reply(struct smtp_client *c)
{
	struct smtp_result r;

	smtpc_reply_result(&r, c, smtpc_reply_class(c), SMTP_STAGE_IDLE);
	smtpc_end(c, &r, true, false);
}

/* The connection was never fit for a message: the verdict is the host's. */
static void refuse_host(struct smtp_client *c, const struct smtp_result *r)
{
	assert(c->slot_count == 0);
	smtp_result_copy(&c->closed, r);
	part(c);
}

static void refuse_host_by_reply(struct smtp_client *c, enum smtp_class class_)
{
	struct smtp_result r;

	smtpc_reply_result(&r, c, class_, smtp_client_stage(c));
	refuse_host(c, &r);
}

static void refuse_host_because(struct smtp_client *c, enum smtp_class class_, enum smtp_stage stage,
				uint16_t detail, const char *text)
{
	struct smtp_result r;

	smtp_result_set_own(&r, class_, stage, 7, detail, text);
	refuse_host(c, &r);
}

/* What a host lacks for messages with REQUIRETLS does not come by waiting (RFC 8689 4.2.1). */
static enum smtp_class without_tls_class(const struct smtp_client *c)
{
	return c->options.only_require_tls ? SMTP_CLASS_PERMANENT : SMTP_CLASS_TEMPORARY;
}

/* False when the host was refused for it. */
static bool keeps_require_tls(struct smtp_client *c)
{
	if (!c->options.only_require_tls || MUTANT(RELAY_REQUIRETLS_IGNORED))
		return true;
	if (!c->tls_on || !c->options.tls_verified)
		refuse_host_because(c, SMTP_CLASS_PERMANENT, SMTP_STAGE_EHLO, 10,
				    "the message requires TLS with a host whose name is verified");
	else if ((c->extensions & SMTP_EXT_REQUIRETLS) == 0 && !MUTANT(RELAY_REQUIRETLS_UNOFFERED))
		refuse_host_because(c, SMTP_CLASS_PERMANENT, SMTP_STAGE_EHLO,
				    MUTANT(RELAY_REQUIRETLS_VAGUE) ? 0 : 30,
				    "the message requires TLS all the way, and the next hop does not offer "
				    "REQUIRETLS");
	else
		return true;
	return false;
}

/* ---- getting ready: greeting, EHLO, STARTTLS, AUTH ---- */

static void add_plain_response(struct smtp_client *c, struct buf *out)
{
	struct buf plain = { 0 };

	buf_add(&plain, SPAN_LIT("\0"));
	buf_add(&plain, c->options.auth_user);
	buf_add(&plain, SPAN_LIT("\0"));
	buf_add(&plain, c->options.auth_password);
	base64_encode(out, buf_span(&plain));
	buf_free(&plain);
}

/* RFC 4954 4: the initial response goes along when the line has room for it. */
static void send_auth(struct smtp_client *c)
{
	size_t plain_bytes = 2 + c->options.auth_user.n + c->options.auth_password.n;
	size_t line_bytes = sizeof("AUTH PLAIN ") - 1 + (plain_bytes + 2) / 3 * 4 + 2;

	c->session = S_AUTH;
	smtpc_send(c, "AUTH PLAIN");
	c->auth_response_sent = line_bytes <= COMMAND_BYTES_MAX;
	if (c->auth_response_sent) {
		smtpc_send(c, " ");
		add_plain_response(c, c->options.out);
	}
	smtpc_send(c, "\r\n");
}

/* The next step behind EHLO, HELO, STARTTLS and AUTH. */
static void prepare(struct smtp_client *c)
{
	bool want_tls = c->options.tls != SMTP_CLIENT_TLS_NONE &&
			(!c->tls_on || MUTANT(RELAY_STARTTLS_AGAIN)) && !c->starttls_refused;

	if (want_tls && (c->extensions & SMTP_EXT_STARTTLS)) {
		c->session = S_STARTTLS;
		smtpc_send(c, "STARTTLS\r\n");
		return;
	}
	if (c->options.tls == SMTP_CLIENT_TLS_REQUIRE && !c->tls_on) {
		refuse_host_because(c, without_tls_class(c), SMTP_STAGE_STARTTLS,
				    MUTANT(RELAY_REQUIRETLS_VAGUE) ? 0 : 10,
				    "TLS is required, but the host does not offer it");
		return;
	}
	if (!keeps_require_tls(c))
		return;
	c->session = S_RUN;
	if (c->options.auth_user.n == 0 || c->auth_done)
		return;
	if (!c->tls_on && !c->options.auth_without_tls)
		refuse_host_because(c, SMTP_CLASS_TEMPORARY, SMTP_STAGE_AUTH, 0,
				    "authentication is required, but there is no TLS");
	else if ((c->extensions & SMTP_EXT_AUTH_PLAIN) == 0)
		refuse_host_because(c, SMTP_CLASS_TEMPORARY, SMTP_STAGE_AUTH, 0,
				    "authentication is required, but the host does not offer AUTH PLAIN");
	else
		send_auth(c);
}

static bool has_word(struct span words, struct span wanted)
{
	struct span word;

	while (span_take_until(&words, ' ', &word))
		if (span_eq_nocase(word, wanted))
			return true;
	return span_eq_nocase(words, wanted);
}

/* limit-name ["=" limit-value] */
static bool is_limit(struct span word)
{
	size_t n = span_find(word, '=');
	bool fine = n > 0 && n + 1 != word.n;

	for (size_t i = 0; i < word.n && fine; i++) {
		char p = word.p[i];
		bool in_name = (p >= 'A' && p <= 'Z') || (p >= 'a' && p <= 'z') || (p >= '0' && p <= '9') ||
			       p == '-' || p == '_';
		fine = i < n ? in_name : p > ' ' && p < 0x7F && p != ';';
	}
	return fine;
}

static bool are_limits(struct span words)
{
	struct span word;
	bool fine = true;

	while (fine && span_take_until(&words, ' ', &word))
		fine = is_limit(word);
	return fine && is_limit(words);
}

/*
 * RFC 9422 3: "RCPTMAX=100 MAILMAX=5".  A value that makes no sense says nothing, and a parameter
 * that is malformed says nothing at all (3.7).
 */
static void learn_limits(struct smtp_client *c, struct span words)
{
	struct span word;
	uint64_t value;

	if (!are_limits(words) && !MUTANT(RELAY_BAD_LIMITS_READ))
		return;
	while (words.n > 0) {
		if (!span_take_until(&words, ' ', &word)) {
			word = words;
			words.n = 0;
		}
		bool rcpt = span_take_prefix_nocase(&word, SPAN_LIT("RCPTMAX="));
		bool mail = !rcpt && span_take_prefix_nocase(&word, SPAN_LIT("MAILMAX="));
		if (word.n == 0 || word.n > 6 || word.p[0] == '0' || !span_to_u64(word, &value))
			continue;
		if (rcpt)
			c->rcpt_count_max = (uint32_t)value;
		if (mail)
			c->mail_count_max = (uint32_t)value;
	}
}

/* One line of the answer to EHLO: a keyword and its parameters (RFC 5321 4.1.1.1). */
static void learn(struct smtp_client *c, struct span line)
{
	static const struct {
		struct span keyword;
		uint32_t bit;
	} known[] = {
		{ { "PIPELINING", 10 }, SMTP_EXT_PIPELINING },
		{ { "SIZE", 4 }, SMTP_EXT_SIZE },
		{ { "8BITMIME", 8 }, SMTP_EXT_8BITMIME },
		{ { "STARTTLS", 8 }, SMTP_EXT_STARTTLS },
		{ { "ENHANCEDSTATUSCODES", 19 }, SMTP_EXT_ENHANCED_STATUS },
		{ { "DSN", 3 }, SMTP_EXT_DSN },
		{ { "CHUNKING", 8 }, SMTP_EXT_CHUNKING },
		{ { "BINARYMIME", 10 }, SMTP_EXT_BINARYMIME },
		{ { "SMTPUTF8", 8 }, SMTP_EXT_SMTPUTF8 },
		{ { "REQUIRETLS", 10 }, SMTP_EXT_REQUIRETLS },
		{ { "DELIVERBY", 9 }, SMTP_EXT_DELIVERBY },
	};
	struct span keyword = span_sub(line, 0, span_find(line, ' '));
	struct span rest = span_trim(span_sub(line, keyword.n, line.n));

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (span_eq_nocase(keyword, known[i].keyword) &&
		    (rest.n == 0 || !MUTANT(RELAY_BARE_KEYWORDS)))
			c->extensions |= known[i].bit;
	if (span_eq_nocase(keyword, SPAN_LIT("SIZE")) && !span_to_u64(rest, &c->size_bytes_max))
		c->size_bytes_max = 0; /* RFC 1870 4: no parameter tells nothing */
	if (span_eq_nocase(keyword, SPAN_LIT("DELIVERBY")) && !span_to_u64(rest, &c->by_s_min))
		c->by_s_min = 0;
	if (span_eq_nocase(keyword, SPAN_LIT("LIMITS")))
		learn_limits(c, rest);
	if (span_eq_nocase(keyword, SPAN_LIT("AUTH")) && has_word(rest, SPAN_LIT("PLAIN")))
		c->extensions |= SMTP_EXT_AUTH_PLAIN;
}

/* What mutants do instead of saying EHLO. */
static bool opens_otherwise(struct smtp_client *c)
{
	if (MUTANT(RELAY_HELO_FIRST)) {
		send_helo(c);
	} else if (MUTANT(RELAY_NO_HELLO)) {
		prepare(c);
	} else if (MUTANT(RELAY_TALKS_FIRST)) {
		c->session = S_EHLO; /* it was said long ago */
	} else if (MUTANT(RELAY_RSET_FIRST)) {
		smtpc_send(c, "RSET\r\n");
		c->session = S_RSET;
	} else {
		return false;
	}
	return true;
}

static void on_greeting(struct smtp_client *c)
{
	if (smtpc_first_digit(c) == 2 && opens_otherwise(c))
		return;
	if (smtpc_first_digit(c) == 2)
		send_ehlo(c);
	else if (smtpc_first_digit(c) == 3)
		smtpc_end_nonsense(c, "greeted with an intermediate reply");
	else
		refuse_host_by_reply(c, c->reply.code == 521 ? SMTP_CLASS_PERMANENT : SMTP_CLASS_TEMPORARY);
}

static void on_ehlo(struct smtp_client *c)
{
	if (smtpc_first_digit(c) == 2) {
		prepare(c);
	} else if (smtpc_first_digit(c) == 3) {
		smtpc_end_nonsense(c, "intermediate reply to EHLO");
	} else if (!MUTANT(RELAY_NO_HELO) && c->session == S_EHLO && smtpc_first_digit(c) == 5 &&
		   c->reply.code != 554 && !c->options.lmtp) {
		send_helo(c);
	} else {
		refuse_host_by_reply(c, smtpc_reply_class(c));
	}
}

static void on_starttls(struct smtp_client *c)
{
	if (smtpc_first_digit(c) == 2) {
		if (MUTANT(RELAY_TALKS_BEFORE_TLS))
			smtpc_send(c, "NOOP\r\n");
		c->session = S_TLS;
	} else if (smtpc_first_digit(c) == 3) {
		smtpc_end_nonsense(c, "intermediate reply to STARTTLS");
	} else if (MUTANT(RELAY_STARTTLS_REFUSAL_RETURNS)) {
		refuse_host_by_reply(c, SMTP_CLASS_PERMANENT);
	} else if (c->options.tls == SMTP_CLIENT_TLS_REQUIRE) {
		refuse_host_by_reply(c, SMTP_CLASS_TEMPORARY);
	} else {
		c->starttls_refused = true;
		prepare(c);
	}
}

static void on_auth(struct smtp_client *c)
{
	if (smtpc_first_digit(c) == 2) {
		c->auth_done = true;
		prepare(c);
	} else if (smtpc_first_digit(c) == 3 && !c->auth_response_sent) {
		c->auth_response_sent = true;
		add_plain_response(c, c->options.out);
		smtpc_send(c, "\r\n");
	} else if (smtpc_first_digit(c) == 3) {
		smtpc_end_nonsense(c, "challenge in AUTH PLAIN after the response");
	} else {
		/* Wrong credentials are our mistake, not the message's. */
		refuse_host_by_reply(c, SMTP_CLASS_TEMPORARY);
	}
}

static void on_rset(struct smtp_client *c)
{
	if (MUTANT(RELAY_RSET_FIRST) && !c->served)
		send_ehlo(c);
	else if (smtpc_first_digit(c) == 2)
		c->session = S_RUN;
	else if (smtpc_first_digit(c) == 3)
		smtpc_end_nonsense(c, "intermediate reply to RSET");
	else /* no server may refuse it (RFC 5321 4.1.1.5) */
		refuse_host_by_reply(c, nonsense_class());
}

/* The one place where a reply finds what it answers. */
static void on_reply(struct smtp_client *c)
{
	bool idle = smtp_client_stage(c) == SMTP_STAGE_IDLE;

	smtpc_mutant_hears(c);
	if (c->reply.code == 421 && c->session != S_QUIT) {
		smtpc_end_by_reply(c);
		if (idle) /* closing an idle connection is no fault (RFC 5321 3.8) */
			c->closed.class_ = SMTP_CLASS_OK;
		return;
	}
	switch ((enum client_session)c->session) {
	case S_GREETING:
		on_greeting(c);
		break;
	case S_EHLO:
	case S_HELO:
		on_ehlo(c);
		break;
	case S_STARTTLS:
		on_starttls(c);
		break;
	case S_AUTH:
		on_auth(c);
		break;
	case S_RUN:
		smtpc_on_message_reply(c);
		break;
	case S_RSET:
		on_rset(c);
		break;
	case S_QUIT:
		c->session = S_CLOSED;
		break;
	case S_TLS:
	case S_CLOSED: /* no input is read in these */
		break;
	}
}

/* ---- interface ---- */

void smtp_client_init(struct smtp_client *c, const struct smtp_client_options *options)
{
	assert(options->out != NULL);
	assert(options->local_name.n > 0);
	c->options = *options;
	c->session = S_GREETING;
	c->tls_on = options->tls_active;
	c->starttls_refused = false;
	c->auth_done = false;
	c->auth_response_sent = false;
	c->served = false;
	forget_extensions(c);
	c->mail_count = 0;
	c->slot_count = 0;
	c->closed.text_bytes = 0;
	smtp_result_set(&c->closed, SMTP_CLASS_OK, SMTP_STAGE_QUIT, 0, (struct smtp_status){ 0 },
			(struct span){ NULL, 0 });
	smtp_reply_init(&c->reply);
	c->reply_count = 0;
	stuffing_init(&c->stuffing);
	if (MUTANT(RELAY_TALKS_FIRST))
		smtpc_send_with(c, "EHLO ", c->options.local_name);
}

enum smtp_client_wish smtp_client_feed(struct smtp_client *c, struct span in, size_t *ret_used_bytes)
{
	enum smtp_client_wish before = smtpc_wish(c);
	bool reads = before == SMTP_CLIENT_WANT_INPUT || before == SMTP_CLIENT_READY ||
		     before == SMTP_CLIENT_SEND_CONTENT;
	size_t used = 0, said = buf_bytes(c->options.out);

	while (reads && used < in.n && smtpc_wish(c) == before) {
		size_t used_now;
		enum smtp_reply_result result =
			smtp_reply_feed(&c->reply, span_sub(in, used, in.n), &used_now);

		used += used_now;
		if (result == SMTP_REPLY_BAD && c->session == S_QUIT) {
			c->session = S_CLOSED;
		} else if (result == SMTP_REPLY_BAD) {
			smtpc_end_nonsense(c, smtp_reply_error(&c->reply));
		} else if (result == SMTP_REPLY_LINE || result == SMTP_REPLY_DONE) {
			if (c->session == S_EHLO && smtpc_first_digit(c) == 2 && c->reply.line_count > 1)
				learn(c, smtp_reply_line(&c->reply));
			c->reply_count += result == SMTP_REPLY_DONE;
			if (MUTANT(RELAY_LAST_REPLY_COUNTS) && used < in.n)
				continue;
			if (result == SMTP_REPLY_DONE)
				on_reply(c);
		}
	}
	*ret_used_bytes = used;
	if (MUTANT(RELAY_PIECES_REFUSE) && smtp_reply_is_partial(&c->reply))
		smtpc_end_nonsense(c, "half a reply");
	smtpc_mutant_says(c->options.out, said);
	return smtpc_wish(c);
}

uint32_t smtp_client_reply_count(const struct smtp_client *c)
{
	return c->reply_count;
}

bool smtp_client_is_in_reply(const struct smtp_client *c)
{
	return smtp_reply_is_partial(&c->reply);
}

void smtp_client_tls_done(struct smtp_client *c, bool ok, struct span error_text)
{
	struct smtp_result r;

	assert(c->session == S_TLS);
	if (ok) {
		c->tls_on = true;
		if (MUTANT(RELAY_NO_SECOND_EHLO))
			prepare(c);
		else
			send_ehlo(c);
		return;
	}
	struct smtp_status status = { 4, 7, 5 };

	if (c->options.only_require_tls)
		status = (struct smtp_status){ 5, 7, 10 };
	smtp_result_set(&r, without_tls_class(c), SMTP_STAGE_TLS, 0, status,
			error_text.n > 0 ? error_text : SPAN_LIT("TLS handshake failed"));
	smtpc_end(c, &r, false, false);
}

struct smtp_client_message smtp_client_take_done(struct smtp_client *c)
{
	struct smtp_client_message m = c->slots[0].message;

	assert(smtpc_wish(c) == SMTP_CLIENT_DONE);
	c->slots[0] = c->slots[1];
	c->slot_count--;
	return m;
}

void smtp_client_quit(struct smtp_client *c)
{
	assert(smtpc_wish(c) == SMTP_CLIENT_READY);
	part(c);
}

void smtp_client_lost(struct smtp_client *c, enum smtp_client_loss loss, struct span error_text)
{
	static const char *const texts[] = {
		[SMTP_CLIENT_LOST_EOF] = "the host closed the connection",
		[SMTP_CLIENT_LOST_ERROR] = "the connection was lost",
		[SMTP_CLIENT_LOST_TIMEOUT] = "the host did not answer in time",
	};
	bool idle = smtp_client_stage(c) == SMTP_STAGE_IDLE;
	struct smtp_result r;

	if (c->session == S_CLOSED)
		return;
	if (c->session == S_QUIT) { /* c->closed says already how it went */
		c->session = S_CLOSED;
		return;
	}
	smtp_result_set(&r, SMTP_CLASS_TEMPORARY, SMTP_STAGE_IDLE, 0, (struct smtp_status){ 4, 4, 2 },
			error_text.n > 0 ? error_text : span_of(texts[loss]));
	if (MUTANT(RELAY_LOST_IS_SENT) || MUTANT(RELAY_LOST_RETURNS))
		r.class_ = MUTANT(RELAY_LOST_IS_SENT) ? SMTP_CLASS_OK : SMTP_CLASS_PERMANENT;
	smtpc_end(c, &r, loss != SMTP_CLIENT_LOST_TIMEOUT, true);
	if (idle)
		c->closed.class_ = SMTP_CLASS_OK;
}

const struct smtp_result *smtp_client_closed(const struct smtp_client *c)
{
	assert(c->session == S_CLOSED);
	return &c->closed;
}

bool smtp_client_is_tls(const struct smtp_client *c)
{
	return c->tls_on;
}

uint32_t smtp_client_extensions(const struct smtp_client *c)
{
	return c->extensions;
}

const char *smtp_client_wish_name(enum smtp_client_wish wish)
{
	static const char *const names[SMTP_CLIENT_WISH_COUNT] = {
		[SMTP_CLIENT_WANT_INPUT] = "want-input",
		[SMTP_CLIENT_START_TLS] = "start-tls",
		[SMTP_CLIENT_READY] = "ready",
		[SMTP_CLIENT_SEND_CONTENT] = "send-content",
		[SMTP_CLIENT_DONE] = "done",
		[SMTP_CLIENT_CLOSED] = "closed",
	};
	assert(wish < SMTP_CLIENT_WISH_COUNT);
	return names[wish];
}
