#include "harness/scenario/case_read.h"

#include "base/unit.h"

#include <string.h>

/* The steps of role client: names, submissions, and what the verdict says. */

enum { RECIPIENTS_MAX = 100, LOOKUPS_MAX = 1000 };

/* ---- names ---- */

static bool is_type(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < 'A' || s.p[i] > 'Z')
			return false;
	return s.n > 0;
}

/* SERVFAIL, SERVFAIL AAAA, SERVFAIL 2, SERVFAIL AAAA 3s; what stands behind the first word. */
static void read_zone_fault(struct case_reader *r, struct span rest, struct case_step *s)
{
	struct span behind = rest, word = case_word(&behind);
	uint64_t times = 0;

	if (is_type(word)) {
		s->zone_type = case_keep(r->c, word);
		rest = behind;
	}
	struct span digits = span_trim(rest);
	if (digits.n == 0 || (unit_parse_duration_ms(digits, &s->zone_ms) && s->zone_ms > 0))
		return;
	/* Resolvers ask again after a time-out: what is one lookup then, is a matter of time alone. */
	if (s->zone == CASE_ZONE_TIMEOUT || !span_to_u64(digits, &times) || times < 1 || times > LOOKUPS_MAX)
		case_error(r, digits, "how long, as in 3s, or how many lookups, not with TIMEOUT? 1 to %d",
			   LOOKUPS_MAX);
	s->zone_count = (uint32_t)times;
}

/* A nobody 300; false: it is a record like others. */
static bool read_nobodies(struct case_reader *r, struct span record, struct case_step *s)
{
	struct span type = case_word(&record), word = case_word(&record);
	uint64_t count = 0;

	if (!case_word_is(type, "A") || !case_word_is(word, "nobody"))
		return false;
	s->zone = CASE_ZONE_NOBODY;
	if (!span_to_u64(span_trim(record), &count) || count < 1 || count > CASE_NOBODIES_MAX)
		case_error(r, record, "how many addresses? 1 to %d", CASE_NOBODIES_MAX);
	s->zone_count = (uint32_t)count;
	return true;
}

static void read_zone(struct case_reader *r, struct span rest)
{
	static const char *const FAULTS[] = { "SERVFAIL", "NXDOMAIN", "TIMEOUT",  "TRUNCATED",
					      "FORGET",   "BOGUS",    "UNSIGNED", NULL };
	static const enum case_zone_kind MEANT[] = { CASE_ZONE_SERVFAIL, CASE_ZONE_NXDOMAIN,
						     CASE_ZONE_TIMEOUT,  CASE_ZONE_TRUNCATED,
						     CASE_ZONE_FORGET,   CASE_ZONE_BOGUS,
						     CASE_ZONE_UNSIGNED };
	struct case_step *s = case_add_step(r, CASE_ZONE);

	if (s == NULL)
		return;
	rest = case_without_comment(rest, true);
	struct span all = rest;
	struct span owner = case_word(&rest), record = rest;
	struct span type = case_word(&rest);
	int fault = case_index(type, FAULTS);
	if (owner.n == 0 || type.n == 0 || (fault < 0 && span_trim(rest).n == 0)) {
		case_error(r, all.n > 0 ? all : r->line,
			   "it goes: zone @ MX 10 mx, or zone mx SERVFAIL, or zone @ TIMEOUT 3s");
		return;
	}
	s->name = case_keep(r->c, owner);
	s->content = case_text_of(r, owner, false);
	r->c->says_mx = r->c->says_mx || case_word_is(owner, "@");
	if (fault >= 0) {
		s->zone = MEANT[fault];
		if (s->zone >= CASE_ZONE_BOGUS && (r->c->policy == NULL || strcmp(r->c->policy, "dane") != 0))
			case_error(r, type, "only the zones of cases that need \"dane\" are signed");
		if (s->zone != CASE_ZONE_UNSIGNED && s->zone != CASE_ZONE_FORGET)
			read_zone_fault(r, rest, s);
		else if (span_trim(rest).n > 0)
			case_error(r, span_trim(rest), "this is for good, and for all types");
	} else if (!read_nobodies(r, record, s)) {
		s->text = case_text_of(r, span_trim(record), false);
	}
}

/* ---- submissions ---- */

