#include "harness/scenario/case_read.h"

#include "base/unit.h"

#include <string.h>

/* The steps of role client: next hops, names, submissions, and what the verdict says of them. */

enum {
	HOP_NAME_BYTES_MAX = 20,
	DEPARTURES_MAX = CASE_DETAILS_MAX,
	OFFERS_MAX = 32,
	RECIPIENTS_MAX = 100,
	LOOKUPS_MAX = 1000,
	TIMES_MAX = 10000,
	PAUSE_MAX_MS = 60000,
};

static bool word_is(struct span word, const char *text)
{
	return span_eq(word, span_of(text));
}

static void nothing_more(struct case_reader *r, struct span rest)
{
	if (span_trim(rest).n > 0)
		case_error(r, span_trim(rest), "nothing belongs here");
}

static struct case_text join(struct case_reader *r, struct case_text a, struct case_text b)
{
	struct case_text t = { .count = a.count + b.count };

	if (t.count == 0)
		return t;
	t.parts = case_alloc(r->c, t.count * sizeof(*t.parts));
	if (a.count > 0)
		memcpy(t.parts, a.parts, a.count * sizeof(*t.parts));
	if (b.count > 0)
		memcpy(t.parts + a.count, b.parts, b.count * sizeof(*t.parts));
	return t;
}

/* ---- next hops ---- */

static bool is_hop_name(struct span s)
{
	if (s.n == 0 || s.n > HOP_NAME_BYTES_MAX || s.p[0] < 'a' || s.p[0] > 'z')
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!(s.p[i] >= 'a' && s.p[i] <= 'z') && !(s.p[i] >= '0' && s.p[i] <= '9') && s.p[i] != '-')
			return false;
	return true;
}

static int find_hop(const struct case_reader *r, struct span name)
{
	for (uint32_t i = 0; i < r->c->hop_count; i++)
		if (span_eq(name, span_of(r->c->hops[i]->name)))
			return (int)i;
	return -1;
}

static void read_next_hop(struct case_reader *r, struct span rest)
{
	struct case_step *s = case_add_step(r, CASE_NEXT_HOP);
	struct case_file *c = r->c;
	char variable[HOP_NAME_BYTES_MAX + 8];

	if (s == NULL)
		return;
	rest = case_without_comment(rest, false);
	if (rest.n > 0 && rest.p[rest.n - 1] == ':')
		rest.n--;
	struct span name = case_word(&rest);
	if (!is_hop_name(name))
		case_error(r, name.n > 0 ? name : r->line,
			   "a next hop has a name of at most %d small letters, digits and hyphens",
			   HOP_NAME_BYTES_MAX);
	else if (find_hop(r, name) >= 0)
		case_error(r, name, "there is a next hop of this name");
	else if (c->hop_count == CASE_HOPS_MAX)
		case_error(r, name, "more than %d next hops", CASE_HOPS_MAX);
	else {
		nothing_more(r, rest);
		r->hop = case_alloc(c, sizeof(*r->hop));
		*r->hop = (struct case_hop){ .name = case_keep(c, name), .line = r->line_number };
		s->hop = c->hop_count;
		c->hops[c->hop_count++] = r->hop;
		(void)snprintf(variable, sizeof(variable), "%s.ip", r->hop->name);
		case_bind(r, span_of(variable));
	}
}

/* ---- where it departs ---- */

static const char *const STAGES[CASE_STAGE_COUNT + 1] = { "greeting", "ehlo", "helo", "starttls", "handshake",
							  "mail",     "rcpt", "data", "bdat",     "final-dot",
							  "rset",     "quit", NULL };

/* "2", "2-4", "2+" */
static bool read_times(struct span s, struct case_departure *d)
{
	uint64_t from = 0, to = 0;
	size_t n = 0;

	while (n < s.n && s.p[n] >= '0' && s.p[n] <= '9')
		n++;
	if (!span_to_u64(span_sub(s, 0, n), &from) || from < 1 || from > TIMES_MAX)
		return false;
	d->from_nth = (uint32_t)from;
	d->count = 1;
	if (n == s.n)
		return true;
	if (s.p[n] == '+') {
		d->count = 0;
		return n + 1 == s.n;
	}
	if (s.p[n] != '-' || !span_to_u64(span_sub(s, n + 1, s.n), &to) || to < from || to > TIMES_MAX)
		return false;
	d->count = (uint32_t)(to - from) + 1;
	return true;
}

