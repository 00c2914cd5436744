/*
 * listener: one listening stream socket on the loop, TCP or Unix.
 */
#ifndef BASE_LISTENER_H
#define BASE_LISTENER_H

#include "base/addr.h"
#include "base/err.h"
#include "base/loop.h"

struct listener;

/* The callback takes fd.  peer is empty (n == 0) for a Unix socket. */
typedef void accept_fn(void *ctx, int fd, const struct addr *peer);

/* Port 0 picks a free one; listener_addr tells which.  NULL and *reterr on failure. */
struct listener *listener_new(struct loop *l, const struct addr *at, accept_fn *fn, void *ctx,
			      struct err *reterr);

/* Takes fd, which listens already and does not block. */
struct listener *listener_take(struct loop *l, int fd, accept_fn *fn, void *ctx);

/* A Unix socket at path, mode 0600; replaces a dead one that is there already, and is removed by
 * listener_free. */
struct listener *listener_new_unix(struct loop *l, const char *path, accept_fn *fn, void *ctx,
				   struct err *reterr);

const struct addr *listener_addr(const struct listener *li);
void listener_pause(struct listener *li); /* stop accepting; the kernel's backlog waits */
void listener_resume(struct listener *li);
void listener_free(struct listener *li); /* accepts NULL */

#endif
