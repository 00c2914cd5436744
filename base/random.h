/*
 * random: two kinds.  random_bytes is unpredictable, for ids and salts.
 * struct rng is a seeded sequence (same seed, same numbers, every machine),
 * for schedules, content and jitter that a run must be able to repeat.
 */
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

void random_bytes(void *ret_p, size_t n);
uint64_t random_u64(void);

struct rng {
	uint64_t s[4];
};
struct rng rng_seed(uint64_t seed);
uint64_t rng_u64(struct rng *r);
uint64_t rng_below(struct rng *r, uint64_t bound); /* 0 .. bound-1, without bias; bound > 0 */
double rng_unit(struct rng *r);                    /* [0, 1) */

#endif
