#include "harness/conform/shown.h"

#include <string.h>

void shown_add(struct buf *out, struct span s, const char *also)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c == '\r')
			buf_add_cstr(out, "\\r");
		else if (c == '\n')
			buf_add_cstr(out, "\\n");
		else if (c == '\t')
			buf_add_cstr(out, "\\t");
		else if (c == '\\')
			buf_add_cstr(out, "\\\\");
		else if (c < 0x20 || c >= 0x7f || strchr(also, c) != NULL)
			buf_addf(out, "\\x%02x", c);
		else
			buf_add_u8(out, c);
	}
}
