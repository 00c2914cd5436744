#include "reference-server/core/pop3_server_parts.h"

#include "reference-server/core/mutant.h"

#include <assert.h>

static uint32_t utf8_begin(uint8_t c, uint32_t *ret_left, uint32_t *ret_min)
{
	static const struct {
		uint8_t mask, lead;
		uint32_t min;
	} forms[] = { { 0xE0, 0xC0, 0x80 }, { 0xF0, 0xE0, 0x800 }, { 0xF8, 0xF0, 0x10000 } };

	*ret_left = 0;
	for (uint32_t i = 0; i < 3; i++)
		if ((c & forms[i].mask) == forms[i].lead) {
			*ret_left = i + 1;
			*ret_min = forms[i].min;
			return c & (uint8_t)~forms[i].mask;
		}
	return 0;
}

/* True at the last byte of a character outside ASCII (RFC 3629 3). */
static bool utf8_ends(struct pop3_server *s, uint8_t c)
{
	if (s->utf8_left == 0 || (c & 0xC0) != 0x80) {
		s->utf8_point = utf8_begin(c, &s->utf8_left, &s->utf8_point_min);
		return false;
	}
	s->utf8_point = s->utf8_point << 6 | (c & 0x3F);
	s->utf8_left--;
	return s->utf8_left == 0 && s->utf8_point >= s->utf8_point_min && s->utf8_point <= 0x10FFFF &&
	       (s->utf8_point < 0xD800 || s->utf8_point > 0xDFFF);
}

/* top_line_empty tells lines apart here too; it is set anew before content. */
static enum pop3_look look_at(struct pop3_server *s, struct span bytes, bool last)
{
	for (size_t i = 0; i < bytes.n; i++) {
		uint8_t c = (uint8_t)bytes.p[i];
		if (c == '\n' && s->top_line_empty)
			return POP3_LOOK_CLEAR;
		if (utf8_ends(s, c))
			return POP3_LOOK_REFUSED;
		if (c != '\r')
			s->top_line_empty = c == '\n';
	}
	return last ? POP3_LOOK_CLEAR : POP3_LOOK_MORE;
}

enum pop3_look pop3_server_look(struct pop3_server *s, struct span bytes, bool last)
{
	assert(s->wish == POP3_WISH_RETRIEVE && !s->content_begun);
	enum pop3_look seen =
		s->utf8 || MUTANT(POP3_UTF8_UNASKED) ? POP3_LOOK_CLEAR : look_at(s, bytes, last);

	if (seen == POP3_LOOK_MORE)
		return seen;
	s->top_line_empty = true;
	if (seen == POP3_LOOK_REFUSED) {
		pop3_reply(s, MUTANT(POP3_UTF8_NO_CODE)
				      ? "-ERR not for you"
				      : "-ERR [UTF8] this message is for sessions that began with UTF8");
		s->wish = POP3_WISH_INPUT;
	}
	return seen;
}

/* How much of the bytes TOP still sends; *ret_full: that is all of it. */
static size_t top_part(struct pop3_server *s, struct span bytes, bool *ret_full)
{
	size_t at = 0;

	*ret_full = false;
	while (at < bytes.n) {
		struct span rest = span_sub(bytes, at, bytes.n);
		size_t lf = span_find(rest, '\n');

		if (lf > 0 && !(lf == 1 && rest.p[0] == '\r'))
			s->top_line_empty = false;
		if (lf == rest.n)
			return bytes.n;
		at += lf + 1;
		if (s->top_in_body)
			s->top_lines--;
		else
			s->top_in_body = s->top_line_empty;
		s->top_line_empty = true;
		*ret_full = s->top_in_body && s->top_lines == 0;
		if (*ret_full)
			break;
	}
	return at;
}

bool pop3_server_content(struct pop3_server *s, struct span bytes, bool last)
{
	assert(s->wish == POP3_WISH_RETRIEVE);
	if (!s->content_begun) {
		s->content_begun = true;
		if (s->wanted_top)
			pop3_reply(s, "+OK");
		else
			buf_addf(s->out, "+OK %llu octets\r\n",
				 (unsigned long long)s->messages[s->wanted_index].octets);
	}
	if (s->wanted_top) {
		bool full;
		bytes.n = top_part(s, bytes, &full);
		last |= full;
	}
	if (MUTANT(POP3_STUFFING_FORGETS))
		stuffing_init(&s->stuffing);
	size_t before = buf_bytes(s->out);
	(MUTANT(POP3_NO_STUFFING) ? stuffing_pass : stuffing_add)(&s->stuffing, s->out, bytes);
	if (MUTANT(POP3_UTF8_SEVEN_BITS) && s->utf8)
		for (size_t k = before; k < buf_bytes(s->out); k++)
			s->out->p[s->out->begin + k] &= 0x7f;
	if (!last)
		return true;
	stuffing_end(&s->stuffing, s->out);
	if (MUTANT(POP3_FETCHED_GOES) && !s->utf8 && !s->wanted_top && !s->messages[s->wanted_index].deleted)
		pop3_mark(s, &s->messages[s->wanted_index]);
	s->wish = POP3_WISH_INPUT;
	return false;
}

void pop3_server_content_failed(struct pop3_server *s)
{
	assert(s->wish == POP3_WISH_RETRIEVE);
	s->wish = POP3_WISH_INPUT;
	if (s->content_begun)
		pop3_enter(s, POP3_STATE_CLOSED);
	else
		pop3_reply(s, "-ERR [SYS/TEMP] the message cannot be read now");
}
