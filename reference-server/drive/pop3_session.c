#include "reference-server/drive/pop3_session.h"

#include "base/buf.h"
#include "base/conn.h"
#include "base/log.h"
#include "reference-server/core/pop3_server.h"
#include "reference-server/drive/auth.h"
#include "reference-server/drive/gate.h"
#include "reference-server/drive/load.h"
#include "reference-server/drive/pop3_lock.h"
#include "reference-server/policy/pace.h"
#include "reference-server/store/account.h"
#include "reference-server/store/mailbox.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

enum {
	PIECE_BYTES = 64 * 1024, /* read from the store at once */
	OUTPUT_BYTES_MAX = 256 * 1024,
	UIDL_BYTES = 17,       /* "%08x-%08x" */
	RUN_MESSAGES_MAX = 64, /* read ahead at once */
	DAY_MS = 24 * 3600 * 1000,
};

struct job;

/*
 * Whole messages of the mailbox, read at once: one that is asked for and, when
 * the client takes them in order, those behind it.  At most PIECE_BYTES.
 */
struct run {
	uint32_t first_index;
	uint32_t count;
	struct mailbox_read reads[RUN_MESSAGES_MAX];
	char bytes[];
};

/* Of messages that went out and were not logged yet; uids rise. */
struct sent {
	bool top;
	uint32_t count;
	uint32_t first_uid, last_uid;
	uint64_t octets;
};

struct session {
	struct server *server;
	struct conn *conn;
	uint64_t id;
	char peer_ip[56];
	struct pop3_server core;
	struct pop3_server_config config;
	struct settings *settings; /* config borrows from these */
	struct buf out;            /* the core's; empty between two steps */
	struct auth_exchange *auth;
	struct job *job;       /* on the helper pool, for this session */
	struct update *update; /* with the store */

	/* After the login. */
	char identity[ACCOUNT_ADDRESS_BYTES_MAX + 1];
	uint32_t account_id;
	struct pop3_lock *lock;
	struct mailbox_list list;
	struct pop3_message *messages;
	char *uidls;
	uint64_t offset;     /* in the message that is being retrieved */
	bool looking;        /* does its header need a client that said UTF8? */
	uint32_t next_index; /* behind the last one retrieved */
	struct run *run;
	struct sent sent;
	struct pace pace;
	struct timer *pause; /* while paced; NULL before the first */
	bool trusted;        /* by its address: one of relay_from */
	struct load_member load;
	uint64_t written_before; /* bytes, when the running time-out began */

	bool paced;         /* it was too fast */
	bool answer_due;    /* a wish is out; do not feed */
	bool handshake_due; /* nothing may be said before TLS */
	bool piece_due;     /* the next piece of content waits for room in the output */
	bool ended;         /* the client says nothing more */
	bool close_wanted;  /* shutting down: at the next command */
	bool pumping;
	bool dead; /* ended inside pump */
	TAILQ_ENTRY(session) next;
};

static TAILQ_HEAD(, session) sessions = TAILQ_HEAD_INITIALIZER(sessions);
static uint32_t session_count;

static void pump(struct session *s);
static void on_opened(struct job *j);
static void on_piece(struct job *j);
static void log_sent(struct session *s);

static void *must(void *p)
{
	if (p == NULL)
		abort();
	return p;
}

/* ---- reading the store, on the helper pool ---- */

struct job {
	struct session *session; /* NULL once it has ended */
	struct store *store;
	void (*done)(struct job *j); /* only while there is a session */
	char identity[ACCOUNT_ADDRESS_BYTES_MAX + 1];
	uint32_t account_id;
	struct mailbox_list list;
	struct run *run;
	uint32_t uid;
	uint64_t offset;
	size_t wanted_bytes;
	char *bytes;
	ssize_t result;
};

static void find_mailbox(void *job)
{
	struct job *j = job;
	struct account account;

	j->result = account_find(j->store, span_of(j->identity), &account);
	if (j->result != 0)
		return;
	j->account_id = account.id;
}

