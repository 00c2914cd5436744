#include "reference-server/core/utf8.h"

#include <assert.h>

size_t utf8_char_bytes(struct span s, size_t i)
{
	assert(i < s.n);
	unsigned char first = (unsigned char)s.p[i];
	/* The second byte's range keeps out overlong forms, surrogates and what is too big. */
	unsigned char low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
	unsigned char high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
	size_t n = first >= 0xC2 && first <= 0xDF   ? 2
		   : (first & 0xF0) == 0xE0         ? 3
		   : first >= 0xF0 && first <= 0xF4 ? 4
						    : 0;

	if (n == 0 || s.n - i < n)
		return 0;
	for (size_t k = 1; k < n; k++) {
		unsigned char c = (unsigned char)s.p[i + k];
		if (c < low || c > high)
			return 0;
		low = 0x80;
		high = 0xBF;
	}
	return n;
}

bool utf8_is_valid(struct span s)
{
	for (size_t i = 0; i < s.n;) {
		size_t n = (unsigned char)s.p[i] < 0x80 ? 1 : utf8_char_bytes(s, i);
		if (n == 0)
			return false;
		i += n;
	}
	return true;
}

bool utf8_is_ascii(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] >= 0x80)
			return false;
	return true;
}

uint32_t utf8_code_point(struct span s, size_t bytes)
{
	assert(bytes >= 2 && bytes <= 4 && bytes <= s.n);
	uint32_t code = (unsigned char)s.p[0] & (0xFFu >> (bytes + 1));

	for (size_t k = 1; k < bytes; k++)
		code = code << 6 | ((unsigned char)s.p[k] & 0x3Fu);
	return code;
}
