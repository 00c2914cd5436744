#include "harness/world/dns_sign.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	DAY_S = 24 * 3600,
	KEY_TTL_S = 60,
	TYPES_MAX = 32,
};

struct dns_sign {
	ldns_rdf *origin;
	ldns_key_list *keys; /* one */
	ldns_rr *dnskey;
};

/* ---- key ---- */

static int make_key(struct dns_sign *s, struct err *reterr)
{
	ldns_key *key = ldns_key_new_frm_algorithm(LDNS_SIGN_ECDSAP256SHA256, 256);

	if (key == NULL)
		return err_set(reterr, -EPROTO, "a key for signed zones cannot be made");
	ldns_key_set_pubkey_owner(key, ldns_rdf_clone(s->origin));
	ldns_key_set_flags(key, LDNS_KEY_ZONE_KEY | LDNS_KEY_SEP_KEY);
	ldns_key_set_inception(key, (uint32_t)(time(NULL) - DAY_S));
	ldns_key_set_expiration(key, (uint32_t)(time(NULL) + 30 * DAY_S));
	s->dnskey = ldns_key2rr(key);
	assert(s->dnskey != NULL);
	ldns_rr_set_ttl(s->dnskey, KEY_TTL_S);
	ldns_key_set_keytag(key, ldns_calc_keytag(s->dnskey));
	(void)ldns_key_list_push_key(s->keys, key);
	return 0;
}

struct dns_sign *dns_sign_new(const char *origin, struct err *reterr)
{
	struct dns_sign *s = calloc(1, sizeof(*s));

	if (s == NULL || (s->keys = ldns_key_list_new()) == NULL)
		abort();
	s->origin = ldns_dname_new_frm_str(origin);
	if (s->origin != NULL) {
		ldns_dname2canonical(s->origin);
		if (make_key(s, reterr) == 0)
			return s;
	} else {
		(void)err_set(reterr, -EINVAL, "\"%s\" is no domain name", origin);
	}
	dns_sign_free(s);
	return NULL;
}

void dns_sign_free(struct dns_sign *s)
{
	if (s == NULL)
		return;
	ldns_rr_free(s->dnskey);
	ldns_key_list_free(s->keys);
	ldns_rdf_deep_free(s->origin);
	free(s);
}

void dns_sign_anchor(const struct dns_sign *s, struct buf *out)
{
	char *text = ldns_rr2str(s->dnskey);

	buf_add_cstr(out, text);
	free(text);
}

/* ---- one answer ---- */

struct job {
	const struct dns_sign *s;
	const struct dns_sign_options *o;
	ldns_pkt *response;
	bool with_signatures; /* the DO bit (RFC 3225) */
	bool any;             /* something of it is of the zone */
	bool secure;          /* all of it is */
};

static bool at_or_below(const ldns_rdf *name, const ldns_rdf *origin)
{
	return ldns_dname_compare(name, origin) == 0 || ldns_dname_is_subdomain(name, origin);
}

/* Of the signed zone, and in none that begins below it. */
static bool is_signed(const struct job *j, const ldns_rdf *name)
{
	ldns_rdf *n = ldns_rdf_clone(name);
	bool fine = at_or_below(n, j->s->origin);

	while (fine && ldns_dname_compare(n, j->s->origin) != 0) {
		fine = !j->o->is_cut(j->o->ctx, n);
		ldns_rdf *up = ldns_dname_left_chop(n);
		ldns_rdf_deep_free(n);
		n = up;
	}
	ldns_rdf_deep_free(n);
	return fine;
}

static void spoil(ldns_rr *rrsig)
{
	ldns_rdf *signature = ldns_rr_rrsig_sig(rrsig);

	ldns_rdf_data(signature)[ldns_rdf_size(signature) - 1] ^= 1;
}

static void add_signature(struct job *j, ldns_pkt_section section, ldns_rr_list *rrset)
{
	if (!j->with_signatures)
		return;
	ldns_rr_list *made = ldns_sign_public(rrset, j->s->keys);
	assert(made != NULL);
	for (size_t i = 0; i < ldns_rr_list_rr_count(made); i++) {
		ldns_rr *rrsig = ldns_rr_list_rr(made, i);
		if (j->o->bogus)
			spoil(rrsig);
		(void)ldns_pkt_push_rr(j->response, section, rrsig);
	}
	ldns_rr_list_free(made);
}

static bool same_set(const ldns_rr *a, const ldns_rr *b)
{
	return ldns_rr_get_type(a) == ldns_rr_get_type(b) &&
	       ldns_dname_compare(ldns_rr_owner(a), ldns_rr_owner(b)) == 0;
}