static void read_list(void *job)
{
	struct job *j = job;
	j->result = mailbox_list(j->store, j->account_id, &j->list);
}

static void read_piece(void *job)
{
	struct job *j = job;
	j->result = mailbox_read(j->store, j->account_id, j->uid, j->offset, j->bytes, j->wanted_bytes);
}

static void read_run(void *job)
{
	struct job *j = job;
	mailbox_read_each(j->store, j->account_id, j->run->reads, j->run->count, j->run->bytes);
}

static void job_done(void *job)
{
	struct job *j = job;

	if (j->session != NULL) {
		j->session->job = NULL;
		j->done(j);
	}
	mailbox_list_free(&j->list);
	free(j->run);
	free(j->bytes);
	free(j);
}

static struct job *job_new(struct session *s, void (*done)(struct job *j))
{
	struct job *j = must(calloc(1, sizeof(*j)));

	assert(s->job == NULL);
	j->session = s;
	j->store = s->server->store;
	j->account_id = s->account_id;
	j->done = done;
	s->job = j;
	return j;
}

/* ---- ends ---- */

struct update {
	struct session *session; /* NULL once it has ended: the removal goes on, and keeps the lock */
	struct pop3_lock *lock;
	uint64_t session_id;
	uint32_t count;
};

static void session_free(struct session *s)
{
	settings_release(s->settings);
	free(s);
}

static void session_end(struct session *s, const char *why)
{
	if (s->dead)
		return;
	log_sent(s);
	log_event(LOG_DEBUG, "session-end", LOG_I("session", s->id), LOG_C("why", why));
	if (s->job != NULL)
		s->job->session = NULL;
	if (s->update != NULL) {
		s->update->session = NULL;
		s->update->lock = s->lock;
		s->lock = NULL;
	}
	pop3_unlock(s->lock);
	auth_exchange_free(s->auth);
	timer_free(s->pause);
	load_leave(s->server->load, &s->load);
	conn_free(s->conn);
	s->conn = NULL;
	mailbox_list_free(&s->list);
	free(s->messages);
	free(s->uidls);
	free(s->run);
	buf_free(&s->out);
	TAILQ_REMOVE(&sessions, s, next);
	session_count--;
	s->dead = true;
	if (!s->pumping)
		session_free(s);
}

/*
 * The client has its time anew: it has one time-out for a whole command, and
 * must read what it is sent at limits.data_rate over each.
 */
static void progress(struct session *s)
{
	s->written_before = conn_written_bytes(s->conn);
	conn_set_deadline_ms(s->conn, s->server->config->timeouts.pop3_ms);
}

static void flush(struct session *s)
{
	conn_write(s->conn, buf_span(&s->out));
	buf_reset(&s->out);
}

static void finish(struct session *s, const char *why)
{
	flush(s);
	conn_finish(s->conn);
	s->conn = NULL;
	session_end(s, why);
}

/* Our own wish to end it. */
static void close_session(struct session *s, enum pop3_close why, const char *text)
{
	if (s->handshake_due) {
		session_end(s, text);
		return;
	}
	pop3_server_close(&s->core, why);
	finish(s, text);
}

/* ---- logging in ---- */

static void open_failed(struct session *s, enum pop3_open_failure why, const char *text)
{
	log_event(LOG_INFO, "mailbox-not-opened", LOG_I("session", s->id), LOG_C("user", s->identity),
		  LOG_C("error", text));
	pop3_unlock(s->lock);
	s->lock = NULL;
	s->answer_due = false;
	pop3_server_open_failed(&s->core, why);
	pump(s);
}

