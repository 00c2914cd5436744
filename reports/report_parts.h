/*
 * report_parts: the sections of the page, in its order.  Each appends its
 * part to html from result.json's object, or nothing when there is nothing to
 * say.  report.c puts them together.
 */
#ifndef REPORTS_REPORT_PARTS_H
#define REPORTS_REPORT_PARTS_H

#include "base/buf.h"

#include <jansson.h>

/* dir: the result directory, for the files beside result.json. */
void report_ledger(struct buf *html, const json_t *result);
void report_evidence(struct buf *html, const char *dir);
void report_latencies(struct buf *html, const json_t *result, const char *dir);
void report_over_time(struct buf *html, const json_t *result, const char *dir);
void report_faults(struct buf *html, const json_t *result);
void report_conditions(struct buf *html, const json_t *result);

/* ---- cells that several sections have ---- */

/* NULL when that metric has no such percentile. */
const json_t *percentile_of(const json_t *result, const char *metric, double percentile);
/* So few values have no such percentile: it would only be their maximum again. */
bool has_percentile(json_int_t count, double percentile);
void page_percentile(struct buf *html, const json_t *p);    /* NULL: a dash */
void page_seconds(struct buf *html, const json_t *seconds); /* a table's cell; NULL and null: a dash */

#endif
