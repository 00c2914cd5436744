/*
 * Any bytes as a DNS query, answered from a small zone.  Checked: the rcode
 * is one of two; a negative answer has an SOA and a positive one none; the
 * answer can be sent; asking twice gives the same.
 */
#include "harness/world/dns_zone.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

static struct dns_zone *make_zone(void)
{
	static const char *const LINES[] = {
		"a.example. 0 IN MX 10 mx.a.example.",           "mx.a.example. 0 IN A 127.0.0.1",
		"alias.example. 0 IN CNAME mx.a.example.",       "loop.example. 0 IN CNAME loop.example.",
		"dangling.example. 0 IN CNAME nowhere.example.", "deep.below.example. 0 IN TXT \"x\"",
	};
	struct dns_zone *z = dns_zone_new();
	struct err err;

	for (size_t i = 0; i < sizeof(LINES) / sizeof(LINES[0]); i++)
		must(dns_zone_add(z, i == 1 ? 0 : -1, NULL, LINES[i], &err) == 0);
	return z;
}

static ldns_pkt *answer(const struct dns_zone *z, int view, const ldns_rr *question)
{
	ldns_pkt *p = ldns_pkt_new();

	must(p != NULL);
	dns_zone_answer(z, view, question, p);
	return p;
}

static void check(const struct dns_zone *z, int view, const ldns_rr *question)
{
	ldns_pkt *p = answer(z, view, question), *again = answer(z, view, question);
	uint8_t *wire = NULL, *wire_again = NULL;
	size_t n = 0, n_again = 0;
	ldns_pkt_rcode rcode = ldns_pkt_get_rcode(p);
	size_t soas = ldns_rr_list_rr_count(ldns_pkt_authority(p));

	must(rcode == LDNS_RCODE_NOERROR || rcode == LDNS_RCODE_NXDOMAIN);
	must(soas <= 1);
	if (rcode == LDNS_RCODE_NXDOMAIN || ldns_rr_list_rr_count(ldns_pkt_answer(p)) == 0)
		must(soas == 1);
	must(ldns_pkt2wire(&wire, p, &n) == LDNS_STATUS_OK);
	must(ldns_pkt2wire(&wire_again, again, &n_again) == LDNS_STATUS_OK);
	must(n == n_again && memcmp(wire, wire_again, n) == 0);
	free(wire);
	free(wire_again);
	ldns_pkt_free(p);
	ldns_pkt_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct dns_zone *zone;
	ldns_pkt *query = NULL;

	if (zone == NULL)
		zone = make_zone();
	if (ldns_wire2pkt(&query, data, n) != LDNS_STATUS_OK)
		return 0;
	for (size_t i = 0; i < ldns_rr_list_rr_count(ldns_pkt_question(query)); i++) {
		check(zone, 0, ldns_rr_list_rr(ldns_pkt_question(query), i));
		check(zone, 1, ldns_rr_list_rr(ldns_pkt_question(query), i));
	}
	ldns_pkt_free(query);
	return 0;
}
