#include "base/unix_socket.h"

#include "base/buf.h"
#include "base/span.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* *ret_dir_fd is to be closed after use, or -1. */
static int make_address(const char *path, struct sockaddr_un *ret_un, int *ret_dir_fd)
{
	const char *slash = strrchr(path, '/');
	struct buf dir = { 0 };

	*ret_un = (struct sockaddr_un){ .sun_family = AF_UNIX };
	*ret_dir_fd = -1;
	if (span_copy(span_of(path), ret_un->sun_path, sizeof(ret_un->sun_path)))
		return 0;
	if (slash == NULL)
		return -ENAMETOOLONG;
	buf_add(&dir, (struct span){ path, (size_t)(slash - path) + 1 });
	*ret_dir_fd = open(buf_cstr(&dir), O_PATH | O_DIRECTORY | O_CLOEXEC);
	buf_free(&dir);
	if (*ret_dir_fd < 0)
		return -errno;
	int n = snprintf(ret_un->sun_path, sizeof(ret_un->sun_path), "/proc/self/fd/%d%s", *ret_dir_fd,
			 slash);
	return n > 0 && (size_t)n < sizeof(ret_un->sun_path) ? 0 : -ENAMETOOLONG;
}

int unix_socket_listen(const char *path, int backlog)
{
	struct sockaddr_un un;
	int dir_fd;
	int rc = make_address(path, &un, &dir_fd);
	int fd = rc == 0 ? socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0) : -1;

	if (rc == 0 && fd < 0)
		rc = -errno;
	if (rc == 0) {
		mode_t old_mask = umask(0177);
		(void)unlink(un.sun_path);
		if (bind(fd, (const struct sockaddr *)&un, sizeof(un)) != 0 || listen(fd, backlog) != 0)
			rc = -errno;
		(void)umask(old_mask);
	}
	if (dir_fd >= 0)
		(void)close(dir_fd);
	if (rc != 0 && fd >= 0)
		(void)close(fd);
	return rc == 0 ? fd : rc;
}

int unix_socket_connect(const char *path)
{
	struct sockaddr_un un;
	int dir_fd;
	int rc = make_address(path, &un, &dir_fd);
	int fd = rc == 0 ? socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) : -1;

	if (rc == 0 && (fd < 0 || connect(fd, (const struct sockaddr *)&un, sizeof(un)) != 0))
		rc = -errno;
	if (dir_fd >= 0)
		(void)close(dir_fd);
	if (rc != 0 && fd >= 0)
		(void)close(fd);
	return rc == 0 ? fd : rc;
}
