#include "reference-server/drive/smtp_out.h"

#include "base/conn.h"
#include "base/log.h"
#include "reference-server/drive/content_job.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
	OUTPUT_BYTES_MAX = 256 * 1024, /* of content waiting for the kernel */
	PIECE_BYTES = 64 * 1024,       /* given to the client at a time */
	READ_BYTES = 256 * 1024,       /* of a body, from the store */
};

struct smtp_out {
	struct server *server;
	struct settings *settings;   /* as of the last connecting: name and TLS policy are of these */
	const struct config *config; /* of those */
	struct smtp_out_owner owner;
	struct targets *targets;
	uint32_t target_index;
	enum tls_wish wish;   /* of all its messages */
	struct tls_plan plan; /* for the present target */
	struct tls_check check;
	struct conn *conn;
	struct smtp_client client;
	struct buf out;
	struct handover *sending; /* whose content goes out now; the oldest in the client */
	struct handover *in_flight[2];
	uint64_t sent_bytes; /* of its content */
	bool connecting;
	bool ready; /* has been at least once */
	bool idle;
	bool without_tls;        /* the handshake failed once with this target */
	bool failed_temporarily; /* one target at least */
	bool finishing;
	bool quitting;
	bool content_blocked;       /* until CONN_DRAINED, or content was read */
	struct handover *preparing; /* to be started once its content is as this server needs it */
	struct content_job *conversion;
	struct content_job *reading; /* the content that is sent next */
	struct handover *read_for;   /* whose it is */
	bool read_done;
	bool pumping;
	bool dead;
	struct loop_member ended; /* when dead: freed with the loop, should its task not run any more */
	uint32_t message_count;
	struct smtp_result failure;
	struct task *task; /* connects to the next target, or frees */
};

static void on_conn(void *ctx, enum conn_event event);
static void pump(struct smtp_out *o);
static void refuse_target(struct smtp_out *o);
static void on_read(void *ctx, struct content_job *j);
static void on_converted(void *ctx, struct content_job *j);

static void destroy(void *ctx)
{
	struct smtp_out *o = ctx;

	loop_leave(o->server->loop, &o->ended);
	content_job_free(o->conversion);
	content_job_free(o->reading);
	conn_free(o->conn);
	task_free(o->task);
	buf_free(&o->out);
	targets_release(o->targets);
	settings_release(o->settings);
	free(o);
}

/* Never started: as good as untouched. */
static void hand_back_prepared(struct smtp_out *o)
{
	struct handover *d = o->preparing;
	struct smtp_result r;

	if (d == NULL)
		return;
	o->preparing = NULL;
	smtp_result_set_own(&r, SMTP_CLASS_NOT_TRIED, SMTP_STAGE_MAIL, 4, 2,
			    "the connection was lost before the message's turn");
	handover_set_all(d, &r);
	o->owner.on_result(o->owner.ctx, o, d);
}

static void end(struct smtp_out *o)
{
	if (o->dead)
		return;
	hand_back_prepared(o);
	o->dead = true;
	o->ended = (struct loop_member){ .free_fn = destroy, .ctx = o };
	loop_join(o->server->loop, &o->ended);
	task_schedule(o->task); /* frees it: callers further up may still look at o */
	o->owner.on_end(o->owner.ctx, o, o->ready ? NULL : &o->failure);
}

static const struct target *target(const struct smtp_out *o)
{
	return &o->targets->list[o->target_index];
}

static const struct target_host *host(const struct smtp_out *o)
{
	return &o->targets->hosts[target(o)->host_index];
}

/* ---- how to be protected ---- */

