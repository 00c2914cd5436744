/*
 * postrider list: the flows that can be run by name, with their titles.
 */
#ifndef HARNESS_CLI_LIST_H
#define HARNESS_CLI_LIST_H

#include <stdbool.h>
#include <stddef.h>

/* The flow whose name is nearest to a misspelt one; false when none is near enough. */
bool list_nearest(const char *given, char *ret_name, size_t name_bytes);

int cli_list(int argc, char **argv);

#endif
