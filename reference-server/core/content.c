#include "reference-server/core/content.h"

#include "reference-server/core/mutant.h"

#include <assert.h>
#include <string.h>

enum {
	LANES = 16,     /* a constant trip count is what lets -O2 use vectors */
	ROWS_MAX = 255, /* as many as a counter of 8 bits can hold */
};

void content_init(struct content *c)
{
	assert(c != NULL);
	/* The CRLF of the DATA command stands before the first line. */
	*c = (struct content){ .at_line_start = true };
}

/*
 * What one pass over a run finds besides its line ends.  Kept in lanes, one
 * for each byte of a vector register, and summed up rarely: adding across a
 * register is what would cost.
 */
struct tally {
	unsigned char cr_count[LANES];
	unsigned char high[LANES]; /* bit 7: an 8-bit byte was there */
	unsigned char nul[LANES];  /* not 0: a NUL was there */
};

static void tally_row(struct tally *restrict t, const unsigned char *restrict p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		t->cr_count[i] = (unsigned char)(t->cr_count[i] + (p[i] == '\r'));
		t->high[i] |= p[i];
		t->nul[i] |= p[i] == 0;
	}
}

/* Notes the facts of at most ROWS_MAX rows and returns how many CRs they hold. */
static size_t note_rows(struct content *c, const unsigned char *p, size_t n)
{
	struct tally t = { { 0 }, { 0 }, { 0 } };
	unsigned char high = 0;
	unsigned char nul = 0;
	size_t cr_count = 0;

	assert(n <= (size_t)ROWS_MAX * LANES);
	for (; n >= LANES; p += LANES, n -= LANES)
		tally_row(&t, p, LANES);
	tally_row(&t, p, n);
	for (size_t i = 0; i < LANES; i++) {
		cr_count += t.cr_count[i];
		high |= t.high[i];
		nul |= t.nul[i];
	}
	if (nul != 0)
		c->facts |= CONTENT_NUL;
	if ((high & 0x80) != 0)
		c->facts |= CONTENT_8BIT;
	return cr_count;
}

static void note_facts(struct content *c, struct span run, size_t crlf_count)
{
	const unsigned char *p = (const unsigned char *)run.p;
	size_t cr_count = 0;
	size_t n;

	for (size_t at = 0; at < run.n; at += n) {
		n = run.n - at < (size_t)ROWS_MAX * LANES ? run.n - at : (size_t)ROWS_MAX * LANES;
		cr_count += note_rows(c, p + at, n);
	}
	assert(cr_count >= crlf_count);
	if (cr_count > crlf_count)
		c->facts |= CONTENT_BARE_CR;
}

static void count_line_bytes(struct content *c, size_t bytes)
{
	c->line_bytes += bytes;
	if (c->line_bytes > c->line_bytes_longest)
		c->line_bytes_longest = c->line_bytes;
}

/* How much of `rest`, which is content, can be handed out as one run: up to
 * the first line that starts with a dot, and not a CR whose LF may come. */
static size_t run_bytes(struct content *c, struct span rest, size_t *ret_crlf_count)
{
	size_t line_start = 0;
	size_t from = 0;

	*ret_crlf_count = 0;
	while (from < rest.n) {
		const char *hit = memchr(rest.p + from, '\n', rest.n - from);
		if (hit == NULL)
			break;
		size_t lf = (size_t)(hit - rest.p);
		from = lf + 1;
		/* A CR is never used up alone, so before the first byte there is none. */
		if (lf == 0 || rest.p[lf - 1] != '\r') {
			c->facts |= CONTENT_BARE_LF;
			if (MUTANT(SMTP_BARE_LF_LINE) && (c->at_line_start = true))
				return from;
			continue;
		}
		++*ret_crlf_count;
		count_line_bytes(c, lf - 1 - line_start);
		c->line_bytes = 0;
		line_start = from;
		if (from < rest.n && rest.p[from] == '.')
			break;
	}
	if (from == line_start && from > 0 && (from == rest.n || rest.p[from] == '.')) {
		c->at_line_start = true;
		return from;
	}
	size_t end = rest.p[rest.n - 1] == '\r' ? rest.n - 1 : rest.n;
	count_line_bytes(c, end - line_start);
	if (end > 0)
		c->at_line_start = end == line_start;
	return end;
}

enum content_result content_next(struct content *c, struct span in, struct span *ret_run,
				 size_t *ret_used_bytes)
{
	assert(!c->ended);
	assert(ret_run != NULL);
	assert(ret_used_bytes != NULL);
	size_t dot_bytes = 0;
	size_t crlf_count;

	*ret_run = (struct span){ NULL, 0 };
	*ret_used_bytes = 0;
	if (in.n == 0)
		return CONTENT_MORE;
	if (c->at_line_start && in.p[0] == '.') {
		struct span final_dot = MUTANT(RELAY_NUL_BEHIND_DOT) && in.n > 1 && in.p[1] == '\0'
						? SPAN_LIT(".\0\r\n")
						: SPAN_LIT(".\r\n");
		if (in.n < final_dot.n && memcmp(in.p, final_dot.p, in.n) == 0)
			return CONTENT_MORE;
		if (in.n >= final_dot.n && memcmp(in.p, final_dot.p, final_dot.n) == 0) {
			c->ended = true;
			*ret_used_bytes = final_dot.n;
			return CONTENT_END;
		}
		dot_bytes = MUTANT(SMTP_KEEPS_LEADING_DOT) ? 0 : 1;
		c->at_line_start = false;
	}
	struct span rest = span_sub(in, dot_bytes, in.n);
	size_t n = run_bytes(c, rest, &crlf_count);
	*ret_used_bytes = dot_bytes + n;
	if (n == 0)
		return CONTENT_MORE;
	*ret_run = span_sub(rest, 0, n);
	note_facts(c, *ret_run, crlf_count);
	c->content_bytes += n;
	return CONTENT_RUN;
}

static void note_bare_cr(struct content *c)
{
	c->facts |= CONTENT_BARE_CR;
	count_line_bytes(c, 1);
}

/* Measures the lines of `run`, which neither begins with the LF of a CR before it nor ends in a CR.  Returns how
 * many CRLFs it holds. */
static size_t measure_lines(struct content *c, struct span run)
{
	size_t crlf_count = 0;
	size_t line_start = 0;
	const char *hit;

	for (size_t from = 0; (hit = memchr(run.p + from, '\n', run.n - from)) != NULL;) {
		size_t lf = (size_t)(hit - run.p);
		from = lf + 1;
		if (lf == 0 || run.p[lf - 1] != '\r') {
			c->facts |= CONTENT_BARE_LF;
			continue;
		}
		crlf_count++;
		count_line_bytes(c, lf - 1 - line_start);
		c->line_bytes = 0;
		line_start = from;
	}
	count_line_bytes(c, run.n - line_start);
	return crlf_count;
}

void content_take(struct content *c, struct span run)
{
	assert(!c->ended);
	c->content_bytes += run.n;
	if (run.n == 0)
		return;
	if (c->after_cr && run.p[0] == '\n') {
		c->line_bytes = 0;
		run = span_sub(run, 1, run.n);
	} else if (c->after_cr) {
		note_bare_cr(c);
	}
	c->after_cr = run.n > 0 && run.p[run.n - 1] == '\r';
	run.n -= c->after_cr;
	if (run.n > 0)
		note_facts(c, run, measure_lines(c, run));
}

void content_finish(struct content *c)
{
	assert(!c->ended);
	if (c->after_cr)
		note_bare_cr(c);
	c->after_cr = false;
	c->ended = true;
}
