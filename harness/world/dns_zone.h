/*
 * dns_zone: the records of a scripted name server and the answer to a
 * question.  No sockets, no faults; harness/world/dns.c is its only user.
 */
#ifndef HARNESS_WORLD_DNS_ZONE_H
#define HARNESS_WORLD_DNS_ZONE_H

#include "base/err.h"
#include "base/span.h"

#include <ldns/ldns.h>

struct dns_zone;

struct dns_zone *dns_zone_new(void);
void dns_zone_free(struct dns_zone *z); /* accepts NULL */

/* view -1: all views.  Lines as in dns_add; origin NULL: the root. */
int dns_zone_add(struct dns_zone *z, int view, const char *origin, const char *line, struct err *reterr);
void dns_zone_remove_below(struct dns_zone *z, const char *domain);
void dns_zone_remove_at(struct dns_zone *z, const char *name);
int dns_zone_add_file(struct dns_zone *z, const char *path, struct err *reterr);

/* Which types the name has; duplicates are left out, and what is more than max. */
size_t dns_zone_types(const struct dns_zone *z, int view, const ldns_rdf *name, ldns_rr_type *ret_types,
		      size_t max);

/* Appends answer and authority sections to response and sets its rcode. */
void dns_zone_answer(const struct dns_zone *z, int view, const ldns_rr *question, ldns_pkt *response);

/* The SOA that goes with negative answers; caller owns. */
ldns_rr *dns_zone_soa(void);

#endif
