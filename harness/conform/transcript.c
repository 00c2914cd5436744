#include "harness/conform/transcript.h"

#include "harness/conform/shown.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SECRET_BYTES_MIN = 4, SHOWN_LINE_BYTES = 400 };

void transcript_add_secret(struct transcript *t, struct span secret)
{
	if (secret.n < SECRET_BYTES_MIN || t->secret_count == TRANSCRIPT_SECRETS_MAX)
		return;
	buf_add(&t->secrets[t->secret_count++], secret);
}

/* The first secret in s, and which; the longest of those that begin there. */
static bool find_secret(const struct transcript *t, struct span s, size_t *ret_at, size_t *ret_bytes)
{
	bool found = false;

	for (uint32_t i = 0; i < t->secret_count; i++) {
		struct span secret = buf_span(&t->secrets[i]);
		const char *p = memmem(s.n > 0 ? s.p : "", s.n, secret.p, secret.n);
		if (p == NULL)
			continue;
		size_t at = (size_t)(p - s.p);
		if (found && (at > *ret_at || (at == *ret_at && secret.n <= *ret_bytes)))
			continue;
		*ret_at = at;
		*ret_bytes = secret.n;
		found = true;
	}
	return found;
}

static void add_without_secrets(struct transcript *t, struct span s)
{
	size_t at = 0, n = 0;

	while (find_secret(t, s, &at, &n)) {
		buf_add(&t->bytes, span_sub(s, 0, at));
		buf_add_cstr(&t->bytes, "[secret]");
		s = span_sub(s, at + n, s.n);
	}
	buf_add(&t->bytes, s);
}

static void keep(struct transcript *t, struct transcript_event *e, struct span bytes)
{
	add_without_secrets(t, bytes);
	if (buf_bytes(&t->bytes) - e->begin > TRANSCRIPT_EVENT_BYTES_MAX)
		buf_truncate(&t->bytes, e->begin + TRANSCRIPT_EVENT_BYTES_MAX);
	e->bytes = buf_bytes(&t->bytes) - e->begin;
}

void transcript_add(struct transcript *t, int64_t at_ns, enum transcript_kind kind, uint32_t connection,
		    struct span bytes)
{
	if (t->zero_ns == 0)
		t->zero_ns = at_ns;
	if (t->count == TRANSCRIPT_EVENTS_MAX || buf_bytes(&t->bytes) > TRANSCRIPT_BYTES_MAX) {
		t->left_out++;
		return;
	}
	if (t->count == t->room) {
		t->room = t->room == 0 ? 32 : t->room * 2;
		t->events = realloc(t->events, t->room * sizeof(*t->events));
		if (t->events == NULL)
			abort();
	}
	struct transcript_event *e = &t->events[t->count++];
	*e = (struct transcript_event){ .at_ns = at_ns,
					.kind = kind,
					.connection = connection,
					.begin = buf_bytes(&t->bytes),
					.bytes_in_all = bytes.n };
	keep(t, e, bytes);
}

void transcript_add_hop(struct transcript *t, int64_t at_ns, enum transcript_kind kind, const char *who,
			uint32_t connection, struct span bytes)
{
	uint32_t count = t->count;

	transcript_add(t, at_ns, kind, connection, bytes);
	if (t->count > count)
		t->events[count].who = who;
}

void transcript_extend(struct transcript *t, struct span bytes)
{
	if (t->count == 0 || t->left_out > 0)
		return;
	t->events[t->count - 1].bytes_in_all += bytes.n;
	keep(t, &t->events[t->count - 1], bytes);
}

void transcript_note(struct transcript *t, int64_t at_ns, uint32_t connection, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	transcript_add(t, at_ns, TRANSCRIPT_NOTE, connection, span_of(text));
}

/* ---- printing ---- */

enum { REPEATED_LEAST = 3 };

static void add_shown(struct buf *out, struct span line)
{
	shown_add(out, span_sub(line, 0, SHOWN_LINE_BYTES), "");
	if (line.n > SHOWN_LINE_BYTES)
		buf_addf(out, " … %zu bytes more of this line", line.n - SHOWN_LINE_BYTES);
}

/* How often the line that ends where rest begins stands there again; a few are no matter. */
static size_t take_repeated(struct span line, struct span *rest)
{
	size_t times = 0;

	while (line.n > 0 && span_eq(span_sub(*rest, times * line.n, line.n), line))
		times++;
	if (times < REPEATED_LEAST)
		return 0;
	*rest = span_sub(*rest, times * line.n, rest->n);
	return times;
}

static void print_event(const struct transcript *t, const struct transcript_event *e, const char *indent,
			struct buf *out)
{
	static const char *const ARROWS[] = { "--", "->", "<-" };
	static const char *const HOP_ARROWS[] = { "--", "<-", "->" };
	struct span rest = span_sub(buf_span(&t->bytes), e->begin, e->bytes);
	bool first = true;

	do {
		size_t n = e->kind == TRANSCRIPT_NOTE ? rest.n : span_find(rest, '\n') + 1;
		struct span line = span_sub(rest, 0, n);
		const char *arrow = e->who == NULL ? ARROWS[e->kind] : HOP_ARROWS[e->kind];
		double at_s = (double)(e->at_ns - t->zero_ns) / 1e9;
		if (first && e->who != NULL)
			buf_addf(out, "%s%9.3f %s.%" PRIu32 " %s ", indent, at_s, e->who, e->connection + 1,
				 arrow);
		else if (first)
			buf_addf(out, "%s%9.3f %c%" PRIu32 " %s ", indent, at_s,
				 e->kind == TRANSCRIPT_SERVER ? 'S' : 'C', e->connection + 1, arrow);
		else
			buf_addf(out, "%s           | %s ", indent, arrow);
		first = false;
		add_shown(out, line);
		buf_add_cstr(out, "\n");
		rest = span_sub(rest, n, rest.n);
		size_t times = take_repeated(line, &rest);
		if (times > 0)
			buf_addf(out, "%s           | %s … the same, %zu times more\n", indent, arrow, times);
	} while (rest.n > 0);
	if (e->bytes == TRANSCRIPT_EVENT_BYTES_MAX && e->bytes_in_all > e->bytes)
		buf_addf(out, "%s             … %zu bytes in all\n", indent, e->bytes_in_all);
}

void transcript_print(const struct transcript *t, const char *indent, struct buf *out)
{
	for (uint32_t i = 0; i < t->count; i++)
		print_event(t, &t->events[i], indent, out);
	if (t->left_out > 0)
		buf_addf(out, "%s             … %" PRIu64 " pieces more, not kept\n", indent, t->left_out);
}

void transcript_free(struct transcript *t)
{
	for (uint32_t i = 0; i < t->secret_count; i++) {
		explicit_bzero(t->secrets[i].p, t->secrets[i].room);
		buf_free(&t->secrets[i]);
	}
	free(t->events);
	buf_free(&t->bytes);
	*t = (struct transcript){ 0 };
}
