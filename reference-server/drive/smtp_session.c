#include "reference-server/drive/smtp_session.h"

#include "base/log.h"
#include "reference-server/drive/directory.h"
#include "reference-server/drive/smtp_session_parts.h"

#include <assert.h>
#include <stdlib.h>
#include <unistd.h>

static TAILQ_HEAD(, smtp_session) sessions = TAILQ_HEAD_INITIALIZER(sessions);
static uint32_t session_count;

static void pump(struct smtp_session *s);
static void begin_close(struct smtp_session *s);

void smtp_session_unstall(struct smtp_session *s)
{
	if (!s->stalled || s->closing || s->tls_due)
		return;
	s->stalled = false;
	conn_resume(s->conn);
	pump(s);
}

/* ---- the end ---- */

static void session_free(struct smtp_session *s)
{
	settings_release(s->settings);
	free(s);
}

static void session_end(struct smtp_session *s, const char *why)
{
	if (s->dead)
		return;
	log_event(LOG_DEBUG, "session-end", LOG_I("session", s->id), LOG_C("why", why));
	smtp_slot_free_all(s);
	smtp_incoming_drop(s->message);
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

void smtp_session_after_slots(struct smtp_session *s)
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

/* ---- wishes ---- */

static void drop_auth(struct smtp_session *s)
{
	auth_exchange_free(s->auth);
	s->auth = NULL;
}

static void note_user(struct smtp_session *s, struct span name)
{
	struct address a;

	if (address_parse_mailbox(name, &a) == ADDRESS_OK)
		s->account = directory_account(s->server->directory, a);
}

static void on_auth_result(void *ctx, enum auth_result result, struct span text)
{
	struct smtp_session *s = ctx;

	s->answer_due = false;
	switch (result) {
	case AUTH_CHALLENGE:
		smtp_server_auth_challenge(&s->core, text);
		break;
	case AUTH_OK:
		s->server->counters.auth_ok++;
		log_event(LOG_INFO, "auth-ok", LOG_I("session", s->id), LOG_C("peer", s->peer_ip),
			  LOG_S("user", text));
		note_user(s, text);
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

static void on_auth(struct smtp_session *s, bool begins)
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

static void begin_close(struct smtp_session *s)
{
	s->closing = true;
	smtp_incoming_drop(s->message);
	s->message = NULL;
	drop_auth(s);
	conn_pause(s->conn);
	smtp_session_after_slots(s);
}

static void on_starttls(struct smtp_session *s)
{
	conn_consume(s->conn, conn_input(s->conn).n);
	s->tls_due = true;
	conn_pause(s->conn);
	smtp_session_after_slots(s);
}

static bool must_wait(struct smtp_session *s)
{
	return s->slot_count >= SMTP_SLOTS_MAX ||
	       conn_output_bytes(s->conn) + s->owed_bytes > SMTP_OUTPUT_BYTES_MAX ||
	       (s->message != NULL && s->message->pieces_in_flight >= SMTP_PIECES_IN_FLIGHT_MAX);
}

static bool between_commands(const struct smtp_session *s)
{
	return s->core.state != SMTP_STATE_DATA && s->core.state != SMTP_STATE_CHUNK &&
	       s->core.state != SMTP_STATE_AUTH;
}

static bool may_shut_down(const struct smtp_session *s)
{
	return s->close_wanted && !s->closing && !s->answer_due && !s->tls_due && between_commands(s);
}

static void shut_down(struct smtp_session *s)
{
	smtp_server_close(&s->core, SMTP_CLOSE_SHUTDOWN);
	begin_close(s);
}

/* One feed.  False when the pump must stop. */
static bool pump_once(struct smtp_session *s)
{
	size_t used_bytes;
	enum smtp_wish wish = smtp_server_feed(&s->core, conn_input(s->conn), &used_bytes);

	if (wish == SMTP_WISH_CONTENT)
		smtp_incoming_content(s);
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
		smtp_envelope_mail(s);
		break;
	case SMTP_WISH_RCPT:
		smtp_envelope_rcpt(s);
		break;
	case SMTP_WISH_VERIFY:
		smtp_verify(s);
		break;
	case SMTP_WISH_MESSAGE:
		smtp_incoming_message(s);
		break;
	case SMTP_WISH_MESSAGE_REFUSED:
		s->server->counters.content_refused++;
		log_event(LOG_INFO, "content-refused", LOG_I("session", s->id), LOG_C("peer", s->peer_ip));
		smtp_incoming_drop(s->message);
		s->message = NULL;
		break;
	case SMTP_WISH_RESET:
		smtp_incoming_drop(s->message);
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

static void pump(struct smtp_session *s)
{
	if (s->pumping || s->dead || s->closing || s->core.state == SMTP_STATE_TLS || s->conn == NULL)
		return;
	s->pumping = true;
	smtp_server_set_time(&s->core, clock_wall_ms());
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
static bool in_handshake(const struct smtp_session *s)
{
	return (s->profile->implicit_tls || s->core.state == SMTP_STATE_TLS) && !conn_is_tls(s->conn);
}

static void on_timeout(struct smtp_session *s)
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
	struct smtp_session *s = ctx;

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
		smtp_session_unstall(s);
		break;
	case CONN_EOF:
		s->closing = true;
		smtp_incoming_drop(s->message);
		s->message = NULL;
		smtp_session_after_slots(s);
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
			.mail_count_max = config->limits.transaction_count_max,
			.without = config->smtp.without,
			.by_s_min = (config->smtp.by_ms_min + 999) / 1000,
			.hold_s_max = config->smtp.hold_ms_max / 1000,
			.refuse_8bit_header = config->smtp.refuse_8bit_header,
			.vrfy = submission && config->smtp.vrfy,
			.expn = submission && config->smtp.expn,
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
	struct smtp_session *s = calloc(1, sizeof(*s));
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
	smtp_server_init(&s->core, &profile->core, (struct smtp_output){ .emit = smtp_slot_emit, .ctx = s },
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
	struct smtp_session *s, *next;
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
	struct smtp_session *s, *next;

	for (s = TAILQ_FIRST(&sessions); s != NULL; s = next) {
		next = TAILQ_NEXT(s, next);
		session_end(s, "aborted");
	}
}
