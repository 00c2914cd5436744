#include "harness/scenario/flow.h"

#include "base/buf.h"
#include "base/suggest.h"
#include "harness/scenario/find.h"
#include "harness/scenario/flow_read.h"
#include "harness/scenario/target.h"

#include <assert.h>
#include <ldns/ldns.h>
#include <stdlib.h>
#include <string.h>

enum {
	ACCOUNTS_MAX = 64,
	DOMAINS_MAX = 16,
	NAME_BYTES_MAX = 32,
	LOCAL_PART_BYTES_MAX = 64,
	DOMAIN_BYTES_MAX = 253,
	LABEL_BYTES_MAX = 63,
};

/* ---- names ---- */

const char *flow_service_name(enum flow_service s)
{
	static const char *const NAMES[] = { "smtp", "submission", "submissions", "pop3", "pop3s", "lmtp" };

	assert(s < FLOW_SERVICE_COUNT);
	return NAMES[s];
}

const char *flow_fault_name(enum flow_fault_kind k)
{
	static const char *const NAMES[] = { "host stop",      "host kill",  "host restart", "link refuse",
					     "link blackhole", "link reset", "link delay",   "dns servfail",
					     "dns nxdomain",   "dns timeout" };

	assert(k <= FLOW_DNS_TIMEOUT);
	return NAMES[k];
}

const char *flow_ledger_name(enum flow_ledger l)
{
	static const char *const NAMES[] = { "rejected",   "delivered",    "transformed", "bounced",
					     "queued",     "lost",         "duplicated",  "corrupted",
					     "unexpected", "indeterminate" };

	assert(l < FLOW_LEDGER_COUNT);
	return NAMES[l];
}

const char *flow_metric_name(enum flow_metric m)
{
	static const char *const NAMES[] = { "send_lag", "accept",     "queue",
					     "transfer", "visibility", "end_to_end" };

	assert(m < FLOW_METRIC_COUNT);
	return NAMES[m];
}

/* ---- helpers of all parts ---- */

void *flow_array(struct flow_reader *r, uint32_t count, size_t item_bytes)
{
	return count > 0 ? yaml_alloc(r->y, count * item_bytes) : NULL;
}

int32_t flow_host_by_name(const struct flow *f, struct span name)
{
	for (uint32_t i = 0; i < f->host_count; i++)
		if (span_eq(name, span_of(f->hosts[i].name)))
			return (int32_t)i;
	return FLOW_NONE;
}

int32_t flow_host_by_domain(const struct flow *f, struct span domain)
{
	for (uint32_t i = 0; i < f->host_count; i++)
		for (uint32_t k = 0; k < f->hosts[i].domain_count; k++)
			if (span_eq_nocase(domain, span_of(f->hosts[i].domains[k])))
				return (int32_t)i;
	return FLOW_NONE;
}

int32_t flow_host_at(struct flow_reader *r, const struct yaml_node *n, struct span name)
{
	const char *names[FLOW_HOSTS_MAX];
	char given[NAME_BYTES_MAX + 1];
	int32_t host = flow_host_by_name(r->flow, name);

	if (host != FLOW_NONE)
		return host;
	for (uint32_t i = 0; i < r->flow->host_count; i++)
		names[i] = r->flow->hosts[i].name;
	const char *near = span_copy(name, given, sizeof(given))
				   ? suggest_name(given, names, r->flow->host_count)
				   : NULL;
	if (near != NULL)
		yaml_error(r->y, n, "there is no host \"%.*s\"; did you mean \"%s\"?", SPAN_FMT(name), near);
	else
		yaml_error(r->y, n, "there is no host \"%.*s\" in this flow", SPAN_FMT(name));
	return FLOW_NONE;
}

int32_t flow_get_host(struct flow_reader *r, const struct yaml_node *map, const char *key)
{
	const char *name;

	if (!yaml_get_str(map, key, &name))
		return FLOW_NONE;
	return flow_host_at(r, yaml_get(map, key), span_of(name));
}

