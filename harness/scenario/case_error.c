#include "harness/scenario/case_read.h"

#include <stdarg.h>
#include <stdio.h>

enum {
	MESSAGES_MAX = 100,
	SOURCE_BYTES_MAX = 160, /* of a line that is shown */
	CARETS_MAX = 60,
};

/* A message must not carry control bytes from a file to a terminal. */
static void add_printable(struct buf *out, struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i] == '\t' ? ' ' : s.p[i];
		buf_add(out, (unsigned char)c < 0x20 || c == 0x7f ? SPAN_LIT("?") : (struct span){ &c, 1 });
	}
}

static void add_text(struct buf *out, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
static void add_text(struct buf *out, const char *fmt, va_list ap)
{
	char text[400];

	(void)vsnprintf(text, sizeof(text), fmt, ap);
	add_printable(out, span_of(text));
	buf_add_cstr(out, "\n");
}

void case_error(struct case_reader *r, struct span at, const char *fmt, ...)
{
	va_list ap;

	if (r->error_count++ >= MESSAGES_MAX)
		return;
	bool inside = at.p >= r->line.p && at.p <= r->line.p + r->line.n;
	size_t column = inside ? (size_t)(at.p - r->line.p) : 0;
	buf_addf(r->messages, "%s:%u:%zu: error: ", r->path, r->line_number, column + 1);
	va_start(ap, fmt);
	add_text(r->messages, fmt, ap);
	va_end(ap);
	buf_addf(r->messages, "%6u | ", r->line_number);
	add_printable(r->messages, span_sub(r->line, 0, SOURCE_BYTES_MAX));
	if (column < SOURCE_BYTES_MAX) {
		buf_addf(r->messages, "\n       | %*s^", (int)column, "");
		for (size_t i = 1; i < at.n && i < CARETS_MAX && column + i < r->line.n; i++)
			buf_add_cstr(r->messages, "~");
	}
	buf_add_cstr(r->messages, "\n");
}

void case_file_error(struct case_reader *r, const char *fmt, ...)
{
	va_list ap;

	if (r->error_count++ >= MESSAGES_MAX)
		return;
	buf_addf(r->messages, "%s: error: ", r->path);
	va_start(ap, fmt);
	add_text(r->messages, fmt, ap);
	va_end(ap);
}
