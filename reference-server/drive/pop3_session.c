#include "reference-server/drive/pop3_session.h"

#include "base/log.h"
#include "base/must.h"
#include "reference-server/core/mutant.h"
#include "reference-server/drive/gate.h"
#include "reference-server/drive/pop3_session_parts.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static TAILQ_HEAD(, pop3_session) sessions = TAILQ_HEAD_INITIALIZER(sessions);
static uint32_t session_count;

/* ---- reading the store, on the helper pool ---- */

static void job_done(void *job)
{
	struct pop3_job *j = job;

	if (j->session != NULL) {
		j->session->job = NULL;
		j->done(j);
	}
	mailbox_list_free(&j->list);
	free(j->run);
	free(j->bytes);
	free(j);
}

struct pop3_job *pop3_job_new(struct pop3_session *s, void (*done)(struct pop3_job *j))
{
	struct pop3_job *j = must(calloc(1, sizeof(*j)));

	assert(s->job == NULL);
	j->session = s;
	j->store = s->server->store;
	j->account_id = s->account_id;
	j->done = done;
	s->job = j;
	return j;
}

void pop3_job_submit(struct pop3_job *j, void (*work)(void *job))
{
	pool_submit(j->session->server->pool, work, job_done, j);
}

/* ---- ends ---- */

struct pop3_update {
	struct pop3_session *session; /* NULL once it has ended: the removal goes on, and keeps the lock */
	struct pop3_lock *lock;
	uint64_t session_id;
	uint32_t count;
};

static void session_free(struct pop3_session *s)
{
	settings_release(s->settings);
	free(s);
}

static void begin_update(struct pop3_session *s);

