/*
 * Any message to a next hop that takes no 8 bits.  Checked: what is converted
 * passes there; it needs no further conversion; what passed before is not
 * touched; and a body that is one leaf decodes to the bytes it had.
 */
#include "reference-server/core/base64.h"
#include "reference-server/core/convert.h"
#include "reference-server/core/quoted_printable.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

/* The same bytes as the body of a part whose type is known. */
static void check_leaf(struct span body, const char *type)
{
	struct buf in = { 0 }, out = { 0 }, text = { 0 }, decoded = { 0 };

	buf_addf(&in, "MIME-Version: 1.0\r\nContent-Type: %s\r\nContent-Transfer-Encoding: binary\r\n\r\n",
		 type);
	buf_add(&in, body);
	must(convert_to_7bit(&out, buf_span(&in)) == CONVERT_OK);
	must(convert_is_7bit(buf_span(&out)));
	const char *end = memmem(buf_span(&out).p, buf_bytes(&out), "\r\n\r\n", 4);
	must(end != NULL);
	struct span coded = { end + 4, (size_t)(buf_span(&out).p + buf_bytes(&out) - end) - 4 };
	size_t header_bytes = (size_t)(end - buf_span(&out).p);
	if (memmem(buf_span(&out).p, header_bytes, "Encoding: base64", 16) != NULL) {
		for (size_t i = 0; i < coded.n; i++)
			if (coded.p[i] != '\r' && coded.p[i] != '\n')
				buf_add(&text, span_sub(coded, i, 1));
		must(base64_decode(&decoded, buf_span(&text)));
	} else if (memmem(buf_span(&out).p, header_bytes, "Encoding: quoted", 16) != NULL) {
		must(quoted_printable_decode(&decoded, coded));
	} else {
		buf_add(&decoded, coded);
	}
	must(span_eq(buf_span(&decoded), body));
	buf_free(&in);
	buf_free(&out);
	buf_free(&text);
	buf_free(&decoded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = { (const char *)data, size };
	struct buf out = { 0 }, again = { 0 };

	if (convert_to_7bit(&out, in) == CONVERT_OK) {
		must(convert_is_7bit(buf_span(&out)));
		must(convert_to_7bit(&again, buf_span(&out)) == CONVERT_OK);
		must(span_eq(buf_span(&again), buf_span(&out)));
		must(!convert_is_7bit(in) || span_eq(buf_span(&out), in));
	}
	check_leaf(in, "text/plain");
	check_leaf(in, "application/x");
	buf_free(&out);
	buf_free(&again);
	return 0;
}
