#include "reference-server/drive/smtp_session.h"

#include "base/buf.h"
#include "base/conn.h"
#include "base/log.h"
#include "base/random.h"
#include "reference-server/core/smtp_server.h"
#include "reference-server/core/trace.h"
#include "reference-server/drive/auth.h"
#include "reference-server/drive/direct.h"
#include "reference-server/drive/directory.h"
#include "reference-server/drive/relay.h"
#include "reference-server/policy/accept.h"
#include "reference-server/store/body.h"
#include "reference-server/store/queue.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

enum {
	PIECE_BYTES = 64 * BODY_CHUNK_BYTES, /* what one append gives to the store; also the most a small
						message has */
	PIECES_IN_FLIGHT_MAX = 4,
	SLOTS_MAX = 64, /* final replies owed to one client */
	OUTPUT_BYTES_MAX = 256 * 1024,
};

struct smtp_profile {
	struct smtp_server_config core;
	bool implicit_tls;
};

/* A reply that is owed: the one to a final dot, and what was emitted behind it. */
struct slot {
	struct incoming *message; /* until it is filled */
	struct buf reply;
	struct buf after;
	TAILQ_ENTRY(slot) next;
};

struct session {
	struct server *server;
	const struct smtp_profile *profile;
	struct settings *settings; /* profile is of these */
	struct conn *conn;
	uint64_t id;
	char peer_ip[56];
	bool relay_allowed; /* by its address */
	struct smtp_server core;
	TAILQ_HEAD(slot_list, slot) slots;
	uint32_t slot_count;
	size_t owed_bytes;        /* of replies that wait in slots */
	struct incoming *message; /* the transaction in progress */
	struct auth_exchange *auth;
	uint32_t auth_failure_count;
	bool answer_due;   /* an exchange or another wish is out; do not feed */
	bool stalled;      /* reading is paused until something has been written or stored */
	bool tls_due;      /* the handshake follows the last owed reply */
	bool closing;      /* the end follows the last owed reply */
	bool close_wanted; /* shutting down: at the next command */
	bool pumping;
	bool dead; /* ended inside pump */
	TAILQ_ENTRY(session) next;
};

/* A message between MAIL and durability.  Counted: by its session or the store, and by each piece in flight.
 */
struct incoming {
	struct server *server;
	struct session *session; /* NULL once it has ended */
	struct slot *slot; /* where the answer goes; NULL before the final dot and after the session's end */
	struct envelope *envelope;
	struct buf content; /* what has not been given to body_append */
	uint64_t streamed_bytes;
	uint64_t counted_bytes; /* in server->unacknowledged_bytes */
	uint32_t pieces_in_flight;
	uint32_t refs;
	int error; /* of a piece */
	uint32_t reply_count;
	struct direct direct; /* LMTP */
};

struct piece {
	struct incoming *message;
	struct buf bytes;
};

static TAILQ_HEAD(, session) sessions = TAILQ_HEAD_INITIALIZER(sessions);
static uint32_t session_count;

static void pump(struct session *s);
static void begin_close(struct session *s);

/* ---- messages ---- */

static void incoming_unref(struct incoming *m)
{
	assert(m->refs > 0);
	if (--m->refs > 0)
		return;
	envelope_free(m->envelope);
	direct_release(&m->direct);
	buf_free(&m->content);
	free(m);
}

static struct incoming *incoming_new(struct session *s)
{
	struct incoming *m = calloc(1, sizeof(*m));
	if (m == NULL)
		abort();
	*m = (struct incoming){ .server = s->server, .session = s, .refs = 1, .envelope = envelope_new() };
	return m;
}

/* Ends a transaction that brought no message. */
static void incoming_drop(struct incoming *m)
{
	if (m == NULL)
		return;
	if (m->streamed_bytes > 0)
		body_discard(m->server->store, m->envelope->body_id, NULL, NULL);
	m->session = NULL;
	incoming_unref(m);
}

