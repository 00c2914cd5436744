#include "reference-server/drive/smtp_session_parts.h"

#include "base/log.h"
#include "base/random.h"
#include "reference-server/core/mutant.h"
#include "reference-server/core/trace.h"
#include "reference-server/core/utf8.h"
#include "reference-server/drive/relay.h"
#include "reference-server/store/body.h"
#include "reference-server/store/queue.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct piece {
	struct smtp_incoming *message;
	struct buf bytes;
};

/* ---- content goes to the store ---- */

static void unref(struct smtp_incoming *m)
{
	assert(m->refs > 0);
	if (--m->refs > 0)
		return;
	envelope_free(m->envelope);
	direct_release(&m->direct);
	buf_free(&m->content);
	free(m);
}

struct smtp_incoming *smtp_incoming_new(struct smtp_session *s)
{
	struct smtp_incoming *m = calloc(1, sizeof(*m));
	if (m == NULL)
		abort();
	*m = (struct smtp_incoming){
		.server = s->server, .session = s, .refs = 1, .envelope = envelope_new()
	};
	return m;
}

void smtp_incoming_drop(struct smtp_incoming *m)
{
	if (m == NULL)
		return;
	if (m->streamed_bytes > 0)
		body_discard(m->server->store, m->envelope->body_id, NULL, NULL);
	m->session = NULL;
	unref(m);
}

/*
 * Those whose content waits because all of it together, of all sessions, is
 * limits.unacknowledged_size on its way to the disk.
 */
static TAILQ_HEAD(smtp_waiting, smtp_session) waiting = TAILQ_HEAD_INITIALIZER(waiting);

static bool store_is_behind(const struct server *server)
{
	return server->unacknowledged_bytes >= server->config->limits.unacknowledged_bytes_max;
}

bool smtp_incoming_must_wait(struct smtp_session *s)
{
	const struct smtp_incoming *m = s->message;

	if (m == NULL)
		return false;
	if (m->pieces_in_flight >= SMTP_PIECES_IN_FLIGHT_MAX)
		return true;
	if (buf_bytes(&m->content) + LOOP_SCRATCH_BYTES <= SMTP_PIECE_BYTES || !store_is_behind(s->server))
		return false;
	if (!s->awaits_store)
		TAILQ_INSERT_TAIL(&waiting, s, next_waiting);
	s->awaits_store = true;
	return true;
}

void smtp_incoming_forget(struct smtp_session *s)
{
	if (s->awaits_store)
		TAILQ_REMOVE(&waiting, s, next_waiting);
	s->awaits_store = false;
}

/* Something has become durable.  Whoever finds the store behind again goes back to the end of the line. */
static void wake_waiting(const struct server *server)
{
	struct smtp_session *last = TAILQ_LAST(&waiting, smtp_waiting), *s;

	while ((s = TAILQ_FIRST(&waiting)) != NULL && !store_is_behind(server)) {
		smtp_incoming_forget(s);
		smtp_session_unstall(s);
		if (s == last)
			break;
	}
}

static void on_piece_stored(void *ctx, int result)
{
	struct piece *p = ctx;
	struct smtp_incoming *m = p->message;

	m->pieces_in_flight--;
	m->server->unacknowledged_bytes -= SMTP_PIECE_BYTES;
	if (result != 0 && m->error == 0)
		m->error = result;
	buf_free(&p->bytes);
	free(p);
	if (m->session != NULL)
		smtp_session_unstall(m->session);
	wake_waiting(m->server);
	unref(m);
}

