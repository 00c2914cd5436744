#include "harness/conform/answer.h"

#include "harness/wire/received.h"

#include <stdio.h>
#include <string.h>

/* ---- reading ---- */

static void begin(struct answer_reader *r)
{
	struct buf text = r->answer.text, data = r->answer.data;

	buf_reset(&text);
	buf_reset(&data);
	r->answer = (struct answer){ .pop3 = r->pop3, .text = text, .data = data };
	r->busy = true;
}

static size_t read_smtp(struct answer_reader *r, struct span in, bool *ret_done)
{
	struct answer *a = &r->answer;
	size_t n = reply_read(&r->smtp, in, ret_done);

	if (!*ret_done)
		return n;
	const struct reply *reply = &r->smtp.reply;
	if (reply->code > 0)
		(void)snprintf(a->code, sizeof(a->code), "%03u", (unsigned)reply->code % 1000);
	buf_add(&a->text, buf_span(&reply->text));
	a->lines = reply->line_count;
	a->notes = reply->notes;
	return n;
}

static void take_event(struct answer_reader *r, enum pop3_event event, struct span text, bool *ret_done)
{
	struct answer *a = &r->answer;
	static const char *const CODES[] = { [POP3_OK] = "+OK", [POP3_ERR] = "-ERR", [POP3_CONTINUE] = "+" };

	switch (event) {
	case POP3_MORE:
		return;
	case POP3_OK:
	case POP3_ERR:
	case POP3_CONTINUE:
		a->notes = r->pop.notes;
		if ((a->notes & POP3_NO_STATUS) == 0)
			(void)span_copy(span_of(CODES[event]), a->code, sizeof(a->code));
		buf_add(&a->text, text);
		a->has_data = r->pop.in_data;
		*ret_done = !r->pop.in_data;
		return;
	case POP3_DATA:
		buf_add(&a->data, text);
		if (buf_bytes(&a->data) > ANSWER_DATA_BYTES_MAX) {
			a->code[0] = '\0';
			*ret_done = true;
		}
		return;
	case POP3_END:
		a->dots = r->pop.dots.notes;
		*ret_done = true;
		return;
	}
}

static size_t read_pop3(struct answer_reader *r, struct span in, bool *ret_done)
{
	size_t taken = 0;

	while (taken < in.n && !*ret_done) {
		enum pop3_event event;
		struct span text;
		taken += pop3_read(&r->pop, span_sub(in, taken, in.n), &event, &text);
		take_event(r, event, text, ret_done);
	}
	for (size_t i = 0; *ret_done && i < buf_bytes(&r->answer.data); i++)
		r->answer.lines += buf_span(&r->answer.data).p[i] == '\n';
	return taken;
}

size_t answer_read(struct answer_reader *r, struct span in, bool multi, bool *ret_done)
{
	*ret_done = false;
	if (in.n == 0)
		return 0;
	if (!r->busy) {
		begin(r);
		if (r->pop3 && !r->pop.in_data)
			pop3_expect(&r->pop, multi);
	}
	size_t n = r->pop3 ? read_pop3(r, in, ret_done) : read_smtp(r, in, ret_done);
	if (*ret_done)
		r->busy = false;
	return n;
}

void answer_reader_free(struct answer_reader *r)
{
	buf_free(&r->answer.text);
	buf_free(&r->answer.data);
	reply_reader_free(&r->smtp);
	pop3_reader_free(&r->pop);
}

/* ---- matching ---- */

static bool code_matches(const char *code, const struct case_code *want)
{
	if (strlen(code) != strlen(want->text))
		return false;
	for (size_t i = 0; want->text[i] != '\0'; i++)
		if (want->text[i] != code[i] && want->text[i] != 'x')
			return false;
	return true;
}

static bool any_code_matches(const struct answer *a, const struct case_pattern *p)
{
	for (uint32_t i = 0; i < p->code_count; i++)
		if (code_matches(a->code, &p->codes[i]))
			return true;
	return false;
}

static void add_codes(const struct case_pattern *p, struct buf *out)
{
	for (uint32_t i = 0; i < p->code_count; i++)
		buf_addf(out, "%s%s", i > 0 ? " or " : "", p->codes[i].text);
}

