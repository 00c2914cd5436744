/*
 * flow_target: which kind of server runs on which host of a flow, and whether
 * that kind can do what the flow asks of it.
 */
#ifndef HARNESS_SCENARIO_FLOW_TARGET_H
#define HARNESS_SCENARIO_FLOW_TARGET_H

#include "base/buf.h"
#include "harness/scenario/flow.h"

/*
 * choices: "HOST=NAME", or "NAME" for every host that runs a server,
 * NULL-terminated, may be NULL; they outlive the flow.  Then every host's
 * target is read and held against what the flow wants from it: services,
 * accounts, settings.  False, with messages, after a mistake.
 */
bool flow_set_targets(struct flow *f, const char *const *choices, struct buf *ret_messages);

/* Whether one of its accounts has this password. */
bool flow_has_password(const struct flow *f, struct span password);

/*
 * Hosts whose target is a server elsewhere: only with leave, only recipients
 * whose domains the target lists, not faster than it says, and nothing that
 * would disturb it (faults).  False, with messages, otherwise.
 */
bool flow_check_remote(const struct flow *f, bool allowed, struct buf *ret_messages);

/* Whether all servers can be started on this machine; else one line for each that cannot: packages, root. */
bool flow_can_start(const struct flow *f, struct buf *ret_messages);

#endif