static void on_found(struct job *j)
{
	struct session *s = j->session;

	if (j->result != 0) {
		/* -ENOENT: the account went between login and now. */
		open_failed(s, j->result == -ENOENT ? POP3_OPEN_PERMANENT : POP3_OPEN_TEMPORARY,
			    strerror((int)-j->result));
		return;
	}
	s->account_id = j->account_id;
	if (pop3_login_too_soon(s->account_id, (int64_t)s->config.login_delay_s * 1000)) {
		open_failed(s, POP3_OPEN_TOO_SOON, "too soon after the last login");
		return;
	}
	s->lock = pop3_lock(s->account_id);
	if (s->lock == NULL) {
		open_failed(s, POP3_OPEN_IN_USE, "in use");
		return;
	}
	/* After locking: nothing can be removed from under this list. */
	pool_submit(s->server->pool, read_list, job_done, job_new(s, on_opened));
}

static void open_mailbox(struct session *s)
{
	struct job *j = job_new(s, on_found);

	s->answer_due = true;
	memcpy(j->identity, s->identity, sizeof(j->identity));
	pool_submit(s->server->pool, find_mailbox, job_done, j);
}

/*
 * EXPIRE n (RFC 2449 6.7): messages older than n days go when the mailbox is
 * opened.  What the list holds afterwards is what the session sees, whether
 * the removal has become durable or not.
 */
static void expire(struct session *s)
{
	int64_t before_ms = clock_wall_ms() - (int64_t)s->config.expire_days * DAY_MS;
	struct mailbox_list *l = &s->list;
	uint32_t *uids = must(calloc((size_t)l->entry_count + 1, sizeof(*uids)));
	uint32_t gone = 0, kept = 0;

	for (uint32_t i = 0; i < l->entry_count; i++) {
		if (l->entries[i].arrival_wall_ms < before_ms) {
			uids[gone++] = l->entries[i].uid;
			l->octets -= l->entries[i].octets;
		} else {
			l->entries[kept++] = l->entries[i];
		}
	}
	l->entry_count = kept;
	if (gone > 0) {
		log_event(LOG_INFO, "expired", LOG_I("session", s->id), LOG_C("user", s->identity),
			  LOG_I("messages", gone));
		mailbox_delete(s->server->store, s->account_id, uids, gone, NULL, NULL);
	}
	free(uids);
}

/*
 * Everything a session takes ends in CRLF: content does (RFC 5321 4.1.1.4), and
 * so does what is put before it.  So what the store counts is what RETR sends.
 */
static void on_opened(struct job *j)
{
	struct session *s = j->session;

	if (j->result != 0) {
		open_failed(s, POP3_OPEN_TEMPORARY, strerror((int)-j->result));
		return;
	}
	s->list = j->list;
	j->list = (struct mailbox_list){ 0 };
	if (s->config.expire_days > 0)
		expire(s);
	pop3_login_note(s->account_id, (int64_t)s->config.login_delay_s * 1000);
	uint32_t count = s->list.entry_count;
	s->messages = must(calloc((size_t)count + 1, sizeof(*s->messages)));
	s->uidls = must(malloc((size_t)count * UIDL_BYTES + 1));
	for (uint32_t i = 0; i < count; i++) {
		char *uidl = s->uidls + (size_t)i * UIDL_BYTES;
		(void)snprintf(uidl, UIDL_BYTES + 1, "%08" PRIx32 "-%08" PRIx32, s->list.uidvalidity,
			       s->list.entries[i].uid);
		s->messages[i] = (struct pop3_message){ .octets = s->list.entries[i].octets,
							.uidl = { uidl, UIDL_BYTES } };
	}
	log_event(LOG_INFO, "mailbox-opened", LOG_I("session", s->id), LOG_C("user", s->identity),
		  LOG_I("messages", count), LOG_I("octets", s->list.octets));
	s->answer_due = false;
	pop3_server_opened(&s->core, s->messages, count);
	pump(s);
}

static void drop_auth(struct session *s)
{
	auth_exchange_free(s->auth);
	s->auth = NULL;
}

