#include "reference-server/store/store.h"

#include <assert.h>

static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

const char *store_id_text(uint64_t id, char ret_text[STORE_ID_TEXT_BYTES])
{
	char reversed[STORE_ID_TEXT_BYTES];
	size_t n = 0;

	do {
		reversed[n++] = digits[id % 32];
		id /= 32;
	} while (id > 0);
	assert(n < STORE_ID_TEXT_BYTES);
	for (size_t i = 0; i < n; i++)
		ret_text[i] = reversed[n - 1 - i];
	ret_text[n] = '\0';
	return ret_text;
}

/* -1 for what is no digit.  Letters that look like digits are taken as those. */
static int digit_value(char c)
{
	if (c >= 'a' && c <= 'z')
		c = (char)(c - 'a' + 'A');
	if (c == 'O')
		c = '0';
	if (c == 'I' || c == 'L')
		c = '1';
	for (int i = 0; i < 32; i++)
		if (digits[i] == c)
			return i;
	return -1;
}

bool store_id_parse(struct span text, uint64_t *ret_id)
{
	uint64_t id = 0;

	if (text.n == 0)
		return false;
	for (size_t i = 0; i < text.n; i++) {
		int value = digit_value(text.p[i]);
		if (value < 0 || id > UINT64_MAX >> 5)
			return false;
		id = id << 5 | (uint64_t)value;
	}
	*ret_id = id;
	return true;
}
