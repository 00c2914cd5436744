#include "harness/wire/mail_address.h"

#include <string.h>

struct reader {
	struct span rest;
	uint32_t notes;
	uint32_t mailboxes;
};

static bool is_atext(char c)
{
	return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') ||
	       (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

static bool is_next(const struct reader *r, char c)
{
	return r->rest.n > 0 && r->rest.p[0] == c;
}

static bool take_char(struct reader *r, char c)
{
	if (!is_next(r, c))
		return false;
	r->rest = span_sub(r->rest, 1, r->rest.n);
	return true;
}

/* Blanks and comments; whether there were any. */
static bool skip(struct reader *r)
{
	size_t before = r->rest.n;

	while (is_next(r, ' ') || is_next(r, '\t') || is_next(r, '(')) {
		size_t n = 0, depth = 0;
		do {
			char c = r->rest.p[n++];
			if (c == '\\')
				n++;
			depth += c == '(' ? 1u : 0u;
			depth -= c == ')' ? 1u : 0u;
		} while (depth > 0 && n < r->rest.n);
		if (is_next(r, '('))
			r->notes |= MAIL_ADDRESS_COMMENT | (depth > 0 ? (uint32_t)MAIL_ADDRESS_BAD : 0u);
		r->rest = span_sub(r->rest, n, r->rest.n);
	}
	return r->rest.n < before;
}

/* dot-atom-text; without dots, an atom. */
static bool take_atom(struct reader *r, bool dots)
{
	size_t n = 0;

	while (n < r->rest.n &&
	       (is_atext(r->rest.p[n]) || (dots && r->rest.p[n] == '.' && n > 0 && r->rest.p[n - 1] != '.')))
		n++;
	if (n == 0 || r->rest.p[n - 1] == '.')
		return false;
	r->rest = span_sub(r->rest, n, r->rest.n);
	return true;
}

static bool take_quoted(struct reader *r, bool *ret_needed)
{
	size_t n = 1;

	*ret_needed = false;
	if (!is_next(r, '"'))
		return false;
	for (; n < r->rest.n && r->rest.p[n] != '"'; n++) {
		*ret_needed = *ret_needed || (!is_atext(r->rest.p[n]) && r->rest.p[n] != '.');
		if (r->rest.p[n] == '\\')
			n++;
	}
	if (n >= r->rest.n)
		return false;
	*ret_needed = *ret_needed || n == 1 || r->rest.p[1] == '.' || r->rest.p[n - 1] == '.' ||
		      memmem(r->rest.p, n, "..", 2) != NULL;
	r->rest = span_sub(r->rest, n + 1, r->rest.n);
	return true;
}

static bool take_domain(struct reader *r)
{
	if (!is_next(r, '['))
		return take_atom(r, true);
	size_t end = span_find(r->rest, ']');
	bool fine = end < r->rest.n && end > 1;
	r->rest = span_sub(r->rest, end + 1, r->rest.n);
	return fine;
}

/* local-part "@" domain */
static bool take_addr_spec(struct reader *r)
{
	bool needed = false;

	if (is_next(r, '"')) {
		if (!take_quoted(r, &needed))
			return false;
		if (!needed)
			r->notes |= MAIL_ADDRESS_QUOTED;
	} else if (!take_atom(r, true)) {
		return false;
	}
	if (skip(r))
		r->notes |= MAIL_ADDRESS_SPACED;
	if (!take_char(r, '@'))
		return false;
	if (skip(r))
		r->notes |= MAIL_ADDRESS_SPACED;
	return take_domain(r);
}

/* Words before "<" or ":"; none is fine. */
static void skip_phrase(struct reader *r)
{
	bool needed;

	for (skip(r); is_next(r, '"') ? take_quoted(r, &needed) : take_atom(r, false);)
		skip(r);
}

static bool take_mailbox(struct reader *r)
{
	struct reader ahead = *r;

	r->mailboxes++;
	ahead.mailboxes = r->mailboxes;
	skip_phrase(&ahead);
	if (!take_char(&ahead, '<')) {
		(void)skip(r);
		return take_addr_spec(r);
	}
	*r = ahead;
	if (skip(r))
		r->notes |= MAIL_ADDRESS_SPACED;
	if (!take_addr_spec(r))
		return false;
	if (skip(r))
		r->notes |= MAIL_ADDRESS_SPACED;
	return take_char(r, '>');
}

static bool take_list(struct reader *r, bool groups);

/* name ":" mailboxes ";"; the list may be empty. */
static bool take_group(struct reader *r)
{
	r->notes |= MAIL_ADDRESS_GROUP;
	(void)skip(r);
	if (!is_next(r, ';') && !take_list(r, false))
		return false;
	return take_char(r, ';');
}

static bool take_address(struct reader *r, bool groups)
{
	struct reader ahead = *r;

	skip_phrase(&ahead);
	if (!groups || ahead.rest.n == r->rest.n || !take_char(&ahead, ':'))
		return take_mailbox(r);
	*r = ahead;
	return take_group(r);
}

static bool take_list(struct reader *r, bool groups)
{
	do {
		if (!take_address(r, groups))
			return false;
		(void)skip(r);
	} while (take_char(r, ','));
	return true;
}

uint32_t mail_address_notes(struct span value)
{
	struct reader r = { .rest = value };

	if (!take_list(&r, true) || r.rest.n > 0)
		r.notes |= MAIL_ADDRESS_BAD;
	if (r.mailboxes > 1)
		r.notes |= MAIL_ADDRESS_MANY;
	return r.notes;
}

bool mail_address_is_message_id(struct span value)
{
	struct reader r = { .rest = span_trim(value) };

	return take_char(&r, '<') && take_atom(&r, true) && take_char(&r, '@') && take_domain(&r) &&
	       take_char(&r, '>') && r.rest.n == 0;
}
