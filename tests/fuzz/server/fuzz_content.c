/*
 * Any bytes after 354.  The machine, fed in steps that the first byte picks,
 * must agree with a model that looks at one byte after the other: the same
 * content, the same end, the same facts.  The header scan, fed with whatever
 * runs came out, must agree with one that got the content in one piece.
 */
#include "base/buf.h"
#include "reference-server/core/content.h"
#include "reference-server/core/header.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

struct model {
	struct buf content;
	size_t used_bytes; /* through the final dot */
	bool ended;
	uint32_t facts;
	uint64_t line_bytes_longest;
};

/* Sees the whole input at once, and decides each byte by its neighbours. */
static void run_model(struct model *m, struct span in)
{
	bool line_start = true;
	uint64_t line_bytes = 0;

	for (size_t i = 0; i < in.n; i++) {
		char c = in.p[i];
		bool crlf = c == '\r' && i + 1 < in.n && in.p[i + 1] == '\n';

		if (line_start && c == '.') {
			if (i + 2 < in.n && in.p[i + 1] == '\r' && in.p[i + 2] == '\n') {
				m->ended = true;
				m->used_bytes = i + 3;
				return;
			}
			line_start = false;
			continue;
		}
		line_start = false;
		buf_add(&m->content, (struct span){ &in.p[i], 1 });
		m->facts |= c == '\0' ? CONTENT_NUL : 0;
		m->facts |= (unsigned char)c >= 0x80 ? CONTENT_8BIT : 0;
		if (crlf) {
			buf_add(&m->content, SPAN_LIT("\n"));
			line_bytes = 0;
			line_start = true;
			i++;
			continue;
		}
		m->facts |= c == '\r' ? CONTENT_BARE_CR : c == '\n' ? CONTENT_BARE_LF : 0;
		line_bytes++;
		m->line_bytes_longest =
			line_bytes > m->line_bytes_longest ? line_bytes : m->line_bytes_longest;
	}
}

/* What the machine may keep waiting at the end of an unfinished content. */
static bool may_wait(struct span left)
{
	return left.n == 0 || span_eq(left, SPAN_LIT(".")) || span_eq(left, SPAN_LIT(".\r")) ||
	       span_eq(left, SPAN_LIT("\r"));
}

struct machine {
	struct content c;
	struct header_scan header;
	struct buf content;
	size_t used_bytes;
};

static void run_machine(struct machine *m, struct span in, size_t step)
{
	content_init(&m->c);
	header_scan_init(&m->header);
	for (size_t have = 0; !m->c.ended; have = step < in.n - have ? have + step : in.n) {
		enum content_result result = CONTENT_RUN;
		while (result == CONTENT_RUN) {
			struct span window = { in.p + m->used_bytes, have - m->used_bytes };
			struct span run;
			size_t used;

			result = content_next(&m->c, window, &run, &used);
			must(used <= window.n);
			must((run.n > 0) == (result == CONTENT_RUN));
			must(run.n == 0 || (run.p >= window.p && run.p + run.n <= window.p + window.n));
			buf_add(&m->content, run);
			header_scan_feed(&m->header, run);
			m->used_bytes += used;
		}
		if (result == CONTENT_MORE && have == in.n)
			break;
	}
}

/* The same bytes as chunks of BDAT, where no dot is special; the model decides each by its neighbours. */
static void check_chunks(struct span in, size_t step)
{
	struct content c;
	uint32_t facts = 0;
	uint64_t line_bytes = 0, longest = 0;

	content_init(&c);
	for (size_t at = 0; at < in.n; at += step < in.n - at ? step : in.n - at)
		content_take(&c, span_sub(in, at, step));
	content_finish(&c);
	for (size_t i = 0; i < in.n; i++) {
		char byte = in.p[i];
		if (byte == '\r' && i + 1 < in.n && in.p[i + 1] == '\n') {
			line_bytes = 0;
			i++;
			continue;
		}
		facts |= byte == '\r' ? CONTENT_BARE_CR : byte == '\n' ? CONTENT_BARE_LF : 0;
		facts |= byte == '\0' ? CONTENT_NUL : 0;
		facts |= (unsigned char)byte >= 0x80 ? CONTENT_8BIT : 0;
		longest = ++line_bytes > longest ? line_bytes : longest;
	}
	must(c.facts == facts && c.line_bytes_longest == longest && c.content_bytes == in.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	size_t step = data[0] == 0 ? SIZE_MAX : data[0];
	struct span in = { (const char *)data + 1, size - 1 };
	struct model model = { .ended = false };
	struct machine machine = { .used_bytes = 0 };
	struct header_scan whole;

	check_chunks(in, step);
	run_model(&model, in);
	run_machine(&machine, in, step);
	must(machine.c.ended == model.ended);
	if (model.ended) {
		must(machine.used_bytes == model.used_bytes);
		must(span_eq(buf_span(&machine.content), buf_span(&model.content)));
		must(machine.c.facts == model.facts);
		must(machine.c.line_bytes_longest == model.line_bytes_longest);
	} else {
		must(may_wait(span_sub(in, machine.used_bytes, in.n)));
		must(span_eq(buf_span(&machine.content),
			     span_sub(buf_span(&model.content), 0, buf_bytes(&machine.content))));
		must(buf_bytes(&model.content) - buf_bytes(&machine.content) <= 1);
	}
	must(machine.c.content_bytes == buf_bytes(&machine.content));

	header_scan_init(&whole);
	header_scan_feed(&whole, buf_span(&machine.content));
	must(whole.end == machine.header.end && whole.header_bytes == machine.header.header_bytes);
	must(memcmp(whole.count, machine.header.count, sizeof(whole.count)) == 0);
	must(whole.header_bytes <= machine.c.content_bytes);
	buf_free(&model.content);
	buf_free(&machine.content);
	return 0;
}
