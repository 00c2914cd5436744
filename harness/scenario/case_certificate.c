#include "harness/scenario/case_read.h"

/* The certificate of a host that is played, and what a case may know of it. */

static void read_names(struct case_reader *r, struct case_certificate *c, struct span rest)
{
	c->names = case_alloc(r->c, CASE_TLS_NAMES_MAX * sizeof(*c->names));
	for (struct span word = case_word(&rest); word.n > 0; word = case_word(&rest)) {
		if (c->name_count == CASE_TLS_NAMES_MAX) {
			case_error(r, word, "more than %d names", CASE_TLS_NAMES_MAX);
			return;
		}
		c->names[c->name_count++] = case_text_of(r, word, false);
	}
	if (c->name_count == 0)
		case_error(r, r->line, "for which names? tls for *.${zone}");
}

void case_read_tls(struct case_reader *r, struct case_certificate *c, struct span rest)
{
	static const char *const KINDS[] = {
		"good",       "wrong-name",       "self-signed",    "expired", "not-yet-valid",
		"unknown-ca", "common-name-only", "constrained-ca", NULL
	};
	struct span after = rest;
	struct span word = case_word(&after);
	int kind = word.n == 0 || case_word_is(word, "for") ? 0 : case_index(word, KINDS);

	if (kind < 0) {
		case_unknown(r, word, "certificate", KINDS);
		return;
	}
	if (c->kind != CASE_TLS_NONE)
		case_error(r, r->line, "\"tls\" stands here twice");
	c->kind = (enum case_tls)(CASE_TLS_GOOD + kind);
	if (!case_word_is(word, "for")) {
		rest = after;
		word = case_word(&after);
	}
	if (case_word_is(word, "for"))
		read_names(r, c, after);
	else
		case_nothing_more(r, rest);
}

void case_read_tls_version(struct case_reader *r, struct case_certificate *c, struct span rest)
{
	static const char *const VERSIONS[] = { "1.1", "1.2", "1.3", NULL };
	struct span word = case_word(&rest);

	if (case_index(word, VERSIONS) < 0)
		case_unknown(r, word.n > 0 ? word : r->line, "version", VERSIONS);
	else
		c->version = case_keep(r->c, word);
	case_nothing_more(r, rest);
}

const char *case_cert_variable(uint32_t i)
{
	static const char *const NAMES[CASE_CERT_VARIABLES] = {
		"cert", "cert.sha256", "cert.sha512", "key",    "key.sha256",    "key.sha512",
		"ca",   "ca.sha256",   "ca.sha512",   "ca-key", "ca-key.sha256", "ca-key.sha512",
	};

	return NAMES[i];
}
