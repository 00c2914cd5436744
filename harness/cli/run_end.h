/*
 * run_end: what comes after the last fact: outcomes, metrics, verdict, the
 * files of the result directory, and the words for whoever waits for it.
 */
#ifndef HARNESS_CLI_RUN_END_H
#define HARNESS_CLI_RUN_END_H

#include "harness/cli/run_flow.h"

enum {
	RUN_FAULTS_MAX = 256, /* as in flows */
};

struct run_end {
	struct ledger *ledger; /* not settled yet */
	struct ledger_end ledger_end;
	struct record_fault faults[RUN_FAULTS_MAX];
	struct record_host hosts[FLOW_HOSTS_MAX];
	struct record record; /* everything else is filled in; its reasons stay the caller's to free */
};

/* Settles, judges and writes o->dir. */
int run_end_judge(struct run_end *e, const struct run_options *o, struct run_outcome *ret_outcome,
		  struct err *reterr);

/*
 * Copies the servers' output and the log of DNS queries from dir/world to
 * dir/logs, without passwords, and, unless they are to be kept, removes the servers' data, keys
 * and passwords.
 */
void run_end_keep_logs(const char *dir, const struct flow *flow, const struct redact *redact,
		       bool keep_world);
/* The same for what was written and what is left to say; show: only for the files. */
int run_end_redact(const char *dir, const struct redact *redact, bool show, struct run_outcome *outcome,
		   struct err *reterr);

#endif
