#include "reference-server/core/header.h"

#include <assert.h>

enum where {
	AT_LINE_START,
	IN_NAME,
	AFTER_NAME,   /* blanks before the ':' (RFC 5322 4.5, obsolete but met) */
	IN_BODY,      /* of a field */
	IN_EMPTY_LINE /* its CR was seen */
};

/* Lower case, as names are collected. */
static const struct span field_names[HEADER_FIELD_COUNT] = {
	[HEADER_RECEIVED] = { "received", 8 },
	[HEADER_RETURN_PATH] = { "return-path", 11 },
	[HEADER_DATE] = { "date", 4 },
	[HEADER_FROM] = { "from", 4 },
	[HEADER_SENDER] = { "sender", 6 },
	[HEADER_REPLY_TO] = { "reply-to", 8 },
	[HEADER_TO] = { "to", 2 },
	[HEADER_CC] = { "cc", 2 },
	[HEADER_BCC] = { "bcc", 3 },
	[HEADER_MESSAGE_ID] = { "message-id", 10 },
	[HEADER_SUBJECT] = { "subject", 7 },
	[HEADER_MIME_VERSION] = { "mime-version", 12 },
	[HEADER_CONTENT_TYPE] = { "content-type", 12 },
	[HEADER_CONTENT_TRANSFER_ENCODING] = { "content-transfer-encoding", 25 },
	[HEADER_AUTO_SUBMITTED] = { "auto-submitted", 14 },
	[HEADER_TLS_REQUIRED] = { "tls-required", 12 },
	[HEADER_RESENT_FROM] = { "resent-from", 11 },
	[HEADER_RESENT_SENDER] = { "resent-sender", 13 },
	[HEADER_RESENT_TO] = { "resent-to", 9 },
	[HEADER_RESENT_CC] = { "resent-cc", 9 },
	[HEADER_RESENT_BCC] = { "resent-bcc", 10 },
};

void header_scan_init(struct header_scan *h)
{
	assert(h != NULL);
	*h = (struct header_scan){ .end = HEADER_OPEN, .where = AT_LINE_START };
}

static bool has_addresses(size_t field)
{
	return (field >= HEADER_FROM && field <= HEADER_BCC) ||
	       (field >= HEADER_RESENT_FROM && field <= HEADER_RESENT_BCC);
}

static void begin_addresses(struct header_scan *h, size_t field)
{
	h->in_addresses = h->reads_addresses && has_addresses(field);
	if (!h->in_addresses)
		return;
	h->may_be_empty = field == HEADER_BCC || field == HEADER_RESENT_BCC;
	address_list_init(&h->addresses);
}

static void end_addresses(struct header_scan *h)
{
	h->addresses_worst = header_addresses(h);
	h->in_addresses = false;
}

enum address_list_result header_addresses(const struct header_scan *h)
{
	if (!h->in_addresses)
		return h->addresses_worst;
	struct address_list open = h->addresses;
	enum address_list_result result = address_list_end(&open, h->may_be_empty);

	return result > h->addresses_worst ? result : h->addresses_worst;
}

static void end_field_name(struct header_scan *h)
{
	size_t field = HEADER_FIELD_COUNT;

	if (h->name_bytes <= HEADER_NAME_BYTES_MAX)
		for (field = 0; field < HEADER_FIELD_COUNT; field++)
			if (span_eq(field_names[field], (struct span){ h->name, h->name_bytes }))
				break;
	if (h->count[field] < UINT32_MAX)
		h->count[field]++;
	h->where = IN_BODY;
	h->in_tls_required = field == HEADER_TLS_REQUIRED;
	h->value_bytes = 0;
	begin_addresses(h, field);
	if (h->in_tls_required)
		h->tls_required_no = false;
}

/* "No" with blanks and folds around it. */
static void read_tls_required(struct header_scan *h, struct span part)
{
	static const struct span no = { "no", 2 };

	for (size_t i = 0; i < part.n; i++) {
		char c = part.p[i];
		if (c == ' ' || c == '\t' || c == '\r' || c == '\n')
			continue;
		if (h->value_bytes == no.n || (c | 0x20) != no.p[h->value_bytes]) {
			h->in_tls_required = h->tls_required_no = false; /* nothing that follows mends it */
			return;
		}
		h->value_bytes++;
		h->tls_required_no = h->value_bytes == no.n;
	}
}

static void look_for_8bit(struct header_scan *h, struct span part)
{
	unsigned char any = 0; /* not in *h, so that the compiler takes many at a time */

	for (size_t i = 0; i < part.n; i++)
		any |= (unsigned char)part.p[i];
	h->has_8bit |= any >= 0x80;
}

static void end_without_empty_line(struct header_scan *h)
{
	h->header_bytes = h->line_start;
	h->end = HEADER_NOT_A_FIELD;
}

static bool is_name_byte(char c)
{
	return c > ' ' && c < 127 && c != ':';
}

static void add_name_byte(struct header_scan *h, char c)
{
	if (h->name_bytes < HEADER_NAME_BYTES_MAX)
		h->name[h->name_bytes] = (c >= 'A' && c <= 'Z') ? (char)(c - 'A' + 'a') : c;
	if (h->name_bytes <= HEADER_NAME_BYTES_MAX)
		h->name_bytes++; /* one past the maximum says: longer */
	h->where = IN_NAME;
}

static void start_line(struct header_scan *h, char c)
{
	bool blank = c == ' ' || c == '\t';

	h->line_start = h->header_bytes - 1; /* c is counted already */
	h->name_bytes = 0;
	if (h->in_addresses && !blank)
		end_addresses(h);
	if (c == '\n')
		h->end = HEADER_EMPTY_LINE;
	else if (c == '\r')
		h->where = IN_EMPTY_LINE;
	else if (blank && h->line_start > 0)
		h->where = IN_BODY;
	else if (is_name_byte(c))
		add_name_byte(h, c);
	else
		end_without_empty_line(h);
}

/* One byte anywhere but in the body of a field. */
static void feed_byte(struct header_scan *h, char c)
{
	bool blank = c == ' ' || c == '\t';

	h->header_bytes++;
	if (h->where == AT_LINE_START)
		start_line(h, c);
	else if (h->where == IN_EMPTY_LINE && c == '\n')
		h->end = HEADER_EMPTY_LINE;
	else if (h->where == IN_NAME && is_name_byte(c))
		add_name_byte(h, c);
	else if (h->where != IN_EMPTY_LINE && c == ':')
		end_field_name(h);
	else if (h->where != IN_EMPTY_LINE && blank)
		h->where = AFTER_NAME;
	else
		end_without_empty_line(h);
}

void header_scan_feed(struct header_scan *h, struct span run)
{
	size_t at = 0;

	while (h->end == HEADER_OPEN && at < run.n) {
		if (h->where != IN_BODY) {
			feed_byte(h, run.p[at++]);
			continue;
		}
		size_t lf = at + span_find(span_sub(run, at, run.n), '\n');
		size_t next = lf < run.n ? lf + 1 : run.n;
		h->header_bytes += next - at;
		look_for_8bit(h, span_sub(run, at, next - at));
		if (h->in_tls_required)
			read_tls_required(h, span_sub(run, at, next - at));
		if (h->in_addresses)
			address_list_feed(&h->addresses, span_sub(run, at, next - at));
		if (lf < run.n)
			h->where = AT_LINE_START;
		at = next;
	}
}
