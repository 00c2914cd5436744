#include "base/idna.h"

#include <idn2.h>
#include <string.h>

static bool is_ascii(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] >= 0x80)
			return false;
	return true;
}

static void to_lower(char *text, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (text[i] >= 'A' && text[i] <= 'Z')
			text[i] = (char)(text[i] - 'A' + 'a');
}

bool idna_to_ascii(struct span name, char dst[IDNA_NAME_BYTES_MAX + 1], struct span *ret)
{
	char text[IDNA_NAME_BYTES_MAX + 1];
	uint8_t *found = NULL;

	if (!span_copy(name, text, sizeof(text)) || span_find(name, '\0') < name.n)
		return false;
	if (!is_ascii(name)) {
		if (idn2_lookup_u8((const uint8_t *)text, &found, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) !=
		    IDN2_OK)
			return false;
		/* The mapping can leave nothing of a label. */
		bool fits = found[0] != '.' && strstr((const char *)found, "..") == NULL &&
			    span_copy(span_of((const char *)found), text, sizeof(text));
		idn2_free(found);
		if (!fits)
			return false;
	}
	size_t n = strlen(text);
	memcpy(dst, text, n + 1);
	to_lower(dst, n);
	*ret = (struct span){ dst, n };
	return true;
}
