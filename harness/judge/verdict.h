/*
 * verdict: holds the record of a run against what its flow expects.
 *
 * PASS     everything expected was so, and the harness was able to judge
 * FAIL     an expectation was broken
 * INVALID  the harness was too slow, or something it needs did not work; the
 *          numbers prove nothing, whatever they say.  But a message that was
 *          doubled, corrupted or unexpected is there to be seen, and one that
 *          is lost is lost when queues and mailboxes were all looked into:
 *          these are FAIL all the same.
 * INTERRUPTED  by a signal
 *
 * What nobody wrote down is expected all the same: every message ends as its
 * traffic says, nothing is lost, duplicated, corrupted or unexpected, and each
 * sender of a failed message is told exactly once, by a well-formed
 * notification.
 */
#ifndef HARNESS_JUDGE_VERDICT_H
#define HARNESS_JUDGE_VERDICT_H

#include "harness/judge/record.h"

/* Adds its reasons to the record and sets its verdict. */
void verdict_reach(struct record *r);

/* Exit codes of the command line: 0, 1, 3, 130. */
int verdict_exit_code(enum verdict v);
/* Of two runs' exit codes the one that counts: 130, then 4, 1, 3, 0. */
int exit_code_worse(int a, int b);

#endif