static void unstall(struct session *s)
{
	if (!s->stalled || s->closing || s->tls_due)
		return;
	s->stalled = false;
	conn_resume(s->conn);
	pump(s);
}

static void on_piece_stored(void *ctx, int result)
{
	struct piece *p = ctx;
	struct incoming *m = p->message;

	m->pieces_in_flight--;
	if (result != 0 && m->error == 0)
		m->error = result;
	buf_free(&p->bytes);
	free(p);
	if (m->session != NULL)
		unstall(m->session);
	incoming_unref(m);
}

static void stream_piece(struct incoming *m)
{
	struct piece *p = calloc(1, sizeof(*p));
	if (p == NULL)
		abort();
	struct span all = buf_span(&m->content);

	p->message = m;
	buf_add(&p->bytes, span_sub(all, 0, PIECE_BYTES));
	buf_consume(&m->content, PIECE_BYTES);
	if (m->envelope->body_id == 0)
		m->envelope->body_id = store_new_id(m->server->store);
	m->refs++;
	m->pieces_in_flight++;
	uint64_t offset = m->streamed_bytes;
	m->streamed_bytes += PIECE_BYTES;
	body_append(m->server->store, m->envelope->body_id, offset, buf_span(&p->bytes), on_piece_stored, p);
}

/* ---- replies ---- */

static void emit(void *ctx, struct span line)
{
	struct session *s = ctx;
	struct slot *last = TAILQ_LAST(&s->slots, slot_list);

	if (last != NULL) {
		buf_add(&last->after, line);
		s->owed_bytes += line.n;
	} else {
		conn_write(s->conn, line);
	}
}

static struct slot *reserve_slot(struct session *s, struct incoming *m)
{
	struct slot *slot = calloc(1, sizeof(*slot));
	if (slot == NULL)
		abort();
	slot->message = m;
	TAILQ_INSERT_TAIL(&s->slots, slot, next);
	s->slot_count++;
	return slot;
}

static void free_slot(struct slot *slot)
{
	buf_free(&slot->reply);
	buf_free(&slot->after);
	free(slot);
}

static void session_free(struct session *s)
{
	settings_release(s->settings);
	free(s);
}

static void session_end(struct session *s, const char *why)
{
	if (s->dead)
		return;
	log_event(LOG_DEBUG, "session-end", LOG_I("session", s->id), LOG_C("why", why));
	while (!TAILQ_EMPTY(&s->slots)) {
		struct slot *slot = TAILQ_FIRST(&s->slots);
		TAILQ_REMOVE(&s->slots, slot, next);
		if (slot->message != NULL) {
			slot->message->slot = NULL;
			slot->message->session = NULL;
		}
		free_slot(slot);
	}
	incoming_drop(s->message);
	s->message = NULL;
	auth_exchange_free(s->auth);
	conn_free(s->conn);
	TAILQ_REMOVE(&sessions, s, next);
	session_count--;
	s->server->connection_count--;
	s->dead = true;
	if (!s->pumping)
		session_free(s);
}

/* The last owed reply is out: what waited for it happens now. */
static void after_slots(struct session *s)
{
	if (s->slot_count > 0)
		return;
	if (s->closing) {
		conn_finish(s->conn);
		s->conn = NULL;
		session_end(s, "closed");
	} else if (s->tls_due) {
		s->tls_due = false;
		(void)conn_start_tls(s->conn, s->server->tls_in, CONN_TLS_SERVER, NULL);
		conn_resume(s->conn);
	}
}

static void write_filled_slots(struct session *s)
{
	struct slot *slot;

	while ((slot = TAILQ_FIRST(&s->slots)) != NULL && slot->message == NULL) {
		conn_write(s->conn, buf_span(&slot->reply));
		conn_write(s->conn, buf_span(&slot->after));
		TAILQ_REMOVE(&s->slots, slot, next);
		s->slot_count--;
		s->owed_bytes -= buf_bytes(&slot->after);
		free_slot(slot);
	}
}

