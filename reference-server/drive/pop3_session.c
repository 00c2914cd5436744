#include "reference-server/drive/pop3_session.h"

#include "base/buf.h"
#include "base/conn.h"
#include "base/log.h"
#include "reference-server/core/pop3_server.h"
#include "reference-server/drive/auth.h"
#include "reference-server/store/account.h"
#include "reference-server/store/mailbox.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>
#include <uthash.h>

enum {
	OUTPUT_BYTES_MAX = 256 * 1024, /* of a message waiting for the client to read */
	READ_BYTES = 64 * 1024,
	UIDL_BYTES = 24,
};

/* A mailbox in use (RFC 1939 4). */
struct lock {
	uint32_t account_id;
	UT_hash_handle hh;
};

struct session {
	struct server *server;
	struct pop3_server_config config;
	enum service service;
	struct conn *conn;
	uint64_t id;
	char peer_ip[56];
	struct pop3_server core;
	struct buf out;
	struct auth_exchange *auth;
	char user[ACCOUNT_ADDRESS_BYTES_MAX + 1];
	struct lock *lock;
	struct removal *removal; /* under way */
	uint32_t account_id;
	struct mailbox_list list;
	struct pop3_message *messages;
	char (*uidls)[UIDL_BYTES];
	uint64_t sent_bytes; /* of the message being retrieved */
	uint32_t retrieved_count;
	bool retrieving;
	bool answer_due; /* a helper or the store is at work; do not feed */
	bool close_wanted;
	bool pumping;
	bool dead;
	TAILQ_ENTRY(session) next;
};

/* A removal under way: the session may go before it is done. */
struct removal {
	struct session *session; /* NULL: gone; the mailbox stays locked until here */
	struct lock *lock;
};

static TAILQ_HEAD(, session) sessions = TAILQ_HEAD_INITIALIZER(sessions);
static uint32_t session_count;
static struct lock *locks;

static void pump(struct session *s);

/* ---- one session at a mailbox ---- */

static struct lock *take_lock(uint32_t account_id)
{
	struct lock *l;

	HASH_FIND(hh, locks, &account_id, sizeof(account_id), l);
	if (l != NULL)
		return NULL;
	l = calloc(1, sizeof(*l));
	if (l == NULL)
		abort();
	l->account_id = account_id;
	HASH_ADD(hh, locks, account_id, sizeof(l->account_id), l);
	return l;
}

static void drop_lock(struct lock *l)
{
	if (l == NULL)
		return;
	HASH_DEL(locks, l);
	free(l);
}

/* ---- beginning and end ---- */

static void session_end(struct session *s)
{
	if (s->dead)
		return;
	s->dead = true;
	log_event(LOG_DEBUG, "session-end", LOG_I("session", s->id), LOG_I("retrieved", s->retrieved_count));
	auth_exchange_free(s->auth);
	conn_free(s->conn);
	if (s->removal != NULL)
		s->removal->session = NULL; /* it unlocks */
	else
		drop_lock(s->lock);
	mailbox_list_free(&s->list);
	free(s->messages);
	free(s->uidls);
	buf_free(&s->out);
	TAILQ_REMOVE(&sessions, s, next);
	session_count--;
	s->server->connection_count--;
	if (!s->pumping)
		free(s);
}

static void flush(struct session *s)
{
	conn_write(s->conn, buf_span(&s->out));
	buf_reset(&s->out);
}

static void finish(struct session *s)
{
	flush(s);
	conn_finish(s->conn);
	s->conn = NULL;
	session_end(s);
}

/* ---- logging in ---- */

static void on_auth_result(void *ctx, enum auth_result result, struct span text)
{
	struct session *s = ctx;

	s->answer_due = false;
	switch (result) {
	case AUTH_CHALLENGE:
		pop3_server_auth_challenge(&s->core, text);
		break;
	case AUTH_OK:
		(void)span_copy(text, s->user, sizeof(s->user));
		log_event(LOG_INFO, "auth-ok", LOG_I("session", s->id), LOG_C("peer", s->peer_ip),
			  LOG_S("user", text));
		pop3_server_auth_succeed(&s->core);
		break;
	case AUTH_BAD:
		log_event(LOG_WARN, "auth-failed", LOG_I("session", s->id), LOG_C("peer", s->peer_ip));
		pop3_server_auth_fail(&s->core, POP3_AUTH_BAD_CREDENTIALS);
		break;
	case AUTH_MALFORMED:
		pop3_server_auth_fail(&s->core, POP3_AUTH_MALFORMED);
		break;
	case AUTH_TROUBLE:
		pop3_server_auth_fail(&s->core, POP3_AUTH_TEMPORARY);
		break;
	}
	if (result != AUTH_CHALLENGE) {
		auth_exchange_free(s->auth);
		s->auth = NULL;
	}
	conn_resume(s->conn);
	pump(s);
}

static void wait_for_answer(struct session *s)
{
	s->answer_due = true;
	conn_pause(s->conn);
}

