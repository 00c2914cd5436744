#include "reference-server/core/pop3_server.h"

#include "reference-server/core/base64.h"
#include "reference-server/core/line.h"
#include "reference-server/core/mutant.h"

#include <assert.h>
#include <string.h>

#define IN(state) (1u << (state))
#define ANYTIME (IN(POP3_STATE_AUTHORIZATION) | IN(POP3_STATE_TRANSACTION))

enum argument {
	ARGUMENT_NONE,
	ARGUMENT_OPTIONAL,
	ARGUMENT_REQUIRED,
};

typedef void command_fn(struct pop3_server *s, struct span argument);

static command_fn on_user, on_pass, on_auth, on_stls, on_utf8, on_capa, on_lang, on_quit;
static command_fn on_stat, on_list, on_uidl, on_retr, on_top, on_dele, on_noop, on_rset;

/* The session in one screen: which verb may come in which state (RFC 1939 4 to 7). */
static const struct command {
	struct span verb;
	unsigned allowed_in; /* IN() bits */
	enum argument argument;
	command_fn *run;
} commands[] = {
	{ { "USER", 4 }, IN(POP3_STATE_AUTHORIZATION), ARGUMENT_REQUIRED, on_user },
	{ { "PASS", 4 }, IN(POP3_STATE_AUTHORIZATION), ARGUMENT_REQUIRED, on_pass },
	{ { "AUTH", 4 }, IN(POP3_STATE_AUTHORIZATION), ARGUMENT_REQUIRED, on_auth },
	{ { "STLS", 4 }, IN(POP3_STATE_AUTHORIZATION), ARGUMENT_NONE, on_stls },
	{ { "UTF8", 4 }, IN(POP3_STATE_AUTHORIZATION), ARGUMENT_NONE, on_utf8 },
	{ { "CAPA", 4 }, ANYTIME, ARGUMENT_NONE, on_capa },
	{ { "LANG", 4 }, ANYTIME, ARGUMENT_OPTIONAL, on_lang },
	{ { "QUIT", 4 }, ANYTIME, ARGUMENT_NONE, on_quit },
	{ { "STAT", 4 }, IN(POP3_STATE_TRANSACTION), ARGUMENT_NONE, on_stat },
	{ { "LIST", 4 }, IN(POP3_STATE_TRANSACTION), ARGUMENT_OPTIONAL, on_list },
	{ { "UIDL", 4 }, IN(POP3_STATE_TRANSACTION), ARGUMENT_OPTIONAL, on_uidl },
	{ { "RETR", 4 }, IN(POP3_STATE_TRANSACTION), ARGUMENT_REQUIRED, on_retr },
	{ { "TOP", 3 }, IN(POP3_STATE_TRANSACTION), ARGUMENT_REQUIRED, on_top },
	{ { "DELE", 4 }, IN(POP3_STATE_TRANSACTION), ARGUMENT_REQUIRED, on_dele },
	{ { "NOOP", 4 }, IN(POP3_STATE_TRANSACTION), ARGUMENT_NONE, on_noop },
	{ { "RSET", 4 }, IN(POP3_STATE_TRANSACTION), ARGUMENT_NONE, on_rset },
};

_Static_assert(POP3_STATE_COUNT <= 32, "states must fit the IN() bit set");

/* ---- replies and state ---- */

static void reply(struct pop3_server *s, const char *line)
{
	buf_add_cstr(s->out, line);
	buf_add_cstr(s->out, MUTANT(POP3_LF_ALONE) ? "\n" : "\r\n");
}

/* The only place where the state changes. */
static void enter(struct pop3_server *s, enum pop3_state next)
{
	assert(s->state != POP3_STATE_CLOSED);
	assert(next != POP3_STATE_UPDATE || s->state == POP3_STATE_TRANSACTION);
	s->state = next;
	if (next == POP3_STATE_CLOSED)
		s->wish = POP3_WISH_CLOSE;
}

