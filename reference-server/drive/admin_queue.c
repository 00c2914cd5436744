#include "reference-server/drive/admin_parts.h"

#include "reference-server/drive/relay.h"
#include "reference-server/store/queue.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- going through the queue, page by page ---- */

static bool note_id(void *ctx, uint64_t id, const struct envelope_glance *g)
{
	struct admin_job *j = ctx;
	(void)g;
	j->page[j->page_count++] = id;
	return j->page_count < ADMIN_PAGE;
}

bool admin_next_page(struct admin_job *j)
{
	j->page_count = 0;
	int rc = queue_scan(j->options.store, j->next_id, note_id, j);
	if (rc != 0)
		(void)err_errno(&j->error, -rc, "read queue");
	return rc == 0;
}

bool admin_page_done(struct admin_job *j, uint32_t looked_at)
{
	assert(looked_at <= j->page_count);
	if (looked_at > 0)
		j->next_id = j->page[looked_at - 1] + 1;
	return looked_at < j->page_count || j->page_count == ADMIN_PAGE;
}

static bool has_word(const struct admin_job *j, const char *word)
{
	for (uint32_t i = 2; i < j->word_count; i++)
		if (span_eq(j->words[i], span_of(word)))
			return true;
	return false;
}

/* ---- list and show ---- */

void admin_add_age(struct buf *b, int64_t ms)
{
	int64_t s = ms / 1000;
	if (s < 0)
		s = 0;
	if (s < 120)
		buf_addf(b, "%llds", (long long)s);
	else if (s < 2 * 3600)
		buf_addf(b, "%lldm", (long long)(s / 60));
	else if (s < 2 * 86400)
		buf_addf(b, "%lldh", (long long)(s / 3600));
	else
		buf_addf(b, "%lldd", (long long)(s / 86400));
}

static const char *state_of(const struct admin_job *j, const struct envelope *e)
{
	if ((e->flags & ENVELOPE_HELD) != 0)
		return "held";
	if (j->options.server != NULL && j->options.server->relay != NULL &&
	    relay_is_active(j->options.server->relay, e->id))
		return "active";
	return e->attempt_count > 0 ? "deferred" : "queued";
}

static void add_row(struct buf *text, const struct envelope *e)
{
	char id[STORE_ID_TEXT_BYTES];
	struct buf age = { 0 }, due = { 0 };
	int64_t now_ms = clock_wall_ms();
	const struct recipient *first = NULL;
	uint32_t pending = 0;

	for (uint32_t i = 0; i < e->recipient_count; i++)
		if (e->recipients[i].state == RECIPIENT_PENDING && pending++ == 0)
			first = &e->recipients[i];
	admin_add_age(&age, now_ms - e->arrival_wall_ms);
	if ((e->flags & ENVELOPE_HELD) != 0)
		buf_add_cstr(&due, "held");
	else if (e->due_wall_ms <= now_ms)
		buf_add_cstr(&due, "now");
	else
		admin_add_age(&due, e->due_wall_ms - now_ms);
	buf_addf(text, "%-14s %5s %10llu %8u %5s  <%s> -> <%s>%s\n", store_id_text(e->id, id), buf_cstr(&age),
		 (unsigned long long)(e->body_bytes + buf_bytes(&e->prefix)), e->attempt_count,
		 buf_cstr(&due), e->reverse_path, first != NULL ? first->address : "",
		 pending > 1 ? " and others" : "");
	if (first != NULL && first->reply_text[0] != '\0')
		buf_addf(text, "               last: %u %s\n", first->reply_code, first->reply_text);
	buf_free(&age);
	buf_free(&due);
}

static void add_listed(struct admin_job *j, const struct envelope *e, bool json, struct buf *text)
{
	if (json) {
		admin_json_message(text, e, state_of(j, e), false);
	} else {
		if (j->listed_count == 0)
			buf_addf(text, "%-14s %5s %10s %8s %5s  %s\n", "id", "age", "bytes", "attempts",
				 "due", "sender -> recipient");
		add_row(text, e);
	}
	j->listed_count++;
}