static void make_plan(struct smtp_out *o)
{
	const struct config_outbound *c = &o->config->outbound;
	const struct target_host *h = host(o);
	const struct tls_rule *rule =
		tls_rule_find(c->tls_rules, c->tls_rule_count, span_of(o->targets->domain));

	o->plan = tls_plan_make(rule, c->tls,
				&(struct tls_facts){ .host = span_of(h->name),
						     .from_mx = h->from_mx,
						     .mx_is_secure = o->targets->mx_is_secure,
						     .dane = h->dane,
						     .wish = o->wish });
	o->check = (struct tls_check){ .name = h->name, .only_told = o->plan.proof_is_only_told };
	if (o->plan.uses_pins) {
		o->check.pins = rule->pins;
		o->check.pin_count = rule->pin_count;
	}
	switch (o->plan.proof) {
	case TLS_PROOF_NONE:
		break;
	case TLS_PROOF_CHAIN:
		o->check.kind = TLS_CHECK_CHAIN;
		break;
	case TLS_PROOF_DANE: /* RFC 7672 3.2.2 */
		o->check.kind = TLS_CHECK_DANE;
		o->check.name = h->dane_name;
		o->check.records = h->records;
		o->check.record_count = h->record_count;
		o->check.other_names[0] = o->targets->domain;
		if (o->targets->domain_expanded[0] != '\0')
			o->check.other_names[1] = o->targets->domain_expanded;
		break;
	}
}

/* In mode testing mail goes all the same, and whoever reads the log hears what enforce would have done. */
static void tell_violation(const struct smtp_out *o, const char *text)
{
	log_event(LOG_WARN, "tls-policy-testing", LOG_C("destination", o->targets->domain),
		  LOG_C("host", host(o)->name), LOG_C("text", text));
}

static void use_settings(struct smtp_out *o)
{
	settings_release(o->settings);
	o->settings = settings_use(o->server);
	o->config = o->server->config;
}

static void connect_to_target(struct smtp_out *o)
{
	use_settings(o);
	make_plan(o);
	if (o->plan.refused != NULL) {
		refuse_target(o);
		return;
	}
	const struct config_outbound *c = &o->config->outbound;
	const struct addr *bind_to =
		c->bind.n > 0 && c->bind.ss.ss_family == target(o)->at.ss.ss_family ? &c->bind : NULL;

	buf_reset(&o->out);
	o->connecting = true;
	o->conn =
		conn_connect(&(struct conn_options){ .loop = o->server->loop, .on_event = on_conn, .ctx = o },
			     &target(o)->at, bind_to);
	conn_set_timeout_ms(o->conn, c->connect_timeout_ms);
}

static void on_task(void *ctx)
{
	struct smtp_out *o = ctx;
	if (o->dead)
		destroy(o);
	else
		connect_to_target(o);
}

static void log_unusable(struct smtp_out *o)
{
	char at[56];
	log_event(LOG_INFO, "host-unusable", LOG_C("host", host(o)->name),
		  LOG_C("at", addr_format(&target(o)->at, at)),
		  LOG_C("stage", smtp_stage_name(o->failure.stage)), LOG_I("code", o->failure.code),
		  LOG_S("text", smtp_result_text(&o->failure)));
}

/* This address cannot be used: the next one, or the end.  o->failure says why. */
static void give_up_target(struct smtp_out *o)
{
	conn_free(o->conn);
	o->conn = NULL;
	if (o->failure.class_ == SMTP_CLASS_TEMPORARY)
		o->failed_temporarily = true;
	log_unusable(o);
	bool tls_failed = o->failure.stage == SMTP_STAGE_TLS;
	if (tls_failed && o->plan.policy == TLS_POLICY_MAY && !o->without_tls) {
		o->without_tls = true;
	} else {
		o->without_tls = false;
		o->target_index++;
	}
	if (o->target_index < o->targets->count)
		task_schedule(o->task);
	else {
		/* A message is refused for good only when every host says so. */
		if (o->failed_temporarily)
			o->failure.class_ = SMTP_CLASS_TEMPORARY;
		end(o);
	}
}