static void add_one_line(struct buf *out, struct span s, size_t bytes_max)
{
	struct span shown = span_sub(s, 0, bytes_max);

	for (size_t i = 0; i < shown.n; i++) {
		unsigned char c = (unsigned char)shown.p[i];
		if (c == '\n')
			buf_add_cstr(out, " / ");
		else if (c == '\r')
			buf_add_cstr(out, "\\r");
		else if (c < 0x20 || c >= 0x7f)
			buf_addf(out, "\\x%02x", c);
		else
			buf_add_u8(out, c);
	}
	if (shown.n < s.n)
		buf_add_cstr(out, "…");
}

void answer_brief(const struct answer *a, struct buf *out)
{
	buf_addf(out, "%s%s", a->code, a->code[0] != '\0' ? " " : "");
	add_one_line(out, buf_span(&a->text), 160);
}

bool answer_matches(const struct answer *a, const struct case_pattern *p, struct values *v,
		    struct buf *ret_why)
{
	if (!any_code_matches(a, p)) {
		add_codes(p, ret_why);
		buf_add_cstr(ret_why, " was due, and came: ");
		answer_brief(a, ret_why);
		return false;
	}
	if (p->single && a->lines > 1 && !a->pop3) {
		buf_addf(ret_why, "a reply of one line was due, and %u lines came", a->lines);
		return false;
	}
	if (!values_match(v, &p->text, buf_span(&a->text))) {
		buf_add_cstr(ret_why, "the reply's text is another: ");
		answer_brief(a, ret_why);
		return false;
	}
	return true;
}

/* ---- checks ---- */

/* Lines of an EHLO reply behind the first, or of POP3 data. */
static struct span keyword_lines(const struct answer *a)
{
	if (a->pop3)
		return buf_span(&a->data);
	struct span all = buf_span(&a->text);
	return span_sub(all, span_find(all, '\n') + 1, all.n);
}

static bool next_line(struct span *rest, struct span *ret_line)
{
	if (rest->n == 0)
		return false;
	size_t n = span_find(*rest, '\n');
	*ret_line = span_sub(*rest, 0, n);
	*rest = span_sub(*rest, n + 1, rest->n);
	if (ret_line->n > 0 && ret_line->p[ret_line->n - 1] == '\r')
		ret_line->n--;
	return true;
}

static bool find_keyword(const struct answer *a, const char *keyword, struct span *ret_parameters)
{
	struct span rest = keyword_lines(a), line;

	while (next_line(&rest, &line)) {
		struct span after = line;
		if (span_take_prefix_nocase(&after, span_of(keyword)) &&
		    (after.n == 0 || after.p[0] == ' ')) {
			*ret_parameters = span_trim(after);
			return true;
		}
	}
	return false;
}

static bool has_keyword(const struct answer *a, const struct case_check *c, struct values *v, struct buf *why)
{
	struct span parameters;

	if (!find_keyword(a, c->name, &parameters)) {
		buf_addf(why, "\"%s\" is not offered", c->name);
		return false;
	}
	if (c->has_text && !values_match(v, &c->text, parameters)) {
		buf_addf(why, "\"%s\" has other parameters: ", c->name);
		add_one_line(why, parameters, 160);
		return false;
	}
	return true;
}

/* wanted: how many parameters the keyword may have. */
static bool counts_parameters(const struct answer *a, const struct case_check *wanted, struct buf *why)
{
	struct span parameters;
	uint64_t count = 0;

	if (!find_keyword(a, wanted->name, &parameters)) {
		buf_addf(why, "\"%s\" is not offered", wanted->name);
		return false;
	}
	for (size_t i = 0; i < parameters.n; i++)
		count += parameters.p[i] != ' ' && (i == 0 || parameters.p[i - 1] == ' ');
	if (case_compare(count, wanted->op, wanted->n))
		return true;
	buf_addf(why, "\"%s\" has %s: ", wanted->name, count == 0 ? "no parameters" : "parameters");
	add_one_line(why, parameters, 160);
	return false;
}

