#include "reference-server/core/trace.h"

#include "reference-server/core/date.h"
#include "reference-server/core/mutant.h"
#include "reference-server/core/utf8.h"

#include <assert.h>
#include <string.h>

enum {
	LINE_BYTES_WANTED = 78, /* RFC 5322 2.1.1 */
};

/* A header field in the making. */
struct field {
	struct buf *out;
	size_t column;
};

static struct field field_begin(struct buf *out, struct span name_and_colon)
{
	buf_add(out, name_and_colon);
	return (struct field){ out, name_and_colon.n };
}

static void field_fold(struct field *f)
{
	buf_add(f->out, SPAN_LIT("\r\n\t"));
	f->column = 1;
}

/* Puts a blank before the next n bytes, or a fold when they would not fit. */
static void field_space(struct field *f, size_t n)
{
	if (f->column + 1 + n > LINE_BYTES_WANTED) {
		field_fold(f);
		return;
	}
	buf_add(f->out, SPAN_LIT(" "));
	f->column++;
}

static void field_add(struct field *f, struct span token)
{
	buf_add(f->out, token);
	f->column += token.n;
}

static void field_end(struct field *f)
{
	buf_add(f->out, SPAN_LIT("\r\n"));
}

/* Letters, digits and what names, address literals and ids are made of. */
static bool is_name_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c != '\0' && strchr("-._:[]", c) != NULL);
}

/* Printable ASCII, as a path with a quoted local-part may hold. */
static bool is_path_byte(char c)
{
	return c >= ' ' && c <= '~';
}

static bool is_8bit_path_byte(char c)
{
	return is_path_byte(c) || (unsigned char)c >= 0x80;
}

static void field_add_safe(struct field *f, struct span text, bool (*is_safe)(char))
{
	for (size_t i = 0; i < text.n; i++) {
		char c = is_safe(text.p[i]) ? text.p[i] : '?';
		field_add(f, (struct span){ &c, 1 });
	}
}

/* " keyword value", kept on one line when they fit on one. */
static void add_clause(struct field *f, struct span keyword, struct span value)
{
	if (value.n == 0)
		return;
	field_space(f, keyword.n + 1 + value.n);
	field_add(f, keyword);
	field_space(f, value.n);
	field_add_safe(f, value, is_name_byte);
}

/* "(name [192.0.2.1])": what the connection says, not the client (RFC 5321 4.4). */
static void add_tcp_info(struct field *f, struct span name, struct span ip)
{
	struct span tag = span_find(ip, ':') < ip.n ? SPAN_LIT("[IPv6:") : SPAN_LIT("[");
	size_t name_bytes = name.n > 0 ? name.n + 1 : 0;

	if (ip.n == 0)
		return;
	field_space(f, name_bytes + tag.n + ip.n + SPAN_LIT("(])").n);
	field_add(f, SPAN_LIT("("));
	if (name.n > 0) {
		field_add_safe(f, name, is_name_byte);
		field_space(f, tag.n + ip.n + SPAN_LIT("])").n);
	}
	field_add(f, tag);
	field_add_safe(f, ip, is_name_byte);
	field_add(f, SPAN_LIT("])"));
}

static void add_for(struct field *f, struct span rcpt)
{
	static const struct span keyword = { "for", 3 };
	size_t path_bytes = rcpt.n + SPAN_LIT("<>").n;

	if (rcpt.n == 0 || !utf8_is_ascii(rcpt))
		return;
	field_space(f, keyword.n + 1 + path_bytes + SPAN_LIT(";").n);
	field_add(f, keyword);
	field_space(f, path_bytes + SPAN_LIT(";").n);
	field_add(f, SPAN_LIT("<"));
	field_add_safe(f, rcpt, is_path_byte);
	field_add(f, SPAN_LIT(">"));
}

void trace_add_received(struct buf *out, const struct trace_received *facts)
{
	assert(out != NULL);
	assert(facts->helo.n > 0);
	assert(facts->by_host.n > 0);
	struct field f = field_begin(out, SPAN_LIT("Received:"));

	add_clause(&f, SPAN_LIT("from"), facts->helo);
	add_tcp_info(&f, facts->client_name, facts->client_ip);
	field_fold(&f);
	field_add(&f, MUTANT(RECEIVED_NO_BY) ? SPAN_LIT("at") : SPAN_LIT("by"));
	field_space(&f, facts->by_host.n);
	field_add_safe(&f, facts->by_host, is_name_byte);
	if (MUTANT(RECEIVED_ODD_VIA))
		add_clause(&f, SPAN_LIT("via"), SPAN_LIT("pigeon"));
	if (MUTANT(RECEIVED_ODD_ORDER))
		add_clause(&f, SPAN_LIT("id"), facts->id);
	add_clause(&f, SPAN_LIT("with"), MUTANT(RECEIVED_ODD_WITH) ? SPAN_LIT("XSMTP") : facts->protocol);
	if (!MUTANT(RECEIVED_ODD_ORDER))
		add_clause(&f, SPAN_LIT("id"), facts->id);
	add_for(&f, facts->rcpt);
	add_clause(&f, SPAN_LIT("tls"), facts->tls_suite);
	if (MUTANT(RECEIVED_ODD_CLAUSE))
		add_clause(&f, SPAN_LIT("luck"), SPAN_LIT("good"));
	field_add(&f, SPAN_LIT(";"));
	field_fold(&f);
	trace_add_date_time(out, facts->time_ms);
	field_end(&f);
}

