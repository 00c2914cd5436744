/*
 * result_files: what a conformance run leaves behind, for programs and for the
 * report, which reads nothing else.
 *
 *   result.json   verdicts, reasons, requirements; transcripts of what did not
 *                 pass; reports/conform.schema.json is its schema
 *   junit.xml     one test suite, one test case a case
 *   results.tap   TAP 13
 *   transcripts/  what went over the wire, one file a case
 *
 * No secret is in any.
 */
#ifndef HARNESS_CONFORM_RESULT_FILES_H
#define HARNESS_CONFORM_RESULT_FILES_H

#include "base/buf.h"
#include "base/err.h"
#include "harness/conform/record.h"

/* Into r->dir, which exists. */
int conform_write_files(const struct conform_record *r, struct err *reterr);

void conform_json(const struct conform_record *r, struct buf *out);
void conform_junit(const struct conform_record *r, struct buf *out);
void conform_tap(const struct conform_record *r, struct buf *out);

/* ---- reading an earlier result.json ---- */
struct conform_earlier;
struct conform_earlier *conform_earlier_read(const char *path, struct err *reterr);
void conform_earlier_free(struct conform_earlier *e); /* accepts NULL */
/* False when that case was not there. */
bool conform_earlier_verdict(const struct conform_earlier *e, const char *case_id,
			     enum conform_verdict *ret_verdict);

#endif