/* All records of the set that the first, at `from`, begins; NULL: it began earlier. */
static ldns_rr_list *take_set(const ldns_rr_list *all, size_t from, size_t count)
{
	ldns_rr *first = ldns_rr_list_rr(all, from);

	for (size_t i = 0; i < from; i++)
		if (same_set(ldns_rr_list_rr(all, i), first))
			return NULL;
	ldns_rr_list *set = ldns_rr_list_new();
	for (size_t i = from; i < count; i++)
		if (same_set(ldns_rr_list_rr(all, i), first))
			(void)ldns_rr_list_push_rr(set, ldns_rr_list_rr(all, i));
	return set;
}

static void sign_answer_section(struct job *j)
{
	const ldns_rr_list *all = ldns_pkt_answer(j->response);
	size_t count = ldns_rr_list_rr_count(all); /* signatures come behind */

	for (size_t i = 0; i < count; i++) {
		if (!is_signed(j, ldns_rr_owner(ldns_rr_list_rr(all, i)))) {
			j->secure = false;
			continue;
		}
		j->any = true;
		ldns_rr_list *set = take_set(all, i, count);
		if (set == NULL)
			continue;
		add_signature(j, LDNS_SECTION_ANSWER, set);
		ldns_rr_list_free(set);
	}
}

/* ---- what is not there ---- */

static void add_denial(struct job *j, ldns_rr *rr)
{
	ldns_rr_list *set = ldns_rr_list_new();

	(void)ldns_pkt_push_rr(j->response, LDNS_SECTION_AUTHORITY, rr);
	(void)ldns_rr_list_push_rr(set, rr);
	add_signature(j, LDNS_SECTION_AUTHORITY, set);
	ldns_rr_list_free(set);
}

static ldns_rr *make_soa(const struct job *j)
{
	ldns_rr *soa = dns_zone_soa();

	ldns_rdf_deep_free(ldns_rr_owner(soa));
	ldns_rr_set_owner(soa, ldns_rdf_clone(j->s->origin));
	return soa;
}

/* "\000." and the name: nothing can stand between them (RFC 4470 3.1.1). */
static ldns_rdf *successor(const ldns_rdf *name)
{
	uint8_t wire[LDNS_MAX_DOMAINLEN + 2] = { 1, 0 };
	size_t n = ldns_rdf_size(name);

	memcpy(wire + 2, ldns_rdf_data(name), n);
	return n + 2 <= LDNS_MAX_DOMAINLEN ? ldns_rdf_new_frm_data(LDNS_RDF_TYPE_DNAME, n + 2, wire)
					   : ldns_rdf_clone(name);
}

static ldns_rr *make_nsec(const struct job *j, const ldns_rdf *name, ldns_rr_type but, bool is_cut)
{
	ldns_rr_type types[TYPES_MAX + 5];
	size_t count = is_cut ? 0 : dns_zone_types(j->o->zone, j->o->view, name, types, TYPES_MAX), kept = 0;
	ldns_rr *nsec = ldns_rr_new();

	for (size_t i = 0; i < count; i++)
		if (types[i] != but)
			types[kept++] = types[i];
	if (is_cut)
		types[kept++] = LDNS_RR_TYPE_NS;
	if (ldns_dname_compare(name, j->s->origin) == 0) {
		types[kept++] = LDNS_RR_TYPE_SOA;
		types[kept++] = LDNS_RR_TYPE_DNSKEY;
	}
	types[kept++] = LDNS_RR_TYPE_RRSIG;
	types[kept++] = LDNS_RR_TYPE_NSEC;
	ldns_rr_set_owner(nsec, ldns_rdf_clone(name));
	ldns_rr_set_type(nsec, LDNS_RR_TYPE_NSEC);
	ldns_rr_set_ttl(nsec, 0);
	(void)ldns_rr_push_rdf(nsec, successor(name));
	(void)ldns_rr_push_rdf(nsec, ldns_dnssec_create_nsec_bitmap(types, kept, LDNS_RR_TYPE_NSEC));
	return nsec;
}

static void deny(struct job *j, const ldns_rdf *name, ldns_rr_type type, bool is_cut)
{
	ldns_rr_list_deep_free(ldns_pkt_authority(j->response));
	ldns_pkt_set_authority(j->response, ldns_rr_list_new());
	ldns_pkt_set_nscount(j->response, 0);
	ldns_pkt_set_rcode(j->response, LDNS_RCODE_NOERROR);
	add_denial(j, make_soa(j));
	add_denial(j, make_nsec(j, name, type, is_cut));
}

/* The name at the end of the aliases, of which something is not there; NULL: all is. */
static const ldns_rdf *missing_name(const struct job *j, const ldns_rdf *asked, ldns_rr_type type)
{
	const ldns_rr_list *all = ldns_pkt_answer(j->response);
	const ldns_rdf *name = asked;

	for (size_t i = 0; i < ldns_rr_list_rr_count(all); i++) {
		const ldns_rr *rr = ldns_rr_list_rr(all, i);
		if (ldns_rr_get_type(rr) == type || type == LDNS_RR_TYPE_ANY)
			return NULL;
		if (ldns_rr_get_type(rr) == LDNS_RR_TYPE_CNAME)
			name = ldns_rr_rdf(rr, 0);
	}
	return name;
}

