/*
 * faults: preloaded into a server, it makes the disk under its store fail, or
 * slow, while somebody else says so.
 *
 * FAULTS names a file of eight u32, little-endian, that is mapped: what is
 * written into it holds from the next call on.  Only the file with the base
 * name data.mdb is meant, LMDB's only data file.
 *
 *    0 write_errno   writes fail with it and write nothing
 *    1 sync_errno    syncs fail with it; the bytes are in the page cache all the same, as in Linux,
 *                    and of a write through O_DSYNC as well
 *    2 sync_ms       each sync takes so much longer
 *    3 every         only one of so many writes or syncs fails; 0 and 1: all
 *    4 after         so many writes or syncs that would fail still work
 *    5 writes, 6 syncs, 7 failed    counted here
 *
 * With the recorder: LD_PRELOAD="recorder.so faults.so", so that the recorder
 * sees what failed.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { FDS_MAX = 4096 };

struct faults {
	_Atomic uint32_t write_errno, sync_errno, sync_ms, every, after;
	_Atomic uint32_t writes, syncs, failed;
};

static struct faults *faults;
static unsigned char tracked[FDS_MAX]; /* 1: the store's file; 2: with O_DSYNC */

/* A function pointer is no object pointer in C: through a union. */
#define REAL(type, name, ...)                               \
	static type (*real)(__VA_ARGS__);                   \
	if (real == NULL) {                                 \
		union {                                     \
			void *object;                       \
			type (*function)(__VA_ARGS__);      \
		} u = { .object = dlsym(RTLD_NEXT, name) }; \
		if (u.object == NULL)                       \
			abort();                            \
		real = u.function;                          \
	}

static void map_faults(void)
{
	REAL(int, "open", const char *, int, ...)
	const char *path = getenv("FAULTS");
	int fd = path != NULL ? real(path, O_RDWR | O_CLOEXEC) : -1;
	void *at =
		fd >= 0 ? mmap(NULL, sizeof(*faults), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;

	if (at == MAP_FAILED)
		abort(); /* a test that asked for faults must get them */
	(void)close(fd);
	faults = at;
}

static int track(int fd, const char *path, int flags)
{
	const char *slash = strrchr(path, '/');
	bool store = strcmp(slash != NULL ? slash + 1 : path, "data.mdb") == 0;

	if (fd < 0 || fd >= FDS_MAX)
		return fd;
	if (store && faults == NULL)
		map_faults();
	tracked[fd] = !store || (flags & O_ACCMODE) == O_RDONLY ? 0 : (flags & O_DSYNC) != 0 ? 2 : 1;
	return fd;
}

#define OPEN(name)                                                                     \
	int name(const char *path, int flags, ...)                                     \
	{                                                                              \
		REAL(int, #name, const char *, int, ...)                               \
		va_list ap;                                                            \
		va_start(ap, flags);                                                   \
		int mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(ap, int) : 0; \
		va_end(ap);                                                            \
		return track(real(path, flags, mode), path, flags);                    \
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

/* Whether this one fails; errno is set then.  Which do is scattered: a commit has two syncs, and either may. */
static bool strikes(uint32_t error, uint32_t count)
{
	uint32_t every = faults->every > 1 ? faults->every : 1;

	if (error == 0 || (count * UINT32_C(2654435761) >> 16) % every != 0)
		return false;
	if (faults->after > 0) {
		faults->after--;
		return false;
	}
	faults->failed++;
	errno = (int)error;
	return true;
}

static bool write_fails(int fd)
{
	return tracking(fd) != 0 && strikes(faults->write_errno, ++faults->writes);
}

static bool sync_fails(void)
{
	uint32_t ms = faults->sync_ms;
	const struct timespec pause = { .tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000 };

	if (ms > 0)
		(void)nanosleep(&pause, NULL);
	return strikes(faults->sync_errno, ++faults->syncs);
}

/* The bytes are there; that they are on disk is what fails. */
static ssize_t written(int fd, ssize_t rc)
{
	return rc >= 0 && tracking(fd) == 2 && sync_fails() ? -1 : rc;
}

#define PWRITE(name)                                                               \
	ssize_t name(int fd, const void *bytes, size_t n, off_t at)                \
	{                                                                          \
		REAL(ssize_t, #name, int, const void *, size_t, off_t)             \
		return write_fails(fd) ? -1 : written(fd, real(fd, bytes, n, at)); \
	}
PWRITE(pwrite)
PWRITE(pwrite64)

ssize_t writev(int fd, const struct iovec *v, int count)
{
	REAL(ssize_t, "writev", int, const struct iovec *, int)
	return write_fails(fd) ? -1 : written(fd, real(fd, v, count));
}

#define SYNC_CALL(name)                                                   \
	int name(int fd)                                                  \
	{                                                                 \
		REAL(int, #name, int)                                     \
		return tracking(fd) != 0 && sync_fails() ? -1 : real(fd); \
	}
SYNC_CALL(fdatasync)
SYNC_CALL(fsync)
