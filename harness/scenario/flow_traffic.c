#include "harness/scenario/flow_read.h"

#include "base/unit.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
	TRAFFIC_MAX = 64,
	RECIPIENTS_MAX = 100,
	SESSIONS_MAX = 1000,
	MESSAGES_MAX = 10 * 1000 * 1000,
	RATE_PER_S_MAX = 100000,
	RETRIEVE_EVERY_MS = 250, /* of accounts the file does not mention */
};

static const int64_t DURATION_MS_MAX = 24LL * 3600 * 1000;
static const uint64_t SIZE_BYTES_MIN = 512; /* header fields of our own and a line of text */
static const uint64_t SIZE_BYTES_MAX = 64ULL << 20;

static const char *const SERVICES[] = { "smtp", "submission", "submissions", NULL };
static const char *const TLS_MODES[] = { "none", "starttls", "implicit", NULL };

/* ---- addresses ---- */

static bool has_no_server(const struct flow *f, int32_t host)
{
	return strcmp(f->hosts[host].target, "none") == 0;
}

static int32_t find_account(const struct flow_host *h, struct span local_part)
{
	for (uint32_t i = 0; i < h->account_count; i++)
		if (span_eq(local_part, span_of(h->accounts[i].local_part)))
			return (int32_t)i;
	return FLOW_NONE;
}

static bool read_address(struct flow_reader *r, const struct yaml_node *n, struct flow_address *ret)
{
	const char *text;
	struct span rest, local;

	if (!yaml_as_str(n, &text))
		return false;
	rest = span_of(text);
	if (!span_take_until(&rest, '@', &local) || local.n == 0 || local.n > 64 || !flow_is_domain(rest) ||
	    strcspn(text, " \t<>()\"\\,;:") != strlen(text)) {
		yaml_error(r->y, n, "\"%s\" is no address such as sales@fredsco.example", text);
		return false;
	}
	char *kept = yaml_alloc(r->y, local.n + 1);
	memcpy(kept, local.p, local.n);
	*ret = (struct flow_address){
		.text = text, .local_part = kept, .domain = rest.p, .account = FLOW_NONE
	};
	ret->host = flow_host_by_domain(r->flow, rest);
	if (ret->host != FLOW_NONE)
		ret->account = find_account(&r->flow->hosts[ret->host], local);
	return true;
}

static bool domain_is_explained(const struct flow_reader *r, const char *domain)
{
	const struct flow_dns *d = &r->flow->dns;

	return flow_domain_is_under(domain, d->absent_domains, d->absent_domain_count) ||
	       flow_domain_is_under(domain, d->servfail_domains, d->servfail_domain_count) ||
	       flow_domain_is_under(domain, r->record_owners, d->record_count);
}

/* What the traffic expects must be possible. */
static void check_recipient(struct flow_reader *r, const struct yaml_node *n, const struct flow_traffic *t,
			    const struct flow_address *to)
{
	if (to->host == FLOW_NONE) {
		if (!domain_is_explained(r, to->domain))
			yaml_error(r->y, n,
				   "no host has the domain \"%s\"; add one, or list it under dns: nxdomain "
				   "if mail to it "
				   "is meant to fail",
				   to->domain);
		else if (t->outcome == FLOW_DELIVERED)
			yaml_error(
				r->y, n,
				"mail to %s cannot be delivered; say \"outcome: bounced\" if that is meant",
				to->text);
	} else if (t->outcome == FLOW_DELIVERED && has_no_server(r->flow, to->host)) {
		yaml_error(r->y, n, "host \"%s\" has target none; say \"outcome: bounced\" if that is meant",
			   r->flow->hosts[to->host].name);
	} else if (t->outcome == FLOW_DELIVERED && to->account == FLOW_NONE) {
		yaml_error(r->y, n,
			   "host \"%s\" has no account \"%s\"; say \"outcome: bounced\" if that is meant",
			   r->flow->hosts[to->host].name, to->local_part);
	}
}

