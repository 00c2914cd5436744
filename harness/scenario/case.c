#include "harness/scenario/case.h"

#include "base/file.h"
#include "base/suggest.h"
#include "base/unit.h"
#include "harness/scenario/case_read.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
	DEFAULT_TIMEOUT_MS = 10000,
	TIMEOUT_MAX_MS = 600000,
	WORDS_MAX = 32,
};

/* ---- names ---- */

static const char *const SERVICES[] = { "smtp", "submission", "submissions", "lmtp", "pop3", "pop3s", NULL };
static const char *const LEVELS[] = { "MUST", "MUST NOT", "SHOULD", "SHOULD NOT", "MAY", "IMPLIED", NULL };

const char *case_service_name(enum case_service s)
{
	assert(s < CASE_SERVICE_COUNT);
	return SERVICES[s];
}

bool case_service_is_pop3(enum case_service s)
{
	return s == CASE_POP3 || s == CASE_POP3S;
}

bool case_service_has_tls(enum case_service s)
{
	return s == CASE_SUBMISSIONS || s == CASE_POP3S;
}

const char *case_level_name(enum case_level l)
{
	assert(l < CASE_LEVEL_COUNT);
	return LEVELS[l];
}

/* ---- memory ---- */

struct block {
	struct block *next;
	_Alignas(max_align_t) char bytes[];
};
struct case_memory {
	struct block *first;
};

void *case_alloc(struct case_file *c, size_t bytes)
{
	struct block *b = calloc(1, sizeof(*b) + bytes);

	if (b == NULL)
		abort();
	b->next = c->memory->first;
	c->memory->first = b;
	return b->bytes;
}

const char *case_keep(struct case_file *c, struct span s)
{
	char *p = case_alloc(c, s.n + 1);

	if (s.n > 0)
		memcpy(p, s.p, s.n);
	return p;
}

struct span case_keep_span(struct case_file *c, struct span s)
{
	return (struct span){ case_keep(c, s), s.n };
}

void *case_grow(struct case_file *c, void *items, uint32_t count, uint32_t *room, size_t item_bytes)
{
	if (count < *room)
		return items;
	*room = *room == 0 ? 8 : *room * 2;
	void *more = case_alloc(c, *room * item_bytes);
	if (count > 0)
		memcpy(more, items, count * item_bytes);
	return more;
}

void case_free(struct case_file *c)
{
	if (c == NULL)
		return;
	while (c->memory->first != NULL) {
		struct block *b = c->memory->first;
		c->memory->first = b->next;
		free(b);
	}
	free(c->memory);
	free(c);
}

bool case_has_tag(const struct case_file *c, const char *tag)
{
	for (uint32_t i = 0; i < c->tag_count; i++)
		if (strcmp(c->tags[i], tag) == 0)
			return true;
	return false;
}

bool case_needs(const struct case_file *c, const char *ability)
{
	for (uint32_t i = 0; i < c->ability_count; i++)
		if (strcmp(c->abilities[i], ability) == 0)
			return true;
	return false;
}

bool case_compare(uint64_t a, enum case_op op, uint64_t b)
{
	return op == CASE_AT_LEAST ? a >= b : op == CASE_AT_MOST ? a <= b : a == b;
}

bool case_step_is_mailbox(enum case_step_kind k)
{
	return k >= CASE_MAIL && k <= CASE_NOT_NOTIFIED;
}

/* ---- words ---- */

struct span case_word(struct span *rest)
{
	struct span s = span_trim(*rest);
	size_t n = 0;

	while (n < s.n && s.p[n] != ' ' && s.p[n] != '\t')
		n++;
	*rest = span_sub(s, n, s.n);
	return span_sub(s, 0, n);
}

struct span case_without_comment(struct span s, bool has_quotes)
{
	bool quoted = false;

	for (size_t i = 0; i < s.n; i++) {
		if (has_quotes && quoted && s.p[i] == '\\')
			i++;
		else if (has_quotes && s.p[i] == '"')
			quoted = !quoted;
		else if (!quoted && s.p[i] == '#' && i >= 2 && s.p[i - 1] == ' ' && s.p[i - 2] == ' ')
			return span_trim(span_sub(s, 0, i));
	}
	return span_trim(s);
}