static void fail_connect(struct smtp_out *o, struct span text, uint16_t detail)
{
	smtp_result_set(&o->failure, SMTP_CLASS_TEMPORARY, SMTP_STAGE_CONNECT, 0,
			(struct smtp_status){ .class_digit = 4, .subject = 4, .detail = detail }, text);
	give_up_target(o);
}

/* The policy forbids it. */
static void refuse_target(struct smtp_out *o)
{
	struct buf text = { 0 };

	buf_addf(&text, "%s: %s", host(o)->name, o->plan.refused);
	if (o->wish == TLS_WISH_REQUIRED)
		smtp_result_set(&o->failure, SMTP_CLASS_PERMANENT, SMTP_STAGE_CONNECT, 0,
				(struct smtp_status){ 5, 7, 10 }, buf_span(&text));
	else
		smtp_result_set(&o->failure, SMTP_CLASS_TEMPORARY, SMTP_STAGE_CONNECT, 0,
				(struct smtp_status){ 4, 7, 0 }, buf_span(&text));
	buf_free(&text);
	give_up_target(o);
}

static enum smtp_client_tls client_tls(const struct smtp_out *o)
{
	if (o->without_tls)
		return SMTP_CLIENT_TLS_NONE;
	switch (o->plan.policy) {
	case TLS_POLICY_NONE:
		return SMTP_CLIENT_TLS_NONE;
	case TLS_POLICY_MAY:
		return SMTP_CLIENT_TLS_MAY;
	case TLS_POLICY_REQUIRE:
	case TLS_POLICY_VERIFY:
		break;
	}
	return SMTP_CLIENT_TLS_REQUIRE;
}

static void begin(struct smtp_out *o)
{
	o->connecting = false;
	smtp_client_init(&o->client, &(struct smtp_client_options){
					     .out = &o->out,
					     .local_name = span_of(o->config->hostname),
					     .tls = client_tls(o),
					     .tls_verified = o->plan.proves_host,
					     .only_require_tls = o->wish == TLS_WISH_REQUIRED,
					     .lmtp = o->targets->lmtp,
				     });
	pump(o);
}

/* ---- deliveries ---- */

static_assert(SMTP_NOTIFY_NEVER == (int)NOTIFY_NEVER && SMTP_NOTIFY_SUCCESS == (int)NOTIFY_SUCCESS &&
		      SMTP_NOTIFY_FAILURE == (int)NOTIFY_FAILURE && SMTP_NOTIFY_DELAY == (int)NOTIFY_DELAY,
	      "the queue and the protocol say it alike");

static enum smtp_ret wanted_return(const struct envelope *e)
{
	if (e->flags & ENVELOPE_RET_FULL)
		return SMTP_RET_FULL;
	return e->flags & ENVELOPE_RET_HDRS ? SMTP_RET_HDRS : SMTP_RET_UNSAID;
}

/* It goes on now, or comes back with a verdict. */
static void start(struct smtp_out *o, struct handover *d)
{
	const struct envelope *e = d->message->envelope;
	bool converted = buf_bytes(&d->converted) > 0;
	uint32_t flags = converted ? 0 : e->flags;
	uint32_t has = smtp_client_extensions(&o->client);
	bool utf8 = (e->flags & ENVELOPE_SMTPUTF8) != 0 && (has & SMTP_EXT_SMTPUTF8) != 0;
	int64_t by_ms = e->deliver_by_wall_ms - clock_wall_ms();
	struct span reverse_path = span_of(e->reverse_path);

	if (d->results == NULL)
		d->results = calloc(d->rcpt_count, sizeof(*d->results));
	if (d->results == NULL)
		abort();
	o->in_flight[o->in_flight[0] == NULL ? 0 : 1] = d;
	o->message_count++;
	o->idle = false;
	handover_wish(d, e->deliver_by_wall_ms != 0 && by_ms > 0 && (has & SMTP_EXT_DELIVERBY) == 0);
	if ((e->flags & ENVELOPE_SMTPUTF8) != 0 && !utf8)
		reverse_path = handover_use_ascii(d);
	smtp_client_start(
		&o->client,
		&(struct smtp_client_message){
			.tag = d,
			.reverse_path = reverse_path,
			.rcpts = d->rcpts,
			.results = d->results,
			.rcpt_count = d->rcpt_count,
			.content_bytes = converted ? buf_bytes(&d->converted) : message_bytes(d->message),
			.content_8bit = (flags & ENVELOPE_CONTENT_8BIT) != 0,
			.content_binary = (flags & ENVELOPE_BINARYMIME) != 0,
			.utf8 = utf8,
			.envid = span_of(e->envid),
			.ret = wanted_return(e),
			.wishes = d->wishes,
			/* A notification is rather sent in clear text than lost (RFC 8689 5). */
			.require_tls = envelope_requires_tls(e),
			.prefer_tls = (e->flags & ENVELOPE_REQUIRETLS) != 0,
			.has_by = e->deliver_by_wall_ms != 0,
			.by_return = (e->flags & ENVELOPE_BY_RETURN) != 0,
			.by_trace = (e->flags & ENVELOPE_BY_TRACE) != 0,
			.by_s = by_ms / 1000,
		});
}