enum admin_step admin_queue_list(struct admin_job *j, struct buf *text)
{
	bool json = has_word(j, "--json");
	uint32_t at = 0;

	if (!admin_next_page(j))
		return ADMIN_FAILED;
	for (; at < j->page_count && buf_bytes(text) < ADMIN_TEXT_BYTES; at++) {
		struct envelope *e = NULL;
		if (queue_load(j->options.store, j->page[at], &e) != 0)
			continue; /* it left meanwhile */
		add_listed(j, e, json, text);
		envelope_free(e);
	}
	if (admin_page_done(j, at))
		return ADMIN_MORE;
	if (json)
		return ADMIN_DONE;
	if (j->listed_count == 0)
		buf_add_cstr(text, "queue is empty\n");
	else
		buf_addf(text, "%llu message%s\n", (unsigned long long)j->listed_count,
			 j->listed_count == 1 ? "" : "s");
	return ADMIN_DONE;
}

static void no_such(struct admin_job *j, struct span id, int rc)
{
	(void)err_set(&j->error, rc, "%.*s: %s", SPAN_FMT(id),
		      rc == -ENOENT ? "no such message in the queue"
		      : rc == -EBUSY
			      ? "it is being delivered, or changed by another command, right now; try again"
			      : strerror(-rc));
}

static void add_recipient(struct buf *text, const struct recipient *r)
{
	buf_addf(text, "recipient: <%s> %s, attempts %u\n", r->address, admin_recipient_state((int)r->state),
		 r->attempt_count);
	if (strcmp(r->address, r->original) != 0)
		buf_addf(text, "  sent to: <%s>\n", r->original);
	if (r->reply_text[0] != '\0')
		buf_addf(text, "  last answer: %u %s\n  from: %s\n", r->reply_code, r->reply_text,
			 r->remote_mta);
}

static void add_message(struct buf *text, const struct envelope *e)
{
	char id_text[STORE_ID_TEXT_BYTES];
	int64_t now_ms = clock_wall_ms();

	buf_addf(text, "id: %s\nsender: <%s>\nbytes: %llu\nage: ", store_id_text(e->id, id_text),
		 e->reverse_path, (unsigned long long)(e->body_bytes + buf_bytes(&e->prefix)));
	admin_add_age(text, now_ms - e->arrival_wall_ms);
	if ((e->flags & ENVELOPE_HELD) != 0) {
		buf_addf(text, "\nattempts: %u\nheld: until it is released", e->attempt_count);
	} else {
		buf_addf(text, "\nattempts: %u\nnext attempt in: ", e->attempt_count);
		admin_add_age(text, e->due_wall_ms - now_ms);
	}
	buf_add_cstr(text, "\n");
	for (uint32_t i = 0; i < e->recipient_count; i++)
		add_recipient(text, &e->recipients[i]);
}

enum admin_step admin_queue_show(struct admin_job *j, struct buf *text)
{
	struct envelope *e = NULL;
	uint64_t id;

	if (j->word_count < 3 || !store_id_parse(j->words[2], &id))
		return admin_fail(j, "which message?  queue list shows the ids");
	int rc = queue_load(j->options.store, id, &e);
	if (rc != 0) {
		no_such(j, j->words[2], rc);
		return ADMIN_FAILED;
	}
	if (has_word(j, "--json"))
		admin_json_message(text, e, state_of(j, e), true);
	else
		add_message(text, e);
	envelope_free(e);
	return ADMIN_DONE;
}

/* ---- which messages ---- */

static bool is_domain_of(const char *address, struct span domain)
{
	const char *at = strrchr(address, '@');
	return at != NULL && span_eq_nocase(span_of(at + 1), domain);
}

static bool goes_to(const struct envelope *e, struct span domain)
{
	for (uint32_t i = 0; i < e->recipient_count; i++)
		if (e->recipients[i].state == RECIPIENT_PENDING &&
		    is_domain_of(e->recipients[i].address, domain))
			return true;
	return false;
}

static struct span without_brackets(struct span s)
{
	if (s.n >= 2 && s.p[0] == '<' && s.p[s.n - 1] == '>')
		return span_sub(s, 1, s.n - 2);
	return s;
}