static void auth_failed(struct session *s, enum pop3_auth_failure why)
{
	s->server->counters.auth_failed++;
	log_event(LOG_WARN, "auth-failed", LOG_I("session", s->id), LOG_C("peer", s->peer_ip),
		  LOG_S("user", s->core.user));
	pop3_server_auth_fail(&s->core, why);
}

static void on_auth_result(void *ctx, enum auth_result result, struct span text)
{
	struct session *s = ctx;

	s->answer_due = false;
	switch (result) {
	case AUTH_CHALLENGE:
		pop3_server_auth_challenge(&s->core, text);
		break;
	case AUTH_OK:
		(void)span_copy(text, s->identity, sizeof(s->identity));
		s->server->counters.auth_ok++;
		log_event(LOG_INFO, "auth-ok", LOG_I("session", s->id), LOG_C("peer", s->peer_ip),
			  LOG_S("user", text));
		pop3_server_auth_succeed(&s->core);
		break;
	case AUTH_BAD:
		auth_failed(s, POP3_AUTH_BAD_CREDENTIALS);
		break;
	case AUTH_MALFORMED:
		auth_failed(s, POP3_AUTH_MALFORMED);
		break;
	case AUTH_TROUBLE:
		auth_failed(s, POP3_AUTH_TEMPORARY);
		break;
	}
	if (result != AUTH_CHALLENGE)
		drop_auth(s);
	pump(s);
}

static void begin_login(struct session *s)
{
	drop_auth(s);
	s->answer_due = true;
	s->auth = auth_password(s->server->auth, s->conn, s->core.user, s->core.password, on_auth_result, s);
}

static void begin_auth(struct session *s)
{
	drop_auth(s);
	s->auth = auth_start(s->server->auth, s->conn, s->core.auth_mechanism, on_auth_result, s);
	if (s->auth == NULL) {
		auth_failed(s, POP3_AUTH_TEMPORARY);
		return;
	}
	s->answer_due = true;
	auth_step(s->auth, s->core.auth_response);
}

static void step_auth(struct session *s)
{
	assert(s->auth != NULL);
	s->answer_due = true;
	auth_step(s->auth, s->core.auth_response);
}

/* ---- content ---- */

static const struct mailbox_entry *wanted(const struct session *s)
{
	return &s->list.entries[s->core.wanted_index];
}

/* The next piece; when the client is slow, only once it has taken what there is. */
static void fetch_piece(struct session *s)
{
	const struct mailbox_entry *e = wanted(s);

	s->piece_due = conn_output_bytes(s->conn) > OUTPUT_BYTES_MAX;
	if (s->piece_due)
		return;
	struct job *j = job_new(s, on_piece);
	j->uid = e->uid;
	j->offset = s->offset;
	uint64_t left = e->octets - s->offset;
	j->wanted_bytes = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;
	j->bytes = must(malloc(j->wanted_bytes + 1));
	pool_submit(s->server->pool, read_piece, job_done, j);
}

static void content_failed(struct session *s, ssize_t result)
{
	log_event(LOG_ERROR, "not-retrieved", LOG_I("session", s->id), LOG_C("user", s->identity),
		  LOG_I("uid", wanted(s)->uid),
		  LOG_C("error", result < 0 ? strerror((int)-result) : "shorter than it should be"));
	pop3_server_content_failed(&s->core);
}

/* One line for all that went out since the last one: a line each would cost as much as a small message. */
static void log_sent(struct session *s)
{
	struct sent *t = &s->sent;

	if (t->count > 0)
		log_event(LOG_INFO, t->top ? "looked-at" : "retrieved", LOG_I("session", s->id),
			  LOG_C("user", s->identity), LOG_I("messages", t->count),
			  LOG_I("first-uid", t->first_uid), LOG_I("last-uid", t->last_uid),
			  LOG_I("octets", t->octets));
	*t = (struct sent){ 0 };
}

