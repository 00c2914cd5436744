/*
 * link: a TCP proxy for one direction between two hosts, that shows what
 * passes and can break it.
 *
 * It listens on one address and connects each caller on to another.  It
 * understands nothing by itself except where a moment fault asks for it:
 * then each connection is read by the SMTP tap (harness/wire/smtp_tap.h).
 * TLS on a watched link makes tap and moments blind.
 *
 * Modes:
 *   PASS       bytes go both ways
 *   REFUSE     the listening socket is closed: callers get ECONNREFUSED;
 *              connections that are up are reset when the mode begins
 *   BLACKHOLE  callers connect (the kernel's handshake cannot be withheld
 *              unprivileged) and hear nothing, for ever; connections that are
 *              up stay up and go silent both ways; what was swallowed passes
 *              when the mode ends, callers who waited are then connected on
 *   RESET      connections that are up, and each new one, are reset (RST)
 *   DELAY      PASS, each run of bytes delay_ms later, order kept
 * A moment fault resets single connections in any passing mode:
 *   after-connect                at once, before any byte of the server
 *   in-content                   when so many content bytes went on to the server
 *   after-final-dot-before-250   when the server's 2xx to the content reaches the
 *                                link, so that it surely has the message; the
 *                                reply never reaches the client
 */
#ifndef HARNESS_FAULT_LINK_H
#define HARNESS_FAULT_LINK_H

#include "base/conn.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/span.h"
#include "harness/scenario/flow.h"

struct link;

enum link_mode { LINK_PASS, LINK_REFUSE, LINK_BLACKHOLE, LINK_RESET, LINK_DELAY };

enum link_side { LINK_CLIENT, LINK_SERVER }; /* who sent the bytes */

/*
 * What an observer may see.  All on the loop's thread, with CLOCK_MONOTONIC.
 * connection counts from 1 and is unique over all links of a process.
 * bytes are shown when they arrive at the link, before any delay.
 */
struct link_observer {
	void (*opened)(void *ctx, struct link *l, uint64_t connection, int64_t at_ns);
	void (*bytes)(void *ctx, struct link *l, uint64_t connection, enum link_side from, struct span bytes,
		      int64_t at_ns);
	/* reset: by the link or by a peer; else both sides ended in order. */
	void (*closed)(void *ctx, struct link *l, uint64_t connection, bool reset, int64_t at_ns);
	void *ctx;
};

struct link_options {
	struct loop *loop;
	struct addr listen_at;
	struct addr connect_to;
	struct addr bind_to;                  /* source of the onward connection; n == 0: any */
	const struct link_observer *observer; /* copied; NULL: none */
	uint32_t from;                        /* host indices, for observers */
	uint32_t to;
};

struct link *link_new(const struct link_options *o, struct err *reterr);
void link_free(struct link *l); /* accepts NULL; resets what is up */

/* Negative errno when the address cannot be listened on again after REFUSE. */
int link_set_mode(struct link *l, enum link_mode mode, int64_t delay_ms, struct err *reterr);
enum link_mode link_mode(const struct link *l);

/*
 * The server behind the link is down: as it would, the link stops listening, and callers get ECONNREFUSED.  Other
 * than under LINK_REFUSE, connections that are up live on.  Independent of the mode.
 */
int link_set_down(struct link *l, bool down, struct err *reterr);

/*
 * From now on, the next count connections that reach the moment are reset
 * there (0: all, until link_clear_moment).  at_byte counts content bytes, for FLOW_MOMENT_IN_CONTENT.
 */
void link_set_moment(struct link *l, enum flow_moment moment, uint64_t at_byte, uint32_t count);
void link_clear_moment(struct link *l);
uint32_t link_moment_count(const struct link *l); /* how often it has struck since it was set */

/* Resets every connection that is up; returns how many. */
uint32_t link_reset_all(struct link *l);
/* How many connections modes and link_reset_all have reset so far; moments are not counted. */
uint32_t link_reset_count(const struct link *l);
/* How many connections the mode has held or delayed since it began; each once. */
uint32_t link_touch_count(const struct link *l);
/* How many callers there were in all. */
uint32_t link_caller_count(const struct link *l);

uint32_t link_from(const struct link *l);
uint32_t link_to(const struct link *l);
uint32_t link_connection_count(const struct link *l); /* up now */

#endif