/* What stands between "at" and the colon. */
static bool read_place(struct case_reader *r, struct span place, struct case_departure *d)
{
	struct span word = case_word(&place);
	int stage = case_index(word, STAGES);

	if (stage < 0) {
		case_unknown(r, word, "stage", STAGES);
		return false;
	}
	d->stage = (enum case_stage)stage;
	for (word = case_word(&place); word.n > 0; word = case_word(&place)) {
		bool digits = word.p[0] >= '0' && word.p[0] <= '9';
		bool has_path = d->stage == CASE_AT_MAIL || d->stage == CASE_AT_RCPT;
		if (digits && span_find(word, '@') == word.n && d->from_nth == 0) {
			if (read_times(word, d))
				continue;
			case_error(r, word, "which time? 2, 2-4 or 2+");
			return false;
		}
		if (digits || !has_path || d->path.count > 0) {
			case_error(r, word, "it goes: at rcpt joe@ 2: 450 4.2.1 busy");
			return false;
		}
		d->path = case_text_of(r, word, false);
	}
	return true;
}

static bool take_pause(struct case_reader *r, struct span *rest, struct case_departure *d)
{
	size_t n = span_find(span_sub(*rest, 1, rest->n), '~');

	if (rest->p[0] != '~')
		return true;
	if (n + 1 >= rest->n || !unit_parse_duration_ms(span_sub(*rest, 1, n), &d->pause_ms) ||
	    d->pause_ms <= 0 || d->pause_ms > PAUSE_MAX_MS) {
		case_error(r, *rest, "a pause is a duration up to 60s between tildes, as in ~20ms~");
		return false;
	}
	*rest = span_trim(span_sub(*rest, n + 2, rest->n));
	return true;
}

static bool take_then(struct span *rest, struct span then)
{
	if (rest->n <= then.n || !span_eq(span_sub(*rest, rest->n - then.n, rest->n), then))
		return false;
	*rest = span_trim(span_sub(*rest, 0, rest->n - then.n));
	return true;
}

static void note_kill(struct case_reader *r, struct case_departure *d)
{
	d->kills = true;
	if (!case_has_tag(r->c, "alone"))
		case_error(r, r->line, "a case that does this to the server is to be tagged alone");
}

/* flood "250-more\r\n", flood ~100ms~ "250-more\r\n" */
static bool read_flood(struct case_reader *r, struct span rest, struct case_departure *d)
{
	d->act = CASE_ACT_FLOOD;
	d->raw = true;
	if (!case_take_segments(r, rest, &d->segments, &d->segment_count))
		return false;
	if (d->segment_count == 1)
		return true;
	case_error(r, rest, "it goes: flood \"250-more\\r\\n\", or flood ~100ms~ \"250-more\\r\\n\"");
	return false;
}

/* One line of a reply. */
static bool read_reply(struct case_reader *r, struct span rest, struct case_departure *d)
{
	uint64_t code;

	if (!span_to_u64(span_sub(rest, 0, 3), &code) || code < 200 || code > 599) {
		case_error(r, rest,
			   "close, reset, silence, kill, flood, a reply as in 450 4.2.1 busy, or bytes in "
			   "quotes belong here");
		return false;
	}
	d->segments = case_alloc(r->c, sizeof(*d->segments));
	d->segments[0] = (struct case_segment){ .text = case_text_of(r, rest, false) };
	d->segment_count = 1;
	return true;
}

static bool read_act(struct case_reader *r, struct span rest, struct case_departure *d)
{
	static const char *const ACTS[] = { "close", "reset", "silence", "kill", NULL };
	static const enum case_act MEANT[] = { CASE_ACT_CLOSE, CASE_ACT_RESET, CASE_ACT_SILENCE,
					       CASE_ACT_SILENCE };
	struct span flood = rest;

	if (rest.n == 0) {
		case_error(r, r->line, "what happens there?");
		return false;
	}
	bool quoted = rest.p[0] == '"';
	if (!quoted && !take_pause(r, &rest, d))
		return false;
	int act = case_index(rest, ACTS);
	if (act >= 0) {
		d->act = MEANT[act];
		if (word_is(rest, "kill"))
			note_kill(r, d);
		return true;
	}
	if (word_is(case_word(&flood), "flood") && d->stage != CASE_AT_HANDSHAKE)
		return read_flood(r, span_trim(flood), d);
	if (take_then(&rest, SPAN_LIT(" then kill")))
		note_kill(r, d);
	else if (take_then(&rest, SPAN_LIT(" then close")))
		d->act = CASE_ACT_CLOSE;
	d->raw = rest.n > 0 && rest.p[0] == '"';
	if (d->stage == CASE_AT_HANDSHAKE && !d->raw) {
		case_error(r, rest,
			   "close, reset, silence, or bytes in quotes: nobody replies to a handshake");
		return false;
	}
	return d->raw ? case_take_segments(r, rest, &d->segments, &d->segment_count) : read_reply(r, rest, d);
}

