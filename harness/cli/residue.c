#include "harness/cli/residue.h"

#include "base/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	ANSWER_MAX_MS = 2000,
	ANSWER_BYTES_MAX = 16 * 1024 * 1024, /* one line for each message */
	READ_BYTES = 4096,
};

struct residue {
	residue_fn *fn;
	void *ctx;
	const struct target_queue *how;
	struct residue_names *names;
	pid_t pid; /* 0: it has ended */
	int pidfd;
	int out;
	struct watch *exit_watch;
	struct watch *out_watch;
	struct timer *deadline;
	struct buf answer;
	int status;
};

static bool take_number(struct span text, uint32_t *ret_count)
{
	uint64_t count;

	if (text.n > 0 && text.p[text.n - 1] == '\n')
		text.n--;
	if (!span_to_u64(span_trim(text), &count) || count > UINT32_MAX)
		return false;
	*ret_count = (uint32_t)count;
	return true;
}

static bool count_lines(struct span answer, uint32_t *ret_count)
{
	struct span line;

	*ret_count = 0;
	while (span_take_until(&answer, '\n', &line))
		*ret_count += span_trim(line).n > 0 ? 1 : 0;
	return answer.n == 0; /* a last line without its end was cut off */
}

static bool find_after(struct span answer, const char *after, uint32_t *ret_count)
{
	struct span line;

	while (span_take_until(&answer, '\n', &line))
		if (span_take_prefix_nocase(&line, span_of(after)) && take_number(line, ret_count))
			return true;
	return false;
}

bool residue_count(const struct target_queue *how, struct span answer, uint32_t *ret_count)
{
	switch (how->count) {
	case TARGET_COUNT_LINES:
		return count_lines(answer, ret_count);
	case TARGET_COUNT_NUMBER:
		return take_number(answer, ret_count);
	case TARGET_COUNT_AFTER:
		break;
	}
	return find_after(answer, how->after, ret_count);
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
	bool known = WIFEXITED(r->status) && WEXITSTATUS(r->status) == 0;
	if (r->names == NULL)
		known = known && residue_count(r->how, buf_span(&r->answer), &count);
	else
		known = known && residue_read_names(buf_span(&r->answer), r->names);
	r->fn(r->ctx, r, known, count);
	residue_free(r);
}

static void on_deadline(void *ctx)
{
	struct residue *r = ctx;

	(void)kill(-r->pid, SIGKILL); /* its end says the rest */
}

struct residue *residue_ask(struct loop *l, const struct residue_question *q, residue_fn *fn, void *ctx)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) != 0)
		return NULL;
	pid_t pid = q->start(q->ctx, fds[1]);
	int out = fds[0];
	(void)close(fds[1]);
	if (pid < 0) {
		(void)close(out);
		return NULL;
	}
	struct residue *r = calloc(1, sizeof(*r));
	if (r == NULL)
		abort();
	*r = (struct residue){
		.fn = fn, .ctx = ctx, .how = q->how, .names = q->names, .pid = pid, .out = out
	};
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

static pid_t start_command(void *ctx, int out)
{
	struct host *h = ctx;
	struct err err;

	return host_command(h, &host_target(h)->queue.run, out, &err);
}

struct residue *residue_ask_host(struct loop *l, struct host *h, residue_fn *fn, void *ctx)
{
	const struct target_queue *how = &host_target(h)->queue;
	const struct residue_question q = { .start = start_command, .ctx = h, .how = how };

	return how->run.count > 0 && host_pid(h) > 0 ? residue_ask(l, &q, fn, ctx) : NULL;
}

static pid_t start_listing(void *ctx, int out)
{
	struct host *h = ctx;
	struct err err;

	return host_command(h, &host_target(h)->queue.names, out, &err);
}

struct residue *residue_ask_host_names(struct loop *l, struct host *h, struct residue_names *names,
				       residue_fn *fn, void *ctx)
{
	const struct target_queue *how = &host_target(h)->queue;
	const struct residue_question q = { .start = start_listing, .ctx = h, .how = how, .names = names };

	return how->names.count > 0 && host_pid(h) > 0 ? residue_ask(l, &q, fn, ctx) : NULL;
}
