#include "harness/judge/xml.h"

#include <jansson.h>

/* jansson takes UTF-8 and nothing else. */
static bool is_utf8(struct span s)
{
	json_t *j = json_stringn(s.n > 0 ? s.p : "", s.n);
	bool fits = j != NULL;

	json_decref(j);
	return fits;
}

void xml_add(struct buf *out, struct span s)
{
	bool utf8 = is_utf8(s);

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c == '&')
			buf_add_cstr(out, "&amp;");
		else if (c == '<')
			buf_add_cstr(out, "&lt;");
		else if (c == '>')
			buf_add_cstr(out, "&gt;");
		else if (c == '"')
			buf_add_cstr(out, "&quot;");
		else if (c == '\n')
			buf_add_cstr(out, "&#10;"); /* an attribute would lose a plain one */
		else if ((c < 0x20 && c != '\t') || c == 0x7f || (c >= 0x80 && !utf8))
			buf_add_u8(out, '?');
		else
			buf_add_u8(out, c);
	}
}
