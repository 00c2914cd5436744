#include "base/span.h"

#include <assert.h>
#include <string.h>

static char ascii_lower(char c)
{
	return (c >= 'A' && c <= 'Z') ? (char)(c - 'A' + 'a') : c;
}

struct span span_of(const char *cstr)
{
	assert(cstr != NULL);
	return (struct span){ cstr, strlen(cstr) };
}

bool span_eq(struct span a, struct span b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool span_eq_nocase(struct span a, struct span b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++)
		if (ascii_lower(a.p[i]) != ascii_lower(b.p[i]))
			return false;
	return true;
}

bool span_starts_nocase(struct span s, struct span prefix)
{
	return s.n >= prefix.n && span_eq_nocase(span_sub(s, 0, prefix.n), prefix);
}

bool span_ends_nocase(struct span s, struct span suffix)
{
	return s.n >= suffix.n && span_eq_nocase(span_sub(s, s.n - suffix.n, suffix.n), suffix);
}

size_t span_find(struct span s, char c)
{
	const char *hit = s.n > 0 ? memchr(s.p, c, s.n) : NULL;
	return hit != NULL ? (size_t)(hit - s.p) : s.n;
}

bool span_contains(struct span s, struct span part)
{
	return part.n == 0 || (part.n <= s.n && memmem(s.p, s.n, part.p, part.n) != NULL);
}

struct span span_sub(struct span s, size_t from, size_t n)
{
	if (from >= s.n)
		return (struct span){ NULL, 0 };
	size_t left = s.n - from;
	return (struct span){ s.p + from, n < left ? n : left };
}

struct span span_trim(struct span s)
{
	while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t')) {
		s.p++;
		s.n--;
	}
	while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

bool span_take_prefix_nocase(struct span *s, struct span prefix)
{
	assert(s != NULL);
	if (!span_starts_nocase(*s, prefix))
		return false;
	*s = span_sub(*s, prefix.n, s->n);
	return true;
}

bool span_take_until(struct span *s, char stop, struct span *ret_head)
{
	assert(s != NULL);
	assert(ret_head != NULL);
	size_t at = span_find(*s, stop);
	if (at == s->n)
		return false;
	*ret_head = (struct span){ s->p, at };
	s->p += at + 1;
	s->n -= at + 1;
	return true;
}

bool span_to_u64(struct span s, uint64_t *ret_value)
{
	assert(ret_value != NULL);
	uint64_t value = 0;

	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		uint64_t digit = (uint64_t)(s.p[i] - '0');
		if (value > (UINT64_MAX - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	*ret_value = value;
	return true;
}

bool span_copy(struct span s, char *dst, size_t dst_bytes)
{
	assert(dst != NULL);
	assert(dst_bytes > 0);
	dst[0] = '\0';
	if (s.n >= dst_bytes || span_find(s, '\0') != s.n)
		return false;
	if (s.n > 0)
		memcpy(dst, s.p, s.n);
	dst[s.n] = '\0';
	return true;
}
