#include "harness/scenario/case_read.h"

#include "base/unit.h"

#include <assert.h>
#include <string.h>

enum {
	SEGMENTS_MAX = 256,
	PAUSE_MAX_MS = 600000,
	WITHIN_MAX_MS = 1800000,
	REPEAT_MAX = 1024 * 1024,
};

static const char *const VERBS[] = { "connect", "C:",      "S:",          "starttls", "close",     "reset",
				     "closed",  "let",     "differ",      "match",    "number",    "length",
				     "mail",    "stored",  "not",         "bounced",  "notified",  "next-hop",
				     "zone",    "submit",  "received",    "heard",    "connected", "queued",
				     "server",  "secured", "policy-host", "asked",    NULL };

const char *case_step_name(enum case_step_kind k)
{
	static const char *const NAMES[] = {
		"connect",      "C:",     "S:",         "starttls",  "close",         "reset",
		"closed",       "let",    "differ",     "match",     "number",        "length",
		"mail",         "stored", "not stored", "bounced",   "notified",      "not bounced",
		"not notified", "server", "next-hop",   "zone",      "submit",        "received",
		"not received", "heard",  "not heard",  "connected", "not connected", "secured",
		"policy-host",  "asked",  "not asked",  "queued",    "not queued"
	};

	assert(k < CASE_STEP_KIND_COUNT);
	return NAMES[k];
}

/* ---- pieces ---- */

struct case_step *case_add_step(struct case_reader *r, enum case_step_kind kind)
{
	struct case_file *c = r->c;

	r->step = NULL;
	r->hop = NULL;
	r->answer = NULL;
	r->policy_host = NULL;
	r->submission = NULL;
	if (c->section_count == 0) {
		case_error(r, r->line, "a step stands in a section; \"== name\" opens one");
		return NULL;
	}
	if (c->step_count == CASE_STEPS_MAX) {
		case_error(r, r->line, "more than %d steps", CASE_STEPS_MAX);
		return NULL;
	}
	c->steps = case_grow(c, c->steps, c->step_count, &r->step_room, sizeof(*c->steps));
	r->step = &c->steps[c->step_count++];
	*r->step = (struct case_step){ .kind = kind,
				       .line = r->line_number,
				       .section = c->section_count - 1,
				       .limit = c->role == CASE_ROLE_CLIENT && !c->says_timeout
							? CASE_LIMIT_USUAL
							: CASE_LIMIT_SAID,
				       .within_ms = c->timeout_ms };
	return r->step;
}

static void read_within(struct case_reader *r, struct span value, struct case_step *s)
{
	bool relay = r->c->role == CASE_ROLE_CLIENT;

	s->limit = CASE_LIMIT_SAID;
	if (relay && span_eq(value, SPAN_LIT("expire")))
		s->limit = CASE_LIMIT_EXPIRE;
	else if (relay && span_eq(value, SPAN_LIT("delay")))
		s->limit = CASE_LIMIT_DELAY;
	else if (!unit_parse_duration_ms(value, &s->within_ms) || s->within_ms <= 0 ||
		 s->within_ms > WITHIN_MAX_MS)
		case_error(r, value,
			   relay ? "a duration up to 30m belongs here, as in 30s; or \"expire\", \"delay\""
				 : "a duration up to 30m belongs here, as in 30s");
}

void case_take_within(struct case_reader *r, struct span *text, struct case_step *s)
{
	static const char WORD[] = " within ";
	const size_t n = sizeof(WORD) - 1;

	for (size_t i = 0; i + n <= text->n; i++) {
		if (memcmp(text->p + i, WORD, n) != 0)
			continue;
		struct span value = span_trim(span_sub(*text, i + n, text->n));
		if (span_find(value, ' ') < value.n)
			continue; /* words of a reply */
		read_within(r, value, s);
		*text = span_trim(span_sub(*text, 0, i));
		return;
	}
}

/* "2" of "C2:", or of "close 2"; none means 1. */
static uint32_t connection_of(struct case_reader *r, struct span digits)
{
	uint64_t n = 1;

	digits = span_trim(digits);
	if (digits.n > 0 && (!span_to_u64(digits, &n) || n < 1 || n > CASE_CONNECTIONS_MAX)) {
		case_error(r, digits, "connections have numbers from 1 to %d", CASE_CONNECTIONS_MAX);
		n = 1;
	}
	return (uint32_t)n - 1;
}

