#include "harness/scenario/case_read.h"

#include <string.h>

enum { PARTS_MAX = 200, CODES_MAX = 12, NAME_BYTES_MAX = 40 };

/* Known without a `let`: see docs/case-format.md. */
static const char *const GIVEN[] = {
	"case.id", "case.sender", "rcpt",      "rcpt2", "rcpt.local", "user",
	"user2",   "password",    "password2", "host",  "domain",     "domain.label",
	"literal", "rcpt2.local", "elsewhere", "plain", "plain2",     NULL,
};
static const char *const GIVEN_WITH_LISTS[] = { "list", NULL }; /* to those that need "lists" */
static const char *const GIVEN_TO_CLIENTS_WITH_LISTS[] = { "alias", "alias2", NULL };
static const char *const GIVEN_TO_CLIENTS[] = { "zone", "sender", "sender2", "port", "host.ip", NULL };

struct case_text case_join(struct case_file *c, struct case_text a, struct case_text b)
{
	struct case_text t = { .count = a.count + b.count };

	if (t.count == 0)
		return t;
	t.parts = case_alloc(c, t.count * sizeof(*t.parts));
	if (a.count > 0)
		memcpy(t.parts, a.parts, a.count * sizeof(*t.parts));
	if (b.count > 0)
		memcpy(t.parts + a.count, b.parts, b.count * sizeof(*t.parts));
	return t;
}

/* ---- names ---- */

bool case_is_name(struct span s)
{
	if (s.n == 0 || s.n > NAME_BYTES_MAX)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
		bool more = (c >= '0' && c <= '9') || c == '-' || c == '.';
		if (!letter && (i == 0 || !more))
			return false;
	}
	return true;
}

static bool is_bound(const struct case_reader *r, struct span name)
{
	bool client = r->c->role == CASE_ROLE_CLIENT, lists = case_needs(r->c, "lists");

	if (case_index(name, GIVEN) >= 0 || (lists && case_index(name, GIVEN_WITH_LISTS) >= 0) ||
	    (client && case_index(name, GIVEN_TO_CLIENTS) >= 0) ||
	    (client && lists && case_index(name, GIVEN_TO_CLIENTS_WITH_LISTS) >= 0))
		return true;
	for (uint32_t i = 0; i < r->bound_count; i++)
		if (span_eq(name, span_of(r->bound[i])))
			return true;
	return false;
}

void case_bind(struct case_reader *r, struct span name)
{
	if (is_bound(r, name))
		return;
	if (r->bound_count < CASE_VARIABLES_MAX)
		r->bound[r->bound_count++] = case_keep(r->c, name);
	else
		case_error(r, name, "more than %d variables", CASE_VARIABLES_MAX);
}

/* ---- parts ---- */

struct builder {
	struct case_part parts[PARTS_MAX];
	uint32_t count;
	struct buf literal;
};

static void end_literal(struct case_reader *r, struct builder *b)
{
	if (buf_bytes(&b->literal) == 0)
		return;
	if (b->count < PARTS_MAX)
		b->parts[b->count++] =
			(struct case_part){ CASE_PART_LITERAL, case_keep_span(r->c, buf_span(&b->literal)) };
	buf_reset(&b->literal);
}

static void add_part(struct case_reader *r, struct builder *b, enum case_part_kind kind, struct span text)
{
	end_literal(r, b);
	if (b->count < PARTS_MAX)
		b->parts[b->count++] = (struct case_part){ kind, case_keep_span(r->c, text) };
	else
		case_error(r, text, "more than %d variables and gaps in one text", PARTS_MAX);
}

static struct case_text finish(struct case_reader *r, struct builder *b)
{
	end_literal(r, b);
	buf_free(&b->literal);
	struct case_text t = { .count = b->count };
	if (b->count > 0) {
		t.parts = case_alloc(r->c, b->count * sizeof(*t.parts));
		memcpy(t.parts, b->parts, b->count * sizeof(*t.parts));
	}
	return t;
}

/* At "${": the variable, or a literal after a mistake.  Consumes it from *s. */
static void take_variable(struct case_reader *r, struct builder *b, struct span *s, bool may_bind)
{
	struct span whole = *s;
	size_t n = span_find(*s, '}');
	struct span name = span_sub(*s, 2, n >= 2 ? n - 2 : 0);

	*s = span_sub(*s, n < s->n ? n + 1 : n, s->n);
	if (n == whole.n || !case_is_name(name)) {
		case_error(r, span_sub(whole, 0, n + 1),
			   "not a variable; ${name} is one, and $${ is a plain \"${\"");
		return;
	}
	if (may_bind)
		case_bind(r, name);
	else if (!is_bound(r, name))
		case_error(r, name, "${%.*s} has no value here; a reply before it or a `let` gives it one",
			   SPAN_FMT(name));
	add_part(r, b, CASE_PART_VARIABLE, name);
}

static bool starts_with(struct span s, const char *what)
{
	size_t n = strlen(what);
	return s.n >= n && memcmp(s.p, what, n) == 0;
}

/* One step through text that may hold variables; escapes are the caller's. */
static void take_one(struct case_reader *r, struct builder *b, struct span *s, bool is_pattern)
{
	if (starts_with(*s, "$${")) {
		buf_add_cstr(&b->literal, "${");
		*s = span_sub(*s, 3, s->n);
	} else if (starts_with(*s, "${")) {
		take_variable(r, b, s, is_pattern);
	} else if (is_pattern && starts_with(*s, "...")) {
		add_part(r, b, CASE_PART_ANY, span_sub(*s, 0, 3));
		*s = span_sub(*s, 3, s->n);
	} else {
		buf_add(&b->literal, span_sub(*s, 0, 1));
		*s = span_sub(*s, 1, s->n);
	}
}

