/*
 * cli: the subcommands of postrider, and the page that --help shows.
 */
#ifndef HARNESS_CLI_CLI_H
#define HARNESS_CLI_CLI_H

/* Returns the exit code. */
int cli_main(int argc, char **argv);

#endif