/* "C2:" or "S|": the letter, a number perhaps, and what follows. */
static bool is_line_of(struct span line, char letter, char *ret_kind, struct span *ret_number,
		       struct span *ret_rest)
{
	size_t n = 1;

	if (line.n < 2 || line.p[0] != letter)
		return false;
	while (n < line.n && line.p[n] >= '0' && line.p[n] <= '9')
		n++;
	if (n == line.n || (line.p[n] != ':' && line.p[n] != '|'))
		return false;
	*ret_kind = line.p[n];
	*ret_number = span_sub(line, 1, n - 1);
	*ret_rest = span_sub(line, n + 1, line.n);
	return true;
}

/* ---- the conversation ---- */

static void set_segments(struct case_reader *r, struct case_step *s, const struct case_segment *segments,
			 uint32_t count)
{
	s->segments = case_alloc(r->c, count * sizeof(*segments));
	memcpy(s->segments, segments, count * sizeof(*segments));
	s->segment_count = count;
}

/* "C: text": verbatim, CRLF added. */
static void read_send_line(struct case_reader *r, struct span number, struct span rest)
{
	struct case_step *s = case_add_step(r, CASE_SEND);

	if (s == NULL)
		return;
	s->connection = connection_of(r, number);
	if (rest.n > 0 && rest.p[0] != ' ')
		case_error(r, span_sub(rest, 0, 1), "one blank stands between \"C:\" and the text");
	struct case_segment segment = { .text = case_text_of(r, span_sub(rest, 1, rest.n), false) };
	struct case_part *parts = case_alloc(r->c, (segment.text.count + 1) * sizeof(*parts));
	if (segment.text.count > 0)
		memcpy(parts, segment.text.parts, segment.text.count * sizeof(*parts));
	parts[segment.text.count++] = (struct case_part){ CASE_PART_LITERAL, SPAN_LIT("\r\n") };
	segment.text.parts = parts;
	set_segments(r, s, &segment, 1);
}

static bool take_pause(struct case_reader *r, struct span *rest, int64_t *pause_ms)
{
	struct span s = span_sub(*rest, 1, rest->n);
	size_t n = span_find(s, '~');

	if (n == s.n || !unit_parse_duration_ms(span_sub(s, 0, n), pause_ms) || *pause_ms <= 0 ||
	    *pause_ms > PAUSE_MAX_MS) {
		case_error(r, *rest, "a pause is a duration up to 10m between tildes, as in ~20ms~");
		return false;
	}
	*rest = span_trim(span_sub(s, n + 1, s.n));
	return true;
}

bool case_take_segments(struct case_reader *r, struct span rest, struct case_segment **ret_segments,
			uint32_t *ret_count)
{
	struct case_segment segments[SEGMENTS_MAX];
	uint32_t count = 0;
	int64_t pause_ms = 0;

	while (rest.n > 0 && count < SEGMENTS_MAX) {
		if (rest.p[0] == '~') {
			if (!take_pause(r, &rest, &pause_ms))
				return false;
			continue;
		}
		segments[count] = (struct case_segment){ .pause_ms = pause_ms };
		if (!case_take_quoted(r, &rest, &segments[count++].text))
			return false;
		rest = span_trim(rest);
		pause_ms = 0;
	}
	if (count == 0 || pause_ms > 0) {
		case_error(r, r->line, "a \"quoted text\" is missing");
		return false;
	}
	if (rest.n > 0) {
		case_error(r, rest, "more than %d segments", SEGMENTS_MAX);
		return false;
	}
	*ret_segments = case_alloc(r->c, count * sizeof(*segments));
	memcpy(*ret_segments, segments, count * sizeof(*segments));
	*ret_count = count;
	return true;
}

/* C| "bytes" ~20ms~ "more" */
static void read_send_raw(struct case_reader *r, struct span number, struct span rest)
{
	struct case_step *s = case_add_step(r, CASE_SEND);

	if (s == NULL)
		return;
	s->connection = connection_of(r, number);
	s->segmented = true;
	(void)case_take_segments(r, case_without_comment(rest, true), &s->segments, &s->segment_count);
}