static void read_submit(struct case_reader *r, struct span rest)
{
	struct case_step *s = case_add_step(r, CASE_SUBMIT);

	if (s == NULL)
		return;
	rest = case_without_colon(rest);
	case_take_within(r, &rest, s);
	struct case_submission *m = case_alloc(r->c, sizeof(*m));
	m->recipients = case_alloc(r->c, RECIPIENTS_MAX * sizeof(*m->recipients));
	for (struct span word = case_word(&rest); word.n > 0; word = case_word(&rest)) {
		if (m->recipient_count == RECIPIENTS_MAX) {
			case_error(r, word, "more than %d recipients", RECIPIENTS_MAX);
			break;
		}
		m->recipients[m->recipient_count++] = case_text_of(r, word, false);
	}
	if (m->recipient_count == 0)
		case_error(r, r->line, "to whom? submit joe@${zone}");
	s->submission = r->submission = m;
}

/* signed relaxed/simple: the forms of header and body (RFC 6376 section 3.4). */
static void read_signed(struct case_reader *r, struct span rest)
{
	static const char *const FORMS[] = { "simple/simple", "simple/relaxed", "relaxed/simple",
					     "relaxed/relaxed", NULL };
	struct span word = case_word(&rest);
	int form = case_index(word, FORMS);

	if (form < 0)
		case_unknown(r, word, "form of header and body", FORMS);
	r->submission->is_signed = true;
	r->submission->relaxed_header = form >= 2;
	r->submission->relaxed_body = form == 1 || form == 3;
	case_nothing_more(r, rest);
}

void case_read_submit_detail(struct case_reader *r)
{
	static const char *const WORDS[] = { "from", "mail", "rcpt", "content", "signed", NULL };
	struct case_submission *m = r->submission;
	struct span rest = case_without_comment(r->line, true);
	struct span word = case_word(&rest);
	struct case_text text;

	switch (case_index(word, WORDS)) {
	case 0:
		word = case_word(&rest);
		if (word.n == 0)
			case_error(r, r->line, "from whom? <> is nobody");
		m->has_from = true;
		m->from = case_text_of(r, case_word_is(word, "<>") ? (struct span){ 0 } : word, false);
		case_nothing_more(r, rest);
		return;
	case 1:
		m->mail = case_text_of(r, span_trim(rest), false);
		return;
	case 2:
		m->rcpt = case_text_of(r, span_trim(rest), false);
		return;
	case 3:
		if (!case_take_quoted(r, &rest, &text))
			return;
		m->has_content = true;
		m->content = case_join(r->c, m->content, text);
		case_nothing_more(r, rest);
		return;
	case 4:
		read_signed(r, rest);
		return;
	default:
		case_unknown(r, word, "detail of a submission", WORDS);
	}
}

/* ---- the verdict ---- */

/* The next hop that a step names first. */
static bool take_hop(struct case_reader *r, struct span *rest, uint32_t *ret_hop)
{
	struct span name = case_word(rest);

	if (name.n > 0 && name.p[name.n - 1] == ':')
		name.n--;
	int hop = case_find_hop(r, name);
	if (hop < 0) {
		case_error(r, name.n > 0 ? name : r->line, "no next hop above has this name");
		return false;
	}
	*ret_hop = (uint32_t)hop;
	return true;
}

static void read_about_hop(struct case_reader *r, enum case_step_kind kind, struct span rest)
{
	struct case_step *s = case_add_step(r, kind);

	if (s == NULL)
		return;
	rest = case_without_colon(rest);
	case_take_within(r, &rest, s);
	if (!take_hop(r, &rest, &s->hop))
		return;
	struct span more = rest;
	if (kind == CASE_CONNECTED && case_word_is(case_word(&more), "before")) {
		s->has_other_hop = take_hop(r, &more, &s->other_hop);
		rest = more;
	}
	case_nothing_more(r, rest);
}

/* heard mx: RCPT TO:<...> within 10s */
static void read_heard(struct case_reader *r, enum case_step_kind kind, struct span rest)
{
	struct case_step *s = case_add_step(r, kind);

	if (s == NULL)
		return;
	rest = case_without_comment(rest, false);
	case_take_within(r, &rest, s);
	if (!take_hop(r, &rest, &s->hop))
		return;
	rest = span_trim(rest);
	if (rest.n == 0)
		case_error(r, r->line, "which line? heard mx: MAIL FROM:<...>...");
	s->text = case_text_of(r, rest, true);
}

static void read_queued(struct case_reader *r, enum case_step_kind kind, struct span rest)
{
	struct case_step *s = case_add_step(r, kind);

	if (s == NULL)
		return;
	/* The word itself stays in, so that " within" is found behind it. */
	struct span all = case_without_comment(r->line, false);
	case_take_within(r, &all, s);
	(void)rest;
	while (all.n > 0) {
		struct span word = case_word(&all);
		if (!case_word_is(word, "not") && !case_word_is(word, "queued") && word.n > 0)
			case_error(r, word, "nothing belongs here");
	}
}

