/*
 * link_watch: reads along on links between servers and tells the ledger which
 * attempts there were for which message, when they began and how they ended.
 *
 * An attempt is one transaction that got as far as its content, for without
 * content nothing says whose it is; transactions that were refused earlier are
 * only counted.  Under TLS a link is blind, and so are the metrics that need
 * it.
 */
#ifndef HARNESS_JUDGE_LINK_WATCH_H
#define HARNESS_JUDGE_LINK_WATCH_H

#include "harness/fault/link.h"
#include "harness/judge/ledger.h"

struct link_watch;

struct link_watch_counts {
	uint64_t connections;
	uint64_t resets;
	uint64_t transactions;      /* MAIL commands */
	uint64_t refused_early;     /* every recipient refused, or MAIL or DATA */
	uint64_t blind_connections; /* went to TLS, or could not be followed */
};

/* The ledger outlives the watch. */
struct link_watch *link_watch_new(struct ledger *l, uint64_t seed);
void link_watch_free(struct link_watch *w); /* accepts NULL */

/* To be given to links_new. */
struct link_observer link_watch_observer(struct link_watch *w);
struct link_watch_counts link_watch_counts(const struct link_watch *w);

#endif