static enum smtp_answer answer_for(int result)
{
	switch (result) {
	case 0:
		return SMTP_ANSWER_ACCEPT;
	case -E2BIG:
		return SMTP_ANSWER_TOO_BIG;
	case -ESRCH: /* an account went between RCPT and the end */
		return SMTP_ANSWER_TRY_LATER;
	default:
		return SMTP_ANSWER_STORAGE_FULL;
	}
}

static void fill_slot(struct session *s, struct slot *slot, uint32_t reply_count, enum smtp_answer answer,
		      struct span queue_id)
{
	for (uint32_t i = 0; i < reply_count; i++)
		smtp_server_add_final_reply(&slot->reply, answer, queue_id);
	slot->message = NULL;
	write_filled_slots(s);
	if (s->closing || s->tls_due)
		after_slots(s);
	else
		unstall(s);
}

/* ---- the store has the message, or has not ---- */

static void log_queued(const struct incoming *m, uint64_t session_id)
{
	char id[STORE_ID_TEXT_BYTES];
	const struct envelope *e = m->envelope;

	log_event(LOG_INFO, "queued", LOG_C("id", store_id_text(e->id, id)), LOG_I("session", session_id),
		  LOG_C("from", e->reverse_path), LOG_I("rcpts", e->recipient_count),
		  LOG_I("bytes", buf_bytes(&e->prefix) + e->body_bytes));
}

/* Gives the message to the relay, unless all of it is in mailboxes. */
static void hand_over(struct incoming *m)
{
	struct buf content = { 0 };

	if (m->direct.delivered_count > 0 && !direct_done(&m->direct, m->server, m->envelope))
		return;
	if (m->streamed_bytes == 0) {
		content = m->content;
		m->content = (struct buf){ 0 };
	}
	relay_take(m->server->relay, m->envelope, &content);
	m->envelope = NULL;
}

static void on_durable(void *ctx, int result)
{
	struct incoming *m = ctx;
	struct server *server = m->server;
	struct session *s = m->session;
	struct slot *slot = m->slot;
	char id[STORE_ID_TEXT_BYTES];

	server->unacknowledged_count--;
	server->unacknowledged_bytes -= m->counted_bytes;
	(void)store_id_text(m->envelope->id, id);
	if (result == 0) {
		log_queued(m, s != NULL ? s->id : 0);
		server->counters.messages_accepted++;
		server->counters.accepted_bytes += buf_bytes(&m->envelope->prefix) + m->envelope->body_bytes;
		hand_over(m);
	} else {
		server->counters.not_stored++;
		log_event(LOG_WARN, "not-queued", LOG_C("id", id), LOG_I("session", s != NULL ? s->id : 0),
			  LOG_C("error", strerror(-result)));
		if (m->streamed_bytes > 0)
			body_discard(server->store, m->envelope->body_id, NULL, NULL);
	}
	uint32_t reply_count = m->reply_count;
	incoming_unref(m);
	if (s != NULL)
		fill_slot(s, slot, reply_count, answer_for(result), span_of(id));
}

static void add_trace(struct session *s, struct incoming *m)
{
	struct envelope *e = m->envelope;
	char id[STORE_ID_TEXT_BYTES];
	bool single = e->recipient_count == 1;

	trace_add_received(&e->prefix, &(struct trace_received){
					       .helo = s->core.helo,
					       .client_ip = span_of(s->peer_ip),
					       .by_host = s->profile->core.host,
					       .protocol = smtp_server_protocol(&s->core),
					       .id = span_of(store_id_text(e->id, id)),
					       .rcpt = single ? span_of(e->recipients[0].original)
							      : (struct span){ NULL, 0 },
					       .time_ms = e->arrival_wall_ms,
				       });
	if (s->profile->core.role != SMTP_ROLE_SUBMISSION)
		return;
	/* RFC 6409 8.2, 8.3: a submission server may supply what is missing; a relay may not. */
	if (!header_has(&s->core.header, HEADER_DATE))
		trace_add_date(&e->prefix, e->arrival_wall_ms);
	if (!header_has(&s->core.header, HEADER_MESSAGE_ID)) {
		struct buf message_id = { 0 };
		uint64_t unique = random_u64();
		trace_add_new_message_id(&message_id, e->arrival_wall_ms,
					 (struct span){ (const char *)&unique, sizeof(unique) },
					 s->profile->core.host);
		trace_add_message_id(&e->prefix, buf_span(&message_id));
		buf_free(&message_id);
	}
}

