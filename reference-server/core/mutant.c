#include "reference-server/core/mutant.h"

#include <stddef.h>
#include <string.h>

#ifdef MUTANTS

enum mutant mutant_now;

#define MUTANT_TEXT(name, text, suite, what) text,
static const char *const TEXTS[MUTANT_COUNT] = { "",
						 MUTANT_TABLE(MUTANT_TEXT) MUTANT_RELAY_TABLE(MUTANT_TEXT) };
#undef MUTANT_TEXT
#define MUTANT_LINE(name, text, suite, what) text "\t" suite "\t" what,
static const char *const LINES[MUTANT_COUNT] = { "",
						 MUTANT_TABLE(MUTANT_LINE) MUTANT_RELAY_TABLE(MUTANT_LINE) };
#undef MUTANT_LINE

bool mutant_set(const char *text)
{
	for (unsigned i = 1; i < MUTANT_COUNT; i++) {
		if (strcmp(TEXTS[i], text) != 0)
			continue;
		mutant_now = (enum mutant)i;
		return true;
	}
	return false;
}

const char *mutant_line(unsigned index)
{
	return index < MUTANT_COUNT ? LINES[index] : NULL;
}

#endif
