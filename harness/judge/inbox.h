/*
 * inbox: what a retrieved message means for the ledger: a copy of an original,
 * a notification about one, or something that does not belong here.
 */
#ifndef HARNESS_JUDGE_INBOX_H
#define HARNESS_JUDGE_INBOX_H

#include "base/span.h"
#include "harness/judge/content.h"
#include "harness/judge/ledger.h"

/* The spec from which message id was made; id is one of the ledger's. */
typedef void original_fn(void *ctx, uint32_t id, struct content_spec *ret_spec);

struct inbox {
	struct ledger *ledger;
	uint64_t seed;
	original_fn *original;
	void *ctx;
};

struct inbox_message {
	struct span message; /* as retrieved, CRLF lines, unstuffed */
	const char *mailbox; /* whose */
	int64_t seen_ns;
	int64_t not_before_ns; /* ≤ seen_ns */
};

void inbox_take_in(const struct inbox *in, const struct inbox_message *m);

#endif
