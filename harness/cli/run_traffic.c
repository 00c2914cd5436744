#include "harness/cli/run_impl.h"

#include <stdlib.h>

static const char SYSTEM_TRUST[] = "/etc/ssl/certs/ca-certificates.crt";

/* ---- senders ---- */

static void make_content(void *ctx, uint64_t id, struct buf *ret_message)
{
	struct run *r = ctx;
	struct content_spec spec;
	struct content_digest digest;
	size_t before = buf_bytes(ret_message);

	plan_spec(r->plan, (uint32_t)id, &spec);
	content_make(&spec, ret_message);
	content_digest(span_sub(buf_span(ret_message), before, SIZE_MAX), &digest);
	ledger_content(r->ledger, (uint32_t)id, &digest);
}

static void report_end(struct run *r, uint32_t id, const struct sender_report *rep)
{
	int64_t now_ns = clock_mono_ns();

	switch (rep->outcome) {
	case SENDER_ACCEPTED:
	case SENDER_REFUSED:
	case SENDER_DEFERRED:
		ledger_final_reply(r->ledger, id, rep->final_reply_ns != 0 ? rep->final_reply_ns : now_ns,
				   rep->reply.code, rep->reply.text);
		break;
	case SENDER_NOT_SENT:
	case SENDER_INDETERMINATE:
		ledger_broken(r->ledger, id, now_ns, span_of(rep->problem));
		break;
	}
}

static void on_report(void *ctx, const struct sender_report *rep)
{
	struct run_sender *s = ctx;
	struct run *r = s->run;
	uint32_t id = (uint32_t)rep->id;

	if (rep->started_ns != 0)
		ledger_started(r->ledger, id, rep->started_ns);
	if (rep->connected_ns != 0)
		ledger_connected(r->ledger, id, rep->connected_ns);
	for (uint32_t i = 0; i < rep->recipient_count; i++)
		if (rep->recipients[i].code != 0)
			ledger_rcpt_reply(r->ledger, id, i, rep->recipients[i].code, rep->recipients[i].text);
	if (rep->final_dot_ns != 0)
		ledger_final_dot(r->ledger, id, rep->final_dot_ns);
	report_end(r, id, rep);
}

static void on_idle(void *ctx)
{
	struct run_sender *s = ctx;

	s->idle = true;
	task_schedule(s->run->step);
}

static struct access access_to(struct run *r, uint32_t host, enum flow_service service, enum flow_tls tls)
{
	static const enum access_tls kinds[] = { [FLOW_TLS_NONE] = ACCESS_PLAIN,
						 [FLOW_TLS_STARTTLS] = ACCESS_STARTTLS,
						 [FLOW_TLS_IMPLICIT] = ACCESS_TLS };
	return (struct access){
		.server = world_service_addr(r->world, host, service),
		.tls = kinds[tls],
		.tls_ctx = tls == FLOW_TLS_NONE         ? NULL
			   : r->tls_there[host] != NULL ? r->tls_there[host]
							: r->tls,
		.server_name = world_tls_name(r->world, host),
		/* From a private network nothing leaves the machine; for a server elsewhere leave was given. */
		.allow_remote = world_is_private(r->world) || world_is_remote(r->world, host),
	};
}

static void submit(struct run *r, uint32_t traffic)
{
	const struct flow_traffic *t = &r->flow->traffic[traffic];
	struct span *to = calloc(t->to_count, sizeof(*to));
	uint32_t id;
	uint32_t end;

	if (to == NULL)
		abort();
	for (uint32_t i = 0; i < t->to_count; i++)
		to[i] = span_of(t->to[i].text);
	for (plan_ids(r->plan, traffic, &id, &end); id < end; id++)
		sender_submit(r->senders[traffic].sender,
			      &(struct outgoing){ .id = id,
						  .intended_ns = ledger_message(r->ledger, id)->intended_ns,
						  .reverse_path = span_of(t->from.text),
						  .recipients = to,
						  .recipient_count = t->to_count,
						  .make_content = make_content,
						  .make_content_ctx = r });
	free(to);
}

