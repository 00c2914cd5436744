#include "reference-server/store/ballast.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static const char file_name[] = "ballast";

bool ballast_make(struct ballast *b)
{
	if (b->held)
		return true;
	int fd = openat(b->dir_fd, file_name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return false;
	b->held = posix_fallocate(fd, 0, (off_t)b->bytes) == 0;
	(void)close(fd);
	if (!b->held)
		ballast_release(b);
	return b->held;
}

void ballast_release(struct ballast *b)
{
	b->held = false;
	(void)unlinkat(b->dir_fd, file_name, 0);
}

bool ballast_disk_full(const struct ballast *b)
{
	struct statvfs v;

	return fstatvfs(b->dir_fd, &v) == 0 && (uint64_t)v.f_bavail * v.f_frsize < b->bytes;
}
