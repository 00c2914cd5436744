#include "harness/scenario/flow_target.h"

#include "harness/scenario/target.h"

#include <string.h>

static bool is_server(const struct flow_host *h)
{
	return strcmp(h->target, "none") != 0;
}

static bool check_exists(const char *choice, const char *name, struct buf *messages)
{
	char near[64];

	if (target_exists(name))
		return true;
	buf_addf(messages, "--target %s: there is no target \"%s\"", choice, name);
	if (target_nearest(name, near, sizeof(near)))
		buf_addf(messages, "; did you mean \"%s\"?\n", near);
	else
		buf_add_cstr(messages, "; 'postrider targets' names them\n");
	return false;
}

static bool choose(struct flow *f, const char *choice, struct buf *messages)
{
	struct span rest = span_of(choice), host;
	bool all = !span_take_until(&rest, '=', &host);
	const char *name = all ? choice : rest.p;
	int32_t index = all ? FLOW_NONE : flow_host_by_name(f, host);

	if (!check_exists(choice, name, messages))
		return false;
	if (!all && (index == FLOW_NONE || !is_server(&f->hosts[index]))) {
		buf_addf(messages, "--target %s: flow %s has no host \"%.*s\" that runs a server\n", choice,
			 f->name, SPAN_FMT(host));
		return false;
	}
	for (uint32_t i = 0; i < f->host_count; i++)
		if (is_server(&f->hosts[i]) && (all || (int32_t)i == index))
			f->hosts[i].target = name;
	return true;
}

/* ---- what the flow asks of it ---- */

static bool takes_setting(const struct target *t, const char *key)
{
	for (uint32_t i = 0; i < t->settings.count; i++)
		if (strcmp(t->settings.items[i], "*") == 0 || strcmp(t->settings.items[i], key) == 0)
			return true;
	return false;
}

static void check_settings(struct flow *f, const struct flow_host *h, const struct target *t)
{
	for (const struct yaml_node *n = yaml_first(h->settings); n != NULL; n = yaml_next(n))
		if (!takes_setting(t, yaml_key(n)))
			yaml_error_at_key(f->yaml, n, "target %s cannot be told \"%s\"", t->name,
					  yaml_key(n));
}

static void check_services(struct flow *f, uint32_t host, const struct target *t)
{
	for (uint32_t i = 0; i < f->traffic_count; i++)
		if (f->traffic[i].via == host && !t->services[f->traffic[i].service])
			yaml_error(f->yaml, NULL,
				   "traffic \"%s\" uses %s on host %s, which target %s does not offer",
				   f->traffic[i].name, flow_service_name(f->traffic[i].service),
				   f->hosts[host].name, t->name);
	for (uint32_t i = 0; i < f->retrieve_count; i++)
		if (f->retrieves[i].host == host && !t->services[f->retrieves[i].service])
			yaml_error(f->yaml, NULL,
				   "%s is read by %s on host %s, which target %s does not offer",
				   f->retrieves[i].account.text, flow_service_name(f->retrieves[i].service),
				   f->hosts[host].name, t->name);
}

bool flow_set_targets(struct flow *f, const char *const *choices, struct buf *ret_messages)
{
	bool fine = true;

	for (; choices != NULL && *choices != NULL; choices++)
		fine = choose(f, *choices, ret_messages) && fine;
	for (uint32_t i = 0; i < f->host_count && fine; i++) {
		struct target *t =
			is_server(&f->hosts[i]) ? target_load(f->hosts[i].target, ret_messages) : NULL;
		fine = t != NULL || !is_server(&f->hosts[i]);
		if (t != NULL) {
			check_settings(f, &f->hosts[i], t);
			check_services(f, i, t);
		}
		target_free(t);
	}
	if (yaml_error_count(f->yaml) > 0)
		buf_add_cstr(ret_messages, yaml_messages(f->yaml));
	return fine && yaml_error_count(f->yaml) == 0;
}

/* ---- servers elsewhere ---- */

