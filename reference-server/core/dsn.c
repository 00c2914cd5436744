#include "reference-server/core/dsn.h"

#include "reference-server/core/trace.h"

#include <assert.h>

enum {
	LINE_BYTES_MAX = 900, /* RFC 5322 2.1.1: 998; room for a field name and a fold */
	TEXT_BYTES_MAX = 600, /* of a remote server's words */
};

/* Bytes that cannot stand in a 7-bit field are shown, not sent (RFC 3464 2.1.1). */
static void add_safe(struct buf *out, struct span s)
{
	s = span_sub(s, 0, TEXT_BYTES_MAX);
	for (size_t i = 0; i < s.n; i++)
		buf_add_u8(out, s.p[i] >= ' ' && s.p[i] < 0x7f ? (uint8_t)s.p[i] : '?');
}

static void add_lit(struct buf *out, const char *text)
{
	buf_add_cstr(out, text);
}

static void add_field(struct buf *out, const char *name_and_type, struct span value)
{
	add_lit(out, name_and_type);
	add_safe(out, value);
	add_lit(out, "\r\n");
}

static void add_date_field(struct buf *out, const char *name, int64_t time_ms)
{
	add_lit(out, name);
	trace_add_date_time(out, time_ms);
	add_lit(out, "\r\n");
}

static void add_boundary(struct buf *out, struct span boundary, const char *end)
{
	add_lit(out, "\r\n--");
	buf_add(out, boundary);
	add_lit(out, end);
}

static void add_header(struct buf *out, const struct dsn *d)
{
	add_lit(out, "From: Mail Delivery System <MAILER-DAEMON@");
	add_safe(out, d->host);
	add_lit(out, ">\r\nTo: <");
	add_safe(out, d->to);
	add_lit(out, ">\r\n");
	add_date_field(out, "Date: ", d->now_ms);
	add_field(out, "Message-ID: ", d->message_id);
	add_lit(out, "Subject: Undelivered Mail Returned to Sender\r\n"
		     "Auto-Submitted: auto-replied\r\n"
		     "MIME-Version: 1.0\r\n"
		     "Content-Type: multipart/report; report-type=delivery-status;\r\n"
		     "\tboundary=\"");
	buf_add(out, d->boundary);
	add_lit(out, "\"\r\n\r\nThis is a delivery status notification in MIME format.\r\n");
}

static void add_words(struct buf *out, const struct dsn *d)
{
	add_boundary(out, d->boundary, "\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n");
	add_lit(out, "This is the mail server ");
	add_safe(out, d->host);
	add_lit(out, ".\r\n\r\nYour message could not be delivered to the recipients below, and the\r\n"
		     "server will not try again.  Its header is attached.\r\n");
	for (uint32_t i = 0; i < d->rcpt_count; i++) {
		const struct dsn_rcpt *r = &d->rcpts[i];
		add_lit(out, "\r\n<");
		add_safe(out, r->final_rcpt);
		add_lit(out, ">\r\n    ");
		if (r->original_rcpt.n > 0) {
			add_lit(out, "sent to <");
			add_safe(out, r->original_rcpt);
			add_lit(out, ">\r\n    ");
		}
		if (r->expired)
			add_lit(out, "could not be delivered in time; the last attempt ended with:\r\n    ");
		if (r->remote_mta.n > 0) {
			add_safe(out, r->remote_mta);
			add_lit(out, r->smtp_code > 0 ? " said: " : ": ");
		}
		if (r->smtp_code > 0)
			buf_addf(out, "%u ", r->smtp_code);
		add_safe(out, r->text.n > 0 ? r->text : SPAN_LIT("no reason was given"));
		add_lit(out, "\r\n");
	}
}

static void add_recipient_fields(struct buf *out, const struct dsn_rcpt *r)
{
	add_lit(out, "\r\n");
	if (r->original_rcpt.n > 0)
		add_field(out, "Original-Recipient: rfc822; ", r->original_rcpt);
	add_field(out, "Final-Recipient: rfc822; ", r->final_rcpt);
	add_lit(out, "Action: failed\r\nStatus: ");
	smtp_status_add(out, r->status);
	add_lit(out, "\r\n");
	/* A name may carry its address behind it; the field wants the name (RFC 3464 2.3.5). */
	struct span name = span_sub(r->remote_mta, 0, span_find(r->remote_mta, ' '));
	if (name.n > 0)
		add_field(out, "Remote-MTA: dns; ", name);
	if (r->smtp_code > 0) {
		buf_addf(out, "Diagnostic-Code: smtp; %u ", r->smtp_code);
		add_safe(out, r->text);
		add_lit(out, "\r\n");
	}
	if (r->last_attempt_ms > 0)
		add_date_field(out, "Last-Attempt-Date: ", r->last_attempt_ms);
}

static void add_status(struct buf *out, const struct dsn *d)
{
	add_boundary(out, d->boundary, "\r\nContent-Type: message/delivery-status\r\n\r\n");
	add_field(out, "Reporting-MTA: dns; ", d->host);
	if (d->queue_id.n > 0)
		add_field(out, "X-Postrider-Queue-ID: ", d->queue_id);
	if (d->arrival_ms > 0)
		add_date_field(out, "Arrival-Date: ", d->arrival_ms);
	for (uint32_t i = 0; i < d->rcpt_count; i++)
		add_recipient_fields(out, &d->rcpts[i]);
}

/* One line of the original, 7-bit, never longer than a line may be. */
static void add_original_line(struct buf *out, struct span line)
{
	while (line.n > 0) {
		struct span part = span_sub(line, 0, LINE_BYTES_MAX);
		for (size_t i = 0; i < part.n; i++) {
			char c = part.p[i];
			buf_add_u8(out, c == '\t' || (c >= ' ' && c < 0x7f) ? (uint8_t)c : '?');
		}
		line = span_sub(line, part.n, line.n);
		add_lit(out, line.n > 0 ? "\r\n " : "\r\n");
	}
}

static void add_original(struct buf *out, const struct dsn *d)
{
	struct span rest =
		span_sub(d->header, 0, d->header_bytes_max > 0 ? d->header_bytes_max : DSN_HEADER_BYTES_MAX);
	struct span line;

	add_boundary(out, d->boundary, "\r\nContent-Type: text/rfc822-headers\r\n\r\n");
	while (span_take_until(&rest, '\n', &line)) {
		if (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		if (line.n == 0)
			break;
		add_original_line(out, line);
	}
	add_boundary(out, d->boundary, "--\r\n");
}

void dsn_add(struct buf *out, const struct dsn *d)
{
	assert(d->to.n > 0);
	assert(d->rcpt_count > 0);
	assert(d->boundary.n > 0 && d->boundary.n <= 70);
	add_header(out, d);
	add_words(out, d);
	add_status(out, d);
	add_original(out, d);
}
