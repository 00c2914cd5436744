/*
 * ledger_impl: what ledger.c (facts) and ledger_settle.c (outcomes) share.
 * Nobody else includes it.
 */
#ifndef HARNESS_JUDGE_LEDGER_IMPL_H
#define HARNESS_JUDGE_LEDGER_IMPL_H

#include "harness/judge/ledger.h"

struct interned;

struct ledger {
	struct ledger_message *messages;
	uint32_t message_count;
	uint32_t message_room;
	struct ledger_row *rows;
	uint32_t row_count;
	uint32_t row_room;
	struct ledger_stray *strays;
	uint32_t stray_count;
	uint32_t stray_room;
	struct ledger_progress progress;
	struct interned *texts; /* uthash: every text once; they repeat a lot */
	bool settled;
};

/* Owned by the ledger; the same text gives the same pointer. */
const char *ledger_intern(struct ledger *l, struct span text);

/* What the submission said about this row: LEDGER_REFUSED too when only its own RCPT was refused. */
enum ledger_submission ledger_row_submission(const struct ledger_message *m, const struct ledger_row *r);

#endif
