#include "base/conn.h"

#include "base/conn_parts.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	INPUT_BYTES_MAX_DEFAULT = 65536,
	READS_PER_ROUND_MAX = 4, /* so that one fast peer cannot hold the loop */
};

static void on_readable(evutil_socket_t fd, short what, void *arg);
static void on_writable(evutil_socket_t fd, short what, void *arg);

/* ---- lifetime ---- */

static void destroy(struct conn *c)
{
	loop_leave(c->loop, &c->finishing_on);
	if (c->readable != NULL)
		event_free(c->readable);
	if (c->writable != NULL)
		event_free(c->writable);
	task_free(c->task);
	timer_free(c->idle);
	conn_tls_free(c);
	if (c->fd >= 0)
		(void)close(c->fd);
	buf_free(&c->in);
	buf_free(&c->out);
	if (c->on_closed != NULL)
		c->on_closed(c->closed_ctx);
	free(c);
}

/* Everything that may run the owner's callback is between enter and leave. */
static void enter(struct conn *c)
{
	c->depth++;
}

/* False when the conn is gone. */
static bool leave(struct conn *c)
{
	assert(c->depth > 0);
	c->depth--;
	if (!c->dead)
		return true;
	if (c->depth == 0)
		destroy(c);
	return false;
}

void conn_tell(struct conn *c, enum conn_event event)
{
	if (!c->dead && !c->finishing)
		c->on_event(c->ctx, event);
}

static void stop_events(struct conn *c)
{
	(void)event_del(c->readable);
	(void)event_del(c->writable);
	c->write_wanted = false;
	if (c->idle != NULL)
		timer_clear(c->idle);
}

/* c->error is set. */
void conn_fail(struct conn *c)
{
	if (c->phase == PHASE_FAILED || c->dead)
		return;
	c->phase = PHASE_FAILED;
	stop_events(c);
	if (c->finishing)
		c->dead = true; /* nobody waits for it any more */
	else
		conn_tell(c, CONN_FAILED);
}

static void fail_errno(struct conn *c, int errno_value, const char *what)
{
	char peer[56];
	(void)err_errno(&c->error, errno_value, "%s %s", what, addr_format(&c->peer, peer));
	conn_fail(c);
}

static void note_activity(struct conn *c)
{
	if (c->idle_ms > 0 && !c->deadline)
		c->active_at_ms = clock_mono_ms();
}

/* ---- what to wait for ---- */

static bool wants_input(const struct conn *c)
{
	if (c->peer_ended)
		return false;
	switch (c->phase) {
	case PHASE_HANDSHAKE:
	case PHASE_LINGER:
		return true;
	case PHASE_OPEN:
		return c->write_on_read ||
		       (!c->paused && !c->finishing && buf_bytes(&c->in) < c->input_bytes_max);
	case PHASE_CONNECTING:
	case PHASE_TLS_WAITS:
	case PHASE_FAILED:
		return false;
	}
	return false;
}

void conn_update_reading(struct conn *c)
{
	if (c->dead)
		return;
	if (wants_input(c))
		(void)event_add(c->readable, NULL);
	else
		(void)event_del(c->readable);
}

void conn_update_writing(struct conn *c, bool wanted)
{
	if (wanted == c->write_wanted)
		return;
	c->write_wanted = wanted;
	if (wanted)
		(void)event_add(c->writable, NULL);
	else
		(void)event_del(c->writable);
}

/* ---- reading ---- */

/* Bytes read; 0 at EOF; -EAGAIN; or another negative errno with c->error unset. */
static ssize_t read_some(struct conn *c, char *p, size_t n)
{
	if (c->ssl != NULL)
		return conn_tls_read(c, p, n);
	ssize_t got = recv(c->fd, p, n, 0);
	if (got >= 0)
		return got;
	return errno == EINTR ? -EAGAIN : -errno;
}

static void keep_rest(struct conn *c)
{
	buf_add(&c->in, c->scratch);
	c->scratch = (struct span){ NULL, 0 };
	if (buf_bytes(&c->in) == 0 && c->in.p != NULL)
		buf_free(&c->in); /* an idle connection holds no input memory */
}

