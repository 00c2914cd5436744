/*
 * verdict: what a case comes to.
 *
 *   pass          every expectation held
 *   fail          a MUST, or what the text states as fact, was broken
 *   warn          a SHOULD or a MAY was; --strict makes a SHOULD a fail
 *   not-tested    the server does not offer what the case needs
 *   inconclusive  it could not be judged: a temporary refusal, a lost
 *                 connection, a precondition that did not hold
 *   error         the harness failed
 *   flaky         repeated, with different verdicts
 *   waived        failed, and a waiver says that this is known
 */
#ifndef HARNESS_CONFORM_VERDICT_H
#define HARNESS_CONFORM_VERDICT_H

#include "base/span.h"
#include "harness/scenario/case.h"

enum conform_verdict {
	CONFORM_PASS,
	CONFORM_FAIL,
	CONFORM_WARN,
	CONFORM_NOT_TESTED,
	CONFORM_INCONCLUSIVE,
	CONFORM_ERROR,
	CONFORM_FLAKY,
	CONFORM_WAIVED,
	CONFORM_VERDICT_COUNT,
};
const char *conform_verdict_name(enum conform_verdict v); /* "not-tested" */
bool conform_verdict_parse(struct span name, enum conform_verdict *ret_verdict);

/* What a failed requirement of that level comes to. */
enum conform_verdict conform_failure(enum case_level level);

#endif
