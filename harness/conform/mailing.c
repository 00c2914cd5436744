#include "harness/conform/mailing.h"

#include "harness/conform/shown.h"
#include "harness/wire/dots.h"

#include <string.h>

bool mailing_service(const struct sut *s, const struct case_file *c, enum case_service *ret_service)
{
	static const enum case_service ORDER[] = { CASE_SMTP, CASE_LMTP, CASE_SUBMISSIONS };

	const enum case_service own = sut_service_of(s, c);

	if (!case_service_is_pop3(own) && s->services[own].there) {
		*ret_service = own;
		return true;
	}
	for (size_t i = 0; i < sizeof(ORDER) / sizeof(ORDER[0]); i++) {
		*ret_service = ORDER[i];
		if (s->services[ORDER[i]].there)
			return true;
	}
	return false;
}

/* REQUIRETLS is a parameter under TLS only (RFC 8689 section 2). */
static bool needs_tls(const struct mailing *m)
{
	return m->service == CASE_SUBMISSION || (m->service == CASE_SMTP && m->mail_parameters != NULL &&
						 strcasestr(m->mail_parameters, "REQUIRETLS") != NULL);
}

static void add_hello(struct buf *out, const struct mailing *m)
{
	enum case_service service = m->service;
	bool submits = service == CASE_SUBMISSION || service == CASE_SUBMISSIONS;

	buf_addf(out, "S: 220 ...\nC: %s probe.example\nS: 250 ...\n",
		 service == CASE_LMTP ? "LHLO" : "EHLO");
	if (needs_tls(m))
		buf_add_cstr(out, "C: STARTTLS\nS: 220 ...\nstarttls\nC: EHLO probe.example\nS: 250 ...\n");
	if (submits)
		buf_add_cstr(out, "C: AUTH PLAIN ${plain}\nS: 235 ...\n");
}

static bool is_ascii(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] >= 0x80)
			return false;
	return true;
}

static struct span header_of(struct span content)
{
	const char *end = content.n > 0 ? memmem(content.p, content.n, "\r\n\r\n", 4) : NULL;
	return end != NULL ? span_sub(content, 0, (size_t)(end - content.p)) : content;
}

/* The extension without which a server knows no such parameter; NULL: it is not looked for. */
static const char *extension_of(struct span word)
{
	static const struct {
		const char *parameter, *extension;
	} TABLE[] = { { "RET=", "DSN" },         { "ENVID=", "DSN" },    { "NOTIFY=", "DSN" },
		      { "ORCPT=", "DSN" },       { "BY=", "DELIVERBY" }, { "REQUIRETLS", "REQUIRETLS" },
		      { "SMTPUTF8", "SMTPUTF8" } };

	for (size_t i = 0; i < sizeof(TABLE) / sizeof(TABLE[0]); i++)
		if (span_starts_nocase(word, span_of(TABLE[i].parameter)))
			return TABLE[i].extension;
	return NULL;
}

static const char *parameters_lack(const struct sut *s, const struct mailing *m, const char *parameters)
{
	struct span rest = span_of(parameters != NULL ? parameters : ""), word;

	while (rest.n > 0) {
		if (!span_take_until(&rest, ' ', &word)) {
			word = rest;
			rest.n = 0;
		}
		const char *extension = extension_of(word);
		if (extension != NULL && !sut_offers(s, m->service, extension))
			return extension;
	}
	return NULL;
}

const char *mailing_lacks(const struct sut *s, const struct mailing *m)
{
	if (!is_ascii(m->content) && !sut_offers(s, m->service, "8BITMIME"))
		return "8BITMIME";
	if (!is_ascii(header_of(m->content)) && !sut_offers(s, m->service, "SMTPUTF8"))
		return "SMTPUTF8";
	const char *lack = parameters_lack(s, m, m->mail_parameters);
	return lack != NULL ? lack : parameters_lack(s, m, m->rcpt_parameters);
}

/* What a case has in its texts is no variable here. */
static void add_plain(struct buf *out, struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '$' && i + 1 < s.n && s.p[i + 1] == '{')
			buf_add_cstr(out, "$");
		buf_add(out, span_sub(s, i, 1));
	}
}

static void add_command(struct buf *out, const char *verb, struct span path, const char *parameters)
{
	buf_addf(out, "C: %s:<", verb);
	add_plain(out, path);
	buf_add_cstr(out, ">");
	if (parameters != NULL && *parameters != '\0') {
		buf_add_cstr(out, " ");
		add_plain(out, span_of(parameters));
	}
}

static void add_envelope(const struct mailing *m, struct buf *out)
{
	struct span rest = span_of(m->recipient), one;

	bool says_body = m->mail_parameters != NULL && strcasestr(m->mail_parameters, "BODY=") != NULL;
	bool says_utf8 = m->mail_parameters != NULL && strcasestr(m->mail_parameters, "SMTPUTF8") != NULL;

	add_command(out, "MAIL FROM", span_of(m->sender), m->mail_parameters);
	buf_addf(out, "%s%s\nS: 250 ...\n", says_body || is_ascii(m->content) ? "" : " BODY=8BITMIME",
		 says_utf8 || is_ascii(header_of(m->content)) ? "" : " SMTPUTF8");
	while (rest.n > 0) {
		if (!span_take_until(&rest, '\n', &one)) {
			one = rest;
			rest.n = 0;
		}
		add_command(out, "RCPT TO", one, m->rcpt_parameters);
		buf_add_cstr(out, "\nS: 250|251 ...\n");
	}
}

void mailing_text(const struct mailing *m, struct buf *out)
{
	struct dots_writer w = { 0 };
	struct buf wire = { 0 };

	dots_write(&w, m->content, &wire);
	dots_write_end(&w, &wire);
	buf_addf(out,
		 "case: mailing\ntitle: a message on its way\nreq: RFC5321-mailing IMPLIED\nrole: server\n"
		 "needs: %s mailbox\ntimeout: 20s\n== mailing\n",
		 case_service_name(m->service));
	add_hello(out, m);
	add_envelope(m, out);
	buf_add_cstr(out, "C: DATA\nS: 354 ...\nC| \"");
	shown_add(out, buf_span(&wire), "\"$"); /* "${" would be a variable */
	buf_add_cstr(out, "\"\n== verdict\nS: 250 ...\nC: QUIT\n");
	buf_free(&wire);
}
