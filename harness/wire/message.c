#include "harness/wire/message.h"

#include <string.h>

/* A line with its end, from the front of *s. */
static struct span take_line(struct span *s)
{
	size_t n = span_find(*s, '\n');
	struct span line = { s->p, n < s->n ? n + 1 : n };
	*s = span_sub(*s, line.n, s->n);
	return line;
}

static struct span without_end(struct span line)
{
	if (line.n > 0 && line.p[line.n - 1] == '\n') {
		line.n--;
		if (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
	}
	return line;
}

bool message_split(struct span message, struct span *ret_header, struct span *ret_body)
{
	struct span rest = message;
	while (rest.n > 0) {
		size_t header_bytes = message.n - rest.n;
		struct span line = take_line(&rest);
		bool empty = without_end(line).n == 0;
		if (empty && line.n > 0) {
			*ret_header = span_sub(message, 0, header_bytes);
			*ret_body = rest;
			return true;
		}
	}
	*ret_header = message;
	*ret_body = (struct span){ 0 };
	return false;
}

static bool is_continuation(struct span line)
{
	return line.n > 0 && (line.p[0] == ' ' || line.p[0] == '\t');
}

/* RFC 5322 section 2.2: name of printable ASCII without colon; blanks before the colon are section 4.5's. */
static bool parse_field_line(struct span line, struct field *ret_field)
{
	size_t n = 0;
	while (n < line.n && line.p[n] > 32 && line.p[n] < 127 && line.p[n] != ':')
		n++;
	size_t colon = n;
	while (colon < line.n && (line.p[colon] == ' ' || line.p[colon] == '\t'))
		colon++;
	if (n == 0 || colon >= line.n || line.p[colon] != ':')
		return false;
	ret_field->name = span_sub(line, 0, n);
	ret_field->raw = (struct span){ line.p + colon + 1, line.n - colon - 1 };
	return true;
}

bool field_next(struct span *header, struct field *ret_field)
{
	while (header->n > 0) {
		struct span line = take_line(header);
		struct field f;
		if (!parse_field_line(line, &f))
			continue;
		f.whole = line;
		while (is_continuation(*header))
			f.whole.n += take_line(header).n;
		f.raw.n = f.whole.n - (size_t)(f.raw.p - f.whole.p);
		f.raw = without_end(f.raw);
		*ret_field = f;
		return true;
	}
	return false;
}

bool field_find(struct span header, struct span name, uint32_t nth, struct field *ret_field)
{
	struct field f;
	while (field_next(&header, &f)) {
		if (!span_eq_nocase(f.name, name))
			continue;
		if (nth == 0) {
			*ret_field = f;
			return true;
		}
		nth--;
	}
	return false;
}

uint32_t field_count(struct span header, struct span name)
{
	uint32_t count = 0;
	struct field f;
	while (field_next(&header, &f))
		count += span_eq_nocase(f.name, name) ? 1 : 0;
	return count;
}

void field_unfold(struct span raw, struct buf *ret_value)
{
	size_t before = buf_bytes(ret_value);
	while (raw.n > 0)
		buf_add(ret_value, without_end(take_line(&raw)));
	struct span value = span_sub(buf_span(ret_value), before, buf_bytes(ret_value));
	struct span trimmed = span_trim(value);
	if (trimmed.n == value.n)
		return;
	size_t skip = trimmed.n > 0 ? (size_t)(trimmed.p - value.p) : 0;
	char *p = ret_value->p + ret_value->begin + before;
	memmove(p, p + skip, trimmed.n);
	buf_truncate(ret_value, before + trimmed.n);
}

bool field_value(struct span header, struct span name, struct buf *ret_value)
{
	struct field f;
	if (!field_find(header, name, 0, &f))
		return false;
	field_unfold(f.raw, ret_value);
	return true;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct span field_message_id(struct span header)
{
	struct field f;
	if (!field_find(header, SPAN_LIT("Message-ID"), 0, &f))
		return (struct span){ 0 };
	struct span raw = f.raw;
	while (raw.n > 0 && is_blank(raw.p[0]))
		raw = span_sub(raw, 1, raw.n);
	while (raw.n > 0 && is_blank(raw.p[raw.n - 1]))
		raw.n--;
	size_t open = span_find(raw, '<');
	struct span inner = span_sub(raw, open + 1, raw.n);
	size_t close = span_find(inner, '>');
	return close < inner.n ? span_sub(inner, 0, close) : raw;
}

void field_strip_comments(struct span value, struct buf *ret_value)
{
	uint32_t depth = 0;
	bool quoted = false;
	for (size_t i = 0; i < value.n; i++) {
		char c = value.p[i];
		size_t n = (c == '\\' && i + 1 < value.n) ? 2 : 1;
		if (n == 1 && c == '"' && depth == 0)
			quoted = !quoted;
		if (n == 1 && c == '(' && !quoted)
			depth++;
		else if (n == 1 && c == ')' && depth > 0)
			depth--;
		else if (depth == 0)
			buf_add(ret_value, (struct span){ value.p + i, n });
		i += n - 1;
	}
}

/* ---- notes ---- */
enum { LINE_CHARS_MAX = 998 };

static uint32_t line_notes(struct span line, bool in_header)
{
	uint32_t notes = 0;
	bool ended = line.n > 0 && line.p[line.n - 1] == '\n';
	if (ended && (line.n < 2 || line.p[line.n - 2] != '\r'))
		notes |= MESSAGE_BARE_LF;
	struct span text = without_end(line);
	if (text.n > LINE_CHARS_MAX)
		notes |= MESSAGE_LONG_LINE;
	if (span_find(text, '\r') < text.n)
		notes |= MESSAGE_BARE_CR;
	if (span_find(text, '\0') < text.n)
		notes |= MESSAGE_NUL;
	for (size_t i = 0; in_header && i < text.n; i++)
		if ((unsigned char)text.p[i] > 127)
			notes |= MESSAGE_8BIT_HEADER;
	return notes;
}

uint32_t message_notes(struct span message)
{
	struct span header, body;
	uint32_t notes = message_split(message, &header, &body) ? 0 : MESSAGE_NO_BODY;
	bool after_field = false;
	struct span rest = message;
	while (rest.n > 0) {
		bool in_header = message.n - rest.n < header.n;
		struct span line = take_line(&rest);
		notes |= line_notes(line, in_header);
		if (!in_header)
			continue;
		struct field f;
		if (is_continuation(line) && after_field)
			continue;
		after_field = parse_field_line(line, &f);
		if (!after_field)
			notes |= MESSAGE_ODD_FIELD;
	}
	return notes;
}
