/*
 * postrider lint FILE…: reads flow files and prints every mistake; starts nothing.
 * Exit codes: 0 all good, 2 mistakes.
 */
#ifndef HARNESS_CLI_LINT_H
#define HARNESS_CLI_LINT_H

int cli_lint(int argc, char **argv);

#endif