/* "5.x.x" against the front of a line. */
static bool status_matches(struct span line, const char *want)
{
	size_t at = 0;

	for (size_t k = 0; want[k] != '\0'; k++) {
		if (want[k] != 'x') {
			if (at >= line.n || line.p[at++] != want[k])
				return false;
			continue;
		}
		size_t digits = 0;
		while (at < line.n && line.p[at] >= '0' && line.p[at] <= '9') {
			at++;
			digits++;
		}
		bool leading_zero = digits > 1 && line.p[at - digits] == '0'; /* RFC 3463 2 */
		if (digits == 0 || digits > 3 || leading_zero)
			return false;
	}
	return at == line.n || line.p[at] == ' ';
}

/* IANA's registry of enhanced status codes: the largest detail of each subject. */
static bool status_is_registered(struct span line)
{
	static const unsigned DETAIL_MAX[] = { 0, 10, 4, 6, 7, 7, 10, 30 };
	struct span parts[3], code = span_sub(line, 0, span_find(line, ' '));
	uint64_t n[3];

	if (!status_matches(line, "x.x.x"))
		return false;
	for (int i = 0; i < 3; i++) {
		parts[i] = span_sub(code, 0, span_find(code, '.'));
		code = span_sub(code, parts[i].n + 1, code.n);
		if (!span_to_u64(parts[i], &n[i]))
			return false;
	}
	return n[1] < sizeof(DETAIL_MAX) / sizeof(DETAIL_MAX[0]) && n[2] <= DETAIL_MAX[n[1]];
}

static bool status_fits(struct span line, const char *want)
{
	if (strcmp(want, "none") == 0)
		return !status_matches(line, "x.x.x");
	return strcmp(want, "registered") == 0 ? status_is_registered(line) : status_matches(line, want);
}

static bool every_line_has_status(const struct answer *a, const struct case_check *c, struct buf *why)
{
	struct span rest = buf_span(&a->text), line;
	bool any = false;

	while (next_line(&rest, &line)) {
		any = true;
		if (status_fits(line, c->name))
			continue;
		buf_addf(why, "a line whose enhanced status code is not %s: ", c->name);
		add_one_line(why, line, 160);
		return false;
	}
	if (any || strcmp(c->name, "none") == 0)
		return true;
	buf_addf(why, "no text, so no enhanced status code %s", c->name);
	return false;
}

static bool nth_line_matches(const struct answer *a, const struct case_check *c, struct values *v,
			     struct buf *why)
{
	struct span rest = a->has_data ? buf_span(&a->data) : buf_span(&a->text), line = { 0 };

	for (uint64_t i = 0; i < c->n; i++) {
		if (!next_line(&rest, &line)) {
			buf_addf(why, "there is no line %llu", (unsigned long long)c->n);
			return false;
		}
	}
	if (!c->has_text || values_match(v, &c->text, line))
		return true;
	buf_addf(why, "line %llu is another: ", (unsigned long long)c->n);
	add_one_line(why, line, 160);
	return false;
}

/* The text, or the data, called so, against the quoted text of the check. */
static bool content_is(struct span got, const char *what, const struct case_check *c, struct values *v,
		       struct buf *why)
{
	struct buf want = { 0 };
	struct span missing;
	bool known = values_expand(v, &c->text, &want, NULL, &missing);
	struct span w = buf_span(&want);
	bool fine =
		known && (c->op == CASE_EQ ? span_eq(got, w) : span_contains(got, w) == (c->op == CASE_HAS));

	if (!fine) {
		buf_addf(why, "the %s is another, %zu bytes: ", what, got.n);
		add_one_line(why, got, 300);
	}
	buf_free(&want);
	return fine;
}

static bool longest_is(const struct answer *a, const struct case_check *c, struct buf *why)
{
	struct span rest = a->has_data ? buf_span(&a->data) : buf_span(&a->text), line;
	size_t longest = 0;

	while (next_line(&rest, &line))
		longest = line.n + 2 > longest ? line.n + 2 : longest;
	if (case_compare(longest, c->op, c->n))
		return true;
	buf_addf(why, "its longest line has %zu octets with CRLF", longest);
	return false;
}