/* words[2] says which: --all, --domain D, --sender A. */
static bool is_meant(const struct admin_job *j, uint64_t id)
{
	struct envelope *e = NULL;
	bool meant;

	if (span_eq(j->words[2], SPAN_LIT("--all")))
		return true;
	if (queue_load(j->options.store, id, &e) != 0)
		return false;
	if (span_eq(j->words[2], SPAN_LIT("--domain")))
		meant = goes_to(e, j->words[3]);
	else
		meant = span_eq_nocase(span_of(e->reverse_path), without_brackets(j->words[3]));
	envelope_free(e);
	return meant;
}

/* ---- flush ---- */

enum admin_step admin_queue_flush(struct admin_job *j, struct buf *text)
{
	if (j->options.server == NULL)
		return admin_fail(j, "flush needs a running server, and none is running here");
	struct relay *relay = j->options.server->relay;
	if (j->word_count < 3) {
		relay_flush(relay);
		buf_add_cstr(text, "flushing\n");
		return ADMIN_DONE;
	}
	if (j->next_id == 0)
		relay_flush_domain(relay, j->words[2]);
	if (!admin_next_page(j))
		return ADMIN_FAILED;
	for (uint32_t i = 0; i < j->page_count; i++) {
		struct envelope *e = NULL;
		if (queue_load(j->options.store, j->page[i], &e) == 0 && goes_to(e, j->words[2]) &&
		    (e->flags & ENVELOPE_HELD) == 0)
			relay_hasten(relay, e->id);
		envelope_free(e);
	}
	if (admin_page_done(j, j->page_count))
		return ADMIN_MORE;
	buf_add_cstr(text, "flushing\n");
	return ADMIN_DONE;
}

/* ---- orders by hand ---- */

/* Outlives the job while the store has orders of it. */
struct admin_orders {
	struct admin_job *job; /* NULL: gone meanwhile */
	enum queue_order order;
	bool by_id;
	bool at_end;
	uint32_t word;    /* by_id: the next */
	uint32_t pending; /* submitted */
	uint64_t done_count;
	uint64_t busy_count;
	uint64_t failed_count;
};

/* One message. */
struct order {
	struct admin_orders *all;
	uint64_t id;
	struct span word; /* by_id: as it was named */
};

static const struct order_name {
	const char *verb;
	const char *past;
} order_names[] = {
	[QUEUE_HOLD] = { "hold", "held" },
	[QUEUE_RELEASE] = { "release", "released" },
	[QUEUE_REQUEUE] = { "requeue", "requeued" },
	[QUEUE_DROP] = { "remove", "removed" },
};

static void note_result(struct admin_orders *o, struct span word, int rc)
{
	if (rc == 0 || rc == -EALREADY)
		o->done_count += rc == 0 || o->by_id;
	else if (o->by_id || rc != -ENOENT) /* else it left meanwhile */
		o->failed_count++;
	o->busy_count += rc == -EBUSY;
	if (rc != 0 && rc != -EALREADY && o->by_id && o->failed_count == 1 && o->job != NULL)
		no_such(o->job, word, rc);
}

static void on_ordered(void *ctx, int result)
{
	struct order *one = ctx;
	struct admin_orders *o = one->all;

	note_result(o, o->job != NULL ? one->word : (struct span){ NULL, 0 }, result);
	free(one);
	if (--o->pending > 0)
		return;
	if (o->job == NULL)
		free(o);
	else if (o->job->options.wake != NULL)
		o->job->options.wake(o->job->options.ctx);
}

/* On a store without a server. */
static int order_offline(struct store *s, uint64_t id, enum queue_order order, struct order *one)
{
	struct envelope *e = NULL;

	int rc = queue_load_for_order(s, id, order, &e);
	if (rc == 0)
		rc = queue_apply_order(e, order, clock_wall_ms());
	if (rc == 0)
		queue_submit(s,
			     &(struct queue_change){ .row = order == QUEUE_DROP ? QUEUE_REMOVE : QUEUE_UPDATE,
						     .message = e },
			     on_ordered, one);
	envelope_free(e);
	return rc;
}

