#include "harness/cli/conform_world.h"

#include "base/file.h"
#include "harness/cli/conform_queue.h"
#include "harness/cli/run_end.h"
#include "harness/peer/sink.h"
#include "harness/scenario/flow.h"
#include "harness/scenario/target.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PASSWORD_FILE_BYTES_MAX = 65536, NAME_BYTES = 65, ADDRESS_BYTES = 330, PROBE = CONFORM_SUT + 1 };

static const char SYSTEM_TRUST[] = "/etc/ssl/certs/ca-certificates.crt";

/* Stopping, killing and starting the server, for a case that is played alone. */
struct control {
	sut_deed_fn *done; /* of the start that is wanted or under way; NULL: none */
	void *ctx;
};

struct list_texts {
	char name[NAME_BYTES];
	char address[ADDRESS_BYTES];
	char members[2 * ADDRESS_BYTES];
};

struct conform_world {
	struct conform_world_options o;
	struct target *target;
	struct flow *flow;
	struct flow_account *accounts;
	char (*names)[NAME_BYTES];
	char (*addresses)[ADDRESS_BYTES];
	const char **address_list;
	const char **password_list;
	struct list_texts *list_texts; /* one for every two accounts that are a case's own, then aliases */
	struct flow_list *lists;
	const char **list_addresses;
	char (*known_zones)[SUT_ZONE_BYTES]; /* to which it is to speak LMTP */
	const char **lmtp_domains;
	uint32_t account_count;
	uint32_t first_own; /* of the accounts: those before it are no case's */
	struct world *world;
	struct tls_ctx *tls, *tls_1_2;
	struct sut sut;
	struct task *restart;
	bool starting;
	struct task *ready;    /* of a server elsewhere, which is not started */
	struct sink *next_hop; /* of probe.example; takes everything */
	struct conform_queue *queue;
	struct control control;
};

/* ---- the flow that a world is made from ---- */

/* Where mail for anywhere comes from without a login: an address of the harness that is not one other
 * connections come from. */
static const char TRUSTED_LOOPBACK[] = "127.0.0.9", TRUSTED_PRIVATE[] = "198.18.255.9";

/* Small limits, so that a case reaches them; no delay, which would grow from case to case; rights enforced. */
static const char REFERENCE_SETTINGS[] = "      auth: { failure_delay: 0ms, iterations: 4096 }\n"
					 "      submission: { sender: own }\n"
					 "      limits: { message_size: 1MiB, recipients: 100, errors: 20 }\n"
					 "      smtp: { vrfy: yes, expn: yes }\n";

static bool is_reference(const struct conform_world *w)
{
	return strcmp(w->o.target, "reference") == 0;
}

static bool has(const struct target_list *l, const char *word)
{
	for (uint32_t i = 0; i < l->count; i++)
		if (strcmp(l->items[i], word) == 0)
			return true;
	return false;
}

static const char *domain_of(const struct conform_world *w)
{
	return w->target->remote.is ? w->target->remote.recipient_domains.items[0] : "sut.example";
}

/* The schedule that the target declares for cases with next hops, as a flow says it. */
static void add_schedule(const struct target_relay *k, struct buf *out)
{
	if (k->max_ms > 0)
		buf_addf(out,
			 "      retry: { first: %" PRId64 "ms, max: %" PRId64 "ms, expire: %" PRId64 "ms }\n",
			 k->first_ms, k->max_ms, k->expire_ms);
	if (k->delay_ms > 0)
		buf_addf(out, "      notifications: { delay: %" PRId64 "ms }\n", k->delay_ms);
	if (k->reply_timeout_ms > 0)
		buf_addf(out,
			 "      outbound: { reply_timeout: %" PRId64 "ms, connect_timeout: %" PRId64
			 "ms, idle: 1s }\n",
			 k->reply_timeout_ms, k->reply_timeout_ms);
}

static const char *trusted_of(const struct conform_world *w)
{
	bool on_loopback = w->o.network != WORLD_NETWORK_PRIVATE && w->target->on_loopback;

	return on_loopback ? TRUSTED_LOOPBACK : TRUSTED_PRIVATE;
}

static void add_settings(const struct conform_world *w, struct buf *out)
{
	buf_addf(out, "    settings:\n      relay_from: [\"%s\"]\n", trusted_of(w));
	add_schedule(&w->target->relay, out);
	if (is_reference(w))
		buf_add_cstr(out, REFERENCE_SETTINGS);
}

