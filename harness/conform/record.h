/*
 * record: everything that a conformance run came to, for output files and exit
 * code.  Plain data; whoever made the run owns what the pointers lead to.
 */
#ifndef HARNESS_CONFORM_RECORD_H
#define HARNESS_CONFORM_RECORD_H

#include "harness/conform/suite.h"
#include "harness/scenario/requirement.h"

/* What is known to fail, and why that is accepted; see waivers.h. */
struct waiver;

/* Of one target. */
struct conform_record {
	const char *target;   /* its name, unlike that of any other in the run */
	const char *title;    /* for a person */
	const char *versions; /* "postfix 3.7.11-0+deb12u1", one a line; "" when nothing is known */
	bool strict;
	bool interrupted;
	const char *problem; /* what kept the whole run from judging; "" when nothing did */
	int64_t elapsed_ms;
	uint32_t deaths; /* of the server */
	const struct suite_result *results;
	const struct waiver *const *waived; /* one for each result; NULL where there is none */
	const bool *known;                  /* one for each: failed in the baseline too; NULL: no baseline */
	uint32_t count;
};

/* Of all targets; each has results for the same cases, in the same order. */
struct conform_records {
	const char *dir; /* the result directory; NAME/ in it is of the target of that name */
	uint64_t seed;
	int64_t started_wall_ms;
	int64_t elapsed_ms;
	const struct conform_record *items;
	uint32_t count;
	const struct requirements *catalogue; /* NULL: it is not to be had, and nothing is paraphrased */
};

struct conform_totals {
	uint32_t by[CONFORM_VERDICT_COUNT];
	uint32_t not_played;
	uint32_t new_failures; /* that count: not in the baseline */
	uint32_t unexpected_passes;
	uint32_t duplicates; /* that next hops took, and that could not be avoided */
};

/* The verdict that counts: strict and waivers are in it. */
enum conform_verdict conform_verdict_of(const struct conform_record *r, uint32_t index);
/* A case that a waiver covers passed. */
bool conform_passed_unexpectedly(const struct conform_record *r, uint32_t index);
struct conform_totals conform_totals(const struct conform_record *r);

/*
 * 0 passed; 1 something failed (and is not in the baseline); 3 nothing was
 * judged, or something could not be; 4 the harness failed; 130 interrupted.
 * Of several the first of 130, 4, 1, 3.
 */
int conform_exit_code(const struct conform_record *r);
/* The worst of all targets. */
int conform_exit_code_of_all(const struct conform_records *all);

/*
 * Whether the case came out differently: among the targets that judged it, one
 * kept the requirement and another did not.
 */
bool conform_is_disputed(const struct conform_records *all, uint32_t index);

/* "smtp/rfc5321/4.5.2/x.case:17", for a result that has a line. */
void conform_place(const struct suite_result *r, struct buf *out);
/* "RFC5321-… MUST" of the requirement that was judged. */
const struct case_req *conform_req(const struct suite_result *r);

#endif