static void read_expect(struct case_reader *r, struct span number, struct span rest)
{
	struct case_step *s = case_add_step(r, CASE_EXPECT);

	if (s == NULL)
		return;
	s->connection = connection_of(r, number);
	rest = case_without_comment(rest, false);
	case_take_within(r, &rest, s);
	(void)case_pattern_of(r, rest, &s->pattern);
}

/* ---- words ---- */

/* starttls, close, reset, closed: a number perhaps, and a time perhaps. */
static void read_plain(struct case_reader *r, enum case_step_kind kind)
{
	struct case_step *s = case_add_step(r, kind);

	if (s == NULL)
		return;
	/* The word itself stays in, so that " within" is found behind it. */
	struct span all = case_without_comment(r->line, false);
	case_take_within(r, &all, s);
	(void)case_word(&all);
	s->connection = connection_of(r, all);
}

static void read_connect(struct case_reader *r, struct span rest)
{
	struct case_step *s = case_add_step(r, CASE_CONNECT);
	const char *names[CASE_SERVICE_COUNT + 1] = { 0 };

	if (s == NULL)
		return;
	s->service = r->c->service;
	s->connection = 0;
	for (int i = 0; i < CASE_SERVICE_COUNT; i++)
		names[i] = case_service_name((enum case_service)i);
	for (struct span word = case_word(&rest); word.n > 0; word = case_word(&rest)) {
		int service = case_index(word, names);
		if (service >= 0 && r->c->services[service])
			s->service = (enum case_service)service;
		else if (service >= 0)
			case_error(r, word, "\"needs:\" does not name this service");
		else if (span_eq(word, SPAN_LIT("tls1.2")))
			s->tls_1_2 = true;
		else
			s->connection = connection_of(r, word);
	}
}

/* One word of a list, kept; NULL after a mistake. */
static const char *take_choice(struct case_reader *r, struct span *rest, const char *what,
			       const char *const *names)
{
	struct span word = case_word(rest);
	int i = case_index(word, names);

	if (i < 0)
		case_unknown(r, word.n > 0 ? word : r->line, what, names);
	return i < 0 ? NULL : names[i];
}

/* What stands between "=" and the texts.  False after a mistake. */
static bool read_maker(struct case_reader *r, struct case_step *s, struct span *rest)
{
	static const char *const MAKERS[] = { "repeat",      "base64",          "unbase64", "md5",
					      "scram-proof", "scram-signature", "binding",  NULL };
	static const enum case_let MEANT[] = { CASE_LET_REPEAT,      CASE_LET_BASE64,
					       CASE_LET_UNBASE64,    CASE_LET_MD5,
					       CASE_LET_SCRAM_PROOF, CASE_LET_SCRAM_SIGNATURE,
					       CASE_LET_BINDING };
	static const char *const HASHES[] = { "SHA-1", "SHA-256", NULL };
	static const char *const BINDINGS[] = { "tls-unique", "tls-exporter", NULL };
	struct span maker = case_word(rest), digits;
	int which = case_index(maker, MAKERS);
	uint64_t times;

	if (which < 0) {
		case_unknown(r, maker, "way to make a value", MAKERS);
		return false;
	}
	s->let = MEANT[which];
	switch (s->let) {
	case CASE_LET_REPEAT:
		digits = case_word(rest);
		if (span_to_u64(digits, &times) && times >= 1 && times <= REPEAT_MAX) {
			s->times = (uint32_t)times;
			return true;
		}
		case_error(r, digits.n > 0 ? digits : maker, "how often? 1 to %d", REPEAT_MAX);
		return false;
	case CASE_LET_SCRAM_PROOF:
	case CASE_LET_SCRAM_SIGNATURE:
		s->operand_count = 4;
		return (s->which = take_choice(r, rest, "hash", HASHES)) != NULL;
	case CASE_LET_BINDING:
		s->operand_count = 0;
		return (s->which = take_choice(r, rest, "channel binding", BINDINGS)) != NULL;
	case CASE_LET_TEXT:
	case CASE_LET_BASE64:
	case CASE_LET_UNBASE64:
	case CASE_LET_MD5:
		return true;
	}
	return false;
}

