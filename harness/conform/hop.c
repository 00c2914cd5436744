#include "harness/conform/hop.h"

#include "harness/conform/hop_login.h"
#include "harness/peer/sink.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Relays with short time-outs still wait so long. */
enum { IN_TIME_MS = 1000, REPLY_BYTES_MAX = 510 /* RFC 5321 4.5.3.1.5 */ };

struct hop_inside {
	struct sink *sink; /* NULL: nobody listens, or no longer */
	struct task *shut;
	struct tls_ctx *tls;
	struct transcript *transcript;
	hop_news_fn *on_news;
	hop_kill_fn *on_kill;
	void *ctx;
	const struct case_hop *what;
	bool odd[HOP_CONNECTIONS_MAX + 1]; /* by connection: replies of it may have been read as others' */
	struct sink_rule *rules;
	uint32_t rule_count;
	struct buf *texts; /* what the rules borrow */
	uint32_t text_count;
	struct sink_piece *pieces;
	struct buf keywords;
	struct buf host_name;
	struct hop_login_options logins;
	struct sink_login login;         /* what the sink has of them */
	bool begun[HOP_CONNECTIONS_MAX]; /* one of the two has said something on it */
};

/* ---- the record ---- */

static void *grow(void *items, uint32_t count, uint32_t *room, size_t item_bytes)
{
	if (count < *room)
		return items;
	*room = *room == 0 ? 16 : *room * 2;
	void *more = realloc(items, *room * item_bytes);
	if (more == NULL)
		abort();
	return more;
}

static void news(struct hop *h)
{
	h->inside->on_news(h->inside->ctx);
}

/* Not at once, for the sink is calling. */
static void on_shut(void *ctx)
{
	struct hop *h = ctx;

	sink_free(h->inside->sink);
	h->inside->sink = NULL;
}

/* More than is kept: nobody listens any more. */
static void flooded(struct hop *h)
{
	h->flooded = true;
	task_schedule(h->inside->shut);
	news(h);
}

static void add_connection(struct hop *h, int64_t now_ns)
{
	if (h->connection_count == HOP_CONNECTIONS_MAX) {
		flooded(h);
		return;
	}
	h->connected_ns = grow(h->connected_ns, h->connection_count, &h->connection_room, sizeof(int64_t));
	h->connected_ns[h->connection_count++] = now_ns;
}

/* Whoever speaks first is to be the server (RFC 5321 section 4.3.1). */
static void note_first(struct hop *h, const struct sink_event *e)
{
	if (e->connection > HOP_CONNECTIONS_MAX || h->inside->begun[e->connection - 1])
		return;
	h->inside->begun[e->connection - 1] = true;
	h->early_count += e->kind == SINK_HEARD;
}

static void add_handshake(struct hop *h, const struct sink_event *e, int64_t now_ns)
{
	h->handshakes = grow(h->handshakes, h->handshake_count, &h->handshake_room, sizeof(*h->handshakes));
	struct hop_handshake *t = &h->handshakes[h->handshake_count++]; /* no more than connections */
	*t = (struct hop_handshake){ .connection = e->connection, .at_ns = now_ns };
	if (e->server_name != NULL)
		buf_add_cstr(&t->server_name, e->server_name);
}

static struct hop_line *last_line(struct hop *h, uint64_t connection)
{
	for (uint32_t i = h->line_count; i > 0; i--)
		if (h->lines[i - 1].connection == connection)
			return &h->lines[i - 1];
	return NULL;
}

/* What is said on a connection answers the last line there; what is heard before that did not wait for it. */
static void note_turn(struct hop *h, const struct sink_event *e)
{
	struct hop_line *l = last_line(h, e->connection);

	if (l == NULL || l->answered)
		return;
	if (e->kind == SINK_HEARD) {
		l->followed = true;
		return;
	}
	l->answered = true;
	l->alone = l->alone && !l->followed;
}

static void note_bytes(struct hop *h, const struct sink_event *e)
{
	if (e->kind != SINK_HEARD)
		return;
	h->heard_bytes += e->bytes.n;
	if (h->heard_bytes > HOP_HEARD_BYTES_MAX)
		flooded(h);
}

static void note(struct hop *h, const struct sink_event *e, const char *what)
{
	char text[400];

	if (h->inside->transcript == NULL)
		return;
	(void)snprintf(text, sizeof(text), "%s%s%s", what, e->text != NULL ? ": " : "",
		       e->text != NULL ? e->text : "");
	transcript_add_hop(h->inside->transcript, clock_mono_ns(), TRANSCRIPT_NOTE, h->name,
			   (uint32_t)e->connection - 1, span_of(text));
}

