/*
 * conform_queue: answers cases that ask what waits in the queue of the server
 * under test (harness/conform/sut.h).
 *
 * One question to the server is out at a time; it answers all that asked
 * before it was begun.  Where the target can list whose mail waits, each case
 * hears of its own alone, and cases about mailboxes do not hear of mail for
 * next hops; else everybody hears how much waits in all.
 */
#ifndef HARNESS_CLI_CONFORM_QUEUE_H
#define HARNESS_CLI_CONFORM_QUEUE_H

#include "base/loop.h"
#include "harness/conform/sut.h"
#include "harness/world/host.h"

struct conform_queue;

struct conform_queue *conform_queue_new(struct loop *l, struct host *h);
/* As sut.ask_queue; queue_ctx is the conform_queue. */
void conform_queue_ask(void *queue_ctx, const struct sut_whose *whose, sut_queue_fn *answer, void *ctx);
/* Whoever still waits hears "not known".  Accepts NULL. */
void conform_queue_free(struct conform_queue *q);

#endif
