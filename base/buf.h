/*
 * buf: a growing run of bytes that is appended at the end and consumed from
 * the front.
 *
 * The owner embeds a struct buf (zeroed is valid and empty) and calls
 * buf_free.  Running out of memory ends the process: no caller could go on.
 * A buf has no maximum of its own; whoever fills one from the outside checks
 * buf_bytes against its own limit first.  A span of its content is valid
 * until the next call that changes the buf.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/span.h"

#include <stdarg.h>

struct buf {
	char *p;
	size_t begin; /* first byte not yet consumed */
	size_t end;   /* one past the last byte */
	size_t room;  /* bytes allocated at p */
};

static inline size_t buf_bytes(const struct buf *b)
{
	return b->end - b->begin;
}

static inline struct span buf_span(const struct buf *b)
{
	return (struct span){ b->p != NULL ? b->p + b->begin : NULL, b->end - b->begin };
}

/* Room for at least n more bytes, to be written directly and then claimed with buf_grow. */
char *buf_make_room(struct buf *b, size_t n); /* moves or reallocates; what buf_reserve does when it must */
static inline char *buf_reserve(struct buf *b, size_t n)
{
	return b->room - b->end >= n && b->p != NULL ? b->p + b->end : buf_make_room(b, n);
}
void buf_grow(struct buf *b, size_t n);

static inline void buf_add(struct buf *b, struct span s)
{
	if (s.n == 0)
		return;
	memcpy(buf_reserve(b, s.n), s.p, s.n);
	b->end += s.n;
}
void buf_add_cstr(struct buf *b, const char *cstr);
void buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_vaddf(struct buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));

/* Big-endian integers, for rows in files and databases. */
void buf_add_u8(struct buf *b, uint8_t value);
void buf_add_u16(struct buf *b, uint16_t value);
void buf_add_u32(struct buf *b, uint32_t value);
void buf_add_u64(struct buf *b, uint64_t value);

/* Drops n bytes from the front. */
void buf_consume(struct buf *b, size_t n);

/* Drops bytes from the end until n are left. */
void buf_truncate(struct buf *b, size_t n);

/* NUL-terminated view; the NUL is not part of the content. */
const char *buf_cstr(struct buf *b);

/* Empties, keeps the memory. */
void buf_reset(struct buf *b);

/* Empties and gives the memory back; the buf can be used again. */
void buf_free(struct buf *b);

#endif
