/*
 * sarif: what a conformance run found as SARIF 2.1.0 (OASIS), which code
 * scanning takes.  One run a target; a rule is a requirement; a result is a
 * case that broke one, with the place in the case file that says so, the
 * reason and the transcript.  What could not be judged is a notification.
 */
#ifndef HARNESS_CONFORM_SARIF_H
#define HARNESS_CONFORM_SARIF_H

#include "harness/conform/result_files.h"

conform_output conform_sarif;

#endif