static void read_recipients(struct flow_reader *r, const struct yaml_node *map, struct flow_traffic *t)
{
	const struct yaml_node *to = yaml_get(map, "to");
	const struct yaml_node *one = to;

	if (!yaml_require(map, "to"))
		return;
	bool is_list = yaml_kind(to) == YAML_LIST;
	uint32_t count = is_list ? yaml_child_count(to) : 1;
	if (count == 0 || count > RECIPIENTS_MAX) {
		yaml_error(r->y, to, "a message goes to 1 to %d recipients", RECIPIENTS_MAX);
		return;
	}
	t->to = flow_array(r, count, sizeof(*t->to));
	for (one = is_list ? yaml_first(to) : to; one != NULL; one = is_list ? yaml_next(one) : NULL) {
		if (!read_address(r, one, &t->to[t->to_count]))
			continue;
		for (uint32_t i = 0; i < t->to_count; i++)
			if (strcmp(t->to[i].text, t->to[t->to_count].text) == 0)
				yaml_error(r->y, one, "recipient %s is here a second time", t->to[i].text);
		check_recipient(r, one, t, &t->to[t->to_count++]);
	}
}

/* ---- how it is sent ---- */

static void read_protection(struct flow_reader *r, const struct yaml_node *map, struct flow_traffic *t)
{
	static const enum flow_tls USUAL[] = { FLOW_TLS_NONE, FLOW_TLS_STARTTLS, FLOW_TLS_IMPLICIT };
	uint32_t service = FLOW_SUBMISSION;
	uint32_t tls;

	(void)yaml_get_choice(map, "service", SERVICES, &service);
	tls = USUAL[service];
	t->auth = service != FLOW_SMTP;
	(void)yaml_get_choice(map, "tls", TLS_MODES, &tls);
	(void)yaml_get_bool(map, "auth", &t->auth);
	t->service = (enum flow_service)service;
	t->tls = (enum flow_tls)tls;
	if ((t->service == FLOW_SUBMISSIONS) != (t->tls == FLOW_TLS_IMPLICIT))
		yaml_error_at_key(r->y, yaml_get(map, "tls"),
				  "service submissions, and no other, has implicit TLS");
	if (t->auth && t->tls == FLOW_TLS_NONE)
		yaml_error_at_key(
			r->y, yaml_get(map, "auth") != NULL ? yaml_get(map, "auth") : yaml_get(map, "tls"),
			"no server takes a password without TLS; set tls, or \"auth: no\"");
}

/* "via" and who may send what there. */
static void read_via(struct flow_reader *r, const struct yaml_node *map, struct flow_traffic *t)
{
	const struct yaml_node *from = yaml_get(map, "from");
	const struct yaml_node *at = yaml_get(map, "via");
	int32_t via = at != NULL ? flow_get_host(r, map, "via") : t->from.host;

	at = at != NULL ? at : from;
	if (via == FLOW_NONE || t->from.text == NULL)
		return;
	t->via = (uint32_t)via;
	if (has_no_server(r->flow, via))
		yaml_error(r->y, at, "host \"%s\" has target none: nothing there takes mail",
			   r->flow->hosts[via].name);
	if (t->auth && (t->from.account == FLOW_NONE || t->from.host != via))
		yaml_error(r->y, from,
			   "%s has no account on host \"%s\" to log in with; add it, or set \"auth: no\"",
			   t->from.text, r->flow->hosts[via].name);
	if (t->auth || t->outcome == FLOW_REJECTED)
		return;
	for (uint32_t i = 0; i < t->to_count; i++)
		if (t->to[i].host != via)
			yaml_error(
				r->y, yaml_get(map, "to"),
				"host \"%s\" relays to %s only after a login; use service submission, or say "
				"\"outcome: rejected\"",
				r->flow->hosts[via].name, t->to[i].text);
}

/* "80/s" or "80" */
static void read_rate(struct flow_reader *r, const struct yaml_node *map, struct flow_traffic *t)
{
	const struct yaml_node *n = yaml_get(map, "rate");
	const char *text;
	char number[32], *end = NULL;

	if (!yaml_require(map, "rate") || !yaml_as_str(n, &text))
		return;
	struct span s = span_of(text);
	if (span_ends_nocase(s, SPAN_LIT("/s")))
		s.n -= 2;
	bool good = span_copy(s, number, sizeof(number)) && strspn(number, "0123456789.") == s.n && s.n > 0;
	t->rate_per_s = good ? strtod(number, &end) : 0;
	if (!good || *end != '\0' || t->rate_per_s <= 0 || t->rate_per_s > RATE_PER_S_MAX)
		yaml_error(r->y, n, "expected a rate such as 80/s, at most %d/s, found \"%s\"",
			   RATE_PER_S_MAX, text);
}

