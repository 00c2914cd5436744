#include "harness/cli/residue.h"

#include "base/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	ANSWER_MAX_MS = 2000,
	ANSWER_BYTES_MAX = 65536,
	READ_BYTES = 4096,
};

struct residue {
	residue_fn *fn;
	void *ctx;
	pid_t pid; /* 0: it has ended */
	int pidfd;
	int out;
	struct watch *exit_watch;
	struct watch *out_watch;
	struct timer *deadline;
	struct buf answer;
	int status;
};

static pid_t spawn(const char *program, const char *config, int *ret_fd)
{
	const char *const args[] = { program, "status", "--config", config, NULL };
	union { /* posix_spawn does not write to the strings; its type is older than const */
		const char *const *in;
		char *const *out;
	} argv = { .in = args };
	posix_spawn_file_actions_t actions;
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) != 0)
		return -1;
	(void)posix_spawn_file_actions_init(&actions);
	(void)posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	(void)posix_spawn_file_actions_adddup2(&actions, fds[1], 1);
	(void)posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
	/* A group of its own: the program may be a script, and what it started ends with it. */
	posix_spawnattr_t attributes;
	(void)posix_spawnattr_init(&attributes);
	(void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
	int rc = posix_spawnp(&pid, program, &actions, &attributes, argv.out, environ);
	(void)posix_spawnattr_destroy(&attributes);
	(void)posix_spawn_file_actions_destroy(&actions);
	(void)close(fds[1]);
	if (rc != 0) {
		(void)close(fds[0]);
		return -1;
	}
	*ret_fd = fds[0];
	return pid;
}

static bool find_queue_line(struct span answer, uint32_t *ret_count)
{
	struct span line;

	while (span_take_until(&answer, '\n', &line)) {
		uint64_t count;
		if (span_take_prefix_nocase(&line, SPAN_LIT("queue: ")) &&
		    span_to_u64(span_trim(line), &count) && count <= UINT32_MAX) {
			*ret_count = (uint32_t)count;
			return true;
		}
	}
	return false;
}

/* ---- the child's life ---- */

void residue_free(struct residue *r)
{
	if (r == NULL)
		return;
	if (r->pid > 0) {
		(void)kill(-r->pid, SIGKILL);
		while (waitpid(r->pid, &r->status, 0) < 0 && errno == EINTR)
			;
	}
	watch_free(r->exit_watch);
	watch_free(r->out_watch);
	timer_free(r->deadline);
	if (r->pidfd >= 0)
		(void)close(r->pidfd);
	(void)close(r->out);
	buf_free(&r->answer);
	free(r);
}

/* What can be read now. */
static void read_answer(struct residue *r)
{
	ssize_t n;

	do {
		n = read(r->out, buf_reserve(&r->answer, READ_BYTES), READ_BYTES);
		if (n > 0)
			buf_grow(&r->answer, (size_t)n);
	} while ((n > 0 && buf_bytes(&r->answer) <= ANSWER_BYTES_MAX) || (n < 0 && errno == EINTR));
	if (n == 0 || buf_bytes(&r->answer) > ANSWER_BYTES_MAX)
		watch_set(r->out_watch, false, false);
	if (buf_bytes(&r->answer) > ANSWER_BYTES_MAX && r->pid > 0)
		(void)kill(-r->pid, SIGKILL);
}

static void on_output(void *ctx, bool readable, bool writable)
{
	(void)readable;
	(void)writable;
	read_answer(ctx);
}

static void on_exit_watch(void *ctx, bool readable, bool writable)
{
	struct residue *r = ctx;
	uint32_t count = 0;

	(void)readable;
	(void)writable;
	if (waitpid(r->pid, &r->status, WNOHANG) != r->pid)
		return;
	r->pid = 0;
	read_answer(r); /* what came last */
	bool known = WIFEXITED(r->status) && WEXITSTATUS(r->status) == 0 &&
		     find_queue_line(buf_span(&r->answer), &count);
	r->fn(r->ctx, r, known, count);
	residue_free(r);
}

static void on_deadline(void *ctx)
{
	struct residue *r = ctx;

	(void)kill(-r->pid, SIGKILL); /* its end says the rest */
}

struct residue *residue_ask(struct loop *l, const char *program, const char *config, residue_fn *fn,
			    void *ctx)
{
	int out = -1;
	pid_t pid = spawn(program, config, &out);

	if (pid < 0)
		return NULL;
	struct residue *r = calloc(1, sizeof(*r));
	if (r == NULL)
		abort();
	*r = (struct residue){ .fn = fn, .ctx = ctx, .pid = pid, .out = out };
	(void)fcntl(out, F_SETFL, O_NONBLOCK);
	r->pidfd = (int)syscall(SYS_pidfd_open, pid, 0U);
	if (r->pidfd < 0) {
		residue_free(r);
		return NULL;
	}
	r->exit_watch = watch_new(l, r->pidfd, on_exit_watch, r);
	watch_set(r->exit_watch, true, false);
	r->out_watch = watch_new(l, out, on_output, r);
	watch_set(r->out_watch, true, false);
	r->deadline = timer_new(l, on_deadline, r);
	timer_set_ms(r->deadline, ANSWER_MAX_MS);
	return r;
}