static void on_auth(struct session *s, bool begins)
{
	if (begins) {
		auth_exchange_free(s->auth);
		s->auth = auth_start(s->server->auth, s->core.auth_mechanism, on_auth_result, s);
	}
	if (s->auth == NULL) {
		pop3_server_auth_fail(&s->core, POP3_AUTH_TEMPORARY);
		return;
	}
	wait_for_answer(s);
	auth_step(s->auth, s->core.auth_response);
}

static void on_login(struct session *s)
{
	wait_for_answer(s);
	s->auth = auth_password(s->server->auth, s->core.user, s->core.password, on_auth_result, s);
}

/* ---- the mailbox ---- */

static void fill_table(struct session *s)
{
	uint32_t count = s->list.entry_count;

	s->messages = calloc(count + 1, sizeof(*s->messages));
	s->uidls = calloc(count + 1, sizeof(*s->uidls));
	if (s->messages == NULL || s->uidls == NULL)
		abort();
	for (uint32_t i = 0; i < count; i++) {
		(void)snprintf(s->uidls[i], sizeof(s->uidls[i]), "%08x-%08x", s->list.uidvalidity,
			       s->list.entries[i].uid);
		s->messages[i] = (struct pop3_message){ .octets = s->list.entries[i].octets,
							.uidl = span_of(s->uidls[i]) };
	}
}

static void on_open(struct session *s)
{
	struct account account;

	if (account_find(s->server->store, span_of(s->user), &account) != 0) {
		pop3_server_open_failed(&s->core, POP3_OPEN_PERMANENT);
		return;
	}
	s->lock = take_lock(account.id);
	if (s->lock == NULL) {
		pop3_server_open_failed(&s->core, POP3_OPEN_IN_USE);
		return;
	}
	if (mailbox_list(s->server->store, account.id, &s->list) != 0) {
		drop_lock(s->lock);
		s->lock = NULL;
		pop3_server_open_failed(&s->core, POP3_OPEN_TEMPORARY);
		return;
	}
	s->account_id = account.id;
	fill_table(s);
	pop3_server_opened(&s->core, s->messages, s->list.entry_count);
}

/* Gives content until the client has enough to read, or all of it. */
static void send_message(struct session *s)
{
	const struct mailbox_entry *e = &s->list.entries[s->core.wanted_index];
	char *piece = loop_scratch(s->server->loop);

	for (;;) {
		flush(s);
		if (conn_output_bytes(s->conn) > OUTPUT_BYTES_MAX)
			return; /* goes on at CONN_DRAINED */
		ssize_t n = mailbox_read(s->server->store, s->account_id, e->uid, s->sent_bytes, piece,
					 READ_BYTES);
		if (n < 0 || (n == 0 && s->sent_bytes < e->octets)) {
			log_event(LOG_ERROR, "message-unreadable", LOG_I("session", s->id),
				  LOG_C("user", s->user), LOG_I("uid", e->uid));
			pop3_server_content_failed(&s->core);
			break;
		}
		s->sent_bytes += (uint64_t)n;
		bool last = s->sent_bytes >= e->octets;
		if (!pop3_server_content(&s->core, (struct span){ piece, (size_t)n }, last) || last) {
			s->retrieved_count += !s->core.wanted_top;
			break;
		}
	}
	s->retrieving = false;
}

static void on_removed(void *ctx, int result)
{
	struct removal *r = ctx;
	struct session *s = r->session;

	if (s == NULL) {
		drop_lock(r->lock);
	} else {
		s->answer_due = false;
		s->removal = NULL;
		log_event(LOG_INFO, "removed-from-mailbox", LOG_I("session", s->id), LOG_C("user", s->user),
			  LOG_I("messages", s->core.deleted_count), LOG_I("result", result));
		pop3_server_updated(&s->core, result == 0);
		pump(s);
	}
	free(r);
}

static void on_update(struct session *s)
{
	uint32_t *uids = calloc(s->list.entry_count + 1, sizeof(*uids));
	struct removal *r = calloc(1, sizeof(*r));
	uint32_t count = 0;

	if (uids == NULL || r == NULL)
		abort();
	for (uint32_t i = 0; i < s->list.entry_count; i++)
		if (s->messages[i].deleted)
			uids[count++] = s->list.entries[i].uid;
	/* The lock goes with the removal, so that nobody sees the mailbox in between. */
	*r = (struct removal){ .session = s, .lock = s->lock };
	s->removal = r;
	wait_for_answer(s);
	mailbox_delete(s->server->store, s->account_id, uids, count, on_removed, r);
	free(uids);
}

/* ---- the conversation ---- */

