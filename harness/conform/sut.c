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

static bool is_among(const char *const *words, uint32_t count, const char *word)
{
	for (uint32_t i = 0; i < count; i++)
		if (strcmp(words[i], word) == 0)
			return true;
	return false;
}

static bool is_able(const struct sut *s, const char *ability)
{
	return is_among(s->abilities, s->ability_count, ability);
}

/* What its target file has to say of it, and what it means when it does not. */
static const struct {
	const char *ability, *why;
} LACKS[] = {
	{ "tls-require", "it is told no such policy for TLS towards next hops" },
	{ "tls-verify", "it is told no such policy for TLS towards next hops" },
	{ "dane", "it is told no such policy for TLS towards next hops" },
	{ "dane-require", "it is told no such policy for TLS towards next hops" },
	{ "mta-sts", "it fetches no policies (RFC 8461)" },
	{ "smart-host", "it is told of no smart host" },
	{ "lmtp-next-hop", "it is not told to speak LMTP to next hops" },
	{ "login", "it is told no name and password for next hops" },
	{ "login-verify", "it is told no name and password for next hops" },
	{ "login-long", "it is told no name and password for next hops" },
	{ "ipv6", "it is told to use no AAAA records" },
	{ "address-literals", "it does not deliver to address literals" },
};

/* What a case for relays needs that this one cannot; NULL: nothing. */
static const char *relay_lacks(const struct sut *s, const struct case_file *c)
{
	const struct target_relay *k = &s->relay;

	if (c->role == CASE_ROLE_CLIENT && s->world == NULL)
		return "the target does not say that its \"next-hops\" can be played";
	if (c->role == CASE_ROLE_CLIENT && c->service == CASE_SMTP && s->trusted.n == 0)
		return "the target relays for nobody who has not logged in";
	if (case_needs(c, "short-retry") && k->max_ms == 0)
		return "it cannot be told to try again soon, and to give up soon";
	if (case_needs(c, "short-delay") && k->delay_ms == 0)
		return "it cannot be told to tell soon of a delay";
	if (case_needs(c, "short-timeout") && k->reply_timeout_ms == 0)
		return "it cannot be told to wait for replies for a short time only";
	if (case_needs(c, "own-timeouts") && k->reply_timeout_ms > 0)
		return "it was told to wait for replies for a short time only, without --patient";
	for (size_t i = 0; i < sizeof(LACKS) / sizeof(LACKS[0]); i++)
		if (case_needs(c, LACKS[i].ability) && !is_able(s, LACKS[i].ability))
			return LACKS[i].why;
	if (case_needs(c, "utf8-mailbox") && !sut_offers(s, CASE_LMTP, "SMTPUTF8"))
		return "its mailboxes take no mail with SMTPUTF8";
	return NULL;
}

/* An extension that the case is about and the relay does not use; NULL: none. */
static const char *unspoken(const struct sut *s, const struct case_file *c)
{
	const struct target_list *speaks = &s->relay.speaks;

	for (uint32_t i = 0; i < c->speaks_count; i++)
		if (!is_among(speaks->items, speaks->count, c->speaks[i]))
			return c->speaks[i];
	return NULL;
}

enum case_service sut_service_of(const struct sut *s, const struct case_file *c)
{
	if (c->role == CASE_ROLE_CLIENT && s->services[c->service].borrowed_from != NULL && s->trusted.n > 0)
		return CASE_SMTP;
	return c->service;
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
	const enum case_service service = sut_service_of(s, c);
	if (s->services[service].borrowed_from != NULL) {
		(void)snprintf(ret_text, text_bytes, "its %s is served by %s, and judged as that",
			       case_service_name(service), s->services[service].borrowed_from);
		return ret_text;
	}
	if (s->is_elsewhere && case_has_tag(c, "intrusive")) {
		(void)snprintf(ret_text, text_bytes, "the case is intrusive, and the server somebody else's");
		return ret_text;
	}
	for (uint32_t i = 0; i < c->keyword_count; i++) {
		if (sut_offers(s, service, c->keywords[i]))
			continue;
		(void)snprintf(ret_text, text_bytes, "the server does not offer %s on %s", c->keywords[i],
			       case_service_name(service));
		return ret_text;
	}
	if (relay_lacks(s, c) != NULL) {
		(void)snprintf(ret_text, text_bytes, "%s", relay_lacks(s, c));
		return ret_text;
	}
	if (unspoken(s, c) != NULL) {
		(void)snprintf(ret_text, text_bytes, "it does not use %s towards next hops", unspoken(s, c));
		return ret_text;
	}
	if (case_needs(c, "lists") && s->lists == NULL) {
		(void)snprintf(ret_text, text_bytes, "the target does not say that it has \"lists\"");
		return ret_text;
	}
	if (sut_accounts_of(c) > s->account_count) {
		(void)snprintf(ret_text, text_bytes, "the target has no mailbox to look into");
		return ret_text;
	}
	return NULL;
}

int64_t sut_limit_ms(const struct sut *s, const struct case_file *c, const struct case_step *step)
{
	enum { ATTEMPTS = 4, SILENCES = 3 }; /* that what a case awaits may take */
	const struct target_relay *k = &s->relay;
	int64_t ms = k->settle_ms;

	switch (step->limit) {
	case CASE_LIMIT_SAID:
		return step->within_ms;
	case CASE_LIMIT_USUAL:
		ms += case_needs(c, "short-retry") ? ATTEMPTS * k->max_ms : 0;
		ms += case_needs(c, "short-timeout") ? SILENCES * k->reply_timeout_ms : 0;
		break;
	case CASE_LIMIT_EXPIRE:
		ms += k->expire_ms + k->max_ms;
		break;
	case CASE_LIMIT_DELAY:
		ms += k->delay_ms + k->max_ms;
		break;
	}
	return ms > 0 ? ms : step->within_ms;
}

bool sut_knows_zone_of(const struct case_file *c)
{
	return c->role == CASE_ROLE_CLIENT && (case_needs(c, "lists") || case_needs(c, "lmtp-next-hop"));
}

void sut_known_zone(uint32_t number, const char *policy, char ret_zone[static SUT_ZONE_BYTES])
{
	(void)snprintf(ret_zone, SUT_ZONE_BYTES, "k%u%s%s." SUT_NEXT_DOMAIN, number,
		       policy != NULL ? "." : "", policy != NULL ? policy : "");
}

void sut_alias(const char *zone, bool of_two, const char *domain, char ret_address[static SUT_ALIAS_BYTES])
{
	size_t n = strlen(zone) - strlen("." SUT_NEXT_DOMAIN);

	(void)snprintf(ret_address, SUT_ALIAS_BYTES, "alias%s.%.*s@%s", of_two ? "2" : "", (int)n, zone,
		       domain);
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