void trace_add_return_path(struct buf *out, struct span reverse_path)
{
	assert(out != NULL);
	if (MUTANT(SMTP_NO_RETURN_PATH))
		return;
	if (MUTANT(SMTP_TWO_RETURN_PATHS))
		buf_add(out, SPAN_LIT("Return-Path: <>\r\n"));
	if (MUTANT(SMTP_OTHER_RETURN_PATH))
		reverse_path = SPAN_LIT("postmaster");
	if (MUTANT(SMTP_UNQUOTES_SENDER) && reverse_path.n > 0 && reverse_path.p[0] == '"')
		reverse_path = span_sub(reverse_path, 1, reverse_path.n);
	struct field f = field_begin(out, SPAN_LIT("Return-Path:"));

	field_space(&f, reverse_path.n + SPAN_LIT("<>").n);
	field_add(&f, SPAN_LIT("<"));
	field_add_safe(&f, reverse_path, utf8_is_valid(reverse_path) ? is_8bit_path_byte : is_path_byte);
	field_add(&f, SPAN_LIT(">"));
	field_end(&f);
}

/* Empty: the line begins no field.  Blanks before the colon are obsolete, but met (RFC 5322 4.5). */
static struct span field_name(struct span line)
{
	struct span name = span_sub(line, 0, span_find(line, ':'));
	bool is_field = name.n < line.n;

	while (name.n > 0 && (name.p[name.n - 1] == ' ' || name.p[name.n - 1] == '\t'))
		name.n--;
	for (size_t i = 0; i < name.n && is_field; i++)
		is_field = name.p[i] > ' ' && name.p[i] < 0x7F;
	return is_field ? name : (struct span){ NULL, 0 };
}

void trace_add_without_return_path(struct buf *out, struct span message)
{
	size_t run = 0, at = 0; /* from run on nothing was written yet */
	bool removes = false;

	while (at < message.n) {
		struct span line = span_sub(message, at, message.n);
		line.n = span_find(line, '\n') + (span_find(line, '\n') < line.n);
		bool continues = at > 0 && (line.p[0] == ' ' || line.p[0] == '\t');
		struct span name = field_name(line);
		if (!continues && name.n == 0)
			break;
		bool starts = !continues && span_eq_nocase(name, SPAN_LIT("Return-Path"));
		if (starts || (continues && removes)) {
			buf_add(out, span_sub(message, run, at - run));
			run = at + line.n;
		}
		removes = starts || (continues && removes);
		at += line.n;
	}
	buf_add(out, span_sub(message, run, message.n));
}

/* ---- dates ----------------------------------------------------------------- */

void trace_add_date_time(struct buf *out, int64_t time_ms)
{
	static const char days[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
	static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
					    "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	struct date d = date_of(time_ms);

	assert(out != NULL);
	assert(d.year >= 1900 && d.year <= 9999); /* RFC 5322 3.3 */
	buf_addf(out, "%s, %d %s %d %02d:%02d:%02d %s", days[d.weekday], d.day, months[d.month - 1],
		 MUTANT(RECEIVED_SHORT_YEAR) ? (int)d.year % 100 : (int)d.year, d.hour, d.minute, d.second,
		 MUTANT(RECEIVED_ZONE_NAME) ? "GMT" : "+0000");
}

void trace_add_date(struct buf *out, int64_t time_ms)
{
	assert(out != NULL);
	buf_add(out, SPAN_LIT("Date: "));
	trace_add_date_time(out, time_ms);
	buf_add(out, SPAN_LIT("\r\n"));
}

/* ---- message identifiers --------------------------------------------------- */

void trace_add_message_id(struct buf *out, struct span message_id)
{
	assert(out != NULL);
	assert(message_id.n > 0);
	struct field f = field_begin(out, SPAN_LIT("Message-ID:"));

	field_space(&f, message_id.n);
	field_add_safe(&f, message_id, is_path_byte);
	field_end(&f);
}

void trace_add_new_message_id(struct buf *out, int64_t time_ms, struct span unique, struct span host)
{
	static const char digits[] = "0123456789abcdef";
	struct field f = { out, 0 };

	assert(out != NULL);
	assert(unique.n > 0);
	assert(host.n > 0);
	buf_addf(out, "<%llx.", (unsigned long long)time_ms);
	for (size_t i = 0; i < unique.n; i++) {
		unsigned char byte = (unsigned char)unique.p[i];
		buf_add(out, (struct span){ (const char[]){ digits[byte >> 4], digits[byte & 15] }, 2 });
	}
	buf_add(out, SPAN_LIT("@"));
	field_add_safe(&f, host, is_name_byte);
	buf_add(out, SPAN_LIT(">"));
}
