/*
 * admin and control: what the commands do to a store, on its own and through
 * the socket of a (small) server.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <fnmatch.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/log.h"
#include "reference-server/drive/admin.h"
#include "reference-server/drive/control.h"
#include "reference-server/store/account.h"
#include "tests/unit/server/store_fixture.h"

/* ---- without a server ---- */

/* The request in a block of exactly its size; the answer, or "error TEXT". */
static void run_offline(struct fixture *f, struct span request, struct buf *answer)
{
	char *copy = malloc(request.n + 1);
	enum admin_step step;

	assert_non_null(copy);
	memcpy(copy, request.p, request.n);
	struct admin_job *j = admin_start(
		&(struct admin_options){ .store = f->store, .iterations = ACCOUNT_ITERATIONS_MIN },
		(struct span){ copy, request.n });
	free(copy);
	buf_reset(answer);
	while ((step = admin_step(j, answer)) == ADMIN_MORE || step == ADMIN_WAIT)
		if (step == ADMIN_WAIT)
			store_drain(f->store);
	if (step == ADMIN_FAILED)
		buf_addf(answer, "error %s", admin_error(j)->text);
	admin_free(j);
}

static void expect_offline(struct fixture *f, const char *request, const char *pattern)
{
	struct buf answer = { 0 };

	run_offline(f, span_of(request), &answer);
	if (fnmatch(pattern, buf_cstr(&answer), 0) != 0)
		fail_msg("%s: wanted \"%s\", got \"%s\"", request, pattern, buf_cstr(&answer));
	buf_free(&answer);
}