struct span case_without_colon(struct span s)
{
	s = case_without_comment(s, false);
	return s.n > 0 && s.p[s.n - 1] == ':' ? span_sub(s, 0, s.n - 1) : s;
}

int case_index(struct span word, const char *const *names)
{
	for (int i = 0; names[i] != NULL; i++)
		if (span_eq(word, span_of(names[i])))
			return i;
	return -1;
}

bool case_word_is(struct span word, const char *text)
{
	return span_eq(word, span_of(text));
}

void case_nothing_more(struct case_reader *r, struct span rest)
{
	if (span_trim(rest).n > 0)
		case_error(r, span_trim(rest), "nothing belongs here");
}

void case_unknown(struct case_reader *r, struct span word, const char *what, const char *const *names)
{
	char given[64];
	size_t count = 0;

	while (names[count] != NULL)
		count++;
	const char *near = span_copy(word, given, sizeof(given)) ? suggest_name(given, names, count) : NULL;
	if (near != NULL)
		case_error(r, word, "unknown %s \"%.*s\"; did you mean \"%s\"?", what, SPAN_FMT(word), near);
	else
		case_error(r, word, "unknown %s \"%.*s\"", what, SPAN_FMT(word));
}

/* ---- header ---- */

static void read_case(struct case_reader *r, struct span value)
{
	r->c->id = case_keep(r->c, value);
	if (r->wanted_id != NULL && !span_eq(value, span_of(r->wanted_id)))
		case_error(r, value, "the file's place makes its name \"%s\"", r->wanted_id);
}

static void read_title(struct case_reader *r, struct span value)
{
	r->c->title = case_keep(r->c, value);
}

