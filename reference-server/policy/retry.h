/*
 * retry: when a deferred message is tried again, and when it is given up
 * (RFC 5321 4.5.4.1).
 *
 * Exponential backoff: the delay after the n-th failed attempt is first *
 * factor^(n-1), at most max, then changed by jitter so that an outage does not end in a
 * storm.  Pure: the random number is an argument.
 */
#ifndef SERVER_POLICY_RETRY_H
#define SERVER_POLICY_RETRY_H

#include <stdbool.h>
#include <stdint.h>

struct retry_settings {
	int64_t first_ms;        /* > 0 */
	uint32_t factor_percent; /* 200 doubles; >= 100 */
	int64_t max_ms;          /* >= first_ms */
	uint32_t jitter_percent; /* the delay grows by 0 to this much; <= 100 */
	int64_t expiry_ms;       /* from arrival; > 0 */
};

/* A start for tests; what a server uses comes from its configuration.  Within RFC 5321 4.5.4.1. */
struct retry_settings retry_defaults(void);

/* NULL when the settings make sense, else what is wrong with them, static. */
const char *retry_settings_error(const struct retry_settings *s);

/* failed_count >= 1.  random: any 32 uniformly random bits.  The first delay is never below first_ms. */
int64_t retry_delay_ms(const struct retry_settings *s, uint32_t failed_count, uint32_t random);

enum retry_decision { RETRY_LATER, RETRY_EXPIRED };

/*
 * After a temporary failure at now.  *ret_due_ms is written for LATER only: never past the
 * expiry, at which one last attempt is made.  Expired when now has reached it.
 */
enum retry_decision retry_decide(const struct retry_settings *s, int64_t arrival_ms, int64_t now_ms,
				 uint32_t failed_count, uint32_t random, int64_t *ret_due_ms);

#endif