static void make_flow_text(const struct conform_world *w, struct buf *out)
{
	const char *domain = domain_of(w);

	buf_addf(out,
		 "flow: conform\ntitle: the server under test\nhosts:\n"
		 "  sut:\n    domain: %s\n    accounts: [u0]\n    tls-out: yes\n",
		 domain);
	add_settings(w, out);
	buf_addf(out,
		 "  probe: { domain: probe.example, target: none }\n"
		 "  elsewhere: { domain: elsewhere.example, target: none }\n"
		 "dns:\n  records: [\"nomail.example. MX 0 .\", \"loop.example. MX 10 mx.sut.example.\"]\n"
		 "  nxdomain: [no-such-domain.example]\n  servfail: [broken.example]\n  signed: "
		 "dane." SUT_NEXT_DOMAIN "\n"
		 "traffic:\n  - { name: none, from: u0@%s, to: u0@%s, rate: 1/s, for: 1s, service: smtp }\n",
		 domain, domain);
}

static int make_flow(struct conform_world *w, struct err *reterr)
{
	struct buf text = { 0 }, messages = { 0 };

	make_flow_text(w, &text);
	w->flow = flow_read(&(struct flow_options){
		.path = "conform", .text = buf_span(&text), .ret_messages = &messages });
	int rc = w->flow != NULL ? 0 : err_set(reterr, -EINVAL, "%s", buf_cstr(&messages));
	if (rc == 0)
		w->flow->hosts[CONFORM_SUT].target = w->o.target;
	buf_free(&text);
	buf_free(&messages);
	return rc;
}

/* ---- mailboxes ---- */

static void make_room(struct conform_world *w, uint32_t count)
{
	w->accounts = calloc(count + 1, sizeof(*w->accounts));
	w->names = calloc(count + 1, sizeof(*w->names));
	w->addresses = calloc(count + 1, sizeof(*w->addresses));
	w->address_list = calloc(count + 1, sizeof(*w->address_list));
	w->password_list = calloc(count + 1, sizeof(*w->password_list));
	if (w->accounts == NULL || w->names == NULL || w->addresses == NULL || w->address_list == NULL ||
	    w->password_list == NULL)
		abort();
}

static void add_account(struct conform_world *w, struct span name)
{
	uint32_t i = w->account_count;

	if (!span_copy(name, w->names[i], NAME_BYTES))
		return;
	(void)snprintf(w->addresses[i], ADDRESS_BYTES, "%s@%s", w->names[i], domain_of(w));
	w->accounts[i] = (struct flow_account){ .local_part = w->names[i] };
	w->address_list[i] = w->addresses[i];
	w->account_count++;
}

/* The names in the password file of a server elsewhere. */
static int read_accounts(struct conform_world *w, struct err *reterr)
{
	struct buf text = { 0 };
	struct span rest, line, name;
	const char *path = w->target->remote.password_file;

	if (path == NULL)
		return 0;
	int rc = file_read(path, PASSWORD_FILE_BYTES_MAX, &text, reterr);
	rest = buf_span(&text);
	while (rc == 0 && w->account_count < w->o.account_count && span_take_until(&rest, '\n', &line))
		if (span_take_until(&line, ':', &name) && span_trim(name).n > 0)
			add_account(w, span_trim(name));
	buf_free(&text);
	return rc;
}

static void add_list(struct conform_world *w, struct flow_host *h, struct span address, const char *first,
		     const char *second)
{
	struct list_texts *t = &w->list_texts[h->list_count];

	(void)span_copy(address, t->address, sizeof(t->address));
	(void)span_copy(span_sub(address, 0, span_find(address, '@')), t->name, sizeof(t->name));
	(void)snprintf(t->members, sizeof(t->members), "%s%s%s", first, second != NULL ? ", " : "",
		       second != NULL ? second : "");
	w->lists[h->list_count++] = (struct flow_list){ t->name, t->members };
}

/* Each case's two mailboxes have an address together. */
static void add_mailbox_lists(struct conform_world *w, struct flow_host *h)
{
	const char(*own)[ADDRESS_BYTES] = (const char(*)[ADDRESS_BYTES])w->addresses + w->first_own;
	char address[ADDRESS_BYTES];

	for (uint32_t i = 0; i < w->o.account_count / 2; i++) {
		(void)snprintf(address, sizeof(address), "list%u@%s", i, domain_of(w));
		w->list_addresses[i] = w->list_texts[h->list_count].address;
		add_list(w, h, span_of(address), own[2 * i], own[2 * i + 1]);
	}
}