/* let NAME = "text" | base64 "text" | repeat 600 "text" | … */
static void read_let(struct case_reader *r, struct span rest)
{
	struct case_step *s = case_add_step(r, CASE_LET);
	struct span name = case_word(&rest);

	if (s == NULL)
		return;
	if (!case_is_name(name) || !span_eq(case_word(&rest), SPAN_LIT("="))) {
		case_error(r, name, "it goes: let name = \"text\"");
		return;
	}
	rest = case_without_comment(rest, true);
	s->operand_count = 1;
	if (rest.n > 0 && rest.p[0] != '"' && !read_maker(r, s, &rest))
		return;
	for (uint32_t i = 0; i < s->operand_count; i++)
		if (!case_take_quoted(r, &rest, &s->operands[i]))
			return;
	/* The connection of a binding. */
	if (s->let == CASE_LET_BINDING)
		s->connection = connection_of(r, case_word(&rest));
	if (span_trim(rest).n > 0)
		case_error(r, span_trim(rest), "nothing belongs here");
	s->name = case_keep(r->c, name);
	case_bind(r, name);
}

/* differ "text" "text" */
static void read_differ(struct case_reader *r, struct span rest)
{
	struct case_step *s = case_add_step(r, CASE_DIFFER);

	if (s == NULL)
		return;
	rest = case_without_comment(rest, true);
	if (case_take_quoted(r, &rest, &s->text) && case_take_quoted(r, &rest, &s->content) &&
	    span_trim(rest).n > 0)
		case_error(r, span_trim(rest), "nothing belongs here");
}

/* match "text" PATTERN */
static void read_match(struct case_reader *r, struct span rest)
{
	struct case_step *s = case_add_step(r, CASE_MATCH);

	if (s == NULL)
		return;
	rest = case_without_comment(rest, true);
	if (!case_take_quoted(r, &rest, &s->text))
		return;
	rest = span_trim(rest);
	if (rest.n == 0)
		case_error(r, span_sub(r->line, r->line.n, 0),
			   "a pattern belongs here, as in r=${nonce},...");
	s->pattern.text = case_text_of(r, rest, true);
}

/* number "4096" >= "${n}", length "${uid}" <= "70" */
static void read_compared(struct case_reader *r, enum case_step_kind kind, struct span rest)
{
	struct case_step *s = case_add_step(r, kind);

	if (s == NULL)
		return;
	rest = case_without_comment(rest, true);
	if (case_take_quoted(r, &rest, &s->text) && case_take_op(r, &rest, &s->op) &&
	    case_take_quoted(r, &rest, &s->content) && span_trim(rest).n > 0)
		case_error(r, span_trim(rest), "nothing belongs here");
}

/* mail ADDRESS "content" */
static void read_mail(struct case_reader *r, struct span rest)
{
	struct case_step *s = case_add_step(r, CASE_MAIL);

	if (s == NULL)
		return;
	if (!r->c->needs_mailbox)
		case_error(r, r->line, "\"needs:\" must name a mailbox");
	s->text = case_text_of(r, case_word(&rest), false);
	rest = case_without_comment(rest, true);
	case_take_within(r, &rest, s);
	if (case_take_quoted(r, &rest, &s->content) && span_trim(rest).n > 0)
		case_error(r, span_trim(rest), "nothing belongs here");
}

/* stored ADDRESS within 10s: */
void case_read_mailbox(struct case_reader *r, enum case_step_kind kind, struct span rest)
{
	struct case_step *s = case_add_step(r, kind);

	if (s == NULL)
		return;
	if (!r->c->needs_mailbox)
		case_error(r, r->line, "\"needs:\" must name a mailbox");
	rest = case_without_colon(rest);
	case_take_within(r, &rest, s);
	struct span address = case_word(&rest);
	if (address.n == 0)
		case_error(r, r->line, "whose mailbox?");
	if (span_trim(rest).n > 0)
		case_error(r, span_trim(rest), "nothing belongs here");
	s->text = case_text_of(r, address, false);
}