/* A protocol error or a failed login.  Nothing may stand between USER and PASS (RFC 1939 7), not even that. */
static void reply_error(struct pop3_server *s, const char *line)
{
	if (MUTANT(POP3_LONG_RESPONSE))
		buf_addf(s->out, "%-600s", line);
	reply(s, MUTANT(POP3_LONG_RESPONSE) ? "" : line);
	if (s->state != POP3_STATE_TRANSACTION)
		s->user.n = 0;
	s->error_count++;
	if (s->config->error_count_max > 0 && s->error_count >= s->config->error_count_max)
		enter(s, POP3_STATE_CLOSED);
}

/* ---- AUTHORIZATION ---- */

static bool may_log_in(const struct pop3_server *s)
{
	return s->tls || s->config->login_without_tls;
}

static struct span mechanisms(const struct pop3_server *s)
{
	return s->tls ? s->config->mechanisms_tls : s->config->mechanisms_clear;
}

static void on_user(struct pop3_server *s, struct span argument)
{
	if (!may_log_in(s) || MUTANT(POP3_USER_REFUSED)) {
		reply_error(s,
			    MUTANT(POP3_USER_REFUSED) ? "-ERR [AUTH] no" : "-ERR plaintext logins need TLS");
		return;
	}
	assert(argument.n <= sizeof(s->user_text));
	memcpy(s->user_text, argument.p, argument.n);
	s->user = (struct span){ s->user_text, argument.n };
	reply(s, "+OK"); /* the same for names that do not exist */
}

