/*
 * summary: what a conformance run came to, for the pages of a CI service.
 */
#ifndef HARNESS_CONFORM_SUMMARY_H
#define HARNESS_CONFORM_SUMMARY_H

#include "harness/conform/result_files.h"

enum { SUMMARY_BYTES_MAX = 900 * 1024 }; /* GitHub takes 1 MiB a step */

/*
 * Markdown, for $GITHUB_STEP_SUMMARY and the like: targets, then every
 * requirement that one of them broke, then each broken case with its
 * transcript; these end at SUMMARY_BYTES_MAX with a line that says so.
 */
conform_output conform_markdown;

/* Workflow commands of GitHub Actions, one line for each broken case and each problem: errors before warnings. */
conform_output conform_github;

#endif