static void sign_absence(struct job *j, const ldns_rdf *asked, ldns_rr_type type)
{
	const ldns_rdf *missing = missing_name(j, asked, type);

	if (missing == NULL)
		return;
	/* What is said of a delegation is the parent's (RFC 4035 2.4). */
	bool is_cut = type == LDNS_RR_TYPE_DS && j->o->is_cut(j->o->ctx, missing);
	ldns_rdf *up = is_cut ? ldns_dname_left_chop(missing) : NULL;
	if (is_signed(j, is_cut ? up : missing)) {
		j->any = true;
		ldns_rdf *name = ldns_rdf_clone(missing); /* of a record that may go */
		deny(j, name, type, is_cut);
		ldns_rdf_deep_free(name);
	} else {
		j->secure = false;
	}
	ldns_rdf_deep_free(up);
}

static void give_key(struct job *j)
{
	ldns_rr_list_deep_free(ldns_pkt_authority(j->response));
	ldns_pkt_set_authority(j->response, ldns_rr_list_new());
	ldns_pkt_set_nscount(j->response, 0);
	ldns_pkt_set_rcode(j->response, LDNS_RCODE_NOERROR);
	(void)ldns_pkt_push_rr(j->response, LDNS_SECTION_ANSWER, ldns_rr_clone(j->s->dnskey));
}

/* A resolver that validates finds out, and says so. */
static void fail(ldns_pkt *response)
{
	ldns_rr_list_deep_free(ldns_pkt_answer(response));
	ldns_rr_list_deep_free(ldns_pkt_authority(response));
	ldns_pkt_set_answer(response, ldns_rr_list_new());
	ldns_pkt_set_authority(response, ldns_rr_list_new());
	ldns_pkt_set_ancount(response, 0);
	ldns_pkt_set_nscount(response, 0);
	ldns_pkt_set_rcode(response, LDNS_RCODE_SERVFAIL);
}

/* Whether it cannot be found out if the name's zone has signatures. */
static bool is_indeterminate(const struct job *j, const ldns_rdf *name)
{
	ldns_rdf *n = ldns_rdf_clone(name);
	bool failing = false;

	while (!failing && at_or_below(n, j->s->origin)) {
		failing = j->o->is_cut(j->o->ctx, n) && j->o->is_failing(j->o->ctx, n, LDNS_RR_TYPE_DS);
		ldns_rdf *up = ldns_dname_left_chop(n);
		ldns_rdf_deep_free(n);
		n = up;
	}
	ldns_rdf_deep_free(n);
	return failing;
}

/* What a resolver that validates would meet behind the name that was asked for. */
static bool fails_on_the_way(const struct job *j, const ldns_rdf *asked, ldns_rr_type type)
{
	const ldns_rr_list *all = ldns_pkt_answer(j->response);
	bool failing = is_indeterminate(j, asked);

	for (size_t i = 0; i < ldns_rr_list_rr_count(all) && !failing; i++) {
		const ldns_rr *rr = ldns_rr_list_rr(all, i);
		if (ldns_rr_get_type(rr) == LDNS_RR_TYPE_CNAME && type != LDNS_RR_TYPE_CNAME)
			failing = j->o->is_failing(j->o->ctx, ldns_rr_rdf(rr, 0), type) ||
				  is_indeterminate(j, ldns_rr_rdf(rr, 0));
	}
	return failing;
}

void dns_sign_answer(const struct dns_sign *s, const struct dns_sign_options *o, ldns_pkt *response)
{
	const ldns_rr *question = ldns_rr_list_rr(ldns_pkt_question(o->query), 0);
	ldns_rdf *asked = ldns_rdf_clone(ldns_rr_owner(question));
	ldns_rr_type type = ldns_rr_get_type(question);
	struct job j = { .s = s, .o = o, .response = response, .secure = true };

	ldns_dname2canonical(asked);
	j.with_signatures = ldns_pkt_edns(o->query) && ldns_pkt_edns_do(o->query);
	if (type == LDNS_RR_TYPE_DNSKEY && ldns_dname_compare(asked, s->origin) == 0)
		give_key(&j);
	sign_answer_section(&j);
	sign_absence(&j, asked, type);
	bool failing = at_or_below(asked, s->origin) && fails_on_the_way(&j, asked, type);
	ldns_rdf_deep_free(asked);
	if (failing && !ldns_pkt_cd(o->query))
		fail(response);
	if (!j.any)
		return;
	if (j.with_signatures)
		ldns_pkt_set_edns_do(response, true);
	if (o->bogus && !ldns_pkt_cd(o->query))
		fail(response);
	else if (!failing)
		ldns_pkt_set_ad(response,
				j.secure && !o->bogus && (j.with_signatures || ldns_pkt_ad(o->query)));
}