static void on_event(void *ctx, const struct sink_event *e)
{
	struct hop *h = ctx;
	int64_t now_ns = clock_mono_ns();

	switch (e->kind) {
	case SINK_OPENED:
		add_connection(h, now_ns);
		note(h, e, "connected");
		break;
	case SINK_HEARD:
	case SINK_SAID:
		note_first(h, e);
		note_turn(h, e);
		note_bytes(h, e);
		if (h->inside->transcript == NULL)
			break;
		transcript_add_hop(h->inside->transcript, now_ns,
				   e->kind == SINK_HEARD ? TRANSCRIPT_CLIENT : TRANSCRIPT_SERVER, h->name,
				   (uint32_t)e->connection - 1, e->bytes);
		break;
	case SINK_SECURED:
		if (h->handshake_count < HOP_CONNECTIONS_MAX)
			add_handshake(h, e, now_ns);
		note(h, e, "TLS");
		break;
	case SINK_LEFT:
		note(h, e, e->text == NULL ? "closed by the relay" : "lost");
		break;
	case SINK_ENDED:
		note(h, e, "closed by us");
		break;
	}
	news(h);
}

static void on_command(void *ctx, uint64_t connection, struct span line)
{
	struct hop *h = ctx;

	if (h->line_count == HOP_LINES_MAX) {
		flooded(h);
		return;
	}
	h->lines = grow(h->lines, h->line_count, &h->line_room, sizeof(*h->lines));
	struct hop_line *l = &h->lines[h->line_count++];
	*l = (struct hop_line){ .connection = connection, .at_ns = clock_mono_ns() };
	l->alone = !sink_heard_more(h->inside->sink);
	l->crlf = sink_heard_crlf(h->inside->sink);
	buf_add(&l->text, line);
	news(h);
}

static void set_recipients(struct hop_content *c, const struct sink_message *m)
{
	buf_reset(&c->recipients);
	for (uint32_t i = 0; i < m->recipient_count; i++)
		buf_addf(&c->recipients, "%.*s\n", SPAN_FMT(m->recipients[i]));
}

static void on_content(void *ctx, const struct sink_message *m)
{
	struct hop *h = ctx;

	if (h->content_bytes + m->content.n + m->wire.n > HOP_CONTENT_BYTES_MAX) {
		flooded(h);
		return;
	}
	h->content_bytes += m->content.n + m->wire.n;
	h->contents = grow(h->contents, h->content_count, &h->content_room, sizeof(*h->contents));
	struct hop_content *c = &h->contents[h->content_count++];
	*c = (struct hop_content){ .connection = m->connection,
				   .at_ns = m->final_dot_ns,
				   .tls = m->over_tls,
				   .in_doubt = m->connection <= HOP_CONNECTIONS_MAX &&
					       h->inside->odd[m->connection] };
	buf_add(&c->content, m->content);
	set_recipients(c, m);
	buf_add(&c->wire, m->wire);
	news(h);
}

/* One line of a reply, however it is cut into segments. */
static bool is_plain_reply(const struct sink_rule *r)
{
	struct buf all = { 0 };

	for (uint32_t i = 0; i < r->piece_count; i++)
		buf_add(&all, r->pieces[i].bytes);
	struct span s = buf_span(&all);
	bool plain = s.n >= 5 && s.p[0] >= '2' && s.p[0] <= '5' && s.p[1] >= '0' && s.p[1] <= '5' &&
		     s.p[2] >= '0' && s.p[2] <= '9' && (s.p[3] == ' ' || s.p[3] == '\r') &&
		     span_find(s, '\r') == s.n - 2 && s.p[s.n - 1] == '\n';
	buf_free(&all);
	return plain;
}

/* A relay may take it for another reply, or for none. */
static bool is_odd(const struct sink_rule *r)
{
	return r->piece_count > 0 ? !is_plain_reply(r)
				  : r->reply != NULL && strlen(r->reply) > REPLY_BYTES_MAX;
}

/* Whether the relay has certainly had the good reply: then what it sends again is sent twice for nothing. */
static bool leaves_doubt(const struct hop_inside *in, const struct sink_rule *r)
{
	const struct case_departure *d = &in->what->departures[r - in->rules];

	if (d->kills || d->act == CASE_ACT_FLOOD || r->delay_ms > IN_TIME_MS)
		return true;
	for (uint32_t i = 0; i < r->piece_count; i++)
		if (r->pieces[i].pause_ms > IN_TIME_MS)
			return true;
	return is_odd(r);
}

static struct hop_content *last_content(struct hop *h, uint64_t connection)
{
	for (uint32_t i = h->content_count; i > 0; i--)
		if (h->contents[i - 1].connection == connection)
			return &h->contents[i - 1];
	return NULL;
}