static void an_empty_store_says_so_and_nonsense_is_refused(void **state)
{
	static const struct row {
		const char *request;
		const char *pattern;
	} rows[] = {
		{ "queue list\n", "queue is empty\n" },
		{ "queue list", "queue is empty\n" },
		{ "  queue   list  \n", "queue is empty\n" },
		{ "account list\n", "" },
		{ "queue list --json\n", "" },
		{ "queue destinations\n", "queue is empty\n" },
		{ "queue destinations --json\n", "" },
		{ "queue hold\n", "error which message*" },
		{ "queue hold UUU\n", "error which message*" },
		{ "queue hold 5 UUU\n", "error which message*" },
		{ "queue hold --domain\n", "error which message*" },
		{ "queue hold 5\n", "error 5: no such message in the queue" },
		{ "queue release 5\n", "error 5: no such message in the queue" },
		{ "queue requeue 5\n", "error 5: no such message in the queue" },
		{ "queue hold --all\n", "held 0 messages\n" },
		{ "queue remove --sender <>\n", "removed 0 messages\n" },
		{ "status\n", "queue: 0\n*server: not running\n" },
		{ "queue show\n", "error which message*" },
		{ "queue show UUU\n", "error which message*" },
		{ "queue show 5\n", "error 5: no such message in the queue" },
		{ "queue remove 5\n", "error 5: no such message in the queue" },
		{ "queue flush\n", "error flush needs a running server*" },
		{ "account add\n", "error account add wants an address*" },
		{ "account add sales\nsecret\n", "error account add wants an address*" },
		{ "account add sales@fredsco.example\n", "error account add wants a password*" },
		{ "account add sales@fredsco.example\n\n", "error account add wants a password*" },
		{ "account remove sales@fredsco.example\n", "error sales@fredsco.example: no such account" },
		{ "", "error unknown request" },
		{ "\n", "error unknown request" },
		{ "queue\n", "error unknown request" },
		{ "queue fly\n", "error unknown request" },
		{ "Queue list\n", "error unknown request" },
		{ "a b c d e f\n", "error unknown request" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		expect_offline(*state, rows[i].request, rows[i].pattern);
}

static void a_password_that_is_too_long_is_refused(void **state)
{
	struct buf request = { 0 }, answer = { 0 };

	buf_add_cstr(&request, "account add sales@fredsco.example\n");
	memset(buf_reserve(&request, 1025), 'x', 1025);
	buf_grow(&request, 1025);
	run_offline(*state, buf_span(&request), &answer);
	assert_true(span_starts_nocase(buf_span(&answer), SPAN_LIT("error ")));
	buf_truncate(&request, buf_bytes(&request) - 1);
	run_offline(*state, buf_span(&request), &answer);
	assert_string_equal(buf_cstr(&answer), "added sales@fredsco.example\n");
	buf_free(&request);
	buf_free(&answer);
}

static void accounts_come_change_and_go(void **state)
{
	struct fixture *f = *state;
	struct account a;

	expect_offline(f, "account add Sales@FredsCo.example\nsecret\n", "added Sales@FredsCo.example\n");
	expect_offline(f, "account add info@fredsco.example\nother\n", "added *");
	expect_offline(f, "account list\n", "info@fredsco.example\nsales@fredsco.example\n");
	assert_int_equal(account_find(f->store, SPAN_LIT("sales@fredsco.example"), &a), 0);
	uint32_t id = a.id;
	assert_true(account_verify(&a.keys, SPAN_LIT("secret")));
	expect_offline(f, "account add sales@fredsco.example\nnew one\n", "added *");
	assert_int_equal(account_find(f->store, SPAN_LIT("sales@fredsco.example"), &a), 0);
	assert_int_equal(a.id, id); /* the same mailbox */
	assert_true(account_verify(&a.keys, SPAN_LIT("new one")));
	assert_false(account_verify(&a.keys, SPAN_LIT("secret")));
	expect_offline(f, "account remove sales@fredsco.example\n", "removed sales@fredsco.example\n");
	expect_offline(f, "account remove sales@fredsco.example\n", "error *no such account");
	expect_offline(f, "account list\n", "info@fredsco.example\n");
}

/* As an attempt leaves it. */
static uint64_t enqueue_deferred(struct fixture *f)
{
	struct envelope *e = NULL;
	uint64_t id = enqueue(f, 100);

	assert_int_equal(queue_load(f->store, id, &e), 0);
	e->attempt_count = 3;
	e->due_wall_ms = clock_wall_ms() + 3 * 3600 * 1000 + 30000;
	e->recipients[0].attempt_count = 3;
	recipient_set_result(&e->recipients[0], RECIPIENT_PENDING, 451, SPAN_LIT("4.3.0"),
			     SPAN_LIT("4.3.0 come back later"), SPAN_LIT("mx.fredsco.example [127.0.0.9]"));
	(void)envelope_add_recipient(e, SPAN_LIT("done@other.example"), SPAN_LIT("alias@other.example"));
	e->recipients[1].state = RECIPIENT_DELIVERED;
	const struct queue_change c = { .row = QUEUE_UPDATE, .message = e };
	assert_int_equal(submit(f, &c), 0);
	envelope_free(e);
	return id;
}

static void the_queue_is_listed_shown_and_removed_from(void **state)
{
	struct fixture *f = *state;
	char id[STORE_ID_TEXT_BYTES], request[64], pattern[256];

	uint64_t first = enqueue_deferred(f);
	(void)enqueue(f, 1);
	(void)store_id_text(first, id);
	(void)snprintf(
		pattern, sizeof(pattern),
		"id *\n%s *123 *3 *3h  <barney@isp2.example> -> <sales@fredsco.example>\n*last: 451 4.3.0 "
		"come back later\n*now *\n2 messages\n",
		id);
	expect_offline(f, "queue list\n", pattern);
	(void)snprintf(request, sizeof(request), "queue show %s\n", id);
	expect_offline(
		f, request,
		"id: *\nsender: <barney@isp2.example>\nbytes: 123\nage: *\nattempts: 3\nnext attempt in: "
		"3h\nrecipient: <sales@fredsco.example> pending, attempts 3\n*451 4.3.0 come back "
		"later\n*mx.fredsco.example [[]127.0.0.9]\nrecipient: <done@other.example> delivered, "
		"attempts 0\n  sent to: <alias@other.example>\n");
	(void)snprintf(request, sizeof(request), "queue remove %s\n", id);
	expect_offline(f, request, "removed *\n");
	expect_offline(f, request, "error *no such message in the queue");
	expect_offline(f, "queue list\n", "*\n1 message\n");
}

static void orders_by_hand_are_carried_out_and_survive_a_restart(void **state)
{
	struct fixture *f = *state;
	char a[STORE_ID_TEXT_BYTES], b[STORE_ID_TEXT_BYTES], request[128];
	struct envelope *e = NULL;

	uint64_t first = enqueue_deferred(f), second = enqueue(f, 1);
	(void)store_id_text(first, a);
	(void)store_id_text(second, b);
	(void)snprintf(request, sizeof(request), "queue hold %s\n", a);
	expect_offline(f, request, "held *\n");
	expect_offline(f, request, "held *\n"); /* so it is */
	fixture_restart(f);
	expect_offline(f, "queue list\n", "id *\n* held  <barney@*\n*now *\n2 messages\n");
	expect_offline(
		f, "queue list --json\n",
		"{\"id\":\"*\",\"state\":\"held\",\"sender\":\"barney@isp2.example\",\"bytes\":123,"
		"\"arrival_ms\":1700000000000,\"due_ms\":*,\"attempts\":3,\"recipients\":[[]{\"address\":"
		"\"sales@fredsco.example\",\"state\":\"pending\",\"attempts\":3,*\"code\":451,\"status\":"
		"\"4.3.0\",\"text\":\"4.3.0 come back later\",*}]}\n{*\"state\":\"queued\"*}\n");
	expect_offline(f, "queue destinations\n", "destination *\nfredsco.example *  1 *1 *last: 451*\n");
	expect_offline(f, "queue destinations --json\n",
		       "{\"destination\":\"fredsco.example\",*\"waiting\":1,\"active\":0,\"held\":1,"
		       "\"waiting_by_age\":[[]0,0,0,0,0,0,0,0,0,0,1],*\"last_code\":451,*}\n");
	(void)snprintf(request, sizeof(request), "queue requeue %s\n", a);
	expect_offline(f, request, "requeued *\n");
	assert_int_equal(queue_load(f->store, first, &e), 0);
	assert_int_equal(e->flags & ENVELOPE_HELD, 0);
	assert_int_equal(e->attempt_count, 0);
	assert_true(e->due_wall_ms <= clock_wall_ms());
	envelope_free(e);
	expect_offline(f, "queue hold --domain other.example\n", "held 0 messages\n"); /* delivered there */
	expect_offline(f, "queue hold --domain FREDSCO.example\n", "held 2 messages\n");
	expect_offline(f, "queue hold --all\n", "held 0 messages\n");
	(void)snprintf(request, sizeof(request), "queue release %s %s\n", a, b);
	expect_offline(f, request, "released *\nreleased *\n");
	expect_offline(f, "queue remove --sender nobody@isp2.example\n", "removed 0 messages\n");
	(void)snprintf(request, sizeof(request), "queue remove %s 5\n", b);
	expect_offline(f, request, "removed 1 message\nerror 5: no such message in the queue");
	expect_offline(f, "queue remove --sender <Barney@isp2.example>\n", "removed 1 message\n");
	expect_offline(f, "queue list\n", "queue is empty\n");
}

static void orders_about_many_go_page_by_page(void **state)
{
	struct fixture *f = *state;

	enqueue_many(f, 450);
	expect_offline(f, "queue hold --all\n", "held 450 messages\n");
	expect_offline(f, "queue destinations\n", "*\nfredsco.example * 450 *");
	expect_offline(f, "queue requeue --all\n", "requeued 450 messages\n");
	expect_offline(f, "queue remove --all\n", "removed 450 messages\n");
	expect_offline(f, "queue list\n", "queue is empty\n");
}

static void a_long_queue_is_listed_in_steps(void **state)
{
	enum { MANY = 450 };
	struct fixture *f = *state;
	struct buf answer = { 0 };
	uint32_t lines = 0, steps = 0;
	enum admin_step step;

	enqueue_many(f, MANY);
	struct admin_job *j =
		admin_start(&(struct admin_options){ .store = f->store }, SPAN_LIT("queue list\n"));
	do {
		step = admin_step(j, &answer);
		steps++;
	} while (step == ADMIN_MORE);
	assert_int_equal(step, ADMIN_DONE);
	assert_true(steps > 1);
	admin_free(j);
	for (struct span rest = buf_span(&answer), line; span_take_until(&rest, '\n', &line);)
		lines++;
	assert_int_equal(lines, MANY + 2);
	buf_free(&answer);
}

/* A message may have thousands of recipients: a step says no more than about ADMIN_TEXT_BYTES and one message. */
static void a_step_says_a_bounded_amount(void **state)
{
	enum { MANY = 20, RECIPIENTS = 3000 };
	struct fixture *f = *state;
	struct buf answer = { 0 };
	enum admin_step step;
	size_t most = 0, total = 0;

	for (int i = 0; i < MANY; i++) {
		struct envelope *e = make_envelope(f->store, 10);
		struct span body = make_content(e->id, 10);
		for (int k = 1; k < RECIPIENTS; k++)
			(void)envelope_add_recipient(e, SPAN_LIT("other@fredsco.example"),
						     (struct span){ 0 });
		const struct queue_change c = { .row = QUEUE_INSERT, .message = e, .body = body };
		assert_int_equal(submit(f, &c), 0);
		envelope_free(e);
		free_content(body);
	}
	struct admin_job *j =
		admin_start(&(struct admin_options){ .store = f->store }, SPAN_LIT("queue list --json\n"));
	do {
		step = admin_step(j, &answer);
		most = buf_bytes(&answer) > most ? buf_bytes(&answer) : most;
		total += buf_bytes(&answer);
		buf_reset(&answer);
	} while (step == ADMIN_MORE);
	assert_int_equal(step, ADMIN_DONE);
	assert_true(total > MANY * RECIPIENTS * 50);
	assert_true(most < 65536 + total / MANY + 1000);
	admin_free(j);
	buf_free(&answer);
}

/* ---- through the socket ---- */

enum { PATIENCE_MS = 60000 }; /* for each request */

struct world {
	struct fixture store;
	struct server server;
	struct timer *patience;
};

static void on_impatient(void *ctx)
{
	(void)ctx;
	fail_msg("nothing happens any more");
}

static void build(struct world *w)
{
	struct server *s = &w->server;
	struct err e;

	log_set_level(LOG_ERROR);
	*w = (struct world){ 0 };
	(void)snprintf(w->store.dir, sizeof(w->store.dir), "/tmp/postrider-control-XXXXXX");
	assert_non_null(mkdtemp(w->store.dir));
	s->loop = loop_new();
	w->store.options.loop = s->loop;
	fixture_open(&w->store);
	s->store = w->store.store;
	s->config = config_new();
	s->config->data_dir = strdup(w->store.dir);
	s->config->auth_iterations = ACCOUNT_ITERATIONS_MIN;
	s->pool = pool_new(s->loop, CONTROL_CONNECTIONS_MAX + 4);
	s->control = control_new(s, &e);
	assert_non_null(s->control);
	w->patience = timer_new(s->loop, on_impatient, w);
}

static void tear_down(struct world *w)
{
	struct server *s = &w->server;
	struct err e;

	pool_free(s->pool);
	control_free(s->control);
	store_close(s->store);
	config_free(s->config);
	timer_free(w->patience);
	loop_free(s->loop);
	assert_int_equal(dir_remove(w->store.dir, &e), 0);
}

/* A command, which blocks, on a thread of the pool. */
struct command {
	struct world *world;
	const char *request;
	int result;
	struct err err;
	char *text;
	size_t text_bytes;
	uint32_t *left; /* of several */
};

static void run_command(void *job)
{
	struct command *c = job;
	FILE *out = open_memstream(&c->text, &c->text_bytes);

	assert_non_null(out);
	c->result = control_request(c->world->store.dir, span_of(c->request), out, &c->err);
	(void)fclose(out);
}

static void command_done(void *job)
{
	struct command *c = job;
	if (c->left == NULL || --*c->left == 0)
		loop_stop(c->world->server.loop);
}

static void expect_online(struct world *w, const char *request, int result, const char *pattern)
{
	struct command c = { .world = w, .request = request };

	timer_set_ms(w->patience, PATIENCE_MS);
	pool_submit(w->server.pool, run_command, command_done, &c);
	loop_run(w->server.loop);
	const char *got = c.result == 0 ? c.text : c.err.text;
	if (c.result != result || fnmatch(pattern, got, 0) != 0)
		fail_msg("%s: wanted %d \"%s\", got %d \"%s\"", request, result, pattern, c.result, got);
	free(c.text);
}

static void the_server_answers_like_the_store_alone(void **state)
{
	struct world w;
	(void)state;

	build(&w);
	expect_online(&w, "queue list\n", 0, "queue is empty\n");
	expect_online(&w, "status\n", 0, "queue: 0\n*smtp sessions: 0\npop3 sessions: 0\n*");
	expect_online(&w, "account add sales@fredsco.example\nsecret\n", 0, "added *\n");
	expect_online(&w, "account list\n", 0, "sales@fredsco.example\n");
	expect_online(&w, "account remove sales@fredsco.example\n", 0, "removed *\n");
	expect_online(&w, "account remove sales@fredsco.example\n", -EPROTO, "*: no such account");
	expect_online(&w, "queue show 5\n", -EPROTO, "5: no such message in the queue");
	expect_online(&w, "nonsense\n", -EPROTO, "unknown request");
	enqueue_many(&w.store, 450);
	expect_online(&w, "queue list\n", 0, "id *\n450 messages\n");
	tear_down(&w);
}

static void only_the_owner_can_reach_the_socket(void **state)
{
	char path[128];
	struct stat st;
	struct world w;
	(void)state;

	build(&w);
	(void)snprintf(path, sizeof(path), "%s/control", w.store.dir);
	assert_int_equal(stat(path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 0777, 0600);
	tear_down(&w);
}

static void nobody_there_is_told_from_a_refusal(void **state)
{
	struct world w;
	struct err e;
	(void)state;

	build(&w);
	control_free(w.server.control);
	w.server.control = NULL;
	assert_int_equal(control_request(w.store.dir, SPAN_LIT("status\n"), stdout, &e), -ENOENT);
	/* What a killed server leaves behind. */
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	(void)snprintf(un.sun_path, sizeof(un.sun_path), "%s/control", w.store.dir);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)&un, sizeof(un)), 0);
	(void)close(fd);
	assert_int_equal(control_request(w.store.dir, SPAN_LIT("status\n"), stdout, &e), -ENOENT);
	/* And the next server takes its place. */
	w.server.control = control_new(&w.server, &e);
	assert_non_null(w.server.control);
	expect_online(&w, "queue list\n", 0, "queue is empty\n");
	tear_down(&w);
}

