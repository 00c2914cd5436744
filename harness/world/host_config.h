/*
 * host_config: what a target asks for, made for one host: values of its
 * variables, directories and files, and the launch that starts it.
 *
 * In a private network a host sees its own directory as /mnt, the packages
 * put aside for it (target_tree) as /opt, with their usr/ and etc/ laid over
 * the system's, and a /run of its own.  Its /etc has the run's name server,
 * its certificate authority, and the users the target wants.  None of that is
 * seen by anybody else.
 */
#ifndef HARNESS_WORLD_HOST_CONFIG_H
#define HARNESS_WORLD_HOST_CONFIG_H

#include "harness/scenario/target.h"
#include "harness/scenario/vars.h"
#include "harness/world/host.h"
#include "harness/world/launch.h"

struct host_config {
	const struct host_setup *setup;
	const struct target *target;
	const char *program; /* for ${program} */
	struct vars *vars;
};

/* The caller frees the vars. */
struct vars *host_config_vars(const struct host_config *c);
/* Writes everything into setup->dir; before every start, and always the same. */
int host_config_write(const struct host_config *c, struct err *reterr);
void host_config_launch(const struct host_config *c, struct launch *ret_launch);
/* One command with its variables filled in; free_host_args when done. */
char **host_config_args(const struct host_config *c, const struct target_command *command);
void host_config_free_args(char **args);

#endif