/* Those from RECEIVED on have a "not" of their own. */
enum relay_verb { NEXT_HOP, POLICY_HOST, ZONE, SUBMIT, SECURED, RECEIVED, HEARD, CONNECTED, ASKED, QUEUED };
static const char *const RELAY_VERBS[] = { [NEXT_HOP] = "next-hop",
					   [POLICY_HOST] = "policy-host",
					   [ZONE] = "zone",
					   [SUBMIT] = "submit",
					   [SECURED] = "secured",
					   [RECEIVED] = "received",
					   [HEARD] = "heard",
					   [CONNECTED] = "connected",
					   [ASKED] = "asked",
					   [QUEUED] = "queued",
					   NULL };

static bool is_for_clients(struct case_reader *r, struct span word)
{
	if (r->c->role == CASE_ROLE_CLIENT)
		return true;
	r->step = NULL;
	case_error(r, word, "only a case with \"role: client\" has this");
	return false;
}

bool case_read_relay_step(struct case_reader *r, struct span word, struct span rest)
{
	int verb = case_index(word, RELAY_VERBS);

	if (verb < 0)
		return false;
	if (!is_for_clients(r, word))
		return true;
	switch (verb) {
	case NEXT_HOP:
		case_read_next_hop(r, rest);
		break;
	case POLICY_HOST:
		case_read_policy_host(r, rest);
		break;
	case ZONE:
		read_zone(r, rest);
		break;
	case SUBMIT:
		read_submit(r, rest);
		break;
	case SECURED:
		read_about_hop(r, CASE_SECURED, rest);
		break;
	case RECEIVED:
		read_about_hop(r, CASE_RECEIVED, rest);
		break;
	case HEARD:
		read_heard(r, CASE_HEARD, rest);
		break;
	case CONNECTED:
		read_about_hop(r, CASE_CONNECTED, rest);
		break;
	case ASKED:
		case_read_asked(r, CASE_ASKED, rest);
		break;
	default:
		read_queued(r, CASE_QUEUED, rest);
	}
	return true;
}

bool case_read_relay_absence(struct case_reader *r, struct span word, struct span rest)
{
	int verb = case_index(word, RELAY_VERBS);

	if (verb < RECEIVED)
		return false;
	if (!is_for_clients(r, word))
		return true;
	if (verb == HEARD)
		read_heard(r, CASE_NOT_HEARD, rest);
	else if (verb == QUEUED)
		read_queued(r, CASE_NOT_QUEUED, rest);
	else if (verb == ASKED)
		case_read_asked(r, CASE_NOT_ASKED, rest);
	else
		read_about_hop(r, verb == RECEIVED ? CASE_NOT_RECEIVED : CASE_NOT_CONNECTED, rest);
	return true;
}

/* What says "as it was submitted" needs a submission that the harness knows. */
static void check_submissions(struct case_reader *r)
{
	struct case_file *c = r->c;
	bool submits = false, is_signed = false;

	for (uint32_t i = 0; i < c->step_count; i++) {
		const struct case_step *s = &c->steps[i];
		submits = submits || s->kind == CASE_SUBMIT;
		is_signed = is_signed ||
			    (s->kind == CASE_SUBMIT && s->submission != NULL && s->submission->is_signed);
		for (uint32_t k = 0; k < s->check_count; k++) {
			if (s->checks[k].kind == CASE_CHECK_UNCHANGED && !submits)
				case_file_error(r, "line %u: nothing was submitted that could come unchanged",
						s->checks[k].line);
			if (s->checks[k].kind == CASE_CHECK_SIGNED && !is_signed)
				case_file_error(r, "line %u: no submission is signed", s->checks[k].line);
		}
	}
}

/* Whether a zone line gives the name a record. */
static bool says_address(const struct case_file *c, const char *name)
{
	for (uint32_t k = 0; k < c->step_count; k++)
		if (c->steps[k].kind == CASE_ZONE && c->steps[k].name != NULL &&
		    strcmp(c->steps[k].name, name) == 0 &&
		    (c->steps[k].zone == CASE_ZONE_RECORD || c->steps[k].zone == CASE_ZONE_NOBODY))
			return true;
	return false;
}

void case_check_relay(struct case_reader *r)
{
	struct case_file *c = r->c;

	check_submissions(r);
	for (uint32_t i = 0; i < c->hop_count; i++)
		c->hops[i]->has_address = !says_address(c, c->hops[i]->name);
	for (uint32_t i = 0; i < c->policy_host_count; i++) {
		struct case_policy_host *h = c->policy_hosts[i];
		h->has_address = !says_address(c, h->name);
		if (h->tls.kind == CASE_TLS_NONE)
			h->tls.kind = CASE_TLS_GOOD;
	}
}