static bool octets_are(const struct answer *a, const struct case_check *c, struct values *v, struct buf *why)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%zu", buf_bytes(&a->data));
	if (values_match(v, &c->text, span_of(text)))
		return true;
	buf_addf(why, "the data has %s octets", text);
	return false;
}

static bool is_listed(struct span word, struct span list)
{
	while (list.n > 0) {
		size_t n = span_find(list, ' ');
		if (span_eq_nocase(word, span_sub(list, 0, n)))
			return true;
		list = span_sub(list, n + 1, list.n);
	}
	return false;
}

/* Keywords that begin with X are anybody's (RFC 5321 2.2.2). */
static bool only_keywords(const struct answer *a, const struct case_check *c, struct buf *why)
{
	struct span rest = keyword_lines(a), line;

	while (next_line(&rest, &line)) {
		struct span word = span_sub(line, 0, span_find(line, ' '));
		if (span_starts_nocase(word, SPAN_LIT("X")) || is_listed(word, span_of(c->name)))
			continue;
		buf_add_cstr(why, "another keyword is offered: ");
		add_one_line(why, word, 160);
		return false;
	}
	return true;
}

static bool begins_with_domain(const struct answer *a, struct buf *why)
{
	struct span rest = buf_span(&a->text), line = { 0 };

	(void)next_line(&rest, &line);
	struct span word = span_sub(line, 0, span_find(line, ' '));
	if (received_is_domain(word) || received_is_literal(word))
		return true;
	buf_add_cstr(why, "its first word is neither a domain nor an address literal: ");
	add_one_line(why, line, 160);
	return false;
}

static bool passes(const struct answer *a, const struct case_check *c, struct values *v, struct buf *why)
{
	struct span ignored;

	switch (c->kind) {
	case CASE_CHECK_HAS:
		return has_keyword(a, c, v, why);
	case CASE_CHECK_LACKS:
		if (!find_keyword(a, c->name, &ignored))
			return true;
		buf_addf(why, "\"%s\" is offered", c->name);
		return false;
	case CASE_CHECK_BARE: /* reads as "parameters KEYWORD == 0" */
	case CASE_CHECK_PARAMETERS:
		return counts_parameters(a, c, why);
	case CASE_CHECK_STATUS:
		return every_line_has_status(a, c, why);
	case CASE_CHECK_EMPTY:
		if (a->lines == 1 && buf_bytes(&a->text) == 0 && (a->notes & REPLY_CODE_ALONE) == 0)
			return true;
		buf_add_cstr(why, a->notes & REPLY_CODE_ALONE ? "no blank follows the code"
							      : "more than a blank follows the code");
		return false;
	case CASE_CHECK_STRICT: {
		size_t before = buf_bytes(why);
		answer_irregularities(a, why);
		return buf_bytes(why) == before;
	}
	case CASE_CHECK_ONLY:
		return only_keywords(a, c, why);
	case CASE_CHECK_DOMAIN:
		return begins_with_domain(a, why);
	case CASE_CHECK_SPACED:
		if ((a->notes & REPLY_CODE_ALONE) == 0)
			return true;
		buf_add_cstr(why, "no blank follows the code");
		return false;
	case CASE_CHECK_LINE:
		return nth_line_matches(a, c, v, why);
	case CASE_CHECK_LINES:
		if (case_compare(a->lines, c->op, c->n))
			return true;
		buf_addf(why, "it has %u lines", a->lines);
		return false;
	case CASE_CHECK_DATA:
		return content_is(buf_span(&a->data), "data", c, v, why);
	case CASE_CHECK_TEXT:
		return content_is(buf_span(&a->text), "text", c, v, why);
	case CASE_CHECK_LONGEST:
		return longest_is(a, c, why);
	case CASE_CHECK_OCTETS:
		return octets_are(a, c, v, why);
	case CASE_CHECK_COUNT:
	case CASE_CHECK_BODY:
	case CASE_CHECK_RAW:
	case CASE_CHECK_PART:
	case CASE_CHECK_HEADER:
	case CASE_CHECK_HEADER_COUNT:
	case CASE_CHECK_RECEIVED:
	case CASE_CHECK_FORM:
	case CASE_CHECK_UNCHANGED:
	case CASE_CHECK_READ_AS:
	case CASE_CHECK_SIGNED:
	case CASE_CHECK_DSN:
	case CASE_CHECK_VALID:
	case CASE_CHECK_THEN:
	case CASE_CHECK_NEXT:
	case CASE_CHECK_ASCII:
	case CASE_CHECK_AWAITED:
	case CASE_CHECK_CRLF:
	case CASE_CHECK_GREETED:
	case CASE_CHECK_ALONE:
	case CASE_CHECK_TLS:
	case CASE_CHECK_SERVER_NAME:
	case CASE_CHECK_REQUEST:
	case CASE_CHECK_APART:
		break;
	}
	buf_add_cstr(why, "this check is for messages");
	return false;
}

