#include "reference-server/core/dsn.h"

#include "reference-server/core/trace.h"

#include <assert.h>

enum {
	LINE_BYTES_MAX = 998, /* RFC 5322 2.1.1, without CRLF */
	BOUNDARY_BYTES_MAX = 70,
};

/* Nothing from outside reaches a line of ours but through this. */
static void add_visible(struct buf *out, struct span s, bool keep_tabs)
{
	char *p = buf_reserve(out, s.n);

	for (size_t i = 0; i < s.n; i++) {
		bool visible = (s.p[i] >= ' ' && s.p[i] < 0x7F) || (keep_tabs && s.p[i] == '\t');
		p[i] = '?';
		if (visible)
			p[i] = s.p[i];
	}
	buf_grow(out, s.n);
}

static void add_text(struct buf *out, struct span s)
{
	add_visible(out, span_sub(s, 0, DSN_TEXT_BYTES_MAX), false);
}

/* "Name: type; value", or nothing when there is no value. */
static void add_field(struct buf *out, const char *name_and_type, struct span value)
{
	if (value.n == 0)
		return;
	buf_add_cstr(out, name_and_type);
	add_text(out, value);
	buf_add_cstr(out, "\r\n");
}

static void add_date_field(struct buf *out, const char *name, int64_t time_ms)
{
	buf_add_cstr(out, name);
	trace_add_date_time(out, time_ms);
	buf_add_cstr(out, "\r\n");
}

static void add_part(struct buf *out, const struct dsn *d, const char *content_type)
{
	buf_add_cstr(out, "--");
	buf_add(out, d->boundary);
	buf_addf(out, "\r\nContent-Type: %s\r\n\r\n", content_type);
}

static void add_header(struct buf *out, const struct dsn *d)
{
	buf_add_cstr(out, "From: Mail Delivery System <MAILER-DAEMON@");
	add_text(out, d->host);
	buf_add_cstr(out, ">\r\nTo: <");
	add_text(out, d->to);
	buf_add_cstr(out, ">\r\nSubject: Undelivered mail\r\n");
	trace_add_date(out, d->now_ms);
	add_field(out, "Message-ID: ", d->message_id);
	buf_add_cstr(out, "Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"
			  "Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"");
	buf_add(out, d->boundary);
	buf_add_cstr(out, "\"\r\n\r\n");
}

/* ---- for a person ---- */

static void add_rcpt_words(struct buf *out, const struct dsn_rcpt *r)
{
	buf_add_cstr(out, "\r\n<");
	add_text(out, r->final_rcpt);
	if (r->original_rcpt.n > 0) {
		buf_add_cstr(out, ">\r\n    sent to <"); /* a line each: two may be too long for one */
		add_text(out, r->original_rcpt);
	}
	buf_add_cstr(out, r->expired ? ">: gave up after trying for too long.\r\n"
				     : ">: could not be delivered.\r\n");
	if (r->remote_mta.n > 0) {
		buf_add_cstr(out, "    Host: ");
		add_text(out, r->remote_mta);
		buf_add_cstr(out, "\r\n");
	}
	buf_add_cstr(out, "    Reason: ");
	if (r->smtp_code != 0)
		buf_addf(out, "%u ", (unsigned)r->smtp_code);
	add_text(out, r->text.n > 0 || r->smtp_code != 0 ? r->text : SPAN_LIT("none was given"));
	buf_add_cstr(out, "\r\n");
}

static void add_words(struct buf *out, const struct dsn *d)
{
	add_part(out, d, "text/plain; charset=us-ascii");
	buf_add_cstr(out, "This is the mail system at ");
	add_text(out, d->host);
	buf_add_cstr(out, ".\r\n\r\nYour message could not be delivered to the recipients below.  It will\r\n"
			  "not be tried again.\r\n");
	for (uint32_t i = 0; i < d->rcpt_count; i++)
		add_rcpt_words(out, &d->rcpts[i]);
	if (d->queue_id.n > 0) {
		buf_add_cstr(out, "\r\nThe message was known here as ");
		add_text(out, d->queue_id);
		buf_add_cstr(out, ".\r\n");
	}
	buf_add_cstr(out, "\r\n");
}

/* ---- for programs: RFC 3464 2.2 and 2.3 ---- */

static void add_rcpt_fields(struct buf *out, const struct dsn_rcpt *r)
{
	buf_add_cstr(out, "\r\n");
	add_field(out, "Original-Recipient: rfc822; ", r->original_rcpt);
	add_field(out, "Final-Recipient: rfc822; ", r->final_rcpt);
	buf_add_cstr(out, "Action: failed\r\nStatus: ");
	smtp_status_add(out, r->status);
	buf_add_cstr(out, "\r\n");
	/* Its address may stand behind the name; the field wants the name (RFC 3464 2.3.5). */
	add_field(out, "Remote-MTA: dns; ", span_sub(r->remote_mta, 0, span_find(r->remote_mta, ' ')));
	if (r->smtp_code != 0) {
		buf_addf(out, "Diagnostic-Code: smtp; %u ", (unsigned)r->smtp_code);
		add_text(out, r->text);
		buf_add_cstr(out, "\r\n");
	}
	if (r->last_attempt_ms != 0)
		add_date_field(out, "Last-Attempt-Date: ", r->last_attempt_ms);
}

static void add_status(struct buf *out, const struct dsn *d)
{
	add_part(out, d, "message/delivery-status");
	add_field(out, "Reporting-MTA: dns; ", d->host);
	add_field(out, "X-Postrider-Queue-ID: ", d->queue_id);
	if (d->arrival_ms > 0)
		add_date_field(out, "Arrival-Date: ", d->arrival_ms);
	for (uint32_t i = 0; i < d->rcpt_count; i++)
		add_rcpt_fields(out, &d->rcpts[i]);
	buf_add_cstr(out, "\r\n");
}

/* ---- the original's header: RFC 6522 4 ---- */

static void add_original_line(struct buf *out, struct span line)
{
	size_t room = LINE_BYTES_MAX;

	while (line.n > room) {
		add_visible(out, span_sub(line, 0, room), true);
		buf_add_cstr(out, "\r\n ");
		line = span_sub(line, room, line.n);
		room = LINE_BYTES_MAX - 1; /* behind the blank */
	}
	add_visible(out, line, true);
	buf_add_cstr(out, "\r\n");
}

static void add_original(struct buf *out, const struct dsn *d)
{
	size_t bytes_max = d->header_bytes_max > 0 ? d->header_bytes_max : DSN_HEADER_BYTES_MAX;
	struct span rest = span_sub(d->header, 0, bytes_max);
	struct span line;

	add_part(out, d, "text/rfc822-headers");
	while (span_take_until(&rest, '\n', &line)) {
		if (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		if (line.n == 0)
			break;
		add_original_line(out, line);
	}
	buf_add_cstr(out, "\r\n");
}

void dsn_add(struct buf *out, const struct dsn *d)
{
	assert(d->rcpt_count > 0);
	assert(d->host.n > 0 && d->to.n > 0);
	assert(d->boundary.n > 0 && d->boundary.n <= BOUNDARY_BYTES_MAX);
	add_header(out, d);
	add_words(out, d);
	add_status(out, d);
	add_original(out, d);
	buf_add_cstr(out, "--");
	buf_add(out, d->boundary);
	buf_add_cstr(out, "--\r\n");
}
