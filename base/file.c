#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int file_read(const char *path, size_t bytes_max, struct buf *b, struct err *reterr)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t total = 0;

	if (fd < 0)
		return err_errno(reterr, errno, "%s: open", path);
	for (;;) {
		char *at = buf_reserve(b, 65536);
		ssize_t n = read(fd, at, 65536);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			int rc = err_errno(reterr, errno, "%s: read", path);
			(void)close(fd);
			return rc;
		}
		if (n == 0)
			break;
		buf_grow(b, (size_t)n);
		total += (size_t)n;
		if (total > bytes_max) {
			(void)close(fd);
			return err_set(reterr, -EFBIG, "%s: larger than %zu bytes", path, bytes_max);
		}
	}
	(void)close(fd);
	return 0;
}

static int write_all(int fd, struct span s)
{
	while (s.n > 0) {
		ssize_t n = write(fd, s.p, s.n);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		s = span_sub(s, (size_t)n, s.n);
	}
	return 0;
}

static void sync_parent(const char *path)
{
	struct buf dir = { 0 };
	const char *slash = strrchr(path, '/');

	buf_add(&dir, slash == NULL ? SPAN_LIT(".") : (struct span){ path, (size_t)(slash - path) + 1 });
	int fd = open(buf_cstr(&dir), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		(void)fsync(fd);
		(void)close(fd);
	}
	buf_free(&dir);
}

int file_write(const char *path, struct span content, mode_t mode, struct err *reterr)
{
	struct buf temporary = { 0 };
	int rc = 0;

	buf_addf(&temporary, "%s.new", path);
	const char *temporary_path = buf_cstr(&temporary);
	int fd = open(temporary_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	if (fd < 0) {
		rc = err_errno(reterr, errno, "%s: create", temporary_path);
		goto out;
	}
	rc = write_all(fd, content);
	if (rc == 0 && fsync(fd) != 0)
		rc = -errno;
	if (close(fd) != 0 && rc == 0)
		rc = -errno;
	if (rc == 0 && rename(temporary_path, path) != 0)
		rc = -errno;
	if (rc != 0) {
		rc = err_errno(reterr, -rc, "%s: write", path);
		(void)unlink(temporary_path);
		goto out;
	}
	sync_parent(path);
out:
	buf_free(&temporary);
	return rc;
}

int dir_make(const char *path, mode_t mode, struct err *reterr)
{
	struct buf b = { 0 };
	int rc = 0;

	for (const char *end = path; rc == 0 && *end != '\0';) {
		end += strspn(end, "/");
		end += strcspn(end, "/");
		buf_reset(&b);
		buf_add(&b, (struct span){ path, (size_t)(end - path) });
		if (mkdir(buf_cstr(&b), mode) == 0)
			sync_parent(
				buf_cstr(&b)); /* or a power cut may take it away with all that is in it */
		else if (errno != EEXIST)
			rc = err_errno(reterr, errno, "%s: create directory", buf_cstr(&b));
	}
	buf_free(&b);
	struct stat st;
	if (rc == 0 && (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)))
		rc = err_set(reterr, -ENOTDIR, "%s: not a directory", path);
	return rc;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st;
	(void)kind;
	(void)ftw;
	return remove(path) == 0 || errno == ENOENT ? 0 : -1;
}

int dir_remove(const char *path, struct err *reterr)
{
	if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT)
		return err_errno(reterr, errno, "%s: remove", path);
	return 0;
}
