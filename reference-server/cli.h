/*
 * cli: the subcommands of postriderd.  Each prints its own errors and returns
 * an exit code: 0 done, 1 failed, 2 usage or configuration mistakes.
 */
#ifndef SERVER_CLI_H
#define SERVER_CLI_H

int cli_serve(int argc, char **argv);
#ifdef MUTANTS
int cli_mutants(int argc, char **argv);
#endif
int cli_queue(int argc, char **argv);
int cli_mailbox(int argc, char **argv);
int cli_account(int argc, char **argv);
int cli_status(int argc, char **argv);

#endif
