#include "harness/scenario/case_read.h"

/* Policy hosts (RFC 8461 section 3.3): what they say, and what the verdict says of them. */

enum { STATUS_OK = 200 };

int case_find_policy_host(const struct case_reader *r, struct span name)
{
	for (uint32_t i = 0; i < r->c->policy_host_count; i++)
		if (span_eq(name, span_of(r->c->policy_hosts[i]->name)))
			return (int)i;
	return -1;
}

static void add_host(struct case_reader *r, struct span name)
{
	struct case_file *c = r->c;
	char variable[CASE_HOST_NAME_BYTES_MAX + 8];

	if (case_find_hop(r, name) >= 0) {
		case_error(r, name, "there is a next hop of this name");
		return;
	}
	if (c->policy_host_count == CASE_POLICY_HOSTS_MAX) {
		case_error(r, name, "more than %d policy hosts", CASE_POLICY_HOSTS_MAX);
		return;
	}
	r->policy_host = case_alloc(c, sizeof(*r->policy_host));
	*r->policy_host = (struct case_policy_host){ .name = case_keep(c, name), .line = r->line_number };
	c->policy_hosts[c->policy_host_count++] = r->policy_host;
	(void)snprintf(variable, sizeof(variable), "%s.ip", r->policy_host->name);
	case_bind(r, span_of(variable));
}

/* The first such line opens the host; a later one of the same name says what it answers from then on. */
void case_read_policy_host(struct case_reader *r, struct span rest)
{
	struct case_step *s = case_add_step(r, CASE_POLICY_HOST);

	if (s == NULL)
		return;
	if (!case_needs(r->c, "mta-sts"))
		case_error(r, r->line, "nobody asks a policy host unless \"needs:\" names \"mta-sts\"");
	r->answer = case_alloc(r->c, sizeof(*r->answer));
	*r->answer = (struct case_policy_answer){ .status = STATUS_OK, .media_type = "text/plain" };
	s->answer = r->answer;
	struct span name = case_take_host_name(r, &rest, "a policy host");
	if (name.n == 0)
		return;
	case_nothing_more(r, rest);
	int known = case_find_policy_host(r, name);
	if (known < 0)
		add_host(r, name);
	s->policy_host = known < 0 ? r->c->policy_host_count - 1 : (uint32_t)known;
}

/* ---- what it says ---- */

static void read_status(struct case_reader *r, struct span rest)
{
	uint64_t status = 0;

	rest = span_trim(rest);
	if (!span_to_u64(rest, &status) || status < 200 || status > 599)
		case_error(r, rest.n > 0 ? rest : r->line, "which status? 200 to 599");
	r->answer->status = (uint32_t)status;
}

static void read_media_type(struct case_reader *r, struct span rest)
{
	rest = span_trim(rest);
	if (span_find(rest, '/') == rest.n)
		case_error(r, rest.n > 0 ? rest : r->line, "which media type? type text/html");
	r->answer->media_type = case_keep(r->c, rest);
}

/* header Location: https://... */
static void read_field(struct case_reader *r, struct span rest)
{
	struct case_policy_answer *a = r->answer;
	struct span name;

	rest = span_trim(rest);
	if (!span_take_until(&rest, ':', &name) || name.n == 0 || span_trim(rest).n == 0) {
		case_error(r, rest.n > 0 ? rest : r->line, "it goes: header Cache-Control: max-age=60");
		return;
	}
	if (a->field_count == CASE_POLICY_FIELDS_MAX) {
		case_error(r, r->line, "more than %d fields", CASE_POLICY_FIELDS_MAX);
		return;
	}
	a->fields[a->field_count].name = case_keep(r->c, name);
	a->fields[a->field_count++].value = case_text_of(r, span_trim(rest), false);
}

static void read_body(struct case_reader *r, struct span rest)
{
	struct case_text text;

	if (!case_take_quoted(r, &rest, &text))
		return;
	r->answer->body = case_join(r->c, r->answer->body, text);
	case_nothing_more(r, rest);
}

/* What belongs to the host, and is said where it is opened. */
static bool is_opened_here(struct case_reader *r)
{
	if (r->policy_host != NULL)
		return true;
	case_error(r, r->line, "this is said where the policy host first stands");
	return false;
}

void case_read_policy_detail(struct case_reader *r)
{
	static const char *const WORDS[] = { "policy", "status",      "type",   "header", "silence",
					     "tls",    "tls-version", "absent", NULL };
	struct span rest = case_without_comment(r->line, true);
	struct span word = case_word(&rest);
	int what = case_index(word, WORDS);

	switch (what) {
	case 0:
		read_body(r, rest);
		return;
	case 1:
		read_status(r, rest);
		return;
	case 2:
		read_media_type(r, rest);
		return;
	case 3:
		read_field(r, rest);
		return;
	case 4:
		r->answer->silence = true;
		case_nothing_more(r, rest);
		return;
	case 5:
		if (is_opened_here(r))
			case_read_tls(r, &r->policy_host->tls, rest);
		return;
	case 6:
		if (is_opened_here(r))
			case_read_tls_version(r, &r->policy_host->tls, rest);
		return;
	case 7:
		if (is_opened_here(r))
			r->policy_host->absent = true;
		case_nothing_more(r, rest);
		return;
	default:
		case_unknown(r, word, "detail of a policy host", WORDS);
	}
}

/* ---- the verdict ---- */

void case_read_asked(struct case_reader *r, enum case_step_kind kind, struct span rest)
{
	struct case_step *s = case_add_step(r, kind);

	if (s == NULL)
		return;
	rest = case_without_colon(rest);
	case_take_within(r, &rest, s);
	struct span name = case_word(&rest);
	int host = case_find_policy_host(r, name);
	if (host < 0)
		case_error(r, name.n > 0 ? name : r->line, "no policy host above has this name");
	else
		s->policy_host = (uint32_t)host;
	case_nothing_more(r, rest);
}