/* One read and its event.  False when there is nothing more to do now. */
static bool read_once(struct conn *c)
{
	char *at = loop_input_scratch(c->loop);
	size_t room = LOOP_SCRATCH_BYTES;
	ssize_t n = read_some(c, at, room);

	if (n == -EAGAIN)
		return false;
	if (n == -EPROTO && c->ssl != NULL) {
		conn_tls_fail(c, "TLS");
		return false;
	}
	if (n < 0) {
		fail_errno(c, (int)-n, "read from");
		return false;
	}
	if (n == 0 && c->write_broken) {
		fail_errno(c, EPIPE,
			   "write to"); /* the owner may be waiting for a CONN_DRAINED that cannot come */
		return false;
	}
	if (n == 0) {
		c->peer_ended = true;
		conn_update_reading(c);
		conn_tell(c, CONN_EOF);
		return false;
	}
	note_activity(c);
	c->read_bytes += (uint64_t)n;
	if (buf_bytes(&c->in) > 0)
		buf_add(&c->in, (struct span){ at, (size_t)n });
	else
		c->scratch = (struct span){ at, (size_t)n };
	conn_tell(c, CONN_INPUT);
	if (!c->dead)
		keep_rest(c);
	return c->ssl != NULL || (size_t)n == room;
}

static void read_more(struct conn *c)
{
	for (int i = 0; i < READS_PER_ROUND_MAX; i++) {
		if (c->dead || c->phase != PHASE_OPEN || !wants_input(c) || !read_once(c))
			return;
	}
	if (!c->dead && c->phase == PHASE_OPEN && conn_tls_has_pending(c)) {
		c->show_input = true; /* the kernel will not tell of records that OpenSSL has read ahead */
		task_schedule(c->task);
	}
}

static void linger(struct conn *c)
{
	char *p = loop_scratch(c->loop);
	ssize_t n = recv(c->fd, p, LOOP_SCRATCH_BYTES, 0);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		c->dead = true;
}

/* ---- writing ---- */

static ssize_t write_some(struct conn *c, struct span s)
{
	/* What waits when TLS is asked for goes out before the handshake: in the clear. */
	if (c->ssl != NULL && c->phase != PHASE_TLS_WAITS)
		return conn_tls_write(c, s);
	ssize_t put = send(c->fd, s.p, s.n, MSG_NOSIGNAL);
	if (put >= 0)
		return put;
	return errno == EINTR ? -EAGAIN : -errno;
}

static void begin_linger(struct conn *c)
{
	if (c->ssl != NULL)
		conn_tls_end(c);
	(void)shutdown(c->fd, SHUT_WR);
	c->phase = PHASE_LINGER;
	c->finishing_on.settled = true;
	if (c->peer_ended)
		c->dead = true;
	conn_update_reading(c);
}

static void after_drained(struct conn *c)
{
	if (c->phase == PHASE_TLS_WAITS) {
		c->phase = PHASE_HANDSHAKE;
		conn_tls_handshake(c);
	} else if (c->finishing && c->phase == PHASE_OPEN) {
		begin_linger(c);
	}
}

static void flush(struct conn *c)
{
	if (c->phase != PHASE_OPEN && c->phase != PHASE_TLS_WAITS)
		return;
	bool had_output = buf_bytes(&c->out) > 0;
	ssize_t n = 0;
	while (buf_bytes(&c->out) > 0 && !c->write_broken) {
		n = write_some(c, buf_span(&c->out));
		if (n < 0)
			break;
		note_activity(c);
		c->written_bytes += (uint64_t)n;
		buf_consume(&c->out, (size_t)n);
	}
	if (n < 0 && n != -EAGAIN) {
		/* The peer's last words may still be unread (a 421, say): where there is reading, it goes on
		 * and ends the conn. */
		c->write_broken = true;
		if (c->finishing || !wants_input(c))
			fail_errno(c, (int)-n, "write to");
	}
	if (c->write_broken)
		buf_reset(&c->out);
	conn_update_writing(c, buf_bytes(&c->out) > 0 && !c->write_on_read);
	conn_update_reading(c);
	if (buf_bytes(&c->out) > 0 || c->dead || c->phase == PHASE_FAILED)
		return;
	buf_free(&c->out);
	if (had_output && !c->write_broken)
		conn_tell(c, CONN_DRAINED);
	if (!c->dead && buf_bytes(&c->out) == 0)
		after_drained(c);
}

/* ---- events from the loop ---- */

static void connected(struct conn *c)
{
	int error = 0;
	socklen_t n = sizeof(error);

	conn_update_writing(c, false);
	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &n) != 0)
		error = errno;
	if (error != 0) {
		fail_errno(c, error, "connect to");
		return;
	}
	c->local.n = sizeof(c->local.ss);
	(void)getsockname(c->fd, (struct sockaddr *)&c->local.ss, &c->local.n);
	note_activity(c);
	c->phase = c->ssl != NULL ? PHASE_TLS_WAITS : PHASE_OPEN;
	conn_tell(c, CONN_CONNECTED);
	if (!c->dead) {
		conn_update_reading(c);
		flush(c);
	}
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;
	(void)fd;
	(void)what;

	enter(c);
	if (c->phase == PHASE_HANDSHAKE)
		conn_tls_handshake(c);
	else if (c->phase == PHASE_LINGER)
		linger(c);
	else if (c->phase == PHASE_OPEN) {
		if (c->write_on_read) {
			c->write_on_read = false;
			flush(c);
		}
		read_more(c);
	}
	if (!c->dead) {
		if (buf_bytes(&c->out) > 0 && !c->write_wanted)
			flush(c);
		conn_update_reading(c);
	}
	(void)leave(c);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;
	(void)fd;
	(void)what;

	enter(c);
	if (c->phase == PHASE_CONNECTING)
		connected(c);
	else if (c->phase == PHASE_HANDSHAKE)
		conn_tls_handshake(c);
	else {
		if (c->read_on_write) {
			c->read_on_write = false;
			read_more(c);
		}
		if (!c->dead)
			flush(c);
	}
	(void)leave(c);
}