static void on_rule(void *ctx, uint64_t connection, const struct sink_rule *r)
{
	struct hop *h = ctx;
	struct hop_inside *in = h->inside;
	struct hop_content *c = r->stage == SINK_FINAL ? last_content(h, connection) : NULL;

	if (is_odd(r) && connection <= HOP_CONNECTIONS_MAX)
		in->odd[connection] = true;
	if (c != NULL)
		c->in_doubt = c->in_doubt || leaves_doubt(in, r);
	if (in->what->departures[r - in->rules].kills)
		in->on_kill(in->ctx);
}

static void on_message(void *ctx, const struct sink_message *m)
{
	struct hop *h = ctx;

	struct hop_content *c = last_content(h, m->connection);

	if (c != NULL) {
		c->taken = true;
		set_recipients(c, m); /* LMTP: those whose replies were good */
	}
	news(h);
}

uint32_t hop_taken_count(const struct hop *h)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < h->content_count; i++)
		n += h->contents[i].taken;
	return n;
}

uint32_t hop_open_count(const struct hop *h)
{
	return h->inside->sink != NULL ? sink_connection_count(h->inside->sink) : 0;
}

/* ---- its rules ---- */

static const enum sink_stage STAGE_OF[CASE_STAGE_COUNT] = {
	[CASE_AT_GREETING] = SINK_GREETING,   [CASE_AT_EHLO] = SINK_HELLO, [CASE_AT_HELO] = SINK_HELLO,
	[CASE_AT_STARTTLS] = SINK_STARTTLS,   [CASE_AT_MAIL] = SINK_MAIL,  [CASE_AT_RCPT] = SINK_RCPT,
	[CASE_AT_HANDSHAKE] = SINK_HANDSHAKE, [CASE_AT_DATA] = SINK_DATA,  [CASE_AT_BDAT] = SINK_CHUNK,
	[CASE_AT_FINAL_DOT] = SINK_FINAL,     [CASE_AT_RSET] = SINK_RSET,  [CASE_AT_QUIT] = SINK_QUIT,
	[CASE_AT_CHALLENGE] = SINK_CHALLENGE, [CASE_AT_AUTH] = SINK_AUTH,
};
static const enum sink_action ACTION_OF[] = {
	[CASE_ACT_REPLY] = SINK_REPLY,    [CASE_ACT_CLOSE] = SINK_CLOSE, [CASE_ACT_RESET] = SINK_RESET,
	[CASE_ACT_SILENCE] = SINK_SILENT, [CASE_ACT_FLOOD] = SINK_FLOOD,
};

static bool expand(struct hop_inside *in, const struct values *v, const struct case_text *t,
		   const char **ret_text, struct span *ret_span)
{
	struct buf *b = &in->texts[in->text_count++];
	struct span missing;

	if (!values_expand(v, t, b, NULL, &missing))
		return false;
	if (ret_text != NULL)
		*ret_text = buf_cstr(b);
	if (ret_span != NULL)
		*ret_span = buf_span(b);
	return true;
}

static bool make_rule(struct hop_inside *in, const struct values *v, const struct case_departure *d,
		      struct sink_piece **next_piece)
{
	struct sink_rule *r = &in->rules[in->rule_count++];
	bool fine = true;

	*r = (struct sink_rule){ .stage = STAGE_OF[d->stage],
				 .from_nth = d->from_nth,
				 .count = d->count,
				 .action = ACTION_OF[d->act],
				 .delay_ms = d->pause_ms };
	if (d->stage == CASE_AT_EHLO || d->stage == CASE_AT_HELO)
		r->path = d->stage == CASE_AT_EHLO ? "EHLO" : "HELO";
	else if (d->path.count > 0)
		fine = expand(in, v, &d->path, &r->path, NULL);
	if (d->segment_count > 0 && !d->raw)
		return fine && expand(in, v, &d->segments[0].text, &r->reply, NULL);
	r->pieces = *next_piece;
	r->piece_count = d->segment_count;
	for (uint32_t i = 0; i < d->segment_count && fine; i++) {
		struct sink_piece *piece = (*next_piece)++;
		piece->pause_ms = d->segments[i].pause_ms;
		fine = expand(in, v, &d->segments[i].text, NULL, &piece->bytes);
	}
	if (r->piece_count > 0 && r->pieces[0].pause_ms > 0 && r->action != SINK_FLOOD)
		r->delay_ms = r->pieces[0].pause_ms;
	return fine;
}

static bool make_rules(struct hop_inside *in, const struct case_hop *what, const struct values *v)
{
	uint32_t texts = 0;
	bool fine = true;

	for (uint32_t i = 0; i < what->departure_count; i++)
		texts += what->departures[i].segment_count + 1;
	in->rules = calloc(what->departure_count + 1, sizeof(*in->rules));
	in->texts = calloc(texts + 1, sizeof(*in->texts));
	in->pieces = calloc(texts + 1, sizeof(*in->pieces));
	if (in->rules == NULL || in->texts == NULL || in->pieces == NULL)
		abort();
	struct sink_piece *next_piece = in->pieces;
	for (uint32_t i = 0; i < what->departure_count && fine; i++)
		fine = make_rule(in, v, &what->departures[i], &next_piece);
	return fine;
}

