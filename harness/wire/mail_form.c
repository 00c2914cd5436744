#include "harness/wire/mail_form.h"

#include "base/buf.h"
#include "harness/wire/date_time.h"
#include "harness/wire/mail_address.h"
#include "harness/wire/message.h"

enum { LINE_BYTES_MAX = 998, LINE_BYTES_WANTED = 78 };

const struct mail_form_aspect MAIL_FORM_ASPECTS[] = {
	{ "crlf", { .notes = MAIL_FORM_BARE_EOL }, "CR and LF only together" },
	{ "lines-998", { .notes = MAIL_FORM_LINE_998 }, "lines of 998 characters at most" },
	{ "lines-78", { .notes = MAIL_FORM_LINE_78 }, "lines of 78 characters at most" },
	{ "fields",
	  { .notes = MAIL_FORM_ODD_FIELD | MAIL_FORM_ODD_CHARACTER | MAIL_FORM_NO_BODY },
	  "a header of ASCII fields, each with its colon, and an empty line" },
	{ "folding", { .notes = MAIL_FORM_BLANK_FOLD }, "no folded line of blanks only" },
	{ "counts",
	  { .notes = MAIL_FORM_REPEATED | MAIL_FORM_MISSING },
	  "Date and From once, others once at most" },
	{ "date",
	  { .date = DATE_UNREADABLE | DATE_SHORT_YEAR | DATE_ZONE_NAME | DATE_IMPOSSIBLE | DATE_WRONG_DAY },
	  "a date that exists" },
	{ "date-blanks", { .date = DATE_EXTRA_BLANKS }, "single blanks in the date" },
	{ "date-zone", { .date = DATE_UNKNOWN_ZONE | DATE_ZONE_NAME }, "+0000, or an offset, in the date" },
	{ "addresses",
	  { .originator = MAIL_ADDRESS_BAD, .recipient = MAIL_ADDRESS_BAD },
	  "address fields in the grammar of section 3.4" },
	{ "address-comments",
	  { .originator = MAIL_ADDRESS_COMMENT, .recipient = MAIL_ADDRESS_COMMENT },
	  "no comment in address fields" },
	{ "address-blanks",
	  { .originator = MAIL_ADDRESS_SPACED, .recipient = MAIL_ADDRESS_SPACED },
	  "nothing around the @" },
	{ "address-quotes",
	  { .originator = MAIL_ADDRESS_QUOTED, .recipient = MAIL_ADDRESS_QUOTED },
	  "no local-part in quotes that needs none" },
	{ "originator-groups",
	  { .originator = MAIL_ADDRESS_GROUP },
	  "no group in From, Sender and Reply-To" },
	{ "sender", { .notes = MAIL_FORM_NO_SENDER }, "Sender where From has several mailboxes" },
	{ "message-id", { .notes = MAIL_FORM_NO_ID }, "a Message-ID" },
	{ "message-id-form", { .notes = MAIL_FORM_NO_ID | MAIL_FORM_ODD_ID }, "a Message-ID <left@right>" },
	{ NULL, { 0 }, NULL },
};

/* ---- lines ---- */

static uint32_t character_notes(struct span line, bool in_header)
{
	uint32_t notes = 0;

	for (size_t i = 0; i < line.n; i++) {
		unsigned char c = (unsigned char)line.p[i];
		if (c == '\r' || c == '\n')
			notes |= MAIL_FORM_BARE_EOL;
		else if (c == 0 || (in_header && c >= 0x80))
			notes |= MAIL_FORM_ODD_CHARACTER;
	}
	return notes;
}

static bool is_blank(struct span line)
{
	return span_trim(line).n == 0;
}

