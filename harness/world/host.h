/*
 * host: the life of one server process under test: configured, started,
 * awaited, stopped, killed, started again.
 *
 * All of it is asynchronous on the loop; a host is not freed inside its own
 * callback.  A process dies with the harness,
 * however that ends (parent-death signal), and host_free kills and reaps what
 * still runs.  Its output goes to stdout.log and stderr.log in its directory,
 * appended over restarts.  What is special about a kind of server is in its
 * target (harness/scenario/target.h).
 *
 *     IDLE --start--> STARTING --ready--> READY --stop--> STOPPING --exit--> IDLE
 *                         |                  |-- kill ------^
 *                         '-- exit: on_event HOST_FAILED -> IDLE
 */
#ifndef HARNESS_WORLD_HOST_H
#define HARNESS_WORLD_HOST_H

#include "base/conn.h"
#include "base/err.h"
#include "base/loop.h"
#include "harness/scenario/flow.h"
#include "harness/scenario/target.h"

#include <limits.h>
#include <sys/types.h>

struct host;

enum host_state { HOST_IDLE, HOST_STARTING, HOST_READY, HOST_STOPPING };

enum host_event {
	HOST_IS_READY,   /* it said that it serves */
	HOST_HAS_EXITED, /* after host_stop or host_kill */
	HOST_HAS_FAILED, /* never became ready within its time, or ended by itself; see host_error */
};
typedef void host_fn(void *ctx, struct host *h, enum host_event event);

enum {
	HOST_READY_MAX_MS = 60000,
	HOST_STOP_MAX_MS = 20000, /* then SIGKILL, and the exit counts as failed */
};

/* Everything a target needs to know to write a configuration. */
struct host_setup {
	const struct flow_host *flow;
	const struct target *target; /* flow->target, read */
	const char *dir;             /* absolute; configuration, data and logs of this host */
	struct addr services[FLOW_SERVICE_COUNT];
	struct addr address;    /* port 0: outgoing connections come from here */
	struct addr dns;        /* this host's name server */
	uint16_t outbound_port; /* stands for port 25 in this world */
	struct span anchor;     /* of the DNS, in a line of a zone file; empty: nothing is signed */
	struct addr smart_host; /* n == 0: none */
	const char *cert_path;
	const char *key_path;
	const char *ca_path;
	const char *const *passwords; /* one for each of flow->accounts */
	int network_fd;               /* namespace of its own in a private network, or -1: on loopback */
};

struct host_options {
	struct loop *loop;
	struct host_setup setup; /* the host copies the struct; what it points to outlives the host */
	const char *program;     /* for targets that name a program: its path; NULL: their default */
	host_fn *on_event;
	void *ctx;
};

struct host *host_new(const struct host_options *o, struct err *reterr);
void host_free(struct host *h); /* accepts NULL; SIGKILL and reap when it runs */

/* Only in HOST_IDLE.  An error here means that the process could not be made; then no event follows. */
int host_start(struct host *h, struct err *reterr);
/* Only when it runs; the end comes as HOST_HAS_EXITED. */
void host_stop(struct host *h);
void host_kill(struct host *h);

enum host_state host_state(const struct host *h);
pid_t host_pid(const struct host *h); /* 0 when it does not run */
const char *host_name(const struct host *h);
const struct flow_host *host_flow(const struct host *h);
const struct host_setup *host_setup(const struct host *h);
const struct err *host_error(
	const struct host *h); /* after HOST_HAS_FAILED: with the end of its stderr.log */
/* Exit status as from waitpid, of the last process that ended. */
int host_wait_status(const struct host *h);
const struct target *host_target(const struct host *h);
/* Runs a command of the target beside its servers, only while these run; out: its standard output, or -1.  The
 * caller waits for the process. */
pid_t host_command(const struct host *h, const struct target_command *command, int out, struct err *reterr);
/* CPU time of the running processes so far, user and system; 0 when none runs. */
int64_t host_cpu_ms(const struct host *h);

#endif