static void on_task(void *ctx)
{
	struct conn *c = ctx;

	enter(c);
	if (c->show_input && c->phase == PHASE_OPEN && !c->paused && !c->finishing) {
		c->show_input = false;
		if (buf_bytes(&c->in) > 0)
			conn_tell(c, CONN_INPUT);
		if (!c->dead && conn_tls_has_pending(c))
			read_more(c);
	}
	if (!c->dead)
		flush(c);
	if (!c->dead)
		conn_update_reading(c);
	(void)leave(c);
}

static void on_idle(void *ctx)
{
	struct conn *c = ctx;
	int64_t left_ms = c->active_at_ms + c->idle_ms - clock_mono_ms();

	if (left_ms > 0) {
		timer_set_ms(c->idle, left_ms);
		return;
	}
	enter(c);
	if (c->finishing)
		c->dead = true;
	else
		conn_tell(c, CONN_TIMEOUT);
	(void)leave(c);
}

/* ---- making ---- */

static struct conn *new_conn(const struct conn_options *o, int fd)
{
	assert(o->loop != NULL);
	assert(o->on_event != NULL);
	struct conn *c = calloc(1, sizeof(*c));
	int one = 1;

	if (c == NULL)
		abort();
	*c = (struct conn){
		.loop = o->loop,
		.on_event = o->on_event,
		.ctx = o->ctx,
		.fd = fd,
		.phase = PHASE_OPEN,
		.input_bytes_max = o->input_bytes_max != 0 ? o->input_bytes_max : INPUT_BYTES_MAX_DEFAULT,
		.on_closed = o->on_closed,
		.closed_ctx = o->closed_ctx,
	};
	if (fd >= 0) {
		(void)evutil_make_socket_nonblocking(fd);
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one,
				 sizeof(one)); /* fails on Unix sockets, harmlessly */
	}
	c->readable = event_new(loop_event_base(o->loop), fd, EV_READ | EV_PERSIST, on_readable, c);
	c->writable = event_new(loop_event_base(o->loop), fd, EV_WRITE | EV_PERSIST, on_writable, c);
	c->task = task_new(o->loop, on_task, c);
	if (c->readable == NULL || c->writable == NULL)
		abort();
	return c;
}

struct conn *conn_take(const struct conn_options *o, int fd)
{
	struct conn *c = new_conn(o, fd);

	c->peer.n = sizeof(c->peer.ss);
	if (getpeername(fd, (struct sockaddr *)&c->peer.ss, &c->peer.n) != 0)
		c->peer.n = 0;
	c->local.n = sizeof(c->local.ss);
	if (getsockname(fd, (struct sockaddr *)&c->local.ss, &c->local.n) != 0)
		c->local.n = 0;
	conn_update_reading(c);
	return c;
}

/* The failure is told later, from the loop, as every other outcome. */
static void fail_later(struct conn *c, int errno_value)
{
	char peer[56];
	(void)err_errno(&c->error, errno_value, "connect to %s", addr_format(&c->peer, peer));
	c->idle_ms = 0;
	event_active(c->writable, EV_WRITE, 1);
}

static void on_connect_failed(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;
	(void)fd;
	(void)what;
	enter(c);
	conn_fail(c);
	(void)leave(c);
}

