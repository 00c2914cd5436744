#include "reference-server/drive/resolver_context.h"

#include "base/log.h"
#include "base/must.h"

#include <assert.h>
#include <errno.h>
#include <ldns/ldns.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unbound-event.h>
#include <unbound.h>

enum {
	FAILURE_SLOTS = 1024,
	CACHED_FAILURE_MS = 6000, /* libunbound keeps one for 5 s */
};

struct context {
	struct contexts *all;
	struct ub_ctx *ub;
	uint32_t lookup_count;
	bool silent; /* a server of it did not answer */
	TAILQ_ENTRY(context) next;
};

/* Of the current context; a name may push out another one's. */
struct failure {
	uint64_t name_hash;
	int64_t at_ms;
};

/* One DS or DNSKEY record, as text. */
struct anchor {
	char *record;
	struct anchor *next;
};

struct contexts {
	struct loop *loop;
	char *forwarder;
	struct anchor *anchors; /* none: nothing is validated */
	int64_t renewed_ms;
	TAILQ_HEAD(, context) list; /* the first one is the current */
	struct failure failures[FAILURE_SLOTS];
};

static int set_validation(struct ub_ctx *ub, const struct anchor *anchors)
{
	static const char *const options[][2] = {
		{ "module-config:", "validator iterator" },
		{ "val-bogus-ttl:", "5" }, /* as other trouble */
		{ "val-log-level:", "2" }, /* it tells us why, too */
		{ "key-cache-size:", "1m" },
		{ "key-cache-slabs:", "1" },
	};
	int rc = 0;

	if (anchors == NULL)
		return ub_ctx_set_option(ub, "module-config:", "iterator");
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]) && rc == 0; i++)
		rc = ub_ctx_set_option(ub, options[i][0], options[i][1]);
	for (const struct anchor *a = anchors; a != NULL && rc == 0; a = a->next)
		rc = ub_ctx_add_ta(ub, a->record);
	(void)ub_ctx_debugout(ub, NULL); /* what it has to say comes with the answer */
	return rc;
}

static int set_options(struct ub_ctx *ub)
{
	static const char *const options[][2] = {
		{ "do-not-query-localhost:", "no" },
		{ "qname-minimisation:", "no" },
		{ "serve-expired:", "no" },
		{ "rrset-roundrobin:", "no" }, /* the order is the name server's choice */
		{ "cache-max-negative-ttl:", "5" },
		{ "infra-host-ttl:", "60" },
		{ "msg-cache-size:", "4m" },
		{ "rrset-cache-size:", "8m" },
		{ "infra-cache-numhosts:", "1000" },
		{ "msg-cache-slabs:", "1" },
		{ "rrset-cache-slabs:", "1" },
		{ "infra-cache-slabs:", "1" },
	};
	int rc = 0;

	static_assert(RESOLVER_NEGATIVE_TTL_S == 5, "cache-max-negative-ttl");
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]) && rc == 0; i++)
		rc = ub_ctx_set_option(ub, options[i][0], options[i][1]);
	return rc;
}

/*
 * libunbound answers for these itself, without asking anybody (RFC 6761).  A
 * forwarder that was named knows better.  (The option "local-zone: NAME
 * nodefault" works in files only.)  No other setting can be made afterwards.
 */
static int remove_own_zones(struct ub_ctx *ub)
{
	static const char *const zones[] = { "test.", "invalid.", "localhost." };
	int rc = 0;

	for (size_t i = 0; i < sizeof(zones) / sizeof(zones[0]) && rc == 0; i++)
		rc = ub_ctx_zone_remove(ub, zones[i]);
	return rc;
}

static struct context *context_new(struct contexts *all, struct err *reterr)
{
	struct ub_ctx *ub = ub_ctx_create_event(loop_event_base(all->loop));

	if (ub == NULL) {
		(void)err_set(reterr, -ENOMEM, "resolver: libunbound cannot be set up on this event loop");
		return NULL;
	}
	const char *what = "options";
	int rc = set_options(ub);
	if (rc == 0)
		rc = set_validation(ub, all->anchors);
	if (rc == 0 && all->forwarder != NULL) {
		what = all->forwarder;
		rc = ub_ctx_set_fwd(ub, all->forwarder);
		if (rc == 0)
			rc = remove_own_zones(ub);
	} else if (rc == 0) {
		what = "/etc/resolv.conf";
		rc = ub_ctx_resolvconf(ub, NULL);
	}
	if (rc != 0) {
		(void)err_set(reterr, -EINVAL, "resolver: %s: %s", what, ub_strerror(rc));
		ub_ctx_delete(ub);
		return NULL;
	}
	struct context *c = must(calloc(1, sizeof(*c)));
	*c = (struct context){ .all = all, .ub = ub };
	TAILQ_INSERT_HEAD(&all->list, c, next);
	all->renewed_ms = clock_mono_ms();
	memset(all->failures, 0, sizeof(all->failures));
	return c;
}

static void context_free(struct context *c)
{
	assert(c->lookup_count == 0);
	TAILQ_REMOVE(&c->all->list, c, next);
	ub_ctx_delete(c->ub);
	free(c);
}

