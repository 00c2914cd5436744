#include "reference-server/drive/admin.h"

#include "reference-server/drive/pop3_session.h"
#include "reference-server/drive/relay.h"
#include "reference-server/drive/smtp_session.h"
#include "reference-server/store/account.h"
#include "reference-server/store/queue.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	PAGE = 200, /* messages one step looks at */
	WORDS_MAX = 4,
	PASSWORD_BYTES_MAX = 1024,
};

/* What outlives the job: an operation of the store, or of the pool, that reports back to it. */
struct errand {
	struct admin_job *job; /* NULL: gone meanwhile */
	struct store *store;
	uint32_t iterations;
	char address[ACCOUNT_ADDRESS_BYTES_MAX + 1];
	char password[PASSWORD_BYTES_MAX + 1];
	struct account_keys keys;
};

typedef enum admin_step step_fn(struct admin_job *j, struct buf *text);

struct admin_job {
	struct admin_options options;
	struct buf request;
	struct span words[WORDS_MAX];
	uint32_t word_count;
	struct span secret;
	step_fn *step;
	struct err error;
	struct errand *errand;
	bool reported; /* the errand's result is there */
	int result;
	uint64_t next_id; /* of a listing */
	uint64_t listed_count;
	uint64_t page[PAGE];
	uint32_t page_count;
};

static enum admin_step fail(struct admin_job *j, const char *text)
{
	(void)err_set(&j->error, -EINVAL, "%s", text);
	return ADMIN_FAILED;
}

/* ---- errands ---- */

static void report(struct errand *e, int result)
{
	struct admin_job *j = e->job;

	explicit_bzero(e->password, sizeof(e->password));
	free(e);
	if (j == NULL)
		return;
	j->errand = NULL;
	j->reported = true;
	j->result = result;
	if (j->options.wake != NULL)
		j->options.wake(j->options.ctx);
}

static void on_stored(void *ctx, int result)
{
	report(ctx, result);
}

static struct errand *new_errand(struct admin_job *j)
{
	struct errand *e = calloc(1, sizeof(*e));
	if (e == NULL)
		abort();
	e->job = j;
	e->store = j->options.store;
	e->iterations = j->options.iterations;
	j->errand = e;
	return e;
}

/* ---- status ---- */

static enum admin_step do_status(struct admin_job *j, struct buf *text)
{
	struct store_stats s = store_stats(j->options.store);

	buf_addf(text, "queue: %llu\n", (unsigned long long)s.queue_count);
	buf_addf(text, "store bytes used: %llu of %llu\n", (unsigned long long)s.used_bytes,
		 (unsigned long long)s.map_bytes);
	buf_addf(text, "store full: %s\n", s.full ? "yes: new mail gets 452" : "no");
	if (j->options.server == NULL) {
		buf_add_cstr(text, "server: not running\n");
		return ADMIN_DONE;
	}
	buf_addf(text, "smtp sessions: %u\npop3 sessions: %u\n", smtp_session_count(), pop3_session_count());
	buf_addf(text, "commits: %llu\noperations: %llu\n", (unsigned long long)s.commit_count,
		 (unsigned long long)s.op_count);
	return ADMIN_DONE;
}

/* ---- queue ---- */

static void add_age(struct buf *b, int64_t ms)
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

static bool note_id(void *ctx, uint64_t id, int64_t due_wall_ms, int64_t arrival_wall_ms)
{
	struct admin_job *j = ctx;
	(void)due_wall_ms;
	(void)arrival_wall_ms;
	j->page[j->page_count++] = id;
	return j->page_count < PAGE;
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
	add_age(&age, now_ms - e->arrival_wall_ms);
	if (e->due_wall_ms <= now_ms)
		buf_add_cstr(&due, "now");
	else
		add_age(&due, e->due_wall_ms - now_ms);
	buf_addf(text, "%-14s %5s %10llu %8u %5s  <%s> -> <%s>%s\n", store_id_text(e->id, id), buf_cstr(&age),
		 (unsigned long long)(e->body_bytes + buf_bytes(&e->prefix)), e->attempt_count,
		 buf_cstr(&due), e->reverse_path, first != NULL ? first->address : "",
		 pending > 1 ? " and others" : "");
	if (first != NULL && first->reply_text[0] != '\0')
		buf_addf(text, "               last: %u %s\n", first->reply_code, first->reply_text);
	buf_free(&age);
	buf_free(&due);
}

