#include "harness/conform/verdict.h"

#include <assert.h>

static const char *const NAMES[CONFORM_VERDICT_COUNT] = { "pass",         "fail",  "warn",  "not-tested",
							  "inconclusive", "error", "flaky", "waived" };

const char *conform_verdict_name(enum conform_verdict v)
{
	assert(v < CONFORM_VERDICT_COUNT);
	return NAMES[v];
}

bool conform_verdict_parse(struct span name, enum conform_verdict *ret_verdict)
{
	for (int i = 0; i < CONFORM_VERDICT_COUNT; i++) {
		if (!span_eq(name, span_of(NAMES[i])))
			continue;
		*ret_verdict = (enum conform_verdict)i;
		return true;
	}
	return false;
}

enum conform_verdict conform_failure(enum case_level level)
{
	bool weak = level == CASE_SHOULD || level == CASE_SHOULD_NOT || level == CASE_MAY;

	return weak ? CONFORM_WARN : CONFORM_FAIL;
}