static void on_message(struct session *s)
{
	struct incoming *m = s->message;
	struct envelope *e = m->envelope;
	struct server *server = s->server;

	s->message = NULL;
	e->id = store_new_id(server->store);
	e->arrival_wall_ms = e->due_wall_ms = clock_wall_ms();
	e->body_bytes = s->core.content.content_bytes;
	assert(e->body_bytes == m->streamed_bytes + buf_bytes(&m->content));
	if ((s->core.content.facts & CONTENT_8BIT) != 0)
		e->flags |= ENVELOPE_CONTENT_8BIT;
	add_trace(s, m);
	m->slot = reserve_slot(s, m);
	m->reply_count = smtp_server_final_reply_count(&s->core);
	m->counted_bytes = buf_bytes(&m->content);
	server->unacknowledged_count++;
	server->unacknowledged_bytes += m->counted_bytes;
	if (s->profile->core.role == SMTP_ROLE_LMTP) {
		direct_submit(&m->direct, server, e, &m->content, m->streamed_bytes > 0, on_durable, m);
		return;
	}
	queue_submit(
		server->store,
		&(struct queue_change){ .row = QUEUE_INSERT, .message = e, .body = buf_span(&m->content) },
		on_durable, m);
}

/* ---- wishes ---- */

static void on_mail(struct session *s)
{
	const struct config_limits *limits = &s->server->config->limits;
	struct server *server = s->server;

	assert(s->message == NULL);
	if (server->unacknowledged_count >= limits->unacknowledged_count_max ||
	    server->unacknowledged_bytes >= limits->unacknowledged_bytes_max) {
		smtp_server_answer_mail(&s->core, SMTP_ANSWER_STORAGE_FULL);
		return;
	}
	s->message = incoming_new(s);
	struct envelope *e = s->message->envelope;
	envelope_set_reverse_path(e, s->core.reverse_path);
	if (s->core.body == SMTP_BODY_8BITMIME)
		e->flags |= ENVELOPE_8BITMIME;
	if (s->core.body == SMTP_BODY_BINARYMIME)
		e->flags |= ENVELOPE_BINARYMIME;
	if (s->core.ret != SMTP_RET_UNSAID)
		e->flags |= s->core.ret == SMTP_RET_FULL ? ENVELOPE_RET_FULL : ENVELOPE_RET_HDRS;
	envelope_set_envid(e, s->core.envid);
	if (s->profile->core.role == SMTP_ROLE_SUBMISSION)
		e->flags |= ENVELOPE_SUBMITTED;
	smtp_server_answer_mail(&s->core, SMTP_ANSWER_ACCEPT);
}

struct adding {
	struct envelope *envelope;
	struct span original;
	struct span orcpt;
	uint8_t notify;
	bool full;
};

static void add_recipient(void *ctx, struct span address)
{
	struct adding *a = ctx;

	for (uint32_t i = 0; i < a->envelope->recipient_count; i++)
		if (span_eq(address, span_of(a->envelope->recipients[i].address)))
			return; /* one copy each, however often and through however many aliases it was named
				 */
	struct recipient *r = envelope_add_recipient(a->envelope, address, a->original);
	if (r == NULL)
		a->full = true;
	else
		recipient_set_dsn(r, a->notify, a->orcpt);
}

