#include "harness/world/host.h"

#include "base/buf.h"
#include "base/file.h"
#include "harness/world/target.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	LINE_BYTES_MAX = 8192,
	STDERR_TAIL_BYTES = 300,
};

struct host {
	struct loop *loop;
	struct host_setup setup;
	const struct target *target;
	char program[PATH_MAX];
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
	struct timer *timer; /* STARTING: not ready in time; STOPPING: does not end */
	bool was_ready;
	bool asked_to_end; /* by host_stop or host_kill */
	bool killed;       /* by us */
	bool overdue;      /* had to be killed after host_stop */
	int wait_status;
};

static void on_exit_watch(void *ctx, bool readable, bool writable);
static void on_output(void *ctx, bool readable, bool writable);
static void on_timer(void *ctx);

/* ---- making and ending ---- */

/* What was built together lies together; else PATH decides. */
static void find_program(struct host *h, const char *given)
{
	char beside[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", beside, sizeof(beside) - 1);
	char *slash;

	if (given != NULL) {
		(void)span_copy(span_of(given), h->program, sizeof(h->program));
		return;
	}
	(void)span_copy(span_of(h->target->default_program), h->program, sizeof(h->program));
	beside[n > 0 ? n : 0] = '\0';
	slash = strrchr(beside, '/');
	if (slash == NULL)
		return;
	*slash = '\0';
	struct buf path = { 0 };
	buf_addf(&path, "%s/%s", beside, h->target->default_program);
	if (access(buf_cstr(&path), X_OK) == 0)
		(void)span_copy(buf_span(&path), h->program, sizeof(h->program));
	buf_free(&path);
}

struct host *host_new(const struct host_options *o, struct err *reterr)
{
	const struct target *t = target_find(o->setup.flow->target);
	struct host *h;

	assert(t != NULL); /* the flow was checked */
	if (dir_make(o->setup.dir, 0700, reterr) != 0)
		return NULL;
	h = calloc(1, sizeof(*h));
	if (h == NULL)
		abort();
	*h = (struct host){ .loop = o->loop,
			    .setup = o->setup,
			    .target = t,
			    .on_event = o->on_event,
			    .ctx = o->ctx,
			    .pidfd = -1,
			    .out = -1,
			    .out_log = -1 };
	find_program(h, o->program);
	h->timer = timer_new(h->loop, on_timer, h);
	return h;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

static void release_process(struct host *h)
{
	watch_free(h->exit_watch);
	watch_free(h->out_watch);
	h->exit_watch = h->out_watch = NULL;
	close_fd(&h->pidfd);
	close_fd(&h->out);
	close_fd(&h->out_log);
	timer_clear(h->timer);
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
	buf_free(&h->line);
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

/* In the child, between fork and exec: system calls only. */
static _Noreturn void become_server(const char *const *args, int out, int err, pid_t parent)
{
	/* Dies with us, however we end; when we ended already, the signal would not come. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
		_exit(126);
	(void)setpgid(0, 0); /* A Ctrl-C at the terminal is for the harness, which then stops its servers. */
	/* The loop's handlers would write into the loop's own pipe, which the child still shares. */
	static const int HANDLED[] = { SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGCHLD };
	for (size_t i = 0; i < sizeof(HANDLED) / sizeof(HANDLED[0]); i++)
		(void)signal(HANDLED[i], SIG_DFL);
	sigset_t none;
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	int null = open("/dev/null", O_RDONLY);
	if (null < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0)
		_exit(126);
	(void)syscall(SYS_close_range, 3U, ~0U, 0U);
	(void)execvp(args[0], (char *const *)(uintptr_t)args);
	static const char SAID[] = "cannot be executed\n";
	(void)!write(2, SAID, sizeof(SAID) - 1);
	_exit(127);
}

static int spawn(struct host *h, const char *const *args, int err_log, struct err *reterr)
{
	int pipe_fds[2];
	pid_t parent = getpid();

	if (pipe2(pipe_fds, O_CLOEXEC) != 0)
		return err_errno(reterr, errno, "pipe");
	sigset_t all;
	sigset_t before;
	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, &before);
	pid_t pid = fork();
	if (pid == 0)
		become_server(args, pipe_fds[1], err_log, parent);
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	if (pid > 0)
		(void)setpgid(pid, pid); /* here too, for whichever of us comes first */
	(void)close(pipe_fds[1]);
	if (pid < 0) {
		(void)close(pipe_fds[0]);
		return err_errno(reterr, errno, "fork");
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

int host_start(struct host *h, struct err *reterr)
{
	const char *args[TARGET_ARGS_MAX];
	struct buf scratch = { 0 };
	int rc, err_log;

	assert(h->state == HOST_IDLE && h->pid == 0);
	rc = h->target->configure(&h->setup, reterr);
	if (rc != 0)
		return rc;
	err_log = open_log(h, "stderr.log", reterr);
	if (err_log < 0)
		return err_log;
	h->out_log = open_log(h, "stdout.log", reterr);
	rc = h->out_log < 0 ? h->out_log : 0;
	h->target->args(&h->setup, h->program, args, &scratch);
	if (rc == 0)
		rc = spawn(h, args, err_log, reterr);
	(void)close(err_log);
	buf_free(&scratch);
	if (rc == 0)
		rc = watch_process(h, reterr);
	if (rc != 0) {
		if (h->pid > 0) {
			(void)kill(h->pid, SIGKILL);
			(void)waitpid(h->pid, &h->wait_status, 0);
		}
		release_process(h);
		return rc;
	}
	buf_reset(&h->line);
	h->was_ready = h->asked_to_end = h->killed = h->overdue = false;
	h->state = HOST_STARTING;
	timer_set_ms(h->timer, HOST_READY_MAX_MS);
	return 0;
}

/* ---- what it says ---- */

static void take_line(struct host *h, struct span line)
{
	if (h->state != HOST_STARTING || !h->target->line_says_ready(line))
		return;
	h->state = HOST_READY;
	h->was_ready = true;
	timer_clear(h->timer);
	h->on_event(h->ctx, h, HOST_IS_READY);
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

static void report_end(struct host *h, enum host_state state)
{
	char what[128];
	int status = h->wait_status;

	if (h->overdue) {
		fail(h, "did not end within 20 s of SIGTERM and was killed");
	} else if (h->killed && h->asked_to_end) {
		h->on_event(h->ctx, h, HOST_HAS_EXITED);
	} else if (h->killed) {
		fail(h, "was not ready within 20 s");
	} else if (h->asked_to_end && !h->was_ready && WIFSIGNALED(status) &&
		   WTERMSIG(status) == h->target->stop_signal) {
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
	signal_all(h, SIGKILL);
}

void host_stop(struct host *h)
{
	assert(h->state == HOST_STARTING || h->state == HOST_READY);
	h->state = HOST_STOPPING;
	h->asked_to_end = true;
	timer_set_ms(h->timer, HOST_STOP_MAX_MS);
	signal_all(h, h->target->stop_signal);
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

int64_t host_cpu_ms(const struct host *h)
{
	char path[64];
	struct buf stat = { 0 };
	struct err err;
	unsigned long user = 0, system = 0;

	if (h->pid == 0)
		return 0;
	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)h->pid);
	if (file_read(path, 65536, &stat, &err) == 0) {
		/* The second field, the program's name in brackets, may hold blanks. */
		const char *after = strrchr(buf_cstr(&stat), ')');
		if (after != NULL)
			(void)sscanf(after + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
				     &system);
	}
	buf_free(&stat);
	return (int64_t)(user + system) * 1000 / sysconf(_SC_CLK_TCK);
}
