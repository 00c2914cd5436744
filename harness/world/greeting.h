/*
 * greeting: waits until ports greet, by trying again and again: there is no
 * event for a server that begins to listen.
 *
 * A greeting is a first line that is not one of refusal (RFC 5321 3.1: 220;
 * RFC 1939 4: +OK); for ports with TLS from the first byte, the connection.
 */
#ifndef HARNESS_WORLD_GREETING_H
#define HARNESS_WORLD_GREETING_H

#include "base/addr.h"
#include "base/loop.h"

struct greeting;

enum { GREETING_PORTS_MAX = 8 };

struct greeting_port {
	struct addr at;
	bool implicit_tls;
};

struct greeting_options {
	struct loop *loop;
	struct greeting_port ports[GREETING_PORTS_MAX];
	uint32_t port_count;
	void (*on_all)(void *ctx); /* once, and then the greeting may be freed inside */
	void *ctx;
};

struct greeting *greeting_await(const struct greeting_options *o);
void greeting_free(struct greeting *g); /* accepts NULL */
/* What is still missing, "127.0.0.1:25: connection refused"; "" when nothing is. */
const char *greeting_missing(struct greeting *g);

#endif
