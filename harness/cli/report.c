#include "harness/cli/report.h"

#include "base/opt.h"
#include "reports/report.h"

#include <stdio.h>

int cli_report(int argc, char **argv)
{
	const char *dir = "results/latest";
	const struct opt_arg args[] = {
		{ "DIR", .ret_one = &dir, .optional = true,
		  .help = "a result directory; results/latest when absent" },
		{ 0 },
	};
	struct err e;
	int rc = opt_parse(
		&(struct opt_command){
			.name = "postrider report",
			.purpose = "Draws DIR/report.html again from the files beside it: "
				   "result.json and, of a flow, series.csv, percentiles.csv "
				   "and ledger.  The page needs nothing else and can be mailed or "
				   "kept; its plots need gnuplot when they are drawn.",
			.args = args,
			.example = "postrider report results/latest",
			.exit_codes = "0  done\n2  usage error, or no result there" },
		argc, argv);

	if (rc != OPT_GO)
		return rc;
	rc = report_render(dir, &e);
	if (rc != 0) {
		(void)fprintf(stderr, "postrider report: %s\n", e.text);
		return OPT_EXIT_USAGE;
	}
	(void)printf("%s/report.html\n", dir);
	return 0;
}