/* Its content does not pass as it is (RFC 6152 3, RFC 3030 3, RFC 6531 3.6). */
static bool needs_conversion(const struct smtp_out *o, const struct envelope *e)
{
	uint32_t has = smtp_client_extensions(&o->client);
	uint32_t binary = SMTP_EXT_CHUNKING | SMTP_EXT_BINARYMIME;

	if ((e->flags & ENVELOPE_BINARYMIME) != 0 && (has & binary) != binary)
		return true;
	if ((e->flags & ENVELOPE_CONTENT_8BIT) == 0)
		return false;
	return (has & SMTP_EXT_8BITMIME) == 0 ||
	       ((e->flags & ENVELOPE_SMTPUTF8) != 0 && (has & SMTP_EXT_SMTPUTF8) == 0);
}

/* It has done its part; whoever comes next gets a new one, under the policy that counts by then. */
static bool is_done(const struct smtp_out *o)
{
	return o->finishing || o->message_count >= o->config->outbound.messages_per_connection_max ||
	       smtp_client_is_spent(&o->client) || o->config != o->server->config;
}

static bool start_next(struct smtp_out *o)
{
	if (o->conversion != NULL)
		return false;
	if (o->preparing != NULL) {
		struct handover *prepared = o->preparing;
		o->preparing = NULL;
		start(o, prepared);
		return true;
	}
	if (is_done(o))
		return false;
	struct handover *d = o->owner.next(o->owner.ctx, o);
	if (d == NULL)
		return false;
	if (needs_conversion(o, d->message->envelope) && buf_bytes(&d->converted) == 0) {
		o->preparing = d;
		o->conversion = content_job_convert(o->server, d->message, on_converted, o);
		return false;
	}
	start(o, d);
	return true;
}

static void stop_reading(struct smtp_out *o);

static void on_done(struct smtp_out *o)
{
	struct smtp_client_message m = smtp_client_take_done(&o->client);
	struct handover *d = m.tag;

	assert(o->in_flight[0] == d);
	o->in_flight[0] = o->in_flight[1];
	o->in_flight[1] = NULL;
	if (o->sending == d)
		o->sending = NULL;
	if (o->read_for == d)
		stop_reading(o);
	char at[56];
	(void)snprintf(d->remote_mta, sizeof(d->remote_mta), "%s [%s]", host(o)->name,
		       addr_format_ip(&target(o)->at, at));
	d->peer_keeps_time = (smtp_client_extensions(&o->client) & SMTP_EXT_DELIVERBY) != 0;
	d->peer_notifies = (smtp_client_extensions(&o->client) & SMTP_EXT_DSN) != 0;
	o->owner.on_result(o->owner.ctx, o, d);
}