static void content_sent(struct session *s)
{
	const struct mailbox_entry *e = wanted(s);
	struct sent *t = &s->sent;

	if (t->top != s->core.wanted_top || (t->count > 0 && t->last_uid >= e->uid))
		log_sent(s);
	if (t->count == 0)
		t->first_uid = e->uid;
	t->top = s->core.wanted_top;
	t->last_uid = e->uid;
	t->octets += e->octets;
	t->count++;
}

static void content_over(struct session *s)
{
	s->answer_due = false;
	pump(s);
}

/* The header of a message too large for a run; true: the same bytes are the first to send. */
static bool look_at_piece(struct session *s, struct span piece)
{
	bool last = s->offset + piece.n == wanted(s)->octets;
	bool first = s->offset == 0;

	switch (pop3_server_look(&s->core, piece, last)) {
	case POP3_LOOK_MORE:
		s->offset += piece.n;
		fetch_piece(s);
		return false;
	case POP3_LOOK_REFUSED:
		content_over(s);
		return false;
	case POP3_LOOK_CLEAR:
		break;
	case POP3_LOOK_COUNT:
		abort();
	}
	s->looking = false;
	s->offset = 0;
	if (!first)
		fetch_piece(s);
	return first;
}

static void on_piece(struct job *j)
{
	struct session *s = j->session;
	struct span piece = { j->bytes, j->wanted_bytes };

	if (j->result < 0 || (size_t)j->result != j->wanted_bytes) {
		content_failed(s, j->result);
		content_over(s);
		return;
	}
	if (s->looking && !look_at_piece(s, piece))
		return;
	s->offset += piece.n;
	bool more = pop3_server_content(&s->core, piece, s->offset == wanted(s)->octets);
	flush(s);
	if (more) {
		fetch_piece(s);
		return;
	}
	content_sent(s);
	content_over(s);
}

static bool run_has(const struct session *s, uint32_t index)
{
	return s->run != NULL && index - s->run->first_index < s->run->count;
}

/* A message of the run, whole. */
static void serve_from_run(struct session *s)
{
	uint32_t index = s->core.wanted_index, at = index - s->run->first_index;
	const struct mailbox_read *r = &s->run->reads[at];
	struct span content = { s->run->bytes + r->at, (size_t)r->octets };

	s->next_index = index + 1;
	if (r->result < 0 || (uint64_t)r->result != r->octets) {
		content_failed(s, r->result);
	} else if (pop3_server_look(&s->core, content, true) == POP3_LOOK_CLEAR) {
		(void)pop3_server_content(&s->core, content, true);
		content_sent(s);
	}
	if (at + 1 < s->run->count)
		return;
	free(s->run);
	s->run = NULL;
}

static void on_run(struct job *j)
{
	struct session *s = j->session;

	free(s->run);
	s->run = j->run;
	j->run = NULL;
	serve_from_run(s);
	content_over(s);
}

/* The wanted message and, when it is the next in order, as many behind it as fit. */
static void fetch_run(struct session *s)
{
	uint32_t index = s->core.wanted_index, i = index;
	uint32_t end = index == s->next_index ? s->list.entry_count : index + 1;
	struct mailbox_read reads[RUN_MESSAGES_MAX];
	size_t bytes = 0;

	for (; i < end && i - index < RUN_MESSAGES_MAX; i++) {
		const struct mailbox_entry *e = &s->list.entries[i];
		if (bytes + e->octets > PIECE_BYTES)
			break;
		reads[i - index] = (struct mailbox_read){ .uid = e->uid, .octets = e->octets, .at = bytes };
		bytes += (size_t)e->octets;
	}
	struct job *j = job_new(s, on_run);
	j->run = must(malloc(sizeof(*j->run) + bytes));
	j->run->first_index = index;
	j->run->count = i - index;
	memcpy(j->run->reads, reads, (i - index) * sizeof(reads[0]));
	pool_submit(s->server->pool, read_run, job_done, j);
}

