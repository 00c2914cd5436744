#include "harness/wire/end_reader.h"

const struct end_reader END_READERS[] = {
	{ "knows CRLF alone", END_AT_CRLF },
	{ "takes LF for a line end", END_AT_CRLF | END_AT_LF },
	{ "takes CR for a line end", END_AT_CRLF | END_AT_CR },
	{ "takes CR and LF for line ends", END_AT_CRLF | END_AT_LF | END_AT_CR },
	{ "passes over NUL", END_AT_CRLF | END_PASSES_NUL },
	{ "passes over NUL, and takes LF for a line end", END_AT_CRLF | END_AT_LF | END_PASSES_NUL },
	{ "passes over stray CR", END_AT_CRLF | END_PASSES_CR },
	{ "passes over stray CR, and takes LF for a line end", END_AT_CRLF | END_AT_LF | END_PASSES_CR },
	{ 0 },
};

enum {
	LINE_SHOWN_BYTES = 16, /* enough to tell a lone dot, or which command it is */
	STRAY_CR_MAX = 16,     /* more in a row are not passed over: the search stays linear */
};

/* A line as a reader sees it, as far as it matters here. */
struct line {
	char text[LINE_SHOWN_BYTES];
	size_t bytes;
};

static void add(struct line *l, char c)
{
	if (l->bytes < LINE_SHOWN_BYTES)
		l->text[l->bytes] = c;
	l->bytes++;
}

/* How many bytes at the front of s end a line; 0: none does. */
static size_t end_at(unsigned rules, struct span s)
{
	size_t crs_max = (rules & END_PASSES_CR) != 0 ? STRAY_CR_MAX : 1;
	size_t cr = 0;

	while (cr < s.n && cr < crs_max && s.p[cr] == '\r')
		cr++;
	if (cr > 0 && cr < s.n && s.p[cr] == '\n')
		return cr + 1;
	if ((rules & END_AT_LF) != 0 && s.p[0] == '\n')
		return 1;
	return (rules & END_AT_CR) != 0 && s.p[0] == '\r' ? 1 : 0;
}

/* Cuts a line from the front; false: none ends here. */
static bool next_line(unsigned rules, struct span *rest, struct line *ret_line)
{
	*ret_line = (struct line){ .bytes = 0 };
	for (size_t i = 0; i < rest->n; i++) {
		struct span s = span_sub(*rest, i, rest->n);
		bool passes = (rules & END_PASSES_NUL) != 0;
		if (passes && s.p[0] == '\0')
			continue;
		/* What is passed over does not stand between CR and LF either. */
		if (passes && s.n > 1 && s.p[0] == '\r' && s.p[1] == '\0') {
			size_t k = 1;
			while (k < s.n && s.p[k] == '\0')
				k++;
			if (k < s.n && s.p[k] == '\n') {
				*rest = span_sub(s, k + 1, s.n);
				return true;
			}
		}
		size_t n = end_at(rules, s);
		if (n > 0) {
			*rest = span_sub(s, n, s.n);
			return true;
		}
		add(ret_line, s.p[0]);
	}
	return false;
}

static bool begins(const struct line *l, const char *verb)
{
	size_t n = l->bytes < LINE_SHOWN_BYTES ? l->bytes : LINE_SHOWN_BYTES;

	return span_starts_nocase((struct span){ l->text, n }, span_of(verb));
}

/* Commands that make a message: their order is what counts, not what stands between them. */
static bool has_message(unsigned rules, struct span rest)
{
	static const char *const VERBS[] = { "MAIL FROM:", "RCPT TO:" };
	size_t at = 0;
	struct line l;

	while (next_line(rules, &rest, &l)) {
		if (at < 2)
			at += begins(&l, VERBS[at]);
		else if (begins(&l, "DATA") || begins(&l, "BDAT"))
			return true;
	}
	return false;
}

enum end_reading end_read(const struct end_reader *r, struct span wire)
{
	struct line l;

	while (next_line(r->rules, &wire, &l)) {
		if (l.bytes != 1 || l.text[0] != '.')
			continue;
		if (wire.n == 0)
			return END_ONE_MESSAGE;
		return has_message(r->rules, wire) ? END_TWO_MESSAGES : END_CUT_SHORT;
	}
	return END_ONE_MESSAGE; /* it waits for more */
}

bool end_is_irregular(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((s.p[i] == '\n' && (i == 0 || s.p[i - 1] != '\r')) ||
		    (s.p[i] == '\r' && (i + 1 == s.n || s.p[i + 1] != '\n')))
			return true;
	return false;
}
