#include "reference-server/store/lock.h"

#include "base/span.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

static int busy(int fd, const char *dir, struct err *reterr)
{
	char text[32];

	ssize_t n = pread(fd, text, sizeof(text), 0);
	struct span pid = span_trim((struct span){ text, n > 0 ? (size_t)n : 0 });
	pid = span_sub(pid, 0, span_find(pid, '\n'));
	if (pid.n == 0)
		return err_set(reterr, -EBUSY, "data directory %s is in use by another process", dir);
	return err_set(reterr, -EBUSY, "data directory %s is in use by process %.*s", dir, SPAN_FMT(pid));
}

int lock_take(int dir_fd, const char *dir, int *ret_fd, struct err *reterr)
{
	int fd = openat(dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_errno(reterr, errno, "open %s/lock", dir);
	int rc = 0;
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		rc = errno == EWOULDBLOCK ? busy(fd, dir, reterr)
					  : err_errno(reterr, errno, "lock %s/lock", dir);
		(void)close(fd);
		return rc;
	}
	/* The number is for people; the lock holds without it, on a full disk too. */
	if (ftruncate(fd, 0) == 0)
		(void)dprintf(fd, "%ld\n", (long)getpid());
	*ret_fd = fd;
	return 0;
}
