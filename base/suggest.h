/*
 * suggest: "did you mean" for a misspelt word.
 */
#ifndef BASE_SUGGEST_H
#define BASE_SUGGEST_H

#include <stddef.h>

/*
 * The name nearest to given (insertions, deletions, changes and swaps of
 * neighbours count one each), or NULL when none is near enough to be what was
 * meant: at most a third of the word may differ.
 */
const char *suggest_name(const char *given, const char *const *names, size_t name_count);

#endif
