/*
 * Any bytes as a path and as a mailbox.  Checked: what was taken lies inside
 * the input and within the limits; its text reads back as an equal address
 * and writes the same text again; text is printable ASCII and UTF-8; the key does not
 * depend on case or quoting; a refused input leaves everything untouched.
 */
#include "reference-server/core/address.h"
#include "reference-server/core/utf8.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static void check_text_is_stable(struct address a)
{
	char text[ADDRESS_TEXT_BYTES_MAX];
	char again_text[ADDRESS_TEXT_BYTES_MAX];
	char upper_text[ADDRESS_TEXT_BYTES_MAX];
	char key_text[ADDRESS_TEXT_BYTES_MAX];
	char upper_key_text[ADDRESS_TEXT_BYTES_MAX];
	struct address again;
	struct address upper;

	must(a.local.n <= ADDRESS_LOCAL_BYTES_MAX && a.domain.n <= ADDRESS_DOMAIN_BYTES_MAX);
	struct span written = address_text(a, text);
	must(written.n <= a.local.n + a.domain.n + 1);
	must(address_parse_text(written, &again) == ADDRESS_OK);
	must(address_eq(a, again) && address_eq(again, a) && address_eq_nocase(a, again));
	must(span_eq(address_text(again, again_text), written));

	for (size_t i = 0; i < written.n; i++) {
		char c = written.p[i];
		must((c >= ' ' && c <= '~') || (unsigned char)c >= 0x80);
		upper_text[i] = (c >= 'a' && c <= 'z') ? (char)(c - 'a' + 'A') : c;
	}
	must(address_parse_text((struct span){ upper_text, written.n }, &upper) == ADDRESS_OK);
	must(address_eq_nocase(a, upper));
	must(address_is_postmaster(a) == address_is_postmaster(upper));
	must(span_eq(address_key(a, key_text), address_key(upper, upper_key_text)));
	if (a.domain.n > 0 && utf8_is_ascii(a.domain))
		must(address_is_domain(a.domain) != address_is_literal(a.domain));
	must(utf8_is_valid(written) && utf8_is_ascii(written) == address_is_ascii(a));
}

typedef enum address_result take_fn(struct span *text, struct address *ret_address);

static enum address_result check_path(struct span in, take_fn *take)
{
	struct address a = { .local = { "untouched", 9 } };
	struct span rest = in;
	enum address_result result = take(&rest, &a);

	if (result != ADDRESS_OK) {
		must(rest.p == in.p && rest.n == in.n && a.local.n == 9);
		return result;
	}
	size_t path_bytes = in.n - rest.n;
	must(path_bytes <= ADDRESS_PATH_BYTES_MAX);
	must(in.p[0] == '<' && in.p[path_bytes - 1] == '>');
	check_text_is_stable(a);
	return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = { (const char *)data, size };
	struct address a;
	struct span ip;
	bool v6;

	enum address_result reverse = check_path(in, address_take_reverse_path);
	enum address_result forward = check_path(in, address_take_forward_path);
	/* They differ in <> and <postmaster> only. */
	must(reverse == forward || (reverse == ADDRESS_OK && span_starts_nocase(in, SPAN_LIT("<>"))) ||
	     (forward == ADDRESS_OK && span_starts_nocase(in, SPAN_LIT("<postmaster>"))));
	if (address_parse_mailbox(in, &a) == ADDRESS_OK)
		check_text_is_stable(a);
	if (address_literal_ip(in, &ip, &v6))
		must(address_is_literal(in) && ip.n > 0 && v6 == (span_find(ip, ':') < ip.n));
	return 0;
}