static enum admin_step do_queue_list(struct admin_job *j, struct buf *text)
{
	j->page_count = 0;
	int rc = queue_scan(j->options.store, j->next_id, note_id, j);
	if (rc != 0 && j->listed_count == 0) {
		(void)err_errno(&j->error, -rc, "read queue");
		return ADMIN_FAILED;
	}
	if (j->listed_count == 0 && j->page_count > 0)
		buf_addf(text, "%-14s %5s %10s %8s %5s  %s\n", "id", "age", "bytes", "attempts", "due",
			 "sender -> recipient");
	for (uint32_t i = 0; i < j->page_count; i++) {
		struct envelope *e = NULL;
		if (queue_load(j->options.store, j->page[i], &e) != 0)
			continue; /* it left meanwhile */
		add_row(text, e);
		envelope_free(e);
		j->listed_count++;
	}
	if (j->page_count == PAGE) {
		j->next_id = j->page[PAGE - 1] + 1;
		return ADMIN_MORE;
	}
	if (j->listed_count == 0)
		buf_add_cstr(text, "queue is empty\n");
	else
		buf_addf(text, "%llu message%s\n", (unsigned long long)j->listed_count,
			 j->listed_count == 1 ? "" : "s");
	return ADMIN_DONE;
}

static const char *state_name(enum recipient_state state)
{
	switch (state) {
	case RECIPIENT_PENDING:
		return "pending";
	case RECIPIENT_DELIVERED:
		return "delivered";
	case RECIPIENT_FAILED:
		return "failed";
	}
	return "?";
}

static bool load_named(struct admin_job *j, uint64_t *ret_id, struct envelope **ret_envelope)
{
	if (j->word_count < 3 || !store_id_parse(j->words[2], ret_id)) {
		(void)fail(j, "which message?  queue list shows the ids");
		return false;
	}
	int rc = queue_load(j->options.store, *ret_id, ret_envelope);
	if (rc != 0)
		(void)err_set(&j->error, rc, "%.*s: %s", SPAN_FMT(j->words[2]),
			      rc == -ENOENT ? "no such message in the queue" : strerror(-rc));
	return rc == 0;
}

static enum admin_step do_queue_show(struct admin_job *j, struct buf *text)
{
	struct envelope *e = NULL;
	char id_text[STORE_ID_TEXT_BYTES];
	uint64_t id;
	int64_t now_ms = clock_wall_ms();

	if (!load_named(j, &id, &e))
		return ADMIN_FAILED;
	buf_addf(text, "id: %s\nsender: <%s>\nbytes: %llu\nage: ", store_id_text(e->id, id_text),
		 e->reverse_path, (unsigned long long)(e->body_bytes + buf_bytes(&e->prefix)));
	add_age(text, now_ms - e->arrival_wall_ms);
	buf_addf(text, "\nattempts: %u\nnext attempt in: ", e->attempt_count);
	add_age(text, e->due_wall_ms - now_ms);
	buf_add_cstr(text, "\n");
	for (uint32_t i = 0; i < e->recipient_count; i++) {
		const struct recipient *r = &e->recipients[i];
		buf_addf(text, "recipient: <%s> %s, attempts %u\n", r->address, state_name(r->state),
			 r->attempt_count);
		if (strcmp(r->address, r->original) != 0)
			buf_addf(text, "  sent to: <%s>\n", r->original);
		if (r->reply_text[0] != '\0')
			buf_addf(text, "  last answer: %u %s\n  from: %s\n", r->reply_code, r->reply_text,
				 r->remote_mta);
	}
	envelope_free(e);
	return ADMIN_DONE;
}

static enum admin_step do_queue_flush(struct admin_job *j, struct buf *text)
{
	if (j->options.server == NULL)
		return fail(j, "flush needs a running server, and none is running here");
	relay_flush(j->options.server->relay, j->word_count > 2 ? j->words[2] : (struct span){ NULL, 0 });
	buf_add_cstr(text, "flushing\n");
	return ADMIN_DONE;
}

static enum admin_step do_queue_remove(struct admin_job *j, struct buf *text)
{
	struct envelope *e = NULL;
	uint64_t id;

	if (j->reported) {
		if (j->result != 0) {
			(void)err_errno(&j->error, -j->result, "remove");
			return ADMIN_FAILED;
		}
		buf_addf(text, "removed %.*s\n", SPAN_FMT(j->words[2]));
		return ADMIN_DONE;
	}
	if (j->errand != NULL)
		return ADMIN_WAIT;
	if (!load_named(j, &id, &e))
		return ADMIN_FAILED;
	struct errand *errand = new_errand(j);
	int rc = 0;
	if (j->options.server != NULL)
		rc = relay_remove(j->options.server->relay, id, on_stored, errand);
	else
		queue_submit(j->options.store, &(struct queue_change){ .row = QUEUE_REMOVE, .message = e },
			     on_stored, errand);
	envelope_free(e);
	if (rc == 0)
		return ADMIN_WAIT;
	j->errand = NULL;
	free(errand);
	return fail(j, rc == -EBUSY ? "it is being delivered right now; try again" : strerror(-rc));
}

/* ---- accounts ---- */

static enum admin_step account_result(struct admin_job *j, struct buf *text, const char *done)
{
	if (j->result == 0) {
		buf_addf(text, "%s %.*s\n", done, SPAN_FMT(j->words[2]));
		return ADMIN_DONE;
	}
	(void)err_set(&j->error, j->result, "%.*s: %s", SPAN_FMT(j->words[2]),
		      j->result == -ENOENT ? "no such account" : strerror(-j->result));
	return ADMIN_FAILED;
}

