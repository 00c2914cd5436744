#include "base/suggest.h"

#include <assert.h>
#include <string.h>

enum { WORD_BYTES_MAX = 48 };

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Optimal string alignment distance of two short words. */
static size_t distance(const char *a, size_t a_bytes, const char *b, size_t b_bytes)
{
	size_t rows[3][WORD_BYTES_MAX + 1];
	size_t *before = rows[0], *last = rows[1], *now = rows[2];

	assert(a_bytes <= WORD_BYTES_MAX && b_bytes <= WORD_BYTES_MAX);
	memset(rows, 0, sizeof(rows));
	for (size_t j = 0; j <= b_bytes; j++)
		last[j] = j;
	for (size_t i = 1; i <= a_bytes; i++) {
		now[0] = i;
		for (size_t j = 1; j <= b_bytes; j++) {
			size_t change = last[j - 1] + (a[i - 1] != b[j - 1]);
			now[j] = least(change, least(last[j], now[j - 1]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				now[j] = least(now[j], before[j - 2] + 1);
		}
		size_t *oldest = before;
		before = last;
		last = now;
		now = oldest;
	}
	return last[b_bytes];
}

const char *suggest_name(const char *given, const char *const *names, size_t name_count)
{
	size_t given_bytes = strlen(given);
	const char *best = NULL;
	size_t best_distance = WORD_BYTES_MAX;

	if (given_bytes == 0 || given_bytes > WORD_BYTES_MAX)
		return NULL;
	for (size_t i = 0; i < name_count; i++) {
		size_t name_bytes = strlen(names[i]);
		if (name_bytes > WORD_BYTES_MAX)
			continue;
		size_t d = distance(given, given_bytes, names[i], name_bytes);
		size_t longer = given_bytes > name_bytes ? given_bytes : name_bytes;
		if (d < best_distance && d * 3 <= longer) {
			best = names[i];
			best_distance = d;
		}
	}
	return best;
}
