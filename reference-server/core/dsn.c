#include "reference-server/core/dsn.h"

#include "reference-server/core/mutant.h"
#include "reference-server/core/quoted_printable.h"
#include "reference-server/core/trace.h"
#include "reference-server/core/utf8.h"

#include <assert.h>

enum {
	LINE_BYTES_MAX = 998, /* RFC 5322 2.1.1, without CRLF */
	BOUNDARY_BYTES_MAX = 70,
};

const char *dsn_action_name(enum dsn_action action)
{
	static const char *const names[DSN_ACTION_COUNT] = {
		[DSN_NONE] = "none",           [DSN_FAILED] = "failed",   [DSN_DELAYED] = "delayed",
		[DSN_DELIVERED] = "delivered", [DSN_RELAYED] = "relayed", [DSN_EXPANDED] = "expanded",
	};
	assert(action < DSN_ACTION_COUNT);
	return names[action];
}

/* ---- bytes from outside ---- */

/* Nothing from outside reaches a line of ours but through this. */
static void add_visible(struct buf *out, struct span s, bool keep_tabs, bool utf8)
{
	for (size_t i = 0; i < s.n;) {
		size_t n = 0;
		while (i + n < s.n &&
		       ((s.p[i + n] >= ' ' && s.p[i + n] < 0x7F) || (keep_tabs && s.p[i + n] == '\t')))
			n++;
		buf_add(out, span_sub(s, i, n));
		i += n;
		if (i == s.n)
			break;
		n = utf8 ? utf8_char_bytes(s, i) : 0;
		buf_add(out, n > 0 ? span_sub(s, i, n) : SPAN_LIT("?"));
		i += n > 0 ? n : 1;
	}
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

void dsn_decode_xtext(struct buf *out, struct span xtext)
{
	for (size_t i = 0; i < xtext.n; i++) {
		char c = xtext.p[i];
		if (c == '+' && i + 2 < xtext.n && hex_value(xtext.p[i + 1]) >= 0 &&
		    hex_value(xtext.p[i + 2]) >= 0) {
			c = (char)(hex_value(xtext.p[i + 1]) << 4 | hex_value(xtext.p[i + 2]));
			i += 2;
		}
		buf_add(out, (struct span){ &c, 1 });
	}
}

static void add_code_point(struct buf *out, uint32_t c)
{
	char text[4];
	size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	static const unsigned char first[] = { 0, 0x00, 0xC0, 0xE0, 0xF0 };

	for (size_t k = n; k-- > 1; c >>= 6)
		text[k] = (char)(0x80 | (c & 0x3F));
	text[0] = (char)(first[n] | c);
	buf_add(out, (struct span){ text, n });
}

/* "\x{HEXPOINT}" at the front of *s (RFC 6533 3). */
static bool take_embedded_char(struct span *s, uint32_t *ret_c)
{
	uint32_t c = 0;
	size_t i = 3;

	if (s->n < 6 || s->p[0] != '\\' || s->p[1] != 'x' || s->p[2] != '{')
		return false;
	for (; i < s->n && i < 9 && hex_value(s->p[i]) >= 0; i++)
		c = c << 4 | (uint32_t)hex_value(s->p[i]);
	if (i == 3 || i == s->n || s->p[i] != '}' || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
		return false;
	*s = span_sub(*s, i + 1, s->n);
	*ret_c = c;
	return true;
}

static void decode_unitext(struct buf *out, struct span s)
{
	while (s.n > 0) {
		uint32_t c;
		if (take_embedded_char(&s, &c)) {
			add_code_point(out, c);
			continue;
		}
		buf_add(out, span_sub(s, 0, 1));
		s = span_sub(s, 1, s.n);
	}
}

/* UTF-8 as utf-8-addr-xtext, the one form that is ASCII. */
static void add_embedded(struct buf *out, struct span s)
{
	while (s.n > 0) {
		size_t n = utf8_char_bytes(s, 0);
		if (n > 0)
			buf_addf(out, "\\x{%X}", (unsigned)utf8_code_point(s, n));
		else
			buf_add(out, span_sub(s, 0, 1));
		s = span_sub(s, n > 0 ? n : 1, s.n);
	}
}

/* ---- fields ---- */

static void add_text(struct buf *out, struct span s, bool utf8)
{
	add_visible(out, span_sub(s, 0, DSN_TEXT_BYTES_MAX), false, utf8);
}

/* "Name: type; value", or nothing when there is no value. */
static void add_field(struct buf *out, const char *name_and_type, struct span value)
{
	if (value.n == 0)
		return;
	buf_add_cstr(out, name_and_type);
	add_text(out, value, false);
	buf_add_cstr(out, "\r\n");
}

static void add_date_field(struct buf *out, const char *name, int64_t time_ms)
{
	buf_add_cstr(out, name);
	trace_add_date_time(out, time_ms);
	buf_add_cstr(out, "\r\n");
}

/* With its line end.  What is not ASCII is there only if d->utf8, and then encoded. */
static void add_part(struct buf *out, const struct dsn *d, const char *type, const char *utf8_type,
		     const struct buf *body)
{
	bool ascii = utf8_is_ascii(buf_span(body));

	buf_add_cstr(out, "--");
	buf_add(out, d->boundary);
	buf_addf(out, "\r\nContent-Type: %s\r\n", ascii ? type : utf8_type);
	if (!ascii)
		buf_add_cstr(out, "Content-Transfer-Encoding: quoted-printable\r\n");
	buf_add_cstr(out, "\r\n");
	if (ascii)
		buf_add(out, buf_span(body));
	else
		quoted_printable_encode(out, buf_span(body), false);
	buf_add_cstr(out, "\r\n");
}

static bool reports(const struct dsn *d, enum dsn_action action)
{
	for (uint32_t i = 0; i < d->rcpt_count; i++)
		if (d->rcpts[i].action == action)
			return true;
	return false;
}

static bool reports_only(const struct dsn *d, enum dsn_action action)
{
	for (uint32_t i = 0; i < d->rcpt_count; i++)
		if (d->rcpts[i].action != action)
			return false;
	return true;
}

static const char *subject(const struct dsn *d)
{
	if (reports(d, DSN_FAILED))
		return "Undelivered mail";
	return reports(d, DSN_DELAYED) ? "Delayed mail" : "Mail delivery report";
}

/* An original with 8-bit bytes that is no SMTPUTF8 message comes back as it is: message/rfc822 takes no encoding. */
static bool is_8bit(const struct dsn *d)
{
	return !d->utf8 && !utf8_is_ascii(d->whole);
}

/* Only where there are mutants: fields that RFC 5322 does not allow. */
static void add_mutants(struct buf *out)
{
	if (MUTANT(DSN_LONG_LINES))
		buf_addf(out, "X-Long: %01000d\r\n", 0);
	if (MUTANT(DSN_BARE_LF))
		buf_add_cstr(out, "X-Bare: x\n");
	if (MUTANT(DSN_ODD_FIELD))
		buf_add_cstr(out, "X-Odd : x\r\n");
	if (MUTANT(DSN_BLANK_FOLD))
		buf_add_cstr(out, "X-Blank: x\r\n \r\n y\r\n");
}

static void add_header(struct buf *out, const struct dsn *d)
{
	const char *name = MUTANT(DSN_GROUP_FROM)     ? "Mail Delivery System: <"
			   : MUTANT(DSN_COMMENT_FROM) ? "(Mail Delivery System) <"
						      : "Mail Delivery System <";

	add_mutants(out);
	buf_addf(out, "From: %sMAILER-DAEMON@", name);
	add_text(out, d->host, false);
	buf_add_cstr(out, MUTANT(DSN_GROUP_FROM) ? ">;\r\nTo: <" : ">\r\nTo: <");
	add_text(out, d->to, d->utf8);
	buf_addf(out, ">\r\nSubject: %s\r\n", subject(d));
	if (MUTANT(DSN_ODD_DATE))
		buf_add_cstr(out, "Date: Mon, 30 Feb 2026 12:00:00 +0000\r\n");
	else if (!MUTANT(DSN_NO_DATE))
		trace_add_date(out, d->now_ms);
	if (!MUTANT(DSN_NO_MESSAGE_ID))
		add_field(out, "Message-ID: ", d->message_id);
	buf_add_cstr(out, "Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"
			  "Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"");
	buf_add(out, d->boundary);
	buf_add_cstr(out, is_8bit(d) ? "\"\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" : "\"\r\n\r\n");
}

/* ---- for a person ---- */

static const char *rcpt_words(const struct dsn_rcpt *r)
{
	static const char *const words[DSN_ACTION_COUNT] = {
		[DSN_FAILED] = "could not be delivered.",
		[DSN_DELAYED] = "could not be delivered yet, and is being tried again.",
		[DSN_DELIVERED] = "was delivered.",
		[DSN_RELAYED] = "was passed on to a host that does not report delivery.",
		[DSN_EXPANDED] = "was passed on to the addresses that this one stands for.",
	};
	if (r->expired && r->action == DSN_FAILED)
		return r->status.class_digit == 5 ? "could not be delivered by the time asked for."
						  : "gave up after trying for too long.";
	if (r->expired && r->action == DSN_DELAYED)
		return "could not be delivered by the time asked for, and is being tried again.";
	return words[r->action];
}

static void add_rcpt_words(struct buf *out, const struct dsn *d, const struct dsn_rcpt *r)
{
	bool in_vain = r->action == DSN_FAILED || r->action == DSN_DELAYED;

	buf_add_cstr(out, "\r\n<");
	add_text(out, r->final_rcpt, d->utf8);
	buf_addf(out, ">: %s\r\n", rcpt_words(r));
	if (r->remote_mta.n > 0) {
		buf_add_cstr(out, "    Host: ");
		add_text(out, r->remote_mta, false);
		buf_add_cstr(out, "\r\n");
	}
	if (r->will_retry_until_ms > 0)
		add_date_field(out, "    Will be tried until: ", r->will_retry_until_ms);
	if (!in_vain)
		return;
	buf_add_cstr(out, "    Reason: ");
	if (r->smtp_code != 0)
		buf_addf(out, "%u ", (unsigned)r->smtp_code);
	add_text(out, r->text.n > 0 || r->smtp_code != 0 ? r->text : SPAN_LIT("none was given"), d->utf8);
	buf_add_cstr(out, "\r\n");
}

static const char *opening(const struct dsn *d)
{
	if (reports_only(d, DSN_FAILED))
		return "Your message could not be delivered to the recipients below.  It will\r\n"
		       "not be tried again.\r\n";
	if (reports_only(d, DSN_DELAYED))
		return "Your message has not been delivered to the recipients below yet.  It is\r\n"
		       "still being tried: you need not send it again.\r\n";
	return "This is what became of your message for the recipients below.\r\n";
}

static void add_words(struct buf *out, const struct dsn *d)
{
	struct buf body = { 0 };

	buf_add_cstr(&body, "This is the mail system at ");
	add_text(&body, d->host, false);
	buf_addf(&body, ".\r\n\r\n%s", opening(d));
	for (uint32_t i = 0; i < d->rcpt_count; i++)
		add_rcpt_words(&body, d, &d->rcpts[i]);
	if (d->queue_id.n > 0) {
		buf_add_cstr(&body, "\r\nThe message was known here as ");
		add_text(&body, d->queue_id, false);
		buf_add_cstr(&body, ".\r\n");
	}
	add_part(out, d, "text/plain; charset=us-ascii", "text/plain; charset=utf-8", &body);
	buf_free(&body);
}

/* ---- for programs: RFC 3464 2.2 and 2.3 ---- */

/* RFC 3461 6.3 (d); RFC 6533 3: in UTF-8 as the address is, without its encoding. */
static void add_original_rcpt(struct buf *out, const struct dsn *d, struct span orcpt)
{
	struct buf decoded = { 0 }, plain = { 0 };
	struct span type, rest = orcpt;

	if (MUTANT(DSN_SAYS_TOO_MUCH) && orcpt.n == 0)
		buf_add_cstr(out, "Original-Recipient: rfc822;somebody\r\n");
	if (MUTANT(DSN_SAYS_NOTHING) || orcpt.n == 0 || !span_take_until(&rest, ';', &type) || type.n == 0)
		return;
	bool is_utf8 = span_eq_nocase(type, SPAN_LIT("utf-8"));
	if (is_utf8 && !d->utf8)
		add_embedded(&decoded, rest);
	else
		dsn_decode_xtext(&decoded, rest);
	if (d->utf8 && is_utf8)
		decode_unitext(&plain, buf_span(&decoded));
	else
		buf_add(&plain, buf_span(&decoded));
	buf_add_cstr(out, "Original-Recipient: ");
	add_text(out, type, false);
	buf_add_cstr(out, ";");
	add_text(out, buf_span(&plain), d->utf8);
	buf_add_cstr(out, "\r\n");
	buf_free(&decoded);
	buf_free(&plain);
}

static void add_rcpt_fields(struct buf *out, const struct dsn *d, const struct dsn_rcpt *r)
{
	buf_add_cstr(out, "\r\n");
	add_original_rcpt(out, d, MUTANT(RELAY_DSN_NO_ORCPT) ? (struct span){ 0 } : r->orcpt);
	buf_addf(out, "Final-Recipient: %s; ", d->utf8 && !utf8_is_ascii(r->final_rcpt) ? "utf-8" : "rfc822");
	size_t at = buf_bytes(out);
	add_text(out, r->final_rcpt, d->utf8);
	if (MUTANT(DSN_FOLDS_RECIPIENT))
		mutant_small_letters(out, at);
	buf_addf(out, "\r\nAction: %s\r\nStatus: ",
		 MUTANT(RELAY_DSN_ALWAYS_FAILED) ? "failed" : dsn_action_name(r->action));
	if (MUTANT(RELAY_DSN_VAGUE_STATUS))
		buf_addf(out, "%u.0.0", r->status.class_digit);
	else
		smtp_status_add(out, r->status);
	buf_add_cstr(out, "\r\n");
	/* Its address may stand behind the name; the field wants the name (RFC 3464 2.3.5). */
	add_field(out, "Remote-MTA: dns; ", span_sub(r->remote_mta, 0, span_find(r->remote_mta, ' ')));
	if (r->smtp_code != 0 && !MUTANT(RELAY_DSN_NO_DIAGNOSTIC)) {
		buf_addf(out, "Diagnostic-Code: smtp; %u ", (unsigned)r->smtp_code);
		add_text(out, r->text, d->utf8);
		buf_add_cstr(out, "\r\n");
	}
	if (r->last_attempt_ms != 0)
		add_date_field(out, "Last-Attempt-Date: ", r->last_attempt_ms);
	if (r->will_retry_until_ms > 0)
		add_date_field(out, "Will-Retry-Until: ", r->will_retry_until_ms);
}

static void add_status(struct buf *out, const struct dsn *d)
{
	struct buf body = { 0 }, envid = { 0 };

	if (MUTANT(DSN_ENVID_ENCODED))
		buf_add(&envid, d->envid);
	else if (!MUTANT(DSN_SAYS_NOTHING))
		dsn_decode_xtext(&envid, d->envid);
	if (MUTANT(DSN_SAYS_TOO_MUCH) && d->envid.n == 0)
		buf_add(&envid, d->queue_id);
	add_field(&body, "Original-Envelope-Id: ",
		  MUTANT(RELAY_DSN_NO_ENVID) ? (struct span){ 0 } : buf_span(&envid));
	add_field(&body, "Reporting-MTA: dns; ",
		  MUTANT(DSN_OTHER_REPORTER) ? SPAN_LIT("mx.other.example") : d->host);
	add_field(&body, "X-Postrider-Queue-ID: ", d->queue_id);
	if (d->arrival_ms > 0)
		add_date_field(&body, "Arrival-Date: ", d->arrival_ms);
	if (d->deliver_by_ms != 0 && !MUTANT(DSN_SAYS_NOTHING))
		add_date_field(&body, "Deliver-By-Date: ", d->deliver_by_ms);
	add_field(&body,
		  "Future-Release-Request: ", MUTANT(DSN_SAYS_NOTHING) ? (struct span){ NULL, 0 } : d->hold);
	for (uint32_t i = 0; i < d->rcpt_count; i++)
		add_rcpt_fields(&body, d, &d->rcpts[i]);
	add_part(out, d, "message/delivery-status", "message/global-delivery-status", &body);
	buf_free(&body);
	buf_free(&envid);
}

/* ---- the original: RFC 6522 4 ---- */

/* Where to fold: not inside a character. */
static size_t fold_at(struct span line, size_t room)
{
	while (room > LINE_BYTES_MAX / 2 && ((unsigned char)line.p[room] & 0xC0) == 0x80)
		room--;
	return room;
}

static void add_original_line(struct buf *out, const struct dsn *d, struct span line)
{
	size_t room = LINE_BYTES_MAX;

	while (line.n > room) {
		size_t part = d->utf8 ? fold_at(line, room) : room;
		add_visible(out, span_sub(line, 0, part), true, d->utf8);
		buf_add_cstr(out, "\r\n ");
		line = span_sub(line, part, line.n);
		room = LINE_BYTES_MAX - 1; /* behind the blank */
	}
	add_visible(out, line, true, d->utf8);
	buf_add_cstr(out, "\r\n");
}

static void add_original_header(struct buf *out, const struct dsn *d)
{
	size_t bytes_max = d->header_bytes_max > 0 ? d->header_bytes_max : DSN_HEADER_BYTES_MAX;
	struct span rest = span_sub(d->header, 0, bytes_max);
	struct span line;
	struct buf body = { 0 };

	while (span_take_until(&rest, '\n', &line)) {
		if (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		if (line.n == 0)
			break;
		add_original_line(&body, d, line);
	}
	add_part(out, d, "text/rfc822-headers", "message/global-headers", &body);
	buf_free(&body);
}

static void add_whole_original(struct buf *out, const struct dsn *d)
{
	struct buf body = { 0 };

	if (!is_8bit(d)) {
		buf_add(&body, d->whole);
		add_part(out, d, "message/rfc822", "message/global", &body);
		buf_free(&body);
		return;
	}
	buf_add_cstr(out, "--");
	buf_add(out, d->boundary);
	buf_add_cstr(out, "\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n");
	buf_add(out, d->whole);
	buf_add_cstr(out, "\r\n");
}

void dsn_add(struct buf *out, const struct dsn *d)
{
	assert(d->rcpt_count > 0);
	assert(d->host.n > 0 && d->to.n > 0);
	assert(d->boundary.n > 0 && d->boundary.n <= BOUNDARY_BYTES_MAX);
	for (uint32_t i = 0; i < d->rcpt_count; i++)
		assert(d->rcpts[i].action > DSN_NONE && d->rcpts[i].action < DSN_ACTION_COUNT);
	add_header(out, d);
	add_words(out, d);
	add_status(out, d);
	if (d->whole.n > 0)
		add_whole_original(out, d);
	else
		add_original_header(out, d);
	buf_add_cstr(out, "--");
	buf_add(out, d->boundary);
	buf_add_cstr(out, "--\r\n");
}