static void read_amount(struct flow_reader *r, const struct yaml_node *map, struct flow_traffic *t)
{
	const struct yaml_node *at = yaml_get(map, "for");
	bool counted = yaml_get(map, "count") != NULL;

	(void)yaml_get_u32(map, "count", 1, MESSAGES_MAX, &t->message_count);
	(void)yaml_get_duration_ms(map, "for", 1, DURATION_MS_MAX, &t->duration_ms);
	if (counted && at != NULL)
		yaml_error_at_key(r->y, at, "say \"for\" or \"count\", not both");
	if (!counted && at == NULL)
		yaml_error_at_key(r->y, map, "key \"for\" or \"count\" is missing here");
	if (t->rate_per_s * (double)t->duration_ms / 1000 > MESSAGES_MAX)
		yaml_error(r->y, at, "that is more than %d messages", MESSAGES_MAX);
}

/* "4KiB" or "2KiB..8KiB" */
static void read_size(struct flow_reader *r, const struct yaml_node *map, struct flow_traffic *t)
{
	const struct yaml_node *n = yaml_get(map, "size");
	const char *text;
	char low_text[24], high_text[24];

	t->size_bytes_min = t->size_bytes_max = 4096;
	if (!yaml_as_str(n, &text))
		return;
	const char *dots = strstr(text, "..");
	struct span low = span_of(text), high = low;
	if (dots != NULL) {
		low.n = (size_t)(dots - text);
		high = span_of(dots + 2);
	}
	uint64_t min_bytes, max_bytes;
	if (!unit_parse_size_bytes(low, &min_bytes) || !unit_parse_size_bytes(high, &max_bytes)) {
		yaml_error(r->y, n, "expected a size such as 4KiB or 2KiB..8KiB, found \"%s\"", text);
		return;
	}
	if (min_bytes > max_bytes)
		yaml_error(r->y, n, "the first size is larger than the second");
	else if (min_bytes < SIZE_BYTES_MIN || max_bytes > SIZE_BYTES_MAX)
		yaml_error(r->y, n, "%s is outside %s to %s", text,
			   unit_format_size_bytes(SIZE_BYTES_MIN, low_text),
			   unit_format_size_bytes(SIZE_BYTES_MAX, high_text));
	t->size_bytes_min = min_bytes;
	t->size_bytes_max = max_bytes;
}

static void read_name(struct flow_reader *r, const struct yaml_node *map, struct flow_traffic *t)
{
	t->name = "";
	if (!yaml_require(map, "name") || !yaml_get_str(map, "name", &t->name))
		return;
	if (t->name[0] == '\0')
		yaml_error(r->y, yaml_get(map, "name"), "an empty name");
	for (const struct flow_traffic *other = r->flow->traffic; other < t; other++)
		if (strcmp(other->name, t->name) == 0)
			yaml_error(r->y, yaml_get(map, "name"), "traffic \"%s\" is here a second time",
				   t->name);
}

static void read_traffic(struct flow_reader *r, const struct yaml_node *map, struct flow_traffic *t)
{
	static const char *const ARRIVALS[] = { "constant", "poisson", NULL };
	static const char *const OUTCOMES[] = { "delivered", "bounced", "rejected", NULL };
	uint32_t arrival = FLOW_ARRIVAL_POISSON, outcome = FLOW_DELIVERED;

	read_name(r, map, t);
	(void)yaml_get_choice(map, "arrival", ARRIVALS, &arrival);
	(void)yaml_get_choice(map, "outcome", OUTCOMES, &outcome);
	t->arrival = (enum flow_arrival)arrival;
	t->outcome = (enum flow_outcome)outcome;
	t->from.host = t->from.account = FLOW_NONE;
	if (yaml_require(map, "from") && read_address(r, yaml_get(map, "from"), &t->from) &&
	    t->from.host == FLOW_NONE)
		yaml_error(r->y, yaml_get(map, "from"),
			   "no host has the domain \"%s\", so a notification could not come back",
			   t->from.domain);
	read_recipients(r, map, t);
	read_protection(r, map, t);
	read_via(r, map, t);
	read_rate(r, map, t);
	(void)yaml_get_duration_ms(map, "at", 0, DURATION_MS_MAX, &t->start_ms);
	read_amount(r, map, t);
	read_size(r, map, t);
	t->session_count = 4;
	(void)yaml_get_u32(map, "sessions", 1, SESSIONS_MAX, &t->session_count);
}

