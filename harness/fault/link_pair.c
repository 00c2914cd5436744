#include "harness/fault/link_pair.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* More than this on its way to a slow side, and the fast side is not read. */
enum { ON_ITS_WAY_BYTES_MAX = 1024 * 1024 };

static void on_client(void *ctx, enum conn_event event);
static void on_server(void *ctx, enum conn_event event);
static void on_due(void *ctx);
static void on_fact(void *ctx, const struct tap_fact *fact);

/* ---- beginning and end ---- */

static void direction_init(struct link_direction *f, struct link_pair *p, enum link_side from)
{
	f->pair = p;
	f->from = from;
	STAILQ_INIT(&f->runs);
	f->timer = timer_new(link_options(p->link)->loop, on_due, f);
}

static void direction_free(struct link_direction *f)
{
	struct link_run *r;

	while ((r = STAILQ_FIRST(&f->runs)) != NULL) {
		STAILQ_REMOVE_HEAD(&f->runs, entry);
		buf_free(&r->bytes);
		free(r);
	}
	timer_free(f->timer);
}

static void end(struct link_pair *p, bool reset)
{
	const struct link_observer *o = link_options(p->link)->observer;
	struct link *l = p->link;
	uint64_t number = p->number;

	if (reset) {
		conn_reset(p->client);
		if (p->server != NULL)
			conn_reset(p->server);
	} else {
		conn_finish(p->client);
		if (p->server != NULL)
			conn_finish(p->server);
	}
	direction_free(&p->up);
	direction_free(&p->down);
	tap_free(&p->tap);
	link_remove_pair(l, p);
	free(p);
	if (o->closed != NULL)
		o->closed(o->ctx, l, number, reset, clock_mono_ns());
}

void link_pair_reset(struct link_pair *p)
{
	end(p, true);
}

static void connect_on(struct link_pair *p)
{
	const struct link_options *o = link_options(p->link);
	const struct conn_options co = { .loop = o->loop, .on_event = on_server, .ctx = p };

	p->server = conn_connect(&co, &o->connect_to, o->bind_to.n > 0 ? &o->bind_to : NULL);
	p->up.sink = p->down.source = p->server;
}

void link_pair_new(struct link *l, int fd)
{
	static uint64_t last_number;
	const struct link_options *o = link_options(l);
	struct link_pair *p = calloc(1, sizeof(*p));

	if (p == NULL)
		abort();
	p->link = l;
	p->number = ++last_number;
	p->cut_at = UINT64_MAX;
	p->tap.fn = on_fact;
	p->tap.ctx = p;
	direction_init(&p->up, p, LINK_CLIENT);
	direction_init(&p->down, p, LINK_SERVER);
	p->client = conn_take(&(struct conn_options){ .loop = o->loop, .on_event = on_client, .ctx = p }, fd);
	p->up.source = p->down.sink = p->client;
	link_add_pair(l, p);
	if (o->observer->opened != NULL)
		o->observer->opened(o->observer->ctx, l, p->number, clock_mono_ns());
	if (link_mode(l) == LINK_RESET) {
		link_count_reset(l);
		end(p, true);
	} else if (link_strikes_at(l, FLOW_MOMENT_AFTER_CONNECT)) {
		link_count_strike(l);
		end(p, true);
	} else if (link_mode(l) == LINK_BLACKHOLE) {
		link_pair_hold(p);
	} else {
		connect_on(p);
	}
}

static void touch(struct link_pair *p)
{
	if (!p->touched)
		link_count_touch(p->link);
	p->touched = true;
}

void link_pair_hold(struct link_pair *p)
{
	touch(p);
	p->held = true;
	conn_pause(p->client);
	if (p->server != NULL)
		conn_pause(p->server);
	timer_clear(p->up.timer);
	timer_clear(p->down.timer);
}

void link_pair_release(struct link_pair *p)
{
	p->held = false;
	if (p->server == NULL)
		connect_on(p);
	conn_resume(p->client);
	conn_resume(p->server);
	timer_set_ms(p->up.timer, 0); /* what waited is due by now, or is set for later there */
	timer_set_ms(p->down.timer, 0);
}

/* ---- bytes ---- */

/* Hands EOF on once everything before it went; true when the pair has ended. */
static bool pass_end(struct link_direction *f)
{
	struct link_pair *p = f->pair;
	struct link_direction *other = f == &p->up ? &p->down : &p->up;

	if (!f->ended || !STAILQ_EMPTY(&f->runs) || f->sink == NULL || conn_output_bytes(f->sink) > 0)
		return false;
	if (!f->ended_on) {
		f->ended_on = true;
		(void)shutdown(conn_fd(f->sink), SHUT_WR);
	}
	if (!other->ended_on)
		return false;
	end(p, false);
	return true;
}

static void pass(struct link_direction *f, struct span bytes)
{
	conn_write(f->sink, bytes);
	if (conn_output_bytes(f->sink) > ON_ITS_WAY_BYTES_MAX)
		conn_pause(f->source);
}

static void on_due(void *ctx)
{
	struct link_direction *f = ctx;
	struct link_run *r;
	int64_t now_ns = clock_mono_ns();

	if (f->pair->held)
		return;
	while ((r = STAILQ_FIRST(&f->runs)) != NULL && r->due_ns <= now_ns) {
		pass(f, buf_span(&r->bytes));
		STAILQ_REMOVE_HEAD(&f->runs, entry);
		buf_free(&r->bytes);
		free(r);
	}
	if (r != NULL)
		timer_set_ns(f->timer, r->due_ns - now_ns);
	else
		(void)pass_end(f);
}

