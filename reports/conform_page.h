/*
 * conform_page: makes DIR/report.html of a conformance run from its
 * result.json and nothing else: the verdict first, then what did not pass, each
 * case with its transcript, then all cases by requirement.
 */
#ifndef REPORTS_CONFORM_PAGE_H
#define REPORTS_CONFORM_PAGE_H

#include "base/buf.h"
#include "base/err.h"

int conform_page_render(const char *dir, struct err *reterr);
/* Appends the page; result: the text of result.json. */
int conform_page_html(struct span result, struct buf *ret_html, struct err *reterr);

#endif
