#include "reference-server/policy/retry.h"

#include "reference-server/core/mutant.h"

#include <assert.h>
#include <stddef.h>

static const int64_t MINUTE_MS = 60 * 1000;
static const int64_t HOUR_MS = 60 * 60 * 1000;

/* So that no product or sum below can overflow: about 30 years. */
static const int64_t SETTING_MS_MAX = INT64_C(1) << 40;

struct retry_settings retry_defaults(void)
{
	return (struct retry_settings){
		.first_ms = 30 * MINUTE_MS,
		.factor_percent = 200,
		.max_ms = 8 * HOUR_MS,
		.jitter_percent = 20,
		.expiry_ms = 5 * 24 * HOUR_MS,
	};
}

const char *retry_settings_error(const struct retry_settings *s)
{
	if (s->first_ms <= 0)
		return "the first retry delay must be more than nothing";
	if (s->factor_percent < 100 || s->factor_percent > 10000)
		return "the backoff factor must be from 1 to 100";
	if (s->max_ms < s->first_ms)
		return "the longest retry delay must not be shorter than the first";
	if (s->jitter_percent > 100)
		return "the jitter must be at most 100 percent";
	if (s->expiry_ms <= 0)
		return "the expiry must be more than nothing";
	if (s->max_ms > SETTING_MS_MAX || s->expiry_ms > SETTING_MS_MAX)
		return "a delay is longer than thirty years";
	return NULL;
}

int64_t retry_delay_ms(const struct retry_settings *s, uint32_t failed_count, uint32_t random)
{
	int64_t delay_ms = MUTANT(RELAY_RETRIES_AT_ONCE) ? 1 : s->first_ms;

	if (MUTANT(RELAY_RETRIES_AT_ONCE))
		return delay_ms;
	assert(retry_settings_error(s) == NULL);
	assert(failed_count > 0);
	for (uint32_t n = 1; n < failed_count && delay_ms < s->max_ms && s->factor_percent > 100; n++) {
		int64_t longer_ms = delay_ms * s->factor_percent / 100;
		delay_ms = longer_ms > delay_ms ? longer_ms : delay_ms + 1;
	}
	if (delay_ms > s->max_ms)
		delay_ms = s->max_ms;
	int64_t jitter_ms_max = delay_ms * s->jitter_percent / 100;
	/* 16 bits are fine enough, and keep the product small. */
	return delay_ms + jitter_ms_max * (int64_t)(random >> 16) / UINT16_MAX;
}

enum retry_decision retry_decide(const struct retry_settings *s, int64_t arrival_ms, int64_t now_ms,
				 uint32_t failed_count, uint32_t random, int64_t *ret_due_ms)
{
	int64_t expires_ms = arrival_ms + s->expiry_ms;

	if (now_ms >= expires_ms && !MUTANT(RELAY_NEVER_EXPIRES))
		return RETRY_EXPIRED;
	int64_t due_ms = now_ms + retry_delay_ms(s, failed_count, random);
	*ret_due_ms = due_ms < expires_ms || MUTANT(RELAY_NEVER_EXPIRES) ? due_ms : expires_ms;
	return RETRY_LATER;
}
