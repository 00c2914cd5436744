#include "harness/world/launch.h"

#include "harness/world/launch_child.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- what is in it ---- */

bool launch_is_supervised(const struct launch *l)
{
	return l->network_fd >= 0 || l->step_count > 0 || l->server_count != 1;
}

static char *copy_of(const char *s)
{
	char *copy = strdup(s);

	if (copy == NULL)
		abort();
	return copy;
}

void launch_add_mount(struct launch *l, enum launch_mount_kind kind, const char *from, const char *at)
{
	assert(l->mount_count < LAUNCH_MOUNTS_MAX);
	l->mounts[l->mount_count++] =
		(struct launch_mount){ .kind = kind, .from = copy_of(from), .at = copy_of(at) };
}

static void free_args(char **args)
{
	for (char **a = args; a != NULL && *a != NULL; a++)
		free(*a);
	free(args);
}

void launch_reset(struct launch *l)
{
	free(l->host_name);
	free(l->dir);
	for (size_t i = 0; i < l->mount_count; i++) {
		free(l->mounts[i].from);
		free(l->mounts[i].at);
	}
	for (size_t i = 0; i < l->step_count; i++)
		free_args(l->steps[i]);
	for (size_t i = 0; i < l->server_count; i++)
		free_args(l->servers[i].args);
	*l = (struct launch){ .network_fd = -1 };
}

/* ---- processes ---- */

static void forget_signals(void)
{
	/* The loop's handlers would write into the loop's own pipe, which the child still shares. */
	static const int HANDLED[] = { SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGCHLD };
	sigset_t none;

	for (size_t i = 0; i < sizeof(HANDLED) / sizeof(HANDLED[0]); i++)
		(void)signal(HANDLED[i], SIG_DFL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static void take_streams(int out, int err)
{
	int null = open("/dev/null", O_RDONLY);

	if (null < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0)
		_exit(126);
}

static _Noreturn void be_child(const struct launch *l, int out, int err, pid_t parent)
{
	/* Dies with us, however we end; when we ended already, the signal would not come.  Seen from a PID
	 * namespace of its own, a parent outside has the number 0. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != (l->network_fd >= 0 ? 0 : parent))
		_exit(126);
	(void)setpgid(0, 0); /* A Ctrl-C at the terminal is for the harness, which then stops its servers. */
	forget_signals();
	take_streams(out, err);
	if (l->network_fd >= 0 && setns(l->network_fd, CLONE_NEWNET) != 0)
		launch_child_fail("setns");
	(void)syscall(SYS_close_range, 3U, ~0U, 0U);
	if (launch_is_supervised(l))
		launch_child_supervise(l);
	launch_child_exec(l->servers[0].args);
}

/* fork, but into namespaces: their first process is the child. */
static pid_t fork_into(bool apart)
{
	if (!apart)
		return fork();
	unsigned long flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | SIGCHLD;
	return (pid_t)syscall(SYS_clone, flags, NULL, NULL, NULL, 0UL);
}

pid_t launch_spawn(const struct launch *l, int out, int err, struct err *reterr)
{
	sigset_t all, before;
	pid_t parent = getpid();

	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, &before);
	pid_t pid = fork_into(l->network_fd >= 0);
	if (pid == 0)
		be_child(l, out, err, parent);
	int failure = errno;
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	if (pid < 0)
		return err_errno(reterr, failure, "fork");
	(void)setpgid(pid, pid); /* here too, for whichever of us comes first */
	return pid;
}

pid_t launch_command(const struct launch *l, pid_t server, char *const *args, int out, struct err *reterr)
{
	int server_fd = -1;
	pid_t parent = getpid();

	if (l->network_fd >= 0) {
		server_fd = (int)syscall(SYS_pidfd_open, server, 0U);
		if (server_fd < 0)
			return err_errno(reterr, errno, "pidfd_open");
	}
	pid_t pid = fork();
	if (pid == 0) {
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
			_exit(126);
		(void)setpgid(0, 0); /* what it starts ends with it */
		forget_signals();
		int null = open("/dev/null", O_WRONLY);
		take_streams(out >= 0 ? out : null, null);
		if (server_fd >= 0 &&
		    setns(server_fd, CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC) != 0)
			_exit(126);
		(void)syscall(SYS_close_range, 3U, ~0U, 0U);
		launch_child_exec(args);
	}
	int failure = errno;
	if (server_fd >= 0)
		(void)close(server_fd);
	if (pid < 0)
		return err_errno(reterr, failure, "fork");
	(void)setpgid(pid, pid);
	return pid;
}