static void on_pass(struct pop3_server *s, struct span argument)
{
	if (s->user.n == 0) {
		reply_error(s, "-ERR USER comes first");
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
			return true;
	return span_eq_nocase(offered, mechanism);
}

static void on_auth(struct pop3_server *s, struct span argument)
{
	struct span mechanism = argument, response = { NULL, 0 };

	s->auth_response_given = span_take_until(&argument, ' ', &mechanism);
	if (s->auth_response_given)
		response = argument;
	if (!is_offered(mechanisms(s), mechanism) ||
	    (MUTANT(POP3_NO_INITIAL_RESPONSE) && s->auth_response_given)) {
		reply_error(s, "-ERR no such mechanism here");
		return;
	}
	if (span_eq(response, SPAN_LIT("="))) /* RFC 5034 4: present, but empty */
		response.n = 0;
	else if (s->auth_response_given && (response.n == 0 || !base64_is_valid(response))) {
		reply_error(s, "-ERR the initial response is not base64");
		return;
	}
	s->auth_mechanism = mechanism;
	s->auth_response = response;
	enter(s, POP3_STATE_AUTH);
	s->wish = POP3_WISH_AUTH;
}

/* The exchange is over, and the driver is to know. */
static void cancel_auth(struct pop3_server *s, const char *line)
{
	enter(s, POP3_STATE_AUTHORIZATION);
	s->wish = POP3_WISH_AUTH_CANCELLED;
	reply_error(s, line);
}

static void on_auth_line(struct pop3_server *s, struct span line)
{
	if (span_eq(line, SPAN_LIT("*"))) {
		cancel_auth(s, "-ERR cancelled");
	} else if (!base64_is_valid(line)) {
		cancel_auth(s, "-ERR the response is not base64");
	} else {
		s->auth_mechanism = (struct span){ NULL, 0 }; /* its line is gone */
		s->auth_response = line;
		s->auth_response_given = true;
		s->wish = POP3_WISH_AUTH_STEP;
	}
}

static void on_stls(struct pop3_server *s, struct span argument)
{
	(void)argument;
	if (s->tls) {
		reply_error(s, "-ERR TLS is active already");
	} else if (s->utf8) {
		reply_error(s, "-ERR STLS comes before UTF8"); /* RFC 6856 2.1 */
	} else if (!s->config->offer_stls) {
		reply_error(s, "-ERR no TLS here");
	} else {
		reply(s, "+OK begin TLS");
		enter(s, POP3_STATE_TLS);
		s->wish = POP3_WISH_STLS;
	}
}

static void on_utf8(struct pop3_server *s, struct span argument)
{
	(void)argument;
	s->utf8 = true;
	reply(s, "+OK UTF-8 it is");
}

/* Does the basic language range match the tag (RFC 4647 3.3.1)? */
static bool range_matches(struct span range, struct span tag)
{
	return span_eq(range, SPAN_LIT("*")) || span_eq_nocase(range, tag);
}

/* One language under its two names; i-default is what RFC 2277 4.5 calls the texts of who was not asked. */
static void on_lang(struct pop3_server *s, struct span argument)
{
	if (argument.n == 0)
		reply(s, MUTANT(POP3_LANG_NO_LIST) ? "+OK\r\n."
						   : "+OK languages\r\nen English\r\ni-default English\r\n.");
	else if (MUTANT(POP3_LANG_NO_TAG))
		reply(s, "+OK English it is");
	else if (range_matches(argument, SPAN_LIT("en")))
		reply(s, "+OK en English it is");
	else if (range_matches(argument, SPAN_LIT("i-default")))
		reply(s, "+OK i-default English it is");
	else
		reply_error(s, "-ERR that language is not spoken here");
}

/* RFC 2449 5: what AUTHORIZATION offers is announced in TRANSACTION too, but for STLS (RFC 2595 4). */
static void on_capa(struct pop3_server *s, struct span argument)
{
	(void)argument;
	reply(s, MUTANT(POP3_AUTH_CODE_UNLISTED) ? "+OK\r\nTOP\r\nUIDL\r\nRESP-CODES"
						 : "+OK\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE");
	reply(s, "PIPELINING\r\nUTF8 USER\r\nLANG");
	if (MUTANT(POP3_CAPA_SAYS_APOP))
		reply(s, "APOP");
	if (MUTANT(POP3_CAPA_LONG_LINE))
		buf_addf(s->out, "X-%600s\r\n", "LONG");
	if (MUTANT(POP3_EXPIRE_SHRINKS) && s->state == POP3_STATE_TRANSACTION)
		reply(s, "EXPIRE 1 USER");
	else if (s->config->expire_days > 0)
		buf_addf(s->out, "EXPIRE %u\r\n", s->config->expire_days);
	else
		reply(s, "EXPIRE NEVER");
	if (s->config->login_delay_s > 0)
		buf_addf(s->out, "LOGIN-DELAY %u\r\n",
			 s->config->login_delay_s +
				 (MUTANT(POP3_DELAY_GROWS) && s->state == POP3_STATE_TRANSACTION));
	if (may_log_in(s) && !(MUTANT(POP3_CAPA_FORGETS) && s->state == POP3_STATE_TRANSACTION))
		reply(s, "USER");
	if (mechanisms(s).n > 0 && !(MUTANT(POP3_CAPA_FORGETS) && s->state == POP3_STATE_TRANSACTION)) {
		buf_add_cstr(s->out, "SASL ");
		buf_add(s->out, mechanisms(s));
		buf_add_cstr(s->out, "\r\n");
	}
	if (!s->tls && s->config->offer_stls && s->state == POP3_STATE_AUTHORIZATION)
		reply(s, "STLS");
	reply(s, MUTANT(POP3_CAPA_NO_DOT) ? "IMPLEMENTATION postriderd" : "IMPLEMENTATION postriderd\r\n.");
}

static void on_quit(struct pop3_server *s, struct span argument)
{
	(void)argument;
	if (s->deleted_count > 0 && !MUTANT(POP3_QUIT_FORGETS)) {
		assert(s->state == POP3_STATE_TRANSACTION);
		enter(s, POP3_STATE_UPDATE);
		s->wish = POP3_WISH_UPDATE;
		return;
	}
	reply(s, "+OK bye");
	enter(s, POP3_STATE_CLOSED);
}

/* ---- TRANSACTION ---- */

static unsigned long long left_octets(const struct pop3_server *s)
{
	return s->total_octets - s->deleted_octets;
}

static uint32_t left_count(const struct pop3_server *s)
{
	return s->message_count - (MUTANT(POP3_COUNTS_DELETED) ? 0 : s->deleted_count);
}

static void on_stat(struct pop3_server *s, struct span argument)
{
	(void)argument;
	buf_addf(s->out, "+OK %u %llu%s\r\n", left_count(s), left_octets(s),
		 MUTANT(POP3_STAT_SAYS_MORE) ? " octets" : "");
}

/* NULL, and replied, when the text names no message that is still there. */
static struct pop3_message *find_message(struct pop3_server *s, struct span text)
{
	uint64_t number;

	if (!span_to_u64(text, &number)) {
		reply_error(s, "-ERR not a message number");
		return NULL;
	}
	if (number == 0 || number > s->message_count ||
	    (s->messages[number - 1].deleted && !MUTANT(POP3_DELETED_STAYS))) {
		reply(s, "-ERR no such message");
		return NULL;
	}
	return &s->messages[number - 1];
}

static unsigned number_of(const struct pop3_server *s, const struct pop3_message *m)
{
	return (unsigned)(m - s->messages) + 1;
}

static void add_scan_line(struct pop3_server *s, const struct pop3_message *m)
{
	buf_addf(s->out, "%u %llu%s\r\n", number_of(s, m),
		 (unsigned long long)m->octets + MUTANT(POP3_WRONG_OCTETS),
		 MUTANT(POP3_LIST_SAYS_MORE) ? " octets" : "");
}

static void add_uidl_line(struct pop3_server *s, const struct pop3_message *m)
{
	buf_addf(s->out, "%u ", number_of(s, m));
	if (MUTANT(POP3_UID_BY_NUMBER))
		buf_addf(s->out, "%u", number_of(s, m));
	else
		buf_add(s->out, m->uidl);
	if (MUTANT(POP3_LONG_UID))
		buf_addf(s->out, "%060u", 0u);
	buf_add_cstr(s->out, MUTANT(POP3_UIDL_SAYS_MORE) ? " new\r\n" : "\r\n");
}

/* LIST and UIDL: one message, or all that are left. */
static void list(struct pop3_server *s, struct span argument,
		 void (*add_line)(struct pop3_server *s, const struct pop3_message *m))
{
	if (argument.n > 0) {
		const struct pop3_message *m = find_message(s, argument);
		if (m == NULL)
			return;
		buf_add_cstr(s->out, "+OK ");
		add_line(s, m);
		return;
	}
	buf_addf(s->out, "+OK %u messages (%llu octets)\r\n", left_count(s), left_octets(s));
	for (uint32_t i = 0; i < s->message_count; i++)
		if (!s->messages[i].deleted)
			add_line(s, &s->messages[i]);
	reply(s, MUTANT(POP3_LIST_NO_DOT) ? "" : ".");
}

static void on_list(struct pop3_server *s, struct span argument)
{
	list(s, argument, add_scan_line);
}

static void on_uidl(struct pop3_server *s, struct span argument)
{
	list(s, argument, add_uidl_line);
}

static void retrieve(struct pop3_server *s, const struct pop3_message *m)
{
	s->wanted_index = (uint32_t)(m - s->messages);
	s->content_begun = false;
	s->top_in_body = false;
	s->top_line_empty = true;
	s->utf8_left = 0;
	stuffing_init(&s->stuffing);
	s->wish = POP3_WISH_RETRIEVE;
}

static void on_retr(struct pop3_server *s, struct span argument)
{
	const struct pop3_message *m = find_message(s, argument);

	if (m == NULL)
		return;
	s->wanted_top = false;
	retrieve(s, m);
}

static void on_top(struct pop3_server *s, struct span argument)
{
	struct span number, lines = argument;
	uint64_t line_count;
	const struct pop3_message *m;

	if (!span_take_until(&lines, ' ', &number) || !span_to_u64(lines, &line_count)) {
		reply_error(s, "-ERR TOP needs a message number and a number of lines");
		return;
	}
	m = find_message(s, number);
	if (m == NULL)
		return;
	s->wanted_top = !MUTANT(POP3_TOP_WHOLE);
	s->top_lines = line_count;
	retrieve(s, m);
}

static void mark(struct pop3_server *s, struct pop3_message *m)
{
	m->deleted = true;
	s->deleted_count++;
	s->deleted_octets += m->octets;
}

static void on_dele(struct pop3_server *s, struct span argument)
{
	struct pop3_message *m = find_message(s, argument);

	if (m == NULL)
		return;
	if (!MUTANT(POP3_DELE_FORGETS))
		mark(s, m);
	reply(s, "+OK");
}

static void on_noop(struct pop3_server *s, struct span argument)
{
	(void)argument;
	reply(s, MUTANT(POP3_SYS_WITH_OK) ? "+OK [SYS/TEMP]" : "+OK");
}

static void on_rset(struct pop3_server *s, struct span argument)
{
	for (uint32_t i = 0; i < s->message_count; i++)
		s->messages[i].deleted = MUTANT(POP3_RSET_KEEPS) && s->messages[i].deleted;
	s->deleted_count = MUTANT(POP3_RSET_KEEPS) ? s->deleted_count : 0;
	s->deleted_octets = 0;
	on_noop(s, argument);
}

/* ---- content ---- */

static uint32_t utf8_begin(uint8_t c, uint32_t *ret_left, uint32_t *ret_min)
{
	static const struct {
		uint8_t mask, lead;
		uint32_t min;
	} forms[] = { { 0xE0, 0xC0, 0x80 }, { 0xF0, 0xE0, 0x800 }, { 0xF8, 0xF0, 0x10000 } };

	*ret_left = 0;
	for (uint32_t i = 0; i < 3; i++)
		if ((c & forms[i].mask) == forms[i].lead) {
			*ret_left = i + 1;
			*ret_min = forms[i].min;
			return c & (uint8_t)~forms[i].mask;
		}
	return 0;
}

/* True at the last byte of a character outside ASCII (RFC 3629 3). */
static bool utf8_ends(struct pop3_server *s, uint8_t c)
{
	if (s->utf8_left == 0 || (c & 0xC0) != 0x80) {
		s->utf8_point = utf8_begin(c, &s->utf8_left, &s->utf8_point_min);
		return false;
	}
	s->utf8_point = s->utf8_point << 6 | (c & 0x3F);
	s->utf8_left--;
	return s->utf8_left == 0 && s->utf8_point >= s->utf8_point_min && s->utf8_point <= 0x10FFFF &&
	       (s->utf8_point < 0xD800 || s->utf8_point > 0xDFFF);
}

/* top_line_empty tells lines apart here too; it is set anew before content. */
static enum pop3_look look_at(struct pop3_server *s, struct span bytes, bool last)
{
	for (size_t i = 0; i < bytes.n; i++) {
		uint8_t c = (uint8_t)bytes.p[i];
		if (c == '\n' && s->top_line_empty)
			return POP3_LOOK_CLEAR;
		if (utf8_ends(s, c))
			return POP3_LOOK_REFUSED;
		if (c != '\r')
			s->top_line_empty = c == '\n';
	}
	return last ? POP3_LOOK_CLEAR : POP3_LOOK_MORE;
}

enum pop3_look pop3_server_look(struct pop3_server *s, struct span bytes, bool last)
{
	assert(s->wish == POP3_WISH_RETRIEVE && !s->content_begun);
	enum pop3_look seen =
		s->utf8 || MUTANT(POP3_UTF8_UNASKED) ? POP3_LOOK_CLEAR : look_at(s, bytes, last);

	if (seen == POP3_LOOK_MORE)
		return seen;
	s->top_line_empty = true;
	if (seen == POP3_LOOK_REFUSED) {
		reply(s, MUTANT(POP3_UTF8_NO_CODE)
				 ? "-ERR not for you"
				 : "-ERR [UTF8] this message is for sessions that began with UTF8");
		s->wish = POP3_WISH_INPUT;
	}
	return seen;
}

/* How much of the bytes TOP still sends; *ret_full: that is all of it. */
static size_t top_part(struct pop3_server *s, struct span bytes, bool *ret_full)
{
	size_t at = 0;

	*ret_full = false;
	while (at < bytes.n) {
		struct span rest = span_sub(bytes, at, bytes.n);
		size_t lf = span_find(rest, '\n');

		if (lf > 0 && !(lf == 1 && rest.p[0] == '\r'))
			s->top_line_empty = false;
		if (lf == rest.n)
			return bytes.n;
		at += lf + 1;
		if (s->top_in_body)
			s->top_lines--;
		else
			s->top_in_body = s->top_line_empty;
		s->top_line_empty = true;
		*ret_full = s->top_in_body && s->top_lines == 0;
		if (*ret_full)
			break;
	}
	return at;
}

bool pop3_server_content(struct pop3_server *s, struct span bytes, bool last)
{
	assert(s->wish == POP3_WISH_RETRIEVE);
	if (!s->content_begun) {
		s->content_begun = true;
		if (s->wanted_top)
			reply(s, "+OK");
		else
			buf_addf(s->out, "+OK %llu octets\r\n",
				 (unsigned long long)s->messages[s->wanted_index].octets);
	}
	if (s->wanted_top) {
		bool full;
		bytes.n = top_part(s, bytes, &full);
		last |= full;
	}
	if (MUTANT(POP3_STUFFING_FORGETS))
		stuffing_init(&s->stuffing);
	size_t before = buf_bytes(s->out);
	(MUTANT(POP3_NO_STUFFING) ? stuffing_pass : stuffing_add)(&s->stuffing, s->out, bytes);
	if (MUTANT(POP3_UTF8_SEVEN_BITS) && s->utf8)
		for (size_t k = before; k < buf_bytes(s->out); k++)
			s->out->p[s->out->begin + k] &= 0x7f;
	if (!last)
		return true;
	stuffing_end(&s->stuffing, s->out);
	if (MUTANT(POP3_FETCHED_GOES) && !s->wanted_top && !s->messages[s->wanted_index].deleted)
		mark(s, &s->messages[s->wanted_index]);
	s->wish = POP3_WISH_INPUT;
	return false;
}

void pop3_server_content_failed(struct pop3_server *s)
{
	assert(s->wish == POP3_WISH_RETRIEVE);
	s->wish = POP3_WISH_INPUT;
	if (s->content_begun)
		enter(s, POP3_STATE_CLOSED);
	else
		reply(s, "-ERR [SYS/TEMP] the message cannot be read now");
}

/* ---- answers ---- */

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
	enter(s, POP3_STATE_AUTHORIZATION);
	reply_error(s, MUTANT(POP3_NO_AUTH_CODE)     ? "-ERR no"
		       : MUTANT(POP3_BROKEN_BRACKET) ? "-ERR [wrong name or password"
						     : lines[why]);
	s->auth_failure_count += why == POP3_AUTH_BAD_CREDENTIALS;
	if (s->state != POP3_STATE_CLOSED && s->config->auth_failure_count_max > 0 &&
	    s->auth_failure_count >= s->config->auth_failure_count_max)
		enter(s, POP3_STATE_CLOSED);
}

