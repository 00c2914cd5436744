#include "harness/world/launch_child.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	LEFTOVERS_MAX_MS = 2000, /* for what the servers started, once these have ended */
	PATH_BYTES_MAX = 4096,
};

/* One write, for several processes share the file. */
__attribute__((format(printf, 1, 2))) static void say(const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n > 0)
		(void)!write(2, text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
}

void launch_child_fail(const char *what)
{
	say("%s: %s\n", what, strerror(errno));
	_exit(126);
}

void launch_child_exec(char *const *args)
{
	(void)execvp(args[0], args);
	say("%s cannot be executed: %s\n", args[0], strerror(errno));
	_exit(127);
}

/* ---- mounts ---- */

static void make_dirs(const char *path)
{
	char part[PATH_BYTES_MAX];
	size_t n = strlen(path);

	for (size_t i = 1; i <= n && n < sizeof(part); i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		(void)mkdir(part, 0755);
	}
}

static void carry_out_mount(const struct launch_mount *m)
{
	struct stat st;
	char options[PATH_BYTES_MAX];
	int rc = -1;

	if (stat(m->at, &st) != 0)
		make_dirs(m->at);
	switch (m->kind) {
	case LAUNCH_BIND:
		rc = mount(m->from, m->at, NULL, MS_BIND, NULL);
		break;
	case LAUNCH_OVERLAY:
		(void)snprintf(options, sizeof(options), "lowerdir=%s", m->from);
		rc = mount("overlay", m->at, "overlay", MS_RDONLY, options);
		break;
	case LAUNCH_TMPFS:
		rc = mount("tmpfs", m->at, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755");
		break;
	case LAUNCH_PROC:
		rc = mount("proc", m->at, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
		break;
	}
	if (rc != 0) {
		say("mount on %s: %s\n", m->at, strerror(errno));
		_exit(126);
	}
}

static void set_up(const struct launch *l)
{
	if (l->network_fd >= 0) {
		if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
			launch_child_fail("mount");
		for (size_t i = 0; i < l->mount_count; i++)
			carry_out_mount(&l->mounts[i]);
		if (sethostname(l->host_name, strlen(l->host_name)) != 0)
			launch_child_fail("sethostname");
	} else if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) {
		launch_child_fail("prctl");
	}
	if (l->dir[0] != '\0' && chdir(l->dir) != 0)
		launch_child_fail(l->dir);
	(void)umask(022);
}

/* ---- processes ---- */

/* apart: at the head of a process group, which some servers signal as a whole when they end. */
static pid_t start(char *const *args, bool apart)
{
	pid_t pid = fork();

	if (pid < 0)
		launch_child_fail("fork");
	if (pid > 0)
		return pid;
	sigset_t none;
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (apart)
		(void)setpgid(0, 0);
	launch_child_exec(args);
}

static void print_command(char *const *args, char *text, size_t room)
{
	size_t n = 0;

	text[0] = '\0';
	for (; *args != NULL && n < room; args++)
		n += (size_t)snprintf(text + n, room - n, "%s%s", n > 0 ? " " : "", *args);
}

static void carry_out_step(char *const *args)
{
	int status = 0;
	char text[256];
	pid_t pid = start(args, false);

	while (waitpid(pid, &status, 0) != pid)
		if (errno != EINTR)
			launch_child_fail("waitpid");
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return;
	print_command(args, text, sizeof(text));
	say("a step to prepare failed with %s %d: %s\n", WIFEXITED(status) ? "status" : "signal",
	    WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status), text);
	_exit(1);
}

struct watched {
	const struct launch_server *server;
	pid_t pid; /* 0: it has ended */
};

/* 0 when it ended as it should. */
static int judge_end(const struct watched *w, int status, bool asked)
{
	if (asked && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (asked && WIFSIGNALED(status) && WTERMSIG(status) == w->server->stop_signal &&
	    w->server->ends_by_signal)
		return 0;
	say("%s ended with %s %d%s\n", w->server->args[0], WIFEXITED(status) ? "status" : "signal",
	    WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status),
	    asked ? " after it was asked to end" : " by itself");
	return 1;
}

/* What the servers left: told to end, then waited for, but not for long. */
static void await_leftovers(const sigset_t *awaited)
{
	struct timespec patience = { .tv_sec = LEFTOVERS_MAX_MS / 1000 };

	for (;;) {
		pid_t pid = waitpid(-1, NULL, WNOHANG);
		if (pid < 0 && errno == ECHILD)
			return;
		if (pid == 0 && sigtimedwait(awaited, NULL, &patience) < 0 && errno == EAGAIN)
			return;
	}
}

static void stop_all(const struct watched *watched, size_t count)
{
	for (size_t i = count; i-- > 0;)
		if (watched[i].pid > 0)
			(void)kill(watched[i].pid, watched[i].server->stop_signal);
}

/* Ends when the last server has. */
static int supervise(struct watched *watched, size_t count, const sigset_t *awaited)
{
	bool asked = false;
	int worst = 0;
	size_t left = count;

	while (left > 0) {
		int status = 0;
		pid_t pid = waitpid(-1, &status, WNOHANG);
		for (size_t i = 0; i < count && pid > 0; i++) {
			if (watched[i].pid != pid)
				continue;
			watched[i].pid = 0;
			left--;
			worst |= judge_end(&watched[i], status, asked);
			if (!asked)
				stop_all(watched, count);
			asked = true;
		}
		if (pid > 0)
			continue;
		int signo = sigwaitinfo(awaited, NULL);
		if (signo > 0 && signo != SIGCHLD) {
			asked = true;
			stop_all(watched, count);
		}
	}
	return worst;
}

void launch_child_supervise(const struct launch *l)
{
	struct watched watched[LAUNCH_STEPS_MAX] = { 0 };
	sigset_t awaited;

	(void)sigemptyset(&awaited);
	(void)sigaddset(&awaited, SIGTERM);
	(void)sigaddset(&awaited, SIGCHLD);
	/* Before the steps: told to end meanwhile, it starts the servers and ends them at once. */
	(void)sigprocmask(SIG_BLOCK, &awaited, NULL);
	set_up(l);
	for (size_t i = 0; i < l->step_count; i++)
		carry_out_step(l->steps[i]);
	for (size_t i = 0; i < l->server_count; i++)
		watched[i] =
			(struct watched){ &l->servers[i], start(l->servers[i].args, l->network_fd >= 0) };
	int status = supervise(watched, l->server_count, &awaited);
	await_leftovers(&awaited);
	_exit(status);
}
