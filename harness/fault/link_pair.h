/*
 * link_pair: one connection through a link: the client's side, the server's
 * side and the bytes on their way between them.  harness/fault/link.c is its
 * only user.
 *
 * A pair belongs to its link's list and ends itself; link_pair_reset ends it
 * from outside.  Either way the observer hears closed exactly once.
 */
#ifndef HARNESS_FAULT_LINK_PAIR_H
#define HARNESS_FAULT_LINK_PAIR_H

#include "base/buf.h"
#include "harness/fault/link.h"
#include "harness/wire/smtp_tap.h"

#include <sys/queue.h>

/* Bytes that wait for their time. */
struct link_run {
	STAILQ_ENTRY(link_run) entry;
	int64_t due_ns;
	struct buf bytes;
};

/* One direction. */
struct link_direction {
	struct link_pair *pair;
	enum link_side from;
	struct conn *source; /* NULL: not yet, or no longer */
	struct conn *sink;
	STAILQ_HEAD(, link_run) runs;
	struct timer *timer;   /* first run is due */
	uint64_t read_bytes;   /* shown to the tap */
	uint64_t passed_bytes; /* handed on or queued */
	bool ended;            /* source said EOF */
	bool ended_on;         /* EOF handed on */
};

struct link_pair {
	LIST_ENTRY(link_pair) entry;
	struct link *link;
	uint64_t number;
	struct conn *client;
	struct conn *server;      /* NULL while held before it was connected on */
	struct link_direction up; /* client to server */
	struct link_direction down;
	struct smtp_tap tap;
	uint64_t cut_at;      /* up: pass no byte from here on, then reset; UINT64_MAX: none */
	uint64_t replies_end; /* down: end of the last reply before the one that strikes */
	bool struck;          /* the moment has come: reset as soon as what must go on has gone */
	bool held;
	bool touched; /* by the link's mode: held or delayed */
};

void link_pair_new(struct link *l, int fd);
void link_pair_reset(struct link_pair *p);
/* BLACKHOLE begins and ends. */
void link_pair_hold(struct link_pair *p);
void link_pair_release(struct link_pair *p);

/* ---- what a pair needs of its link ---- */
void link_add_pair(struct link *l, struct link_pair *p);
void link_remove_pair(struct link *l, struct link_pair *p);
const struct link_options *link_options(const struct link *l);
int64_t link_delay_ms(const struct link *l); /* 0 unless in LINK_DELAY */
bool link_strikes_at(const struct link *l, enum flow_moment moment);
void link_count_strike(struct link *l);
uint64_t link_at_byte(const struct link *l);
void link_count_reset(struct link *l);
void link_count_touch(struct link *l);

#endif
