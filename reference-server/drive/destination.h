/*
 * destination: one domain (or route) that mail goes to: the line of
 * deliveries waiting for a connection, the connections, and whether it can be
 * reached at all.
 *
 *	state     new deliveries      left by
 *	UP        go into the line    no connection possible -> DOWN
 *	DOWN      are held            its time has come -> PROBING
 *	PROBING   the first goes      a connection answers -> UP; none does -> DOWN, for longer
 *	          into the line,
 *	          others are held
 *
 * Held messages are named by id only and wait here (destination_hold) until
 * the relay takes them back: all of them once it is UP, one to probe with, or
 * those whose time has run out (RFC 5321 4.5.4.1).
 */
#ifndef SERVER_DRIVE_DESTINATION_H
#define SERVER_DRIVE_DESTINATION_H

#include "reference-server/drive/message.h"
#include "reference-server/drive/server.h"

struct destination;
struct destinations;

struct destinations_owner {
	void *ctx;
	/* A delivery has ended, its results are filled; or it was not tried, and results are NULL. */
	void (*on_ended)(void *ctx, struct handover *d, bool held);
	/* There is something for destination_take_waiting. */
	void (*on_wanted)(void *ctx, struct destination *d);
};

struct destinations *destinations_new(struct server *server, const struct destinations_owner *owner);
/* Cuts all connections, calls nobody.  Deliveries still in lines are freed. */
void destinations_free(struct destinations *all);

/*
 * Made on first use; name in lower case.  Lives at least until it is idle again.
 * Mail whose senders want something of TLS has destinations of its own: it passes
 * over hosts that will do for others, and fails without them, or goes where others
 * must not (RFC 8689 4.2).
 */
struct destination *destinations_find(struct destinations *all, struct span domain, enum tls_wish wish);
const char *destination_name(const struct destination *d);

/* The outcome comes through on_ended, possibly from inside. */
void destination_submit(struct destination *d, struct handover *delivery);

/* A message waits for this destination.  At wake_wall_ms it comes back, even while that is down. */
void destination_hold(struct destination *d, uint64_t id, int64_t wake_wall_ms);
/* A waiting message to be activated now, or 0. */
uint64_t destination_take_waiting(struct destination *d);
/* What was last wrong with it; NULL when nothing is. */
const struct smtp_result *destination_trouble(const struct destination *d);

/* For those who look on. */
struct destination_view {
	const char *state; /* "up", "down", "probing" */
	uint32_t connection_count;
	uint32_t failure_count;            /* in a row */
	int64_t retry_wall_ms;             /* down: until then; 0 otherwise */
	const struct smtp_result *trouble; /* NULL when nothing is wrong; as destination_trouble */
};
/* False when nothing is known about it. */
bool destinations_look(const struct destinations *all, struct span domain, enum tls_wish wish,
		       struct destination_view *ret_view);

/* Forget that it was down. */
void destination_retry_now(struct destination *d);
void destinations_retry_all(struct destinations *all);
uint32_t destinations_waiting_count(const struct destinations *all);

/* No new deliveries; connections end as they finish. */
void destinations_stop(struct destinations *all);
uint32_t destinations_connection_count(const struct destinations *all);

#endif
