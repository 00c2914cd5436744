/*
 * conform_matrix: what each target made of each group of requirements, an RFC
 * or one of its sections: the table for a glance, and behind each cell the
 * cases of that section, with the clause in our words, its number, what every
 * target did and what went over the wire.
 *
 * A case is in the section of each requirement that it judges.  One that broke
 * a requirement did not get to the others, so in their sections it counts as
 * not judged.
 */
#ifndef REPORTS_CONFORM_MATRIX_H
#define REPORTS_CONFORM_MATRIX_H

#include "base/buf.h"

#include <jansson.h>

/* Appends table and panels; result: of a conformance run, read and checked. */
void conform_matrix(struct buf *html, const json_t *result);

/* The class of report.css for a verdict: "good" "bad" "odd" "none". */
const char *conform_tone(const char *verdict);
/* Appends "RFC 5321 §4.5.2 MUST: what it says" for one of a case's requirements. */
void conform_clause(struct buf *html, const json_t *result, const json_t *requirement);

#endif
