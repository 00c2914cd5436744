/*
 * links: one link proxy for every ordered pair of hosts in a world.
 */
#ifndef HARNESS_FAULT_LINKS_H
#define HARNESS_FAULT_LINKS_H

#include "harness/fault/link.h"
#include "harness/world/world.h"

struct links;

/* observer may be NULL.  The world outlives the links. */
struct links *links_new(struct loop *l, const struct world *w, const struct link_observer *observer,
			struct err *reterr);
void links_free(struct links *ls); /* accepts NULL */

/* from ≠ to.  NULL when no server runs on to: then nothing listens there. */
struct link *links_get(const struct links *ls, uint32_t from, uint32_t to);

/* The server of host to went down or came back: link_set_down on every link to it. */
int links_set_down(struct links *ls, uint32_t to, bool down, struct err *reterr);

#endif
