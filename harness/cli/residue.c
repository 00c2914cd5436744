#include "harness/cli/residue.h"

#include "base/buf.h"
#include "base/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	ANSWER_MAX_MS = 2000,
	ANSWER_BYTES_MAX = 65536,
	READ_BYTES = 4096,
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
	int rc = posix_spawnp(&pid, program, &actions, NULL, argv.out, environ);
	(void)posix_spawn_file_actions_destroy(&actions);
	(void)close(fds[1]);
	if (rc != 0) {
		(void)close(fds[0]);
		return -1;
	}
	*ret_fd = fds[0];
	return pid;
}

/* All it writes, as far as it comes in time; false when it does not end. */
static bool read_answer(int fd, struct buf *answer)
{
	int64_t until_ms = clock_mono_ms() + ANSWER_MAX_MS;

	for (;;) {
		int64_t left_ms = until_ms - clock_mono_ms();
		struct pollfd p = { .fd = fd, .events = POLLIN };
		if (left_ms <= 0 || buf_bytes(answer) > ANSWER_BYTES_MAX)
			return false;
		if (poll(&p, 1, (int)left_ms) < 0 && errno != EINTR)
			return false;
		if (p.revents == 0)
			continue;
		ssize_t n = read(fd, buf_reserve(answer, READ_BYTES), READ_BYTES);
		if (n == 0)
			return true;
		if (n > 0)
			buf_grow(answer, (size_t)n);
		else if (errno != EINTR)
			return false;
	}
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

bool residue_ask(const char *program, const char *config, uint32_t *ret_count)
{
	struct buf answer = { 0 };
	int status = 0;
	int fd = -1;
	pid_t pid = spawn(program, config, &fd);

	if (pid < 0)
		return false;
	bool ended = read_answer(fd, &answer);
	(void)close(fd);
	if (!ended)
		(void)kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	bool known = ended && WIFEXITED(status) && WEXITSTATUS(status) == 0 &&
		     find_queue_line(buf_span(&answer), ret_count);
	buf_free(&answer);
	return known;
}
