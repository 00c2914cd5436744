#include "reference-server/drive/smtp_out.h"

#include "base/conn.h"
#include "base/log.h"
#include "reference-server/core/mutant.h"
#include "reference-server/drive/content_job.h"
#include "reference-server/drive/smtp_out_parts.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void on_conn(void *ctx, enum conn_event event);
static void refuse_target(struct smtp_out *o);

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

static void end(struct smtp_out *o)
{
	if (o->dead)
		return;
	smtp_out_hand_back_prepared(o);
	o->dead = true;
	o->ended = (struct loop_member){ .free_fn = destroy, .ctx = o, .settled = true };
	loop_join(o->server->loop, &o->ended);
	task_schedule(o->task); /* frees it: callers further up may still look at o */
	o->owner.on_end(o->owner.ctx, o, o->ready ? NULL : &o->failure);
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
	smtp_out_make_plan(o);
	if (o->plan.refused != NULL) {
		refuse_target(o);
		return;
	}
	const struct config_outbound *c = &o->config->outbound;
	const struct addr *bind_to =
		c->bind.n > 0 && c->bind.ss.ss_family == smtp_out_target(o)->at.ss.ss_family ? &c->bind
											     : NULL;

	buf_reset(&o->out);
	o->connecting = true;
	o->conn =
		conn_connect(&(struct conn_options){ .loop = o->server->loop, .on_event = on_conn, .ctx = o },
			     &smtp_out_target(o)->at, bind_to);
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
	log_event(LOG_INFO, "host-unusable", LOG_C("host", smtp_out_host(o)->name),
		  LOG_C("at", addr_format(&smtp_out_target(o)->at, at)),
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
	if (tls_failed && MUTANT(RELAY_TLS_FAILURE_RETURNS)) {
		o->failure.class_ = SMTP_CLASS_PERMANENT;
		o->failed_temporarily = false;
		o->target_index = o->targets->count;
	} else if (tls_failed && !o->without_tls &&
		   (o->plan.policy == TLS_POLICY_MAY || MUTANT(RELAY_CLEAR_AFTER_FAILURE))) {
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

	buf_addf(&text, "%s: %s", smtp_out_host(o)->name, o->plan.refused);
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
	if (o->without_tls || MUTANT(RELAY_NEVER_TLS))
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
	return MUTANT(RELAY_REQUIRE_IS_MAY) ? SMTP_CLIENT_TLS_MAY : SMTP_CLIENT_TLS_REQUIRE;
}

static void begin(struct smtp_out *o)
{
	o->connecting = false;
	o->awaited_reply = 0;
	smtp_client_init(&o->client, &(struct smtp_client_options){
					     .out = &o->out,
					     .local_name = span_of(o->config->hostname),
					     .tls = client_tls(o),
					     .tls_verified = o->plan.proves_host,
					     .only_require_tls = o->wish == TLS_WISH_REQUIRED,
					     .lmtp = o->targets->lmtp,
				     });
	smtp_out_pump(o);
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
	int64_t reply_ms = c->reply_timeout_ms > 0 ? c->reply_timeout_ms : smtp_stage_timeout_ms(stage);
	int64_t now_ms = clock_mono_ms();
	uint32_t number = smtp_client_reply_count(&o->client) + 1;
	bool begun = smtp_client_is_in_reply(&o->client) && !MUTANT(RELAY_DRIPS_AWAITED);

	if (!begun || o->awaited_reply != number)
		o->awaited_since_ms = now_ms;
	/* When nothing is asked, nothing is awaited until it begins. */
	o->awaited_reply = begun || stage != SMTP_STAGE_IDLE ? number : 0;
	if (begun) { /* and comes and comes, but has no more time than if it did not */
		int64_t left_ms = o->awaited_since_ms + reply_ms - now_ms;
		conn_set_deadline_ms(o->conn, left_ms > 0 ? left_ms : 1);
		return;
	}
	if (stage == SMTP_STAGE_IDLE && o->preparing == NULL)
		conn_set_timeout_ms(o->conn, c->idle_ms > 0 ? c->idle_ms : 1);
	else if (!MUTANT(RELAY_ONE_TIME_OUT))
		conn_set_timeout_ms(o->conn, reply_ms);
	else if (stage == SMTP_STAGE_GREETING)
		conn_set_deadline_ms(o->conn, reply_ms);
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
			smtp_out_tell_violation(o, "there is no TLS");
		if (o->plan.told != NULL)
			smtp_out_tell_violation(o, o->plan.told);
		o->owner.on_ready(o->owner.ctx, o);
	}
	if (smtp_out_start_next(o) || o->preparing != NULL)
		return;
	if (smtp_out_is_done(o) || o->config->outbound.idle_ms == 0) {
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
		if (smtp_client_can_start(&o->client) && o->ready && smtp_out_start_next(o))
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
		smtp_out_send_content(o);
		return !o->content_blocked;
	case SMTP_CLIENT_DONE:
		smtp_out_on_done(o);
		return true;
	case SMTP_CLIENT_CLOSED:
		on_closed(o);
		return false;
	case SMTP_CLIENT_WISH_COUNT:
		break;
	}
	abort();
}

void smtp_out_pump(struct smtp_out *o)
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

static void lose(struct smtp_out *o, enum smtp_client_loss loss, struct span text)
{
	smtp_client_lost(&o->client, loss, text);
	smtp_out_pump(o);
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
			smtp_out_tell_violation(o, conn_tls_fault(o->conn));
		smtp_client_tls_done(&o->client, true, (struct span){ NULL, 0 });
		smtp_out_pump(o);
		break;
	case CONN_INPUT:
		o->idle = false;
		smtp_out_pump(o);
		break;
	case CONN_DRAINED:
		if (o->content_blocked) {
			o->content_blocked = false;
			smtp_out_pump(o);
		} else if (!o->connecting) {
			set_timeout(o); /* the peer can answer from now on */
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
			smtp_out_pump(o);
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
			smtp_out_pump(o);
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
	smtp_out_pump(o);
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
