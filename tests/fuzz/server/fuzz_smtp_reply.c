/*
 * Arbitrary bytes as replies, whole and in steps of the first byte's choice.
 * Both must be read alike; a code is 200 to 599; text is printable ASCII.
 */
#include "reference-server/core/smtp_reply.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

static void check_reply(const struct smtp_reply *r)
{
	struct span text = smtp_reply_text(r);

	if (r->code < 200 || r->code > 599 || text.n > SMTP_REPLY_TEXT_BYTES_MAX)
		abort();
	if (r->status.class_digit != 0 && r->status.class_digit != r->code / 100)
		abort();
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] < ' ' || text.p[i] > '~')
			abort();
}

static void read_all(struct span in, size_t step_bytes, struct buf *story)
{
	struct smtp_reply r;

	smtp_reply_init(&r);
	for (size_t at = 0; at < in.n; at += step_bytes) {
		struct span piece = span_sub(in, at, step_bytes);

		while (piece.n > 0) {
			size_t used;
			enum smtp_reply_result result = smtp_reply_feed(&r, piece, &used);

			if (used > piece.n)
				abort();
			piece = span_sub(piece, used, piece.n);
			if (result == SMTP_REPLY_BAD) {
				buf_add_cstr(story, smtp_reply_error(&r));
				return;
			}
			if (result == SMTP_REPLY_LINE)
				buf_add(story, smtp_reply_line(&r));
			if (result != SMTP_REPLY_DONE)
				continue;
			check_reply(&r);
			buf_addf(story, "%u/%u.%u ", r.code, r.status.subject, r.status.detail);
			buf_add(story, smtp_reply_text(&r));
		}
	}
	buf_add_u8(story, smtp_reply_is_partial(&r));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf whole = { 0 }, split = { 0 };

	if (size < 2)
		return 0;
	struct span in = { (const char *)data + 1, size - 1 };
	read_all(in, in.n, &whole);
	read_all(in, (size_t)data[0] % 16 + 1, &split);
	if (!span_eq(buf_span(&whole), buf_span(&split)))
		abort();
	buf_free(&whole);
	buf_free(&split);
	return 0;
}