static void session_end(struct pop3_session *s, const char *why)
{
	if (s->dead)
		return;
	if (MUTANT(POP3_REMOVES_UNASKED) && s->core.state == POP3_STATE_TRANSACTION &&
	    s->core.deleted_count > 0)
		begin_update(s);
	pop3_retrieval_log(s);
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
static void progress(struct pop3_session *s)
{
	s->written_before = conn_written_bytes(s->conn);
	conn_set_deadline_ms(s->conn, s->server->config->timeouts.pop3_ms);
}

void pop3_session_flush(struct pop3_session *s)
{
	conn_write(s->conn, buf_span(&s->out));
	buf_reset(&s->out);
}

static void finish(struct pop3_session *s, const char *why)
{
	pop3_session_flush(s);
	conn_finish(s->conn);
	s->conn = NULL;
	session_end(s, why);
}

/* Our own wish to end it. */
static void close_session(struct pop3_session *s, enum pop3_close why, const char *text)
{
	if (s->handshake_due) {
		session_end(s, text);
		return;
	}
	pop3_server_close(&s->core, why);
	finish(s, text);
}
/* ---- removal ---- */

static void on_updated(void *ctx, int result)
{
	struct pop3_update *u = ctx;
	struct pop3_session *s = u->session;

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
	pop3_session_pump(s);
}

static void begin_update(struct pop3_session *s)
{
	struct pop3_update *u = must(calloc(1, sizeof(*u)));
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

static void begin_tls(struct pop3_session *s)
{
	pop3_session_flush(s);
	if (MUTANT(POP3_NO_HANDSHAKE) && s->core.state == POP3_STATE_TLS) {
		pop3_server_tls_started(&s->core);
		return;
	}
	s->handshake_due = true;
	/* Drops what is behind STLS. */
	size_t injected_bytes = conn_start_tls(s->conn, s->server->tls_in, CONN_TLS_SERVER, NULL);
	if (MUTANT(POP3_TLS_INJECTED) && injected_bytes > 0)
		s->core.utf8 = true; /* so that pop3_server_tls_started knows: STLS comes before UTF8 */
	conn_set_deadline_ms(s->conn, s->server->config->timeouts.handshake_ms);
	load_note(s->server->load, &s->load);
}

/* ---- how fast ---- */

static void on_pause_over(void *ctx)
{
	struct pop3_session *s = ctx;
	s->paced = false;
	pop3_session_pump(s);
}

static void keep_pace(struct pop3_session *s, uint64_t command_count)
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
static bool pump_once(struct pop3_session *s)
{
	struct span all = conn_input(s->conn);
	struct span in = span_sub(all, 0, span_find(all, '\n') + 1);
	size_t used_bytes;
	enum pop3_wish wish = pop3_server_feed(&s->core, in, &used_bytes);

	if (wish == POP3_WISH_LOGIN)
		pop3_login_begin(s);
	else if (wish == POP3_WISH_AUTH)
		pop3_login_auth(s);
	else if (wish == POP3_WISH_AUTH_STEP)
		pop3_login_auth_step(s);
	if (MUTANT(POP3_DROPS_PIPELINED) && in.n < all.n && used_bytes == in.n)
		used_bytes = all.n;
	conn_consume(s->conn, used_bytes); /* what those three borrowed from has been copied */
	switch (wish) {
	case POP3_WISH_INPUT:
		return used_bytes > 0 && in.n < all.n;
	case POP3_WISH_LOGIN:
	case POP3_WISH_AUTH:
	case POP3_WISH_AUTH_STEP:
		break;
	case POP3_WISH_AUTH_CANCELLED:
		pop3_login_drop(s);
		break;
	case POP3_WISH_OPEN:
		pop3_login_open(s);
		break;
	case POP3_WISH_STLS:
		begin_tls(s);
		return false;
	case POP3_WISH_RETRIEVE:
		pop3_retrieval_begin(s);
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

void pop3_session_pump(struct pop3_session *s)
{
	if (s->pumping || s->dead)
		return;
	s->pumping = true;
	bool more = true;
	uint64_t command_count = s->core.command_count;
	while (more && !s->answer_due && !s->handshake_due && !s->dead && !s->paced) {
		pop3_session_flush(s);
		if (s->close_wanted) {
			close_session(s, POP3_CLOSE_SHUTDOWN, "shutting down");
			break;
		}
		if (conn_output_bytes(s->conn) > POP3_OUTPUT_BYTES_MAX)
			break;
		uint64_t commands_before = s->core.command_count;
		more = pump_once(s);
		keep_pace(s, s->core.command_count - commands_before);
	}
	if (!s->dead)
		pop3_session_flush(s);
	if (!s->dead && !s->answer_due)
		pop3_retrieval_log(s);
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

static void on_timeout(struct pop3_session *s)
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
		if (MUTANT(POP3_SILENCE_REMOVES) && s->core.deleted_count > 0)
			begin_update(s);
		close_session(s, POP3_CLOSE_TIMEOUT, "silent");
	}
}

static void on_conn(void *ctx, enum conn_event event)
{
	struct pop3_session *s = ctx;

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
		pop3_session_pump(s);
		break;
	case CONN_INPUT:
		pop3_session_pump(s);
		break;
	case CONN_DRAINED:
		if (s->piece_due)
			pop3_retrieval_go_on(s);
		else
			pop3_session_pump(s);
		break;
	case CONN_EOF:
		s->ended = true;
		if (s->handshake_due)
			session_end(s, "the client went");
		else
			pop3_session_pump(s);
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

	if (MUTANT(POP3_ALL_IN_CLEAR))
		safe = under_tls;
	if (MUTANT(POP3_PLUS_ONLY))
		under_tls = SPAN_LIT("SCRAM-SHA-256-PLUS PLAIN LOGIN");
	if (MUTANT(POP3_PLAIN_ONLY))
		under_tls = SPAN_LIT("PLAIN LOGIN");
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
	const struct pop3_session *s = ctx;
	size_t bytes = conn_held_bytes(s->conn) + s->out.room;

	bytes += s->handshake_due ? LOAD_HANDSHAKE_BYTES : 0;
	bytes += s->list.entry_count * (sizeof(*s->list.entries) + sizeof(*s->messages) + POP3_UIDL_BYTES);
	bytes += s->run != NULL ? sizeof(*s->run) + POP3_PIECE_BYTES : 0;
	bytes += s->job != NULL ? POP3_PIECE_BYTES : 0;
	return bytes;
}

static void end_for_memory(void *ctx)
{
	struct pop3_session *s = ctx;

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
	struct pop3_session *s = must(calloc(1, sizeof(*s)));
	s->server = server;
	s->id = server_next_session();
	s->config = core_config(server->config, service);
	s->settings = settings_use(server);
	(void)addr_format_ip(peer, s->peer_ip);
	s->conn = gate_conn(pass, server->loop, fd, on_conn, s);
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
		pop3_session_flush(s);
	}
}

void pop3_session_close_all(struct server *server)
{
	struct pop3_session *s, *next;
	(void)server;

	for (s = TAILQ_FIRST(&sessions); s != NULL; s = next) {
		next = TAILQ_NEXT(s, next);
		s->close_wanted = true;
		if (s->handshake_due)
			session_end(s, "shutting down");
		else
			pop3_session_pump(s);
	}
}

uint32_t pop3_session_count(void)
{
	return session_count;
}

void pop3_session_abort_all(void)
{
	struct pop3_session *s, *next;

	for (s = TAILQ_FIRST(&sessions); s != NULL; s = next) {
		next = TAILQ_NEXT(s, next);
		session_end(s, "aborted");
	}
	pop3_login_forget_all();
}