static void begin_retrieval(struct session *s)
{
	if (run_has(s, s->core.wanted_index)) {
		serve_from_run(s);
		return;
	}
	s->answer_due = true;
	s->offset = 0;
	s->looking = !s->core.utf8;
	if (wanted(s)->octets <= PIECE_BYTES)
		fetch_run(s);
	else
		fetch_piece(s);
}

/* ---- removal ---- */

static void on_updated(void *ctx, int result)
{
	struct update *u = ctx;
	struct session *s = u->session;

	log_event(result == 0 ? LOG_INFO : LOG_ERROR, result == 0 ? "removed" : "not-removed",
		  LOG_I("session", u->session_id), LOG_I("messages", u->count),
		  LOG_C("error", result == 0 ? "" : strerror(-result)));
	pop3_unlock(u->lock);
	free(u);
	if (s == NULL)
		return;
	s->update = NULL;
	s->answer_due = false;
	pop3_server_updated(&s->core, result == 0);
	pump(s);
}

static void begin_update(struct session *s)
{
	struct update *u = must(calloc(1, sizeof(*u)));
	uint32_t *uids = must(calloc((size_t)s->core.deleted_count + 1, sizeof(*uids)));

	u->session = s;
	u->session_id = s->id;
	for (uint32_t i = 0; i < s->list.entry_count; i++)
		if (s->messages[i].deleted)
			uids[u->count++] = s->list.entries[i].uid;
	assert(u->count == s->core.deleted_count);
	s->update = u;
	s->answer_due = true;
	mailbox_delete(s->server->store, s->account_id, uids, u->count, on_updated, u);
	free(uids);
}

/* ---- the session ---- */

static void begin_tls(struct session *s)
{
	flush(s);
	s->handshake_due = true;
	(void)conn_start_tls(s->conn, s->server->tls_in, CONN_TLS_SERVER,
			     NULL); /* drops what is behind STLS */
	conn_set_deadline_ms(s->conn, s->server->config->timeouts.handshake_ms);
	load_note(s->server->load, &s->load);
}

/* ---- how fast ---- */

static void on_pause_over(void *ctx)
{
	struct session *s = ctx;
	s->paced = false;
	pump(s);
}

static void keep_pace(struct session *s, uint64_t command_count)
{
	uint32_t rate = s->server->config->limits.commands_per_s_max;

	if (command_count == 0 || s->trusted || rate == 0 || s->dead)
		return;
	int64_t wait_ms = pace_take(&s->pace, rate, command_count, clock_mono_ns() / 1000);
	if (wait_ms == 0)
		return;
	s->paced = true;
	if (s->pause == NULL)
		s->pause = timer_new(s->server->loop, on_pause_over, s);
	timer_set_ms(s->pause, wait_ms);
}

/* False when there is nothing more to do now.  One line at a time, for a listing may be long. */
static bool pump_once(struct session *s)
{
	struct span all = conn_input(s->conn);
	struct span in = span_sub(all, 0, span_find(all, '\n') + 1);
	size_t used_bytes;
	enum pop3_wish wish = pop3_server_feed(&s->core, in, &used_bytes);

	if (wish == POP3_WISH_LOGIN)
		begin_login(s);
	else if (wish == POP3_WISH_AUTH)
		begin_auth(s);
	else if (wish == POP3_WISH_AUTH_STEP)
		step_auth(s);
	conn_consume(s->conn, used_bytes); /* what those three borrowed from has been copied */
	switch (wish) {
	case POP3_WISH_INPUT:
		return used_bytes > 0 && in.n < all.n;
	case POP3_WISH_LOGIN:
	case POP3_WISH_AUTH:
	case POP3_WISH_AUTH_STEP:
		break;
	case POP3_WISH_AUTH_CANCELLED:
		drop_auth(s);
		break;
	case POP3_WISH_OPEN:
		open_mailbox(s);
		break;
	case POP3_WISH_STLS:
		begin_tls(s);
		return false;
	case POP3_WISH_RETRIEVE:
		begin_retrieval(s);
		break;
	case POP3_WISH_UPDATE:
		begin_update(s);
		break;
	case POP3_WISH_CLOSE:
		finish(s, "closed");
		return false;
	case POP3_WISH_COUNT:
		abort();
	}
	return true;
}

