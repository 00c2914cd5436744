#include "reference-server/core/quoted_printable.h"

#include "reference-server/core/mutant.h"

#include <string.h>

enum { LINE_BYTES_MAX = 76 };

static const char hex[] = "0123456789ABCDEF";

static bool is_crlf(struct span s, size_t i)
{
	return i + 1 < s.n && s.p[i] == '\r' && s.p[i + 1] == '\n';
}

/* Whether what stands at i is followed by a line end, or by nothing. */
static bool ends_line(struct span s, size_t i, bool binary)
{
	return i + 1 == s.n || (!binary && is_crlf(s, i + 1));
}

static bool goes_as_it_is(struct span s, size_t i, size_t column, bool binary)
{
	unsigned char c = (unsigned char)s.p[i];

	if (c == ' ' || c == '\t')
		return !ends_line(s, i, binary);
	if (c <= ' ' || c >= 0x7F || (c == '=' && !MUTANT(RELAY_CONVERSION_LOSES)))
		return false;
	if (column > 0)
		return true;
	return c != '.' && !(c == 'F' && s.n - i >= 5 && memcmp(s.p + i, "From ", 5) == 0);
}

void quoted_printable_encode(struct buf *out, struct span bytes, bool binary)
{
	size_t column = 0;

	for (size_t i = 0; i < bytes.n; i++) {
		if (!binary && is_crlf(bytes, i)) {
			buf_add_cstr(out, "\r\n");
			column = 0;
			i++;
			continue;
		}
		bool as_it_is = goes_as_it_is(bytes, i, column, binary);
		size_t width = as_it_is ? 1 : 3;
		/* Room for the "=" of a soft line break, which the caller may put behind the last byte, unless the
		 * line ends here. */
		if (column + width + (binary || !is_crlf(bytes, i + 1)) > LINE_BYTES_MAX) {
			buf_add_cstr(out, "=\r\n");
			column = 0;
			as_it_is = goes_as_it_is(bytes, i, column, binary);
			width = as_it_is ? 1 : 3;
		}
		unsigned char c = (unsigned char)bytes.p[i];
		char text[3] = { '=', hex[c >> 4], hex[c & 15] };
		if (as_it_is)
			text[0] = (char)c;
		buf_add(out, (struct span){ text, width });
		column += width;
	}
}

static int hex_value(char c)
{
	const char *at = c != '\0' ? memchr(hex, c, 16) : NULL;
	return at != NULL ? (int)(at - hex) : -1;
}

/* One step at i; 0 when it is malformed. */
static size_t decode_one(struct buf *out, struct span text, size_t i)
{
	if (is_crlf(text, i)) {
		buf_add_cstr(out, "\r\n");
		return 2;
	}
	if (text.p[i] == '=' && is_crlf(text, i + 1))
		return 3;
	if (text.p[i] == '=' && i + 2 < text.n && hex_value(text.p[i + 1]) >= 0 &&
	    hex_value(text.p[i + 2]) >= 0) {
		char c = (char)(hex_value(text.p[i + 1]) << 4 | hex_value(text.p[i + 2]));
		buf_add(out, (struct span){ &c, 1 });
		return 3;
	}
	bool printable = (text.p[i] >= ' ' && text.p[i] < 0x7F) || text.p[i] == '\t';
	if (!printable || text.p[i] == '=')
		return 0;
	buf_add(out, (struct span){ text.p + i, 1 });
	return 1;
}

bool quoted_printable_decode(struct buf *out, struct span text)
{
	size_t before = buf_bytes(out), line_begin = 0;

	for (size_t i = 0; i < text.n;) {
		size_t used = decode_one(out, text, i);
		i += used;
		bool at_line_end = used > 0 && text.p[i - 1] == '\n';
		if (used == 0 || i - line_begin - (at_line_end ? 2 : 0) > LINE_BYTES_MAX) {
			buf_truncate(out, before);
			return false;
		}
		if (at_line_end)
			line_begin = i;
	}
	return true;
}
