/*
 * play: carries out one case against a server and comes to a verdict.
 *
 * All of it happens on the loop; nothing blocks and nothing sleeps but for the
 * pauses a case asks for.  Steps are carried out in their order; a step that
 * waits has a time limit of its own.  What the server sends is kept in a
 * bounded buffer and in the transcript, so that a server that never stops
 * talking, or never talks, costs a time-out and no more.
 *
 * Only steps of a judging section come to a fail or a warning; elsewhere, what
 * should not have been is "inconclusive": the case could not get to its
 * question.  A reply 421 is inconclusive everywhere, unless the case expects
 * it, for RFC 5321 3.8 allows it at any time.
 */
#ifndef HARNESS_CONFORM_PLAY_H
#define HARNESS_CONFORM_PLAY_H

#include "base/err.h"
#include "base/loop.h"
#include "harness/conform/answer.h"
#include "harness/conform/sut.h"
#include "harness/conform/transcript.h"
#include "harness/conform/values.h"
#include "harness/conform/verdict.h"
#include "harness/scenario/case.h"

enum {
	PLAY_INPUT_BYTES_MAX = 1024 * 1024, /* of one connection, not looked at yet */
	PLAY_MAX_MS = 30 * 60 * 1000,
};

struct play_outcome {
	enum conform_verdict verdict;
	uint32_t line;       /* of the case file; 0: none */
	uint32_t req;        /* index; whose fail or warning it is */
	bool lost;           /* it ended with a connection that the server ended, or never took */
	char why[800];       /* one sentence, printable; "" for a pass */
	uint32_t duplicates; /* that next hops took, and that could not be avoided (RFC 5321 6.1, RFC 1047) */
	struct buf irregularities; /* of replies, one a line, each once */
	struct transcript transcript;
	int64_t elapsed_ms;
};
void play_outcome_free(struct play_outcome *o);

struct play;
/* Called once, from the loop.  The play may be freed in it. */
typedef void play_done_fn(void *ctx, struct play *p);

struct play_options {
	struct loop *loop;
	const struct case_file *file;
	const struct sut *sut;
	uint32_t first_account; /* the case's own mailboxes, in sut->addresses, begin there */
	uint32_t known;         /* of a case whose domain the server was told of: which */
	uint64_t token;         /* for ${case.id}; unlike any other of the run */
	bool trusted;           /* connections to the smtp service come from where it relays for */
	play_done_fn *done;
	void *ctx;
};

struct play *play_new(const struct play_options *o);
void play_start(struct play *p);
/* After done; the caller may take what the outcome's buffers hold. */
struct play_outcome *play_outcome(struct play *p);
/* The last reply on connection 1, until play_free. */
const struct answer *play_last_answer(const struct play *p);
void play_free(struct play *p); /* accepts NULL; ends what is under way */

#endif
