#include "reference-server/drive/keeper.h"

#include "base/file.h"
#include "reference-server/config.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATHS_MAX = 2 * (CONFIG_CERTIFICATES_MAX + 1) };

struct keeper {
	pid_t pid;
	int fd;
	char *paths[PATHS_MAX];
	uint8_t path_count;
};

/* An answer: this, then `bytes` of content, or of error text when code is not 0. */
struct answer {
	int32_t code;
	uint32_t bytes;
};

static bool write_all(int fd, const void *p, size_t n)
{
	const char *at = p;
	while (n > 0) {
		ssize_t put = send(fd, at, n, MSG_NOSIGNAL);
		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return false;
		at += put;
		n -= (size_t)put;
	}
	return true;
}

static bool read_all(int fd, void *p, size_t n)
{
	char *at = p;
	while (n > 0) {
		ssize_t got = recv(fd, at, n, 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		at += got;
		n -= (size_t)got;
	}
	return true;
}

/* The child: a request is one byte, the number of a path. */
static void serve(const struct keeper *k, int fd)
{
	uint8_t index;

	while (read_all(fd, &index, 1) && index < k->path_count) {
		struct buf b = { 0 };
		struct err e;
		int rc = file_read(k->paths[index], KEEPER_FILE_BYTES_MAX, &b, &e);
		struct span s = rc == 0 ? buf_span(&b) : span_of(e.text);
		struct answer a = { .code = rc, .bytes = (uint32_t)s.n };
		bool ok = write_all(fd, &a, sizeof(a)) && write_all(fd, s.p, s.n);
		if (b.p != NULL)
			explicit_bzero(b.p, b.room);
		buf_free(&b);
		if (!ok)
			break;
	}
	_exit(0);
}

struct keeper *keeper_start(const char *const *paths, struct err *reterr)
{
	struct keeper *k = calloc(1, sizeof(*k));
	int fds[2];

	if (k == NULL)
		abort();
	for (; *paths != NULL && k->path_count < PATHS_MAX; paths++) {
		k->paths[k->path_count] = strdup(*paths);
		if (k->paths[k->path_count++] == NULL)
			abort();
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) {
		(void)err_errno(reterr, errno, "key keeper");
		free(k);
		return NULL;
	}
	k->pid = fork();
	if (k->pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)signal(SIGHUP, SIG_IGN); /* signals to the group are the server's business */
		(void)signal(SIGTERM, SIG_IGN);
		(void)signal(SIGINT, SIG_IGN);
		(void)close(fds[0]);
		serve(k, fds[1]);
	}
	(void)close(fds[1]);
	if (k->pid < 0) {
		(void)err_errno(reterr, errno, "key keeper: fork");
		(void)close(fds[0]);
		free(k);
		return NULL;
	}
	k->fd = fds[0];
	return k;
}

int keeper_read(struct keeper *k, const char *path, struct buf *b, struct err *reterr)
{
	struct answer a;
	uint8_t index = 0;

	if (k == NULL)
		return file_read(path, KEEPER_FILE_BYTES_MAX, b, reterr);
	while (index < k->path_count && strcmp(k->paths[index], path) != 0)
		index++;
	if (index == k->path_count)
		return err_set(reterr, -EPERM, "%s: not among the files that can still be read; restart",
			       path);
	if (!write_all(k->fd, &index, 1) || !read_all(k->fd, &a, sizeof(a)) ||
	    a.bytes > KEEPER_FILE_BYTES_MAX)
		return err_set(reterr, -EPIPE, "%s: the key keeper is gone; restart", path);
	char *at = buf_reserve(b, a.bytes + 1);
	if (!read_all(k->fd, at, a.bytes))
		return err_set(reterr, -EPIPE, "%s: the key keeper is gone; restart", path);
	if (a.code == 0) {
		buf_grow(b, a.bytes);
		return 0;
	}
	return err_set(reterr, a.code, "%.*s", (int)a.bytes, at);
}

void keeper_stop(struct keeper *k)
{
	if (k == NULL)
		return;
	(void)close(k->fd);
	(void)waitpid(k->pid, NULL, 0);
	for (uint8_t i = 0; i < k->path_count; i++)
		free(k->paths[i]);
	free(k);
}