struct conn *conn_connect(const struct conn_options *o, const struct addr *to, const struct addr *bind_to)
{
	int fd = socket(to->ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int error = fd < 0 ? errno : 0;
	int one = 1;
	struct conn *c = new_conn(o, fd);

	c->phase = PHASE_CONNECTING;
	c->peer = *to;
	if (error == 0 && bind_to != NULL) {
		/* So that thousands of connections from one address do not use up ports at bind time. */
		(void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
		if (bind(fd, (const struct sockaddr *)&bind_to->ss, bind_to->n) != 0)
			error = errno;
	}
	if (error == 0 && connect(fd, (const struct sockaddr *)&to->ss, to->n) != 0 && errno != EINPROGRESS)
		error = errno;
	if (error != 0) {
		event_free(c->writable);
		c->writable = event_new(loop_event_base(o->loop), -1, 0, on_connect_failed, c);
		fail_later(c, error);
		return c;
	}
	conn_update_writing(c, true);
	return c;
}

/* ---- the owner's side ---- */

struct span conn_input(const struct conn *c)
{
	return c->scratch.n > 0 ? c->scratch : buf_span(&c->in);
}

void conn_consume(struct conn *c, size_t n)
{
	if (c->scratch.n > 0) {
		assert(n <= c->scratch.n);
		c->scratch = span_sub(c->scratch, n, c->scratch.n);
		return;
	}
	bool was_full = buf_bytes(&c->in) >= c->input_bytes_max;
	buf_consume(&c->in, n);
	if (c->depth > 0 && !was_full)
		return; /* whoever is reading goes on by itself */
	conn_update_reading(c);
	if (conn_tls_has_pending(c)) {
		c->show_input = true;
		task_schedule(c->task);
	}
}

void conn_write(struct conn *c, struct span s)
{
	if (c->phase == PHASE_FAILED || c->write_broken || s.n == 0)
		return;
	buf_add(&c->out, s);
	task_schedule(c->task);
}

void conn_write_buf(struct conn *c, struct buf *b)
{
	if (buf_bytes(&c->out) > 0 || c->phase == PHASE_FAILED || c->write_broken) {
		conn_write(c, buf_span(b));
		buf_reset(b);
		return;
	}
	struct buf empty = c->out;
	buf_reset(&empty);
	c->out = *b;
	*b = empty;
	if (buf_bytes(&c->out) > 0)
		task_schedule(c->task);
}

size_t conn_output_bytes(const struct conn *c)
{
	return buf_bytes(&c->out);
}

uint64_t conn_written_bytes(const struct conn *c)
{
	return c->written_bytes;
}

uint64_t conn_read_bytes(const struct conn *c)
{
	return c->read_bytes;
}

size_t conn_held_bytes(const struct conn *c)
{
	return c->in.room + c->out.room;
}

void conn_pause(struct conn *c)
{
	c->paused = true;
	conn_update_reading(c);
}

void conn_resume(struct conn *c)
{
	c->paused = false;
	c->show_input = true;
	task_schedule(c->task);
}

static void set_timeout(struct conn *c, int64_t timeout_ms, bool deadline)
{
	bool sooner = timeout_ms < c->idle_ms;

	c->idle_ms = timeout_ms;
	c->deadline = deadline;
	if (timeout_ms <= 0) {
		if (c->idle != NULL)
			timer_clear(c->idle);
		return;
	}
	if (c->idle == NULL)
		c->idle = timer_new(c->loop, on_idle, c);
	c->active_at_ms = clock_mono_ms();
	if (sooner || !timer_is_set(c->idle)) /* else on_idle sees that there is time left */
		timer_set_ms(c->idle, timeout_ms);
}

void conn_set_timeout_ms(struct conn *c, int64_t timeout_ms)
{
	set_timeout(c, timeout_ms, false);
}

void conn_set_deadline_ms(struct conn *c, int64_t deadline_ms)
{
	set_timeout(c, deadline_ms, true);
}

static void free_finishing(void *ctx)
{
	destroy(ctx);
}

void conn_finish(struct conn *c)
{
	if (c->phase == PHASE_FAILED || c->phase == PHASE_CONNECTING || c->phase == PHASE_HANDSHAKE) {
		conn_free(c);
		return;
	}
	conn_set_deadline_ms(c,
			     CONN_FINISH_MS + (int64_t)buf_bytes(&c->out) * 1000 / CONN_FINISH_BYTES_PER_S);
	c->finishing = true;
	if (c->depth == 0)
		buf_free(&c->in); /* nobody looks at it any more */
	c->finishing_on = (struct loop_member){ .free_fn = free_finishing, .ctx = c };
	loop_join(c->loop, &c->finishing_on);
	task_schedule(c->task);
}

void conn_free(struct conn *c)
{
	if (c == NULL || c->dead)
		return;
	c->dead = true;
	stop_events(c);
	if (c->depth == 0)
		destroy(c);
}

void conn_reset(struct conn *c)
{
	struct linger at_once = { .l_onoff = 1, .l_linger = 0 };
	(void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	conn_free(c);
}

const struct err *conn_error(const struct conn *c)
{
	return &c->error;
}

const struct addr *conn_peer(const struct conn *c)
{
	return &c->peer;
}

const struct addr *conn_local(const struct conn *c)
{
	return &c->local;
}

int conn_fd(const struct conn *c)
{
	return c->fd;
}
