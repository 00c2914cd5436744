/*
 * Any two streams past the tap.  The input is a list of sends: a byte whose
 * high bit says who (set: server) and whose rest how many bytes follow.
 * Checked: facts are the same when every send comes byte by byte; offsets never
 * go back and never pass what was sent; transactions only count up; content
 * has a beginning before it has an end; nothing follows blindness.
 */
#include "harness/wire/smtp_tap.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

struct watcher {
	struct buf facts;
	uint64_t sent[2]; /* by client, by server */
	uint64_t offset[2];
	uint32_t transaction;
	bool begun;
	bool over;
};

static void on_fact(void *ctx, const struct tap_fact *f)
{
	struct watcher *w = ctx;
	unsigned side = f->from_client ? 0 : 1;
	must(!w->over);
	must(f->offset <= w->sent[side] && f->offset >= w->offset[side]);
	w->offset[side] = f->offset;
	if (f->kind == TAP_MAIL)
		must(f->transaction == ++w->transaction);
	must(f->transaction <= w->transaction);
	if (f->kind == TAP_CONTENT_BEGIN)
		w->begun = true;
	if (f->kind == TAP_HEADER || f->kind == TAP_CONTENT_END)
		must(w->begun);
	if (f->kind == TAP_CONTENT_END)
		w->begun = false;
	if (f->kind == TAP_HEADER)
		must(f->text.n <= TAP_HEADER_BYTES_MAX);
	w->over = f->kind == TAP_ENCRYPTED || f->kind == TAP_LOST;
	buf_addf(&w->facts, "%s %d %llu %u %u %u %x %llu [%.*s] <%.*s> %.*s (%.*s)\n", tap_fact_name(f->kind),
		 f->from_client, (unsigned long long)f->offset, f->transaction, f->recipient, f->code,
		 f->notes, (unsigned long long)f->content_bytes, SPAN_FMT(f->text), SPAN_FMT(f->path),
		 SPAN_FMT(f->args), SPAN_FMT(f->message_id));
}

static void send(struct watcher *w, struct smtp_tap *t, bool server, struct span bytes)
{
	w->sent[server ? 1 : 0] += bytes.n;
	if (server)
		tap_server_sent(t, bytes, 1);
	else
		tap_client_sent(t, bytes, 1);
}

static void play(struct span in, size_t piece, struct watcher *w)
{
	struct smtp_tap t = { .fn = on_fact, .ctx = w };
	while (in.n > 0) {
		bool server = (in.p[0] & 0x80) != 0;
		struct span bytes = span_sub(in, 1, (size_t)(in.p[0] & 0x7f));
		in = span_sub(in, 1 + bytes.n, in.n);
		for (; bytes.n > 0; bytes = span_sub(bytes, piece, bytes.n))
			send(w, &t, server, span_sub(bytes, 0, piece));
	}
	must(tap_is_blind(&t) == w->over);
	must(tap_unanswered_count(&t) <= TAP_PENDING_MAX);
	tap_free(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct span in = { (const char *)data, n };
	struct watcher whole = { 0 }, bytes = { 0 };
	play(in, SIZE_MAX, &whole);
	play(in, 1, &bytes);
	must(span_eq(buf_span(&whole.facts), buf_span(&bytes.facts)));
	buf_free(&whole.facts);
	buf_free(&bytes.facts);
	return 0;
}