static uint8_t notify_bits(unsigned said)
{
	return (uint8_t)(((said & SMTP_NOTIFY_NEVER) != 0 ? NOTIFY_NEVER : 0) |
			 ((said & SMTP_NOTIFY_SUCCESS) != 0 ? NOTIFY_SUCCESS : 0) |
			 ((said & SMTP_NOTIFY_FAILURE) != 0 ? NOTIFY_FAILURE : 0) |
			 ((said & SMTP_NOTIFY_DELAY) != 0 ? NOTIFY_DELAY : 0));
}

static enum smtp_answer answer_for_decision(enum accept_decision d)
{
	switch (d) {
	case ACCEPT_LOCAL:
	case ACCEPT_RELAY:
		return SMTP_ANSWER_ACCEPT;
	case ACCEPT_NO_SUCH_MAILBOX:
		return SMTP_ANSWER_NO_SUCH_MAILBOX;
	case ACCEPT_MAILBOX_DISABLED_NOW:
		return SMTP_ANSWER_MAILBOX_DISABLED;
	case ACCEPT_OVER_QUOTA:
		return SMTP_ANSWER_MAILBOX_FULL;
	case ACCEPT_RELAY_DENIED:
		return SMTP_ANSWER_RELAY_DENIED;
	case ACCEPT_TRY_LATER:
	case ACCEPT_DECISION_COUNT:
		break;
	}
	return SMTP_ANSWER_TRY_LATER;
}

static void on_rcpt(struct session *s)
{
	const struct directory *d = s->server->directory;
	struct address a;

	if (address_parse_text(s->core.forward_path, &a) != ADDRESS_OK) {
		smtp_server_answer_rcpt(&s->core, SMTP_ANSWER_NO_SUCH_MAILBOX);
		return;
	}
	bool local = a.domain.n == 0 || directory_is_local_domain(d, a.domain);
	bool known = local && directory_expand(d, a, NULL, NULL);
	bool lmtp = s->profile->core.role == SMTP_ROLE_LMTP;
	enum accept_decision decision = accept_rcpt(&(struct accept_facts){
		.postmaster = local && !lmtp && address_is_postmaster(a),
		.domain_local = local,
		.mailbox = known ? ACCEPT_MAILBOX_KNOWN : ACCEPT_MAILBOX_UNKNOWN,
		.authenticated = s->core.authenticated,
		.relay_allowed = s->relay_allowed && !lmtp,
		.submission = s->profile->core.role == SMTP_ROLE_SUBMISSION,
	});
	enum smtp_answer answer = answer_for_decision(decision);
	if (answer == SMTP_ANSWER_ACCEPT) {
		struct adding adding = { .envelope = s->message->envelope,
					 .original = s->core.forward_path,
					 .orcpt = s->core.orcpt,
					 .notify = notify_bits(s->core.notify) };
		if (known)
			(void)directory_expand(d, a, add_recipient, &adding);
		else
			add_recipient(&adding, s->core.forward_path); /* postmaster of a server without
									 accounts: kept in the queue */
		if (adding.full)
			answer = SMTP_ANSWER_TOO_MANY_RCPT;
	} else {
		s->server->counters.recipients_refused++;
		log_event(LOG_INFO, "recipient-refused", LOG_I("session", s->id), LOG_C("peer", s->peer_ip),
			  LOG_S("rcpt", s->core.forward_path), LOG_C("why", accept_decision_name(decision)));
	}
	smtp_server_answer_rcpt(&s->core, answer);
}

static void on_content(struct session *s)
{
	struct incoming *m = s->message;

	if (m->error != 0) {
		smtp_server_refuse_content(&s->core, answer_for(m->error));
		return;
	}
	buf_add(&m->content, s->core.run);
	while (buf_bytes(&m->content) > PIECE_BYTES)
		stream_piece(m);
}

static void drop_auth(struct session *s)
{
	auth_exchange_free(s->auth);
	s->auth = NULL;
}

