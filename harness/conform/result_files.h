/*
 * result_files: what a conformance run leaves behind, for programs and for the
 * report, which reads nothing else.
 *
 *   result.json        verdicts, reasons, requirements; transcripts of what did
 *                      not pass; reports/conform.schema.json is its schema
 *   junit.xml          one test suite a target, one test case a case
 *   results.tap        TAP 13
 *   NAME/transcripts/  what went over the wire to the target of that name, one
 *                      file a case
 *
 * No secret is in any.
 */
#ifndef HARNESS_CONFORM_RESULT_FILES_H
#define HARNESS_CONFORM_RESULT_FILES_H

#include "base/buf.h"
#include "base/err.h"
#include "harness/conform/record.h"

/* Appends one kind of output about all targets. */
typedef void conform_output(const struct conform_records *all, struct buf *out);

/* Into all->dir, which exists. */
int conform_write_files(const struct conform_records *all, struct err *reterr);

conform_output conform_json;
conform_output conform_junit;
conform_output conform_tap;

/* ---- reading an earlier result.json ---- */
struct conform_earlier;
struct conform_earlier *conform_earlier_read(const char *path, struct err *reterr);
void conform_earlier_free(struct conform_earlier *e); /* accepts NULL */
/* False when that case was not there, or not that target. */
bool conform_earlier_verdict(const struct conform_earlier *e, const char *target, const char *case_id,
			     enum conform_verdict *ret_verdict);
/* Whether the case was there, and on some target neither passed nor was not tested. */
bool conform_earlier_is_open(const struct conform_earlier *e, const char *case_id);

#endif
