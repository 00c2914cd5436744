#include "harness/cli/progress.h"

#include "base/buf.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum {
	LIVE_INTERVAL_MS = 100,
	LINES_INTERVAL_MS = 5000,
	COLUMNS_USUAL = 80,
};

enum progress_mode progress_mode_for(bool quiet)
{
	if (quiet)
		return PROGRESS_NONE;
	const char *term = getenv("TERM");
	bool live = isatty(STDERR_FILENO) && term != NULL && strcmp(term, "dumb") != 0;
	return live ? PROGRESS_LIVE : PROGRESS_LINES;
}

int64_t progress_interval_ms(const struct progress *p)
{
	return p->mode == PROGRESS_LINES ? LINES_INTERVAL_MS : LIVE_INTERVAL_MS;
}

static size_t columns(void)
{
	struct winsize w;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &w) != 0 || w.ws_col == 0)
		return COLUMNS_USUAL;
	return w.ws_col;
}

static void add_state(const struct progress_state *s, struct buf *line)
{
	const struct ledger_progress *c = &s->counts;

	buf_addf(line, "%s  %5.1f s  %-9s", s->flow, (double)s->elapsed_ms / 1000, s->phase);
	if (c->planned > 0)
		buf_addf(line, "  sent %" PRIu32 "/%" PRIu32 "  accepted %" PRIu32 "  arrived %" PRIu32,
			 c->sent, c->planned, c->accepted, c->delivered);
	if (c->told > 0)
		buf_addf(line, "  bounced %" PRIu32, c->told);
	if (c->rejected > 0)
		buf_addf(line, "  refused %" PRIu32, c->rejected);
	if (c->planned > 0)
		buf_addf(line, "  backlog %" PRIu32, c->backlog);
	if (s->fault != NULL)
		buf_addf(line, "  ! %s", s->fault);
}

void progress_clear(struct progress *p)
{
	if (p->line_open)
		(void)fputs("\r\033[K", stderr);
	p->line_open = false;
	(void)fflush(stderr);
}

static void show_live(struct progress *p, const struct progress_state *s)
{
	struct buf line = { 0 };
	const char *begin = p->colour && s->fault != NULL ? "\033[31m" : "";
	const char *end = *begin != '\0' ? "\033[m" : "";

	add_state(s, &line);
	/* A line that wraps cannot be taken back. */
	struct span shown = span_sub(buf_span(&line), 0, columns() - 1);
	(void)fprintf(stderr, "\r%s%.*s%s\033[K", begin, SPAN_FMT(shown), end);
	(void)fflush(stderr);
	p->line_open = true;
	buf_free(&line);
}

void progress_show(struct progress *p, const struct progress_state *s)
{
	if (p->mode == PROGRESS_LIVE)
		show_live(p, s);
	if (p->mode != PROGRESS_LINES || s->elapsed_ms - p->last_ms < LINES_INTERVAL_MS)
		return;
	struct buf line = { 0 };
	p->last_ms = s->elapsed_ms;
	add_state(s, &line);
	(void)fprintf(stderr, "%s\n", buf_cstr(&line));
	buf_free(&line);
}

void progress_event(struct progress *p, const struct progress_state *s, const char *text)
{
	if (p->mode == PROGRESS_NONE)
		return;
	progress_clear(p);
	(void)fprintf(stderr, "%s  %5.1f s  %s\n", s->flow, (double)s->elapsed_ms / 1000, text);
}
