#include "harness/load/schedule.h"

#include "base/random.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

/*
 * -ln(1 - u) for u in [0, 1), by arithmetic that is the same everywhere: the
 * C library's log may differ in its last bit from machine to machine, and a
 * schedule must not.  1 - u = m * 2^-e with m in [0.5, 1); ln m by the series
 * of atanh.
 */
static double exponential(double u)
{
	int e;
	double m = frexp(1 - u, &e);
	double z = (m - 1) / (m + 1); /* in (-1/3, 0] */
	double zz = z * z;
	double sum = 0;
	for (int k = 41; k >= 1; k -= 2)
		sum = sum * zz + 1.0 / k;
	return -(2 * z * sum + e * 0.6931471805599453);
}

static int check(const struct schedule_options *o, struct err *reterr)
{
	bool spaced = o->kind != SCHEDULE_AT_ONCE;
	if (spaced && !(o->rate_per_s > 0 && isfinite(o->rate_per_s)))
		return err_set(reterr, -EINVAL, "schedule: the rate must be above 0");
	if (o->count == 0 && (o->duration_ns <= 0 || !spaced))
		return err_set(reterr, -EINVAL, "schedule: neither a count nor a duration ends it");
	if (o->duration_ns < 0)
		return err_set(reterr, -EINVAL, "schedule: negative duration");
	return 0;
}

/* How many to make room for at first. */
static uint32_t room_for(const struct schedule_options *o)
{
	if (o->count > 0)
		return o->count;
	double expected = o->rate_per_s * (double)o->duration_ns / 1e9 * 1.1 + 100;
	return expected < SCHEDULE_COUNT_MAX ? (uint32_t)expected : SCHEDULE_COUNT_MAX;
}

/* The n-th offset; the sum of gaps is *at_s for Poisson. */
static double offset_s(const struct schedule_options *o, uint32_t n, struct rng *r, double *at_s)
{
	switch (o->kind) {
	case SCHEDULE_CONSTANT:
		return n / o->rate_per_s;
	case SCHEDULE_POISSON:
		*at_s += exponential(rng_unit(r)) / o->rate_per_s;
		return *at_s;
	case SCHEDULE_AT_ONCE:
		return 0;
	}
	return 0;
}

int schedule_make(const struct schedule_options *o, struct schedule *ret_schedule, struct err *reterr)
{
	int rc = check(o, reterr);
	if (rc < 0)
		return rc;
	uint32_t room = room_for(o), count = 0;
	int64_t *at_ns = malloc((room > 0 ? room : 1) * sizeof(at_ns[0]));
	struct rng r = rng_seed(o->seed);
	double at_s = 0;
	while (at_ns != NULL && (o->count == 0 || count < o->count)) {
		double next_s = offset_s(o, count, &r, &at_s);
		if (next_s > 1e9 || count == SCHEDULE_COUNT_MAX) {
			free(at_ns);
			return err_set(reterr, -ERANGE, "schedule: longer than can be kept");
		}
		int64_t next_ns = (int64_t)(next_s * 1e9);
		if (o->duration_ns > 0 && next_ns >= o->duration_ns)
			break;
		if (count == room) {
			room = room < SCHEDULE_COUNT_MAX / 2 ? room * 2 : SCHEDULE_COUNT_MAX;
			at_ns = reallocarray(at_ns, room, sizeof(at_ns[0]));
			if (at_ns == NULL)
				break;
		}
		at_ns[count++] = next_ns;
	}
	if (at_ns == NULL)
		abort();
	*ret_schedule = (struct schedule){ .at_ns = at_ns, .count = count };
	return 0;
}

void schedule_free(struct schedule *s)
{
	free(s->at_ns);
	*s = (struct schedule){ 0 };
}