static void on_read(void *ctx, struct content_job *j)
{
	struct smtp_out *o = ctx;

	assert(o->reading == j);
	o->read_done = true;
	o->content_blocked = false;
	pump(o);
}

static void stop_reading(struct smtp_out *o)
{
	content_job_free(o->reading);
	o->reading = NULL;
	o->read_for = NULL;
}

enum content { CONTENT_HERE, CONTENT_LATER, CONTENT_LOST };

/* Body bytes from the store, read by a helper. */
static enum content read_body(struct smtp_out *o, struct handover *d, uint64_t offset, struct span *ret_bytes,
			      int *ret_rc)
{
	struct content_job *j = o->reading;

	if (j != NULL && o->read_for == d && !o->read_done)
		return CONTENT_LATER;
	if (j != NULL && o->read_for == d && j->rc != 0) {
		*ret_rc = j->rc;
		stop_reading(o);
		return CONTENT_LOST;
	}
	if (j != NULL && o->read_for == d && offset >= j->offset &&
	    offset - j->offset < buf_bytes(&j->bytes)) {
		*ret_bytes =
			span_sub(buf_span(&j->bytes), (size_t)(offset - j->offset), buf_bytes(&j->bytes));
		return CONTENT_HERE;
	}
	stop_reading(o);
	o->read_for = d;
	o->read_done = false;
	o->reading = content_job_read(o->server, d->message, offset, READ_BYTES, on_read, o);
	return CONTENT_LATER;
}

static enum content peek_content(struct smtp_out *o, struct handover *d, uint64_t offset,
				 struct span *ret_bytes, int *ret_rc)
{
	const struct message *m = d->message;
	uint64_t prefix_bytes = buf_bytes(&m->envelope->prefix);

	if (buf_bytes(&d->converted) > 0) {
		*ret_bytes = span_sub(buf_span(&d->converted), (size_t)offset, buf_bytes(&d->converted));
		return CONTENT_HERE;
	}
	if (offset >= prefix_bytes && !m->in_memory && offset < message_bytes(m))
		return read_body(o, d, offset - prefix_bytes, ret_bytes, ret_rc);
	*ret_rc = message_peek(m, o->server->store, offset, NULL, 0, ret_bytes);
	return *ret_rc == 0 ? CONTENT_HERE : CONTENT_LOST;
}

/* Gives content until the output is full or there is no more. */
static void send_content(struct smtp_out *o)
{
	struct handover *d = o->in_flight[0];

	assert(d != NULL);
	if (o->sending != d) {
		o->sending = d;
		o->sent_bytes = 0;
	}
	uint64_t total_bytes =
		buf_bytes(&d->converted) > 0 ? buf_bytes(&d->converted) : message_bytes(d->message);
	for (;;) {
		struct span bytes = { NULL, 0 };
		int rc = 0;
		if (buf_bytes(&o->out) + conn_output_bytes(o->conn) > OUTPUT_BYTES_MAX) {
			o->content_blocked = true;
			return;
		}
		switch (peek_content(o, d, o->sent_bytes, &bytes, &rc)) {
		case CONTENT_HERE:
			break;
		case CONTENT_LATER:
			o->content_blocked = true;
			return;
		case CONTENT_LOST:
			smtp_client_abort_content(&o->client, span_of(strerror(-rc)));
			return;
		}
		bytes = span_sub(bytes, 0, PIECE_BYTES);
		o->sent_bytes += bytes.n;
		if (!smtp_client_content(&o->client, bytes, o->sent_bytes == total_bytes))
			return;
	}
}

/* ---- the conversation ---- */

static void flush(struct smtp_out *o)
{
	if (o->conn != NULL && buf_bytes(&o->out) > 0) {
		conn_write(o->conn, buf_span(&o->out));
		buf_reset(&o->out);
	}
}

