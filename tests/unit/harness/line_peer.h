/*
 * line_peer: a server for tests that answers every line by a function of the
 * test.  Listens on a free loopback port.
 */
#ifndef TESTS_UNIT_HARNESS_LINE_PEER_H
#define TESTS_UNIT_HARNESS_LINE_PEER_H

#include "base/buf.h"
#include "base/conn.h"
#include "base/listener.h"
#include "base/loop.h"

#include <stdlib.h>

enum peer_act {
	PEER_GO,
	PEER_CLOSE, /* after writing what was answered */
	PEER_RESET,
	PEER_TLS, /* after writing */
};

struct line_peer;
/* state: of the connection, from 0, the function's own.  line is NULL-p for the greeting. */
typedef enum peer_act peer_fn(void *ctx, uint32_t *state, struct span line, struct buf *ret_answer);

struct line_peer {
	struct loop *loop;
	peer_fn *fn;
	void *ctx;
	struct tls_ctx *tls;
	struct listener *listener;
	uint32_t connection_count;
	struct peer_client *clients;
};

struct peer_client {
	struct line_peer *peer;
	struct conn *conn;
	uint32_t state;
	struct peer_client *next;
};

static inline void peer_answer(struct peer_client *c, struct span line)
{
	struct buf answer = { 0 };
	enum peer_act act = c->peer->fn(c->peer->ctx, &c->state, line, &answer);
	conn_write(c->conn, buf_span(&answer));
	buf_free(&answer);
	if (act == PEER_TLS) {
		(void)conn_start_tls(c->conn, c->peer->tls, CONN_TLS_SERVER, NULL);
	} else if (act != PEER_GO) {
		struct conn *conn = c->conn;
		c->conn = NULL;
		if (act == PEER_RESET)
			conn_reset(conn);
		else
			conn_finish(conn);
	}
}

static inline void peer_event(void *ctx, enum conn_event event)
{
	struct peer_client *c = ctx;
	if (event == CONN_EOF || event == CONN_FAILED) {
		conn_free(c->conn);
		c->conn = NULL;
	}
	while (event == CONN_INPUT && c->conn != NULL) {
		struct span in = conn_input(c->conn);
		size_t n = span_find(in, '\n');
		if (n == in.n)
			return;
		struct buf line = { 0 };
		buf_add(&line, (struct span){ in.p, n > 0 && in.p[n - 1] == '\r' ? n - 1 : n });
		conn_consume(c->conn, n + 1);
		(void)buf_cstr(&line); /* so that an empty line is no greeting */
		peer_answer(c, buf_span(&line));
		buf_free(&line);
	}
}

static inline void peer_accept(void *ctx, int fd, const struct addr *from)
{
	struct line_peer *p = ctx;
	struct peer_client *c = calloc(1, sizeof(*c));
	(void)from;
	if (c == NULL)
		abort();
	p->connection_count++;
	c->peer = p;
	c->next = p->clients;
	p->clients = c;
	c->conn = conn_take(&(struct conn_options){ .loop = p->loop, .on_event = peer_event, .ctx = c }, fd);
	peer_answer(c, (struct span){ 0 });
}

static inline void peer_open(struct line_peer *p)
{
	struct addr at;
	struct err err;
	if (!addr_parse("127.0.0.1", 0, &at))
		abort();
	p->listener = listener_new(p->loop, &at, peer_accept, p, &err);
	if (p->listener == NULL)
		abort();
}

static inline void peer_close(struct line_peer *p)
{
	listener_free(p->listener);
	p->listener = NULL;
	while (p->clients != NULL) {
		struct peer_client *c = p->clients;
		p->clients = c->next;
		conn_free(c->conn);
		free(c);
	}
}

#endif