void pop3_server_opened(struct pop3_server *s, struct pop3_message *messages, uint32_t count)
{
	assert(s->wish == POP3_WISH_OPEN);
	assert(count == 0 || messages != NULL);
	s->messages = messages;
	s->message_count = count;
	s->total_octets = 0;
	for (uint32_t i = 0; i < count; i++)
		s->total_octets += messages[i].octets;
	s->wish = POP3_WISH_INPUT;
	enter(s, POP3_STATE_TRANSACTION);
	buf_addf(s->out, "+OK %u messages (%llu octets)\r\n", count, left_octets(s));
}

void pop3_server_open_failed(struct pop3_server *s, enum pop3_open_failure why)
{
	static const char *const lines[POP3_OPEN_FAILURE_COUNT] = {
		[POP3_OPEN_IN_USE] = "-ERR [IN-USE] another session has the mailbox",
		[POP3_OPEN_TOO_SOON] = "-ERR [LOGIN-DELAY] too soon after the last login",
		[POP3_OPEN_TEMPORARY] = "-ERR [SYS/TEMP] cannot open the mailbox now",
		[POP3_OPEN_PERMANENT] = "-ERR [SYS/PERM] cannot open the mailbox",
	};
	assert(s->wish == POP3_WISH_OPEN);
	assert(why < POP3_OPEN_FAILURE_COUNT);
	s->wish = POP3_WISH_INPUT;
	enter(s, POP3_STATE_AUTHORIZATION);
	s->user.n = 0;
	reply(s, MUTANT(POP3_DELAY_NO_CODE)    ? "-ERR no"
		 : MUTANT(POP3_IN_USE_AS_AUTH) ? "-ERR [AUTH] in use"
					       : lines[why]);
}

