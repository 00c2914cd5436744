/*
 * Any head of an HTTP request.  Checked: what is decided of a part stays so of
 * the whole, and the path is a piece of the input that begins with a slash.
 */
#include "reference-server/drive/http.h"
#include "tests/fuzz/fuzz.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = { (const char *)data, size };
	struct span path = { NULL, 0 }, part_path = { NULL, 0 };
	bool head = false, part_head = false;

	unsigned status = http_parse(in, &path, &head);
	assert(status == 0 || status == 200 || status == 400 || status == 405 || status == 431 ||
	       status == 505);
	if (status == 200)
		assert(path.n > 0 && path.p[0] == '/' && path.p > in.p && path.p + path.n < in.p + in.n);
	for (size_t n = 0; n < size; n++) {
		unsigned part = http_parse(span_sub(in, 0, n), &part_path, &part_head);
		assert(part == 0 || part == status || status == 431);
		assert(part != 200 || status != 200 || (span_eq(part_path, path) && part_head == head));
	}
	return 0;
}
