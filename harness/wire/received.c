#include "harness/wire/received.h"

#include "harness/wire/date_time.h"

enum { LABEL_BYTES_MAX = 63, DOMAIN_BYTES_MAX = 255 };

const struct received_aspect RECEIVED_ASPECTS[] = {
	{ "form",
	  RECEIVED_NO_FROM | RECEIVED_NO_BY | RECEIVED_ODD_NAME | RECEIVED_ODD_ORDER | RECEIVED_NO_DATE |
		  RECEIVED_UNREADABLE,
	  DATE_UNREADABLE, "from, by, via, with, id, for, a semicolon and a date, in this order" },
	{ "from", RECEIVED_NO_FROM | RECEIVED_NO_ADDRESS, 0, "from, a name and an address literal" },
	{ "by", RECEIVED_NO_BY, 0, "by and a name" },
	{ "date", RECEIVED_NO_DATE, DATE_UNREADABLE | DATE_SHORT_YEAR | DATE_IMPOSSIBLE | DATE_WRONG_DAY,
	  "a date as RFC 5322 3.3 has it" },
	{ "zone", RECEIVED_NO_DATE, DATE_ZONE_NAME, "a numeric offset behind the time" },
	{ "via", RECEIVED_ODD_VIA, 0, "a registered link behind via" },
	{ "with", RECEIVED_ODD_WITH, 0, "a registered protocol behind with" },
	{ "clauses", RECEIVED_ODD_CLAUSE, 0, "registered clauses only" },
	{ "one-for", RECEIVED_MANY_FOR, 0, "one path behind for" },
	{ NULL, 0, 0, NULL },
};

/* ---- names ---- */

static bool is_let_dig(char c)
{
	return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
}

static bool is_label(struct span s)
{
	if (s.n == 0 || s.n > LABEL_BYTES_MAX || !is_let_dig(s.p[0]) || !is_let_dig(s.p[s.n - 1]))
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!is_let_dig(s.p[i]) && s.p[i] != '-')
			return false;
	return true;
}

bool received_is_domain(struct span name)
{
	if (name.n == 0 || name.n > DOMAIN_BYTES_MAX || name.p[name.n - 1] == '.')
		return false;
	while (name.n > 0) {
		size_t n = span_find(name, '.');
		if (!is_label(span_sub(name, 0, n)))
			return false;
		name = span_sub(name, n + 1, name.n);
	}
	return true;
}

bool received_is_literal(struct span name)
{
	return name.n > 2 && name.p[0] == '[' && span_find(name, ']') == name.n - 1 &&
	       (is_let_dig(name.p[1]) || name.p[1] == ':');
}

/* ---- tokens ---- */

struct reader {
	struct span rest;
	struct received found;
	bool has_address; /* a comment since the last word holds an address literal */
};

static void note_address(struct reader *r, struct span comment)
{
	size_t open = span_find(comment, '[');
	struct span from = span_sub(comment, open, comment.n);
	struct span literal = span_sub(from, 0, span_find(from, ']') + 1);

	r->has_address = r->has_address || received_is_literal(literal);
}

/* Blanks and comments. */
static void skip(struct reader *r)
{
	while (r->rest.n > 0) {
		size_t n = 0, depth = 0;
		if (r->rest.p[0] == ' ' || r->rest.p[0] == '\t') {
			r->rest = span_sub(r->rest, 1, r->rest.n);
			continue;
		}
		if (r->rest.p[0] != '(')
			return;
		do {
			char c = r->rest.p[n++];
			if (c == '\\')
				n++;
			depth += c == '(' ? 1u : 0u;
			depth -= c == ')' ? 1u : 0u;
		} while (depth > 0 && n < r->rest.n);
		note_address(r, span_sub(r->rest, 0, n));
		r->rest = span_sub(r->rest, n, r->rest.n);
	}
}

/* A word; a quoted string and what stands in angle brackets are parts of one.  Empty before ";" and at the end. */
static struct span take_word(struct reader *r)
{
	size_t n = 0;
	bool quoted = false, angled = false;

	skip(r);
	for (; n < r->rest.n; n++) {
		char c = r->rest.p[n];
		if (quoted && c == '\\')
			n++;
		else if (c == '"')
			quoted = !quoted;
		else if (!quoted && (c == '<' || c == '>'))
			angled = c == '<';
		else if (!quoted && !angled && (c == ' ' || c == '\t' || c == ';' || c == '('))
			break;
	}
	struct span word = span_sub(r->rest, 0, n);
	r->rest = span_sub(r->rest, word.n, r->rest.n);
	return word;
}