/* A line of the header: "name:" without a blank before the colon, or a continuation. */
static uint32_t header_line_notes(struct span line, bool first)
{
	size_t n = 0;

	if (line.p[0] == ' ' || line.p[0] == '\t')
		return (first ? (uint32_t)MAIL_FORM_ODD_FIELD : 0u) |
		       (is_blank(line) ? (uint32_t)MAIL_FORM_BLANK_FOLD : 0u);
	while (n < line.n && line.p[n] > ' ' && line.p[n] < 127 && line.p[n] != ':')
		n++;
	return n == 0 || n == line.n || line.p[n] != ':' ? MAIL_FORM_ODD_FIELD : 0u;
}

/* Cuts a line with its CRLF; without one, the rest. */
static struct span take_line(struct span *rest, bool *ret_crlf)
{
	size_t n = 0;

	while (n + 1 < rest->n && !(rest->p[n] == '\r' && rest->p[n + 1] == '\n'))
		n++;
	*ret_crlf = n + 1 < rest->n;
	struct span line = span_sub(*rest, 0, *ret_crlf ? n : rest->n);
	*rest = span_sub(*rest, line.n + (*ret_crlf ? 2 : 0), rest->n);
	return line;
}

static uint32_t line_notes(struct span message)
{
	uint32_t notes = 0;
	bool in_header = true, first = true, crlf;

	while (message.n > 0) {
		struct span line = take_line(&message, &crlf);
		if (!crlf)
			notes |= MAIL_FORM_BARE_EOL;
		if (line.n > LINE_BYTES_MAX)
			notes |= MAIL_FORM_LINE_998;
		if (line.n > LINE_BYTES_WANTED)
			notes |= MAIL_FORM_LINE_78;
		in_header = in_header && line.n > 0;
		notes |= character_notes(line, in_header);
		if (in_header)
			notes |= header_line_notes(line, first);
		first = false;
	}
	return notes | (in_header ? (uint32_t)MAIL_FORM_NO_BODY : 0u);
}

/* ---- fields ---- */

static uint32_t count_notes(struct span header)
{
	static const char *const ONCE[] = { "Date", "From",       "Sender",      "Reply-To",   "To",     "Cc",
					    "Bcc",  "Message-ID", "In-Reply-To", "References", "Subject" };
	uint32_t notes = 0;

	for (size_t i = 0; i < sizeof(ONCE) / sizeof(ONCE[0]); i++) {
		uint32_t n = field_count(header, span_of(ONCE[i]));
		if (n > 1)
			notes |= MAIL_FORM_REPEATED;
		if (n == 0 && i < 2)
			notes |= MAIL_FORM_MISSING;
	}
	return notes;
}

static uint32_t addresses_of(struct span header, const char *name)
{
	struct buf value = { 0 };
	uint32_t notes = 0;

	if (field_value(header, span_of(name), &value))
		notes = mail_address_notes(buf_span(&value));
	buf_free(&value);
	return notes;
}

static uint32_t id_notes(struct span header)
{
	struct buf value = { 0 };
	uint32_t notes = MAIL_FORM_NO_ID;

	if (field_value(header, SPAN_LIT("Message-ID"), &value))
		notes = mail_address_is_message_id(buf_span(&value)) ? 0u : MAIL_FORM_ODD_ID;
	buf_free(&value);
	return notes;
}

struct mail_form mail_form_read(struct span message)
{
	struct mail_form f = { .notes = line_notes(message) };
	struct span header, body;
	struct buf date = { 0 };

	(void)message_split(message, &header, &body);
	f.notes |= count_notes(header) | id_notes(header);
	if (field_value(header, SPAN_LIT("Date"), &date))
		f.date = date_notes(buf_span(&date));
	buf_free(&date);
	uint32_t from = addresses_of(header, "From");
	f.originator = from | addresses_of(header, "Sender") | addresses_of(header, "Reply-To");
	f.recipient = addresses_of(header, "To") | addresses_of(header, "Cc");
	if ((from & MAIL_ADDRESS_MANY) != 0 && field_count(header, SPAN_LIT("Sender")) == 0)
		f.notes |= MAIL_FORM_NO_SENDER;
	return f;
}
