#include "harness/peer/sink_parts.h"

#include "base/must.h"

#include <stdlib.h>
#include <string.h>

enum { FLOOD_BLOCK_BYTES = 16 * 1024 };

/* ---- the transaction ---- */
void sink_end_transaction(struct sink_client *c)
{
	c->has_mail = false;
	c->recipient_count = 0;
	c->ending = false;
	c->chunk_failed = false;
	c->taken_count = 0;
	c->content_bytes = 0;
	c->dots = (struct dots_reader){ 0 };
	buf_reset(&c->reverse_path);
	buf_reset(&c->recipients);
	buf_reset(&c->taken);
	buf_free(&c->content);
	buf_free(&c->wire);
}

void sink_tell_message(const struct sink_client *c, sink_message_fn *fn)
{
	const struct sink *s = c->sink;
	if (fn == NULL)
		return;
	struct span *recipients =
		must(calloc(c->recipient_count > 0 ? c->recipient_count : 1, sizeof(*recipients)));
	struct span rest = buf_span(&c->recipients);
	for (uint32_t i = 0; i < c->recipient_count; i++)
		(void)span_take_until(&rest, '\n', &recipients[i]);
	struct sink_message m = {
		.connection = c->number,
		.nth = s->message_count,
		.final_dot_ns = c->final_dot_ns,
		.reverse_path = buf_span(&c->reverse_path),
		.recipients = recipients,
		.recipient_count = c->recipient_count,
		.content = buf_span(&c->content),
		.wire = buf_span(&c->wire),
		.content_bytes = c->content_bytes,
		.dots_notes = c->dots.notes,
		.over_tls = conn_is_tls(c->conn),
	};
	fn(s->o.ctx, &m);
	free(recipients);
}

void sink_hand_over(struct sink_client *c)
{
	c->sink->message_count++;
	c->sink->content_bytes += c->content_bytes;
	sink_tell_message(c, c->sink->o.on_message);
}

/* ---- what a reply brings about ---- */
static const struct sink_rule *find_rule(struct sink *s, enum sink_stage stage, struct span path);

/* The usual handshake, or what a rule has in its place once the client begins. */
static void begin_tls(struct sink_client *c)
{
	sink_end_transaction(c);
	c->logged_in = false;
	c->deed = (struct deed){ .stage = SINK_HANDSHAKE, .usual = "" };
	c->deed.rule = find_rule(c->sink, SINK_HANDSHAKE, (struct span){ 0 });
	if (c->deed.rule != NULL) {
		c->mode = MODE_HANDSHAKE;
		return;
	}
	(void)conn_start_tls(c->conn, c->sink->o.tls_ctx, CONN_TLS_SERVER, NULL);
	c->shown = 0; /* what had come is dropped */
}

static void accepted(struct sink_client *c, enum sink_stage stage)
{
	switch (stage) {
	case SINK_HELLO:
	case SINK_RSET:
		sink_end_transaction(c);
		break;
	case SINK_STARTTLS:
		if (c->sink->o.tls_ctx != NULL)
			begin_tls(c);
		break;
	case SINK_MAIL:
		sink_end_transaction(c);
		c->has_mail = true;
		buf_add(&c->reverse_path, buf_span(&c->path));
		break;
	case SINK_RCPT:
		buf_add(&c->recipients, buf_span(&c->path));
		buf_add(&c->recipients, SPAN_LIT("\n"));
		c->recipient_count++;
		break;
	case SINK_DATA:
		c->mode = MODE_CONTENT;
		break;
	case SINK_FINAL:
		if (c->ending) {
			buf_add(&c->taken, buf_span(&c->path));
			buf_add(&c->taken, SPAN_LIT("\n"));
			c->taken_count++;
		} else {
			sink_hand_over(c);
		}
		break;
	case SINK_CHALLENGE:
		c->mode = MODE_RESPONSE;
		break;
	case SINK_AUTH:
		c->logged_in = true;
		break;
	case SINK_GREETING:
	case SINK_HANDSHAKE:
	case SINK_CHUNK:
	case SINK_QUIT:
	case SINK_STAGE_COUNT:
		break;
	}
}

