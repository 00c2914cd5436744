/*
 * explain: `postrider explain`.
 */
#ifndef HARNESS_CLI_EXPLAIN_H
#define HARNESS_CLI_EXPLAIN_H

int cli_explain(int argc, char **argv);

#endif
