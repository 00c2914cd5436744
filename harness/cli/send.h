/*
 * send: the subcommand that sends messages to a server and prints how it went.
 * Returns the exit code: 0 all accepted, 1 some were not, 2 usage, 4 harness error.
 */
#ifndef HARNESS_CLI_SEND_H
#define HARNESS_CLI_SEND_H

int cli_send(int argc, char **argv); /* argv[0] is "send" */

#endif