static bool is_req_id(struct span s)
{
	if (s.n < 8 || memcmp(s.p, "RFC", 3) != 0)
		return false;
	for (size_t i = 3; i < s.n; i++) {
		char c = s.p[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
		if (!letter && c != '-' && c != '.')
			return false;
	}
	return true;
}

static void read_req(struct case_reader *r, struct span value)
{
	struct case_file *c = r->c;
	struct span rest = value;
	struct span id = case_word(&rest);
	int level = case_index(span_trim(rest), LEVELS);

	if (!is_req_id(id)) {
		case_error(r, id, "no requirement; RFC5321-4.5.2-leading-dot-deleted is one");
		return;
	}
	if (level < 0) {
		case_error(
			r, rest.n > 0 ? span_trim(rest) : id,
			"behind the requirement stands MUST, MUST NOT, SHOULD, SHOULD NOT, MAY or IMPLIED");
		return;
	}
	if (c->req_count == CASE_REQS_MAX) {
		case_error(r, id, "more than %d requirements", CASE_REQS_MAX);
		return;
	}
	if (c->reqs == NULL)
		c->reqs = case_alloc(c, CASE_REQS_MAX * sizeof(*c->reqs));
	c->reqs[c->req_count++] = (struct case_req){ case_keep(c, id), (enum case_level)level };
}

static void read_role(struct case_reader *r, struct span value)
{
	static const char *const ROLES[] = { "server", "client", NULL };
	int role = case_index(value, ROLES);

	if (role < 0)
		case_error(r, value, "the role is \"server\" or \"client\"");
	else
		r->c->role = (enum case_role)role;
	if (role == CASE_ROLE_CLIENT)
		r->c->needs_mailbox = true; /* of the sender */
}

static bool is_keyword(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (!(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') && c != '-' && c != '=')
			return false;
	}
	return s.n > 0;
}

static const char *const ABILITIES[] = {
	"short-retry",   "short-delay", "short-timeout", "tls-require", "tls-verify",
	"dane",          "lists",       "utf8-mailbox",  "ipv6",        "address-literals",
	"lmtp-next-hop", "login",       "login-verify",  "login-long",  "mta-sts",
	"own-timeouts",  "smart-host",  "dane-require",  NULL
};

/* Of these a case has one; the second is a label of its domain's name. */
static const struct {
	const char *need, *policy;
} POLICIES[] = {
	{ "tls-require", "require" },       { "tls-verify", "verify" },     { "dane", "dane" },
	{ "dane-require", "dane-require" }, { "lmtp-next-hop", "lmtp" },    { "login", "login" },
	{ "login-verify", "login-verify" }, { "login-long", "login-long" }, { "smart-host", "smart-host" }
};
enum { POLICY_COUNT = sizeof(POLICIES) / sizeof(POLICIES[0]) };

static void add_name(struct buf *out, const char *name)
{
	buf_addf(out, "%s\"%s\"", buf_bytes(out) > 0 ? ", " : "", name);
}

static void take_policy(struct case_reader *r, struct span ability)
{
	for (size_t i = 0; i < POLICY_COUNT; i++) {
		if (!span_eq(ability, span_of(POLICIES[i].need)))
			continue;
		if (r->c->policy != NULL) {
			struct buf names = { 0 };
			for (size_t k = 0; k < POLICY_COUNT; k++)
				add_name(&names, POLICIES[k].need);
			case_error(r, ability, "of %s a case has one", buf_cstr(&names));
			buf_free(&names);
		}
		r->c->policy = POLICIES[i].policy;
	}
}

static void no_such_need(struct case_reader *r, struct span word)
{
	struct buf names = { 0 };

	add_name(&names, "mailbox");
	for (size_t i = 0; ABILITIES[i] != NULL; i++)
		add_name(&names, ABILITIES[i]);
	case_error(r, word, "needs are services, %s, and extensions in capitals", buf_cstr(&names));
	buf_free(&names);
}

const char *case_alias_policy(uint32_t i)
{
	static const char *const LED_TO[CASE_ALIAS_POLICIES] = { NULL, "require", "verify", "dane" };

	return LED_TO[i];
}

static bool aliases_lead_to(const char *policy)
{
	for (uint32_t i = 0; i < CASE_ALIAS_POLICIES; i++) {
		const char *one = case_alias_policy(i);
		if (one == policy || (one != NULL && policy != NULL && strcmp(one, policy) == 0))
			return true;
	}
	return false;
}

static void read_needs(struct case_reader *r, struct span value)
{
	struct case_file *c = r->c;
	bool any = false;

	c->keywords = case_alloc(c, WORDS_MAX * sizeof(*c->keywords));
	c->abilities = case_alloc(c, WORDS_MAX * sizeof(*c->abilities));
	for (struct span word = case_word(&value); word.n > 0; word = case_word(&value)) {
		int service = case_index(word, SERVICES);
		if (service >= 0) {
			if (!any)
				c->service = (enum case_service)service;
			any = c->services[service] = true;
		} else if (span_eq(word, SPAN_LIT("mailbox"))) {
			c->needs_mailbox = true;
		} else if (case_index(word, ABILITIES) >= 0 && c->ability_count < WORDS_MAX) {
			c->abilities[c->ability_count++] = case_keep(c, word);
			take_policy(r, word);
		} else if (is_keyword(word) && c->keyword_count < WORDS_MAX) {
			c->keywords[c->keyword_count++] = case_keep(c, word);
		} else {
			no_such_need(r, word);
		}
	}
	if (case_needs(c, "lists") && !aliases_lead_to(c->policy))
		case_error(r, value,
			   "aliases lead to no such domain: of policies, beside \"lists\" there are "
			   "\"tls-require\", \"tls-verify\" and \"dane\"");
	if (!any)
		case_error(r, value,
			   "which service does the case speak to? smtp, submission, submissions, "
			   "lmtp, pop3 or pop3s");
}

static void read_speaks(struct case_reader *r, struct span value)
{
	struct case_file *c = r->c;

	if (c->role != CASE_ROLE_CLIENT)
		case_error(r, value, "only a relay speaks to next hops; \"role: client\" stands above");
	c->speaks = case_alloc(c, WORDS_MAX * sizeof(*c->speaks));
	for (struct span word = case_word(&value); word.n > 0; word = case_word(&value)) {
		if (is_keyword(word) && c->speaks_count < WORDS_MAX)
			c->speaks[c->speaks_count++] = case_keep(c, word);
		else
			case_error(r, word, "extensions in capitals belong here");
	}
}

static void read_timeout(struct case_reader *r, struct span value)
{
	int64_t ms;

	r->c->says_timeout = true;
	if (unit_parse_duration_ms(value, &ms) && ms > 0 && ms <= TIMEOUT_MAX_MS)
		r->c->timeout_ms = ms;
	else
		case_error(r, value, "a duration up to 10m belongs here, as in 10s");
}

static void read_tags(struct case_reader *r, struct span value)
{
	static const char *const TAGS[] = { "slow", "intrusive", "alone", NULL };
	struct case_file *c = r->c;

	c->tags = case_alloc(c, WORDS_MAX * sizeof(*c->tags));
	for (struct span word = case_word(&value); word.n > 0; word = case_word(&value)) {
		if (case_index(word, TAGS) < 0 || c->tag_count == WORDS_MAX)
			case_unknown(r, word, "tag", TAGS);
		else
			c->tags[c->tag_count++] = case_keep(c, word);
	}
}

static const struct header_key {
	const char *name;
	void (*read)(struct case_reader *r, struct span value);
	bool must, often;
} KEYS[] = {
	{ "case", read_case, true, false },   { "title", read_title, true, false },
	{ "req", read_req, true, true },      { "role", read_role, true, false },
	{ "needs", read_needs, true, false }, { "timeout", read_timeout, false, false },
	{ "tags", read_tags, false, false },  { "speaks", read_speaks, false, false },
};
enum { KEY_COUNT = sizeof(KEYS) / sizeof(KEYS[0]) };

static void read_header(struct case_reader *r)
{
	struct span line = case_without_comment(r->line, false);
	size_t colon = span_find(line, ':');
	struct span key = span_sub(line, 0, colon);
	struct span value = span_trim(span_sub(line, colon + 1, line.n));
	const char *names[KEY_COUNT + 1] = { 0 };

	for (size_t i = 0; i < KEY_COUNT; i++)
		names[i] = KEYS[i].name;
	int index = colon < line.n ? case_index(key, names) : -1;
	if (index < 0) {
		case_unknown(r, key, "header line", names);
		return;
	}
	if (r->said[index] && !KEYS[index].often) {
		case_error(r, key, "\"%s:\" stands here twice", KEYS[index].name);
		return;
	}
	r->said[index] = true;
	if (value.n == 0)
		case_error(r, key, "nothing stands behind \"%s:\"", KEYS[index].name);
	else
		KEYS[index].read(r, value);
}

/* ---- sections and lines ---- */

static uint32_t req_index(struct case_reader *r, struct span id)
{
	const char *names[CASE_REQS_MAX + 1] = { 0 };

	for (uint32_t i = 0; i < r->c->req_count; i++)
		names[i] = r->c->reqs[i].id;
	int index = case_index(id, names);
	if (index < 0)
		case_unknown(r, id, "requirement of this case", names);
	return index < 0 ? 0 : (uint32_t)index;
}

static void read_section(struct case_reader *r)
{
	struct case_file *c = r->c;
	struct span rest = case_without_comment(span_sub(r->line, 2, r->line.n), false);
	struct case_section s = { 0 };

	r->in_steps = true;
	r->step = NULL;
	r->hop = NULL;
	r->answer = NULL;
	r->policy_host = NULL;
	r->submission = NULL;
	if (rest.n == 0) {
		case_error(r, r->line, "the section has no name");
		return;
	}
	struct span all = rest;
	s.judges = span_eq(case_word(&rest), SPAN_LIT("verdict"));
	rest = span_trim(rest);
	if (s.judges && rest.n > 0)
		s.req = req_index(r, rest);
	s.name = case_keep(c, all);
	c->sections = case_grow(c, c->sections, c->section_count, &r->section_room, sizeof(s));
	c->sections[c->section_count++] = s;
}

static void read_line(struct case_reader *r)
{
	struct span line = r->line;

	if (line.n == 0 || line.p[0] == '#')
		return;
	if (span_find(line, '\r') < line.n)
		case_error(r, span_sub(line, span_find(line, '\r'), 1),
			   "a case file has LF alone at its line ends");
	else if (line.p[line.n - 1] == ' ' || line.p[line.n - 1] == '\t')
		case_error(r, span_sub(line, line.n - 1, 1),
			   "blanks at the end of a line cannot be seen; write C| \"x \\r\\n\" when they are "
			   "meant");
	if (line.n >= 2 && line.p[0] == '=' && line.p[1] == '=')
		read_section(r);
	else if (line.p[0] == ' ' || line.p[0] == '\t')
		case_read_detail(r);
	else if (!r->in_steps)
		read_header(r);
	else
		case_read_step(r);
}

static bool is_utf8(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		size_t more = c < 0x80                ? 0
			      : c >= 0xc2 && c < 0xe0 ? 1
			      : c >= 0xe0 && c < 0xf0 ? 2
			      : c >= 0xf0 && c < 0xf5 ? 3
						      : 9;
		if (more > s.n - i - 1)
			return false;
		for (; more > 0; more--)
			if (((unsigned char)s.p[++i] & 0xc0) != 0x80)
				return false;
	}
	return true;
}

static void check_whole(struct case_reader *r)
{
	const struct case_file *c = r->c;
	bool judged = false;

	for (size_t i = 0; i < KEY_COUNT; i++)
		if (KEYS[i].must && !r->said[i])
			case_file_error(r, "the header has no \"%s:\"", KEYS[i].name);
	for (uint32_t i = 0; i < c->step_count; i++) {
		enum case_step_kind k = c->steps[i].kind;
		judged = judged || (c->sections[c->steps[i].section].judges && k != CASE_SEND &&
				    k != CASE_LET && k != CASE_MAIL && k != CASE_ZONE && k != CASE_NEXT_HOP &&
				    k != CASE_SUBMIT && k != CASE_SERVER);
	}
	if (!judged)
		case_file_error(r,
				"nothing is judged: a section \"== verdict\" with an expectation is missing");
	case_check_relay(r);
}

static void read_lines(struct case_reader *r)
{
	struct span rest = r->text;

	if (memchr(rest.p != NULL ? rest.p : "", '\0', rest.n) != NULL || !is_utf8(rest)) {
		case_file_error(r, "the file is not UTF-8 text");
		return;
	}
	while (rest.n > 0) {
		size_t n = span_find(rest, '\n');
		r->line = span_sub(rest, 0, n);
		r->line_number++;
		read_line(r);
		rest = span_sub(rest, n + 1, rest.n);
	}
	r->line = (struct span){ 0 };
	check_whole(r);
}

struct case_file *case_read(const struct case_options *o)
{
	struct case_reader r = { .path = o->path, .wanted_id = o->id, .messages = o->ret_messages };
	struct buf text = { 0 };
	struct err e;

	r.c = calloc(1, sizeof(*r.c));
	if (r.c == NULL || (r.c->memory = calloc(1, sizeof(*r.c->memory))) == NULL)
		abort();
	r.c->path = case_keep(r.c, span_of(o->path));
	r.c->timeout_ms = DEFAULT_TIMEOUT_MS;
	if (o->text.p == NULL && file_read(o->path, CASE_BYTES_MAX, &text, &e) != 0) {
		r.error_count++;
		buf_addf(r.messages, "%s\n", e.text);
	} else {
		r.text = o->text.p != NULL ? o->text : buf_span(&text);
		if (r.text.n > CASE_BYTES_MAX)
			case_file_error(&r, "more than %d bytes", CASE_BYTES_MAX);
		else
			read_lines(&r);
	}
	buf_free(&text);
	if (o->ret_error_count != NULL)
		*o->ret_error_count += r.error_count;
	if (r.error_count == 0)
		return r.c;
	case_free(r.c);
	return NULL;
}
