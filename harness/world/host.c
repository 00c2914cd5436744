#include "harness/world/host.h"

#include "base/buf.h"
#include "base/file.h"
#include "harness/world/greeting.h"
#include "harness/world/host_config.h"
#include "harness/world/program.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	LINE_BYTES_MAX = 8192,
	STDERR_TAIL_BYTES = 300,
	CPU_LEVELS_MAX = 8,
};

struct host {
	struct loop *loop;
	struct host_setup setup;
	const struct target *target;
	char program[PATH_MAX];
	struct vars *vars;
	struct launch launch;
	host_fn *on_event;
	void *ctx;
	enum host_state state;
	struct err error;

	pid_t pid; /* 0: none runs */
	int pidfd;
	struct watch *exit_watch;
	int out; /* our end of its stdout */
	struct watch *out_watch;
	int out_log;
	struct buf line;
	struct greeting *greeting; /* STARTING, when ports say that it is ready */
	struct timer *timer;       /* STARTING: not ready in time; STOPPING: does not end */
	struct timer *flush_timer;
	pid_t flushing; /* 0: no such command is under way */
	bool was_ready;
	bool asked_to_end; /* by host_stop or host_kill */
	bool killed;       /* by us */
	bool overdue;      /* had to be killed after host_stop */
	int wait_status;
	char missing[200]; /* which port did not greet */
};

static void on_exit_watch(void *ctx, bool readable, bool writable);
static void on_output(void *ctx, bool readable, bool writable);
static void on_timer(void *ctx);
static void on_flush(void *ctx);

/* ---- making and ending ---- */

/* Where the target names no program it has commands of its own. */
static int find_program(struct host *h, const char *given, struct err *reterr)
{
	if (h->target->program != NULL)
		return program_find(h->target->program, given, h->program, sizeof(h->program), reterr);
	(void)span_copy(span_of(given != NULL ? given : ""), h->program, sizeof(h->program));
	return 0;
}

static struct host_config config_of(const struct host *h)
{
	return (struct host_config){
		.setup = &h->setup, .target = h->target, .program = h->program, .vars = h->vars
	};
}

struct host *host_new(const struct host_options *o, struct err *reterr)
{
	struct host *h;

