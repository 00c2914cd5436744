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

/* from ≠ to. */
struct link *links_get(const struct links *ls, uint32_t from, uint32_t to);

#endif
