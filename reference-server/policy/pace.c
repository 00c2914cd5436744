#include "reference-server/policy/pace.h"

#include <assert.h>

enum { SECOND_US = 1000000, MS_US = 1000, COUNT_MAX = 1000000 };

int64_t pace_take(struct pace *p, uint32_t rate_per_s, uint64_t count, int64_t now_us)
{
	if (rate_per_s == 0)
		return 0;
	assert(count <= COUNT_MAX); /* in one go; so that nothing overflows */
	if (p->paid_us < now_us)
		p->paid_us = now_us;
	p->paid_us += (int64_t)count * SECOND_US / rate_per_s;
	int64_t ahead_us = p->paid_us - now_us - SECOND_US;
	return ahead_us > 0 ? (ahead_us + MS_US - 1) / MS_US : 0;
}
