#include "base/buf.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	ROOM_BYTES_MIN = 256,
};

char *buf_make_room(struct buf *b, size_t n)
{
	assert(b->begin <= b->end && b->end <= b->room);
	size_t used = buf_bytes(b);
	if (b->begin > 0 && b->room - used >= n && b->begin >= used) {
		memmove(b->p, b->p + b->begin, used);
	} else {
		size_t room = b->room < ROOM_BYTES_MIN ? ROOM_BYTES_MIN : b->room;
		while (room - used < n)
			room *= 2;
		char *p = malloc(room);
		if (p == NULL) {
			(void)fprintf(stderr, "out of memory: %zu bytes for a buffer\n", room);
			abort();
		}
		if (used > 0)
			memcpy(p, b->p + b->begin, used);
		free(b->p);
		b->p = p;
		b->room = room;
	}
	b->begin = 0;
	b->end = used;
	return b->p + b->end;
}

void buf_grow(struct buf *b, size_t n)
{
	assert(b->room - b->end >= n);
	b->end += n;
}

void buf_add_cstr(struct buf *b, const char *cstr)
{
	buf_add(b, span_of(cstr));
}

void buf_vaddf(struct buf *b, const char *fmt, va_list ap)
{
	va_list again;

	va_copy(again, ap);
	size_t room = b->p != NULL ? b->room - b->end : 0;
	int n = vsnprintf(room > 0 ? b->p + b->end : NULL, room, fmt, ap);
	assert(n >= 0);
	if ((size_t)n >= room) {
		char *at = buf_reserve(b, (size_t)n + 1);
		(void)vsnprintf(at, (size_t)n + 1, fmt, again);
	}
	va_end(again);
	b->end += (size_t)n;
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	buf_vaddf(b, fmt, ap);
	va_end(ap);
}

static void add_big_endian(struct buf *b, uint64_t value, size_t bytes)
{
	char *at = buf_reserve(b, bytes);
	for (size_t i = 0; i < bytes; i++)
		at[i] = (char)(value >> (8 * (bytes - 1 - i)));
	b->end += bytes;
}

void buf_add_u8(struct buf *b, uint8_t value)
{
	add_big_endian(b, value, 1);
}

void buf_add_u16(struct buf *b, uint16_t value)
{
	add_big_endian(b, value, 2);
}

void buf_add_u32(struct buf *b, uint32_t value)
{
	add_big_endian(b, value, 4);
}

void buf_add_u64(struct buf *b, uint64_t value)
{
	add_big_endian(b, value, 8);
}

void buf_consume(struct buf *b, size_t n)
{
	assert(n <= buf_bytes(b));
	b->begin += n;
	if (b->begin == b->end)
		b->begin = b->end = 0;
}

void buf_truncate(struct buf *b, size_t n)
{
	assert(n <= buf_bytes(b));
	b->end = b->begin + n;
}

const char *buf_cstr(struct buf *b)
{
	*buf_reserve(b, 1) = '\0';
	return b->p + b->begin;
}

void buf_reset(struct buf *b)
{
	b->begin = b->end = 0;
}

void buf_free(struct buf *b)
{
	free(b->p);
	*b = (struct buf){ 0 };
}
