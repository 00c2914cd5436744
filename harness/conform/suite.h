/*
 * suite: plays many cases against one server, several at a time, and keeps
 * what each came to.
 *
 * Every playing of a case has mailboxes and a token of its own, so that
 * neither order nor company changes a verdict; the order is drawn from the
 * seed.  A case tagged "alone" is played when no other is.  When the server
 * dies, the cases that were being played are played again one by one, so that
 * the one that kills it is found: that one fails.
 */
#ifndef HARNESS_CONFORM_SUITE_H
#define HARNESS_CONFORM_SUITE_H

#include "base/loop.h"
#include "harness/conform/sut.h"
#include "harness/conform/verdict.h"
#include "harness/scenario/case.h"

/* One case and what became of it, over all its playings. */
struct suite_result {
	const struct case_file *file;
	enum conform_verdict verdict;
	uint32_t line; /* in the file; 0: none */
	uint32_t req;  /* index */
	char why[800];
	struct buf irregularities; /* one a line */
	struct buf transcript;     /* as text; of the playing the verdict is from */
	int64_t elapsed_ms;
	uint32_t duplicates; /* that could not be avoided, of all playings */
	uint32_t played;
	uint32_t seen[CONFORM_VERDICT_COUNT]; /* how often each verdict came */
	uint32_t deaths;                      /* of the server while it was being played */
	bool done;
};

struct suite;
typedef void suite_result_fn(void *ctx, const struct suite_result *r);
typedef void suite_done_fn(void *ctx, struct suite *s);

struct suite_options {
	struct loop *loop;
	const struct sut *sut;
	const struct case_file *const *cases;
	uint32_t case_count;
	uint32_t at_once;       /* ≥ 1 */
	uint32_t repeat;        /* ≥ 1 */
	double mails_per_s_max; /* 0: as fast as it goes; else cases begin no faster than their mails may */
	uint64_t seed;
	bool shuffle;               /* false: in their order */
	suite_result_fn *on_result; /* each case once; may be NULL */
	suite_done_fn *on_done;
	void *ctx;
};

struct suite *suite_new(const struct suite_options *o);
void suite_start(struct suite *s);
/* Mailboxes that these cases need, repeats and second tries included. */
uint32_t suite_account_count(const struct case_file *const *cases, uint32_t case_count, uint32_t repeat);
/* Domains that the server is to be told of (sut_knows_zone_of), likewise. */
uint32_t suite_known_count(const struct case_file *const *cases, uint32_t case_count, uint32_t repeat);

/* The server is gone: playing stops until it is back. */
void suite_server_died(struct suite *s, const char *why);
void suite_server_back(struct suite *s);
/* No more: what was not played stays "not done".  on_done is not called. */
void suite_stop(struct suite *s);

const struct suite_result *suite_results(const struct suite *s); /* case_count of them, in the cases' order */
uint32_t suite_done_count(const struct suite *s);
void suite_free(struct suite *s); /* accepts NULL */

#endif
