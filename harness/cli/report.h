/*
 * postrider report DIR: draws report.html again from the files of a result
 * directory.  Exit codes: 0 done, 2 there is no result, or it is no result.
 */
#ifndef HARNESS_CLI_REPORT_H
#define HARNESS_CLI_REPORT_H

int cli_report(int argc, char **argv);

#endif
