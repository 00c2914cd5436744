#include "base/output.h"
#include "harness/cli/cli.h"

#include <signal.h>

enum { EXIT_HARNESS = 4 };

int main(int argc, char **argv)
{
	/* A peer or a pager that goes away is an error of one write, not the end of the program. */
	(void)signal(SIGPIPE, SIG_IGN);
	return output_end("postrider", cli_main(argc, argv), EXIT_HARNESS);
}
