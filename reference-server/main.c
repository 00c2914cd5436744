#include "base/opt.h"
#include "base/output.h"
#include "reference-server/cli.h"

#include <string.h>

int main(int argc, char **argv)
{
	static const struct opt_verb verbs[] = {
		{ "serve", cli_serve, "run the server until SIGTERM" },
#ifdef MUTANTS
		{ "mutants", cli_mutants, "names what --mutant can break" },
#endif
		{ "queue", cli_queue, "list, show, flush, hold, release, remove ...: messages that wait" },
		{ "mailbox", cli_mailbox, "list, export: what accounts have received" },
		{ "account", cli_account, "add, list, remove: who has a mailbox" },
		{ "status", cli_status, "what a running server is doing" },
		{ 0 },
	};
	int rc = opt_dispatch("postriderd",
			      "A reference mail relay and mailbox server: SMTP and submission in, a durable "
			      "queue, relaying "
			      "by MX, POP3 out.  It exists to be tested against and to be tested.",
			      verbs, argc, argv);
	/* A server has told its readers long ago, and its end is not theirs. */
	if (argc > 1 && strcmp(argv[1], "serve") == 0)
		return rc;
	return output_end("postriderd", rc, 1);
}
