/*
 * poison: functions that have no safe use here; included by the build into
 * every file.  Copy with span_copy, format with snprintf or buf_addf, read
 * numbers with span_to_u64.
 */
#ifndef BASE_POISON_H
#define BASE_POISON_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* clang refuses to poison what _FORTIFY_SOURCE made a macro; the gcc build of every check sees it. */
#ifndef __clang__
#pragma GCC poison strcpy strcat sprintf vsprintf strtok strncpy gets atoi
#endif

#endif