/* The content that has come is a whole piece, and goes as it is. */
static void stream_piece(struct smtp_incoming *m)
{
	struct piece *p = calloc(1, sizeof(*p));
	if (p == NULL)
		abort();

	assert(buf_bytes(&m->content) == SMTP_PIECE_BYTES);
	p->message = m;
	p->bytes = m->content;
	m->content = (struct buf){ 0 };
	(void)buf_reserve(&m->content, SMTP_PIECE_BYTES); /* there is more to come */
	if (m->envelope->body_id == 0)
		m->envelope->body_id = store_new_id(m->server->store);
	m->refs++;
	m->pieces_in_flight++;
	m->server->unacknowledged_bytes += SMTP_PIECE_BYTES;
	uint64_t offset = m->streamed_bytes;
	m->streamed_bytes += SMTP_PIECE_BYTES;
	body_append(m->server->store, m->envelope->body_id, offset, buf_span(&p->bytes), on_piece_stored, p);
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

/* What mutants do to content; nothing else does anything to it. */
static void change_for_mutants(const struct smtp_session *s, struct buf *content)
{
	if (MUTANT(SMTP_SEVEN_BITS))
		mutant_seven_bits(content, 0);
	if (MUTANT(SUBMIT_FOLDS_ADDRESSES) && s->profile->core.role == SMTP_ROLE_SUBMISSION)
		mutant_small_letters(content, 0);
	if (MUTANT(SMTP_CHANGES_RECEIVED))
		mutant_one_letter(content, "Receiv", 0, 'r');
	if (MUTANT(SMTP_ESCAPES_FROM))
		mutant_one_letter(content, "\nFrom ", 1, '>');
}

void smtp_incoming_content(struct smtp_session *s)
{
	struct smtp_incoming *m = s->message;

	if (m->error != 0) {
		smtp_server_refuse_content(&s->core, answer_for(m->error));
		return;
	}
	for (struct span rest = s->core.run; rest.n > 0;) {
		if (buf_bytes(&m->content) == SMTP_PIECE_BYTES)
			stream_piece(m);
		struct span part = span_sub(rest, 0, SMTP_PIECE_BYTES - buf_bytes(&m->content));
		buf_add(&m->content, part);
		change_for_mutants(s, &m->content);
		rest = span_sub(rest, part.n, rest.n);
	}
}

/* ---- the store has the message, or has not ---- */

static void log_queued(const struct smtp_incoming *m, uint64_t session_id)
{
	char id[STORE_ID_TEXT_BYTES];
	const struct envelope *e = m->envelope;

	log_event(LOG_INFO, "queued", LOG_C("id", store_id_text(e->id, id)), LOG_I("session", session_id),
		  LOG_C("from", e->reverse_path), LOG_I("rcpts", e->recipient_count),
		  LOG_I("bytes", buf_bytes(&e->prefix) + e->body_bytes));
}

/* Gives the message to the relay, unless all of it is in mailboxes. */
static void hand_over(struct smtp_incoming *m)
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
	struct smtp_incoming *m = ctx;
	struct server *server = m->server;
	struct smtp_session *s = m->session;
	struct smtp_slot *slot = m->slot;
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
	unref(m);
	if (s != NULL)
		smtp_slot_fill(s, slot, reply_count, answer_for(result), span_of(id));
	wake_waiting(server);
}

/* For one recipient only (RFC 5321 4.4, 7.6). */
static struct span path_told(const struct envelope *e, char *text, size_t text_bytes)
{
	if (e->recipient_count == 1)
		return span_of(e->recipients[0].original);
	if (!MUTANT(RECEIVED_MANY_FOR))
		return (struct span){ NULL, 0 };
	(void)snprintf(text, text_bytes, "%s>,<%s", e->recipients[0].original, e->recipients[1].original);
	return span_of(text);
}

/* RFC 8314 4.3 speaks of submission; of mail between servers it would tell as much. */
static struct span tls_suite(const struct smtp_session *s)
{
	bool tells = s->profile->core.role == SMTP_ROLE_SUBMISSION && s->core.tls && !MUTANT(RECEIVED_NO_TLS);
	const char *suite = tells && s->conn != NULL && conn_is_tls(s->conn) ? conn_tls_suite(s->conn) : NULL;

	return suite != NULL ? span_of(suite) : (struct span){ NULL, 0 };
}

/* The work of a mutant: who is named in the header gets the message, too. */
static void route_by_header(struct smtp_incoming *m)
{
	static const char field[] = "\r\nApparently-To: <";
	struct span content = buf_span(&m->content);
	const char *at = content.n > 0 ? memmem(content.p, content.n, field, sizeof(field) - 1) : NULL;

	if (at == NULL)
		return;
	struct span path = span_sub(content, (size_t)(at - content.p) + sizeof(field) - 1, content.n);
	path = span_sub(path, 0, span_find(path, '>'));
	(void)envelope_add_recipient(m->envelope, path, path);
}