static void on_auth_result(void *ctx, enum auth_result result, struct span text)
{
	struct session *s = ctx;

	s->answer_due = false;
	switch (result) {
	case AUTH_CHALLENGE:
		smtp_server_auth_challenge(&s->core, text);
		break;
	case AUTH_OK:
		s->server->counters.auth_ok++;
		log_event(LOG_INFO, "auth-ok", LOG_I("session", s->id), LOG_C("peer", s->peer_ip),
			  LOG_S("user", text));
		smtp_server_auth_succeed(&s->core, text);
		break;
	case AUTH_BAD:
		s->server->counters.auth_failed++;
		log_event(LOG_WARN, "auth-failed", LOG_I("session", s->id), LOG_C("peer", s->peer_ip));
		smtp_server_auth_fail(&s->core, SMTP_AUTH_BAD_CREDENTIALS);
		break;
	case AUTH_MALFORMED:
		smtp_server_auth_fail(&s->core, SMTP_AUTH_MALFORMED);
		break;
	case AUTH_TROUBLE:
		smtp_server_auth_fail(&s->core, SMTP_AUTH_TEMPORARY);
		break;
	}
	if (result != AUTH_CHALLENGE)
		drop_auth(s);
	s->auth_failure_count += result == AUTH_BAD;
	if (result == AUTH_BAD && s->auth_failure_count >= s->server->config->auth_failure_count_max) {
		smtp_server_close(&s->core, SMTP_CLOSE_REFUSED);
		begin_close(s);
		return;
	}
	conn_resume(s->conn);
	pump(s);
}

static void on_auth(struct session *s, bool begins)
{
	if (begins) {
		drop_auth(s);
		s->auth = auth_start(s->server->auth, s->conn, s->core.auth_mechanism, on_auth_result, s);
	}
	if (s->auth == NULL) {
		smtp_server_auth_fail(&s->core, SMTP_AUTH_TEMPORARY);
		return;
	}
	s->answer_due = true;
	conn_pause(s->conn);
	auth_step(s->auth, s->core.auth_response);
}

static void begin_close(struct session *s)
{
	s->closing = true;
	incoming_drop(s->message);
	s->message = NULL;
	drop_auth(s);
	conn_pause(s->conn);
	after_slots(s);
}

static void on_starttls(struct session *s)
{
	conn_consume(s->conn, conn_input(s->conn).n);
	s->tls_due = true;
	conn_pause(s->conn);
	after_slots(s);
}

static bool must_wait(struct session *s)
{
	return s->slot_count >= SLOTS_MAX || conn_output_bytes(s->conn) + s->owed_bytes > OUTPUT_BYTES_MAX ||
	       (s->message != NULL && s->message->pieces_in_flight >= PIECES_IN_FLIGHT_MAX);
}

static bool between_commands(const struct session *s)
{
	return s->core.state != SMTP_STATE_DATA && s->core.state != SMTP_STATE_CHUNK &&
	       s->core.state != SMTP_STATE_AUTH;
}

static bool may_shut_down(const struct session *s)
{
	return s->close_wanted && !s->closing && !s->answer_due && !s->tls_due && between_commands(s);
}

static void shut_down(struct session *s)
{
	smtp_server_close(&s->core, SMTP_CLOSE_SHUTDOWN);
	begin_close(s);
}

