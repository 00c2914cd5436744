/*
 * Any bytes as addresses, wishes, words and header of the message that is
 * reported.  Checked: lines of ours end in CRLF and are short, all is ASCII
 * where it has to be, and nothing begins a part but what should.
 */
#include "reference-server/core/dsn.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static struct span take(struct span *rest)
{
	size_t n = rest->n > 0 ? (unsigned char)rest->p[0] : 0;
	struct span piece = span_sub(*rest, 1, n);

	*rest = span_sub(*rest, 1 + n, rest->n);
	return piece;
}

static void check(struct span out)
{
	static const char boundary[] = "\r\n--=_fuzz";
	size_t line_bytes = 0, parts = 0;

	for (size_t i = 0; i < out.n; i++) {
		unsigned char c = (unsigned char)out.p[i];
		if (out.n - i >= sizeof(boundary) - 1 &&
		    memcmp(out.p + i, boundary, sizeof(boundary) - 1) == 0)
			parts++;
		if (c == '\r' && i + 1 < out.n && out.p[i + 1] == '\n') {
			line_bytes = 0;
			i++;
			continue;
		}
		must(c == '\t' || (c >= ' ' && c < 0x7F));
		must(++line_bytes <= 998);
	}
	must(parts == 4);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span rest = { (const char *)data, size };
	unsigned choice = size > 0 ? data[0] : 0;
	struct buf out = { 0 };

	rest = span_sub(rest, 1, rest.n);
	struct dsn_rcpt r = {
		.action = (enum dsn_action)(DSN_FAILED + choice % (DSN_ACTION_COUNT - DSN_FAILED)),
		.status = { 4, 4, 7 },
		.smtp_code = choice & 8 ? 450 : 0,
		.expired = (choice & 16) != 0,
	};
	r.final_rcpt = take(&rest);
	r.orcpt = take(&rest);
	r.text = take(&rest);
	r.remote_mta = take(&rest);
	struct dsn d = {
		.host = SPAN_LIT("host.example"),
		.to = SPAN_LIT("sender@x.example"),
		.message_id = SPAN_LIT("<id@host.example>"),
		.boundary = SPAN_LIT("=_fuzz"),
		.utf8 = (choice & 32) != 0,
		.rcpts = &r,
		.rcpt_count = 1,
	};
	d.queue_id = take(&rest);
	d.envid = take(&rest);
	d.header = rest;
	if (memmem(data, size, "=_fuzz", 6) != NULL) /* the caller's is random: nobody can know it */
		return 0;
	dsn_add(&out, &d);
	check(buf_span(&out));
	buf_free(&out);
	return 0;
}
