/*
 * content: a message made from the first bytes of the input comes back whole,
 * then with the rest of the input done to it.  Held: whole is intact, whatever
 * stands in front of it; a changed body byte never is; a marker that is found
 * is there; recognising and comparing arbitrary bytes ends.
 */
#include "base/buf.h"
#include "harness/judge/content.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

enum {
	HEAD_BYTES = 8,
	BODY_BYTES_MAX = 4096,
	EDIT_BYTES = 3,
};

static void check_found_marker_is_there(struct span text)
{
	char marker[CONTENT_MARKER_CHARS + 1];
	uint32_t id;

	if (!content_find_marker(text, 1, &id))
		return;
	content_marker(1, id, marker);
	for (size_t i = 0; i + CONTENT_MARKER_CHARS <= text.n; i++)
		if (span_eq_nocase(span_sub(text, i, CONTENT_MARKER_CHARS), span_of(marker)))
			return;
	must(false);
}

/* Flips bits of the body as the input says; returns whether anything is different now. */
static bool spoil_body(struct span edits, char *message, size_t bytes, size_t header_bytes)
{
	bool changed = false;
	char *before = malloc(bytes);

	must(before != NULL);
	memcpy(before, message, bytes);
	for (; edits.n >= EDIT_BYTES; edits = span_sub(edits, EDIT_BYTES, edits.n)) {
		size_t at = (size_t)(unsigned char)edits.p[0] << 8 | (unsigned char)edits.p[1];
		message[header_bytes + at % (bytes - header_bytes)] ^= edits.p[2];
	}
	changed = memcmp(before, message, bytes) != 0;
	free(before);
	return changed;
}

static void check_compare(const struct content_spec *spec, struct span edits)
{
	struct buf made = { 0 };
	struct buf back = { 0 };
	struct content_digest digest;
	struct content_verdict v;
	uint32_t id = 0;

	content_make(spec, &made);
	content_digest(buf_span(&made), &digest);
	must(content_recognise(buf_span(&made), spec->seed, &id) == CONTENT_COPY && id == spec->id);
	buf_add_cstr(&back, "Return-Path: <a@b>\r\nReceived: from x\r\n\tby y; now\r\n");
	size_t trace_bytes = buf_bytes(&back);
	buf_add(&back, buf_span(&made));
	content_compare(spec, &digest, buf_span(&back), &v);
	must(v.state == CONTENT_INTACT && v.text[0] == '\0');

	size_t header_bytes = trace_bytes + content_header_bytes(spec);
	if (spoil_body(edits, back.p + back.begin, buf_bytes(&back), header_bytes)) {
		content_compare(spec, &digest, buf_span(&back), &v);
		must(v.state == CONTENT_CORRUPTED && v.text[0] != '\0');
	}
	content_compare(spec, &digest, edits, &v);
	must(v.state != CONTENT_INTACT);
	buf_free(&made);
	buf_free(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span all = { (const char *)data, size };
	uint32_t id;

	check_found_marker_is_there(all);
	(void)content_recognise(all, 1, &id);
	if (size < HEAD_BYTES)
		return 0;
	struct content_spec spec = {
		.seed = 1,
		.id = (uint32_t)data[0] << 24 | (uint32_t)data[1] << 16 | (uint32_t)data[2] << 8 | data[3],
		.from = SPAN_LIT("barney@isp2.example"),
		.to = SPAN_LIT("sales@fredsco.example"),
		.body_bytes = ((uint32_t)data[4] << 8 | data[5]) % BODY_BYTES_MAX,
		.eight_bit = (data[6] & 1) != 0,
		.date_wall_ms = (int64_t)data[7] * 86400000 * 365,
	};
	check_compare(&spec, span_sub(all, HEAD_BYTES, size));
	return 0;
}
