/*
 * result: writes what a run found into its directory, for programs and for
 * the report, which reads nothing else.
 *
 *   result.json      verdict, reasons, ledger counts, percentiles, faults,
 *                    conditions; reports/result.schema.json is its schema
 *   ledger           one JSON object a line, one line a message and recipient
 *   percentiles.csv  the whole percentile curve of each metric
 *   series.csv       rates, backlog and latency over time
 *   latency.hlog     the metrics as HdrHistogram log, one tagged interval each
 *   junit.xml        one test case, the flow
 *
 * Every time in them counts from the start of traffic.  No secret is in any.
 */
#ifndef HARNESS_JUDGE_RESULT_H
#define HARNESS_JUDGE_RESULT_H

#include "base/buf.h"
#include "base/err.h"
#include "harness/judge/record.h"

/* dir exists.  The verdict has been reached. */
int result_write(const struct record *r, const char *dir, struct err *reterr);

/* The verdict in plain words, one or two sentences: "2000 of 2000 accepted messages arrived exactly once,
 * intact." */
void result_summary(const struct record *r, struct buf *ret_text);

/* "fredsco stopped", "link isp2→fredsco reset": what a fault did, for people. */
void result_fault_text(const struct flow *f, const struct flow_fault *fault, struct buf *ret_text);

/* ---- pieces, also used by the command line ---- */
/* Appends the whole of result.json. */
void result_json(const struct record *r, struct buf *ret_text);
/* Appends one <testsuite>; between junit_begin and junit_end stand as many as there were runs. */
void result_junit_suite(const struct record *r, struct buf *ret_xml);
void result_junit_begin(struct buf *ret_xml);
void result_junit_end(struct buf *ret_xml);
void result_ledger_lines(const struct record *r, struct buf *ret_text);
void result_percentiles_csv(const struct record *r, struct buf *ret_text);

#endif
