/*
 * counters: what has happened since the process began, for metrics.h.
 *
 * Each is raised at the one place where the thing happens, on the loop's
 * thread, and never goes down.
 */
#ifndef SERVER_DRIVE_COUNTERS_H
#define SERVER_DRIVE_COUNTERS_H

#include "reference-server/config.h"

#include <stdint.h>

struct counters {
	uint64_t connections[SERVICE_COUNT];     /* that came in */
	uint64_t connections_refused;            /* there were too many */
	uint64_t connections_refused_address;    /* too many from one address */
	uint64_t early_talkers, pipelined_early; /* see enum breach */
	uint64_t sessions_ended_for_memory;
	uint64_t tls_in, tls_out; /* handshakes that succeeded */
	uint64_t auth_ok, auth_failed;
	uint64_t messages_accepted; /* durable, so 250 */
	uint64_t accepted_bytes;
	uint64_t recipients_refused;
	uint64_t content_refused;
	uint64_t not_stored; /* 452 */
	/* Recipients. */
	uint64_t delivered, deferred, failed, expired;
	uint64_t bounced; /* notifications made */
};

#endif
