#include "reference-server/drive/smtp_session.h"

#include "base/log.h"
#include "reference-server/core/mutant.h"
#include "reference-server/drive/gate.h"
#include "reference-server/drive/smtp_session_parts.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/socket.h>

static TAILQ_HEAD(, smtp_session) sessions = TAILQ_HEAD_INITIALIZER(sessions);
static uint32_t session_count;

static void pump(struct smtp_session *s);
static void begin_close(struct smtp_session *s);

/* ---- time ---- */

static bool in_content(const struct smtp_session *s)
{
	return s->core.state == SMTP_STATE_DATA || s->core.state == SMTP_STATE_CHUNK;
}

static int64_t window_ms(const struct smtp_session *s)
{
	const struct config_timeouts *t = &s->server->config->timeouts;
	return in_content(s) ? t->data_ms : t->command_ms;
}

static uint64_t moved_bytes(const struct smtp_session *s)
{
	return conn_read_bytes(s->conn) + conn_written_bytes(s->conn);
}

void smtp_session_progress(struct smtp_session *s)
{
	s->moved_before = moved_bytes(s);
	conn_set_deadline_ms(s->conn, window_ms(s));
}

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
	smtp_incoming_forget(s);
	smtp_incoming_drop(s->message);
	s->message = NULL;
	auth_exchange_free(s->auth);
	timer_free(s->pause);
	load_leave(s->server->load, &s->load);
	conn_free(s->conn);
	TAILQ_REMOVE(&sessions, s, next);
	session_count--;
	s->dead = true;
	if (!s->pumping)
		session_free(s);
}

static void start_tls(struct smtp_session *s)
{
	size_t injected_bytes = conn_start_tls(s->conn, s->server->tls_in, CONN_TLS_SERVER, NULL);
	if (MUTANT(SMTP_TLS_INJECTED) && injected_bytes > 0)
		s->core.mail_refused = true; /* so that smtp_server_tls_started knows */
	conn_set_deadline_ms(s->conn, s->server->config->timeouts.handshake_ms);
	load_note(s->server->load, &s->load);
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
		start_tls(s);
		conn_resume(s->conn);
	}
}

/* ---- wishes ---- */