void pop3_server_updated(struct pop3_server *s, bool all_removed)
{
	assert(s->wish == POP3_WISH_UPDATE);
	reply(s, all_removed ? "+OK bye" : "-ERR [SYS/TEMP] some deleted messages not removed");
	enter(s, POP3_STATE_CLOSED);
}

void pop3_server_tls_started(struct pop3_server *s)
{
	assert(s->wish == POP3_WISH_STLS);
	s->tls = true;
	if (MUTANT(POP3_TLS_INJECTED) && s->utf8)
		reply(s, "-ERR unknown command");
	s->utf8 = false;
	s->user.n = 0;
	s->wish = POP3_WISH_INPUT;
	enter(s, POP3_STATE_AUTHORIZATION);
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
		reply(s, lines[why]);
	enter(s, POP3_STATE_CLOSED);
}

/* ---- input ---- */

static void run(struct pop3_server *s, const struct command *command, struct span argument)
{
	if (s->state == POP3_STATE_AUTHORIZATION && command->run != on_pass)
		s->user.n = 0;
	if ((command->allowed_in & IN(s->state)) == 0 && !MUTANT(POP3_ANY_STATE))
		reply_error(s, "-ERR not in this state");
	else if (command->argument == ARGUMENT_NONE && argument.n > 0 &&
		 !(MUTANT(POP3_UTF8_PARAMETER) && command->run == on_utf8))
		reply_error(s, "-ERR this command has no argument");
	else if (command->argument == ARGUMENT_REQUIRED && argument.n == 0 && !MUTANT(POP3_NO_ARGUMENT))
		reply_error(s, "-ERR this command needs an argument");
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
		if (MUTANT(POP3_NO_RSET) && commands[i].run == on_rset)
			break;
		/* Blanks are part of a password, and of nothing else. */
		run(s, &commands[i], commands[i].run == on_pass ? argument : span_trim(argument));
		return;
	}
	reply_error(s,
		    MUTANT(POP3_AUTH_CODE_ANYWHERE) ? "-ERR [AUTH] unknown command" : "-ERR unknown command");
}

static void on_bad_line(struct pop3_server *s, const char *line)
{
	s->command_count++;
	s->swallowing = true;
	if (s->state == POP3_STATE_AUTH)
		cancel_auth(s, line);
	else
		reply_error(s, line);
}

/* One line, or one piece of a swallowed one.  False: more bytes are needed. */
static bool take_line(struct pop3_server *s, struct span in, size_t *ret_used_bytes)
{
	size_t bytes_max =
		(s->state == POP3_STATE_AUTH && !MUTANT(POP3_SHORT_RESPONSES) ? POP3_AUTH_LINE_BYTES_MAX
									      : POP3_COMMAND_BYTES_MAX) -
		2;
	struct span line;

	if (s->swallowing) {
		s->swallowing = !line_skip(in, ret_used_bytes);
		return !s->swallowing;
	}
	switch (line_next(in, bytes_max, &line, ret_used_bytes)) {
	case LINE_OK:
		s->command_count++;
		if (s->state == POP3_STATE_AUTH)
			on_auth_line(s, line);
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
	reply(s, " POP3 ready");
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
