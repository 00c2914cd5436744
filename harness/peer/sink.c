#include "harness/peer/sink.h"

#include "base/must.h"
#include "harness/peer/sink_parts.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum { CONTENT_BYTES_MAX = 256 * 1024 * 1024 };

/* ---- the record ---- */
void sink_tell(const struct sink_client *c, enum sink_event_kind kind, struct span bytes, const char *text)
{
	const struct sink *s = c->sink;
	if (s->o.on_event != NULL)
		s->o.on_event(s->o.ctx, &(struct sink_event){ kind, c->number, bytes, text, NULL });
}

void sink_say(struct sink_client *c, struct span bytes)
{
	conn_write(c->conn, bytes);
	sink_tell(c, SINK_SAID, bytes, NULL);
}

/* What came is told in the pieces in which it came. */
static void tell_input(struct sink_client *c)
{
	struct span in = conn_input(c->conn);
	if (in.n > c->shown)
		sink_tell(c, SINK_HEARD, span_sub(in, c->shown, in.n), NULL);
	c->shown = in.n;
}

/* ---- a client's end ---- */
/* How: conn_free, conn_finish or conn_reset. */
static void client_end(struct sink_client *c, void (*how)(struct conn *))
{
	struct conn *conn = c->conn;
	struct sink *s = c->sink;
	sink_hand_over_taken(c);
	LIST_REMOVE(c, link);
	s->client_count--;
	timer_free(c->delay);
	sink_login_end(c);
	buf_free(&c->text);
	buf_free(&c->path);
	buf_free(&c->reverse_path);
	buf_free(&c->recipients);
	buf_free(&c->content);
	buf_free(&c->wire);
	buf_free(&c->unanswered);
	buf_free(&c->taken);
	free(c);
	how(conn);
	if (s->client_count == 0 && s->o.on_quiet != NULL)
		s->o.on_quiet(s->o.ctx);
}

void sink_end(struct sink_client *c, void (*how)(struct conn *))
{
	sink_tell(c, SINK_ENDED, (struct span){ 0 }, how == conn_reset ? "reset" : NULL);
	client_end(c, how);
}

static void on_secured(struct sink_client *c)
{
	const struct sink *s = c->sink;
	const char *name = conn_tls_server_name(c->conn);
	char text[400];
	(void)snprintf(text, sizeof(text), "%s, %s%s%.255s", conn_tls_version(c->conn),
		       conn_tls_cipher(c->conn), name != NULL ? ", for " : "", name != NULL ? name : "");
	if (s->o.on_event != NULL)
		s->o.on_event(s->o.ctx, &(struct sink_event){ SINK_SECURED, c->number, { 0 }, text, name });
	if (c->sink->o.implicit_tls)
		sink_greet(c);
}

/* Its last commands came with the end of what it says, and await the late answer of one before: QUIT behind content. */
static bool still_hears(const struct sink_client *c)
{
	struct span in = conn_input(c->conn);

	return c->held && timer_is_set(c->delay) && in.n > 0 && in.p[in.n - 1] == '\n';
}

static void on_event(void *ctx, enum conn_event event)
{
	struct sink_client *c = ctx;
	switch (event) {
	case CONN_INPUT:
		tell_input(c);
		sink_read(c);
		break;
	case CONN_DRAINED:
		if (!sink_flood_on(c))
			sink_read(c);
		break;
	case CONN_SECURED:
		on_secured(c);
		break;
	case CONN_EOF:
		c->said_all = true;
		if (still_hears(c))
			break;
		sink_tell(c, SINK_LEFT, (struct span){ 0 }, NULL);
		client_end(c, conn_free);
		break;
	case CONN_FAILED:
		sink_tell(c, SINK_LEFT, (struct span){ 0 }, conn_error(c->conn)->text);
		client_end(c, conn_free);
		break;
	case CONN_CONNECTED:
	case CONN_TIMEOUT:
		break;
	}
}

static void on_accept(void *ctx, int fd, const struct addr *peer)
{
	struct sink *s = ctx;
	struct sink_client *c = must(calloc(1, sizeof(*c)));
	(void)peer;
	c->sink = s;
	c->number = ++s->clients_total;
	c->delay = timer_new(s->o.loop, sink_delay_over, c);
	c->conn = conn_take(&(struct conn_options){ .loop = s->o.loop, .on_event = on_event, .ctx = c }, fd);
	LIST_INSERT_HEAD(&s->clients, c, link);
	s->client_count++;
	sink_tell(c, SINK_OPENED, (struct span){ 0 }, NULL);
	if (s->o.implicit_tls)
		(void)conn_start_tls(c->conn, s->o.tls_ctx, CONN_TLS_SERVER, NULL);
	else
		sink_greet(c);
}

/* ---- public ---- */
struct sink *sink_new(const struct sink_options *o, struct err *reterr)
{
	char text[56];
	assert(o->loop != NULL);
	if (!o->in_private_network && !addr_is_loopback(&o->at)) {
		(void)err_set(reterr, -EPERM, "%s is not a loopback address", addr_format(&o->at, text));
		return NULL;
	}
	if (o->implicit_tls && o->tls_ctx == NULL) {
		(void)err_set(reterr, -EINVAL, "sink: TLS without a certificate");
		return NULL;
	}
	struct sink *s = must(calloc(1, sizeof(*s)));
	s->o = *o;
	s->o.name = o->name != NULL ? o->name : "sink.example";
	if (s->o.content_bytes_max == 0)
		s->o.content_bytes_max = CONTENT_BYTES_MAX;
	s->rule_hits = must(calloc(o->rule_count + 1, sizeof(s->rule_hits[0])));
	LIST_INIT(&s->clients);
	s->listener = listener_new(o->loop, &o->at, on_accept, s, reterr);
	if (s->listener == NULL) {
		sink_free(s);
		return NULL;
	}
	return s;
}

const struct addr *sink_addr(const struct sink *s)
{
	return listener_addr(s->listener);
}

bool sink_heard_more(const struct sink *s)
{
	return s->more;
}

bool sink_heard_crlf(const struct sink *s)
{
	return s->crlf;
}

uint32_t sink_message_count(const struct sink *s)
{
	return s->message_count;
}

uint64_t sink_content_bytes(const struct sink *s)
{
	return s->content_bytes;
}

uint32_t sink_connection_count(const struct sink *s)
{
	return s->client_count;
}

uint64_t sink_connections_total(const struct sink *s)
{
	return s->clients_total;
}

void sink_free(struct sink *s)
{
	if (s == NULL)
		return;
	s->o.on_quiet = NULL;
	s->o.on_message = NULL;
	listener_free(s->listener);
	struct sink_client *c;
	while ((c = LIST_FIRST(&s->clients)) != NULL)
		client_end(c, conn_free);
	free(s->rule_hits);
	buf_free(&s->line);
	free(s);
}