bool flow_has_password(const struct flow *f, struct span password)
{
	for (uint32_t i = 0; i < f->host_count; i++)
		for (uint32_t k = 0; k < f->hosts[i].account_count; k++)
			if (f->hosts[i].accounts[k].password != NULL &&
			    span_eq(password, span_of(f->hosts[i].accounts[k].password)))
				return true;
	return false;
}

static bool is_listed(const struct target_remote *m, const char *domain)
{
	for (uint32_t i = 0; i < m->recipient_domains.count; i++)
		if (span_eq_nocase(span_of(domain), span_of(m->recipient_domains.items[i])))
			return true;
	return false;
}

static uint32_t check_recipients(const struct flow_traffic *t, const struct target *target,
				 struct buf *messages)
{
	uint32_t mistakes = 0;

	for (uint32_t i = 0; i < t->to_count; i++) {
		if (is_listed(&target->remote, t->to[i].domain))
			continue;
		buf_addf(messages, "traffic %s: target %s does not list %s among its recipient-domains\n",
			 t->name, target->name, t->to[i].domain);
		mistakes++;
	}
	return mistakes;
}

static uint32_t check_traffic_to(const struct flow *f, uint32_t host, const struct target *t,
				 struct buf *messages)
{
	uint32_t mistakes = 0;
	double rate = 0;

	for (uint32_t i = 0; i < f->traffic_count; i++) {
		if (f->traffic[i].via != host)
			continue;
		mistakes += check_recipients(&f->traffic[i], t, messages);
		rate += f->traffic[i].rate_per_s;
	}
	if (rate <= t->remote.rate_per_s_max)
		return mistakes;
	buf_addf(messages, "host %s: %g messages a second are more than the %g that target %s allows\n",
		 f->hosts[host].name, rate, t->remote.rate_per_s_max, t->name);
	return mistakes + 1;
}

static bool strikes(const struct flow_fault *x, uint32_t host)
{
	if (x->kind <= FLOW_HOST_RESTART)
		return x->host == host;
	return x->kind <= FLOW_LINK_DELAY && (x->link_from == host || x->link_to == host);
}

static uint32_t check_remote_host(const struct flow *f, uint32_t host, const struct target *t, bool allowed,
				  struct buf *messages)
{
	const char *name = f->hosts[host].name;
	uint32_t mistakes = 0;

	if (!allowed) {
		buf_addf(messages,
			 "host %s: target %s is a server elsewhere, %s; mail goes there with --allow-remote "
			 "only\n",
			 name, t->name, t->remote.host);
		mistakes++;
	}
	for (uint32_t i = 0; i < f->fault_count; i++) {
		if (!strikes(&f->faults[i], host))
			continue;
		buf_addf(messages,
			 "host %s: a server elsewhere is not to be disturbed, so it has no faults\n", name);
		mistakes++;
		break;
	}
	return mistakes + check_traffic_to(f, host, t, messages);
}

bool flow_check_remote(const struct flow *f, bool allowed, struct buf *ret_messages)
{
	uint32_t mistakes = 0;

	for (uint32_t i = 0; i < f->host_count; i++) {
		struct target *t =
			is_server(&f->hosts[i]) ? target_load(f->hosts[i].target, ret_messages) : NULL;
		if (t != NULL && t->remote.is)
			mistakes += check_remote_host(f, i, t, allowed, ret_messages);
		target_free(t);
	}
	return mistakes == 0;
}

/* ---- whether it can be started here ---- */

static bool can_start(const struct flow_host *h, struct buf *messages)
{
	struct buf missing = { 0 };
	struct target *t = target_load(h->target, messages);
	bool fine = t != NULL && target_can_start(t, &missing);

	if (t != NULL && !fine)
		buf_addf(messages, "host %s: target %s: %s\n", h->name, h->target, buf_cstr(&missing));
	target_free(t);
	buf_free(&missing);
	return fine;
}

bool flow_can_start(const struct flow *f, struct buf *ret_messages)
{
	bool fine = true;

	for (uint32_t i = 0; i < f->host_count; i++)
		if (is_server(&f->hosts[i]))
			fine = can_start(&f->hosts[i], ret_messages) && fine;
	return fine;
}
