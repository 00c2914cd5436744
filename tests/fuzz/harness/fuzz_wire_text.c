/*
 * The small readers of the wire: base64, quoted-printable, command lines and
 * the fields of a header.  Checked: what encodes decodes, what decodes strictly
 * encodes to the same text, and every span that comes out is part of the input.
 */
#include "harness/wire/base64.h"
#include "harness/wire/command.h"
#include "harness/wire/message.h"
#include "tests/fuzz/fuzz.h"

#include <assert.h>

static void within(struct span part, struct span whole)
{
	assert(part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n));
}

static void check_encodings(struct span in)
{
	struct buf text = { 0 }, back = { 0 };

	base64_encode(in, &text);
	assert(base64_decode(buf_span(&text), &back) && span_eq(buf_span(&back), in));
	buf_reset(&back);
	assert(base64_decode_mime(buf_span(&text), &back) && span_eq(buf_span(&back), in));
	buf_reset(&back);
	buf_reset(&text);
	if (base64_decode(in, &back)) {
		base64_encode(buf_span(&back), &text);
		assert(span_eq(buf_span(&text), in));
	}
	buf_reset(&back);
	(void)base64_decode_mime(in, &back);
	assert(buf_bytes(&back) <= in.n * 3 / 4);
	buf_reset(&back);
	(void)quoted_printable_decode(in, &back);
	assert(buf_bytes(&back) <= in.n);
	buf_free(&text);
	buf_free(&back);
}

static void check_command(struct span in)
{
	struct span rest = in;
	struct span word = command_word(&rest);

	within(word, in);
	within(rest, in);
	struct span path = command_path(&rest);
	within(path, in);
	within(rest, in);
}

static void check_fields(struct span in)
{
	struct span header = in, body = { NULL, 0 };
	struct buf value = { 0 };
	struct field f;
	uint32_t count = 0;

	(void)message_notes(in);
	if (message_split(in, &header, &body)) {
		within(header, in);
		within(body, in);
		assert(header.n + body.n < in.n);
	}
	within(field_message_id(header), in);
	for (struct span rest = header; field_next(&rest, &f); count++) {
		within(f.name, header);
		within(f.raw, f.whole);
		within(f.whole, header);
		buf_reset(&value);
		field_unfold(f.raw, &value);
		assert(buf_bytes(&value) <= f.raw.n);
		buf_reset(&value);
		field_strip_comments(f.raw, &value);
		assert(buf_bytes(&value) <= f.raw.n);
		assert(field_count(header, f.name) > 0);
	}
	assert(count <= header.n);
	buf_free(&value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = { (const char *)data, size };

	check_encodings(in);
	check_command(in);
	check_fields(in);
	return 0;
}
