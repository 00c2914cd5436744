/*
 * xml: text as XML 1.0 takes it, for JUnit files.
 */
#ifndef HARNESS_JUDGE_XML_H
#define HARNESS_JUDGE_XML_H

#include "base/buf.h"
#include "base/span.h"

/*
 * Appends s for an element or an attribute in double quotes.  What XML has no
 * way to say, controls and all that is beyond ASCII in a text that is not
 * UTF-8, becomes "?".
 */
void xml_add(struct buf *out, struct span s);

#endif
