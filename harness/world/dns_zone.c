#include "harness/world/dns_zone.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	CNAME_HOPS_MAX = 8,
	RECORDS_MAX = 100000,
};

struct record {
	ldns_rr *rr;
	int view; /* -1: all */
};

struct dns_zone {
	struct record *records;
	size_t count;
	size_t room;
};

struct dns_zone *dns_zone_new(void)
{
	struct dns_zone *z = calloc(1, sizeof(*z));

	if (z == NULL)
		abort();
	return z;
}

void dns_zone_free(struct dns_zone *z)
{
	if (z == NULL)
		return;
	for (size_t i = 0; i < z->count; i++)
		ldns_rr_free(z->records[i].rr);
	free(z->records);
	free(z);
}

static int take_record(struct dns_zone *z, int view, ldns_rr *rr, struct err *reterr)
{
	if (z->count == RECORDS_MAX) {
		ldns_rr_free(rr);
		return err_set(reterr, -ENOSPC, "more than %d records", RECORDS_MAX);
	}
	if (z->count == z->room) {
		z->room = z->room == 0 ? 32 : z->room * 2;
		struct record *more = realloc(z->records, z->room * sizeof(*more));
		if (more == NULL)
			abort();
		z->records = more;
	}
	ldns_rr2canonical(rr); /* lower case, so that comparing names is comparing bytes */
	z->records[z->count++] = (struct record){ rr, view };
	return 0;
}

int dns_zone_add(struct dns_zone *z, int view, const char *origin, const char *line, struct err *reterr)
{
	ldns_rr *rr = NULL;
	ldns_rdf *below = origin != NULL ? ldns_dname_new_frm_str(origin) : NULL;
	ldns_status status = ldns_rr_new_frm_str(&rr, line, 0, below, NULL);

	ldns_rdf_deep_free(below);
	if (status != LDNS_STATUS_OK || rr == NULL)
		return err_set(reterr, -EINVAL, "DNS record \"%s\": %s", line,
			       ldns_get_errorstr_by_id(status));
	return take_record(z, view, rr, reterr);
}

static void remove_records(struct dns_zone *z, const char *domain, bool below_too)
{
	ldns_rdf *below = ldns_dname_new_frm_str(domain);
	size_t kept = 0;

	assert(below != NULL);
	ldns_dname2canonical(below);
	for (size_t i = 0; i < z->count; i++) {
		const ldns_rdf *owner = ldns_rr_owner(z->records[i].rr);
		if (ldns_dname_compare(owner, below) == 0 ||
		    (below_too && ldns_dname_is_subdomain(owner, below)))
			ldns_rr_free(z->records[i].rr);
		else
			z->records[kept++] = z->records[i];
	}
	z->count = kept;
	ldns_rdf_deep_free(below);
}

void dns_zone_remove_below(struct dns_zone *z, const char *domain)
{
	remove_records(z, domain, true);
}

void dns_zone_remove_at(struct dns_zone *z, const char *name)
{
	remove_records(z, name, false);
}

/* Record by record: ldns forgets to free those it had read when a later line of a zone is wrong. */
int dns_zone_add_file(struct dns_zone *z, const char *path, struct err *reterr)
{
	FILE *f = fopen(path, "re");
	ldns_rdf *origin = NULL, *owner = NULL;
	uint32_t ttl_s = 0;
	int line = 0, rc = 0;

	if (f == NULL)
		return err_errno(reterr, errno, "%s", path);
	while (rc == 0 && feof(f) == 0) {
		ldns_rr *rr = NULL;
		ldns_status status = ldns_rr_new_frm_fp_l(&rr, f, &ttl_s, &origin, &owner, &line);
		if (status == LDNS_STATUS_OK)
			rc = take_record(z, -1, rr, reterr);
		else if (status != LDNS_STATUS_SYNTAX_EMPTY && status != LDNS_STATUS_SYNTAX_TTL &&
			 status != LDNS_STATUS_SYNTAX_ORIGIN)
			rc = err_set(reterr, -EINVAL, "%s:%d: %s", path, line,
				     ldns_get_errorstr_by_id(status));
	}
	ldns_rdf_deep_free(origin);
	ldns_rdf_deep_free(owner);
	(void)fclose(f);
	return rc;
}