bool answer_passes(const struct answer *a, const struct case_check *checks, uint32_t count, struct values *v,
		   struct buf *ret_why)
{
	for (uint32_t i = 0; i < count; i++)
		if (!passes(a, &checks[i], v, ret_why))
			return false;
	return true;
}

/* ---- the strict reading ---- */

struct irregularity {
	uint32_t bit;
	const char *text;
};

static const struct irregularity SMTP[] = {
	{ REPLY_BARE_LF, "a line of a reply ends in LF alone (RFC 5321 2.3.8)" },
	{ REPLY_BARE_CR, "a CR stands inside a line of a reply (RFC 5321 2.3.8)" },
	{ REPLY_LONG_LINE, "a reply line is longer than 512 octets (RFC 5321 4.5.3.1.5)" },
	{ REPLY_ODD_CODE, "a reply code is outside the ranges of RFC 5321 4.2" },
	{ REPLY_NO_CODE, "a reply line has no code (RFC 5321 4.2)" },
	{ REPLY_NO_SEPARATOR, "neither blank nor hyphen follows a reply code (RFC 5321 4.2)" },
	{ REPLY_MIXED_CODES, "the lines of one reply differ in code (RFC 5321 4.2.1)" },
	{ REPLY_ODD_TEXT, "a reply has octets outside printable ASCII (RFC 5321 4.2)" },
	{ REPLY_TOO_BIG, "a reply does not end within 64 KiB" },
	{ 0, NULL },
};
static const struct irregularity POP3[] = {
	{ POP3_BARE_LF, "a response ends in LF alone (RFC 1939 3)" },
	{ POP3_LONG_LINE, "a response is longer than 512 octets (RFC 1939 3)" },
	{ POP3_ODD_CASE, "a status indicator is not in upper case (RFC 1939 3)" },
	{ POP3_NO_STATUS, "a response has no status indicator (RFC 1939 3)" },
	{ POP3_ODD_TEXT, "a response has octets outside printable ASCII (RFC 1939 3)" },
	{ POP3_ODD_CHALLENGE, "a challenge is not \"+\", one space and base64 (RFC 5034 4)" },
	{ 0, NULL },
};
static const struct irregularity DOTS[] = {
	{ DOTS_BARE_LF, "a line of a multi-line response ends in LF alone (RFC 1939 3)" },
	{ DOTS_FALSE_END, "a multi-line response holds what lenient readers take for its end (RFC 1939 3)" },
	{ DOTS_UNSTUFFED_DOT,
	  "a line of a multi-line response begins with a dot that is not doubled (RFC 1939 3)" },
	{ 0, NULL },
};

static void add_irregularities(uint32_t notes, const struct irregularity *table, struct buf *out)
{
	for (; table->text != NULL; table++)
		if ((notes & table->bit) != 0)
			buf_addf(out, "%s\n", table->text);
}

void answer_irregularities(const struct answer *a, struct buf *ret_lines)
{
	add_irregularities(a->notes, a->pop3 ? POP3 : SMTP, ret_lines);
	if (a->has_data)
		add_irregularities(a->dots, DOTS, ret_lines);
}
