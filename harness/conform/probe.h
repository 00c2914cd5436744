/*
 * probe: asks each service of the server under test what it offers, by EHLO,
 * LHLO or CAPA, in the clear and under TLS.
 */
#ifndef HARNESS_CONFORM_PROBE_H
#define HARNESS_CONFORM_PROBE_H

#include "base/loop.h"
#include "harness/conform/sut.h"

struct probe;
typedef void probe_done_fn(void *ctx, struct probe *p);

/* Fills in the keywords of sut; done is called once, from the loop, and may free the probe. */
struct probe *probe_new(struct loop *l, struct sut *sut, probe_done_fn *done, void *ctx);
/* How many services answered as they should. */
uint32_t probe_answered_count(const struct probe *p);
/* Why one did not, for a person; "" when all did. */
const char *probe_problem(const struct probe *p);
void probe_free(struct probe *p); /* accepts NULL */

#endif
