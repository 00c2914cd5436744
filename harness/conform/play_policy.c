#include "harness/conform/play_parts.h"

#include "harness/conform/hop_tls.h"
#include "harness/conform/request_check.h"

#include <stdio.h>

/* The policy hosts of a case (RFC 8461), and what it judges of that which they were asked. */

enum { HTTPS_PORT = 443 };

/* ---- what it says ---- */

static bool expand_answer(struct play *p, const struct case_policy_answer *a, struct buf *fields,
			  struct buf *body)
{
	buf_addf(fields, "Content-Type: %s\n", a->media_type);
	for (uint32_t i = 0; i < a->field_count; i++) {
		buf_addf(fields, "%s: ", a->fields[i].name);
		if (!play_expand(p, &a->fields[i].value, fields))
			return false;
		buf_add_cstr(fields, "\n");
	}
	return play_expand(p, &a->body, body);
}

static bool say(struct play *p, struct policy_host *h)
{
	const struct case_policy_answer *a = play_step(p)->answer;
	struct buf fields = { 0 }, body = { 0 };

	bool fine = expand_answer(p, a, &fields, &body);
	if (fine)
		policy_host_says(h, &(struct policy_answer){ .silence = a->silence,
							     .status = (int)a->status,
							     .fields = buf_span(&fields),
							     .body = buf_span(&body) });
	buf_free(&fields);
	buf_free(&body);
	return fine;
}

/* ---- life ---- */

static void on_news(void *ctx)
{
	play_poke(ctx);
}

/* NULL: the play is over. */
static struct policy_host *new_host(struct play *p, const struct case_policy_host *what, struct addr at)
{
	char host_name[128];
	struct err e;

	(void)snprintf(host_name, sizeof(host_name), "%s.%s", what->name, p->world.zone);
	struct tls_ctx *tls = hop_tls_new(&(struct hop_tls_options){ .what = &what->tls,
								     .name = what->name,
								     .ca = world_ca(p->o.sut->world),
								     .host_name = host_name,
								     .token = p->o.token,
								     .values = &p->values },
					  &e);
	struct policy_host *h =
		tls == NULL ? NULL
			    : policy_host_new(&(struct policy_options){ .loop = p->o.loop,
									.name = what->name,
									.tls = tls,
									.at = at,
									.transcript = &p->outcome.transcript,
									.on_news = on_news,
									.ctx = p },
					      &e);
	if (h == NULL)
		play_finish(p, CONFORM_ERROR, what->line, "policy host %s: %s", what->name, e.text);
	return h;
}

/* The first time it is opened; later it says something else. */
void play_policy_host(struct play *p)
{
	uint32_t index = play_step(p)->policy_host;
	const struct case_policy_host *what = p->file->policy_hosts[index];
	struct play_world *w = &p->world;
	char variable[40], ip[56];

	if (w->policy_hosts[index] == NULL && !what->absent) {
		if (!world_is_private(p->o.sut->world)) {
			play_finish(p, CONFORM_NOT_TESTED, what->line,
				    "policy hosts are at port 443, which only a private network has");
			return;
		}
		struct addr at = play_hops_addr(p, index);
		addr_set_port(&at, HTTPS_PORT);
		w->policy_hosts[index] = new_host(p, what, at);
		if (w->policy_hosts[index] == NULL)
			return;
	}
	if (w->policy_hosts[index] != NULL && !say(p, w->policy_hosts[index]))
		return;
	if (!w->policy_host_known[index]) {
		struct addr at = play_hops_addr(p, index);
		w->policy_host_known[index] = true;
		(void)snprintf(variable, sizeof(variable), "%s.ip", what->name);
		values_set(&p->values, span_of(variable), span_of(addr_format_ip(&at, ip)), false);
		if (what->has_address && !play_hops_add_address(p, what->name, &at))
			return;
	}
	play_next(p);
}

/* ---- the verdict ---- */

bool play_policy_asked(const struct play *p, struct buf *why)
{
	const struct case_step *s = play_step(p);
	const struct policy_host *h = p->world.policy_hosts[s->policy_host];
	int64_t at_ns[POLICY_REQUESTS_MAX];
	uint32_t count = h != NULL ? h->request_count : 0;
	bool any;

	for (uint32_t i = 0; i < count; i++)
		at_ns[i] = h->requests[i].at_ns;
	if (!play_counts_hold(s, at_ns, count, "request", &any, why))
		return false;
	for (uint32_t i = 0; i < count; i++)
		if (!request_passes(&h->requests[i], s, &p->values, why))
			return false;
	if (count == 0 && !any)
		buf_addf(why, "%s was asked for nothing", p->file->policy_hosts[s->policy_host]->name);
	return count > 0 || any;
}

bool play_policy_is_unasked(const struct play *p, struct buf *why)
{
	const struct case_step *s = play_step(p);
	const struct policy_host *h = p->world.policy_hosts[s->policy_host];
	uint32_t count = h != NULL ? h->request_count : 0;

	buf_addf(why, "%s: %u requests to it", p->file->policy_hosts[s->policy_host]->name, count);
	return count == 0;
}