static void pump(struct session *s)
{
	if (s->pumping || s->dead)
		return;
	s->pumping = true;
	bool more = true;
	uint64_t command_count = s->core.command_count;
	while (more && !s->answer_due && !s->handshake_due && !s->dead && !s->paced) {
		flush(s);
		if (s->close_wanted) {
			close_session(s, POP3_CLOSE_SHUTDOWN, "shutting down");
			break;
		}
		if (conn_output_bytes(s->conn) > OUTPUT_BYTES_MAX)
			break;
		uint64_t commands_before = s->core.command_count;
		more = pump_once(s);
		keep_pace(s, s->core.command_count - commands_before);
	}
	if (!s->dead)
		flush(s);
	if (!s->dead && !s->answer_due)
		log_sent(s);
	if (!s->dead && command_count != s->core.command_count)
		progress(s);
	if (!s->dead && !more && s->ended && !s->handshake_due)
		finish(s, "the client went"); /* without QUIT: nothing is removed (RFC 1939 6) */
	s->pumping = false;
	if (s->dead)
		session_free(s);
	else
		load_note(s->server->load, &s->load);
}

static void on_timeout(struct session *s)
{
	const struct config *c = s->server->config;
	bool ours = (s->answer_due && !s->piece_due) || s->paced;
	bool unread = conn_output_bytes(s->conn) > 0;
	uint64_t written = conn_written_bytes(s->conn) - s->written_before;
	uint64_t least = (uint64_t)c->limits.data_bytes_per_s_min * (uint64_t)c->timeouts.pop3_ms / 1000;

	if (s->handshake_due) {
		session_end(s, "silent in the handshake");
	} else if (ours || (unread && written > 0 && written >= least)) {
		progress(s);
	} else if (s->piece_due || unread) {
		log_event(LOG_INFO, "timeout", LOG_I("session", s->id), LOG_C("peer", s->peer_ip),
			  LOG_I("unread", conn_output_bytes(s->conn)));
		session_end(s, "does not read");
	} else {
		close_session(s, POP3_CLOSE_TIMEOUT, "silent");
	}
}

static void on_conn(void *ctx, enum conn_event event)
{
	struct session *s = ctx;

	switch (event) {
	case CONN_CONNECTED:
		break;
	case CONN_SECURED:
		s->server->counters.tls_in++;
		s->handshake_due = false;
		progress(s);
		if (s->core.state == POP3_STATE_TLS)
			pop3_server_tls_started(&s->core);
		else
			pop3_server_greet(&s->core);
		pump(s);
		break;
	case CONN_INPUT:
		pump(s);
		break;
	case CONN_DRAINED:
		if (s->piece_due)
			fetch_piece(s);
		else
			pump(s);
		break;
	case CONN_EOF:
		s->ended = true;
		if (s->handshake_due)
			session_end(s, "the client went");
		else
			pump(s);
		break;
	case CONN_TIMEOUT:
		on_timeout(s);
		break;
	case CONN_FAILED:
		log_event(LOG_DEBUG, "connection-lost", LOG_I("session", s->id), LOG_C("peer", s->peer_ip),
			  LOG_C("error", conn_error(s->conn)->text));
		session_end(s, "lost");
		break;
	}
}

/* ---- beginning and end ---- */

static struct pop3_server_config core_config(const struct config *c, enum service service)
{
	struct span all = SPAN_LIT("SCRAM-SHA-256 PLAIN LOGIN"), safe = SPAN_LIT("SCRAM-SHA-256");
	struct span under_tls = SPAN_LIT("SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN");

