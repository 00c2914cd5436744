/*
 * err: one failure, described for a person, passed by the caller.
 *
 * Functions that can fail for several reasons return 0 or a negative errno
 * value and fill the caller's struct err.  The message names the object and
 * the operation; each layer may prepend its own context once.  Success never
 * touches it, so it needs no reset between calls.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

struct err {
	int code;       /* negative errno value */
	char text[512]; /* "queue: commit 3f2a: No space left on device" */
};

/* Returns code, so that callers can write: return err_set(e, -EIO, ...); */
int err_set(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* As err_set with -errno_value, and ": strerror" appended. */
int err_errno(struct err *e, int errno_value, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Prepends "what: " to the message and returns e->code. */
int err_wrap(struct err *e, const char *what);

#endif
