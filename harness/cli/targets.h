/*
 * targets: `postrider targets`.
 */
#ifndef HARNESS_CLI_TARGETS_H
#define HARNESS_CLI_TARGETS_H

int cli_targets(int argc, char **argv);

#endif