static bool is_word_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
}

/* Lower-case words with hyphens: they become file names. */
static bool is_plain_name(const char *s)
{
	size_t n = strlen(s);

	for (size_t i = 0; i < n; i++)
		if (!is_word_char(s[i]))
			return false;
	return n > 0 && n <= NAME_BYTES_MAX && s[0] != '-';
}

bool flow_is_domain(struct span s)
{
	size_t label_bytes = 0;

	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i] >= 'A' && s.p[i] <= 'Z' ? (char)(s.p[i] | 0x20) : s.p[i];
		if (c == '.' ? label_bytes == 0 : !is_word_char(c) && c != '_')
			return false;
		label_bytes = c == '.' ? 0 : label_bytes + 1;
		if (label_bytes > LABEL_BYTES_MAX)
			return false;
	}
	return s.n > 0 && s.n <= DOMAIN_BYTES_MAX && label_bytes > 0;
}

bool flow_domain_is_under(const char *domain, const char *const *names, uint32_t name_count)
{
	size_t n = strlen(domain);

	for (uint32_t i = 0; i < name_count; i++) {
		size_t m = strlen(names[i]);
		if (n >= m && span_ends_nocase(span_of(domain), span_of(names[i])) &&
		    (n == m || domain[n - m - 1] == '.'))
			return true;
	}
	return false;
}

/* One text or a list of texts. */
static uint32_t read_strings(struct flow_reader *r, const struct yaml_node *n, uint32_t count_max,
			     const char ***ret_items)
{
	uint32_t count = 0;

	if (n == NULL)
		return 0;
	if (yaml_kind(n) != YAML_LIST) {
		*ret_items = flow_array(r, 1, sizeof(**ret_items));
		return yaml_as_str(n, &(*ret_items)[0]) ? 1 : 0;
	}
	if (yaml_child_count(n) > count_max) {
		yaml_error(r->y, n, "more than %u entries", count_max);
		return 0;
	}
	*ret_items = flow_array(r, yaml_child_count(n), sizeof(**ret_items));
	for (const struct yaml_node *i = yaml_first(n); i != NULL; i = yaml_next(i))
		if (yaml_as_str(i, &(*ret_items)[count]))
			count++;
	return count;
}

/* ---- hosts ---- */

