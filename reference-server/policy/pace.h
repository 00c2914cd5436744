/*
 * pace: how fast one client may go on: a token bucket that may run into debt.
 *
 * A client has one second's worth of commands in hand; what it takes beyond
 * that it waits for, so that over any time it gets no more than
 * rate * (seconds + 1), and what was taken at once.  Nothing is refused.
 *
 * Pure: the time is an argument; any clock that does not go back.
 */
#ifndef SERVER_POLICY_PACE_H
#define SERVER_POLICY_PACE_H

#include <stdint.h>

/* Zeroed: nothing was taken yet. */
struct pace {
	int64_t paid_us; /* when everything taken so far will have been paid for */
};

/* Takes `count` at now.  How long to wait before taking more, in ms; 0: not at all.  rate_per_s 0: no limit. */
int64_t pace_take(struct pace *p, uint32_t rate_per_s, uint64_t count, int64_t now_us);

#endif