static void set_timeout(struct smtp_out *o)
{
	const struct config_outbound *c = &o->server->config->outbound;
	enum smtp_stage stage = smtp_client_stage(&o->client);

	if (stage == SMTP_STAGE_IDLE && o->preparing == NULL)
		conn_set_timeout_ms(o->conn, c->idle_ms > 0 ? c->idle_ms : 1);
	else
		conn_set_timeout_ms(o->conn, c->reply_timeout_ms > 0 ? c->reply_timeout_ms
								     : smtp_stage_timeout_ms(stage));
}

static void on_closed(struct smtp_out *o)
{
	const struct smtp_result *why = smtp_client_closed(&o->client);

	flush(o);
	if (o->ready) {
		conn_finish(o->conn);
		o->conn = NULL;
		end(o);
		return;
	}
	o->failure = *why;
	if (o->conn != NULL)
		conn_finish(o->conn);
	o->conn = NULL;
	give_up_target(o);
}

static void on_ready(struct smtp_out *o)
{
	if (!o->ready) {
		o->ready = true;
		if (o->plan.testing && !smtp_client_is_tls(&o->client))
			tell_violation(o, "there is no TLS");
		if (o->plan.told != NULL)
			tell_violation(o, o->plan.told);
		o->owner.on_ready(o->owner.ctx, o);
	}
	if (start_next(o) || o->preparing != NULL)
		return;
	if (is_done(o) || o->config->outbound.idle_ms == 0) {
		o->quitting = true;
		smtp_client_quit(&o->client);
		return;
	}
	o->idle = true;
}

/* One wish.  False when the pump must stop. */
static bool pump_once(struct smtp_out *o)
{
	size_t used_bytes;
	enum smtp_client_wish wish = smtp_client_feed(&o->client, conn_input(o->conn), &used_bytes);

	conn_consume(o->conn, used_bytes);
	switch (wish) {
	case SMTP_CLIENT_WANT_INPUT:
		if (smtp_client_can_start(&o->client) && o->ready && start_next(o))
			return true;
		return false;
	case SMTP_CLIENT_START_TLS:
		flush(o);
		(void)conn_start_tls_checked(o->conn, o->server->tls_out, &o->check);
		return false;
	case SMTP_CLIENT_READY:
		on_ready(o);
		return !o->idle && o->preparing == NULL;
	case SMTP_CLIENT_SEND_CONTENT:
		send_content(o);
		return !o->content_blocked;
	case SMTP_CLIENT_DONE:
		on_done(o);
		return true;
	case SMTP_CLIENT_CLOSED:
		on_closed(o);
		return false;
	case SMTP_CLIENT_WISH_COUNT:
		break;
	}
	abort();
}

static void pump(struct smtp_out *o)
{
	if (o->pumping || o->dead || o->conn == NULL)
		return;
	o->pumping = true;
	while (o->conn != NULL && !o->dead && pump_once(o))
		;
	o->pumping = false;
	if (o->dead || o->conn == NULL)
		return;
	flush(o);
	set_timeout(o);
}

/* Why content cannot be made fit for this next hop.  Another may take it as it is, but nobody waits for that. */
static void refuse_prepared(struct smtp_out *o, const struct content_job *j)
{
	static const struct {
		uint16_t detail;
		const char *text;
	} reasons[] = {
		[CONVERT_HEADER] = { 9, "the header is not ASCII, and the next hop does not offer SMTPUTF8" },
		[CONVERT_SIGNED] = { 3,
				     "a signed part has 8-bit bytes, and the next hop does not take them" },
		[CONVERT_MALFORMED] = { 3, "content has bytes that the next hop does not take, and no MIME "
					   "structure "
					   "that they could be encoded in" },
	};
	struct handover *d = o->preparing;
	struct smtp_result r;

	if (j->rc != 0)
		smtp_result_set(&r, SMTP_CLASS_TEMPORARY, SMTP_STAGE_CONTENT, 0,
				(struct smtp_status){ 4, 3, 0 }, span_of(strerror(-j->rc)));
	else
		smtp_result_set_own(&r, SMTP_CLASS_PERMANENT, SMTP_STAGE_MAIL, 6,
				    reasons[j->converted].detail, reasons[j->converted].text);
	o->preparing = NULL;
	handover_set_all(d, &r);
	o->owner.on_result(o->owner.ctx, o, d);
}

