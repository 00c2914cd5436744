#include "harness/cli/dns.h"

#include "base/opt.h"
#include "harness/world/dns.h"

#include <signal.h>
#include <stdio.h>

static void on_signal(void *ctx, int signo)
{
	(void)signo;
	loop_stop(ctx);
}

static void on_query(void *ctx, const struct dns_query *q)
{
	(void)ctx;
	(void)printf("%s %s %s %s\n", q->tcp ? "tcp" : "udp", q->name, q->type, q->result);
	(void)fflush(stdout);
}

/* 0 once a signal ended it, else 2 after a message. */
static int serve(struct loop *l, struct dns *d, const char *zone, const char *listen)
{
	struct addr at;
	struct err err;
	char text[56];

	if (!addr_parse_port(listen, &at)) {
		(void)fprintf(stderr, "postrider dns: --listen %s: expected ADDRESS:PORT\n", listen);
		return 2;
	}
	if (!addr_is_loopback(&at)) {
		(void)fprintf(stderr, "postrider dns: --listen %s: only loopback addresses are served\n",
			      listen);
		return 2;
	}
	if (dns_add_file(d, zone, &err) != 0 || dns_listen(d, &at, &err) < 0) {
		(void)fprintf(stderr, "postrider dns: %s\n", err.text);
		return 2;
	}
	dns_on_query(d, on_query, NULL);
	struct signal_watch *interrupt = signal_watch_new(l, SIGINT, on_signal, l);
	struct signal_watch *terminate = signal_watch_new(l, SIGTERM, on_signal, l);
	(void)printf("dns %s\nready\n", addr_format(dns_addr(d, 0), text));
	(void)fflush(stdout);
	loop_run(l);
	signal_watch_free(interrupt);
	signal_watch_free(terminate);
	return 0;
}

int cli_dns(int argc, char **argv)
{
	const char *zone = NULL, *listen = "127.0.0.1:5353";
	const struct opt options[] = {
		{ "zone", OPT_STR, &zone, .value = "FILE",
		  .help = "zone file (RFC 1035 master file); needed" },
		{ "listen", OPT_STR, &listen, .value = "ADDRESS:PORT", .help = "default 127.0.0.1:5353" },
		{ 0 },
	};
	int rc = opt_parse(
		&(struct opt_command){ .name = "postrider dns",
				       .purpose = "Serves a zone file over UDP and TCP until it is "
						  "interrupted, and prints every query: the name server "
						  "that flows use, for tests by hand.",
				       .options = options,
				       .example = "postrider dns --zone test.zone --listen 127.0.0.1:5353\n"
						  "dig @127.0.0.1 -p 5353 fredsco.example MX",
				       .exit_codes = "0  ended by a signal\n2  usage or input error" },
		argc, argv);

	if (rc != OPT_GO)
		return rc;
	if (zone == NULL) {
		(void)fprintf(stderr, "postrider dns: --zone is missing\nTry 'postrider dns --help'.\n");
		return 2;
	}
	struct loop *l = loop_new();
	struct dns *d = dns_new(l);
	rc = serve(l, d, zone, listen);
	dns_free(d);
	loop_free(l);
	return rc;
}