/* at STAGE [PATH] [TIMES]: what happens */
static void read_at(struct case_reader *r, struct span rest)
{
	struct case_hop *h = r->hop;
	struct case_departure d = { .line = r->line_number };
	size_t n = 0;

	rest = span_trim(rest);
	while (n < rest.n && !(rest.p[n] == ':' && (n + 1 == rest.n || rest.p[n + 1] == ' ')))
		n++;
	if (n == rest.n) {
		case_error(r, rest.n > 0 ? rest : r->line, "it goes: at rcpt 2: 450 4.2.1 busy");
		return;
	}
	if (!read_place(r, span_sub(rest, 0, n), &d) ||
	    !read_act(r, span_trim(span_sub(rest, n + 1, rest.n)), &d))
		return;
	if (h->departure_count == DEPARTURES_MAX) {
		case_error(r, r->line, "more than %d departures", DEPARTURES_MAX);
		return;
	}
	if (h->departures == NULL)
		h->departures = case_alloc(r->c, DEPARTURES_MAX * sizeof(d));
	h->departures[h->departure_count++] = d;
}

/* "LIMITS=RCPTMAX=2,MAILMAX=5" is the line "LIMITS RCPTMAX=2 MAILMAX=5". */
static void read_offers(struct case_reader *r, struct span rest)
{
	struct case_hop *h = r->hop;

	if (h->says_offers)
		case_error(r, r->line, "\"offers\" stands here twice");
	h->says_offers = true;
	h->offers = case_alloc(r->c, OFFERS_MAX * sizeof(*h->offers));
	for (struct span word = case_word(&rest); word.n > 0; word = case_word(&rest)) {
		if (word_is(word, "nothing") && h->offer_count == 0 && span_trim(rest).n == 0)
			return;
		if (h->offer_count == OFFERS_MAX) {
			case_error(r, word, "more than %d extensions", OFFERS_MAX);
			return;
		}
		char *kept = case_alloc(r->c, word.n + 1);
		size_t equals = span_find(word, '=');
		for (size_t i = 0; i < word.n; i++)
			kept[i] = i == equals || word.p[i] == ',' ? ' ' : word.p[i];
		h->offers[h->offer_count++] = kept;
	}
}

/* What becomes known of a next hop's certificate: ${mx.cert}, ${mx.ca-key.sha256} and their like. */
static void bind_certificate(struct case_reader *r)
{
	char variable[HOP_NAME_BYTES_MAX + 24];

	for (uint32_t i = 0; i < CASE_CERT_VARIABLES; i++) {
		(void)snprintf(variable, sizeof(variable), "%s.%s", r->hop->name, case_cert_variable(i));
		case_bind(r, span_of(variable));
	}
}

static void read_tls_names(struct case_reader *r, struct span rest)
{
	struct case_hop *h = r->hop;

	h->tls_names = case_alloc(r->c, CASE_TLS_NAMES_MAX * sizeof(*h->tls_names));
	for (struct span word = case_word(&rest); word.n > 0; word = case_word(&rest)) {
		if (h->tls_name_count == CASE_TLS_NAMES_MAX) {
			case_error(r, word, "more than %d names", CASE_TLS_NAMES_MAX);
			return;
		}
		h->tls_names[h->tls_name_count++] = case_text_of(r, word, false);
	}
	if (h->tls_name_count == 0)
		case_error(r, r->line, "for which names? tls for *.${zone}");
}

/* tls [KIND] [for NAME ...] */
static void read_tls(struct case_reader *r, struct span rest)
{
	static const char *const KINDS[] = {
		"good",       "wrong-name",       "self-signed",    "expired", "not-yet-valid",
		"unknown-ca", "common-name-only", "constrained-ca", NULL
	};
	struct span after = rest;
	struct span word = case_word(&after);
	int kind = word.n == 0 || word_is(word, "for") ? 0 : case_index(word, KINDS);

	if (kind < 0) {
		case_unknown(r, word, "certificate", KINDS);
		return;
	}
	if (r->hop->tls != CASE_TLS_NONE)
		case_error(r, r->line, "\"tls\" stands here twice");
	r->hop->tls = (enum case_tls)(CASE_TLS_GOOD + kind);
	bind_certificate(r);
	if (!word_is(word, "for")) {
		rest = after;
		word = case_word(&after);
	}
	if (word_is(word, "for"))
		read_tls_names(r, after);
	else
		nothing_more(r, rest);
}

