/*
 * doubles: which messages next hops took more often than once for a recipient.
 *
 * A next hop that said 250 to the content is responsible for it (RFC 5321
 * 6.1); when the relay cannot know that it said so, because the reply or the
 * relay itself was lost, it has to send again (4.5.3.2.6, RFC 1047).  Such a
 * double cannot be avoided and is counted; any other is a fault of the relay.
 *
 * Messages are the same when their Message-IDs are, or all of them where there
 * is none.
 */
#ifndef HARNESS_CONFORM_DOUBLES_H
#define HARNESS_CONFORM_DOUBLES_H

#include "harness/conform/hop.h"

struct doubles {
	uint32_t allowed;
	/* The first that could have been avoided; NULL: there is none. */
	const struct hop *hop; /* which took it again */
	const struct hop_content *first, *again;
};

/*
 * hops may have NULL in it.  killed_ns: when the relay was killed, 0 never:
 * what it was told within a second before that, it may not have kept.
 */
struct doubles doubles_of(struct hop *const *hops, uint32_t count, int64_t killed_ns);

#endif
