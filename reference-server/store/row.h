/*
 * row: reading big-endian rows with bounds checks.
 *
 * A reader that runs past the end says so once, at the end: every read from
 * then on gives zeros and empty spans, and row_ended is false.  Spans point
 * into the row.  Rows are written with buf_add_u8 … buf_add_u64.
 */
#ifndef STORE_ROW_H
#define STORE_ROW_H

#include "base/buf.h"

struct row {
	struct span rest;
	bool bad;
};

static inline struct row row_of(struct span bytes)
{
	return (struct row){ .rest = bytes };
}

struct span row_bytes(struct row *r, size_t n);
uint8_t row_u8(struct row *r);
uint16_t row_u16(struct row *r);
uint32_t row_u32(struct row *r);
uint64_t row_u64(struct row *r);
int64_t row_i64(struct row *r);
/* u16 length, then the bytes. */
struct span row_text(struct row *r);

/* Everything was there, and nothing is left. */
static inline bool row_ended(const struct row *r)
{
	return !r->bad && r->rest.n == 0;
}

/* s.n must fit 16 bits. */
void row_add_text(struct buf *b, struct span s);

#endif
