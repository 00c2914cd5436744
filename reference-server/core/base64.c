#include "reference-server/core/base64.h"

#include <assert.h>
#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* 0 to 63, or -1 for a byte outside the alphabet. */
static int sextet(char c)
{
	const char *at = c != '\0' ? strchr(alphabet, c) : NULL;
	return at != NULL ? (int)(at - alphabet) : -1;
}

static size_t pad_count(struct span text)
{
	if (text.n < 2 || text.p[text.n - 1] != '=')
		return 0;
	return text.p[text.n - 2] == '=' ? 2 : 1;
}

bool base64_is_valid(struct span text)
{
	size_t pads = pad_count(text);

	if (text.n % 4 != 0)
		return false;
	for (size_t i = 0; i < text.n - pads; i++)
		if (sextet(text.p[i]) < 0)
			return false;
	if (pads == 0)
		return true;
	int unused_bits = pads == 1 ? 0x3 : 0xf;
	return (sextet(text.p[text.n - pads - 1]) & unused_bits) == 0;
}

bool base64_decode(struct buf *out, struct span text)
{
	assert(out != NULL);
	if (!base64_is_valid(text))
		return false;
	size_t bytes = text.n / 4 * 3 - pad_count(text);
	char *at = buf_reserve(out, bytes);
	uint32_t bits = 0;
	uint32_t bit_count = 0;

	for (size_t i = 0, done = 0; done < bytes; i++) {
		bits = bits << 6 | (uint32_t)sextet(text.p[i]);
		bit_count += 6;
		if (bit_count < 8)
			continue;
		bit_count -= 8;
		at[done++] = (char)(bits >> bit_count & 0xff);
	}
	buf_grow(out, bytes);
	return true;
}

void base64_encode(struct buf *out, struct span bytes)
{
	assert(out != NULL);
	size_t room = (bytes.n + 2) / 3 * 4;
	char *at = buf_reserve(out, room);
	size_t done = 0;

	for (size_t i = 0; i < bytes.n; i += 3) {
		size_t have = bytes.n - i < 3 ? bytes.n - i : 3;
		uint32_t bits = 0;

		for (size_t k = 0; k < 3; k++)
			bits = bits << 8 | (k < have ? (unsigned char)bytes.p[i + k] : 0);
		for (size_t k = 0; k < 4; k++)
			at[done++] = k <= have ? alphabet[bits >> (18 - 6 * k) & 63] : '=';
	}
	assert(done == room);
	buf_grow(out, room);
}