void sink_reply(struct sink_client *c, const char *text)
{
	struct buf line = { 0 };
	buf_add_cstr(&line, text);
	buf_add_cstr(&line, "\r\n");
	sink_say(c, buf_span(&line));
	buf_free(&line);
}

/* Says the next pieces of a reply; false: a pause comes first. */
static bool say_pieces(struct sink_client *c)
{
	const struct sink_rule *r = c->deed.rule;
	while (c->piece < r->piece_count) {
		const struct sink_piece *next = &r->pieces[c->piece++];
		sink_say(c, next->bytes);
		if (c->piece == r->piece_count)
			break;
		/* Even without a pause, what follows is a segment of its own. */
		timer_set_ms(c->delay, r->pieces[c->piece].pause_ms > 0 ? r->pieces[c->piece].pause_ms : 1);
		return false;
	}
	c->piece = 0;
	return true;
}

/* Empty lines are passed over, as a client does that bears with them. */
static char first_of_pieces(const struct sink_rule *r)
{
	for (uint32_t i = 0; i < r->piece_count; i++) {
		struct span s = r->pieces[i].bytes;
		for (size_t k = 0; k < s.n; k++)
			if (s.p[k] != '\r' && s.p[k] != '\n')
				return s.p[k];
	}
	return '\0';
}

/* The first character of what is answered. */
static char answer_class(const struct deed *d)
{
	if (d->rule != NULL && d->rule->piece_count > 0)
		return first_of_pieces(d->rule);
	return d->rule != NULL && d->rule->reply != NULL ? d->rule->reply[0] : d->usual[0];
}

/* The reply has been said: what it brings about.  Returns false when the client is gone. */
static bool answered(struct sink_client *c)
{
	const struct deed *d = &c->deed;
	char class = answer_class(d);
	c->held = d->stage == SINK_HANDSHAKE;
	bool closes = d->rule != NULL && d->rule->action == SINK_CLOSE;
	bool says = d->rule != NULL && (d->rule->reply != NULL || d->rule->piece_count > 0);
	if (closes && !(says && d->stage == SINK_FINAL)) {
		sink_end(c, conn_finish);
		return false;
	}
	if (class == (d->stage == SINK_DATA || d->stage == SINK_CHALLENGE ? '3' : '2'))
		accepted(c, d->stage);
	else if (d->stage == SINK_CHUNK)
		c->chunk_failed = true;
	if (d->stage == SINK_FINAL && !c->ending)
		sink_end_transaction(c);
	if (d->stage == SINK_QUIT || closes) { /* 250 to content, and then the end: it was taken */
		sink_end(c, conn_finish);
		return false;
	}
	return true;
}

/*
 * More of a reply that never ends.  Only its beginning is recorded, and it is
 * said no faster than it is read.  Returns false when the client is gone.
 */
static bool flood(struct sink_client *c)
{
	const struct sink_piece *piece = &c->deed.rule->pieces[0];
	size_t block = piece->pause_ms > 0 ? 1 : FLOOD_BLOCK_BYTES;
	int64_t now_ns = clock_mono_ns();

	if (!c->floods) {
		c->floods = true;
		c->flood_end_ns = now_ns + SINK_FLOOD_MS_MAX * 1000000LL;
		c->flood_bytes = 0;
		sink_tell(c, SINK_SAID, piece->bytes, NULL);
	}
	if (now_ns >= c->flood_end_ns || c->flood_bytes >= SINK_FLOOD_BYTES_MAX || piece->bytes.n == 0) {
		sink_end(c, conn_reset);
		return false;
	}
	for (size_t said = 0; said < block; said += piece->bytes.n) {
		conn_write(c->conn, piece->bytes);
		c->flood_bytes += piece->bytes.n;
	}
	/* Without a pause CONN_DRAINED asks for more; the timer is for who does not read. */
	timer_set_ms(c->delay, piece->pause_ms > 0 ? piece->pause_ms : SINK_FLOOD_MS_MAX);
	return true;
}

