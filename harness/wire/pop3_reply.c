#include "harness/wire/pop3_reply.h"

#include <assert.h>
#include <string.h>

void pop3_expect(struct pop3_reader *r, bool multi_line)
{
	assert(!r->in_data);
	r->multi_line = multi_line;
}

/* Takes up to the line's LF; keeps a bounded part of it. */
static size_t gather_line(struct pop3_reader *r, struct span in, bool *ret_whole)
{
	if (r->line_bytes == 0)
		buf_reset(&r->line);
	size_t n = span_find(in, '\n');
	*ret_whole = n < in.n;
	n += *ret_whole ? 1 : 0;
	size_t room = POP3_LINE_BYTES_KEPT - buf_bytes(&r->line);
	buf_add(&r->line, span_sub(in, 0, n < room ? n : room));
	if (n > POP3_LINE_BYTES_KEPT || r->line_bytes + n > POP3_LINE_BYTES_KEPT)
		r->line_bytes = POP3_LINE_BYTES_KEPT + 1;
	else
		r->line_bytes += (uint32_t)n;
	return n;
}

static struct span trimmed_line(struct pop3_reader *r)
{
	struct span line = buf_span(&r->line);
	if (r->line_bytes > POP3_LINE_BYTES_MAX)
		r->notes |= POP3_LONG_LINE;
	if (line.n > 0 && line.p[line.n - 1] == '\n') {
		line.n--;
		if (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		else
			r->notes |= POP3_BARE_LF;
	}
	for (size_t i = 0; i < line.n; i++)
		if (line.p[i] != '\t' && (line.p[i] < 32 || line.p[i] > 126))
			r->notes |= POP3_ODD_TEXT;
	return line;
}

static bool take_status(struct pop3_reader *r, struct span *line, struct span word)
{
	struct span rest = *line;
	if (!span_take_prefix_nocase(&rest, word) || (rest.n > 0 && rest.p[0] != ' '))
		return false;
	if (memcmp(line->p, word.p, word.n) != 0)
		r->notes |= POP3_ODD_CASE;
	*line = span_trim(rest);
	return true;
}

/* As base64.h has it, which allocates, and a wire does not. */
static bool is_base64(struct span s)
{
	size_t pads = 0;

	while (pads < 2 && pads < s.n && s.p[s.n - 1 - pads] == '=')
		pads++;
	for (size_t i = 0; i + pads < s.n; i++) {
		char c = s.p[i];
		if (!(c >= 'A' && c <= 'Z') && !(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') &&
		    c != '+' && c != '/')
			return false;
	}
	return s.n % 4 == 0;
}

static enum pop3_event end_line(struct pop3_reader *r, struct span *ret_text)
{
	r->notes = 0;
	struct span line = trimmed_line(r);
	enum pop3_event event = POP3_ERR;
	if (take_status(r, &line, SPAN_LIT("+OK"))) {
		event = POP3_OK;
		r->in_data = r->multi_line;
		r->dots = (struct dots_reader){ 0 };
	} else if (take_status(r, &line, SPAN_LIT("-ERR"))) {
		event = POP3_ERR;
	} else if (span_take_prefix_nocase(&line, SPAN_LIT("+ "))) {
		if (!is_base64(line))
			r->notes |= POP3_ODD_CHALLENGE;
		line = span_trim(line);
		event = POP3_CONTINUE;
	} else if (span_eq(line, SPAN_LIT("+"))) {
		r->notes |= POP3_ODD_CHALLENGE;
		line = (struct span){ 0 };
		event = POP3_CONTINUE;
	} else {
		r->notes |= POP3_NO_STATUS;
	}
	r->line_bytes = 0;
	*ret_text = line;
	return event;
}

static size_t read_data(struct pop3_reader *r, struct span in, enum pop3_event *ret_event,
			struct span *ret_text)
{
	size_t taken = 0;
	*ret_event = POP3_MORE;
	while (taken < in.n && *ret_event == POP3_MORE) {
		bool end;
		taken += dots_read(&r->dots, span_sub(in, taken, in.n), ret_text, &end);
		if (end) {
			r->in_data = false;
			*ret_event = POP3_END;
		} else if (ret_text->n > 0) {
			*ret_event = POP3_DATA;
		}
	}
	return taken;
}

size_t pop3_read(struct pop3_reader *r, struct span in, enum pop3_event *ret_event, struct span *ret_text)
{
	*ret_event = POP3_MORE;
	*ret_text = (struct span){ 0 };
	if (in.n == 0)
		return 0;
	if (r->in_data)
		return read_data(r, in, ret_event, ret_text);
	bool whole;
	size_t n = gather_line(r, in, &whole);
	if (whole)
		*ret_event = end_line(r, ret_text);
	return n;
}

void pop3_reader_free(struct pop3_reader *r)
{
	buf_free(&r->line);
	*r = (struct pop3_reader){ 0 };
}
