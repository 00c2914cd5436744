#include "reference-server/drive/http.h"

#include "base/conn.h"
#include "base/listener.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

struct client {
	struct http *http;
	struct conn *conn;
	struct timer *deadline;
	bool ended;
	TAILQ_ENTRY(client) next;
};

struct http {
	struct loop *loop;
	struct listener *listener;
	http_fn *fn;
	void *ctx;
	struct task *reap; /* frees clients that have ended, when none of their callbacks runs */
	TAILQ_HEAD(, client) clients;
	uint32_t client_count;
};

/* ---- reading a request ---- */

/* RFC 9112 2.2 lets a recipient take a bare LF.  s.n when there is no empty line yet. */
static size_t head_end(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] != '\n')
			continue;
		if (i + 1 < s.n && s.p[i + 1] == '\n')
			return i + 2;
		if (i + 2 < s.n && s.p[i + 1] == '\r' && s.p[i + 2] == '\n')
			return i + 3;
	}
	return s.n + 1;
}

static bool is_version(struct span s, bool *ret_known)
{
	bool ok = s.n == 8 && memcmp(s.p, "HTTP/", 5) == 0 && s.p[5] >= '0' && s.p[5] <= '9' &&
		  s.p[6] == '.' && s.p[7] >= '0' && s.p[7] <= '9';
	*ret_known = ok && s.p[5] == '1';
	return ok;
}

unsigned http_parse(struct span in, struct span *ret_path, bool *ret_head)
{
	struct span line, method, target;
	bool known = false;

	if (head_end(in) > in.n)
		return in.n > HTTP_HEAD_BYTES_MAX ? 431 : 0;
	if (head_end(in) > HTTP_HEAD_BYTES_MAX)
		return 431;
	(void)span_take_until(&in, '\n', &line);
	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	if (!span_take_until(&line, ' ', &method) || !span_take_until(&line, ' ', &target) || method.n == 0 ||
	    target.n == 0 || target.p[0] != '/' || !is_version(line, &known))
		return 400;
	if (!known)
		return 505;
	bool head = span_eq(method, SPAN_LIT("HEAD"));
	if (!head && !span_eq(method, SPAN_LIT("GET")))
		return 405;
	*ret_path = span_sub(target, 0, span_find(target, '?'));
	*ret_head = head;
	return 200;
}

/* ---- answering ---- */

static const char *reason(unsigned status)
{
	switch (status) {
	case 200:
		return "OK";
	case 400:
		return "Bad Request";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 431:
		return "Request Header Fields Too Large";
	case 503:
		return "Service Unavailable";
	case 505:
		return "HTTP Version Not Supported";
	default:
		return "Error";
	}
}

static void end(struct client *c)
{
	if (c->ended)
		return;
	c->ended = true;
	timer_clear(c->deadline);
	task_schedule(c->http->reap);
}

static void answer(struct client *c, unsigned status, struct span path, bool head)
{
	const char *type = "text/plain; charset=utf-8";
	struct buf text = { 0 }, out = { 0 };

	if (status == 200)
		status = c->http->fn(c->http->ctx, path, &text, &type);
	if (buf_bytes(&text) == 0)
		buf_addf(&text, "%s\n", reason(status));
	buf_addf(&out,
		 "HTTP/1.1 %u %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nCache-Control: no-store\r\n"
		 "Connection: close\r\n%s\r\n",
		 status, reason(status), type, buf_bytes(&text), status == 405 ? "Allow: GET, HEAD\r\n" : "");
	if (!head)
		buf_add(&out, buf_span(&text));
	conn_write(c->conn, buf_span(&out));
	conn_finish(c->conn);
	c->conn = NULL;
	end(c);
	buf_free(&text);
	buf_free(&out);
}

static void on_conn(void *ctx, enum conn_event event)
{
	struct client *c = ctx;

	if (c->ended)
		return;
	switch (event) {
	case CONN_CONNECTED:
	case CONN_SECURED:
	case CONN_DRAINED:
	case CONN_TIMEOUT:
		break;
	case CONN_INPUT: {
		struct span path = { NULL, 0 };
		bool head = false;
		unsigned status = http_parse(conn_input(c->conn), &path, &head);
		if (status != 0)
			answer(c, status, path, head);
		break;
	}
	case CONN_EOF:
	case CONN_FAILED:
		end(c);
		break;
	}
}

static void on_deadline(void *ctx)
{
	end(ctx);
}

/* ---- clients come and go ---- */

static void client_free(struct client *c)
{
	TAILQ_REMOVE(&c->http->clients, c, next);
	c->http->client_count--;
	conn_free(c->conn);
	timer_free(c->deadline);
	free(c);
}

static void on_reap(void *ctx)
{
	struct http *h = ctx;
	struct client *c, *next;

	for (c = TAILQ_FIRST(&h->clients); c != NULL; c = next) {
		next = TAILQ_NEXT(c, next);
		if (c->ended)
			client_free(c);
	}
}

static void on_accept(void *ctx, int fd, const struct addr *peer)
{
	struct http *h = ctx;
	struct client *c = calloc(1, sizeof(*c));
	(void)peer;

	if (c == NULL)
		abort();
	c->http = h;
	c->conn = conn_take(&(struct conn_options){ .loop = h->loop, .on_event = on_conn, .ctx = c }, fd);
	c->deadline = timer_new(h->loop, on_deadline, c);
	timer_set_ms(c->deadline, HTTP_TIME_MS);
	TAILQ_INSERT_TAIL(&h->clients, c, next);
	if (++h->client_count > HTTP_CONNECTIONS_MAX)
		end(c);
}

struct http *http_new(struct loop *l, const struct addr *at, http_fn *fn, void *ctx, struct err *reterr)
{
	struct http *h = calloc(1, sizeof(*h));
	if (h == NULL)
		abort();
	*h = (struct http){ .loop = l, .fn = fn, .ctx = ctx };
	TAILQ_INIT(&h->clients);
	h->listener = listener_new(l, at, on_accept, h, reterr);
	if (h->listener == NULL) {
		free(h);
		return NULL;
	}
	h->reap = task_new(l, on_reap, h);
	return h;
}

const struct addr *http_addr(const struct http *h)
{
	return listener_addr(h->listener);
}

void http_free(struct http *h)
{
	struct client *c;

	if (h == NULL)
		return;
	listener_free(h->listener);
	while ((c = TAILQ_FIRST(&h->clients)) != NULL)
		client_free(c);
	task_free(h->reap);
	free(h);
}
