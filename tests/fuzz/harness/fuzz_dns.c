/*
 * Any datagram as a query to the name server, over UDP and TCP.  Checked: what is
 * answered can be read, is an answer, carries the query's number and keeps within
 * the size that the query allows; an answer draws none.
 */
#include "harness/world/dns.h"
#include "tests/fuzz/fuzz.h"

#include <ldns/ldns.h>
#include <string.h>

enum { UDP_BYTES_PLAIN = 512 };

int LLVMFuzzerInitialize(int *argc, char ***argv);
static struct loop *loop;
static struct dns *dns;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const char *const lines[] = {
		"fredsco.example. 60 IN MX 10 mx.fredsco.example.",
		"mx.fredsco.example. 60 IN A 127.0.0.1",
		"mx.fredsco.example. 60 IN AAAA ::1",
		"also.example. 60 IN CNAME fredsco.example.",
		"ring.example. 60 IN CNAME ring.example.",
		"*.any.example. 60 IN A 127.0.0.2",
		"mx.signed.example. 60 IN A 127.0.0.3",
		"also.signed.example. 60 IN CNAME www.open.signed.example.",
		"www.open.signed.example. 60 IN A 127.0.0.4",
	};
	char line[128];
	struct err err;

	(void)argc;
	(void)argv;
	loop = loop_new();
	dns = dns_new(loop);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		must(dns_add(dns, DNS_VIEW_ALL, lines[i], &err) == 0);
	for (int i = 0; i < 60; i++) { /* too many for a datagram */
		(void)snprintf(line, sizeof(line), "many.example. 60 IN MX %d mx%d.many.example.", i, i);
		must(dns_add(dns, DNS_VIEW_ALL, line, &err) == 0);
	}
	(void)dns_fault_add(dns, "broken.example", DNS_SERVFAIL, 0);
	(void)dns_fault_add(dns, "gone.example", DNS_NXDOMAIN, 0);
	(void)dns_fault_add(dns, "silent.example", DNS_TIMEOUT, 0);
	must(dns_sign(dns, "signed.example", &err) == 0);
	(void)dns_fault_add(dns, "open.signed.example", DNS_UNSIGNED, 0);
	(void)dns_fault_add(dns, "bogus.signed.example", DNS_BOGUS, 0);
	(void)dns_fault_add(dns, "cut.example", DNS_TRUNCATED, 0);
	return 0;
}

static void check(struct span query, bool tcp)
{
	ldns_pkt *asked = NULL, *said = NULL;
	size_t n = 0;
	uint8_t *wire = dns_respond(dns, query, tcp, &n);

	if (wire == NULL)
		return;
	must(n >= 12 && query.n >= 12 && memcmp(wire, query.p, 2) == 0);
	must((wire[2] & 0x80) != 0 && (query.p[2] & 0x80) == 0);
	must(ldns_wire2pkt(&said, wire, n) == LDNS_STATUS_OK);
	must(ldns_wire2pkt(&asked, (const uint8_t *)query.p, query.n) == LDNS_STATUS_OK);
	size_t limit = ldns_pkt_edns(asked) ? ldns_pkt_edns_udp_size(asked) : UDP_BYTES_PLAIN;
	must(tcp || n <= (limit > UDP_BYTES_PLAIN ? limit : UDP_BYTES_PLAIN));
	must(!tcp || !ldns_pkt_tc(said));
	ldns_pkt_free(asked);
	ldns_pkt_free(said);
	free(wire);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span query = { (const char *)data, size };

	check(query, false);
	check(query, true);
	return 0;
}
