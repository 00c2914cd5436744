/*
 * Any bytes as a flow file.  Checked: a flow comes out exactly when there is
 * no message, and everything that users of a flow take for granted holds.
 */
#include "harness/scenario/flow.h"

#include "base/buf.h"
#include "tests/fuzz/fuzz_yaml.h"

#include <string.h>

static void check_address(const struct flow *f, const struct flow_address *a)
{
	must(strchr(a->text, '@') != NULL && a->host >= FLOW_NONE && a->host < (int32_t)f->host_count);
	must(a->account == FLOW_NONE ||
	     (a->host != FLOW_NONE && a->account < (int32_t)f->hosts[a->host].account_count));
}

static void check_traffic(const struct flow *f, const struct flow_traffic *t)
{
	check_address(f, &t->from);
	must(t->to_count > 0 && t->via < f->host_count && strcmp(f->hosts[t->via].target, "none") != 0);
	for (uint32_t i = 0; i < t->to_count; i++) {
		check_address(f, &t->to[i]);
		must(t->outcome != FLOW_DELIVERED || t->to[i].account != FLOW_NONE);
	}
	must(t->rate_per_s > 0 && (t->message_count > 0) != (t->duration_ms > 0));
	must(t->size_bytes_min <= t->size_bytes_max && t->size_bytes_min > 0 && t->session_count > 0);
	must(!t->auth || (t->from.account != FLOW_NONE && t->tls != FLOW_TLS_NONE));
}

static void check_fault(const struct flow *f, const struct flow_fault *x)
{
	must(x->at_ms >= 0 && x->for_ms >= FLOW_FOREVER);
	if (x->kind <= FLOW_HOST_RESTART) {
		must(x->host < f->host_count && strcmp(f->hosts[x->host].target, "none") != 0);
	} else if (x->kind <= FLOW_LINK_DELAY) {
		must(x->link_from < f->host_count && x->link_to < f->host_count &&
		     x->link_from != x->link_to);
		must((x->delay_ms > 0) == (x->kind == FLOW_LINK_DELAY));
	} else {
		must(x->domain != NULL && x->domain[0] != '\0');
	}
}

static void check(const struct flow *f)
{
	uint32_t accounts = 0;

	must(f->host_count > 0 && f->host_count <= FLOW_HOSTS_MAX && f->traffic_count > 0);
	for (uint32_t i = 0; i < f->host_count; i++) {
		const struct flow_host *h = &f->hosts[i];
		must(h->domain_count > 0 && h->smart_host < (int32_t)f->host_count &&
		     h->smart_host != (int32_t)i);
		must(flow_host_by_name(f, span_of(h->name)) == (int32_t)i);
		must(flow_host_by_domain(f, span_of(h->domains[0])) == (int32_t)i);
		accounts += h->account_count;
	}
	must(f->retrieve_count == accounts);
	for (uint32_t i = 0; i < f->traffic_count; i++)
		check_traffic(f, &f->traffic[i]);
	for (uint32_t i = 0; i < f->fault_count; i++)
		check_fault(f, &f->faults[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct buf messages = { 0 };
	uint32_t count = 0;
	struct flow *f = flow_read(&(struct flow_options){ .path = "f",
							   .text = { (const char *)data, n },
							   .ret_messages = &messages,
							   .ret_error_count = &count });

	must((f != NULL) == (count == 0) && (f != NULL) == (buf_bytes(&messages) == 0));
	if (f != NULL)
		check(f);
	flow_free(f);
	buf_free(&messages);
	return 0;
}
