#include "reference-server/drive/gate.h"

#include "base/log.h"
#include "reference-server/drive/server.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uthash.h>

/* One client; the pass of each of its connections points here. */
struct gate_pass {
	struct gate *gate;
	unsigned char key[ADDR_HOST_KEY_BYTES];
	uint32_t count;
	UT_hash_handle hh;
};

struct gate {
	struct gate_pass *clients;
	uint32_t count;
};

struct gate *gate_new(void)
{
	struct gate *g = calloc(1, sizeof(*g));
	if (g == NULL)
		abort();
	return g;
}

void gate_free(struct gate *g)
{
	assert(g == NULL || g->count == 0);
	free(g);
}

uint32_t gate_count(const struct gate *g)
{
	return g->count;
}

uint32_t gate_client_count(const struct gate *g)
{
	return HASH_COUNT(g->clients);
}

bool gate_trusts(const struct config *c, const struct addr *peer)
{
	for (uint32_t i = 0; i < c->relay_from_count; i++)
		if (addr_block_has(&c->relay_from[i], peer))
			return true;
	return false;
}

/* ---- one too many ---- */

static const char *refusal(enum service service, bool of_client)
{
	switch (service) {
	case SERVICE_SMTP:
	case SERVICE_SUBMISSION:
	case SERVICE_LMTP:
		return of_client ? "421 4.7.0 too many connections from your address, try again later\r\n"
				 : "421 4.3.2 too many connections, try again later\r\n";
	case SERVICE_POP3:
		return of_client
			       ? "-ERR [SYS/TEMP] too many connections from your address, try again later\r\n"
			       : "-ERR [SYS/TEMP] too many connections, try again later\r\n";
	case SERVICE_SUBMISSIONS:
	case SERVICE_POP3S:
	case SERVICE_COUNT:
		break;
	}
	return "";
}

static void turn_away(struct server *server, enum service service, int fd, const struct addr *peer,
		      const struct gate_pass *client)
{
	char ip[56];
	const char *text = refusal(service, client != NULL);

	if (client != NULL)
		server->counters.connections_refused_address++;
	else
		server->counters.connections_refused++;
	log_event(LOG_WARN, "connection-refused", LOG_C("service", service_name(service)),
		  LOG_C("peer", addr_format_ip(peer, ip)),
		  LOG_C("why", client != NULL ? "too many from this address" : "too many"),
		  LOG_I("connections", client != NULL ? client->count : server->gate->count));
	if (text[0] != '\0') {
		ssize_t n = send(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
		(void)n;
	}
	(void)close(fd);
}

/* ---- in and out ---- */

static struct gate_pass *client_new(struct gate *g, const unsigned char key[ADDR_HOST_KEY_BYTES])
{
	struct gate_pass *client = calloc(1, sizeof(*client));
	if (client == NULL)
		abort();
	client->gate = g;
	memcpy(client->key, key, ADDR_HOST_KEY_BYTES);
	HASH_ADD(hh, g->clients, key, ADDR_HOST_KEY_BYTES, client);
	return client;
}

struct gate_pass *gate_enter(struct server *server, enum service service, int fd, const struct addr *peer)
{
	const struct config_limits *limits = &server->config->limits;
	struct gate *g = server->gate;
	unsigned char key[ADDR_HOST_KEY_BYTES];
	struct gate_pass *client;

	if (g->count >= limits->connection_count_max) {
		turn_away(server, service, fd, peer, NULL);
		return NULL;
	}
	addr_host_key(peer, key);
	HASH_FIND(hh, g->clients, key, ADDR_HOST_KEY_BYTES, client);
	if (client != NULL && client->count >= limits->connections_per_address_max &&
	    !gate_trusts(server->config, peer)) {
		turn_away(server, service, fd, peer, client);
		return NULL;
	}
	if (client == NULL)
		client = client_new(g, key);
	client->count++;
	g->count++;
	return client;
}

void gate_leave(void *pass)
{
	struct gate_pass *client = pass;
	struct gate *g = client->gate;

	assert(client->count > 0 && g->count > 0);
	g->count--;
	if (--client->count > 0)
		return;
	HASH_DEL(g->clients, client);
	free(client);
}

struct conn *gate_conn(struct gate_pass *pass, struct loop *loop, int fd, conn_fn *on_event, void *ctx)
{
	return conn_take(&(struct conn_options){ .loop = loop,
						 .on_event = on_event,
						 .ctx = ctx,
						 .on_closed = gate_leave,
						 .closed_ctx = pass },
			 fd);
}
