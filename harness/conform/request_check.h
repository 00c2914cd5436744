/*
 * request_check: whether what a policy host was asked is as a step `asked` has
 * it: its method and path, its fields, and the name asked for in the handshake.
 */
#ifndef HARNESS_CONFORM_REQUEST_CHECK_H
#define HARNESS_CONFORM_REQUEST_CHECK_H

#include "harness/conform/policy_host.h"
#include "harness/conform/values.h"
#include "harness/scenario/case.h"

/* Checks of other things than one request, a count, pass.  False: *why has the reason appended. */
bool request_passes(const struct policy_request *q, const struct case_step *s, const struct values *v,
		    struct buf *why);

#endif
