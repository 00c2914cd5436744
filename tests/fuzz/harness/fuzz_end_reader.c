/*
 * end_reader: any bytes as what was said behind DATA.  Checked: all readers read
 * the same when nothing in it is irregular or NUL; content that was stuffed is one
 * message to the reader that knows CRLF alone; commands behind its end are found.
 */
#include "harness/wire/dots.h"
#include "harness/wire/end_reader.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static void check_agreement(struct span said)
{
	if (end_is_irregular(said) || (said.n > 0 && memchr(said.p, '\0', said.n) != NULL))
		return;
	for (const struct end_reader *r = END_READERS; r->name != NULL; r++)
		must(end_read(r, said) == end_read(&END_READERS[0], said));
}

static void stuff(struct span content, struct buf *wire)
{
	struct dots_writer w = { 0 };

	dots_write(&w, content, wire);
	dots_write_end(&w, wire);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span all = { (const char *)data, size };
	struct buf wire = { 0 };

	for (const struct end_reader *r = END_READERS; r->name != NULL; r++)
		(void)end_read(r, all);
	check_agreement(all);
	stuff(all, &wire);
	must(end_read(&END_READERS[0], buf_span(&wire)) == END_ONE_MESSAGE);
	check_agreement(buf_span(&wire));
	buf_add_cstr(&wire, "MAIL FROM:<>\r\nRCPT TO:<a@b>\r\nDATA\r\n");
	must(end_read(&END_READERS[0], buf_span(&wire)) == END_TWO_MESSAGES);
	buf_free(&wire);
	return 0;
}