static void drop_auth(struct smtp_session *s)
{
	auth_exchange_free(s->auth);
	s->auth = NULL;
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
	if (begins)
		drop_auth(s);
	if (begins && s->core.auth_response_given && auth_server_begins(s->core.auth_mechanism)) {
		smtp_server_auth_fail(&s->core, MUTANT(AUTH_LOGIN_535) ? SMTP_AUTH_BAD_CREDENTIALS
								       : SMTP_AUTH_SERVER_FIRST);
		return;
	}
	if (begins) {
		s->auth = auth_start(s->server->auth, s->conn, s->core.auth_mechanism, on_auth_result, s);
	}
	if (s->auth == NULL) {
		smtp_server_auth_fail(&s->core, SMTP_AUTH_TEMPORARY);
		return;
	}
	s->answer_due = true;
	conn_pause(s->conn);
	auth_step(s->auth, s->core.auth_response, s->core.auth_response_given);
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

/* ---- the greeting ---- */

static void greet(struct smtp_session *s)
{
	static const struct span why = { "you spoke before this greeting (RFC 5321 4.3.1)", 47 };
	bool refuse = s->early && s->server->config->limits.early_talkers == BREACH_REFUSE;

	s->greeting_due = false;
	if (s->early) {
		s->server->counters.early_talkers++;
		log_event(LOG_INFO, "early-talker", LOG_I("session", s->id), LOG_C("peer", s->peer_ip),
			  LOG_C("done", refuse ? "refused" : "nothing"));
	}
	if (refuse)
		smtp_server_greet_refused(&s->core, why);
	else
		smtp_server_greet(&s->core);
}

/* ---- how fast ---- */

static void on_pause_over(void *ctx)
{
	struct smtp_session *s = ctx;

	if (s->greeting_due)
		greet(s);
	s->paced = false;
	s->stalled = true; /* what has been said meanwhile is looked at now */
	smtp_session_unstall(s);
}

static void pause_ms(struct smtp_session *s, int64_t ms)
{
	if (s->pause == NULL)
		s->pause = timer_new(s->server->loop, on_pause_over, s);
	timer_set_ms(s->pause, ms);
}

static void keep_pace(struct smtp_session *s, uint64_t command_count)
{
	uint32_t rate = s->server->config->limits.commands_per_s_max;

	if (command_count == 0 || s->trusted || rate == 0 || s->dead || s->closing)
		return;
	int64_t wait_ms = pace_take(&s->pace, rate, command_count, clock_mono_ns() / 1000);
	s->paced = wait_ms > 0;
	if (s->paced)
		pause_ms(s, wait_ms);
}

static bool must_wait(struct smtp_session *s)
{
	return s->paced || smtp_incoming_must_wait(s) || s->slot_count >= SMTP_SLOTS_MAX ||
	       conn_output_bytes(s->conn) + s->owed_bytes > SMTP_OUTPUT_BYTES_MAX;
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

/*
 * Feeds commands in small helpings, so that what they cost, in replies and in
 * number, is looked at before there are thousands of them; content in one.
 */
static enum smtp_wish feed(struct smtp_session *s, size_t *ret_used_bytes, bool *ret_more)
{
	struct span all = conn_input(s->conn);
	size_t bytes = in_content(s) ? all.n : SMTP_COMMANDS_BYTES;

	for (;;) {
		struct span in = span_sub(all, 0, bytes < all.n ? bytes : all.n);
		enum smtp_wish wish = smtp_server_feed(&s->core, in, ret_used_bytes);
		*ret_more = in.n < all.n;
		if (wish != SMTP_WISH_INPUT || *ret_used_bytes > 0 || !*ret_more)
			return wish;
		bytes *= 4; /* a line that is longer */
	}
}

/* What came behind it came too early (see SMTP_WISH_SYNC).  True: the session ends for it. */
static bool ends_group(struct smtp_session *s)
{
	bool refuse = s->server->config->limits.pipelining == BREACH_REFUSE;

	if (conn_input(s->conn).n == 0 || s->core.refused)
		return false;
	s->server->counters.pipelined_early++;
	if (!s->pipelined_early)
		log_event(LOG_INFO, "pipelined-early", LOG_I("session", s->id), LOG_C("peer", s->peer_ip),
			  LOG_C("state", smtp_state_name(s->core.state)),
			  LOG_C("done", refuse ? "refused" : "nothing"));
	s->pipelined_early = true;
	if (!refuse)
		return false;
	smtp_server_refuse_group(&s->core);
	begin_close(s);
	return true;
}

static bool is_sync(const struct smtp_session *s, enum smtp_wish wish)
{
	return wish == SMTP_WISH_SYNC || wish == SMTP_WISH_VERIFY || wish == SMTP_WISH_AUTH ||
	       wish == SMTP_WISH_AUTH_STEP || wish == SMTP_WISH_STARTTLS ||
	       (!s->core.esmtp &&
		(wish == SMTP_WISH_MAIL || wish == SMTP_WISH_RCPT || wish == SMTP_WISH_RESET));
}

/* One feed.  False when the pump must stop. */
static bool pump_once(struct smtp_session *s)
{
	size_t used_bytes;
	bool more;
	enum smtp_wish wish = feed(s, &used_bytes, &more);

	if (wish == SMTP_WISH_CONTENT)
		smtp_incoming_content(s);
	else if (wish == SMTP_WISH_AUTH || wish == SMTP_WISH_AUTH_STEP)
		on_auth(s, wish == SMTP_WISH_AUTH);
	conn_consume(s->conn, used_bytes);
	if (is_sync(s, wish) && ends_group(s))
		return false;
	switch (wish) {
	case SMTP_WISH_INPUT:
		return more;
	case SMTP_WISH_SYNC:
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

static void pump(struct smtp_session *s)
{
	if (s->greeting_due && !s->close_wanted) {
		s->early = s->early || conn_input(s->conn).n > 0;
		return;
	}
	if (s->pumping || s->dead || s->closing || s->core.state == SMTP_STATE_TLS || s->conn == NULL)
		return;
	s->pumping = true;
	smtp_server_set_time(&s->core, clock_wall_ms());
	bool was_content = in_content(s);
	uint64_t command_count = s->core.command_count;
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
		uint64_t commands_before = s->core.command_count;
		bool more = pump_once(s);
		keep_pace(s, s->core.command_count - commands_before);
		if (!more) {
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
	if (s->conn != NULL && !s->closing &&
	    (was_content != in_content(s) || command_count != s->core.command_count))
		smtp_session_progress(s);
	if (s->conn != NULL)
		load_note(s->server->load, &s->load);
}

/* Nothing can be said: it would go out in the clear where the client reads TLS. */
static bool in_handshake(const struct smtp_session *s)
{
	return (s->profile->implicit_tls || s->core.state == SMTP_STATE_TLS) && !conn_is_tls(s->conn);
}

/* At a time-out: the peer is slow, but not slower than it may be. */
static bool moves_enough(const struct smtp_session *s)
{
	uint64_t moved = moved_bytes(s) - s->moved_before;
	uint64_t least =
		(uint64_t)s->server->config->limits.data_bytes_per_s_min * (uint64_t)window_ms(s) / 1000;
	bool counts = in_content(s) || conn_output_bytes(s->conn) > 0;

	return counts && moved > 0 && moved >= least;
}

static void on_timeout(struct smtp_session *s)
{
	bool ours = s->slot_count > 0 || s->paced || s->awaits_store || s->greeting_due || s->answer_due ||
		    (s->message != NULL && s->message->pieces_in_flight > 0);

	if (in_handshake(s)) {
		session_end(s, "silent in the handshake");
		return;
	}
	if (ours || moves_enough(s)) {
		smtp_session_progress(s);
		return;
	}
	log_event(LOG_INFO, "timeout", LOG_I("session", s->id), LOG_C("peer", s->peer_ip),
		  LOG_I("unread", conn_output_bytes(s->conn)));
	if (conn_output_bytes(s->conn) > 0) {
		session_end(s, "does not read");
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
		smtp_session_progress(s);
		load_note(s->server->load, &s->load);
		if (s->core.state == SMTP_STATE_TLS)
			smtp_server_tls_started(&s->core);
		else
			smtp_server_greet(&s->core);
		break;
	case CONN_INPUT:
		pump(s);
		break;
	case CONN_DRAINED:
		load_note(s->server->load, &s->load);
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
			.idle_count_max = config->limits.idle_count_max,
			.refused_rcpt_count_max = config->limits.refused_rcpt_count_max,
			.strict_submission = submission && config->submission_strict,
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

/* A stranger is watched until the greeting is out: one that speaks before it does not speak SMTP (RFC 5321 4.3.1). */
static void begin_greeting(struct smtp_session *s, enum service service)
{
	int64_t delay_ms = s->server->config->limits.greeting_delay_ms;
	char byte;

	if (service != SERVICE_SMTP || s->trusted) {
		smtp_server_greet(&s->core);
		return;
	}
	s->greeting_due = true;
	s->early = recv(conn_fd(s->conn), &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
	if (delay_ms > 0)
		pause_ms(s, delay_ms);
	else
		greet(s);
}

static size_t held_bytes(void *ctx)
{
	const struct smtp_session *s = ctx;
	size_t bytes = conn_held_bytes(s->conn) + s->owed_bytes;

	if (in_handshake(s))
		bytes += LOAD_HANDSHAKE_BYTES;
	if (s->message != NULL)
		bytes += s->message->content.room + s->message->recipient_bytes;
	return bytes;
}

static void end_for_memory(void *ctx)
{
	struct smtp_session *s = ctx;

	log_event(LOG_INFO, "session-ended-for-memory", LOG_I("session", s->id), LOG_C("peer", s->peer_ip),
		  LOG_I("held", s->load.noted_bytes));
	if (conn_output_bytes(s->conn) == 0 && !in_handshake(s) && s->slot_count == 0) {
		smtp_server_close(&s->core, SMTP_CLOSE_BUSY);
		conn_finish(s->conn);
		s->conn = NULL;
	}
	session_end(s, "held too much");
}

void smtp_session_start(struct server *server, enum service service, int fd, const struct addr *peer)
{
	const struct smtp_profile *profile = server->profiles[service];

	struct gate_pass *pass = gate_enter(server, service, fd, peer);

	if (pass == NULL)
		return;
	struct smtp_session *s = calloc(1, sizeof(*s));
	if (s == NULL)
		abort();
	s->server = server;
	s->profile = profile;
	s->settings = settings_use(server);
	s->id = server_next_session();
	TAILQ_INIT(&s->slots);
	(void)addr_format_ip(peer, s->peer_ip);
	s->trusted = gate_trusts(server->config, peer);
	s->conn = gate_conn(pass, server->loop, fd, on_conn, s);
	smtp_server_init(&s->core, &profile->core, (struct smtp_output){ .emit = smtp_slot_emit, .ctx = s },
			 profile->implicit_tls);
	TAILQ_INSERT_TAIL(&sessions, s, next);
	session_count++;
	s->load = (struct load_member){ .held = held_bytes, .end = end_for_memory, .ctx = s };
	load_join(server->load, &s->load);
	log_event(LOG_DEBUG, "session-start", LOG_I("session", s->id),
		  LOG_C("service", service_name(service)), LOG_C("peer", s->peer_ip));
	if (profile->implicit_tls) {
		start_tls(s);
	} else {
		smtp_session_progress(s);
		begin_greeting(s, service);
	}
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
