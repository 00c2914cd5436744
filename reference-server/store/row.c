#include "reference-server/store/row.h"

#include <assert.h>

struct span row_bytes(struct row *r, size_t n)
{
	if (r->bad || n > r->rest.n) {
		*r = (struct row){ .bad = true };
		return (struct span){ 0 };
	}
	struct span head = { r->rest.p, n };
	r->rest = (struct span){ n > 0 ? r->rest.p + n : r->rest.p, r->rest.n - n };
	return head;
}

static uint64_t big_endian(struct row *r, size_t bytes)
{
	struct span s = row_bytes(r, bytes);
	uint64_t value = 0;

	for (size_t i = 0; i < s.n; i++)
		value = value << 8 | (uint8_t)s.p[i];
	return value;
}

uint8_t row_u8(struct row *r)
{
	return (uint8_t)big_endian(r, 1);
}

uint16_t row_u16(struct row *r)
{
	return (uint16_t)big_endian(r, 2);
}

uint32_t row_u32(struct row *r)
{
	return (uint32_t)big_endian(r, 4);
}

uint64_t row_u64(struct row *r)
{
	return big_endian(r, 8);
}

int64_t row_i64(struct row *r)
{
	return (int64_t)big_endian(r, 8);
}

struct span row_text(struct row *r)
{
	return row_bytes(r, row_u16(r));
}

void row_add_text(struct buf *b, struct span s)
{
	assert(s.n <= UINT16_MAX);
	buf_add_u16(b, (uint16_t)s.n);
	buf_add(b, s);
}
