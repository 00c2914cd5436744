/*
 * conform: `postrider conform`.
 */
#ifndef HARNESS_CLI_CONFORM_H
#define HARNESS_CLI_CONFORM_H

int cli_conform(int argc, char **argv);

#endif