static void read_tls_version(struct case_reader *r, struct span rest)
{
	static const char *const VERSIONS[] = { "1.1", "1.2", "1.3", NULL };
	struct span word = case_word(&rest);

	if (case_index(word, VERSIONS) < 0)
		case_unknown(r, word.n > 0 ? word : r->line, "version", VERSIONS);
	else
		r->hop->tls_version = case_keep(r->c, word);
	nothing_more(r, rest);
}

void case_read_hop_detail(struct case_reader *r)
{
	static const char *const WORDS[] = { "at", "offers", "tls", "absent", "ipv6", "tls-version", NULL };
	struct span rest = case_without_comment(r->line, true);
	struct span word = case_word(&rest);

	switch (case_index(word, WORDS)) {
	case 0:
		read_at(r, rest);
		return;
	case 1:
		read_offers(r, rest);
		return;
	case 2:
		read_tls(r, rest);
		return;
	case 3:
		r->hop->absent = true;
		nothing_more(r, rest);
		return;
	case 4:
		r->hop->ipv6 = true;
		nothing_more(r, rest);
		/* On loopback there is one IPv6 address, for one case at a time. */
		if (!case_has_tag(r->c, "alone"))
			case_error(r, r->line, "a case with IPv6 is to be tagged alone");
		return;
	case 5:
		read_tls_version(r, rest);
		return;
	default:
		case_unknown(r, word, "way to depart", WORDS);
	}
}

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

	if (!word_is(type, "A") || !word_is(word, "nobody"))
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
	r->c->says_mx = r->c->says_mx || word_is(owner, "@");
	if (fault >= 0) {
		s->zone = MEANT[fault];
		if (s->zone >= CASE_ZONE_BOGUS &&
		    (r->c->tls_policy == NULL || strcmp(r->c->tls_policy, "dane") != 0))
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
	rest = case_without_comment(rest, false);
	if (rest.n > 0 && rest.p[rest.n - 1] == ':')
		rest.n--;
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
	nothing_more(r, rest);
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
		m->from = case_text_of(r, word_is(word, "<>") ? (struct span){ 0 } : word, false);
		nothing_more(r, rest);
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
		m->content = join(r, m->content, text);
		nothing_more(r, rest);
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
	int hop = find_hop(r, name);
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
	rest = case_without_comment(rest, false);
	if (rest.n > 0 && rest.p[rest.n - 1] == ':')
		rest.n--;
	case_take_within(r, &rest, s);
	if (!take_hop(r, &rest, &s->hop))
		return;
	struct span more = rest;
	if (kind == CASE_CONNECTED && word_is(case_word(&more), "before")) {
		s->has_other_hop = take_hop(r, &more, &s->other_hop);
		rest = more;
	}
	nothing_more(r, rest);
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
		if (!word_is(word, "not") && !word_is(word, "queued") && word.n > 0)
			case_error(r, word, "nothing belongs here");
	}
}

/* The last four have a "not" of their own. */
enum relay_verb { NEXT_HOP, ZONE, SUBMIT, SECURED, RECEIVED, HEARD, CONNECTED, QUEUED };
static const char *const RELAY_VERBS[] = {
	[NEXT_HOP] = "next-hop",   [ZONE] = "zone",         [SUBMIT] = "submit",
	[SECURED] = "secured",     [RECEIVED] = "received", [HEARD] = "heard",
	[CONNECTED] = "connected", [QUEUED] = "queued",     NULL
};

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
		read_next_hop(r, rest);
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
	else
		read_about_hop(r, verb == RECEIVED ? CASE_NOT_RECEIVED : CASE_NOT_CONNECTED, rest);
	return true;
}

const char *case_cert_variable(uint32_t i)
{
	static const char *const NAMES[CASE_CERT_VARIABLES] = {
		"cert", "cert.sha256", "cert.sha512", "key",    "key.sha256",    "key.sha512",
		"ca",   "ca.sha256",   "ca.sha512",   "ca-key", "ca-key.sha256", "ca-key.sha512",
	};

	return NAMES[i];
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

void case_check_relay(struct case_reader *r)
{
	struct case_file *c = r->c;

	check_submissions(r);
	for (uint32_t i = 0; i < c->hop_count; i++) {
		struct case_hop *h = c->hops[i];
		h->has_address = true;
		for (uint32_t k = 0; k < c->step_count; k++)
			if (c->steps[k].kind == CASE_ZONE && c->steps[k].name != NULL &&
			    strcmp(c->steps[k].name, h->name) == 0 &&
			    (c->steps[k].zone == CASE_ZONE_RECORD || c->steps[k].zone == CASE_ZONE_NOBODY))
				h->has_address = false;
	}
}
