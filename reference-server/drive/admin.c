#include "reference-server/drive/admin.h"

#include "reference-server/drive/admin_parts.h"
#include "reference-server/drive/pop3_session.h"
#include "reference-server/drive/smtp_session.h"
#include "reference-server/store/account.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { PASSWORD_BYTES_MAX = 1024 };

/* What outlives the job: an operation of the store, or of the pool, that reports back to it. */
struct admin_errand {
	struct admin_job *job; /* NULL: gone meanwhile */
	struct store *store;
	uint32_t iterations;
	char address[ACCOUNT_ADDRESS_BYTES_MAX + 1];
	char password[PASSWORD_BYTES_MAX + 1];
	struct account_keys keys;
};

enum admin_step admin_fail(struct admin_job *j, const char *text)
{
	(void)err_set(&j->error, -EINVAL, "%s", text);
	return ADMIN_FAILED;
}

/* ---- errands ---- */

static void report(struct admin_errand *e, int result)
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

static struct admin_errand *new_errand(struct admin_job *j)
{
	struct admin_errand *e = calloc(1, sizeof(*e));
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
	struct admin_errand *e = job;
	account_derive(span_of(e->password), e->iterations, &e->keys);
}

static void on_added(void *ctx, int result)
{
	struct admin_errand *e = ctx;

	if (result == -EEXIST)
		account_set_keys(e->store, span_of(e->address), &e->keys, on_stored, e);
	else
		on_stored(e, result);
}

static void on_derived(void *job)
{
	struct admin_errand *e = job;
	account_add(e->store, span_of(e->address), &e->keys, on_added, e);
}

static enum admin_step do_account_add(struct admin_job *j, struct buf *text)
{
	if (j->reported)
		return account_result(j, text, "added");
	if (j->errand != NULL)
		return ADMIN_WAIT;
	if (j->word_count < 3 || !account_address_ok(j->words[2]))
		return admin_fail(j, "account add wants an address: local-part@domain");
	if (j->secret.n == 0 || j->secret.n > PASSWORD_BYTES_MAX || span_find(j->secret, '\0') < j->secret.n)
		return admin_fail(j, "account add wants a password of 1 to 1024 bytes");
	struct buf prepared = { 0 };
	if (account_prepare_password(j->secret, &prepared) != 0 || buf_bytes(&prepared) > PASSWORD_BYTES_MAX)
		return admin_fail(j, "account add: a character in that password is none that one may have");
	struct admin_errand *e = new_errand(j);
	(void)span_copy(j->words[2], e->address, sizeof(e->address));
	(void)span_copy(buf_span(&prepared), e->password, sizeof(e->password));
	explicit_bzero(prepared.p, prepared.room);
	buf_free(&prepared);
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
		return admin_fail(j, "account remove wants an address: local-part@domain");
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
	return admin_fail(j, "unknown request");
}

static const struct request_kind {
	const char *verb;
	const char *object; /* NULL: one word is enough */
	admin_step_fn *step;
} kinds[] = {
	{ "status", NULL, do_status },
	{ "queue", "list", admin_queue_list },
	{ "queue", "show", admin_queue_show },
	{ "queue", "flush", admin_queue_flush },
	{ "queue", "hold", admin_queue_order },
	{ "queue", "release", admin_queue_order },
	{ "queue", "requeue", admin_queue_order },
	{ "queue", "remove", admin_queue_order },
	{ "queue", "destinations", admin_queue_destinations },
	{ "mailbox", "list", admin_mailbox_list },
	{ "mailbox", "export", admin_mailbox_export },
	{ "account", "add", do_account_add },
	{ "account", "list", do_account_list },
	{ "account", "remove", do_account_remove },
};

static admin_step_fn *find_step(const struct admin_job *j)
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
	while (line.n > 0 && j->word_count < ADMIN_WORDS_MAX) {
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
	admin_orders_free(j);
	admin_shape_free(j);
	admin_mailbox_free(j);
	if (j->request.p != NULL)
		explicit_bzero(j->request.p, j->request.room);
	buf_free(&j->request);
	free(j);
}
