/*
 * Dot-stuffed content.  Checked: the same data, notes and end for the whole and
 * for byte after byte; and what is written reads back, whatever it is.
 */
#include "harness/wire/dots.h"
#include "tests/fuzz/fuzz.h"

#include <assert.h>

struct reading {
	struct dots_reader reader;
	struct buf data;
	size_t used;
	bool ended;
};

static void read_some(struct reading *r, struct span in)
{
	while (in.n > 0 && !r->ended) {
		struct span data = { NULL, 0 };
		size_t n = dots_read(&r->reader, in, &data, &r->ended);
		assert(n <= in.n && (n > 0 || data.n > 0));
		buf_add(&r->data, data);
		in = span_sub(in, n, in.n);
		r->used += n;
	}
}

static void check_split(struct span in)
{
	struct reading whole = { 0 }, bytes = { 0 };

	read_some(&whole, in);
	for (size_t i = 0; i < in.n; i++)
		read_some(&bytes, span_sub(in, i, 1));
	assert(whole.ended == bytes.ended && whole.used == bytes.used);
	assert(whole.reader.notes == bytes.reader.notes);
	assert(span_eq(buf_span(&whole.data), buf_span(&bytes.data)));
	buf_free(&whole.data);
	buf_free(&bytes.data);
}

static void check_written(struct span content)
{
	struct dots_writer w = { 0 };
	struct reading back = { 0 };
	struct buf wire = { 0 };
	bool ended = content.n >= 2 && content.p[content.n - 2] == '\r' && content.p[content.n - 1] == '\n';

	dots_write(&w, span_sub(content, 0, content.n / 2), &wire);
	dots_write(&w, span_sub(content, content.n / 2, content.n), &wire);
	dots_write_end(&w, &wire);
	read_some(&back, buf_span(&wire));
	assert(back.ended && back.used == buf_bytes(&wire));
	struct span got = buf_span(&back.data);
	assert(got.n == content.n + (ended || content.n == 0 ? 0 : 2));
	assert(span_eq(span_sub(got, 0, content.n), content));
	buf_free(&wire);
	buf_free(&back.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = { (const char *)data, size };

	check_split(in);
	check_written(in);
	return 0;
}
