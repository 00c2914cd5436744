/*
 * sink: the subcommand that receives messages and throws them away.
 * Returns the exit code: 0 ended as asked, 2 usage or cannot listen.
 */
#ifndef HARNESS_CLI_SINK_H
#define HARNESS_CLI_SINK_H

int cli_sink(int argc, char **argv); /* argv[0] is "sink" */

#endif