static int start_sender(struct run *r, uint32_t i, struct err *reterr)
{
	const struct flow_traffic *t = &r->flow->traffic[i];
	struct run_sender *s = &r->senders[i];
	struct sender_options so = {
		.loop = r->loop,
		.access = access_to(r, t->via, t->service, t->tls),
		.connections_max = t->session_count,
		.on_report = on_report,
		.on_idle = on_idle,
		.ctx = s,
	};

	if (t->auth) {
		so.access.user = t->from.text;
		so.access.password =
			world_password(r->world, (uint32_t)t->from.host, (uint32_t)t->from.account);
	}
	s->run = r;
	s->traffic = i;
	s->sender = sender_new(&so, reterr);
	if (s->sender == NULL)
		return reterr->code;
	submit(r, i);
	s->idle = sender_pending_count(s->sender) == 0;
	return 0;
}

/* ---- retrievers ---- */

void run_original(void *ctx, uint32_t id, struct content_spec *ret_spec)
{
	const struct run *r = ctx;

	plan_spec(r->plan, id, ret_spec);
}

static void on_message(void *ctx, const struct retrieved *m)
{
	struct run_retriever *rr = ctx;
	struct run *r = rr->run;

	r->sweep_new++;
	inbox_take_in(&r->inbox, &(struct inbox_message){ .message = m->message,
							  .mailbox = rr->flow->account.text,
							  .seen_ns = m->listed_ns,
							  .not_before_ns = m->absent_ns != 0 ? m->absent_ns
											     : r->began_ns });
}

static void on_poll(void *ctx, const struct retriever_poll *p)
{
	struct run_retriever *rr = ctx;

	rr->ok = p->outcome == RETRIEVER_OK;
	if (p->doubtful_count > 0 && !rr->doubt_told) {
		rr->doubt_told = true;
		reasons_add(
			&rr->run->reasons, REASON_INVALID,
			"the mailbox of %s: a QUIT was not answered, and it cannot be told whether what was "
			"there next was left over or a second copy with the same UID",
			rr->flow->account.text);
	}
	if (rr->ok && rr->run->phase == PHASE_SWEEP && p->start_ns >= rr->run->sweep_ns)
		rr->swept = true;
	if (!rr->ok)
		(void)snprintf(rr->problem, sizeof(rr->problem), "%s: %s", retriever_outcome_name(p->outcome),
			       p->problem);
	task_schedule(rr->run->step);
}

static int start_retriever(struct run *r, uint32_t i, struct err *reterr)
{
	const struct flow_retrieve *f = &r->flow->retrieves[i];
	struct run_retriever *rr = &r->retrievers[i];
	struct retriever_options ro = {
		.loop = r->loop,
		.access = access_to(r, f->host, f->service, f->tls),
		.interval_ms = f->every_ms,
		.delete_after = true, /* or every poll lists all that ever came */
		.on_message = on_message,
		.on_poll = on_poll,
		.ctx = rr,
	};

	ro.access.user = f->account.text;
	ro.access.password = world_password(r->world, f->host, (uint32_t)f->account.account);
	rr->run = r;
	rr->flow = f;
	rr->retriever = retriever_new(&ro, reterr);
	if (rr->retriever == NULL)
		return reterr->code;
	retriever_start(rr->retriever);
	return 0;
}

static int trust_there(struct run *r, struct err *reterr)
{
	for (uint32_t i = 0; i < r->flow->host_count; i++) {
		if (!world_is_remote(r->world, i))
			continue;
		const char *ca = world_target(r->world, i)->remote.ca_file;
		r->tls_there[i] = tls_client_new(ca != NULL ? ca : SYSTEM_TRUST, reterr);
		if (r->tls_there[i] == NULL)
			return reterr->code;
	}
	return 0;
}

int run_start_traffic(struct run *r, struct err *reterr)
{
	int rc = 0;

	r->tls = tls_client_new(world_ca_path(r->world), reterr);
	if (r->tls == NULL)
		return reterr->code;
	rc = trust_there(r, reterr);
	for (uint32_t i = 0; i < r->flow->retrieve_count && rc == 0; i++)
		rc = start_retriever(r, i, reterr);
	for (uint32_t i = 0; i < r->flow->traffic_count && rc == 0; i++)
		rc = start_sender(r, i, reterr);
	return rc;
}

void run_end_traffic(struct run *r)
{
	for (uint32_t i = 0; i < r->flow->traffic_count; i++) {
		sender_free(r->senders[i].sender);
		r->senders[i].sender = NULL;
	}
	for (uint32_t i = 0; i < r->flow->retrieve_count; i++) {
		retriever_free(r->retrievers[i].retriever);
		r->retrievers[i].retriever = NULL;
	}
}
