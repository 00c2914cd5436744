/*
 * Any bytes as SMTP replies.  Checked: read whole, byte by byte, or in pieces,
 * the replies are the same; a reply that is called strict is one by a second,
 * slower judgement; nothing is read beyond a reply's end.
 */
#include "harness/wire/reply.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static void describe(const struct reply *r, struct buf *out)
{
	buf_addf(out, "%u %u %x %u.%u.%u [%.*s]\n", r->code, r->line_count, r->notes, r->status[0],
		 r->status[1], r->status[2], SPAN_FMT(buf_span(&r->text)));
	must(reply_class(r) <= 5);
	must(r->line_count > 0 || r->code == 0);
	must(r->line_count == 0 || reply_line(r, r->line_count - 1).n <= buf_bytes(&r->text));
	must(reply_line(r, r->line_count).n == 0);
}

/* RFC 5321 section 4.2, once more: every line "ddd[ -]text CRLF" of one code, printable. */
static bool is_strict(struct span wire)
{
	char code[3];
	bool first = true;
	while (wire.n > 0) {
		size_t n = span_find(wire, '\n');
		if (n == wire.n || n < 4 || n > 511 || wire.p[n - 1] != '\r')
			return false;
		struct span line = { wire.p, n - 1 };
		wire = span_sub(wire, n + 1, wire.n);
		if (first)
			memcpy(code, line.p, 3);
		first = false;
		bool last = wire.n == 0;
		if (memcmp(code, line.p, 3) != 0 || code[0] < '2' || code[0] > '5' || code[1] < '0' ||
		    code[1] > '5' || code[2] < '0' || code[2] > '9')
			return false;
		if (line.n > 3 ? line.p[3] != (last ? ' ' : '-') : !last)
			return false;
		for (size_t i = 0; i < line.n; i++)
			if (line.p[i] != '\t' && (line.p[i] < ' ' || line.p[i] > '~'))
				return false;
	}
	return !first;
}

static void read_all(struct span in, size_t piece, bool judge, struct buf *out)
{
	struct reply_reader r = { 0 };
	size_t begin = 0, at = 0;
	while (at < in.n) {
		bool done;
		struct span chunk = span_sub(in, at, piece);
		size_t n = reply_read(&r, chunk, &done);
		must(n <= chunk.n && (done || n == chunk.n));
		at += n;
		if (!done)
			continue;
		describe(&r.reply, out);
		if (judge && at - begin < REPLY_BYTES_MAX)
			must(reply_is_strict(&r.reply) == is_strict(span_sub(in, begin, at - begin)));
		begin = at;
	}
	buf_addf(out, "rest %zu\n", at - begin);
	reply_reader_free(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct span in = { (const char *)data, n };
	struct buf whole = { 0 }, bytes = { 0 }, pieces = { 0 };
	read_all(in, SIZE_MAX, true, &whole);
	read_all(in, 1, false, &bytes);
	read_all(in, n > 0 ? data[0] % 13 + 2u : 2, false, &pieces);
	must(span_eq(buf_span(&whole), buf_span(&bytes)));
	must(span_eq(buf_span(&whole), buf_span(&pieces)));
	buf_free(&whole);
	buf_free(&bytes);
	buf_free(&pieces);
	return 0;
}
