/*
 * shown: bytes as the "quoted text" of a case has them, for people and for
 * cases that the harness writes itself.
 */
#ifndef HARNESS_CONFORM_SHOWN_H
#define HARNESS_CONFORM_SHOWN_H

#include "base/buf.h"
#include "base/span.h"

/* Appends s in printable ASCII: \r \n \t \\ and \xNN; so are the characters of `also`, which may be "". */
void shown_add(struct buf *out, struct span s, const char *also);

#endif
