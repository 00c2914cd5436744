/*
 * host_users: the users a target wants, and the /etc of a host in a private
 * network: its name server, names, users and trusted certificates.
 *
 * A user that the system does not have exists for this host alone, with a
 * number of its own that no other user has.
 */
#ifndef HARNESS_WORLD_HOST_USERS_H
#define HARNESS_WORLD_HOST_USERS_H

#include "harness/scenario/target.h"
#include "harness/world/host.h"

#include <sys/types.h>

/* "postfix" or "postfix:postdrop".  False when neither the system nor the target knows one of them. */
bool host_users_find(const struct target *t, const char *owner, uid_t *ret_uid, gid_t *ret_gid);
/* Writes setup->dir/etc-layer, which is laid over /etc. */
int host_users_write_etc(const struct host_setup *s, const struct target *t, struct err *reterr);

#endif
