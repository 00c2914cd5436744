/*
 * Any exchange with a SASL mechanism: the first byte chooses the mechanism, each line
 * of the rest is a message of the client.  Checked: every message has one outcome,
 * the exchange ends after anything but a challenge, and nobody gets in but by the one
 * password that the account has.
 */
#include "base/conn.h"
#include "base/file.h"
#include "reference-server/drive/auth.h"
#include "reference-server/store/account.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>
#include <sys/socket.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
static char dir[] = "/tmp/postrider-fuzz-XXXXXX";
static struct server server;
static struct conn *conn;

enum { STEPS_MAX = 8 };

static void clean_up(void)
{
	struct err err;

	conn_free(conn);
	auth_free(server.auth);
	pool_free(server.pool);
	store_close(server.store);
	config_free(server.config);
	loop_free(server.loop);
	(void)dir_remove(dir, &err);
}

static void on_conn(void *ctx, enum conn_event event)
{
	(void)ctx;
	(void)event;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct store_options o = { .data_dir = dir, .map_bytes_max = 64 << 20 };
	struct account_keys keys;
	struct err err;
	int pair[2];

	(void)argc;
	(void)argv;
	server.loop = loop_new();
	server.config = config_new();
	must(mkdtemp(dir) != NULL && store_open(&o, &server.store, &err) == 0);
	must(config_set_domain(server.config, "fredsco.example", &err) == 0);
	server.config->auth_failure_delay_ms = 0;
	server.config->auth_iterations = ACCOUNT_ITERATIONS_MIN;
	account_derive(SPAN_LIT("secret"), ACCOUNT_ITERATIONS_MIN, &keys);
	account_add(server.store, SPAN_LIT("sales@fredsco.example"), &keys, NULL, NULL);
	store_drain(server.store);
	server.pool = pool_new(server.loop, 1);
	server.auth = auth_new(&server);
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	conn = conn_take(&(struct conn_options){ .loop = server.loop, .on_event = on_conn }, pair[0]);
	(void)atexit(clean_up);
	return 0;
}

struct outcome {
	uint32_t count;
	enum auth_result result;
	bool is_sales;
};

static void on_result(void *ctx, enum auth_result result, struct span text)
{
	struct outcome *o = ctx;

	o->count++;
	o->result = result;
	o->is_sales = span_eq(text, SPAN_LIT("sales@fredsco.example"));
	loop_stop(server.loop);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = { "PLAIN", "LOGIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS" };
	struct outcome o = { .result = AUTH_CHALLENGE };

	if (size < 1)
		return 0;
	struct span rest = { (const char *)data + 1, size - 1 }, line;
	struct auth_exchange *x = auth_start(server.auth, conn, span_of(names[data[0] % 4]), on_result, &o);
	must((x == NULL) == (data[0] % 4 == 3)); /* nothing to be bound to */
	for (uint32_t step = 1; x != NULL && step <= STEPS_MAX && o.result == AUTH_CHALLENGE; step++) {
		if (!span_take_until(&rest, '\n', &line)) {
			line = rest;
			rest = (struct span){ NULL, 0 };
		}
		auth_step(x, line, line.n > 0 || (data[0] & 0x10) != 0);
		loop_run(server.loop);
		must(o.count == step && o.result <= AUTH_TROUBLE);
	}
	must(o.result != AUTH_TROUBLE && (o.result != AUTH_OK || o.is_sales));
	auth_exchange_free(x);
	return 0;
}