/* A listing that nobody reads: others get their answers, and the server does not gather what it cannot send. */
static void a_slow_reader_holds_up_nobody(void **state)
{
	struct world w;
	(void)state;

	build(&w);
	enqueue_many(&w.store, 6000);
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	(void)snprintf(un.sun_path, sizeof(un.sun_path), "%s/control", w.store.dir);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)&un, sizeof(un)), 0);
	assert_int_equal(send(fd, "queue list\n", 11, 0), 11);
	for (int i = 0; i < 5; i++)
		expect_online(&w, "queue list\n", 0, "id *\n6000 messages\n");
	/* It was begun, and it stopped when the socket was full: what is there now is all there is. */
	char *got = malloc(8 << 20);
	size_t n = 0;
	for (ssize_t rc; (rc = recv(fd, got + n, (8 << 20) - n, MSG_DONTWAIT)) > 0;)
		n += (size_t)rc;
	assert_true(n > 1000 && n < 400000);
	free(got);
	(void)close(fd);
	expect_online(&w, "status\n", 0, "queue: 6000\n*");
	tear_down(&w);
}

/* Somebody at the other end who says this and hangs up. */
struct liar {
	const char *text;
	int fd;
};

static void run_liar(void *job)
{
	struct liar *l = job;
	char request[100];
	int fd = accept(l->fd, NULL, NULL);

	assert_true(fd >= 0);
	assert_true(recv(fd, request, sizeof(request), 0) > 0);
	assert_int_equal(send(fd, l->text, strlen(l->text), MSG_NOSIGNAL), (ssize_t)strlen(l->text));
	(void)close(fd);
}