static void read_account(struct flow_reader *r, struct flow_host *h, const struct yaml_node *n,
			 const char *name)
{
	static const char ALLOWED[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.+_-";
	size_t bytes = strlen(name);

	if (bytes == 0 || bytes > LOCAL_PART_BYTES_MAX || strspn(name, ALLOWED) != bytes || name[0] == '.' ||
	    name[bytes - 1] == '.')
		yaml_error_at_key(r->y, n, "\"%s\" is no account name: letters, digits and . + _ - make one",
				  name);
	for (uint32_t i = 0; i < h->account_count; i++)
		if (strcmp(h->accounts[i].local_part, name) == 0)
			yaml_error_at_key(r->y, n, "account \"%s\" is here a second time", name);
	struct flow_account *a = &h->accounts[h->account_count++];
	a->local_part = name;
	if (yaml_key(n) != NULL && yaml_kind(n) != YAML_NULL && yaml_as_str(n, &a->password) &&
	    a->password[0] == '\0')
		yaml_error(r->y, n, "an empty password; leave it out to have one made for each run");
}

/* "accounts: [barney]" or "accounts: {barney: secret}". */
static void read_accounts(struct flow_reader *r, struct flow_host *h, const struct yaml_node *n)
{
	const char *name;

	if (n == NULL)
		return;
	if (yaml_kind(n) == YAML_SCALAR) {
		yaml_error(r->y, n, "\"accounts\" wants a list of names, or \"name: password\" lines");
		return;
	}
	if (yaml_child_count(n) > ACCOUNTS_MAX) {
		yaml_error(r->y, n, "more than %d accounts", ACCOUNTS_MAX);
		return;
	}
	h->accounts = flow_array(r, yaml_child_count(n), sizeof(*h->accounts));
	for (const struct yaml_node *i = yaml_first(n); i != NULL; i = yaml_next(i)) {
		if (yaml_key(i) != NULL)
			read_account(r, h, i, yaml_key(i));
		else if (yaml_as_str(i, &name))
			read_account(r, h, i, name);
	}
}

static void read_domains(struct flow_reader *r, struct flow_host *h, const struct yaml_node *n)
{
	const struct yaml_node *at = yaml_get(n, "domains");
	const struct yaml_node *one = yaml_get(n, "domain");

	if (at != NULL && one != NULL)
		yaml_error_at_key(r->y, at, "say \"domain\" or \"domains\", not both");
	else if (at == NULL && one == NULL)
		yaml_error_at_key(r->y, n, "key \"domain\" is missing here");
	at = at != NULL ? at : one;
	h->domain_count = 0; /* so that a domain of this host does not look like another's while it is read */
	uint32_t count = read_strings(r, at, DOMAINS_MAX, &h->domains);
	for (uint32_t i = 0; i < count; i++) {
		if (!flow_is_domain(span_of(h->domains[i])))
			yaml_error(r->y, at, "\"%s\" is no domain name", h->domains[i]);
		int32_t other = flow_host_by_domain(r->flow, span_of(h->domains[i]));
		if (other != FLOW_NONE)
			yaml_error(r->y, at, "domain \"%s\" is already at home on host \"%s\"", h->domains[i],
				   r->flow->hosts[other].name);
	}
	h->domain_count = count;
}

static void read_mx_name(struct flow_reader *r, struct flow_host *h, const struct yaml_node *n)
{
	struct buf name = { 0 };

	if (yaml_get_str(n, "mx", &h->mx_name)) {
		if (!flow_is_domain(span_of(h->mx_name)))
			yaml_error(r->y, yaml_get(n, "mx"), "\"%s\" is no host name", h->mx_name);
		return;
	}
	buf_addf(&name, "mx.%s", h->domain_count > 0 ? h->domains[0] : "invalid");
	char *kept = yaml_alloc(r->y, buf_bytes(&name) + 1);
	memcpy(kept, buf_cstr(&name), buf_bytes(&name));
	h->mx_name = kept;
	buf_free(&name);
}

/* "none", or the name of a file in scenarios/targets; what is in it is looked at before a run. */
static void check_target(struct flow_reader *r, const struct flow_host *h, const struct yaml_node *n)
{
	char near[NAME_BYTES_MAX + 1];

	if (strcmp(h->target, "none") == 0 || (is_plain_name(h->target) && target_exists(h->target)))
		return;
	if (target_nearest(h->target, near, sizeof(near)))
		yaml_error(r->y, n, "there is no target \"%s\"; did you mean \"%s\"?", h->target, near);
	else
		yaml_error(r->y, n, "there is no target \"%s\"; 'postrider targets' names them", h->target);
}

static void read_host(struct flow_reader *r, struct flow_host *h, const struct yaml_node *n)
{
	h->name = yaml_key(n);
	h->smart_host = FLOW_NONE;
	h->target = "reference";
	if (!is_plain_name(h->name))
		yaml_error_at_key(r->y, n,
				  "\"%s\" is no host name: lower-case letters, digits and hyphens make one",
				  h->name);
	if (yaml_kind(n) != YAML_MAP) {
		yaml_error_at_key(r->y, n, "host \"%s\" wants \"key: value\" lines, at least its domain",
				  h->name);
		return;
	}
	read_domains(r, h, n);
	read_mx_name(r, h, n);
	if (yaml_get_str(n, "target", &h->target))
		check_target(r, h, yaml_get(n, "target"));
	read_accounts(r, h, yaml_get(n, "accounts"));
	(void)yaml_get_bool(n, "tls-out", &h->tls_out);
	h->settings = yaml_get_map(n, "settings");
	if (strcmp(h->target, "none") == 0 && (h->account_count > 0 || h->settings != NULL))
		yaml_error_at_key(
			r->y, yaml_get(n, "target"),
			"no server runs on a host with target none, so it has no accounts and no settings");
	(void)yaml_get(n, "smart-host"); /* read when all hosts are known */
}

static void read_smart_host(struct flow_reader *r, uint32_t index, const struct yaml_node *n)
{
	struct flow_host *h = &r->flow->hosts[index];

	h->smart_host = flow_get_host(r, n, "smart-host");
	if (h->smart_host == (int32_t)index)
		yaml_error(r->y, yaml_get(n, "smart-host"), "a host cannot be its own smart host");
}

static void read_hosts(struct flow_reader *r)
{
	const struct yaml_node *hosts = yaml_get_map(r->root, "hosts");
	struct flow *f = r->flow;
	uint32_t index = 0;

	if (!yaml_require(r->root, "hosts"))
		return;
	if (yaml_child_count(hosts) > FLOW_HOSTS_MAX) {
		yaml_error_at_key(r->y, hosts, "more than %d hosts", FLOW_HOSTS_MAX);
		return;
	}
	if (hosts != NULL && yaml_child_count(hosts) == 0)
		yaml_error_at_key(r->y, hosts, "a flow needs at least one host");
	f->hosts = flow_array(r, yaml_child_count(hosts), sizeof(*f->hosts));
	for (const struct yaml_node *n = yaml_first(hosts); n != NULL; n = yaml_next(n)) {
		f->host_count++;
		read_host(r, &f->hosts[f->host_count - 1], n);
	}
	for (const struct yaml_node *n = yaml_first(hosts); n != NULL; n = yaml_next(n))
		read_smart_host(r, index++, n);
}

/* ---- dns ---- */

static void read_domain_names(struct flow_reader *r, const struct yaml_node *n, const char ***ret_names,
			      uint32_t *ret_count)
{
	*ret_count = read_strings(r, n, UINT16_MAX, ret_names);
	for (uint32_t i = 0; i < *ret_count; i++) {
		if (!flow_is_domain(span_of((*ret_names)[i])))
			yaml_error(r->y, n, "\"%s\" is no domain name", (*ret_names)[i]);
		int32_t host = flow_host_by_domain(r->flow, span_of((*ret_names)[i]));
		if (host != FLOW_NONE)
			yaml_error(r->y, n, "\"%s\" is a domain of host \"%s\"; use a dns fault to break it",
				   (*ret_names)[i], r->flow->hosts[host].name);
	}
}

/* The owner's name, for the check of recipients; NULL after a mistake. */
static const char *read_record(struct flow_reader *r, const struct yaml_node *n, const char *line)
{
	ldns_rr *rr = NULL;
	ldns_status status = ldns_rr_new_frm_str(&rr, line, 0, NULL, NULL);

	if (status != LDNS_STATUS_OK || rr == NULL) {
		yaml_error(r->y, n, "no zone file line: %s", ldns_get_errorstr_by_id(status));
		return NULL;
	}
	char *owner = ldns_rdf2str(ldns_rr_owner(rr));
	size_t bytes = strlen(owner);
	if (bytes > 0 && owner[bytes - 1] == '.')
		bytes--;
	char *kept = yaml_alloc(r->y, bytes + 1);
	memcpy(kept, owner, bytes);
	free(owner);
	ldns_rr_free(rr);
	return kept;
}

static void read_dns(struct flow_reader *r)
{
	const struct yaml_node *dns = yaml_get_map(r->root, "dns");
	const struct yaml_node *records = yaml_get_list(dns, "records");
	struct flow_dns *d = &r->flow->dns;
	uint32_t count = yaml_child_count(records);

	d->records = flow_array(r, count, sizeof(*d->records));
	r->record_owners = flow_array(r, count, sizeof(*r->record_owners));
	for (const struct yaml_node *n = yaml_first(records); n != NULL; n = yaml_next(n)) {
		const char *line;
		const char *owner = yaml_as_str(n, &line) ? read_record(r, n, line) : NULL;
		if (owner != NULL) {
			r->record_owners[d->record_count] = owner;
			d->records[d->record_count++] = line;
		}
	}
	read_domain_names(r, yaml_get(dns, "nxdomain"), &d->absent_domains, &d->absent_domain_count);
	read_domain_names(r, yaml_get(dns, "servfail"), &d->servfail_domains, &d->servfail_domain_count);
	if (yaml_get_str(dns, "signed", &d->signed_domain) && !flow_is_domain(span_of(d->signed_domain)))
		yaml_error(r->y, yaml_get(dns, "signed"), "\"%s\" is no domain name", d->signed_domain);
}

/* ---- the file ---- */

/* A flow is found by its file's name, so both must agree. */
static void check_name(struct flow_reader *r)
{
	static const char SUFFIX[] = ".flow.yaml";
	const char *slash = strrchr(r->flow->path, '/');
	struct span file = span_of(slash != NULL ? slash + 1 : r->flow->path);
	const struct yaml_node *n = yaml_get(r->root, "flow");

	if (!is_plain_name(r->flow->name))
		yaml_error(r->y, n, "\"%s\" is no flow name: lower-case letters, digits and hyphens make one",
			   r->flow->name);
	else if (span_ends_nocase(file, span_of(SUFFIX)) &&
		 !span_eq(span_sub(file, 0, file.n - strlen(SUFFIX)), span_of(r->flow->name)))
		yaml_error(r->y, n, "the file is called %.*s, so the flow would not be found as \"%s\"",
			   SPAN_FMT(file), r->flow->name);
}

static void read_all(struct flow_reader *r)
{
	struct flow *f = r->flow;

	f->seed = 1;
	f->drain_ms = 60000;
	f->title = "";
	f->name = "";
	if (yaml_require(r->root, "flow") && yaml_get_str(r->root, "flow", &f->name))
		check_name(r);
	if (yaml_require(r->root, "title"))
		(void)yaml_get_str(r->root, "title", &f->title);
	(void)yaml_get_u64(r->root, "seed", 0, UINT64_MAX, &f->seed);
	(void)yaml_get_duration_ms(r->root, "drain", 0, 3600 * 1000, &f->drain_ms);
	read_hosts(r);
	read_dns(r);
	flow_read_traffic(r);
	flow_read_retrieve(r);
	flow_read_faults(r);
	flow_read_expect(r);
	flow_read_limits(r);
}

struct flow *flow_read(const struct flow_options *o)
{
	struct yaml *y =
		yaml_load(&(struct yaml_options){ .path = o->path, .text = o->text, .sets = o->sets });
	struct flow_reader r = { .y = y, .root = yaml_root(y) };

	r.flow = yaml_alloc(y, sizeof(*r.flow));
	r.flow->yaml = y;
	r.flow->path = yaml_path(y);
	if (r.root != NULL) {
		read_all(&r);
		yaml_finish(y);
	}
	uint32_t error_count = yaml_error_count(y);
	if (o->ret_error_count != NULL)
		*o->ret_error_count = error_count;
	if (error_count == 0)
		return r.flow;
	buf_add_cstr(o->ret_messages, yaml_messages(y));
	yaml_free(y);
	return NULL;
}

void flow_free(struct flow *f)
{
	if (f != NULL)
		yaml_free(f->yaml); /* the flow itself lies in its memory */
}

bool flow_find(const char *name, char *ret_path, size_t path_bytes)
{
	return scenario_find("flows", ".flow.yaml", name, ret_path, path_bytes);
}
