#include "harness/scenario/case_read.h"

#include "base/unit.h"

#include <string.h>

/* Next hops, and where they depart from what is usual. */

enum {
	DEPARTURES_MAX = CASE_DETAILS_MAX,
	OFFERS_MAX = 32,
	TIMES_MAX = 10000,
	PAUSE_MAX_MS = 600000,
};

/* ---- names ---- */

static bool is_host_name(struct span s)
{
	if (s.n == 0 || s.n > CASE_HOST_NAME_BYTES_MAX || s.p[0] < 'a' || s.p[0] > 'z')
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!(s.p[i] >= 'a' && s.p[i] <= 'z') && !(s.p[i] >= '0' && s.p[i] <= '9') && s.p[i] != '-')
			return false;
	return true;
}

struct span case_take_host_name(struct case_reader *r, struct span *rest, const char *what)
{
	*rest = case_without_colon(*rest);
	struct span name = case_word(rest);
	if (is_host_name(name))
		return name;
	case_error(r, name.n > 0 ? name : r->line,
		   "%s has a name of at most %d small letters, digits and hyphens", what,
		   CASE_HOST_NAME_BYTES_MAX);
	return (struct span){ 0 };
}

int case_find_hop(const struct case_reader *r, struct span name)
{
	for (uint32_t i = 0; i < r->c->hop_count; i++)
		if (span_eq(name, span_of(r->c->hops[i]->name)))
			return (int)i;
	return -1;
}

void case_read_next_hop(struct case_reader *r, struct span rest)
{
	struct case_step *s = case_add_step(r, CASE_NEXT_HOP);
	struct case_file *c = r->c;
	char variable[CASE_HOST_NAME_BYTES_MAX + 8];

	if (s == NULL)
		return;
	struct span name = case_take_host_name(r, &rest, "a next hop");
	if (name.n == 0)
		return;
	if (case_find_hop(r, name) >= 0)
		case_error(r, name, "there is a next hop of this name");
	else if (case_find_policy_host(r, name) >= 0)
		case_error(r, name, "there is a policy host of this name");
	else if (c->hop_count == CASE_HOPS_MAX)
		case_error(r, name, "more than %d next hops", CASE_HOPS_MAX);
	else {
		case_nothing_more(r, rest);
		r->hop = case_alloc(c, sizeof(*r->hop));
		*r->hop = (struct case_hop){ .name = case_keep(c, name), .line = r->line_number };
		s->hop = c->hop_count;
		c->hops[c->hop_count++] = r->hop;
		(void)snprintf(variable, sizeof(variable), "%s.ip", r->hop->name);
		case_bind(r, span_of(variable));
	}
}

/* ---- where it departs ---- */

static const char *const STAGES[CASE_STAGE_COUNT + 1] = { "greeting",  "ehlo",      "helo", "starttls",
							  "handshake", "mail",      "rcpt", "data",
							  "bdat",      "final-dot", "rset", "quit",
							  "challenge", "auth",      NULL };

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
		bool has_path = d->stage == CASE_AT_MAIL || d->stage == CASE_AT_RCPT ||
				(d->stage == CASE_AT_FINAL_DOT && r->hop->lmtp);
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
		case_error(r, *rest, "a pause is a duration up to 10m between tildes, as in ~20ms~");
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
		if (case_word_is(rest, "kill"))
			note_kill(r, d);
		return true;
	}
	if (case_word_is(case_word(&flood), "flood") && d->stage != CASE_AT_HANDSHAKE)
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
		if (case_word_is(word, "nothing") && h->offer_count == 0 && span_trim(rest).n == 0)
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
	char variable[CASE_HOST_NAME_BYTES_MAX + 24];

	for (uint32_t i = 0; i < CASE_CERT_VARIABLES; i++) {
		(void)snprintf(variable, sizeof(variable), "%s.%s", r->hop->name, case_cert_variable(i));
		case_bind(r, span_of(variable));
	}
}

/* login PLAIN SCRAM-SHA-256 */
static void read_login(struct case_reader *r, struct span rest)
{
	static const char *const MECHANISMS[] = { "PLAIN", "LOGIN", "SCRAM-SHA-256", NULL };

	r->hop->login = case_keep(r->c, span_trim(rest));
	if (span_trim(rest).n == 0)
		case_error(r, r->line, "by which mechanisms? login PLAIN SCRAM-SHA-256");
	for (struct span word = case_word(&rest); word.n > 0; word = case_word(&rest))
		if (case_index(word, MECHANISMS) < 0)
			case_unknown(r, word, "mechanism", MECHANISMS);
}

static void read_scram(struct case_reader *r, struct span rest)
{
	static const char *const WAYS[] = { "wrong-signature", "foreign-nonce", NULL };
	struct span word = case_word(&rest);
	int way = case_index(word, WAYS);

	if (way < 0)
		case_unknown(r, word.n > 0 ? word : r->line, "way of SCRAM", WAYS);
	else
		r->hop->scram = (enum case_scram)(CASE_SCRAM_WRONG_SIGNATURE + way);
	case_nothing_more(r, rest);
}

void case_read_hop_detail(struct case_reader *r)
{
	static const char *const WORDS[] = { "at",          "offers", "tls",   "absent", "ipv6",
					     "tls-version", "lmtp",   "login", "scram",  NULL };
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
		case_read_tls(r, &r->hop->tls, rest);
		bind_certificate(r);
		return;
	case 3:
		r->hop->absent = true;
		case_nothing_more(r, rest);
		return;
	case 4:
		r->hop->ipv6 = true;
		case_nothing_more(r, rest);
		/* On loopback there is one IPv6 address, for one case at a time. */
		if (!case_has_tag(r->c, "alone"))
			case_error(r, r->line, "a case with IPv6 is to be tagged alone");
		return;
	case 5:
		case_read_tls_version(r, &r->hop->tls, rest);
		return;
	case 6:
		r->hop->lmtp = true;
		case_nothing_more(r, rest);
		if (r->c->policy == NULL || strcmp(r->c->policy, "lmtp") != 0)
			case_error(r, r->line,
				   "only to cases that need \"lmtp-next-hop\" does a relay speak LMTP");
		return;
	case 7:
		read_login(r, rest);
		return;
	case 8:
		read_scram(r, rest);
		return;
	default:
		case_unknown(r, word, "way to depart", WORDS);
	}
}