void flow_read_traffic(struct flow_reader *r)
{
	const struct yaml_node *list = yaml_get_list(r->root, "traffic");
	struct flow *f = r->flow;

	if (!yaml_require(r->root, "traffic") || list == NULL)
		return;
	if (yaml_child_count(list) == 0 || yaml_child_count(list) > TRAFFIC_MAX) {
		yaml_error_at_key(r->y, list, "a flow has 1 to %d kinds of traffic", TRAFFIC_MAX);
		return;
	}
	f->traffic = flow_array(r, yaml_child_count(list), sizeof(*f->traffic));
	for (const struct yaml_node *n = yaml_first(list); n != NULL; n = yaml_next(n)) {
		if (yaml_kind(n) != YAML_MAP)
			yaml_error(r->y, n, "expected \"key: value\" lines such as \"name: letters\"");
		else
			read_traffic(r, n, &f->traffic[f->traffic_count++]);
	}
}

/* ---- retrieval ---- */

static bool is_retrieved(const struct flow *f, uint32_t host, uint32_t account)
{
	for (uint32_t i = 0; i < f->retrieve_count; i++)
		if (f->retrieves[i].host == host && f->retrieves[i].account.account == (int32_t)account)
			return true;
	return false;
}

static void read_retrieve(struct flow_reader *r, const struct yaml_node *map)
{
	static const char *const PROTOCOLS[] = { "pop3", "pop3s", NULL };
	struct flow_retrieve *v = &r->flow->retrieves[r->flow->retrieve_count];
	const struct yaml_node *at = yaml_get(map, "account");
	uint32_t protocol = 1, tls;

	*v = (struct flow_retrieve){ .every_ms = RETRIEVE_EVERY_MS };
	(void)yaml_get_choice(map, "protocol", PROTOCOLS, &protocol);
	tls = protocol == 1 ? FLOW_TLS_IMPLICIT : FLOW_TLS_STARTTLS;
	(void)yaml_get_choice(map, "tls", TLS_MODES, &tls);
	if ((protocol == 1) != (tls == FLOW_TLS_IMPLICIT))
		yaml_error_at_key(r->y, yaml_get(map, "tls"),
				  "protocol pop3s, and no other, has implicit TLS");
	if (tls == FLOW_TLS_NONE)
		yaml_error_at_key(r->y, yaml_get(map, "tls"), "no server takes a password without TLS");
	v->service = protocol == 1 ? FLOW_POP3S : FLOW_POP3;
	v->tls = (enum flow_tls)tls;
	(void)yaml_get_duration_ms(map, "every", 1, DURATION_MS_MAX, &v->every_ms);
	if (!yaml_require(map, "account") || !read_address(r, at, &v->account))
		return;
	if (v->account.account == FLOW_NONE) {
		yaml_error(r->y, at, "there is no account %s", v->account.text);
		return;
	}
	v->host = (uint32_t)v->account.host;
	if (is_retrieved(r->flow, v->host, (uint32_t)v->account.account))
		yaml_error(r->y, at, "account %s is here a second time", v->account.text);
	else
		r->flow->retrieve_count++;
}

/* Mail that nobody expects shows only where somebody looks. */
static void add_unmentioned(struct flow_reader *r, uint32_t host, uint32_t account)
{
	const struct flow_host *h = &r->flow->hosts[host];
	const char *local = h->accounts[account].local_part;
	const char *domain = h->domain_count > 0 ? h->domains[0] : "";
	size_t bytes = strlen(local) + strlen(domain) + 2;
	char *text = yaml_alloc(r->y, bytes);

	(void)snprintf(text, bytes, "%s@%s", local, domain);
	r->flow->retrieves[r->flow->retrieve_count++] = (struct flow_retrieve){
		.account = { text, local, domain, (int32_t)host, (int32_t)account },
		.host = host,
		.service = FLOW_POP3S,
		.tls = FLOW_TLS_IMPLICIT,
		.every_ms = RETRIEVE_EVERY_MS,
	};
}

void flow_read_retrieve(struct flow_reader *r)
{
	const struct yaml_node *list = yaml_get_list(r->root, "retrieve");
	struct flow *f = r->flow;
	uint32_t room = yaml_child_count(list);

	for (uint32_t i = 0; i < f->host_count; i++)
		room += f->hosts[i].account_count;
	f->retrieves = flow_array(r, room, sizeof(*f->retrieves));
	for (const struct yaml_node *n = yaml_first(list); n != NULL; n = yaml_next(n)) {
		if (yaml_kind(n) != YAML_MAP)
			yaml_error(
				r->y, n,
				"expected \"key: value\" lines such as \"account: sales@fredsco.example\"");
		else
			read_retrieve(r, n);
	}
	for (uint32_t i = 0; i < f->host_count; i++)
		for (uint32_t k = 0; k < f->hosts[i].account_count; k++)
			if (!is_retrieved(f, i, k))
				add_unmentioned(r, i, k);
}
