/*
 * reach: may this address be contacted?  Only loopback (127.0.0.0/8, ::1, and
 * ::ffff:127.0.0.0/104) unless the user allowed remote hosts in so many words.
 * Whatever opens connections in load/ asks here first.
 */
#ifndef HARNESS_LOAD_REACH_H
#define HARNESS_LOAD_REACH_H

#include "base/addr.h"
#include "base/err.h"

/* 0, or -EPERM with a text that names the address and --allow-remote. */
int reach_check(const struct addr *to, bool allow_remote, struct err *reterr);

#endif