static void add_trace(struct smtp_session *s, struct smtp_incoming *m)
{
	struct envelope *e = m->envelope;
	char id[STORE_ID_TEXT_BYTES];
	char for_text[600];

	if (!MUTANT(SMTP_NO_RECEIVED))
		trace_add_received(&e->prefix, &(struct trace_received){
						       .helo = s->core.helo,
						       .client_ip = span_of(s->peer_ip),
						       .by_host = s->profile->core.host,
						       .protocol = smtp_server_protocol(&s->core),
						       .id = span_of(store_id_text(e->id, id)),
						       .rcpt = path_told(e, for_text, sizeof(for_text)),
						       .tls_suite = tls_suite(s),
						       .time_ms = e->arrival_wall_ms,
					       });
	for (uint32_t i = 0; i < e->recipient_count && MUTANT(SMTP_SHOWS_RECIPIENTS); i++)
		buf_addf(&e->prefix, "X-Rcpt-To: %s\r\n", e->recipients[i].original);
	if (MUTANT(SMTP_ROUTES_BY_HEADER))
		route_by_header(m);
	if (MUTANT(SMTP_APPARENTLY_TO))
		buf_addf(&e->prefix, "Apparently-To: <%s>\r\n", e->recipients[0].original);
	if (s->profile->core.role != SMTP_ROLE_SUBMISSION)
		return;
	if (MUTANT(SUBMIT_ODD_SENDER))
		buf_add_cstr(&e->prefix, "Sender: somebody\r\n");
	/* RFC 6409 8.2, 8.3: a submission server may supply what is missing; a relay may not. */
	if (!header_has(&s->core.header, HEADER_DATE))
		trace_add_date(&e->prefix, e->arrival_wall_ms);
	if (!header_has(&s->core.header, HEADER_MESSAGE_ID) && !MUTANT(SMTP_NO_MESSAGE_ID)) {
		struct buf message_id = { 0 };
		uint64_t unique = random_u64();
		trace_add_new_message_id(&message_id, e->arrival_wall_ms,
					 (struct span){ (const char *)&unique, sizeof(unique) },
					 s->profile->core.host);
		trace_add_message_id(&e->prefix, buf_span(&message_id));
		buf_free(&message_id);
	}
}

/* RFC 6531 3.4: asked for, but nothing of the message needs it, which is then better not said on. */
static bool needs_utf8(const struct envelope *e)
{
	bool needs = (e->flags & ENVELOPE_CONTENT_8BIT) != 0 || !utf8_is_ascii(span_of(e->reverse_path));

	for (uint32_t i = 0; i < e->recipient_count && !needs; i++)
		needs = !utf8_is_ascii(span_of(e->recipients[i].address)) ||
			!utf8_is_ascii(span_of(e->recipients[i].original)) ||
			!utf8_is_ascii(span_of(e->recipients[i].orcpt));
	return needs;
}

/* What the content and the clock make of the wishes in the envelope. */
static void settle_wishes(struct envelope *e, const struct smtp_server *core)
{
	if ((core->content.facts & CONTENT_8BIT) != 0)
		e->flags |= ENVELOPE_CONTENT_8BIT;
	if (header_has(&core->header, HEADER_RETURN_PATH) && !MUTANT(SMTP_OLD_RETURN_PATH))
		e->flags |= ENVELOPE_RETURN_PATH;
	if ((e->flags & ENVELOPE_SMTPUTF8) != 0 && !needs_utf8(e))
		e->flags &= ~(uint32_t)ENVELOPE_SMTPUTF8;
	/* RFC 8689 4.1: the header field counts where MAIL did not say it. */
	if (MUTANT(RELAY_FIELD_WAIVES_REQUIRETLS) && header_waives_tls(&core->header))
		e->flags &= ~(uint32_t)ENVELOPE_REQUIRETLS;
	if ((e->flags & ENVELOPE_REQUIRETLS) == 0 && header_waives_tls(&core->header) &&
	    !MUTANT(RELAY_TLS_OPTIONAL_UNHEARD))
		e->flags |= ENVELOPE_TLS_OPTIONAL;
	if (e->release_wall_ms > e->due_wall_ms)
		e->due_wall_ms = e->release_wall_ms;
}

void smtp_incoming_message(struct smtp_session *s)
{
	struct smtp_incoming *m = s->message;
	struct envelope *e = m->envelope;
	struct server *server = s->server;

	s->message = NULL;
	e->id = store_new_id(server->store);
	e->arrival_wall_ms = e->due_wall_ms = clock_wall_ms();
	e->body_bytes = s->core.content.content_bytes;
	assert(e->body_bytes == m->streamed_bytes + buf_bytes(&m->content));
	settle_wishes(e, &s->core);
	add_trace(s, m);
	m->slot = smtp_slot_reserve(s, m);
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
