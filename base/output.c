#include "base/output.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool reader_is_gone(void)
{
	struct pollfd p = { .fd = STDOUT_FILENO, .events = POLLOUT };

	return poll(&p, 1, 0) == 1 && (p.revents & POLLERR) != 0;
}

int output_end(const char *program, int code, int code_if_lost)
{
	bool lost_before = ferror(stdout) != 0;
	int error = fflush(stdout) != 0 ? errno : 0;

	if ((!lost_before && error == 0) || error == EPIPE || reader_is_gone())
		return code;
	(void)fprintf(stderr, "%s: standard output: %s\n", program,
		      error != 0 ? strerror(error) : "not everything could be written");
	return code == 0 ? code_if_lost : code;
}
