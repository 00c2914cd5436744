/*
 * cli_parts: what the files behind cli.h share; for them only.
 */
#ifndef SERVER_CLI_PARTS_H
#define SERVER_CLI_PARTS_H

#include "base/opt.h"
#include "base/span.h"

#include <stdio.h>

struct cli_target {
	const char *data_dir;
	const char *config_path;
};

#define CLI_TARGET_OPTIONS(t)                                                                               \
	{ "data", OPT_STR, &(t).data_dir, .value = "DIR", .help = "the server's data directory" },          \
	{                                                                                                   \
		"config", OPT_STR, &(t).config_path, .value = "FILE",                                       \
						     .help = "its configuration, which names the directory" \
	}

/*
 * Sends a request to the running server, or does it on the store of one that
 * is down; the answer's text goes to out.  Returns the exit code; complaints
 * were printed.
 */
int cli_request(const struct cli_target *t, struct span request, FILE *out);

/* Prints the complaint, and returns the exit code for usage mistakes. */
int cli_usage(const char *text);

#endif