/* One feed.  False when the pump must stop. */
static bool pump_once(struct session *s)
{
	size_t used_bytes;
	enum smtp_wish wish = smtp_server_feed(&s->core, conn_input(s->conn), &used_bytes);

	if (wish == SMTP_WISH_CONTENT)
		on_content(s);
	else if (wish == SMTP_WISH_AUTH || wish == SMTP_WISH_AUTH_STEP)
		on_auth(s, wish == SMTP_WISH_AUTH);
	conn_consume(s->conn, used_bytes);
	switch (wish) {
	case SMTP_WISH_INPUT:
		return false;
	case SMTP_WISH_CONTENT:
	case SMTP_WISH_AUTH:
	case SMTP_WISH_AUTH_STEP:
		break;
	case SMTP_WISH_MAIL:
		on_mail(s);
		break;
	case SMTP_WISH_RCPT:
		on_rcpt(s);
		break;
	case SMTP_WISH_MESSAGE:
		on_message(s);
		break;
	case SMTP_WISH_MESSAGE_REFUSED:
		s->server->counters.content_refused++;
		log_event(LOG_INFO, "content-refused", LOG_I("session", s->id), LOG_C("peer", s->peer_ip));
		incoming_drop(s->message);
		s->message = NULL;
		break;
	case SMTP_WISH_RESET:
		incoming_drop(s->message);
		s->message = NULL;
		break;
	case SMTP_WISH_AUTH_CANCELLED:
		drop_auth(s);
		break;
	case SMTP_WISH_STARTTLS:
		on_starttls(s);
		return false;
	case SMTP_WISH_CLOSE:
		begin_close(s);
		return false;
	}
	return true;
}

static bool in_content(enum smtp_state state)
{
	return state == SMTP_STATE_DATA || state == SMTP_STATE_CHUNK;
}

static void pump(struct session *s)
{
	if (s->pumping || s->dead || s->closing || s->core.state == SMTP_STATE_TLS || s->conn == NULL)
		return;
	s->pumping = true;
	enum smtp_state before = s->core.state;
	for (;;) {
		if (s->answer_due)
			break;
		if (must_wait(s)) {
			s->stalled = true;
			conn_pause(s->conn);
			break;
		}
		if (may_shut_down(s)) {
			shut_down(s);
			break;
		}
		if (!pump_once(s)) {
			if (may_shut_down(s)) /* what it waited for, the end of a chunk, has come */
				shut_down(s);
			break;
		}
	}
	s->pumping = false;
	if (s->dead) {
		session_free(s);
		return;
	}
	bool was_data = in_content(before), is_data = in_content(s->core.state);
	if (was_data != is_data && s->conn != NULL && !s->closing) {
		const struct config_timeouts *t = &s->server->config->timeouts;
		conn_set_timeout_ms(s->conn, is_data ? t->data_ms : t->command_ms);
	}
}

/* Nothing can be said: it would go out in the clear where the client reads TLS. */
static bool in_handshake(const struct session *s)
{
	return (s->profile->implicit_tls || s->core.state == SMTP_STATE_TLS) && !conn_is_tls(s->conn);
}

static void on_timeout(struct session *s)
{
	if (in_handshake(s)) {
		session_end(s, "silent in the handshake");
		return;
	}
	if (s->slot_count > 0 || s->answer_due || (s->message != NULL && s->message->pieces_in_flight > 0)) {
		conn_set_timeout_ms(s->conn,
				    s->server->config->timeouts.command_ms); /* it is we who are slow */
		return;
	}
	smtp_server_close(&s->core, SMTP_CLOSE_TIMEOUT);
	begin_close(s);
}

