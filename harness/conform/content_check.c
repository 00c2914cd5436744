#include "harness/conform/content_check.h"

#include "harness/judge/dkim_check.h"
#include "harness/wire/end_reader.h"
#include "harness/wire/message.h"

/* What a message may have once only, or says of its body (RFC 5322 section 3.6, RFC 2045): nobody's on the way. */
static bool is_authors(struct span name)
{
	static const char *const NAMES[] = { "Date",        "From",       "Sender",  "Reply-To",
					     "To",          "Cc",         "Bcc",     "Message-ID",
					     "In-Reply-To", "References", "Subject", "MIME-Version" };

	for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++)
		if (span_eq_nocase(name, span_of(NAMES[i])))
			return true;
	return span_starts_nocase(name, SPAN_LIT("Content-"));
}

/* Trace fields, and with them what programs on the way say of themselves (RFC 5322 section 3.6); or nothing. */
static bool is_added_on_the_way(struct span front, struct buf *why)
{
	bool traced = front.n == 0;
	struct field f;

	while (front.n > 0) {
		const char *begin = front.p;
		if (!field_next(&front, &f) || f.whole.p != begin || f.whole.p[f.whole.n - 1] != '\n') {
			buf_add_cstr(why, "something else than fields stands in front of what was submitted");
			return false;
		}
		if (is_authors(f.name)) {
			buf_addf(why, "a field \"%.*s\" was put in front of what was submitted",
				 SPAN_FMT(f.name));
			return false;
		}
		traced = traced || span_eq_nocase(f.name, SPAN_LIT("Received")) ||
			 span_eq_nocase(f.name, SPAN_LIT("Return-Path"));
	}
	if (!traced)
		buf_add_cstr(why, "something else than trace fields stands in front of what was submitted");
	return traced;
}

/* Behind what was added on the way, byte for byte. */
static bool is_unchanged(struct span got, struct span submitted, struct buf *why)
{
	if (got.n >= submitted.n && span_eq(span_sub(got, got.n - submitted.n, got.n), submitted))
		return is_added_on_the_way(span_sub(got, 0, got.n - submitted.n), why);
	buf_add_cstr(why, "it does not end in what was submitted, byte for byte");
	return false;
}

/* Whether a next hop could have read it so; *why says which one, or that none does. */
static bool reads_as(const struct hop_content *c, enum case_reading reading, struct buf *why)
{
	if (reading == CASE_READ_IRREGULAR) {
		if (end_is_irregular(buf_span(&c->content)))
			return true;
		buf_add_cstr(why, "CR and LF stand together everywhere in it");
		return false;
	}
	/* Octets that were counted (RFC 3030) have no end that could be read in two ways. */
	enum end_reading wanted = reading == CASE_READ_CUT_SHORT ? END_CUT_SHORT : END_TWO_MESSAGES;
	for (const struct end_reader *r = END_READERS; r->name != NULL && buf_bytes(&c->wire) > 0; r++) {
		if (end_read(r, buf_span(&c->wire)) != wanted)
			continue;
		buf_addf(why, "a next hop that %s reads it so", r->name);
		return true;
	}
	buf_addf(why, "no next hop reads it %s",
		 reading == CASE_READ_CUT_SHORT ? "cut short" : "as two messages");
	return false;
}

bool content_check(const struct hop_content *c, const struct case_step *s, struct span submitted,
		   struct buf *why)
{
	bool fine = true;

	for (uint32_t i = 0; i < s->check_count && fine; i++) {
		const struct case_check *check = &s->checks[i];
		if (check->kind == CASE_CHECK_UNCHANGED) {
			fine = is_unchanged(buf_span(&c->content), submitted, why);
		} else if (check->kind == CASE_CHECK_SIGNED) {
			fine = dkim_holds(buf_span(&c->content), why);
		} else if (check->kind == CASE_CHECK_READ_AS) {
			fine = reads_as(c, (enum case_reading)check->n, why);
		} else if (check->kind == CASE_CHECK_TLS && c->tls != (check->n == 1)) {
			buf_addf(why, "it came %s", c->tls ? "under TLS" : "in the clear");
			fine = false;
		}
	}
	return fine;
}