static void liar_done(void *job)
{
	(void)job;
}

static void an_answer_that_is_cut_short_is_no_answer(void **state)
{
	static const struct row {
		const char *name, *text, *out;
		int result;
	} rows[] = {
		{ "nothing", "", "", -EPIPE },
		{ "lines without a verdict", "a\nb\n", "a\n", -EPIPE },
		{ "half a verdict", "a\nb\ndone", "a\nb\n", -EPIPE },
		{ "half a failure", "failed because", "", -EPIPE },
		{ "a failure", "a\nfailed because\n", "a\n", -EPROTO },
		{ "no text", "done\n", "", 0 },
		{ "text that looks like a verdict", "done\nfailed x\ndone\n", "done\nfailed x\n", 0 },
	};
	struct world w;
	(void)state;

	build(&w);
	control_free(w.server.control);
	w.server.control = NULL;
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	(void)snprintf(un.sun_path, sizeof(un.sun_path), "%s/control", w.store.dir);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)&un, sizeof(un)), 0);
	assert_int_equal(listen(fd, 5), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct liar l = { .text = rows[i].text, .fd = fd };
		struct command c = { .world = &w, .request = "status\n" };
		pool_submit(w.server.pool, run_liar, liar_done, &l);
		pool_submit(w.server.pool, run_command, command_done, &c);
		loop_run(w.server.loop);
		if (c.result != rows[i].result || strcmp(c.text, rows[i].out) != 0)
			fail_msg("%s: got %d \"%s\"", rows[i].name, c.result, c.text);
		free(c.text);
	}
	(void)close(fd);
	tear_down(&w);
}

