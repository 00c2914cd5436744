/*
 * launch: starts the processes of a host, once everything they need is
 * written down.
 *
 * Plain, a launch with one server and nothing to prepare becomes that server.
 * Otherwise a small process stands above the others: it carries out the
 * preparing steps one after the other, starts the servers, ends them when it
 * gets SIGTERM, and ends when they have, with status 0 when all was in order;
 * what was not is on the standard error.  A server that ends by itself ends
 * it too.  It dies with the harness, and the others die with it.
 *
 * In a private network it is the first process of a PID namespace, so that
 * nothing it started survives it, with mounts and a host name of its own.
 */
#ifndef HARNESS_WORLD_LAUNCH_H
#define HARNESS_WORLD_LAUNCH_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum {
	LAUNCH_MOUNTS_MAX = 48,
	LAUNCH_STEPS_MAX = 16,
};

struct launch_mount {
	enum launch_mount_kind { LAUNCH_BIND, LAUNCH_OVERLAY, LAUNCH_TMPFS, LAUNCH_PROC } kind;
	char *from; /* BIND: a path; OVERLAY: its layers, highest first, separated and escaped for mount(2) */
	char *at;   /* directories that are missing there are made */
};

struct launch_server {
	char **args; /* NULL-terminated */
	int stop_signal;
	bool ends_by_signal;
};

/* Owns its strings. */
struct launch {
	int network_fd; /* -1: that of the harness, and no namespaces at all */
	char *host_name;
	char *dir; /* working directory; "": that of the harness */
	struct launch_mount mounts[LAUNCH_MOUNTS_MAX];
	size_t mount_count;
	char **steps[LAUNCH_STEPS_MAX];
	size_t step_count;
	struct launch_server servers[LAUNCH_STEPS_MAX];
	size_t server_count;
};

/* Standard output and error of everything go to out and err.  The process's id, or negative errno. */
pid_t launch_spawn(const struct launch *l, int out, int err, struct err *reterr);
/* Whether one process stands above the servers; else the server itself was started. */
bool launch_is_supervised(const struct launch *l);

void launch_add_mount(struct launch *l, enum launch_mount_kind kind, const char *from, const char *at);
void launch_reset(struct launch *l); /* frees what is in it */

/* A command beside the servers of a running launch, in its namespaces; pid is what launch_spawn returned. */
pid_t launch_command(const struct launch *l, pid_t pid, char *const *args, int out, struct err *reterr);

#endif