static void anchors_free(struct anchor *a)
{
	while (a != NULL) {
		struct anchor *next = a->next;
		free(a->record);
		free(a);
		a = next;
	}
}

static void add_anchor(struct anchor **list, const ldns_rr *rr)
{
	struct anchor *a = must(calloc(1, sizeof(*a)));

	a->record = must(ldns_rr2str(rr));
	a->next = *list;
	*list = a;
}

/* Read here, because libunbound reads it at the first lookup only, and says nothing about mistakes. */
static int read_anchors(const char *path, struct anchor **ret_list, struct err *reterr)
{
	FILE *file = fopen(path, "re");
	struct anchor *list = NULL;
	int line = 0;
	ldns_status status = LDNS_STATUS_OK;

	if (file == NULL)
		return err_errno(reterr, errno, "%s: open trust anchor", path);
	while (!feof(file) && status == LDNS_STATUS_OK) {
		ldns_rr *rr = NULL;
		status = ldns_rr_new_frm_fp_l(&rr, file, NULL, NULL, NULL, &line);
		if (status == LDNS_STATUS_SYNTAX_EMPTY || status == LDNS_STATUS_SYNTAX_TTL ||
		    status == LDNS_STATUS_SYNTAX_ORIGIN)
			status = LDNS_STATUS_OK;
		else if (status == LDNS_STATUS_OK && (ldns_rr_get_type(rr) == LDNS_RR_TYPE_DS ||
						      ldns_rr_get_type(rr) == LDNS_RR_TYPE_DNSKEY))
			add_anchor(&list, rr);
		ldns_rr_free(rr);
	}
	(void)fclose(file);
	int rc = 0;
	if (status != LDNS_STATUS_OK)
		rc = err_set(reterr, -EINVAL, "%s:%d: trust anchor: %s", path, line,
			     ldns_get_errorstr_by_id(status));
	else if (list == NULL)
		rc = err_set(reterr, -EINVAL, "%s: no DS or DNSKEY record in it, so it is no trust anchor",
			     path);
	if (rc == 0)
		*ret_list = list;
	else
		anchors_free(list);
	return rc;
}

struct contexts *contexts_new(struct loop *loop, const char *forwarder, const char *trust_anchor,
			      struct err *reterr)
{
	struct contexts *all = must(calloc(1, sizeof(*all)));

	all->loop = loop;
	all->forwarder = forwarder != NULL ? must(strdup(forwarder)) : NULL;
	TAILQ_INIT(&all->list);
	bool anchored = trust_anchor == NULL || read_anchors(trust_anchor, &all->anchors, reterr) == 0;
	if (!anchored || context_new(all, reterr) == NULL) {
		contexts_free(all);
		return NULL;
	}
	return all;
}

void contexts_free(struct contexts *all)
{
	if (all == NULL)
		return;
	while (!TAILQ_EMPTY(&all->list))
		context_free(TAILQ_FIRST(&all->list));
	anchors_free(all->anchors);
	free(all->forwarder);
	free(all);
}

/* FNV-1a; names differ from each other in more than case. */
static uint64_t hash_name(struct span name)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < name.n; i++) {
		uint8_t c = (uint8_t)name.p[i];
		h = (h ^ (c >= 'A' && c <= 'Z' ? c | 0x20U : c)) * UINT64_C(0x100000001b3);
	}
	return h;
}

static bool wants_renewal(const struct contexts *all, const struct context *c, struct span name)
{
	int64_t now_ms = clock_mono_ms();

	if (now_ms - all->renewed_ms < RESOLVER_FAILURE_TTL_MS)
		return false;
	if (c->silent)
		return true;
	uint64_t hash = hash_name(name);
	const struct failure *f = &all->failures[hash % FAILURE_SLOTS];
	return f->at_ms != 0 && f->name_hash == hash && now_ms - f->at_ms >= RESOLVER_FAILURE_TTL_MS &&
	       now_ms - f->at_ms < CACHED_FAILURE_MS;
}

struct context *context_get(struct contexts *all, struct span name)
{
	struct context *c = TAILQ_FIRST(&all->list);

	if (wants_renewal(all, c, name)) {
		struct err e;
		struct context *fresh = context_new(all, &e);
		if (fresh != NULL)
			c = fresh;
		else
			log_event(LOG_WARN, "resolver-not-renewed", LOG_C("error", e.text));
	}
	c->lookup_count++;
	return c;
}

void context_put(struct context *c)
{
	assert(c->lookup_count > 0);
	c->lookup_count--;
}

void contexts_tidy(struct contexts *all)
{
	struct context *c, *next;

	for (c = TAILQ_NEXT(TAILQ_FIRST(&all->list), next); c != NULL; c = next) {
		next = TAILQ_NEXT(c, next);
		if (c->lookup_count == 0)
			context_free(c);
	}
}

struct ub_ctx *context_ub(const struct context *c)
{
	return c->ub;
}

void context_note_failure(struct context *c, struct span name, bool silent)
{
	struct contexts *all = c->all;

	if (silent)
		c->silent = true;
	if (c != TAILQ_FIRST(&all->list))
		return;
	uint64_t hash = hash_name(name);
	all->failures[hash % FAILURE_SLOTS] = (struct failure){ .name_hash = hash, .at_ms = clock_mono_ms() };
}