static bool is_seen(const struct record *r, int view)
{
	return r->view == -1 || r->view == view;
}

/* A name exists also when only names below it do (RFC 8020). */
static bool name_exists(const struct dns_zone *z, int view, const ldns_rdf *name)
{
	for (size_t i = 0; i < z->count; i++) {
		const ldns_rdf *owner = ldns_rr_owner(z->records[i].rr);
		if (is_seen(&z->records[i], view) &&
		    (ldns_dname_compare(owner, name) == 0 || ldns_dname_is_subdomain(owner, name)))
			return true;
	}
	return false;
}

/* Adds what name has of the type; *ret_cname is its CNAME when it has none of it. */
static size_t add_matches(const struct dns_zone *z, int view, const ldns_rdf *name, ldns_rr_type type,
			  ldns_pkt *response, const ldns_rr **ret_cname)
{
	size_t count = 0;

	*ret_cname = NULL;
	for (size_t i = 0; i < z->count; i++) {
		const ldns_rr *rr = z->records[i].rr;
		if (!is_seen(&z->records[i], view) || ldns_dname_compare(ldns_rr_owner(rr), name) != 0)
			continue;
		if (ldns_rr_get_type(rr) == type || type == LDNS_RR_TYPE_ANY) {
			(void)ldns_pkt_push_rr(response, LDNS_SECTION_ANSWER, ldns_rr_clone(rr));
			count++;
		} else if (ldns_rr_get_type(rr) == LDNS_RR_TYPE_CNAME) {
			*ret_cname = rr;
		}
	}
	return count;
}

size_t dns_zone_types(const struct dns_zone *z, int view, const ldns_rdf *name, ldns_rr_type *ret_types,
		      size_t max)
{
	size_t count = 0;

	for (size_t i = 0; i < z->count && count < max; i++) {
		const ldns_rr *rr = z->records[i].rr;
		size_t k = 0;
		if (!is_seen(&z->records[i], view) || ldns_dname_compare(ldns_rr_owner(rr), name) != 0)
			continue;
		while (k < count && ret_types[k] != ldns_rr_get_type(rr))
			k++;
		if (k == count)
			ret_types[count++] = ldns_rr_get_type(rr);
	}
	return count;
}

ldns_rr *dns_zone_soa(void)
{
	ldns_rr *soa = NULL;
	ldns_status status = ldns_rr_new_frm_str(
		&soa, ". 0 IN SOA ns.invalid. hostmaster.invalid. 1 3600 600 86400 0", 0, NULL, NULL);

	assert(status == LDNS_STATUS_OK);
	return soa;
}

void dns_zone_answer(const struct dns_zone *z, int view, const ldns_rr *question, ldns_pkt *response)
{
	ldns_rdf *asked = ldns_rdf_clone(ldns_rr_owner(question));
	const ldns_rdf *name = asked;
	ldns_rr_type type = ldns_rr_get_type(question);
	size_t count = 0;
	bool exists = true;

	ldns_dname2canonical(asked);
	for (int hop = 0; hop < CNAME_HOPS_MAX && count == 0 && exists; hop++) {
		const ldns_rr *cname;
		count = add_matches(z, view, name, type, response, &cname);
		if (count > 0)
			break;
		if (cname == NULL) {
			exists = name_exists(z, view, name);
			break;
		}
		(void)ldns_pkt_push_rr(response, LDNS_SECTION_ANSWER, ldns_rr_clone(cname));
		name = ldns_rr_rdf(cname, 0);
	}
	ldns_pkt_set_rcode(response, exists ? LDNS_RCODE_NOERROR : LDNS_RCODE_NXDOMAIN);
	if (count == 0) /* RFC 2308 2.1, 2.2 */
		(void)ldns_pkt_push_rr(response, LDNS_SECTION_AUTHORITY, dns_zone_soa());
	ldns_rdf_deep_free(asked);
}
