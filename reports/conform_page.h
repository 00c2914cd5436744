/*
 * conform_page: the page of a conformance run, from its result.json and
 * nothing else: the verdict first, then what did not pass, each case with its
 * transcript, then all cases by requirement.
 */
#ifndef REPORTS_CONFORM_PAGE_H
#define REPORTS_CONFORM_PAGE_H

#include "base/buf.h"

#include <jansson.h>

void conform_page(struct buf *html, const json_t *result);

#endif
