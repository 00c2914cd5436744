/*
 * Any bytes as what a server says in a case: the first byte chooses the protocol,
 * and which replies have data.  Checked: read whole or in pieces the answers are the
 * same; nothing is read beyond one; each irregularity is told in a line.
 */
#include "harness/conform/answer.h"
#include "tests/fuzz/fuzz.h"

static void describe(const struct answer *a, struct buf *out)
{
	struct buf lines = { 0 };

	answer_irregularities(a, &lines);
	must((a->notes | a->dots) != 0 || buf_bytes(&lines) == 0);
	must(buf_bytes(&lines) == 0 || buf_cstr(&lines)[buf_bytes(&lines) - 1] == '\n');
	must(a->has_data || buf_bytes(&a->data) == 0);
	buf_addf(out, "%s %u %x %x [%.*s] [%.*s]\n", a->code, a->lines, a->notes, a->dots,
		 SPAN_FMT(buf_span(&a->text)), SPAN_FMT(buf_span(&a->data)));
	buf_free(&lines);
}

static void read_all(struct span in, uint8_t choice, size_t piece, struct buf *out)
{
	struct answer_reader r = { .pop3 = (choice & 1) != 0, .answer.pop3 = (choice & 1) != 0 };
	unsigned count = 0;

	for (size_t at = 0; at < in.n;) {
		bool done = false;
		struct span part = span_sub(in, at, piece);
		bool multi = (choice >> (1 + count % 7) & 1) != 0;
		size_t n = answer_read(&r, part, multi, &done);
		must(n <= part.n && (done || n == part.n));
		at += n;
		if (done) {
			describe(&r.answer, out);
			count++;
		}
	}
	answer_reader_free(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf whole = { 0 }, pieces = { 0 };

	if (size < 2)
		return 0;
	struct span in = { (const char *)data + 1, size - 1 };
	read_all(in, data[0], SIZE_MAX, &whole);
	read_all(in, data[0], data[1] % 7 + 1u, &pieces);
	must(span_eq(buf_span(&whole), buf_span(&pieces)));
	buf_free(&whole);
	buf_free(&pieces);
	return 0;
}
