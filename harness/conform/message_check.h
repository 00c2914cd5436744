/*
 * message_check: holds messages from a mailbox against what a case expects of
 * them.
 */
#ifndef HARNESS_CONFORM_MESSAGE_CHECK_H
#define HARNESS_CONFORM_MESSAGE_CHECK_H

#include "base/buf.h"
#include "base/span.h"
#include "harness/conform/values.h"
#include "harness/scenario/case.h"

/* A message that was put there to mark an end is recognised by this field and the fence's token. */
#define MESSAGE_FENCE_FIELD "X-Postrider-Fence"
bool message_is_fence(struct span message);

/* All checks but `count`; on false *ret_why has a sentence for a person. */
bool message_passes(struct span message, const struct case_step *s, const struct values *v,
		    struct buf *ret_why);
/* The `count` checks; *ret_any tells whether there is one. */
bool message_count_passes(uint32_t count, const struct case_step *s, bool *ret_any, struct buf *ret_why);
/* Whether it says, as RFC 3464 has it, that a recipient failed. */
bool message_is_bounce(struct span message, struct buf *ret_why);
/* Whether it is a notification as RFC 3464 has it, whatever it says. */
bool message_is_notification(struct span message, struct buf *ret_why);

#endif