/* Those that lead to next hops, whatever policy the case's domain has. */
static void add_aliases(struct conform_world *w, struct flow_host *h)
{
	char zone[SUT_ZONE_BYTES], address[SUT_ALIAS_BYTES], joe[ADDRESS_BYTES], ann[ADDRESS_BYTES];

	for (uint32_t i = 0; i < w->o.known_count * CASE_ALIAS_POLICIES; i++) {
		sut_known_zone(i / CASE_ALIAS_POLICIES, case_alias_policy(i % CASE_ALIAS_POLICIES), zone);
		(void)snprintf(joe, sizeof(joe), "joe@%s", zone);
		(void)snprintf(ann, sizeof(ann), "ann@b.%s", zone);
		sut_alias(zone, false, domain_of(w), address);
		add_list(w, h, span_of(address), joe, NULL);
		sut_alias(zone, true, domain_of(w), address);
		add_list(w, h, span_of(address), joe, ann);
	}
}

static void make_lists(struct conform_world *w, struct flow_host *h)
{
	uint32_t pairs = w->o.account_count / 2;
	uint32_t count = pairs + 2 * CASE_ALIAS_POLICIES * w->o.known_count;

	w->list_texts = calloc(count + 1, sizeof(*w->list_texts));
	w->lists = calloc(count + 1, sizeof(*w->lists));
	w->list_addresses = calloc(pairs + 1, sizeof(*w->list_addresses));
	if (w->list_texts == NULL || w->lists == NULL || w->list_addresses == NULL)
		abort();
	h->lists = w->lists;
	h->list_count = 0;
	add_mailbox_lists(w, h);
	add_aliases(w, h);
}

static void make_lmtp_domains(struct conform_world *w, struct flow_host *h)
{
	w->known_zones = calloc(w->o.known_count + 1, sizeof(*w->known_zones));
	w->lmtp_domains = calloc(w->o.known_count + 1, sizeof(*w->lmtp_domains));
	if (w->known_zones == NULL || w->lmtp_domains == NULL)
		abort();
	for (uint32_t i = 0; i < w->o.known_count; i++) {
		sut_known_zone(i, "lmtp", w->known_zones[i]);
		w->lmtp_domains[i] = w->known_zones[i];
	}
	h->lmtp_domains = w->lmtp_domains;
	h->lmtp_domain_count = w->o.known_count;
}

/*
 * More mailboxes than a flow may name: each case has its own.  The first is
 * nobody's: a site has a postmaster (RFC 5321 4.5.1), and the reference, which
 * needs not be told so, gives his mail to whoever is first.
 */
static int make_accounts(struct conform_world *w, struct err *reterr)
{
	struct flow_host *h = &w->flow->hosts[CONFORM_SUT];
	char name[16];
	int rc = 0;

	make_room(w, w->o.account_count + 1);
	if (w->target->remote.is) {
		rc = read_accounts(w, reterr);
	} else {
		add_account(w, is_reference(w) ? SPAN_LIT("first") : SPAN_LIT("postmaster"));
		w->first_own = 1;
		for (uint32_t i = 0; i < w->o.account_count; i++) {
			(void)snprintf(name, sizeof(name), "u%u", i);
			add_account(w, span_of(name));
		}
	}
	h->accounts = w->accounts;
	h->account_count = w->account_count;
	if (!w->target->remote.is && target_is_able(w->target, "lists"))
		make_lists(w, h);
	make_lmtp_domains(w, h);
	return rc;
}

/* ---- what a case needs to know ---- */

static void describe_services(struct conform_world *w)
{
	static const enum flow_service FLOW[CASE_SERVICE_COUNT] = {
		[CASE_SMTP] = FLOW_SMTP,
		[CASE_SUBMISSION] = FLOW_SUBMISSION,
		[CASE_SUBMISSIONS] = FLOW_SUBMISSIONS,
		[CASE_LMTP] = FLOW_LMTP,
		[CASE_POP3] = FLOW_POP3,
		[CASE_POP3S] = FLOW_POP3S,
	};

	for (int i = 0; i < CASE_SERVICE_COUNT; i++) {
		struct sut_service *s = &w->sut.services[i];
		s->there = w->target->services[FLOW[i]];
		if (!s->there)
			continue;
		if (w->target->borrowed[FLOW[i]])
			s->borrowed_from = w->target->with != NULL ? w->target->with : "another program";
		s->at = world_service_addr(w->world, CONFORM_SUT, FLOW[i]);
	}
}

/* ---- its life, in the hands of a case ---- */