	return (struct pop3_server_config){
		.host = span_of(c->hostname),
		.error_count_max = c->limits.error_count_max,
		.auth_failure_count_max = c->auth_failure_count_max,
		.login_delay_s = (uint32_t)((c->pop3_login_delay_ms + 999) / 1000),
		.expire_days = c->pop3_expire_days,
		.offer_stls = service == SERVICE_POP3,
		.login_without_tls = c->auth_plain_without_tls,
		.mechanisms_clear = c->auth_plain_without_tls ? all : safe,
		.mechanisms_tls = under_tls,
	};
}

static size_t held_bytes(void *ctx)
{
	const struct session *s = ctx;
	size_t bytes = conn_held_bytes(s->conn) + s->out.room;

	bytes += s->handshake_due ? LOAD_HANDSHAKE_BYTES : 0;
	bytes += s->list.entry_count * (sizeof(*s->list.entries) + sizeof(*s->messages) + UIDL_BYTES);
	bytes += s->run != NULL ? sizeof(*s->run) + PIECE_BYTES : 0;
	bytes += s->job != NULL ? PIECE_BYTES : 0;
	return bytes;
}

static void end_for_memory(void *ctx)
{
	struct session *s = ctx;

	log_event(LOG_INFO, "session-ended-for-memory", LOG_I("session", s->id), LOG_C("peer", s->peer_ip),
		  LOG_I("held", s->load.noted_bytes));
	if (conn_output_bytes(s->conn) > 0)
		session_end(s, "held too much");
	else
		close_session(s, POP3_CLOSE_TROUBLE, "held too much");
}

void pop3_session_start(struct server *server, enum service service, int fd, const struct addr *peer)
{
	bool tls = service == SERVICE_POP3S;

	assert(service == SERVICE_POP3 || tls);
	struct gate_pass *pass = gate_enter(server, service, fd, peer);
	if (pass == NULL)
		return;
	struct session *s = must(calloc(1, sizeof(*s)));
	s->server = server;
	s->id = server_next_session();
	s->config = core_config(server->config, service);
	s->settings = settings_use(server);
	(void)addr_format_ip(peer, s->peer_ip);
	s->conn = conn_take(&(struct conn_options){ .loop = server->loop,
						    .on_event = on_conn,
						    .ctx = s,
						    .on_closed = gate_leave,
						    .closed_ctx = pass },
			    fd);
	progress(s);
	s->trusted = gate_trusts(server->config, peer);
	s->load = (struct load_member){ .held = held_bytes, .end = end_for_memory, .ctx = s };
	load_join(server->load, &s->load);
	pop3_server_init(&s->core, &s->config, &s->out, tls);
	TAILQ_INSERT_TAIL(&sessions, s, next);
	session_count++;
	log_event(LOG_DEBUG, "session-start", LOG_I("session", s->id),
		  LOG_C("service", service_name(service)), LOG_C("peer", s->peer_ip));
	if (tls) {
		begin_tls(s);
	} else {
		pop3_server_greet(&s->core);
		flush(s);
	}
}

void pop3_session_close_all(struct server *server)
{
	struct session *s, *next;
	(void)server;

	for (s = TAILQ_FIRST(&sessions); s != NULL; s = next) {
		next = TAILQ_NEXT(s, next);
		s->close_wanted = true;
		if (s->handshake_due)
			session_end(s, "shutting down");
		else
			pump(s);
	}
}

uint32_t pop3_session_count(void)
{
	return session_count;
}

void pop3_session_abort_all(void)
{
	struct session *s, *next;

	for (s = TAILQ_FIRST(&sessions); s != NULL; s = next) {
		next = TAILQ_NEXT(s, next);
		session_end(s, "aborted");
	}
	pop3_login_forget_all();
}
