#include "reference-server/drive/control.h"

#include "base/conn.h"
#include "base/listener.h"
#include "base/log.h"
#include "base/unix_socket.h"
#include "reference-server/drive/admin.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	OUTPUT_BYTES_MAX = 64 * 1024, /* of an answer waiting for the kernel */
	LAST_LINE_BYTES_MAX = 1024 * 1024 * 64,
};

struct client {
	struct control *control;
	struct conn *conn;
	struct admin_job *job;
	struct task *again; /* the next step, after everybody else had a turn */
	bool ended;
	TAILQ_ENTRY(client) next;
};

struct control {
	struct server *server;
	struct listener *listener;
	TAILQ_HEAD(, client) clients;
	uint32_t client_count;
	struct task *reap; /* frees clients that have ended, when none of their callbacks runs */
};

static void client_free(struct client *c)
{
	TAILQ_REMOVE(&c->control->clients, c, next);
	c->control->client_count--;
	admin_free(c->job);
	task_free(c->again);
	conn_free(c->conn);
	free(c);
}

static void end(struct client *c)
{
	if (c->ended)
		return;
	c->ended = true;
	if (c->conn != NULL)
		conn_finish(c->conn);
	c->conn = NULL;
	task_schedule(c->control->reap);
}

static void on_reap(void *ctx)
{
	struct control *control = ctx;
	struct client *c, *next;

	for (c = TAILQ_FIRST(&control->clients); c != NULL; c = next) {
		next = TAILQ_NEXT(c, next);
		if (c->ended)
			client_free(c);
	}
}

static void refuse(struct client *c, const char *text)
{
	conn_write(c->conn, SPAN_LIT("failed "));
	conn_write(c->conn, span_of(text));
	conn_write(c->conn, SPAN_LIT("\n"));
	end(c);
}

static void finish(struct client *c)
{
	conn_write(c->conn, SPAN_LIT("done\n"));
	end(c);
}

/* One step a loop round, as fast as the client reads: neither a long queue nor a slow reader holds up others. */
static void step(void *ctx)
{
	struct client *c = ctx;
	struct buf text = { 0 };

	if (c->ended || c->job == NULL || conn_output_bytes(c->conn) >= OUTPUT_BYTES_MAX)
		return; /* CONN_DRAINED goes on */
	enum admin_step s = admin_step(c->job, &text);
	conn_write(c->conn, buf_span(&text));
	buf_free(&text);
	switch (s) {
	case ADMIN_MORE:
		task_schedule(c->again);
		break;
	case ADMIN_WAIT:
		break;
	case ADMIN_DONE:
		finish(c);
		break;
	case ADMIN_FAILED:
		refuse(c, admin_error(c->job)->text);
		break;
	}
}

static void begin(struct client *c, struct span request)
{
	struct server *server = c->control->server;

	if (span_eq(request, SPAN_LIT("reload\n"))) {
		server_reload(server);
		finish(c);
		return;
	}
	c->again = task_new(server->loop, step, c);
	conn_set_timeout_ms(c->conn, CONTROL_STALL_MS);
	c->job = admin_start(&(struct admin_options){ .store = server->store,
						      .iterations = server->config->auth_iterations,
						      .server = server,
						      .wake = step,
						      .ctx = c },
			     request);
	step(c);
}

/* A request is one line; `account add` has a second one, the password. */
static bool request_is_whole(struct span in)
{
	size_t first = span_find(in, '\n');
	if (first == in.n)
		return false;
	if (!span_starts_nocase(in, SPAN_LIT("account add ")))
		return true;
	struct span rest = span_sub(in, first + 1, in.n);
	return span_find(rest, '\n') < rest.n;
}

static void on_conn(void *ctx, enum conn_event event)
{
	struct client *c = ctx;

	switch (event) {
	case CONN_CONNECTED:
	case CONN_SECURED:
		break;
	case CONN_INPUT: {
		struct span in = conn_input(c->conn);
		if (c->job != NULL || !request_is_whole(in)) {
			if (in.n > CONTROL_REQUEST_BYTES_MAX)
				refuse(c, "request is too long");
			break;
		}
		struct buf request = { 0 };
		buf_add(&request, in);
		conn_consume(c->conn, in.n);
		begin(c, buf_span(&request));
		explicit_bzero(request.p, request.room);
		buf_free(&request);
		break;
	}
	case CONN_DRAINED:
		step(c);
		break;
	case CONN_EOF:
		if (c->job == NULL)
			end(c); /* half-closed clients still get their answer */
		break;
	case CONN_TIMEOUT:
	case CONN_FAILED:
		end(c);
		break;
	}
}