static void told(struct conform_world *w, bool done, const char *why_not)
{
	struct control c = w->control;

	w->control = (struct control){ 0 };
	c.done(c.ctx, done, why_not);
}

static void on_control(void *ctx, struct host *h, enum host_event event);

static void start_server(struct conform_world *w)
{
	struct err e;

	if (world_host_start(w->world, CONFORM_SUT, on_control, w, &e) != 0)
		told(w, false, e.text);
}

static void on_control(void *ctx, struct host *h, enum host_event event)
{
	struct conform_world *w = ctx;

	if (w->control.done == NULL)
		return; /* it has ended; whoever wants it back says so */
	if (event == HOST_IS_READY)
		told(w, true, "");
	else if (w->starting)
		told(w, false, host_error(h)->text);
	else
		task_schedule(w->restart); /* not within the host's own callback */
}

static void on_restart(void *ctx)
{
	struct conform_world *w = ctx;

	w->starting = true;
	start_server(w);
}

static void control(void *control_ctx, enum sut_deed deed, sut_deed_fn *done, void *ctx)
{
	struct conform_world *w = control_ctx;

	switch (deed) {
	case SUT_STOP:
	case SUT_KILL:
		w->starting = false;
		(deed == SUT_STOP ? world_host_stop : world_host_kill)(w->world, CONFORM_SUT, on_control, w);
		return;
	case SUT_START:
		w->control = (struct control){ done, ctx };
		if (host_state(conform_world_host(w)) == HOST_IDLE)
			task_schedule(w->restart);
		return;
	}
}

/* What it takes to play next hops for it. */
static void describe_relay(struct conform_world *w)
{
	const struct target *t = w->target;
	struct err e;

	w->sut.world = t->relay.is ? w->world : NULL;
	w->sut.relay = t->relay;
	w->sut.abilities = t->capabilities.items;
	w->sut.ability_count = t->capabilities.count;
	if (has(&t->settings, "*") || has(&t->settings, "relay_from"))
		(void)addr_parse(trusted_of(w), 0, &w->sut.trusted);
	/* The domains that all others are below are there, and have no mail. */
	(void)dns_add(world_dns(w->world), DNS_VIEW_ALL, SUT_NEXT_DOMAIN ". 0 IN MX 0 .", &e);
	(void)dns_add(world_dns(w->world), DNS_VIEW_ALL, SUT_FENCE_DOMAIN ". 0 IN MX 0 .", &e);
}

/* Parts of 127.0.0.0/8 and of 198.18.0.0/16 (world/network.h) where the world itself has nothing. */
static void give_clients(struct conform_world *w)
{
	w->sut.client_first = world_is_private(w->world) ? 0xc6124001 : 0x7fc00001;
	w->sut.client_count = w->target->remote.is ? 0 : world_is_private(w->world) ? 0x7ffe : 0x3ffffe;
}

static void describe_sut(struct conform_world *w)
{
	const struct target *t = w->target;

	describe_services(w);
	for (uint32_t i = 0; i < w->account_count; i++)
		w->password_list[i] = world_password(w->world, CONFORM_SUT, i);
	w->sut.host = world_tls_name(w->world, CONFORM_SUT);
	w->sut.domain = w->flow->hosts[CONFORM_SUT].domains[0];
	w->sut.tls = w->tls;
	w->sut.tls_1_2 = w->tls_1_2;
	w->sut.is_elsewhere = t->remote.is;
	w->sut.mail_domains = t->remote.recipient_domains.items;
	w->sut.mail_domain_count = t->remote.recipient_domains.count;
	/* From a private network nothing leaves the machine; for a server elsewhere leave was given. */
	w->sut.allow_remote = world_is_private(w->world) || t->remote.is;
	give_clients(w);
	w->sut.addresses = w->address_list + w->first_own;
	w->sut.passwords = w->password_list + w->first_own;
	w->sut.account_count = w->account_count - w->first_own;
	w->sut.lists = w->list_addresses;
	w->sut.known_count = w->o.known_count;
	if (conform_world_host(w) != NULL && t->queue.run.count > 0) {
		w->queue = conform_queue_new(w->o.loop, conform_world_host(w));
		w->sut.ask_queue = conform_queue_ask;
		w->sut.queue_ctx = w->queue;
	}
	if (conform_world_host(w) != NULL && target_is_able(t, "can-restart") &&
	    target_is_able(t, "can-kill")) {
		w->sut.control = control;
		w->sut.control_ctx = w;
	}
	describe_relay(w);
}

