/*
 * report: makes DIR/report.html from the documented files of a result
 * directory and nothing else: of a flow's run (result.json, series.csv,
 * percentiles.csv) or of a conformance run (result.json).
 *
 * One self-contained page: style and plots are inlined, nothing is loaded from
 * anywhere.  Plots are drawn by gnuplot; without it the page says so and has
 * all the numbers still.
 */
#ifndef REPORTS_REPORT_H
#define REPORTS_REPORT_H

#include "base/buf.h"
#include "base/err.h"

/* Writes dir/report.html.  Negative errno when a file is missing or is not what it should be. */
int report_render(const char *dir, struct err *reterr);

/* Appends the page; result: the text of result.json. */
int report_html(const char *dir, struct span result, struct buf *ret_html, struct err *reterr);

#endif