static void on_converted(void *ctx, struct content_job *j)
{
	struct smtp_out *o = ctx;
	struct handover *d = o->preparing;

	assert(o->conversion == j && d != NULL);
	o->conversion = NULL;
	if (j->rc != 0 || j->converted != CONVERT_OK) {
		refuse_prepared(o, j);
	} else {
		d->converted = j->bytes;
		j->bytes = (struct buf){ 0 };
	}
	content_job_free(j);
	pump(o);
}

static void lose(struct smtp_out *o, enum smtp_client_loss loss, struct span text)
{
	smtp_client_lost(&o->client, loss, text);
	pump(o);
}

static void on_conn(void *ctx, enum conn_event event)
{
	struct smtp_out *o = ctx;

	switch (event) {
	case CONN_CONNECTED:
		begin(o);
		break;
	case CONN_SECURED:
		o->server->counters.tls_out++;
		if (conn_tls_fault(o->conn) != NULL)
			tell_violation(o, conn_tls_fault(o->conn));
		smtp_client_tls_done(&o->client, true, (struct span){ NULL, 0 });
		pump(o);
		break;
	case CONN_INPUT:
		o->idle = false;
		pump(o);
		break;
	case CONN_DRAINED:
		if (o->content_blocked) {
			o->content_blocked = false;
			pump(o);
		}
		break;
	case CONN_EOF:
		lose(o, SMTP_CLIENT_LOST_EOF, SPAN_LIT("connection closed by the server"));
		break;
	case CONN_TIMEOUT:
		if (o->connecting) {
			fail_connect(o, SPAN_LIT("connect: timed out"), 1);
		} else if (o->idle) {
			o->idle = false;
			o->quitting = true;
			smtp_client_quit(&o->client);
			pump(o);
		} else {
			lose(o, SMTP_CLIENT_LOST_TIMEOUT, SPAN_LIT("no answer in time"));
		}
		break;
	case CONN_FAILED: {
		struct span text = span_of(conn_error(o->conn)->text);
		if (o->connecting) {
			fail_connect(o, text, 1);
		} else if (smtp_client_stage(&o->client) == SMTP_STAGE_TLS) {
			smtp_client_tls_done(&o->client, false, text);
			pump(o);
		} else {
			lose(o, SMTP_CLIENT_LOST_ERROR, text);
		}
		break;
	}
	}
}

struct smtp_out *smtp_out_new(struct server *server, const struct smtp_out_owner *owner,
			      struct targets *targets, enum tls_wish wish)
{
	assert(targets->count > 0);
	struct smtp_out *o = calloc(1, sizeof(*o));
	if (o == NULL)
		abort();
	o->server = server;
	o->owner = *owner;
	o->targets = targets_use(targets);
	o->wish = wish;
	o->task = task_new(server->loop, on_task, o);
	task_schedule(o->task);
	return o;
}

void smtp_out_poke(struct smtp_out *o)
{
	if (o->conn == NULL || !o->ready)
		return;
	o->idle = false;
	pump(o);
}

bool smtp_out_is_ready(const struct smtp_out *o)
{
	return o->ready;
}

bool smtp_out_is_idle(const struct smtp_out *o)
{
	return o->idle && !o->quitting;
}

void smtp_out_finish(struct smtp_out *o)
{
	o->finishing = true;
	if (o->idle)
		smtp_out_poke(o);
}

void smtp_out_abort(struct smtp_out *o)
{
	assert(!o->pumping);
	handover_free(o->in_flight[0]);
	handover_free(o->in_flight[1]);
	handover_free(o->preparing);
	destroy(o);
}
