#include "harness/world/greeting.h"

#include "base/conn.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { RETRY_MS = 20, ANSWER_MAX_MS = 5000 };

struct greeting {
	struct greeting_options o;
	uint32_t next; /* ports before it have greeted */
	struct conn *conn;
	struct timer *again;
	char problem[200];
};

static void try_port(struct greeting *g);

static void try_later(struct greeting *g, const char *why)
{
	(void)snprintf(g->problem, sizeof(g->problem), "%s", why);
	conn_free(g->conn);
	g->conn = NULL;
	timer_set_ms(g->again, RETRY_MS);
}

static void take_port(struct greeting *g)
{
	conn_free(g->conn);
	g->conn = NULL;
	g->problem[0] = '\0';
	g->next++;
	/* From the loop, so that nobody is called back before greeting_await has returned. */
	timer_set_ms(g->again, 0);
}

static void take_input(struct greeting *g)
{
	struct span input = conn_input(g->conn);
	bool good = span_starts_nocase(input, SPAN_LIT("220")) ||
		    span_starts_nocase(input, SPAN_LIT("+OK")) || span_starts_nocase(input, SPAN_LIT("* OK"));

	if (span_find(input, '\n') == input.n)
		return;
	if (good)
		take_port(g);
	else
		try_later(g, "it greets with a refusal");
}

static void on_conn(void *ctx, enum conn_event event)
{
	struct greeting *g = ctx;

	switch (event) {
	case CONN_CONNECTED:
		if (g->o.ports[g->next].implicit_tls)
			take_port(g);
		break;
	case CONN_INPUT:
		take_input(g);
		break;
	case CONN_FAILED:
		try_later(g, conn_error(g->conn)->text);
		break;
	case CONN_EOF:
		try_later(g, "it closes without a greeting");
		break;
	case CONN_TIMEOUT:
		try_later(g, "it does not greet");
		break;
	case CONN_SECURED:
	case CONN_DRAINED:
		break;
	}
}

static void try_port(struct greeting *g)
{
	const struct conn_options co = { .loop = g->o.loop, .on_event = on_conn, .ctx = g };

	g->conn = conn_connect(&co, &g->o.ports[g->next].at, NULL);
	if (g->conn == NULL)
		try_later(g, "no connection could be made");
	else
		conn_set_timeout_ms(g->conn, ANSWER_MAX_MS);
}

static void on_again(void *ctx)
{
	struct greeting *g = ctx;

	if (g->next < g->o.port_count)
		try_port(g);
	else
		g->o.on_all(g->o.ctx);
}

struct greeting *greeting_await(const struct greeting_options *o)
{
	struct greeting *g = calloc(1, sizeof(*g));

	assert(o->port_count <= GREETING_PORTS_MAX);
	if (g == NULL)
		abort();
	g->o = *o;
	g->again = timer_new(o->loop, on_again, g);
	timer_set_ms(g->again, 0);
	return g;
}

void greeting_free(struct greeting *g)
{
	if (g == NULL)
		return;
	conn_free(g->conn);
	timer_free(g->again);
	free(g);
}

const char *greeting_missing(struct greeting *g)
{
	char at[56], why[200];

	if (g->next >= g->o.port_count)
		return "";
	(void)snprintf(why, sizeof(why), "%s", g->problem);
	(void)snprintf(g->problem, sizeof(g->problem), "%s: %.120s", addr_format(&g->o.ports[g->next].at, at),
		       why);
	return g->problem;
}