static bool is_next(const struct reader *r, const char *word)
{
	struct reader ahead = *r;

	return span_eq_nocase(take_word(&ahead), span_of(word));
}

/* ---- clauses ---- */

static bool is_one_of(struct span word, const char *const *names)
{
	for (; *names != NULL; names++)
		if (span_eq_nocase(word, span_of(*names)))
			return true;
	return false;
}

/* "from name (comment)" or "by name (comment)". */
static void read_host(struct reader *r, const char *keyword, uint32_t missing)
{
	skip(r);
	if (!is_next(r, keyword)) {
		r->found.notes |= missing;
		return;
	}
	(void)take_word(r);
	r->has_address = false;
	struct span name = take_word(r);
	if (name.n == 0)
		r->found.notes |= missing;
	else if (!received_is_domain(name) && !received_is_literal(name))
		r->found.notes |= RECEIVED_ODD_NAME;
	r->has_address = received_is_literal(name);
	skip(r);
}

/* One path, or several; RFC 5321 wants one. */
static void read_for(struct reader *r)
{
	struct span path = take_word(r);
	bool quoted = false, angled = false;

	for (size_t i = 0; i < path.n; i++) {
		quoted = quoted != (path.p[i] == '"');
		angled = !quoted && path.p[i] == '<' ? true : !quoted && path.p[i] == '>' ? false : angled;
		if (path.p[i] == ',' && !quoted && !angled)
			r->found.notes |= RECEIVED_MANY_FOR;
	}
	for (;;) {
		struct reader ahead = *r;
		struct span next = take_word(&ahead);
		if (next.n == 0 || (next.p[0] != '<' && next.p[0] != ',' && span_find(next, '@') == next.n))
			break;
		r->rest = ahead.rest;
		r->found.notes |= RECEIVED_MANY_FOR;
	}
	if (path.n == 0)
		r->found.notes |= RECEIVED_UNREADABLE;
}

static void read_clause(struct reader *r, struct span word, int *last)
{
	static const char *const ORDER[] = { "via", "with", "id", "for" };
	/* IANA's lists: links; protocols (RFC 5321, 3848, 4954, 6531); clauses (RFC 6710, 8314). */
	static const char *const LINKS[] = { "TCP", "UUCP", NULL };
	static const char *const PROTOCOLS[] = { "SMTP",      "ESMTP",      "ESMTPA",   "ESMTPS",
						 "ESMTPSA",   "LMTP",       "LMTPA",    "LMTPS",
						 "LMTPSA",    "MMS",        "UTF8SMTP", "UTF8SMTPA",
						 "UTF8SMTPS", "UTF8SMTPSA", "UTF8LMTP", "UTF8LMTPA",
						 "UTF8LMTPS", "UTF8LMTPSA", NULL };
	static const char *const CLAUSES[] = { "tls", "group", "priority", NULL };
	int which = 0;

	while (which < 4 && !span_eq_nocase(word, span_of(ORDER[which])))
		which++;
	if (which <= *last)
		r->found.notes |= RECEIVED_ODD_ORDER;
	*last = which < 4 ? which : 3;
	if (which == 3) {
		read_for(r);
		return;
	}
	struct span value = take_word(r);
	if (value.n == 0)
		r->found.notes |= RECEIVED_UNREADABLE;
	else if (which == 0 && !is_one_of(value, LINKS))
		r->found.notes |= RECEIVED_ODD_VIA;
	else if (which == 1 && !is_one_of(value, PROTOCOLS))
		r->found.notes |= RECEIVED_ODD_WITH;
	else if (which == 4 && !is_one_of(word, CLAUSES))
		r->found.notes |= RECEIVED_ODD_CLAUSE;
}

struct received received_read(struct span value)
{
	struct reader r = { .rest = value };
	int last = -1;

	read_host(&r, "from", RECEIVED_NO_FROM);
	if (!r.has_address)
		r.found.notes |= RECEIVED_NO_ADDRESS;
	read_host(&r, "by", RECEIVED_NO_BY);
	for (struct span word = take_word(&r); word.n > 0; word = take_word(&r))
		read_clause(&r, word, &last);
	skip(&r);
	if (r.rest.n == 0 || r.rest.p[0] != ';')
		r.found.notes |= RECEIVED_NO_DATE;
	else
		r.found.date = date_notes(span_sub(r.rest, 1, r.rest.n));
	return r.found;
}