/* server stop | kill | start within 30s | killed within 30s */
static void read_server(struct case_reader *r, struct span rest)
{
	static const char *const WHAT[] = { "stop", "kill", "start", "killed", NULL };
	struct case_step *s = case_add_step(r, CASE_SERVER);

	if (s == NULL)
		return;
	if (!case_has_tag(r->c, "alone"))
		case_error(r, r->line, "a case that does this to the server is to be tagged alone");
	rest = case_without_comment(rest, false);
	case_take_within(r, &rest, s);
	struct span word = case_word(&rest);
	int what = case_index(word, WHAT);
	if (what < 0)
		case_unknown(r, word, "deed", WHAT);
	else if (span_trim(rest).n > 0)
		case_error(r, span_trim(rest), "nothing belongs here");
	else if (what == CASE_SERVER_KILLED && r->c->role != CASE_ROLE_CLIENT)
		case_error(r, word, "only a next hop kills it");
	s->server = what < 0 ? CASE_SERVER_STOP : (enum case_server)what;
}

static void read_not(struct case_reader *r, struct span rest)
{
	struct span word = case_word(&rest);

	if (span_eq(word, SPAN_LIT("stored")))
		case_read_mailbox(r, CASE_NOT_STORED, rest);
	else if (span_eq(word, SPAN_LIT("bounced")))
		case_read_mailbox(r, CASE_NOT_BOUNCED, rest);
	else if (span_eq(word, SPAN_LIT("notified")))
		case_read_mailbox(r, CASE_NOT_NOTIFIED, rest);
	else if (!case_read_relay_absence(r, word, rest)) {
		r->step = NULL;
		case_error(
			r, word,
			"there is \"not stored\", \"not bounced\", \"not notified\", and with role: client "
			"\"not received\", \"not heard\", \"not connected\", \"not asked\" and \"not "
			"queued\"");
	}
}

void case_read_step(struct case_reader *r)
{
	struct span rest = r->line, number, after;
	char kind;

	if (is_line_of(r->line, 'C', &kind, &number, &after)) {
		(kind == ':' ? read_send_line : read_send_raw)(r, number, after);
		return;
	}
	if (is_line_of(r->line, 'S', &kind, &number, &after) && kind == ':') {
		read_expect(r, number, after);
		return;
	}
	struct span word = case_word(&rest);
	if (span_eq(word, SPAN_LIT("connect")))
		read_connect(r, case_without_comment(rest, false));
	else if (span_eq(word, SPAN_LIT("starttls")))
		read_plain(r, CASE_STARTTLS);
	else if (span_eq(word, SPAN_LIT("close")))
		read_plain(r, CASE_CLOSE);
	else if (span_eq(word, SPAN_LIT("reset")))
		read_plain(r, CASE_RESET);
	else if (span_eq(word, SPAN_LIT("closed")))
		read_plain(r, CASE_CLOSED);
	else if (span_eq(word, SPAN_LIT("let")))
		read_let(r, rest);
	else if (span_eq(word, SPAN_LIT("differ")))
		read_differ(r, rest);
	else if (span_eq(word, SPAN_LIT("match")))
		read_match(r, rest);
	else if (span_eq(word, SPAN_LIT("number")))
		read_compared(r, CASE_NUMBER, rest);
	else if (span_eq(word, SPAN_LIT("length")))
		read_compared(r, CASE_LENGTH, rest);
	else if (span_eq(word, SPAN_LIT("mail")))
		read_mail(r, rest);
	else if (span_eq(word, SPAN_LIT("stored")))
		case_read_mailbox(r, CASE_STORED, rest);
	else if (span_eq(word, SPAN_LIT("bounced")))
		case_read_mailbox(r, CASE_BOUNCED, rest);
	else if (span_eq(word, SPAN_LIT("server")))
		read_server(r, rest);
	else if (span_eq(word, SPAN_LIT("notified")))
		case_read_mailbox(r, CASE_NOTIFIED, rest);
	else if (span_eq(word, SPAN_LIT("not")))
		read_not(r, rest);
	else if (!case_read_relay_step(r, word, rest)) {
		r->step = NULL;
		case_unknown(r, word, "step", VERBS);
	}
}