/* ---- the next hop of probe.example ---- */

/*
 * Without it a notification to a case's sender would wait in the queue, and a
 * queue that is not empty says nothing about what was not stored.
 */
static int make_next_hop(struct conform_world *w, struct err *reterr)
{
	if (w->target->remote.is)
		return 0;
	w->next_hop = sink_new(&(struct sink_options){ .loop = w->o.loop,
						       .at = world_link_addr(w->world, CONFORM_SUT, PROBE),
						       .in_private_network = world_is_private(w->world),
						       .name = w->flow->hosts[PROBE].mx_name,
						       .ctx = w },
			       reterr);
	return w->next_hop != NULL ? 0 : reterr->code;
}

/* ---- life ---- */

static void on_ready(void *ctx)
{
	struct conform_world *w = ctx;

	w->o.on_event(w->o.ctx, WORLD_READY);
}

static int make_world(struct conform_world *w, struct err *reterr)
{
	const struct target_remote *m = &w->target->remote;
	char dir[PATH_MAX];

	(void)snprintf(dir, sizeof(dir), "%s/world", w->o.dir);
	w->world = world_new(&(struct world_options){ .loop = w->o.loop,
						      .flow = w->flow,
						      .dir = dir,
						      .program = w->o.program,
						      .network = w->o.network,
						      .on_event = w->o.on_event,
						      .ctx = w->o.ctx },
			     reterr);
	if (w->world == NULL)
		return reterr->code;
	const char *trusted = !m->is               ? world_ca_path(w->world)
			      : m->ca_file != NULL ? m->ca_file
						   : SYSTEM_TRUST;
	w->tls = tls_client_new(trusted, reterr);
	w->tls_1_2 = w->tls != NULL ? tls_client_new(trusted, reterr) : NULL;
	if (w->tls_1_2 == NULL)
		return reterr->code;
	if (!tls_only(w->tls_1_2, "1.2"))
		return err_set(reterr, -EPROTO, "TLS 1.2 cannot be had here");
	return 0;
}

struct conform_world *conform_world_new(const struct conform_world_options *o, struct err *reterr)
{
	struct conform_world *w = calloc(1, sizeof(*w));
	struct buf messages = { 0 };

	if (w == NULL)
		abort();
	w->o = *o;
	w->ready = task_new(o->loop, on_ready, w);
	w->restart = task_new(o->loop, on_restart, w);
	w->target = target_load(o->target, &messages);
	if (w->target == NULL)
		(void)err_set(reterr, -EINVAL, "%s", buf_cstr(&messages));
	buf_free(&messages);
	if (w->target != NULL && o->patient)
		w->target->relay.reply_timeout_ms = 0;
	if (w->target == NULL || make_flow(w, reterr) != 0 || make_accounts(w, reterr) != 0 ||
	    make_world(w, reterr) != 0 || make_next_hop(w, reterr) != 0) {
		conform_world_free(w);
		return NULL;
	}
	describe_sut(w);
	return w;
}

int conform_world_start(struct conform_world *w, struct err *reterr)
{
	if (w->target->remote.is)
		task_schedule(w->ready);
	return world_start(w->world, reterr);
}

struct world *conform_world_inside(const struct conform_world *w)
{
	return w->world;
}

struct host *conform_world_host(const struct conform_world *w)
{
	return world_host(w->world, CONFORM_SUT);
}

struct sut *conform_world_sut(struct conform_world *w)
{
	return &w->sut;
}

void conform_world_end(struct conform_world *w, bool keep)
{
	struct redact *redact = world_redact_new(w->world);

	conform_queue_free(w->queue);
	w->queue = NULL;
	sink_free(w->next_hop);
	w->next_hop = NULL;
	world_free(w->world);
	w->world = NULL;
	run_end_keep_logs(w->o.dir, w->flow, redact, keep);
	redact_free(redact);
}

void conform_world_free(struct conform_world *w)
{
	if (w == NULL)
		return;
	conform_queue_free(w->queue);
	sink_free(w->next_hop);
	world_free(w->world);
	tls_free(w->tls);
	tls_free(w->tls_1_2);
	sut_free(&w->sut);
	task_free(w->ready);
	task_free(w->restart);
	flow_free(w->flow);
	target_free(w->target);
	free(w->accounts);
	free(w->names);
	free(w->addresses);
	free(w->address_list);
	free(w->list_texts);
	free(w->lists);
	free(w->list_addresses);
	free(w->lmtp_domains);
	free(w->known_zones);
	free(w->password_list);
	free(w);
}
