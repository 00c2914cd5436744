/*
 * Any bytes from a POP3 server.  The first byte's bits say which replies are
 * multi-line.  Checked: events are the same from every split; data that ended
 * would be read back the same after being stuffed again.
 */
#include "harness/wire/pop3_reply.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static void check_round_trip(struct span content)
{
	struct dots_writer w = { 0 };
	struct dots_reader r = { 0 };
	struct buf wire = { 0 }, again = { 0 };
	bool end = false;
	dots_write(&w, content, &wire);
	dots_write_end(&w, &wire);
	struct span rest = buf_span(&wire);
	while (!end) {
		struct span piece;
		must(rest.n > 0);
		size_t taken = dots_read(&r, rest, &piece, &end);
		rest = span_sub(rest, taken, rest.n);
		buf_add(&again, piece);
	}
	must(rest.n == 0 && span_eq(buf_span(&again), content));
	buf_free(&wire);
	buf_free(&again);
}

static void read_all(struct span in, unsigned multi, size_t piece, struct buf *out)
{
	struct pop3_reader r = { 0 };
	struct buf content = { 0 };
	unsigned nth = 0;
	pop3_expect(&r, (multi & 1) != 0);
	for (size_t at = 0; at < in.n;) {
		struct span chunk = span_sub(in, at, piece), text;
		enum pop3_event event;
		size_t taken = pop3_read(&r, chunk, &event, &text);
		must(taken <= chunk.n && (taken > 0 || text.n > 0));
		at += taken;
		if (event == POP3_DATA) {
			buf_add(&content, text);
			continue;
		}
		if (event == POP3_MORE)
			continue;
		if (event == POP3_END) {
			check_round_trip(buf_span(&content));
			buf_addf(out, "end %x [%.*s]\n", r.dots.notes, SPAN_FMT(buf_span(&content)));
			buf_reset(&content);
		} else {
			must(text.n <= POP3_LINE_BYTES_KEPT);
			buf_addf(out, "%u %x %.*s\n", event, r.notes, SPAN_FMT(text));
		}
		if (event != POP3_OK || !r.in_data)
			pop3_expect(&r, (multi >> (++nth % 8) & 1) != 0);
	}
	buf_addf(out, "unended [%.*s]\n", SPAN_FMT(buf_span(&content)));
	buf_free(&content);
	pop3_reader_free(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n == 0)
		return 0;
	struct span in = { (const char *)data + 1, n - 1 };
	struct buf whole = { 0 }, bytes = { 0 }, pieces = { 0 };
	read_all(in, data[0], SIZE_MAX, &whole);
	read_all(in, data[0], 1, &bytes);
	read_all(in, data[0], 3, &pieces);
	must(span_eq(buf_span(&whole), buf_span(&bytes)));
	must(span_eq(buf_span(&whole), buf_span(&pieces)));
	buf_free(&whole);
	buf_free(&bytes);
	buf_free(&pieces);
	return 0;
}
