#include "harness/conform/values.h"

#include <assert.h>
#include <string.h>

enum {
	MATCH_STEPS_MAX = 2000000, /* a pattern that takes more does not match: replies are a stranger's */
};

static struct value *find(struct values *v, struct span name)
{
	for (uint32_t i = 0; i < v->count; i++)
		if (span_eq(name, span_of(v->items[i].name)))
			return &v->items[i];
	return NULL;
}

const struct value *values_get(const struct values *v, struct span name)
{
	for (uint32_t i = 0; i < v->count; i++)
		if (span_eq(name, span_of(v->items[i].name)))
			return &v->items[i];
	return NULL;
}

void values_set(struct values *v, struct span name, struct span value, bool secret)
{
	struct value *at = find(v, name);

	if (at == NULL) {
		assert(v->count < VALUES_MAX);
		at = &v->items[v->count++];
		*at = (struct value){ 0 };
		(void)span_copy(name, at->name, sizeof(at->name));
	}
	buf_reset(&at->value);
	buf_add(&at->value, value);
	at->secret = secret;
}

void values_free(struct values *v)
{
	for (uint32_t i = 0; i < v->count; i++) {
		struct buf *b = &v->items[i].value;
		if (v->items[i].secret && b->p != NULL)
			explicit_bzero(b->p, b->room);
		buf_free(b);
	}
	v->count = 0;
}

bool values_expand(const struct values *v, const struct case_text *t, struct buf *out, bool *ret_secret,
		   struct span *ret_missing)
{
	for (uint32_t i = 0; i < t->count; i++) {
		const struct case_part *p = &t->parts[i];
		if (p->kind == CASE_PART_LITERAL) {
			buf_add(out, p->text);
			continue;
		}
		const struct value *at = values_get(v, p->text);
		if (at == NULL) {
			*ret_missing = p->text;
			return false;
		}
		buf_add(out, buf_span(&at->value));
		if (ret_secret != NULL && at->secret)
			*ret_secret = true;
	}
	return true;
}

/* ---- matching ---- */

struct matcher {
	struct values *values;
	const struct case_text *pattern;
	uint32_t steps_left;
	/* What the parts took that had no value yet. */
	struct span bound[64];
	struct span names[64];
	uint32_t bound_count;
};

static bool match_from(struct matcher *m, uint32_t part, struct span text);

/* The value a name has so far in this very match. */
static const struct span *just_bound(const struct matcher *m, struct span name)
{
	for (uint32_t i = 0; i < m->bound_count; i++)
		if (span_eq(m->names[i], name))
			return &m->bound[i];
	return NULL;
}

static bool match_exact(struct matcher *m, uint32_t part, struct span text, struct span want)
{
	return text.n >= want.n && (want.n == 0 || memcmp(text.p, want.p, want.n) == 0) &&
	       match_from(m, part + 1, span_sub(text, want.n, text.n));
}

static bool match_any(struct matcher *m, uint32_t part, struct span text)
{
	if (part + 1 == m->pattern->count)
		return true;
	for (size_t n = 0; n <= text.n && m->steps_left > 0; n++)
		if (match_from(m, part + 1, span_sub(text, n, text.n)))
			return true;
	return false;
}

static bool match_new_name(struct matcher *m, uint32_t part, struct span text)
{
	struct span name = m->pattern->parts[part].text;

	if (m->bound_count == sizeof(m->bound) / sizeof(m->bound[0]))
		return false;
	uint32_t index = m->bound_count++;
	m->names[index] = name;
	size_t room = 0;
	while (room < text.n && text.p[room] != ' ' && text.p[room] != '\n')
		room++;
	for (size_t n = room; n > 0; n--) { /* as much as it can: "${octets}..." is the whole number */
		m->bound[index] = span_sub(text, 0, n);
		if (match_from(m, part + 1, span_sub(text, n, text.n)))
			return true;
	}
	m->bound_count = index;
	return false;
}

static bool match_from(struct matcher *m, uint32_t part, struct span text)
{
	if (m->steps_left == 0)
		return false;
	m->steps_left--;
	if (part == m->pattern->count)
		return text.n == 0;
	const struct case_part *p = &m->pattern->parts[part];
	switch (p->kind) {
	case CASE_PART_LITERAL:
		return match_exact(m, part, text, p->text);
	case CASE_PART_ANY:
		return match_any(m, part, text);
	case CASE_PART_VARIABLE:
		break;
	}
	const struct value *known = values_get(m->values, p->text);
	const struct span *bound = just_bound(m, p->text);
	if (known != NULL)
		return match_exact(m, part, text, buf_span(&known->value));
	if (bound != NULL)
		return match_exact(m, part, text, *bound);
	return match_new_name(m, part, text);
}

bool values_match(struct values *v, const struct case_text *pattern, struct span text)
{
	struct matcher m = { .values = v, .pattern = pattern, .steps_left = MATCH_STEPS_MAX };

	if (!match_from(&m, 0, text))
		return false;
	for (uint32_t i = 0; i < m.bound_count; i++)
		values_set(v, m.names[i], m.bound[i], false);
	return true;
}
