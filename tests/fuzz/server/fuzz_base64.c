/*
 * Any bytes as base64 text and as plain bytes.  Checked: text that is taken
 * encodes back to itself (so there is one text for each content), and bytes
 * that are encoded come back.
 */
#include "reference-server/core/base64.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = { (const char *)data, size };
	struct buf decoded = { 0 };
	struct buf encoded = { 0 };

	bool taken = base64_decode(&decoded, in);
	must(taken == base64_is_valid(in));
	if (taken) {
		base64_encode(&encoded, buf_span(&decoded));
		must(span_eq(buf_span(&encoded), in));
	}
	buf_reset(&decoded);
	buf_reset(&encoded);
	base64_encode(&encoded, in);
	must(base64_decode(&decoded, buf_span(&encoded)));
	must(span_eq(buf_span(&decoded), in));
	buf_free(&decoded);
	buf_free(&encoded);
	return 0;
}