static void a_request_without_end_is_refused(void **state)
{
	struct buf request = { 0 };
	struct world w;
	(void)state;

	build(&w);
	memset(buf_reserve(&request, CONTROL_REQUEST_BYTES_MAX + 100), 'x', CONTROL_REQUEST_BYTES_MAX + 100);
	buf_grow(&request, CONTROL_REQUEST_BYTES_MAX + 100);
	expect_online(&w, buf_cstr(&request), -EPROTO, "request is too long");
	buf_free(&request);
	tear_down(&w);
}

/* Connections that ask nothing hold the places; the answer is a refusal, not a wait. */
static void too_many_commands_at_once_are_refused(void **state)
{
	int fds[CONTROL_CONNECTIONS_MAX];
	struct world w;
	(void)state;

	build(&w);
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	(void)snprintf(un.sun_path, sizeof(un.sun_path), "%s/control", w.store.dir);
	for (size_t i = 0; i < CONTROL_CONNECTIONS_MAX; i++) {
		fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(connect(fds[i], (const struct sockaddr *)&un, sizeof(un)), 0);
	}
	expect_online(&w, "queue list\n", -EPROTO, "too many commands at once*");
	for (size_t i = 0; i < CONTROL_CONNECTIONS_MAX; i++)
		(void)close(fds[i]);
	struct command again = { .world = &w, .request = "queue list\n", .result = -1 };
	while (again.result != 0) { /* until the server has seen them go */
		free(again.text);
		pool_submit(w.server.pool, run_command, command_done, &again);
		loop_run(w.server.loop);
	}
	assert_string_equal(again.text, "queue is empty\n");
	free(again.text);
	tear_down(&w);
}

