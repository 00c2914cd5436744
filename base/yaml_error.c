#include "base/yaml_tree.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SOURCE_CHARS_MAX = 200 };

/* A message must not carry control bytes from a file to a terminal. */
static void make_printable(char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			*text = '?';
}

void yaml_verror_at(struct yaml *y, struct yaml_place at, const char *fmt, va_list ap)
{
	char text[512];

	(void)vsnprintf(text, sizeof(text), fmt, ap);
	make_printable(text);
	uint32_t kept = y->error_count < YAML_ERRORS_KEPT ? y->error_count : YAML_ERRORS_KEPT;
	for (uint32_t i = 0; i < kept; i++) {
		const struct yaml_message *m = &y->errors[i];
		if (m->at.line == at.line && m->at.column == at.column && strcmp(m->text, text) == 0)
			return;
	}
	if (kept < YAML_ERRORS_KEPT)
		y->errors[kept] = (struct yaml_message){ at, yaml_keep_text(y, span_of(text)) };
	y->error_count++;
}

void yaml_error_at(struct yaml *y, struct yaml_place at, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	yaml_verror_at(y, at, fmt, ap);
	va_end(ap);
}

void yaml_error(struct yaml *y, const struct yaml_node *at, const char *fmt, ...)
{
	struct yaml_place place = { 0 };
	va_list ap;

	if (at !=
	    NULL) /* An empty value has no text to point at, and a block mapping starts at its first key. */
		place = at->key != NULL && at->kind != YAML_SCALAR ? at->key_at : at->at;
	va_start(ap, fmt);
	yaml_verror_at(y, place, fmt, ap);
	va_end(ap);
}

void yaml_error_at_key(struct yaml *y, const struct yaml_node *at, const char *fmt, ...)
{
	struct yaml_place place = { 0 };
	va_list ap;

	if (at != NULL)
		place = at->key != NULL ? at->key_at : at->at;
	va_start(ap, fmt);
	yaml_verror_at(y, place, fmt, ap);
	va_end(ap);
}

uint32_t yaml_error_count(const struct yaml *y)
{
	return y->error_count;
}

static struct span source_line(const struct yaml *y, uint32_t line)
{
	struct span rest = buf_span(&y->text);
	struct span head;

	for (uint32_t i = 1; i < line; i++)
		if (!span_take_until(&rest, '\n', &head))
			return (struct span){ 0 };
	head = span_sub(rest, 0, span_find(rest, '\n'));
	if (head.n > 0 && head.p[head.n - 1] == '\r')
		head.n--;
	return head;
}

static bool starts_char(char c)
{
	return ((unsigned char)c & 0xc0) != 0x80;
}

/* The source line and a second line that underlines the place; tabs stay tabs so that both line up. */
static void add_source(struct buf *b, const struct yaml *y, struct yaml_place at)
{
	struct span line = source_line(y, at.line);
	uint32_t column = 0;
	size_t end = 0;

	buf_addf(b, "%6u | ", at.line);
	for (; end < line.n; end++) {
		column += starts_char(line.p[end]);
		if (column > SOURCE_CHARS_MAX)
			break;
		bool shown = (unsigned char)line.p[end] >= 0x20 && line.p[end] != 0x7f;
		buf_addf(b, "%c", shown || line.p[end] == '\t' ? line.p[end] : '?');
	}
	buf_add_cstr(b, "\n");
	if (at.column > SOURCE_CHARS_MAX)
		return;
	buf_add_cstr(b, "       | ");
	column = 1;
	for (size_t i = 0; column < at.column; i++) {
		if (i < end && !starts_char(line.p[i]))
			continue;
		buf_add_cstr(b, i < end && line.p[i] == '\t' ? "\t" : " ");
		column++;
	}
	buf_add_cstr(b, "^");
	for (uint32_t i = 1; i < at.width && at.column + i <= SOURCE_CHARS_MAX; i++)
		buf_add_cstr(b, "~");
	buf_add_cstr(b, "\n");
}

static int by_place(const void *va, const void *vb)
{
	const struct yaml_message *a = va, *b = vb;

	if (a->at.line != b->at.line)
		return a->at.line < b->at.line ? -1 : 1;
	if (a->at.column != b->at.column)
		return a->at.column < b->at.column ? -1 : 1;
	return strcmp(a->text, b->text);
}

const char *yaml_messages(struct yaml *y)
{
	uint32_t kept = y->error_count < YAML_ERRORS_KEPT ? y->error_count : YAML_ERRORS_KEPT;

	qsort(y->errors, kept, sizeof(y->errors[0]), by_place);
	buf_reset(&y->messages);
	for (uint32_t i = 0; i < kept; i++) {
		const struct yaml_message *m = &y->errors[i];
		if (m->at.line == 0) {
			buf_addf(&y->messages, "%s: error: %s\n", y->path, m->text);
			continue;
		}
		buf_addf(&y->messages, "%s:%u:%u: error: %s\n", y->path, m->at.line, m->at.column, m->text);
		add_source(&y->messages, y, m->at);
	}
	if (kept < y->error_count)
		buf_addf(&y->messages, "%s: error: %u more mistakes are not shown\n", y->path,
			 y->error_count - kept);
	return buf_cstr(&y->messages);
}