	if (dir_make(o->setup.dir, 0700, reterr) != 0)
		return NULL;
	h = calloc(1, sizeof(*h));
	if (h == NULL)
		abort();
	*h = (struct host){ .loop = o->loop,
			    .setup = o->setup,
			    .target = o->setup.target,
			    .on_event = o->on_event,
			    .ctx = o->ctx,
			    .pidfd = -1,
			    .out = -1,
			    .out_log = -1 };
	if (find_program(h, o->program, reterr) != 0) {
		free(h);
		return NULL;
	}
	struct host_config c = config_of(h);
	h->vars = host_config_vars(&c);
	c.vars = h->vars;
	host_config_launch(&c, &h->launch);
	h->timer = timer_new(h->loop, on_timer, h);
	h->flush_timer = timer_new(h->loop, on_flush, h);
	return h;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

/* It ends with its servers, at the latest. */
static void end_flush(struct host *h)
{
	if (h->flushing == 0)
		return;
	(void)kill(-h->flushing, SIGKILL);
	while (waitpid(h->flushing, NULL, 0) < 0 && errno == EINTR)
		;
	h->flushing = 0;
}

static void release_process(struct host *h)
{
	end_flush(h);
	watch_free(h->exit_watch);
	watch_free(h->out_watch);
	h->exit_watch = h->out_watch = NULL;
	close_fd(&h->pidfd);
	close_fd(&h->out);
	close_fd(&h->out_log);
	timer_clear(h->timer);
	timer_clear(h->flush_timer);
	greeting_free(h->greeting);
	h->greeting = NULL;
	h->pid = 0;
}

/* The program may be a script whose server is a process of its own: what it started goes with it. */
static void signal_all(const struct host *h, int signo)
{
	if (kill(-h->pid, signo) != 0)
		(void)kill(h->pid, signo); /* not yet the head of its own group */
}

void host_free(struct host *h)
{
	if (h == NULL)
		return;
	if (h->pid > 0) {
		signal_all(h, SIGKILL);
		while (waitpid(h->pid, &h->wait_status, 0) < 0 && errno == EINTR)
			;
	}
	release_process(h);
	timer_free(h->timer);
	timer_free(h->flush_timer);
	buf_free(&h->line);
	launch_reset(&h->launch);
	vars_free(h->vars);
	free(h);
}

/* ---- starting ---- */

static int open_log(const struct host *h, const char *name, struct err *reterr)
{
	char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s/%s", h->setup.dir, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	return fd >= 0 ? fd : err_errno(reterr, errno, "%s", path);
}

static int spawn(struct host *h, int err_log, struct err *reterr)
{
	int pipe_fds[2];

	if (pipe2(pipe_fds, O_CLOEXEC) != 0)
		return err_errno(reterr, errno, "pipe");
	pid_t pid = launch_spawn(&h->launch, pipe_fds[1], err_log, reterr);
	(void)close(pipe_fds[1]);
	if (pid < 0) {
		(void)close(pipe_fds[0]);
		return pid;
	}
	h->pid = pid;
	h->out = pipe_fds[0];
	(void)fcntl(h->out, F_SETFL, O_NONBLOCK);
	return 0;
}

static int watch_process(struct host *h, struct err *reterr)
{
	h->pidfd = (int)syscall(SYS_pidfd_open, h->pid, 0U);
	if (h->pidfd < 0)
		return err_errno(reterr, errno, "pidfd_open");
	h->exit_watch = watch_new(h->loop, h->pidfd, on_exit_watch, h);
	watch_set(h->exit_watch, true, false);
	h->out_watch = watch_new(h->loop, h->out, on_output, h);
	watch_set(h->out_watch, true, false);
	return 0;
}

static void become_ready(struct host *h)
{
	h->state = HOST_READY;
	h->was_ready = true;
	timer_clear(h->timer);
	if (h->target->flush_every_ms > 0)
		timer_set_ms(h->flush_timer, h->target->flush_every_ms);
	h->on_event(h->ctx, h, HOST_IS_READY);
}

static void on_all_greet(void *ctx)
{
	struct host *h = ctx;

	greeting_free(h->greeting);
	h->greeting = NULL;
	if (h->state == HOST_STARTING)
		become_ready(h);
}

static void await_greetings(struct host *h)
{
	struct greeting_options o = { .loop = h->loop, .on_all = on_all_greet, .ctx = h };

	for (uint32_t i = 0; i < FLOW_SERVICE_COUNT; i++)
		if (h->target->ready_ports[i])
			o.ports[o.port_count++] =
				(struct greeting_port){ .at = h->setup.services[i],
							.implicit_tls =
								i == FLOW_SUBMISSIONS || i == FLOW_POP3S };
	if (o.port_count > 0)
		h->greeting = greeting_await(&o);
}

static void abandon_start(struct host *h)
{
	if (h->pid > 0) {
		(void)kill(h->pid, SIGKILL);
		(void)waitpid(h->pid, &h->wait_status, 0);
	}
	release_process(h);
}

int host_start(struct host *h, struct err *reterr)
{
	struct host_config c = config_of(h);
	int rc, err_log;

	assert(h->state == HOST_IDLE && h->pid == 0);
	rc = host_config_write(&c, reterr);
	if (rc != 0)
		return rc;
	err_log = open_log(h, "stderr.log", reterr);
	if (err_log < 0)
		return err_log;
	h->out_log = open_log(h, "stdout.log", reterr);
	rc = h->out_log < 0 ? h->out_log : 0;
	if (rc == 0)
		rc = spawn(h, err_log, reterr);
	(void)close(err_log);
	if (rc == 0)
		rc = watch_process(h, reterr);
	if (rc != 0) {
		abandon_start(h);
		return rc;
	}
	buf_reset(&h->line);
	h->was_ready = h->asked_to_end = h->killed = h->overdue = false;
	h->state = HOST_STARTING;
	timer_set_ms(h->timer, HOST_READY_MAX_MS);
	await_greetings(h);
	return 0;
}

/* ---- what it says ---- */

static void take_line(struct host *h, struct span line)
{
	if (h->state == HOST_STARTING && h->target->ready_line != NULL &&
	    span_eq(line, span_of(h->target->ready_line)))
		become_ready(h);
}

/* Leaves an unfinished line for later, but never more than a line may have. */
static void take_lines(struct host *h)
{
	for (;;) {
		struct span all = buf_span(&h->line), line;
		size_t n = span_find(all, '\n');
		if (n == all.n) {
			if (n > LINE_BYTES_MAX)
				buf_reset(&h->line);
			return;
		}
		line = span_sub(all, 0, n);
		char copy[256];
		bool fits = span_copy(line, copy, sizeof(copy));
		buf_consume(&h->line, n + 1);
		if (fits)
			take_line(h, span_of(copy));
	}
}

/* Everything that can be read now; true at its end. */
static bool read_output(struct host *h)
{
	char bytes[4096];

	for (;;) {
		ssize_t n = read(h->out, bytes, sizeof(bytes));
		if (n < 0)
			return errno != EAGAIN && errno != EINTR;
		if (n == 0)
			return true;
		(void)!write(h->out_log, bytes, (size_t)n);
		buf_add(&h->line, (struct span){ bytes, (size_t)n });
	}
}

static void on_output(void *ctx, bool readable, bool writable)
{
	struct host *h = ctx;
	(void)readable;
	(void)writable;

	if (read_output(h)) {
		watch_free(h->out_watch);
		h->out_watch = NULL;
	}
	take_lines(h);
}

/* ---- its end ---- */

/* The last lines it wrote to stderr say best what was wrong. */
static void add_stderr_tail(struct host *h, char *text, size_t room)
{
	char path[PATH_MAX], tail[STDERR_TAIL_BYTES + 1];

	(void)snprintf(path, sizeof(path), "%s/stderr.log", h->setup.dir);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	off_t end = lseek(fd, 0, SEEK_END);
	ssize_t n = pread(fd, tail, STDERR_TAIL_BYTES, end > STDERR_TAIL_BYTES ? end - STDERR_TAIL_BYTES : 0);
	(void)close(fd);
	if (n <= 0)
		return;
	tail[n] = '\0';
	(void)snprintf(text, room, "; its stderr.log ends: %s", tail);
}

static void fail(struct host *h, const char *what)
{
	char tail[STDERR_TAIL_BYTES + 128] = "";

	add_stderr_tail(h, tail, sizeof(tail));
	(void)err_set(&h->error, -ECHILD, "host %s: %s%s", h->setup.flow->name, what, tail);
	h->on_event(h->ctx, h, HOST_HAS_FAILED);
}

static int stop_signal(const struct host *h)
{
	return launch_is_supervised(&h->launch) ? SIGTERM : h->target->servers[0].stop_signal;
}

static void report_end(struct host *h, enum host_state state)
{
	char what[300];
	int status = h->wait_status;

	if (h->overdue) {
		fail(h, "did not end within 20 s of SIGTERM and was killed");
	} else if (h->killed && h->asked_to_end) {
		h->on_event(h->ctx, h, HOST_HAS_EXITED);
	} else if (h->killed) {
		(void)snprintf(what, sizeof(what), "was not ready within %d s%s%s", HOST_READY_MAX_MS / 1000,
			       h->missing[0] != '\0' ? ": " : "", h->missing);
		fail(h, what);
	} else if (h->asked_to_end && !h->was_ready && WIFSIGNALED(status) &&
		   WTERMSIG(status) == stop_signal(h)) {
		/* Asked before it had set up its handlers: nothing that it had promised yet. */
		h->on_event(h->ctx, h, HOST_HAS_EXITED);
	} else if (WIFSIGNALED(status)) {
		(void)snprintf(what, sizeof(what), "ended by signal %d (%s)", WTERMSIG(status),
			       strsignal(WTERMSIG(status)));
		fail(h, what);
	} else if (h->asked_to_end && WEXITSTATUS(status) == 0) {
		h->on_event(h->ctx, h, HOST_HAS_EXITED);
	} else {
		(void)snprintf(what, sizeof(what), "ended %swith status %d%s",
			       state == HOST_STARTING ? "before it was ready, " : "", WEXITSTATUS(status),
			       h->asked_to_end ? " after it was asked to end" : " by itself");
		fail(h, what);
	}
}

static void on_exit_watch(void *ctx, bool readable, bool writable)
{
	struct host *h = ctx;
	enum host_state state = h->state;
	(void)readable;
	(void)writable;

	siginfo_t ended = { 0 };
	if (waitid(P_PID, (id_t)h->pid, &ended, WEXITED | WNOHANG | WNOWAIT) != 0 || ended.si_pid != h->pid)
		return;
	signal_all(h, SIGKILL); /* what it left behind; until it is waited for, the number is still its own */
	if (waitpid(h->pid, &h->wait_status, 0) != h->pid)
		return;
	(void)read_output(h); /* what it said last belongs into the log */
	release_process(h);
	h->state = HOST_IDLE;
	report_end(h, state);
}

static void on_timer(void *ctx)
{
	struct host *h = ctx;

	h->overdue = h->state == HOST_STOPPING;
	h->killed = true;
	(void)snprintf(h->missing, sizeof(h->missing), "%s",
		       h->greeting != NULL ? greeting_missing(h->greeting) : "");
	signal_all(h, SIGKILL);
}

void host_stop(struct host *h)
{
	assert(h->state == HOST_STARTING || h->state == HOST_READY);
	h->state = HOST_STOPPING;
	h->asked_to_end = true;
	timer_set_ms(h->timer, HOST_STOP_MAX_MS);
	/* What stands above the servers passes it on; a lone server may be a script that started the real one. */
	if (launch_is_supervised(&h->launch))
		(void)kill(h->pid, SIGTERM);
	else
		signal_all(h, stop_signal(h));
}

void host_kill(struct host *h)
{
	assert(h->state != HOST_IDLE);
	h->state = HOST_STOPPING;
	h->asked_to_end = true;
	h->killed = true;
	timer_clear(h->timer);
	signal_all(h, SIGKILL);
}

/* ---- looking ---- */

enum host_state host_state(const struct host *h)
{
	return h->state;
}

pid_t host_pid(const struct host *h)
{
	return h->pid;
}

const char *host_name(const struct host *h)
{
	return h->setup.flow->name;
}

const struct flow_host *host_flow(const struct host *h)
{
	return h->setup.flow;
}

const struct host_setup *host_setup(const struct host *h)
{
	return &h->setup;
}

const struct err *host_error(const struct host *h)
{
	return &h->error;
}

int host_wait_status(const struct host *h)
{
	return h->wait_status;
}

const struct target *host_target(const struct host *h)
{
	return h->target;
}

/* ---- commands beside it ---- */

pid_t host_command(const struct host *h, const struct target_command *command, int out, struct err *reterr)
{
	struct host_config c = config_of(h);

	assert(h->pid > 0 && command->count > 0);
	char **args = host_config_args(&c, command);
	pid_t pid = launch_command(&h->launch, h->pid, args, out, reterr);
	host_config_free_args(args);
	return pid;
}

/* A target whose waits between attempts cannot be told: its queue is run for it. */
static void on_flush(void *ctx)
{
	struct host *h = ctx;
	struct err err;

	if (h->state != HOST_READY)
		return;
	if (h->flushing > 0 && waitpid(h->flushing, NULL, WNOHANG) != 0)
		h->flushing = 0;
	if (h->flushing == 0) {
		pid_t pid = host_command(h, &h->target->flush, -1, &err);
		h->flushing = pid > 0 ? pid : 0;
	}
	timer_set_ms(h->flush_timer, h->target->flush_every_ms);
}

/* ---- CPU time ---- */

/* utime, stime, cutime and cstime of a process: with those of children it has waited for. */
static uint64_t ticks_of(pid_t pid)
{
	char path[64];
	struct buf stat = { 0 };
	struct err err;
	unsigned long t[4] = { 0 };

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (file_read(path, 65536, &stat, &err) == 0) {
		/* The second field, the program's name in brackets, may hold blanks. */
		const char *after = strrchr(buf_cstr(&stat), ')');
		if (after != NULL)
			(void)sscanf(after + 1,
				     " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %lu %lu", &t[0],
				     &t[1], &t[2], &t[3]);
	}
	buf_free(&stat);
	return (uint64_t)t[0] + t[1] + t[2] + t[3];
}

/* The process and all below it; level bounds a tree that changes under our eyes. */
static uint64_t ticks_of_tree(pid_t pid, uint32_t level)
{
	char path[96];
	struct buf children = { 0 };
	struct err err;
	uint64_t sum = ticks_of(pid), child;
	struct span rest, word;

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
	if (level < CPU_LEVELS_MAX && file_read(path, 65536, &children, &err) == 0) {
		rest = buf_span(&children);
		while (span_take_until(&rest, ' ', &word))
			if (span_to_u64(word, &child) && child > 0 && child <= INT32_MAX)
				sum += ticks_of_tree((pid_t)child, level + 1);
	}
	buf_free(&children);
	return sum;
}

int64_t host_cpu_ms(const struct host *h)
{
	if (h->pid == 0)
		return 0;
	return (int64_t)ticks_of_tree(h->pid, 0) * 1000 / sysconf(_SC_CLK_TCK);
}