static void several_commands_run_side_by_side(void **state)
{
	enum { COMMANDS = 12 };
	struct command c[COMMANDS];
	struct world w;
	uint32_t left = COMMANDS;
	(void)state;

	build(&w);
	for (int i = 0; i < COMMANDS; i++) {
		c[i] = (struct command){ .world = &w,
					 .request = "account add sales@fredsco.example\nsecret\n",
					 .left = &left };
		pool_submit(w.server.pool, run_command, command_done, &c[i]);
	}
	loop_run(w.server.loop);
	for (int i = 0; i < COMMANDS; i++) {
		if (c[i].result != 0)
			fail_msg("%s", c[i].err.text);
		free(c[i].text);
	}
	tear_down(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_empty_store_says_so_and_nonsense_is_refused,
						fixture_make_open, fixture_remove),
		cmocka_unit_test_setup_teardown(a_password_that_is_too_long_is_refused, fixture_make_open,
						fixture_remove),
		cmocka_unit_test_setup_teardown(accounts_come_change_and_go, fixture_make_open,
						fixture_remove),
		cmocka_unit_test_setup_teardown(the_queue_is_listed_shown_and_removed_from, fixture_make_open,
						fixture_remove),
		cmocka_unit_test_setup_teardown(a_long_queue_is_listed_in_steps, fixture_make_open,
						fixture_remove),
		cmocka_unit_test_setup_teardown(orders_by_hand_are_carried_out_and_survive_a_restart,
						fixture_make_open, fixture_remove),
		cmocka_unit_test_setup_teardown(orders_about_many_go_page_by_page, fixture_make_open,
						fixture_remove),
		cmocka_unit_test_setup_teardown(a_step_says_a_bounded_amount, fixture_make_open,
						fixture_remove),
		cmocka_unit_test(a_slow_reader_holds_up_nobody),
		cmocka_unit_test(an_answer_that_is_cut_short_is_no_answer),
		cmocka_unit_test(the_server_answers_like_the_store_alone),
		cmocka_unit_test(only_the_owner_can_reach_the_socket),
		cmocka_unit_test(nobody_there_is_told_from_a_refusal),
		cmocka_unit_test(a_request_without_end_is_refused),
		cmocka_unit_test(too_many_commands_at_once_are_refused),
		cmocka_unit_test(several_commands_run_side_by_side),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
