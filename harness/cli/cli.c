#include "harness/cli/cli.h"

#include "base/opt.h"
#include "harness/cli/check_dsn.h"
#include "harness/cli/conform.h"
#include "harness/cli/dns.h"
#include "harness/cli/doctor.h"
#include "harness/cli/explain.h"
#include "harness/cli/lint.h"
#include "harness/cli/list.h"
#include "harness/cli/report.h"
#include "harness/cli/run.h"
#include "harness/cli/send.h"
#include "harness/cli/sink.h"
#include "harness/cli/targets.h"

#include <stdio.h>
#include <string.h>

static const struct opt_verb verbs[] = {
	{ "run", cli_run, "carries out flows and judges them" },
	{ "conform", cli_conform, "judges a server by the dialogues of the RFCs" },
	{ "list", cli_list, "names the flows that come with postrider" },
	{ "targets", cli_targets, "names the kinds of servers that flows can run" },
	{ "doctor", cli_doctor, "says what can be tested on this machine, and why not the rest" },
	{ "lint", cli_lint, "checks flows, cases and targets; starts nothing" },
	{ "explain", cli_explain, "says what a requirement demands, and which cases judge it" },
	{ "check-dsn", cli_check_dsn, "checks a delivery status notification, with lines and clauses" },
	{ "report", cli_report, "draws report.html of a result directory again" },
	{ "send", cli_send, "sends messages to a server of yours" },
	{ "sink", cli_sink, "is a mail server that takes everything and keeps nothing" },
	{ "dns", cli_dns, "is a name server for a zone file" },
	{ 0 },
};

static void print_help(FILE *out)
{
	(void)fputs("postrider proves whether a mail server keeps its promise: a message that was\n"
		    "answered with 250 arrives once, intact, or its sender is told.\n"
		    "\n"
		    "usage: postrider COMMAND [OPTION…] [ARGUMENT…]\n"
		    "\n"
		    "first steps:\n"
		    "  postrider run three-steps      send, forward, retrieve: every message accounted for\n"
		    "  postrider run next-hop-down    the same while the next server is down for 10 s\n"
		    "  less results/latest/ledger     what became of each message; report.html shows it\n"
		    "\n"
		    "A flow is a file that says who sends what to whom, what breaks meanwhile, and what\n"
		    "must come of it.  postrider builds that world on 127.0.0.0/8 from servers, name\n"
		    "servers and links, and nothing it does leaves this machine.\n"
		    "\n"
		    "commands:\n",
		    out);
	for (const struct opt_verb *v = verbs; v->name != NULL; v++)
		(void)fprintf(out, "  %-9s  %s\n", v->name, v->help);
	(void)fputs("\n"
		    "exit codes of run: 0 promise kept, 1 broken, 2 mistake in the command or a flow,\n"
		    "  3 nothing could be judged, 4 error of the harness, 130 interrupted\n"
		    "\n"
		    "'postrider COMMAND --help' explains one command; '--version' names the version.\n",
		    out);
}

int cli_main(int argc, char **argv)
{
	if (argc < 2) {
		print_help(stderr);
		return OPT_EXIT_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
		print_help(stdout);
		return 0;
	}
	return opt_dispatch("postrider", "", verbs, argc, argv);
}
