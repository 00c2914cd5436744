/*
 * recorder: preloaded into a server, it writes down in which order the server
 * wrote to its store, synced it, and told its clients.
 *
 * POWER_LOG names the log.  What is recorded is the file with the base name
 * data.mdb, LMDB's only data file.  Records, little-endian, before the deed
 * unless said otherwise:
 *
 *    u32 kind, u32 length, u64 offset, then `length` bytes
 *
 *    1 WRITE   bytes at offset
 *    2 SYNC    after fsync or fdatasync has returned 0: all WRITEs recorded
 *              before its BEGIN (4) are on disk
 *    3 TOLD    bytes that are about to leave on a socket
 *    4 BEGIN   a sync begins
 *    5 DSYNC   after a write through a descriptor with O_DSYNC has returned:
 *              the WRITE just before, by the same thread, is on disk
 *    6 SIZE    the file is cut or grown to offset bytes
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { FDS_MAX = 4096, TOLD_BYTES_MAX = 65536 };
enum kind { WRITE = 1, SYNC = 2, TOLD = 3, BEGIN = 4, DSYNC = 5, SIZE = 6 };

static unsigned char tracked[FDS_MAX]; /* 1: the store's file; 2: with O_DSYNC */
static int log_fd = -1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void *next(const char *name)
{
	void *f = dlsym(RTLD_NEXT, name);

	if (f == NULL)
		abort();
	return f;
}

/* A function pointer is no object pointer in C: through a union. */
#define REAL(type, name, ...)                          \
	static type (*real)(__VA_ARGS__);              \
	if (real == NULL) {                            \
		union {                                \
			void *object;                  \
			type (*function)(__VA_ARGS__); \
		} u = { .object = next(name) };        \
		real = u.function;                     \
	}

static ssize_t raw_writev(int fd, const struct iovec *v, int n)
{
	REAL(ssize_t, "writev", int, const struct iovec *, int)
	return real(fd, v, n);
}

static void record(enum kind kind, uint64_t offset, const void *bytes, size_t n)
{
	struct {
		uint32_t kind, length;
		uint64_t offset;
	} head = { kind, (uint32_t)n, offset };
	union {
		const void *in;
		void *out;
	} data = { .in = bytes };
	struct iovec v[2] = { { &head, sizeof(head) }, { data.out, n } };
	int saved = errno;

	(void)pthread_mutex_lock(&lock);
	if (log_fd < 0 && getenv("POWER_LOG") != NULL) {
		REAL(int, "open", const char *, int, ...)
		log_fd = real(getenv("POWER_LOG"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	}
	if (log_fd >= 0 && raw_writev(log_fd, v, n > 0 ? 2 : 1) != (ssize_t)(sizeof(head) + n))
		abort(); /* a log with a gap would prove nothing */
	(void)pthread_mutex_unlock(&lock);
	errno = saved;
}

static int track(int fd, const char *path, int flags)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash != NULL ? slash + 1 : path;
	bool writes = (flags & O_ACCMODE) != O_RDONLY;

	if (fd >= 0 && fd < FDS_MAX)
		tracked[fd] = !writes || strcmp(name, "data.mdb") != 0 ? 0 : (flags & O_DSYNC) != 0 ? 2 : 1;
	return fd;
}

static int mode_of(int flags, va_list ap)
{
	return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(ap, int) : 0;
}

#define OPEN(name)                                                  \
	int name(const char *path, int flags, ...)                  \
	{                                                           \
		REAL(int, #name, const char *, int, ...)            \
		va_list ap;                                         \
		va_start(ap, flags);                                \
		int mode = mode_of(flags, ap);                      \
		va_end(ap);                                         \
		return track(real(path, flags, mode), path, flags); \
	}
OPEN(open)
OPEN(open64)

int close(int fd)
{
	REAL(int, "close", int)
	if (fd >= 0 && fd < FDS_MAX)
		tracked[fd] = 0;
	return real(fd);
}

static unsigned char tracking(int fd)
{
	return fd >= 0 && fd < FDS_MAX ? tracked[fd] : 0;
}

static void written(int fd, ssize_t rc)
{
	if (tracking(fd) == 2 && rc >= 0)
		record(DSYNC, 0, NULL, 0);
}

#define PWRITE(name)                                                   \
	ssize_t name(int fd, const void *bytes, size_t n, off_t at)    \
	{                                                              \
		REAL(ssize_t, #name, int, const void *, size_t, off_t) \
		if (tracking(fd) != 0)                                 \
			record(WRITE, (uint64_t)at, bytes, n);         \
		ssize_t rc = real(fd, bytes, n, at);                   \
		written(fd, rc);                                       \
		return rc;                                             \
	}
PWRITE(pwrite)
PWRITE(pwrite64)

ssize_t write(int fd, const void *bytes, size_t n)
{
	REAL(ssize_t, "write", int, const void *, size_t)
	if (tracking(fd) != 0)
		record(WRITE, (uint64_t)lseek(fd, 0, SEEK_CUR), bytes, n);
	ssize_t rc = real(fd, bytes, n);
	written(fd, rc);
	return rc;
}

static void record_iov(uint64_t at, const struct iovec *v, int count)
{
	for (int i = 0; i < count; i++) {
		record(WRITE, at, v[i].iov_base, v[i].iov_len);
		at += v[i].iov_len;
	}
}

ssize_t writev(int fd, const struct iovec *v, int count)
{
	/* Several records, and DSYNC speaks of one: LMDB writes its meta page, the only one it syncs so, with
	 * pwrite. */
	if (tracking(fd) == 2)
		abort();
	if (tracking(fd) != 0)
		record_iov((uint64_t)lseek(fd, 0, SEEK_CUR), v, count);
	return raw_writev(fd, v, count);
}

ssize_t pwritev(int fd, const struct iovec *v, int count, off_t at)
{
	REAL(ssize_t, "pwritev", int, const struct iovec *, int, off_t)
	if (tracking(fd) == 2)
		abort();
	if (tracking(fd) != 0)
		record_iov((uint64_t)at, v, count);
	return real(fd, v, count, at);
}

#define SYNC_CALL(name)                           \
	int name(int fd)                          \
	{                                         \
		REAL(int, #name, int)             \
		if (tracking(fd) == 0)            \
			return real(fd);          \
		record(BEGIN, 0, NULL, 0);        \
		int rc = real(fd);                \
		if (rc == 0)                      \
			record(SYNC, 0, NULL, 0); \
		return rc;                        \
	}
SYNC_CALL(fdatasync)
SYNC_CALL(fsync)

#define TRUNCATE(name)                                         \
	int name(int fd, off_t size)                           \
	{                                                      \
		REAL(int, #name, int, off_t)                   \
		if (tracking(fd) != 0)                         \
			record(SIZE, (uint64_t)size, NULL, 0); \
		return real(fd, size);                         \
	}
TRUNCATE(ftruncate)
TRUNCATE(ftruncate64)

ssize_t send(int fd, const void *bytes, size_t n, int flags)
{
	REAL(ssize_t, "send", int, const void *, size_t, int)
	record(TOLD, 0, bytes, n < TOLD_BYTES_MAX ? n : TOLD_BYTES_MAX);
	return real(fd, bytes, n, flags);
}