static void on_conn(void *ctx, enum conn_event event)
{
	struct session *s = ctx;

	switch (event) {
	case CONN_CONNECTED:
		break;
	case CONN_SECURED:
		s->server->counters.tls_in++;
		if (s->core.state == SMTP_STATE_TLS)
			smtp_server_tls_started(&s->core);
		else
			smtp_server_greet(&s->core);
		break;
	case CONN_INPUT:
		pump(s);
		break;
	case CONN_DRAINED:
		unstall(s);
		break;
	case CONN_EOF:
		s->closing = true;
		incoming_drop(s->message);
		s->message = NULL;
		after_slots(s);
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

struct smtp_profile *smtp_profile_new(const struct config *config, enum service service)
{
	struct smtp_profile *p = calloc(1, sizeof(*p));
	if (p == NULL)
		abort();
	bool submission = service == SERVICE_SUBMISSION || service == SERVICE_SUBMISSIONS;
	static const struct span all = { "SCRAM-SHA-256 PLAIN LOGIN", 25 };
	static const struct span under_tls = { "SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN", 44 };
	static const struct span safe = { "SCRAM-SHA-256", 13 };
	static const struct span none = { NULL, 0 };

	*p = (struct smtp_profile){
		.core = {
			.host = span_of(config->hostname),
			.role = submission		? SMTP_ROLE_SUBMISSION
				: service == SERVICE_LMTP ? SMTP_ROLE_LMTP
							  : SMTP_ROLE_RELAY,
			.size_bytes_max = config->limits.message_bytes_max,
			.header_bytes_max = config->limits.header_bytes_max,
			.rcpt_count_max = config->limits.recipient_count_max,
			.received_count_max = config->limits.received_count_max,
			.error_count_max = config->limits.error_count_max,
			.offer_starttls = service != SERVICE_SUBMISSIONS,
			.mechanisms_clear = !submission ? none : config->auth_plain_without_tls ? all : safe,
			.mechanisms_tls = submission ? under_tls : none,
		},
		.implicit_tls = service == SERVICE_SUBMISSIONS,
	};
	return p;
}

void smtp_profile_free(struct smtp_profile *p)
{
	free(p);
}

/* A reply without a session: over the connection limit. */
static void turn_away(const struct smtp_profile *profile, int fd)
{
	static const char reply[] = "421 4.3.2 too many connections, try again later\r\n";
	if (!profile->implicit_tls) {
		ssize_t n = send(fd, reply, sizeof(reply) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
		(void)n;
	}
	(void)close(fd);
}

static bool may_relay(const struct config *c, const struct addr *peer)
{
	for (uint32_t i = 0; i < c->relay_from_count; i++)
		if (addr_block_has(&c->relay_from[i], peer))
			return true;
	return false;
}

void smtp_session_start(struct server *server, enum service service, int fd, const struct addr *peer)
{
	const struct smtp_profile *profile = server->profiles[service];

	if (server->connection_count >= server->config->limits.connection_count_max) {
		server->counters.connections_refused++;
		log_event(LOG_WARN, "connection-refused", LOG_C("service", service_name(service)),
			  LOG_I("connections", server->connection_count));
		turn_away(profile, fd);
		return;
	}
	struct session *s = calloc(1, sizeof(*s));
	if (s == NULL)
		abort();
	s->server = server;
	s->profile = profile;
	s->settings = settings_use(server);
	s->id = server_next_session();
	TAILQ_INIT(&s->slots);
	(void)addr_format_ip(peer, s->peer_ip);
	s->relay_allowed = may_relay(server->config, peer);
	s->conn =
		conn_take(&(struct conn_options){ .loop = server->loop, .on_event = on_conn, .ctx = s }, fd);
	conn_set_timeout_ms(s->conn, server->config->timeouts.command_ms);
	smtp_server_init(&s->core, &profile->core, (struct smtp_output){ .emit = emit, .ctx = s },
			 profile->implicit_tls);
	TAILQ_INSERT_TAIL(&sessions, s, next);
	session_count++;
	server->connection_count++;
	log_event(LOG_DEBUG, "session-start", LOG_I("session", s->id),
		  LOG_C("service", service_name(service)), LOG_C("peer", s->peer_ip));
	if (profile->implicit_tls)
		(void)conn_start_tls(s->conn, server->tls_in, CONN_TLS_SERVER, NULL);
	else
		smtp_server_greet(&s->core);
}

void smtp_session_close_all(struct server *server)
{
	struct session *s, *next;
	(void)server;

	for (s = TAILQ_FIRST(&sessions); s != NULL; s = next) {
		next = TAILQ_NEXT(s, next);
		s->close_wanted = true;
		if (s->conn != NULL && in_handshake(s))
			session_end(s, "shutting down");
		else
			pump(s);
	}
}

uint32_t smtp_session_count(void)
{
	return session_count;
}

void smtp_session_abort_all(void)
{
	struct session *s, *next;

	for (s = TAILQ_FIRST(&sessions); s != NULL; s = next) {
		next = TAILQ_NEXT(s, next);
		session_end(s, "aborted");
	}
}
