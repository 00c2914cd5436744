/*
 * postrider list: the flows that can be run by name, with their titles.
 */
#ifndef HARNESS_CLI_LIST_H
#define HARNESS_CLI_LIST_H

int cli_list(int argc, char **argv);

#endif
