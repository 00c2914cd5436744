/*
 * Any bytes as a file of the requirement catalogue.  Checked: a file comes out
 * exactly when there is no message, and what users of one take for granted holds.
 */
#include "harness/scenario/requirement.h"

#include "base/buf.h"
#include "tests/fuzz/fuzz_yaml.h"

#include <string.h>

static void check(const struct requirement_file *f, const struct requirement *r)
{
	must(r->rfc == f->rfc && strncmp(r->id, "RFC", 3) == 0);
	must(r->section.n > 0 && r->section.p > r->id && r->section.p + r->section.n < r->id + strlen(r->id));
	must(r->says[0] != '\0' && r->bound != 0 && strlen(r->sha256) == 64);
	must(r->level < REQUIREMENT_LEVEL_COUNT && r->effect < 6);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct buf messages = { 0 };
	struct requirement_file *f =
		requirement_file_read("f", (struct span){ (const char *)data, n }, &messages);

	must((f != NULL) == (buf_bytes(&messages) == 0));
	for (uint32_t i = 0; f != NULL && i < f->count; i++)
		check(f, &f->items[i]);
	requirement_file_free(f);
	buf_free(&messages);
	return 0;
}
