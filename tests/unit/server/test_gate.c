/*
 * gate: connections of made-up peers, over socket pairs whose other end is looked at.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "reference-server/drive/gate.h"
#include "reference-server/drive/server.h"

struct world {
	struct server server;
	char said[200]; /* to whom was turned away last */
};

static void build(struct world *w)
{
	log_set_level(LOG_ERROR);
	*w = (struct world){ 0 };
	w->server.config = config_new();
	w->server.gate = gate_new();
}

static void tear_down(struct world *w)
{
	assert_int_equal(gate_count(w->server.gate), 0);
	assert_int_equal(gate_client_count(w->server.gate), 0);
	gate_free(w->server.gate);
	config_free(w->server.config);
}

static struct gate_pass *enter(struct world *w, enum service service, const char *ip)
{
	struct addr peer;
	int ends[2];

	assert_true(addr_parse(ip, 4321, &peer));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	struct gate_pass *pass = gate_enter(&w->server, service, ends[0], &peer);
	if (pass == NULL) {
		ssize_t n = read(ends[1], w->said, sizeof(w->said) - 1); /* up to its end: it was closed */
		assert_true(n >= 0);
		w->said[n] = '\0';
	} else {
		(void)close(ends[0]);
	}
	(void)close(ends[1]);
	return pass;
}

static void one_client_cannot_take_all(void **state)
{
	struct world w;
	(void)state;

	build(&w);
	w.server.config->limits.connections_per_address_max = 2;
	struct gate_pass *a = enter(&w, SERVICE_SMTP, "192.0.2.1"), *b = enter(&w, SERVICE_POP3, "192.0.2.1");
	assert_true(a != NULL && b != NULL);
	assert_null(enter(&w, SERVICE_SMTP, "192.0.2.1"));
	assert_string_equal(w.said, "421 4.7.0 too many connections from your address, try again later\r\n");
	assert_null(enter(&w, SERVICE_POP3, "192.0.2.1"));
	assert_string_equal(w.said,
			    "-ERR [SYS/TEMP] too many connections from your address, try again later\r\n");
	assert_null(enter(&w, SERVICE_POP3S, "192.0.2.1"));
	assert_string_equal(w.said, "");
	assert_int_equal(w.server.counters.connections_refused_address, 3);
	struct gate_pass *other = enter(&w, SERVICE_SMTP, "192.0.2.2");
	assert_non_null(other);
	gate_leave(a);
	a = enter(&w, SERVICE_SMTP, "192.0.2.1");
	assert_non_null(a);
	gate_leave(a);
	gate_leave(b);
	gate_leave(other);
	tear_down(&w);
}

static void an_ipv6_client_has_a_64_and_a_mapped_one_its_ipv4_address(void **state)
{
	struct world w;
	(void)state;

	build(&w);
	w.server.config->limits.connections_per_address_max = 1;
	struct gate_pass *v6 = enter(&w, SERVICE_SMTP, "2001:db8:1:2::1");
	struct gate_pass *v4 = enter(&w, SERVICE_SMTP, "192.0.2.1");
	assert_true(v6 != NULL && v4 != NULL);
	assert_null(enter(&w, SERVICE_SMTP, "2001:db8:1:2:ffff:ffff:ffff:ffff"));
	assert_null(enter(&w, SERVICE_SMTP, "::ffff:192.0.2.1"));
	struct gate_pass *next = enter(&w, SERVICE_SMTP, "2001:db8:1:3::1");
	struct gate_pass *mapped = enter(&w, SERVICE_SMTP, "::ffff:192.0.2.2");
	assert_true(next != NULL && mapped != NULL);
	assert_int_equal(gate_client_count(w.server.gate), 4);
	gate_leave(v6);
	gate_leave(v4);
	gate_leave(next);
	gate_leave(mapped);
	tear_down(&w);
}

static void trusted_hosts_count_in_the_whole_only(void **state)
{
	enum { MANY = 50 };
	struct world w;
	struct gate_pass *passes[MANY];
	(void)state;

	build(&w);
	struct addr_block near;
	assert_true(addr_block_parse("10.0.0.0/8", &near));
	w.server.config->relay_from = malloc(sizeof(near));
	assert_non_null(w.server.config->relay_from);
	w.server.config->relay_from[0] = near;
	w.server.config->relay_from_count = 1;
	w.server.config->limits.connections_per_address_max = 1;
	w.server.config->limits.connection_count_max = MANY;
	for (int i = 0; i < MANY; i++) {
		passes[i] = enter(&w, SERVICE_SMTP, "10.1.2.3");
		assert_non_null(passes[i]);
	}
	assert_null(enter(&w, SERVICE_SMTP, "10.1.2.3"));
	assert_string_equal(w.said, "421 4.3.2 too many connections, try again later\r\n");
	assert_int_equal(w.server.counters.connections_refused, 1);
	for (int i = 0; i < MANY; i++)
		gate_leave(passes[i]);
	tear_down(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_client_cannot_take_all),
		cmocka_unit_test(an_ipv6_client_has_a_64_and_a_mapped_one_its_ipv4_address),
		cmocka_unit_test(trusted_hosts_count_in_the_whole_only),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
