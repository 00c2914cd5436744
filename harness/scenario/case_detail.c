#include "harness/scenario/case_read.h"

#include "base/unit.h"
#include "harness/wire/mail_form.h"
#include "harness/wire/received.h"

#include <string.h>

enum { ASPECTS_MAX = 32 };

static const char *const REPLY_WORDS[] = { "else",    "has",  "lacks",  "status", "strict",     "line",
					   "lines",   "data", "octets", "bare",   "empty",      "text",
					   "longest", "only", "domain", "spaced", "parameters", NULL };
static const char *const MESSAGE_WORDS[] = { "else",    "count",  "body",  "raw",       "header", "received",
					     "form",    "dsn",    "valid", "unchanged", "under",  "in",
					     "read-as", "signed", "part",  NULL };
enum record_word {
	RECORD_COUNT = 1,
	RECORD_THEN,
	RECORD_APART,
	RECORD_ALONE,
	RECORD_NEXT,
	RECORD_ASCII,
	RECORD_GREETED,
	RECORD_SERVER_NAME,
	RECORD_AWAITED,
	RECORD_CRLF,
	RECORD_REQUEST,
	RECORD_HEADER
};
static const char *const RECORD_WORDS[] = { "else", "count",   "then",    "apart",       "alone",
					    "next", "ascii",   "greeted", "server-name", "awaited",
					    "crlf", "request", "header",  NULL };

/* ---- alternatives ---- */

