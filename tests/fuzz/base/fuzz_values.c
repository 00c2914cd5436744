/*
 * Addresses, blocks of them, durations and sizes as people write them.  Checked: what is read,
 * written and read again is the same.
 */
#include "base/addr.h"
#include "base/unit.h"
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <string.h>

enum { TEXT_BYTES_MAX = 256 };

static void check_addresses(const char *text)
{
	struct addr a, again;
	struct addr_block block;
	char out[56];

	if (addr_parse_port(text, &a)) {
		assert(addr_parse_port(addr_format(&a, out), &again) && addr_eq(&a, &again));
	}
	if (addr_parse(text, 25, &a)) {
		assert(addr_parse(addr_format_ip(&a, out), 25, &again) && addr_eq(&a, &again));
	}
	if (addr_block_parse(text, &block))
		assert(addr_block_has(&block, &block.first));
}

static void check_units(struct span text)
{
	int64_t ms, ms_again;
	uint64_t bytes, bytes_again;
	char out[24];

	if (unit_parse_duration_ms(text, &ms))
		assert(unit_parse_duration_ms(span_of(unit_format_duration_ms(ms, out)), &ms_again) &&
		       ms_again == ms);
	if (unit_parse_size_bytes(text, &bytes))
		assert(unit_parse_size_bytes(span_of(unit_format_size_bytes(bytes, out)), &bytes_again) &&
		       bytes_again == bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[TEXT_BYTES_MAX + 1];

	if (size > TEXT_BYTES_MAX)
		return 0;
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	check_units((struct span){ (const char *)data, size });
	check_addresses(text);
	return 0;
}