struct case_text case_text_of(struct case_reader *r, struct span s, bool is_pattern)
{
	struct builder b = { 0 };

	while (s.n > 0)
		take_one(r, &b, &s, is_pattern);
	return finish(r, &b);
}

/* ---- quoted strings ---- */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* At a backslash. */
static bool take_escape(struct case_reader *r, struct span *s, struct buf *out)
{
	static const char FROM[] = "rnt0\"\\";
	static const char TO[] = "\r\n\t\0\"\\";
	const char *at = s->n >= 2 && s->p[1] != '\0' ? strchr(FROM, s->p[1]) : NULL;

	if (at != NULL) {
		buf_add(out, (struct span){ TO + (at - FROM), 1 });
		*s = span_sub(*s, 2, s->n);
		return true;
	}
	if (s->n >= 4 && s->p[1] == 'x' && hex_digit(s->p[2]) >= 0 && hex_digit(s->p[3]) >= 0) {
		buf_add_u8(out, (uint8_t)(hex_digit(s->p[2]) * 16 + hex_digit(s->p[3])));
		*s = span_sub(*s, 4, s->n);
		return true;
	}
	case_error(r, span_sub(*s, 0, 2), "there are \\r \\n \\t \\0 \\xNN \\\" and \\\\");
	return false;
}

bool case_take_quoted(struct case_reader *r, struct span *rest, struct case_text *ret_text)
{
	struct builder b = { 0 };
	struct span s = span_trim(*rest);
	struct span whole = s;

	if (s.n == 0 || s.p[0] != '"') {
		case_error(r, s.n > 0 ? s : span_sub(r->line, r->line.n, 0),
			   "a \"quoted text\" belongs here");
		return false;
	}
	s = span_sub(s, 1, s.n);
	while (s.n > 0 && s.p[0] != '"') {
		if (s.p[0] != '\\') {
			take_one(r, &b, &s, false);
		} else if (!take_escape(r, &s, &b.literal)) {
			(void)finish(r, &b);
			return false;
		}
	}
	*ret_text = finish(r, &b);
	if (s.n == 0) {
		case_error(r, whole, "the closing quote is missing");
		return false;
	}
	*rest = span_sub(s, 1, s.n);
	return true;
}

bool case_take_words(struct case_reader *r, struct span *rest, const char **ret_text)
{
	struct span s = span_trim(*rest);
	size_t n = s.n > 0 && s.p[0] == '"' ? span_find(span_sub(s, 1, s.n), '"') : s.n;

	if (s.n < 2 || s.p[0] != '"' || n + 1 >= s.n) {
		case_error(r, s.n > 0 ? s : span_sub(r->line, r->line.n, 0),
			   "an explanation in quotes belongs here");
		return false;
	}
	*ret_text = case_keep(r->c, span_sub(s, 1, n));
	*rest = span_sub(s, n + 2, s.n);
	return true;
}

/* ---- patterns ---- */

static bool is_smtp_code(struct span s)
{
	if (s.n != 3 || s.p[0] < '2' || s.p[0] > '5')
		return false;
	bool wild = false;
	for (size_t i = 1; i < 3; i++) {
		bool x = s.p[i] == 'x';
		if (!x && (wild || s.p[i] < '0' || s.p[i] > '9'))
			return false;
		wild = wild || x;
	}
	return true;
}

static bool is_pop3_code(struct span s)
{
	return span_eq(s, SPAN_LIT("+OK")) || span_eq(s, SPAN_LIT("-ERR")) || span_eq(s, SPAN_LIT("+"));
}

static bool read_codes(struct case_reader *r, struct span s, struct case_pattern *p)
{
	struct case_code codes[CODES_MAX] = { 0 };

	while (s.n > 0 && p->code_count < CODES_MAX) {
		size_t n = span_find(s, '|');
		struct span one = span_sub(s, 0, n);
		if (!is_smtp_code(one) && !is_pop3_code(one)) {
			case_error(r, one.n > 0 ? one : s,
				   "\"%.*s\" is no reply code; 250, 25x, 4xx, 500|501, +OK, -ERR and + are",
				   SPAN_FMT(one));
			return false;
		}
		(void)span_copy(one, codes[p->code_count++].text, sizeof(codes[0].text));
		s = span_sub(s, n + 1, s.n);
	}
	if (p->code_count == 0)
		return false;
	p->codes = case_alloc(r->c, p->code_count * sizeof(*p->codes));
	memcpy(p->codes, codes, p->code_count * sizeof(*p->codes));
	return true;
}

bool case_pattern_of(struct case_reader *r, struct span s, struct case_pattern *ret_pattern)
{
	struct case_pattern p = { 0 };
	struct span rest = span_trim(s);
	struct span codes = case_word(&rest);

	if (codes.n == 0) {
		case_error(r, span_sub(r->line, r->line.n, 0),
			   "a reply code belongs here, as in \"250 ...\"");
		return false;
	}
	if (!read_codes(r, codes, &p))
		return false;
	for (;;) {
		struct span after = rest;
		struct span word = case_word(&after);
		if (span_eq(word, SPAN_LIT("single")))
			p.single = true;
		else if (span_eq(word, SPAN_LIT("multi")))
			p.multi = true;
		else
			break;
		rest = after;
	}
	rest = span_trim(rest);
	if (rest.n == 0) {
		case_error(r, codes, "what follows the code is missing; \"%.*s ...\" takes any text",
			   SPAN_FMT(codes));
		return false;
	}
	p.text = case_text_of(r, rest, true);
	*ret_pattern = p;
	return true;
}
