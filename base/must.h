/*
 * must: for what this machine always has, a little memory.  Without it nothing
 * useful can be said or saved, so the process ends where a core shows it.
 * What a peer or an operator can make large is bounded by a limit with an
 * answer, not by this.
 */
#ifndef BASE_MUST_H
#define BASE_MUST_H

#include <stdlib.h>

/* p, which is not NULL. */
static inline void *must(void *p)
{
	if (p == NULL)
		abort();
	return p;
}

#endif