static void order_one(struct admin_job *j, uint64_t id, struct span word)
{
	struct admin_orders *o = j->orders;
	struct order *one = calloc(1, sizeof(*one));
	if (one == NULL)
		abort();

	*one = (struct order){ .all = o, .id = id, .word = word };
	int rc = j->options.server != NULL && j->options.server->relay != NULL
			 ? relay_order(j->options.server->relay, id, o->order, on_ordered, one)
			 : order_offline(j->options.store, id, o->order, one);
	if (rc == 0) {
		o->pending++;
		return;
	}
	free(one);
	note_result(o, word, rc);
}

/* NULL, and the error is set, when the words make no sense. */
static struct admin_orders *new_orders(struct admin_job *j)
{
	struct admin_orders *o = calloc(1, sizeof(*o));
	if (o == NULL)
		abort();
	o->job = j;
	o->word = 2;
	o->by_id = true;
	for (size_t i = 0; i < sizeof(order_names) / sizeof(order_names[0]); i++)
		if (span_eq(j->words[1], span_of(order_names[i].verb)))
			o->order = (enum queue_order)i;
	bool all = j->word_count == 3 && span_eq(j->words[2], SPAN_LIT("--all"));
	bool some = j->word_count == 4 && (span_eq(j->words[2], SPAN_LIT("--domain")) ||
					   span_eq(j->words[2], SPAN_LIT("--sender")));
	if (all || some) {
		o->by_id = false;
		return o;
	}
	uint64_t unused;
	bool ok = j->word_count > 2;
	for (uint32_t i = 2; i < j->word_count; i++)
		ok = ok && store_id_parse(j->words[i], &unused);
	if (ok)
		return o;
	(void)admin_fail(
		j, "which message?  queue list shows the ids; or --all, --domain DOMAIN, --sender ADDRESS");
	free(o);
	return NULL;
}

static void order_named(struct admin_job *j)
{
	struct admin_orders *o = j->orders;
	uint64_t id = 0;

	for (; o->word < j->word_count; o->word++)
		if (store_id_parse(j->words[o->word], &id))
			order_one(j, id, j->words[o->word]);
	o->at_end = true;
}

static bool order_page(struct admin_job *j)
{
	if (!admin_next_page(j))
		return false;
	for (uint32_t i = 0; i < j->page_count; i++)
		if (is_meant(j, j->page[i]))
			order_one(j, j->page[i], (struct span){ NULL, 0 });
	j->orders->at_end = !admin_page_done(j, j->page_count);
	return true;
}

static enum admin_step summary(struct admin_job *j, struct buf *text)
{
	const struct admin_orders *o = j->orders;
	const char *past = order_names[o->order].past;

	if (o->by_id && o->failed_count == 0)
		for (uint32_t i = 2; i < j->word_count; i++)
			buf_addf(text, "%s %.*s\n", past, SPAN_FMT(j->words[i]));
	else if (!o->by_id || o->done_count > 0)
		buf_addf(text, "%s %llu message%s\n", past, (unsigned long long)o->done_count,
			 o->done_count == 1 ? "" : "s");
	if (o->failed_count == 0)
		return ADMIN_DONE;
	if (!o->by_id)
		(void)err_set(&j->error, -EBUSY,
			      "%llu not: %llu are being delivered right now; try again for these",
			      (unsigned long long)o->failed_count, (unsigned long long)o->busy_count);
	return ADMIN_FAILED;
}

enum admin_step admin_queue_order(struct admin_job *j, struct buf *text)
{
	if (j->orders == NULL && (j->orders = new_orders(j)) == NULL)
		return ADMIN_FAILED;
	struct admin_orders *o = j->orders;
	if (o->pending > 0)
		return ADMIN_WAIT;
	if (o->at_end)
		return summary(j, text);
	if (o->by_id)
		order_named(j);
	else if (!order_page(j))
		return ADMIN_FAILED;
	return o->pending > 0 ? ADMIN_WAIT : ADMIN_MORE;
}

void admin_orders_free(struct admin_job *j)
{
	if (j->orders == NULL)
		return;
	j->orders->job = NULL;
	if (j->orders->pending == 0)
		free(j->orders);
}