static bool offers(const struct case_hop *what, const char *keyword)
{
	for (uint32_t i = 0; i < what->offer_count; i++)
		if (strcmp(what->offers[i], keyword) == 0)
			return true;
	return false;
}

/* ---- logins ---- */

static void *begin_login(void *ctx, struct span mechanism)
{
	const struct hop_inside *in = ctx;

	return hop_login_new(&in->logins, mechanism);
}

static enum sink_login_step step_login(void *exchange, const struct span *response, struct buf *ret_text)
{
	return hop_login_step(exchange, response, ret_text);
}

static void end_login(void *exchange)
{
	hop_login_free(exchange);
}

static const struct sink_login *offer_login(struct hop_inside *in)
{
	if (in->what->login == NULL)
		return NULL;
	in->login = (struct sink_login){ .mechanisms = in->what->login,
					 .begin = begin_login,
					 .step = step_login,
					 .end = end_login,
					 .ctx = in };
	return &in->login;
}

/* ---- life ---- */

static int open_sink(struct hop *h, const struct hop_options *o, struct err *reterr)
{
	struct hop_inside *in = h->inside;
	struct sink_options so = { .loop = o->loop,
				   .name = buf_cstr(&in->host_name),
				   .tls_ctx = in->tls,
				   .in_private_network = o->private_network,
				   .lmtp = o->what->lmtp,
				   .login = offer_login(in),
				   .keep_content = true,
				   .rules = in->rules,
				   .rule_count = in->rule_count,
				   .on_message = on_message,
				   .on_content = on_content,
				   .on_command = on_command,
				   .on_event = on_event,
				   .on_rule = on_rule,
				   .ctx = h };

	for (uint32_t i = 0; i < o->what->offer_count; i++)
		buf_addf(&in->keywords, "%s\n", o->what->offers[i]);
	if (o->what->says_offers) {
		so.keywords = buf_cstr(&in->keywords);
		so.no_chunking = !offers(o->what, "CHUNKING");
	}
	for (uint32_t i = 0; i < o->place_count; i++) {
		so.at = o->places[i];
		in->sink = sink_new(&so, reterr);
		if (in->sink != NULL) {
			h->at = *sink_addr(in->sink);
			return 0;
		}
	}
	return reterr->code;
}

struct hop *hop_new(const struct hop_options *o, struct err *reterr)
{
	struct hop *h = calloc(1, sizeof(*h));

	if (h == NULL || (h->inside = calloc(1, sizeof(*h->inside))) == NULL)
		abort();
	h->name = o->what->name;
	h->at = o->places[0];
	h->inside->tls = o->tls;
	h->inside->transcript = o->transcript;
	h->inside->what = o->what;
	h->inside->logins = (struct hop_login_options){ .name = o->login_name,
							.password = o->login_password,
							.scram = o->what->scram };
	h->inside->on_news = o->on_news;
	h->inside->on_kill = o->on_kill;
	h->inside->ctx = o->ctx;
	h->inside->shut = task_new(o->loop, on_shut, h);
	buf_add_cstr(&h->inside->host_name, o->host_name);
	int rc = 0;
	if (!make_rules(h->inside, o->what, o->values))
		rc = err_set(reterr, -EINVAL, "a variable has no value here");
	else if (!o->what->absent)
		rc = open_sink(h, o, reterr);
	if (rc == 0)
		return h;
	hop_free(h);
	return NULL;
}

void hop_free(struct hop *h)
{
	if (h == NULL)
		return;
	struct hop_inside *in = h->inside;
	task_free(in->shut);
	sink_free(in->sink);
	tls_free(in->tls);
	for (uint32_t i = 0; i < in->text_count; i++)
		buf_free(&in->texts[i]);
	buf_free(&in->keywords);
	buf_free(&in->host_name);
	free(in->rules);
	free(in->texts);
	free(in->pieces);
	free(in);
	for (uint32_t i = 0; i < h->line_count; i++)
		buf_free(&h->lines[i].text);
	for (uint32_t i = 0; i < h->content_count; i++) {
		buf_free(&h->contents[i].recipients);
		buf_free(&h->contents[i].content);
		buf_free(&h->contents[i].wire);
	}
	for (uint32_t i = 0; i < h->handshake_count; i++)
		buf_free(&h->handshakes[i].server_name);
	free(h->handshakes);
	free(h->lines);
	free(h->contents);
	free(h->connected_ns);
	free(h);
}
