#include "harness/cli/cli.h"

#include <signal.h>

int main(int argc, char **argv)
{
	/* A peer or a pager that goes away is an error of one write, not the end of the program. */
	(void)signal(SIGPIPE, SIG_IGN);
	return cli_main(argc, argv);
}