/* In order behind what waits already, now or after the link's delay. */
static void forward(struct link_direction *f, struct span bytes)
{
	int64_t delay_ms = link_delay_ms(f->pair->link);

	f->passed_bytes += bytes.n;
	if (bytes.n == 0)
		return;
	if (delay_ms == 0 && STAILQ_EMPTY(&f->runs)) {
		pass(f, bytes);
		return;
	}
	if (delay_ms > 0)
		touch(f->pair);
	struct link_run *r = calloc(1, sizeof(*r));
	if (r == NULL)
		abort();
	r->due_ns = clock_mono_ns() + delay_ms * 1000000;
	buf_add(&r->bytes, bytes);
	if (STAILQ_EMPTY(&f->runs))
		timer_set_ms(f->timer, delay_ms);
	STAILQ_INSERT_TAIL(&f->runs, r, entry);
}

/* ---- moments ---- */

static void on_fact(void *ctx, const struct tap_fact *fact)
{
	struct link_pair *p = ctx;

	if (p->struck)
		return;
	if (fact->kind == TAP_CONTENT_BEGIN && p->cut_at == UINT64_MAX &&
	    link_strikes_at(p->link, FLOW_MOMENT_IN_CONTENT))
		p->cut_at = fact->offset + link_at_byte(p->link);
	if (fact->kind == TAP_CONTENT_END && p->cut_at != UINT64_MAX && fact->offset <= p->cut_at)
		p->cut_at = UINT64_MAX; /* this content is shorter than that */
	if (fact->kind == TAP_FINAL_REPLY && fact->code / 100 == 2 &&
	    link_strikes_at(p->link, FLOW_MOMENT_AFTER_FINAL_DOT_BEFORE_250)) {
		p->struck = true;
		return;
	}
	if (!fact->from_client)
		p->replies_end = fact->offset;
}

/* The part of fresh bytes, the last that were read, before offset. */
static struct span before(const struct link_direction *f, struct span fresh, uint64_t offset)
{
	uint64_t first = f->read_bytes - fresh.n;

	if (offset >= f->read_bytes)
		return fresh;
	return span_sub(fresh, 0, offset > first ? (size_t)(offset - first) : 0);
}

/* Whether the client's bytes reached the cut; what is before it then goes on first. */
static bool is_cut(struct link_pair *p, struct span *fresh)
{
	if (p->up.read_bytes < p->cut_at)
		return false;
	*fresh = before(&p->up, *fresh, p->cut_at);
	return true;
}

/* Ends the pair when nothing that must reach the server is under way. */
static bool strike_if_sent(struct link_pair *p)
{
	if (!p->struck || !STAILQ_EMPTY(&p->up.runs) ||
	    (p->server != NULL && conn_output_bytes(p->server) > 0))
		return false;
	end(p, true);
	return true;
}

static void take_client_bytes(struct link_pair *p, struct span fresh, int64_t now_ns)
{
	p->up.read_bytes += fresh.n;
	tap_client_sent(&p->tap, fresh, now_ns);
	if (is_cut(p, &fresh)) {
		p->struck = true;
		link_count_strike(p->link);
		conn_pause(p->client);
	}
	forward(&p->up, fresh);
}

static void take_server_bytes(struct link_pair *p, struct span fresh, int64_t now_ns)
{
	bool was_struck = p->struck;

	p->down.read_bytes += fresh.n;
	tap_server_sent(&p->tap, fresh, now_ns);
	if (p->struck && !was_struck) {
		link_count_strike(p->link);
		fresh = before(&p->down, fresh, p->replies_end);
	}
	if (!was_struck)
		forward(&p->down, fresh);
	/* A reply may also tell what kind of bytes the client had sent ahead. */
	if (!p->struck && p->up.read_bytes >= p->cut_at) {
		p->struck = true;
		link_count_strike(p->link);
	}
}

/* ---- events ---- */

static void take_input(struct link_direction *f)
{
	struct link_pair *p = f->pair;
	const struct link_observer *o = link_options(p->link)->observer;
	struct span fresh = conn_input(f->source);
	struct conn *source = f->source;
	int64_t now_ns = clock_mono_ns();

	if (p->held || fresh.n == 0)
		return;
	if (o->bytes != NULL)
		o->bytes(o->ctx, p->link, p->number, f->from, fresh, now_ns);
	if (f->from == LINK_CLIENT)
		take_client_bytes(p, fresh, now_ns);
	else
		take_server_bytes(p, fresh, now_ns);
	conn_consume(source, fresh.n);
	(void)strike_if_sent(p);
}

static void on_drained(struct link_pair *p, struct link_direction *f)
{
	if (strike_if_sent(p) || pass_end(f))
		return;
	if (!p->held && !p->struck && f->source != NULL)
		conn_resume(f->source);
}

/* in: what this side sends; out: what it receives. */
static void on_side(struct link_pair *p, struct link_direction *in, struct link_direction *out,
		    enum conn_event event)
{
	switch (event) {
	case CONN_INPUT:
		take_input(in);
		break;
	case CONN_DRAINED:
		on_drained(p, out);
		break;
	case CONN_EOF:
		in->ended = true;
		(void)pass_end(in);
		break;
	case CONN_FAILED: /* Reset by a peer, or the server cannot be reached: the other side hears the same. */
		end(p, true);
		break;
	case CONN_CONNECTED:
	case CONN_SECURED:
	case CONN_TIMEOUT:
		break;
	}
}

static void on_client(void *ctx, enum conn_event event)
{
	struct link_pair *p = ctx;

	on_side(p, &p->up, &p->down, event);
}

static void on_server(void *ctx, enum conn_event event)
{
	struct link_pair *p = ctx;

	on_side(p, &p->down, &p->up, event);
}