static void on_accept(void *ctx, int fd, const struct addr *peer)
{
	struct control *control = ctx;
	struct client *c = calloc(1, sizeof(*c));
	(void)peer;

	if (c == NULL)
		abort();
	c->control = control;
	c->conn = conn_take(
		&(struct conn_options){ .loop = control->server->loop, .on_event = on_conn, .ctx = c }, fd);
	conn_set_timeout_ms(c->conn, CONTROL_SILENCE_MS);
	TAILQ_INSERT_TAIL(&control->clients, c, next);
	if (++control->client_count > CONTROL_CONNECTIONS_MAX)
		refuse(c, "too many commands at once; try again");
}

static void socket_path(const char *data_dir, struct buf *b)
{
	buf_addf(b, "%s/control", data_dir);
}

struct control *control_new(struct server *server, struct err *reterr)
{
	struct control *c = calloc(1, sizeof(*c));
	struct buf path = { 0 };

	if (c == NULL)
		abort();
	c->server = server;
	TAILQ_INIT(&c->clients);
	c->reap = task_new(server->loop, on_reap, c);
	socket_path(server->config->data_dir, &path);
	c->listener = listener_new_unix(server->loop, buf_cstr(&path), on_accept, c, reterr);
	buf_free(&path);
	if (c->listener == NULL) {
		control_free(c);
		return NULL;
	}
	return c;
}

void control_free(struct control *c)
{
	struct client *client;

	if (c == NULL)
		return;
	listener_free(c->listener);
	while ((client = TAILQ_FIRST(&c->clients)) != NULL)
		client_free(client);
	task_free(c->reap);
	free(c);
}

/* ---- the command's side ---- */

static int send_all(int fd, struct span s)
{
	while (s.n > 0) {
		ssize_t n = send(fd, s.p, s.n, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		s = span_sub(s, (size_t)n, s.n);
	}
	return 0;
}

/* Where the last line begins, whole or not. */
static size_t last_line_at(struct span s)
{
	size_t at = s.n > 0 ? s.n - 1 : 0;
	while (at > 0 && s.p[at - 1] != '\n')
		at--;
	return at;
}

/* Copies lines to out as they come; the last one, which is the verdict, stays in b. */
static int receive_all(int fd, FILE *out, struct buf *b)
{
	for (;;) {
		ssize_t n = recv(fd, buf_reserve(b, 65536), 65536, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return 0;
		buf_grow(b, (size_t)n);
		size_t at = last_line_at(buf_span(b));
		if (at > 0 && fwrite(buf_span(b).p, 1, at, out) != at)
			return errno != 0 ? -errno : -EIO;
		buf_consume(b, at);
		if (buf_bytes(b) > LAST_LINE_BYTES_MAX)
			return -EFBIG;
	}
}

static int verdict(struct span line, const char *path, struct err *reterr)
{
	if (span_eq(line, SPAN_LIT("done\n")))
		return 0;
	if (line.n > 0 && line.p[line.n - 1] == '\n' && span_take_prefix_nocase(&line, SPAN_LIT("failed ")))
		return err_set(reterr, -EPROTO, "%.*s", (int)(line.n - 1), line.p);
	return err_set(reterr, -EPIPE, "%s: the server ended in the middle of its answer", path);
}

int control_request(const char *data_dir, struct span request, FILE *out, struct err *reterr)
{
	struct buf path = { 0 }, answer = { 0 };
	int fd = -1;

	socket_path(data_dir, &path);
	int rc = unix_socket_connect(buf_cstr(&path));
	if (rc >= 0) {
		fd = rc;
		rc = 0;
	} else if (rc == -ECONNREFUSED) {
		rc = -ENOENT; /* a socket that a killed server left behind */
	}
	if (rc == 0)
		rc = send_all(fd, request);
	if (rc == 0)
		rc = receive_all(fd, out, &answer);
	rc = rc != 0 ? err_errno(reterr, -rc, "%s", buf_cstr(&path))
		     : verdict(buf_span(&answer), buf_cstr(&path), reterr);
	if (fd >= 0)
		(void)close(fd);
	buf_free(&path);
	buf_free(&answer);
	return rc;
}
