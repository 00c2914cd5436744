/*
 * recorder: preloaded into a server, it writes down in which order the server
 * wrote to its store, synced it, and told its clients.
 *
 * POWER_LOG names the log.  What is recorded is the file with the base name
 * data.mdb, LMDB's only data file, and the names on the way to it.  LMDB is
 * used without MDB_WRITEMAP, so it writes by calls and not by memory.  A way to
 * write that is not recorded (writable mapping, fallocate, a second descriptor)
 * ends the process: a log with a gap would prove nothing.
 *
 * Records, little-endian, before the deed unless said otherwise:
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
 *    9 FAILED  after the sync that began has failed, or a write through O_DSYNC: what it was to make
 *              durable may be on disk or not, and no later sync speaks of it
 *    7 NAMED   after data.mdb, or any directory, was created: its path
 *    8 NAMES   after a directory was synced: its path
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { FDS_MAX = 4096, TOLD_BYTES_MAX = 65536 };
enum kind { WRITE = 1, SYNC = 2, TOLD = 3, BEGIN = 4, DSYNC = 5, SIZE = 6, NAMED = 7, NAMES = 8, FAILED = 9 };

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

static void record_path(enum kind kind, const char *path)
{
	char whole[PATH_MAX];

	if (realpath(path, whole) != NULL)
		record(kind, 0, whole, strlen(whole));
}

static bool is_store(const char *path)
{
	const char *slash = strrchr(path, '/');

	return strcmp(slash != NULL ? slash + 1 : path, "data.mdb") == 0;
}

static int track(int fd, const char *path, int flags, bool existed)
{
	bool writes = (flags & O_ACCMODE) != O_RDONLY;

	if (fd < 0 || fd >= FDS_MAX) {
		if (fd >= 0 && is_store(path))
			abort();
		return fd;
	}
	tracked[fd] = !writes || !is_store(path) ? 0 : (flags & O_DSYNC) != 0 ? 2 : 1;
	if (tracked[fd] != 0 && !existed)
		record_path(NAMED, path);
	return fd;
}

static int mode_of(int flags, va_list ap)
{
	return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(ap, int) : 0;
}

#define OPEN(name)                                                           \
	int name(const char *path, int flags, ...)                           \
	{                                                                    \
		REAL(int, #name, const char *, int, ...)                     \
		va_list ap;                                                  \
		va_start(ap, flags);                                         \
		int mode = mode_of(flags, ap);                               \
		va_end(ap);                                                  \
		bool existed = !is_store(path) || access(path, F_OK) == 0;   \
		return track(real(path, flags, mode), path, flags, existed); \
	}
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                           \
	int name(int dir, const char *path, int flags, ...)                    \
	{                                                                      \
		REAL(int, #name, int, const char *, int, ...)                  \
		va_list ap;                                                    \
		va_start(ap, flags);                                           \
		int mode = mode_of(flags, ap);                                 \
		va_end(ap);                                                    \
		if (is_store(path))                                            \
			abort();                                               \
		return track(real(dir, path, flags, mode), path, flags, true); \
	}
OPENAT(openat)
OPENAT(openat64)

int mkdir(const char *path, mode_t mode)
{
	REAL(int, "mkdir", const char *, mode_t)
	int rc = real(path, mode);
	if (rc == 0)
		record_path(NAMED, path);
	return rc;
}

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
	if (tracking(fd) == 2)
		record(rc >= 0 ? DSYNC : FAILED, 0, NULL, 0);
	else if (tracking(fd) == 1 && rc < 0)
		abort(); /* recorded, and not written */
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

#define PWRITEV(name)                                                       \
	ssize_t name(int fd, const struct iovec *v, int count, off_t at)    \
	{                                                                   \
		REAL(ssize_t, #name, int, const struct iovec *, int, off_t) \
		if (tracking(fd) == 2)                                      \
			abort();                                            \
		if (tracking(fd) != 0)                                      \
			record_iov((uint64_t)at, v, count);                 \
		return real(fd, v, count, at);                              \
	}
PWRITEV(pwritev)
PWRITEV(pwritev64)

static void directory_synced(int fd)
{
	struct stat st;
	char link[64];

	if (fstat(fd, &st) != 0 || !S_ISDIR(st.st_mode))
		return;
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	record_path(NAMES, link);
}

#define SYNC_CALL(name)                                              \
	int name(int fd)                                             \
	{                                                            \
		REAL(int, #name, int)                                \
		if (tracking(fd) != 0)                               \
			record(BEGIN, 0, NULL, 0);                   \
		int rc = real(fd);                                   \
		if (tracking(fd) != 0)                               \
			record(rc == 0 ? SYNC : FAILED, 0, NULL, 0); \
		else if (rc == 0)                                    \
			directory_synced(fd);                        \
		return rc;                                           \
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

/* ---- what is not recorded must not happen ---- */

#define MMAP(name)                                                                                    \
	void *name(void *at, size_t n, int protection, int flags, int fd, off_t offset)               \
	{                                                                                             \
		REAL(void *, #name, void *, size_t, int, int, int, off_t)                             \
		if (tracking(fd) != 0 && (protection & PROT_WRITE) != 0 && (flags & MAP_SHARED) != 0) \
			abort();                                                                      \
		return real(at, n, protection, flags, fd, offset);                                    \
	}
MMAP(mmap)
MMAP(mmap64)

#define NOT_OF_THE_STORE(type, name, parameters, types, arguments) \
	type name parameters                                       \
	{                                                          \
		REAL(type, #name, types)                           \
		if (tracking(fd) != 0)                             \
			abort();                                   \
		return real arguments;                             \
	}
#define WITH_COMMAS(...) __VA_ARGS__
NOT_OF_THE_STORE(int, dup, (int fd), int, (fd))
NOT_OF_THE_STORE(int, dup2, (int fd, int to), WITH_COMMAS(int, int), (fd, to))
NOT_OF_THE_STORE(int, dup3, (int fd, int to, int flags), WITH_COMMAS(int, int, int), (fd, to, flags))
NOT_OF_THE_STORE(int, fallocate, (int fd, int mode, off_t at, off_t n), WITH_COMMAS(int, int, off_t, off_t),
		 (fd, mode, at, n))
NOT_OF_THE_STORE(int, posix_fallocate, (int fd, off_t at, off_t n), WITH_COMMAS(int, off_t, off_t),
		 (fd, at, n))
NOT_OF_THE_STORE(ssize_t, pwritev2, (int fd, const struct iovec *v, int count, off_t at, int flags),
		 WITH_COMMAS(int, const struct iovec *, int, off_t, int), (fd, v, count, at, flags))

int rename(const char *from, const char *to)
{
	REAL(int, "rename", const char *, const char *)
	if (is_store(from) || is_store(to))
		abort();
	return real(from, to);
}

/* ---- what clients are told ---- */

ssize_t send(int fd, const void *bytes, size_t n, int flags)
{
	REAL(ssize_t, "send", int, const void *, size_t, int)
	record(TOLD, 0, bytes, n < TOLD_BYTES_MAX ? n : TOLD_BYTES_MAX);
	return real(fd, bytes, n, flags);
}