static void derive(void *job)
{
	struct errand *e = job;
	account_derive(span_of(e->password), e->iterations, &e->keys);
}

static void on_added(void *ctx, int result)
{
	struct errand *e = ctx;

	if (result == -EEXIST)
		account_set_keys(e->store, span_of(e->address), &e->keys, on_stored, e);
	else
		on_stored(e, result);
}

static void on_derived(void *job)
{
	struct errand *e = job;
	account_add(e->store, span_of(e->address), &e->keys, on_added, e);
}

static enum admin_step do_account_add(struct admin_job *j, struct buf *text)
{
	if (j->reported)
		return account_result(j, text, "added");
	if (j->errand != NULL)
		return ADMIN_WAIT;
	if (j->word_count < 3 || !account_address_ok(j->words[2]))
		return fail(j, "account add wants an address: local-part@domain");
	if (j->secret.n == 0 || j->secret.n > PASSWORD_BYTES_MAX || span_find(j->secret, '\0') < j->secret.n)
		return fail(j, "account add wants a password of 1 to 1024 bytes");
	struct errand *e = new_errand(j);
	(void)span_copy(j->words[2], e->address, sizeof(e->address));
	(void)span_copy(j->secret, e->password, sizeof(e->password));
	if (j->options.server != NULL) {
		pool_submit(j->options.server->pool, derive, on_derived, e);
	} else {
		derive(e);
		on_derived(e);
	}
	return ADMIN_WAIT;
}

static enum admin_step do_account_remove(struct admin_job *j, struct buf *text)
{
	if (j->reported)
		return account_result(j, text, "removed");
	if (j->errand != NULL)
		return ADMIN_WAIT;
	if (j->word_count < 3 || !account_address_ok(j->words[2]))
		return fail(j, "account remove wants an address: local-part@domain");
	account_remove(j->options.store, j->words[2], on_stored, new_errand(j));
	return ADMIN_WAIT;
}

static bool add_account(void *ctx, const struct account *a)
{
	buf_addf(ctx, "%s\n", a->address);
	return true;
}

static enum admin_step do_account_list(struct admin_job *j, struct buf *text)
{
	int rc = account_scan(j->options.store, add_account, text);
	if (rc != 0) {
		(void)err_errno(&j->error, -rc, "read accounts");
		return ADMIN_FAILED;
	}
	return ADMIN_DONE;
}

/* ---- jobs ---- */

static enum admin_step do_unknown(struct admin_job *j, struct buf *text)
{
	(void)text;
	return fail(j, "unknown request");
}

static const struct request_kind {
	const char *verb;
	const char *object; /* NULL: one word is enough */
	step_fn *step;
} kinds[] = {
	{ "status", NULL, do_status },          { "queue", "list", do_queue_list },
	{ "queue", "show", do_queue_show },     { "queue", "flush", do_queue_flush },
	{ "queue", "remove", do_queue_remove }, { "account", "add", do_account_add },
	{ "account", "list", do_account_list }, { "account", "remove", do_account_remove },
};

static step_fn *find_step(const struct admin_job *j)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (j->word_count == 0 || !span_eq(j->words[0], span_of(kinds[i].verb)))
			continue;
		if (kinds[i].object == NULL ||
		    (j->word_count > 1 && span_eq(j->words[1], span_of(kinds[i].object))))
			return kinds[i].step;
	}
	return do_unknown;
}

struct admin_job *admin_start(const struct admin_options *o, struct span request)
{
	struct admin_job *j = calloc(1, sizeof(*j));
	struct span rest, line, word;

	if (j == NULL)
		abort();
	j->options = *o;
	if (j->options.iterations == 0)
		j->options.iterations = ACCOUNT_ITERATIONS_DEFAULT;
	buf_add(&j->request, request);
	rest = buf_span(&j->request);
	if (!span_take_until(&rest, '\n', &line)) {
		line = rest;
		rest = (struct span){ NULL, 0 };
	}
	j->secret = span_sub(rest, 0, span_find(rest, '\n'));
	while (line.n > 0 && j->word_count < WORDS_MAX) {
		if (!span_take_until(&line, ' ', &word)) {
			word = line;
			line = (struct span){ NULL, 0 };
		}
		if (word.n > 0)
			j->words[j->word_count++] = word;
	}
	j->step = find_step(j);
	return j;
}

enum admin_step admin_step(struct admin_job *j, struct buf *text)
{
	return j->step(j, text);
}

const struct err *admin_error(const struct admin_job *j)
{
	return &j->error;
}

void admin_free(struct admin_job *j)
{
	if (j == NULL)
		return;
	if (j->errand != NULL)
		j->errand->job = NULL;
	if (j->request.p != NULL)
		explicit_bzero(j->request.p, j->request.room);
	buf_free(&j->request);
	free(j);
}
