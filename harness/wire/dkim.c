#include "harness/wire/dkim.h"

#include <string.h>

const char *dkim_form_name(enum dkim_form f)
{
	return f == DKIM_RELAXED ? "relaxed" : "simple";
}

static bool is_wsp(char c)
{
	return c == ' ' || c == '\t';
}

/* ---- fields ---- */

/* Runs of blanks become one; those at the end go; so do line ends. */
static void add_relaxed_text(struct span s, struct buf *out)
{
	bool blank = false;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\r' || s.p[i] == '\n')
			continue;
		if (is_wsp(s.p[i])) {
			blank = true;
			continue;
		}
		if (blank)
			buf_add_cstr(out, " ");
		blank = false;
		buf_add(out, span_sub(s, i, 1));
	}
}

void dkim_add_field(const struct field *f, enum dkim_form form, struct buf *out)
{
	if (form == DKIM_SIMPLE) {
		buf_add(out, f->whole);
		return;
	}
	for (size_t i = 0; i < f->name.n; i++) {
		char c = f->name.p[i];
		char lower = (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
		buf_add(out, (struct span){ &lower, 1 });
	}
	buf_add_cstr(out, ":");
	struct span value = f->raw;
	while (value.n > 0 && (is_wsp(value.p[0]) || value.p[0] == '\r' || value.p[0] == '\n'))
		value = span_sub(value, 1, value.n);
	add_relaxed_text(value, out);
	buf_add_cstr(out, "\r\n");
}

/* ---- body ---- */

void dkim_add_body(struct span body, enum dkim_form form, struct buf *out)
{
	/* A line that holds only blanks is an empty one for the relaxed form, which drops them first. */
	uint64_t empty_lines = 0;
	bool any = false;

	while (body.n > 0) {
		const char *end = memmem(body.p, body.n, "\r\n", 2);
		size_t n = end != NULL ? (size_t)(end - body.p) : body.n;
		struct span line = span_sub(body, 0, n);
		body = span_sub(body, end != NULL ? n + 2 : n, body.n);
		struct buf text = { 0 };
		if (form == DKIM_SIMPLE)
			buf_add(&text, line);
		else
			for (size_t i = 0; i < line.n; i++)
				if (!is_wsp(line.p[i]) || (i + 1 < line.n && !is_wsp(line.p[i + 1])))
					buf_add(&text,
						is_wsp(line.p[i]) ? SPAN_LIT(" ") : span_sub(line, i, 1));
		if (buf_bytes(&text) == 0) {
			empty_lines++;
		} else {
			for (; empty_lines > 0; empty_lines--)
				buf_add_cstr(out, "\r\n");
			buf_add(out, buf_span(&text));
			buf_add_cstr(out, "\r\n");
			any = true;
		}
		buf_free(&text);
	}
	if (!any && form == DKIM_SIMPLE)
		buf_add_cstr(out, "\r\n");
}

/* ---- tags ---- */

static struct span trim(struct span s)
{
	while (s.n > 0 && (is_wsp(s.p[0]) || s.p[0] == '\r' || s.p[0] == '\n'))
		s = span_sub(s, 1, s.n);
	while (s.n > 0 && (is_wsp(s.p[s.n - 1]) || s.p[s.n - 1] == '\r' || s.p[s.n - 1] == '\n'))
		s.n--;
	return s;
}

/* Where the value of a tag begins and ends in the list, blanks included. */
static bool find_tag(struct span list, const char *name, size_t *ret_from, size_t *ret_end)
{
	for (size_t at = 0; at < list.n;) {
		struct span rest = span_sub(list, at, list.n);
		struct span one = span_sub(rest, 0, span_find(rest, ';'));
		size_t equals = span_find(one, '=');
		if (equals < one.n && span_eq(trim(span_sub(one, 0, equals)), span_of(name))) {
			*ret_from = at + equals + 1;
			*ret_end = at + one.n;
			return true;
		}
		at += one.n + 1;
	}
	return false;
}

bool dkim_tag(struct span list, const char *name, struct span *ret_value)
{
	size_t from, end;

	if (!find_tag(list, name, &from, &end))
		return false;
	*ret_value = trim(span_sub(list, from, end - from));
	return true;
}

static bool form_of(struct span s, enum dkim_form *ret)
{
	*ret = span_eq(s, SPAN_LIT("relaxed")) ? DKIM_RELAXED : DKIM_SIMPLE;
	return *ret == DKIM_RELAXED || span_eq(s, SPAN_LIT("simple"));
}

bool dkim_forms(struct span c, enum dkim_form *ret_header, enum dkim_form *ret_body)
{
	size_t slash = span_find(c, '/');

	*ret_header = *ret_body = DKIM_SIMPLE;
	if (c.n == 0)
		return true;
	return form_of(trim(span_sub(c, 0, slash)), ret_header) &&
	       (slash == c.n || form_of(trim(span_sub(c, slash + 1, c.n)), ret_body));
}

/* ---- what is hashed of the header ---- */

/* How often a name stands in the front of the list. */
static uint32_t times_named(struct span h, size_t before, struct span name)
{
	struct span front = span_sub(h, 0, before);
	uint32_t n = 0;

	while (front.n > 0) {
		size_t end = span_find(front, ':');
		n += span_eq_nocase(trim(span_sub(front, 0, end)), name);
		front = span_sub(front, end < front.n ? end + 1 : end, front.n);
	}
	return n;
}

/* The signature as it stands but for the value of b. */
static void add_unsigned(const struct field *signature, enum dkim_form form, struct buf *out)
{
	struct buf text = { 0 }, canonical = { 0 };
	size_t head = (size_t)(signature->raw.p - signature->whole.p), from, end;
	struct field parsed;

	if (!find_tag(signature->raw, "b", &from, &end))
		from = end = 0;
	buf_add(&text, span_sub(signature->whole, 0, head + from));
	buf_add(&text, span_sub(signature->whole, head + end, signature->whole.n));
	struct span header = buf_span(&text);
	if (field_next(&header, &parsed)) {
		dkim_add_field(&parsed, form, &canonical);
		struct span all = buf_span(&canonical);
		while (all.n > 0 && (all.p[all.n - 1] == '\n' || all.p[all.n - 1] == '\r'))
			all.n--;
		buf_add(out, all);
	}
	buf_free(&text);
	buf_free(&canonical);
}

void dkim_add_header_data(struct span header, struct span h, const struct field *signature,
			  enum dkim_form form, struct buf *out)
{
	size_t at = 0;

	for (uint32_t count = 0; at < h.n && count < DKIM_NAMES_MAX; count++) {
		struct span rest = span_sub(h, at, h.n);
		size_t n = span_find(rest, ':');
		struct span name = trim(span_sub(rest, 0, n));
		uint32_t from_below = times_named(h, at, name);
		uint32_t there = field_count(header, name);
		struct field f;
		/* A name more than there are fields stands for one that must not come. */
		if (from_below < there && field_find(header, name, there - 1 - from_below, &f))
			dkim_add_field(&f, form, out);
		at += n < rest.n ? n + 1 : n;
	}
	add_unsigned(signature, form, out);
}