bool sink_flood_on(struct sink_client *c)
{
	if (!c->floods || c->deed.rule->pieces[0].pause_ms > 0)
		return false;
	(void)flood(c);
	return true;
}

/* Returns false when the client is gone. */
static bool act(struct sink_client *c)
{
	const struct deed *d = &c->deed;
	enum sink_action action = d->rule != NULL ? d->rule->action : SINK_REPLY;
	bool pieces = d->rule != NULL && d->rule->piece_count > 0;
	if (d->rule != NULL && c->sink->o.on_rule != NULL)
		c->sink->o.on_rule(c->sink->o.ctx, c->number, d->rule);
	if (action == SINK_FLOOD) {
		c->held = true;
		return flood(c);
	}
	if (action == SINK_SILENT && c->said_all) {
		sink_end(c, conn_free);
		return false;
	}
	if (action == SINK_SILENT) {
		c->held = true;
		return true;
	}
	if (action == SINK_RESET) {
		sink_end(c, conn_reset);
		return false;
	}
	c->held = true;
	if (pieces && !say_pieces(c))
		return true;
	if (!pieces && (action == SINK_REPLY || d->rule->reply != NULL))
		sink_reply(c, d->rule != NULL && d->rule->reply != NULL ? d->rule->reply : d->usual);
	return answered(c);
}

/* ---- rules ---- */
static bool fits(const struct sink_rule *r, enum sink_stage stage, struct span path)
{
	if (r->stage != stage)
		return false;
	if (r->path == NULL ||
	    (stage != SINK_MAIL && stage != SINK_RCPT && stage != SINK_FINAL && stage != SINK_HELLO))
		return true;
	return memmem(path.p, path.n, r->path, strlen(r->path)) != NULL;
}

/* Every rule counts what fits it, whether or not one before it wins. */
static const struct sink_rule *find_rule(struct sink *s, enum sink_stage stage, struct span path)
{
	const struct sink_rule *found = NULL;
	for (uint32_t i = 0; i < s->o.rule_count; i++) {
		const struct sink_rule *r = &s->o.rules[i];
		if (!fits(r, stage, path))
			continue;
		uint32_t nth = ++s->rule_hits[i];
		uint32_t from = r->from_nth > 0 ? r->from_nth : 1;
		bool in_time = nth >= from && (r->count == 0 || nth - from < r->count);
		if (found == NULL && in_time)
			found = r;
	}
	return found;
}

bool sink_act_in_time(struct sink_client *c)
{
	if (c->deed.rule == NULL || c->deed.rule->delay_ms <= 0)
		return act(c);
	c->held = true;
	timer_set_ms(c->delay, c->deed.rule->delay_ms);
	return true;
}

bool sink_answer(struct sink_client *c, enum sink_stage stage, const char *usual)
{
	c->deed.stage = stage;
	c->deed.rule = find_rule(c->sink, stage, buf_span(&c->path));
	c->deed.usual = usual;
	return sink_act_in_time(c);
}

void sink_delay_over(void *ctx)
{
	struct sink_client *c = ctx;
	if (c->floods) {
		(void)flood(c);
		return;
	}
	if (c->piece > 0) { /* a reply is under way */
		if (!say_pieces(c) || !answered(c))
			return;
	} else if (!act(c)) {
		return;
	}
	if (c->held)
		return;
	if (c->ending && (!sink_answer_recipients(c) || c->held))
		return;
	sink_read(c);
}

void sink_greet(struct sink_client *c)
{
	buf_reset(&c->text);
	buf_addf(&c->text, "220 %s %s", c->sink->o.name, c->sink->o.lmtp ? "LMTP" : "ESMTP");
	buf_reset(&c->path);
	(void)sink_answer(c, SINK_GREETING, buf_cstr(&c->text));
}
