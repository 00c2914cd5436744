#include "harness/wire/base64.h"

#include <stdint.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(struct span in, struct buf *ret_text)
{
	const unsigned char *p = (const unsigned char *)in.p;
	for (size_t i = 0; i < in.n; i += 3) {
		size_t have = in.n - i;
		uint32_t bits = (uint32_t)p[i] << 16;
		bits |= have > 1 ? (uint32_t)p[i + 1] << 8 : 0;
		bits |= have > 2 ? (uint32_t)p[i + 2] : 0;
		char quad[4] = { alphabet[bits >> 18], alphabet[bits >> 12 & 63],
				 have > 1 ? alphabet[bits >> 6 & 63] : '=',
				 have > 2 ? alphabet[bits & 63] : '=' };
		buf_add(ret_text, (struct span){ quad, sizeof(quad) });
	}
}

/* 0 to 63, or -1. */
static int value_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+')
		return 62;
	return c == '/' ? 63 : -1;
}

/* Gathers six bits at a time and appends whole bytes. */
struct sextets {
	uint32_t bits;
	unsigned count; /* of sextets in bits, 0 to 3 */
};

static void add_sextet(struct sextets *s, int value, struct buf *ret_bytes)
{
	s->bits = s->bits << 6 | (uint32_t)value;
	if (++s->count < 4)
		return;
	buf_add_u8(ret_bytes, (uint8_t)(s->bits >> 16));
	buf_add_u8(ret_bytes, (uint8_t)(s->bits >> 8));
	buf_add_u8(ret_bytes, (uint8_t)s->bits);
	*s = (struct sextets){ 0 };
}

/* The last, incomplete quad.  Returns whether it was well formed. */
static bool flush_sextets(const struct sextets *s, struct buf *ret_bytes)
{
	if (s->count == 2) {
		buf_add_u8(ret_bytes, (uint8_t)(s->bits >> 4));
		return (s->bits & 15) == 0;
	}
	if (s->count == 3) {
		buf_add_u8(ret_bytes, (uint8_t)(s->bits >> 10));
		buf_add_u8(ret_bytes, (uint8_t)(s->bits >> 2));
		return (s->bits & 3) == 0;
	}
	return s->count == 0;
}

bool base64_decode(struct span in, struct buf *ret_bytes)
{
	size_t before = buf_bytes(ret_bytes);
	if (in.n % 4 != 0)
		return false;
	size_t padding = 0;
	while (padding < 2 && padding < in.n && in.p[in.n - 1 - padding] == '=')
		padding++;
	struct sextets s = { 0 };
	for (size_t i = 0; i < in.n - padding; i++) {
		int value = value_of(in.p[i]);
		if (value < 0) {
			buf_truncate(ret_bytes, before);
			return false;
		}
		add_sextet(&s, value, ret_bytes);
	}
	if (!flush_sextets(&s, ret_bytes)) {
		buf_truncate(ret_bytes, before);
		return false;
	}
	return true;
}

bool base64_decode_mime(struct span in, struct buf *ret_bytes)
{
	struct sextets s = { 0 };
	size_t i = 0;
	for (; i < in.n && in.p[i] != '='; i++) {
		int value = value_of(in.p[i]);
		if (value >= 0)
			add_sextet(&s, value, ret_bytes);
	}
	size_t padding = 0;
	for (; i < in.n; i++)
		padding += in.p[i] == '=' ? 1 : 0;
	bool whole = flush_sextets(&s, ret_bytes);
	return whole && padding == (4 - s.count) % 4;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	/* Lower case is illegal but harmless; RFC 2045 section 6.7 lets decoders take it. */
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* line has no line end and no trailing blanks.  *ret_soft: it ended in a lone "=", so its line end is not
 * content. */
static bool decode_line(struct span line, struct buf *ret_bytes, bool *ret_soft)
{
	bool good = true;
	*ret_soft = false;
	for (size_t i = 0; i < line.n; i++) {
		if (line.p[i] != '=') {
			buf_add_u8(ret_bytes, (uint8_t)line.p[i]);
		} else if (i + 1 == line.n) {
			*ret_soft = true;
		} else if (i + 2 < line.n && hex_value(line.p[i + 1]) >= 0 && hex_value(line.p[i + 2]) >= 0) {
			buf_add_u8(ret_bytes,
				   (uint8_t)(hex_value(line.p[i + 1]) * 16 + hex_value(line.p[i + 2])));
			i += 2;
		} else {
			buf_add_u8(ret_bytes, '=');
			good = false;
		}
	}
	return good;
}

bool quoted_printable_decode(struct span in, struct buf *ret_bytes)
{
	bool good = true;
	while (in.n > 0) {
		size_t n = span_find(in, '\n');
		struct span line = { in.p, n };
		struct span end = { 0 };
		if (n < in.n)
			end = n > 0 && in.p[n - 1] == '\r' ? SPAN_LIT("\r\n") : SPAN_LIT("\n");
		if (end.n == 2)
			line.n--;
		while (line.n > 0 && (line.p[line.n - 1] == ' ' || line.p[line.n - 1] == '\t'))
			line.n--;
		bool soft;
		good = decode_line(line, ret_bytes, &soft) && good;
		if (!soft)
			buf_add(ret_bytes, end);
		in = span_sub(in, n + 1, in.n);
	}
	return good;
}