/* One feed.  False when the pump must stop. */
static bool pump_once(struct session *s)
{
	size_t used_bytes;
	enum pop3_wish wish = pop3_server_feed(&s->core, conn_input(s->conn), &used_bytes);

	if (wish == POP3_WISH_LOGIN)
		on_login(s);
	else if (wish == POP3_WISH_AUTH || wish == POP3_WISH_AUTH_STEP)
		on_auth(s, wish == POP3_WISH_AUTH);
	conn_consume(s->conn, used_bytes);
	switch (wish) {
	case POP3_WISH_INPUT:
		return false;
	case POP3_WISH_LOGIN:
	case POP3_WISH_AUTH:
	case POP3_WISH_AUTH_STEP:
		return true;
	case POP3_WISH_AUTH_CANCELLED:
		auth_exchange_free(s->auth);
		s->auth = NULL;
		return true;
	case POP3_WISH_OPEN:
		on_open(s);
		return true;
	case POP3_WISH_STLS:
		flush(s);
		conn_consume(s->conn, conn_input(s->conn).n);
		(void)conn_start_tls(s->conn, s->server->tls_in, CONN_TLS_SERVER, NULL);
		return false;
	case POP3_WISH_RETRIEVE:
		s->retrieving = true;
		s->sent_bytes = 0;
		send_message(s);
		return true;
	case POP3_WISH_UPDATE:
		on_update(s);
		return true;
	case POP3_WISH_CLOSE:
		finish(s);
		return false;
	case POP3_WISH_COUNT:
		break;
	}
	abort();
}

static void pump(struct session *s)
{
	if (s->pumping || s->dead || s->core.state == POP3_STATE_TLS)
		return;
	s->pumping = true;
	while (!s->dead && !s->answer_due && !s->retrieving) {
		if (s->close_wanted) {
			pop3_server_close(&s->core, POP3_CLOSE_SHUTDOWN);
			finish(s);
			break;
		}
		if (conn_output_bytes(s->conn) + buf_bytes(&s->out) > OUTPUT_BYTES_MAX) {
			conn_pause(s->conn); /* the client asks and does not read; goes on at CONN_DRAINED */
			break;
		}
		if (!pump_once(s))
			break;
	}
	s->pumping = false;
	if (s->dead)
		free(s);
	else
		flush(s);
}

static void on_conn(void *ctx, enum conn_event event)
{
	struct session *s = ctx;

	switch (event) {
	case CONN_CONNECTED:
		break;
	case CONN_SECURED:
		if (s->core.state == POP3_STATE_TLS)
			pop3_server_tls_started(&s->core);
		else
			pop3_server_greet(&s->core);
		flush(s);
		break;
	case CONN_INPUT:
		pump(s);
		break;
	case CONN_DRAINED:
		if (s->retrieving)
			send_message(s);
		if (!s->retrieving && !s->answer_due)
			conn_resume(s->conn);
		pump(s);
		break;
	case CONN_EOF:
		if (s->answer_due)
			s->close_wanted = true;
		else
			session_end(s);
		break;
	case CONN_TIMEOUT:
		if (s->answer_due)
			conn_set_timeout_ms(s->conn, s->server->config->timeouts.pop3_ms);
		else
			session_end(s);
		break;
	case CONN_FAILED:
		session_end(s);
		break;
	}
}

static struct pop3_server_config core_config(const struct server *server, enum service service)
{
	const struct config *c = server->config;
	static const struct span all = { "SCRAM-SHA-256 PLAIN LOGIN", 25 };
	static const struct span safe = { "SCRAM-SHA-256", 13 };

	return (struct pop3_server_config){
		.host = span_of(c->hostname),
		.error_count_max = c->limits.error_count_max,
		.offer_stls = service == SERVICE_POP3,
		.login_without_tls = c->auth_plain_without_tls,
		.mechanisms_clear = c->auth_plain_without_tls ? all : safe,
		.mechanisms_tls = all,
	};
}

void pop3_session_start(struct server *server, enum service service, int fd, const struct addr *peer)
{
	static const char too_many[] = "-ERR [SYS/TEMP] too many connections, try again later\r\n";

	if (server->connection_count >= server->config->limits.connection_count_max) {
		log_event(LOG_WARN, "connection-refused", LOG_C("service", service_name(service)),
			  LOG_I("connections", server->connection_count));
		if (service == SERVICE_POP3) {
			ssize_t n = send(fd, too_many, sizeof(too_many) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
			(void)n;
		}
		(void)close(fd);
		return;
	}
	struct session *s = calloc(1, sizeof(*s));
	if (s == NULL)
		abort();
	s->server = server;
	s->service = service;
	s->id = server_next_session();
	s->config = core_config(server, service);
	(void)addr_format_ip(peer, s->peer_ip);
	s->conn =
		conn_take(&(struct conn_options){ .loop = server->loop, .on_event = on_conn, .ctx = s }, fd);
	conn_set_timeout_ms(s->conn, server->config->timeouts.pop3_ms);
	pop3_server_init(&s->core, &s->config, &s->out, service == SERVICE_POP3S);
	TAILQ_INSERT_TAIL(&sessions, s, next);
	session_count++;
	server->connection_count++;
	log_event(LOG_DEBUG, "session-start", LOG_I("session", s->id),
		  LOG_C("service", service_name(service)), LOG_C("peer", s->peer_ip));
	if (service == SERVICE_POP3S) {
		(void)conn_start_tls(s->conn, server->tls_in, CONN_TLS_SERVER, NULL);
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
		session_end(s);
	}
}