/* "5xx" covers "550". */
static bool code_covers(const char *wide, const char *narrow)
{
	size_t n = strlen(narrow);

	if (strlen(wide) != n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (wide[i] != narrow[i] && wide[i] != 'x')
			return false;
	return true;
}

/* Whatever reply the second is about, the first is about it too. */
static bool pattern_covers(const struct case_pattern *wide, const struct case_pattern *narrow)
{
	if (wide->single || wide->multi != narrow->multi || wide->text.count != 1 ||
	    wide->text.parts[0].kind != CASE_PART_ANY)
		return false;
	for (uint32_t i = 0; i < narrow->code_count; i++) {
		uint32_t k = 0;
		while (k < wide->code_count && !code_covers(wide->codes[k].text, narrow->codes[i].text))
			k++;
		if (k == wide->code_count)
			return false;
	}
	return true;
}

/* Whatever the second is about, the first is about it too. */
static bool alternative_covers(const struct case_alternative *wide, const struct case_alternative *narrow)
{
	if (wide->event == CASE_ON_OTHER)
		return true;
	return wide->event == narrow->event &&
	       (wide->event != CASE_ON_REPLY || pattern_covers(&wide->pattern, &narrow->pattern));
}

/* What hides it: the first that fits decides, and what was expected comes before all.  NULL: nothing. */
static const char *what_hides(const struct case_step *s, const struct case_alternative *a)
{
	if (s->kind == CASE_EXPECT && s->check_count == 0 && a->event == CASE_ON_REPLY &&
	    pattern_covers(&s->pattern, &a->pattern))
		return "what the S: line expects (what must hold besides stands above alternatives)";
	for (uint32_t i = 0; i < s->alternative_count; i++)
		if (alternative_covers(&s->alternatives[i], a))
			return "an alternative above";
	return NULL;
}

static void add_alternative(struct case_reader *r, const struct case_alternative *a)
{
	struct case_step *s = r->step;
	const char *hidden_by = what_hides(s, a);

	if (hidden_by != NULL)
		case_error(r, span_trim(r->line), "this never decides: %s comes first", hidden_by);
	if (s->alternative_count == CASE_DETAILS_MAX) {
		case_error(r, r->line, "more than %d alternatives", CASE_DETAILS_MAX);
		return;
	}
	if (s->alternatives == NULL)
		s->alternatives = case_alloc(r->c, CASE_DETAILS_MAX * sizeof(*a));
	s->alternatives[s->alternative_count++] = *a;
}

/* What stands between "else" and "=>". */
static bool read_event(struct case_reader *r, struct span s, struct case_alternative *a)
{
	static const char *const EVENTS[] = { "timeout", "close", "other", NULL };
	static const enum case_event MEANT[] = { CASE_ON_TIMEOUT, CASE_ON_CLOSE, CASE_ON_OTHER };
	struct span rest = s;
	int index = case_index(case_word(&rest), EVENTS);

	if (index >= 0 && span_trim(rest).n == 0) {
		a->event = MEANT[index];
		return true;
	}
	a->event = CASE_ON_REPLY;
	/* A code alone takes any text here: an alternative is about the kind of answer. */
	struct buf with_any = { 0 };
	struct span pattern = s;
	if (span_find(s, ' ') == s.n) {
		buf_add(&with_any, s);
		buf_add_cstr(&with_any, " ...");
		pattern = case_keep_span(r->c, buf_span(&with_any));
		buf_free(&with_any);
	}
	return case_pattern_of(r, pattern, &a->pattern);
}

static void read_outcome(struct case_reader *r, struct span rest, struct case_alternative *a)
{
	static const char *const NAMES[] = { "pass",         "fail",     "warn", "not-tested",
					     "inconclusive", "continue", NULL };
	struct span word = case_word(&rest);
	int outcome = case_index(word, NAMES);
	bool judges = r->c->sections[r->step->section].judges;

	if (outcome < 0) {
		case_unknown(r, word, "outcome", NAMES);
		return;
	}
	a->outcome = (enum case_outcome)outcome;
	if (!judges && (a->outcome == CASE_PASS || a->outcome == CASE_FAIL || a->outcome == CASE_WARN)) {
		case_error(r, word, "only a section \"== verdict\" can %s", NAMES[outcome]);
		return;
	}
	a->text = "";
	if (a->outcome != CASE_CONTINUE && !case_take_words(r, &rest, &a->text))
		return;
	if (span_trim(rest).n > 0)
		case_error(r, span_trim(rest), "nothing belongs here");
	else
		add_alternative(r, a);
}

static void read_else(struct case_reader *r, struct span rest)
{
	struct case_alternative a = { .line = r->line_number };

	for (size_t i = 0; i + 1 < rest.n; i++) {
		if (rest.p[i] != '=' || rest.p[i + 1] != '>')
			continue;
		if (read_event(r, span_trim(span_sub(rest, 0, i)), &a))
			read_outcome(r, span_sub(rest, i + 2, rest.n), &a);
		return;
	}
	case_error(r, rest.n > 0 ? span_trim(rest) : r->line, "it goes: else 4xx => inconclusive \"why\"");
}

/* ---- checks ---- */

static void add_check(struct case_reader *r, const struct case_check *c)
{
	struct case_step *s = r->step;

	if (s->check_count == CASE_DETAILS_MAX) {
		case_error(r, r->line, "more than %d checks", CASE_DETAILS_MAX);
		return;
	}
	if (s->checks == NULL)
		s->checks = case_alloc(r->c, CASE_DETAILS_MAX * sizeof(*c));
	s->checks[s->check_count++] = *c;
}

static bool take_number(struct case_reader *r, struct span *rest, uint64_t *ret_n)
{
	struct span word = case_word(rest);

	if (span_to_u64(word, ret_n))
		return true;
	case_error(r, word.n > 0 ? word : r->line, "a number belongs here");
	return false;
}

bool case_take_op(struct case_reader *r, struct span *rest, enum case_op *ret_op)
{
	static const char *const OPS[] = { "==", ">=", "<=", NULL };
	static const enum case_op MEANT[] = { CASE_EQ, CASE_AT_LEAST, CASE_AT_MOST };
	struct span word = case_word(rest);
	int op = case_index(word, OPS);

	if (op < 0) {
		case_error(r, word.n > 0 ? word : r->line, "== or >= or <= belongs here");
		return false;
	}
	*ret_op = MEANT[op];
	return true;
}

/* "== 2", ">= 1", "<= 3" */
static bool take_comparison(struct case_reader *r, struct span *rest, struct case_check *c)
{
	return case_take_op(r, rest, &c->op) && take_number(r, rest, &c->n);
}

/* == "text", has "text", lacks "text" */
static bool take_text_test(struct case_reader *r, struct span *rest, struct case_check *c)
{
	static const char *const OPS[] = { "==", "has", "lacks", NULL };
	static const enum case_op MEANT[] = { CASE_EQ, CASE_HAS, CASE_LACKS };
	struct span word = case_word(rest);
	int op = case_index(word, OPS);

	if (op < 0) {
		case_error(r, word.n > 0 ? word : r->line, "== or has or lacks belongs here");
		return false;
	}
	c->op = MEANT[op];
	c->has_text = true;
	return case_take_quoted(r, rest, &c->text);
}

static bool take_keyword(struct case_reader *r, struct span *rest, struct case_check *c)
{
	struct span word = case_word(rest);

	if (word.n == 0)
		case_error(r, r->line, "which keyword?");
	c->name = case_keep(r->c, word);
	return word.n > 0;
}

/* One of names; its index goes to n. */
static bool take_name_of(struct case_reader *r, struct span *rest, const char *const *names,
			 struct case_check *c)
{
	struct span word = case_word(rest);
	int index = case_index(word, names);

	if (index < 0)
		case_unknown(r, word, "aspect", names);
	else
		c->n = (uint64_t)index;
	return index >= 0;
}

/* A pattern to the end of the line. */
static void take_pattern(struct case_reader *r, struct span *rest, struct case_check *c)
{
	struct span s = span_trim(*rest);

	c->has_text = s.n > 0;
	c->text = case_text_of(r, s, true);
	*rest = (struct span){ 0 };
}

static bool read_reply_check(struct case_reader *r, int word, struct span *rest, struct case_check *c)
{
	switch (word) {
	case 1:
		c->kind = CASE_CHECK_HAS;
		if (!take_keyword(r, rest, c))
			return false;
		take_pattern(r, rest, c);
		return true;
	case 2:
		c->kind = CASE_CHECK_LACKS;
		return take_keyword(r, rest, c);
	case 3:
		c->kind = CASE_CHECK_STATUS;
		return take_keyword(r, rest, c);
	case 4:
		c->kind = CASE_CHECK_STRICT;
		return true;
	case 5:
		c->kind = CASE_CHECK_LINE;
		if (!take_number(r, rest, &c->n))
			return false;
		take_pattern(r, rest, c);
		return true;
	case 6:
		c->kind = CASE_CHECK_LINES;
		return take_comparison(r, rest, c);
	case 7:
		c->kind = CASE_CHECK_DATA;
		return take_text_test(r, rest, c);
	case 8:
		c->kind = CASE_CHECK_OCTETS;
		take_pattern(r, rest, c);
		return true;
	case 9:
		c->kind = CASE_CHECK_BARE;
		return take_keyword(r, rest, c);
	case 10:
		c->kind = CASE_CHECK_EMPTY;
		return true;
	case 11:
		c->kind = CASE_CHECK_TEXT;
		return take_text_test(r, rest, c);
	case 12:
		c->kind = CASE_CHECK_LONGEST;
		return take_comparison(r, rest, c);
	case 13:
		c->kind = CASE_CHECK_ONLY;
		c->name = case_keep(r->c, span_trim(*rest));
		*rest = (struct span){ 0 };
		return true;
	case 14:
		c->kind = CASE_CHECK_DOMAIN;
		return true;
	case 15:
		c->kind = CASE_CHECK_SPACED;
		return true;
	default:
		c->kind = CASE_CHECK_PARAMETERS;
		return take_keyword(r, rest, c) && take_comparison(r, rest, c);
	}
}

/* "received zone": what of the oldest Received field. */
static bool take_received_aspect(struct case_reader *r, struct span *rest, struct case_check *c)
{
	const char *names[ASPECTS_MAX + 1] = { 0 };
	uint32_t n = 0;

	for (; RECEIVED_ASPECTS[n].name != NULL && n < ASPECTS_MAX; n++)
		names[n] = RECEIVED_ASPECTS[n].name;
	c->kind = CASE_CHECK_RECEIVED;
	return take_name_of(r, rest, names, c);
}

static bool take_form_aspect(struct case_reader *r, struct span *rest, struct case_check *c)
{
	const char *names[ASPECTS_MAX + 1] = { 0 };
	uint32_t n = 0;

	for (; MAIL_FORM_ASPECTS[n].name != NULL && n < ASPECTS_MAX; n++)
		names[n] = MAIL_FORM_ASPECTS[n].name;
	c->kind = CASE_CHECK_FORM;
	return take_name_of(r, rest, names, c);
}

/* dsn Status == "5.1.1", dsn joe@${zone} Action has "x", dsn ${alias} Action has "x" */
static bool take_dsn(struct case_reader *r, struct span *rest, struct case_check *c)
{
	struct span after = *rest;
	struct span word = case_word(&after);

	c->kind = CASE_CHECK_DSN;
	if (r->step->kind == CASE_RECEIVED || r->step->kind == CASE_NOT_RECEIVED ||
	    r->step->kind == CASE_STORED) {
		case_error(r, r->line, "only a notification has such fields: bounced, notified");
		return false;
	}
	if (span_find(word, '@') < word.n || span_find(word, '$') < word.n) {
		c->of = case_text_of(r, word, false);
		*rest = after;
	}
	return take_keyword(r, rest, c) && take_text_test(r, rest, c);
}

/* then LINE, next LINE: what comes behind the line that is heard, or is not to be. */
static bool take_follower(struct case_reader *r, enum case_check_kind kind, struct span *rest,
			  struct case_check *c)
{
	c->kind = kind;
	if (r->step->kind != CASE_HEARD && r->step->kind != CASE_NOT_HEARD)
		case_error(r, r->line, "only of lines that are heard one comes after the other");
	take_pattern(r, rest, c);
	if (c->text.count == 0)
		case_error(r, r->line, "which line?");
	return true;
}

static bool take_apart(struct case_reader *r, struct span *rest, struct case_check *c)
{
	struct span op = case_word(rest), value = case_word(rest);
	int64_t ms = 0;

	c->kind = CASE_CHECK_APART;
	if (!span_eq(op, SPAN_LIT(">=")) || !unit_parse_duration_ms(value, &ms)) {
		case_error(r, op.n > 0 ? op : r->line, "it goes: apart >= 200ms");
		return false;
	}
	c->n = (uint64_t)ms;
	return true;
}

static bool take_server_name(struct case_reader *r, struct span *rest, struct case_check *c)
{
	c->kind = CASE_CHECK_SERVER_NAME;
	if (r->step->kind != CASE_SECURED && r->step->kind != CASE_ASKED)
		case_error(r, r->line, "only a handshake has a server name");
	if (!take_text_test(r, rest, c))
		return false;
	if (c->op != CASE_EQ)
		case_error(r, r->line, "it goes: server-name == \"mx.${zone}\"");
	return true;
}

/* Of what a policy host was asked: request == "GET /path", header Host == "x". */
static bool take_of_request(struct case_reader *r, int word, struct span *rest, struct case_check *c)
{
	if (r->step->kind != CASE_ASKED)
		case_error(r, r->line, "only a policy host has requests: asked mta-sts");
	c->kind = word == RECORD_REQUEST ? CASE_CHECK_REQUEST : CASE_CHECK_HEADER;
	return (word == RECORD_REQUEST || take_keyword(r, rest, c)) && take_text_test(r, rest, c);
}

/* Of lines that a next hop heard, connections to it, handshakes, or requests. */
static bool read_record_check(struct case_reader *r, int word, struct span *rest, struct case_check *c)
{
	enum case_step_kind k = r->step->kind;

	if (k == CASE_NOT_HEARD && word != RECORD_THEN && word != RECORD_NEXT) {
		case_error(r, r->line,
			   "of a line that is not heard, only what comes behind it can be said: then, next");
		return false;
	}
	switch ((enum record_word)word) {
	case RECORD_COUNT:
		c->kind = CASE_CHECK_COUNT;
		return take_comparison(r, rest, c);
	case RECORD_THEN:
		return take_follower(r, CASE_CHECK_THEN, rest, c);
	case RECORD_NEXT:
		return take_follower(r, CASE_CHECK_NEXT, rest, c);
	case RECORD_ALONE:
		c->kind = CASE_CHECK_ALONE;
		if (k != CASE_HEARD)
			case_error(r, r->line, "only a line that is heard can stand alone");
		return true;
	case RECORD_ASCII:
		c->kind = CASE_CHECK_ASCII;
		if (k != CASE_HEARD)
			case_error(r, r->line, "only a line that is heard has characters");
		return true;
	case RECORD_AWAITED:
		c->kind = CASE_CHECK_AWAITED;
		if (k != CASE_HEARD)
			case_error(r, r->line, "only a line that is heard has a reply");
		return true;
	case RECORD_CRLF:
		c->kind = CASE_CHECK_CRLF;
		if (k != CASE_HEARD)
			case_error(r, r->line, "only a line that is heard has an end");
		return true;
	case RECORD_GREETED:
		c->kind = CASE_CHECK_GREETED;
		if (k != CASE_CONNECTED)
			case_error(r, r->line, "a greeting belongs to a connection: connected mx");
		return true;
	case RECORD_SERVER_NAME:
		return take_server_name(r, rest, c);
	case RECORD_REQUEST:
	case RECORD_HEADER:
		return take_of_request(r, word, rest, c);
	case RECORD_APART:
		break;
	}
	return take_apart(r, rest, c);
}

/* "read-as two-messages": what a next hop of another kind would make of it. */
static bool take_reading(struct case_reader *r, struct span *rest, struct case_check *c)
{
	static const char *const READINGS[] = { "irregular", "cut-short", "two-messages", NULL };

	c->kind = CASE_CHECK_READ_AS;
	if (r->step->kind != CASE_RECEIVED && r->step->kind != CASE_NOT_RECEIVED)
		case_error(r, r->line, "only of what a next hop received is it known how it came");
	return take_name_of(r, rest, READINGS, c);
}

static bool read_message_check(struct case_reader *r, int word, struct span *rest, struct case_check *c)
{
	switch (word) {
	case 1:
		c->kind = CASE_CHECK_COUNT;
		if (r->step->kind == CASE_NOT_RECEIVED)
			case_error(r, r->line, "none is none: there is nothing to count");
		return take_comparison(r, rest, c);
	case 2:
		c->kind = CASE_CHECK_BODY;
		return take_text_test(r, rest, c);
	case 3:
		c->kind = CASE_CHECK_RAW;
		return take_text_test(r, rest, c);
	case 5:
		return take_received_aspect(r, rest, c);
	case 6:
		return take_form_aspect(r, rest, c);
	case 7:
		return take_dsn(r, rest, c);
	case 8:
		c->kind = CASE_CHECK_VALID;
		return true;
	case 9:
		c->kind = CASE_CHECK_UNCHANGED;
		if (r->step->kind != CASE_RECEIVED)
			case_error(r, r->line,
				   "only of what a next hop received is it known what was submitted");
		return true;
	case 10:
	case 11:
		c->kind = CASE_CHECK_TLS;
		c->n = word == 10;
		if (r->step->kind != CASE_RECEIVED ||
		    !(word == 10 ? span_eq(case_word(rest), SPAN_LIT("TLS"))
				 : span_eq(case_word(rest), SPAN_LIT("the")) &&
					   span_eq(case_word(rest), SPAN_LIT("clear"))))
			case_error(r, r->line,
				   "what a next hop received came \"under TLS\" or \"in the clear\"");
		return true;
	case 12:
		return take_reading(r, rest, c);
	case 13:
		c->kind = CASE_CHECK_SIGNED;
		if (r->step->kind != CASE_RECEIVED)
			case_error(r, r->line, "only what a next hop received can still be signed");
		return true;
	case 14:
		c->kind = CASE_CHECK_PART;
		return take_number(r, rest, &c->n) && take_text_test(r, rest, c);
	default:
		c->kind = CASE_CHECK_HEADER;
		if (!take_keyword(r, rest, c))
			return false;
		struct span after = *rest;
		if (!span_eq(case_word(&after), SPAN_LIT("count")))
			return take_text_test(r, rest, c);
		c->kind = CASE_CHECK_HEADER_COUNT;
		*rest = after;
		return take_comparison(r, rest, c);
	}
}

/* What may stand below a step of that kind; NULL: alternatives alone. */
typedef bool check_fn(struct case_reader *r, int word, struct span *rest, struct case_check *c);
static check_fn *check_of(enum case_step_kind k, const char *const **ret_words)
{
	bool record = k == CASE_HEARD || k == CASE_NOT_HEARD || k == CASE_CONNECTED || k == CASE_SECURED ||
		      k == CASE_ASKED;
	bool message = k == CASE_STORED || k == CASE_BOUNCED || k == CASE_NOTIFIED || k == CASE_RECEIVED ||
		       k == CASE_NOT_RECEIVED;

	*ret_words = k == CASE_EXPECT ? REPLY_WORDS : record ? RECORD_WORDS : MESSAGE_WORDS;
	return k == CASE_EXPECT ? read_reply_check
	       : record         ? read_record_check
	       : message        ? read_message_check
				: NULL;
}

static void read_check_or_else(struct case_reader *r, struct span rest)
{
	struct case_check c = { .line = r->line_number };
	const char *const *words;
	check_fn *read = check_of(r->step->kind, &words);
	struct span word = case_word(&rest);
	int index = case_index(word, words);

	if (index < 0) {
		case_unknown(r, word, "detail", words);
	} else if (index == 0) {
		read_else(r, rest);
	} else if (read == NULL) {
		case_error(r, word, "nothing of \"%s\" can be checked that way",
			   case_step_name(r->step->kind));
	} else if (read(r, index, &rest, &c)) {
		if (span_trim(rest).n > 0)
			case_error(r, span_trim(rest), "nothing belongs here");
		else
			add_check(r, &c);
	}
}

void case_read_detail(struct case_reader *r)
{
	struct span rest = case_without_comment(r->line, true);

	if (rest.n == 0 || rest.p[0] == '#')
		return;
	if (r->hop != NULL)
		case_read_hop_detail(r);
	else if (r->answer != NULL)
		case_read_policy_detail(r);
	else if (r->submission != NULL)
		case_read_submit_detail(r);
	else if (r->step != NULL)
		read_check_or_else(r, rest);
	else
		case_error(r, rest, "an indented line belongs to the step above it, and there is none");
}
