#include "harness/conform/sut.h"

#include <stdio.h>
#include <string.h>

/* Blank-separated words; "=" separates too, for the old "AUTH=LOGIN". */
static bool has_word(struct span s, struct span word)
{
	while (s.n > 0) {
		size_t n = 0;
		while (n < s.n && s.p[n] != ' ' && s.p[n] != '=')
			n++;
		if (span_eq_nocase(span_sub(s, 0, n), word))
			return true;
		s = span_sub(s, n + 1, s.n);
	}
	return false;
}

bool sut_offers(const struct sut *s, enum case_service service, const char *keyword)
{
	struct span want = span_of(keyword);
	size_t eq = span_find(want, '=');
	struct span name = span_sub(want, 0, eq), parameter = span_sub(want, eq + 1, want.n);
	struct span rest = buf_span(&s->services[service].keywords), line;

	while (span_take_until(&rest, '\n', &line)) {
		if (!span_take_prefix_nocase(&line, name) ||
		    (line.n > 0 && line.p[0] != ' ' && line.p[0] != '='))
			continue;
		if (parameter.n == 0 || has_word(line, parameter))
			return true;
	}
	return false;
}

static bool is_able(const struct sut *s, const char *ability)
{
	for (uint32_t i = 0; i < s->ability_count; i++)
		if (strcmp(s->abilities[i], ability) == 0)
			return true;
	return false;
}

const char *sut_lacks(const struct sut *s, const struct case_file *c, char *ret_text, size_t text_bytes)
{
	for (int i = 0; i < CASE_SERVICE_COUNT; i++) {
		if (!c->services[i] || s->services[i].there)
			continue;
		(void)snprintf(ret_text, text_bytes, "the target has no %s service",
			       case_service_name((enum case_service)i));
		return ret_text;
	}
	if (s->services[c->service].borrowed_from != NULL) {
		(void)snprintf(ret_text, text_bytes, "its %s is served by %s, and judged as that",
			       case_service_name(c->service), s->services[c->service].borrowed_from);
		return ret_text;
	}
	if (s->is_elsewhere && case_has_tag(c, "intrusive")) {
		(void)snprintf(ret_text, text_bytes, "the case is intrusive, and the server somebody else's");
		return ret_text;
	}
	for (uint32_t i = 0; i < c->keyword_count; i++) {
		if (sut_offers(s, c->service, c->keywords[i]))
			continue;
		(void)snprintf(ret_text, text_bytes, "the server does not offer %s on %s", c->keywords[i],
			       case_service_name(c->service));
		return ret_text;
	}
	for (uint32_t i = 0; i < c->ability_count; i++) {
		if (is_able(s, c->abilities[i]))
			continue;
		(void)snprintf(ret_text, text_bytes, "the target does not say that it can do \"%s\"",
			       c->abilities[i]);
		return ret_text;
	}
	if (c->role == CASE_ROLE_CLIENT && s->world == NULL) {
		(void)snprintf(ret_text, text_bytes,
			       "the target does not say that its \"next-hops\" can be judged");
		return ret_text;
	}
	if (c->role == CASE_ROLE_CLIENT && c->service == CASE_SMTP && s->trusted.n == 0) {
		(void)snprintf(ret_text, text_bytes, "the target relays for nobody who has not logged in");
		return ret_text;
	}
	if (sut_accounts_of(c) > s->account_count) {
		(void)snprintf(ret_text, text_bytes, "the target has no mailbox to look into");
		return ret_text;
	}
	return NULL;
}

uint32_t sut_accounts_of(const struct case_file *c)
{
	return c->needs_mailbox ? 2 : 0;
}

void sut_free(struct sut *s)
{
	for (int i = 0; i < CASE_SERVICE_COUNT; i++)
		buf_free(&s->services[i].keywords);
}
